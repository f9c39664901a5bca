/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The checker of state tables finds each mistake that it is there to find. */

#include "common/sm.h"

#include <string.h>

#include "tests/unit/test.h"

/* start -> work -> done, and back from work to start. */
static const SmState good[] = {
        { "start", SM_BIT(1), SM_INITIAL },
        { "work", SM_BIT(0) | SM_BIT(2), 0 },
        { "done", 0, SM_FINAL },
};

static const char *check(const SmState *states, unsigned n)
{
        return sm_check(&(SmTable){ .name = "test", .states = states, .n_states = n });
}

static void test_good(void **state _unused_)
{
        const SmTable t = { .name = "test", .states = good, .n_states = ELEMENTSOF(good) };

        assert_null(sm_check(&t));
        assert_true(sm_may(&t, 0, 1));
        assert_true(sm_may(&t, 1, 0));
        assert_false(sm_may(&t, 0, 2));
        assert_false(sm_may(&t, 0, 0));
        assert_false(sm_may(&t, 2, 1));
        assert_int_equal(sm_from_name(&t, "work"), 1);
        assert_int_equal(sm_from_name(&t, "wor"), -1);
        assert_int_equal(sm_from_name(&t, ""), -1);
}

/* A copy of the good table with one state replaced must be refused for this reason. */
static void expect(unsigned i, SmState s, const char *reason)
{
        SmState states[ELEMENTSOF(good)];

        memcpy(states, good, sizeof(good));
        states[i] = s;
        const char *problem = check(states, ELEMENTSOF(states));
        if (!problem)
                fail_msg("'%s' was not found", reason);
        assert_non_null(strstr(problem, reason));
}

static void test_mistakes(void **state _unused_)
{
        expect(1, (SmState){ NULL, SM_BIT(2), 0 }, "no name");
        expect(1, (SmState){ "start", SM_BIT(2), 0 }, "same name");
        expect(2, (SmState){ "done", SM_BIT(0), SM_FINAL }, "follows a final state");
        expect(2, (SmState){ "done", 0, 0 }, "nothing follows");
        expect(1, (SmState){ "work", SM_BIT(2) | SM_BIT(3), 0 }, "not in the table");
        expect(1, (SmState){ "work", SM_BIT(0), 0 }, "cannot be reached");
        expect(0, (SmState){ "start", SM_BIT(1), 0 }, "cannot be reached"); /* no initial state */
        assert_non_null(check(good, 0));
        assert_non_null(check(good, 33));
}

/* The widest table: bit 31 is used, nothing is shifted by 32. */
static void test_widest(void **state _unused_)
{
        static char names[32][4];
        SmState states[32];

        for (unsigned i = 0; i < 32; i++) {
                snprintf(names[i], sizeof(names[i]), "s%u", i);
                states[i] = (SmState){ names[i], i < 31 ? SM_BIT(i + 1) : 0,
                                       i == 0    ? SM_INITIAL
                                       : i == 31 ? SM_FINAL
                                                 : 0 };
        }
        assert_null(check(states, 32));
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_good),
                cmocka_unit_test(test_mistakes),
                cmocka_unit_test(test_widest),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
