/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* What one snapshot of one task costs (the budget is 30 us of CPU, averaged over ten ticks), and what
 * share of a core the sampler takes at 1 Hz (35% with 10,000 tasks).
 *
 * Real, empty cgroups are made below the cgroup2 mount, and everything is read at every tick, as if
 * somebody watched. The sampler runs on this thread with a clock that is moved from visit to visit, so ten
 * ticks take as long as their work and their CPU time is the thread's, kernel included, delivery to the
 * callbacks too. Two rounds: as many descriptors kept as this process may have, and as many as the default
 * bound. Beside it a bare loop of pread on open cpu.stat files in the same run, since absolute times
 * depend on the machine.
 *
 * Usage: bench-sampler [TASKS...]      (default: 1000 10000) The last line of a round is "bench-sampler
 * TASKS MODE us_per_task_tick=... core_share=... bare_pread_us=...". */

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include "basic/fd.h"
#include "basic/parse.h"
#include "common/cgroup/cgroup.h"
#include "daemon/sampler/sampler.h"

#define TICKS      10
#define BUDGET     30.0
#define FDS_SPARE  100
#define TASKS_MAX  100000
#define BARE_FILES 256

typedef struct Bench {
        int mount_fd;
        char folder[64];
        unsigned n_tasks;
        FakeClock clock;
        size_t n_live, n_known;
} Bench;

static double cpu_usec(void)
{
        struct timespec ts;

        clock_gettime(CLOCK_THREAD_CPUTIME_ID, &ts);
        return (double)ts.tv_sec * 1e6 + (double)ts.tv_nsec / 1e3;
}

static const char *leaf_path(const Bench *b, unsigned i, char *buffer, size_t size)
{
        snprintf(buffer, size, "%s/t%u", b->folder, i);
        return buffer;
}

static void remove_leaves(const Bench *b)
{
        char path[128];

        for (unsigned i = 0; i < b->n_tasks; i++)
                unlinkat(b->mount_fd, leaf_path(b, i, path, sizeof(path)), AT_REMOVEDIR);
        unlinkat(b->mount_fd, b->folder, AT_REMOVEDIR);
}

static int make_leaves(const Bench *b)
{
        char path[128];

        if (mkdirat(b->mount_fd, b->folder, 0755) < 0)
                return -errno;
        for (unsigned i = 0; i < b->n_tasks; i++)
                if (mkdirat(b->mount_fd, leaf_path(b, i, path, sizeof(path)), 0755) < 0)
                        return -errno;
        return 0;
}

/* ---- the bare loop ---- */

static double bare_pread(const Bench *b)
{
        static int fds[BARE_FILES];
        unsigned n = MIN(b->n_tasks, (unsigned)BARE_FILES);
        char path[160], text[4096];

        for (unsigned i = 0; i < n; i++) {
                leaf_path(b, i, path, sizeof(path));
                strcat(path, "/cpu.stat");
                fds[i] = openat(b->mount_fd, path, O_RDONLY | O_CLOEXEC);
        }
        double before = cpu_usec();
        for (unsigned round = 0; round < TICKS; round++)
                for (unsigned i = 0; i < n; i++)
                        if (pread(fds[i], text, sizeof(text), 0) <= 0)
                                return -1;
        double used = cpu_usec() - before;
        for (unsigned i = 0; i < n; i++)
                fd_close(fds[i]);
        return used / (n * TICKS);
}

/* ---- the sampler ---- */

static void on_snapshot(const SamplerReading *reading, void *userdata) {}

static void on_live(const SamplerReading *readings, size_t n, void *userdata)
{
        Bench *b = userdata;

        b->n_live += n;
        for (size_t i = 0; i < n; i++)
                b->n_known += usage_has(&readings[i].usage, USAGE_CPU);
}

/* All visits up to `until`. */
static void run_until(Bench *b, Sampler *s, usec_t until)
{
        for (usec_t next; (next = sampler_run(s)) <= until;)
                fake_clock_advance(&b->clock, next - b->clock.now_boottime);
}

static int add_all(Bench *b, Sampler *s)
{
        char path[128], key[32];

        for (unsigned i = 0; i < b->n_tasks; i++) {
                snprintf(key, sizeof(key), "bench_sampler_%u", i);
                SamplerTask task = { .key = key,
                                     .attempt = 1,
                                     .leaf = leaf_path(b, i, path, sizeof(path)),
                                     .started_boottime_usec = USEC_PER_SEC };
                int r = sampler_add(s, &task);
                if (r < 0)
                        return r;
        }
        return 0;
}

static int measure(Bench *b, const char *mode, unsigned max_fds, double bare)
{
        _cleanup_(sampler_freep) Sampler *s = NULL;
        SamplerConfig config = { .cgroup_fd = b->mount_fd, .clock = &b->clock.clock, .max_fds = max_fds };
        SamplerCallbacks callbacks = { .on_snapshot = on_snapshot, .on_live = on_live, .userdata = b };
        usec_t start = USEC_PER_DAY; /* old tasks: snapshots are seldom */
        SamplerFigures f;

        fake_clock_init(&b->clock, start, start);
        b->n_live = b->n_known = 0;
        int r = sampler_new(&config, &callbacks, &s);
        if (r < 0 || (r = add_all(b, s)) < 0)
                return r;
        sampler_set_live(s, true);
        run_until(b, s, start + USEC_PER_SEC); /* descriptors are opened, what is absent is learnt */

        size_t warm = b->n_live;
        double before = cpu_usec();
        run_until(b, s, start + (1 + TICKS) * USEC_PER_SEC);
        double used = cpu_usec() - before;
        sampler_figures(s, &f);

        if (warm != b->n_tasks || b->n_live != (size_t)b->n_tasks * (TICKS + 1) || b->n_known != b->n_live) {
                fprintf(stderr, "bench-sampler: read %zu of %u, %zu with a cpu time\n", b->n_live,
                        b->n_tasks * (TICKS + 1), b->n_known);
                return -EIO;
        }
        double each = used / ((double)b->n_tasks * TICKS);
        printf("bench-sampler %u %s us_per_task_tick=%.2f budget_us=%.0f core_share=%.1f%% "
               "bare_pread_us=%.2f "
               "open_fds=%u\n",
               b->n_tasks, mode, each, BUDGET, each * b->n_tasks / 1e6 * 100, bare, f.open_fds);
        return 0;
}

static int bench(int mount_fd, unsigned n_tasks)
{
        Bench b = { .mount_fd = mount_fd, .n_tasks = n_tasks };
        struct rlimit limit;

        snprintf(b.folder, sizeof(b.folder), "reeve-bench-%d", (int)getpid());
        int r = make_leaves(&b);
        if (r >= 0) {
                double bare = bare_pread(&b);
                getrlimit(RLIMIT_NOFILE, &limit);
                r = measure(&b, "rlimit-bound",
                            (unsigned)MIN(limit.rlim_cur - FDS_SPARE, (rlim_t)UINT32_MAX), bare);
                if (r >= 0)
                        r = measure(&b, "default-bound", SAMPLER_FDS_DEFAULT, bare);
        }
        remove_leaves(&b);
        if (r < 0)
                fprintf(stderr, "bench-sampler: %u tasks: %s\n", n_tasks, strerror(-r));
        return r;
}

int main(int argc, char *argv[])
{
        static const char *const defaults[] = { "1000", "10000" };
        const char *const *counts = argc > 1 ? (const char *const *)argv + 1 : defaults;
        int n = argc > 1 ? argc - 1 : (int)ELEMENTSOF(defaults);
        _cleanup_fd_ int mount_fd = -EBADF;
        struct rlimit limit;

        if (cgroup_open_mount(&mount_fd, NULL) < 0) {
                fprintf(stderr, "bench-sampler: no cgroup2 mount on this host\n");
                return 77;
        }
        getrlimit(RLIMIT_NOFILE, &limit);
        limit.rlim_cur = limit.rlim_max;
        setrlimit(RLIMIT_NOFILE, &limit);
        for (int i = 0; i < n; i++) {
                int tasks;
                if (parse_int_range(counts[i], 1, TASKS_MAX, &tasks) < 0) {
                        fprintf(stderr, "bench-sampler: not a number of tasks from 1 to %d: %s\n", TASKS_MAX,
                                counts[i]);
                        return 2;
                }
                if (bench(mount_fd, (unsigned)tasks) < 0)
                        return 1;
        }
        return 0;
}
