/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Running something later, or again and again: a timer of systemd whose service is a `reeve run`. */

#include "basic/error.h"

typedef struct TimerRequest {
        const char *calendar,
                        *active; /* as --on-calendar= and --on-active= of systemd-run(1); NULL: not given */
        const char *description; /* of the units */
        char **run;              /* what the service runs behind "reeve": "run", options, "--", command */
} TimerRequest;

/* Becomes systemd-run, which makes the timer and says its name: in the system's manager for root, in the user's for anybody else.
 * Returns only on failure: Unavailable without systemd. */
int timer_exec(const TimerRequest *q, ReeveError *reterr);
