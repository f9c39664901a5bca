/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* One table says which limit is which file of which controller and how its value is written. Values come in
 * canonical form (bytes, counts, weights, parts per ten thousand of a CPU), because parsing what people write is not
 * work for a privileged process; libreeve/property.c does that, with the rights of the author.
 *
 * A quota is a share of a period. The usual period is 100 ms; for less than a hundredth of a CPU it is a second, since
 * the kernel wants a millisecond in each period at least. */

#include "common/limit/limit.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "basic/parse.h"
#include "basic/strings.h"

#define QUOTA_PERMYRIAD_MIN    10 /* 0.1 % of a CPU: a millisecond in a period of one second */
#define QUOTA_SHORT_PERIOD_MIN 100
#define QUOTA_PERIOD_USEC      100000
#define QUOTA_LONG_PERIOD_USEC 1000000

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

const LimitKind *limit_kind(size_t index)
{
        return index < ELEMENTSOF(kinds) ? kinds + index : NULL;
}

const LimitKind *limit_kind_find(const char *name)
{
        assert(name);

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
static int parse_device(const char *text, LimitValue *v)
{
        size_t n = strcspn(text, " ");

        if (n == 0 || text[n] == '\0' || n >= sizeof(v->device) || strspn(text, "0123456789:") != n)
                return -EINVAL;
        memcpy(v->device, text, n);
        return parse_amount(text + n + 1, &v->amount);
}

static int parse_list(const char *text, LimitValue *v)
{
        size_t n = strlen(text);

        if (n >= sizeof(v->list) || n == 0 || strspn(text, "0123456789,-") != n)
                return -EINVAL;
        memcpy(v->list, text, n);
        return 0;
}

int limit_parse(const LimitKind *k, const char *text, LimitValue *ret)
{
        int r;

        assert(k);
        assert(text);
        assert(ret);

        *ret = (LimitValue){ 0 };
        switch (k->form) {
        case LIMIT_AMOUNT:
                return parse_amount(text, &ret->amount);
        case LIMIT_WEIGHT:
                r = parse_u64(text, &ret->amount);
                if (r >= 0 && (ret->amount < LIMIT_WEIGHT_MIN || ret->amount > LIMIT_WEIGHT_MAX))
                        return -ERANGE;
                return r;
        case LIMIT_QUOTA:
                r = parse_amount(text, &ret->amount);
                return r >= 0 && ret->amount < QUOTA_PERMYRIAD_MIN ? -ERANGE : r;
        case LIMIT_DEVICE:
                return parse_device(text, ret);
        case LIMIT_LIST:
                return parse_list(text, ret);
        default:
                assert(false);
                return -EINVAL;
        }
}

int limit_narrow(LimitValue *v, const LimitValue *other)
{
        assert(v);
        assert(other);

        if (!streq(v->device, other->device) || !streq(v->list, other->list))
                return -EINVAL;
        v->amount = MIN(v->amount, other->amount);
        return 0;
}

const char *limit_format(const LimitKind *k, const LimitValue *v, char ret[static LIMIT_TEXT_SIZE])
{
        char prefix[40];
        unsigned long long amount = v->amount;

        assert(k);
        assert(v);

        snprintf(prefix, sizeof(prefix), "%s%s%s", v->device, v->device[0] ? " " : "", k->prefix);
        if (v->list[0])
                snprintf(ret, LIMIT_TEXT_SIZE, "%s", v->list);
        else if (amount == UINT64_MAX)
                snprintf(ret, LIMIT_TEXT_SIZE, "%smax", prefix);
        else if (k->form == LIMIT_QUOTA && amount < QUOTA_SHORT_PERIOD_MIN)
                snprintf(ret, LIMIT_TEXT_SIZE, "%llu %u", amount * QUOTA_LONG_PERIOD_USEC / 10000,
                         QUOTA_LONG_PERIOD_USEC);
        else if (k->form == LIMIT_QUOTA)
                snprintf(ret, LIMIT_TEXT_SIZE, "%llu %u",
                         MIN(amount, UINT32_MAX * 1ULL) * QUOTA_PERIOD_USEC / 10000, QUOTA_PERIOD_USEC);
        else
                snprintf(ret, LIMIT_TEXT_SIZE, "%s%llu", prefix, amount);
        return ret;
}

unsigned limit_priority_weight(unsigned priority)
{
        static const unsigned weights[] = { 20, 30, 44, 67, 100, 150, 225, 338, 506, 759 };

        assert(priority >= LIMIT_PRIORITY_MIN && priority <= LIMIT_PRIORITY_MAX);
        return weights[priority - LIMIT_PRIORITY_MIN];
}
