/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* A scope lives as long as there is a process in its cgroup, whoever started it; so one process of ours does nothing but
 * be there, the holder:
 *
 *     <prefix>.slice/<prefix>-pool.scope/holder         the holder
 *     <prefix>.slice/<prefix>-pool.scope/keepers        as pool.h says
 *     <prefix>.slice/<prefix>-pool.scope/tasks/...
 *
 * It is in no service, so stop, restart and kill of the launcher leave it alone, and the next launcher finds it:
 *
 *     no cgroup, or nobody in it          the scope is made, around a new holder
 *     a holder in it                      used as it is
 *     processes, but no holder            somebody killed it; a new one is cloned into its leaf, after a moment in which
 *                                         they end if it was systemd that killed everything
 *     processes, and `stopping`           systemd is stopping the scope (somebody wants that, or the host is going
 *                                         down): when it is gone, it is made again
 *
 * `stopping` is an empty cgroup that the holder makes when PID 1 sends it SIGTERM. Nobody else has to be asked then, and
 * nothing new comes into a scope that waits for its last process. A keeper gets the same signal from systemd and ends
 * its task as for any stop.
 *
 * The call for the system's instance ignores dependencies: After=reeved.service, which at shutdown makes tasks end before
 * their registry, would at boot make the scope wait for services that wait for this launcher. */

#include "launcher/pool-scope.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "basic/crash.h"
#include "basic/fd.h"
#include "basic/log.h"
#include "common/cgroup/cgroup.h"
#include "common/clock.h"
#include "common/proc/proc.h"
#include "common/unit-name.h"
#include "launcher/backend-scope.h"
#include "launcher/keeper.h"
#include "launcher/launcher.h"
#include "launcher/scope-place.h"
#include "launcher/systemd.h"

#define LOOK_AGAIN_USEC    (50 * USEC_PER_MSEC)
#define TRY_AGAIN_USEC     USEC_PER_SEC
#define HOLDER_PAUSE_USEC  (500 * USEC_PER_MSEC)
#define STOP_TIMEOUT_USEC  (90 * USEC_PER_SEC)
#define STOP_PATIENCE_USEC (60 * USEC_PER_SEC)
#define TRY_PATIENCE_USEC  (5 * USEC_PER_SEC)
#define HOLDER             "holder"
#define STOPPING           "stopping"

/* ---- the holder ---- */

/* Runs in the forked process. With `go_fd` it waits until it is in the scope; without, it was born there. */
_noreturn_ static void hold(const Launcher *l, int go_fd)
{
        int keep[] = { l->pool.mount_fd, l->proc_fd, go_fd };
        siginfo_t info;
        sigset_t mask;
        char path[sizeof(l->pool_scope.path) + 16];

        fd_close_all_but(keep, ELEMENTSOF(keep));
        prctl(PR_SET_NAME, "reeve-holder");
        (void)proc_set_oom_score_adj(l->proc_fd, KEEPER_OOM_SCORE_ADJ);
        if (go_fd >= 0 && scope_wait(go_fd) < 0)
                _exit(EXIT_FAILURE);
        fd_close(go_fd);

        sigfillset(&mask);
        sigprocmask(SIG_SETMASK, &mask, NULL);
        while (sigwaitinfo(&mask, &info) != SIGTERM || info.si_pid != 1)
                ;
        snprintf(path, sizeof(path), "%s/" STOPPING, l->pool_scope.path);
        (void)mkdirat(l->pool.mount_fd, path, 0755);
        _exit(EXIT_SUCCESS);
}

static int on_holder_ended(sd_event_source *s, int fd, uint32_t revents, void *userdata);

static int watch_holder(Launcher *l, pid_t pid)
{
        _cleanup_fd_ int fd = (int)syscall(SYS_pidfd_open, pid, 0);

        if (fd < 0)
                return -errno;
        int r = sd_event_add_io(l->event, &l->pool_scope.holder, fd, EPOLLIN, on_holder_ended, l);
        if (r < 0)
                return r;
        sd_event_source_set_io_fd_own(l->pool_scope.holder, true);
        TAKE_FD(fd);
        return 0;
}

/* The pool is there and has a holder: it is opened, again perhaps. */
static int settle(Launcher *l, pid_t holder)
{
        Pool fresh;

        int r = pool_open(&fresh, l->instance.prefix, l->pool_scope.path, &l->pool_scope.error);
        if (r < 0)
                return r;
        pool_close(&l->pool);
        l->pool = fresh;
        net_counters_start(&l->net, l->records_fd, true);
        l->pool_scope.error = REEVE_ERROR_NULL;
        r = watch_holder(l, holder);
        return r < 0 ? reeve_error_errno(&l->pool_scope.error, r, NULL, "cannot watch the holder") : 0;
}

/* ---- finding it ---- */

static bool is_populated(int parent_fd, const char *name)
{
        bool populated = false;

        _cleanup_fd_ int fd = pool_open_leaf(parent_fd, name);
        return fd >= 0 && cgroup_events(fd, &populated, NULL) >= 0 && populated;
}

/* The holder of a scope that lives, a new one if need be. 0: there is no scope; -EBUSY: it is going. */
static pid_t find_holder(Launcher *l)
{
        pid_t pid = 0;

        if (!is_populated(l->pool.mount_fd, l->pool_scope.path))
                return 0;
        _cleanup_fd_ int fd = pool_open_leaf(l->pool.mount_fd, l->pool_scope.path);
        if (fd < 0)
                return -errno;
        if (faccessat(fd, STOPPING, F_OK, 0) == 0)
                return -EBUSY;
        if (mkdirat(fd, HOLDER, 0755) < 0 && errno != EEXIST)
                return -errno;
        _cleanup_fd_ int leaf_fd = pool_open_leaf(fd, HOLDER);
        if (leaf_fd < 0)
                return -errno;
        if (cgroup_procs(leaf_fd, &pid, 1) > 0)
                return pid;
        if (!is_populated(fd, "keepers") &&
            !is_populated(fd, "tasks")) /* it is going, or made by who died of it */
                return -EBUSY;
        if (clock_boottime(clock_system()) - l->pool_scope.lost_boottime < HOLDER_PAUSE_USEC)
                return -EBUSY;
        pid = keeper_clone(leaf_fd);
        if (pid == 0)
                hold(l, -EBADF);
        return pid;
}

/* ---- making it ---- */

typedef struct Making {
        Launcher *l;
        pid_t holder;
        int go_fd;
} Making;

static void try(Launcher *l);

static void try_after(Launcher *l, usec_t after)
{
        (void)sd_event_source_set_time_relative(l->pool_scope.timer, after);
        (void)sd_event_source_set_enabled(l->pool_scope.timer, SD_EVENT_ONESHOT);
}

/* The holder waits; its leaf must be there before it goes on, and it before the controllers are enabled. */
static int occupy(const Making *m)
{
        _cleanup_fd_ int fd = pool_open_leaf(m->l->pool.mount_fd, m->l->pool_scope.path);
        char pid[16];

        if (fd < 0 || (mkdirat(fd, HOLDER, 0755) < 0 && errno != EEXIST))
                return -errno;
        unlinkat(fd, STOPPING, AT_REMOVEDIR);
        snprintf(pid, sizeof(pid), "%d", m->holder);
        int r = fd_write_file_at(fd, HOLDER "/cgroup.procs", pid);
        return r < 0 ? r : fd_write_full(m->go_fd, "g", 1);
}

static void on_made(const ReeveError *error, void *userdata)
{
        _cleanup_free_ Making *m = ASSERT_PTR(userdata);
        Launcher *l = m->l;

        CRASH_POINT("launcher", "pool-scope");
        if (!l->pool_scope.path[0]) { /* given up meanwhile */
                fd_close(m->go_fd);
                return;
        }
        l->pool_scope.error = error ? *error : REEVE_ERROR_NULL;
        int r = error ? -EAGAIN : occupy(m);
        fd_close(m->go_fd);
        if (r < 0 && !error)
                reeve_error_errno(&l->pool_scope.error, r, NULL, "cannot enter the scope of the pool");
        if (r < 0 || settle(l, m->holder) < 0)
                try_after(l, TRY_AGAIN_USEC);
}

static int append_properties(const Launcher *l, sd_bus_message *m)
{
        char slice[UNIT_NAME_SIZE];
        int r;

        snprintf(slice, sizeof(slice), "%s.slice", l->instance.prefix);
        if ((r = sd_bus_message_append(m, "(sv)", "Description", "s", "Tasks of reeve")) < 0 ||
            (r = sd_bus_message_append(m, "(sv)", "Slice", "s", slice)) < 0 ||
            (r = sd_bus_message_append(m, "(sv)", "TasksMax", "t", UINT64_MAX)) < 0)
                return r;
        return scope_append_common(l, m, STOP_TIMEOUT_USEC);
}

static int ask(Launcher *l, Making *making)
{
        _cleanup_(sd_bus_message_unrefp) sd_bus_message *m = NULL;
        bool is_system = !l->instance.root[0];
        char unit[UNIT_NAME_SIZE];

        snprintf(unit, sizeof(unit), "%s.slice", l->instance.prefix);
        if (is_system)
                systemd_ask(l->systemd, "StartUnit", unit);
        snprintf(unit, sizeof(unit), "%s-pool.scope", l->instance.prefix);
        int r = systemd_start_prepare(l->systemd, unit, is_system ? "ignore-dependencies" : "replace", &m);
        if (r >= 0)
                r = append_properties(l, m);
        if (r >= 0)
                r = systemd_start_complete(m, making->holder);
        const SystemdStart start = { unit, l->pool_scope.path, making->holder, on_made, making };
        return r < 0 ? r : systemd_start(l->systemd, m, &start);
}

static int make(Launcher *l)
{
        int fds[2];

        _cleanup_free_ Making *m = NEW0(Making, 1);
        if (!m || pipe2(fds, O_CLOEXEC) < 0)
                return m ? -errno : -ENOMEM;
        pid_t pid = keeper_clone(-EBADF);
        if (pid == 0)
                hold(l, fds[0]);
        fd_close(fds[0]);
        *m = (Making){ l, pid, fds[1] };
        int r = pid < 0 ? pid : ask(l, m);
        if (r < 0) {
                fd_close(fds[1]);
                return r;
        }
        TAKE_PTR(m);
        return 0;
}

static void try(Launcher *l)
{
        PoolScope *p = &l->pool_scope;

        pid_t holder = find_holder(l);
        int r = holder > 0 ? settle(l, holder) : holder == 0 ? make(l) : holder;
        if (r < 0 && r != -EBUSY && holder <= 0)
                reeve_error_errno(&p->error, r, NULL, "cannot make the scope of the pool");
        if (r < 0)
                try_after(l, r == -EBUSY ? LOOK_AGAIN_USEC : TRY_AGAIN_USEC);
}

static int on_timer(sd_event_source *s, uint64_t now, void *userdata)
{
        try(userdata);
        return 0;
}

static int on_holder_ended(sd_event_source *s, int fd, uint32_t revents, void *userdata)
{
        Launcher *l = ASSERT_PTR(userdata);

        log_notice("the holder of %s has ended", l->pool_scope.path);
        l->pool_scope.holder = sd_event_source_disable_unref(l->pool_scope.holder);
        l->pool_scope.lost_boottime = clock_boottime(clock_system());
        try(l);
        return 0;
}

/* How long a start waits for the scope: an old one has its time to stop, an error some to pass. */
static usec_t patience(const PoolScope *p)
{
        return p->error.code == REEVE_ERROR_NONE ? STOP_PATIENCE_USEC : TRY_PATIENCE_USEC;
}

int pool_scope_open(Launcher *l, ReeveError *reterr)
{
        char slice[UNIT_NAME_SIZE], path[sizeof(l->pool_scope.path)];
        PoolScope *p = &l->pool_scope;

        assert(l);
        assert(l->systemd);

        snprintf(slice, sizeof(slice), "%s.slice", l->instance.prefix);
        int r = unit_slice_path(slice, path, sizeof(path));
        int n = snprintf(p->path, sizeof(p->path), "%s%s%s/%s-pool.scope", l->systemd_root,
                         l->systemd_root[0] ? "/" : "", path, l->instance.prefix);
        if (r >= 0 && (n < 0 || (size_t)n >= sizeof(p->path)))
                r = -ENAMETOOLONG;
        if (r >= 0)
                r = cgroup_open_mount(&l->pool.mount_fd, &l->pool.mount);
        if (r >= 0)
                r = sd_event_add_time(l->event, &p->timer, CLOCK_MONOTONIC, UINT64_MAX, 0, on_timer, l);
        if (r < 0)
                return reeve_error_errno(reterr, r, NULL, "no scope for the pool");

        try(l);
        usec_t began = clock_boottime(clock_system());
        while (!p->holder && clock_boottime(clock_system()) - began < patience(p)) {
                r = sd_event_run(l->event, LOOK_AGAIN_USEC);
                if (r < 0)
                        return reeve_error_errno(reterr, r, NULL, "event loop");
        }
        if (p->holder)
                return 0;
        if (p->error.code == REEVE_ERROR_NONE)
                return reeve_error_set(reterr, REEVE_ERROR_UNAVAILABLE, NULL, "%s does not end", p->path);
        if (reterr)
                *reterr = p->error;
        return -EAGAIN;
}

void pool_scope_close(Launcher *l)
{
        assert(l);

        l->pool_scope.holder = sd_event_source_disable_unref(l->pool_scope.holder);
        l->pool_scope.timer = sd_event_source_disable_unref(l->pool_scope.timer);
        l->pool_scope.path[0] = '\0';
}

int pool_scope_check(const Launcher *l, ReeveError *reterr)
{
        assert(l);

        if (!l->pool_scope.path[0] || l->pool_scope.holder)
                return 0;
        return reeve_error_set(reterr, REEVE_ERROR_UNAVAILABLE, NULL, "the pool is being made again%s%s",
                               l->pool_scope.error.text[0] ? ": " : "", l->pool_scope.error.text);
}

void pool_scope_doubt(Launcher *l)
{
        assert(l);

        if (!l->pool_scope.path[0] || !l->pool_scope.holder)
                return;
        log_notice("%s has lost a part", l->pool_scope.path);
        (void)proc_signal(sd_event_source_get_io_fd(l->pool_scope.holder), SIGKILL);
}
