/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Reads the counters of running tasks, on a thread of its own, and says when a snapshot is due to be stored.
 *
 * Each task is visited on a grid of ticks (its own phase within the tick, so that thousands do not burst):
 *
 *  - for a snapshot: at the first point of the grid after its start, then every clamp(elapsed / 100, min,
 *    max), rounded to ticks. Ten seconds cost ten rows, a day less than a thousand.
 *  - while somebody watches (sampler_set_live): at every tick, for live values that nobody stores.
 *  - at an interval of its own, if its owner wants to look at it (SamplerTask.look_usec): not stored either.
 *
 * Otherwise a task is not read at all. A visit reads the fast files (cpu.stat, memory.current) and, if the
 * others are older than the task was when they were read, or older than ten ticks or 10 s, these too. A
 * reading always has every field that is known: the fast ones fresh, the slow ones at most so old, and all
 * fresh when visits are that far apart anyway. Network counters are at most a tick old: the map that has those of
 * all tasks is read once. `memory_anon_peak_bytes` is the highest seen in the slow
 * readings of this sampler.
 *
 * What the host's cgroups lack is filled from procfs, which only the launcher may read:
 * `on_fallback_wanted` names the tasks, the owner asks the launcher and answers each with
 * sampler_fallback(). A due snapshot waits for that answer, until the task's next reading at the latest;
 * live values are filled with the last answer.
 *
 * All functions are for the loop thread, on which the callbacks run too, from the event loop. Callbacks
 * may call any function here but sampler_free(). */

#include <stdbool.h>
#include <stddef.h>
#include <systemd/sd-event.h>

#include "common/clock.h"
#include "common/net/net.h"
#include "common/usage/usage.h"

typedef struct Sampler Sampler;

/* Whom a callback is about. Borrowed for the call. */
typedef struct SamplerTarget {
        const char *key;
        unsigned attempt;
        void *userdata; /* of sampler_add() */
} SamplerTarget;

typedef struct SamplerReading {
        SamplerTarget target;
        usec_t taken_realtime_usec;
        usec_t elapsed_usec; /* since the attempt's start, CLOCK_BOOTTIME */
        Usage usage;
} SamplerReading;

typedef struct SamplerCallbacks {
        /* A snapshot is due: store this reading. Required. */
        void (*on_snapshot)(const SamplerReading *reading, void *userdata);
        /* Live values, at most SAMPLER_BATCH_MAX at a time; every task is in one batch each tick, batches
         * come up to SAMPLER_SLICES times in a tick. May be NULL. */
        void (*on_live)(const SamplerReading *readings, size_t n, void *userdata);
        /* A look at a task is due, and all its files were read. May be NULL. */
        void (*on_look)(const SamplerReading *reading, void *userdata);
        /* These tasks lack fields that procfs has; at most SAMPLER_BATCH_MAX. NULL: no fall-back on this
         * host. */
        void (*on_fallback_wanted)(const SamplerTarget *targets, size_t n, void *userdata);
        void *userdata;
} SamplerCallbacks;

#define SAMPLER_BATCH_MAX 64
#define SAMPLER_SLICES    50

typedef struct SamplerConfig {
        sd_event *event;    /* NULL: no thread; the owner calls sampler_run() (tests, measurements) */
        int cgroup_fd;      /* the cgroup2 mount, duplicated; -EBADF: none, every field comes by fall-back */
        const Clock *clock; /* NULL: the system's; it is read on the sampler's thread */
        usec_t tick_usec;   /* 0: SAMPLER_TICK_USEC */
        usec_t min_usec;    /* shortest and longest time between snapshots; 0: the defaults */
        usec_t max_usec;
        unsigned max_fds; /* kept open, up to three for each task; tasks beyond it open for each read */
} SamplerConfig;

#define SAMPLER_TICK_USEC USEC_PER_SEC
#define SAMPLER_MIN_USEC  USEC_PER_SEC
#define SAMPLER_MAX_USEC  (300 * USEC_PER_SEC)
/* An open cgroup file that was read costs the kernel a page: this is 8 MB at the most. */
#define SAMPLER_FDS_DEFAULT 3072

/* Starts the thread. The config is copied; event and callbacks' userdata must outlive the sampler. 0,
 * -EINVAL (min above max, no on_snapshot), or the negative errno of what could not be created. */
int sampler_new(const SamplerConfig *config, const SamplerCallbacks *callbacks, Sampler **ret);

/* Stops the thread and waits for it; no callback runs any more. Accepts NULL, returns NULL. */
Sampler *sampler_free(Sampler *s);
DEFINE_CLEANUP_FUNC(Sampler *, sampler_free)

/* An attempt to be sampled. */
typedef struct SamplerTask {
        const char *key;
        unsigned attempt;
        const char *leaf; /* path of its cgroup relative to the mount; NULL or "": all by fall-back */
        NetRef net;       /* of its network counters; null: not counted */
        usec_t started_boottime_usec; /* may lie in the past (recovery) */
        usec_t min_usec, max_usec;    /* between its snapshots; 0: those of the config */
        usec_t look_usec;             /* between looks, at least a tick; 0: none */
        void *userdata;
} SamplerTask;

/* Begins to sample. Strings are copied. -EEXIST if the key is being sampled, -ENOMEM. */
int sampler_add(Sampler *s, const SamplerTask *task);

/* Ends it: no callback about the key comes after this returns. Unknown keys are ignored. A leaf that is
 * gone ends its own sampling in silence; its key is removed like any other. */
void sampler_remove(Sampler *s, const char *key);

/* Whether somebody watches: live values of every task, once a tick. */
void sampler_set_live(Sampler *s, bool live);

/* Where the network counters are: takes the descriptor of the map, -EBADF if there is none (any more). */
void sampler_set_network_map(Sampler *s, int map_fd, uint32_t map_id);

/* The answer to on_fallback_wanted: fields with their sources (normally USAGE_PROCFS), or NULL if there is
 * none. It is merged by usage_fill(), and a snapshot that waited for it is delivered from within this
 * call. Unknown keys are ignored. */
void sampler_fallback(Sampler *s, const char *key, const Usage *procfs);

typedef struct SamplerFigures {
        size_t tasks;      /* being sampled */
        unsigned open_fds; /* kept */
        uint64_t readings; /* visits that read a leaf */
        uint64_t slow;     /* those of them that read all files */
} SamplerFigures;

void sampler_figures(Sampler *s, SamplerFigures *ret);

/* Without a thread: does what the thread would do now, by the clock, and runs the callbacks. Returns the
 * boottime of the next visit, USEC_INFINITY if there is none. */
usec_t sampler_run(Sampler *s);
