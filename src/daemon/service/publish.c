/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Events from elsewhere: each stands for a call about a reported task, and becomes one. So who may, what is the same again and what is
 * late is decided where it is decided for those calls, and nothing here changes a task.
 *
 *     created                          Start, `pending`
 *     started                          BEGIN
 *     updated, completed, failed       Update, Complete, Fail
 *     cancelled                        Cancel, then its end is waited for
 *
 * Events come out of order. One about a task that is not known yet makes the task first, by Start, if it says enough for that; else it
 * is answered with NoSuchTask. The same goes for one whose Start finds, the second time, that somebody was quicker.
 *
 * And those that come in order must not overtake each other: a task is not known before its Start has asked for a forecast and was
 * committed, nor while it is being looked up. So as long as an event is out whose task is not in memory, or not in the database,
 * later ones about that task wait for it, in their order. One task's events alone wait; the others go on.
 *
 * What follows an answer is done in another turn of the loop: the service answers in the middle of what it does. */

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "common/json/json.h"
#include "daemon/service/parameters.h"
#include "daemon/service/publish-internal.h"

#define WAITING_MAX 1024 /* events of one task: as many as a connection may have open */

typedef struct PublishOp {
        ListLink of_all; /* Service.published */
        ListLink link;   /* of the list of who is waited for, or of Service.published_next */
        Service *service;
        Caller caller; /* its groups are ours */
        gid_t *groups;
        PublishEvent event;
        void (*step)(struct PublishOp *op); /* what it does when its turn comes */
        bool made;                          /* Start was called */
        bool first; /* it is in Service.publishers: later events of its task wait in `waiting` */
        ListLink waiting;
        size_t n_waiting;
        service_published_t callback;
        void *userdata;
} PublishOp;

static PublishOp *publish_op_free(PublishOp *op)
{
        if (!op)
                return NULL;
        list_remove(&op->of_all);
        list_remove(&op->link);
        publish_event_done(&op->event);
        free(op->groups);
        free(op);
        return NULL;
}
DEFINE_CLEANUP_FUNC(PublishOp *, publish_op_free)

/* NULL when memory is short. */
static PublishOp *publish_op_new(Service *s, const Caller *caller, service_published_t callback,
                                 void *userdata)
{
        _cleanup_(publish_op_freep) PublishOp *op = NEW0(PublishOp, 1);
        if (!op)
                return NULL;
        op->service = s;
        op->caller = *caller;
        if (caller->n_groups > 0 && !(op->groups = NEW(gid_t, caller->n_groups)))
                return NULL;
        if (caller->n_groups > 0)
                memcpy(op->groups, caller->groups, caller->n_groups * sizeof(gid_t));
        op->caller.groups = caller->groups ? op->groups : NULL;
        list_init(&op->waiting);
        op->callback = callback;
        op->userdata = userdata;
        list_append(&s->published, &op->of_all);
        return TAKE_PTR(op);
}

/* It goes on in the next turn of the loop. */
static void go_on_later(PublishOp *op, void (*step)(PublishOp *))
{
        op->step = step;
        list_append(&op->service->published_next, &op->link);
        sd_event_source_set_enabled(op->service->publish_source, SD_EVENT_ONESHOT);
}

static void act(PublishOp *op);
static void make(PublishOp *op);
static void answer_errno(PublishOp *op, int r, const char *what);

/* ---- answers ---- */

/* The next one of those that wait takes the place of who is answered. */
static void give_way(PublishOp *op)
{
        Service *s = op->service;
        ListLink *link = list_pop(&op->waiting);

        hash_remove(s->publishers, op->event.task_id);
        if (!link)
                return;
        PublishOp *next = container_of(link, PublishOp, link);
        int r = hash_put(s->publishers, next->event.task_id, next);
        if (r < 0) {
                answer_errno(next, r, "cannot keep events in their order");
                while ((link = list_pop(&op->waiting)))
                        answer_errno(container_of(link, PublishOp, link), r,
                                     "cannot keep events in their order");
                return;
        }
        next->first = true;
        list_splice(&next->waiting, &op->waiting);
        next->n_waiting = op->n_waiting - 1;
        go_on_later(next, act);
}

static void answer(PublishOp *taken, const ReeveError *error, const TaskRow *task)
{
        _cleanup_(publish_op_freep) PublishOp *op = taken;

        if (op->first)
                give_way(op);
        op->callback(error, task, op->service->last_event, op->userdata);
}

static void answer_errno(PublishOp *op, int r, const char *what)
{
        ReeveError e = REEVE_ERROR_NULL;

        reeve_error_errno(&e, r, NULL, "%s", what);
        answer(op, &e, NULL);
}

static void on_found(const ReeveError *error, const TaskRow *task, void *userdata)
{
        answer(ASSERT_PTR(userdata), error, task);
}

static void on_done(const ReeveError *error, const TaskRow *task, void *userdata)
{
        PublishOp *op = ASSERT_PTR(userdata);

        if (error && error->code == REEVE_ERROR_NO_SUCH_TASK && op->event.makes_task && !op->made)
                go_on_later(op, make);
        else if (!error && !task) /* it was updated, and has ended since */
                service_get(op->service, op->event.task_id, on_found, op);
        else
                answer(op, error, task);
}

/* Cancelled: now, or before. */
static void on_ended(const ReeveError *error, const TaskRow *task, void *userdata)
{
        PublishOp *op = ASSERT_PTR(userdata);
        ReeveError e = REEVE_ERROR_NULL;

        if (error || (task->status == TASK_CANCELLED && caller_owns(&op->caller, task))) {
                answer(op, error, task);
                return;
        }
        reeve_error_set(&e, REEVE_ERROR_ALREADY_FINISHED, "task_id", "task '%s' has ended: %s",
                        task->task_id, task_state_name(task->status));
        answer(op, &e, NULL);
}

static void on_cancelled(const ReeveError *error, void *userdata)
{
        PublishOp *op = ASSERT_PTR(userdata);

        if (!error || error->code == REEVE_ERROR_ALREADY_FINISHED)
                service_wait(op->service, op->event.task_id, on_ended, op);
        else
                on_done(error, NULL, op);
}

/* Whatever came of it but for other failures, the task is there now: what is to be said of it is said. */
static void on_made(const ReeveError *error, const TaskRow *task, void *userdata)
{
        PublishOp *op = ASSERT_PTR(userdata);

        if (op->event.act == PUBLISH_CREATED || (error && error->code != REEVE_ERROR_ALREADY_EXISTS))
                answer(op, error, task);
        else
                go_on_later(op, act);
}

/* ---- acts ---- */

static void make(PublishOp *op)
{
        _cleanup_(start_texts_done) StartTexts texts = { 0 };
        ReeveError e = REEVE_ERROR_NULL;
        StartRequest q;

        op->made = true;
        if (start_parameters_parse(op->event.start, NULL, NULL, &q, &texts, &e) < 0) {
                answer(op, &e, NULL);
                return;
        }
        q.pending = op->event.act != PUBLISH_STARTED && op->event.act != PUBLISH_UPDATED;
        service_start(op->service, &op->caller, &q, on_made, op);
}

static void cancel(PublishOp *op)
{
        Task *t = registry_get(op->service->registry, op->event.task_id);
        const char *reason = json_get_string(op->event.said, "message");
        ReeveError e = REEVE_ERROR_NULL;

        if (t && !task_is_reported(&t->row)) {
                reeve_error_set(&e, REEVE_ERROR_INVALID_ARGUMENT, "task_id",
                                "task '%s' is not reported: it ends with its processes", op->event.task_id);
                answer(op, &e, NULL);
                return;
        }
        service_cancel(op->service, &op->caller, op->event.task_id, reason, on_cancelled, op);
}

static void report(PublishOp *op, ReportKind kind)
{
        ReportRequest q = { .kind = kind, .task_id = op->event.task_id };
        ReeveError e = REEVE_ERROR_NULL;

        if (kind != REPORT_BEGIN && report_parameters_parse(op->event.said, kind, &q, &e) < 0)
                answer(op, &e, NULL);
        else
                service_report(op->service, &op->caller, &q, on_done, op);
}

static void act(PublishOp *op)
{
        static const ReportKind kinds[_PUBLISH_ACT_MAX] = { [PUBLISH_STARTED] = REPORT_BEGIN,
                                                            [PUBLISH_UPDATED] = REPORT_UPDATE,
                                                            [PUBLISH_COMPLETED] = REPORT_COMPLETE,
                                                            [PUBLISH_FAILED] = REPORT_FAIL };

        if (op->event.act == PUBLISH_CREATED)
                make(op);
        else if (op->event.act == PUBLISH_CANCELLED)
                cancel(op);
        else
                report(op, kinds[op->event.act]);
}

/* ---- order ---- */

/* Is what is out about the task to be waited for? */
static bool is_unsettled(Service *s, const char *task_id)
{
        const Task *t = registry_get(s->registry, task_id);
        return !t || (t->doing & TASK_DOING_INSERT);
}

static void wait_for(PublishOp *op, PublishOp *first)
{
        ReeveError e = REEVE_ERROR_NULL;

        if (first->n_waiting >= WAITING_MAX) {
                reeve_error_set(&e, REEVE_ERROR_UNAVAILABLE, "task_id", "%d events of task '%s' wait",
                                WAITING_MAX, op->event.task_id);
                answer(op, &e, NULL);
                return;
        }
        list_append(&first->waiting, &op->link);
        first->n_waiting++;
}

static void take(PublishOp *op)
{
        Service *s = op->service;
        const char *id = op->event.task_id;
        PublishOp *first = id ? hash_get(s->publishers, id) : NULL;

        if (first && (first->n_waiting > 0 || list_is_linked(&first->link) || is_unsettled(s, id))) {
                wait_for(op, first);
                return;
        }
        if (id && !first && is_unsettled(s, id)) {
                int r = hash_put(s->publishers, id, op);
                if (r < 0) {
                        answer_errno(op, r, "cannot take another event");
                        return;
                }
                op->first = true;
        }
        act(op);
}

/* Those that wait for it follow at once when its task is there. */
static void go_on(PublishOp *op)
{
        Service *s = op->service;
        char id[TASK_ID_MAX + 1];
        ListLink *link;

        snprintf(id, sizeof(id), "%s", op->event.task_id ?: "");
        op->step(op);
        while (hash_get(s->publishers, id) == op && !list_is_linked(&op->link) && !is_unsettled(s, id) &&
               (link = list_pop(&op->waiting))) {
                op->n_waiting--;
                act(container_of(link, PublishOp, link));
        }
}

static int on_next(sd_event_source *source, void *userdata)
{
        Service *s = ASSERT_PTR(userdata);
        ListLink now = LIST_INIT(now);

        list_splice(&now, &s->published_next);
        for (ListLink *link; (link = list_pop(&now));)
                go_on(container_of(link, PublishOp, link));
        return 0;
}

/* ---- the service ---- */

int service_start_publishing(Service *s)
{
        assert(s);

        list_init(&s->published);
        list_init(&s->published_next);
        s->publishers = hash_new();
        if (!s->publishers)
                return -ENOMEM;
        int r = sd_event_add_defer(s->event, &s->publish_source, on_next, s);
        return r < 0 ? r : sd_event_source_set_enabled(s->publish_source, SD_EVENT_OFF);
}

void service_stop_publishing(Service *s)
{
        assert(s);

        if (!s->publishers)
                return;
        for (ListLink *link; (link = list_pop(&s->published));)
                publish_op_free(container_of(link, PublishOp, of_all));
        s->publish_source = sd_event_source_disable_unref(s->publish_source);
        s->publishers = hash_free(s->publishers);
}

/* Also what will not be needed, if there is such a task, must be right: who publishes nonsense hears of it the first time. */
static int check_start(json_t *start, ReeveError *e)
{
        _cleanup_(start_texts_done) StartTexts texts = { 0 };
        _cleanup_json_ json_t *whole = json_pack("{ss ss}", "subsystem", "x", "task_type", "x");
        StartRequest q;

        if (!whole || json_object_update(whole, start) < 0)
                return reeve_error_errno(e, ENOMEM, NULL, "cannot take another event");
        return start_parameters_parse(whole, NULL, NULL, &q, &texts, e);
}

void service_take_event(Service *s, const Caller *caller, const char *topic, json_t *payload,
                        service_published_t callback, void *userdata)
{
        ReeveError e = REEVE_ERROR_NULL;

        assert(s);
        assert(caller);
        assert(callback);

        _cleanup_(publish_op_freep) PublishOp *op = publish_op_new(s, caller, callback, userdata);
        if (!op)
                reeve_error_errno(&e, ENOMEM, NULL, "cannot take another event");
        else if (publish_event_parse(topic, payload, &op->event, &e) >= 0 &&
                 check_start(op->event.start, &e) >= 0) {
                take(TAKE_PTR(op));
                return;
        }
        callback(&e, NULL, s->last_event, userdata);
}
