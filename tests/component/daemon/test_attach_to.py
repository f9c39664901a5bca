# SPDX-License-Identifier: LGPL-2.1-or-later
"""A process joins a task that is reported: what is counted, who ends what, and who dies meanwhile."""

import os
import pwd
import signal
import subprocess

import pytest

import checks
import spec
from instance import REEVE, Instance, cgroup2_mount
from people import Person
from processes import Process
from varlink import ConnectionLost, VarlinkError

pytestmark = pytest.mark.skipif(cgroup2_mount() is None, reason="there is no cgroup2 here")
NOBODY = pwd.getpwnam("nobody")
WHAT = {"subsystem": "learning", "task_type": "mission"}
COUNTS = """echo ready; while read -r word n; do
    case $word in end) exit $n ;; count) i=0; while [ $i -lt 200000 ]; do i=$((i + 1)); done ;; esac; echo $word; done"""
STUBBORN = "trap '' TERM; echo ready; while read -r word n; do echo $word; done"
MB = 1 << 20


def start(c, task, fds=(), **more):
    return c.call("Start", {**WHAT, "task_id": task, **more}, fds)["task"]


def say(c, method, task, **more):
    return c.call(method, {"task_id": task, **more})


def get(c, task):
    return say(c, "Get", task)["task"]


def attach(c, task, pid, **changed):
    fd = spec.memfd(spec.attached(task, pid, **changed))
    try:
        c.send("Attach", {"spec": 0}, [fd])
        return c.reply()["task"]
    finally:
        os.close(fd)


def refused(function, *args, **more):
    with pytest.raises(VarlinkError) as e:
        function(*args, **more)
    return e.value.name, e.value.field


def is_alive(p):
    return p.popen.poll() is None


def forgotten(i, task):
    """Waits until nothing of the process is left: its record goes after what was committed of it."""
    checks.until(i, "the record is left", lambda: f"{task}.1" not in i.records())


def test_what_is_counted():
    """What the kernel counts replaces what was reported, field by field; the process outlives its task."""
    with Instance() as i, Process(script=COUNTS) as p, i.connect() as c:
        start(c, "counted", title="A mission")
        say(c, "Update", "counted", usage={"cpu_usec": 7, "storage_delta_bytes": 5}, progress=0.5)
        t = attach(c, "counted", p.pid)
        assert (t["status"], t["kind"], t["title"], t["attempt"]) == ("active", "reported", "A mission", 1), t
        assert p.cgroup() == t["cgroup"] and t["cgroup"].endswith("/tasks/0/counted.1") and "backend" not in t, t
        p.says("count")
        t = say(c, "Complete", "counted", resource_usage={"cpu_seconds": 9999, "storage_delta_mb": 3})["task"]
        assert t["status"] == "completed", t
        assert t["usage_sources"]["cpu_usec"] == "kernel" and 1000 < t["usage"]["cpu_usec"] < 9999000000, t
        assert t["usage"]["storage_delta_bytes"] == 3 * MB and t["usage_sources"]["storage_delta_bytes"] == "reported", t
        assert is_alive(p) and p.cgroup() == t["cgroup"], "it stays where it is"
        i.kill(i.reeved)
        i.start_reeved()
        i.kill(i.launcher)
        i.start_launcher()
        with i.connect() as after:
            start(after, "next")
            p.says("still")
            assert get(after, "counted") == t, "what it uses later is nobody's"
            assert refused(attach, after, "next", p.pid) == ("PermissionDenied", "pid"), "it belongs to a task"
            p.end(0)
            forgotten(i, "counted")
            assert get(after, "counted") == t and i.leaves() == []


def test_it_ends_before_its_task():
    with Instance() as i, Process(script=COUNTS) as p, Process() as late, i.connect() as c:
        start(c, "goes_on")
        attach(c, "goes_on", p.pid)
        p.says("count")
        p.end(3)
        p.popen.wait()
        forgotten(i, "goes_on")
        t = get(c, "goes_on")
        assert (t["status"], t["usage_sources"]["cpu_usec"]) == ("active", "kernel-final"), t
        used = t["usage"]["cpu_usec"]
        assert refused(attach, c, "goes_on", late.pid) == ("AlreadyExists", "task_id"), "one process joins a task"
        assert refused(say, c, "Signal", "goes_on", signal=15) == ("Unavailable", "task_id")
        i.kill(i.reeved)
        i.start_reeved()
        with i.connect() as after:
            say(after, "Update", "goes_on", usage={"cpu_usec": 1, "net_rx_bytes": 2})
            t = say(after, "Complete", "goes_on")["task"]
        assert (t["status"], t["usage"]["cpu_usec"], t["usage_sources"]["cpu_usec"]) == ("completed", used, "kernel-final"), t


def test_acting_on_it():
    with Instance() as i, Process() as p, i.connect() as c:
        start(c, "acted_on")
        assert refused(say, c, "Signal", "acted_on", signal=15) == ("Unavailable", "task_id")
        attach(c, "acted_on", p.pid)
        say(c, "Freeze", "acted_on")
        assert get(c, "acted_on")["frozen"]
        i.kill(i.reeved)
        i.start_reeved()
        with i.connect() as after:
            assert get(after, "acted_on")["frozen"], "after a restart, too"
            say(after, "Thaw", "acted_on")
            p.says("thawed")
            say(after, "Signal", "acted_on", signal=9)
            assert p.popen.wait() == -9
            assert say(after, "Complete", "acted_on")["task"]["status"] == "completed"


def test_cancel():
    """TERM, then KILL; the task ends with its process, and nobody may say otherwise meanwhile."""
    with Instance() as i, Process(script=STUBBORN) as p, i.connect() as c:
        start(c, "cancelled")
        attach(c, "cancelled", p.pid, grace_usec=300000)
        say(c, "Cancel", "cancelled", reason="enough")
        assert refused(say, c, "Complete", "cancelled") == ("AlreadyFinished", "task_id")
        t = i.wait("cancelled", c)
        assert (t["status"], t["message"], t["usage_sources"]["cpu_usec"]) == ("cancelled", "enough", "kernel-final"), t
        assert p.popen.wait() == -9


def test_its_ladder_ends_it():
    with Instance() as i, Process() as p:
        with open(i.path("policy.d", "test.yaml"), "w", encoding="ascii") as f:
            f.write("version: 1\nsubsystems:\n  learning:\n    task_types:\n      mission:\n"
                    "        sla: {deadline: 1s, ladder: [{at: 50%, do: freeze}, {at: 100%, do: kill}]}\n")
        with i.connect() as c:
            c.call("PolicyReload")
            start(c, "too_slow")
            attach(c, "too_slow", p.pid)
            t = i.wait("too_slow", c)
            assert (t["status"], t["outcome"], t["sla_met"]) == ("failed", "sla", False), t
            assert {(s["do"], s["state"]) for s in t["ladder"]} >= {("freeze", "done"), ("kill", "done")}, t
            assert p.popen.wait() == -9


def test_a_task_that_ends_lets_it_go():
    """Neither the backstop of its deadline nor a freeze holds for what goes on."""
    with Instance() as i, Process() as p, i.connect() as c:
        start(c, "let_go", sla="1h")
        attach(c, "let_go", p.pid)
        say(c, "Freeze", "let_go")
        assert say(c, "Fail", "let_go", message="gave up")["task"]["status"] == "failed"
        p.says("free")


def test_a_reporter_that_is_attached():
    """It ends with how it ended: lost, and its account is final; cancelled if that was asked for."""
    with Instance() as i, i.connect() as c:
        for act, status, outcome in ((None, "lost", "reporter-died"), ("Cancel", "cancelled", None)):
            with Process() as p:
                fd = os.pidfd_open(p.pid)
                task = f"reporter_{status}"
                start(c, task, [fd], watch=0)
                os.close(fd)
                t = attach(c, task, p.pid)
                assert t["pid"] == p.pid, t
                say(c, act, task) if act else p.end(0)
                t = i.wait(task, c)
                assert (t["status"], t.get("outcome"), t["usage_sources"]["cpu_usec"]) == (status, outcome, "kernel-final"), t


def test_a_worker_outlives_its_reporter():
    with Instance() as i, Process() as worker, Process() as reporter, i.connect() as c:
        fd = os.pidfd_open(reporter.pid)
        start(c, "left_alone", [fd], watch=0)
        os.close(fd)
        attach(c, "left_alone", worker.pid)
        reporter.end(0)
        t = i.wait("left_alone", c)
        assert (t["status"], t["outcome"], t["usage_sources"]["cpu_usec"]) == ("lost", "reporter-died", "kernel"), t
        worker.says("alive")


def test_the_same_again():
    with Instance() as i, Process() as p, Process() as q, i.connect() as c:
        start(c, "again")
        first = attach(c, "again", p.pid)
        assert attach(c, "again", p.pid)["cgroup"] == first["cgroup"]
        assert refused(attach, c, "again", q.pid) == ("AlreadyExists", "task_id")
        assert len(i.leaves()) == 1


def test_which_tasks():
    with Instance() as i, Process() as p, i.connect() as c:
        assert refused(attach, c, "nobody_knows", p.pid) == ("NoSuchTask", "task_id")
        start(c, "unbegun", pending=True)
        assert refused(attach, c, "unbegun", p.pid) == ("Unavailable", "task_id")
        start(c, "ended")
        say(c, "Complete", "ended")
        assert refused(attach, c, "ended", p.pid) == ("AlreadyFinished", "task_id")
        i.submit(c, ["/bin/sleep", "1000"], task="launched")
        c.reply()
        assert refused(attach, c, "launched", p.pid) == ("InvalidArgument", "task_id")
        start(c, "there")
        assert refused(attach, c, "there", p.pid, uid=4711) == ("PermissionDenied", "pid")
        fd = spec.memfd(spec.text("there", ["/bin/true"]))
        assert refused(c.call, "Attach", {"spec": 0}, [fd]) == ("InvalidArgument", "spec")
        assert refused(c.call, "Attach", {"spec": 0, "title": "x"}, [fd]) == ("InvalidArgument", "title")
        assert refused(c.call, "Attach", {"spec": 0, "subsystem": "x"}, [fd]) == ("InvalidArgument", "task_type")
        os.close(fd)
        assert i.prefix not in p.cgroup()
        say(c, "Cancel", "launched")
        i.wait("launched", c)
        checks.check_nothing_left(i)


def test_whose():
    """Task and process must be of the same user, also for root; nobody joins the task of somebody else."""
    with Instance() as i, Process() as roots, Process("nobody") as mine:
        def starts():
            with i.connect() as c:
                return start(c, "mine")["owner_uid"]

        def joins(task, pid):
            with i.connect() as c:
                try:
                    return attach(c, task, pid, uid=NOBODY.pw_uid)["cgroup"]
                except VarlinkError as e:
                    return e.name, e.field

        assert Person("nobody").does(starts) == NOBODY.pw_uid
        with i.connect() as c:
            start(c, "roots")
            assert refused(attach, c, "mine", roots.pid) == ("PermissionDenied", "pid")
            assert refused(attach, c, "roots", mine.pid) == ("PermissionDenied", "pid")
        assert Person("nobody").does(joins, "roots", mine.pid) == ("PermissionDenied", "task_id")
        assert Person("nobody").does(joins, "mine", roots.pid) == ("PermissionDenied", "pid")
        assert i.prefix not in roots.cgroup() and i.prefix not in mine.cgroup() and i.records() == []
        assert Person("nobody").does(joins, "mine", mine.pid) == mine.cgroup()


def test_a_process_that_has_ended():
    with Instance() as i, Process() as p, Process() as q, i.connect() as c:
        start(c, "missed")
        data = spec.attached("missed", p.pid)
        p.end(0)
        p.popen.wait()
        fd = spec.memfd(data)
        assert refused(c.call, "Attach", {"spec": 0}, [fd]) == ("AlreadyFinished", "pid")
        os.close(fd)
        assert attach(c, "missed", q.pid)["cgroup"] == q.cgroup(), "another one may"


@pytest.mark.parametrize("victims", [("reeved",), ("launcher",), ("keeper",), ("reeved", "launcher"),
                                     ("keeper", "launcher", "reeved")], ids="+".join)
@pytest.mark.parametrize("ends", [False, True], ids=["goes-on", "ends-meanwhile"])
def test_kill_9(victims, ends):
    """Who dies, and whether the process ends while they are away: its account is there, the task is its reporter's."""
    with Instance() as i, Process(script=COUNTS) as p:
        with i.connect() as c:
            start(c, "survives")
            attach(c, "survives", p.pid)
        p.says("count")
        if "keeper" in victims:
            if "launcher" in victims:
                i.launcher.process.send_signal(signal.SIGSTOP)
            for keeper in i.keepers():
                os.kill(keeper, signal.SIGKILL)
        for name in ("reeved", "launcher"):
            if name in victims:
                i.kill(getattr(i, name))
        if ends:
            p.end(0)
            p.popen.wait()
        if "launcher" in victims:
            i.start_launcher()
        if "reeved" in victims:
            i.start_reeved()
        with i.connect() as c:
            assert get(c, "survives")["status"] == "active"
            if not ends:
                assert p.cgroup() == get(c, "survives")["cgroup"]
                p.end(0)
                p.popen.wait()
            forgotten(i, "survives")
            t = say(c, "Complete", "survives")["task"]
        assert (t["status"], t["usage_sources"]["cpu_usec"]) == ("completed", "kernel-final"), t
        assert t["usage"]["cpu_usec"] > 1000 and i.leaves() == [], t


@pytest.mark.parametrize("step", ["attached", "finished"])
def test_reeved_dies_at(step):
    """Between the move and the commit, and at the end of the task: the same request again is answered with the task."""
    with Instance() as i, Process() as p:
        i.kill(i.reeved)
        i.start_reeved(env={"REEVE_CRASH_AT": f"reeved:{step}"})
        with i.connect() as c, pytest.raises((OSError, ConnectionLost)):
            start(c, "survives")
            attach(c, "survives", p.pid)
            say(c, "Complete", "survives")
        i.reeved.process.wait(timeout=20)
        i.reeved.close()
        i.start_reeved()
        with i.connect() as c:
            if step == "attached":
                assert attach(c, "survives", p.pid)["cgroup"] == p.cgroup()
            t = say(c, "Complete", "survives")["task"]
            assert (t["status"], t["usage_sources"]["cpu_usec"]) == ("completed", "kernel"), t
            p.says("alive")


@pytest.mark.parametrize("step", ["launcher:claim", "launcher:mkdir", "launcher:keeper-forked", "launcher:exec",
                                  "keeper:attach-started", "keeper:attach-move", "keeper:attach-moved"])
def test_somebody_dies_while_it_joins(step):
    """Said again, the request is answered with the task; whatever was done by then is not done twice."""
    with Instance() as i, Process(script=COUNTS) as p:
        i.kill(i.launcher)
        once = i.path("once")
        with open(once, "w", encoding="ascii"):
            pass
        i.start_launcher(env={"REEVE_CRASH_AT": step, "REEVE_CRASH_ONCE": once})
        data = spec.attached("joined", p.pid)
        with i.connect() as c:
            start(c, "joined")
            fd = spec.memfd(data)
            c.send("Attach", {"spec": 0}, [fd])
            if step.startswith("launcher"):
                i.launcher.process.wait(timeout=20)
                i.kill(i.launcher)
                i.start_launcher()
            for _ in range(20):  # Unavailable: whoever recovers the record is at it
                try:
                    t = c.reply()["task"]
                    break
                except VarlinkError as e:
                    assert e.name in ("Unavailable", "AlreadyExists"), str(e)
                    c.send("Attach", {"spec": 0}, [fd])
            os.close(fd)
            checks.until(i, "it was not moved", lambda: p.cgroup() == t["cgroup"])
            p.says("count")
            p.end(0)
            p.popen.wait()
            forgotten(i, "joined")
            t = say(c, "Complete", "joined")["task"]
            assert (t["status"], t["usage_sources"]["cpu_usec"]) == ("completed", "kernel-final"), t
        checks.check_nothing_left(i)


def test_from_the_command_line():
    with Instance() as i, Process() as p, i.connect() as c:
        def reeve(*args, status=0):
            done = subprocess.run([i.program(REEVE), *map(str, args)], capture_output=True, text=True, timeout=60,
                                  check=False, env={"PATH": "/usr/bin:/bin", "REEVE_SOCKET": i.path("io.reeve.Registry")})
            assert done.returncode == status, (args, done.returncode, done.stdout, done.stderr)
            return done.stdout if status == 0 else done.stderr

        task = reeve("start", "--subsystem=learning", "--type=mission").strip()
        assert reeve("attach", f"--to={task}", "--children", "-p", "TimeoutStopSec=1", p.pid).strip() == task
        assert p.cgroup() == get(c, task)["cgroup"]
        assert "--title" in reeve("attach", f"--to={task}", "--title=x", p.pid, status=64)
        assert "--to" in reeve("attach", f"--to={task}", p.pid, p.pid, status=64)
        assert "task_id" in reeve("attach", "--to=-x", p.pid, status=64)
        assert "no task" in reeve("attach", "--to=nobody_knows", p.pid, status=66)
        reeve("complete", "--used=cpu_seconds=1000", task)
        assert get(c, task)["usage_sources"]["cpu_usec"] == "kernel"


def test_without_cgroups():
    with Instance(backend="process") as i, Process() as p, i.connect() as c:
        start(c, "no_cgroup")
        assert refused(attach, c, "no_cgroup", p.pid) == ("InvalidArgument", "backend")
        assert say(c, "Complete", "no_cgroup")["task"]["status"] == "completed"
