/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Names that come from the command line: the path, the task's type, its title. And who it runs as. */

#include "libreeve/command.h"

#include <errno.h>
#include <pwd.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "basic/strings.h"
#include "libreeve/user.h"
#include "tests/unit/test.h"

/* A command line of literals. */
#define ARGV(...) ((char *const *)(const char *const[]){ __VA_ARGS__, NULL })

static void test_resolve(void **state _unused_)
{
        _cleanup_free_ char *path = NULL, *absolute = NULL;
        ReeveError e = REEVE_ERROR_NULL;

        assert_int_equal(setenv("PATH", "/no/such/directory:/etc:/usr/bin", true), 0);
        assert_ok(command_resolve("env", &path, &e), e);
        assert_string_equal(path, "/usr/bin/env");

        assert_int_equal(chdir("/usr"), 0);
        assert_ok(command_resolve("./bin/env", &absolute, &e), e);
        assert_string_equal(absolute, "/usr/bin/env");
}

static void test_resolve_failures(void **state _unused_)
{
        static const struct {
                const char *name;
                int number;
        } bad[] = {
                { "no-such-command-at-all", ENOENT },
                { "passwd-", ENOENT },
                { "/no/such/file", ENOENT },
                { "/etc/passwd", EACCES },
                { "/etc", EISDIR },
        };

        assert_int_equal(setenv("PATH", "/usr/bin", true), 0);
        for (size_t i = 0; i < ELEMENTSOF(bad); i++) {
                ReeveError e = REEVE_ERROR_NULL;
                char *path = NULL;

                assert_error(command_resolve(bad[i].name, &path, &e), e, REEVE_ERROR_EXEC_FAILED,
                             bad[i].name);
                assert_errno(e.number, bad[i].number, bad[i].name);
                assert_null(path);
        }
        ReeveError e = REEVE_ERROR_NULL;
        char *path;
        assert_error(command_resolve("", &path, &e), e, REEVE_ERROR_INVALID_ARGUMENT, "argv");
}

static void test_task_type(void **state _unused_)
{
        static const struct {
                const char *name, *type;
        } cases[] = {
                { "/usr/bin/xz", "xz" },
                { "g++", "g--" },
                { "python3.11", "python3-11" },
                { "./_build.sh", "build-sh" },
                { "/usr/bin/[", "command" },
                { "", "command" },
                { "dir/", "dir-" },
        };
        char type[TASK_NAME_MAX + 1], name[200];

        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                command_task_type(cases[i].name, type);
                assert_string_equal(type, cases[i].type);
                assert_true(task_name_is_valid(type));
        }
        memset(name, 'x', sizeof(name) - 1);
        name[sizeof(name) - 1] = '\0';
        command_task_type(name, type);
        assert_true(task_name_is_valid(type));
}

static void check_title(const char *name, size_t max, const char *expected)
{
        _cleanup_free_ char *title = command_title(name, max);
        assert_non_null(title);
        assert_string_equal(title, expected);
}

static void test_title(void **state _unused_)
{
        check_title("xz", 100, "xz");
        check_title("/usr/bin/xz", 100, "xz");
        check_title("bin/", 100, "bin/");
        check_title("/", 100, "/");
        check_title("a\n\033[2J", 100, "a??[2J");
        check_title("a\xff", 100, "a?");
        check_title("\xc3\xa4\xc3\xa4", 3, "\xc3\xa4"); /* no half character */
}

static void test_make_absolute(void **state _unused_)
{
        static const struct {
                const char *path, *absolute;
        } cases[] = {
                { "x/./y//z/", "/usr/x/y/z" },
                { ".", "/usr" },
                { "..", "/usr/.." },
                { "//", "/" },
                { "/a/b", "/a/b" },
        };
        ReeveError e = REEVE_ERROR_NULL;

        assert_int_equal(chdir("/usr"), 0);
        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                _cleanup_free_ char *absolute = NULL;
                assert_ok(command_make_absolute(cases[i].path, &absolute, &e), e);
                assert_string_equal(absolute, cases[i].absolute);
        }
}

static const char *variable(char *const *env, const char *name)
{
        for (; env && *env; env++) {
                const char *rest = string_after(*env, name);
                if (rest && *rest == '=')
                        return rest + 1;
        }
        return NULL;
}

static void test_clean_environment(void **state _unused_)
{
        _cleanup_(request_done) Request q = { 0 };
        ReeveError e = REEVE_ERROR_NULL;

        assert_int_equal(setenv("LD_PRELOAD_LIKE", "secret", true), 0);
        assert_int_equal(setenv("TERM", "xterm", true), 0);
        assert_ok(user_apply(&q, "root", NULL, false, &e), e);
        assert_int_equal(q.spec.uid, 0);
        assert_int_equal(q.spec.gid, 0);
        assert_string_equal(variable(q.env, "HOME"), "/root");
        assert_string_equal(variable(q.env, "USER"), "root");
        assert_string_equal(variable(q.env, "LOGNAME"), "root");
        assert_non_null(variable(q.env, "SHELL"));
        assert_non_null(strstr(variable(q.env, "PATH"), "/usr/bin"));
        assert_null(variable(q.env, "LD_PRELOAD_LIKE"));
        assert_null(variable(q.env, "TERM"));

        assert_ok(user_apply(&q, "root", "0", true, &e), e);
        assert_string_equal(variable(q.env, "TERM"), "xterm");
}

static void test_users(void **state _unused_)
{
        _cleanup_(request_done) Request q = { 0 };
        ReeveError e = REEVE_ERROR_NULL;

        assert_ok(user_apply(&q, NULL, NULL, false, &e), e);
        assert_int_equal(q.spec.uid, geteuid());
        assert_error(user_apply(&q, "nobody-of-that-name", NULL, false, &e), e, REEVE_ERROR_INVALID_ARGUMENT,
                     "uid");
        assert_error(user_apply(&q, "4294967295", NULL, false, &e), e, REEVE_ERROR_INVALID_ARGUMENT, "uid");
        assert_error(user_apply(&q, "3999999999", NULL, false, &e), e, REEVE_ERROR_INVALID_ARGUMENT, "gid");
        assert_ok(user_apply(&q, "3999999999", "12345", false, &e), e);
        assert_int_equal(q.spec.uid, 3999999999U);
        assert_int_equal(q.spec.gid, 12345);
        assert_error(user_apply(&q, "root", "no-such-group-here", false, &e), e,
                     REEVE_ERROR_INVALID_ARGUMENT, "gid");
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_resolve),       cmocka_unit_test(test_resolve_failures),
                cmocka_unit_test(test_task_type),     cmocka_unit_test(test_title),
                cmocka_unit_test(test_make_absolute), cmocka_unit_test(test_clean_environment),
                cmocka_unit_test(test_users),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
