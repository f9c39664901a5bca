# SPDX-License-Identifier: LGPL-2.1-or-later
"""Work that somebody else does and reports: its whole life, what is said twice, late or wrongly, and who dies meanwhile."""

import contextlib
import os
import signal
import sqlite3
import subprocess

import pytest

from instance import REEVE, Instance
from people import Person
from varlink import VarlinkError

WHAT = {"subsystem": "learning", "task_type": "mission"}
MB = 1 << 20
POLICY = """
version: 1
subsystems:
  learning:
    task_types:
      checked:
        verification: {required: true}
      good:
        verification: {required: true, rules: [{name: good enough, metric: ml.accuracy, min: 0.8}]}
      doubted:
        verification: {required: true, accepts_reported: no}
      doubted-loosely:
        verification: {accepts_reported: no}
      figures:
        verification:
          required: true
          rules:
            - {name: vectors, metric: vectors_processed, min: 1}
            - {name: the same, metric: ml.vectors_processed, min: 1}
            - {name: odd name, metric: "ml.val/top-5@1:a", max: 1}
            - {name: written, metric: disk_write_mb, max: 2}
            - {name: peak, metric: memory_peak_mb, max: 10}
            - {name: freed, metric: storage_delta_mb, max: 0}
            - {name: freed bytes, metric: storage_delta_bytes, max: 0}
            - {name: took, metric: duration_seconds, max: 60}
      urgent:
        sla: {deadline: 300ms, ladder: [{at: 100%, do: kill}]}
      beating:
        reported: {heartbeat: 300ms}
      climbs:
        sla:
          deadline: 400ms
          ladder:
            - {at: 50%, do: notify}
            - {at: 100%, do: escalate, hook: ROOT/hooks/page}
            - {at: 100%, after: 100ms, do: signal, signal: SIGTERM}
            - {at: 100%, after: 200ms, do: freeze}
            - {at: 100%, after: 1s, do: kill}
      capped:
        priority: 2
        priority_max: 3
        overrides: {sla: deny}
        sla: {deadline: 1h}
      programs:
        verification:
          required: true
          rules:
            - {name: a file, file: /etc/passwd}
            - {name: a program, command: [ROOT/checks/any]}
            - {name: a word, output: x}
            - {name: a status, exit_status: 0}
      foreign:
        allow: {users: [root]}
"""


@pytest.fixture(scope="module", name="reeve")
def the_instance():
    i = Instance()
    with open(i.path("policy.d", "test.yaml"), "w", encoding="ascii") as f:
        f.write(POLICY.replace("ROOT", i.root))
    with open(i.path("hooks", "page"), "w", encoding="ascii") as f:
        f.write("#!/bin/sh\ncat\n")
    os.chmod(i.path("hooks", "page"), 0o755)
    with i:
        yield i


@pytest.fixture(name="c")
def a_connection(reeve):
    with reeve.connect() as c:
        yield c


def start(c, task=None, fds=(), **more):
    named = {"task_id": task} if task else {}
    return c.call("Start", {**WHAT, **named, **more}, fds)["task"]


def say(c, method, task, **more):
    return c.call(method, {"task_id": task, **more})


def refused(c, method, **parameters):
    with pytest.raises(VarlinkError) as e:
        c.call(method, parameters)
    return e.value.name, e.value.field


def events(reeve, task):
    with reeve.connect() as c:
        c.timeout = 20
        last = c.call("Stats")["last_event"]
        found = []
        for e in c.stream("Monitor", {"since": 0}):
            if e["task"]["task_id"] == task:
                found.append((e["topic"], e["task"]["status"]))
            if e["number"] >= last:
                return found
    return found


class Reporter:
    """A process that reports, and is watched."""

    def __init__(self):
        self.popen = subprocess.Popen(["sleep", "1000"])
        self.pid_fd = os.pidfd_open(self.popen.pid)

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        self.end()
        os.close(self.pid_fd)

    def end(self):
        self.popen.kill()
        self.popen.wait()


# ---- a life


def test_a_life(reeve, c):
    t = start(c, "life_1", title="A mission", created_by="orchestrator", priority=7, metadata={"why": "because"})
    assert (t["status"], t["kind"], t["attempt"], t["priority"]) == ("active", "reported", 0, 7), t
    assert "backend" not in t and "pid" not in t and t["metadata"] == {"why": "because"}, t
    say(c, "Update", "life_1", progress=0.5, message="half way", ml_metrics={"epochs_completed": 3, "loss": 0.25}, step=3,
        metadata={"more": [1]}, usage={"io_read_bytes": 77})
    say(c, "Update", "life_1", ml_metrics={"loss": 0.125}, step=4)
    t = say(c, "Get", "life_1")["task"]
    assert (t["progress"], t["progress_message"]) == (0.5, "half way"), t
    assert t["ml_metrics"] == {"epochs_completed": 3, "loss": 0.125}, t
    assert t["metadata"] == {"why": "because", "more": [1]}, t
    assert t["usage"] == {"io_read_bytes": 77} and t["usage_sources"] == {"io_read_bytes": "reported"}, t
    t = say(c, "Complete", "life_1", verification_passed=True, message="well done", result_metadata={"where": "here"},
            resource_usage={"cpu_seconds": 12.5, "memory_peak_mb": 250.0, "disk_read_mb": 100.0, "disk_write_mb": 50.0,
                            "storage_delta_mb": -25.0},
            ml_metrics={"dataset_size_mb": 500.0, "vectors_processed": 100000})["task"]
    assert (t["status"], t["verification_status"], t["message"]) == ("completed", "passed", "well done"), t
    assert t["usage"] == {"cpu_usec": 12500000, "memory_peak_bytes": 250 * MB, "io_read_bytes": 100 * MB,
                          "io_write_bytes": 50 * MB, "storage_delta_bytes": -25 * MB}, t
    assert set(t["usage_sources"].values()) == {"reported"}, t
    assert t["result_metadata"] == {"where": "here"} and t["duration_seconds"] >= 0, t
    assert t == say(c, "Get", "life_1")["task"]
    assert events(reeve, "life_1") == [("task.created", "pending"), ("task.started", "active"), ("task.updated", "active"),
                                       ("task.updated", "active"), ("task.completed", "completed")]
    with contextlib.closing(sqlite3.connect(reeve.path("registry.db"))) as db:
        row = db.execute("SELECT cpu_seconds, memory_mb, storage_delta_mb, dataset_size_mb, vectors_processed, epochs_completed "
                         "FROM task_registry WHERE task_id = 'life_1'").fetchone()
        assert row == (12.5, 250.0, -25.0, 500.0, 100000.0, 3.0), row
        series = db.execute("SELECT step, name, value FROM task_metric_series WHERE task_id = 'life_1' ORDER BY 1, 2").fetchall()
        assert series == [(3, "epochs_completed", 3.0), (3, "loss", 0.25), (4, "loss", 0.125)], series
        assert db.execute("SELECT count(*) FROM task_attempts WHERE task_id = 'life_1'").fetchone() == (0,)


def test_the_figures_of_the_users(reeve, c):
    """All of them, in their units; base units are inside, and where both say the same these have the last word."""
    start(c, "units_1")
    t = say(c, "Complete", "units_1", resource_usage={
        "cpu_seconds": 1.25, "cpu_user_seconds": 1, "cpu_system_seconds": 0.25, "memory_peak_mb": 2, "disk_read_mb": 3,
        "disk_write_mb": 4, "network_rx_mb": 5, "network_tx_mb": 0.5, "storage_delta_mb": -7}, usage={"io_write_bytes": 1})["task"]
    assert t["usage"] == {"cpu_usec": 1250000, "cpu_user_usec": 1000000, "cpu_system_usec": 250000, "memory_peak_bytes": 2 * MB,
                          "io_read_bytes": 3 * MB, "io_write_bytes": 1, "net_rx_bytes": 5 * MB, "net_tx_bytes": MB // 2,
                          "storage_delta_bytes": -7 * MB}, t
    assert t["usage_sources"] == dict.fromkeys(t["usage"], "reported"), t
    start(c, "units_2")
    t = say(c, "Complete", "units_2", resource_usage={"memory_mb": 8, "network_mb": 9})["task"]
    assert t["usage"] == {"memory_peak_bytes": 8 * MB, "net_rx_bytes": 9 * MB}, t


def test_metrics(reeve, c):
    """Five have columns, others stand beside them; a step makes points of a series, and the last value stays the task's."""
    columns = {"dataset_size_mb": 500.5, "vectors_processed": 1e5, "tokens_processed": 5e6, "model_size_mb": 150.0,
               "epochs_completed": 10.0}
    start(c, "metrics_1")
    for step in (2, 1):
        say(c, "Update", "metrics_1", ml_metrics={"loss": step / 4}, step=step)
    say(c, "Update", "metrics_1", ml_metrics={"loss": 0.125}, step=2)
    say(c, "Update", "metrics_1", ml_metrics={"top-5/val": -1e-9})
    t = say(c, "Complete", "metrics_1", ml_metrics=columns)["task"]
    assert t["ml_metrics"] == {"loss": 0.125, "top-5/val": -1e-9, **columns}, t
    with contextlib.closing(sqlite3.connect(reeve.path("registry.db"))) as db:
        row = db.execute(f"SELECT {', '.join(columns)} FROM task_registry WHERE task_id = 'metrics_1'").fetchone()
        series = db.execute("SELECT step, name, value FROM task_metric_series WHERE task_id = 'metrics_1' ORDER BY 1, 2").fetchall()
    assert row == tuple(columns.values()), row
    assert series == [(1, "loss", 0.25), (2, "loss", 0.125)], series


def test_private_fields_are_private(reeve, c):
    start(c, "private_1", metadata={"secret": 1})
    say(c, "Fail", "private_1", message="secret", result_metadata={"secret": 2})

    def look(path):
        with type(c)(path) as other:
            return other.call("Get", {"task_id": "private_1"})["task"]
    t = Person("nobody").does(look, reeve.path("io.reeve.Registry"))
    assert (t["status"], t["outcome"]) == ("failed", "reported")
    assert not {"metadata", "result_metadata", "message"} & set(t), t


def test_an_id_is_made(c):
    task = start(c)["task_id"]
    assert task.startswith("learning_mission_") and task != start(c)["task_id"]


def test_pending_begins_later(reeve, c):
    assert start(c, "later_1", pending=True)["status"] == "pending"
    assert start(c, "later_1", pending=True)["status"] == "pending"
    say(c, "Update", "later_1", message="not yet")
    t = start(c, "later_1")
    assert (t["status"], t["progress_message"]) == ("active", "not yet"), t
    assert start(c, "later_1")["started_at"] == t["started_at"]
    say(c, "Complete", "later_1")
    assert [topic for topic, _ in events(reeve, "later_1")] == ["task.created", "task.updated", "task.started", "task.completed"]


def test_an_end_without_a_beginning(c):
    start(c, "unbegun_1", pending=True)
    t = say(c, "Complete", "unbegun_1")["task"]
    assert t["status"] == "completed" and not {"started_at", "duration_seconds"} & set(t), t


def test_failures(c):
    start(c, "fails_1")
    t = say(c, "Fail", "fails_1", message="it broke", resource_usage={"cpu_seconds": 1})["task"]
    assert (t["status"], t["outcome"], t["message"]) == ("failed", "reported", "it broke"), t
    start(c, "fails_2")
    t = say(c, "Complete", "fails_2", success=False)["task"]
    assert (t["status"], t["outcome"], t["message"]) == ("failed", "reported", "reported as failed"), t


# ---- verification, deadlines, policy


@pytest.mark.parametrize("word, status, outcome", [
    (True, "completed", None), (False, "failed", "verification"), (None, "failed", "verification")])
def test_a_required_verification_is_the_reporters_word(c, word, status, outcome):
    task = f"word_{word}"
    start(c, task, task_type="checked")
    t = say(c, "Complete", task, **({} if word is None else {"verification_passed": word}))["task"]
    assert (t["status"], t.get("outcome")) == (status, outcome), t


@pytest.mark.parametrize("accuracy, status", [(0.9, "completed"), (0.7, "failed"), (None, "failed")])
def test_a_metric_is_verified(c, accuracy, status):
    task = f"accuracy_{accuracy}".replace(".", "_")
    start(c, task, task_type="good")
    if accuracy:
        say(c, "Update", task, ml_metrics={"accuracy": accuracy})
    t = say(c, "Complete", task, verification_passed=True)["task"]
    assert (t["status"], t["verification_status"]) == (status, "passed" if status == "completed" else "failed"), t


def verifications(c, task):
    return {v["name"]: (v["passed"], v["evidence"].get("why")) for v in say(c, "Verifications", task)["verifications"]}


@pytest.mark.parametrize("word, status, failures", [(True, "completed", 0), (False, "failed", 1), (None, "completed", 0)])
def test_a_word_is_one_more_rule(c, word, status, failures):
    task = f"one_more_{word}"
    start(c, task, task_type="good")
    t = say(c, "Complete", task, ml_metrics={"accuracy": 0.9}, **({} if word is None else {"verification_passed": word}))["task"]
    assert (t["status"], t["verification_failures"], t["verification_passes"]) == (status, failures, 1 + (word is True)), t
    found = verifications(c, task)
    assert found["good enough"] == (True, None)
    assert found.get("reported", (None,))[0] is word, found


@pytest.mark.parametrize("word, why", [(True, "the policy does not accept its reporter's word alone"), (None, "nobody reported that it was verified")])
def test_a_word_that_is_not_enough(c, word, why):
    task = f"doubted_{word}"
    start(c, task, task_type="doubted")
    t = say(c, "Complete", task, **({} if word is None else {"verification_passed": word}))["task"]
    assert (t["status"], t["outcome"]) == ("failed", "verification"), t
    assert verifications(c, task) == {"reported": (False, why)}
    start(c, f"{task}_2", task_type="doubted-loosely")
    t = say(c, "Complete", f"{task}_2", **({} if word is None else {"verification_passed": word}))["task"]
    assert t["status"] == "completed" and "verification_status" not in t, t


def test_figures_that_were_reported_are_verified(c):
    start(c, "figures_1", task_type="figures")
    t = say(c, "Complete", "figures_1", ml_metrics={"vectors_processed": 7, "val/top-5@1:a": 0.5},
            resource_usage={"disk_write_mb": 1.5, "memory_peak_mb": 3, "storage_delta_mb": -2})["task"]
    assert (t["status"], t["verification_passes"]) == ("completed", 8), verifications(c, "figures_1")
    start(c, "figures_2", task_type="figures")
    t = say(c, "Complete", "figures_2", ml_metrics={"vectors_processed": 0})["task"]
    found = verifications(c, "figures_2")
    assert (t["status"], t["outcome"]) == ("failed", "verification"), t
    assert {n: why for n, (passed, why) in found.items() if not passed} == {
        "vectors": "it is less than wanted", "the same": "it is less than wanted",
        **dict.fromkeys(("odd name", "written", "peak", "freed", "freed bytes"), "it is not known for this task")}, found


def test_a_word_that_nobody_asked_for_is_noted(c):
    start(c, "noted_1")
    t = say(c, "Complete", "noted_1", verification_passed=False)["task"]
    assert (t["status"], t["verification_status"], t["verification_failures"]) == ("completed", "failed", 1), t


def test_its_ladder_ends_it(c):
    start(c, "urgent_1", task_type="urgent")
    t = say(c, "Wait", "urgent_1")["task"]
    assert (t["status"], t["outcome"], t["sla_met"]) == ("failed", "sla", False), t
    assert refused(c, "Complete", task_id="urgent_1") == ("AlreadyFinished", "task_id")


def test_its_ladder_does_what_it_can(reeve, c):
    start(c, "climbs_1", task_type="climbs")
    t = say(c, "Wait", "climbs_1")["task"]
    assert (t["status"], t["outcome"]) == ("failed", "sla"), t
    states = {s["do"]: s["state"] for s in t["ladder"]}
    hook = states.pop("escalate")
    assert states == {"notify": "done", "deadline": "done", "signal": "failed", "freeze": "failed", "kill": "done"}, t["ladder"]
    if hook != "failed":  # there is a user for hooks
        h = say(c, "Wait", "climbs_1-step2")["task"]
        assert (h["status"], h["metadata"]["parent"]) == ("completed", "climbs_1"), h
        assert b'"task_id":"climbs_1"' in reeve.output("climbs_1-step2")


@pytest.mark.parametrize("asked, field", [({"priority": 4}, "priority"), ({"priority": 3}, "priority"), ({"sla": "1min"}, "sla"),
                                          ({"sla_hours": 0.1}, "sla")])
def test_what_policy_does_not_let_reporters_choose(c, asked, field):
    assert refused(c, "Start", **WHAT | {"task_type": "capped"}, **asked) == ("PolicyViolation", field)
    t = start(c, None, task_type="capped", priority=1)
    assert (t["priority"], t["sla_deadline"] - t["created_at"]) == (1, 3600 * 10**6), t
    say(c, "Complete", t["task_id"])


def test_rules_that_nobody_can_check(c):
    """There is no process here, and nobody in whose name a program could run."""
    start(c, "programs_1", task_type="programs")
    t = say(c, "Complete", "programs_1", verification_passed=True)["task"]
    assert (t["status"], t["outcome"], t["verification_failures"], t["verification_passes"]) == ("failed", "verification", 4, 1), t
    found = verifications(c, "programs_1")
    assert all(why for name, (passed, why) in found.items() if name != "reported"), found
    assert found["reported"] == (True, None), found


def test_a_deadline_in_hours(c):
    t = start(c, "hours_1", sla_hours=1.5)
    assert t["sla_deadline"] - t["created_at"] == 5400 * 1000000, t
    t = say(c, "Complete", "hours_1")["task"]
    assert t["sla_met"] is True, t


def test_who_may_not(reeve, c):
    path = reeve.path("io.reeve.Registry")
    start(c, "mine_1")

    def as_nobody(method, parameters):
        with type(c)(path) as other:
            try:
                return other.call(method, parameters)
            except VarlinkError as e:
                return e.name
    nobody = Person("nobody")
    assert nobody.does(as_nobody, "Start", {**WHAT, "task_type": "foreign"}) == "PermissionDenied"
    assert nobody.does(as_nobody, "Start", {**WHAT, "task_id": "mine_1"}) == "AlreadyExists"
    for method, more in (("Update", {}), ("Complete", {}), ("Fail", {"message": "x"}), ("Cancel", {})):
        assert nobody.does(as_nobody, method, {"task_id": "mine_1", **more}) == "PermissionDenied"
    say(c, "Complete", "mine_1")
    assert nobody.does(as_nobody, "Complete", {"task_id": "mine_1"}) == "PermissionDenied"
    assert nobody.does(as_nobody, "Start", {**WHAT, "task_id": "mine_1"}) == "AlreadyExists"
    t = nobody.does(as_nobody, "Start", {**WHAT, "task_id": "his_1"})["task"]
    assert (t["owner_uid"], t["run_uid"], t["run_gid"]) == (nobody.uid, nobody.uid, nobody.gid), t


# ---- twice, late, wrong


def test_the_same_again(c):
    first = start(c, "twice_1", title="one")
    assert start(c, "twice_1", title="one") == first
    assert refused(c, "Start", **WHAT, task_id="twice_1", title="two") == ("AlreadyExists", "task_id")
    end = {"task_id": "twice_1", "ml_metrics": {"b": 1, "a": 2}, "message": "done"}
    t = c.call("Complete", end)["task"]
    assert c.call("Complete", {**end, "ml_metrics": {"a": 2, "b": 1}})["task"] == t
    assert start(c, "twice_1", title="one")["status"] == "completed"
    for method, more in (("Complete", {}), ("Complete", {**end, "message": "gone"}), ("Fail", {"message": "done"}),
                         ("Update", {"progress": 1}), ("Cancel", {})):
        assert refused(c, method, **{"task_id": "twice_1", **more}) == ("AlreadyFinished", "task_id"), (method, more)
    assert say(c, "Get", "twice_1")["task"] == t


def test_all_in_one_write(c):
    """Nobody has to wait for an answer before saying the next thing."""
    for n in range(200):
        c.send("Start", {**WHAT, "task_id": f"piped_{n}"})
        c.send("Update", {"task_id": f"piped_{n}", "progress": 0.5})
        c.send("Complete", {"task_id": f"piped_{n}"})
        c.send("Complete", {"task_id": f"piped_{n}"})
        c.send("Start", {**WHAT, "task_id": f"piped_{n}"})
        c.send("Fail", {"task_id": f"piped_{n}", "message": "no"})
    for n in range(200):
        assert c.reply()["task"]["status"] == "active"
        assert c.reply() == {}
        assert c.reply()["task"]["progress"] == 0.5
        assert c.reply()["task"]["status"] == "completed"
        assert c.reply()["task"]["status"] == "completed"
        with pytest.raises(VarlinkError, match="AlreadyFinished"):
            c.reply()


def test_what_is_said_of_an_old_task_while_its_id_is_tried_again(c):
    start(c, "old_1")
    t = say(c, "Fail", "old_1", message="x")["task"]
    c.send("Start", {**WHAT, "task_id": "old_1", "title": "another"})
    c.send("Update", {"task_id": "old_1", "progress": 1})
    c.send("Fail", {"task_id": "old_1", "message": "x"})
    for name in ("AlreadyExists", "AlreadyFinished"):
        with pytest.raises(VarlinkError, match=name):
            c.reply()
    assert c.reply()["task"] == t == say(c, "Get", "old_1")["task"]


def test_nobody_writes_about_a_task_whose_id_is_taken(reeve, c):
    start(c, "taken_1", sla="1h", title="mine")
    t = say(c, "Complete", "taken_1")["task"]

    def steal(path, title):
        with type(c)(path) as other:
            for n in range(50):
                other.send("Start", {**WHAT, "task_id": "taken_1", "title": title, "sla": "1h"})
                other.send("Cancel", {"task_id": "taken_1"})
                other.send("Extend", {"task_id": "taken_1", "by_usec": 1000000})
            return [other.receive().get("error", "").rsplit(".", 1)[-1] for n in range(150)]
    for person, title, first in (("nobody", "mine", "AlreadyExists"), ("root", "mine", ""), ("root", "another", "AlreadyExists")):
        names = Person(person).does(steal, reeve.path("io.reeve.Registry"), title)
        assert set(names[::3]) == {first}, names
        assert set(names[1::3] + names[2::3]) <= {"Unavailable", "AlreadyFinished"}, names
        assert say(c, "Get", "taken_1")["task"] == t


@pytest.mark.parametrize("method, field, parameters", [
    ("Start", "task_id", {**WHAT, "task_id": "a/b"}),
    ("Start", "task_id", {**WHAT, "task_id": "a-check1"}),
    ("Start", "subsystem", {**WHAT, "subsystem": "a b"}),
    ("Start", "priority", {**WHAT, "priority": 11}),
    ("Start", "sla", {**WHAT, "sla": "soon"}),
    ("Start", "sla_hours", {**WHAT, "sla_hours": -1}),
    ("Start", "sla_hours", {**WHAT, "sla_hours": 1, "sla": "1h"}),
    ("Start", "heartbeat_usec", {**WHAT, "heartbeat_usec": 0}),
    ("Start", "heartbeat_usec", {**WHAT, "heartbeat_usec": 1}),
    ("Start", "heartbeat_usec", {**WHAT, "heartbeat_usec": 1 << 62}),
    ("Start", "watch", {**WHAT, "watch": 0}),
    ("Start", "watch", {**WHAT, "watch": -1}),
    ("Update", "task_id", {"task_id": ""}),
    ("Update", "progress", {"task_id": "bad_1", "progress": 1.01}),
    ("Update", "progress", {"task_id": "bad_1", "progress": -0.1}),
    ("Update", "step", {"task_id": "bad_1", "step": -1}),
    ("Update", "usage", {"task_id": "bad_1", "usage": {"nothing": 1}}),
    ("Update", "usage", {"task_id": "bad_1", "usage": {"cpu_usec": -1}}),
    ("Update", "resource_usage", {"task_id": "bad_1", "resource_usage": {"cpu": 1}}),
    ("Update", "resource_usage", {"task_id": "bad_1", "resource_usage": {"cpu_seconds": -1}}),
    ("Update", "resource_usage", {"task_id": "bad_1", "resource_usage": {"cpu_seconds": 1e300}}),
    ("Update", "ml_metrics", {"task_id": "bad_1", "ml_metrics": {"": 1}}),
    ("Update", "ml_metrics", {"task_id": "bad_1", "ml_metrics": {"two words": 1}}),
    ("Update", "ml_metrics", {"task_id": "bad_1", "ml_metrics": {"x" * 65: 1}}),
])
def test_bad_input(c, method, field, parameters):
    with contextlib.suppress(VarlinkError):
        start(c, "bad_1")
    before = say(c, "Get", "bad_1")["task"]
    assert refused(c, method, **parameters) == ("InvalidArgument", field)
    assert say(c, "Get", "bad_1")["task"] == before


def test_limits(c):
    start(c, "limits_1")
    for field, more in (("message", {"message": "x" * 1025}), ("metadata", {"metadata": {"a": "x" * (64 << 10)}}),
                        ("ml_metrics", {"ml_metrics": {f"m{n}": n for n in range(257)}})):
        assert refused(c, "Update", task_id="limits_1", **more) == ("LimitExceeded", field)
    deep = current = {}
    for _ in range(40):
        current["a"] = current = {}
    assert refused(c, "Complete", task_id="limits_1", result_metadata=deep)[0] in ("LimitExceeded", "InvalidArgument")
    assert say(c, "Complete", "limits_1")["task"]["status"] == "completed"


def test_nobody_knows_it(c):
    for method, more in (("Update", {}), ("Complete", {}), ("Fail", {"message": "x"})):
        assert refused(c, method, task_id="nobody_1", **more) == ("NoSuchTask", "task_id")


def test_reeve_has_no_process_of_it(c):
    start(c, "handless_1")
    assert refused(c, "Signal", task_id="handless_1", signal=15) == ("Unavailable", "task_id")
    assert refused(c, "Freeze", task_id="handless_1") == ("Unavailable", "task_id")


def test_a_command_says_how_far_it_is(reeve, c):
    task = reeve.run(["sleep", "1000"], connection=c)["task_id"]
    say(c, "Update", task, progress=0.25, ml_metrics={"lines": 7})
    assert refused(c, "Update", task_id=task, usage={"cpu_usec": 1}) == ("InvalidArgument", "usage")
    assert refused(c, "Complete", task_id=task) == ("InvalidArgument", "task_id")
    say(c, "Cancel", task)
    t = say(c, "Wait", task)["task"]
    assert (t["status"], t["progress"], t["ml_metrics"]) == ("cancelled", 0.25, {"lines": 7}), t


def test_cancel(c):
    start(c, "cancelled_1")
    say(c, "Cancel", "cancelled_1", reason="enough")
    t = say(c, "Wait", "cancelled_1")["task"]
    assert (t["status"], t["message"]) == ("cancelled", "enough"), t
    assert refused(c, "Complete", task_id="cancelled_1") == ("AlreadyFinished", "task_id")


# ---- who reports dies


def test_its_reporter_is_watched(c):
    with Reporter() as r:
        for n in range(3):
            t = start(c, f"watched_{n}", [r.pid_fd], watch=0)
            assert t["pid"] == r.popen.pid, t
        start(c, "watched_pending", [r.pid_fd], watch=0, pending=True)
        say(c, "Complete", "watched_0")
        r.end()
        for task in ("watched_1", "watched_2", "watched_pending"):
            t = say(c, "Wait", task)["task"]
            assert (t["status"], t["outcome"]) == ("lost", "reporter-died"), t
            assert t["message"] == f"its reporter (pid {r.popen.pid}) ended before it" and "pid" not in t, t
        assert say(c, "Get", "watched_0")["task"]["status"] == "completed"


def test_what_it_said_before_it_died_counts(reeve):
    for n in range(20):
        with reeve.connect() as c:
            pid = os.fork()
            if pid == 0:
                c.send("Start", {**WHAT, "task_id": f"last_words_{n}", "watch": 0}, [os.pidfd_open(os.getpid())])
                c.send("Update", {"task_id": f"last_words_{n}", "progress": 1})
                c.send("Complete", {"task_id": f"last_words_{n}"})
                os.kill(os.getpid(), signal.SIGKILL)
            os.waitpid(pid, 0)
            for _ in range(3):
                c.reply()
            assert say(c, "Wait", f"last_words_{n}")["task"]["status"] == "completed"


def test_another_process_takes_over(c):
    with Reporter() as first, Reporter() as second:
        start(c, "taken_over_1", [first.pid_fd], watch=0)
        assert start(c, "taken_over_1", [second.pid_fd], watch=0)["pid"] == second.popen.pid
        first.end()
        assert say(c, "Get", "taken_over_1")["task"]["status"] == "active"
        second.end()
        assert say(c, "Wait", "taken_over_1")["task"]["status"] == "lost"


def test_what_cannot_be_watched(reeve, c):
    r, w = os.pipe()
    with Reporter() as dead, Reporter() as roots:
        with pytest.raises(VarlinkError) as e:
            start(c, None, [r], watch=0)
        assert (e.value.name, e.value.field) == ("InvalidArgument", "watch")
        dead.end()
        t = say(c, "Wait", start(c, None, [dead.pid_fd], watch=0)["task_id"])["task"]
        assert (t["status"], t["outcome"]) == ("lost", "reporter-died"), t

        def watch_roots(path):
            with type(c)(path) as other:
                try:
                    return start(other, None, [roots.pid_fd], watch=0)
                except VarlinkError as e:
                    return e.name
        assert Person("nobody").does(watch_roots, reeve.path("io.reeve.Registry")) == "PermissionDenied"
    os.close(r)
    os.close(w)


def test_silence(c):
    start(c, "silent_1", heartbeat_usec=300000)
    say(c, "Update", "silent_1", progress=0.1)
    t = say(c, "Wait", "silent_1")["task"]
    assert (t["status"], t["outcome"], t["message"]) == ("lost", "reporter-died", "nothing was heard of it for 300ms"), t
    assert t["completed_at"] - t["started_at"] >= 300000, t


def test_a_heartbeat_of_the_policy(c):
    """It is for those who are not watched and ask for none; and not content."""
    with Reporter() as r:
        assert "heartbeat_usec" not in start(c, "beats_watched", [r.pid_fd], watch=0, task_type="beating")
        assert start(c, "beats_own", task_type="beating", heartbeat_usec=3600000000)["heartbeat_usec"] == 3600000000
        t = start(c, "beats_1", task_type="beating")
        assert t["heartbeat_usec"] == 300000 and start(c, "beats_1", task_type="beating")["task_id"] == "beats_1", t
        t = say(c, "Wait", "beats_1")["task"]
        assert (t["status"], t["outcome"], t["message"]) == ("lost", "reporter-died", "nothing was heard of it for 300ms"), t
        for task in ("beats_watched", "beats_own"):
            assert say(c, "Complete", task)["task"]["status"] == "completed"


# ---- reeved dies


def test_reeved_is_killed():
    with Instance() as i, Reporter() as alive, Reporter() as dead:
        with i.connect() as c:
            start(c, "goes_on", title="x")
            start(c, "watched_on", [dead.pid_fd], watch=0)
            assert start(c, "watched_on", [alive.pid_fd], watch=0)["pid"] == alive.popen.pid
            start(c, "watched_dead", [dead.pid_fd], watch=0)
            start(c, "waits_on", pending=True)
            start(c, "falls_silent", heartbeat_usec=500000)
            start(c, "ended")
            say(c, "Complete", "ended", ml_metrics={"a": 1})
        i.kill(i.reeved)
        dead.end()
        i.start_reeved()
        with i.connect() as c:
            t = say(c, "Wait", "watched_dead")["task"]
            assert (t["status"], t["outcome"]) == ("lost", "reporter-died"), t
            t = say(c, "Wait", "falls_silent")["task"]
            assert (t["status"], t["outcome"]) == ("lost", "reporter-died"), t
            assert start(c, "goes_on", title="x")["status"] == "active"
            assert say(c, "Complete", "goes_on")["task"]["status"] == "completed"
            assert say(c, "Complete", "ended", ml_metrics={"a": 1})["task"]["status"] == "completed"
            assert refused(c, "Complete", task_id="ended") == ("AlreadyFinished", "task_id")
            assert start(c, "waits_on")["status"] == "active"
            alive.end()
            t = say(c, "Wait", "watched_on")["task"]
            assert (t["status"], t["outcome"]) == ("lost", "reporter-died"), t


def test_reeved_is_killed_at_the_insertion():
    with Instance() as i:
        i.kill(i.reeved)
        i.start_reeved(env={"REEVE_CRASH_AT": "reeved:inserted"})
        with i.connect() as c:
            c.send("Start", {**WHAT, "task_id": "inserted_1"})
            with pytest.raises(Exception):
                c.reply()
        i.kill(i.reeved)
        i.start_reeved()
        with i.connect() as c:
            assert start(c, "inserted_1")["status"] == "active"
            assert say(c, "Complete", "inserted_1")["task"]["status"] == "completed"


@pytest.mark.parametrize("step, arguments", [
    ("inserted", ["start", "--subsystem=learning", "--type=mission"]), ("finished", ["complete", "--message=done", "t"])])
def test_a_script_outlives_reeved(step, arguments):
    """Killed when it was stored and not yet answered: the command says it again, and it is there once."""
    with Instance() as i:
        with i.connect() as c:
            start(c, "t")
        i.kill(i.reeved)
        i.start_reeved(env={"REEVE_CRASH_AT": f"reeved:{step}"})
        environment = {**os.environ, "REEVE_SOCKET": i.path("io.reeve.Registry")}
        with subprocess.Popen([REEVE, *arguments], env=environment, stdout=subprocess.PIPE, text=True) as p:
            i.reeved.process.wait()
            i.kill(i.reeved)
            i.start_reeved()
            out, _ = p.communicate(timeout=30)
        assert p.returncode == 0, out
        with i.connect() as c:
            tasks = [t["task_id"] for t in c.call("List", {})["tasks"]]
        assert tasks == ([out.strip()] if step == "inserted" else []) + ["t"]
        with contextlib.closing(sqlite3.connect(f"file:{i.path('registry.db')}?mode=ro", uri=True)) as db:
            topics = [topic for topic, in db.execute("SELECT topic FROM task_events WHERE task_id = ? ORDER BY number", tasks[:1])]
        assert topics == ["task.created", "task.started"] + (["task.completed"] if step == "finished" else [])


def test_another_boot():
    with Instance() as i, Reporter() as r:
        with i.connect() as c:
            start(c, "ran")
            start(c, "unbegun", pending=True)
            start(c, "unbegun_watched", [r.pid_fd], watch=0, pending=True)
        i.kill(i.reeved)
        with contextlib.closing(sqlite3.connect(i.path("registry.db"))) as db, db:
            db.execute("UPDATE task_registry SET boot_id = zeroblob(16)")
        i.start_reeved()
        with i.connect() as c:
            for task in ("ran", "unbegun_watched"):
                t = say(c, "Wait", task)["task"]
                assert (t["status"], t["outcome"]) == ("lost", "rebooted"), t
            assert start(c, "unbegun")["status"] == "active"


# ---- a script


def test_a_script_reports(reeve):
    script = """
        set -e
        id=$(reeve start --subsystem=learning --type=checked --title='A script' --heartbeat=1min --sla=1h)
        reeve update --progress=50% -m 'half way' --metric=loss=0.5 --step=1 "$id"
        reeve complete --verified --used=cpu_seconds=1.5 --used=storage_delta_mb=-1 --result='{"a": 1}' "$id"
        reeve complete --verified --used=cpu_seconds=1.5 --used=storage_delta_mb=-1 --result='{"a": 1}' "$id"
        bad=$(reeve start --subsystem=learning --type=checked)
        reeve complete "$bad" || echo "$? $id $bad"
        reeve fail "$bad" && exit 1
        exit 0
    """
    path = os.path.dirname(reeve.program(REEVE)) + ":/usr/bin:/bin"
    done = subprocess.run(["/bin/sh", "-c", script], capture_output=True, text=True, timeout=60, check=False,
                          env={"PATH": path, "REEVE_SOCKET": reeve.path("io.reeve.Registry")})
    assert done.returncode == 0, (done.stdout, done.stderr)
    status, good, bad = done.stdout.split()
    assert status == "1" and f"{bad}: failed" in done.stderr and "has ended: failed" in done.stderr, done.stderr
    with reeve.connect() as c:
        t = say(c, "Get", good)["task"]
    assert (t["status"], t["title"], t["progress"], t["result_metadata"]) == ("completed", "A script", 0.5, {"a": 1}), t
    assert t["usage"] == {"cpu_usec": 1500000, "storage_delta_bytes": -MB} and t["sla_met"] is True, t
