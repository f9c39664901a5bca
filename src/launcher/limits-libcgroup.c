/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* libcgroup sets limits in cgroups that exist; it does not create them here (mkdir is ten times faster and gives a
 * descriptor to clone into), attach, list or read. Measured limits of version 2.0.2, which decide when it is used:
 *
 *  - on a host that has version 1 hierarchies it takes their mounts for the controllers': not used there;
 *  - it holds one value for each file, so io.max, one line for each device, is not for it;
 *  - it would enable controllers in ancestors that are not ours: they are enabled before (pool.c), and modifying,
 *    unlike creating, does not touch them;
 *  - its tables are large, so cgroup_init() runs when the first limit is set and not before. */

#include "launcher/limits-libcgroup.h"

#include <errno.h>
#include <libcgroup.h>
#include <string.h>

#include "basic/fd.h"

/* Are there hierarchies of version 1? A line of /proc/self/cgroup for anything but "0::" says so. */
static bool host_is_hybrid(void)
{
        char text[4096];

        if (fd_read_file_at(AT_FDCWD, "/proc/self/cgroup", text, sizeof(text)) < 0)
                return true;
        return strncmp(text, "0::", 3) != 0;
}

static bool library_is_ready(void)
{
        static int ready = -1;

        if (ready < 0)
                ready = !host_is_hybrid() && cgroup_init() == 0;
        return ready > 0;
}

int limits_libcgroup_write(const Pool *p, const char *leaf_path, const char *controller, const char *file,
                           const char *value)
{
        assert(p);
        assert(leaf_path);
        assert(controller);
        assert(file);
        assert(value);

        if (strcmp(file, "io.max") == 0 || !library_is_ready())
                return -EOPNOTSUPP;
        struct cgroup *group = cgroup_new_cgroup(leaf_path);
        if (!group)
                return -ENOMEM;
        struct cgroup_controller *c = cgroup_add_controller(group, controller);
        int r = !c                                             ? -EINVAL
                : cgroup_add_value_string(c, file, value) != 0 ? -EINVAL
                : cgroup_modify_cgroup(group) != 0             ? -EIO
                                                               : 0;
        cgroup_free(&group);
        return r;
}
