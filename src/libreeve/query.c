/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Questions and orders: each is one method of the registry with its parameters, and what its answer has in it.
 *
 * Nothing is checked here but that texts can be written as JSON: who may do what, and what a status or a limit may be,
 * is the registry's to say. Nothing is said again after the connection broke, either: a question is cheap to ask
 * again, and of a signal only the caller knows whether twice is once too often. */

#include "reeve/query.h"

#include <errno.h>
#include <string.h>

#include "common/json/json.h"
#include "libreeve/parameters.h"

/* A method about one task, which also has the parameters `p` (taken). */
static int call_about(ReeveConnection *c, const char *method, const char *task_id, json_t *p, json_t **ret,
                      ReeveError *reterr)
{
        _cleanup_json_ json_t *parameters = p;

        assert(c);
        assert(task_id);

        int r = parameters_string(parameters, "task_id", task_id, reterr);
        return r < 0 ? r : reeve_call(c, method, parameters, ret, reterr);
}

int reeve_get(ReeveConnection *c, const char *task_id, json_t **ret_task, ReeveError *reterr)
{
        _cleanup_json_ json_t *reply = NULL;

        assert(ret_task);

        int r = call_about(c, "Get", task_id, json_object(), &reply, reterr);
        return r < 0 ? r : parameters_take(reply, "task", ret_task, reterr);
}

static int fill_filter(json_t *p, const ReeveFilter *f, ReeveError *reterr)
{
        int r = parameters_string(p, "status", f->status, reterr);
        if (r >= 0)
                r = parameters_string(p, "subsystem", f->subsystem, reterr);
        if (r >= 0)
                r = parameters_string(p, "task_type", f->task_type, reterr);
        if (r >= 0)
                r = parameters_string(p, "created_by", f->created_by, reterr);
        if (r >= 0)
                r = parameters_string(p, "cursor", f->cursor, reterr);
        if (r >= 0 && f->owner)
                r = parameters_integer(p, "owner_uid", *f->owner, reterr);
        if (r >= 0 && f->since_usec != 0)
                r = parameters_integer(p, "since", f->since_usec, reterr);
        if (r >= 0 && f->until_usec != 0)
                r = parameters_integer(p, "until", f->until_usec, reterr);
        if (r >= 0 && f->limit != 0)
                r = parameters_integer(p, "limit", f->limit, reterr);
        return r;
}

int reeve_list(ReeveConnection *c, const ReeveFilter *filter, json_t **ret_tasks, char **ret_cursor,
               ReeveError *reterr)
{
        _cleanup_json_ json_t *p = json_object(), *reply = NULL;
        _cleanup_free_ char *copy = NULL;

        assert(c);
        assert(ret_tasks);

        int r = filter ? fill_filter(p, filter, reterr) : 0;
        if (r >= 0)
                r = reeve_call(c, "List", p, &reply, reterr);
        if (r < 0)
                return r;

        const char *cursor = json_get_string(reply, "cursor");
        if (cursor && ret_cursor) {
                copy = strdup(cursor);
                if (!copy)
                        return reeve_error_errno(reterr, ENOMEM, NULL, "cannot keep the cursor");
        }
        r = parameters_take(reply, "tasks", ret_tasks, reterr);
        if (r >= 0 && ret_cursor)
                *ret_cursor = TAKE_PTR(copy);
        return r;
}

int reeve_monitor(ReeveConnection *c, const ReeveMonitor *monitor, ReeveError *reterr)
{
        static const ReeveMonitor everything;
        const ReeveMonitor *m = monitor ?: &everything;
        _cleanup_json_ json_t *p = json_object();

        assert(c);

        int r = parameters_string(p, "task_id", m->task_id, reterr);
        if (r >= 0)
                r = parameters_string(p, "subsystem", m->subsystem, reterr);
        if (r >= 0 && m->since)
                r = parameters_integer(p, "since", *m->since, reterr);
        if (r >= 0 && m->usage)
                r = parameters_boolean(p, "usage", true, reterr);
        return r < 0 ? r : reeve_send(c, "Monitor", p, true, reterr);
}

int reeve_next_event(ReeveConnection *c, uint64_t timeout_usec, ReeveEvent *ret, ReeveError *reterr)
{
        _cleanup_json_ json_t *reply = NULL;

        assert(ret);

        int r = reeve_next(c, timeout_usec, &reply, NULL, reterr);
        if (r <= 0)
                return r;
        const char *topic = json_get_string(reply, "topic");
        json_t *task = json_object_get(reply, "task");
        if (!topic || !task)
                return reeve_error_set(reterr, REEVE_ERROR_INTERNAL, NULL, "the registry sent no event");
        *ret = (ReeveEvent){
                .number = (uint64_t)json_get_integer(reply, "number", 0),
                .timestamp_usec = (uint64_t)json_get_integer(reply, "timestamp", 0),
                .topic = topic,
                .task = task,
                .reply = TAKE_PTR(reply),
        };
        return 1;
}

void reeve_event_done(ReeveEvent *event)
{
        assert(event);

        json_decref(event->reply);
        *event = (ReeveEvent){ 0 };
}

int reeve_cancel(ReeveConnection *c, const char *task_id, const char *reason, ReeveError *reterr)
{
        json_t *p = json_object();

        int r = parameters_string(p, "reason", reason, reterr);
        if (r < 0) {
                json_decref(p);
                return r;
        }
        return call_about(c, "Cancel", task_id, p, NULL, reterr);
}

int reeve_signal(ReeveConnection *c, const char *task_id, int number, bool whole, ReeveError *reterr)
{
        return call_about(c, "Signal", task_id, json_pack("{s:i, s:b}", "signal", number, "whole", whole),
                          NULL, reterr);
}

int reeve_freeze(ReeveConnection *c, const char *task_id, ReeveError *reterr)
{
        return call_about(c, "Freeze", task_id, json_object(), NULL, reterr);
}

int reeve_thaw(ReeveConnection *c, const char *task_id, ReeveError *reterr)
{
        return call_about(c, "Thaw", task_id, json_object(), NULL, reterr);
}

int reeve_hold(ReeveConnection *c, const char *task_id, ReeveError *reterr)
{
        return call_about(c, "Hold", task_id, json_object(), NULL, reterr);
}

int reeve_release(ReeveConnection *c, const char *task_id, ReeveError *reterr)
{
        return call_about(c, "Release", task_id, json_object(), NULL, reterr);
}

int reeve_extend(ReeveConnection *c, const char *task_id, uint64_t by_usec, ReeveError *reterr)
{
        _cleanup_json_ json_t *p = json_object();

        int r = parameters_integer(p, "by_usec", by_usec, reterr);
        return r < 0 ? r : call_about(c, "Extend", task_id, TAKE_PTR(p), NULL, reterr);
}
