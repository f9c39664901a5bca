/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Rows as JSON objects of the types in io.reeve.Registry.varlink. */

#include <jansson.h>

#include "daemon/model/task-row.h"

/* Who looks decides what is in it. */
typedef enum TaskView {
        TASK_VIEW_PUBLIC,  /* what everybody on the host may know */
        TASK_VIEW_PRIVATE, /* also description, message, argv, cwd, metadata: owner, root, reeve-admin */
} TaskView;

/* A new object of type Task; NULL when memory is short. */
json_t *task_row_to_json(const TaskRow *t, TaskView view);

/* A new object of type Snapshot; NULL when memory is short. */
json_t *snapshot_row_to_json(const SnapshotRow *s);

/* A new object of type Verification; NULL when memory is short. */
json_t *verification_row_to_json(const VerificationRow *v);

/* Sets "usage" and "usage_sources" of an object. 0 or -ENOMEM. */
int usage_to_json(const Usage *u, json_t *object);
