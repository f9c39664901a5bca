/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Figures of a task by the names that people know: what a rule `metric` may look at. One list, so that what a policy may name is what
 * can be judged. */

#include <stdbool.h>

#include "daemon/model/task-row.h"

/* Is NAME a name that a reporter may give a metric: 1 to TASK_METRIC_NAME_MAX letters, digits and any of _.:/@- ? */
bool task_metric_name_is_valid(const char *name);

/* A counter ("cpu_usec"), "duration_seconds", a figure ("cpu_seconds", "memory_mb"), a metric with a column of its own
 * ("vectors_processed"), or ml.NAME? */
bool task_metric_exists(const char *name);

/* Its value. False: not known for this task, or there is none of that name; then *ret is 0. */
bool task_metric(const TaskRow *t, const char *name, double *ret);
