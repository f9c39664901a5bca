/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* One thing that must be true of a task that ended well. Some rules can be judged by what the registry knows, the others
 * are programs that run in the task's rights (see common/launcher-protocol.h, Check). */

#include <jansson.h>

#include "daemon/model/task-row.h"

typedef enum VerifyKind {
        VERIFY_COMMAND,     /* a program: passes if it exits with 0 */
        VERIFY_FILE,        /* a program of ours: a file is there, and as it should be */
        VERIFY_METRIC,      /* a figure of the task's account is within bounds */
        VERIFY_EXIT_STATUS, /* the task exited with one of these */
        VERIFY_OUTPUT,      /* a program of ours: a line of the captured output matches */
        VERIFY_REPORTED,    /* who reported the task said that its own checks passed */
        _VERIFY_KIND_MAX,
} VerifyKind;

/* As task_verifications.kind has them. */
const char *verify_kind_name(VerifyKind k);

#define VERIFY_TIMEOUT_DEFAULT_USEC  (30 * USEC_PER_SEC)
#define VERIFY_TIMEOUT_AUTHORED_USEC (10 * USEC_PER_MINUTE)

/* Strings and arrays are borrowed from whoever made the rule (a policy), and live as long. */
typedef struct VerifyRule {
        const char *name;
        VerifyKind kind;
        usec_t timeout_usec; /* 0: the default */

        /* COMMAND */
        const char *const *command; /* NULL-terminated; argv[0] is a program of root's */
        unsigned authored;          /* or the how manieth (1, ...) command of the author's own */

        /* FILE; matches also OUTPUT */
        const char *path;
        bool has_min_bytes, has_max_bytes, newer_than_start;
        uint64_t min_bytes, max_bytes;
        const char *sha256, *matches;

        /* METRIC: as task_metric() has them */
        const char *metric;
        bool has_min, has_max;
        double min, max;

        /* EXIT_STATUS; none: 0 */
        const int *exit_statuses;
        size_t n_exit_statuses;

        /* REPORTED: does not pass, whatever was said; there is no other rule, and the policy wants one */
        bool insufficient;
} VerifyRule;

/* Does a program find it out? */
bool verify_rule_is_program(const VerifyRule *r);

/* The program's argv as a NULL-terminated vector (strv_free()): VERIFY_PROGRAM with its options for FILE and OUTPUT, the command
 * for COMMAND, an empty one for a command of the author's own. `started_realtime` is the start of the attempt. NULL when
 * memory is short. */
#define VERIFY_PROGRAM "reeve-check"
char **verify_rule_argv(const VerifyRule *r, usec_t started_realtime);

/* Judges any other rule by the row of a task whose work has ended. `reported` is what its reporter said of his own checks: 1, 0, or -1 for
 * nothing. 1: it passes, 0: it does not, -ENOMEM. *ret is an object with the figures, and with "why" if it does not. */
int verify_rule_judge(const VerifyRule *r, const TaskRow *t, int reported, json_t **ret);
