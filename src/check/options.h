/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* What is asked for on the command line. */

#include <stdbool.h>
#include <stdint.h>

#include "basic/error.h"
#include "basic/time.h"

typedef enum CheckKind {
        CHECK_FILE,   /* reeve-check file [OPTIONS] PATH */
        CHECK_OUTPUT, /* reeve-check output --matches=REGEX, of standard input */
} CheckKind;

typedef struct CheckOptions {
        CheckKind kind;
        const char *path;
        bool has_min_bytes, has_max_bytes;
        uint64_t min_bytes, max_bytes;
        usec_t newer_than; /* wall clock; 0: not asked for */
        const char *sha256, *matches;
} CheckOptions;

/* Strings are borrowed from argv. InvalidArgument names the option. */
int check_options_parse(CheckOptions *o, int argc, char **argv, ReeveError *reterr);
