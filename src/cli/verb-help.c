/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* reeve help: the help of the program, or of a verb. It is a verb like any other so that completion and manual page
 * know it; `reeve --help` and `reeve VERB --help` print the same texts.
 *
 * It needs no registry: somebody whose daemon does not run is the one who reads help.
 *
 * What it prints is made in help.c. */

#include <stdio.h>
#include <sysexits.h>

#include "cli/verb.h"

typedef struct HelpOptions {
        CommonOptions common;
} HelpOptions;

static const Option help_options[] = { COMMON_OPTIONS(HelpOptions) };

static int help(const char **args, size_t n_args, const void *options)
{
        const Verb *verb = n_args > 0 ? verb_find(args[0]) : NULL;

        if (n_args > 0 && !verb) {
                fprintf(stderr, "reeve: %s: there is no such verb, see reeve --help\n", args[0]);
                return EX_USAGE;
        }
        _cleanup_free_ char *text = verb ? help_verb(verb) : help_program();
        if (!text)
                return EX_OSERR;
        fputs(text, stdout);
        return 0;
}

const Verb verb_help = {
        .name = "help",
        .synopsis = "[VERB]",
        .summary = "Show this help, or that of a verb",
        .options = OPTION_TABLE(help_options),
        .options_size = sizeof(HelpOptions),
        .max_args = 1,
        .handler = help,
};
