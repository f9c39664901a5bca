/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* A directory of plain files that stands for a kernel's tree: set-up and tear-down of cmocka tests. */

#include <fcntl.h>
#include <ftw.h>
#include <stdlib.h>
#include <string.h>

#include "basic/fd.h"
#include "tests/unit/test.h"

typedef struct Tree {
        char path[64];
        int fd;
} Tree;

static inline int tree_remove_entry(const char *path, const struct stat *st _unused_, int type _unused_,
                                    struct FTW *ftw _unused_)
{
        return remove(path);
}

static inline int set_up(void **state)
{
        static Tree t;

        strcpy(t.path, "/tmp/test-reeve-tree-XXXXXX");
        assert_non_null(mkdtemp(t.path));
        t.fd = open(t.path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        *state = &t;
        return 0;
}

static inline int tear_down(void **state)
{
        Tree *t = *state;

        fd_close(t->fd);
        return nftw(t->path, tree_remove_entry, 8, FTW_DEPTH | FTW_PHYS);
}
