# SPDX-License-Identifier: LGPL-2.1-or-later
"""The examples in config/policy.d, each in a daemon of its own: tasks of its subsystem go the way that the file promises.

What is changed in a file is said where it is used, and each change must apply. For all of them: hooks are the instance's, and where
this host lacks the controllers `limits` are left out; explain is asked before that.
"""

import contextlib
import os
import re

import checks
import pytest
from instance import Instance, cgroup2_mount

DIRECTORY = os.path.join(os.path.dirname(__file__), "..", "..", "..", "config", "policy.d")
HOOK = "#!/bin/sh\nexit 0\n"


def enforces_limits():
    try:
        with open(os.path.join(cgroup2_mount() or "/nonexistent", "cgroup.controllers"), encoding="ascii") as f:
            return {"memory", "pids", "cpu", "io"} <= set(f.read().split())
    except OSError:
        return False


@contextlib.contextmanager
def example(name, **query):
    """The instance with that file, and what it says of such a task."""
    i = Instance()
    with open(os.path.join(DIRECTORY, name), encoding="utf-8") as f:
        text = f.read()
    for hook in re.findall(r"/etc/reeve/hooks/(\w+)", text):
        with open(i.path("hooks", hook), "w", encoding="ascii") as f:
            f.write(HOOK)
        os.chmod(i.path("hooks", hook), 0o755)
    text = text.replace("/etc/reeve/hooks", i.path("hooks"))
    put(i, name, text)
    with i:
        explained = explain(i, **query)
        assert any(o.startswith(name + ":") for o in explained["origins"].values()), explained["origins"]
        i.example = (name, text if enforces_limits() else re.sub(r"limits: \{[^}]*\}", "limits: {}", text))
        change(i)
        try:
            yield i, explained["policy"]
        except BaseException:
            print(i.logs())
            raise


def put(i, name, text):
    os.makedirs(i.path("policy.d"), exist_ok=True)
    with open(i.path("policy.d", name), "w", encoding="utf-8") as f:
        f.write(text)


def change(i, **replaced):
    """Reloads the file with these texts, `old` to `new`, all of which must be there."""
    name, text = i.example
    for old, new in replaced.get("texts", {}).items():
        assert old in text, f"{name} has no '{old}' any more"
        text = text.replace(old, new)
    put(i, name, text)
    with i.connect() as c:
        c.call("PolicyReload")


def explain(i, **query):
    with i.connect() as c:
        return c.call("PolicyExplain", query)


def run(i, script, what, **more):
    return i.run(["/bin/sh", "-c", script], attempts=10, more=more, **what)["task_id"]


def run_wait(i, script, what, **more):
    return i.wait(run(i, script, what, **more))


def get(i, task):
    with i.connect() as c:
        return c.call("Get", {"task_id": task})["task"]


def verified(i, task):
    with i.connect() as c:
        return {v["name"]: v["passed"] for v in c.call("Verifications", {"task_id": task})["verifications"]}


def limit(i, task, file):
    """What the kernel has for the task, None where it enforces nothing."""
    if not enforces_limits():
        return None
    with open(os.path.join(cgroup2_mount(), get(i, task)["cgroup"], file), encoding="ascii") as f:
        return f.read().strip()


def cancel(i, task):
    with i.connect() as c:
        c.call("Cancel", {"task_id": task})
    assert i.wait(task)["status"] == "cancelled"


def test_healing():
    what = {"subsystem": "healing", "task_type": "playbook"}
    with example("10-healing.yaml", **what) as (i, policy):
        assert policy["limits"]["MemoryMax"] == "512M", policy
        t = run_wait(i, "echo done", what)
        assert (t["status"], t["sla_met"], t["priority"]) == ("completed", True, 7), t
        assert verified(i, t["task_id"]) == {"it exited well": True, "it said that it is done": True, "it was cheap": True}
        t = run_wait(i, "echo perhaps", what)
        assert (t["status"], t["outcome"]) == ("failed", "verification"), t
        # The pause between attempts is shorter.
        change(i, texts={"backoff: 5s": "backoff: 100ms"})
        t = run_wait(i, "[ $REEVE_ATTEMPT = 3 ] && echo done", what)
        assert (t["status"], t["attempt"]) == ("completed", 3), t
        t = run_wait(i, "exit 1", what, title="Playbook: restart web")
        assert (t["status"], t["attempts"]) == ("failed", 1), t
        # 30 and 40 seconds are fractions of one; the deadline is twice what the brief ones took that have completed.
        change(i, texts={"after: 30s": "after: 300ms", "after: 40s": "after: 600ms"})
        t = run_wait(i, "trap '' TERM; while :; do read -r _ </dev/zero; sleep 1000; done", what)
        assert (t["status"], t["outcome"], t["sla_met"]) == ("failed", "sla", False), t
        states = {s["do"]: s["state"] for s in t["ladder"]}
        assert {k: states[k] for k in ("notify", "signal", "kill")} == dict.fromkeys(("notify", "signal", "kill"), "done")
        checks.until(i, "it was escalated", lambda: get(i, f"{t['task_id']}-step2")["status"] != "pending")


def test_coding_agent():
    what = {"subsystem": "coding_agent", "task_type": "build"}
    with example("20-coding-agent.yaml", **what) as (i, policy):
        assert policy["sla"]["deadline"] == "1h"
        t = i.run_wait(["/bin/sh", "-c", "mkdir -p build; echo '{}' >build/result.json"], cwd=i.root, **what)
        assert t["status"] == "completed", t
        assert verified(i, t["task_id"]) == {"it built": True, "it left a result": True}
        t = run_wait(i, "exit 0", what)
        assert (t["status"], t["outcome"]) == ("failed", "verification"), t
        # 20 minutes and 10 minutes are a second each.
        change(i, texts={"idle_for: 20min": "idle_for: 1s", "after: 10min": "after: 1s"})
        task = run(i, "exec sleep 1000", {**what, "task_type": "edit"})
        assert limit(i, task, "memory.max") in (None, str(2 << 30))
        checks.until(i, "it is not frozen", lambda: get(i, task).get("frozen"))
        stuck = get(i, task)["stuck"]
        assert stuck["rule"] == "idle" and [s["do"] for s in stuck["ladder"]] == ["notify", "freeze"]
        cancel(i, task)


def report(i, what, metrics, **more):
    with i.connect() as c:
        task = c.call("Start", what)["task"]["task_id"]
        return c.call("Complete", {"task_id": task, "ml_metrics": metrics, **more})["task"]


def test_learning():
    what = {"subsystem": "learning", "task_type": "mission"}
    with example("30-learning.yaml", **what) as (i, policy):
        assert policy["sla"]["deadline"] == "12h" and policy["stuck"]["active_for"] == "24h"
        t = report(i, what, {"new_facts": 3}, verification_passed=True)
        assert (t["status"], t["priority"]) == ("completed", 3), t
        assert report(i, what, {"new_facts": 3})["status"] == "completed", "nobody has to say more"
        for metrics, passed in (({"new_facts": 0}, True), ({"new_facts": 3}, False), ({}, True)):
            t = report(i, what, metrics, verification_passed=passed)
            assert (t["status"], t["outcome"]) == ("failed", "verification"), (metrics, passed, t)
        # A day is two seconds.
        change(i, texts={"active_for: 24h": "active_for: 2s"})
        task = run(i, "exec sleep 1000", what)
        assert limit(i, task, "cpu.weight") in (None, "50")
        checks.until(i, "it is not stuck", lambda: "stuck" in get(i, task))
        assert get(i, task)["stuck"]["rule"] == "active"
        cancel(i, task)


def train(i, what, script, metrics):
    """Says how good it is while it runs, as its owner may."""
    gate = i.path("train")
    if not os.path.exists(gate):
        os.mkfifo(gate)
    fd = os.open(gate, os.O_RDWR | os.O_CLOEXEC)
    try:
        task = i.run(["/bin/sh", "-c", f"{script}; read -r _ <{gate}"], cwd=i.root, **what)["task_id"]
        with i.connect() as c:
            c.call("Update", {"task_id": task, "ml_metrics": metrics})
        os.write(fd, b"\n")
        return i.wait(task)
    finally:
        os.close(fd)


def test_ml_pipeline():
    what = {"subsystem": "ml_pipeline", "task_type": "train"}
    writes = "head -c 1100000 /dev/zero >model.bin"
    with example("40-ml-pipeline.yaml", **what) as (i, policy):
        assert policy["max_parallel"] == 1
        t = train(i, what, writes, {"validation_accuracy": 0.9, "model_size_mb": 1.1})
        assert t["status"] == "completed", verified(i, t["task_id"])
        assert len(verified(i, t["task_id"])) == 3
        # By now there is a history, of one brief training; the others may take as long as they need.
        change(i, texts={"deadline: forecast_p95 * 1.5": "deadline: 1d", "          fallback: 1d\n": ""})
        for script, metrics in ((writes, {"validation_accuracy": 0.7, "model_size_mb": 1.1}),
                                (writes, {"validation_accuracy": 0.9, "model_size_mb": 5000}),
                                (":", {"validation_accuracy": 0.9, "model_size_mb": 1.1})):
            t = train(i, what, script, metrics)  # the last one finds the model of those before, which is long ago
            os.utime(i.path("model.bin"), (1000, 1000))
            assert (t["status"], t.get("outcome")) == ("failed", "verification"), (script, metrics, t, verified(i, t["task_id"]))
        first = run(i, "exec sleep 1000", what)
        with i.connect() as c:
            i.submit(c, ["/bin/true"], task="second", **what)
            checks.until(i, "the second one is not there", lambda: get_or_none(i, "second"))
            assert (get(i, first)["status"], get(i, "second")["status"]) == ("active", "pending"), "one training at a time"
            cancel(i, first)
            checks.until(i, "the second one does not start", lambda: get(i, "second")["status"] != "pending")


def get_or_none(i, task):
    with contextlib.suppress(Exception):
        return get(i, task)
    return None


def test_rag():
    what = {"subsystem": "rag", "task_type": "index"}
    with example("50-rag.yaml", **what) as (i, policy):
        assert policy["sla"]["deadline"] == "6h" and policy["retry"]["attempts"] == 5
        t = run_wait(i, "exit 3", {**what, "task_type": "crawl"})
        assert (t["status"], t["exit_status"]) == ("completed", 3) and verified(i, t["task_id"]) == {"it ended well": True}, t
        t = train(i, what, ":", {"vectors_processed": 10})
        assert (t["status"], t["priority"]) == ("completed", 2), verified(i, t["task_id"])
        t = train(i, what, ":", {"vectors_processed": 0})
        assert (t["status"], t["outcome"]) == ("failed", "verification"), t
        task = run(i, "exec sleep 1000", what)
        assert limit(i, task, "pids.max") in (None, "32")
        cancel(i, task)
        # 30 seconds are one.
        change(i, texts={"deadline: 30s": "deadline: 1s"})
        t = run_wait(i, "exec sleep 1000", {**what, "task_type": "query"})
        assert (t["status"], t["outcome"], t["priority"], t["sla_met"]) == ("failed", "sla", 8, False), t


def test_remote_access():
    what = {"subsystem": "remote_access", "task_type": "shell"}
    with example("60-remote-access.yaml", **what) as (i, policy):
        assert policy["sla"]["deadline"] == "8h"
        assert explain(i, **what, created_by="oncall-jane")["policy"]["sla"]["deadline"] == "24h"
        for asked in ({"sla": "1h"}, {"priority": 1}):
            with pytest.raises(Exception, match="does not let callers choose"):
                i.run(["/bin/true"], more=asked, **what)
        # Half an hour, 5 and 6 minutes are seconds and fractions.
        change(i, texts={"idle_for: 30min": "idle_for: 1s", "after: 5min": "after: 300ms", "after: 6min": "after: 600ms"})
        t = run_wait(i, "trap '' HUP; while :; do sleep 1000; done", what)
        assert (t["status"], t["outcome"]) == ("failed", "sla") and "stuck" in t["message"], t
        assert [s["do"] for s in t["stuck"]["ladder"]] == ["escalate", "signal", "kill"]
        assert [s["state"] for s in t["stuck"]["ladder"]][1:] == ["done", "done"]


def test_chaos():
    what = {"subsystem": "chaos", "task_type": "kill_process"}
    with example("70-chaos.yaml", **what) as (i, policy):
        assert policy["sla"]["deadline"] == "1min"
        t = run_wait(i, "echo restored", what)
        assert (t["status"], t["sla_met"], t["attempts"]) == ("completed", True, 1), t
        for word, status in ((True, "completed"), (False, "failed"), (None, "failed")):
            t = report(i, {**what, "task_type": "campaign"}, {}, **({} if word is None else {"verification_passed": word}))
            assert t["status"] == status, (word, t)
        t = run_wait(i, "echo broken", what)
        assert (t["status"], t["outcome"]) == ("failed", "verification"), t
        task = run(i, "exec sleep 1000", {**what, "task_type": "fill_memory"})
        assert limit(i, task, "memory.max") in (None, str(2 << 30))
        cancel(i, task)
        # A minute is a second.
        change(i, texts={"deadline: 1min": "deadline: 1s"})
        t = run_wait(i, "exec sleep 1000", what)
        assert (t["status"], t["outcome"]) == ("failed", "sla"), t
        assert [(s["do"], s["state"]) for s in t["ladder"] if s["do"] == "kill"] == [("kill", "done")]


def test_all_are_used():
    with open(__file__, encoding="utf-8") as f:
        text = f.read()
    for name in os.listdir(DIRECTORY):
        assert f'example("{name}"' in text, f"nothing uses {name}"


@pytest.mark.skipif(enforces_limits(), reason="this host has the controllers")
def test_limits_that_this_host_lacks():
    """They are not passed over."""
    i = Instance()
    with open(os.path.join(DIRECTORY, "50-rag.yaml"), encoding="utf-8") as f:
        put(i, "50-rag.yaml", f.read())
    with i, pytest.raises(Exception, match="IOWeight|MemoryMax|TasksMax|CPUWeight"):
        i.run(["/bin/true"], subsystem="rag", task_type="index")
