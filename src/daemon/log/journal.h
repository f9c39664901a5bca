/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* What the host's journal is told: one structured entry for each task that ended, for each event on the way there, and for
 * errors that matter to an administrator. config/catalog/reeve.catalog explains each kind of entry to `journalctl -x`. */

#include <systemd/sd-event.h>

#include "basic/error.h"
#include "daemon/model/task-row.h"

/* Where journald listens on every systemd host. */
#define JOURNAL_SOCKET "/run/systemd/journal/socket"

typedef struct Journal Journal;

/* `path` is borrowed for the call. -ENOENT: nobody listens there, so there is no journal. */
int journal_new(sd_event *event, const char *path, Journal **ret);
/* What could not be handed over is dropped. NULL is fine. */
Journal *journal_free(Journal *j);
DEFINE_CLEANUP_FUNC(Journal *, journal_free)

/* None of these waits or fails: an entry that cannot be handed over now is kept for later, up to a limit; beyond it,
 * entries are dropped, counted, and the count is logged. `j` may be NULL: then nothing happens. */

/* The task is in a final state. Only public fields are told: the journal's readers are not the task's owner. */
void journal_task_ended(Journal *j, const TaskRow *task);
/* An event of the task (topic: "task.started"). Of ends, steps of ladders and progress nothing is told here: the former have
 * functions of their own, the latter comes too often. */
void journal_task_event(Journal *j, const TaskRow *task, const char *topic);
/* A step of the task's ladder has come to its end; strings are borrowed. */
typedef struct JournalStep {
        unsigned number;          /* from 1; 0: the deadline itself */
        const char *what, *state; /* "signal", "done" */
        const char *message;      /* NULL: none */
        unsigned long long lateness_usec;
        bool is_warning;
} JournalStep;
void journal_ladder_step(Journal *j, const TaskRow *task, const JournalStep *step);
/* It is stuck by that rule ("idle"), and was so for that long when it was found. */
void journal_task_stuck(Journal *j, const TaskRow *task, const char *rule, usec_t span_usec);
void journal_task_not_stored(Journal *j, const TaskRow *task, const ReeveError *error);
/* What a hook wrote (text). */
void journal_hook_said(Journal *j, const TaskRow *hook, const char *text);
void journal_launcher_away(Journal *j);
/* Files that do not load: what was in force stays. */
void journal_policy_refused(Journal *j, const ReeveError *error);

/* The log was signed: the journal is one more place where its checkpoints are kept. */
void journal_log_signed(Journal *j, const char *note, uint64_t entries);
