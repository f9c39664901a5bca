/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* A table from id to open task, and a count of open tasks per uid (in a small array: uids are few).
 *
 * It owns the tasks: who removes one frees it, with what other parts have hung onto it (the `release` callback). What has
 * ended is in the database only, so the size of this follows what runs and waits, not what ever was. The limit per uid is
 * checked where a task comes in, and holds over all subsystems: it is what keeps one user from using up the daemon's memory.
 *
 * Nothing is stored here, and nobody is told: that is the service's. */

#include "daemon/registry/registry.h"

#include <errno.h>
#include <string.h>

#include "basic/fd.h"

typedef struct UidCount {
        uid_t uid;
        unsigned n;
} UidCount;

struct Registry {
        RegistryConfig config;
        Hash *tasks;
        UidCount *uids;
        size_t n_uids;
};

int registry_new(const RegistryConfig *config, Registry **ret)
{
        assert(config);
        assert(config->clock);
        assert(ret);

        _cleanup_(registry_freep) Registry *r = NEW0(Registry, 1);
        if (!r)
                return -ENOMEM;
        r->config = *config;
        r->tasks = hash_new();
        if (!r->tasks)
                return -ENOMEM;
        *ret = TAKE_PTR(r);
        return 0;
}

void task_drop_start(Task *t)
{
        assert(t);

        t->spec_fd = fd_close(t->spec_fd);
        t->has_ticket = false;
        for (size_t i = 0; i < t->n_stdio_fds; i++)
                fd_close(t->stdio_fds[i]);
        free(t->stdio_fds);
        t->stdio_fds = NULL;
        t->n_stdio_fds = 0;
}

static Task *task_free(Task *t)
{
        if (t) {
                task_row_done(&t->row);
                task_drop_start(t);
                free(t);
        }
        return NULL;
}
DEFINE_CLEANUP_FUNC(Task *, task_free)

static void release(const Registry *r, Task *t)
{
        if (r->config.release)
                r->config.release(t);
        task_free(t);
}

Registry *registry_free(Registry *r)
{
        if (!r)
                return NULL;
        HASH_FOREACH(r->tasks, Task, t)
                release(r, t);
        hash_free(r->tasks);
        free(r->uids);
        free(r);
        return NULL;
}

void registry_set_limit(Registry *r, unsigned tasks_per_uid)
{
        assert(r);
        r->config.tasks_per_uid = tasks_per_uid;
}

Task *registry_get(Registry *r, const char *task_id)
{
        assert(r);
        return hash_get(r->tasks, task_id);
}

size_t registry_size(const Registry *r)
{
        assert(r);
        return hash_size(r->tasks);
}

Task *registry_next(Registry *r, size_t *cursor)
{
        assert(r);
        return hash_next(r->tasks, cursor);
}

/* The uid's counter, made when there is none; NULL when memory is short. Valid until the next call. */
static UidCount *uid_count(Registry *r, uid_t uid)
{
        for (size_t i = 0; i < r->n_uids; i++)
                if (r->uids[i].uid == uid)
                        return r->uids + i;

        UidCount *bigger = reallocarray(r->uids, r->n_uids + 1, sizeof(UidCount));
        if (!bigger)
                return NULL;
        r->uids = bigger;
        r->uids[r->n_uids] = (UidCount){ .uid = uid };
        return r->uids + r->n_uids++;
}

static void uid_count_drop(Registry *r, uid_t uid)
{
        UidCount *c = uid_count(r, uid);
        if (c && c->n > 0 && --c->n == 0)
                *c = r->uids[--r->n_uids];
}

static void set_created(const Registry *r, TaskRow *row)
{
        if (row->created_realtime > 0)
                return;
        row->created_realtime = clock_realtime(r->config.clock);
        row->created_boottime = clock_boottime(r->config.clock);
        memcpy(row->boot_id, r->config.boot_id, sizeof(row->boot_id));
}

int registry_add(Registry *r, TaskRow *row, Task **ret, ReeveError *reterr)
{
        assert(r);
        assert(row);
        assert(task_id_is_valid(row->task_id));
        assert(!task_state_is_final(row->status));

        if (hash_get(r->tasks, row->task_id))
                return reeve_error_set(reterr, REEVE_ERROR_ALREADY_EXISTS, "task_id", "a task '%s' exists",
                                       row->task_id);

        UidCount *c = uid_count(r, row->owner_uid);
        _cleanup_(task_freep) Task *t = NEW0(Task, 1);
        if (!c || !t)
                return reeve_error_errno(reterr, ENOMEM, NULL, "cannot hold another task");
        t->spec_fd = -EBADF;
        t->kill_index = PRIOQ_NONE;
        if (row->owner_uid != 0 && r->config.tasks_per_uid > 0 && c->n >= r->config.tasks_per_uid)
                return reeve_error_set(reterr, REEVE_ERROR_LIMIT_EXCEEDED, "limits.tasks_per_uid",
                                       "uid %u has %u tasks that have not ended, no more are allowed",
                                       (unsigned)row->owner_uid, c->n);

        list_init(&t->runs);
        list_init(&t->dependents);
        list_init(&t->waits);
        int k = hash_put(r->tasks, row->task_id, t);
        if (k < 0)
                return reeve_error_errno(reterr, k, NULL, "cannot hold another task");

        set_created(r, row);
        t->row = *row;
        *row = (TaskRow){ 0 };
        c->n++;
        *ret = TAKE_PTR(t);
        return 0;
}

void registry_remove(Registry *r, Task *t)
{
        assert(r);
        assert(t);
        assert(list_is_empty(&t->runs) && list_is_empty(&t->waits));
        assert(t->kill_index == PRIOQ_NONE);
        assert(!t->verification);
        assert(list_is_empty(&t->dependents));

        uid_count_drop(r, t->row.owner_uid);
        hash_remove(r->tasks, t->row.task_id);
        release(r, t);
}
