/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Looking at tasks. What is open is in memory, with live figures; what has ended is in the database only.
 *
 * A list comes from the database, so that paging is one index walk, and its open rows are shown as memory has them. So a list
 * waits until what is in memory has been committed: who has seen a task by its id finds it in the next list, too. What is not
 * for the caller's eyes is left out where the answer is made (results.c), not here.
 *
 * Wait is answered with the commit of the end, or at once if it is there. */

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "basic/fd.h"
#include "basic/log.h"
#include "common/cgroup/cgroup.h"
#include "common/net/net-usage.h"
#include "daemon/service/service-internal.h"

/* ---- one task ---- */

typedef struct GetOp {
        char task_id[TASK_ID_MAX + 1];
        service_task_t callback;
        void *userdata;
} GetOp;

static void answer_none(const char *task_id, service_task_t callback, void *userdata)
{
        ReeveError e = REEVE_ERROR_NULL;

        reeve_error_set(&e, REEVE_ERROR_NO_SUCH_TASK, "task_id", "there is no task '%s'", task_id);
        callback(&e, NULL, userdata);
}

static void on_row(const ReeveError *error, TaskRow **rows, size_t n, void *userdata)
{
        _cleanup_free_ GetOp *op = ASSERT_PTR(userdata);

        if (error || n > 0)
                op->callback(error, error ? NULL : rows[0], op->userdata);
        else
                answer_none(op->task_id, op->callback, op->userdata);
}

/* Asks the database; the id may be anything. */
static void get_stored(Service *s, const char *task_id, service_task_t callback, void *userdata)
{
        ReeveError e = REEVE_ERROR_NULL;

        if (!task_id_is_valid(task_id)) {
                reeve_error_set(&e, REEVE_ERROR_INVALID_ARGUMENT, "task_id", "not the id of a task");
                callback(&e, NULL, userdata);
                return;
        }
        GetOp *op = NEW(GetOp, 1);
        if (op) {
                op->callback = callback;
                op->userdata = userdata;
                strcpy(op->task_id, task_id);
        }
        if (!op || store_get(s->store, task_id, on_row, op) < 0) {
                free(op);
                reeve_error_errno(&e, ENOMEM, NULL, "cannot look the task up");
                callback(&e, NULL, userdata);
        }
}

/* Counters of this moment, in place of those of the last sample. */
static void read_now(Service *s, const Task *t, Usage *u)
{
        Usage fresh = { 0 };
        NetCount traffic;

        if (t->row.status != TASK_ACTIVE || s->cgroup_fd < 0 || !t->row.cgroup || !t->row.cgroup[0])
                return;
        _cleanup_fd_ int leaf = openat(s->cgroup_fd, t->row.cgroup, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        if (leaf < 0 || cgroup_read_usage(leaf, &fresh, USAGE_KERNEL) < 0)
                return;
        bool counted = t->net.map_id != 0 && t->net.map_id == s->net_map_id;
        if (counted && net_read(s->net_fd, &t->net, &traffic) >= 0)
                net_to_usage(&fresh, &traffic, USAGE_KERNEL);
        usage_fill(&fresh, u);
        if (!counted) /* though a sample may have seen counts that were lost since */
                net_to_usage(&fresh, NULL, USAGE_KERNEL);
        *u = fresh;
}

void service_get(Service *s, const char *task_id, service_task_t callback, void *userdata)
{
        char reason[PENDING_REASON_SIZE];

        assert(s);
        assert(task_id);
        assert(callback);

        Task *t = registry_get(s->registry, task_id);
        if (!t || (t->doing & TASK_DOING_INSERT)) {
                get_stored(s, task_id, callback, userdata);
                return;
        }
        TaskRow row = t->row; /* shallow, for the call */
        read_now(s, t, &row.usage);
        service_sla_margin_now(s, &row);
        service_queue_describe(s, t, &row, reason);
        row.pending_reason = reason[0] ? reason : NULL;
        callback(NULL, &row, userdata);
}

/* Before its row is committed nobody knows of a task. */
static bool is_shown(const Task *t)
{
        return t && !(t->doing & TASK_DOING_INSERT);
}

const TaskRow *service_open_task(Service *s, const char *task_id)
{
        assert(s);
        assert(task_id);

        const Task *t = registry_get(s->registry, task_id);
        return is_shown(t) ? &t->row : NULL;
}

const TaskRow *service_next_open_task(Service *s, size_t *cursor)
{
        const Task *t;

        assert(s);
        assert(cursor);

        while ((t = registry_next(s->registry, cursor)))
                if (is_shown(t))
                        return &t->row;
        return NULL;
}

void service_read_usage(Service *s, const char *task_id, Usage *ret)
{
        assert(s);
        assert(task_id);
        assert(ret);

        const Task *t = registry_get(s->registry, task_id);
        *ret = (Usage){ 0 };
        if (!is_shown(t))
                return;
        *ret = t->row.usage;
        read_now(s, t, ret);
}

/* ---- lists ---- */

typedef struct ListOp {
        Service *service;
        StoreFilter filter;
        service_page_t callback;
        void *userdata;
} ListOp;

static void on_rows(const ReeveError *error, TaskRow **rows, size_t n, void *userdata)
{
        _cleanup_free_ ListOp *op = ASSERT_PTR(userdata);
        size_t bytes = 0;

        if (error) {
                op->callback(error, NULL, op->userdata);
                return;
        }
        for (size_t i = 0; i < n; i++) {
                bytes += task_row_json_bytes(rows[i]);
                if (task_state_is_final(rows[i]->status))
                        continue;
                const Task *t = registry_get(op->service->registry, rows[i]->task_id);
                if (t && t->row.status == rows[i]->status) {
                        rows[i]->usage = t->row.usage;
                        rows[i]->frozen = t->row.frozen;
                        service_sla_margin_now(op->service, rows[i]);
                }
        }
        service_queue_describe_rows(op->service, rows, n);
        ListPage page = { .tasks = rows, .n = n };
        if (n > 0 && (n == op->filter.limit || bytes >= STORE_LIST_BYTES))
                page.cursor = rows[n - 1]->seq;
        op->callback(NULL, &page, op->userdata);
}

static void list_now(ListOp *op)
{
        ReeveError e = REEVE_ERROR_NULL;

        if (store_list(op->service->store, &op->filter, on_rows, op) >= 0)
                return;
        reeve_error_errno(&e, ENOMEM, NULL, "cannot list");
        op->callback(&e, NULL, op->userdata);
        free(op);
}

static void on_all_committed(const ReeveError *error, int64_t last_event, void *userdata)
{
        list_now(ASSERT_PTR(userdata));
}

/* Run answers after exec, a moment before the row says that the task runs. Whoever lists after that answer waits for
 * the commit: an empty write is behind everything that was submitted. On a full disk it is refused, and the list shows
 * what is there. */
static int list_after_commit(ListOp *op)
{
        StoreWrite *w = store_write_new(op->service->store, STORE_WRITE_REFUSABLE, on_all_committed, op);
        return w ? store_write_submit(w) : -ENOMEM;
}

void service_list(Service *s, const StoreFilter *filter, service_page_t callback, void *userdata)
{
        ReeveError e = REEVE_ERROR_NULL;

        assert(s);
        assert(filter);
        assert(callback);

        ListOp *op = NEW0(ListOp, 1);
        if (!op) {
                reeve_error_errno(&e, ENOMEM, NULL, "cannot list");
                callback(&e, NULL, userdata);
                return;
        }
        *op = (ListOp){ s, *filter, callback, userdata };
        if (s->n_uncommitted == 0 || list_after_commit(op) < 0)
                list_now(op);
}

void service_snapshots(Service *s, const char *task_id, unsigned limit, store_snapshots_t callback,
                       void *userdata)
{
        ReeveError e = REEVE_ERROR_NULL;

        assert(s);
        assert(task_id);
        assert(callback);

        if (!task_id_is_valid(task_id))
                reeve_error_set(&e, REEVE_ERROR_INVALID_ARGUMENT, "task_id", "not the id of a task");
        else if (store_snapshots(s->store, task_id, limit, callback, userdata) < 0)
                reeve_error_errno(&e, ENOMEM, NULL, "cannot read the snapshots");
        else
                return;
        callback(&e, NULL, 0, userdata);
}

/* ---- verifications ---- */

typedef struct VerificationsOp {
        Service *service;
        Caller caller;
        char task_id[TASK_ID_MAX + 1];
        store_verifications_t callback;
        void *userdata;
} VerificationsOp;

static void on_task_of_verifications(const ReeveError *error, const TaskRow *row, void *userdata)
{
        _cleanup_free_ VerificationsOp *op = ASSERT_PTR(userdata);
        ReeveError e = REEVE_ERROR_NULL;

        if (error)
                e = *error;
        else if (!caller_owns(&op->caller, row))
                reeve_error_set(&e, REEVE_ERROR_PERMISSION_DENIED, "task_id", "task '%s' is somebody else's",
                                op->task_id);
        else if (store_verifications(op->service->store, op->task_id, op->callback, op->userdata) < 0)
                reeve_error_errno(&e, ENOMEM, NULL, "cannot read the verifications");
        else
                return;
        op->callback(&e, NULL, 0, op->userdata);
}

void service_verifications(Service *s, const Caller *caller, const char *task_id,
                           store_verifications_t callback, void *userdata)
{
        ReeveError e = REEVE_ERROR_NULL;

        assert(s);
        assert(caller);
        assert(task_id);
        assert(callback);

        VerificationsOp *op = task_id_is_valid(task_id) ? NEW0(VerificationsOp, 1) : NULL;
        if (!op) {
                if (task_id_is_valid(task_id))
                        reeve_error_errno(&e, ENOMEM, NULL, "cannot read the verifications");
                else
                        reeve_error_set(&e, REEVE_ERROR_INVALID_ARGUMENT, "task_id", "not the id of a task");
                callback(&e, NULL, 0, userdata);
                return;
        }
        *op = (VerificationsOp){
                .service = s, .caller = *caller, .callback = callback, .userdata = userdata
        };
        strcpy(op->task_id, task_id);
        service_get(s, task_id, on_task_of_verifications, op);
}

/* ---- waiting ---- */

struct ServiceWait {
        ListLink link; /* of Task.waits */
        service_task_t callback;
        void *userdata;
};

ServiceWait *service_wait(Service *s, const char *task_id, service_task_t callback, void *userdata)
{
        ReeveError e = REEVE_ERROR_NULL;

        assert(s);
        assert(task_id);
        assert(callback);

        Task *t = registry_get(s->registry, task_id);
        if (!t) {
                get_stored(s, task_id, callback, userdata);
                return NULL;
        }
        ServiceWait *w = NEW0(ServiceWait, 1);
        if (!w) {
                reeve_error_errno(&e, ENOMEM, NULL, "cannot wait");
                callback(&e, NULL, userdata);
                return NULL;
        }
        w->callback = callback;
        w->userdata = userdata;
        list_append(&t->waits, &w->link);
        return w;
}

void service_wait_cancel(ServiceWait *w)
{
        if (w) {
                list_remove(&w->link);
                free(w);
        }
}

void service_answer_waits(Service *s, Task *t, const ReeveError *error)
{
        ListLink *link;

        assert(s);
        assert(t);

        while ((link = list_pop(&t->waits))) {
                _cleanup_free_ ServiceWait *w = container_of(link, ServiceWait, link);
                w->callback(error, error ? NULL : &t->row, w->userdata);
        }
}

void service_drop_waits(Task *t)
{
        ListLink *link;

        assert(t);

        while ((link = list_pop(&t->waits)))
                free(container_of(link, ServiceWait, link));
}

/* ---- figures ---- */

typedef struct StatsOp {
        Service *service;
        service_stats_t callback;
        void *userdata;
} StatsOp;

static void on_counts(const ReeveError *error, const StoreCounts *counts, void *userdata)
{
        _cleanup_free_ StatsOp *op = ASSERT_PTR(userdata);
        Service *s = op->service;

        if (error) {
                op->callback(error, NULL, op->userdata);
                return;
        }
        ServiceStats stats = { .uptime_usec = usec_sub(clock_boottime(s->clock), s->started_boottime),
                               .counts = counts,
                               .last_event = s->last_event,
                               .open_tasks = registry_size(s->registry) };
        store_figures(s->store, &stats.store);
        op->callback(NULL, &stats, op->userdata);
}

void service_stats(Service *s, service_stats_t callback, void *userdata)
{
        ReeveError e = REEVE_ERROR_NULL;

        assert(s);
        assert(callback);

        StatsOp *op = NEW0(StatsOp, 1);
        if (op)
                *op = (StatsOp){ s, callback, userdata };
        if (!op || store_counts(s->store, on_counts, op) < 0) {
                free(op);
                reeve_error_errno(&e, ENOMEM, NULL, "cannot count");
                callback(&e, NULL, userdata);
        }
}

/* ---- backup ---- */

void service_backup(Service *s, const Caller *caller, const char *path, bool pass, store_backup_t callback,
                    void *userdata)
{
        char directory[PATH_MAX], day[32], buffer[PATH_MAX + 64];
        ReeveError e = REEVE_ERROR_NULL;

        assert(s);
        assert(caller);
        assert(callback);

        if (!caller->admin) {
                reeve_error_set(&e, REEVE_ERROR_PERMISSION_DENIED, NULL,
                                "a backup holds everybody's tasks: root and group reeve-admin only");
                callback(&e, NULL, userdata);
                return;
        }
        if (path && pass) {
                reeve_error_set(&e, REEVE_ERROR_INVALID_ARGUMENT, "pass",
                                "a copy that is passed has no path");
                callback(&e, NULL, userdata);
                return;
        }
        if (path && path[0] != '/') {
                reeve_error_set(&e, REEVE_ERROR_INVALID_ARGUMENT, "path", "'%s' is not absolute", path);
                callback(&e, NULL, userdata);
                return;
        }
        if (!path && !pass) {
                instance_path(&s->instance, INSTANCE_BACKUP, directory, sizeof(directory));
                time_t now = (time_t)(clock_realtime(s->clock) / USEC_PER_SEC);
                struct tm tm;
                strftime(day, sizeof(day), "%Y-%m-%dT%H%M%S", localtime_r(&now, &tm));
                snprintf(buffer, sizeof(buffer), "%s/registry-%s.db", directory, day);
                path = buffer;
        }
        if (store_backup(s->store, path, callback, userdata) < 0) {
                reeve_error_errno(&e, ENOMEM, NULL, "cannot back up");
                callback(&e, NULL, userdata);
        }
}
