/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Whether a task that is only reported is stuck. There are no readings of it; but there is a time since which it is active, and there
 * are the moments at which its reporter spoke. So of its policy's rules
 *
 *     active_for      counts from its start
 *     idle_for        is broken by whatever its reporter says (Update, or Start again)
 *     spinning_for    is not in force
 *
 * (while a process has joined it, the rules are about what that uses, as those of any process), and both are looked at with the same watch as those of tasks that run here, which is fed with the number of things that were said in
 * the place of bytes. One timer, set to the first look that is due. What is found, and what comes of it, is stuck.c's.
 *
 * A heartbeat is something else: it is the reporter's own promise, and a task whose reporter breaks it is lost. */

#include <errno.h>

#include "basic/log.h"
#include "daemon/service/stuck-internal.h"

#define LOOK_ACCURACY (100 * USEC_PER_MSEC)

static int compare_looks(const void *a, const void *b)
{
        const TaskStuck *x = a, *y = b;
        return x->look_boottime < y->look_boottime ? -1 : x->look_boottime > y->look_boottime;
}

static void arm_timer(Service *s)
{
        const TaskStuck *first = prioq_peek(s->stuck_looks);

        if (!first)
                return;
        sd_event_source_set_time(s->stuck_timer, first->look_boottime);
        sd_event_source_set_enabled(s->stuck_timer, SD_EVENT_ONESHOT);
}

static void plan_look(Service *s, TaskStuck *st)
{
        st->look_boottime = usec_add(clock_boottime(s->clock), st->look_usec);
        if (prioq_put(s->stuck_looks, st, &st->look_index) < 0)
                log_error("%s: for want of memory nobody looks whether it is stuck", st->task->row.task_id);
}

static void feed(Service *s, TaskStuck *st)
{
        const StuckReading reading = { .boottime = clock_boottime(s->clock),
                                       .io_bytes = st->n_said,
                                       .network_bytes = STUCK_UNKNOWN };

        service_stuck_feed(s, st->task, &reading);
}

static int on_timer(sd_event_source *source, uint64_t usec, void *userdata)
{
        Service *s = ASSERT_PTR(userdata);
        usec_t now = clock_boottime(s->clock);

        for (TaskStuck *st; (st = prioq_peek(s->stuck_looks)) && st->look_boottime <= now;) {
                service_stuck_forget_look(s, st);
                plan_look(s, st);
                feed(s, st);
        }
        arm_timer(s);
        return 0;
}

void service_stuck_forget_look(Service *s, TaskStuck *st)
{
        assert(s);
        assert(st);

        prioq_remove(s->stuck_looks, &st->look_index);
}

void service_stuck_heard(Service *s, Task *t)
{
        assert(s);
        assert(t);

        if (service_has_processes(t))
                return; /* what they use says more */
        TaskStuck *st = t->stuck;
        if (st && st->is_reported && st->look_usec > 0)
                st->n_said++;
        else {
                /* That it has begun, or that we have: no word of his. */
                usec_t each = service_stuck_begin(s, t);
                if (each == 0)
                        return;
                st = t->stuck;
                st->look_usec = each;
        }
        feed(s, st);
        if (st->look_index == PRIOQ_NONE) {
                plan_look(s, st);
                arm_timer(s);
        }
}

int service_start_stuck(Service *s)
{
        assert(s);

        s->stuck_looks = prioq_new(compare_looks);
        if (!s->stuck_looks)
                return -ENOMEM;
        int r = sd_event_add_time(s->event, &s->stuck_timer, CLOCK_BOOTTIME, 0, LOOK_ACCURACY, on_timer, s);
        return r < 0 ? r : sd_event_source_set_enabled(s->stuck_timer, SD_EVENT_OFF);
}

void service_stop_stuck(Service *s)
{
        assert(s);

        prioq_free(s->stuck_looks);
        sd_event_source_disable_unref(s->stuck_timer);
}
