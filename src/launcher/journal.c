/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* journald takes uid, gid, pid and cgroup of a stream from the kernel, as they were when it was connected: so the task
 * itself connects, after it became its user and just before it executes. Such a stream survives everything of ours, and a
 * restart of journald, which keeps the descriptors of its streams with systemd.
 *
 * The first lines say what the stream is: identifier, unit (of root's streams only), priority of lines without one of their
 * own, whether "<3>" at the beginning of a line is its priority, and whether to forward to syslog, kmsg and console.
 *
 * A journald that hangs must not hold the keeper, which waits for exec: there is a limit for connecting. Afterwards
 * writes of the task block as they do for every service. */

#include "launcher/journal.h"

#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "basic/fd.h"
#include "common/task-id.h"

#define HEADER_END  "\n\n6\n1\n0\n0\n0\n"
#define PATIENCE_MS 5000

static int set_patience(int fd, long msec)
{
        struct timeval tv = { .tv_sec = msec / 1000, .tv_usec = msec % 1000 * 1000 };

        return setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &tv, sizeof(tv)) < 0 ? -errno : 0;
}

static int introduce(int fd, const char *identifier)
{
        char header[TASK_ID_MAX + sizeof(HEADER_END)];
        size_t n = strnlen(identifier, TASK_ID_MAX);

        memcpy(header, identifier, n);
        memcpy(header + n, HEADER_END, sizeof(HEADER_END));
        return fd_write_full(fd, header, n + strlen(HEADER_END));
}

int journal_connect(const char *path, const char *identifier)
{
        struct sockaddr_un address = { .sun_family = AF_UNIX };

        assert(path && strlen(path) < sizeof(address.sun_path));
        assert(identifier);

        strcpy(address.sun_path, path);
        _cleanup_fd_ int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
        if (fd < 0)
                return -errno;
        int r = set_patience(fd, PATIENCE_MS);
        if (r < 0)
                return r;
        if (connect(fd, (const struct sockaddr *)&address, sizeof(address)) < 0 || shutdown(fd, SHUT_RD) < 0)
                return -errno;
        if ((r = introduce(fd, identifier)) < 0 || (r = set_patience(fd, 0)) < 0)
                return r;
        return TAKE_FD(fd);
}
