/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The deadline of a task, from its acceptance to its end. What the steps of its ladder do is ladder.c's.
 *
 * A deadline is promised in wall-clock time and enforced in CLOCK_BOOTTIME: it is converted once, when its clock starts (with
 * the task's creation or its first start), and setting the wall clock changes nothing after that. Both are stored, with the
 * boot that the second belongs to. A daemon that comes back in the same boot goes on with the second; in another boot only
 * pending tasks are left, and theirs is made from the first, once for each boot.
 *
 * The row's `ladder` is the text of what memory has; whoever changes a step makes it anew before the row is written.
 *
 * The backstop: the record of a running attempt carries the time of the ladder's kill and ten seconds, and the keeper kills
 * at it whoever else is alive. It goes with Launch, computed from the time of sending where the deadline counts from the
 * start; after the start it is corrected if that was wrong by more than a second. */

#include <errno.h>
#include <string.h>

#include "basic/log.h"
#include "common/json/json.h"
#include "daemon/service/service-internal.h"

static_assert(LADDER_STEPS_MAX == POLICY_STEPS_MAX && LADDER_STEPS_MAX == RECORD_LADDER_STEPS_MAX,
              "a step that a policy names has a bit in the record");

#define BACKSTOP_MARGIN_USEC   (10 * USEC_PER_SEC)
#define BACKSTOP_ACCURACY_USEC USEC_PER_SEC
#define EXTEND_MIN_USEC        USEC_PER_MSEC

static void on_due(SlaTask *sla, LadderStep *step, usec_t now, void *userdata)
{
        service_ladder_act(ASSERT_PTR(userdata), container_of(sla, TaskLadder, sla)->task);
}

int service_start_sla(Service *s, ReeveError *reterr)
{
        assert(s);

        int r = sla_new(s->event, s->clock, on_due, s, &s->sla);
        return r < 0 ? reeve_error_errno(reterr, r, NULL, "cannot watch deadlines") : 0;
}

/* ---- text and times ---- */

int service_ladder_to_row(Task *t)
{
        assert(t);

        if (!t->ladder)
                return 0;
        _cleanup_json_ json_t *array = ladder_to_json(t->ladder->sla.ladder, t->row.sla_deadline_realtime);
        char *text = array ? json_format(array) : NULL;
        if (!text)
                return -ENOMEM;
        free(t->row.ladder);
        t->row.ladder = text;
        return 0;
}

static void set_deadline(Service *s, Task *t, usec_t realtime, boottime_t boottime)
{
        t->row.sla_deadline_realtime = realtime;
        t->row.sla_deadline_boottime = boottime;
        memcpy(t->row.sla_boot_id, s->boot_id, sizeof(s->boot_id));
        ladder_set_deadline(t->ladder->sla.ladder, boottime);
}

static int watch(Service *s, Task *t, Ladder *ladder)
{
        TaskLadder *l = NEW0(TaskLadder, 1);
        if (!l) {
                ladder_free(ladder);
                return -ENOMEM;
        }
        l->task = t;
        sla_task_init(&l->sla, ladder);
        t->ladder = l;
        return sla_add(s->sla, &l->sla);
}

void service_release_ladder(Service *s, Task *t)
{
        assert(s);
        assert(t);

        service_stuck_release(s, t);
        if (!t->ladder)
                return;
        sla_remove(s->sla, &t->ladder->sla);
        ladder_free(t->ladder->sla.ladder);
        free(t->ladder);
        t->ladder = NULL;
}

/* ---- acceptance ---- */

/* From the start of the clock to the deadline; 0: there is none. What is past already is due at once. */
static usec_t span_of(const TaskRow *row, const PolicySla *sla, usec_t forecast_p95_usec)
{
        if (!sla->has_deadline)
                return 0;
        if (sla->absolute_realtime > 0)
                return MAX(usec_sub(sla->absolute_realtime, row->created_realtime), (usec_t)1);
        if (sla->forecast_p95_factor > 0 && forecast_p95_usec > 0)
                return MAX((usec_t)((double)forecast_p95_usec * sla->forecast_p95_factor), (usec_t)1);
        return sla->relative_usec;
}

Ladder *service_make_ladder(const PolicyStep *policy, size_t n, usec_t span)
{
        static const LadderAct acts[_POLICY_STEP_DO_MAX] = {
                [POLICY_STEP_NOTIFY] = LADDER_NOTIFY, [POLICY_STEP_ESCALATE] = LADDER_ESCALATE,
                [POLICY_STEP_SIGNAL] = LADDER_SIGNAL, [POLICY_STEP_FREEZE] = LADDER_FREEZE,
                [POLICY_STEP_KILL] = LADDER_KILL,
        };
        LadderStep steps[LADDER_STEPS_MAX];

        assert(n <= ELEMENTSOF(steps));
        for (size_t i = 0; i < n; i++)
                steps[i] = (LadderStep){ .act = acts[policy[i].what],
                                         .at_permyriad = policy[i].at_permyriad,
                                         .after_usec = policy[i].after_usec,
                                         .signal = policy[i].signal,
                                         .hook = (char *)policy[i].hook };
        return ladder_new(span, steps, n);
}

int service_sla_accept(Service *s, Task *t, usec_t forecast_p95_usec)
{
        const PolicySla *sla;

        assert(s);
        assert(t && !t->ladder);

        if (!t->policy)
                return 0;
        sla = &t->policy->sla;
        usec_t span = span_of(&t->row, sla, forecast_p95_usec);
        if (span == 0)
                return 0;
        Ladder *ladder = service_make_ladder(sla->steps, sla->n_steps, span);
        int r = ladder ? watch(s, t, ladder) : -ENOMEM;
        if (r < 0)
                return r;
        t->row.has_sla = true;
        t->row.sla_span_usec = ladder->span_usec;
        if (sla->absolute_realtime > 0 || sla->from == POLICY_FROM_CREATED) {
                set_deadline(s, t, usec_add(t->row.created_realtime, ladder->span_usec),
                             (boottime_t)usec_add(t->row.created_boottime, ladder->span_usec));
                sla_changed(s->sla, &t->ladder->sla);
        }
        return service_ladder_to_row(t);
}

/* ---- start ---- */

static bool has_started(const Task *t)
{
        return t->row.sla_deadline_realtime != 0;
}

usec_t service_sla_backstop(Service *s, const Task *t)
{
        assert(s);
        assert(t);

        if (!t->ladder)
                return USEC_INFINITY;
        const Ladder *l = t->ladder->sla.ladder;
        usec_t kill = has_started(t) ? ladder_kill_boottime(l)
                                     : usec_add(clock_boottime(s->clock), ladder_kill_offset(l));
        return usec_add(kill, BACKSTOP_MARGIN_USEC);
}

void service_sla_check_backstop(Service *s, Task *t)
{
        _cleanup_(record_unmapp) const Record *record = NULL;
        char name[TASK_ATTEMPT_NAME_SIZE];

        assert(s);
        assert(t);

        if (!t->ladder || t->row.status != TASK_ACTIVE || t->row.attempt == 0)
                return;
        task_attempt_name(t->row.task_id, t->row.attempt, name);
        if (record_map(record_watch_dir_fd(s->records), name, &record) < 0)
                return;
        usec_t is = atomic_load(&((Record *)record)->deadline_boottime_usec);
        usec_t should_be = service_sla_backstop(s, t);
        if (is == should_be || MAX(is, should_be) - MIN(is, should_be) < BACKSTOP_ACCURACY_USEC)
                return;
        int r = launcher_client_set_deadline(s->launcher, t->row.task_id, t->row.attempt, should_be);
        if (r < 0)
                log_debug_errno(r, "%s: cannot set its backstop now", t->row.task_id);
}

void service_sla_started(Service *s, Task *t)
{
        assert(s);
        assert(t);

        if (!t->ladder)
                return;
        if (!has_started(t)) {
                usec_t span = t->row.sla_span_usec;
                set_deadline(s, t, usec_add(t->row.started_realtime, span),
                             (boottime_t)usec_add(t->row.started_boottime, span));
                if (service_ladder_to_row(t) < 0)
                        log_debug("%s: the times of its ladder are not shown", t->row.task_id);
                sla_changed(s->sla, &t->ladder->sla);
        }
        service_sla_check_backstop(s, t);
}

/* ---- end ---- */

static bool is_met(const TaskRow *row)
{
        return row->status == TASK_COMPLETED && row->sla_margin_usec >= 0;
}

static const LadderStep *ended_by(const TaskLadder *l, usec_t ended_boottime, int exit_signal)
{
        return l ? ladder_ended_by(l->sla.ladder, ended_boottime, exit_signal) : NULL;
}

void service_sla_blame(Service *s, Task *t, usec_t ended_boottime, int exit_signal)
{
        assert(s);
        assert(t);

        const LadderStep *step = ended_by(t->ladder, ended_boottime, exit_signal), *stuck = NULL;
        if (!step)
                step = stuck = ended_by(t->stuck_ladder, ended_boottime, exit_signal);
        t->ended_by_ladder = step;
        if (!step)
                return;
        task_set_message(t, "ended by step %u (%s) of its ladder%s", step->number + 1,
                         ladder_act_name(step->act), stuck ? " for tasks that are stuck" : "");
}

void service_sla_ended(Service *s, Task *t, usec_t ended_boottime)
{
        TaskRow *row;

        assert(s);
        assert(t);
        assert(task_state_is_final(t->row.status) || t->row.status == TASK_VERIFYING);

        if (!t->ladder)
                return;
        row = &t->row;
        sla_remove(s->sla, &t->ladder->sla);
        row->has_sla_margin = has_started(t) && row->status != TASK_LOST;
        if (row->has_sla_margin)
                row->sla_margin_usec = row->sla_deadline_boottime - (boottime_t)ended_boottime;
        /* Who was stopped before the deadline has neither met nor missed it. */
        bool stopped = row->status == TASK_CANCELLED && row->sla_margin_usec >= 0;
        row->has_sla_met = row->has_sla_margin && !stopped && row->status != TASK_VERIFYING;
        row->sla_met = row->has_sla_met && is_met(row);
        if (service_ladder_to_row(t) < 0)
                log_debug("%s: its ladder is stored as it was", row->task_id);
}

void service_sla_goes_on(Service *s, Task *t)
{
        assert(s);
        assert(t && t->row.status == TASK_PENDING);

        t->row.has_sla_margin = t->row.has_sla_met = false;
        if (!t->ladder) { /* it was verifying when we came */
                service_sla_recover(s, t);
                return;
        }
        int r = sla_add(s->sla, &t->ladder->sla);
        if (r < 0)
                log_error_errno(r, "%s: its deadline is not watched any more", t->row.task_id);
        else
                sla_changed(s->sla, &t->ladder->sla);
}

void service_sla_verified(TaskRow *row)
{
        assert(row);
        assert(row->status == TASK_COMPLETED || row->status == TASK_FAILED);

        row->has_sla_met = row->has_sla_margin;
        row->sla_met = row->has_sla_met && is_met(row);
}

void service_sla_margin_now(Service *s, TaskRow *row)
{
        assert(s);
        assert(row);

        if (task_state_is_final(row->status) || row->status == TASK_VERIFYING ||
            row->sla_deadline_realtime == 0)
                return;
        row->has_sla_margin = true;
        row->sla_margin_usec = row->sla_deadline_boottime - (boottime_t)clock_boottime(s->clock);
}

/* ---- after a restart ---- */

static void on_converted(const ReeveError *error, int64_t last_event, void *userdata)
{
        if (error)
                log_debug("a deadline is converted again at the next start: %s", error->text);
}

/* The first time in this boot: the promise is what is left. */
static void convert(Service *s, Task *t)
{
        boottime_t left = (boottime_t)t->row.sla_deadline_realtime - (boottime_t)clock_realtime(s->clock);

        set_deadline(s, t, t->row.sla_deadline_realtime, (boottime_t)clock_boottime(s->clock) + left);
        _cleanup_(store_write_freep) StoreWrite *w =
                        store_write_new(s->store, STORE_WRITE_LAZY, on_converted, NULL);
        if (w && store_write_update_task(w, &t->row) >= 0)
                store_write_submit(TAKE_PTR(w));
}

int service_ladder_of_row(const TaskRow *row, Ladder **ret)
{
        _cleanup_json_ json_t *array = NULL;

        assert(row);
        assert(ret);

        if (!row->ladder)
                return -EBADMSG;
        int r = json_parse(row->ladder, strlen(row->ladder), TASK_METADATA_DEPTH, &array, NULL);
        return r < 0 ? r : ladder_from_json(array, row->sla_span_usec, ret);
}

void service_sla_recover(Service *s, Task *t)
{
        Ladder *ladder;

        assert(s);
        assert(t && !t->ladder);

        if (!t->row.has_sla || t->row.status == TASK_VERIFYING)
                return;
        int r = service_ladder_of_row(&t->row, &ladder);
        if (r >= 0)
                r = watch(s, t, ladder);
        if (r < 0) {
                log_error_errno(r, "%s: its deadline is not watched any more", t->row.task_id);
                return;
        }
        if (has_started(t) && memcmp(t->row.sla_boot_id, s->boot_id, sizeof(s->boot_id)) == 0)
                ladder_set_deadline(ladder, t->row.sla_deadline_boottime);
        else if (has_started(t))
                convert(s, t);
        service_ladder_recover(s, t, t->ladder);
        sla_changed(s->sla, &t->ladder->sla);
        service_sla_check_backstop(s, t);
}

/* ---- Extend ---- */

static void extend(Service *s, Task *t, usec_t by_usec)
{
        Ladder *l = t->ladder->sla.ladder;
        usec_t before = l->span_usec;

        ladder_extend(l, by_usec, clock_boottime(s->clock));
        t->row.sla_span_usec = l->span_usec;
        if (has_started(t)) {
                t->row.sla_deadline_realtime = usec_add(t->row.sla_deadline_realtime, l->span_usec - before);
                t->row.sla_deadline_boottime = l->deadline_boottime;
        }
        sla_changed(s->sla, &t->ladder->sla);
        service_sla_check_backstop(s, t);
}

void service_extend(Service *s, const Caller *caller, const char *task_id, usec_t by_usec,
                    service_done_t callback, void *userdata)
{
        ReeveError e = REEVE_ERROR_NULL;
        char span[32];

        Task *t = service_find(s, caller, task_id, callback, userdata);
        if (!t)
                return;
        if (by_usec < EXTEND_MIN_USEC || by_usec > LADDER_SPAN_MAX)
                reeve_error_set(&e, REEVE_ERROR_INVALID_ARGUMENT, "by_usec",
                                "must be between a millisecond and a hundred years");
        else if (!t->ladder)
                reeve_error_set(&e, REEVE_ERROR_INVALID_ARGUMENT, "task_id", "task '%s' has no deadline",
                                task_id);
        else if (!caller->admin && caller->uid != 0 && !t->row.sla_owner_may_extend)
                reeve_error_set(&e, REEVE_ERROR_PERMISSION_DENIED, "task_id",
                                "its policy lets only root and group reeve-admin move this deadline");
        if (e.code == REEVE_ERROR_NONE) {
                extend(s, t, by_usec);
                log_notice("%s: uid %u moved its deadline by %s", task_id, (unsigned)caller->uid,
                           usec_format_span(by_usec, span, sizeof(span)));
                int r = service_ladder_to_row(t);
                if (r >= 0)
                        r = service_commit_change(s, t, "task.sla_extended", callback, userdata);
                if (r >= 0)
                        return;
                reeve_error_errno(&e, r, NULL, "the deadline is moved, but that cannot be stored");
        }
        callback(&e, userdata);
}
