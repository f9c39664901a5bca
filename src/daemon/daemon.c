/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Wiring and nothing else: the parts do not know each other, and tell by callbacks what another one needs.
 *
 * The order of construction is the reverse of the order of destruction: adapters go first, so that nobody is left to be
 * answered when the service goes, and the store goes last, with all that was submitted to it. What serves people without the
 * parts (D-Bus, the journal) may be missing: then that is logged once, and everything else works. */

#include "daemon/daemon.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <limits.h>
#include <stdio.h>
#include <sys/file.h>
#include <sys/resource.h>
#include <systemd/sd-daemon.h>
#include <unistd.h>

#include "basic/fd.h"
#include "basic/log.h"
#include "daemon/bus/registry-bus.h"
#include "daemon/lines/event-lines.h"
#include "daemon/log/journal.h"
#include "daemon/service/service.h"
#include "daemon/varlink/registry-varlink.h"

#define ADMIN_GROUP        "reeve-admin"
#define LAUNCHER_WAIT_USEC (2 * USEC_PER_SEC)

struct Daemon {
        Instance instance;
        Journal *journal; /* NULL: none is told */
        Service *service;
        VarlinkServer *server;
        RegistryVarlink *adapter;
        RegistryBus *bus;  /* NULL: not on any */
        EventLines *lines; /* NULL: no line log is written */
        sd_event_source *hangup;
        int pid_fd; /* locked while we live */
        bool own_socket;
};

/* The lock is what counts; the number is for people and scripts. */
static int write_pid_file(Daemon *d, ReeveError *reterr)
{
        char path[PATH_MAX], text[32];

        instance_path(&d->instance, INSTANCE_REEVED_PID, path, sizeof(path));
        d->pid_fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0644);
        if (d->pid_fd < 0)
                return reeve_error_errno(reterr, errno, path, "cannot open %s", path);
        if (flock(d->pid_fd, LOCK_EX | LOCK_NB) < 0) {
                if (errno == EWOULDBLOCK)
                        return reeve_error_set(reterr, REEVE_ERROR_ALREADY_EXISTS, path,
                                               "a reeved serves this instance: %s is locked", path);
                return reeve_error_errno(reterr, errno, path, "cannot lock %s", path);
        }
        int n = snprintf(text, sizeof(text), "%d\n", (int)getpid());
        if (ftruncate(d->pid_fd, 0) < 0 || pwrite(d->pid_fd, text, (size_t)n, 0) != n)
                return reeve_error_errno(reterr, errno, path, "cannot write %s", path);
        return 0;
}

/* A connection costs a descriptor, so does an open counter file. */
static void raise_descriptor_limit(void)
{
        struct rlimit limit;

        if (getrlimit(RLIMIT_NOFILE, &limit) < 0)
                return;
        limit.rlim_cur = limit.rlim_max;
        setrlimit(RLIMIT_NOFILE, &limit);
}

static int listen_somewhere(Daemon *d, ReeveError *reterr)
{
        char path[PATH_MAX];

        int n = sd_listen_fds(true);
        if (n > 0) {
                for (int i = 0; i < n; i++) {
                        int r = varlink_server_listen_fd(d->server, SD_LISTEN_FDS_START + i);
                        if (r < 0)
                                return reeve_error_errno(reterr, r, NULL,
                                                         "cannot listen on the passed socket %d", i);
                }
                return 0;
        }
        instance_path(&d->instance, INSTANCE_SOCKET, path, sizeof(path));
        int r = varlink_server_listen_path(d->server, path, 0666, reterr);
        d->own_socket = r >= 0;
        return r;
}

/* Who asks as soon as we serve should not be told that the launcher is away, only because we have just begun to connect; but one
 * that is away may not keep us from serving either. */
static void wait_for_launcher(Daemon *d, sd_event *event)
{
        const Clock *clock = clock_system();
        usec_t now, until = clock_boottime(clock) + LAUNCHER_WAIT_USEC;

        while (!service_has_launcher(d->service) && (now = clock_boottime(clock)) < until)
                if (sd_event_run(event, until - now) < 0)
                        return;
        if (!service_has_launcher(d->service))
                log_warning("the launcher cannot be reached, serving without it");
}

static int join_bus(Daemon *d, sd_event *event, const DaemonBus *bus, gid_t admin_gid, ReeveError *reterr)
{
        if (!bus->address)
                return 0;
        RegistryBusConfig config = { .event = event,
                                     .service = d->service,
                                     .clock = clock_system(),
                                     .address = bus->address,
                                     .name = bus->name,
                                     .admin_gid = admin_gid };
        return registry_bus_new(&config, &d->bus, reterr);
}

static int serve(Daemon *d, sd_event *event, const Settings *settings, const DaemonBus *bus,
                 ReeveError *reterr)
{
        static const VarlinkServerInfo info = {
                .vendor = "reeve", .product = "reeved", .version = REEVE_VERSION, .url = ""
        };
        struct group *admins = getgrnam(ADMIN_GROUP);
        gid_t admin_gid = admins ? admins->gr_gid : (gid_t)-1;

        int r = varlink_server_new(event, &info, &d->server);
        if (r < 0)
                return reeve_error_errno(reterr, r, NULL, "cannot serve varlink");
        VarlinkLimits limits = varlink_limits_default;
        limits.connections_max = settings->limits.connections;
        varlink_server_set_limits(d->server, &limits);
        if ((r = registry_varlink_new(d->server, d->service, admin_gid, &d->adapter, reterr)) < 0 ||
            (r = listen_somewhere(d, reterr)) < 0)
                return r;
        return join_bus(d, event, bus, admin_gid, reterr);
}

/* ---- the journal ---- */

static void on_task_ended(const TaskRow *task, void *userdata)
{
        journal_task_ended(userdata, task);
}

static void on_task_event(const TaskRow *task, const char *topic, void *userdata)
{
        journal_task_event(userdata, task, topic);
}

static void on_task_not_stored(const TaskRow *task, const ReeveError *error, void *userdata)
{
        journal_task_not_stored(userdata, task, error);
}

static void on_ladder_step(const TaskRow *task, const LadderStep *step, void *userdata)
{
        JournalStep s = { .number = step->act == LADDER_DEADLINE ? 0 : step->number + 1,
                          .what = ladder_act_name(step->act),
                          .state = ladder_state_name(step->state),
                          .message = step->message,
                          .lateness_usec = step->lateness_usec,
                          .is_warning = ladder_is_warning(step) };
        journal_ladder_step(userdata, task, &s);
}

static void on_task_stuck(const TaskRow *task, const char *rule, usec_t span_usec, void *userdata)
{
        journal_task_stuck(userdata, task, rule, span_usec);
}

static void on_hook_said(const TaskRow *hook, const char *text, void *userdata)
{
        journal_hook_said(userdata, hook, text);
}

static void on_launcher_away(void *userdata)
{
        journal_launcher_away(userdata);
}

static void on_policy_refused(const ReeveError *error, void *userdata)
{
        journal_policy_refused(userdata, error);
}

static void on_log_signed(const char *note, uint64_t entries, void *userdata)
{
        journal_log_signed(userdata, note, entries);
}

/* The host's journal is the business of the host's own instance only. */
static void open_journal(Daemon *d, sd_event *event, ServiceReports *ret)
{
        if (d->instance.root[0])
                return;
        int r = journal_new(event, JOURNAL_SOCKET, &d->journal);
        if (r < 0 && r != -ENOENT)
                log_warning_errno(r, "the journal will not be told of tasks");
        if (d->journal)
                *ret = (ServiceReports){ .task_ended = on_task_ended,
                                         .task_event = on_task_event,
                                         .task_not_stored = on_task_not_stored,
                                         .launcher_away = on_launcher_away,
                                         .hook_said = on_hook_said,
                                         .policy_refused = on_policy_refused,
                                         .log_signed = on_log_signed,
                                         .ladder_step = on_ladder_step,
                                         .task_stuck = on_task_stuck,
                                         .userdata = d->journal };
}

/* Settings are read once; what changes in operation is the policy. */
static int on_hangup(sd_event_source *source, const struct signalfd_siginfo *info, void *userdata)
{
        Daemon *d = ASSERT_PTR(userdata);

        service_reload_policy(d->service, NULL, NULL, NULL);
        return 0;
}

int daemon_new(sd_event *event, const Instance *instance, const DaemonBus *bus, Daemon **ret,
               ReeveError *reterr)
{
        char path[PATH_MAX];
        int r;

        assert(event);
        assert(instance);
        assert(bus);
        assert(ret);

        _cleanup_(daemon_freep) Daemon *d = NEW0(Daemon, 1);
        if (!d)
                return reeve_error_errno(reterr, ENOMEM, NULL, "cannot start");
        d->instance = *instance;
        d->pid_fd = -EBADF;

        ServiceConfig config = { .event = event, .clock = clock_system(), .instance = *instance };
        instance_path(instance, INSTANCE_SETTINGS, path, sizeof(path));
        if ((r = settings_load(path, &config.settings, reterr)) < 0)
                return r;
        raise_descriptor_limit();
        open_journal(d, event, &config.reports);
        if ((r = write_pid_file(d, reterr)) < 0 || (r = service_new(&config, &d->service, reterr)) < 0)
                return r;
        r = sd_event_add_signal(event, &d->hangup, SIGHUP, on_hangup, d);
        if (r < 0)
                return reeve_error_errno(reterr, r, NULL, "cannot wait for SIGHUP");
        if (config.settings.line_log.files > 0 &&
            (r = event_lines_new(event, d->service, instance, &config.settings, &d->lines, reterr)) < 0)
                return r;
        wait_for_launcher(d, event);
        r = serve(d, event, &config.settings, bus, reterr);
        if (r < 0)
                return r;
        *ret = TAKE_PTR(d);
        return 0;
}

static void remove_own_files(Daemon *d)
{
        char path[PATH_MAX];

        if (d->own_socket && instance_path(&d->instance, INSTANCE_SOCKET, path, sizeof(path)) >= 0)
                unlink(path);
        if (d->pid_fd >= 0 && d->server &&
            instance_path(&d->instance, INSTANCE_REEVED_PID, path, sizeof(path)) >= 0)
                unlink(path);
}

Daemon *daemon_free(Daemon *d)
{
        if (!d)
                return NULL;
        remove_own_files(d);
        sd_event_source_disable_unref(d->hangup);
        registry_bus_stop(d->bus);
        varlink_server_free(d->server);
        event_lines_free(d->lines);
        service_free(d->service);
        registry_bus_free(d->bus);
        registry_varlink_free(d->adapter);
        journal_free(d->journal);
        fd_close(d->pid_fd);
        free(d);
        return NULL;
}
