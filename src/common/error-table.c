/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* One row for each class of failure, so that a program recognises it whatever it was told by: varlink, D-Bus, HTTP, or the
 * exit status of the command line. The names are made of one word each; tests hold the interface files to this table.
 *
 * Exit statuses follow sysexits(3) where one fits, and stay clear of 1 to 63 and 126 up, which tasks use: whoever runs
 * `reeve run` can tell the failure of reeve from that of his command. */

#include "common/error-table.h"

#include <string.h>
#include <sysexits.h>

#define ENTRY(CODE, NAME, HTTP, EXIT, TEXT)                 \
        [REEVE_ERROR_##CODE] = { REEVE_ERROR_##CODE,        \
                                 NAME,                      \
                                 "io.reeve.Registry." NAME, \
                                 "io.reeve.Error." NAME,    \
                                 HTTP,                      \
                                 EXIT,                      \
                                 TEXT }

static const ErrorTableEntry table[_REEVE_ERROR_MAX] = {
        ENTRY(NONE, "None", 200, 0, "no error"),
        ENTRY(NO_SUCH_TASK, "NoSuchTask", 404, EX_NOINPUT, "there is no such task"),
        ENTRY(ALREADY_EXISTS, "AlreadyExists", 409, EX_CANTCREAT, "a task with this id exists"),
        ENTRY(ALREADY_FINISHED, "AlreadyFinished", 410, EX_DATAERR, "the task has ended"),
        ENTRY(INVALID_ARGUMENT, "InvalidArgument", 400, EX_USAGE, "an argument is not valid"),
        ENTRY(PERMISSION_DENIED, "PermissionDenied", 403, EX_NOPERM, "permission denied"),
        ENTRY(LIMIT_EXCEEDED, "LimitExceeded", 413, EX_PROTOCOL, "a limit is exceeded"),
        ENTRY(POLICY_VIOLATION, "PolicyViolation", 422, EX_CONFIG, "policy does not allow this"),
        ENTRY(EXEC_FAILED, "ExecFailed", 424, EX_OSFILE, "the command could not be executed"),
        ENTRY(UNAVAILABLE, "Unavailable", 503, EX_TEMPFAIL, "the service cannot do this now"),
        ENTRY(INTERNAL, "Internal", 500, EX_SOFTWARE, "internal error"),
};

const ErrorTableEntry *error_table_get(ReeveErrorCode code)
{
        return table + ((unsigned)code < _REEVE_ERROR_MAX ? code : REEVE_ERROR_INTERNAL);
}

ReeveErrorCode error_table_from_varlink(const char *name)
{
        assert(name);

        for (size_t i = 1; i < ELEMENTSOF(table); i++)
                if (strcmp(table[i].varlink, name) == 0)
                        return table[i].code;
        return REEVE_ERROR_NONE;
}

ReeveErrorCode error_table_from_dbus(const char *name)
{
        assert(name);

        for (size_t i = 1; i < ELEMENTSOF(table); i++)
                if (strcmp(table[i].dbus, name) == 0)
                        return table[i].code;
        return REEVE_ERROR_NONE;
}
