/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Peers that break the protocol, or a limit, or vanish: they lose their connection, and nobody else
 * notices. */

#include <errno.h>
#include <sys/resource.h>
#include <sys/un.h>

#include "tests/unit/common/test-varlink-io.h"

static const char definition[] = "interface io.reeve.Test\n"
                                 "method Echo(text: string) -> (text: string)\n"
                                 "method Keep() -> ()\n";

static int on_echo(VarlinkCall *call, json_t *parameters, void *userdata)
{
        ((Fixture *)userdata)->n_called++;
        return varlink_call_reply(call, json_incref(parameters));
}

static void on_gone(VarlinkCall *call, void *userdata)
{
        ((Fixture *)userdata)->n_gone++;
}

static int on_keep(VarlinkCall *call, json_t *parameters, void *userdata)
{
        Fixture *f = userdata;

        varlink_call_set_handlers(call, on_gone, NULL, f);
        f->kept[f->n_kept++] = varlink_call_ref(call);
        return 0;
}

static const VarlinkMethod methods[] = { { "Echo", on_echo, 0 }, { "Keep", on_keep, 0 } };
static const VarlinkServerInfo info = { "reeve", "test", "1", "" };

static int setup(void **state)
{
        static VarlinkInterface interface;
        Fixture *f = NEW0(Fixture, 1);
        ReeveError e = REEVE_ERROR_NULL;

        interface = (VarlinkInterface){ definition, methods, ELEMENTSOF(methods), f };
        assert_int_equal(sd_event_new(&f->event), 0);
        assert_int_equal(varlink_server_new(f->event, &info, &f->server), 0);
        assert_ok(varlink_server_add_interface(f->server, &interface, &e), e);
        *state = f;
        return 0;
}

static int teardown(void **state)
{
        Fixture *f = *state;

        for (size_t i = 0; i < f->n_kept; i++)
                varlink_call_unref(f->kept[i]);
        varlink_server_free(f->server);
        sd_event_unref(f->event);
        free(f);
        return 0;
}

/* Somebody else is served. */
static void expect_service(Fixture *f, VarlinkClient *c)
{
        send_call(c, "io.reeve.Test.Echo", json_pack("{ss}", "text", "still here"), 0);
        expect_reply(f, c, NULL, "{\"text\":\"still here\"}");
}

static void test_broken_messages(void **state)
{
        static const struct {
                const char *data;
                size_t size;
        } cases[] = {
#define MESSAGE(text) { text, sizeof(text) }
                MESSAGE(""),
                MESSAGE("x"),
                MESSAGE("[]"),
                MESSAGE("{}"),
                MESSAGE("{\"method\":1}"),
                MESSAGE("{\"method\":\"a.b.C\",\"extra\":1}"),
                MESSAGE("{\"method\":\"a.b.C\",\"upgrade\":true}"),
                MESSAGE("{\"method\":\"a.b.C\",\"more\":1}"),
                MESSAGE("{\"method\":\"a.b.C\",\"more\":true,\"oneway\":true}"),
                MESSAGE("{\"method\":\"a.b.C\",\"parameters\":[]}"),
                MESSAGE("{\"method\":\"a.b.C\",\"method\":\"a.b.C\"}"),
                MESSAGE("{\"method\":\"a.b.\xff\"}"),
                MESSAGE("{\"method\":\"a.b.C\\u0000\"}"),
                MESSAGE("{\"method\":\"a.b.C\"} {}"),
                MESSAGE("{\"method\":\"a.b.C\""),
#undef MESSAGE
        };
        Fixture *f = *state;
        _cleanup_(varlink_client_freep) VarlinkClient *other = connect_client(f);

        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                _cleanup_fd_ int fd = -EBADF;
                connect_raw(f, &fd);
                write_raw(f, fd, cases[i].data, cases[i].size);
                run_until_idle(f);
                if (!is_closed(fd))
                        fail_msg("%s: still connected", cases[i].data);
                expect_service(f, other);
        }
        assert_int_equal(varlink_server_connections(f->server), 1);
        assert_int_equal(varlink_server_disconnected_slow(f->server), 0);
}

static void test_deep_message(void **state)
{
        Fixture *f = *state;
        _cleanup_fd_ int fd = -EBADF;
        char text[2000] = "{\"method\":\"a.b.C\",\"parameters\":{\"x\":";

        connect_raw(f, &fd);
        memset(text + strlen(text), '[', 1000);
        write_raw(f, fd, text, strlen(text) + 1);
        run_until_idle(f);
        assert_true(is_closed(fd));
}

/* A call in the smallest pieces, to two peers in turn. */
static void test_byte_by_byte(void **state)
{
        static const char call[] =
                        "{\"method\":\"io.reeve.Test.Echo\",\"parameters\":{\"text\":\"x\"},\"more\":null}";
        Fixture *f = *state;
        int fds[2];

        connect_raw(f, fds);
        connect_raw(f, fds + 1);
        for (size_t i = 0; i < sizeof(call); i++)
                for (unsigned k = 0; k < 2; k++) {
                        assert_int_equal(f->n_called, 0);
                        assert_int_equal(send(fds[k], call + i, 1, MSG_NOSIGNAL), 1);
                        if (i + 1 < sizeof(call))
                                run_until_idle(f);
                }
        run_until(f, f->n_called == 2);
        run_until_idle(f);
        for (unsigned k = 0; k < 2; k++) {
                char reply[100] = "";
                assert_int_equal(recv(fds[k], reply, sizeof(reply), MSG_DONTWAIT), 28);
                assert_string_equal(reply, "{\"parameters\":{\"text\":\"x\"}}");
                fd_close(fds[k]);
        }
}

static void test_message_too_long(void **state)
{
        Fixture *f = *state;
        _cleanup_(varlink_client_freep) VarlinkClient *other = connect_client(f);
        _cleanup_fd_ int fd = -EBADF;
        size_t n = VARLINK_MESSAGE_MAX + 1;
        _cleanup_free_ char *text = malloc(n);

        connect_raw(f, &fd);
        memset(text, ' ', n);
        write_raw(f, fd, text, n - 1);
        assert_int_equal(varlink_server_connections(f->server), 2);
        expect_service(f, other);
        assert_int_equal(send(fd, " ", 1, MSG_NOSIGNAL), 1);
        run_until(f, varlink_server_connections(f->server) == 1);
        assert_true(is_closed(fd));
        assert_int_equal(varlink_server_disconnected_slow(f->server), 1);
        expect_service(f, other);
}

static void test_reply_too_long(void **state)
{
        Fixture *f = *state;
        _cleanup_(varlink_client_freep) VarlinkClient *c = connect_client(f);
        _cleanup_free_ char *text = malloc(VARLINK_MESSAGE_MAX + 1);

        send_call(c, "io.reeve.Test.Keep", NULL, 0);
        run_until(f, f->n_kept == 1);
        memset(text, 'x', VARLINK_MESSAGE_MAX);
        text[VARLINK_MESSAGE_MAX] = 0;
        assert_int_equal(varlink_call_reply(f->kept[0], json_pack("{ss}", "text", text)), -EMSGSIZE);
        expect_reply(f, c, "io.reeve.Registry.LimitExceeded", NULL);
        expect_service(f, c);
}

/* More calls than may be open: the rest waits, in the kernel or in our buffer, and comes later. */
static void test_pipeline_limit(void **state)
{
        Fixture *f = *state;
        _cleanup_(varlink_client_freep) VarlinkClient *c = connect_client(f), *other = connect_client(f);
        unsigned n = VARLINK_PIPELINE_MAX + 500;

        for (unsigned i = 0; i < n; i++)
                send_call(c, "io.reeve.Test.Keep", NULL, 0);
        VarlinkReply reply;
        ReeveError e;
        for (unsigned i = 0; i < 100; i++) {
                run_until_idle(f);
                assert_int_equal(varlink_client_receive(c, 0, &reply, &e), 0);
        }
        assert_int_equal(f->n_kept, VARLINK_PIPELINE_MAX);
        expect_service(f, other);

        for (unsigned i = 0; i < n; i++) {
                run_until(f, (varlink_client_receive(c, 0, &reply, &e), f->n_kept > i));
                assert_int_equal(varlink_call_reply(f->kept[i], NULL), 0);
                expect_reply(f, c, NULL, "{}");
        }
}

/* Who pipelines large replies and does not read is not read from either; once it reads, all come. */
static void test_reader_that_pauses(void **state)
{
        Fixture *f = *state;
        _cleanup_(varlink_client_freep) VarlinkClient *c = connect_client(f), *other = connect_client(f);
        _cleanup_free_ char *text = malloc(100001);
        unsigned n = 100;

        memset(text, 'x', 100000);
        text[100000] = 0;
        _cleanup_json_ json_t *p = json_pack("{ss}", "text", text);
        for (unsigned i = 0; i < n; i++) {
                send_call(c, "io.reeve.Test.Echo", json_incref(p), 0);
                run_until_idle(f);
        }
        assert_true(f->n_called < 20);
        expect_service(f, other);
        for (unsigned i = 0; i < n; i++)
                expect_reply(f, c, NULL, NULL);
        assert_int_equal(f->n_called, n + 1);
        assert_int_equal(varlink_server_disconnected_slow(f->server), 0);
}

/* A stream to somebody who does not read ends at VARLINK_OUTPUT_MAX. */
static void test_notifications_overflow(void **state)
{
        Fixture *f = *state;
        _cleanup_(varlink_client_freep) VarlinkClient *c = connect_client(f), *other = connect_client(f);
        _cleanup_free_ char *text = malloc(100001);
        size_t sent = 0;
        int r;

        memset(text, 'x', 100000);
        text[100000] = 0;
        send_call(c, "io.reeve.Test.Keep", NULL, VARLINK_CALL_MORE);
        run_until(f, f->n_kept == 1);
        while ((r = varlink_call_notify(f->kept[0], json_pack("{ss}", "text", text))) == 0) {
                sent += 100000;
                assert_true(sent < VARLINK_OUTPUT_MAX + 1024 * 1024);
                run_until_idle(f);
        }
        assert_int_equal(r, -ECONNRESET);
        assert_true(sent > VARLINK_OUTPUT_MAX - 1024 * 1024);
        assert_int_equal(f->n_gone, 1);
        assert_int_equal(varlink_server_disconnected_slow(f->server), 1);
        assert_int_equal(varlink_call_notify(f->kept[0], NULL), -ECONNRESET);
        expect_service(f, other);
}

/* Output without progress for stall_usec. */
static void test_stall(void **state)
{
        Fixture *f = *state;
        VarlinkLimits limits = varlink_limits_default;
        _cleanup_(varlink_client_freep) VarlinkClient *other = connect_client(f);
        int fds[3];

        limits.stall_usec = 50 * USEC_PER_MSEC;
        varlink_server_set_limits(f->server, &limits);
        for (unsigned i = 0; i < ELEMENTSOF(fds); i++) {
                _cleanup_buffer_ Buffer b = { 0 };
                connect_raw(f, fds + i);
                for (unsigned k = 0; k < 20; k++) {
                        buffer_append_text(&b,
                                           "{\"method\":\"io.reeve.Test.Echo\",\"parameters\":{\"text\":\"");
                        for (unsigned m = 0; m < 5000; m++)
                                buffer_append_text(&b, "0123456789");
                        buffer_append_text(&b, "\"}}");
                        buffer_append(&b, "", 1);
                }
                write_until_cut(f, fds[i], b.data, b.size); /* on a slow machine it stalls already */
        }
        run_until(f, varlink_server_connections(f->server) == 1);
        assert_int_equal(varlink_server_disconnected_slow(f->server), ELEMENTSOF(fds));
        expect_service(f, other);
        for (unsigned i = 0; i < ELEMENTSOF(fds); i++) {
                assert_true(is_closed(fds[i]));
                fd_close(fds[i]);
        }
}

/* As many as are needed so that some wait here. */
static unsigned notify_many(Fixture *f, VarlinkCall *call)
{
        char text[3334];
        unsigned n = 0;

        memset(text, 'x', sizeof(text) - 1);
        text[sizeof(text) - 1] = '\0';
        while (varlink_call_queued_bytes(call) < 100000) {
                assert_int_equal(varlink_call_notify(call, json_pack("{ss}", "text", text)), 0);
                run_until_idle(f);
                assert_true(++n < 10000);
        }
        return n;
}

/* Who reads a stream too slowly finds what had been sent whole, and then the reason; and then the end. */
static void test_last_words(void **state)
{
        Fixture *f = *state;
        VarlinkLimits limits = varlink_limits_default;
        _cleanup_(varlink_client_freep) VarlinkClient *c = connect_client(f), *other = connect_client(f);
        VarlinkReply reply = { 0 };
        unsigned n_read = 0;

        limits.stall_usec = 300 * USEC_PER_MSEC;
        varlink_server_set_limits(f->server, &limits);
        send_call(c, "io.reeve.Test.Keep", NULL, VARLINK_CALL_MORE);
        run_until(f, f->n_kept == 1);
        unsigned n = notify_many(f, f->kept[0]);
        run_until(f, varlink_server_disconnected_slow(f->server) == 1);
        assert_int_equal(f->n_gone, 1);
        assert_int_equal(varlink_call_notify(f->kept[0], NULL), -ECONNRESET);
        while (await_reply(f, c, &reply) == 1 && reply.continues) {
                assert_int_equal(strlen(json_get_string(reply.parameters, "text")), 3333);
                varlink_reply_done(&reply);
                n_read++;
        }
        assert_in_range(n_read, 10, n - 10);
        assert_string_equal(reply.error, "io.reeve.Registry.Unavailable");
        assert_non_null(strstr(json_get_string(reply.parameters, "message"), "cut off: nothing was read"));
        varlink_reply_done(&reply);
        run_until(f, varlink_server_connections(f->server) == 1);
        assert_int_equal(await_reply(f, c, &reply), -ECONNRESET);
        assert_int_equal(varlink_server_disconnected_slow(f->server), 1);
        expect_service(f, other);
}

/* Who does not read those either is not waited for. */
static void test_last_words_that_nobody_reads(void **state)
{
        Fixture *f = *state;
        VarlinkLimits limits = varlink_limits_default;
        _cleanup_(varlink_client_freep) VarlinkClient *c = connect_client(f), *other = connect_client(f);

        limits.stall_usec = 50 * USEC_PER_MSEC;
        varlink_server_set_limits(f->server, &limits);
        send_call(c, "io.reeve.Test.Keep", NULL, VARLINK_CALL_MORE);
        send_call(c, "io.reeve.Test.Echo", json_pack("{ss}", "text", "held back"), 0);
        run_until(f, f->n_called == 1);
        notify_many(f, f->kept[0]);
        run_until(f, varlink_server_connections(f->server) == 1);
        assert_int_equal(varlink_server_disconnected_slow(f->server), 1);
        assert_int_equal(f->n_gone, 1);
        expect_service(f, other);
}

static void test_bytes_per_uid(void **state)
{
        Fixture *f = *state;
        VarlinkLimits limits = varlink_limits_default;
        int fds[3];
        _cleanup_free_ char *text = malloc(500000);

        limits.bytes_per_uid_max = 1024 * 1024;
        varlink_server_set_limits(f->server, &limits);
        memset(text, ' ', 500000);
        for (unsigned i = 0; i < ELEMENTSOF(fds); i++) {
                connect_raw(f, fds + i);
                for (size_t n = 0; n < 500000 && !is_closed(fds[i]); n += 10000) {
                        send(fds[i], text + n, 10000, MSG_NOSIGNAL);
                        run_until_idle(f);
                }
        }
        /* two fit exactly, as buffers are powers of two */
        assert_int_equal(varlink_server_connections(f->server), 2);
        assert_int_equal(varlink_server_disconnected_slow(f->server), 1);
        for (unsigned i = 0; i < ELEMENTSOF(fds); i++)
                fd_close(fds[i]);
}

/* Half-closed: the replies still come, then the end. */
static void test_shutdown_for_writing(void **state)
{
        static const char call[] = "{\"method\":\"io.reeve.Test.Keep\"}";
        Fixture *f = *state;
        _cleanup_fd_ int fd = -EBADF;
        char reply[100];

        connect_raw(f, &fd);
        write_raw(f, fd, call, sizeof(call));
        assert_int_equal(shutdown(fd, SHUT_WR), 0);
        run_until(f, f->n_kept == 1);
        run_until_idle(f);
        assert_int_equal(f->n_gone, 0);
        assert_int_equal(varlink_call_reply(f->kept[0], NULL), 0);
        run_until(f, varlink_server_connections(f->server) == 0);
        assert_int_equal(recv(fd, reply, sizeof(reply), MSG_DONTWAIT), strlen("{\"parameters\":{}}") + 1);
        assert_true(is_closed(fd));
}

/* Gone while the server would not read: it must notice and not spin. */
static void test_vanish_while_paused(void **state)
{
        Fixture *f = *state;
        VarlinkClient *c = connect_client(f);
        VarlinkReply reply;
        ReeveError e;

        for (unsigned i = 0; i < VARLINK_PIPELINE_MAX + 10; i++)
                send_call(c, "io.reeve.Test.Keep", NULL, 0);
        run_until(f, (varlink_client_receive(c, 0, &reply, &e), f->n_kept == VARLINK_PIPELINE_MAX));
        varlink_client_free(c);
        run_until(f, varlink_server_connections(f->server) == 0);
        assert_int_equal(f->n_gone, VARLINK_PIPELINE_MAX);
        run_until_idle(f);
}

static void test_vanish_in_the_middle(void **state)
{
        Fixture *f = *state;
        _cleanup_fd_ int fd = -EBADF;

        connect_raw(f, &fd);
        write_raw(f, fd, "{\"method\":", 10);
        fd = fd_close(fd);
        run_until(f, varlink_server_connections(f->server) == 0);
}

static void test_connection_limits(void **state)
{
        Fixture *f = *state;
        VarlinkLimits limits = varlink_limits_default;
        int pair[2], fds[3];

        limits.connections_per_uid_max = 2;
        varlink_server_set_limits(f->server, &limits);
        connect_raw(f, fds);
        connect_raw(f, fds + 1);
        assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
        assert_int_equal(varlink_server_add_connection(f->server, pair[0]), -EUSERS);
        assert_true(is_closed(pair[1]));
        fd_close(pair[1]);

        limits.connections_per_uid_max = 10;
        limits.connections_max = 2;
        varlink_server_set_limits(f->server, &limits);
        assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
        assert_int_equal(varlink_server_add_connection(f->server, pair[0]), -EUSERS);
        fd_close(pair[1]);

        fd_close(fds[0]);
        run_until(f, varlink_server_connections(f->server) == 1);
        connect_raw(f, fds + 2);
        fd_close(fds[1]);
        fd_close(fds[2]);
}

static int connect_path(const char *path)
{
        struct sockaddr_un address = { .sun_family = AF_UNIX };
        int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

        assert_true(fd >= 0);
        strcpy(address.sun_path, path);
        if (connect(fd, (const struct sockaddr *)&address, sizeof(address)) < 0)
                return fd_close(fd);
        return fd;
}

/* 2,000 connections at one socket, with descriptors for fewer: those who are in are served throughout,
 * nothing spins, and when some leave others get in. */
static void test_connection_flood(void **state)
{
        Fixture *f = *state;
        char folder[] = "/tmp/reeve-test-XXXXXX";
        ReeveError e = REEVE_ERROR_NULL;
        struct rlimit old;
        static int fds[2000];
        _cleanup_(varlink_client_freep) VarlinkClient *first = NULL;

        assert_int_equal(getrlimit(RLIMIT_NOFILE, &old), 0);
        if (old.rlim_max < 2600) {
                print_message("needs 2,600 descriptors, the limit is %lu\n", (unsigned long)old.rlim_max);
                skip();
        }
        assert_int_equal(setrlimit(RLIMIT_NOFILE, &(struct rlimit){ 2600, old.rlim_max }), 0);

        assert_non_null(mkdtemp(folder));
        _cleanup_free_ char *path = string_printf("%s/socket", folder);
        assert_ok(varlink_server_listen_path(f->server, path, 0600, &e), e);
        assert_ok(varlink_client_connect(path, &first, &e), e);
        expect_service(f, first);

        /* by our limit: accepted and closed */
        for (size_t i = 0; i < ELEMENTSOF(fds); i++) {
                fds[i] = connect_path(path);
                assert_true(fds[i] >= 0);
                run_until_idle(f);
        }
        assert_int_equal(varlink_server_connections(f->server), VARLINK_CONNECTIONS_PER_UID_MAX);
        expect_service(f, first);
        assert_true(is_closed(fds[ELEMENTSOF(fds) - 1]));
        for (size_t i = 0; i < ELEMENTSOF(fds); i++)
                fd_close(fds[i]);
        run_until(f, varlink_server_connections(f->server) == 1);

        /* by the process's: kept waiting */
        int lowest = dup(STDERR_FILENO);
        fd_close(lowest);
        for (size_t i = 0; i < 20; i++)
                fds[i] = connect_path(path);
        assert_int_equal(setrlimit(RLIMIT_NOFILE, &(struct rlimit){ (rlim_t)lowest + 20, old.rlim_max }), 0);
        run_until_idle(f);
        expect_service(f, first);
        assert_int_equal(varlink_server_connections(f->server), 1);
        assert_int_equal(setrlimit(RLIMIT_NOFILE, &old), 0);
        run_until(f, varlink_server_connections(f->server) == 21);

        for (size_t i = 0; i < 20; i++)
                fd_close(fds[i]);
        unlink(path);
        rmdir(folder);
}

/* The client against something that is no varlink server. */
static void test_client_refuses(void **state)
{
        static const struct {
                const char *data;
                size_t size;
                int expected;
        } cases[] = {
                { "x", 2, -EBADMSG },
                { "{\"parameters\":{},\"more\":true}", 30, -EBADMSG },
                { "{\"error\":1}", 12, -EBADMSG },
                { "{\"error\":\"a.B\",\"continues\":true}", 33, -EBADMSG },
                { "{\"par", 5, -ECONNRESET },
                { "", 0, -ECONNRESET },
                { "{}", 3, 1 },
        };

        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                _cleanup_(varlink_client_freep) VarlinkClient *c = NULL;
                VarlinkReply reply;
                ReeveError e = REEVE_ERROR_NULL;
                int pair[2];

                assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
                assert_int_equal(varlink_client_new_fd(pair[0], &c), 0);
                send_call(c, "a.b.C", NULL, 0);
                assert_int_equal(varlink_client_receive(c, 0, &reply, &e), 0);
                assert_int_equal(varlink_client_receive(c, 1000, &reply, &e), 0);
                assert_int_equal(send(pair[1], cases[i].data, cases[i].size, 0), cases[i].size);
                char call[100];
                assert_true(recv(pair[1], call, sizeof(call), 0) > 0);
                fd_close(pair[1]);
                assert_errno(varlink_client_receive(c, USEC_INFINITY, &reply, &e), cases[i].expected,
                             cases[i].data);
                varlink_reply_done(&reply);
                int r = varlink_client_receive(c, 0, &reply, &e);
                assert_errno(r, MIN(cases[i].expected, 0) ?: -ECONNRESET, "afterwards");
                assert_true(varlink_client_send(c, "a.b.C", NULL, 0, NULL, 0, &e) < 0);
        }
}

/* A reply that nobody asked for. */
static void test_client_unexpected_reply(void **state)
{
        _cleanup_(varlink_client_freep) VarlinkClient *c = NULL;
        VarlinkReply reply;
        ReeveError e = REEVE_ERROR_NULL;
        int pair[2];

        assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
        assert_int_equal(varlink_client_new_fd(pair[0], &c), 0);
        assert_int_equal(send(pair[1], "{}", 3, 0), 3);
        assert_int_equal(varlink_client_receive(c, 0, &reply, &e), -EBADMSG);
        fd_close(pair[1]);
}

/* A server that does not read: the client queues, up to a limit. */
static void test_client_output_limit(void **state)
{
        _cleanup_(varlink_client_freep) VarlinkClient *c = NULL;
        _cleanup_free_ char *text = malloc(1000001);
        ReeveError e = REEVE_ERROR_NULL;
        int pair[2], r;
        unsigned n = 0;

        memset(text, 'x', 1000000);
        text[1000000] = 0;
        _cleanup_json_ json_t *p = json_pack("{ss}", "text", text);
        assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
        assert_int_equal(varlink_client_new_fd(pair[0], &c), 0);
        while ((r = varlink_client_send(c, "a.b.C", p, 0, NULL, 0, &e)) == 0)
                assert_true(++n < 20);
        assert_int_equal(r, -E2BIG);
        assert_true(n >= 16);
        fd_close(pair[1]);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
        const struct CMUnitTest tests[] = {
                TEST(test_broken_messages),
                TEST(test_deep_message),
                TEST(test_byte_by_byte),
                TEST(test_message_too_long),
                TEST(test_reply_too_long),
                TEST(test_pipeline_limit),
                TEST(test_reader_that_pauses),
                TEST(test_notifications_overflow),
                TEST(test_stall),
                TEST(test_last_words),
                TEST(test_last_words_that_nobody_reads),
                TEST(test_bytes_per_uid),
                TEST(test_shutdown_for_writing),
                TEST(test_vanish_while_paused),
                TEST(test_vanish_in_the_middle),
                TEST(test_connection_limits),
                TEST(test_connection_flood),
                cmocka_unit_test(test_client_refuses),
                cmocka_unit_test(test_client_unexpected_reply),
                cmocka_unit_test(test_client_output_limit),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
