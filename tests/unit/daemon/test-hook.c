/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* What a hook's row says of it, there and back, and how long it waits between attempts. */

#include "daemon/hooks/hook.h"

#include <errno.h>
#include <string.h>

#include "basic/strings.h"
#include "tests/unit/test.h"

static HookRequest make_request(const char *path, const char *event)
{
        return (HookRequest){ .path = path, .task_id = "a_task", .step = 2, .event = event };
}

static void test_there_and_back(void **state _unused_)
{
        HookRequest q = make_request("/etc/reeve/hooks/page", "{\"topic\": \"task.late\", \"n\": [1, {}]}");
        ReeveError e = REEVE_ERROR_NULL;
        HookFacts f;
        TaskRow row;

        assert_int_equal(hook_row_init(&row, "a_task-step3", 7, 8, &q), 0);
        assert_string_equal(row.task_id, "a_task-step3");
        assert_string_equal(row.subsystem, HOOK_SUBSYSTEM);
        assert_string_equal(row.task_type, "page");
        assert_string_equal(row.argv, "[\"/etc/reeve/hooks/page\"]");
        assert_int_equal(row.run_uid, 7);
        assert_int_equal(row.run_gid, 8);
        assert_int_equal(row.owner_uid, 0);
        assert_int_equal(row.attempts, HOOK_ATTEMPTS);
        assert_int_equal(row.status, TASK_PENDING);

        assert_ok(hook_facts_init(&f, &row, &e), e);
        assert_string_equal(f.path, q.path);
        assert_string_equal(f.parent, "a_task");
        assert_int_equal(f.step, 3);
        assert_int_equal(f.timeout_usec, HOOK_TIMEOUT_USEC);
        assert_string_equal(f.event, "{\"topic\":\"task.late\",\"n\":[1,{}]}\n");

        _cleanup_(strv_freep) char **env = hook_environment(&f, 2);
        assert_non_null(env);
        assert_string_equal(env[0], "REEVE_TASK_ID=a_task");
        assert_string_equal(env[1], "REEVE_STEP=3");
        assert_string_equal(env[2], "REEVE_ATTEMPT=2");
        assert_null(env[3]);
        hook_facts_done(&f);
        task_row_done(&row);

        q.timeout_usec = 1500 * USEC_PER_MSEC;
        assert_int_equal(hook_row_init(&row, "a_task-step3", 7, 8, &q), 0);
        assert_ok(hook_facts_init(&f, &row, &e), e);
        assert_int_equal(f.timeout_usec, q.timeout_usec);
        hook_facts_done(&f);
        task_row_done(&row);
}

/* An event that is no JSON is no reason not to call. */
static void test_odd_requests(void **state _unused_)
{
        static const struct {
                const char *path, *type;
        } cases[] = {
                { "page", "page" },    { "/x/page.sh", "page-sh" },
                { "/x/_a b", "ha-b" }, { "/x/", "hook" },
                { "", "hook" },        { "/x/\xc3\xa4", "h-" },
                { "/x/..", "h-" },     { "/x/a_b-C9", "a_b-C9" },
        };

        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                HookRequest q = make_request(cases[i].path, "no JSON");
                ReeveError e = REEVE_ERROR_NULL;
                HookFacts f;
                TaskRow row;

                assert_int_equal(hook_row_init(&row, "a-step3", 7, 8, &q), 0);
                if (strcmp(row.task_type, cases[i].type) != 0 || !task_name_is_valid(row.task_type))
                        fail_msg("%s: got %s, expected %s", cases[i].path, row.task_type, cases[i].type);
                if (utf8_is_valid(cases[i].path, strlen(cases[i].path))) {
                        assert_ok(hook_facts_init(&f, &row, &e), e);
                        assert_string_equal(f.event, "{}\n");
                        hook_facts_done(&f);
                }
                task_row_done(&row);
        }
}

static void test_what_is_no_hook(void **state _unused_)
{
        static const char *const bad[] = {
                NULL,
                "",
                "[]",
                "{}",
                "{\"parent\": \"a\", \"step\": 1, \"event\": {}}",
                "{\"parent\": \"a\", \"step\": 0, \"hook\": \"x\", \"event\": {}}",
                "{\"parent\": \"a\", \"step\": 10000, \"hook\": \"x\", \"event\": {}}",
                "{\"parent\": \"a\", \"step\": \"1\", \"hook\": \"x\", \"event\": {}}",
                "{\"parent\": 1, \"step\": 1, \"hook\": \"x\", \"event\": {}}",
                "{\"parent\": \"a\", \"step\": 1, \"hook\": \"x\", \"event\": []}",
        };

        for (size_t i = 0; i < ELEMENTSOF(bad); i++) {
                TaskRow row = { .metadata = (char *)bad[i] };
                ReeveError e = REEVE_ERROR_NULL;
                HookFacts f;

                if (hook_facts_init(&f, &row, &e) >= 0)
                        fail_msg("%s is a hook", bad[i] ?: "nothing");
                assert_int_not_equal(e.code, REEVE_ERROR_NONE);
                assert_null(f.path);
        }
}

static void test_backoff(void **state _unused_)
{
        assert_int_equal(hook_backoff(1), USEC_PER_SEC);
        assert_int_equal(hook_backoff(2), 4 * USEC_PER_SEC);
        assert_int_equal(hook_backoff(3), 16 * USEC_PER_SEC);
        assert_int_equal(hook_backoff(4), USEC_PER_MINUTE);
        assert_int_equal(hook_backoff(1000), USEC_PER_MINUTE);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_there_and_back),
                cmocka_unit_test(test_odd_requests),
                cmocka_unit_test(test_what_is_no_hook),
                cmocka_unit_test(test_backoff),
        };

        return cmocka_run_group_tests_name("daemon-hook", tests, NULL, NULL);
}
