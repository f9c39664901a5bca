/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Inside libreeve only: names that are derived from the command line. */

#include "basic/error.h"
#include "common/task-id.h"

/* The absolute path of a command: searched in $PATH unless it has a slash, else made absolute. ExecFailed with the
 * name as field if there is no executable file (the first reason that is not "no such file" wins). Caller frees. */
int command_resolve(const char *name, char **ret, ReeveError *reterr);

/* `path` made absolute against the current directory, "." and repeated slashes dropped, ".." kept (it may cross a
 * symbolic link). Caller frees. */
int command_make_absolute(const char *path, char **ret, ReeveError *reterr);

/* A valid task type from a command's name: its last part, other characters as '-', cut to length. */
void command_task_type(const char *name, char ret[static TASK_NAME_MAX + 1]);

/* The command's name for people: its last part, control characters and invalid UTF-8 shown as '?', at most `max` bytes.
 * Caller frees; NULL when memory is short. */
char *command_title(const char *name, size_t max);
