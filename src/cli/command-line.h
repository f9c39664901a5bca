/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* What a task is called in lists: its title, or its command line. */

#include "cli/task-view.h"

/* A command line as a shell would take it, from an array of strings; control characters are shown as '?'. Caller frees;
 * NULL when memory is short. */
char *command_line_text(const json_t *argv);

/* The task's title; where that says no more than the command's name, and the registry let the caller see the command
 * line, that, without the directory of the command. Caller frees; NULL when memory is short. */
char *task_title_text(const TaskView *t);
