/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* One table says which limit is which file of which controller and how its value is written. Values come in
 * canonical form (bytes, counts, weights, parts per ten thousand of a CPU), because parsing what people write is not
 * work for a privileged process.
 *
 * A limit that cannot be put in force is refused with its name; none is dropped in silence. When the author and
 * reeved both name a limit, the smaller value stays, so reeved can only restrict. */

#include "launcher/limits.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "basic/fd.h"
#include "basic/parse.h"
#include "basic/strings.h"
#include "common/cgroup/cgroup.h"
#include "launcher/limits-libcgroup.h"

#define WEIGHT_MAX             10000
#define MAJ_MIN_MAX            24
#define QUOTA_PERMYRIAD_MIN    10 /* 0.1 % of a CPU: the kernel wants a millisecond in a period of one second */
#define QUOTA_SHORT_PERIOD_MIN 100
#define QUOTA_PERIOD_USEC      100000
#define QUOTA_LONG_PERIOD_USEC 1000000

typedef enum LimitForm {
        LIMIT_AMOUNT, /* bytes or a count, or "infinity" */
        LIMIT_WEIGHT,
        LIMIT_QUOTA,
        LIMIT_DEVICE, /* "MAJ:MIN <amount>" */
        LIMIT_LIST,
} LimitForm;

typedef struct LimitKind {
        const char *name;
        CgroupController controller;
        const char *file;
        const char *prefix;
        LimitForm form;
} LimitKind;

static const LimitKind kinds[] = {
        { "CPUQuota", CGROUP_CPU, "cpu.max", "", LIMIT_QUOTA },
        { "CPUWeight", CGROUP_CPU, "cpu.weight", "", LIMIT_WEIGHT },
        { "MemoryMax", CGROUP_MEMORY, "memory.max", "", LIMIT_AMOUNT },
        { "MemoryHigh", CGROUP_MEMORY, "memory.high", "", LIMIT_AMOUNT },
        { "MemoryLow", CGROUP_MEMORY, "memory.low", "", LIMIT_AMOUNT },
        { "MemoryMin", CGROUP_MEMORY, "memory.min", "", LIMIT_AMOUNT },
        { "MemorySwapMax", CGROUP_MEMORY, "memory.swap.max", "", LIMIT_AMOUNT },
        { "TasksMax", CGROUP_PIDS, "pids.max", "", LIMIT_AMOUNT },
        { "IOWeight", CGROUP_IO, "io.weight", "default ", LIMIT_WEIGHT },
        { "IOReadBandwidthMax", CGROUP_IO, "io.max", "rbps=", LIMIT_DEVICE },
        { "IOWriteBandwidthMax", CGROUP_IO, "io.max", "wbps=", LIMIT_DEVICE },
        { "IOReadIOPSMax", CGROUP_IO, "io.max", "riops=", LIMIT_DEVICE },
        { "IOWriteIOPSMax", CGROUP_IO, "io.max", "wiops=", LIMIT_DEVICE },
        { "AllowedCPUs", CGROUP_CPUSET, "cpuset.cpus", "", LIMIT_LIST },
        { "AllowedMemoryNodes", CGROUP_CPUSET, "cpuset.mems", "", LIMIT_LIST },
};

static const LimitKind *find_kind(const char *name)
{
        for (size_t i = 0; i < ELEMENTSOF(kinds); i++)
                if (streq(kinds[i].name, name))
                        return kinds + i;
        return NULL;
}

static int parse_amount(const char *text, uint64_t *ret)
{
        if (streq(text, "infinity")) {
                *ret = UINT64_MAX;
                return 0;
        }
        return parse_u64(text, ret);
}

/* "MAJ:MIN amount": the author's library resolved the path with the author's rights. */
static int parse_device(const char *text, const char *key, LimitSetting *s)
{
        size_t n = strcspn(text, " ");

        if (text[n] == '\0' || n > MAJ_MIN_MAX || strspn(text, "0123456789:") != n)
                return -EINVAL;
        snprintf(s->prefix, sizeof(s->prefix), "%.*s %s", (int)n, text, key);
        return parse_amount(text + n + 1, &s->value);
}

static int parse_value(const LimitKind *k, const char *text, LimitSetting *s)
{
        int r;

        snprintf(s->prefix, sizeof(s->prefix), "%s", k->prefix);
        switch (k->form) {
        case LIMIT_AMOUNT:
                return parse_amount(text, &s->value);
        case LIMIT_WEIGHT:
                r = parse_u64(text, &s->value);
                return r < 0 ? r : s->value >= 1 && s->value <= WEIGHT_MAX ? 0 : -ERANGE;
        case LIMIT_QUOTA:
                s->is_quota = true;
                r = parse_amount(text, &s->value);
                return r < 0 ? r : s->value >= QUOTA_PERMYRIAD_MIN ? 0 : -ERANGE;
        case LIMIT_DEVICE:
                return parse_device(text, k->prefix, s);
        case LIMIT_LIST:
                if (strlen(text) >= sizeof(s->text) || text[0] == '\0' ||
                    strspn(text, "0123456789,-") != strlen(text))
                        return -EINVAL;
                strcpy(s->text, text);
                return 0;
        default:
                assert(false);
                return -EINVAL;
        }
}

/* Is it a second setting of the same thing? Then the stricter value stays. -EINVAL: they cannot be compared. */
static int merge(LimitSettings *all, const LimitSetting *fresh)
{
        for (size_t i = 0; i < all->n; i++) {
                LimitSetting *old = all->items + i;

                if (old->file != fresh->file || !streq(old->prefix, fresh->prefix))
                        continue;
                if (!streq(old->text, fresh->text))
                        return -EINVAL;
                old->value = MIN(old->value, fresh->value);
                return 0;
        }
        if (all->n == ELEMENTSOF(all->items))
                return -E2BIG;
        all->items[all->n++] = *fresh;
        return 0;
}

int limits_resolve(LimitSettings *s, const SpecLimit *limits, size_t n, uint32_t controllers,
                   ReeveError *reterr)
{
        assert(s);
        assert(limits || n == 0);

        for (size_t i = 0; i < n; i++) {
                const char *name = limits[i].name;
                const LimitKind *k = find_kind(name);
                LimitSetting fresh = { 0 };

                if (!k)
                        return reeve_error_set(reterr, REEVE_ERROR_INVALID_ARGUMENT, name,
                                               "there is no limit of this name");
                if (!(controllers & (UINT32_C(1) << k->controller)))
                        return reeve_error_set(
                                        reterr, REEVE_ERROR_INVALID_ARGUMENT, name,
                                        "this host has no %s controller in cgroup v2 to enforce it with",
                                        cgroup_controller_name(k->controller));
                fresh.controller = cgroup_controller_name(k->controller);
                fresh.file = k->file;
                if (parse_value(k, limits[i].value, &fresh) < 0)
                        return reeve_error_set(reterr, REEVE_ERROR_INVALID_ARGUMENT, name,
                                               "'%s' is not a value of this limit", limits[i].value);
                if (merge(s, &fresh) < 0)
                        return reeve_error_set(reterr, REEVE_ERROR_INVALID_ARGUMENT, name,
                                               "it is set to different lists");
        }
        return 0;
}

static void format_value(const LimitSetting *s, char *ret, size_t size)
{
        unsigned long long value = s->value;

        if (s->text[0])
                snprintf(ret, size, "%s", s->text);
        else if (value == UINT64_MAX)
                snprintf(ret, size, "%smax", s->prefix);
        else if (s->is_quota && value < QUOTA_SHORT_PERIOD_MIN)
                snprintf(ret, size, "%llu %u", value * QUOTA_LONG_PERIOD_USEC / 10000,
                         QUOTA_LONG_PERIOD_USEC);
        else if (s->is_quota)
                snprintf(ret, size, "%llu %u", MIN(value, UINT32_MAX * 1ULL) * QUOTA_PERIOD_USEC / 10000,
                         QUOTA_PERIOD_USEC);
        else
                snprintf(ret, size, "%s%llu", s->prefix, value);
}

int limits_apply(const Pool *p, int leaf_fd, const char *leaf_path, const LimitSettings *s,
                 ReeveError *reterr)
{
        char text[192];

        assert(p);
        assert(leaf_path);
        assert(s);

        for (size_t i = 0; i < s->n; i++) {
                const LimitSetting *l = s->items + i;

                format_value(l, text, sizeof(text));
                if (limits_libcgroup_write(p, leaf_path, l->controller, l->file, text) >= 0)
                        continue;
                int r = fd_write_file_at(leaf_fd, l->file, text);
                if (r < 0)
                        return reeve_error_set(reterr, REEVE_ERROR_INVALID_ARGUMENT, l->file,
                                               "the kernel refuses '%s': %s", text, strerrordesc_np(-r));
        }
        return 0;
}

const char *limits_enforceable(uint32_t controllers, size_t *cursor)
{
        assert(cursor);

        while (*cursor < ELEMENTSOF(kinds)) {
                const LimitKind *k = kinds + (*cursor)++;

                if (controllers & (UINT32_C(1) << k->controller))
                        return k->name;
        }
        return NULL;
}
