/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Keepers that take one task after another. To fork a keeper, and to end it, costs more than all that it does for a
 * short task; so one that has ended its task may take the next, if that comes at once. */

#include <systemd/sd-event.h>

#include "launcher/keeper.h"

/* Keepers that may be idle at a time, and the memory in which one finds its next task. */
#define DESKS     8
#define DESK_SIZE 65536

/* How long an idle keeper waits. */
#define DESK_LINGER_USEC (50 * USEC_PER_MSEC)

struct Launcher;

/* The launcher's side of a desk. */
typedef struct DeskSlot {
        struct Launcher *l;
        pid_t keeper; /* 0: the desk is free */
        Desk *desk;
        int fd; /* -EBADF: its keeper takes nothing any more */
        sd_event_source *done;
        bool idle;
        uint64_t hired; /* a number that grows: who has the lowest is longest at its task */
} DeskSlot;

/* ---- the launcher's side ---- */

/* Gives the task to an idle keeper, whose pid is returned; 0: there is none, or the task does not fit on its desk. */
pid_t desk_hire(struct Launcher *l, const Keeper *k);

/* A desk for a keeper that is about to be forked: sets k->desk and k->desk_fd. NULL if there can be none. */
DeskSlot *desk_prepare(struct Launcher *l, Keeper *k);
/* It was forked, or (negative) could not be. */
void desk_occupy(DeskSlot *s, Keeper *k, pid_t keeper);

/* This child of ours has ended. True if it was a keeper without a task. */
bool desk_gone(struct Launcher *l, pid_t keeper);

/* ---- the keeper's side ---- */

/* Says that the task is done, and waits for the next one; `k` is of the one before. NULL: there will be none, or SIGTERM
 * came (which must be blocked and have a handler). Only the desk's descriptor may be open beyond 2. */
Keeper *desk_next(const Keeper *k);

/* The task runs, and its strings (an environment holds secrets) are wiped from the desk. */
void desk_wipe(const Keeper *k);
