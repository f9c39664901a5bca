/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Controllers are enabled top down, in the pool, in tasks and in each user's sub-tree; a leaf has them then without
 * a write of its own. At the mount's root only cpu, memory, io, pids and cpuset are ever enabled, and only if the
 * root offers them and nobody has: on a hybrid host, where version 1 holds them, it offers none of these and is left
 * as it is.
 *
 * A user's sub-tree is made when a leaf finds that it is missing, so nothing about users is remembered here. */

#include "launcher/pool.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysinfo.h>
#include <time.h>
#include <unistd.h>

#include "basic/dir.h"
#include "basic/fd.h"
#include "common/cgroup/cgroup.h"

/* What all tasks of one user other than root may use together, unless they ask for less. */
#define USER_TASKS_MAX      "8192"
#define USER_MEMORY_PERCENT 80

#define REMOVE_TRIES      200
#define REMOVE_PAUSE_NSEC 500000
#define REMOVE_DEPTH_MAX  16

static int make_dir(int parent_fd, const char *name, int *ret_fd)
{
        if (mkdirat(parent_fd, name, 0755) < 0 && errno != EEXIST)
                return -errno;
        *ret_fd = openat(parent_fd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
        return *ret_fd < 0 ? -errno : 0;
}

/* Enables each controller by itself: one that is refused must not cost the others. Returns those that are on. */
uint32_t pool_enable_controllers(int dir_fd)
{
        uint32_t offered = 0, enabled = 0;

        if (cgroup_controllers(dir_fd, &offered) < 0)
                return 0;
        for (int c = 0; c < _CGROUP_CONTROLLER_MAX; c++) {
                char text[16];

                if (!(offered & (UINT32_C(1) << c)))
                        continue;
                snprintf(text, sizeof(text), "+%s", cgroup_controller_name((CgroupController)c));
                if (fd_write_file_at(dir_fd, "cgroup.subtree_control", text) >= 0)
                        enabled |= UINT32_C(1) << c;
        }
        return enabled;
}

int pool_open(Pool *p, const char *prefix, const char *path, ReeveError *reterr)
{
        _cleanup_fd_ int pool_fd = -EBADF;
        int r;

        assert(p);
        assert(prefix);

        *p = POOL_NULL;
        if (path)
                snprintf(p->path, sizeof(p->path), "%s", path);
        else
                snprintf(p->path, sizeof(p->path), "%s.pool", prefix);

        r = cgroup_open_mount(&p->mount_fd, &p->mount);
        if (r < 0)
                return reeve_error_errno(reterr, r, NULL, "there is no cgroup v2 mount");
        if (!path) /* the parent of a pool that somebody delegated to us is not ours to write to */
                (void)pool_enable_controllers(p->mount_fd);
        r = make_dir(p->mount_fd, p->path, &pool_fd);
        if (r >= 0)
                r = make_dir(pool_fd, "keepers", &p->keepers_fd);
        if (r >= 0)
                r = make_dir(pool_fd, "tasks", &p->tasks_fd);
        if (r < 0) {
                pool_close(p);
                return reeve_error_errno(reterr, r, NULL, "cannot make the cgroup pool %s", p->path);
        }
        p->controllers = pool_enable_controllers(pool_fd);
        p->controllers &= pool_enable_controllers(p->tasks_fd);
        return 0;
}

void pool_close(Pool *p)
{
        assert(p);

        fd_close(p->mount_fd);
        fd_close(p->keepers_fd);
        fd_close(p->tasks_fd);
        free(p->mount);
        *p = POOL_NULL;
}

static int make_user(const Pool *p, uid_t uid)
{
        _cleanup_fd_ int fd = -EBADF;
        char name[16], text[32];
        struct sysinfo info;

        snprintf(name, sizeof(name), "%u", uid);
        int r = make_dir(p->tasks_fd, name, &fd);
        if (r < 0)
                return r;
        (void)pool_enable_controllers(fd);
        if (uid == 0)
                return 0;
        if (p->controllers & (UINT32_C(1) << CGROUP_PIDS)) {
                r = fd_write_file_at(fd, "pids.max", USER_TASKS_MAX);
                if (r < 0)
                        return r;
        }
        if ((p->controllers & (UINT32_C(1) << CGROUP_MEMORY)) && sysinfo(&info) == 0) {
                uint64_t bytes = (uint64_t)info.totalram * info.mem_unit / 100 * USER_MEMORY_PERCENT;

                snprintf(text, sizeof(text), "%llu", (unsigned long long)bytes);
                r = fd_write_file_at(fd, "memory.max", text);
        }
        return r;
}

int pool_leaf_path(const Pool *p, uid_t uid, const char *name, char *ret, size_t size)
{
        assert(p);
        assert(name);
        assert(ret);

        int n = snprintf(ret, size, "%s/tasks/%u/%s", p->path, uid, name);
        return n < 0 || (size_t)n >= size ? -ENAMETOOLONG : 0;
}

int pool_open_leaf(int mount_fd, const char *path)
{
        assert(path);

        if (mount_fd < 0 || !path[0])
                return -EBADF;
        return openat(mount_fd, path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
}

int pool_make_leaf(const Pool *p, uid_t uid, const char *path, int *ret_fd, uint64_t *ret_id)
{
        struct stat st;

        assert(p);
        assert(path);
        assert(ret_fd);
        assert(ret_id);

        if (mkdirat(p->mount_fd, path, 0755) < 0) {
                if (errno != ENOENT)
                        return -errno;
                int r = make_user(p, uid);
                if (r < 0)
                        return r;
                if (mkdirat(p->mount_fd, path, 0755) < 0)
                        return -errno;
        }
        _cleanup_fd_ int fd = pool_open_leaf(p->mount_fd, path);
        if (fd < 0 || fstat(fd, &st) < 0)
                return -errno; /* who claimed the attempt removes the leaf */
        *ret_id = st.st_ino;
        *ret_fd = TAKE_FD(fd);
        return 0;
}

static void remove_below(int dir_fd, unsigned depth)
{
        char entries[2048];
        ssize_t k;

        while ((k = getdents64(dir_fd, entries, sizeof(entries))) > 0)
                for (ssize_t at = 0; at < k;) {
                        const struct dirent64 *d = (const struct dirent64 *)(entries + at);

                        at += d->d_reclen;
                        if (d->d_type != DT_DIR || strcmp(d->d_name, ".") == 0 ||
                            strcmp(d->d_name, "..") == 0)
                                continue;
                        _cleanup_fd_ int fd = openat(dir_fd, d->d_name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
                        if (fd >= 0 && depth < REMOVE_DEPTH_MAX)
                                remove_below(fd, depth + 1);
                        unlinkat(dir_fd, d->d_name, AT_REMOVEDIR);
                }
}

int pool_remove_leaf(int mount_fd, const char *path)
{
        static const struct timespec pause = { .tv_nsec = REMOVE_PAUSE_NSEC };

        assert(path);

        if (mount_fd < 0 || !path[0])
                return 0;
        for (unsigned i = 0; i < REMOVE_TRIES; i++) {
                if (unlinkat(mount_fd, path, AT_REMOVEDIR) == 0 || errno == ENOENT)
                        return 0;
                if (errno != EBUSY)
                        return -errno;
                _cleanup_fd_ int fd = pool_open_leaf(mount_fd, path);
                if (fd >= 0)
                        remove_below(fd, 0);
                nanosleep(&pause, NULL);
        }
        return -EBUSY;
}

void pool_each_leaf(const Pool *p, void (*f)(const char *path, const char *name, void *userdata),
                    void *userdata)
{
        const struct dirent *user, *leaf;
        char path[PATH_MAX];

        assert(p);
        assert(f);

        _cleanup_closedir_ DIR *users = dir_open_at(p->tasks_fd, ".");
        while (users && (user = readdir(users))) {
                if (user->d_type != DT_DIR || user->d_name[0] == '.')
                        continue;
                _cleanup_closedir_ DIR *leaves = dir_open_at(p->tasks_fd, user->d_name);
                while (leaves && (leaf = readdir(leaves))) {
                        if (leaf->d_type != DT_DIR || leaf->d_name[0] == '.')
                                continue;
                        snprintf(path, sizeof(path), "%s/tasks/%s/%s", p->path, user->d_name, leaf->d_name);
                        f(path, leaf->d_name, userdata);
                }
        }
}
