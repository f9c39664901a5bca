/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The client: a socket, the reader and writer of both sides, and poll().
 *
 * Writing never waits for the server to read: varlink_client_send() queues what does not fit, and
 * varlink_client_receive() reads and writes at the same time. So a client may pipeline any number of calls
 * without a deadlock in which both sides wait to write; only its own memory bounds it (VARLINK_OUTPUT_MAX).
 *
 * The connection is only as good as its framing: after -EBADMSG (no varlink, or a reply that nobody asked
 * for) or -ECONNRESET every further operation fails in the same way. */

#include "common/varlink/varlink-client.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "basic/fd.h"
#include "basic/strings.h"
#include "common/error-table.h"
#include "common/json/json.h"
#include "common/varlink/varlink-frame.h"

struct VarlinkClient {
        int fd;
        VarlinkReader reader;
        VarlinkWriter writer;
        uint64_t n_expected; /* final replies that are to come */
        int failed;          /* negative errno: of no use any more */
        bool write_failed;   /* replies that came before may still be read */
};

typedef struct ReplyMessage {
        json_t *parameters; /* borrowed */
        const char *error;  /* borrowed */
        bool continues;
} ReplyMessage;

static const JsonField reply_fields[] = {
        { "parameters", JSON_FIELD_OBJECT, offsetof(ReplyMessage, parameters), 0, 0 },
        { "error", JSON_FIELD_STRING, offsetof(ReplyMessage, error), 0, 0 },
        { "continues", JSON_FIELD_BOOLEAN, offsetof(ReplyMessage, continues), 0, 0 },
};

static void close_fds(int *fds, size_t n)
{
        for (size_t i = 0; i < n; i++)
                fd_close(fds[i]);
}

void varlink_reply_done(VarlinkReply *r)
{
        assert(r);

        json_decref(r->parameters);
        free(r->error);
        close_fds(r->fds, r->n_fds);
        free(r->fds);
        *r = (VarlinkReply){ 0 };
}

static ReeveErrorCode code_of_reply(const char *error)
{
        if (streq(error, VARLINK_ERROR_INVALID_PARAMETER))
                return REEVE_ERROR_INVALID_ARGUMENT;
        if (streq(error, VARLINK_ERROR_PERMISSION_DENIED))
                return REEVE_ERROR_PERMISSION_DENIED;
        ReeveErrorCode code = error_table_from_varlink(error);
        return code == REEVE_ERROR_NONE ? REEVE_ERROR_INTERNAL : code;
}

int varlink_reply_to_error(const VarlinkReply *r, ReeveError *reterr)
{
        assert(r);

        if (!r->error)
                return 0;
        const char *message = json_get_string(r->parameters, "message");
        const char *field = json_get_string(r->parameters, "field")
                                            ?: json_get_string(r->parameters, "parameter");
        ReeveErrorCode code = code_of_reply(r->error);
        int k;

        if (message)
                k = reeve_error_set(reterr, code, field, "%s", message);
        else if (field)
                k = reeve_error_set(reterr, code, field, "%s: %s", r->error, field);
        else
                k = reeve_error_set(reterr, code, NULL, "%s", r->error);
        if (reterr)
                reterr->number = (int)CLAMP(json_get_integer(r->parameters, "errno", 0), 0, INT32_MAX);
        return k;
}

int varlink_client_new_fd(int fd, VarlinkClient **ret)
{
        _cleanup_fd_ int owned = fd;

        assert(fd >= 0);
        assert(ret);

        int r = fd_set_nonblock(fd, 1);
        if (r < 0)
                return r;
        VarlinkClient *c = NEW0(VarlinkClient, 1);
        if (!c)
                return -ENOMEM;
        c->fd = TAKE_FD(owned);
        varlink_writer_init(&c->writer);
        *ret = c;
        return 0;
}

int varlink_client_connect(const char *path, VarlinkClient **ret, ReeveError *reterr)
{
        struct sockaddr_un address = { .sun_family = AF_UNIX };

        assert(path);
        assert(ret);

        if (strlen(path) == 0 || strlen(path) >= sizeof(address.sun_path))
                return reeve_error_set(reterr, REEVE_ERROR_INVALID_ARGUMENT, path,
                                       "the path of a socket has 1 to %zu bytes",
                                       sizeof(address.sun_path) - 1);
        strcpy(address.sun_path, path);

        _cleanup_fd_ int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
        if (fd < 0)
                return reeve_error_errno(reterr, errno, path, "making a socket");
        if (connect(fd, (const struct sockaddr *)&address, sizeof(address)) < 0) {
                int number = errno;
                if (number == ENOENT || number == ECONNREFUSED) /* the service is not there now */
                        return reeve_error_set(reterr, REEVE_ERROR_UNAVAILABLE, path, "connecting to %s: %s",
                                               path, strerrordesc_np(number));
                return reeve_error_errno(reterr, number, path, "connecting to %s", path);
        }
        int r = varlink_client_new_fd(TAKE_FD(fd), ret);
        return r < 0 ? reeve_error_errno(reterr, r, path, "connecting to %s", path) : 0;
}

VarlinkClient *varlink_client_free(VarlinkClient *c)
{
        if (!c)
                return NULL;
        varlink_reader_done(&c->reader);
        varlink_writer_clear(&c->writer);
        fd_close(c->fd);
        free(c);
        return NULL;
}

static json_t *make_call(const char *method, json_t *parameters, unsigned flags)
{
        _cleanup_json_ json_t *call = json_object();

        if (!call || json_set_string(call, "method", method) < 0 ||
            (parameters && json_object_set(call, "parameters", parameters) < 0) ||
            (flags & VARLINK_CALL_MORE && json_set_bool(call, "more", true) < 0) ||
            (flags & VARLINK_CALL_ONEWAY && json_set_bool(call, "oneway", true) < 0))
                return NULL;
        return TAKE_PTR(call);
}

/* Duplicates, serialises, queues. */
static int queue_call(VarlinkClient *c, const json_t *call, const int *fds, size_t n_fds)
{
        int copies[VARLINK_FDS_MAX];
        size_t n = 0;
        int r = 0;

        for (; n < n_fds; n++) {
                copies[n] = fcntl(fds[n], F_DUPFD_CLOEXEC, 3);
                if (copies[n] < 0) {
                        r = -errno;
                        break;
                }
        }
        if (r >= 0)
                r = varlink_writer_add(&c->writer, call, copies, n);
        if (r < 0)
                close_fds(copies, n);
        return r;
}

/* A server that does not read any more may still have answered: only reading decides that it is gone. */
static void write_queued(VarlinkClient *c)
{
        if (c->write_failed || varlink_writer_size(&c->writer) == 0)
                return;
        if (varlink_writer_flush(&c->writer, c->fd) < 0) {
                c->write_failed = true;
                varlink_writer_clear(&c->writer);
        }
}

int varlink_client_send(VarlinkClient *c, const char *method, json_t *parameters, unsigned flags,
                        const int *fds, size_t n_fds, ReeveError *reterr)
{
        assert(c);
        assert(method);
        assert(!parameters || json_is_object(parameters));
        assert(fds || n_fds == 0);
        assert((flags & (VARLINK_CALL_MORE | VARLINK_CALL_ONEWAY)) !=
               (VARLINK_CALL_MORE | VARLINK_CALL_ONEWAY));

        if (c->failed < 0 || c->write_failed)
                return reeve_error_errno(reterr, c->failed < 0 ? c->failed : ECONNRESET, NULL, "calling %s",
                                         method);
        if (n_fds > VARLINK_FDS_MAX)
                return reeve_error_set(reterr, REEVE_ERROR_LIMIT_EXCEEDED, "fds",
                                       "%zu descriptors, at most %d", n_fds, VARLINK_FDS_MAX);
        if (varlink_writer_size(&c->writer) > VARLINK_OUTPUT_MAX)
                return reeve_error_set(reterr, REEVE_ERROR_LIMIT_EXCEEDED, "output",
                                       "the server does not read: too much is queued");

        _cleanup_json_ json_t *call = make_call(method, parameters, flags);
        int r = call ? queue_call(c, call, fds, n_fds) : -ENOMEM;
        if (r == -EMSGSIZE)
                return reeve_error_set(reterr, REEVE_ERROR_LIMIT_EXCEEDED, "message",
                                       "the call is over %u bytes", VARLINK_MESSAGE_MAX);
        if (r < 0)
                return reeve_error_errno(reterr, r, NULL, "calling %s", method);
        if (!(flags & VARLINK_CALL_ONEWAY))
                c->n_expected++;
        write_queued(c);
        return 0;
}

static int fill_reply(const ReplyMessage *m, const int *fds, size_t n_fds, VarlinkReply *ret)
{
        _cleanup_json_ json_t *parameters = m->parameters ? json_incref(m->parameters) : json_object();
        _cleanup_free_ char *error = m->error ? strdup(m->error) : NULL;
        _cleanup_free_ int *copy = n_fds > 0 ? NEW(int, n_fds) : NULL;

        if (!parameters || (m->error && !error) || (n_fds > 0 && !copy))
                return -ENOMEM;
        if (n_fds > 0)
                memcpy(copy, fds, n_fds * sizeof(int));
        *ret = (VarlinkReply){ .parameters = TAKE_PTR(parameters),
                               .error = TAKE_PTR(error),
                               .continues = m->continues,
                               .fds = TAKE_PTR(copy),
                               .n_fds = n_fds };
        return 0;
}

static int parse_reply(VarlinkClient *c, const char *text, size_t size, const int *fds, size_t n_fds,
                       VarlinkReply *ret)
{
        _cleanup_json_ json_t *message = NULL;
        ReplyMessage m = { 0 };

        int r = json_parse(text, size, VARLINK_DEPTH_MAX, &message, NULL);
        if (r >= 0)
                r = json_dispatch(message, reply_fields, ELEMENTSOF(reply_fields), &m, NULL);
        if (r < 0 || c->n_expected == 0 || (m.error && m.continues))
                return r == -ENOMEM ? r : -EBADMSG;
        r = fill_reply(&m, fds, n_fds, ret);
        if (r >= 0 && !m.continues)
                c->n_expected--;
        return r;
}

/* 1 and a reply if one is buffered, 0 if not. */
static int take_buffered(VarlinkClient *c, VarlinkReply *ret)
{
        int fds[VARLINK_FDS_MAX];
        size_t n_fds = 0, size;
        const char *text;

        int r = varlink_reader_next(&c->reader, &text, &size, fds, &n_fds);
        if (r <= 0)
                return r == -EMSGSIZE ? -EBADMSG : r;
        r = parse_reply(c, text, size, fds, n_fds, ret);
        if (r < 0) {
                close_fds(fds, n_fds);
                return r;
        }
        return 1;
}

static int read_some(VarlinkClient *c)
{
        int r = varlink_reader_fill(&c->reader, c->fd);

        if (r == -EAGAIN)
                return 0;
        if (r == 0)
                return -ECONNRESET;
        return r == -EMSGSIZE ? -EBADMSG : r;
}

static usec_t monotonic_now(void)
{
        struct timespec ts;

        clock_gettime(CLOCK_MONOTONIC, &ts);
        return usec_from_timespec(&ts);
}

/* Waits for the socket; 1 if it is ready, 0 if `deadline` (CLOCK_MONOTONIC) has come. */
static int wait_for_socket(VarlinkClient *c, usec_t deadline)
{
        struct pollfd p = { .fd = c->fd, .events = varlink_client_events(c) };

        for (;;) {
                struct timespec ts = { 0 };
                if (deadline != USEC_INFINITY)
                        ts = usec_to_timespec(usec_sub(deadline, monotonic_now()));
                int r = ppoll(&p, 1, deadline == USEC_INFINITY ? NULL : &ts, NULL);
                if (r >= 0)
                        return r;
                if (errno != EINTR)
                        return -errno;
        }
}

static int receive(VarlinkClient *c, usec_t timeout_usec, VarlinkReply *ret)
{
        usec_t deadline = timeout_usec == 0 || timeout_usec == USEC_INFINITY
                                          ? timeout_usec
                                          : usec_add(monotonic_now(), timeout_usec);

        for (;;) {
                int r = take_buffered(c, ret);
                if (r != 0)
                        return r;
                write_queued(c);
                r = wait_for_socket(c, deadline);
                if (r <= 0)
                        return r;
                r = read_some(c);
                if (r < 0)
                        return r;
        }
}

int varlink_client_receive(VarlinkClient *c, usec_t timeout_usec, VarlinkReply *ret, ReeveError *reterr)
{
        assert(c);
        assert(ret);

        *ret = (VarlinkReply){ 0 };
        int r = c->failed < 0 ? c->failed : receive(c, timeout_usec, ret);
        if (r >= 0)
                return r;
        c->failed = r;
        if (r == -ECONNRESET || r == -EBADMSG)
                reeve_error_set(reterr, r == -EBADMSG ? REEVE_ERROR_INTERNAL : REEVE_ERROR_UNAVAILABLE, NULL,
                                r == -EBADMSG ? "the server does not speak varlink" : "the server has gone");
        else
                reeve_error_errno(reterr, r, NULL, "receiving a reply");
        return r;
}

int varlink_client_call(VarlinkClient *c, const char *method, json_t *parameters, json_t **ret_parameters,
                        ReeveError *reterr)
{
        _cleanup_(varlink_reply_done) VarlinkReply reply = { 0 };

        assert(c);
        assert(method);

        int r = varlink_client_send(c, method, parameters, 0, NULL, 0, reterr);
        if (r < 0)
                return r;
        r = varlink_client_receive(c, USEC_INFINITY, &reply, reterr);
        if (r < 0)
                return r;
        if (reply.continues) {
                c->failed = -EBADMSG;
                reeve_error_set(reterr, REEVE_ERROR_INTERNAL, NULL, "%s answers more than once", method);
                return -EBADMSG;
        }
        r = varlink_reply_to_error(&reply, reterr);
        if (r < 0)
                return r;
        if (ret_parameters)
                *ret_parameters = TAKE_PTR(reply.parameters);
        return 0;
}

int varlink_client_fd(const VarlinkClient *c)
{
        assert(c);

        return c->fd;
}

short varlink_client_events(const VarlinkClient *c)
{
        assert(c);

        return POLLIN | (varlink_writer_size(&c->writer) > 0 ? POLLOUT : 0);
}
