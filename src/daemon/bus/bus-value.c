/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Dictionaries. Requests come as a{sv} and become JSON objects, which are judged where those of varlink are; results are JSON
 * objects with the names of the columns and become a{sv}.
 *
 * Outwards, a string is "s", a whole number "x", another number "d", a truth "b"; what is an object or a list in JSON has the
 * type that the table below gives to its name. Inwards every integer type of D-Bus is taken, so that a caller may write
 * what comes to mind. A variant that holds what JSON cannot say is refused by the name of its key. */

#include <errno.h>
#include <string.h>

#include "basic/fd.h"
#include "basic/strings.h"
#include "common/json/json.h"
#include "daemon/bus/registry-bus-internal.h"

static const struct {
        const char *key, *signature;
} containers[] = {
        { "ladder", "s" },          { "ladder_step", "s" },
        { "argv", "as" },           { "metadata", "s" },
        { "result_metadata", "s" }, { "ml_metrics", "a{sd}" },
        { "usage", "a{sx}" },       { "usage_sources", "a{ss}" },
        { "counts", "a{sx}" },      { "subsystems", "a{sa{sx}}" },
        { "after", "as" },          { "stuck", "s" },
};

void bus_fds_done(BusFds *f)
{
        assert(f);
        for (size_t i = 0; i < f->n; i++)
                fd_close(f->fds[i]);
        f->n = 0;
}

/* ---- reading ---- */

static int refuse(const char *key, const char *signature, ReeveError *e)
{
        return reeve_error_set(e, REEVE_ERROR_INVALID_ARGUMENT, key, "a value of type '%.16s' is not taken",
                               signature);
}

static int read_fds(sd_bus_message *m, const char *key, BusFds *fds, json_t **ret, ReeveError *e)
{
        _cleanup_json_ json_t *indices = json_array();
        int fd;

        int r = sd_bus_message_enter_container(m, 'a', "h");
        while (r >= 0 && (r = sd_bus_message_read(m, "h", &fd)) > 0) {
                if (fds->n == BUS_FDS_MAX)
                        return reeve_error_set(e, REEVE_ERROR_INVALID_ARGUMENT, key,
                                               "at most %d descriptors", BUS_FDS_MAX - 1);
                fd = fcntl(fd, F_DUPFD_CLOEXEC, 3);
                if (fd < 0)
                        return reeve_error_errno(e, errno, key, "cannot take a descriptor");
                fds->fds[fds->n] = fd;
                json_array_append_new(indices, json_integer((json_int_t)fds->n++));
        }
        if (r >= 0)
                r = sd_bus_message_exit_container(m);
        if (r < 0)
                return reeve_error_errno(e, r, key, "cannot be read");
        *ret = TAKE_PTR(indices);
        return 0;
}

#define STRINGS_MAX 1024

static int read_strings(sd_bus_message *m, const char *key, json_t **ret, ReeveError *e)
{
        _cleanup_json_ json_t *array = json_array();
        const char *text;

        int r = array ? sd_bus_message_enter_container(m, 'a', "s") : -ENOMEM;
        while (r >= 0 && (r = sd_bus_message_read(m, "s", &text)) > 0) {
                if (json_array_size(array) == STRINGS_MAX)
                        return reeve_error_set(e, REEVE_ERROR_LIMIT_EXCEEDED, key, "at most %d strings",
                                               STRINGS_MAX);
                if (json_array_append_new(array, json_string(text)) < 0)
                        r = -ENOMEM;
        }
        if (r >= 0)
                r = sd_bus_message_exit_container(m);
        if (r < 0)
                return reeve_error_errno(e, r, key, "cannot be read");
        *ret = TAKE_PTR(array);
        return 0;
}

/* Any basic value but a descriptor; NULL with *ret_type 0 for what does not fit. */
static json_t *read_basic(sd_bus_message *m, char type)
{
        union {
                const char *s;
                uint8_t y;
                int16_t n;
                uint16_t q;
                int32_t i;
                uint32_t u;
                int64_t x;
                uint64_t t;
                double d;
                int b;
        } v;

        if (sd_bus_message_read_basic(m, type, &v) <= 0)
                return NULL;
        switch (type) {
        case 's':
        case 'o':
        case 'g':
                return json_string(v.s);
        case 'y':
                return json_integer(v.y);
        case 'n':
                return json_integer(v.n);
        case 'q':
                return json_integer(v.q);
        case 'i':
                return json_integer(v.i);
        case 'u':
                return json_integer(v.u);
        case 'x':
                return json_integer(v.x);
        case 't':
                return v.t <= INT64_MAX ? json_integer((json_int_t)v.t) : NULL;
        case 'd':
                return json_real(v.d);
        case 'b':
                return json_boolean(v.b);
        default:
                return NULL;
        }
}

/* "a{s?}" with a basic type but a descriptor. */
static bool is_map(const char *signature)
{
        return strlen(signature) == 5 && strncmp(signature, "a{s", 3) == 0 && signature[4] == '}' &&
               strchr("sogynqiuxtdb", signature[3]);
}

static int read_map(sd_bus_message *m, const char *key, const char *signature, json_t **ret, ReeveError *e)
{
        const char type = signature[3], inner[] = { '{', 's', type, '}', '\0' },
                   entry[] = { 's', type, '\0' };
        _cleanup_json_ json_t *object = json_object();
        const char *name;

        if (!object)
                return reeve_error_errno(e, ENOMEM, NULL, "cannot take another request");
        int r = sd_bus_message_enter_container(m, 'a', inner);
        while (r >= 0 && (r = sd_bus_message_enter_container(m, 'e', entry)) > 0) {
                r = sd_bus_message_read(m, "s", &name);
                json_t *value = r > 0 ? read_basic(m, type) : NULL;
                if (!value || json_object_set_new(object, name, value) < 0)
                        return reeve_error_set(e, REEVE_ERROR_INVALID_ARGUMENT, key,
                                               "has a value that is beyond what can be kept");
                r = sd_bus_message_exit_container(m);
        }
        if (r >= 0)
                r = sd_bus_message_exit_container(m);
        if (r < 0)
                return reeve_error_errno(e, r, key, "cannot be read");
        *ret = TAKE_PTR(object);
        return 0;
}

static int read_variant(sd_bus_message *m, const char *key, BusFds *fds, json_t **ret, ReeveError *e)
{
        const char *signature;
        char type;

        int r = sd_bus_message_peek_type(m, &type, &signature);
        if (r > 0)
                r = sd_bus_message_enter_container(m, 'v', signature);
        if (r <= 0)
                return reeve_error_errno(e, r < 0 ? r : -EBADMSG, key, "cannot be read");
        if (streq(signature, "ah") && fds) {
                if ((r = read_fds(m, key, fds, ret, e)) < 0)
                        return r;
        } else if (is_map(signature)) {
                if ((r = read_map(m, key, signature, ret, e)) < 0)
                        return r;
        } else if (streq(signature, "as")) {
                if ((r = read_strings(m, key, ret, e)) < 0)
                        return r;
        } else if (strlen(signature) == 1 && strchr("sogynqiuxtdb", signature[0])) {
                *ret = read_basic(m, signature[0]);
                if (!*ret)
                        return reeve_error_set(e, REEVE_ERROR_INVALID_ARGUMENT, key,
                                               "is beyond what can be kept");
        } else
                return refuse(key, signature, e);
        r = sd_bus_message_exit_container(m);
        return r < 0 ? reeve_error_errno(e, r, key, "cannot be read") : 0;
}

static int read_entry(sd_bus_message *m, BusFds *fds, json_t *object, ReeveError *e)
{
        const char *key;
        json_t *value = NULL;

        int r = sd_bus_message_read(m, "s", &key);
        if (r <= 0)
                return reeve_error_errno(e, r < 0 ? r : -EBADMSG, NULL, "cannot read the options");
        if (json_object_get(object, key))
                return reeve_error_set(e, REEVE_ERROR_INVALID_ARGUMENT, key, "is given twice");
        if ((r = read_variant(m, key, fds, &value, e)) < 0) {
                json_decref(value);
                return r;
        }
        if (json_object_set_new(object, key, value) < 0)
                return reeve_error_errno(e, ENOMEM, NULL, "cannot take another request");
        return 0;
}

int bus_read_dict(sd_bus_message *m, BusFds *fds, json_t **ret, ReeveError *reterr)
{
        assert(m);
        assert(ret);

        _cleanup_json_ json_t *object = json_object();
        if (!object)
                return reeve_error_errno(reterr, ENOMEM, NULL, "cannot take another request");
        int r = sd_bus_message_enter_container(m, 'a', "{sv}");
        while (r >= 0 && (r = sd_bus_message_enter_container(m, 'e', "sv")) > 0) {
                int bad = read_entry(m, fds, object, reterr);
                if (bad < 0)
                        return bad;
                r = sd_bus_message_exit_container(m);
        }
        if (r >= 0)
                r = sd_bus_message_exit_container(m);
        if (r < 0)
                return reeve_error_errno(reterr, r, NULL, "cannot read the options");
        *ret = TAKE_PTR(object);
        return 0;
}

int bus_parse_object(json_t *object, const char *key, ReeveError *reterr)
{
        ReeveError why = REEVE_ERROR_NULL;
        json_t *value;

        assert(object);
        assert(key);

        const char *text = json_get_string(object, key);
        if (!text)
                return 0;
        if (json_parse(text, strlen(text), TASK_METADATA_DEPTH + 1, &value, &why) < 0)
                return reeve_error_set(reterr, REEVE_ERROR_INVALID_ARGUMENT, key, "%s", why.text);
        if (!json_is_object(value)) {
                json_decref(value);
                return reeve_error_set(reterr, REEVE_ERROR_INVALID_ARGUMENT, key,
                                       "must be the text of a JSON object");
        }
        if (json_object_set_new_nocheck(object, key, value) < 0)
                return reeve_error_errno(reterr, ENOMEM, NULL, "cannot take another request");
        return 0;
}

/* ---- writing ---- */

static int append_text(sd_bus_message *m, json_t *value)
{
        if (json_is_string(value))
                return sd_bus_message_append(m, "s", json_string_value(value));
        _cleanup_free_ char *text = json_format(value);
        return text ? sd_bus_message_append(m, "s", text) : -ENOMEM;
}

static int append_strings(sd_bus_message *m, json_t *array)
{
        json_t *value;
        size_t i;

        int r = sd_bus_message_open_container(m, 'a', "s");
        json_array_foreach(array, i, value)
                if (r >= 0)
                        r = append_text(m, value);
        return r < 0 ? r : sd_bus_message_close_container(m);
}

/* `inner` is the type of the values, with the brace that ends the entry. */
static int append_map(sd_bus_message *m, const char *inner, json_t *object)
{
        _cleanup_free_ char *value_type = strndup(inner, strlen(inner) - 1);
        _cleanup_free_ char *entry = value_type ? string_printf("s%s", value_type) : NULL;
        _cleanup_free_ char *entries = value_type ? string_printf("{s%s}", value_type) : NULL;
        const char *key;
        json_t *value;

        if (!entry || !entries)
                return -ENOMEM;
        int r = sd_bus_message_open_container(m, 'a', entries);
        json_object_foreach(object, key, value) {
                if (r >= 0)
                        r = sd_bus_message_open_container(m, 'e', entry);
                if (r >= 0)
                        r = sd_bus_message_append(m, "s", key);
                if (r >= 0)
                        r = bus_append_as(m, value_type, value);
                if (r >= 0)
                        r = sd_bus_message_close_container(m);
        }
        return r < 0 ? r : sd_bus_message_close_container(m);
}

int bus_append_as(sd_bus_message *m, const char *signature, json_t *value)
{
        assert(m);
        assert(signature);

        switch (signature[0]) {
        case 's':
                return append_text(m, value);
        case 'x':
                return sd_bus_message_append(m, "x", (int64_t)json_integer_value(value));
        case 'd':
                return sd_bus_message_append(m, "d", json_number_value(value));
        case 'b':
                return sd_bus_message_append(m, "b", json_is_true(value));
        default:
                if (streq(signature, "as"))
                        return append_strings(m, value);
                assert(strncmp(signature, "a{s", 3) == 0);
                return append_map(m, signature + 3, value);
        }
}

static const char *signature_of(const char *key, const json_t *value)
{
        for (size_t i = 0; i < ELEMENTSOF(containers); i++)
                if (streq(containers[i].key, key))
                        return containers[i].signature;
        return json_is_integer(value) ? "x" : json_is_real(value) ? "d" : json_is_boolean(value) ? "b" : "s";
}

int bus_append_dict(sd_bus_message *m, json_t *object)
{
        const char *key;
        json_t *value;

        assert(m);
        assert(object);

        int r = sd_bus_message_open_container(m, 'a', "{sv}");
        json_object_foreach(object, key, value) {
                const char *signature = signature_of(key, value);
                if (r >= 0)
                        r = sd_bus_message_open_container(m, 'e', "sv");
                if (r >= 0)
                        r = sd_bus_message_append(m, "s", key);
                if (r >= 0)
                        r = sd_bus_message_open_container(m, 'v', signature);
                if (r >= 0)
                        r = bus_append_as(m, signature, value);
                if (r >= 0)
                        r = sd_bus_message_close_container(m);
                if (r >= 0)
                        r = sd_bus_message_close_container(m);
        }
        return r < 0 ? r : sd_bus_message_close_container(m);
}
