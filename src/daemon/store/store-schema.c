/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* A damaged database is evidence, and perhaps repairable; the worst thing to do is to write to it. So the file is judged
 * before the writing connection is opened: first its sixteen magic bytes, by read(2), since SQLite takes any file that
 * begins with garbage for somebody's encrypted database; then through a read-only connection that cannot checkpoint,
 * so that even a waiting WAL stays where it is.
 *
 * quick_check reads every page. On a large database that takes minutes, so it is interrupted after a second and what it
 * found until then counts; damage further on shows when it is read, and fails that read.
 *
 * The version is `user_version`, the number of migrations that were applied. A migration and its number are committed
 * together: a crash between two leaves a sound database of the version in between. */

#include "daemon/store/store-schema.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "basic/fd.h"
#include "basic/time.h"
#include "daemon/store/store-backup.h"

#define APPLICATION_ID     0x72656576 /* "reev" */
#define APPLICATION_ID_SQL "PRAGMA application_id = 1919247734;"
static_assert(APPLICATION_ID == 1919247734, "both spellings are one number");

#define CHECK_TIME_USEC (1 * USEC_PER_SEC)
#define CHECK_EVERY     20000 /* virtual machine instructions between two looks at the clock */

static const char magic[16] = "SQLite format 3";

static usec_t now_monotonic(void)
{
        struct timespec ts;
        clock_gettime(CLOCK_MONOTONIC, &ts);
        return usec_from_timespec(&ts);
}

static int is_over(void *userdata)
{
        const usec_t *deadline = ASSERT_PTR(userdata);
        return now_monotonic() > *deadline;
}

static int refuse_damaged(const char *path, const char *backup_dir, const char *why, ReeveError *reterr)
{
        char newest[STORE_BACKUP_NAME_SIZE] = "";

        if (backup_dir && store_backup_newest_of_all(backup_dir, newest) == 1)
                reeve_error_set(reterr, REEVE_ERROR_INTERNAL, path,
                                "%s is damaged (%s) and was left as it is; see `reeve doctor`, the newest "
                                "backup is "
                                "%s/%s",
                                path, why, backup_dir, newest);
        else
                reeve_error_set(reterr, REEVE_ERROR_INTERNAL, path,
                                "%s is damaged (%s) and was left as it is; see `reeve doctor`, there is no "
                                "backup",
                                path, why);
        return -EBADMSG;
}

/* 1: there is a database to look at; 0: none yet. */
static int check_magic(const char *path, const char *backup_dir, ReeveError *reterr)
{
        char head[sizeof(magic)];

        _cleanup_fd_ int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
        if (fd < 0)
                return errno == ENOENT ? 0 : reeve_error_errno(reterr, errno, path, "cannot open %s", path);

        ssize_t n = fd_read_full(fd, head, sizeof(head));
        if (n < 0)
                return reeve_error_errno(reterr, (int)n, path, "cannot read %s", path);
        if (n == 0)
                return 0;
        if (n < (ssize_t)sizeof(head) || memcmp(head, magic, sizeof(magic)) != 0)
                return refuse_damaged(path, backup_dir, "it does not begin as a database does", reterr);
        return 1;
}

/* The first row's first column as text (cut to size) and number. */
static int ask(StoreDb *db, const char *sql, char *text, size_t size, int64_t *number)
{
        sqlite3_stmt *st = NULL;

        int rc = sqlite3_prepare_v2(db->handle, sql, -1, &st, NULL);
        if (rc == SQLITE_OK)
                rc = sqlite3_step(st);
        if (rc == SQLITE_ROW) {
                const char *value = (const char *)sqlite3_column_text(st, 0);
                if (text)
                        snprintf(text, size, "%s", value ?: "");
                if (number)
                        *number = sqlite3_column_int64(st, 0);
        }
        sqlite3_finalize(st);
        return rc == SQLITE_ROW ? SQLITE_OK : rc;
}

static int check_pages(StoreDb *db, char *why, size_t size)
{
        usec_t deadline = now_monotonic() + CHECK_TIME_USEC;

        sqlite3_progress_handler(db->handle, CHECK_EVERY, is_over, &deadline);
        int rc = ask(db, "PRAGMA quick_check(1)", why, size, NULL);
        sqlite3_progress_handler(db->handle, 0, NULL, NULL);

        if ((rc & 0xff) == SQLITE_INTERRUPT)
                return 0;
        if (rc != SQLITE_OK) {
                snprintf(why, size, "%s", sqlite3_errmsg(db->handle));
                return -EBADMSG;
        }
        return strcmp(why, "ok") == 0 ? 0 : -EBADMSG;
}

static int check_identity(StoreDb *db, const char *path, ReeveError *reterr)
{
        int64_t id = 0, version = 0, objects = 0;

        if (ask(db, "PRAGMA application_id", NULL, 0, &id) != SQLITE_OK ||
            ask(db, "PRAGMA user_version", NULL, 0, &version) != SQLITE_OK ||
            ask(db, "SELECT count(*) FROM sqlite_schema", NULL, 0, &objects) != SQLITE_OK)
                return store_db_error(db, sqlite3_extended_errcode(db->handle), path, reterr);

        if (id != APPLICATION_ID && (id != 0 || objects > 0)) {
                reeve_error_set(reterr, REEVE_ERROR_INTERNAL, path,
                                "%s is a database of another program and was left as it is", path);
                return -EBADMSG;
        }
        if (version > store_n_migrations) {
                reeve_error_set(reterr, REEVE_ERROR_INTERNAL, path,
                                "%s has version %" PRIi64
                                ", this reeve knows versions up to %u: it was written by a "
                                "newer one and was left as it is",
                                path, version, store_n_migrations);
                return -EPROTONOSUPPORT;
        }
        return 0;
}

int store_schema_check(const char *path, const char *backup_dir, ReeveError *reterr)
{
        _cleanup_store_db_ StoreDb db = {};
        char why[256] = "";

        assert(path);

        int r = check_magic(path, backup_dir, reterr);
        if (r <= 0)
                return r;

        r = store_db_open_reader(&db, path, reterr);
        if (r == -EBADMSG)
                return refuse_damaged(path, backup_dir, "SQLite cannot read its header", reterr);
        if (r < 0)
                return r;

        if (check_pages(&db, why, sizeof(why)) < 0)
                return refuse_damaged(path, backup_dir, why, reterr);
        return check_identity(&db, path, reterr);
}

static int apply(StoreDb *db, unsigned n)
{
        char version[64];

        snprintf(version, sizeof(version), "PRAGMA user_version = %u;", n + 1);
        int rc = store_db_exec(db, "BEGIN IMMEDIATE");
        if (rc == SQLITE_OK)
                rc = store_db_exec(db, store_migrations[n]);
        if (rc == SQLITE_OK)
                rc = store_db_exec(db, APPLICATION_ID_SQL);
        if (rc == SQLITE_OK)
                rc = store_db_exec(db, version);
        if (rc == SQLITE_OK)
                rc = store_db_exec(db, "COMMIT");
        return rc;
}

int store_schema_migrate(StoreDb *db, const char *path, ReeveError *reterr)
{
        int64_t version = 0;

        assert(db);
        assert(path);

        int rc = ask(db, "PRAGMA user_version", NULL, 0, &version);
        for (unsigned n = (unsigned)version; rc == SQLITE_OK && n < store_n_migrations; n++)
                rc = apply(db, n);
        if (rc == SQLITE_OK)
                return 0;

        int r = store_db_error(db, rc, path, reterr);
        if (!sqlite3_get_autocommit(db->handle))
                (void)store_db_exec(db, "ROLLBACK");
        return r;
}
