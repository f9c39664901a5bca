/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* The keeper's side of backend scope: the leaves within its scope. Async-signal-safe. */

#include "common/record/record.h"

/* Waits until systemd has put the caller into its scope; -ECANCELED if the launcher will not say so any more. */
int scope_wait(int go_fd);

/* The path of the scope of an attempt, or with `leaf` ("/keeper") of one of its leaves, relative to the mount. */
void scope_path(const Record *r, const char *leaf, char ret[static sizeof(r->cgroup)]);

/* Makes the leaves `keeper`, which the caller enters, and `task`, which is record->cgroup. Gives the descriptor of the
 * latter and the controllers that it has, and enters its inode number into the record. */
int scope_enter(int mount_fd, Record *r, int *ret_leaf_fd, uint32_t *ret_controllers);

/* Opens the keeper's leaf of a scope that lives; -ENOENT if it does not. */
int scope_open_keepers(int mount_fd, const Record *r);
