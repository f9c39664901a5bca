/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* What a task is called in lists. */

#include "cli/command-line.h"

#include "common/json/json.h"
#include "tests/unit/test.h"

static void check_line(json_t *argv, const char *expected)
{
        _cleanup_free_ char *line = command_line_text(argv);
        assert_non_null(line);
        assert_string_equal(line, expected);
        json_decref(argv);
}

static void test_line(void **state _unused_)
{
        check_line(json_pack("[sss]", "xz", "-9k", "corpus.tar"), "xz -9k corpus.tar");
        check_line(json_pack("[ssss]", "sh", "-c", "echo it's", ""), "sh -c 'echo it'\\''s' ''");
        check_line(json_pack("[s]", "a\n\033[2J"), "'a??[2J'");
        check_line(json_pack("[si]", "a", 1), "a '?'"); /* no string: nothing that a command line has */
        check_line(json_array(), "");
        check_line(json_object(), "");
}

static void check_title(json_t *task, const char *expected)
{
        TaskView t = task_view(task);
        _cleanup_free_ char *title = task_title_text(&t);
        assert_non_null(title);
        assert_string_equal(title, expected);
        json_decref(task);
}

static void test_title(void **state _unused_)
{
        check_title(json_pack("{ss s[ss]}", "title", "xz", "argv", "/usr/bin/xz", "-9"), "xz -9");
        check_title(json_pack("{ss s[ss]}", "title", "xz", "argv", "xz", "-9"), "xz -9");
        check_title(json_pack("{ss s[ss]}", "title", "a corpus", "argv", "/usr/bin/xz", "-9"), "a corpus");
        check_title(json_pack("{ss s[ss]}", "title", "z", "argv", "/usr/bin/xz", "-9"), "z");
        check_title(json_pack("{ss s[s]}", "title", "", "argv", "xz"), "");
        check_title(json_pack("{ss}", "title", "xz"), "xz"); /* somebody else's */
        check_title(json_pack("{ss ss}", "title", "xz", "argv", "xz"), "xz");
        check_title(json_object(), "");
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_line),
                cmocka_unit_test(test_title),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
