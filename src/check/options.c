/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The command line is written by reeved out of policy, and by people who try a rule. All options have the form --name=value;
 * there is one table of them. What a rule does not ask for is not checked. */

#include "check/options.h"

#include <errno.h>
#include <string.h>

#include "basic/parse.h"
#include "basic/strings.h"

#define SHA256_DIGITS 64

typedef int (*parse_option_t)(CheckOptions *o, const char *value);

static int parse_min_bytes(CheckOptions *o, const char *value)
{
        o->has_min_bytes = true;
        return parse_u64(value, &o->min_bytes);
}

static int parse_max_bytes(CheckOptions *o, const char *value)
{
        o->has_max_bytes = true;
        return parse_u64(value, &o->max_bytes);
}

static int parse_newer_than(CheckOptions *o, const char *value)
{
        return parse_u64(value, &o->newer_than);
}

static int parse_sha256(CheckOptions *o, const char *value)
{
        o->sha256 = value;
        return strlen(value) == SHA256_DIGITS && strspn(value, "0123456789abcdefABCDEF") == SHA256_DIGITS
                               ? 0
                               : -EINVAL;
}

static int parse_matches(CheckOptions *o, const char *value)
{
        o->matches = value;
        return value[0] ? 0 : -EINVAL;
}

static const struct {
        const char *name; /* with the "=" */
        bool of_files_only;
        parse_option_t parse;
        const char *wants;
} options[] = {
        { "--min-bytes=", true, parse_min_bytes, "a number" },
        { "--max-bytes=", true, parse_max_bytes, "a number" },
        { "--newer-than=", true, parse_newer_than, "microseconds of the wall clock" },
        { "--sha256=", true, parse_sha256, "64 hexadecimal digits" },
        { "--matches=", false, parse_matches, "an extended regular expression" },
};

static int parse_one(CheckOptions *o, const char *argument, ReeveError *reterr)
{
        for (size_t i = 0; i < ELEMENTSOF(options); i++) {
                const char *value = string_after(argument, options[i].name);
                if (!value || (options[i].of_files_only && o->kind != CHECK_FILE))
                        continue;
                if (options[i].parse(o, value) < 0)
                        return reeve_error_set(reterr, REEVE_ERROR_INVALID_ARGUMENT, options[i].name,
                                               "wants %s", options[i].wants);
                return 0;
        }
        if (argument[0] == '-' || o->kind != CHECK_FILE || o->path)
                return reeve_error_set(reterr, REEVE_ERROR_INVALID_ARGUMENT, NULL, "'%s' is not expected",
                                       argument);
        o->path = argument;
        return 0;
}

int check_options_parse(CheckOptions *o, int argc, char **argv, ReeveError *reterr)
{
        assert(o);
        assert(argv);

        *o = (CheckOptions){ 0 };
        if (argc < 2 || (!streq(argv[1], "file") && !streq(argv[1], "output")))
                return reeve_error_set(reterr, REEVE_ERROR_INVALID_ARGUMENT, NULL,
                                       "what to check is file or output");
        o->kind = streq(argv[1], "file") ? CHECK_FILE : CHECK_OUTPUT;
        bool names_follow = false;
        for (int i = 2; i < argc; i++) {
                if (!names_follow && streq(argv[i], "--")) {
                        names_follow = true;
                        continue;
                }
                if (names_follow && o->kind == CHECK_FILE && !o->path) {
                        o->path = argv[i];
                        continue;
                }
                int r = parse_one(o, argv[i], reterr);
                if (r < 0)
                        return r;
        }
        if (o->kind == CHECK_FILE && (!o->path || !o->path[0]))
                return reeve_error_set(reterr, REEVE_ERROR_INVALID_ARGUMENT, NULL, "which file?");
        if (o->kind == CHECK_OUTPUT && !o->matches)
                return reeve_error_set(reterr, REEVE_ERROR_INVALID_ARGUMENT,
                                       "--matches=", "what to look for?");
        return 0;
}
