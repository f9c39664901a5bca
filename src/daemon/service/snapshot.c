/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Between the sampler's thread and everything else: due snapshots go to the store, live values to who watches, and what
 * this host's cgroups lack is asked of the launcher. Each reading also updates the row in memory, which is what lists show. */

#include <errno.h>

#include "basic/log.h"
#include "daemon/service/service-internal.h"

static Task *take_reading(Service *s, const SamplerReading *reading)
{
        Task *t = registry_get(s->registry, reading->target.key);
        if (t && t->row.status == TASK_ACTIVE)
                t->row.usage = reading->usage;
        return t;
}

static void on_snapshot(const SamplerReading *reading, void *userdata)
{
        Service *s = ASSERT_PTR(userdata);
        int r = -ENOMEM;

        Task *t = take_reading(s, reading);
        if (!t)
                return;

        SnapshotRow row = { .attempt = reading->target.attempt,
                            .taken_realtime = reading->taken_realtime_usec,
                            .elapsed_usec = reading->elapsed_usec,
                            .usage = reading->usage };
        _cleanup_(store_write_freep) StoreWrite *w = store_write_new(s->store, STORE_WRITE_LAZY, NULL, NULL);
        if (!w || (r = store_write_snapshot(w, t->row.task_id, &row)) < 0 ||
            (r = store_write_submit(TAKE_PTR(w))) < 0)
                log_debug_errno(r, "%s: a snapshot was lost", t->row.task_id);
}

static void on_live(const SamplerReading *readings, size_t n, void *userdata)
{
        Service *s = ASSERT_PTR(userdata);

        for (size_t i = 0; i < n; i++) {
                Task *t = take_reading(s, readings + i);
                if (t)
                        service_publish_usage(s, &t->row);
        }
}

static void on_procfs(const LauncherUsage *usages, size_t n, void *userdata)
{
        Service *s = ASSERT_PTR(userdata);

        for (size_t i = 0; i < n; i++)
                sampler_fallback(s->sampler, usages[i].task_id, &usages[i].usage);
}

static void on_fallback_wanted(const SamplerTarget *targets, size_t n, void *userdata)
{
        Service *s = ASSERT_PTR(userdata);
        const char *ids[SAMPLER_BATCH_MAX] = { 0 };
        unsigned attempts[SAMPLER_BATCH_MAX] = { 0 };

        assert(n <= SAMPLER_BATCH_MAX);

        for (size_t i = 0; i < n; i++) {
                ids[i] = targets[i].key;
                attempts[i] = targets[i].attempt;
        }
        int r = launcher_client_read_usage(s->launcher, ids, attempts, n, on_procfs, s);
        if (r < 0)
                for (size_t i = 0; i < n; i++)
                        sampler_fallback(s->sampler, ids[i], NULL);
}

int service_start_sampler(Service *s, ReeveError *reterr)
{
        assert(s);

        SamplerConfig config = { .event = s->event,
                                 .cgroup_fd = s->cgroup_fd,
                                 .clock = s->clock,
                                 .tick_usec = s->settings.sampling.tick_usec,
                                 .min_usec = s->settings.sampling.min_usec,
                                 .max_usec = s->settings.sampling.max_usec,
                                 .max_fds = SAMPLER_FDS_DEFAULT };
        SamplerCallbacks callbacks = { .on_snapshot = on_snapshot,
                                       .on_live = on_live,
                                       .on_fallback_wanted = on_fallback_wanted,
                                       .userdata = s };
        int r = sampler_new(&config, &callbacks, &s->sampler);
        return r < 0 ? reeve_error_errno(reterr, r, NULL, "cannot start the sampler") : 0;
}

void service_sample(Service *s, Task *t)
{
        assert(s);
        assert(t);

        if (t->sampled)
                return;
        int r = sampler_add(s->sampler, t->row.task_id, t->row.attempt, t->row.cgroup,
                            t->row.started_boottime, NULL);
        if (r < 0)
                log_warning_errno(r, "%s: it runs without snapshots", t->row.task_id);
        t->sampled = r >= 0;
}

void service_unsample(Service *s, Task *t)
{
        assert(s);
        assert(t);

        if (t->sampled)
                sampler_remove(s->sampler, t->row.task_id);
        t->sampled = false;
}
