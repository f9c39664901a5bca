/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* One SQLite connection with its prepared statements. A StoreDb belongs to one thread at a time. */

#include <sqlite3.h>
#include <stdbool.h>

#include "basic/error.h"
#include "daemon/store/store-sql.h"

typedef struct StoreDb {
        sqlite3 *handle;
        sqlite3_stmt *statements[_STORE_STATEMENT_MAX];
} StoreDb;

/* Opens the only writing connection: WAL, synchronous=FULL, no automatic checkpoint, secure_delete. */
int store_db_open_writer(StoreDb *db, const char *path, ReeveError *reterr);

/* Opens a read-only connection that never checkpoints. */
int store_db_open_reader(StoreDb *db, const char *path, ReeveError *reterr);

/* Finalises the statements and closes. Accepts a zeroed one. */
void store_db_done(StoreDb *db);
#define _cleanup_store_db_ _cleanup_(store_db_done)

/* The prepared statement, reset, without bindings. Prepared at first use and kept. NULL on failure: see
 * store_db_error(). Call store_db_reset() after use, so that it holds no lock and no borrowed parameter. */
sqlite3_stmt *store_db_statement(StoreDb *db, StoreStatement which);
void store_db_reset(StoreDb *db, StoreStatement which);

/* Steps a statement that has no rows, and resets it. Returns SQLITE_OK or an extended result code. */
int store_db_run(StoreDb *db, StoreStatement which);

/* Runs text (migrations and pragmas). Returns a result code. */
int store_db_exec(StoreDb *db, const char *sql);

/* True if the result code means that the disk (or quota) is full. Ask before the connection is used again. */
bool store_db_is_full(const StoreDb *db, int code);

/* True if the code is about one statement (a constraint), so that others of the transaction may go on. */
bool store_db_is_local(int code);

/* Says what a result code means: disk full and busy are Unavailable, everything else is Internal; a damaged database
 * names `reeve doctor`. Returns a negative errno: -ENOSPC, -EBADMSG (damaged), -EBUSY, -ENOMEM, -EEXIST (unique),
 * else -EIO. */
int store_db_error(const StoreDb *db, int code, const char *what, ReeveError *reterr);
