/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* GetTask, ListTasks, GetStats. Everybody may ask and gets what is public; who owns a task, or has the right, sees the rest.
 * The right is looked up before a list is made, and for a single task only when it turns out to be another's. */

#include <errno.h>
#include <stdio.h>

#include "daemon/bus/registry-bus-internal.h"
#include "daemon/service/parameters.h"
#include "daemon/service/results.h"

/* Sends an object as the reply's a{sv}; takes the reference. */
static void reply_dict(BusCall *c, json_t *object)
{
        sd_bus_message *reply = NULL;

        int r = object ? sd_bus_message_new_method_return(c->message, &reply) : -ENOMEM;
        if (r >= 0)
                r = bus_append_dict(reply, object);
        json_decref(object);
        bus_call_reply(c, reply, r);
}

/* ---- GetTask ---- */

static void get(BusCall *c, service_task_t callback)
{
        c->in_service = true;
        service_get(c->bus->service, c->task_id, callback, c);
}

static void on_task(const ReeveError *error, const TaskRow *task, void *userdata)
{
        BusCall *c = ASSERT_PTR(userdata);

        if (error)
                bus_call_fail(c, error);
        else
                reply_dict(c, task_row_to_json_for(&c->caller, task));
}

static void on_task_verdict(BusCall *c, BusVerdict verdict)
{
        c->caller.admin |= verdict == BUS_VERDICT_GRANTED;
        get(c, on_task);
}

static void on_task_owner(const ReeveError *error, const TaskRow *task, void *userdata)
{
        BusCall *c = ASSERT_PTR(userdata);

        c->in_service = false;
        if (error || caller_owns(&c->caller, task))
                on_task(error, task, c);
        else
                bus_call_authorize(c, BUS_RIGHT_READ_PRIVATE, on_task_verdict);
}

static void look_up(BusCall *c)
{
        get(c, on_task_owner);
}

BUS_METHOD(bus_get_task)
{
        const char *task_id;

        int r = sd_bus_message_read(m, "s", &task_id);
        if (r < 0)
                return r;
        BusCall *c = bus_call_new(ASSERT_PTR(userdata), m);
        if (c) {
                c->task_id = task_id;
                bus_call_identify(c, look_up);
        }
        return 1;
}

/* ---- ListTasks ---- */

static int append_page(sd_bus_message *reply, json_t *page)
{
        const char *cursor = json_string_value(json_object_get(page, "cursor"));
        json_t *task;
        size_t i;

        int r = sd_bus_message_open_container(reply, 'a', "a{sv}");
        json_array_foreach(json_object_get(page, "tasks"), i, task)
                if (r >= 0)
                        r = bus_append_dict(reply, task);
        if (r >= 0)
                r = sd_bus_message_close_container(reply);
        return r < 0 ? r : sd_bus_message_append(reply, "s", cursor ?: "");
}

static void on_page(const ReeveError *error, const ListPage *page, void *userdata)
{
        BusCall *c = ASSERT_PTR(userdata);
        sd_bus_message *reply = NULL;

        if (error) {
                bus_call_fail(c, error);
                return;
        }
        json_t *o = list_page_to_json(&c->caller, page);
        int r = o ? sd_bus_message_new_method_return(c->message, &reply) : -ENOMEM;
        if (r >= 0)
                r = append_page(reply, o);
        json_decref(o);
        bus_call_reply(c, reply, r);
}

static void list(BusCall *c, BusVerdict verdict)
{
        c->caller.admin |= verdict == BUS_VERDICT_GRANTED;
        c->in_service = true;
        service_list(c->bus->service, &c->filter, on_page, c);
}

static void may_list(BusCall *c)
{
        if (c->caller.admin || c->filter.owner_uid == c->caller.uid)
                list(c, BUS_VERDICT_DENIED); /* nothing more is needed */
        else
                bus_call_authorize(c, BUS_RIGHT_READ_PRIVATE, list);
}

BUS_METHOD(bus_list_tasks)
{
        ReeveError e = REEVE_ERROR_NULL;

        BusCall *c = bus_call_new(ASSERT_PTR(userdata), m);
        if (!c)
                return 1;
        if (bus_read_dict(m, NULL, &c->parameters, &e) < 0 ||
            list_parameters_parse(c->parameters, &c->filter, &e) < 0)
                bus_call_fail(c, &e);
        else
                bus_call_identify(c, may_list);
        return 1;
}

/* ---- GetStats ---- */

static void on_stats(const ReeveError *error, const ServiceStats *stats, void *userdata)
{
        BusCall *c = ASSERT_PTR(userdata);

        if (error)
                bus_call_fail(c, error);
        else
                reply_dict(c, service_stats_to_json(stats));
}

BUS_METHOD(bus_get_stats)
{
        BusCall *c = bus_call_new(ASSERT_PTR(userdata), m);
        if (!c)
                return 1;
        c->in_service = true;
        service_stats(c->bus->service, on_stats, c);
        return 1;
}
