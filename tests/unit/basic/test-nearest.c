/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* "Did you mean ...?": what is near, and what is not. */

#include "basic/nearest.h"

#include <string.h>

#include "tests/unit/test.h"

static const char *nearest(const char *wanted)
{
        static const char *const names[] = { "MemoryMax", "MemoryMin", "list", "logs", "signal", "ab" };
        Nearest n;

        nearest_init(&n, wanted);
        for (size_t i = 0; i < ELEMENTSOF(names); i++)
                nearest_offer(&n, names[i]);
        return n.best;
}

static void test_near(void **state _unused_)
{
        static const struct {
                const char *wanted, *best;
        } cases[] = {
                { "MemryMax", "MemoryMax" },
                { "MemoryMaxx", "MemoryMax" },
                { "memorymin", "MemoryMin" },
                { "MemoryMix", "MemoryMax" },
                { "lits", "list" },
                { "singal", "signal" },
                { "log", "logs" },
                { "List", "list" },
        };

        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                const char *best = nearest(cases[i].wanted);
                if (!best || strcmp(best, cases[i].best) != 0)
                        fail_msg("'%s': got %s, expected %s", cases[i].wanted, best ?: "nothing",
                                 cases[i].best);
        }
}

static void test_not_near(void **state _unused_)
{
        static const char *const far[] = { "", "x", "ba!", "completely", "LIST", "lo", "MemoryMemoryMax" };
        char long_name[200];

        for (size_t i = 0; i < ELEMENTSOF(far); i++)
                if (nearest(far[i]))
                        fail_msg("'%s': got %s, expected nothing", far[i], nearest(far[i]));
        memset(long_name, 'l', sizeof(long_name) - 1);
        long_name[sizeof(long_name) - 1] = '\0';
        assert_null(nearest(long_name));
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_near),
                cmocka_unit_test(test_not_near),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
