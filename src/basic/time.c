/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Formatting of times. For people: two units at most, because nobody reads a third; the last is cut and not rounded, so that
 * nothing seems to have taken longer than it did. For settings and policies: exactly, in the largest unit that has no rest.
 *
 * Buffers are the caller's, and are returned, so that a time can be formatted where it is printed. Parsing is parse.c's;
 * what time it is, common/clock's. */

#include "basic/time.h"

#include <assert.h>
#include <stdio.h>

char *usec_format_span(usec_t span, char *buffer, size_t size)
{
        assert(buffer);

        if (span == USEC_INFINITY)
                snprintf(buffer, size, "infinity");
        else if (span < USEC_PER_MSEC)
                snprintf(buffer, size, "%" PRIu64 "us", span);
        else if (span < USEC_PER_SEC)
                snprintf(buffer, size, "%" PRIu64 "ms", span / USEC_PER_MSEC);
        else if (span < USEC_PER_MINUTE)
                snprintf(buffer, size, "%" PRIu64 ".%" PRIu64 "s", span / USEC_PER_SEC,
                         span % USEC_PER_SEC / (USEC_PER_SEC / 10));
        else if (span < USEC_PER_HOUR)
                snprintf(buffer, size, "%" PRIu64 "min %" PRIu64 "s", span / USEC_PER_MINUTE,
                         span % USEC_PER_MINUTE / USEC_PER_SEC);
        else if (span < USEC_PER_DAY)
                snprintf(buffer, size, "%" PRIu64 "h %" PRIu64 "min", span / USEC_PER_HOUR,
                         span % USEC_PER_HOUR / USEC_PER_MINUTE);
        else
                snprintf(buffer, size, "%" PRIu64 "d %" PRIu64 "h", span / USEC_PER_DAY,
                         span % USEC_PER_DAY / USEC_PER_HOUR);
        return buffer;
}

char *usec_format_exact(usec_t span, char *buffer, size_t size)
{
        static const struct {
                const char *name;
                usec_t usec;
        } units[] = {
                { "d", USEC_PER_DAY }, { "h", USEC_PER_HOUR },  { "min", USEC_PER_MINUTE },
                { "s", USEC_PER_SEC }, { "ms", USEC_PER_MSEC }, { "us", 1 },
        };
        size_t i = 0;

        assert(buffer);

        while (span % units[i].usec != 0)
                i++;
        snprintf(buffer, size, "%" PRIu64 "%s", span / units[i].usec, span > 0 ? units[i].name : "");
        return buffer;
}

char *usec_format_realtime(usec_t realtime, char *buffer, size_t size)
{
        time_t seconds = (time_t)(realtime / USEC_PER_SEC);
        struct tm tm;

        assert(buffer);

        if (realtime == 0 || realtime == USEC_INFINITY || !localtime_r(&seconds, &tm) ||
            strftime(buffer, size, "%Y-%m-%d %H:%M:%S", &tm) == 0)
                snprintf(buffer, size, "-");
        return buffer;
}
