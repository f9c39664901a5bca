/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* What a record says when nobody holds its lock:
 *
 *     new, claimed   it provably never ran: everything about it is taken back
 *     started        its keeper was killed: a new one adopts the task, alive or not
 *     ended          complete; only its leaf may be left, or a scope that systemd forgot
 *
 * Records of another boot that had started are reeved's business alone: their processes are gone, and so is their
 * cgroup. One that was only claimed is taken back as any other, so that the task can be started now. A record
 * that is not sound is left for people to look at. A held lock means that a keeper lives, started by an earlier
 * launcher: it is watched, so that its death is noticed. */

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>

#include "basic/crash.h"
#include "basic/dir.h"
#include "basic/fd.h"
#include "basic/log.h"
#include "common/clock.h"
#include "common/cgroup/cgroup.h"
#include "common/proc/proc.h"
#include "launcher/account.h"
#include "launcher/backend-scope.h"
#include "launcher/keeper.h"
#include "launcher/launcher.h"
#include "launcher/scope-place.h"
#include "launcher/spent.h"

#define ADOPTIONS_AT_ONCE    5
#define ADOPTIONS_PAUSE_USEC USEC_PER_SEC
#define SWEEP_USEC           USEC_PER_SEC

void recover_undo(Launcher *l, const Record *r, const char *name)
{
        assert(l);
        assert(r);
        assert(name);

        /* A check or a hook spends nothing: its serial is all zeros, which no ticket has. */
        if (record_phase(r) >= RECORD_CLAIMED)
                (void)spent_remove(l->spent_fd, r->serial, r->attempt);
        (void)pool_remove_leaf(l->pool.mount_fd, r->cgroup);
        if (r->backend == RECORD_BACKEND_SCOPE)
                scope_discard(l, r);
        unlinkat(l->output_fd, name, 0);
        unlinkat(l->records_fd, name, 0);
}

/* ---- what is left of an attempt ---- */

/* Two things that systemd does make it better to come a while later, for all that may have ended at its command:
 *
 * It walks the tree that it stops, and when a directory goes on the way it kills everything in it at once.
 *
 * It removes a scope when it is empty, but tries that once. A keeper that is cloned into it at that moment, for a task that
 * was killed with its keeper, makes it fail, and systemd forgets the scope. Should it know it yet, it will not notice that
 * it was removed here, and is asked to stop it. */
typedef struct Sweep {
        Launcher *l;
        Record of; /* a copy */
} Sweep;

static int on_sweep(sd_event_source *s, uint64_t now, void *userdata)
{
        const Sweep *w = ASSERT_PTR(userdata);
        char scope[sizeof(w->of.cgroup)];

        if (w->of.backend == RECORD_BACKEND_SCOPE) {
                scope_discard(w->l, &w->of);
                scope_path(&w->of, "", scope);
                (void)pool_remove_leaf(w->l->pool.mount_fd, scope);
        } else if (pool_scope_check(w->l, NULL) >= 0) /* else it goes with the pool */
                (void)pool_remove_leaf(w->l->pool.mount_fd, w->of.cgroup);
        return 0;
}

static void sweep_later(Launcher *l, const Record *r)
{
        _cleanup_(sd_event_source_unrefp) sd_event_source *s = NULL;

        _cleanup_free_ Sweep *w = malloc(sizeof(*w));
        if (!w || sd_event_add_time_relative(l->event, &s, CLOCK_MONOTONIC, SWEEP_USEC, 0, on_sweep, w) < 0)
                return;
        w->l = l;
        memcpy(&w->of, r, sizeof(w->of));
        if (sd_event_source_set_destroy_callback(s, free) < 0)
                return;
        TAKE_PTR(w);
        (void)sd_event_source_set_floating(s, true);
}

void recover_remove_leaf(Launcher *l, const Record *r)
{
        bool terminated = r->exit_kind == RECORD_EXIT_KILLED && r->exit_value == SIGTERM;

        assert(l);
        assert(r);

        if (r->backend == RECORD_BACKEND_SCOPE) {
                if (r->flags & RECORD_FLAG_ADOPTED)
                        sweep_later(l, r);
        } else if (terminated && l->pool_scope.path[0])
                sweep_later(l, r);
        else
                (void)pool_remove_leaf(l->pool.mount_fd, r->cgroup);
}

/* ---- a new keeper ---- */

/* Whatever kills the keepers of a task one after the other must not keep the launcher from everything else. */
static bool is_too_soon(const Record *r)
{
        return r->adoptions >= ADOPTIONS_AT_ONCE &&
               usec_sub(clock_boottime(clock_system()), r->adopted_boottime_usec) < ADOPTIONS_PAUSE_USEC;
}

/* A scope with processes gets its new keeper, which belongs into the cgroup that is returned. One without is being removed
 * by systemd at this moment: what can be known of it is read here and now. */
static int enter_scope(const Launcher *l, Keeper *k)
{
        bool populated = false;

        if (k->leaf_fd < 0)
                return -ENOENT;
        (void)cgroup_controllers(k->leaf_fd, &k->controllers);
        if (cgroup_events(k->leaf_fd, &populated, NULL) >= 0 && populated)
                return scope_open_keepers(l->pool.mount_fd, k->record);
        account_read_files(k->record, k->leaf_fd, k->controllers, 0);
        k->leaf_fd = -EBADF;
        return -ENOENT;
}

static int adopt(Launcher *l, Record *r, int record_fd, const char *name, int kept_fd)
{
        _cleanup_fd_ int task_fd =
                        kept_fd >= 0 ? kept_fd : proc_open(l->proc_fd, r->task_pid, r->task_start);
        _cleanup_fd_ int leaf_fd = pool_open_leaf(l->pool.mount_fd, r->cgroup);
        ProcStat st;

        _cleanup_fd_ int output_fd = openat(l->output_fd, name, O_WRONLY | O_NOFOLLOW | O_CLOEXEC);
        Keeper k = {
                .record = r,
                .record_fd = record_fd,
                .mount_fd = l->pool.mount_fd,
                .leaf_fd = leaf_fd,
                .output_fd = output_fd,
                .proc_fd = l->proc_fd,
                .net_fd = net_counters_map(&l->net, r),
                .controllers = l->pool.controllers,
                .is_in_unit = l->pool_scope.path[0],
                .settle_usec = l->settle_usec,
                .heap = l->heap,
                .report_fd = -EBADF,
                .task_fd = task_fd,
                .go_fd = -EBADF,
                .desk_fd = -EBADF,
        };
        if (proc_stat(l->proc_fd, r->task_pid, &st) >= 0 && st.start == r->task_start && st.ppid == getpid())
                k.task_parent = getpid();

        _cleanup_fd_ int keepers_fd = r->backend == RECORD_BACKEND_SCOPE ? enter_scope(l, &k) : -EBADF;

        record_set_flag(r, RECORD_FLAG_ADOPTED);
        r->adoptions++;
        r->adopted_boottime_usec = clock_boottime(clock_system());
        pid_t pid = keeper_clone(keepers_fd >= 0 ? keepers_fd : l->pool.keepers_fd);
        if (pid == -ENODEV ||
            pid == -ENOENT) /* it has been removed under us: the keeper needs another place */
                pid = keeper_clone(-EBADF);
        if (pid == 0)
                keeper_run(&k);
        if (pid < 0) {
                log_error_errno(pid, "cannot adopt %s", name);
                watch_again(l, name, ADOPTIONS_PAUSE_USEC, TAKE_FD(task_fd));
                return pid;
        }
        CRASH_POINT("launcher", "adopt");
        return watch_adopting(l, pid, name, TAKE_FD(task_fd));
}

/* Somebody holds the lock: the keeper, or its child that has not executed yet. */
static void watch_holder(Launcher *l, const char *name)
{
        const Record *r = NULL;
        int task_fd = -EBADF;
        pid_t pid = 0;
        uint64_t start = 0;

        if (record_map(l->records_fd, name, &r) >= 0) {
                pid = r->keeper_pid;
                start = r->keeper_start;
                if (record_phase(r) == RECORD_STARTED)
                        task_fd = proc_open(l->proc_fd, r->task_pid, r->task_start);
                record_unmap(r);
        }
        if (watch_stranger(l, name, pid, start, task_fd) < 0)
                log_error("cannot watch the keeper of %s", name);
}

static int recover_locked(Launcher *l, Record *r, int fd, const char *name, int *task_fd)
{
        bool this_boot = memcmp(r->boot_id, l->boot_id, sizeof(r->boot_id)) == 0;

        switch (record_phase(r)) {
        case RECORD_STARTED:
                if (this_boot && is_too_soon(r))
                        watch_again(l, name, ADOPTIONS_PAUSE_USEC, TAKE_FD(*task_fd));
                else if (this_boot)
                        adopt(l, r, fd, name, TAKE_FD(*task_fd));
                return 0;
        case RECORD_ENDED:
                recover_remove_leaf(l, r);
                return 0;
        case RECORD_NEW:
        case RECORD_CLAIMED:
        case _RECORD_PHASE_MAX:
        default:
                log_notice("%s never ran: taken back", name);
                recover_undo(l, r, name);
                return 1;
        }
}

int recover_record(Launcher *l, const char *name, int task_fd)
{
        _cleanup_fd_ int fd = -EBADF, kept_fd = task_fd;
        Record *r = NULL;

        assert(l);
        assert(name);

        int k = record_adopt(l->records_fd, name, &r, &fd);
        if (k == -EAGAIN) { /* the launcher died while it created it, and with it the lock */
                unlinkat(l->records_fd, name, 0);
                return 1;
        }
        if (k == 0)
                watch_holder(l, name);
        else if (k < 0 && k != -ENOENT)
                log_warning_errno(k, "record %s", name);
        if (k <= 0)
                return 0;
        k = recover_locked(l, r, fd, name, &kept_fd);
        record_unmap(r);
        return k;
}

static void on_leaf(const char *path, const char *name, void *userdata)
{
        Launcher *l = ASSERT_PTR(userdata);

        if (faccessat(l->records_fd, name, F_OK, 0) == 0)
                return;
        log_notice("cgroup %s has no record: removed", path);
        _cleanup_fd_ int fd = pool_open_leaf(l->pool.mount_fd, path);
        if (fd >= 0)
                members_kill(&(Members){ .proc_fd = l->proc_fd, .leaf_fd = fd });
        (void)pool_remove_leaf(l->pool.mount_fd, path);
}

void recover_all(Launcher *l)
{
        const struct dirent *d;

        assert(l);

        _cleanup_closedir_ DIR *dir = dir_open_at(l->records_fd, ".");
        if (!dir) {
                log_error_errno(errno, "cannot read the records");
                return;
        }
        while ((d = readdir(dir))) {
                char id[TASK_ID_MAX + 1];
                unsigned attempt;

                if (task_attempt_name_parse(d->d_name, id, &attempt) >= 0)
                        recover_record(l, d->d_name, -EBADF);
        }
        if (l->backend == RECORD_BACKEND_CGROUP)
                pool_each_leaf(&l->pool, on_leaf, l);
}
