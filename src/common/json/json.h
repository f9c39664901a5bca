/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* On top of jansson: reading objects field by field with errors that name the field, and small
 * conveniences. */

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "basic/error.h"

/* json_decrefp() is jansson's */
#define _cleanup_json_ _cleanup_(json_decrefp)

typedef enum JsonFieldType {
        JSON_FIELD_STRING,  /* const char *, borrowed from the object */
        JSON_FIELD_INTEGER, /* int64_t */
        JSON_FIELD_BOOLEAN, /* bool */
        JSON_FIELD_NUMBER,  /* double; integers too */
        JSON_FIELD_OBJECT,  /* json_t *, borrowed */
        JSON_FIELD_ARRAY,   /* json_t *, borrowed */
} JsonFieldType;

#define JSON_FIELD_MANDATORY (1U << 0) /* absent or null: InvalidArgument */

typedef struct JsonField {
        const char *name;
        JsonFieldType type;
        size_t offset; /* in the target struct */
        unsigned flags;
        size_t max; /* longest string in bytes, 0: any */
} JsonField;

/* Fills `target` from `object` by the table. Absent and null fields leave the target as it is. Unknown
 * fields, wrong types, strings too long or with NUL: InvalidArgument or LimitExceeded that names the
 * field. */
int json_dispatch(json_t *object, const JsonField *fields, size_t n_fields, void *target,
                  ReeveError *reterr);

/* Sets a string, or nothing if `value` is NULL. Returns 0 or -ENOMEM (also for invalid UTF-8
 * and, since JSON has neither, for reals that are NaN or infinite). */
int json_set_string(json_t *object, const char *key, const char *value);
int json_set_integer(json_t *object, const char *key, int64_t value);
int json_set_bool(json_t *object, const char *key, bool value);
int json_set_real(json_t *object, const char *key, double value);

/* String of a field, NULL if absent or no string. */
const char *json_get_string(const json_t *object, const char *key);
/* Integer of a field, `fallback` if absent or no integer. */
int64_t json_get_integer(const json_t *object, const char *key, int64_t fallback);

/* Parses text as UTF-8 JSON, any value: no duplicate keys, no "\u0000", at most `depth` levels.
 * InvalidArgument with the position, or Unavailable when memory is short. *ret is a new reference. */
int json_parse(const char *text, size_t size, unsigned depth, json_t **ret, ReeveError *reterr);
/* Writes any value as compact text, which the callback gets in pieces. -1 if that returned something below 0, or the value
 * cannot be written: a string that is no UTF-8, or an object that contains itself. */
int json_write(const json_t *j, json_dump_callback_t callback, void *userdata);
/* The same text (caller frees); NULL when memory is short. */
char *json_format(const json_t *j);

/* Replaces invalid UTF-8 and NUL by U+FFFD so that any bytes can be shown as a JSON string. NULL when
 * memory is short. */
json_t *json_string_lossy(const char *text, size_t n);
