/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Results of the service as JSON objects, for the adapters. Each returns NULL when memory is short. */

#include <jansson.h>

#include "daemon/service/service.h"

/* The task as this caller may see it. */
json_t *task_row_to_json_for(const Caller *caller, const TaskRow *task);
/* {tasks, cursor}; the last page has no cursor. */
json_t *list_page_to_json(const Caller *caller, const ListPage *page);
/* {task_id, status, event}: what Publish answers. */
json_t *published_to_json(const TaskRow *task, int64_t event);
/* What Stats answers, without what is an adapter's own. */
json_t *service_stats_to_json(const ServiceStats *s);
