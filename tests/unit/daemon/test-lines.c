/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The line log: what a line says, where a text ends, and the file: over restarts, renames, full sizes, and a path that cannot be opened. */

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <poll.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "basic/fd.h"
#include "daemon/lines/line-log.h"
#include "tests/unit/test.h"

#define MOMENT UINT64_C(1795433405123456) /* 2026-11-23T11:30:05.123456Z */
#define HEAD   "2026-11-23T11:30:05.123456Z TASK-REGISTRY "

static char directory[] = "/tmp/reeve-test-lines-XXXXXX";
static FakeClock now;

/* ---- text ---- */

static void expect_line(const char *detail, const char *rest)
{
        _cleanup_buffer_ Buffer b = { 0 };
        _cleanup_free_ char *expected =
                        string_printf(HEAD "event=7 topic=task.completed task_id=a-b_1%s\n", rest);
        const LineEvent e = { 7, MOMENT, "task.completed", "a-b_1", detail };

        assert_int_equal(line_append_event(&b, &e), 0);
        assert_string_equal(b.data, expected);
}

static void lines_of_events(void **state)
{
        expect_line("{\"task_id\":\"a-b_1\",\"subsystem\":\"ml\",\"task_type\":\"train\",\"title\":\"A "
                    "title\",\"created_by\":\"me\","
                    "\"owner_uid\":1000,\"status\":\"completed\",\"attempt\":0,\"duration_seconds\":12.5,"
                    "\"usage\":{\"cpu_usec\":5,\"io_read_bytes\":6},\"usage_sources\":{\"cpu_usec\":"
                    "\"reported\"}}",
                    " subsystem=ml task_type=train status=completed owner_uid=1000 attempt=0 "
                    "duration_seconds=12.5"
                    " title=\"A title\" created_by=\"me\" usage={\"cpu_usec\":5,\"io_read_bytes\":6}");
        expect_line("{\"status\":\"active\",\"usage\":{\"cpu_usec\":5},\"progress\":0.5,\"title\":\"\"}",
                    " status=active progress=0.5 title=\"\" usage={\"cpu_usec\":5}");
        expect_line("{}", "");
}

static void usage_is_said_at_the_end(void **state)
{
        _cleanup_buffer_ Buffer b = { 0 };
        const LineEvent e = { 7, MOMENT, "task.updated", "t",
                              "{\"status\":\"active\",\"usage\":{\"cpu_usec\":5}}" };

        assert_int_equal(line_append_event(&b, &e), 0);
        assert_string_equal(b.data, HEAD "event=7 topic=task.updated task_id=t status=active\n");
}

static void nobody_writes_a_line_of_his_own(void **state)
{
        expect_line("{\"title\":\"x\\n" HEAD "event=8 \\\"topic\\\\\",\"status\":\"active\"}",
                    " status=active title=\"x\\n" HEAD "event=8 \\\"topic\\\\\"");
        expect_line("{\"a\":{\"status\":\"inner\",\"b\":[\"}\",{}]},\"c\":\"\\\"status\\\":\",\"status\":"
                    "\"a b\"}",
                    " status=\"a b\"");
        expect_line("{\"status\":\"a=b\",\"outcome\":\"\"}", " status=\"a=b\" outcome=\"\"");
}

static void what_does_not_look_like_an_object_ends_the_line(void **state)
{
        static const char *const texts[] = { "",
                                             "[]",
                                             "5",
                                             "{",
                                             "{\"",
                                             "{\"status",
                                             "{\"status\"",
                                             "{\"status\":",
                                             "{\"status\":\"a",
                                             "{\"status\":\"a\\",
                                             "{\"status\":{",
                                             "null" };

        for (size_t i = 0; i < ELEMENTSOF(texts); i++)
                expect_line(texts[i], "");
        expect_line("{\"status\":\"active\",\"title\":\"x", " status=active");
        expect_line("{\"status\":\"active\",5}", " status=active");
}

static int64_t last_of(const char *text)
{
        return line_last_number(text, strlen(text));
}

static void numbers_of_texts(void **state)
{
        assert_int_equal(line_last_number(NULL, 0), -1);
        assert_int_equal(last_of("\n\n"), -1);
        assert_int_equal(last_of("something else\n"), -1);
        assert_int_equal(last_of(HEAD "after=4 topic=log.begins\n"), 4);
        assert_int_equal(last_of(HEAD "event=5 topic=x\n" HEAD "event=6 topic=y\n"), 6);
        assert_int_equal(last_of(HEAD "event=5 topic=x\n" HEAD "event=6 topic"), 5);
        assert_int_equal(last_of(HEAD "event=5 topic=x\nsomething else\n"), 5);
        assert_int_equal(last_of(HEAD "event=5"), -1);
        assert_int_equal(last_of("of a line\n" HEAD "event=9223372036854775807 x\n"), INT64_MAX);
}

/* ---- files ---- */

static char *place(const char *name)
{
        return string_printf("%s/%s", directory, name);
}

static char *text_of(const char *name)
{
        _cleanup_free_ char *path = place(name);
        _cleanup_fd_ int fd = open(path, O_RDONLY | O_CLOEXEC);
        char *text = calloc(1, 1 << 22);

        assert_true(fd >= 0);
        assert_true(read(fd, text, (1 << 22) - 1) >= 0);
        return text;
}

static void put(const char *name, const char *text)
{
        _cleanup_free_ char *path = place(name);
        _cleanup_fd_ int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
        assert_true(fd >= 0);
        assert_int_equal(fd_write_full(fd, text, strlen(text)), 0);
}

static LineLog *start(int64_t after, uint64_t max_bytes, unsigned files)
{
        _cleanup_free_ char *path = place("tasks.log");
        const LineLogConfig config = {
                .path = path, .clock = &now.clock, .max_bytes = max_bytes, .files = files
        };
        LineLog *l;

        assert_int_equal(line_log_new(&config, after, &l), 0);
        return l;
}

static int add(LineLog *l, int64_t number)
{
        return line_log_add(l,
                            &(LineEvent){ number, MOMENT, "task.updated", "t", "{\"status\":\"active\"}" });
}

#define LINE(n)  HEAD "event=" #n " topic=task.updated task_id=t status=active\n"
#define BEGIN(n) HEAD "after=" #n " topic=log.begins\n"

static void expect_text(const char *name, const char *expected)
{
        _cleanup_free_ char *text = text_of(name);
        assert_string_equal(text, expected);
}

static void expect_last(int64_t number)
{
        _cleanup_free_ char *path = place("tasks.log");
        assert_int_equal(line_log_last_number(path), number);
}

static void a_file_goes_on(void **state)
{
        _cleanup_free_ char *path = place("tasks.log");
        struct stat st;

        expect_last(-1);
        line_log_free(start(3, 0, 4));
        expect_text("tasks.log", BEGIN(3));
        expect_last(3);
        LineLog *l = start(3, 0, 4);
        assert_int_equal(add(l, 4), 0);
        assert_int_equal(add(l, 6), 0);
        line_log_free(l);
        expect_text("tasks.log", BEGIN(3) LINE(4) LINE(6));
        expect_last(6);
        assert_int_equal(stat(path, &st), 0);
        assert_int_equal(st.st_mode & 07777, 0644);
}

static void half_a_line_is_no_line(void **state)
{
        put("tasks.log", BEGIN(3) LINE(4) HEAD "event=5 topic=ta");
        expect_last(4);
        LineLog *l = start(4, 0, 4);
        add(l, 5);
        line_log_free(l);
        expect_text("tasks.log", BEGIN(3) LINE(4) LINE(5));
}

static void others_may_rename_it(void **state)
{
        _cleanup_free_ char *path = place("tasks.log"), *other = place("rotated");
        LineLog *l = start(0, 0, 4);

        add(l, 1);
        while (line_log_last_number(path) != 1)
                sched_yield();
        assert_int_equal(rename(path, other), 0);
        add(l, 2);
        line_log_free(l);
        expect_text("rotated", BEGIN(0) LINE(1));
        expect_text("tasks.log", BEGIN(1) LINE(2));
        expect_last(2);
}

static void a_large_file_is_renamed(void **state)
{
        static const char *const names[] = { "tasks.log.2", "tasks.log.1", "tasks.log" };
        int64_t last = -1;
        LineLog *l = start(0, 65536, ELEMENTSOF(names));

        for (int64_t n = 1; n <= 20000; n++)
                if (add(l, n) == 1) {
                        struct pollfd fd = { .fd = line_log_fd(l), .events = POLLIN };
                        assert_int_equal(poll(&fd, 1, 20000), 1);
                        line_log_heard(l);
                }
        line_log_free(l);
        expect_last(20000);
        for (size_t i = 0; i < ELEMENTSOF(names); i++) {
                _cleanup_free_ char *text = text_of(names[i]);
                const char *first = strchr(text, '\n') + 1;
                int64_t after = line_last_number(text, (size_t)(first - text)), lines = 0;

                assert_true(last < 0 || after == last);
                last = line_last_number(text, strlen(text));
                for (const char *p = text; *p; p++)
                        lines += *p == '\n';
                assert_int_equal(lines - 1, last - after);
                assert_in_range(strlen(text), i + 1 < ELEMENTSOF(names) ? 65536 : 0, 65536 + 512 * 1024);
        }
        assert_int_equal(last, 20000);
        _cleanup_free_ char *gone = place("tasks.log.3");
        assert_int_equal(access(gone, F_OK), -1);
}

static void with_one_file_the_old_one_goes(void **state)
{
        _cleanup_free_ char *gone = place("tasks.log.1");

        put("tasks.log", BEGIN(3) LINE(4));
        LineLog *l = start(4, 10, 1);
        add(l, 5);
        line_log_free(l);
        expect_text("tasks.log", BEGIN(4) LINE(5));
        assert_int_equal(access(gone, F_OK), -1);
}

static void after_a_rename_the_number_is_that_of_the_old_file(void **state)
{
        put("tasks.log.1", BEGIN(3) LINE(4));
        expect_last(4);
        put("tasks.log", "");
        expect_last(4);
}

/* Lines wait, up to a bound, and are all written when the path can be opened. */
static void a_path_that_cannot_be_opened(void **state)
{
        _cleanup_free_ char *path = place("tasks.log");
        int64_t n = 0;

        assert_int_equal(mkdir(path, 0700), 0);
        LineLog *l = start(0, 0, 4);
        while (add(l, ++n) == 0)
                assert_true(n < 100000);
        assert_true(n > 1000);
        assert_int_equal(rmdir(path), 0);
        struct pollfd fd = { .fd = line_log_fd(l), .events = POLLIN };
        assert_int_equal(poll(&fd, 1, 20000), 1);
        line_log_heard(l);
        line_log_free(l);
        expect_last(n);
        _cleanup_free_ char *text = text_of("tasks.log");
        assert_true(strncmp(text, BEGIN(0) LINE(1) LINE(2), strlen(BEGIN(0) LINE(1) LINE(2))) == 0);
}

static void what_is_no_file_is_left_alone(void **state)
{
        _cleanup_free_ char *path = place("tasks.log"), *aim = place("aim");

        put("aim", "mine\n");
        assert_int_equal(symlink(aim, path), 0);
        LineLog *l = start(0, 0, 4);
        add(l, 1);
        line_log_free(l);
        expect_text("aim", "mine\n");
        assert_int_equal(unlink(path), 0);
        assert_int_equal(mkfifo(path, 0600), 0);
        l = start(0, 0, 4);
        add(l, 1);
        line_log_free(l);
        expect_last(-1);
}

/* ---- */

static int make_directory(void **state)
{
        strcpy(directory, "/tmp/reeve-test-lines-XXXXXX");
        fake_clock_init(&now, MOMENT, 1);
        return mkdtemp(directory) ? 0 : -1;
}

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
        return remove(path);
}

static int remove_directory(void **state)
{
        return nftw(directory, remove_one, 8, FTW_DEPTH | FTW_PHYS);
}

#define IN_DIRECTORY(f) cmocka_unit_test_setup_teardown(f, make_directory, remove_directory)

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(lines_of_events),
                cmocka_unit_test(usage_is_said_at_the_end),
                cmocka_unit_test(nobody_writes_a_line_of_his_own),
                cmocka_unit_test(what_does_not_look_like_an_object_ends_the_line),
                cmocka_unit_test(numbers_of_texts),
                IN_DIRECTORY(a_file_goes_on),
                IN_DIRECTORY(half_a_line_is_no_line),
                IN_DIRECTORY(others_may_rename_it),
                IN_DIRECTORY(a_large_file_is_renamed),
                IN_DIRECTORY(with_one_file_the_old_one_goes),
                IN_DIRECTORY(after_a_rename_the_number_is_that_of_the_old_file),
                IN_DIRECTORY(a_path_that_cannot_be_opened),
                IN_DIRECTORY(what_is_no_file_is_left_alone),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
