/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Events become signals. They come from the same source as those of varlink's Monitor, after their commit and in their order:
 * whoever hears of a task's end finds it in the database.
 *
 * Status of a task's object changes with them. Those changes are collected over a turn of the loop and said once for each
 * object, after the signals: a task that starts and ends in one commit makes one PropertiesChanged. The value comes from the
 * event, since the object of a task that has ended is gone by then.
 *
 * A bus that takes its messages slowly must not make us hold them: above a mark the monitor is paused, and
 * reads what it missed from the database when the queue has drained. sd-bus does not tell of that, so a timer looks. */

#include <errno.h>
#include <string.h>

#include "basic/log.h"
#include "basic/strings.h"
#include "common/json/json.h"
#include "daemon/bus/registry-bus-internal.h"

#define QUEUE_HIGH  1024 /* messages */
#define RESUME_USEC (50 * USEC_PER_MSEC)
#define EVENT_DEPTH 16

static const struct {
        const char *topic, *signal;
        bool has_outcome;
} signals[] = {
        { "task.updated", "TaskUpdated", false },     { "task.created", "TaskCreated", false },
        { "task.started", "TaskStarted", false },     { "task.verifying", "TaskUpdated", false },
        { "task.retry", "TaskUpdated", false },       { "task.held", "TaskUpdated", false },
        { "task.released", "TaskUpdated", false },    { "task.frozen", "TaskUpdated", false },
        { "task.thawed", "TaskUpdated", false },      { "task.sla_extended", "TaskUpdated", false },
        { "task.completed", "TaskCompleted", false }, { "task.failed", "TaskFailed", true },
        { "task.cancelled", "TaskCancelled", false }, { "task.lost", "TaskLost", true },
        { "task.sla_warning", "SlaWarning", false },  { "task.sla_violated", "SlaViolated", false },
        { "task.sla_step", "SlaStep", false },        { "task.stuck", "TaskStuck", false },
        { "task.stuck_step", "TaskUpdated", false },
};

typedef struct BusChange {
        char *path;
        const char *status; /* static: name of a state */
} BusChange;

/* ---- PropertiesChanged ---- */

static void change_free(BusChange *c)
{
        free(c->path);
        free(c);
}

static int say_change(RegistryBus *b, const BusChange *c)
{
        _cleanup_(sd_bus_message_unrefp) sd_bus_message *m = NULL;

        int r = sd_bus_message_new_signal(b->bus, &m, c->path, "org.freedesktop.DBus.Properties",
                                          "PropertiesChanged");
        if (r >= 0)
                r = sd_bus_message_append(m, "sa{sv}as", TASK_INTERFACE, 1, "Status", "s", c->status, 0);
        return r < 0 ? r : sd_bus_send(b->bus, m, NULL);
}

static void drop_changes(RegistryBus *b)
{
        HASH_FOREACH(b->changed, BusChange, c) {
                hash_remove(b->changed, c->path);
                change_free(c);
        }
}

static int on_flush(sd_event_source *s, void *userdata)
{
        RegistryBus *b = ASSERT_PTR(userdata);

        HASH_FOREACH(b->changed, BusChange, c) {
                int r = b->bus ? say_change(b, c) : 0;
                if (r < 0)
                        log_debug_errno(r, "bus: cannot tell of a change");
        }
        drop_changes(b);
        return sd_event_source_set_enabled(b->flush, SD_EVENT_OFF);
}

static int note_change(RegistryBus *b, const char *task_id, const char *status)
{
        TaskState state = status ? task_state_from_name(status) : _TASK_STATE_INVALID;
        if (state < 0)
                return -EBADMSG;

        _cleanup_free_ char *path = bus_task_path(task_id);
        if (!path)
                return -ENOMEM;
        BusChange *c = hash_get(b->changed, path);
        if (!c) {
                c = NEW0(BusChange, 1);
                if (!c)
                        return -ENOMEM;
                c->path = TAKE_PTR(path);
                if (hash_put(b->changed, c->path, c) < 0) {
                        change_free(c);
                        return -ENOMEM;
                }
        }
        c->status = task_state_name(state);
        return sd_event_source_set_enabled(b->flush, SD_EVENT_ONESHOT);
}

/* ---- events ---- */

static int say_event(RegistryBus *b, const ServiceEvent *event, json_t *task, size_t which)
{
        _cleanup_(sd_bus_message_unrefp) sd_bus_message *m = NULL;

        int r = sd_bus_message_new_signal(b->bus, &m, REGISTRY_OBJECT, REGISTRY_INTERFACE,
                                          signals[which].signal);
        if (r >= 0)
                r = sd_bus_message_append(m, "s", event->task_id);
        if (r >= 0 && signals[which].has_outcome)
                r = sd_bus_message_append(m, "s", json_get_string(task, "outcome") ?: "");
        if (r >= 0)
                r = bus_append_dict(m, task);
        return r < 0 ? r : sd_bus_send(b->bus, m, NULL);
}

static int tell(RegistryBus *b, const ServiceEvent *event)
{
        _cleanup_json_ json_t *task = NULL;
        size_t i = 0;

        while (i < ELEMENTSOF(signals) && !streq(signals[i].topic, event->topic))
                i++;
        if (i == ELEMENTSOF(signals))
                return 0;
        if (json_parse(event->detail, strlen(event->detail), EVENT_DEPTH, &task, NULL) < 0)
                return -EBADMSG;
        if (json_set_integer(task, "event", event->number) < 0)
                return -ENOMEM;
        int r = say_event(b, event, task, i);
        return r < 0 ? r : note_change(b, event->task_id, json_get_string(task, "status"));
}

static void look_again_later(RegistryBus *b)
{
        sd_event_source_set_time_relative(b->resume, RESUME_USEC);
        sd_event_source_set_enabled(b->resume, SD_EVENT_ONESHOT);
}

static bool is_full(const RegistryBus *b)
{
        uint64_t n;
        return sd_bus_get_n_queued_write(b->bus, &n) >= 0 && n > QUEUE_HIGH;
}

static int on_event(const ReeveError *error, const ServiceEvent *event, void *userdata)
{
        RegistryBus *b = ASSERT_PTR(userdata);

        if (error) {
                log_debug("bus: events cannot be read: %s", error->text);
                b->monitor = NULL;
                look_again_later(b);
                return -ECANCELED;
        }
        b->last_event = event->number;
        int r = tell(b, event);
        if (r < 0)
                log_debug_errno(r, "bus: cannot signal event %lld", (long long)event->number);
        if (!is_full(b))
                return 0;
        look_again_later(b);
        return 1;
}

static int watch(RegistryBus *b)
{
        const MonitorRequest q = { .since = b->last_event };
        ReeveError e = REEVE_ERROR_NULL;

        int r = service_monitor(b->service, &q, on_event, b, &b->monitor, &e);
        if (r < 0)
                look_again_later(b);
        return r;
}

static int on_resume(sd_event_source *s, uint64_t usec, void *userdata)
{
        RegistryBus *b = ASSERT_PTR(userdata);

        if (!b->bus)
                return 0;
        if (!b->monitor)
                watch(b);
        else if (is_full(b))
                look_again_later(b);
        else
                service_monitor_continue(b->monitor);
        return 0;
}

static int add_sources(RegistryBus *b)
{
        int r;

        if (b->flush)
                return 0;
        if ((r = sd_event_add_defer(b->event, &b->flush, on_flush, b)) < 0 ||
            (r = sd_event_source_set_enabled(b->flush, SD_EVENT_OFF)) < 0 ||
            (r = sd_event_source_set_priority(b->flush, SD_EVENT_PRIORITY_IDLE)) < 0 ||
            (r = sd_event_add_time_relative(b->event, &b->resume, CLOCK_MONOTONIC, 0, 0, on_resume, b)) < 0)
                return r;
        return sd_event_source_set_enabled(b->resume, SD_EVENT_OFF);
}

int bus_signals_start(RegistryBus *b)
{
        assert(b);

        int r = add_sources(b);
        if (r < 0)
                return r;
        b->last_event = -1; /* who is on the bus now cannot have missed anything */
        return watch(b);
}

void bus_signals_stop(RegistryBus *b)
{
        assert(b);

        service_monitor_cancel(b->monitor);
        b->monitor = NULL;
        drop_changes(b);
}
