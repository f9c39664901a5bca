/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The adopted task's parent is the launcher, or PID 1 when the launcher was gone, too. The launcher enters status
 * and usage and says so by RECORD_FLAG_REAPED and the futex; while it lives and is the parent this waits for it,
 * however long it takes. In the other case the kernel keeps the status of a reaped process for who holds a pidfd,
 * from 6.15 on. Headers of Debian 12 do not have that interface, so its layout is declared here. */

#include "launcher/adopt.h"

#include <errno.h>
#include <linux/futex.h>
#include <poll.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "launcher/account.h"

#define REAPED_BY_INIT_USEC (2 * USEC_PER_SEC)
#define PATIENCE_USEC       (20 * USEC_PER_MSEC)

typedef struct PidfdInfo {
        uint64_t mask, cgroup_id;
        uint32_t pid, tgid, ppid;
        uint32_t ids[8];
        int32_t exit_code;
} PidfdInfo;

#define PIDFD_INFO_EXIT_BIT (UINT64_C(1) << 3)
#define PIDFD_GET_INFO_CALL _IOWR(0xFF, 11, PidfdInfo)

/* 1: *ret is the wait status; 0: not (yet). */
static int kernel_status(int task_fd, int *ret)
{
        PidfdInfo info = { .mask = PIDFD_INFO_EXIT_BIT };

        if (task_fd < 0 || ioctl(task_fd, PIDFD_GET_INFO_CALL, &info) < 0)
                return 0;
        if (!(info.mask & PIDFD_INFO_EXIT_BIT))
                return 0;
        *ret = info.exit_code;
        return 1;
}

static void set_end(Record *r, RecordExit kind, int value)
{
        r->ended_realtime_usec = account_now(CLOCK_REALTIME);
        r->ended_boottime_usec = account_now(CLOCK_BOOTTIME);
        if (r->exit_kind == RECORD_EXIT_EXEC_FAILED)
                return;
        r->exit_kind = kind;
        r->exit_value = value;
}

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

bool adopt_has_ended(const Keeper *k)
{
        Record *r = k->record;
        struct pollfd p = { .fd = k->task_fd, .events = POLLIN };
        usec_t give_up = account_now(CLOCK_BOOTTIME) + REAPED_BY_INIT_USEC;
        int status;

        if (is_reaped(k))
                return true;
        if (k->task_fd >= 0 && poll(&p, 1, 0) == 0)
                return false;

        /* A launcher that has died meanwhile, before or in this loop, writes nothing any more. */
        while (k->task_parent > 0 && !is_reaped(k) && getppid() == k->task_parent)
                wait_for_wake(r);
        while (!is_reaped(k)) {
                if (kernel_status(k->task_fd, &status)) {
                        set_end(r,
                                WIFEXITED(status)   ? RECORD_EXIT_EXITED
                                : WCOREDUMP(status) ? RECORD_EXIT_DUMPED
                                                    : RECORD_EXIT_KILLED,
                                WIFEXITED(status) ? WEXITSTATUS(status) : WTERMSIG(status));
                        break;
                }
                if (k->task_fd < 0 || account_now(CLOCK_BOOTTIME) >= give_up) {
                        set_end(r, RECORD_EXIT_UNKNOWN, 0);
                        break;
                }
                wait_for_wake(r);
        }
        return true;
}
