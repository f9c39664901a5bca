/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Texts of the kernel, parsed by hand: the keeper and the child before exec may call nothing that could allocate
 * or lock, so there is no stdio here.
 *
 * A pid alone is never trusted to name a process: between looking and acting it may have been reused. The pair
 * (pid, start time) names one for ever, and a pidfd that was opened before the pair was compared is bound to it. */

#include "common/proc/proc.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "basic/fd.h"
#include "basic/macro.h"

#define FAMILY_PROCESSES_MAX 32768

char *proc_put_u64(char *p, uint64_t value)
{
        char digits[20];
        size_t n = 0;

        assert(p);

        do
                digits[n++] = (char)('0' + value % 10);
        while ((value /= 10) > 0);
        while (n > 0)
                *p++ = digits[--n];
        *p = '\0';
        return p;
}

static const char *get_u64(const char *p, uint64_t *ret)
{
        uint64_t value = 0;

        while (*p == ' ' || *p == '-')
                p++;
        for (; *p >= '0' && *p <= '9'; p++)
                value = value * 10 + (uint64_t)(*p - '0');
        *ret = value;
        return p;
}

static void make_path(char *path, pid_t pid, const char *file)
{
        char *end = pid == 0 ? stpcpy(path, "self") : proc_put_u64(path, (uint64_t)pid);

        strcpy(end, file);
}

int proc_stat(int proc_fd, pid_t pid, ProcStat *ret)
{
        char path[64], text[1024];
        uint64_t field[53] = { 0 };

        assert(ret);

        make_path(path, pid, "/stat");
        ssize_t n = fd_read_file_at(proc_fd, path, text, sizeof(text));
        if (n < 0)
                return n == -ENOENT ? -ESRCH : (int)n;

        const char *p = strrchr(text, ')'); /* the name before it may contain anything */
        if (!p || strlen(p) < 4)
                return -EBADMSG;
        *ret = (ProcStat){ .state = p[2] };
        p += 3;
        for (size_t i = 4; i < ELEMENTSOF(field); i++)
                p = get_u64(p, field + i);
        get_u64(text, field);
        ret->pid = (pid_t)field[0];
        ret->ppid = (pid_t)field[4];
        ret->session = (pid_t)field[6];
        ret->flags = (uint32_t)field[9];
        ret->user_ticks = field[14] + field[16];
        ret->system_ticks = field[15] + field[17];
        ret->start = field[22];
        ret->rss_pages = field[24];
        ret->exit_status = (int)field[52];
        return 0;
}

static uint64_t io_value(const char *text, const char *key)
{
        uint64_t value = 0;
        const char *p = strstr(text, key);

        if (p)
                get_u64(p + strlen(key), &value);
        return value;
}

int proc_io(int proc_fd, pid_t pid, RecordProcIo *ret)
{
        char path[64], text[512];

        assert(ret);

        *ret = (RecordProcIo){ 0 };
        make_path(path, pid, "/io");
        ssize_t n = fd_read_file_at(proc_fd, path, text, sizeof(text));
        if (n < 0)
                return n == -ENOENT ? -ESRCH : (int)n;
        *ret = (RecordProcIo){
                .valid = 1,
                .rchar = io_value(text, "rchar:"),
                .wchar = io_value(text, "wchar:"),
                .syscr = io_value(text, "syscr:"),
                .syscw = io_value(text, "syscw:"),
                .read_bytes = io_value(text, "\nread_bytes:"),
                .write_bytes = io_value(text, "\nwrite_bytes:"),
                .cancelled_write_bytes = io_value(text, "cancelled_write_bytes:"),
        };
        return 0;
}

/* "Uid:" and "Gid:" of /proc/PID/status, four numbers each. */
static int get_ids(const char *text, const char *key, uint32_t ret[static 4])
{
        const char *p = strstr(text,
                               key); /* the name of the process, before them, has its newlines escaped */
        uint64_t value;

        if (!p)
                return -EBADMSG;
        p += strlen(key);
        for (size_t i = 0; i < 4; i++) {
                p += strspn(p, "\t");
                if (*p < '0' || *p > '9')
                        return -EBADMSG;
                p = get_u64(p, &value);
                ret[i] = (uint32_t)value;
        }
        return 0;
}

int proc_ids(int proc_fd, pid_t pid, ProcIds *ret)
{
        char path[64], text[8192];

        assert(ret);

        make_path(path, pid, "/status");
        ssize_t n = fd_read_file_at(proc_fd, path, text, sizeof(text));
        if (n < 0)
                return n == -ENOENT ? -ESRCH : (int)n;
        int r = get_ids(text, "\nUid:", ret->uid);
        return r < 0 ? r : get_ids(text, "\nGid:", ret->gid);
}

int proc_owner(int proc_fd, pid_t pid, uid_t *ret)
{
        char path[64];
        struct stat st;

        assert(ret);

        make_path(path, pid, "/status"); /* the directory itself is its user's in any case */
        if (fstatat(proc_fd, path, &st, 0) < 0)
                return errno == ENOENT ? -ESRCH : -errno;
        *ret = st.st_uid;
        return 0;
}

int proc_shares_namespace(int proc_fd, pid_t pid, const char *name)
{
        char path[64] = "/ns/", one[64], own[64];
        struct stat theirs, ours;

        assert(name && strlen(name) < 16);

        strcat(path, name);
        make_path(one, pid, path);
        make_path(own, 0, path);
        if (fstatat(proc_fd, one, &theirs, 0) < 0 || fstatat(proc_fd, own, &ours, 0) < 0)
                return errno == ENOENT ? -ESRCH : -errno;
        return theirs.st_dev == ours.st_dev && theirs.st_ino == ours.st_ino;
}

int proc_cgroup(int proc_fd, pid_t pid, char *ret, size_t size)
{
        char path[64], text[8192];

        assert(ret);

        make_path(path, pid, "/cgroup");
        ssize_t n = fd_read_file_at(proc_fd, path, text, sizeof(text));
        if (n < 0)
                return n == -ENOENT ? -ESRCH : (int)n;
        const char *line = strncmp(text, "0::", 3) == 0 ? text : strstr(text, "\n0::");
        if (!line)
                return -ENODATA;
        line = strchr(line, '/');
        size_t length = line ? strcspn(line, "\n") : 0;
        if (length == 0)
                return -EBADMSG;
        if (length >= size)
                return -E2BIG;
        memcpy(ret, line, length);
        ret[length] = '\0';
        return 0;
}

int proc_open(int proc_fd, pid_t pid, uint64_t start)
{
        ProcStat st;

        if (pid <= 0)
                return -ESRCH;
        _cleanup_fd_ int fd = (int)syscall(SYS_pidfd_open, pid, 0);
        if (fd < 0)
                return -errno;
        int r = proc_stat(proc_fd, pid, &st);
        if (r < 0)
                return r;
        return st.start == start ? TAKE_FD(fd) : -ESRCH;
}

int proc_signal(int pidfd, int signal)
{
        return syscall(SYS_pidfd_send_signal, pidfd, signal, NULL, 0) < 0 ? -errno : 0;
}

/* PIDFD_GET_INFO. Headers of Debian 12 do not have it, so its layout is declared here. */
typedef struct PidfdInfo {
        uint64_t mask, cgroup_id;
        uint32_t pid, tgid, ppid;
        uint32_t ids[8];
        int32_t exit_code;
} PidfdInfo;

#define PIDFD_INFO_EXIT_BIT (UINT64_C(1) << 3)
#define PIDFD_GET_INFO_CALL _IOWR(0xFF, 11, PidfdInfo)

int proc_exit_status(int pidfd, int *ret)
{
        PidfdInfo info = { .mask = PIDFD_INFO_EXIT_BIT };

        assert(ret);

        if (pidfd < 0 || ioctl(pidfd, PIDFD_GET_INFO_CALL, &info) < 0)
                return 0;
        if (!(info.mask & PIDFD_INFO_EXIT_BIT))
                return 0;
        *ret = info.exit_code;
        return 1;
}

typedef struct Relative {
        pid_t pid, ppid, session;
        bool ours;
} Relative;

/* All processes of the machine; zero pages until it is first used. */
static Relative everybody[FAMILY_PROCESSES_MAX];

static size_t read_everybody(int proc_fd)
{
        char entries[8192];
        size_t n = 0;
        ssize_t k;

        _cleanup_fd_ int fd = openat(proc_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        if (fd < 0)
                return 0;
        while ((k = getdents64(fd, entries, sizeof(entries))) > 0)
                for (ssize_t at = 0; at < k;) {
                        const struct dirent64 *d = (const struct dirent64 *)(entries + at);
                        uint64_t pid = 0;
                        ProcStat st;

                        at += d->d_reclen;
                        if (d->d_name[0] < '1' || d->d_name[0] > '9' || n == FAMILY_PROCESSES_MAX)
                                continue;
                        get_u64(d->d_name, &pid);
                        if (proc_stat(proc_fd, (pid_t)pid, &st) >= 0 && st.state != 'Z')
                                everybody[n++] = (Relative){ st.pid, st.ppid, st.session, false };
                }
        return n;
}

static bool is_ours(const Relative *r, size_t n, pid_t ancestor, pid_t session)
{
        if (r->ppid == ancestor || (session != 0 && r->session == session))
                return true;
        for (size_t i = 0; i < n; i++)
                if (everybody[i].ours && everybody[i].pid == r->ppid)
                        return true;
        return false;
}

size_t proc_family(int proc_fd, pid_t ancestor, pid_t session, pid_t *ret, size_t max)
{
        size_t n = read_everybody(proc_fd), found = 0;
        bool again = true;

        assert(ret || max == 0);
        assert(ancestor > 1);

        while (again) {
                again = false;
                for (size_t i = 0; i < n; i++) {
                        Relative *r = everybody + i;

                        if (r->ours || r->pid == ancestor || !is_ours(r, n, ancestor, session))
                                continue;
                        r->ours = again = true;
                        if (found < max)
                                ret[found++] = r->pid;
                }
        }
        return found;
}

int proc_set_oom_score_adj(int proc_fd, int value)
{
        char text[24];

        text[0] = '-';
        proc_put_u64(text + (value < 0), (uint64_t)abs(value));
        return fd_write_file_at(proc_fd, "self/oom_score_adj", text);
}
