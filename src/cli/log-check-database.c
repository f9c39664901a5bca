/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* A database as a source of entries, read by connections of its own. It is opened read-only and never written to, not even
 * its -shm: a copy may lie where nobody can write. A copy without a log file beside it is declared immutable to SQLite; one
 * that is in use has one, and is read as the writer's peer.
 *
 * Each full tile that is stored is compared with the entries that it is of. Where they differ, the neighbours tell what was
 * done: removed, inserted, swapped, or changed. Whoever made tiles that fit his entries meets the checkpoints. */

#include <errno.h>
#include <inttypes.h>
#include <sqlite3.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "basic/strings.h"
#include "cli/log-check.h"
#include "common/tlog/log-entry.h"

typedef struct DatabaseSource {
        LogSource source;
        char *uri;
} DatabaseSource;

typedef struct LogSourceReader {
        sqlite3 *db;
        sqlite3_stmt *entries, *tile, *checkpoint;
        /* the last tile read above level 0 */
        unsigned level;
        uint64_t index;
        int n;
        TlogHash hashes[TLOG_TILE_WIDTH];
} DatabaseReader;

static int fail(sqlite3 *db, ReeveError *reterr)
{
        return reeve_error_set(reterr, REEVE_ERROR_INTERNAL, "database", "cannot read the log: %s",
                               db ? sqlite3_errmsg(db) : "out of memory");
}

static void close_reader(DatabaseReader *r)
{
        sqlite3_finalize(r->entries);
        sqlite3_finalize(r->tile);
        sqlite3_finalize(r->checkpoint);
        sqlite3_close(r->db);
        free(r);
}

static int open_reader(LogSource *s, DatabaseReader **ret, ReeveError *reterr)
{
        const DatabaseSource *d = container_of(s, DatabaseSource, source);

        DatabaseReader *r = NEW0(DatabaseReader, 1);
        if (!r)
                return reeve_error_errno(reterr, ENOMEM, NULL, "cannot read the log");
        if (sqlite3_open_v2(d->uri, &r->db, SQLITE_OPEN_READONLY | SQLITE_OPEN_URI | SQLITE_OPEN_NOMUTEX,
                            NULL) != SQLITE_OK ||
            sqlite3_exec(r->db, "PRAGMA mmap_size = 1073741824; BEGIN", NULL, NULL, NULL) != SQLITE_OK ||
            sqlite3_prepare_v2(r->db,
                               "SELECT entry, number, timestamp, action, task_id, subsystem, detail "
                               "FROM immutable_log WHERE entry >= ? ORDER BY entry LIMIT ?",
                               -1, &r->entries, NULL) != SQLITE_OK ||
            sqlite3_prepare_v2(r->db, "SELECT hashes FROM log_tiles WHERE level = ? AND tile = ?", -1,
                               &r->tile, NULL) != SQLITE_OK ||
            sqlite3_prepare_v2(r->db,
                               "SELECT entries, note FROM log_checkpoints WHERE entries > ? ORDER BY "
                               "entries LIMIT 1",
                               -1, &r->checkpoint, NULL) != SQLITE_OK) {
                int k = fail(r->db, reterr);
                close_reader(r);
                return k;
        }
        r->n = -1;
        *ret = r;
        return 0;
}

/* How many hashes the stored tile has; 0: it is not there. */
static int read_tile(DatabaseReader *r, unsigned level, uint64_t index, TlogHash ret[static TLOG_TILE_WIDTH],
                     ReeveError *reterr)
{
        int n = 0;

        sqlite3_bind_int64(r->tile, 1, level);
        sqlite3_bind_int64(r->tile, 2, (int64_t)index);
        int rc = sqlite3_step(r->tile);
        if (rc == SQLITE_ROW) {
                n = sqlite3_column_bytes(r->tile, 0) / (int)sizeof(TlogHash);
                n = MIN(n, TLOG_TILE_WIDTH);
                if (n > 0)
                        memcpy(ret, sqlite3_column_blob(r->tile, 0), (size_t)n * sizeof(TlogHash));
        } else if (rc != SQLITE_DONE)
                n = fail(r->db, reterr);
        sqlite3_reset(r->tile);
        return n;
}

/* ---- entries ---- */

static int problem(ReeveError *ret, uint64_t entry, const char *what)
{
        reeve_error_set(ret, REEVE_ERROR_INTERNAL, "immutable_log", "entry %" PRIu64 " %s", entry, what);
        return 1;
}

static int hash_row(sqlite3_stmt *st, uint64_t entry, TlogHash *ret, ReeveError *reterr)
{
        uint64_t got = (uint64_t)sqlite3_column_int64(st, 0);
        LogEntry e = {
                .number = sqlite3_column_int64(st, 1),
                .timestamp = sqlite3_column_int64(st, 2),
                .action = (const char *)sqlite3_column_text(st, 3),
                .task_id = (const char *)sqlite3_column_text(st, 4),
                .subsystem = (const char *)sqlite3_column_text(st, 5),
                .detail = (const char *)sqlite3_column_text(st, 6),
        };

        if (got != entry)
                return problem(reterr, entry, "is missing: it was removed");
        int r = log_entry_hash(&e, ret);
        return r == -EINVAL ? problem(reterr, entry, "has values that no entry can have")
               : r < 0      ? reeve_error_errno(reterr, r, NULL, "cannot hash")
                            : 0;
}

static const char *what_was_done(const TlogHash *leaves, const TlogHash *stored, unsigned at, unsigned n)
{
        bool has_next = at + 1 < n;

        if (has_next && tlog_hash_equal(leaves + at, stored + at + 1) &&
            tlog_hash_equal(leaves + at + 1, stored + at))
                return "and the next one have changed places";
        if (has_next && tlog_hash_equal(leaves + at, stored + at + 1))
                return "was removed: what followed has taken its place";
        if (has_next && tlog_hash_equal(leaves + at + 1, stored + at))
                return "was inserted later: what was there comes after it";
        for (unsigned i = 0; i < n; i++)
                if (tlog_hash_equal(leaves + at, stored + i))
                        return "stood elsewhere: entries were reordered";
        return "was changed: it is not what the tree has the hash of";
}

static int compare_tiles(DatabaseReader *r, uint64_t from, unsigned n, const TlogHash *leaves,
                         ReeveError *reterr)
{
        TlogHash stored[TLOG_TILE_WIDTH];

        for (unsigned at = 0; at + TLOG_TILE_WIDTH <= n; at += TLOG_TILE_WIDTH) {
                uint64_t index = (from + at) / TLOG_TILE_WIDTH;

                int k = read_tile(r, 0, index, stored, reterr);
                if (k < 0)
                        return k;
                if (k != TLOG_TILE_WIDTH) {
                        reeve_error_set(reterr, REEVE_ERROR_INTERNAL, "log_tiles",
                                        "tile %" PRIu64 " of the tree is missing", index);
                        return 1;
                }
                for (unsigned i = 0; i < TLOG_TILE_WIDTH; i++)
                        if (!tlog_hash_equal(leaves + at + i, stored + i))
                                return problem(reterr, from + at + i,
                                               what_was_done(leaves + at, stored, i, TLOG_TILE_WIDTH));
        }
        return 0;
}

static int hash_block(DatabaseReader *r, uint64_t from, unsigned n, TlogHash *ret, ReeveError *reterr)
{
        int k = 0;

        sqlite3_bind_int64(r->entries, 1, (int64_t)from);
        sqlite3_bind_int64(r->entries, 2, n);
        for (unsigned i = 0; i < n && k == 0; i++) {
                int rc = sqlite3_step(r->entries);

                if (rc == SQLITE_ROW)
                        k = hash_row(r->entries, from + i, ret + i, reterr);
                else
                        k = rc == SQLITE_DONE ? problem(reterr, from + i, "is missing: it was removed")
                                              : fail(r->db, reterr);
        }
        sqlite3_reset(r->entries);
        return k ?: compare_tiles(r, from, n, ret, reterr);
}

/* ---- checkpoints and the upper tree ---- */

static int next_checkpoint(DatabaseReader *r, uint64_t size, uint64_t *ret_size, const char **ret_note,
                           ReeveError *reterr)
{
        sqlite3_reset(r->checkpoint);
        sqlite3_bind_int64(r->checkpoint, 1, (int64_t)size);
        int rc = sqlite3_step(r->checkpoint);
        if (rc == SQLITE_DONE)
                return 0;
        if (rc != SQLITE_ROW)
                return fail(r->db, reterr);
        *ret_size = (uint64_t)sqlite3_column_int64(r->checkpoint, 0);
        *ret_note = (const char *)sqlite3_column_text(r->checkpoint, 1) ?: "";
        return 1;
}

static int stored_hash(DatabaseReader *r, unsigned level, uint64_t index, TlogHash *ret, ReeveError *reterr)
{
        uint64_t tile = index / TLOG_TILE_WIDTH;
        int at = (int)(index % TLOG_TILE_WIDTH);

        if (r->n < 0 || r->level != level || r->index != tile) {
                int n = read_tile(r, level, tile, r->hashes, reterr);
                if (n < 0)
                        return n;
                r->level = level;
                r->index = tile;
                r->n = n;
        }
        if (at >= r->n) { /* not there is not right either */
                *ret = (TlogHash){ 0 };
                return 1;
        }
        *ret = r->hashes[at];
        return 1;
}

/* ---- the whole ---- */

static void close_source(LogSource *s)
{
        DatabaseSource *d = container_of(s, DatabaseSource, source);

        free(d->uri);
        free(d);
}

static const LogSourceClass database_class = {
        .open_reader = open_reader,
        .close_reader = close_reader,
        .hash = hash_block,
        .next_checkpoint = next_checkpoint,
        .stored_hash = stored_hash,
        .close = close_source,
};

/* "file:" and the path, with what a URI cannot have escaped. */
static char *make_uri(const char *path, bool immutable)
{
        _cleanup_buffer_ Buffer b = { 0 };
        int r = buffer_append_text(&b, "file:");

        for (const char *c = path; *c && r >= 0; c++)
                r = strchr("?#%", *c) ? buffer_printf(&b, "%%%02X", (unsigned)*c) : buffer_append(&b, c, 1);
        if (r >= 0 && immutable)
                r = buffer_append_text(&b, "?immutable=1");
        return r < 0 ? NULL : buffer_take(&b);
}

static int count_entries(DatabaseSource *d, ReeveError *reterr)
{
        DatabaseReader *r;
        sqlite3_stmt *st = NULL;

        int k = open_reader(&d->source, &r, reterr);
        if (k < 0)
                return k;
        if (sqlite3_prepare_v2(r->db, "SELECT coalesce(max(entry) + 1, 0) FROM immutable_log", -1, &st,
                               NULL) != SQLITE_OK ||
            sqlite3_step(st) != SQLITE_ROW)
                k = fail(r->db, reterr);
        else
                d->source.size = (uint64_t)sqlite3_column_int64(st, 0);
        sqlite3_finalize(st);
        close_reader(r);
        return k;
}

int log_source_open_database(const char *path, LogSource **ret, ReeveError *reterr)
{
        _cleanup_free_ char *wal = string_printf("%s-wal", path);

        assert(path);
        assert(ret);

        if (access(path, R_OK) < 0)
                return reeve_error_errno(reterr, errno, path, "cannot read %s", path);
        DatabaseSource *d = NEW0(DatabaseSource, 1);
        if (!d || !wal) {
                free(d);
                return reeve_error_errno(reterr, ENOMEM, NULL, "cannot read the log");
        }
        d->source.class = &database_class;
        d->uri = make_uri(path, access(wal, F_OK) < 0);
        int r = d->uri ? count_entries(d, reterr)
                       : reeve_error_errno(reterr, ENOMEM, NULL, "cannot read the log");
        if (r < 0) {
                close_source(&d->source);
                return r;
        }
        *ret = &d->source;
        return 0;
}
