/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* How connections are opened is what keeps the database sound:
 *
 * - SQLite before 3.51.3 can corrupt a WAL when two connections write or checkpoint at the same moment. So one
 *   connection writes and checkpoints; readers are opened read-only, with wal_autocheckpoint off and
 *   NO_CKPT_ON_CLOSE, and there is no mmap.
 * - synchronous=FULL syncs the WAL at each commit: what was reported as committed survives a power cut. The writer's
 *   pages go to the log in one piece (store-vfs.c), which relies on that sync.
 * - secure_delete=ON overwrites what is deleted: specifications hold environments, and environments hold secrets.
 * - foreign_keys stay off: rows of a task are written after the task's own by one writer, a task is never renamed, and
 *   retention deletes in an order of its own. A check on each insert would buy nothing.
 * - trusted_schema=OFF and DEFENSIVE: a doctored file cannot make us run functions or overwrite the schema.
 *
 * Connections are opened without SQLite's own mutex: each belongs to one thread. */

#include "daemon/store/store-db.h"

#include <errno.h>

#include "daemon/store/store-vfs.h"

#define BUSY_TIMEOUT_MSEC 5000

/* A WAL that was large once is cut to this when it starts anew. */
#define WRITER_PRAGMAS                          \
        "PRAGMA synchronous = FULL;"            \
        "PRAGMA wal_autocheckpoint = 0;"        \
        "PRAGMA journal_size_limit = 16777216;" \
        "PRAGMA secure_delete = ON;"            \
        "PRAGMA temp_store = MEMORY;"           \
        "PRAGMA trusted_schema = OFF;"

#define READER_PRAGMAS                   \
        "PRAGMA wal_autocheckpoint = 0;" \
        "PRAGMA query_only = ON;"        \
        "PRAGMA temp_store = MEMORY;"    \
        "PRAGMA trusted_schema = OFF;"

static int open_with(StoreDb *db, const char *path, int flags, const char *vfs, const char *pragmas,
                     ReeveError *reterr)
{
        *db = (StoreDb){};

        int rc = sqlite3_open_v2(path, &db->handle, flags | SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_PRIVATECACHE,
                                 vfs);
        if (rc == SQLITE_OK) {
                sqlite3_extended_result_codes(db->handle, 1);
                sqlite3_busy_timeout(db->handle, BUSY_TIMEOUT_MSEC);
                sqlite3_db_config(db->handle, SQLITE_DBCONFIG_DEFENSIVE, 1, NULL);
                rc = store_db_exec(db, pragmas);
        }
        if (rc == SQLITE_OK)
                return 0;

        int r = store_db_error(db, rc, path, reterr);
        store_db_done(db);
        return r;
}

/* Asks for WAL and believes only the answer: on a file system without shared memory SQLite stays where it was. */
static int set_wal(StoreDb *db, const char *path, ReeveError *reterr)
{
        sqlite3_stmt *st = NULL;
        bool is_wal = false;

        int rc = sqlite3_prepare_v2(db->handle, "PRAGMA journal_mode = WAL", -1, &st, NULL);
        if (rc == SQLITE_OK) {
                rc = sqlite3_step(st);
                is_wal = rc == SQLITE_ROW &&
                         sqlite3_stricmp((const char *)sqlite3_column_text(st, 0), "wal") == 0;
        }
        int failed = rc == SQLITE_ROW || rc == SQLITE_DONE ? 0 : store_db_error(db, rc, path, reterr);
        sqlite3_finalize(st);

        if (failed < 0)
                return failed;
        if (!is_wal)
                return reeve_error_set(reterr, REEVE_ERROR_INTERNAL, path,
                                       "%s: its file system cannot hold a database with a write-ahead log",
                                       path);
        return 0;
}

int store_db_open_writer(StoreDb *db, const char *path, ReeveError *reterr)
{
        assert(db);
        assert(path);

        const char *vfs = store_vfs_register() == SQLITE_OK ? STORE_VFS_NAME : NULL;
        int r = open_with(db, path, SQLITE_OPEN_READWRITE, vfs, WRITER_PRAGMAS, reterr);
        if (r < 0)
                return r;
        r = set_wal(db, path, reterr);
        if (r < 0)
                store_db_done(db);
        return r;
}

int store_db_open_reader(StoreDb *db, const char *path, ReeveError *reterr)
{
        assert(db);
        assert(path);

        int r = open_with(db, path, SQLITE_OPEN_READONLY, NULL, READER_PRAGMAS, reterr);
        if (r >= 0)
                sqlite3_db_config(db->handle, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1, NULL);
        return r;
}

void store_db_done(StoreDb *db)
{
        assert(db);

        for (size_t i = 0; i < _STORE_STATEMENT_MAX; i++)
                sqlite3_finalize(db->statements[i]);
        sqlite3_close(db->handle);
        *db = (StoreDb){};
}

sqlite3_stmt *store_db_statement(StoreDb *db, StoreStatement which)
{
        assert(db);
        assert((unsigned)which < _STORE_STATEMENT_MAX);

        if (!db->statements[which])
                (void)sqlite3_prepare_v3(db->handle, store_sql(which), -1, SQLITE_PREPARE_PERSISTENT,
                                         &db->statements[which], NULL);
        return db->statements[which];
}

void store_db_reset(StoreDb *db, StoreStatement which)
{
        assert(db);

        if (!db->statements[which])
                return;
        sqlite3_reset(db->statements[which]);
        sqlite3_clear_bindings(db->statements[which]);
}

int store_db_run(StoreDb *db, StoreStatement which)
{
        sqlite3_stmt *st = store_db_statement(db, which);
        if (!st)
                return sqlite3_extended_errcode(db->handle);

        int rc = sqlite3_step(st);
        store_db_reset(db, which);
        return rc == SQLITE_DONE || rc == SQLITE_ROW ? SQLITE_OK : rc;
}

int store_db_exec(StoreDb *db, const char *sql)
{
        assert(db);
        return sqlite3_exec(db->handle, sql, NULL, NULL, NULL);
}

bool store_db_is_full(const StoreDb *db, int code)
{
        assert(db);

        switch (code & 0xff) {
        case SQLITE_FULL:
                return true;
        case SQLITE_IOERR:
        case SQLITE_CANTOPEN: {
                int number = sqlite3_system_errno(db->handle);
                return number == ENOSPC || number == EDQUOT;
        }
        default:
                return false;
        }
}

bool store_db_is_local(int code)
{
        switch (code & 0xff) {
        case SQLITE_CONSTRAINT:
        case SQLITE_TOOBIG:
        case SQLITE_MISMATCH:
        case SQLITE_RANGE:
                return true;
        default:
                return false;
        }
}

/* What SQLite says, and what it means to us. Returns -number. */
static int say(ReeveError *reterr, const StoreDb *db, const char *what, int number, const char *hint)
{
        static const int transient[] = { ENOSPC, EBUSY, ENOMEM };
        ReeveErrorCode code = REEVE_ERROR_INTERNAL;

        for (size_t i = 0; i < ELEMENTSOF(transient); i++)
                if (number == transient[i])
                        code = REEVE_ERROR_UNAVAILABLE;
        reeve_error_set(reterr, code, NULL, "%s: %s%s", what, sqlite3_errmsg(db->handle), hint);
        if (reterr)
                reterr->number = number;
        return -number;
}

int store_db_error(const StoreDb *db, int code, const char *what, ReeveError *reterr)
{
        assert(db);
        assert(what);

        if (store_db_is_full(db, code))
                return say(reterr, db, what, ENOSPC, "; the disk is full");
        switch (code & 0xff) {
        case SQLITE_CORRUPT:
        case SQLITE_NOTADB:
                return say(reterr, db, what, EBADMSG, "; the database is damaged, see `reeve doctor`");
        case SQLITE_BUSY:
        case SQLITE_LOCKED:
                return say(reterr, db, what, EBUSY, "");
        case SQLITE_NOMEM:
                return say(reterr, db, what, ENOMEM, "");
        case SQLITE_READONLY:
                return say(reterr, db, what, EROFS, "");
        case SQLITE_CONSTRAINT:
                return say(reterr, db, what, code == SQLITE_CONSTRAINT_UNIQUE ? EEXIST : EIO, "");
        default: {
                int number = sqlite3_system_errno(db->handle);
                return say(reterr, db, what, number > 0 ? number : EIO, "");
        }
        }
}
