/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Limits into settings, on a host that has every controller. */

#include "launcher/limits.h"

#include <errno.h>
#include <string.h>

#include "common/cgroup/cgroup.h"
#include "tests/unit/test.h"

#define ALL ((UINT32_C(1) << _CGROUP_CONTROLLER_MAX) - 1)

static void test_settings(void **state)
{
        static const SpecLimit author[] = {
                { "MemoryMax", "1000" },
                { "IOReadBandwidthMax", "8:0 500" },
                { "IOWriteBandwidthMax", "8:0 500" },
                { "IOReadBandwidthMax", "8:16 500" },
                { "AllowedCPUs", "0-3" },
        };
        static const SpecLimit added[] = {
                { "MemoryMax", "infinity" },
                { "IOReadBandwidthMax", "8:0 100" },
                { "TasksMax", "5" },
                { "AllowedCPUs", "0-3" },
        };
        static const struct {
                const char *name, *text;
        } expected[] = {
                { "MemoryMax", "1000" },
                { "IOReadBandwidthMax", "8:0 rbps=100" },
                { "IOWriteBandwidthMax", "8:0 wbps=500" },
                { "IOReadBandwidthMax", "8:16 rbps=500" },
                { "AllowedCPUs", "0-3" },
                { "TasksMax", "5" },
        };
        char text[LIMIT_TEXT_SIZE];
        LimitSettings s = { 0 };
        ReeveError e = REEVE_ERROR_NULL;

        assert_ok(limits_resolve(&s, author, ELEMENTSOF(author), ALL, &e), e);
        assert_ok(limits_resolve(&s, added, ELEMENTSOF(added), ALL, &e), e);
        assert_int_equal(s.n, ELEMENTSOF(expected));
        for (size_t i = 0; i < s.n; i++) {
                assert_string_equal(s.items[i].kind->name, expected[i].name);
                assert_string_equal(limit_format(s.items[i].kind, &s.items[i].value, text),
                                    expected[i].text);
        }
}

static void test_refused(void **state)
{
        static const SpecLimit bad[] = {
                { "NoSuchLimit", "1" },
                { "MemoryMax", "1K" },
                { "IOReadIOPSMax", "/dev/sda 1" },
        };
        static const SpecLimit lists[] = { { "AllowedCPUs", "0" }, { "AllowedCPUs", "1" } };
        LimitSettings s = { 0 };
        ReeveError e;

        for (size_t i = 0; i < ELEMENTSOF(bad); i++)
                assert_error(limits_resolve(&s, bad + i, 1, ALL, &e), e, REEVE_ERROR_INVALID_ARGUMENT,
                             bad[i].name);
        assert_int_equal(s.n, 0);
        assert_error(limits_resolve(&s, lists, 2, ALL, &e), e, REEVE_ERROR_INVALID_ARGUMENT, "AllowedCPUs");
}

/* What the host cannot enforce is refused by name, and says which controller it lacks. */
static void test_lacking(void **state)
{
        static const SpecLimit limit = { "TasksMax", "1" };
        LimitSettings s = { 0 };
        ReeveError e;

        assert_error(limits_resolve(&s, &limit, 1, ALL & ~(UINT32_C(1) << CGROUP_PIDS), &e), e,
                     REEVE_ERROR_INVALID_ARGUMENT, "TasksMax");
        assert_non_null(strstr(e.text, "pids"));
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_settings),
                cmocka_unit_test(test_refused),
                cmocka_unit_test(test_lacking),
        };

        return cmocka_run_group_tests_name("launcher-limits", tests, NULL, NULL);
}
