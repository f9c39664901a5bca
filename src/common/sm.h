/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* State machines as tables: a row per state with its name, the states that may follow, and flags. The machine's
 * diagram stands above its table. The idea is dqlite's lib/sm.h. */

#include <stdbool.h>
#include <stdint.h>

#include "basic/macro.h"

typedef struct SmState {
        const char *name;
        uint32_t next;  /* bit n: state n may follow */
        uint32_t flags; /* SM_* */
} SmState;

#define SM_INITIAL (UINT32_C(1) << 0)
#define SM_FINAL   (UINT32_C(1) << 1) /* nothing follows */
#define SM_FAILURE (UINT32_C(1) << 2)

#define SM_BIT(state) (UINT32_C(1) << (state))

typedef struct SmTable {
        const char *name;
        const SmState *states;
        unsigned n_states; /* at most 32 */
} SmTable;

static inline bool sm_may(const SmTable *t, unsigned from, unsigned to)
{
        assert(t);
        assert(from < t->n_states && to < t->n_states);

        return t->states[from].next & SM_BIT(to);
}

/* The state with that name, -1 if there is none. */
int sm_from_name(const SmTable *t, const char *name);

/* Checks a table: names there and distinct, nothing follows a final state, something follows any other, every state can be reached
 * from an initial one. NULL if it is sound, else a static sentence that says what is not. For tests. */
const char *sm_check(const SmTable *t);
