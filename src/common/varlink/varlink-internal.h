/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* What the files of the server side share: varlink-server.c (sockets, interfaces, limits),
 * varlink-connection.c (one peer), varlink-dispatch.c (from a message to a handler), varlink-call.c
 * (calls and replies), varlink-service.c. */

#include "basic/hash.h"
#include "basic/list.h"
#include "basic/time.h"
#include "common/varlink/varlink-frame.h"
#include "common/varlink/varlink-idl.h"
#include "common/varlink/varlink-server.h"

typedef struct VarlinkConnection VarlinkConnection;

/* Everything that one uid makes us hold. */
typedef struct VarlinkUser {
        char key[12]; /* the uid in decimal, for the table */
        size_t n_connections;
        size_t bytes; /* buffers of its connections */
} VarlinkUser;

typedef struct VarlinkServedMethod {
        const VarlinkMethod *method;
        const VarlinkMember *member;
} VarlinkServedMethod;

typedef struct VarlinkServedInterface {
        const VarlinkInterface *interface; /* the caller's */
        VarlinkIdl *idl;
        VarlinkServedMethod *methods;
        Hash *by_name; /* of VarlinkServedMethod */
} VarlinkServedInterface;

struct VarlinkServer {
        sd_event *event;
        VarlinkServerInfo info;
        VarlinkLimits limits;

        VarlinkServedInterface **interfaces; /* in the order of their adding */
        size_t n_interfaces;
        Hash *by_name;
        VarlinkInterface service; /* org.varlink.service */

        ListLink listeners;
        ListLink connections; /* VarlinkConnection.link */
        ListLink todo;    /* VarlinkConnection.todo: have something to do without an event of their socket */
        ListLink writing; /* VarlinkConnection.writing: the socket is full; least recent progress first */
        size_t n_connections;
        uint64_t n_cut;
        Hash *users;

        sd_event_source *todo_source;
        sd_event_source *stall_timer;
        sd_event_source *accept_timer;
        bool accept_paused;
};

struct VarlinkConnection {
        unsigned refs;
        VarlinkServer *server; /* NULL once closed; then only `refs` matters */
        VarlinkUser *user;
        VarlinkPeer peer;
        gid_t *groups; /* of the peer, its primary one first; NULL: nobody asked yet */
        size_t n_groups;
        int fd;
        sd_event_source *io;
        uint32_t events;

        VarlinkReader reader;
        VarlinkWriter writer;
        ListLink calls;   /* VarlinkCall.link: expect a reply, in order of arrival */
        ListLink oneways; /* VarlinkCall.link */
        size_t n_calls;   /* in both */
        size_t n_alone;   /* of these, of methods with VARLINK_METHOD_ALONE: 0 or 1 */
        size_t held_bytes;
        size_t charged; /* to user->bytes */

        ListLink link, todo, writing;
        usec_t progress_usec; /* CLOCK_MONOTONIC of the last write that succeeded; while in `writing` */

        bool running;      /* connection_run() is below us on the stack */
        bool unread;       /* the reader may have a whole message */
        bool eof;          /* the peer will send no more */
        bool write_failed; /* the peer will read no more: output is discarded */
        bool parting;      /* nothing but its last words is to be written */
};

struct VarlinkCall {
        unsigned refs;
        ListLink link;
        VarlinkConnection *connection; /* NULL once answered, or the peer has gone */
        VarlinkPeer peer;
        json_t *parameters; /* owned */
        bool more, oneway, answered;
        bool alone; /* counts in n_alone */
        bool kept;  /* answered but held back: the connection's list has a reference */

        size_t n_fds;
        int *fds; /* owned; -EBADF where taken */
        size_t n_reply_fds;
        int *reply_fds; /* owned; room for VARLINK_FDS_MAX */

        VarlinkWriter held; /* replies that wait for earlier calls */
        varlink_call_event_t on_gone, on_drained;
        void *userdata;
        char method[]; /* full name */
};

/* varlink-connection.c. _new() takes the socket over on success and adds itself to the server, which owns
 * it. */
int varlink_connection_new(VarlinkServer *s, int fd, const VarlinkPeer *peer, VarlinkUser *user);
/* Disconnects, tells the open calls, drops the server's reference. Does nothing the second time. */
void varlink_connection_close(VarlinkConnection *c);
/* As above for a peer that broke a limit: counted. */
void varlink_connection_cut(VarlinkConnection *c);
/* As above for one who reads too slowly: if a stream of his is open it ends with an error that says why, and what he has not begun to
 * read is dropped; he has stall_usec for that. */
void varlink_connection_part(VarlinkConnection *c, const char *why);
/* Does what can be done now: dispatch, write. The connection may be closed afterwards. */
void varlink_connection_run(VarlinkConnection *c);
/* Has connection_run() called soon. */
void varlink_connection_touch(VarlinkConnection *c);
/* Bytes that wait to be read by the peer. */
size_t varlink_connection_queued(const VarlinkConnection *c);

/* varlink-dispatch.c: one message. 0, or a negative errno if the peer does not speak varlink. */
int varlink_dispatch(VarlinkConnection *c, const char *text, size_t size, const int *fds, size_t n_fds);

/* What a message says, borrowed from it. */
typedef struct VarlinkCallMessage {
        const char *method;
        json_t *parameters; /* an object; NULL: an empty one */
        bool more, oneway;  /* not both */
} VarlinkCallMessage;

/* varlink-call.c. _new() takes the descriptors on success. */
int varlink_call_new(VarlinkConnection *c, const VarlinkCallMessage *m, const int *fds, size_t n_fds,
                     VarlinkCall **ret);
/* The peer of this call, which has been taken out of its connection, has gone. May free the call. */
void varlink_call_gone(VarlinkCall *call);

/* varlink-server.c */
void varlink_server_schedule_todo(VarlinkServer *s);
void varlink_server_arm_stall_timer(VarlinkServer *s);
/* A connection of this user has gone. */
void varlink_server_forget_connection(VarlinkServer *s, VarlinkUser *u);
const VarlinkServedInterface *varlink_server_find_interface(const VarlinkServer *s, const char *name);

/* varlink-service.c: fills s->service. */
void varlink_service_init(VarlinkServer *s);
