/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Two clocks: that of the machine, and one that stands still until a test moves it.
 *
 * Whatever decides by the time gets a Clock from whoever made it, so that no test waits for a moment to come, and none
 * fails because it came too late. The machine's one cannot fail: both of its clocks exist on every kernel, and the call
 * needs no memory. Timers of the loop run on the real CLOCK_BOOTTIME all the same; tests of those are component tests. */

#include "common/clock.h"

#include "basic/macro.h"

static usec_t now(clockid_t id)
{
        struct timespec ts;
        clock_gettime(id, &ts);
        return usec_from_timespec(&ts);
}

static usec_t system_realtime(const Clock *c _unused_)
{
        return now(CLOCK_REALTIME);
}

static usec_t system_boottime(const Clock *c _unused_)
{
        return now(CLOCK_BOOTTIME);
}

const Clock *clock_system(void)
{
        static const Clock clock = { .realtime = system_realtime, .boottime = system_boottime };
        return &clock;
}

static usec_t fake_realtime(const Clock *c)
{
        return container_of(c, const FakeClock, clock)->now_realtime;
}

static usec_t fake_boottime(const Clock *c)
{
        return container_of(c, const FakeClock, clock)->now_boottime;
}

void fake_clock_init(FakeClock *f, usec_t realtime, usec_t boottime)
{
        assert(f);

        *f = (FakeClock){ .clock = { .realtime = fake_realtime, .boottime = fake_boottime },
                          .now_realtime = realtime,
                          .now_boottime = boottime };
}

void fake_clock_advance(FakeClock *f, usec_t by)
{
        assert(f);

        f->now_realtime += by;
        f->now_boottime += by;
}
