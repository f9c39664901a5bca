/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* What a hook's task remembers, and how often and when it is tried: what can be said without running anything. */

#include "basic/time.h"
#include "daemon/hooks/hooks.h"
#include "daemon/model/task-row.h"

#define HOOK_SUBSYSTEM    "reeve-hooks"
#define HOOK_ATTEMPTS     3
#define HOOK_TIMEOUT_USEC USEC_PER_MINUTE /* unless its policy says another one */

/* The row of a new hook under this id, without times; on -ENOMEM it is empty. The metadata has what it is about:
 * {"parent": ..., "step": ..., "hook": ..., "timeout_usec": ..., "event": {...}}. */
int hook_row_init(TaskRow *row, const char *task_id, uid_t uid, gid_t gid, const HookRequest *request);

/* The same, read back from a row. */
typedef struct HookFacts {
        char *path, *parent, *event; /* owned; event is JSON text with a newline */
        unsigned step;               /* from 1, as the id has it */
        usec_t timeout_usec;         /* of an attempt */
} HookFacts;
int hook_facts_init(HookFacts *f, const TaskRow *row, ReeveError *reterr);
void hook_facts_done(HookFacts *f);

/* REEVE_...=... of an attempt, NULL-terminated (strv_free()); NULL when memory is short. */
char **hook_environment(const HookFacts *f, unsigned attempt);

/* How long to wait before the attempt that follows this one: 1 s, 4 s, 16 s, ... */
usec_t hook_backoff(unsigned attempt);
