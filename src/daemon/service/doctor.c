/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* What this host can measure and enforce.
 *
 * The launcher tells which backend and controllers it has, and the sentences are made here, where no privilege is; we add what
 * is ours (database, space, backups). Each line says what is missing and what would help, for an administrator who has never
 * heard of a controller. Without the launcher the answer says so instead of failing: that is when it is needed most. */

#include <errno.h>
#include <stdio.h>
#include <systemd/sd-daemon.h>
#include <sys/statvfs.h>

#include "basic/strings.h"
#include "common/limit/limit.h"
#include "daemon/service/service-internal.h"

#define CHECKS_MAX   80
#define SPACE_WANTED (64ULL * 1024 * 1024)

typedef struct DoctorOp {
        Service *service;
        service_doctor_t callback;
        void *userdata;
        DoctorCheck checks[CHECKS_MAX];
        size_t n;
        char path[PATH_MAX], space[64], wal[64];
        char controllers[_CGROUP_CONTROLLER_MAX][32], limits[512];
        char network[512]; /* why traffic is not counted; "": it is */
} DoctorOp;

static void add(DoctorOp *op, const char *name, bool ok, const char *value, const char *hint)
{
        if (op->n < CHECKS_MAX)
                op->checks[op->n++] = (DoctorCheck){ name, ok, value, ok && !hint ? NULL : hint };
}

static void check_own(DoctorOp *op)
{
        Service *s = op->service;
        StoreFigures figures;
        struct statvfs v;
        char text[32];

        instance_path(&s->instance, INSTANCE_DATABASE, op->path, sizeof(op->path));
        store_figures(s->store, &figures);
        add(op, "database", !figures.disk_full, figures.disk_full ? "cannot be written" : op->path,
            figures.disk_full ? "the disk is full: running tasks go on, new ones are refused until there is "
                                "room"
                              : NULL);

        char directory[PATH_MAX];
        instance_path(&s->instance, INSTANCE_STATE, directory, sizeof(directory));
        if (statvfs(directory, &v) >= 0) {
                unsigned long long bytes = (unsigned long long)v.f_bavail * v.f_frsize;
                snprintf(op->space, sizeof(op->space), "%s free", bytes_format(bytes, text, sizeof(text)));
                add(op, "disk space", bytes >= SPACE_WANTED, op->space,
                    bytes >= SPACE_WANTED ? NULL : "less than 64 MiB are left where the database is");
        }
}

/* Each group of counters, where its numbers come from, and from where without the controller. ANY_CGROUP: a
 * cgroup is enough. */
#define ANY_CGROUP _CGROUP_CONTROLLER_MAX

typedef struct Counters {
        const char *name;
        CgroupController controller;
        const char *exact;
        const char *otherwise; /* NULL: then it is not known */
        const char *hint;
} Counters;

static const Counters counters[] = {
        { "counters: cpu time", ANY_CGROUP, "kernel-final, cpu.stat", "rusage",
          "without a cgroup only processes that were waited for are counted" },
        { "counters: cpu throttling", CGROUP_CPU, "kernel-final, cpu.stat", NULL,
          "needs the cpu controller in cgroup v2" },
        { "counters: memory peak", CGROUP_MEMORY, "kernel-final, memory.peak", "rusage or procfs",
          "the largest process, or the highest sum that was sampled; without page cache" },
        { "counters: oom kills", CGROUP_MEMORY, "kernel-final, memory.events", NULL,
          "needs the memory controller in cgroup v2" },
        { "counters: io", CGROUP_IO, "kernel-final, io.stat", "procfs",
          "bytes by /proc/PID/io; operations are not known" },
        { "counters: processes", CGROUP_PIDS, "kernel-final, pids.peak", NULL,
          "needs the pids controller in cgroup v2" },
};

static bool has_cgroup(const LauncherHost *host)
{
        return streq(host->backend, record_backend_name(RECORD_BACKEND_CGROUP));
}

static void check_counters(DoctorOp *op, const LauncherHost *host)
{
        for (size_t i = 0; i < ELEMENTSOF(counters); i++) {
                const Counters *c = counters + i;
                bool exact = c->controller == ANY_CGROUP
                                             ? has_cgroup(host)
                                             : host->controllers & (UINT32_C(1) << c->controller);

                add(op, c->name, exact, exact ? c->exact : c->otherwise ?: "not known", exact ? NULL : c->hint);
        }
}

static void add_backend(DoctorOp *op, const LauncherHost *host)
{
        bool cgroup = has_cgroup(host);

        add(op, "backend", cgroup, host->backend,
            cgroup ? NULL : "no cgroup v2 may be written: no limits, no freezing, rusage only");
        add(op, "pool", cgroup, host->pool, NULL);
        bool scopes = cgroup && sd_booted() > 0;
        add(op, "scopes", scopes, scopes ? "systemd" : "not available",
            scopes ? NULL
                   : "systemd is not in charge here: no --scope, --slice, and properties that only it has");
}

static void add_controllers(DoctorOp *op, const LauncherHost *host)
{
        for (int c = 0; c < _CGROUP_CONTROLLER_MAX; c++) {
                bool has = host->controllers & (UINT32_C(1) << c);

                snprintf(op->controllers[c], sizeof(op->controllers[c]), "%s controller",
                         cgroup_controller_name((CgroupController)c));
                add(op, op->controllers[c], has, has ? "cgroup v2" : "absent",
                    has ? NULL : "cgroup v2 does not have it here; version 1 may hold it");
        }
}

static void add_limits(DoctorOp *op, const LauncherHost *host)
{
        const LimitKind *k;
        size_t n = 0;

        for (size_t i = 0; (k = limit_kind(i)) && n < sizeof(op->limits); i++)
                if (host->controllers & (UINT32_C(1) << k->controller))
                        n += (size_t)snprintf(op->limits + n, sizeof(op->limits) - n, "%s%s", n ? " " : "",
                                              k->name);
        add(op, "limits", n > 0, n > 0 ? op->limits : "none",
            n > 0 ? NULL
                  : "needs a controller in cgroup v2; limits of processes (LimitAS=, ...) are enforced");
}

static void check_network(DoctorOp *op)
{
        bool counted = op->network[0] == '\0';

        add(op, "counters: network", counted, counted ? "kernel-final, BPF" : "not known",
            counted ? NULL : op->network);
}

static void on_described(const ReeveError *error, const LauncherHost *host, void *userdata)
{
        _cleanup_free_ DoctorOp *op = ASSERT_PTR(userdata);

        if (error)
                add(op, "launcher", false, "cannot be reached",
                    "nothing can be started or signalled; running tasks go on and are accounted for");
        else {
                add(op, "launcher", true, "connected", NULL);
                add_backend(op, host);
                add_controllers(op, host);
                add_limits(op, host);
                check_counters(op, host);
                check_network(op);
        }
        op->callback(op->checks, op->n, op->userdata);
}

/* The host's names live as long as on_described() runs, so it is asked last. */
static void on_network(const ReeveError *error, int map_fd, uint32_t map_id, void *userdata)
{
        DoctorOp *op = ASSERT_PTR(userdata);
        ReeveError e = REEVE_ERROR_NULL;

        if (error)
                snprintf(op->network, sizeof(op->network), "%s", error->text);
        if (launcher_client_describe(op->service->launcher, on_described, op, &e) < 0)
                on_described(&e, NULL, op);
}

void service_doctor(Service *s, service_doctor_t callback, void *userdata)
{
        ReeveError e = REEVE_ERROR_NULL;

        assert(s);
        assert(callback);

        DoctorOp *op = NEW0(DoctorOp, 1);
        if (!op) {
                callback(NULL, 0, userdata);
                return;
        }
        op->service = s;
        op->callback = callback;
        op->userdata = userdata;
        check_own(op);
        if (launcher_client_network(s->launcher, on_network, op, &e) < 0)
                on_network(&e, -EBADF, 0, op);
}
