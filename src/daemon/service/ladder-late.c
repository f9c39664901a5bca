/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* A hook may end after the task on whose ladder it stands. What became of the step is then put into the row of a task that has
 * ended, which nobody else writes any more: but only after the commit of its end, which may still be on the way. So an empty
 * write goes first; when it is committed everything before it is, and the row is read, changed and written back with the event.
 *
 * If we die before that, the row says `acting`: the hook was begun, and its own task says how it ended. */

#include <errno.h>
#include <string.h>

#include "basic/log.h"
#include "common/json/json.h"
#include "daemon/service/service-internal.h"

typedef struct LateOp {
        TaskOp op;
        LadderLateResult result; /* the error is `error`, if there is one */
        ReeveError error;
        TaskRow *row;
} LateOp;

static LateOp *late_op_free(LateOp *op)
{
        if (op) {
                task_row_free(op->row);
                free(op->op.detail);
                free(op);
        }
        return NULL;
}
DEFINE_CLEANUP_FUNC(LateOp *, late_op_free)

static void on_written(const ReeveError *error, int64_t last_event, void *userdata)
{
        _cleanup_(late_op_freep) LateOp *op = ASSERT_PTR(userdata);

        if (error)
                log_full_reeve_error(LOG_ERR, error, op->op.task_id);
        else
                service_publish(op->op.service, last_event, &op->op, op->row);
}

/* Puts the result into the row's text, and fills the event. -ENOENT: the step waits for none. */
static int change(LateOp *op)
{
        _cleanup_(ladder_freep) Ladder *l = NULL;
        Service *s = op->op.service;

        int r = service_ladder_of_row(op->row, &l);
        if (r < 0)
                return r;
        LadderStep *step = ladder_step(l, op->result.number);
        if (!step || step->state != LADDER_ACTING)
                return -ENOENT;
        bool failed = op->error.code != REEVE_ERROR_NONE;
        ladder_finish(step, failed ? LADDER_FAILED : LADDER_DONE, clock_realtime(s->clock),
                      op->result.lateness_usec, failed ? op->error.text : NULL);
        _cleanup_json_ json_t *array = ladder_to_json(l, op->row->sla_deadline_realtime);
        char *text = array ? json_format(array) : NULL;
        if (!text)
                return -ENOMEM;
        free(op->row->ladder);
        op->row->ladder = text;
        op->op.topic = "task.sla_step";
        op->op.realtime = step->fired_realtime;
        op->op.detail = service_ladder_event(op->row, l, op->row->sla_deadline_realtime, step);
        return op->op.detail ? 0 : -ENOMEM;
}

static int write_back(LateOp *op)
{
        _cleanup_(store_write_freep) StoreWrite *w =
                        store_write_new(op->op.service->store, 0, on_written, op);
        EventRow e = { .realtime = op->op.realtime,
                       .topic = (char *)op->op.topic,
                       .task_id = op->row->task_id,
                       .subsystem = op->row->subsystem,
                       .detail = op->op.detail };

        if (!w || store_write_update_task(w, op->row) < 0 || store_write_event(w, &e) < 0)
                return -ENOMEM;
        return store_write_submit(TAKE_PTR(w));
}

static void on_row(const ReeveError *error, TaskRow **rows, size_t n, void *userdata)
{
        _cleanup_(late_op_freep) LateOp *op = ASSERT_PTR(userdata);

        if (error || n == 0 || !task_state_is_final(rows[0]->status))
                return;
        op->row = task_row_copy(rows[0]);
        int r = op->row ? change(op) : -ENOMEM;
        if (r >= 0)
                r = write_back(op);
        if (r >= 0)
                op = NULL; /* on_written() has it */
        else if (r != -ENOENT)
                log_error_errno(r, "%s: cannot store a step of its ladder", op->op.task_id);
}

static void on_ended(const ReeveError *error, int64_t last_event, void *userdata)
{
        LateOp *op = ASSERT_PTR(userdata);

        if (error || store_get(op->op.service->store, op->op.task_id, on_row, op) < 0)
                late_op_free(op);
}

void service_ladder_late_result(Service *s, const LadderLateResult *result, const ReeveError *error)
{
        assert(s);
        assert(result);

        _cleanup_(late_op_freep) LateOp *op = NEW0(LateOp, 1);
        if (!op)
                return;
        op->op.service = s;
        strcpy(op->op.task_id, result->task_id);
        op->result = *result;
        op->result.task_id = op->op.task_id;
        if (error)
                op->error = *error;
        StoreWrite *w = store_write_new(s->store, 0, on_ended, op);
        if (w && store_write_submit(w) >= 0)
                op = NULL; /* on_ended() has it */
}
