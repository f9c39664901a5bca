/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Every error has a name of its own on every interface, and its way back. */

#include "common/error-table.h"

#include <string.h>

#include "tests/unit/test.h"

static void test_complete(void **state _unused_)
{
        for (int c = 0; c < _REEVE_ERROR_MAX; c++) {
                const ErrorTableEntry *e = error_table_get((ReeveErrorCode)c);
                assert_int_equal(e->code, c);
                assert_true(strlen(e->text) > 0);
                assert_non_null(strstr(e->varlink, e->name));
                assert_int_equal(strncmp(e->varlink, "io.reeve.Registry.", 18), 0);
                assert_int_equal(strncmp(e->dbus, "io.reeve.Error.", 15), 0);
                assert_int_equal(error_table_from_varlink(e->varlink), c);
                assert_int_equal(error_table_from_dbus(e->dbus), c);
                if (c == REEVE_ERROR_NONE)
                        continue;
                assert_in_range(e->http_status, 400, 599);
                assert_in_range(e->exit_status, 64, 125);
        }
}

static void test_distinct(void **state _unused_)
{
        for (int a = 0; a < _REEVE_ERROR_MAX; a++)
                for (int b = 0; b < a; b++) {
                        const ErrorTableEntry *x = error_table_get((ReeveErrorCode)a);
                        const ErrorTableEntry *y = error_table_get((ReeveErrorCode)b);
                        if (strcmp(x->name, y->name) == 0 || x->http_status == y->http_status ||
                            x->exit_status == y->exit_status)
                                fail_msg("%s and %s share a name or number", x->name, y->name);
                        assert_int_not_equal(reeve_error_code_to_errno(x->code),
                                             reeve_error_code_to_errno(y->code));
                }
}

static void test_unknown(void **state _unused_)
{
        static const char *const bad[] = { "",
                                           "NoSuchTask",
                                           "io.reeve.Registry.",
                                           "io.reeve.Error.",
                                           "io.reeve.Registry.NoSuchTas",
                                           "org.varlink.service.MethodNotFound" };

        assert_int_equal(error_table_get(_REEVE_ERROR_MAX)->code, REEVE_ERROR_INTERNAL);
        assert_int_equal(error_table_get((ReeveErrorCode)-1)->code, REEVE_ERROR_INTERNAL);
        assert_int_equal(error_table_get(REEVE_ERROR_NONE)->http_status, 200);
        assert_int_equal(error_table_get(REEVE_ERROR_NONE)->exit_status, 0);
        for (size_t i = 0; i < ELEMENTSOF(bad); i++) {
                assert_int_equal(error_table_from_varlink(bad[i]), REEVE_ERROR_NONE);
                assert_int_equal(error_table_from_dbus(bad[i]), REEVE_ERROR_NONE);
        }
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_complete),
                cmocka_unit_test(test_distinct),
                cmocka_unit_test(test_unknown),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
