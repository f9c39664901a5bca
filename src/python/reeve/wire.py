# SPDX-License-Identifier: LGPL-2.1-or-later
"""varlink over a Unix socket, for asyncio: JSON objects, each ended by a NUL byte, with descriptors beside them.

asyncio's own streams know no descriptors and keep the socket to themselves, so this has a non-blocking socket of its own
and waits for it through the event loop. A message with descriptors goes out in a sendmsg() of its own: that is how the
registry knows which message they belong to.

What varlink or the registry cannot take (a NUL in a string, an integer beyond 64 bits, nesting without end) ends a
connection, and would end it again with each repetition. So `encode` refuses it here.
"""

import asyncio
import collections
import contextlib
import json
import math
import os
import socket
from typing import Any, Deque, Dict, Mapping, Optional, Sequence

from . import errors
from .errors import ConnectionLost, InvalidArgument, LimitExceeded, PermissionDenied

SYSTEM_SOCKET = "/run/reeve/io.reeve.Registry"
MESSAGE_BYTES = 4 << 20
NESTING = 60
READ_BYTES = 64 << 10

Parameters = Dict[str, Any]


def socket_path() -> str:
    """Where the registry listens: $REEVE_SOCKET, or the system's."""
    return os.environ.get("REEVE_SOCKET") or SYSTEM_SOCKET


def check_value(value: Any, field: str, depth: int = 1) -> None:
    """Raises InvalidArgument, with the name of the argument, for what cannot be said in a message."""
    if depth > NESTING:
        raise InvalidArgument(f"{field} is nested too deep", field)
    if isinstance(value, bool) or value is None:
        return
    if isinstance(value, str):
        if "\0" in value or any("\ud800" <= c <= "\udfff" for c in value):
            raise InvalidArgument(f"{field} has a NUL or half a character in it", field)
    elif isinstance(value, int):
        if not -1 << 63 <= value < 1 << 63:
            raise InvalidArgument(f"{field} has an integer of more than 64 bits", field)
    elif isinstance(value, float):
        if not math.isfinite(value):
            raise InvalidArgument(f"{field} has a number that is not finite", field)
    elif isinstance(value, Mapping):
        for key, member in value.items():
            if not isinstance(key, str):
                raise InvalidArgument(f"{field} has a key that is no string: {key!r}", field)
            check_value(key, field, depth)
            check_value(member, field, depth + 1)
    elif isinstance(value, (list, tuple)):
        for member in value:
            check_value(member, field, depth + 1)
    else:
        raise InvalidArgument(f"{field} has a value of type {type(value).__name__}, which JSON has not", field)


def encode(method: str, parameters: Mapping[str, Any], more: bool = False) -> bytes:
    """A call as it goes out. Parameters that are None are left out. Raises InvalidArgument or LimitExceeded."""
    given = {name: value for name, value in parameters.items() if value is not None}
    for name, value in given.items():
        check_value(value, name)
    message: Dict[str, Any] = {"method": method if "." in method else errors.INTERFACE + method, "parameters": given}
    if more:
        message["more"] = True
    # dict() is for mappings that are none.
    data = json.dumps(message, ensure_ascii=False, allow_nan=False, separators=(",", ":"), default=dict).encode()
    if len(data) > MESSAGE_BYTES:
        raise LimitExceeded(f"the message has {len(data)} bytes, at most {MESSAGE_BYTES} are allowed")
    return data + b"\0"


def parameters_of(message: Mapping[str, Any]) -> Parameters:
    """The parameters of a reply, or its error raised."""
    if "error" in message:
        raise errors.from_reply(message["error"], message.get("parameters"))
    return message.get("parameters") or {}


class Wire:
    """One connection: whole messages out, whole messages in. One task at a time may send, and one receive."""

    def __init__(self, sock: socket.socket) -> None:
        self._socket = sock
        self._loop = asyncio.get_running_loop()
        self._received = bytearray()
        self._scanned = 0

    @classmethod
    async def open(cls, path: str) -> "Wire":
        """Connects. Raises ConnectionLost if nobody is there, PermissionDenied if the socket is closed to the caller."""
        try:
            sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC | socket.SOCK_NONBLOCK)
        except OSError as e:
            raise ConnectionLost(f"cannot connect to {path}: {e.strerror}", errno=e.errno) from e
        try:
            await asyncio.get_running_loop().sock_connect(sock, path)
            return cls(sock)
        except PermissionError as e:
            sock.close()
            raise PermissionDenied(f"cannot connect to {path}: {e.strerror}", errno=e.errno) from e
        except OSError as e:
            sock.close()
            raise ConnectionLost(f"cannot connect to {path}: {e.strerror or e}", errno=e.errno) from e
        except BaseException:
            sock.close()
            raise

    def shutdown(self) -> None:
        """Ends the stream; whoever sends or receives is told so."""
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        """Closes. Nobody may be sending or receiving any more: the event loop would wait for a descriptor that is gone."""
        self._socket.close()

    async def send(self, data: bytes, fds: Sequence[int] = ()) -> None:
        """Sends a message, with duplicates of the descriptors beside it. After an exception the connection is of no use."""
        try:
            sent = await self._send_fds(data, fds) if fds else 0
            await self._loop.sock_sendall(self._socket, data[sent:])
        except OSError as e:
            raise ConnectionLost(f"the connection to the registry broke: {e.strerror or e}", errno=e.errno) from e

    async def _send_fds(self, data: bytes, fds: Sequence[int]) -> int:
        while True:
            try:
                return socket.send_fds(self._socket, [data], list(fds))
            except (BlockingIOError, InterruptedError):
                await self._writable()

    async def _writable(self) -> None:
        ready = asyncio.Event()
        fd = self._socket.fileno()
        self._loop.add_writer(fd, ready.set)
        try:
            await ready.wait()
        finally:
            self._loop.remove_writer(fd)

    async def receive(self) -> Dict[str, Any]:
        """The next message. Raises ConnectionLost at the end of the stream, or when it is none."""
        while (end := self._received.find(0, self._scanned)) < 0:
            self._scanned = len(self._received)
            try:
                data = await self._loop.sock_recv(self._socket, READ_BYTES)
            except OSError as e:
                raise ConnectionLost(f"the connection to the registry broke: {e.strerror or e}", errno=e.errno) from e
            if not data:
                raise ConnectionLost("the registry closed the connection")
            self._received += data
        text = bytes(self._received[:end])
        del self._received[:end + 1]
        self._scanned = 0
        try:
            message = json.loads(text)
        except ValueError:
            message = None
        if not isinstance(message, dict):
            raise ConnectionLost("whoever listens there does not speak varlink")
        return message


class Pipeline:
    """A connection for many calls at a time. Replies come in the order of the calls, so none needs a number."""

    def __init__(self, wire: Wire) -> None:
        self._wire = wire
        self._sending = asyncio.Lock()
        self._ended = False
        self._waiting: Deque["asyncio.Future[Parameters]"] = collections.deque()
        self._reader = asyncio.get_running_loop().create_task(self._read())

    @classmethod
    async def open(cls, path: str) -> "Pipeline":
        """Connects, as Wire.open."""
        return cls(await Wire.open(path))

    @property
    def broken(self) -> bool:
        """Has the connection ended?"""
        return self._ended

    @property
    def is_idle(self) -> bool:
        """Is it there for the next call, with none open?"""
        return not self._ended and not self._waiting

    async def close(self) -> None:
        """Ends the connection; open calls raise ConnectionLost."""
        self._reader.cancel()
        await asyncio.wait([self._reader])

    async def call(self, data: bytes, fds: Sequence[int] = ()) -> Parameters:
        """Sends an encoded call and returns the parameters of its reply, or raises its error."""
        reply: "asyncio.Future[Parameters]" = asyncio.get_running_loop().create_future()
        async with self._sending:
            if self.broken:
                raise ConnectionLost("the registry closed the connection")
            self._waiting.append(reply)
            try:
                await self._wire.send(data, fds)
            except BaseException:
                # Half a message may be out; whoever still waits is told by the reader.
                self._reader.cancel()
                raise
        return await reply

    async def _read(self) -> None:
        why: Optional[Exception] = None
        try:
            while True:
                message = await self._wire.receive()
                self._answer(message)
        except (ConnectionLost, IndexError) as e:  # IndexError: an answer to nothing
            why = e
        finally:
            self._ended = True
            self._wire.shutdown()
            lost = ConnectionLost(str(why) if why else "the connection to the registry was closed")
            for reply in self._waiting:
                if not reply.done():
                    reply.set_exception(lost)
                    reply.exception()  # nobody may be left who would ask
            self._waiting.clear()
            async with self._sending:
                self._wire.close()

    def _answer(self, message: Mapping[str, Any]) -> None:
        reply = self._waiting.popleft()
        if reply.done():
            return
        try:
            reply.set_result(parameters_of(message))
        except errors.ReeveError as e:
            reply.set_exception(e)
