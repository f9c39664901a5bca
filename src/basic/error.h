/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* What a failure looks like.
 *
 * Functions return 0 or a negative errno; that is what code acts on. Where a person must understand the failure,
 * the last argument is a caller-allocated ReeveError that names the class of the failure (one of ten that every
 * interface of reeve knows, see common/error-table.h), the offending input field, and a sentence. Nothing here
 * allocates, so an error can always be reported, out of memory included.
 *
 * A ReeveError is filled only when the function fails. `reterr` may be NULL: the caller does not care why. */

#include <stdarg.h>
#include <stdbool.h>

#include "basic/macro.h"
#include "reeve/error.h" /* the types: users of libreeve have them too */

/* Fills *reterr (unless it is NULL) and returns the negative errno that belongs to `code`:
 * NoSuchTask -ENOENT, AlreadyExists -EEXIST, AlreadyFinished -ESTALE, InvalidArgument -EINVAL, PermissionDenied
 * -EPERM, LimitExceeded -E2BIG, PolicyViolation -EACCES, ExecFailed -ENOEXEC, Unavailable -EAGAIN, Internal -EIO.
 * `field` may be NULL. Text that does not fit is cut; field and text are made valid UTF-8. */
int reeve_error_set(ReeveError *reterr, ReeveErrorCode code, const char *field, const char *format, ...)
                _printf_(4, 5);

/* As reeve_error_set(), for a failed system or library call: `number` (negative or positive errno) is kept, its
 * text is appended as ": No such file or directory", and -abs(number) is returned. The code is the one that fits
 * the errno (ENOSPC, EDQUOT, EAGAIN, EMFILE, ENFILE, ENOMEM: Unavailable; EPERM, EACCES: PermissionDenied;
 * everything else: Internal). */
int reeve_error_errno(ReeveError *reterr, int number, const char *field, const char *format, ...)
                _printf_(4, 5);

/* The negative errno of a code, as listed above; 0 for NONE. */
int reeve_error_code_to_errno(ReeveErrorCode code);

/* True for conditions of the moment, after which the same call may work. */
bool errno_is_transient(int number);
