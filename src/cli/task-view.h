/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* A task of the registry's JSON, read for printing. */

#include <jansson.h>
#include <stdbool.h>

#include "basic/time.h"
#include "common/usage/usage.h"

/* Everything is borrowed from the JSON object. Strings are "" and numbers -1 where the registry said nothing. */
typedef struct TaskView {
        const json_t *json;
        const char *id, *subsystem, *type, *title, *status, *outcome, *message, *pending_reason;
        int64_t owner_uid, run_uid, attempt, attempts, priority, pid, exit_status, exit_signal;
        bool frozen;
        usec_t created_at, started_at, completed_at; /* wall clock, 0: not yet */
        usec_t sla_deadline;                         /* wall clock, 0: none */
        usec_t expected_start_at;                    /* wall clock, 0: not known */
        int64_t queue_ahead;                         /* tasks that come first, while it waits for its turn */
        bool has_margin;
        double margin_seconds; /* to the deadline at the end, or now; below 0: missed by that */
        double duration_seconds;
        Usage usage;
} TaskView;

/* Fields of the wrong type are as if absent, counters that this version does not know are left out. */
TaskView task_view(const json_t *task);

bool task_view_has_ended(const TaskView *t);

/* How long the task has run: until its end, or until `now` (wall clock); 0 if it was not started. */
usec_t task_view_elapsed(const TaskView *t, usec_t now);

/* The exit status with which `reeve run` and `reeve wait` pass the task's on: what it exited with; 128+n for signal n;
 * for a task that has none of its own, that of the error table: ExecFailed if it could not be executed,
 * PolicyViolation if its work was refused (deadline, verification), Internal if its end was not seen, Unavailable if
 * it was cancelled before it ran. Never 0 unless it completed. */
int task_view_exit_status(const TaskView *t);

/* "12.3s" to the deadline, "-12.3s" behind it; "-" without one. Returns buffer. */
#define MARGIN_TEXT_SIZE 40
char *task_view_margin_text(const TaskView *t, char buffer[static MARGIN_TEXT_SIZE]);

/* "completed", "failed (exit status 3)", "cancelled (signal TERM)", "active, frozen",
 * "pending (held)". Returns buffer. */
#define TASK_STATUS_TEXT_SIZE 256
char *task_view_status_text(const TaskView *t, char buffer[static TASK_STATUS_TEXT_SIZE]);

/* Usage of a JSON object {counter: number} and its sources (may be NULL: USAGE_KERNEL). */
void usage_from_json(Usage *u, const json_t *usage, const json_t *sources);

/* A counter for people: "12.3s", "64.0M", "17"; "-" if it is unknown. Returns buffer. */
#define USAGE_TEXT_SIZE 32
char *usage_text(const Usage *u, UsageField f, char buffer[static USAGE_TEXT_SIZE]);
