# SPDX-License-Identifier: LGPL-2.1-or-later
"""The policy in a daemon: what it refuses, what it makes of a request, and that a task keeps what it was created with."""

import contextlib
import json
import os
import signal
import subprocess

import pytest

from checks import database, until
from instance import REEVE, Instance, cgroup2_mount
from people import Person
from varlink import VarlinkError

SLEEP = ["/bin/sleep", "1000"]
TRUE = ["/bin/true"]


@contextlib.contextmanager
def instance(*texts):
    i = Instance()
    for n, text in enumerate(texts):
        write(i, n, text)
    with i:
        yield i


def write(i, n, text):
    with open(i.path("policy.d", f"{n}0-test.yaml"), "w", encoding="utf-8") as f:
        f.write(text)


def refusal(call):
    with pytest.raises(VarlinkError) as caught:
        call()
    return caught.value


def stored_policy(i, task):
    with database(i) as db:
        row = db.execute(
            "SELECT p.hash, p.policy FROM task_registry t JOIN task_policies p ON p.hash = t.policy_hash "
            "WHERE t.task_id = ?", (task,)).fetchone()
        return row["hash"], json.loads(row["policy"])


POLICY = """
version: 1
defaults: {priority_max: 8}
subsystems:
  healing:
    task_types:
      playbook:
        match: {title: "Playbook: *"}
        priority: 7
        sla: {deadline: 1h}
        retry: {attempts: 2}
"""


def test_what_the_policy_says_applies():
    with instance(POLICY) as i:
        t = i.run_wait(TRUE, subsystem="healing", task_type="playbook", more={"title": "Playbook: tidy"})
        assert (t["status"], t["priority"]) == ("completed", 7), t
        digest, policy = stored_policy(i, t["task_id"])
        assert digest == t["policy_hash"]
        assert policy["sla"]["deadline"] == "1h" and policy["origins"]["sla.deadline"] == "00-test.yaml:10:25", policy
        assert policy["origins"]["retry.backoff"] == "built-in"

        t = i.run_wait(TRUE, subsystem="healing", task_type="playbook", more={"title": "something else"})
        assert t["priority"] == 5 and "deadline" not in stored_policy(i, t["task_id"])[1]["sla"]

        other = i.run_wait(TRUE, subsystem="healing", task_type="playbook", more={"title": "something else"})
        assert other["policy_hash"] == t["policy_hash"], "what is the same is stored once"


def test_what_a_caller_may_ask_for():
    with instance(POLICY) as i:
        def ask(**more):
            return i.run(TRUE, subsystem="healing", task_type="playbook", more={"title": "Playbook: x", **more})

        t = ask(sla="30min", priority=2)
        _, policy = stored_policy(i, i.wait(t["task_id"])["task_id"])
        assert t["priority"] == 2 and policy["sla"]["deadline"] == "30min"
        assert policy["origins"]["sla.deadline"] == policy["origins"]["priority"] == "request"

        for field, value in (("sla", "2h"), ("priority", 8), ("priority", 9)):
            e = refusal(lambda f=field, v=value: ask(**{f: v}))
            assert (e.name, e.field) == ("PolicyViolation", field) and "line" in e.parameters["message"], str(e)
        e = refusal(lambda: ask(sla="soon"))
        assert (e.name, e.field) == ("InvalidArgument", "sla"), str(e)


def test_a_task_keeps_its_policy():
    with instance(POLICY) as i:
        t = i.run(SLEEP, subsystem="healing", task_type="playbook", more={"title": "Playbook: x"})
        i.kill(i.reeved)
        write(i, 0, POLICY.replace("1h", "2h"))
        i.start_reeved()
        with i.connect() as c:
            assert c.call("Get", {"task_id": t["task_id"]})["task"]["policy_hash"] == t["policy_hash"]
            new = i.run(TRUE, connection=c, subsystem="healing", task_type="playbook", more={"title": "Playbook: x"})
            assert new["policy_hash"] != t["policy_hash"]
            c.call("Cancel", {"task_id": t["task_id"]})
            assert i.wait(t["task_id"], c)["policy_hash"] == t["policy_hash"]


# ---- replacing it


def reload(i):
    with i.connect() as c:
        return c.call("PolicyReload")


def explain(i, **parameters):
    with i.connect() as c:
        return c.call("PolicyExplain", parameters)


PLAYBOOK = {"subsystem": "healing", "task_type": "playbook", "title": "Playbook: x"}


def test_reload():
    with instance(POLICY) as i:
        before = explain(i, **PLAYBOOK)
        write(i, 1, "version: 1\nsubsystems: {healing: {task_types: {playbook: {sla: {deadline: 10min}}}}}\n")
        assert explain(i, **PLAYBOOK) == before, "files are not read until somebody says so"
        reply = reload(i)
        assert reply["files"] == ["00-test.yaml", "10-test.yaml"]
        after = explain(i, **PLAYBOOK)
        assert after["policy"]["sla"]["deadline"] == "10min" and after["policy"]["priority"] == 7
        assert after["origins"]["sla.deadline"] == "10-test.yaml:2:64" and after["hash"] != before["hash"]


def test_a_bad_file_changes_nothing():
    with instance(POLICY) as i:
        before = explain(i, **PLAYBOOK)
        write(i, 1, "version: 1\nsubsystems:\n  healing:\n    max_paralel: 4\n")
        e = refusal(lambda: reload(i))
        assert e.name == "InvalidArgument"
        assert e.parameters["message"].endswith(
            "10-test.yaml:4:5: unknown key 'max_paralel'; did you mean 'max_parallel'?"), str(e)
        assert explain(i, **PLAYBOOK) == before
        with i.connect() as c:
            shown = c.call("PolicyShow")
        assert shown["files"] == ["00-test.yaml"] and "max_paralel" in shown["problem"]
        assert "10-test.yaml:4:5" in i.logs() and i.run_wait(TRUE)["status"] == "completed"

        write(i, 1, "version: 1\n")
        reload(i)
        with i.connect() as c:
            assert "problem" not in c.call("PolicyShow")


def test_hangup_reloads():
    with instance(POLICY) as i:
        write(i, 0, POLICY.replace("1h", "3h"))
        os.kill(i.reeved.process.pid, signal.SIGHUP)
        until(i, "the new policy", lambda: explain(i, **PLAYBOOK)["policy"]["sla"]["deadline"] == "3h")


def test_a_bad_file_at_the_start_refuses_new_work_and_nothing_else():
    with instance(POLICY) as i:
        t = i.run(SLEEP, subsystem="healing", task_type="playbook", more={"title": "Playbook: x"})
        i.kill(i.reeved)
        write(i, 0, "version: 2\n")
        i.start_reeved()
        e = refusal(lambda: i.run(TRUE))
        assert e.name == "PolicyViolation" and "00-test.yaml:1:10" in e.parameters["message"], str(e)
        with i.connect() as c:
            assert c.call("Get", {"task_id": t["task_id"]})["task"]["status"] == "active"
            shown = c.call("PolicyShow")
            assert "hash" not in shown and "policy" not in shown and "00-test.yaml:1:10" in shown["problem"]
        write(i, 0, POLICY)
        reload(i)
        assert i.run_wait(TRUE)["status"] == "completed"


# ---- who may


def run_as(i, **more):
    return i.run(TRUE, **more)["task_id"]


def test_allow_decides_who_may_run():
    daemons = Person("daemon").gid
    text = f"""
version: 1
subsystems:
  healing:
    allow: {{groups: [{daemons}, no-such-group]}}
    task_types:
      chore: {{allow: {{users: [nobody]}}}}
"""
    with instance(text) as i:
        nobody, member = Person("nobody"), Person("nobody", groups=[daemons])
        assert i.run_wait(TRUE, subsystem="healing")["status"] == "completed", "root may"
        assert member.does(run_as, i, subsystem="healing"), "by a supplementary group"
        assert Person("daemon").does(run_as, i, subsystem="healing"), "by the primary group"
        assert nobody.does(run_as, i, subsystem="healing", task_type="chore"), "by name, the type's word counts"
        assert nobody.does(run_as, i, subsystem="other"), "where nothing is said everybody may"
        e = refusal(lambda: nobody.does(run_as, i, subsystem="healing"))
        assert (e.name, e.field) == ("PermissionDenied", "subsystem"), str(e)
        assert e.parameters["message"] == (
            f"uid {nobody.uid} may not run 'check' tasks in subsystem 'healing': 'allow' in 00-test.yaml line 5")
        assert explain(i, subsystem="healing", task_type="check", uid=nobody.uid)["policy"]["allow"], "looking is free"


def test_only_administrators_reload():
    with instance(POLICY) as i:
        e = refusal(lambda: Person("nobody").does(reload, i))
        assert e.name == "PermissionDenied", str(e)


# ---- looking


def test_explain():
    with instance(POLICY) as i:
        t = i.run_wait(TRUE, subsystem="healing", task_type="playbook", more={"title": "Playbook: x"})
        write(i, 0, POLICY.replace("1h", "2h"))
        reload(i)
        told = explain(i, task_id=t["task_id"])
        assert told["hash"] == t["policy_hash"] and told["policy"]["sla"]["deadline"] == "1h", "as it was created"
        assert set(told["origins"]) >= {"sla.deadline", "sla.ladder.0", "retry.on"}
        assert explain(i, **PLAYBOOK)["policy"]["sla"]["deadline"] == "2h"

        for parameters, name, field in (
            ({"task_id": "not_there"}, "NoSuchTask", "task_id"),
            ({"subsystem": "healing"}, "InvalidArgument", "task_type"),
            ({}, "InvalidArgument", "subsystem"),
        ):
            e = refusal(lambda p=parameters: explain(i, **p))
            assert (e.name, e.field) == (name, field), str(e)


def reeve(i, *args):
    env = {**os.environ, "REEVE_SOCKET": i.path("io.reeve.Registry")}
    return subprocess.run([REEVE, *args], env=env, capture_output=True, text=True, check=False)


def test_on_the_command_line():
    with instance(POLICY) as i:
        t = i.run_wait(TRUE, subsystem="healing", task_type="playbook", more={"title": "Playbook: x"})
        told = reeve(i, "policy", "explain", t["task_id"])
        assert told.returncode == 0, told.stderr
        lines = {line.split()[0]: line.split() for line in told.stdout.splitlines()}
        assert lines["sla.deadline"][1:] == ["1h", "00-test.yaml:10:25"], told.stdout
        assert lines["retry.attempts"][1:] == ["2", "00-test.yaml:11:27"] and lines["sla.from"][-1] == "built-in"

        told = reeve(i, "policy", "explain", "-S", "healing", "-T", "playbook", "--title", "Playbook: y", "--json=short")
        assert json.loads(told.stdout)["policy"]["sla"]["deadline"] == "1h", told.stderr

        shown = reeve(i, "policy", "show")
        assert "healing/playbook if {title: Playbook: *}" in shown.stdout, shown.stdout + shown.stderr
        assert reeve(i, "policy", "reload").stdout.startswith("policy ")
        assert reeve(i, "run", "--sla=5min", "-q", "true").returncode == 0
        refused = reeve(i, "run", "-S", "healing", "-T", "playbook", "--title=Playbook: z", "--sla=5h", "true")
        assert refused.returncode == 78 and "sla: 5h is not certainly as strict" in refused.stderr, refused.stderr


@pytest.mark.parametrize("asked, field", [
    (["--priority=1"], "priority"), (["--backend=cgroup"], "backend"), (["--sla=1s"], "sla"), (["--attempts=1"], "attempts"),
    (["--attempts=5"], "attempts"), (["-p", "LimitCORE=0"], "LimitCORE"), (["-p", "LimitNOFILE=64:64"], "LimitNOFILE")])
def test_what_is_denied_is_denied_to_all(asked, field):
    with instance("version: 1\nsubsystems: {closed: {overrides: deny}, open: {}}\n") as i:
        done = reeve(i, "run", "-q", "-S", "closed", *asked, "true")
        assert done.returncode == 78 and f"{field}: the policy does not let callers choose this" in done.stderr, done
        assert reeve(i, "run", "-q", "-S", "open", *asked, "true").returncode == 0
        assert reeve(i, "run", "-q", "-S", "closed", "true").returncode == 0


def test_check_needs_no_daemon(tmp_path):
    good, bad = tmp_path / "good.yaml", tmp_path / "bad.yaml"
    good.write_text(POLICY)
    bad.write_text("version: 1\ndefaults: {priority: high}\n")
    told = subprocess.run([REEVE, "policy", "check", good, bad], capture_output=True, text=True, check=False)
    assert told.returncode == 1 and told.stdout == f"{good}: ok\n"
    assert told.stderr == (f"{bad}:2:22: defaults.priority (priority of a task whose caller names none) must be a whole "
                           "number from 1 to 10, not 'high'\n")
    told = subprocess.run([REEVE, "policy", "check", "--json=short", tmp_path], capture_output=True, text=True, check=False)
    assert told.returncode == 1 and json.loads(told.stdout)[0]["field"] == "defaults.priority"


LIMITED = """
version: 1
subsystems:
  a:
    limits: {MemoryMax: 1G}
    cases:
      - {match: {title: x}, limits: {CPUQuota: 50%}}
    task_types:
      b: {limits: {MemoryMax: infinity, TasksMax: 9}}
"""


def host_controllers():
    with contextlib.suppress(OSError, TypeError), open(os.path.join(cgroup2_mount(), "cgroup.controllers"), encoding="ascii") as f:
        return f.read().split()
    return []


def test_check_warns_of_limits_that_this_host_cannot_enforce(tmp_path):
    lacking = [(place, name, controller) for place, name, controller in (
        ("5:25", "MemoryMax", "memory"), ("7:48", "CPUQuota", "cpu"), ("9:51", "TasksMax", "pids"))
        if controller not in host_controllers()]
    (tmp_path / "d").mkdir()
    path = tmp_path / "d" / "limited.yaml"
    path.write_text(LIMITED)
    wanted = sorted(f"{path}:{place}: warning: this host cannot enforce {name}, tasks that have it will not start: cgroup v2 has no "
                    f"controller '{controller}' here" for place, name, controller in lacking)
    for argument in (path, tmp_path / "d"):
        told = subprocess.run([REEVE, "policy", "check", argument], capture_output=True, text=True, check=False)
        assert (told.returncode, told.stdout, sorted(told.stderr.splitlines())) == (0, f"{argument}: ok\n", wanted), told
    told = subprocess.run([REEVE, "policy", "check", "--json=short", path], capture_output=True, text=True, check=False)
    one, = json.loads(told.stdout)
    assert one["ok"] and sorted(one["warnings"]) == wanted, told


def test_sampling_of_the_policy():
    text = "version: 1\nsubsystems: {slow: {sampling: {min: 1h, max: 1h}}}\n"
    with instance(text) as i, i.connect() as c:
        def snapshots(task):
            return c.call("Snapshots", {"task_id": task["task_id"]})["snapshots"]

        usual = i.run(SLEEP, connection=c)
        slow = i.run(SLEEP, connection=c, subsystem="slow")
        until(i, "the third snapshot", lambda: len(snapshots(usual)) >= 3)
        assert len(snapshots(slow)) == 1, "the first is taken at once, the next in an hour"


def controllers():
    mount = cgroup2_mount()
    with open(os.path.join(mount, "cgroup.controllers"), encoding="ascii") as f:
        return f.read().split()


def test_limits_of_the_policy():
    """They are in force, or the task does not start: never silently without."""
    text = "version: 1\nsubsystems: {small: {limits: {TasksMax: 12}}}\n"
    with instance(text) as i:
        if "pids" not in controllers():
            e = refusal(lambda: i.run(SLEEP, subsystem="small"))
            assert (e.name, e.field) == ("InvalidArgument", "TasksMax"), str(e)
            return
        for limits, expected in (((), "12"), ((("TasksMax", "7"),), "7")):
            t = i.run(SLEEP, subsystem="small", limits=limits)
            with open(os.path.join(cgroup2_mount(), t["cgroup"], "pids.max"), encoding="ascii") as f:
                assert f.read().strip() == expected
        e = refusal(lambda: i.run(SLEEP, subsystem="small", limits=[("TasksMax", "13")]))
        assert (e.name, e.field) == ("PolicyViolation", "TasksMax"), str(e)


def test_the_log_knows_what_was_in_force():
    with instance(POLICY) as i, i.connect() as c:
        last = c.call("Stats")["last_event"]
        first = reload(i)["hash"]
        write(i, 0, "version: 2\n")
        refusal(lambda: reload(i))
        t = i.run_wait(TRUE)  # after its commits the policy's are there
        with database(i) as db:
            rows = db.execute("SELECT action, detail FROM immutable_log WHERE action LIKE 'policy_%' ORDER BY entry").fetchall()
        assert [r["action"] for r in rows] == ["policy_loaded", "policy_loaded", "policy_refused"]
        start, loaded, refused = (json.loads(r["detail"]) for r in rows)
        assert start == {"hash": first, "files": ["00-test.yaml"], "uids": []}
        assert loaded == {"hash": first, "files": ["00-test.yaml"], "uids": [0]}
        assert "00-test.yaml:1:10" in refused["problem"] and refused["uids"] == [0]
        for e in c.stream("Monitor", {"since": last}):
            assert e["task"]["task_id"] == t["task_id"], "a monitor hears of tasks"
            if e["topic"] == "task.completed":
                break
