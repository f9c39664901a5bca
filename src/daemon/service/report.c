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
#include <string.h>

#include "basic/fd.h"
#include "basic/log.h"
#include "daemon/service/report-op.h"

#define HELD_MAX 1024 /* as many as a connection may have open */

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
        return report_is_end(op) && row->has_result &&
               memcmp(row->result_hash, op->hash, sizeof(op->hash)) == 0;
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
                       row->status == TASK_ACTIVE ? "it is being cancelled" : task_state_name(row->status));
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
        if (!w || store_write_update_task(w, &t->row) < 0 || report_add_points(w, op) < 0 ||
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

static void update(ReportOp *op, Task *t, ReportTexts *n)
{
        report_say(op, t, n);
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
        if (!w || report_add_points(w, op) < 0 || store_write_submit(TAKE_PTR(w)) < 0)
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

static void end(ReportOp *op, Task *t, ReportTexts *n)
{
        Service *s = op->service;
        usec_t now = clock_boottime(s->clock);

        service_attachment_settle(s, t);
        report_say(op, t, n);
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
        else if (report_is_end(op) && !task_is_reported(&t->row))
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

/* One that is being cancelled, too: its processes are told to end, and it ends with them. */
static bool has_ended(const Task *t)
{
        return (t->doing & TASK_DOING_FINISH) || t->row.status == TASK_VERIFYING ||
               task_state_is_final(t->row.status) ||
               (task_is_reported(&t->row) && service_has_processes(t) && t->row.cancel_requested);
}

static void do_now(ReportOp *taken, Task *t)
{
        _cleanup_(report_op_freep) ReportOp *op = taken;
        _cleanup_(report_texts_done) ReportTexts n = { 0 };
        ReeveError e = REEVE_ERROR_NULL;

        if ((is_start(op) || op->act == ACT_WORK) && !has_ended(t))
                begin(TAKE_PTR(op), t);
        else if (is_start(op))
                op->callback(NULL, &t->row, op->userdata);
        else if (has_ended(t) && is_same_end(op, &t->row))
                service_wait(op->service, op->task_id, op->callback, op->userdata);
        else if (has_ended(t))
                answer_late(op, &t->row);
        else if (report_make_texts(op, t, &n, &e) < 0)
                answer_error(op, &e);
        else if (report_is_end(op))
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

void service_report_begin(Service *s, const Caller *caller, const ReportBegin *q, service_task_t callback,
                          void *userdata)
{
        ReeveError e = REEVE_ERROR_NULL;

        assert(s);
        assert(caller);
        assert(q && q->wanted);

        const TaskRow *wanted = q->wanted;
        ReportOp *op = report_op_new(s, caller, wanted->task_id, q->pending ? ACT_LOOK : ACT_BEGIN, callback,
                                     userdata);
        if (op) {
                memcpy(op->hash, wanted->content_hash, sizeof(op->hash));
                op->watch_fd = q->watch_fd;
                op->pid = wanted->pid;
                op->identity = wanted->reporter_identity;
                take(op);
                return;
        }
        fd_close(q->watch_fd);
        reeve_error_errno(&e, ENOMEM, NULL, "cannot take another task");
        callback(&e, NULL, userdata);
}

/* ---- the request ---- */

void service_report(Service *s, const Caller *caller, const ReportRequest *request, service_task_t callback,
                    void *userdata)
{
        ReeveError e = REEVE_ERROR_NULL;

        assert(s);
        assert(caller);
        assert(request && request->task_id);
        assert(callback);

        if (report_check(request, &e) < 0) {
                callback(&e, NULL, userdata);
                return;
        }
        _cleanup_(report_op_freep) ReportOp *op = report_op_new(
                        s, caller, request->task_id, (ReportAct)request->kind, callback, userdata);
        if (op && report_op_fill(op, request) >= 0) {
                take(TAKE_PTR(op));
                return;
        }
        reeve_error_errno(&e, ENOMEM, NULL, "cannot take another report");
        callback(&e, NULL, userdata);
}
