/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* The one table that gives each class of failure its name on every interface. */

#include "basic/error.h"

typedef struct ErrorTableEntry {
        ReeveErrorCode code;
        const char *name;    /* "NoSuchTask": tests, logs, documents */
        const char *varlink; /* "io.reeve.Registry.NoSuchTask" */
        const char *dbus;    /* "io.reeve.Error.NoSuchTask" */
        int http_status;
        int exit_status;  /* of the command line */
        const char *text; /* what it means, when nothing more precise is known */
} ErrorTableEntry;

/* Never NULL: an unknown code is Internal. NONE has an entry of its own (HTTP 200, exit status 0). */
const ErrorTableEntry *error_table_get(ReeveErrorCode code);

/* The code with that varlink or D-Bus name; REEVE_ERROR_NONE if there is none. */
ReeveErrorCode error_table_from_varlink(const char *name);
ReeveErrorCode error_table_from_dbus(const char *name);
