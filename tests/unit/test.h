/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* What every cmocka test includes. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "basic/macro.h"

/* Compares a result with the expected 0 or negative errno, and names the input that it was about. */
#define assert_errno(result, expected, input)                                               \
        do {                                                                                \
                int _result = (int)(result), _expected = (expected);                        \
                if (_result != _expected)                                                   \
                        fail_msg("'%s': got %d, expected %d", (input), _result, _expected); \
        } while (0)

/* A failed call whose reason is in a ReeveError. */
#define assert_ok(result, error)                                                                   \
        do {                                                                                       \
                int _result = (int)(result);                                                       \
                if (_result < 0)                                                                   \
                        fail_msg("%s: %d, %s: %s", #result, _result, (error).field, (error).text); \
        } while (0)

/* A call that must fail with this code, about this field. */
#define assert_error(result, error, expected_code, expected_field)    \
        do {                                                          \
                int _result = (int)(result);                          \
                if (_result >= 0)                                     \
                        fail_msg("%s: succeeded", #result);           \
                assert_int_equal((error).code, (expected_code));      \
                assert_string_equal((error).field, (expected_field)); \
        } while (0)
