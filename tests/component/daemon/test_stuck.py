# SPDX-License-Identifier: LGPL-2.1-or-later
"""Tasks that are stuck: each rule is found while nobody watches, told once, with what the processes were at, and before anything is
done about it; a task that goes on is let be; a restart says nothing twice.
"""

import json
import os
import signal
import subprocess
import time

import checks
import pytest
from instance import REEVE, Instance, cgroup2_mount
from people import Person

POLICY = """
version: 1
subsystems:
  test:
    task_types:
      check:
        stuck: {rules}
"""
WORKS = "i=0; while [ $i -lt 50000 ]; do i=$((i+1)); done"
IDLES = "echo here I stand; read -r _ <{root}/gate; " + WORKS + "; echo on; read -r _ <{root}/gate"


class World:
    def __init__(self, rules, backend="auto"):
        self.i = Instance(backend=backend)
        self.gate = checks.Gate(self.i)
        os.makedirs(self.i.path("policy.d"), exist_ok=True)
        with open(self.i.path("policy.d", "stuck.yaml"), "w", encoding="ascii") as f:
            f.write(POLICY.replace("{rules}", rules).replace("{root}", self.i.root))

    def __enter__(self):
        self.i.start_launcher()
        self.i.start_reeved()
        return self

    def __exit__(self, kind, *exc):
        if kind:
            print(self.i.logs())
        self.gate.close()
        self.i.close()

    def run(self, script=IDLES, task="t"):
        self.i.run(["/bin/sh", "-c", script.replace("{root}", self.i.root)], task=task)

    def get(self, task="t"):
        with self.i.connect() as c:
            return c.call("Get", {"task_id": task})["task"]

    def until(self, what, condition):
        checks.until(self.i, what, lambda: condition(self.get()))

    def until_stuck(self, episode=1):
        self.until(f"it is not found stuck ({episode})", lambda t: t.get("stuck", {}).get("episode", 0) >= episode)
        return self.get()["stuck"]

    def topics(self):
        with checks.database(self.i) as db:
            rows = db.execute("SELECT topic, detail FROM task_events WHERE task_id = 't' ORDER BY number").fetchall()
        return [(r["topic"], json.loads(r["detail"])) for r in rows if "stuck" in r["topic"]]

    def count(self, topic="task.stuck"):
        return [name for name, _ in self.topics()].count(topic)

    def until_told(self, n):
        """Until that is stored; and it was not more often."""
        checks.until(self.i, f"it was not told {n} times", lambda: self.count() >= n)
        assert self.count() == n, self.topics()

    def completes(self):
        self.gate.open()
        self.until("it does not go on", lambda t: b"on\n" in self.i.output("t"))
        self.gate.open()
        t = self.i.wait("t")
        assert t["status"] == "completed", t
        return t


def test_idle():
    with World("{idle_for: 1s}") as w:
        w.run()
        stuck = w.until_stuck()
        assert (stuck["rule"], stuck["episode"], stuck["attempt"]) == ("idle", 1, 1)
        assert stuck["found_at"] - stuck["since"] >= 1e6
        evidence = stuck["evidence"]
        assert evidence["window_usec"] >= 1e6 and evidence["cpu_usec"] <= evidence["window_usec"] / 1000
        assert evidence["output"] == "here I stand\n"
        [shell] = evidence["processes"]
        assert (shell["comm"], shell["state"]) == ("sh", "S") and shell["descriptors"] >= 3
        assert any(p.startswith(w.i.root) for p in shell["paths"]), shell
        if os.path.exists("/proc/self/wchan") and open("/proc/self/wchan", encoding="ascii").read():
            assert shell["wchan"], shell
        t = w.completes()
        assert t["stuck"]["found_at"] == stuck["found_at"] and "ladder" not in t["stuck"]
        [(topic, event)] = w.topics()  # the task has ended, so it is there
        assert topic == "task.stuck" and event["stuck"]["rule"] == "idle" and event["stuck"]["evidence"]["window_usec"] >= 1e6
        checks.check_nothing_left(w.i)


def test_again_after_progress():
    with World("{idle_for: 1s}") as w:
        w.run()
        w.until_stuck()
        w.gate.open()
        second = w.until_stuck(2)
        w.until("the second is not told", lambda t: w.count() == 2)
        assert second["evidence"]["output"] == "here I stand\non\n" and "over_at" not in second
        w.gate.open()
        assert w.i.wait("t")["status"] == "completed"
        assert w.count() == 2


def test_spinning():
    # Many, in no cgroup and their session before others, so that together they get a whole CPU of a machine that is busy.
    spins = "for i in 1 2 3 4; do (while :; do :; done) & done; wait"
    with World("{spinning_for: 1s, ladder: [{after: 100ms, do: kill}]}", backend="process") as w:
        w.run("echo -20 >/proc/self/autogroup; " + spins)
        stuck = w.until_stuck()
        assert stuck["rule"] == "spinning"
        assert stuck["evidence"]["cpu_usec"] >= 0.9 * stuck["evidence"]["window_usec"]
        assert stuck["evidence"].get("io_bytes", 0) == 0
        assert len(stuck["evidence"]["processes"]) == 5
        t = w.i.wait("t")
        assert (t["status"], t["outcome"]) == ("failed", "sla"), t
        assert "stuck" in t["message"]
        checks.check_nothing_left(w.i)


def test_active():
    """Whatever it does, and once for each attempt."""
    with World("{active_for: 2s}") as w:
        w.run("while ! read -r _ <{root}/gate; do :; done")
        stuck = w.until_stuck()
        assert stuck["rule"] == "active" and stuck["evidence"]["window_usec"] >= 2e6
        assert stuck["since"] == pytest.approx(w.get()["started_at"], abs=50000)
        w.gate.open()
        assert w.i.wait("t")["status"] == "completed"
        assert w.count() == 1


def test_its_steps():
    """In their order, each once, and the evidence is older than the first."""
    rules = "{idle_for: 1s, ladder: [{do: notify}, {do: signal, signal: SIGUSR1}, {after: 100ms, do: freeze}]}"
    with World(rules) as w:
        w.run("trap 'echo signalled' USR1; read -r _ <{root}/gate; " + IDLES)
        stuck = w.until_stuck()
        assert stuck["evidence"]["output"] == ""
        w.until("it is not frozen", lambda t: t.get("frozen"))
        w.until("the last step is not done", lambda t: w.count("task.stuck_step") == 3)
        steps = w.get()["stuck"]["ladder"]
        assert [(s["step"], s["do"], s["state"]) for s in steps] == [
            (1, "notify", "done"), (2, "signal", "done"), (3, "freeze", "done")]
        assert w.count() == 1
        with w.i.connect() as c:
            c.call("Cancel", {"task_id": "t"})
        assert w.i.wait("t")["status"] == "cancelled"
        checks.check_nothing_left(w.i)


def test_what_goes_on_is_let_be():
    with World("{idle_for: 1s, ladder: [{after: 1h, do: kill}]}") as w:
        w.run()
        assert w.until_stuck()["ladder"][0]["state"] == "waiting"
        w.gate.open()
        w.until("it is stuck still", lambda t: "over_at" in t["stuck"] or t["stuck"]["episode"] > 1)
        w.gate.open()
        assert w.i.wait("t")["status"] == "completed"


@pytest.mark.skipif(not cgroup2_mount(), reason="there is no cgroup2 mount")
def test_frozen_is_not_stuck():
    with World("{idle_for: 1s}") as w:
        w.run()
        with w.i.connect() as c:
            c.call("Freeze", {"task_id": "t"})
        w.run(task="other")  # a clock: found when t would have been
        checks.until(w.i, "the other one is not found", lambda: "stuck" in w.get("other"))
        checks.until(w.i, "nor again", lambda: w.get("other")["usage"] is not None)
        assert "stuck" not in w.get()
        with w.i.connect() as c:
            c.call("Thaw", {"task_id": "t"})
        w.until_stuck()
        for task in ("t", "other"):
            with w.i.connect() as c:
                c.call("Cancel", {"task_id": task})
            w.i.wait(task)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_restart(number):
    """The same episode is not told by the next daemon, whose ladder goes on; what happens after it has gone on is."""
    with World("{idle_for: 1s, ladder: [{do: notify}, {do: signal, signal: SIGUSR1}, {after: 1h, do: kill}]}") as w:
        w.run("trap '' USR1; " + IDLES)
        w.until_stuck()
        w.until("it is not signalled", lambda t: w.count("task.stuck_step") == 2)
        before = w.get()["stuck"]
        w.i.kill(w.i.reeved, number=number)
        w.i.start_reeved()
        w.run("trap '' USR1; read -r _ <{root}/gate", task="other")
        checks.until(w.i, "the other one is not found", lambda: "stuck" in w.get("other"))
        assert w.get()["stuck"] == before
        assert w.count() == 1
        with w.i.connect() as c:
            c.call("Cancel", {"task_id": "other"})
        w.i.wait("other")
        w.gate.open()
        again = w.until_stuck(2)
        assert again["rule"] == "idle"
        w.until("the second is not told", lambda t: w.count() == 2)
        with w.i.connect() as c:
            c.call("Cancel", {"task_id": "t"})
        assert w.i.wait("t")["status"] == "cancelled"
        checks.check_nothing_left(w.i)


def test_without_launcher():
    """What needs it is missing, the rest is told."""
    with World("{idle_for: 2s}") as w:
        w.run()
        w.i.kill(w.i.launcher)
        stuck = w.until_stuck()
        assert "processes" not in stuck["evidence"] and stuck["evidence"]["output"] == "here I stand\n"
        w.i.start_launcher()
        w.completes()


# ---- of tasks that are only reported


def started(w):
    with w.i.connect() as c:
        c.call("Start", {"task_id": "t", "subsystem": "test", "task_type": "check"})


def say(w, method, **more):
    with w.i.connect() as c:
        return c.call(method, {"task_id": "t", **more})


def test_a_reporter_that_says_nothing():
    """Whatever he says is a sign of life; what comes of his silence is told once, and again after the next."""
    with World("{idle_for: 1s, spinning_for: 1s, ladder: [{do: notify}, {after: 1h, do: kill}]}") as w:
        started(w)
        begun = time.monotonic()
        stuck = w.until_stuck()
        assert time.monotonic() - begun >= 1
        assert (stuck["rule"], stuck["episode"], set(stuck["evidence"])) == ("idle", 1, {"window_usec"}), stuck
        assert stuck["evidence"]["window_usec"] >= 1e6 and "over_at" not in stuck, stuck
        w.until("nobody is told", lambda t: t["stuck"]["ladder"][0]["state"] == "done")
        say(w, "Update", progress=0.5)
        w.until("it does not go on", lambda t: "over_at" in t["stuck"])
        assert w.until_stuck(2)["rule"] == "idle"
        w.until_told(2)
        assert w.count("task.stuck_step") >= 1, w.topics()
        assert say(w, "Complete")["task"]["status"] == "completed"


def test_a_reported_task_that_takes_too_long():
    with World("{active_for: 1s, ladder: [{do: signal, signal: SIGTERM}, {after: 200ms, do: kill}]}") as w:
        started(w)
        t = say(w, "Wait")["task"]
        assert (t["status"], t["outcome"], t["message"]) == ("failed", "sla", "it was stuck"), t
        assert [(s["do"], s["state"]) for s in t["stuck"]["ladder"]] == [("signal", "failed"), ("kill", "done")], t["stuck"]
        assert t["stuck"]["rule"] == "active" and w.count() == 1


def test_reported_tasks_after_a_restart():
    with World("{active_for: 1s, idle_for: 2s}") as w:
        started(w)
        w.until_told(2)
        w.i.kill(w.i.reeved)
        w.i.start_reeved()
        before = w.get()["stuck"]
        assert (before["rule"], before["episode"], "over_at" in before) == ("idle", 2, False), before
        say(w, "Update", progress=0.5)
        w.until("it does not go on", lambda t: "over_at" in t["stuck"])
        assert w.until_stuck(3)["rule"] == "idle"
        w.until_told(3)
        assert say(w, "Fail", message="enough")["task"]["outcome"] == "reported"


def test_reported_tasks_without_rules():
    with World("{spinning_for: 1s}") as w:
        started(w)
        begun = time.monotonic()
        w.until("time does not pass", lambda t: time.monotonic() > begun + 1.5)
        assert "stuck" not in w.get() and say(w, "Complete")["task"]["status"] == "completed"


@pytest.mark.skipif(not cgroup2_mount(), reason="there is no cgroup2 mount")
def test_a_reported_task_that_a_process_joined():
    """Then it is about what that process does, until it ends."""
    with World("{idle_for: 1s}") as w:
        started(w)
        with subprocess.Popen(["/bin/sh", "-c", "sleep 1000 & wait"], start_new_session=True) as p:
            try:
                subprocess.run([REEVE, "attach", "--to=t", "--children", str(p.pid)], check=True, timeout=checks.PATIENCE,
                               env={**os.environ, "REEVE_SOCKET": w.i.path("io.reeve.Registry")}, stdout=subprocess.DEVNULL)
                w.until("no process is idle", lambda t: t.get("stuck", {}).get("evidence", {}).get("processes"))
                assert w.get()["stuck"]["evidence"]["cpu_usec"] >= 0
                told = w.count()
            finally:
                os.killpg(p.pid, signal.SIGKILL)
        w.until("nobody is told of the silence behind that", lambda t: "processes" not in t["stuck"]["evidence"])
        checks.until(w.i, "it is not told", lambda: w.count() > told)
        assert say(w, "Complete")["task"]["status"] == "completed"


def test_what_others_see():
    with World("{idle_for: 1s}") as w:
        w.run()
        w.until_stuck()
        seen = Person("nobody").does(w.get)["stuck"]
        assert seen["rule"] == "idle" and seen["evidence"]["window_usec"] >= 1e6
        assert not {"processes", "output"} & set(seen["evidence"]) and "state" not in seen
        # The event is for everybody, whoever hears it; who may sees the rest in the task.
        with w.i.connect() as c:
            event = next(e for e in c.stream("Monitor", {"since": 0}) if e["topic"] == "task.stuck")["task"]["stuck"]
        assert {k: v for k, v in event.items() if k != "ladder"} == {k: v for k, v in seen.items() if k != "ladder"}, event
        mine = w.get()["stuck"]["evidence"]
        assert mine["processes"] and "here I stand" in mine["output"], mine
        env = {"PATH": os.environ["PATH"], "REEVE_SOCKET": w.i.path("io.reeve.Registry")}
        shown = subprocess.run([REEVE, "show", "t"], env=env, check=True, capture_output=True, text=True,
                               timeout=checks.PATIENCE).stdout
        assert "idle" in shown and "here I stand" in shown and "sh" in shown, shown
        w.completes()
