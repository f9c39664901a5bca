/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Writing and reading back: every column of tasks, attempts, snapshots and verifications. Questions about what is stored are
 * test-store-read.c's, how writes are committed test-store-write.c's. */

#include <errno.h>
#include <string.h>

#include "basic/strings.h"
#include "daemon/verify/rule.h"
#include "tests/unit/daemon/store-fixture.h"

static void assert_text(const char *got, const char *expected, const char *what)
{
        if (!streq_null(got, expected))
                fail_msg("%s: got %s, expected %s", what, got ?: "NULL", expected ?: "NULL");
}

static void assert_usage(const Usage *got, const Usage *expected)
{
        for (int f = 0; f < _USAGE_FIELD_MAX; f++) {
                if (got->source[f] != expected->source[f])
                        fail_msg("%s: source %d, expected %d", usage_field_info((UsageField)f)->name,
                                 got->source[f], expected->source[f]);
                if (usage_has(expected, (UsageField)f) && got->value[f] != expected->value[f])
                        fail_msg("%s: %lld, expected %lld", usage_field_info((UsageField)f)->name,
                                 (long long)got->value[f], (long long)expected->value[f]);
        }
}

#define assert_same(member)                                                                   \
        do {                                                                                  \
                if (got->member != expected->member)                                          \
                        fail_msg(#member ": got %lld, expected %lld", (long long)got->member, \
                                 (long long)expected->member);                                \
        } while (0)

static void assert_task(const TaskRow *got, const TaskRow *expected)
{
        assert_text(got->task_id, expected->task_id, "task_id");
        assert_text(got->subsystem, expected->subsystem, "subsystem");
        assert_text(got->task_type, expected->task_type, "task_type");
        assert_text(got->title, expected->title, "title");
        assert_text(got->description, expected->description, "description");
        assert_text(got->created_by, expected->created_by, "created_by");
        assert_text(got->metadata, expected->metadata, "metadata");
        assert_text(got->progress_message, expected->progress_message, "progress_message");
        assert_text(got->ml_metrics, expected->ml_metrics, "ml_metrics");
        assert_text(got->result_metadata, expected->result_metadata, "result_metadata");
        assert_text(got->argv, expected->argv, "argv");
        assert_text(got->cwd, expected->cwd, "cwd");
        assert_text(got->message, expected->message, "message");
        assert_text(got->cgroup, expected->cgroup, "cgroup");
        assert_memory_equal(got->content_hash, expected->content_hash, sizeof(got->content_hash));
        assert_memory_equal(got->boot_id, expected->boot_id, sizeof(got->boot_id));
        assert_same(kind);
        assert_same(output);
        assert_same(owner_uid);
        assert_same(run_uid);
        assert_same(run_gid);
        assert_same(priority);
        assert_same(status);
        assert_same(outcome);
        assert_same(attempt);
        assert_same(attempts);
        assert_same(has_backend);
        assert_same(backend);
        assert_same(pid);
        assert_same(has_exit);
        assert_same(exit_status);
        assert_same(exit_signal);
        assert_same(cancel_requested);
        assert_text(got->ladder, expected->ladder, "ladder");
        assert_memory_equal(got->sla_boot_id, expected->sla_boot_id, sizeof(got->sla_boot_id));
        assert_same(has_sla);
        assert_same(sla_span_usec);
        assert_same(sla_deadline_realtime);
        assert_same(sla_deadline_boottime);
        assert_same(sla_owner_may_extend);
        assert_same(has_sla_met);
        assert_same(sla_met);
        assert_same(has_sla_margin);
        assert_same(sla_margin_usec);
        assert_same(held);
        assert_same(not_before_realtime);
        assert_same(not_before_boottime);
        assert_same(has_progress);
        assert_true(got->progress == expected->progress);
        assert_same(heartbeat_usec);
        assert_memory_equal(got->has_ml, expected->has_ml, sizeof(got->has_ml));
        assert_memory_equal(got->ml, expected->ml, sizeof(got->ml));
        assert_same(has_result);
        assert_memory_equal(got->result_hash, expected->result_hash, sizeof(got->result_hash));
        assert_same(word);
        assert_same(reporter_identity);
        assert_same(created_realtime);
        assert_same(created_boottime);
        assert_same(started_realtime);
        assert_same(started_boottime);
        assert_same(completed_realtime);
        assert_same(duration_usec);
        assert_same(verify_commands);
        assert_same(verification);
        assert_same(verification_passes);
        assert_same(verification_failures);
        assert_usage(&got->usage, &expected->usage);
}

/* Every counter known, each with another value and source, but two. */
static void fill_usage(Usage *u)
{
        *u = (Usage){};
        for (int f = 0; f < _USAGE_FIELD_MAX; f++)
                usage_set(u, (UsageField)f, UINT64_C(1) << (2 * f),
                          (UsageSource)(1 + f % (_USAGE_SOURCE_MAX - 1)));
        usage_set(u, USAGE_IO_WRITE, UINT64_MAX, USAGE_KERNEL_FINAL);
        usage_set(u, USAGE_OOM_KILLS, 0, USAGE_KERNEL_FINAL);
        u->value[USAGE_STORAGE_DELTA] = -25; /* the only one that may be below 0 */
        u->source[USAGE_PIDS_CURRENT] = USAGE_UNKNOWN;
        u->source[USAGE_CPU_THROTTLED] = USAGE_UNKNOWN;
}

static TaskRow make_full_task(void)
{
        TaskRow t = make_task("ml_training_0123456789ab");
        t.subsystem = (char *)"ml";
        t.task_type = (char *)"training";
        t.title = (char *)"quote ' and \" and \xc3\xa9";
        t.description = (char *)"";
        t.created_by = (char *)"somebody";
        t.kind = TASK_KIND_REPORTED;
        t.output = TASK_OUTPUT_JOURNAL;
        t.owner_uid = 4294967294U;
        t.run_uid = 7;
        t.run_gid = 8;
        t.priority = 10;
        t.metadata = (char *)"{\"a\":[1,null]}";
        t.argv = (char *)"[\"true\",\"--\"]";
        t.cwd = (char *)"/";
        for (unsigned i = 0; i < sizeof(t.content_hash); i++)
                t.content_hash[i] = (uint8_t)(i * 7);
        for (unsigned i = 0; i < sizeof(t.boot_id); i++)
                t.boot_id[i] = (uint8_t)(255 - i);
        t.status = TASK_FAILED;
        t.outcome = TASK_OUTCOME_CORE_DUMP;
        t.message = (char *)"dumped core";
        t.attempt = 2;
        t.attempts = 3;
        t.has_backend = true;
        t.backend = RECORD_BACKEND_PROCESS;
        t.cgroup = (char *)"reeve.pool/tasks/7/x.2";
        t.pid = 4242;
        t.has_exit = true;
        t.exit_signal = 11;
        t.cancel_requested = true;
        t.has_sla = t.sla_owner_may_extend = t.has_sla_met = t.sla_met = t.has_sla_margin = true;
        t.sla_span_usec = 3600 * USEC_PER_SEC;
        t.sla_deadline_realtime = t.created_realtime + t.sla_span_usec;
        t.sla_deadline_boottime = -5;
        t.sla_margin_usec = -1234567;
        memset(t.sla_boot_id, 0xab, sizeof(t.sla_boot_id));
        t.ladder = (char *)"[{\"do\":\"deadline\",\"at_percent\":100.0,\"state\":\"done\"}]";
        t.held = true;
        t.after = (char *)"a,b";
        t.unique_key = (char *)"nightly";
        t.not_before_realtime = t.created_realtime + 7;
        t.not_before_boottime = t.created_boottime + 7;
        t.has_progress = true;
        t.progress = 0.75;
        t.progress_message = (char *)"three quarters";
        t.heartbeat_usec = 30000000;
        t.ml_metrics = (char *)"{\"epochs_completed\":3}";
        t.has_ml[TASK_ML_EPOCHS_COMPLETED] = true;
        t.ml[TASK_ML_EPOCHS_COMPLETED] = 3;
        t.result_metadata = (char *)"{\"where\":\"here\"}";
        t.has_result = true;
        t.result_hash[31] = 1;
        t.word = REPORTED_NOT_VERIFIED;
        t.reporter_identity = 0x123456789;
        t.started_realtime = t.created_realtime + 5;
        t.started_boottime = t.created_boottime + 5;
        t.completed_realtime = t.started_realtime + 1234567891;
        t.duration_usec = 1234567891;
        t.verify_commands = 2;
        t.verification = VERIFICATION_FAILED;
        t.verification_passes = 3;
        t.verification_failures = 4;
        fill_usage(&t.usage);
        return t;
}

static void test_task_round_trip(void **state)
{
        Fixture *f = *state;
        TaskRow full = make_full_task(), bare = make_task("bare");

        fixture_open(f);
        fixture_insert(f, &full);
        fixture_insert(f, &bare);

        TaskRow *got = fixture_get(f, full.task_id);
        assert_non_null(got);
        assert_task(got, &full);
        assert_true(got->seq > 0);
        task_row_free(got);

        got = fixture_get(f, "bare");
        assert_non_null(got);
        assert_task(got, &bare);
        task_row_free(got);

        assert_null(fixture_get(f, "nobody"));
        assert_int_equal(
                        fixture_ask(f, "SELECT memory_mb IS NULL FROM task_registry WHERE task_id = 'bare'"),
                        1);
}

static void test_update(void **state)
{
        Fixture *f = *state;
        TaskRow t = make_task("changing");
        Written written = {};

        fixture_open(f);
        fixture_insert(f, &t);

        TaskRow full = make_full_task();
        full.task_id = t.task_id;
        full.subsystem = t.subsystem;
        full.task_type = t.task_type;
        full.created_by = t.created_by;
        full.kind = t.kind;
        full.output = t.output;
        full.owner_uid = t.owner_uid;
        full.run_uid = t.run_uid;
        full.run_gid = t.run_gid;
        full.argv = t.argv;
        full.cwd = t.cwd;
        full.verify_commands = t.verify_commands;
        memcpy(full.content_hash, t.content_hash, sizeof(t.content_hash));
        full.exit_signal = 0;
        full.exit_status = 3;
        full.outcome = TASK_OUTCOME_EXIT_CODE;

        StoreWrite *w = store_write_new(f->store, 0, on_written, &written);
        assert_int_equal(store_write_update_task(w, &full), 0);
        fixture_commit(f, w, &written);

        TaskRow *got = fixture_get(f, "changing");
        assert_task(got, &full);
        task_row_free(got);

        /* What is not there cannot be updated. */
        written = (Written){};
        full.task_id = (char *)"nobody";
        w = store_write_new(f->store, 0, on_written, &written);
        store_write_update_task(w, &full);
        assert_int_equal(store_write_submit(w), 0);
        fixture_wait(f, &written.done, "a refusal");
        assert_int_equal(written.code, REEVE_ERROR_NO_SUCH_TASK);
}

typedef struct Snapshots {
        bool done;
        SnapshotRow rows[8];
        size_t n;
} Snapshots;

static void on_snapshots(const ReeveError *error, const SnapshotRow *rows, size_t n, void *userdata)
{
        Snapshots *s = userdata;

        assert_null(error);
        assert_true(n <= ELEMENTSOF(s->rows));
        if (n > 0)
                memcpy(s->rows, rows, n * sizeof(*rows));
        s->n = n;
        s->done = true;
}

static void test_attempts_and_snapshots(void **state)
{
        Fixture *f = *state;
        TaskRow t = make_task("t");
        Written written = {};
        AttemptRow a = { .task_id = (char *)"t",
                         .attempt = 1,
                         .backend = RECORD_BACKEND_CGROUP,
                         .cgroup = (char *)"c",
                         .pid = 10,
                         .started_realtime = 5 };
        SnapshotRow s = { .attempt = 1 };

        fixture_open(f);
        fill_usage(&s.usage);
        StoreWrite *w = store_write_new(f->store, 0, on_written, &written);
        assert_int_equal(store_write_insert_task(w, &t), 0);
        assert_int_equal(store_write_attempt(w, &a), 0);
        for (unsigned i = 0; i < 5; i++) {
                s.taken_realtime = 100 + i;
                s.elapsed_usec = i;
                assert_int_equal(store_write_snapshot(w, "t", &s), 0);
        }
        a.ended_realtime = 9;
        a.exit_kind = RECORD_EXIT_EXITED;
        a.exit_value = 3;
        a.flags = RECORD_FLAG_REAPED;
        fill_usage(&a.usage);
        assert_int_equal(store_write_attempt(w, &a), 0); /* replaces */
        fixture_commit(f, w, &written);

        assert_int_equal(fixture_ask(f, "SELECT count(*) FROM task_attempts"), 1);
        assert_int_equal(fixture_ask(f, "SELECT ended_at FROM task_attempts WHERE task_id = 't' AND attempt "
                                        "= 1"),
                         9);
        assert_int_equal(fixture_ask(f, "SELECT exit_value FROM task_attempts"), 3);
        assert_int_equal(fixture_ask(f, "SELECT keeper_pid IS NULL FROM task_attempts"), 1);
        assert_int_equal(fixture_ask(f, "SELECT cpu_usec FROM task_attempts"), 1);

        Snapshots got = {};
        assert_int_equal(store_snapshots(f->store, "t", 3, on_snapshots, &got), 0);
        fixture_wait(f, &got.done, "snapshots");
        assert_int_equal(got.n, 3);
        for (unsigned i = 0; i < 3; i++) {
                assert_int_equal(got.rows[i].taken_realtime, 102 + i);
                assert_int_equal(got.rows[i].elapsed_usec, 2 + i);
                assert_int_equal(got.rows[i].attempt, 1);
                assert_usage(&got.rows[i].usage, &s.usage);
        }
        got = (Snapshots){};
        assert_int_equal(store_snapshots(f->store, "nobody", 0, on_snapshots, &got), 0);
        fixture_wait(f, &got.done, "no snapshots");
        assert_int_equal(got.n, 0);
}

static void on_verifications(const ReeveError *error, const VerificationRow *rows, size_t n, void *userdata)
{
        bool *done = userdata;

        assert_null(error);
        assert_int_equal(n, 2);
        assert_int_equal(rows[0].rule, 1);
        assert_text(rows[0].task_id, "t", "task_id");
        assert_text(rows[0].name, "second", "name");
        assert_text(rows[0].kind, "metric", "kind");
        assert_text(rows[0].evidence, "{}", "evidence");
        assert_null(rows[0].usage);
        assert_false(rows[0].passed);
        assert_int_equal(rows[1].rule, 3);
        assert_int_equal(rows[1].attempt, 1);
        assert_true(rows[1].passed);
        assert_int_equal(rows[1].ended_realtime, 9);
        assert_int_equal(rows[1].duration_usec, 7);
        assert_int_equal(rows[0].cpu_usec, -1);
        assert_int_equal(rows[1].cpu_usec, 5);
        assert_text(rows[1].usage, "{\"usage\":{\"cpu_usec\":5}}", "usage");
        *done = true;
}

static void on_no_verifications(const ReeveError *error, const VerificationRow *rows, size_t n,
                                void *userdata)
{
        bool *done = userdata;

        assert_null(error);
        assert_int_equal(n, 0);
        *done = true;
}

static void test_verifications(void **state)
{
        Fixture *f = *state;
        Written written = {};
        VerificationRow v = { .task_id = (char *)"t",
                              .attempt = 1,
                              .rule = 3,
                              .name = (char *)"first",
                              .kind = (char *)"command",
                              .passed = true,
                              .evidence = (char *)"{\"exit_status\":0}",
                              .ended_realtime = 9,
                              .duration_usec = 7,
                              .usage = (char *)"{\"usage\":{\"cpu_usec\":5}}",
                              .cpu_usec = 5 };
        VerificationRow w2 = { .task_id = (char *)"t",
                               .attempt = 1,
                               .rule = 1,
                               .name = (char *)"second",
                               .kind = (char *)"metric",
                               .evidence = (char *)"{}",
                               .ended_realtime = 8,
                               .cpu_usec = -1 };
        bool done = false;

        fixture_open(f);
        StoreWrite *w = store_write_new(f->store, 0, on_written, &written);
        assert_int_equal(store_write_verification(w, &v), 0);
        assert_int_equal(store_write_verification(w, &w2), 0);
        v.passed = false; /* the first result stays */
        assert_int_equal(store_write_verification(w, &v), 0);
        fixture_commit(f, w, &written);

        assert_int_equal(store_verifications(f->store, "t", on_verifications, &done), 0);
        fixture_wait(f, &done, "verifications");
        done = false;
        assert_int_equal(store_verifications(f->store, "nobody", on_no_verifications, &done), 0);
        fixture_wait(f, &done, "no verifications");
        assert_int_equal(fixture_ask(f, "SELECT cpu_usec FROM task_verifications WHERE rule = 3"), 5);
        assert_int_equal(fixture_ask(f, "SELECT count(*) FROM task_verifications WHERE cpu_usec IS NULL"),
                         1);

        /* What no version writes is refused. */
        written = (Written){};
        v.rule = 4;
        v.kind = (char *)"guess";
        w = store_write_new(f->store, 0, on_written, &written);
        assert_int_equal(store_write_verification(w, &v), 0);
        assert_int_equal(store_write_submit(w), 0);
        fixture_wait(f, &written.done, "a refusal");
        assert_int_not_equal(written.code, REEVE_ERROR_NONE);
}

static void test_large_rows(void **state)
{
        Fixture *f = *state;
        TaskRow t = make_task("large");
        char *metadata = malloc(TASK_METADATA_MAX + 1);

        fixture_open(f);
        memset(metadata, 'x', TASK_METADATA_MAX);
        metadata[TASK_METADATA_MAX] = '\0';
        t.metadata = metadata;
        fixture_insert(f, &t);
        TaskRow *got = fixture_get(f, "large");
        assert_string_equal(got->metadata, metadata);
        task_row_free(got);
        free(metadata);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, fixture_setup, fixture_teardown)
        const struct CMUnitTest tests[] = {
                TEST(test_task_round_trip), TEST(test_update),     TEST(test_attempts_and_snapshots),
                TEST(test_verifications),   TEST(test_large_rows),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
