/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The states of a verification, and rules: what they ask of a program, and how figures are judged. */

#include "daemon/verify/verification.h"

#include <string.h>

#include "basic/strings.h"
#include "common/json/json.h"
#include "daemon/model/task-metric.h"
#include "daemon/verify/rule.h"
#include "tests/unit/test.h"

/* ---- states ---- */

static void test_table(void **state _unused_)
{
        const char *complaint = sm_check(rule_state_table());
        if (complaint)
                fail_msg("%s", complaint);
}

static void test_all_the_way(void **state _unused_)
{
        _cleanup_(verification_freep) Verification *v = verification_new(3, 2);

        assert_int_equal(verification_n_rules(v), 3);
        assert_int_equal(verification_next(v), 0);
        verification_move(v, 0, RULE_STARTING);
        assert_int_equal(verification_next(v), 1);
        verification_move(v, 1, RULE_STARTING);
        assert_int_equal(verification_next(v), -1); /* two are out */
        verification_move(v, 0, RULE_RUNNING);
        verification_move(v, 0, RULE_READING);
        assert_int_equal(verification_n_out(v), 2);
        verification_move(v, 0, RULE_PASSED);
        assert_int_equal(verification_next(v), 2);
        verification_move(v, 1, RULE_WAITING); /* the launcher was away */
        assert_int_equal(verification_next(v), 1);
        verification_move(v, 1, RULE_STARTING);
        verification_move(v, 1, RULE_READING);
        verification_move(v, 1, RULE_FAILED);
        assert_false(verification_is_over(v));
        verification_move(v, 2, RULE_PASSED);
        assert_true(verification_is_over(v));
        assert_int_equal(verification_next(v), -1);
        assert_int_equal(verification_n_passed(v), 2);
        assert_int_equal(verification_n_failed(v), 1);
        assert_int_equal(verification_n_out(v), 0);
}

static void test_no_rules(void **state _unused_)
{
        _cleanup_(verification_freep) Verification *v = verification_new(0, 1);

        assert_true(verification_is_over(v));
        assert_int_equal(verification_next(v), -1);
}

static void test_final_is_final(void **state _unused_)
{
        for (unsigned to = 0; to < _RULE_STATE_MAX; to++) {
                assert_false(sm_may(rule_state_table(), RULE_PASSED, to));
                assert_false(sm_may(rule_state_table(), RULE_FAILED, to));
                assert_false(to != RULE_READING && to < RULE_PASSED &&
                             sm_may(rule_state_table(), RULE_RUNNING, to));
        }
}

/* ---- programs ---- */

static void expect_argv(const VerifyRule *r, const char *expected)
{
        _cleanup_(strv_freep) char **argv = verify_rule_argv(r, 1234);
        _cleanup_buffer_ Buffer b = { 0 };

        assert_non_null(argv);
        for (char **a = argv; *a; a++)
                assert_int_equal(buffer_printf(&b, "%s[%s]", a == argv ? "" : " ", *a), 0);
        if (strcmp(b.data ?: "", expected) != 0)
                fail_msg("expected %s, got %s", expected, b.data ?: "");
}

static void test_argv(void **state _unused_)
{
        const char *const command[] = { "/etc/reeve/checks/port-free", "80 00", "", NULL };
        const VerifyRule full = { .kind = VERIFY_FILE,
                                  .path = "--min-bytes=7",
                                  .has_min_bytes = true,
                                  .min_bytes = 1,
                                  .has_max_bytes = true,
                                  .max_bytes = UINT64_MAX,
                                  .newer_than_start = true,
                                  .sha256 = "abc",
                                  .matches = "^a b$" };

        expect_argv(&(VerifyRule){ .kind = VERIFY_COMMAND, .command = command },
                    "[/etc/reeve/checks/port-free] [80 00] []");
        expect_argv(&(VerifyRule){ .kind = VERIFY_COMMAND, .authored = 2 }, "");
        expect_argv(&(VerifyRule){ .kind = VERIFY_OUTPUT, .matches = "x" },
                    "[reeve-check] [output] [--matches=x]");
        expect_argv(&(VerifyRule){ .kind = VERIFY_FILE, .path = "x" }, "[reeve-check] [file] [--] [x]");
        expect_argv(&full, "[reeve-check] [file] [--min-bytes=1] [--max-bytes=18446744073709551615] "
                           "[--newer-than=1234] [--sha256=abc] [--matches=^a b$] [--] [--min-bytes=7]");
        for (int k = 0; k < _VERIFY_KIND_MAX; k++)
                assert_non_null(verify_kind_name((VerifyKind)k));
}

/* ---- figures ---- */

static void expect(const VerifyRule *r, const TaskRow *t, int reported, int passes, const char *why)
{
        _cleanup_json_ json_t *evidence = NULL;

        int k = verify_rule_judge(r, t, reported, &evidence);
        const char *said = k >= 0 ? json_get_string(evidence, "why") : NULL;
        if (k != passes || !said != !why || (why && !strstr(said, why)))
                fail_msg("%s %s: expected %d because '%s', got %d because '%s'", verify_kind_name(r->kind),
                         r->metric ?: "", passes, why ?: "", k, said ?: "");
}

static TaskRow make_row(void)
{
        TaskRow t = { .started_realtime = 1, .duration_usec = 2500000, .has_exit = true, .exit_status = 3 };

        usage_set(&t.usage, USAGE_CPU, 1500000, USAGE_KERNEL_FINAL);
        usage_set(&t.usage, USAGE_IO_READ, 3 * 1024 * 1024, USAGE_KERNEL_FINAL);
        usage_set(&t.usage, USAGE_OOM_KILLS, 0, USAGE_KERNEL_FINAL);
        return t;
}

static VerifyRule between(const char *metric, double min, double max)
{
        return (VerifyRule){ .kind = VERIFY_METRIC,
                             .metric = metric,
                             .has_min = true,
                             .min = min,
                             .has_max = true,
                             .max = max };
}

static void test_metric(void **state _unused_)
{
        const struct {
                const char *metric;
                double value;
        } known[] = {
                { "duration_seconds", 2.5 }, { "cpu_seconds", 1.5 },
                { "cpu_usec", 1500000 },     { "disk_mb", 3 },
                { "oom_kills", 0 },          { "disk_read_mb", 3 },
                { "vectors_processed", 7 },  { "ml.vectors_processed", 7 },
                { "ml.val/top-5@1:a", 0.5 },
        };
        static const char *const unknown[] = {
                "memory_mb",        "network_mb",       "memory_peak_bytes",
                "io_write_bytes",   "memory_peak_mb",   "disk_write_mb",
                "network_rx_mb",    "storage_delta_mb", "cpu_user_seconds",
                "epochs_completed", "ml.accuracy",      "ml.",
                "nonsense",         "accuracy",         "",
        };
        TaskRow t = make_row();

        t.ml_metrics = (char[]){
                "{\"vectors_processed\": 7, \"val/top-5@1:a\": 0.5, \"accuracy\": \"good\"}"
        };
        t.has_ml[TASK_ML_VECTORS_PROCESSED] = true;
        t.ml[TASK_ML_VECTORS_PROCESSED] = 7;

        for (size_t i = 0; i < ELEMENTSOF(known); i++) {
                double v = known[i].value;
                VerifyRule exact = between(known[i].metric, v, v),
                           above = between(known[i].metric, v + 0.5, v + 1),
                           below = between(known[i].metric, v - 1, v - 0.5);
                expect(&exact, &t, -1, 1, NULL);
                expect(&above, &t, -1, 0, "less");
                expect(&below, &t, -1, 0, "more");
        }
        for (size_t i = 0; i < ELEMENTSOF(unknown); i++) {
                VerifyRule any = { .kind = VERIFY_METRIC, .metric = unknown[i] };
                expect(&any, &t, -1, 0, "not known");
        }
        for (size_t i = 0; i < ELEMENTSOF(known); i++)
                if (!task_metric_exists(known[i].metric))
                        fail_msg("a policy may not name '%s', which can be judged", known[i].metric);
        for (size_t i = 0; i < ELEMENTSOF(unknown); i++)
                if (task_metric_exists(unknown[i]) != (i < ELEMENTSOF(unknown) - 4))
                        fail_msg("may a policy name '%s'?", unknown[i]);
        t.started_realtime = 0;
        VerifyRule duration = { .kind = VERIFY_METRIC, .metric = "duration_seconds" };
        expect(&duration, &t, -1, 0, "not known");
}

static void test_exit_status(void **state _unused_)
{
        const int two[] = { 1, 3 };
        const VerifyRule listed = { .kind = VERIFY_EXIT_STATUS, .exit_statuses = two, .n_exit_statuses = 2 },
                         zero = { .kind = VERIFY_EXIT_STATUS };
        TaskRow t = make_row();

        expect(&listed, &t, -1, 1, NULL);
        expect(&zero, &t, -1, 0, "another");
        t.exit_status = 0;
        expect(&listed, &t, -1, 0, "another");
        expect(&zero, &t, -1, 1, NULL);
        t.exit_signal = 9;
        expect(&zero, &t, -1, 0, "did not exit");
        t.has_exit = false;
        t.exit_signal = 0;
        expect(&zero, &t, -1, 0, "did not exit");
}

static void test_reported(void **state _unused_)
{
        const VerifyRule r = { .kind = VERIFY_REPORTED },
                         insufficient = { .kind = VERIFY_REPORTED, .insufficient = true };
        TaskRow t = make_row();

        expect(&r, &t, 1, 1, NULL);
        expect(&r, &t, 0, 0, "was not");
        expect(&r, &t, -1, 0, "nobody reported");
        expect(&insufficient, &t, 1, 0, "not accept");
        expect(&insufficient, &t, 0, 0, "was not");
        expect(&insufficient, &t, -1, 0, "nobody reported");
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_table),       cmocka_unit_test(test_all_the_way),
                cmocka_unit_test(test_no_rules),    cmocka_unit_test(test_final_is_final),
                cmocka_unit_test(test_argv),        cmocka_unit_test(test_metric),
                cmocka_unit_test(test_exit_status), cmocka_unit_test(test_reported),
        };

        return cmocka_run_group_tests_name("daemon-verification", tests, NULL, NULL);
}
