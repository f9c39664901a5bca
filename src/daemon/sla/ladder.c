/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* A step is due at a part of the span from the start of the clock to the deadline, plus an offset:
 *
 *     due = deadline - span + span * percent + after
 *
 * so a ladder is moved by moving its deadline, and one whose clock has not started (a deadline that counts from the start of
 * a task that is still pending) has no times at all.
 *
 *              its time came          begun                     the effect is known
 *     waiting ---------------> due ---------> acting ------------------------------> done
 *        |  ^                  | ^            | | |
 *        |  +---- extended ----+ +- provably -+ | +-- refused, impossible ---------> failed
 *        |                       did not happen |
 *        |                                      +-- nobody can tell any more ------> uncertain
 *        +-- after a restart: its record says that it was begun --------------------> uncertain   (from due as well)
 *
 * `done` is said only by who saw the effect. A crash between the effect and the moment in which it is stored leaves `uncertain`
 * and never `done`, nor a second effect: the bit in the record, or the stored `acting`, was there before it.
 *
 * The deadline itself is an entry like the others, without a bit: it makes known that the deadline was missed, once. */

#include "daemon/sla/ladder.h"

#include <errno.h>
#include <signal.h>
#include <string.h>

static const SmState states[_LADDER_STATE_MAX] = {
        [LADDER_WAITING] = { "waiting", SM_BIT(LADDER_DUE) | SM_BIT(LADDER_UNCERTAIN), SM_INITIAL },
        [LADDER_DUE] = { "due", SM_BIT(LADDER_WAITING) | SM_BIT(LADDER_ACTING) | SM_BIT(LADDER_UNCERTAIN),
                         0 },
        [LADDER_ACTING] = { "acting",
                            SM_BIT(LADDER_DUE) | SM_BIT(LADDER_DONE) | SM_BIT(LADDER_UNCERTAIN) |
                                            SM_BIT(LADDER_FAILED),
                            0 },
        [LADDER_DONE] = { "done", 0, SM_FINAL },
        [LADDER_UNCERTAIN] = { "uncertain", 0, SM_FINAL },
        [LADDER_FAILED] = { "failed", 0, SM_FINAL | SM_FAILURE },
};

static const SmTable table = { .name = "ladder", .states = states, .n_states = _LADDER_STATE_MAX };

static const char *const acts[_LADDER_ACT_MAX] = {
        [LADDER_NOTIFY] = "notify", [LADDER_ESCALATE] = "escalate", [LADDER_SIGNAL] = "signal",
        [LADDER_FREEZE] = "freeze", [LADDER_KILL] = "kill",         [LADDER_DEADLINE] = "deadline",
};

/* What asks a process to end. */
static const int ending_signals[] = { SIGTERM, SIGKILL, SIGINT, SIGQUIT, SIGHUP, SIGABRT };

const SmTable *ladder_state_table(void)
{
        return &table;
}

const char *ladder_act_name(LadderAct a)
{
        assert((unsigned)a < _LADDER_ACT_MAX);
        return acts[a];
}

const char *ladder_state_name(LadderState s)
{
        assert((unsigned)s < _LADDER_STATE_MAX);
        return states[s].name;
}

/* ---- making ---- */

/* From the start of the clock. */
static usec_t offset_of(const Ladder *l, const LadderStep *s)
{
        double part = (double)l->span_usec * s->at_permyriad / LADDER_PERMYRIAD_DEADLINE;
        usec_t offset = part > (double)LADDER_SPAN_MAX ? LADDER_SPAN_MAX : (usec_t)part;

        return MIN(usec_add(offset, s->after_usec), LADDER_SPAN_MAX);
}

/* Steps that are due at the same time keep the order in which they were written, behind the deadline's entry. */
static void sort(Ladder *l)
{
        for (size_t i = 1; i < l->n_steps; i++)
                for (size_t k = i; k > 0 && offset_of(l, l->steps + k - 1) > offset_of(l, l->steps + k);
                     k--) {
                        LadderStep swapped = l->steps[k];
                        l->steps[k] = l->steps[k - 1];
                        l->steps[k - 1] = swapped;
                }
}

Ladder *ladder_new(usec_t span_usec, const LadderStep *steps, size_t n_steps)
{
        assert(steps || n_steps == 0);
        assert(n_steps <= LADDER_STEPS_MAX);

        _cleanup_(ladder_freep) Ladder *l = calloc(1, sizeof(*l) + (n_steps + 1) * sizeof(l->steps[0]));
        if (!l)
                return NULL;
        l->span_usec = MIN(span_usec, LADDER_SPAN_MAX);
        l->deadline_boottime = LADDER_NOT_STARTED;
        l->n_steps = n_steps + 1;
        l->steps[0] = (LadderStep){ .act = LADDER_DEADLINE,
                                    .number = LADDER_STEPS_MAX,
                                    .at_permyriad = LADDER_PERMYRIAD_DEADLINE,
                                    .due_boottime = USEC_INFINITY };
        for (size_t i = 0; i < n_steps; i++) {
                LadderStep *s = l->steps + i + 1;
                *s = (LadderStep){ .act = steps[i].act,
                                   .number = (unsigned)i,
                                   .at_permyriad = steps[i].at_permyriad,
                                   .after_usec = steps[i].after_usec,
                                   .signal = steps[i].signal,
                                   .due_boottime = USEC_INFINITY };
                if (steps[i].hook && !(s->hook = strdup(steps[i].hook)))
                        return NULL;
        }
        sort(l);
        return TAKE_PTR(l);
}

Ladder *ladder_free(Ladder *l)
{
        if (!l)
                return NULL;
        for (size_t i = 0; i < l->n_steps; i++) {
                free(l->steps[i].hook);
                free(l->steps[i].message);
        }
        free(l);
        return NULL;
}

/* ---- times ---- */

static bool may_be_moved(const LadderStep *s)
{
        return s->state == LADDER_WAITING || s->state == LADDER_DUE;
}

static usec_t due_of(const Ladder *l, const LadderStep *s)
{
        if (l->deadline_boottime == LADDER_NOT_STARTED)
                return USEC_INFINITY;
        boottime_t due = l->deadline_boottime - (boottime_t)l->span_usec + (boottime_t)offset_of(l, s);
        return due < 0 ? 0 : (usec_t)due;
}

void ladder_set_deadline(Ladder *l, boottime_t deadline)
{
        assert(l);

        /* Far from the ends of the type, so that nothing overflows. */
        l->deadline_boottime = deadline == LADDER_NOT_STARTED
                                               ? deadline
                                               : CLAMP(deadline, -(boottime_t)LADDER_SPAN_MAX * 10,
                                                       (boottime_t)LADDER_SPAN_MAX * 10);
        for (size_t i = 0; i < l->n_steps; i++) {
                LadderStep *s = l->steps + i;
                if (may_be_moved(s) || s->due_boottime == USEC_INFINITY)
                        s->due_boottime = due_of(l, s);
        }
        sort(l);
}

void ladder_extend(Ladder *l, usec_t by_usec, usec_t now_boottime)
{
        assert(l);

        usec_t by = MIN(by_usec, LADDER_SPAN_MAX - l->span_usec);
        l->span_usec += by;
        if (l->deadline_boottime != LADDER_NOT_STARTED)
                ladder_set_deadline(l, l->deadline_boottime + (boottime_t)by);
        for (size_t i = 0; i < l->n_steps; i++)
                if (l->steps[i].state == LADDER_DUE && l->steps[i].due_boottime > now_boottime)
                        ladder_move(l->steps + i, LADDER_WAITING);
}

static LadderStep *first_waiting(const Ladder *l)
{
        const LadderStep *first = NULL;

        for (size_t i = 0; i < l->n_steps; i++) {
                const LadderStep *s = l->steps + i;
                if (s->state == LADDER_WAITING && (!first || s->due_boottime < first->due_boottime))
                        first = s;
        }
        return (LadderStep *)first;
}

usec_t ladder_next_boottime(const Ladder *l)
{
        assert(l);

        const LadderStep *s = first_waiting(l);
        return s ? s->due_boottime : USEC_INFINITY;
}

LadderStep *ladder_take_due(Ladder *l, usec_t now_boottime)
{
        assert(l);

        LadderStep *s = first_waiting(l);
        if (!s || s->due_boottime == USEC_INFINITY || s->due_boottime > now_boottime)
                return NULL;
        ladder_move(s, LADDER_DUE);
        return s;
}

LadderStep *ladder_find(Ladder *l, LadderState state)
{
        assert(l);

        for (size_t i = 0; i < l->n_steps; i++)
                if (l->steps[i].state == state)
                        return l->steps + i;
        return NULL;
}

LadderStep *ladder_step(Ladder *l, unsigned number)
{
        assert(l);

        for (size_t i = 0; i < l->n_steps; i++)
                if (l->steps[i].number == number)
                        return l->steps + i;
        return NULL;
}

/* ---- moves ---- */

void ladder_move(LadderStep *s, LadderState to)
{
        assert(s);
        assert(sm_may(&table, s->state, to));

        s->state = to;
}

void ladder_finish(LadderStep *s, LadderState to, usec_t fired_realtime, usec_t lateness_usec,
                   const char *message)
{
        assert(s);
        assert(states[to].flags & SM_FINAL);

        ladder_move(s, to);
        s->fired_realtime = fired_realtime;
        s->lateness_usec = lateness_usec;
        free(s->message);
        s->message = message ? strdup(message) : NULL;
}

/* ---- questions ---- */

bool ladder_is_warning(const LadderStep *s)
{
        assert(s);
        return s->at_permyriad < LADDER_PERMYRIAD_DEADLINE && s->act == LADDER_NOTIFY;
}

usec_t ladder_kill_boottime(const Ladder *l)
{
        usec_t earliest = USEC_INFINITY;

        assert(l);

        for (size_t i = 0; i < l->n_steps; i++)
                if (l->steps[i].act == LADDER_KILL)
                        earliest = MIN(earliest, l->steps[i].due_boottime);
        return earliest;
}

usec_t ladder_kill_offset(const Ladder *l)
{
        usec_t earliest = USEC_INFINITY;

        assert(l);

        for (size_t i = 0; i < l->n_steps; i++)
                if (l->steps[i].act == LADDER_KILL)
                        earliest = MIN(earliest, offset_of(l, l->steps + i));
        return earliest;
}

usec_t ladder_due_realtime(const Ladder *l, const LadderStep *s, usec_t deadline_realtime)
{
        assert(l);
        assert(s);

        return deadline_realtime == 0 ? 0
                                      : usec_sub(usec_add(deadline_realtime, offset_of(l, s)), l->span_usec);
}

bool ladder_signal_ends(int signal)
{
        for (size_t i = 0; i < ELEMENTSOF(ending_signals); i++)
                if (signal == ending_signals[i])
                        return true;
        return false;
}

static bool asks_to_end(const LadderStep *s, int exit_signal)
{
        if (s->act == LADDER_KILL)
                return true;
        return s->act == LADDER_SIGNAL &&
               (ladder_signal_ends(s->signal) || (exit_signal != 0 && s->signal == exit_signal));
}

/* Is this exactly what the process died of? */
static bool matches(const LadderStep *s, int exit_signal)
{
        return exit_signal != 0 && exit_signal == (s->act == LADDER_KILL ? SIGKILL : s->signal);
}

const LadderStep *ladder_ended_by(const Ladder *l, usec_t ended_boottime, int exit_signal)
{
        const LadderStep *first = NULL;

        assert(l);

        for (size_t i = 0; i < l->n_steps; i++) {
                const LadderStep *s = l->steps + i;
                bool happened = s->state == LADDER_DONE || s->state == LADDER_UNCERTAIN;
                /* Not when it was done: a process may have ended before its killer came back from the kill. */
                usec_t at = s->begun_boottime ?: s->due_boottime;
                if (!happened || at > ended_boottime || !asks_to_end(s, exit_signal))
                        continue;
                if (matches(s, exit_signal))
                        return s;
                first = first ?: s;
        }
        return first;
}
