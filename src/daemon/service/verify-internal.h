/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* One verification as the service carries it out: verify.c decides what happens, verify-program.c runs programs. */

#include <jansson.h>

#include "daemon/service/service-internal.h"
#include "daemon/verify/rule.h"
#include "daemon/verify/verification.h"

typedef struct ServiceRule {
        VerifyRule rule;
        char authored_name[128];
        char record[TASK_ID_MAX + 1]; /* name of its program's record; "": it has none */
        unsigned tries;
        bool known; /* its result is from an earlier daemon, which may not have had its record forgotten */
} ServiceRule;

struct ServiceVerification {
        ListLink link; /* of Service.verifications */
        Service *service;
        Task *task;
        unsigned attempt;
        Verification *machine;
        ServiceRule *rules;
        bool required;
        bool ready;  /* what is known from before was read */
        int spec_fd; /* of the task; -EBADF: it has none */
        uint8_t ticket[LAUNCHER_TICKET_SIZE];
};

/* ---- verify-rules.c ---- */

/* Makes rules and machine. -ENOMEM, and then `v` is only good to be dropped. */
int service_rules_make(struct ServiceVerification *v);
/* Names the author's commands as he wrote them down. */
void service_rules_name_authored(struct ServiceVerification *v, const StoreSpec *stored);

/* ---- verify.c ---- */

/* What an asynchronous step about one rule remembers: the verification may be gone when it comes back. */
typedef struct RuleOp {
        Service *service;
        char task_id[TASK_ID_MAX + 1];
        unsigned attempt;
        size_t rule;
} RuleOp;

void rule_op_init(RuleOp *op, const struct ServiceVerification *v, size_t rule);
/* NULL if that verification is not going on any more. */
struct ServiceVerification *rule_op_find(const RuleOp *op);

/* Moves it, and counts what is out. */
void service_rule_move(struct ServiceVerification *v, size_t rule, RuleState to);

/* What was found out about a rule. */
typedef struct RuleResult {
        bool passed;
        json_t *evidence; /* taken; NULL: memory was short */
        usec_t duration_usec;
        const Usage *usage; /* NULL: no program ran */
} RuleResult;
/* Concludes a rule and stores its result. What follows of that is for service_verify_go_on() to do. */
void service_verify_conclude(struct ServiceVerification *v, size_t rule, RuleResult *result);
/* The same for one that failed with this reason alone. */
void service_verify_fail(struct ServiceVerification *v, size_t rule, const char *why);

/* ---- verify-program.c ---- */

/* Names the rule's record, starting from the task's id. */
void service_rule_name_record(struct ServiceVerification *v, size_t rule);
/* Has the program of a waiting rule started. False: it waits on, and service_retry_later() or the next connection to the
 * launcher comes back to it. */
bool service_rule_start(struct ServiceVerification *v, size_t rule);
/* Looks at the record of the rule's program: takes over that it runs, or reads what came of it. */
void service_rule_look(struct ServiceVerification *v, size_t rule);
