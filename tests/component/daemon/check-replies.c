/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Holds replies to what the interface definition promises.
 *
 * Standard input has a line for each reply: the method (or the error), a blank, and the parameters as JSON. The first one
 * that is not of the method's output type (or of the error's type) is told, and ends the check. The definition is the one
 * that is built into reeved. test_replies.py gathers the replies, and checks that this program can say no. */

#include <stdio.h>
#include <string.h>

#include "common/json/json.h"
#include "common/varlink/varlink-idl.h"
#include "daemon/varlink/definition.h"

#define DEPTH_MAX 64

static const VarlinkType *type_of(const VarlinkIdl *idl, const char *name)
{
        const VarlinkMember *m = varlink_idl_find(idl, VARLINK_MEMBER_METHOD, name);
        if (m)
                return m->output;
        m = varlink_idl_find(idl, VARLINK_MEMBER_ERROR, name);
        return m ? m->input : NULL;
}

static int check(const VarlinkIdl *idl, char *line)
{
        ReeveError e = REEVE_ERROR_NULL;
        _cleanup_json_ json_t *value = NULL;

        const char *name = strsep(&line, " ");
        const VarlinkType *type = type_of(idl, name);
        int r = !type || !line ? reeve_error_set(&e, REEVE_ERROR_INVALID_ARGUMENT, "",
                                                 "no such method or error")
                               : json_parse(line, strlen(line), DEPTH_MAX, &value, &e);
        if (r >= 0)
                r = varlink_type_check(type, value, &e);
        if (r < 0)
                fprintf(stderr, "%s: %s: %s in %s\n", name, e.field, e.text, line ?: "");
        return r;
}

int main(void)
{
        _cleanup_(varlink_idl_freep) VarlinkIdl *idl = NULL;
        _cleanup_free_ char *line = NULL;
        ReeveError e = REEVE_ERROR_NULL;
        size_t size = 0;
        ssize_t n;

        if (varlink_idl_parse(registry_varlink_definition, strlen(registry_varlink_definition), &idl, &e) <
            0) {
                fprintf(stderr, "the definition: %s\n", e.text);
                return 1;
        }
        while ((n = getline(&line, &size, stdin)) > 0) {
                line[strcspn(line, "\n")] = '\0';
                if (check(idl, line) < 0)
                        return 1;
        }
        return 0;
}
