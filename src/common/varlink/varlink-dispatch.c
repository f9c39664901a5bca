/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* From a message to a handler.
 *
 * Two classes of failure. Who sends something that is no varlink call (not JSON, not an object, no method,
 * unknown keys, keys of the wrong type, `more` together with `oneway`) is disconnected, as there is no
 * telling what it would make of a reply. A call that is one, but is not possible, gets one of the errors of
 * org.varlink.service, and so does one whose parameters do not have the types of the interface's definition:
 * handlers can rely on these.
 *
 * A null is the same as an absent key. */

#include "common/varlink/varlink-internal.h"

#include <errno.h>
#include <string.h>

#include "basic/strings.h"
#include "common/json/json.h"

static const JsonField call_fields[] = {
        { "method", JSON_FIELD_STRING, offsetof(VarlinkCallMessage, method), JSON_FIELD_MANDATORY, 0 },
        { "parameters", JSON_FIELD_OBJECT, offsetof(VarlinkCallMessage, parameters), 0, 0 },
        { "more", JSON_FIELD_BOOLEAN, offsetof(VarlinkCallMessage, more), 0, 0 },
        { "oneway", JSON_FIELD_BOOLEAN, offsetof(VarlinkCallMessage, oneway), 0, 0 },
};

static int parse_call(const char *text, size_t size, json_t **ret, VarlinkCallMessage *ret_call)
{
        _cleanup_json_ json_t *message = NULL;

        int r = json_parse(text, size, VARLINK_DEPTH_MAX, &message, NULL);
        if (r < 0)
                return r;
        r = json_dispatch(message, call_fields, ELEMENTSOF(call_fields), ret_call, NULL);
        if (r < 0)
                return r;
        if (ret_call->more && ret_call->oneway)
                return -EBADMSG;
        *ret = TAKE_PTR(message);
        return 0;
}

/* An error of org.varlink.service with its one parameter. A NULL from json_pack() shows as missing
 * parameters. */
static void refuse(VarlinkCall *call, const char *error, const char *key, const char *value)
{
        varlink_call_error(call, error,
                           value ? json_pack("{so}", key, json_string_lossy(value, strlen(value))) : NULL);
}

static void invoke(VarlinkCall *call, const VarlinkServedInterface *i, const VarlinkServedMethod *m)
{
        ReeveError e;

        if (!m->method->handler) {
                refuse(call, VARLINK_ERROR_METHOD_NOT_IMPLEMENTED, "method", call->method);
                return;
        }
        if (m->method->flags & VARLINK_METHOD_MORE && !call->more) {
                refuse(call, VARLINK_ERROR_EXPECTED_MORE, NULL, NULL);
                return;
        }
        int r = varlink_type_check(m->member->input, call->parameters, &e);
        if (r < 0) {
                refuse(call, VARLINK_ERROR_INVALID_PARAMETER, "parameter", e.field);
                return;
        }

        if (m->method->flags & VARLINK_METHOD_ALONE) {
                call->alone = true;
                call->connection->n_alone++;
        }
        r = m->method->handler(call, call->parameters, i->interface->userdata);
        if (r >= 0 || call->answered)
                return;
        reeve_error_set(&e, REEVE_ERROR_INTERNAL, NULL, "%s: %s", call->method,
                        strerrordesc_np(-r) ?: "unknown error");
        e.number = -r;
        varlink_call_reeve_error(call, &e);
}

static void route(VarlinkServer *s, VarlinkCall *call)
{
        const char *dot = strrchr(call->method, '.');
        size_t n = dot ? (size_t)(dot - call->method) : strlen(call->method);
        _cleanup_free_ char *name = strndup(call->method, n);
        if (!name)
                return; /* answered Internal as the call is let go */

        const VarlinkServedInterface *i = varlink_server_find_interface(s, name);
        if (!i) {
                refuse(call, VARLINK_ERROR_INTERFACE_NOT_FOUND, "interface", name);
                return;
        }
        const VarlinkServedMethod *m = dot ? hash_get(i->by_name, dot + 1) : NULL;
        if (!m) {
                refuse(call, VARLINK_ERROR_METHOD_NOT_FOUND, "method", call->method);
                return;
        }
        invoke(call, i, m);
}

int varlink_dispatch(VarlinkConnection *c, const char *text, size_t size, const int *fds, size_t n_fds)
{
        _cleanup_json_ json_t *message = NULL;
        VarlinkCallMessage m = { 0 };

        assert(c);
        assert(c->server);

        int r = parse_call(text, size, &message, &m);
        if (r < 0)
                return r;

        _cleanup_(varlink_call_unrefp) VarlinkCall *call = NULL;
        r = varlink_call_new(c, &m, fds, n_fds, &call);
        if (r < 0)
                return r;
        route(c->server, call);
        return 0;
}
