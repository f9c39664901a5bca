/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Scanning the text of a kernel file in place. Inside this folder only. */

#include <stdbool.h>
#include <stdint.h>

/* Reads the decimal number at *p and moves *p behind it; what does not fit is UINT64_MAX. False, with *p unmoved,
 * if there is no digit. */
bool scan_u64(const char **p, uint64_t *ret);

/* The beginning of the next line, or the end of the text. */
const char *scan_next_line(const char *p);
