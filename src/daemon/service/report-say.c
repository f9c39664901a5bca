/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* What is said goes into the row.
 *
 * First everything that may fail, the texts that are to be; then the row changes as a whole. Objects grow by the members that are
 * new, and members of the same name are replaced: a reporter need not repeat what it has said. What is longer or deeper
 * than can be shown again is refused, whatever part of it is new.
 *
 * Numbers are the reporter's (`reported`) where nobody else counts. Of a process that is attached to the task the kernel's
 * count has the last word, field by field: a reported number for such a field is heard, and not taken. */

#include <errno.h>
#include <string.h>

#include "common/json/json.h"
#include "daemon/service/report-op.h"

/* The members of `more` put into the object whose text this is. NULL when memory is short. */
static char *merge(const char *text, json_t *more, size_t *ret_n)
{
        _cleanup_json_ json_t *object = NULL;

        if (!text || json_parse(text, strlen(text), TASK_METADATA_DEPTH, &object, NULL) < 0)
                object = json_object();
        if (!object || json_object_update(object, more) < 0)
                return NULL;
        *ret_n = json_object_size(object);
        return json_format(object);
}

void report_texts_done(ReportTexts *n)
{
        free(n->message);
        free(n->ml_metrics);
        free(n->metadata);
        free(n->result);
}

/* What is longer is too much, what is nested deeper could be stored, but not shown. */
static int check_object(const char *field, const char *text, ReeveError *e)
{
        _cleanup_json_ json_t *value = NULL;

        if (strlen(text) > TASK_METADATA_MAX)
                return reeve_error_set(e, REEVE_ERROR_LIMIT_EXCEEDED, field, "longer than %d bytes",
                                       TASK_METADATA_MAX);
        if (json_parse(text, strlen(text), TASK_METADATA_DEPTH, &value, NULL) < 0)
                return reeve_error_set(e, REEVE_ERROR_LIMIT_EXCEEDED, field, "nested deeper than %d",
                                       TASK_METADATA_DEPTH);
        return 0;
}

static int make_metadata(const ReportOp *op, const TaskRow *row, ReportTexts *n, ReeveError *e)
{
        size_t count;
        char **to = report_is_end(op) ? &n->result : &n->metadata;

        if (!op->metadata)
                return 0;
        *to = report_is_end(op) ? json_format(op->metadata) : merge(row->metadata, op->metadata, &count);
        if (!*to)
                return reeve_error_errno(e, ENOMEM, NULL, "cannot take another report");
        return check_object(report_is_end(op) ? "result_metadata" : "metadata", *to, e);
}

int report_make_texts(const ReportOp *op, const Task *t, ReportTexts *n, ReeveError *e)
{
        size_t count = 0;

        if (op->ml_metrics && !(n->ml_metrics = merge(t->row.ml_metrics, op->ml_metrics, &count)))
                return reeve_error_errno(e, ENOMEM, NULL, "cannot take another report");
        if (count > TASK_METRICS_MAX)
                return reeve_error_set(e, REEVE_ERROR_LIMIT_EXCEEDED, "ml_metrics", "more than %d names",
                                       TASK_METRICS_MAX);
        if (op->q.has_step && t->report &&
            t->report->n_points + json_object_size(op->ml_metrics) > REPORT_POINTS_MAX)
                return reeve_error_set(e, REEVE_ERROR_LIMIT_EXCEEDED, "step",
                                       "the task has %d points of series", REPORT_POINTS_MAX);
        if (op->message && !(n->message = strdup(op->message)))
                return reeve_error_errno(e, ENOMEM, NULL, "cannot take another report");
        return make_metadata(op, &t->row, n, e);
}

static void replace(char **to, char **from)
{
        if (!*from)
                return;
        free(*to);
        *to = TAKE_PTR(*from);
}

static void say_columns(json_t *metrics, TaskRow *row)
{
        for (int m = 0; m < _TASK_ML_MAX; m++) {
                const json_t *value = json_object_get(metrics, task_ml_name((TaskMl)m));
                if (!value)
                        continue;
                row->has_ml[m] = true;
                row->ml[m] = json_number_value(value);
        }
}

/* By somebody who knows better than a reporter. */
static bool is_counted(const Task *t, UsageField f)
{
        return usage_has(&t->row.usage, f) && t->row.usage.source[f] != USAGE_REPORTED;
}

void report_say(const ReportOp *op, Task *t, ReportTexts *n)
{
        TaskRow *row = &t->row;

        replace(&row->ml_metrics, &n->ml_metrics);
        say_columns(op->ml_metrics, row);
        replace(&row->metadata, &n->metadata);
        replace(&row->result_metadata, &n->result);
        replace(report_is_end(op) ? &row->message : &row->progress_message, &n->message);
        if (op->q.has_progress) {
                row->has_progress = true;
                row->progress = op->q.progress;
        }
        for (int f = 0; f < _USAGE_FIELD_MAX; f++)
                if (usage_has(&op->q.usage, (UsageField)f) && !is_counted(t, (UsageField)f)) {
                        row->usage.value[f] = op->q.usage.value[f];
                        row->usage.source[f] = USAGE_REPORTED;
                }
        if (op->q.has_step && t->report)
                t->report->n_points += json_object_size(op->ml_metrics);
}

int report_add_points(StoreWrite *w, const ReportOp *op)
{
        const char *name;
        json_t *value;

        if (!op->q.has_step || !op->ml_metrics)
                return 0;
        json_object_foreach(op->ml_metrics, name, value) {
                int r = store_write_metric(w, op->task_id, op->q.step, name, json_number_value(value));
                if (r < 0)
                        return r;
        }
        return 0;
}
