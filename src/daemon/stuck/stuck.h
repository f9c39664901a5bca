/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Is a task stuck? Fed with readings of its counters, tells which of three rules is met: it has run for too long; it has used
 * neither CPU, device nor network for too long; it has used a whole CPU and no device for too long. A value that is fed and asked:
 * it reads no clock and no counter, and what is done about it is the caller's. */

#include <stdbool.h>
#include <stdint.h>

#include "basic/time.h"

typedef enum StuckRule {
        STUCK_ACTIVE,
        STUCK_IDLE,
        STUCK_SPINNING,
        _STUCK_RULE_MAX,
} StuckRule;

/* "active", "idle", "spinning". */
const char *stuck_rule_name(StuckRule r);
/* -EINVAL if there is none; NULL is none. */
int stuck_rule_from_name(const char *name, StuckRule *ret);

#define STUCK_UNKNOWN (-1)

/* Totals since the start of the attempt; STUCK_UNKNOWN where this host cannot tell. */
typedef struct StuckReading {
        usec_t boottime; /* of the reading */
        int64_t cpu_usec, io_bytes, network_bytes;
} StuckReading;

typedef struct StuckWatch {
        usec_t limit_usec[_STUCK_RULE_MAX]; /* 0: the rule is not in force */
        usec_t started_boottime;
        bool has_window[_STUCK_RULE_MAX];
        StuckReading window[_STUCK_RULE_MAX]; /* its first reading; of ACTIVE not used */
        bool told[_STUCK_RULE_MAX];           /* of this episode */
        StuckReading last[_STUCK_RULE_MAX];   /* valid with the window */
} StuckWatch;

/* What a reading changed, as bits of 1 << StuckRule. */
typedef struct StuckChange {
        uint32_t met;  /* now, and not before in this episode */
        uint32_t over; /* was met, and the task has gone on since */
} StuckChange;

/* A span of 0 or USEC_INFINITY: the rule is not in force. */
void stuck_watch_init(StuckWatch *w, const usec_t limit_usec[static _STUCK_RULE_MAX],
                      usec_t started_boottime);
/* The rule was met before, by an earlier daemon, in a window that began so: it is over when the task has gone on since;
 * where its CPU time is STUCK_UNKNOWN, since the next reading. */
void stuck_watch_restore(StuckWatch *w, StuckRule rule, const StuckReading *window);
bool stuck_watch_is_used(const StuckWatch *w);

/* How far readings may be apart, so that the shortest rule is told of at most a tenth of its span late; within the bounds. */
usec_t stuck_watch_interval(const StuckWatch *w, usec_t min_usec, usec_t max_usec);

StuckChange stuck_watch_feed(StuckWatch *w, const StuckReading *reading);
/* It does not run, because somebody wants it so: what it has not done until now does not count. */
void stuck_watch_pause(StuckWatch *w);
/* What `met` said was not taken down: it is told again. */
void stuck_watch_forget(StuckWatch *w, StuckRule rule);
