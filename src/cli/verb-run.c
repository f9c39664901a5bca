/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* reeve run: start a command as a task, stay with it, end as it ended.
 *
 * Options are those of systemd-run where it has them. Four ways to connect the command: by default its output goes to
 * a file of the registry (so that nothing the caller does can block or kill it) and is shown from there while the
 * caller waits; --journal sends it to journald; --pipe passes the caller's own descriptors; --pty gives it a terminal.
 *
 * --on-calendar and --on-active make a timer of systemd that runs the same command line without them.
 *
 * --quiet drops the summary and the line of progress, never the output: that is the task's, not ours. With --json the
 * task is what is printed, so its output is not. */

#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>
#include <unistd.h>

#include "basic/strings.h"
#include "cli/follow.h"
#include "cli/progress.h"
#include "cli/session.h"
#include "cli/timer.h"
#include "cli/value.h"
#include "cli/verb.h"
#include "common/json/json.h"

typedef struct RunOptions {
        CommonOptions common;
        const char *subsystem, *type, *title, *description, *created_by, *id, *backend, *slice, *sla;
        const char *nice, *uid, *gid, *directory;
        const char *metadata, *unique, *on_calendar, *on_active;
        int priority;
        OptionalNumber attempts;
        const char **properties, **environment, **verify, **after;
        bool scope, same_dir, wait, no_block, pipe, pty, journal, quiet, join, hold;
} RunOptions;

#define RUN(field) offsetof(RunOptions, field)

static const Option run_options[] = {
        { "subsystem", 'S', "NAME", "Subsystem that the task belongs to (default: user)", OPTION_STRING,
          RUN(subsystem) },
        { "type", 'T', "NAME", "Type of the task (default: the command's name)", OPTION_STRING, RUN(type) },
        { "title", 0, "TEXT", "Title, which everybody sees (default: the command's name)", OPTION_STRING,
          RUN(title) },
        { "description", 0, "TEXT", "What it is for", OPTION_STRING, RUN(description) },
        { "created-by", 0, "LABEL", "Who or what caused it", OPTION_STRING, RUN(created_by) },
        { "id", 0, "ID", "The task's id (default: made up); a repeated request is the same task",
          OPTION_STRING, RUN(id) },
        { "metadata", 0, "JSON", "An object to be kept with the task", OPTION_STRING, RUN(metadata) },
        { "priority", 0, "1..10", "Weight of CPU and IO, order in queues (default: 5)", OPTION_PARSED,
          RUN(priority), parse_priority },
        { "sla", 0, "TIME", "When it must have ended: 1h, '2026-01-31 12:00', 'forecast_p95 * 2'",
          OPTION_STRING, RUN(sla) },
        { "property", 'p', "NAME=VALUE", "A limit or setting, by systemd's names", OPTION_LIST,
          RUN(properties) },
        { "nice", 0, "NUMBER", "Nice level (-20 to 19)", OPTION_STRING, RUN(nice) },
        { "uid", 0, "USER", "Run as this user", OPTION_STRING, RUN(uid) },
        { "gid", 0, "GROUP", "Run as this group", OPTION_STRING, RUN(gid) },
        { "working-directory", 'd', "PATH", "Run in this directory (default: the current one)",
          OPTION_STRING, RUN(directory) },
        { "same-dir", 0, NULL, "Run in the current directory (the default)", OPTION_FLAG, RUN(same_dir) },
        { "setenv", 'E', "NAME[=VALUE]", "Set an environment variable, or pass the caller's", OPTION_LIST,
          RUN(environment) },
        { "backend", 0, "NAME", "cgroup, scope or process (default: what the task needs and the host has)",
          OPTION_STRING, RUN(backend) },
        { "scope", 0, NULL, "Make the task a scope of systemd, the same as --backend=scope", OPTION_FLAG,
          RUN(scope) },
        { "slice", 0, "NAME", "Place the scope in this slice (root only)", OPTION_STRING, RUN(slice) },
        { "verify", 0, "COMMAND", "A shell command that must exit with 0 when the task has", OPTION_LIST,
          RUN(verify) },
        { "attempts", 0, "NUMBER", "How often to try it at most (default: as the policy says)",
          OPTION_PARSED, RUN(attempts), parse_positive },
        { "after", 0, "ID[,...]", "Start it when these tasks have completed", OPTION_LIST, RUN(after) },
        { "unique", 0, "KEY", "Refuse it while another of the caller's in this subsystem has the same key",
          OPTION_STRING, RUN(unique) },
        { "join", 0, NULL, "With --unique: stay with that other task instead", OPTION_FLAG, RUN(join) },
        { "hold", 0, NULL, "Do not start it before reeve release", OPTION_FLAG, RUN(hold) },
        { "on-calendar", 0, "SPEC", "Make a timer of systemd that runs this then, see systemd.time(7)",
          OPTION_STRING, RUN(on_calendar) },
        { "on-active", 0, "TIME", "Make a timer of systemd that runs this after that time", OPTION_STRING,
          RUN(on_active) },
        { "wait", 0, NULL, "Wait until the task has ended (the default)", OPTION_FLAG, RUN(wait) },
        { "no-block", 0, NULL, "Print the task's id and do not wait", OPTION_FLAG, RUN(no_block) },
        { "pipe", 'P', NULL, "Pass standard input, output and error to the task", OPTION_FLAG, RUN(pipe) },
        { "pty", 't', NULL, "Give the task a terminal, connected to this one", OPTION_FLAG, RUN(pty) },
        { "journal", 0, NULL, "Send output and errors to the journal, with the task's id as identifier",
          OPTION_FLAG, RUN(journal) },
        { "quiet", 'q', NULL, "No progress and no summary", OPTION_FLAG, RUN(quiet) },
        COMMON_OPTIONS(RunOptions),
};

#define ATTEMPTS_MAX 1000

static bool is_timed(const RunOptions *o)
{
        return o->on_calendar || o->on_active;
}

static int check_options(const RunOptions *o)
{
        const struct {
                bool both;
                const char *text;
        } conflicts[] = {
                { o->scope && o->backend && !streq(o->backend, "scope"),
                  "--scope and another --backend exclude each other" },
                { o->pipe && o->pty, "--pipe and --pty exclude each other" },
                { o->journal && o->pipe, "--journal and --pipe exclude each other" },
                { o->journal && o->pty, "--journal and --pty exclude each other" },
                { o->attempts.set && o->attempts.value > ATTEMPTS_MAX, "--attempts must be at most 1000" },
                { o->attempts.value > 1 && (o->pipe || o->pty),
                  "--attempts above 1 and --pipe or --pty exclude each other: descriptors are the first "
                  "attempt's" },
                { o->join && !o->unique, "--join means nothing without --unique" },
                { is_timed(o) && (o->pipe || o->pty || o->id || o->no_block),
                  "--on-calendar and --on-active exclude --pipe, --pty, --id and --no-block" },
                { is_timed(o) && o->common.json != JSON_MODE_OFF,
                  "--on-calendar and --on-active exclude --json" },
                { o->no_block && o->wait, "--no-block and --wait exclude each other" },
                { o->no_block && o->pty, "--no-block and --pty exclude each other" },
                { o->same_dir && o->directory, "--same-dir and --working-directory exclude each other" },
                { o->pty && o->common.json != JSON_MODE_OFF, "--pty and --json exclude each other" },
        };

        for (size_t i = 0; i < ELEMENTSOF(conflicts); i++)
                if (conflicts[i].both) {
                        fprintf(stderr, "reeve: %s\n", conflicts[i].text);
                        return EX_USAGE;
                }
        return 0;
}

/* "batch" is batch.slice, as for systemd-run(1). NULL: memory is short. */
static char *make_slice(const char *name)
{
        return string_printf("%s%s", name, strchr(name, '.') ? "" : ".slice");
}

/* The options as libreeve wants them; the result borrows all that it is made of. */
static ReeveRun make_run(const RunOptions *o, const char **args, const char *const *properties,
                         const char *const *after, json_t *metadata, const Pty *pty)
{
        ReeveRun run = {
                .argv = (char *const *)args,
                .task_id = o->id,
                .subsystem = o->subsystem,
                .task_type = o->type,
                .title = o->title,
                .description = o->description,
                .created_by = o->created_by,
                .priority = o->priority,
                .backend = o->scope ? "scope" : o->backend,
                .sla = o->sla,
                .metadata = metadata,
                .user = o->uid,
                .group = o->gid,
                .cwd = o->directory,
                .environment = o->environment,
                .verify = o->verify,
                .properties = properties,
                .tty = o->pty,
                .attempts = (unsigned)o->attempts.value,
                .after = after,
                .unique = o->unique,
                .join = o->join,
                .hold = o->hold,
        };
        for (int i = 0; i < 3; i++)
                run.stdio[i] = o->pty                ? REEVE_STDIO_FD(pty->slave)
                               : o->pipe             ? REEVE_STDIO_FD(i)
                               : o->journal && i > 0 ? REEVE_STDIO_JOURNAL
                                                     : REEVE_STDIO_DEFAULT;
        return run;
}

/* --nice is one more property. */
static char **make_properties(const RunOptions *o)
{
        char **list = NULL;
        int r = 0;

        for (const char **p = o->properties; r >= 0 && p && *p; p++)
                r = strv_append(&list, *p);
        if (r >= 0 && o->nice) {
                _cleanup_free_ char *nice = string_printf("Nice=%s", o->nice);
                r = nice ? strv_append(&list, nice) : -ENOMEM;
        }
        if (r >= 0 && !list)
                list = NEW0(char *, 1);
        return r < 0 ? strv_free(list) : list;
}

/* The ids of all --after, which may have several each; NULL when memory is short. */
static char **split_after(const RunOptions *o)
{
        _cleanup_(strv_freep) char **ids = NEW0(char *, 1);
        char *rest;

        for (const char **p = o->after; ids && p && *p; p++) {
                _cleanup_free_ char *copy = strdup(*p);
                if (!copy)
                        return NULL;
                for (char *id = strtok_r(copy, ",", &rest); id; id = strtok_r(NULL, ",", &rest))
                        if (strv_append(&ids, id) < 0)
                                return NULL;
        }
        return TAKE_PTR(ids);
}

static int start_task(const RunOptions *o, const char **args, Pty *pty, char id[static REEVE_TASK_ID_SIZE],
                      json_t **ret_task)
{
        _cleanup_(reeve_disconnectp) ReeveConnection *c = NULL;
        ReeveError error = REEVE_ERROR_NULL;
        _cleanup_(strv_freep) char **properties = make_properties(o), **after = split_after(o);
        _cleanup_free_ char *slice = o->slice ? make_slice(o->slice) : NULL;
        _cleanup_json_ json_t *metadata = NULL;

        if (!properties || !after || (o->slice && !slice))
                return EX_OSERR;
        if (o->metadata && parse_metadata(o->metadata, &metadata, &error) < 0)
                return session_error(&error);
        int status = session_connect(&c);
        if (status != 0)
                return status;
        if (o->pty && pty_open(pty, &error) < 0)
                return session_error(&error);
        ReeveRun run = make_run(o, args, (const char *const *)properties,
                                (const char *const *)(*after ? after : NULL), metadata, pty);
        run.slice = slice;
        int r = reeve_run(c, &run, id, ret_task, &error);
        if (o->pty)
                pty_close_slave(pty);
        return r < 0 ? session_error(&error) : 0;
}

static int report_start(const RunOptions *o, const char *id, const json_t *task)
{
        if (o->common.json != JSON_MODE_OFF)
                return json_print(o->common.json, task);
        return puts(id) == EOF || fflush(stdout) == EOF ? EX_IOERR : 0;
}

static int run_with_pty(const RunOptions *o, const char **args, Pty *pty)
{
        _cleanup_json_ json_t *started = NULL, *ended = NULL;
        char id[REEVE_TASK_ID_SIZE] = "";

        int status = start_task(o, args, pty, id, &started);
        if (status != 0)
                return status;
        if (o->no_block)
                return report_start(o, id, started);

        bool text = o->common.json == JSON_MODE_OFF;
        const FollowOptions follow = {
                .task_id = id,
                .output = text && !o->pipe && !o->pty && !o->journal,
                .progress = text && !o->quiet && !o->pipe && !o->pty && isatty(STDERR_FILENO),
                .quiet = o->quiet,
                .pty = o->pty ? pty : NULL,
        };
        status = follow_task(&follow, &ended);
        return status != 0 ? status : summary_report(ended, o->common.json, o->quiet);
}

/* ---- later ---- */

static int append_option(char ***argv, const char *name, const char *value)
{
        _cleanup_free_ char *text =
                        value ? string_printf("--%s=%s", name, value) : string_printf("--%s", name);

        return text ? strv_append(argv, text) : -ENOMEM;
}

/* "NAME" is the value that the variable has now. */
static int append_setenv(char ***argv, const char *assignment)
{
        const char *value = strchr(assignment, '=') ? NULL : getenv(assignment);
        _cleanup_free_ char *text = value ? string_printf("%s=%s", assignment, value) : strdup(assignment);

        return text ? append_option(argv, "setenv", text) : -ENOMEM;
}

static int append_list(char ***argv, const Option *option, const char *const *list)
{
        int r = 0;

        for (; r >= 0 && list && *list; list++)
                r = streq(option->name, "setenv") ? append_setenv(argv, *list)
                                                  : append_option(argv, option->name, *list);
        return r;
}

static int append_given(char ***argv, const Option *option, const RunOptions *o)
{
        const char *field = (const char *)o + option->offset;

        switch (option->type) {
        case OPTION_FLAG:
                return *(const bool *)field ? append_option(argv, option->name, NULL) : 0;
        case OPTION_STRING:
                return *(const char *const *)field
                                       ? append_option(argv, option->name, *(const char *const *)field)
                                       : 0;
        case OPTION_LIST:
                return append_list(argv, option, *(const char *const *const *)field);
        case OPTION_PARSED: /* see append_numbers() */
                return 0;
        }
        return 0;
}

static int append_numbers(char ***argv, const RunOptions *o)
{
        char text[24];
        int r = 0;

        if (o->priority > 0) {
                snprintf(text, sizeof(text), "%d", o->priority);
                r = append_option(argv, "priority", text);
        }
        if (r >= 0 && o->attempts.set) {
                snprintf(text, sizeof(text), "%" PRIu64, o->attempts.value);
                r = append_option(argv, "attempts", text);
        }
        return r;
}

/* This command line, as it is to be run from elsewhere. */
static int make_timed_argv(const RunOptions *o, const char **args, char ***ret)
{
        _cleanup_(strv_freep) char **argv = NULL;
        _cleanup_free_ char *cwd = o->directory ? NULL : getcwd(NULL, 0);
        RunOptions later = *o;

        later.on_calendar = later.on_active = NULL;
        later.same_dir = false;
        later.directory = o->directory ?: cwd;
        if (!later.directory)
                return -errno;
        int r = strv_append(&argv, "run");
        for (size_t i = 0; r >= 0 && i < ELEMENTSOF(run_options); i++)
                if (run_options[i].name)
                        r = append_given(&argv, run_options + i, &later);
        if (r >= 0)
                r = append_numbers(&argv, &later);
        if (r >= 0)
                r = strv_append(&argv, "--");
        for (const char **p = args; r >= 0 && *p; p++)
                r = strv_append(&argv, *p);
        if (r >= 0)
                *ret = TAKE_PTR(argv);
        return r;
}

static int run_timed(const RunOptions *o, const char **args)
{
        _cleanup_(strv_freep) char **argv = NULL;
        ReeveError error = REEVE_ERROR_NULL;

        int r = make_timed_argv(o, args, &argv);
        if (r < 0) {
                reeve_error_errno(&error, r, NULL, "cannot make a timer");
                return session_error(&error);
        }
        timer_exec(&(TimerRequest){ .calendar = o->on_calendar,
                                    .active = o->on_active,
                                    .description = o->title ?: args[0],
                                    .run = argv },
                   &error);
        return session_error(&error);
}

static int run(const char **args, size_t n_args, const void *options)
{
        const RunOptions *o = options;
        Pty pty = { .master = -EBADF, .slave = -EBADF };

        int status = check_options(o);
        if (status == 0)
                status = is_timed(o) ? run_timed(o, args) : run_with_pty(o, args, &pty);
        pty_done(&pty);
        return status;
}

const Verb verb_run = {
        .name = "run",
        .synopsis = "[--] COMMAND [ARGUMENTS...]",
        .summary = "Run a command as a task, and wait for it",
        .options = { .options = run_options,
                     .n_options = ELEMENTSOF(run_options),
                     .stop_at_argument = true },
        .options_size = sizeof(RunOptions),
        .min_args = 1,
        .max_args = UINT_MAX,
        .handler = run,
};
