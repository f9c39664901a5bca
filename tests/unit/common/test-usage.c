/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The account: names, fall-back, and the readers of kernel files with the texts that kernels write, texts that
 * none writes, and a sysfs of our own for stacked devices. */

#include "common/usage/usage.h"

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "basic/fd.h"
#include "basic/strings.h"
#include "tests/unit/test.h"

static void parse(Usage *u, const char *file, const char *text)
{
        assert_int_equal(usage_parse_file(u, file, text, USAGE_KERNEL_FINAL), 1);
}

static void expect(const Usage *u, UsageField f, int64_t value)
{
        if (!usage_has(u, f))
                fail_msg("%s is not known, expected %jd", usage_field_info(f)->name, (intmax_t)value);
        if (u->value[f] != value)
                fail_msg("%s is %jd, expected %jd", usage_field_info(f)->name, (intmax_t)u->value[f],
                         (intmax_t)value);
        assert_int_equal(u->source[f], USAGE_KERNEL_FINAL);
}

static size_t n_known(const Usage *u)
{
        size_t n = 0;

        for (int f = 0; f < _USAGE_FIELD_MAX; f++)
                n += usage_has(u, (UsageField)f);
        return n;
}

static void test_names(void **state _unused_)
{
        for (int f = 0; f < _USAGE_FIELD_MAX; f++) {
                const UsageFieldInfo *info = usage_field_info((UsageField)f);
                assert_non_null(info->name);
                assert_true(strlen(info->text) > 0);
                assert_int_equal(usage_field_from_name(info->name), f);
        }
        assert_int_equal(usage_field_from_name(""), _USAGE_FIELD_INVALID);
        assert_int_equal(usage_field_from_name("CPU_USEC"), _USAGE_FIELD_INVALID);
        assert_int_equal(usage_field_info(USAGE_CPU)->kind, USAGE_KIND_USEC);
        assert_true(usage_field_info(USAGE_CPU)->total);
        assert_false(usage_field_info(USAGE_MEMORY_PEAK)->total);

        for (int s = 0; s < _USAGE_SOURCE_MAX; s++)
                assert_int_equal(usage_source_from_name(usage_source_name((UsageSource)s)), s);
        assert_string_equal(usage_source_name(USAGE_KERNEL_FINAL), "kernel-final");
        assert_int_equal(usage_source_from_name("kern"), _USAGE_SOURCE_INVALID);
}

static void test_set_and_fill(void **state _unused_)
{
        Usage u = { 0 }, other = { 0 };

        assert_false(usage_has(&u, USAGE_CPU));
        usage_set(&u, USAGE_CPU, 5, USAGE_KERNEL);
        usage_set(&u, USAGE_IO_READ, UINT64_MAX, USAGE_KERNEL);
        assert_true(u.value[USAGE_IO_READ] == INT64_MAX);

        usage_set(&other, USAGE_CPU, 6, USAGE_RUSAGE);
        usage_set(&other, USAGE_MEMORY_PEAK, 0, USAGE_RUSAGE);
        usage_fill(&u, &other);
        assert_int_equal(u.value[USAGE_CPU], 5);
        assert_int_equal(u.source[USAGE_CPU], USAGE_KERNEL);
        assert_true(usage_has(&u, USAGE_MEMORY_PEAK)); /* a known 0 is known */
        assert_int_equal(u.source[USAGE_MEMORY_PEAK], USAGE_RUSAGE);
        assert_false(usage_has(&u, USAGE_CPU_USER));
}

static void test_cpu_stat(void **state _unused_)
{
        Usage u = { 0 };

        parse(&u, "cpu.stat",
              "usage_usec 12345\nuser_usec 10000\nsystem_usec 2345\nnice_usec 7\ncore_sched.force_idle_usec "
              "0\n"
              "nr_periods 4\nnr_throttled 3\nthrottled_usec 99\nnr_bursts 0\nburst_usec 0\n");
        expect(&u, USAGE_CPU, 12345);
        expect(&u, USAGE_CPU_USER, 10000);
        expect(&u, USAGE_CPU_SYSTEM, 2345);
        expect(&u, USAGE_CPU_NR_THROTTLED, 3);
        expect(&u, USAGE_CPU_THROTTLED, 99);
        assert_int_equal(n_known(&u), 5);

        /* Without the cpu controller. */
        u = (Usage){ 0 };
        parse(&u, "cpu.stat", "usage_usec 1\nuser_usec 1\nsystem_usec 0");
        expect(&u, USAGE_CPU_SYSTEM, 0);
        assert_int_equal(n_known(&u), 3);
}

/* The leaf of a scope has no quota of its own. Only that is taken from the scope: its CPU time is the keeper's, too. */
static void test_scope_cpu_stat(void **state _unused_)
{
        Usage u = { 0 };

        parse(&u, "cpu.stat",
              "usage_usec 10\nuser_usec 6\nsystem_usec 4\nnr_throttled 0\nthrottled_usec 0\n");
        parse(&u, "../cpu.stat",
              "usage_usec 99\nuser_usec 98\nsystem_usec 1\nnr_throttled 7\nthrottled_usec 70\n");
        assert_int_equal(u.value[USAGE_CPU], 10);
        assert_int_equal(u.value[USAGE_CPU_USER], 6);
        assert_int_equal(u.value[USAGE_CPU_NR_THROTTLED], 7);
        assert_int_equal(u.value[USAGE_CPU_THROTTLED], 70);
}

static void test_numbers(void **state _unused_)
{
        static const struct {
                const char *file;
                UsageField field;
        } files[] = {
                { "memory.current", USAGE_MEMORY_CURRENT },
                { "memory.peak", USAGE_MEMORY_PEAK },
                { "memory.swap.peak", USAGE_MEMORY_SWAP_PEAK },
                { "pids.current", USAGE_PIDS_CURRENT },
                { "pids.peak", USAGE_PIDS_PEAK },
        };
        static const char *const bad[] = { "", "\n", "max\n", "-1\n", " 1\n", "1 2\n", "0x10\n", "1.5\n" };

        for (size_t i = 0; i < ELEMENTSOF(files); i++) {
                Usage u = { 0 };
                for (size_t k = 0; k < ELEMENTSOF(bad); k++) {
                        parse(&u, files[i].file, bad[k]);
                        if (n_known(&u) > 0)
                                fail_msg("%s: '%s' gave a value", files[i].file, bad[k]);
                }
                parse(&u, files[i].file, "536870912\n");
                expect(&u, files[i].field, 536870912);
                assert_int_equal(n_known(&u), 1);
                parse(&u, files[i].file, "9223372036854775808");
                expect(&u, files[i].field, INT64_MAX);
                parse(&u, files[i].file, "99999999999999999999999999\n");
                expect(&u, files[i].field, INT64_MAX);
        }
}

static void test_memory(void **state _unused_)
{
        Usage u = { 0 };

        parse(&u, "memory.events", "low 0\nhigh 0\nmax 17\noom 3\noom_kill 2\noom_group_kill 1\n");
        expect(&u, USAGE_OOM_KILLS, 2);
        parse(&u, "memory.stat", "anon 4096\nfile 1\nanon_thp 2097152\ninactive_anon 5\n");
        expect(&u, USAGE_MEMORY_ANON_PEAK, 4096);
        assert_int_equal(n_known(&u), 2);
}

static void test_pressure(void **state _unused_)
{
        Usage u = { 0 };

        parse(&u, "cpu.pressure",
              "some avg10=0.00 avg60=1.50 avg300=0.00 total=123\nfull avg10=0.00 avg60=0.00 avg300=0.00 "
              "total=45\n");
        expect(&u, USAGE_PSI_CPU_SOME, 123);
        expect(&u, USAGE_PSI_CPU_FULL, 45);
        parse(&u, "memory.pressure", "some avg10=0.00 avg60=0.00 avg300=0.00 total=0\n"); /* before 5.13 */
        expect(&u, USAGE_PSI_MEMORY_SOME, 0);
        assert_false(usage_has(&u, USAGE_PSI_MEMORY_FULL));
        parse(&u, "io.pressure", "full total=7\nsome no total here\nsome total=x\nother total=3\n");
        expect(&u, USAGE_PSI_IO_FULL, 7);
        assert_false(usage_has(&u, USAGE_PSI_IO_SOME));
}

/* "total=" of the next line is not this line's. */
static void test_pressure_cut(void **state _unused_)
{
        Usage u = { 0 };

        parse(&u, "io.pressure", "some avg10=0.00\nfull avg10=0.00 total=9\n");
        assert_false(usage_has(&u, USAGE_PSI_IO_SOME));
        expect(&u, USAGE_PSI_IO_FULL, 9);
}

static void test_garbage(void **state _unused_)
{
        static const char *const files[] = { "cpu.stat",    "memory.current", "memory.events",
                                             "memory.stat", "cpu.pressure",   "memory.pressure",
                                             "io.stat" };
        static const char *const texts[] = {
                "\n\n\n",
                "usage_usec",
                "usage_usec \n",
                "usage_usec x\nuser_usec -5\nsystem_usec 5 6\n",
                " usage_usec 5\n",
                "usage_usec\t5\n",
                "usage_usec_2 5\noom_kills 5\nanonymous 5\noom_kill5\n",
                "\xff\xfe\x01",
                "some",
                "some \nfull ",
                "total=5",
                ":",
                "8:",
                ":0 rbytes=1",
                "8 rbytes=1",
                "a:b rbytes=1",
                "99999999999:0 rbytes=1",
        };

        for (size_t i = 0; i < ELEMENTSOF(files); i++)
                for (size_t k = 0; k < ELEMENTSOF(texts); k++) {
                        Usage u = { 0 };
                        parse(&u, files[i], texts[k]);
                        if (n_known(&u) > 0)
                                fail_msg("%s: '%s' gave a value", files[i], texts[k]);
                }

        Usage u = { 0 };
        assert_int_equal(usage_parse_file(&u, "memory.max", "5\n", USAGE_KERNEL), 0);
        assert_int_equal(usage_parse_file(&u, "", "5\n", USAGE_KERNEL), 0);
        assert_int_equal(n_known(&u), 0);
}

static void test_io_stat(void **state _unused_)
{
        Usage u = { 0 };

        parse(&u, "io.stat", "");
        expect(&u, USAGE_IO_READ, 0);
        expect(&u, USAGE_IO_WRITE_OPS, 0);

        u = (Usage){ 0 };
        parse(&u, "io.stat",
              "4000:1 rbytes=10 wbytes=20 rios=3 wios=4 dbytes=5 dios=6 cost.usage=7\n4000:2 \n");
        expect(&u, USAGE_IO_READ, 10);
        expect(&u, USAGE_IO_WRITE, 20);
        expect(&u, USAGE_IO_READ_OPS, 3);
        expect(&u, USAGE_IO_WRITE_OPS, 4);

        /* Two devices that this host does not have: both count, and saturate. */
        parse(&u, "io.stat", "4000:1 rbytes=18446744073709551615 wios=x\n4000:2 rbytes=5 wbytes=6\n");
        expect(&u, USAGE_IO_READ, INT64_MAX);
        expect(&u, USAGE_IO_WRITE, 6);
        expect(&u, USAGE_IO_WRITE_OPS, 0);
}

static void test_io_stat_many(void **state _unused_)
{
        _cleanup_buffer_ Buffer b = { 0 };
        Usage u = { 0 };

        for (unsigned i = 0; i < 1000; i++)
                assert_int_equal(buffer_printf(&b, "4000:%u rbytes=1 wbytes=2 rios=1 wios=1\n", i), 0);
        usage_parse_io_stat(&u, b.data, "/nonexistent", USAGE_KERNEL_FINAL);
        expect(&u, USAGE_IO_READ, 1000);
        expect(&u, USAGE_IO_WRITE, 2000);
}

/* ---- a sysfs of our own ---- */

typedef struct Sysfs {
        char root[64];
        int fd;
} Sysfs;

static int remove_entry(const char *path, const struct stat *st _unused_, int type _unused_,
                        struct FTW *ftw _unused_)
{
        return remove(path);
}

static int set_up(void **state)
{
        static Sysfs s;

        strcpy(s.root, "/tmp/test-reeve-sysfs-XXXXXX");
        assert_non_null(mkdtemp(s.root));
        s.fd = open(s.root, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        assert_int_equal(mkdirat(s.fd, "dev", 0755), 0);
        assert_int_equal(mkdirat(s.fd, "dev/block", 0755), 0);
        assert_int_equal(mkdirat(s.fd, "devices", 0755), 0);
        *state = &s;
        return 0;
}

static int tear_down(void **state)
{
        Sysfs *s = *state;

        fd_close(s->fd);
        return nftw(s->root, remove_entry, 8, FTW_DEPTH | FTW_PHYS);
}

static void write_text(const Sysfs *s, const char *path, const char *text)
{
        _cleanup_fd_ int fd = openat(s->fd, path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
        assert_true(fd >= 0);
        assert_int_equal(fd_write_full(fd, text, strlen(text)), 0);
}

/* A device below devices/ ("sda", "sda/sda3"), known as `number`. */
static void add_device(const Sysfs *s, const char *name, const char *number)
{
        char path[128], target[128];

        snprintf(path, sizeof(path), "devices/%s", name);
        assert_int_equal(mkdirat(s->fd, path, 0755), 0);
        snprintf(path, sizeof(path), "devices/%s/slaves", name);
        assert_int_equal(mkdirat(s->fd, path, 0755), 0);
        snprintf(path, sizeof(path), "devices/%s/dev", name);
        snprintf(target, sizeof(target), "%s\n", number);
        write_text(s, path, target);
        snprintf(path, sizeof(path), "dev/block/%s", number);
        snprintf(target, sizeof(target), "../../devices/%s", name);
        assert_int_equal(symlinkat(target, s->fd, path), 0);
}

static void stack(const Sysfs *s, const char *upper, const char *lower)
{
        char path[128], target[128];
        const char *slash = strrchr(lower, '/');

        snprintf(path, sizeof(path), "devices/%s/slaves/%s", upper, slash ? slash + 1 : lower);
        snprintf(target, sizeof(target), "../../%s", lower);
        assert_int_equal(symlinkat(target, s->fd, path), 0);
}

static void expect_read(const Sysfs *s, const char *text, int64_t expected)
{
        Usage u = { 0 };

        usage_parse_io_stat(&u, text, s->root, USAGE_KERNEL_FINAL);
        expect(&u, USAGE_IO_READ, expected);
}

/* dm on a partition of sda; md on sdb and sdc; dm on that md. */
static void test_stacked(void **state)
{
        const Sysfs *s = *state;

        add_device(s, "sda", "8:0");
        add_device(s, "sda/sda3", "8:3");
        write_text(s, "devices/sda/sda3/partition", "3\n");
        add_device(s, "dm-0", "253:0");
        stack(s, "dm-0", "sda/sda3");
        add_device(s, "sdb", "8:16");
        add_device(s, "sdc", "8:32");
        add_device(s, "md0", "9:0");
        stack(s, "md0", "sdb");
        stack(s, "md0", "sdc");
        add_device(s, "dm-1", "253:1");
        stack(s, "dm-1", "md0");

        expect_read(s, "253:0 rbytes=100\n", 100);
        expect_read(s, "253:0 rbytes=100\n8:0 rbytes=101\n", 101);
        expect_read(s, "8:0 rbytes=101\n253:0 rbytes=100\n", 101);
        expect_read(s, "8:0 rbytes=1\n8:16 rbytes=2\n", 3);
        expect_read(s, "9:0 rbytes=10\n8:16 rbytes=5\n8:32 rbytes=5\n", 10);
        expect_read(s, "253:1 rbytes=10\n9:0 rbytes=10\n8:16 rbytes=5\n8:32 rbytes=5\n", 10);
        expect_read(s, "253:1 rbytes=10\n8:16 rbytes=5\n8:32 rbytes=5\n",
                    10); /* the layer between is not there */
        expect_read(s, "253:1 rbytes=10\n8:0 rbytes=7\n", 17);
        expect_read(s, "253:0 rbytes=10\n8:0 rbytes=0 wbytes=0 rios=0 wios=0\n",
                    10); /* the lower one is idle */
        expect_read(s, "253:0 rbytes=10\n77:7 rbytes=1\n", 11);
}

static void test_stacked_loop(void **state)
{
        const Sysfs *s = *state;
        char number[64], text[256], path[128];
        struct stat st;

        /* The backing file is one of ours: the disk below it is the one that the temporary directory is on. */
        assert_int_equal(fstat(s->fd, &st), 0);
        snprintf(number, sizeof(number), "%u:%u", major(st.st_dev), minor(st.st_dev));
        add_device(s, "disk", number);
        add_device(s, "loop0", "7:0");
        assert_int_equal(mkdirat(s->fd, "devices/loop0/loop", 0755), 0);
        snprintf(path, sizeof(path), "%s/dev\n", s->root);
        write_text(s, "devices/loop0/loop/backing_file", path);

        snprintf(text, sizeof(text), "7:0 rbytes=10\n%s rbytes=12\n", number);
        expect_read(s, text, 12);
        write_text(s, "devices/loop0/loop/backing_file", "/no/such/file\n");
        expect_read(s, text, 22);
}

/* No sysfs is like this; it must end all the same. */
static void test_stacked_in_a_circle(void **state)
{
        const Sysfs *s = *state;

        add_device(s, "dm-0", "253:0");
        add_device(s, "dm-1", "253:1");
        stack(s, "dm-0", "dm-1");
        stack(s, "dm-1", "dm-0");
        expect_read(s, "253:0 rbytes=10\n8:0 rbytes=1\n", 1);
        add_device(s, "dm-2", "253:2");
        add_device(s, "dm-3", "253:3");
        stack(s, "dm-2", "dm-3");
        stack(s, "dm-3", "dm-3");
        expect_read(s, "253:2 rbytes=10\n8:0 rbytes=1\n", 11);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_names),
                cmocka_unit_test(test_set_and_fill),
                cmocka_unit_test(test_cpu_stat),
                cmocka_unit_test(test_scope_cpu_stat),
                cmocka_unit_test(test_numbers),
                cmocka_unit_test(test_memory),
                cmocka_unit_test(test_pressure),
                cmocka_unit_test(test_pressure_cut),
                cmocka_unit_test(test_garbage),
                cmocka_unit_test(test_io_stat),
                cmocka_unit_test(test_io_stat_many),
                cmocka_unit_test_setup_teardown(test_stacked, set_up, tear_down),
                cmocka_unit_test_setup_teardown(test_stacked_loop, set_up, tear_down),
                cmocka_unit_test_setup_teardown(test_stacked_in_a_circle, set_up, tear_down),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
