/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Whether a running task is stuck, by the rules of its policy (daemon/stuck), and what comes of it:
 *
 *     the sampler looks at it    as often as its shortest rule needs, whoever watches; tasks without rules cost nothing
 *     a rule is met              what it is at is taken down: the launcher inspects its processes, a reader thread its output
 *     and committed              with the event task.stuck; only then it is published
 *     the policy's steps         are a ladder like that of a deadline, which counts from then (ladder.c)
 *
 * An episode of a rule lasts until the task goes on: then what is still to come of the steps does not come, and the rule may be
 * met again. While the steps of one rule are under way another one that is met begins none.
 *
 * The row's `stuck` is the text of what was found last and of which rules were told, so that another daemon says nothing twice; where
 * a window was under way and not yet told of, it begins again with that daemon. A frozen task is not stuck, nor one that is to
 * end anyway: cancelled, or being killed.
 *
 * Of reported tasks nobody has readings: what is known of them is when their reporter spoke (stuck-reported.c). */

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "basic/fd.h"
#include "basic/log.h"
#include "common/json/json.h"
#include "daemon/model/task-json.h"
#include "daemon/service/service-internal.h"
#include "daemon/service/stuck-internal.h"

#define LOOK_MAX_USEC USEC_PER_MINUTE /* between looks at patient rules */
#define OUTPUT_SHOWN  4096
#define PATHS_SHOWN   8 /* processes of which paths are kept */

/* What is taken down on the way to the commit. */
typedef struct TellOp {
        TaskOp op;
        StuckRule rule;
        StuckReading from, to;
        json_t *processes, *output;
        char path[PATH_MAX + TASK_ATTEMPT_NAME_SIZE + 1];
        char text[OUTPUT_SHOWN];
        size_t text_size;
} TellOp;

static TellOp *tell_op_free(TellOp *op)
{
        if (op) {
                json_decref(op->processes);
                json_decref(op->output);
                free(op->op.detail);
                free(op);
        }
        return NULL;
}
DEFINE_CLEANUP_FUNC(TellOp *, tell_op_free)

/* ---- the ladder ---- */

static void release_ladder(Service *s, Task *t)
{
        TaskLadder *l = TAKE_PTR(t->stuck_ladder);

        if (!l)
                return;
        sla_remove(s->sla, &l->sla);
        ladder_free(l->sla.ladder);
        free(l);
}

static bool is_under_way(const TaskLadder *l)
{
        if (!l)
                return false;
        Ladder *ladder = l->sla.ladder;
        return ladder_find(ladder, LADDER_ACTING) ||
               (ladder->deadline_boottime != LADDER_NOT_STARTED &&
                (ladder_find(ladder, LADDER_WAITING) || ladder_find(ladder, LADDER_DUE)));
}

/* The entry that every ladder has: here it has happened before there was a ladder. */
static void settle_deadline(Ladder *l)
{
        LadderStep *entry = ladder_step(l, LADDER_STEPS_MAX);

        ladder_move(entry, LADDER_DUE);
        ladder_move(entry, LADDER_ACTING);
        ladder_move(entry, LADDER_DONE);
        for (size_t i = 0; i < l->n_steps; i++)
                l->steps[i].at_permyriad = LADDER_PERMYRIAD_DEADLINE;
}

static int take_ladder(Service *s, Task *t, Ladder *ladder, unsigned episode, unsigned first_bit)
{
        TaskLadder *l = NEW0(TaskLadder, 1);
        if (!l) {
                ladder_free(ladder);
                return -ENOMEM;
        }
        l->task = t;
        l->is_stuck = true;
        l->episode = episode;
        l->first_bit = first_bit;
        l->found_realtime = t->stuck->found_realtime;
        sla_task_init(&l->sla, ladder);
        release_ladder(s, t);
        t->stuck_ladder = l;
        return 0;
}

static int begin_ladder(Service *s, Task *t)
{
        const PolicyStuck *p = &t->policy->stuck;
        TaskStuck *st = t->stuck;

        if (p->n_steps == 0 || is_under_way(t->stuck_ladder))
                return 0;
        Ladder *ladder = service_make_ladder(p->steps, p->n_steps, 0);
        if (!ladder)
                return -ENOMEM;
        settle_deadline(ladder);
        unsigned first_bit = st->first_bit;
        st->first_bit = MIN(first_bit + service_ladder_bits(ladder), (unsigned)RECORD_STEPS_MAX);
        ladder_set_deadline(ladder, (boottime_t)st->found_boottime);
        return take_ladder(s, t, ladder, st->episode, first_bit);
}

/* What has not begun does not come any more. */
static void drop_rest(Service *s, Task *t)
{
        Ladder *l;

        if (!t->stuck_ladder)
                return;
        l = t->stuck_ladder->sla.ladder;
        sla_remove(s->sla, &t->stuck_ladder->sla);
        for (LadderStep *step; (step = ladder_find(l, LADDER_DUE));)
                ladder_move(step, LADDER_WAITING);
        ladder_set_deadline(l, LADDER_NOT_STARTED);
}

/* ---- telling ---- */

static void on_stored(const ReeveError *error, int64_t last_event, void *userdata)
{
        _cleanup_(tell_op_freep) TellOp *op = ASSERT_PTR(userdata);
        Service *s = op->op.service;

        Task *t = registry_get(s->registry, op->op.task_id);
        if (t && t->stuck)
                t->stuck->telling = false;
        if (error) {
                log_full_reeve_error(LOG_ERR, error, op->op.task_id);
                if (t && t->stuck)
                        stuck_watch_forget(&t->stuck->watch, op->rule);
                return;
        }
        if (!t || !t->stuck)
                return;
        service_publish(s, last_event, &op->op, &t->row);
        if (s->reports.task_stuck)
                s->reports.task_stuck(&t->row, stuck_rule_name(op->rule),
                                      usec_sub(op->to.boottime, op->from.boottime), s->reports.userdata);
        TaskLadder *l = t->stuck_ladder;
        if (l && is_under_way(l) && l->sla.index == PRIOQ_NONE && sla_add(s->sla, &l->sla) < 0)
                log_error("%s: it is stuck, and nothing is done about it for want of memory",
                          t->row.task_id);
}

static int commit(Service *s, Task *t, TellOp **op)
{
        TaskStuck *st = t->stuck;

        st->episode++;
        st->rule = (*op)->rule;
        st->found_attempt = t->row.attempt;
        st->from = (*op)->from;
        st->to = (*op)->to;
        st->found_realtime = clock_realtime(s->clock);
        st->found_boottime = clock_boottime(s->clock);
        st->since_realtime = usec_sub(st->found_realtime, usec_sub(st->found_boottime, st->from.boottime));
        st->over_realtime = 0;
        json_decref(st->processes);
        json_decref(st->output);
        st->processes = TAKE_PTR((*op)->processes);
        st->output = TAKE_PTR((*op)->output);
        int r = begin_ladder(s, t);
        if (r < 0 || (r = service_stuck_to_row(t)) < 0)
                return r;
        _cleanup_(store_write_freep) StoreWrite *w = store_write_new(s->store, 0, on_stored, *op);
        if (!w || store_write_update_task(w, &t->row) < 0 ||
            service_write_event(w, &(*op)->op, t, "task.stuck", st->found_realtime) < 0)
                return -ENOMEM;
        r = store_write_submit(TAKE_PTR(w));
        if (r >= 0)
                *op = NULL; /* on_stored() has it */
        return r;
}

/* Everything that could be found out is there. */
static void tell(TellOp *taken)
{
        _cleanup_(tell_op_freep) TellOp *op = taken;
        Service *s = op->op.service;

        Task *t = registry_get(s->registry, op->op.task_id);
        if (!t || !t->stuck)
                return;
        if (t->row.status != TASK_ACTIVE || t->row.attempt != op->op.attempt ||
            (t->doing & TASK_DOING_FINISH)) {
                t->stuck->telling = false;
                return;
        }
        StuckRule rule = op->rule;
        log_notice("%s: stuck (%s)", t->row.task_id, stuck_rule_name(rule));
        int r = commit(s, t, &op);
        if (r < 0) {
                log_error_errno(r, "%s: cannot store that it is stuck", t->row.task_id);
                t->stuck->telling = false;
                stuck_watch_forget(&t->stuck->watch, rule);
        }
}

/* ---- taking down ---- */

static int read_tail(void *userdata)
{
        TellOp *op = ASSERT_PTR(userdata);
        struct stat st;

        _cleanup_fd_ int fd = open(op->path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
        if (fd < 0 || fstat(fd, &st) < 0)
                return -errno;
        off_t from = st.st_size > OUTPUT_SHOWN ? st.st_size - OUTPUT_SHOWN : 0;
        ssize_t n = pread(fd, op->text, OUTPUT_SHOWN, from);
        if (n < 0)
                return -errno;
        op->text_size = (size_t)n;
        return 0;
}

static void on_tail(int result, void *userdata)
{
        TellOp *op = ASSERT_PTR(userdata);

        if (result < 0)
                log_debug_errno(result, "%s: cannot read its output", op->op.task_id);
        else
                op->output = json_string_lossy(op->text, op->text_size);
        tell(op);
}

static void take_output(TellOp *op)
{
        Service *s = op->op.service;
        char directory[PATH_MAX], name[TASK_ATTEMPT_NAME_SIZE];

        const Task *t = registry_get(s->registry, op->op.task_id);
        if (!t || t->row.output != TASK_OUTPUT_FILE) {
                tell(op);
                return;
        }
        instance_path(&s->instance, INSTANCE_OUTPUT, directory, sizeof(directory));
        task_attempt_name(op->op.task_id, op->op.attempt, name);
        snprintf(op->path, sizeof(op->path), "%s/%s", directory, name);
        int r = store_work(s->store, read_tail, on_tail, op);
        if (r < 0)
                on_tail(r, op);
}

static void on_inspected(const ReeveError *error, json_t *processes, void *userdata)
{
        TellOp *op = ASSERT_PTR(userdata);
        size_t i;
        json_t *p;

        if (error)
                log_debug("%s: cannot look at its processes: %s", op->op.task_id, error->text);
        json_array_foreach(processes, i, p)
                if (i >= PATHS_SHOWN)
                        json_object_del(p, "paths");
        op->processes = json_incref(processes);
        take_output(op);
}

/* Of a reported task there is nothing here to look at. */
static void inspect(TellOp *op, const Task *t)
{
        ReeveError e = REEVE_ERROR_NULL;

        if (t->stuck->is_reported)
                tell(op);
        else if (launcher_client_inspect(op->op.service->launcher, t->row.task_id, t->row.attempt,
                                         on_inspected, op, &e) < 0)
                on_inspected(&e, NULL, op);
}

static void take_down(Service *s, Task *t, StuckRule rule, const StuckReading *reading)
{
        const StuckWatch *w = &t->stuck->watch;
        const StuckReading start = { .boottime = w->started_boottime };

        TellOp *op = NEW0(TellOp, 1);
        if (!op) {
                stuck_watch_forget(&t->stuck->watch, rule);
                return;
        }
        op->op.service = s;
        op->op.attempt = t->row.attempt;
        strcpy(op->op.task_id, t->row.task_id);
        op->rule = rule;
        op->from = rule == STUCK_ACTIVE ? start : w->window[rule];
        op->to = *reading;
        t->stuck->telling = true;
        inspect(op, t);
}

/* ---- looking ---- */

static void on_over_stored(const ReeveError *error, int64_t last_event, void *userdata)
{
        if (error)
                log_debug("that a task has gone on is not stored: %s", error->text);
}

static void went_on(Service *s, Task *t)
{
        t->stuck->over_realtime = clock_realtime(s->clock);
        drop_rest(s, t);
        log_info("%s: it has gone on", t->row.task_id);
        _cleanup_(store_write_freep) StoreWrite *w =
                        store_write_new(s->store, STORE_WRITE_LAZY, on_over_stored, NULL);
        if (w && service_stuck_to_row(t) >= 0 && store_write_update_task(w, &t->row) >= 0)
                store_write_submit(TAKE_PTR(w));
}

static int64_t sum(const Usage *u, const UsageField *fields, size_t n)
{
        int64_t total = 0;
        bool known = false;

        for (size_t i = 0; i < n; i++)
                if (usage_has(u, fields[i])) {
                        total += u->value[fields[i]];
                        known = true;
                }
        return known ? total : STUCK_UNKNOWN;
}

static StuckReading make_reading(const Task *t, const SamplerReading *reading)
{
        static const UsageField cpu[] = { USAGE_CPU }, io[] = { USAGE_IO_READ, USAGE_IO_WRITE },
                                network[] = { USAGE_NET_RX, USAGE_NET_TX, USAGE_NET_LOOPBACK_RX,
                                              USAGE_NET_LOOPBACK_TX };
        const Usage *u = &reading->usage;

        return (StuckReading){ .boottime = usec_add(t->row.started_boottime, reading->elapsed_usec),
                               .cpu_usec = sum(u, cpu, ELEMENTSOF(cpu)),
                               .io_bytes = sum(u, io, ELEMENTSOF(io)),
                               .network_bytes = sum(u, network, ELEMENTSOF(network)) };
}

static bool is_let_be(const Task *t)
{
        return t->row.frozen || t->row.cancel_requested || t->kill_index != PRIOQ_NONE ||
               (t->doing & TASK_DOING_FINISH);
}

void service_stuck_look(Service *s, Task *t, const SamplerReading *reading)
{
        assert(s);
        assert(t);
        assert(reading);

        if (!t->stuck || reading->target.attempt != t->stuck->attempt)
                return;
        StuckReading r = make_reading(t, reading);
        service_stuck_feed(s, t, &r);
}

void service_stuck_feed(Service *s, Task *t, const StuckReading *reading)
{
        TaskStuck *st;
        bool found = false;

        assert(s);
        assert(t && t->stuck);
        assert(reading);

        st = t->stuck;
        if (st->telling || t->row.status != TASK_ACTIVE)
                return;
        if (is_let_be(t)) {
                stuck_watch_pause(&st->watch);
                return;
        }
        StuckChange change = stuck_watch_feed(&st->watch, reading);
        if (change.over & UINT32_C(1) << st->rule && st->over_realtime == 0)
                went_on(s, t);
        /* One at a time: the others are met again by the next look. */
        for (int i = 0; i < _STUCK_RULE_MAX; i++) {
                if (!(change.met & UINT32_C(1) << i))
                        continue;
                if (found)
                        stuck_watch_forget(&st->watch, (StuckRule)i);
                else
                        take_down(s, t, (StuckRule)i, reading);
                found = true;
        }
}

/* ---- life ---- */

/* When we have just begun its report is not there yet; then it has to be enough whether a process ever joined it. */
static bool is_only_reported(const Task *t)
{
        return task_is_reported(&t->row) && (t->report ? !service_has_processes(t) : t->row.attempt == 0);
}

/* Of the attempt that runs. */
static usec_t attempt_started(Service *s, const Task *t)
{
        _cleanup_(record_unmapp) const Record *record = NULL;
        char name[TASK_ATTEMPT_NAME_SIZE];

        if (is_only_reported(t))
                return t->row.started_boottime;
        task_attempt_name(t->row.task_id, t->row.attempt, name);
        if (record_map(record_watch_dir_fd(s->records), name, &record) < 0)
                return clock_boottime(s->clock);
        return record->started_boottime_usec;
}

static void init_watch(Service *s, Task *t, TaskStuck *st)
{
        const PolicyStuck *p = &t->policy->stuck;

        st->is_reported = is_only_reported(t);
        st->look_usec = 0;
        service_stuck_forget_look(s, st);
        const usec_t limits[_STUCK_RULE_MAX] = { [STUCK_ACTIVE] = p->active_for_usec,
                                                 [STUCK_IDLE] = p->idle_for_usec,
                                                 [STUCK_SPINNING] = st->is_reported ? 0
                                                                                    : p->spinning_for_usec };

        stuck_watch_init(&st->watch, limits, attempt_started(s, t));
        st->attempt = t->row.attempt;
        st->first_bit = RECORD_LADDER_STEPS_MAX;
}

static TaskStuck *stuck_new(Service *s, Task *t)
{
        TaskStuck *st = NEW0(TaskStuck, 1);
        if (!st)
                return NULL;
        st->task = t;
        st->look_index = PRIOQ_NONE;
        init_watch(s, t, st);
        return st;
}

usec_t service_stuck_begin(Service *s, Task *t)
{
        assert(s);
        assert(t);

        if (!t->policy)
                return 0;
        const PolicyStuck *p = &t->policy->stuck;
        if (p->active_for_usec == 0 && p->idle_for_usec == 0 && p->spinning_for_usec == 0)
                return 0;
        if (!t->stuck && !(t->stuck = stuck_new(s, t))) {
                log_error("%s: for want of memory nobody looks whether it is stuck", t->row.task_id);
                return 0;
        }
        if (t->stuck->attempt != t->row.attempt || t->stuck->is_reported != is_only_reported(t))
                init_watch(s, t, t->stuck);
        if (!stuck_watch_is_used(&t->stuck->watch))
                return 0;
        usec_t tick = s->settings.sampling.tick_usec ?: SAMPLER_TICK_USEC;
        return stuck_watch_interval(&t->stuck->watch, tick, MAX(tick, LOOK_MAX_USEC));
}

void service_stuck_end(Service *s, Task *t)
{
        assert(s);
        assert(t);

        drop_rest(s, t);
        if (t->stuck)
                service_stuck_forget_look(s, t->stuck);
}

void service_stuck_release(Service *s, Task *t)
{
        assert(s);
        assert(t);

        release_ladder(s, t);
        if (!t->stuck)
                return;
        service_stuck_forget_look(s, t->stuck);
        json_decref(t->stuck->processes);
        json_decref(t->stuck->output);
        free(t->stuck);
        t->stuck = NULL;
}

/* ---- after a restart ---- */

static int restore_ladder(Service *s, Task *t, const json_t *o)
{
        json_t *steps = json_object_get(o, "ladder");
        Ladder *ladder;

        if (!steps)
                return 0;
        _cleanup_json_ json_t *entry =
                        json_pack("{s:s, s:s, s:f}", "do", "deadline", "state", "done", "at_percent", 100.0);
        if (!entry || json_array_append(steps, entry) < 0)
                return -ENOMEM;
        int r = ladder_from_json(steps, 0, &ladder);
        if (r < 0)
                return r;
        r = take_ladder(s, t, ladder, (unsigned)json_get_integer(o, "ladder_episode", 1),
                        (unsigned)json_get_integer(o, "ladder_bit", RECORD_STEPS_MAX));
        if (r < 0)
                return r;
        if (t->stuck->over_realtime == 0)
                ladder_set_deadline(ladder, (boottime_t)t->stuck->found_boottime);
        service_ladder_recover(s, t, t->stuck_ladder);
        return is_under_way(t->stuck_ladder) ? sla_add(s->sla, &t->stuck_ladder->sla) : 0;
}

void service_stuck_recover(Service *s, Task *t)
{
        _cleanup_json_ json_t *o = NULL;
        TaskStuck *st;

        assert(s);
        assert(t && !t->stuck);

        if (!t->row.stuck || !t->policy || t->row.status != TASK_ACTIVE)
                return;
        int r = json_parse(t->row.stuck, strlen(t->row.stuck), TASK_METADATA_DEPTH, &o, NULL);
        st = t->stuck = r >= 0 ? stuck_new(s, t) : NULL;
        if (!st || stuck_rule_from_name(json_get_string(o, "rule"), &st->rule) < 0) {
                log_error("%s: what was known of its being stuck cannot be read", t->row.task_id);
                return;
        }
        stuck_restore_found(st, o);
        st->n_said = MAX(st->from.io_bytes, 0);
        if (st->found_attempt != t->row.attempt)
                return;
        stuck_restore_watch(st, json_object_get(o, "state"));
        r = restore_ladder(s, t, o);
        if (r < 0)
                log_error_errno(r, "%s: it is stuck, and nothing more is done about it", t->row.task_id);
}
