/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* From a record to an account: which source wins for which counter, and what stays unknown. */

#include "daemon/launch/account.h"

#include <string.h>

#include "tests/unit/test.h"

typedef union Page {
        Record record;
        char bytes[RECORD_SIZE];
} Page;

static Page *new_record(void)
{
        Page *p = NEW0(Page, 1);

        strcpy(p->record.task_id, "a_b_c");
        strcpy(p->record.cgroup, "pool/tasks/0/a_b_c.1");
        p->record.attempt = 1;
        p->record.size = RECORD_SIZE;
        p->record.task_pid = 42;
        p->record.started_realtime_usec = 1000;
        p->record.started_boottime_usec = 100;
        p->record.ended_realtime_usec = 5000;
        p->record.ended_boottime_usec = 350;
        p->record.flags = RECORD_FLAG_REAPED;
        p->record.rusage = (RecordRusage){ .user_usec = 30, .system_usec = 12, .max_rss_bytes = 4096 };
        p->record.io = (RecordProcIo){ .valid = 1, .read_bytes = 11, .write_bytes = 22 };
        p->record.phase = RECORD_ENDED;
        return p;
}

static void add(Page *p, const char *name, const char *text)
{
        assert_int_equal(record_add_file(&p->record, name, text, strlen(text)), 0);
}

#define assert_usage(a, field, expected, expected_source)                       \
        do {                                                                    \
                assert_int_equal((a).usage.value[field], (expected));           \
                assert_string_equal(usage_source_name((a).usage.source[field]), \
                                    usage_source_name(expected_source));        \
        } while (0)

static void test_kernel_wins(void **state _unused_)
{
        _cleanup_free_ Page *p = new_record();
        AttemptRow a;

        add(p, "cpu.stat", "usage_usec 100\nuser_usec 70\nsystem_usec 30\n");
        add(p, "memory.peak", "65536\n");
        add(p, "io.stat", "");
        add(p, "memory.stat", "anon 4096\nfile 0\n");
        assert_int_equal(attempt_from_record(&p->record, &a), 0);
        assert_usage(a, USAGE_CPU, 100, USAGE_KERNEL_FINAL);
        assert_usage(a, USAGE_CPU_USER, 70, USAGE_KERNEL_FINAL);
        assert_usage(a, USAGE_MEMORY_PEAK, 65536, USAGE_KERNEL_FINAL);
        assert_usage(a, USAGE_MEMORY_ANON_PEAK, 0, USAGE_UNKNOWN); /* a peak is not what is left */
        assert_string_equal(a.task_id, "a_b_c");
        assert_string_equal(a.cgroup, "pool/tasks/0/a_b_c.1");
        assert_int_equal(record_duration(&p->record), 250);
        attempt_row_done(&a);
}

static void test_fallback_field_by_field(void **state _unused_)
{
        _cleanup_free_ Page *p = new_record();
        AttemptRow a;

        add(p, "cpu.stat", "usage_usec 100\nuser_usec 70\nsystem_usec 30\n");
        assert_int_equal(attempt_from_record(&p->record, &a), 0);
        assert_usage(a, USAGE_CPU, 100, USAGE_KERNEL_FINAL);
        assert_usage(a, USAGE_MEMORY_PEAK, 4096, USAGE_RUSAGE);
        assert_usage(a, USAGE_IO_READ, 11, USAGE_PROCFS);
        assert_usage(a, USAGE_IO_WRITE, 22, USAGE_PROCFS);
        assert_false(usage_has(&a.usage, USAGE_OOM_KILLS));
        assert_false(usage_has(&a.usage, USAGE_IO_READ_OPS));
        attempt_row_done(&a);
}

static void test_nothing_known(void **state _unused_)
{
        _cleanup_free_ Page *p = new_record();
        AttemptRow a;

        p->record.flags = 0;
        p->record.io.valid = 0;
        p->record.exit_kind = RECORD_EXIT_UNKNOWN;
        assert_int_equal(attempt_from_record(&p->record, &a), 0);
        for (int f = 0; f < _USAGE_FIELD_MAX; f++)
                if (usage_has(&a.usage, f))
                        fail_msg("%s is known from nowhere", usage_field_info(f)->name);
        assert_int_equal(a.exit_kind, RECORD_EXIT_UNKNOWN);
        attempt_row_done(&a);
}

static void test_running(void **state _unused_)
{
        _cleanup_free_ Page *p = new_record();
        AttemptRow a;

        p->record.phase = RECORD_STARTED;
        assert_int_equal(attempt_from_record(&p->record, &a), 0);
        assert_int_equal(a.pid, 42);
        assert_int_equal(a.started_realtime, 1000);
        assert_int_equal(a.ended_realtime, 0);
        assert_false(usage_has(&a.usage, USAGE_CPU));
        attempt_row_done(&a);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_kernel_wins),
                cmocka_unit_test(test_fallback_field_by_field),
                cmocka_unit_test(test_nothing_known),
                cmocka_unit_test(test_running),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
