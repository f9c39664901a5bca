/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* What the tests of policies share. Everything fails the test when it cannot do what it is for. */

#include <string.h>

#include "basic/strings.h"
#include "daemon/policy/policy-internal.h"
#include "tests/unit/test.h"

static inline _unused_ Policy *parse(const char *text)
{
        ReeveError e = REEVE_ERROR_NULL;
        Policy *p = NULL;

        assert_ok(policy_parse("test.yaml", text, strlen(text), &p, &e), e);
        return p;
}

/* The caller is root unless the query says otherwise. */
static inline _unused_ TaskPolicy *resolve(Policy *p, const PolicyQuery *q)
{
        ReeveError e = REEVE_ERROR_NULL;
        TaskPolicy *t = NULL;

        assert_ok(policy_resolve(p, q, &t, &e), e);
        return t;
}

static inline _unused_ void expect_refused(Policy *p, const PolicyQuery *q, ReeveErrorCode code,
                                           const char *field, const char *text)
{
        ReeveError e = REEVE_ERROR_NULL;
        TaskPolicy *t = NULL;

        if (policy_resolve(p, q, &t, &e) >= 0)
                fail_msg("it was allowed, expected '%s'", text);
        if (e.code != code || !streq(e.field, field) || !strstr(e.text, text))
                fail_msg("expected %d %s '%s', got %d %s '%s'", code, field, text, e.code, e.field, e.text);
}

static inline _unused_ PolicyQuery query(const char *subsystem, const char *type, const char *title)
{
        return (PolicyQuery){ .subsystem = subsystem, .task_type = type, .title = title, .launched = true };
}

static inline _unused_ const char *limit_of(const TaskPolicy *t, const char *name)
{
        for (size_t i = 0; i < t->n_limits; i++)
                if (streq(t->limits[i].name, name))
                        return t->limits[i].value;
        return "none";
}
