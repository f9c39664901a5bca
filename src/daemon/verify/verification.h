/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* How far the verification of one attempt has come: a state for each rule, and what follows of all of them. It does
 * nothing itself: what is started, read and stored is the caller's (daemon/service/verify.c). */

#include <stdbool.h>
#include <stddef.h>

#include "common/sm.h"

typedef enum RuleState {
        RULE_WAITING,  /* for a place among those that run, or for the launcher */
        RULE_STARTING, /* the launcher was asked */
        RULE_RUNNING,
        RULE_READING, /* its program has ended, what it said is being read */
        RULE_PASSED,
        RULE_FAILED,
        _RULE_STATE_MAX,
} RuleState;

const SmTable *rule_state_table(void);

typedef struct Verification Verification;

/* All rules wait. At most `parallel` of them are out at a time. NULL when memory is short. */
Verification *verification_new(size_t n_rules, size_t parallel);
Verification *verification_free(Verification *v);
DEFINE_CLEANUP_FUNC(Verification *, verification_free)

size_t verification_n_rules(const Verification *v);
RuleState verification_state(const Verification *v, size_t rule);

/* Moves a rule; the table must allow it. */
void verification_move(Verification *v, size_t rule, RuleState to);

/* The first rule that waits, if there is a place for it; -1 if not. */
int verification_next(const Verification *v);
/* How many are starting, running or being read. */
size_t verification_n_out(const Verification *v);

/* Is each rule passed or failed? */
bool verification_is_over(const Verification *v);
size_t verification_n_passed(const Verification *v);
size_t verification_n_failed(const Verification *v);
