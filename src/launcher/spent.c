/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* O_EXCL is the whole mechanism: of any number of requests for a pair one succeeds, and no state is in memory. 256
 * directories keep each small. The files are not synced: they guard against replay by a living reeved, and what a
 * power failure may undo here it has undone in the process table, too (docs/privilege-separation.md says what that leaves,
 * and what syncing would cost). */

#include "launcher/spent.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "basic/dir.h"
#include "basic/fd.h"
#include "basic/macro.h"
#include "common/launcher-protocol.h"

#define PATH_SIZE 64

static const char *make_path(const uint8_t *serial, unsigned attempt, char ret[static PATH_SIZE])
{
        int n = snprintf(ret, PATH_SIZE, "%02x/", serial[0]);

        for (size_t i = 0; i < 16; i++)
                n += snprintf(ret + n, PATH_SIZE - (size_t)n, "%02x", serial[i]);
        snprintf(ret + n, PATH_SIZE - (size_t)n, ".%u", attempt);
        return ret;
}

int spent_has(int dir_fd, const uint8_t serial[static 16], unsigned attempt)
{
        char path[PATH_SIZE];

        if (faccessat(dir_fd, make_path(serial, attempt, path), F_OK, 0) == 0)
                return 1;
        return errno == ENOENT ? 0 : -errno;
}

int spent_add(int dir_fd, const uint8_t serial[static 16], unsigned attempt)
{
        char path[PATH_SIZE], sub[3];
        const int flags = O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC;

        int fd = openat(dir_fd, make_path(serial, attempt, path), flags, 0600);
        if (fd < 0 && errno == ENOENT) {
                snprintf(sub, sizeof(sub), "%02x", serial[0]);
                if (mkdirat(dir_fd, sub, 0700) < 0 && errno != EEXIST)
                        return -errno;
                fd = openat(dir_fd, path, flags, 0600);
        }
        if (fd < 0)
                return -errno;
        fd_close(fd);
        return 0;
}

int spent_remove(int dir_fd, const uint8_t serial[static 16], unsigned attempt)
{
        char path[PATH_SIZE];

        return unlinkat(dir_fd, make_path(serial, attempt, path), 0) < 0 ? -errno : 0;
}

void spent_expire(int dir_fd, usec_t now_realtime)
{
        usec_t oldest = usec_sub(now_realtime, LAUNCHER_TICKET_LIFETIME_USEC + USEC_PER_DAY);
        const struct dirent *d;
        struct stat st;
        char sub[3];

        for (unsigned i = 0; i < 256; i++) {
                snprintf(sub, sizeof(sub), "%02x", i);
                _cleanup_closedir_ DIR *dir = dir_open_at(dir_fd, sub);
                while (dir && (d = readdir(dir)))
                        if (d->d_type == DT_REG &&
                            fstatat(dirfd(dir), d->d_name, &st, AT_SYMLINK_NOFOLLOW) == 0 &&
                            (usec_t)st.st_mtim.tv_sec * USEC_PER_SEC < oldest)
                                unlinkat(dirfd(dir), d->d_name, 0);
        }
}
