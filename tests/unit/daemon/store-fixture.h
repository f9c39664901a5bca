/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* What the tests of the store share: a directory, a loop, a store in it, rows to write, and waiting by events. */

#include <sqlite3.h>
#include <systemd/sd-event.h>

#include "daemon/store/store.h"
#include "tests/unit/test.h"

typedef struct Fixture {
        char dir[64];
        char path[96];
        char backup_dir[96];
        char log_key[96];
        sd_event *event;
        Store *store; /* NULL until fixture_open() */
} Fixture;

/* cmocka set-up and tear-down. The tear-down closes the store and removes the directory. */
int fixture_setup(void **state);
int fixture_teardown(void **state);

/* Opens the store without periodic backup, or fails the test. */
void fixture_open(Fixture *f);
void fixture_close(Fixture *f);

/* Runs the loop until *flag, or fails the test after ten seconds, naming `what`. */
void fixture_wait(Fixture *f, const bool *flag, const char *what);

/* What came back of a write. */
typedef struct Written {
        bool done;
        ReeveErrorCode code; /* NONE: it was committed */
        ReeveError error;    /* a copy */
        int64_t last_event;
        unsigned turn; /* how many callbacks came before */
} Written;

void on_written(const ReeveError *error, int64_t last_event, void *userdata);

/* Submits, waits, and fails unless it was committed. */
void fixture_commit(Fixture *f, StoreWrite *w, Written *written);

/* A task with the required members; the strings are borrowed. */
TaskRow make_task(const char *task_id);

/* Inserts a task and waits for the commit. */
void fixture_insert(Fixture *f, const TaskRow *t);

/* The task from the store, NULL if there is none. Free with task_row_free(). */
TaskRow *fixture_get(Fixture *f, const char *task_id);

/* A list: ids into the array of `room`, and the seq of the last; returns how many. */
size_t fixture_list(Fixture *f, const StoreFilter *filter, char (*ids)[32], size_t room, int64_t *last_seq);

/* One number by a connection of the test's own. */
int64_t fixture_ask(const Fixture *f, const char *sql);

/* A second connection in a write transaction, so that the store's writer waits until it is let go and everything that is
 * submitted meanwhile must come into one batch. */
sqlite3 *fixture_hold_writer(const Fixture *f);
void fixture_release_writer(sqlite3 *db);
