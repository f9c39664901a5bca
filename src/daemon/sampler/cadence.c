/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Snapshots must show a task of ten seconds and one of a month in about the same number of rows, so the
 * interval grows with the age: elapsed / 100, between bounds. With the defaults (1 s, 300 s) a day is 100
 * rows for the first 100 s, some 570 until the interval reaches its ceiling after 8 h, then 12 an hour:
 * about 860.
 *
 * All visits of a task lie on its grid of ticks, for two reasons. Live readings and snapshots then share
 * visits, and the phase of the grid, which differs from task to task, spreads the work of thousands of
 * tasks over the tick even if all of them started in the same instant. Intervals are therefore whole
 * ticks. They are rounded to the nearest, not upward: upward, a task of 101 s would already be on 2 s, and
 * half of the rows of the second hundred seconds would be missing.
 *
 * Slow files wait longer as the task grows older, too: what a task does in its first seconds is another thing every
 * second, and with ten ticks from the start, the ten rows of a task of ten seconds would all say what it had read and
 * written in its first moment. This costs four readings more in the life of a task.
 *
 * The clock's now is not asked here. What happens after a late wake-up is the caller's: it goes on at the
 * next point behind now, since points that were missed cannot be read any more. */

#include "daemon/sampler/cadence.h"

#include "basic/macro.h"

usec_t cadence_next_point(const Cadence *c, usec_t phase, usec_t after)
{
        assert(c);
        assert(phase < c->tick_usec);

        if (after < phase)
                return phase;
        return phase + ((after - phase) / c->tick_usec + 1) * c->tick_usec;
}

usec_t cadence_snapshot_interval(const Cadence *c, usec_t elapsed)
{
        assert(c);
        assert(c->tick_usec > 0);

        usec_t wanted = CLAMP(elapsed / 100, c->min_usec, c->max_usec);
        usec_t nearest = usec_add(wanted, c->tick_usec / 2) / c->tick_usec;
        usec_t least = usec_add(c->min_usec, c->tick_usec - 1) / c->tick_usec;
        return MAX(MAX(nearest, least), (usec_t)1) * c->tick_usec;
}

usec_t cadence_slow_interval(const Cadence *c, usec_t elapsed)
{
        assert(c);

        usec_t most = MIN(CADENCE_SLOW_TICKS * c->tick_usec, CADENCE_SLOW_MAX_USEC);
        return MIN(MAX(elapsed, c->tick_usec), most);
}
