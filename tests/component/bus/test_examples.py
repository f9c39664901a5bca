# SPDX-License-Identifier: LGPL-2.1-or-later
"""The examples of docs/dbus.md do what they say: each is run against a real instance that has the task they name."""

import os
import re
import select
import shlex
import shutil
import subprocess
import time

import pytest

from conftest import NAME, SOURCE
from registry import SLEEP, call, ended, get, run, watch

TASK = "backup_nightly_01j9"
SILENT = ("UpdateTask", "CompleteTask", "FreezeTask", "ThawTask", "ReloadPolicy", "SignalTask", "ExtendTask")

with open(os.path.join(SOURCE, "docs", "dbus.md"), encoding="utf-8") as doc:
    BLOCKS = re.findall(r"^```sh( follow)?\n(.*?)^```", doc.read(), re.S | re.M)
COMMANDS = [line for follow, block in BLOCKS if not follow for line in block.splitlines()]
FOLLOWING = [line for follow, block in BLOCKS if follow for line in block.splitlines()]


def prepare(line, bus):
    """The first name in a command is the destination: ours has another."""
    argv = shlex.split(line.replace("io.reeve.Registry1", NAME, 1) if "monitor --match" not in line else line)
    if not shutil.which(argv[0]):
        pytest.skip(f"no {argv[0]} here")
    return argv, {**os.environ, "DBUS_SYSTEM_BUS_ADDRESS": bus.address, "LC_ALL": "C", "PAGER": "cat"}


@pytest.fixture(scope="module", name="task")
def the_task_of_the_examples(bus, reeve):
    with bus.connect() as c:
        run(c, SLEEP, task=TASK, options={"subsystem": ("s", "backup"), "sla": ("s", "1h")})
        yield TASK
        if get(c, TASK)["status"] == "active":
            call(c, "CancelTask", TASK, "")


@pytest.mark.parametrize("line", FOLLOWING)
def test_what_follows_shows_signals(bus, c, task, line):
    argv, environment = prepare(line, bus)
    with subprocess.Popen(["stdbuf", "-oL", *argv], env=environment, stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT) as p:
        read_until(p, b"onitoring", line)
        if argv[0] == "gdbus":
            read_until(p, b"is owned by", line)
        run(c, ["/bin/true"])
        read_until(p, b"TaskCompleted", line)
        p.terminate()


def read_until(process, words, line):
    deadline, text = time.monotonic() + 20, b""
    poll = select.poll()
    poll.register(process.stdout, select.POLLIN)
    while words not in text:
        left = deadline - time.monotonic()
        data = os.read(process.stdout.fileno(), 65536) if left > 0 and poll.poll(left * 1000) else b""
        assert data, f"{line}: expected '{words}', got {text}"
        text += data


@pytest.mark.parametrize("line", COMMANDS)
def test_command(bus, c, task, line):
    argv, environment = prepare(line, bus)
    watch(c)
    done = subprocess.run(argv, env=environment, capture_output=True, text=True, timeout=30)
    assert done.returncode == 0, f"{line}: status {done.returncode}: {done.stderr}"
    assert done.stdout or any(name in line for name in SILENT), f"{line} said nothing"
    if "CancelTask" in line:
        assert ended(c, task).member == "TaskCancelled"
    elif TASK in line or "tree" in line:
        assert get(c, task)["status"] == "active"


def test_there_are_examples():
    assert len(COMMANDS) > 10 and len(FOLLOWING) == 2, (COMMANDS, FOLLOWING)
