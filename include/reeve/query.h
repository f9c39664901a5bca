/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Asking about tasks, hearing what happens to them, and acting upon them.
 *
 * Each function is one call: it waits for the answer, and is not repeated when the connection breaks (-ECONNRESET, see
 * reeve_call()). Errors that all have: NoSuchTask, PermissionDenied, InvalidArgument and LimitExceeded (`field`
 * names what), Unavailable. */

#include <reeve/reeve.h>

#ifdef __cplusplus
extern "C" {
#endif

/* One task, running or ended. *ret_task is the caller's. */
REEVE_PUBLIC int reeve_get(ReeveConnection *c, const char *task_id, json_t **ret_task, ReeveError *reterr);

/* Which tasks. Zero and NULL do not restrict; everything is borrowed during the call. */
typedef struct ReeveFilter {
        const char *status; /* several are separated by commas */
        const char *subsystem;
        const char *task_type;
        const char *created_by;
        const uid_t *owner;
        uint64_t since_usec; /* created at this time or later, wall clock since 1970 */
        uint64_t until_usec; /* created before this time */
        unsigned limit;      /* tasks of a page, 1000 at most; 0: 100 */
        const char *cursor;  /* of the page before this one */
} ReeveFilter;

/* A page of tasks, newest first. `filter` may be NULL. *ret_tasks is an array, the caller's. *ret_cursor (may be NULL)
 * is for the next page, to be given to free(); NULL if this is the last. */
REEVE_PUBLIC int reeve_list(ReeveConnection *c, const ReeveFilter *filter, json_t **ret_tasks,
                            char **ret_cursor, ReeveError *reterr);

/* What to hear of. Zero and NULL do not restrict; everything is borrowed during the call. */
typedef struct ReeveMonitor {
        const uint64_t *since; /* number of the last event that is known (0: from the oldest kept); NULL: from now */
        const char *task_id;
        const char *subsystem;
        bool usage; /* also what each running task uses, every second */
} ReeveMonitor;

/* Something that happened. */
typedef struct ReeveEvent {
        uint64_t number;         /* 0: "task.usage", which has none */
        uint64_t timestamp_usec; /* wall clock since 1970 */
        const char *topic;       /* "task.completed"; belongs to `reply` */
        json_t *task;            /* as it was then; belongs to `reply` */
        json_t *reply;           /* owns the rest */
} ReeveEvent;

/* Asks for events, which reeve_next_event() gives from then on; nothing else is called on this connection until it is
 * given up or reconnected. `monitor` may be NULL. To go on after the connection broke: the number of the last event
 * that was seen as `since`; none is lost, and none comes twice. */
REEVE_PUBLIC int reeve_monitor(ReeveConnection *c, const ReeveMonitor *monitor, ReeveError *reterr);

/* The next event: 1 and *ret, to be given to reeve_event_done(); 0 if none came within the timeout (0: what is there,
 * REEVE_USEC_INFINITY: wait). In a poll loop: as reeve_next(). */
REEVE_PUBLIC int reeve_next_event(ReeveConnection *c, uint64_t timeout_usec, ReeveEvent *ret,
                                  ReeveError *reterr);

/* Frees what the event owns and zeroes it. An event of zeroes is fine. */
REEVE_PUBLIC void reeve_event_done(ReeveEvent *event);

/* Ends a task: TERM, after its grace KILL, to all of its processes. It is on its way when this returns; reeve_wait()
 * waits for the end. `reason` (may be NULL) is kept with it. AlreadyFinished. */
REEVE_PUBLIC int reeve_cancel(ReeveConnection *c, const char *task_id, const char *reason,
                              ReeveError *reterr);

/* Sends a signal to the main process of a task, or to all of its processes. AlreadyFinished. */
REEVE_PUBLIC int reeve_signal(ReeveConnection *c, const char *task_id, int number, bool whole,
                              ReeveError *reterr);

/* Stops all processes of a task where they are; lets them go on. AlreadyFinished. */
REEVE_PUBLIC int reeve_freeze(ReeveConnection *c, const char *task_id, ReeveError *reterr);
REEVE_PUBLIC int reeve_thaw(ReeveConnection *c, const char *task_id, ReeveError *reterr);

/* Keeps a pending task from being started; lets it wait for its turn again. AlreadyFinished. */
REEVE_PUBLIC int reeve_hold(ReeveConnection *c, const char *task_id, ReeveError *reterr);
REEVE_PUBLIC int reeve_release(ReeveConnection *c, const char *task_id, ReeveError *reterr);

/* Moves the deadline of a task later, with all that has not happened yet on the way to it. PolicyViolation or
 * PermissionDenied: the policy does not let the caller. AlreadyFinished. */
REEVE_PUBLIC int reeve_extend(ReeveConnection *c, const char *task_id, uint64_t by_usec, ReeveError *reterr);

#ifdef __cplusplus
}
#endif
