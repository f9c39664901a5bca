/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Logging of the daemons and the command line: one line per message to stderr, prefixed with "<N>" (the syslog
 * level, as sd-daemon(3) reads it) when stderr goes to the journal. Library code does not log above debug. */

#include <syslog.h>

#include "basic/error.h"
#include "basic/macro.h"

/* `program` is borrowed, normally the name of the binary. Reads REEVE_LOG_LEVEL (a number or emerg ... debug). */
void log_init(const char *program);
void log_set_max_level(int level);
int log_get_max_level(void);

/* Writes a line, control characters as blanks, if level <= the maximum. Keeps errno. */
void log_full(int level, const char *format, ...) _printf_(2, 3);

/* As log_full(), with ": " and the text of `error` (positive or negative errno) appended. Returns -abs(error). */
int log_full_errno(int level, int error, const char *format, ...) _printf_(3, 4);

/* Logs "what: text of e" and returns the errno of e's code. */
int log_full_reeve_error(int level, const ReeveError *e, const char *what);

#define log_debug(...)   log_full(LOG_DEBUG, __VA_ARGS__)
#define log_info(...)    log_full(LOG_INFO, __VA_ARGS__)
#define log_notice(...)  log_full(LOG_NOTICE, __VA_ARGS__)
#define log_warning(...) log_full(LOG_WARNING, __VA_ARGS__)
#define log_error(...)   log_full(LOG_ERR, __VA_ARGS__)

#define log_debug_errno(e, ...)   log_full_errno(LOG_DEBUG, (e), __VA_ARGS__)
#define log_info_errno(e, ...)    log_full_errno(LOG_INFO, (e), __VA_ARGS__)
#define log_warning_errno(e, ...) log_full_errno(LOG_WARNING, (e), __VA_ARGS__)
#define log_error_errno(e, ...)   log_full_errno(LOG_ERR, (e), __VA_ARGS__)
