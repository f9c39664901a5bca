/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The tree of RFC 6962. A log of n entries is a row of complete subtrees, one for each bit that is set in n, the largest
 * first; its hash folds them from the right. So appending is adding one to a binary number whose digits are hashes, and
 * the hash of any part that begins at a multiple of its own largest subtree is a fold of complete subtrees too.
 *
 * A complete subtree of height h begins at a multiple of 2^h. With h = 8 L + r its hash is the fold of 2^r neighbours
 * of tile level L. Level 0 are the leaves; a level above gains a hash each time 256 of the level below are complete.
 *
 * SHA-256 is nettle's, which uses the instructions that processors have for it. libsodium's, which is used elsewhere, does
 * not: it takes four times as long, and hashing would be most of the time that verifying a log takes. */

#include <errno.h>
#include <nettle/sha2.h>
#include <string.h>

#include "common/tlog/tlog.h"

static_assert(SHA256_DIGEST_SIZE == TLOG_HASH_SIZE, "a hash is a SHA-256");

bool tlog_hash_equal(const TlogHash *a, const TlogHash *b)
{
        return memcmp(a->bytes, b->bytes, sizeof(a->bytes)) == 0;
}

/* Of the prefix and two texts behind it. */
static void hash(uint8_t prefix, const void *a, size_t a_size, const void *b, size_t b_size, TlogHash *ret)
{
        struct sha256_ctx h;

        sha256_init(&h);
        sha256_update(&h, sizeof(prefix), &prefix);
        if (a_size > 0)
                sha256_update(&h, a_size, a);
        if (b_size > 0)
                sha256_update(&h, b_size, b);
        sha256_digest(&h, sizeof(ret->bytes), ret->bytes);
}

void tlog_leaf_hash(const void *entry, size_t size, TlogHash *ret)
{
        assert(entry || size == 0);
        assert(ret);

        hash(0, entry, size, NULL, 0, ret);
}

void tlog_node_hash(const TlogHash *left, const TlogHash *right, TlogHash *ret)
{
        assert(left);
        assert(right);
        assert(ret);

        hash(1, left->bytes, sizeof(left->bytes), right->bytes, sizeof(right->bytes), ret);
}

void tlog_empty_hash(TlogHash *ret)
{
        struct sha256_ctx h;

        assert(ret);

        sha256_init(&h);
        sha256_digest(&h, sizeof(ret->bytes), ret->bytes);
}

int tlog_append(TlogFrontier *f, const TlogHash *leaf, tlog_store_t store, void *userdata)
{
        TlogHash hash;
        unsigned k = 0;
        int r;

        assert(f);
        assert(leaf);

        hash = *leaf;
        for (;; k++) {
                if (store && k % TLOG_TILE_HEIGHT == 0) {
                        r = store(k / TLOG_TILE_HEIGHT, f->size >> k, &hash, userdata);
                        if (r < 0)
                                return r;
                }
                if (!(f->size >> k & 1))
                        break;
                tlog_node_hash(f->roots + k, &hash, &hash);
        }
        f->roots[k] = hash;
        f->size++;
        return 0;
}

void tlog_root(const TlogFrontier *f, TlogHash *ret)
{
        bool any = false;

        assert(f);
        assert(ret);

        tlog_empty_hash(ret);
        for (unsigned k = 0; k < ELEMENTSOF(f->roots); k++) {
                if (!(f->size >> k & 1))
                        continue;
                if (any)
                        tlog_node_hash(f->roots + k, ret, ret);
                else
                        *ret = f->roots[k];
                any = true;
        }
}

void tlog_reader_init(TlogReader *r, tlog_tile_t tile, void *userdata)
{
        assert(r);
        assert(tile);

        r->tile = tile;
        r->userdata = userdata;
        for (size_t i = 0; i < ELEMENTSOF(r->cache); i++)
                r->cache[i].valid = false;
}

/* Hashes [from, from + n) of a tile level, which are within one tile. */
static int read_hashes(TlogReader *r, unsigned level, uint64_t from, unsigned n, const TlogHash **ret)
{
        uint64_t index = from / TLOG_TILE_WIDTH;
        unsigned at = from % TLOG_TILE_WIDTH;

        assert(level < TLOG_LEVELS);
        typeof(r->cache[0]) *c = r->cache + level;
        if (!c->valid || c->index != index) {
                c->valid = false;
                c->n = r->tile(level, index, c->hashes, r->userdata);
                if (c->n < 0)
                        return c->n;
                c->index = index;
                c->valid = true;
        }
        if (at + n > (unsigned)c->n)
                return -EBADMSG;
        *ret = c->hashes + at;
        return 0;
}

/* The complete subtree of 2^height entries that begins at `begin`. */
static int subtree(TlogReader *r, uint64_t begin, unsigned height, TlogHash *ret)
{
        unsigned level = height / TLOG_TILE_HEIGHT, n = 1U << height % TLOG_TILE_HEIGHT;
        TlogHash fold[TLOG_TILE_WIDTH / 2];
        const TlogHash *hashes;

        int k = read_hashes(r, level, begin >> (level * TLOG_TILE_HEIGHT), n, &hashes);
        if (k < 0)
                return k;
        memcpy(fold, hashes, n * sizeof(TlogHash));
        for (; n > 1; n /= 2)
                for (unsigned i = 0; i < n / 2; i++)
                        tlog_node_hash(fold + 2 * i, fold + 2 * i + 1, fold + i);
        *ret = fold[0];
        return 0;
}

static unsigned height_of(uint64_t size) /* of the largest complete subtree */
{
        return 63U - (unsigned)__builtin_clzll(size);
}

/* Entries [begin, begin + size), where begin is a multiple of the largest complete subtree's size. */
static int range(TlogReader *r, uint64_t begin, uint64_t size, TlogHash *ret)
{
        TlogFrontier f = { .size = size };

        while (size > 0) {
                unsigned height = height_of(size);

                int k = subtree(r, begin, height, f.roots + height);
                if (k < 0)
                        return k;
                begin += UINT64_C(1) << height;
                size -= UINT64_C(1) << height;
        }
        tlog_root(&f, ret);
        return 0;
}

int tlog_root_at(TlogReader *r, uint64_t size, TlogHash *ret)
{
        assert(r);
        assert(ret);

        return range(r, 0, size, ret);
}

int tlog_frontier_at(TlogReader *r, uint64_t size, TlogFrontier *ret)
{
        uint64_t begin = 0;

        assert(r);
        assert(ret);

        *ret = (TlogFrontier){ .size = size };
        while (begin < size) {
                unsigned height = height_of(size - begin);

                int k = subtree(r, begin, height, ret->roots + height);
                if (k < 0)
                        return k;
                begin += UINT64_C(1) << height;
        }
        return 0;
}

/* ---- proofs: both walk from the root down, and are told from the bottom up ---- */

static void reverse(TlogHash *hashes, size_t n)
{
        for (size_t i = 0; i < n / 2; i++) {
                TlogHash h = hashes[i];

                hashes[i] = hashes[n - 1 - i];
                hashes[n - 1 - i] = h;
        }
}

/* Where a tree of `size` > 1 entries parts: the largest power of two below it. */
static uint64_t split(uint64_t size)
{
        return UINT64_C(1) << height_of(size - 1);
}

int tlog_prove_inclusion(TlogReader *r, uint64_t index, uint64_t size, TlogHash ret[static TLOG_PROOF_MAX],
                         size_t *ret_n)
{
        uint64_t begin = 0;
        size_t n = 0;
        int k;

        assert(r);
        assert(ret_n);

        if (index >= size)
                return -ERANGE;
        while (size > 1) {
                uint64_t left = split(size);

                if (index - begin < left) {
                        k = range(r, begin + left, size - left, ret + n++);
                        size = left;
                } else {
                        k = range(r, begin, left, ret + n++);
                        begin += left;
                        size -= left;
                }
                if (k < 0)
                        return k;
        }
        reverse(ret, n);
        *ret_n = n;
        return 0;
}

int tlog_prove_consistency(TlogReader *r, uint64_t old_size, uint64_t size,
                           TlogHash ret[static TLOG_PROOF_MAX], size_t *ret_n)
{
        uint64_t begin = 0;
        size_t n = 0;
        int k;

        assert(r);
        assert(ret_n);

        *ret_n = 0;
        if (old_size > size)
                return -ERANGE;
        if (old_size == 0 || old_size == size)
                return 0;
        while (old_size - begin != size) {
                uint64_t left = split(size);

                if (old_size - begin <= left) {
                        k = range(r, begin + left, size - left, ret + n++);
                        size = left;
                } else {
                        k = range(r, begin, left, ret + n++);
                        begin += left;
                        size -= left;
                }
                if (k < 0)
                        return k;
        }
        if (begin > 0) { /* who checks does not have this part of the old tree by itself */
                k = range(r, begin, size, ret + n++);
                if (k < 0)
                        return k;
        }
        reverse(ret, n);
        *ret_n = n;
        return 0;
}
