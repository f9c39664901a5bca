/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The connection to the bus, and the table of methods. The interface is src/api/io.reeve.Registry1.xml; a test compares
 * it with what this table makes of introspection, both ways.
 *
 * reeved does not need the bus. One that is away at the start, goes away, or does not give us our name is tried again, at
 * first soon and then with pauses that double. Everything that belongs to a connection ends with it: senders, the questions
 * that were out, the monitor that makes signals. What the service holds is answered into the void. */

#include "daemon/bus/registry-bus.h"

#include <errno.h>
#include <string.h>

#include "basic/log.h"
#include "basic/strings.h"
#include "daemon/bus/registry-bus-internal.h"

#define RECONNECT_MIN_USEC (100 * USEC_PER_MSEC)
#define RECONNECT_MAX_USEC (5 * USEC_PER_SEC)

#define FREE SD_BUS_VTABLE_UNPRIVILEGED /* anybody may call: the service decides */
#define TASK SD_BUS_ARGS("s", task_id, "a{sv}", task)
#define END  SD_BUS_ARGS("s", task_id, "s", outcome, "a{sv}", task)

static const sd_bus_vtable vtable[] = {
        SD_BUS_VTABLE_START(0),
        SD_BUS_METHOD_WITH_ARGS("RunTask", SD_BUS_ARGS("h", spec, "a{sv}", options),
                                SD_BUS_RESULT("s", task_id, "o", object), bus_run_task, FREE),
        SD_BUS_METHOD_WITH_ARGS("AttachTask", SD_BUS_ARGS("h", spec, "a{sv}", options),
                                SD_BUS_RESULT("s", task_id, "o", object), bus_attach_task, FREE),
        SD_BUS_METHOD_WITH_ARGS("StartTask", SD_BUS_ARGS("a{sv}", options), SD_BUS_RESULT("s", task_id),
                                bus_start_task, FREE),
        SD_BUS_METHOD_WITH_ARGS("UpdateTask", SD_BUS_ARGS("s", task_id, "a{sv}", options), SD_BUS_NO_RESULT,
                                bus_update_task, FREE),
        SD_BUS_METHOD_WITH_ARGS("CompleteTask", SD_BUS_ARGS("s", task_id, "b", success, "a{sv}", options),
                                SD_BUS_NO_RESULT, bus_complete_task, FREE),
        SD_BUS_METHOD_WITH_ARGS("FailTask", SD_BUS_ARGS("s", task_id, "s", message), SD_BUS_NO_RESULT,
                                bus_fail_task, FREE),
        SD_BUS_METHOD_WITH_ARGS("Publish", SD_BUS_ARGS("s", topic, "s", payload),
                                SD_BUS_RESULT("s", task_id, "s", status, "x", event), bus_publish, FREE),
        SD_BUS_METHOD_WITH_ARGS("CancelTask", SD_BUS_ARGS("s", task_id, "s", reason), SD_BUS_NO_RESULT,
                                bus_cancel_task, FREE),
        SD_BUS_METHOD_WITH_ARGS("SignalTask", SD_BUS_ARGS("s", task_id, "i", signal), SD_BUS_NO_RESULT,
                                bus_signal_task, FREE),
        SD_BUS_METHOD_WITH_ARGS("FreezeTask", SD_BUS_ARGS("s", task_id), SD_BUS_NO_RESULT, bus_freeze_task,
                                FREE),
        SD_BUS_METHOD_WITH_ARGS("ThawTask", SD_BUS_ARGS("s", task_id), SD_BUS_NO_RESULT, bus_thaw_task,
                                FREE),
        SD_BUS_METHOD_WITH_ARGS("ExtendTask", SD_BUS_ARGS("s", task_id, "t", by_usec), SD_BUS_NO_RESULT,
                                bus_extend_task, FREE),
        SD_BUS_METHOD_WITH_ARGS("GetTask", SD_BUS_ARGS("s", task_id), SD_BUS_RESULT("a{sv}", task),
                                bus_get_task, FREE),
        SD_BUS_METHOD_WITH_ARGS("ListTasks", SD_BUS_ARGS("a{sv}", filter),
                                SD_BUS_RESULT("aa{sv}", tasks, "s", cursor), bus_list_tasks, FREE),
        SD_BUS_METHOD_WITH_ARGS("GetStats", SD_BUS_NO_ARGS, SD_BUS_RESULT("a{sv}", stats), bus_get_stats,
                                FREE),
        SD_BUS_METHOD_WITH_ARGS("ReloadPolicy", SD_BUS_NO_ARGS, SD_BUS_NO_RESULT, bus_reload_policy, FREE),
        SD_BUS_SIGNAL_WITH_ARGS("TaskCreated", TASK, 0),
        SD_BUS_SIGNAL_WITH_ARGS("TaskStarted", TASK, 0),
        SD_BUS_SIGNAL_WITH_ARGS("TaskUpdated", TASK, 0),
        SD_BUS_SIGNAL_WITH_ARGS("TaskCompleted", TASK, 0),
        SD_BUS_SIGNAL_WITH_ARGS("TaskFailed", END, 0),
        SD_BUS_SIGNAL_WITH_ARGS("TaskCancelled", TASK, 0),
        SD_BUS_SIGNAL_WITH_ARGS("TaskLost", END, 0),
        SD_BUS_SIGNAL_WITH_ARGS("SlaWarning", TASK, 0),
        SD_BUS_SIGNAL_WITH_ARGS("SlaViolated", TASK, 0),
        SD_BUS_SIGNAL_WITH_ARGS("SlaStep", TASK, 0),
        SD_BUS_SIGNAL_WITH_ARGS("TaskStuck", TASK, 0),
        SD_BUS_VTABLE_END,
};

static void disconnect(RegistryBus *b)
{
        bus_signals_stop(b);
        bus_senders_stop(b);
        if (b->bus) {
                sd_bus_detach_event(b->bus);
                b->bus = sd_bus_close_unref(b->bus);
        }
}

/* Once for each time that we are away. */
static void complain(RegistryBus *b, int error, const char *what)
{
        if (!b->complained)
                log_warning_errno(error, "bus: %s, trying again", what);
        b->complained = true;
}

static int on_bus_lost(sd_bus_message *m, void *userdata, sd_bus_error *e)
{
        RegistryBus *b = ASSERT_PTR(userdata);

        complain(b, ECONNRESET, "connection lost");
        disconnect(b);
        reconnect_later(&b->reconnect);
        return 0;
}

static int on_named(sd_bus_message *m, void *userdata, sd_bus_error *e)
{
        RegistryBus *b = ASSERT_PTR(userdata);
        uint32_t answer = 0;

        int r = -sd_bus_message_get_errno(m);
        if (r >= 0)
                r = sd_bus_message_read(m, "u", &answer);
        if (r >= 0 && answer != 1)
                r = -EEXIST;
        if (r < 0) {
                complain(b, r, "cannot have the name");
                disconnect(b);
                reconnect_later(&b->reconnect);
                return 0;
        }
        log_info("bus: serving as %s", b->name);
        b->complained = false;
        reconnect_succeeded(&b->reconnect);
        return 0;
}

static int open_bus(const RegistryBus *b, sd_bus **ret)
{
        _cleanup_(sd_bus_close_unrefp) sd_bus *bus = NULL;
        int r;

        if (streq(b->address, "system"))
                return sd_bus_open_system_with_description(ret, "reeved");
        if (streq(b->address, "session"))
                return sd_bus_open_user_with_description(ret, "reeved");
        if ((r = sd_bus_new(&bus)) < 0 || (r = sd_bus_set_address(bus, b->address)) < 0 ||
            (r = sd_bus_set_bus_client(bus, true)) < 0 || (r = sd_bus_negotiate_fds(bus, true)) < 0 ||
            (r = sd_bus_start(bus)) < 0)
                return r;
        *ret = TAKE_PTR(bus);
        return 0;
}

/* Objects stand before the name is ours: whoever calls us by it finds them. */
static int connect_bus(RegistryBus *b)
{
        int r;

        if ((r = open_bus(b, &b->bus)) < 0 ||
            (r = sd_bus_attach_event(b->bus, b->event, SD_EVENT_PRIORITY_NORMAL)) < 0 ||
            (r = sd_bus_match_signal_async(b->bus, NULL, "org.freedesktop.DBus.Local",
                                           "/org/freedesktop/DBus/Local", "org.freedesktop.DBus.Local",
                                           "Disconnected", on_bus_lost, NULL, b)) < 0 ||
            (r = sd_bus_add_object_vtable(b->bus, NULL, REGISTRY_OBJECT, REGISTRY_INTERFACE, vtable, b)) <
                            0 ||
            (r = bus_tasks_add(b, b->bus)) < 0 || (r = bus_senders_start(b)) < 0 ||
            (r = bus_signals_start(b)) < 0)
                return r;
        /* Without the flags that would let another take it from us, or us wait for it. */
        return sd_bus_call_method_async(b->bus, NULL, "org.freedesktop.DBus", "/org/freedesktop/DBus",
                                        "org.freedesktop.DBus", "RequestName", on_named, b, "su", b->name,
                                        UINT32_C(4) /* do not queue */);
}

static void connect_now(void *userdata)
{
        RegistryBus *b = ASSERT_PTR(userdata);

        if (b->bus)
                return;
        int r = connect_bus(b);
        if (r < 0) {
                complain(b, r, "cannot connect");
                disconnect(b);
                reconnect_later(&b->reconnect);
        }
}

int registry_bus_new(const RegistryBusConfig *config, RegistryBus **ret, ReeveError *reterr)
{
        assert(config && config->event && config->service && config->clock);
        assert(config->address && config->name);
        assert(ret);

        _cleanup_(registry_bus_freep) RegistryBus *b = NEW0(RegistryBus, 1);
        if (!b)
                return reeve_error_errno(reterr, ENOMEM, NULL, "cannot serve D-Bus");
        list_init(&b->orphans);
        b->event = sd_event_ref(config->event);
        b->service = config->service;
        b->clock = config->clock;
        b->admin_gid = config->admin_gid;
        b->address = strdup(config->address);
        b->name = strdup(config->name);
        b->senders = hash_new();
        b->changed = hash_new();
        if (!b->address || !b->name || !b->senders || !b->changed)
                return reeve_error_errno(reterr, ENOMEM, NULL, "cannot serve D-Bus");
        int r = reconnect_init(&b->reconnect, b->event, RECONNECT_MIN_USEC, RECONNECT_MAX_USEC, connect_now,
                               b);
        if (r < 0)
                return reeve_error_errno(reterr, r, NULL, "cannot serve D-Bus");
        *ret = TAKE_PTR(b);
        return 0;
}

void registry_bus_stop(RegistryBus *b)
{
        if (!b)
                return;
        disconnect(b);
        reconnect_done(&b->reconnect);
        b->flush = sd_event_source_disable_unref(b->flush);
        b->resume = sd_event_source_disable_unref(b->resume);
}

RegistryBus *registry_bus_free(RegistryBus *b)
{
        if (!b)
                return NULL;
        if (b->senders && b->changed)
                registry_bus_stop(b);
        LIST_FOREACH_SAFE(&b->orphans, link)
                bus_call_free(container_of(link, BusCall, link));
        hash_free(b->senders);
        hash_free(b->changed);
        reconnect_done(&b->reconnect);
        sd_event_unref(b->event);
        free(b->address);
        free(b->name);
        free(b);
        return NULL;
}
