/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Events are put into a buffer, and a thread makes lines of them and writes these: so a disk that is slow, full, or does not answer at all
 * holds up nobody. The buffer is bounded; who fills it waits, and since events are numbered and kept in the database he finds those he
 * missed there.
 *
 *     the loop                     the thread
 *     line_log_add() -> `waiting` -> `taken` -> `writing` -> the file
 *                       ROOM         one batch, as lines
 *
 * What cannot be written is tried again, with pauses that double. A disk that fills up takes a part of a batch: the rest follows when there is
 * room, in the middle of a line if need be. A file that another process leaves with half a line (we were killed) loses that half.
 *
 * Before each batch the path is looked at. If it is not our file any more, because logrotate has renamed it or somebody removed it, the
 * next one is made: no signal is needed. A file that is large enough is renamed by ourselves. Each file begins with a line that says
 * after which event it begins, so that whoever reads the end of the newest one knows where to go on, even if no event came. */

#include "daemon/lines/line-log.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/stat.h>
#include <unistd.h>

#include "basic/fd.h"
#include "basic/log.h"

#define ROOM      (256U * 1024)
#define TAIL      (64U * 1024) /* more than a line has */
#define PAUSE_MIN USEC_PER_SEC
#define PAUSE_MAX (16 * USEC_PER_SEC)

/* An event in a buffer; behind it its three texts, each with its NUL. */
typedef struct LineRecord {
        int64_t number;
        usec_t realtime;
        size_t topic, task_id, detail; /* bytes */
} LineRecord;

struct LineLog {
        /* constant */
        char *path;
        const Clock *clock;
        uint64_t max_bytes;
        unsigned files;
        pthread_t thread;
        int event_fd;

        pthread_mutex_t mutex; /* of the following: */
        pthread_cond_t wake;
        Buffer waiting; /* LineRecord */
        bool wanted;    /* somebody waits for room */
        bool stopping;

        /* the thread's */
        int fd; /* -EBADF: not open */
        dev_t device;
        ino_t inode;
        uint64_t size;
        Buffer taken;   /* LineRecord */
        Buffer writing; /* their lines */
        size_t written; /* of these */
        int64_t last;   /* the number of the last event of what is written, or was before */
        int64_t writing_last;
        usec_t pause; /* 0: it goes well */
};

/* ---- the end of a file ---- */

/* The last bytes of a file; NULL with *ret_n 0 if there are none. */
static char *read_tail(int fd, size_t *ret_n, off_t *ret_offset)
{
        struct stat st;

        *ret_n = 0;
        if (fstat(fd, &st) < 0 || !S_ISREG(st.st_mode))
                return NULL;
        *ret_offset = st.st_size > (off_t)TAIL ? st.st_size - (off_t)TAIL : 0;
        char *text = malloc(TAIL);
        ssize_t n = text ? pread(fd, text, TAIL, *ret_offset) : -1;
        *ret_n = n > 0 ? (size_t)n : 0;
        return text;
}

static int64_t last_number_of(const char *path)
{
        _cleanup_fd_ int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
        off_t offset;
        size_t n;

        if (fd < 0)
                return -1;
        _cleanup_free_ char *text = read_tail(fd, &n, &offset);
        return line_last_number(text, n);
}

static char *numbered(const char *path, unsigned number)
{
        return number == 0 ? strdup(path) : string_printf("%s.%u", path, number);
}

int64_t line_log_last_number(const char *path)
{
        assert(path);

        int64_t last = last_number_of(path);
        _cleanup_free_ char *before = numbered(path, 1);
        return last < 0 && before ? last_number_of(before) : last;
}

/* Takes away the half of a line that nobody will complete. */
static int trim(int fd)
{
        off_t offset;
        size_t n;

        _cleanup_free_ char *text = read_tail(fd, &n, &offset);
        const char *end = n > 0 ? memrchr(text, '\n', n) : NULL;
        size_t whole = end ? (size_t)(end + 1 - text) : 0;
        return whole == n ? 0 : ftruncate(fd, offset + (off_t)whole) < 0 ? -errno : 0;
}

/* ---- files ---- */

static void close_file(LineLog *l)
{
        l->fd = fd_close(l->fd);
        /* The line that was begun there is begun anew. */
        const char *before = l->written > 0 ? memrchr(l->writing.data, '\n', l->written) : NULL;
        l->written = before ? (size_t)(before + 1 - l->writing.data) : 0;
}

static bool is_ours(const LineLog *l)
{
        struct stat st;

        return lstat(l->path, &st) >= 0 && st.st_dev == l->device && st.st_ino == l->inode;
}

/* Lines wait, so the first one of the file may go in front of them. */
static int begin_file(LineLog *l)
{
        _cleanup_buffer_ Buffer begin = { 0 };

        int r = line_append_begin(&begin, clock_realtime(l->clock), l->last);
        if (r < 0)
                return r;
        ssize_t n = write(l->fd, begin.data, begin.size);
        if (n == (ssize_t)begin.size)
                return 0;
        r = n < 0 ? -errno : -ENOSPC;
        return ftruncate(l->fd, 0) < 0 ? -errno : r;
}

static int open_file(LineLog *l)
{
        struct stat st;

        l->fd = open(l->path, O_RDWR | O_APPEND | O_CREAT | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK, 0644);
        if (l->fd < 0)
                return -errno;
        if (fstat(l->fd, &st) < 0)
                return -errno;
        if (!S_ISREG(st.st_mode))
                return -EINVAL;
        l->device = st.st_dev;
        l->inode = st.st_ino;
        (void)fchmod(l->fd, 0644); /* whatever our umask is: what is in it is public */
        int r = trim(l->fd);
        if (r >= 0 && lseek(l->fd, 0, SEEK_END) == 0)
                r = begin_file(l);
        off_t size = r < 0 ? 0 : lseek(l->fd, 0, SEEK_END);
        l->size = size > 0 ? (uint64_t)size : 0;
        return r;
}

static int rename_files(LineLog *l)
{
        close_file(l);
        if (l->files == 1)
                return unlink(l->path) < 0 ? -errno : 0;
        for (unsigned to = l->files - 1; to > 0; to--) {
                _cleanup_free_ char *old = numbered(l->path, to - 1), *new = numbered(l->path, to);
                if (!old || !new)
                        return -ENOMEM;
                if (rename(old, new) < 0 && errno != ENOENT)
                        return -errno;
        }
        return 0;
}

static int prepare_file(LineLog *l)
{
        int r = 0;

        if (l->fd >= 0 && !is_ours(l))
                close_file(l);
        else if (l->fd >= 0 && l->written == 0 && l->max_bytes > 0 && l->size >= l->max_bytes)
                r = rename_files(l);
        if (r >= 0 && l->fd < 0) {
                r = open_file(l);
                if (r < 0)
                        close_file(l);
        }
        return r;
}

/* ---- the thread ---- */

/* Makes lines of what was taken. -ENOMEM: of none of it. */
static int make_lines(LineLog *l)
{
        LineRecord record;
        int r = 0;

        for (const char *p = l->taken.data, *end = p + l->taken.size; r >= 0 && p < end;) {
                memcpy(&record, p, sizeof(record));
                p += sizeof(record);
                const LineEvent event = { .number = record.number,
                                          .realtime = record.realtime,
                                          .topic = p,
                                          .task_id = p + record.topic,
                                          .detail = p + record.topic + record.task_id };
                p += record.topic + record.task_id + record.detail;
                r = line_append_event(&l->writing, &event);
                l->writing_last = record.number;
        }
        buffer_consume(r < 0 ? &l->writing : &l->taken, r < 0 ? l->writing.size : l->taken.size);
        return r;
}

/* Writes the batch; on failure perhaps a part of it. */
static int write_batch(LineLog *l)
{
        int r = l->writing.size == 0 ? make_lines(l) : 0;

        if (r >= 0)
                r = prepare_file(l);

        while (r >= 0 && l->written < l->writing.size) {
                ssize_t n = write(l->fd, l->writing.data + l->written, l->writing.size - l->written);
                if (n < 0 && errno != EINTR)
                        r = -errno;
                if (n > 0) {
                        l->written += (size_t)n;
                        l->size += (uint64_t)n;
                }
        }
        if (r < 0)
                return r;
        buffer_consume(&l->writing, l->writing.size);
        l->written = 0;
        l->last = l->writing_last;
        return 0;
}

static void say(LineLog *l, int r)
{
        if (r < 0 && l->pause == 0)
                log_warning_errno(r, "%s cannot be written, trying again; events wait in the database",
                                  l->path);
        else if (r >= 0 && l->pause > 0)
                log_info("%s is written again", l->path);
        l->pause = r >= 0 ? 0 : CLAMP(l->pause * 2, PAUSE_MIN, PAUSE_MAX);
}

/* With the lock. */
static void take_batch(LineLog *l)
{
        Buffer empty = l->taken;

        assert(empty.size == 0);
        l->taken = l->waiting;
        l->waiting = empty;
        if (!l->wanted)
                return;
        l->wanted = false;
        (void)eventfd_write(l->event_fd, 1);
}

static bool has_batch(const LineLog *l)
{
        return l->taken.size > 0 || l->writing.size > 0;
}

/* With the lock: until there is something to do. False: that is to stop. */
static bool wait_for_work(LineLog *l)
{
        struct timespec until;

        if (l->pause > 0 && !l->stopping) {
                clock_gettime(CLOCK_MONOTONIC, &until);
                until = usec_to_timespec(usec_from_timespec(&until) + l->pause);
                while (!l->stopping && pthread_cond_timedwait(&l->wake, &l->mutex, &until) != ETIMEDOUT)
                        ;
        }
        while (!l->stopping && !has_batch(l) && l->waiting.size == 0)
                pthread_cond_wait(&l->wake, &l->mutex);
        return has_batch(l) || l->waiting.size > 0;
}

static void *write_lines(void *userdata)
{
        LineLog *l = ASSERT_PTR(userdata);
        bool stopping = false;
        int r = prepare_file(l); /* so that it is there for who wants to follow it */

        say(l, r);
        pthread_mutex_lock(&l->mutex);
        while (wait_for_work(l) && (!stopping || r >= 0)) {
                stopping = l->stopping; /* then once more, as long as it goes well */
                if (!has_batch(l))
                        take_batch(l);
                pthread_mutex_unlock(&l->mutex);
                r = write_batch(l);
                say(l, r);
                pthread_mutex_lock(&l->mutex);
        }
        pthread_mutex_unlock(&l->mutex);
        return NULL;
}

/* ---- the loop ---- */

static int start_thread(LineLog *l)
{
        sigset_t all, old;

        /* The loop reads signals from a descriptor: no other thread may take one. */
        sigfillset(&all);
        pthread_sigmask(SIG_BLOCK, &all, &old);
        int r = -pthread_create(&l->thread, NULL, write_lines, l);
        pthread_sigmask(SIG_SETMASK, &old, NULL);
        return r;
}

static void free_memory(LineLog *l)
{
        pthread_cond_destroy(&l->wake);
        pthread_mutex_destroy(&l->mutex);
        buffer_done(&l->waiting);
        buffer_done(&l->taken);
        buffer_done(&l->writing);
        fd_close(l->event_fd);
        fd_close(l->fd);
        free(l->path);
        free(l);
}

int line_log_new(const LineLogConfig *config, int64_t after, LineLog **ret)
{
        pthread_condattr_t monotonic;

        assert(config && config->path && config->clock && config->files >= 1);
        assert(ret);

        LineLog *l = NEW0(LineLog, 1);
        if (!l)
                return -ENOMEM;
        l->clock = config->clock;
        l->max_bytes = config->max_bytes;
        l->files = config->files;
        l->last = l->writing_last = after;
        l->fd = -EBADF;
        pthread_mutex_init(&l->mutex, NULL);
        pthread_condattr_init(&monotonic);
        pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
        pthread_cond_init(&l->wake, &monotonic);
        pthread_condattr_destroy(&monotonic);
        l->path = strdup(config->path);
        l->event_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
        int r = !l->path ? -ENOMEM : l->event_fd < 0 ? -errno : start_thread(l);
        if (r < 0) {
                free_memory(l);
                return r;
        }
        *ret = l;
        return 0;
}

LineLog *line_log_free(LineLog *l)
{
        if (!l)
                return NULL;
        pthread_mutex_lock(&l->mutex);
        l->stopping = true;
        pthread_cond_signal(&l->wake);
        pthread_mutex_unlock(&l->mutex);
        pthread_join(l->thread, NULL);
        free_memory(l);
        return NULL;
}

/* -ENOMEM: nothing was added. */
static int add_record(Buffer *b, const LineEvent *event)
{
        const LineRecord record = { .number = event->number,
                                    .realtime = event->realtime,
                                    .topic = strlen(event->topic) + 1,
                                    .task_id = strlen(event->task_id) + 1,
                                    .detail = strlen(event->detail) + 1 };

        int r = buffer_reserve(b, sizeof(record) + record.topic + record.task_id + record.detail);
        if (r < 0)
                return r;
        (void)buffer_append(b, &record, sizeof(record)); /* there is room */
        (void)buffer_append(b, event->topic, record.topic);
        (void)buffer_append(b, event->task_id, record.task_id);
        (void)buffer_append(b, event->detail, record.detail);
        return 0;
}

int line_log_add(LineLog *l, const LineEvent *event)
{
        assert(l);
        assert(event && event->topic && event->task_id && event->detail);

        pthread_mutex_lock(&l->mutex);
        bool first = l->waiting.size == 0;
        int r = add_record(&l->waiting, event);
        if (r >= 0)
                r = l->wanted = l->waiting.size >= ROOM;
        if (first)
                pthread_cond_signal(&l->wake);
        pthread_mutex_unlock(&l->mutex);
        return r;
}

int line_log_fd(const LineLog *l)
{
        assert(l);
        return l->event_fd;
}

void line_log_heard(LineLog *l)
{
        eventfd_t n;

        assert(l);
        (void)eventfd_read(l->event_fd, &n);
}
