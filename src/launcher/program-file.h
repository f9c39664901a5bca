/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Programs that run although no author wrote them down: only what root put into certain directories. */

#include <limits.h>
#include <stdbool.h>

#include "basic/error.h"
#include "common/instance.h"

typedef struct ProgramFile {
        int fd;              /* close-on-exec; the caller's */
        bool is_script;      /* begins with "#!" */
        char path[PATH_MAX]; /* where it was found */
} ProgramFile;

/* Opens the program `wanted` of INSTANCE_CHECKS or INSTANCE_HOOKS and its twin in the installation's own directory: its
 * whole path, or its name, which is looked for in both in this order. There are no directories below these.
 * PermissionDenied for any other place, and where somebody else than root could have put the file or any directory
 * above it there; InvalidArgument if there is no such program. */
int program_file_open(const Instance *i, InstancePath which, const char *wanted, ProgramFile *ret,
                      ReeveError *reterr);
