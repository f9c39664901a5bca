/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* reeve attach: processes that run already become tasks, each one of its own.
 *
 * It does not stay with them, and Ctrl-C ends nothing: they were here before. Their ids are printed, so that `reeve wait $(reeve
 * attach PID)` says what there is to say. With --to= the process joins a reported task instead, which has all the rest already. Options are those of `reeve run` that have a meaning for what is not started by
 * it. With several pids each gets its turn; the exit status is that of the first failure. */

#include <limits.h>
#include <stdio.h>
#include <sysexits.h>

#include "basic/parse.h"
#include "cli/session.h"
#include "cli/value.h"
#include "cli/verb.h"
#include "common/json/json.h"

typedef struct AttachOptions {
        CommonOptions common;
        const char *to, *subsystem, *type, *title, *description, *created_by, *id, *sla, *metadata;
        int priority;
        const char **properties;
        bool children;
} AttachOptions;

#define ATTACH(field) offsetof(AttachOptions, field)

static const Option attach_options[] = {
        { "children", 'c', NULL, "Also the processes below it, of the same user and in the same cgroup",
          OPTION_FLAG, ATTACH(children) },
        { "to", 0, "ID", "Have it join this reported task of its user, instead of making one", OPTION_STRING,
          ATTACH(to) },
        { "subsystem", 'S', "NAME", "Subsystem that the task belongs to (default: user)", OPTION_STRING,
          ATTACH(subsystem) },
        { "type", 'T', "NAME", "Type of the task (default: the command's name)", OPTION_STRING,
          ATTACH(type) },
        { "title", 0, "TEXT", "Title, which everybody sees (default: the command's name)", OPTION_STRING,
          ATTACH(title) },
        { "description", 0, "TEXT", "What it is for", OPTION_STRING, ATTACH(description) },
        { "created-by", 0, "LABEL", "Who or what caused it", OPTION_STRING, ATTACH(created_by) },
        { "id", 0, "ID", "The task's id (default: made up); for one process only", OPTION_STRING,
          ATTACH(id) },
        { "metadata", 0, "JSON", "An object to be kept with the task", OPTION_STRING, ATTACH(metadata) },
        { "priority", 0, "1..10", "Weight of CPU and IO (default: 5)", OPTION_PARSED, ATTACH(priority),
          parse_priority },
        { "sla", 0, "TIME", "When it must have ended: 1h, '2026-01-31 12:00', 'forecast_p95 * 2'",
          OPTION_STRING, ATTACH(sla) },
        { "property", 'p', "NAME=VALUE", "A limit of its new cgroup, by systemd's names", OPTION_LIST,
          ATTACH(properties) },
        COMMON_OPTIONS(AttachOptions),
};

static int attach_one(ReeveConnection *c, const AttachOptions *o, json_t *metadata, pid_t pid)
{
        ReeveError error = REEVE_ERROR_NULL;
        _cleanup_json_ json_t *task = NULL;
        char id[REEVE_TASK_ID_SIZE] = "";
        const ReeveAttach attach = {
                .pid = pid,
                .children = o->children,
                .task_id = o->to ?: o->id,
                .subsystem = o->subsystem,
                .task_type = o->type,
                .title = o->title,
                .description = o->description,
                .created_by = o->created_by,
                .priority = o->priority,
                .sla = o->sla,
                .metadata = metadata,
                .properties = o->properties,
        };

        int r = o->to ? reeve_attach_to(c, &attach, &task, &error)
                      : reeve_attach(c, &attach, id, &task, &error);
        if (r < 0)
                return session_error(&error);
        if (o->common.json != JSON_MODE_OFF)
                return json_print(o->common.json, task);
        return puts(o->to ?: id) == EOF || fflush(stdout) == EOF ? EX_IOERR : 0;
}

static int attach_all(const AttachOptions *o, const char **args, size_t n_args)
{
        _cleanup_(reeve_disconnectp) ReeveConnection *c = NULL;
        ReeveError error = REEVE_ERROR_NULL;
        _cleanup_json_ json_t *metadata = NULL;

        if (o->metadata && parse_metadata(o->metadata, &metadata, &error) < 0)
                return session_error(&error);
        int status = session_connect(&c);
        if (status != 0)
                return status;
        for (size_t i = 0; i < n_args; i++) {
                int pid;
                (void)parse_int_range(args[i], 2, INT_MAX, &pid);
                int s = attach_one(c, o, metadata, pid);
                if (status == 0)
                        status = s;
        }
        return status;
}

/* What belongs to a task that is made here, and not to one that is there. */
static const char *find_of_new_task(const AttachOptions *o)
{
        return o->id            ? "--id"
               : o->subsystem   ? "--subsystem"
               : o->type        ? "--type"
               : o->title       ? "--title"
               : o->description ? "--description"
               : o->created_by  ? "--created-by"
               : o->metadata    ? "--metadata"
               : o->sla         ? "--sla"
               : o->priority    ? "--priority"
                                : NULL;
}

static int check_options(const AttachOptions *o, size_t n_args)
{
        const char *of_new_task = o->to ? find_of_new_task(o) : NULL;

        if (of_new_task)
                fprintf(stderr, "reeve: %s is for a new task, and with --to= there is none\n", of_new_task);
        else if ((o->id || o->to) && n_args > 1)
                fprintf(stderr, "reeve: %s is for one process, not for %zu\n", o->id ? "--id" : "--to",
                        n_args);
        else
                return 0;
        return EX_USAGE;
}

static int attach(const char **args, size_t n_args, const void *options)
{
        const AttachOptions *o = options;
        int pid;

        for (size_t i = 0; i < n_args; i++)
                if (parse_int_range(args[i], 2, INT_MAX, &pid) < 0) {
                        fprintf(stderr,
                                "reeve: attach: '%.64s' is not the id of a process that can be attached\n",
                                args[i]);
                        return EX_USAGE;
                }
        int status = check_options(o, n_args);
        return status != 0 ? status : attach_all(o, args, n_args);
}

const Verb verb_attach = {
        .name = "attach",
        .synopsis = "PID...",
        .summary = "Make tasks of processes that run",
        .options = OPTION_TABLE(attach_options),
        .options_size = sizeof(AttachOptions),
        .min_args = 1,
        .max_args = UINT_MAX,
        .handler = attach,
};
