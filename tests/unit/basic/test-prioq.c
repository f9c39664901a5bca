/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The priority queue: against a scan over all elements as the model, under every mix of acts, with equal keys, and that an
 * act costs a logarithm of comparisons and not a walk. */

#include "basic/prioq.h"

#include <limits.h>

#include "tests/unit/test.h"

#define MANY 10000

typedef struct Item {
        unsigned key;
        size_t index;
} Item;

static unsigned n_compared;

static int compare(const void *a, const void *b)
{
        const Item *x = a, *y = b;

        n_compared++;
        return x->key < y->key ? -1 : x->key > y->key;
}

/* Every test gets the same numbers each time it runs. */
static unsigned next_random(unsigned *seed)
{
        *seed = *seed * 1103515245 + 12345;
        return *seed >> 8;
}

static Item *make_items(size_t n)
{
        Item *items = NEW0(Item, n);
        assert_non_null(items);
        for (size_t i = 0; i < n; i++)
                items[i].index = PRIOQ_NONE;
        return items;
}

static void put(Prioq *q, Item *item, unsigned key)
{
        item->key = key;
        assert_int_equal(prioq_put(q, item, &item->index), 0);
}

/* The smallest key of what is in the queue. */
static unsigned smallest(const Item *items, size_t n)
{
        unsigned key = UINT_MAX;

        for (size_t i = 0; i < n; i++)
                if (items[i].index != PRIOQ_NONE)
                        key = MIN(key, items[i].key);
        return key;
}

static void test_empty(void **state _unused_)
{
        _cleanup_(prioq_freep) Prioq *q = prioq_new(compare);
        size_t nowhere = PRIOQ_NONE;

        assert_non_null(q);
        assert_null(prioq_peek(q));
        assert_null(prioq_pop(q));
        assert_int_equal(prioq_size(q), 0);
        assert_false(prioq_remove(q, &nowhere));
        assert_false(prioq_reshuffle(q, &nowhere));
        assert_true(nowhere == PRIOQ_NONE);
        assert_null(prioq_free(NULL));
}

static void test_one(void **state _unused_)
{
        _cleanup_(prioq_freep) Prioq *q = prioq_new(compare);
        Item a = { .index = PRIOQ_NONE };

        put(q, &a, 7);
        assert_ptr_equal(prioq_peek(q), &a);
        assert_int_equal(prioq_size(q), 1);
        assert_true(prioq_reshuffle(q, &a.index));
        assert_true(prioq_remove(q, &a.index));
        assert_true(a.index == PRIOQ_NONE);
        assert_null(prioq_peek(q));
        assert_false(prioq_remove(q, &a.index)); /* again does no harm */
        put(q, &a, 0);
        assert_ptr_equal(prioq_pop(q), &a);
        assert_true(a.index == PRIOQ_NONE);
        assert_int_equal(prioq_size(q), 0);
}

static void pop_all(Prioq *q, size_t n)
{
        unsigned last = 0;

        for (size_t i = 0; i < n; i++) {
                const Item *item = prioq_pop(q);
                assert_non_null(item);
                if (item->key < last)
                        fail_msg("element %zu: key %u after %u", i, item->key, last);
                last = item->key;
        }
        assert_null(prioq_peek(q));
}

static void test_sorts(void **state _unused_)
{
        _cleanup_(prioq_freep) Prioq *q = prioq_new(compare);
        _cleanup_free_ Item *items = make_items(MANY);
        unsigned seed = 1;

        for (unsigned i = 0; i < MANY; i++)
                put(q, items + i, i); /* rising */
        pop_all(q, MANY);
        for (unsigned i = 0; i < MANY; i++)
                put(q, items + i, MANY - i); /* falling */
        pop_all(q, MANY);
        for (unsigned i = 0; i < MANY; i++)
                put(q, items + i, next_random(&seed) % 100); /* many alike */
        pop_all(q, MANY);
}

/* One act on an element, whichever is possible. */
static void act(Prioq *q, Item *item, unsigned choice, unsigned key)
{
        if (item->index == PRIOQ_NONE)
                put(q, item, key);
        else if (choice % 3 == 0)
                assert_true(prioq_remove(q, &item->index));
        else {
                item->key = key;
                assert_true(prioq_reshuffle(q, &item->index));
        }
}

static void test_model(void **state _unused_)
{
        enum { N = 100 };
        _cleanup_(prioq_freep) Prioq *q = prioq_new(compare);
        _cleanup_free_ Item *items = make_items(N);
        unsigned seed = 42;

        for (unsigned step = 0; step < MANY; step++) {
                act(q, items + next_random(&seed) % N, next_random(&seed), next_random(&seed) % 1000);

                size_t n = 0;
                for (size_t i = 0; i < N; i++)
                        n += items[i].index != PRIOQ_NONE;
                assert_int_equal(prioq_size(q), n);
                const Item *first = prioq_peek(q);
                if (n > 0 && (!first || first->key != smallest(items, N)))
                        fail_msg("step %u: first is %u, expected %u", step, first ? first->key : 0,
                                 smallest(items, N));
        }
        pop_all(q, prioq_size(q));
}

/* The last entry takes the place of the removed one and belongs above it: what a heap that only sinks entries gets wrong. */
static void test_remove_moves_up(void **state _unused_)
{
        static const unsigned keys[] = { 0, 10, 1, 11, 12, 2, 3 };
        _cleanup_(prioq_freep) Prioq *q = prioq_new(compare);
        _cleanup_free_ Item *items = make_items(ELEMENTSOF(keys));

        for (size_t i = 0; i < ELEMENTSOF(keys); i++)
                put(q, items + i, keys[i]);
        assert_true(prioq_remove(q, &items[3].index)); /* 3 comes into the place of 11, below 10 */
        pop_all(q, ELEMENTSOF(keys) - 1);
}

/* Two queues that share elements through two fields. */
static void test_two_queues(void **state _unused_)
{
        _cleanup_(prioq_freep) Prioq *a = prioq_new(compare), *b = prioq_new(compare);
        Item item = { .key = 1, .index = PRIOQ_NONE };
        size_t other = PRIOQ_NONE;

        assert_int_equal(prioq_put(a, &item, &item.index), 0);
        assert_int_equal(prioq_put(b, &item, &other), 0);
        assert_true(prioq_remove(a, &item.index));
        assert_null(prioq_peek(a));
        assert_ptr_equal(prioq_pop(b), &item);
        assert_true(other == PRIOQ_NONE);
}

static void test_cost(void **state _unused_)
{
        _cleanup_(prioq_freep) Prioq *q = prioq_new(compare);
        _cleanup_free_ Item *items = make_items(MANY);
        unsigned seed = 3, worst = 0;

        for (size_t i = 0; i < MANY; i++)
                put(q, items + i, next_random(&seed));
        for (size_t i = 0; i < MANY; i++) {
                n_compared = 0;
                items[i].key = next_random(&seed);
                assert_true(prioq_reshuffle(q, &items[i].index));
                worst = MAX(worst, n_compared);
        }
        for (size_t i = 0; i < MANY; i++) {
                n_compared = 0;
                assert_true(prioq_remove(q, &items[i].index));
                worst = MAX(worst, n_compared);
        }
        /* The heap is 14 deep, and each step down looks at two children. */
        assert_in_range(worst, 1, 2 * 14 + 1);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_empty),      cmocka_unit_test(test_one),
                cmocka_unit_test(test_sorts),      cmocka_unit_test(test_model),
                cmocka_unit_test(test_two_queues), cmocka_unit_test(test_remove_moves_up),
                cmocka_unit_test(test_cost),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
