/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* One loop for a task of its own and for one that it adopted:
 *
 *     running ---- main process ends ----> leftovers? -- no --> account -> gone
 *        |                                    | yes: TERM, grace, cgroup.kill
 *        +-- SIGTERM: TERM, grace, kill       v
 *        +-- backstop deadline: kill        empty ------------> account -> gone
 *
 * Gone it is only if no other task is given to it at once (desk.c).
 *
 * All waiting is one ppoll() that opens the signal mask: SIGCHLD (something ended), SIGTERM (stop the task, take the
 * account, go) and SIGUSR1 (the launcher changed the record) are blocked at any other time, so nothing is missed
 * between looking and sleeping. What ended is entered in the record before it is reaped (account.c), so whoever
 * finds the record after a kill of this process finds all that was known.
 *
 * Nothing here allocates, and the first act is to close what is the launcher's. The record is mapped; the last thing
 * that happens to it is `ended`, then the leaf goes (not one that systemd may be walking: recover.c), then the record is
 * closed, by the process's exit if no other task came: that is the event that reeved waits for. */

#include "launcher/keeper.h"

#include <errno.h>
#include <linux/sched.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "basic/crash.h"
#include "basic/fd.h"
#include "common/cgroup/cgroup.h"
#include "common/clock.h"
#include "common/proc/proc.h"
#include "launcher/account.h"
#include "launcher/adopt.h"
#include "launcher/attach.h"
#include "launcher/desk.h"
#include "launcher/net.h"
#include "launcher/output.h"
#include "launcher/pool.h"
#include "launcher/scope-place.h"

#define CHILD_STACK_SIZE    65536
#define KILL_REPEAT_USEC    USEC_PER_SEC
#define LEFTOVERS_POLL_USEC (100 * USEC_PER_MSEC) /* processes that somebody moved in raise no SIGCHLD */
#define WAIT_MAX_USEC       (30 * USEC_PER_SEC) /* ppoll() sleeps through a suspend, the deadline does not */

typedef struct Loop {
        const Keeper *k;
        Record *r;
        Members members;
        int events_fd; /* cgroup.events, opened when the main process ended */
        bool main_ended, told_leftovers;
        usec_t kill_at_boottime; /* USEC_INFINITY: not */
        OutputCap cap;
} Loop;

static const int heard[] = { SIGCHLD, SIGTERM, SIGUSR1 };

/* PID 1 sends SIGTERM to all processes of a unit that it stops, and to all of the host in the end: then the task has it
 * already, and a second one makes some programs hurry. */
static volatile sig_atomic_t stop_wanted, stop_told, was_told_to_stop;

static void on_signal(int signal, siginfo_t *info, void *context)
{
        if (signal != SIGTERM)
                return;
        stop_wanted = was_told_to_stop = 1;
        if (info->si_code == SI_USER && info->si_pid == 1)
                stop_told = 1;
}

pid_t keeper_clone(int cgroup_fd)
{
        struct clone_args args = {
                .flags = CLONE_INTO_CGROUP,
                .exit_signal = SIGCHLD,
                .cgroup = (uint64_t)cgroup_fd,
        };
        long pid = cgroup_fd >= 0 ? syscall(SYS_clone3, &args, sizeof(args)) : _Fork();

        return pid < 0 ? -errno : (pid_t)pid;
}

static void close_foreign(const Keeper *k)
{
        const Child *c = k->child;
        int keep[] = {
                k->record_fd,
                k->mount_fd,
                k->leaf_fd,
                k->output_fd,
                k->proc_fd,
                k->net_fd,
                k->task_fd,
                k->go_fd,
                k->desk_fd,
                c ? c->report_fd : k->report_fd,
                c ? c->program_fd : -EBADF,
                c ? c->stdio[0] : -EBADF,
                c ? c->stdio[1] : -EBADF,
                c ? c->stdio[2] : -EBADF,
        };

        fd_close_all_but(keep, ELEMENTSOF(keep));
}

static void introduce_oneself(const Keeper *k)
{
        static ProcStat st;

        if (!k->seasoned) {
                prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0);
                (void)proc_stat(k->proc_fd, 0, &st);
        }
        k->record->keeper_pid = getpid();
        k->record->keeper_start = st.start;
}

_noreturn_ static void run_child(const Keeper *k)
{
        child_run(k->child, k->record);
}

/* As vfork(2), into a cgroup: the child runs in the keeper's memory, on a stack of its own, and the keeper waits
 * until it executes. That saves the second copy of the address space. */
static pid_t clone_child(const Keeper *k)
{
#if defined(__x86_64__) && !defined(REEVE_ADDRESS_SANITIZER)
        _Alignas(16) char stack[CHILD_STACK_SIZE];
        struct clone_args args = {
                .flags = CLONE_INTO_CGROUP | CLONE_VM | CLONE_VFORK,
                .exit_signal = SIGCHLD,
                .stack = (uintptr_t)stack,
                .stack_size = sizeof(stack),
                .cgroup = (uint64_t)k->leaf_fd,
        };
        long pid;

        if (k->leaf_fd >= 0) {
                __asm__ volatile("syscall\n\t"
                                 "test %%rax, %%rax\n\t"
                                 "jnz 1f\n\t"
                                 "xor %%ebp, %%ebp\n\t"
                                 "mov %[k], %%rdi\n\t"
                                 "call *%[run]\n"
                                 "1:"
                                 : "=a"(pid)
                                 : "a"(SYS_clone3), "D"(&args),
                                   "S"(sizeof(args)), [k] "r"(k), [run] "r"(run_child)
                                 : "rcx", "r11", "memory");
                return (pid_t)pid;
        }
#endif
        pid_t plain = keeper_clone(k->leaf_fd);
        if (plain == 0)
                run_child(k);
        return plain;
}

_noreturn_ static void end_unstarted(const Keeper *k, int error, const char *what)
{
        ChildReport report = { .error = error };

        strcpy(report.path, what);
        (void)fd_write_full(k->child->report_fd, &report, sizeof(report));
        _exit(KEEPER_EXIT_NOTHING_RAN);
}

static void start_task(Keeper *k)
{
        if (k->go_fd >= 0) {
                if (scope_wait(k->go_fd) < 0)
                        _exit(KEEPER_EXIT_NOTHING_RAN);
                int r = scope_enter(k->mount_fd, k->record, &k->leaf_fd, &k->controllers);
                if (r < 0)
                        end_unstarted(k, -r, "scope");
                CRASH_POINT("keeper", "scope-entered");
        }
        pid_t pid = clone_child(k);
        if (pid < 0)
                end_unstarted(k, -pid, "clone3");
        CRASH_POINT("keeper", "exec");
}

/* Gives back what the fork copied and nobody here reads again: the launcher's heap, with the specification in it, and
 * what lies below this frame of the stack, which the child used. Nothing may be allocated here anyhow. */
static void drop_memory(const Keeper *k)
{
#ifndef REEVE_ADDRESS_SANITIZER
        uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE),
                  heap = ((uintptr_t)k->heap + page - 1) & ~(page - 1);
        uintptr_t end = (uintptr_t)sbrk(0) & ~(page - 1),
                  here = (uintptr_t)__builtin_frame_address(0) & ~(page - 1);

        if (k->heap && heap < end)
                (void)madvise((void *)heap, end - heap, MADV_DONTNEED);
        desk_wipe(k);
        (void)madvise((void *)(here - 2 * CHILD_STACK_SIZE), 2 * CHILD_STACK_SIZE - page, MADV_DONTNEED);
#endif
}

/* All are blocked while there is a child that shares our memory: it must not run our handlers, nor may it inherit any. */
static void hear(const struct sigaction *action)
{
        for (size_t i = 0; i < ELEMENTSOF(heard); i++)
                sigaction(heard[i], action, NULL);
}

/* The task's descriptors are not the keeper's: a pipe must see its end when the task's ends are closed. */
static void settle_down(const Keeper *k)
{
        int keep[] = {
                k->record_fd, k->mount_fd, k->leaf_fd, k->output_fd,
                k->proc_fd,   k->net_fd,   k->task_fd, k->desk_fd,
        };

        fd_close_all_but(keep, ELEMENTSOF(keep));
        if (!k->seasoned) {
                prctl(PR_SET_NAME, "reeve-keeper");
                /* Refused in a container that lacks CAP_SYS_RESOURCE; then it is as killable as its task. */
                (void)proc_set_oom_score_adj(k->proc_fd, KEEPER_OOM_SCORE_ADJ);
        }
        hear(&(struct sigaction){ .sa_sigaction = on_signal, .sa_flags = SA_NOCLDSTOP | SA_SIGINFO });
}

/* True while there may be children. */
static bool collect_the_dead(Loop *l)
{
        Corpse c;
        int n;

        while ((n = account_next(&c)) > 0) {
                bool is_main = c.info.si_pid == l->r->task_pid;

                if (is_main)
                        CRASH_POINT("keeper", "reap");
                account_add(l->r, l->k->proc_fd, &c, is_main);
                account_reap(&c);
                if (is_main)
                        l->main_ended = true;
        }
        return n != -ECHILD;
}

static bool is_empty(Loop *l, bool has_children)
{
        bool populated = false;
        char text[256];
        pid_t one;

        if (l->k->leaf_fd < 0)
                return l->k->child ? !has_children : members_list(&l->members, &one, 1) == 0;
        if (l->events_fd < 0)
                l->events_fd = openat(l->k->leaf_fd, "cgroup.events", O_RDONLY | O_CLOEXEC);
        if (fd_pread_file(l->events_fd, text, sizeof(text)) < 0)
                return true; /* the leaf is gone: somebody else removed it, so it was empty */
        cgroup_events_parse(text, &populated, NULL);
        return !populated;
}

static void stop(Loop *l, bool told)
{
        if (l->k->leaf_fd >= 0) /* a frozen process dies of SIGKILL only */
                (void)fd_write_file_at(l->k->leaf_fd, "cgroup.freeze", "0");
        if (l->main_ended && members_signal(&l->members, SIGTERM) > 0)
                record_set_flag(l->r, RECORD_FLAG_LEFTOVERS);
        else if (!l->main_ended && !told)
                members_signal(&l->members, SIGTERM);
        l->kill_at_boottime =
                        MIN(l->kill_at_boottime, usec_add(clock_boottime(clock_system()), l->r->grace_usec));
}

static void act_on_time(Loop *l, usec_t now, usec_t deadline)
{
        if (now >= deadline && !(atomic_load(&l->r->flags) & RECORD_FLAG_BACKSTOP)) {
                record_set_flag(l->r, RECORD_FLAG_BACKSTOP);
                l->kill_at_boottime = now;
        }
        if (now >= l->kill_at_boottime) {
                record_set_flag(l->r, RECORD_FLAG_KILLED);
                members_kill(&l->members);
                l->kill_at_boottime = now + KILL_REPEAT_USEC;
        }
        output_cap_check(&l->cap, l->r, now, false);
}

static void wait_for_something(const Loop *l, usec_t now, usec_t deadline)
{
        struct pollfd fds[] = {
                { .fd = l->events_fd, .events = POLLPRI },
                { .fd = l->main_ended ? -1 : l->k->task_fd, .events = POLLIN },
        };
        usec_t until = MIN(l->kill_at_boottime, l->cap.next_boottime);
        struct timespec ts;
        sigset_t open_mask;

        if (!(atomic_load(&l->r->flags) & RECORD_FLAG_BACKSTOP))
                until = MIN(until, deadline);
        usec_t span = usec_sub(until, now);
        if (l->main_ended)
                span = MIN(span, LEFTOVERS_POLL_USEC);
        ts = usec_to_timespec(MIN(span, WAIT_MAX_USEC));
        sigfillset(&open_mask); /* a terminal's Ctrl-C is not for keepers */
        for (size_t i = 0; i < ELEMENTSOF(heard); i++)
                sigdelset(&open_mask, heard[i]);
        ppoll(fds, ELEMENTSOF(fds), until == USEC_INFINITY && !l->main_ended ? NULL : &ts, &open_mask);
}

static void keep(Loop *l)
{
        for (;;) {
                bool has_children = collect_the_dead(l);

                if (!l->k->child && !l->main_ended)
                        l->main_ended = adopt_has_ended(l->k);
                if (l->main_ended && is_empty(l, has_children))
                        return;
                if (l->main_ended && !l->told_leftovers) {
                        l->told_leftovers = true;
                        stop(l, false);
                }
                if (stop_wanted) {
                        stop_wanted = 0;
                        stop(l, stop_told);
                }
                usec_t now = clock_boottime(clock_system());
                usec_t deadline = atomic_load(&l->r->deadline_boottime_usec);
                act_on_time(l, now, deadline);
                wait_for_something(l, now, deadline);
        }
}

/* Not what may have ended at systemd's command, see recover_remove_leaf(). */
static bool removes_leaf(const Keeper *k)
{
        const Record *r = k->record;
        bool terminated = stop_told || (r->exit_kind == RECORD_EXIT_KILLED && r->exit_value == SIGTERM);

        return k->leaf_fd >= 0 && r->backend == RECORD_BACKEND_CGROUP && !(k->is_in_unit && terminated);
}

static void take_account(const Keeper *k, OutputCap *cap)
{
        Record *r = k->record;

        CRASH_POINT("keeper", "read");
        output_cap_check(cap, r, USEC_INFINITY, true);
        if (k->leaf_fd >= 0)
                account_read_files(r, k->leaf_fd, k->controllers, k->settle_usec);
        net_counters_take(k->net_fd, r);
        r->done_realtime_usec = clock_realtime(clock_system());
        record_set_phase(r, RECORD_ENDED);
        CRASH_POINT("keeper", "ended");
        net_counters_end(k->net_fd, r);
        if (removes_leaf(k))
                pool_remove_leaf(k->mount_fd, r->cgroup);
}

static void keep_one(Keeper *k)
{
        Loop l;

        introduce_oneself(k);
        CRASH_POINT("keeper", "keeper-forked");
        bool attaches = !k->child && (atomic_load(&k->record->flags) & RECORD_FLAG_ATTACHED);
        if (k->child)
                start_task(k);
        bool runs = !attaches || attach_take(k);
        settle_down(k);
        drop_memory(k);

        l = (Loop){
                .k = k,
                .r = k->record,
                .members = { k->proc_fd, k->leaf_fd, k->record },
                .events_fd = -EBADF,
                .main_ended = !runs,
                .kill_at_boottime = USEC_INFINITY,
        };
        output_cap_init(&l.cap, k->output_fd, k->record->output_cap_bytes);
        keep(&l);
        take_account(k, &l.cap);
}

/* The record is closed, which is what reeved waits for, whether there is another task or not. */
static Keeper *next_task(const Keeper *k)
{
        Corpse c;
        int keep[] = { k->desk_fd };
        sigset_t term;

        if (!k->desk || was_told_to_stop || account_next(&c) != -ECHILD)
                return NULL;
        record_unmap(k->record);
        fd_close_all_but(keep, ELEMENTSOF(keep));
        sigemptyset(&term);
        sigaddset(&term, SIGTERM);
        Keeper *next = desk_next(k);
        /* It was told to stop while it had no task, or is about to be told so: this one is the last then. */
        if (stop_wanted || sigtimedwait(&term, NULL, &(struct timespec){ 0 }) == SIGTERM)
                was_told_to_stop = 1;
        stop_wanted = 0;
        hear(&(struct sigaction){ .sa_handler = SIG_DFL });
        return next;
}

void keeper_run(Keeper *k)
{
        assert(k);

        close_foreign(k);
        do
                keep_one(k);
        while ((k = next_task(k)));
        _exit(EXIT_SUCCESS);
}
