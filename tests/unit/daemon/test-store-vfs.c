/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The writer's view of the log: fewer writes, and nothing else that anybody could notice. A reader with SQLite's own files
 * looks after each commit. */

#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "daemon/store/store-db.h"
#include "daemon/store/store-vfs.h"
#include "tests/unit/test.h"

#define PAGE 4096

typedef struct Pair {
        char dir[32], path[64];
        sqlite3 *writer, *reader;
} Pair;

static void exec(sqlite3 *db, const char *sql)
{
        if (sqlite3_exec(db, sql, NULL, NULL, NULL) != SQLITE_OK)
                fail_msg("%s: %s", sql, sqlite3_errmsg(db));
}

static int64_t number(sqlite3 *db, const char *sql)
{
        sqlite3_stmt *st;

        if (sqlite3_prepare_v2(db, sql, -1, &st, NULL) != SQLITE_OK || sqlite3_step(st) != SQLITE_ROW)
                fail_msg("%s: %s", sql, sqlite3_errmsg(db));
        int64_t n = sqlite3_column_int64(st, 0);
        sqlite3_finalize(st);
        return n;
}

static void assert_sound(sqlite3 *db)
{
        sqlite3_stmt *st;

        assert_int_equal(sqlite3_prepare_v2(db, "PRAGMA integrity_check", -1, &st, NULL), SQLITE_OK);
        assert_int_equal(sqlite3_step(st), SQLITE_ROW);
        assert_string_equal((const char *)sqlite3_column_text(st, 0), "ok");
        sqlite3_finalize(st);
}

static sqlite3 *open_with(const char *path, const char *vfs)
{
        sqlite3 *db;

        if (sqlite3_open_v2(path, &db, SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE, vfs) != SQLITE_OK)
                fail_msg("%s: %s", path, sqlite3_errmsg(db));
        exec(db, "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA wal_autocheckpoint = 0");
        return db;
}

static int set_up(void **state)
{
        Pair *p = calloc(1, sizeof(*p));

        strcpy(p->dir, "/tmp/reeve-test-vfs-XXXXXX");
        assert_non_null(mkdtemp(p->dir));
        snprintf(p->path, sizeof(p->path), "%s/db", p->dir);
        assert_int_equal(store_vfs_register(), SQLITE_OK);
        p->writer = open_with(p->path, STORE_VFS_NAME);
        exec(p->writer, "CREATE TABLE t (n INTEGER PRIMARY KEY, x BLOB)");
        p->reader = open_with(p->path, NULL);
        *state = p;
        return 0;
}

static int tear_down(void **state)
{
        Pair *p = *state;
        char path[80];

        sqlite3_close(p->reader);
        sqlite3_close(p->writer);
        for (const char *const *suffix = (const char *const[]){ "", "-wal", "-shm", NULL }; *suffix;
             suffix++) {
                snprintf(path, sizeof(path), "%s%s", p->path, *suffix);
                unlink(path);
        }
        rmdir(p->dir);
        free(p);
        return 0;
}

/* Each row fills pages of its own. */
static void insert(sqlite3 *db, unsigned rows, unsigned pages)
{
        char sql[160];

        snprintf(sql, sizeof(sql),
                 "WITH RECURSIVE c(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM c WHERE i < %u) "
                 "INSERT INTO t (x) SELECT randomblob(%u) FROM c",
                 rows, pages * PAGE);
        exec(db, sql);
}

static unsigned long writes_so_far(void)
{
        unsigned long n = 0;
        char line[128];
        FILE *f = fopen("/proc/self/io", "re");

        assert_non_null(f);
        while (fgets(line, sizeof(line), f))
                (void)sscanf(line, "syscw: %lu", &n);
        fclose(f);
        return n;
}

static unsigned long writes_of_commit(sqlite3 *db)
{
        unsigned long before = writes_so_far();

        insert(db, 10, 2);
        return writes_so_far() - before;
}

static void test_fewer_writes(void **state)
{
        Pair *p = *state;
        unsigned long ours = writes_of_commit(p->writer), own = writes_of_commit(p->reader);

        if (own < 40 || ours > 3)
                fail_msg("a commit of 20 pages: %lu writes, SQLite's own %lu; expected at most 3, at least "
                         "40",
                         ours, own);
}

static void test_reader_sees_commits(void **state)
{
        Pair *p = *state;

        for (int i = 1; i <= 200; i++) {
                insert(p->writer, 1, (unsigned)i % 7);
                if (i % 50 == 0) /* the log begins anew */
                        exec(p->writer, "PRAGMA wal_checkpoint(RESTART)");
                assert_int_equal(number(p->reader, "SELECT count(*) FROM t"), i);
        }
        assert_sound(p->reader);
}

/* Larger than what waits, than SQLite's cache and than what its files take at once. */
static void test_large_transactions(void **state)
{
        Pair *p = *state;

        exec(p->writer, "PRAGMA cache_size = 10");
        for (int i = 1; i <= 5; i++) {
                exec(p->writer, "BEGIN IMMEDIATE");
                insert(p->writer, 200, 3);
                exec(p->writer, "UPDATE t SET x = zeroblob(length(x)) WHERE n % 10 = 0");
                assert_int_equal(number(p->reader, "SELECT count(*) FROM t"), (i - 1) * 200);
                exec(p->writer, "COMMIT");
                assert_int_equal(number(p->reader, "SELECT count(*) FROM t"), i * 200);
        }
        assert_sound(p->reader);
        exec(p->writer, "PRAGMA wal_checkpoint(TRUNCATE)");
        assert_sound(p->reader);
}

static void test_rollback(void **state)
{
        Pair *p = *state;

        exec(p->writer, "PRAGMA cache_size = 10");
        insert(p->writer, 3, 1);
        exec(p->writer, "BEGIN IMMEDIATE");
        insert(p->writer, 100, 3);
        exec(p->writer, "ROLLBACK");
        insert(p->writer, 1, 1);
        assert_int_equal(number(p->reader, "SELECT count(*) FROM t"), 4);
        assert_sound(p->reader);
}

static rlim_t log_size(const Pair *p)
{
        char path[80];
        FILE *f;

        snprintf(path, sizeof(path), "%s-wal", p->path);
        f = fopen(path, "re");
        assert_non_null(f);
        assert_int_equal(fseek(f, 0, SEEK_END), 0);
        rlim_t size = (rlim_t)ftell(f);
        fclose(f);
        return size;
}

/* The log may not grow for a while. */
static void test_failed_write(void **state)
{
        Pair *p = *state;
        struct rlimit before;

        insert(p->writer, 5, 1);
        signal(SIGXFSZ, SIG_IGN);
        getrlimit(RLIMIT_FSIZE, &before);
        setrlimit(RLIMIT_FSIZE, &(struct rlimit){ log_size(p) + PAGE, before.rlim_max });
        int rc = sqlite3_exec(p->writer, "INSERT INTO t (x) VALUES (randomblob(40000))", NULL, NULL, NULL);
        setrlimit(RLIMIT_FSIZE, &before);
        signal(SIGXFSZ, SIG_DFL);
        if (rc == SQLITE_OK)
                fail_msg("a commit that could not be written succeeded");
        assert_int_equal(number(p->reader, "SELECT count(*) FROM t"), 5);

        insert(p->writer, 5, 1);
        assert_int_equal(number(p->reader, "SELECT count(*) FROM t"), 10);
        assert_sound(p->reader);
}

/* Who dies before the commit leaves nothing of it; who dies after it leaves all. */
static void test_death(void **state)
{
        Pair *p = *state;
        int status;

        pid_t pid = fork();
        assert_true(pid >= 0);
        if (pid == 0) {
                sqlite3 *db = open_with(p->path, STORE_VFS_NAME);

                exec(db, "PRAGMA cache_size = 10");
                insert(db, 7, 1);
                exec(db, "BEGIN IMMEDIATE");
                insert(db, 100, 3);
                kill(getpid(), SIGKILL);
        }
        assert_int_equal(waitpid(pid, &status, 0), pid);
        assert_true(WIFSIGNALED(status));
        assert_int_equal(number(p->reader, "SELECT count(*) FROM t"), 7);
        insert(p->writer, 1, 1);
        assert_int_equal(number(p->reader, "SELECT count(*) FROM t"), 8);
        assert_sound(p->reader);
}

static void test_store_uses_it(void **state)
{
        Pair *p = *state;
        StoreDb db = {};
        ReeveError e = REEVE_ERROR_NULL;
        sqlite3_vfs *vfs = NULL;

        assert_ok(store_db_open_writer(&db, p->path, &e), e);
        assert_int_equal(sqlite3_file_control(db.handle, "main", SQLITE_FCNTL_VFS_POINTER, &vfs), SQLITE_OK);
        assert_string_equal(vfs->zName, STORE_VFS_NAME);
        assert_int_equal(number(db.handle, "PRAGMA synchronous"), 2); /* without which it would be wrong */
        store_db_done(&db);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
        const struct CMUnitTest tests[] = {
                TEST(test_fewer_writes),  TEST(test_reader_sees_commits), TEST(test_large_transactions),
                TEST(test_rollback),      TEST(test_failed_write),        TEST(test_death),
                TEST(test_store_uses_it),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
