/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* The network counters of all tasks, read from the kernel's map at once, at most once a tick. Only reader.c uses this. */

#include "basic/list.h"
#include "basic/time.h"
#include "common/net/net-usage.h"

#define NET_READER_BUCKETS 1024

/* A task's part. Zeroed: its traffic is not counted. */
typedef struct NetProbe {
        NetRef ref;
        ListLink link;
        uint64_t added, met; /* rounds: of its addition, of the last in which it had an entry */
        NetCount count;      /* of round `met` */
} NetProbe;

typedef struct NetReader {
        int map_fd; /* owned; -EBADF: none */
        uint32_t map_id;
        uint64_t round;
        usec_t read_at; /* boottime of the round */
        bool is_known;  /* it could be read */
        uint64_t missed;
        size_t n_probes;
        ListLink probes[NET_READER_BUCKETS]; /* by cgroup */
        NetBatch batch;
} NetReader;

void net_reader_init(NetReader *n);
void net_reader_done(NetReader *n);

/* Another map from now on; takes the descriptor, which may be -EBADF. */
void net_reader_set_map(NetReader *n, int map_fd, uint32_t map_id);

/* A probe without a reference is passed over. */
void net_reader_add(NetReader *n, NetProbe *p);
void net_reader_remove(NetReader *n, NetProbe *p);

/* Reads the map, if that is of use and was not done since `not_before`. */
void net_reader_refresh(NetReader *n, usec_t now, usec_t not_before);

/* Sets the network fields to what is known of the task: as of the last round, or of this moment if the round was before
 * its addition. Unknown ones are cleared. */
void net_reader_get(NetReader *n, const NetProbe *p, Usage *u);
