/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Values of options that several verbs have: parsers for OPTION_PARSED entries, and the fields that they write. */

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "basic/error.h"

typedef struct OptionalNumber {
        bool set;
        uint64_t value;
} OptionalNumber;

/* A number from 0 on, or from 1 on. */
int parse_number(const char *name, const char *value, void *field, ReeveError *reterr);
int parse_positive(const char *name, const char *value, void *field, ReeveError *reterr);

/* A user's name or number. */
int parse_user(const char *name, const char *value, void *field, ReeveError *reterr);

/* A moment, into a usec_t of the wall clock: a span before now ("2h", "1d12h"), "today", "yesterday", or local
 * "2026-11-23", "2026-11-23 04:28", "2026-11-23 04:28:39". */
int parse_instant(const char *name, const char *value, void *field, ReeveError *reterr);

/* A priority, 1 to 10, into an int. */
int parse_priority(const char *name, const char *value, void *field, ReeveError *reterr);

/* The text of --metadata, a JSON object (the caller's). */
int parse_metadata(const char *text, json_t **ret, ReeveError *reterr);
