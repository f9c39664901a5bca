/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Where a process waits and what it has open is for who may trace it, so reeved cannot read it. The owner of the task may see that
 * of his processes; not that of a setuid program that he started. So it is told of a process only if its files in /proc belong
 * to the user of the task, both before they were read and after; of others there are the state and the name, which everybody may
 * see.
 *
 * A pid of the list may have been reused by the time that it is read: what was read counts if it is a member with the same start
 * time still. Bounded: 64 processes, 8 paths of each; nothing is allocated. All texts come out as printable ASCII. */

#include "launcher/inspect.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

#include "basic/fd.h"
#include "common/proc/proc.h"

#define PATH_SHOWN_MAX 255

typedef struct Process {
        ProcStat stat;
        char comm[32], wchan[64], paths[INSPECT_PATHS_MAX][PATH_SHOWN_MAX + 1];
        uint32_t n_fds, n_paths;
} Process;

static void clean(char *text, ssize_t size)
{
        text[MAX(size, 0)] = '\0';
        for (char *p = text; *p; p++)
                if (*p == '\n' && p[1] == '\0')
                        *p = '\0';
                else if (*p < ' ' || *p > '~')
                        *p = '?';
}

static void read_descriptors(int proc_fd, Process *p)
{
        char name[64];

        snprintf(name, sizeof(name), "%d/fd", p->stat.pid);
        int fd = openat(proc_fd, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        DIR *d = fd >= 0 ? fdopendir(fd) : NULL;
        if (!d) {
                fd_close(fd);
                return;
        }
        for (const struct dirent *e; (e = readdir(d));) {
                if (e->d_name[0] == '.')
                        continue;
                p->n_fds++;
                if (p->n_paths == INSPECT_PATHS_MAX)
                        continue;
                ssize_t n = readlinkat(fd, e->d_name, p->paths[p->n_paths], PATH_SHOWN_MAX);
                if (n > 0)
                        clean(p->paths[p->n_paths++], n);
        }
        closedir(d);
}

static bool is_of(int proc_fd, pid_t pid, uid_t uid)
{
        uid_t owner;
        return proc_owner(proc_fd, pid, &owner) >= 0 && owner == uid;
}

static int read_process(int proc_fd, pid_t pid, uid_t uid, Process *p)
{
        char name[64];

        *p = (Process){ 0 };
        int r = proc_stat(proc_fd, pid, &p->stat);
        if (r < 0)
                return r;
        snprintf(name, sizeof(name), "%d/comm", pid);
        clean(p->comm, fd_read_file_at(proc_fd, name, p->comm, sizeof(p->comm)));
        bool before = is_of(proc_fd, pid, uid);
        if (before) {
                snprintf(name, sizeof(name), "%d/wchan", pid);
                clean(p->wchan, fd_read_file_at(proc_fd, name, p->wchan, sizeof(p->wchan)));
                read_descriptors(proc_fd, p);
        }
        if (!before || !is_of(proc_fd, pid, uid)) {
                p->wchan[0] = '\0';
                p->n_fds = p->n_paths = 0;
        }
        return 0;
}

static int append(sd_bus_message *to, const Process *p)
{
        const char state[] = { p->stat.state, '\0' };

        int r = sd_bus_message_open_container(to, 'r', "usssuas");
        if (r >= 0)
                r = sd_bus_message_append(to, "usssu", (uint32_t)p->stat.pid, state, p->comm, p->wchan,
                                          p->n_fds);
        if (r >= 0)
                r = sd_bus_message_open_container(to, 'a', "s");
        for (uint32_t i = 0; r >= 0 && i < p->n_paths; i++)
                r = sd_bus_message_append(to, "s", p->paths[i]);
        if (r >= 0)
                r = sd_bus_message_close_container(to);
        return r < 0 ? r : sd_bus_message_close_container(to);
}

static bool is_member(const pid_t *pids, size_t n, pid_t pid)
{
        for (size_t i = 0; i < n; i++)
                if (pids[i] == pid)
                        return true;
        return false;
}

int inspect_append(sd_bus_message *to, const Members *members, uid_t run_uid)
{
        static Process seen[INSPECT_PROCESSES_MAX];
        static pid_t pids[MEMBERS_MAX];
        size_t n_seen = 0;
        ProcStat now;

        size_t n = members_list(members, pids, INSPECT_PROCESSES_MAX);
        for (size_t i = 0; i < n; i++)
                if (read_process(members->proc_fd, pids[i], run_uid, seen + n_seen) >= 0)
                        n_seen++;
        n = members_list(members, pids, MEMBERS_MAX);
        int r = sd_bus_message_open_container(to, 'a', "(usssuas)");
        for (size_t i = 0; r >= 0 && i < n_seen; i++) {
                const ProcStat *st = &seen[i].stat;
                if (is_member(pids, n, st->pid) && proc_stat(members->proc_fd, st->pid, &now) >= 0 &&
                    now.start == st->start)
                        r = append(to, seen + i);
        }
        return r < 0 ? r : sd_bus_message_close_container(to);
}
