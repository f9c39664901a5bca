/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Peer-to-peer sd-bus: a socket, and one sd_bus object for each connection, which speaks the D-Bus protocol without
 * a bus daemon. Who may talk is decided once, by the kernel's SO_PEERCRED when a connection comes in: user reeve and
 * root. What they may have done is decided by each method; the table below is all there is to call. */

#include <errno.h>
#include <fcntl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <systemd/sd-daemon.h>

#include "basic/fd.h"
#include "basic/log.h"
#include "common/error-table.h"
#include "launcher/launcher.h"

#define BACKLOG 64

#define METHOD(name, in, out, handler) SD_BUS_METHOD(name, in, out, handler, SD_BUS_VTABLE_UNPRIVILEGED)

static const sd_bus_vtable vtable[] = {
        SD_BUS_VTABLE_START(0),
        METHOD("Authorize", "h", "ay", method_authorize),
        METHOD("Launch", "hayua{sv}ah", "itttsutt", method_launch),
        METHOD("Adopt", "hayua{sv}ah", "itttsutt", method_adopt),
        METHOD("Check", "hayua{sv}ahsuas", "itttsutt", method_check),
        METHOD("Hook", "ua{sv}ahsas", "itttsutt", method_hook),
        METHOD("Signal", "suib", "", method_act),
        METHOD("Kill", "su", "", method_act),
        METHOD("Freeze", "su", "", method_act),
        METHOD("Thaw", "su", "", method_act),
        METHOD("SetDeadline", "sut", "", method_act),
        METHOD("Step", "suusi", "btt", method_step),
        METHOD("Inspect", "su", "a(usssuas)", method_inspect),
        METHOD("ReadUsage", "a(su)", "a(sutttttt)", method_read_usage),
        METHOD("Forget", "a(su)", "", method_forget),
        METHOD("Describe", "", "ssu", method_describe),
        METHOD("Network", "", "hu", method_network),
        SD_BUS_VTABLE_END,
};

static const sd_bus_vtable steps_vtable[] = {
        SD_BUS_VTABLE_START(0),
        METHOD("Step", "suusi", "btt", method_step),
        SD_BUS_VTABLE_END,
};

int server_reply_error(sd_bus_message *call, const ReeveError *e)
{
        const char *name = error_table_get(e->code)->dbus;

        assert(call);
        assert(e);

        log_debug("%s: %s: %s%s%s", sd_bus_message_get_member(call), name, e->field, e->field[0] ? ": " : "",
                  e->text);
        if (e->code == REEVE_ERROR_EXEC_FAILED || !e->field[0])
                return sd_bus_reply_method_errorf(call, name, "%s", e->text);
        return sd_bus_reply_method_errorf(call, name, "%s: %s", e->field, e->text);
}

static int on_disconnected(sd_bus_message *m, void *userdata, sd_bus_error *reterr)
{
        log_debug("connection closed");
        sd_bus_close_unref(sd_bus_message_get_bus(m));
        return 0;
}

static bool may_talk(const Launcher *l, int fd)
{
        struct ucred peer;
        socklen_t size = sizeof(peer);

        if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &size) < 0)
                return false;
        if (peer.uid == 0 || peer.uid == l->reeve_uid)
                return true;
        log_warning("connection of uid %u refused", peer.uid);
        return false;
}

static int serve(Launcher *l, int fd)
{
        _cleanup_(sd_bus_close_unrefp) sd_bus *bus = NULL;
        sd_id128_t id;

        int r = sd_bus_new(&bus);
        if (r < 0)
                return r;
        r = sd_bus_set_fd(bus, fd, fd);
        if (r < 0)
                return r;
        if ((r = sd_id128_randomize(&id)) < 0 || (r = sd_bus_set_server(bus, 1, id)) < 0 ||
            (r = sd_bus_set_anonymous(bus, true)) < 0 || (r = sd_bus_negotiate_fds(bus, true)) < 0 ||
            (r = sd_bus_add_object_vtable(bus, NULL, LAUNCHER_OBJECT, LAUNCHER_INTERFACE,
                                          l->only_steps ? steps_vtable : vtable, l)) < 0 ||
            (r = sd_bus_start(bus)) < 0 ||
            (r = sd_bus_attach_event(bus, l->event, SD_EVENT_PRIORITY_NORMAL)) < 0 ||
            (r = sd_bus_match_signal_async(bus, NULL, "org.freedesktop.DBus.Local",
                                           "/org/freedesktop/DBus/Local", "org.freedesktop.DBus.Local",
                                           "Disconnected", on_disconnected, NULL, l)) < 0)
                return r;
        TAKE_PTR(bus); /* until on_disconnected() */
        return 0;
}

static int on_connection(sd_event_source *s, int listen_fd, uint32_t revents, void *userdata)
{
        Launcher *l = ASSERT_PTR(userdata);

        int fd = accept4(listen_fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
        if (fd < 0) {
                if (errno != EAGAIN && errno != EINTR && errno != ECONNABORTED)
                        log_warning_errno(errno, "accept");
                return 0;
        }
        if (!may_talk(l, fd)) {
                fd_close(fd);
                return 0;
        }
        int r = serve(l, fd);
        if (r < 0)
                log_warning_errno(r, "cannot serve a connection");
        return 0;
}

static int bind_socket(const Launcher *l, ReeveError *reterr)
{
        struct sockaddr_un address = { .sun_family = AF_UNIX };

        int r = instance_path(&l->instance, l->only_steps ? INSTANCE_STEPS_SOCKET : INSTANCE_LAUNCHER_SOCKET,
                              address.sun_path, sizeof(address.sun_path));
        if (r < 0)
                return reeve_error_errno(reterr, r, NULL, "path of the socket");
        _cleanup_fd_ int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
        if (fd < 0)
                return reeve_error_errno(reterr, errno, NULL, "socket");
        unlink(address.sun_path);
        mode_t mask = umask(0177); /* 0600 from the first moment */
        r = bind(fd, (const struct sockaddr *)&address, sizeof(address));
        umask(mask);
        if (r < 0 || lchown(address.sun_path, l->reeve_uid, l->reeve_gid) < 0 || listen(fd, BACKLOG) < 0)
                return reeve_error_errno(reterr, errno, address.sun_path, "cannot listen at %s",
                                         address.sun_path);
        return TAKE_FD(fd);
}

int server_start(Launcher *l, ReeveError *reterr)
{
        assert(l);

        l->listen_fd = !l->only_steps && sd_listen_fds(true) > 0 ? SD_LISTEN_FDS_START
                                                                 : bind_socket(l, reterr);
        if (l->listen_fd < 0)
                return l->listen_fd;
        int r = sd_event_add_io(l->event, NULL, l->listen_fd, EPOLLIN, on_connection, l);
        return r < 0 ? reeve_error_errno(reterr, r, NULL, "event loop") : 0;
}
