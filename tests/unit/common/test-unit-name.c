/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Names of units: escaped as systemd-escape(1) does, unambiguous, never cut; cgroups of nested slices. */

#include "common/unit-name.h"

#include <errno.h>
#include <string.h>

#include "tests/unit/test.h"

static void test_escape(void **state _unused_)
{
        static const struct {
                const char *text, *expected; /* as systemd-escape 252 prints it */
        } cases[] = {
                { "healing", "healing" },
                { "a-b", "a\\x2db" },
                { "a--", "a\\x2d\\x2d" },
                { "x_Y9", "x_Y9" },
        };
        char text[UNIT_NAME_SIZE], small[7];

        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                assert_int_equal(unit_name_escape(cases[i].text, text, sizeof(text)), 0);
                assert_string_equal(text, cases[i].expected);
        }
        assert_int_equal(unit_name_escape("a-bc", small, sizeof(small)), -ENAMETOOLONG);
        assert_int_equal(unit_name_escape("a-b", small, sizeof(small)), 0);
        assert_string_equal(small, "a\\x2db");
}

/* A subsystem's '-' nests nothing; the prefix's does, which is meant. */
static void test_slices(void **state _unused_)
{
        char name[UNIT_NAME_SIZE], path[512], small[16];

        assert_int_equal(unit_slice_name("reeve", "a-b", name), 0);
        assert_string_equal(name, "reeve-a\\x2db.slice");
        assert_int_equal(unit_slice_path(name, path, sizeof(path)), 0);
        assert_string_equal(path, "reeve.slice/reeve-a\\x2db.slice");

        assert_int_equal(unit_slice_name("reeve-0badcafe", "x", name), 0);
        assert_int_equal(unit_slice_path(name, path, sizeof(path)), 0);
        assert_string_equal(path, "reeve.slice/reeve-0badcafe.slice/reeve-0badcafe-x.slice");

        assert_int_equal(unit_slice_path("system.slice", path, sizeof(path)), 0);
        assert_string_equal(path, "system.slice");
        assert_int_equal(unit_slice_path("system.slice", small, 12), -ENAMETOOLONG);
        assert_int_equal(unit_slice_path("a-b-c.slice", small, sizeof(small)), -ENAMETOOLONG);
}

/* Two tasks, or two instances, have two names. */
static void test_scopes(void **state _unused_)
{
        char one[UNIT_NAME_SIZE], other[UNIT_NAME_SIZE];

        assert_int_equal(unit_scope_name("reeve", "test_check_1", 2, one), 0);
        assert_string_equal(one, "reeve-test_check_1-2.scope");
        assert_int_equal(unit_scope_name("reeve", "a-1", 1, one), 0);
        assert_int_equal(unit_scope_name("reeve", "a", 1, other), 0);
        assert_string_not_equal(one, other);
        assert_int_equal(unit_scope_name("reeve", "abc-x", 1, one), 0);
        assert_int_equal(unit_scope_name("reeve-abc", "x", 1, other), 0);
        assert_string_not_equal(one, other);
}

static void test_too_long(void **state _unused_)
{
        char text[129], name[UNIT_NAME_SIZE];

        memset(text, 'a', sizeof(text) - 1);
        text[sizeof(text) - 1] = '\0';
        assert_int_equal(unit_scope_name("reeve", text, 1000, name), 0);
        memset(text, '-', sizeof(text) - 1);
        assert_int_equal(unit_scope_name("reeve", text, 1, name), -ENAMETOOLONG);
        assert_int_equal(unit_slice_name("reeve", text, name), -ENAMETOOLONG);
        text[60] = '\0';
        assert_int_equal(unit_scope_name("reeve", text, 1, name), 0);
        assert_true(strlen(name) < UNIT_NAME_SIZE);
        text[61] = '\0', text[60] = '-';
        assert_int_equal(unit_scope_name("reeve", text, 1, name), -ENAMETOOLONG);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_escape),
                cmocka_unit_test(test_slices),
                cmocka_unit_test(test_scopes),
                cmocka_unit_test(test_too_long),
        };

        return cmocka_run_group_tests_name("common/unit-name", tests, NULL, NULL);
}
