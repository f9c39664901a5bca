/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* From a request to something that can wait: for the row to be inserted, or for the database.
 *
 * All that a request has is borrowed; what is said of a task whose row is being written is taken up later, so it is copied.
 * Of an end a hash of everything that was said is taken, by which the same end said again is known from another one. What needs no
 * task to be judged is judged here; whether it may be said of this task, and what comes of it, is report.c's. */

#include "daemon/service/report-op.h"

#include <errno.h>
#include <sodium.h>
#include <string.h>

#include "basic/fd.h"
#include "common/json/json.h"
#include "daemon/model/task-metric.h"

ReportOp *report_op_free(ReportOp *op)
{
        if (!op)
                return NULL;
        free(op->message);
        free(op->event.detail);
        json_decref(op->ml_metrics);
        json_decref(op->metadata);
        fd_close(op->watch_fd);
        free(op);
        return NULL;
}
ReportOp *report_op_new(Service *s, const Caller *caller, const char *task_id, ReportAct act,
                        service_task_t callback, void *userdata)
{
        ReportOp *op = NEW0(ReportOp, 1);
        if (!op)
                return NULL;
        op->service = op->event.service = s;
        op->caller = (Caller){ .uid = caller->uid, .admin = caller->admin };
        op->act = act;
        op->watch_fd = -EBADF;
        op->callback = callback;
        op->userdata = userdata;
        strcpy(op->task_id, task_id);
        strcpy(op->event.task_id, task_id);
        return op;
}

static int check_metrics(json_t *metrics, ReeveError *e)
{
        const char *name;
        json_t *value;

        json_object_foreach(metrics, name, value) {
                if (!task_metric_name_is_valid(name))
                        return reeve_error_set(e, REEVE_ERROR_INVALID_ARGUMENT, "ml_metrics",
                                               "a name must be 1 to %d letters, digits or any of _.:/@-",
                                               TASK_METRIC_NAME_MAX);
                if (!json_is_number(value))
                        return reeve_error_set(e, REEVE_ERROR_INVALID_ARGUMENT, "ml_metrics",
                                               "'%s' is no number", name);
        }
        return 0;
}

int report_check(const ReportRequest *q, ReeveError *e)
{
        assert(q && q->task_id);

        if (!task_id_is_valid(q->task_id))
                return reeve_error_set(e, REEVE_ERROR_INVALID_ARGUMENT, "task_id", "not the id of a task");
        if (q->has_progress && !(q->progress >= 0 && q->progress <= 1))
                return reeve_error_set(e, REEVE_ERROR_INVALID_ARGUMENT, "progress", "must be 0 to 1");
        if (q->message && strlen(q->message) > TASK_MESSAGE_MAX)
                return reeve_error_set(e, REEVE_ERROR_LIMIT_EXCEEDED, "message", "longer than %d bytes",
                                       TASK_MESSAGE_MAX);
        if (q->has_step && (q->step < 0 || q->step > REPORT_STEP_MAX))
                return reeve_error_set(e, REEVE_ERROR_INVALID_ARGUMENT, "step", "must be 0 to %lld",
                                       (long long)REPORT_STEP_MAX);
        return check_metrics(q->ml_metrics, e);
}

static void hash_part(crypto_hash_sha256_state *h, const void *data, size_t size)
{
        crypto_hash_sha256_update(h, data, size);
}

static int hash_json(crypto_hash_sha256_state *h, const json_t *value)
{
        _cleanup_free_ char *text = NULL;

        if (value && !(text = json_dumps(value, JSON_COMPACT | JSON_SORT_KEYS)))
                return -ENOMEM;
        hash_part(h, text ?: "", text ? strlen(text) + 1 : 1);
        return 0;
}

/* All that was said of the end. */
static int hash_end(ReportOp *op)
{
        const char *message = op->q.message ?: "";
        int64_t numbers[2 + _USAGE_FIELD_MAX] = { op->q.success, op->q.word };
        crypto_hash_sha256_state h;

        memcpy(numbers + 2, op->q.usage.value, sizeof(op->q.usage.value));
        crypto_hash_sha256_init(&h);
        hash_part(&h, message, strlen(message) + 1);
        hash_part(&h, numbers, sizeof(numbers));
        hash_part(&h, op->q.usage.source, sizeof(op->q.usage.source));
        int r = hash_json(&h, op->q.ml_metrics);
        if (r >= 0)
                r = hash_json(&h, op->q.metadata);
        crypto_hash_sha256_final(&h, op->hash);
        return r;
}

int report_op_fill(ReportOp *op, const ReportRequest *q)
{
        assert(op);
        assert(q);

        op->q = *q;
        op->q.success = q->kind == REPORT_COMPLETE && q->success;
        if (q->message && !(op->message = strdup(q->message)))
                return -ENOMEM;
        op->ml_metrics = json_incref(q->ml_metrics);
        op->metadata = json_incref(q->metadata);
        int r = report_is_end(op) ? hash_end(op) : 0;
        op->q.message = op->q.task_id = NULL; /* they were borrowed */
        op->q.ml_metrics = op->q.metadata = NULL;
        return r;
}
