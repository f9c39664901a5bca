/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* What applies to a task: values, levels, cases, several files, and the way through JSON and back. */

#include <errno.h>
#include <ftw.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "basic/fd.h"
#include "basic/strings.h"
#include "daemon/policy/policy-internal.h"
#include "tests/unit/daemon/policy-fixture.h"

/* The example of the design. */
static const char design[] =
                "version: 1\n"
                "subsystems:\n"
                "  healing:\n"
                "    allow: {groups: [healers]}            # who may run or report here; default: "
                "everybody\n"
                "    max_parallel: 4                       # more wait as pending, by priority, then age\n"
                "    task_types:\n"
                "      playbook:\n"
                "        match: {title: \"Playbook: *\"}      # optional, glob\n"
                "        limits: {MemoryMax: 512M, TasksMax: 64, CPUQuota: 200%}\n"
                "        sla:\n"
                "          deadline: 1h                     # or forecast_p95 * 2\n"
                "          ladder:                          # each step is recorded, with its lateness\n"
                "            - {at: 80%, do: notify}\n"
                "            - {at: 100%, do: escalate, hook: /usr/lib/reeve/hooks/page}\n"
                "            - {at: 100%, after: 30s, do: signal, signal: SIGTERM}\n"
                "            - {at: 100%, after: 40s, do: kill}\n"
                "        verification:\n"
                "          required: true\n"
                "          rules:\n"
                "            - {name: port is free, command: [\"/usr/lib/reeve/checks/port-free\", "
                "\"8000\"], "
                "timeout: 30s}\n"
                "            - {name: wrote its report, file: /var/lib/x/report.json, min_bytes: 1, "
                "newer_than: "
                "start}\n"
                "            - {name: cheap enough, metric: cpu_seconds, max: 30}\n"
                "            - {name: good enough, metric: ml.validation_accuracy, min: 0.8}\n"
                "        retry: {attempts: 3, backoff: 5s, max_backoff: 1m, on: [exit-code, oom]}\n"
                "        stuck: {active_for: 2h, idle_for: 10m, spinning_for: 30m}\n"
                "        anomaly: {factor: 3, min_samples: 5}\n"
                "        sampling: {min: 1s, max: 5m}\n"
                "        retention: {snapshots: 30d, output: 30d, tasks: 400d}\n"
                "        hooks: {timeout: 10s}\n"
                "        reported: {heartbeat: 5min}\n";

static void expect_origin(const PolicyOrigin *o, const char *file, unsigned line)
{
        if (!streq(o->file, file) || o->line != line)
                fail_msg("expected %s line %u, got %s line %u", file, line, o->file, o->line);
}

/* ---- values ---- */

static void check_ladder(const PolicySla *sla)
{
        assert_int_equal(sla->n_steps, 4);
        assert_int_equal(sla->steps[0].what, POLICY_STEP_NOTIFY);
        assert_int_equal(sla->steps[0].at_permyriad, 8000);
        assert_int_equal(sla->steps[1].what, POLICY_STEP_ESCALATE);
        assert_string_equal(sla->steps[1].hook, "/usr/lib/reeve/hooks/page");
        assert_int_equal(sla->steps[2].signal, SIGTERM);
        assert_int_equal(sla->steps[2].after_usec, 30 * USEC_PER_SEC);
        assert_int_equal(sla->steps[3].what, POLICY_STEP_KILL);
        expect_origin(&sla->steps[3].origin, "test.yaml", 16);
}

static void check_rules(const PolicyVerification *v)
{
        assert_true(v->required);
        assert_int_equal(v->n_rules, 4);
        assert_int_equal(v->rules[0].kind, POLICY_RULE_COMMAND);
        assert_string_equal(v->rules[0].command[1], "8000");
        assert_null(v->rules[0].command[2]);
        assert_int_equal(v->rules[0].timeout_usec, 30 * USEC_PER_SEC);
        assert_int_equal(v->rules[1].kind, POLICY_RULE_FILE);
        assert_true(v->rules[1].has_min_bytes && v->rules[1].min_bytes == 1 && v->rules[1].newer_than_start);
        assert_string_equal(v->rules[2].metric, "cpu_seconds");
        assert_true(v->rules[2].has_max && !v->rules[2].has_min && v->rules[2].max == 30.0);
        assert_true(v->rules[3].has_min && v->rules[3].min == 0.8);
        expect_origin(&v->rules[3].origin, "test.yaml", 23);
}

static void check_design(const TaskPolicy *t)
{
        assert_int_equal(t->subsystem_max_parallel, 4);
        assert_int_equal(t->max_parallel, 0);
        assert_int_equal(t->n_limits, 3);
        assert_string_equal(limit_of(t, "MemoryMax"), "536870912");
        assert_string_equal(limit_of(t, "TasksMax"), "64");
        assert_string_equal(limit_of(t, "CPUQuota"), "20000");
        assert_true(t->sla.has_deadline && t->sla.relative_usec == USEC_PER_HOUR);
        expect_origin(&t->sla.origin, "test.yaml", 11);
        check_ladder(&t->sla);
        check_rules(&t->verification);
        assert_int_equal(t->retry.attempts, 3);
        assert_int_equal(t->retry.max_backoff_usec, USEC_PER_MINUTE);
        assert_int_equal(t->retry.on, 1U << TASK_OUTCOME_EXIT_CODE | 1U << TASK_OUTCOME_OOM);
        assert_int_equal(t->stuck.active_for_usec, 2 * USEC_PER_HOUR);
        assert_int_equal(t->stuck.spinning_for_usec, 30 * USEC_PER_MINUTE);
        assert_true(t->anomaly.factor == 3.0 && t->anomaly.min_samples == 5);
        assert_int_equal(t->sampling.max_usec, 5 * USEC_PER_MINUTE);
        assert_int_equal(t->retention.tasks_usec, 400 * USEC_PER_DAY);
        assert_int_equal(t->hooks.timeout_usec, 10 * USEC_PER_SEC);
        assert_int_equal(t->reported.heartbeat_usec, 5 * USEC_PER_MINUTE);
}

static void test_the_example_of_the_design(void **state _unused_)
{
        _cleanup_(policy_unrefp) Policy *p = parse(design);
        PolicyQuery q = query("healing", "playbook", "Playbook: restart");
        _cleanup_(task_policy_unrefp) TaskPolicy *t = resolve(p, &q), *back = NULL;
        ReeveError e = REEVE_ERROR_NULL;

        check_design(t);
        assert_ok(task_policy_from_json(task_policy_json(t), &back, &e), e);
        check_design(back);
        assert_string_equal(back->hash, t->hash);
        assert_string_equal(task_policy_json(back), task_policy_json(t));
}

static void test_built_in(void **state _unused_)
{
        _cleanup_(policy_unrefp) Policy *p = NULL;
        ReeveError e = REEVE_ERROR_NULL;
        const char *const *files;

        assert_ok(policy_load("/nowhere/policy.d", &p, &e), e);
        assert_int_equal(policy_files(p, &files), 0);
        assert_int_equal(policy_max_parallel(p), 0);
        PolicyQuery q = query("any", "thing", NULL);
        q.uid = 1000;
        _cleanup_(task_policy_unrefp) TaskPolicy *t = resolve(p, &q);
        assert_null(t->backend);
        assert_int_equal(t->priority, 0);
        assert_int_equal(t->priority_max, 10);
        assert_int_equal(t->n_limits, 0);
        assert_false(t->sla.has_deadline);
        assert_int_equal(t->sla.n_steps, 2);
        assert_false(t->verification.required);
        assert_true(t->verification.accepts_reported);
        assert_int_equal(t->retry.attempts, 1);
        assert_int_equal(t->stuck.idle_for_usec, 0);
        assert_int_equal(t->retention.tasks_usec, 0);
        assert_int_equal(t->hooks.timeout_usec, USEC_PER_MINUTE);
}

static void test_limits(void **state _unused_)
{
        static const struct {
                const char *name, *text, *expected;
        } cases[] = {
                { "MemoryMax", "1.5G", "1610612736" },
                { "MemoryMax", "infinity", "infinity" },
                { "MemorySwapMax", "0", "0" },
                { "CPUQuota", "12.5%", "1250" },
                { "CPUWeight", "10000", "10000" },
                { "TasksMax", "infinity", "infinity" },
                { "AllowedCPUs", "0-3 5", "0-3,5" },
                { "IOReadBandwidthMax", "8:0 5M", "8:0 5242880" },
                { "IOWriteIOPSMax", "8:0 100", "8:0 100" },
        };

        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                _cleanup_free_ char *text = string_printf("version: 1\ndefaults: {limits: {%s: \"%s\"}}\n",
                                                          cases[i].name, cases[i].text);
                _cleanup_(policy_unrefp) Policy *p = parse(text);
                PolicyQuery q = query("a", "b", NULL);
                _cleanup_(task_policy_unrefp) TaskPolicy *t = resolve(p, &q);
                if (!streq(limit_of(t, cases[i].name), cases[i].expected))
                        fail_msg("%s: %s: expected '%s', got '%s'", cases[i].name, cases[i].text,
                                 cases[i].expected, limit_of(t, cases[i].name));
        }
}

static void test_deadlines(void **state _unused_)
{
        static const struct {
                const char *text;
                usec_t relative, absolute;
                double factor;
        } good[] = {
                { "90", 90 * USEC_PER_SEC, 0, 0 },
                { "1h 30min", 90 * USEC_PER_MINUTE, 0, 0 },
                { "forecast_p95", 0, 0, 1 },
                { "forecast_p95*1.5", 0, 0, 1.5 },
                { "forecast_p95 * 2", 0, 0, 2 },
                { "2001-09-09 01:46:40 UTC", 0, 1000000000 * USEC_PER_SEC, 0 },
                { "2001-09-09T01:46:40Z", 0, 1000000000 * USEC_PER_SEC, 0 },
        };
        static const char *const bad[] = { "",
                                           "1hour ago",
                                           "forecast_p95 * 0",
                                           "forecast_p95 * 2 * 2",
                                           "forecast_p95 *",
                                           "20 years",
                                           "2026-13-01 00:00",
                                           "2026-01-31 25:00",
                                           "2026-01-31",
                                           "2026-01-31 12:00 CET" };

        for (size_t i = 0; i < ELEMENTSOF(good); i++) {
                PolicySla s = { 0 };
                assert_int_equal(policy_parse_deadline(good[i].text, &s), 0);
                if (!s.has_deadline || s.relative_usec != good[i].relative ||
                    s.absolute_realtime != good[i].absolute || s.forecast_p95_factor != good[i].factor)
                        fail_msg("'%s' is not what was expected", good[i].text);
        }
        for (size_t i = 0; i < ELEMENTSOF(bad); i++) {
                PolicySla s = { 0 };
                if (policy_parse_deadline(bad[i], &s) >= 0)
                        fail_msg("'%s' was accepted", bad[i]);
        }
}

/* Another time zone at the next start must not move a moment. */
static void test_moments_are_kept_in_utc(void **state _unused_)
{
        ReeveError e = REEVE_ERROR_NULL;

        setenv("TZ", "America/New_York", 1);
        tzset();
        _cleanup_(policy_unrefp) Policy *p =
                        parse("version: 1\ndefaults: {sla: {deadline: 2030-06-01 12:00}}\n");
        PolicyQuery q = query("a", "b", NULL);
        _cleanup_(task_policy_unrefp) TaskPolicy *t = resolve(p, &q), *back = NULL;
        setenv("TZ", "Asia/Tokyo", 1);
        tzset();
        assert_ok(task_policy_from_json(task_policy_json(t), &back, &e), e);
        unsetenv("TZ");
        tzset();
        assert_true(t->sla.absolute_realtime > 0 && t->sla.absolute_realtime == back->sla.absolute_realtime);
}

static void test_fallback(void **state _unused_)
{
        _cleanup_(policy_unrefp) Policy *p =
                        parse("version: 1\ndefaults: {sla: {deadline: forecast_p95 * 2, fallback: 1h}}\n"
                              "subsystems: {plain: {sla: {deadline: 5min}}}\n");
        PolicyQuery forecast = query("a", "b", NULL), plain = query("plain", "b", NULL);
        _cleanup_(task_policy_unrefp) TaskPolicy *t = resolve(p, &forecast), *u = resolve(p, &plain);

        assert_true(t->sla.forecast_p95_factor == 2.0 && t->sla.relative_usec == USEC_PER_HOUR);
        assert_true(u->sla.forecast_p95_factor == 0.0 && u->sla.relative_usec == 5 * USEC_PER_MINUTE);
}

/* ---- levels ---- */

static const char levels[] = "version: 1\n"
                             "max_parallel: 9\n"
                             "defaults:\n"
                             "  priority: 2\n"
                             "  limits: {TasksMax: 10, MemoryMax: 1G}\n"
                             "  cases:\n"
                             "    - {match: {uid: \"0\"}, sampling: {min: 2s}}\n"
                             "subsystems:\n"
                             "  s:\n"
                             "    limits: {TasksMax: 20}\n"
                             "    cases:\n"
                             "      - {match: {created_by: \"a*\"}, priority: 3}\n"
                             "      - {match: {created_by: \"*\"}, priority: 4}\n"
                             "    task_types:\n"
                             "      t:\n"
                             "        match: {title: \"T*\"}\n"
                             "        priority: 5\n"
                             "        max_parallel: 2\n"
                             "        cases:\n"
                             "          - {match: {title: \"T?\"}, priority: 6}\n";

static int priority_of(Policy *p, const char *subsystem, const char *type, const char *title, const char *by)
{
        PolicyQuery q = query(subsystem, type, title);

        q.created_by = by;
        _cleanup_(task_policy_unrefp) TaskPolicy *t = resolve(p, &q);
        return t->priority;
}

static void test_the_topmost_level_counts(void **state _unused_)
{
        _cleanup_(policy_unrefp) Policy *p = parse(levels);

        assert_int_equal(policy_max_parallel(p), 9);
        assert_int_equal(priority_of(p, "other", "t", "T1", "a"), 2);
        assert_int_equal(priority_of(p, "s", "u", "T1", "abc"), 3);
        assert_int_equal(priority_of(p, "s", "u", "T1", "bcd"), 4);
        assert_int_equal(priority_of(p, "s", "u", "T1", NULL), 4);
        assert_int_equal(priority_of(p, "s", "t", "nothing", "abc"), 3);
        assert_int_equal(priority_of(p, "s", "t", "T12", "abc"), 5);
        assert_int_equal(priority_of(p, "s", "t", "T1", "abc"), 6);

        PolicyQuery q = query("s", "t", "T1");
        _cleanup_(task_policy_unrefp) TaskPolicy *t = resolve(p, &q);
        assert_string_equal(limit_of(t, "TasksMax"), "20");
        assert_string_equal(limit_of(t, "MemoryMax"), "1073741824");
        assert_int_equal(t->max_parallel, 2);
        assert_int_equal(t->subsystem_max_parallel, 0);
        assert_int_equal(t->sampling.min_usec, 2 * USEC_PER_SEC);
        q.uid = 1;
        _cleanup_(task_policy_unrefp) TaskPolicy *u = resolve(p, &q);
        assert_int_equal(u->sampling.min_usec, 0);
}

/* What is contradictory only when levels come together still means something. */
static void test_bounds_of_several_levels(void **state _unused_)
{
        _cleanup_(policy_unrefp) Policy *p = parse(
                        "version: 1\ndefaults: {sampling: {min: 1min}, retry: {backoff: 10min}, "
                        "priority_max: 3}\n"
                        "subsystems: {s: {sampling: {max: 2s}, retry: {max_backoff: 1s}, priority: 8}}\n");
        PolicyQuery q = query("s", "t", NULL);
        _cleanup_(task_policy_unrefp) TaskPolicy *t = resolve(p, &q);

        assert_int_equal(t->sampling.max_usec, USEC_PER_MINUTE);
        assert_int_equal(t->retry.max_backoff_usec, 10 * USEC_PER_MINUTE);
        assert_int_equal(t->priority, 3);
}

static void test_tasks_share(void **state _unused_)
{
        _cleanup_(policy_unrefp) Policy *p = parse(levels);
        PolicyQuery q = query("s", "t", "T12"), same = query("s", "t", "T123"),
                    other = query("s", "t", "T1");
        _cleanup_(task_policy_unrefp) TaskPolicy *t = resolve(p, &q), *u = resolve(p, &same),
                                                 *v = resolve(p, &other);

        assert_ptr_equal(t, u);
        assert_ptr_not_equal(t, v);
        assert_string_not_equal(t->hash, v->hash);
        /* More kinds than are remembered. */
        for (unsigned i = 1; i <= 2000; i++) {
                char sla[16];
                snprintf(sla, sizeof(sla), "%us", i);
                q.sla = sla;
                _cleanup_(task_policy_unrefp) TaskPolicy *w = resolve(p, &q);
                assert_int_equal(w->sla.relative_usec, i * USEC_PER_SEC);
                expect_origin(&w->sla.origin, "request", 0);
        }
        assert_int_equal(t->priority, 5);
}

/* ---- patterns ---- */

static void test_globs(void **state _unused_)
{
        static const struct {
                const char *pattern, *text;
                bool matches;
        } cases[] = {
                { "*", "", true },
                { "", "", true },
                { "a", "", false },
                { "a*c", "abbc", true },
                { "a*c", "abcb", false },
                { "*ab", "aab", true },
                { "?", "\xc3\xa4", true },
                { "??", "\xc3\xa4", false },
                { "[a-c]x", "bx", true },
                { "[!a-c]x", "bx", false },
                { "[]]", "]", true },
                { "[^a]", "b", true },
                { "[a-]", "-", true },
                { "\\*", "*", true },
                { "\\*", "x", false },
                { "*a*b*c*", "xaybzc", true },
                { "Playbook: *", "Playbook: ", true },
                { "a", "ab", false },
                { "[\xc3\xa4-\xc3\xb6]", "\xc3\xa5", true },
                { "\xff", "\xff", true },
                { "?", "\xff", true },
        };
        static const char *const bad[] = { "", "[", "[a", "a\\", "[!", "[]" };
        char text[1025];

        for (size_t i = 0; i < ELEMENTSOF(cases); i++)
                if (policy_glob_matches(cases[i].pattern, cases[i].text) != cases[i].matches)
                        fail_msg("'%s' and '%s': expected %d", cases[i].pattern, cases[i].text,
                                 cases[i].matches);
        for (size_t i = 0; i < ELEMENTSOF(bad); i++)
                if (policy_glob_is_valid(bad[i]))
                        fail_msg("'%s' was accepted", bad[i]);
        /* fnmatch(3) would not come back from this. */
        memset(text, 'a', sizeof(text) - 1);
        text[sizeof(text) - 1] = '\0';
        assert_false(policy_glob_matches("*a*a*a*a*a*a*a*a*a*a*a*a*a*a*a*a*a*a*a*a*b", text));
}

/* ---- JSON ---- */

static void test_what_is_no_policy(void **state _unused_)
{
        static const char *const bad[] = { "",
                                           "[",
                                           "{\"priority\": 11}",
                                           "{\"sla\": {\"deadline\": []}}",
                                           "{\"limits\": {\"MemoryMax\": true}}",
                                           "{\"verification\": {\"rules\": [{\"name\": \"a\"}]}}",
                                           "{\"retry\": {\"on\": {\"a\": 1}}}" };

        for (size_t i = 0; i < ELEMENTSOF(bad); i++) {
                ReeveError e = REEVE_ERROR_NULL;
                TaskPolicy *t = NULL;
                if (task_policy_from_json(bad[i], &t, &e) >= 0)
                        fail_msg("%s was accepted", bad[i]);
                assert_null(t);
                assert_int_not_equal(e.code, REEVE_ERROR_NONE);
        }
}

static void test_all_of_it_as_json(void **state _unused_)
{
        _cleanup_(policy_unrefp) Policy *p = parse(levels);
        _cleanup_json_ json_t *o = policy_to_json(p);
        const char *origin = NULL;
        int priority = 0;

        assert_non_null(o);
        assert_int_equal(json_get_integer(o, "max_parallel", 0), 9);
        assert_int_equal(json_unpack(o, "{s:{s:{s:{s:{s:i}}}}}", "subsystems", "s", "task_types", "t",
                                     "priority", &priority),
                         0);
        assert_int_equal(priority, 5);
        assert_int_equal(json_unpack(o, "{s:{s:{s:s}}}", "defaults", "origins", "priority", &origin), 0);
        assert_string_equal(origin, "test.yaml:4:13");
}

/* ---- several files ---- */

static int remove_one(const char *path, const struct stat *st _unused_, int type _unused_,
                      struct FTW *ftw _unused_)
{
        return remove(path);
}

static void write_file(const char *directory, const char *name, const char *text)
{
        _cleanup_free_ char *path = string_printf("%s/%s", directory, name);

        FILE *f = fopen(path, "we");
        assert_non_null(f);
        fputs(text, f);
        fclose(f);
}

static void test_files_are_one_policy(void **state _unused_)
{
        char root[] = "/tmp/reeve-test-policy-XXXXXX", directory[64];
        _cleanup_(policy_unrefp) Policy *p = NULL, *q = NULL;
        ReeveError e = REEVE_ERROR_NULL;
        const char *const *files;

        assert_non_null(mkdtemp(root));
        snprintf(directory, sizeof(directory), "%s/policy.d", root);
        assert_int_equal(mkdir(directory, 0755), 0);
        write_file(directory, "10.yaml",
                   "version: 1\nsubsystems: {s: {priority: 2, sla: {deadline: 1h, from: started}}}\n");
        write_file(directory, "20.yaml", "version: 1\nsubsystems: {s: {sla: {deadline: 2h}}}\n");
        write_file(directory, "30.yaml", "# nothing\n");
        write_file(directory, ".40.yaml", "hidden");
        write_file(directory, "50.yml", "of another name");
        assert_ok(policy_load(directory, &p, &e), e);
        assert_int_equal(policy_files(p, &files), 3);
        assert_string_equal(files[1], "20.yaml");

        PolicyQuery ask = query("s", "t", NULL);
        _cleanup_(task_policy_unrefp) TaskPolicy *t = resolve(p, &ask);
        assert_int_equal(t->priority, 2);
        assert_int_equal(t->sla.relative_usec, 2 * USEC_PER_HOUR);
        assert_int_equal(t->sla.from, POLICY_FROM_STARTED);
        expect_origin(&t->sla.origin, "20.yaml", 2);

        write_file(directory, "30.yaml", "# something\n");
        assert_ok(policy_load(directory, &q, &e), e);
        assert_string_not_equal(policy_hash(p), policy_hash(q));

        /* Programs may be in the instance's own directories. */
        _cleanup_free_ char *hook = string_printf(
                        "version: 1\ndefaults: {stuck: {ladder: [{do: escalate, hook: %s/hooks/page}]}}\n",
                        root);
        write_file(directory, "60.yaml", hook);
        q = policy_unref(q);
        assert_ok(policy_load(directory, &q, &e), e);
        write_file(directory, "60.yaml",
                   "version: 1\ndefaults: {stuck: {ladder: [{do: escalate, hook: "
                   "/srv/reeve/hooks/page}]}}\n");
        Policy *r = NULL;
        assert_true(policy_load(directory, &r, &e) < 0);
        nftw(root, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

/* ---- documents ---- */

static char *read_source(const char *name)
{
        _cleanup_free_ char *path = string_printf("%s/%s", SOURCE_ROOT, name);
        char *text = NULL;

        if (fd_read_file_alloc(AT_FDCWD, path, 1 << 20, &text, NULL) < 0)
                fail_msg("cannot read %s", path);
        return text;
}

static void test_every_key_is_in_the_page(void **state _unused_)
{
        _cleanup_free_ char *page = read_source("docs/man/reeve-policy.5.scd");

        for (size_t i = 0; i < policy_n_keys(); i++) {
                const PolicyKey *k = policy_key(i);
                const char *limit = string_after(k->name, "limits.");
                _cleanup_free_ char *name =
                                limit ? string_printf("_%s_", limit) : string_printf("*%s*", k->name);
                if (limit && (streq(limit, "MemoryLow") || streq(limit, "MemoryMin")))
                        continue;
                if (!strstr(page, name))
                        fail_msg("reeve-policy.5 does not have %s", name);
        }
}

/* A line that begins with "*a.b*" defines keys. */
static void test_nothing_else_is_in_the_page(void **state _unused_)
{
        _cleanup_free_ char *page = read_source("docs/man/reeve-policy.5.scd");
        char *begin = strstr(page, "\n# KEYS\n"), *end = strstr(page, "\n# EXAMPLES\n"), *rest = NULL;

        assert_true(begin && end && begin < end);
        *end = '\0';
        for (char *line = strtok_r(begin, "\n", &rest); line; line = strtok_r(NULL, "\n", &rest))
                for (char *p = line; *line == '*' && (p = strchr(p, '*')); p += strcspn(p + 1, "*") + 2) {
                        _cleanup_free_ char *name = strndup(p + 1, strcspn(p + 1, "*"));
                        if (!streq(name, "limits.") && policy_key_find(name) < 0)
                                fail_msg("reeve-policy.5 has a key '%s' that there is not", name);
                }
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_the_example_of_the_design),
                cmocka_unit_test(test_built_in),
                cmocka_unit_test(test_limits),
                cmocka_unit_test(test_deadlines),
                cmocka_unit_test(test_moments_are_kept_in_utc),
                cmocka_unit_test(test_fallback),
                cmocka_unit_test(test_the_topmost_level_counts),
                cmocka_unit_test(test_bounds_of_several_levels),
                cmocka_unit_test(test_tasks_share),
                cmocka_unit_test(test_globs),
                cmocka_unit_test(test_what_is_no_policy),
                cmocka_unit_test(test_all_of_it_as_json),
                cmocka_unit_test(test_files_are_one_policy),
                cmocka_unit_test(test_every_key_is_in_the_page),
                cmocka_unit_test(test_nothing_else_is_in_the_page),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
