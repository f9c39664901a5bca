/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* String-keyed hash table of pointers. The keys are borrowed: they live in the values (a task's id in the task),
 * so an entry costs 16 bytes. Keys are hashed with SipHash-2-4 and a random key per table, since clients choose
 * them. Iteration order is unspecified; the entry under iteration may be removed, nothing may be added. */

#include <stdbool.h>
#include <stddef.h>

#include "basic/macro.h"

typedef struct Hash Hash;

Hash *hash_new(void);

/* Frees the table, not the values. Accepts NULL. */
Hash *hash_free(Hash *h);
DEFINE_CLEANUP_FUNC(Hash *, hash_free)

/* -EEXIST if the key is taken, -ENOMEM. `key` must live as long as the entry. */
int hash_put(Hash *h, const char *key, void *value);

/* NULL if there is none. Accepts h == NULL. */
void *hash_get(const Hash *h, const char *key);

/* Removes and returns the value; NULL if there was none. */
void *hash_remove(Hash *h, const char *key);

size_t hash_size(const Hash *h);

/* Next value at or after *cursor (start with 0), NULL at the end. */
void *hash_next(const Hash *h, size_t *cursor);

#define HASH_FOREACH(h, type, value)                                                          \
        for (size_t _cursor_##value = 0, _once_##value = 1; _once_##value; _once_##value = 0) \
                for (type *value = hash_next((h), &_cursor_##value); value;                   \
                     value = hash_next((h), &_cursor_##value))
