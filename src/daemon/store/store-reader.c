/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The reader threads, and every question but lists (store-list.c).
 *
 * A question is a StoreJob: made on the loop thread with copies of its arguments, run on whichever reader is free inside
 * one short read transaction, sent back with its rows, which are freed after the callback. A long one returns 1 and
 * goes to the end of the queue, so that it delays nobody and lets the log be reset in between.
 *
 * Work that is not a question (store_work) shares the threads, not the transactions. */

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "basic/strings.h"
#include "daemon/store/store-internal.h"

int store_grow(void **array, size_t *room, size_t n, size_t element_size)
{
        assert(array);
        assert(room);

        if (n < *room)
                return 0;
        size_t wanted = MAX(*room * 2, (size_t)16);
        void *p = reallocarray(*array, wanted, element_size);
        if (!p)
                return -ENOMEM;
        *array = p;
        *room = wanted;
        return 0;
}

/* ---- threads ---- */

int store_queue_read(Store *s, StoreJob *job)
{
        assert(s);
        assert(s->event); /* a store without threads has only the synchronous functions */

        pthread_mutex_lock(&s->mutex);
        bool full = s->n_reads >= STORE_READS_MAX;
        if (!full) {
                list_append(&s->reads, &job->link);
                s->n_reads++;
                pthread_cond_signal(&s->reader_wake);
        }
        pthread_mutex_unlock(&s->mutex);
        return full ? -ENOBUFS : 0;
}

static int run_query(StoreJob *job, StoreDb *db)
{
        pthread_rwlock_rdlock(&job->store->gate);
        int rc = store_db_run(db, STORE_SQL_BEGIN_READ);
        int r = rc == SQLITE_OK ? job->run(job, db) : store_db_error(db, rc, "cannot read", &job->error);
        if (!sqlite3_get_autocommit(db->handle))
                (void)store_db_run(db, STORE_SQL_COMMIT);
        pthread_rwlock_unlock(&job->store->gate);

        if (r < 0 && job->error.code == REEVE_ERROR_NONE)
                reeve_error_errno(&job->error, r, NULL, "cannot read the database");
        return r;
}

void *store_reader_main(void *userdata)
{
        StoreReader *reader = ASSERT_PTR(userdata);
        Store *s = reader->store;
        StoreDb *db = &s->reader_db[reader->number];
        free(reader);

        for (;;) {
                pthread_mutex_lock(&s->mutex);
                while ((list_is_empty(&s->reads) || s->n_read_results >= STORE_RESULTS_MAX) && !s->stopping)
                        pthread_cond_wait(&s->reader_wake, &s->mutex);
                ListLink *l = s->stopping ? NULL : list_pop(&s->reads);
                pthread_mutex_unlock(&s->mutex);
                if (!l)
                        return NULL;

                StoreJob *job = container_of(l, StoreJob, link);
                int r = job->is_query ? run_query(job, db) : job->run(job, db);

                pthread_mutex_lock(&s->mutex);
                if (r > 0 && job->is_query)
                        list_append(&s->reads, l);
                else {
                        s->n_reads--;
                        s->n_read_results++;
                        job->is_read_result = true;
                        job->result = r;
                }
                pthread_mutex_unlock(&s->mutex);
                if (r <= 0 || !job->is_query) {
                        ListLink done = LIST_INIT(done);
                        list_append(&done, l);
                        store_post(s, &done);
                }
        }
}

int store_queue_or_free(Store *s, StoreJob *job)
{
        int r = store_queue_read(s, job);
        if (r < 0)
                job->finish(job, false);
        return r;
}

int store_end_of_rows(StoreJob *job, StoreDb *db, StoreStatement which, int rc, int r)
{
        if (r >= 0 && rc != SQLITE_DONE && rc != SQLITE_ROW)
                r = store_db_error(db, rc, "cannot read", &job->error);
        store_db_reset(db, which);
        return r;
}

int store_no_statement(StoreJob *job, StoreDb *db)
{
        return store_db_error(db, sqlite3_extended_errcode(db->handle), "cannot read", &job->error);
}

/* ---- one task ---- */

typedef struct GetJob {
        StoreJob job;
        store_tasks_t callback;
        void *userdata;
        char *task_id;
        TaskRow *row;
} GetJob;

static int run_get(StoreJob *job, StoreDb *db)
{
        GetJob *g = container_of(job, GetJob, job);
        int r = 0;

        sqlite3_stmt *st = store_db_statement(db, STORE_SQL_TASK_BY_ID);
        if (!st)
                return store_no_statement(job, db);
        sqlite3_bind_text(st, 1, g->task_id, -1, SQLITE_STATIC);
        int rc = sqlite3_step(st);
        if (rc == SQLITE_ROW)
                r = store_read_task(st, &g->row);
        return store_end_of_rows(job, db, STORE_SQL_TASK_BY_ID, rc, r);
}

static void finish_get(StoreJob *job, bool call)
{
        GetJob *g = container_of(job, GetJob, job);

        if (call)
                g->callback(job->result < 0 ? &job->error : NULL, g->row ? &g->row : NULL, g->row ? 1 : 0,
                            g->userdata);
        task_row_free(g->row);
        free(g->task_id);
        free(g);
}

int store_get(Store *s, const char *task_id, store_tasks_t callback, void *userdata)
{
        assert(task_id);
        assert(callback);

        GetJob *g = NEW0(GetJob, 1);
        if (!g)
                return -ENOMEM;
        g->job = (StoreJob){ .store = s, .is_query = true, .run = run_get, .finish = finish_get };
        g->callback = callback;
        g->userdata = userdata;
        g->task_id = strdup(task_id);
        if (!g->task_id) {
                finish_get(&g->job, false);
                return -ENOMEM;
        }
        return store_queue_or_free(s, &g->job);
}

/* ---- snapshots ---- */

typedef struct SnapshotsJob {
        StoreJob job;
        store_snapshots_t callback;
        void *userdata;
        char *task_id;
        unsigned limit;
        SnapshotRow *rows;
        size_t n, room;
} SnapshotsJob;

static void reverse(SnapshotRow *rows, size_t n)
{
        for (size_t i = 0; i < n / 2; i++) {
                SnapshotRow swapped = rows[i];
                rows[i] = rows[n - 1 - i];
                rows[n - 1 - i] = swapped;
        }
}

static int run_snapshots(StoreJob *job, StoreDb *db)
{
        SnapshotsJob *j = container_of(job, SnapshotsJob, job);
        int r = 0, rc;

        sqlite3_stmt *st = store_db_statement(db, STORE_SQL_SNAPSHOTS);
        if (!st)
                return store_no_statement(job, db);
        sqlite3_bind_text(st, 1, j->task_id, -1, SQLITE_STATIC);
        sqlite3_bind_int64(st, 2, j->limit);
        while (r >= 0 && (rc = sqlite3_step(st)) == SQLITE_ROW) {
                r = store_grow((void **)&j->rows, &j->room, j->n, sizeof(*j->rows));
                if (r >= 0)
                        r = store_read_snapshot(st, j->rows + j->n);
                if (r >= 0)
                        j->n++;
        }
        reverse(j->rows, j->n);
        return store_end_of_rows(job, db, STORE_SQL_SNAPSHOTS, rc, r);
}

static void finish_snapshots(StoreJob *job, bool call)
{
        SnapshotsJob *j = container_of(job, SnapshotsJob, job);
        bool failed = job->result < 0;

        if (call)
                j->callback(failed ? &job->error : NULL, failed ? NULL : j->rows, failed ? 0 : j->n,
                            j->userdata);
        free(j->rows);
        free(j->task_id);
        free(j);
}

int store_snapshots(Store *s, const char *task_id, unsigned limit, store_snapshots_t callback,
                    void *userdata)
{
        assert(task_id);
        assert(callback);

        SnapshotsJob *j = NEW0(SnapshotsJob, 1);
        if (!j)
                return -ENOMEM;
        j->job = (StoreJob){
                .store = s, .is_query = true, .run = run_snapshots, .finish = finish_snapshots
        };
        j->callback = callback;
        j->userdata = userdata;
        j->limit = limit == 0 ? STORE_LIST_MAX : MIN(limit, (unsigned)STORE_LIST_MAX);
        j->task_id = strdup(task_id);
        if (!j->task_id) {
                finish_snapshots(&j->job, false);
                return -ENOMEM;
        }
        return store_queue_or_free(s, &j->job);
}

/* ---- events ---- */

typedef struct EventsJob {
        StoreJob job;
        store_events_t callback;
        void *userdata;
        int64_t after;
        char *task_id, *subsystem;
        unsigned limit;
        EventRow *rows;
        size_t n, room;
} EventsJob;

/* A task has one subsystem, so with both only the task's index is asked and the rest compared. */
static int read_event(EventsJob *j, sqlite3_stmt *st)
{
        EventRow row;

        int r = store_read_event(st, &row);
        if (r < 0)
                return r;
        if (j->task_id && j->subsystem && !streq_null(row.subsystem, j->subsystem)) {
                event_row_done(&row);
                return 0;
        }
        r = store_grow((void **)&j->rows, &j->room, j->n, sizeof(row));
        if (r < 0) {
                event_row_done(&row);
                return r;
        }
        j->rows[j->n++] = row;
        return 0;
}

static int run_events(StoreJob *job, StoreDb *db)
{
        EventsJob *j = container_of(job, EventsJob, job);
        int r = 0, rc;

        StoreStatement which =
                        j->task_id ? STORE_SQL_EVENTS_OF_TASK
                                   : (j->subsystem ? STORE_SQL_EVENTS_OF_SUBSYSTEM : STORE_SQL_EVENTS);
        sqlite3_stmt *st = store_db_statement(db, which);
        if (!st)
                return store_no_statement(job, db);
        sqlite3_bind_int64(st, 1, j->after);
        sqlite3_bind_int64(st, 2, j->limit);
        if (which != STORE_SQL_EVENTS)
                sqlite3_bind_text(st, 3, j->task_id ?: j->subsystem, -1, SQLITE_STATIC);
        while (r >= 0 && (rc = sqlite3_step(st)) == SQLITE_ROW)
                r = read_event(j, st);
        return store_end_of_rows(job, db, which, rc, r);
}

static void finish_events(StoreJob *job, bool call)
{
        EventsJob *j = container_of(job, EventsJob, job);
        bool failed = job->result < 0;

        if (call)
                j->callback(failed ? &job->error : NULL, failed ? NULL : j->rows, failed ? 0 : j->n,
                            j->userdata);
        for (size_t i = 0; i < j->n; i++)
                event_row_done(j->rows + i);
        free(j->rows);
        free(j->task_id);
        free(j->subsystem);
        free(j);
}

int store_events(Store *s, const StoreEventFilter *filter, store_events_t callback, void *userdata)
{
        assert(filter);
        assert(callback);

        EventsJob *j = NEW0(EventsJob, 1);
        if (!j)
                return -ENOMEM;
        j->job = (StoreJob){ .store = s, .is_query = true, .run = run_events, .finish = finish_events };
        j->callback = callback;
        j->userdata = userdata;
        j->after = filter->after;
        j->limit = filter->limit == 0 ? STORE_LIST_MAX : MIN(filter->limit, (unsigned)STORE_LIST_MAX);
        j->task_id = filter->task_id ? strdup(filter->task_id) : NULL;
        j->subsystem = filter->subsystem ? strdup(filter->subsystem) : NULL;
        if ((filter->task_id && !j->task_id) || (filter->subsystem && !j->subsystem)) {
                finish_events(&j->job, false);
                return -ENOMEM;
        }
        return store_queue_or_free(s, &j->job);
}

/* ---- counts ---- */

typedef struct CountsJob {
        StoreJob job;
        store_counts_t callback;
        void *userdata;
        StoreCounts counts;
        size_t room;
} CountsJob;

/* Rows come ordered by subsystem. */
static int add_count(CountsJob *j, sqlite3_stmt *st)
{
        const char *subsystem = (const char *)sqlite3_column_text(st, COUNT_COLUMN_SUBSYSTEM);
        const char *status = (const char *)sqlite3_column_text(st, COUNT_COLUMN_STATUS);
        int64_t tasks = sqlite3_column_int64(st, COUNT_COLUMN_TASKS);
        StoreCounts *c = &j->counts;

        if (!subsystem || !status)
                return -ENOMEM;
        TaskState state = task_state_from_name(status);
        if ((int)state < 0)
                return -EBADMSG;

        if (c->n_subsystems == 0 || !streq(c->subsystems[c->n_subsystems - 1].name, subsystem)) {
                int r = store_grow((void **)&c->subsystems, &j->room, c->n_subsystems,
                                   sizeof(*c->subsystems));
                if (r < 0)
                        return r;
                struct StoreSubsystemCounts *fresh = c->subsystems + c->n_subsystems++;
                *fresh = (struct StoreSubsystemCounts){};
                snprintf(fresh->name, sizeof(fresh->name), "%s", subsystem);
        }
        c->subsystems[c->n_subsystems - 1].by_status[state] += tasks;
        c->by_status[state] += tasks;
        return 0;
}

static void measure_files(CountsJob *j, StoreDb *db)
{
        struct stat file;

        sqlite3_stmt *st = store_db_statement(db, STORE_SQL_DATABASE_BYTES);
        if (st && sqlite3_step(st) == SQLITE_ROW)
                j->counts.database_bytes = sqlite3_column_int64(st, 0);
        store_db_reset(db, STORE_SQL_DATABASE_BYTES);

        _cleanup_free_ char *wal = string_printf("%s-wal", j->job.store->path);
        if (wal && stat(wal, &file) >= 0)
                j->counts.wal_bytes = file.st_size;
}

static int run_counts(StoreJob *job, StoreDb *db)
{
        CountsJob *j = container_of(job, CountsJob, job);
        int r = 0, rc;

        sqlite3_stmt *st = store_db_statement(db, STORE_SQL_COUNTS);
        if (!st)
                return store_no_statement(job, db);
        while (r >= 0 && (rc = sqlite3_step(st)) == SQLITE_ROW)
                r = add_count(j, st);
        r = store_end_of_rows(job, db, STORE_SQL_COUNTS, rc, r);
        if (r >= 0)
                measure_files(j, db);
        return r;
}

static void finish_counts(StoreJob *job, bool call)
{
        CountsJob *j = container_of(job, CountsJob, job);

        if (call)
                j->callback(job->result < 0 ? &job->error : NULL, job->result < 0 ? NULL : &j->counts,
                            j->userdata);
        free(j->counts.subsystems);
        free(j);
}

int store_counts(Store *s, store_counts_t callback, void *userdata)
{
        assert(callback);

        CountsJob *j = NEW0(CountsJob, 1);
        if (!j)
                return -ENOMEM;
        j->job = (StoreJob){ .store = s, .is_query = true, .run = run_counts, .finish = finish_counts };
        j->callback = callback;
        j->userdata = userdata;
        return store_queue_or_free(s, &j->job);
}

/* ---- anything else ---- */

typedef struct WorkJob {
        StoreJob job;
        store_work_t work;
        store_work_done_t done;
        void *userdata;
} WorkJob;

static int run_work(StoreJob *job, StoreDb *db _unused_)
{
        WorkJob *j = container_of(job, WorkJob, job);
        return j->work(j->userdata);
}

static void finish_work(StoreJob *job, bool call)
{
        WorkJob *j = container_of(job, WorkJob, job);

        if (call)
                j->done(job->result, j->userdata);
        free(j);
}

int store_work(Store *s, store_work_t work, store_work_done_t done, void *userdata)
{
        assert(work);
        assert(done);

        WorkJob *j = NEW0(WorkJob, 1);
        if (!j)
                return -ENOMEM;
        j->job = (StoreJob){ .store = s, .run = run_work, .finish = finish_work };
        j->work = work;
        j->done = done;
        j->userdata = userdata;
        return store_queue_or_free(s, &j->job);
}
