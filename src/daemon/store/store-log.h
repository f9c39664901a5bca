/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* The writer's side of the immutable log: the head of its tree in memory, and appending to it. Of the writer thread, but for
 * loading. */

#include "common/tlog/checkpoint.h"
#include "common/tlog/log-entry.h"
#include "daemon/model/task-row.h"
#include "daemon/store/store-db.h"

typedef struct StoreLog {
        TlogFrontier frontier;
        TlogHash tail[TLOG_TILE_WIDTH]; /* leaves since the last full tile of level 0 */
        unsigned n_tail;
        uint64_t checkpointed; /* entries that the last checkpoint covers */
} StoreLog;

/* Reads the head of the log, before the writer thread runs. -EBADMSG when table and tiles contradict each other: then
 * somebody changed them, and `reeve log verify` tells more. */
int store_log_load(StoreLog *l, StoreDb *db, ReeveError *reterr);

/* Are events of this topic entries? All but those that tell of no change: "task.updated". */
bool store_log_takes(const char *topic);

/* Reads the current row of a statement with LogColumn; strings are borrowed until the next step. -EBADMSG. */
int store_log_read_entry(sqlite3_stmt *st, LogEntry *ret);
/* A tlog_tile_t; `userdata` is a StoreDb. Hashes of entries that are in no full tile are made from their rows. */
int store_log_read_tile(unsigned level, uint64_t index, TlogHash ret[static TLOG_TILE_WIDTH],
                        void *userdata);

/* Appends an event that was inserted with this number. Returns SQLITE_OK or an extended result code; then the log in
 * memory is to be set back to what it was when the transaction (or the savepoint) began, by assignment of a copy. */
int store_log_append(StoreLog *l, StoreDb *db, const EventRow *e, int64_t number);

/* Signs and inserts a checkpoint of what there is, unless the last one covers it. `ret` gets its text, or the last one's.
 * SQLITE_OK or an extended result code. */
int store_log_checkpoint(StoreLog *l, StoreDb *db, const CheckpointKey *key,
                         const uint8_t secret[static CHECKPOINT_SECRET_SIZE], usec_t realtime,
                         char ret[static CHECKPOINT_TEXT_MAX]);
