/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* What nearly every verb needs: a connection, one call, and an error said on one line. */

#include "basic/error.h"
#include "basic/macro.h"
#include "reeve/reeve.h"

DEFINE_CLEANUP_FUNC(ReeveConnection *, reeve_disconnect)

/* Writes "reeve: FIELD: TEXT" to stderr; returns the exit status that belongs to the error. */
int session_error(const ReeveError *e);

/* Connects; on failure says where and what to do. Returns 0 or the exit status. */
int session_connect(ReeveConnection **ret);

/* Calls a method. Steals `parameters` (NULL: memory was short while they were made). *ret (may be NULL) is the
 * caller's. Returns 0 or the exit status, having said what went wrong. */
int session_call(ReeveConnection *c, const char *method, json_t *parameters, json_t **ret);
