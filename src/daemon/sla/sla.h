/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* The clock of all ladders: one timer, set to the earliest step of all tasks, which tells when a step is due. What is then done
 * is the caller's. */

#include <systemd/sd-event.h>

#include "basic/prioq.h"
#include "common/clock.h"
#include "daemon/sla/ladder.h"

typedef struct Sla Sla;

/* A task with a ladder, embedded in what the caller keeps of it. */
typedef struct SlaTask {
        Ladder *ladder;       /* owned by who owns this */
        usec_t next_boottime; /* the engine's: when it looks at it next */
        size_t index;         /* the engine's */
} SlaTask;

/* A step came due and has the state `due`; `now` is CLOCK_BOOTTIME. It may do anything with its task, also remove it. */
typedef void (*sla_due_t)(SlaTask *t, LadderStep *step, usec_t now_boottime, void *userdata);

/* `event` NULL: no timer, sla_run() is called by hand. */
int sla_new(sd_event *event, const Clock *clock, sla_due_t due, void *userdata, Sla **ret);
/* The tasks are the caller's. */
Sla *sla_free(Sla *s);
DEFINE_CLEANUP_FUNC(Sla *, sla_free)

/* Takes the ladder over. */
void sla_task_init(SlaTask *t, Ladder *ladder);

/* Watches a task, whose ladder's clock need not have started. -ENOMEM. */
int sla_add(Sla *s, SlaTask *t);
/* Nothing happens if it is not watched. */
void sla_remove(Sla *s, SlaTask *t);
/* The ladder's times or states were changed. */
void sla_changed(Sla *s, SlaTask *t);

/* Tells of what is due now, at most SLA_BATCH steps: returns how many. The timer calls it, again at once if more are due, so
 * that ten thousand ladders that came due while nobody was there do not stop the loop. */
#define SLA_BATCH 64
size_t sla_run(Sla *s);

/* When the timer rings next; USEC_INFINITY: never. */
usec_t sla_next_boottime(const Sla *s);
size_t sla_size(const Sla *s);
