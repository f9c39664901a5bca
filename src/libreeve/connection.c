/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Connecting, and connecting again.
 *
 * A registry that is replaced is away for a moment, and its tasks go on meanwhile. So a connection remembers its path,
 * and whoever wants to outlive that moment reconnects with patience. A connection that could not be made again stays
 * an object: its calls fail with -ECONNRESET until it is.
 *
 * All failures to connect are one class, Unavailable, except those of permission: to a caller it is the same whether
 * the socket is not there, nobody listens, or the queue is full. */

#include "libreeve/connection.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "basic/fd.h"
#include "basic/strings.h"
#include "common/clock.h"
#include "common/instance.h"

#define REGISTRY_INTERFACE "io.reeve.Registry"

const char *reeve_socket_path(void)
{
        static char path[PATH_MAX];
        const char *chosen = getenv("REEVE_SOCKET");
        Instance system;

        if (chosen && *chosen)
                return chosen;
        if (instance_init(&system, NULL, NULL, NULL) < 0 ||
            instance_path(&system, INSTANCE_SOCKET, path, sizeof(path)) < 0)
                return "";
        return path;
}

/* Not by varlink_client_connect(), because the errno is wanted: reeve doctor has a hint for each. */
static int open_socket(const char *path, int *ret_fd)
{
        struct sockaddr_un address = { .sun_family = AF_UNIX };

        if (strlen(path) >= sizeof(address.sun_path))
                return -ENAMETOOLONG;
        strcpy(address.sun_path, path);

        _cleanup_fd_ int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
        if (fd < 0 || connect(fd, (const struct sockaddr *)&address, sizeof(address)) < 0)
                return -errno;
        *ret_fd = TAKE_FD(fd);
        return 0;
}

static int connect_once(ReeveConnection *c, ReeveError *reterr)
{
        _cleanup_fd_ int fd = -EBADF;

        int r = open_socket(c->path, &fd);
        if (r >= 0)
                r = varlink_client_new_fd(TAKE_FD(fd), &c->client);
        if (r >= 0)
                return 0;

        reeve_error_errno(reterr, r, NULL, "cannot connect to %s", c->path);
        if (reterr && reterr->code != REEVE_ERROR_PERMISSION_DENIED)
                reterr->code = REEVE_ERROR_UNAVAILABLE;
        return r;
}

int reeve_connect(const char *path, ReeveConnection **ret, ReeveError *reterr)
{
        assert(ret);

        ReeveConnection *c = NEW0(ReeveConnection, 1);
        if (!c)
                return reeve_error_errno(reterr, ENOMEM, NULL, "cannot connect");
        c->path = strdup(path ?: reeve_socket_path());
        int r = c->path ? connect_once(c, reterr)
                        : reeve_error_errno(reterr, ENOMEM, NULL, "cannot connect");
        if (r < 0) {
                reeve_disconnect(c);
                return r;
        }
        *ret = c;
        return 0;
}

int reeve_reconnect(ReeveConnection *c, uint64_t patience_usec, ReeveError *reterr)
{
        const struct timespec pause = usec_to_timespec(CONNECTION_RETRY_USEC);
        const Clock *clock = clock_system();

        assert(c);

        usec_t deadline = usec_add(clock_boottime(clock), patience_usec);
        c->client = varlink_client_free(c->client);
        for (;;) {
                int r = connect_once(c, reterr);
                if (r >= 0 || clock_boottime(clock) >= deadline)
                        return r;
                nanosleep(&pause, NULL);
        }
}

ReeveConnection *reeve_disconnect(ReeveConnection *c)
{
        if (c) {
                varlink_client_free(c->client);
                free(c->path);
                free(c);
        }
        return NULL;
}

int connection_client(ReeveConnection *c, VarlinkClient **ret, ReeveError *reterr)
{
        assert(c);

        if (!c->client)
                return connection_broken(-ECONNRESET, reterr);
        *ret = c->client;
        return 0;
}

int connection_broken(int r, ReeveError *reterr)
{
        if (r != -ECONNRESET && r != -EPIPE)
                return r;
        reeve_error_set(reterr, REEVE_ERROR_UNAVAILABLE, NULL, "the connection to the registry broke");
        if (reterr)
                reterr->number = ECONNRESET;
        return -ECONNRESET;
}

int connection_method_name(const char *method, char *ret, size_t size, ReeveError *reterr)
{
        assert(method);
        assert(ret);

        int n = snprintf(ret, size, "%s%s", strchr(method, '.') ? "" : REGISTRY_INTERFACE ".", method);
        if (n < 0 || (size_t)n >= size)
                return reeve_error_set(reterr, REEVE_ERROR_INVALID_ARGUMENT, "method",
                                       "the method's name is too long");
        return 0;
}

int reeve_fd(const ReeveConnection *c)
{
        assert(c);
        return c->client ? varlink_client_fd(c->client) : -EBADF;
}

short reeve_events(const ReeveConnection *c)
{
        assert(c);
        return c->client ? varlink_client_events(c->client) : 0;
}
