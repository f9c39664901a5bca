/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Run, and Attach, which differs in what the launcher does, in the order of acts of the design:
 *
 *     (1) the client chose the id and sealed the specification
 *     (2) the launcher authorises it; row, specification and ticket are committed      TASK_DOING_INSERT
 *     (3) Launch                                                                         TASK_DOING_LAUNCH
 *     (4) the answer, after exec or its errno
 *
 * so a task that was acknowledged is in the database, and the launcher's list of spent tickets sees to it that it starts at
 * most once however often we try. A request for an id that exists is answered with that task if it came from the same owner
 * with the same content (SHA-256 over all of it), else with AlreadyExists, which reveals nothing.
 *
 * Launch may end in three ways: it ran (or could not be executed: then its record says so); it was refused (the task has failed); or
 * the launcher went away. In the last case only the record and the spent list know what happened: recover.c asks them. */

#include <errno.h>
#include <string.h>

#include "basic/crash.h"
#include "basic/fd.h"
#include "basic/log.h"
#include "basic/strings.h"
#include "daemon/service/request.h"
#include "daemon/service/service-internal.h"

/* Somebody who waits for the answer of Run. */
typedef struct RunWaiter {
        ListLink link; /* of Task.runs */
        service_task_t callback;
        void *userdata;
} RunWaiter;

void service_answer_runs(Service *s, Task *t, const ReeveError *error)
{
        ListLink *link;

        assert(s);
        assert(t);

        while ((link = list_pop(&t->runs))) {
                _cleanup_free_ RunWaiter *w = container_of(link, RunWaiter, link);
                w->callback(error, error ? NULL : &t->row, w->userdata);
        }
}

void service_drop_runs(Task *t)
{
        ListLink *link;

        assert(t);

        while ((link = list_pop(&t->runs)))
                free(container_of(link, RunWaiter, link));
}

int service_add_run(Task *t, service_task_t callback, void *userdata)
{
        assert(t);

        RunWaiter *w = NEW0(RunWaiter, 1);
        if (!w)
                return -ENOMEM;
        w->callback = callback;
        w->userdata = userdata;
        list_append(&t->runs, &w->link);
        return 0;
}

static bool is_same(const TaskRow *a, const TaskRow *b)
{
        return a->owner_uid == b->owner_uid &&
               memcmp(a->content_hash, b->content_hash, sizeof(a->content_hash)) == 0;
}

/* The same request again, while its task is open: answers with it, when it has been launched or has to wait. */
static void join(Task *t, service_task_t callback, void *userdata)
{
        ReeveError e = REEVE_ERROR_NULL;

        if (t->row.status != TASK_PENDING || service_queue_waits(t))
                callback(NULL, &t->row, userdata);
        else if (service_add_run(t, callback, userdata) < 0) {
                reeve_error_errno(&e, ENOMEM, NULL, "cannot take another request");
                callback(&e, NULL, userdata);
        }
}

/* The id is taken by an open task: answers. */
static void join_or_refuse(const RunOp *op, Task *t)
{
        ReeveError e = REEVE_ERROR_NULL;

        if (is_same(&t->row, &op->row)) {
                join(t, op->callback, op->userdata);
                return;
        }
        reeve_error_set(&e, REEVE_ERROR_ALREADY_EXISTS, "task_id", "a task with this id exists");
        op->callback(&e, NULL, op->userdata);
}

/* A task of the same key is open: answers with it, or that it is. */
static void join_or_refuse_unique(const RunOp *op, Task *t)
{
        ReeveError e = REEVE_ERROR_NULL;

        if (op->join) {
                join(t, op->callback, op->userdata);
                return;
        }
        reeve_error_set(&e, REEVE_ERROR_ALREADY_EXISTS, "unique", "task '%s' has this key and has not ended",
                        t->row.task_id);
        op->callback(&e, NULL, op->userdata);
}

/* Is there an open task that answers this request? Then it did. */
static bool is_answered(RunOp *op)
{
        Task *t = registry_get(op->service->registry, op->row.task_id);
        if (t) {
                join_or_refuse(op, t);
                return true;
        }
        t = service_unique_find(op->service, &op->row);
        if (t)
                join_or_refuse_unique(op, t);
        return t;
}

/* ---- (3) launching ---- */

static void refused(Service *s, Task *t, const ReeveError *error)
{
        task_set_message(t, "%s%s%s", error->field, error->field[0] ? ": " : "", error->text);
        service_answer_runs(s, t, error);
        service_end_otherwise(s, t, TASK_FAILED, TASK_OUTCOME_EXEC, NULL);
}

static bool is_scope(const TaskRow *row)
{
        return row->has_backend && row->backend == RECORD_BACKEND_SCOPE;
}

static void started(Service *s, Task *t, const LaunchResult *result)
{
        AttemptRow a = {
                .task_id = t->row.task_id,
                .attempt = t->row.attempt + 1,
                .backend = !result->cgroup[0]  ? RECORD_BACKEND_PROCESS
                           : is_scope(&t->row) ? RECORD_BACKEND_SCOPE
                                               : RECORD_BACKEND_CGROUP,
                .cgroup = (char *)result->cgroup,
                .pid = result->pid,
                .started_realtime = result->started_realtime,
        };

        memcpy(t->row.boot_id, s->boot_id, sizeof(s->boot_id)); /* it may have been queued before a reboot */
        t->net = result->net;
        if (t->net.map_id != 0 && t->net.map_id != s->net_map_id)
                service_find_network_map(s); /* the launcher had to make it anew */
        task_started(t, &a, result->started_boottime);
        service_queue_started(s, t);
        task_drop_start(t);
        service_sla_started(s, t);
        service_answer_runs(s, t, NULL);
        service_commit_started(s, t, &a);
        service_ladder_act(s, t);
}

/* The launcher has answered, time and again, that it cannot: its disk is full, it may not fork. */
static bool is_final_refusal(Service *s, const Task *t, const ReeveError *error)
{
        return error->code == REEVE_ERROR_UNAVAILABLE && t->launch_tries >= SERVICE_LAUNCH_TRIES &&
               launcher_client_is_connected(s->launcher) && !service_has_record(s, t);
}

static void on_launched(const ReeveError *error, const LaunchResult *result, void *userdata)
{
        _cleanup_(task_op_freep) TaskOp *op = ASSERT_PTR(userdata);
        Service *s = op->service;

        Task *t = registry_get(s->registry, op->task_id);
        if (!t || !(t->doing & TASK_DOING_LAUNCH))
                return;
        bool ended = t->doing & TASK_RECORD_ENDED;
        t->doing &= ~(TASK_DOING_LAUNCH | TASK_RECORD_ENDED);

        if (!error) {
                CRASH_POINT("reeved", "launched");
                if (t->row.status == TASK_PENDING)
                        started(s, t, result);
                if (ended)
                        service_look_at_record(s, t);
                else if (t->row.cancel_requested)
                        service_carry_out_cancel(s, t);
                return;
        }

        switch (error->code) {
        case REEVE_ERROR_EXEC_FAILED:
                /* The record has it, or is about to: its end is the task's. */
                if (!service_may_retry(t, TASK_OUTCOME_EXEC)) {
                        task_set_message(t, "%s", error->text);
                        service_answer_runs(s, t, error);
                }
                service_look_at_record(s, t);
                return;
        case REEVE_ERROR_UNAVAILABLE:
        case REEVE_ERROR_ALREADY_EXISTS:
                log_debug("%s: %s", op->task_id, error->text);
                if (is_final_refusal(s, t, error))
                        refused(s, t, error);
                else
                        service_launch_uncertain(s, t, error->code == REEVE_ERROR_ALREADY_EXISTS);
                return;
        case REEVE_ERROR_NONE:
        case REEVE_ERROR_NO_SUCH_TASK:
        case REEVE_ERROR_ALREADY_FINISHED:
        case REEVE_ERROR_INVALID_ARGUMENT:
        case REEVE_ERROR_PERMISSION_DENIED:
        case REEVE_ERROR_LIMIT_EXCEEDED:
        case REEVE_ERROR_POLICY_VIOLATION:
        case REEVE_ERROR_INTERNAL:
        case _REEVE_ERROR_MAX:
                refused(s, t, error);
                return;
        }
}

void service_launch(Service *s, Task *t)
{
        ReeveError error = REEVE_ERROR_NULL;

        assert(s);
        assert(t);
        assert(t->row.status == TASK_PENDING);
        assert(t->hook || (t->spec_fd >= 0 && t->has_ticket));

        _cleanup_(task_op_freep) TaskOp *op = task_op_new(s, t);
        if (!op) {
                service_retry_later(s);
                return;
        }

        LaunchRequest q = {
                .spec_fd = t->spec_fd,
                .ticket = t->ticket,
                .attempt = t->row.attempt + 1,
                .backend = t->row.has_backend ? record_backend_name(t->row.backend) : "",
                .subsystem = t->row.subsystem,
                .deadline_boottime = service_sla_backstop(s, t),
                .grace_usec = s->settings.grace_usec,
                .output_cap_bytes = s->settings.output.cap_bytes,
                .priority = (unsigned)t->row.priority,
                .limits = t->policy ? t->policy->limits : NULL,
                .n_limits = t->policy ? t->policy->n_limits : 0,
                .stdio_fds = t->stdio_fds,
                .n_stdio_fds = t->n_stdio_fds,
                .attach = t->attaches,
        };
        t->launch_tries++;
        if (t->row.attempt > 0 && !t->row.cancel_requested) {
                free(t->row.message); /* why the attempt before failed */
                t->row.message = NULL;
        }
        int r = t->hook ? service_launch_hook(s, t, on_launched, op, &error)
                        : launcher_client_launch(s->launcher, &q, on_launched, op, &error);
        if (r < 0)
                return; /* no connection: service_on_launcher_connected() comes back to it */
        op = NULL;      /* on_launched() has it */
        t->doing |= TASK_DOING_LAUNCH;
}

/* ---- (2) committing ---- */

static void on_inserted(const ReeveError *error, int64_t last_event, void *userdata);

static int write_insert(Service *s, Task *t, const RunOp *op)
{
        int r;

        _cleanup_(task_op_freep) TaskOp *done = task_op_new(s, t);
        if (!done)
                return -ENOMEM;
        _cleanup_(store_write_freep) StoreWrite *w =
                        store_write_new(s->store, STORE_WRITE_REFUSABLE, on_inserted, done);
        if (!w)
                return -ENOMEM;
        if ((r = store_write_insert_task(w, &t->row)) < 0 || (r = service_write_policy(w, t->policy)) < 0 ||
            (r = store_write_spec(w, t->row.task_id, op->spec, op->spec_size, t->ticket,
                                  sizeof(t->ticket))) < 0 ||
            (r = service_write_event(w, done, t, "task.created", t->row.created_realtime)) < 0 ||
            (r = store_write_submit(TAKE_PTR(w))) < 0)
                return r;
        t->doing |= TASK_DOING_INSERT;
        done = NULL; /* on_inserted() has it */
        return 0;
}

/* The task never was: answers and forgets it. */
static void undo(Service *s, Task *t, const ReeveError *error)
{
        service_answer_runs(s, t, error);
        service_answer_waits(s, t, error);
        service_after_ended(s, t);
        service_release_ladder(s, t);
        registry_remove(s->registry, t);
}

/* The id is in the database, from a task that has ended: is it the same request again? */
typedef struct SameOp {
        Service *service;
        ReeveError otherwise; /* the answer if there is no task of that id */
        uint8_t content_hash[32];
        uid_t owner;
        ListLink runs; /* RunWaiter */
} SameOp;

static void on_same(const ReeveError *error, TaskRow **rows, size_t n, void *userdata)
{
        _cleanup_free_ SameOp *op = ASSERT_PTR(userdata);
        ReeveError exists = REEVE_ERROR_NULL;
        ListLink *link;

        if (!error && n == 0 && op->otherwise.code != REEVE_ERROR_NONE)
                error = &op->otherwise;
        if (!error && (n == 0 || rows[0]->owner_uid != op->owner ||
                       memcmp(rows[0]->content_hash, op->content_hash, sizeof(op->content_hash)) != 0)) {
                reeve_error_set(&exists, REEVE_ERROR_ALREADY_EXISTS, "task_id",
                                "a task with this id exists");
                error = &exists;
        }
        while ((link = list_pop(&op->runs))) {
                _cleanup_free_ RunWaiter *w = container_of(link, RunWaiter, link);
                w->callback(error, error ? NULL : rows[0], w->userdata);
        }
}

static void ask_for_same(Service *s, Task *t, const ReeveError *error)
{
        SameOp *op = NEW0(SameOp, 1);
        if (!op) {
                undo(s, t, error);
                return;
        }
        op->service = s;
        op->owner = t->row.owner_uid;
        memcpy(op->content_hash, t->row.content_hash, sizeof(op->content_hash));
        list_init(&op->runs);
        list_splice(&op->runs, &t->runs);
        if (store_get(s->store, t->row.task_id, on_same, op) < 0) {
                list_splice(&t->runs, &op->runs);
                free(op);
        }
        undo(s, t, error);
}

void service_insert_failed(Service *s, Task *t, const ReeveError *error)
{
        assert(s);
        assert(t);
        assert(error);

        if (error->code == REEVE_ERROR_ALREADY_EXISTS)
                ask_for_same(s, t, error);
        else
                undo(s, t, error);
}

static void on_inserted(const ReeveError *error, int64_t last_event, void *userdata)
{
        _cleanup_(task_op_freep) TaskOp *op = ASSERT_PTR(userdata);
        Service *s = op->service;

        Task *t = registry_get(s->registry, op->task_id);
        assert(t);
        t->doing &= ~TASK_DOING_INSERT;

        if (error) {
                service_insert_failed(s, t, error);
                return;
        }
        CRASH_POINT("reeved", "inserted");
        service_policy_stored(t->policy);
        service_publish(s, last_event, op, &t->row);
        service_ladder_act(s, t);
        if (t->doing & TASK_DOING_FINISH)
                return; /* its ladder has ended it */
        if (t->row.cancel_requested)
                service_carry_out_cancel(s, t);
        else
                service_queue_admit(s, t);
}

static void refuse_run(RunOp *op, const ReeveError *error)
{
        op->callback(error, NULL, op->userdata);
        run_op_free(op);
}

/* A process that was attached once and has ended cannot be authorised again; the same request is answered with its task
 * all the same. */
static void refuse_attach(RunOp *request, const ReeveError *error)
{
        _cleanup_(run_op_freep) RunOp *op = request;
        _cleanup_free_ RunWaiter *w = NEW0(RunWaiter, 1);
        _cleanup_free_ SameOp *same = NEW0(SameOp, 1);

        if (!w || !same) {
                refuse_run(TAKE_PTR(op), error);
                return;
        }
        *same = (SameOp){ .service = op->service, .otherwise = *error, .owner = op->row.owner_uid };
        memcpy(same->content_hash, op->row.content_hash, sizeof(same->content_hash));
        *w = (RunWaiter){ .callback = op->callback, .userdata = op->userdata };
        list_init(&same->runs);
        list_append(&same->runs, &w->link);
        if (store_get(op->service->store, op->row.task_id, on_same, same) < 0)
                refuse_run(TAKE_PTR(op), error);
        else
                w = NULL, same = NULL; /* on_same() has both */
}

static void on_authorized(const ReeveError *error, const uint8_t ticket[LAUNCHER_TICKET_SIZE],
                          void *userdata)
{
        _cleanup_(run_op_freep) RunOp *op = ASSERT_PTR(userdata);
        Service *s = op->service;
        ReeveError e = REEVE_ERROR_NULL;
        Task *t;

        if (error) {
                /* A connection that broke has decided nothing: a ticket that nobody got harms nobody. */
                if (!launcher_client_is_connected(s->launcher))
                        service_hold(s, &TAKE_PTR(op)->held);
                else if (op->attach)
                        refuse_attach(TAKE_PTR(op), error);
                else
                        refuse_run(TAKE_PTR(op), error);
                return;
        }
        CRASH_POINT("reeved", "authorized");
        /* Two calls with one id or key may have been authorised at the same time. */
        if (is_answered(op))
                return;
        if (registry_add(s->registry, &op->row, &t, &e) < 0) {
                op->callback(&e, NULL, op->userdata);
                return;
        }

        memcpy(t->ticket, ticket, sizeof(t->ticket));
        t->has_ticket = true;
        t->attaches = op->attach;
        t->policy = TAKE_PTR(op->policy);
        t->spec_fd = TAKE_FD(op->spec_fd);
        t->stdio_fds = TAKE_PTR(op->stdio_fds);
        t->n_stdio_fds = op->n_stdio_fds;
        op->n_stdio_fds = 0;
        int r = service_add_run(t, op->callback, op->userdata);
        if (r < 0) {
                reeve_error_errno(&e, r, NULL, "cannot take another request");
                op->callback(&e, NULL, op->userdata);
                undo(s, t, &e);
                return;
        }
        r = service_sla_accept(s, t, op->forecast_p95_usec);
        if (r >= 0)
                r = service_queue_enter(s, t);
        if (r >= 0)
                r = write_insert(s, t, op);
        if (r < 0) {
                reeve_error_errno(&e, r, NULL, "cannot store the task");
                undo(s, t, &e);
        }
}

static void authorize(ServiceHeld *h, const ReeveError *error)
{
        RunOp *op = container_of(h, RunOp, held);
        ReeveError e = REEVE_ERROR_NULL;

        if (error)
                refuse_run(op, error);
        else if (launcher_client_authorize(op->service->launcher, op->spec_fd, on_authorized, op, &e) >= 0)
                return; /* on_authorized() has it */
        else if (!launcher_client_is_connected(op->service->launcher))
                service_hold(op->service, h); /* it broke as we wrote */
        else
                refuse_run(op, &e);
}

static void drop_run(ServiceHeld *h)
{
        run_op_free(container_of(h, RunOp, held));
}

static void hold(RunOp *op)
{
        op->held = (ServiceHeld){ .go = authorize, .drop = drop_run };
        service_hold(op->service, &op->held);
}

/* A history that cannot be read is as good as none: the policy says what holds then. */
static void on_forecast(const ReeveError *error, usec_t p95_usec, void *userdata)
{
        RunOp *op = ASSERT_PTR(userdata);

        if (error)
                log_full_reeve_error(LOG_WARNING, error, op->row.task_id);
        op->forecast_p95_usec = p95_usec;
        hold(op);
}

/* Goes on with what a deadline by forecast needs to know. */
static void forecast(RunOp *op)
{
        if (!op->policy || op->policy->sla.forecast_p95_factor <= 0 ||
            store_p95(op->service->store, op->row.subsystem, op->row.task_type, on_forecast, op) < 0)
                hold(op);
}

/* ---- (1) what it is to come after ---- */

static void check_after(RunOp *op);

static void on_other(const ReeveError *error, TaskRow **rows, size_t n, void *userdata)
{
        RunOp *op = ASSERT_PTR(userdata);
        ReeveError e = REEVE_ERROR_NULL;

        if (!error && n == 0) {
                reeve_error_set(&e, REEVE_ERROR_NO_SUCH_TASK, "after", "there is no task '%s' to come after",
                                op->other);
                error = &e;
        }
        if (error)
                refuse_run(op, error);
        else
                check_after(op);
}

/* Each of them must exist, whatever became of it: that is seen when the task waits for it. */
static void check_after(RunOp *op)
{
        ReeveError e = REEVE_ERROR_NULL;

        while (op->row.after && op->row.after[op->n_after_checked]) {
                const char *id = op->row.after + op->n_after_checked;
                size_t n = strcspn(id, ",");

                assert(n <= TASK_ID_MAX);
                memcpy(op->other, id, n);
                op->other[n] = '\0';
                op->n_after_checked += n + (id[n] == ',');
                if (registry_get(op->service->registry, op->other))
                        continue;
                int r = store_get(op->service->store, op->other, on_other, op);
                if (r < 0) {
                        reeve_error_errno(&e, r, "after", "cannot look '%s' up", op->other);
                        refuse_run(op, &e);
                }
                return;
        }
        forecast(op);
}

void service_run(Service *s, const Caller *caller, RunRequest *request, service_task_t callback,
                 void *userdata)
{
        ReeveError e = REEVE_ERROR_NULL;

        assert(s);
        assert(caller);
        assert(request);
        assert(callback);

        _cleanup_(run_op_freep) RunOp *op = run_op_new(s, request, callback, userdata);
        if (!op) {
                fd_close(request->spec_fd);
                for (size_t i = 0; i < request->n_stdio_fds; i++)
                        fd_close(request->stdio_fds[i]);
                free(request->stdio_fds);
                reeve_error_errno(&e, ENOMEM, NULL, "cannot take another request");
                callback(&e, NULL, userdata);
                return;
        }
        if (run_op_check(op, caller, request, &e) < 0) {
                callback(&e, NULL, userdata);
                return;
        }
        if (!is_answered(op))
                check_after(TAKE_PTR(op));
}
