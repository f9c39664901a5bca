/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Running the program of a rule, and reading what came of it.
 *
 * A program has a record of its own, "<task>-check<n>.<attempt>", kept by a keeper as any attempt is; the keeper also enforces the
 * timeout. So what became of a program is read from its record and its output, whoever was dead meanwhile. The name is made of
 * the task's id, the rule's number and the attempt, so that the same check has the same name after a restart of ours, and the
 * launcher, which refuses a second record of a name, sees to it that it does not run twice at a time.
 *
 * Files are opened and read on a reader thread: the captured output that a rule is about, and what the program said. */

#include <errno.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "basic/crash.h"
#include "basic/fd.h"
#include "basic/log.h"
#include "basic/parse.h"
#include "basic/strings.h"
#include "common/json/json.h"
#include "daemon/launch/account.h"
#include "daemon/service/verify-internal.h"

#define GRACE_USEC       USEC_PER_SEC
#define OUTPUT_CAP_BYTES 65536
#define SAID_MAX         16384 /* what is read of a program's output */
#define SHOWN_MAX        2048  /* and what of it is evidence */
#define TRIES_MAX        100
#define EVIDENCE_DEPTH   8

typedef struct ServiceVerification ServiceVerification;

void service_rule_name_record(ServiceVerification *v, size_t rule)
{
        service_program_name(v->task->row.task_id, "check", rule + 1, v->rules[rule].record);
}

/* ---- what came of it ---- */

/* Of a program that has ended: what its record says, then what it said. */
typedef struct ReadOp {
        RuleOp op;
        RecordExit exit_kind;
        int exit_value;
        bool timed_out;
        usec_t duration_usec;
        Usage usage;
        char path[PATH_MAX + TASK_ATTEMPT_NAME_SIZE + 1];
        char said[SAID_MAX];
        size_t size;
} ReadOp;

static int read_said(void *userdata)
{
        ReadOp *r = ASSERT_PTR(userdata);

        _cleanup_fd_ int fd = open(r->path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
        if (fd < 0)
                return errno == ENOENT ? 0 : -errno;
        ssize_t n = fd_read_full(fd, r->said, sizeof(r->said));
        if (n < 0)
                return (int)n;
        r->size = (size_t)n;
        return 0;
}

/* A program of ours answers with the evidence itself; NULL if this is none. */
static json_t *evidence_of_ours(const ReadOp *r)
{
        json_t *o = NULL;

        if (r->exit_kind != RECORD_EXIT_EXITED || r->size == 0 || r->size == sizeof(r->said) ||
            json_parse(r->said, r->size, EVIDENCE_DEPTH, &o, NULL) < 0)
                return NULL;
        if (!json_is_object(o)) {
                json_decref(o);
                return NULL;
        }
        json_object_del(o, "passed");
        return o;
}

static int say_how_it_ended(const ReadOp *r, const VerifyRule *rule, json_t *o)
{
        char name[SIGNAL_NAME_MAX], why[128], span[32];
        int k = 0;

        switch (r->exit_kind) {
        case RECORD_EXIT_EXITED:
                k |= json_set_integer(o, "exit_status", r->exit_value);
                snprintf(why, sizeof(why), "it exited with status %d", r->exit_value);
                break;
        case RECORD_EXIT_KILLED:
        case RECORD_EXIT_DUMPED:
                k |= json_set_integer(o, "exit_signal", r->exit_value);
                snprintf(why, sizeof(why), "it ended by signal %s", signal_name(r->exit_value, name));
                break;
        case RECORD_EXIT_EXEC_FAILED:
                snprintf(why, sizeof(why), "it could not be executed: %s",
                         strerrordesc_np(r->exit_value) ?: "?");
                break;
        case RECORD_EXIT_NONE:
        case RECORD_EXIT_UNKNOWN:
        case _RECORD_EXIT_MAX:
        default:
                snprintf(why, sizeof(why), "nobody saw its exit status");
                break;
        }
        if (r->timed_out)
                snprintf(why, sizeof(why), "it took longer than %s",
                         usec_format_span(rule->timeout_usec ?: VERIFY_TIMEOUT_DEFAULT_USEC, span,
                                          sizeof(span)));
        if (r->timed_out || r->exit_kind != RECORD_EXIT_EXITED || r->exit_value != 0)
                k |= json_set_string(o, "why", why);
        return k;
}

static json_t *make_evidence(const ReadOp *r, const VerifyRule *rule)
{
        json_t *o = rule->kind == VERIFY_COMMAND ? NULL : evidence_of_ours(r);

        if (o)
                return o;
        o = json_object();
        if (!o)
                return NULL;
        int k = say_how_it_ended(r, rule, o);
        if (r->size > 0)
                k |= json_object_set_new(o, "output",
                                         json_string_lossy(r->said, MIN(r->size, (size_t)SHOWN_MAX)));
        if (k < 0) {
                json_decref(o);
                return NULL;
        }
        return o;
}

static void on_said(int result, void *userdata)
{
        _cleanup_free_ ReadOp *r = ASSERT_PTR(userdata);

        ServiceVerification *v = rule_op_find(&r->op);
        if (!v || verification_state(v->machine, r->op.rule) != RULE_READING)
                return;
        if (result < 0)
                log_warning_errno(result, "%s: cannot read what a check said", r->op.task_id);
        Task *t = v->task;
        RuleResult found = {
                .passed = r->exit_kind == RECORD_EXIT_EXITED && r->exit_value == 0,
                .evidence = make_evidence(r, &v->rules[r->op.rule].rule),
                .duration_usec = r->duration_usec,
                .usage = &r->usage,
        };
        service_verify_conclude(v, r->op.rule, &found);
        service_verify_go_on(t);
}

static int take_record(ReadOp *r, const Record *record)
{
        AttemptRow a;

        int k = attempt_from_record(record, &a);
        if (k < 0)
                return k;
        r->exit_kind = a.exit_kind;
        r->exit_value = a.exit_value;
        r->timed_out = a.flags & RECORD_FLAG_BACKSTOP;
        r->duration_usec = record_duration(record);
        r->usage = a.usage;
        attempt_row_done(&a);
        return 0;
}

static int read_result(ServiceVerification *v, size_t rule, const Record *record)
{
        char directory[PATH_MAX], name[TASK_ATTEMPT_NAME_SIZE];

        _cleanup_free_ ReadOp *r = NEW0(ReadOp, 1);
        if (!r)
                return -ENOMEM;
        rule_op_init(&r->op, v, rule);
        int k = take_record(r, record);
        if (k < 0)
                return k;
        instance_path(&v->service->instance, INSTANCE_OUTPUT, directory, sizeof(directory));
        task_attempt_name(v->rules[rule].record, v->attempt, name);
        snprintf(r->path, sizeof(r->path), "%s/%s", directory, name);
        k = store_work(v->service->store, read_said, on_said, r);
        if (k >= 0)
                r = NULL; /* on_said() has it */
        return k;
}

void service_rule_look(ServiceVerification *v, size_t rule)
{
        _cleanup_(record_unmapp) const Record *record = NULL;
        char name[TASK_ATTEMPT_NAME_SIZE];

        assert(v);

        RuleState state = verification_state(v->machine, rule);
        if (state >= RULE_READING)
                return;
        task_attempt_name(v->rules[rule].record, v->attempt, name);
        if (record_map(record_watch_dir_fd(v->service->records), name, &record) < 0)
                return;
        switch (record_phase(record)) {
        case RECORD_ENDED: {
                service_rule_move(v, rule, RULE_READING);
                int r = read_result(v, rule, record);
                if (r < 0) {
                        log_error_errno(r, "%s: cannot be read", name);
                        service_verify_fail(v, rule, "its result could not be read");
                }
                return;
        }
        case RECORD_STARTED:
                if (state != RULE_RUNNING)
                        service_rule_move(v, rule, RULE_RUNNING);
                return;
        case RECORD_NEW:
        case RECORD_CLAIMED:
        case _RECORD_PHASE_MAX:
        default:
                return; /* the launcher is at it, or will take it back */
        }
}

/* ---- starting it ---- */

/* A rule that is being started: its program's standard input is opened, the launcher is asked. */
typedef struct StartOp {
        RuleOp op;
        int stdin_fd;
        char path[PATH_MAX + TASK_ATTEMPT_NAME_SIZE + 1];
} StartOp;

static void start_op_free(StartOp *x)
{
        if (x) {
                fd_close(x->stdin_fd);
                free(x);
        }
}

static void start_op_freep(StartOp **x)
{
        start_op_free(*x);
}

/* It waits again; whoever is asked next may know more. */
static void wait_again(ServiceVerification *v, size_t rule)
{
        if (verification_state(v->machine, rule) != RULE_STARTING)
                return;
        if (++v->rules[rule].tries >= TRIES_MAX) {
                service_verify_fail(v, rule, "the launcher does not start it");
                return;
        }
        service_rule_move(v, rule, RULE_WAITING);
        service_retry_later(v->service);
}

static void on_started(const ReeveError *error, const LaunchResult *result, void *userdata)
{
        _cleanup_(start_op_freep) StartOp *x = ASSERT_PTR(userdata);

        CRASH_POINT("reeved", "check-started");
        ServiceVerification *v = rule_op_find(&x->op);
        if (!v || verification_state(v->machine, x->op.rule) != RULE_STARTING)
                return;
        Task *t = v->task;
        bool refused = error && error->code != REEVE_ERROR_EXEC_FAILED &&
                       error->code != REEVE_ERROR_UNAVAILABLE && error->code != REEVE_ERROR_ALREADY_EXISTS;

        if (refused)
                service_verify_fail(v, x->op.rule, error->text);
        else {
                service_rule_look(v, x->op.rule); /* it may have ended already */
                if (error && error->code != REEVE_ERROR_EXEC_FAILED)
                        wait_again(v, x->op.rule);
                else if (verification_state(v->machine, x->op.rule) == RULE_STARTING)
                        service_rule_move(v, x->op.rule, RULE_RUNNING);
        }
        service_verify_go_on(t);
}

static usec_t attempt_started(const ServiceVerification *v)
{
        _cleanup_(record_unmapp) const Record *record = NULL;
        char name[TASK_ATTEMPT_NAME_SIZE];

        task_attempt_name(v->task->row.task_id, v->attempt, name);
        if (record_map(record_watch_dir_fd(v->service->records), name, &record) < 0)
                return v->task->row.started_realtime; /* of the first one */
        return record->started_realtime_usec;
}

/* Asks the launcher; takes `x`. A negative errno: it was not asked. */
static int ask(ServiceVerification *v, StartOp *x, ReeveError *reterr)
{
        _cleanup_(start_op_freep) StartOp *mine = x;
        const ServiceRule *r = v->rules + x->op.rule;
        usec_t timeout = r->rule.timeout_usec ?: VERIFY_TIMEOUT_DEFAULT_USEC;
        char started[64], status[64];

        _cleanup_(strv_freep) char **argv = verify_rule_argv(&r->rule, attempt_started(v));
        if (!argv)
                return reeve_error_errno(reterr, ENOMEM, NULL, "cannot start a check");
        snprintf(started, sizeof(started), "REEVE_STARTED_AT=%llu", (unsigned long long)attempt_started(v));
        snprintf(status, sizeof(status), "REEVE_EXIT_STATUS=%d", v->task->row.exit_status);
        char *const environment[] = { started, status, NULL };
        const TaskPolicy *p = v->task->policy;
        const ProgramRequest q = {
                /* Under the limits of the task: a check is no way around them. */
                .launch = { .spec_fd = v->spec_fd,
                            .ticket = v->ticket,
                            .attempt = v->attempt,
                            .backend = "",
                            .subsystem = "",
                            .limits = p ? p->limits : NULL,
                            .n_limits = p ? p->n_limits : 0,
                            .deadline_boottime = usec_add(clock_boottime(v->service->clock), timeout),
                            .grace_usec = GRACE_USEC,
                            .output_cap_bytes = OUTPUT_CAP_BYTES,
                            .priority = (unsigned)v->task->row.priority,
                            .stdio_fds = &x->stdin_fd,
                            .n_stdio_fds = x->stdin_fd >= 0,
                            .environment = environment },
                .name = r->record,
                .authored = r->rule.authored,
                .argv = argv,
        };
        int k = launcher_client_program(v->service->launcher, &q, on_started, x, reterr);
        if (k >= 0)
                TAKE_PTR(mine); /* on_started() has it */
        return k;
}

static int open_output(void *userdata)
{
        StartOp *x = ASSERT_PTR(userdata);

        x->stdin_fd = open(x->path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
        return x->stdin_fd < 0 ? -errno : 0;
}

static void on_output_open(int result, void *userdata)
{
        _cleanup_(start_op_freep) StartOp *x = ASSERT_PTR(userdata);
        ReeveError e = REEVE_ERROR_NULL;

        ServiceVerification *v = rule_op_find(&x->op);
        if (!v || verification_state(v->machine, x->op.rule) != RULE_STARTING)
                return;
        Task *t = v->task;
        size_t rule = x->op.rule;
        if (result < 0)
                service_verify_fail(v, rule,
                                    result == -ENOENT ? "its output was not captured"
                                                      : "its output cannot be read");
        else if (ask(v, TAKE_PTR(x), &e) < 0)
                wait_again(v, rule);
        service_verify_go_on(t);
}

/* What the program reads is the task's output; takes `x`. */
static int start_with_output(ServiceVerification *v, StartOp *x)
{
        char directory[PATH_MAX], name[TASK_ATTEMPT_NAME_SIZE];

        instance_path(&v->service->instance, INSTANCE_OUTPUT, directory, sizeof(directory));
        task_attempt_name(v->task->row.task_id, v->attempt, name);
        snprintf(x->path, sizeof(x->path), "%s/%s", directory, name);
        int r = store_work(v->service->store, open_output, on_output_open, x);
        if (r < 0)
                start_op_free(x);
        return r;
}

bool service_rule_start(ServiceVerification *v, size_t rule)
{
        ReeveError e = REEVE_ERROR_NULL;

        assert(v);

        if (v->spec_fd < 0) {
                service_verify_fail(v, rule, "there is no specification in whose name it could run");
                return true;
        }
        if (!launcher_client_is_connected(v->service->launcher))
                return false;
        StartOp *x = NEW0(StartOp, 1);
        if (!x) {
                service_retry_later(v->service);
                return false;
        }
        rule_op_init(&x->op, v, rule);
        x->stdin_fd = -EBADF;
        service_rule_move(v, rule, RULE_STARTING);
        int r = v->rules[rule].rule.kind == VERIFY_OUTPUT ? start_with_output(v, x) : ask(v, x, &e);
        if (r >= 0)
                return true;
        wait_again(v, rule);
        return false;
}
