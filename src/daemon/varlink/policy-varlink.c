/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* PolicyExplain, PolicyShow, PolicyReload.
 *
 * What a policy says is no secret: the files are to be read by everybody, and everybody may ask what would apply to him, or to
 * anybody else. So nothing that must be kept should be written into the arguments of a check; and what a caller asked for
 * himself (a deadline, a priority) is public with his task anyway. */

#include "daemon/varlink/registry-varlink-internal.h"

typedef struct ExplainParameters {
        const char *task_id, *subsystem, *task_type, *title, *created_by;
        int64_t uid;
} ExplainParameters;

static const JsonField fields[] = {
        { "task_id", JSON_FIELD_STRING, offsetof(ExplainParameters, task_id), 0, 0 },
        { "subsystem", JSON_FIELD_STRING, offsetof(ExplainParameters, subsystem), 0, 0 },
        { "task_type", JSON_FIELD_STRING, offsetof(ExplainParameters, task_type), 0, 0 },
        { "title", JSON_FIELD_STRING, offsetof(ExplainParameters, title), 0, TASK_TITLE_MAX },
        { "created_by", JSON_FIELD_STRING, offsetof(ExplainParameters, created_by), 0, TASK_CREATED_BY_MAX },
        { "uid", JSON_FIELD_INTEGER, offsetof(ExplainParameters, uid), 0, 0 },
};

static void on_explained(const ReeveError *error, json_t *object, void *userdata)
{
        _cleanup_(pending_freep) Pending *p = ASSERT_PTR(userdata);

        if (error)
                varlink_call_reeve_error(p->call, error);
        else
                adapter_reply(p->call, json_incref(object));
}

ADAPTER_HANDLER(adapter_policy_explain)
{
        RegistryVarlink *v = ASSERT_PTR(userdata);
        ExplainParameters p = { .uid = -1 };

        if (adapter_dispatch(call, parameters, fields, ELEMENTSOF(fields), &p) < 0)
                return 0;
        Pending *pending = pending_new(v, call);
        if (!pending)
                return 0;
        const ExplainRequest q = { .task_id = p.task_id,
                                   .subsystem = p.subsystem,
                                   .task_type = p.task_type,
                                   .title = p.title,
                                   .created_by = p.created_by,
                                   .uid = p.uid >= 0 && p.uid < UINT32_MAX ? p.uid : -1 };
        service_explain_policy(v->service, &pending->caller, &q, on_explained, pending);
        return 0;
}

ADAPTER_HANDLER(adapter_policy_show)
{
        const RegistryVarlink *v = ASSERT_PTR(userdata);

        adapter_reply(call, service_policy_to_json(v->service, true));
        return 0;
}

static void on_reloaded(const ReeveError *error, void *userdata)
{
        _cleanup_(pending_freep) Pending *p = ASSERT_PTR(userdata);
        _cleanup_json_ json_t *o = service_policy_to_json(p->adapter->service, false);

        if (error)
                varlink_call_reeve_error(p->call, error);
        else
                adapter_reply(p->call, o ? json_pack("{sO sO}", "hash", json_object_get(o, "hash"), "files",
                                                     json_object_get(o, "files"))
                                         : NULL);
}

ADAPTER_HANDLER(adapter_policy_reload)
{
        Pending *pending = pending_new(ASSERT_PTR(userdata), call);

        if (pending)
                service_reload_policy(pending->adapter->service, &pending->caller, on_reloaded, pending);
        return 0;
}
