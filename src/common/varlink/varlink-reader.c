/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* From a stream to messages.
 *
 * Cost: a byte is scanned for NUL once (`scanned`), and moved within the buffer at most once for its size
 * (the tail of an unfinished message, when the messages before it are done) and log2 times as the buffer
 * doubles: linear in what the peer sends, whatever its pieces. A reader without unfinished input holds no
 * memory, so a thousand idle peers cost nothing.
 *
 * Descriptors: Linux attaches those of a sendmsg() to the first packet that it makes of the data, glues
 * packets *without* descriptors before it in one recvmsg(), and ends that recvmsg() with the packet that has
 * them (unix_stream_read_generic()). So the last byte of a read that brought descriptors is a byte of the
 * data that they were sent with. A sender that writes each message with descriptors by a sendmsg() of its
 * own, as systemd and varlink-writer.c do, therefore gets them attributed exactly: to the message which that
 * byte is of. Senders that mix several messages in one sendmsg() get them attributed to the last.
 *
 * Invariants: 0 <= start <= scanned <= end <= room; each pending descriptor's `at` is in [start, end). As
 * the reader is filled only when it has no whole message, pending descriptors belong to at most two
 * messages: the unfinished one and the last one that the newest read brought. */

#include "common/varlink/varlink-frame.h"

#include <errno.h>
#include <stdbool.h>
#include <string.h>
#include <sys/socket.h>

#include "basic/fd.h"
#include "basic/macro.h"

#define READ_SIZE ((size_t)32 * 1024)
#define READ_MAX  ((size_t)256 * 1024) /* bytes for one wake-up, so that no peer starves the others */
#define ROOM_MAX  (VARLINK_MESSAGE_MAX + READ_SIZE)

static void reader_release(VarlinkReader *r)
{
        free(r->data);
        r->data = NULL;
        r->room = r->start = r->scanned = r->end = 0;
}

void varlink_reader_done(VarlinkReader *r)
{
        assert(r);

        for (size_t i = 0; i < r->n_fds; i++)
                fd_close(r->fds[i].fd);
        r->n_fds = 0;
        reader_release(r);
}

/* The unfinished message becomes the start of the buffer. */
static void reader_rebase(VarlinkReader *r, char *data)
{
        memmove(data, r->data + r->start, r->end - r->start);
        for (size_t i = 0; i < r->n_fds; i++)
                r->fds[i].at -= r->start;
        r->scanned -= r->start;
        r->end -= r->start;
        r->start = 0;
}

static int reader_make_room(VarlinkReader *r)
{
        size_t used = r->end - r->start;

        if (used > VARLINK_MESSAGE_MAX)
                return -EMSGSIZE;
        if (r->data && r->room - r->end >= READ_SIZE / 2)
                return 0;
        if (r->data && r->start > 0 && used <= r->room / 2) {
                reader_rebase(r, r->data);
                return 0;
        }

        size_t room = r->data ? MIN(r->room * 2, ROOM_MAX) : READ_SIZE;
        char *data = malloc(room);
        if (!data)
                return -ENOMEM;
        if (r->data)
                reader_rebase(r, data);
        free(r->data);
        r->data = data;
        r->room = room;
        return 0;
}

/* Takes over what a read brought, whose last byte is at r->end - 1. Closes what does not fit. */
static int reader_keep_fds(VarlinkReader *r, const int *fds, size_t n)
{
        int result = 0;

        for (size_t i = 0; i < n; i++) {
                if (r->n_fds == ELEMENTSOF(r->fds)) {
                        fd_close(fds[i]);
                        result = -EMSGSIZE;
                        continue;
                }
                r->fds[r->n_fds].fd = fds[i];
                r->fds[r->n_fds++].at = r->end - 1;
        }
        return result;
}

static int reader_take_control(VarlinkReader *r, struct msghdr *mh)
{
        int result = mh->msg_flags & MSG_CTRUNC ? -EMSGSIZE : 0;

        for (struct cmsghdr *cm = CMSG_FIRSTHDR(mh); cm; cm = CMSG_NXTHDR(mh, cm)) {
                int fds[VARLINK_FDS_MAX];
                size_t size = cm->cmsg_len - CMSG_LEN(0);

                if (cm->cmsg_level != SOL_SOCKET || cm->cmsg_type != SCM_RIGHTS)
                        continue;
                assert(size <= sizeof(fds)); /* the control buffer has no room for more */
                memcpy(fds, CMSG_DATA(cm), size);
                int r2 = reader_keep_fds(r, fds, size / sizeof(int));
                result = result < 0 ? result : r2;
        }
        return result;
}

int varlink_reader_fill(VarlinkReader *r, int fd)
{
        union {
                struct cmsghdr align;
                char bytes[CMSG_SPACE(sizeof(int) * VARLINK_FDS_MAX)];
        } control;

        assert(r);

        int k = reader_make_room(r);
        if (k < 0)
                return k;

        struct iovec iov = { .iov_base = r->data + r->end, .iov_len = MIN(r->room - r->end, READ_MAX) };
        struct msghdr mh = {
                .msg_iov = &iov, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof(control)
        };
        ssize_t n;
        do
                n = recvmsg(fd, &mh, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
        while (n < 0 && errno == EINTR);

        if (n <= 0) {
                k = n < 0 ? -errno : 0;
                if (r->start == r->end)
                        reader_release(r);
                return k;
        }
        r->end += (size_t)n;
        k = reader_take_control(r, &mh);
        return k < 0 ? k : 1;
}

ssize_t varlink_reader_feed(VarlinkReader *r, const void *data, size_t size)
{
        assert(r);
        assert(data || size == 0);

        int k = reader_make_room(r);
        if (k < 0)
                return k;
        size_t n = MIN(size, r->room - r->end);
        if (n > 0)
                memcpy(r->data + r->end, data, n);
        r->end += n;
        return (ssize_t)n;
}

/* Hands over the descriptors of the message that ends (with its NUL) before `end`. */
static int reader_take_fds(VarlinkReader *r, size_t end, int fds[static VARLINK_FDS_MAX], size_t *ret_n_fds)
{
        size_t n = 0, kept = 0;
        bool too_many = false;

        for (size_t i = 0; i < r->n_fds; i++)
                if (r->fds[i].at >= end)
                        r->fds[kept++] = r->fds[i];
                else if (n < VARLINK_FDS_MAX)
                        fds[n++] = r->fds[i].fd;
                else {
                        fd_close(r->fds[i].fd);
                        too_many = true;
                }
        r->n_fds = kept;

        if (too_many) {
                while (n > 0)
                        fd_close(fds[--n]);
                return -EMSGSIZE;
        }
        *ret_n_fds = n;
        return 0;
}

int varlink_reader_next(VarlinkReader *r, const char **ret, size_t *ret_size,
                        int fds[static VARLINK_FDS_MAX], size_t *ret_n_fds)
{
        assert(r);
        assert(ret && ret_size && ret_n_fds);

        if (r->start == r->end) {
                reader_release(r);
                return 0;
        }

        const char *nul = memchr(r->data + r->scanned, 0, r->end - r->scanned);
        if (!nul) {
                r->scanned = r->end;
                return r->end - r->start > VARLINK_MESSAGE_MAX ? -EMSGSIZE : 0;
        }

        size_t end = (size_t)(nul - r->data) + 1;
        size_t size = end - 1 - r->start;
        if (size > VARLINK_MESSAGE_MAX)
                return -EMSGSIZE;
        int k = reader_take_fds(r, end, fds, ret_n_fds);
        if (k < 0)
                return k;
        *ret = r->data + r->start;
        *ret_size = size;
        r->start = r->scanned = end;
        return 1;
}
