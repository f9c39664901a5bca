/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* The varlink adapter: interface io.reeve.Registry on top of daemon/service. It turns parameters into calls and results into
 * replies, and decides nothing. */

#include "common/varlink/varlink-server.h"
#include "daemon/service/service.h"

typedef struct RegistryVarlink RegistryVarlink;

/* Adds the interface to the server. Both must outlive the adapter's last call. `admin_gid` is the group whose members may act on
 * everybody's tasks; (gid_t) -1: there is none. */
int registry_varlink_new(VarlinkServer *server, Service *service, gid_t admin_gid, RegistryVarlink **ret,
                         ReeveError *reterr);
RegistryVarlink *registry_varlink_free(RegistryVarlink *v);
DEFINE_CLEANUP_FUNC(RegistryVarlink *, registry_varlink_free)
