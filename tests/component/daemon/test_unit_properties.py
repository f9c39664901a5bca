# SPDX-License-Identifier: LGPL-2.1-or-later
"""Which properties of units nobody reaches, by the command line or by a specification that is written by hand, and what those
who try are told. What the launcher says to a reeved that is hostile is tests/component/launcher/test-attack.c; what systemd makes of
the rest is tests/system/test_properties.py."""

import os
import subprocess

import pytest

import spec
from instance import REEVE, Instance, unmet
from people import Person
from varlink import VarlinkError

pytestmark = pytest.mark.skipif(unmet() is not None, reason=unmet() or "")

NEVER = {
    "FailureAction": "reboot", "SuccessAction": "poweroff", "JobTimeoutAction": "reboot", "StartLimitAction": "reboot",
    "PIDs": "1", "PIDFDs": "3", "Slice": "system.slice", "Delegate": "yes", "DisableControllers": "cpu",
    "After": "a.service", "Before": "a.service", "Wants": "a.service", "Requires": "a.service", "Requisite": "a.service",
    "BindsTo": "a.service", "PartOf": "a.service", "Upholds": "a.service", "Conflicts": "a.service", "OnFailure": "a.service",
    "OnSuccess": "a.service", "PropagatesStopTo": "a.service", "StopPropagatedFrom": "a.service",
    "JoinsNamespaceOf": "a.service", "RequiresMountsFor": "/", "DefaultDependencies": "yes", "KillMode": "none",
    "KillSignal": "9", "SendSIGKILL": "yes", "SendSIGHUP": "yes", "OOMPolicy": "kill", "CollectMode": "inactive",
    "Description": "x", "RuntimeMaxSec": "1", "BPFProgram": "egress:/x", "IPEgressFilterPath": "/x",
}
ROOTS = {"IPAddressAllow": ("any", "0.0.0.0/0"), "StartupCPUWeight": ("1000", "1000"),
         "DeviceAllow": ("/dev/null rw", "/dev/null rw"), "ManagedOOMPreference": ("omit", "omit")}
PEOPLE = (Person("root"), Person("nobody"))


@pytest.fixture(scope="module", name="reeve")
def the_instance():
    with Instance() as i:
        i.cli = i.program(REEVE)
        yield i


def command(reeve, *options):
    """`reeve run` of whoever calls this: status and what was said."""
    env = {"PATH": spec.PATH, "REEVE_SOCKET": reeve.path("io.reeve.Registry"), "LANG": "C.UTF-8"}
    done = subprocess.run([reeve.cli, "run", "-q", *options, "--", "true"], env=env, stdin=subprocess.DEVNULL,
                          capture_output=True, timeout=60, check=False, text=True)
    return done.returncode, done.stderr


def by_hand(reeve, more=None, **kwargs):
    """The error and its field; None if it was accepted."""
    try:
        reeve.run(["true"], more=more, **kwargs)
    except VarlinkError as e:
        return e.name, e.field
    return None


@pytest.mark.parametrize("person", PEOPLE, ids=str)
@pytest.mark.parametrize("name", NEVER)
def test_what_nobody_gets(reeve, person, name):
    status, said = person.does(command, reeve, "--scope", "-p", f"{name}={NEVER[name]}")
    assert status == 64 and name in said, (status, said)
    assert "never given this property: " in said, said
    for backend in (None, "scope", "cgroup"):
        more = {"backend": backend} if backend else {}
        got = person.does(by_hand, reeve, more, properties=[(name, NEVER[name])])
        expected = ("InvalidArgument", "backend" if backend == "cgroup" else name)
        assert got == expected, f"{person} with backend {backend}"
        got = person.does(by_hand, reeve, more, limits=[(name, NEVER[name])])
        assert got and got[0] in ("InvalidArgument", "Unavailable"), f"{person}: {name} as a limit: {got}"


@pytest.mark.parametrize("name", ROOTS)
def test_what_only_root_gets(reeve, name):
    written, canonical = ROOTS[name]
    nobody = PEOPLE[1]
    status, said = nobody.does(command, reeve, "-p", f"{name}={written}")
    assert status == 77 and name in said and "only root" in said, (status, said)
    assert nobody.does(by_hand, reeve, properties=[(name, canonical)]) == ("PermissionDenied", name)


def test_the_slice_is_roots(reeve):
    nobody = PEOPLE[1]
    status, said = nobody.does(command, reeve, "--slice=system.slice")
    assert status == 77 and "slice" in said and "only root" in said, (status, said)
    assert nobody.does(by_hand, reeve, slice="system.slice") == ("PermissionDenied", "slice")
    assert by_hand(reeve, slice="system") == ("InvalidArgument", "slice")
    for wrong in ("-.slice", "a/b.slice", "a/b", "a.scope"):
        status, said = command(reeve, f"--slice={wrong}")
        assert status == 64 and "not the name of a slice" in said, (wrong, status, said)
        assert by_hand(reeve, slice=wrong) == ("InvalidArgument", "slice"), wrong


def test_priority_in_a_scope_is_roots(reeve):
    nobody = PEOPLE[1]
    status, said = nobody.does(command, reeve, "--scope", "--priority=6")
    assert status == 77 and "priority" in said, (status, said)
    assert nobody.does(by_hand, reeve, {"backend": "scope", "priority": 6}) == ("PermissionDenied", "priority")
    # Elsewhere it is everybody's.
    task = nobody.does(reeve.run_wait, ["true"], more={"priority": 10})
    assert task["status"] == "completed", task


@pytest.mark.parametrize("option, said", [
    ("-pIPAddresDeny=any", "did you mean IPAddressDeny?"),
    ("-pIPAddressDeny=here", "'here' is not addresses"),
    ("-pIPAccounting=no", "cannot be switched off"),
    ("-pManagedOOMSwap=never", "one of: auto kill"),
    ("-pSocketBindDeny=http", "ports"),
], ids=lambda v: v if v[0] == "-" else "")
def test_mistakes_are_explained(reeve, option, said):
    status, text = command(reeve, option)
    assert status == 64 and said in text, (status, text)


@pytest.mark.parametrize("options", [
    ["-pIPAddressDeny=any", "--backend=cgroup"], ["-pIPAddressDeny=any", "--backend=process"],
    ["--slice=a.slice", "--backend=cgroup"], ["--scope", "--backend=cgroup"],
], ids=" ".join)
def test_contradictions(reeve, options):
    status, said = command(reeve, *options)
    assert status == 64 and ("scope" in said), (status, said)


@pytest.mark.skipif(os.path.isdir("/run/systemd/system"), reason="systemd runs here")
@pytest.mark.parametrize("option", ["--scope", "--backend=scope", "-pIPAddressDeny=any", "--slice=a.slice"])
def test_without_systemd(reeve, option):
    status, said = command(reeve, option)
    assert status == 64 and "needs systemd" in said, (status, said)
