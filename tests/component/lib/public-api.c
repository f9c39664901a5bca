/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The public functions against a real registry, by a program that has the installed headers and nothing else of reeve.
 *
 *     public-api TEST
 *
 * runs one test on the registry of $REEVE_SOCKET; "sizes" prints those of the public structs. A test ends at the first thing that
 * is not as expected, with a line that says what was expected and what came, and status 1. */

#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <reeve/query.h>
#include <reeve/reeve.h>
#include <reeve/report.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <systemd/sd-event.h>
#include <unistd.h>

#define PATIENCE_USEC UINT64_C(10000000)

static ReeveConnection *c;
static ReeveError e;

#define EXPECT(condition)                                                                              \
        do {                                                                                           \
                if (!(condition)) {                                                                    \
                        fprintf(stderr, "line %d: expected %s; the last error is '%s' (field '%s')\n", \
                                __LINE__, #condition, e.text, e.field);                                \
                        exit(1);                                                                       \
                }                                                                                      \
        } while (0)

#define EXPECT_TEXT(value, expected) expect_text(__LINE__, value, expected)
#define EXPECT_ERROR(call, expected_code, expected_field) \
        expect_error(__LINE__, call, expected_code, expected_field)

static void expect_text(int line, const char *value, const char *expected)
{
        if (value && strcmp(value, expected) == 0)
                return;
        fprintf(stderr, "line %d: expected '%s', got '%s'\n", line, expected, value ? value : "(nothing)");
        exit(1);
}

static void expect_error(int line, int r, ReeveErrorCode code, const char *field)
{
        if (r < 0 && e.code == code && strcmp(e.field, field) == 0 && e.text[0])
                return;
        fprintf(stderr, "line %d: expected error %d, field '%s'; got %d, error %d, field '%s': %s\n", line,
                code, field, r, e.code, e.field, e.text);
        exit(1);
}

static const char *text(const json_t *task, const char *key)
{
        return json_string_value(json_object_get(task, key));
}

static double number(const json_t *task, const char *object, const char *key)
{
        return json_number_value(json_object_get(json_object_get(task, object), key));
}

static ReeveStart mission(const char *id)
{
        return (ReeveStart){ .task_id = id, .subsystem = "learning", .task_type = "mission" };
}

static void test_reported_task_completes(void)
{
        json_t *metadata = json_pack("{s:s}", "service", "search"),
               *result = json_pack("{s:i}", "removed", 12), *task;
        ReeveNumber metrics[] = { { "loss", 0.25 }, { NULL, 0 } },
                    resource[] = { { "cpu_seconds", 1.5 }, { "memory_peak_mb", 2 }, { NULL, 0 } };
        ReeveStart start = mission(NULL);
        char id[REEVE_TASK_ID_SIZE];
        double half = 0.5;
        uint64_t step = 1;

        start.title = "Mission: read";
        start.created_by = "tester";
        start.priority = 6;
        start.metadata = metadata;
        start.watch = getpid();
        start.heartbeat_usec = 60 * UINT64_C(1000000);
        EXPECT(reeve_start(c, &start, id, &task, &e) == 0);
        EXPECT_TEXT(text(task, "task_id"), id);
        EXPECT_TEXT(text(task, "status"), "active");
        EXPECT_TEXT(text(task, "title"), "Mission: read");
        EXPECT(json_integer_value(json_object_get(task, "pid")) == getpid());
        EXPECT_TEXT(text(json_object_get(task, "metadata"), "service"), "search");
        json_decref(task);

        EXPECT(reeve_update(c, id,
                            &(ReeveUpdate){ .progress = &half,
                                            .message = "half of it",
                                            .metrics = metrics,
                                            .step = &step,
                                            .resource = resource },
                            &e) == 0);
        EXPECT(reeve_get(c, id, &task, &e) == 0);
        EXPECT(json_number_value(json_object_get(task, "progress")) == 0.5);
        EXPECT_TEXT(text(task, "progress_message"), "half of it");
        EXPECT(number(task, "ml_metrics", "loss") == 0.25);
        EXPECT(number(task, "usage", "cpu_usec") == 1500000);
        json_decref(task);

        ReeveEnd end = { .verified = REEVE_VERIFIED_PASSED, .message = "read", .result = result };
        for (int i = 0; i < 2; i++) { /* the same again is the same task */
                EXPECT(reeve_complete(c, id, &end, &task, &e) == 0);
                EXPECT_TEXT(text(task, "status"), "completed");
                EXPECT(json_integer_value(json_object_get(json_object_get(task, "result_metadata"),
                                                          "removed")) == 12);
                EXPECT(number(task, "usage", "memory_peak_bytes") == 2 << 20);
                json_decref(task);
        }
        EXPECT_ERROR(reeve_update(c, id, &(ReeveUpdate){ .progress = &half }, &e),
                     REEVE_ERROR_ALREADY_FINISHED, "task_id");
        EXPECT_ERROR(reeve_fail(c, id, &(ReeveEnd){ .message = "late" }, NULL, &e),
                     REEVE_ERROR_ALREADY_FINISHED, "task_id");
        json_decref(metadata);
        json_decref(result);
}

static void test_reported_task_fails(void)
{
        ReeveStart start = mission("lib_fails");
        json_t *task;

        start.pending = true;
        EXPECT(reeve_start(c, &start, NULL, &task, &e) == 0);
        EXPECT_TEXT(text(task, "status"), "pending");
        json_decref(task);
        start.pending = false;
        EXPECT(reeve_start(c, &start, NULL, NULL, &e) == 0);
        EXPECT(reeve_fail(c, "lib_fails", &(ReeveEnd){ .message = "no luck" }, &task, &e) == 0);
        EXPECT_TEXT(text(task, "status"), "failed");
        EXPECT_TEXT(text(task, "outcome"), "reported");
        EXPECT_TEXT(text(task, "message"), "no luck");
        json_decref(task);

        start = mission("lib_fails");
        start.title = "another";
        EXPECT_ERROR(reeve_start(c, &start, NULL, NULL, &e), REEVE_ERROR_ALREADY_EXISTS, "task_id");
}

/* What the library refuses, and what the registry does, look the same. */
static void test_bad_input(void)
{
        ReeveNumber infinite[] = { { "loss", 1e308 * 10 }, { NULL, 0 } };
        ReeveStart start = mission("lib_bad/id");
        uint64_t large = UINT64_MAX;
        json_t *task = NULL;

        EXPECT_ERROR(reeve_start(c, &start, NULL, NULL, &e), REEVE_ERROR_INVALID_ARGUMENT, "task_id");
        start = (ReeveStart){ .task_type = "mission" };
        EXPECT_ERROR(reeve_start(c, &start, NULL, NULL, &e), REEVE_ERROR_INVALID_ARGUMENT, "subsystem");
        start = mission("lib_bad");
        start.title = "\xff";
        EXPECT_ERROR(reeve_start(c, &start, NULL, NULL, &e), REEVE_ERROR_INVALID_ARGUMENT, "title");
        start.title = NULL;
        start.priority = -1;
        EXPECT_ERROR(reeve_start(c, &start, NULL, NULL, &e), REEVE_ERROR_INVALID_ARGUMENT, "priority");
        start.priority = 0;
        start.heartbeat_usec = large;
        EXPECT_ERROR(reeve_start(c, &start, NULL, NULL, &e), REEVE_ERROR_INVALID_ARGUMENT, "heartbeat_usec");
        start.heartbeat_usec = 0;
        start.watch = -1;
        EXPECT_ERROR(reeve_start(c, &start, NULL, NULL, &e), REEVE_ERROR_INVALID_ARGUMENT, "watch");

        EXPECT_ERROR(reeve_update(c, "lib_bad", &(ReeveUpdate){ .metrics = infinite }, &e),
                     REEVE_ERROR_INVALID_ARGUMENT, "loss");
        EXPECT_ERROR(reeve_get(c, "lib_bad", &task, &e), REEVE_ERROR_NO_SUCH_TASK, "task_id");
        EXPECT(!task);
        EXPECT_ERROR(reeve_cancel(c, "lib_bad", NULL, &e), REEVE_ERROR_NO_SUCH_TASK, "task_id");
        EXPECT_ERROR(reeve_cancel(c, "lib_bad", "\xff", &e), REEVE_ERROR_INVALID_ARGUMENT, "reason");
        EXPECT_ERROR(reeve_list(c, &(ReeveFilter){ .limit = 1001 }, &task, NULL, &e),
                     REEVE_ERROR_LIMIT_EXCEEDED, "limit");
        EXPECT_ERROR(reeve_list(c, &(ReeveFilter){ .status = "happy" }, &task, NULL, &e),
                     REEVE_ERROR_INVALID_ARGUMENT, "status");
        EXPECT(reeve_get(c, "lib_bad", &task, NULL) == -ENOENT);
}

static void test_run_wait_and_signals(void)
{
        ReeveRun run = { .argv = (char *[]){ "/bin/sleep", "600", NULL }, .task_id = "lib_run" };
        json_t *task;

        EXPECT(reeve_run(c, &run, NULL, &task, &e) == 0);
        EXPECT_TEXT(text(task, "status"), "active");
        json_decref(task);
        EXPECT(reeve_freeze(c, "lib_run", &e) == 0);
        EXPECT(reeve_get(c, "lib_run", &task, &e) == 0);
        EXPECT(json_is_true(json_object_get(task, "frozen")));
        json_decref(task);
        EXPECT(reeve_thaw(c, "lib_run", &e) == 0);
        EXPECT(reeve_signal(c, "lib_run", SIGTERM, false, &e) == 0);
        EXPECT(reeve_wait(c, "lib_run", PATIENCE_USEC, &task, &e) == 0);
        EXPECT_TEXT(text(task, "outcome"), "signal");
        EXPECT(json_integer_value(json_object_get(task, "exit_signal")) == SIGTERM);
        json_decref(task);
        EXPECT_ERROR(reeve_signal(c, "lib_run", SIGTERM, true, &e), REEVE_ERROR_ALREADY_FINISHED, "task_id");
}

static void test_hold_release_extend_and_cancel(void)
{
        ReeveRun run = { .argv = (char *[]){ "/bin/sleep", "600", NULL },
                         .task_id = "lib_held",
                         .hold = true,
                         .sla = "1h" };
        json_t *before, *after;

        EXPECT(reeve_run(c, &run, NULL, &before, &e) == 0);
        EXPECT_TEXT(text(before, "status"), "pending");
        EXPECT(json_is_true(json_object_get(before, "held")));
        json_decref(before);
        EXPECT(reeve_release(c, "lib_held", &e) == 0);
        EXPECT(reeve_get(c, "lib_held", &before, &e) == 0);
        EXPECT(reeve_extend(c, "lib_held", 60 * UINT64_C(1000000), &e) == 0);
        EXPECT(reeve_get(c, "lib_held", &after, &e) == 0);
        EXPECT(json_integer_value(json_object_get(after, "sla_deadline")) -
                               json_integer_value(json_object_get(before, "sla_deadline")) ==
               60 * 1000000);
        json_decref(before);
        json_decref(after);
        EXPECT(reeve_cancel(c, "lib_held", "not needed", &e) == 0);
        EXPECT(reeve_wait(c, "lib_held", PATIENCE_USEC, &after, &e) == 0);
        EXPECT_TEXT(text(after, "status"), "cancelled");
        json_decref(after);
        EXPECT_ERROR(reeve_hold(c, "lib_held", &e), REEVE_ERROR_ALREADY_FINISHED, "task_id");
}

static void test_list_by_pages(void)
{
        char id[REEVE_TASK_ID_SIZE], *cursor = NULL, *next;
        uid_t me = getuid(), nobody = 65534;
        ReeveFilter filter = { .subsystem = "listed", .status = "active,pending", .owner = &me, .limit = 2 };
        json_t *tasks;
        size_t pages = 0, n = 0;

        for (int i = 0; i < 5; i++) {
                snprintf(id, sizeof(id), "lib_list_%d", i);
                ReeveStart start = { .task_id = id, .subsystem = "listed", .task_type = "page" };
                EXPECT(reeve_start(c, &start, NULL, NULL, &e) == 0);
        }
        do {
                filter.cursor = cursor;
                EXPECT(reeve_list(c, &filter, &tasks, &next, &e) == 0);
                for (size_t i = 0; i < json_array_size(tasks); i++, n++) {
                        snprintf(id, sizeof(id), "lib_list_%zu", 4 - n);
                        EXPECT_TEXT(text(json_array_get(tasks, i), "task_id"), id);
                }
                json_decref(tasks);
                free(cursor);
                cursor = next;
                pages++;
        } while (cursor);
        EXPECT(n == 5 && pages == 3);

        filter = (ReeveFilter){ .subsystem = "listed", .owner = &nobody };
        EXPECT(reeve_list(c, &filter, &tasks, NULL, &e) == 0);
        EXPECT(json_array_size(tasks) == 0);
        json_decref(tasks);
}

/* One connection hears of the task that another one is asked to begin and to fail; nothing of it blocks but poll(). */
static void test_poll_loop(void)
{
        static const char *const expected[] = { "task.created", "task.started", "task.failed" };
        ReeveConnection *events;
        ReeveEvent event = { 0 };
        json_t *p = json_pack("{s:s, s:s, s:s}", "task_id", "lib_loop", "subsystem", "learning", "task_type",
                              "loop"),
               *failure = json_pack("{s:s, s:s}", "task_id", "lib_loop", "message", "as planned"), *reply;
        uint64_t since = 0, last = 0;
        size_t n = 0;
        bool failed = false, final;
        int r;

        EXPECT(reeve_connect(NULL, &events, &e) == 0);
        EXPECT(reeve_monitor(events, &(ReeveMonitor){ .since = &since, .task_id = "lib_loop" }, &e) == 0);
        EXPECT(reeve_next_event(events, 0, &event, &e) == 0);
        EXPECT(reeve_send(c, "Start", p, false, &e) == 0);
        while (n < sizeof(expected) / sizeof(*expected)) {
                struct pollfd fds[] = { { .fd = reeve_fd(c), .events = reeve_events(c) },
                                        { .fd = reeve_fd(events), .events = reeve_events(events) } };
                EXPECT(poll(fds, 2, 10000) > 0);
                while (!failed && (r = reeve_next(c, 0, &reply, &final, &e)) != 0) {
                        EXPECT(r == 1 && final);
                        EXPECT_TEXT(text(json_object_get(reply, "task"), "status"), "active");
                        json_decref(reply);
                        EXPECT(reeve_send(c, "Fail", failure, false, &e) == 0);
                        failed = true;
                }
                while ((r = reeve_next_event(events, 0, &event, &e)) > 0) {
                        EXPECT(n < sizeof(expected) / sizeof(*expected));
                        EXPECT_TEXT(event.topic, expected[n++]);
                        EXPECT_TEXT(text(event.task, "task_id"), "lib_loop");
                        EXPECT(event.number > last && event.timestamp_usec > 0);
                        last = event.number;
                        reeve_event_done(&event);
                }
                EXPECT(r == 0);
                if (failed && n == 2)
                        EXPECT(reeve_next(c, PATIENCE_USEC, &reply, NULL, &e) == 1 &&
                               (json_decref(reply), true));
        }
        reeve_event_done(&event);
        reeve_disconnect(events);
        json_decref(p);
        json_decref(failure);
}

/* A task in the loop of somebody else: each callback takes all that there is, says what comes next, and returns to the loop. */
typedef struct Looped {
        ReeveConnection *events;
        sd_event_source *on_reply;
        json_t *task; /* what Start and Complete are told */
        int replies;
} Looped;

static void looped_say(Looped *l, const char *method)
{
        EXPECT(reeve_send(c, method, l->task, false, &e) == 0);
        EXPECT(sd_event_source_set_io_events(l->on_reply, (uint32_t)reeve_events(c)) >= 0);
}

static int on_reply(sd_event_source *s, int fd, uint32_t revents, void *userdata)
{
        Looped *l = userdata;
        json_t *reply;
        bool final;
        int r;

        EXPECT(fd == reeve_fd(c));
        while ((r = reeve_next(c, 0, &reply, &final, &e)) > 0) {
                EXPECT(final);
                EXPECT_TEXT(text(json_object_get(reply, "task"), "status"),
                            l->replies++ == 0 ? "active" : "completed");
                json_decref(reply);
        }
        EXPECT(r == 0);
        EXPECT(sd_event_source_set_io_events(s, (uint32_t)reeve_events(c)) >= 0);
        return l->replies < 2 ? 0 : sd_event_exit(sd_event_source_get_event(s), 0);
}

static int on_happened(sd_event_source *s, int fd, uint32_t revents, void *userdata)
{
        Looped *l = userdata;
        ReeveEvent event = { 0 };
        int r;

        while ((r = reeve_next_event(l->events, 0, &event, &e)) > 0) {
                EXPECT_TEXT(text(event.task, "task_id"), "lib_sd_event");
                if (strcmp(event.topic, "task.started") == 0)
                        looped_say(l, "Complete");
                reeve_event_done(&event);
        }
        EXPECT(r == 0);
        EXPECT(sd_event_source_set_io_events(s, (uint32_t)reeve_events(l->events)) >= 0);
        return 0;
}

static void test_sd_event_loop(void)
{
        json_t *begun = json_pack("{s:s, s:s, s:s}", "task_id", "lib_sd_event", "subsystem", "learning",
                                  "task_type", "loop"),
               *ended = json_pack("{s:s}", "task_id", "lib_sd_event");
        ReeveMonitor monitor = { .since = &(uint64_t){ 0 }, .task_id = "lib_sd_event" };
        Looped l = { .task = begun };
        sd_event_source *happened;
        sd_event *loop;

        EXPECT(sd_event_new(&loop) >= 0);
        EXPECT(reeve_connect(NULL, &l.events, &e) == 0 && reeve_monitor(l.events, &monitor, &e) == 0);
        EXPECT(sd_event_add_io(loop, &happened, reeve_fd(l.events), (uint32_t)reeve_events(l.events),
                               on_happened, &l) >= 0);
        EXPECT(sd_event_add_io(loop, &l.on_reply, reeve_fd(c), (uint32_t)reeve_events(c), on_reply, &l) >=
               0);
        looped_say(&l, "Start");
        l.task = ended;
        EXPECT(sd_event_loop(loop) == 0 && l.replies == 2);

        sd_event_source_disable_unref(happened);
        sd_event_source_disable_unref(l.on_reply);
        sd_event_unref(loop);
        reeve_disconnect(l.events);
        json_decref(begun);
        json_decref(ended);
}

/* The registry is replaced between a start and its update, and again before the end: the test's driver does it for each line. */
static void test_outlives_the_registry(void)
{
        ReeveStart start = mission("lib_outlives");
        double most = 0.9;
        json_t *task;

        EXPECT(reeve_start(c, &start, NULL, NULL, &e) == 0);
        puts("started");
        fflush(stdout);
        EXPECT(getchar() == '\n');
        EXPECT(reeve_update(c, "lib_outlives", &(ReeveUpdate){ .progress = &most }, &e) == 0);
        puts("updated");
        fflush(stdout);
        EXPECT(getchar() == '\n');
        EXPECT(reeve_complete(c, "lib_outlives", NULL, &task, &e) == 0);
        EXPECT_TEXT(text(task, "status"), "completed");
        EXPECT(json_number_value(json_object_get(task, "progress")) == 0.9);
        json_decref(task);
}

static void test_reporter_dies(void)
{
        ReeveStart start = mission("lib_dies");
        json_t *task;

        pid_t pid = fork();
        if (pid == 0) {
                pause();
                _exit(0);
        }
        start.watch = pid;
        EXPECT(pid > 0 && reeve_start(c, &start, NULL, NULL, &e) == 0);
        kill(pid, SIGKILL);
        EXPECT(reeve_wait(c, "lib_dies", PATIENCE_USEC, &task, &e) == 0);
        EXPECT_TEXT(text(task, "outcome"), "reporter-died");
        json_decref(task);
        EXPECT(waitpid(pid, NULL, 0) == pid);
}

static void print_sizes(void)
{
#define SIZE(type) printf("%s %zu\n", #type, sizeof(type))
        SIZE(ReeveAttach);
        SIZE(ReeveEnd);
        SIZE(ReeveError);
        SIZE(ReeveEvent);
        SIZE(ReeveFilter);
        SIZE(ReeveMonitor);
        SIZE(ReeveNumber);
        SIZE(ReeveRun);
        SIZE(ReeveStart);
        SIZE(ReeveUpdate);
}

static const struct {
        const char *name;
        void (*function)(void);
} tests[] = {
        { "reported-task-completes", test_reported_task_completes },
        { "reported-task-fails", test_reported_task_fails },
        { "bad-input", test_bad_input },
        { "run-wait-and-signals", test_run_wait_and_signals },
        { "hold-release-extend-and-cancel", test_hold_release_extend_and_cancel },
        { "list-by-pages", test_list_by_pages },
        { "poll-loop", test_poll_loop },
        { "sd-event-loop", test_sd_event_loop },
        { "outlives-the-registry", test_outlives_the_registry },
        { "reporter-dies", test_reporter_dies },
};

int main(int argc, char **argv)
{
        if (argc == 2 && strcmp(argv[1], "sizes") == 0) {
                print_sizes();
                return 0;
        }
        for (size_t i = 0; argc == 2 && i < sizeof(tests) / sizeof(*tests); i++) {
                if (strcmp(argv[1], tests[i].name) != 0)
                        continue;
                EXPECT(reeve_connect(NULL, &c, &e) == 0);
                tests[i].function();
                reeve_disconnect(c);
                return 0;
        }
        fprintf(stderr, "usage: public-api TEST\n");
        return 2;
}
