# SPDX-License-Identifier: LGPL-2.1-or-later
"""A varlink client in the standard library alone, for tests: an implementation that shares no line with ours."""

import array
import json
import os
import select
import socket
import time


class VarlinkError(Exception):
    """An error reply: `name` without the interface, and its parameters."""

    def __init__(self, error, parameters):
        self.error = error
        self.name = error.rsplit(".", 1)[-1]
        self.parameters = parameters or {}
        super().__init__(f"{error}: {self.parameters}")

    def __reduce__(self):  # it comes out of other processes
        return VarlinkError, (self.error, self.parameters)

    @property
    def field(self):
        return self.parameters.get("field")


class ConnectionLost(Exception):
    pass


class Varlink:
    """One connection. Not for threads."""

    def __init__(self, path, timeout=60.0):
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC)
        self.socket.connect(path)
        self.timeout = timeout
        self.buffer = b""
        self.fds = []

    def close(self):
        self.socket.close()
        for fd in self.fds:
            os.close(fd)
        self.fds = []

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        self.close()

    def send_bytes(self, data):
        self.socket.sendall(data)

    def send(self, method, parameters=None, fds=(), **flags):
        if "." not in method:
            method = "io.reeve.Registry." + method
        message = {"method": method, "parameters": parameters or {}, **flags}
        data = json.dumps(message).encode() + b"\0"
        if not fds:
            self.socket.sendall(data)
            return
        sent = self.socket.sendmsg(
            [data], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", fds))]
        )
        if sent < len(data):
            self.socket.sendall(data[sent:])

    def readable(self, timeout):
        """Whether there is something to read within so many seconds. (Not select: descriptors may be above 1024.)"""
        poll = select.poll()
        poll.register(self.socket, select.POLLIN)
        return bool(poll.poll(timeout * 1000))

    def receive(self):
        """The next reply as it came: a dict."""
        deadline = time.monotonic() + self.timeout
        while b"\0" not in self.buffer:
            left = deadline - time.monotonic()
            if left <= 0 or not self.readable(left):
                raise TimeoutError(f"no reply within {self.timeout} s")
            try:
                data, ancillary, _, _ = self.socket.recvmsg(1 << 20, socket.CMSG_SPACE(64))
            except ConnectionError as e:
                raise ConnectionLost(str(e)) from e
            for level, kind, payload in ancillary:
                if level == socket.SOL_SOCKET and kind == socket.SCM_RIGHTS:
                    fds = array.array("i")
                    fds.frombytes(payload[: len(payload) - len(payload) % fds.itemsize])
                    self.fds += fds
            if not data:
                raise ConnectionLost("the server closed the connection")
            self.buffer += data
        message, self.buffer = self.buffer.split(b"\0", 1)
        return json.loads(message)

    def reply(self):
        """The parameters of the next reply, or its error raised."""
        message = self.receive()
        if "error" in message:
            raise VarlinkError(message["error"], message.get("parameters"))
        return message.get("parameters") or {}

    def call(self, method, parameters=None, fds=()):
        self.send(method, parameters, fds)
        return self.reply()

    def stream(self, method, parameters=None):
        """Yields the parameters of each reply; ends after the last."""
        self.send(method, parameters, more=True)
        while True:
            message = self.receive()
            if "error" in message:
                raise VarlinkError(message["error"], message.get("parameters"))
            yield message.get("parameters") or {}
            if not message.get("continues"):
                return
