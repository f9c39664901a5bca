/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* What any user of the host can send to reeved's socket. For any bytes:
 *
 * - the reader takes them in whatever pieces and hands out the same messages, and holds no more than it
 *   should;
 * - the server over a socket answers with varlink messages, at most one final reply for each message, and is
 *   idle or has disconnected afterwards; it never crashes, hangs or keeps a descriptor;
 * - the parser of interface definitions refuses with a position or accepts; and what it accepts can be
 *   checked against. */

#include <errno.h>
#include <string.h>
#include <sys/socket.h>

#include "basic/fd.h"
#include "basic/strings.h"
#include "common/json/json.h"
#include "common/varlink/varlink-frame.h"
#include "common/varlink/varlink-idl.h"
#include "common/varlink/varlink-server.h"
#include "tests/fuzz/fuzz.h"

static const char definition[] = "interface a.b\n"
                                 "type T (t: ?T, e: ?(one, two), m: ?[string]?[]float, o: ?object)\n"
                                 "method Echo(t: T) -> (t: T)\n"
                                 "method More(n: int) -> ()\n"
                                 "method Drop() -> ()\n"
                                 "method None() -> ()\n";

static int on_echo(VarlinkCall *call, json_t *parameters, void *userdata)
{
        return varlink_call_reply(call, json_incref(parameters));
}

static int on_more(VarlinkCall *call, json_t *parameters, void *userdata)
{
        assert(json_is_integer(json_object_get(parameters, "n")));
        varlink_call_notify(call, NULL);
        return varlink_call_reply(call, NULL);
}

static int on_drop(VarlinkCall *call, json_t *parameters, void *userdata)
{
        return 0;
}

static const VarlinkMethod methods[] = {
        { "Echo", on_echo, 0 },
        { "More", on_more, VARLINK_METHOD_MORE },
        { "Drop", on_drop, 0 },
        { "None", NULL, 0 },
};

static const VarlinkInterface interface = { definition, methods, ELEMENTSOF(methods), NULL };
static const VarlinkServerInfo info = { "reeve", "fuzz", "1", "" };

/* The messages of the input, found by splitting it at NUL, in pieces of `piece` bytes. */
static void check_reader(const uint8_t *data, size_t size, size_t piece)
{
        VarlinkReader reader = { 0 };
        size_t fed = 0, seen = 0;
        int fds[VARLINK_FDS_MAX], r;

        while (fed < size) {
                const char *text;
                size_t n, n_fds;
                ssize_t k = varlink_reader_feed(&reader, data + fed, MIN(piece, size - fed));
                if (k < 0)
                        break;
                fed += (size_t)k;
                while ((r = varlink_reader_next(&reader, &text, &n, fds, &n_fds)) == 1) {
                        assert(n_fds == 0);
                        assert(n == strnlen((const char *)data + seen, size - seen));
                        assert(memcmp(text, data + seen, n) == 0);
                        seen += n + 1;
                }
                if (r < 0)
                        break;
                assert(seen <= fed && !memchr(data + seen, 0, fed - seen));
        }
        varlink_reader_done(&reader);
}

/* Reads what there is; returns the number of final replies in it. */
static size_t drain(int fd, VarlinkReader *reader)
{
        int fds[VARLINK_FDS_MAX];
        size_t finals = 0, n, n_fds;
        const char *text;

        do {
                while (varlink_reader_next(reader, &text, &n, fds, &n_fds) == 1) {
                        _cleanup_json_ json_t *j = NULL;
                        assert(n_fds == 0);
                        assert(json_parse(text, n, VARLINK_DEPTH_MAX + 2, &j, NULL) == 0);
                        assert(json_is_object(json_object_get(j, "parameters")));
                        finals += !json_object_get(j, "continues");
                }
        } while (varlink_reader_fill(reader, fd) > 0);
        return finals;
}

static void run(sd_event *event)
{
        for (unsigned i = 0; sd_event_run(event, 0) > 0; i++)
                assert(i < 100000); /* never idle */
}

static void check_server(const uint8_t *data, size_t size)
{
        _cleanup_(sd_event_unrefp) sd_event *event = NULL;
        _cleanup_(varlink_server_freep) VarlinkServer *server = NULL;
        VarlinkReader replies = { 0 };
        size_t finals = 0, nuls = 0;
        int pair[2];

        assert(sd_event_new(&event) >= 0);
        assert(varlink_server_new(event, &info, &server) >= 0);
        assert(varlink_server_add_interface(server, &interface, NULL) >= 0);
        assert(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair) >= 0);
        assert(varlink_server_add_connection(server, pair[0]) >= 0);

        for (size_t sent = 0; sent < size;) {
                ssize_t k = send(pair[1], data + sent, size - sent, MSG_NOSIGNAL);
                if (k < 0 && errno != EAGAIN)
                        break;
                sent += (size_t)MAX(k, (ssize_t)0);
                run(event);
                finals += drain(pair[1], &replies);
        }
        shutdown(pair[1], SHUT_WR);
        do {
                run(event);
                nuls = finals;
                finals += drain(pair[1], &replies);
        } while (finals > nuls);
        run(event);
        assert(varlink_server_connections(server) == 0);

        nuls = 0;
        for (size_t i = 0; i < size; i++)
                nuls += data[i] == 0;
        assert(finals <= nuls);
        varlink_reader_done(&replies);
        fd_close(pair[1]);
}

static void check_idl(const uint8_t *data, size_t size)
{
        _cleanup_(varlink_idl_freep) VarlinkIdl *idl = NULL;
        ReeveError e = REEVE_ERROR_NULL;

        if (varlink_idl_parse((const char *)data, size, &idl, &e) < 0) {
                assert(e.code == REEVE_ERROR_INVALID_ARGUMENT && strchr(e.text, ':'));
                return;
        }
        assert(strchr(varlink_idl_name(idl), '.'));
        _cleanup_json_ json_t *empty = json_object();
        for (size_t i = 0; i < varlink_idl_n_members(idl); i++) {
                const VarlinkMember *m = varlink_idl_member_at(idl, i);
                assert(varlink_idl_find(idl, m->kind, m->name) == m);
                varlink_type_check(m->input, empty, &e);
        }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
        check_reader(data, size, 1);
        check_reader(data, size, 61);
        check_reader(data, size, SIZE_MAX);
        check_server(data, size);
        check_idl(data, size);
        return 0;
}
