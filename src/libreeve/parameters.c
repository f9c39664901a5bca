/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Parameters of a method, each with the error that belongs to it.
 *
 * A value that JSON cannot have (text that is not UTF-8, a number without end) is the caller's mistake and names its
 * field, as the registry would; everything else that can go wrong is memory. So an object that could not be made is
 * accepted, and fails here: callers need not look. Ranges and formats are not looked at: the registry does that. */

#include "libreeve/parameters.h"

#include <errno.h>
#include <math.h>
#include <string.h>

#include "basic/strings.h"
#include "common/json/json.h"

static int written(int r, ReeveError *reterr)
{
        return r < 0 ? reeve_error_errno(reterr, ENOMEM, NULL, "cannot write the request") : 0;
}

int parameters_string(json_t *p, const char *key, const char *value, ReeveError *reterr)
{
        assert(key);

        if (!p)
                return written(-ENOMEM, reterr);
        if (!value)
                return 0;
        if (!utf8_is_valid(value, strlen(value)))
                return reeve_error_set(reterr, REEVE_ERROR_INVALID_ARGUMENT, key,
                                       "the text is not valid UTF-8");
        return written(json_set_string(p, key, value), reterr);
}

int parameters_integer(json_t *p, const char *key, uint64_t value, ReeveError *reterr)
{
        assert(key);

        if (value > INT64_MAX)
                return reeve_error_set(reterr, REEVE_ERROR_INVALID_ARGUMENT, key, "the number is too large");
        return written(json_object_set_new(p, key, json_integer((json_int_t)value)), reterr);
}

int parameters_boolean(json_t *p, const char *key, bool value, ReeveError *reterr)
{
        assert(key);
        return written(json_object_set_new(p, key, json_boolean(value)), reterr);
}

int parameters_real(json_t *p, const char *key, double value, ReeveError *reterr)
{
        assert(key);

        if (!isfinite(value))
                return reeve_error_set(reterr, REEVE_ERROR_INVALID_ARGUMENT, key,
                                       "the number is not finite");
        return written(json_object_set_new(p, key, json_real(value)), reterr);
}

int parameters_object(json_t *p, const char *key, json_t *value, ReeveError *reterr)
{
        assert(key);
        return value ? written(json_object_set(p, key, value), reterr) : 0;
}

int parameters_take(const json_t *reply, const char *key, json_t **ret, ReeveError *reterr)
{
        assert(key);
        assert(ret);

        json_t *value = json_object_get(reply, key);
        if (!value)
                return reeve_error_set(reterr, REEVE_ERROR_INTERNAL, NULL,
                                       "the registry's answer has no '%s'", key);
        *ret = json_incref(value);
        return 0;
}
