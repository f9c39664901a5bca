/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* One line for programs, indented for people; in both, fields keep the order that the registry gave them.
 *
 * Numbers with fractions are cut to 15 digits, which is what a double holds without noise. Output is flushed here, so
 * that a reader of a stream has each object at once, and so that a full disk is noticed where it can still be said.
 *
 * What is printed is what the registry answered; nothing is renamed or left out on the way. */

#include "cli/json-print.h"

#include <stdio.h>
#include <sysexits.h>
#include <unistd.h>

#include "basic/strings.h"

int json_mode_parse(const char *name, const char *value, void *field, ReeveError *reterr)
{
        static const char *const names[] = { "off", "short", "pretty" };
        JsonMode *mode = field;

        if (!value) {
                *mode = isatty(STDOUT_FILENO) ? JSON_MODE_PRETTY : JSON_MODE_SHORT;
                return 0;
        }
        for (size_t i = 0; i < ELEMENTSOF(names); i++)
                if (streq(value, names[i])) {
                        *mode = (JsonMode)i;
                        return 0;
                }
        return reeve_error_set(reterr, REEVE_ERROR_INVALID_ARGUMENT, name,
                               "'%.64s' is not short, pretty or off", value);
}

int json_print(JsonMode mode, const json_t *j)
{
        size_t flags = JSON_ENCODE_ANY | JSON_REAL_PRECISION(15);

        assert(j);

        flags |= mode == JSON_MODE_PRETTY ? JSON_INDENT(2) : JSON_COMPACT;
        if (json_dumpf(j, stdout, flags) < 0 || putchar('\n') == EOF || fflush(stdout) == EOF) {
                fprintf(stderr, "reeve: cannot write to standard output\n");
                return EX_IOERR;
        }
        return 0;
}
