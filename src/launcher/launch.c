/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Authorize and Launch.
 *
 * The order of acts is what makes an attempt start at most once, and what makes it provable afterwards whether it did:
 *
 *     ticket checked, pair not spent
 *     record created: it holds name and lock           a crash from here on leaves `claimed` and a free lock,
 *     record `claimed`                                 which the next launcher undoes
 *     pair spent
 *     leaf made and limited, output file made
 *     keeper forked, which clones the child            whose first act is `started`
 *
 * The pair is looked at before the record is created, so a claimed record always means that the pair was unspent
 * when it was claimed: undoing may take it back. One launcher serves an instance and has one thread, so nothing comes
 * in between.
 *
 * Every mapping and descriptor of the record is given up right after the fork: another keeper that inherited one
 * would hold the lock of a stranger. */

#include "launcher/launch.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>

#include "basic/crash.h"
#include "basic/fd.h"
#include "basic/log.h"
#include "basic/strings.h"
#include "common/clock.h"
#include "launcher/attach-rules.h"
#include "launcher/authorise.h"
#include "launcher/backend-scope.h"
#include "launcher/keeper.h"
#include "launcher/output.h"
#include "launcher/spent.h"

#define GRACE_MAX_USEC      USEC_PER_HOUR
#define DEFAULT_SEARCH_PATH "/usr/local/bin:/usr/bin:/bin"

static void launch_done(Launch *x)
{
        free(x->text);
        free(x->env);
        spec_done(&x->spec);
        if (x->record)
                record_unmap(x->record);
        fd_close(x->child.program_fd);
        fd_close(x->record_fd);
        fd_close(x->leaf_fd);
        fd_close(x->output_fd);
        fd_close(x->report_read_fd);
        fd_close(x->report_write_fd);
        fd_close(x->task_fd);
        fd_close(x->go_read_fd);
        fd_close(x->go_write_fd);
}

/* Tens of KB, of which each fork would copy what is on the stack; one request at a time uses it. */
static LimitSettings scratch;

/* What a delegated scope has is what systemd's tree has, and so has the pool. */
static uint32_t controllers_of(const Launcher *l, RecordBackend backend)
{
        return backend == RECORD_BACKEND_PROCESS ? 0 : l->pool.controllers;
}

/* What this host cannot enforce is refused before there is a task; Launch, where more limits may come from reeved, looks again. */
static int check_limits(const Launcher *l, const Spec *s, uid_t author, ReeveError *reterr)
{
        uint32_t controllers = controllers_of(l, l->backend);

        scratch.n = 0;
        int r = limits_resolve(&scratch, s->limits, s->n_limits, controllers, reterr);
        if (r >= 0 && spec_wants_scope(s))
                r = limits_check_scope(&scratch, s, author, controllers, reterr);
        return r;
}

int method_authorize(sd_bus_message *m, void *userdata, sd_bus_error *reterr)
{
        Launcher *l = ASSERT_PTR(userdata);
        _cleanup_(sd_bus_message_unrefp) sd_bus_message *reply = NULL;
        _cleanup_(spec_done) Spec spec = { 0 };
        _cleanup_free_ char *text = NULL;
        uint8_t ticket[LAUNCHER_TICKET_SIZE];
        ReeveError e = REEVE_ERROR_NULL;
        const gid_t *groups;
        size_t size, n_groups;
        uid_t author;
        int fd;

        _cleanup_fd_ int task_fd = -EBADF;
        int r = sd_bus_message_read(m, "h", &fd);
        if (r < 0)
                return r;
        r = spec_open(fd, &author, &text, &size, &e);
        if (r >= 0)
                r = spec_parse(&spec, text, size, &e);
        if (r >= 0 && task_id_is_reserved(spec.task_id))
                r = reeve_error_set(&e, REEVE_ERROR_INVALID_ARGUMENT, "task",
                                    "ids that end in -check or -step and a number are those of checks and "
                                    "hooks");
        if (r >= 0)
                r = authorise(l, &spec, author, &groups, &n_groups, &e);
        if (r >= 0 &&
            spec.attach.pid > 0) /* looked at again when it is done, but then there is a row to be undone */
                r = attach_check(l, &spec, author, &task_fd, &e);
        if (r >= 0)
                r = check_limits(l, &spec, author, &e);
        if (r >= 0)
                r = ticket_make(l->key, author, spec.attempts, clock_realtime(clock_system()), text, size,
                                ticket, &e);
        if (r < 0)
                return server_reply_error(m, &e);

        r = sd_bus_message_new_method_return(m, &reply);
        if (r >= 0)
                r = sd_bus_message_append_array(reply, 'y', ticket, sizeof(ticket));
        return r < 0 ? r : sd_bus_message_send(reply);
}

static int choose_backend(Launch *x, ReeveError *reterr)
{
        const char *wanted = x->request.backend;

        x->backend = x->l->backend;
        if (spec_wants_scope(&x->spec) && !streq(wanted, record_backend_name(RECORD_BACKEND_SCOPE)))
                return reeve_error_set(reterr, REEVE_ERROR_INVALID_ARGUMENT, "backend",
                                       "a slice and unit properties want backend scope");
        if (!wanted[0] || streq(wanted, record_backend_name(x->backend)))
                return 0;
        if (streq(wanted, record_backend_name(RECORD_BACKEND_SCOPE))) {
                x->backend = RECORD_BACKEND_SCOPE;
                return task_name_is_valid(x->request.subsystem)
                                       ? 0
                                       : reeve_error_set(reterr, REEVE_ERROR_INVALID_ARGUMENT, "subsystem",
                                                         "backend scope needs one, for the name of the "
                                                         "slice");
        }
        /* Without a cgroup a task would be outside of its user's sub-tree: where there are cgroups, nobody gets that. */
        return reeve_error_set(reterr, REEVE_ERROR_INVALID_ARGUMENT, "backend",
                               "this launcher has backend %s only", record_backend_name(x->backend));
}

int launch_check_ticket(Launch *x, usec_t at_realtime, ReeveError *reterr)
{
        uid_t carrier; /* the memfd may be a new one that reeved made of the stored bytes */
        size_t size;

        int r = spec_open(x->request.spec_fd, &carrier, &x->text, &size, reterr);
        if (r >= 0)
                r = ticket_check(x->l->key, x->request.ticket, at_realtime, x->text, size, &x->ticket,
                                 reterr);
        if (r >= 0)
                r = spec_parse(&x->spec, x->text, size, reterr);
        if (r < 0)
                return r;
        if (x->request.attempt < 1 || x->request.attempt > x->ticket.attempts)
                return reeve_error_set(reterr, REEVE_ERROR_PERMISSION_DENIED, "attempt",
                                       "the ticket is good for %u attempts", x->ticket.attempts);
        return 0;
}

static int connect_stdio(Launch *x, ReeveError *reterr)
{
        size_t next = 0;

        for (size_t i = 0; i < SPEC_STDIO_COUNT; i++) {
                const SpecStdio *s = x->spec.stdio + i;

                x->child.stdio[i] = x->l->null_fd; /* the output file or the journal takes its place later */
                if (s->kind != SPEC_STDIO_FD)
                        continue;
                if (next == x->request.n_fds || spec_stdio_matches(s, x->request.fds[next]) <= 0)
                        return reeve_error_set(reterr, REEVE_ERROR_PERMISSION_DENIED, "stdio",
                                               "descriptor %zu is not the one that the author named", i);
                x->child.stdio[i] = x->request.fds[next++];
        }
        if (next != x->request.n_fds)
                return reeve_error_set(reterr, REEVE_ERROR_INVALID_ARGUMENT, "stdio",
                                       "there are more descriptors than the author named");
        return 0;
}

static bool is_ours(const Launch *x, size_t n_ours, const char *entry)
{
        size_t n = strcspn(entry, "=") + 1;

        for (size_t i = 0; i < n_ours; i++)
                if (strncmp(x->env[i], entry, n) == 0)
                        return true;
        return false;
}

int launch_make_environment(Launch *x, const char *task, char *const *authored, ReeveError *reterr)
{
        size_t n = 0;

        x->env = NEW(const char *,
                     strv_length(authored) + x->request.n_env + 3); /* the two of the task, and NULL */
        if (!x->env)
                return reeve_error_errno(reterr, ENOMEM, NULL, "environment");
        if (task) {
                snprintf(x->env_task, sizeof(x->env_task), "REEVE_TASK_ID=%s", task);
                snprintf(x->env_attempt, sizeof(x->env_attempt), "REEVE_ATTEMPT=%u", x->request.attempt);
                x->env[n++] = x->env_task;
                x->env[n++] = x->env_attempt;
        }
        size_t n_told = n;
        for (size_t i = 0; i < x->request.n_env; i++)
                if (!is_ours(x, n_told, x->request.env[i]))
                        x->env[n++] = x->request.env[i];

        size_t n_ours = n;
        x->child.search_path = DEFAULT_SEARCH_PATH;
        for (; *authored; authored++) {
                const char *path = string_after(*authored, "PATH=");

                if (path)
                        x->child.search_path = path;
                if (!is_ours(x, n_ours, *authored))
                        x->env[n++] = *authored;
        }
        x->env[n] = NULL;
        return 0;
}

int launch_check_rules(Launch *x, ReeveError *reterr)
{
        int r = choose_backend(x, reterr);

        if (r >= 0)
                r = authorise(x->l, &x->spec, x->ticket.uid, &x->child.groups, &x->child.n_groups, reterr);
        if (r < 0)
                return r;

        uint32_t controllers = controllers_of(x->l, x->backend);
        r = limits_resolve(x->limits, x->spec.limits, x->spec.n_limits, controllers, reterr);
        if (r >= 0)
                r = limits_resolve(x->limits, x->request.limits, x->request.n_limits, controllers, reterr);
        if (r >= 0 && x->backend == RECORD_BACKEND_SCOPE)
                r = limits_check_scope(x->limits, &x->spec, x->ticket.uid, controllers, reterr);
        if (r >= 0)
                r = limits_add_priority(x->limits, x->request.priority, controllers, reterr);
        return r;
}

/* What Launch and Adopt have in common. */
static int prepare_both(Launch *x, sd_bus_message *m, bool attach, ReeveError *reterr)
{
        int r = request_read(&x->request, m, REQUEST_TASK, reterr);

        if (r >= 0)
                r = launch_check_ticket(x, clock_realtime(clock_system()), reterr);
        if (r >= 0 && (x->spec.attach.pid > 0) != attach)
                r = reeve_error_set(reterr, REEVE_ERROR_INVALID_ARGUMENT, "attach",
                                    "commands are launched, running processes are adopted");
        if (r >= 0)
                r = launch_check_rules(x, reterr);
        if (r >= 0)
                r = connect_stdio(x, reterr);
        x->spends = true;
        x->id = x->spec.task_id;
        return r;
}

static int prepare_task(Launch *x, sd_bus_message *m, ReeveError *reterr)
{
        int r = prepare_both(x, m, false, reterr);

        x->child.argv = x->spec.argv;
        return r < 0 ? r : launch_make_environment(x, x->spec.task_id, x->spec.env, reterr);
}

static int prepare_attached(Launch *x, sd_bus_message *m, ReeveError *reterr)
{
        int r = prepare_both(x, m, true, reterr);

        if (r >= 0 && x->backend != RECORD_BACKEND_CGROUP)
                return reeve_error_set(reterr, REEVE_ERROR_INVALID_ARGUMENT, "backend",
                                       "a running process is attached in backend cgroup only");
        return r < 0 ? r : attach_check(x->l, &x->spec, x->ticket.uid, &x->task_fd, reterr);
}

static int refuse_replay(const Launch *x, ReeveError *reterr)
{
        return reeve_error_set(reterr, REEVE_ERROR_ALREADY_EXISTS, "attempt",
                               "attempt %u of %s was started before", x->request.attempt, x->id);
}

static int fill_claim(Launch *x, ReeveError *reterr)
{
        Record *r = x->record;
        usec_t grace = MIN(x->spec.grace_usec, x->request.grace_usec);

        r->backend = x->backend;
        r->author_uid = x->ticket.uid;
        r->run_uid = x->spec.uid;
        r->run_gid = x->spec.gid;
        memcpy(r->boot_id, x->l->boot_id, sizeof(r->boot_id));
        memcpy(r->serial, x->ticket.serial, sizeof(r->serial));
        r->claimed_realtime_usec = clock_realtime(clock_system());
        r->claimed_boottime_usec = clock_boottime(clock_system());
        r->grace_usec = grace == USEC_INFINITY ? KEEPER_GRACE_DEFAULT_USEC : MIN(grace, GRACE_MAX_USEC);
        r->output_cap_bytes = x->request.output_cap_bytes;
        atomic_store(&r->deadline_boottime_usec, x->request.deadline_boottime_usec);
        if (x->task_fd >= 0) {
                r->task_pid = x->spec.attach.pid;
                r->task_start = x->spec.attach.start;
                record_set_flag(r,
                                RECORD_FLAG_ATTACHED | (x->spec.attach.children ? RECORD_FLAG_CHILDREN : 0));
        }
        if (x->backend == RECORD_BACKEND_SCOPE)
                return scope_claim(x, r, reterr);
        if (x->backend != RECORD_BACKEND_CGROUP)
                return 0;
        int k = pool_leaf_path(&x->l->pool, x->spec.uid, x->name, r->cgroup, sizeof(r->cgroup));
        return k < 0 ? reeve_error_errno(reterr, k, "task", "cannot claim the attempt") : 0;
}

static int claim(Launch *x, ReeveError *reterr)
{
        Launcher *l = x->l;

        int r = x->spends ? spent_has(l->spent_fd, x->ticket.serial, x->request.attempt) : 0;
        if (r < 0)
                return reeve_error_errno(reterr, r, NULL, "list of spent tickets");
        if (r > 0)
                return refuse_replay(x, reterr);
        r = record_create(l->records_fd, x->id, x->request.attempt, &x->record, &x->record_fd);
        if (r == -EEXIST)
                return refuse_replay(x, reterr);
        if (r < 0)
                return reeve_error_errno(reterr, r, NULL, "cannot create the record");
        r = fill_claim(x, reterr);
        if (r < 0)
                return r;
        record_set_phase(x->record, RECORD_CLAIMED);
        CRASH_POINT("launcher", "claim");

        r = x->spends ? spent_add(l->spent_fd, x->ticket.serial, x->request.attempt) : 0;
        return r < 0 ? reeve_error_errno(reterr, r, NULL, "list of spent tickets") : 0;
}

static int open_output(Launch *x, ReeveError *reterr)
{
        if (!x->spends) /* a program whose record went with the machine may have left its output */
                unlinkat(x->l->output_fd, x->name, 0);
        for (size_t i = 0; i < SPEC_STDIO_COUNT; i++) {
                if (x->spec.stdio[i].kind != SPEC_STDIO_OUTPUT)
                        continue;
                int r = x->output_fd >= 0 ? 0
                                          : output_create(x->l->output_fd, x->name, x->l->reeve_gid,
                                                          &x->output_fd);
                if (r < 0)
                        return reeve_error_errno(reterr, r, NULL, "cannot create the output file");
                x->child.stdio[i] = x->output_fd;
        }
        return 0;
}

/* The pool may have been removed a moment ago; then it is made again. */
static int place_failed(Launcher *l, int error, const char *text, ReeveError *reterr)
{
        reeve_error_errno(reterr, error, NULL, "%s", text);
        if (error == -ENOENT || error == -ENODEV) {
                reterr->code = REEVE_ERROR_UNAVAILABLE;
                pool_scope_doubt(l);
        }
        return error;
}

static int make_place(Launch *x, ReeveError *reterr)
{
        int fds[2], r = 0;

        if (x->backend == RECORD_BACKEND_CGROUP) {
                r = pool_make_leaf(&x->l->pool, x->spec.uid, x->record->cgroup, &x->leaf_fd,
                                   &x->record->cgroup_id);
                if (r < 0)
                        return place_failed(x->l, r, "cannot make the cgroup", reterr);
                CRASH_POINT("launcher", "mkdir");
                r = limits_apply(x->leaf_fd, x->record->cgroup, x->limits, reterr);
        }
        if (r >= 0)
                r = open_output(x, reterr);
        if (r < 0)
                return r;
        if (x->backend == RECORD_BACKEND_SCOPE) {
                if (pipe2(fds, O_CLOEXEC) < 0)
                        return reeve_error_errno(reterr, errno, NULL, "cannot make the pipe of the scope");
                x->go_read_fd = fds[0];
                x->go_write_fd = fds[1];
        }
        if (pipe2(fds, O_CLOEXEC) < 0)
                return reeve_error_errno(reterr, errno, NULL, "cannot make the exec pipe");
        x->report_read_fd = fds[0];
        x->report_write_fd = fds[1];
        fd_set_nonblock(x->report_read_fd,
                        true); /* the writer's end stays blocking: another file description */
        return 0;
}

/* The keeper waits for its scope. What goes wrong from here on is told when it has ended. */
static void ask_for_scope(Launch *x, pid_t keeper)
{
        ReeveError e = REEVE_ERROR_NULL;

        int r = scope_start(x, keeper, TAKE_FD(x->go_write_fd));
        if (r >= 0)
                return;
        reeve_error_errno(&e, r, NULL, "cannot ask for the scope");
        watch_refuse(x->l, keeper, &e);
}

/* One that is there, or a new one. A keeper in a scope ends with it. */
static pid_t start_keeper(Launch *x, Keeper *k)
{
        bool lasts = x->backend == RECORD_BACKEND_CGROUP && k->child;

        pid_t pid = lasts ? desk_hire(x->l, k) : 0;
        if (pid > 0)
                return pid;
        DeskSlot *desk = lasts ? desk_prepare(x->l, k) : NULL;
        pid = keeper_clone(x->l->pool.keepers_fd);
        if (pid == 0)
                keeper_run(k);
        if (desk)
                desk_occupy(desk, k, pid);
        return pid;
}

static int fork_keeper(Launch *x, sd_bus_message *m, ReeveError *reterr)
{
        Launcher *l = x->l;

        net_counters_begin(&l->net, x->record);
        Keeper k = {
                .record = x->record,
                .record_fd = x->record_fd,
                .mount_fd = l->pool.mount_fd,
                .leaf_fd = x->leaf_fd,
                .output_fd = x->output_fd,
                .proc_fd = l->proc_fd,
                .net_fd = net_counters_map(&l->net, x->record),
                .controllers = l->pool.controllers,
                .is_in_unit = l->pool_scope.path[0],
                .settle_usec = l->settle_usec,
                .heap = l->heap,
                .child = x->task_fd < 0 ? &x->child : NULL,
                .report_fd = x->task_fd < 0 ? -EBADF : x->report_write_fd,
                .task_fd = x->task_fd,
                .go_fd = x->go_read_fd,
                .desk_fd = -EBADF,
        };
        int wanted = x->spec.has_oom_score_adjust ? x->spec.oom_score_adjust : 0;

        x->child.spec = &x->spec;
        x->child.env = (char *const *)x->env;
        x->child.oom_score_adj = wanted == l->oom_score_adj ? INT_MIN : wanted;
        x->child.report_fd = x->report_write_fd;
        x->child.proc_fd = l->proc_fd;

        pid_t pid = start_keeper(x, &k);
        if (pid < 0) {
                recover_undo(l, x->record, x->name);
                return place_failed(l, pid, "cannot start a keeper", reterr);
        }
        CRASH_POINT("launcher", "keeper-forked");
        int r = watch_launch(l, pid, x->name, x->record, m, TAKE_FD(x->report_read_fd));
        if (r < 0) { /* it runs and its record will tell */
                reeve_error_errno(reterr, r, NULL, "cannot watch the keeper");
                reterr->code = REEVE_ERROR_UNAVAILABLE;
        } else if (x->backend == RECORD_BACKEND_SCOPE)
                ask_for_scope(x, pid);
        else
                watch_keep_task(l, pid, TAKE_FD(x->task_fd));
        return r;
}

int launch_carry_out(Launcher *l, sd_bus_message *m, launch_prepare_t prepare)
{
        _cleanup_(launch_done) Launch x = {
                .l = l,
                .limits = &scratch,
                .child.program_fd = -EBADF,
                .record_fd = -EBADF,
                .leaf_fd = -EBADF,
                .output_fd = -EBADF,
                .report_read_fd = -EBADF,
                .report_write_fd = -EBADF,
                .task_fd = -EBADF,
                .go_read_fd = -EBADF,
                .go_write_fd = -EBADF,
        };
        ReeveError e = REEVE_ERROR_NULL;

        scratch.n = 0;
        int r = prepare(&x, m, &e);
        if (r >= 0)
                r = pool_scope_check(l, &e);
        if (r < 0)
                return server_reply_error(m, &e);

        task_attempt_name(x.id, x.request.attempt, x.name);
        r = claim(&x, &e);
        if (r >= 0)
                r = make_place(&x, &e);
        if (r < 0) {
                if (x.record)
                        recover_undo(x.l, x.record, x.name);
                return server_reply_error(m, &e);
        }
        r = fork_keeper(&x, m, &e);
        return r < 0 ? server_reply_error(m, &e) : 1; /* answered later */
}

int method_launch(sd_bus_message *m, void *userdata, sd_bus_error *reterr)
{
        return launch_carry_out(ASSERT_PTR(userdata), m, prepare_task);
}

int method_adopt(sd_bus_message *m, void *userdata, sd_bus_error *reterr)
{
        return launch_carry_out(ASSERT_PTR(userdata), m, prepare_attached);
}
