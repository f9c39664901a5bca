/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* What jansson leaves to its users: limits, and errors that a person can act on.
 *
 * Text from outside goes through json_parse(). jansson parses recursively, up to 2,048 levels; we refuse
 * earlier, by a scan that only counts brackets outside of strings. It needs to be right for valid JSON only:
 * what it misjudges in broken text, jansson refuses anyway. Duplicate keys are refused, since two readers of
 * one text would pick different ones. "\u0000" is refused too (jansson's default), so that
 * json_string_value() is the whole string wherever text came from outside.
 *
 * Objects are read by tables (json_dispatch()), so that an unknown field is an error and not silence.
 * Conversions that lose something (a real into an integer, a string into a number) are not made. */

#include "common/json/json.h"

#include <errno.h>
#include <string.h>

#include "basic/strings.h"

static const JsonField *find_field(const JsonField *fields, size_t n_fields, const char *name)
{
        for (size_t i = 0; i < n_fields; i++)
                if (streq(fields[i].name, name))
                        return fields + i;
        return NULL;
}

static int wrong_type(const JsonField *f, const char *expected, ReeveError *reterr)
{
        return reeve_error_set(reterr, REEVE_ERROR_INVALID_ARGUMENT, f->name, "%s must be %s", f->name,
                               expected);
}

static int store_string(const JsonField *f, json_t *value, const char **target, ReeveError *reterr)
{
        if (!json_is_string(value))
                return wrong_type(f, "a string", reterr);
        if (strlen(json_string_value(value)) != json_string_length(value))
                return reeve_error_set(reterr, REEVE_ERROR_INVALID_ARGUMENT, f->name, "%s contains a NUL",
                                       f->name);
        if (f->max > 0 && json_string_length(value) > f->max)
                return reeve_error_set(reterr, REEVE_ERROR_LIMIT_EXCEEDED, f->name,
                                       "%s has %zu bytes, at most %zu are allowed", f->name,
                                       json_string_length(value), f->max);
        *target = json_string_value(value);
        return 0;
}

static int store(const JsonField *f, json_t *value, void *target, ReeveError *reterr)
{
        switch (f->type) {
        case JSON_FIELD_STRING:
                return store_string(f, value, target, reterr);
        case JSON_FIELD_INTEGER:
                if (!json_is_integer(value))
                        return wrong_type(f, "an integer", reterr);
                *(int64_t *)target = json_integer_value(value);
                return 0;
        case JSON_FIELD_BOOLEAN:
                if (!json_is_boolean(value))
                        return wrong_type(f, "true or false", reterr);
                *(bool *)target = json_is_true(value);
                return 0;
        case JSON_FIELD_NUMBER:
                if (!json_is_number(value))
                        return wrong_type(f, "a number", reterr);
                *(double *)target = json_number_value(value);
                return 0;
        case JSON_FIELD_OBJECT:
                if (!json_is_object(value))
                        return wrong_type(f, "an object", reterr);
                *(json_t **)target = value;
                return 0;
        case JSON_FIELD_ARRAY:
                if (!json_is_array(value))
                        return wrong_type(f, "an array", reterr);
                *(json_t **)target = value;
                return 0;
        default:
                assert(!"a field's type");
                return -EINVAL;
        }
}

int json_dispatch(json_t *object, const JsonField *fields, size_t n_fields, void *target, ReeveError *reterr)
{
        const char *key;
        json_t *value;

        assert(object);
        assert(fields || n_fields == 0);

        if (!json_is_object(object))
                return reeve_error_set(reterr, REEVE_ERROR_INVALID_ARGUMENT, NULL, "an object is expected");

        json_object_foreach(object, key, value) {
                const JsonField *f = find_field(fields, n_fields, key);
                if (!f)
                        return reeve_error_set(reterr, REEVE_ERROR_INVALID_ARGUMENT, key,
                                               "there is no field '%s'", key);
                if (json_is_null(value))
                        continue;
                int r = store(f, value, (char *)target + f->offset, reterr);
                if (r < 0)
                        return r;
        }

        for (size_t i = 0; i < n_fields; i++) {
                if (!(fields[i].flags & JSON_FIELD_MANDATORY))
                        continue;
                value = json_object_get(object, fields[i].name);
                if (!value || json_is_null(value))
                        return reeve_error_set(reterr, REEVE_ERROR_INVALID_ARGUMENT, fields[i].name,
                                               "%s is missing", fields[i].name);
        }
        return 0;
}

/* Steals `value`, which may be NULL. */
static int set_new(json_t *object, const char *key, json_t *value)
{
        assert(json_is_object(object));
        assert(key);

        /* Keys are names of ours: they are UTF-8. */
        return value && json_object_set_new_nocheck(object, key, value) == 0 ? 0 : -ENOMEM;
}

int json_set_string(json_t *object, const char *key, const char *value)
{
        return value ? set_new(object, key, json_string(value)) : 0;
}

int json_set_integer(json_t *object, const char *key, int64_t value)
{
        return set_new(object, key, json_integer(value));
}

int json_set_bool(json_t *object, const char *key, bool value)
{
        return set_new(object, key, json_boolean(value));
}

int json_set_real(json_t *object, const char *key, double value)
{
        /* The names of metrics are others'. */
        json_t *real = json_real(value);
        return real && json_object_set_new(object, key, real) == 0 ? 0 : -ENOMEM;
}

const char *json_get_string(const json_t *object, const char *key)
{
        return json_string_value(json_object_get(object, key));
}

int64_t json_get_integer(const json_t *object, const char *key, int64_t fallback)
{
        const json_t *value = json_object_get(object, key);

        return json_is_integer(value) ? json_integer_value(value) : fallback;
}

/* Position right behind the string whose opening quote is at text[i]. */
static size_t skip_string(const char *text, size_t size, size_t i)
{
        for (i++; i < size && text[i] != '"'; i++)
                if (text[i] == '\\')
                        i++;
        return i + 1;
}

/* Offset of the bracket that opens a level too many, or `size`. */
static size_t find_too_deep(const char *text, size_t size, unsigned depth)
{
        unsigned level = 0;

        for (size_t i = 0; i < size;) {
                char c = text[i];
                if (c == '"') {
                        i = skip_string(text, size, i);
                        continue;
                }
                if ((c == '{' || c == '[') && ++level > depth)
                        return i;
                if ((c == '}' || c == ']') && level > 0)
                        level--;
                i++;
        }
        return size;
}

int json_parse(const char *text, size_t size, unsigned depth, json_t **ret, ReeveError *reterr)
{
        json_error_t e;

        assert(text || size == 0);
        assert(ret);

        size_t at = find_too_deep(text, size, depth);
        if (at < size)
                return reeve_error_set(reterr, REEVE_ERROR_INVALID_ARGUMENT, NULL,
                                       "byte %zu: nested deeper than %u levels", at, depth);

        json_t *j = json_loadb(text ?: "", size, JSON_REJECT_DUPLICATES | JSON_DECODE_ANY, &e);
        if (!j && json_error_code(&e) == json_error_out_of_memory)
                return reeve_error_errno(reterr, ENOMEM, NULL, "parsing JSON");
        if (!j)
                return reeve_error_set(reterr, REEVE_ERROR_INVALID_ARGUMENT, NULL, "line %d, column %d: %s",
                                       e.line, e.column, e.text);
        *ret = j;
        return 0;
}

/* Length of the valid character that starts at `text`, 0 if there is none. NUL counts as invalid:
 * json_parse() would refuse the string. */
static size_t character_length(const char *text, size_t n)
{
        if (text[0] == 0)
                return 0;
        for (size_t length = 1; length <= MIN(n, (size_t)4); length++)
                if (utf8_is_valid(text, length))
                        return length;
        return 0;
}

json_t *json_string_lossy(const char *text, size_t n)
{
        static const char replacement[] = "\xef\xbf\xbd";
        _cleanup_buffer_ Buffer b = { 0 };

        assert(text || n == 0);

        for (size_t i = 0; i < n;) {
                size_t length = character_length(text + i, n - i);
                int r = length > 0 ? buffer_append(&b, text + i, length)
                                   : buffer_append_text(&b, replacement);
                if (r < 0)
                        return NULL;
                i += MAX(length, (size_t)1);
        }
        return json_stringn(b.data ?: "", b.size);
}
