/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Limits in systemd's names, from what people write to the canonical form of common/limit, which is what the launcher
 * takes. (libreeve/property.c does the same for a command line, into a specification.)
 *
 * reeved may only restrict what an author sealed. So guarantees (MemoryLow, MemoryMin) are refused: adding one takes from
 * others. A device is written as "MAJ:MIN" or as a path, which is looked at once, when the file is read. A percentage of
 * memory is one of this machine's. */

#include <errno.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "basic/parse.h"
#include "daemon/policy/policy-internal.h"

static bool is_memory(const LimitKind *k)
{
        return k->controller == CGROUP_MEMORY;
}

static bool is_count(const LimitKind *k)
{
        return k->controller == CGROUP_PIDS || strstr(k->name, "IOPS");
}

static uint64_t physical_memory(void)
{
        long pages = sysconf(_SC_PHYS_PAGES), size = sysconf(_SC_PAGESIZE);
        return pages > 0 && size > 0 ? (uint64_t)pages * (uint64_t)size : 0;
}

static int parse_amount(const LimitKind *k, const char *text, uint64_t *ret)
{
        uint32_t share;

        if (streq(text, "infinity")) {
                *ret = UINT64_MAX;
                return 0;
        }
        if (is_memory(k) && parse_permyriad(text, &share) >= 0) {
                *ret = physical_memory() / 10000 * share;
                return share <= 10000 ? 0 : -ERANGE;
        }
        int r = is_count(k) ? parse_u64(text, ret) : parse_bytes(text, ret);
        return r >= 0 && *ret == 0 && !streq(k->name, "MemorySwapMax") ? -ERANGE : r;
}

static int write_amount(uint64_t v, char *ret, size_t size)
{
        if (v == UINT64_MAX)
                snprintf(ret, size, "infinity");
        else
                snprintf(ret, size, "%" PRIu64, v);
        return 0;
}

/* "8:0 5M" or "/dev/sda 5M" */
static int canonical_device(const LimitKind *k, const char *text, char *ret, size_t size)
{
        size_t n = strcspn(text, " ");
        char device[256];
        struct stat st;
        uint64_t v;

        if (n == 0 || n >= sizeof(device) || !text[n] ||
            parse_amount(k, text + n + strspn(text + n, " "), &v) < 0)
                return -EINVAL;
        memcpy(device, text, n);
        device[n] = '\0';
        if (device[0] == '/') {
                if (stat(device, &st) < 0)
                        return -errno;
                dev_t dev = S_ISBLK(st.st_mode) ? st.st_rdev : st.st_dev;
                snprintf(device, 32, "%u:%u", major(dev), minor(dev));
        }
        size_t used = (size_t)snprintf(ret, size, "%s ", device);
        return used < size ? write_amount(v, ret + used, size - used) : -EINVAL;
}

/* "0-3 5" is "0-3,5" */
static int canonical_list(const char *text, char *ret, size_t size)
{
        if (strlen(text) >= size)
                return -EINVAL;
        strcpy(ret, text);
        for (char *c = ret; *c; c++)
                if (*c == ' ')
                        *c = ',';
        return 0;
}

static int canonical(const LimitKind *k, const char *text, char *ret, size_t size)
{
        uint32_t share;
        uint64_t v;
        int r;

        switch (k->form) {
        case LIMIT_AMOUNT:
                r = parse_amount(k, text, &v);
                return r < 0 ? r : write_amount(v, ret, size);
        case LIMIT_WEIGHT:
                snprintf(ret, size, "%s", text);
                return 0;
        case LIMIT_QUOTA:
                if (streq(text, "infinity"))
                        return write_amount(UINT64_MAX, ret, size);
                r = parse_permyriad(text, &share);
                return r < 0 ? r : write_amount(share, ret, size);
        case LIMIT_DEVICE:
                return canonical_device(k, text, ret, size);
        case LIMIT_LIST:
                return canonical_list(text, ret, size);
        }
        return -EINVAL;
}

static const char *expected(const LimitKind *k)
{
        switch (k->form) {
        case LIMIT_AMOUNT:
                return is_memory(k) ? "a number of bytes (512M), a percentage of memory or infinity"
                                    : "a number above 0 or infinity";
        case LIMIT_WEIGHT:
                return "a weight from 1 to 10000";
        case LIMIT_QUOTA:
                return "a percentage of one CPU (50%, 200%) or infinity";
        case LIMIT_DEVICE:
                return "a device and a number (/dev/sda 5M, 8:0 5M)";
        case LIMIT_LIST:
                break;
        }
        return "a list of numbers and ranges (0-3,5)";
}

/* Later values of one name replace earlier ones: a value is read for each key once, so there are no earlier ones. */
int policy_read_limit(PolicyReader *r, const PolicyKey *k, const YamlNode *node)
{
        const LimitKind *kind = limit_kind(k->offset);
        char value[LIMIT_TEXT_SIZE], shown[YAML_SHOWN_SIZE];
        TaskPolicy *p = r->p;
        LimitValue parsed;
        PolicyOrigin origin;

        int x = policy_want_scalar(r, node, expected(kind));
        if (x < 0)
                return x;
        if (streq(kind->name, "MemoryLow") || streq(kind->name, "MemoryMin"))
                return policy_refuse(r, node->key_place, "%s is a guarantee: a policy can only restrict",
                                     kind->name);
        if (canonical(kind, node->text, value, sizeof(value)) < 0 || limit_parse(kind, value, &parsed) < 0)
                return policy_refuse(r, node->place, "%s must be %s, not '%s'", kind->name, expected(kind),
                                     yaml_shown(node->text, shown));

        if (!p->limits) {
                p->limits = task_policy_alloc(p, POLICY_LIMITS_MAX * sizeof(PolicyLimit));
                if (!p->limits)
                        return policy_oom(r);
        }
        const char *kept = task_policy_strdup(p, value);
        if (!kept)
                return policy_oom(r);
        if ((x = policy_origin(r, node, &origin)) < 0)
                return x;
        assert(p->n_limits < POLICY_LIMITS_MAX);
        p->limits[p->n_limits++] = (PolicyLimit){ kind->name, kept, origin };
        return 0;
}
