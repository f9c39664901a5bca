/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* How fast the store is: bench-store DIRECTORY [TASKS [QUESTIONS]]
 *
 *     single    one write at a time, each waited for: a commit's latency
 *     grouped   a thousand writes under way, as when many tasks start and end at once: rows and tasks per second, and
 *               how many writes share a commit (the disk's sync may be nearly free, so rates alone prove nothing)
 *     loop      what a write costs the loop thread: copying, queueing, calling back
 *     list      answers of typical filters with all those tasks in the database: median, 99th percentile, worst
 *
 * The database is made in DIRECTORY and left there; an existing one is filled up to TASKS. */

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "basic/parse.h"
#include "daemon/store/store.h"

#define UNDER_WAY 1000
#define SINGLES   2000

static sd_event *event;
static Store *store;
static unsigned under_way;
static usec_t loop_usec;

static usec_t now_of(clockid_t id)
{
        struct timespec ts;
        clock_gettime(id, &ts);
        return usec_from_timespec(&ts);
}

static void die(const char *what, const char *why)
{
        fprintf(stderr, "bench-store: %s: %s\n", what, why);
        exit(EXIT_FAILURE);
}

static void on_written(const ReeveError *error, int64_t last_event, void *userdata)
{
        if (error)
                die("write", error->text);
        under_way--;
}

static void run_until(unsigned left)
{
        while (under_way > left)
                if (sd_event_run(event, UINT64_MAX) < 0)
                        die("loop", "failed");
}

static const char *const subsystems[] = { "healing", "coding", "learning", "ml",
                                          "rag",     "ops",    "chaos",    "shell" };
static const char *const types[] = { "playbook", "session", "mission", "training", "index" };
static const char *const creators[] = { "operator", "guardian", "scheduler", "ci" };

static TaskRow make_task(uint64_t i, char id[static 64])
{
        snprintf(id, 64, "%s_%s_%012llu", subsystems[i % 8], types[i % 5], (unsigned long long)i);
        TaskRow t = {
                .task_id = id,
                .subsystem = (char *)subsystems[i % 8],
                .task_type = (char *)types[i % 5],
                .title = (char *)"a title of usual length for a task",
                .created_by = (char *)creators[i * 7 % 4],
                .argv = (char *)"[\"/usr/bin/true\",\"--with\",\"some\",\"arguments\"]",
                .cwd = (char *)"/var/lib/somewhere",
                .owner_uid = (uid_t)(1000 + i % 7),
                .priority = TASK_PRIORITY_NORMAL,
                .status = TASK_PENDING,
                .attempts = 1,
                .created_realtime = 1700000000 * USEC_PER_SEC + i * USEC_PER_SEC,
        };
        return t;
}

static void end_task(TaskRow *t, uint64_t i)
{
        t->status = i % 11 == 0 ? TASK_FAILED : TASK_COMPLETED;
        t->outcome = i % 11 == 0 ? TASK_OUTCOME_EXIT_CODE : TASK_OUTCOME_NONE;
        t->attempt = 1;
        t->has_backend = t->has_exit = true;
        t->exit_status = i % 11 == 0;
        t->started_realtime = t->created_realtime + 1000;
        t->completed_realtime = t->created_realtime + 2000000;
        t->duration_usec = 1999000;
        for (int f = 0; f < USAGE_PSI_CPU_SOME; f++)
                usage_set(&t->usage, (UsageField)f, i * 31 % 1000000, USAGE_KERNEL_FINAL);
}

static void submit(StoreWrite *w, int r)
{
        if (r < 0 || store_write_submit(w) < 0)
                die("submit", "out of memory");
        under_way++;
}

/* Two writes, as in life: created with its event; ended with its attempt and event. */
static void write_task(uint64_t i)
{
        char id[64];
        TaskRow t = make_task(i, id);
        EventRow e = { .realtime = t.created_realtime,
                       .topic = (char *)"task.created",
                       .task_id = id,
                       .subsystem = t.subsystem,
                       .detail = (char *)"{}" };
        usec_t before = now_of(CLOCK_THREAD_CPUTIME_ID);

        StoreWrite *w = store_write_new(store, STORE_WRITE_REFUSABLE, on_written, NULL);
        int r = w ? store_write_insert_task(w, &t) : -ENOMEM;
        submit(w, r < 0 ? r : store_write_event(w, &e));

        end_task(&t, i);
        e.topic = (char *)"task.completed";
        AttemptRow a = {
                .task_id = id, .attempt = 1, .pid = 1, .exit_kind = RECORD_EXIT_EXITED, .usage = t.usage
        };
        w = store_write_new(store, 0, on_written, NULL);
        r = w ? store_write_update_task(w, &t) : -ENOMEM;
        if (r >= 0)
                r = store_write_attempt(w, &a);
        submit(w, r < 0 ? r : store_write_event(w, &e));
        loop_usec += now_of(CLOCK_THREAD_CPUTIME_ID) - before;
}

static void bench_single(uint64_t first)
{
        StoreFigures before, after;
        char id[64];

        store_figures(store, &before);
        usec_t start = now_of(CLOCK_MONOTONIC);
        for (uint64_t i = first; i < first + SINGLES; i++) {
                TaskRow t = make_task(i, id);
                StoreWrite *w = store_write_new(store, 0, on_written, NULL);
                end_task(&t, i);
                submit(w, w ? store_write_insert_task(w, &t) : -ENOMEM);
                run_until(0);
        }
        usec_t took = now_of(CLOCK_MONOTONIC) - start;
        store_figures(store, &after);
        printf("single    %8.0f commits/s, %.1f us each, %llu commits for %d writes\n",
               SINGLES * 1e6 / (double)took, (double)took / SINGLES,
               (unsigned long long)(after.commits - before.commits), SINGLES);
}

static void bench_grouped(uint64_t first, uint64_t end)
{
        StoreFigures before, after;

        if (end <= first)
                return;
        store_figures(store, &before);
        loop_usec = 0;
        usec_t start = now_of(CLOCK_MONOTONIC), cpu = now_of(CLOCK_PROCESS_CPUTIME_ID);
        for (uint64_t i = first; i < end; i++) {
                write_task(i);
                run_until(UNDER_WAY);
        }
        run_until(0);
        double took = (double)(now_of(CLOCK_MONOTONIC) - start), n = (double)(end - first);
        cpu = now_of(CLOCK_PROCESS_CPUTIME_ID) - cpu;
        store_figures(store, &after);
        printf("grouped   %8.0f tasks/s (created and ended), %.0f rows/s, %.0f commits/s, %.1f writes per "
               "commit\n",
               n * 1e6 / took, (double)(after.rows - before.rows) * 1e6 / took,
               (double)(after.commits - before.commits) * 1e6 / took,
               (double)(after.writes - before.writes) / (double)(after.commits - before.commits));
        printf("loop      %8.2f us of the loop thread for a task's two writes; %.1f us of CPU in all\n",
               (double)loop_usec / n, (double)cpu / n);
}

/* ---- lists ---- */

typedef struct Listed {
        bool done;
        size_t n;
} Listed;

static void on_listed(const ReeveError *error, TaskRow **rows, size_t n, void *userdata)
{
        Listed *l = userdata;
        if (error)
                die("list", error->text);
        *l = (Listed){ true, n };
}

static int by_size(const void *a, const void *b)
{
        usec_t x = *(const usec_t *)a, y = *(const usec_t *)b;
        return x < y ? -1 : x > y;
}

static void bench_list(const char *name, StoreFilter filter, uint64_t n_tasks, unsigned questions)
{
        usec_t *took = calloc(questions, sizeof(*took));
        Listed listed = {};

        if (!took)
                die("list", "out of memory");
        filter.limit = 100;
        for (unsigned i = 0; i < questions; i++) {
                listed.done = false;
                filter.before_seq =
                                i % 2 ? 1 + (int64_t)(((uint64_t)rand() << 16 ^ (uint64_t)rand()) % n_tasks)
                                      : 0;
                usec_t start = now_of(CLOCK_MONOTONIC);
                if (store_list(store, &filter, on_listed, &listed) < 0)
                        die("list", "out of memory");
                while (!listed.done)
                        sd_event_run(event, UINT64_MAX);
                took[i] = now_of(CLOCK_MONOTONIC) - start;
        }
        qsort(took, questions, sizeof(*took), by_size);
        printf("list      %-42s p50 %5.2f ms  p99 %5.2f ms  worst %5.2f ms  (last had %zu)\n", name,
               (double)took[questions / 2] / 1e3, (double)took[questions * 99 / 100] / 1e3,
               (double)took[questions - 1] / 1e3, listed.n);
        free(took);
}

static void bench_lists(uint64_t n, unsigned questions)
{
        usec_t epoch = 1700000000 * USEC_PER_SEC;
        const struct {
                const char *name;
                StoreFilter filter;
        } lists[] = {
                { "no filter", { .owner_uid = -1 } },
                { "status", { .owner_uid = -1, .status_mask = 1U << TASK_FAILED } },
                { "status active (none)", { .owner_uid = -1, .status_mask = 1U << TASK_ACTIVE } },
                { "subsystem", { .owner_uid = -1, .subsystem = "ml" } },
                { "owner", { .owner_uid = 1003 } },
                { "task type, two statuses",
                  { .owner_uid = -1,
                    .task_type = "index",
                    .status_mask = 1U << TASK_FAILED | 1U << TASK_COMPLETED } },
                { "subsystem, type, owner, status",
                  { .owner_uid = 1003,
                    .subsystem = "ml",
                    .task_type = "index",
                    .status_mask = 1U << TASK_FAILED } },
                { "creator", { .owner_uid = -1, .created_by = "ci" } },
                { "creator, status",
                  { .owner_uid = -1, .created_by = "ci", .status_mask = 1U << TASK_FAILED } },
                { "an hour in the middle",
                  { .owner_uid = -1,
                    .since = epoch + n / 2 * USEC_PER_SEC,
                    .until = epoch + (n / 2 + 3600) * USEC_PER_SEC } },
                { "the first hour, subsystem, status",
                  { .owner_uid = -1,
                    .subsystem = "ml",
                    .status_mask = 1U << TASK_FAILED,
                    .until = epoch + 3600 * USEC_PER_SEC } },
        };

        for (size_t i = 0; i < ELEMENTSOF(lists); i++)
                bench_list(lists[i].name, lists[i].filter, n, questions);
}

static void on_counts(const ReeveError *error, const StoreCounts *counts, void *userdata)
{
        int64_t *total = userdata;
        *total = 0;
        for (int s = 0; counts && s < _TASK_STATE_MAX; s++)
                *total += counts->by_status[s];
        if (counts)
                printf("database  %lld tasks, %.1f MiB, log %.1f MiB\n", (long long)*total,
                       (double)counts->database_bytes / 1048576.0, (double)counts->wal_bytes / 1048576.0);
}

static uint64_t count_tasks(void)
{
        int64_t total = -1;
        if (store_counts(store, on_counts, &total) < 0)
                die("counts", "out of memory");
        while (total < 0)
                sd_event_run(event, UINT64_MAX);
        return (uint64_t)total;
}

int main(int argc, char *argv[])
{
        ReeveError error = REEVE_ERROR_NULL;
        uint64_t n = 100000, questions = 1000;
        char path[4096];

        if (argc < 2 || argc > 4 || (argc > 2 && parse_u64(argv[2], &n) < 0) ||
            (argc > 3 && (parse_u64(argv[3], &questions) < 0 || questions == 0 || questions > 1000000))) {
                fprintf(stderr, "Usage: bench-store DIRECTORY [TASKS [QUESTIONS]]\n");
                return EXIT_FAILURE;
        }
        snprintf(path, sizeof(path), "%s/bench-store.db", argv[1]);
        setvbuf(stdout, NULL, _IOLBF, 0);
        if (sd_event_new(&event) < 0)
                die("loop", "cannot be made");
        StoreConfig config = { .path = path, .event = event };
        if (store_open(&config, &store, &error) < 0)
                die("open", error.text);

        uint64_t there = count_tasks();
        bench_single(there);
        bench_grouped(there + SINGLES, n);
        bench_lists(count_tasks(), (unsigned)questions);
        store = store_close(store);
        sd_event_unref(event);
        return EXIT_SUCCESS;
}
