/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Framing by itself, over a socketpair: pieces, limits, and which message descriptors belong to. */

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include "basic/fd.h"
#include "basic/strings.h"
#include "common/json/json.h"
#include "common/varlink/varlink-frame.h"
#include "tests/unit/test.h"

typedef struct Pair {
        int fds[2];
        VarlinkReader reader; /* of fds[1] */
        VarlinkWriter writer; /* to fds[0] */
} Pair;

static int setup(void **state)
{
        Pair *p = NEW0(Pair, 1);

        assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, p->fds), 0);
        varlink_writer_init(&p->writer);
        *state = p;
        return 0;
}

static int teardown(void **state)
{
        Pair *p = *state;

        varlink_reader_done(&p->reader);
        varlink_writer_clear(&p->writer);
        fd_close(p->fds[0]);
        fd_close(p->fds[1]);
        free(p);
        return 0;
}

/* The next message must be this text with n descriptors, which are returned. */
static void expect_message(Pair *p, const char *expected, int fds[static VARLINK_FDS_MAX],
                           size_t expected_fds)
{
        const char *text;
        size_t size, n;

        if (varlink_reader_next(&p->reader, &text, &size, fds, &n) != 1)
                fail_msg("expected %s, got nothing", expected);
        if (size != strlen(expected) || memcmp(text, expected, size) != 0)
                fail_msg("expected %s, got %.*s", expected, (int)size, text);
        if (n != expected_fds)
                fail_msg("%s: expected %zu descriptors, got %zu", expected, expected_fds, n);
}

static void expect_nothing(Pair *p)
{
        int fds[VARLINK_FDS_MAX];
        const char *text;
        size_t size, n;

        assert_int_equal(varlink_reader_next(&p->reader, &text, &size, fds, &n), 0);
}

static void test_byte_by_byte(void **state)
{
        static const char stream[] = "{\"a\":1}\0{}\0\0last";
        Pair *p = *state;
        int fds[VARLINK_FDS_MAX];
        static const char *const expected[] = { "{\"a\":1}", "{}", "" };
        unsigned n = 0;

        assert_int_equal(varlink_reader_fill(&p->reader, p->fds[1]), -EAGAIN);
        for (size_t i = 0; i < sizeof(stream) - 1; i++) {
                assert_int_equal(send(p->fds[0], stream + i, 1, 0), 1);
                assert_int_equal(varlink_reader_fill(&p->reader, p->fds[1]), 1);
                if (stream[i] == 0)
                        expect_message(p, expected[n++], fds, 0);
                expect_nothing(p);
        }
        assert_int_equal(n, 3);
        p->fds[0] = fd_close(p->fds[0]);
        assert_int_equal(varlink_reader_fill(&p->reader, p->fds[1]), 0);
}

static void test_idle_reader_holds_nothing(void **state)
{
        Pair *p = *state;
        int fds[VARLINK_FDS_MAX];

        assert_int_equal(send(p->fds[0], "{}", 3, 0), 3);
        assert_int_equal(varlink_reader_fill(&p->reader, p->fds[1]), 1);
        expect_message(p, "{}", fds, 0);
        expect_nothing(p);
        assert_int_equal(varlink_reader_room(&p->reader), 0);
        assert_int_equal(varlink_reader_fill(&p->reader, p->fds[1]), -EAGAIN);
        assert_int_equal(varlink_reader_room(&p->reader), 0);
}

/* As many messages as come at once, of sizes around the buffer's, arrive whole. */
static void test_sizes(void **state)
{
        static const size_t sizes[] = {
                1, 4095, 4096, 16384, 32767, 32768, 32769, 65536, 300000, 2, VARLINK_MESSAGE_MAX
        };
        Pair *p = *state;
        _cleanup_buffer_ Buffer b = { 0 };
        size_t sent = 0, got = 0;

        for (size_t i = 0; i < ELEMENTSOF(sizes); i++) {
                assert_int_equal(buffer_reserve(&b, sizes[i] + 1), 0);
                memset(b.data + b.size, 'a' + (int)i, sizes[i]);
                b.size += sizes[i];
                buffer_append(&b, "", 1);
        }
        while (got < ELEMENTSOF(sizes)) {
                int fds[VARLINK_FDS_MAX];
                const char *text;
                size_t size, n;
                int r = varlink_reader_next(&p->reader, &text, &size, fds, &n);
                if (r == 1) {
                        assert_int_equal(size, sizes[got]);
                        assert_int_equal(text[0], 'a' + (int)got);
                        assert_int_equal(text[size - 1], 'a' + (int)got);
                        got++;
                        continue;
                }
                assert_int_equal(r, 0);
                ssize_t k = send(p->fds[0], b.data + sent, b.size - sent, 0);
                if (k > 0)
                        sent += (size_t)k;
                assert_int_equal(varlink_reader_fill(&p->reader, p->fds[1]), 1);
        }
}

static int feed(VarlinkReader *r, size_t n, char byte)
{
        char block[4096];

        memset(block, byte, sizeof(block));
        while (n > 0) {
                ssize_t k = varlink_reader_feed(r, block, MIN(n, sizeof(block)));
                if (k < 0)
                        return (int)k;
                n -= (size_t)k;
                int fds[VARLINK_FDS_MAX];
                const char *text;
                size_t size, n_fds;
                int q = varlink_reader_next(r, &text, &size, fds, &n_fds);
                if (q != 0)
                        return q;
        }
        return 0;
}

static void test_limit(void **state)
{
        Pair *p = *state;

        assert_int_equal(feed(&p->reader, VARLINK_MESSAGE_MAX, 'x'), 0);
        assert_int_equal(feed(&p->reader, 1, 0), 1);
        varlink_reader_done(&p->reader);
        assert_int_equal(feed(&p->reader, VARLINK_MESSAGE_MAX, 'x'), 0);
        assert_int_equal(feed(&p->reader, 1, 'x'), -EMSGSIZE);
        /* one byte too long and whole at once */
        varlink_reader_done(&p->reader);
        assert_int_equal(feed(&p->reader, VARLINK_MESSAGE_MAX - 4000, 'x'), 0);
        char rest[4002];
        memset(rest, 'x', sizeof(rest));
        rest[4001] = 0;
        assert_int_equal(varlink_reader_feed(&p->reader, rest, sizeof(rest)), sizeof(rest));
        assert_int_equal(feed(&p->reader, 1, 'x'), -EMSGSIZE);
}

static int new_file(off_t size)
{
        int fd = open("/tmp", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);

        assert_true(fd >= 0);
        assert_int_equal(ftruncate(fd, size), 0);
        return fd;
}

static void expect_file(int fd, off_t size)
{
        struct stat st;

        assert_int_equal(fstat(fd, &st), 0);
        assert_int_equal(st.st_size, size);
        fd_close(fd);
}

static void add(VarlinkWriter *w, const char *name, off_t size)
{
        _cleanup_json_ json_t *j = json_pack("{si}", name, 1);
        int fd = size > 0 ? new_file(size) : -EBADF;

        assert_int_equal(varlink_writer_add(w, j, &fd, size > 0), 0);
}

/* Messages with and without descriptors in any order, all read as they come. */
static void test_descriptors_stay_with_their_message(void **state)
{
        Pair *p = *state;
        static const off_t sizes[] = { 0, 0, 5, 0, 6, 7, 0, 0, 8 };
        size_t got = 0;

        for (size_t i = 0; i < ELEMENTSOF(sizes); i++)
                add(&p->writer, "m", sizes[i]);
        assert_int_equal(varlink_writer_flush(&p->writer, p->fds[0]), 1);
        while (got < ELEMENTSOF(sizes)) {
                int fds[VARLINK_FDS_MAX];
                const char *text;
                size_t size, n;
                int r = varlink_reader_next(&p->reader, &text, &size, fds, &n);
                if (r == 0) {
                        assert_int_equal(varlink_reader_fill(&p->reader, p->fds[1]), 1);
                        continue;
                }
                assert_int_equal(r, 1);
                assert_int_equal(n, sizes[got] > 0);
                if (n > 0)
                        expect_file(fds[0], sizes[got]);
                got++;
        }
        assert_int_equal(p->reader.n_fds, 0);
}

/* A message with descriptors that is longer than the socket takes: they come with its first part, once. */
static void test_descriptors_of_long_message(void **state)
{
        Pair *p = *state;
        _cleanup_free_ char *text = malloc(1000000);
        const char *got;
        size_t size, n;
        int fds[VARLINK_FDS_MAX], r;

        memset(text, 'x', 999999);
        text[999999] = 0;
        add(&p->writer, "before", 0);
        _cleanup_json_ json_t *j = json_pack("{ss}", "long", text);
        int fd = new_file(9);
        assert_int_equal(varlink_writer_add(&p->writer, j, &fd, 1), 0);
        add(&p->writer, "after", 0);

        assert_int_equal(varlink_writer_flush(&p->writer, p->fds[0]), 0);
        assert_int_equal(varlink_reader_fill(&p->reader, p->fds[1]), 1);
        expect_message(p, "{\"before\":1}", fds, 0);
        while ((r = varlink_reader_next(&p->reader, &got, &size, fds, &n)) == 0) {
                varlink_writer_flush(&p->writer, p->fds[0]);
                assert_int_equal(varlink_reader_fill(&p->reader, p->fds[1]), 1);
        }
        assert_int_equal(r, 1);
        assert_int_equal(size, 999999 + strlen("{\"long\":\"\"}"));
        assert_int_equal(n, 1);
        expect_file(fds[0], 9);
        if (varlink_reader_next(&p->reader, &got, &size, fds, &n) == 0) {
                assert_int_equal(varlink_writer_flush(&p->writer, p->fds[0]), 1);
                assert_int_equal(varlink_reader_fill(&p->reader, p->fds[1]), 1);
                expect_message(p, "{\"after\":1}", fds, 0);
        } else
                assert_int_equal(n, 0);
}

static void send_with_fds(int socket, const char *data, size_t size, size_t n)
{
        union {
                struct cmsghdr align;
                char bytes[CMSG_SPACE(sizeof(int) * 64)];
        } control = { 0 };
        struct iovec iov = { (void *)data, size };
        struct msghdr mh = { .msg_iov = &iov,
                             .msg_iovlen = 1,
                             .msg_control = &control,
                             .msg_controllen = CMSG_SPACE(sizeof(int) * n) };
        struct cmsghdr *cm = CMSG_FIRSTHDR(&mh);

        cm->cmsg_level = SOL_SOCKET;
        cm->cmsg_type = SCM_RIGHTS;
        cm->cmsg_len = CMSG_LEN(sizeof(int) * n);
        for (size_t i = 0; i < n; i++)
                memcpy(CMSG_DATA(cm) + i * sizeof(int), &(int){ STDERR_FILENO }, sizeof(int));
        assert_int_equal(sendmsg(socket, &mh, 0), size);
}

static void test_too_many_descriptors(void **state)
{
        Pair *p = *state;
        const char *text;
        size_t size, n;
        int fds[VARLINK_FDS_MAX];

        send_with_fds(p->fds[0], "{}", 3, VARLINK_FDS_MAX + 1);
        assert_int_equal(varlink_reader_fill(&p->reader, p->fds[1]), -EMSGSIZE);
        varlink_reader_done(&p->reader);

        /* spread over the parts of one message */
        send_with_fds(p->fds[0], "{", 1, VARLINK_FDS_MAX);
        assert_int_equal(varlink_reader_fill(&p->reader, p->fds[1]), 1);
        expect_nothing(p);
        send_with_fds(p->fds[0], "}", 2, 1);
        assert_int_equal(varlink_reader_fill(&p->reader, p->fds[1]), 1);
        assert_int_equal(varlink_reader_next(&p->reader, &text, &size, fds, &n), -EMSGSIZE);
        varlink_reader_done(&p->reader);

        send_with_fds(p->fds[0], "{", 1, VARLINK_FDS_MAX);
        assert_int_equal(varlink_reader_fill(&p->reader, p->fds[1]), 1);
        send_with_fds(p->fds[0], "{", 1, VARLINK_FDS_MAX);
        assert_int_equal(varlink_reader_fill(&p->reader, p->fds[1]), 1);
        send_with_fds(p->fds[0], "{", 1, 1);
        assert_int_equal(varlink_reader_fill(&p->reader, p->fds[1]), -EMSGSIZE);
}

static void test_writer_limit(void **state)
{
        Pair *p = *state;
        size_t n = VARLINK_MESSAGE_MAX - strlen("{\"t\":\"\"}");
        _cleanup_free_ char *text = malloc(n + 2);

        memset(text, 'x', n + 1);
        text[n + 1] = 0;
        _cleanup_json_ json_t *over = json_pack("{ss}", "t", text);
        text[n] = 0;
        _cleanup_json_ json_t *at = json_pack("{ss}", "t", text);
        int fd = STDERR_FILENO;

        add(&p->writer, "x", 0);
        size_t before = varlink_writer_size(&p->writer);
        assert_int_equal(varlink_writer_add(&p->writer, over, &fd, 1), -EMSGSIZE);
        assert_int_equal(varlink_writer_size(&p->writer), before);
        assert_int_equal(varlink_writer_add(&p->writer, at, NULL, 0), 0);
        assert_int_equal(varlink_writer_size(&p->writer), before + VARLINK_MESSAGE_MAX + 1);
}

static void test_writer_move(void **state)
{
        Pair *p = *state;
        VarlinkWriter other;
        int fds[VARLINK_FDS_MAX];

        varlink_writer_init(&other);
        add(&p->writer, "a", 0);
        add(&other, "b", 0);
        add(&other, "c", 3);
        assert_int_equal(varlink_writer_move(&p->writer, &other), 0);
        assert_int_equal(varlink_writer_size(&other), 0);
        assert_int_equal(varlink_writer_move(&p->writer, &other), 0);
        assert_int_equal(varlink_writer_flush(&p->writer, p->fds[0]), 1);
        assert_int_equal(varlink_reader_fill(&p->reader, p->fds[1]), 1);
        expect_message(p, "{\"a\":1}", fds, 0);
        expect_message(p, "{\"b\":1}", fds, 0);
        expect_message(p, "{\"c\":1}", fds, 1);
        expect_file(fds[0], 3);
}

static void test_writer_peer_gone(void **state)
{
        Pair *p = *state;

        p->fds[1] = fd_close(p->fds[1]);
        add(&p->writer, "a", 0);
        assert_int_equal(varlink_writer_flush(&p->writer, p->fds[0]), -EPIPE); /* and no SIGPIPE */
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
        const struct CMUnitTest tests[] = {
                TEST(test_byte_by_byte),
                TEST(test_idle_reader_holds_nothing),
                TEST(test_sizes),
                TEST(test_limit),
                TEST(test_descriptors_stay_with_their_message),
                TEST(test_descriptors_of_long_message),
                TEST(test_too_many_descriptors),
                TEST(test_writer_limit),
                TEST(test_writer_move),
                TEST(test_writer_peer_gone),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
