# SPDX-License-Identifier: LGPL-2.1-or-later
"""Output that goes to journald: without one nothing is made, and with one it is the task's own stream, under its id and
in its user's name. journald is a socket of the test here; the suite `units` has the real one."""

import ctypes
import os
import pwd
import socket
import struct
import subprocess
import threading

import pytest

from instance import REEVE, Instance
from people import Person
from varlink import VarlinkError

CLONE_NEWNS, MS_REC, MS_PRIVATE = 0x20000, 0x4000, 1 << 18
PLACE = "/run/systemd"
SOCKET = f"{PLACE}/journal/stdout"
NAMED = ("null", "journal", "journal")


class Journald:
    """Takes streams, in a mount namespace where its socket stands in the journal's place."""

    def __init__(self):
        self.streams = []  # (uid, pid, header lines, text)
        self.threads = []
        os.makedirs(os.path.dirname(SOCKET))
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.socket.bind(SOCKET)
        os.chmod(SOCKET, 0o666)
        self.socket.listen(64)
        threading.Thread(target=self.serve, daemon=True).start()

    def serve(self):
        while True:
            peer, _ = self.socket.accept()
            pid, uid, _ = struct.unpack("3i", peer.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12))
            t = threading.Thread(target=self.read, args=(peer, uid, pid), daemon=True)
            self.threads.append(t)
            t.start()

    def read(self, peer, uid, pid):
        with peer, peer.makefile("rb") as f:
            data = f.read()
        lines = data.split(b"\n", 7)
        if len(lines) == 8:
            self.streams.append((uid, pid, [line.decode() for line in lines[:7]], lines[7]))

    def of(self, task):
        """The streams of a task that has ended: (uid, pid, text)."""
        for t in self.threads:
            t.join(timeout=20)
        found = [(uid, pid, text) for uid, pid, header, text in self.streams if header[0] == task]
        headers = [header[1:] for _, _, header, _ in self.streams if header[0] == task]
        assert all(h == ["", "6", "1", "0", "0", "0"] for h in headers), headers
        return found


def in_private(function):
    def inside():
        libc = ctypes.CDLL(None, use_errno=True)
        if libc.unshare(CLONE_NEWNS) != 0 or libc.mount(b"none", b"/", None, MS_REC | MS_PRIVATE, None) != 0:
            return "no mount namespace can be made here"
        os.makedirs(PLACE, exist_ok=True)
        if libc.mount(b"tmpfs", PLACE.encode(), b"tmpfs", 0, None) != 0:
            return "no tmpfs can be mounted here"
        function()
        return None
    reason = Person("root").does(inside)
    if reason:
        pytest.skip(reason)


def no_journald():
    with Instance() as i:
        for listens in (False, True):
            if listens:  # somebody was there and is gone
                os.makedirs(os.path.dirname(SOCKET))
                with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as s:
                    s.bind(SOCKET)
                os.chmod(SOCKET, 0o666)
            with i.connect() as c:
                with pytest.raises(VarlinkError) as caught:
                    i.run(["/bin/true"], connection=c, task="nowhere", stdio=NAMED)
                assert (caught.value.name, caught.value.field) == ("Unavailable", "stdio"), str(caught.value)
                assert "journald" in caught.value.parameters["message"], str(caught.value)
                with pytest.raises(VarlinkError) as caught:
                    c.call("Get", {"task_id": "nowhere"})
                assert caught.value.name == "NoSuchTask"
            assert (i.records(), i.leaves(), i.spent()) == ([], [], 0)
        p = subprocess.run([REEVE, "run", "--journal", "--", "true"], capture_output=True, text=True, timeout=60,
                           env={"PATH": "/usr/bin:/bin", "REEVE_SOCKET": i.path("io.reeve.Registry")}, check=False)
        assert p.returncode == 75 and "journald" in p.stderr, (p.returncode, p.stderr)


def test_without_journald():
    in_private(no_journald)


def streams():
    journald = Journald()
    with Instance() as i:
        script = "echo out; echo err >&2; echo '<3>bad'; exit 4"
        t = i.run_wait(["/bin/sh", "-c", script], stdio=NAMED)
        assert (t["status"], t["exit_status"], t["output"]) == ("failed", 4, "journal"), t
        with pytest.raises(VarlinkError) as caught:
            i.output(t["task_id"])
        assert caught.value.name == "InvalidArgument" and f"journalctl -t {t['task_id']}" in str(caught.value.parameters)
        (uid, _, text), = journald.of(t["task_id"])
        assert (uid, text) == (0, b"out\nerr\n<3>bad\n"), "one stream for both, in the order of writing"
        assert not os.listdir(i.path("output")), "there is no output file"

        t = i.run_wait(["/bin/sh", "-c", "echo out; echo err >&2"], stdio=("null", "output", "journal"))
        assert journald.of(t["task_id"])[0][2] == b"err\n"
        assert i.output(t["task_id"]) == b"out\n" and t["output"] == "file"

        def as_nobody():
            with i.connect() as c:
                return i.wait(i.run(["/bin/sh", "-c", "echo mine"], connection=c, stdio=NAMED)["task_id"], c)
        nobody = pwd.getpwnam("nobody")
        t = Person("nobody").does(as_nobody)
        (uid, _, text), = journald.of(t["task_id"])
        assert (uid, text) == (nobody.pw_uid, b"mine\n"), "connected as the task's user, not as root"


def test_streams():
    in_private(streams)


def goes_on():
    """Restarts of ours do not touch the stream."""
    journald = Journald()
    with Instance() as i:
        gate = i.path("gate")
        os.mkfifo(gate)
        t = i.run(["/bin/sh", "-c", f"echo before; read -r line <{gate}; echo after"], stdio=NAMED)
        i.kill(i.reeved, i.launcher)
        i.start()
        with open(gate, "w", encoding="ascii") as f:
            f.write("go\n")
        assert i.wait(t["task_id"])["status"] == "completed"
        (_, pid, text), = journald.of(t["task_id"])
        assert text == b"before\nafter\n"
        assert pid == t["pid"], "the peer of the stream is the task itself"


def test_stream_outlives_the_daemons():
    in_private(goes_on)
