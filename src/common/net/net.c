/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The programs live on the cgroup to which they are attached, and the map lives on the programs: they are the instance's for
 * exactly as long as the root of its tasks exists. So nothing needs to be pinned in a BPF file system, which a
 * container may lack and an administrator may empty, and nothing is left when the cgroup goes. Who comes anew asks the
 * cgroup for its programs, those for their maps, and opens the one by its id.
 *
 * A program is known by its name and its map by name, type and size; whoever can attach a program under that name to
 * this cgroup is root.
 *
 * Whether a missing entry is a 0 is decided by `missed`: the program could make no entry for a cgroup only if it
 * counted a missed packet. An entry remembers how many had been missed when it was made, so if that is what had been
 * missed when the task began, every packet of the task is in it. */

#include "common/net/net.h"

#include <errno.h>
#include <linux/bpf.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "basic/fd.h"
#include "basic/strings.h"

#define PROGRAMS_MAX 64 /* that a cgroup can have of a kind */
#define MAPS_MAX     8  /* of a program of ours */

/* An initializer need not clear the bytes of a union beyond the member that it names (clang's does not), and the kernel
 * refuses an attribute in which others than those that it knows are set. */
static void attr_clear(union bpf_attr *attr)
{
        memset(attr, 0, sizeof(*attr));
}

static int sys_bpf(enum bpf_cmd command, union bpf_attr *attr)
{
        long r = syscall(SYS_bpf, command, attr, sizeof(*attr));

        return r < 0 ? -errno : (int)r;
}

/* ---- entries ---- */

static int lookup(int map_fd, uint64_t id, NetCount *ret)
{
        union bpf_attr attr;

        attr_clear(&attr);
        attr.map_fd = (uint32_t)map_fd;
        attr.key = (uintptr_t)&id;
        attr.value = (uintptr_t)ret;
        return sys_bpf(BPF_MAP_LOOKUP_ELEM, &attr);
}

int net_missed(int map_fd, uint64_t *ret)
{
        NetCount c;

        assert(ret);

        int r = lookup(map_fd, 0, &c);
        if (r >= 0)
                *ret = c.missed;
        return r;
}

int net_read(int map_fd, const NetRef *ref, NetCount *ret)
{
        assert(ref);
        assert(ret);

        int r = lookup(map_fd, ref->cgroup_id, ret);
        if (r == -ENOENT) {
                uint64_t missed = 0;

                r = net_missed(map_fd, &missed);
                *ret = (NetCount){ .missed = missed };
        }
        if (r < 0)
                return r;
        return net_is_whole(ret, ref) ? 0 : -ENODATA;
}

int net_remove(int map_fd, uint64_t cgroup_id)
{
        union bpf_attr attr;

        attr_clear(&attr);
        attr.map_fd = (uint32_t)map_fd;
        attr.key = (uintptr_t)&cgroup_id;
        int r = sys_bpf(BPF_MAP_DELETE_ELEM, &attr);
        return r == -ENOENT ? 0 : r;
}

int net_each(int map_fd, NetBatch *room, void (*f)(uint64_t cgroup_id, const NetCount *c, void *userdata),
             void *userdata)
{
        uint32_t position = 0;
        bool begun = false;
        int r = 0;

        assert(room);
        assert(f);

        while (r >= 0) {
                union bpf_attr attr;

                attr_clear(&attr);
                attr.batch.in_batch = begun ? (uintptr_t)&position : 0;
                attr.batch.out_batch = (uintptr_t)&position;
                attr.batch.keys = (uintptr_t)room->ids;
                attr.batch.values = (uintptr_t)room->counts;
                attr.batch.count = NET_BATCH;
                attr.batch.map_fd = (uint32_t)map_fd;
                r = sys_bpf(BPF_MAP_LOOKUP_BATCH, &attr);
                if (r < 0 && r != -ENOENT)
                        return r;
                for (uint32_t i = 0; i < attr.batch.count; i++)
                        if (room->ids[i] != 0)
                                f(room->ids[i], room->counts + i, userdata);
                begun = true;
        }
        return 0;
}

/* ---- programs and map ---- */

/* What the kernel fills it also reads. */
static int info_by_fd(int fd, void *ret, uint32_t size)
{
        union bpf_attr attr;

        attr_clear(&attr);
        attr.info.bpf_fd = (uint32_t)fd;
        attr.info.info_len = size;
        attr.info.info = (uintptr_t)ret;
        return sys_bpf(BPF_OBJ_GET_INFO_BY_FD, &attr);
}

static int map_by_id(uint32_t id, uint32_t flags)
{
        union bpf_attr attr;

        attr_clear(&attr);
        attr.map_id = id;
        attr.open_flags = flags;
        return sys_bpf(BPF_MAP_GET_FD_BY_ID, &attr);
}

static int program_by_id(uint32_t id)
{
        union bpf_attr attr;

        attr_clear(&attr);
        attr.prog_id = id;
        return sys_bpf(BPF_PROG_GET_FD_BY_ID, &attr);
}

static bool is_our_map(const struct bpf_map_info *m)
{
        return m->type == BPF_MAP_TYPE_HASH && m->key_size == sizeof(uint64_t) &&
               m->value_size == sizeof(NetCount) && streq(m->name, NET_MAP_NAME);
}

/* The map of a program, if it is one of ours: 1 and *ret, *ret_id. */
static int map_of(int program_fd, int *ret, uint32_t *ret_id)
{
        uint32_t ids[MAPS_MAX] = { 0 };
        struct bpf_prog_info program = { .nr_map_ids = MAPS_MAX, .map_ids = (uintptr_t)ids };

        int r = info_by_fd(program_fd, &program, sizeof(program));
        if (r < 0)
                return r;
        for (uint32_t i = 0; i < MIN(program.nr_map_ids, (uint32_t)MAPS_MAX); i++) {
                struct bpf_map_info map = { 0 };
                _cleanup_fd_ int fd = map_by_id(ids[i], 0);

                if (fd < 0 || info_by_fd(fd, &map, sizeof(map)) < 0 || !is_our_map(&map))
                        continue;
                *ret_id = ids[i];
                *ret = TAKE_FD(fd);
                return 1;
        }
        return 0;
}

/* The program of this name among those that are attached to the cgroup itself: 1 and *ret. */
static int find_program(int cgroup_fd, enum bpf_attach_type type, const char *name, int *ret)
{
        uint32_t ids[PROGRAMS_MAX] = { 0 };
        union bpf_attr attr;

        attr_clear(&attr);
        attr.query.target_fd = (uint32_t)cgroup_fd;
        attr.query.attach_type = type;
        attr.query.prog_ids = (uintptr_t)ids;
        attr.query.prog_cnt = PROGRAMS_MAX;
        int r = sys_bpf(BPF_PROG_QUERY, &attr);
        if (r < 0)
                return r;
        uint32_t n = attr.query.prog_cnt;
        for (uint32_t i = 0; i < n; i++) {
                struct bpf_prog_info info = { 0 };
                _cleanup_fd_ int fd = program_by_id(ids[i]);

                if (fd < 0 || info_by_fd(fd, &info, sizeof(info)) < 0 || !streq(info.name, name))
                        continue;
                *ret = TAKE_FD(fd);
                return 1;
        }
        return 0;
}

int net_find_attached(int cgroup_fd, NetAttached *ret)
{
        _cleanup_fd_ int other_fd = -EBADF;
        uint32_t other_id;

        assert(ret);

        *ret = (NetAttached){ .ingress_fd = -EBADF, .egress_fd = -EBADF, .map_fd = -EBADF };
        int r = find_program(cgroup_fd, BPF_CGROUP_INET_INGRESS, NET_PROGRAM_INGRESS, &ret->ingress_fd);
        if (r >= 0)
                r = find_program(cgroup_fd, BPF_CGROUP_INET_EGRESS, NET_PROGRAM_EGRESS, &ret->egress_fd);
        if (r < 0 || ret->ingress_fd < 0 || ret->egress_fd < 0)
                return MIN(r, 0);
        r = map_of(ret->ingress_fd, &ret->map_fd, &ret->map_id);
        if (r > 0)
                r = map_of(ret->egress_fd, &other_fd, &other_id);
        if (r > 0 && other_id == ret->map_id)
                return 1;
        ret->map_fd = fd_close(ret->map_fd);
        ret->map_id = 0;
        return MIN(r, 0);
}

void net_attached_done(NetAttached *a)
{
        assert(a);

        a->ingress_fd = fd_close(a->ingress_fd);
        a->egress_fd = fd_close(a->egress_fd);
        a->map_fd = fd_close(a->map_fd);
}

int net_open_read_only(uint32_t map_id)
{
        return map_by_id(map_id, BPF_F_RDONLY);
}

/* ---- text ---- */

static char *put_line(char *p, const char *key, uint64_t value)
{
        char digits[20];
        size_t n = sizeof(digits);

        do
                digits[--n] = (char)('0' + value % 10);
        while ((value /= 10) > 0);
        p = stpcpy(p, key);
        *p++ = ' ';
        p = mempcpy(p, digits + n, sizeof(digits) - n);
        *p++ = '\n';
        return p;
}

/* snprintf() is not async-signal-safe. */
size_t net_format(const NetCount *c, char ret[NET_TEXT_SIZE])
{
        char *p = ret;

        assert(c);
        assert(ret);

        p = put_line(p, "rx_bytes", c->rx_bytes);
        p = put_line(p, "tx_bytes", c->tx_bytes);
        p = put_line(p, "rx_packets", c->rx_packets);
        p = put_line(p, "tx_packets", c->tx_packets);
        p = put_line(p, "loopback_rx_bytes", c->loopback_rx_bytes);
        p = put_line(p, "loopback_tx_bytes", c->loopback_tx_bytes);
        *p = '\0';
        return (size_t)(p - ret);
}
