/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Log lines: one per message whatever is in it, filtered by level, with the journal's prefix only for the journal. */

#include "basic/log.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "basic/fd.h"
#include "tests/unit/test.h"

/* stderr goes to a memfd from capture_begin() to capture_end(). */
static int saved_stderr, captured;

static void capture_begin(void)
{
        captured = memfd_create("reeve-test", MFD_CLOEXEC);
        saved_stderr = fcntl(STDERR_FILENO, F_DUPFD_CLOEXEC, 3);
        assert_true(captured >= 0 && saved_stderr >= 0);
        assert_int_equal(dup2(captured, STDERR_FILENO), STDERR_FILENO);
}

static const char *capture_end(void)
{
        static char text[8192];

        dup2(saved_stderr, STDERR_FILENO);
        assert_true(fd_pread_file(captured, text, sizeof(text)) >= 0);
        fd_close(captured);
        fd_close(saved_stderr);
        return text;
}

static int set_up(void **state _unused_)
{
        unsetenv("JOURNAL_STREAM");
        unsetenv("REEVE_LOG_LEVEL");
        log_init("tester");
        log_set_max_level(LOG_INFO);
        return 0;
}

static void test_lines(void **state _unused_)
{
        capture_begin();
        log_info("%d task%s", 2, "s");
        log_debug("not shown");
        log_error("bad");
        assert_string_equal(capture_end(), "tester: 2 tasks\ntester: bad\n");
}

static void test_errno(void **state _unused_)
{
        capture_begin();
        errno = ENOTTY;
        int a = log_error_errno(-ENOENT, "cannot open %s", "x"), b = log_warning_errno(ENOENT, "y");
        int c = log_debug_errno(EIO, "not shown");
        log_info("z");
        int after = errno;
        assert_string_equal(capture_end(), "tester: cannot open x: No such file or directory\n"
                                           "tester: y: No such file or directory\ntester: z\n");
        assert_int_equal(a, -ENOENT);
        assert_int_equal(b, -ENOENT);
        assert_int_equal(c, -EIO);
        assert_int_equal(after, ENOTTY);
}

static void test_reeve_error(void **state _unused_)
{
        ReeveError e;

        reeve_error_set(&e, REEVE_ERROR_UNAVAILABLE, NULL, "no room");
        capture_begin();
        int r = log_full_reeve_error(LOG_ERR, &e, "cannot commit");
        assert_string_equal(capture_end(), "tester: cannot commit: no room\n");
        assert_int_equal(r, -EAGAIN);
}

/* A client's text must not make a second line that looks like ours. */
static void test_one_line(void **state _unused_)
{
        capture_begin();
        log_info("title 'a\ntester: root logged in\r\x1b[2J'");
        assert_string_equal(capture_end(), "tester: title 'a tester: root logged in  [2J'\n");
}

static void test_long(void **state _unused_)
{
        char huge[5000];

        memset(huge, 'x', sizeof(huge) - 1);
        huge[sizeof(huge) - 1] = '\0';
        capture_begin();
        log_info("%s", huge);
        log_error_errno(ENOENT, "%s", huge);
        const char *text = capture_end();
        const char *second = strchr(text, '\n') + 1;
        assert_in_range(second - text, 1000, 2048);
        assert_int_equal(strncmp(second, "tester: xxx", 11), 0);
        assert_ptr_equal(strchr(second, '\n'), text + strlen(text) - 1);
}

static void test_level_from_environment(void **state _unused_)
{
        static const struct {
                const char *text;
                int level;
        } cases[] = { { "debug", LOG_DEBUG }, { "WARNING", LOG_WARNING }, { "0", LOG_EMERG },
                      { "7", LOG_DEBUG },     { "8", LOG_INFO },          { "nonsense", LOG_INFO },
                      { "", LOG_INFO } };

        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                log_set_max_level(LOG_INFO);
                setenv("REEVE_LOG_LEVEL", cases[i].text, 1);
                log_init("tester");
                assert_int_equal(log_get_max_level(), cases[i].level);
        }
}

static void test_journal(void **state _unused_)
{
        setenv("JOURNAL_STREAM", "8:1", 1);
        log_init("tester");
        capture_begin();
        log_warning("x");
        assert_string_equal(capture_end(), "<4>x\n");
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test_setup(test_lines, set_up),
                cmocka_unit_test_setup(test_errno, set_up),
                cmocka_unit_test_setup(test_reeve_error, set_up),
                cmocka_unit_test_setup(test_one_line, set_up),
                cmocka_unit_test_setup(test_long, set_up),
                cmocka_unit_test_setup(test_level_from_environment, set_up),
                cmocka_unit_test_setup(test_journal, set_up),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
