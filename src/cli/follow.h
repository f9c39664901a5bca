/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Staying with a task until it has ended: waiting, showing its output, a line of progress, relaying its terminal. */

#include <jansson.h>
#include <stdbool.h>

#include "cli/pty.h"

typedef struct FollowOptions {
        const char *task_id;
        bool output;   /* write what the task writes to standard output */
        bool progress; /* a line of live progress on standard error */
        bool quiet;    /* say nothing about cancelling and further attempts */
        Pty *pty;      /* relay this terminal; NULL: none */
} FollowOptions;

/* Returns 0 and the task as it ended (*ret_task, the caller's), or the exit status, having said what went wrong.
 *
 * Without a pty, SIGINT and SIGTERM ask for the task to be cancelled, and the wait goes on; the second one ends the
 * wait (exit status 128+n) while the task is being stopped. With a pty both reach the task through its terminal, or by
 * its hang-up. */
int follow_task(const FollowOptions *options, json_t **ret_task);
