/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* When to connect again: at once, then after pauses that double up to a bound, until a connection has proved good. */

#include <stdbool.h>
#include <systemd/sd-event.h>

#include "basic/time.h"

/* Called from the loop; a caller that fails to connect calls reconnect_later(). */
typedef void (*reconnect_t)(void *userdata);

typedef struct Reconnect {
        sd_event_source *timer;
        usec_t min_usec, max_usec;
        usec_t pause_usec; /* the next */
        reconnect_t connect;
        void *userdata;
} Reconnect;

/* The first call of `connect` comes with the loop's next turn. Negative errno. */
int reconnect_init(Reconnect *r, sd_event *event, usec_t min_usec, usec_t max_usec, reconnect_t connect,
                   void *userdata);
/* Nothing is called any more. Also after a failed or no reconnect_init() on zeroed memory, and again. */
void reconnect_done(Reconnect *r);

/* The connection was lost or not made: `connect` is called after the pause, and the next pause is twice as long. */
void reconnect_later(Reconnect *r);
/* The connection is good: the next pause is the shortest again. */
void reconnect_succeeded(Reconnect *r);
