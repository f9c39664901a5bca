/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* reeve start, update, complete, fail: a shell script reports its own work.
 *
 *     id=$(reeve start --subsystem=learning --type=mission --heartbeat=5min)
 *     reeve update --progress=50% --metric=epochs_completed=3 "$id"
 *     reeve complete --used=cpu_seconds=12.5 "$id"
 *
 * Each is one call, which outlives a registry that is replaced meanwhile. Nobody is watched: the process that calls is over at once, and which of those above it is
 * the one that works, only the script knows; --heartbeat notices when it says nothing more.
 *
 * `complete` says what became of the task by its exit status as well, for policy may demand more than the word of the script: 1
 * if it is not `completed`. */

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>

#include "basic/parse.h"
#include "basic/strings.h"
#include "cli/session.h"
#include "cli/value.h"
#include "cli/verb.h"
#include "common/json/json.h"
#include "reeve/report.h"

#define EXIT_NOT_COMPLETED 1

typedef struct StartOptions {
        CommonOptions common;
        const char *subsystem, *type, *title, *description, *created_by, *id, *sla, *metadata;
        int priority;
        usec_t heartbeat;
        bool pending;
} StartOptions;

typedef struct ReportOptions {
        CommonOptions common;
        const char *progress, *message, *metadata, *result;
        const char **metrics, **used;
        OptionalNumber step;
        bool verified, not_verified;
} ReportOptions;

/* A span above 0, into a usec_t. */
static int parse_heartbeat(const char *name, const char *value, void *field, ReeveError *reterr)
{
        usec_t *span = field;

        if (parse_span(value, span) < 0 || *span == 0 || *span > INT64_MAX)
                return reeve_error_set(reterr, REEVE_ERROR_INVALID_ARGUMENT, name,
                                       "'%.64s' is no time span (30s, 10min, 2h)", value);
        return 0;
}

#define START(field)  offsetof(StartOptions, field)
#define REPORT(field) offsetof(ReportOptions, field)

static const Option start_options[] = {
        { "subsystem", 'S', "NAME", "Subsystem that the task belongs to (default: user)", OPTION_STRING,
          START(subsystem) },
        { "type", 'T', "NAME", "Type of the task (default: task)", OPTION_STRING, START(type) },
        { "title", 0, "TEXT", "Title, which everybody sees", OPTION_STRING, START(title) },
        { "description", 0, "TEXT", "What it is for", OPTION_STRING, START(description) },
        { "created-by", 0, "LABEL", "Who or what caused it", OPTION_STRING, START(created_by) },
        { "id", 0, "ID", "The task's id (default: made up)", OPTION_STRING, START(id) },
        { "metadata", 0, "JSON", "An object to be kept with the task", OPTION_STRING, START(metadata) },
        { "priority", 0, "1..10", "How important it is (default: 5)", OPTION_PARSED, START(priority),
          parse_priority },
        { "sla", 0, "TIME", "When it must have ended: 1h, '2026-01-31 12:00', 'forecast_p95 * 2'",
          OPTION_STRING, START(sla) },
        { "heartbeat", 0, "TIME", "It is lost when nothing is heard of it for so long", OPTION_PARSED,
          START(heartbeat), parse_heartbeat },
        { "pending", 0, NULL, "It has not begun: the same again without this begins it", OPTION_FLAG,
          START(pending) },
        COMMON_OPTIONS(StartOptions),
};

#define SAID                                                                                    \
        { "message", 'm', "TEXT", "What there is to say", OPTION_STRING, REPORT(message) },     \
                        { "metric",      0,                                                     \
                          "NAME=NUMBER", "A metric of it: epochs_completed=3",                  \
                          OPTION_LIST,   REPORT(metrics) },                                     \
        {                                                                                       \
                "used", 0, "NAME=NUMBER", "What it used: cpu_seconds=12.5, memory_peak_mb=250", \
                                OPTION_LIST, REPORT(used)                                       \
        }

static const Option update_options[] = {
        { "progress", 0, "NUMBER", "How far it is: 0.5, 50%", OPTION_STRING, REPORT(progress) },
        SAID,
        { "step", 0, "NUMBER", "The metrics are those of this step of a series", OPTION_PARSED, REPORT(step),
          parse_number },
        { "metadata", 0, "JSON", "Members to be added to the task's metadata", OPTION_STRING,
          REPORT(metadata) },
        COMMON_OPTIONS(ReportOptions),
};

static const Option complete_options[] = {
        SAID,
        { "verified", 0, NULL, "Its result was checked, and is good", OPTION_FLAG, REPORT(verified) },
        { "not-verified", 0, NULL, "Its result was checked, and is not good", OPTION_FLAG,
          REPORT(not_verified) },
        { "result", 0, "JSON", "An object to be kept as its result", OPTION_STRING, REPORT(result) },
        COMMON_OPTIONS(ReportOptions),
};

static const Option fail_options[] = {
        SAID,
        { "result", 0, "JSON", "An object to be kept as its result", OPTION_STRING, REPORT(result) },
        COMMON_OPTIONS(ReportOptions),
};

/* ---- start ---- */

/* An object that an option has; *ret stays NULL without one. */
static int parse_object(const char *option, const char *text, json_t **ret, ReeveError *e)
{
        if (!text)
                return 0;
        int r = parse_metadata(text, ret, e);
        if (r < 0)
                snprintf(e->field, sizeof(e->field), "%s", option);
        return r;
}

static int print_task(const json_t *task, JsonMode mode)
{
        return mode == JSON_MODE_OFF || !task ? 0 : json_print(mode, task);
}

static int start(const char **args, size_t n_args, const void *options)
{
        _cleanup_(reeve_disconnectp) ReeveConnection *c = NULL;
        _cleanup_json_ json_t *metadata = NULL, *task = NULL;
        const StartOptions *o = options;
        ReeveError error = REEVE_ERROR_NULL;
        char id[REEVE_TASK_ID_SIZE];

        if (parse_object("--metadata", o->metadata, &metadata, &error) < 0)
                return session_error(&error);
        ReeveStart s = {
                .task_id = o->id,
                .subsystem = o->subsystem ?: "user",
                .task_type = o->type ?: "task",
                .title = o->title,
                .description = o->description,
                .created_by = o->created_by,
                .priority = o->priority,
                .sla = o->sla,
                .metadata = metadata,
                .pending = o->pending,
                .heartbeat_usec = o->heartbeat,
        };
        int status = session_connect(&c);
        if (status != 0)
                return status;
        if (reeve_start(c, &s, id, &task, &error) < 0)
                return session_error(&error);
        if (o->common.json != JSON_MODE_OFF)
                return print_task(task, o->common.json);
        return puts(id) == EOF || fflush(stdout) == EOF ? EX_IOERR : 0;
}

/* ---- update, complete, fail ---- */

static int parse_real(const char *text, const char *suffix, double *ret)
{
        char *end;

        if (!text[0] || strspn(text, "+-.0123456789eE") == 0)
                return -EINVAL;
        *ret = strtod(text, &end);
        return end == text || !streq(end, suffix) || !isfinite(*ret) ? -EINVAL : 0;
}

static int parse_progress(const char *text, double *ret, ReeveError *e)
{
        if (parse_real(text, "%", ret) >= 0) {
                *ret /= 100;
                return 0;
        }
        if (parse_real(text, "", ret) >= 0)
                return 0;
        return reeve_error_set(e, REEVE_ERROR_INVALID_ARGUMENT, "--progress",
                               "'%.64s' is neither a number from 0 to 1 nor a percentage", text);
}

static void free_numbers(ReeveNumber **numbers)
{
        for (ReeveNumber *n = *numbers; n && n->name; n++)
                free((char *)n->name);
        free(*numbers);
}

/* NAME=NUMBER of each; *ret stays NULL without any. */
static int parse_numbers(const char *option, const char **list, ReeveNumber **ret, ReeveError *e)
{
        _cleanup_(free_numbers) ReeveNumber *numbers = NULL;
        size_t n = 0;

        while (list && list[n])
                n++;
        if (n == 0)
                return 0;
        numbers = NEW0(ReeveNumber, n + 1);
        if (!numbers)
                return reeve_error_errno(e, ENOMEM, NULL, "cannot ask");
        for (size_t i = 0; i < n; i++) {
                const char *equals = strchr(list[i], '=');
                if (!equals || equals == list[i] || parse_real(equals + 1, "", &numbers[i].value) < 0)
                        return reeve_error_set(e, REEVE_ERROR_INVALID_ARGUMENT, option,
                                               "'%.64s' is not of the form NAME=NUMBER", list[i]);
                numbers[i].name = strndup(list[i], (size_t)(equals - list[i]));
                if (!numbers[i].name)
                        return reeve_error_errno(e, ENOMEM, NULL, "cannot ask");
        }
        *ret = TAKE_PTR(numbers);
        return 0;
}

/* What options say in words, read; ours to free. */
typedef struct Said {
        ReeveNumber *metrics, *used;
        json_t *metadata, *result;
        double progress;
} Said;

static void said_done(Said *s)
{
        free_numbers(&s->metrics);
        free_numbers(&s->used);
        json_decref(s->metadata);
        json_decref(s->result);
}

static int parse_said(const ReportOptions *o, Said *s, ReeveError *e)
{
        int r;

        if (o->verified && o->not_verified)
                return reeve_error_set(e, REEVE_ERROR_INVALID_ARGUMENT, "--not-verified",
                                       "is the contrary of --verified");
        if ((o->progress && (r = parse_progress(o->progress, &s->progress, e)) < 0) ||
            (r = parse_numbers("--metric", o->metrics, &s->metrics, e)) < 0 ||
            (r = parse_numbers("--used", o->used, &s->used, e)) < 0 ||
            (r = parse_object("--metadata", o->metadata, &s->metadata, e)) < 0)
                return r;
        return parse_object("--result", o->result, &s->result, e);
}

static int update(const char **args, size_t n_args, const void *options)
{
        _cleanup_(reeve_disconnectp) ReeveConnection *c = NULL;
        _cleanup_(said_done) Said said = { 0 };
        const ReportOptions *o = options;
        ReeveError error = REEVE_ERROR_NULL;

        if (parse_said(o, &said, &error) < 0)
                return session_error(&error);
        ReeveUpdate u = {
                .progress = o->progress ? &said.progress : NULL,
                .message = o->message,
                .resource = said.used,
                .metrics = said.metrics,
                .step = o->step.set ? &o->step.value : NULL,
                .metadata = said.metadata,
        };
        int status = session_connect(&c);
        if (status != 0)
                return status;
        return reeve_update(c, args[0], &u, &error) < 0 ? session_error(&error) : 0;
}

typedef int (*end_t)(ReeveConnection *c, const char *task_id, const ReeveEnd *end, json_t **ret_task,
                     ReeveError *reterr);

/* Reports an end by one of the two, and gives the task as it then is. */
static int end(end_t how, const char *task_id, const ReportOptions *o, json_t **ret_task)
{
        _cleanup_(reeve_disconnectp) ReeveConnection *c = NULL;
        _cleanup_(said_done) Said said = { 0 };
        ReeveError error = REEVE_ERROR_NULL;

        if (parse_said(o, &said, &error) < 0)
                return session_error(&error);
        ReeveEnd e = {
                .message = o->message,
                .verified = o->verified       ? REEVE_VERIFIED_PASSED
                            : o->not_verified ? REEVE_VERIFIED_FAILED
                                              : REEVE_VERIFIED_UNSAID,
                .resource = said.used,
                .metrics = said.metrics,
                .result = said.result,
        };
        int status = session_connect(&c);
        if (status != 0)
                return status;
        if (how(c, task_id, &e, ret_task, &error) < 0)
                return session_error(&error);
        return print_task(*ret_task, o->common.json);
}

static int complete(const char **args, size_t n_args, const void *options)
{
        _cleanup_json_ json_t *task = NULL;

        int status = end(reeve_complete, args[0], options, &task);
        const char *became = json_get_string(task, "status");
        if (status != 0 || (became && streq(became, "completed")))
                return status;
        const char *message = json_get_string(task, "message");
        fprintf(stderr, "reeve: %s: %s%s%s\n", args[0], became ?: "?", message ? ": " : "", message ?: "");
        return EXIT_NOT_COMPLETED;
}

static int fail(const char **args, size_t n_args, const void *options)
{
        _cleanup_json_ json_t *task = NULL;
        ReportOptions o = *(const ReportOptions *)options;

        if (!o.message)
                o.message = "";
        return end(reeve_fail, args[0], &o, &task);
}

const Verb verb_start = {
        .name = "start",
        .synopsis = "",
        .summary = "Report that work of one's own begins, and print its id",
        .options = OPTION_TABLE(start_options),
        .options_size = sizeof(StartOptions),
        .handler = start,
};

const Verb verb_update = {
        .name = "update",
        .synopsis = "ID",
        .summary = "Report how it goes",
        .options = OPTION_TABLE(update_options),
        .options_size = sizeof(ReportOptions),
        .min_args = 1,
        .max_args = 1,
        .handler = update,
};

const Verb verb_complete = {
        .name = "complete",
        .synopsis = "ID",
        .summary = "Report that it has ended well",
        .options = OPTION_TABLE(complete_options),
        .options_size = sizeof(ReportOptions),
        .min_args = 1,
        .max_args = 1,
        .handler = complete,
};

const Verb verb_fail = {
        .name = "fail",
        .synopsis = "ID",
        .summary = "Report that it has failed",
        .options = OPTION_TABLE(fail_options),
        .options_size = sizeof(ReportOptions),
        .min_args = 1,
        .max_args = 1,
        .handler = fail,
};
