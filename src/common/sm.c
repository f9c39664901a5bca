/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* What tables of states have in common: a name looked up, and a check that a table makes sense.
 *
 * The check is for tests, which run it on each table of the project, so it may be slow and say in words what is wrong.
 * What can be reached from the initial states is found by adding what follows until nothing is added any more. Whether a
 * transition is allowed is one bit, and is asked in the header. */

#include "common/sm.h"

#include <string.h>

int sm_from_name(const SmTable *t, const char *name)
{
        assert(t);
        assert(name);

        for (unsigned i = 0; i < t->n_states; i++)
                if (strcmp(t->states[i].name, name) == 0)
                        return (int)i;
        return -1;
}

const char *sm_check(const SmTable *t)
{
        uint32_t reached = 0, before;

        assert(t);

        if (t->n_states == 0 || t->n_states > 32)
                return "between 1 and 32 states are possible";

        for (unsigned i = 0; i < t->n_states; i++) {
                const SmState *s = t->states + i;
                if (!s->name)
                        return "a state has no name";
                if (sm_from_name(t, s->name) != (int)i)
                        return "two states have the same name";
                if ((s->flags & SM_FINAL) && s->next)
                        return "something follows a final state";
                if (!(s->flags & SM_FINAL) && !s->next)
                        return "nothing follows a state that is not final";
                if (t->n_states < 32 && s->next >> t->n_states)
                        return "a state is followed by one that is not in the table";
                if (s->flags & SM_INITIAL)
                        reached |= SM_BIT(i);
        }

        do {
                before = reached;
                for (unsigned i = 0; i < t->n_states; i++)
                        if (reached & SM_BIT(i))
                                reached |= t->states[i].next;
        } while (reached != before);

        for (unsigned i = 0; i < t->n_states; i++)
                if (!(reached & SM_BIT(i)))
                        return "a state cannot be reached";
        return NULL;
}
