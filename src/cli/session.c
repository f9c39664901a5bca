/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Errors go to stderr as one line that begins with the program's name and the field at fault; the exit status is that
 * of the one error table, so that scripts can tell "no such task" (66) from "try again later" (75). What verbs know of the
 * registry they know by libreeve, as any other program. */

#include "cli/session.h"

#include <errno.h>
#include <stdio.h>

#include "basic/strings.h"
#include "common/error-table.h"

int session_error(const ReeveError *e)
{
        assert(e);

        const ErrorTableEntry *entry = error_table_get(e->code);
        const char *text = *e->text ? e->text : entry->text;
        /* Texts about an id name it; some other texts begin with the field already. */
        bool about_id = e->code == REEVE_ERROR_NO_SUCH_TASK || e->code == REEVE_ERROR_ALREADY_EXISTS ||
                        e->code == REEVE_ERROR_ALREADY_FINISHED;
        if (*e->field && !about_id && !string_after(text, e->field))
                fprintf(stderr, "reeve: %s: %s\n", e->field, text);
        else
                fprintf(stderr, "reeve: %s\n", text);
        return entry->exit_status;
}

int session_connect(ReeveConnection **ret)
{
        ReeveError error = REEVE_ERROR_NULL;

        if (reeve_connect(NULL, ret, &error) >= 0)
                return 0;
        if (error.code == REEVE_ERROR_UNAVAILABLE) {
                size_t n = strlen(error.text);
                snprintf(error.text + n, sizeof(error.text) - n, " (is reeved running? see reeve doctor)");
        }
        return session_error(&error);
}

int session_call(ReeveConnection *c, const char *method, json_t *parameters, json_t **ret)
{
        ReeveError error = REEVE_ERROR_NULL;

        int r = parameters ? reeve_call(c, method, parameters, ret, &error)
                           : reeve_error_set(&error, REEVE_ERROR_INVALID_ARGUMENT, NULL,
                                             "an argument is not valid UTF-8, or memory is short");
        json_decref(parameters);
        return r < 0 ? session_error(&error) : 0;
}
