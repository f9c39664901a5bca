/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* JSON as output. */

#include <jansson.h>

#include "basic/error.h"

typedef enum JsonMode {
        JSON_MODE_OFF, /* text for people */
        JSON_MODE_SHORT,
        JSON_MODE_PRETTY,
} JsonMode;

/* For tables of options: "short", "pretty" or "off"; without a value (-j) by what standard output is. */
int json_mode_parse(const char *name, const char *value, void *field, ReeveError *reterr);

/* Writes a value to standard output: on one line, or indented. `j` is borrowed. Returns 0 or EX_IOERR, having said
 * why. */
int json_print(JsonMode mode, const json_t *j);
