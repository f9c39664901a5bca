/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Numbers and units: what is accepted, what is refused, and with which errno. */

#include "basic/parse.h"

#include <errno.h>
#include <signal.h>

#include "tests/unit/test.h"

static void test_u64(void **state _unused_)
{
        uint64_t v = 7;

        assert_int_equal(parse_u64("0", &v), 0);
        assert_int_equal(v, 0);
        assert_int_equal(parse_u64("18446744073709551615", &v), 0);
        assert_true(v == UINT64_MAX);
        v = 7;
        assert_int_equal(parse_u64("18446744073709551616", &v), -ERANGE);
        static const char *const bad[] = { "", " 1", "1 ", "-1", "+1", "0x10", "1.5", "one" };
        for (size_t i = 0; i < ELEMENTSOF(bad); i++)
                assert_errno(parse_u64(bad[i], &v), -EINVAL, bad[i]);
        assert_int_equal(v, 7);
}

static void test_i64(void **state _unused_)
{
        int64_t v;

        assert_int_equal(parse_i64("-9223372036854775808", &v), 0);
        assert_true(v == INT64_MIN);
        assert_int_equal(parse_i64("9223372036854775808", &v), -ERANGE);
        assert_int_equal(parse_i64("--1", &v), -EINVAL);
}

static void test_bytes(void **state _unused_)
{
        static const struct {
                const char *text;
                uint64_t bytes;
        } good[] = {
                { "0", 0 },
                { "512", 512 },
                { "512B", 512 },
                { "1K", 1024 },
                { "1.5K", 1536 },
                { "64M", 64ULL << 20 },
                { "2G", 2ULL << 30 },
                { "1T", 1ULL << 40 },
                { "0.5MB", 512 << 10 },
                { "15E", 15ULL << 60 },
                { "infinity", UINT64_MAX },
        };
        static const char *const bad[] = { "", "K", "1KK", "1k", "-1", "1 K", "1.K", ".5K", "1KiB" };
        uint64_t v;

        for (size_t i = 0; i < ELEMENTSOF(good); i++) {
                assert_errno(parse_bytes(good[i].text, &v), 0, good[i].text);
                assert_int_equal(v, good[i].bytes);
        }
        for (size_t i = 0; i < ELEMENTSOF(bad); i++)
                assert_errno(parse_bytes(bad[i], &v), -EINVAL, bad[i]);
        assert_int_equal(parse_bytes("16E", &v), -ERANGE);
        assert_int_equal(parse_bytes("99999999999G", &v), -ERANGE);
}

static void test_span(void **state _unused_)
{
        static const struct {
                const char *text;
                usec_t span;
        } good[] = {
                { "30", 30 * USEC_PER_SEC },      { "0.1s", 100 * USEC_PER_MSEC },
                { "500ms", 500 * USEC_PER_MSEC }, { "2h 30min", 150 * USEC_PER_MINUTE },
                { "1d12h", 36 * USEC_PER_HOUR },  { "2weeks", 14 * USEC_PER_DAY },
                { "infinity", USEC_INFINITY },
        };
        static const char *const bad[] = { "", "s", "5x", "-5s", "5 ", "5s,6s", "1h  2s", "5mss" };
        usec_t v;

        for (size_t i = 0; i < ELEMENTSOF(good); i++) {
                assert_errno(parse_span(good[i].text, &v), 0, good[i].text);
                assert_int_equal(v, good[i].span);
        }
        for (size_t i = 0; i < ELEMENTSOF(bad); i++)
                assert_errno(parse_span(bad[i], &v), -EINVAL, bad[i]);
        assert_int_equal(parse_span("99999999999d", &v), -ERANGE);
}

static void test_permyriad(void **state _unused_)
{
        uint32_t v;

        assert_int_equal(parse_permyriad("80%", &v), 0);
        assert_int_equal(v, 8000);
        assert_int_equal(parse_permyriad("12.5%", &v), 0);
        assert_int_equal(v, 1250);
        assert_int_equal(parse_permyriad("200%", &v), 0);
        assert_int_equal(v, 20000);
        assert_int_equal(parse_permyriad("80", &v), -EINVAL);
        assert_int_equal(parse_permyriad("99999999999%", &v), -ERANGE);
}

static void test_bool_mode_signal(void **state _unused_)
{
        char buffer[SIGNAL_NAME_MAX];
        bool b;
        mode_t m;
        int s;

        assert_int_equal(parse_bool("Yes", &b), 0);
        assert_true(b);
        assert_int_equal(parse_bool("off", &b), 0);
        assert_false(b);
        assert_int_equal(parse_bool("maybe", &b), -EINVAL);

        assert_int_equal(parse_mode("0640", &m), 0);
        assert_int_equal(m, 0640);
        assert_int_equal(parse_mode("8", &m), -EINVAL);
        assert_int_equal(parse_mode("10000", &m), -ERANGE);

        assert_int_equal(parse_signal("TERM", &s), 0);
        assert_int_equal(s, SIGTERM);
        assert_int_equal(parse_signal("SIGKILL", &s), 0);
        assert_int_equal(s, SIGKILL);
        assert_int_equal(parse_signal("15", &s), 0);
        assert_int_equal(s, 15);
        assert_int_equal(parse_signal("RTMIN+3", &s), 0);
        assert_int_equal(s, SIGRTMIN + 3);
        assert_string_equal(signal_name(s, buffer), "RTMIN+3");
        assert_string_equal(signal_name(SIGTERM, buffer), "TERM");
        assert_int_equal(parse_signal("0", &s), -ERANGE);
        assert_int_equal(parse_signal("term", &s), -EINVAL);
}

static void test_hex(void **state _unused_)
{
        static const char *const bad[] = { "", "0", "0a1", "0a1b0", "0a1g", " a1b", "0a 1", "0x1b" };
        uint8_t bytes[2] = { 7, 7 };

        for (size_t i = 0; i < ELEMENTSOF(bad); i++)
                assert_errno(parse_hex(bad[i], bytes, 2), -EINVAL, bad[i]);
        assert_int_equal(bytes[0], 7); /* left alone */
        assert_int_equal(parse_hex("0a1B", bytes, 2), 0);
        assert_int_equal(bytes[0], 0x0a);
        assert_int_equal(bytes[1], 0x1b);
        assert_int_equal(parse_hex("", bytes, 0), 0);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_hex),
                cmocka_unit_test(test_u64),
                cmocka_unit_test(test_i64),
                cmocka_unit_test(test_bytes),
                cmocka_unit_test(test_span),
                cmocka_unit_test(test_permyriad),
                cmocka_unit_test(test_bool_mode_signal),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
