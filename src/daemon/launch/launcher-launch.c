/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Calls by which something begins: Authorize, and then Launch or Adopt, Check or Hook.
 *
 * reeved hands on what the author has sealed, as a descriptor, and the ticket that the launcher gave for it; of its own it adds
 * the dictionary `added`: limits that restrict further, names beginning with REEVE_, backend, deadline, grace, priority. The
 * launcher takes nothing else, and checks all of it again (common/launcher-protocol.h says how it is written). */

#include <errno.h>

#include "daemon/launch/launcher-call.h"
#include "daemon/policy/policy.h"

static int on_authorized(sd_bus_message *m, void *userdata, sd_bus_error *ret_error)
{
        LauncherCall *call = ASSERT_PTR(userdata);
        const void *ticket = NULL;
        size_t size = 0;
        ReeveError e;

        const ReeveError *error = launcher_call_error(m, &e);
        if (!error) {
                int r = sd_bus_message_read_array(m, 'y', &ticket, &size);
                if (r < 0 || size != LAUNCHER_TICKET_SIZE)
                        error = launcher_call_bad_reply(r < 0 ? r : -EBADMSG, &e);
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

        int r = launcher_call_begin(c, "Authorize", &m, reterr);
        if (r < 0)
                return r;
        r = sd_bus_message_append(m, "h", spec_fd);
        return launcher_call_send(c, m, r,
                                  &(LauncherCall){ .handler = on_authorized,
                                                   .ticket = callback,
                                                   .userdata = userdata },
                                  reterr);
}

static int on_launched(sd_bus_message *m, void *userdata, sd_bus_error *ret_error)
{
        LauncherCall *call = ASSERT_PTR(userdata);
        LaunchResult result = { 0 };
        uint64_t start_ticks;
        int32_t pid = 0;
        ReeveError e;

        const ReeveError *error = launcher_call_error(m, &e);
        if (!error) {
                int r = sd_bus_message_read(m, "itttsutt", &pid, &start_ticks, &result.started_realtime,
                                            &result.started_boottime, &result.cgroup, &result.net.map_id,
                                            &result.net.cgroup_id, &result.net.missed);
                if (r < 0)
                        error = launcher_call_bad_reply(r, &e);
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

        int r = launcher_call_begin(c, request->attach ? "Adopt" : "Launch", &m, reterr);
        if (r < 0)
                return r;
        r = append_launch(m, request);
        return launcher_call_send(c, m, r,
                                  &(LauncherCall){ .handler = on_launched,
                                                   .launched = callback,
                                                   .userdata = userdata },
                                  reterr);
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

        int r = launcher_call_begin(c, request->hook ? "Hook" : "Check", &m, reterr);
        if (r < 0)
                return r;
        r = append_program(m, request);
        return launcher_call_send(c, m, r,
                                  &(LauncherCall){ .handler = on_launched,
                                                   .launched = callback,
                                                   .userdata = userdata },
                                  reterr);
}
