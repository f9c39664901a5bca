/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* The processes of one task, wherever it lives. Async-signal-safe. */

#include <sys/types.h>

#include "common/record/record.h"

#define MEMBERS_MAX 32768

typedef struct Members {
        int proc_fd;
        int leaf_fd;          /* of backend cgroup, else -EBADF; borrowed */
        const Record *record; /* for backend process: its keeper and task */
} Members;

/* Living processes, at most `max`; returns how many were stored. */
size_t members_list(const Members *m, pid_t *ret, size_t max);

/* Sends a signal to every process, again until a pass finds no new one. Returns how many got it. */
size_t members_signal(const Members *m, int signal);

/* SIGKILL for all, by cgroup.kill where there is a leaf. */
void members_kill(const Members *m);
