/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Events. Each is a row of task_events, numbered by the database in the transaction that holds the change it tells of, and
 * published after the commit; so whoever heard of it will find it after a crash, and numbers have no gaps that matter.
 *
 * A monitor that is behind reads pages from the database until it has caught up with what was published, then hears of
 * events as they come. While it is behind it ignores the live ones, but notes that there were some: a page may have been read
 * before their commit and come back after it, so only a page that is not full, and during which nothing was published, is the
 * last.
 *
 * A monitor whose receiver is slow falls behind: it is told nothing until the receiver asks to go on, and then reads what it
 * missed. So nothing queues up for it here, and it loses no event. */

#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "basic/log.h"
#include "basic/strings.h"
#include "common/json/json.h"
#include "daemon/model/task-json.h"
#include "daemon/service/service-internal.h"

#define PAGE 200

struct ServiceMonitor {
        Service *service;
        ListLink link; /* of Service.monitors */
        int64_t last;  /* number of the last event told */
        bool behind;   /* events come from the database and are not told live */
        bool reading;  /* a page is being read */
        bool missed;   /* something was published since that began */
        bool paused;   /* the receiver asked to wait */
        bool cancelled; /* while a page was being read, or from within its callback: freed when that is over */
        unsigned busy;
        bool usage;
        char *task_id, *subsystem;
        service_event_t callback;
        void *userdata;
};

static bool wants(const ServiceMonitor *m, const TaskRow *row)
{
        return (!m->task_id || streq(m->task_id, row->task_id)) &&
               (!m->subsystem || streq(m->subsystem, row->subsystem));
}

static void monitor_free(ServiceMonitor *m)
{
        list_remove(&m->link);
        free(m->task_id);
        free(m->subsystem);
        free(m);
}

static void mark_cancelled(ServiceMonitor *m)
{
        if (m->cancelled)
                return;
        m->cancelled = true;
        if (m->usage && --m->service->n_watching == 0)
                sampler_set_live(m->service->sampler, false);
}

/* Frees a cancelled monitor that nobody is in the middle of. */
static void release(ServiceMonitor *m)
{
        if (m->cancelled && !m->reading && m->busy == 0 && !m->service->publishing)
                monitor_free(m);
}

/* A callback may cancel any monitor, not only its own: while a list of them is walked, none is freed. */
static void end_publishing(Service *s)
{
        s->publishing = false;
        LIST_FOREACH_SAFE(&s->monitors, link)
                release(container_of(link, ServiceMonitor, link));
}

void service_monitor_cancel(ServiceMonitor *m)
{
        if (m) {
                mark_cancelled(m);
                release(m);
        }
}

/* The callback may cancel the monitor: it is freed by a release() after. */
static void tell(ServiceMonitor *m, const ReeveError *error, const ServiceEvent *event)
{
        m->busy++;
        int r = m->callback(error, event, m->userdata);
        m->busy--;
        if (r < 0)
                mark_cancelled(m);
        else if (r > 0)
                m->behind = m->paused = true;
}

static void read_page(ServiceMonitor *m);

static void on_page(const ReeveError *error, const EventRow *rows, size_t n, void *userdata)
{
        ServiceMonitor *m = ASSERT_PTR(userdata);

        for (size_t i = 0; i < n && !m->cancelled && !m->paused; i++) {
                ServiceEvent event = { .number = rows[i].number,
                                       .topic = rows[i].topic,
                                       .realtime = rows[i].realtime,
                                       .task_id = rows[i].task_id,
                                       .detail = rows[i].detail };
                m->last = rows[i].number;
                if (event.task_id) /* what is about no task is for the log alone */
                        tell(m, NULL, &event);
        }
        if (!m->cancelled && error)
                tell(m, error, NULL);

        m->reading = false;
        if (m->cancelled)
                release(m);
        else if (!m->paused && (n == PAGE || m->missed))
                read_page(m);
        else if (!m->paused)
                m->behind = false;
}

static void read_page(ServiceMonitor *m)
{
        ReeveError e = REEVE_ERROR_NULL;

        m->behind = true;
        m->missed = false;
        StoreEventFilter filter = {
                .after = m->last, .task_id = m->task_id, .subsystem = m->subsystem, .limit = PAGE
        };
        int r = store_events(m->service->store, &filter, on_page, m);
        m->reading = r >= 0;
        if (r < 0) {
                reeve_error_errno(&e, r, NULL, "cannot read the events");
                tell(m, &e, NULL);
                release(m);
        }
}

void service_monitor_continue(ServiceMonitor *m)
{
        assert(m);

        if (!m->paused)
                return;
        m->paused = false;
        if (!m->reading)
                read_page(m);
}

static int copy_filter(ServiceMonitor *m, const MonitorRequest *q)
{
        if (q->task_id && !(m->task_id = strdup(q->task_id)))
                return -ENOMEM;
        if (q->subsystem && !(m->subsystem = strdup(q->subsystem)))
                return -ENOMEM;
        return 0;
}

int64_t service_last_event(const Service *s)
{
        assert(s);
        return s->last_event;
}

int service_monitor(Service *s, const MonitorRequest *request, service_event_t callback, void *userdata,
                    ServiceMonitor **ret, ReeveError *reterr)
{
        assert(s);
        assert(request);
        assert(callback);
        assert(ret);

        /* The numbers up to that would be passed over when they come: this is not the database that he knew. */
        if (request->since > s->last_event)
                return reeve_error_set(reterr, REEVE_ERROR_INVALID_ARGUMENT, "since",
                                       "there is no event %" PRId64 " yet: the last one is %" PRId64,
                                       request->since, s->last_event);
        ServiceMonitor *m = NEW0(ServiceMonitor, 1);
        if (!m)
                return reeve_error_errno(reterr, ENOMEM, NULL, "cannot take another monitor");
        m->service = s;
        m->callback = callback;
        m->userdata = userdata;
        list_append(&s->monitors, &m->link);
        if (copy_filter(m, request) < 0) {
                monitor_free(m);
                return reeve_error_errno(reterr, ENOMEM, NULL, "cannot take another monitor");
        }
        m->usage = request->usage;
        if (m->usage && s->n_watching++ == 0)
                sampler_set_live(s->sampler, true);

        *ret = m;
        m->last = request->since < 0 ? s->last_event : request->since;
        if (m->last < s->last_event)
                read_page(m);
        return 0;
}

void service_publish(Service *s, int64_t number, const TaskOp *op, const TaskRow *row)
{
        assert(s);
        assert(op);
        assert(row);

        s->last_event = MAX(s->last_event, number);
        ServiceEvent event = { .number = number,
                               .topic = op->topic,
                               .realtime = op->realtime,
                               .task_id = row->task_id,
                               .detail = op->detail };
        s->publishing = true;
        LIST_FOREACH(&s->monitors, link) {
                ServiceMonitor *m = container_of(link, ServiceMonitor, link);
                m->missed = true;
                if (m->cancelled || m->behind || number <= m->last)
                        continue;
                m->last = number;
                if (wants(m, row))
                        tell(m, NULL, &event);
        }
        end_publishing(s);
        if (s->reports.task_event)
                s->reports.task_event(row, op->topic, s->reports.userdata);
}

void service_publish_usage(Service *s, const TaskRow *row)
{
        assert(s);
        assert(row);

        ServiceEvent event = { .topic = "task.usage",
                               .realtime = clock_realtime(s->clock),
                               .task_id = row->task_id,
                               .task = row };
        s->publishing = true;
        LIST_FOREACH(&s->monitors, link) {
                ServiceMonitor *m = container_of(link, ServiceMonitor, link);
                if (!m->cancelled && m->usage && wants(m, row))
                        tell(m, NULL, &event);
        }
        end_publishing(s);
}

void service_end_monitors(Service *s)
{
        assert(s);

        LIST_FOREACH_SAFE(&s->monitors, link) {
                ServiceMonitor *m = container_of(link, ServiceMonitor, link);
                m->reading = false;
                service_monitor_cancel(m);
        }
}

const char *service_end_topic(TaskState state)
{
        switch (state) {
        case TASK_COMPLETED:
                return "task.completed";
        case TASK_FAILED:
                return "task.failed";
        case TASK_CANCELLED:
                return "task.cancelled";
        case TASK_LOST:
                return "task.lost";
        case TASK_PENDING:
        case TASK_ACTIVE:
        case TASK_VERIFYING:
        case _TASK_STATE_MAX:
        case _TASK_STATE_INVALID:
                break;
        }
        assert(false);
        return "task.updated";
}

int service_write_event(StoreWrite *w, TaskOp *op, const Task *t, const char *topic, usec_t realtime)
{
        assert(w);
        assert(op);
        assert(t);

        _cleanup_json_ json_t *o = task_row_to_json(&t->row, TASK_VIEW_PUBLIC);
        op->detail = o ? json_format(o) : NULL;
        if (!op->detail)
                return -ENOMEM;
        op->topic = topic;
        op->realtime = realtime;
        EventRow e = { .realtime = realtime,
                       .topic = (char *)topic,
                       .task_id = t->row.task_id,
                       .subsystem = t->row.subsystem,
                       .detail = op->detail };
        return store_write_event(w, &e);
}
