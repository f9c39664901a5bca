/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Lists of tasks, newest first, with any filter, in time that does not grow with the number of tasks.
 *
 * A list is a walk down the numbers of tasks (seq), by one of three ways:
 *
 *     all       no filter but time: the table itself
 *     creator   the index of creators
 *     groups    subsystem, type, owner and status together make a group; task_counts says which groups exist. Those that
 *               match the filter are streams, each at its newest task below the cursor, found by one seek, and the next
 *               task of the list is the highest of them: a merge. A filter of any combination costs a seek for each
 *               group that matches and one for each task found; tasks that do not match are never looked at.
 *
 * A filter by time becomes windows of seq, by way of task_spans: runs of blocks whose times overlap. Without steps of the
 * wall clock there is one window. A creator together with a group goes by the creator's index, or, if the groups that
 * match have few tasks, by these. What is left of the filter is compared task by task: at the edges of windows, and among
 * a creator's. That is the only scanning there is, and it is cut into slices of SCAN_MAX: after one, the job goes to
 * the end of the queue and goes on where it was, so that an unlucky question delays no other and keeps no transaction
 * open. (Tasks created meanwhile are above the cursor, so the result is that of one walk.) */

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "basic/strings.h"
#include "daemon/store/store-internal.h"

/* The stall budget of a read transaction is 20 ms; a task compared and dropped takes 1 to 2 us. */
#define SCAN_MAX 8000

#define SPAN_SHIFT 10 /* as in the trigger of 0001-first-light.sql */

typedef struct Stream {
        char subsystem[TASK_NAME_MAX + 1], task_type[TASK_NAME_MAX + 1];
        int64_t owner_uid;
        TaskState status;
        int64_t next; /* INT64_MAX: not asked yet; 0: nothing more in this window */
} Stream;

typedef struct ListJob {
        StoreJob job;
        store_tasks_t callback;
        void *userdata;

        StoreFilter filter; /* strings are ours */
        char *subsystem, *task_type, *created_by;

        int64_t below; /* how far the walk is: everything from here on was seen */
        TaskRow **rows;
        size_t n, room;
        size_t bytes; /* of the rows' JSON */

        /* of one slice */
        StoreDb *db;
        unsigned scanned;
        Stream *streams;
        size_t n_streams, streams_room;
        int64_t n_in_groups; /* tasks of all streams */
        bool by_groups;
} ListJob;

static bool has_time(const StoreFilter *f)
{
        return f->since > 0 || f->until > 0;
}

static bool has_group(const StoreFilter *f)
{
        return f->status_mask != 0 || f->subsystem || f->task_type || f->owner_uid >= 0;
}

static int failed(ListJob *j, int rc)
{
        return store_db_error(j->db, rc, "cannot list", &j->job.error);
}

/* ---- does it match? ---- */

static bool status_matches(const StoreFilter *f, TaskState status)
{
        return f->status_mask == 0 || f->status_mask & (UINT32_C(1) << status);
}

static bool text_matches(const char *wanted, const char *text)
{
        return !wanted || (text && streq(wanted, text));
}

/* On the columns themselves: a task that is dropped costs no row. */
static bool row_matches(const StoreFilter *f, sqlite3_stmt *st)
{
        usec_t created = (usec_t)sqlite3_column_int64(st, TASK_COLUMN_CREATED_AT);
        int64_t owner = sqlite3_column_int64(st, TASK_COLUMN_OWNER_UID);
        const char *status = (const char *)sqlite3_column_text(st, TASK_COLUMN_STATUS);

        return created >= f->since && (f->until == 0 || created < f->until) && status &&
               status_matches(f, task_state_from_name(status)) &&
               (f->owner_uid < 0 || f->owner_uid == owner) &&
               text_matches(f->subsystem, (const char *)sqlite3_column_text(st, TASK_COLUMN_SUBSYSTEM)) &&
               text_matches(f->task_type, (const char *)sqlite3_column_text(st, TASK_COLUMN_TASK_TYPE)) &&
               text_matches(f->created_by, (const char *)sqlite3_column_text(st, TASK_COLUMN_CREATED_BY));
}

/* Takes the statement's task if it matches. Whatever it is, the walk is beyond it then. */
static int take(ListJob *j, sqlite3_stmt *st)
{
        j->below = sqlite3_column_int64(st, TASK_COLUMN_SEQ);
        if (!row_matches(&j->filter, st))
                return 0;

        int r = store_grow((void **)&j->rows, &j->room, j->n, sizeof(*j->rows));
        if (r >= 0)
                r = store_read_task(st, &j->rows[j->n]);
        if (r >= 0)
                j->bytes += task_row_json_bytes(j->rows[j->n++]);
        return r;
}

static bool is_full(const ListJob *j)
{
        return j->n >= j->filter.limit || j->bytes >= STORE_LIST_BYTES;
}

/* ---- groups ---- */

static int add_stream(ListJob *j, sqlite3_stmt *st)
{
        const char *subsystem = (const char *)sqlite3_column_text(st, COUNT_COLUMN_SUBSYSTEM);
        const char *task_type = (const char *)sqlite3_column_text(st, COUNT_COLUMN_TASK_TYPE);
        const char *status_name = (const char *)sqlite3_column_text(st, COUNT_COLUMN_STATUS);
        int64_t owner = sqlite3_column_int64(st, COUNT_COLUMN_OWNER_UID);
        const StoreFilter *f = &j->filter;

        if (!subsystem || !task_type || !status_name)
                return -ENOMEM;
        TaskState status = task_state_from_name(status_name);
        if ((int)status < 0)
                return -EBADMSG;
        if (!status_matches(f, status) || !text_matches(f->subsystem, subsystem) ||
            !text_matches(f->task_type, task_type) || (f->owner_uid >= 0 && f->owner_uid != owner))
                return 0;

        int r = store_grow((void **)&j->streams, &j->streams_room, j->n_streams, sizeof(*j->streams));
        if (r < 0)
                return r;
        Stream *fresh = j->streams + j->n_streams++;
        *fresh = (Stream){ .owner_uid = owner, .status = status, .next = INT64_MAX };
        j->n_in_groups += sqlite3_column_int64(st, COUNT_COLUMN_TASKS);
        snprintf(fresh->subsystem, sizeof(fresh->subsystem), "%s", subsystem);
        snprintf(fresh->task_type, sizeof(fresh->task_type), "%s", task_type);
        return 0;
}

static int find_groups(ListJob *j)
{
        int r = 0, rc = SQLITE_DONE;

        j->n_streams = 0;
        j->n_in_groups = 0;
        j->by_groups = false;
        if (!has_group(&j->filter))
                return 0;

        sqlite3_stmt *st = store_db_statement(j->db, STORE_SQL_COUNTS);
        if (!st)
                return failed(j, sqlite3_extended_errcode(j->db->handle));
        while (r >= 0 && (rc = sqlite3_step(st)) == SQLITE_ROW)
                r = add_stream(j, st);
        if (r >= 0 && rc != SQLITE_DONE)
                r = failed(j, rc);
        store_db_reset(j->db, STORE_SQL_COUNTS);
        j->by_groups = !j->created_by || j->n_in_groups <= SCAN_MAX;
        return r;
}

/* The newest task of a stream in [lowest, below): its seq, 0 for none, negative errno. */
static int64_t next_of_stream(ListJob *j, const Stream *stream, int64_t below, int64_t lowest)
{
        sqlite3_stmt *st = store_db_statement(j->db, STORE_SQL_NEXT_OF_GROUP);
        if (!st)
                return failed(j, sqlite3_extended_errcode(j->db->handle));
        sqlite3_bind_int64(st, 1, below);
        sqlite3_bind_int64(st, 2, lowest);
        sqlite3_bind_text(st, 3, stream->subsystem, -1, SQLITE_STATIC);
        sqlite3_bind_text(st, 4, stream->task_type, -1, SQLITE_STATIC);
        sqlite3_bind_int64(st, 5, stream->owner_uid);
        sqlite3_bind_text(st, 6, task_state_name(stream->status), -1, SQLITE_STATIC);

        int rc = sqlite3_step(st);
        int64_t seq = rc == SQLITE_ROW ? sqlite3_column_int64(st, 0) : 0;
        if (rc != SQLITE_ROW && rc != SQLITE_DONE)
                seq = failed(j, rc);
        store_db_reset(j->db, STORE_SQL_NEXT_OF_GROUP);
        return seq;
}

/* The merge. A stream is asked again only when its head was taken (or is above the window). */
static int64_t next_of_groups(ListJob *j, int64_t below, int64_t lowest)
{
        int64_t best = 0;

        for (size_t i = 0; i < j->n_streams; i++) {
                Stream *stream = j->streams + i;
                if (stream->next >= below)
                        stream->next = next_of_stream(j, stream, below, lowest);
                if (stream->next < 0)
                        return stream->next;
                best = MAX(best, stream->next);
        }
        return best;
}

static int fetch(ListJob *j, int64_t seq)
{
        sqlite3_stmt *st = store_db_statement(j->db, STORE_SQL_TASK_BY_SEQ);
        if (!st)
                return failed(j, sqlite3_extended_errcode(j->db->handle));
        sqlite3_bind_int64(st, 1, seq);
        int rc = sqlite3_step(st);
        int r = rc == SQLITE_ROW ? take(j, st) : failed(j, rc);
        store_db_reset(j->db, STORE_SQL_TASK_BY_SEQ);
        return r;
}

static int walk_groups(ListJob *j, int64_t lowest)
{
        while (!is_full(j)) {
                if (j->scanned++ >= SCAN_MAX)
                        return 1;
                int64_t seq = next_of_groups(j, j->below, lowest);
                if (seq <= 0)
                        return (int)seq;
                int r = fetch(j, seq);
                if (r < 0)
                        return r;
        }
        return 0;
}

/* ---- the walk ---- */

/* All, or a creator's. */
static int walk_rows(ListJob *j, int64_t lowest)
{
        StoreStatement which = j->created_by ? STORE_SQL_WALK_CREATOR : STORE_SQL_WALK_ALL;
        int r = 0, rc = SQLITE_DONE;

        sqlite3_stmt *st = store_db_statement(j->db, which);
        if (!st)
                return failed(j, sqlite3_extended_errcode(j->db->handle));
        sqlite3_bind_int64(st, 1, j->below);
        sqlite3_bind_int64(st, 2, lowest);
        if (j->created_by)
                sqlite3_bind_text(st, 3, j->created_by, -1, SQLITE_STATIC);

        while (r == 0 && !is_full(j) && (rc = sqlite3_step(st)) == SQLITE_ROW)
                r = j->scanned++ >= SCAN_MAX ? 1 : take(j, st);
        if (r == 0 && rc != SQLITE_DONE && rc != SQLITE_ROW)
                r = failed(j, rc);
        store_db_reset(j->db, which);
        return r;
}

/* Walks from j->below down to `lowest`. 1: the slice is used up. */
static int walk(ListJob *j, int64_t lowest)
{
        return j->by_groups ? walk_groups(j, lowest) : walk_rows(j, lowest);
}

static int walk_window(ListJob *j, int64_t first_block, int64_t last_block)
{
        int64_t top = (last_block + 1) << SPAN_SHIFT;

        j->below = MIN(j->below, top);
        for (size_t i = 0; i < j->n_streams; i++)
                j->streams[i].next = INT64_MAX; /* "nothing more" was said of the window above */
        return walk(j, MAX(first_block << SPAN_SHIFT, (int64_t)1));
}

static sqlite3_stmt *span_statement(ListJob *j)
{
        const StoreFilter *f = &j->filter;

        sqlite3_stmt *st = store_db_statement(j->db, STORE_SQL_SPANS);
        if (st) {
                sqlite3_bind_int64(st, 1, (j->below - 1) >> SPAN_SHIFT);
                sqlite3_bind_int64(st, 2, (int64_t)MIN(f->since, (usec_t)INT64_MAX));
                sqlite3_bind_int64(st, 3,
                                   f->until == 0 ? INT64_MAX : (int64_t)MIN(f->until, (usec_t)INT64_MAX));
        }
        return st;
}

/* Joins neighbouring blocks to windows and walks each. */
static int walk_windows(ListJob *j)
{
        int64_t first = -1, last = -1;
        int r = 0, rc = SQLITE_DONE;

        sqlite3_stmt *st = span_statement(j);
        if (!st)
                return failed(j, sqlite3_extended_errcode(j->db->handle));
        while (r == 0 && !is_full(j) && (rc = sqlite3_step(st)) == SQLITE_ROW) {
                int64_t block = sqlite3_column_int64(st, 0);
                if (first >= 0 && block != first - 1) {
                        r = walk_window(j, first, last);
                        first = -1;
                }
                last = first < 0 ? block : last;
                first = block;
        }
        if (r == 0 && rc != SQLITE_DONE && rc != SQLITE_ROW)
                r = failed(j, rc);
        store_db_reset(j->db, STORE_SQL_SPANS);
        if (r == 0 && first >= 0)
                r = walk_window(j, first, last);
        return r;
}

static int run_list(StoreJob *job, StoreDb *db)
{
        ListJob *j = container_of(job, ListJob, job);

        j->db = db;
        j->scanned = 0;
        int r = find_groups(j);
        if (r < 0)
                return r;
        return has_time(&j->filter) ? walk_windows(j) : walk(j, 1);
}

static void finish_list(StoreJob *job, bool call)
{
        ListJob *j = container_of(job, ListJob, job);
        bool is_failed = job->result < 0;

        if (call)
                j->callback(is_failed ? &job->error : NULL, is_failed ? NULL : j->rows, is_failed ? 0 : j->n,
                            j->userdata);
        for (size_t i = 0; i < j->n; i++)
                task_row_free(j->rows[i]);
        free(j->rows);
        free(j->streams);
        free(j->subsystem);
        free(j->task_type);
        free(j->created_by);
        free(j);
}

static int copy_filter(ListJob *j, const StoreFilter *f)
{
        j->filter = *f;
        j->filter.limit = f->limit == 0 ? STORE_LIST_MAX : MIN(f->limit, (unsigned)STORE_LIST_MAX);
        j->below = f->before_seq > 0 ? f->before_seq : INT64_MAX;

        j->subsystem = f->subsystem ? strdup(f->subsystem) : NULL;
        j->task_type = f->task_type ? strdup(f->task_type) : NULL;
        j->created_by = f->created_by ? strdup(f->created_by) : NULL;
        j->filter.subsystem = j->subsystem;
        j->filter.task_type = j->task_type;
        j->filter.created_by = j->created_by;
        if ((f->subsystem && !j->subsystem) || (f->task_type && !j->task_type) ||
            (f->created_by && !j->created_by))
                return -ENOMEM;
        return 0;
}

int store_list(Store *s, const StoreFilter *filter, store_tasks_t callback, void *userdata)
{
        assert(s);
        assert(filter);
        assert(callback);

        ListJob *j = NEW0(ListJob, 1);
        if (!j)
                return -ENOMEM;
        j->job = (StoreJob){ .store = s, .is_query = true, .run = run_list, .finish = finish_list };
        j->callback = callback;
        j->userdata = userdata;

        int r = copy_filter(j, filter);
        if (r >= 0)
                r = store_queue_read(s, &j->job);
        if (r < 0)
                finish_list(&j->job, false);
        return r;
}
