/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The scope's own cgroup is systemd's, which puts the keeper into it; everything below is delegated to us:
 *
 *     <scope>           limits, set by systemd; no process, or it could not pass its controllers on
 *     <scope>/keeper    the keeper, because of which systemd keeps the scope until the account is taken
 *     <scope>/task      the task, and what is counted as the task's use
 *
 * Entering `keeper` is the second move of the keeper within a moment, after systemd's; the first has paid for the grace
 * period that makes a move slow, the second comes for nearly nothing.
 *
 * When the keeper goes, systemd finds the scope empty and removes what is left of it. Nobody else may remove the scope's own
 * cgroup: systemd 252 would not hear of its end then, and believe in it for ever. */

#include "launcher/scope-place.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "basic/fd.h"
#include "common/cgroup/cgroup.h"
#include "launcher/pool.h"

int scope_wait(int go_fd)
{
        char go;

        return fd_read_full(go_fd, &go, 1) == 1 ? 0 : -ECANCELED;
}

void scope_path(const Record *r, const char *leaf, char ret[static sizeof(r->cgroup)])
{
        const char *slash = strrchr(r->cgroup, '/');

        assert(slash); /* it ends in "/task" */
        snprintf(ret, sizeof(r->cgroup), "%.*s%s", (int)(slash - r->cgroup), r->cgroup, leaf);
}

int scope_enter(int mount_fd, Record *r, int *ret_leaf_fd, uint32_t *ret_controllers)
{
        char path[sizeof(r->cgroup)];
        struct stat st;

        assert(r);
        assert(ret_leaf_fd);
        assert(ret_controllers);

        scope_path(r, "", path);
        _cleanup_fd_ int scope_fd = pool_open_leaf(mount_fd, path);
        if (scope_fd < 0)
                return -errno;
        if (mkdirat(scope_fd, "keeper", 0755) < 0 || mkdirat(scope_fd, "task", 0755) < 0)
                return -errno;
        int k = fd_write_file_at(scope_fd, "keeper/cgroup.procs", "0");
        if (k < 0)
                return k;
        *ret_controllers = pool_enable_controllers(scope_fd);
        _cleanup_fd_ int leaf_fd = pool_open_leaf(mount_fd, r->cgroup);
        if (leaf_fd < 0 || fstat(leaf_fd, &st) < 0)
                return -errno;
        r->cgroup_id = st.st_ino;
        *ret_leaf_fd = TAKE_FD(leaf_fd);
        return 0;
}

int scope_open_keepers(int mount_fd, const Record *r)
{
        char path[sizeof(r->cgroup)];

        scope_path(r, "/keeper", path);
        int fd = pool_open_leaf(mount_fd, path);
        return fd < 0 ? -errno : fd;
}
