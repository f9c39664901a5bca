/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The process that was attached to a reported task: from its record into the row.
 *
 * To the launcher it is the task's first and only attempt: a record, a keeper and a cgroup like those of a command. To the
 * registry the task stays reported: its reporter says how it ends. So what the record says goes into the account alone,
 *
 *     record             the task
 *     started            has its cgroup and attempt 1, is sampled, can be signalled, frozen and cancelled
 *     ended              has its final account, and goes on: its reporter may say how it ended, or what comes next.
 *                        If it was told to end (Cancel, a ladder) it ends with its process, and so it does if its reporter was that
 *
 *     the task ends      and the record has not ended: the account is taken now, from the live counters (`kernel`), and the
 *                        process is let go. It stays in its cgroup until it ends; its record is forgotten then (recover.c)
 *
 * Counters that are counted have the last word, field by field; the others stay as they were reported. The record is the truth
 * here, too: whoever becomes reeved looks at it, whatever the row says. What was committed of the end is not taken again. */

#include <errno.h>
#include <fcntl.h>
#include <string.h>

#include "basic/fd.h"
#include "basic/log.h"
#include "common/cgroup/cgroup.h"
#include "common/net/net-usage.h"
#include "daemon/launch/account.h"
#include "daemon/service/report-internal.h"

bool service_has_processes(const Task *t)
{
        assert(t);

        if (task_is_reported(&t->row))
                return t->report && t->report->attached == ATTACHED_RUNS;
        return t->row.attempt > 0;
}

static int map_record(Service *s, const Task *t, const Record **ret)
{
        char name[TASK_ATTEMPT_NAME_SIZE];

        task_attempt_name(t->row.task_id, ATTACHED_ATTEMPT, name);
        return record_map(record_watch_dir_fd(s->records), name, ret);
}

/* ---- what is committed ---- */

typedef struct CommitOp {
        TaskOp op;
        bool ended;              /* the record has nothing more to say */
        service_task_t callback; /* NULL: nobody waits */
        void *userdata;
} CommitOp;

static CommitOp *commit_op_free(CommitOp *c)
{
        if (c)
                free(c->op.detail);
        free(c);
        return NULL;
}
DEFINE_CLEANUP_FUNC(CommitOp *, commit_op_free)

static void answer(const CommitOp *c, const ReeveError *error, const TaskRow *row)
{
        ReeveError e = REEVE_ERROR_NULL;

        if (!c->callback)
                return;
        if (!error && !row) {
                reeve_error_set(&e, REEVE_ERROR_ALREADY_FINISHED, "task_id", "task '%s' has ended meanwhile",
                                c->op.task_id);
                error = &e;
        }
        c->callback(error, error ? NULL : row, c->userdata);
}

static void on_committed(const ReeveError *error, int64_t last_event, void *userdata)
{
        _cleanup_(commit_op_freep) CommitOp *c = ASSERT_PTR(userdata);
        Service *s = c->op.service;

        Task *t = registry_get(s->registry, c->op.task_id);
        if (t && t->report && c->ended && !error)
                t->report->attached_stored = true;
        if (error)
                log_full_reeve_error(LOG_ERR, error, c->op.task_id);
        else if (t)
                service_publish(s, last_event, &c->op, &t->row);
        if (!error && c->ended)
                launcher_client_forget(s->launcher, c->op.task_id, ATTACHED_ATTEMPT);
        answer(c, error, t ? &t->row : NULL);
}

/* The last of its snapshots is its account. */
static int write_last(StoreWrite *w, Service *s, const Task *t)
{
        usec_t now = clock_boottime(s->clock);
        const SnapshotRow last = { .attempt = ATTACHED_ATTEMPT,
                                   .taken_realtime = clock_realtime(s->clock),
                                   .elapsed_usec = usec_sub(now, t->row.started_boottime),
                                   .usage = t->row.usage };

        return store_write_snapshot(w, t->row.task_id, &last);
}

static int write_attempt(CommitOp *taken, Task *t, const AttemptRow *a)
{
        _cleanup_(commit_op_freep) CommitOp *c = taken;
        Service *s = c->op.service;

        _cleanup_(store_write_freep) StoreWrite *w = store_write_new(s->store, 0, on_committed, c);
        if (!w || store_write_update_task(w, &t->row) < 0 || store_write_attempt(w, a) < 0 ||
            (c->ended && write_last(w, s, t) < 0) ||
            service_write_event(w, &c->op, t, "task.updated", clock_realtime(s->clock)) < 0)
                return -ENOMEM;
        int r = store_write_submit(TAKE_PTR(w));
        if (r >= 0)
                c = NULL; /* on_committed() has it */
        return r;
}

/* If that fails the record stays, and the next start of the daemon takes it over. */
static void commit(Service *s, Task *t, const AttemptRow *a, bool ended, service_task_t callback,
                   void *userdata)
{
        const CommitOp failed = { .callback = callback, .userdata = userdata };
        ReeveError e = REEVE_ERROR_NULL;
        int r = -ENOMEM;

        CommitOp *c = NEW0(CommitOp, 1);
        if (c) {
                c->op.service = s;
                strcpy(c->op.task_id, t->row.task_id);
                c->ended = ended;
                c->callback = callback;
                c->userdata = userdata;
                r = write_attempt(c, t, a);
        }
        if (r >= 0)
                return;
        log_error_errno(r, "%s: cannot store what became of its process", t->row.task_id);
        reeve_error_errno(&e, r, NULL, "cannot store the task");
        answer(&failed, &e, NULL);
}

/* ---- it has joined ---- */

static int join(Service *s, Task *t, const Record *record, const AttemptRow *a)
{
        TaskReport *r = t->report;

        char *cgroup = strdup(a->cgroup);
        if (!cgroup)
                return -ENOMEM;
        free(t->row.cgroup);
        t->row.cgroup = cgroup;
        t->row.attempt = ATTACHED_ATTEMPT;
        t->net = net_ref_of_record(record);
        if (t->net.map_id != 0 && t->net.map_id != s->net_map_id)
                service_find_network_map(s); /* the launcher had to make it anew */
        r->attached = ATTACHED_RUNS;
        r->attached_pid = record->task_pid;
        r->attached_start = record->task_start;
        service_sample(s, t);
        service_sla_check_backstop(s, t);
        return 0;
}

/* ---- it has ended ---- */

static void take_final(Service *s, Task *t, AttemptRow *a)
{
        service_keep_sampled(t, a);
        service_take_usage(t, &a->usage);
        t->report->attached = ATTACHED_OVER;
        t->row.frozen = false;
        service_forget_kill(s, t);
        service_unsample(s, t);
        t->net = (NetRef){ 0 };
}

/* The end of the process is on its way to the database: is it that of the task? */
static void end_with_process(Service *s, Task *t, usec_t ended_boottime, int signal)
{
        if (t->row.cancel_requested) {
                service_end_otherwise(s, t, TASK_CANCELLED, TASK_OUTCOME_NONE, NULL);
                return;
        }
        service_sla_blame(s, t, ended_boottime, signal);
        if (t->ended_by_ladder)
                service_end_otherwise(s, t, TASK_FAILED, TASK_OUTCOME_SLA, NULL);
        else if (service_report_is_left(t) || t->row.pid == t->report->attached_pid)
                service_report_lose(s, t);
        else {
                service_stuck_heard(s, t); /* from now on only its reporter tells of it */
                service_ladder_act(s, t);
        }
}

static void leave(Service *s, Task *t, const Record *record, AttemptRow *a, service_task_t callback,
                  void *userdata)
{
        t->doing &= ~TASK_RECORD_ENDED;
        take_final(s, t, a);
        commit(s, t, a, true, callback, userdata);
        end_with_process(s, t, record->ended_boottime_usec, service_killed_by(a));
}

/* ---- looking ---- */

/* While the launcher is asked, whoever waits for its answer looks. */
static bool is_not_to_be_taken(const Task *t)
{
        return t->report->attached == ATTACHED_ASKED ||
               (t->doing & (TASK_DOING_FINISH | TASK_DOING_INSERT)) || t->row.status != TASK_ACTIVE ||
               (t->report->attached == ATTACHED_OVER && t->report->attached_pid != 0);
}

static int take(Service *s, Task *t, const Record *record, service_task_t callback, void *userdata)
{
        _cleanup_(attempt_row_done) AttemptRow a = { 0 };
        bool ended = record_phase(record) == RECORD_ENDED, runs = service_has_processes(t);

        if (ended && (t->doing & TASK_DOING_STEP)) {
                t->doing |= TASK_RECORD_ENDED;
                return 1;
        }
        int r = attempt_from_record(record, &a);
        if (r < 0)
                return r;
        if (ended && !runs && a.exit_kind == RECORD_EXIT_EXEC_FAILED) { /* it could not be moved */
                launcher_client_forget(s->launcher, t->row.task_id, ATTACHED_ATTEMPT);
                return 0;
        }
        if (!runs && (r = join(s, t, record, &a)) < 0)
                return r;
        if (ended)
                leave(s, t, record, &a, callback, userdata);
        else if (!runs)
                commit(s, t, &a, false, callback, userdata);
        return 1;
}

int service_attachment_take(Service *s, Task *t, service_task_t callback, void *userdata)
{
        _cleanup_(record_unmapp) const Record *record = NULL;

        assert(s);
        assert(t);
        assert(!callback || !service_has_processes(t));

        if (!t->report || is_not_to_be_taken(t))
                return 0;
        int r = map_record(s, t, &record);
        if (r < 0 || record_phase(record) <= RECORD_CLAIMED)
                return 0;
        r = take(s, t, record, callback, userdata);
        if (r < 0)
                log_error_errno(r, "%s: cannot take its process over", t->row.task_id);
        return r > 0;
}

void service_attachment_forget(Service *s, const Task *t)
{
        assert(s);
        assert(t);

        if (t->report && t->report->attached_stored)
                launcher_client_forget(s->launcher, t->row.task_id, ATTACHED_ATTEMPT);
}

/* ---- the task ends before it ---- */

/* What it has used until now. What only others can read is as old as the last reading. */
static void take_live(Service *s, Task *t, AttemptRow *a)
{
        Usage now = { 0 };

        _cleanup_fd_ int leaf = s->cgroup_fd < 0 ? -EBADF
                                                 : openat(s->cgroup_fd, t->row.cgroup,
                                                          O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        if (leaf >= 0)
                (void)cgroup_read_usage(leaf, &now, USAGE_KERNEL);
        usage_fill(&now, &t->row.usage);
        service_take_usage(t, &now);
        a->usage = t->row.usage;
}

static void write_account(Service *s, const Task *t, const AttemptRow *a)
{
        _cleanup_(store_write_freep) StoreWrite *w = store_write_new(s->store, STORE_WRITE_LAZY, NULL, NULL);

        if (!w || store_write_attempt(w, a) < 0 || write_last(w, s, t) < 0 ||
            store_write_submit(TAKE_PTR(w)) < 0)
                log_error("%s: cannot store what its process used", a->task_id);
}

void service_attachment_release(Service *s, const char *task_id)
{
        assert(s);
        assert(task_id);

        LauncherAct thaw = { .method = "Thaw", .task_id = task_id, .attempt = ATTACHED_ATTEMPT };
        launcher_client_set_deadline(s->launcher, task_id, ATTACHED_ATTEMPT, USEC_INFINITY);
        launcher_client_act(s->launcher, &thaw, NULL, NULL, NULL);
}

void service_attachment_settle(Service *s, Task *t)
{
        _cleanup_(record_unmapp) const Record *record = NULL;
        _cleanup_(attempt_row_done) AttemptRow a = { 0 };

        assert(s);
        assert(t);

        if (!task_is_reported(&t->row) || !service_has_processes(t))
                return;
        if (map_record(s, t, &record) < 0 || attempt_from_record(record, &a) < 0) {
                log_error("%s: cannot take the account of its process", t->row.task_id);
                t->report->attached = ATTACHED_OVER;
                return;
        }
        if (record_phase(record) < RECORD_ENDED) {
                take_live(s, t, &a);
                service_attachment_release(s, t->row.task_id);
        }
        take_final(s, t, &a);
        write_account(s, t, &a);
}
