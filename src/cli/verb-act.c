/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The verbs that do something to tasks and have nothing to show: signal, cancel, freeze, thaw, hold, release,
 * extend. They are silent when
 * all went well. With several ids each gets its turn, whatever happened to the others; the exit status is that of
 * the first failure. They share this file because each is one call.
 *
 * Who may do what to whose tasks is reeved's decision; nothing is checked here but what it could not understand. */

#include <limits.h>
#include <stdio.h>
#include <sysexits.h>

#include "basic/parse.h"
#include "cli/session.h"
#include "cli/verb.h"
#include "common/json/json.h"

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

typedef struct CancelOptions {
        CommonOptions common;
        const char *reason;
} CancelOptions;

static const Option cancel_options[] = {
        { "reason", 'r', "TEXT", "Why, to be kept with the task", OPTION_STRING,
          offsetof(CancelOptions, reason) },
        COMMON_OPTIONS(CancelOptions),
};

static int send_signal(const char **args, size_t n_args, const void *options)
{
        const SignalOptions *o = options;
        int number;

        if (parse_signal(args[1], &number) < 0) {
                fprintf(stderr, "reeve: signal: '%s' is no signal (TERM, SIGTERM, 15)\n", args[1]);
                return EX_USAGE;
        }
        _cleanup_json_ json_t *more = json_pack("{s:i}", "signal", number);
        if (o->whole && json_set_bool(more, "whole", true) < 0)
                return EX_OSERR;
        return session_call_each("Signal", args, 1, more);
}

static int cancel(const char **args, size_t n_args, const void *options)
{
        const CancelOptions *o = options;
        _cleanup_json_ json_t *more = json_object();

        if (json_set_string(more, "reason", o->reason) < 0) {
                fprintf(stderr, "reeve: --reason: the text is not valid UTF-8\n");
                return EX_USAGE;
        }
        return session_call_each("Cancel", args, n_args, more);
}

static int freeze(const char **args, size_t n_args, const void *options)
{
        return session_call_each("Freeze", args, n_args, NULL);
}

static int thaw(const char **args, size_t n_args, const void *options)
{
        return session_call_each("Thaw", args, n_args, NULL);
}

static int hold(const char **args, size_t n_args, const void *options)
{
        return session_call_each("Hold", args, n_args, NULL);
}

static int release(const char **args, size_t n_args, const void *options)
{
        return session_call_each("Release", args, n_args, NULL);
}

static int extend(const char **args, size_t n_args, const void *options)
{
        usec_t by;

        if (parse_span(args[1], &by) < 0 || by > INT64_MAX) {
                fprintf(stderr, "reeve: extend: '%s' is no time span (30s, 10min, 2h)\n", args[1]);
                return EX_USAGE;
        }
        _cleanup_json_ json_t *more = json_pack("{s:I}", "by_usec", (json_int_t)by);
        return session_call_each("Extend", args, 1, more);
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
