/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* waitid() with WNOWAIT gives status and rusage of a zombie and leaves it; /proc/PID/io is readable as long. Each
 * zombie's figures hold its own use and that of the children that it waited for, so the sum over all that a
 * subreaper collects is what the whole family used, daemons included, and nothing of the collector itself. */

#include "launcher/account.h"

#include <errno.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/proc/proc.h"

int account_next(Corpse *ret)
{
        assert(ret);

        ret->info.si_pid = 0;
        /* glibc's waitid() lacks the fifth argument that the system call has. */
        while (syscall(SYS_waitid, P_ALL, 0, &ret->info, WEXITED | WNOHANG | WNOWAIT, &ret->rusage) < 0)
                if (errno != EINTR)
                        return -errno;
        return ret->info.si_pid != 0;
}

void account_end(Record *r, RecordExit kind, int value)
{
        assert(r);

        r->ended_realtime_usec = clock_realtime(clock_system());
        r->ended_boottime_usec = clock_boottime(clock_system());
        if (r->exit_kind == RECORD_EXIT_EXEC_FAILED)
                return;
        r->exit_kind = kind;
        r->exit_value = value;
}

void account_add(Record *r, int proc_fd, const Corpse *c, bool is_main)
{
        RecordProcIo io;

        assert(r);
        assert(c);

        if (is_main && (atomic_load(&r->flags) & RECORD_FLAG_REAPED))
                return;
        record_add_rusage(r, &c->rusage);
        if (proc_io(proc_fd, c->info.si_pid, &io) >= 0)
                record_add_io(r, &io);
        if (!is_main)
                return;
        account_end(r,
                    c->info.si_code == CLD_EXITED   ? RECORD_EXIT_EXITED
                    : c->info.si_code == CLD_DUMPED ? RECORD_EXIT_DUMPED
                                                    : RECORD_EXIT_KILLED,
                    c->info.si_status);
        record_set_flag(r, RECORD_FLAG_REAPED);
}

void account_reap(const Corpse *c)
{
        siginfo_t info;

        assert(c);

        while (waitid(P_PID, (id_t)c->info.si_pid, &info, WEXITED) < 0 && errno == EINTR)
                ;
}
