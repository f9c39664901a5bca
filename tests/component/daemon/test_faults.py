# SPDX-License-Identifier: LGPL-2.1-or-later
"""What the host does to us: full disks, a file system that is read-only, a damaged database, a second daemon.

Tiny file systems are mounted in a mount namespace of this process's own, so that nothing of it can stay behind.
"""

import contextlib
import ctypes
import os
import sqlite3
import subprocess
import tempfile
import time

import pytest

from instance import LAUNCHER, REEVED, Instance
from people import Person
from varlink import Varlink, VarlinkError

SOON = 20.0
CLONE_NEWNS, MS_REC, MS_PRIVATE, MS_REMOUNT, MS_RDONLY, MNT_DETACH = 0x20000, 0x4000, 1 << 18, 0x20, 1, 2

libc = ctypes.CDLL(None, use_errno=True)


def check(result):
    if result != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))


@pytest.fixture(scope="module", autouse=True)
def private_mounts():
    try:
        check(libc.unshare(CLONE_NEWNS))
        check(libc.mount(b"none", b"/", None, MS_REC | MS_PRIVATE, None))
    except OSError as e:
        pytest.skip(f"no mount namespace can be made here: {e}")


@pytest.fixture(name="place")
def a_place():
    """A directory that everybody may enter, with a short name: that of a socket below it has a limit."""
    with tempfile.TemporaryDirectory(prefix="reeve-f-", ignore_cleanup_errors=True) as d:
        os.chmod(d, 0o755)
        yield d


@pytest.fixture(name="mount")
def mounts(place):
    """Mounts a tmpfs of so many bytes; unmounted after the test."""
    done = []

    def mount(path, size):
        os.makedirs(path, exist_ok=True)
        check(libc.mount(b"tmpfs", str(path).encode(), b"tmpfs", 0, f"size={size},mode=755".encode()))
        done.append(path)
        return path
    yield mount
    for path in reversed(done):
        libc.umount2(str(path).encode(), MNT_DETACH)


class Filler:
    """Fills the file system of a directory to the last byte."""

    def __init__(self, directory):
        self.path = os.path.join(directory, "filler")
        with open(self.path, "wb", buffering=0) as f:
            for size in (1 << 20, 4096, 1):
                with contextlib.suppress(OSError):
                    while f.write(bytes(size)) == size:
                        pass

    def remove(self):
        os.unlink(self.path)


@pytest.fixture(name="gate")
def a_gate(tmp_path):
    """A FIFO: reading it ends when the test closes the writing end. (Readable for everybody.)"""
    path = tmp_path / "gate"
    os.mkfifo(path, 0o666)
    fd = os.open(path, os.O_RDWR)

    class Gate:
        command = ["/bin/sh", "-c", f"read -r x <{path}; exit 7"]

        @staticmethod
        def open():
            os.write(fd, b"\n" * 100)
    yield Gate
    os.close(fd)


def until(what, condition, timeout=SOON):
    deadline = time.monotonic() + timeout
    while not condition():
        assert time.monotonic() < deadline, f"{what}: not within {timeout} s"


def assert_refused(call, name, text=""):
    with pytest.raises(VarlinkError) as caught:
        call()
    assert caught.value.name == name, str(caught.value)
    assert text in caught.value.parameters["message"], str(caught.value)
    return caught.value


def fill_until_refused(i, prefix, limit=300):
    """Runs until new work is refused: what the log of the database still has room for is accepted."""
    for n in range(limit):
        task = f"{prefix}-{n}"
        try:
            i.run(["/bin/true"], task=task, more={"metadata": {"m": "m" * 60000}})
        except VarlinkError as e:
            return task, e
    raise AssertionError(f"{limit} tasks were accepted with a full disk")


# --- full disks ----------------------------------------------------------------------------------------------------

def test_full_disk_for_the_database(mount, place, gate):
    i = Instance(base=mount(place, 12 << 20))
    try:
        mount(i.path("tasks"), 4 << 20)
        mount(i.path("output"), 4 << 20)
        i.start()
        running = [i.run(gate.command)["task_id"] for _ in range(3)]
        disk = Filler(i.root)
        refused, error = fill_until_refused(i, "full")
        assert error.name == "Unavailable" and "full" in error.parameters["message"], str(error)
        assert error.parameters.get("errno") == 28
        with i.connect(timeout=SOON) as c:
            assert_refused(lambda: c.call("Get", {"task_id": refused}), "NoSuchTask")
            for task in running:
                assert c.call("Get", {"task_id": task})["task"]["status"] == "active", "running tasks go on"
        assert f"{refused}.1" not in i.records()

        waiting = i.connect(timeout=SOON)
        waiting.send("Wait", {"task_id": running[0]})
        gate.open()
        until("the tasks end", lambda: not [p for p in i.processes() if p not in i.keepers()])
        with i.connect(timeout=SOON) as c:
            for _ in range(20):
                c.call("List", {"status": "active"})
        assert set(f"{t}.1" for t in running) <= set(i.records()), "records wait until their end is stored"
        assert not waiting.readable(0), "an end was told that is not durable"

        disk.remove()
        assert waiting.reply()["task"]["exit_status"] == 7, i.logs()
        waiting.close()
        for task in running:
            t = i.wait(task)
            assert (t["status"], t["exit_status"]) == ("failed", 7) and t["usage"], t
        assert i.run_wait(["/bin/true"])["status"] == "completed", "there is room: new work is taken"
        until("the records go", lambda: i.records() == [])
    finally:
        i.close()


def test_killed_while_the_disk_is_full(mount, place, gate):
    i = Instance(base=mount(place, 12 << 20))
    try:
        mount(i.path("tasks"), 4 << 20)
        mount(i.path("output"), 4 << 20)
        i.start()
        task = i.run(gate.command)["task_id"]
        disk = Filler(i.root)
        fill_until_refused(i, "full")
        gate.open()
        until("the task ends", lambda: not [p for p in i.processes() if p not in i.keepers()])
        i.kill(i.reeved)

        i.start_reeved(ready=False)
        if not i.reeved.wait_ready(SOON):
            assert i.reeved.end(0) not in (0, -6, -11)
            assert "No space" in i.logs() or "full" in i.logs(), i.logs()
        i.kill(i.reeved)
        disk.remove()
        i.start_reeved()
        t = i.wait(task)
        assert (t["status"], t["exit_status"]) == ("failed", 7) and t["usage"], t
    finally:
        i.close()


def test_full_file_system_for_records(mount, place):
    """Nothing can be claimed: refused, and nothing of it is left."""
    i = Instance(base=place)
    try:
        mount(i.path("tasks"), 128 << 10)
        i.start()
        disk = Filler(i.path("tasks"))
        e = assert_refused(lambda: i.run(["/bin/true"], task="no-room"), "Unavailable", "No space")
        assert e.parameters.get("message")
        assert i.records() == ["filler"] and i.leaves() == [] and i.spent() == 0
        t = i.wait("no-room")
        assert t["status"] == "failed" and "No space" in t["message"], t
        disk.remove()
        assert i.run_wait(["/bin/true"])["status"] == "completed"
    finally:
        i.close()


def test_full_file_system_for_output(mount, place):
    """The task's own write fails; its account does not."""
    i = Instance(base=place)
    try:
        mount(i.path("output"), 64 << 10)
        i.start()
        t = i.run_wait(["/bin/sh", "-c", "head -c 1000000 /dev/zero"])
        assert (t["status"], t["outcome"]) == ("failed", "exit-code"), t
        assert 0 < len(i.output(t["task_id"])) <= 64 << 10
        assert t["usage"]
    finally:
        i.close()


# --- what cannot be written ----------------------------------------------------------------------------------------

def start_reeved_alone(root, timeout=60):
    """As user reeve, with its log in a pipe: (exit status, log)."""
    reeve = Person("reeve")
    done = subprocess.run([REEVED, f"--root={root}"], user=reeve.uid, group=reeve.gid, extra_groups=[], text=True,
                          capture_output=True, timeout=timeout, check=False, env={"PATH": "/usr/bin:/bin"})
    return done.returncode, done.stderr


def test_read_only_file_system(mount, place):
    i = Instance(base=mount(place, 12 << 20))
    try:
        i.start()
        i.run_wait(["/bin/true"])
        i.kill(i.reeved, number=15)
        before = tree(i.root)
        i.kill(i.launcher, number=15)
        i.wait_for_keepers()
        check(libc.mount(b"tmpfs", place.encode(), b"tmpfs", MS_REMOUNT | MS_RDONLY, b"mode=755"))
        status, log = start_reeved_alone(i.root)
        assert status > 0, (status, log)
        assert i.root in log and "Read-only file system" in log, log
        assert len(log.splitlines()) <= 3, log
        done = subprocess.run([LAUNCHER, f"--root={i.root}"], text=True, capture_output=True, timeout=60, check=False)
        assert done.returncode > 0 and "Read-only file system" in done.stderr, done.stderr
        check(libc.mount(b"tmpfs", place.encode(), b"tmpfs", MS_REMOUNT, b"mode=755"))
        assert {n: v for n, v in tree(i.root).items() if n.endswith(".db")} == {
            n: v for n, v in before.items() if n.endswith(".db")}
        i.start()
        assert i.run_wait(["/bin/true"])["status"] == "completed"
    finally:
        i.close()


def tree(root):
    out = {}
    for d, _, names in os.walk(root):
        for name in names:
            with contextlib.suppress(OSError), open(os.path.join(d, name), "rb") as f:
                out[os.path.join(d, name)] = f.read()
    return out


def test_a_directory_that_the_registry_may_not_write(place):
    i = Instance(base=place)
    try:
        i.start_launcher()
        os.chmod(i.root, 0o755)
        status, log = start_reeved_alone(i.root)
        assert status > 0 and i.root in log and "Permission denied" in log, (status, log)
    finally:
        i.close()


def test_a_directory_that_is_not_there():
    status, log = start_reeved_alone("/no/such/directory")
    assert status > 0 and "/no/such/directory" in log, (status, log)


def test_settings_that_are_wrong():
    with Instance() as i:
        i.kill(i.reeved)
        os.mkdir(i.path("reeved.conf.d"))
        with open(i.path("reeved.conf.d", "10-x.yaml"), "w", encoding="ascii") as f:
            f.write("limits:\n  tasks_per_iud: 3\n")
        status, log = start_reeved_alone(i.root)
        assert status > 0
        assert "10-x.yaml:2:" in log and "tasks_per_iud" in log and "tasks_per_uid" in log, log


# --- damaged databases ---------------------------------------------------------------------------------------------

def overwrite(path, offset, data):
    with open(path, "r+b") as f:
        f.seek(offset)
        f.write(data)


def newer_version(path):
    with contextlib.closing(sqlite3.connect(path)) as db:
        db.execute("PRAGMA user_version = 9999")


def of_another_program(path):
    os.unlink(path)
    with contextlib.closing(sqlite3.connect(path)) as db:
        db.execute("CREATE TABLE letters (text)")
        db.commit()
    Person("reeve").does(lambda: None)
    os.chown(path, Person("reeve").uid, Person("reeve").gid)


DAMAGE = {
    "header": lambda p: overwrite(p, 0, b"garbage " * 2),
    "first-page": lambda p: overwrite(p, 100, os.urandom(3000)),
    "all-pages": lambda p: overwrite(p, 4096, b"\xff" * (os.path.getsize(p) - 4096)),
    "cut": lambda p: os.truncate(p, os.path.getsize(p) // 2 + 100),
    "text": lambda p: (os.truncate(p, 0), overwrite(p, 0, b"this is no database at all, but a letter\n")),
    "newer": newer_version,
    "other": of_another_program,
}


@pytest.mark.parametrize("kind", DAMAGE)
@pytest.mark.parametrize("backup", [False, True])
def test_damaged_databases_are_left_alone(kind, backup):
    with Instance() as i:
        for _ in range(20):
            i.run_wait(["/bin/true"], more={"metadata": {"m": "m" * 5000}})
        copy = None
        if backup:
            with i.connect() as c:
                copy = c.call("Backup")["path"]
        i.kill(i.reeved, number=15)
        path = i.path("registry.db")
        DAMAGE[kind](path)
        with open(path, "rb") as f:
            before = f.read()
        status, log = start_reeved_alone(i.root)
        assert status > 0, (status, log)
        assert path in log, log
        if kind not in ("newer", "other"):
            assert "reeve doctor" in log and "damaged" in log, log
            assert not copy or copy in log, log
        with open(path, "rb") as f:
            assert f.read() == before, "the evidence was changed"

        if copy:
            os.rename(copy, path)
            for rest in ("-wal", "-shm"):
                with contextlib.suppress(FileNotFoundError):
                    os.unlink(path + rest)
            i.start_reeved()
            with i.connect() as c:
                assert len(c.call("List")["tasks"]) == 20, "the backup is a whole registry"


# --- others at our place -------------------------------------------------------------------------------------------

def test_a_second_reeved():
    with Instance() as i:
        status, log = start_reeved_alone(i.root)
        assert status > 0 and "serves this instance" in log, (status, log)
        assert i.run_wait(["/bin/true"])["status"] == "completed", "the first one does not mind"
        with open(i.path("reeved.pid"), encoding="ascii") as f:
            assert int(f.read()) == i.reeved.process.pid


def test_a_second_launcher():
    with Instance() as i:
        done = subprocess.run([LAUNCHER, f"--root={i.root}"], text=True, capture_output=True, timeout=60, check=False)
        assert done.returncode > 0 and "another launcher" in done.stderr, done.stderr
        assert i.run_wait(["/bin/true"])["status"] == "completed"
        with open(i.path("reeve-launcher.pid"), encoding="ascii") as f:
            assert int(f.read()) == i.launcher.process.pid


def test_without_a_launcher():
    """Who looks is served; who wants to run something is refused at once; when it is back all is well."""
    with Instance() as i:
        task = i.run_wait(["/bin/true"])["task_id"]
        i.kill(i.launcher)
        with Varlink(i.path("io.reeve.Registry"), timeout=SOON) as c:
            assert c.call("Get", {"task_id": task})["task"]["status"] == "completed"
            assert not all(r["ok"] for r in c.call("Doctor")["checks"])
            until("reeved notices", lambda: refused_without_launcher(i, c))
        i.start_launcher()
        until("reeved finds it", lambda: runs(i))


def refused_without_launcher(i, c):
    begin = time.monotonic()
    i.submit(c, ["/bin/true"])
    e = assert_refused(c.reply, "Unavailable", "launcher")
    assert time.monotonic() - begin < SOON, str(e)
    return True


def runs(i):
    with contextlib.suppress(VarlinkError):
        return i.run_wait(["/bin/true"])["status"] == "completed"
    return False
