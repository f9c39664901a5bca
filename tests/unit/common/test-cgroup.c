/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The cgroup reader on a tree of plain files, and once on this host's real one. */

#include "common/cgroup/cgroup.h"

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include <linux/magic.h>

#include "basic/fd.h"
#include "basic/strings.h"
#include "tests/unit/common/tree.h"
#include "tests/unit/test.h"

static void put(const Tree *t, const char *name, const char *text)
{
        _cleanup_fd_ int fd = openat(t->fd, name, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
        assert_true(fd >= 0);
        assert_int_equal(fd_write_full(fd, text, strlen(text)), 0);
}

static void test_controllers(void **state)
{
        const Tree *t = *state;
        uint32_t mask = 99;

        assert_int_equal(cgroup_controllers(t->fd, &mask), -ENOENT);
        assert_int_equal(mask, 99);
        put(t, "cgroup.controllers", "cpuset cpu io memory hugetlb pids rdma misc\n");
        assert_int_equal(cgroup_controllers(t->fd, &mask), 0);
        assert_int_equal(mask, (1U << _CGROUP_CONTROLLER_MAX) - 1);
        put(t, "cgroup.controllers", "cpuset memoryx pid\n");
        assert_int_equal(cgroup_controllers(t->fd, &mask), 0);
        assert_int_equal(mask, 1U << CGROUP_CPUSET);
        put(t, "cgroup.controllers", "\n");
        assert_int_equal(cgroup_controllers(t->fd, &mask), 0);
        assert_int_equal(mask, 0);

        for (CgroupController c = 0; c < _CGROUP_CONTROLLER_MAX; c++) {
                put(t, "cgroup.controllers", cgroup_controller_name(c));
                assert_int_equal(cgroup_controllers(t->fd, &mask), 0);
                assert_int_equal(mask, 1U << c);
        }
}

static void test_events(void **state)
{
        const Tree *t = *state;
        bool populated = false, frozen = true;

        assert_int_equal(cgroup_events(t->fd, &populated, &frozen), -ENOENT);
        put(t, "cgroup.events", "populated 1\nfrozen 0\n");
        assert_int_equal(cgroup_events(t->fd, &populated, &frozen), 0);
        assert_true(populated);
        assert_false(frozen);
        assert_int_equal(cgroup_events(t->fd, NULL, NULL), 0);
        put(t, "cgroup.events", "frozen 1\nnew_key 1\npopulated 0\n");
        assert_int_equal(cgroup_events(t->fd, &populated, &frozen), 0);
        assert_false(populated);
        assert_true(frozen);
        put(t, "cgroup.events", "populated 1\n"); /* before 5.2 */
        assert_int_equal(cgroup_events(t->fd, &populated, &frozen), 0);
        assert_true(populated);
        assert_false(frozen);
        put(t, "cgroup.events", "frozen 0\n");
        assert_int_equal(cgroup_events(t->fd, &populated, &frozen), -EBADMSG);
        put(t, "cgroup.events", "");
        assert_int_equal(cgroup_events(t->fd, &populated, &frozen), -EBADMSG);
}

static void test_events_parse(void **state _unused_)
{
        static const char *const bad[] = {
                "",           "populated",    "populated ",   "populated 2\n", "populated 10\n",
                "populated1", " populated 1", "unpopulated 1"
        };
        bool populated = false, frozen = false;

        for (size_t i = 0; i < ELEMENTSOF(bad); i++) {
                cgroup_events_parse(bad[i], &populated, &frozen);
                if (populated)
                        fail_msg("'%s' was taken for populated", bad[i]);
        }
        cgroup_events_parse("\n\npopulated 1\n\nfrozen 1", &populated, &frozen);
        assert_true(populated);
        assert_true(frozen);
        cgroup_events_parse("populated 0", NULL, NULL);
}

static void test_procs(void **state)
{
        const Tree *t = *state;
        pid_t pids[3] = { -1, -1, -1 };

        assert_int_equal(cgroup_procs(t->fd, pids, 3), -ENOENT);
        put(t, "cgroup.procs", "");
        assert_int_equal(cgroup_procs(t->fd, pids, 3), 0);
        put(t, "cgroup.procs", "12\n0\n3456\n");
        assert_int_equal(cgroup_procs(t->fd, pids, 3), 2);
        assert_int_equal(pids[0], 12);
        assert_int_equal(pids[1], 3456);
        assert_int_equal(pids[2], -1);
        put(t, "cgroup.procs", "1\n2\n3\n4\n5");
        assert_int_equal(cgroup_procs(t->fd, pids, 3), 5);
        assert_int_equal(pids[2], 3);
        assert_int_equal(cgroup_procs(t->fd, NULL, 0), 5);
}

/* More than one piece: no number is torn. */
static void test_procs_many(void **state)
{
        const Tree *t = *state;
        static pid_t pids[20000];
        _cleanup_buffer_ Buffer b = { 0 };

        for (unsigned i = 0; i < 20000; i++)
                assert_int_equal(buffer_printf(&b, "%u\n", 4000000 + i), 0);
        put(t, "cgroup.procs", b.data);
        assert_int_equal(cgroup_procs(t->fd, pids, ELEMENTSOF(pids)), 20000);
        for (int i = 0; i < 20000; i++)
                assert_int_equal(pids[i], 4000000 + i);
}

static void test_mountinfo(void **state _unused_)
{
        static const char hybrid[] = "22 1 8:1 / / rw - ext4 /dev/sda1 rw\n"
                                     "30 22 0:26 / /sys/fs/cgroup ro shared:9 - tmpfs tmpfs ro\n"
                                     "31 30 0:27 /sub /somewhere/else rw - cgroup2 cgroup2 rw\n"
                                     "32 30 0:27 / /sys/fs/cgroup/uni\\040fied rw,nosuid shared:10 master:2 "
                                     "- cgroup2 cgroup2 rw\n"
                                     "33 30 0:28 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory\n"
                                     "34 30 0:27 / /later rw - cgroup2 cgroup2 rw\n";
        static const char *const none[] = {
                "",
                "\n\n",
                "garbage",
                " - cgroup2 x",
                "1 2 3 - cgroup2 cgroup2 rw",
                "1 2 0:1 / relative rw - cgroup2 cgroup2 rw",
                "1 2 0:1 / /x rw - cgroup cgroup rw",
                "1 2 0:1 / /cgroup2 rw - cgroup2x cgroup2 rw",
        };
        char *path = NULL;

        assert_int_equal(cgroup_mount_from_mountinfo(hybrid, &path), 0);
        assert_string_equal(path, "/sys/fs/cgroup/uni fied");
        free(path);
        path = NULL;
        for (size_t i = 0; i < ELEMENTSOF(none); i++)
                assert_errno(cgroup_mount_from_mountinfo(none[i], &path), -ENOENT, none[i]);
        assert_null(path);
}

static void test_read_usage(void **state)
{
        const Tree *t = *state;
        Usage u = { 0 };

        assert_int_equal(cgroup_read_usage(t->fd, &u, USAGE_KERNEL), -ENODEV);
        put(t, "cpu.stat", "usage_usec 10\nuser_usec 6\nsystem_usec 4\n");
        put(t, "memory.current", "4096\n");
        put(t, "pids.peak", "3\n");
        put(t, "io.pressure", "some avg10=0.00 avg60=0.00 avg300=0.00 total=8\n");
        usage_set(&u, USAGE_MEMORY_PEAK, 1, USAGE_RUSAGE);
        assert_int_equal(cgroup_read_usage(t->fd, &u, USAGE_KERNEL), 0);
        assert_int_equal(u.value[USAGE_CPU], 10);
        assert_int_equal(u.source[USAGE_CPU], USAGE_KERNEL);
        assert_int_equal(u.value[USAGE_MEMORY_CURRENT], 4096);
        assert_int_equal(u.value[USAGE_PIDS_PEAK], 3);
        assert_int_equal(u.value[USAGE_PSI_IO_SOME], 8);
        assert_int_equal(u.source[USAGE_MEMORY_PEAK], USAGE_RUSAGE);
        assert_false(usage_has(&u, USAGE_IO_READ));
}

/* Each file in the table is one that usage knows, and the fast ones come first. */
static void test_files(void **state _unused_)
{
        bool slow = false;

        for (size_t i = 0; i < n_cgroup_files; i++) {
                Usage u = { 0 };
                if (usage_parse_file(&u, cgroup_files[i].name, "", USAGE_KERNEL) != 1)
                        fail_msg("usage has no reader for %s", cgroup_files[i].name);
                assert_true(cgroup_files[i].controller < _CGROUP_CONTROLLER_MAX);
                assert_false(cgroup_files[i].fast && slow);
                slow = !cgroup_files[i].fast;
        }
}

/* The real thing: our own cgroup is below the mount, has us in it, and has used some CPU. */
static void test_this_host(void **state _unused_)
{
        _cleanup_fd_ int fd = -EBADF, own = -EBADF;
        _cleanup_free_ char *path = NULL, *membership = NULL;
        struct statfs fs;
        uint32_t mask;
        bool populated = false;
        pid_t pids[4096];
        Usage u = { 0 };

        int r = cgroup_open_mount(&fd, &path);
        if (r == -ENOENT) {
                print_message("skipped: no cgroup2 mount here\n");
                skip();
        }
        assert_int_equal(r, 0);
        assert_int_equal(fstatfs(fd, &fs), 0);
        assert_int_equal(fs.f_type, CGROUP2_SUPER_MAGIC);
        assert_int_equal(path[0], '/');
        assert_int_equal(cgroup_controllers(fd, &mask), 0);

        assert_int_equal(fd_read_file_alloc(AT_FDCWD, "/proc/self/cgroup", 65536, &membership, NULL), 0);
        char *line = strstr(membership, "0::/");
        assert_non_null(line);
        line[strcspn(line, "\n")] = '\0';
        own = openat(fd, line[4] ? line + 4 : ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        if (own < 0) {
                print_message("skipped: our cgroup '%s' is not below the mount (another namespace)\n",
                              line + 3);
                skip();
        }
        if (line[4]) { /* the root has no cgroup.events */
                assert_int_equal(cgroup_events(own, &populated, NULL), 0);
                assert_true(populated);
        }
        int n = cgroup_procs(own, pids, ELEMENTSOF(pids));
        assert_true(n > 0);
        bool found = n > (int)ELEMENTSOF(pids);
        for (int i = 0; i < n && i < (int)ELEMENTSOF(pids); i++)
                found |= pids[i] == getpid();
        assert_true(found);
        assert_int_equal(cgroup_read_usage(own, &u, USAGE_KERNEL), 0);
        assert_true(usage_has(&u, USAGE_CPU));
        assert_true(u.value[USAGE_CPU] > 0);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test_setup_teardown(test_controllers, set_up, tear_down),
                cmocka_unit_test_setup_teardown(test_events, set_up, tear_down),
                cmocka_unit_test(test_events_parse),
                cmocka_unit_test_setup_teardown(test_procs, set_up, tear_down),
                cmocka_unit_test_setup_teardown(test_procs_many, set_up, tear_down),
                cmocka_unit_test(test_mountinfo),
                cmocka_unit_test_setup_teardown(test_read_usage, set_up, tear_down),
                cmocka_unit_test(test_files),
                cmocka_unit_test(test_this_host),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
