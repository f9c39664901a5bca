/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Every operation of the registry, once. The adapters (varlink, D-Bus) turn messages into these calls and results
 * into messages, and decide nothing.
 *
 * All of it runs on the loop thread. Each operation answers through its callback exactly once, at once or later, unless
 * it is said otherwise; results are borrowed for the call. On failure `error` is not NULL and the rest is NULL or 0. */

#include <jansson.h>
#include <stdbool.h>
#include <systemd/sd-event.h>

#include "basic/error.h"
#include "common/clock.h"
#include "common/instance.h"
#include "daemon/hooks/hooks.h"
#include "daemon/model/task-row.h"
#include "daemon/settings/settings.h"
#include "daemon/sla/ladder.h"
#include "daemon/store/store.h"

typedef struct Service Service;

/* Who asks: credentials of the peer, from the kernel. */
typedef struct Caller {
        uid_t uid;
        bool admin;          /* root, or in group reeve-admin */
        const gid_t *groups; /* all of them, for Run; borrowed for the call. NULL: not looked at */
        size_t n_groups;
} Caller;

/* May the caller see what is private of the task, and act on it? */
bool caller_owns(const Caller *c, const TaskRow *t);

/* ---- the service ---- */

/* What else on the host is told; each may be NULL. Called on the loop thread, must not call back. */
typedef struct ServiceReports {
        void (*task_ended)(const TaskRow *task, void *userdata); /* and that is durable */
        /* Each event of a task, also its end; it is durable. The row may be ahead of it. */
        void (*task_event)(const TaskRow *task, const char *topic, void *userdata);
        void (*task_not_stored)(const TaskRow *task, const ReeveError *error, void *userdata);
        void (*launcher_away)(void *userdata);
        void (*log_signed)(const char *note, uint64_t entries, void *userdata);
        void (*policy_refused)(const ReeveError *error, void *userdata);
        /* The last attempt of a hook wrote this (text). */
        void (*hook_said)(const TaskRow *hook, const char *text, void *userdata);
        /* A step of the task's ladder has come to its end, and that is durable. */
        void (*ladder_step)(const TaskRow *task, const LadderStep *step, void *userdata);
        /* The task was found stuck by that rule, after that time, and that is durable. */
        void (*task_stuck)(const TaskRow *task, const char *rule, usec_t span_usec, void *userdata);
        void *userdata;
} ServiceReports;

typedef struct ServiceConfig {
        sd_event *event;
        const Clock *clock;
        Instance instance;
        Settings settings;
        ServiceReports reports;
        HookRunner hooks; /* run NULL: the service runs them itself */
} ServiceConfig;

/* Opens the store, recovers what an earlier run left, and starts everything that the operations need. */
int service_new(const ServiceConfig *config, Service **ret, ReeveError *reterr);
Service *service_free(Service *s);
/* Can tasks be launched now? */
bool service_has_launcher(const Service *s);
DEFINE_CLEANUP_FUNC(Service *, service_free)

/* ---- Run and Attach ---- */

typedef struct RunRequest {
        int spec_fd;    /* taken over */
        int *stdio_fds; /* taken over; in the order of the specification's "fd" entries */
        size_t n_stdio_fds;
        /* borrowed; NULL: not given */
        const char *subsystem, *task_type, *title, *description, *created_by, *backend;
        const char *metadata; /* JSON text of an object */
        int priority;         /* 0: not given */
        const char *sla;      /* deadline, as --sla= has it */
        unsigned attempts; /* how often it is to be tried; 0: as the policy says. The specification has the bound */
        json_t *after;      /* array of ids of tasks that must have completed before it starts; NULL */
        const char *unique; /* key that no other open task of the caller's in this subsystem has; NULL */
        bool join;          /* if there is one: answer with it, instead of AlreadyExists */
        bool hold;          /* it does not start before it is released */
        bool attach;        /* Attach: the specification names a process that runs, nothing is executed */
        bool joins; /* ... and its task is there: for service_attach_to(), which wants nothing else */
} RunRequest;

typedef void (*service_task_t)(const ReeveError *error, const TaskRow *task, void *userdata);

/* Answers after the command was executed, or could not be (Attach: the process was moved), or when it is pending and has to wait;
 * the task is durable by then. */
void service_run(Service *s, const Caller *caller, RunRequest *request, service_task_t callback,
                 void *userdata);

/* Attach to a reported task of the specification's id, which the process joins: it is moved into a cgroup of the task's, which
 * is accounted from there and ends as it is reported. `spec_fd` is taken over. Answers when it was moved and that is durable. */
void service_attach_to(Service *s, const Caller *caller, int spec_fd, service_task_t callback,
                       void *userdata);

/* ---- work that the caller does himself, and reports ---- */

typedef struct StartRequest {
        const char *task_id; /* NULL: one is made */
        /* borrowed; NULL: not given */
        const char *subsystem, *task_type, *title, *description, *created_by;
        const char *metadata;  /* JSON text of an object */
        int priority;          /* 0: not given */
        const char *sla;       /* deadline, as --sla= has it */
        bool pending;          /* it has not begun yet; a second request without this begins it */
        int watch_fd;          /* taken over; a pidfd of who reports it; -EBADF: nobody is watched */
        usec_t heartbeat_usec; /* 0: none */
} StartRequest;
#define REPORT_HEARTBEAT_MIN (100 * USEC_PER_MSEC)
#define REPORT_HEARTBEAT_MAX (366 * USEC_PER_DAY)

/* Answers when the task is durable. The same id, owner and content again is the same task. */
void service_start(Service *s, const Caller *caller, StartRequest *request, service_task_t callback,
                   void *userdata);

typedef enum ReportKind {
        REPORT_UPDATE,
        REPORT_COMPLETE,
        REPORT_FAIL,
        REPORT_BEGIN, /* of a pending task: its work has begun; a Start without the content */
        _REPORT_KIND_MAX,
} ReportKind;

typedef struct ReportRequest {
        ReportKind kind;
        const char *task_id;
        bool has_progress;
        double progress;
        const char *message;
        Usage usage;        /* what is in it is from the reporter */
        json_t *ml_metrics; /* borrowed; an object of numbers; NULL */
        bool has_step;      /* they are points of series too */
        int64_t step;
        json_t *metadata; /* borrowed; UPDATE: members of the task's metadata; else the result's; NULL */
        bool success;     /* COMPLETE */
        ReportedWord word;
} ReportRequest;
#define REPORT_STEP_MAX   INT64_C(1000000000)
#define REPORT_POINTS_MAX 1000000 /* of series of one task */

/* What its reporter says of a task. Answers UPDATE and BEGIN when it is durable, and the others when the task has ended and that is:
 * with the task, as also whoever says the same end again. AlreadyFinished for anything else that comes late. UPDATE is taken about
 * any open task, but for its counters. */
void service_report(Service *s, const Caller *caller, const ReportRequest *request, service_task_t callback,
                    void *userdata);

/* ---- looking ---- */

void service_get(Service *s, const char *task_id, service_task_t callback, void *userdata);

/* A task that has not ended, as memory has it; NULL if there is none with that id. Borrowed until the loop turns. */
const TaskRow *service_open_task(Service *s, const char *task_id);
/* All of them: start with *cursor 0, NULL at the end. */
const TaskRow *service_next_open_task(Service *s, size_t *cursor);
/* Counters of this moment; all absent if no such task is open. */
void service_read_usage(Service *s, const char *task_id, Usage *ret);

typedef struct ListPage {
        TaskRow *const *tasks;
        size_t n;
        int64_t cursor; /* before_seq of the next page; 0: this is the last */
} ListPage;
typedef void (*service_page_t)(const ReeveError *error, const ListPage *page, void *userdata);
/* Shows at least what was answered before the call. The strings of the filter must live until the callback. */
void service_list(Service *s, const StoreFilter *filter, service_page_t callback, void *userdata);

void service_snapshots(Service *s, const char *task_id, unsigned limit, store_snapshots_t callback,
                       void *userdata);

/* For the owner's eyes: evidence may quote what others may not read. */
void service_verifications(Service *s, const Caller *caller, const char *task_id,
                           store_verifications_t callback, void *userdata);

/* Waits for the end of a task. The callback comes once, unless the wait is cancelled before. */
typedef struct ServiceWait ServiceWait;
/* NULL when the callback was called already. */
ServiceWait *service_wait(Service *s, const char *task_id, service_task_t callback, void *userdata);
void service_wait_cancel(ServiceWait *w);

typedef struct ServiceStats {
        usec_t uptime_usec;
        const StoreCounts *counts;
        StoreFigures store;
        int64_t last_event;
        size_t open_tasks;
} ServiceStats;
typedef void (*service_stats_t)(const ReeveError *error, const ServiceStats *stats, void *userdata);
void service_stats(Service *s, service_stats_t callback, void *userdata);

typedef struct DoctorCheck {
        const char *name;
        bool ok;
        const char *value;
        const char *hint; /* NULL: none */
} DoctorCheck;
typedef void (*service_doctor_t)(const DoctorCheck *checks, size_t n, void *userdata);
void service_doctor(Service *s, service_doctor_t callback, void *userdata);

typedef void (*service_json_t)(const ReeveError *error, json_t *object, void *userdata);

typedef struct ExplainRequest {
        const char *task_id; /* of this task, as it was created; NULL: of one that would be created now: */
        const char *subsystem, *task_type, *title, *created_by;
        int64_t uid; /* -1: the caller's */
} ExplainRequest;
/* What applies to a task: {hash, policy, origins}. */
void service_explain_policy(Service *s, const Caller *caller, const ExplainRequest *request,
                            service_json_t callback, void *userdata);
/* What is in force: {directory, hash, loaded_at, files, problem, policy}; without hash and policy if nothing is. NULL when
 * memory is short. */
json_t *service_policy_to_json(const Service *s, bool with_values);

/* ---- the immutable log: what is told is public ---- */

void service_log(Service *s, const StoreLogFilter *filter, store_log_t callback, void *userdata);
/* A checkpoint of the log as it is now; and the public key, as text, that it is signed with (borrowed for the call). */
typedef void (*service_checkpoint_t)(const ReeveError *error, const char *note, const char *key,
                                     void *userdata);
void service_log_checkpoint(Service *s, service_checkpoint_t callback, void *userdata);
/* See store_prove_entry(), store_prove_growth(). */
void service_prove_entry(Service *s, uint64_t entry, store_proof_t callback, void *userdata);
void service_prove_growth(Service *s, uint64_t old_size, store_proof_t callback, void *userdata);

/* ---- acting ---- */

typedef void (*service_done_t)(const ReeveError *error, void *userdata);
/* Borrowed during the call. */
typedef struct SignalRequest {
        const char *task_id;
        int number; /* any; InvalidArgument if there is no such signal */
        bool whole; /* to all processes, not the main one alone */
} SignalRequest;
void service_signal(Service *s, const Caller *caller, const SignalRequest *q, service_done_t callback,
                    void *userdata);
void service_freeze(Service *s, const Caller *caller, const char *task_id, bool freeze,
                    service_done_t callback, void *userdata);
/* Answers when the wish is durable; the end comes later. `reason` may be NULL. */
void service_cancel(Service *s, const Caller *caller, const char *task_id, const char *reason,
                    service_done_t callback, void *userdata);

/* A held task is not started before it is released; one that has been started cannot be held. */
void service_set_held(Service *s, const Caller *caller, const char *task_id, bool held,
                      service_done_t callback, void *userdata);

/* Moves the deadline of an open task, and all of its ladder that has not fired, `by_usec` later; answers when that is durable. Its owner may
 * where the policy lets him, an administrator always. */
void service_extend(Service *s, const Caller *caller, const char *task_id, usec_t by_usec,
                    service_done_t callback, void *userdata);

/* Reads policy.d again; answers when it is in force, or why it is not. `caller` NULL: a signal; `callback` may be NULL. */
void service_reload_policy(Service *s, const Caller *caller, service_done_t callback, void *userdata);

/* `path` NULL: into the instance's backup folder, under the time's name; or, with `pass`, without a name. */
void service_backup(Service *s, const Caller *caller, const char *path, bool pass, store_backup_t callback,
                    void *userdata);

/* ---- output ---- */

typedef struct OutputChunk {
        unsigned attempt;
        const void *data;
        size_t size;
        uint64_t offset;  /* of the first byte of data in the output of the attempt */
        uint64_t dropped; /* bytes right before it that were given up to the cap */
        bool end;         /* nothing follows: the task has ended (or it was not asked to follow) */
} OutputChunk;
#define SERVICE_OUTPUT_CHUNK_MAX (256U * 1024)

/* As a stream: the callback is called for each chunk and returns whether to go on (0: pause until
 * service_output_continue(), 1: more, negative: stop). The last call has `end` or an error; the stream is gone after it. */
typedef struct ServiceOutput ServiceOutput;
typedef int (*service_output_t)(const ReeveError *error, const OutputChunk *chunk, void *userdata);

typedef struct OutputRequest {
        const char *task_id;
        unsigned attempt; /* 0: the last one */
        uint64_t offset;  /* in the output of that attempt */
        uint64_t limit;   /* bytes in all; UINT64_MAX: no limit */
        bool follow;      /* to the end of the task, later attempts included */
        bool single;      /* one chunk, then the end */
} OutputRequest;
/* NULL when the last call was made already. */
ServiceOutput *service_output(Service *s, const Caller *caller, const OutputRequest *request,
                              service_output_t callback, void *userdata);
void service_output_continue(ServiceOutput *o);
void service_output_cancel(ServiceOutput *o);

/* ---- events in ---- */

/* `event`: the number of the last event there is: that of the change which the call made, if it made one. */
typedef void (*service_published_t)(const ReeveError *error, const TaskRow *task, int64_t event,
                                    void *userdata);
/* Does what an event from elsewhere stands for, by the functions above, and answers as they do. Docs/events.md has the topics,
 * the members of their payloads (an object, borrowed for the call), and what becomes of those that come out of order. */
void service_take_event(Service *s, const Caller *caller, const char *topic, json_t *payload,
                        service_published_t callback, void *userdata);

/* ---- events out ---- */

typedef struct ServiceEvent {
        int64_t number; /* 0: not numbered (task.usage) */
        const char *topic;
        usec_t realtime;
        const char *task_id;
        const char *detail; /* of a numbered event: JSON text of the public fields of the task as it was then */
        const TaskRow *task; /* of task.usage: the task as it is; else NULL */
} ServiceEvent;

/* The number of the last one. */
int64_t service_last_event(const Service *s);

typedef struct MonitorRequest {
        int64_t since;         /* events after this number; -1: from now on */
        const char *task_id;   /* borrowed; NULL: any */
        const char *subsystem; /* borrowed; NULL: any */
        bool usage;            /* also task.usage, each second */
} MonitorRequest;

typedef struct ServiceMonitor ServiceMonitor;
/* Returns 0 to go on, positive to be told nothing more until service_monitor_continue() (nothing is lost by that, but for
 * task.usage), negative to stop: then the monitor is gone. A NULL event: the monitor ends because of the error. */
typedef int (*service_event_t)(const ReeveError *error, const ServiceEvent *event, void *userdata);
int service_monitor(Service *s, const MonitorRequest *request, service_event_t callback, void *userdata,
                    ServiceMonitor **ret, ReeveError *reterr);
void service_monitor_continue(ServiceMonitor *m);
void service_monitor_cancel(ServiceMonitor *m);
