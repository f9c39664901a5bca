/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Steps of a ladder: each has its effect once, however often it is asked for and whoever dies in between; only a kill is done
 * again. The task counts in its output what reached it. */

#include "tests/component/launcher/harness.h"

#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <unistd.h>

#include "basic/fd.h"
#include "common/clock.h"

#define _cleanup_record_ _cleanup_(record_unmapp)

/* Says "hit" at each USR1; ignores TERM. It waits in a builtin, for dash forgets a signal that comes while it starts a command. */
#define COUNTS_USR1                                                                                     \
        "exec 2>/dev/null; trap '' TERM; (trap '' USR1; exec sleep 1000) & trap 'echo hit' USR1; echo " \
        "ran; "                                                                                         \
        "while :; do wait; done"

/* Whether it was asked for before; or a negative errno, with the order's error set. */
static int step(Fixture *f, Order *o, unsigned number, const char *act, int signal)
{
        _cleanup_(sd_bus_message_unrefp) sd_bus_message *answer = NULL;
        usec_t before = clock_boottime(clock_system());
        uint64_t begun, done;
        int again;

        sd_bus_error_free(&o->error);
        int r = sd_bus_call_method(f->bus, NULL, LAUNCHER_OBJECT, LAUNCHER_INTERFACE, "Step", &o->error,
                                   &answer, "suusi", o->spec.task_id, o->attempt, number, act, signal);
        if (r < 0)
                return r;
        assert_true(sd_bus_message_read(answer, "btt", &again, &begun, &done) >= 0);
        assert_in_range(begun, before, done);
        assert_in_range(done, begun, clock_boottime(clock_system()));
        return again;
}

static uint32_t bits(Fixture *f, Order *o)
{
        _cleanup_record_ const Record *r = order_wait(f, o, RECORD_STARTED);
        return atomic_load(&((Record *)r)->ladder_bits);
}

static bool is_frozen(Fixture *f, Order *o)
{
        _cleanup_record_ const Record *r = order_wait(f, o, RECORD_STARTED);
        char path[600], text[8];

        snprintf(path, sizeof(path), "/sys/fs/cgroup/unified/%s/cgroup.freeze", r->cgroup);
        _cleanup_fd_ int fd = open(path, O_RDONLY | O_CLOEXEC);
        if (fd < 0) {
                snprintf(path, sizeof(path), "/sys/fs/cgroup/%s/cgroup.freeze", r->cgroup);
                fd = open(path, O_RDONLY | O_CLOEXEC);
        }
        assert_true(fd >= 0);
        assert_true(fd_pread_file(fd, text, sizeof(text)) > 0);
        return text[0] == '1';
}

/* Everything that was sent is in the output when the answer to a later signal is. */
static void assert_hits(Fixture *f, Order *o, const char *expected)
{
        char text[256];

        order_wait_output(f, o, expected);
        order_output(f, o, text, sizeof(text));
        assert_string_equal(text, expected);
}

static void test_once(void **state)
{
        _cleanup_order_ Order *o = order_new(COUNTS_USR1);
        Fixture *f = *state;

        order_start(f, o);
        order_wait_output(f, o, "ran");
        assert_int_equal(bits(f, o), 0);
        assert_int_equal(step(f, o, 3, "signal", SIGUSR1), 0);
        assert_hits(f, o, "ran\nhit\n");
        assert_int_equal(step(f, o, 3, "signal", SIGUSR1), 1);
        assert_int_equal(step(f, o, 4, "signal", SIGUSR1), 0);
        assert_hits(f, o, "ran\nhit\nhit\n");
        assert_int_equal(bits(f, o), 1U << 3 | 1U << 4);

        /* Another launcher knows, too. */
        launcher_end(f, SIGKILL);
        launcher_start(f, NULL, NULL);
        assert_int_equal(step(f, o, 3, "signal", SIGUSR1), 1);
        assert_int_equal(step(f, o, 4, "kill", 0), 1);
        _cleanup_record_ const Record *r = order_wait(f, o, RECORD_ENDED);
        assert_int_equal(r->exit_kind, RECORD_EXIT_KILLED);
        assert_refused(step(f, o, 5, "kill", 0), o, "AlreadyFinished");
}

/* A frozen task hears a signal, because it is thawed for that. */
static void test_freeze_then_signal(void **state)
{
        _cleanup_order_ Order *o = order_new(COUNTS_USR1);
        Fixture *f = *state;

        order_start(f, o);
        order_wait_output(f, o, "ran");
        assert_int_equal(step(f, o, 0, "freeze", 0), 0);
        assert_true(is_frozen(f, o));
        assert_int_equal(step(f, o, 0, "freeze", 0), 1);
        assert_int_equal(step(f, o, 1, "signal", SIGUSR1), 0);
        assert_hits(f, o, "ran\nhit\n");
        assert_false(is_frozen(f, o));
        assert_int_equal(step(f, o, 0, "freeze", 0), 1);
        assert_false(is_frozen(f, o));
        assert_int_equal(step(f, o, 2, "kill", 0), 0);
        _cleanup_record_ const Record *r = order_wait(f, o, RECORD_ENDED);
        assert_int_equal(r->exit_value, SIGKILL);
}

/* The launcher dies between the bit and the act, or between the act and the answer: the bit says so, and the act is not done
 * again. */
static void test_launcher_killed(void **state)
{
        static const struct {
                const char *point, *output;
        } points[] = {
                { "launcher:step-claimed", "ran\nhit\n" },
                { "launcher:step-acted", "ran\nhit\nhit\n" },
        };
        Fixture *f = *state;
        char once[96];

        for (size_t i = 0; i < ELEMENTSOF(points); i++) {
                _cleanup_order_ Order *o = order_new(COUNTS_USR1);

                launcher_end(f, SIGTERM);
                snprintf(once, sizeof(once), "%s/once", f->root);
                close(open(once, O_WRONLY | O_CREAT | O_CLOEXEC, 0600));
                launcher_start(f, points[i].point, once);
                order_start(f, o);
                order_wait_output(f, o, "ran");
                assert_true(step(f, o, 0, "signal", SIGUSR1) < 0);
                launcher_wait(f);
                launcher_start(f, NULL, NULL);
                assert_int_equal(bits(f, o), 1);
                assert_int_equal(step(f, o, 0, "signal", SIGUSR1), 1);
                assert_int_equal(step(f, o, 1, "signal", SIGUSR1), 0);
                assert_hits(f, o, points[i].output);
                assert_int_equal(step(f, o, 2, "kill", 0), 0);
                record_unmap(order_wait(f, o, RECORD_ENDED));
        }
}

static void test_bad_steps(void **state)
{
        static const struct {
                unsigned number;
                const char *act;
                int signal;
        } bad[] = {
                { 32, "kill", 0 },   { UINT32_MAX, "kill", 0 }, { 0, "", 0 },       { 0, "notify", 0 },
                { 0, "signal", 65 }, { 0, "signal", -1 },       { 0, "killer", 0 },
        };
        _cleanup_order_ Order *o = order_new(COUNTS_USR1);
        Fixture *f = *state;

        order_start(f, o);
        for (size_t i = 0; i < ELEMENTSOF(bad); i++)
                assert_refused(step(f, o, bad[i].number, bad[i].act, bad[i].signal), o, "InvalidArgument");
        assert_int_equal(bits(f, o), 0);
        o->attempt = 7;
        assert_refused(step(f, o, 0, "kill", 0), o, "NoSuchTask");
        o->attempt = 1;
        assert_int_equal(step(f, o, 15, "kill", 0), 0);
        record_unmap(order_wait(f, o, RECORD_ENDED));
}

/* The process for steps does them, and nothing else, on its socket. */
static void test_own_process(void **state)
{
        _cleanup_(sd_bus_close_unrefp) sd_bus *main_bus = NULL, *bus = NULL;
        _cleanup_(sd_bus_error_free) sd_bus_error error = SD_BUS_ERROR_NULL;
        _cleanup_order_ Order *o = order_new(COUNTS_USR1);
        Fixture *f = *state;
        char address[128];

        order_start(f, o);
        order_wait_output(f, o, "ran");
        snprintf(address, sizeof(address), "unix:path=%s/launcher-steps", f->root);
        assert_true(sd_bus_new(&bus) >= 0);
        assert_true(sd_bus_set_address(bus, address) >= 0);
        assert_true(sd_bus_start(bus) >= 0);

        assert_true(sd_bus_call_method(bus, NULL, LAUNCHER_OBJECT, LAUNCHER_INTERFACE, "Kill", &error, NULL,
                                       "su", o->spec.task_id, o->attempt) < 0);
        assert_true(sd_bus_error_has_name(&error, SD_BUS_ERROR_UNKNOWN_METHOD));

        main_bus = sd_bus_ref(f->bus);
        sd_bus_unref(f->bus);
        f->bus = sd_bus_ref(bus);
        assert_int_equal(step(f, o, 0, "signal", SIGUSR1), 0);
        assert_hits(f, o, "ran\nhit\n");
        sd_bus_unref(f->bus);
        f->bus = sd_bus_ref(main_bus);
        assert_int_equal(step(f, o, 0, "signal", SIGUSR1), 1); /* one bit for both */
        assert_int_equal(step(f, o, 1, "kill", 0), 0);
        record_unmap(order_wait(f, o, RECORD_ENDED));
}

/* ---- Inspect ---- */

static int inspect(Fixture *f, Order *o, sd_bus_message **ret)
{
        sd_bus_error_free(&o->error);
        return sd_bus_call_method(f->bus, NULL, LAUNCHER_OBJECT, LAUNCHER_INTERFACE, "Inspect", &o->error,
                                  ret, "su", o->spec.task_id, o->attempt);
}

/* How many processes there are; of the first one that has paths these are counted, too. */
static unsigned count(sd_bus_message *m, unsigned *ret_paths, unsigned *ret_unseen)
{
        const char *state, *comm, *wchan, *path;
        unsigned n = 0;
        uint32_t pid, n_fds;

        *ret_paths = *ret_unseen = 0;
        assert_true(sd_bus_message_enter_container(m, 'a', "(usssuas)") > 0);
        for (; sd_bus_message_enter_container(m, 'r', "usssuas") > 0; n++) {
                assert_true(sd_bus_message_read(m, "usssu", &pid, &state, &comm, &wchan, &n_fds) > 0);
                assert_true(pid > 1 && strlen(state) == 1);
                unsigned n_paths = 0;
                assert_true(sd_bus_message_enter_container(m, 'a', "s") > 0);
                while (sd_bus_message_read(m, "s", &path) > 0)
                        n_paths++;
                sd_bus_message_exit_container(m);
                sd_bus_message_exit_container(m);
                assert_in_range(n_paths, 0, 8);
                *ret_paths = MAX(*ret_paths, n_paths);
                *ret_unseen += n_fds == 0 && wchan[0] == '\0' && n_paths == 0;
        }
        return n;
}

/* Its processes and nobody else's, at most 64; what a process of another user is at, which the task started (as a setuid program
 * does), is not told. */
static void test_inspect(void **state)
{
        _cleanup_order_ Order *o = order_new("for i in $(seq 70); do sleep 1000 & done; echo ran; wait");
        _cleanup_order_ Order *other = order_new(
                        "setpriv --reuid 65534 --clear-groups sh -c 'echo ran; sleep 1000; :' & wait");
        _cleanup_(sd_bus_message_unrefp) sd_bus_message *many = NULL, *mixed = NULL;
        unsigned paths, unseen;
        Fixture *f = *state;

        order_start(f, o);
        order_wait_output(f, o, "ran");
        assert_true(inspect(f, o, &many) >= 0);
        assert_int_equal(count(many, &paths, &unseen), 64);
        assert_true(paths >= 3);
        assert_int_equal(unseen, 0);

        order_start(f, other);
        order_wait_output(f, other, "ran");
        assert_true(inspect(f, other, &mixed) >= 0);
        assert_in_range(count(mixed, &paths, &unseen), 2, 3);
        assert_true(unseen >= 1);

        assert_int_equal(step(f, o, 0, "kill", 0), 0);
        assert_int_equal(step(f, other, 0, "kill", 0), 0);
        record_unmap(order_wait(f, o, RECORD_ENDED));
        record_unmap(order_wait(f, other, RECORD_ENDED));
        assert_refused(inspect(f, o, NULL), o, "AlreadyFinished");
        o->attempt = 9;
        assert_refused(inspect(f, o, NULL), o, "NoSuchTask");
        o->attempt = 0;
        assert_refused(inspect(f, o, NULL), o, "InvalidArgument");
}

/* Without a cgroup all but freezing works. */
static void test_process(void **state)
{
        _cleanup_order_ Order *o = order_new(COUNTS_USR1);
        Fixture *f = *state;

        order_start(f, o);
        order_wait_output(f, o, "ran");
        assert_refused(step(f, o, 0, "freeze", 0), o, "InvalidArgument");
        assert_int_equal(step(f, o, 1, "signal", SIGUSR1), 0);
        assert_hits(f, o, "ran\nhit\n");
        assert_int_equal(step(f, o, 2, "kill", 0), 0);
        _cleanup_record_ const Record *r = order_wait(f, o, RECORD_ENDED);
        assert_int_equal(r->exit_value, SIGKILL);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test_setup_teardown(test_once, fixture_setup, fixture_teardown),
                cmocka_unit_test_setup_teardown(test_freeze_then_signal, fixture_setup, fixture_teardown),
                cmocka_unit_test_setup_teardown(test_launcher_killed, fixture_setup, fixture_teardown),
                cmocka_unit_test_setup_teardown(test_own_process, fixture_setup, fixture_teardown),
                cmocka_unit_test_setup_teardown(test_bad_steps, fixture_setup, fixture_teardown),
                cmocka_unit_test_setup_teardown(test_inspect, fixture_setup, fixture_teardown),
                cmocka_unit_test_setup_teardown(test_process, fixture_setup_process, fixture_teardown),
        };
        const char *obstacle = fixture_obstacle();

        if (obstacle) {
                fprintf(stderr, "skipped: %s\n", obstacle);
                return 77;
        }
        return cmocka_run_group_tests_name("launcher-step", tests, NULL, NULL);
}
