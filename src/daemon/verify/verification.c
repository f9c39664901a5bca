/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* One rule:
 *
 *                 +------- the launcher was away ------+
 *                 v                                    |
 *     (new) -> waiting -> starting --------------------+
 *                 |          |  |
 *                 |          |  +-> running -> reading -> passed | failed
 *                 |          |       ^  ^         ^
 *                 |          +-------|--|---------+    its record says already that it ended
 *                 +------------------+--+---------+    found so after a restart of ours
 *                 |          |                    v
 *                 +----------+---------> passed | failed
 *                 judged by figures, known from before, cannot be started
 *
 * What a crash of ours hides is only what is in nobody's record: a rule that was waiting or starting waits again, one that was running is found by
 * its record, one that was being read is read again, one that passed or failed is in the database. Nothing is run a second time
 * whose result could be had.
 *
 * The counts are kept beside the states, and compared with them at each move of a developer's build. */

#include "daemon/verify/verification.h"

#define FINDS_OUT (SM_BIT(RULE_PASSED) | SM_BIT(RULE_FAILED))

static const SmState states[_RULE_STATE_MAX] = {
        [RULE_WAITING] = { "waiting",
                           SM_BIT(RULE_STARTING) | SM_BIT(RULE_RUNNING) | SM_BIT(RULE_READING) | FINDS_OUT,
                           SM_INITIAL },
        [RULE_STARTING] = { "starting",
                            SM_BIT(RULE_WAITING) | SM_BIT(RULE_RUNNING) | SM_BIT(RULE_READING) | FINDS_OUT,
                            0 },
        [RULE_RUNNING] = { "running", SM_BIT(RULE_READING) | FINDS_OUT, 0 },
        [RULE_READING] = { "reading", FINDS_OUT, 0 },
        [RULE_PASSED] = { "passed", 0, SM_FINAL },
        [RULE_FAILED] = { "failed", 0, SM_FINAL | SM_FAILURE },
};

static const SmTable table = { .name = "rule", .states = states, .n_states = _RULE_STATE_MAX };

struct Verification {
        size_t n, parallel;
        size_t counts[_RULE_STATE_MAX];
        RuleState rules[];
};

const SmTable *rule_state_table(void)
{
        return &table;
}

Verification *verification_new(size_t n_rules, size_t parallel)
{
        assert(parallel > 0);

        Verification *v = calloc(1, sizeof(*v) + n_rules * sizeof(*v->rules));
        if (!v)
                return NULL;
        v->n = n_rules;
        v->parallel = parallel;
        v->counts[RULE_WAITING] = n_rules;
        return v;
}

Verification *verification_free(Verification *v)
{
        free(v);
        return NULL;
}

size_t verification_n_rules(const Verification *v)
{
        assert(v);
        return v->n;
}

RuleState verification_state(const Verification *v, size_t rule)
{
        assert(v);
        assert(rule < v->n);
        return v->rules[rule];
}

static bool counts_are_right(const Verification *v)
{
        size_t counts[_RULE_STATE_MAX] = { 0 };

        for (size_t i = 0; i < v->n; i++)
                counts[v->rules[i]]++;
        for (int s = 0; s < _RULE_STATE_MAX; s++)
                if (counts[s] != v->counts[s])
                        return false;
        return true;
}

void verification_move(Verification *v, size_t rule, RuleState to)
{
        assert(v);
        assert(rule < v->n);
        assert(sm_may(&table, v->rules[rule], to));

        v->counts[v->rules[rule]]--;
        v->rules[rule] = to;
        v->counts[to]++;
        assert(counts_are_right(v));
}

size_t verification_n_out(const Verification *v)
{
        assert(v);
        return v->counts[RULE_STARTING] + v->counts[RULE_RUNNING] + v->counts[RULE_READING];
}

int verification_next(const Verification *v)
{
        assert(v);

        if (v->counts[RULE_WAITING] == 0 || verification_n_out(v) >= v->parallel)
                return -1;
        for (size_t i = 0; i < v->n; i++)
                if (v->rules[i] == RULE_WAITING)
                        return (int)i;
        return -1;
}

size_t verification_n_passed(const Verification *v)
{
        assert(v);
        return v->counts[RULE_PASSED];
}

size_t verification_n_failed(const Verification *v)
{
        assert(v);
        return v->counts[RULE_FAILED];
}

bool verification_is_over(const Verification *v)
{
        return verification_n_passed(v) + verification_n_failed(v) == v->n;
}
