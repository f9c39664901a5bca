/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* A log that cannot be rewritten unseen: the Merkle tree of RFC 6962 (section 2.1) over its entries, with proofs that an
 * entry is in it and that a later log only adds to an earlier one. SHA-256; a leaf is hashed with 0x00 before its bytes,
 * two nodes with 0x01 before both.
 *
 * Hashes are kept in tiles, as C2SP's tlog-tiles has them: tile (level, index) has the hashes of 256 subtrees of height
 * 8 * level side by side, so a proof needs a handful of them and never the entries. Nothing here reads or stores:
 * tiles come from a callback. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "basic/macro.h"

#define TLOG_HASH_SIZE   32
#define TLOG_TILE_WIDTH  256 /* hashes of a full tile */
#define TLOG_TILE_HEIGHT 8
#define TLOG_LEVELS      8 /* of tiles, for as many entries as an int64_t can count */
#define TLOG_PROOF_MAX   64

typedef struct TlogHash {
        uint8_t bytes[TLOG_HASH_SIZE];
} TlogHash;

bool tlog_hash_equal(const TlogHash *a, const TlogHash *b);

/* Of an entry; of two subtrees side by side; of a log without entries. */
void tlog_leaf_hash(const void *entry, size_t size, TlogHash *ret);
void tlog_node_hash(const TlogHash *left, const TlogHash *right, TlogHash *ret);
void tlog_empty_hash(TlogHash *ret);

/* ---- appending ---- */

/* All that appending needs: the roots of the complete subtrees that the log consists of, one for each bit of its size.
 * A zeroed one is that of an empty log. */
typedef struct TlogFrontier {
        uint64_t size;
        TlogHash roots[64]; /* [k]: of 2^k entries; valid if that bit of `size` is set */
} TlogFrontier;

/* Called with each complete subtree of height 8 * level, in order: hash `index` of that level, which belongs into tile
 * (level, index / 256) at index % 256. Negative errno ends the appending. */
typedef int (*tlog_store_t)(unsigned level, uint64_t index, const TlogHash *hash, void *userdata);

/* Adds an entry. 0, or what `store` (may be NULL) returned: then the frontier is as before. */
int tlog_append(TlogFrontier *f, const TlogHash *leaf, tlog_store_t store, void *userdata);
/* The hash of the whole log. */
void tlog_root(const TlogFrontier *f, TlogHash *ret);

/* ---- reading ---- */

/* Reads a tile: at most TLOG_TILE_WIDTH hashes. Returns how many there are (0: there is no such tile), negative errno. */
typedef int (*tlog_tile_t)(unsigned level, uint64_t index, TlogHash ret[static TLOG_TILE_WIDTH],
                           void *userdata);

/* Where tiles come from, and the last one read of each level: 64 KiB, so not for the stack. */
typedef struct TlogReader {
        tlog_tile_t tile;
        void *userdata;
        struct {
                bool valid;
                uint64_t index;
                int n;
                TlogHash hashes[TLOG_TILE_WIDTH];
        } cache[TLOG_LEVELS];
} TlogReader;

void tlog_reader_init(TlogReader *r, tlog_tile_t tile, void *userdata);

/* The functions from here to tlog_frontier_at() return -EBADMSG if a tile lacks a hash that a log of that size has, and
 * what the callback returned if that failed. */

/* The hash of the log as it was with `size` entries. */
int tlog_root_at(TlogReader *r, uint64_t size, TlogHash *ret);
/* The hashes that lead from entry `index` to the root of the first `size` entries; *ret_n of them, at most TLOG_PROOF_MAX.
 * -ERANGE if index >= size. */
int tlog_prove_inclusion(TlogReader *r, uint64_t index, uint64_t size, TlogHash ret[static TLOG_PROOF_MAX],
                         size_t *ret_n);
/* That the log of `size` entries begins with that of `old_size`. -ERANGE if old_size > size. */
int tlog_prove_consistency(TlogReader *r, uint64_t old_size, uint64_t size,
                           TlogHash ret[static TLOG_PROOF_MAX], size_t *ret_n);
/* What appending to it needs. */
int tlog_frontier_at(TlogReader *r, uint64_t size, TlogFrontier *ret);

/* ---- checking ---- */

/* Both follow RFC 9162, sections 2.1.3.2 and 2.1.4.2, and need no log. */
bool tlog_check_inclusion(const TlogHash *leaf, uint64_t index, uint64_t size, const TlogHash *proof,
                          size_t n, const TlogHash *root);
bool tlog_check_consistency(uint64_t old_size, const TlogHash *old_root, uint64_t size, const TlogHash *root,
                            const TlogHash *proof, size_t n);
