/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The immutable log. Entries are written by the store, with the events that they are; here it is signed: once a minute if
 * there is something new, before the daemon goes, and when somebody asks. Each new checkpoint is told to the journal, so that
 * it is kept where who can write our database cannot write. */

#include <errno.h>
#include <stdio.h>
#include <unistd.h>

#include "basic/log.h"
#include "daemon/service/service-internal.h"

#define SIGN_USEC USEC_PER_MINUTE

void service_log_origin(const Instance *i, char ret[static CHECKPOINT_ORIGIN_MAX + 1])
{
        char host[HOST_NAME_MAX + 1] = "";

        assert(i);

        (void)gethostname(host, sizeof(host) - 1);
        for (char *c = host; *c; c++)
                if (*c <= ' ' || *c == '+' || *c >= 0x7f)
                        *c = '_';
        snprintf(ret, CHECKPOINT_ORIGIN_MAX + 1, "%s/%s", i->prefix, host[0] ? host : "localhost");
}

/* ---- signing ---- */

static void report(Service *s, const char *note)
{
        ReeveError e = REEVE_ERROR_NULL;
        Checkpoint c;

        if (checkpoint_open(note, store_log_key(s->store), &c, &e) < 0) {
                log_full_reeve_error(LOG_ERR, &e, "immutable log");
                return;
        }
        if (c.size == s->signed_entries)
                return;
        s->signed_entries = c.size;
        if (s->reports.log_signed)
                s->reports.log_signed(note, c.size, s->reports.userdata);
}

static void on_signed(const ReeveError *error, const char *note, void *userdata)
{
        Service *s = ASSERT_PTR(userdata);

        if (error)
                log_full_reeve_error(LOG_WARNING, error, "immutable log");
        else
                report(s, note);
}

static int on_sign_timer(sd_event_source *source, uint64_t usec, void *userdata)
{
        Service *s = ASSERT_PTR(userdata);

        int r = store_sign_log(s->store, on_signed, s);
        if (r < 0)
                log_warning_errno(r, "cannot sign the immutable log");
        r = sd_event_source_set_time_relative(source, SIGN_USEC);
        return r < 0 ? r : sd_event_source_set_enabled(source, SD_EVENT_ONESHOT);
}

int service_start_signing(Service *s)
{
        assert(s);

        return sd_event_add_time_relative(s->event, &s->sign_timer, CLOCK_BOOTTIME, SIGN_USEC, USEC_PER_SEC,
                                          on_sign_timer, s);
}

void service_sign_last(Service *s)
{
        assert(s);

        if (s->store) /* the store finishes what was submitted */
                (void)store_sign_log(s->store, NULL, NULL);
}

/* ---- operations ---- */

void service_log(Service *s, const StoreLogFilter *filter, store_log_t callback, void *userdata)
{
        ReeveError e = REEVE_ERROR_NULL;

        assert(s);
        assert(callback);

        int r = store_log(s->store, filter, callback, userdata);
        if (r >= 0)
                return;
        reeve_error_errno(&e, r, NULL, "cannot read the immutable log");
        callback(&e, NULL, 0, userdata);
}

typedef struct CheckpointOp {
        Service *service;
        service_checkpoint_t callback;
        void *userdata;
} CheckpointOp;

static void on_checkpoint(const ReeveError *error, const char *note, void *userdata)
{
        _cleanup_free_ CheckpointOp *op = ASSERT_PTR(userdata);
        char key[CHECKPOINT_KEY_MAX];

        if (error) {
                op->callback(error, NULL, NULL, op->userdata);
                return;
        }
        report(op->service, note);
        checkpoint_key_format(store_log_key(op->service->store), key);
        op->callback(NULL, note, key, op->userdata);
}

void service_log_checkpoint(Service *s, service_checkpoint_t callback, void *userdata)
{
        ReeveError e = REEVE_ERROR_NULL;
        int r = -ENOMEM;

        assert(s);
        assert(callback);

        CheckpointOp *op = NEW0(CheckpointOp, 1);
        if (op) {
                *op = (CheckpointOp){ .service = s, .callback = callback, .userdata = userdata };
                r = store_sign_log(s->store, on_checkpoint, op);
        }
        if (r >= 0)
                return;
        free(op);
        reeve_error_errno(&e, r, NULL, "cannot sign the immutable log");
        callback(&e, NULL, NULL, userdata);
}

static void refuse_proof(int r, store_proof_t callback, void *userdata)
{
        ReeveError e = REEVE_ERROR_NULL;

        reeve_error_errno(&e, r, NULL, "cannot read the immutable log");
        callback(&e, NULL, userdata);
}

void service_prove_entry(Service *s, uint64_t entry, store_proof_t callback, void *userdata)
{
        assert(s);
        assert(callback);

        int r = store_prove_entry(s->store, entry, callback, userdata);
        if (r < 0)
                refuse_proof(r, callback, userdata);
}

void service_prove_growth(Service *s, uint64_t old_size, store_proof_t callback, void *userdata)
{
        assert(s);
        assert(callback);

        int r = store_prove_growth(s->store, old_size, callback, userdata);
        if (r < 0)
                refuse_proof(r, callback, userdata);
}
