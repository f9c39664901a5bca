/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* What a compromised reeved would try: it may say anything on its connection, and nothing runs that its author did
 * not ask for. Each refusal is followed by a look whether anything was left behind. */

#include "tests/component/launcher/harness.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <pwd.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "basic/fd.h"

#define _cleanup_record_ _cleanup_(record_unmapp)

#define NOBODY       65534
#define STRANGER_UID 54321

/* An order of user nobody for himself. */
static Order *nobodys_order(void)
{
        Order *o = order_new("id -u");

        o->author = NOBODY;
        o->spec.uid = NOBODY;
        o->spec.gid = getpwuid(NOBODY)->pw_gid;
        return o;
}

/* Replaces the memfd by one with these bytes. */
static void replace_spec(Order *o, const char *name, unsigned seals, ssize_t altered)
{
        char *text = malloc(SPEC_SIZE_MAX);
        ssize_t n = pread(o->spec_fd, text, SPEC_SIZE_MAX, 0);

        assert_true(n > 0);
        if (altered >= 0)
                text[altered] ^= 1;
        close(o->spec_fd);
        o->spec_fd = memfd_create(name, MFD_CLOEXEC | MFD_ALLOW_SEALING);
        assert_int_equal(fd_write_full(o->spec_fd, text, (size_t)n), 0);
        assert_int_equal(fcntl(o->spec_fd, F_ADD_SEALS, seals), 0);
        free(text);
}

#define ALL_SEALS (F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE)

static void test_honest(void **state)
{
        _cleanup_order_ Order *o = nobodys_order();
        _cleanup_record_ const Record *r = order_run(*state, o);
        char text[64];

        order_output(*state, o, text, sizeof(text));
        assert_string_equal(text, "65534\n");
        assert_int_equal(r->author_uid, NOBODY);
        assert_int_equal(r->run_uid, NOBODY);
}

/* After a restart reeved has only the bytes: a new memfd is as good as the author's. */
static void test_fresh_memfd(void **state)
{
        _cleanup_order_ Order *o = nobodys_order();

        order_seal(o);
        assert_int_equal(order_authorize(*state, o), 0);
        replace_spec(o, SPEC_MEMFD_NAME, ALL_SEALS, -1);
        assert_int_equal(order_launch(*state, o), 0);
        _cleanup_record_ const Record *r = order_wait(*state, o, RECORD_ENDED);
        assert_int_equal(r->author_uid, NOBODY);
}

static void test_memfd(void **state)
{
        static const struct {
                const char *name;
                unsigned seals;
        } cases[] = {
                { SPEC_MEMFD_NAME, 0 },
                { SPEC_MEMFD_NAME, ALL_SEALS & ~F_SEAL_WRITE },
                { SPEC_MEMFD_NAME, ALL_SEALS & ~F_SEAL_SEAL },
                { SPEC_MEMFD_NAME, ALL_SEALS & ~F_SEAL_GROW },
                { "other-name", ALL_SEALS },
        };

        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                _cleanup_order_ Order *o = order_new("true");

                order_seal(o);
                assert_int_equal(order_authorize(*state, o), 0);
                replace_spec(o, cases[i].name, cases[i].seals, -1);
                if (order_authorize(*state, o) >= 0)
                        fail_msg("case %zu is authorised", i);
                if (order_launch(*state, o) >= 0)
                        fail_msg("case %zu is launched", i);
                assert_false(order_has_record(*state, o));
        }
}

static void test_not_a_memfd(void **state)
{
        _cleanup_order_ Order *o = order_new("true");

        o->spec_fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
        assert_true(order_authorize(*state, o) < 0);
        close(o->spec_fd);
        o->spec_fd = open("/dev/zero", O_RDONLY | O_CLOEXEC);
        assert_true(order_authorize(*state, o) < 0);
}

static void test_altered_byte(void **state)
{
        _cleanup_order_ Order *o = nobodys_order();

        order_seal(o);
        assert_int_equal(order_authorize(*state, o), 0);
        replace_spec(o, SPEC_MEMFD_NAME, ALL_SEALS, 30);
        assert_refused(order_launch(*state, o), o, "PermissionDenied");
        assert_false(order_has_record(*state, o));
}

static void test_forged_ticket(void **state)
{
        _cleanup_order_ Order *o = nobodys_order();
        uint8_t good[LAUNCHER_TICKET_SIZE];

        order_seal(o);
        assert_int_equal(order_authorize(*state, o), 0);
        memcpy(good, o->ticket, sizeof(good));
        for (size_t i = 0; i < LAUNCHER_TICKET_SIZE; i++) {
                memcpy(o->ticket, good, sizeof(good));
                o->ticket[i] ^= 0x80;
                assert_refused(order_launch(*state, o), o, "PermissionDenied");
        }
        memcpy(o->ticket, good, sizeof(good));
        o->attempt = 4; /* the author asked for three */
        assert_refused(order_launch(*state, o), o, "PermissionDenied");
        o->attempt = 0;
        assert_refused(order_launch(*state, o), o, "PermissionDenied");
}

/* What an author may not ask for, whatever he is. */
static void assert_denied(Fixture *f, Order *o, const char *field)
{
        char prefix[64];

        order_seal(o);
        assert_refused(order_authorize(f, o), o, "PermissionDenied");
        snprintf(prefix, sizeof(prefix), "%s: ", field);
        if (strncmp(o->error.message, prefix, strlen(prefix)) != 0)
                fail_msg("expected a refusal for %s, got: %s", field, o->error.message);
}

static void test_author(void **state)
{
        Fixture *f = *state;
        _cleanup_order_ Order *o = nobodys_order();

        o->spec.uid = 0;
        assert_denied(f, o, "uid");
        o->spec.uid = 1;
        assert_denied(f, o, "uid");
        o->spec.uid = NOBODY;
        o->spec.gid = 0;
        assert_denied(f, o, "gid");
        o->spec.gid = getpwuid(NOBODY)->pw_gid;
        o->spec.has_groups = true;
        o->spec.groups = (gid_t[]){ 0 };
        o->spec.n_groups = 1;
        assert_denied(f, o, "groups");
        o->spec.has_groups = false;
        o->spec.n_groups = 0;
        o->spec.nice = -1;
        assert_denied(f, o, "Nice");
        o->spec.nice = 0;
        o->spec.has_oom_score_adjust = true;
        o->spec.oom_score_adjust = -1;
        assert_denied(f, o, "OOMScoreAdjust");
        o->spec.oom_score_adjust = 0;
        struct rlimit now;
        assert_int_equal(getrlimit(RLIMIT_MEMLOCK, &now), 0);
        if (now.rlim_max != RLIM_INFINITY) {
                o->spec.rlimits[RLIMIT_MEMLOCK] = (SpecRlimit){ true, now.rlim_max, now.rlim_max + 1 };
                assert_denied(f, o, "LimitMEMLOCK");
        }
}

static void test_unknown_author(void **state)
{
        _cleanup_order_ Order *o = order_new("true");

        o->author = o->spec.uid = o->spec.gid = STRANGER_UID;
        assert_denied(*state, o, "uid");
}

/* The heart: reeved itself as the author. */
static void test_reeve_runs_nothing(void **state)
{
        Fixture *f = *state;
        _cleanup_order_ Order *o = order_new("true");
        uid_t authors[] = { f->reeve_uid, 0 };

        for (size_t i = 0; i < ELEMENTSOF(authors); i++) {
                o->author = authors[i];
                o->spec.uid = f->reeve_uid;
                o->spec.gid = f->reeve_gid;
                assert_denied(f, o, "uid");
        }
        o->spec.uid = NOBODY;
        assert_denied(f, o, "gid"); /* author root */
        o->spec.gid = NOBODY;
        o->spec.has_groups = true;
        o->spec.groups = &f->reeve_gid;
        o->spec.n_groups = 1;
        assert_denied(f, o, "groups");
        o->author = f->reeve_uid;
        o->spec.uid = 0;
        o->spec.gid = 0;
        o->spec.has_groups = false;
        o->spec.n_groups = 0;
        assert_denied(f, o, "uid"); /* root, asked for by reeve */
}

static void test_swapped_stdio(void **state)
{
        _cleanup_order_ Order *o = nobodys_order();
        _cleanup_fd_ int wanted = open("/etc/hostname", O_RDONLY | O_CLOEXEC);
        _cleanup_fd_ int other = open("/etc/passwd", O_RDONLY | O_CLOEXEC);

        assert_int_equal(spec_stdio_from_fd(o->spec.stdio, wanted), 0);
        order_seal(o);
        assert_int_equal(order_authorize(*state, o), 0);
        o->fds[0] = other;
        o->n_fds = 1;
        assert_refused(order_launch(*state, o), o, "PermissionDenied");
        o->n_fds = 0;
        assert_refused(order_launch(*state, o), o, "PermissionDenied");
        o->fds[0] = wanted;
        o->fds[1] = other;
        o->n_fds = 2;
        assert_refused(order_launch(*state, o), o, "InvalidArgument");
        assert_false(order_has_record(*state, o));
        o->n_fds = 1;
        assert_int_equal(order_launch(*state, o), 0);
        _cleanup_record_ const Record *r = order_wait(*state, o, RECORD_ENDED);
        assert_int_equal(r->exit_value, 0);
}

static void test_added_environment(void **state)
{
        static const char *const bad[] = {
                "LD_PRELOAD=/tmp/evil.so", "PATH=/tmp", "REEVE_", "REEVE_X", "XREEVE_Y=1", "REEVE_=", "="
        };
        _cleanup_order_ Order *o = nobodys_order();

        order_seal(o);
        assert_int_equal(order_authorize(*state, o), 0);
        for (size_t i = 0; i < ELEMENTSOF(bad); i++) {
                o->added_env = bad[i];
                if (i == 5)
                        continue; /* REEVE_= is a name */
                assert_refused(order_launch(*state, o), o, "InvalidArgument");
        }
        assert_false(order_has_record(*state, o));
        o->added_env = "REEVE_NOTE=1";
        assert_int_equal(order_launch(*state, o), 0);
        _cleanup_record_ const Record *r = order_wait(*state, o, RECORD_ENDED);
        assert_int_equal(r->exit_value, 0);
}

static void test_replay(void **state)
{
        Fixture *f = *state;
        _cleanup_order_ Order *o = order_new("sleep 1000");

        order_start(f, o);
        assert_refused(order_launch(f, o), o, "AlreadyExists"); /* while it runs */
        assert_true(order_call(f, o, "Kill", "") >= 0);
        _cleanup_record_ const Record *r = order_wait(f, o, RECORD_ENDED);
        assert_refused(order_launch(f, o), o, "AlreadyExists"); /* after its end */
        order_forget(f, o);
        assert_refused(order_launch(f, o), o, "AlreadyExists"); /* after it was forgotten */
        launcher_end(f, SIGTERM);
        launcher_start(f, NULL, NULL);
        assert_refused(order_launch(f, o), o, "AlreadyExists"); /* by another launcher */
        assert_false(order_has_record(f, o));
}

/* A refusal after the claim leaves nothing, and the attempt may be tried again. */
static void test_unenforceable_limit(void **state)
{
        _cleanup_order_ Order *o = order_new("true");

        order_seal(o);
        assert_int_equal(order_authorize(*state, o), 0);
        o->limit_name = "NoSuchLimit";
        o->limit_value = "1";
        assert_refused(order_launch(*state, o), o, "InvalidArgument");
        assert_non_null(strstr(o->error.message, "NoSuchLimit: "));
        o->limit_name = "CPUWeight";
        o->limit_value = "10001";
        assert_refused(order_launch(*state, o), o, "InvalidArgument");
        assert_non_null(strstr(o->error.message, "CPUWeight: "));
        assert_false(order_has_record(*state, o));
        o->limit_name = NULL;
        assert_int_equal(order_launch(*state, o), 0);
        _cleanup_record_ const Record *r = order_wait(*state, o, RECORD_ENDED);
        assert_int_equal(r->exit_value, 0);
}

/* Without a cgroup of its own a task would escape its user's share. */
static void test_backend_without_cgroup(void **state)
{
        _cleanup_order_ Order *o = order_new("true");

        order_seal(o);
        assert_int_equal(order_authorize(*state, o), 0);
        o->wanted_backend = "process";
        assert_refused(order_launch(*state, o), o, "InvalidArgument");
        assert_false(order_has_record(*state, o));
}

/* What no scope is ever given: it acts on the host, binds units, moves processes, or hands out the tree. */
static const char *const never[] = {
        "FailureAction",
        "SuccessAction",
        "JobTimeoutAction",
        "PIDs",
        "PIDFDs",
        "Slice",
        "Delegate",
        "After",
        "Before",
        "Wants",
        "Requires",
        "BindsTo",
        "PartOf",
        "Conflicts",
        "OnFailure",
        "OnSuccess",
        "PropagatesStopTo",
        "KillMode",
        "Upholds",
        "KillSignal",
        "SendSIGKILL",
        "OOMPolicy",
        "CollectMode",
        "BPFProgram",
        "Description",
        "RuntimeMaxUSec",
        "DefaultDependencies",
        "DisableControllers",
        "IPEgressFilterPath",
        "TimeoutStopUSec",
};

static void add_property(Order *o, const char *name, const char *value)
{
        o->spec.properties[0] = (SpecLimit){ name, value };
        o->spec.n_properties = 1;
}

/* Authorize says no, whoever wrote it, and names the property. */
static void test_properties_for_nobody(void **state)
{
        for (size_t i = 0; i < ELEMENTSOF(never); i++) {
                static const char *const values[] = { "reboot", "1", "yes", "a.service" };
                _cleanup_order_ Order *users = nobodys_order(), *roots = order_new("true");
                Order *orders[] = { users, roots };

                for (size_t k = 0; k < ELEMENTSOF(orders) * ELEMENTSOF(values); k++) {
                        Order *o = orders[k % ELEMENTSOF(orders)];

                        add_property(o, never[i], values[k / ELEMENTSOF(orders)]);
                        order_seal(o);
                        assert_refused(order_authorize(*state, o), o, "InvalidArgument");
                        if (strncmp(o->error.message, never[i], strlen(never[i])) != 0)
                                fail_msg("%s is not named: %s", never[i], o->error.message);
                }
        }
}

static void test_properties_for_root(void **state)
{
        static const SpecLimit properties[] = {
                { "IPAddressAllow", "0.0.0.0/0" },   { "DeviceAllow", "/dev/sda rwm" },
                { "StartupCPUWeight", "101" },       { "IODeviceWeight", "8:0 10000" },
                { "ManagedOOMPreference", "omit" },  { "DefaultMemoryMin", "1" },
                { "CPUOfTheFutureWeight", "10000" },
        };

        for (size_t i = 0; i < ELEMENTSOF(properties); i++) {
                _cleanup_order_ Order *users = nobodys_order(), *roots = order_new("true");

                add_property(users, properties[i].name, properties[i].value);
                assert_denied(*state, users, properties[i].name);
                add_property(roots, properties[i].name, properties[i].value);
                order_seal(roots);
                /* A host without the controller, or without such a disk, cannot do it for root either. */
                if (order_authorize(*state, roots) < 0 &&
                    !strstr(roots->error.message, "this host has no ") &&
                    !strstr(roots->error.message, "is no disk of this host"))
                        fail_msg("%s is refused to root: %s", properties[i].name, roots->error.message);
        }
}

static void test_slice(void **state)
{
        static const char *const bad[] = { "-.slice", "a.service", "../a.slice", "a/b.slice", "x" };
        _cleanup_order_ Order *users = nobodys_order(), *roots = order_new("true");

        users->spec.slice = "system.slice";
        assert_denied(*state, users, "slice");
        for (size_t i = 0; i < ELEMENTSOF(bad); i++) {
                roots->spec.slice = bad[i];
                order_seal(roots);
                assert_refused(order_authorize(*state, roots), roots, "InvalidArgument");
        }
}

/* A property is in force or the task does not run: reeved cannot drop it by choosing another backend. */
static void test_property_without_scope(void **state)
{
        static const char *const backends[] = { NULL, "", "cgroup", "process" };
        _cleanup_order_ Order *o = nobodys_order();

        add_property(o, "IPAddressDeny", "0.0.0.0/0");
        order_seal(o);
        assert_int_equal(order_authorize(*state, o), 0);
        for (size_t i = 0; i < ELEMENTSOF(backends); i++) {
                o->wanted_backend = backends[i];
                assert_refused(order_launch(*state, o), o, "InvalidArgument");
        }
        assert_false(order_has_record(*state, o));
}

/* reeved has no way to add one: not as a limit, not by any name of an entry. */
static void test_added_properties(void **state)
{
        static const char *const entries[] = { "properties", "property",      "slice", "Slice",
                                               "PIDs",       "FailureAction", "unit",  "" };
        _cleanup_order_ Order *o = nobodys_order();

        order_seal(o);
        assert_int_equal(order_authorize(*state, o), 0);
        for (size_t i = 0; i < ELEMENTSOF(never) + ELEMENTSOF(never); i++) {
                o->wanted_backend = i % 2 ? "scope" : NULL;
                o->limit_name = never[i / 2];
                o->limit_value = "1";
                assert_true(order_launch(*state, o) < 0);
        }
        o->limit_name = "IPAddressAllow"; /* not even what its author might have had */
        assert_true(order_launch(*state, o) < 0);
        o->limit_name = NULL;
        o->wanted_backend = NULL;
        for (size_t i = 0; i < 2 * ELEMENTSOF(entries); i++) {
                o->added_name = entries[i / 2];
                o->added_type = i % 2 ? "s" : "a(ss)";
                assert_refused(order_launch(*state, o), o, "InvalidArgument");
        }
        assert_false(order_has_record(*state, o));
        o->added_name = NULL;
        assert_int_equal(order_launch(*state, o), 0);
        _cleanup_record_ const Record *r = order_wait(*state, o, RECORD_ENDED);
        assert_int_equal(r->exit_value, 0);
}

static void test_names(void **state)
{
        static const char *const bad[] = { "../x", "", ".", "a/b", "a.1", "-a", "x\n" };
        _cleanup_order_ Order *o = order_new("true");

        for (size_t i = 0; i < ELEMENTSOF(bad); i++) {
                o->spec.task_id = bad[i];
                assert_refused(order_call(*state, o, "Kill", ""), o, "InvalidArgument");
        }
        o->spec.task_id = "fine";
        o->attempt = 1001;
        assert_refused(order_call(*state, o, "Kill", ""), o, "InvalidArgument");
        o->attempt = 1;
        assert_refused(order_call(*state, o, "Kill", ""), o, "NoSuchTask");
}

static void test_signal_numbers(void **state)
{
        static const int bad[] = { 0, -1, 65, 1000000 };
        _cleanup_order_ Order *o = order_new("sleep 1000");

        order_start(*state, o);
        for (size_t i = 0; i < ELEMENTSOF(bad); i++)
                assert_refused(order_call(*state, o, "Signal", "ib", bad[i], 0), o, "InvalidArgument");
        assert_true(order_call(*state, o, "Kill", "") >= 0);
        _cleanup_record_ const Record *r = order_wait(*state, o, RECORD_ENDED);
        assert_int_equal(r->exit_value, SIGKILL);
}

/* Runs in a child with the rights of `uid`: can it connect, can it touch root's files? Returns a bit mask. */
static int try_as(const Fixture *f, uid_t uid, gid_t gid)
{
        char path[128];
        int status, can = 0;
        pid_t pid = fork();

        if (pid == 0) {
                _cleanup_(sd_bus_close_unrefp) sd_bus *bus = NULL;

                if (setgroups(0, NULL) < 0 || setresgid(gid, gid, gid) < 0 || setresuid(uid, uid, uid) < 0)
                        _exit(128);
                snprintf(path, sizeof(path), "unix:path=%s/launcher", f->root);
                if (sd_bus_new(&bus) >= 0 && sd_bus_set_address(bus, path) >= 0 && sd_bus_start(bus) >= 0 &&
                    sd_bus_call_method(bus, NULL, LAUNCHER_OBJECT, LAUNCHER_INTERFACE, "Describe", NULL,
                                       NULL, "") >= 0)
                        can |= 1;
                snprintf(path, sizeof(path), "%s/launcher-state/key", f->root);
                if (open(path, O_RDONLY | O_CLOEXEC) >= 0)
                        can |= 2;
                snprintf(path, sizeof(path), "%s/tasks/x.1", f->root);
                if (open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600) >= 0)
                        can |= 4;
                snprintf(path, sizeof(path), "%s/tasks", f->root);
                char other[160];
                snprintf(other, sizeof(other), "%s/tasks-2", f->root);
                if (rename(path, other) == 0)
                        can |= 8;
                if (open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC) >= 0)
                        can |= 16;
                _exit(can);
        }
        assert_int_equal(waitpid(pid, &status, 0), pid);
        assert_true(WIFEXITED(status));
        return WEXITSTATUS(status);
}

static void test_who_may_touch_what(void **state)
{
        Fixture *f = *state;

        assert_int_equal(chmod(f->root, 01775), 0);
        assert_int_equal(try_as(f, f->reeve_uid, f->reeve_gid), 1 | 16); /* talk and read, nothing else */
        assert_int_equal(try_as(f, NOBODY, NOBODY), 0);
}

static void test_second_launcher(void **state)
{
        Fixture *f = *state;
        char root[96];
        int status;

        snprintf(root, sizeof(root), "--root=%s", f->root);
        pid_t pid = fork();
        if (pid == 0) {
                execl(getenv("REEVE_LAUNCHER"), "reeve-launcher", root, NULL);
                _exit(126);
        }
        assert_int_equal(waitpid(pid, &status, 0), pid);
        assert_true(WIFEXITED(status));
        assert_int_equal(WEXITSTATUS(status), 1);
        /* The first one does not mind. */
        _cleanup_order_ Order *o = order_new("true");
        _cleanup_record_ const Record *r = order_run(f, o);
        assert_int_equal(r->exit_value, 0);
}

#define TEST(test) cmocka_unit_test_setup_teardown(test, fixture_setup, fixture_teardown)

int main(void)
{
        const struct CMUnitTest tests[] = {
                TEST(test_honest),
                TEST(test_fresh_memfd),
                TEST(test_memfd),
                TEST(test_not_a_memfd),
                TEST(test_altered_byte),
                TEST(test_forged_ticket),
                TEST(test_author),
                TEST(test_unknown_author),
                TEST(test_reeve_runs_nothing),
                TEST(test_swapped_stdio),
                TEST(test_added_environment),
                TEST(test_replay),
                TEST(test_backend_without_cgroup),
                TEST(test_unenforceable_limit),
                TEST(test_properties_for_nobody),
                TEST(test_properties_for_root),
                TEST(test_slice),
                TEST(test_property_without_scope),
                TEST(test_added_properties),
                TEST(test_names),
                TEST(test_signal_numbers),
                TEST(test_who_may_touch_what),
                TEST(test_second_launcher),
        };

        if (fixture_obstacle()) {
                fprintf(stderr, "skipped: %s\n", fixture_obstacle());
                return 77;
        }
        return cmocka_run_group_tests_name("launcher-attack", tests, NULL, NULL);
}
