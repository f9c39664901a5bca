/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Options of a verb as a table, from which the command line is parsed and --help is written; the manual page and the
 * completion are checked against it by a test. */

#include <stdbool.h>

#include "basic/error.h"

typedef enum OptionType {
        OPTION_FLAG,   /* bool, set to true */
        OPTION_STRING, /* const char *, borrowed from argv; the last one wins */
        OPTION_LIST,   /* const char **, NULL-terminated, strings borrowed: may be given several times */
        OPTION_PARSED, /* whatever `parse` writes */
} OptionType;

/* Parses a value into a field of the verb's options. `name` is how the option was written, for errors ("--limit").
 * `value` is NULL if the option takes none. */
typedef int (*option_parse_t)(const char *name, const char *value, void *field, ReeveError *reterr);

typedef struct Option {
        const char *name;     /* long name without dashes; NULL: only a letter */
        char letter;          /* 0: only a name */
        const char *argument; /* name of its value in --help; NULL: it takes none */
        const char *help;
        OptionType type;
        size_t offset; /* of the field in the verb's options */
        option_parse_t parse;
} Option;

typedef struct OptionTable {
        const Option *options;
        size_t n_options;
        bool stop_at_argument; /* what follows the first argument belongs to somebody else (a command) */
} OptionTable;

#define OPTION_TABLE(array)                                        \
        {                                                          \
                .options = (array), .n_options = ELEMENTSOF(array) \
        }

/* Parses argv (without program and verb), NULL-terminated. Fields of `target` are set as the table says; *ret_args gets
 * the arguments that are no options (fresh array of borrowed strings, NULL-terminated, caller frees), also of
 * everything behind "--". Errors: InvalidArgument, whose field is the option as it was written. */
int option_parse(const OptionTable *table, char **argv, void *target, const char ***ret_args,
                 ReeveError *reterr);

/* Frees the arrays of OPTION_LIST fields. */
void option_done(const OptionTable *table, void *target);
