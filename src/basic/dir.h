/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Walking a directory. Not async-signal-safe: a DIR allocates. */

#include <dirent.h>

#include "basic/fd.h"

/* Opens <dir_fd>/<path> for readdir(3), without following a link at its end. NULL and errno on failure; closed by
 * closedir(3). "." is a walk of dir_fd itself, whose offset stays what it is. */
static inline DIR *dir_open_at(int dir_fd, const char *path)
{
        _cleanup_fd_ int fd = openat(dir_fd, path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
        DIR *dir = fd >= 0 ? fdopendir(fd) : NULL;

        if (dir)
                TAKE_FD(fd);
        return dir;
}

DEFINE_CLEANUP_FUNC(DIR *, closedir)
#define _cleanup_closedir_ _cleanup_(closedirp)
