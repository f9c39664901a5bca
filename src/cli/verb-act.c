/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The verbs that do something to tasks and have nothing to show: signal, cancel, freeze, thaw, hold, release,
 * extend. They are silent when all went well. With several ids each gets its turn, whatever happened to the others; the exit status is that of
 * the first failure. They share this file because each is one call.
 *
 * Who may do what to whose tasks is reeved's decision; nothing is checked here but what it could not understand. */

#include <limits.h>
#include <stdio.h>
#include <sysexits.h>

#include "basic/parse.h"
#include "cli/session.h"
#include "cli/verb.h"
#include "reeve/query.h"

typedef struct PlainOptions {
        CommonOptions common;
} PlainOptions;

static const Option plain_options[] = { COMMON_OPTIONS(PlainOptions) };

typedef struct SignalOptions {
        CommonOptions common;
        bool whole;
} SignalOptions;

static const Option signal_options[] = {
        { "whole", 'w', NULL, "To all processes of the task, not only the main one", OPTION_FLAG,
          offsetof(SignalOptions, whole) },
        COMMON_OPTIONS(SignalOptions),
};

typedef struct SignalCall {
        int number;
        bool whole;
} SignalCall;

typedef struct CancelOptions {
        CommonOptions common;
        const char *reason;
} CancelOptions;

static const Option cancel_options[] = {
        { "reason", 'r', "TEXT", "Why, to be kept with the task", OPTION_STRING,
          offsetof(CancelOptions, reason) },
        COMMON_OPTIONS(CancelOptions),
};

/* ---- what is done to one task ---- */

static int signal_one(ReeveConnection *c, const char *id, const void *data, ReeveError *reterr)
{
        const SignalCall *call = data;

        return reeve_signal(c, id, call->number, call->whole, reterr);
}

static int cancel_one(ReeveConnection *c, const char *id, const void *data, ReeveError *reterr)
{
        const CancelOptions *o = data;

        return reeve_cancel(c, id, o->reason, reterr);
}

static int freeze_one(ReeveConnection *c, const char *id, const void *data, ReeveError *reterr)
{
        return reeve_freeze(c, id, reterr);
}

static int thaw_one(ReeveConnection *c, const char *id, const void *data, ReeveError *reterr)
{
        return reeve_thaw(c, id, reterr);
}

static int hold_one(ReeveConnection *c, const char *id, const void *data, ReeveError *reterr)
{
        return reeve_hold(c, id, reterr);
}

static int release_one(ReeveConnection *c, const char *id, const void *data, ReeveError *reterr)
{
        return reeve_release(c, id, reterr);
}

static int extend_one(ReeveConnection *c, const char *id, const void *data, ReeveError *reterr)
{
        const usec_t *by = data;

        return reeve_extend(c, id, *by, reterr);
}

typedef int (*act_t)(ReeveConnection *c, const char *id, const void *data, ReeveError *reterr);

/* Goes on after a failure: whoever cancels ten tasks, one of which has just ended, wants the other nine cancelled. */
static int each(const char **ids, size_t n, act_t act, const void *data)
{
        _cleanup_(reeve_disconnectp) ReeveConnection *c = NULL;

        int status = session_connect(&c);
        if (status != 0)
                return status;
        for (size_t i = 0; i < n; i++) {
                ReeveError error = REEVE_ERROR_NULL;
                int s = act(c, ids[i], data, &error) < 0 ? session_error(&error) : 0;
                if (status == 0)
                        status = s;
        }
        return status;
}

/* ---- verbs ---- */

static int send_signal(const char **args, size_t n_args, const void *options)
{
        const SignalOptions *o = options;
        SignalCall call = { .whole = o->whole };

        if (parse_signal(args[1], &call.number) < 0) {
                fprintf(stderr, "reeve: signal: '%s' is no signal (TERM, SIGTERM, 15)\n", args[1]);
                return EX_USAGE;
        }
        return each(args, 1, signal_one, &call);
}

static int cancel(const char **args, size_t n_args, const void *options)
{
        return each(args, n_args, cancel_one, options);
}

static int freeze(const char **args, size_t n_args, const void *options)
{
        return each(args, n_args, freeze_one, NULL);
}

static int thaw(const char **args, size_t n_args, const void *options)
{
        return each(args, n_args, thaw_one, NULL);
}

static int hold(const char **args, size_t n_args, const void *options)
{
        return each(args, n_args, hold_one, NULL);
}

static int release(const char **args, size_t n_args, const void *options)
{
        return each(args, n_args, release_one, NULL);
}

static int extend(const char **args, size_t n_args, const void *options)
{
        usec_t by;

        if (parse_span(args[1], &by) < 0 || by > INT64_MAX) {
                fprintf(stderr, "reeve: extend: '%s' is no time span (30s, 10min, 2h)\n", args[1]);
                return EX_USAGE;
        }
        return each(args, 1, extend_one, &by);
}

const Verb verb_signal = {
        .name = "signal",
        .synopsis = "ID SIGNAL",
        .summary = "Send a signal to a task",
        .options = OPTION_TABLE(signal_options),
        .options_size = sizeof(SignalOptions),
        .min_args = 2,
        .max_args = 2,
        .handler = send_signal,
};

const Verb verb_cancel = {
        .name = "cancel",
        .synopsis = "ID...",
        .summary = "End tasks: TERM, after their grace KILL, to all of their processes",
        .options = OPTION_TABLE(cancel_options),
        .options_size = sizeof(CancelOptions),
        .min_args = 1,
        .max_args = UINT_MAX,
        .handler = cancel,
};

const Verb verb_freeze = {
        .name = "freeze",
        .synopsis = "ID...",
        .summary = "Stop all processes of tasks where they are",
        .options = OPTION_TABLE(plain_options),
        .options_size = sizeof(PlainOptions),
        .min_args = 1,
        .max_args = UINT_MAX,
        .handler = freeze,
};

const Verb verb_thaw = {
        .name = "thaw",
        .synopsis = "ID...",
        .summary = "Let frozen tasks go on",
        .options = OPTION_TABLE(plain_options),
        .options_size = sizeof(PlainOptions),
        .min_args = 1,
        .max_args = UINT_MAX,
        .handler = thaw,
};

const Verb verb_hold = {
        .name = "hold",
        .synopsis = "ID...",
        .summary = "Keep pending tasks from being started",
        .options = OPTION_TABLE(plain_options),
        .options_size = sizeof(PlainOptions),
        .min_args = 1,
        .max_args = UINT_MAX,
        .handler = hold,
};

const Verb verb_release = {
        .name = "release",
        .synopsis = "ID...",
        .summary = "Let held tasks start when it is their turn",
        .options = OPTION_TABLE(plain_options),
        .options_size = sizeof(PlainOptions),
        .min_args = 1,
        .max_args = UINT_MAX,
        .handler = release,
};

const Verb verb_extend = {
        .name = "extend",
        .synopsis = "ID TIME",
        .summary = "Move the deadline of a task, and what has not fired of its ladder, later",
        .options = OPTION_TABLE(plain_options),
        .options_size = sizeof(PlainOptions),
        .min_args = 2,
        .max_args = 2,
        .handler = extend,
};
