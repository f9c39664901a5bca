/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Inside libreeve only: parameters of a method, written one by one. `p` is an object, or NULL if there was no memory
 * for one. All return 0, or a negative errno with *reterr filled. */

#include "libreeve/connection.h"

/* NULL: nothing is written. InvalidArgument with the field `key` if the value is not UTF-8. */
int parameters_string(json_t *p, const char *key, const char *value, ReeveError *reterr);

/* InvalidArgument with the field `key` if the value does not fit into an int64_t. */
int parameters_integer(json_t *p, const char *key, uint64_t value, ReeveError *reterr);
int parameters_boolean(json_t *p, const char *key, bool value, ReeveError *reterr);

/* InvalidArgument with the field `key` if it is not finite. */
int parameters_real(json_t *p, const char *key, double value, ReeveError *reterr);

/* The value is borrowed; NULL: nothing is written. */
int parameters_object(json_t *p, const char *key, json_t *value, ReeveError *reterr);

/* A member of a reply. *ret is the caller's. Internal if it is not there. */
int parameters_take(const json_t *reply, const char *key, json_t **ret, ReeveError *reterr);
