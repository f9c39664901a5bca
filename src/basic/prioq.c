/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* A binary heap in an array: the children of slot i are 2i + 1 and 2i + 2, and no slot comes after its children. One timer of
 * the loop can so stand for thousands of deadlines: it is set to that of the first element.
 *
 * Invariant, for each slot i in use: *slots[i].index == i. So an element is found without a search, and moving an entry is two
 * writes. A slot that is being filled is treated as a hole, through which others move up or down; the entry is
 * written once, where it stays.
 *
 * The array grows by doubling and does not shrink: what was needed once is needed again. */

#include "basic/prioq.h"

#include <errno.h>

#define SLOTS_MIN 16

typedef struct Entry {
        void *element;
        size_t *index; /* of the element */
} Entry;

struct Prioq {
        prioq_compare_t compare;
        Entry *slots;
        size_t n, n_slots;
};

Prioq *prioq_new(prioq_compare_t compare)
{
        assert(compare);

        Prioq *q = NEW0(Prioq, 1);
        if (q)
                q->compare = compare;
        return q;
}

Prioq *prioq_free(Prioq *q)
{
        if (q) {
                free(q->slots);
                free(q);
        }
        return NULL;
}

static void fill(Prioq *q, size_t hole, Entry e)
{
        q->slots[hole] = e;
        *e.index = hole;
}

/* Moves a hole towards the root until the entry may stand in it. */
static size_t hole_up(Prioq *q, size_t hole, const Entry *e)
{
        while (hole > 0) {
                size_t parent = (hole - 1) / 2;
                if (q->compare(q->slots[parent].element, e->element) <= 0)
                        break;
                fill(q, hole, q->slots[parent]);
                hole = parent;
        }
        return hole;
}

/* The same towards the leaves. */
static size_t hole_down(Prioq *q, size_t hole, const Entry *e)
{
        for (size_t child; (child = 2 * hole + 1) < q->n; hole = child) {
                if (child + 1 < q->n && q->compare(q->slots[child + 1].element, q->slots[child].element) < 0)
                        child++;
                if (q->compare(e->element, q->slots[child].element) <= 0)
                        break;
                fill(q, hole, q->slots[child]);
        }
        return hole;
}

/* Puts an entry where it belongs, beginning at a hole. */
static void settle(Prioq *q, size_t hole, Entry e)
{
        size_t up = hole_up(q, hole, &e);
        fill(q, up < hole ? up : hole_down(q, hole, &e), e);
}

static int grow(Prioq *q)
{
        size_t wanted = MAX(q->n_slots * 2, (size_t)SLOTS_MIN);

        Entry *bigger = reallocarray(q->slots, wanted, sizeof(Entry));
        if (!bigger)
                return -ENOMEM;
        q->slots = bigger;
        q->n_slots = wanted;
        return 0;
}

int prioq_put(Prioq *q, void *element, size_t *index)
{
        assert(q);
        assert(element);
        assert(index && *index == PRIOQ_NONE);

        if (q->n == q->n_slots) {
                int r = grow(q);
                if (r < 0)
                        return r;
        }
        settle(q, q->n++, (Entry){ element, index });
        return 0;
}

bool prioq_remove(Prioq *q, size_t *index)
{
        assert(q);
        assert(index);

        size_t hole = *index;
        if (hole == PRIOQ_NONE)
                return false;
        assert(hole < q->n && q->slots[hole].index == index);

        Entry last = q->slots[--q->n];
        if (hole < q->n)
                settle(q, hole, last);
        *index = PRIOQ_NONE;
        return true;
}

bool prioq_reshuffle(Prioq *q, const size_t *index)
{
        assert(q);
        assert(index);

        if (*index == PRIOQ_NONE)
                return false;
        assert(*index < q->n && q->slots[*index].index == index);

        settle(q, *index, q->slots[*index]);
        return true;
}

void *prioq_peek(const Prioq *q)
{
        assert(q);
        return q->n > 0 ? q->slots[0].element : NULL;
}

void *prioq_pop(Prioq *q)
{
        void *first = prioq_peek(q);

        if (first)
                prioq_remove(q, q->slots[0].index);
        return first;
}

size_t prioq_size(const Prioq *q)
{
        assert(q);
        return q->n;
}
