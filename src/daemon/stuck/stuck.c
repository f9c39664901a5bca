/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Each rule but the first has a window, which begins with the last reading that showed the rule broken:
 *
 *     idle      broken by a byte of device or network, or by more CPU than a thousandth of the time since the reading before: a
 *               process that only wakes up once in a while to see that there is nothing to do is idle
 *     spinning  broken by a byte of device, by less CPU than nine tenths of the window, or than half of the time since the
 *               reading before, so that one that has spun for an hour is seen to rest
 *
 * When a window is as long as its rule allows, the rule is met, and that is told once: the episode lasts until the window is
 * broken, however long that takes. A task does not get younger, so the first rule is met once for each attempt.
 *
 * A counter that nobody knows breaks no window, and without the CPU neither rule says anything: better silent than wrong. A
 * task that is frozen neither is stuck nor goes on; its windows begin again behind that. */

#include "daemon/stuck/stuck.h"

#include <errno.h>
#include <string.h>

#include "basic/macro.h"
#include "basic/strings.h"

#define IDLE_PART     1000 /* one of so many parts of the time */
#define SPINNING_PART 10   /* all but one of so many */

static const char *const names[_STUCK_RULE_MAX] = {
        [STUCK_ACTIVE] = "active",
        [STUCK_IDLE] = "idle",
        [STUCK_SPINNING] = "spinning",
};

const char *stuck_rule_name(StuckRule r)
{
        assert((unsigned)r < _STUCK_RULE_MAX);
        return names[r];
}

int stuck_rule_from_name(const char *name, StuckRule *ret)
{
        assert(ret);

        for (int i = 0; name && i < _STUCK_RULE_MAX; i++)
                if (streq(names[i], name)) {
                        *ret = (StuckRule)i;
                        return 0;
                }
        return -EINVAL;
}

void stuck_watch_init(StuckWatch *w, const usec_t limit_usec[static _STUCK_RULE_MAX],
                      usec_t started_boottime)
{
        assert(w);

        *w = (StuckWatch){ .started_boottime = started_boottime };
        for (int i = 0; i < _STUCK_RULE_MAX; i++)
                w->limit_usec[i] = limit_usec[i] == USEC_INFINITY ? 0 : limit_usec[i];
}

void stuck_watch_restore(StuckWatch *w, StuckRule rule, const StuckReading *window)
{
        assert(w);
        assert(window);
        assert((unsigned)rule < _STUCK_RULE_MAX);

        w->told[rule] = true;
        w->window[rule] = w->last[rule] = *window;
        w->has_window[rule] = true;
}

bool stuck_watch_is_used(const StuckWatch *w)
{
        assert(w);

        for (int i = 0; i < _STUCK_RULE_MAX; i++)
                if (w->limit_usec[i] > 0)
                        return true;
        return false;
}

usec_t stuck_watch_interval(const StuckWatch *w, usec_t min_usec, usec_t max_usec)
{
        usec_t shortest = USEC_INFINITY;

        assert(w);
        assert(min_usec <= max_usec);

        for (int i = 0; i < _STUCK_RULE_MAX; i++)
                if (w->limit_usec[i] > 0)
                        shortest = MIN(shortest, w->limit_usec[i]);
        return CLAMP(shortest / 10, min_usec, max_usec);
}

/* ---- the windows ---- */

static bool differs(int64_t a, int64_t b)
{
        return a != STUCK_UNKNOWN && b != STUCK_UNKNOWN && a != b;
}

static int64_t span_of(const StuckReading *from, const StuckReading *to)
{
        return (int64_t)usec_sub(to->boottime, from->boottime);
}

static bool breaks_idle(const StuckReading *from, const StuckReading *last, const StuckReading *to)
{
        int64_t cpu = to->cpu_usec - last->cpu_usec;

        return differs(from->io_bytes, to->io_bytes) || differs(from->network_bytes, to->network_bytes) ||
               cpu < 0 || cpu > span_of(last, to) / IDLE_PART;
}

static bool breaks_spinning(const StuckReading *from, const StuckReading *last, const StuckReading *to)
{
        int64_t span = span_of(from, to);

        return differs(from->io_bytes, to->io_bytes) ||
               to->cpu_usec - from->cpu_usec < span - span / SPINNING_PART ||
               to->cpu_usec - last->cpu_usec < span_of(last, to) / 2;
}

static void begin_window(StuckWatch *w, StuckRule rule, const StuckReading *reading)
{
        w->window[rule] = w->last[rule] = *reading;
        w->has_window[rule] = true;
}

/* A rule with a window. 1: met, -1: over, 0: neither. */
static int feed_rule(StuckWatch *w, StuckRule rule, const StuckReading *reading,
                     bool (*breaks)(const StuckReading *from, const StuckReading *last,
                                    const StuckReading *to))
{
        if (w->limit_usec[rule] == 0 || reading->cpu_usec == STUCK_UNKNOWN)
                return 0;
        if (!w->has_window[rule] || w->window[rule].cpu_usec == STUCK_UNKNOWN) {
                begin_window(w, rule, reading);
                return 0;
        }
        if (breaks(&w->window[rule], &w->last[rule], reading)) {
                bool was_told = w->told[rule];
                begin_window(w, rule, reading);
                w->told[rule] = false;
                return was_told ? -1 : 0;
        }
        w->last[rule] = *reading;
        if (w->told[rule] || usec_sub(reading->boottime, w->window[rule].boottime) < w->limit_usec[rule])
                return 0;
        w->told[rule] = true;
        return 1;
}

static int feed_active(StuckWatch *w, const StuckReading *reading)
{
        usec_t limit = w->limit_usec[STUCK_ACTIVE];

        if (limit == 0 || w->told[STUCK_ACTIVE] || usec_sub(reading->boottime, w->started_boottime) < limit)
                return 0;
        w->told[STUCK_ACTIVE] = true;
        return 1;
}

StuckChange stuck_watch_feed(StuckWatch *w, const StuckReading *reading)
{
        StuckChange change = { 0 };

        assert(w);
        assert(reading);

        const int results[_STUCK_RULE_MAX] = {
                [STUCK_ACTIVE] = feed_active(w, reading),
                [STUCK_IDLE] = feed_rule(w, STUCK_IDLE, reading, breaks_idle),
                [STUCK_SPINNING] = feed_rule(w, STUCK_SPINNING, reading, breaks_spinning),
        };
        for (int i = 0; i < _STUCK_RULE_MAX; i++) {
                change.met |= results[i] > 0 ? UINT32_C(1) << i : 0;
                change.over |= results[i] < 0 ? UINT32_C(1) << i : 0;
        }
        return change;
}

void stuck_watch_pause(StuckWatch *w)
{
        assert(w);

        for (int i = 0; i < _STUCK_RULE_MAX; i++)
                if (!w->told[i])
                        w->has_window[i] = false;
}

void stuck_watch_forget(StuckWatch *w, StuckRule rule)
{
        assert(w);
        assert((unsigned)rule < _STUCK_RULE_MAX);

        w->told[rule] = false;
}
