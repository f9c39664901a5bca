/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Records: who may create, lock, adopt and read when; what a reader refuses; the counter files. Processes that
 * die are forked here and waited for, so nothing depends on time. */

#include "common/record/record.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/futex.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "basic/fd.h"
#include "basic/strings.h"
#include "tests/unit/test.h"

typedef struct Fixture {
        char path[64];
        int dir_fd;
} Fixture;

static int set_up(void **state)
{
        static Fixture f;

        strcpy(f.path, "/tmp/test-reeve-record-XXXXXX");
        assert_non_null(mkdtemp(f.path));
        f.dir_fd = open(f.path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        assert_true(f.dir_fd >= 0);
        *state = &f;
        return 0;
}

static int tear_down(void **state)
{
        static const char *const names[] = { "t.1", "t.2", "t.3", "u.1" };
        Fixture *f = *state;

        for (size_t i = 0; i < ELEMENTSOF(names); i++)
                unlinkat(f->dir_fd, names[i], 0);
        fd_close(f->dir_fd);
        return rmdir(f->path);
}

/* A record "t.1", claimed. */
static Record *claim(const Fixture *f, int *ret_fd)
{
        Record *r = NULL;

        assert_int_equal(record_create(f->dir_fd, "t", 1, &r, ret_fd), 0);
        r->run_uid = 1000;
        strcpy(r->cgroup, "reeve.pool/tasks/1000/t.1");
        record_set_phase(r, RECORD_CLAIMED);
        return r;
}

static void start(Record *r)
{
        r->keeper_pid = 100;
        r->task_pid = 101;
        record_set_phase(r, RECORD_STARTED);
}

static void test_create(void **state)
{
        const Fixture *f = *state;
        _cleanup_fd_ int fd = -EBADF, other = -EBADF;
        struct stat st;
        Record *r = NULL, *second = NULL;
        const Record *seen = NULL;

        mode_t before = umask(077);
        assert_int_equal(record_create(f->dir_fd, "t", 1, &r, &fd), 0);
        umask(before);
        assert_memory_equal(r->magic, "reevrec", 8);
        assert_int_equal(r->version, RECORD_VERSION);
        assert_string_equal(r->task_id, "t");
        assert_int_equal(r->attempt, 1);
        assert_int_equal(record_phase(r), RECORD_NEW);
        assert_true(r->deadline_boottime_usec == USEC_INFINITY);
        assert_int_equal(r->cgroup_id, 0);

        assert_int_equal(fstatat(f->dir_fd, "t.1", &st, 0), 0);
        assert_int_equal(st.st_mode & 07777, 0640);
        assert_int_equal(st.st_size, RECORD_SIZE);
        assert_true(st.st_blocks * 512 >= RECORD_SIZE);
        assert_true(fcntl(fd, F_GETFD) & FD_CLOEXEC);

        assert_int_equal(record_create(f->dir_fd, "t", 1, &second, &other), -EEXIST);
        assert_null(second);
        assert_int_equal(record_map(f->dir_fd, "t.1", &seen), -EAGAIN);
        assert_int_equal(record_lock_is_free(f->dir_fd, "t.1"), 0);
        record_unmap(r);
}

static void test_group_of_directory(void **state)
{
        const Fixture *f = *state;
        _cleanup_fd_ int fd = -EBADF;
        struct stat st;
        Record *r;

        if (fchown(f->dir_fd, (uid_t)-1, 4242) < 0) {
                print_message("skipped: only root may give a directory to another group\n");
                skip();
        }
        assert_int_equal(record_create(f->dir_fd, "t", 1, &r, &fd), 0);
        assert_int_equal(fstatat(f->dir_fd, "t.1", &st, 0), 0);
        assert_int_equal(st.st_gid, 4242);
        record_unmap(r);
}

/* A full file system refuses the attempt, and leaves no file. */
static void test_no_space(void **state)
{
        const Fixture *f = *state;
        _cleanup_fd_ int fd = -EBADF, dir_fd = -EBADF;
        char path[96];
        Record *r = NULL;

        snprintf(path, sizeof(path), "%s/full", f->path);
        assert_int_equal(mkdir(path, 0700), 0);
        if (mount("tmpfs", path, "tmpfs", 0, "size=8k") < 0) {
                rmdir(path);
                print_message("skipped: cannot mount a tmpfs here\n");
                skip();
        }
        dir_fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        int result = record_create(dir_fd, "t", 1, &r, &fd);
        int left = faccessat(dir_fd, "t.1", F_OK, 0);
        dir_fd = fd_close(dir_fd);
        assert_int_equal(umount2(path, MNT_DETACH), 0);
        assert_int_equal(rmdir(path), 0);

        assert_int_equal(result, -ENOSPC);
        assert_int_equal(left, -1);
        assert_null(r);
}

static void test_phases(void **state)
{
        const Fixture *f = *state;
        _cleanup_fd_ int fd = -EBADF;
        const Record *seen;
        Record *r = claim(f, &fd);

        assert_int_equal(record_map(f->dir_fd, "t.1", &seen), 0);
        assert_int_equal(record_phase(seen), RECORD_CLAIMED);
        assert_int_equal(seen->run_uid, 1000);

        start(r);
        assert_int_equal(record_phase(seen), RECORD_STARTED);
        assert_int_equal(seen->task_pid, 101);
        record_unmap(seen);

        r->exit_kind = RECORD_EXIT_EXITED;
        record_set_phase(r, RECORD_ENDED);
        assert_int_equal(record_map(f->dir_fd, "t.1", &seen), 0);
        assert_int_equal(record_phase(seen), RECORD_ENDED);
        record_unmap(seen);
        record_unmap(r);
}

/* Exec failed before the child could say that it started. */
static void test_never_started(void **state)
{
        const Fixture *f = *state;
        _cleanup_fd_ int fd = -EBADF;
        const Record *seen;
        Record *r = claim(f, &fd);

        r->exit_kind = RECORD_EXIT_EXEC_FAILED;
        r->exit_value = ENOENT;
        strcpy(r->exec_path, "/no/such/command");
        record_set_phase(r, RECORD_ENDED);
        assert_int_equal(record_map(f->dir_fd, "t.1", &seen), 0);
        assert_int_equal(seen->exit_value, ENOENT);
        record_unmap(seen);
        record_unmap(r);
}

static void move(Record *r, RecordPhase from, RecordPhase to)
{
        r->phase = from;
        record_set_phase(r, to);
}

static void test_forbidden_phases(void **state _unused_)
{
        _cleanup_free_ Record *r = calloc(1, RECORD_SIZE);

        for (RecordPhase from = RECORD_NEW; from < _RECORD_PHASE_MAX; from++)
                for (RecordPhase to = RECORD_NEW; to < _RECORD_PHASE_MAX; to++) {
                        bool allowed = from == RECORD_NEW ? to == RECORD_CLAIMED : to > from;
                        pid_t pid = fork();
                        if (pid == 0) {
                                (void)!freopen("/dev/null", "w",
                                               stderr); /* the failed assertion's message */
                                move(r, from, to);
                                _exit(0);
                        }
                        int status;
                        assert_int_equal(waitpid(pid, &status, 0), pid);
                        if (WIFEXITED(status) != allowed)
                                fail_msg("from phase %d to %d: %s", from, to,
                                         allowed ? "refused" : "allowed");
                }
}

/* A forked child shares the lock, whoever closes first. */
static void test_lock_is_shared(void **state)
{
        const Fixture *f = *state;
        int fd = -EBADF, other = -EBADF, channel[2];
        Record *r = claim(f, &fd), *taken = NULL;

        assert_int_equal(pipe2(channel, O_CLOEXEC), 0);
        pid_t keeper = fork();
        if (keeper == 0) {
                char c;
                close(channel[1]);
                _exit(read(channel[0], &c, 1) == 0 ? 0 : 1);
        }
        close(channel[0]);
        record_unmap(r);
        fd_close(fd);
        assert_int_equal(record_lock_is_free(f->dir_fd, "t.1"), 0);
        assert_int_equal(record_adopt(f->dir_fd, "t.1", &taken, &other), 0);
        assert_null(taken);
        assert_int_equal(other, -EBADF);

        close(channel[1]);
        assert_int_equal(waitpid(keeper, NULL, 0), keeper);
        assert_int_equal(record_lock_is_free(f->dir_fd, "t.1"), 1);
        assert_int_equal(record_adopt(f->dir_fd, "t.1", &taken, &other), 1);
        assert_int_equal(record_phase(taken), RECORD_CLAIMED);
        assert_int_equal(record_lock_is_free(f->dir_fd, "t.1"), 0);
        record_unmap(taken);
        fd_close(other);
}

static void test_adopt_and_complete(void **state)
{
        const Fixture *f = *state;
        int fd = -EBADF;
        const Record *seen;
        Record *r = claim(f, &fd);

        start(r);
        record_unmap(r);
        fd_close(fd);

        assert_int_equal(record_adopt(f->dir_fd, "t.1", &r, &fd), 1);
        record_set_flag(r, RECORD_FLAG_ADOPTED);
        r->exit_kind = RECORD_EXIT_UNKNOWN;
        assert_int_equal(record_add_file(r, "cpu.stat", "usage_usec 7\n", 13), 0);
        record_set_phase(r, RECORD_ENDED);
        record_unmap(r);
        fd_close(fd);

        assert_int_equal(record_map(f->dir_fd, "t.1", &seen), 0);
        assert_int_equal(seen->flags, RECORD_FLAG_ADOPTED);
        assert_int_equal(seen->exit_kind, RECORD_EXIT_UNKNOWN);
        record_unmap(seen);
}

static void write_file(const Fixture *f, const char *name, const void *data, size_t size)
{
        unlinkat(f->dir_fd, name, 0);
        _cleanup_fd_ int fd = openat(f->dir_fd, name, O_WRONLY | O_CREAT | O_CLOEXEC, 0640);
        assert_true(fd >= 0);
        assert_int_equal(fd_write_full(fd, data, size), 0);
}

static void test_not_records(void **state)
{
        const Fixture *f = *state;
        _cleanup_free_ char *zeros = calloc(1, RECORD_SIZE);
        const Record *seen = NULL;
        Record *r = NULL;
        int fd = -EBADF;

        assert_int_equal(record_map(f->dir_fd, "t.1", &seen), -ENOENT);
        assert_int_equal(record_adopt(f->dir_fd, "t.1", &r, &fd), -ENOENT);
        assert_int_equal(record_lock_is_free(f->dir_fd, "t.1"), -ENOENT);

        write_file(f, "t.1", "", 0);
        assert_int_equal(record_map(f->dir_fd, "t.1", &seen), -EAGAIN);
        write_file(f, "t.1", zeros, RECORD_SIZE);
        assert_int_equal(record_map(f->dir_fd, "t.1", &seen), -EAGAIN);
        assert_int_equal(record_adopt(f->dir_fd, "t.1", &r, &fd), -EAGAIN);
        write_file(f, "t.1", zeros, RECORD_SIZE - 1);
        assert_int_equal(record_map(f->dir_fd, "t.1", &seen), -EBADMSG);
        assert_int_equal(record_adopt(f->dir_fd, "t.1", &r, &fd), -EBADMSG);
        write_file(f, "t.1", "text", 4);
        assert_int_equal(record_map(f->dir_fd, "t.1", &seen), -EBADMSG);

        assert_int_equal(unlinkat(f->dir_fd, "t.1", 0), 0);
        assert_int_equal(mkfifoat(f->dir_fd, "t.1", 0640), 0);
        assert_int_equal(record_map(f->dir_fd, "t.1", &seen), -EBADMSG);
        assert_int_equal(record_adopt(f->dir_fd, "t.1", &r, &fd), -EBADMSG);
        assert_int_equal(unlinkat(f->dir_fd, "t.1", 0), 0);
        assert_int_equal(symlinkat("/dev/zero", f->dir_fd, "t.1"), 0);
        assert_int_equal(record_map(f->dir_fd, "t.1", &seen), -EBADMSG);
        assert_int_equal(unlinkat(f->dir_fd, "t.1", 0), 0);
        assert_int_equal(mkdirat(f->dir_fd, "t.1", 0750), 0);
        assert_int_equal(record_map(f->dir_fd, "t.1", &seen), -EBADMSG);
        assert_int_equal(record_adopt(f->dir_fd, "t.1", &r, &fd), -EBADMSG);
        assert_int_equal(unlinkat(f->dir_fd, "t.1", AT_REMOVEDIR), 0);
        assert_null(seen);
        assert_null(r);
}

/* A sound record of this phase, in memory. */
static Record *sound(RecordPhase phase)
{
        Record *r = calloc(1, RECORD_SIZE);

        assert_non_null(r);
        memcpy(r->magic, RECORD_MAGIC, 8);
        r->version = RECORD_VERSION;
        r->size = RECORD_SIZE;
        strcpy(r->task_id, "t");
        r->attempt = 1;
        strcpy(r->cgroup, "a/b");
        r->keeper_pid = 1;
        r->task_pid = 2;
        assert_int_equal(record_add_file(r, "cpu.stat", "usage_usec 1\n", 13), 0);
        assert_int_equal(record_add_file(r, "io.stat", "", 0), 0);
        r->phase = phase;
        return r;
}

static void expect(const Record *r, int expected, const char *what)
{
        assert_errno(record_validate(r, RECORD_SIZE, "t.1"), expected, what);
}

#define REFUSES(phase_, change)                           \
        do {                                              \
                _cleanup_free_ Record *r = sound(phase_); \
                expect(r, 0, "sound");                    \
                change;                                   \
                expect(r, -EBADMSG, #change);             \
        } while (0)

static void test_validate_header(void **state _unused_)
{
        for (RecordPhase p = RECORD_CLAIMED; p < _RECORD_PHASE_MAX; p++) {
                REFUSES(p, r->magic[0] = 'R');
                REFUSES(p, r->magic[7] = 'x');
                REFUSES(p, r->version = RECORD_VERSION + 1);
                REFUSES(p, r->version = 0);
                REFUSES(p, r->size = RECORD_SIZE + 1);
                REFUSES(p, r->phase = _RECORD_PHASE_MAX);
                REFUSES(p, r->phase = UINT32_MAX);
                REFUSES(p, r->task_id[0] = '\0');
                REFUSES(p, r->task_id[0] = 'u');
                REFUSES(p, strcpy(r->task_id, "t/../t"));
                REFUSES(p, memset(r->task_id, 'a', sizeof(r->task_id)));
                REFUSES(p, r->attempt = 0);
                REFUSES(p, r->attempt = 2);
                REFUSES(p, r->attempt = TASK_ATTEMPT_MAX + 1);
                REFUSES(p, r->backend = _RECORD_BACKEND_MAX);
                REFUSES(p, memset(r->cgroup, 'a', sizeof(r->cgroup)));
                REFUSES(p, strcpy(r->cgroup, "/a"));
                REFUSES(p, strcpy(r->cgroup, "a/"));
                REFUSES(p, strcpy(r->cgroup, "a//b"));
                REFUSES(p, strcpy(r->cgroup, "a/../b"));
                REFUSES(p, strcpy(r->cgroup, ".."));
                REFUSES(p, strcpy(r->cgroup, "./a"));
        }
        _cleanup_free_ Record *r = sound(RECORD_CLAIMED);
        strcpy(r->cgroup, "a.b/..c/.d");
        expect(r, 0, "dots within a name");
        r->cgroup[0] = '\0';
        expect(r, 0, "no cgroup");
}

static void test_validate_phases(void **state _unused_)
{
        REFUSES(RECORD_STARTED, r->keeper_pid = 0);
        REFUSES(RECORD_STARTED, r->task_pid = -1);
        REFUSES(RECORD_ENDED, r->task_pid = -1);
        REFUSES(RECORD_ENDED, r->keeper_pid = INT32_MIN);
        REFUSES(RECORD_ENDED, r->exit_kind = _RECORD_EXIT_MAX);
        REFUSES(RECORD_ENDED, memset(r->exec_path, '/', sizeof(r->exec_path)));

        /* What a later phase promises does not matter yet. */
        _cleanup_free_ Record *r = sound(RECORD_CLAIMED);
        r->task_pid = -1;
        r->exit_kind = UINT32_MAX;
        r->files_length = UINT32_MAX;
        expect(r, 0, "claimed");
        r->phase = RECORD_NEW;
        expect(r, -EAGAIN, "new");
        memset(r->magic, 0, 8);
        expect(r, -EAGAIN, "new, without its magic yet");
        r->magic[0] = 'x';
        expect(r, -EBADMSG, "phase new, other magic");

        assert_int_equal(record_validate(r, 0, "t.1"), -EAGAIN);
        assert_int_equal(record_validate(r, RECORD_SIZE - 1, "t.1"), -EBADMSG);
        assert_int_equal(record_validate(r, RECORD_SIZE + 1, "t.1"), -EBADMSG);
}

static uint8_t *files_of(Record *r)
{
        return (uint8_t *)r + RECORD_SIZE - RECORD_FILES_SIZE;
}

static void test_validate_files(void **state _unused_)
{
        REFUSES(RECORD_ENDED, r->files_length = RECORD_FILES_SIZE + 1);
        REFUSES(RECORD_ENDED, r->files_length = UINT32_MAX);
        REFUSES(RECORD_ENDED, r->files_length--);
        REFUSES(RECORD_ENDED, r->files_length++);
        REFUSES(RECORD_ENDED, memset(files_of(r), 0xff, 4));
        REFUSES(RECORD_ENDED, memset(files_of(r), 0, 2)); /* a name without characters */
        REFUSES(RECORD_ENDED, files_of(r)[4] = 0);        /* NUL in a name */
        REFUSES(RECORD_ENDED, files_of(r)[14] = 0);       /* NUL in a text */

        _cleanup_free_ Record *r = sound(RECORD_ENDED);
        record_clear_files(r);
        expect(r, 0, "no files");
}

/* Times and counts add up, the largest resident set stays. */
static void test_sums(void **state _unused_)
{
        static const struct rusage first = { .ru_utime = { 1, 500000 }, .ru_maxrss = 10, .ru_nvcsw = 3 };
        static const struct rusage second = { .ru_utime = { 0, 600000 }, .ru_maxrss = 4, .ru_oublock = 8 };
        static const RecordProcIo io = { .rchar = 5, .write_bytes = UINT64_C(1) << 40 };
        _cleanup_free_ Record *r = calloc(1, RECORD_SIZE);

        record_add_rusage(r, &first);
        record_add_rusage(r, &second);
        assert_int_equal(r->rusage.user_usec, 2100000);
        assert_int_equal(r->rusage.system_usec, 0);
        assert_int_equal(r->rusage.max_rss_bytes, 10240);
        assert_int_equal(r->rusage.voluntary_switches, 3);
        assert_int_equal(r->rusage.out_blocks, 8);

        assert_false(r->io.valid);
        record_add_io(r, &io);
        record_add_io(r, &io);
        assert_true(r->io.valid);
        assert_int_equal(r->io.rchar, 10);
        assert_int_equal(r->io.write_bytes, UINT64_C(1) << 41);
}

static void test_files(void **state _unused_)
{
        _cleanup_free_ Record *r = calloc(1, RECORD_SIZE);
        const char *name, *text;
        size_t cursor = 0, name_length, text_length;

        assert_int_equal(record_next_file(r, &cursor, &name, &name_length, &text, &text_length), 0);
        assert_int_equal(record_add_file(r, "cpu.stat", "usage_usec 1\n", 13), 0);
        assert_int_equal(record_add_file(r, "io.stat", NULL, 0), 0);
        assert_int_equal(record_add_file(r, "bad", "a\0b", 3), -EINVAL);

        assert_int_equal(record_next_file(r, &cursor, &name, &name_length, &text, &text_length), 1);
        assert_int_equal(name_length, 8);
        assert_memory_equal(name, "cpu.stat", 8);
        assert_int_equal(text_length, 13);
        assert_memory_equal(text, "usage_usec 1\n", 13);
        assert_int_equal(record_next_file(r, &cursor, &name, &name_length, &text, &text_length), 1);
        assert_memory_equal(name, "io.stat", 7);
        assert_int_equal(text_length, 0);
        assert_int_equal(record_next_file(r, &cursor, &name, &name_length, &text, &text_length), 0);

        cursor = SIZE_MAX;
        assert_int_equal(record_next_file(r, &cursor, &name, &name_length, &text, &text_length), 0);
}

static void test_files_do_not_fit(void **state _unused_)
{
        static char text[RECORD_FILES_SIZE + 1];
        _cleanup_free_ Record *r = calloc(1, RECORD_SIZE);
        size_t exact = RECORD_FILES_SIZE - 4 - 1;

        memset(text, 'x', sizeof(text));
        assert_int_equal(record_add_file(r, "f", text, sizeof(text)), -ENOSPC);
        assert_int_equal(r->flags, RECORD_FLAG_TRUNCATED);
        assert_int_equal(r->files_length, 0);
        assert_int_equal(record_add_file(r, "f", text, exact + 1), -ENOSPC);

        record_set_flag(r, RECORD_FLAG_KILLED);
        record_clear_files(r);
        assert_int_equal(r->flags, RECORD_FLAG_KILLED);
        assert_int_equal(record_add_file(r, "f", text, exact), 0);
        assert_int_equal(r->files_length, RECORD_FILES_SIZE);
        assert_int_equal(r->flags, RECORD_FLAG_KILLED);
        assert_int_equal(((char *)r)[RECORD_SIZE - 1], 'x');
        assert_int_equal(record_add_file(r, "g", "", 0), -ENOSPC);

        record_clear_files(r);
        r->files_length = UINT32_MAX; /* what no writer of ours does */
        assert_int_equal(record_add_file(r, "f", "", 0), -ENOSPC);
}

/* A waiter in another process; FUTEX_WAIT returns at once if the value has changed before it slept. */
static void test_wake(void **state)
{
        const Fixture *f = *state;
        _cleanup_fd_ int fd = -EBADF;
        Record *r = claim(f, &fd);
        int status;

        pid_t waiter = fork();
        if (waiter == 0) {
                alarm(30); /* a wake that does not come must not hang the tests */
                while (atomic_load(&r->wake) == 0)
                        syscall(SYS_futex, &r->wake, FUTEX_WAIT, 0, NULL, NULL, 0);
                _exit(atomic_load(&r->deadline_boottime_usec) == 5 ? 0 : 1);
        }
        atomic_store(&r->deadline_boottime_usec, 5);
        errno = ENOTTY;
        record_wake(r);
        assert_int_equal(errno, ENOTTY);
        assert_int_equal(waitpid(waiter, &status, 0), waiter);
        assert_true(WIFEXITED(status));
        assert_int_equal(WEXITSTATUS(status), 0);
        assert_int_equal(r->wake, 1);
        record_unmap(r);
}

static void test_names(void **state _unused_)
{
        assert_string_equal(record_backend_name(RECORD_BACKEND_CGROUP), "cgroup");
        for (RecordBackend b = 0; b < _RECORD_BACKEND_MAX; b++)
                assert_non_null(record_backend_name(b));
        assert_string_equal(record_exit_name(RECORD_EXIT_EXEC_FAILED), "exec-failed");
        for (RecordExit e = 0; e < _RECORD_EXIT_MAX; e++)
                assert_non_null(record_exit_name(e));
}

/* The layout is a protocol between versions of the programs: a field that moves needs a new RECORD_VERSION. */
static void test_layout(void **state _unused_)
{
        assert_int_equal(RECORD_VERSION, 1);
        assert_int_equal(offsetof(Record, phase), 16);
        assert_int_equal(offsetof(Record, task_id), 24);
        assert_int_equal(offsetof(Record, boot_id), 184);
        assert_int_equal(offsetof(Record, cgroup), 216);
        assert_int_equal(offsetof(Record, deadline_boottime_usec), 768);
        assert_int_equal(offsetof(Record, wake), 780);
        assert_int_equal(offsetof(Record, exit_kind), 824);
        assert_int_equal(offsetof(Record, files_length), 1248);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test_setup_teardown(test_create, set_up, tear_down),
                cmocka_unit_test_setup_teardown(test_group_of_directory, set_up, tear_down),
                cmocka_unit_test_setup_teardown(test_no_space, set_up, tear_down),
                cmocka_unit_test_setup_teardown(test_phases, set_up, tear_down),
                cmocka_unit_test_setup_teardown(test_never_started, set_up, tear_down),
                cmocka_unit_test(test_forbidden_phases),
                cmocka_unit_test_setup_teardown(test_lock_is_shared, set_up, tear_down),
                cmocka_unit_test_setup_teardown(test_adopt_and_complete, set_up, tear_down),
                cmocka_unit_test_setup_teardown(test_not_records, set_up, tear_down),
                cmocka_unit_test(test_validate_header),
                cmocka_unit_test(test_validate_phases),
                cmocka_unit_test(test_validate_files),
                cmocka_unit_test(test_files),
                cmocka_unit_test(test_sums),
                cmocka_unit_test(test_files_do_not_fit),
                cmocka_unit_test_setup_teardown(test_wake, set_up, tear_down),
                cmocka_unit_test(test_names),
                cmocka_unit_test(test_layout),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
