/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Inside libreeve only: what people write as values of properties, in canonical form. Errors are InvalidArgument with the
 * property's name as field. */

#include <stdint.h>

#include "basic/error.h"

/* "'12x' is not <expected>". */
int property_bad_value(const char *name, const char *value, const char *expected, ReeveError *reterr);

/* Bytes with a unit, a percentage of this machine's memory, or "infinity" (UINT64_MAX). */
int property_read_memory(const char *name, const char *value, uint64_t *ret, ReeveError *reterr);

/* "DEVICE NUMBER", the device being a node or a file on it, as "8:0 1048576". `parse` reads the number, which is above 0,
 * UINT64_MAX for "infinity". */
#define PROPERTY_DEVICE_SIZE 64
int property_read_device(const char *name, const char *value, int (*parse)(const char *, uint64_t *),
                         char ret[static PROPERTY_DEVICE_SIZE], ReeveError *reterr);

/* "0-3 5" as "0-3,5"; caller frees. */
int property_read_list(const char *name, const char *value, char **ret, ReeveError *reterr);
