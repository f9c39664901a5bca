/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* A desk is memory that the launcher shares with one keeper, mapped before the fork and so at one address in both, and a
 * pair of sockets:
 *
 *     launcher: lays the task on the desk, sends its descriptors    idle -> busy
 *     keeper:   takes them, does what a forked one does, says so    busy -> idle
 *     either closes its socket                                      the keeper goes: now, or when its task has ended
 *
 * There is still one keeper for each task, with memory and descriptors of its own, and it needs nobody: if the launcher is
 * gone, or has given the desk to another, it cannot say that it is done, and ends like any other. Nobody but root ever
 * reads or writes a desk, and the launcher never reads it. A keeper that was told to stop, or that has children left,
 * takes no other task. One that nothing came for first closes its ear, then looks once more: so either the launcher was
 * told that its message cannot be delivered, and looks for another, or the task is done.
 *
 * What is on the desk are copies: of the structures that a fork would have copied, and of the strings that they point
 * to. Descriptors are their places in the message. A task that does not fit gets a keeper that is forked for it. */

#include "launcher/desk.h"

#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include "basic/fd.h"
#include "launcher/launcher.h"

#define FDS_MAX 12

struct Desk {
        Keeper keeper;
        Child child;
        Spec spec;
        size_t used;
        _Alignas(16) char rest[];
};

typedef union FdMessage {
        struct cmsghdr header;
        char space[CMSG_SPACE(FDS_MAX * sizeof(int))];
} FdMessage;

/* ---- the task ---- */

static size_t list_fds(Keeper *k, Child *c, int *ret[static FDS_MAX])
{
        int *all[] = {
                &k->record_fd, &k->mount_fd,   &k->leaf_fd,  &k->output_fd, &k->proc_fd,  &k->net_fd,
                &c->report_fd, &c->program_fd, &c->stdio[0], &c->stdio[1],  &c->stdio[2], &c->proc_fd,
        };

        static_assert(ELEMENTSOF(all) <= FDS_MAX, "all fit into one message");
        memcpy(ret, all, sizeof(all));
        return ELEMENTSOF(all);
}

/* NULL: it does not fit, which `whole` remembers. */
static void *lay(Desk *d, const void *data, size_t size, bool *whole)
{
        size_t aligned = (size + 7) & ~(size_t)7;

        if (aligned > DESK_SIZE - sizeof(Desk) - d->used) {
                *whole = false;
                return NULL;
        }
        void *p = d->rest + d->used;
        if (data)
                memcpy(p, data, size);
        d->used += aligned;
        return p;
}

static const char *lay_string(Desk *d, const char *s, bool *whole)
{
        return lay(d, s, strlen(s) + 1, whole);
}

static char *const *lay_strings(Desk *d, char *const *list, bool *whole)
{
        size_t n = 0;

        while (list[n])
                n++;
        char **copy = lay(d, NULL, (n + 1) * sizeof(*copy), whole);
        for (size_t i = 0; *whole && i < n; i++)
                copy[i] = (char *)lay_string(d, list[i], whole);
        if (*whole)
                copy[n] = NULL;
        return copy;
}

/* What a child reads of its specification, and nothing else. */
static void lay_spec(Desk *d, const Spec *s, bool *whole)
{
        d->spec = (Spec){
                .task_id = s->task_id ? lay_string(d, s->task_id, whole) : NULL,
                .uid = s->uid,
                .gid = s->gid,
                .cwd = lay_string(d, s->cwd, whole),
                .umask = s->umask,
                .nice = s->nice,
                .tty = s->tty,
        };
        memcpy(d->spec.rlimits, s->rlimits, sizeof(s->rlimits));
        memcpy(d->spec.stdio, s->stdio, sizeof(s->stdio));
}

static bool lay_task(Desk *d, const Launcher *l, const Keeper *k)
{
        const Child *c = k->child;
        bool whole = true;

        d->used = 0;
        d->keeper = *k;
        d->child = *c;
        lay_spec(d, c->spec, &whole);
        d->child.spec = &d->spec;
        d->child.argv = lay_strings(d, c->argv, &whole);
        d->child.env = lay_strings(d, c->env, &whole);
        d->child.search_path = lay_string(d, c->search_path, &whole);
        d->child.groups = lay(d, c->groups, c->n_groups * sizeof(*c->groups), &whole);
        if (c->oom_score_adj == INT_MIN) /* what it would inherit now is the keeper's */
                d->child.oom_score_adj = l->oom_score_adj;
        d->keeper.child = &d->child;
        d->keeper.record = NULL;
        d->keeper.seasoned = true;
        d->keeper.heap = NULL;
        return whole;
}

/* ---- the launcher's side ---- */

static void retire(DeskSlot *s)
{
        s->done = sd_event_source_disable_unref(s->done);
        s->fd = fd_close(s->fd);
        if (s->desk)
                munmap(s->desk, DESK_SIZE);
        s->desk = NULL;
        if (!s->idle) /* from now on it is a keeper like others */
                s->keeper = 0;
}

static int on_done(sd_event_source *source, int fd, uint32_t revents, void *userdata)
{
        DeskSlot *s = ASSERT_PTR(userdata);
        char byte;

        if (recv(fd, &byte, 1, MSG_DONTWAIT) != 1) { /* it is gone, and SIGCHLD says how */
                retire(s);
                return 0;
        }
        s->idle = true;
        watch_done(s->l, s->keeper);
        return 0;
}

/* A free one, or that of the keeper that is longest at its task: it will hardly be back soon. */
static DeskSlot *find_slot(Launcher *l)
{
        DeskSlot *oldest = NULL;

        for (size_t i = 0; i < DESKS; i++) {
                DeskSlot *s = l->desks + i;

                if (s->keeper == 0)
                        return s;
                if (!s->idle && (!oldest || s->hired < oldest->hired))
                        oldest = s;
        }
        if (oldest)
                retire(oldest);
        return oldest;
}

DeskSlot *desk_prepare(Launcher *l, Keeper *k)
{
        int fds[2];

        assert(l);
        assert(k);

        DeskSlot *s = find_slot(l);
        if (!s || socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, fds) < 0)
                return NULL;
        void *p = mmap(NULL, DESK_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
        *s = (DeskSlot){ .l = l, .desk = p == MAP_FAILED ? NULL : p, .fd = fds[0], .hired = ++l->n_hired };
        k->desk_fd = fds[1];
        k->desk = s->desk;
        if (s->desk && sd_event_add_io(l->event, &s->done, s->fd, EPOLLIN, on_done, s) >= 0)
                return s;
        desk_occupy(s, k, -ENOMEM);
        return NULL;
}

void desk_occupy(DeskSlot *s, Keeper *k, pid_t keeper)
{
        assert(s);
        assert(k);

        k->desk_fd = fd_close(k->desk_fd);
        k->desk = NULL;
        s->keeper = MAX(keeper, 0);
        if (keeper < 0 || madvise(s->desk, DESK_SIZE, MADV_DONTFORK) < 0) /* it is one keeper's only */
                retire(s);
}

static bool send_task(DeskSlot *s)
{
        Desk *d = s->desk;
        int *fields[FDS_MAX], sent[FDS_MAX];
        size_t n_fields = list_fds(&d->keeper, &d->child, fields), n = 0;
        FdMessage fds = {};

        for (size_t i = 0; i < n_fields; i++) {
                size_t place = 0;

                if (*fields[i] < 0)
                        continue;
                while (place < n && sent[place] != *fields[i])
                        place++;
                if (place == n)
                        sent[n++] = *fields[i];
                *fields[i] = (int)place;
        }
        struct iovec byte = { (void *)"", 1 };
        struct msghdr m = {
                .msg_iov = &byte,
                .msg_iovlen = 1,
                .msg_control = &fds,
                .msg_controllen = CMSG_SPACE(n * sizeof(int)),
        };
        fds.header = (struct cmsghdr){
                .cmsg_level = SOL_SOCKET,
                .cmsg_type = SCM_RIGHTS,
                .cmsg_len = CMSG_LEN(n * sizeof(int)),
        };
        memcpy(CMSG_DATA(&fds.header), sent, n * sizeof(int));
        return sendmsg(s->fd, &m, MSG_NOSIGNAL | MSG_DONTWAIT) == 1;
}

pid_t desk_hire(Launcher *l, const Keeper *k)
{
        assert(l);
        assert(k);

        for (size_t i = 0; i < DESKS; i++) {
                DeskSlot *s = l->desks + i;

                if (!s->idle || s->fd < 0 || !lay_task(s->desk, l, k))
                        continue;
                if (!send_task(s)) {
                        retire(s);
                        continue;
                }
                s->idle = false;
                s->hired = ++l->n_hired;
                return s->keeper;
        }
        return 0;
}

bool desk_gone(Launcher *l, pid_t keeper)
{
        assert(l);

        for (size_t i = 0; i < DESKS; i++) {
                DeskSlot *s = l->desks + i;

                if (s->keeper != keeper)
                        continue;
                retire(s);
                s->keeper = 0;
                return s->idle;
        }
        return false;
}

/* ---- the keeper's side ---- */

static bool take_fds(Keeper *k, Child *c, struct msghdr *m)
{
        const struct cmsghdr *h = CMSG_FIRSTHDR(m);
        int *fields[FDS_MAX], fds[FDS_MAX];
        size_t n_fields = list_fds(k, c, fields);

        if ((m->msg_flags & (MSG_CTRUNC | MSG_TRUNC)) || !h || h->cmsg_type != SCM_RIGHTS)
                return false;
        memcpy(fds, CMSG_DATA(h), h->cmsg_len - CMSG_LEN(0));
        for (size_t i = 0; i < n_fields; i++)
                if (*fields[i] >= 0)
                        *fields[i] = fds[*fields[i]];
        return true;
}

void desk_wipe(const Keeper *k)
{
        assert(k);

        if (k->desk)
                explicit_bzero(k->desk->rest, k->desk->used);
}

Keeper *desk_next(const Keeper *k)
{
        Desk *d = k->desk;
        int fd = k->desk_fd;
        char byte = 0;
        FdMessage fds;
        struct iovec v = { &byte, 1 };
        struct msghdr m = {
                .msg_iov = &v, .msg_iovlen = 1, .msg_control = &fds, .msg_controllen = sizeof(fds)
        };
        const struct timespec linger = usec_to_timespec(DESK_LINGER_USEC);
        sigset_t mask;

        if (!d || send(fd, &byte, 1, MSG_NOSIGNAL) != 1)
                return NULL;
        sigfillset(&mask);
        sigdelset(&mask, SIGTERM);
        if (ppoll(&(struct pollfd){ .fd = fd, .events = POLLIN }, 1, &linger, &mask) <= 0)
                shutdown(fd, SHUT_RD); /* what was sent before is done, nothing can be sent any more */
        if (recvmsg(fd, &m, MSG_CMSG_CLOEXEC | MSG_DONTWAIT) != 1)
                return NULL;
        if (!take_fds(&d->keeper, &d->child, &m))
                _exit(KEEPER_EXIT_NOTHING_RAN);
        d->keeper.desk = d;
        d->keeper.desk_fd = fd;
        d->keeper.record =
                        mmap(NULL, RECORD_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, d->keeper.record_fd, 0);
        if (d->keeper.record == MAP_FAILED)
                _exit(KEEPER_EXIT_NOTHING_RAN);
        return &d->keeper;
}
