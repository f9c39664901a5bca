/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* What reeve-check finds out about files, hostile ones among them: each must end in a verdict, at once and without being
 * acted upon. */

#include "check/check-file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "basic/fd.h"
#include "basic/time.h"
#include "check/check-text.h"
#include "tests/unit/test.h"

#define EMPTY_HASH "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
#define HELLO_HASH "5891b5b522d5df086d0ff0b110fbd9d21bb4fc7163af34d08286a2e846f6be03" /* "hello\n" */

#define NOBODY 65534

static char directory[] = "/tmp/test-reeve-check-XXXXXX";

static const char *at(const char *name)
{
        static char path[sizeof(((struct sockaddr_un *)NULL)->sun_path)];

        snprintf(path, sizeof(path), "%s/%s", directory, name);
        return path;
}

static void write_file(const char *name, const char *data, size_t n)
{
        _cleanup_fd_ int fd = open(at(name), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);

        assert_true(fd >= 0);
        assert_int_equal(fd_write_full(fd, data, n), 0);
}

static void write_text(const char *name, const char *text)
{
        write_file(name, text, strlen(text));
}

/* `why` is part of the reason; "" for a pass. */
static void expect(const char *name, CheckOptions o, Verdict verdict, const char *why)
{
        Evidence e = { 0 };

        o.path = at(name);
        check_file(&e, &o);
        if (e.verdict != verdict || !strstr(e.why, why) || (!why[0] && e.why[0]))
                fail_msg("%s: expected %d because '%s', got %d because '%s'; %s", name, verdict, why,
                         e.verdict, e.why, e.facts.data ?: "");
        evidence_done(&e);
}

static int make_directory(void **state _unused_)
{
        return mkdtemp(directory) && chmod(directory, 0755) == 0 ? 0 : -1;
}

static int remove_directory(void **state _unused_)
{
        char command[64];

        snprintf(command, sizeof(command), "rm -r %s", directory);
        return system(command);
}

static void test_size(void **state _unused_)
{
        write_text("five", "12345");
        expect("five", (CheckOptions){ 0 }, VERDICT_PASSED, "");
        expect("five", (CheckOptions){ .has_min_bytes = true, .min_bytes = 5 }, VERDICT_PASSED, "");
        expect("five", (CheckOptions){ .has_min_bytes = true, .min_bytes = 6 }, VERDICT_FAILED,
               "5 bytes, at least 6");
        expect("five", (CheckOptions){ .has_max_bytes = true, .max_bytes = 5 }, VERDICT_PASSED, "");
        expect("five", (CheckOptions){ .has_max_bytes = true, .max_bytes = 4 }, VERDICT_FAILED,
               "5 bytes, at most 4");
        expect("none", (CheckOptions){ 0 }, VERDICT_FAILED, "no such file");
        expect("five/below", (CheckOptions){ 0 }, VERDICT_FAILED, "no such file");
}

static void test_age(void **state _unused_)
{
        struct timespec times[2] = { { .tv_sec = 1000 }, { .tv_sec = 1000 } };
        const usec_t then = 1000 * USEC_PER_SEC;

        write_text("old", "x");
        assert_int_equal(utimensat(AT_FDCWD, at("old"), times, 0), 0);
        expect("old", (CheckOptions){ .newer_than = then }, VERDICT_PASSED, "");
        expect("old", (CheckOptions){ .newer_than = then + 10 * USEC_PER_MSEC }, VERDICT_PASSED, "");
        expect("old", (CheckOptions){ .newer_than = then + 11 * USEC_PER_MSEC }, VERDICT_FAILED, "older");
}

static void test_contents(void **state _unused_)
{
        write_text("hello", "hello\n");
        write_text("empty", "");
        expect("hello", (CheckOptions){ .sha256 = HELLO_HASH }, VERDICT_PASSED, "");
        expect("hello", (CheckOptions){ .sha256 = EMPTY_HASH }, VERDICT_FAILED, "SHA-256");
        expect("empty", (CheckOptions){ .sha256 = EMPTY_HASH }, VERDICT_PASSED, "");
        expect("hello", (CheckOptions){ .matches = "^hel+o$", .sha256 = HELLO_HASH }, VERDICT_PASSED, "");
        expect("hello", (CheckOptions){ .matches = "^x", .sha256 = HELLO_HASH }, VERDICT_FAILED,
               "no line matches '^x'");
        expect("hello", (CheckOptions){ .matches = "hello", .sha256 = EMPTY_HASH }, VERDICT_FAILED,
               "SHA-256");
        expect("empty", (CheckOptions){ .matches = "^$" }, VERDICT_FAILED, "no line");
        expect("hello", (CheckOptions){ .matches = "a(b" }, VERDICT_UNKNOWN, "regular expression");
        expect("hello", (CheckOptions){ .matches = "a{1,99999}" }, VERDICT_UNKNOWN, "regular expression");
}

static void test_lines(void **state _unused_)
{
        static const char text[] = "first\nse\0cond\nlast";

        write_file("lines", text, sizeof(text) - 1);
        expect("lines", (CheckOptions){ .matches = "^first$" }, VERDICT_PASSED, "");
        expect("lines", (CheckOptions){ .matches = "^last$" }, VERDICT_PASSED, "");
        expect("lines", (CheckOptions){ .matches = "cond$" }, VERDICT_PASSED, "");
        expect("lines", (CheckOptions){ .matches = "^cond" }, VERDICT_FAILED, "no line");
        expect("lines", (CheckOptions){ .matches = "first.se" }, VERDICT_FAILED, "no line");
}

/* One line of many buffers, with a line behind it. */
static void test_long_line(void **state _unused_)
{
        size_t n = 5 * CHECK_LINE_MAX + 17;
        _cleanup_free_ char *text = malloc(n);

        memset(text, 'a', n);
        text[CHECK_LINE_MAX - 1] = 'b';
        text[CHECK_LINE_MAX] = 'c';
        memcpy(text + n - 6, "\nlast\n", 6);
        write_file("long", text, n);
        expect("long", (CheckOptions){ .matches = "ab$" }, VERDICT_PASSED, "");
        expect("long", (CheckOptions){ .matches = "c" }, VERDICT_FAILED, "no line");
        expect("long", (CheckOptions){ .matches = "^last$" }, VERDICT_PASSED, "");
}

static void test_what_is_no_file(void **state _unused_)
{
        struct sockaddr_un address = { .sun_family = AF_UNIX };
        const CheckOptions all = { .matches = "x", .sha256 = EMPTY_HASH };

        assert_int_equal(mkfifo(at("fifo"), 0644), 0);
        expect("fifo", all, VERDICT_FAILED, "a FIFO");
        assert_int_equal(mkdir(at("dir"), 0755), 0);
        expect("dir", all, VERDICT_FAILED, "a directory");
        _cleanup_fd_ int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
        snprintf(address.sun_path, sizeof(address.sun_path), "%s", at("socket"));
        assert_int_equal(bind(fd, (struct sockaddr *)&address, sizeof(address)), 0);
        expect("socket", all, VERDICT_FAILED, "a socket");
        assert_int_equal(symlink("/dev/zero", at("device")), 0);
        expect("device", all, VERDICT_FAILED, "a device");
}

static void test_links(void **state _unused_)
{
        write_text("target", "hello\n");
        assert_int_equal(symlink("target", at("link")), 0);
        expect("link", (CheckOptions){ .sha256 = HELLO_HASH }, VERDICT_PASSED, "");
        assert_int_equal(symlink("nowhere", at("dangling")), 0);
        expect("dangling", (CheckOptions){ 0 }, VERDICT_FAILED, "no such file");
        assert_int_equal(symlink("loop", at("loop")), 0);
        expect("loop", (CheckOptions){ 0 }, VERDICT_UNKNOWN, "symbolic links");
}

/* A terabyte that is not there is no terabyte of work. */
static void test_holes(void **state _unused_)
{
        _cleanup_fd_ int fd = open(at("holes"), O_RDWR | O_CREAT | O_CLOEXEC, 0644);

        assert_int_equal(ftruncate(fd, (off_t)1 << 40), 0);
        expect("holes", (CheckOptions){ .matches = "x" }, VERDICT_FAILED, "no line");
        assert_int_equal(pwrite(fd, "\nx\n", 3, (off_t)1 << 39), 3);
        expect("holes", (CheckOptions){ .matches = "^x$" }, VERDICT_PASSED, "");
}

static void test_unreadable(void **state _unused_)
{
        int status;

        write_text("secret", "hello\n");
        assert_int_equal(chmod(at("secret"), 0), 0);
        assert_int_equal(mkdir(at("closed"), 0700), 0);
        write_text("closed/inside", "x");
        pid_t pid = fork();
        if (pid == 0) {
                if (geteuid() == 0 &&
                    (setresgid(NOBODY, NOBODY, NOBODY) < 0 || setresuid(NOBODY, NOBODY, NOBODY) < 0))
                        _exit(99);
                /* That it is there, and its size, is to be seen without reading it. */
                expect("secret", (CheckOptions){ .has_min_bytes = true, .min_bytes = 6 }, VERDICT_PASSED,
                       "");
                expect("secret", (CheckOptions){ .matches = "hello" }, VERDICT_UNKNOWN, "Permission denied");
                expect("secret", (CheckOptions){ .sha256 = HELLO_HASH }, VERDICT_UNKNOWN,
                       "Permission denied");
                if (getuid() == NOBODY)
                        expect("closed/inside", (CheckOptions){ 0 }, VERDICT_UNKNOWN, "Permission denied");
                _exit(0);
        }
        assert_int_equal(waitpid(pid, &status, 0), pid);
        assert_int_equal(status, 0);
}

/* Names and contents are any bytes; the evidence is JSON all the same. */
static void test_evidence(void **state _unused_)
{
        Evidence e = { 0 };
        CheckOptions o = { .path = at("q\"\\\n\xff"), .matches = "b" };

        write_text("q\"\\\n\xff", "a\tb\x01\xc3\n");
        check_file(&e, &o);
        assert_int_equal(e.verdict, VERDICT_PASSED);
        if (!strstr(e.facts.data, "q\\\"\\\\\\u000a?\"") ||
            !strstr(e.facts.data, "\"text\": \"a\\u0009b\\u0001?\""))
                fail_msg("%s", e.facts.data);
        evidence_done(&e);
}

static void test_first_reason_stays(void **state _unused_)
{
        Evidence e = { 0 };

        assert_int_equal(evidence_fail(&e, "first"), VERDICT_FAILED);
        assert_int_equal(evidence_unknown(&e, "second"), VERDICT_FAILED);
        assert_string_equal(e.why, "first");
        evidence_done(&e);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_size),
                cmocka_unit_test(test_age),
                cmocka_unit_test(test_contents),
                cmocka_unit_test(test_lines),
                cmocka_unit_test(test_long_line),
                cmocka_unit_test(test_what_is_no_file),
                cmocka_unit_test(test_links),
                cmocka_unit_test(test_holes),
                cmocka_unit_test(test_unreadable),
                cmocka_unit_test(test_evidence),
                cmocka_unit_test(test_first_reason_stays),
        };

        return cmocka_run_group_tests_name("check-file", tests, make_directory, remove_directory);
}
