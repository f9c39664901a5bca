/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The pauses between attempts to connect, on a real loop: they are so short that nobody waits, and it is told by events
 * which attempt is the next. */

#include "daemon/loop/reconnect.h"

#include "tests/unit/test.h"

#define MIN_USEC UINT64_C(10)
#define MAX_USEC UINT64_C(45)

typedef struct World {
        sd_event *event;
        Reconnect reconnect;
        unsigned n_attempts;
} World;

static void on_connect(void *userdata)
{
        World *w = ASSERT_PTR(userdata);
        w->n_attempts++;
}

static void set_up(World *w)
{
        *w = (World){ 0 };
        assert_int_equal(sd_event_new(&w->event), 0);
        assert_int_equal(reconnect_init(&w->reconnect, w->event, MIN_USEC, MAX_USEC, on_connect, w), 0);
}

static void tear_down(World *w)
{
        reconnect_done(&w->reconnect);
        sd_event_unref(w->event);
}

static void run_until(World *w, unsigned n_attempts)
{
        while (w->n_attempts < n_attempts)
                assert_in_range(sd_event_run(w->event, 10 * USEC_PER_SEC), 1, 1);
        assert_int_equal(w->n_attempts, n_attempts);
}

static void test_first_attempt_is_at_once(void **state _unused_)
{
        World w;

        set_up(&w);
        run_until(&w, 1);
        assert_int_equal(sd_event_run(w.event, 0), 0); /* and no second one by itself */
        assert_int_equal(w.n_attempts, 1);
        tear_down(&w);
}

static void test_pauses_double(void **state _unused_)
{
        static const usec_t pauses[] = { 10, 20, 40, 45, 45 };
        usec_t due;
        World w;

        set_up(&w);
        run_until(&w, 1);
        for (unsigned i = 0; i < ELEMENTSOF(pauses); i++) {
                assert_int_equal(w.reconnect.pause_usec, pauses[i]);
                usec_t before, after;
                assert_true(sd_event_now(w.event, CLOCK_MONOTONIC, &before) >= 0);
                reconnect_later(&w.reconnect);
                assert_true(sd_event_now(w.event, CLOCK_MONOTONIC, &after) >= 0);
                assert_int_equal(sd_event_source_get_time(w.reconnect.timer, &due), 0);
                assert_in_range(due, before + pauses[i], after + pauses[i]);
                run_until(&w, 2 + i);
        }
        reconnect_succeeded(&w.reconnect);
        assert_int_equal(w.reconnect.pause_usec, pauses[0]);
        tear_down(&w);
}

/* A connection that is lost before its next attempt came: one attempt, not two. */
static void test_later_twice(void **state _unused_)
{
        World w;

        set_up(&w);
        run_until(&w, 1);
        reconnect_later(&w.reconnect);
        reconnect_later(&w.reconnect);
        run_until(&w, 2);
        assert_int_equal(sd_event_run(w.event, 0), 0);
        tear_down(&w);
}

static void test_done(void **state _unused_)
{
        Reconnect never = { 0 };
        World w;

        set_up(&w);
        reconnect_done(&w.reconnect);
        reconnect_done(&w.reconnect);
        reconnect_done(&never);
        assert_int_equal(sd_event_run(w.event, 0), 0);
        assert_int_equal(w.n_attempts, 0);
        sd_event_unref(w.event);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_first_attempt_is_at_once),
                cmocka_unit_test(test_pauses_double),
                cmocka_unit_test(test_later_twice),
                cmocka_unit_test(test_done),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
