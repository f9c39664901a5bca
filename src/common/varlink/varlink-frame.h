/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Framing, the same for both sides: a reader that turns a stream into messages and the descriptors that
 * came with them, and a writer that queues messages and writes as many as fit with one system call.
 * Neither blocks. */

#include <jansson.h>
#include <stddef.h>
#include <stdint.h>

#include "basic/list.h"
#include "common/varlink/varlink.h"

/* Zero-initialised is empty. */
typedef struct VarlinkReader {
        char *data; /* owned; NULL while nothing is buffered */
        size_t room;
        size_t start;   /* of the first message that was not handed out */
        size_t scanned; /* no NUL in [start, scanned) */
        size_t end;
        size_t n_fds;
        struct {
                int fd;    /* owned */
                size_t at; /* index in data of a byte of its message */
        } fds[2 * VARLINK_FDS_MAX];
} VarlinkReader;

void varlink_reader_done(VarlinkReader *r);

/* One recvmsg(). 1: something came; 0: end of stream; -EAGAIN: nothing there; -EMSGSIZE: the message or
 * its number of descriptors is over the limit; another negative errno of recvmsg(). To be called only
 * after varlink_reader_next() returned 0: what is buffered stays bounded by that. */
int varlink_reader_fill(VarlinkReader *r, int fd);

/* As varlink_reader_fill(), from memory and without descriptors. At most READ sizes at once are taken:
 * returns the number of bytes taken. For tests and fuzzing. */
ssize_t varlink_reader_feed(VarlinkReader *r, const void *data, size_t size);

/* The next whole message: 1 and its text (without the NUL; valid until the reader is called again) and its
 * descriptors (now the caller's); 0 if there is none yet; -EMSGSIZE as above. */
int varlink_reader_next(VarlinkReader *r, const char **ret, size_t *ret_size,
                        int fds[static VARLINK_FDS_MAX], size_t *ret_n_fds);

/* Bytes of memory held. */
static inline size_t varlink_reader_room(const VarlinkReader *r)
{
        return r->room;
}

typedef struct VarlinkWriter {
        char *data; /* owned */
        size_t room;
        size_t start; /* of what is not written yet */
        size_t end;
        uint64_t position; /* in the stream, of data[start] */
        bool in_message;   /* a part of the message at data[start] has been written */
        ListLink batches;  /* VarlinkFdBatch, by position */
} VarlinkWriter;

void varlink_writer_init(VarlinkWriter *w);
/* Forgets everything that is queued, closes its descriptors. The writer is empty and usable afterwards. */
void varlink_writer_clear(VarlinkWriter *w);

/* Queues a message. The descriptors are taken over on success. -EMSGSIZE: the text is over
 * VARLINK_MESSAGE_MAX; -ENOMEM. On failure nothing is queued. */
int varlink_writer_add(VarlinkWriter *w, const json_t *message, const int *fds, size_t n_fds);

/* Appends everything that is queued in `from`, which is empty afterwards. -ENOMEM: nothing was moved. */
int varlink_writer_move(VarlinkWriter *w, VarlinkWriter *from);

/* Writes until nothing is left (1) or the socket is full (0); or a negative errno of sendmsg(). Never
 * raises SIGPIPE. */
int varlink_writer_flush(VarlinkWriter *w, int fd);

/* Forgets what is queued, but for the rest of a message of which a part has been written. */
void varlink_writer_drop(VarlinkWriter *w);

static inline size_t varlink_writer_size(const VarlinkWriter *w)
{
        return w->end - w->start;
}
