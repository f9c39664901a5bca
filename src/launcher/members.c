/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* In a cgroup the list is exact. Without one (backend process) it is the keeper's descendants, which cannot escape
 * as long as the keeper lives because it is their subreaper, and the task's session, which is what is left to go by
 * when a keeper was killed and its children belong to the launcher.
 *
 * A pid from a list may be reused before the signal is sent. So a batch of pidfds is opened first and the list is
 * read again: a pid that is on the second list and whose pidfd still names a living process is a member; a pidfd
 * whose process is gone only gives ESRCH. */

#include "launcher/members.h"

#include <signal.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "basic/fd.h"
#include "common/cgroup/cgroup.h"
#include "common/proc/proc.h"

#define BATCH      32
#define PASSES_MAX 64

static pid_t current[MEMBERS_MAX], again[MEMBERS_MAX], told[MEMBERS_MAX];

size_t members_list(const Members *m, pid_t *ret, size_t max)
{
        assert(m);

        if (m->leaf_fd < 0)
                return proc_family(m->proc_fd, m->record->keeper_pid, m->record->task_pid, ret, max);
        int n = cgroup_procs(m->leaf_fd, ret, max);
        return n < 0 ? 0 : MIN((size_t)n, max);
}

static bool contains(const pid_t *pids, size_t n, pid_t pid)
{
        for (size_t i = 0; i < n; i++)
                if (pids[i] == pid)
                        return true;
        return false;
}

static size_t signal_batch(const Members *m, const pid_t *pids, size_t n, int signal)
{
        int fds[BATCH];
        size_t sent = 0;

        for (size_t i = 0; i < n; i++)
                fds[i] = (int)syscall(SYS_pidfd_open, pids[i], 0);
        size_t n_again = members_list(m, again, MEMBERS_MAX);
        for (size_t i = 0; i < n; i++) {
                if (fds[i] < 0)
                        continue;
                if (contains(again, n_again, pids[i]) && proc_signal(fds[i], signal) == 0)
                        sent++;
                close(fds[i]);
        }
        return sent;
}

size_t members_signal(const Members *m, int signal)
{
        size_t n_told = 0, sent = 0;

        assert(m);

        for (unsigned pass = 0; pass < PASSES_MAX; pass++) {
                size_t n = members_list(m, current, MEMBERS_MAX), fresh = 0;

                for (size_t i = 0; i < n; i++)
                        if (!contains(told, n_told, current[i]))
                                current[fresh++] = current[i];
                if (fresh == 0)
                        break;
                for (size_t i = 0; i < fresh; i += BATCH)
                        sent += signal_batch(m, current + i, MIN(fresh - i, (size_t)BATCH), signal);
                for (size_t i = 0; i < fresh && n_told < MEMBERS_MAX; i++)
                        told[n_told++] = current[i];
        }
        return sent;
}

void members_kill(const Members *m)
{
        assert(m);

        /* cgroup.kill came with Linux 5.14. */
        if (m->leaf_fd < 0 || fd_write_file_at(m->leaf_fd, "cgroup.kill", "1") < 0)
                members_signal(m, SIGKILL);
}
