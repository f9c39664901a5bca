/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Signal, Freeze, Thaw, Cancel, Hold, Release, Extend, Backup: one act each, answered when it was done or refused.
 *
 * All have the same shape, so they share a table of fields: the definition of the interface has already refused what a method
 * does not take. Who may do it is the service's to decide, by the kernel's word on who has connected. Numbers are made to fit
 * here, to what the service refuses, and not cut to something that it would do. */

#include <limits.h>

#include "basic/fd.h"

#include "daemon/varlink/registry-varlink-internal.h"

typedef struct ActParameters {
        const char *task_id, *reason, *path;
        int64_t signal, by_usec;
        bool whole, pass;
} ActParameters;

static const JsonField fields[] = {
        { "task_id", JSON_FIELD_STRING, offsetof(ActParameters, task_id), 0, 0 },
        { "reason", JSON_FIELD_STRING, offsetof(ActParameters, reason), 0, 0 },
        { "path", JSON_FIELD_STRING, offsetof(ActParameters, path), 0, PATH_MAX - 64 },
        { "by_usec", JSON_FIELD_INTEGER, offsetof(ActParameters, by_usec), 0, 0 },
        { "signal", JSON_FIELD_INTEGER, offsetof(ActParameters, signal), 0, 0 },
        { "pass", JSON_FIELD_BOOLEAN, offsetof(ActParameters, pass), 0, 0 },
        { "whole", JSON_FIELD_BOOLEAN, offsetof(ActParameters, whole), 0, 0 },
};

/* The definition has already refused what the method does not take, and missed what it needs. */
static Pending *begin(VarlinkCall *call, json_t *parameters, void *userdata, ActParameters *p)
{
        RegistryVarlink *v = ASSERT_PTR(userdata);

        if (adapter_dispatch(call, parameters, fields, ELEMENTSOF(fields), p) < 0)
                return NULL;
        return pending_new(v, call);
}

ADAPTER_HANDLER(adapter_signal)
{
        ActParameters p = { 0 };

        Pending *pending = begin(call, parameters, userdata, &p);
        if (!pending)
                return 0;
        SignalRequest q = { .task_id = p.task_id,
                            .number = p.signal < 0 || p.signal > INT_MAX ? -1 : (int)p.signal,
                            .whole = p.whole };
        service_signal(pending->adapter->service, &pending->caller, &q, pending_reply_done, pending);
        return 0;
}

static int freeze(VarlinkCall *call, json_t *parameters, void *userdata, bool on)
{
        ActParameters p = { 0 };

        Pending *pending = begin(call, parameters, userdata, &p);
        if (pending)
                service_freeze(pending->adapter->service, &pending->caller, p.task_id, on,
                               pending_reply_done, pending);
        return 0;
}

ADAPTER_HANDLER(adapter_freeze)
{
        return freeze(call, parameters, userdata, true);
}

ADAPTER_HANDLER(adapter_thaw)
{
        return freeze(call, parameters, userdata, false);
}

ADAPTER_HANDLER(adapter_cancel)
{
        ActParameters p = { 0 };

        Pending *pending = begin(call, parameters, userdata, &p);
        if (pending)
                service_cancel(pending->adapter->service, &pending->caller, p.task_id, p.reason,
                               pending_reply_done, pending);
        return 0;
}

static int set_held(VarlinkCall *call, json_t *parameters, void *userdata, bool held)
{
        ActParameters p = { 0 };

        Pending *pending = begin(call, parameters, userdata, &p);
        if (pending)
                service_set_held(pending->adapter->service, &pending->caller, p.task_id, held,
                                 pending_reply_done, pending);
        return 0;
}

ADAPTER_HANDLER(adapter_hold)
{
        return set_held(call, parameters, userdata, true);
}

ADAPTER_HANDLER(adapter_release)
{
        return set_held(call, parameters, userdata, false);
}

ADAPTER_HANDLER(adapter_extend)
{
        ActParameters p = { 0 };

        Pending *pending = begin(call, parameters, userdata, &p);
        if (pending)
                service_extend(pending->adapter->service, &pending->caller, p.task_id,
                               p.by_usec < 0 ? 0 : (usec_t)p.by_usec, pending_reply_done, pending);
        return 0;
}

static void on_backed_up(const ReeveError *error, StoreCopy *copy, void *userdata)
{
        _cleanup_(pending_freep) Pending *p = ASSERT_PTR(userdata);
        ReeveError e = REEVE_ERROR_NULL;
        int file = -1;

        if (!error && copy->fd >= 0) {
                file = varlink_call_push_fd(p->call, TAKE_FD(copy->fd));
                if (file < 0) {
                        reeve_error_errno(&e, file, NULL, "cannot pass the copy");
                        error = &e;
                }
        }
        if (error)
                varlink_call_reeve_error(p->call, error);
        else if (file >= 0)
                adapter_reply(p->call, json_pack("{si sI}", "file", file, "bytes", (json_int_t)copy->bytes));
        else
                adapter_reply(p->call,
                              json_pack("{ss sI}", "path", copy->path, "bytes", (json_int_t)copy->bytes));
}

ADAPTER_HANDLER(adapter_backup)
{
        ActParameters p = { 0 };

        Pending *pending = begin(call, parameters, userdata, &p);
        if (pending)
                service_backup(pending->adapter->service, &pending->caller, p.path, p.pass, on_backed_up,
                               pending);
        return 0;
}
