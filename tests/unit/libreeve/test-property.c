/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* systemd's names and notations as entries of a specification, in canonical form. */

#include "libreeve/property.h"

#include <string.h>

#include "basic/strings.h"
#include "common/limit/limit.h"
#include "reeve/reeve.h"
#include "tests/unit/test.h"

/* Value of the limit of that name, NULL if it is not set. */
static const char *limit(const Request *q, const char *name)
{
        for (size_t i = 0; i < q->spec.n_limits; i++)
                if (streq(q->spec.limits[i].name, name))
                        return q->spec.limits[i].value;
        return NULL;
}

static void test_canonical_limits(void **state _unused_)
{
        static const struct {
                const char *assignment, *name, *value;
        } cases[] = {
                { "MemoryMax=512M", "MemoryMax", "536870912" },
                { "MemoryMax=infinity", "MemoryMax", "infinity" },
                { "MemoryHigh=1.5G", "MemoryHigh", "1610612736" },
                { "MemoryLow=0", "MemoryLow", "0" },
                { "MemorySwapMax=0", "MemorySwapMax", "0" },
                { "CPUQuota=50%", "CPUQuota", "5000" },
                { "CPUQuota=200%", "CPUQuota", "20000" },
                { "CPUWeight=1", "CPUWeight", "1" },
                { "IOWeight=10000", "IOWeight", "10000" },
                { "TasksMax=64", "TasksMax", "64" },
                { "TasksMax=infinity", "TasksMax", "infinity" },
                { "AllowedCPUs=0-3 5", "AllowedCPUs", "0-3,5" },
                { "AllowedMemoryNodes=0", "AllowedMemoryNodes", "0" },
        };

        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                _cleanup_(request_done) Request q = { 0 };
                ReeveError e = REEVE_ERROR_NULL;
                LimitValue v;

                assert_ok(property_apply(&q, cases[i].assignment, &e), e);
                assert_int_equal(q.spec.n_limits, 1);
                assert_non_null(limit(&q, cases[i].name));
                assert_string_equal(limit(&q, cases[i].name), cases[i].value);
                /* The launcher reads it. */
                assert_errno(limit_parse(limit_kind_find(cases[i].name), cases[i].value, &v), 0,
                             cases[i].value);
        }
}

static void test_other_properties(void **state _unused_)
{
        static const char *const assignments[] = { "Nice=5",
                                                   "OOMScoreAdjust=-10",
                                                   "UMask=0077",
                                                   "TimeoutStopSec=2min",
                                                   "WorkingDirectory=/a//b/./c",
                                                   "Environment=A=1",
                                                   "Environment=A=2=3" };
        _cleanup_(request_done) Request q = { 0 };
        ReeveError e = REEVE_ERROR_NULL;

        for (size_t i = 0; i < ELEMENTSOF(assignments); i++)
                assert_ok(property_apply(&q, assignments[i], &e), e);
        assert_int_equal(q.spec.nice, 5);
        assert_true(q.spec.has_oom_score_adjust);
        assert_int_equal(q.spec.oom_score_adjust, -10);
        assert_int_equal(q.spec.umask, 0077);
        assert_int_equal(q.spec.grace_usec, 120 * USEC_PER_SEC);
        assert_string_equal(q.spec.cwd, "/a/b/c");
        assert_int_equal(strv_length(q.env), 1);
        assert_string_equal(q.env[0], "A=2=3");
}

static void test_rlimits(void **state _unused_)
{
        static const struct {
                const char *assignment;
                int resource;
                uint64_t soft, hard;
        } cases[] = {
                { "LimitNOFILE=1024", RLIMIT_NOFILE, 1024, 1024 },
                { "LimitNOFILE=512:1024", RLIMIT_NOFILE, 512, 1024 },
                { "LimitAS=1G", RLIMIT_AS, UINT64_C(1) << 30, UINT64_C(1) << 30 },
                { "LimitCORE=0:infinity", RLIMIT_CORE, 0, UINT64_MAX },
                { "LimitCPU=1min", RLIMIT_CPU, 60, 60 },
                { "LimitCPU=500ms", RLIMIT_CPU, 1, 1 },
                { "LimitRTTIME=2000", RLIMIT_RTTIME, 2000, 2000 },
                { "LimitRTTIME=2ms", RLIMIT_RTTIME, 2000, 2000 },
        };

        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                _cleanup_(request_done) Request q = { 0 };
                ReeveError e = REEVE_ERROR_NULL;

                assert_ok(property_apply(&q, cases[i].assignment, &e), e);
                const SpecRlimit *l = q.spec.rlimits + cases[i].resource;
                if (!l->set || l->soft != cases[i].soft || l->hard != cases[i].hard)
                        fail_msg("%s: got %d %" PRIu64 ":%" PRIu64, cases[i].assignment, l->set, l->soft,
                                 l->hard);
        }
}

static void test_devices(void **state _unused_)
{
        _cleanup_(request_done) Request q = { 0 };
        ReeveError e = REEVE_ERROR_NULL;
        unsigned major, minor;
        char number[32];

        /* A file's own device; which one that is, is the host's business. */
        assert_ok(property_apply(&q, "IOReadBandwidthMax=/ 5M", &e), e);
        assert_ok(property_apply(&q, "IOReadBandwidthMax=/ 6M", &e), e);
        assert_int_equal(q.spec.n_limits, 1);
        assert_int_equal(sscanf(limit(&q, "IOReadBandwidthMax"), "%u:%u %31s", &major, &minor, number), 3);
        assert_string_equal(number, "6291456");
        assert_ok(property_apply(&q, "IOWriteIOPSMax=/ infinity", &e), e);
        assert_ok(property_apply(&q, "IOReadBandwidthMax=/proc 1M", &e),
                  e); /* another device: one more entry */
        assert_int_equal(q.spec.n_limits, 3);
}

static void test_errors_name_the_property(void **state _unused_)
{
        static const struct {
                const char *assignment, *field;
        } bad[] = {
                { "MemoryMax=lots", "MemoryMax" },
                { "MemoryMax=", "MemoryMax" },
                { "MemoryMax", "MemoryMax" },
                { "MemoryMax=101%", "MemoryMax" },
                { "CPUQuota=50", "CPUQuota" },
                { "CPUQuota=0%", "CPUQuota" },
                { "CPUWeight=0", "CPUWeight" },
                { "CPUWeight=10001", "CPUWeight" },
                { "TasksMax=0", "TasksMax" },
                { "TasksMax=-1", "TasksMax" },
                { "AllowedCPUs=", "AllowedCPUs" },
                { "AllowedCPUs=3-1", "AllowedCPUs" },
                { "AllowedCPUs=0,x", "AllowedCPUs" },
                { "IOReadBandwidthMax=5M", "IOReadBandwidthMax" },
                { "IOReadBandwidthMax=/no/such/device 5M", "IOReadBandwidthMax" },
                { "IOWriteIOPSMax=/ 0", "IOWriteIOPSMax" },
                { "LimitNOFILE=10:5", "LimitNOFILE" },
                { "LimitNOFILE=1K", "LimitNOFILE" },
                { "Nice=20", "Nice" },
                { "OOMScoreAdjust=1001", "OOMScoreAdjust" },
                { "UMask=1777", "UMask" },
                { "TimeoutStopSec=infinity", "TimeoutStopSec" },
                { "WorkingDirectory=", "WorkingDirectory" },
                { "Environment=1A=b", "environment" },
                { "Environment=A", "environment" },
                { "ExecStop=/bin/true", "ExecStop" },
                { "", "" },
        };

        for (size_t i = 0; i < ELEMENTSOF(bad); i++) {
                _cleanup_(request_done) Request q = { 0 };
                ReeveError e = REEVE_ERROR_NULL;

                if (property_apply(&q, bad[i].assignment, &e) >= 0)
                        fail_msg("'%s' was accepted", bad[i].assignment);
                assert_int_equal(e.code, REEVE_ERROR_INVALID_ARGUMENT);
                assert_string_equal(e.field, bad[i].field);
        }
}

static void test_nearest_name(void **state _unused_)
{
        _cleanup_(request_done) Request q = { 0 };
        ReeveError e = REEVE_ERROR_NULL;

        assert_error(property_apply(&q, "MemryMax=1G", &e), e, REEVE_ERROR_INVALID_ARGUMENT, "MemryMax");
        assert_non_null(strstr(e.text, "did you mean MemoryMax?"));
        assert_error(property_apply(&q, "memorymax=1G", &e), e, REEVE_ERROR_INVALID_ARGUMENT, "memorymax");
        assert_non_null(strstr(e.text, "did you mean MemoryMax?"));
        assert_error(property_apply(&q, "Xyzzy=1", &e), e, REEVE_ERROR_INVALID_ARGUMENT, "Xyzzy");
        assert_null(strstr(e.text, "did you mean"));
}

static bool is_property(const char *name)
{
        for (size_t i = 0; reeve_property_name(i); i++)
                if (streq(reeve_property_name(i), name))
                        return true;
        return false;
}

/* What the launcher can enforce, people can ask for. */
static void test_every_limit_is_a_property(void **state _unused_)
{
        const LimitKind *k;

        for (size_t i = 0; (k = limit_kind(i)); i++)
                if (!is_property(k->name))
                        fail_msg("there is no property %s", k->name);
}

static void test_names_are_in_order(void **state _unused_)
{
        size_t n = 0;

        while (reeve_property_name(n)) {
                if (n > 0 && strcmp(reeve_property_name(n - 1), reeve_property_name(n)) >= 0)
                        fail_msg("'%s' is not in its place", reeve_property_name(n));
                n++;
        }
        assert_true(n > 30);
        assert_null(reeve_property_name(SIZE_MAX));
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_canonical_limits),
                cmocka_unit_test(test_other_properties),
                cmocka_unit_test(test_rlimits),
                cmocka_unit_test(test_devices),
                cmocka_unit_test(test_nearest_name),
                cmocka_unit_test(test_errors_name_the_property),
                cmocka_unit_test(test_every_limit_is_a_property),
                cmocka_unit_test(test_names_are_in_order),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
