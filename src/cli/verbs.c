/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The table of verbs, and what all of them do first: parse the options by their table, count the arguments, answer
 * --help. A verb that is not in this table does not exist, in no help text, page or completion.
 *
 * A verb's row stands beside its handler, in its own file, and is only pointed to here: what belongs together is
 * changed together, and this file shows the order. */

#include "cli/verb.h"

#include <limits.h>
#include <stdio.h>
#include <sysexits.h>

#include "basic/strings.h"
#include "cli/session.h"

const Verb *const verbs[] = {
        &verb_run,    &verb_attach, &verb_start,   &verb_update, &verb_complete, &verb_fail,   &verb_publish,
        &verb_list,   &verb_show,   &verb_wait,    &verb_logs,   &verb_signal,   &verb_cancel, &verb_freeze,
        &verb_thaw,   &verb_hold,   &verb_release, &verb_extend, &verb_top,      &verb_events, &verb_stats,
        &verb_doctor, &verb_policy, &verb_backup,  &verb_log,    &verb_help,     NULL,
};

const Verb *verb_find(const char *name)
{
        assert(name);

        for (size_t i = 0; verbs[i]; i++)
                if (streq(verbs[i]->name, name))
                        return verbs[i];
        return NULL;
}

static int check_count(const Verb *verb, size_t n, ReeveError *reterr)
{
        if (n < verb->min_args)
                return reeve_error_set(reterr, REEVE_ERROR_INVALID_ARGUMENT, verb->name,
                                       "an argument is missing, usage: reeve %s %s", verb->name,
                                       verb->synopsis);
        if (n > verb->max_args)
                return reeve_error_set(reterr, REEVE_ERROR_INVALID_ARGUMENT, verb->name,
                                       "too many arguments, usage: reeve %s %s", verb->name, verb->synopsis);
        return 0;
}

static int print_help(const Verb *verb)
{
        _cleanup_free_ char *text = help_verb(verb);
        if (!text)
                return EX_OSERR;
        fputs(text, stdout);
        return 0;
}

int verb_run_main(const Verb *verb, char **argv)
{
        ReeveError error = REEVE_ERROR_NULL;
        const char **args = NULL;
        int status;

        assert(verb);
        assert(argv);

        _cleanup_free_ void *options = calloc(1, verb->options_size);
        if (!options)
                return EX_OSERR;
        const CommonOptions *common = options;

        int r = option_parse(&verb->options, argv + 1, options, &args, &error);
        if (r >= 0 && common->help)
                status = print_help(verb);
        else {
                size_t n = strv_length((char *const *)args);
                if (r >= 0)
                        r = check_count(verb, n, &error);
                status = r < 0 ? session_error(&error) : verb->handler(args, n, options);
        }
        option_done(&verb->options, options);
        free(args);
        return status;
}
