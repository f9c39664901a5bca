/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Which (serial, attempt) pairs have been started: empty files <dir>/<xx>/<serial>.<attempt>. */

#include <stdint.h>

#include "basic/time.h"

/* 1 if the pair is spent, 0 if not, negative errno. */
int spent_has(int dir_fd, const uint8_t serial[static 16], unsigned attempt);

/* Spends it; -EEXIST if it is spent already. */
int spent_add(int dir_fd, const uint8_t serial[static 16], unsigned attempt);

/* Takes it back, for an attempt that provably never ran. */
int spent_remove(int dir_fd, const uint8_t serial[static 16], unsigned attempt);

/* Removes pairs whose ticket has expired a day ago or more. */
void spent_expire(int dir_fd, usec_t now_realtime);
