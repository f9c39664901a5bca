/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Looking through the bytes of a file: does a line match, what is their SHA-256? */

#include "check/evidence.h"

#define CHECK_LINE_MAX 65536 /* bytes of a line that are looked at */

typedef struct TextCheck {
        const char *matches; /* extended regular expression; NULL: not asked for */
        const char *sha256;  /* hexadecimal; NULL: not asked for */
} TextCheck;

/* Reads from the descriptor's offset at most `limit` bytes in constant memory, over holes, and enters in the evidence what
 * it found. Stops early when nothing more can be learned. */
void check_text(Evidence *e, const TextCheck *c, int fd, uint64_t limit);
