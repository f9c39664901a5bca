/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* SQLite writes each page of a transaction to its log as two writes, 24 bytes and the page, and a transaction of one task
 * is some twenty pages: forty system calls, each of which finds and marks its page of the cache anew. Here what is
 * appended gathers and is written at once.
 *
 *     write: follows what waits and fits? -> waits
 *            else                         -> what waits is written, this waits in its place
 *     sync, read, truncate, size, close, any other request that concerns the file -> what waits is written first
 *
 * Why that is sound: writes keep their order. The writing connection syncs the log at each commit (synchronous=FULL), and
 * tells readers of the new pages, by the index in shared memory, only after the sync; what it reads back itself it gets
 * through this file. So nobody can look for what is still here, and a crash loses what was not committed.
 *
 * A write that fails is told to whoever made it necessary, and, since SQLite does not mind every answer, once more to the
 * next sync: no commit succeeds after it. What waited is forgotten then; the transaction is rolled back, and its pages of
 * the log are written again by the next one.
 *
 * The database itself, its index and everything that is no log are SQLite's own files, untouched. */

#include "daemon/store/store-vfs.h"

#include <pthread.h>
#include <sqlite3.h>
#include <stdlib.h>
#include <string.h>

#include "basic/macro.h"

typedef struct LogFile {
        sqlite3_file base; /* first: what SQLite sees */
        char *waiting;     /* STORE_VFS_BUFFER bytes, owned */
        int n_waiting;
        sqlite3_int64 offset; /* of the first byte that waits */
        int failed;           /* code of a write since the last sync */
        sqlite3_file real[];  /* SQLite's own; larger than its type */
} LogFile;

static LogFile *log_file(sqlite3_file *f)
{
        return (LogFile *)f;
}

static sqlite3_file *real(sqlite3_file *f)
{
        return log_file(f)->real;
}

static int write_out(LogFile *f)
{
        int n = f->n_waiting;

        if (n == 0)
                return SQLITE_OK;
        f->n_waiting = 0;
        int rc = f->real->pMethods->xWrite(f->real, f->waiting, n, f->offset);
        if (rc != SQLITE_OK)
                f->failed = rc;
        return rc;
}

static int on_write(sqlite3_file *file, const void *data, int size, sqlite3_int64 offset)
{
        LogFile *f = log_file(file);

        if (f->n_waiting > 0 &&
            (offset != f->offset + f->n_waiting || size > STORE_VFS_BUFFER - f->n_waiting)) {
                int rc = write_out(f);
                if (rc != SQLITE_OK)
                        return rc;
        }
        if (size > STORE_VFS_BUFFER)
                return f->real->pMethods->xWrite(f->real, data, size, offset);
        if (f->n_waiting == 0)
                f->offset = offset;
        memcpy(f->waiting + f->n_waiting, data, (size_t)size);
        f->n_waiting += size;
        return SQLITE_OK;
}

static int on_read(sqlite3_file *f, void *data, int size, sqlite3_int64 offset)
{
        int rc = write_out(log_file(f));

        return rc != SQLITE_OK ? rc : real(f)->pMethods->xRead(real(f), data, size, offset);
}

static int on_sync(sqlite3_file *f, int flags)
{
        int rc = write_out(log_file(f));

        if (rc == SQLITE_OK)
                rc = log_file(f)->failed;
        log_file(f)->failed = SQLITE_OK;
        return rc != SQLITE_OK ? rc : real(f)->pMethods->xSync(real(f), flags);
}

static int on_truncate(sqlite3_file *f, sqlite3_int64 size)
{
        int rc = write_out(log_file(f));

        return rc != SQLITE_OK ? rc : real(f)->pMethods->xTruncate(real(f), size);
}

static int on_size(sqlite3_file *f, sqlite3_int64 *ret)
{
        int rc = write_out(log_file(f));

        return rc != SQLITE_OK ? rc : real(f)->pMethods->xFileSize(real(f), ret);
}

static int on_close(sqlite3_file *f)
{
        int written = write_out(log_file(f)), rc = real(f)->pMethods->xClose(real(f));

        free(log_file(f)->waiting);
        return written != SQLITE_OK ? written : rc;
}

static int on_lock(sqlite3_file *f, int level)
{
        return real(f)->pMethods->xLock(real(f), level);
}

static int on_unlock(sqlite3_file *f, int level)
{
        return real(f)->pMethods->xUnlock(real(f), level);
}

static int on_check_lock(sqlite3_file *f, int *ret)
{
        return real(f)->pMethods->xCheckReservedLock(real(f), ret);
}

static int on_control(sqlite3_file *f, int operation, void *argument)
{
        return real(f)->pMethods->xFileControl(real(f), operation, argument);
}

static int on_sector_size(sqlite3_file *f)
{
        return real(f)->pMethods->xSectorSize(real(f));
}

static int on_characteristics(sqlite3_file *f)
{
        return real(f)->pMethods->xDeviceCharacteristics(real(f));
}

/* Version 1: a log is neither shared nor mapped, the database is. */
static const sqlite3_io_methods log_methods = {
        .iVersion = 1,
        .xClose = on_close,
        .xRead = on_read,
        .xWrite = on_write,
        .xTruncate = on_truncate,
        .xSync = on_sync,
        .xFileSize = on_size,
        .xLock = on_lock,
        .xUnlock = on_unlock,
        .xCheckReservedLock = on_check_lock,
        .xFileControl = on_control,
        .xSectorSize = on_sector_size,
        .xDeviceCharacteristics = on_characteristics,
};

static int on_open(sqlite3_vfs *vfs, const char *name, sqlite3_file *file, int flags, int *ret_flags)
{
        sqlite3_vfs *own = sqlite3_vfs_find(NULL);
        LogFile *f = log_file(file);

        if (!(flags & SQLITE_OPEN_WAL))
                return own->xOpen(own, name, file, flags, ret_flags);
        memset(f, 0, sizeof(*f)); /* without methods it is not closed */
        f->waiting = malloc(STORE_VFS_BUFFER);
        if (!f->waiting)
                return SQLITE_NOMEM;
        int rc = own->xOpen(own, name, f->real, flags, ret_flags);
        if (rc != SQLITE_OK) {
                if (f->real->pMethods)
                        f->real->pMethods->xClose(f->real);
                free(f->waiting);
                return rc;
        }
        f->base.pMethods = &log_methods;
        return SQLITE_OK;
}

static int registered;

static void register_once(void)
{
        static sqlite3_vfs ours;
        sqlite3_vfs *own = sqlite3_vfs_find(NULL);

        if (!own) {
                registered = SQLITE_ERROR;
                return;
        }
        ours = *own;
        ours.pNext = NULL;
        ours.zName = STORE_VFS_NAME;
        ours.szOsFile = own->szOsFile + (int)sizeof(LogFile);
        ours.xOpen = on_open;
        registered = sqlite3_vfs_register(&ours, 0);
}

int store_vfs_register(void)
{
        static pthread_once_t once = PTHREAD_ONCE_INIT;
        int rc = sqlite3_initialize();

        if (rc != SQLITE_OK)
                return rc;
        pthread_once(&once, register_once);
        return registered;
}
