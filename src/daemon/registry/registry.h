/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* The registry in memory: every task that has not ended, and the lifecycle. It does no input or output: what must be
 * stored, launched or told is the caller's (daemon/service) to do. Tasks that ended live in the database only. */

#include <stdbool.h>

#include "basic/error.h"
#include "basic/hash.h"
#include "basic/list.h"
#include "basic/prioq.h"
#include "common/clock.h"
#include "common/launcher-protocol.h"
#include "common/net/net.h"
#include "daemon/model/task-row.h"

typedef struct Registry Registry;
typedef struct Task Task;
typedef struct TaskPolicy TaskPolicy; /* daemon/policy */

/* What is happening to a task besides its state: at most one act of each kind at a time. */
#define TASK_DOING_INSERT (1U << 0) /* its row is being committed */
#define TASK_DOING_LAUNCH (1U << 1) /* Launch was sent, the answer is out */
#define TASK_DOING_FINISH (1U << 2) /* its end is being committed */
#define TASK_RECORD_ENDED (1U << 3) /* its record says ended, and waits for the others */
#define TASK_DOING_STEP   (1U << 4) /* a step of its ladder was sent to the launcher, the answer is out */
#define TASK_DOING_FETCH  (1U << 5) /* what it takes to start it is being read from the database */

struct Task {
        TaskRow row;
        unsigned doing; /* TASK_DOING_* */

        /* To start it: kept until it runs. The descriptors die with the daemon. */
        int spec_fd; /* the sealed memfd; -EBADF: not there */
        uint8_t ticket[LAUNCHER_TICKET_SIZE];
        bool has_ticket;
        int *stdio_fds; /* owned */
        size_t n_stdio_fds;
        bool attaches;        /* the specification names a process that runs: Adopt instead of Launch */
        bool start_is_stored; /* the database has specification and ticket, and there are no descriptors */

        TaskPolicy *policy; /* what was in force when it was created: a reference; NULL: nothing was known of it */

        /* Lists of the service: who waits for the answer of Run, who for the end. Empty when the task is freed. */
        ListLink runs;
        ListLink waits;

        usec_t kill_boottime; /* a cancelled task is killed then */
        size_t kill_index;    /* in the service's queue of kills; PRIOQ_NONE: it is not */
        unsigned launch_tries;

        struct TaskLadder *
                        ladder; /* the service's (service/sla.c): its deadline and what leads to it; NULL: none */
        struct TaskStuck *
                        stuck; /* the service's (service/stuck.c): whether it is; NULL: no rule is in force */
        struct TaskLadder *stuck_ladder; /* what is done about that; NULL: nothing */
        unsigned n_steps_out;            /* of TASK_DOING_STEP */
        bool ended_by_ladder; /* what ends it now is a step of its ladder: row.message says which */

        bool sampled; /* the sampler knows it */
        NetRef net;   /* of the network counters of the attempt that runs */

        struct TaskQueue *queue;   /* the service's (service/queue.c); NULL: it does not queue */
        ListLink dependents;       /* of the service: who waits for its end (service/after.c) */
        struct TaskReport *report; /* of the service (service/report-watch.c); NULL: nobody reports it */

        struct ServiceHook *hook;                 /* of the service; NULL: it is no hook */
        struct ServiceVerification *verification; /* of the service, while the task is verifying */
};

typedef struct RegistryConfig {
        const Clock *clock;
        unsigned tasks_per_uid; /* open tasks of one uid other than root; 0: no limit */
        uint8_t boot_id[16];
        void (*release)(Task *t); /* before a task is freed: gives up what belongs to other parts; NULL: nothing does */
} RegistryConfig;

int registry_new(const RegistryConfig *config, Registry **ret);
/* Frees all tasks too. */
Registry *registry_free(Registry *r);
DEFINE_CLEANUP_FUNC(Registry *, registry_free)

/* Changes tasks_per_uid. A recovering daemon begins without a limit, so that what was accepted once stays. */
void registry_set_limit(Registry *r, unsigned tasks_per_uid);

/* NULL if no such task is open. */
Task *registry_get(Registry *r, const char *task_id);
size_t registry_size(const Registry *r);
/* As hash_next(): iteration that allows removal. */
Task *registry_next(Registry *r, size_t *cursor);

/* Takes the row over (it is empty afterwards) on success. AlreadyExists; LimitExceeded when the owner has too many open
 * tasks; -ENOMEM. A row without times gets created_* and boot_id. */
int registry_add(Registry *r, TaskRow *row, Task **ret, ReeveError *reterr);

/* Forgets and frees a task, whose lists must be empty and which must be in no queue. */
void registry_remove(Registry *r, Task *t);

/* Drops what only the start of a task needs: specification, ticket and descriptors. */
void task_drop_start(Task *t);

/* ---- transitions: the only places where row.status changes ---- */

/* pending -> active: an attempt runs. Times are those of the attempt; the first attempt's are kept. */
void task_started(Task *t, const AttemptRow *a, usec_t started_boottime);

/* The end of an attempt: active -> verifying if it exited with 0, or with another status that is `accepted`; else -> failed, cancelled or lost, by how it ended and by what was
 * asked. A pending task may end so too (its attempt was over before anybody looked): it passes active. The attempt's
 * usage becomes the task's account. What is verifying afterwards is moved on by task_verified(), at once if there is
 * nothing to verify. */
void task_attempt_ended(Task *t, const AttemptRow *a, usec_t duration_usec, bool accepted);

/* The final state and outcome that the end of this attempt would give the task, or verifying. Changes nothing. */
TaskState task_judge_attempt(const Task *t, const AttemptRow *a, bool accepted, TaskOutcome *ret_outcome);

/* active -> pending: the attempt did not succeed, and is followed by another one. It becomes the row's, as if it were the last.
 * verifying -> pending: `a` NULL, the row has it already. */
void task_next_attempt(Task *t, const AttemptRow *a);

/* pending -> active: its reporter says that it has begun. */
void task_report_started(Task *t, usec_t realtime, usec_t boottime);

/* active -> verifying with `success`, else -> failed/reported; a pending one passes active, and took no time that is known. The
 * message of a failure is the caller's to set before. */
void task_report_ended(Task *t, bool success, usec_t realtime, usec_t boottime);

/* verifying -> completed, or with `fails` -> failed/verification. row.verification and its counts are the caller's to set before,
 * and so is the message of a failure. `realtime` 0: the task has its time of completion already. */
void task_verified(Task *t, bool fails, usec_t realtime);

/* pending, active, verifying -> failed, cancelled or lost without an attempt that ended. `message` is copied; may be NULL. */
void task_ended_otherwise(Task *t, TaskState state, TaskOutcome outcome, const char *message,
                          usec_t realtime);

/* Replaces row.message by a formatted text; keeps the old one when memory is short. */
void task_set_message(Task *t, const char *format, ...) _printf_(2, 3);
