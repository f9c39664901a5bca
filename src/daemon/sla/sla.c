/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Ten thousand ladders and one timer: a heap by the time of each task's next step, whose top is what the timer is set to. A task
 * whose clock has not started stands at its end, at infinity.
 *
 * The clock is CLOCK_BOOTTIME, which nobody can set and which counts a suspend: setting the wall clock moves nothing, and what
 * came due during a suspend is due at its end. The timer has the accuracy of a microsecond, for sd-event would otherwise gather
 * it with others, and comes before all other events of a turn: a step is not to wait until a burst of requests is served. Only
 * when very many came due at once, it takes turns with everything else.
 *
 * Not here: what a step does, whether it may, and what is stored of it (daemon/service). */

#include "daemon/sla/sla.h"

#include <errno.h>

#define ACCURACY_USEC 1

struct Sla {
        const Clock *clock;
        Prioq *tasks; /* SlaTask */
        sd_event_source *timer;
        usec_t armed_boottime; /* USEC_INFINITY: off */
        sla_due_t due;
        void *userdata;
};

static int compare(const void *a, const void *b)
{
        usec_t x = ((const SlaTask *)a)->next_boottime, y = ((const SlaTask *)b)->next_boottime;
        return x < y ? -1 : x > y;
}

usec_t sla_next_boottime(const Sla *s)
{
        assert(s);

        const SlaTask *first = prioq_peek(s->tasks);
        return first ? first->next_boottime : USEC_INFINITY;
}

size_t sla_size(const Sla *s)
{
        assert(s);
        return prioq_size(s->tasks);
}

static void arm(Sla *s)
{
        usec_t next = sla_next_boottime(s);

        if (!s->timer || next == s->armed_boottime)
                return;
        s->armed_boottime = next;
        if (next == USEC_INFINITY) {
                sd_event_source_set_enabled(s->timer, SD_EVENT_OFF);
                return;
        }
        sd_event_source_set_time(s->timer, next);
        sd_event_source_set_enabled(s->timer, SD_EVENT_ONESHOT);
}

static int on_timer(sd_event_source *source, uint64_t usec, void *userdata)
{
        Sla *s = ASSERT_PTR(userdata);

        s->armed_boottime = USEC_INFINITY;
        /* Who has come to his turn and left others waiting stands in line the next time. */
        bool more = sla_run(s) == SLA_BATCH;
        sd_event_source_set_priority(source, more ? SD_EVENT_PRIORITY_NORMAL : SD_EVENT_PRIORITY_IMPORTANT);
        arm(s);
        return 0;
}

int sla_new(sd_event *event, const Clock *clock, sla_due_t due, void *userdata, Sla **ret)
{
        assert(clock);
        assert(due);
        assert(ret);

        _cleanup_(sla_freep) Sla *s = NEW0(Sla, 1);
        if (!s)
                return -ENOMEM;
        s->clock = clock;
        s->due = due;
        s->userdata = userdata;
        s->armed_boottime = USEC_INFINITY;
        s->tasks = prioq_new(compare);
        if (!s->tasks)
                return -ENOMEM;
        if (event) {
                int r = sd_event_add_time(event, &s->timer, CLOCK_BOOTTIME, 0, ACCURACY_USEC, on_timer, s);
                if (r < 0 || (r = sd_event_source_set_enabled(s->timer, SD_EVENT_OFF)) < 0 ||
                    (r = sd_event_source_set_priority(s->timer, SD_EVENT_PRIORITY_IMPORTANT)) < 0)
                        return r;
        }
        *ret = TAKE_PTR(s);
        return 0;
}

Sla *sla_free(Sla *s)
{
        if (!s)
                return NULL;
        sd_event_source_disable_unref(s->timer);
        prioq_free(s->tasks);
        free(s);
        return NULL;
}

void sla_task_init(SlaTask *t, Ladder *ladder)
{
        assert(t);
        assert(ladder);

        *t = (SlaTask){ .ladder = ladder, .next_boottime = USEC_INFINITY, .index = PRIOQ_NONE };
}

int sla_add(Sla *s, SlaTask *t)
{
        assert(s);
        assert(t && t->ladder);

        t->next_boottime = ladder_next_boottime(t->ladder);
        int r = prioq_put(s->tasks, t, &t->index);
        if (r >= 0)
                arm(s);
        return r;
}

void sla_remove(Sla *s, SlaTask *t)
{
        assert(s);
        assert(t);

        if (prioq_remove(s->tasks, &t->index))
                arm(s);
}

void sla_changed(Sla *s, SlaTask *t)
{
        assert(s);
        assert(t && t->ladder);

        t->next_boottime = ladder_next_boottime(t->ladder);
        if (prioq_reshuffle(s->tasks, &t->index))
                arm(s);
}

size_t sla_run(Sla *s)
{
        size_t n = 0;

        assert(s);

        while (n < SLA_BATCH) {
                /* Read each time: what was done meanwhile is lateness of this one. */
                usec_t now = clock_boottime(s->clock);
                SlaTask *t = prioq_peek(s->tasks);
                LadderStep *step = t ? ladder_take_due(t->ladder, now) : NULL;
                if (!step)
                        break;
                n++;
                sla_changed(s, t);
                s->due(t, step, now, s->userdata);
        }
        return n;
}
