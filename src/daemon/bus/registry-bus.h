/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* The D-Bus adapter: interfaces io.reeve.Registry1 and io.reeve.Task1 (src/api/io.reeve.Registry1.xml) on top of
 * daemon/service. It turns messages into calls and results into messages, and decides nothing. */

#include <systemd/sd-event.h>

#include "daemon/service/service.h"

#define REGISTRY_BUS_NAME "io.reeve.Registry1"

typedef struct RegistryBus RegistryBus;

typedef struct RegistryBusConfig {
        sd_event *event;
        Service *service;
        const Clock *clock;
        const char *address; /* "system", "session", or an address as D-Bus writes it */
        const char *name;    /* to take on the bus */
        gid_t admin_gid;     /* whose members may act on everybody's tasks; (gid_t) -1: there is none */
} RegistryBusConfig;

/* Begins to serve. A bus that is away, or goes away, is tried again with growing pauses: reeved does not need it. */
int registry_bus_new(const RegistryBusConfig *config, RegistryBus **ret, ReeveError *reterr);
/* Leaves the bus. Calls that the service still holds stay until registry_bus_free(). Accepts NULL. */
void registry_bus_stop(RegistryBus *b);
/* To be called when the service, which may hold calls, is gone. Accepts NULL, returns it. */
RegistryBus *registry_bus_free(RegistryBus *b);
DEFINE_CLEANUP_FUNC(RegistryBus *, registry_bus_free)
