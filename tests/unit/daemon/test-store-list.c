/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Lists: every filter against a plain comparison of all tasks, pages, time windows across steps of the clock, walks
 * longer than a slice; and SQLite's own word that no list scans or sorts. */

#include <stdlib.h>
#include <string.h>

#include "daemon/store/store-sql.h"
#include "tests/unit/daemon/store-fixture.h"

#define N_TASKS 6000 /* several spans, and more than a slice of a walk */

typedef struct Sample {
        char id[32];
        const char *subsystem, *task_type, *created_by;
        uid_t owner_uid;
        TaskState status;
        usec_t created;
} Sample;

static Sample samples[N_TASKS];

static const char *const subsystems[] = { "healing", "ml", "rag" };
static const char *const types[] = { "playbook", "training", "index", "mission" };
static const char *const creators[] = { "common", "common", "common", "rare", NULL };

/* A small generator of our own, so that a failure can be repeated on any machine. */
static uint32_t seed = 20261123;

static uint32_t random_below(uint32_t n)
{
        seed = seed * 1664525 + 1013904223;
        return (seed >> 8) % n;
}

/* Times rise, then step back by an hour at two thirds, as after a correction of the clock. */
static usec_t created_at(unsigned i)
{
        usec_t base = 1700000000 * USEC_PER_SEC + i * USEC_PER_SEC;
        return i >= N_TASKS * 2 / 3 ? base - USEC_PER_HOUR : base;
}

static void make_samples(void)
{
        for (unsigned i = 0; i < N_TASKS; i++) {
                Sample *s = samples + i;
                snprintf(s->id, sizeof(s->id), "t%u", i);
                s->subsystem = subsystems[random_below(ELEMENTSOF(subsystems))];
                s->task_type = types[random_below(ELEMENTSOF(types))];
                s->created_by = creators[random_below(ELEMENTSOF(creators))];
                s->owner_uid = 1000 + random_below(4);
                s->status = (TaskState)random_below(_TASK_STATE_MAX);
                s->created = created_at(i);
        }
        /* Only at the beginning: found at the end of a long walk. */
        samples[3].task_type = "needle";
        samples[3].created_by = "common";
}

static void insert_samples(Fixture *f)
{
        static Written written[N_TASKS];

        memset(written, 0, sizeof(written));
        for (unsigned i = 0; i < N_TASKS; i++) {
                const Sample *s = samples + i;
                TaskRow t = make_task(s->id);
                t.subsystem = (char *)s->subsystem;
                t.task_type = (char *)s->task_type;
                t.created_by = (char *)s->created_by;
                t.owner_uid = s->owner_uid;
                t.status = s->status;
                t.created_realtime = s->created;
                StoreWrite *w = store_write_new(f->store, 0, on_written, &written[i]);
                assert_int_equal(store_write_insert_task(w, &t), 0);
                assert_int_equal(store_write_submit(w), 0);
        }
        fixture_wait(f, &written[N_TASKS - 1].done, "the samples");
}

static bool matches(const Sample *s, const StoreFilter *f)
{
        return (f->status_mask == 0 || f->status_mask >> s->status & 1) &&
               (!f->subsystem || strcmp(f->subsystem, s->subsystem) == 0) &&
               (!f->task_type || strcmp(f->task_type, s->task_type) == 0) &&
               (!f->created_by || (s->created_by && strcmp(f->created_by, s->created_by) == 0)) &&
               (f->owner_uid < 0 || f->owner_uid == (int64_t)s->owner_uid) && s->created >= f->since &&
               (f->until == 0 || s->created < f->until);
}

/* Samples were inserted in order, so seq is index + 1. */
static void check(Fixture *f, const StoreFilter *filter, unsigned turn)
{
        static char ids[STORE_LIST_MAX][32];
        size_t expected = 0;

        size_t n = fixture_list(f, filter, ids, ELEMENTSOF(ids), NULL);
        int64_t from = filter->before_seq > 0 ? filter->before_seq - 1 : N_TASKS;
        for (int64_t i = from; i-- > 0 && expected < filter->limit;) {
                if (!matches(samples + i, filter))
                        continue;
                if (expected >= n)
                        fail_msg("filter %u: %zu tasks, expected more, next %s", turn, n, samples[i].id);
                if (strcmp(ids[expected], samples[i].id) != 0)
                        fail_msg("filter %u: position %zu is %s, expected %s", turn, expected, ids[expected],
                                 samples[i].id);
                expected++;
        }
        if (n != expected)
                fail_msg("filter %u: %zu tasks, expected %zu", turn, n, expected);
}

static void test_random_filters(void **state)
{
        Fixture *f = *state;

        make_samples();
        fixture_open(f);
        insert_samples(f);
        for (unsigned turn = 0; turn < 300; turn++) {
                StoreFilter filter = { .owner_uid = -1, .limit = 1 + random_below(50) };
                uint32_t chosen = random_below(128);
                if (chosen & 1)
                        filter.subsystem = subsystems[random_below(ELEMENTSOF(subsystems))];
                if (chosen & 2)
                        filter.task_type = types[random_below(ELEMENTSOF(types))];
                if (chosen & 4)
                        filter.created_by = random_below(2) ? "common" : "rare";
                if (chosen & 8)
                        filter.owner_uid = 1000 + random_below(5);
                if (chosen & 16)
                        filter.status_mask = 1 + random_below((1U << _TASK_STATE_MAX) - 1);
                if (chosen & 32)
                        filter.since = created_at(random_below(N_TASKS));
                if (chosen & 64)
                        filter.until = created_at(random_below(N_TASKS)) + random_below(3);
                if (random_below(2))
                        filter.before_seq = 1 + random_below(N_TASKS + 10);
                check(f, &filter, turn);
        }
}

/* More is compared than one slice holds: the job is put back and goes on. */
static void test_long_walk(void **state)
{
        Fixture *f = *state;
        char ids[4][32];

        make_samples();
        for (unsigned i = 0; i < N_TASKS; i++)
                samples[i].created_by = "common";
        fixture_open(f);
        insert_samples(f);
        StoreFilter filter = { .owner_uid = -1, .created_by = "common", .task_type = "needle", .limit = 4 };
        assert_int_equal(fixture_list(f, &filter, ids, ELEMENTSOF(ids), NULL), 1);
        assert_string_equal(ids[0], "t3");
        filter.created_by = "nobody";
        assert_int_equal(fixture_list(f, &filter, ids, ELEMENTSOF(ids), NULL), 0);
}

static void test_pages(void **state)
{
        Fixture *f = *state;
        static char ids[STORE_LIST_MAX][32];
        StoreFilter filter = { .owner_uid = -1, .status_mask = 1U << TASK_FAILED, .limit = 70 };
        size_t n, total = 0, expected = 0;

        make_samples();
        fixture_open(f);
        insert_samples(f);
        for (unsigned i = 0; i < N_TASKS; i++)
                expected += samples[i].status == TASK_FAILED;
        do {
                n = fixture_list(f, &filter, ids, ELEMENTSOF(ids), &filter.before_seq);
                total += n;
        } while (n == filter.limit);
        assert_int_equal(total, expected);

        filter = (StoreFilter){ .owner_uid = -1, .limit = STORE_LIST_MAX + 1 };
        assert_int_equal(fixture_list(f, &filter, ids, ELEMENTSOF(ids), NULL), STORE_LIST_MAX);
}

static void test_reader_sees_commits(void **state)
{
        Fixture *f = *state;
        char ids[4][32];
        StoreFilter filter = { .owner_uid = -1, .limit = 4 };
        TaskRow a = make_task("a"), b = make_task("b");

        fixture_open(f);
        assert_int_equal(fixture_list(f, &filter, ids, ELEMENTSOF(ids), NULL), 0);
        fixture_insert(f, &a);
        assert_int_equal(fixture_list(f, &filter, ids, ELEMENTSOF(ids), NULL), 1);
        fixture_insert(f, &b);
        assert_int_equal(fixture_list(f, &filter, ids, ELEMENTSOF(ids), NULL), 2);
        assert_string_equal(ids[0], "b");
        assert_string_equal(ids[1], "a");
}

/* Tables that grow with the number of tasks. */
static bool scans_large_table(const char *step)
{
        static const char *const large[] = { "SCAN task_registry",          "SCAN t", "SCAN task_events",
                                             "SCAN task_attempts",          "SCAN s", "SCAN task_specs",
                                             "SCAN task_resource_snapshots" };

        for (size_t i = 0; i < ELEMENTSOF(large); i++) {
                size_t length = strlen(large[i]);
                if (strncmp(step, large[i], length) == 0 && (step[length] == '\0' || step[length] == ' '))
                        return true;
        }
        return false;
}

static void check_plan(sqlite3 *db, StoreStatement which)
{
        char sql[8192];
        sqlite3_stmt *st;

        snprintf(sql, sizeof(sql), "EXPLAIN QUERY PLAN %s", store_sql(which));
        if (sqlite3_prepare_v2(db, sql, -1, &st, NULL) != SQLITE_OK)
                fail_msg("%s: %s", store_sql(which), sqlite3_errmsg(db));
        while (sqlite3_step(st) == SQLITE_ROW) {
                const char *step = (const char *)sqlite3_column_text(st, 3);
                if (scans_large_table(step))
                        fail_msg("%s: %s", store_sql(which), step);
                /* Read once at start, and sorts only what is open. */
                if (which != STORE_SQL_OPEN_TASKS && strstr(step, "TEMP B-TREE"))
                        fail_msg("%s: %s", store_sql(which), step);
        }
        sqlite3_finalize(st);
}

static void test_query_plans(void **state)
{
        Fixture *f = *state;
        sqlite3 *db;

        fixture_open(f);
        assert_int_equal(sqlite3_open_v2(f->path, &db, SQLITE_OPEN_READONLY, NULL), SQLITE_OK);
        for (int s = STORE_SQL_INSERT_TASK; s < _STORE_STATEMENT_MAX; s++)
                check_plan(db, (StoreStatement)s);
        sqlite3_close(db);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, fixture_setup, fixture_teardown)
        const struct CMUnitTest tests[] = {
                TEST(test_random_filters),      TEST(test_long_walk),   TEST(test_pages),
                TEST(test_reader_sees_commits), TEST(test_query_plans),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
