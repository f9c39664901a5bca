/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Something that is said of a task, on its way from the request into the row. */

#include "daemon/service/report-internal.h"

typedef enum ReportAct {
        ACT_UPDATE = REPORT_UPDATE,
        ACT_COMPLETE = REPORT_COMPLETE,
        ACT_FAIL = REPORT_FAIL,
        ACT_WORK = REPORT_BEGIN,
        ACT_BEGIN = _REPORT_KIND_MAX, /* Start of a task that exists */
        ACT_LOOK,                     /* the same, `pending` */
} ReportAct;

typedef struct ReportOp {
        ListLink link; /* of TaskReport.held */
        Service *service;
        Caller caller;
        char task_id[TASK_ID_MAX + 1];
        ReportAct act;
        ReportRequest q; /* its pointers are NULL: what they pointed to is below */
        char *message;
        json_t *ml_metrics, *metadata;
        uint8_t hash[32]; /* of an end; of Start: its content */
        TaskOp event;     /* `detail` is ours; no topic: there is none */
        /* of Start: who is to be watched */
        int watch_fd; /* -EBADF: nobody */
        pid_t pid;
        uint64_t identity;
        service_task_t callback;
        void *userdata;
} ReportOp;

/* ---- report-op.c ---- */

/* Without what was said. NULL when memory is short. */
ReportOp *report_op_new(Service *s, const Caller *caller, const char *task_id, ReportAct act,
                        service_task_t callback, void *userdata);
ReportOp *report_op_free(ReportOp *op);
DEFINE_CLEANUP_FUNC(ReportOp *, report_op_free)

/* Does it say that the task has ended? */
static inline bool report_is_end(const ReportOp *op)
{
        return op->act == ACT_COMPLETE || op->act == ACT_FAIL;
}

/* Are the values of a request within their limits? InvalidArgument, LimitExceeded. */
int report_check(const ReportRequest *q, ReeveError *reterr);
/* Takes a copy of what was said; of an end also its hash. -ENOMEM. */
int report_op_fill(ReportOp *op, const ReportRequest *q);

/* ---- report-say.c ---- */

/* Texts of a row that are to replace those it has; NULL: it keeps its own. */
typedef struct ReportTexts {
        char *message, *ml_metrics, *metadata, *result;
} ReportTexts;
void report_texts_done(ReportTexts *n);

/* What the texts would be, before anything changes. LimitExceeded names the field; Unavailable: memory is short. */
int report_make_texts(const ReportOp *op, const Task *t, ReportTexts *n, ReeveError *reterr);
/* Puts all of it into the row; takes the texts. Not stored. */
void report_say(const ReportOp *op, Task *t, ReportTexts *n);
/* The points of series among it, for a write. -ENOMEM. */
int report_add_points(StoreWrite *w, const ReportOp *op);
