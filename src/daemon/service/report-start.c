/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Taking up a reported task.
 *
 *     the request is checked, policy says whether it may be and what applies to it
 *     row and events are committed                                            TASK_DOING_INSERT
 *     the answer; what was said of the task meanwhile is taken up now (report.c)
 *
 * A reported task begins with its creation, unless it is created `pending`: then a second Start with the same content begins
 * it. Whether it is pending, and who is watched, is not content: the same request again, from a reporter that was restarted or
 * whose connection broke, is the same task, and has its new process watched. A heartbeat that the policy has for those who are
 * not watched is not content either: the policy may change between two requests.
 *
 * It has no attempt, no record and no cgroup, and the launcher knows nothing of it. */

#include <errno.h>
#include <sodium.h>
#include <string.h>

#include "basic/crash.h"
#include "basic/fd.h"
#include "basic/log.h"
#include "daemon/service/report-internal.h"
#include "daemon/service/request.h"

typedef struct StartOp {
        Service *service;
        Caller caller; /* without groups: they are borrowed */
        TaskRow row;
        TaskPolicy *policy;
        usec_t forecast_p95_usec;
        int watch_fd; /* -EBADF: none */
        bool pending;
        service_task_t callback;
        void *userdata;
} StartOp;

static StartOp *start_op_free(StartOp *op)
{
        if (!op)
                return NULL;
        task_row_done(&op->row);
        task_policy_unref(op->policy);
        fd_close(op->watch_fd);
        free(op);
        return NULL;
}
DEFINE_CLEANUP_FUNC(StartOp *, start_op_free)

static void refuse(const StartOp *op, const ReeveError *error)
{
        op->callback(error, NULL, op->userdata);
}

/* ---- the request ---- */

static int check(const StartRequest *q, ReeveError *reterr)
{
        const RunRequest texts = { .subsystem = q->subsystem,
                                   .task_type = q->task_type,
                                   .title = q->title,
                                   .description = q->description,
                                   .created_by = q->created_by,
                                   .metadata = q->metadata,
                                   .priority = q->priority,
                                   .sla = q->sla };

        if (q->task_id && !task_id_is_valid(q->task_id))
                return reeve_error_set(reterr, REEVE_ERROR_INVALID_ARGUMENT, "task_id",
                                       "must be 1 to %d letters, digits, _ or -, the first not _ or -",
                                       TASK_ID_MAX);
        if (q->task_id && task_id_is_reserved(q->task_id))
                return reeve_error_set(reterr, REEVE_ERROR_INVALID_ARGUMENT, "task_id",
                                       "ids that end in -check or -step and a number are reeve's own");
        if (q->heartbeat_usec != 0 &&
            (q->heartbeat_usec < REPORT_HEARTBEAT_MIN || q->heartbeat_usec > REPORT_HEARTBEAT_MAX))
                return reeve_error_set(reterr, REEVE_ERROR_INVALID_ARGUMENT, "heartbeat_usec",
                                       "must be between 100 milliseconds and a year");
        return run_request_check(&texts, reterr);
}

static void hash_text(crypto_hash_sha256_state *h, const char *text)
{
        /* With its NUL, and absent differs from empty, as in request.c. */
        if (text)
                crypto_hash_sha256_update(h, (const unsigned char *)text, strlen(text) + 1);
        else
                crypto_hash_sha256_update(h, (const unsigned char *)"\xff", 1);
}

static void hash_content(const StartRequest *q, uint8_t ret[32])
{
        const char *const fields[] = { "reported",     q->subsystem,  q->task_type, q->title,
                                       q->description, q->created_by, q->metadata,  q->sla };
        const uint64_t numbers[] = { (uint64_t)q->priority, q->heartbeat_usec };
        crypto_hash_sha256_state h;

        crypto_hash_sha256_init(&h);
        for (size_t i = 0; i < ELEMENTSOF(fields); i++)
                hash_text(&h, fields[i]);
        crypto_hash_sha256_update(&h, (const unsigned char *)numbers, sizeof(numbers));
        crypto_hash_sha256_final(&h, ret);
}

static int fill_texts(TaskRow *row, const StartRequest *q)
{
        const struct {
                const char *from;
                char **to;
        } texts[] = {
                { q->subsystem, &row->subsystem },   { q->task_type, &row->task_type },
                { q->title ?: "", &row->title },     { q->description, &row->description },
                { q->created_by, &row->created_by }, { q->metadata, &row->metadata },
        };

        for (size_t i = 0; i < ELEMENTSOF(texts); i++)
                if (texts[i].from && !(*texts[i].to = strdup(texts[i].from)))
                        return -ENOMEM;
        return 0;
}

static int fill_row(StartOp *op, const StartRequest *q, gid_t gid)
{
        char made[TASK_ID_MAX + 1];
        TaskRow *row = &op->row;

        if (!q->task_id) {
                int r = task_id_make(q->subsystem, q->task_type, clock_realtime(op->service->clock), made);
                if (r < 0)
                        return r;
        }
        row->task_id = strdup(q->task_id ?: made);
        row->kind = TASK_KIND_REPORTED;
        row->owner_uid = row->run_uid = op->caller.uid;
        row->run_gid = gid;
        row->attempts = 1;
        row->heartbeat_usec = q->heartbeat_usec;
        hash_content(q, row->content_hash);
        return row->task_id ? fill_texts(row, q) : -ENOMEM;
}

static int apply_policy(StartOp *op, const Caller *caller, const StartRequest *q, ReeveError *reterr)
{
        PolicyQuery query = { .subsystem = q->subsystem,
                              .task_type = q->task_type,
                              .title = q->title,
                              .created_by = q->created_by,
                              .priority = q->priority,
                              .sla = q->sla,
                              .attempts = 1 };

        int r = service_resolve_policy(op->service, caller, &query, &op->policy, reterr);
        if (r < 0)
                return r;
        op->row.priority = op->policy->priority ?: TASK_PRIORITY_NORMAL;
        op->row.sla_owner_may_extend = policy_lets_extend(op->service->policy.current, &query);
        if (q->heartbeat_usec == 0 && op->watch_fd < 0)
                op->row.heartbeat_usec = op->policy->reported.heartbeat_usec;
        op->row.policy_hash = strdup(op->policy->hash);
        return op->row.policy_hash ? 0 : reeve_error_errno(reterr, ENOMEM, NULL, "cannot take another task");
}

/* ---- a task that has the id ---- */

static void join_or_refuse(StartOp *op, Task *t)
{
        ReeveError e = REEVE_ERROR_NULL;

        if (t->row.owner_uid != op->row.owner_uid ||
            memcmp(t->row.content_hash, op->row.content_hash, sizeof(op->row.content_hash)) != 0) {
                reeve_error_set(&e, REEVE_ERROR_ALREADY_EXISTS, "task_id", "a task with this id exists");
                refuse(op, &e);
                return;
        }
        service_report_begin(op->service, &op->caller,
                             &(ReportBegin){ &op->row, TAKE_FD(op->watch_fd), op->pending }, op->callback,
                             op->userdata);
}

/* ---- a new one ---- */

/* Its row is written with what it is when it is written, but each event with what it was. */
typedef struct InsertOp {
        TaskOp *created, *started; /* `started` NULL: it has not */
} InsertOp;

static InsertOp *insert_op_free(InsertOp *op)
{
        if (op) {
                task_op_free(op->created);
                task_op_free(op->started);
                free(op);
        }
        return NULL;
}
DEFINE_CLEANUP_FUNC(InsertOp *, insert_op_free)

/* The two events have consecutive numbers: they were written at once. */
static void publish(Service *s, const InsertOp *op, int64_t last_event, const TaskRow *row)
{
        service_publish(s, last_event - (op->started != NULL), op->created, row);
        if (op->started)
                service_publish(s, last_event, op->started, row);
}

static void on_inserted(const ReeveError *error, int64_t last_event, void *userdata)
{
        _cleanup_(insert_op_freep) InsertOp *op = ASSERT_PTR(userdata);
        Service *s = op->created->service;
        ListLink held = LIST_INIT(held);

        Task *t = registry_get(s->registry, op->created->task_id);
        assert(t && t->report);
        t->doing &= ~TASK_DOING_INSERT;
        list_splice(&held, &t->report->held);
        t->report->n_held = 0;
        if (error)
                service_insert_failed(s, t, error);
        else {
                CRASH_POINT("reeved", "inserted");
                service_policy_stored(t->policy);
                publish(s, op, last_event, &t->row);
                service_answer_runs(s, t, NULL);
                service_ladder_act(s, t);
        }
        service_report_again(&held);
        t = registry_get(s->registry, op->created->task_id);
        if (!t || !t->report || (t->doing & (TASK_DOING_FINISH | TASK_DOING_INSERT)))
                return;
        if (t->row.cancel_requested)
                service_carry_out_cancel(s, t);
        else
                service_report_inserted(s, t);
}

static void begin(Service *s, Task *t)
{
        task_report_started(t, t->row.created_realtime, t->row.created_boottime);
        service_sla_started(s, t);
}

static int write_insert(Service *s, Task *t, bool pending)
{
        _cleanup_(insert_op_freep) InsertOp *op = NEW0(InsertOp, 1);
        if (!op || !(op->created = task_op_new(s, t)) || (!pending && !(op->started = task_op_new(s, t))))
                return -ENOMEM;
        _cleanup_(store_write_freep) StoreWrite *w =
                        store_write_new(s->store, STORE_WRITE_REFUSABLE, on_inserted, op);
        if (!w || service_write_policy(w, t->policy) < 0 ||
            service_write_event(w, op->created, t, "task.created", t->row.created_realtime) < 0)
                return -ENOMEM;
        if (!pending) {
                begin(s, t);
                if (service_write_event(w, op->started, t, "task.started", t->row.started_realtime) < 0)
                        return -ENOMEM;
        }
        if (store_write_insert_task(w, &t->row) < 0)
                return -ENOMEM;
        int r = store_write_submit(TAKE_PTR(w));
        if (r < 0)
                return r;
        t->doing |= TASK_DOING_INSERT;
        op = NULL; /* on_inserted() has it */
        return 0;
}

static int take_up(StartOp *op, Task *t)
{
        Service *s = op->service;
        int r;

        t->policy = TAKE_PTR(op->policy);
        if ((r = service_report_new(s, t)) < 0 ||
            (op->watch_fd >= 0 && (r = service_report_watch(s, t, TAKE_FD(op->watch_fd))) < 0) ||
            (r = service_sla_accept(s, t, op->forecast_p95_usec)) < 0)
                return r;
        return write_insert(s, t, op->pending);
}

static void accept(StartOp *taken)
{
        _cleanup_(start_op_freep) StartOp *op = taken;
        Service *s = op->service;
        ReeveError e = REEVE_ERROR_NULL;
        Task *t;

        /* While the forecast was asked for it may have been started by another call. */
        Task *other = registry_get(s->registry, op->row.task_id);
        if (other) {
                join_or_refuse(op, other);
                return;
        }
        if (registry_add(s->registry, &op->row, &t, &e) < 0) {
                refuse(op, &e);
                return;
        }
        int r = service_add_run(t, op->callback, op->userdata);
        if (r < 0) {
                reeve_error_errno(&e, r, NULL, "cannot take another task");
                refuse(op, &e);
        } else
                r = take_up(op, t);
        if (r < 0) {
                reeve_error_errno(&e, r, NULL, "cannot store the task");
                service_insert_failed(s, t, &e);
        }
}

static void on_forecast(const ReeveError *error, usec_t p95_usec, void *userdata)
{
        StartOp *op = ASSERT_PTR(userdata);

        if (error)
                log_full_reeve_error(LOG_WARNING, error, op->row.task_id);
        op->forecast_p95_usec = p95_usec;
        accept(op);
}

static StartOp *start_op_new(Service *s, const Caller *caller, StartRequest *q, service_task_t callback,
                             void *userdata)
{
        StartOp *op = NEW0(StartOp, 1);
        if (!op)
                return NULL;
        op->service = s;
        op->caller = (Caller){ .uid = caller->uid, .admin = caller->admin };
        op->watch_fd = TAKE_FD(q->watch_fd);
        op->pending = q->pending;
        op->callback = callback;
        op->userdata = userdata;
        return op;
}

static int prepare(StartOp *op, const Caller *caller, const StartRequest *q, ReeveError *reterr)
{
        int r = check(q, reterr);
        if (r < 0)
                return r;
        gid_t gid = caller->n_groups > 0 ? caller->groups[0] : (gid_t)-1;
        r = fill_row(op, q, gid);
        if (r < 0)
                return reeve_error_errno(reterr, r, NULL, "cannot take another task");
        if (op->watch_fd >= 0 && (r = reporter_identify(op->watch_fd, caller, &op->row.pid,
                                                        &op->row.reporter_identity, reterr)) < 0)
                return r;
        if (registry_get(op->service->registry, op->row.task_id))
                return 0; /* whether it is the same request again is not the policy's business */
        return apply_policy(op, caller, q, reterr);
}

void service_start(Service *s, const Caller *caller, StartRequest *request, service_task_t callback,
                   void *userdata)
{
        ReeveError e = REEVE_ERROR_NULL;

        assert(s);
        assert(caller);
        assert(request);
        assert(callback);

        _cleanup_(start_op_freep) StartOp *op = start_op_new(s, caller, request, callback, userdata);
        if (!op) {
                request->watch_fd = fd_close(request->watch_fd);
                reeve_error_errno(&e, ENOMEM, NULL, "cannot take another task");
                callback(&e, NULL, userdata);
                return;
        }
        if (prepare(op, caller, request, &e) < 0) {
                refuse(op, &e);
                return;
        }
        if (op->policy && op->policy->sla.forecast_p95_factor > 0 &&
            store_p95(s->store, op->row.subsystem, op->row.task_type, on_forecast, op) >= 0) {
                op = NULL; /* on_forecast() has it */
                return;
        }
        accept(TAKE_PTR(op));
}
