/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Rows of the database as C structs: what registry, store and the adapters exchange. Strings are owned by the row and
 * may be NULL where the column may; times are microseconds, 0 where the column is NULL. */

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "basic/time.h"
#include "common/record/record.h"
#include "common/task-state.h"
#include "common/usage/usage.h"

#define TASK_TITLE_MAX       1024
#define TASK_DESCRIPTION_MAX 8192
#define TASK_CREATED_BY_MAX  256
#define TASK_SLA_MAX         128
#define TASK_METADATA_MAX    (64 * 1024)
#define TASK_METADATA_DEPTH  32 /* nesting of objects and lists */
#define TASK_MESSAGE_MAX     1024
#define TASK_ARGV_SHOWN_MAX  (64 * 1024) /* bytes of JSON; the specification has all of it */
#define TASK_AFTER_MAX       64          /* tasks that one waits for */
#define TASK_UNIQUE_MAX      128
#define TASK_METRICS_MAX     256 /* names in ml_metrics */
#define TASK_METRIC_NAME_MAX 64
#define TASK_PRIORITY_MIN    1
#define TASK_PRIORITY_MAX    10
#define TASK_PRIORITY_NORMAL 5

typedef enum TaskKind {
        TASK_KIND_LAUNCHED,
        TASK_KIND_REPORTED,
        _TASK_KIND_MAX,
} TaskKind;

/* "launched", "reported". */
const char *task_kind_name(TaskKind k);
/* -EINVAL if there is none. */
int task_kind_from_name(const char *name, TaskKind *ret);

typedef enum VerificationStatus {
        VERIFICATION_NONE, /* nothing to verify */
        VERIFICATION_PENDING,
        VERIFICATION_PASSED,
        VERIFICATION_FAILED,
        _VERIFICATION_STATUS_MAX,
} VerificationStatus;

/* "pending", "passed", "failed"; NULL for none. */
const char *verification_status_name(VerificationStatus s);
/* `name` may be NULL. -EINVAL if there is none. */
int verification_status_from_name(const char *name, VerificationStatus *ret);

/* Where the output of a task is. */
typedef enum TaskOutput {
        TASK_OUTPUT_NONE,    /* nowhere that is known: there is none, or it is a process that was attached */
        TASK_OUTPUT_FILE,    /* of the registry */
        TASK_OUTPUT_JOURNAL, /* under the task's id */
        TASK_OUTPUT_CALLER,  /* the descriptors that it was given */
        _TASK_OUTPUT_MAX,
} TaskOutput;

/* "file", "journal", "caller"; NULL for none. */
const char *task_output_name(TaskOutput o);
/* NULL is none. -EINVAL if there is none of that name. */
int task_output_from_name(const char *name, TaskOutput *ret);

/* What a reporter says of his own checks. */
typedef enum ReportedWord {
        REPORTED_NOTHING,
        REPORTED_VERIFIED,
        REPORTED_NOT_VERIFIED,
} ReportedWord;

/* Metrics that have a column of their own: X(ENUM, column and name) */
#define TASK_ML_COLUMNS(X)                        \
        X(DATASET_SIZE_MB, "dataset_size_mb")     \
        X(VECTORS_PROCESSED, "vectors_processed") \
        X(TOKENS_PROCESSED, "tokens_processed")   \
        X(MODEL_SIZE_MB, "model_size_mb")         \
        X(EPOCHS_COMPLETED, "epochs_completed")

typedef enum TaskMl {
#define X(ENUM, name) TASK_ML_##ENUM,
        TASK_ML_COLUMNS(X)
#undef X
                        _TASK_ML_MAX,
} TaskMl;

/* The column. */
const char *task_ml_name(TaskMl m);

/* task_registry */
typedef struct TaskRow {
        int64_t seq; /* rowid: order of creation, cursor of List; 0 before it was inserted */
        char *task_id;
        char *subsystem, *task_type, *title, *description, *created_by;
        TaskKind kind;
        uid_t owner_uid, run_uid;
        gid_t run_gid; /* (gid_t)-1: not known */
        int priority;
        char *metadata; /* JSON text of an object, or NULL */
        char *argv;     /* JSON text of an array of strings, or NULL */
        char *cwd;
        TaskOutput output;
        uint8_t content_hash
                        [32]; /* SHA-256 of what Run was asked: the same id and content is the same task */

        char *policy_hash; /* of the policy in force when it was created; NULL */

        TaskState status;
        TaskOutcome outcome;
        char *message;              /* why, for people; NULL */
        unsigned attempt, attempts; /* the current or last one (0: none yet), and how many there may be */
        RecordBackend backend;
        bool has_backend;
        char *cgroup;
        pid_t pid; /* of the running main process, or of the watched reporter; else 0 */
        bool has_exit;
        int exit_status;       /* valid if has_exit and exit_signal == 0 */
        int exit_signal;       /* 0: it exited */
        bool frozen;           /* not stored: live only */
        bool cancel_requested; /* a Cancel was accepted; survives restarts */

        /* What a pending task waits for, besides its turn. */
        bool held;
        char *after;      /* ids of tasks that must have completed, separated by commas; NULL */
        char *unique_key; /* no other open task of its owner and subsystem has it; NULL */
        usec_t not_before_realtime,
                        not_before_boottime; /* of its next attempt; 0: at once. The second is of boot_id */
        /* Not stored, for who is shown a pending task: */
        char *pending_reason; /* NULL: it does not wait */
        bool has_queue_ahead;
        size_t queue_ahead;             /* tasks that want the same slots and come first */
        usec_t expected_start_realtime; /* 0: nobody knows */

        /* What its reporter said. */
        bool has_progress;
        double progress;           /* 0 to 1 */
        char *progress_message;    /* NULL */
        usec_t heartbeat_usec;     /* the longest silence; 0: any */
        char *ml_metrics;          /* JSON text of an object of numbers; NULL */
        bool has_ml[_TASK_ML_MAX]; /* those of them that are columns */
        double ml[_TASK_ML_MAX];
        char *result_metadata; /* JSON text of an object; NULL */
        bool has_result;
        uint8_t result_hash[32]; /* SHA-256 of what was reported as its end */
        ReportedWord word;       /* on whether the result was checked */
        uint64_t reporter_identity; /* with `pid`: the watched process and no other, within the boot; 0: not known */

        uint8_t boot_id[16];
        usec_t created_realtime, created_boottime;
        usec_t started_realtime, started_boottime; /* of the first attempt */
        usec_t completed_realtime;
        usec_t duration_usec; /* valid if completed and started */

        /* The deadline. The clock that counts is CLOCK_BOOTTIME of the boot sla_boot_id; the wall time is what was promised, and
         * what the other is made from again after a reboot. */
        bool has_sla;
        usec_t sla_span_usec;          /* from the start of its clock */
        usec_t sla_deadline_realtime;  /* 0: its clock has not started */
        int64_t sla_deadline_boottime; /* below 0: before that boot */
        uint8_t sla_boot_id[16];
        char *ladder; /* JSON text of an array: what happens on the way, and what happened (daemon/sla/ladder.h) */
        bool sla_owner_may_extend; /* not only an administrator */
        bool has_sla_margin, has_sla_met;
        int64_t sla_margin_usec; /* to the deadline: at the end, or (not stored) now; below 0: missed by that */
        bool sla_met; /* completed in time; a task that was cancelled or lost before it has no answer */

        char *stuck; /* JSON text of an object: what was found when it last stood still (service/stuck.c); NULL: never */

        Usage usage;

        unsigned verify_commands; /* how many the author sealed */
        VerificationStatus verification;
        unsigned verification_passes, verification_failures; /* rules of the last attempt */
} TaskRow;

/* Is it work that somebody else does and reports? Not so one that was attached, which has a cgroup and an end of its own. */
bool task_is_reported(const TaskRow *t);

void task_row_done(TaskRow *t);
TaskRow *task_row_free(TaskRow *t);
DEFINE_CLEANUP_FUNC(TaskRow *, task_row_free)
/* At most that many bytes has the JSON of the row: its texts with their escapes, and the fixed part. */
size_t task_row_json_bytes(const TaskRow *t);
/* A deep copy, NULL when memory is short. */
TaskRow *task_row_copy(const TaskRow *t);

/* task_attempts */
typedef struct AttemptRow {
        char *task_id;
        unsigned attempt;
        RecordBackend backend;
        char *cgroup;
        pid_t pid, keeper_pid;
        usec_t started_realtime, ended_realtime;
        RecordExit exit_kind;
        int exit_value;
        uint32_t flags; /* RECORD_FLAG_* */
        Usage usage;
} AttemptRow;

void attempt_row_done(AttemptRow *a);

/* Copies of rows elsewhere than on the heap: each replaces the row's strings (which it does not own before) by what
 * `dup` makes of them, NULL staying NULL. -ENOMEM when dup returns NULL; then some strings are replaced, the rest NULL. */
typedef char *(*row_dup_t)(void *userdata, const char *text);
int task_row_dup_strings(TaskRow *t, row_dup_t dup, void *userdata);
int attempt_row_dup_strings(AttemptRow *a, row_dup_t dup, void *userdata);

/* task_resource_snapshots */
typedef struct SnapshotRow {
        unsigned attempt;
        usec_t taken_realtime;
        usec_t elapsed_usec;
        Usage usage;
} SnapshotRow;

/* task_verifications */
typedef struct VerificationRow {
        char *task_id;
        unsigned attempt, rule; /* counted from 1 */
        char *name, *kind;
        bool passed;
        char *evidence; /* JSON text of an object */
        usec_t ended_realtime;
        usec_t duration_usec;
        char *usage;      /* JSON text of an object with usage and usage_sources; NULL: no program ran */
        int64_t cpu_usec; /* as in usage; -1: unknown */
} VerificationRow;

void verification_row_done(VerificationRow *v);
int verification_row_dup_strings(VerificationRow *v, row_dup_t dup, void *userdata);

/* task_events */
typedef struct EventRow {
        int64_t number;
        usec_t realtime;
        char *topic; /* "task.started" */
        char *task_id;
        char *subsystem;
        char *detail; /* JSON text: the public fields of the task as it was then */
} EventRow;

void event_row_done(EventRow *e);
int event_row_dup_strings(EventRow *e, row_dup_t dup, void *userdata);
