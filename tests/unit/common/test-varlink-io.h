/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* A varlink server and its clients in one process and one thread: whoever waits runs the server's event
 * loop. Nothing sleeps; what does not happen within PATIENCE_USEC fails the test. */

#include <sys/socket.h>

#include "basic/fd.h"
#include "basic/strings.h"
#include "common/json/json.h"
#include "common/varlink/varlink-client.h"
#include "common/varlink/varlink-server.h"
#include "common/varlink/varlink.h"
#include "tests/unit/test.h"

#define PATIENCE_USEC (20 * USEC_PER_SEC)

typedef struct Fixture {
        sd_event *event;
        VarlinkServer *server;
        VarlinkCall *kept[4096]; /* by handlers that answer later */
        size_t n_kept;
        unsigned n_gone, n_drained, n_called;
        int64_t sum; /* of the parameters of Count */
} Fixture;

static inline usec_t fixture_now(void)
{
        struct timespec ts;

        clock_gettime(CLOCK_MONOTONIC, &ts);
        return usec_from_timespec(&ts);
}

/* Runs the loop until `condition` holds. */
#define run_until(f, condition)                                             \
        do {                                                                \
                usec_t _end = usec_add(fixture_now(), PATIENCE_USEC);       \
                while (!(condition)) {                                      \
                        if (fixture_now() > _end)                           \
                                fail_msg("never happened: %s", #condition); \
                        sd_event_run((f)->event, 10 * USEC_PER_MSEC);       \
                }                                                           \
        } while (0)

/* Runs the loop until it has nothing to do at once. */
static inline void run_until_idle(Fixture *f)
{
        while (sd_event_run(f->event, 0) > 0)
                ;
}

static inline void connect_raw(Fixture *f, int *ret)
{
        int pair[2];

        assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair), 0);
        assert_int_equal(varlink_server_add_connection(f->server, pair[0]), 0);
        *ret = pair[1];
}

static inline VarlinkClient *connect_client(Fixture *f)
{
        VarlinkClient *c = NULL;
        int fd;

        connect_raw(f, &fd);
        assert_int_equal(varlink_client_new_fd(fd, &c), 0);
        return c;
}

/* The next reply; runs the server meanwhile. Returns what varlink_client_receive() does, never 0. */
static inline int await_reply(Fixture *f, VarlinkClient *c, VarlinkReply *ret)
{
        ReeveError e = REEVE_ERROR_NULL;
        int r = 0;

        run_until(f, (r = varlink_client_receive(c, 0, ret, &e)) != 0);
        return r;
}

static inline void send_call(VarlinkClient *c, const char *method, json_t *parameters, unsigned flags)
{
        ReeveError e = REEVE_ERROR_NULL;

        assert_ok(varlink_client_send(c, method, parameters, flags, NULL, 0, &e), e);
        json_decref(parameters);
}

/* Expects a reply with this error (NULL: none) and, unless `text` is NULL, this text of its parameters. */
static inline void expect_reply(Fixture *f, VarlinkClient *c, const char *error, const char *text)
{
        VarlinkReply reply = { 0 };
        int r = await_reply(f, c, &reply);

        if (r != 1)
                fail_msg("expected %s %s, got result %d", error ?: "a reply", text ?: "", r);
        _cleanup_free_ char *got = json_format(reply.parameters);
        if (!streq_null(reply.error, error))
                fail_msg("expected error %s, got %s %s", error ?: "(none)", reply.error ?: "(none)", got);
        if (text && !streq(got, text))
                fail_msg("expected %s, got %s", text, got);
        varlink_reply_done(&reply);
}

/* Writes everything, or what there is until the other side has cut the connection: then false. */
static inline bool write_until_cut(Fixture *f, int fd, const char *data, size_t n)
{
        while (n > 0) {
                ssize_t k = send(fd, data, n, MSG_NOSIGNAL | MSG_DONTWAIT);
                if (k < 0 && (errno == EPIPE || errno == ECONNRESET))
                        return false;
                if (k < 0 && errno != EAGAIN)
                        fail_msg("send: %s", strerror(errno));
                if (k > 0) {
                        data += k;
                        n -= (size_t)k;
                }
                run_until_idle(f);
        }
        return true;
}

static inline void write_raw(Fixture *f, int fd, const char *data, size_t n)
{
        if (!write_until_cut(f, fd, data, n))
                fail_msg("the connection was cut while it was written to");
}

/* Is the connection closed from the other side (after what is there to read)? */
static inline bool is_closed(int fd)
{
        char buffer[4096];
        ssize_t n;

        while ((n = recv(fd, buffer, sizeof(buffer), MSG_DONTWAIT)) > 0)
                ;
        return n == 0 || errno == ECONNRESET;
}
