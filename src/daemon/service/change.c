/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* A caller changes something about a task that is stored: it is held, released, its deadline is extended.
 *
 * The task in memory is changed first, by whoever knows how; here the row and the event that tells of it are committed
 * together, and then the monitors are told and the caller is answered, in this order. If the commit fails, the caller is
 * told so, and what is in memory stays as it is: the row is written again with the next thing that happens to the task. */

#include <errno.h>
#include <string.h>

#include "basic/crash.h"
#include "daemon/service/service-internal.h"

typedef struct ChangeOp {
        TaskOp op;
        service_done_t callback;
        void *userdata;
} ChangeOp;

static ChangeOp *change_op_free(ChangeOp *op)
{
        if (op) {
                free(op->op.detail);
                free(op);
        }
        return NULL;
}
DEFINE_CLEANUP_FUNC(ChangeOp *, change_op_free)

static void on_changed(const ReeveError *error, int64_t last_event, void *userdata)
{
        _cleanup_(change_op_freep) ChangeOp *op = ASSERT_PTR(userdata);

        const Task *t = registry_get(op->op.service->registry, op->op.task_id);
        if (!error)
                CRASH_POINT("reeved", "changed");
        if (!error && t)
                service_publish(op->op.service, last_event, &op->op, &t->row);
        op->callback(error, op->userdata);
}

int service_commit_change(Service *s, const Task *t, const char *topic, service_done_t callback,
                          void *userdata)
{
        assert(s);
        assert(t);
        assert(topic);
        assert(callback);

        _cleanup_(change_op_freep) ChangeOp *op = NEW0(ChangeOp, 1);
        if (!op)
                return -ENOMEM;
        op->op.service = s;
        strcpy(op->op.task_id, t->row.task_id);
        op->callback = callback;
        op->userdata = userdata;
        _cleanup_(store_write_freep) StoreWrite *w = store_write_new(s->store, 0, on_changed, op);
        if (!w || store_write_update_task(w, &t->row) < 0 ||
            service_write_event(w, &op->op, t, topic, clock_realtime(s->clock)) < 0)
                return -ENOMEM;
        int r = store_write_submit(TAKE_PTR(w));
        if (r >= 0)
                op = NULL; /* on_changed() has it */
        return r;
}
