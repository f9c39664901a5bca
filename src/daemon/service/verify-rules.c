/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The rules of one task: those of the policy that was in force when it was created, then the commands that its author
 * sealed, then the word of its reporter. Their numbers are their places in this list, and must be the same after a restart of ours:
 * results and records are found by them.
 *
 * What a reporter says of his own checks counts as one rule, `reported`: beside others it is one more that may fail; where there is
 * no other it is enough, unless the policy says `accepts_reported: no`. A policy that lists the rule itself has it in its own place.
 *
 * What is required is decided by policy; the commands of the author are always required: who writes `reeve run --verify=`
 * wants to be told. */

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "basic/strings.h"
#include "common/spec/spec.h"
#include "daemon/service/verify-internal.h"

#define PARALLEL           4      /* programs of one verification at a time */
#define ARGUMENT_SEPARATOR '\x1f' /* see common/spec */

typedef struct ServiceVerification ServiceVerification;

static const PolicyVerification *policy_of(const Task *t)
{
        return t->policy ? &t->policy->verification : NULL;
}

static bool lists_reported(const PolicyVerification *p)
{
        for (size_t i = 0; p && i < p->n_rules; i++)
                if (p->rules[i].kind == POLICY_RULE_REPORTED)
                        return true;
        return false;
}

/* Is the reporter's word a rule of its own, behind `n` others? If nothing is to be verified at all it is only noted. */
static bool adds_reported(const Task *t, size_t n)
{
        const PolicyVerification *p = policy_of(t);

        if (n == 0)
                return p && p->required;
        return t->row.word != REPORTED_NOTHING && !lists_reported(p);
}

static size_t n_rules_of(const Task *t)
{
        const PolicyVerification *p = policy_of(t);
        size_t n = t->row.verify_commands + (p ? p->n_rules : 0);

        return n + adds_reported(t, n);
}

bool service_accepts_status(const Task *t, const AttemptRow *a)
{
        const PolicyVerification *p = policy_of(t);

        assert(a);

        for (size_t i = 0; p && a->exit_kind == RECORD_EXIT_EXITED && i < p->n_rules; i++)
                for (size_t k = 0;
                     p->rules[i].kind == POLICY_RULE_EXIT_STATUS && k < p->rules[i].n_exit_statuses; k++)
                        if (p->rules[i].exit_statuses[k] == a->exit_value)
                                return true;
        return false;
}

bool service_is_verified(const Task *t)
{
        assert(t);
        return n_rules_of(t) > 0;
}

static const VerifyKind kinds[_POLICY_RULE_KIND_MAX] = {
        [POLICY_RULE_COMMAND] = VERIFY_COMMAND, [POLICY_RULE_FILE] = VERIFY_FILE,
        [POLICY_RULE_METRIC] = VERIFY_METRIC,   [POLICY_RULE_EXIT_STATUS] = VERIFY_EXIT_STATUS,
        [POLICY_RULE_OUTPUT] = VERIFY_OUTPUT,   [POLICY_RULE_REPORTED] = VERIFY_REPORTED,
};

/* Borrows from the policy, which the task keeps. */
static VerifyRule rule_of_policy(const PolicyRule *p)
{
        return (VerifyRule){
                .name = p->name,
                .kind = kinds[p->kind],
                .timeout_usec = p->timeout_usec,
                .command = p->command,
                .path = p->path,
                .has_min_bytes = p->has_min_bytes,
                .has_max_bytes = p->has_max_bytes,
                .newer_than_start = p->newer_than_start,
                .min_bytes = p->min_bytes,
                .max_bytes = p->max_bytes,
                .sha256 = p->sha256,
                .matches = p->matches,
                .metric = p->metric,
                .has_min = p->has_min,
                .has_max = p->has_max,
                .min = p->min,
                .max = p->max,
                .exit_statuses = p->exit_statuses,
                .n_exit_statuses = p->n_exit_statuses,
        };
}

static void add_authored(ServiceVerification *v, ServiceRule *r, unsigned number)
{
        snprintf(r->authored_name, sizeof(r->authored_name), "--verify %u", number);
        r->rule = (VerifyRule){ .name = r->authored_name,
                                .kind = VERIFY_COMMAND,
                                .authored = number,
                                .timeout_usec = VERIFY_TIMEOUT_AUTHORED_USEC };
        v->required = true;
}

/* Policy's first, so that their numbers are those of its file. */
static size_t fill_rules(ServiceVerification *v)
{
        const PolicyVerification *p = policy_of(v->task);
        size_t n = 0;

        v->required = p && p->required;
        for (size_t i = 0; p && i < p->n_rules; i++)
                v->rules[n++].rule = rule_of_policy(p->rules + i);
        for (unsigned i = 1; i <= v->task->row.verify_commands; i++)
                add_authored(v, v->rules + n++, i);
        if (adds_reported(v->task, n)) {
                bool insufficient = n == 0 && p && !p->accepts_reported;
                v->rules[n++].rule = (VerifyRule){ .name = "reported",
                                                   .kind = VERIFY_REPORTED,
                                                   .insufficient = insufficient };
        }
        return n;
}

int service_rules_make(ServiceVerification *v)
{
        assert(v);

        size_t n_rules = n_rules_of(v->task);

        v->rules = NEW0(ServiceRule, n_rules);
        v->machine = verification_new(n_rules, PARALLEL);
        if (!v->rules || !v->machine)
                return -ENOMEM;
        size_t n = fill_rules(v);
        assert(n == n_rules);
        /* A task that was only reported has no attempt, so no program of it ever has a record. */
        for (size_t i = 0; i < n; i++)
                if (v->attempt > 0 && verify_rule_is_program(&v->rules[i].rule))
                        service_rule_name_record(v, i);
        return 0;
}

/* People know a command of their own by its text: its last argument, which of a shell's is the command. */
void service_rules_name_authored(ServiceVerification *v, const StoreSpec *stored)
{
        assert(v);
        assert(stored);

        _cleanup_(spec_done) Spec spec = { 0 };

        if (v->task->row.verify_commands == 0 ||
            spec_parse(&spec, stored->spec, stored->spec_size, NULL) < 0)
                return;
        for (size_t i = 0; i < verification_n_rules(v->machine); i++) {
                ServiceRule *r = v->rules + i;
                if (r->rule.authored == 0 || r->rule.authored > spec.n_verify)
                        continue;
                const char *text = spec.verify[r->rule.authored - 1],
                           *last = strrchr(text, ARGUMENT_SEPARATOR);
                snprintf(r->authored_name, sizeof(r->authored_name), "%s", last ? last + 1 : text);
                utf8_repair(r->authored_name);
        }
}
