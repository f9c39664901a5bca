/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Many ladders on one clock that is moved by hand: each step fires once, in order of time, and as late as its turn was; what is
 * extended, removed or not started does not fire; setting the wall clock changes nothing. One test has a real timer. */

#include "daemon/sla/sla.h"

#include <string.h>

#include "tests/unit/test.h"

#define N     5000
#define START (100 * USEC_PER_SEC)

typedef struct Fixture Fixture;

typedef struct Watched {
        SlaTask sla;
        unsigned fired[_LADDER_ACT_MAX];
} Watched;

struct Fixture {
        FakeClock clock;
        Sla *sla;
        Watched tasks[N];
        size_t n_fired;
        usec_t last_due, latest;
        Watched *remove_at_fire; /* the callback takes it out */
        usec_t extend_by;        /* each ladder that fires is extended by that, once */
};

static const LadderStep two_steps[] = {
        { .act = LADDER_NOTIFY, .at_permyriad = 5000 },
        { .act = LADDER_KILL, .at_permyriad = 10000, .after_usec = 1 },
};

static void on_due(SlaTask *t, LadderStep *step, usec_t now, void *userdata)
{
        Watched *w = container_of(t, Watched, sla);
        Fixture *f = userdata;

        assert_int_equal(step->state, LADDER_DUE);
        assert_true(step->due_boottime <= now);
        assert_true(step->due_boottime >= f->last_due);
        f->last_due = step->due_boottime;
        f->latest = MAX(f->latest, now - step->due_boottime);
        f->n_fired++;
        w->fired[step->act]++;
        ladder_move(step, LADDER_ACTING);
        ladder_finish(step, LADDER_DONE, 1, now - step->due_boottime, NULL);
        if (f->extend_by > 0) {
                ladder_extend(t->ladder, f->extend_by, now);
                sla_changed(f->sla, t);
        }
        if (f->remove_at_fire == w)
                sla_remove(f->sla, t);
}

static int setup(void **state)
{
        Fixture *f = NEW0(Fixture, 1);

        fake_clock_init(&f->clock, 1700000000 * USEC_PER_SEC, START);
        assert_int_equal(sla_new(NULL, &f->clock.clock, on_due, f, &f->sla), 0);
        *state = f;
        return 0;
}

static int teardown(void **state)
{
        Fixture *f = *state;

        for (size_t i = 0; i < N; i++)
                ladder_free(f->tasks[i].sla.ladder);
        sla_free(f->sla);
        free(f);
        return 0;
}

/* Spans that have nothing to do with the order of adding. */
static usec_t span_of(size_t i)
{
        return 1000 + (i * 7919) % N * 10;
}

static void add_all(Fixture *f)
{
        for (size_t i = 0; i < N; i++) {
                Watched *w = f->tasks + i;
                sla_task_init(&w->sla, ladder_new(span_of(i), two_steps, ELEMENTSOF(two_steps)));
                ladder_set_deadline(w->sla.ladder, (boottime_t)(START + span_of(i)));
                assert_int_equal(sla_add(f->sla, &w->sla), 0);
        }
}

static void test_thousands(void **state)
{
        Fixture *f = *state;

        add_all(f);
        assert_int_equal(sla_size(f->sla), N);
        assert_int_equal(sla_next_boottime(f->sla), START + 500);
        assert_int_equal(sla_run(f->sla), 0);
        /* From event to event, as the timer would. */
        while (sla_next_boottime(f->sla) != USEC_INFINITY) {
                f->clock.now_boottime = sla_next_boottime(f->sla);
                assert_true(sla_run(f->sla) > 0);
        }
        assert_int_equal(f->n_fired, 3 * N);
        assert_int_equal(f->latest, 0);
        for (size_t i = 0; i < N; i++) {
                assert_int_equal(f->tasks[i].fired[LADDER_NOTIFY], 1);
                assert_int_equal(f->tasks[i].fired[LADDER_DEADLINE], 1);
                assert_int_equal(f->tasks[i].fired[LADDER_KILL], 1);
        }
}

/* A day passes, or only the wall clock is set to and fro. */
static void test_clock_steps(void **state)
{
        Fixture *f = *state;

        add_all(f);
        f->clock.now_realtime += USEC_PER_DAY;
        assert_int_equal(sla_run(f->sla), 0);
        f->clock.now_realtime -= 2 * USEC_PER_DAY;
        assert_int_equal(sla_run(f->sla), 0);
        assert_int_equal(sla_next_boottime(f->sla), START + 500);
}

/* All came due while nobody was there: they fire in slices, and all are that late. */
static void test_all_at_once(void **state)
{
        Fixture *f = *state;
        size_t n, turns = 0;

        add_all(f);
        f->clock.now_boottime += USEC_PER_DAY;
        while ((n = sla_run(f->sla)) > 0) {
                assert_true(n <= SLA_BATCH);
                turns++;
        }
        assert_int_equal(f->n_fired, 3 * N);
        assert_int_equal(turns, (3 * N + SLA_BATCH - 1) / SLA_BATCH);
        assert_int_equal(f->latest, USEC_PER_DAY - 500);
}

static void test_not_started(void **state)
{
        Fixture *f = *state;
        SlaTask *t = &f->tasks[0].sla;

        sla_task_init(t, ladder_new(1000, two_steps, ELEMENTSOF(two_steps)));
        assert_int_equal(sla_add(f->sla, t), 0);
        f->clock.now_boottime += USEC_PER_DAY;
        assert_int_equal(sla_run(f->sla), 0);
        assert_int_equal(sla_next_boottime(f->sla), USEC_INFINITY);
        ladder_set_deadline(t->ladder, (boottime_t)f->clock.now_boottime + 1000);
        sla_changed(f->sla, t);
        assert_int_equal(sla_next_boottime(f->sla), f->clock.now_boottime + 500);
        sla_remove(f->sla, t);
        sla_remove(f->sla, t);
        assert_int_equal(sla_next_boottime(f->sla), USEC_INFINITY);
        sla_changed(f->sla, t); /* of one that is not watched */
        assert_int_equal(sla_size(f->sla), 0);
}

/* The callback may do anything with its task. */
static void test_changes_from_within(void **state)
{
        Fixture *f = *state;

        add_all(f);
        f->remove_at_fire = f->tasks + 17;
        f->clock.now_boottime += USEC_PER_DAY;
        while (sla_run(f->sla) > 0)
                ;
        assert_int_equal(f->tasks[17].fired[LADDER_NOTIFY], 1);
        assert_int_equal(f->tasks[17].fired[LADDER_KILL], 0);
        assert_int_equal(f->n_fired, 3 * N - 2);
        assert_int_equal(sla_size(f->sla), N - 1);
}

static void test_extended_from_within(void **state)
{
        Fixture *f = *state;
        SlaTask *t = &f->tasks[0].sla;

        sla_task_init(t, ladder_new(1000, two_steps, ELEMENTSOF(two_steps)));
        ladder_set_deadline(t->ladder, START + 1000);
        assert_int_equal(sla_add(f->sla, t), 0);
        f->extend_by = 10000;
        f->clock.now_boottime = START + 500;
        assert_int_equal(sla_run(f->sla), 1);
        f->extend_by = 0;
        assert_int_equal(sla_next_boottime(f->sla), START + 11000);
        f->clock.now_boottime = START + 10999;
        assert_int_equal(sla_run(f->sla), 0);
        f->clock.now_boottime = START + 11001;
        assert_int_equal(sla_run(f->sla), 2);
}

/* ---- the machine's clock ---- */

static void on_real(SlaTask *t, LadderStep *step, usec_t now, void *userdata)
{
        sd_event *event = userdata;

        assert_true(now >= step->due_boottime);
        ladder_move(step, LADDER_ACTING);
        ladder_finish(step, LADDER_DONE, 1, now - step->due_boottime, NULL);
        if (!ladder_find(t->ladder, LADDER_WAITING))
                sd_event_exit(event, 7);
}

static void test_real_timer(void **state)
{
        sd_event *event = NULL;
        SlaTask t;
        Sla *s;

        assert_true(sd_event_new(&event) >= 0);
        assert_int_equal(sla_new(event, clock_system(), on_real, event, &s), 0);
        sla_task_init(&t, ladder_new(4000, two_steps, ELEMENTSOF(two_steps)));
        ladder_set_deadline(t.ladder, (boottime_t)clock_boottime(clock_system()) + 4000);
        assert_int_equal(sla_add(s, &t), 0);
        assert_int_equal(sd_event_loop(event), 7);
        sla_remove(s, &t);
        sla_free(s);
        ladder_free(t.ladder);
        sd_event_unref(event);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test_setup_teardown(test_thousands, setup, teardown),
                cmocka_unit_test_setup_teardown(test_clock_steps, setup, teardown),
                cmocka_unit_test_setup_teardown(test_all_at_once, setup, teardown),
                cmocka_unit_test_setup_teardown(test_not_started, setup, teardown),
                cmocka_unit_test_setup_teardown(test_changes_from_within, setup, teardown),
                cmocka_unit_test_setup_teardown(test_extended_from_within, setup, teardown),
                cmocka_unit_test(test_real_timer),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
