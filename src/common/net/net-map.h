/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* The hash in which the kernel counts the network traffic of tasks: what the BPF program (bpf/net.bpf.c) and
 * those who read it agree on. Key: the id of a task's cgroup, which is the inode number of its directory (u64). Under key 0
 * no cgroup stands; its `missed` is the number of packets that could not be counted because the map had no room
 * for another cgroup.
 *
 * The layout does not change: a map survives launchers, so an upgraded launcher's program counts on in the map of the
 * one before it, and keepers of before read it. What comes later takes from `reserved`. Included by BPF code, too, so
 * it needs the kernel's headers alone. */

#include <linux/types.h>

#define NET_MAP_NAME        "reeve_net"
#define NET_PROGRAM_INGRESS "reeve_net_in"
#define NET_PROGRAM_EGRESS  "reeve_net_out"

/* Cgroups that have traffic at one time. An empty place costs 16 bytes, an entry about 160. */
#define NET_MAP_ENTRIES 32768

/* Bytes are those of network packets with IP headers, as the kernel hands them over: without link layer, of a packet that
 * the card cuts into segments once. `packets` are the segments. Loopback is in no other counter. */
struct net_count {
        __u64 rx_bytes, rx_packets;
        __u64 tx_bytes, tx_packets;
        __u64 loopback_rx_bytes, loopback_tx_bytes;
        __u64 missed; /* key 0: see above; else what key 0 had when this entry was made */
        __u64 reserved;
};
