/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Checks and hooks: what they run as and with, and what a compromised reeved would try with them. Everything that is
 * refused must leave no record. */

#include "tests/component/launcher/harness.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pwd.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "basic/fd.h"
#include "common/clock.h"

#define _cleanup_record_ _cleanup_(record_unmapp)

#define NOBODY 65534
#define ARGV(...)                 \
        (const char *const[])     \
        {                         \
                __VA_ARGS__, NULL \
        }

static const char say[] = "#!/bin/sh\n"
                          "echo \"$# $1|$2 $(id -u):$(id -g) $(pwd)\"\n"
                          "cat\n"
                          "env | sort | grep -v -e ^_= -e ^PWD= -e ^OLDPWD= -e ^SHLVL=\n"
                          "exit 3\n";

static char *path_of(const Fixture *f, const char *name)
{
        static char path[4][PATH_MAX];
        static unsigned next;
        char *p = path[next++ % ELEMENTSOF(path)];

        snprintf(p, PATH_MAX, "%s/%s", f->root, name);
        return p;
}

static void write_file(const char *path, const char *text, mode_t mode)
{
        _cleanup_fd_ int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, mode);

        assert_true(fd >= 0);
        assert_int_equal(fd_write_full(fd, text, strlen(text)), 0);
        assert_int_equal(fchmod(fd, mode), 0);
}

static int setup_programs(void **state)
{
        fixture_setup(state);
        Fixture *f = *state;

        assert_int_equal(chmod(f->root, 0755), 0);
        assert_int_equal(mkdir(path_of(f, "checks"), 0755), 0);
        assert_int_equal(mkdir(path_of(f, "hooks"), 0755), 0);
        write_file(path_of(f, "checks/say"), say, 0755);
        write_file(path_of(f, "hooks/say"), say, 0755);
        return 0;
}

static Order *nobodys_order(const char *script)
{
        Order *o = order_new(script);

        o->author = NOBODY;
        o->spec.uid = NOBODY;
        o->spec.gid = getpwuid(NOBODY)->pw_gid;
        o->spec.cwd = "/tmp";
        return o;
}

/* An order whose task has run, so that its ticket is spent. */
static Order *ended_order(Fixture *f)
{
        Order *o = nobodys_order("true");
        _cleanup_record_ const Record *r = order_run(f, o);

        assert_int_equal(r->exit_value, 0);
        return o;
}

static void expect_output(Fixture *f, const Order *o, const char *expected)
{
        char output[4096];

        order_output(f, o, output, sizeof(output));
        if (strcmp(output, expected) != 0)
                fail_msg("expected the output\n%s, got\n%s", expected, output);
}

static void assert_program_refused(Fixture *f, Order *o, const Program *p, const char *code,
                                   const char *field)
{
        char name[128];
        Order program = program_order(o, p);

        int r = program_start(f, o, p);
        snprintf(name, sizeof(name), LAUNCHER_ERROR_PREFIX "%s", code);
        if (r >= 0 || !sd_bus_error_has_name(&o->error, name) ||
            strncmp(o->error.message, field, strlen(field)) != 0)
                fail_msg("%s %s: expected %s about %s, got %d %s: %s", p->method, p->argv[0] ?: "", code,
                         field, r, o->error.name, o->error.message);
        if (task_id_is_valid(p->name) && o->attempt >= 1)
                assert_false(order_has_record(f, &program));
}

/* ---- what they run as ---- */

static void test_check(void **state)
{
        Fixture *f = *state;
        _cleanup_order_ Order *o = ended_order(f);
        _cleanup_fd_ int in = memfd_create("input", MFD_CLOEXEC);
        Program p = { "Check", "a-check1", 0, ARGV("say", "one", "t w o"), "REEVE_RULE=x", 0, { in }, 1 };
        Order program = program_order(o, &p);
        char expected[512];

        assert_int_equal(pwrite(in, "input\n", 6, 0), 6);
        if (program_start(f, o, &p) < 0)
                fail_msg("%s: %s", o->error.name, o->error.message);
        _cleanup_record_ const Record *r = order_wait(f, &program, RECORD_ENDED);
        assert_int_equal(r->exit_kind, RECORD_EXIT_EXITED);
        assert_int_equal(r->exit_value, 3);
        assert_int_equal(r->run_uid, NOBODY);
        assert_int_equal(r->author_uid, NOBODY);
        assert_non_null(strstr(r->cgroup, "a-check1.1"));
        snprintf(expected, sizeof(expected),
                 "2 one|t w o %d:%u /tmp\ninput\nLANG=C.UTF-8\n"
                 "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin\nREEVE_ATTEMPT=1\n"
                 "REEVE_RULE=x\nREEVE_TASK_ID=%s\n",
                 NOBODY, getpwuid(NOBODY)->pw_gid, o->spec.task_id);
        expect_output(f, &program, expected);
        /* The same check of the same attempt is not run beside its own record. */
        assert_refused(program_start(f, o, &p), o, "AlreadyExists");
}

static void test_check_by_path_while_it_runs(void **state)
{
        Fixture *f = *state;
        _cleanup_order_ Order *o = nobodys_order("sleep 1000");
        Program p = { "Check", "a-check1", 0, ARGV(path_of(f, "checks/say")) };
        Order program = program_order(o, &p);

        order_start(f, o);
        assert_int_equal(program_start(f, o, &p), 0);
        _cleanup_record_ const Record *r = order_wait(f, &program, RECORD_ENDED);
        assert_int_equal(r->exit_value, 3);
        assert_true(order_call(f, o, "Kill", "") >= 0);
        _cleanup_record_ const Record *t = order_wait(f, o, RECORD_ENDED);
        assert_int_equal(t->exit_value, SIGKILL);
}

/* A binary, and nothing of the launcher's is open in it. */
static void test_check_has_no_descriptors(void **state)
{
        Fixture *f = *state;
        _cleanup_order_ Order *o = ended_order(f);
        Program p = { "Check", "a-check1", 0, ARGV("ls", "/proc/self/fd") };
        Order program = program_order(o, &p);
        char command[PATH_MAX + 64];

        snprintf(command, sizeof(command), "cp /bin/ls %s", path_of(f, "checks/ls"));
        assert_int_equal(system(command), 0);
        assert_int_equal(program_start(f, o, &p), 0);
        _cleanup_record_ const Record *r = order_wait(f, &program, RECORD_ENDED);
        assert_int_equal(r->exit_value, 0);
        expect_output(f, &program, "0\n1\n2\n3\n"); /* the last one is ls's own */
}

static void test_authored(void **state)
{
        Fixture *f = *state;
        _cleanup_order_ Order *o = nobodys_order("true");
        Program p = { "Check", "a-check1", 2, ARGV(NULL) };
        Order program = program_order(o, &p);

        o->env[1] = (char *)"MINE=yes";
        o->spec.verify = (const char *[]){ "false",
                                           "sh\x1f-c\x1f"
                                           "echo $MINE $1\x1f"
                                           "0\x1f"
                                           "a b",
                                           NULL };
        o->spec.n_verify = 2;
        _cleanup_record_ const Record *t = order_run(f, o);
        assert_int_equal(program_start(f, o, &p), 0);
        _cleanup_record_ const Record *r = order_wait(f, &program, RECORD_ENDED);
        assert_int_equal(r->exit_value, 0);
        expect_output(f, &program, "yes a b\n");

        p.name = "a-check2";
        p.authored = 3;
        assert_program_refused(f, o, &p, "PermissionDenied", "argv: ");
        p.authored = UINT32_MAX;
        assert_program_refused(f, o, &p, "PermissionDenied", "argv: ");
        p.argv = ARGV("say");
        p.authored = 1;
        assert_program_refused(f, o, &p, "InvalidArgument", "argv: ");
}

static void test_deadline(void **state)
{
        Fixture *f = *state;
        _cleanup_order_ Order *o = ended_order(f);
        Program p = { .method = "Check",
                      .name = "a-check1",
                      .argv = ARGV("wait"),
                      .deadline_boottime = clock_boottime(clock_system()) + 50 * USEC_PER_MSEC };
        Order program = program_order(o, &p);

        write_file(path_of(f, "checks/wait"), "#!/bin/sh\ntrap '' TERM\nsleep 1000 & wait\n", 0755);
        assert_int_equal(program_start(f, o, &p), 0);
        _cleanup_record_ const Record *r = order_wait(f, &program, RECORD_ENDED);
        assert_int_equal(r->exit_value, SIGKILL);
        assert_true(atomic_load(&r->flags) & RECORD_FLAG_BACKSTOP);
}

static void test_hook(void **state)
{
        Fixture *f = *state;
        const struct passwd *pw = getpwnam("reeve-hook");
        _cleanup_order_ Order *o = order_new("true");
        Program p = { "Hook", "a-step1", 0, ARGV("say", "x"), "REEVE_TASK_ID=a" };
        Order program = program_order(o, &p);
        char expected[512];

        if (!pw) {
                assert_program_refused(f, o, &p, "Unavailable", "uid: ");
                return;
        }
        if (program_start(f, o, &p) < 0)
                fail_msg("%s: %s", o->error.name, o->error.message);
        _cleanup_record_ const Record *r = order_wait(f, &program, RECORD_ENDED);
        assert_int_equal(r->exit_value, 3);
        assert_int_equal(r->run_uid, pw->pw_uid);
        snprintf(expected, sizeof(expected),
                 "1 x| %u:%u "
                 "/\nLANG=C.UTF-8\nPATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin\n"
                 "REEVE_TASK_ID=a\n",
                 pw->pw_uid, pw->pw_gid);
        expect_output(f, &program, expected);
}

/* ---- what is refused ---- */

static void test_ticket_of_a_task_that_never_ran(void **state)
{
        Fixture *f = *state;
        _cleanup_order_ Order *o = nobodys_order("true");
        Program p = { "Check", "a-check1", 0, ARGV("say") };

        order_seal(o);
        assert_int_equal(order_authorize(f, o), 0);
        assert_program_refused(f, o, &p, "PermissionDenied", "ticket: ");
        _cleanup_record_ const Record *r = order_run(f, o);
        o->attempt = 2; /* the first was spent, this one was not */
        assert_program_refused(f, o, &p, "PermissionDenied", "ticket: ");
        o->attempt = 4;
        assert_program_refused(f, o, &p, "PermissionDenied", "attempt: ");
        o->attempt = 0;
        assert_program_refused(f, o, &p, "InvalidArgument", "attempt: ");
        o->attempt = 1;
        o->ticket[40] ^= 1;
        assert_program_refused(f, o, &p, "PermissionDenied", "ticket: ");
}

/* A refused or crashed check must not give the task's ticket back. */
static void test_ticket_stays_spent(void **state)
{
        Fixture *f = *state;
        _cleanup_order_ Order *o = ended_order(f);
        Program p = { "Check", "a-check1", 0, ARGV("say") };
        Order program = program_order(o, &p);

        launcher_end(f, SIGTERM);
        launcher_start(f, "launcher:mkdir", NULL);
        assert_true(program_start(f, o, &p) < 0);
        launcher_wait(f);
        launcher_start(f, NULL, NULL);
        assert_false(order_has_record(f, &program));
        order_forget(f, o);
        assert_refused(order_launch(f, o), o, "AlreadyExists");
        assert_int_equal(program_start(f, o, &p), 0); /* it is checked all the same */
        _cleanup_record_ const Record *r = order_wait(f, &program, RECORD_ENDED);
        assert_int_equal(r->exit_value, 3);
}

static void test_names(void **state)
{
        static const char *const bad[] = { "a",           "a-check",      "a-check-1", "-check1",  "check1",
                                           "../a-check1", "a-check12345", "a-step1",   "a_check1", "" };
        Fixture *f = *state;
        _cleanup_order_ Order *o = ended_order(f);

        for (size_t i = 0; i < ELEMENTSOF(bad); i++) {
                Program p = { "Check", bad[i], 0, ARGV("say") };
                assert_program_refused(f, o, &p, "InvalidArgument", "name: ");
        }
        assert_program_refused(f, o, &(Program){ "Hook", "a-check1", 0, ARGV("say") }, "InvalidArgument",
                               "name: ");
        /* And no task has such a name. */
        static const char *const reserved[] = { "a-check1", "a-step9999" };
        for (size_t i = 0; i < ELEMENTSOF(reserved); i++) {
                _cleanup_order_ Order *squatter = nobodys_order("true");
                squatter->spec.task_id = reserved[i];
                order_seal(squatter);
                assert_refused(order_authorize(f, squatter), squatter, "InvalidArgument");
        }
}

static void test_places(void **state)
{
        Fixture *f = *state;
        _cleanup_order_ Order *o = ended_order(f);
        static const struct {
                const char *program;
                bool below_root;
                const char *code;
        } cases[] = {
                { "/bin/sh", false, "PermissionDenied" },
                { "sh", false, "InvalidArgument" },
                { "", false, "PermissionDenied" },
                { ".", false, "PermissionDenied" },
                { "..", false, "PermissionDenied" },
                { ".hidden", false, "PermissionDenied" },
                { "checks/say", true, NULL },
                { "checks//say", true, "PermissionDenied" },
                { "checks/../hooks/say", true, "PermissionDenied" },
                { "checks/../checks/say", true, "PermissionDenied" },
                { "checks", true, "PermissionDenied" },
                { "checks/", true, "PermissionDenied" },
                { "hooks/say", true, "PermissionDenied" },
                { "checksay", true, "PermissionDenied" },
                { "checks/below", true, "PermissionDenied" },
                { "checks/below/say", true, "PermissionDenied" },
                { "checks/link", true, "PermissionDenied" },
                { "checks/fifo", true, "PermissionDenied" },
                { "checks/others", true, "PermissionDenied" },
                { "checks/writable", true, "PermissionDenied" },
                { "checks/grouped", true, "PermissionDenied" },
                { "checks/setuid", true, "PermissionDenied" },
                { "checks/none", true, "InvalidArgument" },
        };

        assert_int_equal(mkdir(path_of(f, "checks/below"), 0755), 0);
        write_file(path_of(f, "checks/below/say"), say, 0755);
        assert_int_equal(symlink("/bin/sh", path_of(f, "checks/link")), 0);
        assert_int_equal(mkfifo(path_of(f, "checks/fifo"), 0755), 0);
        write_file(path_of(f, "checks/others"), say, 0755);
        assert_int_equal(chown(path_of(f, "checks/others"), f->reeve_uid, 0), 0);
        write_file(path_of(f, "checks/writable"), say, 0757);
        write_file(path_of(f, "checks/grouped"), say, 0775);
        write_file(path_of(f, "checks/setuid"), say, 04755);
        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                const char *program = cases[i].below_root ? path_of(f, cases[i].program) : cases[i].program;
                Program p = { "Check", "a-check1", 0, ARGV(program) };
                if (cases[i].code)
                        assert_program_refused(f, o, &p, cases[i].code, "program: ");
        }
}

/* Directories that somebody else could exchange. */
static void test_directories(void **state)
{
        Fixture *f = *state;
        _cleanup_order_ Order *o = ended_order(f);
        Program p = { "Check", "a-check1", 0, ARGV("say") };

        assert_int_equal(chmod(path_of(f, "checks"), 01777), 0);
        assert_program_refused(f, o, &p, "PermissionDenied", "program: ");
        assert_int_equal(chmod(path_of(f, "checks"), 0755), 0);
        assert_int_equal(chown(path_of(f, "checks"), f->reeve_uid, 0), 0);
        assert_program_refused(f, o, &p, "PermissionDenied", "program: ");
        assert_int_equal(chown(path_of(f, "checks"), 0, 0), 0);
        assert_int_equal(chmod(f->root, 0775), 0);
        assert_program_refused(f, o, &p, "PermissionDenied", "program: ");
        assert_int_equal(chmod(f->root, 01775), 0); /* as private instances are */
        assert_int_equal(program_start(f, o, &p), 0);
        Order program = program_order(o, &p);
        _cleanup_record_ const Record *r = order_wait(f, &program, RECORD_ENDED);
        assert_int_equal(r->exit_value, 3);

        p.name = "a-check2";
        assert_int_equal(rename(path_of(f, "checks"), path_of(f, "elsewhere")), 0);
        assert_int_equal(symlink("elsewhere", path_of(f, "checks")), 0);
        assert_program_refused(f, o, &p, "PermissionDenied", "program: ");
        assert_int_equal(unlink(path_of(f, "checks")), 0);
        assert_program_refused(f, o, &p, "InvalidArgument", "program: ");
}

static void test_additions(void **state)
{
        Fixture *f = *state;
        _cleanup_order_ Order *o = ended_order(f);
        const char *many[80];
        int fds[2];
        Program p = { "Check", "a-check1", 0, ARGV("say"), "LD_PRELOAD=/tmp/evil.so" };

        assert_program_refused(f, o, &p, "InvalidArgument", "environment: ");
        p.added_env = NULL;
        for (size_t i = 0; i < ELEMENTSOF(many) - 1; i++)
                many[i] = "say";
        many[ELEMENTSOF(many) - 1] = NULL;
        p.argv = many;
        assert_program_refused(f, o, &p, "LimitExceeded", "argv: ");
        _cleanup_free_ char *longest = malloc(70001);
        memset(longest, 'a', 70000);
        longest[70000] = '\0';
        p.argv = ARGV("say", longest);
        assert_program_refused(f, o, &p, "LimitExceeded", "argv: ");
        p.argv = ARGV(NULL);
        assert_program_refused(f, o, &p, "InvalidArgument", "argv: ");

        p.argv = ARGV("say");
        assert_int_equal(pipe2(fds, O_CLOEXEC), 0);
        p.stdin_fds[0] = fds[0];
        p.n_stdin_fds = 1;
        assert_program_refused(f, o, &p, "InvalidArgument", "stdio: ");
        p.stdin_fds[1] = fds[1];
        p.n_stdin_fds = 2;
        assert_program_refused(f, o, &p, "InvalidArgument", "stdio: ");
        close(fds[0]);
        close(fds[1]);
}

#define TEST(test) cmocka_unit_test_setup_teardown(test, setup_programs, fixture_teardown)

int main(void)
{
        const struct CMUnitTest tests[] = {
                TEST(test_check),
                TEST(test_check_by_path_while_it_runs),
                TEST(test_check_has_no_descriptors),
                TEST(test_authored),
                TEST(test_deadline),
                TEST(test_hook),
                TEST(test_ticket_of_a_task_that_never_ran),
                TEST(test_ticket_stays_spent),
                TEST(test_names),
                TEST(test_places),
                TEST(test_directories),
                TEST(test_additions),
        };

        if (fixture_obstacle()) {
                fprintf(stderr, "skipped: %s\n", fixture_obstacle());
                return 77;
        }
        return cmocka_run_group_tests_name("launcher-program", tests, NULL, NULL);
}
