/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Calls: one that waits for its reply, and the two halves of it for streams and poll loops.
 *
 * An error reply is not a reply to the caller but a failure: its name, message and field become a ReeveError. A
 * connection that breaks is told apart from everything else by -ECONNRESET, because then, and only then, it is unknown
 * whether the call was carried out. */

#include "libreeve/connection.h"

#include <errno.h>

#define METHOD_NAME_SIZE 256

static int send_call(ReeveConnection *c, const ConnectionCall *call, ReeveError *reterr)
{
        char name[METHOD_NAME_SIZE];
        VarlinkClient *client;

        int r = connection_client(c, &client, reterr);
        if (r < 0)
                return r;
        r = connection_method_name(call->method, name, sizeof(name), reterr);
        if (r < 0)
                return r;
        r = varlink_client_send(client, name, call->parameters, call->flags, call->fds, call->n_fds, reterr);
        return connection_broken(r, reterr);
}

int reeve_send(ReeveConnection *c, const char *method, json_t *parameters, bool more, ReeveError *reterr)
{
        ConnectionCall call = { method, parameters, .flags = more ? VARLINK_CALL_MORE : 0 };

        assert(method);

        return send_call(c, &call, reterr);
}

int reeve_next(ReeveConnection *c, uint64_t timeout_usec, json_t **ret, bool *ret_final, ReeveError *reterr)
{
        _cleanup_(varlink_reply_done) VarlinkReply reply = { 0 };
        VarlinkClient *client;

        int r = connection_client(c, &client, reterr);
        if (r < 0)
                return r;
        r = varlink_client_receive(client, timeout_usec, &reply, reterr);
        if (r <= 0)
                return connection_broken(r, reterr);
        if (reply.error)
                return varlink_reply_to_error(&reply, reterr);

        if (ret)
                *ret = TAKE_PTR(reply.parameters);
        if (ret_final)
                *ret_final = !reply.continues;
        return 1;
}

static int call_once(ReeveConnection *c, const ConnectionCall *call, json_t **ret, ReeveError *reterr)
{
        int r = send_call(c, call, reterr);
        if (r < 0)
                return r;
        r = reeve_next(c, USEC_INFINITY, ret, NULL, reterr);
        return r < 0 ? r : 0;
}

int reeve_call(ReeveConnection *c, const char *method, json_t *parameters, json_t **ret, ReeveError *reterr)
{
        assert(method);

        return call_once(c, &(ConnectionCall){ method, parameters }, ret, reterr);
}

int connection_call_again(ReeveConnection *c, const ConnectionCall *call, json_t **ret, ReeveError *reterr)
{
        assert(call && call->method);

        int r = call_once(c, call, ret, reterr);
        for (int i = 0; i < CONNECTION_AGAIN_MAX && r == -ECONNRESET; i++) {
                if (reeve_reconnect(c, CONNECTION_PATIENCE_USEC, reterr) < 0)
                        break;
                r = call_once(c, call, ret, reterr);
        }
        return r;
}
