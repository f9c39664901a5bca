/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* What became of a step, from the moment when it is known: it goes into the row, with an event and what the task had used by then, in
 * one commit; then it is published, told to the journal, and a hook that is to run beside it is started. What is done before that,
 * and by whom, is ladder.c's.
 *
 * An operation about a step remembers it by its number, and by which of the task's two ladders it is of: by the time it comes back task,
 * ladder and step may be gone. */

#include <errno.h>
#include <string.h>

#include "basic/crash.h"
#include "basic/log.h"
#include "common/json/json.h"
#include "daemon/model/task-json.h"
#include "daemon/service/ladder-internal.h"

StepOp *step_op_free(StepOp *op)
{
        if (op) {
                free(op->op.detail);
                free(op);
        }
        return NULL;
}

TaskLadder *service_step_ladder(const Task *t, const LadderStep *step)
{
        assert(t);
        assert(step);

        const Ladder *l = t->ladder ? t->ladder->sla.ladder : NULL;
        return l && step >= l->steps && step < l->steps + l->n_steps ? t->ladder : t->stuck_ladder;
}

StepOp *step_op_new(Service *s, const Task *t, const LadderStep *step)
{
        assert(s);
        assert(t);
        assert(step);

        StepOp *op = NEW0(StepOp, 1);
        if (op) {
                op->op.service = s;
                op->op.attempt = t->row.attempt;
                strcpy(op->op.task_id, t->row.task_id);
                op->number = step->number;
                op->stuck = service_step_ladder(t, step)->is_stuck;
        }
        return op;
}

LadderStep *step_op_find(const Task *t, const StepOp *op)
{
        assert(op);

        const TaskLadder *l = !t ? NULL : op->stuck ? t->stuck_ladder : t->ladder;
        return l ? ladder_step(l->sla.ladder, op->number) : NULL;
}

/* The wall-clock time from which the steps are counted. */
static usec_t promised(const Task *t, const TaskLadder *l)
{
        return l->is_stuck ? l->found_realtime : t->row.sla_deadline_realtime;
}

/* The number that names its hook: those of all ladders of a task differ. */
static unsigned hook_number(const Task *t, const LadderStep *step)
{
        const TaskLadder *l = service_step_ladder(t, step);
        return l->is_stuck ? l->episode * LADDER_STEPS_MAX + step->number : step->number;
}

/* ---- telling ---- */

char *service_ladder_event(const TaskRow *row, const Ladder *l, usec_t counted_from, const LadderStep *step)
{
        usec_t due = ladder_due_realtime(l, step, counted_from);
        _cleanup_json_ json_t *o = task_row_to_json(row, TASK_VIEW_PUBLIC);
        json_t *detail = ladder_step_to_json(step, due);

        if (!o || !detail || json_object_set_new(o, "ladder_step", detail) < 0)
                return NULL;
        json_object_del(o, "ladder");
        return json_format(o);
}

static char *event_text(const Task *t, const LadderStep *step)
{
        const TaskLadder *l = service_step_ladder(t, step);
        return service_ladder_event(&t->row, l->sla.ladder, promised(t, l), step);
}

static const char *topic_of(const Task *t, const LadderStep *step)
{
        if (service_step_ladder(t, step)->is_stuck)
                return "task.stuck_step";
        if (step->act == LADDER_DEADLINE)
                return "task.sla_violated";
        return ladder_is_warning(step) ? "task.sla_warning" : "task.sla_step";
}

static void log_step(const Task *t, const LadderStep *step)
{
        char late[32];

        usec_format_span(step->lateness_usec, late, sizeof(late));
        log_notice("%s: %s of its ladder %s, %s late%s%s", t->row.task_id, ladder_act_name(step->act),
                   ladder_state_name(step->state), late, step->message ? ": " : "", step->message ?: "");
}

int service_step_hook(const StepOp *op, const Task *t, const LadderStep *step, hook_done_t callback,
                      void *userdata, ReeveError *reterr)
{
        assert(op);
        assert(t);
        assert(step);
        assert(callback);

        const HookRunner *hooks = &op->op.service->hooks;
        _cleanup_free_ char *now = op->op.detail ? NULL : event_text(t, step);
        HookRequest q = { .path = step->hook ?: "",
                          .task_id = t->row.task_id,
                          .step = hook_number(t, step),
                          .event = op->op.detail ?: now ?: "{}",
                          .timeout_usec = t->policy ? t->policy->hooks.timeout_usec : 0 };
        return hooks->run ? hooks->run(&q, callback, userdata, hooks->userdata, reterr)
                          : reeve_error_set(reterr, REEVE_ERROR_UNAVAILABLE, NULL, "no hook runner");
}

static void ignore_hook(const ReeveError *error, void *userdata)
{
        if (error)
                log_warning("a hook beside a step of a ladder: %s", error->text);
}

/* A hook of a step that does something else as well: run when that is stored, and not again. */
static void run_beside(const StepOp *op, const Task *t, const LadderStep *step)
{
        ReeveError e = REEVE_ERROR_NULL;

        if (step->hook && step->act != LADDER_ESCALATE && step->state == LADDER_DONE &&
            service_step_hook(op, t, step, ignore_hook, NULL, &e) < 0)
                ignore_hook(&e, NULL);
}

static void on_step_stored(const ReeveError *error, int64_t last_event, void *userdata)
{
        _cleanup_(step_op_freep) StepOp *op = ASSERT_PTR(userdata);
        Service *s = op->op.service;

        if (error) {
                log_full_reeve_error(LOG_ERR, error, op->op.task_id);
                return;
        }
        CRASH_POINT("reeved", "step-stored");
        Task *t = registry_get(s->registry, op->op.task_id);
        const LadderStep *step = step_op_find(t, op);
        if (!step)
                return;
        service_publish(s, last_event, &op->op, &t->row);
        if (s->reports.ladder_step)
                s->reports.ladder_step(&t->row, step, s->reports.userdata);
        run_beside(op, t, step);
}

static int add_event(StoreWrite *w, StepOp *op, const Task *t, const LadderStep *step)
{
        op->op.topic = topic_of(t, step);
        op->op.realtime = step->fired_realtime;
        op->op.detail = event_text(t, step);
        if (!op->op.detail)
                return -ENOMEM;
        EventRow e = { .realtime = step->fired_realtime,
                       .topic = (char *)op->op.topic,
                       .task_id = t->row.task_id,
                       .subsystem = t->row.subsystem,
                       .detail = op->op.detail };
        return store_write_event(w, &e);
}

/* What it had used when the step was done. */
static int add_snapshot(Service *s, StoreWrite *w, const Task *t)
{
        SnapshotRow row = { .attempt = t->row.attempt,
                            .taken_realtime = clock_realtime(s->clock),
                            .elapsed_usec = usec_sub(clock_boottime(s->clock), t->row.started_boottime) };

        if (t->row.status != TASK_ACTIVE)
                return 0;
        service_read_usage(s, t->row.task_id, &row.usage);
        return store_write_snapshot(w, t->row.task_id, &row);
}

int service_step_to_row(Task *t, const LadderStep *step)
{
        assert(t);
        assert(step);

        return service_step_ladder(t, step)->is_stuck ? service_stuck_to_row(t) : service_ladder_to_row(t);
}

static int write_step(Service *s, Task *t, const LadderStep *step)
{
        int r = service_step_to_row(t, step);
        if (r < 0)
                return r;
        _cleanup_(step_op_freep) StepOp *op = step_op_new(s, t, step);
        if (!op)
                return -ENOMEM;
        _cleanup_(store_write_freep) StoreWrite *w = store_write_new(s->store, 0, on_step_stored, op);
        if (!w || store_write_update_task(w, &t->row) < 0 || add_event(w, op, t, step) < 0 ||
            add_snapshot(s, w, t) < 0)
                return -ENOMEM;
        r = store_write_submit(TAKE_PTR(w));
        if (r >= 0)
                op = NULL; /* on_step_stored() has it */
        return r;
}

/* Before the boot there is no time; then the promise in wall-clock time says how late it is. */
usec_t service_step_lateness(Service *s, const Task *t, const LadderStep *step, usec_t boottime)
{
        assert(s);
        assert(t);
        assert(step);

        if (step->due_boottime > 0)
                return usec_sub(boottime, step->due_boottime);
        const TaskLadder *l = service_step_ladder(t, step);
        return usec_sub(clock_realtime(s->clock), ladder_due_realtime(l->sla.ladder, step, promised(t, l)));
}

void service_step_finish(Service *s, Task *t, LadderStep *step, LadderState to, usec_t boottime,
                         const char *message)
{
        assert(s);
        assert(t);
        assert(step);

        ladder_finish(step, to, clock_realtime(s->clock), service_step_lateness(s, t, step, boottime),
                      message);
        log_step(t, step);
        int r = write_step(s, t, step);
        if (r < 0)
                log_error_errno(r, "%s: cannot store a step of its ladder", t->row.task_id);
}
