/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* The line of live progress on standard error, and the line about a task that has ended. */

#include <stdbool.h>

#include "cli/json-print.h"
#include "cli/task-view.h"

/* Zero-initialised is "nothing is shown". */
typedef struct Progress {
        bool shown;
        bool line_open; /* the task's output ended within a line, which must not be overwritten */
} Progress;

/* Shows what the task has used so far, or what it waits for, in place of what was shown before. */
void progress_show(Progress *p, const json_t *task);
void progress_erase(Progress *p);
void progress_set_line_open(Progress *p, bool open);

/* "cpu 11.9s, memory peak 64.0M, read 1.0M, written 12.0M": known counters only; with `sources`, those that are no
 * final numbers of the kernel say where they come from. Caller frees; NULL when memory is short. */
char *usage_sentence(const Usage *u, bool ended, bool sources);

/* Tells that a task has ended: as JSON, or by "reeve: ID: completed after 12.3s, cpu ..." on standard error, or (`quiet`) not at
 * all. Returns the exit status that belongs to its end. */
int summary_report(const json_t *task, JsonMode mode, bool quiet);
