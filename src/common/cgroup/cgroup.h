/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Reading cgroup v2, with the directory passed in as a descriptor, so that tests can use a tree of plain files.
 * Writing (creation, limits, kill) is the launcher's and is not here. */

#include <stdbool.h>
#include <stdint.h>

#include "basic/error.h"
#include "common/usage/usage.h"

typedef enum CgroupController {
        CGROUP_CPU,
        CGROUP_MEMORY,
        CGROUP_IO,
        CGROUP_PIDS,
        CGROUP_CPUSET,
        _CGROUP_CONTROLLER_MAX,
} CgroupController;

/* "cpu", "memory", "io", "pids", "cpuset". */
const char *cgroup_controller_name(CgroupController c);

/* Finds the cgroup2 mount in /proc/self/mountinfo (the first whose root is "/"; on hybrid hosts that is
 * .../unified) and opens it. *ret_path (caller frees) may be NULL. -ENOENT if there is none. */
int cgroup_open_mount(int *ret_fd, char **ret_path);

/* The same from the text of a mountinfo file: the mount point (caller frees), or -ENOENT. */
int cgroup_mount_from_mountinfo(const char *mountinfo, char **ret_path);

/* Bit mask (1 << CgroupController) of <dir>/cgroup.controllers; unknown ones are left out. */
int cgroup_controllers(int dir_fd, uint32_t *ret_mask);

/* <dir>/cgroup.events: populated and frozen (either pointer may be NULL). -ENOENT or -ENODEV: the cgroup has gone.
 * -EBADMSG if the file does not say "populated". */
int cgroup_events(int dir_fd, bool *ret_populated, bool *ret_frozen);

/* Parses the text of a cgroup.events file; keys that are missing leave *ret alone. */
void cgroup_events_parse(const char *text, bool *ret_populated, bool *ret_frozen);

/* Process ids in <dir>/cgroup.procs, at most `max`; returns how many, which may be more than were stored. Processes
 * of foreign pid namespaces (0 in the file) are left out. */
int cgroup_procs(int dir_fd, pid_t *pids, size_t max);

/* The counter files of a leaf, in the order in which they are read; the "fast" ones come first and are those that
 * a sampler keeps open. */
typedef struct CgroupFile {
        const char *name;
        bool fast;
        int controller; /* CgroupController that makes it exist, -1 for none */
} CgroupFile;

extern const CgroupFile cgroup_files[];
extern const size_t n_cgroup_files;

/* Reads every counter file of a leaf once, into *u (fields of files that do not exist stay as they are, and so do
 * those of a file that cannot be read). -ENODEV if not one file could be read: the cgroup has gone. */
int cgroup_read_usage(int dir_fd, Usage *u, UsageSource source);
