/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Get, List, Wait, Snapshots, Verifications, Stats, Doctor: nothing of this changes anything.
 *
 * A call waits as a Pending, which goes with the connection: who hangs up is forgotten. List goes on page by page with `more`,
 * so it keeps the parameters that its filter points into. A task without snapshots and no task at all look alike in their
 * table, so the task is asked for first. Answers that are arrays are complete or an error, never short of what memory did
 * not suffice for. */

#include <errno.h>
#include <string.h>

#include "basic/strings.h"
#include "daemon/service/parameters.h"
#include "daemon/varlink/registry-varlink-internal.h"

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

/* A list that goes on: the filter must outlive the call's parameters. */
typedef struct ListPending {
        Pending *pending;
        json_t *parameters;
        StoreFilter filter;
} ListPending;

static void list_pending_free(ListPending *l)
{
        pending_free(l->pending);
        json_decref(l->parameters);
        free(l);
}

static void on_list_page(const ReeveError *error, const ListPage *page, void *userdata)
{
        ListPending *l = ASSERT_PTR(userdata);
        VarlinkCall *call = l->pending->call;

        if (error)
                varlink_call_reeve_error(call, error);
        else if (varlink_call_wants_more(call) && page->cursor > 0) {
                json_t *reply = list_page_to_json(&l->pending->caller, page);
                l->filter.before_seq = page->cursor;
                if (reply && varlink_call_notify(call, reply) >= 0) {
                        service_list(l->pending->adapter->service, &l->filter, on_list_page, l);
                        return;
                }
                adapter_reply(call, NULL);
        } else
                adapter_reply(call, list_page_to_json(&l->pending->caller, page));
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
        if (list_parameters_parse(parameters, &l->filter, &e) < 0) {
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

/* Replies with an array, which is taken. If it has not become as long as it should, memory was short. */
static void reply_array(VarlinkCall *call, const char *name, json_t *array, size_t n)
{
        bool complete = array && json_array_size(array) == n;

        adapter_reply(call, complete ? json_pack("{sO}", name, array) : NULL);
        json_decref(array);
}

/* ---- Snapshots ---- */

static void on_snapshots(const ReeveError *error, const SnapshotRow *rows, size_t n, void *userdata)
{
        _cleanup_(pending_freep) Pending *p = ASSERT_PTR(userdata);

        if (error) {
                varlink_call_reeve_error(p->call, error);
                return;
        }
        json_t *array = json_array();
        for (size_t i = 0; i < n; i++)
                json_array_append_new(array, snapshot_row_to_json(rows + i));
        reply_array(p->call, "snapshots", array, n);
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

/* ---- Verifications ---- */

static void on_verifications(const ReeveError *error, const VerificationRow *rows, size_t n, void *userdata)
{
        _cleanup_(pending_freep) Pending *p = ASSERT_PTR(userdata);

        if (error) {
                varlink_call_reeve_error(p->call, error);
                return;
        }
        json_t *array = json_array();
        for (size_t i = 0; i < n; i++)
                json_array_append_new(array, verification_row_to_json(rows + i));
        reply_array(p->call, "verifications", array, n);
}

ADAPTER_HANDLER(adapter_verifications)
{
        RegistryVarlink *v = ASSERT_PTR(userdata);
        IdParameters p = { 0 };

        if (adapter_dispatch(call, parameters, id_fields, ELEMENTSOF(id_fields), &p) < 0)
                return 0;
        Pending *pending = pending_new(v, call);
        if (pending)
                service_verifications(v->service, &pending->caller, p.task_id, on_verifications, pending);
        return 0;
}

/* ---- Stats ---- */

static void on_stats(const ReeveError *error, const ServiceStats *s, void *userdata)
{
        _cleanup_(pending_freep) Pending *p = ASSERT_PTR(userdata);

        if (error) {
                varlink_call_reeve_error(p->call, error);
                return;
        }
        json_t *o = service_stats_to_json(s);
        if (o)
                json_object_set_new_nocheck(o, "connections",
                                            json_integer(varlink_server_connections(p->adapter->server)));
        adapter_reply(p->call, o);
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

        for (size_t i = 0; i < n; i++)
                json_array_append_new(array,
                                      json_pack("{ss sb ss ss*}", "name", checks[i].name, "ok", checks[i].ok,
                                                "value", checks[i].value, "hint", checks[i].hint));
        reply_array(p->call, "checks", array, n);
}

ADAPTER_HANDLER(adapter_doctor)
{
        RegistryVarlink *v = ASSERT_PTR(userdata);

        Pending *pending = pending_new(v, call);
        if (pending)
                service_doctor(v->service, on_doctor, pending);
        return 0;
}
