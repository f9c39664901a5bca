/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Keeper, launcher or both are killed, at each named step; afterwards the record says what really happened, the task
 * ran once or provably never, and nothing is left. A task appends a line to its output each time it starts, so that
 * running twice would be seen. */

#include "tests/component/launcher/harness.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "basic/fd.h"

#define _cleanup_record_ _cleanup_(record_unmapp)

/* Runs until it gets TERM, exits with 5 then. */
#define UNTIL_TERM "trap 'exit 5' TERM; echo ran; while :; do sleep 0.05; done"

static void arm(Fixture *f, const char *point, char once[static 96])
{
        snprintf(once, 96, "%s/once", f->root);
        close(open(once, O_WRONLY | O_CREAT | O_CLOEXEC, 0600));
        launcher_end(f, SIGTERM);
        launcher_start(f, point, once);
}

static void assert_ran_once(Fixture *f, const Order *o)
{
        char text[256];

        order_output(f, o, text, sizeof(text));
        assert_string_equal(text, "ran\n");
}

static void finish(Fixture *f, Order *o, RecordExit kind, int value)
{
        _cleanup_record_ const Record *r = order_wait(f, o, RECORD_ENDED);

        if (r->exit_kind != kind || r->exit_value != value)
                fail_msg("ended %s %d, expected %s %d", record_exit_name((RecordExit)r->exit_kind),
                         r->exit_value, record_exit_name(kind), value);
}

static void test_keeper_killed(void **state)
{
        _cleanup_order_ Order *o = order_new(UNTIL_TERM);

        order_start(*state, o);
        order_wait_output(*state, o, "ran");
        _cleanup_record_ const Record *r = order_wait(*state, o, RECORD_STARTED);
        pid_t keeper = r->keeper_pid;
        assert_int_equal(kill(keeper, SIGKILL), 0);
        wait_for_pid(keeper);
        assert_true(order_call(*state, o, "Signal", "ib", SIGTERM, 0) >= 0);
        finish(*state, o, RECORD_EXIT_EXITED, 5);
        assert_true(r->flags & RECORD_FLAG_ADOPTED);
        assert_true(r->flags & RECORD_FLAG_REAPED);
        assert_true(r->rusage.max_rss_bytes > 0);
        assert_int_equal(r->io.valid, 1);
        assert_ran_once(*state, o);
}

/* Keeper and task die at once: the launcher buries both. */
static void test_keeper_and_task_killed(void **state)
{
        _cleanup_order_ Order *o = order_new(UNTIL_TERM);

        order_start(*state, o);
        order_wait_output(*state, o, "ran");
        _cleanup_record_ const Record *r = order_wait(*state, o, RECORD_STARTED);
        assert_int_equal(kill(r->keeper_pid, SIGSTOP), 0);
        assert_int_equal(kill(r->task_pid, SIGKILL), 0);
        assert_int_equal(kill(r->keeper_pid, SIGKILL), 0);
        finish(*state, o, RECORD_EXIT_KILLED, SIGKILL);
        assert_true(r->flags & RECORD_FLAG_ADOPTED);
}

static void test_launcher_replaced(void **state)
{
        Fixture *f = *state;
        _cleanup_order_ Order *o = order_new(UNTIL_TERM);
        static const int signals[] = { SIGTERM, SIGKILL };

        order_start(f, o);
        order_wait_output(f, o, "ran");
        for (size_t i = 0; i < ELEMENTSOF(signals); i++) {
                launcher_end(f, signals[i]);
                launcher_start(f, NULL, NULL);
        }
        assert_true(order_call(f, o, "Signal", "ib", SIGTERM, 0) >= 0);
        finish(f, o, RECORD_EXIT_EXITED, 5);
        _cleanup_record_ const Record *r = order_wait(f, o, RECORD_ENDED);
        assert_false(r->flags & RECORD_FLAG_ADOPTED);
        assert_ran_once(f, o);
}

/* A keeper that an earlier launcher started is killed: the later one notices. */
static void test_stranger_killed(void **state)
{
        Fixture *f = *state;
        _cleanup_order_ Order *o = order_new(UNTIL_TERM);

        order_start(f, o);
        order_wait_output(f, o, "ran");
        launcher_end(f, SIGKILL);
        launcher_start(f, NULL, NULL);
        _cleanup_record_ const Record *r = order_wait(f, o, RECORD_STARTED);
        pid_t task = r->task_pid, keeper = r->keeper_pid; /* the record is about to name another */
        assert_int_equal(kill(keeper, SIGKILL), 0);
        wait_for_pid(keeper);
        assert_int_equal(kill(task, SIGTERM), 0);
        _cleanup_record_ const Record *end = order_wait(f, o, RECORD_ENDED);
        assert_true(end->flags & RECORD_FLAG_ADOPTED);
        /* Its parent is init now: the status is the kernel's to tell, or nobody's. */
        if (end->exit_kind != RECORD_EXIT_UNKNOWN) {
                assert_int_equal(end->exit_kind, RECORD_EXIT_EXITED);
                assert_int_equal(end->exit_value, 5);
        }
}

static void test_both_killed(void **state)
{
        Fixture *f = *state;
        _cleanup_order_ Order *o = order_new(UNTIL_TERM);

        order_start(f, o);
        order_wait_output(f, o, "ran");
        _cleanup_record_ const Record *r = order_wait(f, o, RECORD_STARTED);
        pid_t keeper = r->keeper_pid;
        assert_int_equal(kill(f->launcher, SIGSTOP), 0);
        assert_int_equal(kill(keeper, SIGKILL), 0);
        launcher_end(f, SIGKILL);
        wait_for_pid(keeper);
        launcher_start(f, NULL, NULL);
        assert_true(order_call(f, o, "Signal", "ib", SIGTERM, 0) >= 0);
        _cleanup_record_ const Record *end = order_wait(f, o, RECORD_ENDED);
        assert_true(end->flags & RECORD_FLAG_ADOPTED);
        if (end->exit_kind != RECORD_EXIT_UNKNOWN)
                assert_int_equal(end->exit_value, 5);
        assert_ran_once(f, o);
}

/* ... and the task ends while nobody is there. */
static void test_both_killed_and_task_gone(void **state)
{
        Fixture *f = *state;
        _cleanup_order_ Order *o = order_new(UNTIL_TERM);

        order_start(f, o);
        order_wait_output(f, o, "ran");
        _cleanup_record_ const Record *r = order_wait(f, o, RECORD_STARTED);
        pid_t keeper = r->keeper_pid, task = r->task_pid;
        assert_int_equal(kill(f->launcher, SIGSTOP), 0);
        assert_int_equal(kill(keeper, SIGKILL), 0);
        launcher_end(f, SIGKILL);
        wait_for_pid(keeper);
        assert_int_equal(kill(task, SIGKILL), 0);
        wait_for_pid(task);
        launcher_start(f, NULL, NULL);
        _cleanup_record_ const Record *end = order_wait(f, o, RECORD_ENDED);
        if (end->exit_kind != RECORD_EXIT_UNKNOWN) /* init had not reaped it when the launcher came */
                assert_int_equal(end->exit_value, SIGKILL);
}

/* The launcher dies before the task can have run: taken back, and the same ticket starts it then. */
static void launcher_dies_at(Fixture *f, const char *point)
{
        _cleanup_order_ Order *o = order_new("echo ran");
        char once[96];

        arm(f, point, once);
        order_seal(o);
        assert_int_equal(order_authorize(f, o), 0);
        assert_true(order_launch(f, o) < 0);
        launcher_wait(f);
        assert_true(order_has_record(f, o));
        launcher_start(f, NULL, NULL);
        assert_false(order_has_record(f, o));
        if (order_launch(f, o) < 0)
                fail_msg("%s: a second Launch fails: %s", point, o->error.message);
        finish(f, o, RECORD_EXIT_EXITED, 0);
        assert_ran_once(f, o);
}

static void test_launcher_dies_at_claim(void **state)
{
        launcher_dies_at(*state, "launcher:claim");
}

static void test_launcher_dies_at_mkdir(void **state)
{
        launcher_dies_at(*state, "launcher:mkdir");
}

/* The launcher dies when the keeper has the task: it runs, and a second Launch is a replay. */
static void launcher_dies_later(Fixture *f, const char *point)
{
        _cleanup_order_ Order *o = order_new("echo ran");
        char once[96];

        arm(f, point, once);
        order_seal(o);
        assert_int_equal(order_authorize(f, o), 0);
        assert_true(order_launch(f, o) < 0);
        launcher_wait(f);
        launcher_start(f, NULL, NULL);
        assert_refused(order_launch(f, o), o, "AlreadyExists");
        finish(f, o, RECORD_EXIT_EXITED, 0);
        assert_ran_once(f, o);
}

static void test_launcher_dies_after_fork(void **state)
{
        launcher_dies_later(*state, "launcher:keeper-forked");
}

static void test_launcher_dies_at_exec(void **state)
{
        launcher_dies_later(*state, "launcher:exec");
}

/* The keeper dies at a step; the launcher sees to it that the account is complete. */
static void keeper_dies_at(Fixture *f, const char *point, bool adopted)
{
        _cleanup_order_ Order *o = order_new("echo ran; exit 6");
        char once[96];

        arm(f, point, once);
        order_seal(o);
        assert_int_equal(order_authorize(f, o), 0);
        int r = order_launch(f, o);
        if (r < 0)
                fail_msg("%s: %s", point, o->error.message);
        finish(f, o, RECORD_EXIT_EXITED, 6);
        _cleanup_record_ const Record *end = order_wait(f, o, RECORD_ENDED);
        assert_int_equal((end->flags & RECORD_FLAG_ADOPTED) != 0, adopted);
        assert_ran_once(f, o);
        assert_int_not_equal(access(once, F_OK), 0); /* the point was reached */
        /* What a keeper could not remove any more, a launcher does, at the latest when it starts. */
        launcher_end(f, SIGTERM);
        launcher_start(f, NULL, NULL);
}

static void test_keeper_dies_before_clone(void **state)
{
        Fixture *f = *state;
        _cleanup_order_ Order *o = order_new("echo ran");
        char once[96];

        arm(f, "keeper:keeper-forked", once);
        order_seal(o);
        assert_int_equal(order_authorize(f, o), 0);
        assert_refused(order_launch(f, o), o, "Unavailable");
        assert_false(order_has_record(f, o));
        assert_int_equal(order_launch(f, o), 0);
        finish(f, o, RECORD_EXIT_EXITED, 0);
        assert_ran_once(f, o);
}

static void test_keeper_dies_at_started(void **state)
{
        keeper_dies_at(*state, "keeper:started", true);
}

static void test_keeper_dies_at_exec(void **state)
{
        keeper_dies_at(*state, "keeper:exec", true);
}

static void test_keeper_dies_at_reap(void **state)
{
        keeper_dies_at(*state, "keeper:reap", true);
}

static void test_keeper_dies_at_read(void **state)
{
        keeper_dies_at(*state, "keeper:read", true);
}

static void test_keeper_dies_at_ended(void **state)
{
        keeper_dies_at(*state, "keeper:ended", false);
}

/* Keeper and launcher both gone at a step of the keeper, the launcher a moment later. */
static void test_both_die_at_read(void **state)
{
        Fixture *f = *state;
        _cleanup_order_ Order *o = order_new("echo ran; read x; exit 7");
        char once[96];
        int fds[2];

        arm(f, "keeper:read", once);
        assert_int_equal(pipe(fds), 0);
        assert_int_equal(spec_stdio_from_fd(o->spec.stdio, fds[0]), 0);
        o->fds[o->n_fds++] = fds[0];
        order_start(f, o);
        _cleanup_record_ const Record *r = order_wait(f, o, RECORD_STARTED);
        pid_t keeper = r->keeper_pid;
        assert_int_equal(kill(f->launcher, SIGSTOP), 0);
        close(fds[0]);
        close(fds[1]);
        wait_for_pid(keeper);
        launcher_end(f, SIGKILL);
        launcher_start(f, NULL, NULL);
        finish(f, o, RECORD_EXIT_EXITED, 7); /* it was in the record before it was reaped */
        assert_ran_once(f, o);
}

static void test_launcher_dies_at_forget(void **state)
{
        Fixture *f = *state;
        _cleanup_order_ Order *o = order_new("echo ran");
        char once[96];

        arm(f, "launcher:forget", once);
        _cleanup_record_ const Record *r = order_run(f, o);
        assert_int_equal(r->exit_value, 0);
        assert_true(sd_bus_call_method(f->bus, NULL, LAUNCHER_OBJECT, LAUNCHER_INTERFACE, "Forget",
                                       &o->error, NULL, "a(su)", 1, o->spec.task_id, o->attempt) < 0);
        launcher_wait(f);
        launcher_start(f, NULL, NULL);
        assert_false(order_has_record(f, o));
        assert_refused(order_launch(f, o), o, "AlreadyExists");
}

/* Things in the directory of records that no launcher wrote are left alone and do no harm. */
static void test_foreign_records(void **state)
{
        Fixture *f = *state;
        static const char *const names[] = { "garbage.1", "no-number", "x.99999" };

        for (size_t i = 0; i < ELEMENTSOF(names); i++) {
                int fd = openat(f->records_fd, names[i], O_WRONLY | O_CREAT | O_CLOEXEC, 0640);
                assert_int_equal(fd_write_full(fd, "no record", 9), 0);
                close(fd);
        }
        launcher_end(f, SIGTERM);
        launcher_start(f, NULL, NULL);
        for (size_t i = 0; i < ELEMENTSOF(names); i++)
                assert_int_equal(faccessat(f->records_fd, names[i], F_OK, 0), 0);
        _cleanup_order_ Order *o = order_new("echo ran");
        _cleanup_record_ const Record *r = order_run(f, o);
        assert_int_equal(r->exit_value, 0);
}

#define TEST(test) cmocka_unit_test_setup_teardown(test, fixture_setup, fixture_teardown)

int main(void)
{
        const struct CMUnitTest tests[] = {
                TEST(test_keeper_killed),
                TEST(test_keeper_and_task_killed),
                TEST(test_launcher_replaced),
                TEST(test_stranger_killed),
                TEST(test_both_killed),
                TEST(test_both_killed_and_task_gone),
                TEST(test_launcher_dies_at_claim),
                TEST(test_launcher_dies_at_mkdir),
                TEST(test_launcher_dies_after_fork),
                TEST(test_launcher_dies_at_exec),
                TEST(test_keeper_dies_before_clone),
                TEST(test_keeper_dies_at_started),
                TEST(test_keeper_dies_at_exec),
                TEST(test_keeper_dies_at_reap),
                TEST(test_keeper_dies_at_read),
                TEST(test_keeper_dies_at_ended),
                TEST(test_both_die_at_read),
                TEST(test_launcher_dies_at_forget),
                TEST(test_foreign_records),
        };

        if (fixture_obstacle()) {
                fprintf(stderr, "skipped: %s\n", fixture_obstacle());
                return 77;
        }
        return cmocka_run_group_tests_name("launcher-recovery", tests, NULL, NULL);
}
