/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The clock seam: the system's clock goes on, the fake one only when it is told to. */

#include "common/clock.h"

#include "tests/unit/test.h"

static void test_system(void **state _unused_)
{
        const Clock *c = clock_system();
        usec_t boottime = clock_boottime(c), realtime = clock_realtime(c);

        assert_ptr_equal(c, clock_system());
        assert_true(boottime > 0);
        assert_true(clock_boottime(c) >= boottime);
        assert_true(realtime > 1600000000 * USEC_PER_SEC); /* 2020 */
}

static void test_fake(void **state _unused_)
{
        FakeClock f;

        fake_clock_init(&f, 100, 7);
        assert_int_equal(clock_realtime(&f.clock), 100);
        assert_int_equal(clock_boottime(&f.clock), 7);
        assert_int_equal(clock_boottime(&f.clock), 7);
        fake_clock_advance(&f, 5);
        assert_int_equal(clock_realtime(&f.clock), 105);
        assert_int_equal(clock_boottime(&f.clock), 12);
        f.now_realtime = 50; /* somebody set the wall clock back */
        assert_int_equal(clock_realtime(&f.clock), 50);
        assert_int_equal(clock_boottime(&f.clock), 12);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_system),
                cmocka_unit_test(test_fake),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
