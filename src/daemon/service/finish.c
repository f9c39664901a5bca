/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* From a record to the database: that an attempt started, and how it ended.
 *
 * The record is the truth about an attempt; what we hear from the launcher only tells when to look. It is looked at when its last
 * writer closed it, when the launcher answered, when a connection was made, and at start. Looking twice does no harm: what the
 * task already knows is not taken over again.
 *
 * The end waits for acts that are out (TASK_DOING_INSERT, TASK_DOING_LAUNCH), so that the row exists and Run was answered; then it is
 * committed with its attempt, its last snapshot and its event in one transaction; only then the waiters are answered and the
 * record is forgotten. If we die before the commit, the record is still there. */

#include <errno.h>
#include <string.h>

#include "basic/crash.h"
#include "basic/log.h"
#include "common/net/net-usage.h"
#include "daemon/launch/account.h"
#include "daemon/service/report-internal.h"

TaskOp *task_op_new(Service *s, const Task *t)
{
        TaskOp *op = NEW0(TaskOp, 1);
        if (op) {
                op->service = s;
                strcpy(op->task_id, t->row.task_id);
        }
        return op;
}

TaskOp *task_op_free(TaskOp *op)
{
        if (op) {
                free(op->detail);
                free(op);
        }
        return NULL;
}

/* ---- started ---- */

static void on_started_committed(const ReeveError *error, int64_t last_event, void *userdata)
{
        _cleanup_(task_op_freep) TaskOp *op = ASSERT_PTR(userdata);

        op->service->n_uncommitted--;
        if (error) {
                log_full_reeve_error(LOG_ERR, error, op->task_id);
                return;
        }
        CRASH_POINT("reeved", "started");
        Task *t = registry_get(op->service->registry, op->task_id);
        if (t)
                service_publish(op->service, last_event, op, &t->row);
}

static int write_started(Service *s, Task *t, const AttemptRow *a)
{
        int r;

        _cleanup_(task_op_freep) TaskOp *op = task_op_new(s, t);
        if (!op)
                return -ENOMEM;
        _cleanup_(store_write_freep) StoreWrite *w =
                        store_write_new(s->store, STORE_WRITE_LAZY, on_started_committed, op);
        if (!w || store_write_update_task(w, &t->row) < 0 || store_write_attempt(w, a) < 0 ||
            service_write_event(w, op, t, "task.started", a->started_realtime) < 0)
                return -ENOMEM;
        r = store_write_submit(TAKE_PTR(w));
        if (r < 0)
                return r;
        s->n_uncommitted++;
        op = NULL; /* on_started_committed() has it */
        return 0;
}

void service_commit_started(Service *s, Task *t, const AttemptRow *a)
{
        assert(s);
        assert(t);
        assert(a);

        int r = write_started(s, t, a);
        if (r < 0)
                log_error_errno(r, "%s: cannot store that it runs, its end will tell", t->row.task_id);
        service_sample(s, t);
        service_output_poke(s, t->row.task_id, t->row.attempt, false);
}

static int take_over_started(Service *s, Task *t, const Record *record)
{
        AttemptRow a;

        int r = attempt_from_record(record, &a);
        if (r < 0)
                return r;
        memcpy(t->row.boot_id, record->boot_id, sizeof(t->row.boot_id));
        task_started(t, &a, record->started_boottime_usec);
        service_queue_started(s, t);
        task_drop_start(t);
        service_sla_started(s, t);
        service_answer_runs(s, t, NULL);
        service_commit_started(s, t, &a);
        service_ladder_act(s, t);
        attempt_row_done(&a);
        if (t->row.cancel_requested)
                service_carry_out_cancel(s, t);
        return 1;
}

/* ---- ended ---- */

static void on_end_committed(const ReeveError *error, int64_t last_event, void *userdata)
{
        _cleanup_(task_op_freep) TaskOp *op = ASSERT_PTR(userdata);
        Service *s = op->service;

        Task *t = registry_get(s->registry, op->task_id);
        assert(t);
        if (error) {
                /* A constraint that our own rows break is a bug; the record stays, a restart tries again. */
                log_full_reeve_error(LOG_ERR, error, op->task_id);
                if (s->reports.task_not_stored)
                        s->reports.task_not_stored(&t->row, error, s->reports.userdata);
                service_answer_waits(s, t, error);
                return;
        }
        CRASH_POINT("reeved", "finished");
        service_publish(s, last_event, op, &t->row);
        if (s->reports.task_ended)
                s->reports.task_ended(&t->row, s->reports.userdata);
        service_answer_waits(s, t, NULL);
        service_hook_ended(s, t);
        if (t->row.attempt > 0)
                launcher_client_forget(s->launcher, t->row.task_id, t->row.attempt);
        service_after_ended(s, t);
        service_release_ladder(s, t);
        unsigned attempt = t->row.attempt;
        registry_remove(s->registry, t);
        service_output_poke(s, op->task_id, attempt, true);
        CRASH_POINT("reeved", "forget");
}

/* `a` is NULL for an end without an attempt. */
static int write_end(Service *s, Task *t, const AttemptRow *a)
{
        int r;

        _cleanup_(task_op_freep) TaskOp *op = task_op_new(s, t);
        if (!op)
                return -ENOMEM;
        _cleanup_(store_write_freep) StoreWrite *w = store_write_new(s->store, 0, on_end_committed, op);
        if (!w || store_write_update_task(w, &t->row) < 0 ||
            (!task_is_reported(&t->row) && store_write_erase_spec(w, t->row.task_id) < 0) ||
            (a && store_write_attempt(w, a) < 0) ||
            service_write_event(w, op, t, service_end_topic(t->row.status), t->row.completed_realtime) < 0)
                return -ENOMEM;

        SnapshotRow last = { .attempt = t->row.attempt,
                             .taken_realtime = t->row.completed_realtime,
                             .elapsed_usec = t->row.duration_usec,
                             .usage = t->row.usage };
        if (a && store_write_snapshot(w, t->row.task_id, &last) < 0)
                return -ENOMEM;
        r = store_write_submit(TAKE_PTR(w));
        if (r >= 0)
                op = NULL; /* on_end_committed() has it */
        return r;
}

void service_commit_end(Service *s, Task *t, const AttemptRow *a)
{
        assert(s);
        assert(t);

        service_forget_kill(s, t);
        t->doing = (t->doing & ~TASK_RECORD_ENDED) | TASK_DOING_FINISH;
        service_unsample(s, t);
        service_report_over(t);
        task_drop_start(t);
        int r = write_end(s, t, a);
        if (r < 0)
                log_error_errno(r, "%s: cannot store its end, the next start of the daemon will",
                                t->row.task_id);
        service_queue_leave(s, t);
}

void service_keep_sampled(const Task *t, AttemptRow *a)
{
        Usage sampled = { 0 };

        assert(t);
        assert(a);

        const Usage *seen = &t->row.usage;
        if (seen->source[USAGE_MEMORY_ANON_PEAK] != USAGE_REPORTED) {
                sampled.value[USAGE_MEMORY_ANON_PEAK] = seen->value[USAGE_MEMORY_ANON_PEAK];
                sampled.source[USAGE_MEMORY_ANON_PEAK] = seen->source[USAGE_MEMORY_ANON_PEAK];
        }
        usage_fill(&a->usage, &sampled);

        /* rusage knows the largest process; the sum that was seen at a moment may have been more. */
        if (a->usage.source[USAGE_MEMORY_PEAK] == USAGE_RUSAGE && usage_has(seen, USAGE_MEMORY_PEAK) &&
            seen->source[USAGE_MEMORY_PEAK] != USAGE_REPORTED &&
            seen->value[USAGE_MEMORY_PEAK] > a->usage.value[USAGE_MEMORY_PEAK])
                usage_set(&a->usage, USAGE_MEMORY_PEAK, (uint64_t)seen->value[USAGE_MEMORY_PEAK],
                          seen->source[USAGE_MEMORY_PEAK]);
}

int service_killed_by(const AttemptRow *a)
{
        assert(a);
        return a->exit_kind == RECORD_EXIT_KILLED || a->exit_kind == RECORD_EXIT_DUMPED ? a->exit_value : 0;
}

static bool tries_again(Service *s, Task *t, const AttemptRow *a, bool accepted)
{
        TaskOutcome outcome;

        return task_judge_attempt(t, a, accepted, &outcome) == TASK_FAILED &&
               service_retry(s, t, outcome, a);
}

static int finish(Service *s, Task *t, const Record *record)
{
        ReeveError e = REEVE_ERROR_NULL;
        AttemptRow a;

        int r = attempt_from_record(record, &a);
        if (r < 0)
                return r;
        bool exec_failed = a.exit_kind == RECORD_EXIT_EXEC_FAILED;
        if (exec_failed) {
                reeve_error_set(&e, REEVE_ERROR_EXEC_FAILED, record->exec_path, "%s: %s", record->exec_path,
                                strerrordesc_np(record->exit_value) ?: "?");
                e.number = record->exit_value;
                task_set_message(t, "%s", e.text);
        }
        service_keep_sampled(t, &a);
        if (service_hook_tries_again(s, t, &a)) {
                attempt_row_done(&a);
                return 1;
        }
        service_sla_blame(s, t, record->ended_boottime_usec, service_killed_by(&a));
        bool accepted = service_accepts_status(t, &a);
        if (tries_again(s, t, &a, accepted)) {
                attempt_row_done(&a);
                return 1;
        }
        task_attempt_ended(t, &a, record_duration(record), accepted);
        if (t->row.started_boottime == 0)
                t->row.started_boottime = record->started_boottime_usec;
        service_sla_ended(s, t, record->ended_boottime_usec);
        CRASH_POINT("reeved", "ended");
        service_answer_runs(s, t, exec_failed ? &e : NULL);
        bool verifies = t->row.status == TASK_VERIFYING && service_is_verified(t);
        if (t->row.status == TASK_VERIFYING && !verifies) {
                task_verified(t, false, 0);
                service_sla_verified(&t->row);
        }
        if (verifies)
                service_verify(s, t, &a);
        else
                service_commit_end(s, t, &a);
        attempt_row_done(&a);
        return 1;
}

/* What can be said about an attempt without its record. The strings are the row's. */
static AttemptRow unseen_end(const TaskRow *row, usec_t realtime)
{
        return (AttemptRow){
                .task_id = row->task_id,
                .attempt = row->attempt,
                .backend = row->backend,
                .cgroup = row->cgroup,
                .pid = row->pid,
                .started_realtime = row->started_realtime,
                .ended_realtime = realtime,
                .exit_kind = RECORD_EXIT_UNKNOWN,
                .usage = row->usage,
        };
}

void service_end_otherwise(Service *s, Task *t, TaskState state, TaskOutcome outcome, const char *message)
{
        ReeveError e = REEVE_ERROR_NULL;

        assert(s);
        assert(t);

        bool ran = t->row.status == TASK_ACTIVE && !task_is_reported(&t->row),
             verifying = t->row.status == TASK_VERIFYING;
        AttemptRow a = unseen_end(&t->row, clock_realtime(s->clock));

        service_attachment_settle(s, t);
        task_ended_otherwise(t, state, outcome, message, a.ended_realtime);
        if (!verifying) /* else its work ended before */
                service_sla_ended(s, t, clock_boottime(s->clock));
        if (!list_is_empty(&t->runs)) {
                reeve_error_set(&e, REEVE_ERROR_ALREADY_FINISHED, "task_id",
                                "the task ended before it was launched%s%s", t->row.message ? ": " : "",
                                t->row.message ?: "");
                service_answer_runs(s, t, &e);
        }
        service_commit_end(s, t, ran ? &a : NULL);
}

/* ---- looking ---- */

static int look(Service *s, Task *t, const Record *record)
{
        RecordPhase phase = record_phase(record);

        if (phase <= RECORD_CLAIMED)
                return 0;
        if ((t->doing & TASK_DOING_FINISH) || t->row.status == TASK_VERIFYING)
                return 1;
        if (t->doing & (TASK_DOING_INSERT | TASK_DOING_LAUNCH | TASK_DOING_STEP)) {
                if (phase == RECORD_ENDED)
                        t->doing |= TASK_RECORD_ENDED;
                return 1;
        }
        if (phase == RECORD_ENDED)
                return finish(s, t, record);
        t->net = net_ref_of_record(record);
        return t->row.status == TASK_PENDING ? take_over_started(s, t, record) : 1;
}

int service_look_at_record(Service *s, Task *t)
{
        _cleanup_(record_unmapp) const Record *record = NULL;
        char name[TASK_ATTEMPT_NAME_SIZE];

        assert(s);
        assert(t);

        if (task_is_reported(&t->row))
                return service_attachment_take(s, t, NULL, NULL);
        task_attempt_name(t->row.task_id, t->row.attempt + (t->row.status == TASK_PENDING), name);
        int r = record_map(record_watch_dir_fd(s->records), name, &record);
        if (r == -ENOENT || r == -EAGAIN)
                return 0;
        if (r < 0)
                return log_warning_errno(r, "%s: its record cannot be read", name);
        return look(s, t, record);
}

void service_on_record_closed(const char *name, void *userdata)
{
        Service *s = ASSERT_PTR(userdata);
        char task_id[TASK_ID_MAX + 1];
        unsigned attempt;

        if (!name) {
                size_t cursor = 0;
                for (Task *t; (t = registry_next(s->registry, &cursor));) {
                        service_look_at_record(s, t);
                        service_verify_look_at_all(t);
                }
                return;
        }
        if (task_attempt_name_parse(name, task_id, &attempt) < 0)
                return;
        if (task_id_ends_in(task_id, "check")) {
                service_verify_on_record(s, task_id, attempt);
                return;
        }
        Task *t = registry_get(s->registry, task_id);
        if (!t)
                service_look_at_stray(s, name);
        else if (task_is_reported(&t->row) || attempt == t->row.attempt + (t->row.status == TASK_PENDING))
                service_look_at_record(s, t);
}
