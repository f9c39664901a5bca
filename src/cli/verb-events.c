/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* reeve events: what happened, and with --follow what happens.
 *
 * Events are numbered without gaps, so that whoever was away resumes where he was: by hand with --since, by itself
 * when the registry is replaced while it is being followed. Without --follow the stream ends at the number that was
 * the last one when it began; so nothing is filtered by the registry, and --subsystem is applied here. */

#include <errno.h>
#include <stdio.h>

#include "basic/strings.h"
#include "cli/command-line.h"
#include "cli/session.h"
#include "cli/task-view.h"
#include "cli/terminal.h"
#include "cli/value.h"
#include "cli/verb.h"
#include "common/json/json.h"

#define PATIENCE_USEC  (60 * USEC_PER_SEC)
#define DEFAULT_EVENTS 50

typedef struct EventsOptions {
        CommonOptions common;
        bool follow;
        OptionalNumber since;
        const char *subsystem;
} EventsOptions;

static const Option events_options[] = {
        { "follow", 'f', NULL, "Go on with what happens", OPTION_FLAG, offsetof(EventsOptions, follow) },
        { "since", 0, "NUMBER",
          "Begin after this event (0: the oldest; default: the newest 50, with -f from now on)",
          OPTION_PARSED, offsetof(EventsOptions, since), parse_number },
        { "subsystem", 'S', "NAME", "Only of tasks of this subsystem", OPTION_STRING,
          offsetof(EventsOptions, subsystem) },
        COMMON_OPTIONS(EventsOptions),
};

typedef struct Events {
        const EventsOptions *options;
        ReeveConnection *connection;
        int64_t since; /* negative: from now on */
        int64_t last;  /* where to end; negative: never */
} Events;

static int print_event(const json_t *event, const EventsOptions *o)
{
        TaskView t = task_view(json_object_get(event, "task"));
        char time[64];

        if (o->subsystem && !streq(o->subsystem, t.subsystem))
                return 0;
        if (o->common.json != JSON_MODE_OFF)
                return json_print(o->common.json, event);
        usec_format_realtime((usec_t)json_get_integer(event, "timestamp", 0), time, sizeof(time));
        printf("%s %8" PRId64 " %s%-16s%s %s ", time, json_get_integer(event, "number", 0),
               terminal_status_color(t.status), json_get_string(event, "topic") ?: "?",
               terminal_color(COLOR_RESET), t.id);
        _cleanup_free_ char *title = task_title_text(&t);
        for (const char *p = title ?: ""; *p; p++)
                putchar(string_has_control(p, 1) ? '?' : *p);
        putchar('\n');
        return fflush(stdout) == EOF ? 1 : 0;
}

/* Until the end, a failure, or a break. */
static int stream(Events *e, int *ret_status, ReeveError *reterr)
{
        _cleanup_json_ json_t *parameters = json_object();

        if (e->since >= 0 && json_set_integer(parameters, "since", e->since) < 0)
                return reeve_error_errno(reterr, ENOMEM, NULL, "cannot write a request");
        int r = reeve_send(e->connection, "Monitor", parameters, true, reterr);
        while (r >= 0 && *ret_status == 0 && (e->last < 0 || e->since < e->last)) {
                _cleanup_json_ json_t *event = NULL;
                bool final = false;

                r = reeve_next(e->connection, REEVE_USEC_INFINITY, &event, &final, reterr);
                if (r < 0)
                        break;
                *ret_status = print_event(event, e->options);
                e->since = json_get_integer(event, "number", e->since);
                if (final)
                        break;
        }
        return r;
}

/* Where to begin, and where to end. */
static int find_range(Events *e)
{
        _cleanup_json_ json_t *stats = NULL;
        const EventsOptions *o = e->options;

        e->since = o->since.set ? (int64_t)o->since.value : -1;
        e->last = -1;
        if (o->follow)
                return 0;
        int status = session_call(e->connection, "Stats", json_object(), &stats);
        if (status != 0)
                return status;
        e->last = json_get_integer(stats, "last_event", 0);
        if (e->since < 0)
                e->since = MAX(e->last - DEFAULT_EVENTS, (int64_t)0);
        return 0;
}

/* We were cut off, because what we write to was not read; a registry that says so at once will say so again. */
static bool was_cut_off(int r, const ReeveError *error, bool moved)
{
        return r < 0 && error->code == REEVE_ERROR_UNAVAILABLE && moved;
}

static int show_events(Events *e)
{
        ReeveError error = REEVE_ERROR_NULL;
        int status = find_range(e);

        if (status != 0 || (e->last >= 0 && e->since >= e->last))
                return status;
        int r = stream(e, &status, &error);
        for (int64_t since = INT64_MIN; r == -ECONNRESET || was_cut_off(r, &error, e->since > since);) {
                since = e->since;
                r = reeve_reconnect(e->connection, PATIENCE_USEC, &error);
                if (r >= 0)
                        r = stream(e, &status, &error);
        }
        return r < 0 ? session_error(&error) : status;
}

static int events(const char **args, size_t n_args, const void *options)
{
        Events e = { .options = options };

        int status = session_connect(&e.connection);
        if (status == 0)
                status = show_events(&e);
        reeve_disconnect(e.connection);
        return status;
}

const Verb verb_events = {
        .name = "events",
        .synopsis = "",
        .summary = "Show what happened, and what happens",
        .options = OPTION_TABLE(events_options),
        .options_size = sizeof(EventsOptions),
        .handler = events,
};
