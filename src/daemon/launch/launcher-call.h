/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Inside of this folder: one call of the launcher, from its message to its answer. */

#include <systemd/sd-bus.h>

#include "daemon/launch/launcher-client.h"

/* Its connection, borrowed; NULL while there is none. */
sd_bus *launcher_client_bus(const LauncherClient *c);

/* What an answer is for: the handler reads it and calls back. */
typedef struct LauncherCall {
        sd_bus_message_handler_t handler; /* its userdata is a copy of this */
        union {
                launcher_ticket_t ticket;
                launcher_launched_t launched;
                launcher_done_t done;
                launcher_step_t step;
                launcher_inspected_t inspected;
                launcher_usage_t usage;
                launcher_described_t described;
                launcher_network_t network;
        };
        void *userdata;
} LauncherCall;

/* An empty call of a method; *ret is the caller's. Unavailable without a connection. */
int launcher_call_begin(LauncherClient *c, const char *method, sd_bus_message **ret, ReeveError *reterr);

/* Sends it; the handler then comes exactly once. `built` is what putting the arguments in has come to: with a negative errno
 * nothing is sent, and this is the failure. */
int launcher_call_send(LauncherClient *c, sd_bus_message *m, int built, const LauncherCall *call,
                       ReeveError *reterr);

/* The same for a call that wants no answer. */
int launcher_call_post(LauncherClient *c, sd_bus_message *m, int built);

/* The error that the launcher answers with, or that came in its place, in *e; NULL if the answer is none. */
const ReeveError *launcher_call_error(sd_bus_message *m, ReeveError *e);

/* For an answer that the launcher cannot have meant: Internal, in *e. */
const ReeveError *launcher_call_bad_reply(int error, ReeveError *e);
