/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The hash table: against a plain array as the model, at a hundred thousand entries, under removal during
 * iteration, and with keys that a weak hash would put into one place. */

#include "basic/hash.h"

#include <errno.h>

#include "basic/strings.h"
#include "tests/unit/test.h"

#define MANY 100000

typedef struct Item {
        char key[16];
        unsigned seen;
} Item;

static Item *make_items(size_t n)
{
        Item *items = NEW0(Item, n);
        assert_non_null(items);
        for (size_t i = 0; i < n; i++)
                snprintf(items[i].key, sizeof(items[i].key), "task-%zu", i);
        return items;
}

static void test_basics(void **state _unused_)
{
        _cleanup_(hash_freep) Hash *h = hash_new();
        char copy[] = "one";
        int a, b;

        assert_int_equal(hash_size(h), 0);
        assert_null(hash_get(h, "one"));
        assert_null(hash_remove(h, "one"));
        assert_int_equal(hash_put(h, "one", &a), 0);
        assert_int_equal(hash_put(h, "two", &b), 0);
        assert_ptr_equal(hash_get(h, copy), &a); /* by content, not by address */
        assert_int_equal(hash_put(h, copy, &b), -EEXIST);
        assert_ptr_equal(hash_get(h, "one"), &a);
        assert_int_equal(hash_size(h), 2);
        assert_ptr_equal(hash_remove(h, "one"), &a);
        assert_null(hash_get(h, "one"));
        assert_int_equal(hash_size(h), 1);
        assert_int_equal(hash_put(h, "one", &b), 0);
        assert_ptr_equal(hash_get(h, "one"), &b);
}

static void test_no_table(void **state _unused_)
{
        size_t cursor = 0;

        assert_null(hash_get(NULL, "x"));
        assert_null(hash_remove(NULL, "x"));
        assert_int_equal(hash_size(NULL), 0);
        assert_null(hash_next(NULL, &cursor));
        assert_null(hash_free(NULL));
        HASH_FOREACH(NULL, Item, item)
                fail_msg("%s from nothing", item->key);
}

static void test_many(void **state _unused_)
{
        _cleanup_(hash_freep) Hash *h = hash_new();
        _cleanup_free_ Item *items = make_items(MANY);

        for (size_t i = 0; i < MANY; i++)
                assert_int_equal(hash_put(h, items[i].key, items + i), 0);
        assert_int_equal(hash_size(h), MANY);
        for (size_t i = 0; i < MANY; i++)
                if (hash_get(h, items[i].key) != items + i)
                        fail_msg("%s is not found", items[i].key);
        assert_null(hash_get(h, "task-100000"));
        assert_null(hash_get(h, "task-"));

        HASH_FOREACH(h, Item, item)
                item->seen++;
        for (size_t i = 0; i < MANY; i++)
                assert_int_equal(items[i].seen, 1);

        for (size_t i = 0; i < MANY; i++)
                assert_ptr_equal(hash_remove(h, items[i].key), items + i);
        assert_int_equal(hash_size(h), 0);
}

/* What stands under the iteration may go; every other entry comes exactly once. */
static void test_remove_while_iterating(void **state _unused_)
{
        _cleanup_(hash_freep) Hash *h = hash_new();
        _cleanup_free_ Item *items = make_items(1000);
        size_t removed = 0;

        for (size_t i = 0; i < 1000; i++)
                assert_int_equal(hash_put(h, items[i].key, items + i), 0);
        HASH_FOREACH(h, Item, item) {
                item->seen++;
                if ((item - items) % 3 == 0) {
                        assert_ptr_equal(hash_remove(h, item->key), item);
                        removed++;
                }
        }
        assert_int_equal(hash_size(h), 1000 - removed);
        for (size_t i = 0; i < 1000; i++) {
                assert_int_equal(items[i].seen, 1);
                assert_ptr_equal(hash_get(h, items[i].key), i % 3 == 0 ? NULL : items + i);
        }

        HASH_FOREACH(h, Item, item)
                hash_remove(h, item->key);
        assert_int_equal(hash_size(h), 0);
}

static void test_break(void **state _unused_)
{
        _cleanup_(hash_freep) Hash *h = hash_new();
        _cleanup_free_ Item *items = make_items(10);
        size_t n = 0;

        for (size_t i = 0; i < 10; i++)
                assert_int_equal(hash_put(h, items[i].key, items + i), 0);
        HASH_FOREACH(h, Item, item) {
                if (!item->key[0])
                        continue;
                if (++n == 3)
                        break;
        }
        assert_int_equal(n, 3);
}

/* A table that lives long and stays small: what was removed must not fill it up. */
static void test_churn(void **state _unused_)
{
        _cleanup_(hash_freep) Hash *h = hash_new();
        _cleanup_free_ Item *items = make_items(MANY);

        for (size_t i = 0; i < MANY; i++) {
                assert_int_equal(hash_put(h, items[i].key, items + i), 0);
                if (i >= 5)
                        assert_ptr_equal(hash_remove(h, items[i - 5].key), items + i - 5);
        }
        assert_int_equal(hash_size(h), 5);
        for (size_t i = MANY - 5; i < MANY; i++)
                assert_ptr_equal(hash_get(h, items[i].key), items + i);
}

static void test_hostile_keys(void **state _unused_)
{
        static const char *const keys[] = { "",        "\xff",     "\x01",      "a",     "aa",
                                            "aaaaaaa", "aaaaaaaa", "aaaaaaaaa", "b",     "ab",
                                            "ba",      "\x80\x80", "%s%n",      "../..", "\n" };
        _cleanup_(hash_freep) Hash *h = hash_new();
        _cleanup_free_ char *huge = malloc(1 << 20);

        memset(huge, 'x', (1 << 20) - 1);
        huge[(1 << 20) - 1] = '\0';
        for (size_t i = 0; i < ELEMENTSOF(keys); i++)
                assert_errno(hash_put(h, keys[i], (void *)keys[i]), 0, keys[i]);
        assert_int_equal(hash_put(h, huge, huge), 0);
        for (size_t i = 0; i < ELEMENTSOF(keys); i++)
                assert_ptr_equal(hash_get(h, keys[i]), keys[i]);
        assert_ptr_equal(hash_get(h, huge), huge);
        assert_ptr_equal(hash_remove(h, ""), keys[0]);
        assert_null(hash_get(h, ""));
        assert_ptr_equal(hash_get(h, "a"), keys[3]);
}

/* Whoever chooses the keys does not know the table's: two tables differ in their order. */
static void test_order_is_secret(void **state _unused_)
{
        _cleanup_(hash_freep) Hash *a = hash_new(), *b = hash_new();
        _cleanup_free_ Item *items = make_items(1000);
        size_t i = 0, j = 0, same = 0;
        Item *x, *y;

        for (size_t k = 0; k < 1000; k++) {
                assert_int_equal(hash_put(a, items[k].key, items + k), 0);
                assert_int_equal(hash_put(b, items[k].key, items + k), 0);
        }
        while ((x = hash_next(a, &i)) && (y = hash_next(b, &j)))
                same += x == y;
        assert_in_range(same, 0, 100);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_basics),       cmocka_unit_test(test_no_table),
                cmocka_unit_test(test_many),         cmocka_unit_test(test_remove_while_iterating),
                cmocka_unit_test(test_break),        cmocka_unit_test(test_churn),
                cmocka_unit_test(test_hostile_keys), cmocka_unit_test(test_order_is_secret),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
