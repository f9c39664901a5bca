/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* File descriptors: ownership, whole reads and writes, small files. "No descriptor" is -EBADF. Every descriptor
 * that reeve opens is close-on-exec. */

#include <errno.h>
#include <fcntl.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>
#include <unistd.h>

#include "basic/macro.h"

/* Closes fd unless it is negative; keeps errno. Returns -EBADF, for `fd = fd_close(fd)`. */
int fd_close(int fd);

static inline void fd_closep(int *fd)
{
        fd_close(*fd);
}

#define _cleanup_fd_ _cleanup_(fd_closep)

/* Hands a descriptor over: the variable is -EBADF afterwards. */
#define TAKE_FD(fd)                        \
        ({                                 \
                int *_take_fdp = &(fd);    \
                int _take_fd = *_take_fdp; \
                *_take_fdp = -EBADF;       \
                _take_fd;                  \
        })

/* Reads until n bytes, end of file or an error; retries EINTR. Returns the number of bytes or a negative errno. */
ssize_t fd_read_full(int fd, void *buffer, size_t n);

/* Writes all n bytes, retrying EINTR and short writes. 0 or a negative errno (some bytes may be written). */
int fd_write_full(int fd, const void *data, size_t n);

/* Reads a small file (procfs, cgroupfs, configuration) relative to dir_fd (or AT_FDCWD) into the caller's buffer
 * and terminates it with NUL. Returns its length, at most size - 1; -E2BIG if the file is longer; other negative
 * errno of open or read. */
ssize_t fd_read_file_at(int dir_fd, const char *path, char *buffer, size_t size);

/* As above from an open descriptor, from its start, by pread. */
ssize_t fd_pread_file(int fd, char *buffer, size_t size);

/* Reads a whole file of at most `max` bytes into fresh memory (caller frees), NUL-terminated; *ret_size excludes
 * the NUL and may be NULL. -E2BIG if it is larger. */
int fd_read_file_alloc(int dir_fd, const char *path, size_t max, char **ret, size_t *ret_size);

/* Writes `text` to an existing file (cgroup attribute, sysctl) in one write. 0 or a negative errno. */
int fd_write_file_at(int dir_fd, const char *path, const char *text);

/* Closes every descriptor from 3 up that is not among these (in any order, which is changed; negative ones are
 * passed over). Async-signal-safe: for a child that must not inherit. */
void fd_close_all_but(int *keep, size_t n);

int fd_set_nonblock(int fd, int on);
int fd_set_cloexec(int fd, int on);
