# SPDX-License-Identifier: LGPL-2.1-or-later
"""The queue: who starts when, what keeps a task from it, and that none of it is lost or done twice when reeved dies."""

import contextlib
import os
import pathlib
import re
import sqlite3
import subprocess
import time

import checks
import pytest
from instance import REEVE, Instance, booted
from people import Person
from varlink import ConnectionLost, VarlinkError

POLICY = """
version: 1
max_parallel: 4
subsystems:
  healing:
    max_parallel: 3
    task_types:
      playbook: {max_parallel: 2}
      probe: {}
  tries:
    task_types:
      flaky:
        retry: {attempts: 3, backoff: 50ms, max_backoff: 100ms, on: [exit-code, verification]}
      slow:
        retry: {attempts: 3, backoff: 1h, on: [exit-code]}
        sla: {deadline: 2s, ladder: [{at: 100%, do: kill}]}
      patient:
        retry: {attempts: 3, backoff: 1h, max_backoff: 1h, on: [exit-code]}
"""
TRUE = ["/bin/true"]
NAMED = ("test", "check")

EACH_KB = 8  # of memory for a task that waits
if "ASAN_OPTIONS" in os.environ:
    EACH_KB = 64  # a sanitizer keeps what was freed (up to 256 MB), and has a shadow of everything


class World:
    """An instance whose tasks wait at a gate of their own and note their starts in a file."""

    def __init__(self, policy=POLICY):
        self.policy = policy

    def __enter__(self):
        self.i = Instance()
        self.write(self.policy)
        self.i.start()
        return self

    def __exit__(self, *exc):
        self.i.close()

    def write(self, policy):
        with open(self.i.path("policy.d", "50-test.yaml"), "w", encoding="utf-8") as f:
            f.write(policy)

    def restart(self, env=None):
        self.i.kill(self.i.reeved)
        self.i.start_reeved(env)

    def gate(self, name):
        path = self.i.path(f"gate-{name}")
        if not os.path.exists(path):
            os.mkfifo(path)
        return path

    def open_gate(self, name):
        with open(self.gate(name), "w", encoding="ascii") as f:
            f.write("\n")

    def command(self, name):
        return ["/bin/sh", "-c", f"echo {name} >>{self.i.root}/runs; read -r _ <{self.gate(name)}"]

    def run(self, name, kind=NAMED, argv=None, **more):
        return self.i.run(argv or self.command(name), task=name, subsystem=kind[0], task_type=kind[1], more=more)

    def get(self, name):
        with self.i.connect() as c:
            return c.call("Get", {"task_id": name})["task"]

    def call(self, method, **parameters):
        with self.i.connect() as c:
            return c.call(method, parameters)

    def runs(self):
        return checks.runs(self.i)

    def until_status(self, name, status):
        checks.until(self.i, f"{name} is not {status}", lambda: self.get(name)["status"] == status)
        return self.get(name)

    def until_runs(self, n):
        checks.until(self.i, f"{n} do not run, but {self.runs()}", lambda: len(self.runs()) >= n)

    def topics(self, name):
        with checks.database(self.i) as db:
            rows = db.execute("SELECT topic FROM task_events WHERE task_id = ? ORDER BY number", [name])
            return [r[0].removeprefix("task.") for r in rows]

    def attempts(self, name):
        with checks.database(self.i) as db:
            return db.execute("SELECT * FROM task_attempts WHERE task_id = ? ORDER BY attempt", [name]).fetchall()


PLAYBOOK = ("healing", "playbook")
PROBE = ("healing", "probe")


def refusal(call):
    with pytest.raises(VarlinkError) as caught:
        call()
    return caught.value


# ---- limits ----


def test_limits_of_type_subsystem_and_all():
    with World() as w:
        for name in ("a", "b"):
            assert w.run(name, PLAYBOOK)["status"] == "active"
        t = w.run("c", PLAYBOOK)
        assert t["status"] == "pending", "two of two run: the third has to wait"
        t = w.get("c")
        assert (t["pending_reason"], t["queue_ahead"]) == ("2 of 2 of healing/playbook run", 0)
        assert "expected_start_at" not in t, "there is no history yet"

        assert w.run("p", PROBE)["status"] == "active"
        w.run("q", PROBE)
        assert w.get("q")["pending_reason"] == "3 of 3 of healing run"
        assert w.run("x")["status"] == "active"
        w.run("y")
        assert w.get("y")["pending_reason"] == "4 of 4 of all tasks run"
        w.run("z")
        assert w.get("z")["queue_ahead"] >= 1

        listed = {t["task_id"]: t for t in w.call("List", status="pending")["tasks"]}
        assert {n: listed[n]["pending_reason"] for n in "cqy"} == {n: w.get(n)["pending_reason"] for n in "cqy"}
        assert {n: listed[n]["queue_ahead"] for n in "cqyz"} == {n: w.get(n)["queue_ahead"] for n in "cqyz"}

        w.open_gate("x")
        w.until_status("y", "active")
        assert w.get("c")["status"] == w.get("q")["status"] == "pending", "what others may not use"
        w.open_gate("a")
        w.until_status("c", "active")
        assert w.get("q")["status"] == "pending"
        for name in "bcpyqz":
            w.open_gate(name)
        for name in "abcpqxyz":
            assert w.i.wait(name)["status"] == "completed"


def test_priority_then_age():
    with World("version: 1\nmax_parallel: 1\n") as w:
        w.run("first")
        for name, priority in (("low", 2), ("old", 5), ("young", 5), ("high", 9)):
            w.run(name, priority=priority)
        order = ["first", "high", "old", "young", "low"]
        ahead = [w.get(n)["queue_ahead"] for n in order[1:]]
        assert ahead == [0, 1, 2, 3]
        for n, name in enumerate(order):
            w.until_runs(n + 1)
            w.open_gate(name)
        w.i.wait("low")
        assert w.runs() == order


def test_a_reload_moves_the_limit_of_all():
    with World("version: 1\nmax_parallel: 1\n") as w:
        for name in "abc":
            w.run(name)
        assert [w.get(n)["status"] for n in "abc"] == ["active", "pending", "pending"]
        w.write("version: 1\nmax_parallel: 2\n")
        w.call("PolicyReload")
        w.until_status("b", "active")
        assert w.get("c")["pending_reason"] == "2 of 2 of all tasks run"
        w.write("version: 1\n")
        w.call("PolicyReload")
        w.until_status("c", "active")
        for name in "abc":
            w.open_gate(name)
            w.i.wait(name)


def test_verifying_keeps_its_slot():
    with World("version: 1\nmax_parallel: 1\n") as w:
        gate = w.gate("check")
        w.i.run(TRUE, task="a", verify=[f"/bin/sh\x1f-c\x1fread -r _ <{gate}"])
        w.until_status("a", "verifying")
        assert w.run("b")["status"] == "pending"
        w.open_gate("check")
        w.until_status("b", "active")
        w.open_gate("b")
        w.i.wait("b")


def test_expected_start_by_history():
    with World("version: 1\nmax_parallel: 1\n") as w:
        for n in range(3):
            w.i.wait(w.i.run(["/bin/sleep", "0.2"], task=f"h{n}")["task_id"])
        w.run("a")
        for name in "bc":
            w.run(name)
        checks.until(w.i, "no estimate", lambda: "expected_start_at" in w.get("c"))
        now = time.time() * 1e6
        b, c = w.get("b")["expected_start_at"], w.get("c")["expected_start_at"]
        assert b <= now + 0.3e6 and 0.1e6 < c - b < 0.4e6, (b - now, c - now)
        for name in "abc":
            w.open_gate(name)
            w.i.wait(name)


def test_expected_start_is_the_medians():
    """Without history there is none; another kind's history is no help."""
    with World("version: 1\nmax_parallel: 1\n") as w:
        w.run("a")
        w.run("b")
        w.get("b")
        w.call("Stats")
        assert "expected_start_at" not in w.get("b")
        w.open_gate("a")
        w.open_gate("b")
        w.i.wait("b")


# ---- restarts ----


@pytest.mark.parametrize("step", ["queued", "inserted", "launched", "fetched", "ended", "finished"])
def test_limits_hold_over_kill_9(step):
    """At each step: nothing is lost, nothing starts twice, and never do more run than may."""
    names = ["a", "b", "c", "d", "e"]
    with World("version: 1\nmax_parallel: 2\n") as w:
        running = w.i.path("running")
        os.mkdir(running)
        script = (f"echo $REEVE_TASK_ID.$REEVE_ATTEMPT >>{w.i.root}/runs; mkdir {running}/$REEVE_TASK_ID; "
                  f"ls {running} | wc -l >>{w.i.root}/seen; sleep 0.1; rmdir {running}/$REEVE_TASK_ID")
        w.restart({"REEVE_CRASH_AT": f"reeved:{step}"})
        with contextlib.suppress(Exception):
            for name in names:
                with w.i.connect() as c:
                    w.i.submit(c, ["/bin/sh", "-c", script], task=name)
        with contextlib.suppress(Exception):
            w.i.reeved.end(0, timeout=5)
        w.restart()
        for name in names:
            checks.run_again(w.i, ["/bin/sh", "-c", script], name)
        for name in names:
            assert w.i.wait(name)["status"] == "completed"
        assert sorted(w.runs()) == [f"{n}.1" for n in names]
        with open(w.i.path("seen"), encoding="ascii") as f:
            assert max(map(int, f)) <= 2
        checks.check_nothing_left(w.i)


def test_what_waits_survives_and_what_runs_counts():
    with World() as w:
        for name in "abcd":
            w.run(name, PLAYBOOK)
        w.restart()
        assert [w.get(n)["status"] for n in "abcd"] == ["active", "active", "pending", "pending"]
        checks.until(w.i, "no reason", lambda: w.get("d").get("pending_reason") == "2 of 2 of healing/playbook run")
        assert w.run("e", PLAYBOOK)["status"] == "pending"
        for name in "abcde":
            w.open_gate(name)
        for name in "abcde":
            assert w.i.wait(name)["status"] == "completed"
        assert sorted(w.runs()) == list("abcde"), "each once"


def test_descriptors_die_with_the_daemon():
    with World("version: 1\nmax_parallel: 1\n") as w:
        w.run("a")
        r, out = os.pipe()
        w.i.run(TRUE, task="b", fds=[out], stdio=("null", out, "output"))
        os.close(out)
        w.restart()
        t = w.i.wait("b")
        assert (t["status"], t["outcome"]) == ("failed", "exec") and "descriptors" in t["message"]
        assert os.read(r, 1) == b"", "nobody has the other end any more"
        os.close(r)
        w.open_gate("a")
        w.i.wait("a")


# ---- hold and release ----


def test_hold_and_release():
    with World() as w:
        t = w.run("a", hold=True)
        assert t["status"] == "pending"
        assert w.get("a")["held"] and w.get("a")["pending_reason"] == "held"
        w.restart()
        assert w.get("a")["held"]
        assert w.run("b")["status"] == "active", "a held task is in nobody's way"
        w.call("Release", task_id="a")
        w.until_status("a", "active")
        assert "held" not in w.get("a")
        e = refusal(lambda: w.call("Hold", task_id="a"))
        assert e.name == "InvalidArgument" and "has been started" in str(e.parameters)
        for name in "ab":
            w.open_gate(name)
            w.i.wait(name)
        assert w.topics("a") == ["created", "released", "started", "completed"]
        assert refusal(lambda: w.call("Hold", task_id="a")).name == "AlreadyFinished"
        assert refusal(lambda: w.call("Hold", task_id="none")).name == "NoSuchTask"


def test_hold_what_waits():
    with World("version: 1\nmax_parallel: 1\n") as w:
        w.run("a")
        w.run("b")
        w.run("c")
        w.call("Hold", task_id="b")
        w.open_gate("a")
        w.until_status("c", "active")
        assert w.get("b")["status"] == "pending"
        w.restart()
        w.call("Release", task_id="b")
        assert w.get("b")["pending_reason"] == "1 of 1 of all tasks run"
        w.open_gate("c")
        w.until_status("b", "active")
        w.open_gate("b")
        w.i.wait("b")
        assert w.topics("b") == ["created", "held", "released", "started", "completed"]


def test_hold_over_kill_9():
    """Killed when it was stored, and not yet answered: it holds; and what was released so is released."""
    with World("version: 1\nmax_parallel: 1\n") as w:
        w.run("a")
        w.run("b")
        for method, held in (("Hold", True), ("Release", False)):
            w.restart({"REEVE_CRASH_AT": "reeved:changed"})
            with pytest.raises((ConnectionLost, ConnectionError)):
                w.call(method, task_id="b")
            w.restart()
            assert w.get("b").get("held", False) is held
        w.open_gate("a")
        w.until_status("b", "active")
        w.open_gate("b")
        w.i.wait("b")
        assert w.topics("b") == ["created", "held", "released", "started", "completed"]


def test_cancel_and_deadline_of_what_is_held():
    with World() as w:
        w.run("a", hold=True)
        w.call("Cancel", task_id="a")
        assert w.i.wait("a")["status"] == "cancelled"
        w.run("b", ("tries", "slow"), hold=True)
        t = w.i.wait("b")
        assert (t["status"], t["outcome"]) == ("failed", "sla") and w.runs() == []


def test_others_may_not():
    with World() as w:
        w.run("a", hold=True)
        for method in ("Hold", "Release"):
            e = refusal(lambda m=method: Person("nobody").does(w.call, m, task_id="a"))
            assert e.name == "PermissionDenied" and w.get("a")["held"]


# ---- attempts ----

FLAKY = ("tries", "flaky")


def counting(w, last, status=3):
    """Fails until it is tried for the `last` time."""
    return ["/bin/sh", "-c", f"echo $REEVE_ATTEMPT >>{w.i.root}/runs; [ $REEVE_ATTEMPT -ge {last} ] || exit {status}"]


def test_it_is_tried_again():
    with World() as w:
        w.i.run(counting(w, 3), task="a", subsystem="tries", task_type="flaky", attempts=10)
        t = w.i.wait("a")
        assert (t["status"], t["attempt"], t["attempts"]) == ("completed", 3, 3), t
        assert "message" not in t, "why earlier attempts failed is not this one's"
        rows = w.attempts("a")
        assert [(r["attempt"], r["exit_value"]) for r in rows] == [(1, 3), (2, 3), (3, 0)]
        assert len({r["cgroup"] for r in rows}) in (1, 3) and all(r["cpu_usec"] is not None for r in rows)
        pauses = [b["started_at"] - a["ended_at"] for a, b in zip(rows, rows[1:])]
        assert pauses[0] >= 37e3 and pauses[1] >= 75e3, pauses
        assert w.topics("a") == ["created", "started", "retry", "started", "retry", "started", "completed"]
        with checks.database(w.i) as db:
            total = db.execute("SELECT * FROM task_totals WHERE task_id = 'a'").fetchone()
        assert (total["attempts"], total["cpu_usec"]) == (3, sum(r["cpu_usec"] for r in rows))
        checks.check_nothing_left(w.i)


def test_the_author_bounds_it():
    with World() as w:
        w.i.run(counting(w, 9), task="a", subsystem="tries", task_type="flaky", attempts=2)
        t = w.i.wait("a")
        assert (t["status"], t["outcome"], t["attempt"], t["attempts"]) == ("failed", "exit-code", 2, 2)
        w.i.run(counting(w, 9), task="b", subsystem="tries", task_type="flaky", attempts=1)
        assert w.i.wait("b")["attempt"] == 1
        w.i.run(counting(w, 9), task="c", attempts=10)
        assert w.i.wait("c")["attempt"] == 1, "nobody has asked for more"


@pytest.mark.parametrize("what, attempts", [("kill -9 $$", 1), ("exit 3", 3)])
def test_by_outcome(what, attempts):
    with World() as w:
        w.i.run(["/bin/sh", "-c", what], task="a", subsystem="tries", task_type="flaky", attempts=10)
        t = w.i.wait("a")
        assert (t["status"], t["attempt"]) == ("failed", attempts)


def test_what_does_not_verify_is_tried_again():
    with World() as w:
        flag = w.i.path("flag")
        check = f"/bin/sh\x1f-c\x1ftest -e {flag} || {{ touch {flag}; chmod 666 {flag}; exit 1; }}"
        w.i.run(TRUE, task="a", subsystem="tries", task_type="flaky", attempts=10, verify=[check])
        t = w.i.wait("a")
        assert (t["status"], t["attempt"], t["verification_status"]) == ("completed", 2, "passed"), t
        assert w.topics("a") == ["created", "started", "verifying", "retry", "started", "verifying", "completed"]


def test_while_it_pauses():
    with World() as w:
        w.i.run(["/bin/false"], task="a", subsystem="tries", task_type="patient", attempts=10)
        checks.until(w.i, "the pause is not stored", lambda: "retry" in w.topics("a"))
        t = w.get("a")
        assert t["pending_reason"].startswith("attempt 2 at ") and t["exit_status"] == 1
        before = t["not_before"]
        w.restart()
        t = w.get("a")
        assert t["not_before"] == before and t["pending_reason"].startswith("attempt 2 at ")
        w.call("Hold", task_id="a")
        assert w.get("a")["pending_reason"] == "held"
        w.call("Cancel", task_id="a")
        t = w.i.wait("a")
        assert (t["status"], t["attempt"]) == ("cancelled", 1)

        w.i.run(["/bin/false"], task="b", subsystem="tries", task_type="slow", attempts=10)
        w.until_status("b", "pending")
        t = w.i.wait("b")
        assert (t["status"], t["outcome"], t["attempt"]) == ("failed", "sla", 1)
        checks.check_nothing_left(w.i)


def test_a_pause_takes_no_slot():
    with World() as w:
        w.write(POLICY.replace("max_parallel: 4", "max_parallel: 1"))
        w.call("PolicyReload")
        w.i.run(["/bin/false"], task="a", subsystem="tries", task_type="patient", attempts=10)
        w.until_status("a", "pending")
        assert w.run("b")["status"] == "active"
        w.open_gate("b")
        w.i.wait("b")


@pytest.mark.parametrize("step", ["retry", "commit#3", "fetched", "ended"])
def test_attempts_over_kill_9(step):
    with World() as w:
        w.restart({"REEVE_CRASH_AT": f"reeved:{step}"})
        argv = counting(w, 3)
        with contextlib.suppress(Exception):
            w.i.run(argv, task="a", subsystem="tries", task_type="flaky", attempts=10)
        with contextlib.suppress(Exception):
            w.i.reeved.end(0, timeout=5)
        w.restart()
        checks.run_again(w.i, argv, "a", subsystem="tries", task_type="flaky", attempts=10)
        t = w.i.wait("a")
        assert (t["status"], t["attempt"]) == ("completed", 3)
        assert w.runs() == ["1", "2", "3"], "each attempt once"
        assert [r["attempt"] for r in w.attempts("a")] == [1, 2, 3]
        checks.check_nothing_left(w.i)


# ---- after ----


def test_after():
    with World() as w:
        w.run("a")
        w.run("b")
        t = w.run("c", after=["a", "b"])
        assert t["status"] == "pending" and t["after"] == ["a", "b"]
        assert w.get("c")["pending_reason"] == "waits for a and 1 more"
        w.open_gate("a")
        w.i.wait("a")
        checks.until(w.i, "still", lambda: w.get("c")["pending_reason"] == "waits for b")
        w.restart()
        checks.until(w.i, "still", lambda: w.get("c")["pending_reason"] == "waits for b")
        w.open_gate("b")
        w.until_status("c", "active")
        w.open_gate("c")
        assert w.i.wait("c")["status"] == "completed"
        assert w.run("d", argv=TRUE, after=["c"])["status"] in ("pending", "active")
        assert w.i.wait("d")["status"] == "completed"


def test_after_what_fails():
    with World() as w:
        w.run("a")
        w.run("b", after=["a"])
        w.run("c", after=["b"])
        w.call("Cancel", task_id="a")
        for name, other in (("b", "a"), ("c", "b")):
            t = w.i.wait(name)
            assert (t["status"], t["message"]) == ("cancelled", f"it was to start after {other}, which was cancelled")
        t = w.i.wait(w.run("d", after=["a"])["task_id"])
        assert (t["status"], t["message"]) == ("cancelled", "it was to start after a, which was cancelled")
        assert w.runs() == ["a"]


@pytest.mark.parametrize("ids, name, words", [
    (["none"], "NoSuchTask", "there is no task 'none'"),
    (["../x"], "InvalidArgument", "entry 1 is not the id of a task"),
    ([7], "InvalidArgument", ""),
    ([f"t{n}" for n in range(65)], "LimitExceeded", "at most 64 tasks, not 65"),
])
def test_after_bad_ids(ids, name, words):
    with World() as w:
        e = refusal(lambda: w.run("a", after=ids))
        assert e.name.split(".")[-1] == name or ids == [7]
        if words:
            assert e.parameters["field"] == "after" and words in e.parameters["message"]
        assert refusal(lambda: w.get("a")).name == "NoSuchTask"


# ---- unique ----


def test_unique():
    with World() as w:
        w.run("a", unique="nightly")
        e = refusal(lambda: w.run("b", unique="nightly"))
        assert (e.name, e.parameters["field"]) == ("AlreadyExists", "unique") and "'a'" in e.parameters["message"]
        assert w.run("c", unique="nightly", unique_mode="join")["task_id"] == "a"
        assert w.run("d", PROBE, unique="nightly")["task_id"] == "d", "another subsystem"
        w.restart()
        assert w.run("e", unique="nightly", unique_mode="join")["task_id"] == "a"
        w.open_gate("a")
        w.i.wait("a")
        assert w.run("f", unique="nightly")["task_id"] == "f"
        for name in "df":
            w.open_gate(name)
            w.i.wait(name)
        e = refusal(lambda: w.run("g", unique="x", unique_mode="maybe"))
        assert (e.name, e.parameters["field"]) == ("InvalidArgument", "unique_mode")
        e = refusal(lambda: w.run("g", unique=""))
        assert (e.name, e.parameters["field"]) == ("InvalidArgument", "unique")
        e = refusal(lambda: w.run("g", unique_mode="join"))
        assert (e.name, e.parameters["field"]) == ("InvalidArgument", "unique_mode")


def test_content_is_all_of_it():
    """The same id with another wish is another task."""
    with World() as w:
        w.run("a", hold=True)
        assert w.run("a", hold=True)["task_id"] == "a"
        for more in ({}, {"hold": True, "unique": "x"}, {"hold": True, "attempts": 2}):
            assert refusal(lambda m=more: w.run("a", **m)).name == "AlreadyExists"


# ---- many ----


def test_ten_thousand_wait():
    n = 10000
    with World("version: 1\nmax_parallel: 1\n") as w:
        def cpu():
            with open(f"/proc/{w.i.reeved.process.pid}/stat", encoding="ascii") as f:
                fields = f.read().rsplit(")", 1)[1].split()
            return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

        def resident():
            with open(f"/proc/{w.i.reeved.process.pid}/status", encoding="ascii") as f:
                return next(int(line.split()[1]) for line in f if line.startswith("VmRSS"))

        w.run("first")
        before = resident()
        costs = []
        with w.i.connect() as c:
            for part in range(4):
                spent = cpu()
                for k in range(n // 4):
                    w.i.submit(c, TRUE, task=f"t{part}-{k}")
                    assert c.reply()["task"]["status"] == "pending"
                costs.append(cpu() - spent)
            each = (resident() - before) / n
            spent = cpu()
            page = c.call("List", {"status": "pending", "limit": 1000})["tasks"]
            listing = cpu() - spent
        fds = len(os.listdir(f"/proc/{w.i.reeved.process.pid}/fd"))
        print(f"{each:.2f} KB and {sum(costs) / n * 1e6:.0f} us each, a page of 1000 takes {listing * 1e3:.0f} ms, "
              f"{fds} descriptors, by quarters {costs}")
        assert len(page) == 1000 and page[0]["queue_ahead"] == n - 1
        assert fds < 200, "what waits has no descriptor"
        assert each < EACH_KB, "what waits costs this much memory"
        assert costs[3] < 3 * costs[0] + 0.1 and listing < 1
        w.restart()
        checks.until(w.i, "no reason", lambda: "pending_reason" in w.get("t3-1"))
        assert w.get("t3-2499")["queue_ahead"] == n - 1
        assert cpu() < 5
        w.call("Cancel", task_id="first")
        w.i.wait("t0-50")


# ---- the command line ----


def reeve(w, *args, **kwargs):
    env = {**os.environ, "REEVE_SOCKET": w.i.path("io.reeve.Registry")}
    return subprocess.Popen([REEVE, *args], env=env, text=True, stdin=subprocess.DEVNULL, **kwargs)


def output_of(w, *args):
    p = reeve(w, *args, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    out, err = p.communicate(timeout=60)
    return p.returncode, out, err


def test_a_policy_retries_for_who_passes_nothing():
    with World() as w:
        command = counting(w, 3)
        status, _, err = output_of(w, "run", "-S", "tries", "-T", "flaky", "--id=a", "--", *command)
        assert status == 0 and w.get("a")["attempt"] == 3, err
        status, _, err = output_of(w, "run", "-S", "tries", "-T", "flaky", "--id=b", "--attempts=1", "--", "/bin/false")
        assert status == 1 and w.get("b")["attempt"] == 1, err
        status, _, err = output_of(w, "run", "-S", "tries", "-T", "flaky", "--id=c", "--pipe", "--", "/bin/false")
        assert status == 1 and w.get("c")["attempts"] == 1, err
        status, _, err = output_of(w, "run", "--attempts=2", "--id=d", "-p", "Nice=1", "--no-block", "--", "/bin/true")
        assert status == 0 and w.get("d")["attempts"] == 2, "where the policy says nothing the caller may choose"
        w.i.wait("d")


TALKS = ["/bin/sh", "-c", "echo out $REEVE_ATTEMPT; echo err $REEVE_ATTEMPT >&2; test $REEVE_ATTEMPT = 3"]
SAID = "".join(f"out {n}\nerr {n}\n" for n in (1, 2, 3))


def test_output_of_all_attempts_is_followed():
    with World() as w:
        status, out, err = output_of(w, "run", "-S", "tries", "-T", "flaky", "--id=a", "--", *TALKS)
        assert (status, out) == (0, SAID), err
        assert "reeve: attempt 2\nreeve: attempt 3\n" in err and "attempt 1" not in err, err
        status, out, err = output_of(w, "run", "-q", "-S", "tries", "-T", "flaky", "--id=b", "--", *TALKS)
        assert (status, out, err) == (0, SAID, ""), err
        # Of one that has ended: from the one that is asked for on; without --follow that one only.
        for args, said in ((["-f", "--attempt=1"], SAID), (["-f", "--attempt=3"], SAID[-12:]), (["-f"], SAID[-12:]),
                           (["--attempt=2"], SAID[12:-12]), ([], SAID[-12:]), (["-f", "-n1", "--attempt=2"], SAID[18:])):
            assert output_of(w, "logs", *args, "a")[1] == said, args


def test_output_of_attempts_over_kill_9():
    """The follower was behind, or in front, when the daemon died: it goes on where it was."""
    with World() as w:
        script = f"echo $REEVE_ATTEMPT; read -r _ <{w.gate('a')}; echo $REEVE_ATTEMPT; test $REEVE_ATTEMPT = 3"
        p = reeve(w, "run", "-q", "-S", "tries", "-T", "flaky", "--id=a", "--", "/bin/sh", "-c", script, stdout=subprocess.PIPE)
        for n in ("1", "2", "3"):
            assert p.stdout.readline() == f"{n}\n"
            w.restart()
            w.open_gate("a")
            assert p.stdout.readline() == f"{n}\n"
        assert (p.stdout.read(), p.wait()) == ("", 0)


def test_joined_by_the_command_line():
    with World() as w:
        a = reeve(w, "run", "--id=a", "--unique=k", "--", "/bin/sh", "-c", f"read -r x <{w.gate('a')}; echo said; exit 5",
                  stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        checks.until(w.i, "a does not run", lambda: any(t["task_id"] == "a" for t in w.call("List")["tasks"]))
        b = reeve(w, "run", "--unique=k", "--join", "--", "/bin/true", stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        status, _, err = output_of(w, "run", "--unique=k", "--", "/bin/true")
        assert status != 0 and "'a'" in err, err
        w.open_gate("a")
        for p in (a, b):
            out, err = p.communicate(timeout=60)
            assert (p.returncode, out) == (5, "said\n") and "a: failed" in err, err


def test_the_line_says_what_it_waits_for():
    with World("version: 1\nmax_parallel: 1\n") as w:
        w.run("a")
        master, slave = os.openpty()
        p = reeve(w, "run", "--id=b", "--", "/bin/true", stdout=subprocess.DEVNULL, stderr=slave)
        os.close(slave)
        shown = shown_until(master, b"0 ahead")
        assert b"pending (1 of 1 of all tasks run), 0 ahead" in shown, shown
        _, out, _ = output_of(w, "list")
        assert "pending (1 of 1 of all tasks run)" in out, out
        _, out, _ = output_of(w, "show", "b")
        assert "pending (1 of 1 of all tasks run)" in out and "Ahead: 0" in out, out
        w.open_gate("a")
        with contextlib.suppress(OSError):
            while data := os.read(master, 4096):
                shown += data
        assert p.wait() == 0 and b"b: completed" in shown, shown
        os.close(master)


def shown_until(master, words, shown=b""):
    while words not in shown:
        shown += os.read(master, 4096)
    return shown


def test_the_line_says_when_it_is_likely_to_start():
    with World("version: 1\nmax_parallel: 1\n") as w:
        for n in range(3):
            w.i.wait(w.run(f"h{n}", argv=TRUE)["task_id"])
        w.i.kill(w.i.reeved)
        with contextlib.closing(sqlite3.connect(w.i.path("registry.db"))) as db:
            db.execute("UPDATE task_registry SET duration_seconds = 100")
            db.commit()
        w.i.start_reeved()
        w.run("a")
        master, slave = os.openpty()
        p = reeve(w, "run", "--id=b", "-S", "test", "-T", "check", "--", "/bin/true", stdout=subprocess.DEVNULL, stderr=slave)
        os.close(slave)
        shown = shown_until(master, b"starts in about 1min ")
        assert b"pending (1 of 1 of all tasks run), 0 ahead, starts in about 1min " in shown, shown
        assert re.search(r"Starts about: .*\d\d:\d\d", output_of(w, "show", "b")[1]), output_of(w, "show", "b")[1]
        w.open_gate("a")
        with contextlib.suppress(OSError):
            while os.read(master, 4096):
                pass
        assert p.wait() == 0
        os.close(master)


def test_hold_release_and_timers():
    with World() as w:
        status, out, err = output_of(w, "run", "--hold", "--no-block", "--id=a", "--", "/bin/true")
        assert (status, out) == (0, "a\n"), err
        assert output_of(w, "release", "a")[0] == 0
        assert w.i.wait("a")["status"] == "completed"
        assert output_of(w, "hold", "a")[0] != 0
        status, _, err = output_of(w, "run", "--after=a,none", "--", "/bin/true")
        assert status != 0 and "there is no task 'none' to come after" in err
        for args, words in ((("--join",), "--join means nothing"), (("--attempts=1001",), "at most 1000"),
                            (("--attempts=2", "--pipe"), "exclude each other"),
                            (("--on-active=1s", "--pty"), "exclude"), (("--on-calendar=daily", "--id=x"), "exclude")):
            status, _, err = output_of(w, "run", *args, "--", "/bin/true")
            assert status == 64 and words in err, err
        if not booted():
            status, _, err = output_of(w, "run", "--on-calendar=daily", "--", "/bin/true")
            assert status == 75 and "timers are systemd's, and it does not run here" in err, (status, err)


# ---- the examples ----


def example(name):
    """A policy that is shipped, without the limits that not every host can enforce."""
    text = (pathlib.Path(__file__).parents[3] / "config/policy.d" / name).read_text(encoding="utf-8")
    return re.sub(r"limits: \{[^}]*\}(, )?", "", text)


def test_chaos_is_one_at_a_time():
    with World(example("70-chaos.yaml")) as w:
        kind = ("chaos", "kill_process")
        argv = ["/bin/sh", "-c", f"read -r _ <{w.gate('all')}; echo restored"]
        assert w.run("a", kind, argv)["status"] == "active"
        assert w.run("b", ("chaos", "delay_network"), argv)["status"] == "pending"
        assert w.get("b")["pending_reason"] == "1 of 1 of chaos run"
        w.open_gate("all")
        w.until_status("b", "active")
        w.open_gate("all")
        for name in "ab":
            t = w.i.wait(name)
            assert (t["status"], t["attempts"]) == ("completed", 1), t


def test_rag_is_tried_again():
    with World(example("50-rag.yaml")) as w:
        w.i.run(["/bin/false"], task="a", subsystem="rag", task_type="anything", attempts=10)
        t = w.until_status("a", "pending")
        assert (t["attempt"], t["attempts"]) == (1, 5) and t["pending_reason"].startswith("attempt 2 at ")
        assert 20e6 < t["not_before"] - time.time() * 1e6 <= 30e6
