/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Properties, as one table: the name as systemd.resource-control(5), systemd.exec(5) and systemd.kill(5) have it, how
 * its value is read, and within which bounds. Values leave here in the canonical form that the specification knows
 * and the launcher checks again: bytes and counts in decimal, CPUQuota in ten-thousandths of one CPU, weights, "8:0
 * 1048576" for a device, "0-3,5" for CPUs, "infinity" where there is no limit.
 *
 * What is not in this table may be a property that only units of systemd have (unit-value.c): then the task becomes
 * one. A limit that the host cannot enforce is refused by the launcher: which host that is cannot be known here. Nothing that
 * acts, orders or places units is in either table, and never will be (exclusion.c says why to who asks for it). */

#include "libreeve/property.h"

#include <errno.h>
#include <stdio.h>
#include <unistd.h>

#include "basic/nearest.h"
#include "basic/parse.h"
#include "basic/strings.h"
#include "common/limit/limit.h"
#include "libreeve/command.h"
#include "libreeve/exclusion.h"
#include "libreeve/property-value.h"
#include "libreeve/unit-value.h"
#include "reeve/reeve.h"

typedef struct Property Property;
typedef int (*property_apply_t)(Request *q, const Property *p, const char *value, ReeveError *reterr);

struct Property {
        const char *name;
        property_apply_t apply;
        int64_t min, max;                              /* of numbers */
        int (*parse)(const char *text, uint64_t *ret); /* of limits and devices */
};

static int set_number(Request *q, const Property *p, uint64_t value, ReeveError *reterr)
{
        char text[24] = "infinity";

        if (value != UINT64_MAX)
                snprintf(text, sizeof(text), "%" PRIu64, value);
        return request_set_limit(q, p->name, text, reterr);
}

static int apply_memory(Request *q, const Property *p, const char *value, ReeveError *reterr)
{
        uint64_t bytes;

        int r = property_read_memory(p->name, value, &bytes, reterr);
        return r < 0 ? r : set_number(q, p, bytes, reterr);
}

static int apply_cpu_quota(Request *q, const Property *p, const char *value, ReeveError *reterr)
{
        uint32_t permyriad;

        if (parse_permyriad(value, &permyriad) < 0 || permyriad == 0)
                return property_bad_value(p->name, value, "a percentage of one CPU above 0 (50%, 200%)",
                                          reterr);
        return set_number(q, p, permyriad, reterr);
}

static int apply_weight(Request *q, const Property *p, const char *value, ReeveError *reterr)
{
        int weight;

        if (parse_int_range(value, (int)p->min, (int)p->max, &weight) < 0)
                return property_bad_value(p->name, value, "a weight between 1 and 10000", reterr);
        return set_number(q, p, (uint64_t)weight, reterr);
}

static int apply_count(Request *q, const Property *p, const char *value, ReeveError *reterr)
{
        uint64_t count = UINT64_MAX;

        if (!streq(value, "infinity") && (parse_u64(value, &count) < 0 || count == 0))
                return property_bad_value(p->name, value, "a number above 0 or 'infinity'", reterr);
        return set_number(q, p, count, reterr);
}

static int apply_device(Request *q, const Property *p, const char *value, ReeveError *reterr)
{
        char text[PROPERTY_DEVICE_SIZE];

        int r = property_read_device(p->name, value, p->parse, text, reterr);
        return r < 0 ? r : request_set_limit(q, p->name, text, reterr);
}

static int apply_list(Request *q, const Property *p, const char *value, ReeveError *reterr)
{
        _cleanup_free_ char *text = NULL;

        int r = property_read_list(p->name, value, &text, reterr);
        return r < 0 ? r : request_set_limit(q, p->name, text, reterr);
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
                return property_bad_value(p->name, value, "a limit", reterr);
        memcpy(soft, value, n);
        soft[n] = '\0';

        if (p->parse(soft, &limit.soft) < 0 || p->parse(hard ? hard + 1 : soft, &limit.hard) < 0)
                return property_bad_value(p->name, value, "a limit (1024, 512:1024, infinity)", reterr);
        if (limit.soft > limit.hard)
                return property_bad_value(p->name, value, "a soft limit that is at most the hard one",
                                          reterr);

        int resource = spec_rlimit_from_name(string_after(p->name, "Limit"));
        if (resource < 0)
                return property_bad_value(p->name, value, "a limit that this host has", reterr);
        q->spec.rlimits[resource] = limit;
        return 0;
}

static int apply_nice(Request *q, const Property *p, const char *value, ReeveError *reterr)
{
        if (parse_int_range(value, (int)p->min, (int)p->max, &q->spec.nice) < 0)
                return property_bad_value(p->name, value, "a number from -20 to 19", reterr);
        return 0;
}

static int apply_oom_score(Request *q, const Property *p, const char *value, ReeveError *reterr)
{
        if (parse_int_range(value, (int)p->min, (int)p->max, &q->spec.oom_score_adjust) < 0)
                return property_bad_value(p->name, value, "a number from -1000 to 1000", reterr);
        q->spec.has_oom_score_adjust = true;
        return 0;
}

static int apply_umask(Request *q, const Property *p, const char *value, ReeveError *reterr)
{
        if (parse_mode(value, &q->spec.umask) < 0 || q->spec.umask > 0777)
                return property_bad_value(p->name, value, "an octal mask up to 0777", reterr);
        return 0;
}

static int apply_grace(Request *q, const Property *p, const char *value, ReeveError *reterr)
{
        if (parse_span(value, &q->spec.grace_usec) < 0 || q->spec.grace_usec == USEC_INFINITY)
                return property_bad_value(p->name, value, "a time span (30s)", reterr);
        return 0;
}

static int apply_directory(Request *q, const Property *p, const char *value, ReeveError *reterr)
{
        char *absolute;

        if (!*value)
                return property_bad_value(p->name, value, "a directory", reterr);
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

#define RLIMIT(name, function)                           \
        {                                                \
                name, apply_rlimit, .parse = &(function) \
        }

/* In alphabetical order. */
static const Property properties[] = {
        { "AllowedCPUs", apply_list },
        { "AllowedMemoryNodes", apply_list },
        { "CPUQuota", apply_cpu_quota },
        { "CPUWeight", apply_weight, LIMIT_WEIGHT_MIN, LIMIT_WEIGHT_MAX },
        { "Environment", apply_environment },
        { "IOReadBandwidthMax", apply_device, .parse = parse_bytes },
        { "IOReadIOPSMax", apply_device, .parse = parse_count },
        { "IOWeight", apply_weight, LIMIT_WEIGHT_MIN, LIMIT_WEIGHT_MAX },
        { "IOWriteBandwidthMax", apply_device, .parse = parse_bytes },
        { "IOWriteIOPSMax", apply_device, .parse = parse_count },
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

/* Both tables are in order: of the names that were not yet given, the smaller one comes next. */
const char *reeve_property_name(size_t index)
{
        for (size_t i = 0, k = 0; index < SIZE_MAX; index--) {
                const char *ours = i < ELEMENTSOF(properties) ? properties[i].name : NULL;
                const UnitProperty *unit = unit_property(k);

                if (!ours && !unit)
                        return NULL;
                bool is_ours = ours && (!unit || strcmp(ours, unit->name) < 0);
                if (index == 0)
                        return is_ours ? ours : unit->name;
                i += is_ours;
                k += !is_ours;
        }
        return NULL;
}

static bool is_listed(const char *name)
{
        const char *listed;

        for (size_t i = 0; (listed = reeve_property_name(i)); i++)
                if (streq(listed, name))
                        return true;
        return false;
}

static int unknown(const char *name, ReeveError *reterr)
{
        Nearest nearest;

        const char *why = property_exclusion(name);
        if (why)
                return reeve_error_set(reterr, REEVE_ERROR_INVALID_ARGUMENT, name,
                                       "a task is never given this property: %s", why);
        nearest_init(&nearest, name);
        for (size_t i = 0; reeve_property_name(i); i++)
                nearest_offer(&nearest, reeve_property_name(i));
        if (nearest.best)
                return reeve_error_set(reterr, REEVE_ERROR_INVALID_ARGUMENT, name,
                                       "there is no such property, did you mean %s?", nearest.best);
        return reeve_error_set(reterr, REEVE_ERROR_INVALID_ARGUMENT, name, "there is no such property");
}

static int apply(Request *q, const char *name, const char *value, ReeveError *reterr)
{
        UnitProperty unit;

        for (size_t i = 0; i < ELEMENTSOF(properties); i++)
                if (streq(properties[i].name, name))
                        return properties[i].apply(q, properties + i, value, reterr);
        /* A name that only looks like one is for root: others get to know what it may have been meant for. */
        if (unit_property_find(name, &unit) < 0 || (unit.root && !is_listed(name) && geteuid() != 0))
                return unknown(name, reterr);
        return unit_value_apply(q, &unit, value, reterr);
}

int property_apply(Request *q, const char *assignment, ReeveError *reterr)
{
        assert(q);
        assert(assignment);

        size_t n = strcspn(assignment, "=");
        _cleanup_free_ char *name = strndup(assignment, n);
        if (!name)
                return reeve_error_errno(reterr, ENOMEM, NULL, "cannot set a property");
        if (assignment[n] != '=' && is_listed(name))
                return reeve_error_set(reterr, REEVE_ERROR_INVALID_ARGUMENT, name,
                                       "the property has no value, write %s=VALUE", name);
        return apply(q, name, assignment + n + (assignment[n] == '='), reterr);
}
