/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Priority, then age, and nothing starves: the order is by time of creation less QUEUE_AGING_USEC for each level of
 * priority. A waiting task so gains a level on everything that comes later for each such span, and yet no key ever
 * changes: the difference between two keys is the same at all times, and a heap stays in order by itself.
 *
 * Entries are grouped by (subsystem, task type), since all entries of a group want the same slots: if there is no room
 * for the first of a group, there is none for the others, and likewise for the groups of a subsystem. (A match within a task type,
 * or a reload, may give entries other limits; the first one's decides then.) So there is a heap of waiting entries in each group; a
 * heap of the groups whose type may have room in each subsystem, by their first entries; and one of the subsystems that may
 * have room, by the first entries of their first groups. queue_next() takes out what has no room, and a slot that becomes free
 * puts its group and its subsystem back: neither depends on how many groups there are.
 *
 * Invariants: a group is a candidate only while it has waiting entries, a subsystem only while it has candidates; one with
 * waiting entries that is none has no room, or memory was short (`incomplete`). A group lives as long as it has entries, a
 * subsystem as long as it has groups. */

#include "daemon/queue/queue.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "basic/hash.h"
#include "basic/prioq.h"
#include "basic/strings.h"

typedef struct QueueSubsystem {
        char *name;
        Hash *groups;      /* by task type */
        Prioq *candidates; /* QueueGroup */
        size_t index;      /* of Queue.candidates */
        unsigned n_running;
        size_t n_ranked;
} QueueSubsystem;

struct QueueGroup {
        char *task_type;
        QueueSubsystem *subsystem;
        ListLink entries, running;
        Prioq *waiting;
        size_t index; /* of the candidates of its subsystem */
        unsigned n_running;
        size_t n_ranked;
};

struct Queue {
        Hash *subsystems;
        Prioq *candidates; /* QueueSubsystem */
        bool ranked;       /* QueueEntry.ahead of what waits is right */
        bool incomplete;   /* a group should be a candidate, and there was no memory for it */
        unsigned max;
        uint64_t next_serial;
        size_t n_waiting, n_running;
};

static int compare_entries(const void *a, const void *b)
{
        const QueueEntry *x = a, *y = b;

        if (x->key != y->key)
                return x->key < y->key ? -1 : 1;
        return x->serial < y->serial ? -1 : x->serial > y->serial;
}

static int compare_groups(const void *a, const void *b)
{
        const QueueGroup *x = a, *y = b;
        return compare_entries(prioq_peek(x->waiting), prioq_peek(y->waiting));
}

static int compare_subsystems(const void *a, const void *b)
{
        const QueueSubsystem *x = a, *y = b;
        return compare_groups(prioq_peek(x->candidates), prioq_peek(y->candidates));
}

int queue_new(Queue **ret)
{
        assert(ret);

        _cleanup_(queue_freep) Queue *q = NEW0(Queue, 1);
        if (!q)
                return -ENOMEM;
        q->subsystems = hash_new();
        q->candidates = prioq_new(compare_subsystems);
        if (!q->subsystems || !q->candidates)
                return -ENOMEM;
        *ret = TAKE_PTR(q);
        return 0;
}

Queue *queue_free(Queue *q)
{
        if (!q)
                return NULL;
        assert(hash_size(q->subsystems) == 0);
        hash_free(q->subsystems);
        prioq_free(q->candidates);
        free(q);
        return NULL;
}

/* ---- groups ---- */

static QueueSubsystem *subsystem_free(QueueSubsystem *s)
{
        if (!s)
                return NULL;
        hash_free(s->groups);
        prioq_free(s->candidates);
        free(s->name);
        free(s);
        return NULL;
}
DEFINE_CLEANUP_FUNC(QueueSubsystem *, subsystem_free)

static QueueGroup *group_free(QueueGroup *g)
{
        if (!g)
                return NULL;
        prioq_free(g->waiting);
        free(g->task_type);
        free(g);
        return NULL;
}
DEFINE_CLEANUP_FUNC(QueueGroup *, group_free)

static void drop_subsystem_if_empty(Queue *q, QueueSubsystem *s)
{
        if (hash_size(s->groups) > 0)
                return;
        assert(s->index == PRIOQ_NONE);
        hash_remove(q->subsystems, s->name);
        subsystem_free(s);
}

static QueueSubsystem *get_subsystem(Queue *q, const char *name)
{
        QueueSubsystem *known = hash_get(q->subsystems, name);
        if (known)
                return known;
        _cleanup_(subsystem_freep) QueueSubsystem *s = NEW0(QueueSubsystem, 1);
        if (!s)
                return NULL;
        s->name = strdup(name);
        s->groups = hash_new();
        s->candidates = prioq_new(compare_groups);
        s->index = PRIOQ_NONE;
        if (!s->name || !s->groups || !s->candidates || hash_put(q->subsystems, s->name, s) < 0)
                return NULL;
        return TAKE_PTR(s);
}

static QueueGroup *get_group(QueueSubsystem *s, const char *task_type)
{
        QueueGroup *known = hash_get(s->groups, task_type);
        if (known)
                return known;
        _cleanup_(group_freep) QueueGroup *g = NEW0(QueueGroup, 1);
        if (!g)
                return NULL;
        g->subsystem = s;
        g->index = PRIOQ_NONE;
        list_init(&g->entries);
        list_init(&g->running);
        g->task_type = strdup(task_type);
        g->waiting = prioq_new(compare_entries);
        if (!g->task_type || !g->waiting || hash_put(s->groups, g->task_type, g) < 0)
                return NULL;
        return TAKE_PTR(g);
}

static void drop_group_if_empty(Queue *q, QueueGroup *g)
{
        if (!list_is_empty(&g->entries) || !list_is_empty(&g->running))
                return;
        QueueSubsystem *s = g->subsystem;
        hash_remove(s->groups, g->task_type);
        group_free(g);
        drop_subsystem_if_empty(q, s);
}

/* ---- candidates ---- */

/* The subsystem may have room now, or has another first entry. */
static void consider_subsystem(Queue *q, QueueSubsystem *s)
{
        if (prioq_size(s->candidates) == 0)
                prioq_remove(q->candidates, &s->index);
        else if (!prioq_reshuffle(q->candidates, &s->index) && prioq_put(q->candidates, s, &s->index) < 0)
                q->incomplete = true;
}

/* Its group may, or has. */
static void consider(Queue *q, QueueGroup *g)
{
        QueueSubsystem *s = g->subsystem;

        if (prioq_size(g->waiting) == 0)
                prioq_remove(s->candidates, &g->index);
        else if (!prioq_reshuffle(s->candidates, &g->index) && prioq_put(s->candidates, g, &g->index) < 0)
                q->incomplete = true;
        consider_subsystem(q, s);
}

static void consider_all(Queue *q)
{
        q->incomplete = false;
        HASH_FOREACH(q->subsystems, QueueSubsystem, s)
                HASH_FOREACH(s->groups, QueueGroup, g)
                        consider(q, g);
}

static bool is_full(size_t running, unsigned max)
{
        return max > 0 && running >= max;
}

static QueueLimit limit_of(const Queue *q, const QueueEntry *e)
{
        const QueueGroup *g = e->group;

        if (is_full(g->n_running, e->task_type_max))
                return QUEUE_LIMIT_TASK_TYPE;
        if (is_full(g->subsystem->n_running, e->subsystem_max))
                return QUEUE_LIMIT_SUBSYSTEM;
        return is_full(q->n_running, q->max) ? QUEUE_LIMIT_ALL : QUEUE_LIMIT_NONE;
}

/* ---- transitions ---- */

static void take_slot(Queue *q, QueueEntry *e)
{
        e->group->n_running++;
        e->group->subsystem->n_running++;
        q->n_running++;
        list_remove(&e->link);
        list_append(&e->group->running, &e->link);
        e->state = QUEUE_RUNNING;
}

static void give_slot_back(Queue *q, QueueEntry *e)
{
        e->group->n_running--;
        e->group->subsystem->n_running--;
        q->n_running--;
        list_remove(&e->link);
        list_append(&e->group->entries, &e->link);
        consider(q, e->group);
}

static void stop_waiting(Queue *q, QueueEntry *e)
{
        prioq_remove(e->group->waiting, &e->index);
        q->n_waiting--;
        q->ranked = false;
        consider(q, e->group);
}

void queue_set_max(Queue *q, unsigned max)
{
        assert(q);

        q->max = max;
}

int queue_enter(Queue *q, QueueEntry *e, const QueueRequest *request)
{
        assert(q);
        assert(e && e->state == QUEUE_OUT);
        assert(request);

        QueueSubsystem *s = get_subsystem(q, request->subsystem);
        if (!s)
                return -ENOMEM;
        QueueGroup *g = get_group(s, request->task_type);
        if (!g) {
                drop_subsystem_if_empty(q, s);
                return -ENOMEM;
        }
        *e = (QueueEntry){
                .state = QUEUE_PARKED,
                .group = g,
                .index = PRIOQ_NONE,
                .key = request->created_boottime - request->priority * (int64_t)QUEUE_AGING_USEC,
                .serial = q->next_serial++,
                .task_type_max = request->task_type_max,
                .subsystem_max = request->subsystem_max,
        };
        list_append(&g->entries, &e->link);
        return 0;
}

int queue_ready(Queue *q, QueueEntry *e)
{
        assert(q);
        assert(e && e->state == QUEUE_PARKED);

        int r = prioq_put(e->group->waiting, e, &e->index);
        if (r < 0)
                return r;
        e->state = QUEUE_WAITING;
        q->n_waiting++;
        q->ranked = false;
        consider(q, e->group);
        return 0;
}

void queue_park(Queue *q, QueueEntry *e)
{
        assert(q);
        assert(e && e->state != QUEUE_OUT);

        if (e->state == QUEUE_WAITING)
                stop_waiting(q, e);
        else if (e->state == QUEUE_RUNNING)
                give_slot_back(q, e);
        e->state = QUEUE_PARKED;
}

void queue_started(Queue *q, QueueEntry *e)
{
        assert(q);
        assert(e && (e->state == QUEUE_PARKED || e->state == QUEUE_WAITING));

        if (e->state == QUEUE_WAITING)
                stop_waiting(q, e);
        take_slot(q, e);
}

QueueEntry *queue_next(Queue *q)
{
        QueueSubsystem *s;

        assert(q);

        if (q->incomplete)
                consider_all(q);
        if (is_full(q->n_running, q->max))
                return NULL;
        while ((s = prioq_peek(q->candidates))) {
                QueueGroup *g = prioq_peek(s->candidates);
                QueueEntry *e = prioq_peek(g->waiting);

                switch (limit_of(q, e)) {
                case QUEUE_LIMIT_NONE:
                        queue_started(q, e);
                        return e;
                case QUEUE_LIMIT_TASK_TYPE:
                        prioq_remove(s->candidates, &g->index);
                        consider_subsystem(q, s);
                        break;
                case QUEUE_LIMIT_SUBSYSTEM:
                        prioq_remove(q->candidates, &s->index);
                        break;
                case QUEUE_LIMIT_ALL:
                        return NULL;
                }
        }
        return NULL;
}

void queue_leave(Queue *q, QueueEntry *e)
{
        assert(q);
        assert(e);

        if (e->state == QUEUE_OUT)
                return;
        QueueGroup *g = e->group;
        queue_park(q, e);
        list_remove(&e->link);
        *e = (QueueEntry){ .state = QUEUE_OUT };
        drop_group_if_empty(q, g);
}

/* ---- looking ---- */

static size_t ahead_in_group(const QueueGroup *g, const QueueEntry *e)
{
        size_t n = 0;

        LIST_FOREACH(&g->entries, link) {
                const QueueEntry *other = container_of(link, QueueEntry, link);
                n += other->state == QUEUE_WAITING && compare_entries(other, e) < 0;
        }
        return n;
}

static size_t ahead_in_subsystem(const QueueSubsystem *s, const QueueEntry *e)
{
        size_t n = 0;

        HASH_FOREACH(s->groups, QueueGroup, g)
                n += ahead_in_group(g, e);
        return n;
}

static int compare_pointers(const void *a, const void *b)
{
        return compare_entries(*(QueueEntry *const *)a, *(QueueEntry *const *)b);
}

static size_t collect_waiting(QueueGroup *g, QueueEntry **ret)
{
        size_t n = 0;

        LIST_FOREACH(&g->entries, link) {
                QueueEntry *e = container_of(link, QueueEntry, link);
                if (e->state == QUEUE_WAITING)
                        ret[n++] = e;
        }
        return n;
}

void queue_rank(Queue *q)
{
        size_t n = 0;

        assert(q);

        if (q->ranked || q->n_waiting == 0)
                return;
        _cleanup_free_ QueueEntry **all = NEW(QueueEntry *, q->n_waiting);
        if (!all)
                return;
        HASH_FOREACH(q->subsystems, QueueSubsystem, s) {
                s->n_ranked = 0;
                HASH_FOREACH(s->groups, QueueGroup, g) {
                        g->n_ranked = 0;
                        n += collect_waiting(g, all + n);
                }
        }
        assert(n == q->n_waiting);
        qsort(all, n, sizeof(*all), compare_pointers);
        for (size_t i = 0; i < n; i++) {
                QueueGroup *g = all[i]->group;
                all[i]->ahead[0] = g->n_ranked++;
                all[i]->ahead[1] = g->subsystem->n_ranked++;
                all[i]->ahead[2] = i;
        }
        q->ranked = true;
}

static size_t running_in_group(const QueueGroup *g, QueueEntry **ret, size_t max)
{
        size_t n = 0;

        LIST_FOREACH(&g->running, link) {
                if (n == max)
                        break;
                ret[n++] = container_of(link, QueueEntry, link);
        }
        return n;
}

static size_t running_in_subsystem(const QueueSubsystem *s, QueueEntry **ret, size_t max)
{
        size_t n = 0;

        HASH_FOREACH(s->groups, QueueGroup, g)
                n += running_in_group(g, ret + n, max - n);
        return n;
}

size_t queue_running_with(const Queue *q, const QueueEntry *e, QueueLimit limit, QueueEntry **ret,
                          size_t max)
{
        size_t n = 0;

        assert(q);
        assert(e && e->group);
        assert(ret);

        switch (limit) {
        case QUEUE_LIMIT_NONE:
                return 0;
        case QUEUE_LIMIT_TASK_TYPE:
                return running_in_group(e->group, ret, max);
        case QUEUE_LIMIT_SUBSYSTEM:
                return running_in_subsystem(e->group->subsystem, ret, max);
        case QUEUE_LIMIT_ALL:
                HASH_FOREACH(q->subsystems, QueueSubsystem, s)
                        n += running_in_subsystem(s, ret + n, max - n);
                return n;
        }
        return 0;
}

void queue_position(const Queue *q, const QueueEntry *e, QueuePosition *ret)
{
        assert(q);
        assert(e && e->state == QUEUE_WAITING);
        assert(ret);

        const QueueGroup *g = e->group;
        *ret = (QueuePosition){ .limit = limit_of(q, e) };
        switch (ret->limit) {
        case QUEUE_LIMIT_NONE:
                return;
        case QUEUE_LIMIT_TASK_TYPE:
                ret->max = e->task_type_max;
                ret->running = g->n_running;
                ret->ahead = q->ranked ? e->ahead[0] : ahead_in_group(g, e);
                return;
        case QUEUE_LIMIT_SUBSYSTEM:
                ret->max = e->subsystem_max;
                ret->running = g->subsystem->n_running;
                ret->ahead = q->ranked ? e->ahead[1] : ahead_in_subsystem(g->subsystem, e);
                return;
        case QUEUE_LIMIT_ALL:
                ret->max = q->max;
                ret->running = (unsigned)q->n_running;
                if (q->ranked)
                        ret->ahead = e->ahead[2];
                else
                        HASH_FOREACH(q->subsystems, QueueSubsystem, s)
                                ret->ahead += ahead_in_subsystem(s, e);
                return;
        }
}

size_t queue_n_waiting(const Queue *q)
{
        return q->n_waiting;
}

size_t queue_n_running(const Queue *q)
{
        return q->n_running;
}
