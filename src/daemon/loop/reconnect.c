/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* A one-shot timer on the loop. It also serves as the way out of a callback of the connection that was lost, which may not
 * be freed in there: the new one is made in a later turn.
 *
 * The pause is reset by success and not by an attempt: a peer that accepts and hangs up at once is asked as seldom as one that
 * is not there. What a connection is, and when it is good, is the caller's to know. */

#include "daemon/loop/reconnect.h"

#include "basic/macro.h"

static int on_timer(sd_event_source *s, uint64_t usec, void *userdata)
{
        Reconnect *r = ASSERT_PTR(userdata);

        r->connect(r->userdata);
        return 0;
}

int reconnect_init(Reconnect *r, sd_event *event, usec_t min_usec, usec_t max_usec, reconnect_t connect,
                   void *userdata)
{
        assert(r);
        assert(event);
        assert(min_usec >= 10 && min_usec <= max_usec);
        assert(connect);

        *r = (Reconnect){ .min_usec = min_usec,
                          .max_usec = max_usec,
                          .pause_usec = min_usec,
                          .connect = connect,
                          .userdata = userdata };
        /* Not the default accuracy, which is a quarter of a second. */
        return sd_event_add_time_relative(event, &r->timer, CLOCK_MONOTONIC, 0, min_usec / 10, on_timer, r);
}

void reconnect_done(Reconnect *r)
{
        assert(r);
        r->timer = sd_event_source_disable_unref(r->timer);
}

void reconnect_later(Reconnect *r)
{
        assert(r);

        sd_event_source_set_time_relative(r->timer, r->pause_usec);
        sd_event_source_set_enabled(r->timer, SD_EVENT_ONESHOT);
        r->pause_usec = MIN(r->pause_usec * 2, r->max_usec);
}

void reconnect_succeeded(Reconnect *r)
{
        assert(r);
        r->pause_usec = r->min_usec;
}
