/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Rows as JSON: of the types that the interface promises, and with nothing for the wrong eyes. */

#include "daemon/model/task-json.h"

#include <string.h>

#include "common/json/json.h"
#include "common/varlink/varlink-idl.h"
#include "daemon/varlink/definition.h"
#include "tests/unit/test.h"

/* Every field has a value. */
static TaskRow full_task(void)
{
        TaskRow t = {
                .task_id = (char *)"healing_playbook_1",
                .subsystem = (char *)"healing",
                .task_type = (char *)"playbook",
                .title = (char *)"a task",
                .description = (char *)"secret plans",
                .created_by = (char *)"timer",
                .owner_uid = 1000,
                .run_uid = 1001,
                .run_gid = UINT32_MAX - 1,
                .priority = TASK_PRIORITY_NORMAL,
                .metadata = (char *)"{\"secret\": [1, {}]}",
                .argv = (char *)"[\"/bin/true\", \"--secret\"]",
                .cwd = (char *)"/secret",
                .status = TASK_FAILED,
                .outcome = TASK_OUTCOME_EXIT_CODE,
                .message = (char *)"secret: exit status 3",
                .has_progress = true,
                .progress = 0.5,
                .progress_message = (char *)"half",
                .heartbeat_usec = USEC_PER_MINUTE,
                .ml_metrics = (char *)"{\"epochs_completed\": 3, \"loss\": 0.5}",
                .result_metadata = (char *)"{\"secret\": 2}",
                .attempt = 1,
                .attempts = 2,
                .has_backend = true,
                .cgroup = (char *)"pool/tasks/1000/x",
                .pid = 42,
                .has_exit = true,
                .exit_status = 3,
                .frozen = true,
                .created_realtime = 1,
                .started_realtime = 2 * USEC_PER_SEC,
                .completed_realtime = 5 * USEC_PER_SEC,
                .duration_usec = 2500 * USEC_PER_MSEC,
        };
        for (int f = 0; f < _USAGE_FIELD_MAX; f++)
                usage_set(&t.usage, f, (uint64_t)INT64_MAX, USAGE_KERNEL_FINAL);
        return t;
}

static void assert_is_of_type(const json_t *value, const char *type)
{
        _cleanup_(varlink_idl_freep) VarlinkIdl *idl = NULL;
        ReeveError e = REEVE_ERROR_NULL;

        assert_non_null(value);
        assert_ok(varlink_idl_parse(registry_varlink_definition, strlen(registry_varlink_definition), &idl,
                                    &e),
                  e);
        const VarlinkMember *member = varlink_idl_find(idl, VARLINK_MEMBER_TYPE, type);
        assert_non_null(member);
        assert_ok(varlink_type_check(member->input, value, &e), e);
}

static json_t *task_json(const TaskRow *t, TaskView view)
{
        json_t *o = task_row_to_json(t, view);
        assert_is_of_type(o, "Task");
        return o;
}

static void test_full(void **state _unused_)
{
        TaskRow t = full_task();
        _cleanup_json_ json_t *o = task_json(&t, TASK_VIEW_PRIVATE);

        assert_int_equal(json_get_integer(o, "run_gid", 0), UINT32_MAX - 1);
        assert_true(json_real_value(json_object_get(o, "duration_seconds")) == 2.5);
        assert_int_equal(json_get_integer(o, "exit_status", -1), 3);
        assert_null(json_object_get(o, "exit_signal"));
        assert_string_equal(json_string_value(json_array_get(json_object_get(o, "argv"), 1)), "--secret");
        assert_int_equal(json_object_size(json_object_get(o, "usage")), _USAGE_FIELD_MAX);
        assert_int_equal(json_object_size(json_object_get(o, "usage_sources")), _USAGE_FIELD_MAX);
}

/* What is unknown is absent, and 0 is a number. */
static void test_empty(void **state _unused_)
{
        TaskRow t = { .task_id = (char *)"a_b_c",
                      .subsystem = (char *)"a",
                      .task_type = (char *)"b",
                      .created_realtime = 1 };
        _cleanup_json_ json_t *o = task_json(&t, TASK_VIEW_PRIVATE);
        static const char *const absent[] = { "description",
                                              "created_by",
                                              "outcome",
                                              "message",
                                              "backend",
                                              "cgroup",
                                              "pid",
                                              "exit_status",
                                              "exit_signal",
                                              "frozen",
                                              "started_at",
                                              "completed_at",
                                              "argv",
                                              "cwd",
                                              "metadata",
                                              "duration_seconds",
                                              "verification_status",
                                              "verification_passes",
                                              "verification_failures" };

        for (size_t i = 0; i < ELEMENTSOF(absent); i++)
                if (json_object_get(o, absent[i]))
                        fail_msg("%s is unknown, and has a value", absent[i]);
        assert_int_equal(json_object_size(json_object_get(o, "usage")), 0);
        assert_string_equal(json_get_string(o, "title"), "");

        usage_set(&t.usage, USAGE_IO_READ, 0, USAGE_PROCFS);
        _cleanup_json_ json_t *zero = task_json(&t, TASK_VIEW_PUBLIC);
        assert_int_equal(json_get_integer(json_object_get(zero, "usage"), "io_read_bytes", -1), 0);
}

static void test_verification(void **state _unused_)
{
        VerificationRow v = { .attempt = 1,
                              .rule = 2,
                              .name = (char *)"cheap",
                              .kind = (char *)"command",
                              .passed = true,
                              .evidence = (char *)"{\"exit_status\": 0}",
                              .ended_realtime = 5,
                              .duration_usec = 2500000,
                              .usage = (char *)"{\"usage\": {\"cpu_usec\": 3}, \"usage_sources\": "
                                               "{\"cpu_usec\": \"rusage\"}}" };
        TaskRow t = full_task();

        _cleanup_json_ json_t *o = verification_row_to_json(&v);
        assert_is_of_type(o, "Verification");
        assert_int_equal(json_get_integer(json_object_get(o, "usage"), "cpu_usec", -1), 3);
        assert_int_equal(json_get_integer(json_object_get(o, "evidence"), "exit_status", -1), 0);
        assert_true(json_real_value(json_object_get(o, "duration_seconds")) == 2.5);

        /* Texts of a damaged database must not be able to replace what is a column. */
        v.usage = (char *)"{\"passed\": false, \"usage\": {}}";
        v.evidence = (char *)"{";
        _cleanup_json_ json_t *odd = verification_row_to_json(&v);
        assert_true(json_is_true(json_object_get(odd, "passed")));
        assert_null(json_object_get(odd, "evidence"));

        t.verification = VERIFICATION_FAILED;
        t.verification_passes = 3;
        _cleanup_json_ json_t *task = task_json(&t, TASK_VIEW_PUBLIC);
        assert_string_equal(json_get_string(task, "verification_status"), "failed");
        assert_int_equal(json_get_integer(task, "verification_passes", -1), 3);
        assert_int_equal(json_get_integer(task, "verification_failures", -1), 0);
}

static void test_public(void **state _unused_)
{
        TaskRow t = full_task();
        _cleanup_json_ json_t *o = task_json(&t, TASK_VIEW_PUBLIC);
        _cleanup_free_ char *text = json_dumps(o, 0);

        assert_non_null(text);
        if (strstr(text, "secret"))
                fail_msg("everybody sees a secret: %s", text);
        assert_string_equal(json_get_string(o, "title"), "a task");
        assert_int_equal(json_object_size(json_object_get(o, "usage")), _USAGE_FIELD_MAX);
}

/* Texts of a database that somebody damaged. */
static void test_damaged_texts(void **state _unused_)
{
        TaskRow t = full_task();

        t.metadata = (char *)"{\"a\": ";
        t.argv = (char *)"";
        _cleanup_json_ json_t *o = task_json(&t, TASK_VIEW_PRIVATE);
        assert_null(json_object_get(o, "metadata"));
        assert_null(json_object_get(o, "argv"));
        assert_string_equal(json_get_string(o, "cwd"), "/secret");
}

static void test_snapshot(void **state _unused_)
{
        SnapshotRow s = { .attempt = 2, .taken_realtime = 7, .elapsed_usec = 3 };

        usage_set(&s.usage, USAGE_CPU, 5, USAGE_KERNEL);
        _cleanup_json_ json_t *o = snapshot_row_to_json(&s);
        assert_is_of_type(o, "Snapshot");
        assert_int_equal(json_get_integer(o, "elapsed_usec", -1), 3);
        assert_string_equal(json_get_string(json_object_get(o, "usage_sources"), "cpu_usec"), "kernel");
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_full),         cmocka_unit_test(test_empty),
                cmocka_unit_test(test_verification), cmocka_unit_test(test_damaged_texts),
                cmocka_unit_test(test_public),       cmocka_unit_test(test_damaged_texts),
                cmocka_unit_test(test_snapshot),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
