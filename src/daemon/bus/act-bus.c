/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* CancelTask, SignalTask, FreezeTask, ThawTask, ExtendTask, and ReloadPolicy at the end. One's own tasks are free, as is everything to an administrator. For anybody
 * else the task is looked up first: only if it is another's is polkit asked, and a granted right makes the caller an
 * administrator for this one call. If polkit says no, the service is asked nevertheless: its refusal has the words. */

#include "common/error-table.h"
#include "daemon/bus/registry-bus-internal.h"

static void act_cancel(BusCall *c)
{
        service_cancel(c->bus->service, &c->caller, c->task_id, c->reason, bus_call_done, c);
}

static void act_signal(BusCall *c)
{
        SignalRequest q = { .task_id = c->task_id, .number = c->signal };

        service_signal(c->bus->service, &c->caller, &q, bus_call_done, c);
}

static void act_freeze(BusCall *c)
{
        service_freeze(c->bus->service, &c->caller, c->task_id, true, bus_call_done, c);
}

static void act_thaw(BusCall *c)
{
        service_freeze(c->bus->service, &c->caller, c->task_id, false, bus_call_done, c);
}

static void act_extend(BusCall *c)
{
        service_extend(c->bus->service, &c->caller, c->task_id, c->by_usec, bus_call_done, c);
}

static void act(BusCall *c)
{
        c->in_service = true;
        c->act(c);
}

static void on_verdict(BusCall *c, BusVerdict verdict)
{
        if (verdict == BUS_VERDICT_INTERACTION_NEEDED &&
            sd_bus_message_get_allow_interactive_authorization(c->message) <= 0) {
                sd_bus_reply_method_errorf(
                                c->message, SD_BUS_ERROR_INTERACTIVE_AUTHORIZATION_REQUIRED,
                                c->right == BUS_RIGHT_RELOAD_POLICY
                                                ? "reloading the policy is the administrator's: polkit has "
                                                  "to ask"
                                                : "the task belongs to somebody else: polkit has to ask");
                bus_call_free(c);
                return;
        }
        c->caller.admin |= verdict == BUS_VERDICT_GRANTED;
        act(c);
}

static void on_owner(const ReeveError *error, const TaskRow *task, void *userdata)
{
        BusCall *c = ASSERT_PTR(userdata);

        c->in_service = false;
        if (error)
                bus_call_fail(c, error);
        else if (caller_owns(&c->caller, task))
                act(c);
        else
                bus_call_authorize(c, BUS_RIGHT_MANAGE_OTHERS, on_verdict);
}

static void look_up(BusCall *c)
{
        if (c->caller.admin) {
                act(c);
                return;
        }
        c->in_service = true;
        service_get(c->bus->service, c->task_id, on_owner, c);
}

static BusCall *begin(sd_bus_message *m, RegistryBus *b, const char *task_id, bus_step_t how)
{
        BusCall *c = bus_call_new(b, m);
        if (!c)
                return NULL;
        c->task_id = task_id;
        c->act = how;
        return c;
}

BUS_METHOD(bus_cancel_task)
{
        const char *task_id, *reason;

        int r = sd_bus_message_read(m, "ss", &task_id, &reason);
        if (r < 0)
                return r;
        BusCall *c = begin(m, ASSERT_PTR(userdata), task_id, act_cancel);
        if (c) {
                c->reason = reason[0] ? reason : NULL;
                bus_call_identify(c, look_up);
        }
        return 1;
}

BUS_METHOD(bus_signal_task)
{
        const char *task_id;
        int signal;

        int r = sd_bus_message_read(m, "si", &task_id, &signal);
        if (r < 0)
                return r;
        BusCall *c = begin(m, ASSERT_PTR(userdata), task_id, act_signal);
        if (c) {
                c->signal = signal;
                bus_call_identify(c, look_up);
        }
        return 1;
}

static int freeze(sd_bus_message *m, RegistryBus *b, bus_step_t how)
{
        const char *task_id;

        int r = sd_bus_message_read(m, "s", &task_id);
        if (r < 0)
                return r;
        BusCall *c = begin(m, b, task_id, how);
        if (c)
                bus_call_identify(c, look_up);
        return 1;
}

BUS_METHOD(bus_freeze_task)
{
        return freeze(m, ASSERT_PTR(userdata), act_freeze);
}

BUS_METHOD(bus_thaw_task)
{
        return freeze(m, ASSERT_PTR(userdata), act_thaw);
}

static void act_reload(BusCall *c)
{
        service_reload_policy(c->bus->service, &c->caller, bus_call_done, c);
}

static void may_reload(BusCall *c)
{
        if (c->caller.admin)
                act(c);
        else
                bus_call_authorize(c, BUS_RIGHT_RELOAD_POLICY, on_verdict);
}

BUS_METHOD(bus_reload_policy)
{
        BusCall *c = begin(m, ASSERT_PTR(userdata), NULL, act_reload);
        if (c)
                bus_call_identify(c, may_reload);
        return 1;
}

BUS_METHOD(bus_extend_task)
{
        const char *task_id;
        uint64_t by_usec;

        int r = sd_bus_message_read(m, "st", &task_id, &by_usec);
        if (r < 0)
                return r;
        BusCall *c = begin(m, ASSERT_PTR(userdata), task_id, act_extend);
        if (c) {
                c->by_usec = by_usec;
                bus_call_identify(c, look_up);
        }
        return 1;
}
