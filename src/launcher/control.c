/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The methods about attempts that exist. All they know comes from the record: nothing is remembered between calls,
 * so a launcher that was started a moment ago answers as the one before it would have. */

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>

#include "basic/crash.h"
#include "basic/fd.h"
#include "basic/log.h"
#include "basic/strings.h"
#include "common/clock.h"
#include "common/proc/proc.h"
#include "launcher/inspect.h"
#include "launcher/launcher.h"

/* A running attempt, as found by its name. */
typedef struct Target {
        Launcher *l;
        char name[TASK_ATTEMPT_NAME_SIZE];
        const Record *record;
        int leaf_fd;
        Members members;
} Target;

static void target_done(Target *t)
{
        if (t->record)
                record_unmap(t->record);
        fd_close(t->leaf_fd);
}

#define TARGET_NULL               \
        (Target)                  \
        {                         \
                .leaf_fd = -EBADF \
        }

static int find(Launcher *l, const char *id, uint32_t attempt, Target *t, ReeveError *reterr)
{
        if (!task_id_is_valid(id) || attempt < 1 || attempt > TASK_ATTEMPT_MAX)
                return reeve_error_set(reterr, REEVE_ERROR_INVALID_ARGUMENT, "task",
                                       "not the name of an attempt");
        t->l = l;
        task_attempt_name(id, attempt, t->name);
        int r = record_map(l->records_fd, t->name, &t->record);
        if (r == -ENOENT || r == -EAGAIN)
                return reeve_error_set(reterr, REEVE_ERROR_NO_SUCH_TASK, "task", "there is no record of %s",
                                       t->name);
        if (r < 0)
                return reeve_error_errno(reterr, r, "task", "cannot read the record of %s", t->name);
        RecordPhase phase = record_phase(t->record);
        if (phase == RECORD_ENDED || memcmp(t->record->boot_id, l->boot_id, sizeof(l->boot_id)) != 0)
                return reeve_error_set(reterr, REEVE_ERROR_ALREADY_FINISHED, "task", "%s has ended",
                                       t->name);
        if (phase != RECORD_STARTED)
                return reeve_error_set(reterr, REEVE_ERROR_UNAVAILABLE, "task", "%s is being started",
                                       t->name);
        t->leaf_fd = pool_open_leaf(l->pool.mount_fd, t->record->cgroup);
        t->members = (Members){ l->proc_fd, t->leaf_fd, t->record };
        return 0;
}

static int act_signal(const Target *t, sd_bus_message *m, ReeveError *reterr)
{
        int signal, whole;

        int r = sd_bus_message_read(m, "ib", &signal, &whole);
        if (r < 0)
                return reeve_error_errno(reterr, r, NULL, "cannot read the signal");
        if (signal < 1 || signal > SIGRTMAX)
                return reeve_error_set(reterr, REEVE_ERROR_INVALID_ARGUMENT, "signal", "%d is not a signal",
                                       signal);
        if (whole) {
                members_signal(&t->members, signal);
                return 0;
        }
        _cleanup_fd_ int fd = proc_open(t->members.proc_fd, t->record->task_pid, t->record->task_start);
        if (fd < 0 || proc_signal(fd, signal) < 0)
                return reeve_error_set(reterr, REEVE_ERROR_ALREADY_FINISHED, "task",
                                       "the main process of %s has ended", t->name);
        return 0;
}

static int act_kill(const Target *t, sd_bus_message *m, ReeveError *reterr)
{
        members_kill(&t->members);
        return 0;
}

static int set_frozen(const Target *t, const char *value, ReeveError *reterr)
{
        if (t->leaf_fd < 0)
                return reeve_error_set(reterr, REEVE_ERROR_INVALID_ARGUMENT, "backend",
                                       "a task of backend process has no cgroup that could be frozen");
        int r = fd_write_file_at(t->leaf_fd, "cgroup.freeze", value);
        return r < 0 ? reeve_error_errno(reterr, r, NULL, "cgroup.freeze") : 0;
}

static int act_freeze(const Target *t, sd_bus_message *m, ReeveError *reterr)
{
        return set_frozen(t, "1", reterr);
}

static int act_thaw(const Target *t, sd_bus_message *m, ReeveError *reterr)
{
        return set_frozen(t, "0", reterr);
}

static int act_set_deadline(const Target *t, sd_bus_message *m, ReeveError *reterr)
{
        uint64_t deadline;
        Record *record;

        int r = sd_bus_message_read(m, "t", &deadline);
        if (r < 0)
                return reeve_error_errno(reterr, r, NULL, "cannot read the deadline");
        if (record_map_writable(t->l->records_fd, t->name, &record) >= 0) {
                atomic_store(&record->deadline_boottime_usec, deadline);
                record_wake(record);
                record_unmap(record);
        }
        _cleanup_fd_ int keeper = proc_open(t->l->proc_fd, t->record->keeper_pid, t->record->keeper_start);
        if (keeper >= 0)
                (void)proc_signal(keeper, SIGUSR1);
        return 0;
}

static const struct {
        const char *method;
        int (*act)(const Target *t, sd_bus_message *m, ReeveError *reterr); /* reads the other arguments */
} acts[] = {
        { "Signal", act_signal },
        { "Kill", act_kill },
        { "Freeze", act_freeze },
        { "Thaw", act_thaw },
        { "SetDeadline", act_set_deadline },
};

int method_act(sd_bus_message *m, void *userdata, sd_bus_error *reterr)
{
        _cleanup_(target_done) Target t = TARGET_NULL;
        ReeveError e = REEVE_ERROR_NULL;
        const char *id;
        uint32_t attempt;
        size_t i = 0;

        for (const char *method = sd_bus_message_get_member(m); !streq(acts[i].method, method); i++)
                assert(i + 1 < ELEMENTSOF(acts)); /* server.c names a method that is not here */
        int r = sd_bus_message_read(m, "su", &id, &attempt);
        if (r < 0)
                return r;
        r = find(userdata, id, attempt, &t, &e);
        if (r >= 0)
                r = acts[i].act(&t, m, &e);
        return r < 0 ? server_reply_error(m, &e) : sd_bus_reply_method_return(m, NULL);
}

/* ---- steps of a ladder ---- */

static int step_signal(const Target *t, int signal, ReeveError *reterr)
{
        char frozen[8] = "";

        /* Or it would not hear of it. A write waits for all who change cgroups on this host. */
        if (t->leaf_fd >= 0 && fd_read_file_at(t->leaf_fd, "cgroup.freeze", frozen, sizeof(frozen)) > 0 &&
            frozen[0] == '1')
                (void)fd_write_file_at(t->leaf_fd, "cgroup.freeze", "0");
        members_signal(&t->members, signal);
        return 0;
}

static int step_freeze(const Target *t, int signal, ReeveError *reterr)
{
        return act_freeze(t, NULL, reterr);
}

static int step_kill(const Target *t, int signal, ReeveError *reterr)
{
        return act_kill(t, NULL, reterr);
}

static const struct {
        const char *name;
        int (*act)(const Target *t, int signal, ReeveError *reterr);
        bool repeats; /* so that one whose answer was lost has its effect for sure */
} steps[] = {
        { "signal", step_signal, false },
        { "freeze", step_freeze, false },
        { "kill", step_kill, true },
};

/* From here on the step has begun, whoever dies. 1 if it had before. */
static int step_claim(const Target *t, uint32_t number, ReeveError *reterr)
{
        uint32_t bit = UINT32_C(1) << number;
        Record *record;

        int r = record_map_writable(t->l->records_fd, t->name, &record);
        if (r < 0)
                return reeve_error_errno(reterr, r, "task", "cannot write the record of %s", t->name);
        bool was_set = atomic_fetch_or(&record->ladder_bits, bit) & bit;
        record_unmap(record);
        CRASH_POINT("launcher", "step-claimed");
        return was_set;
}

int method_step(sd_bus_message *m, void *userdata, sd_bus_error *reterr)
{
        _cleanup_(target_done) Target t = TARGET_NULL;
        ReeveError e = REEVE_ERROR_NULL;
        uint32_t attempt, number;
        const char *id, *name;
        int signal, again = 0;
        size_t i = 0;

        int r = sd_bus_message_read(m, "suusi", &id, &attempt, &number, &name, &signal);
        if (r < 0)
                return r;
        while (i < ELEMENTSOF(steps) && !streq(steps[i].name, name))
                i++;
        if (i == ELEMENTSOF(steps) || number >= RECORD_STEPS_MAX || signal < 0 || signal > SIGRTMAX)
                r = reeve_error_set(&e, REEVE_ERROR_INVALID_ARGUMENT, "step", "no step of a ladder");
        if (r >= 0)
                r = find(userdata, id, attempt, &t, &e);
        if (r >= 0)
                r = again = step_claim(&t, number, &e);
        usec_t begun = clock_boottime(clock_system());
        if (r >= 0 && (!again || steps[i].repeats))
                r = steps[i].act(&t, signal, &e);
        usec_t done = clock_boottime(clock_system());
        CRASH_POINT("launcher", "step-acted");
        return r < 0 ? server_reply_error(m, &e) : sd_bus_reply_method_return(m, "btt", again, begun, done);
}

static void forget(Launcher *l, const char *id, uint32_t attempt)
{
        char name[TASK_ATTEMPT_NAME_SIZE];
        const Record *r;

        if (!task_id_is_valid(id) || attempt < 1 || attempt > TASK_ATTEMPT_MAX)
                return;
        if (record_map(l->records_fd, task_attempt_name(id, attempt, name), &r) < 0)
                return;
        if (record_phase(r) == RECORD_ENDED || memcmp(r->boot_id, l->boot_id, sizeof(l->boot_id)) != 0) {
                /* A keeper that was killed between `ended` and its last act left its leaf, and nothing but the record
                 * knows of that. */
                recover_remove_leaf(l, r);
                if (task_id_ends_in(id, "check")) /* what it said was read, and it is no task */
                        unlinkat(l->output_fd, name, 0);
                unlinkat(l->records_fd, name, 0);
        }
        record_unmap(r);
        CRASH_POINT("launcher", "forget");
}

int method_forget(sd_bus_message *m, void *userdata, sd_bus_error *reterr)
{
        const char *id;
        uint32_t attempt;

        int r = sd_bus_message_enter_container(m, 'a', "(su)");
        while (r >= 0 && (r = sd_bus_message_read(m, "(su)", &id, &attempt)) > 0)
                forget(userdata, id, attempt);
        return r < 0 ? r : sd_bus_reply_method_return(m, NULL);
}

/* What the living use, and what the dead used that the keeper has buried; not what was used before it was attached. */
static int append_usage(Launcher *l, sd_bus_message *to, const Target *t, const char *id, uint32_t attempt)
{
        static pid_t pids[MEMBERS_MAX];
        uint64_t tick = USEC_PER_SEC / (uint64_t)sysconf(_SC_CLK_TCK),
                 page = (uint64_t)sysconf(_SC_PAGESIZE);
        uint64_t user = t->record->rusage.user_usec, system = t->record->rusage.system_usec, rss = 0;
        uint64_t read_bytes = t->record->io.read_bytes, write_bytes = t->record->io.write_bytes;
        size_t n = members_list(&t->members, pids, MEMBERS_MAX);

        for (size_t i = 0; i < n; i++) {
                RecordProcIo io;
                ProcStat st;

                if (proc_stat(l->proc_fd, pids[i], &st) < 0)
                        continue;
                (void)proc_io(l->proc_fd, pids[i], &io); /* all zero if it is gone */
                user += st.user_ticks * tick;
                system += st.system_ticks * tick;
                rss += st.rss_pages * page;
                read_bytes += io.read_bytes;
                write_bytes += io.write_bytes;
        }
        return sd_bus_message_append(to, "(sutttttt)", id, attempt,
                                     usec_sub(user, t->record->before_user_usec),
                                     usec_sub(system, t->record->before_system_usec), rss,
                                     usec_sub(read_bytes, t->record->before_io.read_bytes),
                                     usec_sub(write_bytes, t->record->before_io.write_bytes), (uint64_t)n);
}

int method_read_usage(sd_bus_message *m, void *userdata, sd_bus_error *reterr)
{
        _cleanup_(sd_bus_message_unrefp) sd_bus_message *answer = NULL;
        const char *id;
        uint32_t attempt;

        int r = sd_bus_message_new_method_return(m, &answer);
        if (r >= 0)
                r = sd_bus_message_open_container(answer, 'a', "(sutttttt)");
        if (r >= 0)
                r = sd_bus_message_enter_container(m, 'a', "(su)");
        while (r >= 0 && (r = sd_bus_message_read(m, "(su)", &id, &attempt)) > 0) {
                _cleanup_(target_done) Target t = TARGET_NULL;

                if (find(userdata, id, attempt, &t, NULL) >= 0)
                        r = append_usage(userdata, answer, &t, id, attempt);
        }
        if (r >= 0)
                r = sd_bus_message_close_container(answer);
        return r < 0 ? r : sd_bus_message_send(answer);
}

int method_inspect(sd_bus_message *m, void *userdata, sd_bus_error *reterr)
{
        _cleanup_(sd_bus_message_unrefp) sd_bus_message *answer = NULL;
        _cleanup_(target_done) Target t = TARGET_NULL;
        ReeveError e = REEVE_ERROR_NULL;
        uint32_t attempt;
        const char *id;

        int r = sd_bus_message_read(m, "su", &id, &attempt);
        if (r < 0)
                return r;
        if (find(userdata, id, attempt, &t, &e) < 0)
                return server_reply_error(m, &e);
        r = sd_bus_message_new_method_return(m, &answer);
        if (r >= 0)
                r = inspect_append(answer, &t.members, t.record->run_uid);
        return r < 0 ? r : sd_bus_message_send(answer);
}

/* To be had again at any time, so nothing is kept of who has one. */
int method_network(sd_bus_message *m, void *userdata, sd_bus_error *reterr)
{
        const Launcher *l = ASSERT_PTR(userdata);
        ReeveError e = REEVE_ERROR_NULL;

        _cleanup_fd_ int fd = l->net.map_fd >= 0 ? net_open_read_only(l->net.map_id) : -EBADF;
        if (fd >= 0)
                return sd_bus_reply_method_return(m, "hu", fd, l->net.map_id);
        reeve_error_set(&e, REEVE_ERROR_UNAVAILABLE, NULL, "%s",
                        l->net.reason[0] ? l->net.reason : strerror(-fd));
        return server_reply_error(m, &e);
}

int method_describe(sd_bus_message *m, void *userdata, sd_bus_error *reterr)
{
        const Launcher *l = ASSERT_PTR(userdata);

        return sd_bus_reply_method_return(m, "ssu", record_backend_name(l->backend), l->pool.path,
                                          l->pool.controllers);
}
