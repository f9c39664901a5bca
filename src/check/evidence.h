/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* What a check found, as one JSON object. */

#include <stdbool.h>
#include <stdint.h>

#include "basic/strings.h"

typedef enum Verdict {
        VERDICT_PASSED = 0, /* these are exit statuses */
        VERDICT_FAILED = 1,
        VERDICT_UNKNOWN = 2, /* it could not be checked */
} Verdict;

typedef struct Evidence {
        Buffer facts;
        Verdict verdict;
        char why[512]; /* "": it passed */
} Evidence;

void evidence_done(Evidence *e);

/* Facts in the order of the calls. Text is repaired to UTF-8 and cut at EVIDENCE_TEXT_MAX bytes. Running out of memory
 * loses a fact, never the verdict. */
#define EVIDENCE_TEXT_MAX 1024
void evidence_text(Evidence *e, const char *name, const char *text);
void evidence_number(Evidence *e, const char *name, uint64_t value);

/* Sets the verdict, unless there is one that did not pass already, and why. Returns what is the verdict now. */
Verdict evidence_fail(Evidence *e, const char *format, ...) _printf_(2, 3);
Verdict evidence_unknown(Evidence *e, const char *format, ...) _printf_(2, 3);

/* The object, with "passed" and "why", and a newline, to standard output. 0 or a negative errno. */
int evidence_write(const Evidence *e);
