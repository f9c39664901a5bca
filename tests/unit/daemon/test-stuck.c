/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Which readings mean that a task is stuck: a table of stories, each a row of readings and what is expected to be told, and what
 * does not fit in a table. */

#include "daemon/stuck/stuck.h"

#include <errno.h>

#include "tests/unit/test.h"

#define S USEC_PER_SEC
#define U STUCK_UNKNOWN

#define A (1U << STUCK_ACTIVE)
#define I (1U << STUCK_IDLE)
#define P (1U << STUCK_SPINNING)

typedef struct Line {
        unsigned at;                           /* seconds after the start */
        int64_t cpu_usec, io_bytes, net_bytes; /* totals */
        uint32_t met, over;
} Line;

static const struct {
        const char *name;
        unsigned active, idle, spinning; /* seconds */
        Line lines[10];
} stories[] = {
        { "no rule", 0, 0, 0, { { 1, 0, 0, 0, 0, 0 }, { 9999, 0, 0, 0, 0, 0 } } },
        { "active, once",
          100,
          0,
          0,
          { { 99, 0, 0, 0, 0, 0 },
            { 100, 0, 0, 0, A, 0 },
            { 200, 0, 0, 0, 0, 0 },
            { 300, 99 * S, 9, 9, 0, 0 } } },
        { "idle, once, and again after progress",
          0,
          10,
          0,
          { { 1, 500, 7, 7, 0, 0 },
            { 5, 500, 7, 7, 0, 0 },
            { 11, 500, 7, 7, I, 0 },
            { 30, 500, 7, 7, 0, 0 },
            { 31, 500, 8, 7, 0, I },
            { 40, 500, 8, 7, 0, 0 },
            { 41, 500, 8, 7, I, 0 } } },
        { "cpu is progress",
          0,
          10,
          0,
          { { 1, 0, 0, 0, 0, 0 },
            { 6, 10000, 0, 0, 0, 0 },
            { 12, 20000, 0, 0, 0, 0 },
            { 22, 20000, 0, 0, I, 0 } } },
        { "waking up is not",
          0,
          10,
          0,
          { { 1, 0, 0, 0, 0, 0 }, { 6, 4000, 0, 0, 0, 0 }, { 11, 9000, 0, 0, I, 0 } } },
        { "a little after a long time is",
          0,
          10,
          0,
          { { 1, 0, 0, 0, 0, 0 },
            { 11, 0, 0, 0, I, 0 },
            { 9000, 0, 0, 0, 0, 0 },
            { 9001, 1001, 0, 0, 0, I } } },
        { "rest after a long time",
          0,
          0,
          10,
          { { 0, 0, 0, 0, 0, 0 },
            { 10, 10 * S, 0, 0, P, 0 },
            { 9000, 9000 * S, 0, 0, 0, 0 },
            { 9001, 9000 * S + S / 3, 0, 0, 0, P } } },
        { "network is progress",
          0,
          10,
          0,
          { { 1, 0, 0, 0, 0, 0 }, { 6, 0, 0, 1, 0, 0 }, { 12, 0, 0, 2, 0, 0 } } },
        { "spinning, once, over when it waits",
          0,
          0,
          10,
          { { 0, 0, 0, 0, 0, 0 },
            { 5, 5 * S, 0, 0, 0, 0 },
            { 10, 10 * S, 0, 0, P, 0 },
            { 20, 20 * S, 0, 0, 0, 0 },
            { 40, 20 * S, 0, 0, 0, P },
            { 50, 30 * S, 0, 0, P, 0 } } },
        { "nearly a core is one", 0, 0, 10, { { 0, 0, 0, 0, 0, 0 }, { 10, 9 * S, 0, 0, P, 0 } } },
        { "less is none", 0, 0, 10, { { 0, 0, 0, 0, 0, 0 }, { 10, 9 * S - 1, 0, 0, 0, 0 } } },
        { "device io is no spinning",
          0,
          0,
          10,
          { { 0, 0, 0, 0, 0, 0 },
            { 10, 10 * S, 1, 0, 0, 0 },
            { 19, 19 * S, 1, 0, 0, 0 },
            { 20, 20 * S, 1, 0, P, 0 } } },
        { "network is", 0, 0, 10, { { 0, 0, 0, 0, 0, 0 }, { 10, 10 * S, 0, 5, P, 0 } } },
        { "unknown cpu", 0, 10, 10, { { 1, U, 0, 0, 0, 0 }, { 30, U, 0, 0, 0, 0 } } },
        { "unknown io and network", 0, 10, 10, { { 1, 0, U, U, 0, 0 }, { 11, 0, U, U, I, 0 } } },
        { "io becomes known",
          0,
          10,
          0,
          { { 1, 0, U, U, 0, 0 }, { 6, 0, 4096, 0, 0, 0 }, { 11, 0, 4096, 0, I, 0 } } },
        { "a counter that falls is no standstill",
          0,
          10,
          0,
          { { 1, 9999, 0, 0, 0, 0 }, { 11, 1, 0, 0, 0, 0 } } },
        { "two at once",
          10,
          10,
          0,
          { { 0, 0, 0, 0, 0, 0 }, { 10, 0, 0, 0, A | I, 0 }, { 11, 0, 1, 0, 0, I } } },
        { "one reading says nothing", 0, 10, 10, { { 9999, 0, 0, 0, 0, 0 } } },
};

static StuckReading reading(const Line *l)
{
        return (StuckReading){ .boottime = (1000 + l->at) * S,
                               .cpu_usec = l->cpu_usec,
                               .io_bytes = l->io_bytes,
                               .network_bytes = l->net_bytes };
}

static StuckWatch watch(unsigned active, unsigned idle, unsigned spinning)
{
        const usec_t limits[_STUCK_RULE_MAX] = { active * S, idle * S, spinning * S };
        StuckWatch w;

        stuck_watch_init(&w, limits, 1000 * S);
        return w;
}

static void test_stories(void **state)
{
        for (size_t i = 0; i < ELEMENTSOF(stories); i++) {
                StuckWatch w = watch(stories[i].active, stories[i].idle, stories[i].spinning);

                for (size_t k = 0; k < ELEMENTSOF(stories[i].lines); k++) {
                        const Line *l = stories[i].lines + k;
                        if (k > 0 && l->at == 0)
                                break;
                        StuckReading r = reading(l);
                        StuckChange c = stuck_watch_feed(&w, &r);
                        if (c.met != l->met || c.over != l->over)
                                fail_msg("%s: at %u s: expected met %u over %u, got %u and %u",
                                         stories[i].name, l->at, l->met, l->over, c.met, c.over);
                }
        }
}

static StuckChange feed(StuckWatch *w, unsigned at, int64_t cpu_usec)
{
        StuckReading r = reading(&(Line){ .at = at, .cpu_usec = cpu_usec });
        return stuck_watch_feed(w, &r);
}

static void test_pause(void **state)
{
        StuckWatch w = watch(0, 10, 0);

        feed(&w, 1, 0);
        stuck_watch_pause(&w);
        assert_int_equal(feed(&w, 20, 0).met, 0);
        assert_int_equal(feed(&w, 29, 0).met, 0);
        assert_int_equal(feed(&w, 30, 0).met, I);
        stuck_watch_pause(&w); /* the episode goes on: it has not moved */
        assert_int_equal(feed(&w, 60, 0).met, 0);
        assert_int_equal(feed(&w, 61, S).over, I);
}

static void test_told_again(void **state)
{
        StuckWatch w = watch(5, 0, 0);

        assert_int_equal(feed(&w, 5, 0).met, A);
        stuck_watch_forget(&w, STUCK_ACTIVE);
        assert_int_equal(feed(&w, 6, 0).met, A);
}

static void test_restore(void **state)
{
        StuckReading window = reading(&(Line){ .at = 1, .cpu_usec = 700 });
        StuckWatch w = watch(5, 10, 0);

        stuck_watch_restore(&w, STUCK_IDLE, &window);
        stuck_watch_restore(&w, STUCK_ACTIVE, &window);
        StuckChange c = feed(&w, 500, 700);
        assert_int_equal(c.met | c.over, 0); /* nobody is told twice */
        assert_int_equal(feed(&w, 501, 2 * S).over, I);
        assert_int_equal(feed(&w, 511, 2 * S).met, I);

        w = watch(0, 10, 0); /* nobody knows how the window began */
        stuck_watch_restore(&w, STUCK_IDLE, &(StuckReading){ .cpu_usec = U });
        c = feed(&w, 500, 5 * S);
        assert_int_equal(c.met | c.over, 0);
        assert_int_equal(feed(&w, 600, 5 * S).met, 0);
        assert_int_equal(feed(&w, 601, 6 * S).over, I);

        w = watch(0, 10, 0); /* what it did while nobody was there counts */
        stuck_watch_restore(&w, STUCK_IDLE, &window);
        assert_int_equal(feed(&w, 500, 5 * S).over, I);
}

static void test_interval(void **state)
{
        StuckWatch none = watch(0, 0, 0), w = watch(7200, 600, 1800), brief = watch(0, 1, 0),
                   patient = watch(86400, 0, 0);

        assert_false(stuck_watch_is_used(&none));
        assert_true(stuck_watch_is_used(&w));
        assert_int_equal(stuck_watch_interval(&w, S, 100 * S), 60 * S);
        assert_int_equal(stuck_watch_interval(&brief, S, 100 * S), S);
        assert_int_equal(stuck_watch_interval(&patient, S, 100 * S), 100 * S);
        const usec_t never[_STUCK_RULE_MAX] = { USEC_INFINITY, USEC_INFINITY, USEC_INFINITY };
        stuck_watch_init(&none, never, 0);
        assert_false(stuck_watch_is_used(&none));
}

static void test_names(void **state)
{
        StuckRule r;

        for (int i = 0; i < _STUCK_RULE_MAX; i++) {
                assert_int_equal(stuck_rule_from_name(stuck_rule_name((StuckRule)i), &r), 0);
                assert_int_equal(r, i);
        }
        assert_int_equal(stuck_rule_from_name("bored", &r), -EINVAL);
        assert_int_equal(stuck_rule_from_name(NULL, &r), -EINVAL);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_stories),    cmocka_unit_test(test_pause),
                cmocka_unit_test(test_told_again), cmocka_unit_test(test_restore),
                cmocka_unit_test(test_interval),   cmocka_unit_test(test_names),
        };
        return cmocka_run_group_tests_name("daemon-stuck", tests, NULL, NULL);
}
