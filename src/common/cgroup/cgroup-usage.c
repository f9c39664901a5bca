/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Reading all counters of a leaf. The order matters a little: the fast files first, which are the ones that a
 * sampler keeps open; memory.stat and io.stat, which cost the kernel a flush over all CPUs, behind them.
 *
 * Which files there are depends on the controllers that are enabled and on the kernel (memory.peak 5.19,
 * memory.swap.peak 6.5, pids.peak 6.1-stable): a missing file is no error, its fields are simply not known. A cgroup
 * that has gone has no files at all (ENOENT for an open, ENODEV for a read). */

#include "common/cgroup/cgroup.h"

#include <errno.h>

#include "basic/fd.h"

#define TEXT_MAX 32768 /* io.stat has 100 bytes a device, memory.stat 2 KB */

const CgroupFile cgroup_files[] = {
        { "cpu.stat", true, -1 }, /* usage, user and system even without the cpu controller */
        { "memory.current", true, CGROUP_MEMORY },
        { "memory.peak", false, CGROUP_MEMORY },
        { "memory.swap.peak", false, CGROUP_MEMORY },
        { "memory.events", false, CGROUP_MEMORY },
        { "pids.current", false, CGROUP_PIDS },
        { "pids.peak", false, CGROUP_PIDS },
        { "cpu.pressure", false, -1 },
        { "memory.pressure", false, -1 },
        { "io.pressure", false, -1 },
        { "memory.stat", false, CGROUP_MEMORY },
        { "io.stat", false, CGROUP_IO },
};

const size_t n_cgroup_files = ELEMENTSOF(cgroup_files);

int cgroup_read_usage(int dir_fd, Usage *u, UsageSource source)
{
        char text[TEXT_MAX];
        size_t n_read = 0;

        assert(u);

        for (size_t i = 0; i < n_cgroup_files; i++)
                if (fd_read_file_at(dir_fd, cgroup_files[i].name, text, sizeof(text)) >= 0) {
                        usage_parse_file(u, cgroup_files[i].name, text, source);
                        n_read++;
                }
        return n_read > 0 ? 0 : -ENODEV;
}
