/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Nothing is pinned or remembered: the programs are on the root of the tasks, common/net finds them there, and with them
 * the map. reeve-netload, which stands beside this program, puts them there and replaces them by those of its
 * version. The launcher itself only ever reads the map and takes entries out.
 *
 * An account must not show traffic that was counted in part. So a record names the map that saw its attempt begin. If the map is
 * another one now (its cgroup or programs were taken away meanwhile), the attempts of before lose their counts: unknown,
 * not less than it was.
 *
 * The map is bounded, so what nobody ends must go: a sweep at each start and after so many attempts looks for each
 * entry whether its cgroup is still there, by the file handle that is made of its id. */

#include "launcher/net.h"

#include <errno.h>
#include <fcntl.h>
#include <spawn.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>

#include "basic/dir.h"
#include "basic/fd.h"
#include "basic/log.h"
#include "basic/strings.h"

#define LOADER_NAME       "reeve-netload"
#define LOADER_ROOT_FD    3
#define SWEEP_EVERY       4096
#define FILEID_KERNFS     0xfe /* linux/exportfs.h, which is the kernel's own */
#define LEVELS_BELOW_ROOT 3    /* of a task; with LEVELS_BELOW_POOL as in bpf/net.bpf.c */
#define LEVELS_BELOW_POOL 3

/* The pool; or the slice of the pool's scope, in which the other scopes are, too. */
static void find_root(NetCounters *n, bool is_scope)
{
        const char *path = n->tasks->path, *name = strrchr(path, '/');

        is_scope = is_scope && name;
        snprintf(n->root, sizeof(n->root), "%.*s", is_scope ? (int)(name - path) : INT_MAX, path);
        snprintf(n->pool, sizeof(n->pool), "%s", is_scope ? name + 1 : "");
}

/* The directory of this program. */
static int loader_path(char *ret, size_t size)
{
        ssize_t k = readlink("/proc/self/exe", ret, size - sizeof(LOADER_NAME) - 1);
        if (k < 0)
                return -errno;
        ret[k] = '\0';
        char *slash = strrchr(ret, '/');
        strcpy(slash ? slash + 1 : ret, LOADER_NAME);
        return faccessat(AT_FDCWD, ret, X_OK, 0) < 0 ? -errno : 0;
}

static int spawn_loader(const char *path, const char *pool, int root_fd, int error_fd, pid_t *ret)
{
        char *const argv[] = { (char *)LOADER_NAME, pool[0] ? (char *)pool : NULL, NULL }, *const env[] = {
                NULL
        };
        posix_spawn_file_actions_t actions;

        int r = posix_spawn_file_actions_init(&actions);
        if (r != 0)
                return -r;
        if ((r = posix_spawn_file_actions_adddup2(&actions, error_fd, STDERR_FILENO)) == 0 &&
            (r = posix_spawn_file_actions_adddup2(&actions, root_fd, LOADER_ROOT_FD)) == 0)
                r = posix_spawn(ret, path, &actions, NULL, argv, env);
        posix_spawn_file_actions_destroy(&actions);
        return -r;
}

/* 0, or -EIO with the reason. */
static int run_loader(NetCounters *n, int root_fd)
{
        char path[PATH_MAX];
        int fds[2], status = 0;
        pid_t pid;

        int r = loader_path(path, sizeof(path));
        if (r < 0) {
                snprintf(n->reason, sizeof(n->reason), "%s",
                         r == -ENOENT ? "reeve was built without them (-Dbpf=disabled)" : strerror(-r));
                return -EIO;
        }
        if (pipe2(fds, O_CLOEXEC) < 0)
                return -errno;
        r = spawn_loader(path, n->pool, root_fd, fds[1], &pid);
        fd_close(fds[1]);
        ssize_t k = r < 0 ? 0 : fd_read_full(fds[0], n->reason, sizeof(n->reason) - 1);
        fd_close(fds[0]);
        if (r < 0)
                return r;
        n->reason[MAX(k, (ssize_t)0)] = '\0';
        n->reason[strcspn(n->reason, "\n")] = '\0';
        while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
                ;
        return WIFEXITED(status) && WEXITSTATUS(status) == 0 ? 0 : -EIO;
}

/* The counts of every attempt that another map saw begin are lost. */
static void disown(const NetCounters *n, int records_fd)
{
        const struct dirent *d;

        _cleanup_closedir_ DIR *dir = dir_open_at(records_fd, ".");
        while (dir && (d = readdir(dir))) {
                Record *r;

                if (d->d_name[0] == '.' || record_map_writable(records_fd, d->d_name, &r) < 0)
                        continue;
                if (record_phase(r) < RECORD_ENDED && atomic_load(&r->net_map_id) != n->map_id)
                        atomic_store(&r->net_map_id, 0);
                record_unmap(r);
        }
}

static int start(NetCounters *n, int records_fd)
{
        NetAttached before, now;

        _cleanup_fd_ int root_fd = openat(n->tasks->mount_fd, n->root, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        if (root_fd < 0)
                return -errno;
        (void)net_find_attached(root_fd, &before);
        net_attached_done(&before);
        int r = run_loader(n, root_fd);
        if (r < 0)
                return r;
        r = net_find_attached(root_fd, &now);
        n->map_fd = TAKE_FD(now.map_fd);
        n->map_id = now.map_id;
        net_attached_done(&now);
        if (r > 0 && before.map_id != n->map_id)
                disown(n, records_fd);
        return r > 0 ? 0 : MIN(r, -ENOENT);
}

void net_counters_init(NetCounters *n, const Pool *tasks, const char *wanted)
{
        assert(n);
        assert(tasks);
        assert(wanted);

        *n = (NetCounters){ .map_fd = -EBADF, .tasks = tasks, .wanted = wanted };
}

void net_counters_start(NetCounters *n, int records_fd, bool is_scope)
{
        int r = -EIO;

        assert(n);

        n->map_fd = fd_close(n->map_fd);
        n->map_id = 0;
        n->reason[0] = '\0';
        find_root(n, is_scope);
        if (streq(n->wanted, "off"))
                strcpy(n->reason, "switched off (--network-counters=off)");
        else if (!n->root[0])
                strcpy(n->reason, "tasks have no cgroups here");
        else
                r = start(n, records_fd);
        if (r < 0 && !n->reason[0])
                snprintf(n->reason, sizeof(n->reason), "%s", strerror(-r));
        if (r < 0)
                log_notice("network traffic of tasks is not counted: %s", n->reason);
        else
                net_counters_sweep(n);
}

/* Is a task with this cgroup where the program looks for it? */
static bool is_covered(const NetCounters *n, const char *cgroup)
{
        const char *below = string_after(cgroup, n->root);
        unsigned levels = 0, wanted = LEVELS_BELOW_ROOT;

        if (!below || *below != '/')
                return false;
        const char *in_pool = n->pool[0] ? string_after(below + 1, n->pool) : NULL;
        if (in_pool && *in_pool == '/')
                wanted = 1 + LEVELS_BELOW_POOL;
        for (; *below; below++)
                levels += *below == '/';
        return levels == wanted;
}

void net_counters_begin(NetCounters *n, Record *r)
{
        assert(n);
        assert(r);

        atomic_store(&r->net_map_id, 0);
        if (n->map_fd < 0 || !is_covered(n, r->cgroup) || net_missed(n->map_fd, &r->net_missed) < 0)
                return;
        atomic_store(&r->net_map_id, n->map_id);
        if (++n->begun >= SWEEP_EVERY)
                net_counters_sweep(n);
}

int net_counters_map(const NetCounters *n, const Record *r)
{
        assert(n);
        assert(r);

        uint32_t id = atomic_load(&r->net_map_id);
        return id != 0 && id == n->map_id ? n->map_fd : -EBADF;
}

void net_counters_take(int map_fd, Record *r)
{
        NetRef ref = net_ref_of_record(r);
        char text[NET_TEXT_SIZE];
        NetCount c;

        if (map_fd >= 0 && ref.map_id != 0 && net_read(map_fd, &ref, &c) >= 0)
                (void)record_add_file(r, NET_FILE_NAME, text, net_format(&c, text));
}

void net_counters_end(int map_fd, const Record *r)
{
        if (map_fd >= 0)
                (void)net_remove(map_fd, r->cgroup_id);
}

static void remove_if_gone(uint64_t cgroup_id, const NetCount *c, void *userdata)
{
        const NetCounters *n = userdata;
        union {
                struct file_handle head;
                char room[sizeof(struct file_handle) + sizeof(uint64_t)];
        } handle = { .head = { .handle_bytes = sizeof(uint64_t), .handle_type = FILEID_KERNFS } };

        memcpy(handle.head.f_handle, &cgroup_id, sizeof(cgroup_id));
        _cleanup_fd_ int fd = open_by_handle_at(n->tasks->mount_fd, &handle.head, O_PATH | O_CLOEXEC);
        if (fd < 0 && errno == ESTALE)
                (void)net_remove(n->map_fd, cgroup_id);
}

void net_counters_sweep(NetCounters *n)
{
        static NetBatch room; /* 37 KB, of which each fork would copy what is on the stack */

        assert(n);

        n->begun = 0;
        int r = net_each(n->map_fd, &room, remove_if_gone, n);
        if (r < 0)
                log_debug_errno(r, "cannot read the network counters");
}
