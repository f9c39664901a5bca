/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Between the sampler's thread and everything else: due snapshots go to the store, live values to who watches, and what
 * this host's cgroups lack is asked of the launcher. Each reading also updates the row in memory, which is what lists show.
 *
 * Snapshots come in crowds: a thousand tasks that were started together are read together. They gather in one write
 * until the loop has nothing else to do; a task's end takes what there is along, so that nothing of it comes later. */

#include <errno.h>

#include "basic/fd.h"
#include "basic/log.h"
#include "daemon/service/service-internal.h"

static void raise_to(Usage *fresh, UsageField field, int64_t value, UsageSource source)
{
        if (!usage_has(fresh, field) || fresh->value[field] < value)
                usage_set(fresh, field, (uint64_t)value, source);
}

/* Where the kernel keeps no peak, the highest level that was seen is one that the final account must not fall below: by us or by
 * whoever was reeved when the attempt began. */
static void keep_peaks(Usage *fresh, const Usage *before)
{
        if (usage_has(before, USAGE_MEMORY_ANON_PEAK))
                raise_to(fresh, USAGE_MEMORY_ANON_PEAK, before->value[USAGE_MEMORY_ANON_PEAK],
                         before->source[USAGE_MEMORY_ANON_PEAK]);
        if (usage_has(fresh, USAGE_MEMORY_PEAK) || !usage_has(fresh, USAGE_MEMORY_CURRENT))
                return;
        raise_to(fresh, USAGE_MEMORY_PEAK, fresh->value[USAGE_MEMORY_CURRENT],
                 fresh->source[USAGE_MEMORY_CURRENT]);
        if (usage_has(before, USAGE_MEMORY_PEAK))
                raise_to(fresh, USAGE_MEMORY_PEAK, before->value[USAGE_MEMORY_PEAK],
                         fresh->source[USAGE_MEMORY_CURRENT]);
}

/* What was reported stays where nothing is counted. */
static void keep_reported(Usage *fresh, const Usage *before)
{
        for (int f = 0; f < _USAGE_FIELD_MAX; f++)
                if (before->source[f] == USAGE_REPORTED && !usage_has(fresh, (UsageField)f)) {
                        fresh->value[f] = before->value[f];
                        fresh->source[f] = USAGE_REPORTED;
                }
}

void service_take_usage(Task *t, const Usage *counted)
{
        assert(t);
        assert(counted);

        Usage fresh = *counted, before = t->row.usage;
        for (int f = 0; f < _USAGE_FIELD_MAX; f++)
                if (before.source[f] == USAGE_REPORTED)
                        usage_clear(&before, (UsageField)f);
        keep_peaks(&fresh, &before);
        keep_reported(&fresh, &t->row.usage);
        t->row.usage = fresh;
}

static Task *take_reading(Service *s, const SamplerReading *reading)
{
        Task *t = registry_get(s->registry, reading->target.key);
        if (!t || t->row.status != TASK_ACTIVE)
                return NULL;

        Usage fresh = reading->usage;
        if (t->row.has_backend && t->row.backend == RECORD_BACKEND_SCOPE) {
                /* The quota is the scope's, of whose books the keeper takes a look at the end. */
                usage_clear(&fresh, USAGE_CPU_THROTTLED);
                usage_clear(&fresh, USAGE_CPU_NR_THROTTLED);
        }
        service_take_usage(t, &fresh);
        return t;
}

/* Rows of one write: a fraction of a commit. */
#define GATHERED_MAX 256
/* The launcher reads some files for each task; what it is asked next must not wait for hundreds of them. */
#define AT_ONCE 4

void service_flush_snapshots(Service *s)
{
        assert(s);

        if (!s->snapshots)
                return;
        int r = store_write_submit(TAKE_PTR(s->snapshots));
        if (r < 0)
                log_debug_errno(r, "%u snapshots were lost", s->n_snapshots);
        s->n_snapshots = 0;
}

static int on_idle(sd_event_source *source, void *userdata)
{
        service_flush_snapshots(ASSERT_PTR(userdata));
        return sd_event_source_set_enabled(source, SD_EVENT_OFF);
}

static int gather(Service *s, const Task *t, const SnapshotRow *row)
{
        if (!s->snapshots)
                s->snapshots = store_write_new(s->store, STORE_WRITE_LAZY, NULL, NULL);
        int r = s->snapshots ? store_write_snapshot(s->snapshots, t->row.task_id, row) : -ENOMEM;
        if (r < 0)
                return r;
        if (++s->n_snapshots >= GATHERED_MAX)
                service_flush_snapshots(s);
        return sd_event_source_set_enabled(s->snapshots_source, SD_EVENT_ONESHOT);
}

static void on_snapshot(const SamplerReading *reading, void *userdata)
{
        Service *s = ASSERT_PTR(userdata);

        Task *t = take_reading(s, reading);
        if (!t)
                return;

        SnapshotRow row = { .attempt = reading->target.attempt,
                            .taken_realtime = reading->taken_realtime_usec,
                            .elapsed_usec = reading->elapsed_usec,
                            .usage = t->row.usage };
        int r = gather(s, t, &row);
        if (r < 0)
                log_debug_errno(r, "%s: a snapshot was lost", t->row.task_id);
}

/* What a scope's books lack is nothing that a rule asks for. */
static void on_look(const SamplerReading *reading, void *userdata)
{
        Service *s = ASSERT_PTR(userdata);

        Task *t = registry_get(s->registry, reading->target.key);
        if (t)
                service_stuck_look(s, t, reading);
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
        for (size_t i = 0; i < n; i += AT_ONCE) {
                size_t some = MIN(n - i, (size_t)AT_ONCE);
                if (launcher_client_read_usage(s->launcher, ids + i, attempts + i, some, on_procfs, s) < 0)
                        for (size_t k = i; k < i + some; k++)
                                sampler_fallback(s->sampler, ids[k], NULL);
        }
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
                                       .on_look = on_look,
                                       .on_fallback_wanted = on_fallback_wanted,
                                       .userdata = s };
        int r = sd_event_add_defer(s->event, &s->snapshots_source, on_idle, s);
        if (r >= 0)
                r = sd_event_source_set_enabled(s->snapshots_source, SD_EVENT_OFF);
        if (r >= 0)
                r = sd_event_source_set_priority(s->snapshots_source, SD_EVENT_PRIORITY_IDLE);
        if (r >= 0)
                r = sampler_new(&config, &callbacks, &s->sampler);
        return r < 0 ? reeve_error_errno(reterr, r, NULL, "cannot start the sampler") : 0;
}

/* Without one, network counters are unknown from now on: a launcher that cannot count may have come after one that could. */
static void on_network(const ReeveError *error, int map_fd, uint32_t map_id, void *userdata)
{
        Service *s = ASSERT_PTR(userdata);

        if (error)
                log_full_reeve_error(LOG_DEBUG, error, "network traffic of tasks is not counted");
        fd_close(s->net_fd);
        s->net_fd = error ? -EBADF : fcntl(map_fd, F_DUPFD_CLOEXEC, 3);
        s->net_map_id = s->net_fd >= 0 ? map_id : 0;
        sampler_set_network_map(s->sampler, s->net_fd >= 0 ? fcntl(s->net_fd, F_DUPFD_CLOEXEC, 3) : -EBADF,
                                s->net_map_id);
}

void service_find_network_map(Service *s)
{
        ReeveError e = REEVE_ERROR_NULL;

        assert(s);

        if (launcher_client_network(s->launcher, on_network, s, &e) < 0)
                on_network(&e, -EBADF, 0, s);
}

void service_sample(Service *s, Task *t)
{
        assert(s);
        assert(t);

        if (t->sampled)
                return;
        SamplerTask task = { .key = t->row.task_id,
                             .attempt = t->row.attempt,
                             .leaf = t->row.cgroup,
                             .net = t->net,
                             .started_boottime_usec = t->row.started_boottime,
                             .min_usec = t->policy ? t->policy->sampling.min_usec : 0,
                             .max_usec = t->policy ? t->policy->sampling.max_usec : 0,
                             .look_usec = service_stuck_begin(s, t) };
        int r = sampler_add(s->sampler, &task);
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
        service_stuck_end(s, t);
        service_flush_snapshots(s);
}
