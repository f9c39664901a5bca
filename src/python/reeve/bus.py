# SPDX-License-Identifier: LGPL-2.1-or-later
"""Events: those that others make, taken in; and everything that happens to tasks, in order, each once.

What is published stands for a call (docs/events.md), and is delivered as a reporter's calls are: each once, those of a task
in order. For that the task's id must be known before anything is said, so it is made here if there is none.

Events are numbered and kept by the registry. A subscription knows the last number that it has handed out; when its connection
ends, it asks for what came after that. Where it begins is settled before the subscription is there, so that nothing is missed
even if the registry dies before the first event.
"""

import asyncio
import contextlib
import datetime
import fnmatch
import inspect
import logging
import types
from dataclasses import dataclass
from typing import Any, AsyncGenerator, Awaitable, Callable, Mapping, Optional, Tuple, Type, Union

from . import client as clients
from . import task_id as ids
from . import wire
from .client import Backoff
from .convert import to_datetime
from .errors import ConnectionLost, Unavailable
from .task import Task

log = logging.getLogger("reeve")


@dataclass(frozen=True)
class Event:
    """Something that happened to a task. `task` is as it was after that."""

    number: int
    """Later events have greater numbers."""
    topic: str
    """"task.created", "task.started", ..."""
    timestamp: datetime.datetime
    task: Task

    @property
    def task_id(self) -> str:
        """Of its task."""
        return self.task.task_id


Callback = Callable[[Event], Union[None, Awaitable[None]]]


async def call_back(callback: Callback, event: Event) -> None:
    """Calls, and waits if it is to be waited for. What the callback raises is logged: the next event is another matter."""
    try:
        result = callback(event)
        if inspect.isawaitable(result):
            await result
    except Exception:  # pylint: disable=broad-except
        log.exception("a callback failed on %s of %s", event.topic, event.task_id)


class Subscription:
    """Events as they come, for `async for` in one coroutine; a context manager that ends it. Anybody may close it."""

    def __init__(self, topics: Tuple[str, ...], path: str, since: Optional[int], subsystem: Optional[str],
                 task_id: Optional[str]) -> None:
        self.topics = topics
        self.last: Optional[int] = since
        """The number of the last event that was handed out or passed over: where another subscription may go on."""
        self._path = path
        self._filter = {"subsystem": subsystem, "task_id": task_id}
        self._wire: Optional[wire.Wire] = None
        self._receiving = False
        self._closed = False
        self._runner: Optional["asyncio.Task[None]"] = None

    async def begin(self) -> "Subscription":
        """Settles where it begins; events from now on will be seen."""
        if self.last is None:
            self.last = (await clients.client(self._path).call("Stats", {}))["last_event"]
        return self

    async def __aenter__(self) -> "Subscription":
        return await self.begin()

    async def __aexit__(self, kind: Optional[Type[BaseException]], error: Optional[BaseException],
                        trace: Optional[types.TracebackType]) -> None:
        await self.close()

    async def close(self) -> None:
        """Ends it. A callback that is being run is cancelled, unless it is the one who says so."""
        self._closed = True
        if self._runner and self._runner is not asyncio.current_task():
            self._runner.cancel()
            await asyncio.wait([self._runner])
        if self._wire and self._receiving:
            self._wire.shutdown()  # another coroutine reads; it is told, and disconnects
        else:
            self._disconnect()

    async def __aiter__(self) -> AsyncGenerator[Event, None]:
        await self.begin()
        backoff = Backoff()
        try:
            while not self._closed:
                try:
                    event = await self._next()
                except Unavailable as e:
                    log.debug("events: %s", e)
                    self._disconnect()
                    if not self._closed:
                        await backoff.pause()
                    continue
                backoff.reset()
                if event and self._wants(event.topic):
                    yield event
        finally:
            self._disconnect()

    async def _next(self) -> Optional[Event]:
        if self._wire is None:
            self._wire = await wire.Wire.open(self._path)
            await self._wire.send(wire.encode("Monitor", {"since": self.last, **self._filter}, more=True))
        self._receiving = True
        try:
            message = await self._wire.receive()
        finally:
            self._receiving = False
        values = wire.parameters_of(message)
        if not message.get("continues"):
            raise ConnectionLost("the registry ended the stream of events")
        if "number" not in values:
            return None
        timestamp = to_datetime(values["timestamp"])
        assert timestamp
        self.last = values["number"]
        return Event(values["number"], values["topic"], timestamp, Task.from_json(values["task"]))

    def _wants(self, topic: str) -> bool:
        return not self.topics or any(fnmatch.fnmatchcase(topic, pattern) for pattern in self.topics)

    def _disconnect(self) -> None:
        if self._wire:
            self._wire.close()
            self._wire = None

    def run(self, callback: Callback) -> None:
        """Calls back with each event from now on, one after the other, until it is closed."""
        self._runner = asyncio.get_running_loop().create_task(self._run(callback))
        self._runner.add_done_callback(self._complain)

    async def _run(self, callback: Callback) -> None:
        # Closed here and not when somebody collects the generator.
        async with contextlib.AsyncExitStack() as stack:
            events = self.__aiter__()
            stack.push_async_callback(events.aclose)
            async for event in events:
                await call_back(callback, event)

    @staticmethod
    def _complain(runner: "asyncio.Task[None]") -> None:
        if not runner.cancelled() and runner.exception():
            log.error("a subscription has ended: %s", runner.exception())


def _with_id(topic: str, payload: Mapping[str, Any]) -> Mapping[str, Any]:
    """The payload, with an id if it creates a task that has none. Raises InvalidArgument if it does not say of what."""
    source, _, what = topic.partition(".")
    if what != "created" or payload.get("task_id") or payload.get("mission_id"):
        return payload
    subsystem, task_type = payload.get("subsystem"), payload.get("task_type")
    if source == "mission":
        subsystem, task_type = subsystem or "learning", task_type or payload.get("mission_type") or "mission"
    return {**payload, "task_id": ids.make(subsystem or "", task_type or "")}


class MessageBus:
    """Events in, and the registry's own events out. `message_bus` is the one of the host, or of $REEVE_SOCKET."""

    def __init__(self, socket_path: Optional[str] = None) -> None:
        self._path = socket_path

    async def publish(self, topic: str, payload: Mapping[str, Any], *,
                      patience_seconds: float = clients.PATIENCE_SECONDS) -> str:
        """Tells of an event: "task.created", "task.started", "task.updated", "task.completed", "task.failed", "task.cancelled", or
        "mission." and the same. Its payload is that of docs/events.md. Returns the task's id; a task that is created without one
        gets one here.

        Events are answered, and raise what is refused. If the registry is away for `patience_seconds` raises Unavailable: "created"
        is then given up, everything else waits in this process and is told later. An update does not wait for a registry that is
        away.
        """
        payload = _with_id(topic, payload)
        task_id = str(payload.get("task_id") or payload.get("mission_id") or "")
        client = clients.client(self._path)
        delivery = client.post(task_id, "Publish", {"topic": topic, "payload": payload})
        if topic.endswith(".created"):
            await client.deliver_or_withdraw(task_id, delivery, patience_seconds)
        elif topic.endswith(".updated"):
            await client.deliver_if_near(task_id, delivery)
        else:
            await client.deliver(task_id, delivery, patience_seconds)
        return task_id

    def events(self, *topics: str, since: Optional[int] = None, subsystem: Optional[str] = None,
               task_id: Optional[str] = None) -> Subscription:
        """Events whose topic is one of `topics`, with wildcards ("task.sla_*"); without any, all. They begin after event number
        `since` (0: with the oldest that is kept), by default now, and end never.

            async with message_bus.events("task.completed") as events:
                async for event in events: ...
        """
        return Subscription(topics, self._path or wire.socket_path(), since, subsystem, task_id)

    async def subscribe(self, topic: str, callback: Callback, *, since: Optional[int] = None,
                        subsystem: Optional[str] = None) -> Subscription:
        """Calls back with each event of that topic, one after the other; the callback may be a coroutine function. An exception of
        it is logged, and the next event comes. `close` the subscription to end it; the end of the event loop ends it, too.
        """
        subscription = await self.events(topic, since=since, subsystem=subsystem).begin()
        subscription.run(callback)
        return subscription


message_bus = MessageBus()
