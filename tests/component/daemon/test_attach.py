# SPDX-License-Identifier: LGPL-2.1-or-later
"""Attach, from the command line to the database: a process that runs becomes a task, and ends as one."""

import json
import os
import pwd
import signal
import subprocess

import pytest

import checks
import spec
from instance import REEVE, Instance, cgroup2_mount
from people import Person
from processes import OBEDIENT, Process
from varlink import ConnectionLost, VarlinkError

pytestmark = pytest.mark.skipif(cgroup2_mount() is None, reason="there is no cgroup2 here")
NOBODY = pwd.getpwnam("nobody")


def reeve(i, *args, status=0):
    p = subprocess.run([i.program(REEVE), *map(str, args)], capture_output=True, text=True, timeout=60, check=False,
                       env={"PATH": "/usr/bin:/bin", "REEVE_SOCKET": i.path("io.reeve.Registry")})
    assert p.returncode == status, (args, p.returncode, p.stdout, p.stderr)
    return p.stdout if status == 0 else p.stderr


def get(i, task):
    with i.connect() as c:
        return c.call("Get", {"task_id": task})["task"]


def call(connection, method, data, **more):
    fd = spec.memfd(data)
    try:
        connection.send(method, {"spec": 0, "subsystem": "test", "task_type": "attach", **more}, [fd])
        return connection.reply()
    finally:
        os.close(fd)


def test_from_the_command_line():
    with Instance() as i, Process() as p:
        task = reeve(i, "attach", "--subsystem=healing", "--type=playbook", "--title=A shell", "--priority=7",
                     p.pid).strip()
        t = get(i, task)
        assert (t["status"], t["kind"], t["pid"], t["attempts"]) == ("active", "reported", p.pid, 1), t
        assert (t["subsystem"], t["task_type"], t["title"], t["priority"]) == ("healing", "playbook", "A shell", 7), t
        assert t["argv"] == ["/bin/sh", "-c", OBEDIENT, "a shell"] and t["cwd"] == "/tmp", t
        assert p.cgroup() == t["cgroup"] and t["cgroup"].endswith(f"/tasks/0/{task}.1"), (p.cgroup(), t)
        assert task in reeve(i, "list", "--status=active")
        p.end(0)
        reeve(i, "wait", "--quiet", task)
        t = get(i, task)
        assert (t["status"], t["exit_status"], t.get("outcome")) == ("completed", 0, None), t
        assert t["usage_sources"]["cpu_usec"] == "kernel-final" and t["duration_seconds"] >= 0, t
        assert reeve(i, "logs", task) == "", "its output is its own"
        checks.check_nothing_left(i)


def test_ends():
    with Instance() as i:
        for status, expected in ((0, ("completed", None, 0)), (3, ("failed", "exit-code", 3))):
            with Process() as p:
                task = reeve(i, "attach", p.pid).strip()
                p.end(status)
                reeve(i, "wait", "--quiet", task, status=status)
                t = get(i, task)
                assert (t["status"], t.get("outcome"), t["exit_status"]) == expected, t
        with Process() as p, Process() as q:
            one, two = reeve(i, "attach", "--json=short", p.pid, q.pid).splitlines()
            one, two = json.loads(one)["task_id"], json.loads(two)["task_id"]
            os.kill(p.pid, signal.SIGKILL)
            with i.connect() as c:
                t = i.wait(one, c)
                assert (t["status"], t["outcome"], t["exit_signal"]) == ("failed", "signal", 9), t
                c.call("Freeze", {"task_id": two})
                assert get(i, two)["frozen"]
                c.call("Thaw", {"task_id": two})
                c.call("Cancel", {"task_id": two, "reason": "enough"})
                t = i.wait(two, c)
                assert (t["status"], t["message"]) == ("cancelled", "enough"), t


def test_limits_and_properties():
    with Instance() as i, Process() as p:
        for name, value in (("LimitNOFILE", "10"), ("Nice", "5"), ("Environment", "A=b"), ("Slice", "x.slice"),
                            ("WorkingDirectory", "/")):
            text = reeve(i, "attach", "-p", f"{name}={value}", p.pid, status=64)
            assert name in text or "Limit" in text, text
        assert i.records() == [] and i.prefix not in p.cgroup()
        reeve(i, "attach", "-p", "TimeoutStopSec=1", p.pid)


def test_errors():
    with Instance() as i, Process() as p:
        assert "no process" in reeve(i, "attach", 2 ** 22 + 1, status=65)
        for bad in ("1", "0", "-5", "x", ""):
            reeve(i, "attach", "--", bad, status=64)
        assert "--id" in reeve(i, "attach", "--id=x", p.pid, p.pid, status=64)
        with i.connect() as c:
            for method, data in (("Run", spec.attached("a", p.pid)), ("Attach", spec.text("b", ["/bin/true"]))):
                with pytest.raises(VarlinkError) as caught:
                    call(c, method, data)
                assert (caught.value.name, caught.value.field) == ("InvalidArgument", "spec"), str(caught.value)
        task = reeve(i, "attach", p.pid).strip()
        assert "task" in reeve(i, "attach", p.pid, status=77), "it is a task already"
        assert len(i.leaves()) == 1
        assert get(i, task)["status"] == "active"


def test_whose():
    """A refusal leaves nothing: no row, no record, no cgroup; the process stays where it was."""
    with Instance() as i, Process() as roots, Process("nobody") as mine:
        def as_nobody(pid):
            with i.connect() as c:
                try:
                    return call(c, "Attach", spec.attached("hers", pid, uid=NOBODY.pw_uid))["task"]
                except VarlinkError as e:
                    return e.name, e.field
        assert Person("nobody").does(as_nobody, roots.pid) == ("PermissionDenied", "pid")
        with pytest.raises(VarlinkError) as caught:
            get(i, "hers")
        assert caught.value.name == "NoSuchTask"
        assert (i.records(), i.leaves(), i.spent()) == ([], [], 0)
        t = Person("nobody").does(as_nobody, mine.pid)
        assert (t["owner_uid"], t["run_uid"], t["status"]) == (NOBODY.pw_uid, NOBODY.pw_uid, "active"), t
        assert mine.cgroup() == t["cgroup"]


def test_the_same_twice():
    """A repeated request is the same task, while it runs and afterwards; other content is AlreadyExists."""
    with Instance() as i, Process() as p, i.connect() as c:
        data = spec.attached("twice", p.pid)
        for _ in range(2):
            assert call(c, "Attach", data)["task"]["pid"] == p.pid
        with pytest.raises(VarlinkError) as caught:
            call(c, "Attach", data, title="another")
        assert caught.value.name == "AlreadyExists"
        p.end(0)
        i.wait("twice", c)
        assert call(c, "Attach", data)["task"]["status"] == "completed"


@pytest.mark.parametrize("step", ["authorized", "inserted", "launched", "started", "ended", "finished", "forget"])
def test_reeved_dies_at(step):
    """kill -9 of reeved at each step: the process is attached once, and its end is known."""
    with Instance() as i, Process() as p:
        i.kill(i.reeved)
        once = i.path("once")
        with open(once, "w", encoding="ascii"):
            pass
        os.chown(once, pwd.getpwnam("reeve").pw_uid, -1)
        i.start_reeved(env={"REEVE_CRASH_AT": f"reeved:{step}", "REEVE_CRASH_ONCE": once})
        data = spec.attached("survives", p.pid)
        ends = step in ("ended", "finished", "forget")
        if ends:
            with i.connect() as c:
                call(c, "Attach", data)
            p.end(4)
        else:
            with i.connect() as c, pytest.raises((OSError, ConnectionLost)):
                call(c, "Attach", data)
                c.call("Wait", {"task_id": "survives"})  # the crash comes after the answer
        i.reeved.end(number=0) if i.reeved.alive() else None
        i.reeved.process.wait(timeout=20)
        i.reeved.close()
        i.start_reeved()
        with i.connect() as c:
            t = call(c, "Attach", data)["task"]
            if not ends:
                assert (t["status"], t["pid"]) == ("active", p.pid), t
                assert p.cgroup() == t["cgroup"]
                p.end(4)
            t = i.wait("survives", c)
        assert (t["status"], t["exit_status"], t["attempt"]) == ("failed", 4, 1), t
        assert t["usage_sources"]["cpu_usec"] == "kernel-final", t
        assert i.spent() == 1


def test_everything_dies_while_it_runs():
    """The process goes on, and its end is in the registry as well as anybody can know it."""
    for victims in (("launcher",), ("reeved", "launcher"), ("keeper",), ("keeper", "launcher", "reeved")):
        with Instance() as i, Process() as p:
            task = reeve(i, "attach", p.pid).strip()
            if "keeper" in victims:
                if "launcher" in victims:
                    i.launcher.process.send_signal(signal.SIGSTOP)
                for keeper in i.keepers():
                    os.kill(keeper, signal.SIGKILL)
            for name in ("reeved", "launcher"):
                if name in victims:
                    i.kill(getattr(i, name))
            if "launcher" in victims:
                i.start_launcher()
            if "reeved" in victims:
                i.start_reeved()
            assert get(i, task)["status"] == "active" and p.cgroup() == get(i, task)["cgroup"], victims
            p.end(5)
            t = i.wait(task)
            assert (t["status"], t["exit_status"]) == ("failed", 5), (victims, t)


def test_without_cgroups():
    with Instance(backend="process") as i, Process() as p:
        text = reeve(i, "attach", p.pid, status=64)
        assert "cgroups" in text, text
        assert i.records() == []
