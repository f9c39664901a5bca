/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Hooks: root's programs that a policy names for a step of a ladder. Each is a task of its own, "<task>-step<n>" of subsystem
 * reeve-hooks, so that it delays nobody, has an account, shows in lists, and goes on whatever dies meanwhile.
 *
 * It goes the way of every task (run.c, finish.c), with these differences:
 *
 *     there is no author: no specification, no ticket; the launcher is asked for a Hook instead of a Launch
 *     an attempt may take as long as `hooks.timeout` of its parent's policy says, a minute if it says nothing; the keeper enforces it
 *     an attempt that did not succeed is followed by another one, up to three, each with a pause before it:
 *
 *         pending -> active -> completed
 *            ^          |
 *            +- pause --+-> failed: the last one, or one that could not be executed
 *
 *     what it said goes to the journal when it has ended
 *
 * Who asked for it is told of the end, unless this daemon is another one by then. */

#include <errno.h>
#include <limits.h>
#include <pwd.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>

#include "basic/crash.h"
#include "basic/fd.h"
#include "basic/log.h"
#include "basic/strings.h"
#include "daemon/hooks/hook.h"
#include "daemon/service/service-internal.h"

#define HOOK_USER        "reeve-hook"
#define OUTPUT_CAP_BYTES 65536
#define SAID_MAX         8192
#define PAUSE_ACCURACY   (10 * USEC_PER_MSEC)

typedef struct ServiceHook {
        Service *service;
        HookFacts facts;
        hook_done_t callback; /* NULL: nobody is told */
        void *userdata;
        sd_event_source *pause; /* between two attempts */
        char task_id[TASK_ID_MAX + 1];
} ServiceHook;

bool service_is_hook(const TaskRow *row)
{
        assert(row);
        /* No request passes with such an id; that it is root's makes it certain. */
        return task_id_ends_in(row->task_id, "step") && row->owner_uid == 0 &&
               streq(row->subsystem, HOOK_SUBSYSTEM);
}

static ServiceHook *hook_free(ServiceHook *h)
{
        if (!h)
                return NULL;
        hook_facts_done(&h->facts);
        sd_event_source_disable_unref(h->pause);
        free(h);
        return NULL;
}
DEFINE_CLEANUP_FUNC(ServiceHook *, hook_free)

static ServiceHook *hook_new(Service *s, const TaskRow *row, ReeveError *reterr)
{
        _cleanup_(hook_freep) ServiceHook *h = NEW0(ServiceHook, 1);
        if (!h) {
                reeve_error_errno(reterr, ENOMEM, NULL, "cannot run a hook");
                return NULL;
        }
        h->service = s;
        strcpy(h->task_id, row->task_id);
        return hook_facts_init(&h->facts, row, reterr) < 0 ? NULL : TAKE_PTR(h);
}

void service_release_hook(Task *t)
{
        assert(t);
        t->hook = hook_free(t->hook);
}

/* ---- beginning ---- */

static void tell(Task *t, const ReeveError *error)
{
        ServiceHook *h = t->hook;
        hook_done_t callback = h->callback;

        h->callback = NULL;
        if (callback)
                callback(error, h->userdata);
}

static void on_inserted(const ReeveError *error, int64_t last_event, void *userdata)
{
        _cleanup_(task_op_freep) TaskOp *op = ASSERT_PTR(userdata);
        Service *s = op->service;

        Task *t = registry_get(s->registry, op->task_id);
        assert(t);
        t->doing &= ~TASK_DOING_INSERT;
        if (error) {
                log_full_reeve_error(LOG_ERR, error, op->task_id);
                tell(t, error);
                service_answer_waits(s, t, error);
                registry_remove(s->registry, t);
                return;
        }
        CRASH_POINT("reeved", "hook-inserted");
        service_publish(s, last_event, op, &t->row);
        if (t->row.cancel_requested)
                service_carry_out_cancel(s, t);
        else
                service_launch(s, t);
}

static int write_insert(Service *s, Task *t)
{
        _cleanup_(task_op_freep) TaskOp *op = task_op_new(s, t);
        if (!op)
                return -ENOMEM;
        _cleanup_(store_write_freep) StoreWrite *w =
                        store_write_new(s->store, STORE_WRITE_REFUSABLE, on_inserted, op);
        if (!w || store_write_insert_task(w, &t->row) < 0 ||
            service_write_event(w, op, t, "task.created", t->row.created_realtime) < 0)
                return -ENOMEM;
        int r = store_write_submit(TAKE_PTR(w));
        if (r < 0)
                return r;
        t->doing |= TASK_DOING_INSERT;
        op = NULL; /* on_inserted() has it */
        return 0;
}

/* Asked once: the answer may come from a directory server. */
static int find_user(Service *s, ReeveError *reterr)
{
        if (s->hook_uid != 0)
                return 0;
        const struct passwd *pw = getpwnam(HOOK_USER);
        if (!pw || pw->pw_uid == 0)
                return reeve_error_set(reterr, REEVE_ERROR_UNAVAILABLE, NULL, "there is no user " HOOK_USER);
        s->hook_uid = pw->pw_uid;
        s->hook_gid = pw->pw_gid;
        return 0;
}

static int add(Service *s, const HookRequest *request, Task **ret, ReeveError *reterr)
{
        char task_id[TASK_ID_MAX + 1];
        TaskRow row;

        int r = find_user(s, reterr);
        if (r < 0)
                return r;
        service_program_name(request->task_id, "step", (size_t)request->step + 1, task_id);
        if (hook_row_init(&row, task_id, s->hook_uid, s->hook_gid, request) < 0)
                return reeve_error_errno(reterr, ENOMEM, NULL, "cannot run a hook");
        _cleanup_(hook_freep) ServiceHook *h = hook_new(s, &row, reterr);
        r = h ? registry_add(s->registry, &row, ret, reterr)
              : reeve_error_code_to_errno(REEVE_ERROR_UNAVAILABLE);
        task_row_done(&row); /* empty if it was taken */
        if (r >= 0)
                (*ret)->hook = TAKE_PTR(h);
        return r;
}

int service_run_hook(const HookRequest *request, hook_done_t callback, void *hook_userdata, void *userdata,
                     ReeveError *reterr)
{
        Service *s = ASSERT_PTR(userdata);
        Task *t;

        assert(request && request->path && request->task_id && request->event);
        assert(callback);

        int r = add(s, request, &t, reterr);
        if (r < 0)
                return r;
        r = write_insert(s, t);
        if (r < 0) {
                registry_remove(s->registry, t);
                return reeve_error_errno(reterr, r, NULL, "cannot store a hook");
        }
        t->hook->callback = callback;
        t->hook->userdata = hook_userdata;
        return 0;
}

/* ---- an attempt ---- */

/* What it is told, as a file: it need not be read, and nobody waits for that. */
static int make_input(const char *event)
{
        _cleanup_fd_ int fd = memfd_create("reeve-event", MFD_CLOEXEC | MFD_ALLOW_SEALING);
        if (fd < 0)
                return -errno;
        int r = fd_write_full(fd, event, strlen(event));
        if (r < 0)
                return r;
        if (lseek(fd, 0, SEEK_SET) < 0 ||
            fcntl(fd, F_ADD_SEALS, F_SEAL_WRITE | F_SEAL_GROW | F_SEAL_SHRINK | F_SEAL_SEAL) < 0)
                return -errno;
        return TAKE_FD(fd);
}

int service_launch_hook(Service *s, Task *t, launcher_launched_t callback, void *userdata,
                        ReeveError *reterr)
{
        assert(s);
        assert(t && t->hook);

        const HookFacts *f = &t->hook->facts;
        unsigned attempt = t->row.attempt + 1;
        _cleanup_fd_ int input = make_input(f->event);
        _cleanup_(strv_freep) char **environment = hook_environment(f, attempt);
        if (input < 0 || !environment) {
                service_retry_later(s);
                return reeve_error_errno(reterr, input < 0 ? input : ENOMEM, NULL, "cannot run a hook");
        }
        char *const argv[] = { f->path, NULL };
        const ProgramRequest q = {
                .hook = true,
                .launch = { .spec_fd = -EBADF,
                            .attempt = attempt,
                            .backend = "",
                            .subsystem = "",
                            .deadline_boottime = usec_add(clock_boottime(s->clock), f->timeout_usec),
                            .grace_usec = s->settings.grace_usec,
                            .output_cap_bytes = OUTPUT_CAP_BYTES,
                            .priority = (unsigned)t->row.priority,
                            .stdio_fds = &input,
                            .n_stdio_fds = 1,
                            .environment = environment },
                .name = t->row.task_id,
                .argv = argv,
        };
        return launcher_client_program(s->launcher, &q, callback, userdata, reterr);
}

/* ---- and another one ---- */

bool service_hook_pauses(const Task *t)
{
        assert(t);
        return t->hook && t->hook->pause;
}

static int on_pause_over(sd_event_source *source, uint64_t usec, void *userdata)
{
        ServiceHook *h = ASSERT_PTR(userdata);
        Service *s = h->service;

        h->pause = sd_event_source_disable_unref(h->pause);
        Task *t = registry_get(s->registry, h->task_id);
        assert(t);
        if (t->row.status == TASK_PENDING && !t->doing && launcher_client_is_connected(s->launcher))
                service_launch(s, t);
        return 0;
}

static void pause_hook(Service *s, Task *t)
{
        int r = sd_event_add_time_relative(s->event, &t->hook->pause, CLOCK_BOOTTIME,
                                           hook_backoff(t->row.attempt), PAUSE_ACCURACY, on_pause_over,
                                           t->hook);
        if (r < 0) {
                log_warning_errno(r, "%s: its next attempt does not wait", t->row.task_id);
                service_retry_later(s);
        }
}

static void on_attempt_committed(const ReeveError *error, int64_t last_event, void *userdata)
{
        _cleanup_(task_op_freep) TaskOp *op = ASSERT_PTR(userdata);
        Service *s = op->service;

        if (error) {
                log_full_reeve_error(LOG_ERR, error, op->task_id);
                return;
        }
        CRASH_POINT("reeved", "hook-attempt");
        launcher_client_forget(s->launcher, op->task_id, op->attempt);
        Task *t = registry_get(s->registry, op->task_id);
        if (t)
                service_publish(s, last_event, op, &t->row);
}

static int write_attempt(Service *s, Task *t, const AttemptRow *a)
{
        _cleanup_(task_op_freep) TaskOp *op = task_op_new(s, t);
        if (!op)
                return -ENOMEM;
        op->attempt = a->attempt;
        _cleanup_(store_write_freep) StoreWrite *w = store_write_new(s->store, 0, on_attempt_committed, op);
        if (!w || store_write_update_task(w, &t->row) < 0 || store_write_attempt(w, a) < 0 ||
            service_write_event(w, op, t, "task.retry", a->ended_realtime) < 0)
                return -ENOMEM;
        int r = store_write_submit(TAKE_PTR(w));
        if (r >= 0)
                op = NULL; /* on_attempt_committed() has it */
        return r;
}

bool service_hook_tries_again(Service *s, Task *t, const AttemptRow *a)
{
        assert(s);
        assert(t);
        assert(a);

        bool succeeded = a->exit_kind == RECORD_EXIT_EXITED && a->exit_value == 0;
        if (!t->hook || succeeded || a->exit_kind == RECORD_EXIT_EXEC_FAILED || t->row.cancel_requested ||
            a->attempt >= t->row.attempts)
                return false;
        task_next_attempt(t, a);
        t->doing &= ~TASK_RECORD_ENDED;
        service_unsample(s, t);
        int r = write_attempt(s, t, a);
        if (r < 0)
                log_error_errno(r, "%s: cannot store an attempt", t->row.task_id);
        pause_hook(s, t);
        return true;
}

/* ---- the end ---- */

typedef struct SaidOp {
        Service *service;
        TaskRow *row; /* a copy: the task is gone by then */
        char path[PATH_MAX + TASK_ATTEMPT_NAME_SIZE + 1];
        char said[SAID_MAX + 1];
} SaidOp;

static int read_said(void *userdata)
{
        SaidOp *op = ASSERT_PTR(userdata);

        _cleanup_fd_ int fd = open(op->path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
        if (fd < 0)
                return errno == ENOENT ? 0 : -errno;
        ssize_t n = fd_read_full(fd, op->said, SAID_MAX);
        if (n < 0)
                return (int)n;
        for (ssize_t i = 0; i < n; i++)
                if (op->said[i] == '\0')
                        op->said[i] = ' ';
        utf8_repair(op->said);
        return 0;
}

static void on_said(int result, void *userdata)
{
        _cleanup_free_ SaidOp *op = ASSERT_PTR(userdata);

        if (result < 0)
                log_warning_errno(result, "%s: cannot read what it said", op->row->task_id);
        else if (op->said[0])
                op->service->reports.hook_said(op->row, op->said, op->service->reports.userdata);
        task_row_free(op->row);
}

static void report_what_it_said(Service *s, const Task *t)
{
        char directory[PATH_MAX], name[TASK_ATTEMPT_NAME_SIZE];

        if (!s->reports.hook_said || t->row.attempt == 0)
                return;
        _cleanup_free_ SaidOp *op = NEW0(SaidOp, 1);
        if (!op || !(op->row = task_row_copy(&t->row)))
                return;
        op->service = s;
        instance_path(&s->instance, INSTANCE_OUTPUT, directory, sizeof(directory));
        task_attempt_name(t->row.task_id, t->row.attempt, name);
        snprintf(op->path, sizeof(op->path), "%s/%s", directory, name);
        if (store_work(s->store, read_said, on_said, op) < 0)
                task_row_free(op->row);
        else
                op = NULL; /* on_said() has it */
}

void service_hook_ended(Service *s, Task *t)
{
        ReeveError e = REEVE_ERROR_NULL;

        assert(s);
        assert(t);

        if (!t->hook)
                return;
        report_what_it_said(s, t);
        if (t->row.status == TASK_COMPLETED) {
                tell(t, NULL);
                return;
        }
        reeve_error_set(&e, REEVE_ERROR_UNAVAILABLE, NULL, "hook %s: %s", t->row.task_id,
                        t->row.message ?: task_state_name(t->row.status));
        tell(t, &e);
}

/* ---- after a restart ---- */

void service_recover_hook(Service *s, Task *t)
{
        ReeveError e = REEVE_ERROR_NULL;

        assert(s);
        assert(t);

        if (!service_is_hook(&t->row))
                return;
        t->hook = hook_new(s, &t->row, &e);
        if (!t->hook)
                log_full_reeve_error(LOG_ERR, &e, t->row.task_id);
        else if (t->row.status == TASK_PENDING && t->row.attempt > 0)
                pause_hook(s, t);
}
