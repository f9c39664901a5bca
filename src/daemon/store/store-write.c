/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* A StoreWrite is built on the loop thread, which has other things to do: rows are copied into an arena that begins in
 * the same allocation as the write itself, so a usual one (a task, an attempt and an event) costs one malloc and one
 * free, however many strings its rows have.
 *
 * Statements are a list of tagged structs. On the writer thread each is bound, stepped and reset. A write that fails by its
 * own fault (an id that exists) must leave nothing behind and its neighbours in the transaction alone, which takes a
 * savepoint; but inside one SQLite keeps a copy of every page that it touches, and that costs more than the write. So the
 * writer first goes without, and asks for savepoints only when it has to run a batch again. A failure that is nobody's
 * fault (disk full, I/O) is returned, and the writer decides about the whole transaction. */

#include "daemon/store/store-write.h"

#include <errno.h>
#include <string.h>

#define FIRST_ROOM 3072
#define CHUNK_ROOM 8192

typedef enum StoreOpKind {
        STORE_OP_INSERT_TASK,
        STORE_OP_UPDATE_TASK,
        STORE_OP_PUT_SPEC,
        STORE_OP_ERASE_SPEC,
        STORE_OP_PUT_POLICY,
        STORE_OP_PUT_ATTEMPT,
        STORE_OP_INSERT_SNAPSHOT,
        STORE_OP_INSERT_EVENT,
        STORE_OP_PUT_VERIFICATION,
        STORE_OP_PUT_METRIC,
        STORE_OP_SIGN_LOG,
        _STORE_OP_MAX,
} StoreOpKind;

struct StoreOp {
        StoreOp *next;
        StoreOpKind kind;
};

typedef struct TaskOp {
        StoreOp op;
        TaskRow row;
} TaskOp;

typedef struct SpecOp {
        StoreOp op;
        char *task_id;
        void *spec, *ticket;
        size_t spec_size, ticket_size;
} SpecOp;

typedef struct PolicyOp {
        StoreOp op;
        char *hash, *policy;
} PolicyOp;

typedef struct AttemptOp {
        StoreOp op;
        AttemptRow row;
} AttemptOp;

typedef struct SnapshotOp {
        StoreOp op;
        char *task_id;
        SnapshotRow row;
} SnapshotOp;

typedef struct EventOp {
        StoreOp op;
        EventRow row;
} EventOp;

typedef struct VerificationOp {
        StoreOp op;
        VerificationRow row;
} VerificationOp;

typedef struct MetricOp {
        StoreOp op;
        char *task_id, *name;
        int64_t step;
        double value;
} MetricOp;

typedef struct SignOp {
        StoreOp op;
        char note[CHECKPOINT_TEXT_MAX];
} SignOp;

struct StoreChunk {
        StoreChunk *next;
        alignas(max_align_t) char space[];
};

/* ---- building ---- */

static void *arena_alloc(StoreWrite *w, size_t size)
{
        size_t wanted = (size + alignof(max_align_t) - 1) & ~(alignof(max_align_t) - 1);

        if (wanted < size)
                return NULL;
        if (wanted > w->room - w->used) {
                size_t room = MAX(wanted, (size_t)CHUNK_ROOM);
                StoreChunk *c = malloc(sizeof(*c) + room);
                if (!c)
                        return NULL;
                c->next = w->chunks;
                w->chunks = c;
                w->free_space = c->space;
                w->room = room;
                w->used = 0;
        }
        void *p = w->free_space + w->used;
        w->used += wanted;
        w->bytes += wanted;
        return p;
}

static void *arena_copy(StoreWrite *w, const void *data, size_t size)
{
        void *p = arena_alloc(w, MAX(size, (size_t)1));
        if (p && size > 0)
                memcpy(p, data, size);
        return p;
}

static char *arena_dup(void *userdata, const char *text)
{
        return arena_copy(userdata, text, strlen(text) + 1);
}

/* An op joins the list when it is complete: a failed copy leaves only unused room behind. */
static void add(StoreWrite *w, StoreOp *op, StoreOpKind kind)
{
        op->kind = kind;
        op->next = NULL;
        *w->last = op;
        w->last = &op->next;
        w->n_ops++;
}

static void finish_write(StoreJob *job, bool call)
{
        StoreWrite *w = store_write_of(job);

        if (call && w->callback)
                w->callback(job->result < 0 ? &job->error : NULL, job->result < 0 ? 0 : w->last_event,
                            w->userdata);
        store_write_free(w);
}

StoreWrite *store_write_new(Store *s, unsigned flags, store_written_t callback, void *userdata)
{
        assert(s);
        assert(s->event); /* a store without threads is for reading */
        assert((flags & (STORE_WRITE_REFUSABLE | STORE_WRITE_LAZY)) !=
               (STORE_WRITE_REFUSABLE | STORE_WRITE_LAZY));

        StoreWrite *w = malloc(sizeof(*w) + FIRST_ROOM);
        if (!w)
                return NULL;
        *w = (StoreWrite){
                .job = { .store = s, .finish = finish_write },
                .flags = flags,
                .callback = callback,
                .userdata = userdata,
                .room = FIRST_ROOM,
        };
        w->free_space = w->first_chunk;
        w->last = &w->first;
        return w;
}

StoreWrite *store_write_free(StoreWrite *w)
{
        if (!w)
                return NULL;
        while (w->chunks) {
                StoreChunk *c = w->chunks;
                w->chunks = c->next;
                free(c);
        }
        free(w);
        return NULL;
}

static int add_task(StoreWrite *w, const TaskRow *t, StoreOpKind kind)
{
        assert(w);
        assert(t);
        assert(t->task_id);

        TaskOp *o = arena_alloc(w, sizeof(*o));
        if (!o)
                return -ENOMEM;
        o->row = *t;
        int r = task_row_dup_strings(&o->row, arena_dup, w);
        if (r < 0)
                return r;
        add(w, &o->op, kind);
        return 0;
}

int store_write_insert_task(StoreWrite *w, const TaskRow *t)
{
        return add_task(w, t, STORE_OP_INSERT_TASK);
}

int store_write_update_task(StoreWrite *w, const TaskRow *t)
{
        return add_task(w, t, STORE_OP_UPDATE_TASK);
}

int store_write_spec(StoreWrite *w, const char *task_id, const void *spec, size_t spec_size,
                     const void *ticket, size_t ticket_size)
{
        assert(w);
        assert(task_id);
        assert(spec || spec_size == 0);
        assert(ticket || ticket_size == 0);

        SpecOp *o = arena_alloc(w, sizeof(*o));
        if (!o)
                return -ENOMEM;
        *o = (SpecOp){
                .task_id = arena_dup(w, task_id),
                .spec = arena_copy(w, spec, spec_size),
                .ticket = arena_copy(w, ticket, ticket_size),
                .spec_size = spec_size,
                .ticket_size = ticket_size,
        };
        if (!o->task_id || !o->spec || !o->ticket)
                return -ENOMEM;
        add(w, &o->op, STORE_OP_PUT_SPEC);
        return 0;
}

int store_write_erase_spec(StoreWrite *w, const char *task_id)
{
        assert(w);
        assert(task_id);

        SpecOp *o = arena_alloc(w, sizeof(*o));
        if (!o)
                return -ENOMEM;
        *o = (SpecOp){ .task_id = arena_dup(w, task_id) };
        if (!o->task_id)
                return -ENOMEM;
        add(w, &o->op, STORE_OP_ERASE_SPEC);
        return 0;
}

int store_write_policy(StoreWrite *w, const char *hash, const char *policy)
{
        assert(w);
        assert(hash);
        assert(policy);

        PolicyOp *o = arena_alloc(w, sizeof(*o));
        if (!o)
                return -ENOMEM;
        *o = (PolicyOp){ .hash = arena_dup(w, hash), .policy = arena_dup(w, policy) };
        if (!o->hash || !o->policy)
                return -ENOMEM;
        add(w, &o->op, STORE_OP_PUT_POLICY);
        return 0;
}

int store_write_attempt(StoreWrite *w, const AttemptRow *a)
{
        assert(w);
        assert(a);
        assert(a->task_id);

        AttemptOp *o = arena_alloc(w, sizeof(*o));
        if (!o)
                return -ENOMEM;
        o->row = *a;
        int r = attempt_row_dup_strings(&o->row, arena_dup, w);
        if (r < 0)
                return r;
        add(w, &o->op, STORE_OP_PUT_ATTEMPT);
        return 0;
}

int store_write_snapshot(StoreWrite *w, const char *task_id, const SnapshotRow *s)
{
        assert(w);
        assert(task_id);
        assert(s);

        SnapshotOp *o = arena_alloc(w, sizeof(*o));
        if (!o)
                return -ENOMEM;
        o->row = *s;
        o->task_id = arena_dup(w, task_id);
        if (!o->task_id)
                return -ENOMEM;
        add(w, &o->op, STORE_OP_INSERT_SNAPSHOT);
        return 0;
}

int store_write_event(StoreWrite *w, const EventRow *e)
{
        assert(w);
        assert(e);
        assert(e->topic);

        EventOp *o = arena_alloc(w, sizeof(*o));
        if (!o)
                return -ENOMEM;
        o->row = *e;
        int r = event_row_dup_strings(&o->row, arena_dup, w);
        if (r < 0)
                return r;
        add(w, &o->op, STORE_OP_INSERT_EVENT);
        return 0;
}

int store_write_verification(StoreWrite *w, const VerificationRow *v)
{
        assert(w);
        assert(v);
        assert(v->task_id && v->name && v->kind && v->evidence);

        VerificationOp *o = arena_alloc(w, sizeof(*o));
        if (!o)
                return -ENOMEM;
        o->row = *v;
        int r = verification_row_dup_strings(&o->row, arena_dup, w);
        if (r < 0)
                return r;
        add(w, &o->op, STORE_OP_PUT_VERIFICATION);
        return 0;
}
int store_write_metric(StoreWrite *w, const char *task_id, int64_t step, const char *name, double value)
{
        assert(w);
        assert(task_id);
        assert(name);

        MetricOp *o = arena_alloc(w, sizeof(*o));
        if (!o)
                return -ENOMEM;
        *o = (MetricOp){
                .task_id = arena_dup(w, task_id), .name = arena_dup(w, name), .step = step, .value = value
        };
        if (!o->task_id || !o->name)
                return -ENOMEM;
        add(w, &o->op, STORE_OP_PUT_METRIC);
        return 0;
}

typedef struct Signed {
        const char *note;
        store_signed_t callback;
        void *userdata;
} Signed;

static void on_signed(const ReeveError *error, int64_t last_event _unused_, void *userdata)
{
        const Signed *s = ASSERT_PTR(userdata);

        if (s->callback)
                s->callback(error, error ? NULL : s->note, s->userdata);
}

int store_sign_log(Store *s, store_signed_t callback, void *userdata)
{
        assert(s);

        _cleanup_(store_write_freep) StoreWrite *w = store_write_new(s, 0, on_signed, NULL);
        if (!w)
                return -ENOMEM;
        SignOp *o = arena_alloc(w, sizeof(*o));
        Signed *result = arena_alloc(w, sizeof(*result));
        if (!o || !result)
                return -ENOMEM;
        o->note[0] = '\0';
        *result = (Signed){ .note = o->note, .callback = callback, .userdata = userdata };
        w->userdata = result; /* lives in the write's own memory: until the callback returned */
        add(w, &o->op, STORE_OP_SIGN_LOG);
        return store_write_submit(TAKE_PTR(w));
}

int store_write_submit(StoreWrite *w)
{
        assert(w);

        Store *s = w->job.store;
        pthread_mutex_lock(&s->mutex);
        bool full = s->figures.queued >= STORE_QUEUE_MAX;
        if (!full) {
                bool lazy = w->flags & STORE_WRITE_LAZY, first = list_is_empty(&s->writes);
                if (lazy && first)
                        s->lazy_until = store_now_monotonic() + STORE_LINGER_USEC;
                list_append(&s->writes, &w->job.link);
                s->figures.queued++;
                s->n_eager += !lazy;
                if (!lazy || first)
                        pthread_cond_signal(&s->writer_wake);
        }
        pthread_mutex_unlock(&s->mutex);

        if (full) {
                store_write_free(w);
                return -ENOBUFS;
        }
        return 0;
}

/* ---- executing, on the writer thread ---- */

static const StoreStatement statement_of_op[_STORE_OP_MAX] = {
        [STORE_OP_INSERT_TASK] = STORE_SQL_INSERT_TASK,
        [STORE_OP_UPDATE_TASK] = STORE_SQL_UPDATE_TASK,
        [STORE_OP_PUT_SPEC] = STORE_SQL_PUT_SPEC,
        [STORE_OP_ERASE_SPEC] = STORE_SQL_ERASE_SPEC,
        [STORE_OP_PUT_POLICY] = STORE_SQL_PUT_POLICY,
        [STORE_OP_PUT_ATTEMPT] = STORE_SQL_PUT_ATTEMPT,
        [STORE_OP_INSERT_SNAPSHOT] = STORE_SQL_INSERT_SNAPSHOT,
        [STORE_OP_INSERT_EVENT] = STORE_SQL_INSERT_EVENT,
        [STORE_OP_PUT_VERIFICATION] = STORE_SQL_PUT_VERIFICATION,
        [STORE_OP_PUT_METRIC] = STORE_SQL_PUT_METRIC,
};

static int bind_spec(sqlite3_stmt *st, const SpecOp *o, bool whole)
{
        int rc = sqlite3_bind_text(st, 1, o->task_id, -1, SQLITE_STATIC);
        if (rc == SQLITE_OK && whole)
                rc = sqlite3_bind_blob64(st, 2, o->spec, o->spec_size, SQLITE_STATIC);
        if (rc == SQLITE_OK && whole)
                rc = sqlite3_bind_blob64(st, 3, o->ticket, o->ticket_size, SQLITE_STATIC);
        return rc;
}

static int bind_policy(sqlite3_stmt *st, const PolicyOp *o)
{
        int rc = sqlite3_bind_text(st, 1, o->hash, -1, SQLITE_STATIC);
        return rc == SQLITE_OK ? sqlite3_bind_text(st, 2, o->policy, -1, SQLITE_STATIC) : rc;
}

static int bind_metric(sqlite3_stmt *st, const MetricOp *o)
{
        int rc = sqlite3_bind_text(st, 1, o->task_id, -1, SQLITE_STATIC);
        if (rc == SQLITE_OK)
                rc = sqlite3_bind_int64(st, 2, o->step);
        if (rc == SQLITE_OK)
                rc = sqlite3_bind_text(st, 3, o->name, -1, SQLITE_STATIC);
        return rc == SQLITE_OK ? sqlite3_bind_double(st, 4, o->value) : rc;
}

static int bind_op(sqlite3_stmt *st, StoreOp *op)
{
        switch (op->kind) {
        case STORE_OP_INSERT_TASK:
                return store_bind_insert_task(st, &container_of(op, TaskOp, op)->row);
        case STORE_OP_UPDATE_TASK:
                return store_bind_update_task(st, &container_of(op, TaskOp, op)->row);
        case STORE_OP_PUT_SPEC:
                return bind_spec(st, container_of(op, SpecOp, op), true);
        case STORE_OP_ERASE_SPEC:
                return bind_spec(st, container_of(op, SpecOp, op), false);
        case STORE_OP_PUT_POLICY:
                return bind_policy(st, container_of(op, PolicyOp, op));
        case STORE_OP_PUT_ATTEMPT:
                return store_bind_attempt(st, &container_of(op, AttemptOp, op)->row);
        case STORE_OP_INSERT_SNAPSHOT: {
                const SnapshotOp *o = container_of(op, SnapshotOp, op);
                return store_bind_snapshot(st, o->task_id, &o->row);
        }
        case STORE_OP_INSERT_EVENT:
                return store_bind_event(st, &container_of(op, EventOp, op)->row);
        case STORE_OP_PUT_VERIFICATION:
                return store_bind_verification(st, &container_of(op, VerificationOp, op)->row);
        case STORE_OP_PUT_METRIC:
                return bind_metric(st, container_of(op, MetricOp, op));
        case STORE_OP_SIGN_LOG: /* sign() has its own statements */
        case _STORE_OP_MAX:
                break;
        }
        assert(false);
        return SQLITE_MISUSE;
}

static int fail(StoreWrite *w, const StoreDb *db, const StoreOp *op, int rc)
{
        if (op->kind == STORE_OP_INSERT_TASK && rc == SQLITE_CONSTRAINT_UNIQUE)
                w->job.result = reeve_error_set(&w->job.error, REEVE_ERROR_ALREADY_EXISTS, "task_id",
                                                "there is a task %s already",
                                                container_of(op, TaskOp, op)->row.task_id);
        else
                w->job.result = store_db_error(db, rc, "cannot write", &w->job.error);
        return rc;
}

static int fail_missing(StoreWrite *w, const StoreOp *op)
{
        w->job.result = reeve_error_set(&w->job.error, REEVE_ERROR_NO_SUCH_TASK, "task_id",
                                        "there is no task %s", container_of(op, TaskOp, op)->row.task_id);
        return SQLITE_CONSTRAINT;
}

static int sign(StoreWrite *w, StoreDb *db, SignOp *o)
{
        Store *s = w->job.store;

        if (!s->has_log_key) {
                w->job.result = reeve_error_set(&w->job.error, REEVE_ERROR_UNAVAILABLE, NULL,
                                                "there is no key to sign the log with");
                return SQLITE_CONSTRAINT;
        }
        int rc = store_log_checkpoint(s->log, db, &s->log_key, s->log_secret, clock_realtime(s->clock),
                                      o->note);
        return rc == SQLITE_OK ? rc : fail(w, db, &o->op, rc);
}

/* The event has its number; now it becomes an entry. */
static int log_event(StoreWrite *w, StoreDb *db, const EventOp *o)
{
        w->last_event = sqlite3_last_insert_rowid(db->handle);
        if (!store_log_takes(o->row.topic))
                return SQLITE_OK;
        int rc = store_log_append(w->job.store->log, db, &o->row, w->last_event);
        return rc == SQLITE_OK ? rc : fail(w, db, &o->op, rc);
}

static int execute(StoreWrite *w, StoreDb *db, StoreOp *op)
{
        if (op->kind == STORE_OP_SIGN_LOG)
                return sign(w, db, container_of(op, SignOp, op));

        StoreStatement which = statement_of_op[op->kind];

        sqlite3_stmt *st = store_db_statement(db, which);
        if (!st)
                return fail(w, db, op, sqlite3_extended_errcode(db->handle));

        int rc = bind_op(st, op);
        if (rc == SQLITE_OK) {
                rc = sqlite3_step(st);
                if (rc == SQLITE_DONE)
                        rc = SQLITE_OK;
        }
        /* Before the reset: it would forget the errno behind a full disk. */
        if (rc != SQLITE_OK)
                fail(w, db, op, rc);
        else if (op->kind == STORE_OP_UPDATE_TASK && sqlite3_changes(db->handle) == 0)
                rc = fail_missing(w, op);
        store_db_reset(db, which);
        if (rc == SQLITE_OK && op->kind == STORE_OP_INSERT_EVENT)
                rc = log_event(w, db, container_of(op, EventOp, op));
        return rc;
}

int store_write_apply(StoreWrite *w, StoreDb *db, bool savepoint)
{
        StoreLog before;
        int rc = SQLITE_OK;

        assert(w);
        assert(db);

        w->job.result = 0;
        w->last_event = 0;

        if (savepoint) {
                before = *w->job.store->log;
                rc = store_db_run(db, STORE_SQL_SAVEPOINT);
        }
        for (StoreOp *op = w->first; op && rc == SQLITE_OK; op = op->next)
                rc = execute(w, db, op);

        if (!savepoint || (rc != SQLITE_OK && !store_db_is_local(rc)))
                return rc;
        if (rc != SQLITE_OK) {
                *w->job.store->log = before;
                rc = store_db_run(db, STORE_SQL_ROLLBACK_TO);
        }
        return rc == SQLITE_OK ? store_db_run(db, STORE_SQL_RELEASE) : rc;
}
