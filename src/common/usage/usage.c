/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Names of counters and sources, and the fall-back from one account to another.
 *
 * Both tables are walked from end to end: a lookup by name happens once per column when statements are prepared, not per
 * task. The fall-back goes field by field: a host may count CPU exactly and I/O not at all, and each number keeps the
 * source that it has. What is known already is never replaced. */

#include "common/usage/usage.h"

#include <string.h>

static const UsageFieldInfo fields[_USAGE_FIELD_MAX] = {
#define X(ENUM, name_, kind_, total_, text_) \
        [USAGE_##ENUM] = { .name = name_, .kind = USAGE_KIND_##kind_, .total = total_, .text = text_ },
        USAGE_FIELDS(X)
#undef X
};

static const char *const sources[_USAGE_SOURCE_MAX] = {
        [USAGE_UNKNOWN] = "",      [USAGE_KERNEL_FINAL] = "kernel-final",
        [USAGE_KERNEL] = "kernel", [USAGE_RUSAGE] = "rusage",
        [USAGE_PROCFS] = "procfs", [USAGE_REPORTED] = "reported",
};

const UsageFieldInfo *usage_field_info(UsageField f)
{
        assert(f >= 0 && f < _USAGE_FIELD_MAX);
        return fields + f;
}

UsageField usage_field_from_name(const char *name)
{
        assert(name);

        for (int i = 0; i < _USAGE_FIELD_MAX; i++)
                if (strcmp(fields[i].name, name) == 0)
                        return (UsageField)i;
        return _USAGE_FIELD_INVALID;
}

const char *usage_source_name(UsageSource s)
{
        assert(s >= 0 && s < _USAGE_SOURCE_MAX);
        return sources[s];
}

UsageSource usage_source_from_name(const char *name)
{
        assert(name);

        for (int i = 0; i < _USAGE_SOURCE_MAX; i++)
                if (strcmp(sources[i], name) == 0)
                        return (UsageSource)i;
        return _USAGE_SOURCE_INVALID;
}

void usage_fill(Usage *u, const Usage *other)
{
        assert(u);
        assert(other);

        for (int i = 0; i < _USAGE_FIELD_MAX; i++)
                if (!usage_has(u, (UsageField)i)) {
                        u->value[i] = other->value[i];
                        u->source[i] = other->source[i];
                }
}
