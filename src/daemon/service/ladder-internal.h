/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* What ladder.c, which does steps, and ladder-step.c, which records and tells what became of them, share. */

#include "daemon/service/service-internal.h"

/* What an asynchronous act about a step remembers. */
typedef struct StepOp {
        TaskOp op;
        unsigned number;
        bool stuck;                           /* of Task.stuck_ladder, not Task.ladder */
        usec_t begun_boottime, lateness_usec; /* of a hook */
} StepOp;

/* NULL when memory is short. */
StepOp *step_op_new(Service *s, const Task *t, const LadderStep *step);
StepOp *step_op_free(StepOp *op);
DEFINE_CLEANUP_FUNC(StepOp *, step_op_free)

/* The step, if the task (may be NULL) still has it. */
LadderStep *step_op_find(const Task *t, const StepOp *op);

/* The ladder that the step is of. A task may have two: that of its deadline, and that of its being stuck. */
TaskLadder *service_step_ladder(const Task *t, const LadderStep *step);

/* How late the step is at that time. */
usec_t service_step_lateness(Service *s, const Task *t, const LadderStep *step, usec_t boottime);

/* The text of its ladder in the row, before it is written. -ENOMEM. */
int service_step_to_row(Task *t, const LadderStep *step);

/* Runs the hook of the step, as HookRunner.run; it is told the event that was stored of it (op.detail), or how it is now. */
int service_step_hook(const StepOp *op, const Task *t, const LadderStep *step, hook_done_t callback,
                      void *userdata, ReeveError *reterr);

/* Records what became of the step, which fired at that time: in memory now, and in a commit after which it is told. */
void service_step_finish(Service *s, Task *t, LadderStep *step, LadderState to, usec_t boottime,
                         const char *message);
