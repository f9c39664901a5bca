/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Counts the network traffic of each task. Two programs, attached once to the directory under which all tasks of an
 * instance are; the kernel runs them for each packet of each socket whose creator was in a cgroup below it.
 *
 * Which task a packet belongs to: the one in whose cgroup, at its fixed depth below the root, the socket was made, however deep
 * below that the task made cgroups of its own. Without systemd the root is the pool, with it a slice:
 *
 *     <root = pool>/tasks/<uid>/<task>                      three below the root
 *     <root = slice>/<pool>/tasks/<uid>/<task>              four
 *     <root = slice>/<subsystem's slice>/<scope>/task       three
 *
 * The kernel counts levels from the top of the whole tree, which a launcher in a container does not see. So the first packet
 * looks for the root among the ancestors, and the level is kept.
 *
 * An entry is made by the first packet. If there is no room for it, the packet is missed and counted as such under key 0:
 * then those who read know which numbers they do not know. An entry takes what had been missed from there *after* it was
 * made: from then on none of its packets is missed, so the number says all.
 *
 * Nothing here uses a type of the running kernel, so no BTF of it is needed. */

#include <linux/bpf.h>
#include <stdbool.h>

#include <bpf/bpf_helpers.h>

#include "common/net/net-map.h"

#define LEVEL_MAX        32
#define LOOPBACK_IFINDEX 1 /* in every network namespace */

/* Set by the loader. pool_id is 0 where the pool is the root. */
const volatile __u64 root_id = 0;
const volatile __u64 pool_id = 0;

static __u32 root_level; /* 0: not found yet */

struct {
        __uint(type, BPF_MAP_TYPE_HASH);
        __uint(max_entries, NET_MAP_ENTRIES);
        __uint(map_flags, BPF_F_NO_PREALLOC);
        __type(key, __u64);
        __type(value, struct net_count);
} reeve_net SEC(".maps");

char LICENSE[] SEC("license") = "LGPL-2.1-or-later";

static __u32 find_root(struct __sk_buff *skb)
{
        for (__u32 level = 1; level < LEVEL_MAX; level++)
                if (bpf_skb_ancestor_cgroup_id(skb, (int)level) == root_id)
                        return level;
        return 0;
}

/* 0: no task's */
static __always_inline __u64 task_id(struct __sk_buff *skb)
{
        __u32 level = root_level;

        if (level == 0) {
                level = find_root(skb);
                if (level == 0)
                        return 0;
                root_level = level;
        }
        if (pool_id != 0 && bpf_skb_ancestor_cgroup_id(skb, (int)level + 1) == pool_id)
                level++;
        return bpf_skb_ancestor_cgroup_id(skb, (int)level + 3);
}

static __noinline int begin(__u64 id)
{
        struct net_count fresh = { 0 }, *entry, *missed;
        __u64 none = 0;

        long r = bpf_map_update_elem(&reeve_net, &id, &fresh, BPF_NOEXIST);
        entry = bpf_map_lookup_elem(&reeve_net, &id);
        missed = bpf_map_lookup_elem(&reeve_net, &none);
        if (!missed)
                return 0;
        if (!entry)
                __sync_fetch_and_add(&missed->missed, 1);
        else if (r == 0)
                entry->missed = missed->missed;
        return 0;
}

static __always_inline struct net_count *entry_of(__u64 id)
{
        struct net_count *c = bpf_map_lookup_elem(&reeve_net, &id);

        if (c)
                return c;
        begin(id);
        return bpf_map_lookup_elem(&reeve_net, &id);
}

static __always_inline __u64 segments(const struct __sk_buff *skb)
{
        return skb->gso_segs > 0 ? skb->gso_segs : 1;
}

/* 1: a program that counts lets every packet pass. */
SEC("cgroup_skb/ingress")
int reeve_net_in(struct __sk_buff *skb)
{
        __u64 id = task_id(skb);
        struct net_count *c = id != 0 ? entry_of(id) : NULL;

        if (c && skb->ifindex == LOOPBACK_IFINDEX)
                __sync_fetch_and_add(&c->loopback_rx_bytes, skb->len);
        else if (c) {
                __sync_fetch_and_add(&c->rx_bytes, skb->len);
                __sync_fetch_and_add(&c->rx_packets, segments(skb));
        }
        return 1;
}

SEC("cgroup_skb/egress")
int reeve_net_out(struct __sk_buff *skb)
{
        __u64 id = task_id(skb);
        struct net_count *c = id != 0 ? entry_of(id) : NULL;

        if (c && skb->ifindex == LOOPBACK_IFINDEX)
                __sync_fetch_and_add(&c->loopback_tx_bytes, skb->len);
        else if (c) {
                __sync_fetch_and_add(&c->tx_bytes, skb->len);
                __sync_fetch_and_add(&c->tx_packets, segments(skb));
        }
        return 1;
}
