/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* The launcher's side of backend scope: what is asked of systemd for one attempt. */

#include "launcher/launch.h"

/* Can this launcher make scopes, and are these the names of one? Enters the place of the task into record->cgroup.
 * Unavailable or InvalidArgument. */
int scope_claim(const Launch *x, Record *r, ReeveError *reterr);

/* Asks for the scope of `keeper`, a child that waits at the other end of `go_fd` (taken), and lets it go on or tells
 * watch.c why not. */
int scope_start(const Launch *x, pid_t keeper, int go_fd);

/* Appends the properties "(sv)" that every scope of ours has. systemd gives up a stop after `stop_usec`. */
int scope_append_common(const Launcher *l, sd_bus_message *m, usec_t stop_usec);

/* The attempt will not be: what systemd may have made of it goes. */
void scope_discard(Launcher *l, const Record *r);
