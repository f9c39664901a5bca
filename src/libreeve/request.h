/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Inside libreeve only: a specification while it is being written, with the strings that it borrows. */

#include "common/spec/spec.h"

typedef struct Request {
        Spec spec; /* its pointers go into what follows, or into what the caller lent */
        char *command;
        char *cwd;
        char **argv;   /* the array only: its strings are `command` and the caller's */
        char **env;    /* all owned */
        char **verify; /* all owned: commands as the specification has them */
        char **values; /* all owned: names and canonical values of limits and properties */
} Request;

void request_done(Request *q);

/* Sets a limit to a canonical value, which is copied. A limit that is set again takes the new value, except IO limits
 * of different devices, which add up. */
int request_set_limit(Request *q, const char *name, const char *value, ReeveError *reterr);

/* Sets a property of the scope to a canonical value; both are copied. One that is set again takes the new value, but for
 * those of different devices. */
int request_set_property(Request *q, const char *name, const char *value, ReeveError *reterr);
/* Adds one of several values. */
int request_add_property(Request *q, const char *name, const char *value, ReeveError *reterr);

/* Sets NAME=VALUE in the environment, in place of an earlier NAME. InvalidArgument (field "environment") unless it is
 * an assignment to a name of letters, digits and underscores. */
int request_set_environment(Request *q, const char *assignment, ReeveError *reterr);
