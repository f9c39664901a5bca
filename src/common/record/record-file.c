/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Records as files: create, adopt, map, unmap, look at the lock.
 *
 * A record is written through a shared mapping, and a store into a page that the file system cannot provide is
 * SIGBUS: for the keeper, death in the middle of the account. So all of it is allocated before it is mapped, and a
 * full tmpfs refuses the attempt when nothing has run yet. For the same reason nothing ever shrinks a record.
 *
 * The file is created under its final name, exclusively: the name is what makes an attempt unique, and a rename
 * would replace a record that is there. Readers may see it before it is complete; phase NEW (or a file without a
 * size) says so. The lock is taken before the phase is CLAIMED, so a claimed record with a free lock is always an
 * abandoned one.
 *
 * Reader and writer check before they map that the size is right: a mapping beyond the end of a file would be
 * SIGBUS again. The files are root's in root's directory, so nobody cuts one between check and use. */

#include "common/record/record.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include "basic/fd.h"
#include "common/record/record-lock.h"

/* Maps all of it, or gives NULL with errno set. */
static Record *map(int fd, int protection)
{
        void *p = mmap(NULL, RECORD_SIZE, protection, MAP_SHARED, fd, 0);
        return p == MAP_FAILED ? NULL : p;
}

void record_unmap(const Record *r)
{
        int saved = errno;

        assert(r);

        munmap((void *)r, RECORD_SIZE);
        errno = saved;
}

/* Lets the readers in: the group of the directory (setgid bit or not), mode 0640 (umask or not). */
static int open_to_readers(int dir_fd, int fd)
{
        struct stat dir, file;

        if (fstat(dir_fd, &dir) < 0 || fstat(fd, &file) < 0)
                return -errno;
        if (file.st_gid != dir.st_gid && fchown(fd, (uid_t)-1, dir.st_gid) < 0)
                return -errno;
        return fchmod(fd, 0640) < 0 ? -errno : 0;
}

/* Makes an empty file into a locked, readable and allocated one. */
static int prepare(int dir_fd, int fd)
{
        int r = record_lock(fd);
        if (r <= 0)
                return r < 0 ? r : -EBUSY;
        r = open_to_readers(dir_fd, fd);
        if (r < 0)
                return r;
        return -posix_fallocate(fd, 0, RECORD_SIZE);
}

int record_create(int dir_fd, const char *task_id, unsigned attempt, Record **ret, int *ret_fd)
{
        char name[TASK_ATTEMPT_NAME_SIZE];

        assert(task_id);
        assert(ret);
        assert(ret_fd);

        task_attempt_name(task_id, attempt, name);
        _cleanup_fd_ int fd = openat(dir_fd, name, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0640);
        if (fd < 0)
                return -errno;
        int r = prepare(dir_fd, fd);
        Record *record = r < 0 ? NULL : map(fd, PROT_READ | PROT_WRITE);
        if (!record) {
                r = r < 0 ? r : -errno;
                unlinkat(dir_fd, name, 0);
                return r;
        }

        /* All else is zero: a hole that was allocated just now. */
        record->version = RECORD_VERSION;
        record->size = RECORD_SIZE;
        strcpy(record->task_id, task_id);
        record->attempt = attempt;
        atomic_store_explicit(&record->deadline_boottime_usec, USEC_INFINITY, memory_order_relaxed);
        memcpy(record->magic, RECORD_MAGIC, sizeof(record->magic));

        *ret = record;
        *ret_fd = TAKE_FD(fd);
        return 0;
}

/* Opens what may be a record: 0 with a regular file, its size and a descriptor. */
static int open_record(int dir_fd, const char *name, int flags, int *ret_fd, size_t *ret_size)
{
        struct stat st;

        /* O_NONBLOCK: a FIFO in the directory would otherwise hold us until somebody writes. */
        _cleanup_fd_ int fd = openat(dir_fd, name, flags | O_CLOEXEC | O_NOFOLLOW | O_NOCTTY | O_NONBLOCK);
        if (fd < 0)
                return errno == ELOOP || errno == EISDIR || errno == ENXIO ? -EBADMSG : -errno;
        if (fstat(fd, &st) < 0)
                return -errno;
        if (!S_ISREG(st.st_mode))
                return -EBADMSG;
        *ret_size = (size_t)st.st_size;
        *ret_fd = TAKE_FD(fd);
        return 0;
}

/* Maps and validates. */
static int map_sound(int fd, size_t size, const char *name, int protection, Record **ret)
{
        if (size != RECORD_SIZE)
                return size == 0 ? -EAGAIN : -EBADMSG; /* 0: created, not yet allocated */

        Record *record = map(fd, protection);
        if (!record)
                return -errno;
        int r = record_validate(record, size, name);
        if (r < 0) {
                record_unmap(record);
                return r;
        }
        *ret = record;
        return 0;
}

int record_adopt(int dir_fd, const char *name, Record **ret, int *ret_fd)
{
        _cleanup_fd_ int fd = -EBADF;
        size_t size = 0;

        assert(name);
        assert(ret);
        assert(ret_fd);

        int r = open_record(dir_fd, name, O_RDWR, &fd, &size);
        if (r < 0)
                return r;
        r = record_lock(fd);
        if (r <= 0)
                return r;
        r = map_sound(fd, size, name, PROT_READ | PROT_WRITE, ret);
        if (r < 0)
                return r;
        *ret_fd = TAKE_FD(fd);
        return 1;
}

static int map_unlocked(int dir_fd, const char *name, bool writable, Record **ret)
{
        _cleanup_fd_ int fd = -EBADF;
        size_t size = 0;

        assert(name);
        assert(ret);

        int r = open_record(dir_fd, name, writable ? O_RDWR : O_RDONLY, &fd, &size);
        if (r < 0)
                return r;
        return map_sound(fd, size, name, writable ? PROT_READ | PROT_WRITE : PROT_READ, ret);
}

int record_map(int dir_fd, const char *name, const Record **ret)
{
        Record *record = NULL;

        assert(ret);

        int r = map_unlocked(dir_fd, name, false, &record);
        if (r >= 0)
                *ret = record;
        return r;
}

int record_map_writable(int dir_fd, const char *name, Record **ret)
{
        return map_unlocked(dir_fd, name, true, ret);
}

int record_lock_is_free(int dir_fd, const char *name)
{
        _cleanup_fd_ int fd = -EBADF;
        size_t size = 0;

        assert(name);

        int r = open_record(dir_fd, name, O_RDONLY, &fd, &size);
        return r < 0 ? r : record_lock_test(fd);
}
