/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Another attempt. Its policy says after which outcomes, how often and after which pause; its author has sealed how often at most, and
 * the launcher counts. Each attempt is one of its own: a record, a cgroup, a row of task_attempts. Between two of them the task is
 * pending, parked until not_before, without a slot.
 *
 *     active or verifying --- failed, and there is another attempt ---> pending ... active
 *
 * The end of the attempt, the state and the time of the next are one commit; then the record goes. If we die before it, the record
 * is looked at again, and the pause is another one. Not tried again is what its own ladder ended (the deadline is the task's, not an
 * attempt's), what was cancelled, what was adopted, and what was given descriptors: they are the first attempt's. */

#include <errno.h>
#include <string.h>
#include <sys/random.h>

#include "basic/crash.h"
#include "basic/log.h"
#include "daemon/queue/backoff.h"
#include "daemon/service/service-internal.h"

bool service_may_retry(const Task *t, TaskOutcome outcome)
{
        assert(t);

        /* task_judge_attempt() may be about the attempt that comes after row.attempt, if that never was seen to run. */
        return outcome != TASK_OUTCOME_SLA && t->queue && t->policy &&
               (t->policy->retry.on & (UINT32_C(1) << outcome)) &&
               t->row.attempt + (t->row.status == TASK_PENDING) < t->row.attempts && t->start_is_stored &&
               !t->row.cancel_requested && !t->ended_by_ladder;
}

static void on_attempt_committed(const ReeveError *error, int64_t last_event, void *userdata)
{
        _cleanup_(task_op_freep) TaskOp *op = ASSERT_PTR(userdata);
        Service *s = op->service;

        if (error) {
                log_full_reeve_error(LOG_ERR, error, op->task_id);
                return;
        }
        CRASH_POINT("reeved", "retry");
        launcher_client_forget(s->launcher, op->task_id, op->attempt);
        const Task *t = registry_get(s->registry, op->task_id);
        if (t)
                service_publish(s, last_event, op, &t->row);
}

/* `a` NULL: the attempt was committed when its work had ended. */
static int write_attempt(Service *s, Task *t, const AttemptRow *a)
{
        usec_t now = clock_realtime(s->clock);

        _cleanup_(task_op_freep) TaskOp *op = task_op_new(s, t);
        if (!op)
                return -ENOMEM;
        op->attempt = t->row.attempt;
        _cleanup_(store_write_freep) StoreWrite *w = store_write_new(s->store, 0, on_attempt_committed, op);
        if (!w || store_write_update_task(w, &t->row) < 0 ||
            service_write_event(w, op, t, "task.retry", a ? a->ended_realtime : now) < 0)
                return -ENOMEM;
        if (a) {
                const SnapshotRow last = { .attempt = a->attempt,
                                           .taken_realtime = a->ended_realtime,
                                           .elapsed_usec = usec_sub(a->ended_realtime, a->started_realtime),
                                           .usage = a->usage };
                if (store_write_attempt(w, a) < 0 || store_write_snapshot(w, t->row.task_id, &last) < 0)
                        return -ENOMEM;
        }
        int r = store_write_submit(TAKE_PTR(w));
        if (r >= 0)
                op = NULL; /* on_attempt_committed() has it */
        return r;
}

static usec_t choose_pause(const Task *t)
{
        const PolicyRetry *p = &t->policy->retry;
        uint32_t random = 0;

        if (getrandom(&random, sizeof(random), 0) != sizeof(random))
                log_debug("no random number: the pause is as long as it may be");
        return backoff_pause(p->backoff_usec, p->max_backoff_usec, t->row.attempt + 1, random);
}

bool service_retry(Service *s, Task *t, TaskOutcome outcome, const AttemptRow *a)
{
        char span[32];

        assert(s);
        assert(t);

        if (!service_may_retry(t, outcome))
                return false;
        bool verified = t->row.status == TASK_VERIFYING;
        task_next_attempt(t, a);
        usec_t pause = choose_pause(t);
        t->row.not_before_boottime = usec_add(clock_boottime(s->clock), pause);
        t->row.not_before_realtime = usec_add(clock_realtime(s->clock), pause);
        memcpy(t->row.boot_id, s->boot_id, sizeof(s->boot_id));
        t->doing &= ~TASK_RECORD_ENDED;
        t->launch_tries = 0;
        service_forget_kill(s, t);
        service_unsample(s, t);
        if (verified)
                service_sla_goes_on(s, t);
        log_info("%s: attempt %u of %u ended (%s), the next one follows in %s", t->row.task_id,
                 t->row.attempt, t->row.attempts, task_outcome_name(outcome),
                 usec_format_span(pause, span, sizeof(span)));
        int r = write_attempt(s, t, a);
        if (r < 0)
                log_error_errno(r, "%s: cannot store an attempt", t->row.task_id);
        service_answer_runs(s, t, NULL);
        service_output_poke(s, t->row.task_id, t->row.attempt, false);
        service_queue_pause(s, t);
        return true;
}
