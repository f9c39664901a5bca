/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Reading the captured output of a task. The file is on a disk, so a reader thread reads it, chunk by chunk; one chunk of a
 * stream is on its way at a time, and the next is read when the last was taken.
 *
 * The middle of an output over its cap is a hole in the file: SEEK_DATA finds its end, and the chunk behind it says how many
 * bytes were dropped. (The task appends, so it cannot make holes itself.)
 *
 * A follower that has read everything waits for inotify to say that the file grew, for another attempt, or for the end of the task;
 * then it reads once more and goes on with the next attempt's file, or is told the end. What an attempt writes is all there when it
 * has ended, before the next one is launched. */

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/inotify.h>
#include <unistd.h>

#include "basic/fd.h"
#include "basic/log.h"
#include "basic/strings.h"
#include "daemon/service/service-internal.h"

struct ServiceOutput {
        Service *service;
        ListLink link; /* of Service.outputs */
        char task_id[TASK_ID_MAX + 1];
        unsigned attempt, newest; /* that is read; that there is: 0 before the task was looked up */
        uint64_t offset, left;
        bool follow, single;
        service_output_t callback;
        void *userdata;
        ReeveError error; /* why it ends before it began */

        int fd; /* the file; -EBADF before the first read found it */
        sd_event_source *grown;
        bool reading;   /* a reader thread has it */
        bool paused;    /* the receiver asked to wait */
        bool again;     /* something happened while it was being read */
        bool ended;     /* the task has: nothing more will be written */
        bool cancelled; /* freed when the reader thread is done with it */

        /* of the reader thread while `reading` */
        char path[PATH_MAX + TASK_ATTEMPT_NAME_SIZE + 1];
        char *buffer; /* there from a reading to the taking of its result: who waits holds no memory */
        size_t size;
        uint64_t dropped;
};

static void output_free(ServiceOutput *o)
{
        list_remove(&o->link);
        sd_event_source_disable_unref(o->grown);
        fd_close(o->fd);
        free(o->buffer);
        free(o);
}

void service_output_cancel(ServiceOutput *o)
{
        if (!o || o->cancelled)
                return;
        o->cancelled = true;
        if (!o->reading)
                output_free(o);
}

/* ---- on a reader thread ---- */

/* Past a hole: sets offset and dropped. */
static void skip_hole(ServiceOutput *o)
{
        off_t data = lseek(o->fd, (off_t)o->offset, SEEK_DATA);
        if (data > (off_t)o->offset) {
                o->dropped = (uint64_t)data - o->offset;
                o->offset = (uint64_t)data;
        }
}

/* Bytes up to the next hole, so that a chunk is all data. */
static size_t readable(const ServiceOutput *o, size_t wanted)
{
        off_t hole = lseek(o->fd, (off_t)o->offset, SEEK_HOLE);
        return hole > (off_t)o->offset ? MIN(wanted, (size_t)(hole - (off_t)o->offset)) : wanted;
}

static int read_chunk(void *userdata)
{
        ServiceOutput *o = ASSERT_PTR(userdata);

        o->size = 0;
        o->dropped = 0;
        if (o->error.code != REEVE_ERROR_NONE)
                return 0;
        if (o->fd < 0)
                o->fd = open(o->path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
        if (o->fd < 0)
                return errno == ENOENT ? 0 : -errno;
        skip_hole(o);
        size_t wanted = readable(o, (size_t)MIN(o->left, (uint64_t)SERVICE_OUTPUT_CHUNK_MAX));
        o->buffer = malloc(wanted + 1); /* it may be 0 */
        if (!o->buffer)
                return -ENOMEM;
        ssize_t n = pread(o->fd, o->buffer, wanted, (off_t)o->offset);
        if (n < 0)
                return -errno;
        o->size = (size_t)n;
        return 0;
}

/* ---- on the loop thread ---- */

static void next_chunk(ServiceOutput *o);

static int on_grown(sd_event_source *source, const struct inotify_event *event, void *userdata)
{
        next_chunk(ASSERT_PTR(userdata));
        return 0;
}

static void end_with_error(ServiceOutput *o, int error)
{
        ReeveError e = REEVE_ERROR_NULL;

        reeve_error_errno(&e, error, NULL, "cannot read the output of '%s'", o->task_id);
        o->callback(&e, NULL, o->userdata);
        output_free(o);
}

/* Everything there is was read, and more may come. */
static void wait_for_more(ServiceOutput *o)
{
        if (o->again) {
                next_chunk(o);
                return;
        }
        if (o->grown || o->fd < 0)
                return;
        int r = sd_event_add_inotify(o->service->event, &o->grown, o->path, IN_MODIFY, on_grown, o);
        if (r < 0)
                end_with_error(o, r);
        else
                next_chunk(o); /* what was written before the watch */
}

static void set_path(ServiceOutput *o)
{
        char directory[PATH_MAX], name[TASK_ATTEMPT_NAME_SIZE];

        instance_path(&o->service->instance, INSTANCE_OUTPUT, directory, sizeof(directory));
        task_attempt_name(o->task_id, o->attempt, name);
        snprintf(o->path, sizeof(o->path), "%s/%s", directory, name);
}

static void read_next_attempt(ServiceOutput *o)
{
        o->grown = sd_event_source_disable_unref(o->grown);
        o->fd = fd_close(o->fd);
        o->attempt++;
        o->offset = 0;
        set_path(o);
        next_chunk(o);
}

static void hand_over(ServiceOutput *o, const char *data, bool last)
{
        OutputChunk chunk = { .data = data,
                              .attempt = o->attempt,
                              .size = o->size,
                              .offset = o->offset,
                              .dropped = o->dropped,
                              .end = last && !(o->single && o->size > 0) };
        o->offset += o->size;
        o->left -= o->size;

        o->reading = true; /* cancelling from within the callback only marks it */
        int r = o->callback(NULL, &chunk, o->userdata);
        o->reading = false;
        if (last || r < 0 || o->cancelled)
                output_free(o);
        else if (r == 0)
                o->paused = true;
        else
                next_chunk(o);
}

static void on_chunk_read(int result, void *userdata)
{
        ServiceOutput *o = ASSERT_PTR(userdata);
        _cleanup_free_ char *data = TAKE_PTR(o->buffer);

        o->reading = false;
        if (o->cancelled) {
                output_free(o);
                return;
        }
        if (result < 0) {
                end_with_error(o, result);
                return;
        }

        if (o->error.code != REEVE_ERROR_NONE) {
                o->callback(&o->error, NULL, o->userdata);
                output_free(o);
                return;
        }

        bool at_end = o->size == 0 && !o->again;
        if (at_end && o->follow && o->attempt < o->newest) {
                read_next_attempt(o);
                return;
        }
        bool last = o->left == o->size || o->single || (at_end && (!o->follow || o->ended));
        if (o->size == 0 && !last) {
                wait_for_more(o);
                return;
        }
        hand_over(o, data, last);
}

static void next_chunk(ServiceOutput *o)
{
        if (o->reading) {
                o->again = true;
                return;
        }
        if (o->paused)
                return;
        o->again = false;
        o->reading = true;
        int r = store_work(o->service->store, read_chunk, on_chunk_read, o);
        if (r < 0) {
                o->reading = false;
                end_with_error(o, r);
        }
}

void service_output_continue(ServiceOutput *o)
{
        assert(o);

        if (!o->paused)
                return;
        o->paused = false;
        next_chunk(o);
}

void service_output_poke(Service *s, const char *task_id, unsigned attempt, bool ended)
{
        assert(s);
        assert(task_id);

        LIST_FOREACH_SAFE(&s->outputs, link) {
                ServiceOutput *o = container_of(link, ServiceOutput, link);
                if (!streq(o->task_id, task_id))
                        continue;
                o->ended |= ended;
                o->newest = MAX(o->newest, attempt);
                next_chunk(o);
        }
}

void service_end_outputs(Service *s)
{
        assert(s);

        LIST_FOREACH_SAFE(&s->outputs, link)
                output_free(container_of(link, ServiceOutput, link));
}

/* ---- beginning: whose output is it? ---- */

typedef struct OutputOp {
        ServiceOutput *output;
        Caller caller;
} OutputOp;

static int check_task(const Caller *caller, const ServiceOutput *o, const TaskRow *row, ReeveError *reterr)
{
        if (!caller_owns(caller, row))
                return reeve_error_set(reterr, REEVE_ERROR_PERMISSION_DENIED, "task_id",
                                       "task '%s' is somebody else's", o->task_id);
        if (row->output == TASK_OUTPUT_JOURNAL)
                return reeve_error_set(reterr, REEVE_ERROR_INVALID_ARGUMENT, "task_id",
                                       "the output of '%s' is in the journal: journalctl -t %s", o->task_id,
                                       o->task_id);
        if (o->attempt > MAX(row->attempt, 1U))
                return reeve_error_set(reterr, REEVE_ERROR_INVALID_ARGUMENT, "attempt",
                                       "task '%s' has had %u attempts", o->task_id, row->attempt);
        return 0;
}

static void on_task(const ReeveError *error, const TaskRow *row, void *userdata)
{
        _cleanup_free_ OutputOp *op = ASSERT_PTR(userdata);
        ServiceOutput *o = op->output;

        o->reading = false;
        if (o->cancelled) {
                output_free(o);
                return;
        }
        if (error)
                o->error = *error;
        else if (check_task(&op->caller, o, row, &o->error) >= 0) {
                o->ended = task_state_is_final(row->status);
                o->newest = MAX(o->newest, row->attempt);
                if (o->attempt == 0)
                        o->attempt = MAX(row->attempt, 1U);
                set_path(o);
        }
        next_chunk(o);
}

static ServiceOutput *output_new(Service *s, const OutputRequest *q, service_output_t callback,
                                 void *userdata)
{
        ServiceOutput *o = NEW0(ServiceOutput, 1);
        if (!o)
                return NULL;
        *o = (ServiceOutput){ .service = s,
                              .attempt = q->attempt,
                              .offset = q->offset,
                              .left = q->limit,
                              .follow = q->follow,
                              .single = q->single,
                              .callback = callback,
                              .userdata = userdata,
                              .fd = -EBADF,
                              .reading = true };
        list_append(&s->outputs, &o->link);
        strcpy(o->task_id, q->task_id);
        return o;
}

/* Nothing is called back from within: the first call comes through a reader thread. */
ServiceOutput *service_output(Service *s, const Caller *caller, const OutputRequest *request,
                              service_output_t callback, void *userdata)
{
        ReeveError e = REEVE_ERROR_NULL;
        ServiceOutput *o = NULL;

        assert(s);
        assert(caller);
        assert(request);
        assert(callback);

        _cleanup_free_ OutputOp *op = NEW0(OutputOp, 1);
        if (!task_id_is_valid(request->task_id))
                reeve_error_set(&e, REEVE_ERROR_INVALID_ARGUMENT, "task_id", "not the id of a task");
        else if (!op || !(o = output_new(s, request, callback, userdata)))
                reeve_error_errno(&e, ENOMEM, NULL, "cannot read the output");
        if (!o) {
                callback(&e, NULL, userdata);
                return NULL;
        }
        *op = (OutputOp){ o, *caller };
        service_get(s, request->task_id, on_task, TAKE_PTR(op));
        return o;
}
