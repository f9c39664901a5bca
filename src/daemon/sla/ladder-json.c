/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* One text serves two readers: the database, which must give back after a restart what was to be done and what was done, and
 * people and programs that look at a task. So it has names and no numbers of enums, and what can be computed (when a step is
 * due) is in it for the reader, but not read back: the deadline of the row is what counts.
 *
 * The text comes from our own database; what does not have the shape is refused as a whole rather than half-read: a ladder
 * without its kill would be worse than none that says so. */

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>

#include "basic/strings.h"
#include "common/json/json.h"
#include "daemon/sla/ladder.h"

json_t *ladder_step_to_json(const LadderStep *s, usec_t due_realtime)
{
        int r = 0;

        assert(s);

        _cleanup_json_ json_t *o = json_object();
        if (!o)
                return NULL;
        if (s->act != LADDER_DEADLINE)
                r |= json_set_integer(o, "step", s->number + 1);
        r |= json_set_string(o, "do", ladder_act_name(s->act));
        r |= json_set_real(o, "at_percent", s->at_permyriad / 100.0);
        if (s->after_usec > 0)
                r |= json_set_integer(o, "after_usec", (int64_t)s->after_usec);
        if (s->act == LADDER_SIGNAL)
                r |= json_set_integer(o, "signal", s->signal);
        r |= json_set_string(o, "hook", s->hook);
        r |= json_set_string(o, "state", ladder_state_name(s->state));
        if (due_realtime > 0)
                r |= json_set_integer(o, "due_at", (int64_t)due_realtime);
        if (s->fired_realtime > 0) {
                r |= json_set_integer(o, "fired_at", (int64_t)s->fired_realtime);
                r |= json_set_integer(o, "lateness_usec", (int64_t)s->lateness_usec);
        }
        r |= json_set_string(o, "message", s->message);
        return r < 0 ? NULL : TAKE_PTR(o);
}

json_t *ladder_to_json(const Ladder *l, usec_t deadline_realtime)
{
        assert(l);

        _cleanup_json_ json_t *array = json_array();
        for (size_t i = 0; i < l->n_steps; i++) {
                const LadderStep *s = l->steps + i;
                json_t *o = ladder_step_to_json(s, ladder_due_realtime(l, s, deadline_realtime));
                if (!o || json_array_append_new(array, o) < 0)
                        return NULL;
        }
        return TAKE_PTR(array);
}

/* ---- reading ---- */

static int find_act(const char *name)
{
        for (int i = 0; name && i < _LADDER_ACT_MAX; i++)
                if (streq(ladder_act_name((LadderAct)i), name))
                        return i;
        return -EBADMSG;
}

static int read_step(const json_t *o, LadderStep *ret)
{
        int act = find_act(json_get_string(o, "do"));
        int state = sm_from_name(ladder_state_table(), json_get_string(o, "state") ?: "");
        int64_t number = json_get_integer(o, "step", act == LADDER_DEADLINE ? LADDER_STEPS_MAX + 1 : 0);
        const json_t *percent = json_object_get(o, "at_percent");
        double at = json_is_number(percent) ? json_number_value(percent) * 100 : -1;
        int64_t after = json_get_integer(o, "after_usec", 0);
        int64_t signal = json_get_integer(o, "signal", 0), fired = json_get_integer(o, "fired_at", 0);
        int64_t lateness = json_get_integer(o, "lateness_usec", 0);

        if (act < 0 || state < 0 || number < 1 || number > LADDER_STEPS_MAX + 1 ||
            !(at >= 0 && at <= INT32_MAX) || after < 0 || signal < 0 || signal > SIGRTMAX || fired < 0 ||
            lateness < 0 || (act == LADDER_SIGNAL && signal == 0) ||
            (act == LADDER_DEADLINE) != (number > LADDER_STEPS_MAX))
                return -EBADMSG;
        *ret = (LadderStep){ .act = (LadderAct)act,
                             .number = (unsigned)number - 1,
                             .at_permyriad = (unsigned)(at + 0.5),
                             .after_usec = (usec_t)after,
                             .signal = (int)signal,
                             .hook = (char *)json_get_string(o, "hook"),
                             .state = (LadderState)state,
                             .due_boottime = USEC_INFINITY,
                             .fired_realtime = (usec_t)fired,
                             .lateness_usec = (usec_t)lateness,
                             .message = (char *)json_get_string(o, "message") };
        return 0;
}

static int add_step(Ladder *l, const json_t *o)
{
        LadderStep s;

        int r = read_step(o, &s);
        if (r < 0)
                return r;
        if (ladder_step(l, s.number))
                return -EBADMSG; /* twice */
        LadderStep *to = l->steps + l->n_steps++;
        *to = s;
        to->hook = s.hook ? strdup(s.hook) : NULL;
        to->message = s.message ? strdup(s.message) : NULL;
        return (s.hook && !to->hook) || (s.message && !to->message) ? -ENOMEM : 0;
}

int ladder_from_json(const json_t *array, usec_t span_usec, Ladder **ret)
{
        const json_t *o;
        size_t i, n = json_array_size(array);

        assert(ret);

        if (n == 0 || n > LADDER_STEPS_MAX + 1)
                return -EBADMSG;
        _cleanup_(ladder_freep) Ladder *l = calloc(1, sizeof(*l) + n * sizeof(l->steps[0]));
        if (!l)
                return -ENOMEM;
        l->span_usec = MIN(span_usec, LADDER_SPAN_MAX);
        l->deadline_boottime = LADDER_NOT_STARTED;
        json_array_foreach((json_t *)array, i, o) {
                int r = add_step(l, o);
                if (r < 0)
                        return r;
        }
        if (!ladder_step(l, LADDER_STEPS_MAX))
                return -EBADMSG;
        *ret = TAKE_PTR(l);
        return 0;
}
