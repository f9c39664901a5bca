/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The queue: order, limits, what an entry is told to wait for; and thousands of random acts beside a model that looks at
 * every entry each time. */

#include "daemon/queue/queue.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "basic/strings.h"
#include "daemon/queue/backoff.h"
#include "tests/unit/test.h"

#define START (1000 * USEC_PER_DAY)

static int setup(void **state)
{
        Queue *q;

        assert_int_equal(queue_new(&q), 0);
        *state = q;
        return 0;
}

static int teardown(void **state)
{
        queue_free(*state);
        return 0;
}

static void enter(Queue *q, QueueEntry *e, const QueueRequest *request)
{
        assert_int_equal(queue_enter(q, e, request), 0);
        assert_int_equal(e->state, QUEUE_PARKED);
        assert_int_equal(queue_ready(q, e), 0);
        assert_int_equal(e->state, QUEUE_WAITING);
}

static void test_priority_then_age(void **state)
{
        Queue *q = *state;
        QueueRequest r = { .subsystem = "a", .task_type = "x", .priority = 5, .created_boottime = START };
        QueueEntry old = { 0 }, young = { 0 }, urgent = { 0 }, other_type = { 0 };

        r.created_boottime = START + 1;
        enter(q, &young, &r);
        r.created_boottime = START;
        enter(q, &old, &r);
        r.created_boottime = START + 2;
        r.task_type = "y";
        enter(q, &other_type, &r);
        r.priority = 6;
        r.created_boottime = START + 3;
        enter(q, &urgent, &r);

        assert_int_equal(queue_n_waiting(q), 4);
        assert_ptr_equal(queue_next(q), &urgent);
        assert_ptr_equal(queue_next(q), &old);
        assert_ptr_equal(queue_next(q), &young);
        assert_ptr_equal(queue_next(q), &other_type);
        assert_null(queue_next(q));
        assert_int_equal(queue_n_running(q), 4);

        queue_leave(q, &urgent);
        queue_leave(q, &old);
        queue_leave(q, &young);
        queue_leave(q, &other_type);
        assert_int_equal(queue_n_running(q), 0);
}

/* What waited for its levels' worth of time is not overtaken any more. */
static void test_nothing_starves(void **state)
{
        Queue *q = *state;
        QueueRequest low = { .subsystem = "a", .task_type = "x", .priority = 1, .created_boottime = START };
        QueueRequest high = { .subsystem = "a", .task_type = "x", .priority = 10 };
        QueueEntry patient = { 0 }, before = { 0 }, after = { 0 };

        enter(q, &patient, &low);
        high.created_boottime = START + 9 * QUEUE_AGING_USEC + 1;
        enter(q, &after, &high);
        high.created_boottime = START + 9 * QUEUE_AGING_USEC - 1;
        enter(q, &before, &high);

        assert_ptr_equal(queue_next(q), &before);
        assert_ptr_equal(queue_next(q), &patient);
        assert_ptr_equal(queue_next(q), &after);
        queue_leave(q, &patient);
        queue_leave(q, &before);
        queue_leave(q, &after);
}

static void assert_position(const Queue *q, const QueueEntry *e, QueueLimit limit, unsigned max,
                            unsigned running, size_t ahead)
{
        QueuePosition p;

        queue_position(q, e, &p);
        assert_int_equal(p.limit, limit);
        assert_int_equal(p.max, max);
        assert_int_equal(p.running, running);
        assert_int_equal(p.ahead, ahead);
}

static void test_limits(void **state)
{
        Queue *q = *state;
        QueueRequest x = {
                .subsystem = "a", .task_type = "x", .priority = 5, .task_type_max = 1, .subsystem_max = 2
        };
        QueueRequest y = { .subsystem = "a", .task_type = "y", .priority = 5, .subsystem_max = 2 };
        QueueRequest z = { .subsystem = "b", .task_type = "z", .priority = 5 };
        QueueEntry x1 = { 0 }, x2 = { 0 }, y1 = { 0 }, y2 = { 0 }, z1 = { 0 }, z2 = { 0 };

        queue_set_max(q, 3);
        enter(q, &x1, &x);
        enter(q, &x2, &x);
        enter(q, &y1, &y);
        enter(q, &y2, &y);
        enter(q, &z1, &z);
        enter(q, &z2, &z);

        assert_ptr_equal(queue_next(q), &x1);
        assert_position(q, &x2, QUEUE_LIMIT_TASK_TYPE, 1, 1, 0);
        assert_position(q, &y2, QUEUE_LIMIT_NONE, 0, 0, 0);
        assert_ptr_equal(queue_next(q), &y1);
        assert_position(q, &y2, QUEUE_LIMIT_SUBSYSTEM, 2, 2, 1); /* behind x2 */
        assert_ptr_equal(queue_next(q), &z1);
        assert_position(q, &z2, QUEUE_LIMIT_ALL, 3, 3, 2);
        assert_null(queue_next(q));

        queue_leave(q, &y1); /* x2 is older, but its type is full */
        assert_ptr_equal(queue_next(q), &y2);
        queue_leave(q, &x1);
        assert_ptr_equal(queue_next(q), &x2);
        assert_null(queue_next(q));
        queue_set_max(q, 0);
        assert_ptr_equal(queue_next(q), &z2);

        queue_leave(q, &x2);
        queue_leave(q, &y2);
        queue_leave(q, &z1);
        queue_leave(q, &z2);
}

/* What ran when the limit came takes its slot, and gives it back; a retry waits anew at its old age. */
static void test_recovered_and_retried(void **state)
{
        Queue *q = *state;
        QueueRequest r = { .subsystem = "a",
                           .task_type = "x",
                           .priority = 5,
                           .task_type_max = 1,
                           .created_boottime = START };
        QueueEntry running = { 0 }, more = { 0 }, waiting = { 0 };

        assert_int_equal(queue_enter(q, &running, &r), 0);
        queue_started(q, &running);
        assert_int_equal(queue_enter(q, &more, &r), 0);
        queue_started(q, &more); /* over the limit: so it is */
        r.created_boottime = START + 1;
        enter(q, &waiting, &r);
        assert_null(queue_next(q));
        queue_leave(q, &more);
        assert_null(queue_next(q));

        queue_park(q, &running);
        assert_int_equal(queue_ready(q, &running), 0);
        assert_ptr_equal(queue_next(q), &running);
        queue_park(q, &running); /* backs off: it is the other's turn */
        assert_ptr_equal(queue_next(q), &waiting);
        assert_int_equal(queue_ready(q, &running), 0);
        assert_null(queue_next(q));

        queue_leave(q, &running);
        queue_leave(q, &waiting);
        queue_leave(q, &waiting); /* it is out: nothing happens */
}

/* ---- beside a model ---- */

#define ENTRIES 200
#define ACTS    20000

typedef struct Model {
        QueueEntry entry;
        QueueRequest request;
        QueueState state;
        uint64_t serial;
} Model;

static bool runs_with(const Model *a, const Model *b, bool same_type)
{
        return b->state == QUEUE_RUNNING && streq(a->request.subsystem, b->request.subsystem) &&
               (!same_type || streq(a->request.task_type, b->request.task_type));
}

static bool has_room(const Model *all, const Model *m, unsigned max)
{
        unsigned type = 0, subsystem = 0, any = 0;

        for (size_t i = 0; i < ENTRIES; i++) {
                type += runs_with(m, all + i, true);
                subsystem += runs_with(m, all + i, false);
                any += all[i].state == QUEUE_RUNNING;
        }
        return type < m->request.task_type_max && subsystem < m->request.subsystem_max && any < max;
}

static int64_t model_key(const Model *m)
{
        return m->request.created_boottime - m->request.priority * (int64_t)QUEUE_AGING_USEC;
}

static Model *model_next(Model *all, unsigned max)
{
        Model *best = NULL;

        for (Model *m = all; m < all + ENTRIES; m++) {
                if (m->state != QUEUE_WAITING || !has_room(all, m, max))
                        continue;
                if (!best || model_key(m) < model_key(best) ||
                    (model_key(m) == model_key(best) && m->serial < best->serial))
                        best = m;
        }
        return best;
}

static void model_enter(Queue *q, Model *m, uint64_t serial)
{
        static const char *const names[] = { "a", "b", "c", "d", "e" };
        int k = rand() % 5, t = rand() % 5;

        m->request = (QueueRequest){
                .subsystem = names[k],
                .task_type = names[t],
                .priority = 1 + rand() % 10,
                .created_boottime = START + (usec_t)(rand() % 100) * USEC_PER_MINUTE,
                .task_type_max = 1 + (unsigned)t,
                .subsystem_max = 3 + (unsigned)k,
        };
        m->serial = serial;
        m->state = QUEUE_PARKED;
        assert_int_equal(queue_enter(q, &m->entry, &m->request), 0);
}

/* One random act on one random entry. */
static void model_act(Queue *q, Model *m, uint64_t serial)
{
        int act = rand() % 4;

        if (m->state == QUEUE_OUT)
                model_enter(q, m, serial);
        else if (act == 0) {
                queue_leave(q, &m->entry);
                m->state = QUEUE_OUT;
        } else if (m->state == QUEUE_PARKED && rand() % 50 == 0) {
                queue_started(q, &m->entry);
                m->state = QUEUE_RUNNING;
        } else if (m->state == QUEUE_PARKED) {
                assert_int_equal(queue_ready(q, &m->entry), 0);
                m->state = QUEUE_WAITING;
        } else if (act == 1) {
                queue_park(q, &m->entry);
                m->state = QUEUE_PARKED;
        }
}

static size_t model_ahead(const Model *all, const Model *m, QueueLimit limit)
{
        size_t n = 0;

        for (const Model *o = all; o < all + ENTRIES; o++) {
                if (o->state != QUEUE_WAITING)
                        continue;
                bool wants = limit == QUEUE_LIMIT_ALL || streq(o->request.subsystem, m->request.subsystem);
                wants &= limit != QUEUE_LIMIT_TASK_TYPE || streq(o->request.task_type, m->request.task_type);
                n += wants && (model_key(o) < model_key(m) ||
                               (model_key(o) == model_key(m) && o->serial < m->serial));
        }
        return n;
}

/* What each waiting entry is told, counted or ranked; and who runs in the slots that it wants. */
static void check_positions(Queue *q, const Model *all)
{
        QueueEntry *running[ENTRIES];
        QueuePosition counted, ranked;

        for (const Model *m = all; m < all + ENTRIES; m++) {
                if (m->state != QUEUE_WAITING)
                        continue;
                queue_position(q, &m->entry, &counted);
                if (counted.limit == QUEUE_LIMIT_NONE)
                        continue;
                assert_int_equal(counted.ahead, model_ahead(all, m, counted.limit));
                assert_int_equal(queue_running_with(q, &m->entry, counted.limit, running, ENTRIES),
                                 counted.running);
                assert_int_equal(queue_running_with(q, &m->entry, counted.limit, running, 1), 1);
                assert_int_equal(running[0]->state, QUEUE_RUNNING);
        }
        queue_rank(q);
        for (const Model *m = all; m < all + ENTRIES; m++) {
                if (m->state != QUEUE_WAITING)
                        continue;
                queue_position(q, &m->entry, &ranked);
                if (ranked.limit != QUEUE_LIMIT_NONE)
                        assert_int_equal(ranked.ahead, model_ahead(all, m, ranked.limit));
        }
}

static void test_as_the_model(void **state)
{
        Queue *q = *state;
        Model *all = NEW0(Model, ENTRIES);
        size_t started = 0;

        assert_non_null(all);
        srand(20261123);
        queue_set_max(q, 12);
        for (unsigned i = 0; i < ACTS; i++) {
                model_act(q, all + rand() % ENTRIES, i);
                if (rand() % 500 == 0)
                        check_positions(q, all);
                if (rand() % 3)
                        continue;
                Model *expected = model_next(all, 12);
                QueueEntry *got = queue_next(q);
                if (got != (expected ? &expected->entry : NULL))
                        fail_msg("act %u: the model starts entry %td, the queue another", i,
                                 expected ? expected - all : -1);
                if (expected) {
                        expected->state = QUEUE_RUNNING;
                        started++;
                }
        }
        assert_true(started > ACTS / 50);
        for (size_t i = 0; i < ENTRIES; i++)
                queue_leave(q, &all[i].entry);
        assert_int_equal(queue_n_waiting(q), 0);
        assert_int_equal(queue_n_running(q), 0);
        free(all);
}

/* Ten thousand types in a subsystem that runs one at a time: what a slot costs does not depend on them (it took 16 s of CPU when it did). */
static void test_many_types(void **state)
{
        const size_t n = 10000;
        Queue *q = *state;
        QueueEntry *all = NEW0(QueueEntry, n), *running = NULL;
        char type[16];

        assert_non_null(all);
        for (size_t i = 0; i < n; i++) {
                snprintf(type, sizeof(type), "type%zu", i);
                enter(q, all + i,
                      &(QueueRequest){ .subsystem = "a",
                                       .task_type = type,
                                       .priority = 5,
                                       .subsystem_max = 1,
                                       .created_boottime = START + i });
        }
        for (size_t i = 0; i < n; i++) {
                assert_ptr_equal(running = queue_next(q), all + i);
                assert_null(queue_next(q));
                queue_leave(q, running);
        }
        assert_int_equal(queue_n_waiting(q), 0);
        free(all);
}

/* ---- pauses ---- */

static void test_backoff(void **state _unused_)
{
        const usec_t second = USEC_PER_SEC;

        assert_int_equal(backoff_pause(5 * second, 60 * second, 2, 0), 5 * second);
        assert_int_equal(backoff_pause(5 * second, 60 * second, 3, 0), 10 * second);
        assert_int_equal(backoff_pause(5 * second, 60 * second, 5, 0), 40 * second);
        assert_int_equal(backoff_pause(5 * second, 60 * second, 6, 0), 60 * second);
        assert_int_equal(backoff_pause(5 * second, 60 * second, 1000, 0), 60 * second);
        assert_int_equal(backoff_pause(5 * second, 60 * second, 2, UINT32_MAX), 5 * second * 3 / 4);
        assert_int_equal(backoff_pause(60 * second, 5 * second, 2, 0), 5 * second);
        assert_int_equal(backoff_pause(0, 60 * second, 9, UINT32_MAX), 0);
        assert_int_equal(backoff_pause(1, USEC_INFINITY, 500, 0), USEC_INFINITY);
        for (uint32_t random = 0; random < UINT32_MAX - 1000000; random += 1000000) {
                usec_t pause = backoff_pause(4 * second, 60 * second, 2, random);
                assert_true(pause >= 3 * second && pause <= 4 * second);
        }
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test_setup_teardown(test_priority_then_age, setup, teardown),
                cmocka_unit_test_setup_teardown(test_nothing_starves, setup, teardown),
                cmocka_unit_test_setup_teardown(test_limits, setup, teardown),
                cmocka_unit_test_setup_teardown(test_recovered_and_retried, setup, teardown),
                cmocka_unit_test_setup_teardown(test_as_the_model, setup, teardown),
                cmocka_unit_test_setup_teardown(test_many_types, setup, teardown),
                cmocka_unit_test(test_backoff),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
