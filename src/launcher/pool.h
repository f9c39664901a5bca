/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* The launcher's part of the cgroup tree:
 *
 *     <mount>/<pool>/keepers                       all keepers
 *     <mount>/<pool>/tasks/<uid>/<task>.<attempt>  one leaf for each attempt, never used twice */

#include <limits.h>
#include <stdint.h>
#include <sys/types.h>

#include "basic/error.h"

typedef struct Pool {
        int mount_fd, keepers_fd, tasks_fd;
        char *mount;          /* path of the mount */
        char path[256];       /* of the pool, relative to the mount */
        uint32_t controllers; /* that leaves have: 1 << CgroupController */
} Pool;

#define POOL_NULL                                                            \
        (Pool)                                                               \
        {                                                                    \
                .mount_fd = -EBADF, .keepers_fd = -EBADF, .tasks_fd = -EBADF \
        }

/* Creates or finds the pool and enables the controllers that there are. `path` NULL: "<prefix>.pool". Fails where
 * there is no cgroup2, or none that may be written. */
int pool_open(Pool *p, const char *prefix, const char *path, ReeveError *reterr);
void pool_close(Pool *p);

/* Enables all controllers for the children of a cgroup; returns those that are on (1 << CgroupController).
 * Async-signal-safe. */
uint32_t pool_enable_controllers(int dir_fd);

/* Path of the leaf of `name` in the sub-tree of `uid`, relative to the mount. */
int pool_leaf_path(const Pool *p, uid_t uid, const char *name, char *ret, size_t size);

/* Makes that leaf; gives its descriptor and inode number. -EEXIST if there is one. */
int pool_make_leaf(const Pool *p, uid_t uid, const char *path, int *ret_fd, uint64_t *ret_id);

/* Opens a leaf; negative (with errno, except without a path or a mount) if there is none. */
int pool_open_leaf(int mount_fd, const char *path);

/* Removes a leaf and what its task may have made below it; waits a little while it is still busy. 0 if it is gone, or
 * if there is no path or no mount. Async-signal-safe. */
int pool_remove_leaf(int mount_fd, const char *path);

/* Calls `f` for each leaf that exists. */
void pool_each_leaf(const Pool *p, void (*f)(const char *path, const char *name, void *userdata),
                    void *userdata);
