/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* What a StoreWrite is to the writer thread. */

#include <stdalign.h>

#include "daemon/store/store-internal.h"

typedef struct StoreOp StoreOp;
typedef struct StoreChunk StoreChunk;

struct StoreWrite {
        StoreJob job; /* job.result and job.error: how it went */
        unsigned flags;
        store_written_t callback;
        void *userdata;

        StoreOp *first, **last; /* the statements, in order */
        unsigned n_ops;
        size_t bytes; /* of copied rows */
        int64_t last_event;

        StoreChunk *chunks;
        size_t used, room; /* of `first_chunk`, then of the newest chunk */
        char *free_space;
        alignas(max_align_t) char first_chunk[];
};

static inline StoreWrite *store_write_of(StoreJob *job)
{
        return container_of(job, StoreWrite, job);
}

/* Executes the statements in the open transaction. Fills job.result, job.error and last_event. With a savepoint: all
 * statements or none, and SQLITE_OK also when this write failed by its own fault. Without: stops at the first failure,
 * and returns its code. */
int store_write_apply(StoreWrite *w, StoreDb *db, bool savepoint);
