/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* What happens inside a mapped record: phases, flags, the counter files, names.
 *
 * The writers here run in a forked child of the launcher, with its heap in an unknown state. So they use atomics,
 * memcpy and one futex call, nothing else: no allocation, no stdio, no locks.
 *
 * The counter files stand behind each other from RECORD_SIZE - RECORD_FILES_SIZE on: u16 length of name, u16
 * length of text, name, text, unaligned. `files_length` says how many bytes of the room are used. A reader trusts
 * neither: it takes `files_length` once, caps it at the room, and stops at the first entry that leaves it. A
 * writer's record_clear_files() under a reader's feet can so give it a wrong text, but never a wrong address; a
 * record that has ended does not change.
 *
 * `flags` and `wake` are changed by launcher and keeper at the same time, therefore atomically. */

#include "common/record/record.h"

#include <errno.h>
#include <limits.h>
#include <linux/futex.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "basic/macro.h"

#define FILES_START      (RECORD_SIZE - RECORD_FILES_SIZE)
#define FILE_HEADER_SIZE (2 * sizeof(uint16_t))
#define FILE_NAME_LENGTH 255

void record_set_phase(Record *r, RecordPhase phase)
{
        assert(r);

        uint32_t now = atomic_load_explicit(&r->phase, memory_order_relaxed);
        assert(phase > now && phase < _RECORD_PHASE_MAX);
        assert(now != RECORD_NEW || phase == RECORD_CLAIMED);
        atomic_store_explicit(&r->phase, phase, memory_order_release);
}

RecordPhase record_phase(const Record *r)
{
        assert(r);

        return (RecordPhase)atomic_load_explicit(&r->phase, memory_order_acquire);
}

void record_set_flag(Record *r, uint32_t flag)
{
        assert(r);

        atomic_fetch_or_explicit(&r->flags, flag, memory_order_relaxed);
}

void record_wake(Record *r)
{
        int saved = errno;

        assert(r);

        /* Release: who sees the new count also sees what was changed before it. FUTEX_WAKE without FUTEX_PRIVATE_FLAG,
         * since the waiter is another process. */
        atomic_fetch_add_explicit(&r->wake, 1, memory_order_release);
        syscall(SYS_futex, &r->wake, FUTEX_WAKE, INT_MAX, NULL, NULL, 0);
        errno = saved;
}

void record_add_rusage(Record *r, const struct rusage *ru)
{
        assert(r);
        assert(ru);

        RecordRusage *sum = &r->rusage;

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

void record_sum_io(RecordProcIo *sum, const RecordProcIo *io)
{
        assert(sum);
        assert(io);

        sum->rchar += io->rchar;
        sum->wchar += io->wchar;
        sum->syscr += io->syscr;
        sum->syscw += io->syscw;
        sum->read_bytes += io->read_bytes;
        sum->write_bytes += io->write_bytes;
        sum->cancelled_write_bytes += io->cancelled_write_bytes;
        sum->valid = 1;
}

void record_add_io(Record *r, const RecordProcIo *io)
{
        assert(r);

        record_sum_io(&r->io, io);
}

static uint64_t since(uint64_t now, uint64_t before)
{
        return now > before ? now - before : 0;
}

void record_add_io_since(Record *r, const RecordProcIo *io)
{
        assert(r);
        assert(io);

        const RecordProcIo *before = &r->before_io;
        record_add_io(r, &(RecordProcIo){
                                         .rchar = since(io->rchar, before->rchar),
                                         .wchar = since(io->wchar, before->wchar),
                                         .syscr = since(io->syscr, before->syscr),
                                         .syscw = since(io->syscw, before->syscw),
                                         .read_bytes = since(io->read_bytes, before->read_bytes),
                                         .write_bytes = since(io->write_bytes, before->write_bytes),
                                         .cancelled_write_bytes = since(io->cancelled_write_bytes,
                                                                        before->cancelled_write_bytes),
                         });
}

static char *files(const Record *r)
{
        return (char *)r + FILES_START;
}

int record_add_file(Record *r, const char *name, const char *text, size_t n)
{
        assert(r);
        assert(name);
        assert(text || n == 0);

        size_t name_length = strlen(name);
        assert(name_length > 0 && name_length <= FILE_NAME_LENGTH);
        if (n > 0 && memchr(text, '\0', n))
                return -EINVAL;

        size_t used = MIN(r->files_length, (size_t)RECORD_FILES_SIZE);
        if (n > RECORD_FILES_SIZE || FILE_HEADER_SIZE + name_length + n > RECORD_FILES_SIZE - used) {
                record_set_flag(r, RECORD_FLAG_TRUNCATED);
                return -ENOSPC;
        }

        char *p = files(r) + used;
        const uint16_t lengths[] = { (uint16_t)name_length, (uint16_t)n };
        memcpy(p, lengths, FILE_HEADER_SIZE);
        memcpy(p + FILE_HEADER_SIZE, name, name_length);
        if (n > 0)
                memcpy(p + FILE_HEADER_SIZE + name_length, text, n);
        r->files_length = (uint32_t)(used + FILE_HEADER_SIZE + name_length + n);
        return 0;
}

void record_clear_files(Record *r)
{
        assert(r);

        r->files_length = 0;
        atomic_fetch_and_explicit(&r->flags, ~RECORD_FLAG_TRUNCATED, memory_order_relaxed);
}

int record_next_file(const Record *r, size_t *cursor, const char **ret_name, size_t *ret_name_length,
                     const char **ret_text, size_t *ret_text_length)
{
        uint16_t lengths[2];

        assert(r);
        assert(cursor);
        assert(ret_name && ret_name_length);
        assert(ret_text && ret_text_length);

        /* One load each: a second one might see another value. */
        size_t used = MIN(*(const volatile uint32_t *)&r->files_length, (uint32_t)RECORD_FILES_SIZE);
        if (*cursor > used || used - *cursor < FILE_HEADER_SIZE)
                return 0;
        const char *p = files(r) + *cursor;
        memcpy(lengths, p, FILE_HEADER_SIZE);
        size_t size = FILE_HEADER_SIZE + lengths[0] + lengths[1];
        if (lengths[0] == 0 || size > used - *cursor)
                return 0;

        *ret_name = p + FILE_HEADER_SIZE;
        *ret_name_length = lengths[0];
        *ret_text = p + FILE_HEADER_SIZE + lengths[0];
        *ret_text_length = lengths[1];
        *cursor += size;
        return 1;
}

const char *record_backend_name(RecordBackend b)
{
        static const char *const names[_RECORD_BACKEND_MAX] = {
                [RECORD_BACKEND_CGROUP] = "cgroup",
                [RECORD_BACKEND_SCOPE] = "scope",
                [RECORD_BACKEND_PROCESS] = "process",
        };

        assert(b >= 0 && b < _RECORD_BACKEND_MAX);
        return names[b];
}

const char *record_exit_name(RecordExit e)
{
        static const char *const names[_RECORD_EXIT_MAX] = {
                [RECORD_EXIT_NONE] = "none",
                [RECORD_EXIT_EXITED] = "exited",
                [RECORD_EXIT_KILLED] = "killed",
                [RECORD_EXIT_DUMPED] = "dumped",
                [RECORD_EXIT_EXEC_FAILED] = "exec-failed",
                [RECORD_EXIT_UNKNOWN] = "unknown",
        };

        assert(e >= 0 && e < _RECORD_EXIT_MAX);
        return names[e];
}
