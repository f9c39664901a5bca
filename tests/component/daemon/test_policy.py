# SPDX-License-Identifier: LGPL-2.1-or-later
"""The policy in a daemon: what it refuses, what it makes of a request, and that a task keeps what it was created with."""

import contextlib
import json
import os

import pytest

from checks import database
from instance import Instance
from varlink import VarlinkError

SLEEP = ["/bin/sleep", "1000"]
TRUE = ["/bin/true"]


@contextlib.contextmanager
def instance(*texts):
    i = Instance()
    os.mkdir(i.path("policy.d"), 0o755)
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
