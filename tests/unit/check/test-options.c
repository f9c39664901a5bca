/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The command line of reeve-check: what is a request, and what is refused with the option at fault. */

#include "check/options.h"

#include <errno.h>
#include <string.h>

#include "tests/unit/test.h"

#define HASH "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"

static int parse(CheckOptions *o, ReeveError *e, const char *const *arguments)
{
        char *argv[16] = { (char *)"reeve-check" };
        int argc = 1;

        for (; arguments[argc - 1]; argc++)
                argv[argc] = (char *)arguments[argc - 1];
        *e = REEVE_ERROR_NULL;
        return check_options_parse(o, argc, argv, e);
}

#define ARGUMENTS(...) ((const char *const[]){ __VA_ARGS__, NULL })

static void test_file(void **state _unused_)
{
        CheckOptions o;
        ReeveError e;

        assert_ok(parse(&o, &e,
                        ARGUMENTS("file", "--min-bytes=1", "/x", "--max-bytes=20", "--newer-than=5",
                                  "--sha256=" HASH, "--matches=^a b$")),
                  e);
        assert_int_equal(o.kind, CHECK_FILE);
        assert_string_equal(o.path, "/x");
        assert_true(o.has_min_bytes && o.min_bytes == 1);
        assert_true(o.has_max_bytes && o.max_bytes == 20);
        assert_int_equal(o.newer_than, 5);
        assert_string_equal(o.sha256, HASH);
        assert_string_equal(o.matches, "^a b$");

        assert_ok(parse(&o, &e, ARGUMENTS("file", "x")), e);
        assert_false(o.has_min_bytes || o.has_max_bytes || o.sha256 || o.matches || o.newer_than);
        assert_ok(parse(&o, &e, ARGUMENTS("file", "--", "--min-bytes=1")), e);
        assert_string_equal(o.path, "--min-bytes=1");
}

static void test_output(void **state _unused_)
{
        CheckOptions o;
        ReeveError e;

        assert_ok(parse(&o, &e, ARGUMENTS("output", "--matches=x")), e);
        assert_int_equal(o.kind, CHECK_OUTPUT);
        assert_string_equal(o.matches, "x");
}

static void test_refused(void **state _unused_)
{
        static const struct {
                const char *arguments[5];
                const char *field;
        } cases[] = {
                { { NULL }, "" },
                { { "", "x" }, "" },
                { { "fil", "x" }, "" },
                { { "file" }, "" },
                { { "file", "" }, "" },
                { { "file", "--" }, "" },
                { { "file", "a", "b" }, "" },
                { { "file", "--", "a", "b" }, "" },
                { { "file", "--min-bytes", "1" }, "" },
                { { "file", "--min-bytes=", "a" }, "--min-bytes=" },
                { { "file", "--min-bytes=-1", "a" }, "--min-bytes=" },
                { { "file", "--max-bytes=1K", "a" }, "--max-bytes=" },
                { { "file", "--newer-than=now", "a" }, "--newer-than=" },
                { { "file", "--sha256=abc", "a" }, "--sha256=" },
                { { "file", "--sha256=g" HASH, "a" }, "--sha256=" },
                { { "file", "--matches=", "a" }, "--matches=" },
                { { "file", "--other=1", "a" }, "" },
                { { "output" }, "--matches=" },
                { { "output", "a" }, "" },
                { { "output", "--min-bytes=1", "--matches=a" }, "" },
        };

        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                CheckOptions o;
                ReeveError e;
                int r = parse(&o, &e, cases[i].arguments);
                if (r != -EINVAL || strcmp(e.field, cases[i].field) != 0)
                        fail_msg("case %zu: expected InvalidArgument about '%s', got %d about '%s'", i,
                                 cases[i].field, r, e.field);
        }
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_file),
                cmocka_unit_test(test_output),
                cmocka_unit_test(test_refused),
        };

        return cmocka_run_group_tests_name("check-options", tests, NULL, NULL);
}
