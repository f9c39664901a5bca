/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* One peer-to-peer sd-bus connection, attached to the loop. When it breaks, sd-bus itself ends every call that is out with
 * an error, so each callback comes once; then it is made again, at first soon and then with a doubling pause up to a quarter
 * of a second.
 *
 * Every call is a Call: the callback of its kind and what it is called with, allocated for the time that the call is out.
 * It is owned by the bus slot (destroy callback), so that nothing leaks whichever way the call ends.
 *
 * Forget is collected: a post source sends what one turn of the loop gathered as one message that wants no reply. */

#include "daemon/launch/launcher-client.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <systemd/sd-bus.h>

#include "basic/log.h"
#include "basic/parse.h"
#include "basic/strings.h"
#include "common/error-table.h"
#include "common/json/json.h"
#include "common/task-id.h"
#include "daemon/loop/reconnect.h"
#include "daemon/policy/policy.h"

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

typedef struct Call {
        union {
                launcher_ticket_t ticket;
                launcher_launched_t launched;
                launcher_done_t done;
                launcher_step_t step;
                launcher_inspected_t inspected;
                launcher_usage_t usage;
                launcher_described_t described;
                launcher_network_t network;
        };
        void *userdata;
} Call;

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

        int r = sd_bus_message_new_method_call(c->bus, &m, NULL, LAUNCHER_OBJECT, LAUNCHER_INTERFACE,
                                               "Forget");
        if (r >= 0)
                r = sd_bus_message_open_container(m, 'a', "(su)");
        for (size_t i = 0; r >= 0 && i < c->n_forgotten; i++)
                r = sd_bus_message_append(m, "(su)", c->forgotten[i].task_id, c->forgotten[i].attempt);
        if (r >= 0)
                r = sd_bus_message_close_container(m);
        if (r >= 0)
                r = sd_bus_message_set_expect_reply(m, false);
        if (r >= 0)
                r = sd_bus_send(c->bus, m, NULL);
        return r;
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

bool launcher_client_is_connected(const LauncherClient *c)
{
        return c && c->connected && sd_bus_is_open(c->bus) > 0;
}

/* "field: sentence" and "errno path", as the protocol writes them. */
static void split_text(ReeveError *e, const char *text)
{
        const char *separator = strstr(text, e->code == REEVE_ERROR_EXEC_FAILED ? " " : ": ");

        snprintf(e->text, sizeof(e->text), "%s", text);
        if (!separator)
                return;

        _cleanup_free_ char *left = strndup(text, (size_t)(separator - text));
        if (!left)
                return;
        if (e->code == REEVE_ERROR_EXEC_FAILED) {
                if (parse_int_range(left, 1, 4095, &e->number) < 0)
                        return;
                snprintf(e->field, sizeof(e->field), "%s", separator + 1);
                snprintf(e->text, sizeof(e->text), "%s: %s", separator + 1,
                         strerrordesc_np(e->number) ?: "?");
        } else if (!strchr(left, ' ')) {
                snprintf(e->field, sizeof(e->field), "%s", left);
                snprintf(e->text, sizeof(e->text), "%s", separator + 2);
        }
}

/* NULL if the reply is no error. */
static const ReeveError *reply_error(sd_bus_message *m, ReeveError *e)
{
        const sd_bus_error *b = sd_bus_message_get_error(m);
        if (!b)
                return NULL;

        *e = (ReeveError){ .code = error_table_from_dbus(b->name) };
        if (e->code == REEVE_ERROR_NONE) {
                bool away = sd_bus_error_has_name(b, SD_BUS_ERROR_NO_REPLY) ||
                            sd_bus_error_has_name(b, SD_BUS_ERROR_TIMEOUT) ||
                            sd_bus_error_has_name(b, SD_BUS_ERROR_DISCONNECTED) ||
                            sd_bus_error_get_errno(b) == ECONNRESET;
                e->code = away ? REEVE_ERROR_UNAVAILABLE : REEVE_ERROR_INTERNAL;
                snprintf(e->text, sizeof(e->text), "launcher: %s", b->message ?: b->name);
        } else
                split_text(e, b->message ?: "");
        return e;
}

/* A reply that the launcher cannot have meant. */
static const ReeveError *bad_reply(int error, ReeveError *e)
{
        reeve_error_errno(e, error, NULL, "launcher: reply not understood");
        e->code = REEVE_ERROR_INTERNAL;
        return e;
}

static int begin(LauncherClient *c, const char *method, sd_bus_message **ret, ReeveError *reterr)
{
        assert(c);

        if (!launcher_client_is_connected(c))
                return reeve_error_set(reterr, REEVE_ERROR_UNAVAILABLE, NULL,
                                       "the launcher cannot be reached");
        int r = sd_bus_message_new_method_call(c->bus, ret, NULL, LAUNCHER_OBJECT, LAUNCHER_INTERFACE,
                                               method);
        return r < 0 ? reeve_error_errno(reterr, r, NULL, "cannot call the launcher") : 0;
}

static void call_destroy(void *userdata)
{
        free(userdata);
}

static int send(LauncherClient *c, sd_bus_message *m, sd_bus_message_handler_t handler, const Call *call,
                ReeveError *reterr)
{
        sd_bus_slot *slot = NULL;

        Call *copy = NEW(Call, 1);
        if (!copy)
                return reeve_error_errno(reterr, ENOMEM, NULL, "cannot call the launcher");
        *copy = *call;

        int r = sd_bus_call_async(c->bus, &slot, m, handler, copy, 0);
        if (r < 0) {
                free(copy);
                if (r == -ENOTCONN || r == -ECONNRESET) /* and on_bus_lost() is about to hear of it */
                        return reeve_error_set(reterr, REEVE_ERROR_UNAVAILABLE, NULL,
                                               "the launcher cannot be reached");
                return reeve_error_errno(reterr, r, NULL, "cannot call the launcher");
        }
        sd_bus_slot_set_destroy_callback(slot, call_destroy);
        sd_bus_slot_set_floating(slot, true);
        sd_bus_slot_unref(slot);
        return 0;
}

static int on_authorized(sd_bus_message *m, void *userdata, sd_bus_error *ret_error)
{
        Call *call = ASSERT_PTR(userdata);
        const void *ticket = NULL;
        size_t size = 0;
        ReeveError e;

        const ReeveError *error = reply_error(m, &e);
        if (!error) {
                int r = sd_bus_message_read_array(m, 'y', &ticket, &size);
                if (r < 0 || size != LAUNCHER_TICKET_SIZE)
                        error = bad_reply(r < 0 ? r : -EBADMSG, &e);
        }
        call->ticket(error, ticket, call->userdata);
        return 0;
}

int launcher_client_authorize(LauncherClient *c, int spec_fd, launcher_ticket_t callback, void *userdata,
                              ReeveError *reterr)
{
        _cleanup_(sd_bus_message_unrefp) sd_bus_message *m = NULL;

        assert(spec_fd >= 0);
        assert(callback);

        int r = begin(c, "Authorize", &m, reterr);
        if (r < 0)
                return r;
        r = sd_bus_message_append(m, "h", spec_fd);
        if (r < 0)
                return reeve_error_errno(reterr, r, NULL, "cannot call the launcher");
        return send(c, m, on_authorized, &(Call){ .ticket = callback, .userdata = userdata }, reterr);
}

static int on_launched(sd_bus_message *m, void *userdata, sd_bus_error *ret_error)
{
        Call *call = ASSERT_PTR(userdata);
        LaunchResult result = { 0 };
        uint64_t start_ticks;
        int32_t pid = 0;
        ReeveError e;

        const ReeveError *error = reply_error(m, &e);
        if (!error) {
                int r = sd_bus_message_read(m, "itttsutt", &pid, &start_ticks, &result.started_realtime,
                                            &result.started_boottime, &result.cgroup, &result.net.map_id,
                                            &result.net.cgroup_id, &result.net.missed);
                if (r < 0)
                        error = bad_reply(r, &e);
                result.pid = pid;
        }
        call->launched(error, error ? NULL : &result, call->userdata);
        return 0;
}

static int append_limits(sd_bus_message *m, const LaunchRequest *q)
{
        int r;

        if ((r = sd_bus_message_open_container(m, 'e', "sv")) < 0 ||
            (r = sd_bus_message_append(m, "s", "limits")) < 0 ||
            (r = sd_bus_message_open_container(m, 'v', "a(ss)")) < 0 ||
            (r = sd_bus_message_open_container(m, 'a', "(ss)")) < 0)
                return r;
        for (size_t i = 0; i < q->n_limits; i++)
                if ((r = sd_bus_message_append(m, "(ss)", q->limits[i].name, q->limits[i].value)) < 0)
                        return r;
        if ((r = sd_bus_message_close_container(m)) < 0 || (r = sd_bus_message_close_container(m)) < 0)
                return r;
        return sd_bus_message_close_container(m);
}

static int append_environment(sd_bus_message *m, const LaunchRequest *q)
{
        int r;

        if ((r = sd_bus_message_open_container(m, 'e', "sv")) < 0 ||
            (r = sd_bus_message_append(m, "s", "environment")) < 0 ||
            (r = sd_bus_message_open_container(m, 'v', "as")) < 0 ||
            (r = sd_bus_message_append_strv(m, (char **)q->environment)) < 0 ||
            (r = sd_bus_message_close_container(m)) < 0)
                return r;
        return sd_bus_message_close_container(m);
}

static int append_added(sd_bus_message *m, const LaunchRequest *q)
{
        int r;

        if ((r = sd_bus_message_open_container(m, 'a', "{sv}")) < 0 ||
            (r = sd_bus_message_append(m, "{sv}", "backend", "s", q->backend)) < 0 ||
            (r = sd_bus_message_append(m, "{sv}", "subsystem", "s", q->subsystem)) < 0 ||
            (r = sd_bus_message_append(m, "{sv}", "grace", "t", q->grace_usec)) < 0 ||
            (r = sd_bus_message_append(m, "{sv}", "output_cap", "t", q->output_cap_bytes)) < 0 ||
            (r = sd_bus_message_append(m, "{sv}", "priority", "u", q->priority)) < 0)
                return r;
        if (q->n_limits > 0 && (r = append_limits(m, q)) < 0)
                return r;
        if (q->environment && (r = append_environment(m, q)) < 0)
                return r;
        if (q->deadline_boottime != USEC_INFINITY &&
            (r = sd_bus_message_append(m, "{sv}", "deadline", "t", q->deadline_boottime)) < 0)
                return r;
        return sd_bus_message_close_container(m);
}

static int append_fds(sd_bus_message *m, const LaunchRequest *q)
{
        int r = sd_bus_message_open_container(m, 'a', "h");

        for (size_t i = 0; r >= 0 && i < q->n_stdio_fds; i++)
                r = sd_bus_message_append(m, "h", q->stdio_fds[i]);
        return r < 0 ? r : sd_bus_message_close_container(m);
}

static int append_launch(sd_bus_message *m, const LaunchRequest *q)
{
        int r;

        if ((r = sd_bus_message_append(m, "h", q->spec_fd)) < 0 ||
            (r = sd_bus_message_append_array(m, 'y', q->ticket, LAUNCHER_TICKET_SIZE)) < 0 ||
            (r = sd_bus_message_append(m, "u", q->attempt)) < 0 || (r = append_added(m, q)) < 0)
                return r;
        return append_fds(m, q);
}

int launcher_client_launch(LauncherClient *c, const LaunchRequest *request, launcher_launched_t callback,
                           void *userdata, ReeveError *reterr)
{
        _cleanup_(sd_bus_message_unrefp) sd_bus_message *m = NULL;

        assert(request && request->ticket && request->backend && request->subsystem);
        assert(callback);

        int r = begin(c, request->attach ? "Adopt" : "Launch", &m, reterr);
        if (r < 0)
                return r;
        r = append_launch(m, request);
        if (r < 0)
                return reeve_error_errno(reterr, r, NULL, "cannot call the launcher");
        return send(c, m, on_launched, &(Call){ .launched = callback, .userdata = userdata }, reterr);
}

static int append_program(sd_bus_message *m, const ProgramRequest *q)
{
        const LaunchRequest *l = &q->launch;
        int r;

        if (!q->hook && ((r = sd_bus_message_append(m, "h", l->spec_fd)) < 0 ||
                         (r = sd_bus_message_append_array(m, 'y', l->ticket, LAUNCHER_TICKET_SIZE)) < 0))
                return r;
        if ((r = sd_bus_message_append(m, "u", l->attempt)) < 0 || (r = append_added(m, l)) < 0 ||
            (r = append_fds(m, l)) < 0 || (r = sd_bus_message_append(m, "s", q->name)) < 0 ||
            (!q->hook && (r = sd_bus_message_append(m, "u", q->authored)) < 0))
                return r;
        return sd_bus_message_append_strv(m, (char **)q->argv);
}

int launcher_client_program(LauncherClient *c, const ProgramRequest *request, launcher_launched_t callback,
                            void *userdata, ReeveError *reterr)
{
        _cleanup_(sd_bus_message_unrefp) sd_bus_message *m = NULL;

        assert(request && request->name && request->argv);
        assert(request->hook || (request->launch.ticket && request->launch.spec_fd >= 0));
        assert(callback);

        int r = begin(c, request->hook ? "Hook" : "Check", &m, reterr);
        if (r < 0)
                return r;
        r = append_program(m, request);
        if (r < 0)
                return reeve_error_errno(reterr, r, NULL, "cannot call the launcher");
        return send(c, m, on_launched, &(Call){ .launched = callback, .userdata = userdata }, reterr);
}

static int on_done(sd_bus_message *m, void *userdata, sd_bus_error *ret_error)
{
        Call *call = ASSERT_PTR(userdata);
        ReeveError e;

        call->done(reply_error(m, &e), call->userdata);
        return 0;
}

int launcher_client_signal(LauncherClient *c, const char *task_id, unsigned attempt, int signal, bool whole,
                           launcher_done_t callback, void *userdata, ReeveError *reterr)
{
        _cleanup_(sd_bus_message_unrefp) sd_bus_message *m = NULL;

        assert(task_id);
        assert(callback);

        int r = begin(c, "Signal", &m, reterr);
        if (r < 0)
                return r;
        r = sd_bus_message_append(m, "suib", task_id, attempt, signal, whole);
        if (r < 0)
                return reeve_error_errno(reterr, r, NULL, "cannot call the launcher");
        return send(c, m, on_done, &(Call){ .done = callback, .userdata = userdata }, reterr);
}

int launcher_client_act(LauncherClient *c, const char *method, const char *task_id, unsigned attempt,
                        launcher_done_t callback, void *userdata, ReeveError *reterr)
{
        _cleanup_(sd_bus_message_unrefp) sd_bus_message *m = NULL;

        assert(method);
        assert(task_id);
        assert(callback);

        int r = begin(c, method, &m, reterr);
        if (r < 0)
                return r;
        r = sd_bus_message_append(m, "su", task_id, attempt);
        if (r < 0)
                return reeve_error_errno(reterr, r, NULL, "cannot call the launcher");
        return send(c, m, on_done, &(Call){ .done = callback, .userdata = userdata }, reterr);
}

static int on_stepped(sd_bus_message *m, void *userdata, sd_bus_error *ret_error)
{
        Call *call = ASSERT_PTR(userdata);
        LauncherStepResult result = { 0 };
        int again = 0;
        ReeveError e;

        const ReeveError *error = reply_error(m, &e);
        if (!error) {
                int r = sd_bus_message_read(m, "btt", &again, &result.begun_boottime, &result.done_boottime);
                if (r < 0)
                        error = bad_reply(r, &e);
                result.again = again;
        }
        call->step(error, &result, call->userdata);
        return 0;
}

int launcher_client_step(LauncherClient *c, const LauncherStep *step, launcher_step_t callback,
                         void *userdata, ReeveError *reterr)
{
        _cleanup_(sd_bus_message_unrefp) sd_bus_message *m = NULL;

        assert(step && step->task_id && step->act);
        assert(callback);

        int r = begin(c, "Step", &m, reterr);
        if (r < 0)
                return r;
        r = sd_bus_message_append(m, "suusi", step->task_id, step->attempt, step->number, step->act,
                                  step->signal);
        if (r < 0)
                return reeve_error_errno(reterr, r, NULL, "cannot call the launcher");
        return send(c, m, on_stepped, &(Call){ .step = callback, .userdata = userdata }, reterr);
}

static int read_paths(sd_bus_message *m, json_t *process)
{
        _cleanup_json_ json_t *paths = json_array();
        const char *path;

        int r = sd_bus_message_enter_container(m, 'a', "s");
        while (r >= 0 && (r = sd_bus_message_read(m, "s", &path)) > 0)
                if (json_array_append_new(paths, json_string(path)) < 0)
                        return -ENOMEM;
        if (r >= 0 && json_array_size(paths) > 0 && json_object_set(process, "paths", paths) < 0)
                return -ENOMEM;
        return r < 0 ? r : sd_bus_message_exit_container(m);
}

/* 1 if there was another one. */
static int read_process(sd_bus_message *m, json_t *processes)
{
        _cleanup_json_ json_t *process = json_object();
        const char *state, *comm, *wchan;
        uint32_t pid, n_fds;

        int r = sd_bus_message_enter_container(m, 'r', "usssuas");
        if (r <= 0)
                return r;
        r = sd_bus_message_read(m, "usssu", &pid, &state, &comm, &wchan, &n_fds);
        if (r < 0)
                return r;
        if (json_set_integer(process, "pid", pid) < 0 || json_set_string(process, "state", state) < 0 ||
            json_set_string(process, "comm", comm) < 0 ||
            json_set_string(process, "wchan", wchan[0] ? wchan : NULL) < 0 ||
            (n_fds > 0 && json_set_integer(process, "descriptors", n_fds) < 0))
                return -ENOMEM;
        r = read_paths(m, process);
        if (r >= 0 && json_array_append(processes, process) < 0)
                r = -ENOMEM;
        if (r >= 0)
                r = sd_bus_message_exit_container(m);
        return r < 0 ? r : 1;
}

static int on_inspected(sd_bus_message *m, void *userdata, sd_bus_error *ret_error)
{
        _cleanup_json_ json_t *processes = json_array();
        Call *call = ASSERT_PTR(userdata);
        ReeveError e;

        const ReeveError *error = reply_error(m, &e);
        if (!error) {
                int r = processes ? sd_bus_message_enter_container(m, 'a', "(usssuas)") : -ENOMEM;
                while (r >= 0 && (r = read_process(m, processes)) > 0)
                        ;
                if (r < 0)
                        error = bad_reply(r, &e);
        }
        call->inspected(error, error ? NULL : processes, call->userdata);
        return 0;
}

int launcher_client_inspect(LauncherClient *c, const char *task_id, unsigned attempt,
                            launcher_inspected_t callback, void *userdata, ReeveError *reterr)
{
        _cleanup_(sd_bus_message_unrefp) sd_bus_message *m = NULL;

        assert(task_id);
        assert(callback);

        int r = begin(c, "Inspect", &m, reterr);
        if (r < 0)
                return r;
        r = sd_bus_message_append(m, "su", task_id, attempt);
        if (r < 0)
                return reeve_error_errno(reterr, r, NULL, "cannot call the launcher");
        return send(c, m, on_inspected, &(Call){ .inspected = callback, .userdata = userdata }, reterr);
}

int launcher_client_set_deadline(LauncherClient *c, const char *task_id, unsigned attempt,
                                 usec_t deadline_boottime)
{
        _cleanup_(sd_bus_message_unrefp) sd_bus_message *m = NULL;

        assert(task_id);

        int r = begin(c, "SetDeadline", &m, NULL);
        if (r >= 0)
                r = sd_bus_message_append(m, "sut", task_id, attempt, deadline_boottime);
        if (r >= 0)
                r = sd_bus_message_set_expect_reply(m, false);
        return r < 0 ? r : sd_bus_send(c->bus, m, NULL);
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

/* One entry of ReadUsage: 1, 0 at the end of the array, or a negative errno. */
static int read_usage_entry(sd_bus_message *m, LauncherUsage *ret)
{
        uint64_t user, system, rss, read_bytes, write_bytes, processes;
        uint32_t attempt;

        int r = sd_bus_message_read(m, "(sutttttt)", &ret->task_id, &attempt, &user, &system, &rss,
                                    &read_bytes, &write_bytes, &processes);
        if (r <= 0)
                return r;
        ret->attempt = attempt;
        ret->usage = (Usage){ 0 };
        usage_set(&ret->usage, USAGE_CPU, user + system, USAGE_PROCFS);
        usage_set(&ret->usage, USAGE_CPU_USER, user, USAGE_PROCFS);
        usage_set(&ret->usage, USAGE_CPU_SYSTEM, system, USAGE_PROCFS);
        usage_set(&ret->usage, USAGE_MEMORY_CURRENT, rss, USAGE_PROCFS);
        usage_set(&ret->usage, USAGE_IO_READ, read_bytes, USAGE_PROCFS);
        usage_set(&ret->usage, USAGE_IO_WRITE, write_bytes, USAGE_PROCFS);
        usage_set(&ret->usage, USAGE_PIDS_CURRENT, processes, USAGE_PROCFS);
        return 1;
}

#define USAGE_BATCH 64

static int on_usage(sd_bus_message *m, void *userdata, sd_bus_error *ret_error)
{
        Call *call = ASSERT_PTR(userdata);
        LauncherUsage batch[USAGE_BATCH];
        size_t n = 0;
        ReeveError e;

        if (reply_error(m, &e) || sd_bus_message_enter_container(m, 'a', "(sutttttt)") < 0)
                return 0;
        while (read_usage_entry(m, batch + n) > 0)
                if (++n == USAGE_BATCH) {
                        call->usage(batch, n, call->userdata);
                        n = 0;
                }
        if (n > 0)
                call->usage(batch, n, call->userdata);
        return 0;
}

int launcher_client_read_usage(LauncherClient *c, const char *const *task_ids, const unsigned *attempts,
                               size_t n, launcher_usage_t callback, void *userdata)
{
        _cleanup_(sd_bus_message_unrefp) sd_bus_message *m = NULL;

        assert(task_ids && attempts);
        assert(callback);

        int r = begin(c, "ReadUsage", &m, NULL);
        if (r >= 0)
                r = sd_bus_message_open_container(m, 'a', "(su)");
        for (size_t i = 0; r >= 0 && i < n; i++)
                r = sd_bus_message_append(m, "(su)", task_ids[i], attempts[i]);
        if (r >= 0)
                r = sd_bus_message_close_container(m);
        if (r < 0)
                return r;
        return send(c, m, on_usage, &(Call){ .usage = callback, .userdata = userdata }, NULL);
}

static int on_described(sd_bus_message *m, void *userdata, sd_bus_error *ret_error)
{
        Call *call = ASSERT_PTR(userdata);
        LauncherHost host;
        ReeveError e;

        const ReeveError *error = reply_error(m, &e);
        if (!error) {
                int r = sd_bus_message_read(m, "ssu", &host.backend, &host.pool, &host.controllers);
                if (r < 0)
                        error = bad_reply(r, &e);
        }
        call->described(error, error ? NULL : &host, call->userdata);
        return 0;
}

int launcher_client_describe(LauncherClient *c, launcher_described_t callback, void *userdata,
                             ReeveError *reterr)
{
        _cleanup_(sd_bus_message_unrefp) sd_bus_message *m = NULL;

        assert(callback);

        int r = begin(c, "Describe", &m, reterr);
        if (r < 0)
                return r;
        return send(c, m, on_described, &(Call){ .described = callback, .userdata = userdata }, reterr);
}

static int on_network(sd_bus_message *m, void *userdata, sd_bus_error *ret_error)
{
        Call *call = ASSERT_PTR(userdata);
        int map_fd = -EBADF; /* the message's */
        uint32_t map_id = 0;
        ReeveError e;

        const ReeveError *error = reply_error(m, &e);
        if (!error) {
                int r = sd_bus_message_read(m, "hu", &map_fd, &map_id);
                if (r < 0)
                        error = bad_reply(r, &e);
        }
        call->network(error, error ? -EBADF : map_fd, map_id, call->userdata);
        return 0;
}

int launcher_client_network(LauncherClient *c, launcher_network_t callback, void *userdata,
                            ReeveError *reterr)
{
        _cleanup_(sd_bus_message_unrefp) sd_bus_message *m = NULL;

        assert(callback);

        int r = begin(c, "Network", &m, reterr);
        if (r < 0)
                return r;
        return send(c, m, on_network, &(Call){ .network = callback, .userdata = userdata }, reterr);
}
