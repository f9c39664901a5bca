/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Task ids: [A-Za-z0-9][A-Za-z0-9_-]{0,127}. An id becomes a file, cgroup, unit and object name, so nothing else
 * ever passes. The same rule with a length of 64 holds for subsystems and task types. */

#include <stdbool.h>

#include "basic/error.h"
#include "basic/time.h"

#define TASK_ID_MAX      128 /* characters */
#define TASK_NAME_MAX    64  /* subsystem, task type */
#define TASK_ATTEMPT_MAX 1000
/* "<task>.<attempt>" and its NUL */
#define TASK_ATTEMPT_NAME_SIZE (TASK_ID_MAX + 1 + 4 + 1)

bool task_id_is_valid(const char *id);
bool task_name_is_valid(const char *name);

/* Is it "<something>-<word><number>", the number of one to four digits? Ids that end in -check<n> and -step<n> are
 * reeve's own: checks and hooks run under them. */
bool task_id_ends_in(const char *id, const char *word);
bool task_id_is_reserved(const char *id);

/* Makes "<subsystem>_<task_type>_<12 characters>": 60 bits in lower-case Crockford base32 (ids that sort by time),
 * the upper 42 the wall clock in milliseconds, the lower 18 random. A subsystem and type that would make the id
 * too long are cut. Both names must be valid. Returns 0 or a negative errno of getrandom. */
int task_id_make(const char *subsystem, const char *task_type, usec_t realtime,
                 char ret[static TASK_ID_MAX + 1]);

/* Writes "<task>.<attempt>", the name of records, output files and leaf cgroups. Returns ret. */
char *task_attempt_name(const char *id, unsigned attempt, char ret[static TASK_ATTEMPT_NAME_SIZE]);

/* The reverse; -EINVAL for anything that task_attempt_name() does not write. */
int task_attempt_name_parse(const char *name, char ret_id[static TASK_ID_MAX + 1], unsigned *ret_attempt);
