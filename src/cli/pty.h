/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* A terminal for the task, relayed to and from the caller's. */

#include <stdbool.h>
#include <systemd/sd-event.h>

#include "basic/error.h"

typedef struct Pty {
        int master;
        int slave; /* for the task; -EBADF once handed over */
        sd_event *event;
        sd_event_source *input, *output, *resize;
        char pending[4096]; /* typed, and not yet taken by the task's terminal */
        size_t n_pending;
} Pty;

/* Makes a pair with the caller's window size and terminal settings (if standard input is a terminal). */
int pty_open(Pty *p, ReeveError *reterr);

/* Closes the slave: the task has it. */
void pty_close_slave(Pty *p);

/* Puts the caller's terminal into raw mode and relays: standard input to the task, the task to standard output, changes
 * of the window's size to the task. 0 or a negative errno. */
int pty_attach(Pty *p, sd_event *event);

/* Writes what the task has still written, and restores the caller's terminal. */
void pty_finish(Pty *p);

void pty_done(Pty *p);
