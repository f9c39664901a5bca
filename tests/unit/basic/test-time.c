/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Times: conversions, arithmetic that stops at its ends, and what people read. */

#include "basic/time.h"

#include <stdlib.h>

#include "tests/unit/test.h"

static void test_conversions(void **state _unused_)
{
        struct timespec ts = usec_to_timespec(1500001);
        struct timeval tv = { .tv_sec = 3, .tv_usec = 4 };

        assert_int_equal(ts.tv_sec, 1);
        assert_int_equal(ts.tv_nsec, 500001000);
        assert_int_equal(usec_from_timespec(&ts), 1500001);
        ts.tv_nsec = 999;
        assert_int_equal(usec_from_timespec(&ts), USEC_PER_SEC);
        assert_int_equal(usec_from_timeval(&tv), 3000004);
        assert_int_equal(USEC_PER_DAY, 86400000000);
}

static void test_arithmetic(void **state _unused_)
{
        assert_int_equal(usec_add(1, 2), 3);
        assert_true(usec_add(USEC_INFINITY, 1) == USEC_INFINITY);
        assert_true(usec_add(USEC_INFINITY - 1, 1) == USEC_INFINITY);
        assert_true(usec_add(USEC_INFINITY - 1, 2) == USEC_INFINITY);
        assert_true(usec_add(USEC_INFINITY, USEC_INFINITY) == USEC_INFINITY);
        assert_int_equal(usec_sub(5, 3), 2);
        assert_int_equal(usec_sub(3, 5), 0);
        assert_int_equal(usec_sub(0, USEC_INFINITY), 0);
}

static void test_span(void **state _unused_)
{
        static const struct {
                usec_t span;
                const char *text;
        } cases[] = {
                { 0, "0us" },
                { 999, "999us" },
                { USEC_PER_MSEC, "1ms" },
                { 350 * USEC_PER_MSEC, "350ms" },
                { 999999, "999ms" },
                { USEC_PER_SEC, "1.0s" },
                { 12345678, "12.3s" },
                { 59999999, "59.9s" },
                { USEC_PER_MINUTE, "1min 0s" },
                { 4 * USEC_PER_MINUTE + 5 * USEC_PER_SEC, "4min 5s" },
                { USEC_PER_HOUR - 1, "59min 59s" },
                { 2 * USEC_PER_HOUR + 10 * USEC_PER_MINUTE, "2h 10min" },
                { 3 * USEC_PER_DAY + 4 * USEC_PER_HOUR, "3d 4h" },
                { USEC_INFINITY, "infinity" },
        };
        char text[32], tiny[4];

        for (size_t i = 0; i < ELEMENTSOF(cases); i++)
                assert_string_equal(usec_format_span(cases[i].span, text, sizeof(text)), cases[i].text);
        assert_string_equal(usec_format_span(USEC_INFINITY, tiny, sizeof(tiny)),
                            "inf"); /* cut, terminated */
        assert_ptr_equal(usec_format_span(USEC_INFINITY - 1, text, sizeof(text)), text);
}

static void test_realtime(void **state _unused_)
{
        char text[32], tiny[4];

        assert_string_equal(usec_format_realtime(1700000000 * USEC_PER_SEC + 999999, text, sizeof(text)),
                            "2023-11-14 22:13:20");
        assert_string_equal(usec_format_realtime(0, text, sizeof(text)), "-");
        assert_string_equal(usec_format_realtime(USEC_INFINITY, text, sizeof(text)), "-");
        assert_string_equal(usec_format_realtime(USEC_PER_SEC, tiny, sizeof(tiny)), "-"); /* no room */
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_conversions),
                cmocka_unit_test(test_arithmetic),
                cmocka_unit_test(test_span),
                cmocka_unit_test(test_realtime),
        };
        setenv("TZ", "UTC", 1);
        return cmocka_run_group_tests(tests, NULL, NULL);
}
