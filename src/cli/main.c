/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* reeve, the command line. Everything it knows about tasks it asks from reeved through libreeve; it holds no privilege
 * and no state. This file finds the verb; verbs.c has the table, verb-*.c the verbs.
 *
 * Only the character type of the locale is taken over, for the width of titles. Numbers are written with a point
 * everywhere: they are read by scripts. */

#include <locale.h>
#include <stdio.h>
#include <sysexits.h>

#include "basic/nearest.h"
#include "basic/strings.h"
#include "cli/session.h"
#include "cli/verb.h"

static int unknown_verb(const char *name)
{
        Nearest nearest;

        nearest_init(&nearest, name);
        for (size_t i = 0; verbs[i]; i++)
                nearest_offer(&nearest, verbs[i]->name);
        if (nearest.best)
                fprintf(stderr, "reeve: %s: there is no such verb, did you mean %s?\n", name, nearest.best);
        else
                fprintf(stderr, "reeve: %s: there is no such verb, see reeve --help\n", name);
        return EX_USAGE;
}

static int print_program_help(FILE *where)
{
        _cleanup_free_ char *text = help_program();
        if (!text)
                return EX_OSERR;
        fputs(text, where);
        return 0;
}

/* What was printed but could not be written is a failure too, unless there is a worse one. */
static int flush_output(int status)
{
        if (fflush(stdout) == 0 && !ferror(stdout))
                return status;
        if (status == EX_IOERR) /* said already */
                return status;
        fprintf(stderr, "reeve: cannot write to standard output\n");
        return status ?: EX_IOERR;
}

static int dispatch(char **argv)
{
        if (streq(argv[1], "--help") || streq(argv[1], "-h"))
                return print_program_help(stdout);
        if (streq(argv[1], "--version")) {
                puts("reeve " REEVE_VERSION);
                return 0;
        }
        const Verb *verb = verb_find(argv[1]);
        return verb ? verb_run_main(verb, argv + 1) : unknown_verb(argv[1]);
}

int main(int argc, char **argv)
{
        setlocale(LC_CTYPE, "");

        if (argc < 2) {
                print_program_help(stderr);
                return EX_USAGE;
        }
        return flush_output(dispatch(argv));
}
