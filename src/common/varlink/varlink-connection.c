/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* One peer of the server: its socket, its buffers, and when to do what.
 *
 * connection_run() is the only place where things move: it dispatches messages that are buffered, writes
 * what is queued, and settles which events to wait for. It runs when the socket is ready (after one read)
 * and, by the server's `todo` list, in the next iteration of the event loop when a handler has answered or a
 * share was used up. So replies that are made in one iteration leave with one write, and each peer gets one
 * read and MESSAGES_PER_RUN messages before the next one has its turn.
 *
 * Back pressure: with VARLINK_PIPELINE_MAX open calls, one open call that wants to be alone (so that a peer
 * that pipelines dear questions is not answered at the cost of the others), or VARLINK_OUTPUT_PAUSE bytes
 * queued nothing more is dispatched, and nothing more is read, so the socket fills and the peer's writes
 * block. Only notifications go on from there to VARLINK_OUTPUT_MAX; then the peer is cut off, as it is when
 * the kernel takes none of its output for stall_usec. If that ends a stream the peer is told so: what waits is dropped, but for the
 * rest of a message that was begun, and an error takes its place. He has as long again to read that.
 *
 * The end: a peer that shut down its writing side still gets its replies. One that has gone (EPOLLHUP) is
 * read to the end, so that oneway calls it left are served; its output is discarded. If it has gone while we
 * would not read it is closed at once, or its hang-up would wake us for ever.
 *
 * Handlers and callbacks may close the connection, or free the server, at any time. So who calls out
 * holds a reference and looks at `server` afterwards: NULL means closed. */

#include "common/varlink/varlink-internal.h"

#include <errno.h>
#include <sys/epoll.h>

#include "basic/fd.h"
#include "common/error-table.h"
#include "common/json/json.h"

#define MESSAGES_PER_RUN 128

static VarlinkConnection *connection_ref(VarlinkConnection *c)
{
        c->refs++;
        return c;
}

static VarlinkConnection *connection_unref(VarlinkConnection *c)
{
        assert(c->refs > 0);

        if (--c->refs == 0) {
                assert(!c->server);
                free(c->groups);
                free(c);
        }
        return NULL;
}
DEFINE_CLEANUP_FUNC(VarlinkConnection *, connection_unref)

size_t varlink_connection_queued(const VarlinkConnection *c)
{
        return varlink_writer_size(&c->writer) + c->held_bytes;
}

static bool can_dispatch(const VarlinkConnection *c)
{
        return !c->parting && c->n_calls < VARLINK_PIPELINE_MAX && c->n_alone == 0 &&
               varlink_connection_queued(c) < VARLINK_OUTPUT_PAUSE;
}

/* All are detached before the first callback runs, since that may answer or free any of them. */
static void drop_calls(VarlinkConnection *c)
{
        ListLink calls;

        list_init(&calls);
        list_splice(&calls, &c->calls);
        list_splice(&calls, &c->oneways);
        LIST_FOREACH(&calls, link)
                container_of(link, VarlinkCall, link)->connection = NULL;
        for (ListLink *link; (link = list_pop(&calls));)
                varlink_call_gone(container_of(link, VarlinkCall, link));
}

void varlink_connection_close(VarlinkConnection *c)
{
        assert(c);

        VarlinkServer *s = c->server;
        if (!s)
                return;
        c->server = NULL;

        list_remove(&c->link);
        list_remove(&c->todo);
        list_remove(&c->writing);
        c->user->bytes -= c->charged;
        varlink_server_forget_connection(s, c->user);
        c->user = NULL;

        c->io = sd_event_source_disable_unref(c->io);
        c->fd = fd_close(c->fd);
        varlink_reader_done(&c->reader);
        varlink_writer_clear(&c->writer);
        c->held_bytes = 0;

        /* The callbacks come last: the connection is consistent, and they may free the server. */
        drop_calls(c);
        connection_unref(c);
}

void varlink_connection_cut(VarlinkConnection *c)
{
        assert(c);

        if (c->server)
                c->server->n_cut++;
        varlink_connection_close(c);
}

static bool is_streaming(const VarlinkConnection *c)
{
        return !list_is_empty(&c->calls) && container_of(c->calls.next, VarlinkCall, link)->more;
}

static int add_last_words(VarlinkConnection *c, const char *why)
{
        const ErrorTableEntry *entry = error_table_get(REEVE_ERROR_UNAVAILABLE);
        _cleanup_json_ json_t *reply = json_pack("{ss s{ss+}}", "error", entry->varlink, "parameters",
                                                 "message", "cut off: ", why);

        return reply ? varlink_writer_add(&c->writer, reply, NULL, 0) : -ENOMEM;
}

void varlink_connection_part(VarlinkConnection *c, const char *why)
{
        assert(c);
        assert(why);

        if (!c->server || c->parting || c->write_failed || !is_streaming(c)) {
                if (c->parting)
                        varlink_connection_close(c);
                else
                        varlink_connection_cut(c);
                return;
        }
        _cleanup_(connection_unrefp) _unused_ VarlinkConnection *guard = connection_ref(c);

        c->server->n_cut++;
        c->parting = true;
        c->n_calls = c->n_alone = c->held_bytes = 0;
        list_remove(&c->writing);
        varlink_writer_drop(&c->writer);
        int r = add_last_words(c, why);
        drop_calls(c);
        if (r < 0)
                varlink_connection_close(c);
        else
                varlink_connection_touch(c);
}

void varlink_connection_touch(VarlinkConnection *c)
{
        assert(c);

        if (c->running || !c->server || list_is_linked(&c->todo))
                return;
        list_append(&c->server->todo, &c->todo);
        varlink_server_schedule_todo(c->server);
}

static void close_fds(int *fds, size_t n)
{
        for (size_t i = 0; i < n; i++)
                fd_close(fds[i]);
}

static int dispatch_next(VarlinkConnection *c)
{
        int fds[VARLINK_FDS_MAX];
        size_t n_fds = 0, size;
        const char *text;

        int r = varlink_reader_next(&c->reader, &text, &size, fds, &n_fds);
        if (r <= 0)
                return r;
        r = varlink_dispatch(c, text, size, fds, n_fds);
        if (r < 0) {
                close_fds(fds, n_fds);
                return r;
        }
        return 1;
}

static void dispatch_buffered(VarlinkConnection *c)
{
        for (unsigned i = 0; i < MESSAGES_PER_RUN && c->unread && can_dispatch(c); i++) {
                int r = dispatch_next(c);
                if (!c->server)
                        return;
                if (r == 0)
                        c->unread = false;
                if (r == -EMSGSIZE) {
                        varlink_connection_cut(c);
                        return;
                }
                if (r < 0) {
                        varlink_connection_close(c);
                        return;
                }
        }
}

/* Keeps the list of full sockets in order of their last progress. */
static void note_progress(VarlinkConnection *c, bool blocked, bool progress)
{
        VarlinkServer *s = c->server;

        if (!blocked || progress)
                list_remove(&c->writing);
        if (!blocked || list_is_linked(&c->writing))
                return;
        if (sd_event_now(s->event, CLOCK_MONOTONIC, &c->progress_usec) < 0)
                c->progress_usec =
                                0; /* no time yet: the timer finds it late, which is not before stall_usec */
        list_append(&s->writing, &c->writing);
        varlink_server_arm_stall_timer(s);
}

/* Gives the oldest call the chance to produce more. */
static void tell_drained(VarlinkConnection *c)
{
        if (list_is_empty(&c->calls))
                return;
        VarlinkCall *call = container_of(c->calls.next, VarlinkCall, link);
        if (!call->on_drained)
                return;
        varlink_call_ref(call);
        call->on_drained(call, call->userdata);
        varlink_call_unref(call);
}

/* Returns whether the socket is full. */
static bool write_queued(VarlinkConnection *c)
{
        size_t before = varlink_writer_size(&c->writer);

        if (before == 0) {
                note_progress(c, false, false);
                return false;
        }
        int r = varlink_writer_flush(&c->writer, c->fd);
        if (r < 0) {
                c->write_failed = true;
                varlink_writer_clear(&c->writer);
        }
        note_progress(c, r == 0, varlink_writer_size(&c->writer) < before);
        if (r > 0)
                tell_drained(c);
        return r == 0;
}

static int charge(VarlinkConnection *c)
{
        size_t bytes = varlink_reader_room(&c->reader) + c->writer.room + c->held_bytes;

        c->user->bytes = c->user->bytes - c->charged + bytes;
        bool grown = bytes > c->charged;
        c->charged = bytes;
        return grown && c->user->bytes > c->server->limits.bytes_per_uid_max ? -EDQUOT : 0;
}

/* Decides what wakes us next, or that this is the end. */
static void settle(VarlinkConnection *c, bool blocked)
{
        bool queued = varlink_writer_size(&c->writer) > 0;

        if (c->parting && (!queued || c->write_failed)) {
                varlink_connection_close(c);
                return;
        }
        if (c->eof && !c->unread && (c->write_failed || (list_is_empty(&c->calls) && !queued))) {
                varlink_connection_close(c);
                return;
        }
        if (charge(c) < 0) {
                varlink_connection_cut(c);
                return;
        }
        if ((c->unread && can_dispatch(c)) || (queued && !blocked))
                varlink_connection_touch(c);

        uint32_t events =
                        (!c->eof && !c->unread && can_dispatch(c) ? EPOLLIN : 0) | (blocked ? EPOLLOUT : 0);
        if (events == c->events)
                return;
        if (sd_event_source_set_io_events(c->io, events) < 0)
                varlink_connection_close(c);
        else
                c->events = events;
}

void varlink_connection_run(VarlinkConnection *c)
{
        assert(c);

        if (!c->server || c->running)
                return;

        _cleanup_(connection_unrefp) _unused_ VarlinkConnection *guard = connection_ref(c);
        bool blocked = false;

        c->running = true;
        list_remove(&c->todo);
        dispatch_buffered(c);
        if (c->server)
                blocked = write_queued(c);
        c->running = false;
        if (c->server)
                settle(c, blocked);
}

/* One read. The connection may be closed afterwards. */
static void read_some(VarlinkConnection *c, uint32_t revents)
{
        int r = varlink_reader_fill(&c->reader, c->fd);

        if (r > 0)
                c->unread = true;
        else if (r == 0 && revents & EPOLLHUP)
                varlink_connection_close(c);
        else if (r == 0)
                c->eof = true;
        else if (r == -EMSGSIZE)
                varlink_connection_cut(c);
        else if (r != -EAGAIN)
                varlink_connection_close(c);
}

static int on_io(sd_event_source *source, int fd, uint32_t revents, void *userdata)
{
        VarlinkConnection *c = ASSERT_PTR((VarlinkConnection *)userdata);
        _cleanup_(connection_unrefp) _unused_ VarlinkConnection *guard = connection_ref(c);

        if (!c->unread && !c->eof && can_dispatch(c))
                read_some(c, revents);
        else if (revents & (EPOLLHUP | EPOLLERR) && !(c->unread && can_dispatch(c)))
                varlink_connection_close(c);
        varlink_connection_run(c);
        return 0;
}

int varlink_connection_new(VarlinkServer *s, int fd, const VarlinkPeer *peer, VarlinkUser *user)
{
        _cleanup_free_ VarlinkConnection *c = NEW0(VarlinkConnection, 1);
        if (!c)
                return -ENOMEM;

        c->refs = 1;
        c->events = EPOLLIN;
        int r = sd_event_add_io(s->event, &c->io, fd, c->events, on_io, c);
        if (r < 0)
                return r;
        c->server = s;
        c->user = user;
        c->peer = *peer;
        c->fd = fd;
        varlink_writer_init(&c->writer);
        list_init(&c->calls);
        list_init(&c->oneways);
        list_append(&s->connections, &c->link);
        s->n_connections++;
        user->n_connections++;
        c = NULL; /* the server's list has it */
        return 0;
}
