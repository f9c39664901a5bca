/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* The file of lines, which a thread of its own writes. All functions are for the loop thread, and none of them waits for a disk, but
 * _new and _free. */

#include "basic/error.h"
#include "common/clock.h"
#include "daemon/lines/line-text.h"

typedef struct LineLog LineLog;

typedef struct LineLogConfig {
        const char *path;   /* copied */
        const Clock *clock; /* for the first line of a file; used by the thread */
        uint64_t max_bytes; /* a file that has as many is renamed to <path>.1; 0: never */
        unsigned files;     /* that there may be, with <path>; at least 1 */
} LineLogConfig;

/* The number of the last event that a file at this path has, or the one that was renamed last; -1: there is none. */
int64_t line_log_last_number(const char *path);

/* Begins to write. `after` is the number after which events will come. That the file cannot be opened is no failure: then lines wait. */
int line_log_new(const LineLogConfig *config, int64_t after, LineLog **ret);
/* Has what waits written, as far as that goes at once. */
LineLog *line_log_free(LineLog *l);
DEFINE_CLEANUP_FUNC(LineLog *, line_log_free)

/* Adds the line of an event. 1: enough lines wait now; nothing should be added before line_log_fd() says so. -ENOMEM. */
int line_log_add(LineLog *l, const LineEvent *event);
/* Becomes readable when there is room again. */
int line_log_fd(const LineLog *l);
/* Reads that. */
void line_log_heard(LineLog *l);
