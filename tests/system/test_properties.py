# SPDX-License-Identifier: LGPL-2.1-or-later
"""Properties of the scopes of tasks: what is asked for is what systemd has, in force; what systemd rejects comes back in its words;
and what nobody may have does not get there."""

import os
import subprocess

from check import Skip, equal
from installed import sh, unit
from instance import REEVE, cgroup2_mount
from people import Person
from test_scopes import SCOPE, known_scopes, scope_of
from varlink import VarlinkError

SLEEP = ("sleep", "infinity")
NOBODY = Person("nobody")


def command(i, *options, argv=("true",)):
    """`reeve run`: status, stdout and stderr."""
    env = {"PATH": os.environ["PATH"], "REEVE_SOCKET": i.path("io.reeve.Registry"), "LANG": "C.UTF-8"}
    done = subprocess.run([i.cli, "run", *options, "--", *argv], env=env, stdin=subprocess.DEVNULL, capture_output=True,
                          timeout=60, check=False, text=True, cwd="/")
    return done.returncode, done.stdout, done.stderr


def start(i, *options):
    """A task that runs until it is told to end."""
    status, out, said = command(i, "--no-block", *options, argv=SLEEP)
    assert status == 0, (options, status, said)
    with i.connect() as c:
        return c.call("Get", {"task_id": out.strip()})["task"]


def end(i, task):
    with i.connect() as c:
        c.call("Signal", {"task_id": task["task_id"], "signal": 9})
        return i.wait(task["task_id"], c)


def properties_of(i, *options):
    """What systemd says of the scope of a task that is run with these."""
    i.cli = getattr(i, "cli", None) or i.program(REEVE)
    task = start(i, *options)
    name = scope_of(i, task["task_id"])
    equal("backend", task["backend"], "scope")
    lines = sh("systemctl", "show", name).splitlines()
    end(i, task)
    return dict(line.split("=", 1) for line in lines if "=" in line)


def expect(i, options, expected):
    got = properties_of(i, *options)
    for name, value in expected.items():
        # Lists have no order that systemd would keep.
        equal(name, sorted(got.get(name, "").split()), sorted(value.split()))


def controllers():
    with open(os.path.join(cgroup2_mount(), "cgroup.controllers"), encoding="ascii") as f:
        return set(f.read().split())


def bpf_framework():
    return "+BPF_FRAMEWORK" in sh("systemctl", "--version")


def needs(*names):
    lacking = set(names) - controllers()
    if lacking:
        raise Skip(f"there is no controller {', '.join(sorted(lacking))} here")


def test_limits_are_properties_of_the_scope(i):
    needs("cpu", "memory", "pids")
    expect(i, ["--scope", "-pMemoryMax=64M", "-pMemoryHigh=48M", "-pTasksMax=32", "-pCPUQuota=50%", "-pCPUWeight=20"],
           {"MemoryMax": "67108864", "MemoryHigh": "50331648", "TasksMax": "32", "CPUQuotaPerSecUSec": "500ms",
            "CPUWeight": "20"})
    expect(i, ["--scope", "--priority=1"], {"CPUWeight": "20"})


def test_limits_are_in_force(i):
    needs("memory")
    i.cli = i.program(REEVE)
    status, _, said = command(i, "--scope", "-q", "-pMemoryMax=16M", "-pMemorySwapMax=0",
                              argv=["python3", "-c", "b = bytearray(64 << 20)"])
    assert status != 0, said


def test_devices_are_numbers(i):
    needs("io")
    disk = next((d for d in os.listdir("/sys/block") if d.startswith("ubd")), None)
    if not disk or not os.path.exists("/dev/" + disk):
        raise Skip("there is no disk")
    with open(f"/sys/block/{disk}/dev", encoding="ascii") as f:
        number = f.read().strip()
    expect(i, ["--scope", f"-pIOReadBandwidthMax=/dev/{disk} 5M", f"-pIODeviceWeight=/dev/{disk} 50"],
           {"IOReadBandwidthMax": f"/dev/block/{number} 5242880", "IODeviceWeight": f"/dev/block/{number} 50"})


def test_what_only_systemd_has_chooses_the_scope(i):
    expect(i, ["-pIPAddressDeny=10.0.0.0/8 fe80::1", "-pIPAddressDeny=192.168.7.1", "-pIPAccounting=yes"],
           {"IPAddressDeny": "10.0.0.0/8 192.168.7.1/32 fe80::1/128", "IPAccounting": "yes"})
    if bpf_framework():
        expect(i, ["-pRestrictNetworkInterfaces=~eth7"], {"RestrictNetworkInterfaces": "~eth7"})
        expect(i, ["-pSocketBindDeny=1-1023", "-pSocketBindAllow=8080"],
               {"SocketBindDeny": "1-1023", "SocketBindAllow": "8080"})
    expect(i, ["-pDevicePolicy=closed"], {"DevicePolicy": "closed"})
    expect(i, ["-pManagedOOMSwap=kill", "-pManagedOOMMemoryPressure=kill", "-pManagedOOMMemoryPressureLimit=50%"],
           {"ManagedOOMSwap": "kill", "ManagedOOMMemoryPressure": "kill",
            "ManagedOOMMemoryPressureLimit": str((1 << 32) // 2)})


def test_a_user_has_them_too(i):
    i.cli = i.program(REEVE)
    task = NOBODY.does(start, i, "-pIPAddressDeny=any")
    name = scope_of(i, task["task_id"])
    equal("addresses", sorted(unit(name, "IPAddressDeny").split()), ["0.0.0.0/0", "::/0"])
    end(i, task)


def test_addresses_are_denied(i):
    """Not only shown: the kernel refuses the packet."""
    i.cli = i.program(REEVE)
    send = ["python3", "-c", "import socket; socket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendto(b'x', ('127.0.0.1', 9))"]
    status, out, said = command(i, "--scope", "-q", argv=send)
    equal("status without the property", (status, out, said), (0, "", ""))
    status, out, said = command(i, "-q", "-pIPAddressDeny=localhost", argv=send)
    assert status == 1 and "PermissionError" in out + said, (status, out, said)


ENFORCED = {
    "-pDevicePolicy=strict": "open('/dev/zero')",
    "-pSocketBindDeny=tcp:4000-4099": "s = socket.socket(); s.bind(('127.0.0.1', 4077))",
    "-pRestrictNetworkInterfaces=~lo": "socket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendto(b'x', ('127.0.0.1', 9))",
}


def test_others_are_in_force(i):
    """Or refused, where this systemd would only log that they have no effect."""
    i.cli = i.program(REEVE)
    for option, statement in ENFORCED.items():
        argv = ["python3", "-c", "import socket; " + statement]
        status, out, said = command(i, "--scope", "-q", argv=argv)
        equal(f"status without {option}", (status, out + said), (0, ""))
        status, out, said = command(i, "-q", option, argv=argv)
        if option == "-pDevicePolicy=strict" or bpf_framework():
            assert status == 1 and "PermissionError" in out + said, (option, status, out, said)
        else:
            assert status == 64 and "has no BPF framework" in said, (option, status, out, said)


def test_what_is_roots(i):
    expect(i, ["-pIPAddressDeny=any", "-pIPAddressAllow=localhost"],
           {"IPAddressDeny": "0.0.0.0/0 ::/0", "IPAddressAllow": "127.0.0.0/8 ::1/128"})
    expect(i, ["-pDeviceAllow=/dev/null rw"], {"DeviceAllow": "/dev/null rw"})
    expect(i, ["-pManagedOOMPreference=avoid"], {"ManagedOOMPreference": "avoid"})
    expect(i, [f"--slice={i.prefix}-a-b.slice"], {"Slice": f"{i.prefix}-a-b.slice"})


def test_what_systemd_rejects_comes_back(i):
    """In its own words, and nothing is left."""
    i.cli = i.program(REEVE)
    status, _, said = command(i, "-q", "-pDeviceAllow=nonsense rw")
    assert status == 64 and "systemd says: DeviceAllow= requires device node or pattern" in said, (status, said)
    if "memory" in controllers() and int(sh("systemctl", "--version").split()[1]) < 257:
        status, _, said = command(i, "-q", "-pMemoryOfTheFutureMax=1M")
        assert status == 64 and "systemd says: " in said and "MemoryOfTheFutureMax" in said, (status, said)
    equal("scopes that are left", known_scopes(i), [])


def test_controllers_that_are_lacking(i):
    """systemd would take it, log that it has no effect, and go on."""
    if "memory" in controllers():
        raise Skip("the host has them")
    i.cli = i.program(REEVE)
    for option in ("-pMemoryMax=64M", "-pMemoryZSwapMax=1M", "-pStartupCPUWeight=10"):
        status, _, said = command(i, "--scope", "-q", option)
        assert status == 64 and "controller" in said, (option, status, said)


NEVER = (("FailureAction", "reboot-force"), ("SuccessAction", "reboot-force"), ("JobTimeoutAction", "reboot-force"),
         ("PIDs", "1"), ("Slice", "system.slice"), ("Delegate", "yes"), ("Wants", "rescue.target"),
         ("Conflicts", "multi-user.target"), ("OnFailure", "reboot.target"), ("After", "a.service"),
         ("PropagatesStopTo", "dbus.service"), ("KillMode", "none"), ("CollectMode", "inactive"), ("OOMPolicy", "kill"))


def refusal(i, **kwargs):
    try:
        i.run(["true"], more=SCOPE, **kwargs)
    except VarlinkError as e:
        return e.name, e.field
    return None


def test_what_nobody_reaches(i):
    i.cli = i.program(REEVE)
    boot = open("/proc/sys/kernel/random/boot_id", encoding="ascii").read()
    for person in (Person("root"), NOBODY):
        for name, value in NEVER:
            status, _, said = person.does(command, i, "--scope", "-q", f"-p{name}={value}", argv=["false"])
            assert status == 64 and "never given" in said, (person, name, status, said)
            equal(f"{name} by hand, as {person}", person.does(refusal, i, properties=[(name, value)]),
                  ("InvalidArgument", name))
            equal(f"{name} as a limit, as {person}", person.does(refusal, i, limits=[(name, value)]),
                  ("InvalidArgument", name))
    equal("slice by hand", NOBODY.does(refusal, i, slice="system.slice"), ("PermissionDenied", "slice"))
    equal("weight by hand", NOBODY.does(refusal, i, properties=[("StartupCPUWeight", "101")]),
          ("PermissionDenied", "StartupCPUWeight"))
    equal("scopes that are left", known_scopes(i), [])
    equal("the boot", open("/proc/sys/kernel/random/boot_id", encoding="ascii").read(), boot)


def test_a_scope_has_no_more_than_it_should(i):
    """Of all that nobody may set, a scope has what reeve gave it."""
    got = properties_of(i, "--scope")
    for name, value in {"FailureAction": "none", "SuccessAction": "none", "JobTimeoutAction": "none", "OnFailure": "",
                        "OnSuccess": "", "BindsTo": "", "PartOf": "", "Upholds": "", "DefaultDependencies": "no",
                        "CollectMode": "inactive-or-failed", "SendSIGKILL": "no"}.items():
        equal(name, got.get(name, ""), value)
