/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The command line believes the registry, but not blindly: whatever comes is shown or left out, never crashed on, so
 * that an older `reeve` works with a newer reeved.
 *
 * A field of the wrong type is as good as none. A counter with a source that is not known here is one that was
 * reported, as far as this version can tell. The exit status follows from what the process did, then from the state,
 * then from the outcome, and is never 0 for a task that did not complete. */

#include "cli/task-view.h"

#include <signal.h>
#include <stdio.h>
#include <string.h>

#include "basic/parse.h"
#include "basic/strings.h"
#include "common/error-table.h"
#include "common/json/json.h"
#include "common/task-state.h"

void usage_from_json(Usage *u, const json_t *usage, const json_t *sources)
{
        const char *name;
        json_t *value;

        assert(u);

        *u = (Usage){ 0 };
        json_object_foreach((json_t *)usage, name, value) {
                UsageField f = usage_field_from_name(name);
                if (f < 0 || !json_is_integer(value) || json_integer_value(value) < 0)
                        continue;
                const char *source_name = sources ? json_get_string(sources, name) : NULL;
                UsageSource source = source_name ? usage_source_from_name(source_name) : USAGE_KERNEL;
                usage_set(u, f, (uint64_t)json_integer_value(value),
                          source <= USAGE_UNKNOWN ? USAGE_REPORTED : source);
        }
}

static usec_t get_time(const json_t *task, const char *name)
{
        int64_t t = json_get_integer(task, name, 0);
        return t > 0 ? (usec_t)t : 0;
}

TaskView task_view(const json_t *task)
{
        TaskView t = {
                .json = task,
                .id = json_get_string(task, "task_id") ?: "",
                .subsystem = json_get_string(task, "subsystem") ?: "",
                .type = json_get_string(task, "task_type") ?: "",
                .title = json_get_string(task, "title") ?: "",
                .status = json_get_string(task, "status") ?: "",
                .outcome = json_get_string(task, "outcome") ?: "",
                .message = json_get_string(task, "message") ?: "",
                .pending_reason = json_get_string(task, "pending_reason") ?: "",
                .queue_ahead = json_get_integer(task, "queue_ahead", -1),
                .expected_start_at = get_time(task, "expected_start_at"),
                .owner_uid = json_get_integer(task, "owner_uid", -1),
                .run_uid = json_get_integer(task, "run_uid", -1),
                .attempt = json_get_integer(task, "attempt", -1),
                .attempts = json_get_integer(task, "attempts", -1),
                .priority = json_get_integer(task, "priority", -1),
                .pid = json_get_integer(task, "pid", -1),
                .exit_status = json_get_integer(task, "exit_status", -1),
                .exit_signal = json_get_integer(task, "exit_signal", -1),
                .frozen = json_is_true(json_object_get(task, "frozen")),
                .created_at = get_time(task, "created_at"),
                .started_at = get_time(task, "started_at"),
                .completed_at = get_time(task, "completed_at"),
                .sla_deadline = get_time(task, "sla_deadline"),
                .duration_seconds = -1,
        };
        const json_t *margin = json_object_get(task, "sla_margin_seconds");
        const json_t *duration = json_object_get(task, "duration_seconds");

        if (json_is_number(duration))
                t.duration_seconds = json_number_value(duration);
        t.has_margin = json_is_number(margin);
        t.margin_seconds = json_number_value(margin);
        usage_from_json(&t.usage, json_object_get(task, "usage"), json_object_get(task, "usage_sources"));
        return t;
}

bool task_view_has_ended(const TaskView *t)
{
        assert(t);

        TaskState s = task_state_from_name(t->status);
        return s >= 0 && task_state_is_final(s);
}

usec_t task_view_elapsed(const TaskView *t, usec_t now)
{
        assert(t);

        if (t->duration_seconds >= 0 && t->duration_seconds < 1e12)
                return (usec_t)(t->duration_seconds * (double)USEC_PER_SEC);
        if (t->started_at == 0)
                return 0;
        return usec_sub(t->completed_at ?: now, t->started_at);
}

int task_view_exit_status(const TaskView *t)
{
        assert(t);

        if (t->exit_signal > 0 && t->exit_signal < 128)
                return 128 + (int)t->exit_signal;
        if (t->exit_status > 0 && t->exit_status <= 255)
                return (int)t->exit_status;
        if (streq(t->status, "completed"))
                return 0;
        if (streq(t->outcome, "exec"))
                return error_table_get(REEVE_ERROR_EXEC_FAILED)->exit_status;
        if (streq(t->status, "cancelled"))
                return error_table_get(REEVE_ERROR_UNAVAILABLE)->exit_status;
        if (streq(t->outcome, "sla") || streq(t->outcome, "verification"))
                return error_table_get(REEVE_ERROR_POLICY_VIOLATION)->exit_status;
        return error_table_get(REEVE_ERROR_INTERNAL)->exit_status;
}

char *task_view_margin_text(const TaskView *t, char buffer[static MARGIN_TEXT_SIZE])
{
        bool missed = t->margin_seconds < 0;
        double seconds = missed ? -t->margin_seconds : t->margin_seconds;

        assert(t);

        if (!t->has_margin || seconds > 1e12)
                return strcpy(buffer, "-");
        buffer[0] = '-';
        usec_format_span((usec_t)(seconds * (double)USEC_PER_SEC), buffer + missed, MARGIN_TEXT_SIZE - 1);
        return buffer;
}

char *task_view_status_text(const TaskView *t, char buffer[static TASK_STATUS_TEXT_SIZE])
{
        char signal_buffer[SIGNAL_NAME_MAX], why[64] = "";

        assert(t);

        if (streq(t->status, "pending")) { /* an exit is that of the attempt before */
                snprintf(buffer, TASK_STATUS_TEXT_SIZE, "pending%s%.200s%s", *t->pending_reason ? " (" : "",
                         t->pending_reason, *t->pending_reason ? ")" : "");
                return buffer;
        }
        if (t->exit_signal > 0 && t->exit_signal < 128)
                snprintf(why, sizeof(why), "signal %s", signal_name((int)t->exit_signal, signal_buffer));
        else if (t->exit_status > 0)
                snprintf(why, sizeof(why), "exit status %d", (int)t->exit_status);

        /* The outcome adds something unless it only repeats how the process ended. */
        bool repeats = *why && (streq(t->outcome, "exit-code") || streq(t->outcome, "signal"));
        const char *outcome = repeats ? "" : t->outcome;
        const char *open = *why || *outcome ? " (" : "", *const close = *why || *outcome ? ")" : "";

        snprintf(buffer, TASK_STATUS_TEXT_SIZE, "%.20s%s%s%.32s%s%s%s", t->status,
                 t->frozen ? ", frozen" : "", open, outcome, *why && *outcome ? ", " : "", why, close);
        return buffer;
}

char *usage_text(const Usage *u, UsageField f, char buffer[static USAGE_TEXT_SIZE])
{
        assert(u);

        if (!usage_has(u, f))
                return strcpy(buffer, "-");
        switch (usage_field_info(f)->kind) {
        case USAGE_KIND_USEC:
                return usec_format_span((usec_t)u->value[f], buffer, USAGE_TEXT_SIZE);
        case USAGE_KIND_BYTES:
                return bytes_format((unsigned long long)u->value[f], buffer, USAGE_TEXT_SIZE);
        case USAGE_KIND_COUNT:
        default:
                snprintf(buffer, USAGE_TEXT_SIZE, "%" PRId64, u->value[f]);
                return buffer;
        }
}
