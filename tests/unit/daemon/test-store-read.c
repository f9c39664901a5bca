/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Questions to the store: specifications of what is open, events by task and subsystem, the last usage of open tasks, counts. */

#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "basic/strings.h"
#include "tests/unit/daemon/store-fixture.h"

static void on_spec(const ReeveError *error, const StoreSpec *spec, void *userdata)
{
        bool *done = userdata;

        assert_null(error);
        assert_non_null(spec);
        assert_int_equal(spec->spec_size, 6);
        assert_memory_equal(spec->spec, "secret", 6);
        assert_int_equal(spec->ticket_size, 2);
        *done = true;
}

static void on_no_spec(const ReeveError *error, const StoreSpec *spec, void *userdata)
{
        bool *done = userdata;

        assert_null(error);
        assert_null(spec);
        *done = true;
}

static void test_spec(void **state)
{
        Fixture *f = *state;
        Written written = {};
        bool done = false;

        fixture_open(f);
        StoreWrite *w = store_write_new(f->store, 0, on_written, &written);
        assert_int_equal(store_write_spec(w, "t", "secret", 6, "ti", 2), 0);
        fixture_commit(f, w, &written);
        assert_int_equal(store_spec(f->store, "t", on_spec, &done), 0);
        fixture_wait(f, &done, "a specification");
        done = false;
        assert_int_equal(store_spec(f->store, "nobody", on_no_spec, &done), 0);
        fixture_wait(f, &done, "no specification");
}

typedef struct Events {
        bool done;
        size_t n;
        int64_t numbers[16];
        char topics[16][32];
} Events;

static void on_events(const ReeveError *error, const EventRow *rows, size_t n, void *userdata)
{
        Events *e = userdata;

        assert_null(error);
        assert_true(n <= ELEMENTSOF(e->numbers));
        for (size_t i = 0; i < n; i++) {
                e->numbers[i] = rows[i].number;
                snprintf(e->topics[i], sizeof(e->topics[i]), "%s", rows[i].topic);
        }
        e->n = n;
        e->done = true;
}

static Events ask_events(Fixture *f, int64_t after, const char *task_id, const char *subsystem,
                         unsigned limit)
{
        StoreEventFilter filter = {
                .after = after, .task_id = task_id, .subsystem = subsystem, .limit = limit
        };
        Events e = {};
        assert_int_equal(store_events(f->store, &filter, on_events, &e), 0);
        fixture_wait(f, &e.done, "events");
        return e;
}

static void test_events(void **state)
{
        Fixture *f = *state;
        Written written = {};
        int64_t last = -1;

        fixture_open(f);
        assert_int_equal(store_last_event(f->store, &last), 0);
        assert_int_equal(last, 0);

        StoreWrite *w = store_write_new(f->store, 0, on_written, &written);
        for (unsigned i = 0; i < 6; i++) {
                EventRow e = { .realtime = i,
                               .topic = (char *)(i % 2 ? "task.ended" : "task.started"),
                               .task_id = (char *)(i < 4 ? "a" : "b"),
                               .subsystem = (char *)(i < 4 ? "x" : "y"),
                               .detail = (char *)"{}" };
                assert_int_equal(store_write_event(w, &e), 0);
        }
        fixture_commit(f, w, &written);
        assert_int_equal(written.last_event, 6);
        assert_int_equal(store_last_event(f->store, &last), 0);
        assert_int_equal(last, 6);

        Events e = ask_events(f, 0, NULL, NULL, 0);
        assert_int_equal(e.n, 6);
        assert_int_equal(e.numbers[0], 1);
        assert_string_equal(e.topics[1], "task.ended");
        e = ask_events(f, 2, "a", NULL, 10);
        assert_int_equal(e.n, 2);
        assert_int_equal(e.numbers[0], 3);
        e = ask_events(f, 0, NULL, "y", 1);
        assert_int_equal(e.n, 1);
        assert_int_equal(e.numbers[0], 5);
        assert_int_equal(ask_events(f, 0, "a", "y", 10).n, 0);
        assert_int_equal(ask_events(f, 0, "b", "y", 10).n, 2);
        assert_int_equal(ask_events(f, 6, NULL, NULL, 10).n, 0);
}

static void test_specs(void **state)
{
        Fixture *f = *state;
        static const char spec[] = "SECRET=sesame\0argv", ticket[] = "a ticket";
        static const char *const ids[] = { "open", "ended" };
        ReeveError error = REEVE_ERROR_NULL;
        StoreOpenTask *open;
        size_t n;

        fixture_open(f);
        for (int i = 0; i < 2; i++) {
                Written written = {};
                TaskRow t = make_task(ids[i]);
                StoreWrite *w = store_write_new(f->store, 0, on_written, &written);
                assert_int_equal(store_write_insert_task(w, &t), 0);
                assert_int_equal(store_write_spec(w, ids[i], spec, sizeof(spec), ticket, sizeof(ticket)), 0);
                fixture_commit(f, w, &written);
        }
        assert_ok(store_load_open_tasks(f->store, &open, &n, &error), error);
        assert_int_equal(n, 2);
        store_open_tasks_free(open, n);

        Written written = {};
        TaskRow t = make_task("ended");
        t.status = TASK_CANCELLED;
        t.completed_realtime = t.created_realtime + 1;
        StoreWrite *w = store_write_new(f->store, 0, on_written, &written);
        assert_int_equal(store_write_update_task(w, &t), 0);
        assert_int_equal(store_write_erase_spec(w, "ended"), 0);
        fixture_commit(f, w, &written);

        assert_ok(store_load_open_tasks(f->store, &open, &n, &error), error);
        assert_int_equal(n, 1);
        assert_string_equal(open[0].row->task_id, "open");
        assert_int_equal(open[0].spec_size, sizeof(spec));
        assert_memory_equal(open[0].spec, spec, sizeof(spec));
        assert_int_equal(open[0].ticket_size, sizeof(ticket));
        assert_memory_equal(open[0].ticket, ticket, sizeof(ticket));
        store_open_tasks_free(open, n);

        /* Erased means that the file does not have it either. */
        written = (Written){};
        w = store_write_new(f->store, 0, on_written, &written);
        assert_int_equal(store_write_erase_spec(w, "open"), 0);
        fixture_commit(f, w, &written);
        fixture_close(f);
        FILE *file = fopen(f->path, "r");
        assert_non_null(file);
        char *all = malloc(4 << 20);
        size_t size = fread(all, 1, 4 << 20, file);
        assert_null(memmem(all, size, "SECRET=sesame", strlen("SECRET=sesame")));
        assert_non_null(memmem(all, size, "a task", strlen("a task")));
        free(all);
        fclose(file);
}

/* After a crash of ours or of the machine, what a task had used is what its last snapshot says: of this attempt. */
static void test_last_usage_of_open_tasks(void **state)
{
        static const struct {
                const char *id;
                TaskState status;
                unsigned attempt, snapshots_of;
                bool known;
        } cases[] = {
                { "runs", TASK_ACTIVE, 2, 2, true },
                { "no-snapshot-yet", TASK_ACTIVE, 2, 0, false },
                { "snapshots-of-an-earlier-attempt", TASK_ACTIVE, 2, 1, false },
                { "waits-for-another-attempt", TASK_PENDING, 1, 1, false },
        };
        ReeveError error = REEVE_ERROR_NULL;
        Fixture *f = *state;
        StoreOpenTask *open;
        size_t n;

        fixture_open(f);
        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                Written written = {};
                TaskRow t = make_task(cases[i].id);
                t.status = cases[i].status;
                t.attempt = cases[i].attempt;
                StoreWrite *w = store_write_new(f->store, 0, on_written, &written);
                assert_int_equal(store_write_insert_task(w, &t), 0);
                for (unsigned k = 1; cases[i].snapshots_of > 0 && k <= 3; k++) {
                        SnapshotRow s = { .attempt = cases[i].snapshots_of, .taken_realtime = k };
                        usage_set(&s.usage, USAGE_CPU, k * 1000, USAGE_KERNEL);
                        assert_int_equal(store_write_snapshot(w, cases[i].id, &s), 0);
                }
                fixture_commit(f, w, &written);
        }
        assert_ok(store_load_open_tasks(f->store, &open, &n, &error), error);
        assert_int_equal(n, ELEMENTSOF(cases));
        for (size_t i = 0; i < n; i++) {
                const Usage *u = &open[i].row->usage;
                assert_string_equal(open[i].row->task_id, cases[i].id);
                if (usage_has(u, USAGE_CPU) != cases[i].known ||
                    (cases[i].known && u->value[USAGE_CPU] != 3000))
                        fail_msg("%s: cpu_usec is %" PRId64 ", source %d", cases[i].id, u->value[USAGE_CPU],
                                 (int)u->source[USAGE_CPU]);
        }
        store_open_tasks_free(open, n);
}

typedef struct Counts {
        bool done;
        StoreCounts counts;
        struct StoreSubsystemCounts subsystems[4];
} Counts;

static void on_counts(const ReeveError *error, const StoreCounts *counts, void *userdata)
{
        Counts *c = userdata;

        assert_null(error);
        c->counts = *counts;
        assert_true(counts->n_subsystems <= ELEMENTSOF(c->subsystems));
        if (counts->n_subsystems > 0)
                memcpy(c->subsystems, counts->subsystems,
                       counts->n_subsystems * sizeof(*counts->subsystems));
        c->done = true;
}

static Counts ask_counts(Fixture *f)
{
        Counts c = {};
        assert_int_equal(store_counts(f->store, on_counts, &c), 0);
        fixture_wait(f, &c.done, "counts");
        return c;
}

static void test_counts(void **state)
{
        Fixture *f = *state;
        char id[32];

        fixture_open(f);
        assert_int_equal(ask_counts(f).counts.n_subsystems, 0);
        for (int i = 0; i < 5; i++) {
                snprintf(id, sizeof(id), "t%d", i);
                TaskRow t = make_task(id);
                t.subsystem = (char *)(i < 3 ? "aaa" : "bbb");
                t.task_type = (char *)(i % 2 ? "odd" : "even");
                t.owner_uid = (uid_t)i;
                fixture_insert(f, &t);
        }
        TaskRow t = make_task("t0");
        Written written = {};
        t.status = TASK_ACTIVE;
        StoreWrite *w = store_write_new(f->store, 0, on_written, &written);
        assert_int_equal(store_write_update_task(w, &t), 0);
        assert_int_equal(store_write_update_task(w, &t), 0); /* the same again counts once */
        fixture_commit(f, w, &written);

        Counts c = ask_counts(f);
        assert_int_equal(c.counts.n_subsystems, 2);
        assert_int_equal(c.counts.by_status[TASK_PENDING], 4);
        assert_int_equal(c.counts.by_status[TASK_ACTIVE], 1);
        assert_string_equal(c.subsystems[0].name, "aaa");
        assert_int_equal(c.subsystems[0].by_status[TASK_PENDING], 2);
        assert_int_equal(c.subsystems[0].by_status[TASK_ACTIVE], 1);
        assert_string_equal(c.subsystems[1].name, "bbb");
        assert_int_equal(c.subsystems[1].by_status[TASK_PENDING], 2);
        assert_true(c.counts.database_bytes > 0);

        sqlite3 *own = fixture_hold_writer(f);
        assert_int_equal(sqlite3_exec(own, "DELETE FROM task_registry WHERE task_id IN ('t0', 't4'); COMMIT",
                                      NULL, NULL, NULL),
                         SQLITE_OK);
        sqlite3_close(own);
        c = ask_counts(f);
        assert_int_equal(c.counts.by_status[TASK_ACTIVE], 0);
        assert_int_equal(c.counts.by_status[TASK_PENDING], 3);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, fixture_setup, fixture_teardown)
        const struct CMUnitTest tests[] = {
                TEST(test_spec),   TEST(test_events), TEST(test_specs), TEST(test_last_usage_of_open_tasks),
                TEST(test_counts),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
