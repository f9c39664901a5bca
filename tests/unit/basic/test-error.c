/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* What a failure looks like: codes, numbers, fields, text that fits. */

#include "basic/error.h"

#include <errno.h>
#include <string.h>

#include "tests/unit/test.h"

static void test_set(void **state _unused_)
{
        ReeveError e = REEVE_ERROR_NULL;

        assert_int_equal(e.code, REEVE_ERROR_NONE);
        assert_int_equal(reeve_error_set(&e, REEVE_ERROR_INVALID_ARGUMENT, "title", "is %d too long", 3),
                         -EINVAL);
        assert_int_equal(e.code, REEVE_ERROR_INVALID_ARGUMENT);
        assert_int_equal(e.number, 0);
        assert_string_equal(e.field, "title");
        assert_string_equal(e.text, "is 3 too long");

        /* A later one replaces all of it. */
        assert_int_equal(reeve_error_set(&e, REEVE_ERROR_NO_SUCH_TASK, NULL, "none"), -ENOENT);
        assert_string_equal(e.field, "");
        assert_string_equal(e.text, "none");
        assert_int_equal(reeve_error_set(NULL, REEVE_ERROR_POLICY_VIOLATION, "x", "y"), -EACCES);
}

static void test_errno(void **state _unused_)
{
        static const struct {
                int number;
                ReeveErrorCode code;
        } cases[] = {
                { ENOSPC, REEVE_ERROR_UNAVAILABLE },      { EDQUOT, REEVE_ERROR_UNAVAILABLE },
                { EAGAIN, REEVE_ERROR_UNAVAILABLE },      { EMFILE, REEVE_ERROR_UNAVAILABLE },
                { ENFILE, REEVE_ERROR_UNAVAILABLE },      { ENOMEM, REEVE_ERROR_UNAVAILABLE },
                { EPERM, REEVE_ERROR_PERMISSION_DENIED }, { EACCES, REEVE_ERROR_PERMISSION_DENIED },
                { ENOENT, REEVE_ERROR_INTERNAL },         { EIO, REEVE_ERROR_INTERNAL },
        };
        ReeveError e;

        for (size_t i = 0; i < ELEMENTSOF(cases); i++)
                for (int sign = -1; sign <= 1; sign += 2) {
                        assert_int_equal(reeve_error_errno(&e, sign * cases[i].number, "f", "cannot"),
                                         -cases[i].number);
                        assert_int_equal(e.code, cases[i].code);
                        assert_int_equal(e.number, cases[i].number);
                }
        assert_int_equal(reeve_error_errno(&e, -ENOENT, "path", "cannot open '%s'", "x"), -ENOENT);
        assert_string_equal(e.text, "cannot open 'x': No such file or directory");
        assert_int_equal(reeve_error_errno(&e, 99999, NULL, "odd"), -99999);
        assert_string_equal(e.text, "odd: unknown error");
        assert_int_equal(reeve_error_errno(NULL, EIO, NULL, "x"), -EIO);
}

static void test_long_and_dirty(void **state _unused_)
{
        char huge[2000];
        ReeveError e;

        memset(huge, 'x', sizeof(huge) - 1);
        huge[sizeof(huge) - 1] = '\0';
        reeve_error_set(&e, REEVE_ERROR_INTERNAL, huge, "%s", huge);
        assert_int_equal(strlen(e.field), sizeof(e.field) - 1);
        assert_int_equal(strlen(e.text), sizeof(e.text) - 1);
        reeve_error_errno(&e, ENOENT, huge, "%s", huge);
        assert_int_equal(strlen(e.text), sizeof(e.text) - 1);
        reeve_error_set(&e, REEVE_ERROR_INTERNAL, NULL,
                        "a\nb\tc\x01"
                        "d");
        assert_string_equal(e.text, "a b c d");
}

static void test_codes(void **state _unused_)
{
        assert_int_equal(reeve_error_code_to_errno(REEVE_ERROR_NONE), 0);
        for (int c = 1; c < _REEVE_ERROR_MAX; c++)
                assert_true(reeve_error_code_to_errno((ReeveErrorCode)c) < 0);
        assert_int_equal(reeve_error_code_to_errno(_REEVE_ERROR_MAX), -EIO);
        assert_int_equal(reeve_error_code_to_errno((ReeveErrorCode)-1), -EIO);
}

static void test_transient(void **state _unused_)
{
        static const int yes[] = { EAGAIN, EINTR, ENOMEM, ENFILE, EMFILE },
                         no[] = { 0, ENOENT, ENOSPC, EINVAL, EIO };

        for (size_t i = 0; i < ELEMENTSOF(yes); i++) {
                assert_true(errno_is_transient(yes[i]));
                assert_true(errno_is_transient(-yes[i]));
        }
        for (size_t i = 0; i < ELEMENTSOF(no); i++)
                assert_false(errno_is_transient(no[i]));
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_set),
                cmocka_unit_test(test_errno),
                cmocka_unit_test(test_long_and_dirty),
                cmocka_unit_test(test_codes),
                cmocka_unit_test(test_transient),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
