# SPDX-License-Identifier: LGPL-2.1-or-later
"""Deadlines on the bus: what a ladder does is told in its order, a deadline is moved, and who is stuck is told of."""

import json
import os

import pytest

from dbus import DBusError
from registry import OBJECT, SLEEP, call, get, run, watch

POLICY = """
version: 1
subsystems:
  timed:
    task_types:
      late:
        sla:
          deadline: 600ms
          from: started
          ladder:
            - {at: 50%, do: notify}
            - {at: 100%, do: freeze}
            - {at: 100%, after: 200ms, do: signal, signal: SIGUSR1}
            - {at: 100%, after: 400ms, do: kill}
      said:
        sla: {deadline: 300ms, ladder: [{at: 100%, do: kill}]}
      patient:
        sla: {deadline: 1h, ladder: [{at: 100%, do: kill}]}
        overrides: {sla: allow}
      firm:
        sla: {deadline: 1h}
      resting:
        stuck: {active_for: 1s, ladder: [{do: notify}]}
"""


@pytest.fixture(name="late", autouse=True)
def the_policy(c, reeve):
    file = reeve.path("policy.d", "20-timed.yaml")
    with open(file, "w", encoding="utf-8") as f:
        f.write(POLICY)
    call(c, "ReloadPolicy")
    yield
    os.unlink(file)
    call(c, "ReloadPolicy")


def timed(task_type):
    return {"subsystem": ("s", "timed"), "task_type": ("s", task_type)}


def until(c, task, *members):
    """The signals about a task, up to one of these."""
    got = []
    while not got or got[-1].member not in members:
        got.append(c.signal(lambda m: m.path == OBJECT and m.body[0] == task))
    return got


def steps(messages):
    """(signal, what was done, state) of those that tell of a step; each says when it was due and how late."""
    told = [(m, json.loads(m.body[-1]["ladder_step"])) for m in messages if "ladder_step" in m.body[-1]]
    for _, s in told:
        assert s["due_at"] <= s["fired_at"] and s["lateness_usec"] >= 0, s
    return [(m.member, s["do"], s["state"]) for m, s in told]


def test_what_a_ladder_does_is_told(c):
    watch(c)
    task, _ = run(c, ["/bin/sh", "-c", "trap '' USR1; while :; do sleep 1000; done"], options=timed("late"))
    got = until(c, task, "TaskFailed")
    assert steps(got) == [("SlaWarning", "notify", "done"), ("SlaViolated", "deadline", "done"), ("SlaStep", "freeze", "done"),
                          ("SlaStep", "signal", "done"), ("SlaStep", "kill", "done")], steps(got)
    assert [m.member for m in got][:2] == ["TaskCreated", "TaskStarted"]
    assert (got[-1].body[1], got[-1].body[-1]["sla_met"]) == ("sla", False)
    for m in got:
        assert not {"argv", "message", "cwd"} & set(m.body[-1]), m


def test_of_what_is_only_reported_too(c):
    watch(c)
    task = call(c, "StartTask", timed("said"))[0]
    got = until(c, task, "TaskFailed")
    assert steps(got) == [("SlaViolated", "deadline", "done"), ("SlaStep", "kill", "done")], steps(got)
    assert got[-1].body[1] == "sla"


def test_a_deadline_is_moved(c):
    task, _ = run(c, SLEEP, options=timed("patient"))
    try:
        before = get(c, task)["sla_deadline"]
        call(c, "ExtendTask", task, 90 * 10**6)
        assert get(c, task)["sla_deadline"] == before + 90 * 10**6
        for by in (0, 1 << 63):
            with pytest.raises(DBusError, match="by_usec") as e:
                call(c, "ExtendTask", task, by)
            assert e.value.name == "io.reeve.Error.InvalidArgument"
    finally:
        call(c, "CancelTask", task, "")


def test_what_has_no_deadline_is_not_moved(c):
    task, _ = run(c, SLEEP)
    try:
        with pytest.raises(DBusError, match="deadline") as e:
            call(c, "ExtendTask", task, 10**6)
        assert e.value.name == "io.reeve.Error.InvalidArgument"
    finally:
        call(c, "CancelTask", task, "")


def test_who_is_stuck_is_told_of(c):
    watch(c)
    task, _ = run(c, SLEEP, options=timed("resting"))
    try:
        got = until(c, task, "TaskStuck")
        stuck = json.loads(got[-1].body[-1]["stuck"])
        assert stuck["rule"] == "active" and not {"processes", "output"} & set(stuck), stuck
        assert steps(until(c, task, "TaskUpdated")) == [("TaskUpdated", "notify", "done")]
    finally:
        call(c, "CancelTask", task, "")
