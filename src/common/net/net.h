/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Reading the kernel's network counters of tasks, by bpf(2) itself: no library, nothing allocated. Everything but
 * net_each() is async-signal-safe: keepers use it. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "basic/macro.h"
#include "common/net/net-map.h"

typedef struct net_count NetCount;

/* What tells a task's traffic in a map, and whether all of it. Null (map_id 0): it is not counted. */
typedef struct NetRef {
        uint32_t map_id; /* kernel's id of the map that saw the task begin; ids are not reused within a boot */
        uint64_t cgroup_id; /* inode number of the task's cgroup */
        uint64_t missed;    /* NetCount.missed of key 0 when the task began */
} NetRef;

/* The counters of a cgroup; all 0 if it had no traffic. -ENODATA: packets were missed, the numbers are not known. Other
 * negative errno: bpf(2) failed. */
int net_read(int map_fd, const NetRef *ref, NetCount *ret);

/* Packets missed so far (NetCount.missed of key 0). */
int net_missed(int map_fd, uint64_t *ret);

/* Takes an entry out; 0 also if there is none. */
int net_remove(int map_fd, uint64_t cgroup_id);

/* Calls `f` for each entry with a cgroup, NET_BATCH of them with one system call. Entries that are added or removed
 * meanwhile are met or not. Needs a descriptor for reading only. The caller provides the room. 0 or negative errno. */
#define NET_BATCH 512
typedef struct NetBatch {
        uint64_t ids[NET_BATCH];
        NetCount counts[NET_BATCH];
} NetBatch;
int net_each(int map_fd, NetBatch *room, void (*f)(uint64_t cgroup_id, const NetCount *c, void *userdata),
             void *userdata);

/* Is an entry with these counters whole, for a task with this reference? */
static inline bool net_is_whole(const NetCount *c, const NetRef *ref)
{
        return c->missed == ref->missed;
}

/* The programs that are attached to a cgroup directory, and their map. */
typedef struct NetAttached {
        int ingress_fd, egress_fd, map_fd; /* owned; -EBADF: there is none */
        uint32_t map_id;
} NetAttached;

/* 1: both are there and share a map of the right layout; 0: not so (what there is of programs is in *ret, map_fd is
 * -EBADF); negative errno of bpf(2). Close with net_attached_done() in any case. */
int net_find_attached(int cgroup_fd, NetAttached *ret);
void net_attached_done(NetAttached *a);

/* A descriptor of a map that cannot change it, for others. */
int net_open_read_only(uint32_t map_id);

/* As a counter file, in the form of cpu.stat ("rx_bytes 1\n..."). Returns the length, less than NET_TEXT_SIZE. */
#define NET_FILE_NAME "net.stat"
#define NET_TEXT_SIZE 256
size_t net_format(const NetCount *c, char ret[NET_TEXT_SIZE]);
