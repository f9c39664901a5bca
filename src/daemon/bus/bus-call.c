/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* A call between its message and its reply. It belongs to its sender, so that whoever leaves the bus takes along what waits
 * for the bus or for polkit; but what the service holds cannot be taken from it: such a call becomes an orphan, and its
 * reply goes nowhere.
 *
 * A method that wants no reply is not counted by the bus, so we count for ourselves. */

#include <errno.h>

#include "basic/fd.h"
#include "basic/log.h"
#include "common/error-table.h"
#include "daemon/bus/registry-bus-internal.h"

#define CALLS_PER_SENDER 256

int bus_reply_error(sd_bus_message *m, const ReeveError *e)
{
        const char *name = error_table_get(e->code)->dbus;

        assert(m);
        assert(e);

        log_debug("bus: %s: %s: %s%s%s", sd_bus_message_get_member(m), name, e->field,
                  e->field[0] ? ": " : "", e->text);
        if (e->code == REEVE_ERROR_EXEC_FAILED || !e->field[0])
                return sd_bus_reply_method_errorf(m, name, "%s", e->text);
        return sd_bus_reply_method_errorf(m, name, "%s: %s", e->field, e->text);
}

BusCall *bus_call_new(RegistryBus *b, sd_bus_message *m)
{
        ReeveError e = REEVE_ERROR_NULL;

        assert(b);
        assert(m);

        BusSender *sender = bus_sender_get(b, m);
        BusCall *c = sender && sender->n_calls < CALLS_PER_SENDER ? NEW0(BusCall, 1) : NULL;
        if (!c) {
                if (sender && sender->n_calls >= CALLS_PER_SENDER)
                        reeve_error_set(&e, REEVE_ERROR_LIMIT_EXCEEDED, NULL,
                                        "%d calls of this connection wait for their answers",
                                        CALLS_PER_SENDER);
                else
                        reeve_error_errno(&e, ENOMEM, NULL, "cannot take another call");
                bus_reply_error(m, &e);
                return NULL;
        }
        c->bus = b;
        c->sender = sender;
        c->message = sd_bus_message_ref(m);
        list_append(&sender->calls, &c->link);
        sender->n_calls++;
        return c;
}

BusCall *bus_call_free(BusCall *c)
{
        if (!c)
                return NULL;
        bus_call_withdraw(c);
        list_remove(&c->link);
        if (c->sender)
                c->sender->n_calls--;
        json_decref(c->parameters);
        sd_bus_message_unref(c->message);
        free(c);
        return NULL;
}

void bus_call_fail(BusCall *c, const ReeveError *error)
{
        assert(c);
        assert(error);

        bus_reply_error(c->message, error);
        bus_call_free(c);
}

void bus_call_reply(BusCall *c, sd_bus_message *reply, int r)
{
        ReeveError e = REEVE_ERROR_NULL;

        assert(c);

        if (r >= 0 && reply)
                r = sd_bus_send(NULL, reply, NULL);
        if (r < 0 && r != -ENOTCONN && r != -ECONNRESET) { /* the bus is gone: nobody waits */
                reeve_error_errno(&e, r, NULL, "cannot answer");
                bus_reply_error(c->message, &e);
        }
        sd_bus_message_unref(reply);
        bus_call_free(c);
}

void bus_call_done(const ReeveError *error, void *userdata)
{
        BusCall *c = ASSERT_PTR(userdata);
        sd_bus_message *reply = NULL;

        if (error)
                bus_call_fail(c, error);
        else {
                int r = sd_bus_message_new_method_return(c->message, &reply);
                bus_call_reply(c, reply, r);
        }
}
