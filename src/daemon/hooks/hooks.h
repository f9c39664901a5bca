/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Who runs hooks: the programs that a policy names for a step of a ladder, as tasks of their own. This is what the service asks
 * for; daemon.c says who does it. */

#include "basic/error.h"
#include "basic/time.h"

typedef struct HookRequest {
        const char *path;
        const char *task_id; /* whose ladder it is */
        unsigned step;       /* its number, from 0: the hook's own task is <task_id>-step<step + 1> */
        const char *event;   /* JSON text of the event, for its standard input */
        usec_t timeout_usec; /* of each attempt; 0: HOOK_TIMEOUT_USEC */
} HookRequest;

/* The hook has ended: `error` is NULL if it succeeded, else says how it failed; borrowed for the call. */
typedef void (*hook_done_t)(const ReeveError *error, void *userdata);

typedef struct HookRunner {
        /* Starts a hook, at most once for each task and step. 0: the callback comes exactly once, later; a negative errno with
         * *reterr filled: it was not started, and no callback comes. The request is borrowed for the call. */
        int (*run)(const HookRequest *request, hook_done_t callback, void *hook_userdata, void *userdata,
                   ReeveError *reterr);
        void *userdata; /* of run() */
} HookRunner;
