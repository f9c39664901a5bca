/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Canonical values of limits: what is one, what is none, and what the kernel gets. */

#include "common/limit/limit.h"

#include <errno.h>
#include <string.h>

#include "tests/unit/test.h"

static void test_text(void **state _unused_)
{
        static const struct {
                const char *name, *value, *text;
        } cases[] = {
                { "MemoryMax", "1000", "1000" },
                { "MemoryMax", "0", "0" },
                { "MemorySwapMax", "infinity", "max" },
                { "TasksMax", "18446744073709551614", "18446744073709551614" },
                { "CPUWeight", "1", "1" },
                { "IOWeight", "10000", "default 10000" },
                { "CPUQuota", "20000", "200000 100000" },
                { "CPUQuota", "100", "1000 100000" },
                { "CPUQuota", "99", "9900 1000000" },
                { "CPUQuota", "10", "1000 1000000" },
                { "CPUQuota", "infinity", "max" },
                { "CPUQuota", "18446744073709551614", "42949672950 100000" },
                { "IOReadBandwidthMax", "8:0 1048576", "8:0 rbps=1048576" },
                { "IOWriteIOPSMax", "259:1048575 infinity", "259:1048575 wiops=max" },
                { "AllowedCPUs", "0-3,5", "0-3,5" },
        };
        char text[LIMIT_TEXT_SIZE];
        LimitValue v;

        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                const LimitKind *k = limit_kind_find(cases[i].name);

                assert_non_null(k);
                assert_errno(limit_parse(k, cases[i].value, &v), 0, cases[i].value);
                assert_string_equal(limit_format(k, &v, text), cases[i].text);
        }
}

static void test_bad(void **state _unused_)
{
        static const struct {
                const char *name, *value;
                int error;
        } cases[] = {
                { "MemoryMax", "", -EINVAL },
                { "MemoryMax", "1K", -EINVAL },
                { "MemoryMax", "-1", -EINVAL },
                { "MemoryMax", "max", -EINVAL },
                { "MemoryMax", "99999999999999999999999", -ERANGE },
                { "CPUWeight", "0", -ERANGE },
                { "CPUWeight", "10001", -ERANGE },
                { "CPUWeight", "infinity", -EINVAL },
                { "CPUQuota", "9", -ERANGE },
                { "CPUQuota", "50%", -EINVAL },
                { "AllowedCPUs", "", -EINVAL },
                { "AllowedCPUs", "0;1", -EINVAL },
                { "AllowedCPUs", "0\n1", -EINVAL },
                { "IOReadIOPSMax", " 5", -EINVAL },
                { "IOReadIOPSMax", "8:0", -EINVAL },
                { "IOReadIOPSMax", "8:0 ", -EINVAL },
                { "IOReadIOPSMax", "8:0 x", -EINVAL },
                { "IOReadIOPSMax", "8:0  1", -EINVAL },
                { "IOReadIOPSMax", "/dev/sda 1", -EINVAL },
                { "IOReadIOPSMax", "100000000000:00000000000 1", -EINVAL },
        };
        char list[200];
        LimitValue v;

        for (size_t i = 0; i < ELEMENTSOF(cases); i++)
                assert_errno(limit_parse(limit_kind_find(cases[i].name), cases[i].value, &v), cases[i].error,
                             cases[i].value);
        memset(list, '1', sizeof(list));
        list[sizeof(v.list)] = '\0';
        assert_errno(limit_parse(limit_kind_find("AllowedCPUs"), list, &v), -EINVAL, list);
        list[sizeof(v.list) - 1] = '\0';
        assert_errno(limit_parse(limit_kind_find("AllowedCPUs"), list, &v), 0, list);
        assert_string_equal(v.list, list);
}

static void test_narrow(void **state _unused_)
{
        LimitValue v = { .amount = UINT64_MAX }, other = { .amount = 5 }, list = { .list = "0" };
        LimitValue device = { .device = "8:0" };

        assert_int_equal(limit_narrow(&v, &other), 0);
        assert_int_equal(v.amount, 5);
        other.amount = 6;
        assert_int_equal(limit_narrow(&v, &other), 0);
        assert_int_equal(v.amount, 5);
        assert_int_equal(limit_narrow(&v, &list), -EINVAL);
        assert_int_equal(limit_narrow(&v, &device), -EINVAL);
        assert_int_equal(v.amount, 5);
}

/* The table is sound: each name once, each place in a file once. */
static void test_table(void **state _unused_)
{
        const LimitKind *k, *other;

        for (size_t i = 0; (k = limit_kind(i)); i++) {
                assert_ptr_equal(limit_kind_find(k->name), k);
                assert_non_null(strstr(k->file, cgroup_controller_name(k->controller)));
                for (size_t j = 0; (other = limit_kind(j)); j++)
                        if (i != j && strcmp(k->file, other->file) == 0)
                                assert_string_not_equal(k->prefix, other->prefix);
        }
        assert_null(limit_kind(SIZE_MAX));
        assert_null(limit_kind_find("memorymax"));
        assert_null(limit_kind_find(""));
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_text),
                cmocka_unit_test(test_bad),
                cmocka_unit_test(test_narrow),
                cmocka_unit_test(test_table),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
