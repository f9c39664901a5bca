/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The only place where the layout of structs meets that of tables. Conventions: a time or pid of 0 and an absent string
 * are NULL; enums are their names; an unknown counter is NULL, and each counter has its source's letter in usage_sources.
 * A row read back equals the row written, member by member (tests/unit/daemon/test-store.c checks all of them).
 *
 * Binding collects the first failure in the binder, so that a row is one straight list of lines. */

#include "daemon/store/store-row.h"

#include <errno.h>
#include <math.h>
#include <string.h>

#include "daemon/store/store-sql.h"

/* Stored, so never to be changed; documented in 0001-first-light.sql. */
static const char source_letters[_USAGE_SOURCE_MAX + 1] = {
        [USAGE_UNKNOWN] = '-', [USAGE_KERNEL_FINAL] = 'F', [USAGE_KERNEL] = 'K',
        [USAGE_RUSAGE] = 'R',  [USAGE_PROCFS] = 'P',       [USAGE_REPORTED] = 'S',
};

/* ---- binding ---- */

typedef struct Binder {
        sqlite3_stmt *st;
        int shift; /* parameter = column - shift */
        int rc;    /* first failure */
} Binder;

static void note(Binder *b, int rc)
{
        if (b->rc == SQLITE_OK)
                b->rc = rc;
}

static void put_int(Binder *b, int column, int64_t value)
{
        note(b, sqlite3_bind_int64(b->st, column - b->shift, value));
}

/* Statements are reset with their bindings cleared, so NULL needs no call. */
static void put_int_unless_0(Binder *b, int column, int64_t value)
{
        if (value != 0)
                put_int(b, column, value);
}

static void put_time(Binder *b, int column, usec_t value)
{
        put_int_unless_0(b, column, value > INT64_MAX ? INT64_MAX : (int64_t)value);
}

static void put_text(Binder *b, int column, const char *text)
{
        if (text)
                note(b, sqlite3_bind_text(b->st, column - b->shift, text, -1, SQLITE_STATIC));
}

static void put_blob(Binder *b, int column, const void *data, size_t size)
{
        note(b, sqlite3_bind_blob(b->st, column - b->shift, data, (int)size, SQLITE_STATIC));
}

static void put_usage(Binder *b, int sources_column, int first_column, const Usage *u)
{
        char letters[_USAGE_FIELD_MAX];

        for (int f = 0; f < _USAGE_FIELD_MAX; f++) {
                assert(u->source[f] < _USAGE_SOURCE_MAX);
                letters[f] = source_letters[u->source[f]];
                if (usage_has(u, (UsageField)f))
                        put_int(b, first_column + f, u->value[f]);
        }
        note(b, sqlite3_bind_text(b->st, sources_column - b->shift, letters, sizeof(letters),
                                  SQLITE_TRANSIENT));
}

static void put_task_fixed(Binder *b, const TaskRow *t)
{
        put_text(b, TASK_COLUMN_TASK_ID, t->task_id);
        put_text(b, TASK_COLUMN_SUBSYSTEM, t->subsystem);
        put_text(b, TASK_COLUMN_TASK_TYPE, t->task_type);
        put_text(b, TASK_COLUMN_KIND, task_kind_name(t->kind));
        put_int(b, TASK_COLUMN_OWNER_UID, t->owner_uid);
        put_int(b, TASK_COLUMN_RUN_UID, t->run_uid);
        put_int(b, TASK_COLUMN_RUN_GID, t->run_gid);
        put_text(b, TASK_COLUMN_CREATED_BY, t->created_by);
        put_text(b, TASK_COLUMN_ARGV, t->argv);
        put_text(b, TASK_COLUMN_CWD, t->cwd);
        put_text(b, TASK_COLUMN_OUTPUT, task_output_name(t->output));
        put_blob(b, TASK_COLUMN_CONTENT_HASH, t->content_hash, sizeof(t->content_hash));
        put_int(b, TASK_COLUMN_VERIFY_COMMANDS, t->verify_commands);
        put_text(b, TASK_COLUMN_POLICY_HASH, t->policy_hash);
        put_text(b, TASK_COLUMN_AFTER_TASKS, t->after);
        put_text(b, TASK_COLUMN_UNIQUE_KEY, t->unique_key);
        put_int(b, TASK_COLUMN_CREATED_AT, (int64_t)t->created_realtime);
        put_int(b, TASK_COLUMN_CREATED_BOOTTIME, (int64_t)t->created_boottime);
}

static void put_task_exit(Binder *b, const TaskRow *t)
{
        if (!t->has_exit)
                return;
        if (t->exit_signal != 0)
                put_int(b, TASK_COLUMN_EXIT_SIGNAL, t->exit_signal);
        else
                put_int(b, TASK_COLUMN_EXIT_STATUS, t->exit_status);
}

/* The margin of a task that goes on is that of a moment, and not stored. */
static void put_task_sla(Binder *b, const TaskRow *t)
{
        if (!t->has_sla)
                return;
        put_int(b, TASK_COLUMN_SLA_SPAN, (int64_t)t->sla_span_usec);
        put_text(b, TASK_COLUMN_SLA_LADDER, t->ladder);
        if (t->sla_deadline_realtime != 0) {
                put_time(b, TASK_COLUMN_SLA_DEADLINE, t->sla_deadline_realtime);
                put_int(b, TASK_COLUMN_SLA_DEADLINE_BOOTTIME, t->sla_deadline_boottime);
                put_blob(b, TASK_COLUMN_SLA_BOOT_ID, t->sla_boot_id, sizeof(t->sla_boot_id));
        }
        put_int(b, TASK_COLUMN_SLA_OWNER_MAY_EXTEND, t->sla_owner_may_extend);
        if (t->has_sla_met)
                put_int(b, TASK_COLUMN_SLA_MET, t->sla_met);
        if (t->has_sla_margin && (t->completed_realtime != 0 || t->status == TASK_VERIFYING))
                note(b, sqlite3_bind_double(b->st, TASK_COLUMN_SLA_MARGIN_SECONDS - b->shift,
                                            (double)t->sla_margin_usec / USEC_PER_SEC));
}

static void put_task_report(Binder *b, const TaskRow *t)
{
        if (t->has_progress)
                note(b, sqlite3_bind_double(b->st, TASK_COLUMN_PROGRESS - b->shift, t->progress));
        put_text(b, TASK_COLUMN_PROGRESS_MESSAGE, t->progress_message);
        put_time(b, TASK_COLUMN_HEARTBEAT, t->heartbeat_usec);
        put_text(b, TASK_COLUMN_ML_METRICS, t->ml_metrics);
        for (int m = 0; m < _TASK_ML_MAX; m++)
                if (t->has_ml[m])
                        note(b, sqlite3_bind_double(b->st, TASK_COLUMN_ML_METRICS + 1 + m - b->shift,
                                                    t->ml[m]));
        put_text(b, TASK_COLUMN_RESULT_METADATA, t->result_metadata);
        if (t->has_result)
                put_blob(b, TASK_COLUMN_RESULT_HASH, t->result_hash, sizeof(t->result_hash));
        if (t->word != REPORTED_NOTHING)
                put_int(b, TASK_COLUMN_VERIFICATION_REPORTED, t->word == REPORTED_VERIFIED);
        put_int_unless_0(b, TASK_COLUMN_REPORTER_IDENTITY, (int64_t)t->reporter_identity);
}

static void put_task_mutable(Binder *b, const TaskRow *t)
{
        put_text(b, TASK_COLUMN_TITLE, t->title);
        put_text(b, TASK_COLUMN_DESCRIPTION, t->description);
        put_int(b, TASK_COLUMN_PRIORITY, t->priority);
        put_text(b, TASK_COLUMN_METADATA, t->metadata);
        put_text(b, TASK_COLUMN_STATUS, task_state_name(t->status));
        put_text(b, TASK_COLUMN_OUTCOME, task_outcome_name(t->outcome));
        put_text(b, TASK_COLUMN_MESSAGE, t->message);
        put_int(b, TASK_COLUMN_ATTEMPT, t->attempt);
        put_int(b, TASK_COLUMN_ATTEMPTS, t->attempts);
        put_text(b, TASK_COLUMN_BACKEND, t->has_backend ? record_backend_name(t->backend) : NULL);
        put_text(b, TASK_COLUMN_CGROUP, t->cgroup);
        put_int_unless_0(b, TASK_COLUMN_PID, t->pid);
        put_task_exit(b, t);
        put_int(b, TASK_COLUMN_CANCEL_REQUESTED, t->cancel_requested);
        put_int(b, TASK_COLUMN_HELD, t->held);
        put_time(b, TASK_COLUMN_NOT_BEFORE, t->not_before_realtime);
        put_time(b, TASK_COLUMN_NOT_BEFORE_BOOTTIME, t->not_before_boottime);
        put_blob(b, TASK_COLUMN_BOOT_ID, t->boot_id, sizeof(t->boot_id));
        put_time(b, TASK_COLUMN_STARTED_AT, t->started_realtime);
        put_time(b, TASK_COLUMN_STARTED_BOOTTIME, t->started_boottime);
        put_time(b, TASK_COLUMN_COMPLETED_AT, t->completed_realtime);
        if ((t->completed_realtime != 0 || t->status == TASK_VERIFYING) && t->started_realtime != 0)
                note(b, sqlite3_bind_double(b->st, TASK_COLUMN_DURATION_SECONDS - b->shift,
                                            (double)t->duration_usec / USEC_PER_SEC));
        put_text(b, TASK_COLUMN_VERIFICATION_STATUS, verification_status_name(t->verification));
        put_int(b, TASK_COLUMN_VERIFICATION_PASSES, t->verification_passes);
        put_int(b, TASK_COLUMN_VERIFICATION_FAILURES, t->verification_failures);
        put_task_sla(b, t);
        put_task_report(b, t);
        put_text(b, TASK_COLUMN_STUCK, t->stuck);
        put_usage(b, TASK_COLUMN_USAGE_SOURCES, TASK_COLUMN_USAGE, &t->usage);
}

int store_bind_insert_task(sqlite3_stmt *st, const TaskRow *t)
{
        Binder b = { .st = st };

        put_task_fixed(&b, t);
        put_task_mutable(&b, t);
        return b.rc;
}

int store_bind_update_task(sqlite3_stmt *st, const TaskRow *t)
{
        Binder b = { .st = st, .shift = TASK_COLUMN_USAGE_SOURCES - 1 };

        put_task_mutable(&b, t);
        put_text(&b, _TASK_COLUMN_MAX, t->task_id);
        return b.rc;
}

int store_bind_attempt(sqlite3_stmt *st, const AttemptRow *a)
{
        Binder b = { .st = st, .shift = -1 };

        put_text(&b, ATTEMPT_COLUMN_TASK_ID, a->task_id);
        put_int(&b, ATTEMPT_COLUMN_ATTEMPT, a->attempt);
        put_text(&b, ATTEMPT_COLUMN_BACKEND, record_backend_name(a->backend));
        put_text(&b, ATTEMPT_COLUMN_CGROUP, a->cgroup);
        put_int_unless_0(&b, ATTEMPT_COLUMN_PID, a->pid);
        put_int_unless_0(&b, ATTEMPT_COLUMN_KEEPER_PID, a->keeper_pid);
        put_time(&b, ATTEMPT_COLUMN_STARTED_AT, a->started_realtime);
        put_time(&b, ATTEMPT_COLUMN_ENDED_AT, a->ended_realtime);
        put_text(&b, ATTEMPT_COLUMN_EXIT_KIND, record_exit_name(a->exit_kind));
        put_int(&b, ATTEMPT_COLUMN_EXIT_VALUE, a->exit_value);
        put_int(&b, ATTEMPT_COLUMN_FLAGS, a->flags);
        put_usage(&b, ATTEMPT_COLUMN_USAGE_SOURCES, ATTEMPT_COLUMN_USAGE, &a->usage);
        return b.rc;
}

int store_bind_snapshot(sqlite3_stmt *st, const char *task_id, const SnapshotRow *s)
{
        Binder b = { .st = st, .shift = -1 };

        put_text(&b, SNAPSHOT_COLUMN_TASK_ID, task_id);
        put_int(&b, SNAPSHOT_COLUMN_ATTEMPT, s->attempt);
        put_int(&b, SNAPSHOT_COLUMN_TAKEN_AT, (int64_t)s->taken_realtime);
        put_int(&b, SNAPSHOT_COLUMN_ELAPSED, (int64_t)s->elapsed_usec);
        put_usage(&b, SNAPSHOT_COLUMN_USAGE_SOURCES, SNAPSHOT_COLUMN_USAGE, &s->usage);
        return b.rc;
}

int store_bind_verification(sqlite3_stmt *st, const VerificationRow *v)
{
        Binder b = { .st = st, .shift = -1 };

        put_text(&b, VERIFICATION_COLUMN_TASK_ID, v->task_id);
        put_int(&b, VERIFICATION_COLUMN_ATTEMPT, v->attempt);
        put_int(&b, VERIFICATION_COLUMN_RULE, v->rule);
        put_text(&b, VERIFICATION_COLUMN_NAME, v->name);
        put_text(&b, VERIFICATION_COLUMN_KIND, v->kind);
        put_int(&b, VERIFICATION_COLUMN_PASSED, v->passed);
        put_text(&b, VERIFICATION_COLUMN_EVIDENCE, v->evidence);
        put_int(&b, VERIFICATION_COLUMN_ENDED_AT, (int64_t)v->ended_realtime);
        put_int(&b, VERIFICATION_COLUMN_DURATION, (int64_t)v->duration_usec);
        put_text(&b, VERIFICATION_COLUMN_USAGE, v->usage);
        if (v->cpu_usec >= 0)
                put_int(&b, VERIFICATION_COLUMN_CPU, v->cpu_usec);
        return b.rc;
}

int store_bind_event(sqlite3_stmt *st, const EventRow *e)
{
        Binder b = { .st = st };

        put_int(&b, EVENT_COLUMN_TIMESTAMP, (int64_t)e->realtime);
        put_text(&b, EVENT_COLUMN_TOPIC, e->topic);
        put_text(&b, EVENT_COLUMN_TASK_ID, e->task_id);
        put_text(&b, EVENT_COLUMN_SUBSYSTEM, e->subsystem);
        put_text(&b, EVENT_COLUMN_DETAIL, e->detail);
        return b.rc;
}

/* ---- reading ---- */

static bool is_null(sqlite3_stmt *st, int column)
{
        return sqlite3_column_type(st, column) == SQLITE_NULL;
}

/* 0 for NULL */
static usec_t get_time(sqlite3_stmt *st, int column)
{
        int64_t value = sqlite3_column_int64(st, column);
        return value < 0 ? 0 : (usec_t)value;
}

static int get_text(sqlite3_stmt *st, int column, char **ret)
{
        if (is_null(st, column))
                return 0;
        const char *text = (const char *)sqlite3_column_text(st, column);
        *ret = text ? strdup(text) : NULL;
        return *ret ? 0 : -ENOMEM;
}

static int get_blob(sqlite3_stmt *st, int column, void *ret, size_t size)
{
        const void *data = sqlite3_column_blob(st, column);
        if (!data || (size_t)sqlite3_column_bytes(st, column) != size)
                return -EBADMSG;
        memcpy(ret, data, size);
        return 0;
}

/* A letter of a later version, or a missing one, makes the counter unknown: never a number without a source. */
static UsageSource source_from_letter(char letter)
{
        const char *found = letter ? memchr(source_letters, letter, _USAGE_SOURCE_MAX) : NULL;
        return found ? (UsageSource)(found - source_letters) : USAGE_UNKNOWN;
}

static void get_usage(sqlite3_stmt *st, int sources_column, int first_column, Usage *ret)
{
        const char *letters = (const char *)sqlite3_column_text(st, sources_column);
        int n = sqlite3_column_bytes(st, sources_column);

        for (int f = 0; f < _USAGE_FIELD_MAX; f++) {
                UsageSource source = letters && f < n ? source_from_letter(letters[f]) : USAGE_UNKNOWN;
                int64_t value = sqlite3_column_int64(st, first_column + f);
                if (source == USAGE_UNKNOWN || is_null(st, first_column + f) ||
                    (value < 0 && f != USAGE_STORAGE_DELTA))
                        continue;
                ret->value[f] = value;
                ret->source[f] = (uint8_t)source;
        }
}

static int get_backend(sqlite3_stmt *st, int column, RecordBackend *ret)
{
        const char *name = (const char *)sqlite3_column_text(st, column);
        for (int i = 0; name && i < _RECORD_BACKEND_MAX; i++)
                if (strcmp(record_backend_name((RecordBackend)i), name) == 0) {
                        *ret = (RecordBackend)i;
                        return 0;
                }
        return -EBADMSG;
}

static int get_task_texts(sqlite3_stmt *st, TaskRow *t)
{
        const struct {
                int column;
                char **text;
        } texts[] = {
                { TASK_COLUMN_TASK_ID, &t->task_id },
                { TASK_COLUMN_SUBSYSTEM, &t->subsystem },
                { TASK_COLUMN_TASK_TYPE, &t->task_type },
                { TASK_COLUMN_TITLE, &t->title },
                { TASK_COLUMN_DESCRIPTION, &t->description },
                { TASK_COLUMN_CREATED_BY, &t->created_by },
                { TASK_COLUMN_METADATA, &t->metadata },
                { TASK_COLUMN_ARGV, &t->argv },
                { TASK_COLUMN_CWD, &t->cwd },
                { TASK_COLUMN_MESSAGE, &t->message },
                { TASK_COLUMN_CGROUP, &t->cgroup },
                { TASK_COLUMN_POLICY_HASH, &t->policy_hash },
                { TASK_COLUMN_AFTER_TASKS, &t->after },
                { TASK_COLUMN_UNIQUE_KEY, &t->unique_key },
                { TASK_COLUMN_SLA_LADDER, &t->ladder },
                { TASK_COLUMN_PROGRESS_MESSAGE, &t->progress_message },
                { TASK_COLUMN_ML_METRICS, &t->ml_metrics },
                { TASK_COLUMN_RESULT_METADATA, &t->result_metadata },
                { TASK_COLUMN_STUCK, &t->stuck },
        };

        for (size_t i = 0; i < ELEMENTSOF(texts); i++) {
                int r = get_text(st, texts[i].column, texts[i].text);
                if (r < 0)
                        return r;
        }
        return 0;
}

static int get_task_enums(sqlite3_stmt *st, TaskRow *t)
{
        const char *kind = (const char *)sqlite3_column_text(st, TASK_COLUMN_KIND);
        const char *status = (const char *)sqlite3_column_text(st, TASK_COLUMN_STATUS);
        const char *outcome = (const char *)sqlite3_column_text(st, TASK_COLUMN_OUTCOME);
        if (!kind || !status || !outcome)
                return -ENOMEM;

        t->status = task_state_from_name(status);
        t->outcome = task_outcome_from_name(outcome);
        const char *verification = (const char *)sqlite3_column_text(st, TASK_COLUMN_VERIFICATION_STATUS);
        if (verification_status_from_name(verification, &t->verification) < 0 ||
            task_output_from_name((const char *)sqlite3_column_text(st, TASK_COLUMN_OUTPUT), &t->output) < 0)
                return -EBADMSG;
        if (task_kind_from_name(kind, &t->kind) < 0 || (int)t->status < 0 || (int)t->outcome < 0)
                return -EBADMSG;

        t->has_backend = !is_null(st, TASK_COLUMN_BACKEND);
        return t->has_backend ? get_backend(st, TASK_COLUMN_BACKEND, &t->backend) : 0;
}

static void get_task_numbers(sqlite3_stmt *st, TaskRow *t)
{
        t->seq = sqlite3_column_int64(st, TASK_COLUMN_SEQ);
        t->owner_uid = (uid_t)sqlite3_column_int64(st, TASK_COLUMN_OWNER_UID);
        t->run_uid = (uid_t)sqlite3_column_int64(st, TASK_COLUMN_RUN_UID);
        t->run_gid = (gid_t)sqlite3_column_int64(st, TASK_COLUMN_RUN_GID);
        t->priority = sqlite3_column_int(st, TASK_COLUMN_PRIORITY);
        t->attempt = (unsigned)sqlite3_column_int64(st, TASK_COLUMN_ATTEMPT);
        t->attempts = (unsigned)sqlite3_column_int64(st, TASK_COLUMN_ATTEMPTS);
        t->pid = sqlite3_column_int(st, TASK_COLUMN_PID);
        t->has_exit = !is_null(st, TASK_COLUMN_EXIT_STATUS) || !is_null(st, TASK_COLUMN_EXIT_SIGNAL);
        t->exit_status = sqlite3_column_int(st, TASK_COLUMN_EXIT_STATUS);
        t->exit_signal = sqlite3_column_int(st, TASK_COLUMN_EXIT_SIGNAL);
        t->cancel_requested = sqlite3_column_int(st, TASK_COLUMN_CANCEL_REQUESTED) != 0;
        t->held = sqlite3_column_int(st, TASK_COLUMN_HELD) != 0;
        t->not_before_realtime = get_time(st, TASK_COLUMN_NOT_BEFORE);
        t->not_before_boottime = get_time(st, TASK_COLUMN_NOT_BEFORE_BOOTTIME);
        t->created_realtime = get_time(st, TASK_COLUMN_CREATED_AT);
        t->created_boottime = get_time(st, TASK_COLUMN_CREATED_BOOTTIME);
        t->started_realtime = get_time(st, TASK_COLUMN_STARTED_AT);
        t->started_boottime = get_time(st, TASK_COLUMN_STARTED_BOOTTIME);
        t->completed_realtime = get_time(st, TASK_COLUMN_COMPLETED_AT);
        t->duration_usec = (usec_t)llround(sqlite3_column_double(st, TASK_COLUMN_DURATION_SECONDS) *
                                           USEC_PER_SEC);
        t->verify_commands = (unsigned)sqlite3_column_int64(st, TASK_COLUMN_VERIFY_COMMANDS);
        t->verification_passes = (unsigned)sqlite3_column_int64(st, TASK_COLUMN_VERIFICATION_PASSES);
        t->verification_failures = (unsigned)sqlite3_column_int64(st, TASK_COLUMN_VERIFICATION_FAILURES);
        get_usage(st, TASK_COLUMN_USAGE_SOURCES, TASK_COLUMN_USAGE, &t->usage);
}

static int get_task_sla(sqlite3_stmt *st, TaskRow *t)
{
        t->has_sla = !is_null(st, TASK_COLUMN_SLA_SPAN);
        t->sla_span_usec = get_time(st, TASK_COLUMN_SLA_SPAN);
        t->sla_deadline_realtime = get_time(st, TASK_COLUMN_SLA_DEADLINE);
        t->sla_deadline_boottime = sqlite3_column_int64(st, TASK_COLUMN_SLA_DEADLINE_BOOTTIME);
        t->sla_owner_may_extend = sqlite3_column_int(st, TASK_COLUMN_SLA_OWNER_MAY_EXTEND) != 0;
        t->has_sla_met = !is_null(st, TASK_COLUMN_SLA_MET);
        t->sla_met = sqlite3_column_int(st, TASK_COLUMN_SLA_MET) != 0;
        t->has_sla_margin = !is_null(st, TASK_COLUMN_SLA_MARGIN_SECONDS);
        t->sla_margin_usec =
                        llround(sqlite3_column_double(st, TASK_COLUMN_SLA_MARGIN_SECONDS) * USEC_PER_SEC);
        return t->sla_deadline_realtime == 0 ? 0
                                             : get_blob(st, TASK_COLUMN_SLA_BOOT_ID, t->sla_boot_id,
                                                        sizeof(t->sla_boot_id));
}

static int get_task_report(sqlite3_stmt *st, TaskRow *t)
{
        t->has_progress = !is_null(st, TASK_COLUMN_PROGRESS);
        t->progress = sqlite3_column_double(st, TASK_COLUMN_PROGRESS);
        t->heartbeat_usec = get_time(st, TASK_COLUMN_HEARTBEAT);
        t->reporter_identity = (uint64_t)sqlite3_column_int64(st, TASK_COLUMN_REPORTER_IDENTITY);
        if (!is_null(st, TASK_COLUMN_VERIFICATION_REPORTED))
                t->word = sqlite3_column_int(st, TASK_COLUMN_VERIFICATION_REPORTED) ? REPORTED_VERIFIED
                                                                                    : REPORTED_NOT_VERIFIED;
        for (int m = 0; m < _TASK_ML_MAX; m++) {
                t->has_ml[m] = !is_null(st, TASK_COLUMN_ML_METRICS + 1 + m);
                t->ml[m] = sqlite3_column_double(st, TASK_COLUMN_ML_METRICS + 1 + m);
        }
        t->has_result = !is_null(st, TASK_COLUMN_RESULT_HASH);
        return t->has_result ? get_blob(st, TASK_COLUMN_RESULT_HASH, t->result_hash, sizeof(t->result_hash))
                             : 0;
}

int store_read_task(sqlite3_stmt *st, TaskRow **ret)
{
        assert(st);
        assert(ret);

        _cleanup_(task_row_freep) TaskRow *t = NEW0(TaskRow, 1);
        if (!t)
                return -ENOMEM;

        int r = get_task_texts(st, t);
        if (r < 0)
                return r;
        r = get_task_enums(st, t);
        if (r < 0)
                return r;
        get_task_numbers(st, t);

        r = get_blob(st, TASK_COLUMN_CONTENT_HASH, t->content_hash, sizeof(t->content_hash));
        if (r < 0)
                return r;
        r = get_blob(st, TASK_COLUMN_BOOT_ID, t->boot_id, sizeof(t->boot_id));
        if (r < 0)
                return r;
        r = get_task_sla(st, t);
        if (r < 0)
                return r;
        r = get_task_report(st, t);
        if (r < 0)
                return r;

        *ret = TAKE_PTR(t);
        return 0;
}

int store_read_snapshot(sqlite3_stmt *st, SnapshotRow *ret)
{
        assert(st);
        assert(ret);

        *ret = (SnapshotRow){
                .attempt = (unsigned)sqlite3_column_int64(st, SNAPSHOT_COLUMN_ATTEMPT),
                .taken_realtime = get_time(st, SNAPSHOT_COLUMN_TAKEN_AT),
                .elapsed_usec = get_time(st, SNAPSHOT_COLUMN_ELAPSED),
        };
        get_usage(st, SNAPSHOT_COLUMN_USAGE_SOURCES, SNAPSHOT_COLUMN_USAGE, &ret->usage);
        return 0;
}

int store_read_verification(sqlite3_stmt *st, VerificationRow *ret)
{
        assert(st);
        assert(ret);

        *ret = (VerificationRow){
                .attempt = (unsigned)sqlite3_column_int64(st, VERIFICATION_COLUMN_ATTEMPT),
                .rule = (unsigned)sqlite3_column_int64(st, VERIFICATION_COLUMN_RULE),
                .passed = sqlite3_column_int(st, VERIFICATION_COLUMN_PASSED) != 0,
                .ended_realtime = get_time(st, VERIFICATION_COLUMN_ENDED_AT),
                .duration_usec = get_time(st, VERIFICATION_COLUMN_DURATION),
                .cpu_usec = is_null(st, VERIFICATION_COLUMN_CPU)
                                            ? -1
                                            : sqlite3_column_int64(st, VERIFICATION_COLUMN_CPU),
        };
        if (get_text(st, VERIFICATION_COLUMN_TASK_ID, &ret->task_id) < 0 ||
            get_text(st, VERIFICATION_COLUMN_NAME, &ret->name) < 0 ||
            get_text(st, VERIFICATION_COLUMN_KIND, &ret->kind) < 0 ||
            get_text(st, VERIFICATION_COLUMN_EVIDENCE, &ret->evidence) < 0 ||
            get_text(st, VERIFICATION_COLUMN_USAGE, &ret->usage) < 0) {
                verification_row_done(ret);
                return -ENOMEM;
        }
        return 0;
}

int store_read_event(sqlite3_stmt *st, EventRow *ret)
{
        assert(st);
        assert(ret);

        *ret = (EventRow){
                .number = sqlite3_column_int64(st, EVENT_COLUMN_NUMBER),
                .realtime = get_time(st, EVENT_COLUMN_TIMESTAMP),
        };
        if (get_text(st, EVENT_COLUMN_TOPIC, &ret->topic) < 0 ||
            get_text(st, EVENT_COLUMN_TASK_ID, &ret->task_id) < 0 ||
            get_text(st, EVENT_COLUMN_SUBSYSTEM, &ret->subsystem) < 0 ||
            get_text(st, EVENT_COLUMN_DETAIL, &ret->detail) < 0) {
                event_row_done(ret);
                return -ENOMEM;
        }
        return 0;
}
