/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* What the files about reported tasks share: report-start.c takes a task up, report.c what is said of it from then on,
 * report-watch.c notices when nothing more will be said. */

#include "daemon/service/service-internal.h"

struct Reporter;

/* What Task.report points to. */
typedef struct TaskReport {
        Service *service;
        Task *task;
        ListLink held; /* ReportOp: said while the row was being inserted */
        size_t n_held;
        size_t n_points; /* of series, since our start */

        struct Reporter *reporter; /* the process that is watched; NULL: none is */
        ListLink of_reporter;
        usec_t silent_boottime; /* nothing heard until then: lost */
        size_t index;           /* in Service.heartbeats */
} TaskReport;

/* ---- report-watch.c ---- */

/* Who a pidfd is (0: it has ended already), and that it may be watched for this caller. InvalidArgument, PermissionDenied (`watch`). */
int reporter_identify(int pidfd, const Caller *caller, pid_t *ret_pid, uint64_t *ret_identity,
                      ReeveError *reterr);
/* Makes Task.report. -ENOMEM. */
int service_report_new(Service *s, Task *t);
/* Watches the process that the row names (pid, reporter_identity), in place of another one. Takes the pidfd over, also on failure. */
int service_report_watch(Service *s, Task *t, int pidfd);
/* The reporter was heard of: the time that he may be silent begins anew. */
void service_report_heard(Task *t);
/* Its row is in the database: it may be lost now, if its reporter has ended meanwhile. */
void service_report_inserted(Service *s, Task *t);

/* ---- report.c ---- */

/* Says again what was held: the row is in the database now, or will never be. Empties the list. */
void service_report_again(ListLink *held);
/* Start of a task that exists, with this content: begins it (unless `pending`), has the process watched that `wanted` names, if
 * there is a pidfd of it (taken over; -EBADF: none), and answers with it. */
void service_report_begin(Service *s, const Caller *caller, const TaskRow *wanted, int watch_fd,
                          bool pending, service_task_t callback, void *userdata);
/* Frees what was held, without an answer. */
void service_report_drop(ListLink *held);
