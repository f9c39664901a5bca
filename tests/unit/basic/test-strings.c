/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Strings, UTF-8, the growing buffer, vectors. */

#include "basic/strings.h"

#include <errno.h>
#include <stdint.h>

#include "tests/unit/test.h"

static void test_compare(void **state _unused_)
{
        assert_true(streq("a", "a"));
        assert_false(streq("a", "ab"));
        assert_true(streq_null(NULL, NULL));
        assert_false(streq_null("a", NULL));
        assert_false(streq_null(NULL, ""));
        assert_true(streq_null("a", "a"));

        assert_string_equal(string_after("key=value", "key="), "value");
        assert_string_equal(string_after("key", "key"), "");
        assert_string_equal(string_after("key", ""), "key");
        assert_null(string_after("ke", "key"));
        assert_null(string_after("", "k"));
}

static void test_utf8(void **state _unused_)
{
        static const char *const good[] = { "",
                                            "abc",
                                            "\x7f",
                                            "\xc2\x80",
                                            "\xdf\xbf",
                                            "\xe0\xa0\x80",
                                            "\xed\x9f\xbf",
                                            "\xee\x80\x80",
                                            "\xef\xbf\xbf",
                                            "\xf0\x90\x80\x80",
                                            "\xf4\x8f\xbf\xbf",
                                            "a\xc3\xa4z" };
        static const char *const bad[] = {
                "\x80",
                "\xbf",
                "\xc0\x80",
                "\xc1\xbf",
                "\xc2",
                "\xc2z",
                "\xe0\x9f\xbf" /* overlong */,
                "\xed\xa0\x80" /* surrogate */,
                "\xed\xbf\xbf",
                "\xe1\x80",
                "\xe1\x80z",
                "\xf0\x8f\xbf\xbf",
                "\xf4\x90\x80\x80" /* beyond U+10FFFF */,
                "\xf5\x80\x80\x80",
                "\xf1\x80\x80",
                "\xfe",
                "\xff",
                "ok\xff",
        };

        for (size_t i = 0; i < ELEMENTSOF(good); i++)
                if (!utf8_is_valid(good[i], strlen(good[i])))
                        fail_msg("good[%zu] is refused", i);
        for (size_t i = 0; i < ELEMENTSOF(bad); i++)
                if (utf8_is_valid(bad[i], strlen(bad[i])))
                        fail_msg("bad[%zu] is accepted", i);
        assert_true(utf8_is_valid("a\0b", 3));
        assert_true(utf8_is_valid(NULL, 0));
        assert_false(utf8_is_valid("\xc3\xa4", 1)); /* cut */
}

static void test_repair(void **state _unused_)
{
        static const char *const pairs[][2] = {
                { "", "" },
                { "plain", "plain" },
                { "gr\xc3\xbc\xc3\x9f", "gr\xc3\xbc\xc3\x9f" },
                { "\xff", "?" },
                { "a\xff\xfe\xc3", "a???" }, /* the last is a character that was cut */
                { "\xe1\x80z", "??z" },
                { "\xed\xa0\x80\xc3\xa4", "???\xc3\xa4" },
        };

        for (size_t i = 0; i < ELEMENTSOF(pairs); i++) {
                char text[32];
                strcpy(text, pairs[i][0]);
                assert_string_equal(utf8_repair(text), pairs[i][1]);
        }
}

static void test_control(void **state _unused_)
{
        assert_false(string_has_control("abc \xc3\xa4", 6));
        assert_true(string_has_control("a\nb", 3));
        assert_true(string_has_control("a\x7f", 2));
        assert_true(string_has_control("a\0b", 3));
        assert_false(string_has_control("a\n", 1));
        assert_false(string_has_control(NULL, 0));
}

static void test_buffer(void **state _unused_)
{
        _cleanup_buffer_ Buffer b = { 0 };

        assert_int_equal(buffer_append(&b, NULL, 0), 0);
        assert_int_equal(b.size, 0);
        assert_int_equal(buffer_append_text(&b, "ab"), 0);
        assert_int_equal(buffer_append(&b, "c\0d", 3), 0);
        assert_int_equal(b.size, 5);
        assert_memory_equal(b.data, "abc\0d", 6);
        assert_int_equal(buffer_printf(&b, "%s-%d", "x", 42), 0);
        assert_memory_equal(b.data, "abc\0dx-42", 10);

        buffer_consume(&b, 0);
        buffer_consume(&b, 4);
        assert_string_equal(b.data, "dx-42");
        buffer_consume(&b, b.size);
        assert_int_equal(b.size, 0);
        assert_string_equal(b.data, "");
}

static void test_buffer_grows(void **state _unused_)
{
        _cleanup_buffer_ Buffer b = { 0 };

        for (unsigned i = 0; i < 100000; i++)
                assert_int_equal(buffer_printf(&b, "%06u", i), 0);
        assert_int_equal(b.size, 600000);
        assert_true(b.room < 4 * b.size);
        assert_int_equal(strlen(b.data), b.size);
        assert_memory_equal(b.data + 6 * 54321, "054321", 6);
}

/* After a failure the contents are as before. */
static void test_buffer_too_large(void **state _unused_)
{
        _cleanup_buffer_ Buffer b = { 0 };

        assert_int_equal(buffer_append_text(&b, "kept"), 0);
        assert_int_equal(buffer_reserve(&b, SIZE_MAX), -ENOMEM);
        assert_int_equal(buffer_reserve(&b, SIZE_MAX - 4), -ENOMEM);
        assert_string_equal(b.data, "kept");
        assert_int_equal(b.size, 4);
}

static void test_buffer_take(void **state _unused_)
{
        Buffer b = { 0 };

        char *empty = buffer_take(&b);
        assert_string_equal(empty, "");
        free(empty);
        assert_int_equal(buffer_append_text(&b, "text"), 0);
        char *text = buffer_take(&b);
        assert_string_equal(text, "text");
        assert_null(b.data);
        assert_int_equal(b.size, 0);
        free(text);
        buffer_done(&b);
        buffer_done(&b);
}

static void test_bytes_format(void **state _unused_)
{
        static const struct {
                unsigned long long bytes;
                const char *text;
        } cases[] = {
                { 0, "0B" },
                { 1023, "1023B" },
                { 1024, "1.0K" },
                { 1536, "1.5K" },
                { 64ULL << 20, "64.0M" },
                { 3ULL << 30, "3.0G" },
                { 1ULL << 60, "1.0E" },
                { UINT64_MAX, "16.0E" },
        };
        char text[32], tiny[3];

        for (size_t i = 0; i < ELEMENTSOF(cases); i++)
                assert_string_equal(bytes_format(cases[i].bytes, text, sizeof(text)), cases[i].text);
        assert_string_equal(bytes_format(1023, tiny, sizeof(tiny)), "10"); /* cut, terminated */
}

static void test_hex(void **state _unused_)
{
        static const uint8_t bytes[] = { 0x00, 0x9a, 0xff, 0x5b };
        char text[2 * sizeof(bytes) + 1];

        assert_string_equal(hex_format(bytes, sizeof(bytes), text), "009aff5b");
        assert_string_equal(hex_format(bytes, 0, text), "");
}

static void test_vectors(void **state _unused_)
{
        _cleanup_(strv_freep) char **v = NULL;
        char text[] = "one";

        assert_int_equal(strv_length(NULL), 0);
        assert_null(strv_free(NULL));
        assert_int_equal(strv_append(&v, text), 0);
        text[0] = 'x'; /* it is a copy */
        assert_int_equal(strv_append(&v, ""), 0);
        assert_int_equal(strv_length(v), 2);
        assert_string_equal(v[0], "one");
        assert_string_equal(v[1], "");
        assert_null(v[2]);

        _cleanup_free_ char *printed = string_printf("%d%%", 5);
        assert_string_equal(printed, "5%");
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_hex),
                cmocka_unit_test(test_compare),
                cmocka_unit_test(test_utf8),
                cmocka_unit_test(test_control),
                cmocka_unit_test(test_buffer),
                cmocka_unit_test(test_buffer_grows),
                cmocka_unit_test(test_buffer_too_large),
                cmocka_unit_test(test_buffer_take),
                cmocka_unit_test(test_bytes_format),
                cmocka_unit_test(test_vectors),
                cmocka_unit_test(test_repair),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
