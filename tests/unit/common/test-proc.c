/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The reader of /proc on a tree of plain files, with names that try to confuse it, and on this host's real one. */

#include "common/proc/proc.h"

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "basic/fd.h"
#include "tests/unit/common/tree.h"
#include "tests/unit/test.h"

static void put(const Tree *t, const char *pid, const char *file, const char *text)
{
        char path[64];

        if (mkdirat(t->fd, pid, 0755) < 0)
                assert_int_equal(errno, EEXIST);
        snprintf(path, sizeof(path), "%s/%s", pid, file);
        _cleanup_fd_ int fd = openat(t->fd, path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
        assert_true(fd >= 0);
        assert_int_equal(fd_write_full(fd, text, strlen(text)), 0);
}

static void put_process(const Tree *t, int pid, char state, int ppid, int session)
{
        char name[16], text[128];

        snprintf(name, sizeof(name), "%d", pid);
        snprintf(text, sizeof(text), "%d (x) %c %d %d %d 0 -1 0", pid, state, ppid, session, session);
        put(t, name, "stat", text);
}

static void test_stat(void **state)
{
        const Tree *t = *state;
        ProcStat st;

        put(t, "7", "stat",
            "7 (a) R 99 (b c) S 3 4 5 0 -1 4194304 93 0 0 0 11 12 13 14 20 0 1 0 1630547 2502656 150 1\n");
        assert_int_equal(proc_stat(t->fd, 7, &st), 0);
        assert_int_equal(st.pid, 7);
        assert_int_equal(st.state, 'S');
        assert_int_equal(st.ppid, 3);
        assert_int_equal(st.session, 5);
        assert_int_equal(st.user_ticks, 11 + 13);
        assert_int_equal(st.system_ticks, 12 + 14);
        assert_int_equal(st.start, 1630547);
        assert_int_equal(st.rss_pages, 150);
}

static void test_stat_bad(void **state)
{
        static const char *const bad[] = { "", "7", "7 (a", "7 (a)", "7 (a) " };
        const Tree *t = *state;
        ProcStat st;

        assert_int_equal(proc_stat(t->fd, 8, &st), -ESRCH);
        for (size_t i = 0; i < ELEMENTSOF(bad); i++) {
                put(t, "7", "stat", bad[i]);
                assert_errno(proc_stat(t->fd, 7, &st), -EBADMSG, bad[i]);
        }
        put(t, "7", "stat", "7 (a) S 1"); /* what is cut off is 0 */
        assert_int_equal(proc_stat(t->fd, 7, &st), 0);
        assert_int_equal(st.start, 0);
}

static void test_io(void **state)
{
        const Tree *t = *state;
        RecordProcIo io = { .valid = 1 };

        put(t, "7", "io",
            "rchar: 1\nwchar: 2\nsyscr: 3\nsyscw: 4\nread_bytes: 5\nwrite_bytes: 6\n"
            "cancelled_write_bytes: 7\n");
        assert_int_equal(proc_io(t->fd, 7, &io), 0);
        assert_true(io.valid);
        assert_int_equal(io.rchar, 1);
        assert_int_equal(io.wchar, 2);
        assert_int_equal(io.syscr, 3);
        assert_int_equal(io.syscw, 4);
        assert_int_equal(io.read_bytes, 5);
        assert_int_equal(io.write_bytes, 6);
        assert_int_equal(io.cancelled_write_bytes, 7);

        assert_int_equal(proc_io(t->fd, 8, &io), -ESRCH);
        assert_false(io.valid);
}

static bool contains(const pid_t *pids, size_t n, pid_t pid)
{
        for (size_t i = 0; i < n; i++)
                if (pids[i] == pid)
                        return true;
        return false;
}

/* 10 is the ancestor; 40 is below it by way of 20, 50 only in its session, 60 nobody's, 70 a zombie. */
static void test_family(void **state)
{
        const Tree *t = *state;
        pid_t pids[8];

        put_process(t, 10, 'S', 1, 10);
        put_process(t, 40, 'S', 20, 40);
        put_process(t, 20, 'S', 10, 20);
        put_process(t, 50, 'S', 1, 20);
        put_process(t, 60, 'S', 1, 60);
        put_process(t, 70, 'Z', 10, 20);
        put(t, "self", "stat", "10 (x) S 1 10 10");

        size_t n = proc_family(t->fd, 10, 20, pids, ELEMENTSOF(pids));
        assert_int_equal(n, 3);
        assert_true(contains(pids, n, 20) && contains(pids, n, 40) && contains(pids, n, 50));
        assert_int_equal(proc_family(t->fd, 10, 20, pids, 1), 1);
        assert_int_equal(proc_family(t->fd, 60, 0, pids, ELEMENTSOF(pids)), 0);
}

/* A pid with another start time is another process. */
static void test_open(void **state _unused_)
{
        _cleanup_fd_ int proc_fd = open("/proc", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        ProcStat self, st;
        int status = -1;

        pid_t pid = fork();
        if (pid == 0)
                for (;;)
                        pause();
        assert_true(pid > 0);
        assert_int_equal(proc_stat(proc_fd, 0, &self), 0);
        assert_int_equal(self.pid, getpid());
        assert_int_equal(proc_stat(proc_fd, pid, &st), 0);
        assert_int_equal(st.ppid, getpid());

        assert_int_equal(proc_open(proc_fd, pid, st.start + 1), -ESRCH);
        assert_int_equal(proc_open(proc_fd, 0, 0), -ESRCH);
        _cleanup_fd_ int fd = proc_open(proc_fd, pid, st.start);
        assert_true(fd >= 0);
        assert_int_equal(proc_exit_status(fd, &status), 0);
        assert_int_equal(proc_signal(fd, 9999), -EINVAL);
        assert_int_equal(proc_signal(fd, SIGKILL), 0);
        assert_int_equal(waitpid(pid, &status, 0), pid);
        assert_int_equal(WTERMSIG(status), SIGKILL);

        assert_int_equal(proc_signal(fd, SIGKILL), -ESRCH);
        assert_int_equal(proc_open(proc_fd, pid, st.start), -ESRCH);
        status = -1;
        if (proc_exit_status(fd, &status) > 0) /* a kernel that keeps it */
                assert_int_equal(WTERMSIG(status), SIGKILL);
        else
                assert_int_equal(status, -1);
        assert_int_equal(proc_exit_status(-EBADF, &status), 0);
}

static void test_end_of_stat(void **state)
{
        const Tree *t = *state;
        ProcStat st;

        put(t, "9", "stat",
            "9 (kworker) Z 2 0 0 0 -1 2129984 0 0 0 0 0 0 0 0 20 0 1 0 77 0 0 1 0 0 0 0 0 0 0 0 0 0 0 0 17 "
            "0 0 0 "
            "0 0 0 0 0 0 0 0 0 0 1792\n");
        assert_int_equal(proc_stat(t->fd, 9, &st), 0);
        assert_true(st.flags & PROC_FLAG_KTHREAD);
        assert_true(WIFEXITED(st.exit_status));
        assert_int_equal(WEXITSTATUS(st.exit_status), 7);
}

static void test_ids(void **state)
{
        static const char *const bad[] = { "", "Name:\tx\n", "Name:\tx\nUid:\t1\t2\t3\nGid:\t5\t6\t7\t8\n",
                                           "Name:\tx\nUid:\t1\t2\t3\t4\n", "Uid:\t1\t2\t3\t4\n" };
        const Tree *t = *state;
        ProcIds ids;

        assert_int_equal(proc_ids(t->fd, 7, &ids), -ESRCH);
        /* The kernel writes a newline of the name as two characters. */
        put(t, "7", "status",
            "Name:\tx\\nUid:\t0\t0\t0\t0\nState:\tS\nUid:\t1\t2\t3\t4294967294\nGid:\t5\t6\t7\t8\n");
        assert_int_equal(proc_ids(t->fd, 7, &ids), 0);
        for (size_t i = 0; i < 4; i++) {
                assert_int_equal(ids.uid[i], i < 3 ? i + 1 : 4294967294);
                assert_int_equal(ids.gid[i], i + 5);
        }
        for (size_t i = 0; i < ELEMENTSOF(bad); i++) {
                put(t, "7", "status", bad[i]);
                assert_errno(proc_ids(t->fd, 7, &ids), -EBADMSG, bad[i]);
        }
}

static void test_cgroup(void **state)
{
        static const struct {
                const char *text, *path;
                int result;
        } cases[] = {
                { "0::/\n", "/", 0 },
                { "9:name=systemd:/x\n1:cpu:/0::/y\n0::/a/b c\n", "/a/b c", 0 },
                { "9:name=systemd:/x\n", NULL, -ENODATA },
                { "", NULL, -ENODATA },
                { "0::\n", NULL, -EBADMSG },
                { "0::/0123456789012345678901234567890\n", NULL, -E2BIG },
        };
        const Tree *t = *state;
        char path[32];

        assert_int_equal(proc_cgroup(t->fd, 7, path, sizeof(path)), -ESRCH);
        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                put(t, "7", "cgroup", cases[i].text);
                assert_errno(proc_cgroup(t->fd, 7, path, sizeof(path)), cases[i].result, cases[i].text);
                if (cases[i].path)
                        assert_string_equal(path, cases[i].path);
        }
}

/* On the real tree: a child of this test, and itself. */
static void test_owner_and_namespaces(void **state _unused_)
{
        uid_t owner = 12345;

        _cleanup_fd_ int fd = open("/proc", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        assert_int_equal(proc_owner(fd, 0, &owner), 0);
        assert_int_equal(owner, geteuid());
        assert_int_equal(proc_owner(fd, 2147483647, &owner), -ESRCH);
        assert_int_equal(proc_shares_namespace(fd, getpid(), "pid"), 1);
        assert_int_equal(proc_shares_namespace(fd, getpid(), "user"), 1);
        assert_int_equal(proc_shares_namespace(fd, 2147483647, "pid"), -ESRCH);
}

static void test_put_u64(void **state _unused_)
{
        char text[21];

        assert_ptr_equal(proc_put_u64(text, 0), text + 1);
        assert_string_equal(text, "0");
        proc_put_u64(text, UINT64_MAX);
        assert_string_equal(text, "18446744073709551615");
}

static void test_oom_score_adj(void **state)
{
        const Tree *t = *state;
        char text[32];

        put(t, "self", "oom_score_adj", "");
        assert_int_equal(proc_set_oom_score_adj(t->fd, -999), 0);
        assert_true(fd_read_file_at(t->fd, "self/oom_score_adj", text, sizeof(text)) >= 0);
        assert_string_equal(text, "-999");
        put(t, "self", "oom_score_adj", "");
        assert_int_equal(proc_set_oom_score_adj(t->fd, 30), 0);
        assert_true(fd_read_file_at(t->fd, "self/oom_score_adj", text, sizeof(text)) >= 0);
        assert_string_equal(text, "30");
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test_setup_teardown(test_stat, set_up, tear_down),
                cmocka_unit_test_setup_teardown(test_stat_bad, set_up, tear_down),
                cmocka_unit_test_setup_teardown(test_end_of_stat, set_up, tear_down),
                cmocka_unit_test_setup_teardown(test_ids, set_up, tear_down),
                cmocka_unit_test_setup_teardown(test_cgroup, set_up, tear_down),
                cmocka_unit_test(test_owner_and_namespaces),
                cmocka_unit_test(test_put_u64),
                cmocka_unit_test_setup_teardown(test_io, set_up, tear_down),
                cmocka_unit_test_setup_teardown(test_family, set_up, tear_down),
                cmocka_unit_test(test_open),
                cmocka_unit_test_setup_teardown(test_oom_score_adj, set_up, tear_down),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
