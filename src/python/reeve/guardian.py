# SPDX-License-Identifier: LGPL-2.1-or-later
"""Watches over the tasks of a host and calls back when one needs somebody."""

import datetime
import types
from typing import Dict, List, Optional, Type

from .bus import Callback, Event, MessageBus, Subscription, call_back
from .convert import Span
from .registry import TaskRegistry
from .task import Task


class Guardian:
    """Calls back for deadlines that draw near or are missed, for tasks that are stuck, and for those that are unlike others.

    Callbacks take an Event and may be coroutine functions. They are given here or registered later, also as decorators:

        guardian = Guardian(on_violation=page_somebody)

        @guardian.on_stuck
        async def investigate(event): ...

    One event is handled after the other, in order. An exception of a callback is logged and ends nothing. What happened while
    nobody listened is not lost: begin at `since`, the `position` of the guardian before.
    """

    def __init__(self, *, on_violation: Optional[Callback] = None, on_warning: Optional[Callback] = None,
                 on_stuck: Optional[Callback] = None, on_anomaly: Optional[Callback] = None,
                 subsystem: Optional[str] = None, since: Optional[int] = None, socket_path: Optional[str] = None) -> None:
        self._callbacks: Dict[str, List[Callback]] = {}
        self._subsystem = subsystem
        self._since = since
        self._bus = MessageBus(socket_path)
        self._registry = TaskRegistry(socket_path)
        self._subscription: Optional[Subscription] = None
        for register, callback in ((self.on_violation, on_violation), (self.on_warning, on_warning),
                                   (self.on_stuck, on_stuck), (self.on_anomaly, on_anomaly)):
            if callback:
                register(callback)

    def _register(self, topic: str, callback: Callback) -> Callback:
        self._callbacks.setdefault(topic, []).append(callback)
        return callback

    def on_violation(self, callback: Callback) -> Callback:
        """A task has missed its deadline."""
        return self._register("task.sla_violated", callback)

    def on_warning(self, callback: Callback) -> Callback:
        """A task comes near its deadline: at the share of its time that its policy says."""
        return self._register("task.sla_warning", callback)

    def on_stuck(self, callback: Callback) -> Callback:
        """A task does not get on; event.task.stuck says by which rule, since when, and with what evidence."""
        return self._register("task.stuck", callback)

    def on_anomaly(self, callback: Callback) -> Callback:
        """A task is unlike those of its type before: topic task.anomalous, from registries that tell of it."""
        return self._register("task.anomalous", callback)

    @property
    def position(self) -> Optional[int]:
        """The number of the last event that was looked at."""
        return self._subscription.last if self._subscription else self._since

    async def overdue_tasks(self) -> List[Task]:
        """Tasks that run beyond their deadline, the longest overdue first: for what happened before anybody watched."""
        now = datetime.datetime.now(datetime.timezone.utc)
        tasks = await self._registry.query_tasks("active", self._subsystem)
        return sorted((t for t in tasks if t.sla_deadline and t.sla_deadline < now), key=lambda t: t.sla_deadline or now)

    async def tasks_active_longer_than(self, span: Span) -> List[Task]:
        """As task_registry.find_tasks_active_longer_than, in the subsystem that this one watches."""
        return await self._registry.find_tasks_active_longer_than(span, self._subsystem)

    async def start(self) -> "Guardian":
        """Begins; returns when nothing that happens from now on will be missed."""
        if self._subscription is None:
            self._subscription = await self._bus.subscribe("task.*", self._handle, since=self._since,
                                                           subsystem=self._subsystem)
        return self

    async def stop(self) -> None:
        """Ends; a callback that is being run is cancelled."""
        if self._subscription:
            await self._subscription.close()
            self._since, self._subscription = self._subscription.last, None

    async def __aenter__(self) -> "Guardian":
        return await self.start()

    async def __aexit__(self, kind: Optional[Type[BaseException]], error: Optional[BaseException],
                        trace: Optional[types.TracebackType]) -> None:
        await self.stop()

    async def _handle(self, event: Event) -> None:
        for callback in self._callbacks.get(event.topic, []):
            await call_back(callback, event)
