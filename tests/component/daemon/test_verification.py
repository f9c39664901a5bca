# SPDX-License-Identifier: LGPL-2.1-or-later
"""Work that ended well is verified before it counts: each kind of rule, passing and not; whatever is killed meanwhile; and what
becomes of checks that hang, that cannot be run, or that nobody wants any more.
"""

import contextlib
import os
import signal
import sqlite3

import checks
import pytest
from instance import Instance, wait_exit
from varlink import ConnectionLost, VarlinkError

SEP = "\x1f"
WAITS = "#!/bin/sh\necho run >>{root}/ran\nread -r _ <{root}/gate\n"
HANGS = "#!/bin/sh\ntrap '' TERM\necho about to hang\nsleep 1000 & wait\n"

# task type: rules, do they pass, what the evidence says of the (last) rule
RULES = {
    "file-there": ("{file: report}", True, None),
    "file-missing": ("{file: no-such}", False, "no such file"),
    "file-small": ("{file: report, min_bytes: 7}", False, "6 bytes, at least 7"),
    "file-large": ("{file: report, max_bytes: 5}", False, "6 bytes, at most 5"),
    "file-new": ("{file: report, newer_than: start}", True, None),
    "file-old": ("{file: old, newer_than: start}", False, "older"),
    "file-hash": ("{file: report, sha256: 5891b5b522d5df086d0ff0b110fbd9d21bb4fc7163af34d08286a2e846f6be03}", True, None),
    "file-other-hash": ("{file: report, sha256: e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855}", False, "SHA-256"),
    "file-match": ("{file: report, matches: '^hel+o$'}", True, None),
    "file-no-match": ("{file: report, matches: '^x'}", False, "no line"),
    "file-fifo": ("{file: gate}", False, "FIFO"),
    "output-match": ("{output: '^wrote'}", True, None),
    "output-no-match": ("{output: '^no'}", False, "no line"),
    "metric-in": ("{metric: duration_seconds, min: 0, max: 100}", True, None),
    "metric-over": ("{metric: duration_seconds, max: 0}", False, "more"),
    "metric-unknown": ("{metric: ml.validation_accuracy, min: 0.8}", False, "not known"),
    "exit-status": ("{exit_status: 0}", True, None),
    "exit-status-other": ("{exit_status: 3}", False, "another"),
    "command-true": ("{command: [ROOT/checks/says, fine]}", True, None),
    "command-false": ("{command: [ROOT/checks/says, bad, '3']}", False, "status 3"),
    "command-missing": ("{command: [ROOT/checks/none]}", False, "no such program"),
    "command-link": ("{command: [ROOT/checks/link]}", False, "only root's own"),
    "command-hangs": ("{command: [ROOT/checks/hangs], timeout: 500ms}", False, "longer than"),
    "two": ("{metric: cpu_seconds, max: 100}, {file: no-such}", False, "no such file"),
}
OTHERS = {
    "accepts-three": "[{name: status, exit_status: [3, 5]}]",
    "waits": "[{name: waits, command: [ROOT/checks/waits]}, {name: cheap, metric: cpu_seconds, max: 100}]",
    "many": "[" + ", ".join(f"{{name: r{n}, command: [ROOT/checks/says, x]}}" for n in range(20)) + "]",
}


SLA = """
        sla: {deadline: 2s, from: started, ladder: [{at: 90%, do: notify}, {at: 100%, do: kill}]}
"""


def policy(root):
    text = "version: 1\nsubsystems:\n  test:\n    task_types:\n"
    for name, (rules, _, _) in RULES.items():
        numbered = [f"{{name: rule {n}, {r}" for n, r in enumerate(rules[1:].split(", {"), 1)]
        for required in ("true", "false"):
            text += f"      {name}-{required}:\n        verification: {{required: {required}, rules: [{', '.join(numbered)}]}}\n"
    for name, rules in OTHERS.items():
        text += f"      {name}:\n        verification: {{required: true, rules: {rules}}}\n"
    text += "      again:\n        retry: {attempts: 3, backoff: 100ms, on: [verification]}\n" \
            "        verification: {required: true, rules: [{name: a, file: second}, {name: b, exit_status: 0}]}\n"
    text += f"      late-if-checked:{SLA}        verification: {{required: true, rules: {OTHERS['waits']}}}\n"
    return text.replace("ROOT", root)


class World:
    """An instance with that policy, checks, a gate at which one of them waits, and files to look at."""

    def __init__(self, env=None, backend="auto"):
        self.i = Instance(backend=backend)
        self.gate = checks.Gate(self.i)
        self.write("policy.d/rules.yaml", policy(self.i.root))
        self.write("checks/says", "#!/bin/sh\necho $1; id -u; pwd; exit ${2:-0}\n", 0o755)
        self.write("checks/waits", WAITS.format(root=self.i.root), 0o755)
        self.write("checks/hangs", HANGS, 0o755)
        os.symlink("/bin/true", self.i.path("checks", "link"))
        self.write("old", "x")
        os.utime(self.i.path("old"), (1000, 1000))
        self.env = env

    def write(self, name, text, mode=0o644):
        path = self.i.path(name)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "w", encoding="ascii") as f:
            f.write(text)
        os.chmod(path, mode)

    def __enter__(self):
        self.i.start_launcher()
        self.i.start_reeved(self.env)
        return self

    def __exit__(self, kind, *exc):
        if kind:
            print(self.i.logs())
        self.gate.close()
        self.i.close()

    def run(self, task_type, task, **kwargs):
        command = "echo hello >report; echo wrote it" if "script" not in kwargs else kwargs.pop("script")
        return self.i.run(["/bin/sh", "-c", command], task=task, task_type=task_type, cwd=self.i.root, **kwargs)

    def verify(self, task_type, task="t", **kwargs):
        self.run(task_type, task, **kwargs)
        return self.i.wait(task)

    def rules(self, task):
        with self.i.connect() as c:
            return c.call("Verifications", {"task_id": task})["verifications"]

    def status(self, task):
        with self.i.connect() as c:
            return c.call("Get", {"task_id": task})["task"]["status"]

    def ran(self):
        try:
            with open(self.i.path("ran"), encoding="ascii") as f:
                return len(f.readlines())
        except FileNotFoundError:
            return 0

    def until_check_runs(self):
        checks.until(self.i, "the check does not start", lambda: self.ran() > 0)

    def nothing_is_left(self):
        checks.check_nothing_left(self.i)
        assert [n for n in os.listdir(self.i.path("output")) if "-check" in n] == [], "outputs of checks are left"
        with checks.database(self.i) as db:
            assert db.execute("SELECT count(*) FROM task_specs").fetchone()[0] == 0
            assert db.execute("SELECT count(*) FROM task_attempts WHERE attempt <> 1").fetchone()[0] == 0


def expect_passed(w, task, n):
    t = w.i.wait(task)
    assert (t["status"], t.get("outcome"), t["verification_status"]) == ("completed", None, "passed"), t.get("message")
    assert (t["verification_passes"], t["verification_failures"]) == (n, 0)
    assert [r["rule"] for r in w.rules(task)] == list(range(1, n + 1))
    return t


# ---- each rule ----


@pytest.mark.parametrize("required", [True, False], ids=["required", "not-required"])
def test_rules(required):
    with World() as w:
        for name, (rules, passes, why) in RULES.items():
            task_type = f"{name}-{'true' if required else 'false'}"
            t = w.verify(task_type, name)
            end = t["status"], t.get("outcome"), t["verification_status"]
            wanted = ("completed", None, "passed") if passes else \
                     ("failed", "verification", "failed") if required else ("completed", None, "failed")
            results = w.rules(name)
            assert end == wanted, f"{name}: {end}, {results}"
            assert results[-1]["passed"] == passes
            if why:
                assert why in results[-1]["evidence"]["why"], f"{name}: {results[-1]}"
            assert t["verification_failures"] == (0 if passes else 1)
            assert t["verification_passes"] == len(results) - t["verification_failures"]
            assert t["exit_status"] == 0 and t["duration_seconds"] > 0
            if required and not passes:
                assert "did not pass" in t["message"]
        w.nothing_is_left()


def test_evidence_and_account():
    with World() as w:
        t = w.verify("command-false-true")
        (r,) = w.rules("t")
        assert r["evidence"]["output"] == f"bad\n{os.getuid()}\n{w.i.root}\n"
        assert r["evidence"]["exit_status"] == 3
        assert r["usage"]["cpu_usec"] > 0 and r["usage_sources"]["cpu_usec"] == "kernel-final"
        assert r["duration_seconds"] > 0
        assert t["created_at"] < t["started_at"] < r["ended_at"] <= t["completed_at"]
        assert t["started_at"] + t["duration_seconds"] * 1e6 <= r["ended_at"], "the check is no part of the work"
        with checks.database(w.i) as db:
            row = db.execute("SELECT * FROM task_verifications").fetchone()
            assert (row["task_id"], row["attempt"], row["kind"], row["passed"]) == ("t", 1, "command", 0)
            assert row["cpu_usec"] == r["usage"]["cpu_usec"]
            topics = [e["topic"] for e in db.execute("SELECT topic FROM task_events WHERE task_id = 't' ORDER BY number")]
            assert topics == ["task.created", "task.started", "task.verifying", "task.failed"]
            assert db.execute("SELECT count(*) FROM task_attempts").fetchone()[0] == 1


def test_without_cgroups():
    with World(backend="process") as w:
        w.run("file-match-true", "t")
        expect_passed(w, "t", 1)
        t = w.verify("command-hangs-true", "u")
        assert (t["outcome"], t["backend"]) == ("verification", "process")
        assert "longer than" in w.rules("u")[0]["evidence"]["why"]
        checks.until(w.i, "records are left", lambda: not w.i.records())


def test_many():
    with World() as w:
        w.run("many", "t")
        expect_passed(w, "t", 20)
        w.nothing_is_left()


def test_work_that_failed_is_not_verified():
    with World() as w:
        t = w.verify("file-there-true", script="exit 4")
        assert (t["status"], t["outcome"], t.get("verification_status")) == ("failed", "exit-code", None)
        assert w.rules("t") == []


def test_output_that_was_not_captured():
    with World() as w:
        t = w.verify("output-match-true", stdio=("null", "null", "null"))
        assert (t["status"], t["outcome"]) == ("failed", "verification")
        assert "not captured" in w.rules("t")[0]["evidence"]["why"]


# ---- the author's own ----


def test_authored():
    with World() as w:
        own = SEP.join(["sh", "-c", 'test "$MINE" = yes && test -s report'])
        env = {"PATH": "/usr/bin:/bin", "MINE": "yes"}
        w.run("plain", "good", verify=["true", own], env=env)
        expect_passed(w, "good", 2)
        t = w.verify("plain", "bad", verify=["true", "false", own], env=env)
        assert (t["status"], t["outcome"]) == ("failed", "verification")
        assert [r["passed"] for r in w.rules("bad")] == [True, False, True]
        assert [r["name"] for r in w.rules("bad")] == ["true", "false", own.rsplit(SEP, 1)[1]]
        # Beside what policy asks for; and though that is not required, this is.
        t = w.verify("file-there-false", "both", verify=["false"])
        assert (t["status"], t["outcome"]) == ("failed", "verification")
        assert [(r["kind"], r["passed"]) for r in w.rules("both")] == [("file", True), ("command", False)]
        w.nothing_is_left()


def test_long_id():
    """The record of its check needs another name."""
    with World() as w:
        task = "x" * 128
        w.run("file-there-true", task)
        expect_passed(w, task, 1)
        w.nothing_is_left()


def test_accepted_status():
    """A status that a rule names is what the task may exit with."""
    with World() as w:
        t = w.verify("accepts-three", script="exit 3")
        assert (t["status"], t.get("outcome"), t["exit_status"], t["verification_status"]) == ("completed", None, 3, "passed")
        t = w.verify("accepts-three", "u", script="exit 4")
        assert (t["status"], t["outcome"], t.get("verification_status")) == ("failed", "exit-code", None)
        t = w.verify("accepts-three", "v", script="exit 0")
        assert (t["status"], t["outcome"]) == ("failed", "verification"), "0 is not among them"


def test_more_than_may_run_at_a_time():
    with World() as w, w.i.connect() as c:
        for n in range(25):
            w.i.submit(c, ["/bin/true"], task=f"t{n}", task_type="many")
        for _ in range(25):
            c.reply()
        for n in range(25):
            expect_passed(w, f"t{n}", 20)
        w.nothing_is_left()


@pytest.mark.parametrize("passes", [True, False], ids=["passes", "does-not"])
def test_deadline(passes):
    """It is the work's: what is verified after it, for however long, is not late; but what does not pass has not met it."""
    with World() as w:
        w.run("late-if-checked", "t", **({} if passes else {"verify": ["false"]}))
        w.until_check_runs()
        with w.i.connect() as c:
            before = c.call("Get", {"task_id": "t"})["task"]
        assert 0 < before["sla_margin_seconds"] < 2 and "sla_met" not in before
        w.i.kill(w.i.reeved)
        w.i.start_reeved()
        # One that began later is killed at its deadline.
        assert w.verify("late-if-checked", "u", script="exec sleep 1000")["outcome"] == "sla"
        w.gate.open()
        t = w.i.wait("t")
        assert t["status"] == ("completed" if passes else "failed")
        assert (t["sla_met"], t["sla_margin_seconds"]) == (passes, before["sla_margin_seconds"])
        assert [s for s in t["ladder"] if s["state"] == "done"] == [], "a step of its ladder was done"
        w.nothing_is_left()


def test_another_attempt():
    """What does not pass may be tried again; each attempt is verified for itself."""
    with World() as w:
        t = w.verify("again", script="test $REEVE_ATTEMPT = 1 || touch second", attempts=3)
        assert (t["status"], t["attempt"], t["verification_status"]) == ("completed", 2, "passed"), t.get("message")
        assert (t["verification_passes"], t["verification_failures"]) == (2, 0)
        assert [(r["attempt"], r["rule"], r["passed"]) for r in w.rules("t")] == [(1, 1, False), (1, 2, True), (2, 1, True), (2, 2, True)]
        checks.check_nothing_left(w.i)


# ---- names and rights ----


@pytest.mark.parametrize("task", ["a-check1", "a-step12"])
def test_reserved_names(task):
    with World() as w:
        with pytest.raises(VarlinkError) as e:
            w.run("plain", task)
        assert (e.value.name, e.value.parameters.get("field")) == ("InvalidArgument", "task_id")


def test_verifications_of_nobody():
    with World() as w:
        for task, name in (("none", "NoSuchTask"), ("../x", "InvalidArgument")):
            with pytest.raises(VarlinkError) as e:
                w.rules(task)
            assert e.value.name == name


# ---- what is killed meanwhile ----


def test_verifying_is_visible():
    with World() as w:
        w.run("waits", "t")
        w.until_check_runs()
        with w.i.connect() as c:
            t = c.call("Get", {"task_id": "t"})["task"]
            listed = c.call("List", {"status": "verifying"})["tasks"]
        assert (t["status"], t["verification_status"], t["exit_status"]) == ("verifying", "pending", 0)
        assert "completed_at" not in t
        assert [x["task_id"] for x in listed] == ["t"]
        checks.until(w.i, "what is known is not told", lambda: [r["name"] for r in w.rules("t")] == ["cheap"])
        w.gate.open()
        expect_passed(w, "t", 2)
        w.nothing_is_left()


@pytest.mark.parametrize("names", [["reeved"], ["launcher"], ["reeved", "launcher"]], ids="+".join)
def test_killed_while_a_check_runs(names):
    with World() as w:
        w.run("waits", "t")
        w.until_check_runs()
        w.i.kill(*[getattr(w.i, n) for n in names])
        for n in reversed(names):
            getattr(w.i, f"start_{n}")()
        assert w.status("t") == "verifying"
        w.gate.open()
        expect_passed(w, "t", 2)
        assert w.ran() == 1, "a check whose result could be had was run again"
        w.nothing_is_left()


@pytest.mark.parametrize("names", [["reeved"], ["reeved", "launcher"]], ids="+".join)
def test_away_while_a_check_ends(names):
    with World() as w:
        w.run("waits", "t")
        w.until_check_runs()
        w.i.kill(*[getattr(w.i, n) for n in names])
        fds = [os.pidfd_open(k) for k in w.i.keepers()]
        w.gate.open()
        for fd in fds:
            assert wait_exit(fd, checks.PATIENCE), "a keeper does not end"
            os.close(fd)
        for n in reversed(names):
            getattr(w.i, f"start_{n}")()
        expect_passed(w, "t", 2)
        assert w.ran() == 1
        w.nothing_is_left()


@pytest.mark.parametrize("step", ["verifying", "check-started", "checked#1", "checked#2", "check-committed#1", "check-committed#2", "verified", "finished", "commit#3"])
def test_reeved_is_killed_at_step(step):
    with World({"REEVE_CRASH_AT": f"reeved:{step}"}) as w:
        w.gate.open()
        with contextlib.suppress(ConnectionLost):  # the answer may be on its way when it dies
            w.run("waits", "t")
        assert wait_exit(w.i.reeved.pid_fd, checks.PATIENCE), f"reeved did not come to {step}"
        w.i.kill(w.i.reeved)
        w.gate.open()  # whoever is checked again, passes
        w.i.start_reeved()
        expect_passed(w, "t", 2)
        assert w.ran() <= 2
        w.nothing_is_left()
        with checks.database(w.i) as db:
            topics = [e["topic"] for e in db.execute("SELECT topic FROM task_events WHERE task_id = 't' ORDER BY number")]
        # As everywhere: a start whose commit was lost is told by the end.
        assert [t for t in topics if t != "task.started"] == ["task.created", "task.verifying", "task.completed"]


def test_a_record_whose_result_is_stored():
    """Only its Forget was lost; another check runs on."""
    with World({"REEVE_CRASH_AT": "reeved:check-committed#2"}) as w:
        with contextlib.suppress(ConnectionLost):
            w.run("waits", "t", verify=["true"])
        assert wait_exit(w.i.reeved.pid_fd, checks.PATIENCE)
        w.i.kill(w.i.reeved)
        assert "t-check3.1" in w.i.records()
        w.i.start_reeved()
        assert w.status("t") == "verifying"
        w.gate.open()
        expect_passed(w, "t", 3)
        assert w.ran() == 1
        w.nothing_is_left()


def test_reboot():
    """The checks that ran went with the machine; the list of spent tickets did not."""
    with World() as w:
        w.run("waits", "t")
        w.until_check_runs()
        w.i.kill(w.i.reeved, w.i.launcher)
        w.i.end_cgroups()
        for name in w.i.records():
            os.unlink(w.i.path("tasks", name))
        assert "t-check1.1" in os.listdir(w.i.path("output"))
        with contextlib.closing(sqlite3.connect(w.i.path("registry.db"))) as db, db:
            db.execute("UPDATE task_registry SET boot_id = ?", [bytes(range(16))])
        w.i.start_launcher()
        w.i.start_reeved()
        checks.until(w.i, "it is not checked again", lambda: w.ran() == 2)
        w.gate.open()
        expect_passed(w, "t", 2)
        w.nothing_is_left()


def test_without_launcher():
    """What can be judged is; programs wait until somebody can start them."""
    with World() as w:
        w.run("waits", "t", script=f"read -r _ <{w.i.root}/gate")
        w.i.kill(w.i.launcher)
        fds = [os.pidfd_open(k) for k in w.i.keepers()]
        w.gate.open()
        for fd in fds:
            assert wait_exit(fd, checks.PATIENCE)
            os.close(fd)
        checks.until(w.i, "it is not verified", lambda: [r["name"] for r in w.rules("t")] == ["cheap"])
        w.gate.open()
        w.i.start_launcher()
        expect_passed(w, "t", 2)
        w.nothing_is_left()


# ---- cancelled ----


@pytest.mark.parametrize("restart", [False, True], ids=["", "after-a-restart"])
def test_cancel(restart):
    with World() as w:
        w.run("waits", "t")
        w.until_check_runs()
        if restart:
            w.i.kill(w.i.reeved, number=signal.SIGKILL)
            w.i.start_reeved()
        with w.i.connect() as c:
            c.call("Cancel", {"task_id": "t", "reason": "no need"})
        t = w.i.wait("t")
        assert (t["status"], t["message"], t["exit_status"]) == ("cancelled", "no need", 0)
        w.nothing_is_left()


def test_cancel_outlives_reeved_and_a_check():
    with World() as w:
        w.run("waits", "t")
        w.until_check_runs()
        w.i.kill(w.i.launcher)
        with w.i.connect() as c:
            c.call("Cancel", {"task_id": "t", "reason": "no need"})
        assert w.i.wait("t")["status"] == "cancelled"
        w.i.kill(w.i.reeved)
        w.i.start_launcher()
        w.i.start_reeved()
        w.nothing_is_left()
