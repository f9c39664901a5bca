/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* waitid() with WNOWAIT gives status and rusage of a zombie and leaves it; /proc/PID/io is readable as long. Each
 * zombie's figures hold its own use and that of the children that it waited for, so the sum over all that a
 * subreaper collects is what the whole family used, daemons included, and nothing of the collector itself. */

#include "launcher/account.h"

#include <errno.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

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

static void add_rusage(RecordRusage *sum, const struct rusage *ru)
{
        sum->user_usec += usec_from_timeval(&ru->ru_utime);
        sum->system_usec += usec_from_timeval(&ru->ru_stime);
        sum->max_rss_bytes = MAX(sum->max_rss_bytes, (uint64_t)ru->ru_maxrss * 1024);
        sum->minor_faults += (uint64_t)ru->ru_minflt;
        sum->major_faults += (uint64_t)ru->ru_majflt;
        sum->in_blocks += (uint64_t)ru->ru_inblock;
        sum->out_blocks += (uint64_t)ru->ru_oublock;
        sum->voluntary_switches += (uint64_t)ru->ru_nvcsw;
        sum->involuntary_switches += (uint64_t)ru->ru_nivcsw;
}

static void add_io(RecordProcIo *sum, const RecordProcIo *io)
{
        sum->rchar += io->rchar;
        sum->wchar += io->wchar;
        sum->syscr += io->syscr;
        sum->syscw += io->syscw;
        sum->read_bytes += io->read_bytes;
        sum->write_bytes += io->write_bytes;
        sum->cancelled_write_bytes += io->cancelled_write_bytes;
        sum->valid = 1;
}

usec_t account_now(clockid_t clock)
{
        struct timespec ts;

        clock_gettime(clock, &ts);
        return usec_from_timespec(&ts);
}

void account_add(Record *r, int proc_fd, const Corpse *c, bool is_main)
{
        RecordProcIo io;

        assert(r);
        assert(c);

        if (is_main && (atomic_load(&r->flags) & RECORD_FLAG_REAPED))
                return;
        add_rusage(&r->rusage, &c->rusage);
        if (proc_io(proc_fd, c->info.si_pid, &io) >= 0)
                add_io(&r->io, &io);
        if (!is_main)
                return;

        r->ended_realtime_usec = account_now(CLOCK_REALTIME);
        r->ended_boottime_usec = account_now(CLOCK_BOOTTIME);
        if (r->exit_kind != RECORD_EXIT_EXEC_FAILED) {
                r->exit_kind = c->info.si_code == CLD_EXITED   ? RECORD_EXIT_EXITED
                               : c->info.si_code == CLD_DUMPED ? RECORD_EXIT_DUMPED
                                                               : RECORD_EXIT_KILLED;
                r->exit_value = c->info.si_status;
        }
        record_set_flag(r, RECORD_FLAG_REAPED);
}

void account_reap(const Corpse *c)
{
        siginfo_t info;

        assert(c);

        while (waitid(P_PID, (id_t)c->info.si_pid, &info, WEXITED) < 0 && errno == EINTR)
                ;
}
