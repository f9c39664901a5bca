/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* "Did you mean ...?" */

#include <stddef.h>

typedef struct Nearest {
        const char *wanted; /* what was written */
        const char *best;   /* the nearest name offered so far; NULL if none is near */
        unsigned distance;  /* of best */
} Nearest;

/* Begins a search; `wanted` is borrowed. */
void nearest_init(Nearest *n, const char *wanted);

/* Offers a name (borrowed). It is taken when it is nearer than all before, and near at all: at most a third of its
 * letters differ. Case counts half as much as a wrong letter. */
void nearest_offer(Nearest *n, const char *name);
