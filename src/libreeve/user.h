/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Inside libreeve only: who the task is to run as, and the environment that follows from it. */

#include "libreeve/request.h"

/* Sets uid, gid and the clean environment of the specification. `user` and `group` are names or numbers, NULL: the
 * caller; a number needs no entry in the user database. InvalidArgument: field "uid" or "gid". */
int user_apply(Request *q, const char *user, const char *group, bool tty, ReeveError *reterr);
