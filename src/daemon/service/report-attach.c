/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Attach to a task that is there: a process of its owner's joins what he reports.
 *
 *     the specification names task and process; the task must be a reported one of its author's, and active
 *     Authorize: the launcher says whether that process may be moved          (may be held while the launcher is away)
 *     Adopt: it is moved                                                     ATTACHED_ASKED
 *     what the record says is committed, and answered (attachment.c)         ATTACHED_RUNS
 *
 * Nothing is stored before the process was moved: the task exists, and whether the process joined it is in the record. A launcher
 * that went away in between is asked again from the beginning, when its record does not tell. One process joins a task, with
 * those below it if the specification says so; the same request again is answered with the task.
 *
 * Who may do it: the process must run as the task's owner, root's own requests included. Otherwise the owner of a task
 * could signal a process that is not his. Which processes may be moved at all is the launcher's to decide; it does not
 * know this from an Attach that makes a task. */

#include <errno.h>
#include <string.h>

#include "basic/crash.h"
#include "basic/fd.h"
#include "common/spec/spec.h"
#include "daemon/service/report-internal.h"

typedef struct AttachOp {
        Service *service;
        ServiceHeld held;
        Caller caller; /* without groups: they are borrowed */
        char task_id[TASK_ID_MAX + 1];
        pid_t pid;
        uint64_t start;
        int spec_fd;
        service_task_t callback;
        void *userdata;
} AttachOp;

static AttachOp *attach_op_free(AttachOp *op)
{
        if (op)
                fd_close(op->spec_fd);
        free(op);
        return NULL;
}
DEFINE_CLEANUP_FUNC(AttachOp *, attach_op_free)

static void refuse(const AttachOp *op, const ReeveError *error)
{
        op->callback(error, NULL, op->userdata);
}

static void on_not_found(const ReeveError *error, void *userdata)
{
        refuse(ASSERT_PTR(userdata), error);
        attach_op_free(userdata);
}

/* ---- may it join? ---- */

static bool is_it(const AttachOp *op, const TaskReport *r)
{
        return r->attached_pid == op->pid && r->attached_start == op->start;
}

static int check_task(const AttachOp *op, const Task *t, ReeveError *e)
{
        if (!task_is_reported(&t->row))
                return reeve_error_set(e, REEVE_ERROR_INVALID_ARGUMENT, "task_id",
                                       "task '%s' is not reported: it has processes of its own",
                                       op->task_id);
        if (t->row.status == TASK_PENDING)
                return reeve_error_set(e, REEVE_ERROR_UNAVAILABLE, "task_id", "task '%s' has not begun",
                                       op->task_id);
        if (t->row.status != TASK_ACTIVE || t->row.cancel_requested)
                return reeve_error_set(e, REEVE_ERROR_ALREADY_FINISHED, "task_id", "task '%s' has ended",
                                       op->task_id);
        if (!t->report || t->report->attached == ATTACHED_ASKED)
                return reeve_error_set(e, REEVE_ERROR_UNAVAILABLE, "task_id",
                                       "a process is being attached to task '%s'", op->task_id);
        if (t->report->attached != ATTACHED_NONE && !is_it(op, t->report))
                return reeve_error_set(e, REEVE_ERROR_ALREADY_EXISTS, "task_id",
                                       "a process was attached to task '%s'", op->task_id);
        return 0;
}

/* The active task, if the process may join it; otherwise the answer was given. `op` is freed then. */
static Task *find(AttachOp *op)
{
        ReeveError e = REEVE_ERROR_NULL;

        Task *t = service_find(op->service, &op->caller, op->task_id, on_not_found, op);
        if (!t)
                return NULL;
        if (check_task(op, t, &e) < 0)
                refuse(op, &e);
        else if (t->report->attached != ATTACHED_NONE)
                op->callback(NULL, &t->row, op->userdata);
        else
                return t;
        attach_op_free(op);
        return NULL;
}

/* The record may tell of another process, whose request was cut off. */
static void on_joined(const ReeveError *error, const TaskRow *row, void *userdata)
{
        _cleanup_(attach_op_freep) AttachOp *op = ASSERT_PTR(userdata);
        ReeveError e = REEVE_ERROR_NULL;

        const Task *t = error ? NULL : registry_get(op->service->registry, op->task_id);
        if (t && t->report && !is_it(op, t->report)) {
                reeve_error_set(&e, REEVE_ERROR_ALREADY_EXISTS, "task_id",
                                "a process was attached to task '%s'", op->task_id);
                error = &e;
        }
        op->callback(error, error ? NULL : row, op->userdata);
}

/* Has it joined, though nobody said so? Then the answer is given, or on its way, and `op` is gone. */
static bool has_joined(AttachOp *op)
{
        Task *t = registry_get(op->service->registry, op->task_id);

        if (!t || !t->report)
                return false;
        if (t->report->attached == ATTACHED_NONE)
                return service_attachment_take(op->service, t, on_joined, op) > 0;
        if (t->report->attached == ATTACHED_ASKED || !is_it(op, t->report))
                return false;
        op->callback(NULL, &t->row, op->userdata);
        attach_op_free(op);
        return true;
}

/* ---- moving it ---- */

/* Nothing more is known from the answer than that the record may know more. */
static bool is_uncertain(const ReeveError *error)
{
        return error->code == REEVE_ERROR_UNAVAILABLE || error->code == REEVE_ERROR_ALREADY_EXISTS;
}

static void on_moved(const ReeveError *error, const LaunchResult *result, void *userdata)
{
        AttachOp *op = ASSERT_PTR(userdata);
        Service *s = op->service;
        ReeveError e = REEVE_ERROR_NULL;

        CRASH_POINT("reeved", "attached");
        Task *t = registry_get(s->registry, op->task_id);
        if (t && t->report && t->report->attached == ATTACHED_ASKED)
                t->report->attached = ATTACHED_NONE;
        if (error && error->code == REEVE_ERROR_EXEC_FAILED) /* it ended before it could be moved */
                launcher_client_forget(s->launcher, op->task_id, ATTACHED_ATTEMPT);
        if ((!error || is_uncertain(error)) && has_joined(op))
                return;
        if (error && !launcher_client_is_connected(s->launcher)) {
                service_hold(s, &op->held);
                return;
        }
        if (!error) {
                service_attachment_release(s, op->task_id);
                reeve_error_set(&e, REEVE_ERROR_ALREADY_FINISHED, "task_id", "task '%s' has ended meanwhile",
                                op->task_id);
                error = &e;
        }
        refuse(op, error);
        attach_op_free(op);
}

static int launch(AttachOp *op, Task *t, const uint8_t *ticket, ReeveError *e)
{
        Service *s = op->service;
        const LaunchRequest q = {
                .spec_fd = op->spec_fd,
                .ticket = ticket,
                .attempt = ATTACHED_ATTEMPT,
                .backend = "",
                .subsystem = t->row.subsystem,
                .deadline_boottime = service_sla_backstop(s, t),
                .grace_usec = s->settings.grace_usec,
                .priority = (unsigned)t->row.priority,
                .limits = t->policy ? t->policy->limits : NULL,
                .n_limits = t->policy ? t->policy->n_limits : 0,
                .attach = true,
        };

        return launcher_client_launch(s->launcher, &q, on_moved, op, e);
}

static void on_authorized(const ReeveError *error, const uint8_t ticket[LAUNCHER_TICKET_SIZE],
                          void *userdata)
{
        AttachOp *op = ASSERT_PTR(userdata);
        Service *s = op->service;
        ReeveError e = REEVE_ERROR_NULL;
        Task *t = NULL;

        if (error && launcher_client_is_connected(s->launcher)) {
                /* Of a launcher that died after it had moved the process, the next one says that it belongs to a task. */
                if (!has_joined(op)) {
                        refuse(op, error);
                        attach_op_free(op);
                }
                return;
        }
        if (!error && !(t = find(op)))
                return;
        if (error || launch(op, t, ticket, &e) < 0)
                service_hold(s, &op->held); /* the connection broke: nothing was decided */
        else
                t->report->attached = ATTACHED_ASKED;
}

static void authorize(ServiceHeld *h, const ReeveError *error)
{
        AttachOp *op = container_of(h, AttachOp, held);
        LauncherClient *launcher = op->service->launcher;
        ReeveError e = REEVE_ERROR_NULL;

        if (!error && launcher_client_authorize(launcher, op->spec_fd, on_authorized, op, &e) >= 0)
                return; /* on_authorized() has it */
        if (!error && !launcher_client_is_connected(launcher)) {
                service_hold(op->service, h); /* it broke as we wrote */
                return;
        }
        refuse(op, error ?: &e);
        attach_op_free(op);
}

static void drop(ServiceHeld *h)
{
        attach_op_free(container_of(h, AttachOp, held));
}

/* ---- the request ---- */

static int check_spec(const AttachOp *op, const Spec *spec, uid_t author, ReeveError *e)
{
        if (spec->attach.pid <= 0)
                return reeve_error_set(e, REEVE_ERROR_INVALID_ARGUMENT, "spec",
                                       "the specification names no running process, but a command");
        if (spec->n_verify > 0)
                return reeve_error_set(e, REEVE_ERROR_INVALID_ARGUMENT, "spec",
                                       "what is verified of a task that is there does not change");
        if (author != op->caller.uid)
                return reeve_error_set(e, REEVE_ERROR_PERMISSION_DENIED, "spec",
                                       "the specification was written by uid %u, the call comes from uid %u",
                                       (unsigned)author, (unsigned)op->caller.uid);
        return 0;
}

static int read_spec(AttachOp *op, uid_t *ret_uid, ReeveError *e)
{
        _cleanup_(spec_done) Spec spec = { 0 };
        _cleanup_free_ char *text = NULL;
        uid_t author;
        size_t size;

        int r = spec_open(op->spec_fd, &author, &text, &size, e);
        if (r >= 0)
                r = spec_parse(&spec, text, size, e);
        if (r >= 0)
                r = check_spec(op, &spec, author, e);
        if (r < 0)
                return r;
        strcpy(op->task_id, spec.task_id);
        op->pid = spec.attach.pid;
        op->start = spec.attach.start;
        *ret_uid = spec.uid;
        return 0;
}

static int check_owner(const AttachOp *op, uid_t uid, ReeveError *e)
{
        const Task *t = registry_get(op->service->registry, op->task_id);

        if (!t || !caller_owns(&op->caller, &t->row) || t->row.owner_uid == uid)
                return 0;
        return reeve_error_set(e, REEVE_ERROR_PERMISSION_DENIED, "pid",
                               "the process is not of the user whose task it is to join");
}

void service_attach_to(Service *s, const Caller *caller, int spec_fd, service_task_t callback,
                       void *userdata)
{
        ReeveError e = REEVE_ERROR_NULL;
        uid_t uid;

        assert(s);
        assert(caller);
        assert(callback);

        _cleanup_(attach_op_freep) AttachOp *op = NEW0(AttachOp, 1);
        if (!op) {
                fd_close(spec_fd);
                reeve_error_errno(&e, ENOMEM, NULL, "cannot take another request");
                callback(&e, NULL, userdata);
                return;
        }
        *op = (AttachOp){ .service = s,
                          .caller = { .uid = caller->uid, .admin = caller->admin },
                          .spec_fd = spec_fd,
                          .held = { .go = authorize, .drop = drop },
                          .callback = callback,
                          .userdata = userdata };
        if (read_spec(op, &uid, &e) < 0 || check_owner(op, uid, &e) < 0) {
                refuse(op, &e);
                return;
        }
        AttachOp *mine = TAKE_PTR(op);
        if (find(mine))
                service_hold(s, &mine->held);
}
