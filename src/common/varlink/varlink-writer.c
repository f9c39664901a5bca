/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* From messages to a stream.
 *
 * Messages are serialised straight into one buffer, so that many replies leave with one sendmsg(). What was
 * written is cut off at the front by moving `start`; the rest is moved down only when room is needed and at
 * least half of the buffer is free, so each byte moves at most once per doubling.
 *
 * Descriptors travel with the first byte of their message, and nothing else may be in that sendmsg(): the
 * receiver relies on it (see varlink-reader.c). A batch remembers which part of the stream is its
 * message: bytes before it are written by themselves, then the message with the descriptors, and after a
 * short write its rest without them, for the kernel has them already. */

#include "common/varlink/varlink-frame.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>

#include "basic/fd.h"
#include "basic/macro.h"
#include "common/json/json.h"

#define ROOM_MIN ((size_t)4 * 1024)

typedef struct VarlinkFdBatch {
        ListLink link;
        uint64_t begin, end; /* positions in the stream of the message and what follows it */
        size_t n;
        int fds[VARLINK_FDS_MAX]; /* owned */
} VarlinkFdBatch;

void varlink_writer_init(VarlinkWriter *w)
{
        assert(w);

        *w = (VarlinkWriter){ 0 };
        list_init(&w->batches);
}

static VarlinkFdBatch *batch_free(VarlinkFdBatch *b)
{
        list_remove(&b->link);
        for (size_t i = 0; i < b->n; i++)
                fd_close(b->fds[i]);
        free(b);
        return NULL;
}

static VarlinkFdBatch *first_batch(const VarlinkWriter *w)
{
        return list_is_empty(&w->batches) ? NULL : container_of(w->batches.next, VarlinkFdBatch, link);
}

void varlink_writer_clear(VarlinkWriter *w)
{
        assert(w);

        LIST_FOREACH_SAFE(&w->batches, link)
                batch_free(container_of(link, VarlinkFdBatch, link));
        free(w->data);
        varlink_writer_init(w);
}

static int writer_reserve(VarlinkWriter *w, size_t n)
{
        size_t used = w->end - w->start;

        if (w->room - w->end >= n)
                return 0;
        if (used + n <= w->room / 2) {
                memmove(w->data, w->data + w->start, used);
        } else {
                size_t room = MAX(ROOM_MIN, MAX(w->room * 2, used + n));
                char *data = malloc(room);
                if (!data)
                        return -ENOMEM;
                if (used > 0)
                        memcpy(data, w->data + w->start, used);
                free(w->data);
                w->data = data;
                w->room = room;
        }
        w->start = 0;
        w->end = used;
        return 0;
}

static int writer_append(VarlinkWriter *w, const char *data, size_t n)
{
        int r = writer_reserve(w, n);
        if (r < 0)
                return r;
        memcpy(w->data + w->end, data, n);
        w->end += n;
        return 0;
}

typedef struct Serialiser {
        VarlinkWriter *writer;
        size_t left; /* bytes that the message may still have */
        int error;
} Serialiser;

static int on_json_text(const char *text, size_t n, void *userdata)
{
        Serialiser *s = ASSERT_PTR((Serialiser *)userdata);

        s->error = n > s->left ? -EMSGSIZE : writer_append(s->writer, text, n);
        if (s->error < 0)
                return -1;
        s->left -= n;
        return 0;
}

int varlink_writer_add(VarlinkWriter *w, const json_t *message, const int *fds, size_t n_fds)
{
        _cleanup_free_ VarlinkFdBatch *b = NULL;

        assert(w);
        assert(json_is_object(message));
        assert(n_fds <= VARLINK_FDS_MAX);

        if (n_fds > 0 && !(b = NEW0(VarlinkFdBatch, 1)))
                return -ENOMEM;

        size_t before = varlink_writer_size(w);
        Serialiser s = { .writer = w, .left = VARLINK_MESSAGE_MAX };
        int r = json_write(message, on_json_text, &s);
        r = r < 0 ? (s.error < 0 ? s.error : -ENOMEM) : writer_append(w, "", 1);
        if (r < 0) {
                w->end = w->start + before;
                return r;
        }

        if (b) {
                b->begin = w->position + before;
                b->end = w->position + varlink_writer_size(w);
                memcpy(b->fds, fds, n_fds * sizeof(int));
                b->n = n_fds;
                list_append(&w->batches, &b->link);
                b = NULL;
        }
        return 0;
}

int varlink_writer_move(VarlinkWriter *w, VarlinkWriter *from)
{
        assert(w);
        assert(from);

        if (varlink_writer_size(from) == 0)
                return 0;
        uint64_t base = w->position + varlink_writer_size(w);
        int r = writer_append(w, from->data + from->start, varlink_writer_size(from));
        if (r < 0)
                return r;
        LIST_FOREACH(&from->batches, link) {
                VarlinkFdBatch *b = container_of(link, VarlinkFdBatch, link);
                b->begin = b->begin - from->position + base;
                b->end = b->end - from->position + base;
        }
        list_splice(&w->batches, &from->batches);
        varlink_writer_clear(from);
        return 0;
}

/* One sendmsg(); `b` is the batch that begins right here, or NULL. */
static ssize_t writer_send(VarlinkWriter *w, int fd, size_t n, const VarlinkFdBatch *b)
{
        union {
                struct cmsghdr align;
                char bytes[CMSG_SPACE(sizeof(int) * VARLINK_FDS_MAX)];
        } control = { 0 };
        struct iovec iov = { .iov_base = w->data + w->start, .iov_len = n };
        struct msghdr mh = { .msg_iov = &iov, .msg_iovlen = 1 };

        if (b) {
                mh.msg_control = &control;
                mh.msg_controllen = CMSG_SPACE(sizeof(int) * b->n);
                struct cmsghdr *cm = CMSG_FIRSTHDR(&mh);
                assert(cm);
                cm->cmsg_level = SOL_SOCKET;
                cm->cmsg_type = SCM_RIGHTS;
                cm->cmsg_len = CMSG_LEN(sizeof(int) * b->n);
                memcpy(CMSG_DATA(cm), b->fds, sizeof(int) * b->n);
        }

        ssize_t sent;
        do
                sent = sendmsg(fd, &mh, MSG_DONTWAIT | MSG_NOSIGNAL);
        while (sent < 0 && errno == EINTR);
        return sent < 0 ? -errno : sent;
}

int varlink_writer_flush(VarlinkWriter *w, int fd)
{
        assert(w);

        while (w->start < w->end) {
                VarlinkFdBatch *b = first_batch(w);
                uint64_t limit = w->position + varlink_writer_size(w);

                if (b)
                        limit = b->begin > w->position ? b->begin : b->end;
                if (b && b->begin > w->position)
                        b = NULL;

                ssize_t n = writer_send(w, fd, (size_t)(limit - w->position), b);
                if (n == -EAGAIN)
                        return 0;
                if (n < 0)
                        return (int)n;
                if (b)
                        batch_free(b);
                w->start += (size_t)n;
                w->position += (uint64_t)n;
                w->in_message = w->data[w->start - 1] != '\0';
        }

        free(w->data);
        w->data = NULL;
        w->room = w->start = w->end = 0;
        return 1;
}

void varlink_writer_drop(VarlinkWriter *w)
{
        assert(w);

        size_t used = varlink_writer_size(w), keep = 0;
        if (w->in_message && used > 0)
                keep = strnlen(w->data + w->start, used - 1) + 1;
        w->end = w->start + keep;
        LIST_FOREACH_SAFE(&w->batches, link)
                if (container_of(link, VarlinkFdBatch, link)->begin >= w->position + keep)
                        batch_free(container_of(link, VarlinkFdBatch, link));
        char *data = keep > 0 ? malloc(keep) : NULL;
        if (keep > 0 && !data)
                return; /* then it keeps its room */
        if (keep > 0)
                memcpy(data, w->data + w->start, keep);
        free(w->data);
        w->data = data;
        w->start = 0;
        w->end = w->room = keep;
}
