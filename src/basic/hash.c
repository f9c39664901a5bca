/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Open addressing with linear probing, a power-of-two number of slots and at most three quarters of them used.
 * A removed entry leaves a tombstone, so that an iteration that removes what it stands on sees every other entry
 * exactly once; tombstones count as used and are swept when the table is rebuilt.
 *
 * The hash is SipHash-2-4 as published by Aumasson and Bernstein ("SipHash: a fast short-input PRF", 2012):
 * task ids are chosen by clients, and with a fixed hash one of them could make every lookup a scan. */

#include "basic/hash.h"

#include <errno.h>
#include <stdint.h>
#include <string.h>
#include <sys/random.h>

#define SLOTS_MIN 16

typedef struct Slot {
        const char *key; /* NULL: never used; `tombstone`: removed */
        void *value;
} Slot;

struct Hash {
        uint64_t k0, k1;
        Slot *slots;
        size_t n_slots;
        size_t n_values;
        size_t n_used; /* values and tombstones */
};

static const char tombstone[] = "";

static uint64_t rotl(uint64_t x, unsigned n)
{
        return x << n | x >> (64 - n);
}

static void sip_round(uint64_t v[4])
{
        v[0] += v[1];
        v[2] += v[3];
        v[1] = rotl(v[1], 13) ^ v[0];
        v[3] = rotl(v[3], 16) ^ v[2];
        v[0] = rotl(v[0], 32);
        v[2] += v[1];
        v[0] += v[3];
        v[1] = rotl(v[1], 17) ^ v[2];
        v[3] = rotl(v[3], 21) ^ v[0];
        v[2] = rotl(v[2], 32);
}

static uint64_t siphash(uint64_t k0, uint64_t k1, const char *data, size_t n)
{
        uint64_t v[4] = { k0 ^ UINT64_C(0x736f6d6570736575), k1 ^ UINT64_C(0x646f72616e646f6d),
                          k0 ^ UINT64_C(0x6c7967656e657261), k1 ^ UINT64_C(0x7465646279746573) };
        uint64_t word, last = (uint64_t)n << 56;
        size_t i = 0;

        for (; i + 8 <= n; i += 8) {
                memcpy(&word, data + i, 8);
                v[3] ^= word;
                sip_round(v);
                sip_round(v);
                v[0] ^= word;
        }
        for (unsigned shift = 0; i < n; i++, shift += 8)
                last |= (uint64_t)(unsigned char)data[i] << shift;

        v[3] ^= last;
        sip_round(v);
        sip_round(v);
        v[0] ^= last;
        v[2] ^= 0xff;
        for (unsigned round = 0; round < 4; round++)
                sip_round(v);
        return v[0] ^ v[1] ^ v[2] ^ v[3];
}

Hash *hash_new(void)
{
        _cleanup_free_ Hash *h = NEW0(Hash, 1);
        if (!h)
                return NULL;

        uint64_t key[2];
        if (getrandom(key, sizeof(key), 0) != (ssize_t)sizeof(key))
                return NULL;
        h->k0 = key[0];
        h->k1 = key[1];

        h->slots = NEW0(Slot, SLOTS_MIN);
        if (!h->slots)
                return NULL;
        h->n_slots = SLOTS_MIN;
        return TAKE_PTR(h);
}

Hash *hash_free(Hash *h)
{
        if (h) {
                free(h->slots);
                free(h);
        }
        return NULL;
}

/* The key's slot if it is in the table, else the first slot that can take it. */
static Slot *find(const Hash *h, const char *key)
{
        size_t mask = h->n_slots - 1;
        size_t i = siphash(h->k0, h->k1, key, strlen(key)) & mask;
        Slot *reusable = NULL;

        for (;; i = (i + 1) & mask) {
                Slot *s = h->slots + i;
                if (!s->key)
                        return reusable ?: s;
                if (s->key == tombstone) {
                        if (!reusable)
                                reusable = s;
                } else if (strcmp(s->key, key) == 0)
                        return s;
        }
}

static bool is_taken(const Slot *s)
{
        return s->key && s->key != tombstone;
}

static int rebuild(Hash *h)
{
        size_t wanted = SLOTS_MIN;
        while (wanted < (h->n_values + 1) * 2)
                wanted *= 2;

        Hash fresh = *h;
        fresh.slots = NEW0(Slot, wanted);
        if (!fresh.slots)
                return -ENOMEM;
        fresh.n_slots = wanted;
        fresh.n_used = h->n_values;

        for (size_t i = 0; i < h->n_slots; i++)
                if (is_taken(h->slots + i))
                        *find(&fresh, h->slots[i].key) = h->slots[i];

        free(h->slots);
        *h = fresh;
        return 0;
}

int hash_put(Hash *h, const char *key, void *value)
{
        assert(h);
        assert(key);
        assert(value);

        if ((h->n_used + 1) * 4 > h->n_slots * 3) {
                int r = rebuild(h);
                if (r < 0)
                        return r;
        }

        Slot *s = find(h, key);
        if (is_taken(s))
                return -EEXIST;
        if (!s->key)
                h->n_used++;
        *s = (Slot){ .key = key, .value = value };
        h->n_values++;
        return 0;
}

void *hash_get(const Hash *h, const char *key)
{
        assert(key);

        if (!h)
                return NULL;
        Slot *s = find(h, key);
        return is_taken(s) ? s->value : NULL;
}

void *hash_remove(Hash *h, const char *key)
{
        assert(key);

        if (!h)
                return NULL;
        Slot *s = find(h, key);
        if (!is_taken(s))
                return NULL;

        void *value = s->value;
        *s = (Slot){ .key = tombstone };
        h->n_values--;
        return value;
}

size_t hash_size(const Hash *h)
{
        return h ? h->n_values : 0;
}

void *hash_next(const Hash *h, size_t *cursor)
{
        assert(cursor);

        if (!h)
                return NULL;
        while (*cursor < h->n_slots) {
                const Slot *s = h->slots + (*cursor)++;
                if (is_taken(s))
                        return s->value;
        }
        return NULL;
}
