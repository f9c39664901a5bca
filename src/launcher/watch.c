/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* A keeper is watched from its fork until it has ended *and* its exec pipe is closed. Only both together say what
 * there is to do: a keeper may be killed while its child, which holds pipe and lock, is still on the way to exec.
 *
 *     pipe: started, end of file        -> exec succeeded: Launch is answered
 *     pipe: started, errno, end of file -> exec failed: Launch is answered with it
 *     keeper ended with 0               -> the account is in the record; nothing to do
 *     keeper ended in any other way     -> recover_record() decides: it never ran, or it is adopted
 *
 * A task whose parent is init, because a launcher died before, is watched with a pidfd of its main process: from Linux
 * 6.15 on the kernel tells its status to who has one from before it was reaped.
 *
 * As the subreaper the launcher becomes the parent of what killed keepers leave. What ends then is entered in its
 * record, if it is a main process, before it is reaped; other orphans are reaped and no more.
 *
 * Nothing here is needed for an account: a launcher that dies loses this table and nothing else. */

#include <errno.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include "basic/crash.h"
#include "basic/fd.h"
#include "basic/log.h"
#include "common/proc/proc.h"
#include "launcher/account.h"
#include "launcher/keeper.h"
#include "launcher/launcher.h"

#define RETRY_USEC (20 * USEC_PER_MSEC)

typedef struct Watched {
        ListLink link;
        Launcher *l;
        pid_t keeper;
        char name[TASK_ATTEMPT_NAME_SIZE];
        sd_bus_message *call; /* open Launch, or NULL */
        char *cgroup;         /* for its answer, and so is net */
        NetRef net;
        sd_event_source *report; /* exec pipe, while it is open */
        sd_event_source *event;  /* pidfd or timer of a keeper that is no child of ours */
        ChildReport started;     /* pid 0: not yet */
        ChildReport failed;      /* error 0: not */
        ReeveError *refusal;     /* why it may not start its task, or NULL */
        int task_fd;             /* pidfd of a main process that may not become a child of ours, or -EBADF */
        bool keeper_gone, keeper_did_it;
} Watched;

static Watched *watched_free(Watched *w)
{
        if (!w)
                return NULL;
        list_remove(&w->link);
        sd_bus_message_unref(w->call);
        free(w->cgroup);
        free(w->refusal);
        sd_event_source_disable_unref(w->report);
        sd_event_source_disable_unref(w->event);
        fd_close(w->task_fd);
        free(w);
        return NULL;
}
DEFINE_CLEANUP_FUNC(Watched *, watched_free)

/* Takes `task_fd` in any case. */
static Watched *watched_new(Launcher *l, pid_t keeper, const char *name, int task_fd)
{
        Watched *w = NEW0(Watched, 1);

        if (!w) {
                fd_close(task_fd);
                return NULL;
        }
        w->l = l;
        w->keeper = keeper;
        w->task_fd = task_fd;
        strcpy(w->name, name);
        list_append(l->watched + (unsigned)keeper % LAUNCHER_BUCKETS, &w->link);
        return w;
}

static void answer(Watched *w, const ReeveError *e)
{
        _cleanup_(sd_bus_message_unrefp) sd_bus_message *call = TAKE_PTR(w->call);

        if (!call)
                return;
        CRASH_POINT("launcher", "exec");
        if (e) {
                server_reply_error(call, e);
                return;
        }
        int k = sd_bus_reply_method_return(call, "itttsutt", w->started.pid, w->started.start,
                                           w->started.realtime_usec, w->started.boottime_usec, w->cgroup,
                                           w->net.map_id, w->started.cgroup_id, w->net.missed);
        if (k < 0 && k != -ENOTCONN && k != -ECONNRESET)
                log_debug_errno(k, "cannot answer Launch of %s", w->name);
}

static void settle(Watched *w)
{
        ReeveError e = REEVE_ERROR_NULL;

        if (!w->keeper_gone || w->report)
                return;
        if (!w->keeper_did_it) {
                log_notice("keeper of %s ended before its task", w->name);
                recover_record(w->l, w->name, TAKE_FD(w->task_fd));
        }
        if (w->call && w->refusal)
                answer(w, w->refusal);
        else if (w->call) {
                reeve_error_set(&e, REEVE_ERROR_UNAVAILABLE, NULL,
                                "the keeper of the task could not start it");
                if (w->failed.error)
                        reeve_error_errno(&e, w->failed.error, NULL, "the keeper could not start the task");
                e.code = REEVE_ERROR_UNAVAILABLE;
                answer(w, &e);
        }
        watched_free(w);
}

/* Reads what is in the pipe; true at its end. */
static bool read_reports(Watched *w)
{
        int fd = sd_event_source_get_io_fd(w->report);
        ChildReport report;
        ssize_t n;

        while ((n = read(fd, &report, sizeof(report))) == (ssize_t)sizeof(report)) {
                if (report.error == 0)
                        w->started = report;
                else
                        w->failed = report;
        }
        return n >= 0 || (errno != EAGAIN && errno != EINTR);
}

static int on_report(sd_event_source *s, int fd, uint32_t revents, void *userdata)
{
        Watched *w = ASSERT_PTR(userdata);
        ReeveError e = REEVE_ERROR_NULL;

        if (!read_reports(w))
                return 0;
        w->report = sd_event_source_disable_unref(w->report);
        if (w->started.pid && w->failed.error) {
                w->failed.path[sizeof(w->failed.path) - 1] = '\0';
                reeve_error_set(&e, REEVE_ERROR_EXEC_FAILED, NULL, "%d %s", w->failed.error, w->failed.path);
                answer(w, &e);
        } else if (w->started.pid)
                answer(w, NULL);
        settle(w);
        return 0;
}

int watch_launch(Launcher *l, pid_t pid, const char *name, const Record *record, sd_bus_message *call,
                 int report_fd)
{
        _cleanup_fd_ int fd = report_fd;
        _cleanup_(watched_freep) Watched *w = watched_new(l, pid, name, -EBADF);

        if (!w)
                return -ENOMEM;
        if (fd >= 0) {
                int r = sd_event_add_io(l->event, &w->report, fd, EPOLLIN, on_report, w);
                if (r < 0)
                        return r;
                sd_event_source_set_io_fd_own(w->report, true);
                TAKE_FD(fd);
        }
        w->net = net_ref_of_record(record);
        w->cgroup = strdup(record->cgroup);
        if (!w->cgroup)
                return -ENOMEM;
        w->call = sd_bus_message_ref(call);
        TAKE_PTR(w);
        return 0;
}

int watch_adopting(Launcher *l, pid_t pid, const char *name, int task_fd)
{
        return watched_new(l, pid, name, task_fd) ? 0 : -ENOMEM;
}

static int on_stranger(sd_event_source *s, int fd, uint32_t revents, void *userdata)
{
        Watched *w = ASSERT_PTR(userdata);

        recover_record(w->l, w->name, TAKE_FD(w->task_fd));
        watched_free(w);
        return 0;
}

static int on_retry(sd_event_source *s, uint64_t now, void *userdata)
{
        return on_stranger(s, -1, 0, userdata);
}

int watch_again(Launcher *l, const char *name, usec_t after_usec, int task_fd)
{
        _cleanup_(watched_freep) Watched *w = watched_new(l, 0, name, task_fd);

        if (!w)
                return -ENOMEM;
        int r = sd_event_add_time_relative(l->event, &w->event, CLOCK_MONOTONIC, after_usec, 0, on_retry, w);
        if (r >= 0)
                TAKE_PTR(w);
        return r;
}

int watch_stranger(Launcher *l, const char *name, pid_t pid, uint64_t start, int task_fd)
{
        _cleanup_fd_ int fd = proc_open(l->proc_fd, pid, start);
        if (fd < 0) /* the lock is held by a child on its way to exec */
                return watch_again(l, name, RETRY_USEC, task_fd);
        _cleanup_(watched_freep) Watched *w = watched_new(l, 0, name, task_fd);
        if (!w)
                return -ENOMEM;
        int r = sd_event_add_io(l->event, &w->event, fd, EPOLLIN, on_stranger, w);
        if (r < 0)
                return r;
        sd_event_source_set_io_fd_own(w->event, true);
        TAKE_FD(fd);
        TAKE_PTR(w);
        return 0;
}

static Watched *find_keeper(Launcher *l, pid_t pid)
{
        LIST_FOREACH(l->watched + (unsigned)pid % LAUNCHER_BUCKETS, link) {
                Watched *w = container_of(link, Watched, link);
                if (w->keeper == pid)
                        return w;
        }
        return NULL;
}

void watch_refuse(Launcher *l, pid_t pid, const ReeveError *error)
{
        Watched *w = find_keeper(l, pid);

        if (!w || !(w->refusal = NEW(ReeveError, 1))) /* then the answer is a general one */
                return;
        *w->refusal = *error;
}

void watch_keep_task(Launcher *l, pid_t pid, int task_fd)
{
        Watched *w = find_keeper(l, pid);

        if (w)
                w->task_fd = task_fd;
        else
                fd_close(task_fd);
}

/* The record whose main process this is; it may have started a moment ago. */
static Record *find_task(Launcher *l, pid_t pid, bool adopted_too)
{
        for (size_t i = 0; i < LAUNCHER_BUCKETS; i++)
                LIST_FOREACH(l->watched + i, link) {
                        Watched *w = container_of(link, Watched, link);

                        if (w->report)
                                read_reports(w); /* the end of file is seen again by on_report() */
                        if (w->started.pid != 0 && w->started.pid != pid)
                                continue;
                        if (w->started.pid == 0 && !adopted_too)
                                continue;
                        Record *r;
                        if (record_map_writable(l->records_fd, w->name, &r) < 0)
                                continue;
                        if (r->task_pid == pid)
                                return r;
                        record_unmap(r);
                }
        return NULL;
}

static void bury_orphan(Launcher *l, const Corpse *c)
{
        Record *r = find_task(l, c->info.si_pid, false) ?: find_task(l, c->info.si_pid, true);

        if (!r)
                return;
        CRASH_POINT("launcher", "bury");
        account_add(r, l->proc_fd, c, true);
        record_wake(r);
        record_unmap(r);
}

void watch_done(Launcher *l, pid_t pid)
{
        Watched *w = find_keeper(l, pid);

        if (!w)
                return;
        w->keeper = 0; /* what it does from now on is no business of this task's */
        w->keeper_gone = w->keeper_did_it = true;
        settle(w);
}

int watch_on_sigchld(sd_event_source *s, const struct signalfd_siginfo *si, void *userdata)
{
        Launcher *l = ASSERT_PTR(userdata);
        Corpse c;

        while (account_next(&c) > 0) {
                Watched *w = find_keeper(l, c.info.si_pid);

                if (!desk_gone(l, c.info.si_pid) && !w)
                        bury_orphan(l, &c);
                account_reap(&c);
                if (!w)
                        continue;
                w->keeper_gone = true;
                w->keeper_did_it = c.info.si_code == CLD_EXITED && c.info.si_status == EXIT_SUCCESS;
                settle(w);
        }
        return 0;
}
