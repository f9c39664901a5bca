/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The registry in memory: identity, limits, and how every kind of end becomes a state and an outcome. */

#include "daemon/registry/registry.h"

#include <errno.h>
#include <signal.h>
#include <string.h>

#include "tests/unit/test.h"

#define NOW (1000 * USEC_PER_SEC)

typedef struct Fixture {
        FakeClock clock;
        Registry *registry;
} Fixture;

static int setup(void **state)
{
        Fixture *f = NEW0(Fixture, 1);

        fake_clock_init(&f->clock, NOW, 50 * USEC_PER_SEC);
        RegistryConfig config = { .clock = &f->clock.clock, .tasks_per_uid = 2 };
        memset(config.boot_id, 7, sizeof(config.boot_id));
        assert_int_equal(registry_new(&config, &f->registry), 0);
        *state = f;
        return 0;
}

static int teardown(void **state)
{
        Fixture *f = *state;

        registry_free(f->registry);
        free(f);
        return 0;
}

static Task *add(Fixture *f, const char *id, uid_t owner)
{
        TaskRow row = { .task_id = strdup(id), .owner_uid = owner, .attempts = 1, .status = TASK_PENDING };
        ReeveError e = REEVE_ERROR_NULL;
        Task *t = NULL;

        assert_ok(registry_add(f->registry, &row, &t, &e), e);
        assert_null(row.task_id);
        return t;
}

static void test_identity(void **state)
{
        Fixture *f = *state;
        ReeveError e = REEVE_ERROR_NULL;
        Task *other;

        Task *t = add(f, "a_b_1", 5);
        assert_ptr_equal(registry_get(f->registry, "a_b_1"), t);
        assert_null(registry_get(f->registry, "a_b_2"));
        assert_int_equal(t->row.created_realtime, NOW);
        assert_int_equal(t->row.created_boottime, 50 * USEC_PER_SEC);
        assert_int_equal(t->row.boot_id[3], 7);

        TaskRow same = { .task_id = strdup("a_b_1"), .owner_uid = 5 };
        assert_error(registry_add(f->registry, &same, &other, &e), e, REEVE_ERROR_ALREADY_EXISTS, "task_id");
        assert_non_null(same.task_id);
        task_row_done(&same);

        registry_remove(f->registry, t);
        assert_int_equal(registry_size(f->registry), 0);
}

static void test_limit_per_uid(void **state)
{
        Fixture *f = *state;
        ReeveError e = REEVE_ERROR_NULL;
        Task *t;

        Task *first = add(f, "one", 5);
        add(f, "two", 5);
        TaskRow third = { .task_id = strdup("three"), .owner_uid = 5 };
        assert_error(registry_add(f->registry, &third, &t, &e), e, REEVE_ERROR_LIMIT_EXCEEDED,
                     "limits.tasks_per_uid");
        add(f, "someone-else", 6);
        for (int i = 0; i < 10; i++) {
                char id[16];
                snprintf(id, sizeof(id), "root-%d", i);
                add(f, id, 0);
        }

        registry_remove(f->registry, first);
        assert_ok(registry_add(f->registry, &third, &t, &e), e);
}

static void start(Task *t)
{
        AttemptRow a = { .attempt = 1, .pid = 42, .started_realtime = NOW + 1, .cgroup = (char *)"pool/x" };
        task_started(t, &a, 51 * USEC_PER_SEC);
}

static void test_started(void **state)
{
        Fixture *f = *state;
        Task *t = add(f, "x", 5);

        start(t);
        assert_int_equal(t->row.status, TASK_ACTIVE);
        assert_int_equal(t->row.attempt, 1);
        assert_int_equal(t->row.pid, 42);
        assert_string_equal(t->row.cgroup, "pool/x");
        assert_int_equal(t->row.started_realtime, NOW + 1);
        assert_int_equal(t->row.started_boottime, 51 * USEC_PER_SEC);
}

static void test_every_end(void **state)
{
        Fixture *f = *state;
        static const struct {
                const char *name;
                RecordExit kind;
                int value;
                uint32_t flags;
                int64_t oom_kills; /* -1: unknown */
                bool cancel;
                TaskState status;
                TaskOutcome outcome;
        } ends[] = {
                { "status 0", RECORD_EXIT_EXITED, 0, 0, 0, false, TASK_VERIFYING, TASK_OUTCOME_NONE },
                { "status 3", RECORD_EXIT_EXITED, 3, 0, 0, false, TASK_FAILED, TASK_OUTCOME_EXIT_CODE },
                { "signal", RECORD_EXIT_KILLED, SIGTERM, 0, 0, false, TASK_FAILED, TASK_OUTCOME_SIGNAL },
                { "core", RECORD_EXIT_DUMPED, SIGSEGV, 0, 0, false, TASK_FAILED, TASK_OUTCOME_CORE_DUMP },
                { "kill", RECORD_EXIT_KILLED, SIGKILL, 0, -1, false, TASK_FAILED, TASK_OUTCOME_SIGNAL },
                { "oom", RECORD_EXIT_KILLED, SIGKILL, 0, 1, false, TASK_FAILED, TASK_OUTCOME_OOM },
                { "a child's oom", RECORD_EXIT_EXITED, 1, 0, 1, false, TASK_FAILED, TASK_OUTCOME_EXIT_CODE },
                { "backstop", RECORD_EXIT_KILLED, SIGKILL, RECORD_FLAG_BACKSTOP, 0, false, TASK_FAILED,
                  TASK_OUTCOME_SLA },
                { "exec", RECORD_EXIT_EXEC_FAILED, ENOENT, 0, 0, false, TASK_FAILED, TASK_OUTCOME_EXEC },
                { "unknown", RECORD_EXIT_UNKNOWN, 0, 0, 0, false, TASK_LOST, TASK_OUTCOME_EXIT_UNKNOWN },
                { "cancelled", RECORD_EXIT_KILLED, SIGTERM, 0, 0, true, TASK_CANCELLED, TASK_OUTCOME_NONE },
                { "cancelled, status 0", RECORD_EXIT_EXITED, 0, 0, 0, true, TASK_CANCELLED,
                  TASK_OUTCOME_NONE },
        };

        for (size_t i = 0; i < ELEMENTSOF(ends); i++)
                for (int started = 0; started < 2; started++) {
                        AttemptRow a = { .attempt = 1,
                                         .exit_kind = ends[i].kind,
                                         .exit_value = ends[i].value,
                                         .flags = ends[i].flags,
                                         .started_realtime = NOW + 1,
                                         .ended_realtime = NOW + 9 };
                        if (ends[i].oom_kills >= 0)
                                usage_set(&a.usage, USAGE_OOM_KILLS, (uint64_t)ends[i].oom_kills,
                                          USAGE_KERNEL_FINAL);

                        Task *t = add(f, "x", 0);
                        if (started)
                                start(t);
                        t->row.cancel_requested = ends[i].cancel;
                        task_attempt_ended(t, &a, 8, false);
                        if (t->row.status != ends[i].status || t->row.outcome != ends[i].outcome)
                                fail_msg("%s: got %s/%s, expected %s/%s", ends[i].name,
                                         task_state_name(t->row.status), task_outcome_name(t->row.outcome),
                                         task_state_name(ends[i].status),
                                         task_outcome_name(ends[i].outcome));
                        assert_int_equal(t->row.pid, 0);
                        assert_int_equal(t->row.completed_realtime, NOW + 9);
                        assert_int_equal(t->row.duration_usec, 8);
                        registry_remove(f->registry, t);
                }
}

static void test_verified(void **state)
{
        Fixture *f = *state;
        const AttemptRow a = { .attempt = 1,
                               .exit_kind = RECORD_EXIT_EXITED,
                               .started_realtime = NOW + 1,
                               .ended_realtime = NOW + 9 };

        Task *t = add(f, "nothing-to-verify", 0);
        start(t);
        task_attempt_ended(t, &a, 8, false);
        task_verified(t, false, 0);
        assert_int_equal(t->row.status, TASK_COMPLETED);
        assert_int_equal(t->row.completed_realtime, NOW + 9);

        t = add(f, "passes", 0);
        start(t);
        task_attempt_ended(t, &a, 8, false);
        task_verified(t, false, NOW + 20);
        assert_int_equal(t->row.status, TASK_COMPLETED);
        assert_int_equal(t->row.outcome, TASK_OUTCOME_NONE);
        assert_int_equal(t->row.completed_realtime, NOW + 20);
        assert_int_equal(t->row.duration_usec, 8);

        t = add(f, "fails", 0);
        start(t);
        task_attempt_ended(t, &a, 8, false);
        task_verified(t, true, NOW + 20);
        assert_int_equal(t->row.status, TASK_FAILED);
        assert_int_equal(t->row.outcome, TASK_OUTCOME_VERIFICATION);

        AttemptRow three = a;
        three.exit_value = 3;
        t = add(f, "accepted", 0);
        start(t);
        task_attempt_ended(t, &three, 8, true);
        assert_int_equal(t->row.status, TASK_VERIFYING);
        assert_int_equal(t->row.exit_status, 3);
        assert_null(t->row.message);

        t = add(f, "cancelled-meanwhile", 0);
        start(t);
        task_attempt_ended(t, &a, 8, false);
        task_ended_otherwise(t, TASK_CANCELLED, TASK_OUTCOME_NONE, NULL, NOW + 20);
        assert_int_equal(t->row.status, TASK_CANCELLED);
        assert_int_equal(t->row.completed_realtime, NOW + 20);
        assert_int_equal(t->row.duration_usec, 8);
}

static void test_exit_fields(void **state)
{
        Fixture *f = *state;
        AttemptRow a = { .attempt = 1, .exit_kind = RECORD_EXIT_KILLED, .exit_value = SIGINT };

        Task *t = add(f, "x", 0);
        start(t);
        task_attempt_ended(t, &a, 0, false);
        assert_true(t->row.has_exit);
        assert_int_equal(t->row.exit_signal, SIGINT);
        assert_string_equal(t->row.message, "ended by signal INT");

        t = add(f, "y", 0);
        start(t);
        task_attempt_ended(t, &(AttemptRow){ .attempt = 1, .exit_kind = RECORD_EXIT_UNKNOWN }, 0, true);
        assert_false(t->row.has_exit);
}

static void test_ended_otherwise(void **state)
{
        Fixture *f = *state;

        Task *t = add(f, "x", 0);
        task_ended_otherwise(t, TASK_CANCELLED, TASK_OUTCOME_NONE, "nobody wants it", NOW + 5);
        assert_int_equal(t->row.status, TASK_CANCELLED);
        assert_string_equal(t->row.message, "nobody wants it");
        assert_int_equal(t->row.duration_usec, 0);

        t = add(f, "y", 0);
        start(t);
        task_ended_otherwise(t, TASK_LOST, TASK_OUTCOME_REBOOTED, NULL, NOW + 5);
        assert_int_equal(t->row.duration_usec, 4);
        assert_null(t->row.message);
}

static void test_reported(void **state)
{
        Fixture *f = *state;

        Task *good = add(f, "a_b_1", 5);
        task_report_started(good, NOW, 50 * USEC_PER_SEC);
        assert_int_equal(good->row.status, TASK_ACTIVE);
        task_report_ended(good, true, NOW + 1, 52 * USEC_PER_SEC);
        assert_int_equal(good->row.status, TASK_VERIFYING);
        assert_int_equal(good->row.duration_usec, 2 * USEC_PER_SEC);
        assert_int_equal(good->row.completed_realtime, NOW + 1);

        /* One that was never said to have begun. */
        Task *bad = add(f, "a_b_2", 5);
        bad->row.pid = 7;
        task_report_ended(bad, false, NOW, 50 * USEC_PER_SEC);
        assert_int_equal(bad->row.status, TASK_FAILED);
        assert_int_equal(bad->row.outcome, TASK_OUTCOME_REPORTED);
        assert_int_equal(bad->row.started_realtime, 0); /* unknown */
        assert_int_equal(bad->row.duration_usec, 0);
        assert_int_equal(bad->row.pid, 0);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test_setup_teardown(test_identity, setup, teardown),
                cmocka_unit_test_setup_teardown(test_limit_per_uid, setup, teardown),
                cmocka_unit_test_setup_teardown(test_started, setup, teardown),
                cmocka_unit_test_setup_teardown(test_every_end, setup, teardown),
                cmocka_unit_test_setup_teardown(test_verified, setup, teardown),
                cmocka_unit_test_setup_teardown(test_exit_fields, setup, teardown),
                cmocka_unit_test_setup_teardown(test_ended_otherwise, setup, teardown),
                cmocka_unit_test_setup_teardown(test_reported, setup, teardown),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
