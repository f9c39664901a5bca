# SPDX-License-Identifier: LGPL-2.1-or-later
"""What must be true of a task, whatever was killed meanwhile, and of an instance when its tasks have ended."""

import contextlib
import functools
import os
import sqlite3
import struct
import time

from instance import Instance
from varlink import ConnectionLost, VarlinkError

PATIENCE = 30.0

# Appends its name, waits at the gate, uses some CPU, says something, and ends in a way that is not the default.
TASK = """
echo "$REEVE_TASK_ID.$REEVE_ATTEMPT" >>{root}/runs
read -r _ <{root}/gate
i=0; while [ $i -lt 3000 ]; do i=$((i+1)); done
echo out; exit 7
"""
OUTPUT = b"out\n"


class Gate:
    """A FIFO at which tasks wait until the test opens it."""

    def __init__(self, i):
        path = i.path("gate")
        os.mkfifo(path)
        self.fd = os.open(path, os.O_RDWR | os.O_CLOEXEC)

    def open(self):
        os.write(self.fd, b"\n")

    def close(self):
        os.close(self.fd)


def until(i, what, condition):
    """Repeats round trips to reeved until the condition holds; each is an event for all whom we wait for."""
    deadline = time.monotonic() + PATIENCE
    with i.connect() as c:
        while not condition():
            assert time.monotonic() < deadline, f"{what}: not within {PATIENCE} s"
            c.call("Stats")


def run_again(i, argv, task, **kwargs):
    """Run until it is answered: what a client does whose connection was lost. Returns the task."""
    deadline = time.monotonic() + PATIENCE
    while True:
        assert time.monotonic() < deadline, f"{task}: Run was not answered within {PATIENCE} s"
        with contextlib.suppress(ConnectionLost, ConnectionError, FileNotFoundError), i.connect(timeout=PATIENCE) as c:
            try:
                return i.run(argv, connection=c, task=task, **kwargs)
            except VarlinkError as e:
                if e.name != "Unavailable":
                    raise


def database(i):
    c = sqlite3.connect(f"file:{i.path('registry.db')}?mode=ro", uri=True, timeout=PATIENCE)
    c.row_factory = sqlite3.Row
    return contextlib.closing(c)


@functools.lru_cache(maxsize=None)
def kernel_keeps_status():
    """Does the kernel tell the status of a reaped process to who holds a pidfd of it (PIDFD_INFO_EXIT, Linux 6.15)?"""
    import fcntl

    pid = os.fork()
    if pid == 0:
        os._exit(7)
    fd = os.pidfd_open(pid)
    os.waitpid(pid, 0)
    try:
        data = bytearray(struct.pack("QQIII8Ii", 1 << 3, *[0] * 13))
        fcntl.ioctl(fd, 3 << 30 | len(data) << 16 | 0xFF << 8 | 11, data)
        return bool(struct.unpack_from("Q", data)[0] & 1 << 3)
    except OSError:
        return False
    finally:
        os.close(fd)


@functools.lru_cache(maxsize=None)
def reference():
    """The task as it ends here when nobody disturbs it: it says what this host can account for."""
    with Instance() as i:
        gate = Gate(i)
        gate.open()
        t = i.run_wait(["/bin/sh", "-c", TASK.format(root=i.root)])
        gate.close()
    assert (t["status"], t.get("outcome"), t.get("exit_status")) == ("failed", "exit-code", 7)
    return t


# What only the parent of the main process sees; it is nobody's to tell when keeper and launcher died together.
PARENTS_FIELDS = {"rusage", "procfs"}


def check_account(t, orphaned=False, cpu=True, removed=False):
    """With `removed` its cgroup may have gone before anybody read it: what the parent knows, or nothing, is right."""
    wanted = reference()["usage_sources"]
    sources = t["usage_sources"]
    if removed:
        assert sources.get("cpu_usec") in ("kernel-final", "rusage") or orphaned, f"sources: {sources}"
        wanted, cpu = {}, False
        if "cpu_usec" not in sources:
            return
    for field, source in wanted.items():
        if orphaned and source in PARENTS_FIELDS:
            continue
        if source == "kernel":  # a sample met the undisturbed task by chance
            continue
        assert sources.get(field) == source, f"{field}: source is {sources.get(field)}, undisturbed it is {source}"
    least = reference()["usage"]["cpu_usec"] / 5 if cpu else 1
    assert t["usage"]["cpu_usec"] >= least, "the CPU time is too short for the work"
    assert t["duration_seconds"] > 0
    assert t["created_at"] <= t["started_at"] <= t["completed_at"]


def check_end(t, lost_is_right=False):
    end = t["status"], t.get("outcome"), t.get("exit_status")
    if lost_is_right and t["status"] == "lost":
        assert end == ("lost", "exit-unknown", None)
        return
    assert end == ("failed", "exit-code", 7), f"{end}, message {t.get('message')}"
    assert t["attempt"] == 1


def check_row(i, t):
    """The database says what Get says."""
    with database(i) as db:
        row = db.execute("SELECT * FROM task_registry WHERE task_id = ?", [t["task_id"]]).fetchone()
        attempts = db.execute("SELECT * FROM task_attempts WHERE task_id = ?", [t["task_id"]]).fetchall()
        specs = db.execute("SELECT count(*) FROM task_specs WHERE task_id = ?", [t["task_id"]]).fetchone()[0]
        topics = db.execute("SELECT topic FROM task_events WHERE task_id = ? ORDER BY number", [t["task_id"]])
        topics = [r[0].removeprefix("task.") for r in topics]
    assert row, f"{t['task_id']} was acknowledged and is not in the database"
    for field in ("status", "attempt", "exit_status", "created_at", "started_at", "completed_at", "owner_uid"):
        assert row[field] == t.get(field), f"{field}: the row has {row[field]}, Get answers {t.get(field)}"
    for field, value in t["usage"].items():
        assert row[field] == value, f"{field}: the row has {row[field]}, Get answers {value}"
    assert specs == 0, "the specification, with its environment, is still in the database"
    assert [a["attempt"] for a in attempts] == [1]
    assert attempts[0]["ended_at"] == row["completed_at"]
    assert topics in (["created", "started", t["status"]], ["created", t["status"]]), f"events: {topics}"


def check_events(i):
    """Monitor repeats what is in the database, each number once and in order."""
    with database(i) as db:
        wanted = [(r["number"], r["topic"]) for r in db.execute("SELECT * FROM task_events ORDER BY number")]
    seen = []
    with i.connect() as c:
        for reply in c.stream("Monitor", {"since": 0}):
            seen.append((reply["number"], reply["topic"]))
            if len(seen) == len(wanted):
                break
    assert seen == wanted
    assert len({n for n, _ in seen}) == len(seen), f"a number was used twice: {seen}"


def wait_for_event(i, topic):
    """Until an event of this topic has been committed, ever."""
    with i.connect() as c:
        for reply in c.stream("Monitor", {"since": 0}):
            if reply["topic"] == topic:
                return


def runs(i):
    with contextlib.suppress(FileNotFoundError), open(i.path("runs"), encoding="ascii") as f:
        return f.read().splitlines()
    return []


def check_nothing_left(i):
    until(i, "keepers are left", lambda: not i.keepers())
    until(i, "records are left", lambda: not i.records())
    until(i, "cgroups are left", lambda: not i.leaves())
    assert i.processes() == [], "processes are left"
