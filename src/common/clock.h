/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* The clock seam: whoever needs the time is given a Clock. Tests pass one that they move by hand. */

#include "basic/time.h"

typedef struct Clock Clock;

struct Clock {
        usec_t (*realtime)(const Clock *c); /* CLOCK_REALTIME */
        usec_t (*boottime)(const Clock *c); /* CLOCK_BOOTTIME */
};

/* The machine's clock; static lifetime, thread-safe. */
const Clock *clock_system(void);

/* A clock that stands still until it is set. */
typedef struct FakeClock {
        Clock clock;
        usec_t now_realtime;
        usec_t now_boottime;
} FakeClock;

void fake_clock_init(FakeClock *f, usec_t realtime, usec_t boottime);
void fake_clock_advance(FakeClock *f, usec_t by);

static inline usec_t clock_realtime(const Clock *c)
{
        return c->realtime(c);
}

static inline usec_t clock_boottime(const Clock *c)
{
        return c->boottime(c);
}
