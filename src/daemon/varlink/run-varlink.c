/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Run and Attach: the specification and the descriptors it names come beside the message; their indices are in the parameters.
 *
 * A descriptor that was taken is the request's, and goes with it if it gets no further; what no parameter names is closed with
 * the message. The specification is not looked into here: it is sealed, and read where it is checked (service/request.c). The
 * groups of who has connected come from the kernel, for policies that allow by group. */

#include "daemon/service/parameters.h"
#include "daemon/varlink/registry-varlink-internal.h"

static int take_fd(void *userdata, size_t index)
{
        return varlink_call_take_fd(ASSERT_PTR(userdata), index);
}

static int submit(RegistryVarlink *v, VarlinkCall *call, json_t *parameters, bool attach)
{
        _cleanup_free_ char *metadata = NULL;
        _cleanup_free_ gid_t *groups = NULL;
        ReeveError e = REEVE_ERROR_NULL;
        RunRequest q;

        int r = attach ? attach_parameters_parse(parameters, take_fd, call, &q, &metadata, &e)
                       : run_parameters_parse(parameters, take_fd, call, &q, &metadata, &e);
        if (r < 0)
                return varlink_call_reeve_error(call, &e);
        Pending *pending = pending_new(v, call);
        if (!pending) {
                run_request_drop(&q);
                return 0;
        }
        if (q.joins) {
                service_attach_to(v->service, &pending->caller, q.spec_fd, pending_reply_task, pending);
                return 0;
        }
        /* A peer that has gone is in no group, which allows it nothing. */
        Caller caller = pending->caller;
        if (varlink_call_peer_groups(call, &groups, &caller.n_groups) >= 0)
                caller.groups = groups;
        service_run(v->service, &caller, &q, pending_reply_task, pending);
        return 0;
}

ADAPTER_HANDLER(adapter_run)
{
        return submit(ASSERT_PTR(userdata), call, parameters, false);
}

ADAPTER_HANDLER(adapter_attach)
{
        return submit(ASSERT_PTR(userdata), call, parameters, true);
}
