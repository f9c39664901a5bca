/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Properties, as one table: the name as systemd.resource-control(5), systemd.exec(5) and systemd.kill(5) have it, how
 * its value is read, and within which bounds. Values leave here in the canonical form that the specification knows
 * and the launcher checks again: bytes and counts in decimal, CPUQuota in ten-thousandths of one CPU, weights, "8:0
 * 1048576" for a device, "0-3,5" for CPUs, "infinity" where there is no limit.
 *
 * A percentage of memory is one of this machine's physical memory. A limit that the host cannot enforce is refused by
 * the launcher: which host that is cannot be known here. Nothing that starts, orders or places units is in the table,
 * and never will be: a task is not a unit. */

#include "libreeve/property.h"

#include <errno.h>
#include <stdio.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "basic/fd.h"
#include "basic/nearest.h"
#include "basic/parse.h"
#include "basic/strings.h"
#include "common/limit/limit.h"
#include "libreeve/command.h"
#include "reeve/reeve.h"

#define INDEX_MAX 8192 /* CPUs and nodes that Linux can be built for */

typedef struct Property Property;
typedef int (*property_apply_t)(Request *q, const Property *p, const char *value, ReeveError *reterr);

struct Property {
        const char *name;
        property_apply_t apply;
        int64_t min, max; /* of numbers */
        int (*parse_rlimit)(const char *text, uint64_t *ret);
};

static int bad_value(const Property *p, const char *value, const char *expected, ReeveError *reterr)
{
        return reeve_error_set(reterr, REEVE_ERROR_INVALID_ARGUMENT, p->name, "'%.100s' is not %s", value,
                               expected);
}

static int set_number(Request *q, const Property *p, uint64_t value, ReeveError *reterr)
{
        char text[24] = "infinity";

        if (value != UINT64_MAX)
                snprintf(text, sizeof(text), "%" PRIu64, value);
        return request_set_limit(q, p->name, text, reterr);
}

static uint64_t physical_memory(void)
{
        long pages = sysconf(_SC_PHYS_PAGES), size = sysconf(_SC_PAGESIZE);
        return pages > 0 && size > 0 ? (uint64_t)pages * (uint64_t)size : 0;
}

static int apply_memory(Request *q, const Property *p, const char *value, ReeveError *reterr)
{
        uint64_t bytes;
        uint32_t permyriad;

        if (parse_permyriad(value, &permyriad) >= 0 && permyriad <= 10000 && physical_memory() > 0)
                bytes = physical_memory() / 10000 * permyriad;
        else if (parse_bytes(value, &bytes) < 0)
                return bad_value(p, value, "a number of bytes (512M), a percentage or 'infinity'", reterr);
        return set_number(q, p, bytes, reterr);
}

static int apply_cpu_quota(Request *q, const Property *p, const char *value, ReeveError *reterr)
{
        uint32_t permyriad;

        if (parse_permyriad(value, &permyriad) < 0 || permyriad == 0)
                return bad_value(p, value, "a percentage of one CPU above 0 (50%, 200%)", reterr);
        return set_number(q, p, permyriad, reterr);
}

static int apply_weight(Request *q, const Property *p, const char *value, ReeveError *reterr)
{
        int weight;

        if (parse_int_range(value, (int)p->min, (int)p->max, &weight) < 0)
                return bad_value(p, value, "a weight between 1 and 10000", reterr);
        return set_number(q, p, (uint64_t)weight, reterr);
}

static int apply_count(Request *q, const Property *p, const char *value, ReeveError *reterr)
{
        uint64_t count = UINT64_MAX;

        if (!streq(value, "infinity") && (parse_u64(value, &count) < 0 || count == 0))
                return bad_value(p, value, "a number above 0 or 'infinity'", reterr);
        return set_number(q, p, count, reterr);
}

/* The kernel limits whole disks; a partition's is the directory above its own in sysfs. */
static dev_t whole_disk(dev_t device)
{
        unsigned disk_major, disk_minor;
        char path[96], text[32];

        snprintf(path, sizeof(path), "/sys/dev/block/%u:%u/partition", major(device), minor(device));
        if (access(path, F_OK) < 0)
                return device;
        snprintf(path, sizeof(path), "/sys/dev/block/%u:%u/../dev", major(device), minor(device));
        if (fd_read_file_at(AT_FDCWD, path, text, sizeof(text)) < 0 ||
            sscanf(text, "%u:%u", &disk_major, &disk_minor) != 2)
                return device;
        return makedev(disk_major, disk_minor);
}

/* "DEVICE VALUE": the device node, or a file on it. */
static int apply_device(Request *q, const Property *p, const char *value, bool bytes, ReeveError *reterr)
{
        size_t n = strcspn(value, " ");
        char text[64], number[24] = "infinity";
        struct stat st;
        uint64_t v = UINT64_MAX;

        if (n == 0 || !value[n])
                return bad_value(p, value, "a device and a number (/dev/sda 5M)", reterr);
        const char *limit = value + n + strspn(value + n, " ");
        if ((bytes                      ? parse_bytes(limit, &v)
             : streq(limit, "infinity") ? 0
                                        : parse_u64(limit, &v)) < 0 ||
            v == 0)
                return bad_value(p, limit, "a number above 0 or 'infinity'", reterr);

        _cleanup_free_ char *device = strndup(value, n);
        if (!device)
                return reeve_error_errno(reterr, ENOMEM, p->name, "cannot set a limit");
        if (stat(device, &st) < 0)
                return reeve_error_set(reterr, REEVE_ERROR_INVALID_ARGUMENT, p->name, "%.200s: %s", device,
                                       strerrordesc_np(errno));
        dev_t dev = whole_disk(S_ISBLK(st.st_mode) ? st.st_rdev : st.st_dev);

        if (v != UINT64_MAX)
                snprintf(number, sizeof(number), "%" PRIu64, v);
        snprintf(text, sizeof(text), "%u:%u %s", major(dev), minor(dev), number);
        return request_set_limit(q, p->name, text, reterr);
}

static int apply_bandwidth(Request *q, const Property *p, const char *value, ReeveError *reterr)
{
        return apply_device(q, p, value, true, reterr);
}

static int apply_iops(Request *q, const Property *p, const char *value, ReeveError *reterr)
{
        return apply_device(q, p, value, false, reterr);
}

/* One of "3" and "0-3". */
static bool range_is_valid(const char *text)
{
        uint32_t first, last;
        char copy[32];

        if (strlen(text) >= sizeof(copy))
                return false;
        strcpy(copy, text);
        char *dash = strchr(copy, '-');
        if (dash)
                *dash++ = '\0';
        return parse_u32(copy, &first) >= 0 && first < INDEX_MAX &&
               (!dash || (parse_u32(dash, &last) >= 0 && last >= first && last < INDEX_MAX));
}

/* systemd separates ranges by blanks or commas; the canonical form has commas. */
static int apply_list(Request *q, const Property *p, const char *value, ReeveError *reterr)
{
        _cleanup_free_ char *copy = strdup(value);
        _cleanup_buffer_ Buffer list = { 0 };
        char *rest = NULL;

        if (!copy)
                return reeve_error_errno(reterr, ENOMEM, p->name, "cannot set a limit");
        for (char *range = strtok_r(copy, ", ", &rest); range; range = strtok_r(NULL, ", ", &rest)) {
                if (!range_is_valid(range))
                        return bad_value(p, range, "a number or a range (0-3)", reterr);
                if (buffer_printf(&list, "%s%s", list.size > 0 ? "," : "", range) < 0)
                        return reeve_error_errno(reterr, ENOMEM, p->name, "cannot set a limit");
        }
        if (list.size == 0)
                return bad_value(p, value, "a list of numbers and ranges (0-3,5)", reterr);
        return request_set_limit(q, p->name, list.data, reterr);
}

static int parse_count(const char *text, uint64_t *ret)
{
        if (!streq(text, "infinity"))
                return parse_u64(text, ret);
        *ret = UINT64_MAX;
        return 0;
}

static int parse_seconds(const char *text, uint64_t *ret)
{
        usec_t span;

        int r = parse_span(text, &span);
        if (r >= 0) /* rounded up: a limit of half a second must not become none */
                *ret = span == USEC_INFINITY ? UINT64_MAX : span / USEC_PER_SEC + (span % USEC_PER_SEC > 0);
        return r;
}

static int parse_usec(const char *text, uint64_t *ret)
{
        uint64_t number;

        if (parse_u64(text, &number) < 0)
                return parse_span(text, ret);
        *ret = number; /* without a unit it is microseconds here, as setrlimit(2) counts */
        return 0;
}

/* "SOFT:HARD", or one value for both. */
static int apply_rlimit(Request *q, const Property *p, const char *value, ReeveError *reterr)
{
        const char *hard = strchr(value, ':');
        SpecRlimit limit = { .set = true };
        char soft[64];

        size_t n = hard ? (size_t)(hard - value) : strlen(value);
        if (n >= sizeof(soft))
                return bad_value(p, value, "a limit", reterr);
        memcpy(soft, value, n);
        soft[n] = '\0';

        if (p->parse_rlimit(soft, &limit.soft) < 0 ||
            p->parse_rlimit(hard ? hard + 1 : soft, &limit.hard) < 0)
                return bad_value(p, value, "a limit (1024, 512:1024, infinity)", reterr);
        if (limit.soft > limit.hard)
                return bad_value(p, value, "a soft limit that is at most the hard one", reterr);

        int resource = spec_rlimit_from_name(string_after(p->name, "Limit"));
        if (resource < 0)
                return bad_value(p, value, "a limit that this host has", reterr);
        q->spec.rlimits[resource] = limit;
        return 0;
}

static int apply_nice(Request *q, const Property *p, const char *value, ReeveError *reterr)
{
        if (parse_int_range(value, (int)p->min, (int)p->max, &q->spec.nice) < 0)
                return bad_value(p, value, "a number from -20 to 19", reterr);
        return 0;
}

static int apply_oom_score(Request *q, const Property *p, const char *value, ReeveError *reterr)
{
        if (parse_int_range(value, (int)p->min, (int)p->max, &q->spec.oom_score_adjust) < 0)
                return bad_value(p, value, "a number from -1000 to 1000", reterr);
        q->spec.has_oom_score_adjust = true;
        return 0;
}

static int apply_umask(Request *q, const Property *p, const char *value, ReeveError *reterr)
{
        if (parse_mode(value, &q->spec.umask) < 0 || q->spec.umask > 0777)
                return bad_value(p, value, "an octal mask up to 0777", reterr);
        return 0;
}

static int apply_grace(Request *q, const Property *p, const char *value, ReeveError *reterr)
{
        if (parse_span(value, &q->spec.grace_usec) < 0 || q->spec.grace_usec == USEC_INFINITY)
                return bad_value(p, value, "a time span (30s)", reterr);
        return 0;
}

static int apply_directory(Request *q, const Property *p, const char *value, ReeveError *reterr)
{
        char *absolute;

        if (!*value)
                return bad_value(p, value, "a directory", reterr);
        int r = command_make_absolute(value, &absolute, reterr);
        if (r < 0)
                return r;
        free(q->cwd);
        q->spec.cwd = q->cwd = absolute;
        return 0;
}

static int apply_environment(Request *q, const Property *p, const char *value, ReeveError *reterr)
{
        return request_set_environment(q, value, reterr);
}

#define RLIMIT(name, parse)                                  \
        {                                                    \
                name, apply_rlimit, .parse_rlimit = &(parse) \
        }

/* In alphabetical order. */
static const Property properties[] = {
        { "AllowedCPUs", apply_list },
        { "AllowedMemoryNodes", apply_list },
        { "CPUQuota", apply_cpu_quota },
        { "CPUWeight", apply_weight, LIMIT_WEIGHT_MIN, LIMIT_WEIGHT_MAX },
        { "Environment", apply_environment },
        { "IOReadBandwidthMax", apply_bandwidth },
        { "IOReadIOPSMax", apply_iops },
        { "IOWeight", apply_weight, LIMIT_WEIGHT_MIN, LIMIT_WEIGHT_MAX },
        { "IOWriteBandwidthMax", apply_bandwidth },
        { "IOWriteIOPSMax", apply_iops },
        RLIMIT("LimitAS", parse_bytes),
        RLIMIT("LimitCORE", parse_bytes),
        RLIMIT("LimitCPU", parse_seconds),
        RLIMIT("LimitDATA", parse_bytes),
        RLIMIT("LimitFSIZE", parse_bytes),
        RLIMIT("LimitLOCKS", parse_count),
        RLIMIT("LimitMEMLOCK", parse_bytes),
        RLIMIT("LimitMSGQUEUE", parse_bytes),
        RLIMIT("LimitNICE", parse_count),
        RLIMIT("LimitNOFILE", parse_count),
        RLIMIT("LimitNPROC", parse_count),
        RLIMIT("LimitRSS", parse_bytes),
        RLIMIT("LimitRTPRIO", parse_count),
        RLIMIT("LimitRTTIME", parse_usec),
        RLIMIT("LimitSIGPENDING", parse_count),
        RLIMIT("LimitSTACK", parse_bytes),
        { "MemoryHigh", apply_memory },
        { "MemoryLow", apply_memory },
        { "MemoryMax", apply_memory },
        { "MemoryMin", apply_memory },
        { "MemorySwapMax", apply_memory },
        { "Nice", apply_nice, -20, 19 },
        { "OOMScoreAdjust", apply_oom_score, -1000, 1000 },
        { "TasksMax", apply_count },
        { "TimeoutStopSec", apply_grace },
        { "UMask", apply_umask },
        { "WorkingDirectory", apply_directory },
};

const char *reeve_property_name(size_t index)
{
        return index < ELEMENTSOF(properties) ? properties[index].name : NULL;
}

static int unknown(const char *name, ReeveError *reterr)
{
        Nearest nearest;

        nearest_init(&nearest, name);
        for (size_t i = 0; i < ELEMENTSOF(properties); i++)
                nearest_offer(&nearest, properties[i].name);
        if (nearest.best)
                return reeve_error_set(reterr, REEVE_ERROR_INVALID_ARGUMENT, name,
                                       "there is no such property, did you mean %s?", nearest.best);
        return reeve_error_set(reterr, REEVE_ERROR_INVALID_ARGUMENT, name, "there is no such property");
}

int property_apply(Request *q, const char *assignment, ReeveError *reterr)
{
        assert(q);
        assert(assignment);

        size_t n = strcspn(assignment, "=");
        _cleanup_free_ char *name = strndup(assignment, n);
        if (!name)
                return reeve_error_errno(reterr, ENOMEM, NULL, "cannot set a property");
        for (size_t i = 0; i < ELEMENTSOF(properties); i++)
                if (streq(properties[i].name, name)) {
                        if (assignment[n] != '=')
                                return reeve_error_set(reterr, REEVE_ERROR_INVALID_ARGUMENT, name,
                                                       "the property has no value, write %s=VALUE", name);
                        return properties[i].apply(q, properties + i, assignment + n + 1, reterr);
                }
        return unknown(name, reterr);
}
