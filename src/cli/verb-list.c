/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* reeve list: tasks, newest first.
 *
 * Without filters the newest 30 are shown: what is running is nearly always among them, and a registry keeps millions.
 * --limit and --all say otherwise. Pages are fetched as long as there is a cursor, so that the registry never holds
 * one big answer; so are several values of --status sent as one list. */

#include <limits.h>
#include <pwd.h>
#include <stdio.h>
#include <sysexits.h>
#include <unistd.h>

#include "basic/parse.h"
#include "basic/strings.h"
#include "cli/session.h"
#include "cli/table.h"
#include "cli/terminal.h"
#include "cli/value.h"
#include "cli/verb.h"
#include "common/clock.h"
#include "common/json/json.h"
#include "reeve/query.h"

#define DEFAULT_LIMIT 30
#define PAGE_LIMIT    UINT64_C(1000)

typedef struct ListOptions {
        CommonOptions common;
        const char *status, *subsystem, *type, *created_by;
        bool mine, all, no_legend, no_pager;
        OptionalNumber uid;
        usec_t since; /* wall clock */
        OptionalNumber limit;
} ListOptions;

static const Option list_options[] = {
        { "status", 's', "STATUS[,...]", "Only tasks in these states", OPTION_STRING,
          offsetof(ListOptions, status) },
        { "subsystem", 'S', "NAME", "Only tasks of this subsystem", OPTION_STRING,
          offsetof(ListOptions, subsystem) },
        { "type", 'T', "NAME", "Only tasks of this type", OPTION_STRING, offsetof(ListOptions, type) },
        { "created-by", 0, "LABEL", "Only tasks created by this", OPTION_STRING,
          offsetof(ListOptions, created_by) },
        { "mine", 'm', NULL, "Only the caller's own tasks", OPTION_FLAG, offsetof(ListOptions, mine) },
        { "uid", 0, "USER", "Only tasks of this user", OPTION_PARSED, offsetof(ListOptions, uid),
          parse_user },
        { "since", 0, "TIME", "Only tasks created since (2h, 2026-11-23, 2026-11-23 04:28)", OPTION_PARSED,
          offsetof(ListOptions, since), parse_instant },
        { "limit", 'n', "NUMBER", "At most that many (default: 30)", OPTION_PARSED,
          offsetof(ListOptions, limit), parse_positive },
        { "all", 'a', NULL, "All tasks, however many", OPTION_FLAG, offsetof(ListOptions, all) },
        { "no-legend", 0, NULL, "Without the line of totals", OPTION_FLAG,
          offsetof(ListOptions, no_legend) },
        { "no-pager", 0, NULL, "Do not send the output through a pager", OPTION_FLAG,
          offsetof(ListOptions, no_pager) },
        COMMON_OPTIONS(ListOptions),
};

static const TableColumn list_columns[] = {
        { "ID", 0, 0, column_id },
        { "SUBSYSTEM", 0, 0, column_subsystem },
        { "TYPE", 0, 0, column_type },
        { "STATUS", 0, 0, column_status },
        { "TIME", 0, SCOLS_FL_RIGHT, column_time },
        { "MARGIN", 0, SCOLS_FL_RIGHT, column_margin },
        { "CPU", 0, SCOLS_FL_RIGHT, column_cpu },
        { "MEMORY", 0, SCOLS_FL_RIGHT, column_memory },
        { "TITLE", 0.2, SCOLS_FL_TRUNC, column_title },
};

/* What the options leave. *ret_owner is what the filter points to. */
static ReeveFilter make_filter(const ListOptions *o, uid_t *ret_owner)
{
        *ret_owner = o->uid.set ? (uid_t)o->uid.value : geteuid();
        return (ReeveFilter){
                .status = o->status,
                .subsystem = o->subsystem,
                .task_type = o->type,
                .created_by = o->created_by,
                .owner = o->mine || o->uid.set ? ret_owner : NULL,
                .since_usec = o->since,
        };
}

/* Fetches up to `limit` tasks, page by page, into an array. *ret_more: there are older ones. */
static int fetch(ReeveFilter filter, uint64_t limit, json_t **ret, bool *ret_more)
{
        _cleanup_(reeve_disconnectp) ReeveConnection *c = NULL;
        _cleanup_json_ json_t *tasks = json_array();
        _cleanup_free_ char *cursor = NULL;
        ReeveError error = REEVE_ERROR_NULL;

        int status = session_connect(&c);
        if (status != 0)
                return status;
        do {
                _cleanup_json_ json_t *page = NULL;
                _cleanup_free_ char *last = cursor;

                filter.limit = (unsigned)MIN(limit - json_array_size(tasks), PAGE_LIMIT);
                filter.cursor = last;
                cursor = NULL;
                if (reeve_list(c, &filter, &page, &cursor, &error) < 0)
                        return session_error(&error);
                if (json_array_extend(tasks, page) < 0)
                        return EX_PROTOCOL;
        } while (cursor && json_array_size(tasks) < limit);

        *ret_more = cursor != NULL;
        *ret = TAKE_PTR(tasks);
        return 0;
}

static int print_table(const json_t *tasks, bool more, const ListOptions *o)
{
        _cleanup_(table_done) Table table = { 0 };
        TableRow row = { .now = clock_realtime(clock_system()), .cpu_percent = -1 };
        json_t *task;
        size_t i;

        if (table_init(&table, list_columns, ELEMENTSOF(list_columns), terminal_columns()) < 0)
                return EX_OSERR;
        json_array_foreach((json_t *)tasks, i, task) {
                row.task = task_view(task);
                if (table_add(&table, &row) < 0)
                        return EX_OSERR;
        }
        _cleanup_free_ char *text = table_format(&table);
        if (!text)
                return EX_OSERR;

        size_t n = json_array_size(tasks);
        pager_open(!o->no_pager);
        fputs(text, stdout);
        if (!o->no_legend)
                printf("%s%zu task%s%s.\n", *text ? "\n" : "", n, n == 1 ? "" : "s",
                       more ? ", there are older ones (--all)" : "");
        pager_close();
        return 0;
}

static int list(const char **args, size_t n_args, const void *options)
{
        const ListOptions *o = options;
        _cleanup_json_ json_t *tasks = NULL;
        bool more = false;
        uid_t owner;

        uint64_t limit = o->all ? UINT64_MAX : o->limit.set ? o->limit.value : DEFAULT_LIMIT;
        int status = fetch(make_filter(o, &owner), limit, &tasks, &more);
        if (status != 0)
                return status;
        return o->common.json != JSON_MODE_OFF ? json_print(o->common.json, tasks)
                                               : print_table(tasks, more, o);
}

const Verb verb_list = {
        .name = "list",
        .synopsis = "",
        .summary = "Show tasks, newest first",
        .options = OPTION_TABLE(list_options),
        .options_size = sizeof(ListOptions),
        .handler = list,
};
