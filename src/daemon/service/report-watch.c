/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* When a reporter says nothing more.
 *
 * A task whose reporter is watched is lost when that process ends: at once, by its pidfd, one for each process however many
 * tasks it reports. A task with a heartbeat is lost when nothing was heard of it for so long; one timer, set to the first.
 *
 * What a reporter said before it ended counts, though we may read it after: its end is looked at last among what is ready
 * (the priority of its source), and what had to wait for the insertion of the row is taken up first. Of more calls than a
 * connection may have open (VARLINK_PIPELINE_MAX) the rest has not been said. A reporter may even have ended before its Start is read.
 *
 * A pidfd does not survive us. After a restart the process is found again by its pid and what tells it from a later one with
 * that pid: the inode of its pidfd, where the kernel has pidfs (6.9), else its start time. Where neither can be seen (another
 * user's /proc is hidden from us in our unit) the pid alone must do. Silence is counted anew then: while we were away nobody could speak.
 *
 * Whose process it is is looked at so that nobody watches another's by mistake; it gives no right, for anybody may open and poll
 * a pidfd of any process. Where it cannot be seen (before 6.13, with /proc hidden) it is not asked for. */

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "basic/fd.h"
#include "basic/log.h"
#include "common/proc/proc.h"
#include "daemon/service/report-internal.h"

#define WATCH_PRIORITY    (SD_EVENT_PRIORITY_NORMAL + 10)
#define PIDFS_MAGIC       0x50494446
#define REPORTER_KEY_SIZE 40

/* linux/pidfd.h of 6.13, the first version of the struct. */
typedef struct PidfdInfo {
        uint64_t mask, cgroupid;
        uint32_t pid, tgid, ppid, ruid, rgid, euid, egid, suid, sgid, fsuid, fsgid, spare;
} PidfdInfo;
#define PIDFD_INFO_CREDS_BIT UINT64_C(2)
#define PIDFD_GET_INFO_V0    _IOWR(0xFF, 11, PidfdInfo)

/* A process that reports. */
typedef struct Reporter {
        Service *service;
        char key[REPORTER_KEY_SIZE];
        int pidfd;
        bool ended;
        sd_event_source *source;
        ListLink tasks; /* TaskReport.of_reporter */
} Reporter;

/* ---- who it is ---- */

/* *ret is -1 if it has ended and was reaped. -EBADF: no pidfd; -ESRCH: of another pid namespace. */
static int pid_of(int pidfd, pid_t *ret)
{
        char path[64], line[128];
        int r = -EBADF;

        snprintf(path, sizeof(path), "/proc/self/fdinfo/%d", pidfd);
        FILE *f = fopen(path, "re");
        if (!f)
                return -errno;
        while (r == -EBADF && fgets(line, sizeof(line), f)) {
                int pid;
                if (sscanf(line, "Pid: %d", &pid) == 1) {
                        *ret = pid;
                        r = pid != 0 ? 0 : -ESRCH;
                }
        }
        fclose(f);
        return r;
}

static bool has_ended(int pidfd)
{
        struct pollfd p = { .fd = pidfd, .events = POLLIN };

        return poll(&p, 1, 0) != 0;
}

/* False if nobody tells us. */
static bool uid_of(int pidfd, pid_t pid, uid_t *ret)
{
        PidfdInfo info = { .mask = PIDFD_INFO_CREDS_BIT };
        ProcIds ids;

        if (ioctl(pidfd, PIDFD_GET_INFO_V0, &info) >= 0 && (info.mask & PIDFD_INFO_CREDS_BIT)) {
                *ret = info.ruid;
                return true;
        }
        _cleanup_fd_ int proc = open("/proc", O_PATH | O_DIRECTORY | O_CLOEXEC);
        if (proc < 0 || proc_ids(proc, pid, &ids) < 0)
                return false;
        *ret = ids.uid[0];
        return true;
}

static uint64_t identity_of(int pidfd, pid_t pid)
{
        struct statfs fs;
        struct stat st;
        ProcStat stat;

        if (fstatfs(pidfd, &fs) >= 0 && fs.f_type == PIDFS_MAGIC && fstat(pidfd, &st) >= 0)
                return st.st_ino;
        _cleanup_fd_ int proc = open("/proc", O_PATH | O_DIRECTORY | O_CLOEXEC);
        return proc >= 0 && proc_stat(proc, pid, &stat) >= 0 ? stat.start : 0;
}

int reporter_identify(int pidfd, const Caller *caller, pid_t *ret_pid, uint64_t *ret_identity,
                      ReeveError *reterr)
{
        uid_t uid;

        assert(pidfd >= 0);
        assert(caller);
        assert(ret_pid);
        assert(ret_identity);

        int r = pid_of(pidfd, ret_pid);
        if (r == -EBADF)
                return reeve_error_set(reterr, REEVE_ERROR_INVALID_ARGUMENT, "watch",
                                       "the descriptor is no pidfd");
        if (r < 0 && r != -ESRCH)
                return reeve_error_errno(reterr, r, "watch", "cannot look at the descriptor");
        if (r == -ESRCH)
                return reeve_error_set(reterr, REEVE_ERROR_INVALID_ARGUMENT, "watch",
                                       "the process is of another pid namespace");
        if (*ret_pid < 0) { /* so quickly: what it said before that counts nevertheless */
                *ret_pid = 0;
                *ret_identity = 0;
                return 0;
        }
        if (caller->uid != 0 && uid_of(pidfd, *ret_pid, &uid) && uid != caller->uid)
                return reeve_error_set(reterr, REEVE_ERROR_PERMISSION_DENIED, "watch",
                                       "process %d is somebody else's", (int)*ret_pid);
        *ret_identity = identity_of(pidfd, *ret_pid);
        return 0;
}

/* ---- lost ---- */

static bool may_be_lost(const Task *t)
{
        return !(t->doing & TASK_DOING_FINISH) &&
               (t->row.status == TASK_ACTIVE || t->row.status == TASK_PENDING);
}

static void lose(Service *s, Task *t, const char *message)
{
        if (may_be_lost(t))
                service_end_otherwise(s, t, TASK_LOST, TASK_OUTCOME_REPORTER_DIED, message);
        else
                service_report_over(t);
}

static void stop_watching(TaskReport *r)
{
        Reporter *p = r->reporter;

        if (!p)
                return;
        r->reporter = NULL;
        list_remove(&r->of_reporter);
        if (!list_is_empty(&p->tasks))
                return;
        hash_remove(p->service->reporters, p->key);
        sd_event_source_disable_unref(p->source);
        fd_close(p->pidfd);
        free(p);
}

/* Whoever reports by a process that is attached ends with it, and how that ended says more (attachment.c). */
static bool ends_with_process(const Task *t)
{
        return service_has_processes(t) &&
               (t->row.cancel_requested || t->report->attached_pid == t->row.pid);
}

/* One whose row is being inserted comes back to it. */
bool service_report_lose(Service *s, Task *t)
{
        char message[64];

        assert(s);
        assert(t && t->report);

        if ((t->doing & TASK_DOING_INSERT) || ends_with_process(t))
                return false;
        if (t->row.pid > 0)
                snprintf(message, sizeof(message), "its reporter (pid %d) ended before it", (int)t->row.pid);
        else
                snprintf(message, sizeof(message), "its reporter ended before it");
        lose(s, t, message);
        return true;
}

bool service_report_is_left(const Task *t)
{
        assert(t && t->report);

        return t->report->reporter && t->report->reporter->ended;
}

/* Whoever is lost leaves the reporter, and the last one frees it; who stays goes to the end of the list. */
static int on_reporter_ended(sd_event_source *source, int fd, uint32_t events, void *userdata)
{
        Reporter *p = ASSERT_PTR(userdata);
        Service *s = p->service;
        size_t n = 0;

        p->ended = true;
        p->source = sd_event_source_disable_unref(p->source);
        LIST_FOREACH(&p->tasks, link)
                n++;
        while (n-- > 0) {
                TaskReport *r = container_of(p->tasks.next, TaskReport, of_reporter);
                if (service_report_lose(s, r->task))
                        continue;
                list_remove(&r->of_reporter);
                list_append(&p->tasks, &r->of_reporter);
        }
        return 0;
}

static int reporter_new(Service *s, const char *key, int pidfd, Reporter **ret)
{
        _cleanup_free_ Reporter *p = NEW0(Reporter, 1);
        if (!p)
                return -ENOMEM;
        p->service = s;
        p->pidfd = pidfd;
        list_init(&p->tasks);
        strcpy(p->key, key);
        int r = sd_event_add_io(s->event, &p->source, pidfd, EPOLLIN, on_reporter_ended, p);
        if (r >= 0)
                r = sd_event_source_set_priority(p->source, WATCH_PRIORITY);
        if (r >= 0)
                r = hash_put(s->reporters, p->key, p);
        if (r < 0) {
                sd_event_source_disable_unref(p->source);
                return r;
        }
        *ret = TAKE_PTR(p);
        return 0;
}

int service_report_watch(Service *s, Task *t, int pidfd)
{
        _cleanup_fd_ int fd = pidfd;
        char key[REPORTER_KEY_SIZE];

        assert(s);
        assert(t && t->report);
        assert(t->row.pid >= 0);

        snprintf(key, sizeof(key), "%d.%llu", (int)t->row.pid, (unsigned long long)t->row.reporter_identity);
        Reporter *p = hash_get(s->reporters, key);
        if (p && p == t->report->reporter)
                return 0;
        if (!p) {
                int r = reporter_new(s, key, fd, &p);
                if (r < 0)
                        return r;
                fd = -EBADF;
        }
        stop_watching(t->report);
        t->report->reporter = p;
        list_append(&p->tasks, &t->report->of_reporter);
        return 0;
}

/* ---- silence ---- */

static int compare_silences(const void *a, const void *b)
{
        const TaskReport *x = a, *y = b;
        return x->silent_boottime < y->silent_boottime ? -1 : x->silent_boottime > y->silent_boottime;
}

static void arm_heartbeat_timer(Service *s)
{
        const TaskReport *first = prioq_peek(s->heartbeats);

        if (!first)
                return;
        sd_event_source_set_time(s->heartbeat_timer, first->silent_boottime);
        sd_event_source_set_enabled(s->heartbeat_timer, SD_EVENT_ONESHOT);
}

static int on_heartbeat_timer(sd_event_source *source, uint64_t usec, void *userdata)
{
        Service *s = ASSERT_PTR(userdata);
        usec_t now = clock_boottime(s->clock);
        char span[32], message[96];

        for (TaskReport *r; (r = prioq_peek(s->heartbeats)) && r->silent_boottime <= now;) {
                prioq_remove(s->heartbeats, &r->index);
                usec_format_span(r->task->row.heartbeat_usec, span, sizeof(span));
                snprintf(message, sizeof(message), "nothing was heard of it for %s", span);
                lose(s, r->task, message);
        }
        arm_heartbeat_timer(s);
        return 0;
}

void service_report_heard(Task *t)
{
        assert(t);

        TaskReport *r = t->report;
        if (!r || t->row.status != TASK_ACTIVE || (t->doing & TASK_DOING_FINISH))
                return;
        Service *s = r->service;
        service_stuck_heard(s, t);
        if (t->row.heartbeat_usec == 0)
                return;
        r->silent_boottime = usec_add(clock_boottime(s->clock), t->row.heartbeat_usec);
        if (r->index != PRIOQ_NONE)
                prioq_reshuffle(s->heartbeats, &r->index);
        else if (prioq_put(s->heartbeats, r, &r->index) < 0)
                log_error("%s: its silence cannot be noticed", t->row.task_id);
        arm_heartbeat_timer(s);
}

/* ---- all ---- */

int service_start_reports(Service *s)
{
        assert(s);

        s->heartbeats = prioq_new(compare_silences);
        s->reporters = hash_new();
        if (!s->heartbeats || !s->reporters)
                return -ENOMEM;
        int r = sd_event_add_time(s->event, &s->heartbeat_timer, CLOCK_BOOTTIME, 0, 1, on_heartbeat_timer,
                                  s);
        if (r >= 0)
                r = sd_event_source_set_priority(s->heartbeat_timer, WATCH_PRIORITY);
        return r < 0 ? r : sd_event_source_set_enabled(s->heartbeat_timer, SD_EVENT_OFF);
}

void service_stop_reports(Service *s)
{
        assert(s);
        assert(!s->reporters || hash_size(s->reporters) == 0);

        hash_free(s->reporters);
        prioq_free(s->heartbeats);
        sd_event_source_disable_unref(s->heartbeat_timer);
}

int service_report_new(Service *s, Task *t)
{
        assert(s);
        assert(t && !t->report);

        t->report = NEW0(TaskReport, 1);
        if (!t->report)
                return -ENOMEM;
        t->report->service = s;
        t->report->task = t;
        t->report->index = PRIOQ_NONE;
        list_init(&t->report->held);
        return 0;
}

void service_report_over(Task *t)
{
        assert(t);

        if (!t->report)
                return;
        stop_watching(t->report);
        prioq_remove(t->report->service->heartbeats, &t->report->index);
}

void service_report_inserted(Service *s, Task *t)
{
        assert(s);
        assert(t && t->report);

        if (!t->report->reporter || !t->report->reporter->ended || !service_report_lose(s, t))
                service_report_heard(t);
}

void service_release_report(Task *t)
{
        assert(t);

        if (!t->report)
                return;
        service_report_drop(&t->report->held);
        service_report_over(t);
        free(t->report);
        t->report = NULL;
}

/* ---- after a restart ---- */

/* 1 if it is the same, 0 if that process has ended. */
static int watch_again(Service *s, Task *t)
{
        _cleanup_fd_ int fd = (int)syscall(SYS_pidfd_open, t->row.pid, 0);
        if (fd < 0 && errno == ESRCH)
                return 0;
        if (fd < 0)
                return -errno;
        if (has_ended(fd) || identity_of(fd, t->row.pid) != t->row.reporter_identity)
                return 0;
        int r = service_report_watch(s, t, TAKE_FD(fd));
        return r < 0 ? r : 1;
}

void service_report_recover(Service *s, Task *t)
{
        assert(s);
        assert(t);

        bool other_boot = memcmp(t->row.boot_id, s->boot_id, sizeof(s->boot_id)) != 0;
        if (service_report_new(s, t) < 0) {
                log_error("%s: nobody can report it any more", t->row.task_id);
                return;
        }
        if (other_boot && (t->row.status == TASK_ACTIVE || t->row.pid > 0)) {
                service_end_otherwise(s, t, TASK_LOST, TASK_OUTCOME_REBOOTED,
                                      "the machine was restarted before its end was reported");
                return;
        }
        if (t->row.attempt > 0)
                t->report->attached = ATTACHED_OVER; /* unless its record says otherwise */
        service_attachment_take(s, t, NULL, NULL);
        if (t->doing & TASK_DOING_FINISH)
                return;
        if (t->row.cancel_requested) {
                service_carry_out_cancel(s, t);
                return;
        }
        int r = t->row.pid > 0 ? watch_again(s, t) : 1;
        if (r < 0)
                log_warning_errno(r, "%s: its reporter is not watched any more", t->row.task_id);
        if (r == 0)
                service_report_lose(s, t);
        else
                service_report_heard(t);
        service_ladder_act(s, t);
}
