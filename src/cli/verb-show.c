/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* reeve show: everything that the registry says about tasks, in groups.
 *
 * What is not known is not shown, rather than shown as 0. Counters are named in full; --sources adds where each number
 * comes from. Text that the task's author wrote goes to somebody else's terminal, so control characters in it are
 * shown as '?'. */

#include <limits.h>
#include <grp.h>
#include <pwd.h>
#include <stdio.h>
#include <sysexits.h>

#include "basic/parse.h"
#include "basic/strings.h"
#include "cli/command-line.h"
#include "cli/session.h"
#include "cli/task-view.h"
#include "cli/terminal.h"
#include "cli/verb.h"
#include "common/clock.h"
#include "common/json/json.h"

typedef struct ShowOptions {
        CommonOptions common;
        bool sources, snapshots, no_pager;
} ShowOptions;

static const Option show_options[] = {
        { "sources", 0, NULL, "Say where each number comes from", OPTION_FLAG,
          offsetof(ShowOptions, sources) },
        { "snapshots", 0, NULL, "Also what they had used over time", OPTION_FLAG,
          offsetof(ShowOptions, snapshots) },
        { "no-pager", 0, NULL, "Do not send the output through a pager", OPTION_FLAG,
          offsetof(ShowOptions, no_pager) },
        COMMON_OPTIONS(ShowOptions),
};

#define LABEL_WIDTH 14

static void print_clean(const char *text)
{
        for (const char *p = text; *p; p++)
                putchar(string_has_control(p, 1) ? '?' : *p);
}

static void print_field(const char *label, const char *text)
{
        if (!text || !*text)
                return;
        printf("%*s: ", LABEL_WIDTH, label);
        print_clean(text);
        putchar('\n');
}

static void print_number(const char *label, int64_t number)
{
        if (number >= 0)
                printf("%*s: %" PRId64 "\n", LABEL_WIDTH, label, number);
}

static void print_time(const char *label, usec_t t)
{
        char buffer[64];

        if (t > 0)
                printf("%*s: %s\n", LABEL_WIDTH, label, usec_format_realtime(t, buffer, sizeof(buffer)));
}

/* "alice (1000)" */
static void print_user(const char *label, int64_t uid)
{
        if (uid < 0)
                return;
        const struct passwd *pw = getpwuid((uid_t)uid);
        if (pw)
                printf("%*s: %s (%" PRId64 ")\n", LABEL_WIDTH, label, pw->pw_name, uid);
        else
                print_number(label, uid);
}

static void print_identity(const TaskView *t)
{
        char status[TASK_STATUS_TEXT_SIZE];

        printf("%s%s%s %s%s%s\n", terminal_color(COLOR_BOLD), t->id, terminal_color(COLOR_RESET),
               terminal_status_color(t->status), task_view_status_text(t, status),
               terminal_color(COLOR_RESET));
        print_field("Title", t->title);
        print_field("Description", json_get_string(t->json, "description"));
        print_field("Message", t->message);
        print_field("Verification", json_get_string(t->json, "verification_status"));
        print_field("Subsystem", t->subsystem);
        print_field("Type", t->type);
        print_field("Kind", json_get_string(t->json, "kind"));
        print_field("Created by", json_get_string(t->json, "created_by"));
        print_number("Priority", t->priority);
        print_user("Owner", t->owner_uid);
        print_user("Runs as", t->run_uid);
        if (t->attempts > 1)
                printf("%*s: %" PRId64 " of %" PRId64 "\n", LABEL_WIDTH, "Attempt", t->attempt, t->attempts);
}

static void print_times(const TaskView *t)
{
        usec_t elapsed = task_view_elapsed(t, clock_realtime(clock_system()));
        char span[32];

        print_time("Created", t->created_at);
        print_number("Ahead", t->queue_ahead);
        print_time("Starts about", t->expected_start_at);
        print_time("Started", t->started_at);
        print_time("Ended", t->completed_at);
        if (elapsed > 0)
                print_field(task_view_has_ended(t) ? "Duration" : "Running for",
                            usec_format_span(elapsed, span, sizeof(span)));
}

static void print_sla(const TaskView *t)
{
        char margin[MARGIN_TEXT_SIZE];

        print_time("Deadline", t->sla_deadline);
        if (t->has_margin)
                print_field(task_view_has_ended(t) ? "Margin" : "Margin now",
                            task_view_margin_text(t, margin));
}

/* "80%", "100% + 30s" */
static void ladder_when(const json_t *step, char *text, size_t size)
{
        int64_t after = json_get_integer(step, "after_usec", 0);
        char span[32];

        int n = snprintf(text, size, "%g%%", json_number_value(json_object_get(step, "at_percent")));
        if (after > 0 && n > 0 && (size_t)n < size)
                snprintf(text + n, size - (size_t)n, " + %s",
                         usec_format_span((usec_t)after, span, sizeof(span)));
}

/* What it does, with its signal or hook. */
static void ladder_what(const json_t *step, char *text, size_t size)
{
        const char *what = json_get_string(step, "do") ?: "?", *hook = json_get_string(step, "hook");
        int64_t signal = json_get_integer(step, "signal", 0);
        char name[SIGNAL_NAME_MAX];

        if (signal > 0 && signal < 128)
                snprintf(text, size, "%s %s", what, signal_name((int)signal, name));
        else if (hook)
                snprintf(text, size, "%s %s", what, hook);
        else
                snprintf(text, size, "%s", what);
}

static void print_steps(const json_t *ladder, bool is_over)
{
        const json_t *step;
        size_t i;

        if (json_array_size(ladder) == 0)
                return;
        printf("\n  %-4s %-12s %-19s %-10s %10s  %s\n", "step", "at", "due", "state", "late", "what");
        json_array_foreach((json_t *)ladder, i, step) {
                int64_t number = json_get_integer(step, "step", 0),
                        due = json_get_integer(step, "due_at", 0);
                bool fired = json_get_integer(step, "fired_at", 0) > 0;
                char when[64], what[256], at[32], late[32] = "-", n[24] = "-";
                const char *state = json_get_string(step, "state") ?: "?",
                           *message = json_get_string(step, "message");

                if (number > 0)
                        snprintf(n, sizeof(n), "%" PRId64, number);
                if (fired)
                        usec_format_span((usec_t)json_get_integer(step, "lateness_usec", 0), late,
                                         sizeof(late));
                else if (is_over)
                        state = "not needed";
                ladder_when(step, when, sizeof(when));
                ladder_what(step, what, sizeof(what));
                printf("  %-4s %-12s %-19s %-10s %10s  ", n, when,
                       usec_format_realtime(due > 0 ? (usec_t)due : 0, at, sizeof(at)), state, late);
                print_clean(what);
                printf("%s", message ? ": " : "");
                print_clean(message ?: "");
                putchar('\n');
        }
}

/* Where it is not in the registry's file, which `reeve logs` shows. */
static void print_output(const TaskView *t)
{
        const char *output = json_get_string(t->json, "output");
        _cleanup_free_ char *text = NULL;

        if (!output || streq(output, "file"))
                return;
        if (streq(output, "journal"))
                text = string_printf("in the journal (journalctl -t %s)", t->id);
        print_field("Output", text ?: "of who ran it");
}

static void print_command(const json_t *argv)
{
        _cleanup_free_ char *text = json_is_array(argv) ? command_line_text(argv) : NULL;
        if (text)
                print_field("Command", text);
}

static void print_place(const TaskView *t)
{
        print_field("Backend", json_get_string(t->json, "backend"));
        print_field("Cgroup", json_get_string(t->json, "cgroup"));
        print_number("Main process", t->pid);
        print_command(json_object_get(t->json, "argv"));
        print_field("Directory", json_get_string(t->json, "cwd"));
        print_output(t);

        const json_t *metadata = json_object_get(t->json, "metadata");
        if (json_object_size(metadata) > 0) {
                _cleanup_free_ char *text = json_format(metadata);
                print_field("Metadata", text);
        }
}

static void print_usage(const TaskView *t, bool sources)
{
        char value[USAGE_TEXT_SIZE];

        for (int f = 0; f < _USAGE_FIELD_MAX; f++) {
                const UsageFieldInfo *info = usage_field_info((UsageField)f);
                if (!usage_has(&t->usage, (UsageField)f))
                        continue;
                printf("  %-24s %12s  %s%s%s%s", info->name, usage_text(&t->usage, (UsageField)f, value),
                       terminal_color(COLOR_GREY), info->text, sources ? ", " : "",
                       sources ? usage_source_name(t->usage.source[f]) : "");
                printf("%s\n", terminal_color(COLOR_RESET));
        }
}

/* "  passed  wrote its report (file)", and below what did not pass why, and what was found. */
static void print_verification(const json_t *v)
{
        const json_t *evidence = json_object_get(v, "evidence");
        bool passed = json_is_true(json_object_get(v, "passed"));
        const char *why = json_get_string(evidence, "why"), *output = json_get_string(evidence, "output");

        printf("  %s%s%s  ", terminal_color(passed ? COLOR_GREEN : COLOR_RED), passed ? "passed" : "failed",
               terminal_color(COLOR_RESET));
        print_clean(json_get_string(v, "name") ?: "");
        printf(" %s(%s)%s\n", terminal_color(COLOR_GREY), json_get_string(v, "kind") ?: "",
               terminal_color(COLOR_RESET));
        if (why) {
                printf("          ");
                print_clean(why);
                putchar('\n');
        }
        if (!passed && output) {
                printf("          ");
                print_clean(output);
                putchar('\n');
        }
}

static void print_processes(const json_t *processes)
{
        const json_t *p, *path;
        size_t i, k;

        if (json_array_size(processes) == 0)
                return;
        printf("  %-8s %-5s %-16s %-24s %s\n", "pid", "state", "name", "waits in", "open files");
        json_array_foreach((json_t *)processes, i, p) {
                printf("  %-8" PRId64 " %-5s %-16s %-24s %" PRId64 "\n", json_get_integer(p, "pid", 0),
                       json_get_string(p, "state") ?: "?", json_get_string(p, "comm") ?: "?",
                       json_get_string(p, "wchan") ?: "-", json_get_integer(p, "descriptors", 0));
                json_array_foreach(json_object_get(p, "paths"), k, path) {
                        printf("           ");
                        print_clean(json_string_value(path) ?: "");
                        putchar('\n');
                }
        }
}

/* "Stuck: idle for 10min, found 2026-11-23 04:28:39", and what it was at. */
static void print_stuck(const TaskView *t)
{
        const json_t *stuck = json_object_get(t->json, "stuck"),
                     *evidence = json_object_get(stuck, "evidence");
        const char *rule = json_get_string(stuck, "rule"), *output = json_get_string(evidence, "output");
        int64_t over = json_get_integer(stuck, "over_at", 0);
        char span[32], found[32], at[32];

        if (!rule)
                return;
        usec_format_span((usec_t)json_get_integer(evidence, "window_usec", 0), span, sizeof(span));
        usec_format_realtime((usec_t)json_get_integer(stuck, "found_at", 0), found, sizeof(found));
        printf("\n  %sStuck%s: %s for %s, found %s", terminal_color(over ? COLOR_RESET : COLOR_RED),
               terminal_color(COLOR_RESET), rule, span, found);
        printf("%s%s\n", over ? ", went on " : "",
               over ? usec_format_realtime((usec_t)over, at, sizeof(at)) : "");
        print_processes(json_object_get(evidence, "processes"));
        if (output && output[0]) {
                printf("  last output: ");
                print_clean(output);
                putchar('\n');
        }
        print_steps(json_object_get(stuck, "ladder"), over || task_view_has_ended(t));
}

static void print_verifications(const json_t *verifications)
{
        const json_t *v;
        size_t i;

        if (json_array_size(verifications) > 0)
                putchar('\n');
        json_array_foreach((json_t *)verifications, i, v)
                print_verification(v);
}

static void print_snapshots(const json_t *snapshots)
{
        const json_t *snapshot;
        size_t i;

        printf("\n  %-8s %-12s %12s %12s %12s %12s %12s %12s\n", "attempt", "elapsed", "cpu", "memory",
               "read", "written", "received", "sent");
        json_array_foreach((json_t *)snapshots, i, snapshot) {
                static const UsageField fields[] = { USAGE_CPU,      USAGE_MEMORY_CURRENT, USAGE_IO_READ,
                                                     USAGE_IO_WRITE, USAGE_NET_RX,         USAGE_NET_TX };
                char text[USAGE_TEXT_SIZE];
                Usage u;

                usage_from_json(&u, json_object_get(snapshot, "usage"),
                                json_object_get(snapshot, "usage_sources"));
                usec_format_span((usec_t)json_get_integer(snapshot, "elapsed_usec", 0), text, sizeof(text));
                printf("  %-8" PRId64 " %-12s", json_get_integer(snapshot, "attempt", 0), text);
                for (size_t k = 0; k < ELEMENTSOF(fields); k++)
                        printf(" %12s", usage_text(&u, fields[k], text));
                putchar('\n');
        }
}

static void print_task(const json_t *task, const ShowOptions *o)
{
        TaskView t = task_view(task);

        print_identity(&t);
        print_times(&t);
        print_sla(&t);
        print_place(&t);
        print_steps(json_object_get(t.json, "ladder"), task_view_has_ended(&t));
        print_stuck(&t);
        if (json_object_size(json_object_get(task, "usage")) > 0)
                putchar('\n');
        print_usage(&t, o->sources);
        print_verifications(json_object_get(task, "verifications"));
        if (o->snapshots)
                print_snapshots(json_object_get(task, "snapshots"));
}

/* Replaces `task`'s field by what a method answers under that name. */
static int add_answer(ReeveConnection *c, json_t *task, const char *id, const char *method,
                      const char *field)
{
        _cleanup_json_ json_t *reply = NULL;

        int status = session_call(c, method, json_pack("{s:s}", "task_id", id), &reply);
        if (status != 0)
                return status;
        return json_object_set(task, field, json_object_get(reply, field)) < 0 ? EX_OSERR : 0;
}

/* Who may not see a task's command may not see what was found out about it either, and is not told an error. */
static bool shows_verifications(const json_t *task)
{
        return json_get_string(task, "verification_status") && json_object_get(task, "argv");
}

/* The task, with its rules, and its snapshots if they are wanted, as more fields. */
static int fetch_one(ReeveConnection *c, const char *id, const ShowOptions *o, json_t **ret)
{
        _cleanup_json_ json_t *reply = NULL;

        int status = session_call(c, "Get", json_pack("{s:s}", "task_id", id), &reply);
        if (status != 0)
                return status;
        json_t *task = json_object_get(reply, "task");
        if (!json_is_object(task))
                return EX_PROTOCOL;
        if (shows_verifications(task))
                status = add_answer(c, task, id, "Verifications", "verifications");
        if (status == 0 && o->snapshots)
                status = add_answer(c, task, id, "Snapshots", "snapshots");
        if (status == 0)
                *ret = json_incref(task);
        return status;
}

/* Tasks that could be fetched; the exit status is that of the first which could not. */
static int fetch_all(const char **ids, size_t n_ids, const ShowOptions *o, json_t *tasks)
{
        _cleanup_(reeve_disconnectp) ReeveConnection *c = NULL;

        int status = session_connect(&c);
        for (size_t i = 0; c && i < n_ids; i++) {
                json_t *task = NULL;
                int s = fetch_one(c, ids[i], o, &task);
                if (s == 0 && json_array_append_new(tasks, task) < 0)
                        s = EX_OSERR;
                if (status == 0)
                        status = s;
        }
        return status;
}

static int show(const char **args, size_t n_args, const void *options)
{
        const ShowOptions *o = options;
        _cleanup_json_ json_t *tasks = json_array();
        const json_t *task;
        size_t i;

        int status = fetch_all(args, n_args, o, tasks);
        if (json_array_size(tasks) == 0)
                return status;
        if (o->common.json != JSON_MODE_OFF) {
                int s = json_print(o->common.json, n_args == 1 ? json_array_get(tasks, 0) : tasks);
                return status ?: s;
        }
        pager_open(!o->no_pager);
        json_array_foreach(tasks, i, task) {
                if (i > 0)
                        putchar('\n');
                print_task(task, o);
        }
        pager_close();
        return status;
}

const Verb verb_show = {
        .name = "show",
        .synopsis = "ID...",
        .summary = "Show everything about tasks, and their accounts",
        .options = OPTION_TABLE(show_options),
        .options_size = sizeof(ShowOptions),
        .min_args = 1,
        .max_args = UINT_MAX,
        .handler = show,
};
