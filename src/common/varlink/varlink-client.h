/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* The client side: a connection that works blocking, or from anybody's poll loop. Not thread-safe. */

#include <jansson.h>
#include <stdbool.h>

#include "basic/error.h"
#include "basic/time.h"

typedef struct VarlinkClient VarlinkClient;

#define VARLINK_CALL_MORE   (1U << 0)
#define VARLINK_CALL_ONEWAY (1U << 1)

typedef struct VarlinkReply {
        json_t *parameters; /* object, owned; never NULL after varlink_client_receive() returned 1 */
        char *error;        /* full name of the error, owned; NULL for success */
        bool continues;
        int *fds; /* owned, CLOEXEC; -EBADF where taken */
        size_t n_fds;
} VarlinkReply;

void varlink_reply_done(VarlinkReply *r);

/* The code of an error reply (org.varlink.service.* included: InvalidParameter is INVALID_ARGUMENT,
 * PermissionDenied PERMISSION_DENIED, all other INTERNAL), with message, field and errno of its
 * parameters. Returns its negative errno, or 0 if the reply is no error. */
int varlink_reply_to_error(const VarlinkReply *r, ReeveError *reterr);

int varlink_client_connect(const char *path, VarlinkClient **ret, ReeveError *reterr);
/* Takes over a connected socket. */
int varlink_client_new_fd(int fd, VarlinkClient **ret);
VarlinkClient *varlink_client_free(VarlinkClient *c);
DEFINE_CLEANUP_FUNC(VarlinkClient *, varlink_client_free)

/* Queues a call (and writes what can be written without blocking). `parameters` is borrowed, may be NULL;
 * fds are duplicated. Pipelining: any number of calls before their replies are received, in order. */
int varlink_client_send(VarlinkClient *c, const char *method, json_t *parameters, unsigned flags,
                        const int *fds, size_t n_fds, ReeveError *reterr);

/* Receives the next reply: 1 and *ret filled; 0 if nothing came within the timeout (0: only what is
 * there; USEC_INFINITY: wait); -ECONNRESET if the server is gone; -EBADMSG if it does not speak varlink.
 * Writes what is queued meanwhile. */
int varlink_client_receive(VarlinkClient *c, usec_t timeout_usec, VarlinkReply *ret, ReeveError *reterr);

/* send + receive of one final reply; an error reply is turned into *reterr and its errno. */
int varlink_client_call(VarlinkClient *c, const char *method, json_t *parameters, json_t **ret_parameters,
                        ReeveError *reterr);

/* For poll loops: the socket and the events it waits for; then varlink_client_receive() with timeout 0. */
int varlink_client_fd(const VarlinkClient *c);
short varlink_client_events(const VarlinkClient *c);
