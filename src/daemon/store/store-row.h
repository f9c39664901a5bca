/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Rows to parameters, and columns to rows. */

#include <sqlite3.h>

#include "daemon/model/task-row.h"

/* Bind a row to the statement that inserts or updates it (see store-sql.h). Texts and blobs are borrowed until the
 * statement is reset. Return SQLITE_OK or a result code. */
int store_bind_insert_task(sqlite3_stmt *st, const TaskRow *t);
int store_bind_update_task(sqlite3_stmt *st, const TaskRow *t);
int store_bind_attempt(sqlite3_stmt *st, const AttemptRow *a);
int store_bind_snapshot(sqlite3_stmt *st, const char *task_id, const SnapshotRow *s);
int store_bind_verification(sqlite3_stmt *st, const VerificationRow *v);
int store_bind_event(sqlite3_stmt *st, const EventRow *e);

/* Make a row of the statement's current row. -ENOMEM; -EBADMSG if a column holds what no version of reeve wrote there.
 * The caller owns what is returned, also the strings in *ret. */
int store_read_task(sqlite3_stmt *st, TaskRow **ret);
int store_read_snapshot(sqlite3_stmt *st, SnapshotRow *ret);
int store_read_verification(sqlite3_stmt *st, VerificationRow *ret);
int store_read_event(sqlite3_stmt *st, EventRow *ret);
