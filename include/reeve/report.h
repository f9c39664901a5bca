/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Work that the caller does itself, reported: it says when the work begins, how it goes and how it ended.
 *
 * Each function answers when the registry has what was said on stable storage. When the connection breaks while the
 * registry is being replaced, the same is said again, for up to ten seconds at a time: none of it counts twice. So
 * these functions may block that long; who must not block sends the methods with reeve_send(). Errors besides those
 * of each function: InvalidArgument (`field` names what), Unavailable, and -ECONNRESET as in reeve_call(). */

#include <reeve/reeve.h>

#ifdef __cplusplus
extern "C" {
#endif

/* The work that begins. Zero and NULL are the defaults; everything is borrowed during the call. */
typedef struct ReeveStart {
        const char *task_id;     /* NULL: reeve_start() makes one that sorts by time */
        const char *subsystem;   /* 1 to 64 letters, digits, '_' and '-' */
        const char *task_type;   /* as subsystem */
        const char *title;       /* public; NULL: none */
        const char *description; /* NULL: none */
        const char *created_by;  /* NULL: none; a label, nothing is derived from it */
        int priority;            /* 1 to 10; 0: that of the registry, 5 */
        const char *sla;         /* deadline, as in ReeveRun */
        json_t *metadata;        /* an object, or NULL */
        bool pending;            /* only created: a second start, else the same, begins it */
        pid_t watch; /* process of the caller's own (root: any) whose end makes the task lost; 0: none */
        uint64_t heartbeat_usec; /* the task is lost when nothing was heard of it for so long; 0: never */
} ReeveStart;

/* Begins a task. `ret_id` (may be NULL) gets its id before anything is sent. *ret_task (may be NULL) is the caller's.
 * The same owner, id and content again is the same task; any other content is AlreadyExists. PolicyViolation,
 * LimitExceeded: the policy does not let the caller. InvalidArgument with the field "watch": that process has ended. */
REEVE_PUBLIC int reeve_start(ReeveConnection *c, const ReeveStart *start, char ret_id[REEVE_TASK_ID_SIZE],
                             json_t **ret_task, ReeveError *reterr);

/* A number by name. Lists of them end with one that has no name. */
typedef struct ReeveNumber {
        const char *name;
        double value; /* finite */
} ReeveNumber;

/* How a task goes, or went. Zero and NULL: nothing is said about it. Everything is borrowed during the call. */
typedef struct ReeveUpdate {
        const double *progress; /* 0 to 1 */
        const char *message;    /* 1024 bytes at most */
        const ReeveNumber *
                        resource; /* counters in the units of people: { "cpu_seconds", 1.5 }; docs/reporting.md */
        const ReeveNumber *metrics; /* replace those that the task has under these names */
        const uint64_t *step;       /* the metrics are also points of series, at this step */
        json_t *metadata;           /* an object, whose members replace the task's */
} ReeveUpdate;

/* Changes what it names. NoSuchTask; AlreadyFinished: the task has ended, perhaps because somebody cancelled it. */
REEVE_PUBLIC int reeve_update(ReeveConnection *c, const char *task_id, const ReeveUpdate *update,
                              ReeveError *reterr);

/* What the reporter's own checks said. */
typedef enum ReeveVerified {
        REEVE_VERIFIED_UNSAID,
        REEVE_VERIFIED_PASSED,
        REEVE_VERIFIED_FAILED,
} ReeveVerified;

/* How it ended. As ReeveUpdate. */
typedef struct ReeveEnd {
        const char *message;    /* 1024 bytes at most */
        ReeveVerified verified; /* for reeve_complete() only */
        const ReeveNumber *resource;
        const ReeveNumber *metrics;
        json_t *result; /* an object, kept with the task as result_metadata; or NULL */
} ReeveEnd;

/* The work ended well. Answers when the task has passed, or failed, what its policy wants verified: *ret_task (may be
 * NULL, is the caller's) says which. `end` may be NULL. The same again is answered with the task; anything else about
 * a task that has ended is AlreadyFinished. NoSuchTask. */
REEVE_PUBLIC int reeve_complete(ReeveConnection *c, const char *task_id, const ReeveEnd *end,
                                json_t **ret_task, ReeveError *reterr);

/* The work failed; `end` is not NULL and has a message that says why. The rest as reeve_complete(). */
REEVE_PUBLIC int reeve_fail(ReeveConnection *c, const char *task_id, const ReeveEnd *end, json_t **ret_task,
                            ReeveError *reterr);

#ifdef __cplusplus
}
#endif
