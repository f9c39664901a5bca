/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* As with a command, `started` is in the record before anything happens, and for the same reason: a record that is still
 * `claimed` proves that no process was touched, so that it may be undone, its leaf removed and the request made again. A
 * keeper that was killed in between is followed by one that finds `started` without RECORD_FLAG_MOVED and moves what
 * is not moved yet.
 *
 * The kernel moves by pid. That it still means our process is certain if our process has not been reaped afterwards, which its
 * pidfd tells. If it has, and a stranger got its pid and was moved, he is put back to where his parent is.
 *
 * Those below it are moved first, over and over until a pass finds no new one, and once more after it: what it forks then
 * is born in the leaf. Only processes of the same user in the same cgroup as the first are taken, for which the same
 * rules would give the same answer. What each had used before is added up, for figures that do not come from the leaf.
 *
 * Not done here: whether the process may be attached (attach-rules.c); how its end is seen (adopt.c). */

#include "launcher/attach.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/syscall.h>

#include "basic/crash.h"
#include "basic/fd.h"
#include "basic/strings.h"
#include "common/clock.h"
#include "common/proc/proc.h"
#include "launcher/account.h"
#include "launcher/attach-rules.h"

#define PASSES_MAX 64

static const char moving[] = "cgroup.procs";

static void report(const Keeper *k, const ChildReport *what)
{
        if (k->report_fd >= 0)
                (void)fd_write_full(k->report_fd, what, sizeof(*what)); /* the record has it, too */
}

static void announce(const Keeper *k)
{
        Record *r = k->record;

        r->started_realtime_usec = clock_realtime(clock_system());
        r->started_boottime_usec = clock_boottime(clock_system());
        record_set_phase(r, RECORD_STARTED);
        report(k, &(ChildReport){ .pid = r->task_pid,
                                  .start = r->task_start,
                                  .realtime_usec = r->started_realtime_usec,
                                  .boottime_usec = r->started_boottime_usec,
                                  .cgroup_id = r->cgroup_id });
        CRASH_POINT("keeper", "attach-started");
}

static void give_up(const Keeper *k, int error)
{
        Record *r = k->record;
        ChildReport what = { .error = error };

        memcpy(what.path, moving, sizeof(moving));
        memcpy(r->exec_path, moving, sizeof(moving));
        r->exit_value = error;
        r->exit_kind = RECORD_EXIT_EXEC_FAILED;
        account_end(r, RECORD_EXIT_EXEC_FAILED, error);
        report(k, &what);
}

static void note_before(const Keeper *k, pid_t pid)
{
        uint64_t tick = USEC_PER_SEC / (uint64_t)sysconf(_SC_CLK_TCK);
        Record *r = k->record;
        RecordProcIo io;
        ProcStat st;

        if (proc_stat(k->proc_fd, pid, &st) < 0 || proc_io(k->proc_fd, pid, &io) < 0)
                return;
        r->before_user_usec += st.user_ticks * tick;
        r->before_system_usec += st.system_ticks * tick;
        record_sum_io(&r->before_io, &io);
}

static int write_pid(int dir_fd, const char *file, pid_t pid)
{
        char text[24];

        proc_put_u64(text, (uint64_t)pid);
        return fd_write_file_at(dir_fd, file, text);
}

/* Into the cgroup "/" or "/a/b". */
static void send_to(const Keeper *k, const char *cgroup, pid_t pid)
{
        char path[PATH_MAX + sizeof(moving) + 1];

        char *end = stpcpy(path, cgroup + 1);
        if (end > path)
                *end++ = '/';
        strcpy(end, moving);
        (void)write_pid(k->mount_fd, path, pid); /* it has ended, or stays where it is */
}

/* Is it in the leaf of this task? */
static bool is_inside(const Keeper *k, pid_t pid)
{
        char path[PATH_MAX];

        return proc_cgroup(k->proc_fd, pid, path, sizeof(path)) >= 0 && streq(path + 1, k->record->cgroup);
}

/* Who has the pid now came into the leaf by our mistake. */
static void put_back(const Keeper *k, pid_t pid)
{
        char path[PATH_MAX];
        ProcStat st;

        if (is_inside(k, pid) && proc_stat(k->proc_fd, pid, &st) >= 0 && st.ppid > 0 &&
            proc_cgroup(k->proc_fd, st.ppid, path, sizeof(path)) >= 0)
                send_to(k, path, pid);
}

static int move(const Keeper *k, pid_t pid, int pidfd)
{
        note_before(k, pid);
        int r = write_pid(k->leaf_fd, moving, pid);
        if (r < 0)
                return r;
        if (proc_signal(pidfd, 0) != -ESRCH)
                return 0;
        put_back(k, pid);
        return -ESRCH;
}

static bool move_one_below(const Keeper *k, pid_t pid, const char *from)
{
        char path[PATH_MAX];

        _cleanup_fd_ int fd = (int)syscall(SYS_pidfd_open, pid, 0);
        return fd >= 0 && proc_cgroup(k->proc_fd, pid, path, sizeof(path)) >= 0 && streq(path, from) &&
               attach_is_of(k->proc_fd, pid, k->record->run_uid) && proc_signal(fd, 0) >= 0 &&
               move(k, pid, fd) >= 0;
}

static pid_t pids[MEMBERS_MAX];

static void move_those_below(const Keeper *k, const char *from)
{
        bool again = true;

        for (unsigned pass = 0; again && pass < PASSES_MAX; pass++) {
                size_t n = proc_family(k->proc_fd, k->record->task_pid, 0, pids, MEMBERS_MAX);

                again = false;
                for (size_t i = 0; i < n; i++)
                        again |= move_one_below(k, pids[i], from);
        }
}

/* The first could not be moved: those below it are no task without it. */
static void return_those_below(const Keeper *k, const char *from)
{
        size_t n = members_list(&(Members){ k->proc_fd, k->leaf_fd, k->record }, pids, MEMBERS_MAX);

        for (size_t i = 0; i < n; i++)
                send_to(k, from, pids[i]);
}

static int move_all(const Keeper *k)
{
        bool children = atomic_load(&k->record->flags) & RECORD_FLAG_CHILDREN;
        pid_t pid = k->record->task_pid;
        char from[PATH_MAX];

        if (is_inside(k, pid))
                return 0; /* by a keeper that was killed before it could say so */
        int r = proc_cgroup(k->proc_fd, pid, from, sizeof(from));
        if (r < 0)
                return r;
        k->record->before_user_usec = k->record->before_system_usec = 0; /* of a keeper that was killed */
        k->record->before_io = (RecordProcIo){ 0 };
        if (children)
                move_those_below(k, from);
        CRASH_POINT("keeper", "attach-move");
        r = move(k, pid, k->task_fd);
        if (r >= 0 && children)
                move_those_below(k, from);
        else if (r < 0 && children)
                return_those_below(k, from);
        return r;
}

bool attach_take(const Keeper *k)
{
        assert(k);

        bool first = record_phase(k->record) == RECORD_CLAIMED;
        if (first)
                announce(k);
        if (atomic_load(&k->record->flags) & RECORD_FLAG_MOVED)
                return true;
        int r = k->task_fd < 0 ? -ESRCH : move_all(k);
        if (r == -ESRCH && !first)
                return true; /* whether it ended inside or outside of the leaf, nobody saw */
        if (r < 0) {
                give_up(k, -r);
                return false;
        }
        CRASH_POINT("keeper", "attach-moved");
        record_set_flag(k->record, RECORD_FLAG_MOVED);
        return true;
}
