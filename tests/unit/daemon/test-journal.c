/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* What journald would receive: a datagram socket of our own stands in its place. */

#include "daemon/log/journal.h"

#include <endian.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "basic/fd.h"
#include "basic/log.h"
#include "tests/unit/test.h"

typedef struct Fixture {
        char directory[64], path[96];
        int fd; /* the receiver */
        sd_event *event;
        Journal *journal;
} Fixture;

static void bind_receiver(Fixture *f)
{
        struct sockaddr_un address = { .sun_family = AF_UNIX };

        f->fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
        assert_true(f->fd >= 0);
        strcpy(address.sun_path, f->path);
        assert_int_equal(bind(f->fd, (struct sockaddr *)&address, sizeof(address)), 0);
}

static int setup(void **state)
{
        Fixture *f = NEW0(Fixture, 1);

        log_set_max_level(LOG_CRIT);
        strcpy(f->directory, "/tmp/reeve-journal.XXXXXX");
        assert_non_null(mkdtemp(f->directory));
        snprintf(f->path, sizeof(f->path), "%s/socket", f->directory);
        bind_receiver(f);
        assert_int_equal(sd_event_new(&f->event), 0);
        assert_int_equal(journal_new(f->event, f->path, &f->journal), 0);
        *state = f;
        return 0;
}

static int teardown(void **state)
{
        Fixture *f = *state;

        journal_free(f->journal);
        sd_event_unref(f->event);
        fd_close(f->fd);
        unlink(f->path);
        rmdir(f->directory);
        free(f);
        return 0;
}

/* The next datagram, NUL-terminated; its length, or -1 if there is none. */
static ssize_t receive(Fixture *f, char *buffer, size_t size)
{
        ssize_t n = recv(f->fd, buffer, size - 1, 0);

        if (n >= 0)
                buffer[n] = '\0';
        return n;
}

/* The value of a field, in either of its forms; NULL if there is none. Walks the whole entry, so that it must be well-formed. */
static char *field(const char *entry, size_t size, const char *name)
{
        char *found = NULL;

        for (const char *p = entry, *end = entry + size; p < end;) {
                size_t length = strcspn(p, "=\n");
                const char *value = p + length + 1;
                uint64_t n;

                assert_true(length > 0 && value < end);
                if (p[length] == '=')
                        n = strcspn(value, "\n");
                else {
                        assert_true((size_t)(end - value) > sizeof(n));
                        memcpy(&n, value, sizeof(n));
                        n = le64toh(n);
                        value += sizeof(n);
                }
                assert_true(n < (uint64_t)(end - value));
                assert_int_equal(value[n], '\n');
                if (strlen(name) == length && strncmp(p, name, length) == 0) {
                        assert_null(found);
                        found = strndup(value, n);
                }
                p = value + n + 1;
        }
        return found;
}

static void assert_field(const char *entry, size_t size, const char *name, const char *expected)
{
        _cleanup_free_ char *value = field(entry, size, name);

        if (!expected && value)
                fail_msg("%s: expected no such field, got '%s'", name, value);
        if (expected && (!value || strcmp(value, expected) != 0))
                fail_msg("%s: expected '%s', got '%s'", name, expected, value ?: "no such field");
}

static TaskRow example(void)
{
        TaskRow t = { .task_id = (char *)"units_gate_1",
                      .subsystem = (char *)"units",
                      .task_type = (char *)"gate",
                      .title = (char *)"two\nlines=of text",
                      .message = (char *)"a secret of the owner",
                      .argv = (char *)"[\"another\"]",
                      .owner_uid = 1001,
                      .status = TASK_FAILED,
                      .outcome = TASK_OUTCOME_EXIT_CODE,
                      .attempt = 1,
                      .has_exit = true,
                      .exit_status = 7,
                      .started_realtime = 1000,
                      .duration_usec = 1500000 };

        usage_set(&t.usage, USAGE_CPU, 250000, USAGE_KERNEL_FINAL);
        usage_set(&t.usage, USAGE_OOM_KILLS, 0, USAGE_KERNEL_FINAL);
        return t;
}

static void test_end_of_a_task(void **state)
{
        Fixture *f = *state;
        TaskRow t = example();
        char entry[8192];

        journal_task_ended(f->journal, &t);
        ssize_t n = receive(f, entry, sizeof(entry));
        assert_true(n > 0);
        size_t size = (size_t)n;
        assert_field(entry, size, "MESSAGE", "units_gate_1 failed: exit-code, took 1.5s, CPU 250ms");
        assert_field(entry, size, "MESSAGE_ID", "2df5cf92eb364797b10785a8330ce308");
        assert_field(entry, size, "PRIORITY", "5");
        assert_field(entry, size, "REEVE_TASK_ID", "units_gate_1");
        assert_field(entry, size, "REEVE_SUBSYSTEM", "units");
        assert_field(entry, size, "REEVE_TITLE", "two\nlines=of text");
        assert_field(entry, size, "REEVE_STATUS", "failed");
        assert_field(entry, size, "REEVE_OUTCOME", "exit-code");
        assert_field(entry, size, "REEVE_OWNER_UID", "1001");
        assert_field(entry, size, "REEVE_EXIT_STATUS", "7");
        assert_field(entry, size, "REEVE_EXIT_SIGNAL", NULL);
        assert_field(entry, size, "REEVE_DURATION_USEC", "1500000");
        assert_field(entry, size, "REEVE_CPU_USEC", "250000");
        assert_field(entry, size, "REEVE_OOM_KILLS", "0");
        assert_field(entry, size, "REEVE_MEMORY_PEAK_BYTES", NULL); /* unknown, not 0 */
        assert_null(memmem(entry, size, "secret", strlen("secret")));
        assert_null(memmem(entry, size, "another", strlen("another")));
        assert_int_equal(receive(f, entry, sizeof(entry)), -1);
}

static void test_each_end_has_its_id(void **state)
{
        static const TaskState ends[] = { TASK_COMPLETED, TASK_FAILED, TASK_CANCELLED, TASK_LOST };
        Fixture *f = *state;
        char entry[8192], seen[ELEMENTSOF(ends)][33];

        for (size_t i = 0; i < ELEMENTSOF(ends); i++) {
                TaskRow t = { .task_id = (char *)"x", .status = ends[i] };

                journal_task_ended(f->journal, &t);
                ssize_t n = receive(f, entry, sizeof(entry));
                assert_true(n > 0);
                _cleanup_free_ char *id = field(entry, (size_t)n, "MESSAGE_ID");
                assert_non_null(id);
                assert_int_equal(strlen(id), 32);
                strcpy(seen[i], id);
                for (size_t k = 0; k < i; k++)
                        assert_string_not_equal(seen[k], id);
                /* It never started. */
                assert_field(entry, (size_t)n, "REEVE_DURATION_USEC", NULL);
        }
}

static void test_events(void **state)
{
        static const struct {
                const char *topic, *message, *status;
        } told[] = {
                { "task.created", "units_gate_1 created", "pending" },
                { "task.started", "units_gate_1 started", "active" },
                { "task.verifying", "units_gate_1 has done its work, which is verified", "verifying" },
                { "task.retry", "units_gate_1 is tried again", "pending" },
                { "task.held", "units_gate_1 is held", "pending" },
                { "task.released", "units_gate_1 is held no more", "pending" },
                { "task.sla_extended", "units_gate_1 has more time", "failed" },
        };
        Fixture *f = *state;
        TaskRow t = example(); /* which has failed in the meantime */
        char entry[8192];

        for (size_t i = 0; i < ELEMENTSOF(told); i++) {
                journal_task_event(f->journal, &t, told[i].topic);
                ssize_t n = receive(f, entry, sizeof(entry));
                assert_true(n > 0);
                assert_field(entry, (size_t)n, "MESSAGE", told[i].message);
                assert_field(entry, (size_t)n, "PRIORITY", "7");
                assert_field(entry, (size_t)n, "REEVE_TASK_ID", "units_gate_1");
                assert_field(entry, (size_t)n, "REEVE_STATUS", told[i].status);
                assert_field(entry, (size_t)n, "REEVE_OUTCOME", NULL);
                assert_field(entry, (size_t)n, "REEVE_EXIT_STATUS", NULL);
                assert_field(entry, (size_t)n, "REEVE_CPU_USEC", "250000");
        }
        /* These have entries of their own kind, or come too often. */
        journal_task_event(f->journal, &t, "task.failed");
        journal_task_event(f->journal, &t, "task.sla_warning");
        journal_task_event(f->journal, &t, "task.updated");
        assert_int_equal(receive(f, entry, sizeof(entry)), -1);
        journal_task_event(NULL, &t, "task.created");
}

static void test_steps_of_a_ladder(void **state)
{
        static const struct {
                JournalStep step;
                const char *id, *message, *priority, *number, *error;
        } told[] = {
                { { .number = 1, .what = "notify", .state = "done", .lateness_usec = 7, .is_warning = true },
                  "d3051140d0ee455f91f9daa04f31ee19",
                  "units_gate_1: step 1 (notify) of its ladder: done",
                  "5",
                  "1",
                  NULL },
                { { .what = "deadline", .state = "done", .lateness_usec = 7 },
                  "bb1d15dd3dbc4686bb13d33b77496a59",
                  "units_gate_1 missed its deadline",
                  "4",
                  NULL,
                  NULL },
                { { .number = 16, .what = "signal", .state = "failed", .lateness_usec = 7, .message = "no" },
                  "8fed4a59b4514510960623fbf1166b6e",
                  "units_gate_1: step 16 (signal) of its ladder: failed",
                  "5",
                  "16",
                  "no" },
        };
        Fixture *f = *state;
        TaskRow t = example();
        char entry[8192];

        for (size_t i = 0; i < ELEMENTSOF(told); i++) {
                journal_ladder_step(f->journal, &t, &told[i].step);
                ssize_t n = receive(f, entry, sizeof(entry));
                assert_true(n > 0);
                assert_field(entry, (size_t)n, "MESSAGE_ID", told[i].id);
                assert_field(entry, (size_t)n, "MESSAGE", told[i].message);
                assert_field(entry, (size_t)n, "PRIORITY", told[i].priority);
                assert_field(entry, (size_t)n, "REEVE_TASK_ID", "units_gate_1");
                assert_field(entry, (size_t)n, "REEVE_STEP", told[i].number);
                assert_field(entry, (size_t)n, "REEVE_STEP_DO", told[i].step.what);
                assert_field(entry, (size_t)n, "REEVE_STEP_STATE", told[i].step.state);
                assert_field(entry, (size_t)n, "REEVE_LATENESS_USEC", "7");
                assert_field(entry, (size_t)n, "REEVE_ERROR", told[i].error);
        }
        journal_ladder_step(NULL, &t, &told[0].step);
}

static void test_what_is_stuck(void **state)
{
        Fixture *f = *state;
        TaskRow t = example();
        char entry[8192];

        journal_task_stuck(f->journal, &t, "idle", 90 * USEC_PER_SEC);
        ssize_t n = receive(f, entry, sizeof(entry));
        assert_true(n > 0);
        assert_field(entry, (size_t)n, "MESSAGE_ID", "6c1e7f0a8e5d4b7f9a3c52d1e4b6f870");
        assert_field(entry, (size_t)n, "MESSAGE", "units_gate_1 is stuck: idle for 1min 30s");
        assert_field(entry, (size_t)n, "PRIORITY", "4");
        assert_field(entry, (size_t)n, "REEVE_STUCK_RULE", "idle");
        assert_field(entry, (size_t)n, "REEVE_STUCK_USEC", "90000000");
        journal_task_stuck(NULL, &t, "idle", 1);
}

static void test_what_could_not_be_stored(void **state)
{
        Fixture *f = *state;
        TaskRow t = example();
        ReeveError e = REEVE_ERROR_NULL;
        char entry[8192];

        reeve_error_set(&e, REEVE_ERROR_UNAVAILABLE, NULL, "no room");
        journal_task_not_stored(f->journal, &t, &e);
        ssize_t n = receive(f, entry, sizeof(entry));
        assert_true(n > 0);
        assert_field(entry, (size_t)n, "PRIORITY", "3");
        assert_field(entry, (size_t)n, "REEVE_ERROR", "no room");
        assert_field(entry, (size_t)n, "REEVE_TASK_ID", "units_gate_1");
}

/* Tells of n tasks whose attempt is their number. */
static void tell(Fixture *f, unsigned n)
{
        TaskRow t = example();

        for (unsigned i = 1; i <= n; i++) {
                t.attempt = i;
                journal_task_ended(f->journal, &t);
        }
}

/* Receives until nothing comes any more, and checks the order; how many came. */
static unsigned receive_all(Fixture *f)
{
        char entry[8192], expected[16];
        unsigned received = 0;

        for (;;) {
                ssize_t n = receive(f, entry, sizeof(entry));
                if (n < 0) {
                        if (sd_event_run(f->event, 0) == 0)
                                return received;
                        continue;
                }
                snprintf(expected, sizeof(expected), "%u", ++received);
                assert_field(entry, (size_t)n, "REEVE_ATTEMPT", expected);
        }
}

static void test_slow_journal_loses_nothing(void **state)
{
        Fixture *f = *state;

        tell(f, 900);
        assert_int_equal(receive_all(f), 900);
        tell(f, 3);
        assert_int_equal(receive_all(f), 3);
}

static void test_a_journal_that_hangs_costs_no_memory(void **state)
{
        Fixture *f = *state;

        tell(f, 20000);
        unsigned received = receive_all(f);
        assert_in_range(received, 1024, 10000); /* what waited, and what the socket held */
        tell(f, 1);
        assert_int_equal(receive_all(f), 1);
}

/* How many of what waited were of the level. */
static unsigned receive_level(Fixture *f, const char *level)
{
        char entry[8192];
        unsigned n_level = 0;

        for (;;) {
                ssize_t n = receive(f, entry, sizeof(entry));
                if (n < 0) {
                        if (sd_event_run(f->event, 0) == 0)
                                return n_level;
                        continue;
                }
                _cleanup_free_ char *priority = field(entry, (size_t)n, "PRIORITY");
                assert_non_null(priority);
                n_level += strcmp(priority, level) == 0;
        }
}

static void test_events_leave_room_for_ends(void **state)
{
        Fixture *f = *state;
        TaskRow t = example();

        for (unsigned i = 0; i < 20000; i++)
                journal_task_event(f->journal, &t, "task.started");
        tell(f, 400);
        assert_int_equal(receive_level(f, "5"), 400);
}

static void test_replaced_socket(void **state)
{
        Fixture *f = *state;

        fd_close(f->fd);
        tell(f, 2); /* nobody hears that */
        unlink(f->path);
        bind_receiver(f);
        tell(f, 1);
        assert_int_equal(receive_all(f), 1);
}

static void test_no_journal(void **state)
{
        Fixture *f = *state;
        Journal *j = NULL;
        TaskRow t = example();
        char path[256];

        snprintf(path, sizeof(path), "%s/nobody", f->directory);
        assert_int_equal(journal_new(f->event, path, &j), -ENOENT);
        memset(path, 'x', sizeof(path) - 1);
        path[sizeof(path) - 1] = '\0';
        assert_int_equal(journal_new(f->event, path, &j), -ENAMETOOLONG);
        assert_null(j);
        journal_task_ended(NULL, &t);
        journal_launcher_away(NULL);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test_setup_teardown(test_end_of_a_task, setup, teardown),
                cmocka_unit_test_setup_teardown(test_each_end_has_its_id, setup, teardown),
                cmocka_unit_test_setup_teardown(test_events, setup, teardown),
                cmocka_unit_test_setup_teardown(test_steps_of_a_ladder, setup, teardown),
                cmocka_unit_test_setup_teardown(test_what_is_stuck, setup, teardown),
                cmocka_unit_test_setup_teardown(test_what_could_not_be_stored, setup, teardown),
                cmocka_unit_test_setup_teardown(test_events_leave_room_for_ends, setup, teardown),
                cmocka_unit_test_setup_teardown(test_slow_journal_loses_nothing, setup, teardown),
                cmocka_unit_test_setup_teardown(test_a_journal_that_hangs_costs_no_memory, setup, teardown),
                cmocka_unit_test_setup_teardown(test_replaced_socket, setup, teardown),
                cmocka_unit_test_setup_teardown(test_no_journal, setup, teardown),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
