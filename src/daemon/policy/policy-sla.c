/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Deadlines as people write them, in a file or behind --sla=:
 *
 *     1h 30min               after the task was created (or started, by `from`)
 *     forecast_p95 * 2       that often the forecast's 95th percentile; with `fallback` while there is none
 *     2026-01-31 12:00       on that day; seconds, "T" instead of the blank, and "Z" or " UTC" are understood,
 *                            otherwise it is the host's local time
 *     infinity               none
 *
 * No clock is read: what is past when it comes to a task is past, and daemon/sla says so. */

#include <errno.h>

#include "basic/parse.h"
#include "daemon/policy/policy-internal.h"

#define FACTOR_MAX 1000
#define SPAN_MAX   (10 * 366 * USEC_PER_DAY)

/* n digits, which *p is moved behind; -1 if there are not as many. */
static int digits(const char **p, int n)
{
        int v = 0;

        for (; n > 0; n--, (*p)++) {
                if (**p < '0' || **p > '9')
                        return -1;
                v = v * 10 + (**p - '0');
        }
        return v;
}

static bool skip(const char **p, const char *any)
{
        if (!**p || !strchr(any, **p))
                return false;
        (*p)++;
        return true;
}

/* "2026-01-31 12:00[:30][Z]" */
static int parse_absolute(const char *text, usec_t *ret)
{
        struct tm tm = { .tm_isdst = -1 };
        const char *p = text;
        bool utc;

        tm.tm_year = digits(&p, 4) - 1900;
        if (!skip(&p, "-"))
                return -EINVAL;
        tm.tm_mon = digits(&p, 2) - 1;
        if (!skip(&p, "-"))
                return -EINVAL;
        tm.tm_mday = digits(&p, 2);
        if (!skip(&p, " T"))
                return -EINVAL;
        tm.tm_hour = digits(&p, 2);
        if (!skip(&p, ":"))
                return -EINVAL;
        tm.tm_min = digits(&p, 2);
        tm.tm_sec = skip(&p, ":") ? digits(&p, 2) : 0;
        utc = streq(p, "Z") || streq(p, " UTC");
        if (*p && !utc)
                return -EINVAL;

        const struct tm wanted = tm;
        time_t t = utc ? timegm(&tm) : mktime(&tm);
        /* What does not exist (February 30th) would become another day. */
        if (t <= 0 || tm.tm_mday != wanted.tm_mday || tm.tm_mon != wanted.tm_mon ||
            tm.tm_min != wanted.tm_min || tm.tm_sec != wanted.tm_sec)
                return -EINVAL;
        *ret = (usec_t)t * USEC_PER_SEC;
        return 0;
}

/* "forecast_p95 * 2"; -ENOENT: it is no such thing. */
static int parse_forecast(const char *text, double *ret)
{
        const char *p = string_after(text, "forecast_p95");

        if (!p)
                return -ENOENT;
        *ret = 1;
        if (!*p)
                return 0;
        p += strspn(p, " ");
        if (*p++ != '*')
                return -EINVAL;
        p += strspn(p, " ");
        return policy_parse_number(p, ret) >= 0 && *ret > 0 && *ret <= FACTOR_MAX ? 0 : -EINVAL;
}

int policy_parse_deadline(const char *text, PolicySla *sla)
{
        assert(text);
        assert(sla);

        sla->absolute_realtime = sla->relative_usec = 0;
        sla->forecast_p95_factor = 0;
        sla->has_deadline = !streq(text, "infinity");
        if (!sla->has_deadline)
                return 0;

        int r = parse_forecast(text, &sla->forecast_p95_factor);
        if (r != -ENOENT)
                return r;
        if (parse_absolute(text, &sla->absolute_realtime) >= 0)
                return 0;
        r = parse_span(text, &sla->relative_usec);
        return r >= 0 && sla->relative_usec >= USEC_PER_MSEC && sla->relative_usec <= SPAN_MAX ? 0 : -EINVAL;
}

int policy_read_deadline(PolicyReader *r, const PolicyKey *k, const YamlNode *node)
{
        char shown[YAML_SHOWN_SIZE];

        int x = policy_want_scalar(r, node, POLICY_DEADLINE_EXPECTED);
        if (x < 0)
                return x;
        if (policy_parse_deadline(node->text, &r->p->sla) < 0)
                return policy_refuse(r, node->place, "%s must be %s, not '%s'", r->path,
                                     POLICY_DEADLINE_EXPECTED, yaml_shown(node->text, shown));
        return policy_origin(r, node, &r->p->sla.origin);
}
