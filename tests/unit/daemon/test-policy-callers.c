/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Callers: what they may ask for, by `overrides`, and who may ask at all, by `allow`. */

#include "tests/unit/daemon/policy-fixture.h"

static const char asked[] = "version: 1\n"
                            "defaults:\n"
                            "  priority_max: 8\n"
                            "  priority: 6\n"
                            "  backend: cgroup\n"
                            "  sla: {deadline: 1h}\n"
                            "  retry: {attempts: 3}\n"
                            "  limits: {MemoryMax: 1G, AllowedCPUs: 0-3, IOReadBandwidthMax: 8:0 1M}\n"
                            "subsystems:\n"
                            "  open: {overrides: allow}\n"
                            "  closed: {overrides: deny}\n"
                            "  mixed: {overrides: {priority: allow, sla: deny}}\n";

static void test_priority_and_backend(void **state _unused_)
{
        _cleanup_(policy_unrefp) Policy *p = parse(asked);
        PolicyQuery q = query("s", "t", NULL);

        q.priority = 4;
        q.backend = "cgroup";
        _cleanup_(task_policy_unrefp) TaskPolicy *t = resolve(p, &q);
        assert_int_equal(t->priority, 4);

        q.priority = 7;
        expect_refused(p, &q, REEVE_ERROR_POLICY_VIOLATION, "priority",
                       "as strict as what test.yaml line 4 sets");
        q.priority = 9;
        expect_refused(p, &q, REEVE_ERROR_POLICY_VIOLATION, "priority",
                       "above 8, the most that test.yaml line 3");
        q.priority = 0;
        q.backend = "scope";
        expect_refused(p, &q, REEVE_ERROR_POLICY_VIOLATION, "backend", "test.yaml line 5");

        q.subsystem = "open";
        q.priority = 8;
        _cleanup_(task_policy_unrefp) TaskPolicy *u = resolve(p, &q);
        assert_int_equal(u->priority, 8);
        assert_string_equal(u->backend, "scope");
        q.priority = 9;
        expect_refused(p, &q, REEVE_ERROR_POLICY_VIOLATION, "priority", "above 8");

        q.subsystem = "closed";
        q.priority = 1;
        q.backend = NULL;
        expect_refused(p, &q, REEVE_ERROR_POLICY_VIOLATION, "priority", "does not let callers choose");
        q.subsystem = "mixed";
        q.priority = 8;
        _cleanup_(task_policy_unrefp) TaskPolicy *v = resolve(p, &q);
        assert_int_equal(v->priority, 8);
}

static void test_sla(void **state _unused_)
{
        static const char *const later[] = { "2h", "infinity", "forecast_p95 * 2", "2030-01-01 00:00" };
        _cleanup_(policy_unrefp) Policy *p = parse(asked);
        PolicyQuery q = query("s", "t", NULL);

        q.sla = "1h";
        _cleanup_(task_policy_unrefp) TaskPolicy *t = resolve(p, &q);
        assert_int_equal(t->sla.relative_usec, USEC_PER_HOUR);
        for (size_t i = 0; i < ELEMENTSOF(later); i++) {
                q.subsystem = "s";
                q.sla = later[i];
                expect_refused(p, &q, REEVE_ERROR_POLICY_VIOLATION, "sla", "test.yaml line 6");
                q.subsystem = "open";
                _cleanup_(task_policy_unrefp) TaskPolicy *u = resolve(p, &q);
                assert_int_equal(u->sla.has_deadline, !streq(later[i], "infinity"));
        }
        q.subsystem = "mixed";
        q.sla = "1s";
        expect_refused(p, &q, REEVE_ERROR_POLICY_VIOLATION, "sla", "does not let callers choose");
        q.sla = "whenever";
        expect_refused(p, &q, REEVE_ERROR_INVALID_ARGUMENT, "sla", "not 'whenever'");
}

static unsigned attempts_of(Policy *p, const char *subsystem, unsigned wanted)
{
        PolicyQuery q = query(subsystem, "t", NULL);

        q.attempts = wanted;
        _cleanup_(task_policy_unrefp) TaskPolicy *t = resolve(p, &q);
        return t->retry.attempts;
}

static void test_attempts(void **state _unused_)
{
        _cleanup_(policy_unrefp) Policy *p = parse(asked), *silent = parse("version: 1\n");

        assert_int_equal(attempts_of(p, "s", 0), 3);
        assert_int_equal(attempts_of(p, "s", 1), 1);
        assert_int_equal(attempts_of(p, "s", 2), 2);
        assert_int_equal(attempts_of(p, "s", 9), 3);
        assert_int_equal(attempts_of(p, "open", 9), 9);
        assert_int_equal(attempts_of(silent, "s", 0), 1);
        assert_int_equal(attempts_of(silent, "s", 9), 9);
        PolicyQuery q = query("closed", "t", NULL);
        for (q.attempts = 1; q.attempts <= 2; q.attempts++)
                expect_refused(p, &q, REEVE_ERROR_POLICY_VIOLATION, "attempts",
                               "does not let callers choose");
}

static void test_limits_of_callers(void **state _unused_)
{
        static const struct {
                const char *name, *value;
                bool stricter;
        } cases[] = {
                { "MemoryMax", "1073741824", true },
                { "MemoryMax", "1073741825", false },
                { "MemoryMax", "infinity", false },
                { "TasksMax", "infinity", true },
                { "AllowedCPUs", "0-3", true },
                { "AllowedCPUs", "0-1", false },
                { "IOReadBandwidthMax", "8:0 1000", true },
                { "IOReadBandwidthMax", "8:0 2000000", false },
                { "IOReadBandwidthMax", "8:16 2000000", true },
        };
        _cleanup_(policy_unrefp) Policy *p = parse(asked);

        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                PolicyLimit l = { cases[i].name, cases[i].value, { 0 } };
                PolicyQuery q = query("s", "t", NULL);
                q.limits = &l;
                q.n_limits = 1;
                if (cases[i].stricter) {
                        _cleanup_(task_policy_unrefp) TaskPolicy *t = resolve(p, &q);
                        assert_int_equal(t->n_limits, 3);
                } else
                        expect_refused(p, &q, REEVE_ERROR_POLICY_VIOLATION, cases[i].name,
                                       "test.yaml line 8");
                q.subsystem = "closed";
                expect_refused(p, &q, REEVE_ERROR_POLICY_VIOLATION, cases[i].name,
                               "does not let callers choose");
        }
        PolicyQuery other = query("closed", "t", NULL);
        other.other_limit = "LimitCORE";
        expect_refused(p, &other, REEVE_ERROR_POLICY_VIOLATION, "LimitCORE", "does not let callers choose");
        other.subsystem = "s";
        _cleanup_(task_policy_unrefp) TaskPolicy *taken = resolve(p, &other);
        assert_non_null(taken);
        PolicyLimit l = { "MemoryMax", "infinity", { 0 } };
        PolicyQuery q = query("open", "t", NULL);
        q.limits = &l;
        q.n_limits = 1;
        _cleanup_(task_policy_unrefp) TaskPolicy *t = resolve(p, &q);
        assert_string_equal(limit_of(t, "MemoryMax"), "none");
        assert_string_equal(limit_of(t, "AllowedCPUs"), "0-3");
}

static void test_allow(void **state _unused_)
{
        _cleanup_(policy_unrefp) Policy *p =
                        parse("version: 1\n"
                              "subsystems:\n"
                              "  s:\n"
                              "    allow: {users: [root, 1001], groups: [2000, no-such-group]}\n"
                              "    task_types:\n"
                              "      t: {allow: {users: [1002]}}\n");
        const gid_t groups[] = { 7, 2000 };
        PolicyQuery q = query("s", "u", NULL);

        for (uid_t uid = 0; uid < 1003; uid += 1001) { /* 0, 1001 */
                q.uid = uid;
                task_policy_unref(resolve(p, &q));
        }
        q.uid = 1003;
        expect_refused(p, &q, REEVE_ERROR_PERMISSION_DENIED, "subsystem",
                       "uid 1003 may not run 'u' tasks in subsystem 's': 'allow' in test.yaml line 4");
        q.groups = groups;
        q.n_groups = 1;
        expect_refused(p, &q, REEVE_ERROR_PERMISSION_DENIED, "subsystem", "test.yaml line 4");
        q.n_groups = 2;
        task_policy_unref(resolve(p, &q));

        q.task_type = "t";
        expect_refused(p, &q, REEVE_ERROR_PERMISSION_DENIED, "subsystem", "test.yaml line 6");
        q.ask = true;
        task_policy_unref(resolve(p, &q));
        q.ask = false;
        q.uid = 1002;
        task_policy_unref(resolve(p, &q));
        q.subsystem = "elsewhere";
        q.uid = 4711;
        task_policy_unref(resolve(p, &q));
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_priority_and_backend),
                cmocka_unit_test(test_sla),
                cmocka_unit_test(test_attempts),
                cmocka_unit_test(test_limits_of_callers),
                cmocka_unit_test(test_allow),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
