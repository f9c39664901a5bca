/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* The launcher's side of backend scope: what is asked of systemd for one attempt. */

#include "launcher/launch.h"

/* Can this launcher make scopes, and are these the names of one? Enters the place of the task into record->cgroup.
 * Unavailable or InvalidArgument. */
int scope_claim(const Launch *x, Record *r, ReeveError *reterr);

/* Asks for the scope of `keeper`, a child that waits at the other end of `go_fd` (taken), and lets it go on or tells
 * watch.c why not. `any` is a bus of any kind. */
int scope_start(const Launch *x, sd_bus *any, pid_t keeper, int go_fd);

/* The attempt will not be: what systemd may have made of it goes. */
void scope_discard(Launcher *l, const Record *r);
