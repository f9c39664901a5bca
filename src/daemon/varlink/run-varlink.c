/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Run: the specification and the descriptors it names come beside the message; their indices are in the parameters. */

#include <errno.h>
#include <string.h>

#include "basic/fd.h"
#include "daemon/varlink/registry-varlink-internal.h"

#define PRIORITY_ABSENT INT64_MIN

typedef struct RunParameters {
        int64_t spec, priority;
        json_t *stdio, *metadata;
        const char *subsystem, *task_type, *title, *description, *created_by, *backend;
} RunParameters;

#define FIELD(member, type, flags)                                                    \
        {                                                                             \
#                member, JSON_FIELD_##type, offsetof(RunParameters, member), flags, 0 \
        }
static const JsonField fields[] = {
        FIELD(spec, INTEGER, JSON_FIELD_MANDATORY),
        FIELD(stdio, ARRAY, 0),
        FIELD(subsystem, STRING, JSON_FIELD_MANDATORY),
        FIELD(task_type, STRING, JSON_FIELD_MANDATORY),
        FIELD(title, STRING, 0),
        FIELD(description, STRING, 0),
        FIELD(created_by, STRING, 0),
        FIELD(priority, INTEGER, 0),
        FIELD(backend, STRING, 0),
        FIELD(metadata, OBJECT, 0),
};

static int take(VarlinkCall *call, const char *field, int64_t index, ReeveError *e)
{
        int fd = index >= 0 ? varlink_call_take_fd(call, (size_t)index) : -ENOENT;
        if (fd < 0)
                return reeve_error_set(e, REEVE_ERROR_INVALID_ARGUMENT, field,
                                       "no descriptor %lld came with the call", (long long)index);
        return fd;
}

static void drop_descriptors(RunRequest *q)
{
        fd_close(q->spec_fd);
        for (size_t i = 0; i < q->n_stdio_fds; i++)
                fd_close(q->stdio_fds[i]);
        free(q->stdio_fds);
}

static int take_descriptors(VarlinkCall *call, const RunParameters *p, RunRequest *q, ReeveError *e)
{
        size_t n = p->stdio ? json_array_size(p->stdio) : 0;

        q->spec_fd = take(call, "spec", p->spec, e);
        if (q->spec_fd < 0)
                return q->spec_fd;
        if (n == 0)
                return 0;
        if (n > 3)
                return reeve_error_set(e, REEVE_ERROR_INVALID_ARGUMENT, "stdio",
                                       "at most 3 descriptors, not %zu", n);
        q->stdio_fds = NEW0(int, n);
        if (!q->stdio_fds)
                return reeve_error_errno(e, ENOMEM, NULL, "cannot take another request");
        for (size_t i = 0; i < n; i++) {
                int fd = take(call, "stdio", json_integer_value(json_array_get(p->stdio, i)), e);
                if (fd < 0)
                        return fd;
                q->stdio_fds[q->n_stdio_fds++] = fd;
        }
        return 0;
}

/* 0 is "not given" to the service only. */
static bool priority_fits(const RunParameters *p)
{
        return p->priority == PRIORITY_ABSENT ||
               (p->priority >= TASK_PRIORITY_MIN && p->priority <= TASK_PRIORITY_MAX);
}

ADAPTER_HANDLER(adapter_run)
{
        RegistryVarlink *v = ASSERT_PTR(userdata);
        RunParameters p = { .priority = PRIORITY_ABSENT };
        RunRequest q = { .spec_fd = -EBADF };
        ReeveError e = REEVE_ERROR_NULL;

        if (adapter_dispatch(call, parameters, fields, ELEMENTSOF(fields), &p) < 0)
                return 0;
        int r = take_descriptors(call, &p, &q, &e);
        if (r >= 0 && !priority_fits(&p))
                r = reeve_error_set(&e, REEVE_ERROR_INVALID_ARGUMENT, "priority",
                                    "must be %d to %d, not %lld", TASK_PRIORITY_MIN, TASK_PRIORITY_MAX,
                                    (long long)p.priority);
        _cleanup_free_ char *metadata = r >= 0 && p.metadata ? json_format(p.metadata) : NULL;
        if (r >= 0 && p.metadata && !metadata)
                r = reeve_error_errno(&e, ENOMEM, NULL, "cannot take another request");
        if (r < 0) {
                drop_descriptors(&q);
                return varlink_call_reeve_error(call, &e);
        }

        q.subsystem = p.subsystem;
        q.task_type = p.task_type;
        q.title = p.title;
        q.description = p.description;
        q.created_by = p.created_by;
        q.backend = p.backend;
        q.priority = p.priority == PRIORITY_ABSENT ? 0 : (int)p.priority;
        q.metadata = metadata;
        Pending *pending = pending_new(v, call);
        if (!pending) {
                drop_descriptors(&q);
                return 0;
        }
        service_run(v->service, &pending->caller, &q, pending_reply_task, pending);
        return 0;
}
