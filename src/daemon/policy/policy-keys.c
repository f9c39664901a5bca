/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The table of keys is the whole truth about the language: names, types, bounds, where each may stand, and what it means.
 * docs/policy.md repeats it, and a test compares the two.
 *
 * The names are those of the files but for two that depend on their place: max_parallel of a subsystem is
 * subsystem_max_parallel here, and `overrides: deny` stands for all keys below overrides. Limits are keys too, one for each
 * row of common/limit; they are made at first use, since their number is not known to the compiler. */

#include <errno.h>
#include <pthread.h>
#include <stdio.h>

#include "basic/parse.h"
#include "common/record/record.h"
#include "daemon/policy/policy-internal.h"

#define DEFAULTS   (1U << POLICY_LEVEL_DEFAULTS)
#define SUBSYSTEM  (1U << POLICY_LEVEL_SUBSYSTEM)
#define TASK_TYPE  (1U << POLICY_LEVEL_TASK_TYPE)
#define ANY        (DEFAULTS | SUBSYSTEM | TASK_TYPE)
#define EVERYWHERE (ANY | POLICY_IN_CASE)

static const char *const override_words[] = { "stricter", "allow", "deny", NULL };
static const char *const from_words[] = { "created", "started", NULL };

/* ---- readers of plain values ---- */

static void *target(const PolicyReader *r, const PolicyKey *k)
{
        return (char *)r->p + k->offset;
}

static int read_count(PolicyReader *r, const PolicyKey *k, const YamlNode *node)
{
        char expected[96], shown[YAML_SHOWN_SIZE];
        uint64_t v;

        snprintf(expected, sizeof(expected), "a whole number from %" PRIu64 " to %" PRIu64 "%s", k->min,
                 k->max, k->or_infinity ? " or infinity" : "");
        int x = policy_want_scalar(r, node, expected);
        if (x < 0)
                return x;
        if (k->or_infinity && streq(node->text, "infinity"))
                v = 0;
        else if (parse_u64(node->text, &v) < 0 || v < k->min || v > k->max)
                return policy_refuse(r, node->place, "%s (%s) must be %s, not '%s'", r->path, k->text,
                                     expected, yaml_shown(node->text, shown));
        *(unsigned *)target(r, k) = (unsigned)v;
        return 0;
}

static int read_span(PolicyReader *r, const PolicyKey *k, const YamlNode *node)
{
        usec_t v = 0;

        if (!(k->or_infinity && node->kind == YAML_KIND_SCALAR && streq(node->text, "infinity"))) {
                int x = policy_want_span(r, node, k->min, k->max, &v);
                if (x < 0)
                        return x;
        }
        *(usec_t *)target(r, k) = v;
        return 0;
}

static int read_fallback(PolicyReader *r, const PolicyKey *k, const YamlNode *node)
{
        r->p->storage->has_fallback = true;
        return policy_want_span(r, node, k->min, k->max, &r->p->storage->fallback_usec);
}

static int read_bool(PolicyReader *r, const PolicyKey *k, const YamlNode *node)
{
        char shown[YAML_SHOWN_SIZE];

        int x = policy_want_scalar(r, node, "yes or no");
        if (x < 0)
                return x;
        if (parse_bool(node->text, target(r, k)) < 0)
                return policy_refuse(r, node->place, "%s must be yes or no, not '%s'", r->path,
                                     yaml_shown(node->text, shown));
        return 0;
}

static int read_factor(PolicyReader *r, const PolicyKey *k, const YamlNode *node)
{
        char shown[YAML_SHOWN_SIZE];
        double v;

        int x = policy_want_number(r, node, &v);
        if (x < 0)
                return x;
        if (v < (double)k->min || v > (double)k->max)
                return policy_refuse(r, node->place,
                                     "%s (%s) must be from %" PRIu64 " to %" PRIu64 ", not '%s'", r->path,
                                     k->text, k->min, k->max, yaml_shown(node->text, shown));
        *(double *)target(r, k) = v;
        return 0;
}

static int read_priority(PolicyReader *r, const PolicyKey *k, const YamlNode *node)
{
        int x = read_count(r, k, node);
        return x < 0 ? x : policy_origin(r, node, &r->p->storage->priority_origin);
}

static int read_priority_max(PolicyReader *r, const PolicyKey *k, const YamlNode *node)
{
        int x = read_count(r, k, node);
        return x < 0 ? x : policy_origin(r, node, &r->p->storage->priority_max_origin);
}

static int read_attempts(PolicyReader *r, const PolicyKey *k, const YamlNode *node)
{
        int x = read_count(r, k, node);
        return x < 0 ? x : policy_origin(r, node, &r->p->retry.origin);
}

static int read_backend(PolicyReader *r, const PolicyKey *k, const YamlNode *node)
{
        const char *words[_RECORD_BACKEND_MAX + 1] = { 0 };
        int i;

        for (int b = 0; b < _RECORD_BACKEND_MAX; b++)
                words[b] = record_backend_name((RecordBackend)b);
        int x = policy_want_word(r, node, words, &i);
        if (x < 0)
                return x;
        r->p->backend = words[i]; /* static */
        return policy_origin(r, node, &r->p->storage->backend_origin);
}

static int read_from(PolicyReader *r, const PolicyKey *k, const YamlNode *node)
{
        int i = 0;

        int x = policy_want_word(r, node, from_words, &i);
        r->p->sla.from = i == 0 ? POLICY_FROM_CREATED : POLICY_FROM_STARTED;
        return x;
}

static int read_override(PolicyReader *r, const PolicyKey *k, const YamlNode *node)
{
        return policy_want_word(r, node, override_words, r->p->storage->overrides + k->offset);
}

/* After what else is a task never tried again, and why? NULL: it may be. A word without effect would be believed. */
static const char *never_again(const YamlNode *node)
{
        TaskOutcome o = node->kind == YAML_KIND_SCALAR ? task_outcome_from_name(node->text)
                                                       : _TASK_OUTCOME_INVALID;

        if (o == TASK_OUTCOME_SLA)
                return "the deadline is the task's, not an attempt's, so what its ladder ended is not tried "
                       "again";
        if (o == TASK_OUTCOME_REPORTED)
                return "reeve cannot try again what others do and report";
        return NULL;
}

/* [exit-code, oom] */
static int read_outcomes(PolicyReader *r, const PolicyKey *k, const YamlNode *node)
{
        static const TaskOutcome outcomes[] = {
                TASK_OUTCOME_EXIT_CODE, TASK_OUTCOME_SIGNAL, TASK_OUTCOME_CORE_DUMP,
                TASK_OUTCOME_OOM,       TASK_OUTCOME_EXEC,   TASK_OUTCOME_VERIFICATION,
        };
        const char *words[ELEMENTSOF(outcomes) + 1] = { 0 };
        uint32_t on = 0;
        int i, x;

        for (size_t o = 0; o < ELEMENTSOF(outcomes); o++)
                words[o] = task_outcome_name(outcomes[o]);
        if ((x = policy_want_kind(r, node, YAML_KIND_SEQUENCE, "a list of outcomes")) < 0)
                return x;
        for (const YamlNode *child = node->first; child; child = child->next) {
                const char *why = never_again(child);
                if (why)
                        return policy_refuse(r, child->place, "%s must not have '%s': %s", r->path,
                                             child->text, why);
                if ((x = policy_want_word(r, child, words, &i)) < 0)
                        return x;
                on |= UINT32_C(1) << outcomes[i];
        }
        r->p->retry.on = on;
        return 0;
}

/* ---- the table ---- */

#define AT(member) offsetof(TaskPolicy, member)
#define YEARS(n)   ((n)*366 * USEC_PER_DAY)

static const PolicyKey fixed[POLICY_KEY_LIMITS] = {
        [POLICY_KEY_ALLOW] = { "allow", "who may run tasks here", policy_read_allow, .levels = ANY },
        [POLICY_KEY_BACKEND] = { "backend", "where the task lives", read_backend, .levels = EVERYWHERE },
        [POLICY_KEY_PRIORITY] = { "priority", "priority of a task whose caller names none", read_priority,
                                  AT(priority), 1, 10, .is_plain = true, .levels = EVERYWHERE },
        [POLICY_KEY_PRIORITY_MAX] = { "priority_max", "highest priority that may be asked for",
                                      read_priority_max, AT(priority_max), 1, 10, .is_plain = true,
                                      .levels = EVERYWHERE },
        [POLICY_KEY_MAX_PARALLEL] = { "max_parallel", "tasks that run at the same time", read_count,
                                      AT(max_parallel), 1, 1000000, .or_infinity = true, .is_plain = true,
                                      .levels = TASK_TYPE },
        [POLICY_KEY_SUBSYSTEM_MAX_PARALLEL] = { "subsystem_max_parallel",
                                                "tasks of the subsystem that run at the same time",
                                                read_count, AT(subsystem_max_parallel), 1, 1000000,
                                                .or_infinity = true, .is_plain = true },
        [POLICY_KEY_OVERRIDES + POLICY_WISH_PRIORITY] = { "overrides.priority",
                                                          "priority that a caller asks for", read_override,
                                                          POLICY_WISH_PRIORITY, .levels = EVERYWHERE },
        [POLICY_KEY_OVERRIDES + POLICY_WISH_BACKEND] = { "overrides.backend",
                                                         "backend that a caller asks for", read_override,
                                                         POLICY_WISH_BACKEND, .levels = EVERYWHERE },
        [POLICY_KEY_OVERRIDES + POLICY_WISH_SLA] = { "overrides.sla", "deadline that a caller asks for",
                                                     read_override, POLICY_WISH_SLA, .levels = EVERYWHERE },
        [POLICY_KEY_OVERRIDES + POLICY_WISH_ATTEMPTS] = { "overrides.attempts",
                                                          "attempts that a caller asks for", read_override,
                                                          POLICY_WISH_ATTEMPTS, .levels = EVERYWHERE },
        [POLICY_KEY_OVERRIDES + POLICY_WISH_LIMITS] = { "overrides.limits", "limits that a caller asks for",
                                                        read_override, POLICY_WISH_LIMITS,
                                                        .levels = EVERYWHERE },
        [POLICY_KEY_SLA_DEADLINE] = { "sla.deadline", "when the task must have ended", policy_read_deadline,
                                      .levels = EVERYWHERE },
        [POLICY_KEY_SLA_FROM] = { "sla.from", "from when a relative deadline counts", read_from,
                                  .levels = EVERYWHERE },
        [POLICY_KEY_SLA_FALLBACK] = { "sla.fallback", "deadline while there is no forecast", read_fallback,
                                      0, USEC_PER_MSEC, YEARS(10), .levels = EVERYWHERE },
        [POLICY_KEY_SLA_LADDER] = { "sla.ladder", "what happens as the deadline comes nearer",
                                    policy_read_ladder, AT(sla), .levels = EVERYWHERE },
        [POLICY_KEY_VERIFICATION_REQUIRED] = { "verification.required", "success needs a pass of every rule",
                                               read_bool, AT(verification.required), .is_plain = true,
                                               .levels = EVERYWHERE },
        [POLICY_KEY_VERIFICATION_ACCEPTS_REPORTED] = { "verification.accepts_reported",
                                                       "a reporter's own verification is enough", read_bool,
                                                       AT(verification.accepts_reported), .is_plain = true,
                                                       .levels = EVERYWHERE },
        [POLICY_KEY_VERIFICATION_RULES] = { "verification.rules",
                                            "what must be true of a task that succeeded", policy_read_rules,
                                            .levels = EVERYWHERE },
        [POLICY_KEY_RETRY_ATTEMPTS] = { "retry.attempts", "how often the task may run", read_attempts,
                                        AT(retry.attempts), 1, 1000, .is_plain = true,
                                        .levels = EVERYWHERE },
        [POLICY_KEY_RETRY_BACKOFF] = { "retry.backoff", "pause before the second attempt", read_span,
                                       AT(retry.backoff_usec), 0, USEC_PER_DAY, .levels = EVERYWHERE },
        [POLICY_KEY_RETRY_MAX_BACKOFF] = { "retry.max_backoff", "longest pause between two attempts",
                                           read_span, AT(retry.max_backoff_usec), 0, 7 * USEC_PER_DAY,
                                           .levels = EVERYWHERE },
        [POLICY_KEY_RETRY_ON] = { "retry.on", "outcomes after which it runs again", read_outcomes,
                                  .levels = EVERYWHERE },
        [POLICY_KEY_STUCK_ACTIVE_FOR] = { "stuck.active_for", "a task that runs longer is stuck", read_span,
                                          AT(stuck.active_for_usec), USEC_PER_SEC, YEARS(1), true,
                                          .levels = EVERYWHERE },
        [POLICY_KEY_STUCK_IDLE_FOR] = { "stuck.idle_for", "a task that does nothing for so long is stuck",
                                        read_span, AT(stuck.idle_for_usec), USEC_PER_SEC, YEARS(1), true,
                                        .levels = EVERYWHERE },
        [POLICY_KEY_STUCK_SPINNING_FOR] = { "stuck.spinning_for",
                                            "a task that only computes for so long is stuck", read_span,
                                            AT(stuck.spinning_for_usec), USEC_PER_SEC, YEARS(1), true,
                                            .levels = EVERYWHERE },
        [POLICY_KEY_STUCK_LADDER] = { "stuck.ladder", "what happens when a task is stuck",
                                      policy_read_ladder, AT(stuck), .levels = EVERYWHERE },
        [POLICY_KEY_SAMPLING_MIN] = { "sampling.min", "shortest time between two snapshots", read_span,
                                      AT(sampling.min_usec), 100 * USEC_PER_MSEC, USEC_PER_DAY,
                                      .levels = EVERYWHERE },
        [POLICY_KEY_SAMPLING_MAX] = { "sampling.max", "longest time between two snapshots", read_span,
                                      AT(sampling.max_usec), USEC_PER_SEC, USEC_PER_DAY,
                                      .levels = EVERYWHERE },
        [POLICY_KEY_ANOMALY_FACTOR] = { "anomaly.factor", "times the baseline that are unusual", read_factor,
                                        AT(anomaly.factor), 1, 1000000, .is_plain = true,
                                        .levels = EVERYWHERE },
        [POLICY_KEY_ANOMALY_MIN_SAMPLES] = { "anomaly.min_samples", "tasks that a baseline needs",
                                             read_count, AT(anomaly.min_samples), 1, 1000000,
                                             .is_plain = true, .levels = EVERYWHERE },
        [POLICY_KEY_RETENTION_SNAPSHOTS] = { "retention.snapshots", "how long snapshots are kept", read_span,
                                             AT(retention.snapshots_usec), USEC_PER_HOUR, YEARS(100), true,
                                             .levels = EVERYWHERE },
        [POLICY_KEY_RETENTION_OUTPUT] = { "retention.output", "how long output is kept", read_span,
                                          AT(retention.output_usec), USEC_PER_HOUR, YEARS(100), true,
                                          .levels = EVERYWHERE },
        [POLICY_KEY_HOOKS_TIMEOUT] = { "hooks.timeout", "how long an attempt of a hook may take", read_span,
                                       AT(hooks.timeout_usec), 100 * USEC_PER_MSEC, USEC_PER_DAY,
                                       .levels = EVERYWHERE },
        [POLICY_KEY_REPORTED_HEARTBEAT] = { "reported.heartbeat",
                                            "how long a reporter that is not watched may be silent",
                                            read_span, AT(reported.heartbeat_usec), 100 * USEC_PER_MSEC,
                                            366 * USEC_PER_DAY, true, .levels = EVERYWHERE },
        [POLICY_KEY_RETENTION_TASKS] = { "retention.tasks", "how long tasks that ended are kept", read_span,
                                         AT(retention.tasks_usec), USEC_PER_HOUR, YEARS(100), true,
                                         .levels = EVERYWHERE },
};

static PolicyKey limit_keys[POLICY_LIMITS_MAX];
static char limit_names[POLICY_LIMITS_MAX][40];
static size_t n_limit_keys;

static void make_limit_keys(void)
{
        const LimitKind *kind;

        for (; (kind = limit_kind(n_limit_keys)); n_limit_keys++) {
                assert(n_limit_keys < POLICY_LIMITS_MAX);
                snprintf(limit_names[n_limit_keys], sizeof(limit_names[0]), "limits.%s", kind->name);
                limit_keys[n_limit_keys] = (PolicyKey){ .name = limit_names[n_limit_keys],
                                                        .text = "limit",
                                                        .read = policy_read_limit,
                                                        .offset = n_limit_keys,
                                                        .levels = EVERYWHERE };
        }
}

size_t policy_n_keys(void)
{
        static pthread_once_t once = PTHREAD_ONCE_INIT; /* files are read on a thread of their own */

        pthread_once(&once, make_limit_keys);
        return POLICY_KEY_LIMITS + n_limit_keys;
}

const PolicyKey *policy_key(size_t id)
{
        assert(id < policy_n_keys());
        return id < POLICY_KEY_LIMITS ? fixed + id : limit_keys + (id - POLICY_KEY_LIMITS);
}

int policy_key_find(const char *name)
{
        assert(name);

        for (size_t i = 0; i < policy_n_keys(); i++)
                if (streq(policy_key(i)->name, name))
                        return (int)i;
        return -ENOENT;
}

int policy_read(PolicyReader *r, size_t id, const YamlNode *node)
{
        const PolicyKey *k = policy_key(id);

        assert(r && r->p && r->path);
        assert(node);

        return k->read(r, k, node);
}

void policy_finish(TaskPolicy *p)
{
        assert(p);

        if (p->sla.forecast_p95_factor > 0)
                p->sla.relative_usec = p->storage->fallback_usec;
        p->stuck.has_steps = p->stuck.n_steps > 0;
        /* Each may come from another level; what is contradictory only together must still mean something. */
        if (p->sampling.max_usec > 0)
                p->sampling.max_usec = MAX(p->sampling.min_usec, p->sampling.max_usec);
        p->retry.max_backoff_usec = MAX(p->retry.backoff_usec, p->retry.max_backoff_usec);
        p->retry.attempts = MAX(p->retry.attempts, 1U);
        p->priority = MIN(p->priority, p->priority_max);
}
