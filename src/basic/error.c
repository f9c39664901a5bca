/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* See the header. The two setters share one formatter; Field and text are always terminated and valid UTF-8
 * (what they quote need not be: paths, arguments; and they may be cut within a character), and the text never has a
 * newline, so that they can go into a log line, a varlink parameter or a D-Bus message as they are. */

#include "basic/error.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "basic/strings.h"

static const int errno_of_code[_REEVE_ERROR_MAX] = {
        [REEVE_ERROR_NONE] = 0,
        [REEVE_ERROR_NO_SUCH_TASK] = -ENOENT,
        [REEVE_ERROR_ALREADY_EXISTS] = -EEXIST,
        [REEVE_ERROR_ALREADY_FINISHED] = -ESTALE,
        [REEVE_ERROR_INVALID_ARGUMENT] = -EINVAL,
        [REEVE_ERROR_PERMISSION_DENIED] = -EPERM,
        [REEVE_ERROR_LIMIT_EXCEEDED] = -E2BIG,
        [REEVE_ERROR_POLICY_VIOLATION] = -EACCES,
        [REEVE_ERROR_EXEC_FAILED] = -ENOEXEC,
        [REEVE_ERROR_UNAVAILABLE] = -EAGAIN,
        [REEVE_ERROR_INTERNAL] = -EIO,
};

int reeve_error_code_to_errno(ReeveErrorCode code)
{
        return (unsigned)code < _REEVE_ERROR_MAX ? errno_of_code[code] : -EIO;
}

static void fill(ReeveError *e, ReeveErrorCode code, int number, const char *field, const char *format,
                 va_list ap)
{
        *e = (ReeveError){ .code = code, .number = number };
        if (field)
                snprintf(e->field, sizeof(e->field), "%s", field);
        vsnprintf(e->text, sizeof(e->text), format, ap);

        for (char *p = e->text; *p; p++)
                if ((unsigned char)*p < ' ')
                        *p = ' ';
        utf8_repair(e->field);
        utf8_repair(e->text);
}

int reeve_error_set(ReeveError *reterr, ReeveErrorCode code, const char *field, const char *format, ...)
{
        int r = reeve_error_code_to_errno(code);
        va_list ap;

        assert(code != REEVE_ERROR_NONE);
        assert(format);

        if (!reterr)
                return r;

        va_start(ap, format);
        fill(reterr, code, 0, field, format, ap);
        va_end(ap);
        return r;
}

static ReeveErrorCode code_of_errno(int number)
{
        switch (number) {
        case ENOSPC:
        case EDQUOT:
        case EAGAIN:
        case EMFILE:
        case ENFILE:
        case ENOMEM:
                return REEVE_ERROR_UNAVAILABLE;
        case EPERM:
        case EACCES:
                return REEVE_ERROR_PERMISSION_DENIED;
        default:
                return REEVE_ERROR_INTERNAL;
        }
}

int reeve_error_errno(ReeveError *reterr, int number, const char *field, const char *format, ...)
{
        va_list ap;

        assert(number != 0);
        assert(format);

        number = abs(number);
        if (!reterr)
                return -number;

        va_start(ap, format);
        fill(reterr, code_of_errno(number), number, field, format, ap);
        va_end(ap);

        size_t n = strlen(reterr->text);
        snprintf(reterr->text + n, sizeof(reterr->text) - n, ": %s",
                 strerrordesc_np(number) ?: "unknown error");
        return -number;
}

bool errno_is_transient(int number)
{
        number = abs(number);
        return number == EAGAIN || number == EINTR || number == ENOMEM || number == ENFILE ||
               number == EMFILE;
}
