/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The names of resource limits, as setrlimit(2) and systemd have them without their prefix. One table serves both
 * directions. A limit that a future kernel adds has no name until it stands here, and is refused by name. */

#include "common/spec/spec.h"

#include <errno.h>

#include "basic/strings.h"

static const char *const names[RLIM_NLIMITS] = {
        [RLIMIT_AS] = "AS",           [RLIMIT_CORE] = "CORE",         [RLIMIT_CPU] = "CPU",
        [RLIMIT_DATA] = "DATA",       [RLIMIT_FSIZE] = "FSIZE",       [RLIMIT_LOCKS] = "LOCKS",
        [RLIMIT_MEMLOCK] = "MEMLOCK", [RLIMIT_MSGQUEUE] = "MSGQUEUE", [RLIMIT_NICE] = "NICE",
        [RLIMIT_NOFILE] = "NOFILE",   [RLIMIT_NPROC] = "NPROC",       [RLIMIT_RSS] = "RSS",
        [RLIMIT_RTPRIO] = "RTPRIO",   [RLIMIT_RTTIME] = "RTTIME",     [RLIMIT_SIGPENDING] = "SIGPENDING",
        [RLIMIT_STACK] = "STACK",
};

int spec_rlimit_from_name(const char *name)
{
        assert(name);

        for (size_t i = 0; i < ELEMENTSOF(names); i++)
                if (names[i] && streq(names[i], name))
                        return (int)i;
        return -EINVAL;
}

const char *spec_rlimit_name(int resource)
{
        return resource >= 0 && (size_t)resource < ELEMENTSOF(names) ? names[resource] : NULL;
}
