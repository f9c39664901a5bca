/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Log, LogCheckpoint, LogProof. All of it is public: a log that only its keeper can read proves nothing to anybody.
 *
 * With `more`, pages follow each other as they are read, in the direction that was asked for; the cursor of a page is a number
 * of an entry, so that it stays good whatever is added. Proofs are made of the stored tiles, whoever asks and however old the
 * entry is (common/tlog), and hashes travel in base64. */

#include <errno.h>
#include <sodium.h>

#include "daemon/varlink/registry-varlink-internal.h"

#define LOG_LIMIT_DEFAULT 100

typedef struct LogParameters {
        const char *task_id, *action;
        int64_t limit, cursor, from;
} LogParameters;

static const JsonField log_fields[] = {
        { "task_id", JSON_FIELD_STRING, offsetof(LogParameters, task_id), 0, TASK_ID_MAX },
        { "action", JSON_FIELD_STRING, offsetof(LogParameters, action), 0, 128 },
        { "limit", JSON_FIELD_INTEGER, offsetof(LogParameters, limit), 0, 0 },
        { "cursor", JSON_FIELD_INTEGER, offsetof(LogParameters, cursor), 0, 0 },
        { "from", JSON_FIELD_INTEGER, offsetof(LogParameters, from), 0, 0 },
};

static json_t *entry_to_json(const StoreLogEntry *e)
{
        return json_pack("{sI sI sI ss ss* ss* ss*}", "entry", (json_int_t)e->entry, "number",
                         (json_int_t)e->values.number, "timestamp", (json_int_t)e->values.timestamp,
                         "action", e->values.action, "task_id", e->values.task_id, "subsystem",
                         e->values.subsystem, "detail", e->values.detail);
}

/* ---- Log ---- */

/* Pages that go on: the filter must outlive the call's parameters. */
typedef struct LogPending {
        Pending *pending;
        json_t *parameters;
        StoreLogFilter filter;
} LogPending;

static void log_pending_free(LogPending *l)
{
        pending_free(l->pending);
        json_decref(l->parameters);
        free(l);
}

/* The cursor of the next page; negative: this was the last. */
static int64_t next_cursor(const LogPending *l, const StoreLogEntry *entries, size_t n)
{
        if (n == 0)
                return -1;
        uint64_t last = entries[n - 1].entry;
        if (l->filter.oldest_first)
                return (int64_t)last + 1;
        return last > 0 ? (int64_t)last : -1;
}

static json_t *page_to_json(const StoreLogEntry *entries, size_t n, int64_t cursor)
{
        _cleanup_json_ json_t *array = json_array();

        for (size_t i = 0; array && i < n; i++)
                if (json_array_append_new(array, entry_to_json(entries + i)) < 0)
                        return NULL;
        json_t *page = json_pack("{sO*}", "entries", array);
        if (page && cursor >= 0 && json_set_integer(page, "cursor", cursor) < 0) {
                json_decref(page);
                return NULL;
        }
        return page;
}

static void on_page(const ReeveError *error, const StoreLogEntry *entries, size_t n, void *userdata)
{
        LogPending *l = ASSERT_PTR(userdata);
        VarlinkCall *call = l->pending->call;
        int64_t cursor = next_cursor(l, entries, n);

        if (error)
                varlink_call_reeve_error(call, error);
        else if (varlink_call_wants_more(call) && cursor >= 0) {
                json_t *page = page_to_json(entries, n, cursor);

                if (l->filter.oldest_first)
                        l->filter.from = (uint64_t)cursor;
                else
                        l->filter.before = (uint64_t)cursor;
                if (page && varlink_call_notify(call, page) >= 0) {
                        service_log(l->pending->adapter->service, &l->filter, on_page, l);
                        return;
                }
                adapter_reply(call, NULL);
        } else
                adapter_reply(call, page_to_json(entries, n, cursor));
        log_pending_free(l);
}

static int check_log(const LogParameters *p, ReeveError *reterr)
{
        if (p->limit < 1 || p->limit > STORE_LIST_MAX)
                return reeve_error_set(reterr, REEVE_ERROR_LIMIT_EXCEEDED, "limit", "must be 1 to %d",
                                       STORE_LIST_MAX);
        if (p->cursor < -1)
                return reeve_error_set(reterr, REEVE_ERROR_INVALID_ARGUMENT, "cursor", "is not one of ours");
        if (p->from < -1)
                return reeve_error_set(reterr, REEVE_ERROR_INVALID_ARGUMENT, "from", "must be 0 or more");
        if (p->from >= 0 && (p->task_id || p->action))
                return reeve_error_set(reterr, REEVE_ERROR_INVALID_ARGUMENT, "from",
                                       "cannot be combined with task_id and action");
        return 0;
}

ADAPTER_HANDLER(adapter_log)
{
        RegistryVarlink *v = ASSERT_PTR(userdata);
        LogParameters p = { .limit = LOG_LIMIT_DEFAULT, .cursor = -1, .from = -1 };
        ReeveError e = REEVE_ERROR_NULL;

        if (adapter_dispatch(call, parameters, log_fields, ELEMENTSOF(log_fields), &p) < 0)
                return 0;
        if (check_log(&p, &e) < 0)
                return varlink_call_reeve_error(call, &e);
        LogPending *l = NEW0(LogPending, 1);
        if (!l)
                return -ENOMEM;
        l->parameters = json_incref(parameters);
        l->filter = (StoreLogFilter){ .task_id = p.task_id,
                                      .action = p.action,
                                      .before = p.cursor >= 0 ? (uint64_t)p.cursor : UINT64_MAX,
                                      .from = p.from >= 0 ? (uint64_t)p.from : 0,
                                      .oldest_first = p.from >= 0,
                                      .limit = (unsigned)p.limit };
        l->pending = pending_new(v, call);
        if (!l->pending) {
                log_pending_free(l);
                return 0;
        }
        service_log(v->service, &l->filter, on_page, l);
        return 0;
}

/* ---- LogCheckpoint ---- */

static void on_checkpoint(const ReeveError *error, const char *note, const char *key, void *userdata)
{
        _cleanup_(pending_freep) Pending *p = ASSERT_PTR(userdata);

        if (error)
                varlink_call_reeve_error(p->call, error);
        else
                adapter_reply(p->call, json_pack("{ss ss}", "note", note, "key", key));
}

ADAPTER_HANDLER(adapter_log_checkpoint)
{
        RegistryVarlink *v = ASSERT_PTR(userdata);

        Pending *pending = pending_new(v, call);
        if (pending)
                service_log_checkpoint(v->service, on_checkpoint, pending);
        return 0;
}

/* ---- LogProof ---- */

typedef struct ProofParameters {
        int64_t entry, size;
} ProofParameters;

static const JsonField proof_fields[] = {
        { "entry", JSON_FIELD_INTEGER, offsetof(ProofParameters, entry), 0, 0 },
        { "size", JSON_FIELD_INTEGER, offsetof(ProofParameters, size), 0, 0 },
};

static json_t *hashes_to_json(const TlogHash *hashes, size_t n)
{
        _cleanup_json_ json_t *array = json_array();
        char text[sodium_base64_ENCODED_LEN(TLOG_HASH_SIZE, sodium_base64_VARIANT_ORIGINAL)];

        for (size_t i = 0; array && i < n; i++) {
                sodium_bin2base64(text, sizeof(text), hashes[i].bytes, TLOG_HASH_SIZE,
                                  sodium_base64_VARIANT_ORIGINAL);
                if (json_array_append_new(array, json_string(text)) < 0)
                        return NULL;
        }
        return json_incref(array);
}

static void on_proof(const ReeveError *error, const StoreProof *proof, void *userdata)
{
        _cleanup_(pending_freep) Pending *p = ASSERT_PTR(userdata);

        if (error) {
                varlink_call_reeve_error(p->call, error);
                return;
        }
        json_t *entry = proof->entry.values.action ? entry_to_json(&proof->entry) : NULL;
        adapter_reply(p->call,
                      json_pack("{so* ss sI so}", "entry", entry, "note", proof->note, "size",
                                (json_int_t)proof->size, "hashes", hashes_to_json(proof->hashes, proof->n)));
}

ADAPTER_HANDLER(adapter_log_proof)
{
        RegistryVarlink *v = ASSERT_PTR(userdata);
        ProofParameters p = { .entry = -1, .size = -1 };
        ReeveError e = REEVE_ERROR_NULL;

        if (adapter_dispatch(call, parameters, proof_fields, ELEMENTSOF(proof_fields), &p) < 0)
                return 0;
        if ((p.entry >= 0) == (p.size >= 0)) {
                reeve_error_set(&e, REEVE_ERROR_INVALID_ARGUMENT, p.entry >= 0 ? "size" : "entry",
                                "either entry or size must be given, and not be negative");
                return varlink_call_reeve_error(call, &e);
        }
        Pending *pending = pending_new(v, call);
        if (!pending)
                return 0;
        if (p.entry >= 0)
                service_prove_entry(v->service, (uint64_t)p.entry, on_proof, pending);
        else
                service_prove_growth(v->service, (uint64_t)p.size, on_proof, pending);
        return 0;
}
