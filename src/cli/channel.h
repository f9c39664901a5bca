/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* A call whose replies arrive on an event loop, and which is made again when the registry is replaced meanwhile. */

#include <systemd/sd-event.h>

#include "basic/time.h"
#include "cli/session.h"

typedef struct Channel Channel;

typedef struct ChannelHandlers {
        /* The parameters of the call, each time that it is made (so that it resumes where it was); NULL: failure. */
        json_t *(*parameters)(void *userdata);
        /* A reply (borrowed). A negative errno breaks the channel off. */
        int (*on_reply)(json_t *reply, bool final, void *userdata);
        /* The call failed for good (the error of the call, or of the last attempt to connect). */
        void (*on_failure)(const ReeveError *error, void *userdata);
} ChannelHandlers;

struct Channel {
        const char *method;
        bool more;
        const ChannelHandlers *handlers;
        void *userdata;
        sd_event *event;
        ReeveConnection *connection;
        sd_event_source *io, *retry;
        usec_t broken_since; /* boot time; 0: connected */
        bool done;           /* the final reply came, or it failed */
};

/* Connects, makes the call and watches it. `c`'s first four fields are set by the caller; it stays where it is until
 * channel_done(). What fails here is returned; what fails later comes by on_failure. */
int channel_start(Channel *c, sd_event *event, ReeveError *reterr);
void channel_done(Channel *c);
