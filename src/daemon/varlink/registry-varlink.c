/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The table of methods, and what all handlers need.
 *
 * The definition is the .varlink file itself, embedded at build time; the server checks that table and definition agree, and
 * each call's parameters against it. So a handler sees known fields of the right type, and only looks at what they mean.
 * A Pending is a call whose answer the service will have later. If memory is short for one, the caller is told so here, and
 * the handler has nothing more to do. */

#include <errno.h>

#include "basic/log.h"
#include "daemon/varlink/definition.h"
#include "daemon/varlink/registry-varlink-internal.h"

static const VarlinkMethod methods[] = {
        { "Run", adapter_run, 0 },
        { "Attach", adapter_attach, 0 },
        { "Start", adapter_start, 0 },
        { "Update", adapter_update, 0 },
        { "Complete", adapter_complete, 0 },
        { "Fail", adapter_fail, 0 },
        { "Publish", adapter_publish, 0 },
        { "Get", adapter_get, 0 },
        { "List", adapter_list, VARLINK_METHOD_ALONE },
        { "Wait", adapter_wait, 0 },
        { "Signal", adapter_signal, 0 },
        { "Freeze", adapter_freeze, 0 },
        { "Thaw", adapter_thaw, 0 },
        { "Cancel", adapter_cancel, 0 },
        { "Hold", adapter_hold, 0 },
        { "Release", adapter_release, 0 },
        { "Extend", adapter_extend, 0 },
        { "Snapshots", adapter_snapshots, VARLINK_METHOD_ALONE },
        { "Verifications", adapter_verifications, VARLINK_METHOD_ALONE },
        { "Output", adapter_output, 0 },
        { "Stats", adapter_stats, 0 },
        { "Monitor", adapter_monitor, VARLINK_METHOD_MORE },
        { "Backup", adapter_backup, VARLINK_METHOD_ALONE },
        { "Doctor", adapter_doctor, 0 },
        { "PolicyExplain", adapter_policy_explain, 0 },
        { "PolicyShow", adapter_policy_show, 0 },
        { "PolicyReload", adapter_policy_reload, VARLINK_METHOD_ALONE },
        { "Log", adapter_log, VARLINK_METHOD_ALONE },
        { "LogCheckpoint", adapter_log_checkpoint, 0 },
        { "LogProof", adapter_log_proof, 0 },
};

int registry_varlink_new(VarlinkServer *server, Service *service, gid_t admin_gid, RegistryVarlink **ret,
                         ReeveError *reterr)
{
        assert(server);
        assert(service);
        assert(ret);

        _cleanup_(registry_varlink_freep) RegistryVarlink *v = NEW0(RegistryVarlink, 1);
        if (!v)
                return reeve_error_errno(reterr, ENOMEM, NULL, "cannot serve varlink");
        v->server = server;
        v->service = service;
        v->admin_gid = admin_gid;
        v->interface = (VarlinkInterface){ .definition = registry_varlink_definition,
                                           .methods = methods,
                                           .n_methods = ELEMENTSOF(methods),
                                           .userdata = v };
        int r = varlink_server_add_interface(server, &v->interface, reterr);
        if (r < 0)
                return r;
        *ret = TAKE_PTR(v);
        return 0;
}

RegistryVarlink *registry_varlink_free(RegistryVarlink *v)
{
        free(v);
        return NULL;
}

Caller adapter_caller(const RegistryVarlink *v, const VarlinkCall *call)
{
        uid_t uid = varlink_call_peer(call)->uid;
        bool in_group = v->admin_gid != (gid_t)-1 && varlink_call_peer_in_group(call, v->admin_gid) > 0;

        return (Caller){ .uid = uid, .admin = uid == 0 || in_group };
}

static void answer_oom(VarlinkCall *call)
{
        ReeveError e = REEVE_ERROR_NULL;

        reeve_error_errno(&e, ENOMEM, NULL, "cannot answer");
        varlink_call_reeve_error(call, &e);
}

Pending *pending_new(RegistryVarlink *v, VarlinkCall *call)
{
        Pending *p = NEW0(Pending, 1);
        if (!p) {
                answer_oom(call);
                return NULL;
        }
        p->adapter = v;
        p->call = varlink_call_ref(call);
        p->caller = adapter_caller(v, call);
        return p;
}

Pending *pending_free(Pending *p)
{
        if (p) {
                varlink_call_unref(p->call);
                free(p);
        }
        return NULL;
}

void adapter_reply(VarlinkCall *call, json_t *parameters)
{
        if (parameters)
                varlink_call_reply(call, parameters);
        else
                answer_oom(call);
}

int adapter_dispatch(VarlinkCall *call, json_t *parameters, const JsonField *fields, size_t n_fields,
                     void *target)
{
        ReeveError e = REEVE_ERROR_NULL;

        int r = json_dispatch(parameters, fields, n_fields, target, &e);
        if (r < 0)
                varlink_call_reeve_error(call, &e);
        return r;
}

void pending_reply_task(const ReeveError *error, const TaskRow *task, void *userdata)
{
        _cleanup_(pending_freep) Pending *p = ASSERT_PTR(userdata);

        if (error)
                varlink_call_reeve_error(p->call, error);
        else
                adapter_reply(p->call, json_pack("{so*}", "task", task_row_to_json_for(&p->caller, task)));
}

void pending_reply_done(const ReeveError *error, void *userdata)
{
        _cleanup_(pending_freep) Pending *p = ASSERT_PTR(userdata);

        if (error)
                varlink_call_reeve_error(p->call, error);
        else
                varlink_call_reply(p->call, NULL);
}
