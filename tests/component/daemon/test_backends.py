# SPDX-License-Identifier: LGPL-2.1-or-later
"""Where reeve runs: with cgroups of its own, told to do without, and in a place that has none. Each account says how it
was come by, and what cannot be done is refused, not left out."""

import ctypes
import os

import pytest

from instance import Instance, cgroup2_mount
from people import Person
from varlink import VarlinkError

SLEEP = ["/bin/sleep", "1000"]
KERNEL = {"kernel", "kernel-final"}
CLONE_NEWNS, MS_REC, MS_PRIVATE, MNT_DETACH = 0x20000, 0x4000, 1 << 18, 2
# Uses some CPU, some memory, writes, and leaves a child behind that ends with it.
WORK = ["/bin/sh", "-c", "i=0; while [ $i -lt 20000 ]; do i=$((i+1)); done; (sleep 1000 & ); head -c 1000000 /dev/zero >/dev/null"]


def refusal(call):
    with pytest.raises(VarlinkError) as caught:
        call()
    return caught.value


def check_process(i):
    """All that backend process promises."""
    t = i.run_wait(WORK, grace_usec=300000)
    assert (t["status"], t["backend"]) == ("completed", "process"), t
    assert not t.get("cgroup"), t
    assert set(t["usage_sources"].values()) <= {"rusage", "procfs"}, t["usage_sources"]
    assert t["usage"]["cpu_usec"] > 0 and t["usage"]["memory_peak_bytes"] > 0, t["usage"]
    assert set(t["usage"]) == set(t["usage_sources"]), "each number has a source"
    assert not [f for f in t["usage"] if f.startswith(("psi_", "net_", "cpu_throttled"))], "unknown is absent, not 0"

    with i.connect() as c:
        t = i.run(SLEEP, connection=c)
        assert t["backend"] == "process"
        for method in ("Freeze", "Thaw"):
            e = refusal(lambda m=method: c.call(m, {"task_id": t["task_id"]}))
            assert (e.name, e.field) == ("InvalidArgument", "backend") and "cgroup" in e.parameters["message"], str(e)
        assert not c.call("Get", {"task_id": t["task_id"]})["task"].get("frozen")
        c.call("Cancel", {"task_id": t["task_id"]})
        assert i.wait(t["task_id"], c)["status"] == "cancelled"

    for name, value in (("MemoryMax", "104857600"), ("TasksMax", "10"), ("CPUQuota", "5000")):
        e = refusal(lambda n=name, v=value: i.run(SLEEP, limits=[(n, v)]))
        assert (e.name, e.field) == ("InvalidArgument", name), str(e)
    t = i.run_wait(["/bin/sh", "-c", "ulimit -v"], rlimits=["AS:104857600:104857600"])
    assert i.output(t["task_id"]) == b"102400\n", "limits of the process are there all the same"


def test_told_to_do_without_cgroups():
    with Instance(backend="process") as i:
        check_process(i)
        e = refusal(lambda: i.run(SLEEP, more={"backend": "cgroup"}))
        assert (e.name, e.field) == ("InvalidArgument", "backend"), str(e)


def test_no_task_without_a_cgroup_where_there_are_cgroups():
    """It would be outside of its user's sub-tree, and of the limits that are set there."""
    with Instance() as i:
        e = refusal(lambda: i.run(SLEEP, more={"backend": "process"}))
        assert (e.name, e.field) == ("InvalidArgument", "backend"), str(e)


def test_daemons_of_a_task_end_with_it():
    """Without a cgroup, whoever left the session and the process group is found all the same."""
    with Instance(backend="process") as i:
        marker = f"3.{os.getpid()}"  # an argument of sleep that nobody else has
        t = i.run(["/bin/sh", "-c", f"setsid sh -c 'sleep 100{marker} & sleep 100{marker}' & echo up; exec sleep 1000"])
        with i.connect() as c:
            while i.output(t["task_id"]) != b"up\n" or processes_with(marker) < 2:
                c.call("Stats")
            c.call("Cancel", {"task_id": t["task_id"]})
            i.wait(t["task_id"], c)
        assert processes_with(marker) == 0


def processes_with(marker):
    n = 0
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open(f"/proc/{pid}/cmdline", "rb") as f:
                n += f.read().split(b"\0")[:2] == [b"sleep", b"100" + marker.encode()]
        except OSError:
            pass
    return n


@pytest.mark.skipif(cgroup2_mount() is None, reason="there is no cgroup2 here")
def test_with_cgroups():
    with Instance() as i:
        t = i.run_wait(WORK, grace_usec=300000)
        assert t["backend"] == "cgroup" and t["cgroup"].startswith(i.prefix), t
        assert t["usage_sources"]["cpu_usec"] in KERNEL
        with i.connect() as c:
            exact = {r["name"]: r for r in c.call("Doctor")["checks"]}
        assert exact, "it says what it can measure here"
        assert i.leaves() == []


def inside_without_cgroups():
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.unshare(CLONE_NEWNS) != 0 or libc.mount(b"none", b"/", None, MS_REC | MS_PRIVATE, None) != 0:
        return "no mount namespace can be made here"
    while cgroup2_mount():
        if libc.umount2(cgroup2_mount().encode(), MNT_DETACH) != 0:
            return "cgroup2 cannot be hidden here"
    with Instance() as i:  # backend auto
        assert i.pool() is None
        check_process(i)
        with i.connect() as c:
            checks = c.call("Doctor")["checks"]
        assert [r for r in checks if not r["ok"] and "cgroup" in (r["name"] + r["value"] + (r.get("hint") or ""))], checks
    return None


def test_in_a_place_without_cgroups():
    reason = Person("root").does(inside_without_cgroups)
    if reason:
        pytest.skip(reason)
