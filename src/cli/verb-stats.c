/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* reeve stats: counts and health of the registry.
 *
 * The states of the lifecycle are columns, in the order of its table, and subsystems are rows, so that a state that is
 * added later has its column here without anybody thinking of it. Commits beside rows written show group commit at
 * work. */

#include <stdio.h>

#include "basic/strings.h"
#include "basic/time.h"
#include "cli/session.h"
#include "cli/verb.h"
#include "common/json/json.h"
#include "common/task-state.h"

typedef struct StatsOptions {
        CommonOptions common;
} StatsOptions;

static const Option stats_options[] = { COMMON_OPTIONS(StatsOptions) };

static void print_counts(const json_t *counts)
{
        for (int s = 0; s < _TASK_STATE_MAX; s++)
                printf(" %9" PRId64, json_get_integer(counts, task_state_name((TaskState)s), 0));
        putchar('\n');
}

static void print_tasks(const json_t *stats)
{
        const char *name;
        json_t *counts;

        printf("\n%-24s", "TASKS");
        for (int s = 0; s < _TASK_STATE_MAX; s++)
                printf(" %9s", task_state_name((TaskState)s));
        printf("\n%-24s", "all");
        print_counts(json_object_get(stats, "counts"));
        json_object_foreach(json_object_get(stats, "subsystems"), name, counts) {
                printf("%-24s", name);
                print_counts(counts);
        }
}

static void print_health(const json_t *stats)
{
        static const struct {
                const char *label, *field;
        } numbers[] = {
                { "Connections", "connections" },
                { "Last event", "last_event" },
                { "Commits", "commits" },
                { "Rows written", "rows_written" },
        };
        char text[64];

        printf("%14s: %s\n", "Version", json_get_string(stats, "version") ?: "-");
        printf("%14s: %s\n", "Up for",
               usec_format_span((usec_t)json_get_integer(stats, "uptime_usec", 0), text, sizeof(text)));
        for (size_t i = 0; i < ELEMENTSOF(numbers); i++)
                printf("%14s: %" PRId64 "\n", numbers[i].label,
                       json_get_integer(stats, numbers[i].field, 0));
        printf("%14s: %s", "Database",
               bytes_format((unsigned long long)json_get_integer(stats, "database_bytes", 0), text,
                            sizeof(text)));
        printf(" (and %s of log)\n",
               bytes_format((unsigned long long)json_get_integer(stats, "wal_bytes", 0), text,
                            sizeof(text)));
}

static int stats(const char **args, size_t n_args, const void *options)
{
        const StatsOptions *o = options;
        _cleanup_(reeve_disconnectp) ReeveConnection *c = NULL;
        _cleanup_json_ json_t *reply = NULL;

        int status = session_connect(&c);
        if (status == 0)
                status = session_call(c, "Stats", json_object(), &reply);
        if (status != 0)
                return status;
        if (o->common.json != JSON_MODE_OFF)
                return json_print(o->common.json, reply);
        print_health(reply);
        print_tasks(reply);
        return 0;
}

const Verb verb_stats = {
        .name = "stats",
        .synopsis = "",
        .summary = "Show counts and health of the registry",
        .options = OPTION_TABLE(stats_options),
        .options_size = sizeof(StatsOptions),
        .handler = stats,
};
