/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Is a JSON value of a type of an interface definition?
 *
 * A path to the value under test grows and shrinks with the recursion, so that the error can name the nested
 * field; it costs nothing but a few bytes written per field. A path that does not fit is cut, which only
 * blurs the error. The depth is that of the value (see varlink-idl.c), which was parsed with a limit.
 *
 * A field of a "?" type may be absent or null; any other may be neither. Integers are accepted where a
 * float is expected, since JSON has one kind of number, but not the reverse. */

#include "common/varlink/varlink-idl.h"

#include <stdio.h>
#include <string.h>

#include "basic/strings.h"

typedef struct Path {
        char text[sizeof(((ReeveError *)NULL)->field)];
        size_t n;
        ReeveError *reterr;
} Path;

static int check(const VarlinkType *t, const json_t *v, Path *p);

static int mismatch(Path *p, const char *expected)
{
        return reeve_error_set(p->reterr, REEVE_ERROR_INVALID_ARGUMENT, p->text, "%s: %s",
                               p->n > 0 ? p->text : "parameters", expected);
}

/* Appends to the path; returns its length before, for path_pop(). */
static size_t path_push(Path *p, const char *name)
{
        size_t before = p->n;
        int k = snprintf(p->text + p->n, sizeof(p->text) - p->n, "%s%s", p->n > 0 ? "." : "", name);

        p->n = MIN(p->n + (size_t)MAX(k, 0), sizeof(p->text) - 1);
        return before;
}

static size_t path_push_index(Path *p, size_t index)
{
        size_t before = p->n;
        int k = snprintf(p->text + p->n, sizeof(p->text) - p->n, "[%zu]", index);

        p->n = MIN(p->n + (size_t)MAX(k, 0), sizeof(p->text) - 1);
        return before;
}

static void path_pop(Path *p, size_t before)
{
        p->n = before;
        p->text[before] = 0;
}

static const VarlinkField *find_field(const VarlinkType *t, const char *name)
{
        for (size_t i = 0; i < t->n_fields; i++)
                if (streq(t->fields[i].name, name))
                        return t->fields + i;
        return NULL;
}

static int check_unknown(const VarlinkType *t, const json_t *v, Path *p)
{
        const char *key;
        json_t *field;

        json_object_foreach((json_t *)v, key, field)
                if (!find_field(t, key)) {
                        path_push(p, key);
                        return mismatch(p, "there is no such field");
                }
        return 0;
}

static int check_struct(const VarlinkType *t, const json_t *v, Path *p)
{
        size_t found = 0;

        if (!json_is_object(v))
                return mismatch(p, "must be an object");

        for (size_t i = 0; i < t->n_fields; i++) {
                const VarlinkField *f = t->fields + i;
                const json_t *value = json_object_get(v, f->name);
                found += value != NULL;
                if (!value && f->type->kind == VARLINK_TYPE_MAYBE)
                        continue;

                size_t before = path_push(p, f->name);
                int r = value ? check(f->type, value, p) : mismatch(p, "is missing");
                if (r < 0)
                        return r;
                path_pop(p, before);
        }
        return found == json_object_size(v) ? 0 : check_unknown(t, v, p);
}

static int check_array(const VarlinkType *t, const json_t *v, Path *p)
{
        if (!json_is_array(v))
                return mismatch(p, "must be an array");
        for (size_t i = 0; i < json_array_size(v); i++) {
                size_t before = path_push_index(p, i);
                int r = check(t->element, json_array_get(v, i), p);
                if (r < 0)
                        return r;
                path_pop(p, before);
        }
        return 0;
}

static int check_map(const VarlinkType *t, const json_t *v, Path *p)
{
        const char *key;
        json_t *value;

        if (!json_is_object(v))
                return mismatch(p, "must be an object");
        json_object_foreach((json_t *)v, key, value) {
                size_t before = path_push(p, key);
                int r = check(t->element, value, p);
                if (r < 0)
                        return r;
                path_pop(p, before);
        }
        return 0;
}

static int check_enum(const VarlinkType *t, const json_t *v, Path *p)
{
        const char *name = json_string_value(v);

        return name && find_field(t, name) ? 0 : mismatch(p, "is none of the possible values");
}

static int check(const VarlinkType *t, const json_t *v, Path *p)
{
        switch (t->kind) {
        case VARLINK_TYPE_BOOL:
                return json_is_boolean(v) ? 0 : mismatch(p, "must be true or false");
        case VARLINK_TYPE_INT:
                return json_is_integer(v) ? 0 : mismatch(p, "must be an integer");
        case VARLINK_TYPE_FLOAT:
                return json_is_number(v) ? 0 : mismatch(p, "must be a number");
        case VARLINK_TYPE_STRING:
                return json_is_string(v) ? 0 : mismatch(p, "must be a string");
        case VARLINK_TYPE_OBJECT:
                return json_is_object(v) ? 0 : mismatch(p, "must be an object");
        case VARLINK_TYPE_ANY:
                return 0;
        case VARLINK_TYPE_MAYBE:
                return json_is_null(v) ? 0 : check(t->element, v, p);
        case VARLINK_TYPE_ARRAY:
                return check_array(t, v, p);
        case VARLINK_TYPE_MAP:
                return check_map(t, v, p);
        case VARLINK_TYPE_ENUM:
                return check_enum(t, v, p);
        case VARLINK_TYPE_STRUCT:
                return check_struct(t, v, p);
        case VARLINK_TYPE_NAMED:
                return check(t->element, v, p);
        default:
                assert(!"a type's kind");
                return mismatch(p, "has an unknown type");
        }
}

int varlink_type_check(const VarlinkType *type, const json_t *value, ReeveError *reterr)
{
        Path p = { .reterr = reterr };

        assert(type);
        assert(value);

        return check(type, value, &p);
}
