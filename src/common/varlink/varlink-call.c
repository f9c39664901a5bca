/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Calls, and the order of their replies.
 *
 * A connection lists its calls that expect a reply in the order of their arrival. Only the first of them
 * (the head) writes to the connection's queue. What a later one says is serialised into its own `held`
 * queue; when it becomes the head that is moved over at once, and if it was answered already it leaves and
 * the next one is looked at. An answered call that waits is kept by a reference of the list.
 *
 * oneway calls are in a list of their own: nobody waits for them, but they count for the limits and learn
 * when their peer has gone.
 *
 * A call outlives its connection: `connection` is NULL then, and everything said to it is discarded. */

#include "common/varlink/varlink-internal.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>

#include "basic/fd.h"
#include "common/error-table.h"
#include "common/json/json.h"

static void close_fds(int *fds, size_t n)
{
        for (size_t i = 0; i < n; i++)
                fd_close(fds[i]);
}

int varlink_call_new(VarlinkConnection *c, const VarlinkCallMessage *m, const int *fds, size_t n_fds,
                     VarlinkCall **ret)
{
        size_t n = strlen(m->method) + 1;
        _cleanup_json_ json_t *parameters = m->parameters ? json_incref(m->parameters) : json_object();
        _cleanup_free_ VarlinkCall *call = calloc(1, sizeof(*call) + n);
        _cleanup_free_ int *copy = NULL;

        if (!parameters || !call || (n_fds > 0 && !(copy = NEW(int, n_fds))))
                return -ENOMEM;
        if (n_fds > 0)
                memcpy(copy, fds, n_fds * sizeof(int));

        call->refs = 1;
        call->connection = c;
        call->peer = c->peer;
        call->parameters = TAKE_PTR(parameters);
        call->more = m->more;
        call->oneway = m->oneway;
        call->n_fds = n_fds;
        call->fds = TAKE_PTR(copy);
        memcpy(call->method, m->method, n);
        varlink_writer_init(&call->held);
        list_append(m->oneway ? &c->oneways : &c->calls, &call->link);
        c->n_calls++;
        *ret = TAKE_PTR(call);
        return 0;
}

VarlinkCall *varlink_call_ref(VarlinkCall *c)
{
        assert(c);
        assert(c->refs > 0);

        c->refs++;
        return c;
}

static void call_free(VarlinkCall *c)
{
        list_remove(&c->link);
        close_fds(c->fds, c->n_fds);
        close_fds(c->reply_fds, c->n_reply_fds);
        free(c->fds);
        free(c->reply_fds);
        json_decref(c->parameters);
        varlink_writer_clear(&c->held);
        free(c);
}

VarlinkCall *varlink_call_unref(VarlinkCall *c)
{
        assert(c);
        assert(c->refs > 0);

        if (c->refs == 1 && !c->answered && c->connection) {
                ReeveError e;
                reeve_error_set(&e, REEVE_ERROR_INTERNAL, NULL, "%s was given up without an answer",
                                c->method);
                varlink_call_reeve_error(c, &e);
        }
        if (--c->refs == 0)
                call_free(c);
        return NULL;
}

void varlink_call_gone(VarlinkCall *call)
{
        varlink_writer_clear(&call->held);
        if (call->kept) {
                call->kept = false;
                varlink_call_unref(call);
                return;
        }
        varlink_call_event_t on_gone = call->on_gone;
        call->on_gone = call->on_drained = NULL;
        if (on_gone) {
                varlink_call_ref(call);
                on_gone(call, call->userdata);
                varlink_call_unref(call);
        }
}

static VarlinkCall *head(const VarlinkConnection *c)
{
        return list_is_empty(&c->calls) ? NULL : container_of(c->calls.next, VarlinkCall, link);
}

static void leave(VarlinkCall *call)
{
        list_remove(&call->link);
        call->connection->n_calls--;
        call->connection = NULL;
}

/* Moves on what is not held back by anybody any more. */
static int advance(VarlinkConnection *c)
{
        for (VarlinkCall *call; (call = head(c));) {
                size_t n = varlink_writer_size(&call->held);
                if (c->write_failed)
                        varlink_writer_clear(&call->held);
                int r = varlink_writer_move(&c->writer, &call->held);
                if (r < 0)
                        return r;
                c->held_bytes -= n;
                if (!call->answered)
                        return 0;
                leave(call);
                call->kept = false;
                varlink_call_unref(call);
        }
        return 0;
}

static json_t *make_reply(json_t *parameters, const char *error, bool continues)
{
        _cleanup_json_ json_t *owned = parameters;
        _cleanup_json_ json_t *reply = json_object();

        if (!reply || json_set_string(reply, "error", error) < 0)
                return NULL;
        if (json_object_set_new(reply, "parameters", owned ? TAKE_PTR(owned) : json_object()) < 0)
                return NULL;
        if (continues && json_set_bool(reply, "continues", true) < 0)
                return NULL;
        return TAKE_PTR(reply);
}

static int queue_reply(VarlinkCall *call, const json_t *reply)
{
        VarlinkConnection *c = call->connection;
        bool first = call == head(c);
        VarlinkWriter *w = first ? &c->writer : &call->held;
        size_t before = varlink_writer_size(w);

        if (c->write_failed)
                return 0;
        int r = varlink_writer_add(w, reply, call->reply_fds, call->n_reply_fds);
        if (r < 0)
                return r;
        call->n_reply_fds = 0;
        if (!first)
                c->held_bytes += varlink_writer_size(w) - before;
        return 0;
}

/* Says something. Steals `parameters`. Disconnects when that fails, but for -EMSGSIZE. */
static int say(VarlinkCall *call, json_t *parameters, const char *error, bool continues)
{
        VarlinkConnection *c = call->connection;
        _cleanup_json_ json_t *reply = make_reply(parameters, error, continues);

        int r = reply ? queue_reply(call, reply) : -ENOMEM;
        if (r == -EMSGSIZE)
                return r;
        if (r < 0) {
                varlink_connection_close(c);
                return r;
        }
        if (varlink_connection_queued(c) > VARLINK_OUTPUT_MAX) {
                varlink_connection_part(c, "more waits to be read than is kept");
                return -ECONNRESET;
        }
        varlink_connection_touch(c);
        return 0;
}

static int say_too_long(VarlinkCall *call)
{
        const ErrorTableEntry *entry = error_table_get(REEVE_ERROR_LIMIT_EXCEEDED);
        json_t *parameters = json_pack("{ss}", "message", "the reply is too long for one message");

        close_fds(call->reply_fds, call->n_reply_fds);
        call->n_reply_fds = 0;
        int r = say(call, parameters, entry->varlink, false);
        return r < 0 ? r : -EMSGSIZE;
}

/* Marks the call answered and lets it and those behind it go. */
static void finish(VarlinkCall *call)
{
        VarlinkConnection *c = call->connection;

        call->answered = true;
        call->on_gone = call->on_drained = NULL;
        if (!c)
                return;
        if (call->alone)
                c->n_alone--;
        if (call->oneway) {
                leave(call);
                varlink_connection_touch(c);
                return;
        }
        varlink_call_ref(call);
        call->kept = true;
        if (call == head(c) && advance(c) < 0)
                varlink_connection_close(c);
        else
                varlink_connection_touch(c);
}

static int answer(VarlinkCall *call, json_t *parameters, const char *error)
{
        int r = 0;

        if (call->answered) {
                json_decref(parameters);
                return -EBUSY;
        }
        varlink_call_ref(call);
        call->on_gone = NULL; /* who answers does not want to hear that this disconnected the peer */
        if (!call->connection || call->oneway)
                json_decref(parameters);
        else {
                r = say(call, parameters, error, false);
                if (r == -EMSGSIZE)
                        r = say_too_long(call);
        }
        finish(call);
        varlink_call_unref(call);
        return r == -ECONNRESET ? 0 : r;
}

int varlink_call_reply(VarlinkCall *c, json_t *parameters)
{
        assert(c);
        assert(!parameters || json_is_object(parameters));

        return answer(c, parameters, NULL);
}

int varlink_call_error(VarlinkCall *c, const char *error, json_t *parameters)
{
        assert(c);
        assert(error);
        assert(!parameters || json_is_object(parameters));

        return answer(c, parameters, error);
}

static int set_lossy(json_t *object, const char *key, const char *text)
{
        if (!text[0])
                return 0;
        return json_object_set_new(object, key, json_string_lossy(text, strlen(text))) < 0 ? -ENOMEM : 0;
}

int varlink_call_reeve_error(VarlinkCall *c, const ReeveError *e)
{
        assert(c);
        assert(e);
        assert(e->code != REEVE_ERROR_NONE);

        const ErrorTableEntry *entry = error_table_get(e->code);
        _cleanup_json_ json_t *parameters = json_object();

        /* Text may have been cut within a character; an error must get through even then. Memory being
         * short shows in say(), which disconnects. */
        if (parameters && (set_lossy(parameters, "message", e->text[0] ? e->text : entry->text) < 0 ||
                           set_lossy(parameters, "field", e->field) < 0 ||
                           (e->number != 0 && json_set_integer(parameters, "errno", e->number) < 0)))
                return varlink_call_error(c, entry->varlink, NULL);
        return varlink_call_error(c, entry->varlink, TAKE_PTR(parameters));
}

int varlink_call_notify(VarlinkCall *c, json_t *parameters)
{
        assert(c);
        assert(!parameters || json_is_object(parameters));

        int r = 0;
        if (!c->more)
                r = -EINVAL;
        else if (c->answered)
                r = -EBUSY;
        else if (!c->connection || c->connection->write_failed)
                r = -ECONNRESET;
        if (r < 0) {
                json_decref(parameters);
                return r;
        }
        varlink_call_ref(c);
        r = say(c, parameters, NULL, true);
        varlink_call_unref(c);
        return r;
}

const VarlinkPeer *varlink_call_peer(const VarlinkCall *c)
{
        assert(c);

        return &c->peer;
}

/* They are those that the peer had when it connected, so one question does for all of its calls. */
static int learn_groups(VarlinkConnection *c)
{
        _cleanup_free_ gid_t *groups = NULL;
        socklen_t size = 64 * sizeof(gid_t);

        if (c->groups)
                return 0;
        for (;;) {
                free(groups);
                groups = malloc(sizeof(gid_t) + size);
                if (!groups)
                        return -ENOMEM;
                /* On ERANGE the kernel says how much it needs, and that cannot change any more. */
                socklen_t room = size;
                if (getsockopt(c->fd, SOL_SOCKET, SO_PEERGROUPS, groups + 1, &size) == 0)
                        break;
                if (errno != ERANGE || size <= room)
                        return -errno;
        }
        groups[0] = c->peer.gid;
        c->n_groups = 1 + size / sizeof(gid_t);
        c->groups = TAKE_PTR(groups);
        return 0;
}

int varlink_call_peer_groups(const VarlinkCall *c, gid_t **ret, size_t *ret_n)
{
        assert(c);
        assert(ret);
        assert(ret_n);

        int r = c->connection ? learn_groups(c->connection) : -ENOTCONN;
        if (r < 0)
                return r;
        size_t n = c->connection->n_groups;
        *ret = NEW(gid_t, n);
        if (!*ret)
                return -ENOMEM;
        memcpy(*ret, c->connection->groups, n * sizeof(gid_t));
        *ret_n = n;
        return 0;
}

int varlink_call_peer_in_group(const VarlinkCall *c, gid_t gid)
{
        assert(c);

        if (c->peer.gid == gid)
                return 1;
        int r = c->connection ? learn_groups(c->connection) : -ENOTCONN;
        for (size_t i = 0; r == 0 && i < c->connection->n_groups; i++)
                if (c->connection->groups[i] == gid)
                        return 1;
        return r;
}

bool varlink_call_wants_more(const VarlinkCall *c)
{
        assert(c);

        return c->more;
}

bool varlink_call_is_oneway(const VarlinkCall *c)
{
        assert(c);

        return c->oneway;
}

const char *varlink_call_method(const VarlinkCall *c)
{
        assert(c);

        return c->method;
}

size_t varlink_call_n_fds(const VarlinkCall *c)
{
        assert(c);

        return c->n_fds;
}

int varlink_call_take_fd(VarlinkCall *c, size_t index)
{
        assert(c);

        if (index >= c->n_fds || c->fds[index] < 0)
                return -ENOENT;
        return TAKE_FD(c->fds[index]);
}

int varlink_call_push_fd(VarlinkCall *c, int fd)
{
        assert(c);
        assert(fd >= 0);

        if (!c->reply_fds)
                c->reply_fds = NEW(int, VARLINK_FDS_MAX);
        if (!c->reply_fds || c->n_reply_fds == VARLINK_FDS_MAX) {
                fd_close(fd);
                return c->reply_fds ? -E2BIG : -ENOMEM;
        }
        c->reply_fds[c->n_reply_fds++] = fd;
        return (int)c->n_reply_fds - 1;
}

size_t varlink_call_queued_bytes(const VarlinkCall *c)
{
        assert(c);

        return c->connection ? varlink_connection_queued(c->connection) : 0;
}

void varlink_call_set_handlers(VarlinkCall *c, varlink_call_event_t on_gone, varlink_call_event_t on_drained,
                               void *userdata)
{
        assert(c);

        if (c->answered)
                return;
        c->on_gone = on_gone;
        c->on_drained = on_drained;
        c->userdata = userdata;
}
