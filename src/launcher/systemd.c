/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* PID 1 is spoken to on its own socket, not by way of the bus daemon: a restart of that daemon is nothing to us, there
 * is no limit of 128 pending replies, nothing starts a service for us, and a scope costs two context switches less
 * (docs/adr/0008). PID 1 sends every signal of every unit to such a connection, so it is open only while something is
 * wanted, and a moment longer.
 *
 *     WAITING --- call ---> SENT --- reply ---> JOB --- JobRemoved ---> callback
 *
 * At most CALLS_MAX are between call and callback. Nothing is repeated here: whatever goes wrong (PID 1 is executing itself
 * again, it has still a unit of this name, it does not answer) ends the start as Unavailable, its process never gets
 * on, and reeved asks again a little later, as for any launch that the launcher could not do at the moment.
 *
 * "done" is not believed: systemd makes a scope of a zombie, too, one that stays for ever, and another unit may have
 * taken the process meanwhile. The process must be alive, and its cgroup the unit's. For the same reason a process is
 * looked at before the call; it is a child of ours, so its pid is its own until we reap it. */

#include "launcher/systemd.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "basic/fd.h"
#include "basic/list.h"
#include "basic/log.h"
#include "basic/strings.h"
#include "common/proc/proc.h"

#define CALLS_MAX    64
#define GIVE_UP_USEC (25 * USEC_PER_SEC) /* below what reeved waits for an answer */
#define DOUBT_USEC   USEC_PER_SEC        /* a JobRemoved that did not come may have been lost */
#define IDLE_USEC    (2 * USEC_PER_SEC)

typedef enum StartState { START_WAITING, START_SENT, START_JOB } StartState;

typedef struct Start {
        ListLink link;
        Systemd *s;
        StartState state;
        uint64_t since_monotonic;
        char unit[UNIT_NAME_SIZE];
        char *cgroup;
        pid_t pid;
        sd_bus_message *call;
        sd_bus_slot *slot; /* while it is out */
        systemd_started_t callback;
        void *userdata;
} Start;

struct Systemd {
        sd_event *event;
        sd_event_source *timer; /* runs while anything is wanted, and IDLE_USEC longer */
        sd_bus *bus;            /* NULL: not connected */
        int proc_fd;
        const char *address;
        ListLink starts; /* in the order in which they came */
        size_t n_out;
};

static Start *start_free(Start *x)
{
        if (!x)
                return NULL;
        list_remove(&x->link);
        sd_bus_slot_unref(x->slot);
        sd_bus_message_unref(x->call);
        free(x->cgroup);
        free(x);
        return NULL;
}
DEFINE_CLEANUP_FUNC(Start *, start_free)

static int on_tick(sd_event_source *source, uint64_t now, void *userdata);

int systemd_new(sd_event *event, int proc_fd, const char *address, Systemd **ret)
{
        assert(event);
        assert(ret);

        Systemd *s = NEW0(Systemd, 1);
        if (!s)
                return -ENOMEM;
        s->event = sd_event_ref(event);
        s->proc_fd = proc_fd;
        s->address = address;
        list_init(&s->starts);
        int r = sd_event_add_time(event, &s->timer, CLOCK_MONOTONIC, UINT64_MAX, 0, on_tick, s);
        if (r < 0) {
                systemd_free(s);
                return r;
        }
        *ret = s;
        return 0;
}

Systemd *systemd_free(Systemd *s)
{
        ListLink *link;

        if (!s)
                return NULL;
        while ((link = list_pop(&s->starts)))
                start_free(container_of(link, Start, link));
        sd_bus_close_unref(s->bus);
        sd_event_source_disable_unref(s->timer);
        sd_event_unref(s->event);
        free(s);
        return NULL;
}

/* ---- places ---- */

/* The cgroup2 path of a process without its first slash, in `text`. */
static const char *cgroup_of(int proc_fd, pid_t pid, char *text, size_t size)
{
        char file[32];

        snprintf(file, sizeof(file), "%d/cgroup", pid);
        if (fd_read_file_at(proc_fd, file, text, size) < 0)
                return NULL;
        char *line = strncmp(text, "0::/", 4) == 0 ? text : strstr(text, "\n0::/");
        if (!line)
                return NULL;
        line = strchr(line, '/') + 1;
        line[strcspn(line, "\n")] = '\0';
        return line;
}

int systemd_root(int proc_fd, char *ret, size_t size)
{
        char text[4096];

        assert(ret);

        const char *path = cgroup_of(proc_fd, 1, text, sizeof(text));
        const char *own = path ? strstr(path, "init.scope") : NULL;
        if (!own)
                return -ENODATA;
        size_t n = own > path ? (size_t)(own - path) - 1 : 0;
        if (n >= size)
                return -ENAMETOOLONG;
        memcpy(ret, path, n);
        ret[n] = '\0';
        return 0;
}

bool systemd_is_place_of(int proc_fd, pid_t pid, const char *cgroup)
{
        char text[8192];
        ProcStat st;

        assert(cgroup);

        const char *path = cgroup_of(proc_fd, pid, text, sizeof(text));
        return path && streq(path, cgroup) && proc_stat(proc_fd, pid, &st) >= 0 && st.state != 'Z';
}

/* ---- ends ---- */

int systemd_error(const sd_bus_error *error, ReeveError *reterr)
{
        static const struct {
                const char *name;
                ReeveErrorCode code;
        } codes[] = {
                { SD_BUS_ERROR_INVALID_ARGS, REEVE_ERROR_INVALID_ARGUMENT },
                { SD_BUS_ERROR_UNKNOWN_PROPERTY, REEVE_ERROR_INVALID_ARGUMENT },
                { SD_BUS_ERROR_PROPERTY_READ_ONLY, REEVE_ERROR_INVALID_ARGUMENT }, /* also: unknown */
                { SD_BUS_ERROR_ACCESS_DENIED, REEVE_ERROR_POLICY_VIOLATION },
                { SD_BUS_ERROR_LIMITS_EXCEEDED, REEVE_ERROR_LIMIT_EXCEEDED },
        };
        ReeveErrorCode code = REEVE_ERROR_UNAVAILABLE;

        if (!sd_bus_error_is_set(error))
                return 0;
        for (size_t i = 0; i < ELEMENTSOF(codes); i++)
                if (sd_bus_error_has_name(error, codes[i].name))
                        code = codes[i].code;
        return reeve_error_set(reterr, code, code == REEVE_ERROR_UNAVAILABLE ? NULL : "property",
                               "systemd says: %s", error->message ?: error->name);
}

static void finish(Start *x, const ReeveError *error)
{
        if (x->state != START_WAITING)
                x->s->n_out--;
        list_remove(&x->link);
        x->callback(error, x->userdata);
        start_free(x);
}

static void fail(Start *x, const char *text)
{
        ReeveError e = REEVE_ERROR_NULL;

        reeve_error_set(&e, REEVE_ERROR_UNAVAILABLE, NULL, "no unit %s: %s", x->unit, text);
        finish(x, &e);
}

static void succeed(Start *x)
{
        if (systemd_is_place_of(x->s->proc_fd, x->pid, x->cgroup))
                finish(x, NULL);
        else {
                systemd_ask(x->s, "StopUnit", x->unit);
                fail(x, "its process is gone, or was taken elsewhere");
        }
}

/* ---- connection ---- */

static int on_disconnected(sd_bus_message *m, void *userdata, sd_bus_error *ret_error)
{
        Systemd *s = ASSERT_PTR(userdata);

        log_debug("PID 1 closed the connection");
        s->bus = sd_bus_close_unref(s->bus);
        while (!list_is_empty(&s->starts))
                fail(container_of(s->starts.next, Start, link), "systemd closed the connection");
        return 0;
}

static Start *find_start(Systemd *s, const char *unit)
{
        LIST_FOREACH(&s->starts, link) {
                Start *x = container_of(link, Start, link);

                if (x->state == START_JOB && streq(x->unit, unit))
                        return x;
        }
        return NULL;
}

static void send_waiting(Systemd *s);

static int on_job_removed(sd_bus_message *m, void *userdata, sd_bus_error *ret_error)
{
        Systemd *s = ASSERT_PTR(userdata);
        const char *job, *unit, *result;
        uint32_t id;

        if (sd_bus_message_read(m, "uoss", &id, &job, &unit, &result) < 0)
                return 0;
        Start *x = find_start(s, unit);
        if (!x)
                return 0;
        if (streq(result, "done"))
                succeed(x);
        else
                fail(x, result);
        send_waiting(s);
        return 0;
}

static int connect_bus(Systemd *s)
{
        _cleanup_(sd_bus_close_unrefp) sd_bus *bus = NULL;

        if (s->bus)
                return 0;
        int r = sd_bus_new(&bus);
        if (r < 0)
                return r;
        if ((r = sd_bus_set_address(bus, s->address)) < 0 || (r = sd_bus_start(bus)) < 0 ||
            (r = sd_bus_attach_event(bus, s->event, SD_EVENT_PRIORITY_NORMAL)) < 0 ||
            (r = sd_bus_match_signal(bus, NULL, NULL, SYSTEMD_OBJECT, SYSTEMD_MANAGER, "JobRemoved",
                                     on_job_removed, s)) < 0 ||
            (r = sd_bus_match_signal(bus, NULL, NULL, "/org/freedesktop/DBus/Local",
                                     "org.freedesktop.DBus.Local", "Disconnected", on_disconnected, s)) < 0)
                return r;
        s->bus = TAKE_PTR(bus);
        return 0;
}

/* ---- calls ---- */

static int on_reply(sd_bus_message *m, void *userdata, sd_bus_error *ret_error)
{
        Start *x = ASSERT_PTR(userdata);
        Systemd *s = x->s;
        ReeveError e = REEVE_ERROR_NULL;

        x->slot = sd_bus_slot_unref(x->slot);
        if (systemd_error(sd_bus_message_get_error(m), &e) == 0)
                x->state = START_JOB;
        else {
                finish(x, &e);
                send_waiting(s);
        }
        return 0;
}

static void send_one(Start *x)
{
        Systemd *s = x->s;
        ProcStat st;

        if (proc_stat(s->proc_fd, x->pid, &st) < 0 || st.state == 'Z') {
                fail(x, "its process is gone");
                return;
        }
        int r = sd_bus_call_async(s->bus, &x->slot, x->call, on_reply, x, GIVE_UP_USEC);
        if (r < 0) {
                fail(x, strerrordesc_np(-r));
                return;
        }
        x->state = START_SENT;
        s->n_out++;
}

static void send_waiting(Systemd *s)
{
        for (ListLink *link = s->starts.next, *next; link != &s->starts && s->n_out < CALLS_MAX;
             link = next) {
                Start *x = container_of(link, Start, link);

                next = link->next;
                if (x->state == START_WAITING)
                        send_one(x);
        }
}

static void set_timer(Systemd *s, usec_t after)
{
        (void)sd_event_source_set_time_relative(s->timer, after);
        (void)sd_event_source_set_enabled(s->timer, SD_EVENT_ONESHOT);
}

/* What should have happened and has not. A call that is out has its own timeout. */
static void look_again(Start *x, uint64_t now)
{
        uint64_t age = now - x->since_monotonic;

        if (x->state == START_JOB && age >= DOUBT_USEC &&
            systemd_is_place_of(x->s->proc_fd, x->pid, x->cgroup))
                finish(x, NULL);
        else if (x->state != START_SENT && age >= GIVE_UP_USEC)
                fail(x, "systemd does not get to it");
}

static int on_tick(sd_event_source *source, uint64_t now, void *userdata)
{
        Systemd *s = ASSERT_PTR(userdata);

        if (list_is_empty(&s->starts)) {
                s->bus = sd_bus_close_unref(s->bus);
                return 0;
        }
        for (ListLink *link = s->starts.next, *next; link != &s->starts; link = next) {
                next = link->next;
                look_again(container_of(link, Start, link), now);
        }
        set_timer(s, list_is_empty(&s->starts) ? IDLE_USEC : DOUBT_USEC);
        send_waiting(s);
        return 0;
}

/* Connects, and sees that the timer runs. */
static int want(Systemd *s)
{
        int enabled;

        int r = connect_bus(s);
        if (r >= 0)
                r = sd_event_source_get_enabled(s->timer, &enabled);
        if (r >= 0 && enabled == SD_EVENT_OFF)
                set_timer(s, IDLE_USEC);
        return r;
}

int systemd_start_prepare(Systemd *s, const char *unit, const char *mode, sd_bus_message **ret)
{
        _cleanup_(sd_bus_message_unrefp) sd_bus_message *m = NULL;

        assert(s);
        assert(unit);
        assert(ret);

        int r = want(s);
        if (r >= 0)
                r = sd_bus_message_new_method_call(s->bus, &m, SYSTEMD_DESTINATION, SYSTEMD_OBJECT,
                                                   SYSTEMD_MANAGER, "StartTransientUnit");
        if (r >= 0)
                r = sd_bus_message_append(m, "ss", unit, mode);
        if (r >= 0)
                r = sd_bus_message_open_container(m, 'a', "(sv)");
        if (r >= 0)
                *ret = TAKE_PTR(m);
        return r;
}

int systemd_start_complete(sd_bus_message *m, pid_t pid)
{
        assert(m);

        int r = sd_bus_message_append(m, "(sv)", "PIDs", "au", 1, (uint32_t)pid);
        if (r >= 0)
                r = sd_bus_message_close_container(m);
        return r < 0 ? r : sd_bus_message_append(m, "a(sa(sv))", 0);
}

int systemd_start(Systemd *s, sd_bus_message *m, const SystemdStart *start)
{
        assert(s);
        assert(m);
        assert(start && start->callback);

        _cleanup_(start_freep) Start *x = NEW0(Start, 1);
        if (!x)
                return -ENOMEM;
        *x = (Start){ .s = s,
                      .pid = start->pid,
                      .call = sd_bus_message_ref(m),
                      .callback = start->callback,
                      .userdata = start->userdata };
        snprintf(x->unit, sizeof(x->unit), "%s", start->unit);
        x->cgroup = strdup(start->cgroup);
        if (!x->cgroup)
                return -ENOMEM;
        int r = sd_event_now(s->event, CLOCK_MONOTONIC, &x->since_monotonic);
        if (r < 0)
                return r;
        list_append(&s->starts, &x->link);
        TAKE_PTR(x);
        send_waiting(s);
        return 0;
}

void systemd_ask(Systemd *s, const char *method, const char *unit)
{
        assert(s);
        assert(unit);

        int r = want(s);
        if (r >= 0)
                r = sd_bus_call_method_async(s->bus, NULL, SYSTEMD_DESTINATION, SYSTEMD_OBJECT,
                                             SYSTEMD_MANAGER, method, NULL, NULL, "ss", unit, "replace");
        if (r < 0)
                log_debug_errno(r, "%s of %s", method, unit);
}
