/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* A hook is a task as any other in the registry, so everything about it must be in its row: a daemon that comes back knows
 * nothing else. What makes it special, the event that it is told and whose it is, is its metadata.
 *
 * The row belongs to root, whose program it is: the event may tell what only the parent's owner may know. */

#include "daemon/hooks/hook.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "basic/strings.h"
#include "common/json/json.h"

#define BACKOFF_MIN_USEC USEC_PER_SEC
#define BACKOFF_MAX_USEC USEC_PER_MINUTE
#define BACKOFF_FACTOR   4

static char *make_metadata(const HookRequest *q)
{
        _cleanup_json_ json_t *o = json_object(), *event = NULL;

        if (!o || (json_parse(q->event, strlen(q->event), TASK_METADATA_DEPTH - 1, &event, NULL) < 0 &&
                   !(event = json_object())))
                return NULL;
        int r = json_set_string(o, "parent", q->task_id) | json_set_integer(o, "step", q->step + 1) |
                json_set_string(o, "hook", q->path) |
                json_set_integer(o, "timeout_usec", (int64_t)(q->timeout_usec ?: HOOK_TIMEOUT_USEC)) |
                json_object_set(o, "event", event);
        return r < 0 ? NULL : json_format(o);
}

/* The last part of the path, as a name that a task type may have. */
static char *make_type(const char *path)
{
        const char *slash = strrchr(path, '/');
        char *type = strndup(slash ? slash + 1 : path, TASK_NAME_MAX);

        for (char *c = type; c && *c; c++) {
                char one[] = { *c, '\0' };
                if (!task_name_is_valid(one) && (c == type || (*c != '_' && *c != '-')))
                        *c = c == type ? 'h' : '-';
        }
        if (type && !type[0]) {
                free(type);
                return strdup("hook");
        }
        return type;
}

static char *make_argv(const char *path)
{
        _cleanup_json_ json_t *argv = json_pack("[o]", json_string_lossy(path, strlen(path)));
        return argv ? json_format(argv) : NULL;
}

int hook_row_init(TaskRow *row, const char *task_id, uid_t uid, gid_t gid, const HookRequest *request)
{
        assert(row);
        assert(task_id);
        assert(request && request->path && request->task_id && request->event);

        *row = (TaskRow){
                .task_id = strdup(task_id),
                .subsystem = strdup(HOOK_SUBSYSTEM),
                .task_type = make_type(request->path),
                .title = string_printf("Hook of step %u of %s", request->step + 1, request->task_id),
                .created_by = strdup("reeve"),
                .kind = TASK_KIND_LAUNCHED,
                .run_uid = uid,
                .run_gid = gid,
                .priority = TASK_PRIORITY_NORMAL,
                .metadata = make_metadata(request),
                .argv = make_argv(request->path),
                .cwd = strdup("/"),
                .status = TASK_PENDING,
                .attempts = HOOK_ATTEMPTS,
        };
        if (!row->task_id || !row->subsystem || !row->task_type || !row->title || !row->created_by ||
            !row->metadata || !row->argv || !row->cwd) {
                task_row_done(row);
                return -ENOMEM;
        }
        return 0;
}

void hook_facts_done(HookFacts *f)
{
        assert(f);

        free(f->path);
        free(f->parent);
        free(f->event);
        *f = (HookFacts){ 0 };
}

int hook_facts_init(HookFacts *f, const TaskRow *row, ReeveError *reterr)
{
        _cleanup_json_ json_t *o = NULL;

        assert(f);
        assert(row);

        *f = (HookFacts){ 0 };
        int r = json_parse(row->metadata ?: "", row->metadata ? strlen(row->metadata) : 0,
                           TASK_METADATA_DEPTH, &o, reterr);
        if (r < 0)
                return r;
        const char *path = json_get_string(o, "hook"), *parent = json_get_string(o, "parent");
        const json_t *event = json_object_get(o, "event");
        int64_t step = json_get_integer(o, "step", 0),
                timeout = json_get_integer(o, "timeout_usec", (int64_t)HOOK_TIMEOUT_USEC);
        if (!path || !parent || !json_is_object(event) || step < 1 || step > 9999 || timeout < 1)
                return reeve_error_set(reterr, REEVE_ERROR_INTERNAL, "metadata", "it is not that of a hook");
        _cleanup_free_ char *text = json_format(event);
        f->path = strdup(path);
        f->parent = strdup(parent);
        f->event = text ? string_printf("%s\n", text) : NULL;
        f->step = (unsigned)step;
        f->timeout_usec = (usec_t)timeout;
        if (f->path && f->parent && f->event)
                return 0;
        hook_facts_done(f);
        return reeve_error_errno(reterr, ENOMEM, NULL, "cannot remember a hook");
}

char **hook_environment(const HookFacts *f, unsigned attempt)
{
        _cleanup_(strv_freep) char **env = NULL;
        _cleanup_free_ char *id = string_printf("REEVE_TASK_ID=%s", f->parent),
                            *step = string_printf("REEVE_STEP=%u", f->step),
                            *number = string_printf("REEVE_ATTEMPT=%u", attempt);

        if (!id || !step || !number || strv_append(&env, id) < 0 || strv_append(&env, step) < 0 ||
            strv_append(&env, number) < 0)
                return NULL;
        return TAKE_PTR(env);
}

usec_t hook_backoff(unsigned attempt)
{
        usec_t wait = BACKOFF_MIN_USEC;

        for (unsigned i = 1; i < attempt && wait < BACKOFF_MAX_USEC; i++)
                wait *= BACKOFF_FACTOR;
        return MIN(wait, BACKOFF_MAX_USEC);
}
