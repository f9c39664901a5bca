/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Checking the immutable log without its keeper: a copy of the database, or an export, against a public key and perhaps an
 * older checkpoint. docs/log-format.md has the formats, and what each kind of damage looks like. */

#include "basic/error.h"
#include "common/tlog/checkpoint.h"

/* Where entries come from. Several threads read blocks at the same time, each with a reader of its own. */
typedef struct LogSource LogSource;
typedef struct LogSourceReader LogSourceReader;

#define LOG_BLOCK 16384 /* entries; a multiple of TLOG_TILE_WIDTH */

typedef struct LogSourceClass {
        int (*open_reader)(LogSource *s, LogSourceReader **ret, ReeveError *reterr);
        void (*close_reader)(LogSourceReader *r);
        /* Hashes the entries [from, from + n), which exist, and compares each with what the source says of it besides (tiles,
         * numbers). 0; or 1, and then `problem` says what is wrong with which entry; negative errno. */
        int (*hash)(LogSourceReader *r, uint64_t from, unsigned n, TlogHash *ret, ReeveError *problem);
        /* The next checkpoint that covers more than `size` entries: 1; 0: there is none. `note` is the reader's. */
        int (*next_checkpoint)(LogSourceReader *r, uint64_t size, uint64_t *ret_size, const char **ret_note,
                               ReeveError *reterr);
        /* A hash of a tile level above 0, as the source has it: 1; 0: it has none to compare with. */
        int (*stored_hash)(LogSourceReader *r, unsigned level, uint64_t index, TlogHash *ret,
                           ReeveError *reterr);
        void (*close)(LogSource *s);
} LogSourceClass;

struct LogSource {
        const LogSourceClass *class;
        uint64_t size; /* entries */
};

/* A copy of the database, read-only. A database that is in use may be checked too: what was committed when it was opened. */
int log_source_open_database(const char *path, LogSource **ret, ReeveError *reterr);
/* What `reeve log export` wrote. */
int log_source_open_export(const char *path, LogSource **ret, ReeveError *reterr);
LogSource *log_source_close(LogSource *s);
DEFINE_CLEANUP_FUNC(LogSource *, log_source_close)

typedef struct LogCheck {
        const CheckpointKey *key; /* whose checkpoints they must be; NULL: signatures are not looked at */
        const char *older;        /* a checkpoint from elsewhere, which the log must contain; NULL: none */
        unsigned threads;         /* 0: one for each CPU */

        /* results */
        uint64_t entries;
        TlogHash root;
        uint64_t checkpoints;    /* of the source, that lead to its entries and are signed by the key */
        uint64_t signed_entries; /* that the last of these covers */
        ReeveError problem;      /* code NONE: none was found. Else what, and in which entry or checkpoint */
} LogCheck;

/* 0: the whole was looked at, see `problem`; negative errno: it could not be. */
int log_check(LogSource *s, LogCheck *check, ReeveError *reterr);
