/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* A Spec borrows all its strings; somebody has to own those that are made up while it is written. That is all that a
 * Request adds, with the two lists in which a later entry replaces an earlier one.
 *
 * Limits keep their order. A value that was replaced stays owned until the end: a specification is written once, and
 * small. */

#include "libreeve/request.h"

#include <ctype.h>
#include <errno.h>

#include "basic/strings.h"

void request_done(Request *q)
{
        assert(q);

        free(q->command);
        free(q->cwd);
        free(q->argv);
        strv_free(q->env);
        strv_free(q->verify);
        strv_free(q->values);
        *q = (Request){ 0 };
}

/* Values of IO limits are "MAJOR:MINOR NUMBER": one for each device. */
static bool same_subject(const SpecLimit *l, const char *name, const char *value)
{
        if (!streq(l->name, name))
                return false;
        const char *space = strchr(value, ' ');
        return !space || strncmp(l->value, value, (size_t)(space - value) + 1) == 0;
}

/* Owned until the end; NULL when memory is short. */
static const char *keep(Request *q, const char *text)
{
        return strv_append(&q->values, text) < 0 ? NULL : q->values[strv_length(q->values) - 1];
}

int request_set_limit(Request *q, const char *name, const char *value, ReeveError *reterr)
{
        size_t i = 0;

        assert(q);
        assert(name);
        assert(value);

        while (i < q->spec.n_limits && !same_subject(q->spec.limits + i, name, value))
                i++;
        if (i == SPEC_LIMITS_MAX)
                return reeve_error_set(reterr, REEVE_ERROR_LIMIT_EXCEEDED, name,
                                       "more than %d limits are given", SPEC_LIMITS_MAX);
        const char *copy = keep(q, value);
        if (!copy)
                return reeve_error_errno(reterr, ENOMEM, name, "cannot set a limit");

        q->spec.limits[i] = (SpecLimit){ .name = name, .value = copy };
        if (i == q->spec.n_limits)
                q->spec.n_limits++;
        return 0;
}

/* In place `i`, or behind the last one. */
static int put_property(Request *q, size_t i, const char *name, const char *value, ReeveError *reterr)
{
        if (i == SPEC_PROPERTIES_MAX)
                return reeve_error_set(reterr, REEVE_ERROR_LIMIT_EXCEEDED, name,
                                       "more than %d properties are given", SPEC_PROPERTIES_MAX);
        SpecLimit property = { .name = keep(q, name), .value = keep(q, value) };
        if (!property.name || !property.value)
                return reeve_error_errno(reterr, ENOMEM, name, "cannot set a property");
        q->spec.properties[i] = property;
        if (i == q->spec.n_properties)
                q->spec.n_properties++;
        return 0;
}

int request_set_property(Request *q, const char *name, const char *value, ReeveError *reterr)
{
        size_t i = 0;

        assert(q);
        assert(name);
        assert(value);

        while (i < q->spec.n_properties && !same_subject(q->spec.properties + i, name, value))
                i++;
        return put_property(q, i, name, value, reterr);
}

int request_add_property(Request *q, const char *name, const char *value, ReeveError *reterr)
{
        assert(q);
        assert(name);
        assert(value);

        return put_property(q, q->spec.n_properties, name, value, reterr);
}

static bool variable_name_is_valid(const char *name, size_t n)
{
        if (n == 0 || isdigit((unsigned char)name[0]))
                return false;
        for (size_t i = 0; i < n; i++)
                if (!isascii((unsigned char)name[i]) || (!isalnum((unsigned char)name[i]) && name[i] != '_'))
                        return false;
        return true;
}

int request_set_environment(Request *q, const char *assignment, ReeveError *reterr)
{
        assert(q);
        assert(assignment);

        size_t n = strcspn(assignment, "=");
        if (assignment[n] != '=' || !variable_name_is_valid(assignment, n))
                return reeve_error_set(reterr, REEVE_ERROR_INVALID_ARGUMENT, "environment",
                                       "'%.*s' is not the name of a variable", (int)MIN(n, (size_t)64),
                                       assignment);

        for (char **p = q->env; p && *p; p++)
                if (strncmp(*p, assignment, n + 1) == 0) {
                        char *copy = strdup(assignment);
                        if (!copy)
                                return reeve_error_errno(reterr, ENOMEM, "environment",
                                                         "cannot set a variable");
                        free(*p);
                        *p = copy;
                        return 0;
                }
        if (strv_append(&q->env, assignment) < 0)
                return reeve_error_errno(reterr, ENOMEM, "environment", "cannot set a variable");
        return 0;
}
