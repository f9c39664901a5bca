/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Inside libreeve only: the connection behind the public functions. */

#include "common/varlink/varlink-client.h"
#include "reeve/reeve.h"

/* Pause between attempts to reach a registry that is being replaced. */
#define CONNECTION_RETRY_USEC (100 * USEC_PER_MSEC)

/* How long, and how often, a request is made again. A registry that is replaced may break a connection twice: that to the
 * old one's socket, too, which is closed a moment after the connections. A request that kills registries ends here. */
#define CONNECTION_PATIENCE_USEC (10 * USEC_PER_SEC)
#define CONNECTION_AGAIN_MAX     3

struct ReeveConnection {
        VarlinkClient *client; /* NULL after a failed reconnect */
        char *path;
};

/* The client, or -ECONNRESET and Unavailable if the connection is broken. */
int connection_client(ReeveConnection *c, VarlinkClient **ret, ReeveError *reterr);

/* Full name of a method: "Get" becomes "io.reeve.Registry.Get". Writes into the caller's buffer;
 * InvalidArgument if it does not fit. */
int connection_method_name(const char *method, char *ret, size_t size, ReeveError *reterr);

/* If r is a broken connection, fills *reterr as such. Returns r. */
int connection_broken(int r, ReeveError *reterr);

/* What is called; all of it borrowed. */
typedef struct ConnectionCall {
        const char *method;
        json_t *parameters;
        unsigned flags; /* VARLINK_CALL_* */
        const int *fds;
        size_t n_fds;
} ConnectionCall;

/* reeve_call() with descriptors, for requests that mean the same when they are made twice: if the connection breaks,
 * reconnects, with patience, and makes the request again. *ret is the caller's. */
int connection_call_again(ReeveConnection *c, const ConnectionCall *call, json_t **ret, ReeveError *reterr);
