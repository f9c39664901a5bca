/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The transitions of a task. The lifecycle is the table of common/task-state.h; `move()` is the only assignment to a
 * task's status after its creation, and asserts that the table allows it: a forbidden transition is a bug of ours, never the
 * effect of input. How an attempt's end maps to a state and an outcome is decided here and nowhere else:
 *
 *     cancel was asked                   cancelled              whatever ended it: it was asked to end
 *     its ladder told it to end, or the
 *     keeper killed it at its backstop   failed / sla           likewise
 *     killed by the kernel for memory    failed / oom           SIGKILL, and oom_kills > 0 in its cgroup
 *     exit status 0, or an accepted one  verifying, which task_verified() ends: completed, or failed / verification
 *     another exit status                failed / exit-code
 *     a signal                           failed / signal, failed / core-dump
 *     could not be executed              failed / exec
 *     nobody saw the end                 lost / exit-unknown
 *
 * The end of a reported task is what its reporter says: verifying, or failed / reported. */

#include <errno.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "basic/parse.h"
#include "basic/strings.h"
#include "daemon/registry/registry.h"

static void move(Task *t, TaskState to)
{
        assert(task_state_may(t->row.status, to));
        t->row.status = to;
}

void task_set_message(Task *t, const char *format, ...)
{
        char text[TASK_MESSAGE_MAX + 1];
        va_list ap;

        assert(t);
        assert(format);

        va_start(ap, format);
        vsnprintf(text, sizeof(text), format, ap);
        va_end(ap);

        char *copy = strdup(utf8_repair(text)); /* it may have been cut within a character */
        if (copy) {
                free(t->row.message);
                t->row.message = copy;
        }
}

/* What an attempt tells about where it runs. */
static void set_place(Task *t, const AttemptRow *a)
{
        t->row.attempt = a->attempt;
        t->row.backend = a->backend;
        t->row.has_backend = true;
        if (a->cgroup && !streq_null(a->cgroup, t->row.cgroup)) {
                free(t->row.cgroup);
                t->row.cgroup = strdup(a->cgroup);
        }
}

void task_started(Task *t, const AttemptRow *a, usec_t started_boottime)
{
        assert(t);
        assert(a);

        move(t, TASK_ACTIVE);
        set_place(t, a);
        t->row.pid = a->pid;
        t->row.held = false;
        t->row.not_before_realtime = t->row.not_before_boottime = 0;
        t->row.usage = (Usage){ 0 }; /* of an earlier attempt */
        if (t->row.started_realtime == 0) {
                t->row.started_realtime = a->started_realtime;
                t->row.started_boottime = started_boottime;
        }
}

static void end(Task *t, TaskState state, TaskOutcome outcome)
{
        move(t, state);
        t->row.outcome = outcome;
        t->row.pid = 0;
        t->row.frozen = false;
}

static bool killed_for_memory(const AttemptRow *a)
{
        return a->exit_kind == RECORD_EXIT_KILLED && a->exit_value == SIGKILL &&
               usage_has(&a->usage, USAGE_OOM_KILLS) && a->usage.value[USAGE_OOM_KILLS] > 0;
}

static TaskOutcome outcome_of_signal(const AttemptRow *a)
{
        if (a->flags & RECORD_FLAG_BACKSTOP)
                return TASK_OUTCOME_SLA;
        if (killed_for_memory(a))
                return TASK_OUTCOME_OOM;
        return a->exit_kind == RECORD_EXIT_DUMPED ? TASK_OUTCOME_CORE_DUMP : TASK_OUTCOME_SIGNAL;
}

/* What the attempt itself makes of the task, whatever was asked. */
static TaskState judge_exit(const AttemptRow *a, bool accepted, TaskOutcome *ret)
{
        switch (a->exit_kind) {
        case RECORD_EXIT_EXITED:
                accepted |= a->exit_value == 0;
                *ret = accepted ? TASK_OUTCOME_NONE : TASK_OUTCOME_EXIT_CODE;
                return accepted ? TASK_VERIFYING : TASK_FAILED;
        case RECORD_EXIT_KILLED:
        case RECORD_EXIT_DUMPED:
                *ret = outcome_of_signal(a);
                return TASK_FAILED;
        case RECORD_EXIT_EXEC_FAILED:
                *ret = TASK_OUTCOME_EXEC;
                return TASK_FAILED;
        case RECORD_EXIT_NONE:
        case RECORD_EXIT_UNKNOWN:
        case _RECORD_EXIT_MAX:
                break;
        }
        *ret = TASK_OUTCOME_EXIT_UNKNOWN;
        return TASK_LOST;
}

TaskState task_judge_attempt(const Task *t, const AttemptRow *a, bool accepted, TaskOutcome *ret_outcome)
{
        assert(t);
        assert(a);
        assert(ret_outcome);

        *ret_outcome = TASK_OUTCOME_NONE;
        if (t->row.cancel_requested)
                return TASK_CANCELLED;
        if (!t->ended_by_ladder)
                return judge_exit(a, accepted, ret_outcome);
        *ret_outcome = TASK_OUTCOME_SLA;
        return TASK_FAILED;
}

/* Why it failed, for people. */
static void explain_exit(Task *t, const AttemptRow *a)
{
        char name[SIGNAL_NAME_MAX];

        switch (a->exit_kind) {
        case RECORD_EXIT_EXITED:
                task_set_message(t, "exited with status %d", a->exit_value);
                return;
        case RECORD_EXIT_KILLED:
        case RECORD_EXIT_DUMPED:
                if (a->flags & RECORD_FLAG_BACKSTOP)
                        task_set_message(t, "killed at its deadline");
                else if (killed_for_memory(a))
                        task_set_message(t, "killed by the kernel: its memory limit was reached");
                else
                        task_set_message(t, "ended by signal %s", signal_name(a->exit_value, name));
                return;
        case RECORD_EXIT_EXEC_FAILED:
                if (!t->row.message)
                        task_set_message(t, "could not be executed: %s",
                                         strerrordesc_np(a->exit_value) ?: "?");
                return;
        case RECORD_EXIT_NONE:
        case RECORD_EXIT_UNKNOWN:
        case _RECORD_EXIT_MAX:
                return;
        }
}

static void set_exit(Task *t, const AttemptRow *a)
{
        bool exited = a->exit_kind == RECORD_EXIT_EXITED;
        bool killed = a->exit_kind == RECORD_EXIT_KILLED || a->exit_kind == RECORD_EXIT_DUMPED;

        t->row.has_exit = exited || killed;
        t->row.exit_status = exited ? a->exit_value : 0;
        t->row.exit_signal = killed ? a->exit_value : 0;
}

void task_attempt_ended(Task *t, const AttemptRow *a, usec_t duration_usec, bool accepted)
{
        assert(t);
        assert(a);

        if (t->row.status == TASK_PENDING)
                move(t, TASK_ACTIVE);
        set_place(t, a);
        set_exit(t, a);
        if (t->row.started_realtime == 0)
                t->row.started_realtime = a->started_realtime;
        t->row.completed_realtime = a->ended_realtime;
        t->row.duration_usec = duration_usec;
        t->row.usage = a->usage;

        TaskOutcome outcome;
        TaskState state = task_judge_attempt(t, a, accepted, &outcome);
        if (state == TASK_CANCELLED && !t->row.message)
                task_set_message(t, "cancelled");
        else if (state == TASK_FAILED && !t->ended_by_ladder)
                explain_exit(t, a);
        else if (state == TASK_LOST)
                task_set_message(t, "nobody saw its exit status");
        end(t, state, outcome);
}

void task_next_attempt(Task *t, const AttemptRow *a)
{
        assert(t);
        assert(a || t->row.status == TASK_VERIFYING);

        if (t->row.status == TASK_PENDING)
                move(t, TASK_ACTIVE);
        if (a) {
                set_place(t, a);
                set_exit(t, a);
                if (t->row.started_realtime == 0)
                        t->row.started_realtime = a->started_realtime;
                t->row.usage = a->usage;
                explain_exit(t, a);
        }
        t->row.completed_realtime = 0;
        t->row.duration_usec = 0;
        t->row.pid = 0;
        t->row.frozen = false;
        t->row.verification = VERIFICATION_NONE;
        t->row.verification_passes = t->row.verification_failures = 0;
        move(t, TASK_PENDING);
}

void task_report_started(Task *t, usec_t realtime, usec_t boottime)
{
        assert(t);

        move(t, TASK_ACTIVE);
        t->row.started_realtime = realtime;
        t->row.started_boottime = boottime;
}

void task_report_ended(Task *t, bool success, usec_t realtime, usec_t boottime)
{
        assert(t);

        if (t->row.status ==
            TASK_PENDING) /* when it began nobody has said, so how long it took is not known */
                move(t, TASK_ACTIVE);
        else
                t->row.duration_usec = usec_sub(boottime, t->row.started_boottime);
        t->row.completed_realtime = realtime;
        end(t, success ? TASK_VERIFYING : TASK_FAILED, success ? TASK_OUTCOME_NONE : TASK_OUTCOME_REPORTED);
}

void task_verified(Task *t, bool fails, usec_t realtime)
{
        assert(t);
        assert(t->row.status == TASK_VERIFYING);

        if (realtime > 0)
                t->row.completed_realtime = realtime;
        end(t, fails ? TASK_FAILED : TASK_COMPLETED, fails ? TASK_OUTCOME_VERIFICATION : TASK_OUTCOME_NONE);
}

void task_ended_otherwise(Task *t, TaskState state, TaskOutcome outcome, const char *message,
                          usec_t realtime)
{
        assert(t);
        assert(task_state_is_final(state) && state != TASK_COMPLETED);

        if (message)
                task_set_message(t, "%s", message);
        t->row.completed_realtime = realtime;
        if (t->row.status != TASK_VERIFYING) /* else its work has ended, and that is how long it took */
                t->row.duration_usec = usec_sub(realtime, t->row.started_realtime ?: realtime);
        end(t, state, outcome);
}
