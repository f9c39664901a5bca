/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Checking proofs without the log, as RFC 9162 describes it: `node` and `last` are the places of the entry (or of the last
 * old entry) and of the last entry at a level of the tree. A hash of the proof belongs to the left where the node is a right
 * child, or the last of a level where it has no sibling and moves up by itself; otherwise to the right. */

#include "common/tlog/tlog.h"

typedef struct Place {
        uint64_t node, last;
} Place;

static bool joins_left(const Place *p)
{
        return (p->node & 1) || p->node == p->last;
}

static void up(Place *p)
{
        p->node >>= 1;
        p->last >>= 1;
}

/* After a hash was joined: past the levels where this node had no sibling, to the next one. */
static void ascend(Place *p)
{
        if (joins_left(p))
                while (!(p->node & 1) && p->node != 0)
                        up(p);
        up(p);
}

bool tlog_check_inclusion(const TlogHash *leaf, uint64_t index, uint64_t size, const TlogHash *proof,
                          size_t n, const TlogHash *root)
{
        assert(leaf);
        assert(proof || n == 0);
        assert(root);

        if (index >= size)
                return false;
        Place p = { .node = index, .last = size - 1 };
        TlogHash hash = *leaf;
        for (size_t i = 0; i < n; i++) {
                if (p.last == 0)
                        return false;
                if (joins_left(&p))
                        tlog_node_hash(proof + i, &hash, &hash);
                else
                        tlog_node_hash(&hash, proof + i, &hash);
                ascend(&p);
        }
        return p.last == 0 && tlog_hash_equal(&hash, root);
}

/* A tree that has become another. */
typedef struct Growth {
        uint64_t old_size, size; /* they differ, and neither is 0 */
        const TlogHash *old_root, *root;
} Growth;

/* `first` is the largest part that both trees have whole. */
static bool check_growth(const Growth *g, const TlogHash *first, const TlogHash *proof, size_t n)
{
        Place p = { .node = g->old_size - 1, .last = g->size - 1 };
        TlogHash old_hash = *first, hash = *first;

        while (p.node & 1)
                up(&p);
        for (size_t i = 0; i < n; i++) {
                if (p.last == 0)
                        return false;
                if (joins_left(&p)) {
                        tlog_node_hash(proof + i, &old_hash, &old_hash);
                        tlog_node_hash(proof + i, &hash, &hash);
                } else
                        tlog_node_hash(&hash, proof + i, &hash);
                ascend(&p);
        }
        return p.last == 0 && tlog_hash_equal(&old_hash, g->old_root) && tlog_hash_equal(&hash, g->root);
}

bool tlog_check_consistency(uint64_t old_size, const TlogHash *old_root, uint64_t size, const TlogHash *root,
                            const TlogHash *proof, size_t n)
{
        const Growth g = { .old_size = old_size, .size = size, .old_root = old_root, .root = root };
        TlogHash empty;

        assert(old_root);
        assert(root);
        assert(proof || n == 0);

        if (old_size > size)
                return false;
        if (old_size == size)
                return n == 0 && tlog_hash_equal(old_root, root);
        if (old_size == 0) {
                tlog_empty_hash(&empty);
                return n == 0 && tlog_hash_equal(old_root, &empty);
        }
        if ((old_size & (old_size - 1)) == 0) /* the old tree is itself such a part */
                return check_growth(&g, old_root, proof, n);
        return n > 0 && check_growth(&g, proof, proof + 1, n - 1);
}
