/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* What was found when a task was last stuck, as the text of its row, and back.
 *
 * One text is for people and programs (rule, times, evidence, steps) and for the next daemon (`state` and the numbers of the
 * ladder, which are shown to nobody: task-json.c). What is read back comes from our own database; of a member that is missing the
 * harmless value is taken, so that at worst an episode is told twice or a step is refused. */

#include <errno.h>

#include "common/json/json.h"
#include "daemon/service/service-internal.h"
#include "daemon/service/stuck-internal.h"

/* ---- writing ---- */

static json_t *reading_to_json(const StuckReading *r)
{
        _cleanup_json_ json_t *o = json_object();

        if (!o || json_set_integer(o, "boottime", (int64_t)r->boottime) < 0 ||
            json_set_integer(o, "cpu_usec", r->cpu_usec) < 0 ||
            json_set_integer(o, "io_bytes", r->io_bytes) < 0 ||
            json_set_integer(o, "network_bytes", r->network_bytes) < 0)
                return NULL;
        return TAKE_PTR(o);
}

static int set_difference(json_t *o, const char *key, int64_t from, int64_t to)
{
        return from == STUCK_UNKNOWN || to == STUCK_UNKNOWN ? 0 : json_set_integer(o, key, to - from);
}

static json_t *evidence_to_json(const TaskStuck *st)
{
        _cleanup_json_ json_t *o = json_object();
        usec_t window = usec_sub(st->to.boottime, st->from.boottime);

        if (!o || json_set_integer(o, "window_usec", (int64_t)window) < 0)
                return NULL;
        if (st->is_reported)
                return TAKE_PTR(o);
        if (set_difference(o, "cpu_usec", st->from.cpu_usec, st->to.cpu_usec) < 0 ||
            set_difference(o, "io_bytes", st->from.io_bytes, st->to.io_bytes) < 0 ||
            set_difference(o, "network_bytes", st->from.network_bytes, st->to.network_bytes) < 0 ||
            (st->processes && json_object_set(o, "processes", st->processes) < 0) ||
            (st->output && json_object_set(o, "output", st->output) < 0))
                return NULL;
        return TAKE_PTR(o);
}

/* For the next daemon. */
static json_t *state_to_json(const TaskStuck *st)
{
        _cleanup_json_ json_t *o = json_object(), *told = json_array();

        for (int i = 0; i < _STUCK_RULE_MAX; i++)
                if (st->watch.told[i] &&
                    json_array_append_new(told, json_string(stuck_rule_name((StuckRule)i))) < 0)
                        return NULL;
        if (!o || json_object_set_new(o, "window", reading_to_json(&st->from)) < 0 ||
            json_object_set(o, "told", told) < 0 ||
            json_set_integer(o, "found_boottime", (int64_t)st->found_boottime) < 0 ||
            json_set_integer(o, "first_bit", st->first_bit) < 0)
                return NULL;
        return TAKE_PTR(o);
}

/* Without the entry of a deadline, which this ladder has not. */
static json_t *steps_to_json(const TaskLadder *l)
{
        json_t *steps = ladder_to_json(l->sla.ladder, l->found_realtime);

        for (size_t i = 0; i < json_array_size(steps); i++)
                if (!json_object_get(json_array_get(steps, i), "step"))
                        json_array_remove(steps, i);
        return steps;
}

static int set_ladder(json_t *o, const TaskLadder *l)
{
        if (!l)
                return 0;
        return json_object_set_new(o, "ladder", steps_to_json(l)) |
               json_set_integer(o, "ladder_bit", l->first_bit) |
               json_set_integer(o, "ladder_episode", l->episode);
}

int service_stuck_to_row(Task *t)
{
        const TaskStuck *st;

        assert(t);

        st = t->stuck;
        if (!st || st->episode == 0)
                return 0;
        _cleanup_json_ json_t *o = json_object();
        if (!o || json_set_string(o, "rule", stuck_rule_name(st->rule)) < 0 ||
            json_set_integer(o, "episode", st->episode) < 0 ||
            json_set_integer(o, "attempt", st->found_attempt) < 0 ||
            json_set_integer(o, "since", (int64_t)st->since_realtime) < 0 ||
            json_set_integer(o, "found_at", (int64_t)st->found_realtime) < 0 ||
            (st->over_realtime > 0 && json_set_integer(o, "over_at", (int64_t)st->over_realtime) < 0) ||
            json_object_set_new(o, "evidence", evidence_to_json(st)) < 0 ||
            json_object_set_new(o, "state", state_to_json(st)) < 0 || set_ladder(o, t->stuck_ladder) < 0)
                return -ENOMEM;
        char *text = json_format(o);
        if (!text)
                return -ENOMEM;
        free(t->row.stuck);
        t->row.stuck = text;
        return 0;
}

/* ---- reading ---- */

static StuckReading reading_from_json(const json_t *o)
{
        return (StuckReading){ .boottime = (usec_t)json_get_integer(o, "boottime", 0),
                               .cpu_usec = json_get_integer(o, "cpu_usec", STUCK_UNKNOWN),
                               .io_bytes = json_get_integer(o, "io_bytes", STUCK_UNKNOWN),
                               .network_bytes = json_get_integer(o, "network_bytes", STUCK_UNKNOWN) };
}

static int64_t later(const json_t *evidence, const char *key, int64_t from)
{
        int64_t difference = json_get_integer(evidence, key, -1);
        return difference < 0 || from == STUCK_UNKNOWN ? STUCK_UNKNOWN : from + difference;
}

void stuck_restore_found(TaskStuck *st, const json_t *o)
{
        assert(st);

        const json_t *evidence = json_object_get(o, "evidence"), *state = json_object_get(o, "state");
        StuckReading from = reading_from_json(json_object_get(state, "window"));

        st->from = from;
        st->to = (StuckReading){
                usec_add(from.boottime, (usec_t)json_get_integer(evidence, "window_usec", 0)),
                later(evidence, "cpu_usec", from.cpu_usec), later(evidence, "io_bytes", from.io_bytes),
                later(evidence, "network_bytes", from.network_bytes)
        };
        st->processes = json_incref(json_object_get(evidence, "processes"));
        st->output = json_incref(json_object_get(evidence, "output"));
        st->episode = (unsigned)json_get_integer(o, "episode", 1);
        st->found_attempt = (unsigned)json_get_integer(o, "attempt", 0);
        st->since_realtime = (usec_t)json_get_integer(o, "since", 0);
        st->found_realtime = (usec_t)json_get_integer(o, "found_at", 0);
        st->over_realtime = (usec_t)json_get_integer(o, "over_at", 0);
        st->found_boottime = (usec_t)json_get_integer(state, "found_boottime", 0);
}

/* Only the window of what was told last is known; the others begin with the first reading. */
void stuck_restore_watch(TaskStuck *st, const json_t *state)
{
        assert(st);

        const StuckReading unknown = { .cpu_usec = STUCK_UNKNOWN };
        const json_t *name;
        StuckRule rule;
        size_t i;

        json_array_foreach(json_object_get(state, "told"), i, name)
                if (stuck_rule_from_name(json_string_value(name), &rule) >= 0)
                        stuck_watch_restore(&st->watch, rule, rule == st->rule ? &st->from : &unknown);
        st->first_bit = (unsigned)CLAMP(json_get_integer(state, "first_bit", RECORD_STEPS_MAX),
                                        (int64_t)RECORD_LADDER_STEPS_MAX, (int64_t)RECORD_STEPS_MAX);
}
