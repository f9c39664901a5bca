/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The loop thread's half: the tasks by key, the callbacks, and the merging of what the launcher read in
 * procfs. When to read is cadence.c's, how is leaf.c's, and the thread that does it is reader.c's.
 *
 * A reading that lacks a field which procfs could give is not worse than none, but the same moment's
 * procfs values can only be had by asking the launcher, over the loop. So a snapshot that is due and lacks
 * something is held back (one for each task) and completed by the answer. Nothing waits for ever: the
 * task's next reading, or "no answer", lets it go as it is. Live values are not held: a watcher prefers
 * them now, completed by the answer to the last question.
 *
 * Which tasks need this is seen by their readings and is asked anew for each of them: the answer is about
 * this moment.
 *
 * A removed task's probe may still be with the reader, and may be in the batch that is being delivered
 * when a callback removes it. It is marked, passed over, and freed at the beginning of a later delivery,
 * when no batch is in hand. */

#include "daemon/sampler/sampler.h"

#include <errno.h>

#include "basic/hash.h"
#include "basic/fd.h"
#include "basic/strings.h"
#include "daemon/sampler/reader.h"

/* Beside the reader's PROBE_* purposes: procfs could complete it. */
#define BATCH_WANTS (1U << 8)

struct Sampler {
        SamplerCallbacks callbacks;
        int cgroup_fd; /* owned */
        sd_event_source *source;
        Hash *probes; /* by key: those that are not removed */
        Reader reader;
        /* the batch in hand */
        Probe *batch_probes[SAMPLER_BATCH_MAX];
        SamplerReading batch[SAMPLER_BATCH_MAX];
        unsigned batch_for[SAMPLER_BATCH_MAX];
};

/* What the launcher's ReadUsage can tell. */
static bool lacks_procfs_fields(const Usage *u)
{
        static const UsageField fields[] = { USAGE_CPU,         USAGE_CPU_USER,
                                             USAGE_CPU_SYSTEM,  USAGE_MEMORY_CURRENT,
                                             USAGE_IO_READ,     USAGE_IO_WRITE,
                                             USAGE_PIDS_CURRENT };
        for (size_t i = 0; i < ELEMENTSOF(fields); i++)
                if (!usage_has(u, fields[i]))
                        return true;
        return false;
}

/* ---- delivery ---- */

static void release_held(Sampler *s, Probe *p)
{
        _cleanup_free_ SamplerReading *reading = TAKE_PTR(p->held);

        if (!reading)
                return;
        if (p->procfs)
                usage_fill(&reading->usage, p->procfs);
        s->callbacks.on_snapshot(reading, s->callbacks.userdata);
}

/* Keeps a copy of the reading until its answer comes; short of memory, it goes out as it is. */
static void hold(Sampler *s, Probe *p, const SamplerReading *reading)
{
        p->held = malloc(sizeof(*p->held));
        if (p->held)
                *p->held = *reading;
        else
                s->callbacks.on_snapshot(reading, s->callbacks.userdata);
}

static void deliver_snapshot(Sampler *s, Probe *p, const SamplerReading *reading, bool wants)
{
        release_held(s, p);
        if (p->removed)
                return;
        if (wants)
                hold(s, p, reading);
        else
                s->callbacks.on_snapshot(reading, s->callbacks.userdata);
}

/* Closes the gaps of what is not for watchers; the batch is no longer parallel to batch_probes afterwards.
 * */
static void deliver_live(Sampler *s, size_t n)
{
        size_t k = 0;

        for (size_t i = 0; i < n; i++) {
                const Probe *p = s->batch_probes[i];
                if (p->removed || !(s->batch_for[i] & PROBE_LIVE))
                        continue;
                if (k != i)
                        s->batch[k] = s->batch[i];
                if (p->procfs)
                        usage_fill(&s->batch[k].usage, p->procfs);
                k++;
        }
        if (k > 0 && s->callbacks.on_live)
                s->callbacks.on_live(s->batch, k, s->callbacks.userdata);
}

/* Like live values: nothing waits for an answer, the last one is as old as the last look. */
static void deliver_look(Sampler *s, const Probe *p, const SamplerReading *reading)
{
        SamplerReading filled = *reading;

        if (!s->callbacks.on_look)
                return;
        if (p->procfs)
                usage_fill(&filled.usage, p->procfs);
        s->callbacks.on_look(&filled, s->callbacks.userdata);
}

static void ask_for_fallback(Sampler *s, size_t n)
{
        SamplerTarget wanted[SAMPLER_BATCH_MAX];
        size_t k = 0;

        for (size_t i = 0; i < n; i++) {
                const Probe *p = s->batch_probes[i];
                if (!p->removed && s->batch_for[i] & BATCH_WANTS)
                        wanted[k++] = (SamplerTarget){ p->key, p->attempt, p->userdata };
        }
        if (k > 0)
                s->callbacks.on_fallback_wanted(wanted, k, s->callbacks.userdata);
}

/* In this order: an answer that comes from within the question finds its snapshot held. */
static void deliver_batch(Sampler *s, size_t n)
{
        for (size_t i = 0; i < n; i++) {
                Probe *p = s->batch_probes[i];
                bool wants = s->callbacks.on_fallback_wanted && lacks_procfs_fields(&s->batch[i].usage);
                if (wants)
                        s->batch_for[i] |= BATCH_WANTS;
                if (!p->removed && s->batch_for[i] & PROBE_SNAPSHOT)
                        deliver_snapshot(s, p, &s->batch[i], wants);
                if (!p->removed && s->batch_for[i] & PROBE_LOOK)
                        deliver_look(s, p, &s->batch[i]);
        }
        deliver_live(s, n);
        ask_for_fallback(s, n);
}

static void free_returned(Sampler *s)
{
        for (Probe *p; (p = reader_take_returned(&s->reader));)
                probe_free(&s->reader, p);
}

static void deliver(Sampler *s)
{
        size_t n;

        reader_clear_event(&s->reader);
        free_returned(s);
        while ((n = reader_take(&s->reader, s->batch_probes, s->batch, s->batch_for, SAMPLER_BATCH_MAX)) > 0)
                deliver_batch(s, n);
}

static int on_readings(sd_event_source *source, int fd, uint32_t events, void *userdata)
{
        deliver(ASSERT_PTR((Sampler *)userdata));
        return 0;
}

usec_t sampler_run(Sampler *s)
{
        assert(s);
        assert(!s->source);

        usec_t next = reader_round(&s->reader);
        deliver(s);
        return next;
}

/* ---- life ---- */

static int resolve(const SamplerConfig *config, SamplerConfig *ret)
{
        *ret = *config;
        if (!ret->clock)
                ret->clock = clock_system();
        if (ret->tick_usec == 0)
                ret->tick_usec = SAMPLER_TICK_USEC;
        if (ret->min_usec == 0)
                ret->min_usec = SAMPLER_MIN_USEC;
        if (ret->max_usec == 0)
                ret->max_usec = SAMPLER_MAX_USEC;
        return ret->min_usec <= ret->max_usec ? 0 : -EINVAL;
}

/* The reader is running when this fails; sampler_new() frees it then. */
static int watch(Sampler *s, sd_event *event)
{
        return sd_event_add_io(event, &s->source, s->reader.event_fd, EPOLLIN, on_readings, s);
}

int sampler_new(const SamplerConfig *config, const SamplerCallbacks *callbacks, Sampler **ret)
{
        SamplerConfig c;

        assert(config);
        assert(callbacks);
        assert(ret);

        int r = resolve(config, &c);
        if (r < 0 || !callbacks->on_snapshot)
                return -EINVAL;

        _cleanup_fd_ int cgroup_fd = -EBADF;
        if (c.cgroup_fd >= 0) {
                cgroup_fd = fcntl(c.cgroup_fd, F_DUPFD_CLOEXEC, 3);
                if (cgroup_fd < 0)
                        return -errno;
        }
        c.cgroup_fd = cgroup_fd;

        _cleanup_(hash_freep) Hash *probes = hash_new();
        Sampler *s = NEW0(Sampler, 1);
        if (!probes || !s) {
                free(s);
                return -ENOMEM;
        }
        r = reader_init(&s->reader, &c);
        if (r < 0) {
                free(s);
                return r;
        }
        s->callbacks = *callbacks;
        s->cgroup_fd = TAKE_FD(cgroup_fd);
        s->probes = TAKE_PTR(probes);

        r = c.event ? watch(s, c.event) : 0;
        if (r < 0)
                sampler_free(s);
        else
                *ret = s;
        return r;
}

Sampler *sampler_free(Sampler *s)
{
        if (!s)
                return NULL;
        HASH_FOREACH(s->probes, Probe, p)
                if (reader_remove(&s->reader, p))
                        probe_free(&s->reader, p);
        hash_free(s->probes);
        reader_stop(&s->reader);
        free_returned(s);
        sd_event_source_disable_unref(s->source);
        reader_done(&s->reader);
        fd_close(s->cgroup_fd);
        free(s);
        return NULL;
}

/* ---- tasks ---- */

static Probe *probe_new(const SamplerTask *task, const char *leaf)
{
        _cleanup_free_ char *k = strdup(task->key), *path = strdup(leaf ?: "");
        Probe *p = NEW0(Probe, 1);

        if (!k || !path || !p) {
                free(p);
                return NULL;
        }
        p->attempt = task->attempt;
        p->userdata = task->userdata;
        p->started_boottime_usec = task->started_boottime_usec;
        p->min_usec = task->min_usec;
        p->max_usec = task->max_usec;
        p->look_usec = task->look_usec;
        p->net.ref = task->net;
        p->has_leaf = path[0] != '\0';
        if (p->has_leaf)
                leaf_init(&p->leaf, TAKE_PTR(path));
        p->key = TAKE_PTR(k);
        p->latest.target = (SamplerTarget){ p->key, p->attempt, p->userdata };
        return p;
}

int sampler_add(Sampler *s, const SamplerTask *task)
{
        assert(s);
        assert(task && task->key);

        Probe *p = probe_new(task, s->cgroup_fd >= 0 ? task->leaf : NULL);
        if (!p)
                return -ENOMEM;
        int r = hash_put(s->probes, p->key, p);
        if (r < 0) {
                probe_free(&s->reader, p);
                return r;
        }
        reader_add(&s->reader, p);
        return 0;
}

void sampler_remove(Sampler *s, const char *key)
{
        assert(s);
        assert(key);

        Probe *p = hash_remove(s->probes, key);
        if (!p)
                return;
        p->removed = true;
        if (reader_remove(&s->reader, p))
                probe_free(&s->reader, p);
}

void sampler_set_live(Sampler *s, bool live)
{
        assert(s);

        reader_set_live(&s->reader, live);
}

void sampler_set_network_map(Sampler *s, int map_fd, uint32_t map_id)
{
        assert(s);

        reader_set_network_map(&s->reader, map_fd, map_id);
}

void sampler_fallback(Sampler *s, const char *key, const Usage *procfs)
{
        assert(s);
        assert(key);

        Probe *p = hash_get(s->probes, key);
        if (!p)
                return;
        if (procfs && !p->procfs)
                p->procfs = NEW0(Usage, 1);
        if (procfs && p->procfs)
                *p->procfs = *procfs;
        else if (!procfs)
                free(TAKE_PTR(p->procfs));
        release_held(s, p);
}

void sampler_figures(Sampler *s, SamplerFigures *ret)
{
        assert(s);
        assert(ret);

        pthread_mutex_lock(&s->reader.lock);
        *ret = s->reader.figures;
        pthread_mutex_unlock(&s->reader.lock);
}
