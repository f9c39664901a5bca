/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The adopted task's parent is the launcher, or PID 1 when the launcher was gone, too. The launcher enters status
 * and usage and says so by RECORD_FLAG_REAPED and the futex; while it lives and is the parent this waits for it,
 * however long it takes. In the other case the kernel may tell who holds a pidfd (from 6.15 on). */

#include "launcher/adopt.h"

#include <linux/futex.h>
#include <poll.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/proc/proc.h"
#include "launcher/account.h"

#define REAPED_BY_INIT_USEC (2 * USEC_PER_SEC)
#define PATIENCE_USEC       (20 * USEC_PER_MSEC)

static void wait_for_wake(Record *r)
{
        uint32_t seen = atomic_load(&r->wake);
        struct timespec ts = usec_to_timespec(PATIENCE_USEC);

        if (!(atomic_load(&r->flags) & RECORD_FLAG_REAPED))
                syscall(SYS_futex, &r->wake, FUTEX_WAIT, seen, &ts, NULL, 0);
}

static bool is_reaped(const Keeper *k)
{
        return atomic_load(&k->record->flags) & RECORD_FLAG_REAPED;
}

/* What a zombie that is nobody's of ours still tells: its status, and its I/O but for what was before it was attached. */
static bool ask_zombie(const Keeper *k, int *ret_status)
{
        Record *r = k->record;
        RecordProcIo io;
        ProcStat st;

        if (proc_stat(k->proc_fd, r->task_pid, &st) < 0 || st.start != r->task_start || st.state != 'Z')
                return false;
        if (proc_io(k->proc_fd, r->task_pid, &io) >= 0)
                record_add_io_since(r, &io);
        *ret_status = st.exit_status;
        return true;
}

bool adopt_has_ended(const Keeper *k)
{
        Record *r = k->record;
        struct pollfd p = { .fd = k->task_fd, .events = POLLIN };
        usec_t give_up = clock_boottime(clock_system()) + REAPED_BY_INIT_USEC;
        int status;

        if (is_reaped(k))
                return true;
        if (k->task_fd >= 0 && poll(&p, 1, 0) == 0)
                return false;

        /* A launcher that has died meanwhile, before or in this loop, writes nothing any more. */
        while (k->task_parent > 0 && !is_reaped(k) && getppid() == k->task_parent)
                wait_for_wake(r);
        while (!is_reaped(k)) {
                if (ask_zombie(k, &status) || proc_exit_status(k->task_fd, &status) > 0) {
                        account_end(r,
                                    WIFEXITED(status)   ? RECORD_EXIT_EXITED
                                    : WCOREDUMP(status) ? RECORD_EXIT_DUMPED
                                                        : RECORD_EXIT_KILLED,
                                    WIFEXITED(status) ? WEXITSTATUS(status) : WTERMSIG(status));
                        break;
                }
                if (k->task_fd < 0 || clock_boottime(clock_system()) >= give_up) {
                        account_end(r, RECORD_EXIT_UNKNOWN, 0);
                        break;
                }
                wait_for_wake(r);
        }
        return true;
}
