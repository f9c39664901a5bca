/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* How long tasks of a kind take: exact percentiles of the newest that completed.
 *
 * The index of groups holds the tasks of a kind by owner and status, each group in order of creation. So the newest of each owner
 * are read, a bounded number, and the newest of all of them count; neither the age of the database nor the number of its
 * tasks matters. That is 64,000 rows at the very worst (64 owners who all have a thousand), some tens of milliseconds of a
 * reader thread, and a thousand for the usual one owner, about one.
 *
 * Percentile means nearest rank: of 20 durations the 19th. */

#include <errno.h>
#include <string.h>

#include "daemon/store/store-internal.h"

#define OWNERS_MAX 64

typedef struct Duration {
        int64_t seq;
        double seconds;
} Duration;

typedef struct DurationJob {
        StoreJob job;
        store_p95_t callback;
        void *userdata;
        char *subsystem, *task_type;
        int64_t owners[OWNERS_MAX];
        size_t n_owners;
        Duration *durations;
        size_t n, room;
        unsigned percent;
        usec_t result_usec;
} DurationJob;

static int newest_first(const void *a, const void *b)
{
        const Duration *x = a, *y = b;
        return x->seq > y->seq ? -1 : x->seq < y->seq;
}

static int shortest_first(const void *a, const void *b)
{
        const Duration *x = a, *y = b;
        return x->seconds < y->seconds ? -1 : x->seconds > y->seconds;
}

static void bind_kind(const DurationJob *j, sqlite3_stmt *st)
{
        sqlite3_bind_text(st, 1, j->subsystem, -1, SQLITE_STATIC);
        sqlite3_bind_text(st, 2, j->task_type, -1, SQLITE_STATIC);
}

static int read_owners(DurationJob *j, StoreDb *db)
{
        int rc;

        sqlite3_stmt *st = store_db_statement(db, STORE_SQL_DURATION_OWNERS);
        if (!st)
                return store_no_statement(&j->job, db);
        bind_kind(j, st);
        sqlite3_bind_int64(st, 3, OWNERS_MAX);
        while ((rc = sqlite3_step(st)) == SQLITE_ROW && j->n_owners < OWNERS_MAX)
                j->owners[j->n_owners++] = sqlite3_column_int64(st, 0);
        return store_end_of_rows(&j->job, db, STORE_SQL_DURATION_OWNERS, rc, 0);
}

static int read_durations(DurationJob *j, StoreDb *db, int64_t owner)
{
        int r = 0, rc;

        sqlite3_stmt *st = store_db_statement(db, STORE_SQL_DURATIONS);
        if (!st)
                return store_no_statement(&j->job, db);
        bind_kind(j, st);
        sqlite3_bind_int64(st, 3, owner);
        sqlite3_bind_int64(st, 4, STORE_DURATIONS_MAX);
        while (r >= 0 && (rc = sqlite3_step(st)) == SQLITE_ROW) {
                r = store_grow((void **)&j->durations, &j->room, j->n, sizeof(*j->durations));
                if (r >= 0)
                        j->durations[j->n++] = (Duration){ sqlite3_column_int64(st, 0),
                                                           sqlite3_column_double(st, 1) };
        }
        return store_end_of_rows(&j->job, db, STORE_SQL_DURATIONS, rc, r);
}

static void compute(DurationJob *j)
{
        if (j->n == 0)
                return;
        qsort(j->durations, j->n, sizeof(*j->durations), newest_first);
        size_t n = MIN(j->n, (size_t)STORE_DURATIONS_MAX);
        qsort(j->durations, n, sizeof(*j->durations), shortest_first);
        double seconds = j->durations[(n * j->percent + 99) / 100 - 1].seconds;
        j->result_usec = MAX((usec_t)(seconds * USEC_PER_SEC), (usec_t)1);
}

static int run_percentile(StoreJob *job, StoreDb *db)
{
        DurationJob *j = container_of(job, DurationJob, job);

        int r = read_owners(j, db);
        for (size_t i = 0; r >= 0 && i < j->n_owners; i++)
                r = read_durations(j, db, j->owners[i]);
        if (r >= 0)
                compute(j);
        return r;
}

static void finish_percentile(StoreJob *job, bool call)
{
        DurationJob *j = container_of(job, DurationJob, job);
        bool failed = job->result < 0;

        if (call)
                j->callback(failed ? &job->error : NULL, failed ? 0 : j->result_usec, j->userdata);
        free(j->durations);
        free(j->subsystem);
        free(j->task_type);
        free(j);
}

static int ask(Store *s, const char *subsystem, const char *task_type, unsigned percent,
               store_p95_t callback, void *userdata)
{
        assert(s);
        assert(subsystem && task_type);
        assert(callback);

        DurationJob *j = NEW0(DurationJob, 1);
        if (!j)
                return -ENOMEM;
        j->job = (StoreJob){
                .store = s, .is_query = true, .run = run_percentile, .finish = finish_percentile
        };
        j->callback = callback;
        j->userdata = userdata;
        j->percent = percent;
        j->subsystem = strdup(subsystem);
        j->task_type = strdup(task_type);
        if (!j->subsystem || !j->task_type) {
                finish_percentile(&j->job, false);
                return -ENOMEM;
        }
        return store_queue_or_free(s, &j->job);
}

int store_p95(Store *s, const char *subsystem, const char *task_type, store_p95_t callback, void *userdata)
{
        return ask(s, subsystem, task_type, 95, callback, userdata);
}

int store_median(Store *s, const char *subsystem, const char *task_type, store_p95_t callback,
                 void *userdata)
{
        return ask(s, subsystem, task_type, 50, callback, userdata);
}
