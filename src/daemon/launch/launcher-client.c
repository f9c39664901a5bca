/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* One peer-to-peer sd-bus connection, attached to the loop. When it breaks, sd-bus itself ends every call that is out with
 * an error, so each callback comes once; then it is made again, at first soon and then with a doubling pause up to a quarter
 * of a second.
 * The calls themselves are in launcher-launch.c, launcher-act.c and launcher-look.c, and what they share in launcher-call.c.
 *
 * Forget is collected: a post source sends what one turn of the loop gathered as one message that wants no reply. */

#include "daemon/launch/launcher-client.h"

#include <errno.h>
#include <string.h>
#include <systemd/sd-bus.h>

#include "basic/log.h"
#include "basic/strings.h"
#include "common/task-id.h"
#include "daemon/launch/launcher-call.h"
#include "daemon/loop/reconnect.h"

#define RECONNECT_MIN_USEC (20 * USEC_PER_MSEC)
/* Nothing can be started while it is away, and a failed connect(2) is a few microseconds. */
#define RECONNECT_MAX_USEC (250 * USEC_PER_MSEC)
/* A launch waits for an exec, which waits for a disk; everything else is quick. */
#define CALL_TIMEOUT_USEC (60 * USEC_PER_SEC)
#define FORGET_BATCH_MAX  1000

typedef struct Forgotten {
        char task_id[TASK_ID_MAX + 1];
        unsigned attempt;
} Forgotten;

struct LauncherClient {
        sd_event *event;
        sd_bus *bus;
        char *address;
        LauncherClientEvents events;
        bool connected; /* on_connected was called, on_disconnected not yet */
        Reconnect reconnect;
        sd_event_source *flush;
        Forgotten *forgotten;
        size_t n_forgotten, n_forgotten_room;
};

static void disconnect(LauncherClient *c)
{
        if (c->bus) {
                sd_bus_detach_event(c->bus);
                c->bus = sd_bus_close_unref(c->bus);
        }
        if (c->connected) {
                c->connected = false;
                c->events.on_disconnected(c->events.userdata);
        }
}

/* sd-bus holds a reference of its own while it calls us; what comes next is made in a later turn. */
static int on_bus_lost(sd_bus_message *m, void *userdata, sd_bus_error *e)
{
        LauncherClient *c = ASSERT_PTR(userdata);

        log_debug("launcher: connection lost");
        disconnect(c);
        reconnect_later(&c->reconnect);
        return 0;
}

static int on_bus_connected(sd_bus_message *m, void *userdata, sd_bus_error *e)
{
        LauncherClient *c = ASSERT_PTR(userdata);

        log_debug("launcher: connected");
        c->connected = true;
        reconnect_succeeded(&c->reconnect);
        c->events.on_connected(c->events.userdata);
        return 0;
}

static int connect_bus(LauncherClient *c, sd_bus **ret)
{
        _cleanup_(sd_bus_close_unrefp) sd_bus *bus = NULL;
        int r;

        if ((r = sd_bus_new(&bus)) < 0 || (r = sd_bus_set_address(bus, c->address)) < 0 ||
            (r = sd_bus_negotiate_fds(bus, true)) < 0 || (r = sd_bus_set_connected_signal(bus, true)) < 0 ||
            (r = sd_bus_set_method_call_timeout(bus, CALL_TIMEOUT_USEC)) < 0 ||
            (r = sd_bus_start(bus)) < 0 ||
            (r = sd_bus_attach_event(bus, c->event, SD_EVENT_PRIORITY_NORMAL)) < 0 ||
            (r = sd_bus_match_signal_async(bus, NULL, "org.freedesktop.DBus.Local",
                                           "/org/freedesktop/DBus/Local", "org.freedesktop.DBus.Local",
                                           "Disconnected", on_bus_lost, NULL, c)) < 0 ||
            (r = sd_bus_match_signal_async(bus, NULL, "org.freedesktop.DBus.Local",
                                           "/org/freedesktop/DBus/Local", "org.freedesktop.DBus.Local",
                                           "Connected", on_bus_connected, NULL, c)) < 0)
                return r;
        *ret = TAKE_PTR(bus);
        return 0;
}

static void connect_now(void *userdata)
{
        LauncherClient *c = ASSERT_PTR(userdata);

        if (c->bus)
                return;
        int r = connect_bus(c, &c->bus);
        if (r < 0) {
                log_debug_errno(r, "launcher: cannot connect");
                reconnect_later(&c->reconnect);
        }
}

static int send_forgotten(LauncherClient *c)
{
        _cleanup_(sd_bus_message_unrefp) sd_bus_message *m = NULL;

        int r = launcher_call_begin(c, "Forget", &m, NULL);
        if (r >= 0)
                r = sd_bus_message_open_container(m, 'a', "(su)");
        for (size_t i = 0; r >= 0 && i < c->n_forgotten; i++)
                r = sd_bus_message_append(m, "(su)", c->forgotten[i].task_id, c->forgotten[i].attempt);
        if (r >= 0)
                r = sd_bus_message_close_container(m);
        return launcher_call_post(c, m, r);
}

static int on_flush(sd_event_source *s, void *userdata)
{
        LauncherClient *c = ASSERT_PTR(userdata);

        if (c->n_forgotten > 0 && c->connected) {
                int r = send_forgotten(c);
                if (r < 0)
                        log_debug_errno(r, "launcher: cannot have records removed");
        }
        c->n_forgotten = 0;
        return sd_event_source_set_enabled(c->flush, SD_EVENT_OFF);
}

int launcher_client_new(sd_event *event, const char *path, const LauncherClientEvents *events,
                        LauncherClient **ret)
{
        _cleanup_(launcher_client_freep) LauncherClient *c = NULL;
        int r;

        assert(event);
        assert(path);
        assert(events && events->on_connected && events->on_disconnected);
        assert(ret);

        c = NEW0(LauncherClient, 1);
        if (!c)
                return -ENOMEM;
        c->event = sd_event_ref(event);
        c->events = *events;
        c->address = string_printf("unix:path=%s", path);
        if (!c->address)
                return -ENOMEM;

        if ((r = reconnect_init(&c->reconnect, event, RECONNECT_MIN_USEC, RECONNECT_MAX_USEC, connect_now,
                                c)) < 0 ||
            (r = sd_event_add_defer(event, &c->flush, on_flush, c)) < 0 ||
            (r = sd_event_source_set_enabled(c->flush, SD_EVENT_OFF)) < 0 ||
            (r = sd_event_source_set_priority(c->flush, SD_EVENT_PRIORITY_IDLE)) < 0)
                return r;
        *ret = TAKE_PTR(c);
        return 0;
}

LauncherClient *launcher_client_free(LauncherClient *c)
{
        if (!c)
                return NULL;
        c->connected = false; /* nobody is told any more */
        disconnect(c);
        reconnect_done(&c->reconnect);
        sd_event_source_disable_unref(c->flush);
        sd_event_unref(c->event);
        free(c->address);
        free(c->forgotten);
        free(c);
        return NULL;
}

sd_bus *launcher_client_bus(const LauncherClient *c)
{
        return c->bus;
}

bool launcher_client_is_connected(const LauncherClient *c)
{
        return c && c->connected && sd_bus_is_open(c->bus) > 0;
}

int launcher_client_forget(LauncherClient *c, const char *task_id, unsigned attempt)
{
        assert(c);
        assert(task_id_is_valid(task_id));

        if (c->n_forgotten == c->n_forgotten_room) {
                size_t room = MAX(c->n_forgotten_room * 2, (size_t)64);
                Forgotten *bigger = reallocarray(c->forgotten, room, sizeof(Forgotten));
                if (!bigger)
                        return -ENOMEM;
                c->forgotten = bigger;
                c->n_forgotten_room = room;
        }
        Forgotten *f = c->forgotten + c->n_forgotten++;
        strcpy(f->task_id, task_id);
        f->attempt = attempt;
        if (c->n_forgotten >= FORGET_BATCH_MAX)
                return on_flush(c->flush, c);
        return sd_event_source_set_enabled(c->flush, SD_EVENT_ONESHOT);
}
