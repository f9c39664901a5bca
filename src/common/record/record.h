/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* The record of one attempt: /run/reeve/tasks/<task>.<attempt>.
 *
 * One preallocated file, shared by mmap, in which everything about an attempt happens. The launcher creates it
 * and removes it; launcher, task (until it executes) and keeper write it; reeved only reads. All three survive
 * each other, so the page is the protocol:
 *
 *     claimed   the attempt is taken; nothing ran                     written by the launcher
 *     started   pid and start time are in; exec may follow            written by the child before it may exec
 *     ended     everything is in                                      written by the keeper (or launcher)
 *
 * The writer of a phase fills the fields of that phase first and stores `phase` last, with release order; a reader
 * loads it first, with acquire order, and may then read the fields of that phase and of those before it.
 *
 * A write lock (F_OFD_SETLK, the whole file) is held on one open file description that launcher, keeper and (until
 * exec) child share. Lock free and `claimed`: it provably never ran. Lock free and `started`: the keeper died;
 * somebody must adopt the task. It is no flock(2), because that can be tested only by taking it: reeved, looking
 * whether a keeper lives, would for a moment make an adopting launcher believe that one does.
 *
 * Closing the last descriptor raises IN_CLOSE_WRITE in the directory: the keeper's exit is the event that reeved
 * waits for. The layout is fixed for a version; a reader refuses any other. */

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/resource.h>
#include <sys/types.h>

#include "basic/error.h"
#include "basic/time.h"
#include "common/task-id.h"

#define RECORD_MAGIC      "reevrec" /* and its NUL: 8 bytes */
#define RECORD_VERSION    1
#define RECORD_SIZE       16384
#define RECORD_FILES_SIZE (RECORD_SIZE - 2048)

typedef enum RecordPhase {
        RECORD_NEW, /* being created: as good as not there */
        RECORD_CLAIMED,
        RECORD_STARTED,
        RECORD_ENDED,
        _RECORD_PHASE_MAX,
} RecordPhase;

typedef enum RecordBackend {
        RECORD_BACKEND_CGROUP,
        RECORD_BACKEND_SCOPE,
        RECORD_BACKEND_PROCESS,
        _RECORD_BACKEND_MAX,
} RecordBackend;

/* How the main process ended. */
typedef enum RecordExit {
        RECORD_EXIT_NONE,
        RECORD_EXIT_EXITED,      /* exit_value is the exit status */
        RECORD_EXIT_KILLED,      /* exit_value is the signal */
        RECORD_EXIT_DUMPED,      /* exit_value is the signal */
        RECORD_EXIT_EXEC_FAILED, /* exit_value is the errno, exec_path what could not be executed or entered */
        RECORD_EXIT_UNKNOWN,     /* nobody saw it; the counters are complete all the same */
        _RECORD_EXIT_MAX,
} RecordExit;

/* Flags of the end, ORed. */
#define RECORD_FLAG_BACKSTOP  (UINT32_C(1) << 0) /* the keeper enforced the deadline */
#define RECORD_FLAG_LEFTOVERS (UINT32_C(1) << 1) /* processes were left when the main process ended */
#define RECORD_FLAG_KILLED    (UINT32_C(1) << 2) /* cgroup.kill was needed to end them */
#define RECORD_FLAG_ADOPTED   (UINT32_C(1) << 3) /* completed by an adopting keeper */
#define RECORD_FLAG_TRUNCATED (UINT32_C(1) << 4) /* a counter file did not fit */
#define RECORD_FLAG_PUNCHED   (UINT32_C(1) << 5) /* the middle of the output was dropped */
#define RECORD_FLAG_REAPED    (UINT32_C(1) << 6) /* status and rusage of the main process are in */
#define RECORD_FLAG_ATTACHED \
        (UINT32_C(1) << 7) /* the main process ran before; task_pid and task_start are in when claimed */
#define RECORD_FLAG_CHILDREN (UINT32_C(1) << 8) /* what is below it is attached, too */
#define RECORD_FLAG_MOVED    (UINT32_C(1) << 9) /* it was moved into the leaf: it is not done again */

/* Bits of ladder_bits: first those of the ladder to the deadline, then of what is done about a task that is stuck. */
#define RECORD_LADDER_STEPS_MAX 16
#define RECORD_STEPS_MAX        32

typedef struct RecordRusage {
        uint64_t user_usec, system_usec;
        uint64_t max_rss_bytes; /* largest single process */
        uint64_t minor_faults, major_faults;
        uint64_t in_blocks, out_blocks; /* of 512 bytes */
        uint64_t voluntary_switches, involuntary_switches;
} RecordRusage;

/* /proc/PID/io */
typedef struct RecordProcIo {
        uint64_t valid; /* 1 if the rest is */
        uint64_t rchar, wchar, syscr, syscw;
        uint64_t read_bytes, write_bytes, cancelled_write_bytes;
} RecordProcIo;

typedef struct Record {
        char magic[8];
        uint32_t version;
        uint32_t size; /* of the file */

        _Atomic uint32_t phase; /* RecordPhase */
        _Atomic uint32_t flags; /* RECORD_FLAG_* */

        /* claimed */
        char task_id[TASK_ID_MAX + 8];
        uint32_t attempt;
        uint32_t backend;
        uint32_t author_uid; /* who wrote the specification */
        uint32_t run_uid, run_gid;
        _Atomic uint32_t
                        net_map_id; /* NetRef; 0: network traffic is not counted, or no longer from the start on */
        uint8_t boot_id[16];
        uint8_t serial[16]; /* of the ticket */
        char cgroup[512];   /* leaf, relative to the cgroup2 mount; "" without one */
        uint64_t cgroup_id; /* inode number of the leaf; 0 without one */
        uint64_t claimed_realtime_usec, claimed_boottime_usec;
        uint64_t grace_usec;       /* between TERM and KILL for what is left */
        uint64_t output_cap_bytes; /* 0: no cap */

        /* may change at any time until the end; written by the launcher */
        _Atomic uint64_t deadline_boottime_usec; /* backstop; UINT64_MAX: none */
        _Atomic uint32_t ladder_bits;            /* bit n: step n of the ladder has begun */
        /* A counter that is a futex: increased and woken when deadline_boottime_usec or flags change. */
        _Atomic uint32_t wake;

        /* started */
        int32_t keeper_pid;
        int32_t task_pid;
        uint64_t keeper_start, task_start; /* field 22 of /proc/PID/stat, clock ticks after boot */
        uint64_t started_realtime_usec, started_boottime_usec;

        /* ended */
        uint32_t exit_kind; /* RecordExit */
        int32_t exit_value;
        char exec_path[256];
        uint64_t ended_realtime_usec, ended_boottime_usec; /* of the main process */
        uint64_t done_realtime_usec;                       /* account taken */
        RecordRusage rusage; /* of everything the keeper reaped; of the main process alone when adopted */
        RecordProcIo io;     /* likewise */
        uint32_t files_length;
        uint32_t adoptions; /* keepers that took over after one that was killed; launcher */
        uint64_t adopted_boottime_usec;
        uint64_t net_missed; /* claimed; NetRef */

        /* What the processes of an attached task had used when they were moved: not the task's, by the keeper. */
        uint64_t before_user_usec, before_system_usec;
        RecordProcIo before_io;

        /* At RECORD_SIZE - RECORD_FILES_SIZE: the final counter files verbatim. Each: u16 length of name, u16
         * length of text (host order), name, text; neither has a NUL. */
} Record;

static_assert(sizeof(Record) <= RECORD_SIZE - RECORD_FILES_SIZE, "the header has a fixed room");

/* ---- writers ---- */

/* Creates <dir_fd>/<task>.<attempt> exclusively, mode 0640 and group of the directory whatever the umask is,
 * preallocates it (ENOSPC shows here, never later), takes the lock and maps it writable with phase NEW and magic,
 * version, size, task_id, attempt filled in. The caller fills the claimed fields and calls record_set_phase();
 * *ret_fd holds the lock. -EEXIST if there is one; after any other error no file is left. Unmap with
 * record_unmap(). */
int record_create(int dir_fd, const char *task_id, unsigned attempt, Record **ret, int *ret_fd);

/* Opens an existing record for writing and tries the lock. 1: opened and locked by us; 0: somebody lives and holds
 * it (*ret and *ret_fd untouched); negative errno otherwise: -EBADMSG for anything that is not a sound record,
 * -EAGAIN for one that is still NEW, whose creator died before the claim (remove it). */
int record_adopt(int dir_fd, const char *name, Record **ret, int *ret_fd);

/* The functions from here to record_clear_files() are async-signal-safe and allocate nothing: a forked keeper calls
 * them. */

/* Moves to a later phase: release store. Asserts that it is a later one, and that only CLAIMED follows NEW (an exec
 * that fails before the child could say `started` goes from CLAIMED to ENDED). */
void record_set_phase(Record *r, RecordPhase phase);

/* Sets RECORD_FLAG_* bits; none is ever lost to another process that does the same. */
void record_set_flag(Record *r, uint32_t flag);

/* Increments `wake` and wakes the keeper. */
void record_wake(Record *r);

/* Add what one dead process used to the sums of the record. */
void record_add_rusage(Record *r, const struct rusage *ru);
void record_add_io(Record *r, const RecordProcIo *io);
/* The same, less what is in before_io. */
void record_add_io_since(Record *r, const RecordProcIo *io);
/* The same into any sum. */
void record_sum_io(RecordProcIo *sum, const RecordProcIo *io);

/* Appends a counter file; sets RECORD_FLAG_TRUNCATED and returns -ENOSPC if it does not fit (nothing of it is
 * stored then). -EINVAL if the text has a NUL in it. `name` is not empty and at most 255 bytes. */
int record_add_file(Record *r, const char *name, const char *text, size_t n);

/* Discards all counter files, and RECORD_FLAG_TRUNCATED (for reading them again until two reads agree). */
void record_clear_files(Record *r);

/* ---- readers ---- */

/* Maps a record read-only and validates it: magic, version, size, terminated strings, an id that matches `name`,
 * enums in range, files within bounds. -EBADMSG if it is not sound, -ENOENT if there is none, -EAGAIN if it is
 * still NEW (for a moment perhaps -EACCES, until its group is set). Unmap with record_unmap(). What is validated is what the phase at this moment promises: map again to
 * have the fields of a later phase checked. */
int record_map(int dir_fd, const char *name, const Record **ret);

/* As record_map(), writable and without the lock: for the launcher, which sets the deadline of a record that its
 * keeper holds. */
int record_map_writable(int dir_fd, const char *name, Record **ret);

/* Unmaps what create, adopt or map gave; keeps errno. */
void record_unmap(const Record *r);

static inline void record_unmapp(const Record **r)
{
        if (*r)
                record_unmap(*r);
}

/* Acquire load. */
RecordPhase record_phase(const Record *r);

/* Is the lock free? 1 yes, 0 no, negative errno. Opens the file read-only and only asks: nobody's attempt to take
 * the lock fails because of it. */
int record_lock_is_free(int dir_fd, const char *name);

/* Walks the counter files: start with *cursor = 0; 1 and the next file (pointers into the map, not terminated), 0
 * at the end or at the first entry that is not within bounds. */
int record_next_file(const Record *r, size_t *cursor, const char **ret_name, size_t *ret_name_length,
                     const char **ret_text, size_t *ret_text_length);

/* Fuzzing and tests: validates a copy in memory as record_map() does. `data` is aligned as malloc(3) aligns. */
int record_validate(const void *data, size_t size, const char *name);

/* "cgroup", "scope", "process". */
const char *record_backend_name(RecordBackend b);
/* "none", "exited", "killed", "dumped", "exec-failed", "unknown". */
const char *record_exit_name(RecordExit e);
