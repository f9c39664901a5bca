/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Makes the parts and wires them: store, registry, records, launcher, sampler.
 *
 * The order matters once, at start: rows are loaded and records looked at before the launcher is spoken to, and before anybody
 * may ask, so that nobody is told of a state that the records contradict. At the end the adapters are gone
 * already, and whoever waited is forgotten.
 *
 * There are two connections to the launcher: steps of ladders have one of their own, which no launch can hold up. */

#include "daemon/service/service.h"

#include <errno.h>
#include <limits.h>
#include <string.h>
#include <systemd/sd-id128.h>

#include "basic/fd.h"
#include "basic/log.h"
#include "common/cgroup/cgroup.h"
#include "daemon/service/service-internal.h"

static int open_store(Service *s, ReeveError *reterr)
{
        char path[PATH_MAX], backup[PATH_MAX], log_key[PATH_MAX], log_origin[CHECKPOINT_ORIGIN_MAX + 1];

        instance_path(&s->instance, INSTANCE_DATABASE, path, sizeof(path));
        instance_path(&s->instance, INSTANCE_BACKUP, backup, sizeof(backup));
        instance_path(&s->instance, INSTANCE_LOG_KEY, log_key, sizeof(log_key));
        service_log_origin(&s->instance, log_origin);
        StoreConfig config = { .path = path,
                               .backup_dir = backup,
                               .backup_interval_usec = s->settings.backup.interval_usec,
                               .backups_kept = s->settings.backup.keep,
                               .log_key = log_key,
                               .log_origin = log_origin,
                               .clock = s->clock,
                               .event = s->event };
        return store_open(&config, &s->store, reterr);
}

static int open_registry(Service *s, ReeveError *reterr)
{
        RegistryConfig config = { .clock = s->clock, .release = service_release_task };
        sd_id128_t boot;

        int r = sd_id128_get_boot(&boot);
        if (r < 0)
                return reeve_error_errno(reterr, r, NULL, "cannot read the boot id");
        memcpy(s->boot_id, boot.bytes, sizeof(s->boot_id));
        memcpy(config.boot_id, boot.bytes, sizeof(config.boot_id));
        r = registry_new(&config, &s->registry);
        return r < 0 ? reeve_error_errno(reterr, r, NULL, "cannot make the registry") : 0;
}

static int open_records(Service *s, ReeveError *reterr)
{
        char path[PATH_MAX];

        instance_path(&s->instance, INSTANCE_RECORDS, path, sizeof(path));
        return record_watch_new(s->event, path, service_on_record_closed, s, &s->records, reterr);
}

/* The other connection's loss is told of, and comes at the same moment. */
static void on_urgent_disconnected(void *userdata) {}

static int open_launcher(Service *s, ReeveError *reterr)
{
        LauncherClientEvents events = { .on_connected = service_on_launcher_connected,
                                        .on_disconnected = service_on_launcher_disconnected,
                                        .userdata = s };
        LauncherClientEvents urgent = { .on_connected = service_on_urgent_connected,
                                        .on_disconnected = on_urgent_disconnected,
                                        .userdata = s };
        char path[PATH_MAX];

        instance_path(&s->instance, INSTANCE_LAUNCHER_SOCKET, path, sizeof(path));
        int r = launcher_client_new(s->event, path, &events, &s->launcher);
        instance_path(&s->instance, INSTANCE_STEPS_SOCKET, path, sizeof(path));
        if (r >= 0)
                r = launcher_client_new(s->event, path, &urgent, &s->urgent);
        return r < 0 ? reeve_error_errno(reterr, r, path, "cannot speak to the launcher") : 0;
}

static int add_timers(Service *s, ReeveError *reterr)
{
        int r = service_start_kills(s);
        if (r >= 0)
                r = service_start_holding(s);
        if (r >= 0)
                r = service_start_signing(s);
        if (r >= 0)
                r = service_start_reports(s);
        if (r >= 0)
                r = service_start_stuck(s);
        if (r >= 0)
                r = service_start_publishing(s);
        return r < 0 ? reeve_error_errno(reterr, r, NULL, "cannot make a timer") : 0;
}

int service_new(const ServiceConfig *config, Service **ret, ReeveError *reterr)
{
        int r;

        assert(config && config->event && config->clock);
        assert(ret);

        _cleanup_(service_freep) Service *s = NEW0(Service, 1);
        if (!s)
                return reeve_error_errno(reterr, ENOMEM, NULL, "cannot start");
        s->event = sd_event_ref(config->event);
        s->clock = config->clock;
        s->instance = config->instance;
        s->settings = config->settings;
        s->reports = config->reports;
        s->hooks = config->hooks.run ? config->hooks : (HookRunner){ service_run_hook, s };
        s->started_boottime = clock_boottime(s->clock);
        s->cgroup_fd = s->net_fd = -EBADF;
        list_init(&s->monitors);
        list_init(&s->outputs);
        list_init(&s->policy.waiting);
        list_init(&s->policy.served);
        list_init(&s->held);
        list_init(&s->verifications);

        r = cgroup_open_mount(&s->cgroup_fd, NULL);
        if (r < 0 && r != -ENOENT)
                log_warning_errno(r, "cannot open the cgroup2 mount, counters come by procfs");

        if ((r = service_start_queue(s, reterr)) < 0 || (r = open_registry(s, reterr)) < 0 ||
            (r = open_store(s, reterr)) < 0 || (r = open_records(s, reterr)) < 0 ||
            (r = add_timers(s, reterr)) < 0 || (r = service_start_sampler(s, reterr)) < 0 ||
            (r = service_start_sla(s, reterr)) < 0 || (r = open_launcher(s, reterr)) < 0 ||
            (r = service_recover(s, reterr)) < 0)
                return r;
        service_load_policy(s);
        registry_set_limit(s->registry, s->settings.limits.tasks_per_uid);
        *ret = TAKE_PTR(s);
        return 0;
}

/* Whoever waits for an answer will not get one: the adapters are gone by now. */
static void drop_waiters(Service *s)
{
        size_t cursor = 0;

        for (Task *t; (t = registry_next(s->registry, &cursor));) {
                service_drop_runs(t);
                service_drop_waits(t);
                service_release_ladder(s, t);
        }
}

bool service_has_launcher(const Service *s)
{
        assert(s);
        return launcher_client_is_connected(s->launcher);
}

Service *service_free(Service *s)
{
        if (!s)
                return NULL;
        if (s->registry)
                drop_waiters(s);
        service_drop_held(s);
        service_drop_verifications(s);
        service_end_monitors(s);
        service_end_outputs(s);
        sampler_free(s->sampler);
        service_flush_snapshots(s);
        launcher_client_free(s->launcher);
        launcher_client_free(s->urgent);
        record_watch_free(s->records);
        service_sign_last(s);
        store_close(s->store);
        registry_free(s->registry);
        service_stop_queue(s);
        service_stop_reports(s);
        service_stop_stuck(s);
        service_stop_publishing(s);
        service_drop_policy(s);
        sla_free(s->sla);
        prioq_free(s->kills);
        sd_event_source_disable_unref(s->snapshots_source);
        sd_event_source_disable_unref(s->kill_timer);
        sd_event_source_disable_unref(s->retry_timer);
        sd_event_source_disable_unref(s->sign_timer);
        fd_close(s->cgroup_fd);
        fd_close(s->net_fd);
        sd_event_unref(s->event);
        free(s);
        return NULL;
}
