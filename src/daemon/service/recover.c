/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* After a restart of ours, of the launcher or of the machine: what became of the tasks that the database says are open?
 *
 *     row       record                      then
 *     any       ended                       its end is committed as always
 *     pending   started                     it runs: taken over
 *     pending   claimed                     the launcher is at it, or will take it back when it comes: looked at again soon
 *     pending   none, but spent             lost / rebooted: it was started, and the record went with the machine
 *     pending   none                        it provably never ran: launched (the ticket is in the database), or, if it was given
 *                                           descriptors, failed: they died with the daemon that held them
 *     active    started                     it runs, or its keeper died and the launcher has it adopted: its record will tell
 *     active    none, same boot             cannot be, but for a human hand: lost / exit-unknown
 *     active    none or not ended, other boot   lost / rebooted
 *     reported  any                         report-watch.c: its reporter is found again, or it is lost; attachment.c: and its process
 *     none      ended                       the commit was made, but not the Forget: forgotten again
 *
 * The launcher recovers records whose keepers died by itself (launcher/recover.c), with or without us. */

#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "basic/dir.h"
#include "basic/fd.h"
#include "basic/log.h"
#include "common/cgroup/cgroup.h"
#include "common/spec/spec.h"
#include "daemon/service/report-internal.h"

#define RETRY_USEC          (50 * USEC_PER_MSEC)
#define RETRY_ACCURACY_USEC (10 * USEC_PER_MSEC)

/* ---- at start ---- */

/* What a start needs, from the database; without it the task stays, and fails when it would be launched. */
static int restore_start(Task *t, const StoreOpenTask *o)
{
        _cleanup_(spec_done) Spec spec = { 0 };

        if (!o->spec || o->ticket_size != sizeof(t->ticket))
                return -ENOENT;
        int r = spec_parse(&spec, o->spec, o->spec_size, NULL);
        if (r < 0)
                return r;
        for (int i = 0; i < SPEC_STDIO_COUNT; i++)
                if (spec.stdio[i].kind == SPEC_STDIO_FD)
                        return -EBADF;
        t->attaches = spec.attach.pid > 0;
        t->start_is_stored = !t->attaches;
        if (!t->attaches)
                return 0; /* it is read when it is wanted */
        r = spec_seal(o->spec, o->spec_size, &t->spec_fd, NULL);
        if (r < 0)
                return r;
        memcpy(t->ticket, o->ticket, sizeof(t->ticket));
        t->has_ticket = true;
        return 0;
}

static void restore_frozen(Service *s, Task *t)
{
        if (s->cgroup_fd < 0 || !t->row.cgroup || !t->row.cgroup[0])
                return;
        _cleanup_fd_ int leaf = openat(s->cgroup_fd, t->row.cgroup, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        if (leaf >= 0)
                cgroup_events(leaf, NULL, &t->row.frozen);
}

/* Did it run before the machine was started, or was it created then and has not run? Only after a look at its record. */
static bool was_before_reboot(const Service *s, const Task *t)
{
        return memcmp(t->row.boot_id, s->boot_id, sizeof(s->boot_id)) != 0;
}

static void recover_task(Service *s, Task *t)
{
        if (t->row.status == TASK_VERIFYING) {
                if (t->row.cancel_requested)
                        service_carry_out_cancel(s, t);
                else
                        service_verify_again(s, t);
                return;
        }
        if (task_is_reported(&t->row)) {
                service_report_recover(s, t);
                restore_frozen(s, t);
                return;
        }
        int r = service_look_at_record(s, t);

        if (t->doing & TASK_DOING_FINISH)
                return;
        if (was_before_reboot(s, t) && t->row.status != TASK_PENDING) {
                service_end_otherwise(s, t, TASK_LOST, TASK_OUTCOME_REBOOTED,
                                      "the machine was restarted while it ran");
                return;
        }
        if (t->row.status == TASK_PENDING) {
                service_ladder_act(s, t);
                return; /* all else when the launcher is there */
        }
        if (r == 0) {
                service_end_otherwise(s, t, TASK_LOST, TASK_OUTCOME_EXIT_UNKNOWN, "its record is gone");
                return;
        }
        restore_frozen(s, t);
        service_sample(s, t);
        service_ladder_act(s, t);
        if (t->row.cancel_requested)
                service_carry_out_cancel(s, t);
}

int service_recover(Service *s, ReeveError *reterr)
{
        StoreOpenTask *open_tasks = NULL;
        size_t n = 0;
        Hash *policies;

        assert(s);

        int r = store_load_open_tasks(s->store, &open_tasks, &n, reterr);
        if (r < 0)
                return r;
        policies = hash_new();
        if (!policies)
                r = reeve_error_errno(reterr, ENOMEM, NULL, "cannot recover");
        for (size_t i = 0; r >= 0 && i < n; i++) {
                Task *t;
                r = registry_add(s->registry, open_tasks[i].row, &t, reterr);
                if (r < 0)
                        break;
                t->policy = service_recover_policy(policies, t->row.policy_hash, open_tasks[i].policy);
                service_recover_hook(s, t);
                bool may_start = t->row.status == TASK_PENDING || t->row.attempt < t->row.attempts;
                bool is_run = !t->hook && !task_is_reported(&t->row);
                if (is_run && may_start && restore_start(t, open_tasks + i) < 0)
                        log_debug("%s: cannot be launched any more", t->row.task_id);
                service_sla_recover(s, t);
                service_stuck_recover(s, t);
                if (is_run)
                        r = service_queue_enter(s, t);
                if (r < 0)
                        reeve_error_errno(reterr, r, NULL, "cannot recover");
        }
        service_forget_recovered(policies);
        store_open_tasks_free(open_tasks, n);
        if (r < 0)
                return r;

        size_t cursor = 0;
        for (Task *t; (t = registry_next(s->registry, &cursor));)
                recover_task(s, t);
        cursor = 0;
        for (Task *t; (t = registry_next(s->registry, &cursor));)
                service_queue_recover(s, t);
        if (n > 0)
                log_info("%zu tasks had not ended", n);
        return store_last_event(s->store, &s->last_event);
}

/* ---- the launcher comes and goes ---- */

bool service_has_record(Service *s, const Task *t)
{
        char name[TASK_ATTEMPT_NAME_SIZE];

        assert(s);
        assert(t);

        task_attempt_name(t->row.task_id, t->row.attempt + 1, name);
        return faccessat(record_watch_dir_fd(s->records), name, F_OK, 0) == 0;
}

static void push_pending(Service *s, Task *t)
{
        service_ladder_act(s, t);
        if (task_is_reported(&t->row))
                return; /* to begin it is its reporter's business */
        if (t->doing || t->row.status != TASK_PENDING)
                return;
        if (t->queue && t->queue->settled && service_queue_waits(t)) {
                service_queue_ready(s, t);
                return; /* nobody can have launched it: no need to look */
        }
        if (service_look_at_record(s, t) != 0)
                return;
        if (service_has_record(s, t)) {
                service_queue_started(s, t);
                service_retry_later(s);
                return;
        }
        if (t->row.cancel_requested)
                service_carry_out_cancel(s, t);
        else if (!launcher_client_is_connected(s->launcher))
                return; /* service_on_launcher_connected() comes back to it */
        else if (service_hook_pauses(t))
                return; /* the end of the pause comes back to it */
        else if (!t->hook && t->spec_fd < 0 && !t->start_is_stored)
                service_end_otherwise(s, t, TASK_FAILED, TASK_OUTCOME_EXEC,
                                      "the descriptors that it was given died with the daemon before it was "
                                      "launched");
        else if (service_queue_waits(t)) {
                t->queue->settled = true;
                service_queue_ready(s, t);
        } else if (t->launch_tries >= SERVICE_LAUNCH_TRIES)
                service_end_otherwise(s, t, TASK_FAILED, TASK_OUTCOME_EXEC,
                                      "the launcher refuses to start it");
        else
                service_queue_launch(s, t);
}

/* What the launcher that was away has missed. */
static void push_active(Service *s, Task *t)
{
        service_sla_check_backstop(s, t);
        if (t->row.status == TASK_ACTIVE && !t->doing)
                service_look_at_record(s, t);
        if (t->row.status == TASK_ACTIVE && !t->doing && t->row.cancel_requested)
                service_carry_out_cancel(s, t);
        service_ladder_act(s, t);
}

static int on_retry(sd_event_source *source, uint64_t usec, void *userdata)
{
        Service *s = ASSERT_PTR(userdata);
        size_t cursor = 0;

        for (Task *t; (t = registry_next(s->registry, &cursor));) {
                service_verify_go_on(t);
                push_pending(s, t);
        }
        service_queue_run(s);
        return 0;
}

void service_retry_later(Service *s)
{
        assert(s);

        if (!s->retry_timer) {
                sd_event_add_time_relative(s->event, &s->retry_timer, CLOCK_BOOTTIME, RETRY_USEC,
                                           RETRY_ACCURACY_USEC, on_retry, s);
                return;
        }
        sd_event_source_set_time_relative(s->retry_timer, RETRY_USEC);
        sd_event_source_set_enabled(s->retry_timer, SD_EVENT_ONESHOT);
}

void service_launch_uncertain(Service *s, Task *t, bool spent)
{
        assert(s);
        assert(t);

        if (service_look_at_record(s, t) != 0)
                return;
        if (!spent || service_has_record(s, t)) {
                service_retry_later(s);
                return;
        }
        /* Spent, and no record: it started, and what could tell more went with the last boot or by a human hand. */
        service_end_otherwise(s, t, TASK_LOST,
                              was_before_reboot(s, t) ? TASK_OUTCOME_REBOOTED : TASK_OUTCOME_EXIT_UNKNOWN,
                              was_before_reboot(s, t) ? "the machine was restarted when it had been started"
                                                      : "its record is gone");
}

/* A record whose task is not open. If the database knows that it ended, only the Forget was lost; or the task was given up
 * while its launcher had not answered for so long that the call ended: what came of that is ended. */
static void on_stray(const ReeveError *error, TaskRow **rows, size_t n, void *userdata)
{
        _cleanup_(task_op_freep) TaskOp *op = ASSERT_PTR(userdata);

        if (error)
                return;
        if (n > 0 && task_state_is_final(rows[0]->status)) {
                if (task_is_reported(rows[0])) /* its process was its reporter's, and may go on */
                        service_attachment_release(op->service, op->task_id);
                else
                        launcher_client_kill(op->service->launcher, op->task_id, op->attempt);
                launcher_client_forget(op->service->launcher, op->task_id, op->attempt);
        } else if (n == 0)
                log_warning("%s: there is a record of a task that the database does not know", op->task_id);
}

void service_look_at_stray(Service *s, const char *name)
{
        assert(s);
        assert(name);

        char task_id[TASK_ID_MAX + 1];
        unsigned attempt;
        if (task_attempt_name_parse(name, task_id, &attempt) < 0)
                return;
        const Task *t = registry_get(s->registry, task_id);
        if (t) {
                /* One that was followed by another: only its Forget was lost. */
                if (attempt < t->row.attempt + (t->row.status == TASK_PENDING))
                        launcher_client_forget(s->launcher, task_id, attempt);
                service_attachment_forget(s, t);
                return;
        }
        if (task_id_ends_in(task_id, "check")) {
                service_verify_on_record(s, task_id, attempt);
                return;
        }
        TaskOp *op = NEW0(TaskOp, 1);
        if (!op)
                return;
        op->service = s;
        strcpy(op->task_id, task_id);
        op->attempt = attempt;
        if (store_get(s->store, op->task_id, on_stray, op) < 0)
                free(op);
}

static void look_for_strays(Service *s)
{
        _cleanup_closedir_ DIR *d = dir_open_at(record_watch_dir_fd(s->records), ".");
        for (struct dirent *e; d && (e = readdir(d));)
                if (e->d_name[0] != '.')
                        service_look_at_stray(s, e->d_name);
}

void service_on_launcher_connected(void *userdata)
{
        Service *s = ASSERT_PTR(userdata);
        size_t cursor = 0;

        service_find_network_map(s);
        s->launcher_away_boottime = USEC_INFINITY;
        for (Task *t; (t = registry_next(s->registry, &cursor));) {
                push_active(s, t); /* first: one that was just launched is not a missed one */
                push_pending(s, t);
                service_verify_look_at_all(t);
                service_verify_go_on(t);
        }
        service_queue_run(s);
        look_for_strays(s);
        service_release_held(s);
}

void service_on_urgent_connected(void *userdata)
{
        Service *s = ASSERT_PTR(userdata);
        size_t cursor = 0;

        for (Task *t; (t = registry_next(s->registry, &cursor));)
                service_ladder_act(s, t);
}

void service_on_launcher_disconnected(void *userdata)
{
        Service *s = ASSERT_PTR(userdata);

        s->launcher_away_boottime = clock_boottime(s->clock);
        log_warning("the launcher is away; running tasks go on");
        if (s->reports.launcher_away)
                s->reports.launcher_away(s->reports.userdata);
}
