/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* reeve-check: the checks that policy's rules `file` and `output` name. It has no privilege: the launcher starts it with the
 * user, groups and directory of the task that is checked. The verdict is its exit status, and one JSON object on standard
 * output says what was found.
 *
 *     0 passed    1 did not pass    2 could not be checked, which is no pass either
 *
 * Its memory is bounded whatever it reads and whatever the regular expression is like; its time is the keeper's to bound. */

#include <stdio.h>
#include <sys/resource.h>
#include <unistd.h>

#include "basic/strings.h"
#include "check/check-file.h"
#include "check/check-text.h"
#include "check/options.h"

#define MEMORY_MAX (UINT64_C(512) * 1024 * 1024)

static const char usage[] = "reeve-check file [OPTIONS] PATH\n"
                            "reeve-check output --matches=REGEX <OUTPUT\n\n"
                            "Checks a file, or standard input, and says so in JSON. Exit status 0 if it "
                            "passes, 1 if not, 2 if it\n"
                            "cannot be checked.\n\n"
                            "     --min-bytes=N       not smaller\n"
                            "     --max-bytes=N       not larger\n"
                            "     --newer-than=USEC   not older than this time (microseconds since 1970)\n"
                            "     --sha256=DIGITS     has this hash\n"
                            "     --matches=REGEX     a line matches this extended regular expression\n";

int main(int argc, char **argv)
{
#ifndef REEVE_ADDRESS_SANITIZER
        struct rlimit memory = { MEMORY_MAX, MEMORY_MAX };
#endif
        ReeveError error = REEVE_ERROR_NULL;
        Evidence e = { 0 };
        CheckOptions o;

        if (argc == 2 && (streq(argv[1], "--help") || streq(argv[1], "-h"))) {
                fputs(usage, stdout);
                return 0;
        }
        if (argc == 2 && streq(argv[1], "--version")) {
                puts("reeve-check " REEVE_VERSION);
                return 0;
        }
#ifndef REEVE_ADDRESS_SANITIZER
        (void)setrlimit(RLIMIT_AS, &memory); /* refused if there is a lower one */
#endif
        if (check_options_parse(&o, argc, argv, &error) < 0)
                evidence_unknown(&e, "%s%s", error.field, error.text);
        else if (o.kind == CHECK_FILE)
                check_file(&e, &o);
        else
                check_text(&e, &(TextCheck){ .matches = o.matches }, STDIN_FILENO, UINT64_MAX);
        int r = evidence_write(&e);
        evidence_done(&e);
        return r < 0 ? VERDICT_UNKNOWN : (int)e.verdict;
}
