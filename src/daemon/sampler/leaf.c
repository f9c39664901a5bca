/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Cheap reading. Measured on Linux 6.18: pread on an open cpu.stat costs 2.5 us, open + read + close 10
 * us, and walking the path of a leaf from the mount some more. So a leaf that is read often keeps its
 * directory and its two fast files open. But an open cgroup file that was read also keeps a page in the
 * kernel, so the number of kept descriptors is bounded over all leaves; those beyond the bound pay the
 * open each time. Leaves that are read seldom keep nothing.
 *
 * Which files exist depends on the host (controllers, kernel version, PSI switched off) and does not
 * change while a leaf lives, so a file that was not there is not tried again.
 *
 * How a leaf ends: a kept descriptor of a removed cgroup reads ENODEV, and its path ENOENT. In a tree of
 * plain files, as tests have it, kept descriptors go on working; only the path tells.
 *
 * The text is read by one pread: kernfs shows a file as one record, whole if the buffer has the room. A
 * second read, which would be needed to see the end of an ordinary file, makes the kernel format
 * everything again. A text that fills the buffer may be cut in the middle of a number and is not used. */

#include "daemon/sampler/leaf.h"

#include "basic/fd.h"
#include "common/cgroup/cgroup.h"

void leaf_init(Leaf *l, char *path)
{
        assert(l);

        *l = (Leaf){ .path = path, .dir_fd = -EBADF };
        for (size_t i = 0; i < LEAF_FAST_MAX; i++)
                l->fds[i] = -EBADF;
}

static void close_kept(int *fd, LeafReader *r)
{
        if (*fd < 0)
                return;
        assert(r->open_fds > 0);
        *fd = fd_close(*fd);
        r->open_fds--;
}

void leaf_close(Leaf *l, LeafReader *r)
{
        assert(l);
        assert(r);

        for (size_t i = 0; i < LEAF_FAST_MAX; i++)
                close_kept(&l->fds[i], r);
        close_kept(&l->dir_fd, r);
}

void leaf_done(Leaf *l, LeafReader *r)
{
        leaf_close(l, r);
        free(l->path);
        l->path = NULL;
}

static int read_text(int fd, LeafReader *r)
{
        ssize_t n;

        do
                n = pread(fd, r->text, sizeof(r->text), 0);
        while (n < 0 && errno == EINTR);
        if (n < 0)
                return -errno;
        if ((size_t)n == sizeof(r->text))
                return -E2BIG;
        r->text[n] = '\0';
        return 0;
}

/* Reads cgroup_files[i] into r->text, keeping its descriptor if the directory's is kept. */
static int read_file(Leaf *l, LeafReader *r, int dir_fd, size_t i)
{
        bool keep = i < LEAF_FAST_MAX && cgroup_files[i].fast && l->dir_fd >= 0;
        if (keep && l->fds[i] >= 0)
                return read_text(l->fds[i], r);

        _cleanup_fd_ int fd =
                        openat(dir_fd, cgroup_files[i].name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NOCTTY);
        if (fd < 0)
                return -errno;
        int k = read_text(fd, r);
        if (k >= 0 && keep) {
                l->fds[i] = TAKE_FD(fd);
                r->open_fds++;
        }
        return k;
}

/* Errors that will not go away while this cgroup lives: no such file, PSI switched off, not for us. */
static bool is_lasting(int error)
{
        return error == -ENOENT || error == -EOPNOTSUPP || error == -EACCES || error == -EPERM;
}

static int read_files(Leaf *l, LeafReader *r, int dir_fd, bool slow, Usage *u)
{
        for (size_t i = 0; i < n_cgroup_files; i++) {
                if (!slow && !cgroup_files[i].fast)
                        continue;
                if (l->absent & UINT32_C(1) << i)
                        continue;
                int k = read_file(l, r, dir_fd, i);
                if (k == -ENODEV)
                        return -ENOENT;
                if (k >= 0)
                        usage_parse_file(u, cgroup_files[i].name, r->text, USAGE_KERNEL);
                else if (is_lasting(k))
                        l->absent |= UINT32_C(1) << i;
        }
        return 0;
}

static bool has_room(const LeafReader *r)
{
        return r->open_fds + 1 + LEAF_FAST_MAX <= r->max_fds;
}

int leaf_read(Leaf *l, LeafReader *r, bool slow, bool keep, Usage *u)
{
        assert(l && l->path);
        assert(r);
        assert(u);
        assert(n_cgroup_files <= 8 * sizeof(l->absent));

        int64_t anon = usage_has(u, USAGE_MEMORY_ANON_PEAK) ? u->value[USAGE_MEMORY_ANON_PEAK] : -1;
        _cleanup_fd_ int opened = -EBADF;

        if (!keep)
                leaf_close(l, r);
        if (l->dir_fd < 0) {
                opened = openat(r->cgroup_fd, l->path, O_PATH | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
                if (opened < 0)
                        return errno == ENODEV ? -ENOENT : -errno;
                if (keep && has_room(r)) {
                        l->dir_fd = TAKE_FD(opened);
                        r->open_fds++;
                }
        }

        int k = read_files(l, r, l->dir_fd >= 0 ? l->dir_fd : opened, slow, u);
        if (k < 0)
                leaf_close(l, r);
        if (anon >= 0 && u->value[USAGE_MEMORY_ANON_PEAK] < anon)
                u->value[USAGE_MEMORY_ANON_PEAK] = anon;
        return k;
}
