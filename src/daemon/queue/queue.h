/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Which pending task starts next. The queue knows limits, priorities and ages, and nothing about how a task is started
 * or why it may have to wait for other reasons (held, backing off, after another task): such a task is parked.
 *
 *            queue_enter()           queue_ready()            queue_next()
 *     out ------------------> parked -------------> waiting --------------> running
 *                              ^  ^------------------|   queue_park()          |
 *                              +-----------------------------------------------+   the next attempt
 *
 * and from each of them out by queue_leave(). A running entry takes a slot of its task type, of its subsystem and of
 * the whole, whatever the limits are, so what was running when a limit came counts too. Loop thread only. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "basic/list.h"
#include "basic/macro.h"
#include "basic/time.h"

typedef struct Queue Queue;
typedef struct QueueGroup QueueGroup;

/* A level of priority is worth that much time of waiting: with levels 1 to 10 nothing is overtaken by what comes more than
 * one and a half hours later. */
#define QUEUE_AGING_USEC (10 * USEC_PER_MINUTE)

typedef enum QueueState {
        QUEUE_OUT,
        QUEUE_PARKED,
        QUEUE_WAITING,
        QUEUE_RUNNING,
} QueueState;

/* Embedded in what queues; a zeroed one is out. Read the state, leave the rest to the queue. */
typedef struct QueueEntry {
        QueueState state;
        QueueGroup *group;
        ListLink link; /* of the entries of its group: of those that run, or of the others */
        size_t index;  /* of the waiting entries of its group */
        int64_t key;   /* smaller starts first */
        uint64_t serial;
        unsigned task_type_max, subsystem_max;
        size_t ahead[3]; /* in its group, its subsystem, in all: since queue_rank() */
} QueueEntry;

typedef struct QueueRequest {
        const char *subsystem, *task_type; /* borrowed for the call */
        int priority;
        int64_t created_boottime; /* below 0: before this boot. By the wall clock, who comes after it was set back would pass all */
        unsigned task_type_max; /* running at the same time; 0: no limit */
        unsigned subsystem_max; /* likewise */
} QueueRequest;

int queue_new(Queue **ret);
/* All entries have left. Accepts NULL. */
Queue *queue_free(Queue *q);
DEFINE_CLEANUP_FUNC(Queue *, queue_free)

/* How many may run in all; 0: no limit, as at first. */
void queue_set_max(Queue *q, unsigned max);

/* out -> parked. -ENOMEM, and then nothing has changed. */
int queue_enter(Queue *q, QueueEntry *e, const QueueRequest *request);
/* parked -> waiting. -ENOMEM, and then nothing has changed. */
int queue_ready(Queue *q, QueueEntry *e);
/* waiting or running -> parked. */
void queue_park(Queue *q, QueueEntry *e);
/* parked or waiting -> running without asking: it runs already. */
void queue_started(Queue *q, QueueEntry *e);
/* The entry that starts now, as running; NULL: none waits that there is room for. */
QueueEntry *queue_next(Queue *q);
/* Any state -> out. */
void queue_leave(Queue *q, QueueEntry *e);

/* What a waiting entry waits for. */
typedef enum QueueLimit {
        QUEUE_LIMIT_NONE, /* nothing: queue_next() will come to it */
        QUEUE_LIMIT_TASK_TYPE,
        QUEUE_LIMIT_SUBSYSTEM,
        QUEUE_LIMIT_ALL,
} QueueLimit;

typedef struct QueuePosition {
        QueueLimit limit;
        unsigned max;     /* of that limit; 0 with NONE */
        unsigned running; /* that take a slot of it */
        size_t ahead;     /* waiting entries that want the same slots and come first */
} QueuePosition;

/* Counts for each waiting entry how many come first, so that queue_position() need not until the next change. For who asks about
 * many; what cannot be done for want of memory costs only time. */
void queue_rank(Queue *q);

/* Of a waiting entry. Linear in the number of entries unless they are ranked: for people who ask, not for each event. */
void queue_position(const Queue *q, const QueueEntry *e, QueuePosition *ret);

/* Up to `max` of the entries that run and have a slot of the limit that this entry waits for; how many. */
size_t queue_running_with(const Queue *q, const QueueEntry *e, QueueLimit limit, QueueEntry **ret,
                          size_t max);

size_t queue_n_waiting(const Queue *q);
size_t queue_n_running(const Queue *q);
