/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* StartTask, UpdateTask, CompleteTask, FailTask, and Publish. The options are those of varlink's Start, Update, Complete and Fail, except that
 * "metadata" and "result_metadata" are texts of JSON objects, and that nobody is watched: a bus gives no pidfd of its callers, and who
 * wants to be watched may as well speak varlink. A heartbeat does here.
 *
 * Own tasks are free, as in act-bus.c; about those of others polkit is not asked: nobody reports in another's name but an administrator. */

#include <errno.h>
#include <string.h>

#include "common/json/json.h"
#include "daemon/bus/registry-bus-internal.h"
#include "daemon/service/parameters.h"

static void on_started(const ReeveError *error, const TaskRow *task, void *userdata)
{
        BusCall *c = ASSERT_PTR(userdata);
        sd_bus_message *reply = NULL;

        if (error) {
                bus_call_fail(c, error);
                return;
        }
        int r = sd_bus_message_new_method_return(c->message, &reply);
        if (r >= 0)
                r = sd_bus_message_append(reply, "s", task->task_id);
        bus_call_reply(c, reply, r);
}

static void on_reported(const ReeveError *error, const TaskRow *task, void *userdata)
{
        bus_call_done(error, userdata);
}

static void start(BusCall *c)
{
        _cleanup_(start_texts_done) StartTexts texts = { 0 };
        ReeveError e = REEVE_ERROR_NULL;
        StartRequest q;

        if (bus_read_dict(c->message, NULL, &c->parameters, &e) < 0 ||
            bus_parse_object(c->parameters, "metadata", &e) < 0 ||
            start_parameters_parse(c->parameters, NULL, NULL, &q, &texts, &e) < 0) {
                bus_call_fail(c, &e);
                return;
        }
        c->in_service = true;
        service_start(c->bus->service, &c->caller, &q, on_started, c);
}

/* What is an argument may not be an option too. */
static int set_argument(json_t *options, const char *name, json_t *value, ReeveError *e)
{
        if (json_object_get(options, name)) {
                json_decref(value);
                return reeve_error_set(e, REEVE_ERROR_INVALID_ARGUMENT, name, "is an argument, no option");
        }
        if (json_object_set_new(options, name, value) < 0)
                return reeve_error_errno(e, ENOMEM, NULL, "cannot take another report");
        return 0;
}

static int read_report(BusCall *c, ReportKind kind, ReeveError *e)
{
        const char *task_id, *message;
        int success = 0, r;

        r = sd_bus_message_read(c->message, "s", &task_id);
        if (r > 0 && kind == REPORT_COMPLETE)
                r = sd_bus_message_read(c->message, "b", &success);
        if (r > 0 && kind == REPORT_FAIL)
                r = sd_bus_message_read(c->message, "s", &message);
        if (r <= 0)
                return reeve_error_errno(e, r < 0 ? r : -EBADMSG, NULL, "cannot read the arguments");
        if (kind == REPORT_FAIL)
                c->parameters = json_object();
        else if ((r = bus_read_dict(c->message, NULL, &c->parameters, e)) < 0)
                return r;
        if ((r = set_argument(c->parameters, "task_id", json_string(task_id), e)) < 0 ||
            (kind == REPORT_COMPLETE &&
             (r = set_argument(c->parameters, "success", json_boolean(success), e)) < 0) ||
            (kind == REPORT_FAIL &&
             (r = set_argument(c->parameters, "message", json_string(message), e)) < 0) ||
            (r = bus_parse_object(c->parameters, "metadata", e)) < 0)
                return r;
        return bus_parse_object(c->parameters, "result_metadata", e);
}

static void report(BusCall *c, ReportKind kind)
{
        ReeveError e = REEVE_ERROR_NULL;
        ReportRequest q;

        if (read_report(c, kind, &e) < 0 || report_parameters_parse(c->parameters, kind, &q, &e) < 0) {
                bus_call_fail(c, &e);
                return;
        }
        c->in_service = true;
        service_report(c->bus->service, &c->caller, &q, on_reported, c);
}

static void update(BusCall *c)
{
        report(c, REPORT_UPDATE);
}

static void complete(BusCall *c)
{
        report(c, REPORT_COMPLETE);
}

static void fail(BusCall *c)
{
        report(c, REPORT_FAIL);
}

static void on_published(const ReeveError *error, const TaskRow *task, int64_t event, void *userdata)
{
        BusCall *c = ASSERT_PTR(userdata);
        sd_bus_message *reply = NULL;

        if (error) {
                bus_call_fail(c, error);
                return;
        }
        int r = sd_bus_message_new_method_return(c->message, &reply);
        if (r >= 0)
                r = sd_bus_message_append(reply, "ssx", task->task_id, task_state_name(task->status), event);
        bus_call_reply(c, reply, r);
}

static void publish(BusCall *c)
{
        const char *topic, *payload;
        ReeveError e = REEVE_ERROR_NULL;

        int r = sd_bus_message_read(c->message, "ss", &topic, &payload);
        if (r <= 0)
                reeve_error_errno(&e, r < 0 ? r : -EBADMSG, NULL, "cannot read the arguments");
        else if (!(c->parameters = json_object()) ||
                 json_object_set_new(c->parameters, "payload", json_string(payload)) < 0)
                reeve_error_errno(&e, ENOMEM, NULL, "cannot take another event");
        else if (bus_parse_object(c->parameters, "payload", &e) >= 0) {
                c->in_service = true;
                service_take_event(c->bus->service, &c->caller, topic,
                                   json_object_get(c->parameters, "payload"), on_published, c);
                return;
        }
        bus_call_fail(c, &e);
}

static int identify(RegistryBus *b, sd_bus_message *m, bus_step_t next)
{
        BusCall *c = bus_call_new(b, m);
        if (c)
                bus_call_identify(c, next);
        return 1;
}

BUS_METHOD(bus_start_task)
{
        return identify(ASSERT_PTR(userdata), m, start);
}

BUS_METHOD(bus_update_task)
{
        return identify(ASSERT_PTR(userdata), m, update);
}

BUS_METHOD(bus_complete_task)
{
        return identify(ASSERT_PTR(userdata), m, complete);
}

BUS_METHOD(bus_fail_task)
{
        return identify(ASSERT_PTR(userdata), m, fail);
}

BUS_METHOD(bus_publish)
{
        return identify(ASSERT_PTR(userdata), m, publish);
}
