/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* A task that starts after others have completed, and is cancelled when one of them ends otherwise. The ids are in its row; here
 * is one Need for each that has not completed yet, linked into the task that it is about while that is open, else on its way to
 * the database and back.
 *
 * The request was refused if one of the ids was unknown, so all of them are older than the task, and there are no cycles. */

#include <errno.h>
#include <string.h>

#include "basic/log.h"
#include "daemon/service/service-internal.h"

typedef struct Need {
        ListLink link; /* of TaskQueue.needs */
        ListLink of;   /* of Task.dependents; not linked: the database is being asked */
        TaskQueue *queue;
        char task_id[TASK_ID_MAX + 1];
} Need;

/* What comes back from the database. */
typedef struct NeedOp {
        Service *service;
        char waiter[TASK_ID_MAX + 1], task_id[TASK_ID_MAX + 1];
} NeedOp;

static void need_free(Need *n)
{
        list_remove(&n->link);
        list_remove(&n->of);
        free(n);
}

void service_after_forget(TaskQueue *q)
{
        assert(q);

        LIST_FOREACH_SAFE(&q->needs, link)
                need_free(container_of(link, Need, link));
}

/* ---- what becomes of it ---- */

static void met(Need *n)
{
        TaskQueue *q = n->queue;

        need_free(n);
        service_queue_ready(q->service, q->task);
}

/* The need is gone with its task's place in the queue. */
static void never_met(Need *n, const char *what)
{
        char message[TASK_ID_MAX + 128];
        Task *t = n->queue->task;

        snprintf(message, sizeof(message), "it was to start after %s, which %s", n->task_id, what);
        if (t->row.status != TASK_PENDING || (t->doing & TASK_DOING_FINISH))
                need_free(n);
        else
                service_end_otherwise(n->queue->service, t, TASK_CANCELLED, TASK_OUTCOME_NONE, message);
}

static const char *what_it_did(TaskState state)
{
        switch (state) {
        case TASK_FAILED:
                return "failed";
        case TASK_CANCELLED:
                return "was cancelled";
        case TASK_LOST:
                return "was lost";
        case TASK_PENDING:
        case TASK_ACTIVE:
        case TASK_VERIFYING:
        case TASK_COMPLETED:
        case _TASK_STATE_MAX:
        case _TASK_STATE_INVALID:
                break;
        }
        return "was never created";
}

void service_after_ended(Service *s, Task *t)
{
        ListLink *link;

        assert(s);
        assert(t);

        while ((link = list_pop(&t->dependents))) {
                Need *n = container_of(link, Need, of);
                if (t->row.status == TASK_COMPLETED)
                        met(n);
                else
                        never_met(n, what_it_did(t->row.status));
        }
        service_queue_run(s);
}

/* ---- finding out ---- */

static Need *find(const TaskQueue *q, const char *task_id)
{
        LIST_FOREACH(&q->needs, link) {
                Need *n = container_of(link, Need, link);
                if (strcmp(n->task_id, task_id) == 0)
                        return n;
        }
        return NULL;
}

static void on_other(const ReeveError *error, TaskRow **rows, size_t n_rows, void *userdata)
{
        _cleanup_free_ NeedOp *op = ASSERT_PTR(userdata);
        Service *s = op->service;

        const Task *t = registry_get(s->registry, op->waiter);
        Need *n = t && t->queue ? find(t->queue, op->task_id) : NULL;
        if (!n)
                return;
        if (error) {
                log_full_reeve_error(LOG_ERR, error, op->waiter);
                never_met(n, "cannot be looked up");
        } else if (n_rows > 0 && rows[0]->status == TASK_COMPLETED)
                met(n);
        else
                never_met(n, what_it_did(n_rows > 0 ? rows[0]->status : _TASK_STATE_INVALID));
        service_queue_run(s);
}

static int ask(Service *s, const Task *t, const Need *n)
{
        NeedOp *op = NEW0(NeedOp, 1);
        if (!op)
                return -ENOMEM;
        op->service = s;
        strcpy(op->waiter, t->row.task_id);
        strcpy(op->task_id, n->task_id);
        int r = store_get(s->store, op->task_id, on_other, op);
        if (r < 0)
                free(op);
        return r;
}

static int add(Service *s, Task *t, const char *id, size_t size)
{
        Need *n = NEW0(Need, 1);
        if (!n)
                return -ENOMEM;
        assert(size <= TASK_ID_MAX);
        memcpy(n->task_id, id, size);
        n->queue = t->queue;
        list_append(&t->queue->needs, &n->link);
        Task *other = registry_get(s->registry, n->task_id);
        if (!other)
                return ask(s, t, n);
        list_append(&other->dependents, &n->of);
        return 0;
}

int service_after_begin(Service *s, Task *t)
{
        int r = 0;

        assert(s);
        assert(t && t->queue);

        for (const char *p = t->row.after; r >= 0 && p && *p;) {
                size_t n = strcspn(p, ",");
                r = add(s, t, p, n);
                p += n + (p[n] == ',');
        }
        return r;
}

size_t service_after_describe(const TaskQueue *q, char *text, size_t size)
{
        size_t n = 0;

        assert(q);
        assert(text);

        LIST_FOREACH(&q->needs, link) {
                const Need *need = container_of(link, Need, link);
                if (n++ == 0)
                        snprintf(text, size, "waits for %s", need->task_id);
        }
        if (n > 1)
                snprintf(text + strlen(text), size - strlen(text), " and %zu more", n - 1);
        return n;
}
