/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Acting on a task: the caller must own it, it must run, and the launcher does it.
 *
 * Cancelling is a wish that is made durable first (the row's cancel_requested), then carried out: thaw, TERM to all, KILL
 * after the grace that its record carries. Whatever ends the task after that, it is `cancelled`. The wish is carried out again
 * after a restart of ours and whenever the launcher comes back, so it is enough that it was accepted. */

#include <errno.h>
#include <signal.h>
#include <string.h>

#include "basic/log.h"
#include "daemon/service/service-internal.h"

bool caller_owns(const Caller *c, const TaskRow *t)
{
        assert(c);
        assert(t);

        return c->admin || c->uid == 0 || c->uid == t->owner_uid;
}

/* An operation that waits for the launcher's or the database's answer. */
typedef struct ActOp {
        Service *service;
        ServiceHeld held;
        char task_id[TASK_ID_MAX + 1];
        int signal; /* 0: it is about something else */
        bool whole;
        int freeze; /* 1, 0; -1: it is about something else */
        service_done_t callback;
        void *userdata;
} ActOp;

static ActOp *act_op_new(Service *s, const char *task_id, service_done_t callback, void *userdata)
{
        ActOp *op = NEW0(ActOp, 1);
        if (op) {
                op->service = s;
                op->callback = callback;
                op->userdata = userdata;
                op->freeze = -1;
                strcpy(op->task_id, task_id);
        }
        return op;
}

/* The id belongs to no open task: has it ended, or was there never one? */
static void on_looked_up(const ReeveError *error, TaskRow **rows, size_t n, void *userdata)
{
        _cleanup_free_ ActOp *op = ASSERT_PTR(userdata);
        ReeveError e = REEVE_ERROR_NULL;

        if (!error) {
                if (n > 0)
                        reeve_error_set(&e, REEVE_ERROR_ALREADY_FINISHED, "task_id",
                                        "task '%s' has ended: %s", op->task_id,
                                        task_state_name(rows[0]->status));
                else
                        reeve_error_set(&e, REEVE_ERROR_NO_SUCH_TASK, "task_id", "there is no task '%s'",
                                        op->task_id);
                error = &e;
        }
        op->callback(error, op->userdata);
}

static void answer_not_open(Service *s, const char *task_id, service_done_t callback, void *userdata)
{
        ReeveError e = REEVE_ERROR_NULL;

        if (!task_id_is_valid(task_id)) {
                reeve_error_set(&e, REEVE_ERROR_INVALID_ARGUMENT, "task_id", "not the id of a task");
                callback(&e, userdata);
                return;
        }
        ActOp *op = act_op_new(s, task_id, callback, userdata);
        if (!op || store_get(s->store, task_id, on_looked_up, op) < 0) {
                free(op);
                reeve_error_errno(&e, ENOMEM, NULL, "cannot look the task up");
                callback(&e, userdata);
        }
}

Task *service_find(Service *s, const Caller *caller, const char *task_id, service_done_t callback,
                   void *userdata)
{
        ReeveError e = REEVE_ERROR_NULL;

        assert(s);
        assert(caller);
        assert(task_id);
        assert(callback);

        Task *t = registry_get(s->registry, task_id);
        if (!t || (t->doing & TASK_DOING_FINISH)) {
                answer_not_open(s, task_id, callback, userdata);
                return NULL;
        }
        /* It may be that its row is never inserted, because another task has the id: nothing is written about it before. */
        if (t->doing & TASK_DOING_INSERT) {
                reeve_error_set(&e, REEVE_ERROR_UNAVAILABLE, "task_id", "task '%s' is being stored",
                                task_id);
                callback(&e, userdata);
                return NULL;
        }
        if (!caller_owns(caller, &t->row)) {
                reeve_error_set(&e, REEVE_ERROR_PERMISSION_DENIED, "task_id", "task '%s' is somebody else's",
                                task_id);
                callback(&e, userdata);
                return NULL;
        }
        return t;
}

/* As service_find(), and it must run. */
static Task *find_active(Service *s, const Caller *caller, const char *task_id, service_done_t callback,
                         void *userdata)
{
        ReeveError e = REEVE_ERROR_NULL;

        Task *t = service_find(s, caller, task_id, callback, userdata);
        if (t && task_is_reported(&t->row) && !service_has_processes(t)) {
                reeve_error_set(&e, REEVE_ERROR_UNAVAILABLE, "task_id",
                                "task '%s' is reported, and no process is attached to it", task_id);
                callback(&e, userdata);
                return NULL;
        }
        if (t && t->row.status != TASK_ACTIVE) {
                reeve_error_set(&e, REEVE_ERROR_UNAVAILABLE, "task_id", "task '%s' does not run yet",
                                task_id);
                callback(&e, userdata);
                return NULL;
        }
        return t;
}

static void on_frozen_told(const ReeveError *error, int64_t last_event, void *userdata)
{
        _cleanup_(task_op_freep) TaskOp *op = ASSERT_PTR(userdata);

        const Task *t = registry_get(op->service->registry, op->task_id);
        if (error)
                log_full_reeve_error(LOG_WARNING, error, op->task_id);
        else if (t)
                service_publish(op->service, last_event, op, &t->row);
}

/* It has happened, whether or not that can be told of. */
static int tell_frozen(Service *s, Task *t)
{
        _cleanup_(task_op_freep) TaskOp *op = task_op_new(s, t);
        if (!op)
                return -ENOMEM;
        _cleanup_(store_write_freep) StoreWrite *w = store_write_new(s->store, 0, on_frozen_told, op);
        if (!w || service_write_event(w, op, t, t->row.frozen ? "task.frozen" : "task.thawed",
                                      clock_realtime(s->clock)) < 0)
                return -ENOMEM;
        int r = store_write_submit(TAKE_PTR(w));
        if (r >= 0)
                op = NULL; /* on_frozen_told() has it */
        return r;
}

static void set_frozen(Service *s, Task *t, bool frozen)
{
        if (t->row.frozen == frozen)
                return;
        t->row.frozen = frozen;
        int r = tell_frozen(s, t);
        if (r < 0)
                log_warning_errno(r, "%s: cannot tell that it was %s", t->row.task_id,
                                  frozen ? "frozen" : "thawed");
}

static void on_acted(const ReeveError *error, void *userdata)
{
        _cleanup_free_ ActOp *op = ASSERT_PTR(userdata);

        Task *t = registry_get(op->service->registry, op->task_id);
        if (!error && t && op->freeze >= 0)
                set_frozen(op->service, t, op->freeze);
        op->callback(error, op->userdata);
}

static int send_act(ActOp *op, const Task *t, ReeveError *reterr)
{
        LauncherAct act = { .method = op->signal > 0 ? "Signal"
                                      : op->freeze   ? "Freeze"
                                                     : "Thaw",
                            .task_id = op->task_id,
                            .attempt = t->row.attempt,
                            .signal = op->signal,
                            .whole = op->whole };

        return launcher_client_act(op->service->launcher, &act, on_acted, op, reterr);
}

/* Not sent again when the connection breaks after it: it may have been done. */
static void act(ServiceHeld *h, const ReeveError *error)
{
        _cleanup_free_ ActOp *op = container_of(h, ActOp, held);
        Service *s = op->service;
        ReeveError e = REEVE_ERROR_NULL;

        if (error) {
                op->callback(error, op->userdata);
                return;
        }
        const Task *t = registry_get(s->registry, op->task_id);
        if (!t || (t->doing & TASK_DOING_FINISH))
                answer_not_open(s, op->task_id, op->callback, op->userdata);
        else if (send_act(op, t, &e) >= 0)
                op = NULL; /* on_acted() has it */
        else if (!launcher_client_is_connected(s->launcher))
                service_hold(s, &TAKE_PTR(op)->held); /* it broke as we wrote */
        else
                op->callback(&e, op->userdata);
}

static void drop_act(ServiceHeld *h)
{
        free(container_of(h, ActOp, held));
}

/* `wish` says what is to be done to an active task of the caller's. */
static void start_act(Service *s, const Caller *caller, const char *task_id, const ActOp *wish)
{
        ReeveError e = REEVE_ERROR_NULL;

        if (!find_active(s, caller, task_id, wish->callback, wish->userdata))
                return;
        ActOp *op = act_op_new(s, task_id, wish->callback, wish->userdata);
        if (!op) {
                reeve_error_errno(&e, ENOMEM, NULL, "cannot act on the task");
                wish->callback(&e, wish->userdata);
                return;
        }
        op->signal = wish->signal;
        op->whole = wish->whole;
        op->freeze = wish->freeze;
        op->held = (ServiceHeld){ .go = act, .drop = drop_act };
        service_hold(s, &op->held);
}

void service_signal(Service *s, const Caller *caller, const SignalRequest *q, service_done_t callback,
                    void *userdata)
{
        ReeveError e = REEVE_ERROR_NULL;

        if (q->number < 1 || q->number > SIGRTMAX) {
                reeve_error_set(&e, REEVE_ERROR_INVALID_ARGUMENT, "signal", "must be 1 to %d, not %d",
                                SIGRTMAX, q->number);
                callback(&e, userdata);
                return;
        }
        start_act(s, caller, q->task_id,
                  &(ActOp){ .signal = q->number,
                            .whole = q->whole,
                            .freeze = -1,
                            .callback = callback,
                            .userdata = userdata });
}

void service_freeze(Service *s, const Caller *caller, const char *task_id, bool freeze,
                    service_done_t callback, void *userdata)
{
        start_act(s, caller, task_id,
                  &(ActOp){ .freeze = freeze, .callback = callback, .userdata = userdata });
}

/* ---- cancelling ---- */

#define KILL_AGAIN_USEC (2 * USEC_PER_SEC)

static usec_t grace_of(Service *s, const Task *t)
{
        _cleanup_(record_unmapp) const Record *record = NULL;
        char name[TASK_ATTEMPT_NAME_SIZE];

        task_attempt_name(t->row.task_id, t->row.attempt, name);
        if (record_map(record_watch_dir_fd(s->records), name, &record) < 0)
                return s->settings.grace_usec;
        return record->grace_usec;
}

static int compare_kills(const void *a, const void *b)
{
        const Task *x = a, *y = b;
        return x->kill_boottime < y->kill_boottime ? -1 : x->kill_boottime > y->kill_boottime;
}

static void arm_kill_timer(Service *s)
{
        const Task *first = prioq_peek(s->kills);

        if (!first)
                return;
        sd_event_source_set_time(s->kill_timer, first->kill_boottime);
        sd_event_source_set_enabled(s->kill_timer, SD_EVENT_ONESHOT);
}

static int on_kill_timer(sd_event_source *source, uint64_t usec, void *userdata)
{
        Service *s = ASSERT_PTR(userdata);
        usec_t now = clock_boottime(s->clock);

        for (Task *t; (t = prioq_peek(s->kills)) && t->kill_boottime <= now;) {
                launcher_client_kill(s->launcher, t->row.task_id, t->row.attempt);
                t->kill_boottime = usec_add(now, KILL_AGAIN_USEC);
                prioq_reshuffle(s->kills, &t->kill_index);
        }
        arm_kill_timer(s);
        return 0;
}

int service_start_kills(Service *s)
{
        assert(s);

        s->kills = prioq_new(compare_kills);
        if (!s->kills)
                return -ENOMEM;
        int r = sd_event_add_time(s->event, &s->kill_timer, CLOCK_BOOTTIME, 0, 1, on_kill_timer, s);
        return r < 0 ? r : sd_event_source_set_enabled(s->kill_timer, SD_EVENT_OFF);
}

void service_kill_later(Service *s, Task *t, usec_t boottime)
{
        assert(s);
        assert(t);

        if (t->kill_index != PRIOQ_NONE) {
                t->kill_boottime = MIN(t->kill_boottime, boottime);
                prioq_reshuffle(s->kills, &t->kill_index);
        } else {
                t->kill_boottime = boottime;
                int r = prioq_put(s->kills, t, &t->kill_index);
                if (r < 0)
                        log_error_errno(r, "%s: was told to end, but cannot be killed later",
                                        t->row.task_id);
        }
        arm_kill_timer(s);
}

void service_forget_kill(Service *s, Task *t)
{
        assert(s);
        assert(t);

        prioq_remove(s->kills, &t->kill_index);
}

void service_carry_out_cancel(Service *s, Task *t)
{
        assert(s);
        assert(t);
        assert(t->row.cancel_requested);

        if (t->doing & (TASK_DOING_INSERT | TASK_DOING_LAUNCH | TASK_DOING_FINISH))
                return; /* each of them comes back to it */
        if (t->row.status == TASK_PENDING) {
                if (service_look_at_record(s, t) != 0)
                        return;
                if (service_has_record(s, t)) /* it may start yet, launcher or not */
                        service_retry_later(s);
                else
                        service_end_otherwise(s, t, TASK_CANCELLED, TASK_OUTCOME_NONE,
                                              t->row.message ? NULL : "cancelled");
                return;
        }
        if (t->row.status == TASK_VERIFYING) {
                service_verify_drop(t);
                service_end_otherwise(s, t, TASK_CANCELLED, TASK_OUTCOME_NONE, NULL);
                return;
        }
        if (!service_has_processes(
                            t)) { /* whoever reports it is told when he speaks next: AlreadyFinished */
                service_end_otherwise(s, t, TASK_CANCELLED, TASK_OUTCOME_NONE, NULL);
                return;
        }
        /* The end of the task, or the kill timer, is the answer that counts. */
        LauncherAct thaw = { .method = "Thaw", .task_id = t->row.task_id, .attempt = t->row.attempt };
        LauncherAct term = { .method = "Signal",
                             .task_id = t->row.task_id,
                             .attempt = t->row.attempt,
                             .signal = SIGTERM,
                             .whole = true };
        launcher_client_act(s->launcher, &thaw, NULL, NULL, NULL);
        launcher_client_act(s->launcher, &term, NULL, NULL, NULL);
        if (t->kill_index == PRIOQ_NONE)
                service_kill_later(s, t, usec_add(clock_boottime(s->clock), grace_of(s, t)));
}

static void on_cancel_committed(const ReeveError *error, int64_t last_event, void *userdata)
{
        _cleanup_free_ ActOp *op = ASSERT_PTR(userdata);
        op->callback(error, op->userdata);
}

static int write_cancel(Service *s, Task *t, service_done_t callback, void *userdata)
{
        ActOp *op = act_op_new(s, t->row.task_id, callback, userdata);
        if (!op)
                return -ENOMEM;
        _cleanup_(store_write_freep) StoreWrite *w = store_write_new(s->store, 0, on_cancel_committed, op);
        if (!w || store_write_update_task(w, &t->row) < 0) {
                free(op);
                return -ENOMEM;
        }
        int r = store_write_submit(TAKE_PTR(w));
        if (r < 0)
                free(op);
        return r;
}

void service_cancel(Service *s, const Caller *caller, const char *task_id, const char *reason,
                    service_done_t callback, void *userdata)
{
        ReeveError e = REEVE_ERROR_NULL;

        if (reason && strlen(reason) > TASK_MESSAGE_MAX) {
                reeve_error_set(&e, REEVE_ERROR_LIMIT_EXCEEDED, "reason", "longer than %d bytes",
                                TASK_MESSAGE_MAX);
                callback(&e, userdata);
                return;
        }
        Task *t = service_find(s, caller, task_id, callback, userdata);
        if (!t)
                return;
        if (!t->row.cancel_requested) {
                t->row.cancel_requested = true;
                task_set_message(t, "%s", reason ?: "cancelled");
        }
        int r = write_cancel(s, t, callback, userdata);
        if (r < 0) {
                reeve_error_errno(&e, r, NULL, "cannot store the wish");
                callback(&e, userdata);
                return;
        }
        service_carry_out_cancel(s, t);
}
