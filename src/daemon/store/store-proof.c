/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Questions about the immutable log: its entries, and proofs from its tiles.
 *
 * A pattern that few actions match reads many rows for one that it finds. A question is answered in slices of SLICE rows, and
 * goes to the end of the readers' queue after each, so that others wait for one slice and not for ten million rows. The
 * entries of one task have an index and need no slices.
 *
 * A proof reads a dozen tiles, and of the entries only those that are in no full tile. */

#include <errno.h>
#include <string.h>

#include "daemon/store/store-internal.h"

#define SLICE 20000 /* some 10 ms */

static void entry_done(StoreLogEntry *e)
{
        free((char *)e->values.action);
        free((char *)e->values.task_id);
        free((char *)e->values.subsystem);
        free((char *)e->values.detail);
        *e = (StoreLogEntry){ 0 };
}

static int dup_text(const char **text)
{
        if (!*text)
                return 0;
        *text = strdup(*text);
        return *text ? 0 : -ENOMEM;
}

/* A copy of the current row that lives on. */
static int read_entry(sqlite3_stmt *st, StoreLogEntry *ret)
{
        int r = store_log_read_entry(st, &ret->values);
        if (r < 0)
                return r;
        ret->entry = (uint64_t)sqlite3_column_int64(st, LOG_COLUMN_ENTRY);
        /* Each is ours or NULL from here on, whichever fails. */
        r |= dup_text(&ret->values.action);
        r |= dup_text(&ret->values.task_id);
        r |= dup_text(&ret->values.subsystem);
        r |= dup_text(&ret->values.detail);
        if (r < 0)
                entry_done(ret);
        return r < 0 ? -ENOMEM : 0;
}

/* ---- entries ---- */

typedef struct LogJob {
        StoreJob job;
        store_log_t callback;
        void *userdata;
        StoreLogFilter filter;
        char *task_id, *action;
        StoreLogEntry *entries;
        size_t n, room;
        size_t bytes;
} LogJob;

static bool is_full(const LogJob *j)
{
        return j->n >= j->filter.limit || j->bytes >= STORE_LIST_BYTES;
}

static int collect(LogJob *j, sqlite3_stmt *st, int *ret_rc)
{
        int r = 0;

        while (r >= 0 && !is_full(j) && (*ret_rc = sqlite3_step(st)) == SQLITE_ROW) {
                r = store_grow((void **)&j->entries, &j->room, j->n, sizeof(*j->entries));
                if (r >= 0)
                        r = read_entry(st, j->entries + j->n);
                if (r >= 0)
                        j->bytes += log_entry_size(&j->entries[j->n++].values);
        }
        return r;
}

static int run_oldest_first(LogJob *j, StoreDb *db)
{
        int rc = SQLITE_DONE;

        sqlite3_stmt *st = store_db_statement(db, STORE_SQL_LOG_ENTRIES);
        if (!st)
                return store_no_statement(&j->job, db);
        sqlite3_bind_int64(st, 1, (int64_t)j->filter.from);
        sqlite3_bind_int64(st, 2, j->filter.limit);
        int r = collect(j, st, &rc);
        return store_end_of_rows(&j->job, db, STORE_SQL_LOG_ENTRIES, is_full(j) ? SQLITE_DONE : rc, r);
}

/* Where the log ends; a cursor beyond would make empty slices. */
static int clamp_to_end(LogJob *j, StoreDb *db)
{
        sqlite3_stmt *st = store_db_statement(db, STORE_SQL_LOG_SIZE);
        if (!st)
                return store_no_statement(&j->job, db);
        if (sqlite3_step(st) == SQLITE_ROW)
                j->filter.before = MIN(j->filter.before, (uint64_t)sqlite3_column_int64(st, 0));
        store_db_reset(db, STORE_SQL_LOG_SIZE);
        return 0;
}

/* One slice, newest first. 1: there are more. */
static int run_slice(LogJob *j, StoreDb *db)
{
        StoreStatement which = j->task_id ? STORE_SQL_LOG_OF_TASK : STORE_SQL_LOG_NEWEST;
        uint64_t lowest = j->filter.from;
        int rc = SQLITE_DONE;

        if (!j->task_id && j->filter.before > lowest + SLICE)
                lowest = j->filter.before - SLICE;
        sqlite3_stmt *st = store_db_statement(db, which);
        if (!st)
                return store_no_statement(&j->job, db);
        sqlite3_bind_int64(st, 1, (int64_t)j->filter.before);
        sqlite3_bind_int64(st, 2, (int64_t)lowest);
        sqlite3_bind_int64(st, 3, (int64_t)(j->filter.limit - j->n));
        if (j->action)
                sqlite3_bind_text(st, 4, j->action, -1, SQLITE_STATIC);
        if (j->task_id)
                sqlite3_bind_text(st, 5, j->task_id, -1, SQLITE_STATIC);
        int r = collect(j, st, &rc);
        r = store_end_of_rows(&j->job, db, which, is_full(j) ? SQLITE_DONE : rc, r);
        j->filter.before = lowest;
        return r >= 0 && !is_full(j) && lowest > j->filter.from ? 1 : r;
}

static int run_log(StoreJob *job, StoreDb *db)
{
        LogJob *j = container_of(job, LogJob, job);

        if (j->filter.oldest_first)
                return run_oldest_first(j, db);
        int r = clamp_to_end(j, db);
        return r < 0 ? r : run_slice(j, db);
}

static void finish_log(StoreJob *job, bool call)
{
        LogJob *j = container_of(job, LogJob, job);
        bool failed = job->result < 0;

        if (call)
                j->callback(failed ? &job->error : NULL, failed ? NULL : j->entries, failed ? 0 : j->n,
                            j->userdata);
        for (size_t i = 0; i < j->n; i++)
                entry_done(j->entries + i);
        free(j->entries);
        free(j->task_id);
        free(j->action);
        free(j);
}

int store_log(Store *s, const StoreLogFilter *filter, store_log_t callback, void *userdata)
{
        assert(s);
        assert(filter);
        assert(callback);

        LogJob *j = NEW0(LogJob, 1);
        if (!j)
                return -ENOMEM;
        j->job = (StoreJob){ .store = s, .is_query = true, .run = run_log, .finish = finish_log };
        j->callback = callback;
        j->userdata = userdata;
        j->filter = *filter;
        j->filter.before = MIN(filter->before, (uint64_t)INT64_MAX);
        j->filter.from = MIN(filter->from, (uint64_t)INT64_MAX);
        if (j->filter.limit == 0 || j->filter.limit > STORE_LIST_MAX)
                j->filter.limit = STORE_LIST_MAX;
        j->task_id = filter->task_id ? strdup(filter->task_id) : NULL;
        j->action = filter->action ? strdup(filter->action) : NULL;
        if ((filter->task_id && !j->task_id) || (filter->action && !j->action)) {
                finish_log(&j->job, false);
                return -ENOMEM;
        }
        return store_queue_or_free(s, &j->job);
}

/* ---- proofs ---- */

typedef struct ProofJob {
        StoreJob job;
        store_proof_t callback;
        void *userdata;
        bool growth;
        uint64_t from; /* the entry, or the old size */
        StoreProof proof;
        char *note;
        TlogReader reader;
} ProofJob;

static int refuse(ProofJob *j, ReeveErrorCode code, const char *field, const char *text)
{
        return reeve_error_set(&j->job.error, code, field, "%s", text);
}

/* The checkpoint that the proof leads to: the first that covers `size` entries, or the last. 0: there is none. */
static int read_checkpoint(ProofJob *j, StoreDb *db, StoreStatement which, uint64_t size)
{
        int found = 0;

        sqlite3_stmt *st = store_db_statement(db, which);
        if (!st)
                return store_no_statement(&j->job, db);
        if (which == STORE_SQL_LOG_CHECKPOINT_OF)
                sqlite3_bind_int64(st, 1, (int64_t)size);
        int rc = sqlite3_step(st);
        if (rc == SQLITE_ROW) {
                const char *note = (const char *)sqlite3_column_text(st, 1);

                j->proof.size = (uint64_t)sqlite3_column_int64(st, 0);
                j->note = note ? strdup(note) : NULL;
                j->proof.note = j->note;
                found = j->note ? 1 : -ENOMEM;
        }
        int r = store_end_of_rows(&j->job, db, which, rc == SQLITE_ROW ? SQLITE_DONE : rc, found);
        return r < 0 ? r : found;
}

static int find_entry(ProofJob *j, StoreDb *db)
{
        int r = 0;

        sqlite3_stmt *st = store_db_statement(db, STORE_SQL_LOG_ENTRIES);
        if (!st)
                return store_no_statement(&j->job, db);
        sqlite3_bind_int64(st, 1, (int64_t)j->from);
        sqlite3_bind_int64(st, 2, 1);
        int rc = sqlite3_step(st);
        bool found = rc == SQLITE_ROW && sqlite3_column_int64(st, LOG_COLUMN_ENTRY) == (int64_t)j->from;
        if (found)
                r = read_entry(st, &j->proof.entry);
        r = store_end_of_rows(&j->job, db, STORE_SQL_LOG_ENTRIES, rc == SQLITE_ROW ? SQLITE_DONE : rc, r);
        if (r >= 0 && !found)
                return refuse(j, REEVE_ERROR_INVALID_ARGUMENT, "entry", "the log has no such entry");
        return r;
}

static int prove_entry(ProofJob *j, StoreDb *db)
{
        int r = find_entry(j, db);
        if (r < 0)
                return r;
        r = read_checkpoint(j, db, STORE_SQL_LOG_CHECKPOINT_OF, j->from + 1);
        if (r < 0)
                return r;
        if (r == 0)
                return refuse(j, REEVE_ERROR_UNAVAILABLE, "entry", "no checkpoint covers this entry yet");
        return tlog_prove_inclusion(&j->reader, j->from, j->proof.size, j->proof.hashes, &j->proof.n);
}

static int prove_growth(ProofJob *j, StoreDb *db)
{
        int r = read_checkpoint(j, db, STORE_SQL_LAST_LOG_CHECKPOINT, 0);
        if (r < 0)
                return r;
        if (r == 0)
                return refuse(j, REEVE_ERROR_UNAVAILABLE, "size", "there is no checkpoint yet");
        if (j->from > j->proof.size)
                return refuse(j, REEVE_ERROR_INVALID_ARGUMENT, "size",
                              "the last checkpoint covers fewer entries");
        return tlog_prove_consistency(&j->reader, j->from, j->proof.size, j->proof.hashes, &j->proof.n);
}

static int run_proof(StoreJob *job, StoreDb *db)
{
        ProofJob *j = container_of(job, ProofJob, job);

        tlog_reader_init(&j->reader, store_log_read_tile, db);
        int r = j->growth ? prove_growth(j, db) : prove_entry(j, db);
        if (r < 0 && job->error.code == REEVE_ERROR_NONE)
                reeve_error_errno(&job->error, r, "immutable_log", "the tree of the log cannot be read");
        return r;
}

static void finish_proof(StoreJob *job, bool call)
{
        ProofJob *j = container_of(job, ProofJob, job);
        bool failed = job->result < 0;

        if (call)
                j->callback(failed ? &job->error : NULL, failed ? NULL : &j->proof, j->userdata);
        entry_done(&j->proof.entry);
        free(j->note);
        free(j);
}

static int queue_proof(Store *s, bool growth, uint64_t from, store_proof_t callback, void *userdata)
{
        assert(s);
        assert(callback);

        ProofJob *j = NEW0(ProofJob, 1);
        if (!j)
                return -ENOMEM;
        j->job = (StoreJob){ .store = s, .is_query = true, .run = run_proof, .finish = finish_proof };
        j->callback = callback;
        j->userdata = userdata;
        j->growth = growth;
        j->from = MIN(from, (uint64_t)INT64_MAX - 1);
        return store_queue_or_free(s, &j->job);
}

int store_prove_entry(Store *s, uint64_t entry, store_proof_t callback, void *userdata)
{
        return queue_proof(s, false, entry, callback, userdata);
}

int store_prove_growth(Store *s, uint64_t old_size, store_proof_t callback, void *userdata)
{
        return queue_proof(s, true, old_size, callback, userdata);
}
