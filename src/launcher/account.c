/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* waitid() with WNOWAIT gives status and rusage of a zombie and leaves it; /proc/PID/io is readable as long. Each
 * zombie's figures hold its own use and that of the children that it waited for, so the sum over all that a
 * subreaper collects is what the whole family used, daemons included, and nothing of the collector itself.
 *
 * The counter files are read when the last process is reaped; yet on kernels before 6.12 the last slice of its run may
 * be booked a moment later (measured on 6.1: up to 20 ms). There the counters that move are read again, after a pause,
 * until two reads agree. On later ones, what is read after the last process was reaped is final (0 of 300 moved), and
 * one read is enough. Files of controllers that the leaf does not have are not even looked for. */

#include "launcher/account.h"

#include <errno.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "basic/fd.h"
#include "common/cgroup/cgroup.h"
#include "common/clock.h"
#include "common/proc/proc.h"

#define READS_MAX 6

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

static bool exists_here(uint32_t controllers, const CgroupFile *f)
{
        return f->controller < 0 || (controllers & (UINT32_C(1) << f->controller));
}

static void read_file(Record *r, int leaf_fd, const char *name)
{
        static char text[RECORD_FILES_SIZE];

        ssize_t n = fd_read_file_at(leaf_fd, name, text, sizeof(text));
        if (n >= 0)
                (void)record_add_file(r, name, text, (size_t)n);
        else if (n == -E2BIG)
                record_set_flag(r, RECORD_FLAG_TRUNCATED);
}

static void read_files(Record *r, int leaf_fd, uint32_t controllers)
{
        record_clear_files(r);
        for (size_t i = 0; i < n_cgroup_files; i++)
                if (exists_here(controllers, cgroup_files + i))
                        read_file(r, leaf_fd, cgroup_files[i].name);
        /* The quota is the scope's, and so is the count of how often it was reached. */
        if (r->backend == RECORD_BACKEND_SCOPE && (controllers & (UINT32_C(1) << CGROUP_CPU)))
                read_file(r, leaf_fd, "../cpu.stat");
}

/* Is what the record holds of this file still what the file says? */
static bool agrees(const Record *r, int leaf_fd, const char *file)
{
        static char text[RECORD_FILES_SIZE];
        const char *name, *stored;
        size_t cursor = 0, name_length, length;

        while (record_next_file(r, &cursor, &name, &name_length, &stored, &length) > 0) {
                if (name_length != strlen(file) || memcmp(name, file, name_length) != 0)
                        continue;
                ssize_t n = fd_read_file_at(leaf_fd, file, text, sizeof(text));
                return n < 0 || ((size_t)n == length && memcmp(text, stored, length) == 0);
        }
        return true;
}

void account_read_files(Record *r, int leaf_fd, uint32_t controllers, usec_t settle_usec)
{
        struct timespec pause = usec_to_timespec(settle_usec);

        assert(r);

        /* What was read before the leaf went is all that can be known. */
        if (faccessat(leaf_fd, "cgroup.events", F_OK, 0) < 0)
                return;
        for (unsigned i = 0; i < READS_MAX; i++) {
                read_files(r, leaf_fd, controllers);
                if (settle_usec == 0)
                        return;
                nanosleep(&pause, NULL);
                if (agrees(r, leaf_fd, "cpu.stat") && agrees(r, leaf_fd, "io.stat"))
                        return;
        }
}
