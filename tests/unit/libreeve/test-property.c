/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* systemd's names and notations as entries of a specification, in canonical form. */

#include "libreeve/property.h"

#include <string.h>
#include <unistd.h>

#include "basic/strings.h"
#include "common/limit/limit.h"
#include "common/unit-property/unit-property.h"
#include "libreeve/exclusion.h"
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

/* All entries of a property, with blanks between them. */
static void entries(const Request *q, const char *name, Buffer *ret)
{
        for (size_t i = 0; i < q->spec.n_properties; i++)
                if (streq(q->spec.properties[i].name, name))
                        assert_true(buffer_printf(ret, "%s%s", ret->size > 0 ? " " : "",
                                                  q->spec.properties[i].value) >= 0);
}

static void test_unit_properties(void **state _unused_)
{
        static const struct {
                const char *assignment, *name, *values;
        } cases[] = {
                { "CPUQuotaPeriodSec=10ms", "CPUQuotaPeriodSec", "10000" },
                { "CPUAccounting=on", "CPUAccounting", "yes" },
                { "MemoryZSwapMax=1M", "MemoryZSwapMax", "1048576" },
                { "StartupMemoryMax=infinity", "StartupMemoryMax", "infinity" },
                { "StartupCPUWeight=50", "StartupCPUWeight", "50" },
                { "StartupAllowedCPUs=0-1 3", "StartupAllowedCPUs", "0-1,3" },
                { "ManagedOOMMemoryPressureLimit=12.5%", "ManagedOOMMemoryPressureLimit", "1250" },
                { "ManagedOOMSwap=kill", "ManagedOOMSwap", "kill" },
                { "DevicePolicy=closed", "DevicePolicy", "closed" },
                { "IPAddressDeny=any", "IPAddressDeny", "0.0.0.0/0 ::/0" },
                { "IPAddressDeny=10.0.0.1, fe80::1 192.168.0.0/16", "IPAddressDeny",
                  "10.0.0.1/32 fe80::1/128 192.168.0.0/16" },
                { "RestrictNetworkInterfaces=lo eth0", "RestrictNetworkInterfaces", "lo eth0" },
                { "RestrictNetworkInterfaces=~lo eth0", "RestrictNetworkInterfaces", "~lo ~eth0" },
                { "SocketBindDeny=any", "SocketBindDeny", "0:0:0:0" },
                { "SocketBindDeny=80", "SocketBindDeny", "0:0:1:80" },
                { "SocketBindDeny=ipv6:tcp:1024-2047 udp", "SocketBindDeny", "10:6:1024:1024 0:17:0:0" },
                { "SocketBindAllow=ipv4", "SocketBindAllow", "2:0:0:0" },
        };

        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                _cleanup_(request_done) Request q = { 0 };
                _cleanup_buffer_ Buffer found = { 0 };
                ReeveError e = REEVE_ERROR_NULL;

                assert_ok(property_apply(&q, cases[i].assignment, &e), e);
                entries(&q, cases[i].name, &found);
                assert_string_equal(found.data ?: "", cases[i].values);
                assert_true(spec_wants_scope(&q.spec));
                assert_int_equal(q.spec.n_limits, 0);
                /* The launcher takes it, from anybody. */
                for (size_t k = 0; k < q.spec.n_properties; k++)
                        assert_ok(unit_property_check(q.spec.properties[k].name, q.spec.properties[k].value,
                                                      1000, &e),
                                  e);
        }
}

/* What is one value is replaced, what is a list grows. */
static void test_unit_properties_again(void **state _unused_)
{
        static const char *const assignments[] = {
                "StartupCPUWeight=10",      "StartupCPUWeight=20",     "IODeviceWeight=/ 10",
                "IODeviceWeight=/ 20",      "IODeviceWeight=/proc 30", "IPAddressDeny=10.0.0.0/8",
                "IPAddressDeny=11.0.0.0/8",
        };
        _cleanup_(request_done) Request q = { 0 };
        ReeveError e = REEVE_ERROR_NULL;

        for (size_t i = 0; i < ELEMENTSOF(assignments); i++)
                assert_ok(property_apply(&q, assignments[i], &e), e);
        assert_int_equal(q.spec.n_properties, 5);
        assert_string_equal(q.spec.properties[0].value, "20");
        assert_string_equal(strchr(q.spec.properties[1].value, ' '), " 20");
}

/* Only root gives these; he may also give what this version does not know, if it looks like a resource control. */
static void test_unit_properties_of_root(void **state _unused_)
{
        static const char *const assignments[] = {
                "IPAddressAllow=localhost", "StartupCPUWeight=1000", "IODeviceLatencyTargetSec=/ 10ms",
                "DefaultMemoryLow=1M",      "DeviceAllow=/dev/null", "ManagedOOMPreference=avoid",
                "StartupMemoryLow=1M",
        };

        for (size_t i = 0; i < ELEMENTSOF(assignments); i++) {
                _cleanup_(request_done) Request q = { 0 };
                ReeveError e = REEVE_ERROR_NULL;

                int r = property_apply(&q, assignments[i], &e);
                if (geteuid() == 0)
                        assert_ok(r, e);
                else
                        assert_true(r < 0);
        }
}

static void test_never(void **state _unused_)
{
        static const char *const assignments[] = {
                "FailureAction=reboot",
                "SuccessAction=exit",
                "JobTimeoutAction=reboot",
                "PIDs=1",
                "Slice=system.slice",
                "Delegate=yes",
                "After=a.service",
                "Wants=a.service",
                "Requires=a.service",
                "OnFailure=a.service",
                "PropagatesStopTo=a.service",
                "KillMode=none",
                "SendSIGKILL=no",
                "OOMPolicy=kill",
                "CollectMode=inactive",
                "Description=x",
                "RuntimeMaxSec=1",
                "BPFProgram=egress:/x",
                "DisableControllers=cpu",
                "JoinsNamespaceOf=a.service",
        };

        for (size_t i = 0; i < ELEMENTSOF(assignments); i++) {
                _cleanup_free_ char *name = strndup(assignments[i], strcspn(assignments[i], "="));
                _cleanup_(request_done) Request q = { 0 };
                ReeveError e = REEVE_ERROR_NULL;

                assert_error(property_apply(&q, assignments[i], &e), e, REEVE_ERROR_INVALID_ARGUMENT, name);
                if (!strstr(e.text, "a task is never given this property: "))
                        fail_msg("%s: no reason is given: %s", name, e.text);
                assert_int_equal(q.spec.n_properties, 0);
        }
}

/* A reason not to have a property is no reason against one that there is. */
static void test_exclusions_are_apart(void **state _unused_)
{
        const char *name;

        for (size_t i = 0; (name = reeve_property_name(i)); i++)
                if (property_exclusion(name))
                        fail_msg("%s is excluded", name);
        for (size_t i = 0; limit_kind(i); i++)
                assert_null(property_exclusion(limit_kind(i)->name));
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
                { "IPAddressDeny=", "IPAddressDeny" },
                { "IPAddressDeny=here", "IPAddressDeny" },
                { "IPAddressDeny=10.0.0.0/33", "IPAddressDeny" },
                { "IPAccounting=no", "IPAccounting" },
                { "IPAccounting=maybe", "IPAccounting" },
                { "CPUQuotaPeriodSec=0", "CPUQuotaPeriodSec" },
                { "SocketBindDeny=0", "SocketBindDeny" },
                { "SocketBindDeny=tcp:ipv4", "SocketBindDeny" },
                { "SocketBindDeny=tcp:udp:1", "SocketBindDeny" },
                { "SocketBindDeny=5-4", "SocketBindDeny" },
                { "RestrictNetworkInterfaces=~", "RestrictNetworkInterfaces" },
                { "ManagedOOMSwap=never", "ManagedOOMSwap" },
                { "ManagedOOMMemoryPressureLimit=101%", "ManagedOOMMemoryPressureLimit" },
                { "IODeviceWeight=/no/such 10", "IODeviceWeight" },
                { "IODeviceWeight=/ 10001", "IODeviceWeight" },
                { "StartupCPUWeight=10001", "StartupCPUWeight" },
                { "StartupAllowedCPUs=x", "StartupAllowedCPUs" },
                { "DevicePolicy", "DevicePolicy" },
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
        assert_true(n > 60);
        assert_null(reeve_property_name(SIZE_MAX));
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_canonical_limits),
                cmocka_unit_test(test_unit_properties),
                cmocka_unit_test(test_unit_properties_again),
                cmocka_unit_test(test_unit_properties_of_root),
                cmocka_unit_test(test_never),
                cmocka_unit_test(test_exclusions_are_apart),
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
