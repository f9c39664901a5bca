/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Values that more than one verb takes. A parser writes a field only when the value is good, and names the option
 * as it was written when it is not.
 *
 * Moments are read in local time, as they are printed. A span means that long ago, which is what "since 2h" says.
 *
 * Nothing here knows what the values are for. */

#include "cli/value.h"

#include <pwd.h>

#include "basic/parse.h"
#include "basic/strings.h"
#include "common/clock.h"
#include "common/json/json.h"

#define METADATA_DEPTH_MAX 32

static int store_number(const char *name, const char *value, uint64_t min, OptionalNumber *n,
                        ReeveError *reterr)
{
        uint64_t number;

        if (parse_u64(value, &number) < 0 || number < min || number > INT64_MAX)
                return reeve_error_set(reterr, REEVE_ERROR_INVALID_ARGUMENT, name,
                                       "'%.64s' is not a number%s", value, min > 0 ? " above 0" : "");
        *n = (OptionalNumber){ .set = true, .value = number };
        return 0;
}

int parse_number(const char *name, const char *value, void *field, ReeveError *reterr)
{
        return store_number(name, value, 0, field, reterr);
}

int parse_positive(const char *name, const char *value, void *field, ReeveError *reterr)
{
        return store_number(name, value, 1, field, reterr);
}

int parse_user(const char *name, const char *value, void *field, ReeveError *reterr)
{
        OptionalNumber *n = field;
        uint32_t uid;

        if (parse_u32(value, &uid) >= 0) {
                *n = (OptionalNumber){ .set = true, .value = uid };
                return 0;
        }
        const struct passwd *pw = getpwnam(value);
        if (!pw)
                return reeve_error_set(reterr, REEVE_ERROR_INVALID_ARGUMENT, name,
                                       "there is no user '%.64s'", value);
        *n = (OptionalNumber){ .set = true, .value = pw->pw_uid };
        return 0;
}

/* Midnight, so many days before today. */
static usec_t midnight(usec_t now, int days_ago)
{
        time_t seconds = (time_t)(now / USEC_PER_SEC);
        struct tm tm;

        localtime_r(&seconds, &tm);
        tm.tm_hour = tm.tm_min = tm.tm_sec = 0;
        tm.tm_mday -= days_ago;
        tm.tm_isdst = -1;
        return (usec_t)mktime(&tm) * USEC_PER_SEC;
}

int parse_instant(const char *name, const char *value, void *field, ReeveError *reterr)
{
        static const char *const formats[] = { "%Y-%m-%d %H:%M:%S", "%Y-%m-%d %H:%M", "%Y-%m-%d" };
        usec_t *instant = field, now = clock_realtime(clock_system()), span;

        if (parse_span(value, &span) >= 0 && span != USEC_INFINITY) {
                *instant = MAX(usec_sub(now, span), (usec_t)1);
                return 0;
        }
        if (streq(value, "today") || streq(value, "yesterday")) {
                *instant = midnight(now, streq(value, "yesterday"));
                return 0;
        }
        for (size_t i = 0; i < ELEMENTSOF(formats); i++) {
                struct tm tm = { .tm_isdst = -1 };
                const char *end = strptime(value, formats[i], &tm);
                if (end && !*end) {
                        time_t t = mktime(&tm);
                        *instant = t > 0 ? (usec_t)t * USEC_PER_SEC : 1;
                        return 0;
                }
        }
        return reeve_error_set(reterr, REEVE_ERROR_INVALID_ARGUMENT, name,
                               "'%.64s' is no time (2h, today, 2026-11-23, 2026-11-23 04:28)", value);
}

int parse_priority(const char *name, const char *value, void *field, ReeveError *reterr)
{
        if (parse_int_range(value, 1, 10, field) < 0)
                return reeve_error_set(reterr, REEVE_ERROR_INVALID_ARGUMENT, name,
                                       "'%.64s' is not a number from 1 to 10", value);
        return 0;
}

int parse_metadata(const char *text, json_t **ret, ReeveError *reterr)
{
        _cleanup_json_ json_t *metadata = NULL;

        int r = json_parse(text, strlen(text), METADATA_DEPTH_MAX, &metadata, reterr);
        if (r >= 0 && !json_is_object(metadata))
                r = reeve_error_set(reterr, REEVE_ERROR_INVALID_ARGUMENT, NULL,
                                    "this is JSON, but no object");
        if (r < 0 && reterr)
                strcpy(reterr->field, "--metadata");
        if (r >= 0)
                *ret = TAKE_PTR(metadata);
        return r;
}
