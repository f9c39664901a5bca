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

/* What takes from others in a scope is root's, whoever wrote it down; what would have no effect is nobody's. */
static void test_scope(void **state)
{
        static const struct {
                SpecLimit limit, property;
                uint32_t controllers;
                uid_t author;
                int result;
                const char *field;
        } cases[] = {
                { { "CPUWeight", "100" }, { NULL, NULL }, ALL, 1000, 0, "" },
                { { "CPUWeight", "101" }, { NULL, NULL }, ALL, 1000, -EPERM, "CPUWeight" },
                { { "CPUWeight", "101" }, { NULL, NULL }, ALL, 0, 0, "" },
                { { "MemoryMin", "1" }, { NULL, NULL }, ALL, 1000, -EPERM, "MemoryMin" },
                { { NULL, NULL }, { "MemoryZSwapMax", "1" }, ALL, 1000, 0, "" },
                { { NULL, NULL }, { "MemoryZSwapMax", "1" }, 0, 1000, -EINVAL, "MemoryZSwapMax" },
                { { NULL, NULL }, { "StartupAllowedCPUs", "1" }, 0, 0, -EINVAL, "StartupAllowedCPUs" },
                { { NULL, NULL }, { "IODeviceWeight", "0:0 1" }, ALL, 0, -EINVAL, "IODeviceWeight" },
                { { "IOReadIOPSMax", "0:0 1" }, { NULL, NULL }, ALL, 0, -EINVAL, "IOReadIOPSMax" },
                { { NULL, NULL }, { "IPAddressDeny", "::/0" }, 0, 1000, 0, "" },
        };

        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                Spec spec = { .properties = { cases[i].property },
                              .n_properties = !!cases[i].property.name };
                ReeveError e = REEVE_ERROR_NULL;
                LimitSettings s = { 0 };

                assert_ok(limits_resolve(&s, &cases[i].limit, !!cases[i].limit.name, ALL, &e), e);
                int r = limits_check_scope(&s, &spec, cases[i].author, cases[i].controllers, &e);
                assert_errno(r, cases[i].result, cases[i].field);
                assert_string_equal(e.field, cases[i].field);
        }
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_settings),
                cmocka_unit_test(test_scope),
                cmocka_unit_test(test_refused),
                cmocka_unit_test(test_lacking),
        };

        return cmocka_run_group_tests_name("launcher-limits", tests, NULL, NULL);
}
