/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The line log listens as any monitor does. It knows where it was from the end of the file, so that a line is written once, whoever was
 * killed meanwhile; and while the file takes nothing it is paused, so that nothing gathers, and reads what it missed from the database.
 *
 * A file that ends behind the last event belongs to another database (an older copy was put in its place): then it goes on from now. */

#include "daemon/lines/event-lines.h"

#include <errno.h>
#include <limits.h>

#include "basic/log.h"
#include "daemon/lines/line-log.h"

#define RETRY_USEC USEC_PER_SEC

struct EventLines {
        Service *service;
        LineLog *log;
        ServiceMonitor *monitor; /* NULL: the timer makes another one */
        int64_t last;            /* number of the last event that was taken */
        sd_event_source *room, *retry;
};

static void retry_later(EventLines *l)
{
        sd_event_source_set_time_relative(l->retry, RETRY_USEC);
        sd_event_source_set_enabled(l->retry, SD_EVENT_ONESHOT);
}

static int on_event(const ReeveError *error, const ServiceEvent *event, void *userdata)
{
        EventLines *l = ASSERT_PTR(userdata);
        int r;

        if (error)
                r = -EIO;
        else
                r = line_log_add(l->log, &(LineEvent){ .number = event->number,
                                                       .realtime = event->realtime,
                                                       .topic = event->topic,
                                                       .task_id = event->task_id,
                                                       .detail = event->detail });
        if (r >= 0) {
                l->last = event->number;
                return r;
        }
        log_warning("the line log has to read events again: %s", error ? error->text : "memory is short");
        l->monitor = NULL;
        retry_later(l);
        return r;
}

static void listen_on(EventLines *l)
{
        const MonitorRequest q = { .since = l->last };
        ReeveError e = REEVE_ERROR_NULL;

        if (service_monitor(l->service, &q, on_event, l, &l->monitor, &e) < 0)
                retry_later(l);
}

static int on_retry(sd_event_source *s, uint64_t usec, void *userdata)
{
        EventLines *l = ASSERT_PTR(userdata);

        if (!l->monitor)
                listen_on(l);
        return 0;
}

static int on_room(sd_event_source *s, int fd, uint32_t revents, void *userdata)
{
        EventLines *l = ASSERT_PTR(userdata);

        line_log_heard(l->log);
        if (l->monitor)
                service_monitor_continue(l->monitor);
        return 0;
}

static int add_sources(EventLines *l, sd_event *event)
{
        int r;

        if ((r = sd_event_add_io(event, &l->room, line_log_fd(l->log), EPOLLIN, on_room, l)) < 0 ||
            (r = sd_event_add_time_relative(event, &l->retry, CLOCK_MONOTONIC, 0, 0, on_retry, l)) < 0)
                return r;
        return sd_event_source_set_enabled(l->retry, SD_EVENT_OFF);
}

int event_lines_new(sd_event *event, Service *service, const Instance *instance, const Settings *settings,
                    EventLines **ret, ReeveError *reterr)
{
        char path[PATH_MAX];

        assert(event);
        assert(service);
        assert(instance);
        assert(settings && settings->line_log.files > 0);
        assert(ret);

        _cleanup_(event_lines_freep) EventLines *l = NEW0(EventLines, 1);
        if (!l)
                return reeve_error_errno(reterr, ENOMEM, NULL, "cannot write the line log");
        instance_path(instance, INSTANCE_LINE_LOG, path, sizeof(path));
        l->service = service;
        l->last = line_log_last_number(path);
        if (l->last < 0 || l->last > service_last_event(service))
                l->last = service_last_event(service);
        const LineLogConfig config = { .path = path,
                                       .clock = clock_system(),
                                       .max_bytes = settings->line_log.max_bytes,
                                       .files = settings->line_log.files };
        int r = line_log_new(&config, l->last, &l->log);
        if (r >= 0)
                r = add_sources(l, event);
        if (r < 0)
                return reeve_error_errno(reterr, r, path, "cannot write the line log");
        listen_on(l);
        *ret = TAKE_PTR(l);
        return 0;
}

EventLines *event_lines_free(EventLines *l)
{
        if (!l)
                return NULL;
        service_monitor_cancel(l->monitor);
        sd_event_source_disable_unref(l->room);
        sd_event_source_disable_unref(l->retry);
        line_log_free(l->log);
        free(l);
        return NULL;
}
