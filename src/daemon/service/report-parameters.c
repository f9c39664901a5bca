/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Parameters of Start, Update, Complete and Fail, whatever bus they came by (see parameters.c).
 *
 * What a program used may be said in base units (`usage`, under the names of the counters) and in those that its users think in
 * (`resource_usage`); here the second becomes the first, rounded to the base unit. `network_mb` does not say which way: it is kept
 * as received. Where both name the same counter, `usage` has the last word. */

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "basic/fd.h"
#include "basic/strings.h"
#include "common/json/json.h"
#include "daemon/service/parameters.h"

#define MB            (1024.0 * 1024.0)
#define ABSENT        INT64_MIN
#define USEC_PER_HOUR (60 * USEC_PER_MINUTE)
#define SLA_HOURS_MAX (100.0 * 366 * 24)

/* ---- Start ---- */

typedef struct StartParameters {
        const char *task_id, *subsystem, *task_type, *title, *description, *created_by, *sla;
        int64_t priority, watch, heartbeat_usec;
        double sla_hours;
        bool pending;
        json_t *metadata;
} StartParameters;

#define FIELD(member, type, flags)                                                      \
        {                                                                               \
#                member, JSON_FIELD_##type, offsetof(StartParameters, member), flags, 0 \
        }
static const JsonField start_fields[] = {
        FIELD(task_id, STRING, 0),
        FIELD(subsystem, STRING, JSON_FIELD_MANDATORY),
        FIELD(task_type, STRING, JSON_FIELD_MANDATORY),
        FIELD(title, STRING, 0),
        FIELD(description, STRING, 0),
        FIELD(created_by, STRING, 0),
        FIELD(priority, INTEGER, 0),
        FIELD(sla, STRING, 0),
        FIELD(sla_hours, NUMBER, 0),
        FIELD(metadata, OBJECT, 0),
        FIELD(pending, BOOLEAN, 0),
        FIELD(watch, INTEGER, 0),
        FIELD(heartbeat_usec, INTEGER, 0),
};
#undef FIELD

static int check_start(const StartParameters *p, ReeveError *e)
{
        if (p->priority != ABSENT && (p->priority < TASK_PRIORITY_MIN || p->priority > TASK_PRIORITY_MAX))
                return reeve_error_set(e, REEVE_ERROR_INVALID_ARGUMENT, "priority",
                                       "must be %d to %d, not %lld", TASK_PRIORITY_MIN, TASK_PRIORITY_MAX,
                                       (long long)p->priority);
        if (p->sla_hours >= 0 && p->sla)
                return reeve_error_set(e, REEVE_ERROR_INVALID_ARGUMENT, "sla_hours", "says the same as sla");
        if (!isnan(p->sla_hours) && !(p->sla_hours > 0 && p->sla_hours <= SLA_HOURS_MAX))
                return reeve_error_set(e, REEVE_ERROR_INVALID_ARGUMENT, "sla_hours",
                                       "must be above 0 and at most %.0f", SLA_HOURS_MAX);
        if (p->heartbeat_usec != ABSENT && p->heartbeat_usec <= 0)
                return reeve_error_set(e, REEVE_ERROR_INVALID_ARGUMENT, "heartbeat_usec", "must be above 0");
        return 0;
}

static int take_watch(const StartParameters *p, take_fd_t take_fd, void *userdata, int *ret, ReeveError *e)
{
        *ret = -EBADF;
        if (p->watch == ABSENT)
                return 0;
        *ret = p->watch >= 0 && take_fd ? take_fd(userdata, (size_t)p->watch) : -ENOENT;
        if (*ret < 0)
                return reeve_error_set(e, REEVE_ERROR_INVALID_ARGUMENT, "watch",
                                       "no descriptor %lld came with the call", (long long)p->watch);
        return 0;
}

void start_texts_done(StartTexts *t)
{
        assert(t);
        free(t->metadata);
        t->metadata = NULL;
}

static int make_texts(const StartParameters *p, StartTexts *t, ReeveError *e)
{
        t->metadata = p->metadata ? json_format(p->metadata) : NULL;
        if (p->metadata && !t->metadata)
                return reeve_error_errno(e, ENOMEM, NULL, "cannot take another task");
        if (!isnan(p->sla_hours))
                snprintf(t->sla, sizeof(t->sla), "%.0fus", fmax(1, p->sla_hours * (double)USEC_PER_HOUR));
        return 0;
}

int start_parameters_parse(json_t *parameters, take_fd_t take_fd, void *userdata, StartRequest *ret,
                           StartTexts *ret_texts, ReeveError *reterr)
{
        StartParameters p = {
                .priority = ABSENT, .watch = ABSENT, .heartbeat_usec = ABSENT, .sla_hours = NAN
        };
        int r, watch;

        assert(parameters);
        assert(ret);
        assert(ret_texts);

        if ((r = json_dispatch(parameters, start_fields, ELEMENTSOF(start_fields), &p, reterr)) < 0 ||
            (r = check_start(&p, reterr)) < 0 || (r = make_texts(&p, ret_texts, reterr)) < 0 ||
            (r = take_watch(&p, take_fd, userdata, &watch, reterr)) < 0)
                return r;
        *ret = (StartRequest){ .task_id = p.task_id,
                               .subsystem = p.subsystem,
                               .task_type = p.task_type,
                               .title = p.title,
                               .description = p.description,
                               .created_by = p.created_by,
                               .metadata = ret_texts->metadata,
                               .priority = p.priority == ABSENT ? 0 : (int)p.priority,
                               .sla = ret_texts->sla[0] ? ret_texts->sla : p.sla,
                               .pending = p.pending,
                               .watch_fd = watch,
                               .heartbeat_usec = p.heartbeat_usec == ABSENT ? 0 : (usec_t)p.heartbeat_usec };
        return 0;
}

/* ---- what it used ---- */

static const struct {
        const char *name;
        UsageField field;
        double unit; /* base units in one of these */
} units[] = {
        { "cpu_seconds", USAGE_CPU, USEC_PER_SEC },
        { "cpu_user_seconds", USAGE_CPU_USER, USEC_PER_SEC },
        { "cpu_system_seconds", USAGE_CPU_SYSTEM, USEC_PER_SEC },
        { "memory_peak_mb", USAGE_MEMORY_PEAK, MB },
        { "memory_mb", USAGE_MEMORY_PEAK, MB },
        { "disk_read_mb", USAGE_IO_READ, MB },
        { "disk_write_mb", USAGE_IO_WRITE, MB },
        { "network_mb", USAGE_NET_RX, MB },
        { "network_rx_mb", USAGE_NET_RX, MB },
        { "network_tx_mb", USAGE_NET_TX, MB },
        { "storage_delta_mb", USAGE_STORAGE_DELTA, MB },
};

static int set_usage(Usage *u, UsageField field, double value, const char *member, const char *name,
                     ReeveError *e)
{
        if (!isfinite(value) || fabs(value) > (double)(INT64_C(1) << 62))
                return reeve_error_set(e, REEVE_ERROR_INVALID_ARGUMENT, member, "'%.40s' is too large",
                                       name);
        if (value < 0 && field != USAGE_STORAGE_DELTA)
                return reeve_error_set(e, REEVE_ERROR_INVALID_ARGUMENT, member,
                                       "'%.40s' must not be negative", name);
        u->value[field] = llround(value);
        u->source[field] = USAGE_REPORTED;
        return 0;
}

static int read_units(json_t *object, Usage *u, ReeveError *e)
{
        const char *name;
        json_t *value;

        json_object_foreach(object, name, value) {
                size_t i = 0;
                while (i < ELEMENTSOF(units) && !streq(units[i].name, name))
                        i++;
                if (i == ELEMENTSOF(units))
                        return reeve_error_set(e, REEVE_ERROR_INVALID_ARGUMENT, "resource_usage",
                                               "there is no figure '%.40s'", name);
                if (!json_is_number(value))
                        return reeve_error_set(e, REEVE_ERROR_INVALID_ARGUMENT, "resource_usage",
                                               "'%.40s' is no number", name);
                int r = set_usage(u, units[i].field, json_number_value(value) * units[i].unit,
                                  "resource_usage", name, e);
                if (r < 0)
                        return r;
        }
        return 0;
}

static int read_counters(json_t *object, Usage *u, ReeveError *e)
{
        const char *name;
        json_t *value;

        json_object_foreach(object, name, value) {
                UsageField field = usage_field_from_name(name);
                if (field < 0)
                        return reeve_error_set(e, REEVE_ERROR_INVALID_ARGUMENT, "usage",
                                               "there is no counter '%.40s'", name);
                if (!json_is_integer(value))
                        return reeve_error_set(e, REEVE_ERROR_INVALID_ARGUMENT, "usage",
                                               "'%.40s' is no whole number", name);
                int r = set_usage(u, field, 0, "usage", name, e);
                if (r >= 0 && json_integer_value(value) < 0 && field != USAGE_STORAGE_DELTA)
                        r = set_usage(u, field, -1, "usage", name, e);
                if (r < 0)
                        return r;
                u->value[field] = json_integer_value(value);
        }
        return 0;
}

/* ---- Update, Complete, Fail ---- */

typedef struct ReportParameters {
        const char *task_id, *message;
        double progress;
        int64_t step;
        json_t *usage, *resource_usage, *ml_metrics, *metadata, *result_metadata;
        bool success, verification_passed;
} ReportParameters;

#define FIELD(member, type)                                                          \
        {                                                                            \
#                member, JSON_FIELD_##type, offsetof(ReportParameters, member), 0, 0 \
        }
static const JsonField report_fields[] = {
        FIELD(task_id, STRING),
        FIELD(message, STRING),
        FIELD(progress, NUMBER),
        FIELD(step, INTEGER),
        FIELD(usage, OBJECT),
        FIELD(resource_usage, OBJECT),
        FIELD(ml_metrics, OBJECT),
        FIELD(metadata, OBJECT),
        FIELD(success, BOOLEAN),
        FIELD(result_metadata, OBJECT),
        FIELD(verification_passed, BOOLEAN),
};
#undef FIELD

/* What is no field of this method. */
static int check_members(json_t *parameters, ReportKind kind, ReeveError *e)
{
        static const char *const of_update[] = { "progress", "step", "metadata", NULL };
        static const char *const of_complete[] = { "success", "verification_passed", NULL };
        static const char *const of_end[] = { "result_metadata", NULL };
        const char *const *const refused[] = { kind != REPORT_UPDATE ? of_update : NULL,
                                               kind != REPORT_COMPLETE ? of_complete : NULL,
                                               kind == REPORT_UPDATE ? of_end : NULL };

        for (size_t i = 0; i < ELEMENTSOF(refused); i++)
                for (const char *const *name = refused[i]; name && *name; name++)
                        if (json_object_get(parameters, *name))
                                return reeve_error_set(e, REEVE_ERROR_INVALID_ARGUMENT, *name,
                                                       "is not taken here");
        return 0;
}

static bool says(json_t *parameters, const char *name)
{
        const json_t *value = json_object_get(parameters, name);
        return value && !json_is_null(value);
}

int report_parameters_parse(json_t *parameters, ReportKind kind, ReportRequest *ret, ReeveError *reterr)
{
        ReportParameters p = { .success = true };
        ReportRequest q = { .kind = kind };
        int r;

        assert(parameters);
        assert(ret);

        if ((r = check_members(parameters, kind, reterr)) < 0 ||
            (r = json_dispatch(parameters, report_fields, ELEMENTSOF(report_fields), &p, reterr)) < 0 ||
            (r = read_units(p.resource_usage, &q.usage, reterr)) < 0 ||
            (r = read_counters(p.usage, &q.usage, reterr)) < 0)
                return r;
        q.task_id = p.task_id ?: "";
        q.has_progress = says(parameters, "progress");
        q.progress = p.progress;
        q.message = p.message;
        q.ml_metrics = p.ml_metrics;
        q.has_step = says(parameters, "step");
        q.step = p.step;
        q.metadata = kind == REPORT_UPDATE ? p.metadata : p.result_metadata;
        q.success = p.success;
        if (says(parameters, "verification_passed"))
                q.word = p.verification_passed ? REPORTED_VERIFIED : REPORTED_NOT_VERIFIED;
        *ret = q;
        return 0;
}
