/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The policy of a task, ended or not: one row, found by the hash that the task keeps.
 *
 * Policies are written with the tasks (store-write.c), once for all that share one, and read back at the start with those that
 * are open (store.c); this is for who asks about one. A task from before there were policies has none, which is not the
 * same as no task: there is a row then, and it has nulls. */

#include <errno.h>
#include <string.h>

#include "daemon/store/store-internal.h"

typedef struct PolicyJob {
        StoreJob job;
        store_policy_t callback;
        void *userdata;
        char *task_id;
        char *hash, *policy;
} PolicyJob;

static int read_policy(PolicyJob *j, sqlite3_stmt *st)
{
        int r = store_copy_text(st, 0, &j->hash);
        return r < 0 ? r : store_copy_text(st, 1, &j->policy);
}

static int run_policy(StoreJob *job, StoreDb *db)
{
        PolicyJob *j = container_of(job, PolicyJob, job);
        int r = 0;

        sqlite3_stmt *st = store_db_statement(db, STORE_SQL_POLICY_OF_TASK);
        if (!st)
                return store_no_statement(job, db);
        sqlite3_bind_text(st, 1, j->task_id, -1, SQLITE_STATIC);
        int rc = sqlite3_step(st);
        if (rc == SQLITE_ROW)
                r = read_policy(j, st);
        else if (rc == SQLITE_DONE)
                r = reeve_error_set(&job->error, REEVE_ERROR_NO_SUCH_TASK, "task_id", "there is no task %s",
                                    j->task_id);
        return store_end_of_rows(job, db, STORE_SQL_POLICY_OF_TASK, rc, r);
}

static void finish_policy(StoreJob *job, bool call)
{
        PolicyJob *j = container_of(job, PolicyJob, job);

        if (call)
                j->callback(job->result < 0 ? &job->error : NULL, j->hash, j->policy, j->userdata);
        free(j->hash);
        free(j->policy);
        free(j->task_id);
        free(j);
}

int store_policy(Store *s, const char *task_id, store_policy_t callback, void *userdata)
{
        assert(s);
        assert(task_id);
        assert(callback);

        PolicyJob *j = NEW0(PolicyJob, 1);
        if (!j)
                return -ENOMEM;
        j->job = (StoreJob){ .store = s, .is_query = true, .run = run_policy, .finish = finish_policy };
        j->callback = callback;
        j->userdata = userdata;
        j->task_id = strdup(task_id);
        if (!j->task_id) {
                finish_policy(&j->job, false);
                return -ENOMEM;
        }
        return store_queue_or_free(s, &j->job);
}
