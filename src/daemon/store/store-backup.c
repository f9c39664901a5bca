/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* sqlite3_backup copies a database while it is used. From another connection every commit would restart it, and under
 * load it would never end; from the connection that writes, pages that change are copied again at once and it needs one
 * pass. So the writer thread makes backups, a few pages at a time between two batches: a commit waits for one step at
 * most.
 *
 * The copy grows as "<path>.part" without syncs or journal (half a copy is worth nothing), then is made independent of a
 * log (journal_mode=DELETE: one file is the whole backup), synced, and renamed, and the folder is synced. Who sees the
 * name has the whole copy. Copies are 0600, as the database is: they hold specifications of tasks that were open.
 *
 * A copy without a name loses its name instead, and only a descriptor of it is left: for those who want it where only they
 * may write. */

#include "daemon/store/store-backup.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

#include "basic/fd.h"
#include "basic/strings.h"

/* 128 pages are half a megabyte: about a millisecond to copy, which is what a waiting commit may lose. */
#define STEP_PAGES 128

struct StoreBackup {
        StoreJob job;
        store_backup_t callback;
        void *userdata;
        bool periodic;
        char *path, *part; /* path: NULL for a copy without a name */
        int fd;            /* of a copy without a name, once it is complete */
        sqlite3 *to;
        sqlite3_backup *copy;
        int64_t bytes;
};

StoreJob *store_backup_job(StoreBackup *b)
{
        assert(b);
        return &b->job;
}

StoreBackup *store_backup_of(StoreJob *job)
{
        return container_of(job, StoreBackup, job);
}

static StoreBackup *backup_free(StoreBackup *b)
{
        if (b) {
                fd_close(b->fd);
                free(b->path);
                free(b->part);
                free(b);
        }
        return NULL;
}
DEFINE_CLEANUP_FUNC(StoreBackup *, backup_free)

static void finish_backup(StoreJob *job, bool call)
{
        StoreBackup *b = store_backup_of(job);

        StoreCopy copy = { .path = b->path, .fd = b->fd, .bytes = b->bytes };
        if (call && b->callback)
                b->callback(job->result < 0 ? &job->error : NULL, job->result < 0 ? NULL : &copy,
                            b->userdata);
        b->fd = copy.fd;
        backup_free(b);
}

StoreBackup *store_backup_new(Store *s, const char *path, bool periodic, store_backup_t callback,
                              void *userdata)
{
        assert(s);
        assert(path || s->backup_dir);
        assert(!path || !periodic);

        _cleanup_(backup_freep) StoreBackup *b = NEW0(StoreBackup, 1);
        if (!b)
                return NULL;
        b->job = (StoreJob){ .store = s, .finish = finish_backup };
        b->callback = callback;
        b->userdata = userdata;
        b->periodic = periodic;
        b->fd = -EBADF;
        if (path) {
                b->path = strdup(path);
                if (!b->path)
                        return NULL;
        }
        return TAKE_PTR(b);
}

/* ---- daily copies ---- */

/* "registry-YYYY-MM-DD.db": the names sort by day. */
static bool has_shape(const char *name, const char *shape)
{
        for (; *shape && *name; name++, shape++)
                if (*shape == '#' ? *name < '0' || *name > '9' : *name != *shape)
                        return false;
        return *name == *shape;
}

static int is_daily(const struct dirent *entry)
{
        return has_shape(entry->d_name, "registry-####-##-##.db");
}

/* A daily one, or one that somebody asked for without saying where. */
static int is_copy(const struct dirent *entry)
{
        return is_daily(entry) || has_shape(entry->d_name, "registry-####-##-##T######.db");
}

static int newest_first(const struct dirent **a, const struct dirent **b)
{
        return strcmp((*b)->d_name, (*a)->d_name);
}

static void free_entries(struct dirent **entries, int n)
{
        for (int i = 0; i < n; i++)
                free(entries[i]);
        free(entries);
}

static int find_newest(const char *dir, int (*is_wanted)(const struct dirent *entry),
                       char ret_name[static STORE_BACKUP_NAME_SIZE], usec_t *ret_mtime)
{
        struct dirent **entries = NULL;
        int found = 0;

        int n = scandir(dir, &entries, is_wanted, newest_first);
        if (n < 0)
                return -errno;
        for (int i = 0; i < n; i++) {
                _cleanup_free_ char *path = string_printf("%s/%s", dir, entries[i]->d_name);
                struct stat st;
                if (!path || stat(path, &st) < 0)
                        continue;
                usec_t mtime = usec_from_timespec(&st.st_mtim);
                if (found && mtime <= *ret_mtime)
                        continue;
                strcpy(ret_name, entries[i]->d_name); /* it has a shape that fits */
                *ret_mtime = mtime;
                found = 1;
        }
        free_entries(entries, n);
        return found;
}

int store_backup_newest(const char *dir, char ret_name[static STORE_BACKUP_NAME_SIZE], usec_t *ret_mtime)
{
        assert(dir);
        assert(ret_mtime);

        return find_newest(dir, is_daily, ret_name, ret_mtime);
}

int store_backup_newest_of_all(const char *dir, char ret_name[static STORE_BACKUP_NAME_SIZE])
{
        usec_t mtime;

        assert(dir);

        return find_newest(dir, is_copy, ret_name, &mtime);
}

/* Failing to remove an old copy is no failure of the new one; the next backup tries again. */
static void prune(const char *dir, unsigned kept)
{
        struct dirent **entries = NULL;

        int n = scandir(dir, &entries, is_daily, newest_first);
        for (int i = (int)kept; i < n; i++) {
                _cleanup_free_ char *path = string_printf("%s/%s", dir, entries[i]->d_name);
                if (path)
                        (void)unlink(path);
        }
        if (n >= 0)
                free_entries(entries, n);
}

static char *daily_path(const Store *s)
{
        time_t now = (time_t)(clock_realtime(s->clock) / USEC_PER_SEC);
        struct tm tm;
        char day[16];

        if (!localtime_r(&now, &tm) || strftime(day, sizeof(day), "%Y-%m-%d", &tm) == 0)
                return NULL;
        return string_printf("%s/registry-%s.db", s->backup_dir, day);
}

/* ---- copying ---- */

static int fail_errno(StoreBackup *b, int number, const char *what)
{
        b->job.result = reeve_error_errno(&b->job.error, number, b->path, "cannot %s %s", what,
                                          b->part ?: b->path ?: b->job.store->backup_dir);
        return b->job.result;
}

static int fail_sqlite(StoreBackup *b)
{
        StoreDb to = { .handle = b->to };
        b->job.result = store_db_error(&to, sqlite3_extended_errcode(b->to), "cannot copy the database",
                                       &b->job.error);
        return b->job.result;
}

static int name_it(StoreBackup *b)
{
        const Store *s = b->job.store;

        bool unnamed = !b->path && !b->periodic;

        if (!b->path && mkdir(s->backup_dir, 0700) < 0 && errno != EEXIST)
                return fail_errno(b, errno, "create");
        if (b->periodic)
                b->path = daily_path(s);
        if (b->path)
                b->part = string_printf("%s.part", b->path);
        else if (unnamed)
                b->part = string_printf("%s/unnamed.part", s->backup_dir);
        return b->part ? 0 : fail_errno(b, ENOMEM, "name");
}

static int start(StoreBackup *b, StoreDb *db)
{
        int r = name_it(b);
        if (r < 0)
                return r;

        if (b->path && !b->periodic && faccessat(AT_FDCWD, b->path, F_OK, AT_SYMLINK_NOFOLLOW) == 0) {
                b->job.result = reeve_error_set(&b->job.error, REEVE_ERROR_INVALID_ARGUMENT, "path",
                                                "%s exists already", b->path);
                return b->job.result;
        }
        /* One writer makes all backups, so a part that is there was left by a crash. */
        (void)unlink(b->part);
        int fd = open(b->part, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
        if (fd < 0)
                return fail_errno(b, errno, "create");
        fd_close(fd);

        int rc = sqlite3_open_v2(b->part, &b->to, SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX, NULL);
        if (rc == SQLITE_OK)
                rc = sqlite3_exec(b->to, "PRAGMA synchronous = OFF; PRAGMA journal_mode = OFF;", NULL, NULL,
                                  NULL);
        if (rc == SQLITE_OK)
                b->copy = sqlite3_backup_init(b->to, "main", db->handle, "main");
        return b->copy ? 0 : fail_sqlite(b);
}

static int sync_directory_of(const char *path)
{
        _cleanup_free_ char *dir = strdup(path);
        if (!dir)
                return -ENOMEM;
        char *slash = strrchr(dir, '/');
        assert(slash);
        slash[slash == dir ? 1 : 0] = '\0';

        _cleanup_fd_ int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        return fd < 0 || fsync(fd) < 0 ? -errno : 0;
}

static int publish(StoreBackup *b)
{
        struct stat st;

        _cleanup_fd_ int fd = open(b->part, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
        if (fd < 0 || fsync(fd) < 0 || fstat(fd, &st) < 0)
                return fail_errno(b, errno, "sync");
        b->bytes = st.st_size;

        if (!b->path) {
                if (unlink(b->part) < 0)
                        return fail_errno(b, errno, "unlink");
                b->fd = TAKE_FD(fd);
                return 0;
        }
        if (renameat2(AT_FDCWD, b->part, AT_FDCWD, b->path, b->periodic ? 0 : RENAME_NOREPLACE) < 0)
                return fail_errno(b, errno, "rename");
        int r = sync_directory_of(b->path);
        if (r < 0)
                return fail_errno(b, r, "sync the folder of");

        if (b->periodic)
                prune(b->job.store->backup_dir, b->job.store->backups_kept);
        return 0;
}

static int complete(StoreBackup *b)
{
        int rc = sqlite3_backup_finish(b->copy);
        b->copy = NULL;
        if (rc == SQLITE_OK)
                rc = sqlite3_exec(b->to, "PRAGMA journal_mode = DELETE", NULL, NULL, NULL);
        if (rc != SQLITE_OK)
                return fail_sqlite(b);
        sqlite3_close(b->to);
        b->to = NULL;
        return publish(b);
}

void store_backup_abort(StoreBackup *b)
{
        assert(b);

        sqlite3_backup_finish(b->copy);
        b->copy = NULL;
        sqlite3_close(b->to);
        b->to = NULL;
        if (b->part && b->bytes == 0)
                (void)unlink(b->part);
}

int store_backup_step(StoreBackup *b, StoreDb *db)
{
        assert(b);
        assert(db);

        if (!b->copy && start(b, db) < 0) {
                store_backup_abort(b);
                return 0;
        }

        int rc = sqlite3_backup_step(b->copy, STEP_PAGES);
        if (rc == SQLITE_OK || rc == SQLITE_BUSY || rc == SQLITE_LOCKED)
                return 1;
        if (rc != SQLITE_DONE)
                fail_sqlite(b);
        else
                complete(b);
        store_backup_abort(b);
        return 0;
}
