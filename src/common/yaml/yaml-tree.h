/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* A YAML file as a tree of nodes that know their place, restricted to what a configuration needs: one
 * document of mappings, sequences and scalars. Anchors, aliases, tags, directives, a second document, keys
 * that are not scalars and duplicate keys are errors, and so is anything beyond the bounds below. */

#include <stddef.h>

#include "basic/error.h"

#define YAML_TREE_SIZE_MAX  (1024 * 1024) /* bytes of a file */
#define YAML_TREE_DEPTH_MAX 16            /* mappings and sequences within each other */
#define YAML_TREE_NODES_MAX 10000         /* keys not counted */

typedef enum YamlKind {
        YAML_KIND_SCALAR,
        YAML_KIND_MAPPING,
        YAML_KIND_SEQUENCE,
} YamlKind;

typedef struct YamlPlace {
        unsigned line, column; /* counted from 1, columns in characters */
} YamlPlace;

typedef struct YamlNode YamlNode;

struct YamlNode {
        YamlKind kind;
        YamlPlace place;
        char *text;          /* of a scalar: UTF-8 without NUL, NUL-terminated; NULL otherwise */
        char *key;           /* of a mapping's child; NULL otherwise */
        YamlPlace key_place; /* likewise */
        YamlNode *first;     /* children in the order of the file */
        YamlNode *next;      /* sibling */
};

typedef struct YamlTree {
        char *source;   /* the file's name, for messages */
        YamlNode *root; /* NULL: nothing but comments */
} YamlTree;

/* Parses a text of `size` bytes; `source` (copied) stands in messages. Failures are InvalidArgument with a
 * text that begins with "source:line:column: " and an empty field, or -ENOMEM. */
int yaml_tree_parse(const char *source, const char *text, size_t size, YamlTree **ret, ReeveError *reterr);

/* The same for a file; one that cannot be read gives the errno and its name. */
int yaml_tree_read(const char *path, YamlTree **ret, ReeveError *reterr);

/* Accepts NULL. */
YamlTree *yaml_tree_free(YamlTree *t);
DEFINE_CLEANUP_FUNC(YamlTree *, yaml_tree_free)

/* The child of a mapping with that key, or NULL. */
const YamlNode *yaml_node_get(const YamlNode *mapping, const char *key);

/* Fills *reterr with InvalidArgument, "source:line:column: " before the text, and returns -EINVAL. `field`
 * may be NULL. */
int yaml_error(ReeveError *reterr, const char *source, YamlPlace place, const char *field,
               const char *format, ...) _printf_(5, 6);

/* A user's text as it may stand in a message: at most YAML_SHOWN_SIZE - 1 bytes, control characters as
 * '?'. Returns buffer. */
#define YAML_SHOWN_SIZE 52
char *yaml_shown(const char *text, char buffer[static YAML_SHOWN_SIZE]);
