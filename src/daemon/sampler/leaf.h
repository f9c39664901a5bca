/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* One task's cgroup, as the sampler reads it again and again, and the descriptors that are kept for that. */

#include <stdbool.h>
#include <stdint.h>

#include "common/usage/usage.h"

#define LEAF_FAST_MAX  2 /* fast files whose descriptors are kept */
#define LEAF_TEXT_SIZE 32768

/* What all leaves share: where they are, and the bound of their descriptors. */
typedef struct LeafReader {
        int cgroup_fd;     /* borrowed */
        unsigned max_fds;  /* kept at any time, by all leaves together */
        unsigned open_fds; /* kept now */
        char text[LEAF_TEXT_SIZE];
} LeafReader;

typedef struct Leaf {
        char *path; /* owned, relative to cgroup_fd */
        int dir_fd; /* -EBADF: not kept */
        int fds[LEAF_FAST_MAX];
        uint32_t absent; /* bit n: cgroup_files[n] is not there on this host, or cannot be read */
} Leaf;

/* Takes ownership of `path`. */
void leaf_init(Leaf *l, char *path);

/* Closes what is kept. */
void leaf_close(Leaf *l, LeafReader *r);

/* leaf_close() and frees the path. */
void leaf_done(Leaf *l, LeafReader *r);

/* Reads the fast files, and if `slow` all others, into *u; fields of files that are not there stay as they
 * are, and so do those of a file that could not be read this time. memory_anon_peak_bytes becomes the
 * higher of the old and the new value. With `keep`, descriptors stay open for the next time as long as the
 * bound has room for all of this leaf's; without, those that were kept are closed.
 *
 * 0; -ENOENT: the cgroup is gone (and everything is closed); another negative errno if the directory
 * cannot be opened. */
int leaf_read(Leaf *l, LeafReader *r, bool slow, bool keep, Usage *u);
