/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* reeve run: start a command as a task, stay with it, end as it ended.
 *
 * Options are those of systemd-run where it has them. Four ways to connect the command: by default its output goes to
 * a file of the registry (so that nothing the caller does can block or kill it) and is shown from there while the
 * caller waits; --journal sends it to journald; --pipe passes the caller's own descriptors; --pty gives it a terminal.
 *
 * --quiet drops the summary and the line of progress, never the output: that is the task's, not ours. With --json the
 * task is what is printed, so its output is not. */

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <sysexits.h>
#include <unistd.h>

#include "basic/strings.h"
#include "cli/follow.h"
#include "cli/progress.h"
#include "cli/session.h"
#include "cli/value.h"
#include "cli/verb.h"
#include "common/json/json.h"

typedef struct RunOptions {
        CommonOptions common;
        const char *subsystem, *type, *title, *description, *created_by, *id, *backend, *slice, *sla;
        const char *nice, *uid, *gid, *directory;
        const char *metadata;
        int priority;
        const char **properties, **environment, **verify;
        bool scope, same_dir, wait, no_block, pipe, pty, journal, quiet;
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
        { "slice", 0, "NAME.slice", "Place the scope in this slice (root only)", OPTION_STRING, RUN(slice) },
        { "verify", 0, "COMMAND", "A shell command that must exit with 0 when the task has", OPTION_LIST,
          RUN(verify) },
        { "wait", 0, NULL, "Wait until the task has ended (the default)", OPTION_FLAG, RUN(wait) },
        { "no-block", 0, NULL, "Print the task's id and do not wait", OPTION_FLAG, RUN(no_block) },
        { "pipe", 'P', NULL, "Pass standard input, output and error to the task", OPTION_FLAG, RUN(pipe) },
        { "pty", 't', NULL, "Give the task a terminal, connected to this one", OPTION_FLAG, RUN(pty) },
        { "journal", 0, NULL, "Send output and errors to the journal, with the task's id as identifier",
          OPTION_FLAG, RUN(journal) },
        { "quiet", 'q', NULL, "No progress and no summary", OPTION_FLAG, RUN(quiet) },
        COMMON_OPTIONS(RunOptions),
};

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

/* The options as libreeve wants them; the result borrows all that it is made of. */
static ReeveRun make_run(const RunOptions *o, const char **args, const char *const *properties,
                         json_t *metadata, const Pty *pty)
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
                .slice = o->slice,
                .sla = o->sla,
                .metadata = metadata,
                .user = o->uid,
                .group = o->gid,
                .cwd = o->directory,
                .environment = o->environment,
                .verify = o->verify,
                .properties = properties,
                .tty = o->pty,
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

static int start_task(const RunOptions *o, const char **args, Pty *pty, char id[static REEVE_TASK_ID_SIZE],
                      json_t **ret_task)
{
        _cleanup_(reeve_disconnectp) ReeveConnection *c = NULL;
        ReeveError error = REEVE_ERROR_NULL;
        _cleanup_(strv_freep) char **properties = make_properties(o);
        _cleanup_json_ json_t *metadata = NULL;

        if (!properties)
                return EX_OSERR;
        if (o->metadata && parse_metadata(o->metadata, &metadata, &error) < 0)
                return session_error(&error);
        int status = session_connect(&c);
        if (status != 0)
                return status;
        if (o->pty && pty_open(pty, &error) < 0)
                return session_error(&error);
        ReeveRun run = make_run(o, args, (const char *const *)properties, metadata, pty);
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

static int report_end(const RunOptions *o, const json_t *task)
{
        TaskView t = task_view(task);

        if (o->common.json != JSON_MODE_OFF) {
                int status = json_print(o->common.json, task);
                if (status != 0)
                        return status;
        } else if (!o->quiet)
                summary_print(&t);
        return task_view_exit_status(&t);
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
        return status != 0 ? status : report_end(o, ended);
}

static int run(const char **args, size_t n_args, const void *options)
{
        const RunOptions *o = options;
        Pty pty = { .master = -EBADF, .slave = -EBADF };

        int status = check_options(o);
        if (status == 0)
                status = run_with_pty(o, args, &pty);
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
