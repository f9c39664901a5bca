/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The tree is built anew from the entries. Hashing them is nearly all of the work, and blocks of entries do not depend on
 * each other: threads take one block after the other, hash its entries and, as each block is whole tiles, the tiles' roots.
 * Blocks are put together in their order by whoever finishes the one that is next: their tile roots are the leaves
 * of the upper part of the tree, and checkpoints within a block are compared with the tree as it is there.
 *
 * The first thing that is wrong ends it: what follows a changed place is wrong as well, and would only hide it. */

#include "cli/log-check.h"

#include <errno.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "basic/strings.h"

#define THREADS_MAX    64U
#define TILES_OF_BLOCK (LOG_BLOCK / TLOG_TILE_WIDTH)
static_assert(LOG_BLOCK % TLOG_TILE_WIDTH == 0, "a block is whole tiles");

typedef struct Block {
        uint64_t from;
        unsigned n;
        TlogHash leaves[LOG_BLOCK];
        TlogHash tiles[TILES_OF_BLOCK]; /* of the full ones */
} Block;

typedef struct Checking {
        LogSource *source;
        LogCheck *check;
        Checkpoint older;
        bool has_older;

        pthread_mutex_t mutex;
        pthread_cond_t merged_wake;
        uint64_t next_block;     /* to be taken */
        uint64_t next_merge;     /* to be put together */
        TlogFrontier upper;      /* over the roots of full tiles */
        LogSourceReader *merger; /* for checkpoints and upper tiles; used with the lock */
        uint64_t next_size;      /* of the next checkpoint of the source; UINT64_MAX: none */
        char next_note[CHECKPOINT_TEXT_MAX];
        bool over; /* a problem, or a failure */
        int result;
        ReeveError error;
} Checking;

/* ---- with the lock ---- */

static void fail(Checking *c, int r, const ReeveError *e)
{
        if (c->over)
                return;
        c->over = true;
        c->result = r;
        c->error = *e;
}

static void found(Checking *c, const ReeveError *problem)
{
        if (c->over)
                return;
        c->over = true;
        c->check->problem = *problem;
}

static void found_text(Checking *c, const char *field, const char *text, uint64_t size)
{
        ReeveError e = REEVE_ERROR_NULL;

        reeve_error_set(&e, REEVE_ERROR_INTERNAL, field, text, size, c->check->signed_entries);
        found(c, &e);
}

static int read_next_checkpoint(Checking *c, uint64_t after)
{
        ReeveError e = REEVE_ERROR_NULL;
        const char *note;

        int r = c->source->class->next_checkpoint(c->merger, after, &c->next_size, &note, &e);
        if (r < 0) {
                fail(c, r, &e);
                return r;
        }
        if (r == 0)
                c->next_size = UINT64_MAX;
        else
                snprintf(c->next_note, sizeof(c->next_note), "%s", note);
        return 0;
}

/* The tree of the first `size` entries, of which the last ones are in this block. */
static void root_within(const Checking *c, const Block *b, uint64_t size, TlogHash *ret)
{
        uint64_t tiles = size / TLOG_TILE_WIDTH, before = b->from / TLOG_TILE_WIDTH;
        TlogFrontier upper = c->upper, f = { 0 };

        for (uint64_t i = before; i < tiles; i++)
                (void)tlog_append(&upper, b->tiles + (i - before), NULL, NULL);
        f.size = tiles * TLOG_TILE_WIDTH;
        for (unsigned k = 0; k + TLOG_TILE_HEIGHT < ELEMENTSOF(f.roots); k++)
                f.roots[k + TLOG_TILE_HEIGHT] = upper.roots[k];
        for (uint64_t i = f.size; i < size; i++)
                (void)tlog_append(&f, b->leaves + (i - b->from), NULL, NULL);
        tlog_root(&f, ret);
}

static void check_own(Checking *c, const Block *b)
{
        ReeveError e = REEVE_ERROR_NULL;
        Checkpoint own = { .size = c->next_size };
        TlogHash root;

        if (!c->check->key)
                return;
        if (checkpoint_open(c->next_note, c->check->key, &own, &e) < 0) {
                ReeveError what = e;

                reeve_error_set(&e, what.code, "checkpoint", "the checkpoint of %" PRIu64 " entries: %s",
                                c->next_size, what.text);
                found(c, &e);
                return;
        }
        root_within(c, b, c->next_size, &root);
        if (own.size != c->next_size)
                found_text(c, "checkpoint",
                           "the checkpoint of %" PRIu64 " entries says another number of them",
                           c->next_size);
        else if (!tlog_hash_equal(&root, &own.root))
                found_text(c, "immutable_log",
                           "entries below %" PRIu64
                           " were changed, removed, inserted or reordered after they were "
                           "signed (the first %" PRIu64 " are as they were)",
                           c->next_size);
        else {
                c->check->checkpoints++;
                c->check->signed_entries = own.size;
        }
}

static void check_older(Checking *c, const Block *b)
{
        TlogHash root;

        root_within(c, b, c->older.size, &root);
        if (!tlog_hash_equal(&root, &c->older.root))
                found_text(c, "checkpoint",
                           "this log does not begin with the %" PRIu64
                           " entries of the older checkpoint: history "
                           "was rewritten",
                           c->older.size);
}

static int on_upper(unsigned level, uint64_t index, const TlogHash *hash, void *userdata)
{
        Checking *c = userdata;
        ReeveError e = REEVE_ERROR_NULL;
        TlogHash stored;

        int r = c->source->class->stored_hash(c->merger, level + 1, index, &stored, &e);
        if (r < 0)
                fail(c, r, &e);
        else if (r > 0 && !tlog_hash_equal(&stored, hash)) {
                reeve_error_set(&e, REEVE_ERROR_INTERNAL, "log_tiles",
                                "hash %" PRIu64 " of level %u of the tree is not that of its entries", index,
                                level + 1);
                found(c, &e);
        }
        return c->over ? -ECANCELED : 0;
}

static void merge(Checking *c, const Block *b)
{
        uint64_t end = b->from + b->n;

        while (!c->over && c->next_size <= end) {
                check_own(c, b);
                if (!c->over)
                        (void)read_next_checkpoint(c, c->next_size);
        }
        if (!c->over && c->has_older && c->older.size > b->from && c->older.size <= end)
                check_older(c, b);
        if (!c->over && end == c->source->size)
                root_within(c, b, end, &c->check->root);
        for (unsigned i = 0; !c->over && i < b->n / TLOG_TILE_WIDTH; i++)
                (void)tlog_append(&c->upper, b->tiles + i, on_upper, c);
        c->check->entries = end;
}

/* ---- threads ---- */

static void hash_tiles(Block *b)
{
        for (unsigned i = 0; i < b->n / TLOG_TILE_WIDTH; i++) {
                TlogHash fold[TLOG_TILE_WIDTH];

                memcpy(fold, b->leaves + (size_t)i * TLOG_TILE_WIDTH, sizeof(fold));
                for (unsigned n = TLOG_TILE_WIDTH; n > 1; n /= 2)
                        for (unsigned k = 0; k < n / 2; k++)
                                tlog_node_hash(fold + 2 * k, fold + 2 * k + 1, fold + k);
                b->tiles[i] = fold[0];
        }
}

/* Takes the next block; false: there is none, or it is over. */
static bool take_block(Checking *c, Block *b)
{
        pthread_mutex_lock(&c->mutex);
        b->from = c->next_block;
        bool more = !c->over && b->from < c->source->size;
        if (more) {
                b->n = (unsigned)MIN(c->source->size - b->from, (uint64_t)LOG_BLOCK);
                c->next_block += b->n;
        }
        pthread_mutex_unlock(&c->mutex);
        return more;
}

/* A problem counts when everything before it was found sound: so it is always the first one that is told. */
static void give_block(Checking *c, const Block *b, int r, const ReeveError *e)
{
        pthread_mutex_lock(&c->mutex);
        while (!c->over && c->next_merge != b->from)
                pthread_cond_wait(&c->merged_wake, &c->mutex);
        if (r < 0)
                fail(c, r, e);
        else if (r > 0)
                found(c, e);
        else if (!c->over)
                merge(c, b);
        c->next_merge = b->from + b->n;
        pthread_cond_broadcast(&c->merged_wake);
        pthread_mutex_unlock(&c->mutex);
}

static void *work(void *userdata)
{
        Checking *c = userdata;
        const LogSourceClass *class = c->source->class;
        ReeveError e = REEVE_ERROR_NULL;
        LogSourceReader *reader = NULL;

        _cleanup_free_ Block *b = NEW(Block, 1);
        int r = b ? class->open_reader(c->source, &reader, &e)
                  : reeve_error_errno(&e, ENOMEM, NULL, "cannot check the log");
        if (r < 0) {
                pthread_mutex_lock(&c->mutex);
                fail(c, r, &e);
                pthread_cond_broadcast(&c->merged_wake);
                pthread_mutex_unlock(&c->mutex);
                return NULL;
        }
        while (take_block(c, b)) {
                r = class->hash(reader, b->from, b->n, b->leaves, &e);
                if (r == 0)
                        hash_tiles(b);
                give_block(c, b, r, &e);
        }
        class->close_reader(reader);
        return NULL;
}

static void run(Checking *c, unsigned n_threads)
{
        pthread_t threads[THREADS_MAX];
        unsigned n = 0;

        while (n + 1 < n_threads && pthread_create(threads + n, NULL, work, c) == 0)
                n++;
        work(c);
        while (n > 0)
                pthread_join(threads[--n], NULL);
}

/* ---- the whole ---- */

static int open_older(Checking *c, ReeveError *reterr)
{
        if (!c->check->older)
                return 0;
        if (!c->check->key)
                return reeve_error_set(reterr, REEVE_ERROR_INVALID_ARGUMENT, "key",
                                       "a checkpoint cannot be checked without the public key");
        int r = checkpoint_open(c->check->older, c->check->key, &c->older, reterr);
        c->has_older = r >= 0;
        return r;
}

/* What can be said without looking at a single entry. */
static void check_sizes(Checking *c)
{
        uint64_t size = c->source->size, last = 0;

        while (!c->over && c->next_size != UINT64_MAX) {
                last = c->next_size;
                if (last > size)
                        found_text(c, "immutable_log",
                                   "the log was cut off: a checkpoint covers %" PRIu64
                                   " entries, and they are not there",
                                   last);
                else if (read_next_checkpoint(c, last) < 0)
                        return;
        }
        if (!c->over && c->has_older && c->older.size > size)
                found_text(c, "checkpoint",
                           "the older checkpoint covers %" PRIu64
                           " entries, and they are not there: the log was cut "
                           "off, or is an older copy",
                           c->older.size);
        if (!c->over)
                (void)read_next_checkpoint(c, 0);
}

int log_check(LogSource *s, LogCheck *check, ReeveError *reterr)
{
        Checking c = { .source = s, .check = check };

        assert(s);
        assert(check);

        check->entries = check->checkpoints = check->signed_entries = 0;
        check->problem = REEVE_ERROR_NULL;
        tlog_empty_hash(&check->root);
        int r = open_older(&c, reterr);
        if (r < 0)
                return r;
        r = s->class->open_reader(s, &c.merger, reterr);
        if (r < 0)
                return r;
        pthread_mutex_init(&c.mutex, NULL);
        pthread_cond_init(&c.merged_wake, NULL);
        if (read_next_checkpoint(&c, 0) >= 0)
                check_sizes(&c);
        if (!c.over) {
                long cpus = sysconf(_SC_NPROCESSORS_ONLN);
                run(&c, MIN(check->threads ?: (unsigned)MAX(cpus, 1L), THREADS_MAX));
        }
        pthread_cond_destroy(&c.merged_wake);
        pthread_mutex_destroy(&c.mutex);
        s->class->close_reader(c.merger);
        if (c.result < 0 && reterr)
                *reterr = c.error;
        return c.result;
}

LogSource *log_source_close(LogSource *s)
{
        if (s)
                s->class->close(s);
        return NULL;
}
