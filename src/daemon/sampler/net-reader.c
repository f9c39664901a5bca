/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* One system call reads some hundred entries, so a tick over ten thousand tasks costs some twenty calls instead of ten
 * thousand. What comes is put into the probes by the id of the cgroup; a probe that the last round did not meet had no
 * traffic, unless the program has missed packets since its task began (see common/net/net.c).
 *
 * Nothing is allocated: probes are linked into a fixed number of buckets, and the room of a batch is part of the struct. */

#include "daemon/sampler/net-reader.h"

#include "basic/fd.h"

void net_reader_init(NetReader *n)
{
        assert(n);

        n->map_fd = -EBADF;
        for (size_t i = 0; i < NET_READER_BUCKETS; i++)
                list_init(n->probes + i);
}

void net_reader_done(NetReader *n)
{
        assert(n);

        n->map_fd = fd_close(n->map_fd);
}

void net_reader_set_map(NetReader *n, int map_fd, uint32_t map_id)
{
        assert(n);

        fd_close(n->map_fd);
        n->map_fd = map_fd;
        n->map_id = map_id;
        n->read_at = 0;
}

/* Ids are numbers in a row. */
static ListLink *bucket_of(NetReader *n, uint64_t cgroup_id)
{
        return n->probes + cgroup_id % NET_READER_BUCKETS;
}

void net_reader_add(NetReader *n, NetProbe *p)
{
        assert(n);
        assert(p);

        if (p->ref.map_id == 0)
                return;
        p->added = n->round;
        list_append(bucket_of(n, p->ref.cgroup_id), &p->link);
        n->n_probes++;
}

void net_reader_remove(NetReader *n, NetProbe *p)
{
        assert(n);
        assert(p);

        if (!list_is_linked(&p->link))
                return;
        list_remove(&p->link);
        n->n_probes--;
}

static void on_entry(uint64_t cgroup_id, const NetCount *c, void *userdata)
{
        NetReader *n = ASSERT_PTR(userdata);

        LIST_FOREACH(bucket_of(n, cgroup_id), link) {
                NetProbe *p = container_of(link, NetProbe, link);
                if (p->ref.cgroup_id != cgroup_id)
                        continue;
                p->met = n->round;
                p->count = *c;
        }
}

void net_reader_refresh(NetReader *n, usec_t now, usec_t not_before)
{
        assert(n);

        if (n->map_fd < 0 || n->n_probes == 0 || n->read_at > not_before)
                return;
        n->round++;
        n->read_at = now;
        /* The entries first: what is missed while they are read makes those unknown that have none. */
        n->is_known = net_each(n->map_fd, &n->batch, on_entry, n) >= 0 &&
                      net_missed(n->map_fd, &n->missed) >= 0;
}

void net_reader_get(NetReader *n, const NetProbe *p, Usage *u)
{
        NetCount c = { .missed = n->missed };
        bool known = n->is_known;

        assert(n);
        assert(p);
        assert(u);

        if (n->map_fd < 0 || p->ref.map_id != n->map_id)
                known = false;
        else if (p->added == n->round)
                known = net_read(n->map_fd, &p->ref, &c) >= 0;
        else if (p->met == n->round)
                c = p->count;
        net_to_usage(u, known && net_is_whole(&c, &p->ref) ? &c : NULL, USAGE_KERNEL);
}
