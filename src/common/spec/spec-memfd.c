/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The specification as a sealed memfd.
 *
 * What the reader learns from the kernel, and must not take from anybody else:
 *
 *   - F_GET_SEALS with write, grow and shrink: no process, its maker included, can change the bytes any more; with
 *     seal: nor can that be undone. A file on tmpfs answers F_GET_SEALS too, but cannot have the write seal, and
 *     F_SEAL_FUTURE_WRITE is another bit, which leaves old writable mappings alone and does not do.
 *   - st_uid: who made it. The owner of a memfd changes only by CAP_CHOWN over both ids, so it is the maker, or
 *     somebody whom the maker may act as anyway (the subordinate ids of a user namespace).
 *   - its name: that it was made to be a specification. Without this, any sealed memfd that a program passes
 *     around for another purpose (a font, a theme, a log record) and that an attacker gets hold of could be tried as an
 *     order in its author's name.
 *
 * The bytes are copied out by pread, so the reader parses memory of its own and neither depends on the file offset,
 * which is shared with the sender, nor maps foreign pages. Whether the author may have what he asks for is not
 * decided here, and the text is not parsed. */

#include "common/spec/spec.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/mman.h>

#include "basic/fd.h"
#include "basic/strings.h"

#define SEALS (F_SEAL_WRITE | F_SEAL_GROW | F_SEAL_SHRINK | F_SEAL_SEAL)

int spec_seal(const char *text, size_t size, int *ret_fd, ReeveError *reterr)
{
        assert(text);
        assert(ret_fd);

        if (size > SPEC_SIZE_MAX)
                return reeve_error_set(reterr, REEVE_ERROR_LIMIT_EXCEEDED, "spec",
                                       "the specification has %zu bytes, at most %u are possible", size,
                                       SPEC_SIZE_MAX);

        _cleanup_fd_ int fd = memfd_create(SPEC_MEMFD_NAME, MFD_CLOEXEC | MFD_ALLOW_SEALING);
        if (fd < 0)
                return reeve_error_errno(reterr, errno, "spec", "cannot create a memfd");
        int r = fd_write_full(fd, text, size);
        if (r < 0)
                return reeve_error_errno(reterr, r, "spec", "cannot write the specification");
        if (fcntl(fd, F_ADD_SEALS, SEALS) < 0)
                return reeve_error_errno(reterr, errno, "spec", "cannot seal the specification");

        *ret_fd = TAKE_FD(fd);
        return 0;
}

/* 1 if the kernel calls fd a memfd with our name, 0 if not, or a negative errno (no /proc). */
static int has_our_name(int fd)
{
        static const char wanted[] = "/memfd:" SPEC_MEMFD_NAME " (deleted)";
        char path[sizeof("/proc/self/fd/") + 11], name[sizeof(wanted)];

        snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
        ssize_t n = readlink(path, name, sizeof(name));
        if (n < 0)
                return -errno;
        return (size_t)n == sizeof(wanted) - 1 && memcmp(name, wanted, (size_t)n) == 0;
}

static int check_descriptor(int fd, struct stat *ret_st, ReeveError *reterr)
{
        int seals = fcntl(fd, F_GET_SEALS);
        if (seals < 0 || (seals & SEALS) != SEALS)
                return reeve_error_set(
                                reterr, REEVE_ERROR_INVALID_ARGUMENT, "spec",
                                "the descriptor is not a memfd with the seals write, grow, shrink and seal");

        int r = has_our_name(fd);
        if (r < 0)
                return reeve_error_errno(reterr, r, "spec", "cannot find out what the descriptor is");
        if (r == 0)
                return reeve_error_set(reterr, REEVE_ERROR_INVALID_ARGUMENT, "spec",
                                       "the memfd is not named " SPEC_MEMFD_NAME);

        if (fstat(fd, ret_st) < 0)
                return reeve_error_errno(reterr, errno, "spec",
                                         "cannot find out who made the specification");
        if (ret_st->st_size <= 0)
                return reeve_error_set(reterr, REEVE_ERROR_INVALID_ARGUMENT, "spec",
                                       "the specification is empty");
        if ((uint64_t)ret_st->st_size > SPEC_SIZE_MAX)
                return reeve_error_set(reterr, REEVE_ERROR_LIMIT_EXCEEDED, "spec",
                                       "the specification has %jd bytes, at most %u are possible",
                                       (intmax_t)ret_st->st_size, SPEC_SIZE_MAX);
        return 0;
}

int spec_open(int fd, uid_t *ret_author, char **ret_text, size_t *ret_size, ReeveError *reterr)
{
        struct stat st;

        assert(ret_author);
        assert(ret_text);
        assert(ret_size);

        int r = check_descriptor(fd, &st, reterr);
        if (r < 0)
                return r;

        size_t size = (size_t)st.st_size;
        _cleanup_free_ char *text = malloc(size + 1);
        if (!text)
                return reeve_error_errno(reterr, ENOMEM, "spec", "cannot read the specification");
        ssize_t n = fd_pread_file(fd, text, size + 1);
        if (n == -EBADF) /* opened for writing only, or as a path */
                return reeve_error_set(reterr, REEVE_ERROR_INVALID_ARGUMENT, "spec",
                                       "the descriptor is not open for reading");
        if (n < 0)
                return reeve_error_errno(reterr, (int)n, "spec", "cannot read the specification");
        if ((size_t)n != size)
                return reeve_error_set(reterr, REEVE_ERROR_INTERNAL, "spec",
                                       "a sealed memfd of %zu bytes gave %zd", size, n);

        *ret_author = st.st_uid;
        *ret_text = TAKE_PTR(text);
        *ret_size = size;
        return 0;
}

int spec_stdio_from_fd(SpecStdio *s, int fd)
{
        struct stat st;

        assert(s);

        if (fstat(fd, &st) < 0)
                return -errno;
        *s = (SpecStdio){ .kind = SPEC_STDIO_FD, .dev = st.st_dev, .ino = st.st_ino, .rdev = st.st_rdev };
        return 0;
}

int spec_stdio_matches(const SpecStdio *s, int fd)
{
        SpecStdio other = { 0 };

        assert(s);

        int r = spec_stdio_from_fd(&other, fd);
        if (r < 0)
                return r;
        return s->kind == SPEC_STDIO_FD && s->dev == other.dev && s->ino == other.ino &&
               s->rdev == other.rdev;
}
