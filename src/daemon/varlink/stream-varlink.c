/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Output and Monitor: methods that answer many times. A peer that does not read must not make us hold what it does not
 * take: both pause while much is queued for the peer and go on when that has drained. Output reads no more of the file;
 * Monitor reads the events that it missed from the database. */

#include <errno.h>
#include <sodium.h>
#include <string.h>

#include "basic/strings.h"
#include "daemon/varlink/registry-varlink-internal.h"

#define QUEUE_HIGH_BYTES (1024U * 1024)

/* ---- Output ---- */

typedef struct OutputParameters {
        const char *task_id;
        int64_t attempt, offset, limit;
        bool follow;
} OutputParameters;

static const JsonField output_fields[] = {
        { "task_id", JSON_FIELD_STRING, offsetof(OutputParameters, task_id), JSON_FIELD_MANDATORY, 0 },
        { "attempt", JSON_FIELD_INTEGER, offsetof(OutputParameters, attempt), 0, 0 },
        { "offset", JSON_FIELD_INTEGER, offsetof(OutputParameters, offset), 0, 0 },
        { "limit", JSON_FIELD_INTEGER, offsetof(OutputParameters, limit), 0, 0 },
        { "follow", JSON_FIELD_BOOLEAN, offsetof(OutputParameters, follow), 0, 0 },
};

typedef struct OutputPending {
        Pending *pending;
        ServiceOutput *stream;
} OutputPending;

static void output_pending_free(OutputPending *o)
{
        pending_free(o->pending);
        free(o);
}

static json_t *chunk_to_json(const OutputChunk *chunk)
{
        size_t room = sodium_base64_ENCODED_LEN(chunk->size, sodium_base64_VARIANT_ORIGINAL);
        _cleanup_free_ char *text = malloc(room);

        if (!text)
                return NULL;
        sodium_bin2base64(text, room, chunk->data, chunk->size, sodium_base64_VARIANT_ORIGINAL);
        return json_pack("{ss sI sI sI sb}", "data", text, "attempt", (json_int_t)chunk->attempt, "offset",
                         (json_int_t)chunk->offset, "dropped", (json_int_t)chunk->dropped, "end",
                         chunk->end);
}

static void on_output_gone(VarlinkCall *call, void *userdata)
{
        OutputPending *o = ASSERT_PTR(userdata);

        service_output_cancel(o->stream);
        output_pending_free(o);
}

static void on_output_drained(VarlinkCall *call, void *userdata)
{
        OutputPending *o = ASSERT_PTR(userdata);
        service_output_continue(o->stream);
}

static int on_output(const ReeveError *error, const OutputChunk *chunk, void *userdata)
{
        OutputPending *o = ASSERT_PTR(userdata);
        VarlinkCall *call = o->pending->call;

        if (error || chunk->end || !varlink_call_wants_more(call)) {
                varlink_call_set_handlers(call, NULL, NULL, NULL);
                if (error)
                        varlink_call_reeve_error(call, error);
                else
                        adapter_reply(call, chunk_to_json(chunk));
                output_pending_free(o);
                return -ECANCELED;
        }
        varlink_call_set_handlers(call, NULL, NULL, NULL); /* if this cuts the peer off, the end is ours */
        json_t *reply = chunk_to_json(chunk);
        if (!reply || varlink_call_notify(call, reply) < 0) {
                output_pending_free(o);
                return -ECONNRESET;
        }
        varlink_call_set_handlers(call, on_output_gone, on_output_drained, o);
        return varlink_call_queued_bytes(call) < QUEUE_HIGH_BYTES;
}

static int check_output(const VarlinkCall *call, const OutputParameters *p, ReeveError *e)
{
        if (p->attempt < 0 || p->attempt > TASK_ATTEMPT_MAX)
                return reeve_error_set(e, REEVE_ERROR_INVALID_ARGUMENT, "attempt", "must be 1 to %d",
                                       TASK_ATTEMPT_MAX);
        if (p->offset < 0)
                return reeve_error_set(e, REEVE_ERROR_INVALID_ARGUMENT, "offset", "must not be negative");
        if (p->limit < 0)
                return reeve_error_set(e, REEVE_ERROR_INVALID_ARGUMENT, "limit", "must not be negative");
        if (p->follow && !varlink_call_wants_more(call))
                return reeve_error_set(e, REEVE_ERROR_INVALID_ARGUMENT, "follow",
                                       "needs a call with 'more'");
        return 0;
}

ADAPTER_HANDLER(adapter_output)
{
        RegistryVarlink *v = ASSERT_PTR(userdata);
        OutputParameters p = { 0 };
        ReeveError e = REEVE_ERROR_NULL;

        if (adapter_dispatch(call, parameters, output_fields, ELEMENTSOF(output_fields), &p) < 0)
                return 0;
        if (check_output(call, &p, &e) < 0)
                return varlink_call_reeve_error(call, &e);

        OutputPending *o = NEW0(OutputPending, 1);
        if (!o)
                return -ENOMEM;
        o->pending = pending_new(v, call);
        if (!o->pending) {
                free(o);
                return 0;
        }
        OutputRequest q = { .task_id = p.task_id,
                            .attempt = (unsigned)p.attempt,
                            .offset = (uint64_t)p.offset,
                            .limit = p.limit > 0 ? (uint64_t)p.limit : UINT64_MAX,
                            .follow = p.follow,
                            .single = !varlink_call_wants_more(call) };
        ServiceOutput *stream = service_output(v->service, &o->pending->caller, &q, on_output, o);
        if (stream) {
                o->stream = stream;
                varlink_call_set_handlers(call, on_output_gone, on_output_drained, o);
        }
        return 0;
}

/* ---- Monitor ---- */

typedef struct MonitorParameters {
        int64_t since;
        const char *task_id, *subsystem;
        bool usage;
} MonitorParameters;

static const JsonField monitor_fields[] = {
        { "since", JSON_FIELD_INTEGER, offsetof(MonitorParameters, since), 0, 0 },
        { "task_id", JSON_FIELD_STRING, offsetof(MonitorParameters, task_id), 0, 0 },
        { "subsystem", JSON_FIELD_STRING, offsetof(MonitorParameters, subsystem), 0, 0 },
        { "usage", JSON_FIELD_BOOLEAN, offsetof(MonitorParameters, usage), 0, 0 },
};

typedef struct MonitorPending {
        Pending *pending;
        ServiceMonitor *monitor;
} MonitorPending;

static void monitor_pending_free(MonitorPending *m)
{
        pending_free(m->pending);
        free(m);
}

static json_t *event_task(const Caller *caller, const ServiceEvent *event)
{
        json_t *task;

        if (event->task)
                return task_row_to_json_for(caller, event->task);
        if (json_parse(event->detail, strlen(event->detail), 16, &task, NULL) < 0)
                return NULL;
        return task;
}

static json_t *event_to_json(const Caller *caller, const ServiceEvent *event)
{
        json_t *o = json_pack("{ss sI so*}", "topic", event->topic, "timestamp", (json_int_t)event->realtime,
                              "task", event_task(caller, event));
        if (o && event->number > 0)
                json_object_set_new_nocheck(o, "number", json_integer(event->number));
        return o;
}

static void on_monitor_gone(VarlinkCall *call, void *userdata)
{
        MonitorPending *m = ASSERT_PTR(userdata);

        service_monitor_cancel(m->monitor);
        monitor_pending_free(m);
}

static void on_monitor_drained(VarlinkCall *call, void *userdata)
{
        MonitorPending *m = ASSERT_PTR(userdata);
        service_monitor_continue(m->monitor);
}

static int on_event(const ReeveError *error, const ServiceEvent *event, void *userdata)
{
        MonitorPending *m = ASSERT_PTR(userdata);
        VarlinkCall *call = m->pending->call;

        if (error) {
                varlink_call_set_handlers(call, NULL, NULL, NULL);
                varlink_call_reeve_error(call, error);
                monitor_pending_free(m);
                return -ECANCELED;
        }
        /* Live values are of the moment: who is behind misses some. */
        if (event->number == 0 && varlink_call_queued_bytes(call) >= QUEUE_HIGH_BYTES)
                return 0;
        varlink_call_set_handlers(call, NULL, NULL, NULL); /* if this cuts the peer off, the end is ours */
        json_t *reply = event_to_json(&m->pending->caller, event);
        if (!reply || varlink_call_notify(call, reply) < 0) {
                monitor_pending_free(m);
                return -ECONNRESET;
        }
        varlink_call_set_handlers(call, on_monitor_gone, on_monitor_drained, m);
        return varlink_call_queued_bytes(call) >= QUEUE_HIGH_BYTES;
}

ADAPTER_HANDLER(adapter_monitor)
{
        RegistryVarlink *v = ASSERT_PTR(userdata);
        MonitorParameters p = { .since = -1 };
        ReeveError e = REEVE_ERROR_NULL;

        if (adapter_dispatch(call, parameters, monitor_fields, ELEMENTSOF(monitor_fields), &p) < 0)
                return 0;
        if (p.since < -1) {
                reeve_error_set(&e, REEVE_ERROR_INVALID_ARGUMENT, "since", "must not be negative");
                return varlink_call_reeve_error(call, &e);
        }
        MonitorPending *m = NEW0(MonitorPending, 1);
        if (!m)
                return -ENOMEM;
        m->pending = pending_new(v, call);
        if (!m->pending) {
                free(m);
                return 0;
        }
        MonitorRequest q = {
                .since = p.since, .task_id = p.task_id, .subsystem = p.subsystem, .usage = p.usage
        };
        varlink_call_set_handlers(call, on_monitor_gone, on_monitor_drained, m);
        if (service_monitor(v->service, &q, on_event, m, &m->monitor, &e) < 0) {
                varlink_call_set_handlers(call, NULL, NULL, NULL);
                varlink_call_reeve_error(call, &e);
                monitor_pending_free(m);
        }
        return 0;
}
