# SPDX-License-Identifier: LGPL-2.1-or-later
"""A D-Bus client in the standard library alone, for tests: an implementation that shares no line with sd-bus. And a bus
of our own: dbus-daemon with a configuration that a test writes.

Values are those of Python; a variant comes as its value, and goes as a pair (signature, value)."""

import array
import os
import select
import shutil
import socket
import struct
import subprocess
import tempfile
import time

CALL, RETURN, ERROR, SIGNAL = 1, 2, 3, 4
FIXED = {"y": "B", "n": "h", "q": "H", "i": "i", "u": "I", "x": "q", "t": "Q", "d": "d", "b": "I", "h": "I"}
ALLOW_INTERACTION = 4


class DBusError(Exception):
    def __init__(self, name, text):
        self.name, self.text = name, text
        super().__init__(f"{name}: {text}")

    def __reduce__(self):
        return DBusError, (self.name, self.text)


def unmet():
    return None if shutil.which("dbus-daemon") else "needs dbus-daemon"


def first(signature):
    """The length of the first complete type of a signature."""
    if signature[0] == "a":
        return 1 + first(signature[1:])
    if signature[0] in "({":
        depth = 0
        for i, c in enumerate(signature):
            depth += (c in "({") - (c in ")}")
            if depth == 0:
                return i + 1
    return 1


def split(signature):
    while signature:
        n = first(signature)
        yield signature[:n]
        signature = signature[n:]


def alignment(kind):
    return {"s": 4, "o": 4, "a": 4, "g": 1, "v": 1, "(": 8, "{": 8}.get(kind) or struct.calcsize(FIXED[kind])


class Writer:
    def __init__(self):
        self.data = bytearray()
        self.fds = []

    def align(self, n):
        self.data += bytes(-len(self.data) % n)

    def write(self, signature, value):
        kind = signature[0]
        self.align(alignment(kind))
        if kind == "h":
            self.data += struct.pack("<I", len(self.fds))
            self.fds.append(value)
        elif kind in FIXED:
            self.data += struct.pack("<" + FIXED[kind], value)
        elif kind in "so":
            data = value if isinstance(value, bytes) else value.encode()
            self.data += struct.pack("<I", len(data)) + data + b"\0"
        elif kind == "g":
            self.data += bytes([len(value)]) + value.encode() + b"\0"
        elif kind == "v":
            self.write("g", value[0])
            self.write(value[0], value[1])
        elif kind == "a":
            self.write_array(signature[1:], value)
        else:
            for s, v in zip(split(signature[1:-1]), value):
                self.write(s, v)

    def write_array(self, element, value):
        at = len(self.data)
        self.data += b"\0\0\0\0"
        self.align(alignment(element[0]))
        start = len(self.data)
        for v in value.items() if isinstance(value, dict) else value:
            self.write(element, v)
        self.data[at : at + 4] = struct.pack("<I", len(self.data) - start)


class Reader:
    def __init__(self, data, at=0):
        self.data, self.at = data, at

    def align(self, n):
        self.at += -self.at % n

    def take(self, form):
        value = struct.unpack_from("<" + form, self.data, self.at)[0]
        self.at += struct.calcsize(form)
        return value

    def text(self, n):
        value = bytes(self.data[self.at : self.at + n]).decode()
        self.at += n + 1
        return value

    def read(self, signature):
        kind = signature[0]
        self.align(alignment(kind))
        if kind in FIXED:
            value = self.take(FIXED[kind])
            return bool(value) if kind == "b" else value
        if kind in "so":
            return self.text(self.take("I"))
        if kind == "g":
            return self.text(self.take("B"))
        if kind == "v":
            return self.read(self.read("g"))
        if kind == "a":
            return self.read_array(signature[1:])
        return tuple(self.read(s) for s in split(signature[1:-1]))

    def read_array(self, element):
        n = self.take("I")
        self.align(alignment(element[0]))
        end, values = self.at + n, []
        while self.at < end:
            values.append(self.read(element))
        return dict(values) if element[0] == "{" else values


class Message:
    def __init__(self, kind, serial, fields, body):
        self.kind, self.serial, self.body = kind, serial, body
        self.path, self.interface, self.member, self.error, self.reply_to = (fields.get(i) for i in range(1, 6))
        self.sender = fields.get(7)

    def __repr__(self):
        return f"{self.path} {self.interface}.{self.member}{self.body}"


class Connection:
    """One connection to a bus. Not for threads."""

    def __init__(self, path, timeout=30.0):
        self.timeout, self.serial, self.buffer, self.signals = timeout, 0, b"", []
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC)
        self.socket.connect(path)
        self.socket.sendall(b"\0AUTH EXTERNAL " + str(os.geteuid()).encode().hex().encode() + b"\r\n")
        self.line(b"OK ")
        self.socket.sendall(b"NEGOTIATE_UNIX_FD\r\n")
        self.line(b"AGREE_UNIX_FD")
        self.socket.sendall(b"BEGIN\r\n")
        self.name = self.bus("Hello")[0]

    def close(self):
        self.socket.close()

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        self.close()

    def more(self, deadline):
        poll = select.poll()
        poll.register(self.socket, select.POLLIN)
        left = deadline - time.monotonic()
        if left <= 0 or not poll.poll(left * 1000):
            raise TimeoutError(f"nothing came within {self.timeout} s")
        data = self.socket.recv(1 << 20)
        if not data:
            raise ConnectionError("the bus closed the connection")
        self.buffer += data

    def line(self, expected):
        deadline = time.monotonic() + self.timeout
        while b"\r\n" not in self.buffer:
            self.more(deadline)
        line, self.buffer = self.buffer.split(b"\r\n", 1)
        assert line.startswith(expected), f"expected {expected}, got {line}"

    def put(self, kind, fields, signature, values, flags=0):
        self.serial += 1
        body = Writer()
        for s, v in zip(split(signature), values):
            body.write(s, v)
        if signature:
            fields.append((8, ("g", signature)))
        if body.fds:
            fields.append((9, ("u", len(body.fds))))
        head = Writer()
        for s, v in zip("yyyyuu", (ord("l"), kind, flags, 1, len(body.data), self.serial)):
            head.write(s, v)
        head.write("a(yv)", fields)
        head.align(8)
        data = bytes(head.data + body.data)
        ancillary = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", body.fds))] if body.fds else []
        sent = self.socket.sendmsg([data], ancillary)
        self.socket.sendall(data[sent:])
        return self.serial

    def send(self, destination, path, interface, member, signature="", values=(), flags=0):
        fields = [(1, ("o", path)), (2, ("s", interface)), (3, ("s", member)), (6, ("s", destination))]
        return self.put(CALL, fields, signature, values, flags)

    def called(self):
        """The next call that somebody makes of us."""
        while True:
            m = self.receive()
            if m.kind == CALL:
                return m

    def answer(self, call, signature="", *values):
        self.put(RETURN, [(5, ("u", call.serial)), (6, ("s", call.sender))], signature, values)

    def refuse(self, call, error, text):
        fields = [(4, ("s", error)), (5, ("u", call.serial)), (6, ("s", call.sender))]
        self.put(ERROR, fields, "s", [text])

    def receive(self):
        deadline = time.monotonic() + self.timeout
        while True:
            if len(self.buffer) >= 16:
                n_body, serial, n_fields = struct.unpack_from("<III", self.buffer, 4)
                head = 16 + n_fields + -n_fields % 8
                if len(self.buffer) >= head + n_body:
                    break
            self.more(deadline)
        data, self.buffer = self.buffer[: head + n_body], self.buffer[head + n_body :]
        fields = dict(Reader(data, 12).read("a(yv)"))
        body = Reader(data[head:])
        return Message(data[1], serial, fields, tuple(body.read(s) for s in split(fields.get(8, ""))))

    def reply(self, serial):
        """The values of the reply, or its error raised. Signals that come before are kept."""
        while True:
            m = self.receive()
            if m.kind == SIGNAL:
                self.signals.append(m)
            elif m.reply_to == serial and m.kind == RETURN:
                return m.body
            elif m.reply_to == serial and m.kind == ERROR:
                raise DBusError(m.error, m.body[0] if m.body else "")

    def call(self, *args, **kwargs):
        return self.reply(self.send(*args, **kwargs))

    def bus(self, member, signature="", *values):
        return self.call(
            "org.freedesktop.DBus", "/org/freedesktop/DBus", "org.freedesktop.DBus", member, signature, values)

    def match(self, rule):
        self.bus("AddMatch", "s", rule)

    def signal(self, wanted=lambda m: True):
        """The next signal that is wanted; others before it are dropped."""
        while True:
            m = self.signals.pop(0) if self.signals else self.receive()
            if m.kind == SIGNAL and m.interface != "org.freedesktop.DBus" and wanted(m):
                return m

    def wait_for_name(self, name):
        """Until somebody has the name."""
        self.match(f"type='signal',member='NameOwnerChanged',arg0='{name}'")
        if self.bus("NameHasOwner", "s", name)[0]:
            return
        while True:
            m = self.signals.pop(0) if self.signals else self.receive()
            if m.kind == SIGNAL and m.member == "NameOwnerChanged" and m.body[0] == name and m.body[2]:
                return


CONFIG = """<!DOCTYPE busconfig PUBLIC "-//freedesktop//DTD D-Bus Bus Configuration 1.0//EN"
 "http://www.freedesktop.org/standards/dbus/1.0/busconfig.dtd">
<busconfig>
  <type>system</type>
  <listen>unix:path={socket}</listen>
  <auth>EXTERNAL</auth>
  <limit name="max_replies_per_connection">10000</limit>
  <policy context="default">
    <allow user="*"/>
    <deny own="*"/>
    <deny send_type="method_call"/>
    <allow send_type="signal"/>
    <allow send_requested_reply="true" send_type="method_return"/>
    <allow send_requested_reply="true" send_type="error"/>
    <allow receive_type="method_call"/>
    <allow receive_type="method_return"/>
    <allow receive_type="error"/>
    <allow receive_type="signal"/>
    <allow send_destination="org.freedesktop.DBus"/>
  </policy>
{policy}
</busconfig>
"""


class Bus:
    """dbus-daemon, with the policy of a system bus and what the test adds to it."""

    def __init__(self, policy=""):
        self.directory = tempfile.mkdtemp(prefix="reeve-bus-")
        os.chmod(self.directory, 0o755)
        self.path = os.path.join(self.directory, "socket")
        self.address = f"unix:path={self.path}"
        with open(os.path.join(self.directory, "bus.conf"), "w", encoding="utf-8") as f:
            f.write(CONFIG.format(socket=self.path, policy=policy))
        self.process = None
        self.start()

    def start(self):
        with open(os.path.join(self.directory, "log"), "ab") as log:
            self.process = subprocess.Popen(
                ["dbus-daemon", f"--config-file={self.directory}/bus.conf", "--nofork", "--nopidfile",
                 "--print-address=1"], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=log)
        if not self.process.stdout.readline():
            raise RuntimeError("dbus-daemon did not start")

    def stop(self):
        if self.process:
            self.process.terminate()
            self.process.wait()
            self.process.stdout.close()
            self.process = None
        if os.path.exists(self.path):
            os.unlink(self.path)

    def connect(self, **kwargs):
        return Connection(self.path, **kwargs)

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        self.stop()
        shutil.rmtree(self.directory, ignore_errors=True)
