# SPDX-License-Identifier: LGPL-2.1-or-later
"""Hooks: what a ladder's step runs is a task of its own, in rights of its own, that delays nobody, is tried again, and is run
once whatever is killed meanwhile.
"""

import json
import os
import pwd
import signal

import checks
import pytest
from instance import Instance, wait_exit
from varlink import VarlinkError

USER = "reeve-hook"
POLICY = """
version: 1
subsystems:
  test:
    task_types:
      check:
        hooks: {{timeout: {timeout}}}
        sla:
          deadline: 100ms
          from: started
          ladder:
            - {{at: 100%, do: escalate, hook: {root}/hooks/{hook}}}
"""
TELLS = "#!/bin/sh\necho run >>{root}/said/ran\nid -un; pwd; env | grep ^REEVE_ | sort; cat\n"
WAITS = "#!/bin/sh\necho run >>{root}/said/ran\nread -r _ <{root}/hook-gate\n"
FAILS = "#!/bin/sh\necho run >>{root}/said/ran\necho attempt $REEVE_ATTEMPT\n[ $REEVE_ATTEMPT -ge {good} ]\n"


def has_user():
    try:
        pwd.getpwnam(USER)
    except KeyError:
        return False
    return True


pytestmark = pytest.mark.skipif(not has_user(), reason=f"there is no user {USER}")


class World:
    """An instance whose tasks are late at once; the task itself waits at a gate."""

    def __init__(self, hook, env=None, timeout="1min"):
        self.i = Instance()
        self.gate = checks.Gate(self.i)
        os.mkdir(self.i.path("said"))
        os.chmod(self.i.path("said"), 0o777)
        os.mkfifo(self.i.path("hook-gate"))
        os.chmod(self.i.path("hook-gate"), 0o666)
        self.hook_gate = os.open(self.i.path("hook-gate"), os.O_RDWR | os.O_CLOEXEC)
        for name, text in (("tells", TELLS), ("waits", WAITS), ("recovers", FAILS.replace("{good}", "2")),
                           ("fails", FAILS.replace("{good}", "99"))):
            path = self.i.path("hooks", name)
            with open(path, "w", encoding="ascii") as f:
                f.write(text.replace("{root}", self.i.root))
            os.chmod(path, 0o755)
        os.makedirs(self.i.path("policy.d"), exist_ok=True)
        with open(self.i.path("policy.d", "hooks.yaml"), "w", encoding="ascii") as f:
            f.write(POLICY.format(root=self.i.root, hook=hook, timeout=timeout))
        self.env = env

    def __enter__(self):
        self.i.start_launcher()
        self.i.start_reeved(self.env)
        return self

    def __exit__(self, kind, *exc):
        if kind:
            print(self.i.logs())
        os.close(self.hook_gate)
        self.gate.close()
        self.i.close()

    def run(self, task="t"):
        self.i.run(["/bin/sh", "-c", f"read -r _ <{self.i.root}/gate"], task=task)

    def get(self, task):
        with self.i.connect() as c:
            return c.call("Get", {"task_id": task})["task"]

    def there_is(self, task):
        try:
            self.get(task)
        except VarlinkError as e:
            assert e.name == "NoSuchTask"
            return False
        return True

    def wait_for_hook(self, task="t-step1"):
        """Until it was made and has ended."""
        checks.until(self.i, "there is no hook", lambda: self.there_is(task))
        return self.i.wait(task)

    def ran(self):
        try:
            with open(self.i.path("said", "ran"), encoding="ascii") as f:
                return len(f.readlines())
        except FileNotFoundError:
            return 0

    def step(self, task="t"):
        return [s for s in self.get(task)["ladder"] if s["do"] == "escalate"][0]

    def until_step(self, state):
        checks.until(self.i, f"the step is not {state}", lambda: self.step()["state"] == state)

    def parent_completes(self):
        assert self.get("t")["status"] == "active", "a hook is no reason to touch its parent"
        self.gate.open()
        t = self.i.wait("t")
        assert (t["status"], t["sla_met"]) == ("completed", False), t
        checks.check_nothing_left(self.i)


def test_what_it_is_told():
    with World("tells") as w:
        w.run()
        h = w.wait_for_hook()
        assert (h["status"], h["subsystem"], h["task_type"], h["attempt"]) == ("completed", "reeve-hooks", "tells", 1)
        assert h["run_uid"] == pwd.getpwnam(USER).pw_uid and h["owner_uid"] == 0
        assert h["usage"]["cpu_usec"] > 0 and h["created_by"] == "reeve"
        assert h["argv"] == [w.i.path("hooks", "tells")]
        assert (h["metadata"]["parent"], h["metadata"]["step"]) == ("t", 1)
        lines = w.i.output("t-step1").decode().splitlines()
        assert lines[:5] == [USER, "/", "REEVE_ATTEMPT=1", "REEVE_STEP=1", "REEVE_TASK_ID=t"]
        event = json.loads(lines[5])
        assert event == h["metadata"]["event"] and event["task_id"] == "t"
        w.until_step("done")
        w.parent_completes()


def test_it_is_tried_again():
    with World("recovers") as w:
        w.run()
        h = w.wait_for_hook()
        assert (h["status"], h["attempt"], h["attempts"]) == ("completed", 2, 3)
        assert w.ran() == 2
        w.until_step("done")
        with checks.database(w.i) as db:
            attempts = db.execute("SELECT * FROM task_attempts WHERE task_id = 't-step1' ORDER BY attempt").fetchall()
            topics = [r[0] for r in db.execute("SELECT topic FROM task_events WHERE task_id = 't-step1' ORDER BY number")]
        assert [(a["attempt"], a["exit_value"]) for a in attempts] == [(1, 1), (2, 0)]
        assert attempts[1]["started_at"] - attempts[0]["ended_at"] >= 1e6, "there is a pause between them"
        assert topics == ["task.created", "task.started", "task.retry", "task.started", "task.completed"]
        w.parent_completes()


def test_it_fails():
    with World("none") as w:
        w.run()
        h = w.wait_for_hook()
        assert (h["status"], h["outcome"]) == ("failed", "exec"), h
        assert "no such program" in h["message"]
        w.until_step("failed")
        assert "no such program" in w.step()["message"]
        w.parent_completes()


def test_it_takes_too_long():
    """Each attempt is ended when the policy says so, also by a daemon that is another one by then."""
    with World("waits", timeout="500ms") as w:
        w.run()
        checks.until(w.i, "the hook does not run", lambda: w.ran() == 1)
        w.i.kill(w.i.reeved)
        w.i.start_reeved()
        h = w.wait_for_hook()
        assert (h["status"], h["outcome"], h["exit_signal"], h["attempt"]) == ("failed", "sla", signal.SIGKILL, 3), h
        assert h["metadata"]["timeout_usec"] == 500000, h["metadata"]
        assert w.ran() == 3
        with checks.database(w.i) as db:
            attempts = db.execute("SELECT * FROM task_attempts WHERE task_id = 't-step1' ORDER BY attempt").fetchall()
        # The time of an attempt counts from before its launch.
        assert all(a["ended_at"] - a["started_at"] < 10e6 for a in attempts), [tuple(a) for a in attempts]
        assert attempts[0]["ended_at"] - h["created_at"] >= 0.5e6, (h["created_at"], tuple(attempts[0]))
        w.until_step("uncertain")
        w.parent_completes()


def test_it_hangs():
    """Its parent ends, other tasks and their hooks come and go; it is ended by who may."""
    with World("waits") as w:
        w.run()
        checks.until(w.i, "the hook does not run", lambda: w.ran() == 1)
        w.parent_goes_on = w.get("t")["status"]
        assert w.parent_goes_on == "active"
        w.gate.open()
        assert w.i.wait("t")["status"] == "completed"
        assert w.get("t-step1")["status"] == "active"
        w.run("u")
        checks.until(w.i, "the next hook does not run", lambda: w.ran() == 2)
        with w.i.connect() as c:
            c.call("Cancel", {"task_id": "t-step1"})
        assert w.i.wait("t-step1")["status"] == "cancelled"
        os.write(w.hook_gate, b"\n")
        assert w.i.wait("u-step1")["status"] == "completed"
        w.gate.open()
        assert w.i.wait("u")["status"] == "completed"
        checks.check_nothing_left(w.i)


@pytest.mark.parametrize("names", [["reeved"], ["launcher"], ["reeved", "launcher"]], ids="+".join)
def test_killed_while_it_runs(names):
    with World("waits") as w:
        w.run()
        checks.until(w.i, "the hook does not run", lambda: w.ran() == 1)
        w.i.kill(*[getattr(w.i, n) for n in names])
        for n in reversed(names):
            getattr(w.i, f"start_{n}")()
        os.write(w.hook_gate, b"\n")
        h = w.wait_for_hook()
        assert (h["status"], h["attempt"]) == ("completed", 1)
        assert w.ran() == 1, "it was run twice"
        assert w.step()["state"] == ("done" if names == ["launcher"] else "uncertain")
        w.parent_completes()


@pytest.mark.parametrize("step", ["hook-inserted", "hook-attempt"])
def test_reeved_is_killed_at_step(step):
    with World("recovers", {"REEVE_CRASH_AT": f"reeved:{step}"}) as w:
        w.run()
        assert wait_exit(w.i.reeved.pid_fd, checks.PATIENCE), f"reeved did not come to {step}"
        w.i.kill(w.i.reeved, number=signal.SIGKILL)
        w.i.start_reeved()
        h = w.wait_for_hook()
        assert (h["status"], h["attempt"]) == ("completed", 2)
        assert w.ran() == 2
        w.parent_completes()


def test_without_launcher():
    """A hook that is due waits for the launcher, as any task does."""
    with World("tells") as w:
        w.run()
        w.i.kill(w.i.launcher)
        checks.until(w.i, "there is no hook", lambda: w.there_is("t-step1"))
        assert w.get("t-step1")["status"] == "pending"
        w.i.start_launcher()
        assert w.wait_for_hook()["status"] == "completed"
        w.parent_completes()
