/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Start, Update, Complete, Fail; and Publish, by which events that others make stand for them.
 *
 * What fields there are and what they may be is service/parameters.c's, which D-Bus shares; here are only the ways of varlink:
 * the pidfd of a reporter comes as a descriptor beside the message, and who has connected, with his groups, is the kernel's
 * word. Groups are asked for where a policy may allow by them, and not of each call: they cost a system call. */

#include "basic/fd.h"
#include "daemon/service/parameters.h"
#include "daemon/varlink/registry-varlink-internal.h"

static int take_fd(void *userdata, size_t index)
{
        return varlink_call_take_fd(ASSERT_PTR(userdata), index);
}

/* `ret` is the array that the result borrows. A peer that has gone is in no group, which allows it nothing. */
static Caller with_groups(const Pending *p, gid_t **ret)
{
        Caller caller = p->caller;

        if (varlink_call_peer_groups(p->call, ret, &caller.n_groups) >= 0)
                caller.groups = *ret;
        return caller;
}

ADAPTER_HANDLER(adapter_start)
{
        RegistryVarlink *v = ASSERT_PTR(userdata);
        _cleanup_(start_texts_done) StartTexts texts = { 0 };
        _cleanup_free_ gid_t *groups = NULL;
        ReeveError e = REEVE_ERROR_NULL;
        StartRequest q;

        if (start_parameters_parse(parameters, take_fd, call, &q, &texts, &e) < 0)
                return varlink_call_reeve_error(call, &e);
        Pending *pending = pending_new(v, call);
        if (!pending) {
                fd_close(q.watch_fd);
                return 0;
        }
        Caller caller = with_groups(pending, &groups);
        service_start(v->service, &caller, &q, pending_reply_task, pending);
        return 0;
}

static void reply_updated(const ReeveError *error, const TaskRow *task, void *userdata)
{
        pending_reply_done(error, userdata);
}

static int report(VarlinkCall *call, json_t *parameters, RegistryVarlink *v, ReportKind kind)
{
        ReeveError e = REEVE_ERROR_NULL;
        ReportRequest q;

        if (report_parameters_parse(parameters, kind, &q, &e) < 0)
                return varlink_call_reeve_error(call, &e);
        Pending *pending = pending_new(v, call);
        if (pending)
                service_report(v->service, &pending->caller, &q,
                               kind == REPORT_UPDATE ? reply_updated : pending_reply_task, pending);
        return 0;
}

ADAPTER_HANDLER(adapter_update)
{
        return report(call, parameters, ASSERT_PTR(userdata), REPORT_UPDATE);
}

ADAPTER_HANDLER(adapter_complete)
{
        return report(call, parameters, ASSERT_PTR(userdata), REPORT_COMPLETE);
}

ADAPTER_HANDLER(adapter_fail)
{
        return report(call, parameters, ASSERT_PTR(userdata), REPORT_FAIL);
}

static void reply_published(const ReeveError *error, const TaskRow *task, int64_t event, void *userdata)
{
        _cleanup_(pending_freep) Pending *p = ASSERT_PTR(userdata);

        if (error)
                varlink_call_reeve_error(p->call, error);
        else
                adapter_reply(p->call, published_to_json(task, event));
}

ADAPTER_HANDLER(adapter_publish)
{
        RegistryVarlink *v = ASSERT_PTR(userdata);
        _cleanup_free_ gid_t *groups = NULL;
        struct {
                const char *topic;
                json_t *payload;
        } p = { 0 };
        static const JsonField fields[] = {
                { "topic", JSON_FIELD_STRING, offsetof(__typeof__(p), topic), JSON_FIELD_MANDATORY, 0 },
                { "payload", JSON_FIELD_OBJECT, offsetof(__typeof__(p), payload), JSON_FIELD_MANDATORY, 0 },
        };

        if (adapter_dispatch(call, parameters, fields, ELEMENTSOF(fields), &p) < 0)
                return 0;
        Pending *pending = pending_new(v, call);
        if (!pending)
                return 0;
        Caller caller = with_groups(pending, &groups);
        service_take_event(v->service, &caller, p.topic, p.payload, reply_published, pending);
        return 0;
}
