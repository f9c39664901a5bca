/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The sampler without its thread, over a tree of plain files and with a clock that is moved by hand: when
 * it reads, what it reads, how many descriptors it keeps, and what comes of it. test-sampler-thread.c has
 * the thread and real cgroups. */

#include "daemon/sampler/sampler.h"

#include <dirent.h>
#include <errno.h>
#include <ftw.h>
#include <string.h>
#include <sys/stat.h>

#include "basic/fd.h"
#include "basic/strings.h"
#include "common/cgroup/cgroup.h"
#include "daemon/sampler/cadence.h"
#include "tests/unit/test.h"

#define BOOT_USEC (100000 * USEC_PER_SEC)
#define WALL_USEC (UINT64_C(1790000000) * USEC_PER_SEC)

typedef struct World {
        char directory[64];
        int mount_fd;
        FakeClock clock;
        Sampler *sampler;

        /* what the callbacks saw */
        size_t n_snapshots, n_live, n_live_calls, n_looks, n_wanted;
        SamplerReading last_snapshot, last_live, last_look;
        char last_key[32], wanted_key[32];
        unsigned wanted_attempt;
        bool answers; /* the fall-back is answered at once */
        const char *remove_in_callback;
} World;

static World world;

static void put(const char *leaf, const char *file, const char *text)
{
        _cleanup_free_ char *folder = string_printf("%s/%s", world.directory, leaf);
        _cleanup_free_ char *path = string_printf("%s/%s", folder, file);

        mkdir(folder, 0700);
        _cleanup_fd_ int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
        assert_true(fd >= 0);
        assert_int_equal(fd_write_full(fd, text, strlen(text)), 0);
}

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
        return remove(path);
}

static void remove_leaf(const char *leaf)
{
        _cleanup_free_ char *folder = string_printf("%s/%s", world.directory, leaf);
        assert_int_equal(nftw(folder, remove_one, 8, FTW_DEPTH | FTW_PHYS), 0);
}

static void put_cpu(const char *leaf, unsigned usec)
{
        _cleanup_free_ char *text = string_printf("usage_usec %u\nuser_usec %u\nsystem_usec %u\n", usec,
                                                  usec / 2, usec / 2);
        put(leaf, "cpu.stat", text);
}

/* A leaf with everything that procfs could otherwise be asked for. */
static void make_leaf(const char *leaf)
{
        put_cpu(leaf, 100);
        put(leaf, "memory.current", "4096\n");
        put(leaf, "memory.stat", "anon 1000\nfile 96\n");
        put(leaf, "io.stat", "8:0 rbytes=1 wbytes=2 rios=3 wios=4 dbytes=0 dios=0\n");
        put(leaf, "pids.current", "1\n");
}

static int add_task(Sampler *s, const char *key, unsigned attempt, const char *leaf, usec_t started,
                    void *userdata)
{
        return sampler_add(s, &(SamplerTask){ .key = key,
                                              .attempt = attempt,
                                              .leaf = leaf,
                                              .started_boottime_usec = started,
                                              .userdata = userdata });
}

/* ---- callbacks ---- */

static void on_snapshot(const SamplerReading *reading, void *userdata)
{
        World *w = userdata;

        w->n_snapshots++;
        w->last_snapshot = *reading;
        snprintf(w->last_key, sizeof(w->last_key), "%s", reading->target.key);
        if (w->remove_in_callback)
                sampler_remove(w->sampler, w->remove_in_callback);
}

static void on_live(const SamplerReading *readings, size_t n, void *userdata)
{
        World *w = userdata;

        assert_in_range(n, 1, SAMPLER_BATCH_MAX);
        w->n_live_calls++;
        w->n_live += n;
        w->last_live = readings[n - 1];
}

static void on_look(const SamplerReading *reading, void *userdata)
{
        World *w = userdata;

        w->n_looks++;
        w->last_look = *reading;
}

static Usage procfs_usage(void)
{
        Usage u = { 0 };

        usage_set(&u, USAGE_CPU, 999999, USAGE_PROCFS);
        usage_set(&u, USAGE_MEMORY_CURRENT, 8192, USAGE_PROCFS);
        usage_set(&u, USAGE_IO_READ, 7, USAGE_PROCFS);
        usage_set(&u, USAGE_IO_WRITE, 8, USAGE_PROCFS);
        return u;
}

static void on_fallback_wanted(const SamplerTarget *targets, size_t n, void *userdata)
{
        World *w = userdata;
        Usage u = procfs_usage();

        assert_in_range(n, 1, SAMPLER_BATCH_MAX);
        w->n_wanted += n;
        snprintf(w->wanted_key, sizeof(w->wanted_key), "%s", targets[0].key);
        w->wanted_attempt = targets[0].attempt;
        for (size_t i = 0; i < n && w->answers; i++)
                sampler_fallback(w->sampler, targets[i].key, &u);
}

/* ---- the world ---- */

static int make_world(void **state)
{
        world = (World){ .directory = "/tmp/reeve-test-sampler-XXXXXX", .mount_fd = -EBADF };
        if (!mkdtemp(world.directory))
                return -1;
        world.mount_fd = open(world.directory, O_PATH | O_DIRECTORY | O_CLOEXEC);
        fake_clock_init(&world.clock, WALL_USEC, BOOT_USEC);
        return 0;
}

static int end_world(void **state)
{
        world.sampler = sampler_free(world.sampler);
        fd_close(world.mount_fd);
        return nftw(world.directory, remove_one, 8, FTW_DEPTH | FTW_PHYS);
}

static void start_sampler(unsigned max_fds, bool fallback)
{
        SamplerConfig config = { .cgroup_fd = world.mount_fd,
                                 .clock = &world.clock.clock,
                                 .max_fds = max_fds };
        SamplerCallbacks callbacks = { .on_snapshot = on_snapshot,
                                       .on_live = on_live,
                                       .on_look = on_look,
                                       .on_fallback_wanted = fallback ? on_fallback_wanted : NULL,
                                       .userdata = &world };

        assert_int_equal(sampler_new(&config, &callbacks, &world.sampler), 0);
}

static void add(const char *key)
{
        assert_int_equal(add_task(world.sampler, key, 1, key, world.clock.now_boottime, NULL), 0);
}

static SamplerFigures figures(void)
{
        SamplerFigures f;
        sampler_figures(world.sampler, &f);
        return f;
}

/* Moves the clock from visit to visit, as the thread would sleep. */
static void run_for(usec_t span)
{
        usec_t end = world.clock.now_boottime + span;

        for (;;) {
                usec_t next = sampler_run(world.sampler);
                assert_true(next > world.clock.now_boottime);
                if (next > end)
                        break;
                fake_clock_advance(&world.clock, next - world.clock.now_boottime);
        }
        fake_clock_advance(&world.clock, end - world.clock.now_boottime);
}

/* ---- when ---- */

static void test_cadence(void **state _unused_)
{
        const Cadence c = { USEC_PER_SEC, USEC_PER_SEC, 300 * USEC_PER_SEC };
        static const struct {
                unsigned elapsed, interval; /* seconds */
        } cases[] = {
                { 0, 1 },     { 99, 1 },      { 149, 1 },          { 150, 2 },
                { 1000, 10 }, { 29950, 300 }, { 4000000000, 300 },
        };
        for (size_t i = 0; i < ELEMENTSOF(cases); i++)
                assert_int_equal(cadence_snapshot_interval(&c, cases[i].elapsed * USEC_PER_SEC),
                                 cases[i].interval * USEC_PER_SEC);

        assert_int_equal(cadence_next_point(&c, 20000, 0), 20000);
        assert_int_equal(cadence_next_point(&c, 20000, 19999), 20000);
        assert_int_equal(cadence_next_point(&c, 20000, 20000), 1020000);
        assert_int_equal(cadence_next_point(&c, 0, 5 * USEC_PER_SEC), 6 * USEC_PER_SEC);

        /* whole ticks, but never below min */
        const Cadence odd = { USEC_PER_SEC, 1200 * USEC_PER_MSEC, 10 * USEC_PER_SEC };
        assert_int_equal(cadence_snapshot_interval(&odd, 0), 2 * USEC_PER_SEC);
        /* min and max below a tick: the tick */
        const Cadence fine = { USEC_PER_SEC, 1, 2 };
        assert_int_equal(cadence_snapshot_interval(&fine, USEC_PER_DAY), USEC_PER_SEC);

        assert_int_equal(cadence_slow_interval(&c, USEC_INFINITY), 10 * USEC_PER_SEC);
        assert_int_equal(cadence_slow_interval(&c, 0), USEC_PER_SEC);
        assert_int_equal(cadence_slow_interval(&c, 7 * USEC_PER_SEC), 7 * USEC_PER_SEC);
        assert_int_equal(cadence_slow_interval(&c, 11 * USEC_PER_SEC), 10 * USEC_PER_SEC);
        const Cadence quick = { 100 * USEC_PER_MSEC, 1, 2 }, lazy = { USEC_PER_MINUTE, 1, 2 };
        assert_int_equal(cadence_slow_interval(&quick, USEC_PER_DAY), USEC_PER_SEC);
        assert_int_equal(cadence_slow_interval(&lazy, 0), 10 * USEC_PER_SEC);
}

static void test_rows(void **state _unused_)
{
        make_leaf("a");
        start_sampler(100, true);
        add("a");
        run_for(10 * USEC_PER_SEC);
        assert_int_equal(world.n_snapshots, 10);
        run_for(USEC_PER_DAY - 10 * USEC_PER_SEC);
        assert_in_range(world.n_snapshots, 700, 999);
        assert_int_equal(world.n_live, 0);
        assert_int_equal(world.n_wanted, 0);
        /* nobody watches: read for snapshots only */
        assert_int_equal(figures().readings, world.n_snapshots);
}

/* A policy's bounds for one task; where only one is given, the other is the reader's. */
static void test_rows_of_a_task_with_bounds(void **state _unused_)
{
        SamplerTask t = { .key = "a", .leaf = "a", .started_boottime_usec = BOOT_USEC };

        make_leaf("a");
        start_sampler(100, true);
        t.min_usec = 10 * USEC_PER_SEC;
        t.max_usec = 20 * USEC_PER_SEC;
        assert_int_equal(sampler_add(world.sampler, &t), 0);
        run_for(100 * USEC_PER_SEC);
        assert_int_equal(world.n_snapshots, 10);
        run_for(USEC_PER_DAY - 100 * USEC_PER_SEC);
        assert_in_range(world.n_snapshots, 4000,
                        4500); /* every 20 s; without bounds it would be under a thousand */

        sampler_remove(world.sampler, "a");
        world.n_snapshots = 0;
        t.started_boottime_usec = world.clock.now_boottime;
        t.min_usec = 10 * USEC_PER_MINUTE; /* above the reader's longest */
        t.max_usec = 0;
        assert_int_equal(sampler_add(world.sampler, &t), 0);
        run_for(USEC_PER_HOUR);
        assert_int_equal(world.n_snapshots, 6);
}

static void test_reading(void **state _unused_)
{
        int cookie;

        make_leaf("a");
        start_sampler(100, true);
        assert_int_equal(add_task(world.sampler, "a", 3, "a", world.clock.now_boottime, &cookie), 0);
        run_for(USEC_PER_SEC);
        const SamplerReading *s = &world.last_snapshot;
        assert_string_equal(world.last_key, "a");
        assert_int_equal(s->target.attempt, 3);
        assert_ptr_equal(s->target.userdata, &cookie);
        assert_in_range(s->elapsed_usec, 1, USEC_PER_SEC);
        assert_int_equal(s->taken_realtime_usec, WALL_USEC + s->elapsed_usec);
        assert_int_equal(s->usage.value[USAGE_CPU], 100);
        assert_int_equal(s->usage.source[USAGE_CPU], USAGE_KERNEL);
        assert_int_equal(s->usage.value[USAGE_MEMORY_CURRENT], 4096);
        assert_int_equal(s->usage.value[USAGE_IO_WRITE], 2);
        assert_int_equal(s->usage.source[USAGE_MEMORY_PEAK], USAGE_UNKNOWN);
}

static void test_recovered_task(void **state _unused_)
{
        make_leaf("a");
        start_sampler(100, true);
        assert_int_equal(add_task(world.sampler, "a", 1, "a", BOOT_USEC - 1000 * USEC_PER_SEC, NULL), 0);
        run_for(USEC_PER_SEC);
        assert_int_equal(world.n_snapshots, 1); /* at once, then by its age */
        assert_in_range(world.last_snapshot.elapsed_usec, 1000 * USEC_PER_SEC, 1001 * USEC_PER_SEC);
        run_for(9 * USEC_PER_SEC - 1);
        assert_int_equal(world.n_snapshots, 1);
        run_for(2 * USEC_PER_SEC);
        assert_int_equal(world.n_snapshots, 2);
}

static void test_spread(void **state _unused_)
{
        size_t most = 0;
        char key[16];

        make_leaf("a");
        start_sampler(0, false);
        for (unsigned i = 0; i < 1000; i++) {
                snprintf(key, sizeof(key), "t%u", i);
                assert_int_equal(add_task(world.sampler, key, 1, "a", BOOT_USEC, NULL), 0);
        }
        for (usec_t end = BOOT_USEC + USEC_PER_SEC; world.clock.now_boottime <= end;) {
                size_t before = world.n_snapshots;
                usec_t next = sampler_run(world.sampler);
                most = MAX(most, world.n_snapshots - before);
                fake_clock_advance(&world.clock, next - world.clock.now_boottime);
        }
        assert_int_equal(world.n_snapshots, 1000);
        assert_int_equal(most, 1000 / SAMPLER_SLICES);
}

static void test_late_thread(void **state _unused_)
{
        make_leaf("a");
        start_sampler(100, true);
        add("a");
        run_for(2 * USEC_PER_SEC);
        size_t before = world.n_snapshots;
        fake_clock_advance(&world.clock, USEC_PER_HOUR); /* suspended */
        usec_t next = sampler_run(world.sampler);
        assert_int_equal(world.n_snapshots, before + 1); /* what was missed is not made up for */
        assert_true(next > world.clock.now_boottime && next <= world.clock.now_boottime + 36 * USEC_PER_SEC);
}

static void test_live(void **state _unused_)
{
        make_leaf("a");
        start_sampler(100, true);
        assert_int_equal(add_task(world.sampler, "a", 1, "a", BOOT_USEC - 5000 * USEC_PER_SEC, NULL), 0);
        sampler_set_live(world.sampler, true);
        run_for(40 * USEC_PER_SEC);
        assert_int_equal(world.n_live, 40);
        assert_int_equal(world.n_snapshots, 1); /* watching stores nothing more: every 50 s */
        put_cpu("a", 777);
        run_for(USEC_PER_SEC);
        assert_int_equal(world.last_live.usage.value[USAGE_CPU], 777);

        sampler_set_live(world.sampler, false);
        size_t readings = figures().readings;
        run_for(5 * USEC_PER_SEC);
        assert_int_equal(world.n_live, 41);
        assert_int_equal(figures().readings, readings);
        run_for(10 * USEC_PER_SEC);
        assert_int_equal(world.n_snapshots, 2);
}

/* An old task of whom only one in a hundred seconds would be stored; the one beside it is not looked at. */
static void test_look(void **state _unused_)
{
        SamplerTask t = { .key = "a",
                          .leaf = "a",
                          .started_boottime_usec = BOOT_USEC - 10000 * USEC_PER_SEC,
                          .look_usec = 3 * USEC_PER_SEC + 1 };

        make_leaf("a");
        make_leaf("b");
        start_sampler(100, true);
        assert_int_equal(sampler_add(world.sampler, &t), 0);
        assert_int_equal(add_task(world.sampler, "b", 1, "b", t.started_boottime_usec, NULL), 0);
        run_for(USEC_PER_SEC);
        assert_int_equal(world.n_looks, 1);
        put("a", "io.stat", "8:0 rbytes=55 wbytes=2 rios=3 wios=4 dbytes=0 dios=0\n");
        put_cpu("a", 888);
        run_for(30 * USEC_PER_SEC);
        assert_int_equal(world.n_looks, 11);
        assert_int_equal(world.n_snapshots, 2); /* one of each */
        assert_int_equal(figures().readings, 12);
        assert_string_equal(world.last_look.target.key, "a");
        assert_int_equal(world.last_look.usage.value[USAGE_CPU], 888);
        assert_int_equal(world.last_look.usage.value[USAGE_IO_READ],
                         55); /* however often: never an old value */
}

/* ---- what ---- */

static void test_tiers(void **state _unused_)
{
        make_leaf("a");
        start_sampler(100, true);
        add("a");
        run_for(USEC_PER_SEC);
        assert_int_equal(figures().slow, 1);

        /* young: at the ages of about 0, 1, 3, 7 and 15 s */
        put("a", "pids.current", "4\n");
        run_for(USEC_PER_SEC);
        assert_int_equal(figures().slow, 2);
        assert_int_equal(world.last_snapshot.usage.value[USAGE_PIDS_CURRENT], 4);
        run_for(14 * USEC_PER_SEC);
        assert_in_range(figures().slow, 4, 6);

        /* older: every ten ticks. Right after such a reading, nine more are without. */
        run_for(14 * USEC_PER_SEC);
        for (size_t slow = figures().slow; figures().slow == slow;)
                run_for(USEC_PER_SEC);
        size_t slow = figures().slow;
        put("a", "pids.current", "5\n");
        put("a", "memory.current", "5000\n");
        run_for(9 * USEC_PER_SEC);
        assert_int_equal(figures().slow, slow);
        assert_int_equal(world.last_snapshot.usage.value[USAGE_MEMORY_CURRENT], 5000);
        assert_int_equal(world.last_snapshot.usage.value[USAGE_PIDS_CURRENT], 4); /* at most ten ticks old */
        run_for(USEC_PER_SEC);
        assert_int_equal(figures().slow, slow + 1);
        assert_int_equal(world.last_snapshot.usage.value[USAGE_PIDS_CURRENT], 5);
        run_for(30 * USEC_PER_SEC);
        assert_int_equal(figures().slow, slow + 4);

        /* visits ten seconds apart and more read everything */
        run_for(2000 * USEC_PER_SEC);
        SamplerFigures before = figures();
        run_for(1000 * USEC_PER_SEC);
        assert_int_equal(figures().slow - before.slow, figures().readings - before.readings);
}

static void test_anon_peak(void **state _unused_)
{
        make_leaf("a");
        start_sampler(100, true);
        add("a");
        run_for(USEC_PER_SEC);
        assert_int_equal(world.last_snapshot.usage.value[USAGE_MEMORY_ANON_PEAK], 1000);
        put("a", "memory.stat", "anon 9000\n");
        run_for(10 * USEC_PER_SEC);
        assert_int_equal(world.last_snapshot.usage.value[USAGE_MEMORY_ANON_PEAK], 9000);
        put("a", "memory.stat", "anon 500\n");
        run_for(10 * USEC_PER_SEC);
        assert_int_equal(world.last_snapshot.usage.value[USAGE_MEMORY_ANON_PEAK], 9000);
}

static void test_bad_files(void **state _unused_)
{
        _cleanup_free_ char *huge = malloc(100000);

        make_leaf("a");
        memset(huge, '1', 99999);
        huge[99999] = '\0';
        put("a", "pids.current", huge); /* does not fit: no half numbers */
        put("a", "io.stat", "garbage\n");
        put("a", "memory.stat", "");
        start_sampler(100, false);
        add("a");
        run_for(USEC_PER_SEC);
        assert_int_equal(world.n_snapshots, 1);
        assert_int_equal(world.last_snapshot.usage.source[USAGE_PIDS_CURRENT], USAGE_UNKNOWN);
        assert_int_equal(world.last_snapshot.usage.source[USAGE_MEMORY_ANON_PEAK], USAGE_UNKNOWN);
        assert_int_equal(world.last_snapshot.usage.value[USAGE_CPU], 100);
}

/* ---- descriptors ---- */

static unsigned count_fds(void)
{
        unsigned n = 0;
        DIR *d = opendir("/proc/self/fd");

        assert_non_null(d);
        while (readdir(d))
                n++;
        closedir(d);
        return n;
}

static void test_fd_bound(void **state _unused_)
{
        char key[16];

        make_leaf("a");
        start_sampler(10, true);
        unsigned before = count_fds();
        for (unsigned i = 0; i < 20; i++) {
                snprintf(key, sizeof(key), "t%u", i);
                assert_int_equal(add_task(world.sampler, key, 1, "a", BOOT_USEC, NULL), 0);
        }
        run_for(5 * USEC_PER_SEC);
        assert_int_equal(world.n_snapshots, 100); /* those beyond the bound are read all the same */
        assert_int_equal(figures().open_fds, 9);
        assert_int_equal(count_fds(), before + 9);

        /* old tasks are visited seldom and keep nothing */
        run_for(2000 * USEC_PER_SEC);
        assert_int_equal(figures().open_fds, 0);
        assert_int_equal(count_fds(), before);
        sampler_set_live(world.sampler, true);
        run_for(2 * USEC_PER_SEC);
        assert_int_equal(figures().open_fds, 9);

        for (unsigned i = 0; i < 20; i++) {
                snprintf(key, sizeof(key), "t%u", i);
                sampler_remove(world.sampler, key);
        }
        sampler_run(world.sampler);
        assert_int_equal(figures().open_fds, 0);
        assert_int_equal(figures().tasks, 0);
        assert_int_equal(count_fds(), before);
}

/* ---- coming and going ---- */

static void test_removal(void **state _unused_)
{
        make_leaf("a");
        start_sampler(100, true);
        add("a");
        sampler_remove(world.sampler, "a"); /* before it was ever seen */
        assert_true(sampler_run(world.sampler) == USEC_INFINITY);
        add("a");
        assert_int_equal(add_task(world.sampler, "a", 2, "a", BOOT_USEC, NULL), -EEXIST);
        run_for(3 * USEC_PER_SEC);
        assert_int_equal(world.n_snapshots, 3);
        sampler_remove(world.sampler, "a");
        sampler_remove(world.sampler, "a");
        sampler_remove(world.sampler, "nobody");
        run_for(100 * USEC_PER_SEC);
        assert_int_equal(world.n_snapshots, 3);

        /* a new attempt under the same key */
        assert_int_equal(add_task(world.sampler, "a", 2, "a", world.clock.now_boottime, NULL), 0);
        run_for(USEC_PER_SEC);
        assert_int_equal(world.n_snapshots, 4);
        assert_int_equal(world.last_snapshot.target.attempt, 2);
}

static void test_removal_in_callback(void **state _unused_)
{
        make_leaf("a");
        start_sampler(100, true);
        add("a");
        add("b"); /* the same batch, if the clock jumps */
        put_cpu("b", 1);
        sampler_run(world.sampler);
        fake_clock_advance(&world.clock, 2 * USEC_PER_SEC);
        world.remove_in_callback = "b";
        sampler_set_live(world.sampler, true);
        sampler_run(world.sampler);
        fake_clock_advance(&world.clock, 2 * USEC_PER_SEC);
        sampler_run(world.sampler);
        assert_int_equal(world.n_snapshots, 2);
        assert_string_equal(world.last_key, "a");
        assert_string_equal(world.last_live.target.key, "a");
        assert_int_equal(world.n_wanted,
                         0); /* "b", which lacks fields, was not asked for after its removal */
}

static void test_vanished_leaf(void **state _unused_)
{
        make_leaf("a");
        make_leaf("b");
        start_sampler(0, true); /* nothing kept: kept descriptors of plain files would go on working */
        add("a");
        add("b");
        run_for(2 * USEC_PER_SEC);
        assert_int_equal(world.n_snapshots, 4);
        remove_leaf("a");
        run_for(2 * USEC_PER_SEC);
        assert_int_equal(world.n_snapshots, 6);
        assert_string_equal(world.last_key, "b");
        assert_int_equal(figures().tasks, 2);
        sampler_remove(world.sampler, "a");
        sampler_remove(world.sampler, "b");
        run_for(USEC_PER_SEC);
        assert_true(sampler_run(world.sampler) == USEC_INFINITY);
        assert_int_equal(figures().tasks, 0);
}

/* ---- the fall-back ---- */

static void test_fallback(void **state _unused_)
{
        Usage u = procfs_usage();

        put_cpu("a", 100); /* a leaf without memory, io and pids controllers */
        start_sampler(100, true);
        assert_int_equal(add_task(world.sampler, "a", 7, "a", world.clock.now_boottime, NULL), 0);
        run_for(USEC_PER_SEC);
        assert_int_equal(world.n_snapshots, 0); /* held */
        assert_int_equal(world.n_wanted, 1);
        assert_string_equal(world.wanted_key, "a");
        assert_int_equal(world.wanted_attempt, 7);

        sampler_fallback(world.sampler, "nobody", &u);
        assert_int_equal(world.n_snapshots, 0);
        sampler_fallback(world.sampler, "a", &u);
        assert_int_equal(world.n_snapshots, 1);
        const Usage *got = &world.last_snapshot.usage;
        assert_int_equal(got->value[USAGE_CPU], 100); /* the cgroup's number is the better one */
        assert_int_equal(got->source[USAGE_CPU], USAGE_KERNEL);
        assert_int_equal(got->value[USAGE_MEMORY_CURRENT], 8192);
        assert_int_equal(got->source[USAGE_MEMORY_CURRENT], USAGE_PROCFS);
        assert_int_equal(got->source[USAGE_PIDS_CURRENT], USAGE_UNKNOWN);

        sampler_fallback(world.sampler, "a", &u); /* nobody asked */
        assert_int_equal(world.n_snapshots, 1);

        /* "no answer" releases the next one as it is */
        run_for(USEC_PER_SEC);
        sampler_fallback(world.sampler, "a", NULL);
        assert_int_equal(world.n_snapshots, 2);
        assert_int_equal(world.last_snapshot.usage.source[USAGE_MEMORY_CURRENT], USAGE_UNKNOWN);

        /* no reaction at all: the next reading releases it */
        run_for(2 * USEC_PER_SEC);
        assert_int_equal(world.n_snapshots, 3);

        /* removed while held: no callback */
        sampler_remove(world.sampler, "a");
        sampler_fallback(world.sampler, "a", &u);
        run_for(USEC_PER_SEC);
        assert_int_equal(world.n_snapshots, 3);
}

static void test_fallback_live(void **state _unused_)
{
        put_cpu("a", 100);
        start_sampler(100, true);
        world.answers = true; /* from within the question */
        add("a");
        sampler_set_live(world.sampler, true);
        run_for(USEC_PER_SEC);
        assert_int_equal(world.n_snapshots, 1);
        assert_int_equal(world.last_snapshot.usage.source[USAGE_MEMORY_CURRENT], USAGE_PROCFS);
        run_for(USEC_PER_SEC);
        assert_int_equal(world.last_live.usage.source[USAGE_MEMORY_CURRENT], USAGE_PROCFS);
        assert_int_equal(world.n_live, 2);
}

static void test_without_cgroup(void **state _unused_)
{
        fd_close(world.mount_fd);
        world.mount_fd = -EBADF;
        start_sampler(100, true);
        world.answers = true;
        assert_int_equal(add_task(world.sampler, "a", 1, NULL, world.clock.now_boottime, NULL), 0);
        assert_int_equal(add_task(world.sampler, "b", 1, "ignored", world.clock.now_boottime, NULL), 0);
        run_for(USEC_PER_SEC);
        assert_int_equal(world.n_snapshots, 2);
        assert_int_equal(world.last_snapshot.usage.value[USAGE_CPU], 999999);
        assert_int_equal(world.last_snapshot.usage.source[USAGE_CPU], USAGE_PROCFS);
}

static void test_bad_config(void **state _unused_)
{
        SamplerCallbacks none = { 0 }, callbacks = { .on_snapshot = on_snapshot };
        SamplerConfig config = { .cgroup_fd = world.mount_fd, .min_usec = 2, .max_usec = 1 };
        Sampler *s = NULL;

        assert_int_equal(sampler_new(&config, &callbacks, &s), -EINVAL);
        config.max_usec = 3;
        assert_int_equal(sampler_new(&config, &none, &s), -EINVAL);
        config.cgroup_fd = 1 << 20;
        assert_int_equal(sampler_new(&config, &callbacks, &s), -EBADF);
        assert_null(s);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, make_world, end_world)

int main(void)
{
        const struct CMUnitTest tests[] = {
                TEST(test_cadence),        TEST(test_rows),           TEST(test_rows_of_a_task_with_bounds),
                TEST(test_reading),        TEST(test_recovered_task), TEST(test_spread),
                TEST(test_late_thread),    TEST(test_live),           TEST(test_look),
                TEST(test_tiers),          TEST(test_anon_peak),      TEST(test_bad_files),
                TEST(test_fd_bound),       TEST(test_removal),        TEST(test_removal_in_callback),
                TEST(test_vanished_leaf),  TEST(test_fallback),       TEST(test_fallback_live),
                TEST(test_without_cgroup), TEST(test_bad_config),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
