/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The sampler's thread with an event loop and the machine's clock, over real cgroups of this host. Nothing
 * here sleeps: each test runs the loop until a callback came, with a limit that only a failure reaches. */

#include "daemon/sampler/sampler.h"

#include <errno.h>
#include <string.h>
#include <sys/stat.h>

#include "basic/fd.h"
#include "basic/strings.h"
#include "common/cgroup/cgroup.h"
#include "tests/unit/test.h"

#define LIMIT_USEC (20 * USEC_PER_SEC)

typedef struct World {
        sd_event *event;
        int mount_fd;
        char *mount_path;
        char leaf[64];
        Sampler *sampler;
        size_t n_snapshots, n_live;
        SamplerReading last;
} World;

static World world;

static void on_snapshot(const SamplerReading *reading, void *userdata)
{
        World *w = userdata;

        w->n_snapshots++;
        w->last = *reading;
}

static void on_live(const SamplerReading *readings, size_t n, void *userdata)
{
        World *w = userdata;

        w->n_live += n;
}

static int on_limit(sd_event_source *source, usec_t usec, void *userdata)
{
        fail_msg("nothing came within %d s", (int)(LIMIT_USEC / USEC_PER_SEC));
        return 0;
}

static int make_world(void **state)
{
        world = (World){ .mount_fd = -EBADF };
        if (cgroup_open_mount(&world.mount_fd, &world.mount_path) < 0)
                return 0;
        snprintf(world.leaf, sizeof(world.leaf), "reeve-test-sampler-%d", (int)getpid());
        if (mkdirat(world.mount_fd, world.leaf, 0755) < 0) {
                world.mount_fd = fd_close(world.mount_fd);
                return 0;
        }
        return sd_event_new(&world.event);
}

static int end_world(void **state)
{
        world.sampler = sampler_free(world.sampler);
        if (world.mount_fd >= 0)
                unlinkat(world.mount_fd, world.leaf, AT_REMOVEDIR);
        fd_close(world.mount_fd);
        free(world.mount_path);
        sd_event_unref(world.event);
        return 0;
}

/* Ticks of a tenth of a second, so that the test is short. */
static void start(void)
{
        SamplerConfig config = { .event = world.event,
                                 .cgroup_fd = world.mount_fd,
                                 .tick_usec = 100 * USEC_PER_MSEC,
                                 .min_usec = 100 * USEC_PER_MSEC,
                                 .max_fds = 100 };
        SamplerCallbacks callbacks = { .on_snapshot = on_snapshot, .on_live = on_live, .userdata = &world };

        if (world.mount_fd < 0) {
                print_message("skipped: no writable cgroup2 mount on this host\n");
                skip();
        }
        assert_int_equal(sampler_new(&config, &callbacks, &world.sampler), 0);
        assert_int_equal(sd_event_add_time_relative(world.event, NULL, CLOCK_MONOTONIC, LIMIT_USEC, 0,
                                                    on_limit, NULL),
                         0);
}

static void add(const char *key, usec_t age)
{
        usec_t now = clock_boottime(clock_system());
        SamplerTask task = {
                .key = key, .attempt = 1, .leaf = world.leaf, .started_boottime_usec = usec_sub(now, age)
        };
        assert_int_equal(sampler_add(world.sampler, &task), 0);
}

static void run_until(const size_t *counter, size_t n)
{
        while (*counter < n)
                assert_true(sd_event_run(world.event, UINT64_MAX) >= 0);
}

static SamplerFigures figures(void)
{
        SamplerFigures f;
        sampler_figures(world.sampler, &f);
        return f;
}

static void test_snapshots(void **state _unused_)
{
        start();
        add("a", 0);
        run_until(&world.n_snapshots, 3);
        assert_string_equal(world.last.target.key, "a");
        assert_int_equal(world.last.usage.source[USAGE_CPU], USAGE_KERNEL);
        assert_int_equal(world.last.usage.value[USAGE_CPU], 0); /* an empty cgroup */
        assert_in_range(world.last.elapsed_usec, 1, LIMIT_USEC);
        usec_t now = clock_realtime(clock_system());
        assert_in_range(world.last.taken_realtime_usec, now - LIMIT_USEC, now);
}

static void test_live(void **state _unused_)
{
        start();
        add("a", USEC_PER_DAY);
        sampler_set_live(world.sampler, true); /* wakes a thread that would sleep for minutes */
        run_until(&world.n_live, 5);
        assert_in_range(world.n_snapshots, 0, 1);
}

/* A removed cgroup, whose descriptors are kept: no more readings, and its key can be removed. */
static void test_vanished_leaf(void **state _unused_)
{
        start();
        add("a", 0);
        run_until(&world.n_snapshots, 2);
        assert_true(figures().open_fds >= 2);
        assert_int_equal(unlinkat(world.mount_fd, world.leaf, AT_REMOVEDIR), 0);
        while (figures().open_fds > 0) /* closed by the visit that finds it gone */
                assert_true(sd_event_run(world.event, 50 * USEC_PER_MSEC) >= 0);
        uint64_t readings = figures().readings;
        assert_int_equal(mkdirat(world.mount_fd, world.leaf, 0755), 0); /* another cgroup of that name */
        add("b", 0);
        size_t before = world.n_snapshots;
        run_until(&world.n_snapshots, before + 3);
        assert_string_equal(world.last.target.key, "b");
        assert_in_range(figures().readings, readings + 3, readings + 4);
        sampler_remove(world.sampler, "a");
        assert_int_equal(figures().tasks, 1);
}

/* Tasks come and go faster than the thread looks, and the sampler ends while it works; for the thread
 * sanitizer too. */
static void test_churn(void **state _unused_)
{
        char key[32];

        start();
        for (unsigned i = 0; i < 3000; i++) {
                snprintf(key, sizeof(key), "t%u", i);
                add(key, 0);
                if (i >= 50) {
                        snprintf(key, sizeof(key), "t%u", i - 50);
                        sampler_remove(world.sampler, key);
                }
                if (i % 100 == 0) {
                        sampler_set_live(world.sampler, i % 200 == 0);
                        assert_true(sd_event_run(world.event, 0) >= 0);
                }
        }
        assert_int_equal(figures().tasks, 50);
        size_t before = world.n_snapshots;
        run_until(&world.n_snapshots, before + 100);
        snprintf(key, sizeof(key), "t%u", 2999);
        sampler_remove(world.sampler, key);
}

static void test_remove_wakes(void **state _unused_)
{
        start();
        add("a", USEC_PER_DAY);
        run_until(&world.n_snapshots, 1); /* the next is five minutes off */
        sampler_set_live(world.sampler, true);
        run_until(&world.n_live, 1);
        sampler_set_live(world.sampler, false);
        sampler_remove(world.sampler, "a");
        while (figures().open_fds > 0)
                assert_true(sd_event_run(world.event, 50 * USEC_PER_MSEC) >= 0);
        size_t live = world.n_live;
        assert_true(sd_event_run(world.event, 0) >= 0);
        assert_int_equal(world.n_live, live);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, make_world, end_world)

int main(void)
{
        const struct CMUnitTest tests[] = {
                TEST(test_snapshots), TEST(test_live),         TEST(test_vanished_leaf),
                TEST(test_churn),     TEST(test_remove_wakes),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
