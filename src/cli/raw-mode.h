/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* The caller's terminal (standard input) in another mode for a while, and back whatever happens. */

typedef enum RawMode {
        RAW_MODE_ALL,  /* every key is passed on, Ctrl-C included */
        RAW_MODE_KEYS, /* keys come at once and without echo; Ctrl-C still interrupts */
} RawMode;

/* 0 or a negative errno (-ENOTTY: standard input is no terminal). */
int raw_mode_enter(RawMode mode);

/* Does nothing if no mode was entered. */
void raw_mode_leave(void);
