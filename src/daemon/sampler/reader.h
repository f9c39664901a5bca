/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* The reading side of the sampler: the thread, its schedule, and the two queues between it and the loop
 * thread. Only sampler.c uses this. */

#include <pthread.h>
#include <stdbool.h>

#include "basic/list.h"
#include "common/clock.h"
#include "daemon/sampler/cadence.h"
#include "daemon/sampler/leaf.h"
#include "daemon/sampler/net-reader.h"
#include "daemon/sampler/sampler.h"

/* What a reading is for, ORed. */
#define PROBE_SNAPSHOT (1U << 0)
#define PROBE_LIVE     (1U << 1)
#define PROBE_LOOK     (1U << 2)

/* One task. Made by the loop thread, given to the reader by reader_add(), and given back by
 * reader_remove() or, if the reader still uses it, later by reader_take_returned(). Who touches what: */
typedef struct Probe {
        /* constant */
        char *key;
        unsigned attempt;
        void *userdata;
        usec_t started_boottime_usec;
        usec_t min_usec, max_usec; /* between snapshots; 0: those of the reader */
        usec_t look_usec;          /* 0: none */

        /* the loop thread alone */
        Usage *procfs;        /* last answer of the fall-back, or NULL */
        SamplerReading *held; /* a snapshot that waits for the answer, or NULL */
        bool removed;

        /* either, under the reader's lock */
        ListLink inbox_link;  /* something to tell the reader */
        ListLink outbox_link; /* `latest` was not taken yet, or the probe is being returned */
        bool known;           /* the reader has it */
        bool leaving;
        unsigned latest_for; /* PROBE_*, of all readings since the last that was taken */
        SamplerReading latest;

        /* the reader alone, once it is known */
        ListLink slice_link;
        unsigned slice;
        bool has_leaf;
        Leaf leaf;
        NetProbe net;
        usec_t snapshot_at, visit_at, slow_at, look_at; /* boottime */
        Usage usage;
} Probe;

typedef struct ReaderSlice {
        ListLink probes;
        usec_t visit_at; /* not later than the earliest of its probes */
} ReaderSlice;

typedef struct Reader {
        /* constant */
        Cadence cadence;
        const Clock *clock;
        int event_fd; /* owned; readable: the outbox or the returned list is not empty */
        bool threaded;
        pthread_t thread;

        pthread_mutex_t lock;
        pthread_cond_t wake;

        /* under the lock */
        ListLink inbox, outbox, returned;
        bool stop, live_wanted;
        bool has_new_map; /* and this is it; owned until the reader takes it */
        int new_map_fd;
        uint32_t new_map_id;
        usec_t sleeps_until; /* boottime */
        unsigned next_slice;
        SamplerFigures figures;

        /* the reader alone */
        bool live;
        ReaderSlice slices[SAMPLER_SLICES];
        LeafReader leaves;
        NetReader net;
} Reader;

/* All fields of `config` are resolved (no zeroes). cgroup_fd is borrowed. 0 or a negative errno. */
int reader_init(Reader *r, const SamplerConfig *config);

/* Stops the thread. What had been removed comes by reader_take_returned() now. */
void reader_stop(Reader *r);

/* After reader_stop(), when no probe is left. */
void reader_done(Reader *r);

void reader_add(Reader *r, Probe *p);

/* true: the probe is the caller's again. false: it will come by reader_take_returned(). In both cases it
 * is in no outbox any more. */
bool reader_remove(Reader *r, Probe *p);

void reader_set_live(Reader *r, bool live);

/* Takes the descriptor. */
void reader_set_network_map(Reader *r, int map_fd, uint32_t map_id);

/* Takes up to `max` readings. */
size_t reader_take(Reader *r, Probe **probes, SamplerReading *readings, unsigned *readings_for, size_t max);

/* A probe that the reader has let go, or NULL. */
Probe *reader_take_returned(Reader *r);

/* Clears the event. To be called before anything is taken. */
void reader_clear_event(Reader *r);

/* One round of the thread's work; without a thread, on the caller's. Returns the boottime of the next
 * visit. */
usec_t reader_round(Reader *r);

/* Closes the leaf and frees the probe; for probes that are the caller's. */
Probe *probe_free(Reader *r, Probe *p);
