/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* What a failure looks like, inside reeve and to users of libreeve: the class of the failure, the input field at
 * fault, and a sentence. The caller allocates it; it is filled only when a function fails, and may always be NULL. */

typedef enum ReeveErrorCode {
        REEVE_ERROR_NONE = 0,
        REEVE_ERROR_NO_SUCH_TASK,
        REEVE_ERROR_ALREADY_EXISTS,
        REEVE_ERROR_ALREADY_FINISHED,
        REEVE_ERROR_INVALID_ARGUMENT, /* `field` names it */
        REEVE_ERROR_PERMISSION_DENIED,
        REEVE_ERROR_LIMIT_EXCEEDED, /* `field` names the limit or the field that is over it */
        REEVE_ERROR_POLICY_VIOLATION,
        REEVE_ERROR_EXEC_FAILED, /* `number` is the errno, `field` the path */
        REEVE_ERROR_UNAVAILABLE, /* try again later: disk full, launcher away, shutting down */
        REEVE_ERROR_INTERNAL,
        _REEVE_ERROR_MAX,
} ReeveErrorCode;

typedef struct ReeveError {
        ReeveErrorCode code;
        int number;      /* errno value behind the failure, positive; 0 if there is none */
        char field[256]; /* input field, limit or path at fault; "" if none */
        char text[512];  /* a sentence without newline or full stop, for people */
} ReeveError;

#define REEVE_ERROR_NULL                 \
        (ReeveError)                     \
        {                                \
                .code = REEVE_ERROR_NONE \
        }
