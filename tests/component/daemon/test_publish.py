# SPDX-License-Identifier: LGPL-2.1-or-later
"""Events from elsewhere: the life that they tell, in order and out of it, twice and late, wrong and not allowed."""

import json
import os
import sqlite3
import subprocess

import pytest

from instance import REEVE, Instance
from people import Person
from varlink import VarlinkError

WHAT = {"subsystem": "healing", "task_type": "playbook"}
MB = 1 << 20
POLICY = """
version: 1
subsystems:
  healing:
    task_types:
      foreign:
        allow: {users: [root]}
      forecast:
        sla: {deadline: forecast_p95 * 2}
      checked:
        verification: {required: true}
"""


@pytest.fixture(scope="module", name="reeve")
def the_instance():
    i = Instance()
    with open(i.path("policy.d", "test.yaml"), "w", encoding="ascii") as f:
        f.write(POLICY)
    with i:
        yield i


@pytest.fixture(name="c")
def a_connection(reeve):
    with reeve.connect() as c:
        yield c


def publish(c, topic, **payload):
    return c.call("Publish", {"topic": topic, "payload": payload})


def get(c, task):
    return c.call("Get", {"task_id": task})["task"]


def refused(c, topic, **payload):
    """Name, field and message of the error."""
    with pytest.raises(VarlinkError) as e:
        publish(c, topic, **payload)
    return e.value.name, e.value.field, e.value.parameters["message"]


def events(reeve, task):
    """Numbers and topics."""
    with reeve.connect() as c:
        last = c.call("Stats")["last_event"]
        found = []
        for e in c.stream("Monitor", {"since": 0}):
            if e["task"]["task_id"] == task:
                found.append((e["number"], e["topic"]))
            if e["number"] >= last:
                return found
    return found


# ---- in order


def test_a_life(reeve, c):
    said = [
        publish(c, "task.created", task_id="life_1", **WHAT, title="Playbook: restart", created_by="healer", metadata={"a": [1]}),
        publish(c, "task.started", task_id="life_1"),
        publish(c, "task.updated", task_id="life_1", progress=0.5, message="half", ml_metrics={"loss": 0.5}, step=1),
        publish(c, "task.completed", task_id="life_1", success=True, verification_passed=True,
                resource_usage={"cpu_seconds": 12.5, "memory_peak_mb": 250.0, "disk_read_mb": 100.0, "disk_write_mb": 50.0,
                                "storage_delta_mb": 25.0},
                ml_metrics={"dataset_size_mb": 500.0, "vectors_processed": 100000}, result_metadata={"restarted": 2})]
    assert [(r["task_id"], r["status"]) for r in said] == [
        ("life_1", s) for s in ("pending", "active", "active", "completed")], said
    assert [(r["event"], t) for r, t in zip(said, ("task.created", "task.started", "task.updated", "task.completed"))] \
        == events(reeve, "life_1"), said
    t = get(c, "life_1")
    assert (t["title"], t["created_by"], t["metadata"], t["kind"]) == ("Playbook: restart", "healer", {"a": [1]}, "reported"), t
    assert (t["progress"], t["progress_message"], t["verification_status"]) == (0.5, "half", "passed"), t
    assert t["usage"] == {"cpu_usec": 12500000, "memory_peak_bytes": 250 * MB, "io_read_bytes": 100 * MB,
                          "io_write_bytes": 50 * MB, "storage_delta_bytes": 25 * MB}, t
    assert t["ml_metrics"] == {"loss": 0.5, "dataset_size_mb": 500.0, "vectors_processed": 100000}, t
    assert t["result_metadata"] == {"restarted": 2}, t


@pytest.mark.parametrize("topic, payload, status, outcome, message", [
    ("task.failed", {"message": "it broke"}, "failed", "reported", "it broke"),
    ("task.failed", {"error": "it broke"}, "failed", "reported", "it broke"),
    ("task.failed", {"error_message": "it broke"}, "failed", "reported", "it broke"),
    ("task.failed", {"reason": "it broke"}, "failed", "reported", "it broke"),
    ("task.failed", {}, "failed", "reported", "reported as failed"),
    ("task.completed", {"success": False, "error": "no"}, "failed", "reported", "no"),
    ("task.cancelled", {"reason": "enough"}, "cancelled", None, "enough"),
    ("task.cancelled", {"message": "enough"}, "cancelled", None, "enough"),
    ("task.cancelled", {}, "cancelled", None, "cancelled"),
])
def test_ends(c, topic, payload, status, outcome, message):
    task = publish(c, "task.created", **WHAT)["task_id"]
    assert task.startswith("healing_playbook_"), task
    publish(c, "task.started", task_id=task)
    assert publish(c, topic, task_id=task, **payload)["status"] == status
    t = get(c, task)
    assert (t["status"], t.get("outcome"), t.get("message")) == (status, outcome, message), t


def test_policy_has_the_last_word(c):
    task = publish(c, "task.created", subsystem="healing", task_type="checked")["task_id"]
    assert publish(c, "task.completed", task_id=task, success=True)["status"] == "failed"
    assert get(c, task)["outcome"] == "verification"


# ---- missions


def test_missions(c):
    assert publish(c, "mission.created", mission_id="m_1", mission_name="Read it all", created_by="learner")["status"] == "pending"
    publish(c, "mission.started", mission_id="m_1")
    publish(c, "mission.updated", mission_id="m_1", progress=0.25)
    assert publish(c, "mission.completed", mission_id="m_1", success=True)["status"] == "completed"
    t = get(c, "m_1")
    assert (t["subsystem"], t["task_type"], t["title"], t["progress"]) == ("learning", "mission", "Read it all", 0.25), t
    publish(c, "mission.created", mission_id="m_2", mission_type="drill", subsystem="school", mission_title="Again")
    publish(c, "mission.failed", mission_id="m_2", error="no")
    t = get(c, "m_2")
    assert (t["subsystem"], t["task_type"], t["title"], t["message"]) == ("school", "drill", "Again", "no"), t
    publish(c, "mission.created", task_id="m_3", task_type="course", title="New names do, too")
    assert publish(c, "mission.cancelled", task_id="m_3")["status"] == "cancelled"
    assert get(c, "m_3")["task_type"] == "course"


def test_names_of_missions_are_of_missions(c):
    assert refused(c, "task.created", mission_id="m_4", **WHAT)[:2] == ("InvalidArgument", "mission_id")
    assert refused(c, "mission.created", mission_id="m_4", task_id="m_5")[:2] in (
        ("InvalidArgument", "mission_id"), ("InvalidArgument", "task_id"))


# ---- out of order


@pytest.mark.parametrize("topic, payload, topics, status", [
    ("task.started", {}, ["created", "started"], "active"),
    ("task.updated", {"progress": 0.5}, ["created", "started", "updated"], "active"),
    ("task.completed", {"success": True}, ["created", "completed"], "completed"),
    ("task.failed", {"message": "x"}, ["created", "failed"], "failed"),
    ("task.cancelled", {}, ["created", "cancelled"], "cancelled"),
])
def test_of_an_unknown_task(reeve, c, topic, payload, topics, status):
    task = "unknown_" + topic[5:]
    assert refused(c, topic, task_id=task, **payload)[:2] == ("NoSuchTask", "task_id")
    assert refused(c, topic, task_id=task, **payload, subsystem="healing")[:2] == ("NoSuchTask", "task_id")
    assert publish(c, topic, task_id=task, **payload, **WHAT, title="late")["status"] == status
    assert [t for _, t in events(reeve, task)] == ["task." + t for t in topics]
    assert get(c, task)["title"] == "late"
    mission = "mission_" + topic[5:]
    assert publish(c, "mission" + topic[4:], mission_id=mission, **payload)["status"] == status
    assert get(c, mission)["subsystem"] == "learning"


def test_completed_before_started(reeve, c):
    publish(c, "task.created", task_id="early_1", **WHAT)
    assert publish(c, "task.completed", task_id="early_1")["status"] == "completed"
    t = get(c, "early_1")
    assert "completed_at" in t and not {"started_at", "duration_seconds"} & set(t), t
    name, field, message = refused(c, "task.started", task_id="early_1")
    assert (name, field) == ("AlreadyFinished", "task_id") and "completed" in message, message
    assert refused(c, "task.updated", task_id="early_1", progress=1)[0] == "AlreadyFinished"
    assert get(c, "early_1") == t
    assert [t for _, t in events(reeve, "early_1")] == ["task.created", "task.completed"]


def test_updated_before_started(reeve, c):
    publish(c, "task.created", task_id="early_2", **WHAT)
    assert publish(c, "task.updated", task_id="early_2", message="not yet")["status"] == "pending"
    assert publish(c, "task.started", task_id="early_2")["status"] == "active"
    assert [t for _, t in events(reeve, "early_2")] == ["task.created", "task.updated", "task.started"]


def test_created_when_others_made_it(c):
    publish(c, "task.completed", task_id="early_3", **WHAT)
    assert refused(c, "task.created", task_id="early_3", **WHAT, title="what it was")[:2] == ("AlreadyExists", "task_id")
    assert publish(c, "task.created", task_id="early_3", **WHAT)["status"] == "completed"


def test_twice(reeve, c):
    life = [("task.created", {**WHAT, "title": "twice"}), ("task.started", {}), ("task.updated", {"progress": 0.5})]
    for topic, payload in life:
        for _ in range(2):
            publish(c, topic, task_id="twice_1", **payload)
    assert publish(c, "task.completed", task_id="twice_1", message="done")["status"] == "completed"
    assert publish(c, "task.completed", task_id="twice_1", message="done")["status"] == "completed"
    for topic, payload in (("task.completed", {"message": "gone"}), ("task.completed", {"success": False}),
                           ("task.failed", {"message": "done"}), ("task.cancelled", {}), life[1], life[2]):
        assert refused(c, topic, task_id="twice_1", **payload)[0] == "AlreadyFinished", topic
    assert [t for _, t in events(reeve, "twice_1")] == [
        "task.created", "task.started", "task.updated", "task.updated", "task.completed"]
    publish(c, "task.cancelled", task_id="twice_2", **WHAT)
    assert publish(c, "task.cancelled", task_id="twice_2")["status"] == "cancelled"
    assert refused(c, "task.completed", task_id="twice_2")[0] == "AlreadyFinished"


@pytest.mark.parametrize("task_type", ["playbook", "forecast"])
@pytest.mark.parametrize("first", ["task.created", "task.updated"])
def test_all_in_one_write(reeve, c, task_type, first):
    """Events of one task do not overtake each other, wherever the first of them has to wait."""
    ids = [f"piped_{task_type}_{first[5:]}_{n}" for n in range(100)]
    end = {"success": True}
    for i in ids:
        for topic, payload in ((first, {"subsystem": "healing", "task_type": task_type}), ("task.started", {}),
                               ("task.updated", {"progress": 0.5}), ("task.cancelled", {"reason": "no"}), ("task.completed", end),
                               ("task.cancelled", {})):
            c.send("Publish", {"topic": topic, "payload": {"task_id": i, **payload}})
    for i in ids:
        for _ in range(4):  # the task is told as it is when the answer is made: it may be further
            assert c.reply()["status"] in ("pending", "active", "cancelled")
        with pytest.raises(VarlinkError, match="AlreadyFinished"):
            c.reply()
        assert c.reply()["status"] == "cancelled"
    topics = [t for _, t in events(reeve, ids[-1])]
    assert topics[-1] == "task.cancelled" and "task.updated" in topics[:-1] and topics[:1] == ["task.created"], topics


def test_too_many_wait_for_one(reeve):
    """Each connection is held to what it may have open; what several have is held to the same, and answered."""
    with reeve.connect() as a, reeve.connect() as b:
        for c in (a, b):
            for _ in range(1024):
                c.send("Publish", {"topic": "task.updated", "payload": {
                    "task_id": "crowd_1", "subsystem": "healing", "task_type": "forecast", "progress": 0.5}})
        names = [c.receive().get("error", "") for c in (a, b) for _ in range(1024)]
    assert set(names) <= {"", "io.reeve.Registry.Unavailable"}, set(names)


# ---- who may


def test_who_may_not(reeve, c):
    path = reeve.path("io.reeve.Registry")
    publish(c, "task.created", task_id="mine_1", **WHAT)

    def as_nobody(topic, payload):
        with type(c)(path) as other:
            try:
                return other.call("Publish", {"topic": topic, "payload": payload})["status"]
            except VarlinkError as e:
                return e.name
    nobody = Person("nobody")
    assert nobody.does(as_nobody, "task.created", {"subsystem": "healing", "task_type": "foreign"}) == "PermissionDenied"
    assert nobody.does(as_nobody, "task.completed", {"task_id": "his_0", "subsystem": "healing", "task_type": "foreign"}) \
        == "PermissionDenied"
    assert nobody.does(as_nobody, "task.created", {"task_id": "mine_1", **WHAT}) == "AlreadyExists"
    for topic, more in (("task.started", {}), ("task.updated", {}), ("task.completed", WHAT), ("task.failed", {"message": "x"}),
                        ("task.cancelled", {})):
        assert nobody.does(as_nobody, topic, {"task_id": "mine_1", **more}) == "PermissionDenied", topic
    assert get(c, "mine_1")["status"] == "pending"
    publish(c, "task.cancelled", task_id="mine_1")
    assert nobody.does(as_nobody, "task.cancelled", {"task_id": "mine_1"}) == "AlreadyFinished"
    assert nobody.does(as_nobody, "task.completed", {"task_id": "mine_1"}) == "PermissionDenied"
    assert nobody.does(as_nobody, "task.completed", {"task_id": "his_1", **WHAT}) == "completed"
    t = get(c, "his_1")
    assert (t["owner_uid"], t["run_gid"]) == (nobody.uid, nobody.gid), t


def test_what_runs_is_not_reported(reeve, c):
    task = reeve.run(["sleep", "1000"], c)["task_id"]
    for topic in ("task.started", "task.completed", "task.failed", "task.cancelled"):
        name, field, message = refused(c, topic, task_id=task)
        assert (name, field) == ("InvalidArgument", "task_id") and "not reported" in message, message
    publish(c, "task.updated", task_id=task, progress=0.5)
    assert get(c, task)["progress"] == 0.5
    c.call("Cancel", {"task_id": task})


# ---- what is wrong


@pytest.mark.parametrize("topic, words", [
    ("task.complete", "'task.completed'"), ("task.Started", "'task.started'"), ("mission.create", "'mission.created'"),
    ("deploy.finished", "are created, started"), ("", "are created, started"), ("task.stuck", "task."), ("x" * 5000, "x" * 64)])
def test_unknown_topics(c, topic, words):
    name, field, message = refused(c, topic, task_id="x")
    assert (name, field) == ("InvalidArgument", "topic") and words in message, message


@pytest.mark.parametrize("topic, field, payload", [
    ("task.created", "subsystem", {"task_id": "bad_1"}),
    ("task.created", "task_type", {"task_id": "bad_1", "subsystem": "healing"}),
    ("task.created", "success", {**WHAT, "success": True}),
    ("task.created", "pending", {**WHAT, "pending": True}),
    ("task.created", "watch", {**WHAT, "watch": 0}),
    ("task.created", "priority", {**WHAT, "priority": "7"}),
    ("task.created", "priority", {**WHAT, "priority": 11}),
    ("task.created", "metadata", {**WHAT, "metadata": [1]}),
    ("task.created", "task_id", {**WHAT, "task_id": "../x"}),
    ("task.created", "task_id", {**WHAT, "task_id": 5}),
    ("task.created", "task_id", {**WHAT, "task_id": "x-step1"}),
    ("task.started", "task_id", {}),
    ("task.started", "task_id", {"task_id": None}),
    ("task.started", "progress", {"task_id": "bad_1", "progress": 0.5}),
    ("task.updated", "title", {"task_id": "bad_1", "title": 5}),
    ("task.updated", "progress", {"task_id": "bad_1", "progress": 2}),
    ("task.updated", "success", {"task_id": "bad_1", "success": True}),
    ("task.completed", "sucess", {"task_id": "bad_1", "sucess": False}),
    ("task.completed", "success", {"task_id": "bad_1", "success": "no"}),
    ("task.completed", "metadata", {"task_id": "bad_1", "metadata": {}}),
    ("task.completed", "resource_usage", {"task_id": "bad_1", "resource_usage": {"cpu": 1}}),
    ("task.completed", "resource_usage", {"task_id": "bad_1", "resource_usage": {"cpu_seconds": -1}}),
    ("task.failed", "error", {"task_id": "bad_1", "message": "a", "error": "b"}),
    ("task.failed", "error", {"task_id": "bad_1", "error": 5}),
    ("task.cancelled", "progress", {"task_id": "bad_1", "progress": 1}),
    ("task.cancelled", "reason", {"task_id": "bad_1", "reason": 5}),
])
def test_bad_payloads(c, topic, field, payload):
    assert refused(c, topic, **payload)[:2] == ("InvalidArgument", field)
    assert refused(c, "task.updated", task_id="bad_1")[0] == "NoSuchTask"


def test_bad_calls(c):
    for parameters in ({}, {"topic": "task.created"}, {"topic": "task.created", "payload": []},
                       {"topic": 1, "payload": {}}, {"topic": "task.created", "payload": {}, "more": 1}):
        with pytest.raises(VarlinkError, match="InvalidParameter"):
            c.call("Publish", parameters)


def test_limits(c):
    for topic, field, payload in (
            ("task.created", "title", {"title": "x" * 1025}), ("task.created", "metadata", {"metadata": {"x": "x" * 65536}}),
            ("task.failed", "message", {"message": "x" * 1025}), ("task.cancelled", "reason", {"message": "x" * 1025}),
            ("task.updated", "metadata", {"metadata": {"x": "x" * 65536}})):
        task = publish(c, "task.created", **WHAT)["task_id"] if topic != "task.created" else None
        name, of, _ = refused(c, topic, **({"task_id": task} if task else WHAT), **payload)
        assert (name, of) == ("LimitExceeded", field), (topic, name, of)


# ---- the registry dies


def test_what_was_answered_is_there():
    """Killed in the middle of a stream: each event that was answered is in the database, and saying all of it again is safe."""
    with Instance() as i:
        lines = []
        for n in range(200):
            lines += [("task.created", {"task_id": f"kill_{n}", **WHAT}), ("task.started", {"task_id": f"kill_{n}"}),
                      ("task.completed", {"task_id": f"kill_{n}", "message": "done"})]
        with i.connect() as c:
            for topic, payload in lines:
                c.send("Publish", {"topic": topic, "payload": payload})
            answered = [c.reply() for _ in range(100)]
            i.kill(i.reeved)
        i.start_reeved()
        with i.connect() as c:
            for r in answered:
                assert get(c, r["task_id"])["status"] in ("pending", "active", "completed"), r
                assert r["status"] != "completed" or get(c, r["task_id"])["status"] == "completed", r
            for topic, payload in lines:
                c.send("Publish", {"topic": topic, "payload": payload})
            for topic, _ in lines:
                message = c.receive()
                assert "error" not in message or (topic == "task.started" and message["error"].endswith("AlreadyFinished")), \
                    json.dumps(message)
        db = sqlite3.connect(i.path("registry.db"))
        for topic in ("task.created", "task.completed"):
            rows = db.execute("SELECT task_id, count(*) FROM task_events WHERE topic = ? GROUP BY 1", (topic,)).fetchall()
            assert len(rows) == 200 and {n for _, n in rows} == {1}, (topic, len(rows))
        db.close()


# ---- line by line


def test_lines(reeve, tmp_path):
    """What a script pipes in: thousands of lines, some of them nonsense, while the registry is killed."""
    lines = []
    for n in range(2000):
        for topic, payload in (("created", {**WHAT, "title": "piped"}), ("started", {}), ("completed", {"success": n % 2 == 0})):
            lines.append(json.dumps({"topic": "task." + topic, "payload": {"task_id": f"line_{n}", **payload}}))
    lines[1000] = "nonsense"  # started of line_333
    lines[2000] = json.dumps({"topic": "task.complete", "payload": {"task_id": "line_666"}})
    environment = {**os.environ, "REEVE_SOCKET": reeve.path("io.reeve.Registry")}
    with open(tmp_path / "out", "wb") as out, open(tmp_path / "err", "wb") as err, \
            subprocess.Popen([REEVE, "publish", "--json=short"], stdin=subprocess.PIPE, stdout=out, stderr=err, env=environment) as child:
        child.stdin.write("\n".join(lines[:3000]).encode() + b"\n")
        child.stdin.flush()
        reeve.kill(reeve.reeved)
        reeve.start_reeved()
        child.stdin.write("\n".join(lines[3000:]).encode() + b"\n")
        child.stdin.close()
        assert child.wait() == 64, (tmp_path / "err").read_text()
    answers = [json.loads(line) for line in (tmp_path / "out").read_text().splitlines()]
    refused_lines = [a["line"] for a in answers if "error" in a]
    assert refused_lines == [1001, 2001], [a for a in answers if "error" in a][:5]
    for text in ("line 1001: ", "line 2001: topic: there is no topic 'task.complete', is it 'task.completed'?"):
        assert text in (tmp_path / "err").read_text()
    with reeve.connect() as fresh:
        for n in range(2000):
            expected = "active" if n == 666 else "failed" if n % 2 else "completed"
            assert get(fresh, f"line_{n}")["status"] == expected, n
