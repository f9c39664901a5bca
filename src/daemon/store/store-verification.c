/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Questions of those who verify: what was found out about a task already, and the specification in whose name its checks
 * run. Both are about one task and small, so they are read in one piece.
 *
 * The specification holds an environment: its copy is wiped when it was handed over. What it is about (limits, argv) is not
 * known here. */

#include <errno.h>
#include <string.h>

#include "daemon/store/store-internal.h"

/* ---- results ---- */

typedef struct VerificationsJob {
        StoreJob job;
        store_verifications_t callback;
        void *userdata;
        char *task_id;
        VerificationRow *rows;
        size_t n, room;
} VerificationsJob;

static int run_verifications(StoreJob *job, StoreDb *db)
{
        VerificationsJob *j = container_of(job, VerificationsJob, job);
        int r = 0, rc;

        sqlite3_stmt *st = store_db_statement(db, STORE_SQL_VERIFICATIONS);
        if (!st)
                return store_no_statement(job, db);
        sqlite3_bind_text(st, 1, j->task_id, -1, SQLITE_STATIC);
        while (r >= 0 && (rc = sqlite3_step(st)) == SQLITE_ROW) {
                r = store_grow((void **)&j->rows, &j->room, j->n, sizeof(*j->rows));
                if (r >= 0)
                        r = store_read_verification(st, j->rows + j->n);
                if (r >= 0)
                        j->n++;
        }
        return store_end_of_rows(job, db, STORE_SQL_VERIFICATIONS, rc, r);
}

static void finish_verifications(StoreJob *job, bool call)
{
        VerificationsJob *j = container_of(job, VerificationsJob, job);
        bool failed = job->result < 0;

        if (call)
                j->callback(failed ? &job->error : NULL, failed ? NULL : j->rows, failed ? 0 : j->n,
                            j->userdata);
        for (size_t i = 0; i < j->n; i++)
                verification_row_done(j->rows + i);
        free(j->rows);
        free(j->task_id);
        free(j);
}

int store_verifications(Store *s, const char *task_id, store_verifications_t callback, void *userdata)
{
        assert(s);
        assert(task_id);
        assert(callback);

        VerificationsJob *j = NEW0(VerificationsJob, 1);
        if (!j)
                return -ENOMEM;
        j->job = (StoreJob){
                .store = s, .is_query = true, .run = run_verifications, .finish = finish_verifications
        };
        j->callback = callback;
        j->userdata = userdata;
        j->task_id = strdup(task_id);
        if (!j->task_id) {
                finish_verifications(&j->job, false);
                return -ENOMEM;
        }
        return store_queue_or_free(s, &j->job);
}

/* ---- specification ---- */

typedef struct SpecJob {
        StoreJob job;
        store_spec_t callback;
        void *userdata;
        char *task_id;
        void *spec, *ticket;
        size_t spec_size, ticket_size;
} SpecJob;

static int run_spec(StoreJob *job, StoreDb *db)
{
        SpecJob *j = container_of(job, SpecJob, job);
        int r = 0;

        sqlite3_stmt *st = store_db_statement(db, STORE_SQL_SPEC);
        if (!st)
                return store_no_statement(job, db);
        sqlite3_bind_text(st, 1, j->task_id, -1, SQLITE_STATIC);
        int rc = sqlite3_step(st);
        if (rc == SQLITE_ROW) {
                r = store_copy_blob(st, 0, &j->spec, &j->spec_size);
                if (r >= 0)
                        r = store_copy_blob(st, 1, &j->ticket, &j->ticket_size);
        }
        return store_end_of_rows(job, db, STORE_SQL_SPEC, rc, r);
}

static void finish_spec(StoreJob *job, bool call)
{
        SpecJob *j = container_of(job, SpecJob, job);
        const StoreSpec spec = { j->spec, j->ticket, j->spec_size, j->ticket_size };

        if (call)
                j->callback(job->result < 0 ? &job->error : NULL, job->result < 0 || !j->spec ? NULL : &spec,
                            j->userdata);
        if (j->spec)
                explicit_bzero(j->spec, j->spec_size);
        free(j->spec);
        free(j->ticket);
        free(j->task_id);
        free(j);
}

int store_spec(Store *s, const char *task_id, store_spec_t callback, void *userdata)
{
        assert(s);
        assert(task_id);
        assert(callback);

        SpecJob *j = NEW0(SpecJob, 1);
        if (!j)
                return -ENOMEM;
        j->job = (StoreJob){ .store = s, .is_query = true, .run = run_spec, .finish = finish_spec };
        j->callback = callback;
        j->userdata = userdata;
        j->task_id = strdup(task_id);
        if (!j->task_id) {
                finish_spec(&j->job, false);
                return -ENOMEM;
        }
        return store_queue_or_free(s, &j->job);
}
