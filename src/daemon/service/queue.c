/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Between a pending task and its launch. Which of those that wait is next is daemon/queue's to say; here is what keeps a task from
 * waiting there at all (it is held, pauses between two attempts, or has to come after others), and what is done when its turn comes.
 *
 *     parked    held, pausing, or after others; being committed; or of an earlier daemon, until the launcher is there
 *     waiting   for a slot
 *     running   has a slot: is launched as soon as that can be done, runs, or is verified
 *
 * A slot is given back when the last thing that runs for an attempt has ended: checks are of the task's work, and may look at what
 * the next task would change. A task that was adopted takes its slot without asking, since it runs; hooks take none.
 *
 * Limits of type and subsystem are those of the policy that the task was created with, as everything of its policy; the one of all
 * tasks is that of the policy in force.
 *
 * What waits needs no memory but its row: specification and ticket are read from the database when the turn comes. Only
 * descriptors that a caller passed stay with us, and die with us.
 *
 * Nothing here is written ahead of a launch: a task without a record is pending, whoever had which slot. After a restart those that
 * run take their slots first, also one that an earlier daemon may have launched without hearing of it. */

#include <errno.h>
#include <string.h>

#include "basic/crash.h"
#include "basic/log.h"
#include "common/spec/spec.h"
#include "daemon/service/service-internal.h"

#define PAUSE_ACCURACY_USEC (10 * USEC_PER_MSEC)

static Task *task_of(QueueEntry *e)
{
        return container_of(e, TaskQueue, entry)->task;
}

static int compare_pauses(const void *a, const void *b)
{
        usec_t x = ((const TaskQueue *)a)->task->row.not_before_boottime;
        usec_t y = ((const TaskQueue *)b)->task->row.not_before_boottime;

        return x < y ? -1 : x > y;
}

int service_start_queue(Service *s, ReeveError *reterr)
{
        assert(s);

        s->pauses = prioq_new(compare_pauses);
        s->uniques = hash_new();
        s->histories = hash_new();
        if (!s->pauses || !s->uniques || !s->histories || queue_new(&s->queue) < 0)
                return reeve_error_errno(reterr, ENOMEM, NULL, "cannot start");
        return 0;
}

void service_stop_queue(Service *s)
{
        assert(s);

        s->queue = queue_free(s->queue);
        s->pauses = prioq_free(s->pauses);
        s->uniques = hash_free(s->uniques);
        service_drop_histories(s);
        s->pause_timer = sd_event_source_disable_unref(s->pause_timer);
}

void service_queue_limit(Service *s)
{
        assert(s);

        queue_set_max(s->queue, s->policy.current ? policy_max_parallel(s->policy.current) : 0);
        service_queue_run(s);
}

/* ---- in and out ---- */

/* When it was created, in CLOCK_BOOTTIME. Of what comes from an earlier boot the wall clock tells the age, once. (The boot of a row is
 * that of its last start: what was tried again since the reboot may count as younger or older than it is, and is not passed for ever.) */
static boottime_t created_boottime(const Service *s, const TaskRow *row)
{
        usec_t now = clock_boottime(s->clock);

        if (memcmp(row->boot_id, s->boot_id, sizeof(s->boot_id)) == 0 && row->created_boottime <= now)
                return (boottime_t)row->created_boottime;
        return (boottime_t)now - (boottime_t)usec_sub(clock_realtime(s->clock), row->created_realtime);
}

int service_queue_enter(Service *s, Task *t)
{
        const TaskPolicy *p;

        assert(s);
        assert(t && !t->queue);

        p = t->policy;
        TaskQueue *q = NEW0(TaskQueue, 1);
        if (!q)
                return -ENOMEM;
        *q = (TaskQueue){ .service = s, .task = t, .pause_index = PRIOQ_NONE };
        list_init(&q->needs);
        t->queue = q;
        int r = queue_enter(s->queue, &q->entry,
                            &(QueueRequest){ .subsystem = t->row.subsystem,
                                             .task_type = t->row.task_type,
                                             .priority = t->row.priority,
                                             .created_boottime = created_boottime(s, &t->row),
                                             .task_type_max = p ? p->max_parallel : 0,
                                             .subsystem_max = p ? p->subsystem_max_parallel : 0 });
        if (r >= 0)
                r = service_unique_claim(s, t);
        if (r >= 0 && t->row.status != TASK_PENDING)
                queue_started(s->queue, &q->entry);
        return r;
}

static void leave(TaskQueue *q)
{
        service_unique_release(q);
        service_after_forget(q);
        prioq_remove(q->service->pauses, &q->pause_index);
        queue_leave(q->service->queue, &q->entry);
}

void service_queue_leave(Service *s, Task *t)
{
        assert(s);
        assert(t);

        if (!t->queue)
                return;
        leave(t->queue);
        service_queue_run(s);
}

void service_release_queue(Task *t)
{
        assert(t);

        while (list_pop(&t->dependents)) /* they are theirs */
                ;
        if (!t->queue)
                return;
        leave(t->queue);
        free(t->queue);
        t->queue = NULL;
}

void service_queue_started(Service *s, Task *t)
{
        assert(s);
        assert(t);

        if (!t->queue || t->queue->entry.state == QUEUE_RUNNING)
                return;
        prioq_remove(s->pauses, &t->queue->pause_index);
        queue_started(s->queue, &t->queue->entry);
}

bool service_queue_waits(const Task *t)
{
        assert(t);

        return t->row.status == TASK_PENDING && t->queue && t->queue->entry.state != QUEUE_RUNNING &&
               !(t->doing & TASK_DOING_INSERT);
}

/* ---- its turn ---- */

static void on_spec(const ReeveError *error, const StoreSpec *spec, void *userdata)
{
        _cleanup_(task_op_freep) TaskOp *op = ASSERT_PTR(userdata);
        Service *s = op->service;
        ReeveError e = REEVE_ERROR_NULL;

        Task *t = registry_get(s->registry, op->task_id);
        if (!t || !(t->doing & TASK_DOING_FETCH))
                return;
        t->doing &= ~TASK_DOING_FETCH;
        if (t->row.status != TASK_PENDING || (t->doing & TASK_DOING_FINISH))
                return;
        if (error) {
                log_full_reeve_error(LOG_WARNING, error, op->task_id);
                service_retry_later(s);
                return;
        }
        if (!spec || spec->ticket_size != sizeof(t->ticket)) {
                service_end_otherwise(s, t, TASK_FAILED, TASK_OUTCOME_EXEC, "its specification is gone");
                return;
        }
        if (spec_seal(spec->spec, spec->spec_size, &t->spec_fd, &e) < 0) {
                log_full_reeve_error(LOG_WARNING, &e, op->task_id);
                service_retry_later(s);
                return;
        }
        memcpy(t->ticket, spec->ticket, sizeof(t->ticket));
        t->has_ticket = true;
        CRASH_POINT("reeved", "fetched");
        if (t->queue->entry.state == QUEUE_RUNNING) /* it may have been held meanwhile */
                service_launch(s, t);
}

static void fetch(Service *s, Task *t)
{
        _cleanup_(task_op_freep) TaskOp *op = task_op_new(s, t);

        if (!op || store_spec(s->store, t->row.task_id, on_spec, op) < 0) {
                service_retry_later(s);
                return;
        }
        op = NULL; /* on_spec() has it */
        t->doing |= TASK_DOING_FETCH;
}

void service_queue_launch(Service *s, Task *t)
{
        assert(s);
        assert(t);

        if (t->hook || (t->spec_fd >= 0 && t->has_ticket))
                service_launch(s, t);
        else {
                assert(t->start_is_stored);
                fetch(s, t);
        }
}

void service_queue_run(Service *s)
{
        assert(s);

        /* What cannot be launched ends, and its slot is free: that is seen by the loop that is under way. */
        if (s->queue_runs)
                return;
        s->queue_runs = true;
        for (QueueEntry *e; (e = queue_next(s->queue));)
                service_queue_launch(s, task_of(e));
        s->queue_runs = false;
}

static bool is_kept(const Task *t)
{
        return t->row.held || t->queue->pause_index != PRIOQ_NONE || !list_is_empty(&t->queue->needs);
}

void service_queue_ready(Service *s, Task *t)
{
        assert(s);
        assert(t);

        if (!t->queue || t->queue->entry.state != QUEUE_PARKED || t->row.status != TASK_PENDING ||
            (t->doing & (TASK_DOING_INSERT | TASK_DOING_FINISH)) || is_kept(t))
                return;
        if (queue_ready(s->queue, &t->queue->entry) < 0)
                service_retry_later(s);
}

void service_queue_admit(Service *s, Task *t)
{
        assert(s);
        assert(t && t->queue);

        t->queue->settled = true;
        t->start_is_stored = t->n_stdio_fds == 0 && !t->attaches;
        if (t->attaches) {
                service_queue_started(s, t);
                service_launch(s, t);
                return;
        }
        if (service_after_begin(s, t) < 0) {
                service_end_otherwise(s, t, TASK_FAILED, TASK_OUTCOME_EXEC, "out of memory");
                return;
        }
        service_queue_ready(s, t);
        service_queue_run(s);
        if (!service_queue_waits(t))
                return;
        CRASH_POINT("reeved", "queued");
        service_answer_runs(s, t, NULL);
        service_want_history(s, &t->row);
        if (t->start_is_stored)
                task_drop_start(t);
}

/* ---- pauses ---- */

static int on_pause_over(sd_event_source *source, uint64_t usec, void *userdata);

static void arm_pause_timer(Service *s)
{
        const TaskQueue *first = prioq_peek(s->pauses);

        if (!first)
                return;
        usec_t at = first->task->row.not_before_boottime;
        if (!s->pause_timer) {
                int r = sd_event_add_time(s->event, &s->pause_timer, CLOCK_BOOTTIME, at, PAUSE_ACCURACY_USEC,
                                          on_pause_over, s);
                if (r < 0)
                        log_error_errno(r, "tasks that pause between two attempts do not go on");
                return;
        }
        sd_event_source_set_time(s->pause_timer, at);
        sd_event_source_set_enabled(s->pause_timer, SD_EVENT_ONESHOT);
}

static int on_pause_over(sd_event_source *source, uint64_t usec, void *userdata)
{
        Service *s = ASSERT_PTR(userdata);
        usec_t now = clock_boottime(s->clock);

        for (TaskQueue *q; (q = prioq_peek(s->pauses)) && q->task->row.not_before_boottime <= now;) {
                prioq_remove(s->pauses, &q->pause_index);
                service_queue_ready(s, q->task);
        }
        service_queue_run(s);
        arm_pause_timer(s);
        return 0;
}

void service_queue_pause(Service *s, Task *t)
{
        assert(s);
        assert(t && t->queue);

        queue_park(s->queue, &t->queue->entry);
        if (prioq_put(s->pauses, t->queue, &t->queue->pause_index) < 0) {
                log_warning("%s: its next attempt does not wait", t->row.task_id);
                service_queue_ready(s, t);
        }
        arm_pause_timer(s);
        service_queue_run(s);
}

/* ---- Hold and Release ---- */

/* Has its start begun, so that nobody can hold it any more? */
static bool is_starting(Service *s, const Task *t)
{
        return t->row.status != TASK_PENDING || (t->doing & TASK_DOING_LAUNCH) || service_has_record(s, t);
}

void service_set_held(Service *s, const Caller *caller, const char *task_id, bool held,
                      service_done_t callback, void *userdata)
{
        ReeveError e = REEVE_ERROR_NULL;

        Task *t = service_find(s, caller, task_id, callback, userdata);
        if (!t)
                return;
        if (!t->queue || is_starting(s, t)) {
                reeve_error_set(&e, REEVE_ERROR_INVALID_ARGUMENT, "task_id",
                                "task '%s' has been started: only what is pending is held", task_id);
                callback(&e, userdata);
                return;
        }
        t->row.held = held;
        if (held && t->queue->entry.state != QUEUE_PARKED) {
                queue_park(s->queue, &t->queue->entry);
                service_answer_runs(s, t, NULL);
        }
        int r = service_commit_change(s, t, held ? "task.held" : "task.released", callback, userdata);
        if (r < 0) {
                reeve_error_errno(&e, r, NULL, "cannot store it");
                callback(&e, userdata);
        }
        service_queue_ready(s, t);
        service_queue_run(s);
}

/* ---- after a restart ---- */

void service_queue_recover(Service *s, Task *t)
{
        TaskRow *row;

        assert(s);
        assert(t);

        row = &t->row;
        if (!t->queue || row->status != TASK_PENDING || (t->doing & TASK_DOING_FINISH))
                return;
        if (service_has_record(s, t)) {
                service_queue_started(s, t); /* whatever it waited for was there */
                return;
        }
        if (row->attempt == 0 && service_after_begin(s, t) < 0)
                log_error("%s: out of memory, it does not wait for others", row->task_id);
        if (row->not_before_realtime == 0 || t->queue->pause_index != PRIOQ_NONE)
                return;
        if (memcmp(row->boot_id, s->boot_id, sizeof(s->boot_id)) != 0)
                row->not_before_boottime =
                                usec_add(clock_boottime(s->clock),
                                         usec_sub(row->not_before_realtime, clock_realtime(s->clock)));
        service_queue_pause(s, t);
}
