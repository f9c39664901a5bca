/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* reeve top: running tasks by what they use now.
 *
 * List gives what runs at the start, Monitor with usage what each running task has used, once a second, and what
 * begins and ends. A share of CPU is the difference of two readings of one task, by their own timestamps; so it is
 * unknown until the second. The table is drawn once a second, whatever came. --once (and no terminal, and --json)
 * waits until every task has two readings, or a little over two rounds, prints, and ends. */

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <sys/epoll.h>
#include <sysexits.h>
#include <unistd.h>

#include "basic/hash.h"
#include "basic/strings.h"
#include "cli/channel.h"
#include "cli/raw-mode.h"
#include "cli/table.h"
#include "cli/terminal.h"
#include "cli/verb.h"
#include "common/clock.h"
#include "common/json/json.h"

#define REFRESH_USEC   USEC_PER_SEC
#define ONCE_WAIT_USEC (2500 * USEC_PER_MSEC)

typedef struct TopOptions {
        CommonOptions common;
        bool once;
} TopOptions;

static const Option top_options[] = {
        { "once", '1', NULL, "Print the table once and end", OPTION_FLAG, offsetof(TopOptions, once) },
        COMMON_OPTIONS(TopOptions),
};

typedef struct TopTask {
        json_t *json;
        int64_t cpu_usec; /* of the last reading; -1: there was none */
        usec_t read_at;   /* wall clock */
        double percent;   /* negative: unknown */
} TopTask;

typedef struct Top {
        const TopOptions *options;
        sd_event *event;
        Channel monitor;
        Hash *tasks; /* TopTask by id */
        bool once;
        int status;
} Top;

static void top_task_free(TopTask *t)
{
        json_decref(t->json);
        free(t);
}

static void forget(Top *top, const char *id)
{
        TopTask *t = hash_remove(top->tasks, id);
        if (t)
                top_task_free(t);
}

/* The entry of a task, made if it is new; the JSON is replaced, and with it the key. */
static int remember(Top *top, json_t *json, TopTask **ret)
{
        const char *id = json_get_string(json, "task_id");
        if (!id)
                return -EBADMSG;

        TopTask *t = hash_remove(top->tasks, id) ?: NEW0(TopTask, 1);
        if (!t)
                return -ENOMEM;
        if (!t->json)
                *t = (TopTask){ .cpu_usec = -1, .percent = -1 };
        json_decref(t->json);
        t->json = json_incref(json);
        int r = hash_put(top->tasks, json_get_string(t->json, "task_id"), t);
        if (r < 0) {
                top_task_free(t);
                return r;
        }
        *ret = t;
        return 0;
}

static void take_reading(TopTask *t, const TaskView *v, usec_t at)
{
        if (!usage_has(&v->usage, USAGE_CPU))
                return;
        int64_t cpu = v->usage.value[USAGE_CPU];
        if (t->cpu_usec >= 0 && at > t->read_at && cpu >= t->cpu_usec)
                t->percent = 100.0 * (double)(cpu - t->cpu_usec) / (double)(at - t->read_at);
        t->cpu_usec = cpu;
        t->read_at = at;
}

/* Descending; tasks without a share last. */
static int by_cpu(const void *a, const void *b)
{
        const TopTask *x = *(TopTask *const *)a, *y = *(TopTask *const *)b;

        if (x->percent != y->percent)
                return x->percent < y->percent ? 1 : -1;
        return strcmp(json_get_string(x->json, "task_id"), json_get_string(y->json, "task_id"));
}

/* All tasks in order; caller frees the array. NULL when memory is short. */
static TopTask **sorted(const Top *top)
{
        size_t n = 0;

        TopTask **list = NEW(TopTask *, hash_size(top->tasks) + 1);
        if (!list)
                return NULL;
        HASH_FOREACH(top->tasks, TopTask, t)
                list[n++] = t;
        list[n] = NULL;
        qsort(list, n, sizeof(*list), by_cpu);
        return list;
}

static const char *column_percent(const TableRow *row, char text[static TABLE_TEXT_SIZE])
{
        if (row->cpu_percent >= 0)
                snprintf(text, TABLE_TEXT_SIZE, "%.1f%%", row->cpu_percent);
        else
                strcpy(text, "-");
        return NULL;
}

static const char *column_io(const TableRow *row, char text[static TABLE_TEXT_SIZE])
{
        char in[USAGE_TEXT_SIZE], out[USAGE_TEXT_SIZE];

        snprintf(text, TABLE_TEXT_SIZE, "%s/%s", usage_text(&row->task.usage, USAGE_IO_READ, in),
                 usage_text(&row->task.usage, USAGE_IO_WRITE, out));
        return NULL;
}

static const char *column_network(const TableRow *row, char text[static TABLE_TEXT_SIZE])
{
        char in[USAGE_TEXT_SIZE], out[USAGE_TEXT_SIZE];

        snprintf(text, TABLE_TEXT_SIZE, "%s/%s", usage_text(&row->task.usage, USAGE_NET_RX, in),
                 usage_text(&row->task.usage, USAGE_NET_TX, out));
        return NULL;
}

static const char *column_processes(const TableRow *row, char text[static TABLE_TEXT_SIZE])
{
        usage_text(&row->task.usage, USAGE_PIDS_CURRENT, text);
        return NULL;
}

static const TableColumn top_columns[] = {
        { "ID", 0, 0, column_id },
        { "SUBSYSTEM", 0, 0, column_subsystem },
        { "STATUS", 0, 0, column_status },
        { "TIME", 0, SCOLS_FL_RIGHT, column_time },
        { "MARGIN", 0, SCOLS_FL_RIGHT, column_margin },
        { "%CPU", 0, SCOLS_FL_RIGHT, column_percent },
        { "CPU", 0, SCOLS_FL_RIGHT, column_cpu },
        { "MEMORY", 0, SCOLS_FL_RIGHT, column_memory },
        { "IO", 0, SCOLS_FL_RIGHT, column_io },
        { "NET", 0, SCOLS_FL_RIGHT, column_network },
        { "PIDS", 0, SCOLS_FL_RIGHT, column_processes },
        { "TITLE", 0.2, SCOLS_FL_TRUNC, column_title },
};

static char *format_table(TopTask *const *list, size_t max)
{
        _cleanup_(table_done) Table table = { 0 };
        TableRow row = { .now = clock_realtime(clock_system()) };

        if (table_init(&table, top_columns, ELEMENTSOF(top_columns), terminal_columns()) < 0)
                return NULL;
        for (size_t i = 0; list[i] && i < max; i++) {
                row.task = task_view(list[i]->json);
                row.cpu_percent = list[i]->percent;
                if (table_add(&table, &row) < 0)
                        return NULL;
        }
        return table_format(&table);
}

static int print_json(JsonMode mode, TopTask *const *list)
{
        _cleanup_json_ json_t *tasks = json_array();

        for (size_t i = 0; list[i]; i++) {
                json_t *task = json_copy(list[i]->json);
                if ((list[i]->percent >= 0 && json_set_real(task, "cpu_percent", list[i]->percent) < 0) ||
                    json_array_append_new(tasks, task) < 0)
                        return EX_OSERR;
        }
        return json_print(mode, tasks);
}

static int draw(Top *top)
{
        _cleanup_free_ TopTask **list = sorted(top);
        if (!list)
                return EX_OSERR;
        if (top->options->common.json != JSON_MODE_OFF)
                return print_json(top->options->common.json, list);

        /* The head and a line to spare, so that nothing scrolls. */
        size_t rows = terminal_rows(), max = top->once || rows < 5 ? SIZE_MAX : rows - 4;
        _cleanup_free_ char *text = format_table(list, max);
        if (!text)
                return EX_OSERR;
        if (!top->once)
                fputs("\033[H\033[J", stdout);
        printf("%zu task%s%s\n%s%s", hash_size(top->tasks), hash_size(top->tasks) == 1 ? "" : "s",
               top->once ? "" : ", q quits", *text ? "\n" : "", text);
        return fflush(stdout) == EOF ? EX_IOERR : 0;
}

static bool all_are_measured(const Top *top)
{
        HASH_FOREACH(top->tasks, TopTask, t)
                if (t->percent < 0)
                        return false;
        return true;
}

static void end(Top *top, int status)
{
        top->status = status;
        sd_event_exit(top->event, 0);
}

static json_t *monitor_parameters(void *userdata)
{
        return json_pack("{s:b}", "usage", 1);
}

static int on_monitor_reply(json_t *reply, bool final, void *userdata)
{
        Top *top = ASSERT_PTR(userdata);
        json_t *json = json_object_get(reply, "task");
        TaskView v = task_view(json);
        TopTask *t;

        if (!streq(v.status, "active") && !streq(v.status, "verifying")) {
                forget(top, v.id);
        } else {
                int r = remember(top, json, &t);
                if (r < 0)
                        return r;
                take_reading(t, &v, (usec_t)json_get_integer(reply, "timestamp", 0));
        }
        if (top->once && all_are_measured(top))
                end(top, draw(top));
        return 0;
}

static void on_monitor_failure(const ReeveError *error, void *userdata)
{
        raw_mode_leave();
        end(ASSERT_PTR((Top *)userdata), session_error(error));
}

static const ChannelHandlers monitor_handlers = { monitor_parameters, on_monitor_reply, on_monitor_failure };

/* What runs now, so that the table is not empty until the first reading. */
static int list_active(Top *top)
{
        _cleanup_(reeve_disconnectp) ReeveConnection *c = NULL;
        _cleanup_json_ json_t *reply = NULL;
        json_t *task;
        TopTask *t;
        size_t i;

        int status = session_connect(&c);
        if (status == 0)
                status = session_call(c, "List", json_pack("{s:s, s:i}", "status", "active", "limit", 1000),
                                      &reply);
        if (status != 0)
                return status;
        json_array_foreach(json_object_get(reply, "tasks"), i, task)
                if (remember(top, task, &t) < 0)
                        return EX_PROTOCOL;
        return 0;
}

static int on_tick(sd_event_source *s, uint64_t usec, void *userdata)
{
        Top *top = ASSERT_PTR(userdata);

        int status = draw(top);
        if (top->once || status != 0) {
                end(top, status);
                return 0;
        }
        sd_event_source_set_time_relative(s, REFRESH_USEC);
        return sd_event_source_set_enabled(s, SD_EVENT_ONESHOT);
}

static int on_key(sd_event_source *s, int fd, uint32_t revents, void *userdata)
{
        char key;

        ssize_t n = read(STDIN_FILENO, &key, 1);
        if (n == 0 || (n == 1 && (key == 'q' || key == 'Q' || key == 4)))
                end(ASSERT_PTR((Top *)userdata), 0);
        return 0;
}

static int on_signal(sd_event_source *s, const struct signalfd_siginfo *si, void *userdata)
{
        end(ASSERT_PTR((Top *)userdata), 128 + (int)si->ssi_signo);
        return 0;
}

static int watch_people(Top *top)
{
        static const int signals[] = { SIGINT, SIGTERM, SIGHUP };
        sigset_t set;
        int r = 0;

        sigemptyset(&set);
        for (size_t i = 0; i < ELEMENTSOF(signals); i++)
                sigaddset(&set, signals[i]);
        if (sigprocmask(SIG_BLOCK, &set, NULL) < 0)
                return -errno;
        for (size_t i = 0; r >= 0 && i < ELEMENTSOF(signals); i++)
                r = sd_event_add_signal(top->event, NULL, signals[i], on_signal, top);
        if (r < 0 || top->once || !isatty(STDIN_FILENO))
                return r;
        r = raw_mode_enter(RAW_MODE_KEYS);
        return r < 0 ? r : sd_event_add_io(top->event, NULL, STDIN_FILENO, EPOLLIN, on_key, top);
}

static int start(Top *top, ReeveError *reterr)
{
        top->tasks = hash_new();
        int r = top->tasks ? sd_event_new(&top->event) : -ENOMEM;
        if (r >= 0)
                r = watch_people(top);
        if (r >= 0)
                r = sd_event_add_time_relative(top->event, NULL, CLOCK_BOOTTIME,
                                               top->once ? ONCE_WAIT_USEC : 0, 0, on_tick, top);
        if (r < 0)
                return reeve_error_errno(reterr, r, NULL, "cannot watch tasks");
        top->status = list_active(top);
        if (top->status != 0)
                return 0;
        return channel_start(&top->monitor, top->event, reterr);
}

static int top(const char **args, size_t n_args, const void *options)
{
        ReeveError error = REEVE_ERROR_NULL;
        Top t = {
                .options = options,
                .monitor = { "Monitor", true, &monitor_handlers, &t },
        };

        t.once = t.options->once || t.options->common.json != JSON_MODE_OFF || !terminal_is_interactive();
        int r = start(&t, &error);
        if (r >= 0 && t.status == 0) {
                if (t.once && all_are_measured(&t)) /* nothing runs */
                        t.status = draw(&t);
                else
                        r = sd_event_loop(t.event);
        }
        raw_mode_leave();
        if (r < 0)
                t.status = error.code ? session_error(&error) : EX_SOFTWARE;

        channel_done(&t.monitor);
        HASH_FOREACH(t.tasks, TopTask, task)
                top_task_free(task);
        hash_free(t.tasks);
        sd_event_unref(t.event);
        return t.status;
}

const Verb verb_top = {
        .name = "top",
        .synopsis = "",
        .summary = "Show running tasks by what they use now",
        .options = OPTION_TABLE(top_options),
        .options_size = sizeof(TopOptions),
        .handler = top,
};
