/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* What all calls of the launcher have in common: how one is begun and sent, and what its errors mean.
 *
 * What is allocated for a call is owned by its bus slot (destroy callback), so that nothing leaks whichever way it ends: with
 * an answer, with the connection (sd-bus itself then ends every call that is out with an error), or with the client.
 *
 * Errors come as rows of common/error-table.h, with "field: sentence" or "errno path" as their text. Any other error is of
 * sd-bus or the kernel: Unavailable if the connection broke or nobody answered, which leaves open what was done. */

#include "daemon/launch/launcher-call.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "basic/parse.h"
#include "common/error-table.h"

/* "field: sentence" and "errno path", as the protocol writes them. */
static void split_text(ReeveError *e, const char *text)
{
        const char *separator = strstr(text, e->code == REEVE_ERROR_EXEC_FAILED ? " " : ": ");

        snprintf(e->text, sizeof(e->text), "%s", text);
        if (!separator)
                return;

        _cleanup_free_ char *left = strndup(text, (size_t)(separator - text));
        if (!left)
                return;
        if (e->code == REEVE_ERROR_EXEC_FAILED) {
                if (parse_int_range(left, 1, 4095, &e->number) < 0)
                        return;
                snprintf(e->field, sizeof(e->field), "%s", separator + 1);
                snprintf(e->text, sizeof(e->text), "%s: %s", separator + 1,
                         strerrordesc_np(e->number) ?: "?");
        } else if (!strchr(left, ' ')) {
                snprintf(e->field, sizeof(e->field), "%s", left);
                snprintf(e->text, sizeof(e->text), "%s", separator + 2);
        }
}

const ReeveError *launcher_call_error(sd_bus_message *m, ReeveError *e)
{
        const sd_bus_error *b = sd_bus_message_get_error(m);
        if (!b)
                return NULL;

        *e = (ReeveError){ .code = error_table_from_dbus(b->name) };
        if (e->code == REEVE_ERROR_NONE) {
                bool away = sd_bus_error_has_name(b, SD_BUS_ERROR_NO_REPLY) ||
                            sd_bus_error_has_name(b, SD_BUS_ERROR_TIMEOUT) ||
                            sd_bus_error_has_name(b, SD_BUS_ERROR_DISCONNECTED) ||
                            sd_bus_error_get_errno(b) == ECONNRESET;
                e->code = away ? REEVE_ERROR_UNAVAILABLE : REEVE_ERROR_INTERNAL;
                snprintf(e->text, sizeof(e->text), "launcher: %s", b->message ?: b->name);
        } else
                split_text(e, b->message ?: "");
        return e;
}

const ReeveError *launcher_call_bad_reply(int error, ReeveError *e)
{
        reeve_error_errno(e, error, NULL, "launcher: reply not understood");
        e->code = REEVE_ERROR_INTERNAL;
        return e;
}

int launcher_call_begin(LauncherClient *c, const char *method, sd_bus_message **ret, ReeveError *reterr)
{
        assert(c);
        assert(method);
        assert(ret);

        if (!launcher_client_is_connected(c))
                return reeve_error_set(reterr, REEVE_ERROR_UNAVAILABLE, NULL,
                                       "the launcher cannot be reached");
        int r = sd_bus_message_new_method_call(launcher_client_bus(c), ret, NULL, LAUNCHER_OBJECT,
                                               LAUNCHER_INTERFACE, method);
        return r < 0 ? reeve_error_errno(reterr, r, NULL, "cannot call the launcher") : 0;
}

static void call_destroy(void *userdata)
{
        free(userdata);
}

int launcher_call_send(LauncherClient *c, sd_bus_message *m, int built, const LauncherCall *call,
                       ReeveError *reterr)
{
        sd_bus_slot *slot = NULL;
        int r = built;

        assert(call && call->handler);

        LauncherCall *copy = r < 0 ? NULL : NEW(LauncherCall, 1);
        if (r >= 0 && !copy)
                r = -ENOMEM;
        if (r >= 0) {
                *copy = *call;
                r = sd_bus_call_async(launcher_client_bus(c), &slot, m, call->handler, copy, 0);
        }
        if (r < 0) {
                free(copy);
                if (r == -ENOTCONN || r == -ECONNRESET) /* and the client is about to hear of it */
                        return reeve_error_set(reterr, REEVE_ERROR_UNAVAILABLE, NULL,
                                               "the launcher cannot be reached");
                return reeve_error_errno(reterr, r, NULL, "cannot call the launcher");
        }
        sd_bus_slot_set_destroy_callback(slot, call_destroy);
        sd_bus_slot_set_floating(slot, true);
        sd_bus_slot_unref(slot);
        return 0;
}

int launcher_call_post(LauncherClient *c, sd_bus_message *m, int built)
{
        int r = built;

        if (r >= 0)
                r = sd_bus_message_set_expect_reply(m, false);
        return r < 0 ? r : sd_bus_send(launcher_client_bus(c), m, NULL);
}
