/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* A socket of the test stands in for journald: what a stream begins with is its protocol. */

#include "tests/unit/test.h"

#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "basic/fd.h"
#include "common/task-id.h"
#include "launcher/journal.h"

typedef struct Fake {
        char directory[32], path[64];
        int fd;
} Fake;

static int setup(void **state)
{
        struct sockaddr_un address = { .sun_family = AF_UNIX };
        Fake *f = NEW0(Fake, 1);

        assert_non_null(f);
        strcpy(f->directory, "/tmp/reeve-journal-XXXXXX");
        assert_non_null(mkdtemp(f->directory));
        snprintf(f->path, sizeof(f->path), "%s/stdout", f->directory);
        strcpy(address.sun_path, f->path);
        f->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
        assert_int_equal(bind(f->fd, (struct sockaddr *)&address, sizeof(address)), 0);
        *state = f;
        return 0;
}

static int teardown(void **state)
{
        Fake *f = *state;

        close(f->fd);
        unlink(f->path);
        rmdir(f->directory);
        free(f);
        return 0;
}

static void expect_stream(Fake *f, const char *id)
{
        char expected[TASK_ID_MAX + 32], got[TASK_ID_MAX + 64];

        _cleanup_fd_ int fd = journal_connect(f->path, id);
        if (fd < 0)
                fail_msg("journal_connect: %s", strerror(-fd));
        assert_int_equal(fd_write_full(fd, "a line\n", 7), 0);
        assert_true(fcntl(fd, F_GETFD) & FD_CLOEXEC);
        fd = fd_close(fd);

        _cleanup_fd_ int peer = accept4(f->fd, NULL, NULL, SOCK_CLOEXEC);
        assert_true(peer >= 0);
        ssize_t n = fd_read_full(peer, got, sizeof(got) - 1);
        assert_true(n >= 0);
        got[n] = '\0';
        snprintf(expected, sizeof(expected), "%s\n\n6\n1\n0\n0\n0\na line\n", id);
        assert_string_equal(got, expected);
}

static void test_stream(void **state)
{
        Fake *f = *state;
        char longest[TASK_ID_MAX + 1];

        memset(longest, 'x', TASK_ID_MAX);
        longest[TASK_ID_MAX] = '\0';
        assert_int_equal(listen(f->fd, 4), 0);
        expect_stream(f, "user_backup_0123456789ab");
        expect_stream(f, longest);
}

static void test_nobody_there(void **state)
{
        Fake *f = *state;

        assert_errno(journal_connect(f->path, "t"), -ECONNREFUSED, "a socket on which nobody listens");
        assert_errno(journal_connect("/nonexistent/stdout", "t"), -ENOENT, "no socket");
        assert_errno(journal_connect("/dev/null", "t"), -ECONNREFUSED, "another kind of file");
}

/* The end of whoever reads is an error for the task, not a death before it began. */
static void test_writes_after_the_end(void **state)
{
        Fake *f = *state;

        assert_int_equal(listen(f->fd, 4), 0);
        _cleanup_fd_ int fd = journal_connect(f->path, "t");
        int peer = accept4(f->fd, NULL, NULL, SOCK_CLOEXEC);
        close(peer);
        assert_int_equal(send(fd, "x", 1, MSG_NOSIGNAL), -1);
        assert_int_equal(errno, EPIPE);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test_setup_teardown(test_stream, setup, teardown),
                cmocka_unit_test_setup_teardown(test_nobody_there, setup, teardown),
                cmocka_unit_test_setup_teardown(test_writes_after_the_end, setup, teardown),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
