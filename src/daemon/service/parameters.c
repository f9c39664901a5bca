/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Requests come as varlink messages or D-Bus dictionaries; either way as a JSON object whose types are what they are. Here
 * stands, once, which fields there are, what their values may be, and what is meant when one is absent. What needs more than
 * the field itself to be judged (is the text too long, is the name one?) is request.c's. */

#include "daemon/service/parameters.h"

#include <errno.h>
#include <string.h>

#include "basic/fd.h"
#include "basic/parse.h"
#include "basic/strings.h"
#include "common/json/json.h"

/* ---- Run ---- */

#define PRIORITY_ABSENT  INT64_MIN
#define ATTEMPTS_ABSENT  INT64_MIN
#define RUN_ATTEMPTS_MAX 1000 /* as a specification has it */

typedef struct RunParameters {
        int64_t spec, priority, attempts;
        json_t *stdio, *metadata, *after;
        const char *subsystem, *task_type, *title, *description, *created_by, *backend, *sla, *unique,
                        *unique_mode;
        bool hold;
} RunParameters;

#define FIELD(member, type, flags)                                                    \
        {                                                                             \
#                member, JSON_FIELD_##type, offsetof(RunParameters, member), flags, 0 \
        }
static const JsonField run_fields[] = {
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
        FIELD(sla, STRING, 0),
        FIELD(attempts, INTEGER, 0),
        FIELD(after, ARRAY, 0),
        FIELD(unique, STRING, 0),
        FIELD(unique_mode, STRING, 0),
        FIELD(hold, BOOLEAN, 0),
};
#undef FIELD

/* Where the descriptors are. */
typedef struct FdSource {
        take_fd_t take;
        void *userdata;
} FdSource;

static int take(const FdSource *s, const char *field, int64_t index, ReeveError *e)
{
        int fd = index >= 0 ? s->take(s->userdata, (size_t)index) : -ENOENT;
        if (fd < 0)
                return reeve_error_set(e, REEVE_ERROR_INVALID_ARGUMENT, field,
                                       "no descriptor %lld came with the call", (long long)index);
        return fd;
}

void run_request_drop(RunRequest *q)
{
        assert(q);

        q->spec_fd = fd_close(q->spec_fd);
        for (size_t i = 0; i < q->n_stdio_fds; i++)
                fd_close(q->stdio_fds[i]);
        free(q->stdio_fds);
        q->stdio_fds = NULL;
        q->n_stdio_fds = 0;
}

static int take_descriptors(const FdSource *s, const RunParameters *p, RunRequest *q, ReeveError *e)
{
        size_t n = p->stdio ? json_array_size(p->stdio) : 0;

        q->spec_fd = take(s, "spec", p->spec, e);
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
                int fd = take(s, "stdio", json_integer_value(json_array_get(p->stdio, i)), e);
                if (fd < 0)
                        return fd;
                q->stdio_fds[q->n_stdio_fds++] = fd;
        }
        return 0;
}

/* 0 is "not given" to the service only. */
static int check_priority(const RunParameters *p, ReeveError *e)
{
        if (p->priority == PRIORITY_ABSENT ||
            (p->priority >= TASK_PRIORITY_MIN && p->priority <= TASK_PRIORITY_MAX))
                return 0;
        return reeve_error_set(e, REEVE_ERROR_INVALID_ARGUMENT, "priority", "must be %d to %d, not %lld",
                               TASK_PRIORITY_MIN, TASK_PRIORITY_MAX, (long long)p->priority);
}

/* 0 is "not given" to the service only. */
static int check_attempts(const RunParameters *p, ReeveError *e)
{
        if (p->attempts == ATTEMPTS_ABSENT || (p->attempts >= 1 && p->attempts <= RUN_ATTEMPTS_MAX))
                return 0;
        return reeve_error_set(e, REEVE_ERROR_INVALID_ARGUMENT, "attempts", "must be 1 to %d, not %lld",
                               RUN_ATTEMPTS_MAX, (long long)p->attempts);
}

static int parse_unique_mode(const char *mode, bool *ret_join, ReeveError *e)
{
        *ret_join = mode && streq(mode, "join");
        if (!mode || *ret_join || streq(mode, "refuse"))
                return 0;
        return reeve_error_set(e, REEVE_ERROR_INVALID_ARGUMENT, "unique_mode",
                               "must be refuse or join, not '%.32s'", mode);
}

static int format_metadata(json_t *metadata, char **ret, ReeveError *e)
{
        *ret = metadata ? json_format(metadata) : NULL;
        if (metadata && !*ret)
                return reeve_error_errno(e, ENOMEM, NULL, "cannot take another request");
        return 0;
}

int run_parameters_parse(json_t *parameters, take_fd_t take_fd, void *userdata, RunRequest *ret,
                         char **ret_metadata, ReeveError *reterr)
{
        const FdSource source = { take_fd, userdata };
        RunParameters p = { .priority = PRIORITY_ABSENT, .attempts = ATTEMPTS_ABSENT };
        RunRequest q = { .spec_fd = -EBADF };
        int r;

        assert(parameters);
        assert(take_fd);
        assert(ret);
        assert(ret_metadata);

        if ((r = json_dispatch(parameters, run_fields, ELEMENTSOF(run_fields), &p, reterr)) < 0)
                return r;
        if ((r = take_descriptors(&source, &p, &q, reterr)) < 0 || (r = check_priority(&p, reterr)) < 0 ||
            (r = check_attempts(&p, reterr)) < 0 ||
            (r = parse_unique_mode(p.unique_mode, &q.join, reterr)) < 0 ||
            (r = format_metadata(p.metadata, ret_metadata, reterr)) < 0) {
                run_request_drop(&q);
                return r;
        }
        q.subsystem = p.subsystem;
        q.task_type = p.task_type;
        q.title = p.title;
        q.description = p.description;
        q.created_by = p.created_by;
        q.backend = p.backend;
        q.sla = p.sla;
        q.attempts = p.attempts == ATTEMPTS_ABSENT ? 0 : (unsigned)p.attempts;
        q.after = p.after;
        q.unique = p.unique;
        q.hold = p.hold;
        q.priority = p.priority == PRIORITY_ABSENT ? 0 : (int)p.priority;
        q.metadata = *ret_metadata;
        *ret = q;
        return 0;
}

/* ---- Attach ---- */

/* What a new task must have, and one that is there has. */
static bool names_new_task(json_t *parameters)
{
        return json_object_get(parameters, "subsystem") || json_object_get(parameters, "task_type");
}

static int join_parameters_parse(json_t *parameters, const FdSource *source, RunRequest *ret, ReeveError *e)
{
        static const JsonField field = { "spec", JSON_FIELD_INTEGER, offsetof(RunParameters, spec),
                                         JSON_FIELD_MANDATORY, 0 };
        RunParameters p = { 0 };
        RunRequest q = { .spec_fd = -EBADF, .attach = true, .joins = true };

        int r = json_dispatch(parameters, &field, 1, &p, e);
        if (r >= 0)
                r = take_descriptors(source, &p, &q, e);
        if (r >= 0)
                *ret = q;
        return r;
}

int attach_parameters_parse(json_t *parameters, take_fd_t take_fd, void *userdata, RunRequest *ret,
                            char **ret_metadata, ReeveError *reterr)
{
        const FdSource source = { take_fd, userdata };

        assert(parameters);
        assert(take_fd);
        assert(ret);
        assert(ret_metadata);

        if (!names_new_task(parameters))
                return join_parameters_parse(parameters, &source, ret, reterr);
        int r = run_parameters_parse(parameters, take_fd, userdata, ret, ret_metadata, reterr);
        if (r >= 0)
                ret->attach = true;
        return r;
}

/* ---- List ---- */

#define LIST_LIMIT_DEFAULT 100

typedef struct ListParameters {
        const char *status, *subsystem, *task_type, *created_by, *cursor;
        int64_t owner_uid, since, until, limit;
} ListParameters;

#define FIELD(member, type)                                                        \
        {                                                                          \
#                member, JSON_FIELD_##type, offsetof(ListParameters, member), 0, 0 \
        }
static const JsonField list_fields[] = {
        FIELD(status, STRING),     FIELD(subsystem, STRING),  FIELD(task_type, STRING),
        FIELD(owner_uid, INTEGER), FIELD(created_by, STRING), FIELD(since, INTEGER),
        FIELD(until, INTEGER),     FIELD(limit, INTEGER),     FIELD(cursor, STRING),
};
#undef FIELD

/* "active,pending" */
static int parse_status(const char *text, uint32_t *ret_mask, ReeveError *e)
{
        _cleanup_free_ char *copy = strdup(text);
        uint32_t mask = 0;
        char *rest;

        if (!copy)
                return reeve_error_errno(e, ENOMEM, NULL, "cannot list");
        for (char *word = strtok_r(copy, ",", &rest); word; word = strtok_r(NULL, ",", &rest)) {
                TaskState s = task_state_from_name(word);
                if (s < 0)
                        return reeve_error_set(
                                        e, REEVE_ERROR_INVALID_ARGUMENT, "status",
                                        "'%.40s' is none of pending, active, verifying, completed, failed, "
                                        "cancelled, lost",
                                        word);
                mask |= SM_BIT(s);
        }
        *ret_mask = mask;
        return 0;
}

static int check_list(const ListParameters *p, StoreFilter *f, ReeveError *e)
{
        uint64_t cursor = 0;
        int r;

        if (p->status && (r = parse_status(p->status, &f->status_mask, e)) < 0)
                return r;
        if (p->limit < 1 || p->limit > STORE_LIST_MAX)
                return reeve_error_set(e, REEVE_ERROR_LIMIT_EXCEEDED, "limit", "must be 1 to %d",
                                       STORE_LIST_MAX);
        if (p->cursor && (parse_u64(p->cursor, &cursor) < 0 || cursor > INT64_MAX))
                return reeve_error_set(e, REEVE_ERROR_INVALID_ARGUMENT, "cursor", "not one that List gave");
        if (p->since < 0)
                return reeve_error_set(e, REEVE_ERROR_INVALID_ARGUMENT, "since", "must not be negative");
        if (p->until < 0)
                return reeve_error_set(e, REEVE_ERROR_INVALID_ARGUMENT, "until", "must not be negative");
        if (p->owner_uid < -1 || p->owner_uid > UINT32_MAX)
                return reeve_error_set(e, REEVE_ERROR_INVALID_ARGUMENT, "owner_uid", "not a user id");

        f->subsystem = p->subsystem;
        f->task_type = p->task_type;
        f->created_by = p->created_by;
        f->owner_uid = p->owner_uid;
        f->since = (usec_t)p->since;
        f->until = (usec_t)p->until;
        f->before_seq = (int64_t)cursor;
        f->limit = (unsigned)p->limit;
        return 0;
}

int list_parameters_parse(json_t *parameters, StoreFilter *ret, ReeveError *reterr)
{
        ListParameters p = { .owner_uid = -1, .limit = LIST_LIMIT_DEFAULT };

        assert(parameters);
        assert(ret);

        int r = json_dispatch(parameters, list_fields, ELEMENTSOF(list_fields), &p, reterr);
        if (r < 0)
                return r;
        *ret = (StoreFilter){ 0 };
        return check_list(&p, ret, reterr);
}
