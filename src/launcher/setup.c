/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Directories are opened once, by name, and used through their descriptors afterwards. The one that holds them may
 * be writable for group reeve, but then it must be sticky and root's, so that user reeve can put nothing in the
 * place of what is root's; what is not a directory of root's is refused.
 *
 * Tasks inherit from this process, so it makes itself what a task should be born as (signal dispositions, affinity,
 * nice value, umask), once, instead of each child. */

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <libgen.h>
#include <pwd.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/utsname.h>
#include <systemd/sd-id128.h>
#include <unistd.h>

#include "basic/fd.h"
#include "basic/log.h"
#include "basic/parse.h"
#include "basic/sched.h"
#include "basic/strings.h"
#include "common/cgroup/cgroup.h"
#include "common/proc/proc.h"
#include "launcher/launcher.h"
#include "launcher/systemd.h"

#define HOOK_USER              "reeve-hook"
#define SETTLE_OLD_KERNEL_USEC (5 * USEC_PER_MSEC)
#define NICE                   (-10)

static int open_dir(const char *path, gid_t gid, mode_t mode, int *ret_fd, ReeveError *reterr)
{
        struct stat st;

        if (mkdir(path, 0700) < 0 && errno != EEXIST)
                return reeve_error_errno(reterr, errno, path, "cannot make %s", path);
        _cleanup_fd_ int fd = open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
        if (fd < 0 || fstat(fd, &st) < 0)
                return reeve_error_errno(reterr, errno, path, "cannot open %s", path);
        if (st.st_uid != 0)
                return reeve_error_set(reterr, REEVE_ERROR_PERMISSION_DENIED, path,
                                       "%s belongs to uid %u instead of root", path, st.st_uid);
        if (fchown(fd, 0, gid) < 0 || fchmod(fd, mode) < 0)
                return reeve_error_errno(reterr, errno, path, "cannot set owner and mode of %s", path);
        if (ret_fd)
                *ret_fd = TAKE_FD(fd);
        return 0;
}

static int open_place(Launcher *l, InstancePath which, gid_t gid, mode_t mode, int *ret_fd,
                      ReeveError *reterr)
{
        char path[PATH_MAX], parent[PATH_MAX];

        int r = instance_path(&l->instance, which, path, sizeof(path));
        if (r < 0)
                return reeve_error_errno(reterr, r, NULL, "path of the instance");
        if (which != INSTANCE_LAUNCHER_STATE) {
                strcpy(parent, path);
                r = open_dir(dirname(parent), l->reeve_gid, 01775, NULL, reterr);
                if (r < 0)
                        return r;
        }
        return open_dir(path, gid, mode, ret_fd, reterr);
}

static int find_user(Launcher *l, const char *user, ReeveError *reterr)
{
        const struct passwd *pw = getpwnam(user);

        if (!pw)
                return reeve_error_set(reterr, REEVE_ERROR_INVALID_ARGUMENT, "reeve-user",
                                       "there is no user %s", user);
        if (pw->pw_uid == 0)
                return reeve_error_set(reterr, REEVE_ERROR_INVALID_ARGUMENT, "reeve-user",
                                       "the registry must not be root");
        l->reeve_uid = pw->pw_uid;
        l->reeve_gid = pw->pw_gid;
        pw = getpwnam(HOOK_USER);
        l->hook_uid = pw ? pw->pw_uid : (uid_t)-1;
        l->hook_gid = pw ? pw->pw_gid : (gid_t)-1;
        return 0;
}

/* A POSIX lock, because it is not inherited: a keeper that is just being forked must not hold it. The file is written
 * to, so it must be ours: user reeve may have put something at its place before we came first, a link of another file
 * among others. */
static int lock_instance(Launcher *l, ReeveError *reterr)
{
        struct flock lock = { .l_type = F_WRLCK };
        char path[PATH_MAX], text[32];
        struct stat st;

        int r = instance_path(&l->instance, INSTANCE_LAUNCHER_PID, path, sizeof(path));
        if (r < 0)
                return reeve_error_errno(reterr, r, NULL, "path of the instance");
        l->pid_fd = open(path, O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0644);
        if (l->pid_fd < 0)
                return reeve_error_errno(reterr, errno, path, "cannot open %s", path);
        if (fstat(l->pid_fd, &st) < 0)
                return reeve_error_errno(reterr, errno, path, "cannot look at %s", path);
        if (!S_ISREG(st.st_mode) || st.st_uid != 0 || st.st_nlink != 1)
                return reeve_error_set(reterr, REEVE_ERROR_PERMISSION_DENIED, path,
                                       "%s is not a file of root's with one name", path);
        if (fcntl(l->pid_fd, F_SETLK, &lock) < 0)
                return reeve_error_set(reterr, REEVE_ERROR_ALREADY_EXISTS, path,
                                       "another launcher serves this instance (%s)", path);
        int n = snprintf(text, sizeof(text), "%d\n", getpid());
        if (ftruncate(l->pid_fd, 0) < 0 || pwrite(l->pid_fd, text, (size_t)n, 0) != n)
                return reeve_error_errno(reterr, errno, path, "cannot write %s", path);
        return 0;
}

static int open_places(Launcher *l, ReeveError *reterr)
{
        int r = open_place(l, INSTANCE_RECORDS, l->reeve_gid, 0750, &l->records_fd, reterr);

        if (r >= 0)
                r = open_place(l, INSTANCE_OUTPUT, l->reeve_gid, 0750, &l->output_fd, reterr);
        if (r >= 0)
                r = lock_instance(l, reterr);
        if (r >= 0)
                r = open_place(l, INSTANCE_LAUNCHER_STATE, 0, 0700, &l->state_fd, reterr);
        if (r < 0)
                return r;
        if (mkdirat(l->state_fd, "spent", 0700) < 0 && errno != EEXIST)
                return reeve_error_errno(reterr, errno, "spent", "cannot make the list of spent tickets");
        l->spent_fd = openat(l->state_fd, "spent", O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
        l->proc_fd = open("/proc", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        l->null_fd = open("/dev/null", O_RDWR | O_CLOEXEC);
        if (l->spent_fd < 0 || l->proc_fd < 0 || l->null_fd < 0)
                return reeve_error_errno(reterr, errno, NULL, "cannot open spent, /proc or /dev/null");
        return ticket_key_load(l->state_fd, &l->key, reterr);
}

void launcher_prefer(void)
{
        if (sched_setscheduler(0, SCHED_OTHER | SCHED_RESET_ON_FORK, &(struct sched_param){ 0 }) >= 0)
                (void)setpriority(PRIO_PROCESS, 0, NICE);
        (void)sched_be_prompt();
}

static void make_inheritance_clean(Launcher *l)
{
        char text[32];
        int64_t value = 0;
        cpu_set_t all;
        sigset_t mask;

        for (int i = 1; i < NSIG; i++)
                signal(i, SIG_DFL);
        sigemptyset(&mask);
        sigaddset(&mask, SIGCHLD);
        sigaddset(&mask, SIGTERM);
        sigaddset(&mask, SIGINT);
        sigaddset(&mask, SIGHUP);
        sigaddset(&mask, SIGPIPE);
        sigaddset(&mask, SIGUSR1);
        sigprocmask(SIG_SETMASK, &mask, NULL);

        memset(&all, 0xff, sizeof(all));
        (void)sched_setaffinity(0, sizeof(all),
                                &all); /* what the host does not allow, tasks do not get either */
        (void)setpriority(PRIO_PROCESS, 0, 0);
        launcher_prefer();
        umask(0022);
        for (int i = 0; i < RLIM_NLIMITS; i++)
                getrlimit((__rlimit_resource_t)i, l->rlimits + i);

        ssize_t n = fd_read_file_at(l->proc_fd, "self/oom_score_adj", text, sizeof(text));
        if (n > 0)
                text[n - 1] = '\0';
        if (n > 0 && parse_i64(text, &value) >= 0)
                l->oom_score_adj = (int)value;
}

/* A keeper needs this program and the C library, nothing of sd-bus and what that brings along. A fork copies each
 * mapping, so leaving those out makes forks twice as fast, keepers small, and a call that a keeper must not make a
 * crash at once. What libraries allocated before main() is in the heap: it begins where the kernel says, not where it
 * ended when main() began. */
static void keep_libraries_from_forks(Launcher *l)
{
#ifndef REEVE_ADDRESS_SANITIZER
        char line[PATH_MAX + 128];
        unsigned long from, to;

        int fd = openat(l->proc_fd, "self/maps", O_RDONLY | O_CLOEXEC);
        FILE *f = fd >= 0 ? fdopen(fd, "re") : NULL;

        while (f && fgets(line, sizeof(line), f)) {
                if (sscanf(line, "%lx-%lx", &from, &to) != 2)
                        continue;
                if (strstr(line, "[heap]"))
                        l->heap = (char *)from;
                else if (strstr(line, ".so") && !strstr(line, "/libc.so") && !strstr(line, "/ld-linux"))
                        (void)madvise((void *)from, to - from,
                                      MADV_DONTFORK); /* it is only slower without */
        }
        if (f)
                fclose(f);
#endif
}

static int learn_host(Launcher *l, ReeveError *reterr)
{
        struct utsname uts;
        unsigned major = 0, minor = 0;
        sd_id128_t boot;

        if (prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) < 0)
                return reeve_error_errno(reterr, errno, NULL, "cannot become a subreaper");
        int r = sd_id128_get_boot(&boot);
        if (r < 0)
                return reeve_error_errno(reterr, r, NULL, "cannot read the boot id");
        memcpy(l->boot_id, boot.bytes, sizeof(l->boot_id));
        if (uname(&uts) == 0)
                (void)sscanf(uts.release, "%u.%u", &major, &minor);
        l->settle_usec = major > 6 || (major == 6 && minor >= 12) ? 0 : SETTLE_OLD_KERNEL_USEC;
        return 0;
}

int launcher_setup(Launcher *l, const char *user, ReeveError *reterr)
{
        assert(l);
        assert(user);

        l->pool = POOL_NULL;
        l->records_fd = l->output_fd = l->state_fd = l->spent_fd = -EBADF;
        l->proc_fd = l->null_fd = l->pid_fd = l->listen_fd = -EBADF;
        for (size_t i = 0; i < LAUNCHER_BUCKETS; i++)
                list_init(l->watched + i);

        /* Descriptors 0 to 2 must be taken, or one that is meant for a task might be among them. */
        while (fcntl(STDERR_FILENO, F_GETFD) < 0)
                if (open("/dev/null", O_RDWR) < 0)
                        return reeve_error_errno(reterr, errno, NULL, "cannot open /dev/null");

        int r = find_user(l, user, reterr);
        if (r >= 0)
                r = open_places(l, reterr);
        if (r >= 0)
                r = learn_host(l, reterr);
        if (r < 0)
                return r;
        steps_start(l);
        make_inheritance_clean(l);
        keep_libraries_from_forks(l);
        return 0;
}

void launcher_done(Launcher *l)
{
        assert(l);

        pool_scope_close(l);
        systemd_free(l->systemd);
        sd_event_unref(l->event);
        pool_close(&l->pool);
        /* Descriptors and the key's page end with the process. */
}
