/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* The policy: what the *.yaml files of policy.d say about subsystems and their task types, and what of it applies to one
 * task. docs/policy.md has the language.
 *
 * A Policy is everything that was read, a TaskPolicy what was in force for a task when it was created: resolved from
 * defaults, subsystem, task type and the first match, narrowed by what the caller asked for. Both are immutable and
 * counted by reference, and are used on the loop thread only. A TaskPolicy is stored with its task (by its hash), so a
 * reload changes nothing for tasks that exist.
 *
 * Nothing here reads a clock, launches or stores: the ladder, the queue, the checks and the stuck rules are carried out
 * by daemon/sla, daemon/queue, daemon/verify and daemon/stuck, which take their part of the TaskPolicy. */

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "basic/error.h"
#include "basic/macro.h"
#include "basic/time.h"
#include "common/task-state.h"

/* Where a value came from. `file` is the name within the directory, "" for a built-in default, "request" for what the
 * caller asked for. */
typedef struct PolicyOrigin {
        const char *file;
        unsigned line, column;
} PolicyOrigin;

/* ---- what applies to one task; strings and arrays are the TaskPolicy's ---- */

typedef struct PolicyLimit {
        const char *name;  /* systemd's, "MemoryMax" */
        const char *value; /* canonical (common/limit) */
        PolicyOrigin origin;
} PolicyLimit;

typedef enum PolicyStepDo {
        POLICY_STEP_NOTIFY,
        POLICY_STEP_ESCALATE, /* runs a hook */
        POLICY_STEP_SIGNAL,
        POLICY_STEP_FREEZE,
        POLICY_STEP_KILL,
        _POLICY_STEP_DO_MAX,
} PolicyStepDo;

/* "notify", "escalate", "signal", "freeze", "kill". */
const char *policy_step_do_name(PolicyStepDo d);

#define POLICY_STEPS_MAX 16 /* bits of a record's ladder_bits that may be steps */

typedef struct PolicyStep {
        PolicyStepDo what;
        unsigned at_permyriad; /* of the time from start of the clock to deadline; 10000: the deadline */
        usec_t after_usec;     /* added to that */
        int signal;            /* POLICY_STEP_SIGNAL */
        const char *hook;      /* POLICY_STEP_ESCALATE: absolute path; may be there for others: run beside */
        PolicyOrigin origin;
} PolicyStep;

typedef enum PolicyFrom {
        POLICY_FROM_CREATED,
        POLICY_FROM_STARTED,
} PolicyFrom;

typedef struct PolicySla {
        bool has_deadline;
        PolicyFrom from;
        usec_t absolute_realtime; /* 0: not an absolute time */
        usec_t relative_usec; /* 0: none; also the fall-back of a forecast without history (0: then no deadline) */
        double forecast_p95_factor;         /* 0: not by forecast */
        PolicyStep steps[POLICY_STEPS_MAX]; /* in the order of their times */
        size_t n_steps;
        PolicyOrigin origin; /* of the deadline */
} PolicySla;

typedef enum PolicyRuleKind {
        POLICY_RULE_COMMAND,
        POLICY_RULE_FILE,
        POLICY_RULE_METRIC,
        POLICY_RULE_EXIT_STATUS,
        POLICY_RULE_OUTPUT,
        POLICY_RULE_REPORTED, /* what the reporter said of its own checks */
        _POLICY_RULE_KIND_MAX,
} PolicyRuleKind;

const char *policy_rule_kind_name(PolicyRuleKind k);

#define POLICY_RULES_MAX 64

typedef struct PolicyRule {
        const char *name; /* shown; unique within the task type */
        PolicyRuleKind kind;
        usec_t timeout_usec;
        const char *const *
                        command; /* COMMAND: NULL-terminated argv; argv[0] an absolute path below a checks directory */
        const char *path; /* FILE: absolute, or relative to the task's working directory */
        bool has_min_bytes, has_max_bytes;
        uint64_t min_bytes, max_bytes;
        bool newer_than_start;
        const char *sha256;  /* FILE: 64 hexadecimal digits, or NULL */
        const char *matches; /* FILE, OUTPUT: extended regular expression, or NULL */
        const char *metric; /* METRIC: a counter's name, "duration_seconds", "cpu_seconds", "memory_mb", "ml.<name>" ... */
        bool has_min, has_max;
        double min, max;
        const int *exit_statuses; /* EXIT_STATUS: those that pass */
        size_t n_exit_statuses;
        PolicyOrigin origin;
} PolicyRule;

typedef struct PolicyVerification {
        bool required;         /* success without a pass of every rule is failed/verification */
        bool accepts_reported; /* a reporter's own verification_passed= is enough where there is no other rule */
        PolicyRule *rules;
        size_t n_rules;
} PolicyVerification;

typedef struct PolicyRetry {
        unsigned attempts; /* 1: no retry; the smaller one of this and what the author sealed counts */
        usec_t backoff_usec, max_backoff_usec;
        uint32_t on; /* 1 << TaskOutcome */
        PolicyOrigin origin;
} PolicyRetry;

typedef struct PolicyStuck { /* 0: rule not in force */
        usec_t active_for_usec, idle_for_usec, spinning_for_usec;
        bool has_steps;                     /* what to do besides the event: */
        PolicyStep steps[POLICY_STEPS_MAX]; /* after_usec counts from the event; at_permyriad is 0 */
        size_t n_steps;
} PolicyStuck;

typedef struct TaskPolicy {
        unsigned n_ref;
        bool stored;   /* the database has it: a note of who stores */
        char hash[65]; /* SHA-256 of the JSON text, hexadecimal */

        const char *backend; /* NULL: not said */
        int priority_max;    /* 10 unless said */
        int priority;        /* 0: not said */
        PolicyLimit *limits;
        size_t n_limits;
        unsigned max_parallel;           /* of the task type; 0: no limit of its own */
        unsigned subsystem_max_parallel; /* 0: no limit */
        PolicySla sla;
        PolicyVerification verification;
        PolicyRetry retry;
        PolicyStuck stuck;
        struct {
                usec_t min_usec, max_usec; /* 0: the daemon's settings */
        } sampling;
        struct {
                double factor;
                unsigned min_samples;
        } anomaly;
        struct {
                usec_t snapshots_usec, output_usec, tasks_usec; /* 0: for ever */
        } retention;
        struct {
                usec_t timeout_usec; /* of each attempt; 0: not said */
        } hooks;
        struct {
                usec_t heartbeat_usec; /* the longest silence of a reporter that nobody watches; 0: any */
        } reported;

        struct TaskPolicyStorage *storage; /* owns what the pointers above point to */
} TaskPolicy;

TaskPolicy *task_policy_ref(TaskPolicy *p);
TaskPolicy *task_policy_unref(TaskPolicy *p);
DEFINE_CLEANUP_FUNC(TaskPolicy *, task_policy_unref)

/* The policy as JSON text (each value, and under "origins" the file and line of each), and back: what the store keeps.
 * The text is borrowed from the TaskPolicy. */
const char *task_policy_json(const TaskPolicy *p);
int task_policy_from_json(const char *text, TaskPolicy **ret, ReeveError *reterr);

/* ---- all of it ---- */

typedef struct Policy Policy;

/* Reads every *.yaml of the directory, as settings_load() does; no such directory: the built-in policy, which limits nothing.
 * On failure *ret is untouched; InvalidArgument's text begins with "file:line:column: ". Blocks: for start, for a reader
 * thread, or for the CLI. */
int policy_load(const char *directory, Policy **ret, ReeveError *reterr);
/* One file by itself, as `reeve policy check FILE` does. */
int policy_check_file(const char *path, Policy **ret, ReeveError *reterr);
Policy *policy_ref(Policy *p);
Policy *policy_unref(Policy *p);
DEFINE_CLEANUP_FUNC(Policy *, policy_unref)

/* SHA-256 over all files, hexadecimal. */
const char *policy_hash(const Policy *p);
/* The files that were read, in order. */
size_t policy_files(const Policy *p, const char *const **ret);
/* Of all tasks that reeve launched together; 0: no limit. */
unsigned policy_max_parallel(const Policy *p);

/* Everything that the files say, with the place of each value: {max_parallel, defaults, subsystems: {NAME: {task_types}}}, each
 * with its values and "origins" as task_policy_json() has them. NULL when memory is short. */
json_t *policy_to_json(const Policy *p);

/* What is known of a task before it exists, and what its caller asked for. */
typedef struct PolicyQuery {
        const char *subsystem, *task_type, *title,
                        *created_by; /* borrowed; title and created_by may be NULL */
        uid_t uid;
        const gid_t *groups; /* all of the caller's */
        size_t n_groups;
        bool launched; /* not reported */
        bool ask;      /* only to look: whom `allow` keeps out is told all the same */

        /* 0 or NULL: not asked for */
        int priority;
        const char *backend;
        const char *sla;   /* as --sla= has it: a time span, "2026-01-31 12:00", "forecast_p95 * 2" */
        unsigned attempts; /* how often the caller wants it to run at most */
        const struct PolicyLimit *limits;
        size_t n_limits;
        const char *other_limit; /* one of which policies have no value: "LimitCORE", a property of units */
} PolicyQuery;

/* What applies to this task. PermissionDenied (`allow`), PolicyViolation (the caller asked for what `overrides` forbids; names the
 * option), InvalidArgument (`sla` is none). */
int policy_resolve(Policy *p, const PolicyQuery *q, TaskPolicy **ret, ReeveError *reterr);
/* May the owner of such a task, which was resolved, move its deadline away later? Where callers may choose any, and where the policy
 * sets none and only lets them be stricter, so that the deadline is their own. */
bool policy_lets_extend(Policy *p, const PolicyQuery *q);
