/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The loop thread's side: opening and closing, and the way back of results.
 *
 * Opening is synchronous, before the loop runs: lock, look (store-schema.c), open, migrate, threads. The lock is a
 * flock on a file of its own beside the database, because SQLite's own locks are POSIX locks on the database file, which
 * any close() of another descriptor of it would drop; it keeps a second writer out, whatever SQLite's locks would allow.
 *
 * Results: a thread puts finished jobs on one list and adds to an eventfd; the loop takes from it and finishes the jobs in
 * their order, RESULTS_PER_RUN at a time, so that a deadline need not wait until a thousand are answered. Writes are finished by one thread in their order, so their callbacks keep it (those that a full
 * disk refuses overtake, see the writer). A callback may submit again, and must not close the store.
 *
 * A store without an event loop has no threads and answers only the synchronous questions. */

#include "daemon/store/store.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/file.h>
#include <sys/stat.h>

#include "basic/fd.h"
#include "basic/log.h"
#include "basic/strings.h"
#include "daemon/store/store-backup.h"
#include "daemon/store/store-internal.h"
#include "daemon/store/store-schema.h"
#include "daemon/store/store-write.h"

/* Each may be an answer and the next write: some 20 us. */
#define RESULTS_PER_RUN 32

/* ---- results ---- */

void store_post(Store *s, ListLink *jobs)
{
        uint64_t one = 1;

        assert(s);
        assert(jobs);

        pthread_mutex_lock(&s->mutex);
        list_splice(&s->results, jobs);
        pthread_mutex_unlock(&s->mutex);
        /* Can only fail when the counter is near 2^64. */
        (void)!write(s->results_fd, &one, sizeof(one));
}

/* One result less is waiting. */
static void let_readers_go_on(Store *s)
{
        pthread_mutex_lock(&s->mutex);
        s->n_read_results--;
        pthread_cond_signal(&s->reader_wake);
        pthread_mutex_unlock(&s->mutex);
}

/* Takes a share. The eventfd stays as it is while something is left, and is read under the lock: what is posted behind that
 * adds to it again. */
static void take_results(Store *s, ListLink *ret)
{
        uint64_t n;

        pthread_mutex_lock(&s->mutex);
        for (unsigned i = 0; i < RESULTS_PER_RUN && !list_is_empty(&s->results); i++)
                list_append(ret, list_pop(&s->results));
        if (list_is_empty(&s->results))
                (void)!read(s->results_fd, &n, sizeof(n));
        pthread_mutex_unlock(&s->mutex);
}

static int on_results(sd_event_source *source _unused_, int fd _unused_, uint32_t events _unused_,
                      void *userdata)
{
        Store *s = ASSERT_PTR(userdata);
        ListLink jobs = LIST_INIT(jobs), *l;

        take_results(s, &jobs);
        while ((l = list_pop(&jobs))) {
                StoreJob *job = container_of(l, StoreJob, link);
                if (job->is_read_result)
                        let_readers_go_on(s);
                job->finish(job, true);
        }
        return 0;
}

static void drop_all(ListLink *jobs)
{
        ListLink *l;

        while ((l = list_pop(jobs))) {
                StoreJob *job = container_of(l, StoreJob, link);
                job->finish(job, false);
        }
}

/* ---- backups ---- */

static int queue_backup(Store *s, const char *path, bool periodic, store_backup_t callback, void *userdata)
{
        StoreBackup *b = store_backup_new(s, path, periodic, callback, userdata);
        if (!b)
                return -ENOMEM;
        pthread_mutex_lock(&s->mutex);
        list_append(&s->backups, &store_backup_job(b)->link);
        pthread_cond_signal(&s->writer_wake);
        pthread_mutex_unlock(&s->mutex);
        return 0;
}

int store_backup(Store *s, const char *path, store_backup_t callback, void *userdata)
{
        assert(s);
        assert(s->event);
        assert(path || s->backup_dir);

        return !path || path[0] == '/' ? queue_backup(s, path, false, callback, userdata) : -EINVAL;
}

static void on_periodic_backup(const ReeveError *error, StoreCopy *copy _unused_, void *userdata _unused_)
{
        if (error)
                log_full_reeve_error(LOG_WARNING, error, "backup of the database");
}

static int on_backup_time(sd_event_source *source, uint64_t usec, void *userdata)
{
        Store *s = ASSERT_PTR(userdata);

        /* When memory is short now, the next one is made. */
        (void)queue_backup(s, NULL, true, on_periodic_backup, NULL);

        int r = sd_event_source_set_time(source, usec_add(usec, s->backup_interval_usec));
        if (r < 0)
                return r;
        return sd_event_source_set_enabled(source, SD_EVENT_ONESHOT);
}

/* A daemon that is restarted every day must make backups too: the interval counts from the newest copy. */
static int start_backups(Store *s)
{
        char name[STORE_BACKUP_NAME_SIZE];
        usec_t newest = 0, wait = 0;

        if (!s->backup_dir || s->backup_interval_usec == 0)
                return 0;

        if (store_backup_newest(s->backup_dir, name, &newest) == 1) {
                usec_t age = usec_sub(clock_realtime(s->clock), newest);
                wait = usec_sub(s->backup_interval_usec, age);
        }
        /* One that is overdue is not to be put off for the sake of joint wake-ups. */
        return sd_event_add_time_relative(s->event, &s->backup_source, CLOCK_BOOTTIME, wait,
                                          wait == 0 ? 1 : USEC_PER_SEC, on_backup_time, s);
}

/* ---- opening ---- */

static int take_lock(Store *s, ReeveError *reterr)
{
        _cleanup_free_ char *path = string_printf("%s.lock", s->path);
        if (!path)
                return reeve_error_errno(reterr, ENOMEM, NULL, "cannot open the database");

        s->lock_fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW | O_NOCTTY, 0600);
        if (s->lock_fd < 0)
                return reeve_error_errno(reterr, errno, path, "cannot write %s", path);
        if (flock(s->lock_fd, LOCK_EX | LOCK_NB) < 0) {
                if (errno != EWOULDBLOCK)
                        return reeve_error_errno(reterr, errno, path, "cannot lock %s", path);
                reeve_error_set(reterr, REEVE_ERROR_UNAVAILABLE, s->path, "%s is in use by another reeved",
                                s->path);
                return -EBUSY;
        }
        return 0;
}

/* SQLite would create it readable by everybody; log and index take the mode of the database. */
static int create_file(const Store *s, ReeveError *reterr)
{
        _cleanup_fd_ int fd = open(s->path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOCTTY, 0600);
        return fd < 0 ? reeve_error_errno(reterr, errno, s->path, "cannot write %s", s->path) : 0;
}

static int open_connections(Store *s, ReeveError *reterr)
{
        int r = store_db_open_writer(&s->writer_db, s->path, reterr);
        if (r >= 0)
                r = store_schema_migrate(&s->writer_db, s->path, reterr);
        if (r >= 0 && s->event)
                r = store_log_load(s->log, &s->writer_db, reterr);
        for (unsigned i = 0; s->event && i < STORE_READERS && r >= 0; i++)
                r = store_db_open_reader(&s->reader_db[i], s->path, reterr);
        return r;
}

static int open_log_key(Store *s, const StoreConfig *config, ReeveError *reterr)
{
        int r = checkpoint_file_open(config->log_key, config->log_origin, &s->log_key, s->log_secret,
                                     reterr);
        s->has_log_key = r >= 0;
        return r;
}

static int start_thread(pthread_t *ret, void *(*main)(void *), void *userdata)
{
        sigset_t all, old;

        /* The loop reads signals from a descriptor: no other thread may take one. */
        sigfillset(&all);
        pthread_sigmask(SIG_BLOCK, &all, &old);
        int r = -pthread_create(ret, NULL, main, userdata);
        pthread_sigmask(SIG_SETMASK, &old, NULL);
        return r;
}

static int start_reader(Store *s, unsigned number)
{
        _cleanup_free_ StoreReader *reader = NEW(StoreReader, 1);
        if (!reader)
                return -ENOMEM;
        *reader = (StoreReader){ .store = s, .number = number };

        int r = start_thread(&s->readers[number], store_reader_main, reader);
        if (r >= 0)
                (void)TAKE_PTR(reader);
        return r;
}

static int start(Store *s)
{
        s->results_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
        if (s->results_fd < 0)
                return -errno;
        int r = sd_event_add_io(s->event, &s->results_source, s->results_fd, EPOLLIN, on_results, s);
        if (r < 0)
                return r;
        r = start_backups(s);
        if (r < 0)
                return r;

        r = start_thread(&s->writer, store_writer_main, s);
        if (r < 0)
                return r;
        s->n_threads = 1;
        for (unsigned i = 0; i < STORE_READERS; i++) {
                r = start_reader(s, i);
                if (r < 0)
                        return r;
                s->n_threads++;
        }
        return 0;
}

static void init_locks(Store *s)
{
        pthread_condattr_t monotonic;
        pthread_rwlockattr_t writer_first;

        pthread_mutex_init(&s->mutex, NULL);
        pthread_condattr_init(&monotonic);
        pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
        pthread_cond_init(&s->writer_wake, &monotonic);
        pthread_cond_init(&s->reader_wake, &monotonic);
        pthread_condattr_destroy(&monotonic);

        /* Else readers that relieve each other keep the writer out for good. */
        pthread_rwlockattr_init(&writer_first);
        pthread_rwlockattr_setkind_np(&writer_first, PTHREAD_RWLOCK_PREFER_WRITER_NONRECURSIVE_NP);
        pthread_rwlock_init(&s->gate, &writer_first);
        pthread_rwlockattr_destroy(&writer_first);
}

static Store *store_new(const StoreConfig *config)
{
        Store *s = NEW0(Store, 1);
        if (!s)
                return NULL;

        s->lock_fd = s->results_fd = -EBADF;
        list_init(&s->writes);
        list_init(&s->backups);
        list_init(&s->reads);
        list_init(&s->results);
        init_locks(s);
        s->backup_interval_usec = config->backup_interval_usec;
        s->backups_kept = config->backups_kept ?: STORE_BACKUPS_KEPT;
        s->clock = config->clock ?: clock_system();
        s->event = sd_event_ref(config->event);
        s->path = strdup(config->path);
        s->backup_dir = config->backup_dir ? strdup(config->backup_dir) : NULL;
        s->log = NEW0(StoreLog, 1);
        if (!s->path || !s->log || (config->backup_dir && !s->backup_dir))
                return store_close(s);
        return s;
}

int store_open(const StoreConfig *config, Store **ret, ReeveError *reterr)
{
        assert(config);
        assert(config->path);
        assert(ret);

        /* Nobody asks how much memory SQLite has, and counting takes a lock for each piece. Without effect if it runs already. */
        (void)sqlite3_config(SQLITE_CONFIG_MEMSTATUS, 0);

        _cleanup_(store_closep) Store *s = store_new(config);
        if (!s)
                return reeve_error_errno(reterr, ENOMEM, NULL, "cannot open the database");

        int r = take_lock(s, reterr);
        if (r >= 0)
                r = store_schema_check(s->path, s->backup_dir, reterr);
        if (r >= 0)
                r = create_file(s, reterr);
        if (r >= 0 && config->log_key)
                r = open_log_key(s, config, reterr);
        if (r >= 0)
                r = open_connections(s, reterr);
        if (r < 0)
                return r;

        if (s->event) {
                r = start(s);
                if (r < 0)
                        return reeve_error_errno(reterr, r, NULL,
                                                 "cannot start the threads of the database");
        }
        *ret = TAKE_PTR(s);
        return 0;
}

/* ---- closing ---- */

static void stop_threads(Store *s)
{
        pthread_mutex_lock(&s->mutex);
        s->stopping = true;
        pthread_cond_broadcast(&s->writer_wake);
        pthread_cond_broadcast(&s->reader_wake);
        pthread_mutex_unlock(&s->mutex);

        if (s->n_threads > 0)
                pthread_join(s->writer, NULL);
        for (unsigned i = 1; i < s->n_threads; i++)
                pthread_join(s->readers[i - 1], NULL);
}

/* The log is emptied into the database, so that the file alone is whole. */
static void close_database(Store *s)
{
        for (size_t i = 0; i < STORE_READERS; i++)
                store_db_done(&s->reader_db[i]);
        if (s->writer_db.handle && s->n_threads > 0) {
                (void)store_db_exec(&s->writer_db, "PRAGMA optimize");
                (void)sqlite3_wal_checkpoint_v2(s->writer_db.handle, NULL, SQLITE_CHECKPOINT_TRUNCATE, NULL,
                                                NULL);
        }
        store_db_done(&s->writer_db);
}

Store *store_close(Store *s)
{
        if (!s)
                return NULL;

        stop_threads(s);
        close_database(s);
        drop_all(&s->results);
        drop_all(&s->writes);
        drop_all(&s->reads);
        drop_all(&s->backups);

        sd_event_source_disable_unref(s->results_source);
        sd_event_source_disable_unref(s->backup_source);
        sd_event_unref(s->event);
        fd_close(s->results_fd);
        fd_close(s->lock_fd);
        pthread_mutex_destroy(&s->mutex);
        pthread_cond_destroy(&s->writer_wake);
        pthread_cond_destroy(&s->reader_wake);
        pthread_rwlock_destroy(&s->gate);
        explicit_bzero(s->log_secret, sizeof(s->log_secret));
        free(s->log);
        free(s->path);
        free(s->backup_dir);
        free(s);
        return NULL;
}

/* ---- synchronous questions ---- */

void store_open_tasks_free(StoreOpenTask *tasks, size_t n)
{
        for (size_t i = 0; i < n; i++) {
                task_row_free(tasks[i].row);
                /* Holds an environment; do not leave it in the heap. */
                if (tasks[i].spec)
                        explicit_bzero(tasks[i].spec, tasks[i].spec_size);
                free(tasks[i].spec);
                free(tasks[i].ticket);
                free(tasks[i].policy);
        }
        free(tasks);
}

int store_copy_blob(sqlite3_stmt *st, int column, void **ret, size_t *ret_size)
{
        if (sqlite3_column_type(st, column) == SQLITE_NULL)
                return 0;
        const void *data = sqlite3_column_blob(st, column);
        size_t size = (size_t)sqlite3_column_bytes(st, column);
        void *copy = malloc(MAX(size, (size_t)1));
        if (!copy || (!data && size > 0)) {
                free(copy);
                return -ENOMEM;
        }
        if (size > 0)
                memcpy(copy, data, size);
        *ret = copy;
        *ret_size = size;
        return 0;
}

int store_copy_text(sqlite3_stmt *st, int column, char **ret)
{
        const char *text = (const char *)sqlite3_column_text(st, column);

        if (!text)
                return sqlite3_column_type(st, column) == SQLITE_NULL ? 0 : -ENOMEM;
        *ret = strdup(text);
        return *ret ? 0 : -ENOMEM;
}

static int read_open_task(sqlite3_stmt *st, StoreOpenTask *ret)
{
        *ret = (StoreOpenTask){};
        int r = store_read_task(st, &ret->row);
        if (r >= 0)
                r = store_copy_blob(st, OPEN_COLUMN_SPEC, &ret->spec, &ret->spec_size);
        if (r >= 0)
                r = store_copy_blob(st, OPEN_COLUMN_TICKET, &ret->ticket, &ret->ticket_size);
        if (r >= 0)
                r = store_copy_text(st, OPEN_COLUMN_POLICY, &ret->policy);
        return r;
}

/* A snapshot is newer than the row; but what is reported is stored with the row each time. */
static void take_counted(TaskRow *row, const Usage *last)
{
        Usage fresh = *last;

        for (int f = 0; task_is_reported(row) && f < _USAGE_FIELD_MAX; f++)
                if (!usage_has(last, (UsageField)f) || last->source[f] == USAGE_REPORTED) {
                        fresh.value[f] = row->usage.value[f];
                        fresh.source[f] = row->usage.source[f];
                }
        row->usage = fresh;
}

/* What was known last of the counters of an attempt that runs: of a task that is lost, that is the account. */
static int read_last_usage(StoreDb *db, TaskRow *row)
{
        SnapshotRow last;

        if (row->status == TASK_PENDING)
                return 0;
        sqlite3_stmt *st = store_db_statement(db, STORE_SQL_SNAPSHOTS);
        if (!st)
                return -EIO;
        sqlite3_bind_text(st, 1, row->task_id, -1, SQLITE_STATIC);
        sqlite3_bind_int64(st, 2, 1);
        int rc = sqlite3_step(st), r = 0;
        if (rc == SQLITE_ROW) {
                r = store_read_snapshot(st, &last);
                if (r >= 0 && last.attempt == row->attempt)
                        take_counted(row, &last.usage);
        }
        store_db_reset(db, STORE_SQL_SNAPSHOTS);
        return r < 0 ? r : rc == SQLITE_ROW || rc == SQLITE_DONE ? 0 : -EIO;
}

int store_load_open_tasks(Store *s, StoreOpenTask **ret, size_t *ret_n, ReeveError *reterr)
{
        _cleanup_store_db_ StoreDb db = {};
        StoreOpenTask *tasks = NULL;
        size_t n = 0, room = 0;
        int rc = SQLITE_DONE;

        assert(s);
        assert(ret);
        assert(ret_n);

        int r = store_db_open_reader(&db, s->path, reterr);
        if (r < 0)
                return r;
        sqlite3_stmt *st = store_db_statement(&db, STORE_SQL_OPEN_TASKS);
        if (!st)
                return store_db_error(&db, sqlite3_extended_errcode(db.handle), "cannot read the tasks",
                                      reterr);

        while (r >= 0 && (rc = sqlite3_step(st)) == SQLITE_ROW) {
                r = store_grow((void **)&tasks, &room, n, sizeof(*tasks));
                if (r >= 0)
                        r = read_open_task(st, tasks + n++);
        }
        if (r < 0)
                reeve_error_errno(reterr, r, NULL, "cannot read the tasks");
        else if (rc != SQLITE_DONE)
                r = store_db_error(&db, rc, "cannot read the tasks", reterr);
        for (size_t i = 0; r >= 0 && i < n; i++) {
                r = read_last_usage(&db, tasks[i].row);
                if (r < 0)
                        reeve_error_errno(reterr, r, NULL, "cannot read the last counters of %s",
                                          tasks[i].row->task_id);
        }
        if (r < 0) {
                store_open_tasks_free(tasks, n);
                return r;
        }
        *ret = tasks;
        *ret_n = n;
        return 0;
}

int store_last_event(Store *s, int64_t *ret)
{
        _cleanup_store_db_ StoreDb db = {};

        assert(s);
        assert(ret);

        int r = store_db_open_reader(&db, s->path, NULL);
        if (r < 0)
                return r;
        sqlite3_stmt *st = store_db_statement(&db, STORE_SQL_LAST_EVENT);
        int rc = st ? sqlite3_step(st) : sqlite3_extended_errcode(db.handle);
        if (rc != SQLITE_ROW && rc != SQLITE_DONE)
                return store_db_error(&db, rc, "cannot read", NULL);
        *ret = rc == SQLITE_ROW ? sqlite3_column_int64(st, 0) : 0;
        return 0;
}

void store_figures(const Store *s, StoreFigures *ret)
{
        assert(s);
        assert(ret);

        Store *unlocked = (Store *)s; /* the mutex is no part of the value */
        pthread_mutex_lock(&unlocked->mutex);
        *ret = s->figures;
        pthread_mutex_unlock(&unlocked->mutex);
}

const CheckpointKey *store_log_key(const Store *s)
{
        assert(s);

        return s->has_log_key ? &s->log_key : NULL;
}
