/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Resource limits in systemd's names, as files of cgroup v2. */

#include "common/spec/spec.h"
#include "launcher/pool.h"

typedef struct LimitSetting {
        const char *controller; /* "memory" */
        const char *file;       /* "memory.max" */
        char prefix[40];        /* "8:0 rbps=", "default " or "" */
        uint64_t value;         /* UINT64_MAX: "max" */
        char text[128];         /* instead of a value, for lists of CPUs */
        bool is_quota;          /* value is parts per ten thousand of a CPU */
} LimitSetting;

typedef struct LimitSettings {
        LimitSetting items[2 * SPEC_LIMITS_MAX];
        size_t n;
} LimitSettings;

/* Adds limits to the settings; where there is one for the same thing already, the stricter of both stays.
 * InvalidArgument, with the limit's name as field, for an unknown name, a value that is not canonical or one that
 * this host (whose leaves have `controllers`) cannot enforce. */
int limits_resolve(LimitSettings *s, const SpecLimit *limits, size_t n, uint32_t controllers,
                   ReeveError *reterr);

/* Puts them in force in a leaf. */
int limits_apply(const Pool *p, int leaf_fd, const char *leaf_path, const LimitSettings *s,
                 ReeveError *reterr);

/* Names of limits that these controllers can enforce, one after the other; NULL at the end. */
const char *limits_enforceable(uint32_t controllers, size_t *cursor);
