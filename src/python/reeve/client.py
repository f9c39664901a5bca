# SPDX-License-Identifier: LGPL-2.1-or-later
"""A client that outlives the registry: it connects again, and keeps what is to be told until it has been told.

The registry may be restarted at any time, and whoever reports must neither lose a message by that nor say it twice. Three
things together make it so:

- A message is encoded once. What is repeated is the same id and the same content, which the registry answers with what it
  did the first time.
- Messages about one task wait in a lane of their own and are delivered one after the other, each when the one before it was
  answered. Lanes go beside each other on one connection; only ends, which are answered when the task has been verified,
  have connections of their own, for replies come in the order of the calls.
- Only an answer takes a message off its lane. While the registry is away, or says `Unavailable`, it is tried again, after
  50 ms at first and 2 s at most.

What waits lives in this process alone: who ends it before `flush` says that nothing waits gives that up.
"""

import asyncio
import collections
import logging
import os
import random
import time
from typing import Any, Deque, Dict, List, Mapping, Optional, Tuple

from . import wire
from .errors import ConnectionLost, LimitExceeded, ReeveError, Unavailable
from .wire import Parameters, Pipeline

log = logging.getLogger("reeve")

PATIENCE_SECONDS = 30.0
FIRST_PAUSE_SECONDS = 0.05
LONGEST_PAUSE_SECONDS = 2.0
END_TOPICS = (".completed", ".failed", ".cancelled")
ENDS_MAX = 64  # ends of tasks that are told at a time, each on a connection of its own
IDLE_MAX = 4  # of these connections that are kept for the next
WAITING_MAX = 4096  # messages; ends of tasks are taken beyond that


class Backoff:
    """Pauses that double, each between half and all of its length, so that a thousand clients do not come at once."""

    def __init__(self) -> None:
        self._seconds = FIRST_PAUSE_SECONDS

    def reset(self) -> None:
        """It went well: begin anew."""
        self._seconds = FIRST_PAUSE_SECONDS

    async def pause(self, at_most: float = LONGEST_PAUSE_SECONDS) -> None:
        """Waits; the next pause is longer."""
        await asyncio.sleep(min(self._seconds * random.uniform(0.5, 1.0), at_most))
        self._seconds = min(self._seconds * 2, LONGEST_PAUSE_SECONDS)


class Delivery:
    """A message that is to be delivered once. `answer` is its reply."""

    def __init__(self, method: str, parameters: Parameters, watch: bool = False) -> None:
        self.method = method
        self.parameters = parameters
        self.watch = watch  # a pidfd of this process goes with it, as descriptor 0
        self.data = wire.encode(method, parameters)
        self.tried = False
        self.withdrawn = False
        self.answer: "asyncio.Future[Parameters]" = asyncio.get_running_loop().create_future()
        self.answer.add_done_callback(lambda f: f.cancelled() or f.exception())  # whoever still asks is told

    @property
    def is_end(self) -> bool:
        """Does it end its task? Then the answer may take as long as the task's verification."""
        return self.method in ("Complete", "Fail") or \
            self.method == "Publish" and str(self.parameters["topic"]).endswith(END_TOPICS)

    def merge(self, parameters: Parameters) -> bool:
        """Takes a later update into one that nobody has sent yet, unless both are points of series."""
        if self.tried or self.method != "Update" or self.parameters.get("step") != parameters.get("step"):
            return False
        merged = dict(self.parameters)
        for name, value in parameters.items():
            old = merged.get(name)
            if isinstance(old, dict) and isinstance(value, dict):
                merged[name] = {**old, **value}
            elif value is not None:
                merged[name] = value
        self.data = wire.encode(self.method, merged)
        self.parameters = merged
        return True


class Lane:
    """What waits to be told about one task."""

    def __init__(self) -> None:
        self.queue: Deque[Delivery] = collections.deque()
        self.away = asyncio.Event()  # the registry could not be reached at the last attempt
        self.courier: Optional["asyncio.Task[None]"] = None


class Client:
    """The connection of one event loop to one registry."""

    def __init__(self, path: Optional[str] = None) -> None:
        self.path = path or wire.socket_path()
        self._connecting = asyncio.Lock()
        self._pipeline: Optional[Pipeline] = None
        self._ends = asyncio.Semaphore(ENDS_MAX)
        self._idle: List[Pipeline] = []
        self._lanes: Dict[str, Lane] = {}
        self._waiting = 0

    # calls whose repetition changes nothing

    async def call(self, method: str, parameters: Mapping[str, Any], patience: float = PATIENCE_SECONDS) -> Parameters:
        """Calls a method that may be called twice. Repeats it while the connection breaks, for `patience` seconds."""
        data = wire.encode(method, parameters)
        deadline = time.monotonic() + patience
        backoff = Backoff()
        while True:
            try:
                return await (await self._connected()).call(data)
            except ConnectionLost:
                left = deadline - time.monotonic()
                if left <= 0:
                    raise
            await backoff.pause(left)

    async def _connected(self) -> Pipeline:
        async with self._connecting:
            if self._pipeline is None or self._pipeline.broken:
                self._pipeline = await Pipeline.open(self.path)
            return self._pipeline

    # deliveries

    def post(self, task_id: str, method: str, parameters: Parameters, watch: bool = False) -> Delivery:
        """Puts a message on the task's lane. Raises what `encode` raises, and LimitExceeded if too much waits already."""
        lane = self._lanes.get(task_id)
        if lane and method == "Update" and lane.queue and lane.queue[-1].merge(parameters):
            return lane.queue[-1]
        delivery = Delivery(method, parameters, watch)
        if not delivery.is_end and self._waiting >= WAITING_MAX:
            raise LimitExceeded(f"{self._waiting} messages wait for the registry to come back")
        if not lane:
            lane = self._lanes[task_id] = Lane()
            lane.courier = asyncio.get_running_loop().create_task(self._deliver(task_id, lane))
        lane.queue.append(delivery)
        self._waiting += 1
        return delivery

    async def deliver(self, task_id: str, delivery: Delivery, patience: float) -> Parameters:
        """The answer to a posted message. When the registry was away for `patience` seconds raises Unavailable, and the message
        goes on waiting.
        """
        while not delivery.answer.done():
            lane = self._lanes[task_id]
            await self._answer_or_away(delivery, lane)
            if not delivery.answer.done():
                await asyncio.wait([delivery.answer], timeout=patience)
                if lane.away.is_set() and not delivery.answer.done():
                    raise Unavailable(f"{task_id}: the registry is away; what it is to be told waits for it")
        return delivery.answer.result()

    async def deliver_or_withdraw(self, task_id: str, delivery: Delivery, patience: float) -> Parameters:
        """As deliver; but when it raises, or is cancelled, the message does not go on waiting."""
        try:
            return await self.deliver(task_id, delivery, patience)
        except BaseException:
            delivery.withdrawn = True
            raise

    async def _answer_or_away(self, delivery: Delivery, lane: Lane) -> None:
        away = asyncio.ensure_future(lane.away.wait())
        either: List["asyncio.Future[Any]"] = [delivery.answer, away]
        try:
            await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
        finally:
            away.cancel()

    async def deliver_if_near(self, task_id: str, delivery: Delivery) -> None:
        """Waits for the answer unless the registry is away: then the message waits alone."""
        if not delivery.answer.done():
            await self._answer_or_away(delivery, self._lanes[task_id])
        if delivery.answer.done():
            delivery.answer.result()

    async def flush(self, patience: Optional[float] = None) -> None:
        """Waits until nothing waits any more; after `patience` seconds (None: however long) raises Unavailable."""
        couriers = [lane.courier for lane in self._lanes.values() if lane.courier]
        if not couriers:
            return
        _, late = await asyncio.wait(couriers, timeout=patience)
        if late:
            raise Unavailable(f"{self._waiting} messages still wait for the registry after {patience:g} s")

    async def close(self) -> None:
        """Gives up what waits, and disconnects."""
        couriers = [lane.courier for lane in self._lanes.values() if lane.courier]
        for courier in couriers:
            courier.cancel()
        if couriers:
            await asyncio.wait(couriers)
        for pipeline in [*self._idle, *([self._pipeline] if self._pipeline else [])]:
            await pipeline.close()
        self._idle, self._pipeline = [], None

    async def _deliver(self, task_id: str, lane: Lane) -> None:
        backoff = Backoff()
        try:
            while lane.queue:
                if not lane.queue[0].withdrawn and not await self._try(task_id, lane):
                    await backoff.pause()
                    continue
                backoff.reset()
                lane.queue.popleft()
                self._waiting -= 1
        finally:
            self._waiting -= len(lane.queue)
            for delivery in lane.queue:
                delivery.answer.cancel()
            del self._lanes[task_id]

    async def _try(self, task_id: str, lane: Lane) -> bool:
        """Tries the first of the lane; whether it was answered for good."""
        delivery = lane.queue[0]
        delivery.tried = True
        try:
            answer = await self._send(delivery)
        except Unavailable as e:
            log.debug("%s: %s is not delivered yet: %s", task_id, delivery.method, e)
            lane.away.set()
            return False
        except ReeveError as e:
            log.debug("%s: %s is refused: %s", task_id, delivery.method, e)
            if not delivery.answer.done():
                delivery.answer.set_exception(e)
        else:
            if not delivery.answer.done():
                delivery.answer.set_result(answer)
        lane.away.clear()
        return True

    async def _send(self, delivery: Delivery) -> Parameters:
        if delivery.is_end:
            return await self._send_end(delivery)
        pipeline = await self._connected()
        if not delivery.watch:
            return await pipeline.call(delivery.data)
        try:
            fd = os.pidfd_open(os.getpid())
        except OSError as e:
            raise Unavailable(f"cannot have this process watched: {e.strerror}", errno=e.errno) from e
        try:
            return await pipeline.call(delivery.data, [fd])
        finally:
            os.close(fd)

    async def _send_end(self, delivery: Delivery) -> Parameters:
        async with self._ends:
            self._idle = [pipeline for pipeline in self._idle if pipeline.is_idle]
            pipeline = self._idle.pop() if self._idle else await Pipeline.open(self.path)
            try:
                return await pipeline.call(delivery.data)
            finally:
                if len(self._idle) < IDLE_MAX and pipeline.is_idle:
                    self._idle.append(pipeline)
                else:
                    await pipeline.close()


_clients: Dict[Tuple[int, str], Tuple[asyncio.AbstractEventLoop, Client]] = {}


def client(path: Optional[str] = None) -> Client:
    """The running loop's client of that registry. Clients of loops that are closed are forgotten."""
    loop = asyncio.get_running_loop()
    closed: List[Tuple[int, str]] = [key for key, (other, _) in _clients.items() if other.is_closed()]
    for key in closed:
        del _clients[key]
    key = (id(loop), path or wire.socket_path())
    if key not in _clients:
        _clients[key] = (loop, Client(key[1]))
    return _clients[key][1]


def can_watch() -> bool:
    """Can the kernel say when this process ends (pidfd, Linux 5.3)?"""
    try:
        os.close(os.pidfd_open(os.getpid()))
    except (AttributeError, OSError):
        return False
    return True


os.register_at_fork(after_in_child=_clients.clear)
