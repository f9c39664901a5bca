/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The BPF program, its map and those who read it, on a cgroup of this test's own: what is counted for whom, what is
 * known of it when the map is full, and who may do what with a descriptor for reading. Traffic goes over loopback; what crosses an
 * interface is test_network.py's. */

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/bpf.h>
#include <spawn.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "basic/fd.h"
#include "common/cgroup/cgroup.h"
#include "common/net/net-usage.h"
#include "daemon/sampler/net-reader.h"
#include "tests/unit/test.h"

#define PAYLOAD   1000
#define PACKET    (PAYLOAD + 28) /* IP and UDP */
#define ABSURD_ID (UINT64_C(1) << 60)

typedef struct World {
        int mount_fd, root_fd;
        char root[64];
        NetAttached attached;
} World;

static const char *const directories[] = { "",           "/tasks",           "/tasks/0",
                                           "/tasks/0/a", "/tasks/0/a/below", "/tasks/0/b",
                                           "/tasks/0/c" };

/* The exit status of the loader. */
static int load(World *w)
{
        char *const argv[] = { (char *)"reeve-netload", NULL }, *const env[] = { NULL };
        posix_spawn_file_actions_t actions;
        pid_t pid;
        int status;

        posix_spawn_file_actions_init(&actions);
        posix_spawn_file_actions_adddup2(&actions, w->root_fd, 3);
        assert_int_equal(posix_spawn(&pid, getenv("REEVE_NETLOAD"), &actions, NULL, argv, env), 0);
        posix_spawn_file_actions_destroy(&actions);
        assert_int_equal(waitpid(pid, &status, 0), pid);
        return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

static int setup(void **state)
{
        World *w = test_calloc(1, sizeof(World));
        char path[128];

        *state = w;
        assert_int_equal(cgroup_open_mount(&w->mount_fd, NULL), 0);
        snprintf(w->root, sizeof(w->root), "reeve-test-net-%d", getpid());
        for (size_t i = 0; i < ELEMENTSOF(directories); i++) {
                snprintf(path, sizeof(path), "%s%s", w->root, directories[i]);
                assert_int_equal(mkdirat(w->mount_fd, path, 0755), 0);
        }
        w->root_fd = openat(w->mount_fd, w->root, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        assert_true(w->root_fd >= 0);
        assert_int_equal(net_find_attached(w->root_fd, &w->attached), 0);
        assert_int_equal(w->attached.map_fd, -EBADF);
        assert_int_equal(load(w), 0);
        assert_int_equal(net_find_attached(w->root_fd, &w->attached), 1);
        return 0;
}

static int teardown(void **state)
{
        World *w = *state;
        char path[128];

        net_attached_done(&w->attached);
        fd_close(w->root_fd);
        for (size_t i = ELEMENTSOF(directories); i-- > 0;) {
                snprintf(path, sizeof(path), "%s%s", w->root, directories[i]);
                assert_int_equal(unlinkat(w->mount_fd, path, AT_REMOVEDIR), 0);
        }
        fd_close(w->mount_fd);
        test_free(w);
        return 0;
}

static NetRef ref_to(const World *w, const char *leaf)
{
        NetRef ref = { .map_id = w->attached.map_id };
        struct stat st;

        assert_int_equal(fstatat(w->root_fd, leaf, &st, 0), 0);
        ref.cgroup_id = st.st_ino;
        assert_int_equal(net_missed(w->attached.map_fd, &ref.missed), 0);
        return ref;
}

/* One datagram over loopback, from a socket that is made in that cgroup. */
static void send_from(const World *w, const char *leaf)
{
        struct sockaddr_in to = { .sin_family = AF_INET,
                                  .sin_port = htons(9),
                                  .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
        char path[64], payload[PAYLOAD] = { 0 };
        int status;

        snprintf(path, sizeof(path), "%s/cgroup.procs", leaf);
        pid_t pid = fork();
        if (pid == 0) {
                int fd = fd_write_file_at(w->root_fd, path, "0") < 0 ? -1 : socket(AF_INET, SOCK_DGRAM, 0);
                ssize_t n = fd < 0 ? -1
                                   : sendto(fd, payload, sizeof(payload), 0, (const struct sockaddr *)&to,
                                            sizeof(to));
                _exit(n == PAYLOAD ? 0 : 1);
        }
        assert_int_equal(waitpid(pid, &status, 0), pid);
        assert_int_equal(status, 0);
}

static void expect_tx(const World *w, const NetRef *ref, uint64_t bytes)
{
        NetCount c;

        assert_int_equal(net_read(w->attached.map_fd, ref, &c), 0);
        assert_int_equal(c.loopback_tx_bytes, bytes);
        assert_int_equal(c.tx_bytes, 0);
        assert_int_equal(c.tx_packets, 0);
}

static void test_counts_for_the_leaf_and_what_is_below(void **state)
{
        World *w = *state;
        NetRef a = ref_to(w, "tasks/0/a"), b = ref_to(w, "tasks/0/b");

        expect_tx(w, &a, 0);
        send_from(w, "tasks/0/a");
        expect_tx(w, &a, PACKET);
        send_from(w, "tasks/0/a/below");
        expect_tx(w, &a, UINT64_C(2) * PACKET);
        expect_tx(w, &b, 0);

        /* Above the leaves are no tasks. */
        send_from(w, "tasks/0");
        expect_tx(w, &a, UINT64_C(2) * PACKET);
        expect_tx(w, &b, 0);

        assert_int_equal(net_remove(w->attached.map_fd, a.cgroup_id), 0);
        assert_int_equal(net_remove(w->attached.map_fd, a.cgroup_id), 0);
        expect_tx(w, &a, 0);
}

static void test_programs_are_replaced_and_the_map_stays(void **state)
{
        World *w = *state;
        NetRef a = ref_to(w, "tasks/0/a");
        NetAttached now;

        send_from(w, "tasks/0/a");
        assert_int_equal(load(w), 0);
        assert_int_equal(net_find_attached(w->root_fd, &now), 1);
        assert_int_equal(now.map_id, w->attached.map_id);
        net_attached_done(&now);
        send_from(w, "tasks/0/a");
        expect_tx(w, &a, UINT64_C(2) * PACKET);
        assert_int_equal(net_remove(w->attached.map_fd, a.cgroup_id), 0);
}

static int put(int map_fd, uint64_t id)
{
        NetCount none = { 0 };
        union bpf_attr attr;

        memset(&attr, 0, sizeof(attr));
        attr.map_fd = (uint32_t)map_fd;
        attr.key = (uintptr_t)&id;
        attr.value = (uintptr_t)&none;
        return syscall(SYS_bpf, BPF_MAP_UPDATE_ELEM, &attr, sizeof(attr)) < 0 ? -errno : 0;
}

static void count_absurd(uint64_t id, const NetCount *c, void *userdata)
{
        *(size_t *)userdata += id >= ABSURD_ID;
}

static size_t absurd_entries(int map_fd)
{
        static NetBatch room;
        size_t n = 0;

        assert_int_equal(net_each(map_fd, &room, count_absurd, &n), 0);
        return n;
}

/* A map without room: what was missed is not known, and what was not missed is. */
static void test_full(void **state)
{
        World *w = *state;
        int fd = w->attached.map_fd, k;
        NetRef a = ref_to(w, "tasks/0/a"), b = ref_to(w, "tasks/0/b");
        uint64_t n = 0, missed;
        NetCount c;

        send_from(w, "tasks/0/a");
        while ((k = put(fd, ABSURD_ID + n)) == 0)
                n++;
        assert_int_equal(k, -E2BIG);
        assert_int_equal(n, NET_MAP_ENTRIES - 2); /* one is a's, one the map's own */
        assert_int_equal(absurd_entries(fd), n);

        send_from(w, "tasks/0/b");
        assert_int_equal(net_missed(fd, &missed), 0);
        assert_int_equal(missed, b.missed + 1);
        assert_int_equal(net_read(fd, &b, &c), -ENODATA);
        send_from(w, "tasks/0/a");
        expect_tx(w, &a, UINT64_C(2) * PACKET);

        /* A task that begins now has missed nothing, with room again; b's second packet does not make up for the first. */
        NetRef later = ref_to(w, "tasks/0/c");
        expect_tx(w, &later, 0);
        for (uint64_t i = 0; i < n; i++)
                assert_int_equal(net_remove(fd, ABSURD_ID + i), 0);
        assert_int_equal(absurd_entries(fd), 0);
        send_from(w, "tasks/0/c");
        expect_tx(w, &later, PACKET);
        send_from(w, "tasks/0/b");
        assert_int_equal(net_read(fd, &b, &c), -ENODATA);
        NetRef again = ref_to(w, "tasks/0/b");
        expect_tx(w, &again, PACKET);

        assert_int_equal(net_remove(fd, a.cgroup_id), 0);
        assert_int_equal(net_remove(fd, b.cgroup_id), 0);
        assert_int_equal(net_remove(fd, later.cgroup_id), 0);
}

/* What reeved has: a descriptor, and no right at all. */
static void test_descriptor_for_reading(void **state)
{
        World *w = *state;
        NetRef a = ref_to(w, "tasks/0/a");
        int status;

        _cleanup_fd_ int fd = net_open_read_only(a.map_id);
        assert_true(fd >= 0);
        send_from(w, "tasks/0/a");
        pid_t pid = fork();
        if (pid == 0) {
                NetCount c;

                if (setgid(65534) < 0 || setuid(65534) < 0)
                        _exit(1);
                if (net_read(fd, &a, &c) < 0 || c.loopback_tx_bytes != PACKET)
                        _exit(2);
                if (absurd_entries(fd) != 0)
                        _exit(3);
                if (net_remove(fd, a.cgroup_id) != -EPERM || put(fd, a.cgroup_id) != -EPERM)
                        _exit(4);
                _exit(net_open_read_only(a.map_id) == -EPERM ? 0 : 5);
        }
        assert_int_equal(waitpid(pid, &status, 0), pid);
        assert_int_equal(WEXITSTATUS(status), 0);
        expect_tx(w, &a, PACKET);
        assert_int_equal(net_remove(w->attached.map_fd, a.cgroup_id), 0);
}

static void expect_usage(NetReader *n, const NetProbe *p, int64_t bytes)
{
        Usage u = { 0 };

        usage_set(&u, USAGE_NET_LOOPBACK_TX, 1, USAGE_KERNEL); /* of a reading before */
        net_reader_get(n, p, &u);
        assert_int_equal(usage_has(&u, USAGE_NET_LOOPBACK_TX), bytes >= 0);
        assert_int_equal(usage_has(&u, USAGE_NET_RX_PACKETS), bytes >= 0);
        if (bytes >= 0)
                assert_int_equal(u.value[USAGE_NET_LOOPBACK_TX], bytes);
}

static void test_sampler_reads_all_at_once(void **state)
{
        static NetReader n;
        World *w = *state;
        NetProbe a = { .ref = ref_to(w, "tasks/0/a") }, b = { .ref = ref_to(w, "tasks/0/b") };
        NetProbe other_map = { .ref = a.ref }, uncounted = { 0 };

        other_map.ref.map_id++;
        net_reader_init(&n);
        expect_usage(&n, &a, -1);
        net_reader_set_map(&n, net_open_read_only(a.ref.map_id), a.ref.map_id);
        net_reader_add(&n, &a);
        net_reader_add(&n, &other_map);
        net_reader_add(&n, &uncounted);

        /* Before its first round a probe is looked up by itself. */
        send_from(w, "tasks/0/a");
        expect_usage(&n, &a, PACKET);
        net_reader_refresh(&n, 1000, 0);
        expect_usage(&n, &a, PACKET);
        expect_usage(&n, &other_map, -1);
        expect_usage(&n, &uncounted, -1);

        /* A round is good for a while. */
        send_from(w, "tasks/0/a");
        net_reader_refresh(&n, 1500, 500);
        expect_usage(&n, &a, PACKET);
        net_reader_add(&n, &b);
        send_from(w, "tasks/0/b");
        expect_usage(&n, &b, PACKET);
        net_reader_refresh(&n, 2500, 1500);
        expect_usage(&n, &a, 2 * PACKET);
        expect_usage(&n, &b, PACKET);

        /* What is not met any more is 0, and without a map nothing is known. */
        assert_int_equal(net_remove(w->attached.map_fd, a.ref.cgroup_id), 0);
        assert_int_equal(net_remove(w->attached.map_fd, b.ref.cgroup_id), 0);
        net_reader_refresh(&n, 3500, 2500);
        expect_usage(&n, &a, 0);
        net_reader_set_map(&n, -EBADF, 0);
        net_reader_refresh(&n, 4500, 3500);
        expect_usage(&n, &a, -1);

        net_reader_remove(&n, &a);
        net_reader_remove(&n, &b);
        net_reader_remove(&n, &other_map);
        net_reader_remove(&n, &uncounted);
        assert_int_equal(n.n_probes, 0);
        net_reader_done(&n);
}

static void test_bad_descriptors(void **state)
{
        static NetBatch room;
        World *w = *state;
        NetRef ref = ref_to(w, "tasks/0/a");
        NetAttached found;
        size_t n = 0;
        NetCount c;

        assert_int_equal(net_read(-EBADF, &ref, &c), -EBADF);
        assert_int_equal(net_read(w->root_fd, &ref, &c), -EINVAL);
        assert_int_equal(net_remove(-EBADF, 1), -EBADF);
        assert_int_equal(net_each(-EBADF, &room, count_absurd, &n), -EBADF);
        assert_int_equal(net_find_attached(-EBADF, &found), -EBADF);
        net_attached_done(&found);
        assert_true(net_open_read_only(UINT32_MAX) < 0);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_counts_for_the_leaf_and_what_is_below),
                cmocka_unit_test(test_programs_are_replaced_and_the_map_stays),
                cmocka_unit_test(test_full),
                cmocka_unit_test(test_descriptor_for_reading),
                cmocka_unit_test(test_sampler_reads_all_at_once),
                cmocka_unit_test(test_bad_descriptors),
        };
        World w = { 0 };

        /* The loader says why not. */
        if (geteuid() != 0 || cgroup_open_mount(&w.mount_fd, NULL) < 0) {
                puts("skip net needs root and cgroup v2");
                return 77;
        }
        mkdirat(w.mount_fd, "reeve-test-net-probe", 0755);
        w.root_fd = openat(w.mount_fd, "reeve-test-net-probe", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        int status = load(&w);
        fd_close(w.root_fd);
        unlinkat(w.mount_fd, "reeve-test-net-probe", AT_REMOVEDIR);
        if (status != 0) {
                puts("skip net the kernel does not take the BPF programs");
                return 77;
        }
        return cmocka_run_group_tests_name("launcher/net", tests, setup, teardown);
}
