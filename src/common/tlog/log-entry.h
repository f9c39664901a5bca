/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* An entry of the immutable log, as the bytes that its leaf is the hash of. docs/log-format.md describes them: seven lines,
 * each ended by LF, "-" for what is not there. No value can have an LF in it, and none can be "-". */

#include "common/tlog/tlog.h"

typedef struct LogEntry { /* strings are borrowed, NULL: not there */
        int64_t number;
        int64_t timestamp; /* wall clock, microseconds */
        const char *action;
        const char *task_id, *subsystem, *detail;
} LogEntry;

#define LOG_ENTRY_HEAD  "reeve-log-entry 1\n"
#define LOG_ENTRY_LINES 7

/* How many bytes the text has. */
size_t log_entry_size(const LogEntry *e);
/* Writes that many bytes, without a NUL. */
void log_entry_write(const LogEntry *e, char *ret);
/* Is it one? False for texts that the form cannot tell from others. */
bool log_entry_is_valid(const LogEntry *e);
/* The leaf. -EINVAL if it is not valid, -ENOMEM. */
int log_entry_hash(const LogEntry *e, TlogHash *ret);
