/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Interface definitions: the parser, and the check of JSON values against them. */

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>

#include "basic/error.h"

typedef enum VarlinkTypeKind {
        VARLINK_TYPE_BOOL,
        VARLINK_TYPE_INT,
        VARLINK_TYPE_FLOAT, /* integers too */
        VARLINK_TYPE_STRING,
        VARLINK_TYPE_OBJECT, /* any object */
        VARLINK_TYPE_ANY,    /* any value */
        VARLINK_TYPE_MAYBE,  /* null or `element`; as a field it may be absent */
        VARLINK_TYPE_ARRAY,  /* of `element` */
        VARLINK_TYPE_MAP,    /* from strings to `element` */
        VARLINK_TYPE_ENUM,   /* `fields` without types */
        VARLINK_TYPE_STRUCT,
        VARLINK_TYPE_NAMED, /* `element` is borrowed from the member `name` */
} VarlinkTypeKind;

typedef struct VarlinkType VarlinkType;

typedef struct VarlinkField {
        char *name;
        VarlinkType *type; /* NULL in an enum */
} VarlinkField;

struct VarlinkType {
        VarlinkTypeKind kind;
        VarlinkType *element;
        VarlinkField *fields;
        size_t n_fields;
        char *name;        /* NAMED only */
        size_t definition; /* NAMED only: offset in the text */
};

typedef enum VarlinkMemberKind {
        VARLINK_MEMBER_TYPE,
        VARLINK_MEMBER_METHOD,
        VARLINK_MEMBER_ERROR,
} VarlinkMemberKind;

typedef struct VarlinkMember {
        VarlinkMemberKind kind;
        char *name;
        VarlinkType *input;  /* METHOD: of the call; TYPE and ERROR: itself */
        VarlinkType *output; /* METHOD only */
} VarlinkMember;

typedef struct VarlinkIdl VarlinkIdl;

/* Parses a definition; the text is not needed afterwards. InvalidArgument with "line:column: what" if it
 * is not sound: syntax, a name used twice, a type that is not defined, nested too deeply. */
int varlink_idl_parse(const char *text, size_t size, VarlinkIdl **ret, ReeveError *reterr);
VarlinkIdl *varlink_idl_free(VarlinkIdl *idl);
DEFINE_CLEANUP_FUNC(VarlinkIdl *, varlink_idl_free)

const char *varlink_idl_name(const VarlinkIdl *idl);
/* In the order of the text; the pointers live as long as the idl. */
size_t varlink_idl_n_members(const VarlinkIdl *idl);
const VarlinkMember *varlink_idl_member_at(const VarlinkIdl *idl, size_t index);
/* NULL if there is no member of that name and kind. */
const VarlinkMember *varlink_idl_find(const VarlinkIdl *idl, VarlinkMemberKind kind, const char *name);

/* Is the value of this type: no unknown field, none missing, right types? 0 or InvalidArgument, whose
 * field is the path to what is wrong ("task.usage.cpu", "stdio[2]"; "" for the value itself). */
int varlink_type_check(const VarlinkType *type, const json_t *value, ReeveError *reterr);
