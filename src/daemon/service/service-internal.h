/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* What the files of the service share. A task's way through them:
 *
 *     request.c  the request is checked
 *     run.c      it is authorised, committed, launched                            pending -> active
 *     queue.c    before that: it waits for its turn, after.c: for other tasks      pending; queue-show.c tells of it
 *     retry.c    it did not succeed, and is to be tried again               active, verifying -> pending
 *     finish.c   its record says ended (or nothing will ever come): committed    -> completed, failed, cancelled, lost
 *     verify.c   what must be true of it is checked, verify-program.c: by programs       verifying -> completed, failed
 *     unique.c   there is one of its kind at a time
 *     hook.c     a hook goes this way too, without a specification and with more attempts
 *     report-start.c, report.c, report-watch.c   work that others do and report: taken up, told of, given up
 *     report-attach.c, attachment.c   a process of the reporter's joins its task and is counted
 *     publish.c  events from elsewhere become such reports, publish-topic.c: which there are
 *     control.c  signals, freezing, cancelling
 *     policy.c   the policy in force, and what of it applies to a task
 *     sla.c      its deadline, from acceptance to end; ladder.c does the steps on the way
 *     stuck.c    whether it is stuck: it is looked at, and what is found goes on as a ladder
 *     hold.c     requests that wait while the connection to the launcher is being made
 *     recover.c  the same from rows, records and live cgroups after a restart of ours, the launcher's or the machine's
 *
 * and beside it: query.c, monitor.c, output.c, doctor.c, snapshot.c (the sampler's callbacks). */

#include "basic/list.h"
#include "basic/prioq.h"
#include "daemon/launch/launcher-client.h"
#include "daemon/launch/record-watch.h"
#include "daemon/policy/policy.h"
#include "daemon/queue/queue.h"
#include "daemon/registry/registry.h"
#include "daemon/sampler/sampler.h"
#include "daemon/service/service.h"
#include "daemon/sla/sla.h"
#include "daemon/stuck/stuck.h"

typedef struct ServicePolicyLoad ServicePolicyLoad;

struct Service {
        sd_event *event;
        const Clock *clock;
        Instance instance;
        Settings settings;
        ServiceReports reports;
        uint8_t boot_id[16];
        usec_t started_boottime;

        Store *store;
        Registry *registry;
        LauncherClient *launcher;
        LauncherClient *urgent; /* to its process for steps of ladders, which do not wait for launches */
        RecordWatch *records;
        Sampler *sampler;
        int cgroup_fd; /* the cgroup2 mount; -EBADF: none */
        int net_fd;    /* the map with the network counters, as of the last launcher; -EBADF: none */
        uint32_t net_map_id;

        struct {
                Policy *current;  /* NULL: the files did not load at the start */
                ReeveError error; /* of the last load; code NONE: it went well */
                usec_t loaded_realtime;
                ServicePolicyLoad *load; /* that is under way */
                ListLink served;         /* PolicyWaiter: who is answered by it */
                ListLink waiting;        /* and who came after it began */
        } policy;

        ListLink monitors;      /* ServiceMonitor */
        bool publishing;        /* their list is being walked */
        unsigned n_watching;    /* of them, with usage */
        ListLink outputs;       /* ServiceOutput that follow */
        unsigned n_uncommitted; /* writes of `started` that are on their way to the database */
        int64_t last_event;     /* number of the last published event */

        StoreWrite *snapshots; /* that gather; NULL: none */
        unsigned n_snapshots;
        sd_event_source *snapshots_source;

        Prioq *kills;                /* cancelled tasks, by kill_boottime */
        sd_event_source *kill_timer; /* of the first of them */
        sd_event_source *sign_timer;
        uint64_t signed_entries; /* of the log, by the last checkpoint that was told of */
        Sla *sla;                /* the ladders of all open tasks */
        HookRunner hooks;        /* hook.c, unless a test has its own */
        uid_t hook_uid;          /* of user reeve-hook; 0: nobody asked yet */
        gid_t hook_gid;
        sd_event_source *retry_timer; /* tasks that wait for the launcher to make up its mind */

        ListLink held; /* ServiceHeld */
        sd_event_source *hold_timer;
        usec_t launcher_away_boottime; /* since when; USEC_INFINITY: it is there */

        ListLink published;      /* PublishOp: events from elsewhere that are not answered */
        ListLink published_next; /* of them, those whose turn it is */
        Hash *publishers;        /* of them, by task, those that others wait for */
        sd_event_source *publish_source;

        Hash *reporters;   /* Reporter: processes that are watched */
        Prioq *heartbeats; /* TaskReport, by silent_boottime */
        sd_event_source *heartbeat_timer;
        Prioq *stuck_looks; /* TaskStuck of reported tasks, by look_boottime */
        sd_event_source *stuck_timer;

        ListLink verifications; /* ServiceVerification */

        Queue *queue;
        bool queue_runs;              /* service_queue_run() is under way */
        Prioq *pauses;                /* TaskQueue, by not_before_boottime */
        sd_event_source *pause_timer; /* of the first of them; NULL: nothing has paused yet */
        Hash *uniques;                /* Task by owner, subsystem and key */
        Hash *histories;              /* History, of queue-show.c */
        size_t n_checks;              /* of all of them: those that are out */
        bool checks_wait;             /* one was not started because there were too many */
};

/* What Task.ladder points to. */
typedef struct TaskLadder {
        SlaTask sla;
        Task *task;
        /* of Task.stuck_ladder: */
        bool is_stuck;
        unsigned episode;      /* from 1 */
        unsigned first_bit;    /* of the record, for its steps */
        usec_t found_realtime; /* from when its steps count */
} TaskLadder;

/* What Task.queue points to: its place in the queue. */
typedef struct TaskQueue {
        Service *service;
        Task *task;
        QueueEntry entry;
        ListLink needs;     /* tasks that must have completed before (after.c) */
        size_t pause_index; /* in Service.pauses; PRIOQ_NONE: it does not pause */
        char *unique;       /* its key in Service.uniques; NULL: none, or given up */
        bool settled;       /* that no earlier daemon has launched it is known */
} TaskQueue;

/* What an asynchronous step remembers: the task may be gone when it comes back, its id is not. Freed by the step. */
typedef struct TaskOp {
        Service *service;
        char task_id[TASK_ID_MAX + 1];
        unsigned attempt; /* where it is about one record */
        /* the event that is being committed with it: service_write_event() fills these */
        const char *topic; /* static */
        usec_t realtime;
        char *detail;
} TaskOp;
/* NULL when memory is short. */
TaskOp *task_op_new(Service *s, const Task *t);
TaskOp *task_op_free(TaskOp *op);
DEFINE_CLEANUP_FUNC(TaskOp *, task_op_free)

/* ---- run.c ---- */

/* Sends Launch for a pending task that has all it needs. What comes of it is run.c's. */
void service_launch(Service *s, Task *t);
/* Answers everybody who waits for the answer of Run. */
void service_answer_runs(Service *s, Task *t, const ReeveError *error);
/* Frees them without an answer. */
void service_drop_runs(Task *t);
/* Who waits for the insertion of the task's row. -ENOMEM. */
int service_add_run(Task *t, service_task_t callback, void *userdata);
/* The row was not inserted, so there is no task: answers, with the one that has the id if it is the same, and forgets it. */
void service_insert_failed(Service *s, Task *t, const ReeveError *error);

/* ---- queue.c ---- */

int service_start_queue(Service *s, ReeveError *reterr);
/* When the registry is gone. */
void service_stop_queue(Service *s);
/* Another policy is in force. */
void service_queue_limit(Service *s);
/* A task that was just added: it is parked, or, if it is not pending, has a slot. -ENOMEM. */
int service_queue_enter(Service *s, Task *t);
/* Its row was committed: launches it, or answers that it has to wait. May end it. */
void service_queue_admit(Service *s, Task *t);
/* Has it wait for its turn, if nothing keeps it from that. Launches nothing. */
void service_queue_ready(Service *s, Task *t);
/* Launches whose turn it is. */
void service_queue_run(Service *s);
/* Launches a task that has a slot. */
void service_queue_launch(Service *s, Task *t);
/* It runs: it has a slot. */
void service_queue_started(Service *s, Task *t);
/* Gives its slot back until not_before. */
void service_queue_pause(Service *s, Task *t);
/* It has ended. */
void service_queue_leave(Service *s, Task *t);
/* Is it pending, and nothing is done about its start? */
bool service_queue_waits(const Task *t);
/* All tasks were loaded: finds out what this one waits for. */
void service_queue_recover(Service *s, Task *t);
/* Frees Task.queue, and the links of others into the task. */
void service_release_queue(Task *t);

/* ---- queue-show.c ---- */

#define PENDING_REASON_SIZE 320
/* Fills what a row says of the wait of a pending task, but for pending_reason, which goes to `text` ("": none). */
void service_queue_describe(Service *s, const Task *t, TaskRow *row, char text[static PENDING_REASON_SIZE]);
/* The same for a page of a list, with pending_reason. */
void service_queue_describe_rows(Service *s, TaskRow **rows, size_t n);
/* Somebody may soon ask when a task of this kind is likely to start. */
void service_want_history(Service *s, const TaskRow *row);
void service_drop_histories(Service *s);

/* ---- after.c ---- */

/* Makes the needs of the row. -ENOMEM. */
int service_after_begin(Service *s, Task *t);
void service_after_forget(TaskQueue *q);
/* The end of this task is committed, or it will never be: those that wait for it go on, or are cancelled. */
void service_after_ended(Service *s, Task *t);
/* "waits for ID and 2 more"; how many. */
size_t service_after_describe(const TaskQueue *q, char *text, size_t size);

/* ---- unique.c ---- */

/* The open task that has the key of this row; NULL if there is none, or no key. */
Task *service_unique_find(Service *s, const TaskRow *row);
int service_unique_claim(Service *s, Task *t);
void service_unique_release(TaskQueue *q);

/* ---- retry.c ---- */

/* Is a task whose attempt ended so tried again? */
bool service_may_retry(const Task *t, TaskOutcome outcome);
/* Does that: true, and the attempt is committed; `a` NULL: it was before, and then verified. Else changes nothing. */
bool service_retry(Service *s, Task *t, TaskOutcome outcome, const AttemptRow *a);

/* ---- policy.c ---- */

/* At the start. A policy that does not load is no failure: then new work is refused. */
void service_load_policy(Service *s);
void service_drop_policy(Service *s);
/* What applies to a task that this caller wants: fills uid and groups of the query. */
int service_resolve_policy(Service *s, const Caller *caller, PolicyQuery *q, TaskPolicy **ret,
                           ReeveError *reterr);
/* Adds the policy (may be NULL) to a write, unless the database has it. */
int service_write_policy(StoreWrite *w, const TaskPolicy *p);
/* That write was committed. */
void service_policy_stored(TaskPolicy *p);
/* RegistryConfig.release */
void service_release_task(Task *t);
/* The policy of a task that was open when we stopped; tasks with the same hash share it through `known`. */
TaskPolicy *service_recover_policy(Hash *known, const char *hash, const char *text);
/* Frees the table, when all tasks have theirs. */
void service_forget_recovered(Hash *known);

/* ---- finish.c ---- */

/* Looks at the record of the task's current attempt (attempt + 1 while pending): takes over what it says. 1 if there is
 * one that has at least started, 0 if there is none or it is only claimed, negative errno. */
int service_look_at_record(Service *s, Task *t);
/* Commits that the attempt runs, and begins to sample it. */
void service_commit_started(Service *s, Task *t, const AttemptRow *a);
void service_on_record_closed(const char *name, void *userdata);
/* What only samples know, the final account of the attempt keeps. */
void service_keep_sampled(const Task *t, AttemptRow *a);
/* The signal that ended it, 0: none. */
int service_killed_by(const AttemptRow *a);
/* Commits an end that the row has already; `a` NULL: the attempt was committed before, or there was none. */
void service_commit_end(Service *s, Task *t, const AttemptRow *a);
/* Commits an end that needs no record. */
void service_end_otherwise(Service *s, Task *t, TaskState state, TaskOutcome outcome, const char *message);

/* ---- verify.c, verify-program.c, verify-rules.c ---- */

/* Does a rule name the status with which the attempt exited, so that it is no failure? */
bool service_accepts_status(const Task *t, const AttemptRow *a);
/* Is there anything to be verified when the task's work has ended well? */
bool service_is_verified(const Task *t);
/* Commits the end of the attempt (NULL: a reported task has none) of a task that is verifying now, then verifies it. */
void service_verify(Service *s, Task *t, const AttemptRow *a);
/* Verifies a task that was verifying when an earlier daemon ended. */
void service_verify_again(Service *s, Task *t);
/* Starts what waits to be started, ends what is over. Does nothing if the task is not verifying. */
void service_verify_go_on(Task *t);
/* Looks at the records of all that run for it. */
void service_verify_look_at_all(Task *t);
/* The record of a check was closed, or found. */
void service_verify_on_record(Service *s, const char *name, unsigned attempt);
/* The checks that run are killed, and nothing comes of them any more. */
void service_verify_drop(Task *t);
void service_drop_verifications(Service *s);

/* ---- program-name.c ---- */

/* "<task>-<word><number>", the id under which a check or a hook of the task runs; of a very long id the beginning and a hash. */
void service_program_name(const char *task_id, const char *word, size_t number,
                          char ret[static TASK_ID_MAX + 1]);

/* ---- hook.c ---- */

/* HookRunner.run, with the Service as userdata. */
int service_run_hook(const HookRequest *request, hook_done_t callback, void *hook_userdata, void *userdata,
                     ReeveError *reterr);
bool service_is_hook(const TaskRow *row);
/* Has the hook's next attempt started; as launcher_client_launch(). */
int service_launch_hook(Service *s, Task *t, launcher_launched_t callback, void *userdata,
                        ReeveError *reterr);
/* Does the next attempt of this pending hook have to wait yet? */
bool service_hook_pauses(const Task *t);
/* An attempt has ended: true if it was a hook's, and there will be another one. Then the attempt was committed. */
bool service_hook_tries_again(Service *s, Task *t, const AttemptRow *a);
/* The task's end was committed; if it is a hook, who asked for it is told. */
void service_hook_ended(Service *s, Task *t);
void service_recover_hook(Service *s, Task *t);
void service_release_hook(Task *t);

/* ---- attachment.c ---- */

/* Has the task, which is not pending, processes that we can act on? A reported one has those that were attached. */
bool service_has_processes(const Task *t);

/* ---- report-watch.c ---- */

/* -ENOMEM, or what making a timer gives. */
int service_start_reports(Service *s);
void service_stop_reports(Service *s);
/* Nothing more is expected of the task's reporter. Does nothing if nobody reports it. */
void service_report_over(Task *t);
/* Frees Task.report. */
void service_release_report(Task *t);
/* A reported task that was open when we stopped. */
void service_report_recover(Service *s, Task *t);

/* ---- publish.c ---- */

/* -ENOMEM, or what making an event source gives. */
int service_start_publishing(Service *s);
/* Frees what was not answered; after the store and the registry, which call back. */
void service_stop_publishing(Service *s);

/* ---- snapshot.c ---- */
int service_start_sampler(Service *s, ReeveError *reterr);
void service_sample(Service *s, Task *t);
/* Submits the snapshots that gathered, those of this task among them. */
void service_unsample(Service *s, Task *t);
/* Puts what was counted now into the row: peaks stay, and what was reported, where nothing counts. */
void service_take_usage(Task *t, const Usage *counted);
void service_flush_snapshots(Service *s);
/* Asks the launcher, which has just come, where the network counters are. */
void service_find_network_map(Service *s);

/* ---- control.c ---- */
/* The open task that the caller may act on; NULL when the callback was called. */
Task *service_find(Service *s, const Caller *caller, const char *task_id, service_done_t callback,
                   void *userdata);
/* Prepares the kills of cancelled tasks. Negative errno. */
int service_start_kills(Service *s);
/* Carries out a cancellation that was accepted: TERM now, KILL after the grace. */
void service_carry_out_cancel(Service *s, Task *t);
/* Kills it at that time, and again until it is gone. */
void service_kill_later(Service *s, Task *t, usec_t boottime);
/* The task has ended and is not killed any more. */
void service_forget_kill(Service *s, Task *t);

/* ---- sla.c ---- */

int service_start_sla(Service *s, ReeveError *reterr);

/* Gives a new task the deadline and the ladder of its policy, before its row is written. `forecast_p95_usec` is 0 if there is
 * no history. -ENOMEM. */
int service_sla_accept(Service *s, Task *t, usec_t forecast_p95_usec);
/* When the keeper of an attempt that is launched now is to kill it by itself. */
usec_t service_sla_backstop(Service *s, const Task *t);
/* The task has become active; before its row is written. */
void service_sla_started(Service *s, Task *t);
/* Says whether its ladder ended the task whose main process ended then; before the transition. */
void service_sla_blame(Service *s, Task *t, usec_t ended_boottime, int exit_signal);
/* The task has a final state; before its row is written. */
void service_sla_ended(Service *s, Task *t, usec_t ended_boottime);
/* It was verifying, and goes on with another attempt: the clock of its deadline has never stopped. */
void service_sla_goes_on(Service *s, Task *t);
/* The same for one that was verifying since then: whether it met its deadline depends on what it is now. */
void service_sla_verified(TaskRow *row);
/* Fills the margin of a row that is shown, if its task is open. */
void service_sla_margin_now(Service *s, TaskRow *row);
/* A task that was open when we stopped, before anything else is done about it. */
void service_sla_recover(Service *s, Task *t);
/* The launcher is there: the backstop of a running task is what it should be. */
void service_sla_check_backstop(Service *s, Task *t);
/* Frees Task.ladder. */
void service_release_ladder(Service *s, Task *t);
/* The ladder that a row has as text, without times. -EBADMSG */
int service_ladder_of_row(const TaskRow *row, Ladder **ret);
/* A ladder with the steps of a policy; NULL when memory is short. */
Ladder *service_make_ladder(const PolicyStep *policy, size_t n, usec_t span);
/* The text of the ladder in the row, before it is written. */
int service_ladder_to_row(Task *t);

/* ---- ladder.c, ladder-step.c ---- */

/* Does the steps that are due, as far as can be done now. May end the task. */
void service_ladder_act(Service *s, Task *t);
/* The event of a step: the public fields of the task and, as "ladder_step", what became of it; `counted_from` is the
 * deadline in wall-clock time, or what stands for it. NULL when memory is short. */
char *service_ladder_event(const TaskRow *row, const Ladder *l, usec_t counted_from, const LadderStep *step);
/* Settles the steps that were under way when we stopped. */
void service_ladder_recover(Service *s, Task *t, TaskLadder *of);
/* How many bits of the record its steps need. */
unsigned service_ladder_bits(const Ladder *l);

/* ---- stuck.c, stuck-reported.c, stuck-text.c ---- */

/* -ENOMEM, or what making a timer gives. */
int service_start_stuck(Service *s);
void service_stop_stuck(Service *s);
/* The reporter of a task that is active said something, or it began, or it has no process any more. */
void service_stuck_heard(Service *s, Task *t);

/* The attempt runs and is sampled from now on: how often it is to be looked at; 0: its policy has no rule. */
usec_t service_stuck_begin(Service *s, Task *t);
/* A look at it. */
void service_stuck_look(Service *s, Task *t, const SamplerReading *reading);
/* The attempt is not sampled any more: nothing that is still to come of its ladder comes. */
void service_stuck_end(Service *s, Task *t);
/* Frees Task.stuck and Task.stuck_ladder. */
void service_stuck_release(Service *s, Task *t);
/* A task that was open when we stopped: what was said of it is not said again, and its ladder goes on. */
void service_stuck_recover(Service *s, Task *t);
/* The text of it in the row, before it is written. */
int service_stuck_to_row(Task *t);

/* ---- ladder-late.c ---- */

/* The hook of a step has ended, and its task before it. */
typedef struct LadderLateResult {
        const char *task_id; /* borrowed for the call */
        unsigned number;
        usec_t lateness_usec;
} LadderLateResult;
void service_ladder_late_result(Service *s, const LadderLateResult *result, const ReeveError *error);

/* ---- hold.c ---- */

/* Part of a request that needs the launcher. */
typedef struct ServiceHeld {
        ListLink link;
        usec_t until_boottime; /* 0 before the first service_hold(): then it chooses */
        /* The launcher is there, or (`error`, borrowed) will not be: either way it is the request's own again. */
        void (*go)(struct ServiceHeld *h, const ReeveError *error);
        /* Frees the request without an answer: the service ends. */
        void (*drop)(struct ServiceHeld *h);
} ServiceHeld;

int service_start_holding(Service *s);
/* Calls `go` when the launcher is there: before it returns, if it is or if there is no hope. */
void service_hold(Service *s, ServiceHeld *h);
/* The launcher is there. */
void service_release_held(Service *s);
void service_drop_held(Service *s);

/* ---- change.c ---- */
/* Stores the task as it is now, with an event of this topic (static), and then calls back. */
int service_commit_change(Service *s, const Task *t, const char *topic, service_done_t callback,
                          void *userdata);

/* ---- monitor.c ---- */
/* Adds an event about the task, as it is now, to a write, and keeps it in `op` for the publication. */
int service_write_event(StoreWrite *w, TaskOp *op, const Task *t, const char *topic, usec_t realtime);
/* Tells the monitors of the op's event, which was committed. */
void service_publish(Service *s, int64_t number, const TaskOp *op, const TaskRow *row);
void service_publish_usage(Service *s, const TaskRow *row);
void service_end_monitors(Service *s);
const char *service_end_topic(TaskState state);

/* ---- output.c ---- */
/* This attempt of the task started, or it ended, or (`ended`) the task: followers of its output read on. */
void service_output_poke(Service *s, const char *task_id, unsigned attempt, bool ended);
void service_end_outputs(Service *s);

/* ---- recover.c ---- */
int service_recover(Service *s, ReeveError *reterr);
void service_on_launcher_connected(void *userdata);
void service_on_launcher_disconnected(void *userdata);
void service_on_urgent_connected(void *userdata);
#define SERVICE_LAUNCH_TRIES 100 /* then the launcher's refusal is final */
/* Looks again at tasks whose fate the launcher was deciding. */
void service_retry_later(Service *s);
/* Launch gave no answer, or (`spent`) that the attempt was started before: what the record says is done. */
void service_launch_uncertain(Service *s, Task *t, bool spent);
/* Is there a record of a pending task's next attempt, so that it may yet start? */
bool service_has_record(Service *s, const Task *t);
/* A record was closed whose task is not open. */
void service_look_at_stray(Service *s, const char *name);

/* ---- log.c ---- */
/* The name of a new log: what its checkpoints are signed as. */
void service_log_origin(const Instance *i, char ret[static CHECKPOINT_ORIGIN_MAX + 1]);
int service_start_signing(Service *s);
/* Before the store is closed. */
void service_sign_last(Service *s);

/* ---- query.c ---- */
/* Answers everybody who waits for the end: with the row, or with the error. */
void service_answer_waits(Service *s, Task *t, const ReeveError *error);
void service_drop_waits(Task *t);
