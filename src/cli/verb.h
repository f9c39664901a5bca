/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* A verb of `reeve`: a row of the one table (verbs.c), a file of its own (verb-NAME.c). */

#include "cli/json-print.h"
#include "cli/option.h"

/* Every verb's options begin with these. */
typedef struct CommonOptions {
        bool help;
        JsonMode json;
} CommonOptions;

/* Entries for the tables of options; `type` is a struct whose first member is CommonOptions common. */
#define COMMON_OPTIONS(type)                                                                   \
        { "help", 'h', NULL, "Show this help", OPTION_FLAG, offsetof(type, common.help) },     \
                        { "json",         0,                                                   \
                          "MODE",         "Write JSON: short, pretty or off",                  \
                          OPTION_PARSED,  offsetof(type, common.json),                         \
                          json_mode_parse },                                                   \
        {                                                                                      \
                NULL, 'j', NULL, "The same as --json=pretty on a terminal, else --json=short", \
                                OPTION_PARSED, offsetof(type, common.json), json_mode_parse    \
        }

typedef struct Verb {
        const char *name;
        const char *synopsis; /* of its arguments: "ID..." */
        const char *summary;  /* one line, without full stop */
        OptionTable options;
        size_t options_size; /* of the struct that the handler gets; zeroed before the options are parsed */
        unsigned min_args;
        unsigned max_args; /* UINT_MAX: any number */
        /* Does it, says on stderr what went wrong, returns the exit status. `args` has n_args strings and a NULL. */
        int (*handler)(const char **args, size_t n_args, const void *options);
} Verb;

/* All verbs, in the order of --help; NULL behind the last. */
extern const Verb *const verbs[];

/* NULL if there is none. */
const Verb *verb_find(const char *name);

/* Parses the options of a verb and runs it. argv is that of main(), from the verb on. Returns the exit status. */
int verb_run_main(const Verb *verb, char **argv);

/* --help of the program, and of a verb: fresh text, NULL when memory is short. */
char *help_program(void);
char *help_verb(const Verb *verb);

extern const Verb verb_run, verb_attach, verb_list, verb_show, verb_wait, verb_logs, verb_signal,
                verb_cancel, verb_freeze, verb_thaw, verb_hold, verb_release, verb_extend, verb_top,
                verb_start, verb_update, verb_complete, verb_fail, verb_publish, verb_events, verb_stats,
                verb_doctor, verb_policy, verb_backup, verb_log, verb_help;
