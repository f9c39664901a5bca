/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Verifying a task whose work ended well, before it is called completed:
 *
 *     the end of the attempt is committed, as `verifying`
 *     what is known from before is read: results, the specification
 *     figures are judged, programs are run, some at a time; each result is committed as it comes
 *     all are there: completed, or failed/verification
 *
 * The database has the results, the records have what runs; nothing else is needed to go on after a restart of ours. A
 * result is committed before the record that it came from is forgotten, and all of them before the end, because the
 * writer keeps the order of submission.
 *
 * Which rules there are is verify-rules.c's, how a program is run verify-program.c's. */

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "basic/crash.h"
#include "basic/fd.h"
#include "basic/log.h"
#include "basic/strings.h"
#include "common/json/json.h"
#include "common/spec/spec.h"
#include "daemon/model/task-json.h"
#include "daemon/service/verify-internal.h"

#define PARALLEL_ALL 64 /* and of all: a thousand tasks may end in the same moment */

typedef struct ServiceVerification ServiceVerification;

/* ---- one verification ---- */

void service_rule_move(ServiceVerification *v, size_t rule, RuleState to)
{
        size_t before = verification_n_out(v->machine);

        verification_move(v->machine, rule, to);
        v->service->n_checks += verification_n_out(v->machine) - before; /* it may be one less */
}

static ServiceVerification *verification_done(ServiceVerification *v)
{
        if (!v)
                return NULL;
        if (v->machine)
                v->service->n_checks -= verification_n_out(v->machine);
        list_remove(&v->link);
        if (v->task)
                v->task->verification = NULL;
        verification_free(v->machine);
        free(v->rules);
        fd_close(v->spec_fd);
        free(v);
        return NULL;
}

void rule_op_init(RuleOp *op, const ServiceVerification *v, size_t rule)
{
        assert(op);
        assert(v);

        *op = (RuleOp){ .service = v->service, .attempt = v->attempt, .rule = rule };
        strcpy(op->task_id, v->task->row.task_id);
}

ServiceVerification *rule_op_find(const RuleOp *op)
{
        assert(op);

        const Task *t = registry_get(op->service->registry, op->task_id);
        return t && t->verification && t->verification->attempt == op->attempt ? t->verification : NULL;
}

/* ---- results ---- */

typedef struct ResultOp {
        Service *service;
        char record[TASK_ID_MAX + 1];
        unsigned attempt;
} ResultOp;

static void on_result_committed(const ReeveError *error, int64_t last_event, void *userdata)
{
        _cleanup_free_ ResultOp *op = ASSERT_PTR(userdata);

        if (error) {
                log_full_reeve_error(LOG_ERR, error, op->record);
                return;
        }
        CRASH_POINT("reeved", "check-committed");
        if (op->record[0])
                launcher_client_forget(op->service->launcher, op->record, op->attempt);
}

static char *usage_text(const Usage *u)
{
        _cleanup_json_ json_t *o = json_object();
        return o && usage_to_json(u, o) >= 0 ? json_format(o) : NULL;
}

static int write_result(ServiceVerification *v, size_t rule, const RuleResult *result)
{
        const ServiceRule *r = v->rules + rule;
        _cleanup_free_ char *evidence = result->evidence ? json_format(result->evidence) : NULL,
                            *usage = result->usage ? usage_text(result->usage) : NULL;
        VerificationRow row = {
                .task_id = v->task->row.task_id,
                .attempt = v->attempt,
                .rule = (unsigned)rule + 1,
                .name = (char *)r->rule.name,
                .kind = (char *)verify_kind_name(r->rule.kind),
                .passed = result->passed,
                .evidence = evidence ?: (char *)"{}",
                .ended_realtime = clock_realtime(v->service->clock),
                .duration_usec = result->duration_usec,
                .usage = usage,
                .cpu_usec = result->usage && usage_has(result->usage, USAGE_CPU)
                                            ? result->usage->value[USAGE_CPU]
                                            : -1,
        };

        ResultOp *op = NEW0(ResultOp, 1);
        if (!op)
                return -ENOMEM;
        op->service = v->service;
        op->attempt = v->attempt;
        strcpy(op->record, r->record);
        _cleanup_(store_write_freep) StoreWrite *w =
                        store_write_new(v->service->store, STORE_WRITE_LAZY, on_result_committed, op);
        int k = w ? store_write_verification(w, &row) : -ENOMEM;
        if (k >= 0)
                k = store_write_submit(TAKE_PTR(w));
        if (k < 0)
                free(op);
        return k;
}

void service_verify_conclude(ServiceVerification *v, size_t rule, RuleResult *result)
{
        assert(v);
        assert(result);

        service_rule_move(v, rule, result->passed ? RULE_PASSED : RULE_FAILED);
        int r = write_result(v, rule, result);
        if (r < 0)
                log_error_errno(r, "%s: cannot store the result of rule %zu", v->task->row.task_id,
                                rule + 1);
        json_decref(TAKE_PTR(result->evidence));
        CRASH_POINT("reeved", "checked");
}

void service_verify_fail(ServiceVerification *v, size_t rule, const char *why)
{
        assert(why);

        RuleResult result = { .evidence = json_object() };
        if (result.evidence)
                (void)json_set_string(result.evidence, "why", why);
        service_verify_conclude(v, rule, &result);
}

/* ---- the end ---- */

static void say_what_failed(ServiceVerification *v)
{
        size_t n = verification_n_rules(v->machine), first = 0;

        while (verification_state(v->machine, first) != RULE_FAILED)
                first++;
        task_set_message(v->task, "not verified: %zu of %zu rules did not pass, the first is '%.200s'",
                         verification_n_failed(v->machine), n, v->rules[first].rule.name);
}

static void finish(ServiceVerification *v)
{
        Service *s = v->service;
        Task *t = v->task;
        bool failed = verification_n_failed(v->machine) > 0;

        for (size_t i = 0; i < verification_n_rules(v->machine); i++)
                if (v->rules[i].known && v->rules[i].record[0])
                        launcher_client_forget(s->launcher, v->rules[i].record, v->attempt);
        if (failed && v->required && service_may_retry(t, TASK_OUTCOME_VERIFICATION)) {
                say_what_failed(v);
                verification_done(v);
                service_retry(s, t, TASK_OUTCOME_VERIFICATION, NULL);
                return;
        }
        t->row.verification = failed ? VERIFICATION_FAILED : VERIFICATION_PASSED;
        t->row.verification_passes = (unsigned)verification_n_passed(v->machine);
        t->row.verification_failures = (unsigned)verification_n_failed(v->machine);
        if (failed && v->required)
                say_what_failed(v);
        task_verified(t, failed && v->required, clock_realtime(s->clock));
        service_sla_verified(&t->row);
        verification_done(v);
        CRASH_POINT("reeved", "verified");
        service_commit_end(s, t, NULL);
}

/* As verify_rule_judge() has it. */
static int reported_word(const Task *t)
{
        return t->row.word == REPORTED_NOTHING ? -1 : t->row.word == REPORTED_VERIFIED;
}

static void judge(ServiceVerification *v)
{
        for (size_t i = 0; i < verification_n_rules(v->machine); i++) {
                const VerifyRule *rule = &v->rules[i].rule;
                RuleResult result = { 0 };

                if (verify_rule_is_program(rule) || verification_state(v->machine, i) != RULE_WAITING)
                        continue;
                int r = verify_rule_judge(rule, &v->task->row, reported_word(v->task), &result.evidence);
                if (r < 0) {
                        service_verify_fail(v, i, "out of memory");
                        continue;
                }
                result.passed = r > 0;
                service_verify_conclude(v, i, &result);
        }
}

static void start_what_waits(ServiceVerification *v)
{
        Service *s = v->service;

        for (int i; (i = verification_next(v->machine)) >= 0;) {
                if (s->n_checks >= PARALLEL_ALL) {
                        s->checks_wait = true;
                        return;
                }
                if (!service_rule_start(v, (size_t)i))
                        return;
        }
}

/* There is room again: for the oldest first. */
static void let_others_start(Service *s)
{
        if (!s->checks_wait || s->n_checks >= PARALLEL_ALL)
                return;
        s->checks_wait = false;
        LIST_FOREACH_SAFE(&s->verifications, link) {
                ServiceVerification *v = container_of(link, ServiceVerification, link);
                if (v->ready)
                        start_what_waits(v);
                if (v->ready && verification_is_over(v->machine)) /* none of them could be started */
                        finish(v);
                if (s->checks_wait)
                        return;
        }
}

void service_verify_go_on(Task *t)
{
        assert(t);

        ServiceVerification *v = t->verification;
        if (!v || !v->ready)
                return;
        Service *s = v->service;
        judge(v);
        start_what_waits(v);
        if (verification_is_over(v->machine))
                finish(v);
        let_others_start(s);
}

/* ---- the beginning ---- */

static void look_at_all(ServiceVerification *v)
{
        for (size_t i = 0; i < verification_n_rules(v->machine); i++)
                if (v->rules[i].record[0] && !v->rules[i].known)
                        service_rule_look(v, i);
}

static void be_ready(ServiceVerification *v)
{
        Task *t = v->task;

        v->ready = true;
        look_at_all(v);
        service_verify_go_on(t);
}

static void take_spec(ServiceVerification *v, const StoreSpec *spec)
{
        ReeveError e = REEVE_ERROR_NULL;

        if (!spec || spec->ticket_size != sizeof(v->ticket))
                return;
        service_rules_name_authored(v, spec);
        memcpy(v->ticket, spec->ticket, sizeof(v->ticket));
        if (spec_seal(spec->spec, spec->spec_size, &v->spec_fd, &e) < 0)
                log_full_reeve_error(LOG_ERR, &e, v->task->row.task_id);
}

static void on_spec(const ReeveError *error, const StoreSpec *spec, void *userdata)
{
        _cleanup_free_ RuleOp *op = ASSERT_PTR(userdata);

        ServiceVerification *v = rule_op_find(op);
        if (!v)
                return;
        if (error)
                log_full_reeve_error(LOG_ERR, error, op->task_id);
        take_spec(v, spec);
        be_ready(v);
}

static void take_results(ServiceVerification *v, const VerificationRow *rows, size_t n)
{
        for (size_t i = 0; i < n; i++) {
                if (rows[i].attempt != v->attempt || rows[i].rule > verification_n_rules(v->machine))
                        continue;
                service_rule_move(v, rows[i].rule - 1, rows[i].passed ? RULE_PASSED : RULE_FAILED);
                v->rules[rows[i].rule - 1].known = true;
        }
}

static void on_results(const ReeveError *error, const VerificationRow *rows, size_t n, void *userdata)
{
        _cleanup_free_ RuleOp *op = ASSERT_PTR(userdata);

        ServiceVerification *v = rule_op_find(op);
        if (!v)
                return;
        if (error)
                log_full_reeve_error(LOG_ERR, error, op->task_id); /* then all of it is found out again */
        take_results(v, rows, n);
        int r = store_spec(v->service->store, op->task_id, on_spec, op);
        if (r >= 0) {
                op = NULL; /* on_spec() has it */
                return;
        }
        log_error_errno(r, "%s: cannot read its specification", op->task_id);
        be_ready(v);
}

static int begin(Service *s, Task *t)
{
        assert(!t->verification);

        ServiceVerification *v = NEW0(ServiceVerification, 1);
        if (!v)
                return -ENOMEM;
        v->service = s;
        v->attempt = t->row.attempt;
        v->spec_fd = -EBADF;
        list_append(&s->verifications, &v->link);
        v->task = t;
        t->verification = v;
        RuleOp *op = NEW0(RuleOp, 1);
        int r = op ? service_rules_make(v) : -ENOMEM;
        if (r >= 0) {
                rule_op_init(op, v, 0);
                r = store_verifications(s->store, op->task_id, on_results, op);
        }
        if (r < 0) {
                free(op);
                verification_done(v);
        }
        return r;
}

void service_verify_again(Service *s, Task *t)
{
        assert(s);
        assert(t);
        assert(t->row.status == TASK_VERIFYING);

        int r = begin(s, t);
        if (r < 0)
                log_error_errno(r, "%s: cannot be verified, the next start of the daemon will",
                                t->row.task_id);
}

static void on_verifying_committed(const ReeveError *error, int64_t last_event, void *userdata)
{
        _cleanup_(task_op_freep) TaskOp *op = ASSERT_PTR(userdata);

        Task *t = registry_get(op->service->registry, op->task_id);
        if (error) {
                log_full_reeve_error(LOG_ERR, error, op->task_id);
                return;
        }
        CRASH_POINT("reeved", "verifying");
        if (!t || t->row.status != TASK_VERIFYING)
                return;
        service_publish(op->service, last_event, op, &t->row);
        service_verify_again(op->service, t);
}

static int write_verifying(Service *s, Task *t, const AttemptRow *a)
{
        usec_t ended = a ? a->ended_realtime : clock_realtime(s->clock);
        const SnapshotRow last = { .attempt = t->row.attempt,
                                   .taken_realtime = ended,
                                   .elapsed_usec = t->row.duration_usec,
                                   .usage = t->row.usage };

        _cleanup_(task_op_freep) TaskOp *op = task_op_new(s, t);
        if (!op)
                return -ENOMEM;
        _cleanup_(store_write_freep) StoreWrite *w =
                        store_write_new(s->store, 0, on_verifying_committed, op);
        if (!w || store_write_update_task(w, &t->row) < 0 || (a && store_write_attempt(w, a) < 0) ||
            (a && store_write_snapshot(w, t->row.task_id, &last) < 0) ||
            service_write_event(w, op, t, "task.verifying", ended) < 0)
                return -ENOMEM;
        int r = store_write_submit(TAKE_PTR(w));
        if (r >= 0)
                op = NULL; /* on_verifying_committed() has it */
        return r;
}

void service_verify(Service *s, Task *t, const AttemptRow *a)
{
        assert(s);
        assert(t);
        assert(t->row.status == TASK_VERIFYING);

        t->row.verification = VERIFICATION_PENDING;
        t->row.completed_realtime = 0; /* it is not, yet */
        t->doing &= ~TASK_RECORD_ENDED;
        service_forget_kill(s, t);
        service_unsample(s, t);
        service_report_over(t);
        task_drop_start(t);
        int r = write_verifying(s, t, a);
        if (r < 0)
                log_error_errno(r, "%s: cannot store its end, the next start of the daemon will",
                                t->row.task_id);
}

/* ---- what happens meanwhile ---- */

void service_verify_look_at_all(Task *t)
{
        assert(t);

        if (!t->verification || !t->verification->ready)
                return;
        look_at_all(t->verification);
        service_verify_go_on(t);
}

/* A record of a check that nobody waits for. */
static void end_stray(Service *s, const char *name, unsigned attempt)
{
        _cleanup_(record_unmapp) const Record *record = NULL;
        char file[TASK_ATTEMPT_NAME_SIZE];

        int r = record_map(record_watch_dir_fd(s->records), task_attempt_name(name, attempt, file), &record);
        if (r >= 0 && record_phase(record) < RECORD_ENDED)
                launcher_client_kill(s->launcher, name, attempt);
        launcher_client_forget(s->launcher, name, attempt); /* one that has not ended stays until it does */
}

static bool has_record(const ServiceVerification *v, const char *name, unsigned attempt, size_t *ret_rule)
{
        for (size_t i = 0; v->attempt == attempt && i < verification_n_rules(v->machine); i++)
                if (streq(v->rules[i].record, name)) {
                        *ret_rule = i;
                        return true;
                }
        return false;
}

/* By the id that the name begins with; only of a very long id that is not the whole. */
static ServiceVerification *find_by_record(Service *s, const char *name, unsigned attempt, size_t *ret_rule)
{
        char task_id[TASK_ID_MAX + 1];

        strcpy(task_id, name);
        *strrchr(task_id, '-') = '\0';
        const Task *t = registry_get(s->registry, task_id);
        if (t)
                return t->verification && has_record(t->verification, name, attempt, ret_rule)
                                       ? t->verification
                                       : NULL;
        LIST_FOREACH(&s->verifications, link) {
                ServiceVerification *v = container_of(link, ServiceVerification, link);
                if (has_record(v, name, attempt, ret_rule))
                        return v;
        }
        return NULL;
}

void service_verify_on_record(Service *s, const char *name, unsigned attempt)
{
        size_t rule;

        assert(s);
        assert(task_id_ends_in(name, "check"));

        ServiceVerification *v = find_by_record(s, name, attempt, &rule);
        if (!v) {
                end_stray(s, name, attempt);
                return;
        }
        if (!v->ready)
                return; /* be_ready() looks at it */
        Task *t = v->task;
        service_rule_look(v, rule);
        service_verify_go_on(t);
}

void service_verify_drop(Task *t)
{
        assert(t);

        ServiceVerification *v = t->verification;
        if (!v)
                return;
        Service *s = v->service;
        for (size_t i = 0; i < verification_n_rules(v->machine); i++) {
                RuleState state = verification_state(v->machine, i);
                if (v->rules[i].record[0] && (state == RULE_STARTING || state == RULE_RUNNING))
                        launcher_client_kill(s->launcher, v->rules[i].record, v->attempt);
        }
        verification_done(v);
        let_others_start(s);
}

void service_drop_verifications(Service *s)
{
        assert(s);

        LIST_FOREACH_SAFE(&s->verifications, link)
                verification_done(container_of(link, ServiceVerification, link));
}
