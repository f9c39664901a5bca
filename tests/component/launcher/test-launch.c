/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* How tasks start, run and end, under both backends: what is in the record afterwards. */

#include "tests/component/launcher/harness.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "basic/fd.h"
#include "common/clock.h"

#define _cleanup_record_ _cleanup_(record_unmapp)

static usec_t now_boottime(void)
{
        return clock_boottime(clock_system());
}

static bool is_cgroup(const Record *r)
{
        return r->backend == RECORD_BACKEND_CGROUP;
}

static void assert_exit(const Record *r, RecordExit kind, int value)
{
        if (r->exit_kind != kind || r->exit_value != value)
                fail_msg("%s: ended %s %d, expected %s %d", r->task_id,
                         record_exit_name((RecordExit)r->exit_kind), r->exit_value, record_exit_name(kind),
                         value);
}

static void test_true(void **state)
{
        _cleanup_order_ Order *o = order_new("true");
        _cleanup_record_ const Record *r = order_run(*state, o);
        const char *name, *text;
        size_t cursor = 0, name_length, length, n_files = 0;

        assert_exit(r, RECORD_EXIT_EXITED, 0);
        assert_int_equal(r->task_pid, o->pid);
        assert_int_equal(r->run_uid, 0);
        assert_true(r->flags == RECORD_FLAG_REAPED);
        assert_true(r->started_boottime_usec >= r->claimed_boottime_usec);
        assert_true(r->ended_boottime_usec >= r->started_boottime_usec);
        assert_true(r->done_realtime_usec >= r->ended_realtime_usec);
        assert_int_equal(r->io.valid, 1);
        assert_true(r->rusage.max_rss_bytes > 0);
        while (record_next_file(r, &cursor, &name, &name_length, &text, &length) > 0)
                n_files += name_length == 8 && memcmp(name, "cpu.stat", 8) == 0 && length > 20;
        assert_int_equal(n_files, is_cgroup(r));
}

static void test_exit_status(void **state)
{
        _cleanup_order_ Order *o = order_new("exit 3");
        _cleanup_record_ const Record *r = order_run(*state, o);

        assert_exit(r, RECORD_EXIT_EXITED, 3);
}

static void test_signal(void **state)
{
        _cleanup_order_ Order *o = order_new("kill -USR2 $$");
        _cleanup_record_ const Record *r = order_run(*state, o);

        assert_exit(r, RECORD_EXIT_KILLED, SIGUSR2);
}

/* What a task is born with: looked at by programs that change none of it. */
static void test_signals_and_descriptors(void **state)
{
        _cleanup_order_ Order *status = order_new(""), *fds = order_new("");
        char text[4096];

        status->argv[0] = (char *)"grep";
        status->argv[1] = (char *)"^Sig[BI]";
        status->argv[2] = (char *)"/proc/self/status";
        _cleanup_record_ const Record *r = order_run(*state, status);
        assert_exit(r, RECORD_EXIT_EXITED, 0);
        order_output(*state, status, text, sizeof(text));
        assert_string_equal(text, "SigBlk:\t0000000000000000\nSigIgn:\t0000000000000000\n");

        fds->argv[0] = (char *)"ls";
        fds->argv[1] = (char *)"/proc/self/fd";
        fds->argv[2] = NULL;
        _cleanup_record_ const Record *r2 = order_run(*state, fds);
        assert_exit(r2, RECORD_EXIT_EXITED, 0);
        order_output(*state, fds, text, sizeof(text));
        assert_string_equal(text, "0\n1\n2\n3\n"); /* 3 is the directory that ls reads */
}

static void test_specified(void **state)
{
        _cleanup_order_ Order *o = order_new("grep ^Groups /proc/$$/status; echo oom $(cat "
                                             "/proc/$$/oom_score_adj) umask $(umask) cwd $(pwd);"
                                             "echo nofile $(ulimit -n) nice $(nice) "
                                             "$REEVE_TASK_ID.$REEVE_ATTEMPT; env | grep -c ^REEVE_");
        char text[4096], expected[256];

        o->env[1] = (char *)"REEVE_TASK_ID=somebody-else";
        o->spec.umask = 027;
        o->spec.cwd = "/usr";
        o->spec.nice = 5;
        o->spec.has_oom_score_adjust = true;
        o->spec.oom_score_adjust = 77;
        o->spec.rlimits[RLIMIT_NOFILE] = (SpecRlimit){ true, 99, 100 };
        o->spec.has_groups = true;
        o->spec.groups = (gid_t[]){ 1, 2 };
        o->spec.n_groups = 2;
        _cleanup_record_ const Record *r = order_run(*state, o);

        assert_exit(r, RECORD_EXIT_EXITED, 0);
        order_output(*state, o, text, sizeof(text));
        snprintf(expected, sizeof(expected),
                 "Groups:\t1 2 \noom 77 umask 0027 cwd /usr\nnofile 99 nice 5 %s.1\n2\n", o->spec.task_id);
        assert_string_equal(text, expected);
}

static void test_exec_error(void **state)
{
        _cleanup_order_ Order *o = order_new("");

        o->argv[0] = (char *)"/does/not/exist";
        o->argv[1] = NULL;
        order_seal(o);
        assert_int_equal(order_authorize(*state, o), 0);
        assert_refused(order_launch(*state, o), o, "ExecFailed");
        assert_string_equal(o->error.message, "2 /does/not/exist");

        _cleanup_record_ const Record *r = order_wait(*state, o, RECORD_ENDED);
        assert_exit(r, RECORD_EXIT_EXEC_FAILED, ENOENT);
        assert_string_equal(r->exec_path, "/does/not/exist");
}

static void test_search_path(void **state)
{
        _cleanup_order_ Order *o = order_new(""), *missing = order_new("");

        o->argv[0] = (char *)"true";
        o->argv[1] = NULL;
        _cleanup_record_ const Record *r = order_run(*state, o);
        assert_exit(r, RECORD_EXIT_EXITED, 0);

        missing->argv[0] = (char *)"no-such-command";
        missing->argv[1] = NULL;
        order_seal(missing);
        assert_int_equal(order_authorize(*state, missing), 0);
        assert_refused(order_launch(*state, missing), missing, "ExecFailed");
        assert_string_equal(missing->error.message, "2 no-such-command");
        _cleanup_record_ const Record *failed = order_wait(*state, missing, RECORD_ENDED);
        assert_exit(failed, RECORD_EXIT_EXEC_FAILED, ENOENT);
}

static void test_missing_cwd(void **state)
{
        _cleanup_order_ Order *o = order_new("true");

        o->spec.cwd = "/root/nowhere";
        o->spec.uid = o->spec.gid = 65534;
        order_seal(o);
        assert_int_equal(order_authorize(*state, o), 0);
        assert_refused(order_launch(*state, o), o, "ExecFailed");
        assert_string_equal(o->error.message, "13 /root/nowhere");
        _cleanup_record_ const Record *r = order_wait(*state, o, RECORD_ENDED);
        assert_exit(r, RECORD_EXIT_EXEC_FAILED, EACCES);
}

static void test_leftovers_end_by_term(void **state)
{
        _cleanup_order_ Order *o = order_new("sleep 1000 & exit 4");
        usec_t begin = now_boottime();
        _cleanup_record_ const Record *r = order_run(*state, o);

        assert_exit(r, RECORD_EXIT_EXITED, 4);
        assert_true(r->flags & RECORD_FLAG_LEFTOVERS);
        assert_false(r->flags & RECORD_FLAG_KILLED);
        assert_true(now_boottime() - begin < 3 * USEC_PER_SEC);
}

static void test_leftovers_that_ignore_term(void **state)
{
        _cleanup_order_ Order *o =
                        order_new("trap '' TERM; setsid sh -c 'echo on; sleep 1000' & read x < /dev/null; "
                                  "while ! grep -q on /proc/$$/fd/1; do :; done; exit 0");
        o->grace = 300 * USEC_PER_MSEC;
        _cleanup_record_ const Record *r = order_run(*state, o);

        assert_exit(r, RECORD_EXIT_EXITED, 0);
        assert_true(r->flags & RECORD_FLAG_LEFTOVERS);
        assert_true(r->flags & RECORD_FLAG_KILLED);
        assert_true(r->done_realtime_usec - r->ended_realtime_usec >= 300 * USEC_PER_MSEC);
}

/* A daemon that burns a second and ends by itself within the grace: its time counts. */
static void test_daemon_is_counted(void **state)
{
        _cleanup_order_ Order *o = order_new("exec 2>&1; (setsid sh -c 'trap \"\" TERM; echo on; i=0; while "
                                             "[ $i -lt 600000 ]; do "
                                             "i=$((i+1)); done; times >&1' & ) ; while ! grep -q on "
                                             "/proc/$$/fd/1; do :; done; exit 0");
        _cleanup_record_ const Record *r = order_run(*state, o);

        assert_exit(r, RECORD_EXIT_EXITED, 0);
        if (r->rusage.user_usec < 100 * USEC_PER_MSEC)
                fail_msg("the daemon's time is not counted: %llu usec",
                         (unsigned long long)r->rusage.user_usec);
}

static void test_backstop(void **state)
{
        _cleanup_order_ Order *o = order_new("trap '' TERM; while :; do sleep 1000; done");

        o->deadline_boottime = now_boottime() + 200 * USEC_PER_MSEC;
        _cleanup_record_ const Record *r = order_run(*state, o);
        assert_exit(r, RECORD_EXIT_KILLED, SIGKILL);
        assert_true(r->flags & RECORD_FLAG_BACKSTOP);
        assert_true(r->ended_boottime_usec >= o->deadline_boottime);
}

static void test_set_deadline(void **state)
{
        _cleanup_order_ Order *o = order_new("sleep 1000");

        order_start(*state, o);
        assert_true(order_call(*state, o, "SetDeadline", "t", now_boottime() + 50 * USEC_PER_MSEC) >= 0);
        _cleanup_record_ const Record *r = order_wait(*state, o, RECORD_ENDED);
        assert_true(r->flags & RECORD_FLAG_BACKSTOP);
        assert_refused(order_call(*state, o, "SetDeadline", "t", now_boottime()), o, "AlreadyFinished");
}

static void test_output_cap(void **state)
{
        _cleanup_order_ Order *o =
                        order_new("echo first; head -c 3000000 /dev/zero | tr '\\0' x; echo last");
        Fixture *f = *state;
        struct stat st;
        char path[256], *text = malloc(4000000);

        o->output_cap = 1024 * 1024;
        _cleanup_record_ const Record *r = order_run(f, o);
        assert_true(r->flags & RECORD_FLAG_PUNCHED);
        size_t n = order_output(f, o, text, 4000000);
        assert_int_equal(n, 3000011);
        assert_memory_equal(text, "first\nxx", 8);
        assert_memory_equal(text + n - 8, "xxxlast\n", 8);
        free(text);
        snprintf(path, sizeof(path), "%s/output/%s.1", f->root, o->spec.task_id);
        assert_int_equal(stat(path, &st), 0);
        assert_int_equal(st.st_mode & 07777, 0640);
        assert_int_equal(st.st_gid, f->reeve_gid);
        if (st.st_blocks * 512 > 1024 * 1024 + 8192)
                fail_msg("%lld bytes are allocated under a cap of 1 MiB", (long long)st.st_blocks * 512);
}

static void test_freeze(void **state)
{
        /* With a handler: what is fatal by default ends even the frozen. */
        _cleanup_order_ Order *o = order_new("trap 'exit 5' TERM; echo up; while :; do sleep 0.05; done");

        order_start(*state, o);
        order_wait_output(*state, o, "up");
        _cleanup_record_ const Record *r = order_wait(*state, o, RECORD_STARTED);
        if (is_cgroup(r)) {
                assert_true(order_call(*state, o, "Freeze", "") >= 0);
                assert_true(order_call(*state, o, "Signal", "ib", SIGTERM, 0) >= 0);
                assert_int_equal(record_phase(r), RECORD_STARTED);
                assert_true(order_call(*state, o, "Thaw", "") >= 0);
        } else {
                assert_refused(order_call(*state, o, "Freeze", ""), o, "InvalidArgument");
                assert_non_null(strstr(o->error.message, "backend process"));
                assert_true(order_call(*state, o, "Signal", "ib", SIGTERM, 0) >= 0);
        }
        _cleanup_record_ const Record *end = order_wait(*state, o, RECORD_ENDED);
        assert_exit(end, RECORD_EXIT_EXITED, 5);
}

static void test_kill_whole(void **state)
{
        _cleanup_order_ Order *o = order_new("setsid sleep 1000 & echo up; wait");

        order_start(*state, o);
        order_wait_output(*state, o, "up");
        assert_true(order_call(*state, o, "Kill", "") >= 0);
        _cleanup_record_ const Record *r = order_wait(*state, o, RECORD_ENDED);
        assert_exit(r, RECORD_EXIT_KILLED, SIGKILL);
}

static void test_keeper_takes_term(void **state)
{
        _cleanup_order_ Order *o = order_new("trap 'exit 9' TERM; echo up; while :; do sleep 0.1; done");

        order_start(*state, o);
        order_wait_output(*state, o, "up");
        _cleanup_record_ const Record *r = order_wait(*state, o, RECORD_STARTED);
        assert_int_equal(kill(r->keeper_pid, SIGTERM), 0);
        _cleanup_record_ const Record *end = order_wait(*state, o, RECORD_ENDED);
        assert_exit(end, RECORD_EXIT_EXITED, 9);
}

static void test_passed_descriptor(void **state)
{
        _cleanup_order_ Order *o = order_new("echo through the pipe");
        int fds[2];
        char text[64] = "";

        assert_int_equal(pipe(fds), 0);
        assert_int_equal(spec_stdio_from_fd(o->spec.stdio + 1, fds[1]), 0);
        o->fds[o->n_fds++] = fds[1];
        order_start(*state, o);
        close(fds[1]);
        /* The end of file comes only if nobody else kept the writing end: not launcher, not keeper. */
        assert_int_equal(fd_read_full(fds[0], text, sizeof(text)), 17);
        assert_string_equal(text, "through the pipe\n");
        close(fds[0]);
        _cleanup_record_ const Record *r = order_wait(*state, o, RECORD_ENDED);
        assert_exit(r, RECORD_EXIT_EXITED, 0);
}

static void test_read_usage(void **state)
{
        _cleanup_(sd_bus_message_unrefp) sd_bus_message *reply = NULL;
        _cleanup_order_ Order *o = order_new("sleep 1000 & echo up; wait");
        Fixture *f = *state;
        const char *id;
        uint32_t attempt;
        uint64_t v[6];

        order_start(f, o);
        order_wait_output(f, o, "up");
        assert_true(sd_bus_call_method(f->bus, NULL, LAUNCHER_OBJECT, LAUNCHER_INTERFACE, "ReadUsage",
                                       &o->error, &reply, "a(su)", 2, "nobody-knows", 1, o->spec.task_id,
                                       1) >= 0);
        assert_true(sd_bus_message_enter_container(reply, 'a', "(sutttttt)") > 0);
        assert_true(sd_bus_message_read(reply, "(sutttttt)", &id, &attempt, v, v + 1, v + 2, v + 3, v + 4,
                                        v + 5) > 0);
        assert_string_equal(id, o->spec.task_id);
        assert_true(v[2] > 0);
        assert_int_equal(v[5], 2);
        assert_int_equal(sd_bus_message_at_end(reply, false), 1);
        assert_true(order_call(f, o, "Kill", "") >= 0);
        _cleanup_record_ const Record *r = order_wait(f, o, RECORD_ENDED);
        assert_exit(r, RECORD_EXIT_KILLED, SIGKILL);
}

static void test_forget(void **state)
{
        _cleanup_order_ Order *o = order_new("sleep 1000");

        order_start(*state, o);
        order_forget(*state, o); /* it runs: nothing happens */
        assert_true(order_has_record(*state, o));
        assert_true(order_call(*state, o, "Kill", "") >= 0);
        _cleanup_record_ const Record *r = order_wait(*state, o, RECORD_ENDED);
        order_forget(*state, o);
        assert_false(order_has_record(*state, o));
        assert_refused(order_call(*state, o, "Kill", ""), o, "NoSuchTask");
}

#define BOTH(test)                                                                      \
        cmocka_unit_test_setup_teardown(test, fixture_setup, fixture_teardown),         \
        {                                                                               \
#                test " (process)", test, fixture_setup_process, fixture_teardown, NULL \
        }

int main(void)
{
        const struct CMUnitTest tests[] = {
                BOTH(test_true),
                BOTH(test_exit_status),
                BOTH(test_signal),
                BOTH(test_signals_and_descriptors),
                BOTH(test_specified),
                BOTH(test_exec_error),
                BOTH(test_search_path),
                BOTH(test_missing_cwd),
                BOTH(test_leftovers_end_by_term),
                BOTH(test_leftovers_that_ignore_term),
                BOTH(test_daemon_is_counted),
                BOTH(test_backstop),
                BOTH(test_set_deadline),
                BOTH(test_output_cap),
                BOTH(test_freeze),
                BOTH(test_kill_whole),
                BOTH(test_keeper_takes_term),
                BOTH(test_passed_descriptor),
                BOTH(test_read_usage),
                BOTH(test_forget),
        };

        if (fixture_obstacle()) {
                fprintf(stderr, "skipped: %s\n", fixture_obstacle());
                return 77;
        }
        return cmocka_run_group_tests_name("launcher-launch", tests, NULL, NULL);
}
