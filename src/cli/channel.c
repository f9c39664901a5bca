/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Tasks outlive the registry, and so do those who watch them. When a connection breaks, the channel tries to connect
 * for CHANNEL_PATIENCE, five times a second, and makes its call anew; the owner's parameters() says from where. A
 * broken connection is the only failure that is tried again: an error reply is an answer.
 *
 * Each channel has a connection of its own, because replies on one connection come in the order of the calls, and a
 * stream would keep everything behind it waiting. */

#include "cli/channel.h"

#include <errno.h>
#include <sys/epoll.h>
#include <time.h>

#include "common/clock.h"

#define CHANNEL_PATIENCE   (60 * USEC_PER_SEC)
#define CHANNEL_RETRY_USEC (200 * USEC_PER_MSEC)

static int watch(Channel *c);

static void fail(Channel *c, const ReeveError *error)
{
        c->done = true;
        c->io = sd_event_source_disable_unref(c->io);
        c->retry = sd_event_source_disable_unref(c->retry);
        c->handlers->on_failure(error, c->userdata);
}

static int make_call(Channel *c, ReeveError *reterr)
{
        json_t *parameters = c->handlers->parameters(c->userdata);
        if (!parameters)
                return reeve_error_errno(reterr, ENOMEM, NULL, "cannot write a request");
        int r = reeve_send(c->connection, c->method, parameters, c->more, reterr);
        json_decref(parameters);
        return r;
}

static int on_retry(sd_event_source *s, uint64_t usec, void *userdata)
{
        Channel *c = ASSERT_PTR(userdata);
        ReeveError error = REEVE_ERROR_NULL;

        int r = reeve_reconnect(c->connection, 0, &error);
        if (r >= 0)
                r = make_call(c, &error);
        if (r >= 0)
                r = watch(c);
        if (r >= 0) {
                c->broken_since = 0;
                c->retry = sd_event_source_disable_unref(c->retry);
                return 0;
        }
        if (usec_sub(clock_boottime(clock_system()), c->broken_since) >= CHANNEL_PATIENCE) {
                fail(c, &error);
                return 0;
        }
        sd_event_source_set_time_relative(s, CHANNEL_RETRY_USEC);
        return sd_event_source_set_enabled(s, SD_EVENT_ONESHOT);
}

/* The connection broke: begin to try again. */
static void retry(Channel *c, const ReeveError *error)
{
        c->io = sd_event_source_disable_unref(c->io);
        c->broken_since = clock_boottime(clock_system());
        if (sd_event_add_time_relative(c->event, &c->retry, CLOCK_BOOTTIME, CHANNEL_RETRY_USEC, 0, on_retry,
                                       c) < 0)
                fail(c, error);
}

/* Handles what there is. 1: one reply was handled, 0: nothing (more) to do now. */
static int handle_one(Channel *c)
{
        ReeveError error = REEVE_ERROR_NULL;
        json_t *reply = NULL;
        bool final = false;

        int r = reeve_next(c->connection, 0, &reply, &final, &error);
        if (r == 0)
                return 0;
        if (r < 0) {
                if (r == -ECONNRESET)
                        retry(c, &error);
                else
                        fail(c, &error);
                return 0;
        }
        c->done = final;
        if (final)
                c->io = sd_event_source_disable_unref(c->io);
        r = c->handlers->on_reply(reply, final, c->userdata);
        json_decref(reply);
        if (r < 0 && !c->done) {
                reeve_error_errno(&error, r, NULL, "cannot handle a reply");
                fail(c, &error);
        }
        return !c->done;
}

static int on_io(sd_event_source *s, int fd, uint32_t revents, void *userdata)
{
        Channel *c = ASSERT_PTR(userdata);

        while (handle_one(c) > 0)
                ;
        /* What could not be written at once goes out as soon as it can. */
        return c->io ? sd_event_source_set_io_events(c->io, (uint32_t)reeve_events(c->connection)) : 0;
}

static int watch(Channel *c)
{
        return sd_event_add_io(c->event, &c->io, reeve_fd(c->connection),
                               (uint32_t)reeve_events(c->connection) | EPOLLIN, on_io, c);
}

int channel_start(Channel *c, sd_event *event, ReeveError *reterr)
{
        assert(c);
        assert(c->method && c->handlers);
        assert(event);

        c->event = event;
        int r = reeve_connect(NULL, &c->connection, reterr);
        if (r >= 0)
                r = make_call(c, reterr);
        if (r < 0)
                return r;
        r = watch(c);
        return r < 0 ? reeve_error_errno(reterr, r, NULL, "cannot watch a connection") : 0;
}

void channel_done(Channel *c)
{
        assert(c);

        c->io = sd_event_source_disable_unref(c->io);
        c->retry = sd_event_source_disable_unref(c->retry);
        c->connection = reeve_disconnect(c->connection);
}
