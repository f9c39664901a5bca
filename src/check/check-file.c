/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* What lies at a path may be anything by now: a FIFO that blocks who opens it, a device that acts on being opened, a link. So it is
 * opened as a path first, which does nothing to it, looked at, and opened for reading only if it is a regular file and its
 * contents are asked for. All of the look-ups are for the one thing that was opened. Links are followed: the rights are the
 * task's user's, who can read what he can read.
 *
 * Of a file that grows, what was there when it was looked at is read. */

#include "check/check-file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "basic/fd.h"
#include "basic/time.h"
#include "check/check-text.h"

/* The kernel stamps files with the time of its last tick. */
#define TICK_USEC (10 * USEC_PER_MSEC)

static const char *kind_of(mode_t mode)
{
        switch (mode & S_IFMT) {
        case S_IFDIR:
                return "a directory";
        case S_IFIFO:
                return "a FIFO";
        case S_IFSOCK:
                return "a socket";
        case S_IFCHR:
        case S_IFBLK:
                return "a device";
        default:
                return "something else";
        }
}

static void check_meta(Evidence *e, const CheckOptions *o, const struct stat *st)
{
        uint64_t bytes = (uint64_t)st->st_size;
        usec_t modified = (usec_t)st->st_mtim.tv_sec * USEC_PER_SEC + (usec_t)st->st_mtim.tv_nsec / 1000;

        evidence_number(e, "bytes", bytes);
        evidence_number(e, "modified_at", modified);
        if (o->has_min_bytes && bytes < o->min_bytes)
                evidence_fail(e, "it has %llu bytes, at least %llu are wanted", (unsigned long long)bytes,
                              (unsigned long long)o->min_bytes);
        if (o->has_max_bytes && bytes > o->max_bytes)
                evidence_fail(e, "it has %llu bytes, at most %llu are wanted", (unsigned long long)bytes,
                              (unsigned long long)o->max_bytes);
        if (o->newer_than > 0 && usec_add(modified, TICK_USEC) < o->newer_than)
                evidence_fail(e, "it is older than the start of the task");
}

static void check_contents(Evidence *e, const CheckOptions *o, int path_fd, uint64_t bytes)
{
        const TextCheck c = { .matches = o->matches, .sha256 = o->sha256 };
        char again[32];

        snprintf(again, sizeof(again), "/proc/self/fd/%d", path_fd);
        _cleanup_fd_ int fd = open(again, O_RDONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
        if (fd < 0)
                evidence_unknown(e, "it cannot be read: %s", strerrordesc_np(errno) ?: "?");
        else
                check_text(e, &c, fd, bytes);
}

void check_file(Evidence *e, const CheckOptions *o)
{
        struct stat st;

        assert(e);
        assert(o && o->path);

        evidence_text(e, "path", o->path);
        _cleanup_fd_ int fd = open(o->path, O_PATH | O_CLOEXEC);
        if (fd < 0 && (errno == ENOENT || errno == ENOTDIR)) {
                evidence_fail(e, "there is no such file");
                return;
        }
        if (fd < 0 || fstat(fd, &st) < 0) {
                evidence_unknown(e, "it cannot be looked at: %s", strerrordesc_np(errno) ?: "?");
                return;
        }
        if (!S_ISREG(st.st_mode)) {
                evidence_fail(e, "it is %s, not a file", kind_of(st.st_mode));
                return;
        }
        check_meta(e, o, &st);
        if (e->verdict == VERDICT_PASSED && (o->matches || o->sha256))
                check_contents(e, o, fd, (uint64_t)st.st_size);
}
