/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Every SQL statement of the store, by name, and the columns of its rows, by name.
 *
 * A column list is written once, as an X macro; the enum of its indices and the texts of SELECT, INSERT and UPDATE are
 * made from it, so they cannot disagree. Usage columns come from USAGE_FIELDS in the same way. */

#include "daemon/model/task-row.h"

/* X(ENUM, column): what never changes after creation */
#define TASK_FIXED_COLUMNS(X)                 \
        X(TASK_ID, "task_id")                 \
        X(SUBSYSTEM, "subsystem")             \
        X(TASK_TYPE, "task_type")             \
        X(KIND, "kind")                       \
        X(OWNER_UID, "owner_uid")             \
        X(RUN_UID, "run_uid")                 \
        X(RUN_GID, "run_gid")                 \
        X(CREATED_BY, "created_by")           \
        X(ARGV, "argv")                       \
        X(CWD, "cwd")                         \
        X(OUTPUT, "output")                   \
        X(CONTENT_HASH, "content_hash")       \
        X(VERIFY_COMMANDS, "verify_commands") \
        X(POLICY_HASH, "policy_hash")         \
        X(AFTER_TASKS, "after_tasks")         \
        X(UNIQUE_KEY, "unique_key")           \
        X(CREATED_AT, "created_at")           \
        X(CREATED_BOOTTIME, "created_boottime")

/* What an update writes, besides usage. The boot is that in which the task was last started or created. */
#define TASK_MUTABLE_COLUMNS(X)                           \
        X(TITLE, "title")                                 \
        X(DESCRIPTION, "description")                     \
        X(PRIORITY, "priority")                           \
        X(METADATA, "metadata")                           \
        X(STATUS, "status")                               \
        X(OUTCOME, "outcome")                             \
        X(MESSAGE, "message")                             \
        X(ATTEMPT, "attempt")                             \
        X(ATTEMPTS, "attempts")                           \
        X(BACKEND, "backend")                             \
        X(CGROUP, "cgroup")                               \
        X(PID, "pid")                                     \
        X(EXIT_STATUS, "exit_status")                     \
        X(EXIT_SIGNAL, "exit_signal")                     \
        X(CANCEL_REQUESTED, "cancel_requested")           \
        X(HELD, "held")                                   \
        X(NOT_BEFORE, "not_before")                       \
        X(NOT_BEFORE_BOOTTIME, "not_before_boottime")     \
        X(PROGRESS, "progress")                           \
        X(PROGRESS_MESSAGE, "progress_message")           \
        X(HEARTBEAT, "heartbeat_usec")                    \
        X(ML_METRICS, "ml_metrics")                       \
        TASK_ML_COLUMNS(X)                                \
        X(RESULT_METADATA, "result_metadata")             \
        X(RESULT_HASH, "result_hash")                     \
        X(VERIFICATION_REPORTED, "verification_reported") \
        X(REPORTER_IDENTITY, "reporter_identity")         \
        X(BOOT_ID, "boot_id")                             \
        X(STARTED_AT, "started_at")                       \
        X(STARTED_BOOTTIME, "started_boottime")           \
        X(COMPLETED_AT, "completed_at")                   \
        X(DURATION_SECONDS, "duration_seconds")           \
        X(VERIFICATION_STATUS, "verification_status")     \
        X(VERIFICATION_PASSES, "verification_passes")     \
        X(VERIFICATION_FAILURES, "verification_failures") \
        X(SLA_SPAN, "sla_span")                           \
        X(SLA_DEADLINE, "sla_deadline")                   \
        X(SLA_DEADLINE_BOOTTIME, "sla_deadline_boottime") \
        X(SLA_BOOT_ID, "sla_boot_id")                     \
        X(SLA_LADDER, "sla_ladder")                       \
        X(SLA_OWNER_MAY_EXTEND, "sla_owner_may_extend")   \
        X(SLA_MET, "sla_met")                             \
        X(SLA_MARGIN_SECONDS, "sla_margin_seconds")       \
        X(STUCK, "stuck")

/* As selected and inserted: seq, fixed, usage_sources, mutable, usage. */
typedef enum TaskColumn {
        TASK_COLUMN_SEQ,
#define X(ENUM, name) TASK_COLUMN_##ENUM,
        TASK_FIXED_COLUMNS(X) TASK_COLUMN_USAGE_SOURCES,
        TASK_MUTABLE_COLUMNS(X) TASK_COLUMN_USAGE,
#undef X
        _TASK_COLUMN_MAX = TASK_COLUMN_USAGE + _USAGE_FIELD_MAX,
} TaskColumn;

#define ATTEMPT_COLUMNS(X)          \
        X(BACKEND, "backend")       \
        X(CGROUP, "cgroup")         \
        X(PID, "pid")               \
        X(KEEPER_PID, "keeper_pid") \
        X(STARTED_AT, "started_at") \
        X(ENDED_AT, "ended_at")     \
        X(EXIT_KIND, "exit_kind")   \
        X(EXIT_VALUE, "exit_value") \
        X(FLAGS, "flags")

typedef enum AttemptColumn {
        ATTEMPT_COLUMN_TASK_ID,
        ATTEMPT_COLUMN_ATTEMPT,
        ATTEMPT_COLUMN_USAGE_SOURCES,
#define X(ENUM, name) ATTEMPT_COLUMN_##ENUM,
        ATTEMPT_COLUMNS(X) ATTEMPT_COLUMN_USAGE,
#undef X
} AttemptColumn;

typedef enum SnapshotColumn {
        SNAPSHOT_COLUMN_TASK_ID,
        SNAPSHOT_COLUMN_ATTEMPT,
        SNAPSHOT_COLUMN_TAKEN_AT,
        SNAPSHOT_COLUMN_ELAPSED,
        SNAPSHOT_COLUMN_USAGE_SOURCES,
        SNAPSHOT_COLUMN_USAGE,
} SnapshotColumn;

typedef enum VerificationColumn {
        VERIFICATION_COLUMN_TASK_ID,
        VERIFICATION_COLUMN_ATTEMPT,
        VERIFICATION_COLUMN_RULE,
        VERIFICATION_COLUMN_NAME,
        VERIFICATION_COLUMN_KIND,
        VERIFICATION_COLUMN_PASSED,
        VERIFICATION_COLUMN_EVIDENCE,
        VERIFICATION_COLUMN_ENDED_AT,
        VERIFICATION_COLUMN_DURATION,
        VERIFICATION_COLUMN_USAGE,
        VERIFICATION_COLUMN_CPU,
} VerificationColumn;

typedef enum EventColumn {
        EVENT_COLUMN_NUMBER,
        EVENT_COLUMN_TIMESTAMP,
        EVENT_COLUMN_TOPIC,
        EVENT_COLUMN_TASK_ID,
        EVENT_COLUMN_SUBSYSTEM,
        EVENT_COLUMN_DETAIL,
} EventColumn;

typedef enum LogColumn {
        LOG_COLUMN_ENTRY,
        LOG_COLUMN_NUMBER,
        LOG_COLUMN_TIMESTAMP,
        LOG_COLUMN_ACTION,
        LOG_COLUMN_TASK_ID,
        LOG_COLUMN_SUBSYSTEM,
        LOG_COLUMN_DETAIL,
} LogColumn;

typedef enum CountColumn {
        COUNT_COLUMN_SUBSYSTEM,
        COUNT_COLUMN_TASK_TYPE,
        COUNT_COLUMN_OWNER_UID,
        COUNT_COLUMN_STATUS,
        COUNT_COLUMN_TASKS,
} CountColumn;

/* Columns that OPEN_TASKS has behind those of a task. */
#define OPEN_COLUMN_SPEC   (_TASK_COLUMN_MAX)
#define OPEN_COLUMN_TICKET (_TASK_COLUMN_MAX + 1)
#define OPEN_COLUMN_POLICY (_TASK_COLUMN_MAX + 2)

typedef enum StoreStatement {
        /* transactions */
        STORE_SQL_BEGIN_WRITE,
        STORE_SQL_BEGIN_READ,
        STORE_SQL_COMMIT,
        STORE_SQL_ROLLBACK,
        STORE_SQL_SAVEPOINT,
        STORE_SQL_RELEASE,
        STORE_SQL_ROLLBACK_TO,

        /* writer */
        STORE_SQL_INSERT_TASK, /* parameters: the index of the column */
        STORE_SQL_UPDATE_TASK, /* parameters: from TASK_COLUMN_USAGE_SOURCES on, then the id */
        STORE_SQL_PUT_SPEC,    /* id, spec, ticket */
        STORE_SQL_ERASE_SPEC,  /* id */
        STORE_SQL_PUT_POLICY,  /* hash, policy */
        STORE_SQL_PUT_ATTEMPT, /* parameters: the index of the column + 1 */
        STORE_SQL_INSERT_SNAPSHOT,
        STORE_SQL_INSERT_EVENT,          /* parameters: the index of the column */
        STORE_SQL_PUT_VERIFICATION,      /* parameters: the index of the column + 1 */
        STORE_SQL_PUT_METRIC,            /* task id, step, name, value */
        STORE_SQL_INSERT_LOG_ENTRY,      /* LogColumn + 1 */
        STORE_SQL_PUT_LOG_TILE,          /* level, tile, hashes: behind those that it has */
        STORE_SQL_INSERT_LOG_CHECKPOINT, /* entries, timestamp, note */
        STORE_SQL_LOG_SIZE,              /* -> entries */
        STORE_SQL_LOG_CHECKPOINTED,      /* -> entries of the last checkpoint, 0: none */

        /* readers */
        STORE_SQL_TASK_BY_ID,          /* id */
        STORE_SQL_POLICY_OF_TASK,      /* task id -> hash, policy; NULL: it has none */
        STORE_SQL_TASK_BY_SEQ,         /* seq */
        STORE_SQL_WALK_ALL,            /* below, lowest; newest first */
        STORE_SQL_WALK_CREATOR,        /* below, lowest, created_by; newest first */
        STORE_SQL_NEXT_OF_GROUP,       /* below, lowest, subsystem, task_type, owner_uid, status -> seq */
        STORE_SQL_COUNTS,              /* CountColumn, ordered by subsystem */
        STORE_SQL_SPANS,               /* highest block, since, until -> block, newest first */
        STORE_SQL_SNAPSHOTS,           /* id, limit; newest first */
        STORE_SQL_EVENTS,              /* after, limit */
        STORE_SQL_EVENTS_OF_TASK,      /* after, limit, task id */
        STORE_SQL_EVENTS_OF_SUBSYSTEM, /* after, limit, subsystem */
        STORE_SQL_VERIFICATIONS,       /* id; in order of attempt and rule */
        STORE_SQL_SPEC,                /* id -> spec, ticket */
        STORE_SQL_DURATION_OWNERS,     /* subsystem, task_type, limit -> owner_uid */
        STORE_SQL_DURATIONS, /* subsystem, task_type, owner_uid, limit -> seq, seconds; newest first */
        STORE_SQL_OPEN_TASKS,
        STORE_SQL_LAST_EVENT,
        STORE_SQL_LOG_ENTRIES, /* from, limit -> LogColumn; oldest first */
        STORE_SQL_LOG_NEWEST,  /* below, lowest, limit, action pattern or NULL -> LogColumn; newest first */
        STORE_SQL_LOG_OF_TASK, /* the same, task id */
        STORE_SQL_LOG_TILE,    /* level, tile -> hashes */
        STORE_SQL_LAST_LOG_CHECKPOINT, /* -> entries, note */
        STORE_SQL_LOG_CHECKPOINT_OF,   /* entries -> entries, note: the first that covers as many */
        STORE_SQL_DATABASE_BYTES,
        _STORE_STATEMENT_MAX,
} StoreStatement;

/* Static. */
const char *store_sql(StoreStatement s);
