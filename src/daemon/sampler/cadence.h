/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* When a task is visited: pure arithmetic on CLOCK_BOOTTIME, in microseconds. */

#include "basic/time.h"

typedef struct Cadence {
        usec_t tick_usec;
        usec_t min_usec, max_usec; /* between snapshots */
} Cadence;

/* The slow files of an old task are read again after ten ticks, and after this at the latest. */
#define CADENCE_SLOW_TICKS    10
#define CADENCE_SLOW_MAX_USEC (10 * USEC_PER_SEC)

/* The first point of the grid `phase + k * tick` that lies behind `after`; phase is less than a tick. */
usec_t cadence_next_point(const Cadence *c, usec_t phase, usec_t after);

/* Time from a snapshot taken `elapsed` after the start to the next: elapsed / 100 within the bounds, as
 * the nearest whole number of ticks (of which it takes as many as min_usec needs, at least one). */
usec_t cadence_snapshot_interval(const Cadence *c, usec_t elapsed);

/* How old the slow fields of a reading may be, of a task of this age: as old as the task was when they were read, at
 * least a tick and at most as above. USEC_INFINITY as age: the most. */
usec_t cadence_slow_interval(const Cadence *c, usec_t elapsed);
