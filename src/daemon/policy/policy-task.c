/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* What was in force for tasks: a struct and the memory of everything that it points to, which goes with the last
 * reference. Texts, rules and origins are carved out of a few chunks, since they come and go together and many tasks share
 * one TaskPolicy.
 *
 * References are counted without a lock: they are taken and dropped on the loop thread. (One that is being made on a
 * reader thread is not known to anybody else yet.) */

#include <errno.h>
#include <stdalign.h>

#include "daemon/policy/policy-internal.h"

#define CHUNK_SIZE 2048

typedef struct PolicyChunk {
        struct PolicyChunk *next;
        size_t used, size;
        alignas(max_align_t) char space[];
} PolicyChunk;

TaskPolicy *task_policy_new(void)
{
        TaskPolicy *p = NEW0(TaskPolicy, 1);
        if (!p)
                return NULL;
        p->n_ref = 1;
        p->storage = NEW0(TaskPolicyStorage, 1);
        return p->storage ? p : task_policy_unref(p);
}

TaskPolicy *task_policy_ref(TaskPolicy *p)
{
        assert(p && p->n_ref > 0);
        p->n_ref++;
        return p;
}

TaskPolicy *task_policy_unref(TaskPolicy *p)
{
        if (!p)
                return NULL;
        assert(p->n_ref > 0);
        if (--p->n_ref > 0)
                return NULL;
        while (p->storage && p->storage->chunks) {
                PolicyChunk *c = p->storage->chunks;
                p->storage->chunks = c->next;
                free(c);
        }
        if (p->storage)
                free(p->storage->json);
        free(p->storage);
        free(p);
        return NULL;
}

void *task_policy_alloc(TaskPolicy *p, size_t size)
{
        assert(p);

        size_t wanted = (size + alignof(max_align_t) - 1) & ~(alignof(max_align_t) - 1);
        PolicyChunk *c = p->storage->chunks;
        if (!c || wanted > c->size - c->used) {
                size_t room = MAX(wanted, (size_t)CHUNK_SIZE);
                c = calloc(1, sizeof(*c) + room);
                if (!c)
                        return NULL;
                c->size = room;
                c->next = p->storage->chunks;
                p->storage->chunks = c;
        }
        void *space = c->space + c->used;
        c->used += wanted;
        return space;
}

char *task_policy_strdup(TaskPolicy *p, const char *text)
{
        assert(text);

        size_t size = strlen(text) + 1;
        char *copy = task_policy_alloc(p, size);
        return copy ? memcpy(copy, text, size) : NULL;
}

const char *task_policy_json(const TaskPolicy *p)
{
        assert(p && p->storage->json);
        return p->storage->json;
}
