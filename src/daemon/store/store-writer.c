/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The writer thread: the only one that writes to the database and the only one that checkpoints it.
 *
 *     wait -> take what waits -> BEGIN IMMEDIATE, apply each, COMMIT -> hand all back -> checkpoint? -> a backup step?
 *
 * Group commit needs no timer: while one transaction is synced, the next one's writes gather. Only what nobody waits for
 * (lazy writes) lies for some milliseconds, so that it need not have a commit of its own. A batch is bounded by rows
 * and bytes: what waits for a transaction waits for some 5 ms, and while one batch is written the loop thread answers for the
 * one before; with batches as large as all that is under way the two threads would take turns. See BATCH_ROWS.
 *
 * A write that fails by its own fault makes the batch run a second time, with a savepoint around each write.
 *
 * Disk full: the transaction is rolled back. Writes that may be refused are, at once; the others stay, in their order,
 * and are tried again every second, alone in front of whatever waits. While that lasts, new refusable writes are refused
 * on arrival. When the store is closed meanwhile, they get one more chance: what they say is still in the records.
 *
 * Any other failure of the whole transaction (I/O, damage, no memory) fails all its writes: who submitted them decides.
 *
 * Checkpoints: passive ones each CHECKPOINT_PAGES, which wait for nobody. A log that readers keep from being reset grows;
 * beyond RESET_PAGES the writer takes the gate, so that the readers (whose transactions are short) stand outside for a
 * moment, and resets it. */

#include <errno.h>

#include "basic/crash.h"
#include "basic/log.h"
#include "daemon/store/store-backup.h"
#include "daemon/store/store-internal.h"
#include "daemon/store/store-write.h"

/* A row takes 10 to 15 us (tests/bench/bench-store.c), a sync of the log 0.2 ms on a disk that is worth its name. */
#define BATCH_ROWS  700
#define BATCH_BYTES (8 * 1024 * 1024)

#define CHECKPOINT_PAGES 4000  /* 16 MiB */
#define RESET_PAGES      16000 /* 64 MiB */

#define RETRY_USEC (1 * USEC_PER_SEC)

typedef struct Writer {
        Store *store;
        StoreDb *db;
        ListLink batch;        /* taken, and after a full disk: kept */
        usec_t retry_at;       /* CLOCK_MONOTONIC; 0: the batch is fresh */
        unsigned checkpointed; /* pages of the log at the last checkpoint */
        StoreBackup *backup;   /* under way */
} Writer;

usec_t store_now_monotonic(void)
{
        struct timespec ts;
        clock_gettime(CLOCK_MONOTONIC, &ts);
        return usec_from_timespec(&ts);
}

static void hand_back(Writer *w, ListLink *jobs, size_t n)
{
        pthread_mutex_lock(&w->store->mutex);
        w->store->figures.queued -= n;
        pthread_mutex_unlock(&w->store->mutex);
        store_post(w->store, jobs);
}

static void hand_back_batch(Writer *w, size_t n)
{
        hand_back(w, &w->batch, n);
}

/* Moves what may be refused from `from` to `refused`, with its error. Returns how many stay. The caller owns both lists. */
static size_t refuse(ListLink *from, ListLink *refused, size_t *ret_refused)
{
        size_t kept = 0;

        *ret_refused = 0;
        for (ListLink *l = from->next, *next; l != from; l = next) {
                next = l->next;
                StoreWrite *write = store_write_of(container_of(l, StoreJob, link));
                if (!(write->flags & STORE_WRITE_REFUSABLE)) {
                        kept++;
                        continue;
                }
                write->job.result = reeve_error_set(&write->job.error, REEVE_ERROR_UNAVAILABLE, NULL,
                                                    "the disk is full, no new work is accepted");
                write->job.error.number = ENOSPC;
                list_remove(l);
                list_append(refused, l);
                (*ret_refused)++;
        }
        return kept;
}

/* ---- taking ---- */

static void take_batch(Writer *w)
{
        Store *s = w->store;
        size_t rows = 0, bytes = 0;

        while (!list_is_empty(&s->writes) && rows < BATCH_ROWS && bytes < BATCH_BYTES) {
                ListLink *l = list_pop(&s->writes);
                const StoreWrite *write = store_write_of(container_of(l, StoreJob, link));
                s->n_eager -= !(write->flags & STORE_WRITE_LAZY);
                rows += write->n_ops;
                bytes += write->bytes;
                list_append(&w->batch, l);
        }
}

static void wait_until(Store *s, usec_t monotonic)
{
        struct timespec ts = usec_to_timespec(monotonic);
        (void)pthread_cond_timedwait(&s->writer_wake, &s->mutex, &ts);
}

/* While the batch waits for room: refuse what comes meanwhile, until it is time. Called and returns with the lock. */
static void wait_for_room(Writer *w)
{
        Store *s = w->store;

        while (!s->stopping && store_now_monotonic() < w->retry_at) {
                ListLink refused = LIST_INIT(refused);
                size_t n;

                refuse(&s->writes, &refused, &n);
                s->n_eager -= n;
                if (n > 0) {
                        pthread_mutex_unlock(&s->mutex);
                        hand_back(w, &refused, n);
                        pthread_mutex_lock(&s->mutex);
                        continue;
                }
                wait_until(s, w->retry_at);
        }
}

/* Until there is a write that somebody waits for, a lazy one has lain long enough, or there is something else to do.
 * Called and returns with the lock. */
static void wait_for_work(const Writer *w)
{
        Store *s = w->store;

        while (s->n_eager == 0 && !w->backup && list_is_empty(&s->backups) && !s->stopping) {
                if (list_is_empty(&s->writes))
                        pthread_cond_wait(&s->writer_wake, &s->mutex);
                else if (store_now_monotonic() < s->lazy_until)
                        wait_until(s, s->lazy_until);
                else
                        return;
        }
}

/* Waits for something to do. False: the store is being closed and nothing is left. */
static bool take(Writer *w)
{
        Store *s = w->store;
        bool more = true;

        pthread_mutex_lock(&s->mutex);
        if (w->retry_at > 0)
                wait_for_room(w);
        else {
                wait_for_work(w);
                take_batch(w);
        }
        if (!w->backup && !s->stopping) {
                ListLink *l = list_pop(&s->backups);
                if (l)
                        w->backup = store_backup_of(container_of(l, StoreJob, link));
        }
        if (s->stopping && list_is_empty(&w->batch))
                more = false;
        pthread_mutex_unlock(&s->mutex);
        return more;
}

/* ---- committing ---- */

typedef struct Tally {
        size_t writes, rows;
} Tally;

static int apply_all(Writer *w, bool savepoints, Tally *ret)
{
        StoreLog before = *w->store->log;

        *ret = (Tally){};
        int rc = store_db_run(w->db, STORE_SQL_BEGIN_WRITE);
        for (ListLink *l = w->batch.next; l != &w->batch && rc == SQLITE_OK; l = l->next) {
                StoreWrite *write = store_write_of(container_of(l, StoreJob, link));
                rc = store_write_apply(write, w->db, savepoints);
                ret->writes++;
                if (write->job.result >= 0)
                        ret->rows += write->n_ops;
        }
        if (rc == SQLITE_OK) {
                CRASH_POINT("reeved", "commit");
                rc = store_db_run(w->db, STORE_SQL_COMMIT);
        }
        if (rc == SQLITE_OK)
                CRASH_POINT("reeved", "committed");
        else
                *w->store->log = before;
        return rc;
}

static size_t count(const ListLink *list)
{
        size_t n = 0;
        for (const ListLink *l = list->next; l != list; l = l->next)
                n++;
        return n;
}

/* Says so once at each end of it. */
static void set_disk_full(Writer *w, bool full)
{
        Store *s = w->store;

        pthread_mutex_lock(&s->mutex);
        bool changed = s->figures.disk_full != full;
        s->figures.disk_full = full;
        pthread_mutex_unlock(&s->mutex);

        if (changed && full)
                log_warning("The disk of %s is full: new work is refused, records wait", s->path);
        else if (changed)
                log_notice("The disk of %s has room again", s->path);
}

static void checkpoint(Writer *w, int mode)
{
        /* Failing is harmless (nothing is lost, the log stays), and the next one is soon. */
        (void)sqlite3_wal_checkpoint_v2(w->db->handle, NULL, mode, NULL, NULL);
        w->checkpointed = w->store->wal_pages;
}

static void reset_log(Writer *w)
{
        pthread_rwlock_wrlock(&w->store->gate);
        checkpoint(w, SQLITE_CHECKPOINT_RESTART);
        pthread_rwlock_unlock(&w->store->gate);
}

static void committed(Writer *w, const Tally *tally)
{
        Store *s = w->store;

        pthread_mutex_lock(&s->mutex);
        s->figures.commits++;
        s->figures.writes += tally->writes;
        s->figures.rows += tally->rows;
        pthread_mutex_unlock(&s->mutex);

        set_disk_full(w, false);
        w->retry_at = 0;
        hand_back_batch(w, tally->writes);
}

/* The transaction failed for a reason that is none of its writes'. */
static void fail_all(Writer *w, int result, const ReeveError *error)
{
        size_t n = count(&w->batch);

        for (ListLink *l = w->batch.next; l != &w->batch; l = l->next) {
                StoreJob *job = container_of(l, StoreJob, link);
                job->result = result;
                job->error = *error;
        }
        w->retry_at = 0;
        set_disk_full(w, false);
        hand_back_batch(w, n);
}

/* Refuses what may be refused. Returns true if the rest should be tried at once: what filled the disk may be gone. */
static bool keep_for_later(Writer *w)
{
        ListLink refused = LIST_INIT(refused);
        size_t n_refused;

        size_t n_kept = refuse(&w->batch, &refused, &n_refused);
        set_disk_full(w, n_kept > 0);
        if (n_refused > 0)
                hand_back(w, &refused, n_refused);

        w->retry_at = n_kept > 0 ? store_now_monotonic() + RETRY_USEC : 0;
        return n_kept > 0 && n_refused > 0;
}

static void commit_batch(Writer *w)
{
        bool savepoints = false;
        ReeveError error;
        Tally tally;

        for (;;) {
                int rc = apply_all(w, savepoints, &tally);
                if (rc == SQLITE_OK) {
                        committed(w, &tally);
                        return;
                }

                bool full = store_db_is_full(w->db, rc);
                int result = store_db_error(w->db, rc, "cannot commit", &error);
                if (!sqlite3_get_autocommit(w->db->handle))
                        (void)store_db_run(w->db, STORE_SQL_ROLLBACK);
                if (store_db_is_local(rc) && !savepoints) {
                        savepoints = true;
                        continue;
                }
                if (!full) {
                        fail_all(w, result, &error);
                        return;
                }

                /* A log that is started anew takes no new room. */
                reset_log(w);
                if (!keep_for_later(w))
                        return;
        }
}

static int on_wal(void *userdata, sqlite3 *db _unused_, const char *name _unused_, int pages)
{
        Store *s = ASSERT_PTR(userdata);
        s->wal_pages = (unsigned)pages;
        return SQLITE_OK;
}

static void maybe_checkpoint(Writer *w)
{
        unsigned pages = w->store->wal_pages;

        if (pages < w->checkpointed) /* the log began anew */
                w->checkpointed = 0;
        if (pages - w->checkpointed < CHECKPOINT_PAGES)
                return;
        if (pages >= RESET_PAGES)
                reset_log(w);
        else
                checkpoint(w, SQLITE_CHECKPOINT_PASSIVE);
}

/* ---- the rest ---- */

static void step_backup(Writer *w)
{
        ListLink done = LIST_INIT(done);

        if (store_backup_step(w->backup, w->db) > 0)
                return;
        list_append(&done, &store_backup_job(w->backup)->link);
        w->backup = NULL;
        store_post(w->store, &done);
}

/* Closing with a full disk: one more try was made; the writes go back without a word. */
static bool gave_up(Writer *w)
{
        pthread_mutex_lock(&w->store->mutex);
        bool stopping = w->store->stopping;
        pthread_mutex_unlock(&w->store->mutex);

        if (!stopping || w->retry_at == 0)
                return false;
        hand_back_batch(w, count(&w->batch));
        return true;
}

void *store_writer_main(void *userdata)
{
        Store *s = ASSERT_PTR(userdata);
        Writer w = { .store = s, .db = &s->writer_db };

        list_init(&w.batch);
        sqlite3_wal_hook(s->writer_db.handle, on_wal, s);

        while (take(&w)) {
                if (!list_is_empty(&w.batch)) {
                        commit_batch(&w);
                        maybe_checkpoint(&w);
                        if (gave_up(&w))
                                break;
                }
                if (w.backup)
                        step_backup(&w);
        }

        if (w.backup) {
                ListLink aborted = LIST_INIT(aborted);
                store_backup_abort(w.backup);
                list_append(&aborted, &store_backup_job(w.backup)->link);
                store_post(s, &aborted);
        }
        return NULL;
}
