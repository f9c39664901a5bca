/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* The lifecycle of a task, and why it ended as it did. The numbers are private to a process; files, databases
 * and interfaces carry the names. */

#include <stdbool.h>

#include "common/sm.h"

typedef enum TaskState {
        TASK_PENDING,   /* created, queued, or waiting for its next attempt */
        TASK_ACTIVE,    /* running */
        TASK_VERIFYING, /* the work ended, rules are being checked */
        TASK_COMPLETED, /* succeeded, and what policy demands was verified */
        TASK_FAILED,
        TASK_CANCELLED,
        TASK_LOST, /* the end was never seen; the account is kept */
        _TASK_STATE_MAX,
        _TASK_STATE_INVALID = -22,
} TaskState;

typedef enum TaskOutcome {
        TASK_OUTCOME_NONE, /* "": not ended, or completed */
        /* of a failed task */
        TASK_OUTCOME_EXIT_CODE,
        TASK_OUTCOME_SIGNAL,
        TASK_OUTCOME_CORE_DUMP,
        TASK_OUTCOME_OOM,
        TASK_OUTCOME_SLA,
        TASK_OUTCOME_EXEC,
        TASK_OUTCOME_VERIFICATION,
        TASK_OUTCOME_REPORTED,
        TASK_OUTCOME_EXPIRED,
        /* of a lost task */
        TASK_OUTCOME_REPORTER_DIED,
        TASK_OUTCOME_REBOOTED,
        TASK_OUTCOME_EXIT_UNKNOWN,
        _TASK_OUTCOME_MAX,
        _TASK_OUTCOME_INVALID = -22,
} TaskOutcome;

const SmTable *task_state_table(void);

const char *task_state_name(TaskState s);
/* _TASK_STATE_INVALID if there is none. */
TaskState task_state_from_name(const char *name);
bool task_state_is_final(TaskState s);
bool task_state_may(TaskState from, TaskState to);

const char *task_outcome_name(TaskOutcome o);
TaskOutcome task_outcome_from_name(const char *name);
