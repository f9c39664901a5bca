/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Calls: one that waits for its reply, and the two halves of it for streams and poll loops.
 *
 * An error reply is not a reply to the caller but a failure: its name, message and field become a ReeveError. A
 * connection that breaks is told apart from everything else by -ECONNRESET, because then, and only then, it is unknown
 * whether the call was carried out. */

#include "libreeve/connection.h"

#include <errno.h>

#define METHOD_NAME_SIZE 256

int reeve_call(ReeveConnection *c, const char *method, json_t *parameters, json_t **ret, ReeveError *reterr)
{
        int r = reeve_send(c, method, parameters, false, reterr);
        if (r < 0)
                return r;
        r = reeve_next(c, USEC_INFINITY, ret, NULL, reterr);
        return r < 0 ? r : 0;
}

static int send_call(ReeveConnection *c, const char *method, json_t *parameters, unsigned flags,
                     const int *fds, size_t n_fds, ReeveError *reterr)
{
        char name[METHOD_NAME_SIZE];
        VarlinkClient *client;

        assert(method);

        int r = connection_client(c, &client, reterr);
        if (r < 0)
                return r;
        r = connection_method_name(method, name, sizeof(name), reterr);
        if (r < 0)
                return r;
        r = varlink_client_send(client, name, parameters, flags, fds, n_fds, reterr);
        return connection_broken(r, reterr);
}

int reeve_send(ReeveConnection *c, const char *method, json_t *parameters, bool more, ReeveError *reterr)
{
        return send_call(c, method, parameters, more ? VARLINK_CALL_MORE : 0, NULL, 0, reterr);
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

static int call_with_fds(ReeveConnection *c, const char *method, json_t *parameters, const int *fds,
                         size_t n_fds, json_t **ret, ReeveError *reterr)
{
        int r = send_call(c, method, parameters, 0, fds, n_fds, reterr);
        if (r < 0)
                return r;
        r = reeve_next(c, USEC_INFINITY, ret, NULL, reterr);
        return r < 0 ? r : 0;
}

int connection_call_again(ReeveConnection *c, const char *method, json_t *parameters, const int *fds,
                          size_t n_fds, json_t **ret, ReeveError *reterr)
{
        int r = call_with_fds(c, method, parameters, fds, n_fds, ret, reterr);
        for (int i = 0; i < CONNECTION_AGAIN_MAX && r == -ECONNRESET; i++) {
                if (reeve_reconnect(c, CONNECTION_PATIENCE_USEC, reterr) < 0)
                        break;
                r = call_with_fds(c, method, parameters, fds, n_fds, ret, reterr);
        }
        return r;
}
