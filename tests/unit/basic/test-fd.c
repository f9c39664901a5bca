/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Descriptors and small files: ownership, short transfers, limits, and the errors that must come through. */

#include "basic/fd.h"

#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>

#include "basic/dir.h"
#include "tests/unit/test.h"

static int make_file(const char *text)
{
        int fd = memfd_create("reeve-test", MFD_CLOEXEC);
        assert_true(fd >= 0);
        assert_int_equal(fd_write_full(fd, text, strlen(text)), 0);
        return fd;
}

static void test_ownership(void **state _unused_)
{
        int fd = make_file(""), kept;
        {
                _cleanup_fd_ int owner = fd;
                kept = TAKE_FD(owner);
                assert_int_equal(owner, -EBADF);
        }
        assert_int_equal(kept, fd);
        assert_true(fcntl(fd, F_GETFD) >= 0);
        {
                _cleanup_fd_ int owner = kept;
                assert_true(owner >= 0);
        }
        assert_int_equal(fcntl(fd, F_GETFD), -1);

        errno = ENOTTY;
        assert_int_equal(fd_close(-1), -EBADF);
        assert_int_equal(fd_close(1 << 20), -EBADF);
        assert_int_equal(errno, ENOTTY);
}

/* A pipe gives and takes in pieces. */
static void test_pipe(void **state _unused_)
{
        char buffer[16];
        int p[2];

        assert_int_equal(pipe2(p, O_CLOEXEC), 0);
        assert_int_equal(fd_write_full(p[1], "abc", 3), 0);
        assert_int_equal(fd_read_full(p[0], buffer, 2), 2);
        assert_int_equal(fd_write_full(p[1], "defg", 4), 0);
        fd_close(p[1]);
        assert_int_equal(fd_read_full(p[0], buffer, sizeof(buffer)), 5);
        assert_memory_equal(buffer, "cdefg", 5);
        assert_int_equal(fd_read_full(p[0], buffer, sizeof(buffer)), 0);
        assert_int_equal(fd_read_full(p[0], NULL, 0), 0);
        fd_close(p[0]);
        assert_int_equal(fd_read_full(-1, buffer, 1), -EBADF);
        assert_int_equal(fd_write_full(-1, buffer, 1), -EBADF);
        assert_int_equal(fd_write_full(-1, NULL, 0), 0);
}

static void test_pread_file(void **state _unused_)
{
        _cleanup_fd_ int fd = make_file("hello");
        char buffer[8], exact[6], small[5];

        assert_int_equal(fd_pread_file(fd, buffer, sizeof(buffer)), 5);
        assert_string_equal(buffer, "hello");
        assert_int_equal(fd_pread_file(fd, exact, sizeof(exact)), 5); /* from the start again */
        assert_string_equal(exact, "hello");
        assert_int_equal(fd_pread_file(fd, small, sizeof(small)), -E2BIG);
        assert_int_equal(lseek(fd, 0, SEEK_CUR), 5); /* where the writes left it */
}

static void test_read_file_at(void **state _unused_)
{
        char buffer[4096];

        assert_true(fd_read_file_at(AT_FDCWD, "/proc/self/stat", buffer, sizeof(buffer)) > 0);
        assert_int_equal(fd_read_file_at(AT_FDCWD, "/proc/self/no-such-file", buffer, sizeof(buffer)),
                         -ENOENT);
        assert_int_equal(fd_read_file_at(AT_FDCWD, "/proc/self", buffer, sizeof(buffer)), -EISDIR);
        assert_int_equal(fd_read_file_at(AT_FDCWD, "/dev/zero", buffer, sizeof(buffer)), -E2BIG);
        assert_int_equal(fd_read_file_at(AT_FDCWD, "/dev/null", buffer, sizeof(buffer)), 0);
        assert_string_equal(buffer, "");
}

static int read_alloc(int fd, size_t max, char **ret, size_t *ret_size)
{
        char path[64];

        snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
        return fd_read_file_alloc(AT_FDCWD, path, max, ret, ret_size);
}

static void test_read_file_alloc(void **state _unused_)
{
        _cleanup_fd_ int fd = make_file("hello"), empty = make_file("");
        char *text = NULL;
        size_t size = 77;

        assert_int_equal(read_alloc(fd, 5, &text, &size), 0);
        assert_int_equal(size, 5);
        assert_string_equal(text, "hello");
        free(text);
        text = NULL;
        size = 77;
        assert_int_equal(read_alloc(fd, 4, &text, &size), -E2BIG);
        assert_int_equal(fd_read_file_alloc(AT_FDCWD, "/proc", 4, &text, &size), -EISDIR);
        assert_int_equal(fd_read_file_alloc(AT_FDCWD, "/no/such/file", 4, &text, &size), -ENOENT);
        assert_null(text);
        assert_int_equal(size, 77);

        assert_int_equal(read_alloc(empty, 0, &text, NULL), 0);
        assert_string_equal(text, "");
        free(text);
}

/* Kernel files say size 0; they are read to their end and no further than allowed. */
static void test_read_file_alloc_kernel(void **state _unused_)
{
        char *text = NULL;
        size_t size;

        assert_int_equal(fd_read_file_alloc(AT_FDCWD, "/dev/zero", 100000, &text, &size), -E2BIG);
        assert_int_equal(fd_read_file_alloc(AT_FDCWD, "/proc/self/stat", 1, &text, &size), -E2BIG);
        assert_null(text);
        assert_int_equal(fd_read_file_alloc(AT_FDCWD, "/proc/self/smaps", 1 << 24, &text, &size), 0);
        assert_true(size > 4096); /* more than the first piece */
        assert_int_equal(strlen(text), size);
        free(text);
}

static void test_write_file_at(void **state _unused_)
{
        char dir[] = "/tmp/test-reeve-fd-XXXXXX", buffer[16];

        assert_non_null(mkdtemp(dir));
        _cleanup_fd_ int dir_fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        assert_int_equal(fd_write_file_at(dir_fd, "attribute", "1"), -ENOENT); /* never creates */
        fd_close(openat(dir_fd, "attribute", O_WRONLY | O_CREAT | O_CLOEXEC, 0644));
        assert_int_equal(fd_write_file_at(dir_fd, "attribute", "max"), 0);
        assert_int_equal(fd_read_file_at(dir_fd, "attribute", buffer, sizeof(buffer)), 3);
        assert_string_equal(buffer, "max");
        assert_int_equal(unlinkat(dir_fd, "attribute", 0), 0);
        assert_int_equal(rmdir(dir), 0);
        assert_int_equal(fd_write_file_at(AT_FDCWD, "/dev/full", "x"), -ENOSPC);
}

static void test_flags(void **state _unused_)
{
        _cleanup_fd_ int fd = make_file("");

        for (int on = 1; on >= 0; on--)
                for (int twice = 0; twice < 2; twice++) {
                        assert_int_equal(fd_set_nonblock(fd, on), 0);
                        assert_int_equal(!!(fcntl(fd, F_GETFL) & O_NONBLOCK), on);
                        assert_int_equal(fd_set_cloexec(fd, on), 0);
                        assert_int_equal(!!(fcntl(fd, F_GETFD) & FD_CLOEXEC), on);
                }
        assert_int_equal(fd_set_nonblock(-1, 1), -EBADF);
        assert_int_equal(fd_set_cloexec(-1, 1), -EBADF);
}

/* In a child, since it closes the test's own. */
static void test_close_all_but(void **state _unused_)
{
        int status;

        pid_t pid = fork();
        if (pid == 0) {
                static const int all[] = { 10, 11, 12, 13, 20 };
                int keep[] = { 13, -EBADF, 11, 2, 11 };

                for (size_t i = 0; i < ELEMENTSOF(all); i++)
                        if (dup2(STDERR_FILENO, all[i]) < 0)
                                _exit(100);
                fd_close_all_but(keep, ELEMENTSOF(keep));
                for (int fd = 0; fd < 64; fd++)
                        if ((fcntl(fd, F_GETFD) >= 0) != (fd <= 2 || fd == 11 || fd == 13))
                                _exit(fd + 1);
                fd_close_all_but(NULL, 0);
                _exit(fcntl(11, F_GETFD) >= 0 || fcntl(2, F_GETFD) < 0 ? 101 : 0);
        }
        assert_int_equal(waitpid(pid, &status, 0), pid);
        if (status != 0)
                fail_msg("wait status %#x: is descriptor %d open or closed?", status,
                         WEXITSTATUS(status) - 1);
}

static void test_dir_open_at(void **state _unused_)
{
        size_t n = 0;

        _cleanup_closedir_ DIR *dir = dir_open_at(AT_FDCWD, "/proc/self/fd");
        assert_non_null(dir);
        for (const struct dirent *d; (d = readdir(dir));)
                n++;
        assert_true(n > 2);
        _cleanup_closedir_ DIR *again = dir_open_at(dirfd(dir), ".");
        assert_non_null(again);
        assert_null(dir_open_at(AT_FDCWD, "/proc/self/stat"));
        assert_int_equal(errno, ENOTDIR);
        assert_null(dir_open_at(AT_FDCWD, "/proc/self")); /* a link */
        assert_null(dir_open_at(-EBADF, "x"));
        assert_int_equal(errno, EBADF);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_ownership),       cmocka_unit_test(test_pipe),
                cmocka_unit_test(test_pread_file),      cmocka_unit_test(test_read_file_at),
                cmocka_unit_test(test_read_file_alloc), cmocka_unit_test(test_read_file_alloc_kernel),
                cmocka_unit_test(test_write_file_at),   cmocka_unit_test(test_flags),
                cmocka_unit_test(test_close_all_but),   cmocka_unit_test(test_dir_open_at),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
