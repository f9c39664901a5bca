/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The one table of the lifecycle.
 *
 *     pending -> active -> verifying -> completed
 *        ^  |       |  |        |  |
 *        |  |       +--|--------+--+----> failed | cancelled | lost
 *        |  +----------|----------------> failed | cancelled | lost
 *        +-------------+  next attempt (from active or verifying)
 *
 * A task without rules passes `verifying` in the same transaction in which it leaves `active`: the row goes from
 * active to completed by way of verifying, so that the table needs no short cut. */

#include "common/task-state.h"

#include <string.h>

#define ENDS (SM_BIT(TASK_FAILED) | SM_BIT(TASK_CANCELLED) | SM_BIT(TASK_LOST))

static const SmState states[_TASK_STATE_MAX] = {
        [TASK_PENDING] = { "pending", SM_BIT(TASK_ACTIVE) | ENDS, SM_INITIAL },
        [TASK_ACTIVE] = { "active", SM_BIT(TASK_VERIFYING) | SM_BIT(TASK_PENDING) | ENDS, 0 },
        [TASK_VERIFYING] = { "verifying", SM_BIT(TASK_COMPLETED) | SM_BIT(TASK_PENDING) | ENDS, 0 },
        [TASK_COMPLETED] = { "completed", 0, SM_FINAL },
        [TASK_FAILED] = { "failed", 0, SM_FINAL | SM_FAILURE },
        [TASK_CANCELLED] = { "cancelled", 0, SM_FINAL | SM_FAILURE },
        [TASK_LOST] = { "lost", 0, SM_FINAL | SM_FAILURE },
};

static const SmTable table = { .name = "task", .states = states, .n_states = _TASK_STATE_MAX };

static const char *const outcomes[_TASK_OUTCOME_MAX] = {
        [TASK_OUTCOME_NONE] = "",
        [TASK_OUTCOME_EXIT_CODE] = "exit-code",
        [TASK_OUTCOME_SIGNAL] = "signal",
        [TASK_OUTCOME_CORE_DUMP] = "core-dump",
        [TASK_OUTCOME_OOM] = "oom",
        [TASK_OUTCOME_SLA] = "sla",
        [TASK_OUTCOME_EXEC] = "exec",
        [TASK_OUTCOME_VERIFICATION] = "verification",
        [TASK_OUTCOME_REPORTED] = "reported",
        [TASK_OUTCOME_EXPIRED] = "expired",
        [TASK_OUTCOME_REPORTER_DIED] = "reporter-died",
        [TASK_OUTCOME_REBOOTED] = "rebooted",
        [TASK_OUTCOME_EXIT_UNKNOWN] = "exit-unknown",
};

const SmTable *task_state_table(void)
{
        return &table;
}

const char *task_state_name(TaskState s)
{
        assert(s >= 0 && s < _TASK_STATE_MAX);
        return states[s].name;
}

TaskState task_state_from_name(const char *name)
{
        int i = sm_from_name(&table, name);
        return i < 0 ? _TASK_STATE_INVALID : (TaskState)i;
}

bool task_state_is_final(TaskState s)
{
        assert(s >= 0 && s < _TASK_STATE_MAX);
        return states[s].flags & SM_FINAL;
}

bool task_state_may(TaskState from, TaskState to)
{
        return sm_may(&table, from, to);
}

const char *task_outcome_name(TaskOutcome o)
{
        assert(o >= 0 && o < _TASK_OUTCOME_MAX);
        return outcomes[o];
}

TaskOutcome task_outcome_from_name(const char *name)
{
        assert(name);

        for (int i = 0; i < _TASK_OUTCOME_MAX; i++)
                if (strcmp(outcomes[i], name) == 0)
                        return (TaskOutcome)i;
        return _TASK_OUTCOME_INVALID;
}
