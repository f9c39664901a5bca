/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* A hole is punched instead of cutting the file: the task appends at the end and never notices, offsets stay what
 * they are, and a reader finds the gap with SEEK_HOLE. The look is once a second while the file grows and backs off
 * to eight when it does not. */

#include "launcher/output.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "basic/fd.h"

#define INTERVAL_MIN USEC_PER_SEC
#define INTERVAL_MAX (8 * USEC_PER_SEC)
#define BLOCK        UINT64_C(4096)

int output_create(int dir_fd, const char *name, gid_t gid, int *ret_fd)
{
        assert(name);
        assert(ret_fd);

        _cleanup_fd_ int fd = openat(
                        dir_fd, name,
                        O_WRONLY | O_APPEND | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC | O_NOCTTY, 0640);
        if (fd < 0)
                return -errno;
        if (fchown(fd, 0, gid) < 0) {
                int r = -errno;
                unlinkat(dir_fd, name, 0);
                return r;
        }
        *ret_fd = TAKE_FD(fd);
        return 0;
}

void output_cap_init(OutputCap *o, int fd, uint64_t cap_bytes)
{
        bool wanted = fd >= 0 && cap_bytes > 0;

        assert(o);

        *o = (OutputCap){
                .fd = fd,
                .cap_bytes = MAX(cap_bytes, 8 * BLOCK),
                .interval = INTERVAL_MIN,
                .next_boottime = wanted ? 0 : USEC_INFINITY,
        };
}

static void punch(OutputCap *o, Record *r, uint64_t size)
{
        uint64_t from = MAX(o->cap_bytes / 4 / BLOCK * BLOCK, o->punched_to);
        uint64_t to = (size - o->cap_bytes / 4 * 3) / BLOCK * BLOCK;

        if (size <= o->cap_bytes || to <= from)
                return;
        if (fallocate(o->fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, (off_t)from, (off_t)(to - from)) <
            0)
                return; /* a file system without holes: the cap cannot be held there */
        o->punched_to = to;
        record_set_flag(r, RECORD_FLAG_PUNCHED);
}

void output_cap_check(OutputCap *o, Record *r, usec_t now_boottime, bool force)
{
        struct stat st;

        assert(o);
        assert(r);

        if (o->next_boottime == USEC_INFINITY || (!force && now_boottime < o->next_boottime))
                return;
        if (fstat(o->fd, &st) < 0)
                return;
        o->interval = (uint64_t)st.st_size > o->last_size ? INTERVAL_MIN
                                                          : MIN(o->interval * 2, INTERVAL_MAX);
        o->last_size = (uint64_t)st.st_size;
        o->next_boottime = usec_add(now_boottime, o->interval);
        punch(o, r, o->last_size);
}
