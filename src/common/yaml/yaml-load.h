/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* From a YAML tree into a struct, by a table of its keys. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/yaml/yaml-tree.h"

typedef enum YamlFieldType {
        YAML_FIELD_U32,   /* uint32_t: a whole number */
        YAML_FIELD_BYTES, /* uint64_t: 64M */
        YAML_FIELD_SPAN,  /* usec_t: 1min 30s */
        YAML_FIELD_MAP,   /* a mapping with `fields` of its own */
        _YAML_FIELD_TYPE_MAX,
} YamlFieldType;

typedef struct YamlField YamlField;

struct YamlField {
        const char *key; /* NULL ends a table */
        YamlFieldType type;
        size_t offset;     /* in the target; all offsets of nested tables count from the same target */
        uint64_t min, max; /* inclusive */
        bool or_infinity;  /* of BYTES and SPAN: "infinity" is accepted too, and stored as 0 */
        const YamlField *fields;
        const char *text; /* what it is, for messages and documents */
};

/* Sets what the mapping `node` says in *target and leaves the rest alone; NULL (an empty file) says
 * nothing. `path` is the dotted name of the node, "" for the root. InvalidArgument with the dotted key as
 * field, for: an unknown key (the nearest known one is suggested), a wrong type, a value that does not
 * parse or is out of range. *target may be half changed on failure. */
int yaml_load(const YamlTree *t, const YamlNode *node, const char *path, const YamlField *fields,
              void *target, ReeveError *reterr);

/* The key of the table that `word` may have meant, or NULL if none is near. */
const char *yaml_nearest_key(const YamlField *fields, const char *word);
