/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The order is the point of this file:
 *
 *  1. `started` is in the record before anything of the task's author has an effect, so that a record that is still
 *     `claimed` proves that nothing ran.
 *  2. What needs privilege comes before it is dropped; groups, gid, uid in that order.
 *  3. A stream to the journal is connected by the task's user: it is he whom the journal shows.
 *  4. The working directory is entered and the command looked up as the task's user, so that neither reveals what
 *     the user may not see.
 *  5. The signal mask is opened last: until exec no signal of the user is lost or caught.
 *
 * A step that fails is reported with its errno and with what it was about, in the record and through the pipe; the
 * exit status is then of no interest. The launcher reset dispositions, affinity and nice value of its own at start,
 * so children inherit defaults and pay nothing for them. Every descriptor but 0, 1, 2 is close-on-exec. */

#include "launcher/child.h"

#include <errno.h>
#include <grp.h>
#include <sched.h>
#include <signal.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/resource.h>
#include <unistd.h>

#include "basic/crash.h"
#include "basic/fd.h"
#include "common/clock.h"
#include "common/proc/proc.h"
#include "launcher/journal.h"

static void copy_path(char *target, const char *path, size_t size)
{
        size_t n = strnlen(path, size - 1);

        memcpy(target, path, n);
        target[n] = '\0';
}

_noreturn_ static void give_up(const Child *c, Record *r, int error, const char *path)
{
        ChildReport report = { .error = error };

        r->exit_value = error;
        copy_path(r->exec_path, path, sizeof(r->exec_path));
        r->exit_kind = RECORD_EXIT_EXEC_FAILED;
        copy_path(report.path, path, sizeof(report.path));
        (void)fd_write_full(c->report_fd, &report, sizeof(report)); /* the record has it, too */
        _exit(127);
}

static void discard_pending(int signal)
{
        static const struct timespec no_time = { 0 };
        sigset_t set;

        sigemptyset(&set);
        sigaddset(&set, signal);
        sigtimedwait(&set, NULL, &no_time);
}

static void announce(const Child *c, Record *r)
{
        ProcStat st;
        ChildReport report = { .pid = getpid() };

        if (proc_stat(c->proc_fd, 0, &st) < 0)
                give_up(c, r, EIO, "/proc/self/stat");
        report.start = r->task_start = st.start;
        r->task_pid = report.pid;
        report.realtime_usec = r->started_realtime_usec = clock_realtime(clock_system());
        report.boottime_usec = r->started_boottime_usec = clock_boottime(clock_system());
        report.cgroup_id = r->cgroup_id;
        record_set_phase(r, RECORD_STARTED);
        /* A launcher that is gone reads the record. The SIGPIPE of that must not kill the task when the signal mask
         * opens. */
        if (fd_write_full(c->report_fd, &report, sizeof(report)) < 0)
                discard_pending(SIGPIPE);
        CRASH_PARENT("keeper", "started");
}

static void apply_rlimits(const Child *c, Record *r)
{
        for (int i = 0; i < RLIM_NLIMITS; i++) {
                const SpecRlimit *wanted = c->spec->rlimits + i;
                struct rlimit limit = { wanted->soft, wanted->hard };

                if (wanted->set && setrlimit((__rlimit_resource_t)i, &limit) < 0)
                        give_up(c, r, errno, "setrlimit");
        }
}

static void connect_stdio(const Child *c, Record *r)
{
        for (int i = 0; i < SPEC_STDIO_COUNT; i++)
                if (dup2(c->stdio[i], i) < 0)
                        give_up(c, r, errno, "stdio");
        if (setsid() < 0)
                give_up(c, r, errno, "setsid");
        if (c->spec->tty && ioctl(STDIN_FILENO, TIOCSCTTY, 0) < 0)
                give_up(c, r, errno, "controlling terminal");
}

static void become_user(const Child *c, Record *r)
{
        const Spec *s = c->spec;

        if (setgroups(c->n_groups, c->groups) < 0)
                give_up(c, r, errno, "setgroups");
        if (setresgid(s->gid, s->gid, s->gid) < 0)
                give_up(c, r, errno, "setresgid");
        if (setresuid(s->uid, s->uid, s->uid) < 0)
                give_up(c, r, errno, "setresuid");
}

/* One stream for both, as a terminal would be: what is written first is read first. */
static void connect_journal(const Child *c, Record *r)
{
        int fd = -EBADF;

        for (int i = STDOUT_FILENO; i < SPEC_STDIO_COUNT; i++) {
                if (c->spec->stdio[i].kind != SPEC_STDIO_JOURNAL)
                        continue;
                if (fd < 0)
                        fd = journal_connect(SPEC_JOURNAL_SOCKET, c->spec->task_id);
                if (fd < 0 || dup2(fd, i) < 0)
                        give_up(c, r, fd < 0 ? -fd : errno, SPEC_JOURNAL_SOCKET);
        }
}

/* As execvp(3), but without a shell for what has no format, and without allocation. Returns a positive errno. */
static int execute(const Child *c)
{
        char *const *argv = c->argv;
        char path[PATH_MAX];
        int error = ENOENT;

        if (c->program_fd >= 0) {
                if (c->is_script)
                        fd_set_cloexec(c->program_fd, false);
                execveat(c->program_fd, "", argv, c->env, AT_EMPTY_PATH);
                return errno;
        }
        if (strchr(argv[0], '/')) {
                execve(argv[0], argv, c->env);
                return errno;
        }
        for (const char *p = c->search_path; *p;) {
                size_t n = strcspn(p, ":"), name_length = strlen(argv[0]);

                if (n > 0 && n + 1 + name_length < sizeof(path)) {
                        memcpy(path, p, n);
                        path[n] = '/';
                        memcpy(path + n + 1, argv[0], name_length + 1);
                        execve(path, argv, c->env);
                        if (errno != ENOENT && errno != ENOTDIR && error != EACCES)
                                error = errno;
                        if (error != ENOENT && error != EACCES)
                                break;
                }
                p += n + (p[n] == ':');
        }
        return error;
}

void child_run(const Child *c, Record *r)
{
        sigset_t none;

        assert(c);
        assert(r);

        announce(c, r);
        if (c->oom_score_adj != INT_MIN && proc_set_oom_score_adj(c->proc_fd, c->oom_score_adj) < 0)
                give_up(c, r, EPERM, "oom_score_adj");
        apply_rlimits(c, r);
        if (c->spec->nice != 0 && setpriority(PRIO_PROCESS, 0, c->spec->nice) < 0)
                give_up(c, r, errno, "nice");
        umask(c->spec->umask);
        connect_stdio(c, r);
        become_user(c, r);
        connect_journal(c, r);
        if (chdir(c->spec->cwd) < 0)
                give_up(c, r, errno, c->spec->cwd);
        sigemptyset(&none);
        sigprocmask(SIG_SETMASK, &none, NULL);
        give_up(c, r, execute(c), c->argv[0]);
}
