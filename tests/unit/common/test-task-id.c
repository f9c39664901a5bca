/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Ids: nothing passes that is not safe as a file, cgroup, unit and object name; made ids sort by time; attempt names
 * go there and back. */

#include "common/task-id.h"

#include <errno.h>
#include <string.h>

#include "tests/unit/test.h"

#define LENGTH_64  "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
#define LENGTH_128 LENGTH_64 LENGTH_64

static void test_valid(void **state _unused_)
{
        static const char *const good[] = { "a", "Z", "0", "a_b-C9", "a--", "a__", LENGTH_64 };
        static const char *const bad[] = { "",      "_a",  "-a",  ".",   "..",    "a.b",  "a/b",
                                           "a b",   "a\n", "a:b", "a@b", "a\\b",  "a%",   "\xc3\xa4",
                                           "a\xff", " a",  "a ",  "*",   "a\x01", "a\x7f" };

        for (size_t i = 0; i < ELEMENTSOF(good); i++) {
                assert_true(task_id_is_valid(good[i]));
                assert_true(task_name_is_valid(good[i]));
        }
        for (size_t i = 0; i < ELEMENTSOF(bad); i++)
                if (task_id_is_valid(bad[i]) || task_name_is_valid(bad[i]))
                        fail_msg("'%s' passes", bad[i]);
        assert_true(task_id_is_valid(LENGTH_128));
        assert_false(task_id_is_valid(LENGTH_128 "a"));
        assert_false(task_name_is_valid(LENGTH_64 "a"));
}

/* All 255 bytes, first and later. */
static void test_every_byte(void **state _unused_)
{
        for (int c = 1; c < 256; c++) {
                char first[] = { (char)c, '\0' }, later[] = { 'a', (char)c, '\0' };
                bool alnum = (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z');
                assert_int_equal(task_id_is_valid(first), alnum);
                assert_int_equal(task_id_is_valid(later), alnum || c == '_' || c == '-');
        }
}

static void test_reserved(void **state _unused_)
{
        static const char *const reserved[] = { "a-check1", "a-step9999", "a-b-check0", "--step1",
                                                "check-check1" };
        static const char *const free[] = { "check1",  "-check1",  "a-check",   "a-check-1", "a-check12345",
                                            "acheck1", "a_check1", "a-check1a", "a-Check1",  "a-checks1",
                                            "1",       "",         "1234" };

        for (size_t i = 0; i < ELEMENTSOF(reserved); i++)
                if (!task_id_is_reserved(reserved[i]))
                        fail_msg("'%s' is not reserved", reserved[i]);
        for (size_t i = 0; i < ELEMENTSOF(free); i++)
                if (task_id_is_reserved(free[i]))
                        fail_msg("'%s' is reserved", free[i]);
        assert_true(task_id_ends_in("a-check1", "check"));
        assert_false(task_id_ends_in("a-check1", "step"));
}

static void test_make(void **state _unused_)
{
        char id[TASK_ID_MAX + 1], other[TASK_ID_MAX + 1];

        assert_int_equal(task_id_make("healing", "playbook", 1700000000 * USEC_PER_SEC, id), 0);
        assert_true(task_id_is_valid(id));
        assert_int_equal(strncmp(id, "healing_playbook_", 17), 0);
        assert_int_equal(strlen(id), 17 + 12);
        assert_int_equal(strspn(id + 17, "0123456789abcdefghjkmnpqrstvwxyz"), 12);

        assert_int_equal(task_id_make(LENGTH_64, LENGTH_64, 1, id), 0);
        assert_int_equal(strlen(id), TASK_ID_MAX);
        assert_true(task_id_is_valid(id));
        assert_int_equal(task_id_make("a", LENGTH_64, 1, other), 0);
        assert_int_equal(strlen(other), 1 + 1 + 64 + 1 + 12);
}

/* A millisecond later sorts behind; within one, ids differ by their random part. */
static void test_order(void **state _unused_)
{
        char before[TASK_ID_MAX + 1], after[TASK_ID_MAX + 1];
        usec_t t = 1700000000 * USEC_PER_SEC;
        unsigned same = 0;

        assert_int_equal(task_id_make("s", "t", t, before), 0);
        for (unsigned i = 1; i <= 2000; i++) {
                assert_int_equal(task_id_make("s", "t", t + i * USEC_PER_MSEC, after), 0);
                if (strcmp(before, after) >= 0)
                        fail_msg("%s does not sort before %s", before, after);
                strcpy(before, after);
        }
        for (unsigned i = 0; i < 100; i++) {
                assert_int_equal(task_id_make("s", "t", t, before), 0);
                assert_int_equal(task_id_make("s", "t", t, after), 0);
                assert_memory_equal(before, after, 4 + 8); /* "s_t_" and 40 of the 42 bits of time */
                same += strcmp(before, after) == 0;
        }
        assert_in_range(same, 0, 2); /* 18 bits: one pair in 262,144 */
}

static void test_attempt_names(void **state _unused_)
{
        static const unsigned attempts[] = { 1, 9, 10, 999, TASK_ATTEMPT_MAX };
        char name[TASK_ATTEMPT_NAME_SIZE], id[TASK_ID_MAX + 1];
        unsigned attempt;

        for (size_t i = 0; i < ELEMENTSOF(attempts); i++) {
                task_attempt_name(LENGTH_128, attempts[i], name);
                assert_int_equal(task_attempt_name_parse(name, id, &attempt), 0);
                assert_string_equal(id, LENGTH_128);
                assert_int_equal(attempt, attempts[i]);
        }
        assert_string_equal(task_attempt_name("t", 7, name), "t.7");
}

static void test_bad_attempt_names(void **state _unused_)
{
        static const char *const bad[] = { "",
                                           "t",
                                           "t.",
                                           ".1",
                                           "t.0",
                                           "t.01",
                                           "t.1001",
                                           "t.-1",
                                           "t.+1",
                                           "t.1 ",
                                           "t.1.1",
                                           "t. 1",
                                           "t.1\n",
                                           "t.x",
                                           "../t.1",
                                           "t/.1",
                                           "t.99999999999",
                                           "-t.1",
                                           LENGTH_128 "a.1" };
        char id[TASK_ID_MAX + 1] = "untouched";
        unsigned attempt = 77;

        for (size_t i = 0; i < ELEMENTSOF(bad); i++)
                assert_errno(task_attempt_name_parse(bad[i], id, &attempt), -EINVAL, bad[i]);
        assert_string_equal(id, "untouched");
        assert_int_equal(attempt, 77);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_valid),
                cmocka_unit_test(test_every_byte),
                cmocka_unit_test(test_reserved),
                cmocka_unit_test(test_make),
                cmocka_unit_test(test_order),
                cmocka_unit_test(test_attempt_names),
                cmocka_unit_test(test_bad_attempt_names),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
