/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* A process is named by pid, start time and boot in the specification: that means one process for ever, however long the
 * request is on its way. All that is read about it here is read while a pidfd shows that the pid is still its own.
 *
 * The command line is for people (the title, the task's argv); a process may have made it up. Ids must be right, because the
 * launcher compares them with its own look. */

#include "libreeve/submit.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "basic/fd.h"
#include "basic/parse.h"
#include "basic/strings.h"
#include "common/proc/proc.h"
#include "libreeve/property.h"

#define COMMAND_LINE_MAX (64 * 1024)

/* What was found out about the process. */
typedef struct Facts {
        SpecAttach attach;
        uid_t uid;
        gid_t gid;
        char **argv;
        char *cwd;
} Facts;

static void facts_done(Facts *f)
{
        strv_free(f->argv);
        free(f->cwd);
}

static int read_boot_id(int proc_fd, uint8_t ret[static 16])
{
        char text[64], digits[33];
        size_t n = 0;

        ssize_t size = fd_read_file_at(proc_fd, "sys/kernel/random/boot_id", text, sizeof(text));
        if (size < 0)
                return (int)size;
        for (const char *p = text; *p && *p != '\n' && n < sizeof(digits) - 1; p++)
                if (*p != '-')
                        digits[n++] = *p;
        digits[n] = '\0';
        return parse_hex(digits, ret, 16);
}

/* The kernel's name for it, where it has no command line. */
static int read_name(int proc_fd, pid_t pid, char ***argv)
{
        char path[64], name[64];

        snprintf(path, sizeof(path), "%d/comm", pid);
        ssize_t n = fd_read_file_at(proc_fd, path, name, sizeof(name));
        if (n < 0)
                return (int)n;
        if (n > 0 && name[n - 1] == '\n')
                name[n - 1] = '\0';
        return strv_append(argv, name[0] ? name : "?");
}

static int read_argv(int proc_fd, pid_t pid, char ***argv)
{
        _cleanup_free_ char *text = malloc(COMMAND_LINE_MAX + 1);
        char path[64];
        int r = 0;

        if (!text)
                return -ENOMEM;
        snprintf(path, sizeof(path), "%d/cmdline", pid);
        _cleanup_fd_ int fd = openat(proc_fd, path, O_RDONLY | O_CLOEXEC);
        if (fd < 0)
                return -errno;
        ssize_t n = fd_read_full(fd, text, COMMAND_LINE_MAX);
        if (n < 0)
                return (int)n;
        text[n] = '\0';
        if (n == 0 || !text[0])
                return read_name(proc_fd, pid, argv);
        for (const char *p = text; r >= 0 && p < text + n; p += strlen(p) + 1)
                r = strv_append(argv, p);
        return r;
}

/* "/" where it is not the caller's to know. */
static char *read_cwd(int proc_fd, pid_t pid)
{
        char path[64], cwd[PATH_MAX];

        snprintf(path, sizeof(path), "%d/cwd", pid);
        ssize_t n = readlinkat(proc_fd, path, cwd, sizeof(cwd) - 1);
        if (n <= 0 || cwd[0] != '/')
                return strdup("/");
        cwd[n] = '\0';
        return strdup(cwd);
}

static int read_facts(pid_t pid, Facts *f)
{
        ProcStat st;
        ProcIds ids;
        int r;

        _cleanup_fd_ int pidfd = (int)syscall(SYS_pidfd_open, pid, 0);
        if (pidfd < 0)
                return -errno;
        _cleanup_fd_ int proc_fd = open("/proc", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        if (proc_fd < 0)
                return -errno;
        if ((r = proc_stat(proc_fd, pid, &st)) < 0 || (r = proc_ids(proc_fd, pid, &ids)) < 0 ||
            (r = read_boot_id(proc_fd, f->attach.boot_id)) < 0 ||
            (r = read_argv(proc_fd, pid, &f->argv)) < 0)
                return r;
        f->cwd = read_cwd(proc_fd, pid);
        if (!f->cwd)
                return -ENOMEM;
        f->attach.pid = pid;
        f->attach.start = st.start;
        f->uid = ids.uid[1];
        f->gid = ids.gid[1];
        return proc_signal(pidfd, 0) == -ESRCH ? -ESRCH : 0;
}

static int refuse_property(const char *name, ReeveError *reterr)
{
        return reeve_error_set(
                        reterr, REEVE_ERROR_INVALID_ARGUMENT, name,
                        "it is about how a command is started, and cannot be given to a process that runs");
}

/* Of all properties only those of its new cgroup have a meaning. */
static int check_properties(const Request *q, ReeveError *reterr)
{
        for (int i = 0; i < RLIM_NLIMITS; i++)
                if (q->spec.rlimits[i].set)
                        return refuse_property("Limit...", reterr);
        return spec_wants_scope(&q->spec)     ? refuse_property(q->spec.properties[0].name, reterr)
               : q->spec.nice != 0            ? refuse_property("Nice", reterr)
               : q->spec.has_oom_score_adjust ? refuse_property("OOMScoreAdjust", reterr)
               : q->cwd                       ? refuse_property("WorkingDirectory", reterr)
               : q->env                       ? refuse_property("Environment", reterr)
                                              : 0;
}

static int fill_attach(Request *q, const ReeveRun *run, Submission *w, const void *userdata,
                       ReeveError *reterr)
{
        const Facts *f = userdata;

        q->spec.task_id = w->task_id;
        q->spec.attempts = 1;
        q->spec.grace_usec = USEC_INFINITY;
        q->spec.uid = f->uid;
        q->spec.gid = f->gid;
        q->spec.attach = f->attach;
        q->spec.argv = f->argv;
        q->spec.n_argv = strv_length(f->argv);
        for (const char *const *p = run->properties; p && *p; p++) {
                int r = property_apply(q, *p, reterr);
                if (r < 0)
                        return r;
        }
        q->spec.cwd = f->cwd;
        return check_properties(q, reterr);
}

static int look(const ReeveAttach *attach, Facts *f, ReeveError *reterr)
{
        int r = attach->pid < 2 ? -ESRCH : read_facts(attach->pid, f);
        if (r == -ESRCH || r == -ENOENT)
                return reeve_error_set(reterr, REEVE_ERROR_ALREADY_FINISHED, "pid", "there is no process %d",
                                       attach->pid);
        if (r < 0)
                return reeve_error_errno(reterr, r, "pid", "cannot look at process %d", attach->pid);
        f->attach.children = attach->children;
        return 0;
}

int reeve_attach(ReeveConnection *c, const ReeveAttach *attach, char ret_id[REEVE_TASK_ID_SIZE],
                 json_t **ret_task, ReeveError *reterr)
{
        _cleanup_(facts_done) Facts f = { 0 };

        assert(c);
        assert(attach);

        int r = look(attach, &f, reterr);
        if (r < 0)
                return r;
        const ReeveRun run = {
                .argv = f.argv,
                .task_id = attach->task_id,
                .subsystem = attach->subsystem,
                .task_type = attach->task_type,
                .title = attach->title,
                .description = attach->description,
                .created_by = attach->created_by,
                .priority = attach->priority,
                .sla = attach->sla,
                .metadata = attach->metadata,
                .properties = attach->properties,
        };
        return submit(c, &(Submitter){ "Attach", fill_attach, &f }, &run, ret_id, ret_task, reterr);
}

int reeve_attach_to(ReeveConnection *c, const ReeveAttach *attach, json_t **ret_task, ReeveError *reterr)
{
        _cleanup_(facts_done) Facts f = { 0 };

        assert(c);
        assert(attach);

        int r = look(attach, &f, reterr);
        if (r < 0)
                return r;
        const ReeveRun run = { .task_id = attach->task_id, .properties = attach->properties };
        return submit_join(c, &(Submitter){ "Attach", fill_attach, &f }, &run, ret_task, reterr);
}
