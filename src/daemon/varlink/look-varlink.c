/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Get, List, Wait, Snapshots, Stats, Doctor. */

#include <errno.h>
#include <string.h>

#include "basic/parse.h"
#include "basic/strings.h"
#include "daemon/varlink/registry-varlink-internal.h"

#define LIST_LIMIT_DEFAULT     100
#define SNAPSHOT_LIMIT_DEFAULT 1000
#define SNAPSHOT_LIMIT_MAX     10000

typedef struct IdParameters {
        const char *task_id;
        int64_t limit;
} IdParameters;

static const JsonField id_fields[] = {
        { "task_id", JSON_FIELD_STRING, offsetof(IdParameters, task_id), JSON_FIELD_MANDATORY, 0 },
        { "limit", JSON_FIELD_INTEGER, offsetof(IdParameters, limit), 0, 0 },
};

ADAPTER_HANDLER(adapter_get)
{
        RegistryVarlink *v = ASSERT_PTR(userdata);
        IdParameters p = { 0 };

        if (adapter_dispatch(call, parameters, id_fields, ELEMENTSOF(id_fields), &p) < 0)
                return 0;
        Pending *pending = pending_new(v, call);
        if (pending)
                service_get(v->service, p.task_id, pending_reply_task, pending);
        return 0;
}

/* ---- Wait ---- */

typedef struct WaitPending {
        Pending *pending;
        ServiceWait *wait;
} WaitPending;

static void on_waited(const ReeveError *error, const TaskRow *task, void *userdata)
{
        _cleanup_free_ WaitPending *w = ASSERT_PTR(userdata);

        varlink_call_set_handlers(w->pending->call, NULL, NULL, NULL);
        pending_reply_task(error, task, w->pending);
}

static void on_waiter_gone(VarlinkCall *call, void *userdata)
{
        _cleanup_free_ WaitPending *w = ASSERT_PTR(userdata);

        service_wait_cancel(w->wait);
        pending_free(w->pending);
}

ADAPTER_HANDLER(adapter_wait)
{
        RegistryVarlink *v = ASSERT_PTR(userdata);
        IdParameters p = { 0 };

        if (adapter_dispatch(call, parameters, id_fields, ELEMENTSOF(id_fields), &p) < 0)
                return 0;
        Pending *pending = pending_new(v, call);
        if (!pending)
                return 0;
        WaitPending *w = NEW0(WaitPending, 1);
        if (!w) {
                pending_free(pending);
                return -ENOMEM;
        }
        w->pending = pending;
        ServiceWait *wait = service_wait(v->service, p.task_id, on_waited, w);
        if (wait) {
                w->wait = wait;
                varlink_call_set_handlers(call, on_waiter_gone, NULL, w);
        }
        return 0;
}

/* ---- List ---- */

typedef struct ListParameters {
        const char *status, *subsystem, *task_type, *created_by, *cursor;
        int64_t owner_uid, since, until, limit;
} ListParameters;

#define FIELD(member, type)                                                        \
        {                                                                          \
#                member, JSON_FIELD_##type, offsetof(ListParameters, member), 0, 0 \
        }
static const JsonField list_fields[] = {
        FIELD(status, STRING),     FIELD(subsystem, STRING),  FIELD(task_type, STRING),
        FIELD(owner_uid, INTEGER), FIELD(created_by, STRING), FIELD(since, INTEGER),
        FIELD(until, INTEGER),     FIELD(limit, INTEGER),     FIELD(cursor, STRING),
};
#undef FIELD

/* "active,pending" */
static int parse_status(const char *text, uint32_t *ret_mask, ReeveError *e)
{
        _cleanup_free_ char *copy = strdup(text);
        uint32_t mask = 0;
        char *rest;

        if (!copy)
                return reeve_error_errno(e, ENOMEM, NULL, "cannot list");
        for (char *word = strtok_r(copy, ",", &rest); word; word = strtok_r(NULL, ",", &rest)) {
                TaskState s = task_state_from_name(word);
                if (s < 0)
                        return reeve_error_set(
                                        e, REEVE_ERROR_INVALID_ARGUMENT, "status",
                                        "'%.40s' is none of pending, active, verifying, completed, failed, "
                                        "cancelled, lost",
                                        word);
                mask |= SM_BIT(s);
        }
        *ret_mask = mask;
        return 0;
}

static int parse_list(const ListParameters *p, StoreFilter *f, ReeveError *e)
{
        uint64_t cursor = 0;
        int r;

        if (p->status && (r = parse_status(p->status, &f->status_mask, e)) < 0)
                return r;
        if (p->limit < 1 || p->limit > STORE_LIST_MAX)
                return reeve_error_set(e, REEVE_ERROR_LIMIT_EXCEEDED, "limit", "must be 1 to %d",
                                       STORE_LIST_MAX);
        if (p->cursor && (parse_u64(p->cursor, &cursor) < 0 || cursor > INT64_MAX))
                return reeve_error_set(e, REEVE_ERROR_INVALID_ARGUMENT, "cursor", "not one that List gave");
        if (p->since < 0)
                return reeve_error_set(e, REEVE_ERROR_INVALID_ARGUMENT, "since", "must not be negative");
        if (p->until < 0)
                return reeve_error_set(e, REEVE_ERROR_INVALID_ARGUMENT, "until", "must not be negative");
        if (p->owner_uid < -1 || p->owner_uid > UINT32_MAX)
                return reeve_error_set(e, REEVE_ERROR_INVALID_ARGUMENT, "owner_uid", "not a user id");

        f->subsystem = p->subsystem;
        f->task_type = p->task_type;
        f->created_by = p->created_by;
        f->owner_uid = p->owner_uid;
        f->since = (usec_t)p->since;
        f->until = (usec_t)p->until;
        f->before_seq = (int64_t)cursor;
        f->limit = (unsigned)p->limit;
        return 0;
}

/* A list that goes on: the filter must outlive the call's parameters. */
typedef struct ListPending {
        Pending *pending;
        json_t *parameters;
        ListParameters p;
        StoreFilter filter;
} ListPending;

static void list_pending_free(ListPending *l)
{
        pending_free(l->pending);
        json_decref(l->parameters);
        free(l);
}

static json_t *page_to_json(const Caller *caller, const ListPage *page)
{
        _cleanup_json_ json_t *tasks = json_array();
        char cursor[24];

        for (size_t i = 0; tasks && i < page->n; i++)
                if (json_array_append_new(tasks, adapter_task(caller, page->tasks[i])) < 0)
                        return NULL;
        if (!tasks)
                return NULL;
        snprintf(cursor, sizeof(cursor), "%lld", (long long)page->cursor);
        return json_pack("{sO ss*}", "tasks", tasks, "cursor", page->cursor > 0 ? cursor : NULL);
}

static void on_list_page(const ReeveError *error, const ListPage *page, void *userdata)
{
        ListPending *l = ASSERT_PTR(userdata);
        VarlinkCall *call = l->pending->call;

        if (error)
                varlink_call_reeve_error(call, error);
        else if (varlink_call_wants_more(call) && page->cursor > 0) {
                json_t *reply = page_to_json(&l->pending->caller, page);
                l->filter.before_seq = page->cursor;
                if (reply && varlink_call_notify(call, reply) >= 0) {
                        service_list(l->pending->adapter->service, &l->filter, on_list_page, l);
                        return;
                }
                adapter_reply(call, NULL);
        } else
                adapter_reply(call, page_to_json(&l->pending->caller, page));
        list_pending_free(l);
}

ADAPTER_HANDLER(adapter_list)
{
        RegistryVarlink *v = ASSERT_PTR(userdata);
        ReeveError e = REEVE_ERROR_NULL;

        ListPending *l = NEW0(ListPending, 1);
        if (!l)
                return -ENOMEM;
        l->parameters = json_incref(parameters);
        l->p.owner_uid = -1;
        l->p.limit = LIST_LIMIT_DEFAULT;
        if (adapter_dispatch(call, parameters, list_fields, ELEMENTSOF(list_fields), &l->p) < 0) {
                list_pending_free(l);
                return 0;
        }
        if (parse_list(&l->p, &l->filter, &e) < 0) {
                list_pending_free(l);
                return varlink_call_reeve_error(call, &e);
        }
        l->pending = pending_new(v, call);
        if (!l->pending) {
                list_pending_free(l);
                return 0;
        }
        service_list(v->service, &l->filter, on_list_page, l);
        return 0;
}

/* ---- Snapshots ---- */

static void on_snapshots(const ReeveError *error, const SnapshotRow *rows, size_t n, void *userdata)
{
        _cleanup_(pending_freep) Pending *p = ASSERT_PTR(userdata);

        if (error) {
                varlink_call_reeve_error(p->call, error);
                return;
        }
        _cleanup_json_ json_t *array = json_array();
        for (size_t i = 0; array && i < n; i++)
                if (json_array_append_new(array, snapshot_row_to_json(rows + i)) < 0) {
                        adapter_reply(p->call, NULL);
                        return;
                }
        adapter_reply(p->call, json_pack("{sO*}", "snapshots", array));
}

/* A task without snapshots and no task at all look alike in their table. */
typedef struct SnapshotsPending {
        Pending *pending;
        unsigned limit;
} SnapshotsPending;

static void on_snapshots_task(const ReeveError *error, const TaskRow *task, void *userdata)
{
        _cleanup_free_ SnapshotsPending *s = ASSERT_PTR(userdata);

        if (error) {
                varlink_call_reeve_error(s->pending->call, error);
                pending_free(s->pending);
        } else
                service_snapshots(s->pending->adapter->service, task->task_id, s->limit, on_snapshots,
                                  s->pending);
}

ADAPTER_HANDLER(adapter_snapshots)
{
        RegistryVarlink *v = ASSERT_PTR(userdata);
        IdParameters p = { .limit = SNAPSHOT_LIMIT_DEFAULT };
        ReeveError e = REEVE_ERROR_NULL;

        if (adapter_dispatch(call, parameters, id_fields, ELEMENTSOF(id_fields), &p) < 0)
                return 0;
        if (p.limit < 1 || p.limit > SNAPSHOT_LIMIT_MAX) {
                reeve_error_set(&e, REEVE_ERROR_LIMIT_EXCEEDED, "limit", "must be 1 to %d",
                                SNAPSHOT_LIMIT_MAX);
                return varlink_call_reeve_error(call, &e);
        }
        SnapshotsPending *s = NEW0(SnapshotsPending, 1);
        if (!s)
                return -ENOMEM;
        s->limit = (unsigned)p.limit;
        s->pending = pending_new(v, call);
        if (!s->pending) {
                free(s);
                return 0;
        }
        service_get(v->service, p.task_id, on_snapshots_task, s);
        return 0;
}

/* ---- Stats ---- */

static json_t *counts_to_json(const int64_t by_status[_TASK_STATE_MAX])
{
        json_t *o = json_object();

        for (int s = 0; o && s < _TASK_STATE_MAX; s++)
                json_object_set_new_nocheck(o, task_state_name(s), json_integer(by_status[s]));
        return o;
}

static void on_stats(const ReeveError *error, const ServiceStats *s, void *userdata)
{
        _cleanup_(pending_freep) Pending *p = ASSERT_PTR(userdata);

        if (error) {
                varlink_call_reeve_error(p->call, error);
                return;
        }
        json_t *subsystems = json_object();
        for (size_t i = 0; subsystems && i < s->counts->n_subsystems; i++)
                json_object_set_new(subsystems, s->counts->subsystems[i].name,
                                    counts_to_json(s->counts->subsystems[i].by_status));
        adapter_reply(p->call,
                      json_pack("{ss sI so* so* sI sI sI sI sI sI}", "version", REEVE_VERSION, "uptime_usec",
                                (json_int_t)s->uptime_usec, "counts", counts_to_json(s->counts->by_status),
                                "subsystems", subsystems, "commits", (json_int_t)s->store.commits,
                                "rows_written", (json_int_t)s->store.rows, "database_bytes",
                                (json_int_t)s->counts->database_bytes, "wal_bytes",
                                (json_int_t)s->counts->wal_bytes, "connections",
                                (json_int_t)varlink_server_connections(p->adapter->server), "last_event",
                                (json_int_t)s->last_event));
}

ADAPTER_HANDLER(adapter_stats)
{
        RegistryVarlink *v = ASSERT_PTR(userdata);

        Pending *pending = pending_new(v, call);
        if (pending)
                service_stats(v->service, on_stats, pending);
        return 0;
}

/* ---- Doctor ---- */

static void on_doctor(const DoctorCheck *checks, size_t n, void *userdata)
{
        _cleanup_(pending_freep) Pending *p = ASSERT_PTR(userdata);
        json_t *array = json_array();

        for (size_t i = 0; array && i < n; i++)
                json_array_append_new(array,
                                      json_pack("{ss sb ss ss*}", "name", checks[i].name, "ok", checks[i].ok,
                                                "value", checks[i].value, "hint", checks[i].hint));
        adapter_reply(p->call, json_pack("{so*}", "checks", array));
}

ADAPTER_HANDLER(adapter_doctor)
{
        RegistryVarlink *v = ASSERT_PTR(userdata);

        Pending *pending = pending_new(v, call);
        if (pending)
                service_doctor(v->service, on_doctor, pending);
        return 0;
}
