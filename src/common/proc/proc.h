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
        uint32_t flags; /* PF_* of the kernel */
        uint64_t start; /* clock ticks after boot; with the pid it names one process only */
        uint64_t user_ticks, system_ticks; /* of the process and the children that it waited for */
        uint64_t rss_pages;
        int exit_status; /* as wait(2) gives it, if the state is 'Z' and the caller may trace the process */
} ProcStat;

/* Of ProcStat.flags: a thread of the kernel. */
#define PROC_FLAG_KTHREAD UINT32_C(0x00200000)

/* pid 0 is the caller. -ESRCH if there is no such process. A zombie is one still. */
int proc_stat(int proc_fd, pid_t pid, ProcStat *ret);

/* /proc/PID/io, which a zombie has until it is reaped. ret->valid is 0 on failure. */
int proc_io(int proc_fd, pid_t pid, RecordProcIo *ret);

/* Real, effective, saved and file system ids. */
typedef struct ProcIds {
        uid_t uid[4];
        gid_t gid[4];
} ProcIds;
int proc_ids(int proc_fd, pid_t pid, ProcIds *ret);

/* Who owns the files in /proc/PID: the effective user of the process; or root, if its memory is not for its user to read, as that of a
 * program that gives rights (setuid, capabilities) or asks for it (PR_SET_DUMPABLE). */
int proc_owner(int proc_fd, pid_t pid, uid_t *ret);

/* Is it in the caller's namespace of this name ("pid", "user")? 1 yes, 0 no, negative errno. */
int proc_shares_namespace(int proc_fd, pid_t pid, const char *name);

/* Its cgroup in version 2, "/" or "/a/b", as the caller's cgroup namespace shows it. -ENODATA without one, -E2BIG. */
int proc_cgroup(int proc_fd, pid_t pid, char *ret, size_t size);

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

/* Writes a number in decimal and a NUL (at most 21 bytes); returns where the NUL is. */
char *proc_put_u64(char *p, uint64_t value);

/* Writes /proc/self/oom_score_adj. */
int proc_set_oom_score_adj(int proc_fd, int value);
