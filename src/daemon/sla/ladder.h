/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* The ladder of one task: its deadline and what is to happen on the way to it and behind it. A value that knows what time
 * means, but not what time it is, and does nothing itself. */

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>

#include "basic/error.h"
#include "basic/macro.h"
#include "basic/time.h"
#include "common/sm.h"

/* Steps that somebody wrote; each has a bit in the record of an attempt. The deadline itself is one entry more. */
#define LADDER_STEPS_MAX 16

#define LADDER_PERMYRIAD_DEADLINE 10000 /* 100% */

/* Spans and offsets that are longer count as this. */
#define LADDER_SPAN_MAX (36525 * USEC_PER_DAY)

/* A time of CLOCK_BOOTTIME that may lie before the boot, for deadlines that were missed before a reboot. */
typedef int64_t boottime_t;
#define LADDER_NOT_STARTED INT64_MAX

typedef enum LadderAct {
        LADDER_NOTIFY,
        LADDER_ESCALATE, /* a hook is run */
        LADDER_SIGNAL,
        LADDER_FREEZE,
        LADDER_KILL,
        LADDER_DEADLINE, /* nobody wrote it: the moment at which the deadline is missed */
        _LADDER_ACT_MAX,
} LadderAct;

/* ladder.c has the diagram. */
typedef enum LadderState {
        LADDER_WAITING,
        LADDER_DUE,
        LADDER_ACTING,
        LADDER_DONE,
        LADDER_UNCERTAIN,
        LADDER_FAILED,
        _LADDER_STATE_MAX,
} LadderState;

typedef struct LadderStep {
        LadderAct act;
        unsigned number; /* from 0, in the order in which they were written: bit of the record; not of the deadline's entry */
        unsigned at_permyriad; /* of the span */
        usec_t after_usec;     /* added to that */
        int signal;            /* LADDER_SIGNAL */
        char *hook;            /* path; NULL: none */

        LadderState state;
        usec_t due_boottime;   /* USEC_INFINITY: the clock has not started; 0: before this boot */
        usec_t begun_boottime; /* of its effect, 0: not known; not stored */
        usec_t fired_realtime; /* 0: not yet */
        usec_t lateness_usec;  /* once fired: of the effect, against due_boottime */
        char *message;         /* why it failed or is uncertain; NULL */
} LadderStep;

typedef struct Ladder {
        usec_t span_usec;             /* from the start of its clock to the deadline */
        boottime_t deadline_boottime; /* LADDER_NOT_STARTED */
        size_t n_steps;               /* with the deadline's entry */
        LadderStep steps[];
} Ladder;

/* "notify", "escalate", "signal", "freeze", "kill", "deadline". */
const char *ladder_act_name(LadderAct a);
const SmTable *ladder_state_table(void);
const char *ladder_state_name(LadderState s);

/* Copies up to LADDER_STEPS_MAX steps, in the order in which they were written (act, at_permyriad, after_usec, signal and hook
 * count; the rest is begun), and adds the deadline's entry. NULL when memory is short. */
Ladder *ladder_new(usec_t span_usec, const LadderStep *steps, size_t n_steps);
Ladder *ladder_free(Ladder *l);
DEFINE_CLEANUP_FUNC(Ladder *, ladder_free)

/* Its clock starts, or is known anew after a reboot: everything that has not fired gets its time. */
void ladder_set_deadline(Ladder *l, boottime_t deadline);
/* Moves the deadline away and all that has not fired with it; what had come due but had not begun waits again if its new time is
 * after `now`. */
void ladder_extend(Ladder *l, usec_t by_usec, usec_t now_boottime);

/* When the next waiting step is due; USEC_INFINITY: none, or the clock has not started. */
usec_t ladder_next_boottime(const Ladder *l);
/* The waiting step that is due first, of those due by `now`; NULL: none. Its state becomes `due`. */
LadderStep *ladder_take_due(Ladder *l, usec_t now_boottime);
/* The first step with that state in order of time; NULL: none. */
LadderStep *ladder_find(Ladder *l, LadderState state);
/* The step with that number; NULL: none. */
LadderStep *ladder_step(Ladder *l, unsigned number);

/* The only way of a step from one state to another; asserts that the table allows it. */
void ladder_move(LadderStep *s, LadderState to);
/* To a final state. `lateness` is that of the effect; the message is copied, may be NULL (and is lost when memory is short). */
void ladder_finish(LadderStep *s, LadderState to, usec_t fired_realtime, usec_t lateness_usec,
                   const char *message);

/* Does this signal ask a process to end? */
bool ladder_signal_ends(int signal);

/* Does the step act before the deadline, so that it is a warning? */
bool ladder_is_warning(const LadderStep *s);

/* When the first kill of the ladder is or was due; USEC_INFINITY without one, or while the clock has not started. */
usec_t ladder_kill_boottime(const Ladder *l);

/* How long after the start of the clock that is; USEC_INFINITY without one. */
usec_t ladder_kill_offset(const Ladder *l);

/* Was it the ladder that ended a process at `ended_boottime` (by `exit_signal`, 0: it exited)? That is so when a kill or one of
 * the signals that ask to end had come before, however the process then ended, as with a cancellation; of any other
 * signal only when it ended by that one. The step whose signal it died of, else the first that asked; NULL: none. */
const LadderStep *ladder_ended_by(const Ladder *l, usec_t ended_boottime, int exit_signal);

/* ---- as text: what the database keeps and what is shown ---- */

/* An array of steps in order of time. With a deadline (wall clock; 0: not known) each gets its `due_at`. NULL when memory is
 * short. */
json_t *ladder_to_json(const Ladder *l, usec_t deadline_realtime);
/* The inverse, but for times that are not stored: ladder_set_deadline() follows. -EBADMSG if the text is not one of ours. */
int ladder_from_json(const json_t *array, usec_t span_usec, Ladder **ret);
json_t *ladder_step_to_json(const LadderStep *s, usec_t due_realtime);
/* When the step is due, by the wall clock that the deadline was accepted in; 0 if the deadline is not known. */
usec_t ladder_due_realtime(const Ladder *l, const LadderStep *s, usec_t deadline_realtime);
