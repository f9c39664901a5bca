/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* What a task's scope may be given, by whom, and what systemd is told then. */

#include "common/unit-property/unit-property-bus.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "tests/unit/test.h"

static const char *const forbidden[] = {
        "FailureAction",
        "SuccessAction",
        "JobTimeoutAction",
        "StartLimitAction",
        "OnFailure",
        "OnSuccess",
        "After",
        "Before",
        "Wants",
        "Requires",
        "Requisite",
        "BindsTo",
        "PartOf",
        "Upholds",
        "Conflicts",
        "PropagatesReloadTo",
        "PropagatesStopTo",
        "JoinsNamespaceOf",
        "RequiresMountsFor",
        "DefaultDependencies",
        "PIDs",
        "PIDFDs",
        "Slice",
        "Delegate",
        "DelegateControllers",
        "DelegateSubgroup",
        "DisableControllers",
        "KillMode",
        "KillSignal",
        "SendSIGKILL",
        "SendSIGHUP",
        "FinalKillSignal",
        "OOMPolicy",
        "CollectMode",
        "Description",
        "Controller",
        "TimeoutStopUSec",
        "RuntimeMaxUSec",
        "RuntimeMaxSec",
        "User",
        "ExecStart",
        "BPFProgram",
        "IPIngressFilterPath",
        "IPEgressFilterPath",
        "RefuseManualStop",
        "RebootArgument",
        "Transient",
        "",
        "cpuaccounting",
        "CPUAccounting ",
        "MemoryMax\n",
        "CPUQuotaPerSecUSec",
        "CPU",
        "Max",
        "CPU.Max",
        "Memory=Max",
        "DefaultAction",
        "StartupAction",
        "MemoryPressureWatch",
        "CPUAction",
};

static void test_forbidden(void **state _unused_)
{
        ReeveError e;
        UnitProperty p;

        for (size_t i = 0; i < ELEMENTSOF(forbidden); i++) {
                assert_errno(unit_property_find(forbidden[i], &p), -ENOENT, forbidden[i]);
                for (uid_t author = 0; author < 2; author++)
                        assert_error(unit_property_check(forbidden[i], "1", author, &e), e,
                                     REEVE_ERROR_INVALID_ARGUMENT, forbidden[i]);
        }
}

/* What is a limit has an entry of its own, and nothing is in both tables. */
static void test_limits_are_apart(void **state _unused_)
{
        UnitProperty p;

        for (size_t i = 0; limit_kind(i); i++)
                assert_errno(unit_property_find(limit_kind(i)->name, &p), -ENOENT, limit_kind(i)->name);
        for (size_t i = 1; unit_property(i); i++)
                if (strcmp(unit_property(i - 1)->name, unit_property(i)->name) >= 0)
                        fail_msg("%s stands behind %s", unit_property(i)->name, unit_property(i - 1)->name);
}

static const struct {
        const char *name, *value;
        ReeveErrorCode user, root;
} cases[] = {
        { "CPUAccounting", "yes", 0, 0 },
        { "CPUAccounting", "no", REEVE_ERROR_INVALID_ARGUMENT, REEVE_ERROR_INVALID_ARGUMENT },
        { "IPAccounting", "1", REEVE_ERROR_INVALID_ARGUMENT, REEVE_ERROR_INVALID_ARGUMENT },
        { "CPUQuotaPeriodSec", "10000", 0, 0 },
        { "CPUQuotaPeriodSec", "10ms", REEVE_ERROR_INVALID_ARGUMENT, REEVE_ERROR_INVALID_ARGUMENT },
        { "StartupCPUWeight", "100", 0, 0 },
        { "StartupCPUWeight", "101", REEVE_ERROR_PERMISSION_DENIED, 0 },
        { "StartupIOWeight", "0", REEVE_ERROR_INVALID_ARGUMENT, REEVE_ERROR_INVALID_ARGUMENT },
        { "IODeviceWeight", "8:0 100", 0, 0 },
        { "IODeviceWeight", "8:0 10000", REEVE_ERROR_PERMISSION_DENIED, 0 },
        { "IODeviceWeight", "8:0 10001", REEVE_ERROR_INVALID_ARGUMENT, REEVE_ERROR_INVALID_ARGUMENT },
        { "IODeviceWeight", "/dev/sda 10", REEVE_ERROR_INVALID_ARGUMENT, REEVE_ERROR_INVALID_ARGUMENT },
        { "IODeviceLatencyTargetSec", "8:0 1000", REEVE_ERROR_PERMISSION_DENIED, 0 },
        { "DefaultMemoryLow", "1", REEVE_ERROR_PERMISSION_DENIED, 0 },
        { "StartupMemoryLow", "1", REEVE_ERROR_PERMISSION_DENIED, 0 },
        { "CPUNewThingWeight", "1", REEVE_ERROR_PERMISSION_DENIED, 0 },
        { "MemoryZSwapMax", "infinity", 0, 0 },
        { "IPAddressDeny", "10.0.0.0/8", 0, 0 },
        { "IPAddressDeny", "::/0", 0, 0 },
        { "IPAddressDeny", "any", REEVE_ERROR_INVALID_ARGUMENT, REEVE_ERROR_INVALID_ARGUMENT },
        { "IPAddressDeny", "10.0.0.0", REEVE_ERROR_INVALID_ARGUMENT, REEVE_ERROR_INVALID_ARGUMENT },
        { "IPAddressDeny", "10.0.0.0/33", REEVE_ERROR_INVALID_ARGUMENT, REEVE_ERROR_INVALID_ARGUMENT },
        { "IPAddressDeny", "/8", REEVE_ERROR_INVALID_ARGUMENT, REEVE_ERROR_INVALID_ARGUMENT },
        { "IPAddressDeny", "fe80::/129", REEVE_ERROR_INVALID_ARGUMENT, REEVE_ERROR_INVALID_ARGUMENT },
        { "IPAddressDeny", "x::/1", REEVE_ERROR_INVALID_ARGUMENT, REEVE_ERROR_INVALID_ARGUMENT },
        { "IPAddressAllow", "10.0.0.0/8", REEVE_ERROR_PERMISSION_DENIED, 0 },
        { "ManagedOOMSwap", "kill", 0, 0 },
        { "ManagedOOMSwap", "ki", REEVE_ERROR_INVALID_ARGUMENT, REEVE_ERROR_INVALID_ARGUMENT },
        { "ManagedOOMSwap", "auto kill", REEVE_ERROR_INVALID_ARGUMENT, REEVE_ERROR_INVALID_ARGUMENT },
        { "ManagedOOMSwap", "", REEVE_ERROR_INVALID_ARGUMENT, REEVE_ERROR_INVALID_ARGUMENT },
        { "ManagedOOMPreference", "omit", REEVE_ERROR_PERMISSION_DENIED, 0 },
        { "ManagedOOMMemoryPressureLimit", "10000", 0, 0 },
        { "ManagedOOMMemoryPressureLimit", "10001", REEVE_ERROR_INVALID_ARGUMENT,
          REEVE_ERROR_INVALID_ARGUMENT },
        { "DevicePolicy", "strict", 0, 0 },
        { "DeviceAllow", "/dev/null rw", REEVE_ERROR_PERMISSION_DENIED, 0 },
        { "DeviceAllow", "/dev/null", REEVE_ERROR_PERMISSION_DENIED, REEVE_ERROR_INVALID_ARGUMENT },
        { "DeviceAllow", "/dev/null rx", REEVE_ERROR_PERMISSION_DENIED, REEVE_ERROR_INVALID_ARGUMENT },
        { "RestrictNetworkInterfaces", "lo", 0, 0 },
        { "RestrictNetworkInterfaces", "~lo", 0, 0 },
        { "RestrictNetworkInterfaces", "~", REEVE_ERROR_INVALID_ARGUMENT, REEVE_ERROR_INVALID_ARGUMENT },
        { "RestrictNetworkInterfaces", "a:b", REEVE_ERROR_INVALID_ARGUMENT, REEVE_ERROR_INVALID_ARGUMENT },
        { "RestrictNetworkInterfaces", "1234", REEVE_ERROR_INVALID_ARGUMENT, REEVE_ERROR_INVALID_ARGUMENT },
        { "RestrictNetworkInterfaces", "~all", REEVE_ERROR_INVALID_ARGUMENT, REEVE_ERROR_INVALID_ARGUMENT },
        { "RestrictNetworkInterfaces", "l\xc3\xb6", REEVE_ERROR_INVALID_ARGUMENT,
          REEVE_ERROR_INVALID_ARGUMENT },
        { "RestrictNetworkInterfaces", "a b", REEVE_ERROR_INVALID_ARGUMENT, REEVE_ERROR_INVALID_ARGUMENT },
        { "RestrictNetworkInterfaces", "0123456789abcdef", REEVE_ERROR_INVALID_ARGUMENT,
          REEVE_ERROR_INVALID_ARGUMENT },
        { "SocketBindDeny", "0:0:0:0", 0, 0 },
        { "SocketBindDeny", "2:6:1:80", 0, 0 },
        { "SocketBindDeny", "2:6:65535:1", 0, 0 },
        { "SocketBindDeny", "2:6:65535:2", REEVE_ERROR_INVALID_ARGUMENT, REEVE_ERROR_INVALID_ARGUMENT },
        { "SocketBindDeny", "2:6:0:80", REEVE_ERROR_INVALID_ARGUMENT, REEVE_ERROR_INVALID_ARGUMENT },
        { "SocketBindDeny", "3:6:1:80", REEVE_ERROR_INVALID_ARGUMENT, REEVE_ERROR_INVALID_ARGUMENT },
        { "SocketBindDeny", "2:6:1", REEVE_ERROR_INVALID_ARGUMENT, REEVE_ERROR_INVALID_ARGUMENT },
        { "SocketBindDeny", "2:6:1:80:", REEVE_ERROR_INVALID_ARGUMENT, REEVE_ERROR_INVALID_ARGUMENT },
        { "StartupAllowedCPUs", "0-3,5", 0, 0 },
        { "StartupAllowedCPUs", "8191", 0, 0 },
        { "StartupAllowedCPUs", "8192", REEVE_ERROR_INVALID_ARGUMENT, REEVE_ERROR_INVALID_ARGUMENT },
        { "StartupAllowedCPUs", "3-1", REEVE_ERROR_INVALID_ARGUMENT, REEVE_ERROR_INVALID_ARGUMENT },
        { "StartupAllowedCPUs", "1,", REEVE_ERROR_INVALID_ARGUMENT, REEVE_ERROR_INVALID_ARGUMENT },
        { "StartupAllowedCPUs", "1-", REEVE_ERROR_INVALID_ARGUMENT, REEVE_ERROR_INVALID_ARGUMENT },
        { "StartupAllowedCPUs", "", REEVE_ERROR_INVALID_ARGUMENT, REEVE_ERROR_INVALID_ARGUMENT },
};

static void test_check(void **state _unused_)
{
        for (size_t i = 0; i < ELEMENTSOF(cases); i++)
                for (uid_t author = 0; author < 2; author++) {
                        ReeveErrorCode expected = author == 0 ? cases[i].root : cases[i].user;
                        ReeveError e = REEVE_ERROR_NULL;

                        int r = unit_property_check(cases[i].name, cases[i].value, author, &e);
                        if (e.code != expected || (r < 0) != (expected != REEVE_ERROR_NONE))
                                fail_msg("%s=%s by uid %u: %d, code %d, expected %d", cases[i].name,
                                         cases[i].value, (unsigned)author, r, (int)e.code, (int)expected);
                }
}

static void test_check_limit(void **state _unused_)
{
        static const struct {
                const char *name, *value;
                bool allowed;
        } limits[] = {
                { "CPUWeight", "100", true },   { "CPUWeight", "101", false },
                { "IOWeight", "10000", false }, { "MemoryLow", "0", true },
                { "MemoryLow", "1", false },    { "MemoryMin", "1", false },
                { "MemoryMax", "1000", true },  { "CPUQuota", "infinity", true },
        };
        LimitValue v;

        for (size_t i = 0; i < ELEMENTSOF(limits); i++) {
                const LimitKind *k = limit_kind_find(limits[i].name);
                ReeveError e = REEVE_ERROR_NULL;

                assert_int_equal(limit_parse(k, limits[i].value, &v), 0);
                assert_errno(unit_property_check_limit(k, &v, 0, &e), 0, k->name);
                assert_errno(unit_property_check_limit(k, &v, 1000, &e), limits[i].allowed ? 0 : -EPERM,
                             k->name);
        }
}

static void test_controller(void **state _unused_)
{
        static const struct {
                const char *name;
                CgroupController controller;
        } controllers[] = {
                { "CPUQuotaPeriodSec", CGROUP_CPU },         { "StartupIOWeight", CGROUP_IO },
                { "DefaultMemoryLow", CGROUP_MEMORY },       { "StartupAllowedCPUs", CGROUP_CPUSET },
                { "MemoryZSwapMax", CGROUP_MEMORY },         { "IPAddressDeny", _CGROUP_CONTROLLER_MAX },
                { "CPUAccounting", _CGROUP_CONTROLLER_MAX }, { "ManagedOOMSwap", _CGROUP_CONTROLLER_MAX },
        };

        for (size_t i = 0; i < ELEMENTSOF(controllers); i++) {
                UnitProperty p;

                assert_errno(unit_property_find(controllers[i].name, &p), 0, controllers[i].name);
                assert_errno(unit_property_controller(&p), (int)controllers[i].controller,
                             controllers[i].name);
        }
}

static void test_slice(void **state _unused_)
{
        static const char *const good[] = { "system.slice", "reeve-a.slice", "a-b\\x2dc.slice" };
        static const char *const bad[] = { "-.slice",    ".slice",    "slice",    "a.scope", "a/b.slice",
                                           "a--b.slice", "-a.slice",  "a-.slice", "",        "a b.slice",
                                           "../a.slice", "a.slice\n", "a@b.slice" };

        for (size_t i = 0; i < ELEMENTSOF(good); i++)
                if (!unit_property_slice_is_valid(good[i]))
                        fail_msg("%s is a slice", good[i]);
        for (size_t i = 0; i < ELEMENTSOF(bad); i++)
                if (unit_property_slice_is_valid(bad[i]))
                        fail_msg("'%s' is no slice", bad[i]);
}

typedef struct Peer {
        sd_bus *bus;
        int fd; /* the other end, where nobody answers */
} Peer;

/* A message that is never sent, with the array of properties open. */
static sd_bus_message *open_message(Peer *ret)
{
        sd_bus_message *m = NULL;
        int fds[2];

        assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds), 0);
        ret->fd = fds[1];
        assert_true(sd_bus_new(&ret->bus) >= 0);
        assert_true(sd_bus_set_fd(ret->bus, fds[0], fds[0]) >= 0);
        assert_true(sd_bus_start(ret->bus) >= 0);
        assert_true(sd_bus_message_new_signal(ret->bus, &m, "/a", "a.b", "C") >= 0);
        assert_true(sd_bus_message_open_container(m, 'a', "(sv)") >= 0);
        return m;
}

static void close_message(Peer *p, sd_bus_message *m)
{
        sd_bus_message_unref(m);
        sd_bus_unref(p->bus);
        close(p->fd);
}

static void seal_message(sd_bus_message *m)
{
        assert_true(sd_bus_message_close_container(m) >= 0);
        assert_true(sd_bus_message_seal(m, 1, 0) >= 0);
        assert_true(sd_bus_message_rewind(m, 1) >= 0);
        assert_true(sd_bus_message_enter_container(m, 'a', "(sv)") > 0);
}

/* The next property is of this name and type, and its value is entered. */
static void enter(sd_bus_message *m, const char *name, const char *type)
{
        const char *found, *contents;

        assert_true(sd_bus_message_enter_container(m, 'r', "sv") > 0);
        assert_true(sd_bus_message_read(m, "s", &found) > 0);
        assert_string_equal(found, name);
        assert_true(sd_bus_message_peek_type(m, NULL, &contents) > 0);
        assert_string_equal(contents, type);
        assert_true(sd_bus_message_enter_container(m, 'v', type) > 0);
}

static void leave(sd_bus_message *m)
{
        assert_true(sd_bus_message_exit_container(m) >= 0);
        assert_true(sd_bus_message_exit_container(m) >= 0);
}

static void append(sd_bus_message *m, const char *name, const char *value)
{
        assert_errno(unit_property_append(m, name, value), 0, name);
}

static void append_limit(sd_bus_message *m, const char *name, const char *value)
{
        LimitValue v;

        assert_errno(limit_parse(limit_kind_find(name), value, &v), 0, name);
        assert_errno(unit_property_append_limit(m, limit_kind_find(name), &v), 0, name);
}

static void expect_number(sd_bus_message *m, const char *name, uint64_t expected)
{
        uint64_t found;

        enter(m, name, "t");
        assert_true(sd_bus_message_read(m, "t", &found) > 0);
        assert_int_equal(found, expected);
        leave(m);
}

static void expect_bytes(sd_bus_message *m, const void *expected, size_t size)
{
        const void *bytes;
        size_t n;

        assert_true(sd_bus_message_read_array(m, 'y', &bytes, &n) > 0);
        assert_int_equal(n, size);
        assert_memory_equal(bytes, expected, size);
}

static void test_append_limits(void **state _unused_)
{
        Peer peer;
        const char *path;
        uint64_t amount;

        sd_bus_message *m = open_message(&peer);
        append_limit(m, "MemoryMax", "536870912");
        append_limit(m, "TasksMax", "infinity");
        append_limit(m, "CPUQuota", "15000");
        append_limit(m, "CPUQuota", "infinity");
        append_limit(m, "IOReadBandwidthMax", "8:16 1048576");
        append_limit(m, "AllowedCPUs", "0-1,9");
        seal_message(m);

        expect_number(m, "MemoryMax", 536870912);
        expect_number(m, "TasksMax", UINT64_MAX);
        expect_number(m, "CPUQuotaPerSecUSec", 1500000);
        expect_number(m, "CPUQuotaPerSecUSec", UINT64_MAX);
        enter(m, "IOReadBandwidthMax", "a(st)");
        assert_true(sd_bus_message_read(m, "a(st)", 1, &path, &amount) > 0);
        assert_string_equal(path, "/dev/block/8:16");
        assert_int_equal(amount, 1048576);
        leave(m);
        enter(m, "AllowedCPUs", "ay");
        expect_bytes(m, "\x03\x02", 2);
        leave(m);
        close_message(&peer, m);
}

static void test_append(void **state _unused_)
{
        const char *text, *second;
        uint32_t number;
        uint16_t n, first;
        int yes, family, protocol;
        Peer peer;

        sd_bus_message *m = open_message(&peer);
        append(m, "IPAccounting", "yes");
        append(m, "CPUQuotaPeriodSec", "10000");
        append(m, "ManagedOOMMemoryPressureLimit", "5000");
        append(m, "IPAddressDeny", "10.0.0.0/8");
        append(m, "RestrictNetworkInterfaces", "~lo");
        append(m, "SocketBindDeny", "2:17:10:1000");
        append(m, "DevicePolicy", "closed");
        append(m, "DeviceAllow", "/dev/null rw");
        append(m, "StartupMemoryLow", "4096");
        assert_errno(unit_property_append(m, "FailureAction", "reboot"), -ENOENT, "FailureAction");
        assert_errno(unit_property_append(m, "DevicePolicy", "open"), -EINVAL, "DevicePolicy");
        seal_message(m);

        enter(m, "IPAccounting", "b");
        assert_true(sd_bus_message_read(m, "b", &yes) > 0 && yes == 1);
        leave(m);
        expect_number(m, "CPUQuotaPeriodUSec", 10000);
        enter(m, "ManagedOOMMemoryPressureLimit", "u");
        assert_true(sd_bus_message_read(m, "u", &number) > 0);
        assert_int_equal(number, UINT32_MAX / 2 + 1);
        leave(m);
        enter(m, "IPAddressDeny", "a(iayu)");
        assert_true(sd_bus_message_enter_container(m, 'a', "(iayu)") > 0);
        assert_true(sd_bus_message_enter_container(m, 'r', "iayu") > 0);
        assert_true(sd_bus_message_read(m, "i", &family) > 0 && family == AF_INET);
        expect_bytes(m, "\x0a\0\0\0", 4);
        assert_true(sd_bus_message_read(m, "u", &number) > 0 && number == 8);
        assert_true(sd_bus_message_exit_container(m) >= 0 && sd_bus_message_exit_container(m) >= 0);
        leave(m);
        enter(m, "RestrictNetworkInterfaces", "(bas)");
        assert_true(sd_bus_message_read(m, "(bas)", &yes, 1, &text) > 0);
        assert_int_equal(yes, 0);
        assert_string_equal(text, "lo");
        leave(m);
        enter(m, "SocketBindDeny", "a(iiqq)");
        assert_true(sd_bus_message_read(m, "a(iiqq)", 1, &family, &protocol, &n, &first) > 0);
        assert_true(family == AF_INET && protocol == 17 && n == 10 && first == 1000);
        leave(m);
        enter(m, "DevicePolicy", "s");
        assert_true(sd_bus_message_read(m, "s", &text) > 0);
        assert_string_equal(text, "closed");
        leave(m);
        enter(m, "DeviceAllow", "a(ss)");
        assert_true(sd_bus_message_read(m, "a(ss)", 1, &text, &second) > 0);
        assert_string_equal(text, "/dev/null");
        assert_string_equal(second, "rw");
        leave(m);
        expect_number(m, "StartupMemoryLow", 4096);
        close_message(&peer, m);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_forbidden),     cmocka_unit_test(test_limits_are_apart),
                cmocka_unit_test(test_check),         cmocka_unit_test(test_check_limit),
                cmocka_unit_test(test_controller),    cmocka_unit_test(test_slice),
                cmocka_unit_test(test_append_limits), cmocka_unit_test(test_append),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
