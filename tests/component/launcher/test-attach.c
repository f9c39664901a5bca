/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* A process that runs becomes a task: it is moved with all of its threads, accounted for from there on, and seen to its
 * end like any other, whoever of ours is killed at whatever step. The processes are children of this test, which reaps
 * them late, at once, or never before a record has ended. What may not be attached stands in test-attack.c. */

#include "tests/component/launcher/process.h"

#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/utsname.h>
#include <sys/wait.h>
#include <unistd.h>

#include "basic/fd.h"
#include "basic/parse.h"
#include "basic/strings.h"
#include "common/cgroup/cgroup.h"
#include "common/clock.h"
#include "common/proc/proc.h"

#define _cleanup_record_ _cleanup_(record_unmapp)

#define NOBODY 65534
/* Says what it reads, until "end N". */
#define OBEDIENT "echo ready; while read -r word n; do [ $word = end ] && exit $n; echo $word; done"
/* Uses CPU until it is told to pause, then waits. */
#define BUSY "i=0; while [ $i -lt 300000 ]; do i=$((i+1)); done; echo ready; read -r line"

static void cgroup_of(pid_t pid, char ret[static 512])
{
        _cleanup_fd_ int fd = open("/proc", O_RDONLY | O_DIRECTORY | O_CLOEXEC);

        assert_int_equal(proc_cgroup(fd, pid, ret, 512), 0);
}

static void assert_inside(pid_t pid, const Record *r)
{
        char path[512];

        cgroup_of(pid, path);
        assert_string_equal(path + 1, r->cgroup);
}

static void assert_exit(const Record *r, RecordExit kind, int value)
{
        if (r->exit_kind != kind || r->exit_value != value)
                fail_msg("%s: ended %s %d, expected %s %d", r->task_id,
                         record_exit_name((RecordExit)r->exit_kind), r->exit_value, record_exit_name(kind),
                         value);
}

/* Started and moved: so it is when Adopt has answered; where that was interrupted, each turn asks the launcher something. */
static const Record *wait_moved(Fixture *f, Order *o)
{
        const Record *r = order_wait(f, o, RECORD_STARTED);
        usec_t give_up = clock_boottime(clock_system()) + 20 * USEC_PER_SEC;

        while (!(atomic_load(&r->flags) & RECORD_FLAG_MOVED)) {
                assert_true(clock_boottime(clock_system()) < give_up);
                (void)order_call(f, o, "SetDeadline", "t", UINT64_MAX);
        }
        return r;
}

static uint64_t cpu_usec(const Record *r)
{
        const char *name, *text;
        size_t cursor = 0, name_length, length;

        while (record_next_file(r, &cursor, &name, &name_length, &text, &length) > 0)
                if (name_length == 8 && memcmp(name, "cpu.stat", 8) == 0) {
                        char number[24] = "";
                        uint64_t value = 0;

                        text += strlen("usage_usec ");
                        memcpy(number, text, MIN(strcspn(text, "\n"), sizeof(number) - 1));
                        assert_int_equal(parse_u64(number, &value), 0);
                        return value;
                }
        fail_msg("the record has no cpu.stat");
        return 0;
}

static bool kernel_keeps_statuses(void)
{
        unsigned major = 0, minor = 0;
        struct utsname uts;

        assert_int_equal(uname(&uts), 0);
        assert_int_equal(sscanf(uts.release, "%u.%u", &major, &minor), 2);
        return major > 6 || (major == 6 && minor >= 15);
}

static void test_attached(void **state)
{
        static const uid_t people[] = { 0, NOBODY };

        for (size_t i = 0; i < ELEMENTSOF(people); i++) {
                _cleanup_process_ Process p = { 0 };
                const Person who = person_plain(people[i]);

                process_start(&p, &who, OBEDIENT);
                _cleanup_order_ Order *o = order_attach(people[i], p.pid);
                order_start(*state, o);
                assert_int_equal(o->pid, p.pid);
                _cleanup_record_ const Record *r = wait_moved(*state, o);
                assert_inside(p.pid, r);
                assert_int_equal(r->author_uid, people[i]);
                assert_int_equal(r->run_uid, people[i]);
                process_say(&p, "still-yours");
                process_expect(&p, "still-yours");

                process_say(&p, "end 7"); /* it stays a zombie until the record has ended */
                _cleanup_record_ const Record *end = order_wait(*state, o, RECORD_ENDED);
                assert_exit(end, RECORD_EXIT_EXITED, 7);
                assert_int_equal(end->flags, RECORD_FLAG_ATTACHED | RECORD_FLAG_MOVED);
                assert_int_equal(end->io.valid, 1);
                assert_true(end->started_boottime_usec >= end->claimed_boottime_usec);
                assert_true(end->ended_boottime_usec >= end->started_boottime_usec);
                (void)cpu_usec(end); /* it is there; a kernel that books by ticks may have counted none */
                assert_int_equal(WEXITSTATUS(process_reap(&p)), 7);
        }
}

/* Its parent, which is not ours, reaps it in the moment of its end. */
static void test_reaped_at_once(void **state)
{
        for (int i = 0; i < 20; i++) {
                _cleanup_process_ Process p = { 0 };
                const Person who = person_plain(NOBODY);

                process_start(&p, &who, OBEDIENT);
                _cleanup_order_ Order *o = order_attach(NOBODY, p.pid);
                order_start(*state, o);
                process_say(&p, "end 3");
                process_reap(&p);
                _cleanup_record_ const Record *r = order_wait(*state, o, RECORD_ENDED);
                if (r->exit_kind != RECORD_EXIT_UNKNOWN || kernel_keeps_statuses())
                        assert_exit(r, RECORD_EXIT_EXITED, 3);
        }
}

static void test_accounted_from_the_move(void **state)
{
        _cleanup_(sd_bus_message_unrefp) sd_bus_message *reply = NULL;
        _cleanup_process_ Process p = { 0 };
        const Person who = person_plain(NOBODY);
        Fixture *f = *state;
        const char *id;
        uint32_t attempt;
        uint64_t v[6];
        ProcStat st;

        process_start(&p, &who, BUSY);
        _cleanup_fd_ int proc_fd = open("/proc", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        assert_int_equal(proc_stat(proc_fd, p.pid, &st), 0);
        uint64_t before = st.user_ticks * USEC_PER_SEC / (uint64_t)sysconf(_SC_CLK_TCK);
        assert_true(before >= 20000); /* else the rest shows nothing */
        _cleanup_order_ Order *o = order_attach(NOBODY, p.pid);
        order_start(f, o);
        _cleanup_record_ const Record *r = wait_moved(f, o);
        assert_true(r->before_user_usec >= before);
        assert_int_equal(r->before_io.valid, 1);

        assert_true(sd_bus_call_method(f->bus, NULL, LAUNCHER_OBJECT, LAUNCHER_INTERFACE, "ReadUsage",
                                       &o->error, &reply, "a(su)", 1, o->spec.task_id, 1) >= 0);
        assert_true(sd_bus_message_enter_container(reply, 'a', "(sutttttt)") > 0);
        assert_true(sd_bus_message_read(reply, "(sutttttt)", &id, &attempt, v, v + 1, v + 2, v + 3, v + 4,
                                        v + 5) > 0);
        assert_true(v[0] < before);
        assert_true(v[2] > 0);
        assert_int_equal(v[5], 1);

        process_say(&p, "go on");
        _cleanup_record_ const Record *end = order_wait(f, o, RECORD_ENDED);
        assert_true(cpu_usec(end) < before);
        assert_true(end->io.rchar < 1000);
}

/* sh, a child that sleeps, and a grandchild. */
#define FAMILY "sleep 1001 & sh -c 'sleep 1002 & echo ready; wait' & read -r line; exit 0"

static int count_inside(const Record *r)
{
        _cleanup_fd_ int mount_fd = -EBADF;
        pid_t pids[16];

        assert_int_equal(cgroup_open_mount(&mount_fd, NULL), 0);
        _cleanup_fd_ int fd = openat(mount_fd, r->cgroup, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        return cgroup_procs(fd, pids, ELEMENTSOF(pids));
}

static void test_children(void **state)
{
        for (int children = 0; children < 2; children++) {
                _cleanup_process_ Process p = { 0 };
                const Person who = person_plain(NOBODY);

                process_start(&p, &who, FAMILY);
                _cleanup_order_ Order *o = order_attach(NOBODY, p.pid);
                o->spec.attach.children = children;
                order_start(*state, o);
                _cleanup_record_ const Record *r = wait_moved(*state, o);
                assert_inside(p.pid, r);
                assert_int_equal(count_inside(r), children ? 4 : 1);
                process_say(&p, "go on");
                _cleanup_record_ const Record *end = order_wait(*state, o, RECORD_ENDED);
                assert_exit(end, RECORD_EXIT_EXITED, 0);
                /* Those that were attached with it are left, and end as leftovers do. */
                assert_int_equal(!!(end->flags & RECORD_FLAG_LEFTOVERS), children);
        }
}

static void *thread(void *userdata)
{
        pause();
        return NULL;
}

static void be_threaded(void)
{
        pthread_t id;
        char line[8];

        prctl(PR_SET_DUMPABLE, 1); /* as after an exec */
        for (int i = 0; i < 3; i++)
                if (pthread_create(&id, NULL, thread, NULL) != 0)
                        _exit(1);
        if (write(STDOUT_FILENO, "ready\n", 6) != 6 || read(STDIN_FILENO, line, sizeof(line)) < 0)
                _exit(2);
        _exit(0);
}

static void test_threads(void **state)
{
        _cleanup_process_ Process p = { 0 };
        Person who = person_plain(NOBODY);
        char path[64], text[1024];

        who.after = be_threaded;
        process_start(&p, &who, NULL);
        _cleanup_order_ Order *o = order_attach(NOBODY, p.pid);
        order_start(*state, o);
        _cleanup_record_ const Record *r = wait_moved(*state, o);
        for (int i = 1; i <= 3; i++) {
                snprintf(path, sizeof(path), "/proc/%d/task/%d/cgroup", p.pid, p.pid + i);
                if (fd_read_file_at(AT_FDCWD, path, text, sizeof(text)) >= 0)
                        assert_non_null(strstr(text, r->cgroup));
        }
        process_say(&p, "end");
        _cleanup_record_ const Record *end = order_wait(*state, o, RECORD_ENDED);
        assert_exit(end, RECORD_EXIT_EXITED, 0);
}

/* What can be done to tasks can be done to it. */
static void test_acts(void **state)
{
        Fixture *f = *state;
        _cleanup_process_ Process p = { 0 }, q = { 0 };
        const Person who = person_plain(NOBODY);
        ProcStat st;

        process_start(&p, &who, OBEDIENT);
        _cleanup_order_ Order *o = order_attach(NOBODY, p.pid);
        order_start(f, o);
        _cleanup_record_ const Record *r = wait_moved(f, o);
        assert_true(order_call(f, o, "Freeze", "") >= 0);
        assert_true(order_call(f, o, "Thaw", "") >= 0);
        process_say(&p, "word");
        process_expect(&p, "word");
        assert_true(order_call(f, o, "Signal", "ib", SIGTERM, 0) >= 0);
        _cleanup_record_ const Record *end = order_wait(f, o, RECORD_ENDED);
        assert_exit(end, RECORD_EXIT_KILLED, SIGTERM);

        process_start(&q, &who, OBEDIENT);
        _cleanup_order_ Order *late = order_attach(NOBODY, q.pid);
        order_start(f, late);
        assert_true(order_call(f, late, "SetDeadline", "t", clock_boottime(clock_system())) >= 0);
        _cleanup_record_ const Record *killed = order_wait(f, late, RECORD_ENDED);
        assert_exit(killed, RECORD_EXIT_KILLED, SIGKILL);
        assert_true(killed->flags & RECORD_FLAG_BACKSTOP);
        _cleanup_fd_ int proc_fd = open("/proc", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        assert_int_equal(proc_stat(proc_fd, q.pid, &st), 0);
        assert_int_equal(st.state, 'Z');
}

/* ---- killed at each step ---- */

static void arm(Fixture *f, const char *point)
{
        char once[96];

        snprintf(once, sizeof(once), "%s/once", f->root);
        close(open(once, O_WRONLY | O_CREAT | O_CLOEXEC, 0600));
        launcher_end(f, SIGTERM);
        launcher_start(f, point, once);
}

/* The keeper dies there; another one takes over, or the request can be made again. */
static void keeper_dies_at(Fixture *f, const char *point, bool children)
{
        _cleanup_process_ Process p = { 0 };
        const Person who = person_plain(NOBODY);

        arm(f, point);
        process_start(&p, &who, children ? FAMILY : OBEDIENT);
        _cleanup_order_ Order *o = order_attach(NOBODY, p.pid);
        o->spec.attach.children = children;
        order_seal(o);
        assert_int_equal(order_authorize(f, o), 0);
        if (order_launch(f, o) < 0) {
                assert_true(sd_bus_error_has_name(&o->error, LAUNCHER_ERROR_PREFIX "Unavailable"));
                if (!order_has_record(f, o)) /* provably untouched */
                        assert_int_equal(order_launch(f, o), 0);
        }
        _cleanup_record_ const Record *r = wait_moved(f, o);
        assert_inside(p.pid, r);
        assert_int_equal(count_inside(r), children ? 4 : 1);
        process_say(&p, children ? "go on" : "end 6");
        _cleanup_record_ const Record *end = order_wait(f, o, RECORD_ENDED);
        assert_exit(end, RECORD_EXIT_EXITED, children ? 0 : 6);
        if (streq(point, "keeper:keeper-forked"))
                assert_false(end->flags & RECORD_FLAG_ADOPTED);
        else
                assert_true(end->flags & RECORD_FLAG_ADOPTED);
}

static void test_keeper_dies(void **state)
{
        static const char *const points[] = { "keeper:keeper-forked", "keeper:attach-started",
                                              "keeper:attach-move", "keeper:attach-moved" };

        for (size_t i = 0; i < ELEMENTSOF(points); i++) {
                keeper_dies_at(*state, points[i], false);
                keeper_dies_at(*state, points[i], true);
        }
}

static void test_launcher_dies(void **state)
{
        static const char *const points[] = { "launcher:claim", "launcher:mkdir", "launcher:keeper-forked" };
        Fixture *f = *state;

        for (size_t i = 0; i < ELEMENTSOF(points); i++) {
                _cleanup_process_ Process p = { 0 };
                const Person who = person_plain(NOBODY);

                arm(f, points[i]);
                process_start(&p, &who, OBEDIENT);
                _cleanup_order_ Order *o = order_attach(NOBODY, p.pid);
                order_seal(o);
                assert_int_equal(order_authorize(f, o), 0);
                assert_true(order_launch(f, o) < 0);
                launcher_wait(f);
                launcher_start(f, NULL, NULL);
                if (!order_has_record(f, o))
                        assert_int_equal(order_launch(f, o), 0);
                _cleanup_record_ const Record *r = wait_moved(f, o);
                assert_inside(p.pid, r);
                process_say(&p, "end 8");
                _cleanup_record_ const Record *end = order_wait(f, o, RECORD_ENDED);
                assert_exit(end, RECORD_EXIT_EXITED, 8);
        }
}

static pid_t kill_keeper(const Record *r)
{
        pid_t keeper = r->keeper_pid;

        assert_int_equal(kill(keeper, SIGKILL), 0);
        wait_for_pid(keeper);
        return keeper;
}

static void test_keeper_killed(void **state)
{
        _cleanup_process_ Process p = { 0 };
        const Person who = person_plain(NOBODY);

        process_start(&p, &who, OBEDIENT);
        _cleanup_order_ Order *o = order_attach(NOBODY, p.pid);
        order_start(*state, o);
        _cleanup_record_ const Record *r = wait_moved(*state, o);
        kill_keeper(r);
        process_say(&p, "end 9");
        process_reap(&p);
        _cleanup_record_ const Record *end = order_wait(*state, o, RECORD_ENDED);
        assert_true(end->flags & RECORD_FLAG_ADOPTED);
        if (end->exit_kind != RECORD_EXIT_UNKNOWN || kernel_keeps_statuses())
                assert_exit(end, RECORD_EXIT_EXITED,
                            9); /* the launcher had kept a pidfd for the next keeper */
        (void)cpu_usec(end);    /* it is there; a kernel that books by ticks may have counted none */
}

/* Nobody of ours is there when it ends. While its parent has not reaped it, it tells all the same; afterwards nobody
 * knows, and that is what the record says. */
static void test_both_killed_and_it_ends(void **state)
{
        Fixture *f = *state;

        for (int reaped = 0; reaped < 2; reaped++) {
                _cleanup_process_ Process p = { 0 };
                const Person who = person_plain(NOBODY);

                process_start(&p, &who, OBEDIENT);
                _cleanup_order_ Order *o = order_attach(NOBODY, p.pid);
                order_start(f, o);
                _cleanup_record_ const Record *r = wait_moved(f, o);
                assert_int_equal(kill(f->launcher, SIGSTOP), 0);
                kill_keeper(r);
                launcher_end(f, SIGKILL);
                process_say(&p, "end 4");
                wait_for_pid(p.pid);
                if (reaped)
                        process_reap(&p);
                launcher_start(f, NULL, NULL);
                _cleanup_record_ const Record *end = order_wait(f, o, RECORD_ENDED);
                assert_exit(end, reaped ? RECORD_EXIT_UNKNOWN : RECORD_EXIT_EXITED, reaped ? 0 : 4);
                (void)cpu_usec(end); /* it is there; a kernel that books by ticks may have counted none */
        }
}

/* It has ended between the look and the move. */
static void test_gone_before_the_move(void **state)
{
        _cleanup_process_ Process p = { 0 };
        const Person who = person_plain(NOBODY);

        process_start(&p, &who, OBEDIENT);
        _cleanup_order_ Order *o = order_attach(NOBODY, p.pid);
        order_seal(o);
        assert_int_equal(order_authorize(*state, o), 0);
        process_say(&p, "end 0");
        process_reap(&p);
        assert_refused(order_launch(*state, o), o, "AlreadyFinished");
        assert_false(order_has_record(*state, o));
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, fixture_setup, fixture_teardown)

int main(void)
{
        const struct CMUnitTest tests[] = {
                TEST(test_attached),
                TEST(test_reaped_at_once),
                TEST(test_accounted_from_the_move),
                TEST(test_children),
                TEST(test_threads),
                TEST(test_acts),
                TEST(test_keeper_dies),
                TEST(test_launcher_dies),
                TEST(test_keeper_killed),
                TEST(test_both_killed_and_it_ends),
                TEST(test_gone_before_the_move),
        };
        if (fixture_obstacle()) {
                fprintf(stderr, "skipped: %s\n", fixture_obstacle());
                return 77;
        }
        return cmocka_run_group_tests_name("launcher-attach", tests, NULL, NULL);
}
