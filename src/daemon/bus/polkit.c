/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The administrator's word on who may do more than his own: polkit. It is asked only where the service would say no, so
 * that root, the group and owners need no polkit and never wait for it.
 *
 * A question may take as long as a person takes to type a password. It is taken back when the sender goes. Verdicts are kept
 * for each sender for a short time: for a grant, so that a script does not ask at each line; for a refusal only
 * where no person was asked. polkit is told no details of the task, so that what it says holds for all.
 *
 * Reading never asks a person: everybody gets the public fields, and a prompt at each look would be a nuisance. Acting asks
 * if the caller allows it in his message.
 *
 * No polkit on the bus is a refusal. */

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>

#include "basic/log.h"
#include "daemon/bus/registry-bus-internal.h"

#define POLKIT_NAME       "org.freedesktop.PolicyKit1"
#define POLKIT_OBJECT     "/org/freedesktop/PolicyKit1/Authority"
#define POLKIT_INTERFACE  "org.freedesktop.PolicyKit1.Authority"
#define ALLOW_INTERACTION 1U

#define ANSWER_USEC  (2 * USEC_PER_MINUTE) /* a person types */
#define LOOK_USEC    (10 * USEC_PER_SEC)   /* a rule is evaluated, after polkit was started perhaps */
#define VERDICT_USEC (30 * USEC_PER_SEC)

static const char *const actions[_BUS_RIGHT_MAX] = {
        [BUS_RIGHT_MANAGE_OTHERS] = "io.reeve.registry1.manage-others",
        [BUS_RIGHT_READ_PRIVATE] = "io.reeve.registry1.read-private",
        [BUS_RIGHT_RELOAD_POLICY] = "io.reeve.registry1.reload-policy",
};

static void cancellation_id(const BusCall *c, char text[static 32])
{
        snprintf(text, 32, "reeve-%" PRIu64, c->question_number);
}

static bool may_interact(const BusCall *c)
{
        return c->right != BUS_RIGHT_READ_PRIVATE &&
               sd_bus_message_get_allow_interactive_authorization(c->message) > 0;
}

static BusVerdict read_verdict(sd_bus_message *m)
{
        int granted, challenge;

        const sd_bus_error *e = sd_bus_message_get_error(m);
        if (e) {
                log_debug("bus: polkit: %s: %s", e->name, e->message ?: "");
                return BUS_VERDICT_DENIED;
        }
        int r = sd_bus_message_enter_container(m, 'r', "bba{ss}");
        if (r > 0)
                r = sd_bus_message_read(m, "bb", &granted, &challenge);
        if (r <= 0) {
                log_debug_errno(r, "bus: polkit: reply not understood");
                return BUS_VERDICT_DENIED;
        }
        if (granted)
                return BUS_VERDICT_GRANTED;
        return challenge ? BUS_VERDICT_INTERACTION_NEEDED : BUS_VERDICT_DENIED;
}

static void keep(BusCall *c, BusVerdict verdict)
{
        if (verdict != BUS_VERDICT_GRANTED && may_interact(c))
                return;
        c->sender->verdicts[c->right].verdict = verdict;
        c->sender->verdicts[c->right].until = clock_boottime(c->bus->clock) + VERDICT_USEC;
}

static int on_verdict(sd_bus_message *m, void *userdata, sd_bus_error *reterr)
{
        BusCall *c = ASSERT_PTR(userdata);

        c->question = sd_bus_slot_unref(c->question);
        BusVerdict verdict = read_verdict(m);
        keep(c, verdict);
        c->on_verdict(c, verdict);
        return 0;
}

static int ask(BusCall *c)
{
        _cleanup_(sd_bus_message_unrefp) sd_bus_message *m = NULL;
        bool interactive = may_interact(c);
        char id[32];

        c->question_number = ++c->bus->n_questions;
        cancellation_id(c, id);
        int r = sd_bus_message_new_method_call(c->bus->bus, &m, POLKIT_NAME, POLKIT_OBJECT, POLKIT_INTERFACE,
                                               "CheckAuthorization");
        if (r >= 0)
                r = sd_bus_message_append(m, "(sa{sv})sa{ss}us", "system-bus-name", 1, "name", "s",
                                          c->sender->name, actions[c->right], 0,
                                          interactive ? ALLOW_INTERACTION : 0, id);
        if (r >= 0)
                r = sd_bus_call_async(c->bus->bus, &c->question, m, on_verdict, c,
                                      interactive ? ANSWER_USEC : LOOK_USEC);
        return r;
}

void bus_call_authorize(BusCall *c, BusRight right, bus_verdict_t step)
{
        assert(c);
        assert(step);

        c->right = right;
        c->on_verdict = step;
        if (!c->sender) { /* the reply goes nowhere, but the call must end */
                step(c, BUS_VERDICT_DENIED);
                return;
        }
        if (clock_boottime(c->bus->clock) < c->sender->verdicts[right].until &&
            (c->sender->verdicts[right].verdict == BUS_VERDICT_GRANTED || !may_interact(c))) {
                step(c, c->sender->verdicts[right].verdict);
                return;
        }
        int r = ask(c);
        if (r < 0) {
                log_debug_errno(r, "bus: cannot ask polkit");
                step(c, BUS_VERDICT_DENIED);
        }
}

/* Without the cancellation a prompt would stay on somebody's screen. */
void bus_call_withdraw(BusCall *c)
{
        char id[32];

        assert(c);

        if (!c->question)
                return;
        c->question = sd_bus_slot_unref(c->question);
        cancellation_id(c, id);
        int r = sd_bus_call_method_async(c->bus->bus, NULL, POLKIT_NAME, POLKIT_OBJECT, POLKIT_INTERFACE,
                                         "CancelCheckAuthorization", NULL, NULL, "s", id);
        if (r < 0)
                log_debug_errno(r, "bus: cannot take a question back");
}
