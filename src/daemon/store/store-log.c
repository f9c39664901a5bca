/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Every entry is a row, and a leaf of the tree. Of the tree the database keeps tiles: those of level 0 when they are full, so
 * an entry costs one row and, once in 256, 8 KiB; those above as they grow, once in 256 entries. The leaves since the
 * last full tile are kept in memory, and hashed again from their rows at start.
 *
 * Log and state change are in one transaction, so a rolled back one must take back what memory has: the caller copies
 * StoreLog (10 KiB, of which it is cheap to copy all) when a transaction begins, and assigns the copy if it fails. */

#include "daemon/store/store-log.h"

#include <errno.h>
#include <string.h>

#include "basic/strings.h"

#define ACTION_MAX 64

/* What appending hands to its callback. */
typedef struct Appending {
        StoreLog *log;
        StoreDb *db;
        int rc;
} Appending;

bool store_log_takes(const char *topic)
{
        assert(topic);

        return !streq(topic, "task.updated");
}

/* ---- appending ---- */

static int run(StoreDb *db, StoreStatement which, int rc)
{
        if (rc == SQLITE_OK) {
                rc = sqlite3_step(store_db_statement(db, which));
                rc = rc == SQLITE_DONE ? SQLITE_OK : rc;
        }
        return rc;
}

static int put_hashes(StoreDb *db, unsigned level, uint64_t tile, const TlogHash *hashes, unsigned n)
{
        sqlite3_stmt *st = store_db_statement(db, STORE_SQL_PUT_LOG_TILE);
        if (!st)
                return sqlite3_extended_errcode(db->handle);
        int rc = sqlite3_bind_int64(st, 1, level);
        if (rc == SQLITE_OK)
                rc = sqlite3_bind_int64(st, 2, (int64_t)tile);
        if (rc == SQLITE_OK)
                rc = sqlite3_bind_blob(st, 3, hashes, (int)(n * sizeof(TlogHash)), SQLITE_STATIC);
        rc = run(db, STORE_SQL_PUT_LOG_TILE, rc);
        store_db_reset(db, STORE_SQL_PUT_LOG_TILE);
        return rc;
}

static int on_subtree(unsigned level, uint64_t index, const TlogHash *hash, void *userdata)
{
        Appending *a = ASSERT_PTR(userdata);
        StoreLog *l = a->log;

        if (level > 0)
                a->rc = put_hashes(a->db, level, index / TLOG_TILE_WIDTH, hash, 1);
        else {
                l->tail[l->n_tail++] = *hash;
                if (l->n_tail == TLOG_TILE_WIDTH) {
                        a->rc = put_hashes(a->db, 0, index / TLOG_TILE_WIDTH, l->tail, l->n_tail);
                        l->n_tail = 0;
                }
        }
        return a->rc == SQLITE_OK ? 0 : -EIO;
}

static int bind_text(sqlite3_stmt *st, int column, const char *text)
{
        return text ? sqlite3_bind_text(st, column, text, -1, SQLITE_STATIC) : sqlite3_bind_null(st, column);
}

static int insert_entry(StoreDb *db, uint64_t index, const LogEntry *e)
{
        sqlite3_stmt *st = store_db_statement(db, STORE_SQL_INSERT_LOG_ENTRY);
        if (!st)
                return sqlite3_extended_errcode(db->handle);
        int rc = sqlite3_bind_int64(st, 1, (int64_t)index);
        if (rc == SQLITE_OK)
                rc = sqlite3_bind_int64(st, 2, e->number);
        if (rc == SQLITE_OK)
                rc = sqlite3_bind_int64(st, 3, e->timestamp);
        if (rc == SQLITE_OK)
                rc = bind_text(st, 4, e->action);
        if (rc == SQLITE_OK)
                rc = bind_text(st, 5, e->task_id);
        if (rc == SQLITE_OK)
                rc = bind_text(st, 6, e->subsystem);
        if (rc == SQLITE_OK)
                rc = bind_text(st, 7, e->detail);
        rc = run(db, STORE_SQL_INSERT_LOG_ENTRY, rc);
        store_db_reset(db, STORE_SQL_INSERT_LOG_ENTRY);
        return rc;
}

/* "task.created" -> "task_created": so that LIKE 'task_%' finds them, as users write it. */
static void action_of_topic(const char *topic, char ret[static ACTION_MAX])
{
        size_t n = MIN(strlen(topic), (size_t)ACTION_MAX - 1);

        for (size_t i = 0; i < n; i++)
                ret[i] = topic[i] == '.' ? '_' : topic[i];
        ret[n] = '\0';
}

int store_log_append(StoreLog *l, StoreDb *db, const EventRow *e, int64_t number)
{
        char action[ACTION_MAX];
        TlogHash leaf;

        assert(l);
        assert(db);
        assert(e);

        action_of_topic(e->topic, action);
        LogEntry entry = { .number = number,
                           .timestamp = (int64_t)e->realtime,
                           .action = action,
                           .task_id = e->task_id,
                           .subsystem = e->subsystem,
                           .detail = e->detail };
        int r = log_entry_hash(&entry, &leaf);
        if (r < 0)
                return r == -ENOMEM ? SQLITE_NOMEM : SQLITE_MISUSE;
        Appending a = { .log = l, .db = db };
        a.rc = insert_entry(db, l->frontier.size, &entry);
        if (a.rc == SQLITE_OK)
                (void)tlog_append(&l->frontier, &leaf, on_subtree, &a);
        return a.rc;
}

/* ---- loading ---- */

static int one_number(StoreDb *db, StoreStatement which, int64_t *ret)
{
        sqlite3_stmt *st = store_db_statement(db, which);
        if (!st)
                return sqlite3_extended_errcode(db->handle);
        int rc = sqlite3_step(st);
        if (rc == SQLITE_ROW) {
                *ret = sqlite3_column_int64(st, 0);
                rc = SQLITE_OK;
        }
        store_db_reset(db, which);
        return rc;
}

int store_log_read_entry(sqlite3_stmt *st, LogEntry *ret)
{
        assert(st);
        assert(ret);

        *ret = (LogEntry){
                .number = sqlite3_column_int64(st, LOG_COLUMN_NUMBER),
                .timestamp = sqlite3_column_int64(st, LOG_COLUMN_TIMESTAMP),
                .action = (const char *)sqlite3_column_text(st, LOG_COLUMN_ACTION),
                .task_id = (const char *)sqlite3_column_text(st, LOG_COLUMN_TASK_ID),
                .subsystem = (const char *)sqlite3_column_text(st, LOG_COLUMN_SUBSYSTEM),
                .detail = (const char *)sqlite3_column_text(st, LOG_COLUMN_DETAIL),
        };
        return ret->action ? 0 : -EBADMSG;
}

/* The leaves [from, from + n). Fewer if the log ends. */
static int hash_entries(StoreDb *db, uint64_t from, unsigned n, TlogHash *ret)
{
        unsigned got = 0;
        LogEntry e;
        int r = 0;

        sqlite3_stmt *st = store_db_statement(db, STORE_SQL_LOG_ENTRIES);
        if (!st)
                return -EIO;
        if (sqlite3_bind_int64(st, 1, (int64_t)from) != SQLITE_OK ||
            sqlite3_bind_int64(st, 2, n) != SQLITE_OK)
                r = -ENOMEM;
        while (r >= 0 && got < n) {
                int rc = sqlite3_step(st);
                if (rc == SQLITE_DONE)
                        break;
                if (rc != SQLITE_ROW)
                        r = -EIO;
                else if (sqlite3_column_int64(st, LOG_COLUMN_ENTRY) != (int64_t)(from + got))
                        r = -EBADMSG;
                else if ((r = store_log_read_entry(st, &e)) >= 0)
                        r = log_entry_hash(&e, ret + got++);
        }
        store_db_reset(db, STORE_SQL_LOG_ENTRIES);
        return r < 0 ? (r == -EINVAL ? -EBADMSG : r) : (int)got;
}

int store_log_read_tile(unsigned level, uint64_t index, TlogHash ret[static TLOG_TILE_WIDTH], void *userdata)
{
        StoreDb *db = ASSERT_PTR(userdata);
        int n = 0;

        sqlite3_stmt *st = store_db_statement(db, STORE_SQL_LOG_TILE);
        if (!st)
                return -EIO;
        if (sqlite3_bind_int64(st, 1, level) != SQLITE_OK ||
            sqlite3_bind_int64(st, 2, (int64_t)index) != SQLITE_OK)
                n = -ENOMEM;
        else {
                int rc = sqlite3_step(st);
                size_t size = rc == SQLITE_ROW ? (size_t)sqlite3_column_bytes(st, 0) : 0;

                if (rc != SQLITE_ROW && rc != SQLITE_DONE)
                        n = -EIO;
                else if (size % sizeof(TlogHash) != 0 || size > TLOG_TILE_WIDTH * sizeof(TlogHash))
                        n = -EBADMSG;
                else {
                        if (size > 0)
                                memcpy(ret, sqlite3_column_blob(st, 0), size);
                        n = (int)(size / sizeof(TlogHash));
                }
        }
        store_db_reset(db, STORE_SQL_LOG_TILE);
        if (n == 0 && level == 0) /* not full yet: from the entries */
                n = hash_entries(db, index * TLOG_TILE_WIDTH, TLOG_TILE_WIDTH, ret);
        return n;
}

static int load(StoreLog *l, StoreDb *db, TlogReader *reader)
{
        int64_t size = 0, checkpointed = 0;

        if (one_number(db, STORE_SQL_LOG_SIZE, &size) != SQLITE_OK ||
            one_number(db, STORE_SQL_LOG_CHECKPOINTED, &checkpointed) != SQLITE_OK)
                return -EIO;
        if (size < 0 || checkpointed < 0 || checkpointed > size)
                return -EBADMSG;
        l->checkpointed = (uint64_t)checkpointed;

        tlog_reader_init(reader, store_log_read_tile, db);
        int r = tlog_frontier_at(reader, (uint64_t)size, &l->frontier);
        if (r < 0)
                return r;
        l->n_tail = (unsigned)(size % TLOG_TILE_WIDTH);
        if (l->n_tail == 0)
                return 0;
        r = store_log_read_tile(0, (uint64_t)size / TLOG_TILE_WIDTH, l->tail, db);
        return r < 0 ? r : r == (int)l->n_tail ? 0 : -EBADMSG;
}

int store_log_load(StoreLog *l, StoreDb *db, ReeveError *reterr)
{
        assert(l);
        assert(db);

        *l = (StoreLog){ 0 };
        _cleanup_free_ TlogReader *reader = NEW(TlogReader, 1);
        if (!reader)
                return reeve_error_errno(reterr, ENOMEM, NULL, "cannot read the immutable log");
        int r = load(l, db, reader);
        if (r == -EBADMSG)
                return reeve_error_set(
                                reterr, REEVE_ERROR_INTERNAL, "immutable_log",
                                "the entries of the immutable log and its tree contradict each other: "
                                "somebody has changed them; see `reeve log verify`");
        return r < 0 ? reeve_error_errno(reterr, r, "immutable_log", "cannot read the immutable log") : 0;
}

/* ---- checkpoints ---- */

static int insert_checkpoint(StoreDb *db, uint64_t entries, usec_t realtime, const char *note)
{
        sqlite3_stmt *st = store_db_statement(db, STORE_SQL_INSERT_LOG_CHECKPOINT);
        if (!st)
                return sqlite3_extended_errcode(db->handle);
        int rc = sqlite3_bind_int64(st, 1, (int64_t)entries);
        if (rc == SQLITE_OK)
                rc = sqlite3_bind_int64(st, 2, (int64_t)realtime);
        if (rc == SQLITE_OK)
                rc = sqlite3_bind_text(st, 3, note, -1, SQLITE_STATIC);
        rc = run(db, STORE_SQL_INSERT_LOG_CHECKPOINT, rc);
        store_db_reset(db, STORE_SQL_INSERT_LOG_CHECKPOINT);
        return rc;
}

/* The text of the last one. */
static int last_checkpoint(StoreDb *db, char ret[static CHECKPOINT_TEXT_MAX])
{
        sqlite3_stmt *st = store_db_statement(db, STORE_SQL_LAST_LOG_CHECKPOINT);
        if (!st)
                return sqlite3_extended_errcode(db->handle);
        int rc = sqlite3_step(st);
        if (rc == SQLITE_ROW) {
                const char *note = (const char *)sqlite3_column_text(st, 1);

                rc = SQLITE_OK;
                if (!note || strlen(note) >= CHECKPOINT_TEXT_MAX)
                        rc = SQLITE_CORRUPT;
                else
                        strcpy(ret, note);
        }
        store_db_reset(db, STORE_SQL_LAST_LOG_CHECKPOINT);
        return rc;
}

int store_log_checkpoint(StoreLog *l, StoreDb *db, const CheckpointKey *key,
                         const uint8_t secret[static CHECKPOINT_SECRET_SIZE], usec_t realtime,
                         char ret[static CHECKPOINT_TEXT_MAX])
{
        Checkpoint c = { .size = l->frontier.size };

        assert(l);
        assert(db);
        assert(key);

        if (l->checkpointed == c.size && c.size > 0)
                return last_checkpoint(db, ret);
        tlog_root(&l->frontier, &c.root);
        checkpoint_sign(&c, key, secret, ret);
        if (c.size == 0) /* nothing to keep */
                return SQLITE_OK;
        int rc = insert_checkpoint(db, c.size, realtime, ret);
        if (rc == SQLITE_OK)
                l->checkpointed = c.size;
        return rc;
}
