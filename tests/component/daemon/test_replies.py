# SPDX-License-Identifier: LGPL-2.1-or-later
"""Every method answers what the interface definition says: each reply of a walk through all methods is held to it, by
check-replies (our own type check, which has its own tests) and to the definition that the service itself hands out.
"""

import contextlib
import json
import os
import re
import signal
import subprocess

import pytest

import spec
from instance import BUILD, Instance
from varlink import VarlinkError

CHECK = os.path.join(BUILD, "tests", "component", "daemon", "check-replies")
NOT_THERE = {"task_id": "not_there_1"}


@pytest.fixture(scope="module", name="reeve")
def the_instance():
    with Instance() as i:
        yield i


class Recorder:
    """Calls, and keeps what came as lines for check-replies."""

    def __init__(self, connection):
        self.connection = connection
        self.lines = []

    def keep(self, name, parameters):
        self.lines.append(f"{name} {json.dumps(parameters)}")
        return parameters

    def call(self, method, **parameters):
        try:
            return self.keep(method, self.connection.call(method, parameters))
        except VarlinkError as e:
            return self.keep(e.name, e.parameters)

    def stream(self, method, until, **parameters):
        """Replies until `until` says so of one, or the last."""
        for reply in self.connection.stream(method, parameters):
            self.keep(method, reply)
            if until(reply):
                return

    def names(self):
        return {line.split(" ", 1)[0] for line in self.lines}


def check(lines):
    return subprocess.run([CHECK], input="\n".join(lines), text=True, capture_output=True, check=False)


def definition(connection):
    reply = connection.call("org.varlink.service.GetInterfaceDescription", {"interface": "io.reeve.Registry"})
    return reply["description"]


def attach(recorder):
    child = subprocess.Popen(["sleep", "1000"])
    fd = spec.memfd(spec.attached("attached_1", child.pid))
    recorder.connection.send("Attach", {"spec": 0, "subsystem": "test", "task_type": "check"}, [fd])
    recorder.keep("Attach", recorder.connection.reply())
    os.close(fd)
    child.kill()
    child.wait()
    recorder.call("Wait", task_id="attached_1")


def walk(reeve, recorder):
    """One task's life, with a look at it from every side."""
    c = recorder.connection
    task = reeve.submit(c, ["/bin/sh", "-c", "echo ready; exec sleep 1000"])
    recorder.keep("Run", c.reply())
    one = {"task_id": task}
    attach(recorder)
    with reeve.connect() as other:
        live = Recorder(other)
        live.stream("Monitor", lambda r: r["topic"] == "task.usage", task_id=task, usage=True)
        recorder.lines += live.lines
    for method in ("Get", "Freeze", "Thaw", "Snapshots"):
        recorder.call(method, **one)
    recorder.call("Signal", **one, signal=int(signal.SIGCONT), whole=True)
    recorder.call("Cancel", **one, reason="enough")
    recorder.call("Wait", **one)
    recorder.call("Output", **one)
    recorder.call("Snapshots", **one)
    recorder.call("Cancel", **one)  # AlreadyFinished
    recorder.call("Get", **NOT_THERE)  # NoSuchTask
    recorder.call("List", status="asleep")  # InvalidArgument
    recorder.call("List", limit=1)
    recorder.call("Stats")
    recorder.call("Doctor")
    recorder.call("PolicyExplain", **one)
    recorder.call("PolicyExplain", subsystem="test", task_type="check")
    recorder.call("PolicyShow")
    recorder.call("PolicyReload")
    recorder.call("LogCheckpoint")
    recorder.call("Log", limit=2)
    recorder.call("Log", **{"from": 0})
    recorder.call("LogProof", entry=0)
    recorder.call("LogProof", size=1)
    recorder.call("LogProof")  # InvalidArgument
    recorder.call("Backup")
    recorder.call("Backup", **{"pass": True})
    recorder.call("Start", task_id="reported_1", subsystem="test", task_type="check", heartbeat_usec=60000000)
    recorder.call("Update", task_id="reported_1", progress=0.5, message="half", ml_metrics={"epochs_completed": 3})
    recorder.call("Complete", task_id="reported_1", resource_usage={"storage_delta_mb": -1}, result_metadata={"a": [1]})
    recorder.call("Start", task_id="reported_2", subsystem="test", task_type="check")
    recorder.call("Fail", task_id="reported_2", message="no")
    recorder.call("Publish", topic="task.completed", payload={"task_id": "published_1", "subsystem": "test", "task_type": "check"})
    recorder.call("Publish", topic="task.started", payload={"task_id": "published_1"})  # AlreadyFinished
    reeve.submit(c, ["/not/there"])
    with contextlib.suppress(VarlinkError):
        c.reply()
    late = reeve.submit(c, ["/bin/sleep", "1000"], more={"sla": "1h"})
    recorder.keep("Run", c.reply())
    recorder.call("Extend", task_id=late, by_usec=1000000)
    recorder.call("Get", task_id=late)
    recorder.call("Cancel", task_id=late)
    recorder.call("Wait", task_id=late)
    checked = reeve.submit(c, ["/bin/true"], verify=["true", "false"])
    recorder.keep("Run", c.reply())
    recorder.call("Wait", task_id=checked)
    recorder.call("Verifications", task_id=checked)
    recorder.call("Verifications", **NOT_THERE)
    good = reeve.submit(c, ["/bin/true"])
    recorder.keep("Run", c.reply())
    held = reeve.submit(c, ["/bin/true"], more={"hold": True, "after": [good], "unique": "one"})
    recorder.keep("Run", c.reply())
    recorder.call("Hold", task_id=held)
    recorder.call("Get", task_id=held)
    recorder.call("Release", task_id=held)
    recorder.call("Wait", task_id=held)
    recorder.call("Hold", task_id=held)  # AlreadyFinished
    last = recorder.call("Stats")["last_event"]
    recorder.stream("Monitor", lambda r: r.get("number", 0) >= last, since=0)


def test_every_method_keeps_its_promise(reeve):
    with reeve.connect() as c:
        recorder = Recorder(c)
        walk(reeve, recorder)
    with reeve.connect() as c:
        methods = set(re.findall(r"^method (\w+)", definition(c), re.MULTILINE))
    assert methods - recorder.names() == set(), "methods that nobody called"
    assert {"NoSuchTask", "AlreadyFinished", "InvalidArgument"} <= recorder.names()
    result = check(recorder.lines)
    assert result.returncode == 0, result.stderr


@pytest.mark.parametrize("line", [
    'Get {"task": {}}',
    'Stats {"version": 1}',
    'Cancel {"more": true}',
    'Nothing {}',
    'NoSuchTask {"field": "task_id"}',
    "Doctor {",
    "Doctor",
])
def test_the_check_can_say_no(line):
    result = check([line])
    assert result.returncode == 1 and result.stderr, f"{line} was accepted"
