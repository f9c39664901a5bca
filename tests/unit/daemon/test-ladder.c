/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* One ladder: when its steps are due, what moves them, what their states allow, who ended a process, and its text. */

#include "daemon/sla/ladder.h"

#include <errno.h>
#include <signal.h>
#include <string.h>

#include "common/json/json.h"
#include "tests/unit/test.h"

#define S USEC_PER_SEC

/* The design's: warned at 80%, escalated at the deadline, terminated 30 s and killed 40 s later. */
static const LadderStep steps[] = {
        { .act = LADDER_NOTIFY, .at_permyriad = 8000 },
        { .act = LADDER_ESCALATE, .at_permyriad = 10000, .hook = (char *)"/usr/lib/reeve/hooks/page" },
        { .act = LADDER_SIGNAL, .at_permyriad = 10000, .after_usec = 30 * S, .signal = SIGTERM },
        { .act = LADDER_KILL, .at_permyriad = 10000, .after_usec = 40 * S },
};

static Ladder *make(void)
{
        Ladder *l = ladder_new(100 * S, steps, ELEMENTSOF(steps));
        assert_non_null(l);
        return l;
}

#define _cleanup_ladder_ _cleanup_(ladder_freep)

static void fire(LadderStep *s, LadderState to, usec_t lateness)
{
        ladder_move(s, LADDER_ACTING);
        s->begun_boottime = s->due_boottime + lateness;
        ladder_finish(s, to, 1, lateness + 1, NULL);
}

static void test_table(void **state)
{
        const char *problem = sm_check(ladder_state_table());

        if (problem)
                fail_msg("%s", problem);
        assert_string_equal(ladder_state_name(LADDER_UNCERTAIN), "uncertain");
        assert_string_equal(ladder_act_name(LADDER_DEADLINE), "deadline");
}

/* Nothing is due before the clock starts; then each step in its order, the deadline's own before those at 100%. */
static void test_times(void **state)
{
        static const struct {
                LadderAct act;
                usec_t due;
        } expected[] = { { LADDER_NOTIFY, 1080 * S },
                         { LADDER_DEADLINE, 1100 * S },
                         { LADDER_ESCALATE, 1100 * S },
                         { LADDER_SIGNAL, 1130 * S },
                         { LADDER_KILL, 1140 * S } };
        _cleanup_ladder_ Ladder *l = make();

        assert_int_equal(ladder_next_boottime(l), USEC_INFINITY);
        assert_null(ladder_take_due(l, USEC_INFINITY - 1));
        assert_int_equal(ladder_kill_boottime(l), USEC_INFINITY);
        assert_int_equal(ladder_kill_offset(l), 140 * S);
        ladder_set_deadline(l, 1100 * S);
        assert_int_equal(ladder_kill_boottime(l), 1140 * S);
        for (size_t i = 0; i < ELEMENTSOF(expected); i++) {
                assert_int_equal(ladder_next_boottime(l), expected[i].due);
                assert_null(ladder_take_due(l, expected[i].due - 1));
                LadderStep *s = ladder_take_due(l, expected[i].due);
                assert_non_null(s);
                assert_int_equal(s->act, expected[i].act);
                assert_int_equal(s->state, LADDER_DUE);
        }
        assert_int_equal(ladder_next_boottime(l), USEC_INFINITY);
        assert_null(ladder_step(l, 4));
        assert_int_equal(ladder_step(l, 3)->act, LADDER_KILL);
        assert_true(ladder_is_warning(ladder_step(l, 0)));
        assert_false(ladder_is_warning(ladder_step(l, 1)));
}

/* What has fired stays, what has not moves: also a step that came due and was not begun. */
static void test_extend(void **state)
{
        _cleanup_ladder_ Ladder *l = make();

        ladder_set_deadline(l, 1100 * S);
        fire(ladder_take_due(l, 1080 * S), LADDER_DONE, 5);
        LadderStep *deadline = ladder_take_due(l, 1101 * S);
        assert_int_equal(deadline->act, LADDER_DEADLINE);
        ladder_extend(l, 100 * S, 1101 * S);
        assert_int_equal(l->deadline_boottime, 1200 * S);
        assert_int_equal(ladder_find(l, LADDER_DONE)->due_boottime, 1080 * S);
        assert_null(ladder_find(l, LADDER_DUE));
        assert_int_equal(ladder_next_boottime(l), 1200 * S);
        assert_int_equal(ladder_kill_boottime(l), 1240 * S);

        /* Not far enough: it stays due. */
        assert_non_null(ladder_take_due(l, 1300 * S));
        ladder_extend(l, 1 * S, 1300 * S);
        assert_non_null(ladder_find(l, LADDER_DUE));

        /* By percent of the longer span; before the clock starts, too. */
        _cleanup_ladder_ Ladder *other = make();
        ladder_extend(other, 100 * S, 0);
        assert_int_equal(other->deadline_boottime, LADDER_NOT_STARTED);
        ladder_set_deadline(other, 1200 * S);
        assert_int_equal(ladder_next_boottime(other), 1160 * S);
}

/* After a reboot the deadline may lie before the boot; it can still be moved behind it. */
static void test_before_boot(void **state)
{
        _cleanup_ladder_ Ladder *l = make();

        ladder_set_deadline(l, -500 * (boottime_t)S);
        assert_int_equal(ladder_next_boottime(l), 0);
        assert_int_equal(ladder_kill_boottime(l), 0);
        ladder_extend(l, 600 * S, 50 * S);
        assert_int_equal(l->deadline_boottime, 100 * S);
        assert_int_equal(ladder_kill_boottime(l), 140 * S);
}

static void test_extremes(void **state)
{
        static const LadderStep far[] = {
                { .act = LADDER_NOTIFY, .at_permyriad = UINT32_MAX, .after_usec = USEC_INFINITY },
                { .act = LADDER_KILL, .at_permyriad = 0 },
        };
        _cleanup_ladder_ Ladder *l = ladder_new(USEC_INFINITY, far, ELEMENTSOF(far));

        assert_non_null(l);
        assert_int_equal(l->span_usec, LADDER_SPAN_MAX);
        ladder_set_deadline(l, INT64_MAX - 1);
        ladder_extend(l, USEC_INFINITY, 0);
        assert_true(l->deadline_boottime > 0);
        ladder_set_deadline(l, INT64_MIN);
        assert_int_equal(ladder_next_boottime(l), 0);

        /* No steps: only the deadline is told of. */
        _cleanup_ladder_ Ladder *empty = ladder_new(0, NULL, 0);
        assert_non_null(empty);
        ladder_set_deadline(empty, 10);
        assert_int_equal(ladder_next_boottime(empty), 10);
        assert_int_equal(ladder_kill_offset(empty), USEC_INFINITY);
}

static void test_ended_by(void **state)
{
        static const LadderStep some[] = {
                { .act = LADDER_SIGNAL, .at_permyriad = 5000, .signal = SIGUSR1 },
                { .act = LADDER_SIGNAL, .at_permyriad = 10000, .signal = SIGTERM },
                { .act = LADDER_KILL, .at_permyriad = 20000 },
        };
        _cleanup_ladder_ Ladder *l = ladder_new(100, some, ELEMENTSOF(some));

        assert_non_null(l);
        ladder_set_deadline(l, 1100);
        assert_null(ladder_ended_by(l, USEC_INFINITY, SIGTERM));
        fire(ladder_take_due(l, 1050), LADDER_DONE, 7);
        /* It asked for something, not for the end; unless that is what it died of. */
        assert_null(ladder_ended_by(l, 2000, 0));
        assert_null(ladder_ended_by(l, 2000, SIGSEGV));
        assert_int_equal(ladder_ended_by(l, 2000, SIGUSR1)->number, 0);
        assert_null(ladder_ended_by(l, 1056, SIGUSR1));

        fire(ladder_take_due(l, 1100), LADDER_DONE, 0); /* the deadline's own ends nobody */
        assert_null(ladder_ended_by(l, 2000, 0));
        fire(ladder_take_due(l, 1100), LADDER_DONE, 10);
        assert_null(ladder_ended_by(l, 1109, 0));
        assert_int_equal(ladder_ended_by(l, 1110, 0)->number, 1);
        fire(ladder_take_due(l, 1200), LADDER_FAILED, 0);
        assert_int_equal(ladder_ended_by(l, 1300, SIGKILL)->number, 1);
}

/* What is stored comes back; times come from the deadline. */
static void test_text(void **state)
{
        _cleanup_ladder_ Ladder *l = make(), *copy = NULL;

        ladder_set_deadline(l, 1100 * S);
        fire(ladder_take_due(l, 1080 * S), LADDER_DONE, 5);
        LadderStep *s = ladder_take_due(l, 1100 * S);
        ladder_move(s, LADDER_ACTING);
        ladder_finish(s, LADDER_FAILED, 77, 9, "no \"hook\" runner");

        _cleanup_json_ json_t *text = ladder_to_json(l, 5000 * S);
        assert_int_equal(json_array_size(text), 5);
        assert_int_equal(json_get_integer(json_array_get(text, 0), "due_at", 0), 4980 * (int64_t)S);
        assert_int_equal(ladder_from_json(text, l->span_usec, &copy), 0);
        ladder_set_deadline(copy, 1100 * S);
        assert_int_equal(copy->n_steps, l->n_steps);
        for (size_t i = 0; i < l->n_steps; i++) {
                const LadderStep *a = l->steps + i, *b = copy->steps + i;
                assert_int_equal(a->act, b->act);
                assert_int_equal(a->number, b->number);
                assert_int_equal(a->state, b->state);
                assert_int_equal(a->signal, b->signal);
                assert_int_equal(a->fired_realtime, b->fired_realtime);
                assert_int_equal(a->lateness_usec, b->lateness_usec);
                assert_int_equal(a->due_boottime, b->due_boottime);
                assert_string_equal(a->hook ?: "", b->hook ?: "");
                assert_string_equal(a->message ?: "", b->message ?: "");
        }
        assert_int_equal(ladder_next_boottime(copy), 1100 * S);
        assert_string_equal(ladder_step(copy, LADDER_STEPS_MAX)->message, "no \"hook\" runner");
}

static void test_bad_text(void **state)
{
        static const char *const bad[] = {
                "[]",
                "{}",
                "[1]",
                /* without the deadline's entry */
                "[{\"step\":1,\"do\":\"kill\",\"at_percent\":1,\"state\":\"waiting\"}]",
                "[{\"do\":\"deadline\",\"at_percent\":1,\"state\":\"resting\"}]",
                "[{\"do\":\"sing\",\"at_percent\":1,\"state\":\"waiting\"}]",
                "[{\"do\":\"deadline\",\"at_percent\":-1,\"state\":\"waiting\"}]",
                ("[{\"do\":\"deadline\",\"at_percent\":1,\"state\":\"waiting\"},"
                 "{\"do\":\"deadline\",\"at_percent\":1,\"state\":\"waiting\"}]"),
                "[{\"step\":0,\"do\":\"kill\",\"at_percent\":1,\"state\":\"waiting\"}]",
                "[{\"step\":17,\"do\":\"kill\",\"at_percent\":1,\"state\":\"waiting\"}]",
                "[{\"step\":1,\"do\":\"signal\",\"at_percent\":1,\"state\":\"waiting\"}]",
                "[{\"step\":1,\"do\":\"signal\",\"signal\":99,\"at_percent\":1,\"state\":\"waiting\"}]",
        };

        for (size_t i = 0; i < ELEMENTSOF(bad); i++) {
                _cleanup_json_ json_t *text = NULL;
                Ladder *l = NULL;

                assert_int_equal(json_parse(bad[i], strlen(bad[i]), 8, &text, NULL), 0);
                assert_errno(ladder_from_json(text, 1, &l), -EBADMSG, bad[i]);
                assert_null(l);
        }
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_table),    cmocka_unit_test(test_times),
                cmocka_unit_test(test_extend),   cmocka_unit_test(test_before_boot),
                cmocka_unit_test(test_extremes), cmocka_unit_test(test_ended_by),
                cmocka_unit_test(test_text),     cmocka_unit_test(test_bad_text),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
