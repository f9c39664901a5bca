/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* <prefix>-pool.scope: the home of backend cgroup's pool where systemd is PID 1. */

#include <stdbool.h>
#include <systemd/sd-event.h>

#include "basic/error.h"
#include "basic/time.h"

struct Launcher;

typedef struct PoolScope {
        char path[256]; /* of its cgroup, relative to the cgroup2 mount; "": the pool is a directory of our own */
        sd_event_source *holder; /* pidfd of the process that holds it: the pool can be used */
        sd_event_source *timer;  /* tries again */
        usec_t lost_boottime;    /* since when there is no holder */
        ReeveError error;        /* why there is none */
} PoolScope;

/* Finds the scope or has it made, and opens the pool in it; comes back when either is done or failed. From then on it
 * is made again whenever it is gone. */
int pool_scope_open(struct Launcher *l, ReeveError *reterr);
void pool_scope_close(struct Launcher *l);

/* Can a task be put into the pool now? Unavailable, with the reason, if not. */
int pool_scope_check(const struct Launcher *l, ReeveError *reterr);

/* Something of the pool is missing: if systemd has forgotten the scope, which it does when it could not stop it, it is made
 * again. */
void pool_scope_doubt(struct Launcher *l);
