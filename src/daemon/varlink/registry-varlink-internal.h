/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* What the files of the adapter share. Each file has the handlers of one kind of method: run, report, look, act, stream. */

#include "common/json/json.h"
#include "daemon/model/task-json.h"
#include "daemon/service/results.h"
#include "daemon/varlink/registry-varlink.h"

struct RegistryVarlink {
        VarlinkServer *server;
        Service *service;
        gid_t admin_gid;
        VarlinkInterface interface;
};

/* Who calls. */
Caller adapter_caller(const RegistryVarlink *v, const VarlinkCall *call);

/* A call that waits for its answer: the userdata of service callbacks. Holds a reference to the call. */
typedef struct Pending {
        RegistryVarlink *adapter;
        VarlinkCall *call;
        Caller caller;
} Pending;

/* NULL when memory is short: then the call has been answered. */
Pending *pending_new(RegistryVarlink *v, VarlinkCall *call);
Pending *pending_free(Pending *p);
DEFINE_CLEANUP_FUNC(Pending *, pending_free)

/* Service callbacks whose userdata is a Pending, which they free: reply {task}, and reply {}. */
void pending_reply_task(const ReeveError *error, const TaskRow *task, void *userdata);
void pending_reply_done(const ReeveError *error, void *userdata);

/* Answers with a reply that may be NULL for want of memory. */
void adapter_reply(VarlinkCall *call, json_t *parameters);

/* Fills the target or answers the call with what is wrong: then negative. */
int adapter_dispatch(VarlinkCall *call, json_t *parameters, const JsonField *fields, size_t n_fields,
                     void *target);

#define ADAPTER_HANDLER(name) int name(VarlinkCall *call, json_t *parameters, void *userdata)

ADAPTER_HANDLER(adapter_run);
ADAPTER_HANDLER(adapter_attach);
ADAPTER_HANDLER(adapter_start);
ADAPTER_HANDLER(adapter_update);
ADAPTER_HANDLER(adapter_complete);
ADAPTER_HANDLER(adapter_fail);
ADAPTER_HANDLER(adapter_publish);
ADAPTER_HANDLER(adapter_get);
ADAPTER_HANDLER(adapter_list);
ADAPTER_HANDLER(adapter_wait);
ADAPTER_HANDLER(adapter_snapshots);
ADAPTER_HANDLER(adapter_verifications);
ADAPTER_HANDLER(adapter_stats);
ADAPTER_HANDLER(adapter_doctor);
ADAPTER_HANDLER(adapter_log);
ADAPTER_HANDLER(adapter_log_checkpoint);
ADAPTER_HANDLER(adapter_log_proof);
ADAPTER_HANDLER(adapter_signal);
ADAPTER_HANDLER(adapter_freeze);
ADAPTER_HANDLER(adapter_thaw);
ADAPTER_HANDLER(adapter_cancel);
ADAPTER_HANDLER(adapter_hold);
ADAPTER_HANDLER(adapter_release);
ADAPTER_HANDLER(adapter_extend);
ADAPTER_HANDLER(adapter_backup);
ADAPTER_HANDLER(adapter_output);
ADAPTER_HANDLER(adapter_monitor);
ADAPTER_HANDLER(adapter_policy_explain);
ADAPTER_HANDLER(adapter_policy_show);
ADAPTER_HANDLER(adapter_policy_reload);
