/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* What the files about reported tasks share: report-start.c takes a task up, report.c takes what is said of it from then on
 * (report-op.c: the request, report-say.c: into the row), report-watch.c notices when nothing more will be said,
 * report-attach.c has a process of its own join it (attachment.c: and leave it). */

#include "daemon/service/service-internal.h"

struct Reporter;

/* The process that was attached to a reported task. */
typedef enum Attached {
        ATTACHED_NONE,
        ATTACHED_ASKED, /* the launcher is at it */
        ATTACHED_RUNS,
        ATTACHED_OVER, /* it has ended, or the task before it: its account was taken */
} Attached;

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

        Attached attached;
        pid_t attached_pid; /* with its start time; 0: none since our start */
        uint64_t attached_start;
        bool attached_stored; /* its final account was committed: the record may go */
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

/* Its reporter has ended: loses the task, unless that is for the end of its attached process to do. False if it stays. */
bool service_report_lose(Service *s, Task *t);
/* The watched reporter has ended, and the task is not lost yet. */
bool service_report_is_left(const Task *t);

/* ---- attachment.c ---- */

/* The record of the one process that may be attached to a task has this number. */
#define ATTACHED_ATTEMPT 1U

/* Takes over what the record of the attached process says. 1: there is one, and the callback (may be NULL) comes after the commit; 0:
 * there is none, or the task's end is under way: no callback. */
int service_attachment_take(Service *s, Task *t, service_task_t callback, void *userdata);
/* The task's end is being said: its account is taken now, and its process let go. Does nothing if none is attached. */
void service_attachment_settle(Service *s, Task *t);
/* The launcher is there: a Forget of its record that was lost with the one before is sent again. */
void service_attachment_forget(Service *s, const Task *t);
/* Nothing that was set for the task holds for the process any more: its backstop, its being frozen. */
void service_attachment_release(Service *s, const char *task_id);

/* ---- report.c ---- */

/* Says again what was held: the row is in the database now, or will never be. Empties the list. */
void service_report_again(ListLink *held);
/* Start of a task that exists. */
typedef struct ReportBegin {
        const TaskRow *wanted; /* its content, and the process that is to be watched */
        int watch_fd;          /* a pidfd of that, taken over; -EBADF: none */
        bool pending;
} ReportBegin;
/* Begins it, unless `pending`, if the content is the same; has the process watched; answers with it. */
void service_report_begin(Service *s, const Caller *caller, const ReportBegin *q, service_task_t callback,
                          void *userdata);
/* Frees what was held, without an answer. */
void service_report_drop(ListLink *held);
