/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* A tick is cut into fifty slices. Each task belongs to one slice for life, given out in turn, so that any
 * number of tasks is spread evenly over the tick. A slice knows the earliest visit among its tasks; when
 * that has come, all of them are walked and those that are due are read. The thread sleeps until the
 * earliest slice. This costs one comparison a tick for a task that is not due, needs no heap, and
 * allocates nothing: the thread never runs out of memory.
 *
 * The queues allocate nothing either. A task is told to the thread by linking its probe into the inbox
 * (flags in it say whether it comes or goes), and a reading goes back in the probe itself, linked into the
 * outbox. If the loop thread is late, a newer reading replaces the older one in place, so the queue cannot
 * grow; the purposes are joined, so that a snapshot that was due stays due.
 *
 * Life of a probe: the loop thread may free it when the reader has never seen it (still in the inbox) or
 * has returned it. A probe whose leaf is gone stays in no slice and waits for its removal.
 *
 * Waking: an addition wakes the thread only if it is due before the thread would wake anyway, and a
 * removal only if the thread would sleep for more than a tick (kept descriptors pin the removed cgroup).
 * Tasks that are added and removed in the same sleep cost no wake-up at all: on a host that runs a
 * thousand tasks of a millisecond, that is most of them. */

#include "daemon/sampler/reader.h"

#include <signal.h>
#include <sys/eventfd.h>

#include "basic/fd.h"

static usec_t phase_of(const Reader *r, unsigned slice)
{
        return slice * r->cadence.tick_usec / SAMPLER_SLICES;
}

static void tell_loop(Reader *r)
{
        uint64_t one = 1;
        /* Fails only when the counter is at its maximum, and then it is readable. */
        (void)!write(r->event_fd, &one, sizeof(one));
}

void reader_clear_event(Reader *r)
{
        uint64_t count;

        assert(r);

        (void)!read(r->event_fd, &count, sizeof(count));
}

/* ---- the schedule ---- */

/* What was missed cannot be read any more: a snapshot that is still due comes at the next point of the
 * grid. */
static void catch_up(Reader *r, Probe *p, usec_t now)
{
        if (p->snapshot_at <= now)
                p->snapshot_at = cadence_next_point(&r->cadence, phase_of(r, p->slice), now);
        if (p->look_at <= now)
                p->look_at = cadence_next_point(&r->cadence, phase_of(r, p->slice), now);
}

static void schedule(Reader *r, Probe *p, usec_t now)
{
        ReaderSlice *slice = &r->slices[p->slice];

        p->visit_at = MIN(p->snapshot_at, p->look_at);
        if (r->live)
                p->visit_at = MIN(p->visit_at, cadence_next_point(&r->cadence, phase_of(r, p->slice), now));
        slice->visit_at = MIN(slice->visit_at, p->visit_at);
}

static void schedule_all(Reader *r, usec_t now)
{
        for (unsigned i = 0; i < SAMPLER_SLICES; i++) {
                r->slices[i].visit_at = USEC_INFINITY;
                LIST_FOREACH(&r->slices[i].probes, link)
                        schedule(r, container_of(link, Probe, slice_link), now);
        }
}

static void admit(Reader *r, Probe *p)
{
        usec_t phase = phase_of(r, p->slice), now = clock_boottime(r->clock);

        p->known = true;
        net_reader_add(&r->net, &p->net);
        list_append(&r->slices[p->slice].probes, &p->slice_link);
        p->snapshot_at = cadence_next_point(&r->cadence, phase, p->started_boottime_usec);
        p->look_at = p->look_usec > 0 ? p->snapshot_at : USEC_INFINITY;
        catch_up(r, p, now);
        schedule(r, p, now);
}

static void dismiss(Reader *r, Probe *p)
{
        list_remove(&p->slice_link);
        net_reader_remove(&r->net, &p->net);
        if (p->has_leaf)
                leaf_close(&p->leaf, &r->leaves);
        list_append(&r->returned, &p->outbox_link);
        tell_loop(r);
}

/* Called with the lock held. */
static void read_inbox(Reader *r)
{
        for (ListLink *link; (link = list_pop(&r->inbox));) {
                Probe *p = container_of(link, Probe, inbox_link);
                if (p->leaving)
                        dismiss(r, p);
                else
                        admit(r, p);
        }
        if (r->has_new_map) {
                r->has_new_map = false;
                net_reader_set_map(&r->net, TAKE_FD(r->new_map_fd), r->new_map_id);
        }
        if (r->live != r->live_wanted) {
                r->live = r->live_wanted;
                schedule_all(r, clock_boottime(r->clock));
        }
}

/* ---- reading ---- */

static void publish(Reader *r, Probe *p, unsigned purpose, bool slow)
{
        usec_t elapsed = usec_sub(clock_boottime(r->clock), p->started_boottime_usec);

        pthread_mutex_lock(&r->lock);
        r->figures.readings++;
        r->figures.slow += slow;
        r->figures.open_fds = r->leaves.open_fds;
        if (!p->leaving) {
                p->latest.taken_realtime_usec = clock_realtime(r->clock);
                p->latest.elapsed_usec = elapsed;
                p->latest.usage = p->usage;
                p->latest_for |= purpose;
                if (!list_is_linked(&p->outbox_link))
                        list_append(&r->outbox, &p->outbox_link);
        }
        pthread_mutex_unlock(&r->lock);
}

/* Reads the leaf, if there is one. 0, -ENOENT: it is gone, or what was lacking at this moment. */
static int read_leaf(Reader *r, Probe *p, bool slow, usec_t until_next)
{
        if (!p->has_leaf)
                return 0;
        net_reader_get(&r->net, &p->net, &p->usage);
        return leaf_read(&p->leaf, &r->leaves, slow,
                         until_next < cadence_slow_interval(&r->cadence, USEC_INFINITY), &p->usage);
}

/* Which of two bounds that come from different places gives way: the upper one. */
static usec_t snapshot_interval(const Reader *r, const Probe *p)
{
        Cadence c = r->cadence;

        c.min_usec = p->min_usec ?: c.min_usec;
        c.max_usec = MAX(p->max_usec ?: c.max_usec, c.min_usec);
        return cadence_snapshot_interval(&c, usec_sub(p->snapshot_at, p->started_boottime_usec));
}

/* Reads one task that is due and schedules it again. false: its leaf is gone. */
static bool visit(Reader *r, Probe *p, usec_t now)
{
        bool snapshot = p->snapshot_at <= now, look = p->look_at <= now, slow = look || p->slow_at <= now;
        usec_t interval = snapshot_interval(r, p);

        int k = read_leaf(r, p, slow, r->live ? r->cadence.tick_usec : interval);
        if (k == -ENOENT)
                return false;
        if (k >= 0) {
                if (snapshot)
                        p->snapshot_at += interval;
                if (look)
                        p->look_at += MAX(p->look_usec / r->cadence.tick_usec, (usec_t)1) *
                                      r->cadence.tick_usec;
                if (slow)
                        p->slow_at = p->visit_at +
                                     cadence_slow_interval(&r->cadence,
                                                           usec_sub(p->visit_at, p->started_boottime_usec));
                publish(r, p,
                        (snapshot ? PROBE_SNAPSHOT : 0) | (r->live ? PROBE_LIVE : 0) |
                                        (look ? PROBE_LOOK : 0),
                        slow);
        }
        catch_up(r, p, now); /* a snapshot that could not be read stays due, and is tried at the next tick */
        schedule(r, p, now);
        return true;
}

/* Without the lock. Visits lower slice->visit_at again to the earliest of those that follow. */
static void visit_slice(Reader *r, ReaderSlice *slice, usec_t now)
{
        slice->visit_at = USEC_INFINITY;
        net_reader_refresh(&r->net, now, usec_sub(now, r->cadence.tick_usec));
        LIST_FOREACH_SAFE(&slice->probes, link) {
                Probe *p = container_of(link, Probe, slice_link);
                if (p->visit_at > now)
                        slice->visit_at = MIN(slice->visit_at, p->visit_at);
                else if (!visit(r, p, now))
                        list_remove(&p->slice_link);
        }
}

usec_t reader_round(Reader *r)
{
        usec_t next = USEC_INFINITY;

        assert(r);

        pthread_mutex_lock(&r->lock);
        read_inbox(r);
        pthread_mutex_unlock(&r->lock);

        usec_t now = clock_boottime(r->clock);
        for (unsigned i = 0; i < SAMPLER_SLICES; i++) {
                if (r->slices[i].visit_at <= now)
                        visit_slice(r, &r->slices[i], now);
                next = MIN(next, r->slices[i].visit_at);
        }

        pthread_mutex_lock(&r->lock);
        r->figures.open_fds = r->leaves.open_fds;
        if (!list_is_empty(&r->outbox))
                tell_loop(r);
        pthread_mutex_unlock(&r->lock);
        return next;
}

/* ---- the thread ---- */

static bool has_news(const Reader *r)
{
        return r->stop || !list_is_empty(&r->inbox) || r->live != r->live_wanted;
}

/* Called with the lock held. The condition's clock is the monotonic one: a time span does for it, and
 * after a suspend the boottime that is looked at next has moved on. */
static void sleep_until(Reader *r, usec_t until)
{
        usec_t now = clock_boottime(r->clock);
        struct timespec ts;

        if (until <= now)
                return;
        r->sleeps_until = until;
        if (until == USEC_INFINITY) {
                pthread_cond_wait(&r->wake, &r->lock);
        } else {
                clock_gettime(CLOCK_MONOTONIC, &ts);
                ts = usec_to_timespec(usec_add(usec_from_timespec(&ts), until - now));
                pthread_cond_timedwait(&r->wake, &r->lock, &ts);
        }
        r->sleeps_until = 0;
}

static void *run(void *userdata)
{
        Reader *r = ASSERT_PTR((Reader *)userdata);

        pthread_setname_np(pthread_self(), "sampler");
        pthread_mutex_lock(&r->lock);
        while (!r->stop) {
                pthread_mutex_unlock(&r->lock);
                usec_t next = reader_round(r);
                pthread_mutex_lock(&r->lock);
                if (!has_news(r))
                        sleep_until(r, next);
        }
        pthread_mutex_unlock(&r->lock);
        return NULL;
}

/* Signals are for the loop thread. */
static int start_thread(Reader *r)
{
        sigset_t all, before;

        sigfillset(&all);
        pthread_sigmask(SIG_SETMASK, &all, &before);
        int k = pthread_create(&r->thread, NULL, run, r);
        pthread_sigmask(SIG_SETMASK, &before, NULL);
        if (k != 0)
                return -k;
        r->threaded = true;
        return 0;
}

int reader_init(Reader *r, const SamplerConfig *config)
{
        pthread_condattr_t attributes;

        assert(r);
        assert(config);

        r->cadence = (Cadence){ config->tick_usec, config->min_usec, config->max_usec };
        r->clock = config->clock;
        r->leaves.cgroup_fd = config->cgroup_fd;
        r->leaves.max_fds = config->max_fds;
        r->new_map_fd = -EBADF;
        net_reader_init(&r->net);
        r->event_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
        if (r->event_fd < 0)
                return -errno;
        list_init(&r->inbox);
        list_init(&r->outbox);
        list_init(&r->returned);
        for (unsigned i = 0; i < SAMPLER_SLICES; i++) {
                list_init(&r->slices[i].probes);
                r->slices[i].visit_at = USEC_INFINITY;
        }
        pthread_mutex_init(&r->lock, NULL);
        pthread_condattr_init(&attributes);
        pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
        pthread_cond_init(&r->wake, &attributes);
        pthread_condattr_destroy(&attributes);

        int k = config->event ? start_thread(r) : 0;
        if (k < 0)
                reader_done(r);
        return k;
}

void reader_stop(Reader *r)
{
        assert(r);

        pthread_mutex_lock(&r->lock);
        r->stop = true;
        pthread_cond_signal(&r->wake);
        pthread_mutex_unlock(&r->lock);
        if (r->threaded)
                pthread_join(r->thread, NULL);
        r->threaded = false;
        pthread_mutex_lock(&r->lock);
        read_inbox(r);
        pthread_mutex_unlock(&r->lock);
}

void reader_done(Reader *r)
{
        assert(r);
        assert(!r->threaded);

        pthread_cond_destroy(&r->wake);
        pthread_mutex_destroy(&r->lock);
        r->event_fd = fd_close(r->event_fd);
        r->new_map_fd = fd_close(r->new_map_fd);
        net_reader_done(&r->net);
}

/* ---- the loop thread's end ---- */

void reader_add(Reader *r, Probe *p)
{
        assert(r);
        assert(p && !p->known);

        pthread_mutex_lock(&r->lock);
        p->slice = r->next_slice;
        r->next_slice = (r->next_slice + 1) % SAMPLER_SLICES;
        list_append(&r->inbox, &p->inbox_link);
        r->figures.tasks++;
        usec_t now = clock_boottime(r->clock);
        if (cadence_next_point(&r->cadence, phase_of(r, p->slice), now) < r->sleeps_until)
                pthread_cond_signal(&r->wake);
        pthread_mutex_unlock(&r->lock);
}

bool reader_remove(Reader *r, Probe *p)
{
        assert(r);
        assert(p && !p->leaving);

        pthread_mutex_lock(&r->lock);
        r->figures.tasks--;
        p->leaving = true;
        list_remove(&p->outbox_link);
        list_remove(&p->inbox_link);
        bool known = p->known;
        if (known) {
                list_append(&r->inbox, &p->inbox_link);
                if (r->sleeps_until > usec_add(clock_boottime(r->clock), r->cadence.tick_usec))
                        pthread_cond_signal(&r->wake);
        }
        pthread_mutex_unlock(&r->lock);
        return !known;
}

void reader_set_live(Reader *r, bool live)
{
        assert(r);

        pthread_mutex_lock(&r->lock);
        r->live_wanted = live;
        pthread_cond_signal(&r->wake);
        pthread_mutex_unlock(&r->lock);
}

void reader_set_network_map(Reader *r, int map_fd, uint32_t map_id)
{
        assert(r);

        pthread_mutex_lock(&r->lock);
        fd_close(r->new_map_fd);
        r->new_map_fd = map_fd;
        r->new_map_id = map_id;
        r->has_new_map = true;
        pthread_mutex_unlock(&r->lock);
}

size_t reader_take(Reader *r, Probe **probes, SamplerReading *readings, unsigned *readings_for, size_t max)
{
        size_t n = 0;

        assert(r);

        pthread_mutex_lock(&r->lock);
        while (n < max) {
                ListLink *link = list_pop(&r->outbox);
                if (!link)
                        break;
                Probe *p = container_of(link, Probe, outbox_link);
                probes[n] = p;
                readings[n] = p->latest;
                readings_for[n] = p->latest_for;
                p->latest_for = 0;
                n++;
        }
        pthread_mutex_unlock(&r->lock);
        return n;
}

Probe *reader_take_returned(Reader *r)
{
        assert(r);

        pthread_mutex_lock(&r->lock);
        ListLink *link = list_pop(&r->returned);
        pthread_mutex_unlock(&r->lock);
        return link ? container_of(link, Probe, outbox_link) : NULL;
}

Probe *probe_free(Reader *r, Probe *p)
{
        if (!p)
                return NULL;
        if (p->has_leaf)
                leaf_done(&p->leaf, &r->leaves);
        free(p->key);
        free(p->procfs);
        free(p->held);
        free(p);
        return NULL;
}
