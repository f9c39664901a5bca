/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* The server side. Everything happens on the sd-event loop that the server is attached to.
 *
 * A method handler gets a call and either answers at once or takes a reference and answers later. Each
 * call that is not `oneway` gets exactly one final reply or error; a call that wants `more` may get
 * notifications before it. */

#include <jansson.h>
#include <stdbool.h>
#include <sys/types.h>
#include <systemd/sd-event.h>

#include "basic/error.h"
#include "basic/time.h"

typedef struct VarlinkServer VarlinkServer;
typedef struct VarlinkCall VarlinkCall;

/* Credentials of the peer when it connected (SO_PEERCRED). The supplementary groups are read with
 * SO_PEERGROUPS. */
typedef struct VarlinkPeer {
        uid_t uid;
        gid_t gid;
        pid_t pid;
} VarlinkPeer;

/* `parameters` is an object (borrowed from the call, valid as long as that; empty if the call had none),
 * checked against the interface's definition: no unknown field, no missing one, right types. Return 0, or
 * a negative errno, which becomes the error Internal unless the call has been answered. */
typedef int (*varlink_method_handler_t)(VarlinkCall *call, json_t *parameters, void *userdata);

#define VARLINK_METHOD_MORE (1U << 0) /* streams: called without `more` it is answered ExpectedMore */
#define VARLINK_METHOD_ALONE \
        (1U << 1) /* dear: no later call of the peer is dispatched until it is answered */

typedef struct VarlinkMethod {
        const char *name;                 /* "Get" */
        varlink_method_handler_t handler; /* NULL: MethodNotImplemented */
        unsigned flags;
} VarlinkMethod;

typedef struct VarlinkInterface {
        const char *definition; /* text of the .varlink file; its name is the interface's */
        const VarlinkMethod *methods;
        size_t n_methods;
        void *userdata; /* for the handlers */
} VarlinkInterface;

typedef struct VarlinkServerInfo {
        const char *vendor, *product, *version, *url; /* for org.varlink.service.GetInfo */
} VarlinkServerInfo;

/* `info` is copied as pointers: the strings must outlive the server. */
int varlink_server_new(sd_event *event, const VarlinkServerInfo *info, VarlinkServer **ret);
/* Disconnects everybody, then frees. Calls that are still referenced stay valid; answering them does
 * nothing. */
VarlinkServer *varlink_server_free(VarlinkServer *s);
DEFINE_CLEANUP_FUNC(VarlinkServer *, varlink_server_free)

/* Parses the definition; -EINVAL with a sentence if it is not sound, or if a method of it is not in the
 * table or one of the table not in it; -EEXIST if the server has that interface. `i` must outlive the
 * server. */
int varlink_server_add_interface(VarlinkServer *s, const VarlinkInterface *i, ReeveError *reterr);

/* Limits of one server. A new one has the default ones, those of varlink.h. */
typedef struct VarlinkLimits {
        size_t connections_max;
        size_t connections_per_uid_max;
        size_t bytes_per_uid_max;
        usec_t stall_usec;
} VarlinkLimits;

extern const VarlinkLimits varlink_limits_default;

/* Holds from now on; who is over a lowered limit already stays. */
void varlink_server_set_limits(VarlinkServer *s, const VarlinkLimits *limits);

/* Takes over a listening socket, also on failure. Over a limit of connections, peers are accepted and
 * closed at once; when descriptors or memory are short they wait in the backlog, and everybody else is
 * served on. */
int varlink_server_listen_fd(VarlinkServer *s, int fd);
/* Binds and listens at a path with a mode (0666: the peer's credentials decide); an old socket there is
 * replaced. */
int varlink_server_listen_path(VarlinkServer *s, const char *path, mode_t mode, ReeveError *reterr);
/* Serves one connected socket (tests: one end of a socketpair; socket activation with Accept=yes). Takes
 * it over, also on failure. -EUSERS: over a limit of connections. */
int varlink_server_add_connection(VarlinkServer *s, int fd);

size_t varlink_server_connections(const VarlinkServer *s);
/* Peers that were cut off because they did not read, or broke a limit. */
uint64_t varlink_server_disconnected_slow(const VarlinkServer *s);

VarlinkCall *varlink_call_ref(VarlinkCall *c);
VarlinkCall *
varlink_call_unref(VarlinkCall *c); /* the last reference to an unanswered call answers Internal */
DEFINE_CLEANUP_FUNC(VarlinkCall *, varlink_call_unref)

const VarlinkPeer *varlink_call_peer(const VarlinkCall *c);
/* All groups of the peer, its primary one first; the caller frees the array. Negative errno as below. */
int varlink_call_peer_groups(const VarlinkCall *c, gid_t **ret, size_t *ret_n);
/* Is the peer (by gid or supplementary groups) in this group? 1, 0, or a negative errno (-ENOTCONN: the
 * call was answered or the peer has gone). */
int varlink_call_peer_in_group(const VarlinkCall *c, gid_t gid);
bool varlink_call_wants_more(const VarlinkCall *c);
bool varlink_call_is_oneway(const VarlinkCall *c);
const char *varlink_call_method(const VarlinkCall *c); /* "io.reeve.Registry.Get" */

/* Descriptors beside the call. `take` hands one over: -ENOENT if there is none at that index (or it was
 * taken). What is not taken is closed with the call. */
size_t varlink_call_n_fds(const VarlinkCall *c);
int varlink_call_take_fd(VarlinkCall *c, size_t index);

/* Adds a descriptor to the next reply (takes it over, also on failure); returns its index or a negative
 * errno (-E2BIG: VARLINK_FDS_MAX are there). Close-on-exec does not matter: the receiver sets its own. */
int varlink_call_push_fd(VarlinkCall *c, int fd);

/* The final reply. Steals `parameters` (NULL: none), also on failure. Does nothing for oneway calls and
 * peers that have gone: 0 all the same. -EBUSY if the call has been answered. A reply over
 * VARLINK_MESSAGE_MAX is replaced by the error LimitExceeded (-EMSGSIZE is returned); if memory is short
 * the peer is disconnected (-ENOMEM). */
int varlink_call_reply(VarlinkCall *c, json_t *parameters);

/* A reply with continues=true. Steals `parameters`. -EINVAL unless the call wants more, -EBUSY if it has
 * been answered, -EMSGSIZE if the message is too long. -ECONNRESET: the peer is gone or was cut off
 * because too much is queued for it. While earlier calls of the peer are open the reply is held back (and
 * counted as queued). */
int varlink_call_notify(VarlinkCall *c, json_t *parameters);

/* Bytes queued for this peer, those held back included; 0 when it has gone or the call was answered: a
 * streaming method paces itself by this (and by on_drained). */
size_t varlink_call_queued_bytes(const VarlinkCall *c);

/* The final error. Steals `parameters`. */
int varlink_call_error(VarlinkCall *c, const char *error, json_t *parameters);

/* The final error from a ReeveError: the table's varlink name, parameters {"message", "field"?,
 * "errno"?}. */
int varlink_call_reeve_error(VarlinkCall *c, const ReeveError *e);

typedef void (*varlink_call_event_t)(VarlinkCall *c, void *userdata);
/* `on_gone` is called once when the peer disconnects before the call was answered; `on_drained` each time
 * that everything queued has been written, while the call is the oldest open one of its peer. Either may
 * be NULL. Both are dropped once the call is answered. Either may call anything here,
 * varlink_server_free() included. */
void varlink_call_set_handlers(VarlinkCall *c, varlink_call_event_t on_gone, varlink_call_event_t on_drained,
                               void *userdata);
