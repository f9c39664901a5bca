/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* What may not be attached, whoever asks and whatever reeved says for him: each time neither a ticket is given nor
 * anything made, and the process stays where it was. What is about services of systemd stands in the suite `attach`. */

#include "tests/component/launcher/process.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "basic/fd.h"
#include "basic/strings.h"
#include "common/cgroup/cgroup.h"
#include "common/proc/proc.h"

#define _cleanup_record_ _cleanup_(record_unmapp)

#define NOBODY       65534
#define STRANGER_UID 54321
#define ALL_SEALS    (F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE)

#define WAITING "echo ready; read -r line"

static void cgroup_of(pid_t pid, char ret[static 512])
{
        _cleanup_fd_ int fd = open("/proc", O_RDONLY | O_DIRECTORY | O_CLOEXEC);

        assert_int_equal(proc_cgroup(fd, pid, ret, 512), 0);
}

/* Neither does Authorize give a ticket, nor is anything made or moved. */
static void assert_unattachable(Fixture *f, Order *o, const char *error)
{
        char name[64], before[512], after[512];

        snprintf(name, sizeof(name), LAUNCHER_ERROR_PREFIX "%s", error);
        cgroup_of(o->spec.attach.pid, before);
        order_seal(o);
        if (order_authorize(f, o) >= 0 || !sd_bus_error_has_name(&o->error, name))
                fail_msg("expected %s, got %s: %s", error, o->error.name, o->error.message);
        assert_false(order_has_record(f, o));
        cgroup_of(o->spec.attach.pid, after);
        assert_string_equal(after, before);
}

static void assert_never_attached(Fixture *f, const Person *who, uid_t author, const char *error)
{
        _cleanup_process_ Process p = { 0 };

        process_start(&p, who, WAITING);
        _cleanup_order_ Order *o = order_attach(author, p.pid);
        assert_unattachable(f, o, error);
}

static void test_attach_of_others(void **state)
{
        const Person root = person_plain(0), stranger = person_plain(STRANGER_UID),
                     nobody = person_plain(NOBODY);

        assert_never_attached(*state, &root, NOBODY, "PermissionDenied");
        assert_never_attached(*state, &stranger, NOBODY, "PermissionDenied");

        /* It is nobody's, but called somebody else's, who is not there to be asked. */
        _cleanup_process_ Process p = { 0 };
        process_start(&p, &nobody, WAITING);
        _cleanup_order_ Order *o = order_attach(NOBODY, p.pid);
        o->spec.uid = STRANGER_UID;
        assert_unattachable(*state, o, "PermissionDenied");
        _cleanup_order_ Order *group = order_attach(NOBODY, p.pid);
        group->spec.gid = 4;
        assert_unattachable(*state, group, "PermissionDenied");
        _cleanup_order_ Order *by_stranger = order_attach(STRANGER_UID, p.pid);
        assert_unattachable(*state, by_stranger, "PermissionDenied");
}

/* The pid is somebody else's by now: the start time or the boot is another. */
static void test_attach_of_a_reused_pid(void **state)
{
        const Person nobody = person_plain(NOBODY);
        _cleanup_process_ Process p = { 0 };

        process_start(&p, &nobody, WAITING);
        for (int i = 0; i < 3; i++) {
                _cleanup_order_ Order *o = order_attach(NOBODY, p.pid);

                if (i == 0)
                        o->spec.attach.start++;
                else if (i == 1)
                        o->spec.attach.start--;
                else
                        o->spec.attach.boot_id[3] ^= 1;
                assert_unattachable(*state, o, "AlreadyFinished");
        }
}

static void stay(void)
{
        if (write(STDOUT_FILENO, "ready\n", 6) == 6)
                pause();
}

static void stay_open(void)
{
        prctl(PR_SET_DUMPABLE, 1);
        stay();
}

static void stay_in_a_user_namespace(void)
{
        prctl(PR_SET_DUMPABLE, 1);
        if (unshare(CLONE_NEWUSER) == 0)
                stay();
}

/* What runs with more than its user's rights, or keeps secrets from him, is not his to handle. Nothing is executed, because
 * that, or a careful shell, would settle the ids. */
static void test_attach_of_programs_with_rights(void **state)
{
        const gid_t gid = person_plain(NOBODY).gid[0];
        const struct {
                uid_t uid[3];
                gid_t gid[3];
                void (*after)(void);
        } cases[] = {
                { { NOBODY, 0, 0 }, { gid, gid, gid }, stay_open }, /* setuid root */
                { { NOBODY, NOBODY, 0 }, { gid, gid, gid }, stay_open },
                { { 0, NOBODY, NOBODY }, { gid, gid, gid }, stay_open },
                { { NOBODY, STRANGER_UID, NOBODY }, { gid, gid, gid }, stay_open },
                { { NOBODY, NOBODY, NOBODY }, { gid, 4, 4 }, stay_open }, /* setgid */
                { { NOBODY, NOBODY, NOBODY }, { gid, gid, 4 }, stay_open },
                { { NOBODY, NOBODY, NOBODY },
                  { gid, gid, gid },
                  stay }, /* it was root's before: not dumpable */
                { { NOBODY, NOBODY, NOBODY }, { gid, gid, gid }, stay_in_a_user_namespace },
        };

        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                Person who = { .after = cases[i].after };

                print_message("case %zu\n", i);
                memcpy(who.uid, cases[i].uid, sizeof(who.uid));
                memcpy(who.gid, cases[i].gid, sizeof(who.gid));
                assert_never_attached(*state, &who, NOBODY, "PermissionDenied");
        }
        /* ... and without any of this it is his. */
        Person plain = person_plain(NOBODY);
        _cleanup_process_ Process p = { 0 };
        plain.after = stay_open;
        process_start(&p, &plain, NULL);
        _cleanup_order_ Order *o = order_attach(NOBODY, p.pid);
        order_seal(o);
        assert_int_equal(order_authorize(*state, o), 0);
}

static void first_of_a_container(void)
{
        if (unshare(CLONE_NEWPID) < 0)
                _exit(1);
        pid_t pid = fork();
        if (pid > 0)
                _exit(0);
        char text[32];
        int n = snprintf(text, sizeof(text), "ready\n");
        if (write(STDOUT_FILENO, text, (size_t)n) == n)
                pause();
}

/* Root may attach anybody's, but not what holds the system or reeve together. */
static void test_attach_by_root(void **state)
{
        Fixture *f = *state;
        const Person reeve = { .uid = { f->reeve_uid, f->reeve_uid, f->reeve_uid },
                               .gid = { f->reeve_gid, f->reeve_gid, f->reeve_gid } };
        const Person in_group = { .uid = { NOBODY, NOBODY, NOBODY }, .gid = { 4, f->reeve_gid, 4 } };

        assert_never_attached(f, &reeve, 0, "PermissionDenied");
        assert_never_attached(f, &in_group, 0, "PermissionDenied");

        ProcStat st; /* of kthreadd; in a container there is something else, or nothing */
        _cleanup_fd_ int proc_fd = open("/proc", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        if (proc_stat(proc_fd, 2, &st) >= 0 && (st.flags & PROC_FLAG_KTHREAD)) {
                _cleanup_order_ Order *kernel = order_attach(0, 2);
                assert_unattachable(f, kernel, "PermissionDenied");
        }

        /* A task, its keeper; and the task again, by its own user. */
        _cleanup_order_ Order *task = order_new("sleep 1000");
        task->author = task->spec.uid = NOBODY;
        task->spec.gid = person_plain(NOBODY).gid[0];
        order_start(f, task);
        _cleanup_record_ const Record *r = order_wait(f, task, RECORD_STARTED);
        const struct {
                pid_t pid;
                uid_t author;
        } ours[] = { { r->task_pid, 0 }, { r->task_pid, NOBODY }, { r->keeper_pid, 0 } };
        for (size_t i = 0; i < ELEMENTSOF(ours); i++) {
                _cleanup_order_ Order *o = order_attach(ours[i].author, ours[i].pid);
                assert_unattachable(f, o, "PermissionDenied");
        }
        assert_true(order_call(f, task, "Kill", "") >= 0);
        _cleanup_record_ const Record *end = order_wait(f, task, RECORD_ENDED);
        assert_int_equal(end->exit_value, SIGKILL);
}

/* The launcher would watch itself. */
static void test_attach_of_the_launcher(void **state)
{
        Fixture *f = *state;
        _cleanup_order_ Order *o = order_attach(0, f->launcher);

        assert_unattachable(f, o, "PermissionDenied");
        _cleanup_order_ Order *alive = order_new("true");
        _cleanup_record_ const Record *r = order_run(f, alive);
        assert_int_equal(r->exit_value, 0);
}

static void test_attach_of_a_container(void **state)
{
        _cleanup_process_ Process p = { 0 };
        Person root = person_plain(0);
        pid_t children[4];

        prctl(PR_SET_CHILD_SUBREAPER, 1);
        root.before = first_of_a_container;
        process_start(&p, &root, WAITING);
        process_reap(&p);
        _cleanup_fd_ int proc_fd = open("/proc", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        size_t n = proc_family(proc_fd, getpid(), 0, children, ELEMENTSOF(children));
        assert_true(n >= 1);
        for (size_t i = 0; i < n && i < ELEMENTSOF(children); i++) {
                if (proc_shares_namespace(proc_fd, children[i], "pid") != 0)
                        continue;
                _cleanup_order_ Order *o = order_attach(0, children[i]);
                assert_unattachable(*state, o, "PermissionDenied");
                assert_int_equal(kill(children[i], SIGKILL), 0);
                assert_int_equal(waitpid(children[i], NULL, 0), children[i]);
                prctl(PR_SET_CHILD_SUBREAPER, 0);
                return;
        }
        fail_msg("there is no process in another pid namespace");
}

/* Moves a process into a cgroup of the test, which has this value in this file; gives its directory. */
static int put_into_cgroup(pid_t pid, const char *file, const char *value, char name[static 64])
{
        _cleanup_fd_ int mount_fd = -EBADF;
        char text[16];

        assert_int_equal(cgroup_open_mount(&mount_fd, NULL), 0);
        snprintf(name, 64, "reeve-attack-%d", getpid());
        assert_int_equal(mkdirat(mount_fd, name, 0755), 0);
        int fd = openat(mount_fd, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        assert_true(fd >= 0);
        snprintf(text, sizeof(text), "%d", pid);
        assert_int_equal(fd_write_file_at(fd, "cgroup.procs", text), 0);
        int r = fd_write_file_at(fd, file, value);
        if (r < 0) {
                close(fd);
                return r;
        }
        return fd;
}

static void leave_cgroup(const char *name, Process *p)
{
        _cleanup_fd_ int mount_fd = -EBADF;

        kill(p->pid, SIGKILL);
        process_reap(p);
        assert_int_equal(cgroup_open_mount(&mount_fd, NULL), 0);
        while (unlinkat(mount_fd, name, AT_REMOVEDIR) < 0 && errno == EBUSY)
                ;
}

static void wait_for_frozen(int dir_fd)
{
        _cleanup_fd_ int fd = openat(dir_fd, "cgroup.events", O_RDONLY | O_CLOEXEC);
        struct pollfd poller = { .fd = fd, .events = POLLPRI };
        char text[256];

        while (fd_pread_file(fd, text, sizeof(text)) > 0 && !strstr(text, "frozen 1"))
                assert_true(poll(&poller, 1, 20000) > 0);
}

/* Moving lifts no limit and no freeze that somebody else put in force. */
static void test_attach_out_of_limits(void **state)
{
        static const struct {
                const char *file, *value;
                uid_t author;
        } bounds[] = { { "cgroup.freeze", "1", NOBODY },
                       { "cgroup.freeze", "1", 0 },
                       { "pids.max", "100", NOBODY },
                       { "memory.high", "1G", NOBODY } };
        const Person nobody = person_plain(NOBODY);

        for (size_t i = 0; i < ELEMENTSOF(bounds); i++) {
                _cleanup_process_ Process p = { 0 };
                char name[64];

                process_start(&p, &nobody, WAITING);
                _cleanup_fd_ int fd = put_into_cgroup(p.pid, bounds[i].file, bounds[i].value, name);
                if (fd >= 0) {
                        _cleanup_order_ Order *o = order_attach(bounds[i].author, p.pid);

                        if (streq(bounds[i].file, "cgroup.freeze"))
                                wait_for_frozen(fd);
                        assert_unattachable(*state, o, "PermissionDenied");
                        (void)fd_write_file_at(fd, "cgroup.freeze", "0");
                }
                leave_cgroup(name, &p);
        }
}

static void test_attach_replay(void **state)
{
        Fixture *f = *state;
        const Person nobody = person_plain(NOBODY);
        _cleanup_process_ Process p = { 0 };

        process_start(&p, &nobody, WAITING);
        _cleanup_order_ Order *o = order_attach(NOBODY, p.pid);
        order_seal(o);
        assert_int_equal(order_authorize(f, o), 0);
        o->method = "Launch"; /* the words of its command line are for people, and are not executed */
        assert_refused(order_launch(f, o), o, "InvalidArgument");
        o->method = NULL;
        o->attempt = 2;
        assert_refused(order_launch(f, o), o, "PermissionDenied");
        o->attempt = 1;
        o->wanted_backend = "process";
        assert_refused(order_launch(f, o), o, "InvalidArgument");
        o->wanted_backend = NULL;
        assert_false(order_has_record(f, o));
        assert_int_equal(order_launch(f, o), 0);
        if (order_launch(f, o) >= 0)
                fail_msg("it was attached twice");
        process_say(&p, "end");
        _cleanup_record_ const Record *r = order_wait(f, o, RECORD_ENDED);
        assert_int_equal(r->exit_kind, RECORD_EXIT_EXITED);
        order_forget(f, o);
        order_wait_gone(f, o);
        if (order_launch(f, o) >= 0)
                fail_msg("it was attached again after its end");

        _cleanup_order_ Order *command = order_new("echo ran");
        order_seal(command);
        assert_int_equal(order_authorize(f, command), 0);
        command->method = "Adopt";
        assert_refused(order_launch(f, command), command, "InvalidArgument");
        assert_false(order_has_record(f, command));
}

/* PID 1 and what is no process cannot even be written down. */
static void test_attach_of_pid_1(void **state)
{
        static const char *const bad[] = { "attach=1:", "attach=0:", "attach=-1:" };
        const Person nobody = person_plain(NOBODY);
        _cleanup_process_ Process p = { 0 };
        char text[4096], altered[4096], original[32];

        process_start(&p, &nobody, WAITING);
        for (size_t i = 0; i < ELEMENTSOF(bad); i++) {
                _cleanup_order_ Order *o = order_attach(0, p.pid);

                order_seal(o);
                ssize_t n = pread(o->spec_fd, text, sizeof(text), 0);
                int length = snprintf(original, sizeof(original), "attach=%d:", p.pid);
                char *at = memmem(text, (size_t)n, original, (size_t)length);
                assert_non_null(at);
                size_t before = (size_t)(at - text), after = (size_t)n - before - (size_t)length;
                memcpy(altered, text, before);
                size_t m = before + strlen(strcpy(altered + before, bad[i]));
                memcpy(altered + m, at + length, after);
                close(o->spec_fd);
                o->spec_fd = memfd_create(SPEC_MEMFD_NAME, MFD_CLOEXEC | MFD_ALLOW_SEALING);
                assert_int_equal(fd_write_full(o->spec_fd, altered, m + after), 0);
                assert_int_equal(fcntl(o->spec_fd, F_ADD_SEALS, ALL_SEALS), 0);
                assert_refused(order_authorize(*state, o), o, "InvalidArgument");
        }
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, fixture_setup, fixture_teardown)

int main(void)
{
        const struct CMUnitTest tests[] = {
                TEST(test_attach_of_others),
                TEST(test_attach_of_a_reused_pid),
                TEST(test_attach_of_programs_with_rights),
                TEST(test_attach_by_root),
                TEST(test_attach_of_the_launcher),
                TEST(test_attach_of_a_container),
                TEST(test_attach_out_of_limits),
                TEST(test_attach_replay),
                TEST(test_attach_of_pid_1),
        };

        if (fixture_obstacle()) {
                fprintf(stderr, "skipped: %s\n", fixture_obstacle());
                return 77;
        }
        return cmocka_run_group_tests_name("launcher-attach-attack", tests, NULL, NULL);
}
