/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Thin, complete wrappers: each does the one thing that a bare system call leaves to its caller (EINTR, short
 * transfers, termination), and nothing more. Kernel files are read in one call into the caller's buffer, because
 * procfs and cgroupfs give a consistent text only within one read. */

#include "basic/fd.h"

#include <string.h>
#include <sys/stat.h>

int fd_close(int fd)
{
        if (fd >= 0) {
                int saved = errno;
                close(fd);
                errno = saved;
        }
        return -EBADF;
}

ssize_t fd_read_full(int fd, void *buffer, size_t n)
{
        size_t done = 0;

        assert(buffer || n == 0);

        while (done < n) {
                ssize_t k = read(fd, (char *)buffer + done, n - done);
                if (k < 0) {
                        if (errno == EINTR)
                                continue;
                        return -errno;
                }
                if (k == 0)
                        break;
                done += (size_t)k;
        }
        return (ssize_t)done;
}

int fd_write_full(int fd, const void *data, size_t n)
{
        const char *p = data;

        assert(data || n == 0);

        while (n > 0) {
                ssize_t k = write(fd, p, n);
                if (k < 0) {
                        if (errno == EINTR)
                                continue;
                        return -errno;
                }
                p += k;
                n -= (size_t)k;
        }
        return 0;
}

ssize_t fd_pread_file(int fd, char *buffer, size_t size)
{
        size_t done = 0;

        assert(buffer);
        assert(size > 0);

        for (;;) {
                ssize_t k = pread(fd, buffer + done, size - done, (off_t)done);
                if (k < 0) {
                        if (errno == EINTR)
                                continue;
                        return -errno;
                }
                done += (size_t)k;
                if (k == 0)
                        break;
                if (done == size)
                        return -E2BIG;
        }
        buffer[done] = '\0';
        return (ssize_t)done;
}

ssize_t fd_read_file_at(int dir_fd, const char *path, char *buffer, size_t size)
{
        assert(path);

        _cleanup_fd_ int fd = openat(dir_fd, path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
        if (fd < 0)
                return -errno;
        return fd_pread_file(fd, buffer, size);
}

int fd_read_file_alloc(int dir_fd, const char *path, size_t max, char **ret, size_t *ret_size)
{
        struct stat st;

        assert(path);
        assert(ret);

        _cleanup_fd_ int fd = openat(dir_fd, path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
        if (fd < 0)
                return -errno;
        if (fstat(fd, &st) < 0)
                return -errno;
        if (S_ISDIR(st.st_mode))
                return -EISDIR;
        if (st.st_size > 0 && (uint64_t)st.st_size > max)
                return -E2BIG;

        /* Kernel files have size 0; they get the room that the caller allows, at most a page to begin with. */
        size_t room = st.st_size > 0 ? (size_t)st.st_size + 1 : MIN(max, (size_t)4096) + 1;
        size_t done = 0;
        _cleanup_free_ char *buffer = malloc(room);
        if (!buffer)
                return -ENOMEM;

        for (;;) {
                ssize_t k = fd_read_full(fd, buffer + done, room - 1 - done);
                if (k < 0)
                        return (int)k;
                done += (size_t)k;
                if (done < room - 1)
                        break;
                if (room - 1 >= max) {
                        char probe;
                        k = fd_read_full(fd, &probe, 1);
                        if (k < 0)
                                return (int)k;
                        if (k > 0)
                                return -E2BIG;
                        break;
                }
                room = MIN(room * 2, max + 1);
                char *bigger = realloc(buffer, room);
                if (!bigger)
                        return -ENOMEM;
                buffer = bigger;
        }

        buffer[done] = '\0';
        *ret = TAKE_PTR(buffer);
        if (ret_size)
                *ret_size = done;
        return 0;
}

int fd_write_file_at(int dir_fd, const char *path, const char *text)
{
        assert(path);
        assert(text);

        _cleanup_fd_ int fd = openat(dir_fd, path, O_WRONLY | O_CLOEXEC | O_NOCTTY);
        if (fd < 0)
                return -errno;
        return fd_write_full(fd, text, strlen(text));
}

static int set_flag(int fd, int get, int set, int flag, int on)
{
        int flags = fcntl(fd, get);
        if (flags < 0)
                return -errno;
        int wanted = on ? flags | flag : flags & ~flag;
        if (wanted != flags && fcntl(fd, set, wanted) < 0)
                return -errno;
        return 0;
}

/* Insertion sort: qsort(3) may allocate. */
static void sort(int *fds, size_t n)
{
        for (size_t i = 1; i < n; i++)
                for (size_t j = i; j > 0 && fds[j - 1] > fds[j]; j--) {
                        int swap = fds[j];
                        fds[j] = fds[j - 1];
                        fds[j - 1] = swap;
                }
}

void fd_close_all_but(int *keep, size_t n)
{
        unsigned next = STDERR_FILENO + 1;

        assert(keep || n == 0);

        sort(keep, n);
        for (size_t i = 0; i < n; i++) {
                if (keep[i] < (int)next)
                        continue;
                if ((unsigned)keep[i] > next)
                        close_range(next, (unsigned)keep[i] - 1, 0);
                next = (unsigned)keep[i] + 1;
        }
        close_range(next, ~0U, 0);
}

int fd_set_nonblock(int fd, int on)
{
        return set_flag(fd, F_GETFL, F_SETFL, O_NONBLOCK, on);
}

int fd_set_cloexec(int fd, int on)
{
        return set_flag(fd, F_GETFD, F_SETFD, FD_CLOEXEC, on);
}
