/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* The database: one writer thread with the only writing connection, two reader threads with read-only ones.
 *
 * The loop thread never touches the disk. It collects what belongs together in a StoreWrite and submits it; the writer
 * takes everything that is waiting, runs it in one transaction and commits once (group commit); then the callbacks run on
 * the loop thread, in the order of submission. An answer that promises durability is sent from that callback. Each
 * StoreWrite is all or nothing: one that fails (a constraint) is rolled back to its savepoint and does not hinder its
 * neighbours. When the disk is full, the whole batch is kept and tried again once a second (writes marked
 * STORE_WRITE_REFUSABLE fail at once with Unavailable, overtaking, so that new work is refused while records wait).
 *
 * All functions are for the loop thread, unless they say otherwise. */

#include <stdbool.h>
#include <systemd/sd-event.h>

#include "basic/error.h"
#include "common/clock.h"
#include "common/tlog/checkpoint.h"
#include "common/tlog/log-entry.h"
#include "daemon/model/task-row.h"

typedef struct Store Store;
typedef struct StoreWrite StoreWrite;

typedef struct StoreConfig {
        const char *path;            /* database file, created if absent */
        const char *backup_dir;      /* daily copies; NULL: none */
        usec_t backup_interval_usec; /* 0: no periodic backup */
        unsigned backups_kept;       /* of the daily copies; 0: three */
        const Clock *clock;          /* names the daily copies; NULL: the system's */
        const char *log_key; /* file of the key that signs the immutable log, made if absent; NULL: it is not signed */
        const char *log_origin; /* name of the log, for a new key */
        sd_event *event; /* callbacks run here; NULL: no threads, only the store_*_sync functions (tools, tests) */
} StoreConfig;

/* Opens (WAL, synchronous=FULL), checks (quick_check; a corrupt file or one of a newer version is refused and left as it
 * is), migrates by user_version, takes an exclusive flock on "<path>.lock", and starts the threads. */
int store_open(const StoreConfig *config, Store **ret, ReeveError *reterr);

/* Finishes what was submitted (without running callbacks), stops the threads, checkpoints, closes. Not to be called from
 * a callback of the store. On a full disk, what waits is tried once more and then dropped. Accepts NULL, returns it. */
Store *store_close(Store *s);
DEFINE_CLEANUP_FUNC(Store *, store_close)

/* ---- writing ---- */

/* error is NULL on success (code NONE never comes). `last_event` is the number of the last event that this write
 * inserted, 0 if none. Borrowed for the call. */
typedef void (*store_written_t)(const ReeveError *error, int64_t last_event, void *userdata);

#define STORE_WRITE_REFUSABLE (1U << 0)
/* Nobody waits for it: it may lie for STORE_LINGER_USEC until another write comes whose commit it can share. A
 * write that is not lazy never waits, and takes all that lie before it along. Not together with REFUSABLE. */
#define STORE_WRITE_LAZY  (1U << 1)
#define STORE_LINGER_USEC (10 * USEC_PER_MSEC)

/* NULL when memory is short. The callback may be NULL. */
StoreWrite *store_write_new(Store *s, unsigned flags, store_written_t callback, void *userdata);
StoreWrite *store_write_free(StoreWrite *w); /* one that was not submitted */
DEFINE_CLEANUP_FUNC(StoreWrite *, store_write_free)

/* Each adds a statement; rows are copied. An existing task_id is AlreadyExists. */
int store_write_insert_task(StoreWrite *w, const TaskRow *t);
/* All columns that can change after creation. */
int store_write_update_task(StoreWrite *w, const TaskRow *t);
/* The specification and its ticket, kept until the task has ended (it holds the environment). */
int store_write_spec(StoreWrite *w, const char *task_id, const void *spec, size_t spec_size,
                     const void *ticket, size_t ticket_size);
int store_write_erase_spec(StoreWrite *w, const char *task_id);
/* What is in force for tasks (JSON), under its hash; does nothing if it is there. */
int store_write_policy(StoreWrite *w, const char *hash, const char *policy);
/* Insert or replace by (task_id, attempt). */
int store_write_attempt(StoreWrite *w, const AttemptRow *a);
int store_write_snapshot(StoreWrite *w, const char *task_id, const SnapshotRow *s);
/* A point of a series; a second one with that step replaces it. */
int store_write_metric(StoreWrite *w, const char *task_id, int64_t step, const char *name, double value);
/* The first result for a rule of an attempt stays. */
int store_write_verification(StoreWrite *w, const VerificationRow *v);
/* Numbered by the database. `number` of the row is ignored. */
int store_write_event(StoreWrite *w, const EventRow *e);

/* Hands the write over, also on failure (then the callback is not called). LimitExceeded-like -ENOBUFS when more than
 * STORE_QUEUE_MAX writes wait. */
#define STORE_QUEUE_MAX 100000
int store_write_submit(StoreWrite *w);

/* ---- the immutable log: every event but task.updated is an entry too ---- */

/* Signs the log as it is after everything that was submitted before, and keeps the checkpoint. `note` is borrowed; NULL if
 * there is an error. Unavailable: there is no key. */
typedef void (*store_signed_t)(const ReeveError *error, const char *note, void *userdata);
int store_sign_log(Store *s, store_signed_t callback, void *userdata);
/* The key of its checkpoints; NULL: none. */
const CheckpointKey *store_log_key(const Store *s);

/* ---- reading, on a reader thread ---- */

typedef struct StoreFilter {
        uint32_t status_mask;                           /* bit per TaskState; 0: any */
        const char *subsystem, *task_type, *created_by; /* NULL: any */
        int64_t owner_uid;                              /* -1: any */
        usec_t since, until;                            /* created in [since, until); 0: any */
        int64_t before_seq; /* cursor: only older than this; 0: from the newest */
        unsigned limit;     /* at most STORE_LIST_MAX */
} StoreFilter;
#define STORE_LIST_MAX 1000
/* A list ends early with the row whose JSON makes this full: one reply holds a page (varlink's messages end at 4 MiB),
 * and a page does not fill the memory. Whoever has less than `limit` rows must see whether that is why. */
#define STORE_LIST_BYTES (3U * 1024 * 1024)

/* Result callbacks own nothing: rows are freed after they return. On error, rows is NULL and n 0. */
typedef void (*store_tasks_t)(const ReeveError *error, TaskRow **rows, size_t n, void *userdata);
typedef void (*store_snapshots_t)(const ReeveError *error, const SnapshotRow *rows, size_t n,
                                  void *userdata);
typedef void (*store_events_t)(const ReeveError *error, const EventRow *rows, size_t n, void *userdata);

/* The filter is copied. Newest first. */
int store_list(Store *s, const StoreFilter *filter, store_tasks_t callback, void *userdata);
/* n is 0 if there is no such task. */
int store_get(Store *s, const char *task_id, store_tasks_t callback, void *userdata);
/* The newest `limit` (at most STORE_LIST_MAX; 0: that many), in the order in which they were taken. */
int store_snapshots(Store *s, const char *task_id, unsigned limit, store_snapshots_t callback,
                    void *userdata);
/* Which events; a text that is NULL does not restrict. */
typedef struct StoreEventFilter {
        int64_t after;       /* numbers greater than this */
        const char *task_id; /* then `subsystem` is not looked at */
        const char *subsystem;
        unsigned limit; /* STORE_LIST_MAX at most; 0: that many */
} StoreEventFilter;

/* The filter is copied. Oldest first. */
int store_events(Store *s, const StoreEventFilter *filter, store_events_t callback, void *userdata);

/* All of a task, in order of attempt and rule; borrowed for the call. */
typedef void (*store_verifications_t)(const ReeveError *error, const VerificationRow *rows, size_t n,
                                      void *userdata);
int store_verifications(Store *s, const char *task_id, store_verifications_t callback, void *userdata);

/* An entry of the immutable log; `values` owns its strings. */
typedef struct StoreLogEntry {
        uint64_t entry;
        LogEntry values;
} StoreLogEntry;

typedef struct StoreLogFilter {
        const char *task_id; /* NULL: any */
        const char *action;  /* a glob pattern, "task_*"; NULL: any */
        uint64_t before;     /* cursor: only entries below; UINT64_MAX: from the newest */
        uint64_t from;       /* only from this one on */
        bool oldest_first;   /* then `before` is the end, and nothing else filters */
        unsigned limit;      /* at most STORE_LIST_MAX; 0: that many */
} StoreLogFilter;
typedef void (*store_log_t)(const ReeveError *error, const StoreLogEntry *entries, size_t n, void *userdata);
/* The filter is copied. Newest first, unless it says otherwise. */
int store_log(Store *s, const StoreLogFilter *filter, store_log_t callback, void *userdata);

/* What shows that an entry is in the log, or that a log begins with an older one. */
typedef struct StoreProof {
        StoreLogEntry entry; /* inclusion only */
        const char *note; /* the checkpoint of `size` entries that the proof leads to; NULL: there is none of that size */
        uint64_t size;
        TlogHash hashes[TLOG_PROOF_MAX];
        size_t n;
} StoreProof;
typedef void (*store_proof_t)(const ReeveError *error, const StoreProof *proof, void *userdata);
/* Leads to the first checkpoint that covers the entry. InvalidArgument "entry": there is no such entry; Unavailable: no checkpoint
 * covers it yet (store_sign_log() makes one). */
int store_prove_entry(Store *s, uint64_t entry, store_proof_t callback, void *userdata);
/* From the log of `old_size` entries to the last checkpoint. InvalidArgument "size": the log was never that long. */
int store_prove_growth(Store *s, uint64_t old_size, store_proof_t callback, void *userdata);

/* What store_write_spec() stored; NULL if it was erased. Borrowed for the call. */
typedef struct StoreSpec {
        const void *spec, *ticket;
        size_t spec_size, ticket_size;
} StoreSpec;
typedef void (*store_spec_t)(const ReeveError *error, const StoreSpec *spec, void *userdata);
int store_spec(Store *s, const char *task_id, store_spec_t callback, void *userdata);

/* The 95th percentile of the durations of the newest STORE_DURATIONS_MAX completed tasks of a kind; 0: there is none. */
#define STORE_DURATIONS_MAX 1000
typedef void (*store_p95_t)(const ReeveError *error, usec_t p95_usec, void *userdata);
int store_p95(Store *s, const char *subsystem, const char *task_type, store_p95_t callback, void *userdata);
/* Their median, likewise. */
int store_median(Store *s, const char *subsystem, const char *task_type, store_p95_t callback,
                 void *userdata);

typedef struct StoreCounts {
        int64_t by_status[_TASK_STATE_MAX];
        struct StoreSubsystemCounts {
                char name[TASK_NAME_MAX + 1];
                int64_t by_status[_TASK_STATE_MAX];
        } * subsystems;
        size_t n_subsystems;
        int64_t database_bytes, wal_bytes;
} StoreCounts;
typedef void (*store_counts_t)(const ReeveError *error, const StoreCounts *counts, void *userdata);
/* From counters that triggers maintain, not by counting rows. */
int store_counts(Store *s, store_counts_t callback, void *userdata);

/* Online copy by the writer, in steps between batches, to a new file (it must not exist; written as "<path>.part" and
 * renamed). path is absolute; NULL: a copy without a name, made in the folder of the daily ones. */
typedef struct StoreCopy {
        const char *path; /* NULL: it has no name */
        int fd;           /* of a copy without a name: the callback may take it; else -EBADF */
        int64_t bytes;
} StoreCopy;
/* `copy` is NULL if there is an error. */
typedef void (*store_backup_t)(const ReeveError *error, StoreCopy *copy, void *userdata);
int store_backup(Store *s, const char *path, store_backup_t callback, void *userdata);

/* What was in force for a task. NoSuchTask; hash and policy are NULL if it has none. Borrowed for the call. */
typedef void (*store_policy_t)(const ReeveError *error, const char *hash, const char *policy,
                               void *userdata);
int store_policy(Store *s, const char *task_id, store_policy_t callback, void *userdata);

/* Runs any function on a reader thread, then `done` on the loop thread with its result: for files that must not be
 * read on the loop thread (output). */
typedef int (*store_work_t)(void *userdata);
typedef void (*store_work_done_t)(int result, void *userdata);
int store_work(Store *s, store_work_t work, store_work_done_t done, void *userdata);

/* ---- at start, before the loop runs: synchronous ---- */

typedef struct StoreOpenTask {
        TaskRow *row;
        void *spec; /* NULL if erased */
        size_t spec_size;
        void *ticket;
        size_t ticket_size;
        char *policy; /* NULL: it has none */
} StoreOpenTask;

/* Every task that has not ended; `usage` of one that runs is that of its last snapshot. The array and everything in it is the caller's: store_open_tasks_free(). */
int store_load_open_tasks(Store *s, StoreOpenTask **ret, size_t *ret_n, ReeveError *reterr);
void store_open_tasks_free(StoreOpenTask *tasks, size_t n);

/* The highest event number, 0 for none. */
int store_last_event(Store *s, int64_t *ret);

/* ---- figures ---- */
typedef struct StoreFigures {
        uint64_t commits; /* transactions */
        uint64_t writes;  /* StoreWrites in them */
        uint64_t rows;    /* rows inserted or updated */
        uint64_t queued;  /* StoreWrites waiting now */
        bool disk_full;   /* the last batch is being tried again */
} StoreFigures;
void store_figures(const Store *s, StoreFigures *ret);
