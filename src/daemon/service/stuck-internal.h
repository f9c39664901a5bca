/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* What stuck.c, stuck-reported.c and stuck-text.c share. */

#include <jansson.h>

#include "daemon/service/service-internal.h"
#include "daemon/stuck/stuck.h"

/* What Task.stuck points to. */
typedef struct TaskStuck {
        StuckWatch watch;
        unsigned attempt;
        Task *task;

        /* of a task that is reported and has no process here: */
        bool is_reported;
        int64_t n_said;       /* by its reporter; in its readings this stands for io_bytes */
        usec_t look_usec;     /* between looks */
        usec_t look_boottime; /* the next one */
        size_t look_index;    /* in Service.stuck_looks */

        bool telling; /* what it is at is being taken down, or committed */

        /* what was found last */
        unsigned episode; /* counted from 1; 0: nothing was found yet */
        StuckRule rule;
        unsigned found_attempt;
        usec_t since_realtime, found_realtime, found_boottime;
        usec_t over_realtime; /* 0: it has not gone on */
        StuckReading from, to;
        json_t *processes;  /* NULL: nobody could say */
        json_t *output;     /* likewise */
        unsigned first_bit; /* of the next ladder */
} TaskStuck;

/* A look at a task that runs and is not let be. */
void service_stuck_feed(Service *s, Task *t, const StuckReading *reading);

/* Nobody looks at it any more. */
void service_stuck_forget_look(Service *s, TaskStuck *st);

/* What was found last, from the object that service_stuck_to_row() made the text of. */
void stuck_restore_found(TaskStuck *st, const json_t *o);
/* Of the attempt in which that was: which rules were told, and what its ladders have used up. */
void stuck_restore_watch(TaskStuck *st, const json_t *state);
