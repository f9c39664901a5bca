# SPDX-License-Identifier: LGPL-2.1-or-later
"""Daemons that are stopped, replaced, or away while tasks start, run and end; and the machine restarted.

A restart of the machine is told by the boot id in the database, and in a record where one survives: who reads them finds
another one than the kernel's.
"""

import contextlib
import os
import signal
import sqlite3
import time

import checks
import pytest
from breakpoint import Breakpoint
from instance import Instance, wait_exit
from varlink import VarlinkError

OTHER_BOOT = bytes(range(16))
BOOT_ID_OFFSET = 184  # in a record


class World:
    """An instance with a gate and, if named, a breakpoint; `submit` sends the task of the checks."""

    def __init__(self, at=None):
        self.i = Instance()
        self.gate = checks.Gate(self.i)
        self.point = Breakpoint(at) if at else None
        self.connections = {}

    def __enter__(self):
        for daemon, start in (("launcher", self.i.start_launcher), ("reeved", self.i.start_reeved)):
            start(self.point.environment(daemon) if self.point else None)
        return self

    def __exit__(self, kind, *exc):
        if kind:
            print(self.i.logs())
        if self.point:
            self.point.__exit__()
        for c in self.connections.values():
            c.close()
        self.gate.close()
        self.i.close()

    @property
    def argv(self):
        return ["/bin/sh", "-c", checks.TASK.format(root=self.i.root)]

    def submit(self, task, **kwargs):
        self.connections[task] = self.i.connect(timeout=checks.PATIENCE)
        self.i.submit(self.connections[task], self.argv, task=task, **kwargs)

    def run(self, task, **kwargs):
        self.submit(task, **kwargs)
        return self.connections[task].reply()["task"]

    def call(self, method, **parameters):
        with self.i.connect(timeout=checks.PATIENCE) as c:
            return c.call(method, parameters)

    def status(self, task):
        return self.call("Get", task_id=task)["task"]["status"]

    def kill(self, *names, number=signal.SIGKILL):
        self.i.kill(*[getattr(self.i, n) for n in names], number=number)

    def start(self, *names):
        for n in names:
            getattr(self.i, "start_" + n)()

    def wait_for_keepers_end(self):
        """Opens the gate and waits until the keepers are gone; needs no daemon."""
        fds = [os.pidfd_open(k) for k in self.i.keepers()]
        self.gate.open()
        for fd in fds:
            assert wait_exit(fd, checks.PATIENCE), "a keeper does not end"
            os.close(fd)

    def check_ended(self, task):
        t = self.i.wait(task)
        checks.check_end(t)
        checks.check_account(t)
        checks.check_row(self.i, t)
        checks.check_nothing_left(self.i)
        assert checks.runs(self.i).count(f"{task}.1") == 1
        return t

    def check_not_run(self, task, state, outcome=None):
        t = self.i.wait(task)
        assert (t["status"], t.get("outcome")) == (state, outcome), t.get("message")
        checks.check_nothing_left(self.i)
        assert f"{task}.1" not in checks.runs(self.i), "it ran all the same"
        with checks.database(self.i) as db:
            assert db.execute("SELECT count(*) FROM task_specs").fetchone()[0] == 0

    def reboot(self):
        """The database is as it was, and was written before the machine was restarted."""
        with contextlib.closing(sqlite3.connect(self.i.path("registry.db"))) as db, db:
            db.execute("UPDATE task_registry SET boot_id = ?", [OTHER_BOOT])


# ---- stopped and started again ----


@pytest.mark.parametrize("names", [["reeved"], ["launcher"], ["reeved", "launcher"]], ids="+".join)
def test_stopped_while_a_task_runs(names):
    with World() as w:
        w.run("t")
        for n in names:
            assert getattr(w.i, n).end(signal.SIGTERM) == 0, f"{n} should end with status 0"
        w.kill(*names)
        w.start(*reversed(names))
        assert w.status("t") == "active"
        w.gate.open()
        w.check_ended("t")


@pytest.mark.parametrize("names", [["reeved"], ["launcher"], ["reeved", "launcher"]], ids="+".join)
def test_away_while_a_task_ends(names):
    with World() as w:
        w.run("t")
        w.kill(*names, number=signal.SIGTERM)
        w.wait_for_keepers_end()
        w.start(*reversed(names))
        w.check_ended("t")


@pytest.mark.parametrize("commit", [1, 2, 3])
def test_reeved_is_stopped_in_a_commit(commit):
    with World(f"reeved:commit#{commit}") as w:
        w.submit("t")
        if commit == 3:
            w.connections["t"].reply()
            checks.wait_for_event(w.i, "task.started")
            w.gate.open()
        w.point.wait()
        w.i.reeved.process.send_signal(signal.SIGTERM)
        w.point.let_go()
        assert w.i.reeved.end() == 0
        w.kill("reeved")
        w.start("reeved")
        w.gate.open()
        checks.run_again(w.i, w.argv, "t")
        w.check_ended("t")


# ---- the launcher is away ----


def test_run_without_launcher():
    with World() as w:
        launcher_goes(w)
        with pytest.raises(VarlinkError) as e:
            w.run("t")
        assert e.value.name == "Unavailable"
        with pytest.raises(VarlinkError) as e:
            w.call("Get", task_id="t")
        assert e.value.name == "NoSuchTask"
        w.start("launcher")
        checks.run_again(w.i, w.argv, "t")
        w.gate.open()
        w.check_ended("t")
        assert w.i.spent() == 1


def launcher_is_there(w):
    return any(c["name"] == "launcher" and c["ok"] for c in w.call("Doctor")["checks"])


def authorize_is_out(w, task):
    w.i.launcher.process.send_signal(signal.SIGSTOP)
    w.submit(task)
    w.call("Stats")


def test_launcher_dies_with_a_call_out():
    """Authorize has no answer: the client is told to try again, and nothing is left of its first try."""
    with World() as w:
        authorize_is_out(w, "t")
        w.kill("launcher")
        with pytest.raises(VarlinkError) as e:
            w.connections["t"].reply()
        assert e.value.name == "Unavailable"
        assert w.i.records() == [] and w.i.spent() == 0
        w.start("launcher")
        checks.run_again(w.i, w.argv, "t")
        w.gate.open()
        w.check_ended("t")


def test_launcher_is_replaced_with_a_call_out():
    """Authorize is asked again; the client does not notice."""
    with World() as w:
        authorize_is_out(w, "t")
        w.kill("launcher")
        w.start("launcher")
        assert w.connections["t"].reply()["task"]["status"] == "active"
        w.gate.open()
        w.check_ended("t")
        assert w.i.spent() == 1


def launcher_goes(w):
    """Kills the launcher and waits until reeved knows."""
    w.kill("launcher")
    checks.until(w.i, "reeved does not notice", lambda: not launcher_is_there(w))


def test_requests_while_the_launcher_is_replaced():
    """What comes in the moment that it is away waits for the new one: Run, of many clients, and acts on what runs."""
    with World() as w:
        w.run("t")
        launcher_goes(w)
        for n in range(8):
            w.submit(f"new{n}")
        acts = []
        for method, parameters in (("Freeze", {}), ("Thaw", {}), ("Signal", {"signal": signal.SIGCONT})):
            acts.append(w.i.connect(timeout=checks.PATIENCE))
            acts[-1].send(method, {"task_id": "t", **parameters})
            w.call("Stats")  # or Thaw might come before Freeze
        w.start("launcher")
        for c in acts:
            c.reply()
            c.close()
        for n in range(8):
            assert w.connections[f"new{n}"].reply()["task"]["status"] == "active"
        for _ in range(9):
            w.gate.open()
        for task in ("t", *(f"new{n}" for n in range(8))):
            checks.check_end(w.i.wait(task))
        assert w.i.spent() == 9


def test_nobody_waits_for_a_launcher_that_is_gone_for_good():
    with World() as w:
        launcher_goes(w)
        with pytest.raises(VarlinkError):
            w.run("first")
        began = time.monotonic()
        for n in range(20):
            with pytest.raises(VarlinkError) as e:
                w.run(f"t{n}")
            assert e.value.name == "Unavailable"
        took = time.monotonic() - began
        assert took < 1, f"20 requests without hope took {took:.1f} s"


def test_a_client_that_waits_for_the_launcher_goes():
    """... and so does reeved, with requests that are held."""
    with World() as w:
        launcher_goes(w)
        w.submit("gone")
        w.submit("held")
        w.call("Stats")
        w.connections.pop("gone").close()
        w.call("Stats")
        assert w.i.reeved.end(signal.SIGTERM) == 0


def test_task_ends_while_launch_is_not_answered():
    """All that is known of the task is its record, and that is enough."""
    with World("launcher:exec") as w:
        w.gate.open()
        w.submit("t")
        w.point.wait()
        w.wait_for_keepers_end()
        w.call("Stats")
        w.kill("launcher")
        assert w.connections["t"].reply()["task"]["task_id"] == "t"
        checks.check_end(w.i.wait("t"))
        w.start("launcher")
        w.check_ended("t")


# ---- cancelled ----


def check_cancelled(w, task):
    t = w.i.wait(task)
    assert (t["status"], t.get("message")) == ("cancelled", "no need")
    checks.check_row(w.i, t)
    checks.check_nothing_left(w.i)


def test_cancel_outlives_reeved():
    with World("reeved:committed#3") as w:
        w.run("t")
        w.kill("launcher")
        with w.i.connect() as c:
            c.send("Cancel", {"task_id": "t", "reason": "no need"})
            w.point.wait()
            w.kill("reeved")
        w.start("launcher", "reeved")
        check_cancelled(w, "t")


def test_cancel_without_launcher():
    with World() as w:
        w.run("t")
        w.kill("launcher")
        w.call("Cancel", task_id="t", reason="no need")
        w.start("launcher")
        check_cancelled(w, "t")


def test_cancel_of_a_claimed_task():
    with World("launcher:claim") as w:
        w.submit("t")
        w.point.wait()
        w.kill("launcher")
        w.call("Cancel", task_id="t", reason="no need")
        w.start("launcher")
        w.check_not_run("t", "cancelled")


def test_cancel_of_a_task_that_is_about_to_start():
    """The launcher is dead, the keeper is not: nothing keeps the task from starting, but it is not left alone."""
    with World("keeper:keeper-forked") as w:
        w.submit("t")
        w.point.wait()
        w.kill("launcher")
        w.call("Cancel", task_id="t", reason="no need")
        assert w.status("t") == "pending"
        w.point.let_go()
        w.start("launcher")
        check_cancelled(w, "t")


# ---- the machine is restarted ----


def test_reboot():
    deadline = {"sla": "1h"}
    with World("reeved:inserted#2") as w:
        w.run("runs", more=deadline)
        w.submit("queued", more=deadline)
        w.point.wait()
        w.kill("reeved", "launcher")
        w.i.end_cgroups()
        for name in w.i.records():
            os.unlink(w.i.path("tasks", name))
        w.reboot()
        w.start("launcher", "reeved")

        t = w.i.wait("runs")
        assert (t["status"], t["outcome"]) == ("lost", "rebooted")
        checks.check_row(w.i, t)
        assert checks.run_again(w.i, w.argv, "queued", more=deadline)["status"] == "active"
        w.kill("reeved")
        w.start("reeved")
        assert w.status("queued") == "active", "it was started after the reboot"
        w.gate.open()
        w.check_ended("queued")


def test_reboot_and_nobody_had_heard_of_the_start():
    """The row is of the last boot, the record of this one."""
    with World("reeved:inserted") as w:
        w.submit("t")
        w.point.wait()
        w.kill("reeved", "launcher")
        w.reboot()
        with Breakpoint("reeved:commit#1") as started:
            w.start("launcher")
            w.i.start_reeved(started.environment("reeved"))
            started.wait()
            w.kill("reeved")
        w.start("reeved")
        assert w.status("t") == "active"
        w.gate.open()
        w.check_ended("t")


def test_reboot_with_a_claimed_record():
    """The records are on a disk, as in a private instance: the attempt is taken back, and made."""
    with World("launcher:mkdir") as w:
        w.submit("t")
        w.point.wait()
        w.kill("reeved", "launcher")
        with open(w.i.path("tasks", "t.1"), "r+b") as f:
            f.seek(BOOT_ID_OFFSET)
            with open("/proc/sys/kernel/random/boot_id", encoding="ascii") as b:
                assert f.read(16).hex() == b.read().strip().replace("-", ""), "BOOT_ID_OFFSET is wrong"
            f.seek(BOOT_ID_OFFSET)
            f.write(OTHER_BOOT)
        w.reboot()
        w.start("launcher", "reeved")
        checks.run_again(w.i, w.argv, "t")
        w.gate.open()
        w.check_ended("t")
        assert w.i.spent() == 1


def test_reboot_with_a_spent_ticket():
    """The record went with the machine, the list of spent tickets did not: it may have run."""
    with World("launcher:mkdir") as w:
        w.submit("t")
        w.point.wait()
        w.kill("reeved", "launcher")
        os.unlink(w.i.path("tasks", "t.1"))
        w.reboot()
        w.start("launcher", "reeved")
        w.check_not_run("t", "lost", "rebooted")


def test_a_keeper_that_is_killed_again_and_again():
    """The launcher pauses between adoptions, serves others meanwhile, and the task loses nothing."""
    with World() as w:
        w.run("t")
        seen = set()
        while len(seen) < 8:
            for pid in w.i.keepers():
                if pid not in seen and len(seen) < 8:
                    seen.add(pid)
                    with contextlib.suppress(ProcessLookupError):
                        os.kill(pid, signal.SIGKILL)
            assert w.i.run_wait(["/bin/true"])["status"] == "completed"
        w.gate.open()
        w.check_ended("t")
