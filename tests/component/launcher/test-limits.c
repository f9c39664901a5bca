/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Limits: each one that this host can enforce is in the leaf's file as it should be, and the task is held by it; each
 * that it cannot enforce is refused by name. Hosts without a cgroup v2 controller check the second half only; the
 * guests have all of them. */

#include "tests/component/launcher/harness.h"

#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "basic/fd.h"
#include "common/cgroup/cgroup.h"

#define _cleanup_record_ _cleanup_(record_unmapp)

static const struct {
        const char *name, *value;
        CgroupController controller;
        const char *file, *expected;
} cases[] = {
        { "CPUQuota", "5000", CGROUP_CPU, "cpu.max", "50000 100000\n" },
        { "CPUQuota", "20000", CGROUP_CPU, "cpu.max", "200000 100000\n" },
        { "CPUQuota", "50", CGROUP_CPU, "cpu.max", "5000 1000000\n" },
        { "CPUQuota", "infinity", CGROUP_CPU, "cpu.max", "max 100000\n" },
        { "CPUWeight", "250", CGROUP_CPU, "cpu.weight", "250\n" },
        { "MemoryMax", "67108864", CGROUP_MEMORY, "memory.max", "67108864\n" },
        { "MemoryMax", "infinity", CGROUP_MEMORY, "memory.max", "max\n" },
        { "MemoryHigh", "33554432", CGROUP_MEMORY, "memory.high", "33554432\n" },
        { "MemoryLow", "1048576", CGROUP_MEMORY, "memory.low", "1048576\n" },
        { "TasksMax", "17", CGROUP_PIDS, "pids.max", "17\n" },
};

static uint32_t host_controllers(void)
{
        uint32_t mask = 0;
        int fd;

        if (cgroup_open_mount(&fd, NULL) < 0)
                return 0;
        assert_int_equal(cgroup_controllers(fd, &mask), 0);
        close(fd);
        return mask;
}

static bool host_has(CgroupController c)
{
        return host_controllers() & (UINT32_C(1) << c);
}

static void assert_leaf_file(const Record *r, const char *file, const char *expected)
{
        char path[1024], text[256];
        int mount_fd;

        assert_int_equal(cgroup_open_mount(&mount_fd, NULL), 0);
        snprintf(path, sizeof(path), "%s/%s", r->cgroup, file);
        assert_true(fd_read_file_at(mount_fd, path, text, sizeof(text)) >= 0);
        close(mount_fd);
        if (strcmp(text, expected) != 0)
                fail_msg("%s: '%s', expected '%s'", file, text, expected);
}

static void test_author(void **state)
{
        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                _cleanup_order_ Order *o = order_new("sleep 1000");

                o->spec.limits[0] = (SpecLimit){ cases[i].name, cases[i].value };
                o->spec.n_limits = 1;
                order_seal(o);
                if (!host_has(cases[i].controller)) {
                        assert_refused(order_authorize(*state, o), o, "InvalidArgument");
                        assert_memory_equal(o->error.message, cases[i].name, strlen(cases[i].name));
                        assert_non_null(strstr(o->error.message, "no "));
                        assert_false(order_has_record(*state, o));
                        continue;
                }
                assert_int_equal(order_authorize(*state, o), 0);
                if (order_launch(*state, o) < 0)
                        fail_msg("%s=%s: %s", cases[i].name, cases[i].value, o->error.message);
                _cleanup_record_ const Record *r = order_wait(*state, o, RECORD_STARTED);
                assert_leaf_file(r, cases[i].file, cases[i].expected);
                assert_true(order_call(*state, o, "Kill", "") >= 0);
                _cleanup_record_ const Record *end = order_wait(*state, o, RECORD_ENDED);
                assert_int_equal(end->exit_value, SIGKILL);
        }
}

/* What reeved adds may only make it stricter. */
static void test_stricter_wins(void **state)
{
        static const struct {
                const char *author, *added, *expected;
        } pairs[] = {
                { "50", "20", "20\n" },
                { "20", "50", "20\n" },
                { "20", "infinity", "20\n" },
                { "infinity", "20", "20\n" },
        };

        if (!host_has(CGROUP_PIDS))
                skip();
        for (size_t i = 0; i < ELEMENTSOF(pairs); i++) {
                _cleanup_order_ Order *o = order_new("sleep 1000");

                o->spec.limits[0] = (SpecLimit){ "TasksMax", pairs[i].author };
                o->spec.n_limits = 1;
                o->limit_name = "TasksMax";
                o->limit_value = pairs[i].added;
                order_start(*state, o);
                _cleanup_record_ const Record *r = order_wait(*state, o, RECORD_STARTED);
                assert_leaf_file(r, "pids.max", pairs[i].expected);
                assert_true(order_call(*state, o, "Kill", "") >= 0);
                _cleanup_record_ const Record *end = order_wait(*state, o, RECORD_ENDED);
                assert_int_equal(end->exit_value, SIGKILL);
        }
}

static void test_bad_values(void **state)
{
        static const struct {
                const char *name, *value;
        } bad[] = {
                { "TasksMax", "" },        { "TasksMax", "-1" },       { "TasksMax", "12x" },
                { "MemoryMax", "64M" },    { "CPUWeight", "0" },       { "CPUWeight", "10001" },
                { "CPUQuota", "9" },       { "AllowedCPUs", "a" },     { "IOReadBandwidthMax", "/dev/null" },
                { "IOReadIOPSMax", " 5" }, { "IOWeight", "infinity" }, { "DeviceAllow", "x" },
        };

        for (size_t i = 0; i < ELEMENTSOF(bad); i++) {
                _cleanup_order_ Order *o = order_new("true"), *author = order_new("true");

                if (bad[i].value[0]) { /* an empty one does not parse */
                        author->spec.limits[0] = (SpecLimit){ bad[i].name, bad[i].value };
                        author->spec.n_limits = 1;
                        order_seal(author);
                        assert_refused(order_authorize(*state, author), author, "InvalidArgument");
                        assert_memory_equal(author->error.message, bad[i].name, strlen(bad[i].name));
                }
                order_seal(o);
                assert_int_equal(order_authorize(*state, o), 0);
                o->limit_name = bad[i].name;
                o->limit_value = bad[i].value;
                assert_refused(order_launch(*state, o), o, "InvalidArgument");
                assert_memory_equal(o->error.message, bad[i].name, strlen(bad[i].name));
                assert_false(order_has_record(*state, o));
        }
}

static void test_oom(void **state)
{
        if (!host_has(CGROUP_MEMORY))
                skip();
        _cleanup_order_ Order *o = order_new("head -c 100M /dev/zero | tail -c 90M | wc -c; exit 0");
        o->spec.limits[0] = (SpecLimit){ "MemoryMax", "33554432" };
        o->spec.limits[1] = (SpecLimit){ "MemorySwapMax", "0" };
        o->spec.n_limits = 2;
        order_seal(o);
        assert_int_equal(order_authorize(*state, o), 0);
        if (order_launch(*state, o) < 0 && strstr(o->error.message, "memory.swap.max")) {
                o->spec.n_limits = 1; /* a kernel without swap has no such file */
                order_start(*state, o);
        }
        _cleanup_record_ const Record *r = order_wait(*state, o, RECORD_ENDED);
        const char *name, *text;
        size_t cursor = 0, name_length, length;
        bool found = false;

        while (record_next_file(r, &cursor, &name, &name_length, &text, &length) > 0)
                if (name_length == strlen("memory.events") &&
                    memcmp(name, "memory.events", name_length) == 0)
                        found = memmem(text, length, "oom_kill 1", 10) != NULL;
        assert_true(found);
}

/* A user's tasks share a sub-tree with limits of its own. */
static void test_user_subtree(void **state)
{
        if (!host_has(CGROUP_PIDS))
                skip();
        _cleanup_order_ Order *o = order_new("sleep 1000");
        o->spec.uid = o->spec.gid = 65534;
        order_start(*state, o);
        _cleanup_record_ const Record *r = order_wait(*state, o, RECORD_STARTED);
        assert_leaf_file(r, "../pids.max", "8192\n");
        assert_leaf_file(r, "../../pids.max", "max\n");
        assert_true(order_call(*state, o, "Kill", "") >= 0);
        _cleanup_record_ const Record *end = order_wait(*state, o, RECORD_ENDED);
        assert_int_equal(end->exit_value, SIGKILL);
}

#define TEST(test) cmocka_unit_test_setup_teardown(test, fixture_setup, fixture_teardown)

int main(void)
{
        const struct CMUnitTest tests[] = {
                TEST(test_author), TEST(test_stricter_wins), TEST(test_bad_values),
                TEST(test_oom),    TEST(test_user_subtree),
        };

        if (fixture_obstacle()) {
                fprintf(stderr, "skipped: %s\n", fixture_obstacle());
                return 77;
        }
        return cmocka_run_group_tests_name("launcher-limits", tests, NULL, NULL);
}
