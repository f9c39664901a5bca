/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* What the files of this folder share. Whose thread touches what is said at each member; everything under "mutex" may be
 * touched by any thread that holds it, and nobody holds it while he talks to SQLite. */

#include <pthread.h>

#include "basic/list.h"
#include "daemon/store/store-db.h"
#include "daemon/store/store-log.h"
#include "daemon/store/store-row.h"
#include "daemon/store/store.h"

#define STORE_READERS 2

/* A piece of work that goes from the loop thread to another and comes back. Embedded at the beginning of its kind. */
typedef struct StoreJob StoreJob;

struct StoreJob {
        ListLink link;
        Store *store;
        bool is_query; /* run inside a read transaction */
        bool is_read_result;
        /* On a reader thread. 1: not finished, to be run again after the others that wait. (Not for writes.) */
        int (*run)(StoreJob *job, StoreDb *db);
        /* On the loop thread: calls back, if `call`, and frees. */
        void (*finish)(StoreJob *job, bool call);
        /* Of run(): what failed. */
        int result;
        ReeveError error;
};

struct Store {
        char *path, *backup_dir;
        usec_t backup_interval_usec;
        unsigned backups_kept;
        const Clock *clock;
        sd_event *event;
        sd_event_source *results_source, *backup_source;
        int lock_fd;
        int results_fd; /* eventfd: there are results */

        StoreDb writer_db; /* of the writer thread while it runs */
        StoreLog *log;     /* likewise */
        CheckpointKey log_key;
        uint8_t log_secret[CHECKPOINT_SECRET_SIZE];
        bool has_log_key;
        unsigned wal_pages; /* of the writer: size of the log at the last commit */
        pthread_t writer;
        StoreDb reader_db[STORE_READERS];
        pthread_t readers[STORE_READERS];
        unsigned n_threads; /* that run: the writer, then readers */

        /* Readers hold it shared during a transaction, so the writer can wait for a moment without any and reset the log
         * (see store-writer.c). */
        pthread_rwlock_t gate;

        pthread_mutex_t mutex;
        pthread_cond_t writer_wake, reader_wake;
        ListLink writes;   /* StoreWrite, waiting */
        size_t n_eager;    /* of them, not lazy */
        usec_t lazy_until; /* CLOCK_MONOTONIC: when the oldest of them goes though all are lazy */
        ListLink backups;  /* StoreBackup, waiting */
        ListLink reads;    /* StoreJob, waiting */
        ListLink results;  /* StoreJob, finished */
        size_t n_reads;
        size_t n_read_results; /* of the readers, among `results` or in the hands of the loop thread */
        bool stopping;
        StoreFigures figures; /* .queued counts also those in the writer's hands */
};

/* CLOCK_MONOTONIC, the clock of the conditions. Any thread. */
usec_t store_now_monotonic(void);

/* Hands finished jobs to the loop thread. Any thread. */
void store_post(Store *s, ListLink *jobs);

/* Queues a job for the readers; -ENOBUFS when too many wait (the job stays the caller's). */
#define STORE_READS_MAX 10000
/* Results that wait for the loop thread; then the readers pause, or questions that are answered faster than their
 * answers are sent on would fill the memory. */
#define STORE_RESULTS_MAX 8
int store_queue_read(Store *s, StoreJob *job);

/* ---- for the files with questions ---- */

/* Queues a job whose `finish` frees it, also on failure. */
int store_queue_or_free(Store *s, StoreJob *job);
/* SQLite's verdict after a loop of steps, of which `r` is the caller's own. */
int store_end_of_rows(StoreJob *job, StoreDb *db, StoreStatement which, int rc, int r);
int store_no_statement(StoreJob *job, StoreDb *db);
/* NULL stays NULL; an empty blob is one byte of memory and size 0. The caller frees. */
int store_copy_blob(sqlite3_stmt *st, int column, void **ret, size_t *ret_size);
/* The same for a text. */
int store_copy_text(sqlite3_stmt *st, int column, char **ret);

/* Thread functions; the argument of a reader is a StoreReader, of the writer the Store. */
typedef struct StoreReader {
        Store *store;
        unsigned number;
} StoreReader;
void *store_writer_main(void *userdata);
void *store_reader_main(void *userdata);

/* Collect rows of a result in an array that grows. */
int store_grow(void **array, size_t *room, size_t n, size_t element_size);
