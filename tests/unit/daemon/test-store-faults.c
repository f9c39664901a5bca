/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* What may go wrong around the database: a crash after the answer, damage, a newer version, somebody else's file, a
 * second daemon, a read-only place, a full disk; and backups under load. */

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "basic/fd.h"
#include "tests/unit/daemon/store-fixture.h"

static int try_open(Fixture *f, ReeveError *reterr)
{
        StoreConfig config = { .path = f->path, .backup_dir = f->backup_dir, .event = f->event };
        *reterr = REEVE_ERROR_NULL;
        return store_open(&config, &f->store, reterr);
}

static char *slurp(const char *path, size_t *ret_size)
{
        char *data = NULL;
        int r = fd_read_file_alloc(AT_FDCWD, path, 64 << 20, &data, ret_size);
        if (r < 0)
                fail_msg("cannot read %s: %s", path, strerror(-r));
        return data;
}

static void overwrite(const char *path, off_t offset, const void *data, size_t n)
{
        int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
        assert_true(fd >= 0);
        assert_int_equal(pwrite(fd, data, n, offset), n);
        close(fd);
}

/* ---- crashes ---- */

static int child_fd;

static void on_child_written(const ReeveError *error, int64_t last_event _unused_, void *userdata _unused_)
{
        (void)!write(child_fd, error ? "F" : "W", 1);
        for (;;)
                pause();
}

static void child(Fixture *f)
{
        ReeveError error;
        TaskRow t = make_task("acknowledged");

        if (try_open(f, &error) < 0)
                _exit(1);
        StoreWrite *w = store_write_new(f->store, 0, on_child_written, NULL);
        store_write_insert_task(w, &t);
        store_write_submit(w);
        for (;;)
                sd_event_run(f->event, UINT64_MAX);
}

static void test_survives_kill(void **state)
{
        Fixture *f = *state;
        int fds[2], status;
        char answer = 0;

        assert_int_equal(pipe2(fds, O_CLOEXEC), 0);
        pid_t pid = fork();
        assert_true(pid >= 0);
        if (pid == 0) {
                /* A loop must not be shared across fork. */
                f->event = NULL;
                child_fd = fds[1];
                if (sd_event_new(&f->event) < 0)
                        _exit(1);
                child(f);
        }
        close(fds[1]);
        assert_int_equal(read(fds[0], &answer, 1), 1);
        assert_int_equal(answer, 'W');
        assert_int_equal(kill(pid, SIGKILL), 0);
        assert_int_equal(waitpid(pid, &status, 0), pid);
        assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
        close(fds[0]);

        fixture_open(f);
        TaskRow *got = fixture_get(f, "acknowledged");
        assert_non_null(got);
        task_row_free(got);
}

/* ---- files that must not be touched ---- */

static void make_database(Fixture *f, unsigned n_tasks)
{
        char id[32];

        fixture_open(f);
        for (unsigned i = 0; i < n_tasks; i++) {
                snprintf(id, sizeof(id), "task%u", i);
                TaskRow t = make_task(id);
                fixture_insert(f, &t);
        }
        fixture_close(f);
}

static void assert_refused_untouched(Fixture *f, int expected, const char *word)
{
        ReeveError error;
        size_t size_before, size_after;

        char *before = slurp(f->path, &size_before);
        int r = try_open(f, &error);
        if (r != expected)
                fail_msg("opening gave %d (%s), expected %d", r, error.text, expected);
        if (!strstr(error.text, word) || !strstr(error.text, f->path))
                fail_msg("'%s' does not say '%s' and '%s'", error.text, word, f->path);
        char *after = slurp(f->path, &size_after);
        assert_int_equal(size_before, size_after);
        assert_memory_equal(before, after, size_before);
        free(before);
        free(after);
}

static void test_damaged_header(void **state)
{
        Fixture *f = *state;

        make_database(f, 1);
        overwrite(f->path, 0, "garbage", 7);
        assert_refused_untouched(f, -EBADMSG, "reeve doctor");

        /* The newest backup is named. */
        assert_int_equal(mkdir(f->backup_dir, 0700), 0);
        static const char *const names[] = { "registry-2026-01-02.db", "registry-2025-12-31.db",
                                             "registry-x.db", "registry-2026-01-03.db.part" };
        for (size_t i = 0; i < ELEMENTSOF(names); i++) {
                char path[192];
                snprintf(path, sizeof(path), "%s/%s", f->backup_dir, names[i]);
                overwrite(path, 0, "x", 1);
                struct timespec times[] = { { 0 }, { .tv_sec = 1000000000 - (time_t)i } };
                assert_int_equal(utimensat(AT_FDCWD, path, times, 0), 0);
        }
        assert_refused_untouched(f, -EBADMSG, "registry-2026-01-02.db");
}

static void test_damaged_page(void **state)
{
        Fixture *f = *state;
        char page[4096];
        struct stat st;

        make_database(f, 200);
        memset(page, 0x5a, sizeof(page));
        assert_int_equal(stat(f->path, &st), 0);
        /* One leaf, which only quick_check finds; then the schema. */
        overwrite(f->path, st.st_size - (off_t)sizeof(page), page, sizeof(page));
        assert_refused_untouched(f, -EBADMSG, "reeve doctor");
        for (off_t offset = 4096; offset < st.st_size; offset += 4 * 4096)
                overwrite(f->path, offset, page, sizeof(page));
        assert_refused_untouched(f, -EBADMSG, "reeve doctor");
}

static void test_truncated(void **state)
{
        Fixture *f = *state;

        make_database(f, 200);
        assert_int_equal(truncate(f->path, 9), 0);
        assert_refused_untouched(f, -EBADMSG, "damaged");
}

static void exec_own(Fixture *f, const char *sql)
{
        sqlite3 *db;
        assert_int_equal(sqlite3_open(f->path, &db), SQLITE_OK);
        if (sqlite3_exec(db, sql, NULL, NULL, NULL) != SQLITE_OK)
                fail_msg("%s: %s", sql, sqlite3_errmsg(db));
        sqlite3_close(db);
}

static void test_newer_version(void **state)
{
        Fixture *f = *state;

        make_database(f, 1);
        exec_own(f, "PRAGMA user_version = 999");
        assert_refused_untouched(f, -EPROTONOSUPPORT, "999");
}

static void test_foreign_database(void **state)
{
        Fixture *f = *state;

        exec_own(f, "CREATE TABLE bookmarks (url TEXT)");
        assert_refused_untouched(f, -EBADMSG, "another program");
}

static void test_second_open(void **state)
{
        Fixture *f = *state;
        ReeveError error = REEVE_ERROR_NULL;
        Store *second = NULL;
        StoreConfig config = { .path = f->path, .event = f->event };

        fixture_open(f);
        assert_int_equal(store_open(&config, &second, &error), -EBUSY);
        assert_null(second);
        assert_int_equal(error.code, REEVE_ERROR_UNAVAILABLE);
        assert_non_null(strstr(error.text, "in use"));

        fixture_close(f);
        fixture_open(f);
}

static void test_missing_directory(void **state)
{
        Fixture *f = *state;
        ReeveError error;

        snprintf(f->path, sizeof(f->path), "%s/none/registry.db", f->dir);
        assert_int_equal(try_open(f, &error), -ENOENT);
        assert_non_null(strstr(error.text, f->path));
}

/* ---- places of our own ---- */

/* A small file system over the fixture's directory, seen by this process only. False: not permitted here. */
static bool mount_small(Fixture *f, const char *options)
{
        if (unshare(CLONE_NEWNS) < 0 || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0 ||
            mount("tmpfs", f->dir, "tmpfs", MS_NOSUID | MS_NODEV, options) < 0) {
                print_message("skipped: no private mount possible here: %s\n", strerror(errno));
                return false;
        }
        return true;
}

static void test_read_only_place(void **state)
{
        Fixture *f = *state;
        ReeveError error;

        if (!mount_small(f, "size=4m"))
                skip();
        make_database(f, 1);
        assert_int_equal(mount(NULL, f->dir, NULL, MS_REMOUNT | MS_RDONLY, NULL), 0);
        assert_int_equal(try_open(f, &error), -EROFS);
        if (!strstr(error.text, f->path))
                fail_msg("'%s' does not name %s", error.text, f->path);
        assert_int_equal(umount2(f->dir, MNT_DETACH), 0);
}

static void fill_disk(const char *path)
{
        char block[4096] = { 1 };

        int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
        assert_true(fd >= 0);
        while (write(fd, block, sizeof(block)) > 0)
                ;
        assert_int_equal(errno, ENOSPC);
        close(fd);
}

static void submit_large(Fixture *f, const char *id, unsigned flags, Written *written)
{
        enum { SIZE = 600 * 1024 };
        char *metadata = malloc(SIZE + 1);
        TaskRow t = make_task(id);

        memset(metadata, 'm', SIZE);
        metadata[SIZE] = '\0';
        t.metadata = metadata;
        StoreWrite *w = store_write_new(f->store, flags, on_written, written);
        assert_int_equal(store_write_insert_task(w, &t), 0);
        assert_int_equal(store_write_submit(w), 0);
        free(metadata);
}

static void test_full_disk(void **state)
{
        Fixture *f = *state;
        Written record = {}, refused = {}, later = {}, accepted = {};
        StoreFigures figures;
        char filler[128];

        if (!mount_small(f, "size=3m"))
                skip();
        fixture_open(f);
        snprintf(filler, sizeof(filler), "%s/filler", f->dir);
        fill_disk(filler);

        sqlite3 *held = fixture_hold_writer(f);
        submit_large(f, "record", 0, &record);
        submit_large(f, "refused", STORE_WRITE_REFUSABLE, &refused);
        fixture_release_writer(held);
        fixture_wait(f, &refused.done, "a refusal");
        assert_int_equal(refused.code, REEVE_ERROR_UNAVAILABLE);
        assert_non_null(strstr(refused.error.text, "disk is full"));

        /* What comes while the record waits is refused without waiting for the next try. */
        submit_large(f, "later", STORE_WRITE_REFUSABLE, &later);
        fixture_wait(f, &later.done, "a second refusal");
        assert_int_equal(later.code, REEVE_ERROR_UNAVAILABLE);
        store_figures(f->store, &figures);
        assert_true(figures.disk_full);
        assert_int_equal(figures.queued, 1);
        assert_false(record.done);
        assert_null(fixture_get(f, "record"));

        assert_int_equal(unlink(filler), 0);
        fixture_wait(f, &record.done, "the record, after room was made");
        assert_int_equal(record.code, REEVE_ERROR_NONE);
        store_figures(f->store, &figures);
        assert_false(figures.disk_full);
        TaskRow *got = fixture_get(f, "record");
        assert_non_null(got);
        task_row_free(got);
        assert_null(fixture_get(f, "refused"));

        TaskRow t = make_task("accepted");
        StoreWrite *w = store_write_new(f->store, STORE_WRITE_REFUSABLE, on_written, &accepted);
        assert_int_equal(store_write_insert_task(w, &t), 0);
        fixture_commit(f, w, &accepted);

        fixture_close(f);
        assert_int_equal(umount2(f->dir, MNT_DETACH), 0);
}

/* Closing must come to an end although the disk stays full. */
static void test_close_with_full_disk(void **state)
{
        Fixture *f = *state;
        Written record = {}, refused = {};
        char filler[128];

        if (!mount_small(f, "size=3m"))
                skip();
        fixture_open(f);
        snprintf(filler, sizeof(filler), "%s/filler", f->dir);
        fill_disk(filler);
        submit_large(f, "record", 0, &record);
        submit_large(f, "refused", STORE_WRITE_REFUSABLE, &refused);
        fixture_wait(f, &refused.done, "a refusal");
        fixture_close(f);
        assert_false(record.done);

        assert_int_equal(unlink(filler), 0);
        fixture_open(f);
        assert_null(fixture_get(f, "record"));
        fixture_close(f);
        assert_int_equal(umount2(f->dir, MNT_DETACH), 0);
}

/* ---- backups ---- */

typedef struct BackedUp {
        bool done;
        ReeveErrorCode code;
        char field[256];
        int64_t bytes;
        int fd;
} BackedUp;

static void on_backed_up(const ReeveError *error, StoreCopy *copy, void *userdata)
{
        BackedUp *b = userdata;
        b->done = true;
        b->fd = -EBADF;
        if (copy) {
                b->bytes = copy->bytes;
                b->fd = TAKE_FD(copy->fd);
        }
        if (error) {
                b->code = error->code;
                snprintf(b->field, sizeof(b->field), "%s", error->field);
        }
}

static int64_t ask_file(const char *path, const char *sql)
{
        sqlite3 *db;
        sqlite3_stmt *st;

        assert_int_equal(sqlite3_open_v2(path, &db, SQLITE_OPEN_READONLY, NULL), SQLITE_OK);
        if (sqlite3_prepare_v2(db, sql, -1, &st, NULL) != SQLITE_OK || sqlite3_step(st) != SQLITE_ROW)
                fail_msg("%s: %s", path, sqlite3_errmsg(db));
        int64_t value = sqlite3_column_int64(st, 0);
        sqlite3_finalize(st);
        sqlite3_close(db);
        return value;
}

static void test_backup_while_writing(void **state)
{
        enum { BEFORE = 3000, DURING = 500 };
        Fixture *f = *state;
        static Written written[BEFORE + DURING];
        BackedUp backed_up = {};
        char path[128], id[32];

        fixture_open(f);
        memset(written, 0, sizeof(written));
        snprintf(path, sizeof(path), "%s/copy.db", f->dir);
        for (int i = 0; i < BEFORE + DURING; i++) {
                snprintf(id, sizeof(id), "t%d", i);
                TaskRow t = make_task(id);
                EventRow e = { .realtime = 1, .topic = (char *)"task.created", .task_id = id };
                StoreWrite *w = store_write_new(f->store, 0, on_written, &written[i]);
                assert_int_equal(store_write_insert_task(w, &t), 0);
                assert_int_equal(store_write_event(w, &e), 0);
                if (i == BEFORE) {
                        fixture_wait(f, &written[BEFORE - 1].done, "the first tasks");
                        assert_int_equal(store_backup(f->store, path, on_backed_up, &backed_up), 0);
                }
                assert_int_equal(store_write_submit(w), 0);
        }
        fixture_wait(f, &backed_up.done, "a backup");
        assert_int_equal(backed_up.code, REEVE_ERROR_NONE);
        fixture_wait(f, &written[BEFORE + DURING - 1].done, "the last task");

        struct stat st;
        assert_int_equal(stat(path, &st), 0);
        assert_int_equal(st.st_size, backed_up.bytes);
        assert_int_equal(st.st_mode & 07777, 0600);
        assert_int_equal(
                        ask_file(path,
                                 "SELECT count(*) FROM pragma_integrity_check WHERE integrity_check = 'ok'"),
                        1);
        int64_t tasks = ask_file(path, "SELECT count(*) FROM task_registry");
        assert_true(tasks >= BEFORE && tasks <= BEFORE + DURING);
        /* Both rows of a write, or neither. */
        assert_int_equal(tasks, ask_file(path, "SELECT count(*) FROM task_events"));
        assert_int_equal(tasks, ask_file(path, "SELECT sum(tasks) FROM task_counts"));

        /* Never over an existing file. */
        backed_up = (BackedUp){};
        assert_int_equal(store_backup(f->store, path, on_backed_up, &backed_up), 0);
        fixture_wait(f, &backed_up.done, "a refusal");
        assert_int_equal(backed_up.code, REEVE_ERROR_INVALID_ARGUMENT);
        assert_string_equal(backed_up.field, "path");
        assert_int_equal(store_backup(f->store, "relative", on_backed_up, &backed_up), -EINVAL);

        /* Without a name: a descriptor, and nothing in any folder. */
        backed_up = (BackedUp){};
        assert_int_equal(store_backup(f->store, NULL, on_backed_up, &backed_up), 0);
        fixture_wait(f, &backed_up.done, "a copy without a name");
        assert_int_equal(backed_up.code, REEVE_ERROR_NONE);
        assert_int_equal(fstat(backed_up.fd, &st), 0);
        assert_int_equal(st.st_size, backed_up.bytes);
        assert_int_equal(st.st_nlink, 0);
        fd_close(backed_up.fd);

        /* A folder that is not there. */
        snprintf(path, sizeof(path), "%s/none/copy.db", f->dir);
        backed_up = (BackedUp){};
        assert_int_equal(store_backup(f->store, path, on_backed_up, &backed_up), 0);
        fixture_wait(f, &backed_up.done, "a failure");
        assert_int_equal(backed_up.code, REEVE_ERROR_INTERNAL);
}

/* The file of the day appears without a callback, so its folder is watched. */
static int on_moved(sd_event_source *source _unused_, const struct inotify_event *event _unused_,
                    void *userdata)
{
        bool *moved = userdata;
        *moved = true;
        return 0;
}

static void test_daily_backups(void **state)
{
        static const char *const days[] = { "2023-11-14", "2023-11-15", "2023-11-16", "2023-11-17",
                                            "2023-11-18" };
        Fixture *f = *state;
        FakeClock clock;
        char path[192];

        assert_int_equal(setenv("TZ", "UTC", 1), 0);
        assert_int_equal(mkdir(f->backup_dir, 0700), 0);
        fake_clock_init(&clock, 1700000000 * USEC_PER_SEC, 0); /* 2023-11-14 22:13 */
        for (size_t i = 0; i < ELEMENTSOF(days); i++) {
                ReeveError error = REEVE_ERROR_NULL;
                sd_event_source *watch = NULL;
                bool moved = false;
                StoreConfig config = { .path = f->path,
                                       .backup_dir = f->backup_dir,
                                       .backup_interval_usec = USEC_PER_DAY,
                                       .clock = &clock.clock,
                                       .event = f->event };

                assert_true(sd_event_add_inotify(f->event, &watch, f->backup_dir, IN_MOVED_TO, on_moved,
                                                 &moved) >= 0);
                assert_ok(store_open(&config, &f->store, &error), error);
                fixture_wait(f, &moved, days[i]);
                sd_event_source_disable_unref(watch);
                fixture_close(f); /* also waits until the old ones are removed */

                snprintf(path, sizeof(path), "%s/registry-%s.db", f->backup_dir, days[i]);
                assert_int_equal(ask_file(path, "SELECT count(*) FROM task_registry"), 0);
                /* As old as the clock says, so that the next one is due a day later. */
                struct timespec times[2] = { usec_to_timespec(clock.now_realtime),
                                             usec_to_timespec(clock.now_realtime) };
                assert_int_equal(utimensat(AT_FDCWD, path, times, 0), 0);
                fake_clock_advance(&clock, USEC_PER_DAY);
        }
        for (size_t i = 0; i < ELEMENTSOF(days); i++) {
                snprintf(path, sizeof(path), "%s/registry-%s.db", f->backup_dir, days[i]);
                if ((access(path, F_OK) == 0) != (i >= 2))
                        fail_msg("%s is %s", path, i >= 2 ? "gone" : "still there");
        }
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, fixture_setup, fixture_teardown)
        const struct CMUnitTest tests[] = {
                TEST(test_survives_kill),        TEST(test_damaged_header),
                TEST(test_damaged_page),         TEST(test_truncated),
                TEST(test_newer_version),        TEST(test_foreign_database),
                TEST(test_second_open),          TEST(test_missing_directory),
                TEST(test_backup_while_writing), TEST(test_daily_backups),
                TEST(test_read_only_place),      TEST(test_full_disk),
                TEST(test_close_with_full_disk),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
