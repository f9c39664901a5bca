/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Answers, the same on every bus, as JSON objects: the varlink adapter sends them as they are, the D-Bus adapter as
 * dictionaries. What a task looks like is daemon/model's; who may see which of its fields is decided here, by
 * caller_owns(). */

#include "daemon/service/results.h"

#include <stdio.h>

#include "common/json/json.h"
#include "daemon/model/task-json.h"

json_t *task_row_to_json_for(const Caller *caller, const TaskRow *task)
{
        assert(caller);
        assert(task);
        return task_row_to_json(task, caller_owns(caller, task) ? TASK_VIEW_PRIVATE : TASK_VIEW_PUBLIC);
}

json_t *list_page_to_json(const Caller *caller, const ListPage *page)
{
        assert(caller);
        assert(page);

        _cleanup_json_ json_t *tasks = json_array();
        char cursor[24];

        for (size_t i = 0; tasks && i < page->n; i++)
                if (json_array_append_new(tasks, task_row_to_json_for(caller, page->tasks[i])) < 0)
                        return NULL;
        if (!tasks)
                return NULL;
        snprintf(cursor, sizeof(cursor), "%lld", (long long)page->cursor);
        return json_pack("{sO ss*}", "tasks", tasks, "cursor", page->cursor > 0 ? cursor : NULL);
}

json_t *published_to_json(const TaskRow *task, int64_t event)
{
        assert(task);
        return json_pack("{ss ss sI}", "task_id", task->task_id, "status", task_state_name(task->status),
                         "event", (json_int_t)event);
}

static json_t *counts_to_json(const int64_t by_status[_TASK_STATE_MAX])
{
        json_t *o = json_object();

        for (int s = 0; o && s < _TASK_STATE_MAX; s++)
                json_object_set_new_nocheck(o, task_state_name(s), json_integer(by_status[s]));
        return o;
}

json_t *service_stats_to_json(const ServiceStats *s)
{
        assert(s);

        json_t *subsystems = json_object();
        for (size_t i = 0; subsystems && i < s->counts->n_subsystems; i++)
                json_object_set_new(subsystems, s->counts->subsystems[i].name,
                                    counts_to_json(s->counts->subsystems[i].by_status));
        return json_pack("{ss sI so* so* sI sI sI sI sI}", "version", REEVE_VERSION, "uptime_usec",
                         (json_int_t)s->uptime_usec, "counts", counts_to_json(s->counts->by_status),
                         "subsystems", subsystems, "commits", (json_int_t)s->store.commits, "rows_written",
                         (json_int_t)s->store.rows, "database_bytes", (json_int_t)s->counts->database_bytes,
                         "wal_bytes", (json_int_t)s->counts->wal_bytes, "last_event",
                         (json_int_t)s->last_event);
}
