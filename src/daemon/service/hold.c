/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Requests that need the launcher while its connection is being made. A launcher that is restarted, upgraded or killed is back
 * after a tenth of a second; who asks in that moment should not have to ask again.
 *
 * A request waits at most HOLD_USEC in all, however often the connection breaks under it: a request that kills the launcher
 * does so a few times, not for ever. When the launcher has been away for longer than that, nobody waits: the answer is
 * Unavailable at once, as it is for a launcher that was stopped for good.
 *
 * What is already committed does not wait here: tasks that are pending, cancellations and kills are taken up by
 * service_on_launcher_connected(). */

#include "daemon/service/service-internal.h"

#define HOLD_USEC          (2 * USEC_PER_SEC)
#define HOLD_ACCURACY_USEC (10 * USEC_PER_MSEC)

static void give_up(ServiceHeld *h)
{
        ReeveError e = REEVE_ERROR_NULL;

        reeve_error_set(&e, REEVE_ERROR_UNAVAILABLE, NULL, "the launcher cannot be reached");
        h->go(h, &e);
}

static void arm(Service *s, usec_t until_boottime)
{
        usec_t armed = USEC_INFINITY;

        if (sd_event_source_get_enabled(s->hold_timer, NULL) > 0)
                sd_event_source_get_time(s->hold_timer, &armed);
        if (armed <= until_boottime)
                return;
        sd_event_source_set_time(s->hold_timer, until_boottime);
        sd_event_source_set_enabled(s->hold_timer, SD_EVENT_ONESHOT);
}

static int on_timer(sd_event_source *source, uint64_t usec, void *userdata)
{
        Service *s = ASSERT_PTR(userdata);
        usec_t now = clock_boottime(s->clock);
        ListLink *link, late;

        /* All are taken first: who is answered may ask for something else, and be held. */
        list_init(&late);
        LIST_FOREACH_SAFE(&s->held, l) {
                ServiceHeld *h = container_of(l, ServiceHeld, link);
                if (h->until_boottime <= now) {
                        list_remove(l);
                        list_append(&late, l);
                } else
                        arm(s, h->until_boottime);
        }
        while ((link = list_pop(&late)))
                give_up(container_of(link, ServiceHeld, link));
        return 0;
}

int service_start_holding(Service *s)
{
        assert(s);

        s->launcher_away_boottime = clock_boottime(s->clock);
        int r = sd_event_add_time(s->event, &s->hold_timer, CLOCK_BOOTTIME, 0, HOLD_ACCURACY_USEC, on_timer,
                                  s);
        return r < 0 ? r : sd_event_source_set_enabled(s->hold_timer, SD_EVENT_OFF);
}

void service_hold(Service *s, ServiceHeld *h)
{
        assert(s);
        assert(h && h->go && h->drop);

        if (launcher_client_is_connected(s->launcher)) {
                h->go(h, NULL);
                return;
        }
        usec_t now = clock_boottime(s->clock);
        if (h->until_boottime == 0)
                h->until_boottime = usec_add(MIN(now, s->launcher_away_boottime), HOLD_USEC);
        if (h->until_boottime <= now) {
                give_up(h);
                return;
        }
        list_append(&s->held, &h->link);
        arm(s, h->until_boottime);
}

void service_release_held(Service *s)
{
        ListLink *link, ready;

        assert(s);

        list_init(&ready);
        list_splice(&ready, &s->held);
        while ((link = list_pop(&ready))) {
                ServiceHeld *h = container_of(link, ServiceHeld, link);
                h->go(h, NULL); /* it may be held again */
        }
}

void service_drop_held(Service *s)
{
        ListLink *link;

        assert(s);

        while ((link = list_pop(&s->held))) {
                ServiceHeld *h = container_of(link, ServiceHeld, link);
                h->drop(h);
        }
        s->hold_timer = sd_event_source_disable_unref(s->hold_timer);
}
