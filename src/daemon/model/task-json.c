/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* One function per type of the interface definition. A field that is unknown, or not for the viewer's eyes, is left out
 * rather than null: that is how varlink writes optional fields. Numbers are as the kernel gave them; only the duration is a
 * float in seconds, under the name that its users know.
 *
 * The first failing allocation is remembered and the object is dropped at the end, so that the body can read as a list of
 * fields. */

#include "daemon/model/task-json.h"

#include <errno.h>
#include <string.h>

#include "basic/strings.h"
#include "common/json/json.h"

int usage_to_json(const Usage *u, json_t *object)
{
        _cleanup_json_ json_t *values = json_object(), *sources = json_object();
        int r = 0;

        assert(u);
        assert(object);

        if (!values || !sources)
                return -ENOMEM;
        for (int f = 0; f < _USAGE_FIELD_MAX; f++) {
                if (!usage_has(u, f))
                        continue;
                const char *name = usage_field_info(f)->name;
                r |= json_object_set_new_nocheck(values, name, json_integer(u->value[f]));
                r |= json_object_set_new_nocheck(sources, name,
                                                 json_string_nocheck(usage_source_name(u->source[f])));
        }
        r |= json_object_set_nocheck(object, "usage", values);
        r |= json_object_set_nocheck(object, "usage_sources", sources);
        return r < 0 ? -ENOMEM : 0;
}

static int set_time(json_t *o, const char *key, usec_t t)
{
        return t > 0 ? json_set_integer(o, key, (int64_t)t) : 0;
}

/* JSON text that the database keeps for us; what does not parse any more is left out. */
static int set_text(json_t *o, const char *key, const char *text)
{
        json_t *value;

        if (!text || json_parse(text, strlen(text), TASK_METADATA_DEPTH, &value, NULL) < 0)
                return 0;
        return json_object_set_new_nocheck(o, key, value) < 0 ? -ENOMEM : 0;
}

static int set_boot_id(json_t *o, const uint8_t id[16])
{
        char text[33];

        return json_set_string(o, "boot_id", hex_format(id, 16, text));
}

static int set_identity(json_t *o, const TaskRow *t)
{
        int r = 0;

        r |= json_set_string(o, "task_id", t->task_id);
        r |= json_set_string(o, "subsystem", t->subsystem);
        r |= json_set_string(o, "task_type", t->task_type);
        r |= json_set_string(o, "title", t->title ?: "");
        r |= json_set_string(o, "created_by", t->created_by);
        r |= json_set_string(o, "kind", t->kind == TASK_KIND_LAUNCHED ? "launched" : "reported");
        r |= json_set_integer(o, "owner_uid", t->owner_uid);
        r |= json_set_integer(o, "run_uid", t->run_uid);
        if (t->run_gid != (gid_t)-1)
                r |= json_set_integer(o, "run_gid", t->run_gid);
        r |= json_set_integer(o, "priority", t->priority);
        r |= json_set_string(o, "policy_hash", t->policy_hash);
        return r;
}

static int set_progress(json_t *o, const TaskRow *t)
{
        int r = 0;

        r |= json_set_string(o, "status", task_state_name(t->status));
        if (t->outcome != TASK_OUTCOME_NONE)
                r |= json_set_string(o, "outcome", task_outcome_name(t->outcome));
        r |= json_set_integer(o, "attempt", t->attempt);
        r |= json_set_integer(o, "attempts", t->attempts);
        if (t->has_backend)
                r |= json_set_string(o, "backend", record_backend_name(t->backend));
        r |= json_set_string(o, "cgroup", t->cgroup);
        if (t->pid > 0)
                r |= json_set_integer(o, "pid", t->pid);
        if (t->has_exit && t->exit_signal == 0)
                r |= json_set_integer(o, "exit_status", t->exit_status);
        if (t->has_exit && t->exit_signal != 0)
                r |= json_set_integer(o, "exit_signal", t->exit_signal);
        if (t->frozen)
                r |= json_set_bool(o, "frozen", true);
        return r;
}

static int set_verification(json_t *o, const TaskRow *t)
{
        if (t->verification == VERIFICATION_NONE)
                return 0;
        return json_set_string(o, "verification_status", verification_status_name(t->verification)) |
               json_set_integer(o, "verification_passes", t->verification_passes) |
               json_set_integer(o, "verification_failures", t->verification_failures);
}

static int set_times(json_t *o, const TaskRow *t)
{
        int r = 0;

        r |= set_boot_id(o, t->boot_id);
        r |= set_time(o, "created_at", t->created_realtime);
        r |= set_time(o, "started_at", t->started_realtime);
        r |= set_time(o, "completed_at", t->completed_realtime);
        if (t->completed_realtime > 0 && t->started_realtime > 0)
                r |= json_set_real(o, "duration_seconds", (double)t->duration_usec / USEC_PER_SEC);
        return r;
}

static int set_sla(json_t *o, const TaskRow *t)
{
        int r = set_time(o, "sla_deadline", t->sla_deadline_realtime);

        if (t->has_sla_met)
                r |= json_set_bool(o, "sla_met", t->sla_met);
        if (t->has_sla_margin)
                r |= json_set_real(o, "sla_margin_seconds", (double)t->sla_margin_usec / USEC_PER_SEC);
        return r | set_text(o, "ladder", t->ladder);
}

/* Ids have no commas. */
static json_t *split(const char *text)
{
        _cleanup_json_ json_t *array = json_array();

        for (size_t n; array && *text; text += n + (text[n] == ',')) {
                n = strcspn(text, ",");
                if (json_array_append_new(array, json_stringn_nocheck(text, n)) < 0)
                        return NULL;
        }
        return TAKE_PTR(array);
}

static int set_queue(json_t *o, const TaskRow *t)
{
        int r = 0;

        if (t->after)
                r |= json_object_set_new_nocheck(o, "after", split(t->after));
        if (t->status != TASK_PENDING)
                return r;
        if (t->held)
                r |= json_set_bool(o, "held", true);
        r |= set_time(o, "not_before", t->not_before_realtime);
        r |= json_set_string(o, "pending_reason", t->pending_reason);
        if (t->has_queue_ahead)
                r |= json_set_integer(o, "queue_ahead", (int64_t)t->queue_ahead);
        return r | set_time(o, "expected_start_at", t->expected_start_realtime);
}

static int set_report(json_t *o, const TaskRow *t)
{
        int r = json_set_string(o, "progress_message", t->progress_message);

        if (t->has_progress)
                r |= json_set_real(o, "progress", t->progress);
        if (t->heartbeat_usec > 0)
                r |= json_set_integer(o, "heartbeat_usec", (int64_t)t->heartbeat_usec);
        return r | set_text(o, "ml_metrics", t->ml_metrics);
}

/* What is for the next daemon is for nobody else, and what it was at is for who may see its output. */
static int set_stuck(json_t *o, const TaskRow *t, TaskView view)
{
        int r = set_text(o, "stuck", t->stuck);
        json_t *stuck = json_object_get(o, "stuck");

        json_object_del(stuck, "state");
        json_object_del(stuck, "ladder_bit");
        json_object_del(stuck, "ladder_episode");
        if (view != TASK_VIEW_PRIVATE) {
                json_object_del(json_object_get(stuck, "evidence"), "processes");
                json_object_del(json_object_get(stuck, "evidence"), "output");
        }
        return r;
}

json_t *task_row_to_json(const TaskRow *t, TaskView view)
{
        assert(t);

        _cleanup_json_ json_t *o = json_object();
        if (!o)
                return NULL;

        int r = set_identity(o, t) | set_progress(o, t) | set_verification(o, t) | set_times(o, t) |
                set_sla(o, t) | set_report(o, t) | set_queue(o, t) | set_stuck(o, t, view) |
                usage_to_json(&t->usage, o);
        if (view == TASK_VIEW_PRIVATE) {
                r |= json_set_string(o, "output", task_output_name(t->output));
                r |= json_set_string(o, "description", t->description);
                r |= json_set_string(o, "message", t->message); /* it may quote the command */
                r |= json_set_string(o, "unique", t->unique_key);
                r |= set_text(o, "argv", t->argv);
                r |= json_set_string(o, "cwd", t->cwd);
                r |= set_text(o, "metadata", t->metadata);
                r |= set_text(o, "result_metadata", t->result_metadata);
        }
        return r < 0 ? NULL : TAKE_PTR(o);
}

/* The members of an object that the database keeps as text. */
static int set_members(json_t *o, const char *text)
{
        _cleanup_json_ json_t *members = NULL;

        if (!text || json_parse(text, strlen(text), TASK_METADATA_DEPTH, &members, NULL) < 0 ||
            !json_is_object(members))
                return 0;
        return json_object_update_missing(o, members) < 0 ? -ENOMEM : 0;
}

json_t *verification_row_to_json(const VerificationRow *v)
{
        assert(v);

        _cleanup_json_ json_t *o = json_object();
        if (!o)
                return NULL;

        int r = json_set_integer(o, "attempt", v->attempt) | json_set_integer(o, "rule", v->rule) |
                json_set_string(o, "name", v->name) | json_set_string(o, "kind", v->kind) |
                json_set_bool(o, "passed", v->passed) | set_text(o, "evidence", v->evidence) |
                json_set_integer(o, "ended_at", (int64_t)v->ended_realtime) |
                json_set_real(o, "duration_seconds", (double)v->duration_usec / USEC_PER_SEC) |
                set_members(o, v->usage);
        return r < 0 ? NULL : TAKE_PTR(o);
}

json_t *snapshot_row_to_json(const SnapshotRow *s)
{
        assert(s);

        _cleanup_json_ json_t *o = json_object();
        if (!o)
                return NULL;

        int r = json_set_integer(o, "attempt", s->attempt) |
                json_set_integer(o, "taken_at", (int64_t)s->taken_realtime) |
                json_set_integer(o, "elapsed_usec", (int64_t)s->elapsed_usec) | usage_to_json(&s->usage, o);
        return r < 0 ? NULL : TAKE_PTR(o);
}
