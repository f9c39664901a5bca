/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The server and the client library against each other: calls, errors, order of replies, streams,
 * descriptors, life of calls. What hostile or absent peers do is in test-varlink-limits.c. */

#include <sys/stat.h>

#include "tests/unit/common/test-varlink-io.h"

static const char definition[] = "interface io.reeve.Test\n"
                                 "type Point (x: int, y: ?int)\n"
                                 "method Echo(text: string) -> (text: string)\n"
                                 "method Draw(points: []Point) -> (n: int)\n"
                                 "method Keep(n: ?int) -> (n: int)\n"
                                 "method Stream(n: int) -> (n: int)\n"
                                 "method Count(n: int) -> ()\n"
                                 "method Fail(errno: int) -> ()\n"
                                 "method Files(n: int) -> (sizes: []int)\n"
                                 "method Missing() -> ()\n"
                                 "method End() -> ()\n"
                                 "error Odd (n: int)\n";

static json_t *number(int64_t n)
{
        return json_pack("{sI}", "n", (json_int_t)n);
}

static int on_echo(VarlinkCall *call, json_t *parameters, void *userdata)
{
        return varlink_call_reply(call, json_incref(parameters));
}

static int on_draw(VarlinkCall *call, json_t *parameters, void *userdata)
{
        return varlink_call_reply(call,
                                  number((int64_t)json_array_size(json_object_get(parameters, "points"))));
}

static void on_gone(VarlinkCall *call, void *userdata)
{
        ((Fixture *)userdata)->n_gone++;
}

static void on_drained(VarlinkCall *call, void *userdata)
{
        ((Fixture *)userdata)->n_drained++;
}

static int on_keep(VarlinkCall *call, json_t *parameters, void *userdata)
{
        Fixture *f = userdata;

        varlink_call_set_handlers(call, on_gone, on_drained, f);
        f->kept[f->n_kept++] = varlink_call_ref(call);
        return 0;
}

static int on_stream(VarlinkCall *call, json_t *parameters, void *userdata)
{
        int64_t n = json_get_integer(parameters, "n", 0);

        for (int64_t i = 0; i < n; i++)
                assert_int_equal(varlink_call_notify(call, number(i)), 0);
        return varlink_call_reply(call, number(n));
}

static int on_count(VarlinkCall *call, json_t *parameters, void *userdata)
{
        Fixture *f = userdata;

        f->sum += json_get_integer(parameters, "n", 0);
        f->n_called++;
        return varlink_call_reply(call, NULL);
}

static int on_fail(VarlinkCall *call, json_t *parameters, void *userdata)
{
        return (int)-json_get_integer(parameters, "errno", 0);
}

/* Answers the sizes of the n files that came, and sends them back in reverse. */
static int on_files(VarlinkCall *call, json_t *parameters, void *userdata)
{
        json_t *sizes = json_array();

        for (size_t i = varlink_call_n_fds(call); i-- > 0;) {
                struct stat st;
                int fd = varlink_call_take_fd(call, i);
                assert_true(fd >= 0);
                assert_int_equal(fstat(fd, &st), 0);
                assert_true(fcntl(fd, F_GETFD) & FD_CLOEXEC);
                json_array_append_new(sizes, json_integer(st.st_size));
                assert_true(varlink_call_push_fd(call, fd) >= 0);
                assert_int_equal(varlink_call_take_fd(call, i), -ENOENT);
        }
        assert_int_equal(varlink_call_take_fd(call, 100), -ENOENT);
        return varlink_call_reply(call, json_pack("{so}", "sizes", sizes));
}

static int on_end(VarlinkCall *call, json_t *parameters, void *userdata)
{
        Fixture *f = userdata;

        f->server = varlink_server_free(f->server);
        assert_int_equal(varlink_call_reply(call, NULL), 0);
        return 0;
}

static const VarlinkMethod methods[] = {
        { "Echo", on_echo, 0 },   { "Draw", on_draw, 0 },
        { "Keep", on_keep, 0 },   { "Stream", on_stream, VARLINK_METHOD_MORE },
        { "Count", on_count, 0 }, { "Fail", on_fail, 0 },
        { "Files", on_files, 0 }, { "Missing", NULL, 0 },
        { "End", on_end, 0 },
};

static const VarlinkServerInfo info = { "reeve", "test", "1", "https://example.org" };

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

        varlink_server_free(f->server);
        for (size_t i = 0; i < f->n_kept; i++)
                varlink_call_unref(f->kept[i]);
        sd_event_unref(f->event);
        free(f);
        return 0;
}

static void drop_kept(Fixture *f, size_t i)
{
        varlink_call_unref(f->kept[i]);
        f->kept[i] = f->kept[--f->n_kept];
}

static void test_echo(void **state)
{
        Fixture *f = *state;
        _cleanup_(varlink_client_freep) VarlinkClient *c = connect_client(f);

        send_call(c, "io.reeve.Test.Echo", json_pack("{ss}", "text", "h\xc3\xa9"), 0);
        expect_reply(f, c, NULL, "{\"text\":\"h\xc3\xa9\"}");
        assert_int_equal(varlink_server_connections(f->server), 1);
}

static void test_standard_errors(void **state)
{
        Fixture *f = *state;
        _cleanup_(varlink_client_freep) VarlinkClient *c = connect_client(f);

        send_call(c, "io.reeve.Other.Echo", NULL, 0);
        expect_reply(f, c, VARLINK_ERROR_INTERFACE_NOT_FOUND, "{\"interface\":\"io.reeve.Other\"}");
        send_call(c, "Echo", NULL, 0);
        expect_reply(f, c, VARLINK_ERROR_INTERFACE_NOT_FOUND, "{\"interface\":\"Echo\"}");
        send_call(c, "", NULL, 0);
        expect_reply(f, c, VARLINK_ERROR_INTERFACE_NOT_FOUND, "{\"interface\":\"\"}");
        send_call(c, "io.reeve.Test.", NULL, 0);
        expect_reply(f, c, VARLINK_ERROR_METHOD_NOT_FOUND, "{\"method\":\"io.reeve.Test.\"}");
        send_call(c, "io.reeve.Test.Odd", NULL, 0);
        expect_reply(f, c, VARLINK_ERROR_METHOD_NOT_FOUND, "{\"method\":\"io.reeve.Test.Odd\"}");
        send_call(c, "io.reeve.Test.Missing", NULL, 0);
        expect_reply(f, c, VARLINK_ERROR_METHOD_NOT_IMPLEMENTED, "{\"method\":\"io.reeve.Test.Missing\"}");
        send_call(c, "io.reeve.Test.Stream", number(1), 0);
        expect_reply(f, c, VARLINK_ERROR_EXPECTED_MORE, "{}");
}

static void test_invalid_parameters(void **state)
{
        static const struct {
                const char *method, *parameters, *at;
        } cases[] = {
                { "Echo", "{}", "text" },
                { "Echo", "{\"text\":1}", "text" },
                { "Echo", "{\"text\":null}", "text" },
                { "Echo", "{\"text\":\"\",\"more\":1}", "more" },
                { "Draw", "{\"points\":{}}", "points" },
                { "Draw", "{\"points\":[{\"x\":1},{\"x\":1,\"y\":\"2\"}]}", "points[1].y" },
                { "Draw", "{\"points\":[{\"y\":null}]}", "points[0].x" },
                { "Draw", "{\"points\":[{\"x\":1,\"z\":1}]}", "points[0].z" },
                { "Keep", "{\"n\":1.0}", "n" },
        };
        Fixture *f = *state;
        _cleanup_(varlink_client_freep) VarlinkClient *c = connect_client(f);

        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                _cleanup_free_ char *method = string_printf("io.reeve.Test.%s", cases[i].method);
                _cleanup_free_ char *expected = string_printf("{\"parameter\":\"%s\"}", cases[i].at);
                send_call(c, method, json_loads(cases[i].parameters, 0, NULL), 0);
                expect_reply(f, c, VARLINK_ERROR_INVALID_PARAMETER, expected);
        }
        assert_int_equal(f->n_kept, 0);
}

static void test_handler_errors(void **state)
{
        Fixture *f = *state;
        _cleanup_(varlink_client_freep) VarlinkClient *c = connect_client(f);
        ReeveError e = REEVE_ERROR_NULL;
        _cleanup_json_ json_t *p = json_pack("{si}", "errno", ENOSPC);

        send_call(c, "io.reeve.Test.Fail", json_incref(p), 0);
        expect_reply(f, c, "io.reeve.Registry.Internal",
                     "{\"message\":\"io.reeve.Test.Fail: No space left on device\",\"errno\":28}");

        /* not answered at all */
        send_call(c, "io.reeve.Test.Fail", json_pack("{si}", "errno", 0), 0);
        VarlinkReply reply;
        assert_int_equal(await_reply(f, c, &reply), 1);
        assert_int_equal(varlink_reply_to_error(&reply, &e), -EIO);
        assert_int_equal(e.code, REEVE_ERROR_INTERNAL);
        assert_string_equal(e.text, "io.reeve.Test.Fail was given up without an answer");
        varlink_reply_done(&reply);
}

static void test_reeve_error(void **state)
{
        Fixture *f = *state;
        _cleanup_(varlink_client_freep) VarlinkClient *c = connect_client(f);
        ReeveError e, got = REEVE_ERROR_NULL;

        send_call(c, "io.reeve.Test.Keep", NULL, 0);
        run_until(f, f->n_kept == 1);
        reeve_error_set(&e, REEVE_ERROR_EXEC_FAILED, NULL, "cannot run it");
        strcpy(e.field, "/bin/\xff"); /* reeve_error_set() would have repaired it */
        e.number = ENOENT;
        assert_int_equal(varlink_call_reeve_error(f->kept[0], &e), 0);
        assert_int_equal(varlink_call_reply(f->kept[0], NULL), -EBUSY);

        VarlinkReply reply;
        assert_int_equal(await_reply(f, c, &reply), 1);
        assert_int_equal(varlink_reply_to_error(&reply, &got), -ENOEXEC);
        assert_int_equal(got.code, REEVE_ERROR_EXEC_FAILED);
        assert_int_equal(got.number, ENOENT);
        assert_string_equal(got.text, "cannot run it");
        assert_string_equal(got.field, "/bin/\xef\xbf\xbd");
        varlink_reply_done(&reply);
}

static void test_replies_in_order(void **state)
{
        Fixture *f = *state;
        _cleanup_(varlink_client_freep) VarlinkClient *c = connect_client(f);
        VarlinkReply reply;
        ReeveError e;

        for (unsigned i = 0; i < 5; i++)
                send_call(c, "io.reeve.Test.Keep", number(i), 0);
        send_call(c, "io.reeve.Test.Echo", json_pack("{ss}", "text", "last"), 0);
        run_until(f, f->n_kept == 5);
        run_until_idle(f);
        for (unsigned i = 5; i-- > 0;) {
                assert_int_equal(varlink_client_receive(c, 0, &reply, &e), 0);
                assert_int_equal(varlink_call_reply(f->kept[i], number(i)), 0);
                run_until_idle(f);
        }
        for (unsigned i = 0; i < 5; i++) {
                _cleanup_free_ char *expected = string_printf("{\"n\":%u}", i);
                expect_reply(f, c, NULL, expected);
        }
        expect_reply(f, c, NULL, "{\"text\":\"last\"}");
        assert_int_equal(f->n_gone, 0);
}

static void test_stream(void **state)
{
        Fixture *f = *state;
        _cleanup_(varlink_client_freep) VarlinkClient *c = connect_client(f);

        send_call(c, "io.reeve.Test.Stream", number(3), VARLINK_CALL_MORE);
        for (int i = 0; i <= 3; i++) {
                VarlinkReply reply;
                assert_int_equal(await_reply(f, c, &reply), 1);
                assert_int_equal(json_get_integer(reply.parameters, "n", -1), i);
                assert_int_equal(reply.continues, i < 3);
                varlink_reply_done(&reply);
        }
}

static void test_notifications_wait_for_their_turn(void **state)
{
        Fixture *f = *state;
        _cleanup_(varlink_client_freep) VarlinkClient *c = connect_client(f);
        VarlinkReply reply;
        ReeveError e;

        send_call(c, "io.reeve.Test.Keep", NULL, 0);
        send_call(c, "io.reeve.Test.Keep", NULL, VARLINK_CALL_MORE);
        run_until(f, f->n_kept == 2);
        assert_false(varlink_call_wants_more(f->kept[0]));
        assert_true(varlink_call_wants_more(f->kept[1]));
        assert_int_equal(varlink_call_notify(f->kept[0], number(0)), -EINVAL);
        assert_int_equal(varlink_call_notify(f->kept[1], number(2)), 0);
        assert_true(varlink_call_queued_bytes(f->kept[1]) > 0);
        run_until_idle(f);
        assert_int_equal(varlink_client_receive(c, 0, &reply, &e), 0);
        assert_int_equal(f->n_drained, 0);

        assert_int_equal(varlink_call_reply(f->kept[0], number(1)), 0);
        expect_reply(f, c, NULL, "{\"n\":1}");
        expect_reply(f, c, NULL, "{\"n\":2}");
        assert_int_equal(f->n_drained, 1);
        assert_int_equal(varlink_call_queued_bytes(f->kept[1]), 0);
        assert_int_equal(varlink_call_notify(f->kept[1], number(3)), 0);
        expect_reply(f, c, NULL, "{\"n\":3}");
        assert_int_equal(varlink_call_reply(f->kept[1], number(4)), 0);
        assert_int_equal(varlink_call_notify(f->kept[1], number(5)), -EBUSY);
        expect_reply(f, c, NULL, "{\"n\":4}");
}

static void test_oneway(void **state)
{
        Fixture *f = *state;
        _cleanup_(varlink_client_freep) VarlinkClient *c = connect_client(f);

        send_call(c, "io.reeve.Test.Count", number(20), VARLINK_CALL_ONEWAY);
        send_call(c, "io.reeve.Test.Count", NULL, VARLINK_CALL_ONEWAY); /* an error that nobody hears of */
        send_call(c, "io.reeve.Test.Keep", NULL, VARLINK_CALL_ONEWAY);  /* answered late, holds up nobody */
        send_call(c, "io.reeve.Test.Count", number(22), 0);
        expect_reply(f, c, NULL, "{}");
        assert_int_equal(f->sum, 42);
        assert_true(varlink_call_is_oneway(f->kept[0]));
        assert_int_equal(varlink_call_push_fd(f->kept[0], open("/dev/null", O_RDONLY | O_CLOEXEC)), 0);
        assert_int_equal(varlink_call_reply(f->kept[0], NULL), 0);
        assert_int_equal(varlink_call_error(f->kept[0], "io.reeve.Test.Odd", NULL), -EBUSY);
}

/* Who calls oneway and leaves is served all the same. 200 is more than one turn, and fits into the
 * socket. */
static void test_oneway_and_gone(void **state)
{
        Fixture *f = *state;
        VarlinkClient *c = connect_client(f);

        send_call(c, "io.reeve.Test.Echo", json_pack("{ss}", "text", "unheard"), 0);
        for (unsigned i = 0; i < 200; i++)
                send_call(c, "io.reeve.Test.Count", number(1), VARLINK_CALL_ONEWAY);
        varlink_client_free(c);
        run_until(f, varlink_server_connections(f->server) == 0);
        assert_int_equal(f->sum, 200);
}

static int file_of_size(off_t size)
{
        int fd = open("/tmp", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);

        assert_true(fd >= 0);
        assert_int_equal(ftruncate(fd, size), 0);
        return fd;
}

/* Calls with and without descriptors, pipelined: each gets its own. */
static void test_descriptors(void **state)
{
        Fixture *f = *state;
        _cleanup_(varlink_client_freep) VarlinkClient *c = connect_client(f);
        ReeveError e = REEVE_ERROR_NULL;
        int fds[3] = { file_of_size(11), file_of_size(22), file_of_size(33) };
        _cleanup_json_ json_t *p = number(0);

        send_call(c, "io.reeve.Test.Files", number(0), 0);
        assert_ok(varlink_client_send(c, "io.reeve.Test.Files", p, 0, fds, 2, &e), e);
        send_call(c, "io.reeve.Test.Files", number(0), 0);
        assert_ok(varlink_client_send(c, "io.reeve.Test.Files", p, 0, fds + 2, 1, &e), e);
        assert_ok(varlink_client_send(c, "io.reeve.Test.Files", p, 0, fds, 3, &e), e);
        for (unsigned i = 0; i < 3; i++)
                fd_close(fds[i]);

        static const char *const expected[] = { "{\"sizes\":[]}", "{\"sizes\":[22,11]}", "{\"sizes\":[]}",
                                                "{\"sizes\":[33]}", "{\"sizes\":[33,22,11]}" };
        for (unsigned i = 0; i < ELEMENTSOF(expected); i++) {
                VarlinkReply reply;
                struct stat st;
                assert_int_equal(await_reply(f, c, &reply), 1);
                _cleanup_free_ char *text = json_format(reply.parameters);
                assert_string_equal(text, expected[i]);
                json_t *sizes = json_object_get(reply.parameters, "sizes");
                assert_int_equal(reply.n_fds, json_array_size(sizes));
                for (size_t k = 0; k < reply.n_fds; k++) {
                        assert_int_equal(fstat(reply.fds[k], &st), 0);
                        assert_int_equal(st.st_size, json_integer_value(json_array_get(sizes, k)));
                }
                varlink_reply_done(&reply);
        }
}

static void test_too_many_descriptors(void **state)
{
        Fixture *f = *state;
        _cleanup_(varlink_client_freep) VarlinkClient *c = connect_client(f);
        ReeveError e = REEVE_ERROR_NULL;
        int fds[VARLINK_FDS_MAX + 1];

        for (unsigned i = 0; i < ELEMENTSOF(fds); i++)
                fds[i] = STDERR_FILENO;
        assert_error(varlink_client_send(c, "io.reeve.Test.Files", NULL, 0, fds, ELEMENTSOF(fds), &e), e,
                     REEVE_ERROR_LIMIT_EXCEEDED, "fds");
        fds[0] = -EBADF;
        assert_int_equal(varlink_client_send(c, "io.reeve.Test.Files", NULL, 0, fds, 1, &e), -EBADF);

        send_call(c, "io.reeve.Test.Keep", NULL, 0);
        run_until(f, f->n_kept == 1);
        for (unsigned i = 0; i < VARLINK_FDS_MAX; i++)
                assert_int_equal(varlink_call_push_fd(f->kept[0], dup(STDERR_FILENO)), i);
        assert_int_equal(varlink_call_push_fd(f->kept[0], dup(STDERR_FILENO)), -E2BIG);
        assert_int_equal(varlink_call_reply(f->kept[0], number(1)), 0);
        VarlinkReply reply;
        assert_int_equal(await_reply(f, c, &reply), 1);
        assert_int_equal(reply.n_fds, VARLINK_FDS_MAX);
        varlink_reply_done(&reply);
}

static void test_peer_gone(void **state)
{
        Fixture *f = *state;
        VarlinkClient *c = connect_client(f);

        send_call(c, "io.reeve.Test.Keep", NULL, 0);
        send_call(c, "io.reeve.Test.Keep", NULL, VARLINK_CALL_MORE);
        send_call(c, "io.reeve.Test.Keep", NULL, VARLINK_CALL_ONEWAY);
        run_until(f, f->n_kept == 3);
        assert_int_equal(varlink_call_reply(f->kept[1], number(1)), 0); /* held back for ever */
        assert_int_equal(varlink_call_peer(f->kept[0])->uid, getuid());
        assert_int_equal(varlink_call_peer(f->kept[0])->pid, getpid());
        assert_int_equal(varlink_call_peer_in_group(f->kept[0], getgid()), 1);
        assert_int_equal(varlink_call_peer_in_group(f->kept[0], (gid_t)-2), 0);
        varlink_client_free(c);
        run_until(f, varlink_server_connections(f->server) == 0);
        assert_int_equal(f->n_gone, 2);
        assert_int_equal(varlink_call_peer_in_group(f->kept[0], (gid_t)-2), -ENOTCONN);
        assert_int_equal(varlink_call_reply(f->kept[0], number(1)), 0);
        assert_int_equal(varlink_call_reply(f->kept[0], number(1)), -EBUSY);
        assert_string_equal(varlink_call_method(f->kept[0]), "io.reeve.Test.Keep");
        assert_int_equal(f->n_gone, 2);
}

static void test_unref_answers(void **state)
{
        Fixture *f = *state;
        _cleanup_(varlink_client_freep) VarlinkClient *c = connect_client(f);

        send_call(c, "io.reeve.Test.Keep", NULL, 0);
        send_call(c, "io.reeve.Test.Keep", NULL, 0);
        run_until(f, f->n_kept == 2);
        drop_kept(f, 1);
        drop_kept(f, 0);
        expect_reply(f, c, "io.reeve.Registry.Internal", NULL);
        expect_reply(f, c, "io.reeve.Registry.Internal", NULL);
        assert_int_equal(f->n_gone, 0);
}

static void test_server_freed_under_calls(void **state)
{
        Fixture *f = *state;
        _cleanup_(varlink_client_freep) VarlinkClient *c = connect_client(f), *d = connect_client(f);
        VarlinkReply reply;

        send_call(c, "io.reeve.Test.Keep", NULL, 0);
        send_call(c, "io.reeve.Test.Keep", NULL, 0);
        send_call(d, "io.reeve.Test.Keep", NULL, VARLINK_CALL_MORE);
        run_until(f, f->n_kept == 3);
        f->server = varlink_server_free(f->server);
        assert_int_equal(f->n_gone, 3);
        assert_int_equal(varlink_call_reply(f->kept[0], number(1)), 0);
        assert_int_equal(await_reply(f, c, &reply), -ECONNRESET);
        assert_int_equal(await_reply(f, d, &reply), -ECONNRESET);
}

static void test_server_freed_by_handler(void **state)
{
        Fixture *f = *state;
        _cleanup_(varlink_client_freep) VarlinkClient *c = connect_client(f), *d = connect_client(f);
        VarlinkReply reply;

        send_call(d, "io.reeve.Test.Keep", NULL, 0);
        send_call(c, "io.reeve.Test.End", NULL, 0);
        send_call(c, "io.reeve.Test.End", NULL, 0);
        run_until(f, !f->server);
        run_until_idle(f);
        assert_int_equal(await_reply(f, c, &reply), -ECONNRESET);
}

/* The callback of one call answers and frees another of the same peer. */
static void on_gone_drop_all(VarlinkCall *call, void *userdata)
{
        Fixture *f = userdata;

        f->n_gone++;
        while (f->n_kept > 0) {
                VarlinkCall *kept = f->kept[--f->n_kept];
                varlink_call_reply(kept, NULL);
                varlink_call_unref(kept);
        }
}

static void test_gone_callback_drops_the_others(void **state)
{
        Fixture *f = *state;
        VarlinkClient *c = connect_client(f);

        for (unsigned i = 0; i < 4; i++)
                send_call(c, "io.reeve.Test.Keep", NULL, i == 3 ? VARLINK_CALL_ONEWAY : 0);
        run_until(f, f->n_kept == 4);
        for (unsigned i = 0; i < 4; i++)
                varlink_call_set_handlers(f->kept[i], on_gone_drop_all, NULL, f);
        assert_int_equal(varlink_call_reply(f->kept[1], NULL), 0);
        varlink_client_free(c);
        run_until(f, varlink_server_connections(f->server) == 0);
        assert_int_equal(f->n_gone, 1);
}

static void test_service_describes_itself(void **state)
{
        Fixture *f = *state;
        _cleanup_(varlink_client_freep) VarlinkClient *c = connect_client(f);
        VarlinkReply reply;

        send_call(c, "org.varlink.service.GetInfo", NULL, 0);
        expect_reply(f, c, NULL,
                     "{\"vendor\":\"reeve\",\"product\":\"test\",\"version\":\"1\",\"url\":\"https://"
                     "example.org\","
                     "\"interfaces\":[\"org.varlink.service\",\"io.reeve.Test\"]}");
        send_call(c, "org.varlink.service.GetInterfaceDescription",
                  json_pack("{ss}", "interface", "io.reeve.Test"), 0);
        assert_int_equal(await_reply(f, c, &reply), 1);
        assert_string_equal(json_get_string(reply.parameters, "description"), definition);
        varlink_reply_done(&reply);
        send_call(c, "org.varlink.service.GetInterfaceDescription",
                  json_pack("{ss}", "interface", "org.varlink.service"), 0);
        assert_int_equal(await_reply(f, c, &reply), 1);
        assert_non_null(strstr(json_get_string(reply.parameters, "description"),
                               "interface org.varlink.service\n"));
        varlink_reply_done(&reply);
        send_call(c, "org.varlink.service.GetInterfaceDescription", json_pack("{ss}", "interface", "a.b"),
                  0);
        expect_reply(f, c, VARLINK_ERROR_INTERFACE_NOT_FOUND, "{\"interface\":\"a.b\"}");
}

static void test_add_interface(void **state)
{
        static const VarlinkMethod one[] = { { "One", on_echo, 0 } },
                                   twice[] = { { "One", on_echo, 0 }, { "One", on_echo, 0 } };
        static const struct {
                const char *text;
                const VarlinkMethod *methods;
                size_t n;
                ReeveErrorCode code;
                const char *field;
        } cases[] = {
                { "interface a.b\nmethod One() ->", one, 1, REEVE_ERROR_INVALID_ARGUMENT, "" },
                { "interface a.b\nmethod One() -> ()", NULL, 0, REEVE_ERROR_INVALID_ARGUMENT, "One" },
                { "interface a.b\ntype One ()", one, 1, REEVE_ERROR_INVALID_ARGUMENT, "One" },
                { "interface a.b\nmethod One() -> ()", twice, 2, REEVE_ERROR_INVALID_ARGUMENT, "One" },
                { "interface org.varlink.service\nmethod One() -> ()", one, 1, REEVE_ERROR_ALREADY_EXISTS,
                  "org.varlink.service" },
        };
        Fixture *f = *state;

        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                VarlinkInterface interface = { cases[i].text, cases[i].methods, cases[i].n, NULL };
                ReeveError e = REEVE_ERROR_NULL;
                assert_error(varlink_server_add_interface(f->server, &interface, &e), e, cases[i].code,
                             cases[i].field);
        }
}

static void test_listen_and_connect(void **state)
{
        Fixture *f = *state;
        char folder[] = "/tmp/reeve-test-XXXXXX";
        ReeveError e = REEVE_ERROR_NULL;
        struct stat st;

        assert_non_null(mkdtemp(folder));
        _cleanup_free_ char *path = string_printf("%s/socket", folder),
                            *file = string_printf("%s/file", folder);
        _cleanup_(varlink_client_freep) VarlinkClient *c = NULL;

        assert_error(varlink_client_connect(path, &c, &e), e, REEVE_ERROR_UNAVAILABLE, path);
        assert_ok(varlink_server_listen_path(f->server, path, 0666, &e), e);
        assert_ok(varlink_server_listen_path(f->server, path, 0600, &e), e);
        assert_int_equal(stat(path, &st), 0);
        assert_int_equal(st.st_mode & 0777, 0600);

        assert_ok(varlink_client_connect(path, &c, &e), e);
        send_call(c, "io.reeve.Test.Echo", json_pack("{ss}", "text", ""), 0);
        expect_reply(f, c, NULL, "{\"text\":\"\"}");

        fd_close(open(file, O_CREAT | O_WRONLY | O_CLOEXEC, 0600));
        assert_error(varlink_server_listen_path(f->server, file, 0666, &e), e, REEVE_ERROR_ALREADY_EXISTS,
                     file);
        assert_error(varlink_server_listen_path(f->server, "", 0666, &e), e, REEVE_ERROR_INVALID_ARGUMENT,
                     "");
        assert_error(varlink_client_connect("", &c, &e), e, REEVE_ERROR_INVALID_ARGUMENT, "");
        unlink(file);
        unlink(path);
        rmdir(folder);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
        const struct CMUnitTest tests[] = {
                TEST(test_echo),
                TEST(test_standard_errors),
                TEST(test_invalid_parameters),
                TEST(test_handler_errors),
                TEST(test_reeve_error),
                TEST(test_replies_in_order),
                TEST(test_stream),
                TEST(test_notifications_wait_for_their_turn),
                TEST(test_oneway),
                TEST(test_oneway_and_gone),
                TEST(test_descriptors),
                TEST(test_too_many_descriptors),
                TEST(test_peer_gone),
                TEST(test_unref_answers),
                TEST(test_server_freed_under_calls),
                TEST(test_server_freed_by_handler),
                TEST(test_gone_callback_drops_the_others),
                TEST(test_service_describes_itself),
                TEST(test_add_interface),
                TEST(test_listen_and_connect),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
