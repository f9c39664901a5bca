/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* reeved, put together: settings, service, varlink, D-Bus. */

#include <systemd/sd-event.h>

#include "basic/error.h"
#include "common/instance.h"

typedef struct Daemon Daemon;

typedef struct DaemonBus {
        const char *address; /* "system", "session" or a D-Bus address; NULL: none */
        const char *name;    /* that is taken there */
} DaemonBus;

/* Everything up to serving: loads the settings, recovers, listens (on a socket passed by systemd, else on the instance's
 * own), writes the pid file. A second daemon of the same instance is refused. */
int daemon_new(sd_event *event, const Instance *instance, const DaemonBus *bus, Daemon **ret,
               ReeveError *reterr);

/* Stops serving, finishes what was submitted to the database, and removes socket and pid file. */
Daemon *daemon_free(Daemon *d);
DEFINE_CLEANUP_FUNC(Daemon *, daemon_free)
