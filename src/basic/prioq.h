/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Priority queue of pointers: the smallest element at once, any element put, removed or moved in O(log n). Each element keeps its
 * place in a size_t of its own, which the queue maintains; so an element is in one queue per such field.
 *
 * Elements that compare equal come out in no particular order: a caller who needs one compares a serial number too. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "basic/macro.h"

typedef struct Prioq Prioq;

/* Below 0 if `a` comes before `b`, 0 if either may, above 0 if after. */
typedef int (*prioq_compare_t)(const void *a, const void *b);

/* The index of an element that is in no queue: what its field must be set to before the first prioq_put(), and what it is set
 * to again when the element leaves. */
#define PRIOQ_NONE SIZE_MAX

/* NULL when memory is short. */
Prioq *prioq_new(prioq_compare_t compare);

/* Frees the queue, not the elements, whose indices it does not touch: they may be gone. Accepts NULL. */
Prioq *prioq_free(Prioq *q);
DEFINE_CLEANUP_FUNC(Prioq *, prioq_free)

/* Adds an element. `index` is its field, PRIOQ_NONE now, and stays valid until the element left. -ENOMEM, and then
 * nothing has changed. */
int prioq_put(Prioq *q, void *element, size_t *index);

/* Takes an element out; false if its index is PRIOQ_NONE. */
bool prioq_remove(Prioq *q, size_t *index);

/* What the element is compared by has changed: finds its new place. At most one element may have changed since the last
 * call. False if its index is PRIOQ_NONE. */
bool prioq_reshuffle(Prioq *q, const size_t *index);

/* The element that comes first; NULL if there is none. */
void *prioq_peek(const Prioq *q);

/* Takes out the element that comes first and returns it; NULL if there is none. */
void *prioq_pop(Prioq *q);

size_t prioq_size(const Prioq *q);
