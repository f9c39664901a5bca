/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The lifecycle, transition by transition, against a table written here a second time and by hand. */

#include "common/task-state.h"

#include <string.h>

#include "tests/unit/test.h"

#define P TASK_PENDING
#define A TASK_ACTIVE
#define V TASK_VERIFYING
#define C TASK_COMPLETED
#define F TASK_FAILED
#define X TASK_CANCELLED
#define L TASK_LOST

static const struct {
        TaskState from, to;
} allowed[] = {
        { P, A }, { P, F }, { P, X }, { P, L },           /* */
        { A, V }, { A, P }, { A, F }, { A, X }, { A, L }, /* */
        { V, C }, { V, P }, { V, F }, { V, X }, { V, L },
};

static bool is_allowed(TaskState from, TaskState to)
{
        for (size_t i = 0; i < ELEMENTSOF(allowed); i++)
                if (allowed[i].from == from && allowed[i].to == to)
                        return true;
        return false;
}

static void test_table_is_sound(void **state _unused_)
{
        const char *problem = sm_check(task_state_table());
        if (problem)
                fail_msg("%s", problem);
}

static void test_transitions(void **state _unused_)
{
        for (TaskState from = 0; from < _TASK_STATE_MAX; from++)
                for (TaskState to = 0; to < _TASK_STATE_MAX; to++)
                        if (task_state_may(from, to) != is_allowed(from, to))
                                fail_msg("%s to %s: %s", task_state_name(from), task_state_name(to),
                                         task_state_may(from, to) ? "allowed" : "refused");
}

static void test_final(void **state _unused_)
{
        for (TaskState s = 0; s < _TASK_STATE_MAX; s++)
                assert_int_equal(task_state_is_final(s), s == C || s == F || s == X || s == L);
        assert_true(task_state_table()->states[TASK_PENDING].flags & SM_INITIAL);
        assert_false(task_state_table()->states[TASK_COMPLETED].flags & SM_FAILURE);
        assert_true(task_state_table()->states[TASK_LOST].flags & SM_FAILURE);
}

static void test_names(void **state _unused_)
{
        static const char *const states[] = { "pending", "active",    "verifying", "completed",
                                              "failed",  "cancelled", "lost" };
        static const char *const bad[] = { "Pending", "activ", "activex", " active", "-" };

        for (TaskState s = 0; s < _TASK_STATE_MAX; s++) {
                assert_string_equal(task_state_name(s), states[s]);
                assert_int_equal(task_state_from_name(states[s]), s);
        }
        for (TaskOutcome o = 0; o < _TASK_OUTCOME_MAX; o++)
                assert_int_equal(task_outcome_from_name(task_outcome_name(o)), o);
        assert_string_equal(task_outcome_name(TASK_OUTCOME_NONE), "");
        assert_string_equal(task_outcome_name(TASK_OUTCOME_OOM), "oom");
        assert_int_equal(task_state_from_name(""), _TASK_STATE_INVALID);
        for (size_t i = 0; i < ELEMENTSOF(bad); i++) {
                assert_int_equal(task_state_from_name(bad[i]), _TASK_STATE_INVALID);
                assert_int_equal(task_outcome_from_name(bad[i]), _TASK_OUTCOME_INVALID);
        }
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_table_is_sound),
                cmocka_unit_test(test_transitions),
                cmocka_unit_test(test_final),
                cmocka_unit_test(test_names),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
