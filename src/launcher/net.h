/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* The network counters of tasks: the launcher's part. What counts is in bpf/, who reads is common/net/net.h. */

#include "common/net/net-usage.h"
#include "common/record/record.h"
#include "launcher/pool.h"

typedef struct NetCounters {
        int map_fd; /* -EBADF: traffic is not counted, because of `reason` */
        uint32_t map_id;
        const char *wanted; /* "auto" or "off" */
        const Pool *tasks;  /* of backend cgroup */
        char root[256];     /* cgroup below which traffic is counted, relative to the mount */
        char pool[256];     /* the pool's name in it; "" where it is the root */
        unsigned begun;     /* since the last sweep */
        char reason[256];
} NetCounters;

/* Before anything else; both are borrowed for good. */
void net_counters_init(NetCounters *n, const Pool *tasks, const char *wanted);

/* Puts the programs of this version on the root of the tasks, which is the pool, or if that `is_scope` the instance's
 * slice around it; and finds their map. Counts of before go on. To be called whenever the pool was opened, for it may be
 * another one. A host that cannot do it is no failure: then `reason` says why. Records whose counts are lost, because the
 * map had to be made anew, are told so. */
void net_counters_start(NetCounters *n, int records_fd, bool is_scope);

/* From now on the traffic of this attempt is counted: its leaf is made, and nothing runs in it yet. Fills the record's
 * net_* fields, with null if it is not counted. */
void net_counters_begin(NetCounters *n, Record *r);

/* The map in which the traffic of this attempt is, borrowed, or -EBADF. */
int net_counters_map(const NetCounters *n, const Record *r);

/* Adds what was counted to the files of the record, unless it is not known. Async-signal-safe. */
void net_counters_take(int map_fd, Record *r);

/* Takes the entry out, when all that is wanted of it is in the record. Async-signal-safe. */
void net_counters_end(int map_fd, const Record *r);

/* Takes out entries whose cgroups are gone. The sockets of a task may outlive it: what they still send (the end of a TCP
 * connection) makes an entry that nobody ends. */
void net_counters_sweep(NetCounters *n);
