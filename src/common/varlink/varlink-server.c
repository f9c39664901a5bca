/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The server: listening sockets, interfaces, who may connect, and the timers that all connections share.
 *
 * One event source runs the connections that have something to do without an event of their socket (`todo`),
 * at the priority of the sockets: sd-event serves sources of one priority in the order in which they became
 * pending, so neither starves the other. One timer watches the sockets that are full: they are in a list
 * ordered by their last progress, so the timer looks at the first ones only, and nothing is armed or
 * disarmed for each write.
 *
 * Limits on connections. Over a limit a peer is accepted and closed at once: it learns immediately, and
 * one uid that opens thousands cannot fill the backlog for the others (the uid is only known after
 * accept()). Without descriptors or memory we cannot accept: the listeners pause until a connection goes
 * or ACCEPT_PAUSE_USEC has passed, instead of being woken for ever by a backlog that they cannot empty.
 * At most ACCEPTS_PER_WAKEUP at once, so that a flood of connects does not delay the calls of those who
 * are connected. */

#include "common/varlink/varlink-internal.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#include "basic/fd.h"
#include "basic/strings.h"

#define ACCEPTS_PER_WAKEUP 32
#define ACCEPT_PAUSE_USEC  (100 * USEC_PER_MSEC)

typedef struct VarlinkListener {
        ListLink link;
        VarlinkServer *server;
        int fd;
        sd_event_source *source;
} VarlinkListener;

/* Interfaces */

static VarlinkServedInterface *served_free(VarlinkServedInterface *i)
{
        if (!i)
                return NULL;
        varlink_idl_free(i->idl);
        hash_free(i->by_name);
        free(i->methods);
        free(i);
        return NULL;
}
DEFINE_CLEANUP_FUNC(VarlinkServedInterface *, served_free)

static int unsound(ReeveError *reterr, const char *interface, const char *method, const char *what)
{
        return reeve_error_set(reterr, REEVE_ERROR_INVALID_ARGUMENT, method, "%s.%s %s", interface, method,
                               what);
}

/* Pairs the methods of the table with those of the definition, one to one. */
static int pair_methods(VarlinkServedInterface *i, ReeveError *reterr)
{
        const char *name = varlink_idl_name(i->idl);

        i->methods = NEW0(VarlinkServedMethod, MAX(i->interface->n_methods, (size_t)1));
        i->by_name = hash_new();
        if (!i->methods || !i->by_name)
                return reeve_error_errno(reterr, ENOMEM, NULL, "adding %s", name);

        for (size_t k = 0; k < i->interface->n_methods; k++) {
                VarlinkServedMethod *m = i->methods + k;
                m->method = i->interface->methods + k;
                m->member = varlink_idl_find(i->idl, VARLINK_MEMBER_METHOD, m->method->name);
                if (!m->member)
                        return unsound(reterr, name, m->method->name,
                                       "has a handler, but is not in the definition");
                int r = hash_put(i->by_name, m->method->name, m);
                if (r == -EEXIST)
                        return unsound(reterr, name, m->method->name, "has two handlers");
                if (r < 0)
                        return reeve_error_errno(reterr, r, NULL, "adding %s", name);
        }
        for (size_t k = 0; k < varlink_idl_n_members(i->idl); k++) {
                const VarlinkMember *m = varlink_idl_member_at(i->idl, k);
                if (m->kind == VARLINK_MEMBER_METHOD && !hash_get(i->by_name, m->name))
                        return unsound(reterr, name, m->name, "is in the definition, but has no handler");
        }
        return 0;
}

int varlink_server_add_interface(VarlinkServer *s, const VarlinkInterface *i, ReeveError *reterr)
{
        assert(s);
        assert(i);
        assert(i->definition);

        _cleanup_(served_freep) VarlinkServedInterface *served = NEW0(VarlinkServedInterface, 1);
        if (!served)
                return reeve_error_errno(reterr, ENOMEM, NULL, "adding an interface");
        served->interface = i;
        int r = varlink_idl_parse(i->definition, strlen(i->definition), &served->idl, reterr);
        if (r < 0)
                return r;
        r = pair_methods(served, reterr);
        if (r < 0)
                return r;

        const char *name = varlink_idl_name(served->idl);
        VarlinkServedInterface **all = reallocarray(s->interfaces, s->n_interfaces + 1, sizeof(*all));
        if (!all)
                return reeve_error_errno(reterr, ENOMEM, NULL, "adding %s", name);
        s->interfaces = all;
        r = hash_put(s->by_name, name, served);
        if (r == -EEXIST)
                return reeve_error_set(reterr, REEVE_ERROR_ALREADY_EXISTS, name, "%s was added before",
                                       name);
        if (r < 0)
                return reeve_error_errno(reterr, r, NULL, "adding %s", name);
        s->interfaces[s->n_interfaces++] = TAKE_PTR(served);
        return 0;
}

const VarlinkServedInterface *varlink_server_find_interface(const VarlinkServer *s, const char *name)
{
        assert(s);
        assert(name);

        return hash_get(s->by_name, name);
}

/* Connections */

static void pause_accepting(VarlinkServer *s, bool pause)
{
        if (s->accept_paused == pause)
                return;
        s->accept_paused = pause;
        LIST_FOREACH(&s->listeners, link)
                sd_event_source_set_enabled(container_of(link, VarlinkListener, link)->source,
                                            pause ? SD_EVENT_OFF : SD_EVENT_ON);
        if (pause)
                sd_event_source_set_time_relative(s->accept_timer, ACCEPT_PAUSE_USEC);
        sd_event_source_set_enabled(s->accept_timer, pause ? SD_EVENT_ONESHOT : SD_EVENT_OFF);
}

static int on_accept_timer(sd_event_source *source, uint64_t usec, void *userdata)
{
        pause_accepting(ASSERT_PTR((VarlinkServer *)userdata), false);
        return 0;
}

static int user_get(VarlinkServer *s, uid_t uid, VarlinkUser **ret)
{
        char key[sizeof(((VarlinkUser *)NULL)->key)];

        snprintf(key, sizeof(key), "%u", (unsigned)uid);
        *ret = hash_get(s->users, key);
        if (*ret)
                return 0;

        _cleanup_free_ VarlinkUser *u = NEW0(VarlinkUser, 1);
        if (!u)
                return -ENOMEM;
        memcpy(u->key, key, sizeof(key));
        int r = hash_put(s->users, u->key, u);
        if (r < 0)
                return r;
        *ret = TAKE_PTR(u);
        return 0;
}

static void user_release(VarlinkServer *s, VarlinkUser *u)
{
        if (u->n_connections > 0)
                return;
        hash_remove(s->users, u->key);
        free(u);
}

void varlink_server_forget_connection(VarlinkServer *s, VarlinkUser *u)
{
        assert(s->n_connections > 0 && u->n_connections > 0);

        s->n_connections--;
        u->n_connections--;
        user_release(s, u);
        pause_accepting(s, false);
}

int varlink_server_add_connection(VarlinkServer *s, int fd)
{
        _cleanup_fd_ int owned = fd;
        struct ucred ucred;
        socklen_t size = sizeof(ucred);
        VarlinkUser *user;

        assert(s);
        assert(fd >= 0);

        if (s->n_connections >= s->limits.connections_max)
                return -EUSERS;
        if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &ucred, &size) < 0)
                return -errno;
        int r = fd_set_nonblock(fd, 1);
        if (r < 0)
                return r;
        r = user_get(s, ucred.uid, &user);
        if (r < 0)
                return r;

        const VarlinkPeer peer = { .uid = ucred.uid, .gid = ucred.gid, .pid = ucred.pid };
        if (user->n_connections >= s->limits.connections_per_uid_max)
                r = -EUSERS;
        else
                r = varlink_connection_new(s, fd, &peer, user);
        if (r < 0) {
                user_release(s, user);
                return r;
        }
        TAKE_FD(owned);
        return 0;
}

/* Errors of accept() that are about us, not about the peer that was to be accepted. */
static bool is_shortage(int number)
{
        return number == EMFILE || number == ENFILE || number == ENOBUFS || number == ENOMEM;
}

static int on_accept(sd_event_source *source, int fd, uint32_t revents, void *userdata)
{
        VarlinkListener *l = ASSERT_PTR((VarlinkListener *)userdata);

        for (unsigned i = 0; i < ACCEPTS_PER_WAKEUP; i++) {
                int peer = accept4(fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
                if (peer >= 0) {
                        varlink_server_add_connection(l->server, peer);
                        continue;
                }
                if (is_shortage(errno))
                        pause_accepting(l->server, true);
                if (errno != EINTR && errno != ECONNABORTED)
                        break;
        }
        return 0;
}

/* Work and time */

void varlink_server_schedule_todo(VarlinkServer *s)
{
        sd_event_source_set_enabled(s->todo_source, SD_EVENT_ONESHOT);
}

static int on_todo(sd_event_source *source, void *userdata)
{
        VarlinkServer *s = ASSERT_PTR((VarlinkServer *)userdata);
        ListLink round;

        /* Who adds itself again has its turn in the next round. `s` may be gone after the first call, but
         * then all connections are closed and have left the list. */
        list_init(&round);
        list_splice(&round, &s->todo);
        for (ListLink *link; (link = list_pop(&round));)
                varlink_connection_run(container_of(link, VarlinkConnection, todo));
        return 0;
}

void varlink_server_arm_stall_timer(VarlinkServer *s)
{
        int enabled;

        if (list_is_empty(&s->writing))
                return;
        if (sd_event_source_get_enabled(s->stall_timer, &enabled) >= 0 && enabled != SD_EVENT_OFF)
                return;
        const VarlinkConnection *c = container_of(s->writing.next, VarlinkConnection, writing);
        sd_event_source_set_time(s->stall_timer, usec_add(c->progress_usec, s->limits.stall_usec));
        sd_event_source_set_enabled(s->stall_timer, SD_EVENT_ONESHOT);
}

static int on_stall(sd_event_source *source, uint64_t usec, void *userdata)
{
        VarlinkServer *s = ASSERT_PTR((VarlinkServer *)userdata);
        usec_t now = usec;

        sd_event_now(s->event, CLOCK_MONOTONIC, &now);
        while (!list_is_empty(&s->writing)) {
                VarlinkConnection *c = container_of(s->writing.next, VarlinkConnection, writing);
                if (usec_add(c->progress_usec, s->limits.stall_usec) > now)
                        break;
                /* Cutting one off calls handlers, which may free the server: one at a time, and not
                 * touched again. */
                bool last = c->writing.next == &s->writing;
                if (!last)
                        sd_event_source_set_time(source, now);
                if (!last)
                        sd_event_source_set_enabled(source, SD_EVENT_ONESHOT);
                varlink_connection_part(c, "nothing was read for too long");
                return 0;
        }
        varlink_server_arm_stall_timer(s);
        return 0;
}

/* The server itself */

static int add_sources(VarlinkServer *s)
{
        int r = sd_event_add_defer(s->event, &s->todo_source, on_todo, s);
        if (r >= 0)
                r = sd_event_source_set_enabled(s->todo_source, SD_EVENT_OFF);
        if (r >= 0)
                r = sd_event_add_time(s->event, &s->stall_timer, CLOCK_MONOTONIC, 0, 0, on_stall, s);
        if (r >= 0)
                r = sd_event_source_set_enabled(s->stall_timer, SD_EVENT_OFF);
        if (r >= 0)
                r = sd_event_add_time(s->event, &s->accept_timer, CLOCK_MONOTONIC, 0, 0, on_accept_timer, s);
        if (r >= 0)
                r = sd_event_source_set_enabled(s->accept_timer, SD_EVENT_OFF);
        return r;
}

const VarlinkLimits varlink_limits_default = {
        .connections_max = VARLINK_CONNECTIONS_MAX,
        .connections_per_uid_max = VARLINK_CONNECTIONS_PER_UID_MAX,
        .bytes_per_uid_max = VARLINK_BYTES_PER_UID_MAX,
        .stall_usec = VARLINK_STALL_USEC,
};

int varlink_server_new(sd_event *event, const VarlinkServerInfo *info, VarlinkServer **ret)
{
        assert(event);
        assert(info);
        assert(ret);

        _cleanup_(varlink_server_freep) VarlinkServer *s = NEW0(VarlinkServer, 1);
        if (!s)
                return -ENOMEM;
        s->event = sd_event_ref(event);
        s->info = *info;
        s->limits = varlink_limits_default;
        list_init(&s->listeners);
        list_init(&s->connections);
        list_init(&s->todo);
        list_init(&s->writing);
        s->by_name = hash_new();
        s->users = hash_new();
        if (!s->by_name || !s->users)
                return -ENOMEM;
        int r = add_sources(s);
        if (r < 0)
                return r;
        varlink_service_init(s);
        r = varlink_server_add_interface(s, &s->service, NULL);
        if (r < 0)
                return r;
        *ret = TAKE_PTR(s);
        return 0;
}

static void listener_free(VarlinkListener *l)
{
        list_remove(&l->link);
        sd_event_source_disable_unref(l->source);
        fd_close(l->fd);
        free(l);
}

VarlinkServer *varlink_server_free(VarlinkServer *s)
{
        if (!s)
                return NULL;

        LIST_FOREACH_SAFE(&s->listeners, link)
                listener_free(container_of(link, VarlinkListener, link));
        while (!list_is_empty(&s->connections))
                varlink_connection_close(container_of(s->connections.next, VarlinkConnection, link));

        sd_event_source_disable_unref(s->todo_source);
        sd_event_source_disable_unref(s->stall_timer);
        sd_event_source_disable_unref(s->accept_timer);
        for (size_t i = 0; i < s->n_interfaces; i++)
                served_free(s->interfaces[i]);
        free(s->interfaces);
        hash_free(s->by_name);
        hash_free(s->users);
        sd_event_unref(s->event);
        free(s);
        return NULL;
}

void varlink_server_set_limits(VarlinkServer *s, const VarlinkLimits *limits)
{
        assert(s);
        assert(limits);

        s->limits = *limits;
}

int varlink_server_listen_fd(VarlinkServer *s, int fd)
{
        _cleanup_fd_ int owned = fd;

        assert(s);
        assert(fd >= 0);

        int r = fd_set_nonblock(fd, 1);
        if (r < 0)
                return r;
        _cleanup_free_ VarlinkListener *l = NEW0(VarlinkListener, 1);
        if (!l)
                return -ENOMEM;
        r = sd_event_add_io(s->event, &l->source, fd, EPOLLIN, on_accept, l);
        if (r < 0)
                return r;
        if (s->accept_paused)
                sd_event_source_set_enabled(l->source, SD_EVENT_OFF);
        l->server = s;
        l->fd = TAKE_FD(owned);
        list_append(&s->listeners, &l->link);
        l = NULL; /* the list has it */
        return 0;
}

/* Only a socket is replaced: a path given by mistake must not cost a file. */
static int remove_old_socket(const char *path, ReeveError *reterr)
{
        struct stat st;

        if (lstat(path, &st) < 0)
                return errno == ENOENT ? 0 : reeve_error_errno(reterr, errno, path, "looking at %s", path);
        if (!S_ISSOCK(st.st_mode))
                return reeve_error_set(reterr, REEVE_ERROR_ALREADY_EXISTS, path,
                                       "%s exists and is no socket", path);
        if (unlink(path) < 0 && errno != ENOENT)
                return reeve_error_errno(reterr, errno, path, "removing %s", path);
        return 0;
}

int varlink_server_listen_path(VarlinkServer *s, const char *path, mode_t mode, ReeveError *reterr)
{
        struct sockaddr_un address = { .sun_family = AF_UNIX };

        assert(s);
        assert(path);

        if (strlen(path) == 0 || strlen(path) >= sizeof(address.sun_path))
                return reeve_error_set(reterr, REEVE_ERROR_INVALID_ARGUMENT, path,
                                       "the path of a socket has 1 to %zu bytes",
                                       sizeof(address.sun_path) - 1);
        strcpy(address.sun_path, path);

        int r = remove_old_socket(path, reterr);
        if (r < 0)
                return r;
        _cleanup_fd_ int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
        if (fd < 0)
                return reeve_error_errno(reterr, errno, path, "making a socket");
        /* Nobody can connect before listen(), so the mode is in force for all. */
        if (bind(fd, (const struct sockaddr *)&address, sizeof(address)) < 0 || chmod(path, mode) < 0 ||
            listen(fd, SOMAXCONN) < 0)
                return reeve_error_errno(reterr, errno, path, "listening at %s", path);
        r = varlink_server_listen_fd(s, TAKE_FD(fd));
        return r < 0 ? reeve_error_errno(reterr, r, path, "listening at %s", path) : 0;
}

size_t varlink_server_connections(const VarlinkServer *s)
{
        assert(s);

        return s->n_connections;
}

uint64_t varlink_server_disconnected_slow(const VarlinkServer *s)
{
        assert(s);

        return s->n_cut;
}
