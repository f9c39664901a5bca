/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Strict parsers for numbers and units as systemd writes them. All want the whole string, accept no leading or
 * trailing blanks and no sign where none is sensible, leave *ret alone on failure, and return 0, -EINVAL (not of
 * the form) or -ERANGE (of the form, but does not fit). */

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "basic/time.h"

int parse_u64(const char *text, uint64_t *ret);
int parse_u32(const char *text, uint32_t *ret);
int parse_i64(const char *text, int64_t *ret);
/* In [min, max]. */
int parse_int_range(const char *text, int min, int max, int *ret);

/* 1/0, yes/no, y/n, true/false, t/f, on/off; case does not matter. */
int parse_bool(const char *text, bool *ret);

/* Bytes: "512", "512B", "1.5K", "64M", "2G", "1T" (powers of 1024); "infinity" is UINT64_MAX. */
int parse_bytes(const char *text, uint64_t *ret);

/* A span: "30" (seconds), "500ms", "1.5h", "2h 30min", "1d12h"; units us ms s sec m min h hr d day w week and
 * their plurals; "infinity" is USEC_INFINITY. */
int parse_span(const char *text, usec_t *ret);

/* "80%" or "12.5%" as parts per ten thousand (8000, 1250); no upper bound, so "200%" is 20000. */
int parse_permyriad(const char *text, uint32_t *ret);

/* Octal file mode, 0 to 07777. */
int parse_mode(const char *text, mode_t *ret);

/* Exactly 2 * n hexadecimal digits of either case, as n bytes. */
int parse_hex(const char *text, uint8_t *ret, size_t n);

/* "TERM", "SIGTERM" or "15" (1 to 64). */
int parse_signal(const char *text, int *ret);

/* "TERM" for SIGTERM, "RTMIN+3", ...; never NULL. `buffer` is used for numbers without a name. */
#define SIGNAL_NAME_MAX 16
const char *signal_name(int signal, char buffer[static SIGNAL_NAME_MAX]);
