/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The examples of config/policy.d: each loads, and says of its subsystem what its comments promise. */

#include <signal.h>
#include <string.h>

#include "basic/strings.h"
#include "daemon/policy/policy.h"
#include "tests/unit/test.h"

#define EXAMPLES SOURCE_ROOT "/config/policy.d"

#define MIN_USEC  USEC_PER_MINUTE
#define HOUR_USEC USEC_PER_HOUR

/* What applies to a task of root's, with all examples in force. */
static TaskPolicy *resolve(Policy *p, const char *subsystem, const char *type, const char *title,
                           const char *by)
{
        PolicyQuery q = {
                .subsystem = subsystem, .task_type = type, .title = title, .created_by = by, .launched = true
        };
        ReeveError e = REEVE_ERROR_NULL;
        TaskPolicy *t = NULL;

        assert_ok(policy_resolve(p, &q, &t, &e), e);
        return t;
}

static Policy *load(void)
{
        ReeveError e = REEVE_ERROR_NULL;
        Policy *p = NULL;

        assert_ok(policy_load(EXAMPLES, &p, &e), e);
        return p;
}

static void expect_limit(const TaskPolicy *t, const char *name, const char *expected)
{
        for (size_t i = 0; i < t->n_limits; i++)
                if (streq(t->limits[i].name, name)) {
                        assert_string_equal(t->limits[i].value, expected);
                        return;
                }
        fail_msg("there is no %s", name);
}

static void expect_step(const PolicyStep *steps, size_t n, size_t i, PolicyStep expected)
{
        if (i >= n)
                fail_msg("there are %zu steps, not %zu", n, i + 1);
        assert_int_equal(steps[i].what, expected.what);
        assert_int_equal(steps[i].at_permyriad, expected.at_permyriad);
        assert_int_equal(steps[i].after_usec, expected.after_usec);
        assert_int_equal(steps[i].signal, expected.signal);
        assert_true(streq_null(steps[i].hook, expected.hook));
}

/* Who is in no group of the example's. */
static void expect_denied(Policy *p, const char *subsystem)
{
        PolicyQuery q = { .subsystem = subsystem, .task_type = "any", .uid = 54321 };
        ReeveError e = REEVE_ERROR_NULL;
        TaskPolicy *t = NULL;

        assert_error(policy_resolve(p, &q, &t, &e), e, REEVE_ERROR_PERMISSION_DENIED, "subsystem");
}

static void test_each_by_itself(void **state _unused_)
{
        _cleanup_(policy_unrefp) Policy *p = load();
        const char *const *files;

        size_t n = policy_files(p, &files);
        assert_int_equal(n, 7);
        for (size_t i = 0; i < n; i++) {
                _cleanup_free_ char *path = string_printf("%s/%s", EXAMPLES, files[i]);
                ReeveError e = REEVE_ERROR_NULL;
                _cleanup_(policy_unrefp) Policy *alone = NULL;
                assert_ok(policy_check_file(path, &alone, &e), e);
                assert_non_null(alone);
        }
}

static void test_healing(void **state _unused_)
{
        _cleanup_(policy_unrefp) Policy *p = load();
        _cleanup_(task_policy_unrefp) TaskPolicy *t =
                        resolve(p, "healing", "playbook", "Playbook: clean /tmp", NULL);
        _cleanup_(task_policy_unrefp) TaskPolicy *u =
                        resolve(p, "healing", "playbook", "Playbook: restart web", NULL);

        assert_int_equal(t->subsystem_max_parallel, 4);
        assert_int_equal(t->priority, 7);
        expect_limit(t, "MemoryMax", "536870912");
        expect_limit(t, "CPUQuota", "20000");
        assert_true(t->sla.forecast_p95_factor == 2.0 && t->sla.relative_usec == 15 * MIN_USEC);
        assert_int_equal(t->sla.n_steps, 4);
        expect_step(t->sla.steps, 4, 1,
                    (PolicyStep){ .what = POLICY_STEP_ESCALATE,
                                  .at_permyriad = 10000,
                                  .hook = "/etc/reeve/hooks/page" });
        expect_step(t->sla.steps, 4, 3,
                    (PolicyStep){ .what = POLICY_STEP_KILL,
                                  .at_permyriad = 10000,
                                  .after_usec = 40 * USEC_PER_SEC });
        assert_true(t->verification.required);
        assert_int_equal(t->verification.n_rules, 3);
        assert_int_equal(t->retry.attempts, 3);
        assert_true(u->sla.forecast_p95_factor == 0.0 && u->sla.relative_usec == 30 * MIN_USEC);
        assert_int_equal(u->retry.attempts, 1);
        assert_int_equal(u->sla.n_steps, 4);
        expect_denied(p, "healing");
}

static void test_coding_agent(void **state _unused_)
{
        _cleanup_(policy_unrefp) Policy *p = load();
        _cleanup_(task_policy_unrefp) TaskPolicy *t = resolve(p, "coding_agent", "edit", NULL, NULL);
        _cleanup_(task_policy_unrefp) TaskPolicy *u = resolve(p, "coding_agent", "build", NULL, NULL);

        expect_limit(t, "MemoryMax", "2147483648");
        expect_limit(t, "MemoryHigh", "6442450944");
        expect_limit(t, "TasksMax", "128");
        expect_limit(u, "TasksMax", "1024");
        assert_int_equal(t->sla.relative_usec, 30 * MIN_USEC);
        assert_int_equal(u->sla.relative_usec, HOUR_USEC);
        assert_int_equal(t->stuck.idle_for_usec, 20 * MIN_USEC);
        expect_step(t->stuck.steps, t->stuck.n_steps, 1,
                    (PolicyStep){ .what = POLICY_STEP_FREEZE, .after_usec = 10 * MIN_USEC });
        assert_false(t->verification.required);
        assert_true(u->verification.required);
        assert_string_equal(u->verification.rules[1].path, "build/result.json");
}

static void test_learning(void **state _unused_)
{
        _cleanup_(policy_unrefp) Policy *p = load();
        _cleanup_(task_policy_unrefp) TaskPolicy *t = resolve(p, "learning", "mission", NULL, NULL);

        assert_int_equal(t->priority, 3);
        assert_int_equal(t->priority_max, 5);
        assert_int_equal(t->sla.from, POLICY_FROM_STARTED);
        assert_int_equal(t->sla.relative_usec, 12 * HOUR_USEC);
        expect_step(t->sla.steps, t->sla.n_steps, 2,
                    (PolicyStep){ .what = POLICY_STEP_KILL, .at_permyriad = 15000 });
        assert_string_equal(t->verification.rules[0].metric, "ml.new_facts");
        assert_int_equal(t->verification.n_rules, 1);
        assert_int_equal(t->retry.on, 1U << TASK_OUTCOME_OOM | 1U << TASK_OUTCOME_SIGNAL);
        assert_int_equal(t->sampling.min_usec, 10 * USEC_PER_SEC);
        assert_int_equal(t->retention.output_usec, 90 * USEC_PER_DAY);
}

static void test_ml_pipeline(void **state _unused_)
{
        _cleanup_(policy_unrefp) Policy *p = load();
        _cleanup_(task_policy_unrefp) TaskPolicy *t = resolve(p, "ml_pipeline", "train", NULL, NULL);
        _cleanup_(task_policy_unrefp) TaskPolicy *u = resolve(p, "ml_pipeline", "evaluate", NULL, NULL);

        assert_int_equal(t->max_parallel, 1);
        assert_int_equal(t->subsystem_max_parallel, 3);
        expect_limit(t, "CPUQuota", "80000");
        expect_limit(t, "MemorySwapMax", "0");
        expect_limit(u, "MemoryMax", "8589934592");
        expect_step(t->sla.steps, t->sla.n_steps, 1,
                    (PolicyStep){ .what = POLICY_STEP_SIGNAL, .at_permyriad = 12000, .signal = SIGUSR1 });
        assert_false(t->verification.accepts_reported);
        assert_true(t->verification.rules[0].min == 0.8);
        assert_int_equal(t->verification.rules[1].min_bytes, 1 << 20);
        assert_true(t->anomaly.factor == 2.5 && t->anomaly.min_samples == 10);
        assert_int_equal(u->sla.relative_usec, 2 * HOUR_USEC);
}

static void test_rag(void **state _unused_)
{
        _cleanup_(policy_unrefp) Policy *p = load();
        _cleanup_(task_policy_unrefp) TaskPolicy *t = resolve(p, "rag", "index", NULL, NULL);
        _cleanup_(task_policy_unrefp) TaskPolicy *u = resolve(p, "rag", "query", NULL, NULL);

        assert_int_equal(t->priority, 2);
        assert_int_equal(u->priority, 8);
        assert_int_equal(t->max_parallel, 2);
        assert_int_equal(u->max_parallel, 4);
        expect_limit(t, "IOWeight", "20");
        assert_int_equal(t->retry.attempts, 5);
        _cleanup_(task_policy_unrefp) TaskPolicy *v = resolve(p, "rag", "crawl", NULL, NULL);
        assert_int_equal(v->verification.rules[0].exit_statuses[1], 3);
        assert_int_equal(u->sla.relative_usec, 30 * USEC_PER_SEC);
        expect_step(u->sla.steps, u->sla.n_steps, 0,
                    (PolicyStep){ .what = POLICY_STEP_KILL, .at_permyriad = 10000 });
}

static void test_remote_access(void **state _unused_)
{
        _cleanup_(policy_unrefp) Policy *p = load();
        _cleanup_(task_policy_unrefp) TaskPolicy *t = resolve(p, "remote_access", "shell", NULL, "alice");
        _cleanup_(task_policy_unrefp) TaskPolicy *u =
                        resolve(p, "remote_access", "shell", NULL, "oncall-bob");
        PolicyQuery q = { .subsystem = "remote_access", .task_type = "shell", .sla = "1h" };
        ReeveError e = REEVE_ERROR_NULL;
        TaskPolicy *none = NULL;

        assert_int_equal(t->sla.relative_usec, 8 * HOUR_USEC);
        assert_int_equal(u->sla.relative_usec, 24 * HOUR_USEC);
        expect_limit(t, "MemoryMax", "1073741824");
        expect_limit(u, "MemoryMax", "4294967296");
        expect_step(t->stuck.steps, t->stuck.n_steps, 0,
                    (PolicyStep){ .what = POLICY_STEP_ESCALATE, .hook = "/etc/reeve/hooks/page" });
        assert_error(policy_resolve(p, &q, &none, &e), e, REEVE_ERROR_POLICY_VIOLATION, "sla");
        expect_denied(p, "remote_access");
}

static void test_chaos(void **state _unused_)
{
        _cleanup_(policy_unrefp) Policy *p = load();
        _cleanup_(task_policy_unrefp) TaskPolicy *t = resolve(p, "chaos", "fill_memory", NULL, NULL);
        _cleanup_(task_policy_unrefp) TaskPolicy *u =
                        resolve(p, "chaos", "delay_network", "for production web", NULL);

        assert_int_equal(t->subsystem_max_parallel, 1);
        assert_int_equal(t->retry.attempts, 1);
        expect_limit(t, "MemoryMax", "2147483648");
        expect_step(t->sla.steps, t->sla.n_steps, 1,
                    (PolicyStep){ .what = POLICY_STEP_KILL,
                                  .at_permyriad = 10000,
                                  .hook = "/etc/reeve/hooks/restore" });
        assert_int_equal(u->sla.relative_usec, 2 * MIN_USEC);
        assert_int_equal(u->priority, 1);
        assert_string_equal(t->verification.rules[0].matches, "^restored$");
        _cleanup_(task_policy_unrefp) TaskPolicy *v = resolve(p, "chaos", "campaign", NULL, NULL);
        assert_int_equal(v->verification.n_rules, 1);
        assert_int_equal(v->verification.rules[0].kind, POLICY_RULE_REPORTED);
        expect_denied(p, "chaos");
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_each_by_itself), cmocka_unit_test(test_healing),
                cmocka_unit_test(test_coding_agent),   cmocka_unit_test(test_learning),
                cmocka_unit_test(test_ml_pipeline),    cmocka_unit_test(test_rag),
                cmocka_unit_test(test_remote_access),  cmocka_unit_test(test_chaos),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
