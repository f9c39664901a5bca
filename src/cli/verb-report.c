/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* reeve start, update, complete, fail: a shell script reports its own work.
 *
 *     id=$(reeve start --subsystem=learning --type=mission --heartbeat=5min)
 *     reeve update --progress=50% --metric=epochs_completed=3 "$id"
 *     reeve complete --used=cpu_seconds=12.5 "$id"
 *
 * Each is one call, so they share this file. Nobody is watched: the process that calls is over at once, and which of those above it is
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

static int set_object(json_t *o, const char *key, const char *option, const char *text, ReeveError *e)
{
        json_t *value;

        if (!text)
                return 0;
        int r = parse_metadata(text, &value, e);
        if (r < 0) {
                snprintf(e->field, sizeof(e->field), "%s", option);
                return r;
        }
        return json_object_set_new(o, key, value) < 0 ? reeve_error_errno(e, ENOMEM, NULL, "cannot ask") : 0;
}

static int set_text(json_t *o, const char *key, const char *text, ReeveError *e)
{
        if (json_set_string(o, key, text) >= 0)
                return 0;
        return reeve_error_set(e, REEVE_ERROR_INVALID_ARGUMENT, key, "the text is not valid UTF-8");
}

static int start_parameters(json_t *o, const StartOptions *s, ReeveError *e)
{
        int r;

        if ((r = set_text(o, "task_id", s->id, e)) < 0 ||
            (r = set_text(o, "subsystem", s->subsystem ?: "user", e)) < 0 ||
            (r = set_text(o, "task_type", s->type ?: "task", e)) < 0 ||
            (r = set_text(o, "title", s->title, e)) < 0 ||
            (r = set_text(o, "description", s->description, e)) < 0 ||
            (r = set_text(o, "created_by", s->created_by, e)) < 0 ||
            (r = set_text(o, "sla", s->sla, e)) < 0 ||
            (r = set_object(o, "metadata", "--metadata", s->metadata, e)) < 0)
                return r;
        if ((s->priority > 0 && json_set_integer(o, "priority", s->priority) < 0) ||
            (s->heartbeat > 0 && json_set_integer(o, "heartbeat_usec", (int64_t)s->heartbeat) < 0) ||
            (s->pending && json_set_bool(o, "pending", true) < 0))
                return reeve_error_errno(e, ENOMEM, NULL, "cannot ask");
        return 0;
}

/* Calls, and prints the task where that was asked for. `ret` NULL: nobody wants the reply. */
static int ask(const char *method, json_t *parameters, JsonMode mode, json_t **ret)
{
        _cleanup_(reeve_disconnectp) ReeveConnection *c = NULL;
        _cleanup_json_ json_t *reply = NULL;

        int status = session_connect(&c);
        if (status != 0) {
                json_decref(parameters);
                return status;
        }
        status = session_call(c, method, parameters, &reply);
        if (status != 0)
                return status;
        json_t *task = json_object_get(reply, "task");
        if (mode != JSON_MODE_OFF && task)
                status = json_print(mode, task);
        if (ret)
                *ret = json_incref(task);
        return status;
}

static int start(const char **args, size_t n_args, const void *options)
{
        const StartOptions *o = options;
        _cleanup_json_ json_t *parameters = json_object(), *task = NULL;
        ReeveError error = REEVE_ERROR_NULL;

        if (!parameters)
                return EX_OSERR;
        if (start_parameters(parameters, o, &error) < 0)
                return session_error(&error);
        int status = ask("Start", TAKE_PTR(parameters), o->common.json, &task);
        if (status != 0 || o->common.json != JSON_MODE_OFF)
                return status;
        return puts(json_get_string(task, "task_id") ?: "") == EOF || fflush(stdout) == EOF ? EX_IOERR : 0;
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

static int set_numbers(json_t *o, const char *key, const char *option, const char **list, ReeveError *e)
{
        double value;

        if (!list || !list[0])
                return 0;
        json_t *numbers = json_object();
        if (!numbers || json_object_set_new(o, key, numbers) < 0)
                return reeve_error_errno(e, ENOMEM, NULL, "cannot ask");
        for (size_t i = 0; list[i]; i++) {
                const char *equals = strchr(list[i], '=');
                if (!equals || equals == list[i] || parse_real(equals + 1, "", &value) < 0)
                        return reeve_error_set(e, REEVE_ERROR_INVALID_ARGUMENT, option,
                                               "'%.64s' is not of the form NAME=NUMBER", list[i]);
                _cleanup_free_ char *name = strndup(list[i], (size_t)(equals - list[i]));
                if (!name || json_set_real(numbers, name, value) < 0)
                        return reeve_error_set(e, REEVE_ERROR_INVALID_ARGUMENT, option,
                                               "the name is not valid UTF-8");
        }
        return 0;
}

static int set_progress(json_t *o, const char *text, ReeveError *e)
{
        double value;

        if (!text)
                return 0;
        if (parse_real(text, "%", &value) >= 0)
                value /= 100;
        else if (parse_real(text, "", &value) < 0)
                return reeve_error_set(e, REEVE_ERROR_INVALID_ARGUMENT, "--progress",
                                       "'%.64s' is neither a number from 0 to 1 nor a percentage", text);
        return json_set_real(o, "progress", value) < 0 ? reeve_error_errno(e, ENOMEM, NULL, "cannot ask")
                                                       : 0;
}

/* What this method does not take is not in its options, so it is not there. */
static int report_parameters(json_t *o, const char *task_id, const ReportOptions *s, ReeveError *e)
{
        int r;

        if (s->verified && s->not_verified)
                return reeve_error_set(e, REEVE_ERROR_INVALID_ARGUMENT, "--not-verified",
                                       "is the contrary of --verified");
        if ((r = set_text(o, "task_id", task_id, e)) < 0 ||
            (r = set_text(o, "message", s->message, e)) < 0 || (r = set_progress(o, s->progress, e)) < 0 ||
            (r = set_numbers(o, "ml_metrics", "--metric", s->metrics, e)) < 0 ||
            (r = set_numbers(o, "resource_usage", "--used", s->used, e)) < 0 ||
            (r = set_object(o, "metadata", "--metadata", s->metadata, e)) < 0 ||
            (r = set_object(o, "result_metadata", "--result", s->result, e)) < 0)
                return r;
        if ((s->step.set && json_set_integer(o, "step", (int64_t)s->step.value) < 0) ||
            ((s->verified || s->not_verified) && json_set_bool(o, "verification_passed", s->verified) < 0))
                return reeve_error_errno(e, ENOMEM, NULL, "cannot ask");
        return 0;
}

static int report(const char *method, const char *task_id, const ReportOptions *o, json_t **ret_task)
{
        _cleanup_json_ json_t *parameters = json_object();
        ReeveError error = REEVE_ERROR_NULL;

        if (!parameters)
                return EX_OSERR;
        if (report_parameters(parameters, task_id, o, &error) < 0)
                return session_error(&error);
        return ask(method, TAKE_PTR(parameters), o->common.json, ret_task);
}

static int update(const char **args, size_t n_args, const void *options)
{
        return report("Update", args[0], options, NULL);
}

static int complete(const char **args, size_t n_args, const void *options)
{
        _cleanup_json_ json_t *task = NULL;

        int status = report("Complete", args[0], options, &task);
        const char *became = json_get_string(task, "status");
        if (status != 0 || (became && streq(became, "completed")))
                return status;
        const char *message = json_get_string(task, "message");
        fprintf(stderr, "reeve: %s: %s%s%s\n", args[0], became ?: "?", message ? ": " : "", message ?: "");
        return EXIT_NOT_COMPLETED;
}

static int fail(const char **args, size_t n_args, const void *options)
{
        ReportOptions o = *(const ReportOptions *)options;

        if (!o.message)
                o.message = "";
        return report("Fail", args[0], &o, NULL);
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
