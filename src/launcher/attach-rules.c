/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Everything that is believed here comes from the kernel (and, about services, from PID 1): the author from the sealed
 * memfd, all else from /proc and the cgroup tree. The specification only names a process, by pid, start time and boot, which
 * together mean one process for ever; a pidfd is opened before anything about it is read.
 *
 *     nobody's   threads of the kernel, PID 1, processes in another pid or user namespace; the registry's user and group;
 *                the launcher, keepers, tasks (all that is in cgroups of ours); managers of services; a service's main
 *                process, which systemd would lose, and with it all below; what is frozen, which moving would thaw
 *     root's     any other
 *     a user's   those whose ids are all his and whose memory he may read (no setuid program, nothing that gave itself
 *                capabilities), and which no limit binds that moving would lift: below systemd, scopes of his own
 *                slice, since a command that he runs by reeve is outside of that, too; without systemd, cgroups
 *                without limits up to the root
 *
 * Between this look and the move, which the keeper makes at once, the process may execute another program. What it becomes then
 * it could as well have become a moment later, as a member of the task. */

#include "launcher/attach-rules.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <systemd/sd-daemon.h>
#include <unistd.h>

#include "basic/fd.h"
#include "basic/strings.h"
#include "common/cgroup/cgroup.h"
#include "common/proc/proc.h"
#include "launcher/systemd.h"

#define SYSTEMD_TIMEOUT_USEC (2 * USEC_PER_SEC)

static int deny(ReeveError *reterr, const char *text)
{
        return reeve_error_set(reterr, REEVE_ERROR_PERMISSION_DENIED, "pid", "%s", text);
}

static int gone(ReeveError *reterr, pid_t pid)
{
        return reeve_error_set(reterr, REEVE_ERROR_ALREADY_FINISHED, "pid",
                               "process %d has ended, or is not the one that was meant", pid);
}

static bool all_are(const uint32_t ids[static 4], uint32_t id)
{
        return ids[0] == id && ids[1] == id && ids[2] == id && ids[3] == id;
}

static bool any_is(const uint32_t ids[static 4], uint32_t id)
{
        return ids[0] == id || ids[1] == id || ids[2] == id || ids[3] == id;
}

static bool has_ended(const ProcStat *st)
{
        return st->state == 'Z' || st->state == 'X';
}

/* A process of people, in our own namespaces. */
static bool is_here(int proc_fd, pid_t pid, const ProcStat *st)
{
        return !(st->flags & PROC_FLAG_KTHREAD) && proc_shares_namespace(proc_fd, pid, "pid") > 0 &&
               proc_shares_namespace(proc_fd, pid, "user") > 0;
}

bool attach_is_of(int proc_fd, pid_t pid, uid_t uid)
{
        ProcStat st;
        uid_t owner;
        ProcIds ids;

        return proc_stat(proc_fd, pid, &st) >= 0 && !has_ended(&st) && is_here(proc_fd, pid, &st) &&
               proc_ids(proc_fd, pid, &ids) >= 0 && all_are(ids.uid, uid) &&
               proc_owner(proc_fd, pid, &owner) >= 0 && owner == uid;
}

/* ---- whose it is ---- */

static int check_identity(const Launcher *l, const Spec *s, uid_t author, ReeveError *reterr)
{
        pid_t pid = s->attach.pid;
        ProcStat st;
        ProcIds ids;

        if (proc_stat(l->proc_fd, pid, &st) < 0 || has_ended(&st) || proc_ids(l->proc_fd, pid, &ids) < 0)
                return gone(reterr, pid);
        if (!is_here(l->proc_fd, pid, &st) || pid == 1)
                return deny(reterr, "it is a part of the kernel, or not in the container of this launcher");
        if (pid == getpid() || any_is(ids.uid, l->reeve_uid) || any_is(ids.gid, l->reeve_gid))
                return deny(reterr, "it is a part of reeve");
        if (ids.uid[1] != s->uid || ids.gid[1] != s->gid)
                return deny(reterr, "its user or group is not the one that was named");
        if (author == 0)
                return 0;
        if (!all_are(ids.uid, author) || !all_are(ids.gid, s->gid))
                return deny(reterr, "only root may attach processes of other users");
        if (!attach_is_of(l->proc_fd, pid, author))
                return deny(reterr,
                            "its program has other rights than its user, or hides its memory from him");
        return 0;
}

/* ---- where it is ---- */

static bool is_below(const char *path, const char *top)
{
        const char *rest = string_after(path, top);

        return rest && (*rest == '/' || *rest == '\0');
}

/* The path within systemd's tree, beginning with a slash; NULL if it is elsewhere. */
static const char *systemd_path(const Launcher *l, const char *path)
{
        if (!l->systemd_root[0])
                return path;
        const char *rest = string_after(path + 1, l->systemd_root);

        return rest && *rest == '/' ? rest : NULL;
}

/* Tasks and keepers, of either backend. */
static bool is_ours(const Launcher *l, const char *path)
{
        const char *unit = systemd_path(l, path);
        char top[sizeof(l->pool.path) + 16];

        snprintf(top, sizeof(top), "/%s", l->pool.path);
        if (is_below(path, top))
                return true;
        snprintf(top, sizeof(top), "/%s.slice", l->instance.prefix);
        return unit && is_below(unit, top);
}

/* Does this file of a cgroup set a limit? One that is not there, "max", "max 100000" and an empty set do not. */
static bool has_limit(int dir_fd, const char *file)
{
        char text[4096];

        ssize_t n = fd_read_file_at(dir_fd, file, text, sizeof(text));
        if (n == -ENOENT || n == 0)
                return false;
        return n < 0 || !(text[0] == '\n' || strncmp(text, "max", 3) == 0);
}

/* In the cgroup or one above it. The root has no limits. */
static int check_no_limits(const Launcher *l, char *path, ReeveError *reterr)
{
        static const char *const files[] = { "memory.max", "memory.high", "memory.swap.max", "pids.max",
                                             "cpu.max",    "io.max",      "cpuset.cpus",     "cpuset.mems" };

        for (char *end; (end = strrchr(path, '/')) && end[1] != '\0'; *end = '\0') {
                _cleanup_fd_ int fd = openat(l->pool.mount_fd, path + 1, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
                if (fd < 0)
                        return deny(reterr, "its cgroup cannot be looked at");
                for (size_t i = 0; i < ELEMENTSOF(files); i++)
                        if (has_limit(fd, files[i]))
                                return deny(reterr, "a limit of its cgroup would not bind it any more");
        }
        return 0;
}

static int check_thawed(const Launcher *l, const char *path, ReeveError *reterr)
{
        bool frozen = false;

        _cleanup_fd_ int fd = openat(l->pool.mount_fd, path[1] ? path + 1 : ".",
                                     O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        if (fd < 0)
                return deny(reterr, "its cgroup cannot be looked at");
        (void)cgroup_events(fd, NULL, &frozen); /* the root has no such file */
        return frozen ? deny(reterr, "its cgroup is frozen") : 0;
}

/* ---- what systemd knows of it ---- */

static bool ends_with(const char *text, size_t n, const char *suffix)
{
        size_t m = strlen(suffix);

        return n > m && memcmp(text + n - m, suffix, m) == 0;
}

/* The innermost unit of a path: a service or a scope. NULL if there is none; *ret_outer counts those around it. */
static const char *innermost_unit(const char *path, size_t *ret_length, unsigned *ret_outer)
{
        const char *unit = NULL;
        unsigned found = 0;

        for (const char *p = path; *p == '/';) {
                size_t n = strcspn(++p, "/");

                if (ends_with(p, n, ".service") || ends_with(p, n, ".scope")) {
                        unit = p;
                        *ret_length = n;
                        found++;
                }
                p += n;
        }
        *ret_outer = found > 0 ? found - 1 : 0;
        return unit;
}

static int get_pid(sd_bus *bus, const char *path, const char *property, uint32_t *ret)
{
        return sd_bus_get_property_trivial(bus, SYSTEMD_DESTINATION, path,
                                           "org.freedesktop.systemd1.Service", property, NULL, 'u', ret);
}

/* Asked at PID 1's own socket, so that no bus daemon is needed. It happens for processes that root attaches out of a
 * service, and what it may cost the launcher is bounded. */
static int check_not_main(const char *unit, pid_t pid, ReeveError *reterr)
{
        _cleanup_(sd_bus_close_unrefp) sd_bus *bus = NULL;
        _cleanup_free_ char *path = NULL;
        uint32_t main_pid, control_pid;
        int r;

        if ((r = sd_bus_path_encode(SYSTEMD_OBJECT "/unit", unit, &path)) < 0 ||
            (r = sd_bus_new(&bus)) < 0 || (r = sd_bus_set_address(bus, SYSTEMD_SOCKET)) < 0 ||
            (r = sd_bus_set_method_call_timeout(bus, SYSTEMD_TIMEOUT_USEC)) < 0 ||
            (r = sd_bus_start(bus)) < 0 || (r = get_pid(bus, path, "MainPID", &main_pid)) < 0 ||
            (r = get_pid(bus, path, "ControlPID", &control_pid)) < 0)
                return reeve_error_set(reterr, REEVE_ERROR_UNAVAILABLE, "pid",
                                       "systemd does not say which process %s depends on: %s", unit,
                                       strerrordesc_np(-r) ?: "?");
        if (main_pid != (uint32_t)pid && control_pid != (uint32_t)pid)
                return 0;
        return reeve_error_set(reterr, REEVE_ERROR_PERMISSION_DENIED, "pid",
                               "it is the main process of %s, which systemd would lose", unit);
}

static int check_unit(const Launcher *l, const char *path, const SpecAttach *a, uid_t author,
                      ReeveError *reterr)
{
        const char *within = systemd_path(l, path) ?: "";
        char slice[64], name[256];
        unsigned outer;
        size_t n = 0;

        const char *unit = innermost_unit(within, &n, &outer);
        snprintf(name, sizeof(name), "%.*s", (int)MIN(n, sizeof(name) - 1), unit ?: "");
        if (streq(name, "init.scope"))
                return deny(reterr, "it is a manager of services");
        if (author != 0) {
                snprintf(slice, sizeof(slice), "/user.slice/user-%u.slice", author);
                if (is_below(within, slice) && ends_with(name, n, ".scope"))
                        return 0;
                return deny(reterr,
                            "it is not in a scope of its user's slice; limits of its unit would not bind it "
                            "any more");
        }
        if (!ends_with(name, n, ".service"))
                return 0;
        if (outer > 0)
                return deny(reterr, "it belongs to a service of a user's manager, which would lose it");
        if (a->children)
                return deny(reterr, "those below a process of a service may include its main one");
        return check_not_main(name, a->pid, reterr);
}

static int check_place(const Launcher *l, const SpecAttach *a, uid_t author, ReeveError *reterr)
{
        char path[PATH_MAX];

        int r = proc_cgroup(l->proc_fd, a->pid, path, sizeof(path));
        if (r == -ESRCH)
                return gone(reterr, a->pid);
        if (r < 0)
                return reeve_error_errno(reterr, r, "pid", "its cgroup cannot be read");
        if (is_ours(l, path))
                return deny(reterr, "it belongs to a task, or to reeve itself");
        if (is_below(path, "/.."))
                return deny(reterr, "its cgroup is outside of this launcher's namespace");
        r = check_thawed(l, path, reterr);
        if (r < 0)
                return r;
        if (sd_booted() > 0)
                return check_unit(l, path, a, author, reterr);
        return author == 0 ? 0 : check_no_limits(l, path, reterr);
}

int attach_check(const Launcher *l, const Spec *s, uid_t author, int *ret_fd, ReeveError *reterr)
{
        const SpecAttach *a = &s->attach;

        assert(l);
        assert(s && a->pid > 0);
        assert(ret_fd);

        if (l->backend != RECORD_BACKEND_CGROUP)
                return reeve_error_set(reterr, REEVE_ERROR_INVALID_ARGUMENT, "backend",
                                       "a process that runs can be attached only where tasks have cgroups");
        if (memcmp(a->boot_id, l->boot_id, sizeof(a->boot_id)) != 0)
                return gone(reterr, a->pid);
        _cleanup_fd_ int fd = proc_open(l->proc_fd, a->pid, a->start);
        if (fd < 0)
                return gone(reterr, a->pid);
        int r = check_identity(l, s, author, reterr);
        if (r >= 0)
                r = check_place(l, a, author, reterr);
        if (r < 0)
                return r;
        /* As long as this succeeds, the pid meant this process in all that was read. */
        if (proc_signal(fd, 0) < 0)
                return gone(reterr, a->pid);
        *ret_fd = TAKE_FD(fd);
        return 0;
}
