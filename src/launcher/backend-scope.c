/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* A scope is made of a process that is there already: the keeper. It is forked first and waits at a pipe; systemd moves
 * it into the scope; then it is told to go on, makes its leaves (scope-place.c) and starts the task. Nothing here is
 * waited for: the launcher serves others meanwhile.
 *
 *     fork keeper --- StartTransientUnit(PIDs=keeper) ---> done: "go"        keeper starts the task
 *          |                                          \--> error: watch_refuse, pipe closed
 *          +--- launcher dies: pipe closed             \-> keeper goes, the attempt is undone, systemd collects the scope
 *
 * What a scope must have, and why:
 *
 *     Delegate=yes                  the leaves below it are ours
 *     CollectMode=inactive-or-failed, DefaultDependencies=no   nothing is left of it, and it costs little to make
 *     SendSIGKILL=no, TimeoutStopUSec   `systemctl stop` sends TERM; the keeper gives the task its grace, kills, takes the
 *                                   account; systemd must not shoot it meanwhile
 *     OOMPolicy=continue            one process of a task that runs out of memory is the task's business
 *     After=                        at shutdown the task ends, and its account is taken and stored, before reeved stops.
 *                                   That it ends at all is its slice's doing, which conflicts with shutdown.target. */

#include "launcher/backend-scope.h"

#include <stdio.h>
#include <string.h>

#include "basic/crash.h"
#include "basic/fd.h"
#include "basic/strings.h"
#include "common/unit-property/unit-property-bus.h"
#include "launcher/scope-place.h"
#include "launcher/systemd.h"

#define DESCRIPTION_SIZE 256
#define STOP_MARGIN_USEC (30 * USEC_PER_SEC) /* on top of the grace: kill, account */

/* A keeper that waits for its scope. */
typedef struct Waiting {
        Launcher *l;
        pid_t keeper;
        int go_fd;
} Waiting;

/* Root may have chosen another slice than the subsystem's; authorise.c has seen it. */
static int choose_slice(const Launch *x, char ret[static UNIT_NAME_SIZE])
{
        if (!x->spec.slice)
                return unit_slice_name(x->l->instance.prefix, x->request.subsystem, ret);
        int n = snprintf(ret, UNIT_NAME_SIZE, "%s", x->spec.slice);
        return n < 0 || n >= UNIT_NAME_SIZE ? -ENAMETOOLONG : 0;
}

int scope_claim(const Launch *x, Record *r, ReeveError *reterr)
{
        char slice[UNIT_NAME_SIZE], scope[UNIT_NAME_SIZE], path[PATH_MAX];
        const Launcher *l = x->l;

        assert(r);

        if (!l->systemd)
                return reeve_error_set(
                                reterr, REEVE_ERROR_INVALID_ARGUMENT, "backend",
                                "backend scope needs systemd as PID 1 and a cgroup pool; this host has "
                                "backend %s only",
                                record_backend_name(l->backend));
        if (choose_slice(x, slice) < 0 ||
            unit_scope_name(l->instance.prefix, r->task_id, r->attempt, scope) < 0 ||
            unit_slice_path(slice, path, sizeof(path)) < 0)
                goto too_long;
        int n = snprintf(r->cgroup, sizeof(r->cgroup), "%s%s%s/%s/task", l->systemd_root,
                         l->systemd_root[0] ? "/" : "", path, scope);
        if (n > 0 && (size_t)n < sizeof(r->cgroup))
                return 0;
        r->cgroup[0] = '\0';
too_long:
        return reeve_error_set(reterr, REEVE_ERROR_INVALID_ARGUMENT, "task_id",
                               "with this id and subsystem the name of the scope would be too long");
}

/* The unit of a claimed attempt, from the path of its task. */
static void unit_of(const Record *r, char ret[static UNIT_NAME_SIZE])
{
        const char *end = strrchr(r->cgroup, '/'), *begin = end;

        assert(end);
        while (begin > r->cgroup && begin[-1] != '/')
                begin--;
        snprintf(ret, UNIT_NAME_SIZE, "%.*s", (int)(end - begin), begin);
}

/* The command line, cut, without what would disturb a terminal or a bus. */
static void describe(char *const *argv, char ret[static DESCRIPTION_SIZE])
{
        size_t n = 0;

        ret[0] = '\0';
        for (size_t i = 0; argv[i] && n < DESCRIPTION_SIZE - 1; i++)
                n += (size_t)snprintf(ret + n, DESCRIPTION_SIZE - n, "%s%s", i > 0 ? " " : "", argv[i]);
        for (char *c = ret; *c; c++)
                if ((unsigned char)*c < ' ' || *c == 0x7f)
                        *c = '?';
        utf8_repair(ret);
}

int scope_append_common(const Launcher *l, sd_bus_message *m, usec_t stop_usec)
{
        int r;

        if ((r = sd_bus_message_append(m, "(sv)", "Delegate", "b", true)) < 0 ||
            (r = sd_bus_message_append(m, "(sv)", "CollectMode", "s", "inactive-or-failed")) < 0 ||
            (r = sd_bus_message_append(m, "(sv)", "DefaultDependencies", "b", false)) < 0 ||
            (r = sd_bus_message_append(m, "(sv)", "SendSIGKILL", "b", false)) < 0 ||
            (r = sd_bus_message_append(m, "(sv)", "OOMPolicy", "s", "continue")) < 0 ||
            (r = sd_bus_message_append(m, "(sv)", "TimeoutStopUSec", "t", stop_usec)) < 0)
                return r;
        if (l->instance.root[0])
                return 0;
        return sd_bus_message_append(m, "(sv)", "After", "as", 2, "reeve-launcher.service",
                                     "reeved.service");
}

static int append_properties(const Launch *x, sd_bus_message *m)
{
        char description[DESCRIPTION_SIZE], slice[UNIT_NAME_SIZE];

        describe(x->child.argv, description);
        int r = choose_slice(x, slice);
        if (r >= 0)
                r = sd_bus_message_append(m, "(sv)", "Description", "s", description);
        if (r >= 0)
                r = sd_bus_message_append(m, "(sv)", "Slice", "s", slice);
        if (r >= 0)
                r = scope_append_common(x->l, m, x->record->grace_usec + STOP_MARGIN_USEC);
        for (size_t i = 0; r >= 0 && i < x->spec.n_properties; i++)
                r = unit_property_append(m, x->spec.properties[i].name, x->spec.properties[i].value);
        return r < 0 ? r : limits_append(m, x->limits);
}

static void on_started(const ReeveError *error, void *userdata)
{
        Waiting *w = ASSERT_PTR(userdata);

        CRASH_POINT("launcher", "scope");
        if (error)
                watch_refuse(w->l, w->keeper, error);
        else
                (void)fd_write_full(w->go_fd, "g", 1); /* if it died, watch.c hears of it */
        fd_close(w->go_fd);
        free(w);
}

static int ask(const Launch *x, Waiting *w)
{
        _cleanup_(sd_bus_message_unrefp) sd_bus_message *m = NULL;
        char unit[UNIT_NAME_SIZE], place[sizeof(x->record->cgroup)];

        unit_of(x->record, unit);
        scope_path(x->record, "", place);
        /* "replace": a slice that is just going because nobody needed it comes back. */
        int r = systemd_start_prepare(w->l->systemd, unit, "replace", &m);
        if (r >= 0)
                r = append_properties(x, m);
        if (r >= 0)
                r = systemd_start_complete(m, w->keeper);
        const SystemdStart start = { unit, place, w->keeper, on_started, w };
        return r < 0 ? r : systemd_start(w->l->systemd, m, &start);
}

int scope_start(const Launch *x, pid_t keeper, int go_fd)
{
        assert(x);

        Waiting *w = NEW0(Waiting, 1);
        if (!w) {
                fd_close(go_fd);
                return -ENOMEM;
        }
        *w = (Waiting){ x->l, keeper, go_fd };
        int r = ask(x, w);
        if (r < 0) {
                fd_close(go_fd);
                free(w);
        }
        return r;
}

void scope_discard(Launcher *l, const Record *r)
{
        char unit[UNIT_NAME_SIZE], place[sizeof(r->cgroup)];

        assert(l);
        assert(r);

        if (!l->systemd || !strchr(r->cgroup, '/'))
                return;
        scope_path(r, "", place);
        if (faccessat(l->pool.mount_fd, place, F_OK, 0) < 0)
                return;
        unit_of(r, unit);
        systemd_ask(l->systemd, "StopUnit", unit);
}
