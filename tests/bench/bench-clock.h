/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* What a measurement reads before and after. */

#include <sys/resource.h>
#include <time.h>

#include "basic/time.h"

/* Monotonic, microseconds. */
static inline usec_t now(void)
{
        struct timespec ts;

        clock_gettime(CLOCK_MONOTONIC, &ts);
        return usec_from_timespec(&ts);
}

/* CPU time of this process, microseconds. */
static inline usec_t cpu(void)
{
        struct rusage used;

        getrusage(RUSAGE_SELF, &used);
        return (usec_t)(used.ru_utime.tv_sec + used.ru_stime.tv_sec) * USEC_PER_SEC +
               (usec_t)(used.ru_utime.tv_usec + used.ru_stime.tv_usec);
}
