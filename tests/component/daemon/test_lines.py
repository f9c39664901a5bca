# SPDX-License-Identifier: LGPL-2.1-or-later
"""The line log: a line for each event, once, whatever happens to reeved, to the file and to the disk."""

import ctypes
import os
import pwd
import re
import sqlite3
import time

import pytest

from instance import Instance
from people import Person

# Of reeved's growth. A sanitizer keeps what was freed: no measure.
MEMORY_MAX = 8 << 20 if "ASAN_OPTIONS" not in os.environ else 4 << 30
WHAT = {"subsystem": "lines", "task_type": "check"}
LINE = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z TASK-REGISTRY event=(\d+) topic=(task\.[a-z_]+) task_id=([A-Za-z0-9_-]+) (.*)\n")


def settings(instance, text):
    os.makedirs(instance.path("reeved.conf.d"), exist_ok=True)
    path = instance.path("reeved.conf.d", "test.yaml")
    with open(path, "w", encoding="ascii") as f:
        f.write(text)
    return path


def report(c, task, **more):
    c.call("Start", {**WHAT, "task_id": task, **more})
    c.call("Complete", {"task_id": task, "resource_usage": {"cpu_seconds": 1.5}})


def read(*paths):
    """(number, topic, task, rest) of each line."""
    found = []
    for path in paths:
        with open(path, encoding="utf-8") as f:
            for line in f:
                if " topic=log.begins\n" not in line:
                    m = LINE.fullmatch(line)
                    assert m, line
                    found.append((int(m[1]), m[2], m[3], m[4]))
    return found


def wait_for(path, number):
    """Until the file has the line of that event: reads it as `tail -F` would."""
    until(lambda: os.path.exists(path) and any(n >= number for n in whole(path)), f"line {number}")


def until(condition, what):
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline, what + " did not come"
        os.sched_yield()


def whole(path):
    """Numbers of the lines at its end."""
    with open(path, "rb") as f:
        f.seek(max(0, os.stat(path).st_size - 8192))
        return [int(m[1]) for m in LINE.finditer(f.read().decode())]


def stored(instance):
    db = sqlite3.connect(instance.path("registry.db"))
    try:
        return db.execute("SELECT number, topic, task_id FROM task_events WHERE task_id IS NOT NULL ORDER BY number").fetchall()
    finally:
        db.close()


def last_event(instance):
    with instance.connect() as c:
        return c.call("Stats")["last_event"]


def compare(instance, *paths):
    lines = read(*paths or [instance.path("tasks.log")])
    assert [line[:3] for line in lines] == stored(instance)
    return lines


def test_every_event_is_a_line():
    with Instance() as i:
        with i.connect() as c:
            c.call("Start", {**WHAT, "task_id": "a_1", "title": 'x"\n2026 TASK-REGISTRY event=1', "created_by": "me",
                             "metadata": {"secret": 1}, "description": "secret"})
            c.call("Update", {"task_id": "a_1", "progress": 0.5, "message": "half"})
            c.call("Fail", {"task_id": "a_1", "message": "secret", "resource_usage": {"cpu_seconds": 1.5}})
            i.run_wait(["/bin/false"])
        log = i.path("tasks.log")
        wait_for(log, last_event(i))
        lines = compare(i)
        assert [t for _, t, task, _ in lines if task == "a_1"] == ["task.created", "task.started", "task.updated", "task.failed"]
        rest = next(r for _, t, task, r in lines if (t, task) == ("task.failed", "a_1"))
        assert re.fullmatch(r'subsystem=lines task_type=check status=failed outcome=reported owner_uid=0 attempt=0 duration_seconds=\S+ '
                            r'progress=0.5 title="x\\"\\n2026 TASK-REGISTRY event=1" created_by="me" usage={"cpu_usec":1500000}', rest), rest
        assert any("exit_status=1" in r for *_, r in lines), lines
        assert "secret" not in open(log, encoding="utf-8").read()
        assert Person("nobody").does(lambda: len(open(log, encoding="utf-8").read())) > 0
        assert os.stat(log).st_mode & 0o7777 == 0o644


def test_over_restarts_without_a_gap_or_a_repeat():
    with Instance() as i:
        for n in range(8):
            with i.connect() as c:
                for k in range(20):
                    c.send("Start", {**WHAT, "task_id": f"r_{n}_{k}"})
                c.reply()
                i.kill(i.reeved)  # with events that were answered, and others that were not
            i.start_reeved()
        with i.connect() as c:
            report(c, "last")
        wait_for(i.path("tasks.log"), last_event(i))
        compare(i)


def test_what_was_missed_while_there_was_no_log():
    """Turned off by the settings, then on: it goes on behind its last line."""
    with Instance() as i:
        with i.connect() as c:
            report(c, "one")
        wait_for(i.path("tasks.log"), last_event(i))
        i.kill(i.reeved)
        off = settings(i, "line_log: {files: 0}\n")
        size = os.stat(i.path("tasks.log")).st_size
        i.start_reeved()
        with i.connect() as c:
            report(c, "two")
        assert os.stat(i.path("tasks.log")).st_size == size
        i.kill(i.reeved)
        os.unlink(off)
        i.start_reeved()
        wait_for(i.path("tasks.log"), last_event(i))
        compare(i)


def test_rotation():
    """By logrotate's rename, by a removal, by size: each event is in one of the files."""
    i = Instance()
    settings(i, "line_log: {size: 64K, files: 100}\n")
    with i:
        log = i.path("tasks.log")
        with i.connect() as c:
            report(c, "one")
            wait_for(log, last_event(i))
            os.rename(log, i.path("rotated.log"))
            report(c, "two")
            wait_for(log, last_event(i))
            first = read(i.path("rotated.log"))
            assert {t for *_, t, _ in first} == {"one"} and {t for *_, t, _ in read(log)} == {"two"}
            with open(log, encoding="ascii") as f:
                assert f" TASK-REGISTRY after={first[-1][0]} topic=log.begins\n" in f.readline()
            for n in range(2000):
                c.send("Start", {**WHAT, "task_id": f"n_{n}", "title": "t" * 100})
            for n in range(2000):
                c.reply()
        i.kill(i.reeved)
        i.start_reeved()
        wait_for(log, last_event(i))
        old = sorted((f for f in os.listdir(i.path()) if f.startswith("tasks.log.")), key=lambda f: -int(f.rsplit(".", 1)[1]))
        assert len(old) >= 2, old
        compare(i, i.path("rotated.log"), *(i.path(f) for f in old), log)


def test_another_database():
    """An older copy is put in its place: the log goes on with what happens from then on."""
    with Instance() as i:
        with i.connect() as c:
            c.call("Backup", {"path": i.path("old.db")})
            for n in range(10):
                report(c, f"gone_{n}")
        wait_for(i.path("tasks.log"), last_event(i))
        i.kill(i.reeved)
        for name in ("registry.db-wal", "registry.db-shm"):
            if os.path.exists(i.path(name)):
                os.unlink(i.path(name))
        os.replace(i.path("old.db"), i.path("registry.db"))
        i.start_reeved()
        with i.connect() as c:
            report(c, "new")
            number = c.call("Stats")["last_event"]
        until(lambda: read(i.path("tasks.log"))[-1][0] == number, "the last event")
        assert [t for *_, t, _ in read(i.path("tasks.log"))[-3:]] == ["new"] * 3


@pytest.fixture(name="small_disk")
def a_small_disk(tmp_path):
    libc = ctypes.CDLL(None, use_errno=True)
    place = tmp_path / "small"
    place.mkdir()
    if libc.mount(b"tmpfs", str(place).encode(), b"tmpfs", 0, b"size=256k,mode=777") != 0:
        pytest.fail("cannot mount a tmpfs: " + os.strerror(ctypes.get_errno()))
    yield place
    libc.umount2(str(place).encode(), 2)


def live(c, numbers):
    for n in numbers:
        c.send("Start", {**WHAT, "task_id": f"full_{n}"})
        c.send("Complete", {"task_id": f"full_{n}"})
        if n % 100 == 99:
            for _ in range(200):
                c.reply()


def memory(pid):
    with open(f"/proc/{pid}/status", encoding="ascii") as f:
        return int(re.search(r"VmRSS:\s+(\d+) kB", f.read())[1]) << 10


def test_full_disk(small_disk):
    """Nothing waits for the log; what did not fit is written when there is room."""
    libc = ctypes.CDLL(None, use_errno=True)
    with Instance() as i:
        log = i.path("tasks.log")
        i.kill(i.reeved)
        target = small_disk / "tasks.log"
        target.touch()
        os.chown(target, pwd.getpwnam("reeve").pw_uid, -1)
        # One file of the instance on another disk.
        assert libc.mount(str(target).encode(), log.encode(), None, 4096, None) == 0, os.strerror(ctypes.get_errno())
        try:
            i.start_reeved()
            with i.connect() as c:
                filler = small_disk / "filler"
                filler.write_bytes(b"x" * (200 << 10))
                live(c, range(4000))
                assert "cannot be written" in i.logs(), i.logs()
                rss = memory(i.reeved.process.pid)
                live(c, range(4000, 8000))
                assert memory(i.reeved.process.pid) - rss < MEMORY_MAX
            filler.unlink()
            assert libc.mount(None, str(small_disk).encode(), None, 32, b"size=64m") == 0, os.strerror(ctypes.get_errno())
            wait_for(log, last_event(i))
            compare(i)
        finally:
            i.kill(i.reeved)
            libc.umount2(log.encode(), 2)

