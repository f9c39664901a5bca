/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* --help is written from the tables that the command line is parsed by, so that it cannot forget an option.
 *
 * Two columns: names on the left, text on the right, or on the next line if the left one is too long. Text is one
 * sentence each; what needs more stands in reeve(1), and a test holds that page to the same tables. The completion
 * for bash reads this output, so the columns are an interface. */

#include "cli/verb.h"

#include <errno.h>
#include <stdio.h>

#include "basic/strings.h"

#define OPTION_COLUMN 34 /* where the texts of options begin */
#define VERB_COLUMN   26

static int append_row(Buffer *b, const char *left, size_t column, const char *text)
{
        size_t n = strlen(left);

        return n + 1 < column ? buffer_printf(b, "%-*s%s\n", (int)column, left, text)
                              : buffer_printf(b, "%s\n%*s%s\n", left, (int)column, "", text);
}

static int append_option(Buffer *b, const Option *o)
{
        char left[128];
        size_t n;

        if (o->letter)
                n = (size_t)snprintf(left, sizeof(left), "  -%c%s", o->letter, o->name ? " " : "");
        else
                n = (size_t)snprintf(left, sizeof(left), "     ");
        if (o->name)
                snprintf(left + n, sizeof(left) - n, "--%s%s%s", o->name, o->argument ? "=" : "",
                         o->argument ?: "");
        return append_row(b, left, OPTION_COLUMN, o->help);
}

char *help_verb(const Verb *verb)
{
        _cleanup_buffer_ Buffer b = { 0 };

        assert(verb);

        int r = buffer_printf(&b, "reeve %s [OPTIONS]%s%s\n\n%s.\n\nOptions:\n", verb->name,
                              *verb->synopsis ? " " : "", verb->synopsis, verb->summary);
        for (size_t i = 0; r >= 0 && i < verb->options.n_options; i++)
                r = append_option(&b, verb->options.options + i);
        if (r >= 0)
                r = buffer_printf(&b, "\nSee reeve(1) for the details.\n");
        return r < 0 ? NULL : buffer_take(&b);
}

char *help_program(void)
{
        _cleanup_buffer_ Buffer b = { 0 };

        int r = buffer_append_text(&b,
                                   "reeve [--help | --version] VERB [OPTIONS] [ARGUMENTS]\n\n"
                                   "Runs tasks, keeps an exact account of what they use, and shows it.\n\n"
                                   "Verbs:\n");
        for (size_t i = 0; r >= 0 && verbs[i]; i++) {
                _cleanup_free_ char *left = string_printf("  %s %s", verbs[i]->name, verbs[i]->synopsis);
                r = left ? append_row(&b, left, VERB_COLUMN, verbs[i]->summary) : -ENOMEM;
        }
        if (r >= 0)
                r = buffer_append_text(
                                &b, "\nThe registry is that of this host, or the one at $REEVE_SOCKET.\n"
                                    "reeve VERB --help shows the options of a verb, reeve(1) the rest.\n");
        return r < 0 ? NULL : buffer_take(&b);
}
