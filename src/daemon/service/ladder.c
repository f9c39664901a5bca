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
 * While the launcher has a step, the end of its task waits for the answer (TASK_DOING_STEP), so that the end is committed with what
 * the step did. */

#include <errno.h>
#include <signal.h>
#include <string.h>

#include "basic/crash.h"
#include "basic/log.h"
#include "common/json/json.h"
#include "daemon/model/task-json.h"
#include "daemon/service/service-internal.h"

#define KILL_AGAIN_USEC (2 * USEC_PER_SEC)

typedef struct StepOp {
        TaskOp op;
        unsigned number;
        bool stuck;                           /* of Task.stuck_ladder, not Task.ladder */
        usec_t begun_boottime, lateness_usec; /* of a hook */
} StepOp;

static StepOp *step_op_free(StepOp *op)
{
        if (op) {
                free(op->op.detail);
                free(op);
        }
        return NULL;
}
DEFINE_CLEANUP_FUNC(StepOp *, step_op_free)

/* A task may have two: that of its deadline, and that of its being stuck. */
static TaskLadder *ladder_with(const Task *t, const LadderStep *step)
{
        const Ladder *l = t->ladder ? t->ladder->sla.ladder : NULL;
        return l && step >= l->steps && step < l->steps + l->n_steps ? t->ladder : t->stuck_ladder;
}

static StepOp *step_op_new(Service *s, const Task *t, const LadderStep *step)
{
        StepOp *op = NEW0(StepOp, 1);
        if (op) {
                op->op.service = s;
                op->op.attempt = t->row.attempt;
                strcpy(op->op.task_id, t->row.task_id);
                op->number = step->number;
                op->stuck = ladder_with(t, step)->is_stuck;
        }
        return op;
}

static LadderStep *find_step(const Task *t, const StepOp *op)
{
        const TaskLadder *l = !t ? NULL : op->stuck ? t->stuck_ladder : t->ladder;
        return l ? ladder_step(l->sla.ladder, op->number) : NULL;
}

/* The wall-clock time from which the steps are counted. */
static usec_t promised(const Task *t, const TaskLadder *l)
{
        return l->is_stuck ? l->found_realtime : t->row.sla_deadline_realtime;
}

/* The number that names its hook: those of all ladders of a task differ. */
static unsigned hook_number(const Task *t, const LadderStep *step)
{
        const TaskLadder *l = ladder_with(t, step);
        return l->is_stuck ? l->episode * LADDER_STEPS_MAX + step->number : step->number;
}

static usec_t hook_timeout(const Task *t)
{
        return t->policy ? t->policy->hooks.timeout_usec : 0;
}

/* ---- telling ---- */

static const char *topic_of(const Task *t, const LadderStep *step)
{
        if (ladder_with(t, step)->is_stuck)
                return "task.stuck_step";
        if (step->act == LADDER_DEADLINE)
                return "task.sla_violated";
        return ladder_is_warning(step) ? "task.sla_warning" : "task.sla_step";
}

static void log_step(const Task *t, const LadderStep *step)
{
        char late[32];

        usec_format_span(step->lateness_usec, late, sizeof(late));
        log_notice("%s: %s of its ladder %s, %s late%s%s", t->row.task_id, ladder_act_name(step->act),
                   ladder_state_name(step->state), late, step->message ? ": " : "", step->message ?: "");
}

static void ignore_hook(const ReeveError *error, void *userdata)
{
        if (error)
                log_warning("a hook beside a step of a ladder: %s", error->text);
}

/* A hook of a step that does something else as well: run when that is stored, and not again. */
static void run_beside(Service *s, const Task *t, const StepOp *op, const LadderStep *step)
{
        ReeveError e = REEVE_ERROR_NULL;

        if (!step->hook || step->act == LADDER_ESCALATE || step->state != LADDER_DONE)
                return;
        HookRequest q = { .path = step->hook,
                          .task_id = op->op.task_id,
                          .step = hook_number(t, step),
                          .event = op->op.detail,
                          .timeout_usec = hook_timeout(t) };
        int r = s->hooks.run ? s->hooks.run(&q, ignore_hook, NULL, s->hooks.userdata, &e)
                             : reeve_error_set(&e, REEVE_ERROR_UNAVAILABLE, NULL, "no hook runner");
        if (r < 0)
                ignore_hook(&e, NULL);
}

static void on_step_stored(const ReeveError *error, int64_t last_event, void *userdata)
{
        _cleanup_(step_op_freep) StepOp *op = ASSERT_PTR(userdata);
        Service *s = op->op.service;

        if (error) {
                log_full_reeve_error(LOG_ERR, error, op->op.task_id);
                return;
        }
        CRASH_POINT("reeved", "step-stored");
        Task *t = registry_get(s->registry, op->op.task_id);
        const LadderStep *step = find_step(t, op);
        if (!step)
                return;
        service_publish(s, last_event, &op->op, &t->row);
        if (s->reports.ladder_step)
                s->reports.ladder_step(&t->row, step, s->reports.userdata);
        run_beside(s, t, op, step);
}

char *service_ladder_event(const TaskRow *row, const Ladder *l, usec_t counted_from, const LadderStep *step)
{
        usec_t due = ladder_due_realtime(l, step, counted_from);
        _cleanup_json_ json_t *o = task_row_to_json(row, TASK_VIEW_PUBLIC);
        json_t *detail = ladder_step_to_json(step, due);

        if (!o || !detail || json_object_set_new(o, "ladder_step", detail) < 0)
                return NULL;
        json_object_del(o, "ladder");
        return json_format(o);
}

static char *event_text(const Task *t, const LadderStep *step)
{
        const TaskLadder *l = ladder_with(t, step);
        return service_ladder_event(&t->row, l->sla.ladder, promised(t, l), step);
}

static int add_event(StoreWrite *w, StepOp *op, const Task *t, const LadderStep *step)
{
        op->op.topic = topic_of(t, step);
        op->op.realtime = step->fired_realtime;
        op->op.detail = event_text(t, step);
        if (!op->op.detail)
                return -ENOMEM;
        EventRow e = { .realtime = step->fired_realtime,
                       .topic = (char *)op->op.topic,
                       .task_id = t->row.task_id,
                       .subsystem = t->row.subsystem,
                       .detail = op->op.detail };
        return store_write_event(w, &e);
}

/* What it had used when the step was done. */
static int add_snapshot(Service *s, StoreWrite *w, const Task *t)
{
        SnapshotRow row = { .attempt = t->row.attempt,
                            .taken_realtime = clock_realtime(s->clock),
                            .elapsed_usec = usec_sub(clock_boottime(s->clock), t->row.started_boottime) };

        if (t->row.status != TASK_ACTIVE)
                return 0;
        service_read_usage(s, t->row.task_id, &row.usage);
        return store_write_snapshot(w, t->row.task_id, &row);
}

static int to_row(Task *t, const LadderStep *step)
{
        return ladder_with(t, step)->is_stuck ? service_stuck_to_row(t) : service_ladder_to_row(t);
}

static int write_step(Service *s, Task *t, const LadderStep *step)
{
        int r = to_row(t, step);
        if (r < 0)
                return r;
        _cleanup_(step_op_freep) StepOp *op = step_op_new(s, t, step);
        if (!op)
                return -ENOMEM;
        _cleanup_(store_write_freep) StoreWrite *w = store_write_new(s->store, 0, on_step_stored, op);
        if (!w || store_write_update_task(w, &t->row) < 0 || add_event(w, op, t, step) < 0 ||
            add_snapshot(s, w, t) < 0)
                return -ENOMEM;
        r = store_write_submit(TAKE_PTR(w));
        if (r >= 0)
                op = NULL; /* on_step_stored() has it */
        return r;
}

/* Before the boot there is no time; then the promise in wall-clock time says how late it is. */
static usec_t lateness_at(Service *s, const Task *t, const LadderStep *step, usec_t boottime)
{
        if (step->due_boottime > 0)
                return usec_sub(boottime, step->due_boottime);
        const TaskLadder *l = ladder_with(t, step);
        return usec_sub(clock_realtime(s->clock), ladder_due_realtime(l->sla.ladder, step, promised(t, l)));
}

static void finish_step(Service *s, Task *t, LadderStep *step, LadderState to, usec_t boottime,
                        const char *message)
{
        ladder_finish(step, to, clock_realtime(s->clock), lateness_at(s, t, step, boottime), message);
        log_step(t, step);
        int r = write_step(s, t, step);
        if (r < 0)
                log_error_errno(r, "%s: cannot store a step of its ladder", t->row.task_id);
}

static void finish_now(Service *s, Task *t, LadderStep *step, LadderState to, const char *message)
{
        finish_step(s, t, step, to, clock_boottime(s->clock), message);
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
        const TaskLadder *l = ladder_with(t, step);
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
                finish_step(s, t, step, result->again ? LADDER_UNCERTAIN : LADDER_DONE,
                            result->done_boottime,
                            result->again ? "it had been begun before the daemon was restarted" : NULL);
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
        LadderStep *step = find_step(t, op);
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

/* It was reported: there is no process that we could do something to. */
static bool act_on_reported(Service *s, Task *t, LadderStep *step)
{
        if (step->act == LADDER_KILL) {
                end_task(s, t, step, "its deadline came before its end was reported");
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
        if (t->row.status == TASK_ACTIVE && t->row.attempt == 0)
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
        LadderStep *step = find_step(t, op);
        if (step && step->state == LADDER_ACTING && !(t->doing & TASK_DOING_FINISH)) {
                /* As late as its start was: how long it takes is the hook's business. */
                finish_step(s, t, step, error ? LADDER_FAILED : LADDER_DONE, op->begun_boottime,
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
        LadderStep *step = find_step(t, op);
        if (!step || step->state != LADDER_ACTING)
                return;
        if (error) {
                finish_now(s, t, step, LADDER_FAILED, error->text);
                return;
        }
        CRASH_POINT("reeved", "step-claimed");
        op->begun_boottime = clock_boottime(s->clock);
        op->lateness_usec = lateness_at(s, t, step, op->begun_boottime);
        _cleanup_free_ char *event = event_text(t, step);
        HookRequest q = { .path = step->hook ?: "",
                          .task_id = t->row.task_id,
                          .step = hook_number(t, step),
                          .event = event ?: "{}",
                          .timeout_usec = hook_timeout(t) };
        int r = s->hooks.run ? s->hooks.run(&q, on_hook_ended, op, s->hooks.userdata, &e)
                             : reeve_error_set(&e, REEVE_ERROR_UNAVAILABLE, NULL, "no hook runner");
        if (r < 0)
                finish_now(s, t, step, LADDER_FAILED, e.text);
        else
                op = NULL; /* on_hook_ended() has it */
}

static int claim_escalation(Service *s, Task *t, const LadderStep *step)
{
        int r = to_row(t, step);
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
        bool runs = t->row.status != TASK_PENDING && (t->row.attempt > 0 || t->row.status == TASK_VERIFYING);

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

        ladder_finish(step, LADDER_UNCERTAIN, clock_realtime(s->clock),
                      lateness_at(s, t, step, clock_boottime(s->clock)),
                      step->act == LADDER_ESCALATE
                                      ? "the daemon died while its hook ran; the hook's own task tells more"
                                      : "it had been begun when the daemon died");
        log_step(t, step);
        int r = write_step(s, t, step);
        if (r < 0)
                log_error_errno(r, "%s: cannot store a step of its ladder", t->row.task_id);
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
