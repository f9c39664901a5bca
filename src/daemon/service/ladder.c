/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* What the steps of a ladder do, each at most once:
 *
 *     step                                  claimed by                        done when
 *     notify, the deadline's own            the commit itself                 its event is committed
 *     signal, freeze, kill: it runs         the launcher, a bit in the        the launcher says so
 *                                           record, before it acts
 *     signal, kill: it is still pending     the commit of its end             likewise: failed, outcome sla
 *     escalate                              the row says `acting`, committed  the hook has ended
 *
 * The effect comes first, the commit of what came of it after. If we die in between, what was claimed is found at the next start and
 * recorded as `uncertain`: nobody knows whether it had its effect, and nobody tries again. A kill is the exception: it is
 * recorded so, too, but repeated until nothing is left, now as ever, since a second kill is no harm.
 *
 * What must wait stays `due` and is looked at again: a task whose row is being committed or that is being launched when that is
 * over, everything else when the launcher is there. Steps that came due while nobody was there are acted on at once, in their order.
 *
 * How a step is recorded and told of when it is over is ladder-step.c's.
 *
 * While the launcher has a step, the end of its task waits for the answer (TASK_DOING_STEP), so that the end is committed with what
 * the step did. */

#include <errno.h>
#include <signal.h>
#include <string.h>

#include "basic/crash.h"
#include "basic/log.h"
#include "daemon/service/ladder-internal.h"

#define KILL_AGAIN_USEC (2 * USEC_PER_SEC)

static void finish_now(Service *s, Task *t, LadderStep *step, LadderState to, const char *message)
{
        service_step_finish(s, t, step, to, clock_boottime(s->clock), message);
}

/* ---- signal, freeze, kill of what runs ---- */

static bool has_effect(const LadderStep *step)
{
        return step->act == LADDER_SIGNAL || step->act == LADDER_FREEZE || step->act == LADDER_KILL;
}

/* The bit of the record that says that the step was begun. Those of a deadline have one each; an attempt may be found stuck again and
 * again, so there only steps have one that need it, and they may run out. */
static unsigned bit_of(const Task *t, const LadderStep *step)
{
        const TaskLadder *l = service_step_ladder(t, step);
        unsigned bit = l->first_bit;

        if (!l->is_stuck)
                return step->number;
        for (size_t i = 0; i < l->sla.ladder->n_steps; i++)
                bit += has_effect(l->sla.ladder->steps + i) && l->sla.ladder->steps[i].number < step->number;
        return bit;
}

unsigned service_ladder_bits(const Ladder *l)
{
        unsigned n = 0;

        assert(l);

        for (size_t i = 0; i < l->n_steps; i++)
                n += has_effect(l->steps + i);
        return n;
}

/* Does the record say that the step was begun? */
static bool was_claimed(Service *s, const Task *t, const LadderStep *step)
{
        unsigned number = bit_of(t, step);
        _cleanup_(record_unmapp) const Record *record = NULL;
        char name[TASK_ATTEMPT_NAME_SIZE];

        if (t->row.attempt == 0 || !has_effect(step) || number >= RECORD_STEPS_MAX)
                return false;
        task_attempt_name(t->row.task_id, t->row.attempt, name);
        if (record_map(record_watch_dir_fd(s->records), name, &record) < 0)
                return false;
        return atomic_load(&((Record *)record)->ladder_bits) & UINT32_C(1) << number;
}

static void after_effect(Service *s, Task *t, const LadderStep *step)
{
        if (step->act == LADDER_KILL)
                service_kill_later(s, t, usec_add(clock_boottime(s->clock), KILL_AGAIN_USEC));
        else if (step->state == LADDER_DONE)
                t->row.frozen = step->act == LADDER_FREEZE;
}

static void take_answer(Service *s, Task *t, LadderStep *step, const ReeveError *error,
                        const LauncherStepResult *result)
{
        bool ended = error && (error->code == REEVE_ERROR_ALREADY_FINISHED ||
                               error->code == REEVE_ERROR_NO_SUCH_TASK);

        step->begun_boottime = result->begun_boottime;
        if (!error)
                service_step_finish(s, t, step, result->again ? LADDER_UNCERTAIN : LADDER_DONE,
                                    result->done_boottime,
                                    result->again ? "it had been begun before the daemon was restarted"
                                                  : NULL);
        else if (ended)
                ladder_move(step, LADDER_DUE); /* it did not happen any more: the end is on its way */
        else if (error->code == REEVE_ERROR_UNAVAILABLE && !was_claimed(s, t, step)) {
                ladder_move(step, LADDER_DUE); /* it has not happened yet */
                service_retry_later(s);
        } else if (error->code == REEVE_ERROR_UNAVAILABLE)
                finish_now(s, t, step, LADDER_UNCERTAIN, "the launcher went away while it was at it");
        else
                finish_now(s, t, step, LADDER_FAILED, error->text);
        if (!error || step->state == LADDER_UNCERTAIN)
                after_effect(s, t, step);
}

static void on_stepped(const ReeveError *error, const LauncherStepResult *result, void *userdata)
{
        _cleanup_(step_op_freep) StepOp *op = ASSERT_PTR(userdata);
        Service *s = op->op.service;

        Task *t = registry_get(s->registry, op->op.task_id);
        if (!t)
                return;
        CRASH_POINT("reeved", "step-acted");
        LadderStep *step = step_op_find(t, op);
        if (step && step->state == LADDER_ACTING)
                take_answer(s, t, step, error, result);
        if (--t->n_steps_out > 0)
                return;
        t->doing &= ~TASK_DOING_STEP;
        if (t->doing & TASK_RECORD_ENDED) {
                t->doing &= ~TASK_RECORD_ENDED;
                service_look_at_record(s, t);
        }
}

/* False if it has to wait. */
static bool send_step(Service *s, Task *t, LadderStep *step)
{
        ReeveError e = REEVE_ERROR_NULL;
        LauncherStep q = { .task_id = t->row.task_id,
                           .attempt = t->row.attempt,
                           .number = bit_of(t, step),
                           .act = ladder_act_name(step->act),
                           .signal = step->signal };
        StepOp *op = step_op_new(s, t, step);

        CRASH_POINT("reeved", "step-due");
        if (!op || launcher_client_step(launcher_client_is_connected(s->urgent) ? s->urgent : s->launcher,
                                        &q, on_stepped, op, &e) < 0) {
                step_op_free(op);
                return false;
        }
        ladder_move(step, LADDER_ACTING);
        t->doing |= TASK_DOING_STEP;
        t->n_steps_out++;
        return true;
}

/* ---- and of what does not ---- */

static void end_task(Service *s, Task *t, LadderStep *step, const char *message)
{
        ladder_move(step, LADDER_ACTING);
        finish_now(s, t, step, LADDER_DONE, NULL);
        service_end_otherwise(s, t, TASK_FAILED, TASK_OUTCOME_SLA, message);
}

static bool asks_to_end(const LadderStep *step)
{
        return step->act == LADDER_KILL || (step->act == LADDER_SIGNAL && ladder_signal_ends(step->signal));
}

static bool act_on_pending(Service *s, Task *t, LadderStep *step)
{
        if (service_look_at_record(s, t) != 0)
                return false; /* it runs: taken over, and this step with it */
        if (service_has_record(s, t)) {
                service_retry_later(s);
                return false;
        }
        if (asks_to_end(step)) {
                end_task(s, t, step, "its deadline came before it was started");
                return false;
        }
        ladder_move(step, LADDER_ACTING);
        finish_now(s, t, step, LADDER_FAILED, "the task does not run");
        return true;
}

/* It was reported, and no process is attached: there is none that we could do something to. */
static bool act_on_reported(Service *s, Task *t, LadderStep *step)
{
        if (step->act == LADDER_KILL) {
                end_task(s, t, step,
                         service_step_ladder(t, step)->is_stuck
                                         ? "it was stuck"
                                         : "its deadline came before its end was reported");
                return false;
        }
        ladder_move(step, LADDER_ACTING);
        finish_now(s, t, step, LADDER_FAILED, "a reported task has no process here");
        return true;
}

static bool act_on_process(Service *s, Task *t, LadderStep *step)
{
        if (t->row.status == TASK_PENDING)
                return act_on_pending(s, t, step);
        if (t->row.status == TASK_ACTIVE && !service_has_processes(t))
                return act_on_reported(s, t, step);
        if (t->row.status == TASK_ACTIVE && bit_of(t, step) < RECORD_STEPS_MAX)
                return send_step(s, t, step);
        if (t->row.status == TASK_ACTIVE) {
                ladder_move(step, LADDER_ACTING);
                finish_now(s, t, step, LADDER_FAILED, "this attempt was stuck too often");
                return true;
        }
        ladder_move(step, LADDER_ACTING);
        finish_now(s, t, step, LADDER_FAILED, "its work has ended, the result is being checked");
        return true;
}

/* ---- escalate ---- */

static void on_hook_ended(const ReeveError *error, void *userdata)
{
        _cleanup_(step_op_freep) StepOp *op = ASSERT_PTR(userdata);
        Service *s = op->op.service;

        Task *t = registry_get(s->registry, op->op.task_id);
        LadderStep *step = step_op_find(t, op);
        if (step && step->state == LADDER_ACTING && !(t->doing & TASK_DOING_FINISH)) {
                /* As late as its start was: how long it takes is the hook's business. */
                service_step_finish(s, t, step, error ? LADDER_FAILED : LADDER_DONE, op->begun_boottime,
                                    error ? error->text : NULL);
                return;
        }
        if (op->stuck)
                return; /* its row has no more to say of that */
        LadderLateResult late = { op->op.task_id, op->number, op->lateness_usec };
        service_ladder_late_result(s, &late, error);
}

static void on_escalation_claimed(const ReeveError *error, int64_t last_event, void *userdata)
{
        _cleanup_(step_op_freep) StepOp *op = ASSERT_PTR(userdata);
        Service *s = op->op.service;
        ReeveError e = REEVE_ERROR_NULL;

        Task *t = registry_get(s->registry, op->op.task_id);
        LadderStep *step = step_op_find(t, op);
        if (!step || step->state != LADDER_ACTING)
                return;
        if (error) {
                finish_now(s, t, step, LADDER_FAILED, error->text);
                return;
        }
        CRASH_POINT("reeved", "step-claimed");
        op->begun_boottime = clock_boottime(s->clock);
        op->lateness_usec = service_step_lateness(s, t, step, op->begun_boottime);
        int r = service_step_hook(op, t, step, on_hook_ended, op, &e);
        if (r < 0)
                finish_now(s, t, step, LADDER_FAILED, e.text);
        else
                op = NULL; /* on_hook_ended() has it */
}

static int claim_escalation(Service *s, Task *t, const LadderStep *step)
{
        int r = service_step_to_row(t, step);
        if (r < 0)
                return r;
        _cleanup_(step_op_freep) StepOp *op = step_op_new(s, t, step);
        if (!op)
                return -ENOMEM;
        _cleanup_(store_write_freep) StoreWrite *w = store_write_new(s->store, 0, on_escalation_claimed, op);
        if (!w || store_write_update_task(w, &t->row) < 0)
                return -ENOMEM;
        r = store_write_submit(TAKE_PTR(w));
        if (r >= 0)
                op = NULL; /* on_escalation_claimed() has it */
        return r;
}

static bool escalate(Service *s, Task *t, LadderStep *step)
{
        ladder_move(step, LADDER_ACTING);
        int r = claim_escalation(s, t, step);
        if (r < 0)
                finish_now(s, t, step, LADDER_FAILED, strerrordesc_np(-r));
        return true;
}

/* ---- all ---- */

/* False if it has to wait, and what comes behind it too, or if the task has ended. */
static bool act(Service *s, Task *t, LadderStep *step)
{
        switch (step->act) {
        case LADDER_NOTIFY:
        case LADDER_DEADLINE:
                ladder_move(step, LADDER_ACTING);
                finish_now(s, t, step, LADDER_DONE, NULL);
                return true;
        case LADDER_ESCALATE:
                return escalate(s, t, step);
        case LADDER_SIGNAL:
        case LADDER_FREEZE:
        case LADDER_KILL:
                return act_on_process(s, t, step);
        case _LADDER_ACT_MAX:
                break;
        }
        assert(false);
        return false;
}

/* Its ladder has ended it, and the daemon died before that was committed; or it would have another attempt, for which there is no
 * time any more: the ladder is the task's. */
static bool is_ended(const Task *t)
{
        const Ladder *l = t->ladder->sla.ladder;
        bool runs = t->row.status != TASK_PENDING &&
                    (service_has_processes(t) || t->row.status == TASK_VERIFYING);

        for (size_t i = 0; !runs && i < l->n_steps; i++)
                if (l->steps[i].state == LADDER_DONE && asks_to_end(l->steps + i))
                        return true;
        return false;
}

static LadderStep *find_due(const Task *t)
{
        LadderStep *step = t->ladder ? ladder_find(t->ladder->sla.ladder, LADDER_DUE) : NULL;
        if (!step && t->stuck_ladder)
                step = ladder_find(t->stuck_ladder->sla.ladder, LADDER_DUE);
        return step;
}

void service_ladder_act(Service *s, Task *t)
{
        LadderStep *step;

        assert(s);
        assert(t);

        if (t->ladder && !t->doing && is_ended(t)) {
                service_end_otherwise(s, t, TASK_FAILED, TASK_OUTCOME_SLA, "its ladder has ended it");
                return;
        }
        while (t->row.status != TASK_VERIFYING && /* then its work has ended */
               !(t->doing & (TASK_DOING_INSERT | TASK_DOING_LAUNCH | TASK_DOING_FINISH)) &&
               (step = find_due(t)))
                if (!act(s, t, step))
                        return;
}

/* ---- after a restart ---- */

static void settle(Service *s, Task *t, LadderStep *step)
{
        bool kill = step->act == LADDER_KILL;

        finish_now(s, t, step, LADDER_UNCERTAIN,
                   step->act == LADDER_ESCALATE
                                   ? "the daemon died while its hook ran; the hook's own task tells more"
                                   : "it had been begun when the daemon died");
        if (kill)
                service_kill_later(s, t, clock_boottime(s->clock));
}

void service_ladder_recover(Service *s, Task *t, TaskLadder *of)
{
        assert(s);
        assert(t);
        assert(of);

        Ladder *l = of->sla.ladder;
        for (size_t i = 0; i < l->n_steps; i++) {
                LadderStep *step = l->steps + i;

                if (step->state > LADDER_ACTING)
                        continue;
                if (was_claimed(s, t, step) ||
                    (step->act == LADDER_ESCALATE && step->state == LADDER_ACTING))
                        settle(s, t, step);
                else if (step->state == LADDER_ACTING)
                        ladder_move(step, LADDER_DUE); /* it never came to that */
        }
}
