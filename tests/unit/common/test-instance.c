/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Where instances keep their things: the table of the header, and that two instances never share a place. */

#include "common/instance.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tests/unit/test.h"

static void expect_path(const Instance *i, InstancePath which, const char *expected)
{
        char path[PATH_MAX];

        assert_int_equal(instance_path(i, which, path, sizeof(path)), 0);
        assert_string_equal(path, expected);
}

static void test_system(void **state _unused_)
{
        static const char *const roots[] = { NULL, "/", "//", "/.", "/../" };
        Instance i;
        ReeveError e = REEVE_ERROR_NULL;

        for (size_t k = 0; k < ELEMENTSOF(roots); k++) {
                assert_ok(instance_init(&i, roots[k], NULL, &e), e);
                assert_string_equal(i.root, "");
                assert_string_equal(i.prefix, "reeve");
                expect_path(&i, INSTANCE_SOCKET, "/run/reeve/io.reeve.Registry");
        }
        expect_path(&i, INSTANCE_RECORDS, "/run/reeve/tasks");
        expect_path(&i, INSTANCE_STATE, "/var/lib/reeve");
        expect_path(&i, INSTANCE_LAUNCHER_STATE, "/var/lib/reeve-launcher");
        expect_path(&i, INSTANCE_CHECKS, "/etc/reeve/checks");
        expect_path(&i, INSTANCE_POLICY, "/etc/reeve/policy.d");
        expect_path(&i, INSTANCE_HOOKS, "/etc/reeve/hooks");
        assert_ok(instance_init(&i, NULL, "reeve-test", &e), e);
        assert_string_equal(i.prefix, "reeve-test");
}

static void test_private(void **state _unused_)
{
        char a[] = "/tmp/test-reeve-instance-XXXXXX", b[] = "/tmp/test-reeve-instance-XXXXXX";
        char slash[64], path[PATH_MAX];
        ReeveError e = REEVE_ERROR_NULL;
        Instance i, j, k;

        assert_non_null(mkdtemp(a));
        assert_non_null(mkdtemp(b));
        snprintf(slash, sizeof(slash), "%s/./", a);
        assert_ok(instance_init(&i, a, NULL, &e), e);
        assert_ok(instance_init(&j, slash, NULL, &e), e);
        assert_ok(instance_init(&k, b, NULL, &e), e);
        assert_string_equal(i.root, a);
        assert_string_equal(j.root, a);
        assert_string_equal(i.prefix, j.prefix);
        assert_string_not_equal(i.prefix, k.prefix);
        assert_int_equal(strlen(i.prefix), strlen("reeve-") + 8);
        assert_int_equal(strspn(i.prefix + 6, "0123456789abcdef"), 8);

        for (InstancePath p = 0; p < _INSTANCE_PATH_MAX; p++) {
                assert_int_equal(instance_path(&i, p, path, sizeof(path)), 0);
                assert_int_equal(strncmp(path, a, strlen(a)), 0);
                assert_int_equal(instance_path(&i, p, path, strlen(a)), -ENAMETOOLONG);
        }
        expect_path(&i, INSTANCE_STATE, a);
        assert_int_equal(rmdir(a), 0);
        assert_int_equal(rmdir(b), 0);
}

/* No two places of an instance are the same, but the root itself. */
static void test_distinct(void **state _unused_)
{
        char a[PATH_MAX], b[PATH_MAX];
        ReeveError e = REEVE_ERROR_NULL;
        Instance i;

        assert_ok(instance_init(&i, "/tmp", NULL, &e), e);
        for (InstancePath p = 0; p < _INSTANCE_PATH_MAX; p++)
                for (InstancePath q = 0; q < p; q++) {
                        assert_int_equal(instance_path(&i, p, a, sizeof(a)), 0);
                        assert_int_equal(instance_path(&i, q, b, sizeof(b)), 0);
                        assert_string_not_equal(a, b);
                }
}

static void test_bad(void **state _unused_)
{
        static const char *const prefixes[] = {
                "", "-a", "A", "a_b", "a.b", "a/b", "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
        };
        char deep[128] = "/tmp/test-reeve-instance-XXXXXX", name[100];
        ReeveError e;
        Instance i;

        assert_error(instance_init(&i, "relative", NULL, &e), e, REEVE_ERROR_INVALID_ARGUMENT, "root");
        assert_error(instance_init(&i, "", NULL, &e), e, REEVE_ERROR_INVALID_ARGUMENT, "root");
        assert_error(instance_init(&i, "/nonexistent/x", NULL, &e), e, REEVE_ERROR_INTERNAL, "root");
        assert_int_equal(e.number, ENOENT);
        assert_error(instance_init(&i, "/dev/null", NULL, &e), e, REEVE_ERROR_INVALID_ARGUMENT, "root");
        for (size_t k = 0; k < ELEMENTSOF(prefixes); k++)
                assert_error(instance_init(&i, NULL, prefixes[k], &e), e, REEVE_ERROR_INVALID_ARGUMENT,
                             "prefix");

        /* Longer than a socket's address has room for. */
        assert_non_null(mkdtemp(deep));
        strcpy(name, deep);
        strcat(deep, "/aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa");
        assert_int_equal(mkdir(deep, 0700), 0);
        assert_error(instance_init(&i, deep, NULL, &e), e, REEVE_ERROR_LIMIT_EXCEEDED, "root");
        assert_int_equal(rmdir(deep), 0);
        assert_int_equal(rmdir(name), 0);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_system),
                cmocka_unit_test(test_private),
                cmocka_unit_test(test_distinct),
                cmocka_unit_test(test_bad),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
