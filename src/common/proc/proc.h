/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Processes: reading /proc, with its directory passed in, and pidfds. Everything here is async-signal-safe: keepers
 * use it. proc_family() has one table for all its callers and is not for threads. */

#include <stdint.h>
#include <sys/types.h>

#include "common/record/record.h"

typedef struct ProcStat {
        pid_t pid, ppid, session;
        char state;
        uint64_t start; /* clock ticks after boot; with the pid it names one process only */
        uint64_t user_ticks, system_ticks; /* of the process and the children that it waited for */
        uint64_t rss_pages;
} ProcStat;

/* pid 0 is the caller. -ESRCH if there is no such process. A zombie is one still. */
int proc_stat(int proc_fd, pid_t pid, ProcStat *ret);

/* /proc/PID/io, which a zombie has until it is reaped. ret->valid is 0 on failure. */
int proc_io(int proc_fd, pid_t pid, RecordProcIo *ret);

/* Opens a pidfd of the process that had this pid at this start time, and of no other; -ESRCH. */
int proc_open(int proc_fd, pid_t pid, uint64_t start);

/* Sends a signal through a pidfd. -ESRCH if the process is gone; other negative errno. */
int proc_signal(int pidfd, int signal);

/* The wait status of a process that somebody has reaped, through a pidfd from before that: 1 and *ret; 0 if it is not
 * reaped, or the kernel does not keep it (Linux does from 6.15 on). */
int proc_exit_status(int pidfd, int *ret);

/* Process ids below `ancestor` or in session `session`, neither of them 0, without `ancestor` itself; at most
 * `max` are stored. Returns how many were. */
size_t proc_family(int proc_fd, pid_t ancestor, pid_t session, pid_t *ret, size_t max);

/* Writes /proc/self/oom_score_adj. */
int proc_set_oom_score_adj(int proc_fd, int value);
