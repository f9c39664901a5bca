/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* How writes are committed: together, in order, failures alone, lazily, and all of them before the store is closed; and
 * that what is written passes the checks of the schema. */

#include <errno.h>
#include <inttypes.h>
#include <pthread.h>
#include <string.h>

#include "basic/strings.h"
#include "daemon/verify/rule.h"
#include "tests/unit/daemon/store-fixture.h"

static void test_group_commit_and_order(void **state)
{
        enum { N = 500 }; /* as many as go into one batch */
        Fixture *f = *state;
        static Written written[N];
        StoreFigures before, after;
        char id[32];

        fixture_open(f);
        memset(written, 0, sizeof(written));
        store_figures(f->store, &before);
        sqlite3 *held = fixture_hold_writer(f);
        for (int i = 0; i < N; i++) {
                snprintf(id, sizeof(id), "task%d", i);
                TaskRow t = make_task(id);
                StoreWrite *w = store_write_new(f->store, 0, on_written, &written[i]);
                assert_int_equal(store_write_insert_task(w, &t), 0);
                assert_int_equal(store_write_submit(w), 0);
        }
        store_figures(f->store, &after);
        assert_int_equal(after.queued, N);
        fixture_release_writer(held);
        fixture_wait(f, &written[N - 1].done, "the last write");

        for (int i = 0; i < N; i++) {
                if (!written[i].done || written[i].code != REEVE_ERROR_NONE)
                        fail_msg("write %d: %s", i,
                                 written[i].done ? written[i].error.text : "not called back");
                if (written[i].turn != (unsigned)i)
                        fail_msg("write %d was called back as number %u", i, written[i].turn);
        }
        store_figures(f->store, &after);
        assert_int_equal(after.writes - before.writes, N);
        assert_int_equal(after.rows - before.rows, N);
        assert_int_equal(after.queued, 0);
        /* What was taken before the writer was held, and the rest. */
        if (after.commits - before.commits > 2)
                fail_msg("%d writes took %llu commits, expected 2", N,
                         (unsigned long long)(after.commits - before.commits));
}

static usec_t monotonic(void)
{
        struct timespec ts;
        clock_gettime(CLOCK_MONOTONIC, &ts);
        return usec_from_timespec(&ts);
}

static void submit_insert(Fixture *f, const char *id, unsigned flags, Written *written)
{
        TaskRow t = make_task(id);
        StoreWrite *w = store_write_new(f->store, flags, on_written, written);

        assert_int_equal(store_write_insert_task(w, &t), 0);
        assert_int_equal(store_write_submit(w), 0);
}

static void test_lazy_writes(void **state)
{
        Fixture *f = *state;
        Written alone = {}, before = {}, eager = {}, last = {};

        fixture_open(f);
        usec_t begin = monotonic();
        submit_insert(f, "alone", STORE_WRITE_LAZY, &alone);
        fixture_wait(f, &alone.done, "a lazy write without company");
        usec_t took = monotonic() - begin;
        if (took < STORE_LINGER_USEC)
                fail_msg("it came back after %llu us, expected at least %llu", (unsigned long long)took,
                         (unsigned long long)STORE_LINGER_USEC);

        submit_insert(f, "before", STORE_WRITE_LAZY, &before);
        submit_insert(f, "eager", 0, &eager);
        fixture_wait(f, &eager.done, "a write behind a lazy one");
        if (!before.done || before.turn > eager.turn)
                fail_msg("the lazy write is to come back first, it %s",
                         before.done ? "came second" : "waits");

        submit_insert(f, "last", STORE_WRITE_LAZY, &last);
        fixture_close(f);
        assert_int_equal(fixture_ask(f, "SELECT count(*) FROM task_registry WHERE task_id = 'last'"), 1);
}

static void test_duplicate_fails_alone(void **state)
{
        Fixture *f = *state;
        Written written[3] = {};
        static const char *const ids[] = { "before", "taken", "after" };
        TaskRow taken = make_task("taken");
        EventRow event = { .realtime = 1, .topic = (char *)"task.created", .task_id = (char *)"x" };

        fixture_open(f);
        fixture_insert(f, &taken);

        sqlite3 *held = fixture_hold_writer(f);
        for (int i = 0; i < 3; i++) {
                TaskRow t = make_task(ids[i]);
                t.title = (char *)"second";
                StoreWrite *w = store_write_new(f->store, 0, on_written, &written[i]);
                assert_int_equal(store_write_event(w, &event), 0); /* must be undone with the task */
                assert_int_equal(store_write_insert_task(w, &t), 0);
                assert_int_equal(store_write_submit(w), 0);
        }
        fixture_release_writer(held);
        fixture_wait(f, &written[2].done, "three writes");

        assert_int_equal(written[0].code, REEVE_ERROR_NONE);
        assert_int_equal(written[1].code, REEVE_ERROR_ALREADY_EXISTS);
        assert_string_equal(written[1].error.field, "task_id");
        assert_int_equal(written[2].code, REEVE_ERROR_NONE);
        assert_int_equal(fixture_ask(f, "SELECT count(*) FROM task_registry"), 3);
        assert_int_equal(fixture_ask(f, "SELECT count(*) FROM task_events"), 2);
        assert_int_equal(
                        fixture_ask(f,
                                    "SELECT count(*) FROM task_registry WHERE task_id = 'taken' AND title = "
                                    "'a task'"),
                        1);
}

static void test_constraint_is_reported(void **state)
{
        Fixture *f = *state;
        Written written = {};
        TaskRow t = make_task("bad");
        t.priority = 11;

        fixture_open(f);
        StoreWrite *w = store_write_new(f->store, 0, on_written, &written);
        assert_int_equal(store_write_insert_task(w, &t), 0);
        assert_int_equal(store_write_submit(w), 0);
        fixture_wait(f, &written.done, "a refusal");
        assert_int_equal(written.code, REEVE_ERROR_INTERNAL);
        assert_non_null(strstr(written.error.text, "priority"));
        assert_null(fixture_get(f, "bad"));
}

static void insert_kind_of(Fixture *f, int i)
{
        char id[32];

        snprintf(id, sizeof(id), "t%d", i);
        TaskRow t = make_task(id);
        t.kind = (TaskKind)(i % _TASK_KIND_MAX);
        t.status = (TaskState)(i % _TASK_STATE_MAX);
        t.verification = (VerificationStatus)(i % _VERIFICATION_STATUS_MAX);
        t.output = (TaskOutput)(i % _TASK_OUTPUT_MAX);
        t.word = (ReportedWord)(i % (REPORTED_VERIFIED + 1));
        t.priority = TASK_PRIORITY_MIN + i % TASK_PRIORITY_MAX;
        t.held = i % 2;
        t.has_progress = true;
        t.progress = i % 2;
        fixture_insert(f, &t);
}

static void insert_verification_of(Fixture *f, int i)
{
        Written written = {};
        VerificationRow v = { .task_id = (char *)"t0",
                              .attempt = 1,
                              .rule = i,
                              .name = (char *)"a rule",
                              .kind = (char *)verify_kind_name((VerifyKind)i),
                              .passed = i % 2,
                              .evidence = (char *)"{}",
                              .ended_realtime = 1,
                              .cpu_usec = -1 };

        StoreWrite *w = store_write_new(f->store, 0, on_written, &written);
        assert_int_equal(store_write_verification(w, &v), 0);
        fixture_commit(f, w, &written);
}

/* Every name that there is can be written. */
static void test_all_names_can_be_written(void **state)
{
        Fixture *f = *state;

        fixture_open(f);
        for (int i = 0; i < 2 * _TASK_STATE_MAX; i++)
                insert_kind_of(f, i);
        for (int i = 0; i < _VERIFY_KIND_MAX; i++)
                insert_verification_of(f, i);
}

typedef struct Work {
        bool done;
        pthread_t thread;
        int result;
} Work;

static int work(void *userdata)
{
        Work *w = userdata;
        w->thread = pthread_self();
        return -EXDEV;
}

static void on_work(int result, void *userdata)
{
        Work *w = userdata;
        w->result = result;
        w->done = true;
}

static void test_work(void **state)
{
        Fixture *f = *state;
        Work w = {};

        fixture_open(f);
        assert_int_equal(store_work(f->store, work, on_work, &w), 0);
        fixture_wait(f, &w.done, "work");
        assert_int_equal(w.result, -EXDEV);
        assert_false(pthread_equal(w.thread, pthread_self()));
}

static void test_close_finishes_writes(void **state)
{
        Fixture *f = *state;
        Written written = {};
        char id[32];

        fixture_open(f);
        for (int i = 0; i < 100; i++) {
                snprintf(id, sizeof(id), "t%d", i);
                TaskRow t = make_task(id);
                StoreWrite *w = store_write_new(f->store, 0, on_written, &written);
                assert_int_equal(store_write_insert_task(w, &t), 0);
                assert_int_equal(store_write_submit(w), 0);
        }
        fixture_close(f);
        assert_false(written.done);
        assert_int_equal(fixture_ask(f, "SELECT count(*) FROM task_registry"), 100);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, fixture_setup, fixture_teardown)
        const struct CMUnitTest tests[] = {
                TEST(test_group_commit_and_order),   TEST(test_lazy_writes),
                TEST(test_duplicate_fails_alone),    TEST(test_constraint_is_reported),
                TEST(test_all_names_can_be_written), TEST(test_work),
                TEST(test_close_finishes_writes),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
