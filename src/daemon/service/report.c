/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* What is said of a reported task, from its beginning to its end.
 *
 *     the row is being inserted            held, and taken up when it is
 *     open                                 done
 *     ended, or its end is under way       the same end said again is answered with the task, all else with AlreadyFinished
 *
 * The last case is decided by a hash of all that was said of the end, which is stored with the task: so a reporter that lost
 * its connection may say it again, as often as it likes, and somebody who knows better is told that it is too late.
 *
 * Memory changes first and is committed then; the answer comes after the commit. A completion is answered when the task has its
 * final state, for whether that is `completed` may be for its verification to say.
 *
 * Progress, message, metrics and metadata may be said of any open task by its owner, so that a command that reeve runs can tell how
 * far it is. Its counters may not: the kernel knows them. */

#include <errno.h>
#include <math.h>
#include <sodium.h>
#include <string.h>

#include "basic/fd.h"
#include "basic/log.h"
#include "common/json/json.h"
#include "daemon/model/task-metric.h"
#include "daemon/service/report-internal.h"

#define HELD_MAX 1024 /* as many as a connection may have open */

typedef enum ReportAct {
        ACT_UPDATE = REPORT_UPDATE,
        ACT_COMPLETE = REPORT_COMPLETE,
        ACT_FAIL = REPORT_FAIL,
        ACT_WORK = REPORT_BEGIN,
        ACT_BEGIN = _REPORT_KIND_MAX, /* Start of a task that exists */
        ACT_LOOK,                     /* the same, `pending` */
} ReportAct;

typedef struct ReportOp {
        ListLink link; /* of TaskReport.held */
        Service *service;
        Caller caller;
        char task_id[TASK_ID_MAX + 1];
        ReportAct act;
        ReportRequest q; /* its pointers are NULL: what they pointed to is below */
        char *message;
        json_t *ml_metrics, *metadata;
        uint8_t hash[32]; /* of an end; of Start: its content */
        TaskOp event;     /* `detail` is ours; no topic: there is none */
        /* of Start: who is to be watched */
        int watch_fd; /* -EBADF: nobody */
        pid_t pid;
        uint64_t identity;
        service_task_t callback;
        void *userdata;
} ReportOp;

static ReportOp *report_op_free(ReportOp *op)
{
        if (!op)
                return NULL;
        free(op->message);
        free(op->event.detail);
        json_decref(op->ml_metrics);
        json_decref(op->metadata);
        fd_close(op->watch_fd);
        free(op);
        return NULL;
}
DEFINE_CLEANUP_FUNC(ReportOp *, report_op_free)

static ReportOp *report_op_new(Service *s, const Caller *caller, const char *task_id, ReportAct act,
                               service_task_t callback, void *userdata)
{
        ReportOp *op = NEW0(ReportOp, 1);
        if (!op)
                return NULL;
        op->service = op->event.service = s;
        op->caller = (Caller){ .uid = caller->uid, .admin = caller->admin };
        op->act = act;
        op->watch_fd = -EBADF;
        op->callback = callback;
        op->userdata = userdata;
        strcpy(op->task_id, task_id);
        strcpy(op->event.task_id, task_id);
        return op;
}

static bool is_end(const ReportOp *op)
{
        return op->act == ACT_COMPLETE || op->act == ACT_FAIL;
}

static void answer_error(const ReportOp *op, const ReeveError *error)
{
        op->callback(error, NULL, op->userdata);
}

static void answer_errno(const ReportOp *op, int r, const char *what)
{
        ReeveError e = REEVE_ERROR_NULL;

        reeve_error_errno(&e, r, NULL, "%s", what);
        answer_error(op, &e);
}

static void refuse(const ReportOp *op, ReeveErrorCode code, const char *field, const char *format, ...)
                _printf_(4, 5);

static void refuse(const ReportOp *op, ReeveErrorCode code, const char *field, const char *format, ...)
{
        ReeveError e = REEVE_ERROR_NULL;
        char text[256];
        va_list ap;

        va_start(ap, format);
        vsnprintf(text, sizeof(text), format, ap);
        va_end(ap);
        reeve_error_set(&e, code, field, "%s", text);
        answer_error(op, &e);
}

/* ---- late ---- */

static bool is_same_end(const ReportOp *op, const TaskRow *row)
{
        return is_end(op) && row->has_result && memcmp(row->result_hash, op->hash, sizeof(op->hash)) == 0;
}

static bool is_start(const ReportOp *op)
{
        return op->act == ACT_BEGIN || op->act == ACT_LOOK;
}

static bool is_same_start(const ReportOp *op, const TaskRow *row)
{
        return is_start(op) && row->owner_uid == op->caller.uid &&
               memcmp(row->content_hash, op->hash, sizeof(op->hash)) == 0;
}

static void answer_late(const ReportOp *op, const TaskRow *row)
{
        if (is_same_start(op, row))
                op->callback(NULL, row, op->userdata);
        else if (is_start(op)) /* whose it is is not the caller's business */
                refuse(op, REEVE_ERROR_ALREADY_EXISTS, "task_id", "a task with this id exists");
        else if (!caller_owns(&op->caller, row))
                refuse(op, REEVE_ERROR_PERMISSION_DENIED, "task_id", "task '%s' is somebody else's",
                       op->task_id);
        else if (is_same_end(op, row))
                op->callback(NULL, row, op->userdata);
        else
                refuse(op, REEVE_ERROR_ALREADY_FINISHED, "task_id", "task '%s' has ended: %s", op->task_id,
                       task_state_name(row->status));
}

static void on_looked_up(const ReeveError *error, TaskRow **rows, size_t n, void *userdata)
{
        _cleanup_(report_op_freep) ReportOp *op = ASSERT_PTR(userdata);

        if (error)
                answer_error(op, error);
        else if (n == 0)
                refuse(op, REEVE_ERROR_NO_SUCH_TASK, "task_id", "there is no task '%s'", op->task_id);
        else
                answer_late(op, rows[0]);
}

static void look_up(ReportOp *op)
{
        int r = store_get(op->service->store, op->task_id, on_looked_up, op);
        if (r >= 0)
                return;
        answer_errno(op, r, "cannot look the task up");
        report_op_free(op);
}

/* ---- what is said goes into the row ---- */

/* The members of `more` put into the object whose text this is. NULL when memory is short. */
static char *merge(const char *text, json_t *more, size_t *ret_n)
{
        _cleanup_json_ json_t *object = NULL;

        if (!text || json_parse(text, strlen(text), TASK_METADATA_DEPTH, &object, NULL) < 0)
                object = json_object();
        if (!object || json_object_update(object, more) < 0)
                return NULL;
        *ret_n = json_object_size(object);
        return json_format(object);
}

typedef struct NewTexts {
        char *message, *ml_metrics, *metadata, *result;
} NewTexts;

static void new_texts_done(NewTexts *n)
{
        free(n->message);
        free(n->ml_metrics);
        free(n->metadata);
        free(n->result);
}

/* What is longer is too much, what is nested deeper could be stored, but not shown. */
static int check_object(const char *field, const char *text, ReeveError *e)
{
        _cleanup_json_ json_t *value = NULL;

        if (strlen(text) > TASK_METADATA_MAX)
                return reeve_error_set(e, REEVE_ERROR_LIMIT_EXCEEDED, field, "longer than %d bytes",
                                       TASK_METADATA_MAX);
        if (json_parse(text, strlen(text), TASK_METADATA_DEPTH, &value, NULL) < 0)
                return reeve_error_set(e, REEVE_ERROR_LIMIT_EXCEEDED, field, "nested deeper than %d",
                                       TASK_METADATA_DEPTH);
        return 0;
}

static int make_metadata(const ReportOp *op, const TaskRow *row, NewTexts *n, ReeveError *e)
{
        size_t count;
        char **to = is_end(op) ? &n->result : &n->metadata;

        if (!op->metadata)
                return 0;
        *to = is_end(op) ? json_format(op->metadata) : merge(row->metadata, op->metadata, &count);
        if (!*to)
                return reeve_error_errno(e, ENOMEM, NULL, "cannot take another report");
        return check_object(is_end(op) ? "result_metadata" : "metadata", *to, e);
}

static int make_texts(const ReportOp *op, const Task *t, NewTexts *n, ReeveError *e)
{
        size_t count = 0;

        if (op->ml_metrics && !(n->ml_metrics = merge(t->row.ml_metrics, op->ml_metrics, &count)))
                return reeve_error_errno(e, ENOMEM, NULL, "cannot take another report");
        if (count > TASK_METRICS_MAX)
                return reeve_error_set(e, REEVE_ERROR_LIMIT_EXCEEDED, "ml_metrics", "more than %d names",
                                       TASK_METRICS_MAX);
        if (op->q.has_step && t->report &&
            t->report->n_points + json_object_size(op->ml_metrics) > REPORT_POINTS_MAX)
                return reeve_error_set(e, REEVE_ERROR_LIMIT_EXCEEDED, "step",
                                       "the task has %d points of series", REPORT_POINTS_MAX);
        if (op->message && !(n->message = strdup(op->message)))
                return reeve_error_errno(e, ENOMEM, NULL, "cannot take another report");
        return make_metadata(op, &t->row, n, e);
}

static void replace(char **to, char **from)
{
        if (!*from)
                return;
        free(*to);
        *to = TAKE_PTR(*from);
}

static void say_columns(json_t *metrics, TaskRow *row)
{
        for (int m = 0; m < _TASK_ML_MAX; m++) {
                const json_t *value = json_object_get(metrics, task_ml_name((TaskMl)m));
                if (!value)
                        continue;
                row->has_ml[m] = true;
                row->ml[m] = json_number_value(value);
        }
}

static void say(const ReportOp *op, Task *t, NewTexts *n)
{
        TaskRow *row = &t->row;

        replace(&row->ml_metrics, &n->ml_metrics);
        say_columns(op->ml_metrics, row);
        replace(&row->metadata, &n->metadata);
        replace(&row->result_metadata, &n->result);
        replace(is_end(op) ? &row->message : &row->progress_message, &n->message);
        if (op->q.has_progress) {
                row->has_progress = true;
                row->progress = op->q.progress;
        }
        for (int f = 0; f < _USAGE_FIELD_MAX; f++)
                if (usage_has(&op->q.usage, (UsageField)f)) {
                        row->usage.value[f] = op->q.usage.value[f];
                        row->usage.source[f] = USAGE_REPORTED;
                }
        if (op->q.has_step && t->report)
                t->report->n_points += json_object_size(op->ml_metrics);
}

static int add_points(StoreWrite *w, const ReportOp *op)
{
        const char *name;
        json_t *value;

        if (!op->q.has_step || !op->ml_metrics)
                return 0;
        json_object_foreach(op->ml_metrics, name, value) {
                int r = store_write_metric(w, op->task_id, op->q.step, name, json_number_value(value));
                if (r < 0)
                        return r;
        }
        return 0;
}

/* ---- Update, and the beginning ---- */

static void on_updated(const ReeveError *error, int64_t last_event, void *userdata)
{
        _cleanup_(report_op_freep) ReportOp *op = ASSERT_PTR(userdata);
        Service *s = op->service;

        const Task *t = registry_get(s->registry, op->task_id);
        if (!error && t && op->event.topic)
                service_publish(s, last_event, &op->event, &t->row);
        if (error)
                answer_error(op, error);
        else if (op->act == ACT_UPDATE || t)
                op->callback(NULL, t ? &t->row : NULL, op->userdata);
        else
                look_up(TAKE_PTR(op)); /* it has ended meanwhile */
}

/* `topic` NULL: nothing happened that anybody is told of. */
static int write_update(ReportOp *op, Task *t, const char *topic)
{
        Service *s = op->service;

        _cleanup_(store_write_freep) StoreWrite *w = store_write_new(s->store, 0, on_updated, op);
        if (!w || store_write_update_task(w, &t->row) < 0 || add_points(w, op) < 0 ||
            (topic && service_write_event(w, &op->event, t, topic, clock_realtime(s->clock)) < 0))
                return -ENOMEM;
        return store_write_submit(TAKE_PTR(w));
}

static void commit_update(ReportOp *op, Task *t, const char *topic)
{
        int r = write_update(op, t, topic);
        if (r >= 0)
                return; /* on_updated() has it */
        answer_errno(op, r, "cannot store what was reported");
        report_op_free(op);
}

static void update(ReportOp *op, Task *t, NewTexts *n)
{
        say(op, t, n);
        service_report_heard(t);
        commit_update(op, t, "task.updated");
}

/* Another process than before may report it from now on. */
static bool watch(ReportOp *op, Task *t)
{
        if (op->watch_fd < 0 || !t->report)
                return false;
        t->row.pid = op->pid;
        t->row.reporter_identity = op->identity;
        int r = service_report_watch(op->service, t, TAKE_FD(op->watch_fd));
        if (r < 0)
                log_error_errno(r, "%s: its reporter is not watched", t->row.task_id);
        return true;
}

/* Start, again or after `pending`, or a beginning without the content. */
static void begin(ReportOp *op, Task *t)
{
        Service *s = op->service;
        bool watched = watch(op, t), begins = op->act != ACT_LOOK && t->row.status == TASK_PENDING;

        if (begins) {
                task_report_started(t, clock_realtime(s->clock), clock_boottime(s->clock));
                memcpy(t->row.boot_id, s->boot_id, sizeof(s->boot_id));
                service_sla_started(s, t);
        }
        service_report_heard(t);
        if (begins || watched) {
                commit_update(op, t, begins ? "task.started" : NULL);
                return;
        }
        op->callback(NULL, &t->row, op->userdata);
        report_op_free(op);
}

/* ---- the end ---- */

static void say_end(const ReportOp *op, Task *t)
{
        TaskRow *row = &t->row;

        row->word = op->q.word;
        row->has_result = true;
        memcpy(row->result_hash, op->hash, sizeof(op->hash));
        if (!op->q.success && !row->message)
                task_set_message(t, "reported as failed");
}

/* Nothing of ours is to be verified: what the reporter says of his own checks is noted, a pass only where that is enough. */
static void note_word(const Task *t, TaskRow *row)
{
        bool passed = row->word == REPORTED_VERIFIED;

        if (row->word == REPORTED_NOTHING ||
            (passed && t->policy && !t->policy->verification.accepts_reported))
                return;
        row->verification = passed ? VERIFICATION_PASSED : VERIFICATION_FAILED;
        row->verification_passes = passed;
        row->verification_failures = !passed;
}

static void commit_points(const ReportOp *op)
{
        _cleanup_(store_write_freep) StoreWrite *w = NULL;

        if (!op->q.has_step || !op->ml_metrics)
                return;
        w = store_write_new(op->service->store, STORE_WRITE_LAZY, NULL, NULL);
        if (!w || add_points(w, op) < 0 || store_write_submit(TAKE_PTR(w)) < 0)
                log_error("%s: cannot store its last metrics", op->task_id);
}

/* The work has ended well: what must be true of it now? */
static void verify(Service *s, Task *t)
{
        if (service_is_verified(t)) {
                service_verify(s, t, NULL);
                return;
        }
        note_word(t, &t->row);
        task_verified(t, false, 0);
        service_sla_verified(&t->row);
        service_commit_end(s, t, NULL);
}

static void end(ReportOp *op, Task *t, NewTexts *n)
{
        Service *s = op->service;
        usec_t now = clock_boottime(s->clock);

        say(op, t, n);
        say_end(op, t);
        commit_points(op);
        task_report_ended(t, op->q.success, clock_realtime(s->clock), now);
        service_sla_ended(s, t, now);
        service_wait(s, op->task_id, op->callback, op->userdata); /* also when memory is short it answers */
        report_op_free(op);
        if (t->row.status == TASK_VERIFYING)
                verify(s, t);
        else
                service_commit_end(s, t, NULL);
}

/* ---- all ---- */

static bool has_usage(const Usage *u)
{
        for (int f = 0; f < _USAGE_FIELD_MAX; f++)
                if (usage_has(u, (UsageField)f))
                        return true;
        return false;
}

static bool may_say(const ReportOp *op, const Task *t)
{
        if (is_start(op) && !is_same_start(op, &t->row))
                refuse(op, REEVE_ERROR_ALREADY_EXISTS, "task_id", "a task with this id exists");
        else if (!caller_owns(&op->caller, &t->row))
                refuse(op, REEVE_ERROR_PERMISSION_DENIED, "task_id", "task '%s' is somebody else's",
                       op->task_id);
        else if (is_end(op) && !task_is_reported(&t->row))
                refuse(op, REEVE_ERROR_INVALID_ARGUMENT, "task_id",
                       "task '%s' is not reported: it ends with its processes", op->task_id);
        else if (op->act == ACT_WORK && !task_is_reported(&t->row))
                refuse(op, REEVE_ERROR_INVALID_ARGUMENT, "task_id",
                       "task '%s' is not reported: it begins with its processes", op->task_id);
        else if (has_usage(&op->q.usage) && !task_is_reported(&t->row))
                refuse(op, REEVE_ERROR_INVALID_ARGUMENT, "usage",
                       "task '%s' is not reported: the kernel knows what it uses", op->task_id);
        else if ((t->doing & TASK_DOING_INSERT) && (!t->report || t->report->n_held >= HELD_MAX))
                refuse(op, REEVE_ERROR_UNAVAILABLE, "task_id", "task '%s' is being stored", op->task_id);
        else
                return true;
        return false;
}

static bool has_ended(const Task *t)
{
        return (t->doing & TASK_DOING_FINISH) || t->row.status == TASK_VERIFYING ||
               task_state_is_final(t->row.status);
}

static void do_now(ReportOp *taken, Task *t)
{
        _cleanup_(report_op_freep) ReportOp *op = taken;
        _cleanup_(new_texts_done) NewTexts n = { 0 };
        ReeveError e = REEVE_ERROR_NULL;

        if ((is_start(op) || op->act == ACT_WORK) && !has_ended(t))
                begin(TAKE_PTR(op), t);
        else if (is_start(op))
                op->callback(NULL, &t->row, op->userdata);
        else if (has_ended(t) && is_same_end(op, &t->row))
                service_wait(op->service, op->task_id, op->callback, op->userdata);
        else if (has_ended(t))
                answer_late(op, &t->row);
        else if (make_texts(op, t, &n, &e) < 0)
                answer_error(op, &e);
        else if (is_end(op))
                end(TAKE_PTR(op), t, &n);
        else
                update(TAKE_PTR(op), t, &n);
}

static void take(ReportOp *op)
{
        Task *t = registry_get(op->service->registry, op->task_id);
        if (!t) {
                look_up(op);
                return;
        }
        if (!may_say(op, t)) {
                report_op_free(op);
                return;
        }
        if (t->doing & TASK_DOING_INSERT) {
                list_append(&t->report->held, &op->link);
                t->report->n_held++;
        } else
                do_now(op, t);
}

void service_report_again(ListLink *held)
{
        assert(held);

        for (ListLink *link; (link = list_pop(held));)
                take(container_of(link, ReportOp, link));
}

void service_report_drop(ListLink *held)
{
        assert(held);

        for (ListLink *link; (link = list_pop(held));)
                report_op_free(container_of(link, ReportOp, link));
}

void service_report_begin(Service *s, const Caller *caller, const TaskRow *wanted, int watch_fd,
                          bool pending, service_task_t callback, void *userdata)
{
        ReeveError e = REEVE_ERROR_NULL;

        assert(s);
        assert(caller);
        assert(wanted);

        ReportOp *op = report_op_new(s, caller, wanted->task_id, pending ? ACT_LOOK : ACT_BEGIN, callback,
                                     userdata);
        if (op) {
                memcpy(op->hash, wanted->content_hash, sizeof(op->hash));
                op->watch_fd = watch_fd;
                op->pid = wanted->pid;
                op->identity = wanted->reporter_identity;
                take(op);
                return;
        }
        fd_close(watch_fd);
        reeve_error_errno(&e, ENOMEM, NULL, "cannot take another task");
        callback(&e, NULL, userdata);
}

/* ---- the request ---- */

static int check_metrics(json_t *metrics, ReeveError *e)
{
        const char *name;
        json_t *value;

        json_object_foreach(metrics, name, value) {
                if (!task_metric_name_is_valid(name))
                        return reeve_error_set(e, REEVE_ERROR_INVALID_ARGUMENT, "ml_metrics",
                                               "a name must be 1 to %d letters, digits or any of _.:/@-",
                                               TASK_METRIC_NAME_MAX);
                if (!json_is_number(value))
                        return reeve_error_set(e, REEVE_ERROR_INVALID_ARGUMENT, "ml_metrics",
                                               "'%s' is no number", name);
        }
        return 0;
}

static int check(const ReportRequest *q, ReeveError *e)
{
        if (!task_id_is_valid(q->task_id))
                return reeve_error_set(e, REEVE_ERROR_INVALID_ARGUMENT, "task_id", "not the id of a task");
        if (q->has_progress && !(q->progress >= 0 && q->progress <= 1))
                return reeve_error_set(e, REEVE_ERROR_INVALID_ARGUMENT, "progress", "must be 0 to 1");
        if (q->message && strlen(q->message) > TASK_MESSAGE_MAX)
                return reeve_error_set(e, REEVE_ERROR_LIMIT_EXCEEDED, "message", "longer than %d bytes",
                                       TASK_MESSAGE_MAX);
        if (q->has_step && (q->step < 0 || q->step > REPORT_STEP_MAX))
                return reeve_error_set(e, REEVE_ERROR_INVALID_ARGUMENT, "step", "must be 0 to %lld",
                                       (long long)REPORT_STEP_MAX);
        return check_metrics(q->ml_metrics, e);
}

static void hash_part(crypto_hash_sha256_state *h, const void *data, size_t size)
{
        crypto_hash_sha256_update(h, data, size);
}

static int hash_json(crypto_hash_sha256_state *h, const json_t *value)
{
        _cleanup_free_ char *text = NULL;

        if (value && !(text = json_dumps(value, JSON_COMPACT | JSON_SORT_KEYS)))
                return -ENOMEM;
        hash_part(h, text ?: "", text ? strlen(text) + 1 : 1);
        return 0;
}

/* All that was said of the end. */
static int hash_end(ReportOp *op)
{
        const char *message = op->q.message ?: "";
        int64_t numbers[2 + _USAGE_FIELD_MAX] = { op->q.success, op->q.word };
        crypto_hash_sha256_state h;

        memcpy(numbers + 2, op->q.usage.value, sizeof(op->q.usage.value));
        crypto_hash_sha256_init(&h);
        hash_part(&h, message, strlen(message) + 1);
        hash_part(&h, numbers, sizeof(numbers));
        hash_part(&h, op->q.usage.source, sizeof(op->q.usage.source));
        int r = hash_json(&h, op->q.ml_metrics);
        if (r >= 0)
                r = hash_json(&h, op->q.metadata);
        crypto_hash_sha256_final(&h, op->hash);
        return r;
}

static int fill(ReportOp *op, const ReportRequest *q)
{
        op->q = *q;
        op->q.success = q->kind == REPORT_COMPLETE && q->success;
        if (q->message && !(op->message = strdup(q->message)))
                return -ENOMEM;
        op->ml_metrics = json_incref(q->ml_metrics);
        op->metadata = json_incref(q->metadata);
        int r = is_end(op) ? hash_end(op) : 0;
        op->q.message = op->q.task_id = NULL; /* they were borrowed */
        op->q.ml_metrics = op->q.metadata = NULL;
        return r;
}

void service_report(Service *s, const Caller *caller, const ReportRequest *request, service_task_t callback,
                    void *userdata)
{
        ReeveError e = REEVE_ERROR_NULL;

        assert(s);
        assert(caller);
        assert(request && request->task_id);
        assert(callback);

        if (check(request, &e) < 0) {
                callback(&e, NULL, userdata);
                return;
        }
        _cleanup_(report_op_freep) ReportOp *op = report_op_new(
                        s, caller, request->task_id, (ReportAct)request->kind, callback, userdata);
        if (op && fill(op, request) >= 0) {
                take(TAKE_PTR(op));
                return;
        }
        reeve_error_errno(&e, ENOMEM, NULL, "cannot take another report");
        callback(&e, NULL, userdata);
}
