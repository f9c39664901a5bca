/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The immutable log in the database: entries in the transaction of their events, a tree that survives restarts and failed
 * writes, checkpoints and proofs that a stranger can check, and triggers in the way of everybody else. */

#include <errno.h>
#include <string.h>
#include <sys/stat.h>

#include "basic/strings.h"
#include "tests/unit/daemon/store-fixture.h"

static void add_event(StoreWrite *w, const char *topic, unsigned n)
{
        char task_id[32], detail[64];
        EventRow e = {
                .realtime = 1000000 + n, .topic = (char *)topic, .task_id = task_id, .detail = detail
        };

        snprintf(task_id, sizeof(task_id), "task_%u", n % 7);
        snprintf(detail, sizeof(detail), "{\"n\":%u}", n);
        if (n % 3 == 0)
                e.subsystem = (char *)"healing";
        assert_int_equal(store_write_event(w, &e), 0);
}

/* `n` entries, some in each of several transactions. */
static void append(Fixture *f, unsigned first, unsigned n)
{
        for (unsigned i = first; i < first + n;) {
                Written written = { 0 };
                StoreWrite *w = store_write_new(f->store, 0, on_written, &written);

                assert_non_null(w);
                for (unsigned k = 0; k < 50 && i < first + n; k++, i++)
                        add_event(w, i % 2 ? "task.completed" : "task.created", i);
                fixture_commit(f, w, &written);
        }
}

/* ---- what came back ---- */

typedef struct Note {
        bool done;
        ReeveErrorCode code;
        Checkpoint checkpoint;
        char text[CHECKPOINT_TEXT_MAX];
        const CheckpointKey *key;
} Note;

static void on_note(const ReeveError *error, const char *note, void *userdata)
{
        Note *n = userdata;
        ReeveError e = REEVE_ERROR_NULL;

        n->done = true;
        n->code = error ? error->code : REEVE_ERROR_NONE;
        if (error)
                return;
        snprintf(n->text, sizeof(n->text), "%s", note);
        assert_ok(checkpoint_open(note, n->key, &n->checkpoint, &e), e);
}

static Note sign(Fixture *f)
{
        Note n = { .key = store_log_key(f->store) };

        assert_int_equal(store_sign_log(f->store, on_note, &n), 0);
        fixture_wait(f, &n.done, "checkpoint");
        assert_int_equal(n.code, REEVE_ERROR_NONE);
        return n;
}

typedef struct Proof {
        bool done;
        ReeveErrorCode code;
        StoreProof proof;
        TlogHash leaf;
        Checkpoint checkpoint;
        const CheckpointKey *key;
} Proof;

static void on_proof(const ReeveError *error, const StoreProof *proof, void *userdata)
{
        Proof *p = userdata;
        ReeveError e = REEVE_ERROR_NULL;

        p->done = true;
        p->code = error ? error->code : REEVE_ERROR_NONE;
        if (error)
                return;
        p->proof = *proof;
        if (proof->entry.values.action)
                assert_int_equal(log_entry_hash(&proof->entry.values, &p->leaf), 0);
        assert_ok(checkpoint_open(proof->note, p->key, &p->checkpoint, &e), e);
        assert_int_equal(p->checkpoint.size, proof->size);
}

static void wait_for_proof(Fixture *f, Proof *p, uint64_t from, bool growth)
{
        *p = (Proof){ .key = store_log_key(f->store) };
        assert_int_equal((growth ? store_prove_growth : store_prove_entry)(f->store, from, on_proof, p), 0);
        fixture_wait(f, &p->done, "proof");
}

typedef struct Page {
        bool done;
        ReeveErrorCode code;
        size_t n;
        uint64_t entries[STORE_LIST_MAX];
        char first_action[32];
} Page;

static void on_page(const ReeveError *error, const StoreLogEntry *entries, size_t n, void *userdata)
{
        Page *p = userdata;

        p->done = true;
        p->code = error ? error->code : REEVE_ERROR_NONE;
        p->n = n;
        for (size_t i = 0; i < n; i++)
                p->entries[i] = entries[i].entry;
        if (n > 0)
                snprintf(p->first_action, sizeof(p->first_action), "%s", entries[0].values.action);
}

static void read_page(Fixture *f, const StoreLogFilter *filter, Page *p)
{
        *p = (Page){ 0 };
        assert_int_equal(store_log(f->store, filter, on_page, p), 0);
        fixture_wait(f, &p->done, "entries");
        assert_int_equal(p->code, REEVE_ERROR_NONE);
}

/* ---- tests ---- */

static void test_entries(void **state)
{
        Fixture *f = *state;
        StoreLogFilter any = { .before = UINT64_MAX, .limit = 3 };
        StoreLogFilter created = { .before = UINT64_MAX, .action = "*_created" };
        StoreLogFilter task = { .before = 60, .task_id = "task_3" };
        StoreLogFilter from = { .oldest_first = true, .from = 97, .before = UINT64_MAX };
        Page p;

        fixture_open(f);
        append(f, 0, 100);
        read_page(f, &any, &p);
        assert_int_equal(p.n, 3);
        assert_int_equal(p.entries[0], 99);
        assert_int_equal(p.entries[2], 97);
        assert_string_equal(p.first_action, "task_completed");
        read_page(f, &created, &p);
        assert_int_equal(p.n, 50);
        assert_int_equal(p.entries[49], 0);
        read_page(f, &task, &p);
        assert_int_equal(p.n, 9); /* 3, 10, ... 59 */
        assert_int_equal(p.entries[0], 59);
        read_page(f, &from, &p);
        assert_int_equal(p.n, 3);
        assert_int_equal(p.entries[0], 97);

        /* what users write */
        assert_int_equal(fixture_ask(f,
                                     "SELECT count(*) FROM (SELECT * FROM immutable_log WHERE action LIKE "
                                     "'task_%' ORDER BY timestamp DESC)"),
                         100);
        assert_int_equal(
                        fixture_ask(f, "SELECT count(*) FROM immutable_log JOIN task_events USING (number)"),
                        100);
}

/* An update of a task's figures is an event, and no entry. */
static void test_what_is_logged(void **state)
{
        Fixture *f = *state;
        Written written = { 0 };

        fixture_open(f);
        StoreWrite *w = store_write_new(f->store, 0, on_written, &written);
        add_event(w, "task.updated", 1);
        add_event(w, "policy.loaded", 2);
        fixture_commit(f, w, &written);
        assert_int_equal(fixture_ask(f, "SELECT count(*) FROM task_events"), 2);
        assert_int_equal(fixture_ask(f, "SELECT count(*) FROM immutable_log WHERE action = 'policy_loaded'"),
                         1);
        assert_int_equal(fixture_ask(f, "SELECT count(*) FROM immutable_log"), 1);
}

/* Across the borders of tiles and of two levels, and across restarts. */
static void test_proofs(void **state)
{
        static const unsigned sizes[] = { 1, 2, 255, 256, 257, 511, 700 };
        Fixture *f = *state;
        Note notes[ELEMENTSOF(sizes)];
        unsigned have = 0;
        Proof p;

        for (size_t i = 0; i < ELEMENTSOF(sizes); i++) {
                fixture_open(f);
                append(f, have, sizes[i] - have);
                have = sizes[i];
                notes[i] = sign(f);
                assert_int_equal(notes[i].checkpoint.size, have);

                for (unsigned entry = 0; entry < have; entry += 1 + have / 9) {
                        wait_for_proof(f, &p, entry, false);
                        assert_int_equal(p.code, REEVE_ERROR_NONE);
                        assert_true(p.checkpoint.size > entry);
                        if (!tlog_check_inclusion(&p.leaf, entry, p.checkpoint.size, p.proof.hashes,
                                                  p.proof.n, &p.checkpoint.root))
                                fail_msg("entry %u of %u: its proof does not lead to the checkpoint", entry,
                                         have);
                }
                for (size_t k = 0; k <= i; k++) {
                        wait_for_proof(f, &p, notes[k].checkpoint.size, true);
                        assert_int_equal(p.code, REEVE_ERROR_NONE);
                        if (!tlog_check_consistency(notes[k].checkpoint.size, &notes[k].checkpoint.root,
                                                    p.checkpoint.size, &p.checkpoint.root, p.proof.hashes,
                                                    p.proof.n))
                                fail_msg("%u entries do not begin as %u did", have, sizes[k]);
                }
                fixture_close(f);
        }
}

static void test_no_proof(void **state)
{
        Fixture *f = *state;
        Proof p;

        fixture_open(f);
        wait_for_proof(f, &p, 0, true);
        assert_int_equal(p.code, REEVE_ERROR_UNAVAILABLE);
        append(f, 0, 3);
        wait_for_proof(f, &p, 3, false);
        assert_int_equal(p.code, REEVE_ERROR_INVALID_ARGUMENT);
        wait_for_proof(f, &p, 2, false);
        assert_int_equal(p.code, REEVE_ERROR_UNAVAILABLE);
        sign(f);
        wait_for_proof(f, &p, 4, true);
        assert_int_equal(p.code, REEVE_ERROR_INVALID_ARGUMENT);
        wait_for_proof(f, &p, UINT64_MAX, false);
        assert_int_equal(p.code, REEVE_ERROR_INVALID_ARGUMENT);
}

/* A checkpoint of what is signed already is the one that there is. */
static void test_checkpoints(void **state)
{
        Fixture *f = *state;

        fixture_open(f);
        Note empty = sign(f);
        assert_int_equal(empty.checkpoint.size, 0);
        append(f, 0, 10);
        Note first = sign(f), again = sign(f);
        assert_string_equal(first.text, again.text);
        fixture_close(f);
        fixture_open(f);
        again = sign(f);
        assert_string_equal(first.text, again.text);
        append(f, 10, 1);
        assert_int_equal(sign(f).checkpoint.size, 11);
        assert_int_equal(fixture_ask(f, "SELECT count(*) FROM log_checkpoints"), 2);
}

/* A write that fails takes its entries back, in the tree too, and its neighbours' stay. */
static void test_failed_write(void **state)
{
        Fixture *f = *state;
        TaskRow t = make_task("taken");
        Written good[2] = { 0 }, bad = { 0 };
        Proof p;

        fixture_open(f);
        fixture_insert(f, &t);
        append(f, 0, 254);
        sqlite3 *held = fixture_hold_writer(f);
        for (int i = 0; i < 3; i++) {
                Written *written = i == 1 ? &bad : good + i / 2;
                StoreWrite *w = store_write_new(f->store, 0, on_written, written);

                for (unsigned k = 0; k < 3; k++)
                        add_event(w, "task.created", 300 + k);
                if (i == 1)
                        assert_int_equal(store_write_insert_task(w, &t), 0);
                assert_int_equal(store_write_submit(w), 0);
        }
        fixture_release_writer(held);
        fixture_wait(f, &good[1].done, "the batch");
        assert_int_equal(bad.code, REEVE_ERROR_ALREADY_EXISTS);
        assert_int_equal(good[0].code, REEVE_ERROR_NONE);
        assert_int_equal(good[1].code, REEVE_ERROR_NONE);
        assert_int_equal(fixture_ask(f, "SELECT count(*) FROM immutable_log"), 260);

        Note note = sign(f);
        assert_int_equal(note.checkpoint.size, 260);
        for (uint64_t entry = 0; entry < 260; entry++) {
                wait_for_proof(f, &p, entry, false);
                assert_int_equal(p.code, REEVE_ERROR_NONE);
                assert_true(tlog_check_inclusion(&p.leaf, entry, 260, p.proof.hashes, p.proof.n,
                                                 &note.checkpoint.root));
        }
}

static void assert_refused(const Fixture *f, const char *sql, const char *expected)
{
        char *message = NULL;
        sqlite3 *db;

        assert_int_equal(sqlite3_open(f->path, &db), SQLITE_OK);
        int rc = sqlite3_exec(db, sql, NULL, NULL, &message);
        if (rc != SQLITE_CONSTRAINT || !strstr(message, expected))
                fail_msg("%s: got %d, %s; expected '%s'", sql, rc, message ?: "no error", expected);
        sqlite3_free(message);
        sqlite3_close(db);
}

static void test_triggers(void **state)
{
        Fixture *f = *state;

        fixture_open(f);
        append(f, 0, 5);
        sign(f);
        assert_refused(f, "UPDATE immutable_log SET detail = '{}' WHERE entry = 2", "not changed");
        assert_refused(f, "DELETE FROM immutable_log WHERE entry = 4", "deleted");
        assert_refused(f, "DELETE FROM immutable_log", "deleted");
        assert_refused(f, "REPLACE INTO immutable_log VALUES (2, 3, 0, 'task_created', NULL, NULL, NULL)",
                       "appended");
        assert_refused(f, "INSERT INTO immutable_log VALUES (6, 9, 0, 'task_created', NULL, NULL, NULL)",
                       "appended");
        assert_refused(f, "INSERT INTO immutable_log VALUES (-1, 9, 0, 'task_created', NULL, NULL, NULL)",
                       "appended");
        assert_refused(f, "UPDATE log_checkpoints SET note = ''", "not changed");
        assert_refused(f, "DELETE FROM log_checkpoints", "not deleted");
        assert_refused(f, "REPLACE INTO log_checkpoints VALUES (5, 0, '')", "appended");
        assert_int_equal(fixture_ask(f, "SELECT count(*) FROM immutable_log"), 5);
}

/* Who has the database can drop triggers. A log whose tail was cut off is not continued. */
static void test_cut_off(void **state)
{
        Fixture *f = *state;
        ReeveError e = REEVE_ERROR_NULL;
        sqlite3 *db;
        Store *s;

        fixture_open(f);
        append(f, 0, 600);
        sign(f);
        fixture_close(f);
        assert_int_equal(sqlite3_open(f->path, &db), SQLITE_OK);
        assert_int_equal(sqlite3_exec(db,
                                      "DROP TRIGGER immutable_log_no_delete; DELETE FROM immutable_log "
                                      "WHERE entry >= 590",
                                      NULL, NULL, NULL),
                         SQLITE_OK);
        sqlite3_close(db);
        StoreConfig config = { .path = f->path, .backup_dir = f->backup_dir, .event = f->event };
        assert_error(store_open(&config, &s, &e), e, REEVE_ERROR_INTERNAL, "immutable_log");
}

static void test_key(void **state)
{
        Fixture *f = *state;
        ReeveError e = REEVE_ERROR_NULL;
        struct stat st;
        Store *s;

        fixture_open(f);
        CheckpointKey first = *store_log_key(f->store);
        assert_string_equal(first.name, "reeve/test");
        assert_int_equal(stat(f->log_key, &st), 0);
        assert_int_equal(st.st_mode & 07777, 0600);
        fixture_close(f);
        fixture_open(f);
        assert_memory_equal(store_log_key(f->store)->public_key, first.public_key, sizeof(first.public_key));
        fixture_close(f);

        StoreConfig config = {
                .path = f->path, .log_key = f->log_key, .log_origin = "other", .event = f->event
        };
        assert_int_equal(chmod(f->log_key, 0640), 0);
        assert_error(store_open(&config, &s, &e), e, REEVE_ERROR_PERMISSION_DENIED, f->log_key);
        assert_int_equal(chmod(f->log_key, 0600), 0);
        FILE *file = fopen(f->log_key, "r+");
        assert_non_null(file);
        fputs("PRIVATE+KEY+other", file);
        fclose(file);
        assert_error(store_open(&config, &s, &e), e, REEVE_ERROR_INVALID_ARGUMENT, f->log_key);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, fixture_setup, fixture_teardown)

int main(void)
{
        const struct CMUnitTest tests[] = {
                TEST(test_entries),  TEST(test_what_is_logged), TEST(test_proofs),
                TEST(test_no_proof), TEST(test_checkpoints),    TEST(test_failed_write),
                TEST(test_triggers), TEST(test_cut_off),        TEST(test_key),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
