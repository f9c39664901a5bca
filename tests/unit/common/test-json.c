/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <errno.h>
#include <math.h>

#include "basic/strings.h"
#include "common/json/json.h"
#include "tests/unit/test.h"

typedef struct Target {
        const char *name;
        int64_t n;
        bool flag;
        double real;
        json_t *object, *array;
} Target;

static const JsonField fields[] = {
        { "name", JSON_FIELD_STRING, offsetof(Target, name), JSON_FIELD_MANDATORY, 8 },
        { "n", JSON_FIELD_INTEGER, offsetof(Target, n), 0, 0 },
        { "flag", JSON_FIELD_BOOLEAN, offsetof(Target, flag), 0, 0 },
        { "real", JSON_FIELD_NUMBER, offsetof(Target, real), 0, 0 },
        { "object", JSON_FIELD_OBJECT, offsetof(Target, object), 0, 0 },
        { "array", JSON_FIELD_ARRAY, offsetof(Target, array), 0, 0 },
};

static void test_dispatch(void **state)
{
        ReeveError e = REEVE_ERROR_NULL;
        Target t = { .n = 7 };
        _cleanup_json_ json_t *j = json_loads(
                        "{\"name\":\"12345678\",\"n\":null,\"flag\":true,\"real\":3,\"object\":{},"
                        "\"array\":[1]}",
                        0, NULL);

        assert_ok(json_dispatch(j, fields, ELEMENTSOF(fields), &t, &e), e);
        assert_string_equal(t.name, "12345678");
        assert_int_equal(t.n, 7); /* null leaves it */
        assert_true(t.flag);
        assert_true(t.real == 3);
        assert_non_null(t.object);
        assert_int_equal(json_array_size(t.array), 1);
}

static void test_dispatch_refuses(void **state)
{
        static const struct {
                const char *text;
                ReeveErrorCode code;
                const char *field;
        } cases[] = {
                { "[]", REEVE_ERROR_INVALID_ARGUMENT, "" },
                { "{}", REEVE_ERROR_INVALID_ARGUMENT, "name" },
                { "{\"name\":null}", REEVE_ERROR_INVALID_ARGUMENT, "name" },
                { "{\"name\":1}", REEVE_ERROR_INVALID_ARGUMENT, "name" },
                { "{\"name\":\"123456789\"}", REEVE_ERROR_LIMIT_EXCEEDED, "name" },
                { "{\"name\":\"a\\u0000b\"}", REEVE_ERROR_INVALID_ARGUMENT, "name" },
                { "{\"name\":\"\",\"other\":1}", REEVE_ERROR_INVALID_ARGUMENT, "other" },
                { "{\"name\":\"\",\"other\":null}", REEVE_ERROR_INVALID_ARGUMENT, "other" },
                { "{\"name\":\"\",\"n\":1.0}", REEVE_ERROR_INVALID_ARGUMENT, "n" },
                { "{\"name\":\"\",\"n\":\"1\"}", REEVE_ERROR_INVALID_ARGUMENT, "n" },
                { "{\"name\":\"\",\"flag\":0}", REEVE_ERROR_INVALID_ARGUMENT, "flag" },
                { "{\"name\":\"\",\"real\":true}", REEVE_ERROR_INVALID_ARGUMENT, "real" },
                { "{\"name\":\"\",\"object\":[]}", REEVE_ERROR_INVALID_ARGUMENT, "object" },
                { "{\"name\":\"\",\"array\":{}}", REEVE_ERROR_INVALID_ARGUMENT, "array" },
        };

        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                ReeveError e = REEVE_ERROR_NULL;
                Target t = { 0 };
                _cleanup_json_ json_t *j = json_loads(cases[i].text, JSON_ALLOW_NUL, NULL);
                assert_non_null(j);
                assert_error(json_dispatch(j, fields, ELEMENTSOF(fields), &t, &e), e, cases[i].code,
                             cases[i].field);
        }
}

static int parse(const char *text, size_t n, unsigned depth)
{
        _cleanup_json_ json_t *j = NULL;
        ReeveError e = REEVE_ERROR_NULL;

        int r = json_parse(text, n, depth, &j, &e);
        assert_int_equal(r < 0, !j);
        if (r < 0)
                assert_true(e.code == REEVE_ERROR_INVALID_ARGUMENT && e.text[0]);
        return r;
}

static void test_parse(void **state)
{
        static const struct {
                const char *text;
                int expected;
        } cases[] = {
                { "{}", 0 },
                { " [1, 2.5, null, true, \"\\\"[[[[[[\"] ", 0 },
                { "\"text\"", 0 },
                { "[[[[]]]]", 0 },
                { "[[[[]],[[]]]]", 0 },
                { "[[[[[]]]]]", -EINVAL },
                { "{\"a\":{\"a\":{\"a\":{\"a\":{}}}}}", -EINVAL },
                { "", -EINVAL },
                { "{", -EINVAL },
                { "\"", -EINVAL },
                { "\"\\", -EINVAL },
                { "{} {}", -EINVAL },
                { "{\"a\":1,\"a\":1}", -EINVAL },
                { "{\"a\":01}", -EINVAL },
                { "[1e999]", -EINVAL },
                { "[99999999999999999999]", -EINVAL },
                { "[\"\\u0000\"]", -EINVAL },
                { "[\"\\ud800\"]", -EINVAL },
                { "[\"\xff\"]", -EINVAL },
                { "[\"\xc0\x80\"]", -EINVAL },
                { "[\"\xed\xa0\x80\"]", -EINVAL },
                { "[\"\n\"]", -EINVAL },
                { "[1,]", -EINVAL },
                { "]]]]", -EINVAL },
                { "NaN", -EINVAL },
        };

        for (size_t i = 0; i < ELEMENTSOF(cases); i++)
                assert_errno(parse(cases[i].text, strlen(cases[i].text), 4), cases[i].expected,
                             cases[i].text);
        assert_errno(parse("[]\0", 3, 4), -EINVAL, "NUL behind");
        assert_errno(parse(NULL, 0, 4), -EINVAL, "NULL");
}

/* However deep: an error and no overflow of the stack. */
static void test_parse_bottomless(void **state)
{
        size_t n = 4 * 1024 * 1024;
        _cleanup_free_ char *text = malloc(n);

        assert_non_null(text);
        memset(text, '[', n);
        assert_errno(parse(text, n, 64), -EINVAL, "4 Mi brackets");
}

static void test_parse_says_where(void **state)
{
        _cleanup_json_ json_t *j = NULL;
        ReeveError e = REEVE_ERROR_NULL;

        assert_error(json_parse("{\n\"a\": tru}", 11, 4, &j, &e), e, REEVE_ERROR_INVALID_ARGUMENT, "");
        assert_non_null(string_after(e.text, "line 2, column "));
        assert_error(json_parse("[[[", 3, 2, &j, &e), e, REEVE_ERROR_INVALID_ARGUMENT, "");
        assert_non_null(string_after(e.text, "byte 2: "));
}

static void test_set_and_get(void **state)
{
        _cleanup_json_ json_t *j = json_object();

        assert_int_equal(json_set_string(j, "s", "x"), 0);
        assert_int_equal(json_set_string(j, "nothing", NULL), 0);
        assert_int_equal(json_set_string(j, "bad", "\xff"), -ENOMEM);
        assert_int_equal(json_set_integer(j, "i", INT64_MIN), 0);
        assert_int_equal(json_set_bool(j, "b", false), 0);
        assert_int_equal(json_set_real(j, "r", 0.5), 0);
        assert_int_equal(json_set_real(j, "nan", NAN), -ENOMEM);
        _cleanup_free_ char *text = json_format(j);
        assert_string_equal(text, "{\"s\":\"x\",\"i\":-9223372036854775808,\"b\":false,\"r\":0.5}");

        assert_string_equal(json_get_string(j, "s"), "x");
        assert_null(json_get_string(j, "i"));
        assert_null(json_get_string(j, "none"));
        assert_null(json_get_string(NULL, "none"));
        assert_true(json_get_integer(j, "i", 1) == INT64_MIN);
        assert_int_equal(json_get_integer(j, "r", 1), 1);
        assert_int_equal(json_get_integer(NULL, "r", 2), 2);
}

static void test_string_lossy(void **state)
{
        static const struct {
                const char *text;
                size_t n;
                const char *expected;
        } cases[] = {
                { "", 0, "" },
                { NULL, 0, "" },
                { "plain", 5, "plain" },
                { "h\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80", 10, "h\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80" },
                { "\xff-\xfe", 3, "\xef\xbf\xbd-\xef\xbf\xbd" },
                { "cut \xc3", 5, "cut \xef\xbf\xbd" },
                { "\xc0\x80", 2, "\xef\xbf\xbd\xef\xbf\xbd" },
                { "a\0b", 3,
                  "a\xef\xbf\xbd"
                  "b" },
                { "\n\t", 2, "\n\t" },
        };

        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                _cleanup_json_ json_t *j = json_string_lossy(cases[i].text, cases[i].n), *back = NULL;
                assert_non_null(j);
                assert_string_equal(json_string_value(j), cases[i].expected);
                _cleanup_free_ char *text = json_format(j);
                ReeveError e = REEVE_ERROR_NULL;
                assert_ok(json_parse(text, strlen(text), 1, &back, &e), e);
                assert_true(json_equal(j, back));
        }
}

static void assert_as_jansson(json_t *j)
{
        _cleanup_free_ char *expected = json_dumps(j,
                                                   JSON_COMPACT | JSON_ENCODE_ANY | JSON_REAL_PRECISION(15)),
                            *text = json_format(j);

        assert_non_null(expected);
        assert_non_null(text);
        assert_string_equal(text, expected);
}

static void test_format(void **state)
{
        static const char *const values[] = {
                "{}",
                "[]",
                "null",
                "true",
                "[false,null,[],{},[[]],{\"a\":{}}]",
                "{\"z\":1,\"a\":2,\"quote\\\"\":3}",
                "[0,-1,9223372036854775807,-9223372036854775808,10,99,100]",
                "[0.0,1.5,-1e300,1e-300,0.1,3.0,12345678.875]",
                "\"\"",
                "\"\\\"\\\\\\/\\b\\f\\n\\r\\t\\u0001\\u001f\x7f\"",
                "\"gr\xc3\xb6\xc3\x9f\x65r \xe2\x82\xac \xf0\x9d\x84\x9e\\n\"",
        };

        for (size_t i = 0; i < ELEMENTSOF(values); i++) {
                _cleanup_json_ json_t *j = json_loads(values[i], JSON_DECODE_ANY, NULL);
                assert_non_null(j);
                assert_as_jansson(j);
        }
}

static void test_format_reals(void **state)
{
        static const struct {
                double value;
                const char *text;
        } cases[] = {
                { 0.4, "0.4" },
                { 1.0, "1.0" },
                { 0.1 + 0.2, "0.30000000000000004" },
                { 1.0 / 3, "0.33333333333333331" },
                { -2.5e-9, "-2.5e-9" },
        };

        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                _cleanup_json_ json_t *j = json_real(cases[i].value);
                _cleanup_free_ char *text = json_format(j);
                assert_string_equal(text, cases[i].text);
        }
}

/* Strings around the size of the buffer in which pieces gather, with something to escape at each place of them. */
static void test_format_long(void **state)
{
        static char text[3000];

        for (size_t n = 0; n < sizeof(text) - 1; n += 97) {
                memset(text, 'x', n);
                text[n] = '\0';
                for (size_t at = 0; at <= n; at += 61) {
                        text[at] = at < n ? '\n' : '\0';
                        _cleanup_json_ json_t *j = json_pack("{s[ssi]}", text, text, "end", (int)n);
                        assert_as_jansson(j);
                        text[at] = at < n ? 'x' : '\0';
                }
        }
}

static int refuse_after(const char *text, size_t n, void *userdata)
{
        size_t *left = userdata;

        if (n > *left)
                return -1;
        *left -= n;
        return 0;
}

static void test_format_refuses(void **state)
{
        _cleanup_json_ json_t *bad = json_stringn_nocheck("a\xff", 2), *itself = json_array(),
                              *good = json_pack("[s]", "text");
        size_t room = strlen("[\"text\"]"), little = room - 1;

        assert_null(json_format(bad));
        assert_int_equal(json_array_append(itself, good), 0);
        json_t *inner = itself;
        for (int i = 0; i < 5000; i++)
                inner = json_pack("[o]", inner == itself ? json_incref(itself) : inner);
        assert_null(json_format(inner));
        json_decref(inner);
        assert_int_equal(json_write(good, refuse_after, &room), 0);
        assert_int_equal(room, 0);
        assert_int_equal(json_write(good, refuse_after, &little), -1);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_dispatch),
                cmocka_unit_test(test_dispatch_refuses),
                cmocka_unit_test(test_parse),
                cmocka_unit_test(test_parse_bottomless),
                cmocka_unit_test(test_parse_says_where),
                cmocka_unit_test(test_set_and_get),
                cmocka_unit_test(test_string_lossy),
                cmocka_unit_test(test_format),
                cmocka_unit_test(test_format_reals),
                cmocka_unit_test(test_format_long),
                cmocka_unit_test(test_format_refuses),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
