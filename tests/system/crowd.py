# SPDX-License-Identifier: LGPL-2.1-or-later
"""Many tasks of the installed instance, of all backends, that run until they are told to end; and what must be true of them
afterwards, whatever was restarted meanwhile. Over varlink: in user-mode Linux, each start of a program counts.

Nothing here sleeps: ends come by Wait, by pidfd and by what a FIFO lets through."""

import collections
import contextlib
import os
import re
import sqlite3
import subprocess
import tempfile
import threading

import spec
from check import equal
from installed import ENVIRONMENT, sh
from varlink import ConnectionLost, Varlink, VarlinkError

SOCKET = "/run/reeve/io.reeve.Registry"
DATABASE = "/var/lib/reeve/registry.db"
RECORDS = "/run/reeve/tasks"
SCOPE_EACH = 4  # one task of so many is a unit of systemd
PATIENCE = 120.0
LOST = (ConnectionLost, ConnectionError, FileNotFoundError)

Member = collections.namedtuple("Member", "status gate backend")


def connect():
    return Varlink(SOCKET, timeout=PATIENCE)


def call(method, **parameters):
    with connect() as c:
        return c.call(method, parameters)


class Crowd:
    def __init__(self, name, directory="/run"):
        self.name = name
        self.directory = tempfile.mkdtemp(prefix=f"{name}-", dir=directory)
        self.members, self.begun, self.asked = {}, 0, []

    # starting

    def submit(self, c, argv, more=None):
        """Sends Run for a new task; the id."""
        task = f"crowd_{self.name}_{self.begun}"
        self.begun += 1
        self.send(c, task, argv, more)
        return task

    @staticmethod
    def send(c, task, argv, more=None):
        fd = spec.memfd(spec.text(task, argv))
        try:
            c.send("Run", {"spec": 0, "subsystem": "crowd", "task_type": "member", **(more or {})}, [fd])
        finally:
            os.close(fd)

    def start(self, n):
        """So many more that run; their ids."""
        ids = []
        with connect() as c:
            for _ in range(n):
                number = self.begun
                gate = f"{self.directory}/{number}"
                os.mkfifo(gate)
                status = number % 200
                scope = number % SCOPE_EACH == 1
                # Opening for reading and writing never blocks, so the gate may be opened before or after the task came to it.
                task = self.submit(c, ["sh", "-c", f'echo "$REEVE_TASK_ID" >>{self.directory}/runs; read -r line <>{gate}; '
                                       f"exit {status}"], {"backend": "scope"} if scope else None)
                fd = os.open(gate, os.O_RDWR | os.O_CLOEXEC)
                self.members[task] = Member(status, fd, "scope" if scope else "cgroup")
                ids.append(task)
            for task in ids:
                equal(f"status of {task} after exec", c.reply()["task"]["status"], "active")
        return ids

    # ending

    def end(self, ids):
        for task in ids:
            os.write(self.members[task].gate, b"go\n")

    @staticmethod
    def keepers(ids):
        """A pidfd of the keeper of each, the parent of its main process."""
        fds = []
        with connect() as c:
            for task in ids:
                pid = c.call("Get", {"task_id": task})["task"]["pid"]
                with open(f"/proc/{pid}/stat", encoding="ascii") as f:
                    fds.append(os.pidfd_open(int(f.read().rsplit(")", 1)[1].split()[1])))
        return fds

    def runs(self):
        with open(f"{self.directory}/runs", encoding="ascii") as f:
            return collections.Counter(f.read().split())

    def check(self, ids):
        """Waits for their ends: each its own, with an account by the kernel, after one run. Their rows, without those that are
        known to be right."""
        runs = self.runs()
        with connect() as c:
            for task in ids:
                c.send("Wait", {"task_id": task})
            rows = {task: c.reply()["task"] for task in ids}
        for task, row in rows.items():
            n = self.members[task].status
            got = {k: row.get(k) for k in ("status", "outcome", "exit_status", "attempt", "backend")}
            expected = {"status": "failed" if n else "completed", "outcome": "exit-code" if n else None, "exit_status": n,
                        "attempt": 1, "backend": self.members[task].backend}
            equal(f"{task} ({row.get('message')})", got, expected)
            equal(f"source of the CPU time of {task}", row["usage_sources"].get("cpu_usec"), "kernel-final")
            assert row["created_at"] <= row["started_at"] <= row["completed_at"], f"times of {task}: {row}"
            equal(f"times that {task} ran", runs[task], 1)
            os.close(self.members.pop(task).gate)
        check_database(rows)
        return rows

    # asking meanwhile

    def ask(self, n, until):
        """In a thread: runs `n` short tasks, one after the other, and more of them while `until` is not set. What answers
        Unavailable is counted; a lost connection is what a client expects of a restart, and asks again."""
        result = {"unavailable": 0, "lost": 0, "tasks": []}

        def run(task):
            while True:
                try:
                    with connect() as c:
                        self.send(c, task, ["true"])
                        return c.reply()
                except LOST:
                    result["lost"] += 1
                except VarlinkError as e:
                    if e.name != "Unavailable":
                        raise
                    result["unavailable"] += 1

        def work():
            try:
                for i in range(1000):
                    if i >= n and until.is_set():
                        break
                    task = f"asker_{self.name}_{len(self.asked)}"
                    self.asked.append(task)
                    result["tasks"].append(task)
                    run(task)
            except BaseException as e:  # pylint: disable=broad-except
                result["error"] = e

        thread = threading.Thread(target=work)
        thread.start()
        return thread, result


def check_asked(thread, result):
    """All that were asked for have run, once each."""
    thread.join(PATIENCE)
    assert not thread.is_alive(), f"a request is not answered: {result}"
    if "error" in result:
        raise result["error"]
    for task in result["tasks"]:
        row = call("Wait", task_id=task)["task"]
        equal(task, (row["status"], row["attempt"], row.get("exit_status")), ("completed", 1, 0))


def check_database(rows):
    """It says what Wait said: one attempt each, no specification kept, each event once and in order."""
    with contextlib.closing(sqlite3.connect(f"file:{DATABASE}?mode=ro", uri=True, timeout=PATIENCE)) as db:
        for task, row in rows.items():
            status, completed = db.execute("SELECT status, completed_at FROM task_registry WHERE task_id = ?", [task]).fetchone()
            equal(f"row of {task}", (status, completed), (row["status"], row["completed_at"]))
            attempts = db.execute("SELECT attempt, ended_at FROM task_attempts WHERE task_id = ?", [task]).fetchall()
            equal(f"attempts of {task}", attempts, [(row["attempt"], row["completed_at"])] if row["attempt"] else [])
            kept = db.execute("SELECT count(*) FROM task_specs WHERE task_id = ?", [task]).fetchone()[0]
            equal(f"specifications of {task} that are kept", kept, 0)
            topics = [t for t, in db.execute("SELECT topic FROM task_events WHERE task_id = ? ORDER BY number", [task])
                      if t in ("task.created", "task.started", f"task.{row['status']}")]
            expected = ["task.created", "task.started", f"task.{row['status']}"]
            assert topics in (expected, [expected[0], expected[2]]), f"events of {task}: {topics}"


def open_tasks():
    """Ids that the registry says have not ended."""
    with connect() as c:
        return sorted(t["task_id"] for status in ("pending", "active", "verifying")
                      for t in c.call("List", {"status": status, "limit": 1000})["tasks"])


def left_behind():
    """What should go with a task: records, cgroups, scopes, keepers."""
    cgroups = [os.path.join(d, n) for d, names, _ in os.walk("/sys/fs/cgroup") if "reeve" in d for n in names
               if re.search(r"\.\d+$|-\d+\.scope$", n)]
    scopes = [line.split()[0] for line in sh("systemctl", "list-units", "--all", "--full", "--plain", "--no-legend",
                                              "--type=scope", "reeve-*").splitlines()]
    keepers = sh("pgrep", "-x", "reeve-keeper", check=False)[1].split()
    return {"records": sorted(os.listdir(RECORDS)), "cgroups": cgroups,
            "scopes": [s for s in scopes if s != "reeve-pool.scope"], "keepers": keepers}


def check_nothing_left(running=()):
    """Nothing but what belongs to tasks that run, after the moment that a keeper takes to go."""
    expected = sorted(f"{task}.1" for task in running)
    for _ in range(100):
        left = left_behind()
        if left["records"] == expected and len(left["keepers"]) == len(running) == len(left["cgroups"]):
            break
        call("Stats")
    equal("records", left["records"], expected)
    equal("number of cgroups and keepers", (len(left["cgroups"]), len(left["keepers"])), (len(running), len(running)))
    assert len(left["scopes"]) <= len(running), f"scopes: {left['scopes']}"


def popen(*argv):
    return subprocess.Popen(argv, env=ENVIRONMENT, stdin=subprocess.DEVNULL)
