/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Rows are plain structs full of strings.
 *
 * Which of their members are owned strings is said once, in a table of offsets for each kind of row: freeing, deep copies
 * on the heap and copies into somebody's arena all walk the same table, so a new string column cannot be forgotten by one
 * of them. What a row means, and which moves of a task's state are allowed, is not known here. */

#include "daemon/model/task-row.h"

#include <errno.h>
#include <string.h>

#define FIXED_JSON_BYTES 3100 /* names, numbers, and a usage with all fields and sources */

static const size_t task_strings[] = {
        offsetof(TaskRow, task_id),
        offsetof(TaskRow, subsystem),
        offsetof(TaskRow, task_type),
        offsetof(TaskRow, title),
        offsetof(TaskRow, description),
        offsetof(TaskRow, created_by),
        offsetof(TaskRow, metadata),
        offsetof(TaskRow, argv),
        offsetof(TaskRow, cwd),
        offsetof(TaskRow, message),
        offsetof(TaskRow, cgroup),
        offsetof(TaskRow, policy_hash),
        offsetof(TaskRow, ladder),
        offsetof(TaskRow, after),
        offsetof(TaskRow, unique_key),
        offsetof(TaskRow, pending_reason),
        offsetof(TaskRow, progress_message),
        offsetof(TaskRow, ml_metrics),
        offsetof(TaskRow, result_metadata),
        offsetof(TaskRow, stuck),
};

static const size_t attempt_strings[] = {
        offsetof(AttemptRow, task_id),
        offsetof(AttemptRow, cgroup),
};

static const size_t verification_strings[] = {
        offsetof(VerificationRow, task_id), offsetof(VerificationRow, name),
        offsetof(VerificationRow, kind),    offsetof(VerificationRow, evidence),
        offsetof(VerificationRow, usage),
};

static const size_t event_strings[] = {
        offsetof(EventRow, topic),
        offsetof(EventRow, task_id),
        offsetof(EventRow, subsystem),
        offsetof(EventRow, detail),
};

static const char *const kinds[_TASK_KIND_MAX] = {
        [TASK_KIND_LAUNCHED] = "launched",
        [TASK_KIND_REPORTED] = "reported",
};

static const char *const outputs[_TASK_OUTPUT_MAX] = {
        [TASK_OUTPUT_FILE] = "file",
        [TASK_OUTPUT_JOURNAL] = "journal",
        [TASK_OUTPUT_CALLER] = "caller",
};

static const char *const verification_statuses[_VERIFICATION_STATUS_MAX] = {
        [VERIFICATION_PENDING] = "pending",
        [VERIFICATION_PASSED] = "passed",
        [VERIFICATION_FAILED] = "failed",
};

const char *verification_status_name(VerificationStatus s)
{
        assert((unsigned)s < _VERIFICATION_STATUS_MAX);
        return verification_statuses[s];
}

int verification_status_from_name(const char *name, VerificationStatus *ret)
{
        assert(ret);

        for (unsigned i = 0; i < _VERIFICATION_STATUS_MAX; i++)
                if (name ? verification_statuses[i] && strcmp(verification_statuses[i], name) == 0
                         : i == VERIFICATION_NONE) {
                        *ret = (VerificationStatus)i;
                        return 0;
                }
        return -EINVAL;
}

const char *task_kind_name(TaskKind k)
{
        assert((unsigned)k < _TASK_KIND_MAX);
        return kinds[k];
}

int task_kind_from_name(const char *name, TaskKind *ret)
{
        assert(name);
        assert(ret);

        for (unsigned i = 0; i < _TASK_KIND_MAX; i++)
                if (strcmp(kinds[i], name) == 0) {
                        *ret = (TaskKind)i;
                        return 0;
                }
        return -EINVAL;
}

const char *task_output_name(TaskOutput o)
{
        assert((unsigned)o < _TASK_OUTPUT_MAX);
        return outputs[o];
}

int task_output_from_name(const char *name, TaskOutput *ret)
{
        assert(ret);

        for (unsigned i = 0; i < _TASK_OUTPUT_MAX; i++)
                if (name ? outputs[i] && strcmp(outputs[i], name) == 0 : i == TASK_OUTPUT_NONE) {
                        *ret = (TaskOutput)i;
                        return 0;
                }
        return -EINVAL;
}

static char **string_at(void *row, size_t offset)
{
        return (char **)((char *)row + offset);
}

static void free_strings(void *row, const size_t *offsets, size_t n)
{
        for (size_t i = 0; i < n; i++) {
                char **text = string_at(row, offsets[i]);
                free(*text);
                *text = NULL;
        }
}

static int dup_strings(void *row, const size_t *offsets, size_t n, row_dup_t dup, void *userdata)
{
        int r = 0;

        for (size_t i = 0; i < n; i++) {
                char **text = string_at(row, offsets[i]);
                if (!*text)
                        continue;
                *text = r < 0 ? NULL : dup(userdata, *text);
                if (!*text)
                        r = -ENOMEM;
        }
        return r;
}

const char *task_ml_name(TaskMl m)
{
        static const char *const ml_names[_TASK_ML_MAX] = {
#define X(ENUM, name) [TASK_ML_##ENUM] = name,
                TASK_ML_COLUMNS(X)
#undef X
        };

        assert((unsigned)m < _TASK_ML_MAX);
        return ml_names[m];
}

bool task_is_reported(const TaskRow *t)
{
        assert(t);
        return t->kind == TASK_KIND_REPORTED && !t->has_backend;
}

void task_row_done(TaskRow *t)
{
        assert(t);
        free_strings(t, task_strings, ELEMENTSOF(task_strings));
}

TaskRow *task_row_free(TaskRow *t)
{
        if (t) {
                task_row_done(t);
                free(t);
        }
        return NULL;
}

static char *heap_dup(void *userdata _unused_, const char *text)
{
        return strdup(text);
}

TaskRow *task_row_copy(const TaskRow *t)
{
        assert(t);

        TaskRow *copy = NEW(TaskRow, 1);
        if (!copy)
                return NULL;
        *copy = *t;
        if (task_row_dup_strings(copy, heap_dup, NULL) < 0)
                return task_row_free(copy);
        return copy;
}

/* jansson escapes quotes, backslashes and control characters, and nothing else. */
static size_t escaped_bytes(const char *text)
{
        size_t n = 0;

        for (const unsigned char *p = (const unsigned char *)text; p && *p; p++)
                n += *p < 0x20 ? 6 : *p == '"' || *p == '\\' ? 2 : 1;
        return n;
}

size_t task_row_json_bytes(const TaskRow *t)
{
        const char *const texts[] = { t->task_id,         t->subsystem,   t->task_type,
                                      t->title,           t->description, t->created_by,
                                      t->message,         t->cgroup,      t->cwd,
                                      t->after,           t->unique_key,  t->pending_reason,
                                      t->progress_message };
        size_t n = FIXED_JSON_BYTES;

        assert(t);

        for (size_t i = 0; i < ELEMENTSOF(texts); i++)
                n += escaped_bytes(texts[i]);
        /* These are JSON already. */
        return n + (t->argv ? strlen(t->argv) : 0) + (t->metadata ? strlen(t->metadata) : 0) +
               (t->stuck ? strlen(t->stuck) : 0) + (t->ladder ? strlen(t->ladder) : 0) +
               (t->ml_metrics ? strlen(t->ml_metrics) : 0) +
               (t->result_metadata ? strlen(t->result_metadata) : 0);
}

int task_row_dup_strings(TaskRow *t, row_dup_t dup, void *userdata)
{
        assert(t);
        assert(dup);
        return dup_strings(t, task_strings, ELEMENTSOF(task_strings), dup, userdata);
}

void attempt_row_done(AttemptRow *a)
{
        assert(a);
        free_strings(a, attempt_strings, ELEMENTSOF(attempt_strings));
}

int attempt_row_dup_strings(AttemptRow *a, row_dup_t dup, void *userdata)
{
        assert(a);
        assert(dup);
        return dup_strings(a, attempt_strings, ELEMENTSOF(attempt_strings), dup, userdata);
}

void verification_row_done(VerificationRow *v)
{
        assert(v);
        free_strings(v, verification_strings, ELEMENTSOF(verification_strings));
}

int verification_row_dup_strings(VerificationRow *v, row_dup_t dup, void *userdata)
{
        assert(v);
        assert(dup);
        return dup_strings(v, verification_strings, ELEMENTSOF(verification_strings), dup, userdata);
}

void event_row_done(EventRow *e)
{
        assert(e);
        free_strings(e, event_strings, ELEMENTSOF(event_strings));
}

int event_row_dup_strings(EventRow *e, row_dup_t dup, void *userdata)
{
        assert(e);
        assert(dup);
        return dup_strings(e, event_strings, ELEMENTSOF(event_strings), dup, userdata);
}
