/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* reeve-netload [POOL]: puts the network counters on the root of an instance's tasks. The launcher runs it once when it
 * starts; it is a program of its own so that libbpf and what that brings along are in memory for two milliseconds, not
 * as long as the machine is up, and not in the process that decides.
 *
 * It takes the root as descriptor 3 (a cgroup directory) and the name of the pool's directory in it, if the pool is not the
 * root itself. Programs that an earlier one attached are replaced, each in one step, by those of this version, which go on
 * counting in the same map; not a packet is missed. What cannot be gone on with (half of it is missing, another layout)
 * is replaced by an empty map: the launcher sees by its id that it is another one. If the launcher is killed, this goes with
 * it, wherever it stands: each step leaves what the next one can go on with.
 *
 * 0: attached. 1: not, the reason is the one line on standard error. */

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>

#include "basic/fd.h"
#include "common/net/net.h"

#include "net.skel.h"

#define ROOT_FD 3

static int fail(int error, const char *what)
{
        fprintf(stderr, "%s: %s\n", what, strerror(error < 0 ? -error : error));
        return EXIT_FAILURE;
}

/* libbpf has its own word for what is refused; the verifier's log is only for who debugs the program. */
static int on_message(enum libbpf_print_level level, const char *format, va_list ap)
{
        return getenv("REEVE_NETLOAD_DEBUG") ? vfprintf(stderr, format, ap) : 0;
}

static int id_of(const char *name, __u64 *ret)
{
        struct stat st;

        if (fstatat(ROOT_FD, name, &st, AT_EMPTY_PATH | AT_SYMLINK_NOFOLLOW) < 0)
                return -errno;
        *ret = st.st_ino;
        return 0;
}

/* A map without the entry of key 0 counts, but never says that it missed something. */
static int begin_map(int map_fd)
{
        NetCount none = { 0 };
        __u64 key = 0;

        int r = bpf_map_update_elem(map_fd, &key, &none, BPF_NOEXIST);
        return r == -EEXIST ? 0 : r;
}

static int attach(const struct bpf_program *p, int old_fd)
{
        LIBBPF_OPTS(bpf_prog_attach_opts, opts, .flags = BPF_F_ALLOW_MULTI);

        if (old_fd >= 0) {
                opts.flags |= BPF_F_REPLACE;
                opts.replace_prog_fd = old_fd;
        }
        return bpf_prog_attach_opts(bpf_program__fd(p), ROOT_FD, bpf_program__expected_attach_type(p),
                                    &opts);
}

static int load(struct net_bpf *skeleton, const NetAttached *before)
{
        int r = before->map_fd >= 0 ? bpf_map__reuse_fd(skeleton->maps.reeve_net, before->map_fd) : 0;

        if (r >= 0)
                r = net_bpf__load(skeleton);
        if (r >= 0)
                r = begin_map(bpf_map__fd(skeleton->maps.reeve_net));
        return r;
}

static int run(struct net_bpf *skeleton, const char *pool)
{
        NetAttached before;

        int r = id_of("", &skeleton->rodata->root_id);
        if (r >= 0 && pool)
                r = id_of(pool, &skeleton->rodata->pool_id);
        if (r < 0)
                return fail(r, "the root of the tasks");

        r = net_find_attached(ROOT_FD, &before);
        if (r < 0)
                r = fail(r, "cannot ask the cgroup for its BPF programs");
        else if ((r = load(skeleton, &before)) < 0)
                r = fail(r, "the kernel refuses to load the BPF program");
        else if ((r = attach(skeleton->progs.reeve_net_in, before.ingress_fd)) < 0 ||
                 (r = attach(skeleton->progs.reeve_net_out, before.egress_fd)) < 0)
                r = fail(r, "the kernel refuses to attach the BPF program");
        net_attached_done(&before);
        return r;
}

int main(int argc, char **argv)
{
        /* Of two at once the later would not find what it wants to replace. */
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        libbpf_set_print(on_message);

        struct net_bpf *skeleton = net_bpf__open();
        if (!skeleton)
                return fail(errno, "cannot open the BPF program");
        int r = run(skeleton, argc > 1 ? argv[1] : NULL);
        net_bpf__destroy(skeleton);
        return r;
}
