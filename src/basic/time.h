/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Times are microseconds in 64 bits. `usec_t` values of CLOCK_REALTIME are wall-clock instants, those of
 * CLOCK_BOOTTIME run on through suspend and are never set; every variable's name says which it is. */

#include <inttypes.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/time.h>
#include <time.h>

typedef uint64_t usec_t;

#define USEC_INFINITY   ((usec_t)UINT64_MAX)
#define USEC_PER_MSEC   ((usec_t)1000)
#define USEC_PER_SEC    ((usec_t)1000000)
#define USEC_PER_MINUTE (60 * USEC_PER_SEC)
#define USEC_PER_HOUR   (60 * USEC_PER_MINUTE)
#define USEC_PER_DAY    (24 * USEC_PER_HOUR)
#define NSEC_PER_USEC   1000

static inline usec_t usec_from_timespec(const struct timespec *ts)
{
        return (usec_t)ts->tv_sec * USEC_PER_SEC + (usec_t)ts->tv_nsec / NSEC_PER_USEC;
}

static inline usec_t usec_from_timeval(const struct timeval *tv)
{
        return (usec_t)tv->tv_sec * USEC_PER_SEC + (usec_t)tv->tv_usec;
}

static inline struct timespec usec_to_timespec(usec_t u)
{
        return (struct timespec){ .tv_sec = (time_t)(u / USEC_PER_SEC),
                                  .tv_nsec = (long)(u % USEC_PER_SEC) * NSEC_PER_USEC };
}

/* Sum that stops at USEC_INFINITY. */
static inline usec_t usec_add(usec_t a, usec_t b)
{
        return a > USEC_INFINITY - b ? USEC_INFINITY : a + b;
}

/* Difference that stops at 0. */
static inline usec_t usec_sub(usec_t a, usec_t b)
{
        return a > b ? a - b : 0;
}

/* Formats a span for people: "350ms", "12.3s", "4min 5s", "2h 10min", "3d 4h". Returns buffer. */
char *usec_format_span(usec_t span, char *buffer, size_t size);

/* The same without loss, in the largest unit that leaves nothing over: "90min", "1d", "0". Returns buffer. */
char *usec_format_exact(usec_t span, char *buffer, size_t size);

/* Formats a wall-clock instant as local "2026-11-23 04:28:39"; "-" for 0 and USEC_INFINITY. Returns buffer. */
char *usec_format_realtime(usec_t realtime, char *buffer, size_t size);
