/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* A process reads its commands from a pipe, so that a test decides when it goes on, and writes "ready" when it is what
 * it is to be. Ids and start time are read from /proc, as a client would. */

#include "tests/component/launcher/process.h"

#include <fcntl.h>
#include <grp.h>
#include <poll.h>
#include <pwd.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <systemd/sd-id128.h>
#include <unistd.h>

#include "basic/fd.h"
#include "common/cgroup/cgroup.h"
#include "common/proc/proc.h"

#define TIME_LIMIT_MSEC 20000

Person person_plain(uid_t uid)
{
        const struct passwd *pw = getpwuid(uid);
        gid_t gid = pw ? pw->pw_gid : uid;

        return (Person){ .uid = { uid, uid, uid }, .gid = { gid, gid, gid } };
}

/* Below a systemd it is in a service with this test, and could not be attached by its user: it gets a scope in his slice, as a
 * session would be. For the rules that is a path, so nobody tells systemd. */
static int enter_scope(uid_t uid)
{
        char path[96], text[16];
        int mount_fd;

        if (faccessat(AT_FDCWD, "/run/systemd/system", F_OK, 0) < 0)
                return 0;
        int r = cgroup_open_mount(&mount_fd, NULL);
        if (r < 0)
                return r;
        snprintf(path, sizeof(path), "user.slice/user-%u.slice/reeve-test.scope/cgroup.procs", uid);
        for (char *slash = strchr(path, '/'); slash; slash = strchr(slash + 1, '/')) {
                *slash = '\0';
                (void)mkdirat(mount_fd, path, 0755); /* it may be there */
                *slash = '/';
        }
        snprintf(text, sizeof(text), "%d", getpid());
        return fd_write_file_at(mount_fd, path, text);
}

static _noreturn_ void become(const Person *who, const int in[2], const int out[2], const char *script)
{
        if (setpgid(0, 0) < 0 || enter_scope(who->uid[1]) < 0 || dup2(in[0], STDIN_FILENO) < 0 ||
            dup2(out[1], STDOUT_FILENO) < 0)
                _exit(120);
        if (who->before)
                who->before();
        if (setgroups(0, NULL) < 0 || setresgid(who->gid[0], who->gid[1], who->gid[2]) < 0 ||
            setresuid(who->uid[0], who->uid[1], who->uid[2]) < 0)
                _exit(121);
        if (who->after)
                who->after();
        else
                execl("/bin/sh", "sh", "-c", script, NULL);
        _exit(122);
}

void process_start(Process *p, const Person *who, const char *script)
{
        int in[2], out[2];

        assert_int_equal(pipe2(in, O_CLOEXEC), 0);
        assert_int_equal(pipe2(out, O_CLOEXEC), 0);
        *p = (Process){ .in = in[1], .out = out[0] };
        p->pid = fork();
        assert_true(p->pid >= 0);
        if (p->pid == 0)
                become(who, in, out, script);
        close(in[0]);
        close(out[1]);
        process_expect(p, "ready");
}

void process_say(Process *p, const char *line)
{
        char text[128];

        /* At once: it may end as soon as it has read the line. */
        int n = snprintf(text, sizeof(text), "%s\n", line);
        assert_int_equal(fd_write_full(p->in, text, (size_t)n), 0);
}

void process_expect(Process *p, const char *line)
{
        char text[128];
        size_t n = 0;

        for (;;) {
                struct pollfd poller = { .fd = p->out, .events = POLLIN };

                if (poll(&poller, 1, TIME_LIMIT_MSEC) <= 0)
                        fail_msg("process %d does not say '%s'", p->pid, line);
                if (read(p->out, text + n, 1) != 1 || n == sizeof(text) - 1)
                        fail_msg("process %d ended instead of saying '%s'", p->pid, line);
                if (text[n] == '\n')
                        break;
                n++;
        }
        text[n] = '\0';
        assert_string_equal(text, line);
}

int process_reap(Process *p)
{
        int status;

        assert_int_equal(waitpid(p->pid, &status, 0), p->pid);
        p->reaped = true;
        return status;
}

void process_done(Process *p)
{
        if (p->pid <= 0)
                return;
        kill(-p->pid, SIGKILL); /* what it started, too */
        if (!p->reaped)
                process_reap(p);
        close(p->in);
        close(p->out);
}

Order *order_attach(uid_t author, pid_t pid)
{
        Order *o = order_new("");
        sd_id128_t boot;
        ProcStat st;
        ProcIds ids;

        _cleanup_fd_ int proc_fd = open("/proc", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        assert_int_equal(proc_stat(proc_fd, pid, &st), 0);
        assert_int_equal(proc_ids(proc_fd, pid, &ids), 0);
        assert_int_equal(sd_id128_get_boot(&boot), 0);
        o->author = author;
        o->spec.uid = ids.uid[1];
        o->spec.gid = ids.gid[1];
        o->spec.attempts = 1;
        o->spec.attach = (SpecAttach){ .pid = pid, .start = st.start };
        memcpy(o->spec.attach.boot_id, boot.bytes, sizeof(boot.bytes));
        for (size_t i = 0; i < SPEC_STDIO_COUNT; i++)
                o->spec.stdio[i].kind = SPEC_STDIO_NULL;
        o->argv[0] = (char *)"attached";
        o->argv[1] = o->env[0] = NULL;
        return o;
}
