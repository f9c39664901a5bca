/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* See the header. Everything waits for events with a limit of ten seconds, which only a failing test reaches. */

#include "tests/unit/daemon/store-fixture.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define PATIENCE_USEC (10 * USEC_PER_SEC)

static unsigned turns;

int fixture_setup(void **state)
{
        Fixture *f = calloc(1, sizeof(*f));
        if (!f)
                return -1;
        snprintf(f->dir, sizeof(f->dir), "/tmp/reeve-test-store-XXXXXX");
        if (!mkdtemp(f->dir) || sd_event_new(&f->event) < 0)
                return -1;
        snprintf(f->path, sizeof(f->path), "%s/registry.db", f->dir);
        snprintf(f->backup_dir, sizeof(f->backup_dir), "%s/backup", f->dir);
        snprintf(f->log_key, sizeof(f->log_key), "%s/log.key", f->dir);
        turns = 0;
        *state = f;
        return 0;
}

static int remove_one(const char *path, const struct stat *st _unused_, int type _unused_,
                      struct FTW *ftw _unused_)
{
        return remove(path);
}

int fixture_teardown(void **state)
{
        Fixture *f = *state;

        fixture_close(f);
        sd_event_unref(f->event);
        nftw(f->dir, remove_one, 16, FTW_DEPTH | FTW_PHYS);
        free(f);
        return 0;
}

void fixture_open(Fixture *f)
{
        ReeveError error = REEVE_ERROR_NULL;
        StoreConfig config = { .path = f->path,
                               .backup_dir = f->backup_dir,
                               .log_key = f->log_key,
                               .log_origin = "reeve/test",
                               .event = f->event };

        assert_ok(store_open(&config, &f->store, &error), error);
}

void fixture_close(Fixture *f)
{
        f->store = store_close(f->store);
}

static int on_patience(sd_event_source *source _unused_, uint64_t usec _unused_, void *userdata)
{
        bool *over = userdata;
        *over = true;
        return 0;
}

void fixture_wait(Fixture *f, const bool *flag, const char *what)
{
        sd_event_source *timer = NULL;
        bool over = false;

        assert_true(sd_event_add_time_relative(f->event, &timer, CLOCK_MONOTONIC, PATIENCE_USEC, 0,
                                               on_patience, &over) >= 0);
        while (!*flag && !over)
                assert_true(sd_event_run(f->event, UINT64_MAX) >= 0);
        sd_event_source_disable_unref(timer);
        if (!*flag)
                fail_msg("waited ten seconds for: %s", what);
}

void on_written(const ReeveError *error, int64_t last_event, void *userdata)
{
        Written *w = ASSERT_PTR((Written *)userdata);

        if (w->done)
                fail_msg("a callback came twice");
        *w = (Written){ .done = true, .last_event = last_event, .turn = turns++ };
        if (error) {
                w->code = error->code;
                w->error = *error;
        }
}

void fixture_commit(Fixture *f, StoreWrite *w, Written *written)
{
        assert_int_equal(store_write_submit(w), 0);
        fixture_wait(f, &written->done, "a commit");
        if (written->code != REEVE_ERROR_NONE)
                fail_msg("a write failed: %s", written->error.text);
}

TaskRow make_task(const char *task_id)
{
        return (TaskRow){
                .task_id = (char *)task_id,
                .subsystem = (char *)"healing",
                .task_type = (char *)"playbook",
                .title = (char *)"a task",
                .owner_uid = 1000,
                .run_uid = 1000,
                .run_gid = 1000,
                .priority = TASK_PRIORITY_NORMAL,
                .status = TASK_PENDING,
                .attempts = 1,
                .created_realtime = 1700000000 * USEC_PER_SEC,
                .created_boottime = 1000 * USEC_PER_SEC,
        };
}

void fixture_insert(Fixture *f, const TaskRow *t)
{
        Written written = {};

        StoreWrite *w = store_write_new(f->store, 0, on_written, &written);
        assert_non_null(w);
        assert_int_equal(store_write_insert_task(w, t), 0);
        fixture_commit(f, w, &written);
}

typedef struct Got {
        bool done;
        TaskRow *row;
} Got;

static void on_got(const ReeveError *error, TaskRow **rows, size_t n, void *userdata)
{
        Got *got = ASSERT_PTR((Got *)userdata);

        if (error)
                fail_msg("get failed: %s", error->text);
        assert_true(n <= 1);
        got->done = true;
        got->row = n == 1 ? task_row_copy(rows[0]) : NULL;
}

TaskRow *fixture_get(Fixture *f, const char *task_id)
{
        Got got = {};

        assert_int_equal(store_get(f->store, task_id, on_got, &got), 0);
        fixture_wait(f, &got.done, "a task");
        return got.row;
}

typedef struct Listed {
        bool done;
        char (*ids)[32];
        size_t n, room;
        int64_t last_seq;
} Listed;

static void on_listed(const ReeveError *error, TaskRow **rows, size_t n, void *userdata)
{
        Listed *l = ASSERT_PTR((Listed *)userdata);

        if (error)
                fail_msg("list failed: %s", error->text);
        assert_true(n <= l->room);
        for (size_t i = 0; i < n; i++) {
                snprintf(l->ids[i], sizeof(l->ids[i]), "%s", rows[i]->task_id);
                l->last_seq = rows[i]->seq;
        }
        l->n = n;
        l->done = true;
}

size_t fixture_list(Fixture *f, const StoreFilter *filter, char (*ids)[32], size_t room, int64_t *last_seq)
{
        Listed l = { .ids = ids, .room = room };

        assert_int_equal(store_list(f->store, filter, on_listed, &l), 0);
        fixture_wait(f, &l.done, "a list");
        if (last_seq)
                *last_seq = l.last_seq;
        return l.n;
}

static sqlite3 *open_own(const Fixture *f)
{
        sqlite3 *db = NULL;

        if (sqlite3_open_v2(f->path, &db, SQLITE_OPEN_READWRITE, NULL) != SQLITE_OK)
                fail_msg("cannot open %s: %s", f->path, sqlite3_errmsg(db));
        sqlite3_db_config(db, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1, NULL);
        sqlite3_busy_timeout(db, 5000);
        return db;
}

int64_t fixture_ask(const Fixture *f, const char *sql)
{
        sqlite3 *db = open_own(f);
        sqlite3_stmt *st = NULL;

        if (sqlite3_prepare_v2(db, sql, -1, &st, NULL) != SQLITE_OK || sqlite3_step(st) != SQLITE_ROW)
                fail_msg("%s: %s", sql, sqlite3_errmsg(db));
        int64_t value = sqlite3_column_int64(st, 0);
        sqlite3_finalize(st);
        sqlite3_close(db);
        return value;
}

sqlite3 *fixture_hold_writer(const Fixture *f)
{
        sqlite3 *db = open_own(f);

        if (sqlite3_exec(db, "BEGIN IMMEDIATE", NULL, NULL, NULL) != SQLITE_OK)
                fail_msg("cannot hold the writer: %s", sqlite3_errmsg(db));
        return db;
}

void fixture_release_writer(sqlite3 *db)
{
        sqlite3_exec(db, "ROLLBACK", NULL, NULL, NULL);
        sqlite3_close(db);
}
