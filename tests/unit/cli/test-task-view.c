/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Tasks as they are read for printing, the exit status that is passed on, and the values of options. */

#include "cli/task-view.h"

#include <errno.h>
#include <jansson.h>
#include <string.h>
#include <sysexits.h>

#include "cli/base64.h"
#include "cli/progress.h"
#include "cli/value.h"
#include "common/clock.h"
#include "common/json/json.h"
#include "tests/unit/test.h"

static json_t *parse(const char *text)
{
        json_t *j = json_loads(text, 0, NULL);
        if (!j)
                fail_msg("'%s' is not JSON", text);
        return j;
}

static void test_exit_status(void **state _unused_)
{
        static const struct {
                const char *task;
                int status;
                const char *text;
        } cases[] = {
                { "{\"status\": \"completed\", \"exit_status\": 0}", 0, "completed" },
                { "{\"status\": \"failed\", \"outcome\": \"exit-code\", \"exit_status\": 3}", 3,
                  "failed (exit status 3)" },
                { "{\"status\": \"failed\", \"outcome\": \"signal\", \"exit_signal\": 15}", 143,
                  "failed (signal TERM)" },
                { "{\"status\": \"failed\", \"outcome\": \"oom\", \"exit_signal\": 9}", 137,
                  "failed (oom, signal KILL)" },
                { "{\"status\": \"cancelled\", \"exit_signal\": 15}", 143, "cancelled (signal TERM)" },
                { "{\"status\": \"cancelled\"}", EX_TEMPFAIL, "cancelled" },
                { "{\"status\": \"failed\", \"outcome\": \"exec\"}", EX_OSFILE, "failed (exec)" },
                { "{\"status\": \"failed\", \"outcome\": \"verification\", \"exit_status\": 0}", EX_CONFIG,
                  "failed (verification)" },
                { "{\"status\": \"lost\", \"outcome\": \"rebooted\"}", EX_SOFTWARE, "lost (rebooted)" },
                { "{\"status\": \"active\", \"frozen\": true}", EX_SOFTWARE, "active, frozen" },
                { "{}", EX_SOFTWARE, "" },
                { "{\"status\": 7, \"exit_status\": \"x\", \"exit_signal\": 4000}", EX_SOFTWARE, "" },
        };

        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                _cleanup_json_ json_t *task = parse(cases[i].task);
                char text[TASK_STATUS_TEXT_SIZE];
                TaskView t = task_view(task);

                assert_errno(task_view_exit_status(&t), cases[i].status, cases[i].task);
                assert_string_equal(task_view_status_text(&t, text), cases[i].text);
        }
}

static void test_usage(void **state _unused_)
{
        _cleanup_json_ json_t *task =
                        parse("{\"usage\": {\"cpu_usec\": 1500000, \"memory_peak_bytes\": 67108864, "
                              "\"io_read_bytes\": 0,"
                              " \"io_write_bytes\": -5, \"pids_peak\": \"x\", \"from_the_future\": 1},"
                              " \"usage_sources\": {\"cpu_usec\": \"kernel-final\", \"memory_peak_bytes\": "
                              "\"rusage\"}}");
        TaskView t = task_view(task);
        char text[USAGE_TEXT_SIZE];

        assert_string_equal(usage_text(&t.usage, USAGE_CPU, text), "1.5s");
        assert_string_equal(usage_text(&t.usage, USAGE_MEMORY_PEAK, text), "64.0M");
        assert_string_equal(usage_text(&t.usage, USAGE_IO_WRITE, text), "-");
        assert_string_equal(usage_text(&t.usage, USAGE_PIDS_PEAK, text), "-");

        _cleanup_free_ char *sentence = usage_sentence(&t.usage, true, true);
        assert_string_equal(sentence, "cpu 1.5s, memory peak 64.0M (rusage), read 0B (kernel)");
        _cleanup_free_ char *plain = usage_sentence(&(Usage){ 0 }, true, true);
        assert_string_equal(plain, "");
}

static void test_elapsed(void **state _unused_)
{
        _cleanup_json_ json_t *pending = parse("{\"status\": \"pending\", \"created_at\": 5}");
        _cleanup_json_ json_t *active = parse("{\"status\": \"active\", \"started_at\": 1000000}");
        _cleanup_json_ json_t *ended = parse("{\"status\": \"completed\", \"started_at\": 1000000,"
                                             " \"completed_at\": 9000000, \"duration_seconds\": 7.5}");
        TaskView t;

        t = task_view(pending);
        assert_int_equal(task_view_elapsed(&t, 4 * USEC_PER_SEC), 0);
        t = task_view(active);
        assert_int_equal(task_view_elapsed(&t, 4 * USEC_PER_SEC), 3 * USEC_PER_SEC);
        assert_int_equal(task_view_elapsed(&t, 0), 0); /* a clock that was set back */
        t = task_view(ended);
        assert_int_equal(task_view_elapsed(&t, 99 * USEC_PER_SEC), 7500 * USEC_PER_MSEC);
        assert_true(task_view_has_ended(&t));
}

static void test_base64(void **state _unused_)
{
        static const struct {
                const char *text, *data;
        } good[] = {
                { "", "" }, { "Zg==", "f" }, { "Zm8=", "fo" }, { "Zm9v", "foo" }, { "Zm9vYmE=", "fooba" }
        };
        static const char *const bad[] = { "Z", "Zg", "Zg=", "Z===", "====", "Zm9v\n", "Zm=v", "Zm9*" };
        void *data;
        size_t n;

        for (size_t i = 0; i < ELEMENTSOF(good); i++) {
                assert_errno(base64_decode(good[i].text, &data, &n), 0, good[i].text);
                assert_int_equal(n, strlen(good[i].data));
                assert_memory_equal(data, good[i].data, n);
                free(data);
        }
        for (size_t i = 0; i < ELEMENTSOF(bad); i++)
                assert_errno(base64_decode(bad[i], &data, &n), -EINVAL, bad[i]);
}

static void test_instants(void **state _unused_)
{
        static const char *const bad[] = { "", "soon", "2026-13-01", "2026-11-23 04:61", "-1h", "infinity" };
        ReeveError e = REEVE_ERROR_NULL;
        usec_t t = 0, now = clock_realtime(clock_system());

        assert_int_equal(setenv("TZ", "UTC", true), 0);
        assert_ok(parse_instant("--since", "2026-11-23 04:28:39", &t, &e), e);
        assert_int_equal(t, UINT64_C(1795408119) * USEC_PER_SEC);
        assert_ok(parse_instant("--since", "2026-11-23", &t, &e), e);
        assert_int_equal(t, UINT64_C(1795392000) * USEC_PER_SEC);
        assert_ok(parse_instant("--since", "2h", &t, &e), e);
        assert_true(t >= now - 2 * USEC_PER_HOUR && t <= now);
        assert_ok(parse_instant("--since", "today", &t, &e), e);
        assert_true(t <= now && now - t <= USEC_PER_DAY);
        for (size_t i = 0; i < ELEMENTSOF(bad); i++)
                assert_error(parse_instant("--since", bad[i], &t, &e), e, REEVE_ERROR_INVALID_ARGUMENT,
                             "--since");
}

static void test_numbers(void **state _unused_)
{
        ReeveError e = REEVE_ERROR_NULL;
        OptionalNumber n = { 0 };

        assert_ok(parse_number("-n", "0", &n, &e), e);
        assert_true(n.set);
        assert_error(parse_positive("-n", "0", &n, &e), e, REEVE_ERROR_INVALID_ARGUMENT, "-n");
        assert_error(parse_number("-n", "ten", &n, &e), e, REEVE_ERROR_INVALID_ARGUMENT, "-n");
        assert_ok(parse_user("--uid", "root", &n, &e), e);
        assert_int_equal(n.value, 0);
        assert_error(parse_user("--uid", "nobody-of-that-name", &n, &e), e, REEVE_ERROR_INVALID_ARGUMENT,
                     "--uid");
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_exit_status), cmocka_unit_test(test_usage),
                cmocka_unit_test(test_elapsed),     cmocka_unit_test(test_base64),
                cmocka_unit_test(test_instants),    cmocka_unit_test(test_numbers),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
