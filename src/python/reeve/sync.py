# SPDX-License-Identifier: LGPL-2.1-or-later
"""The same names for programs without asyncio: each call returns when it is done.

    from reeve.sync import TaskReporter

    reporter = TaskReporter("healing", "playbook")
    with reporter.task("Playbook: tidy") as t:
        t.progress(0.5)

One thread of this module runs an event loop, on which the asyncio classes do the work. Calls may come from any thread.
Callbacks of a subscription or a guardian are called one at a time, in a thread that is not the caller's.
"""

import asyncio
import contextlib
import functools
import os
import threading
import types
from typing import TYPE_CHECKING, Any, Callable, Coroutine, Iterator, Optional, Type, TypeVar

from . import bus as _bus
from . import guardian as _guardian
from . import registry as _registry
from . import reporter as _reporter
from .bus import Event
from .errors import *  # noqa: F401,F403 the same classes
from .task import Task

if TYPE_CHECKING:  # for Python 3.9 they are nowhere else, and nobody but a type checker needs them
    from typing_extensions import Concatenate, ParamSpec

    P = ParamSpec("P")

T = TypeVar("T")
SyncCallback = Callable[[Event], None]


class _Background:
    """The event loop and its thread, made when first needed; a forked child makes its own."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._loop: Optional[asyncio.AbstractEventLoop] = None

    def loop(self) -> asyncio.AbstractEventLoop:
        with self._lock:
            if self._loop is None:
                self._loop = asyncio.new_event_loop()
                threading.Thread(target=self._loop.run_forever, name="reeve", daemon=True).start()
            return self._loop

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        future = asyncio.run_coroutine_threadsafe(work, self.loop())
        try:
            return future.result()
        except BaseException:
            future.cancel()
            raise

    def forget(self) -> None:
        self.__init__()  # type: ignore[misc]


_background = _Background()
os.register_at_fork(after_in_child=_background.forget)


def _blocking(method: "Callable[Concatenate[Any, P], Coroutine[Any, Any, T]]") -> "Callable[Concatenate[Any, P], T]":
    """A method of the twin, which waits for the one of the asyncio class."""

    @functools.wraps(method)
    def call(self: Any, /, *args: "P.args", **kwargs: "P.kwargs") -> T:
        return _background.run(method(self._asyncio, *args, **kwargs))

    return call


def _at_once(method: "Callable[Concatenate[Any, P], T]") -> "Callable[Concatenate[Any, P], T]":
    """The same for a method that waits for nothing but must be called in the loop's thread."""

    @functools.wraps(method)
    def call(self: Any, /, *args: "P.args", **kwargs: "P.kwargs") -> T:
        async def work() -> T:
            return method(self._asyncio, *args, **kwargs)

        return _background.run(work())

    return call


def _iterate(values: Any) -> Iterator[Any]:
    """An asynchronous generator's values. It is closed with this one."""
    end = object()

    async def following() -> Any:
        async for value in values:
            return value
        return end

    try:
        while (value := _background.run(following())) is not end:
            yield value
    finally:
        with contextlib.suppress(RuntimeError):  # whoever was interrupted in it is still on its way out
            _background.run(values.aclose())


def _in_thread(callback: SyncCallback) -> _bus.Callback:
    """Runs a callback outside of the loop, so that it may call this module itself."""

    async def work(event: Event) -> None:
        await asyncio.get_running_loop().run_in_executor(None, callback, event)

    return work


class TaskReporter:
    """As reeve.TaskReporter."""

    def __init__(self, subsystem: str, task_type: str, **options: Any) -> None:
        self._asyncio = _reporter.TaskReporter(subsystem, task_type, **options)

    start_task = _blocking(_reporter.TaskReporter.start_task)
    update_task = _blocking(_reporter.TaskReporter.update_task)
    complete_task = _blocking(_reporter.TaskReporter.complete_task)
    fail_task = _blocking(_reporter.TaskReporter.fail_task)
    flush = _blocking(_reporter.TaskReporter.flush)

    def task(self, title: str, created_by: Optional[str] = None, **arguments: Any) -> "ReportedTask":
        """A task for `with`, with the arguments of start_task. Leaving the block completes it; an exception fails it."""
        return ReportedTask(self._asyncio.task(title, created_by, **arguments))


class ReportedTask:
    """As reeve.ReportedTask."""

    def __init__(self, task: _reporter.ReportedTask) -> None:
        self._asyncio = task

    metric = _at_once(_reporter.ReportedTask.metric)
    progress = _at_once(_reporter.ReportedTask.progress)
    result = _at_once(_reporter.ReportedTask.result)
    usage = _at_once(_reporter.ReportedTask.usage)
    verified = _at_once(_reporter.ReportedTask.verified)

    @property
    def id(self) -> str:
        """Of the task, within the block."""
        return self._asyncio.id

    @property
    def ended(self) -> Optional[Task]:
        """The task as it was at its end, after the block."""
        return self._asyncio.ended

    def __enter__(self) -> "ReportedTask":
        _background.run(self._asyncio.__aenter__())
        return self

    def __exit__(self, kind: Optional[Type[BaseException]], error: Optional[BaseException],
                 trace: Optional[types.TracebackType]) -> None:
        _background.run(self._asyncio.__aexit__(kind, error, trace))


class Subscription:
    """As reeve.Subscription, for `with` and `for`."""

    def __init__(self, subscription: _bus.Subscription) -> None:
        self._asyncio = subscription

    begin = _blocking(_bus.Subscription.begin)
    close = _blocking(_bus.Subscription.close)

    @property
    def last(self) -> Optional[int]:
        """The number of the last event that was handed out or passed over."""
        return self._asyncio.last

    def __enter__(self) -> "Subscription":
        self.begin()
        return self

    def __exit__(self, kind: Optional[Type[BaseException]], error: Optional[BaseException],
                 trace: Optional[types.TracebackType]) -> None:
        self.close()

    def __iter__(self) -> Iterator[Event]:
        return _iterate(self._asyncio.__aiter__())


class MessageBus:
    """As reeve.MessageBus."""

    def __init__(self, socket_path: Optional[str] = None) -> None:
        self._asyncio = _bus.MessageBus(socket_path)

    publish = _blocking(_bus.MessageBus.publish)

    def events(self, *topics: str, **options: Any) -> Subscription:
        """As reeve.MessageBus.events."""
        return Subscription(self._asyncio.events(*topics, **options))

    def subscribe(self, topic: str, callback: SyncCallback, **options: Any) -> Subscription:
        """As reeve.MessageBus.subscribe; the callback is called in another thread."""
        return Subscription(_background.run(self._asyncio.subscribe(topic, _in_thread(callback), **options)))


class TaskRegistry:
    """As reeve.TaskRegistry."""

    def __init__(self, socket_path: Optional[str] = None) -> None:
        self._asyncio = _registry.TaskRegistry(socket_path)

    query_tasks = _blocking(_registry.TaskRegistry.query_tasks)
    find_tasks_active_longer_than = _blocking(_registry.TaskRegistry.find_tasks_active_longer_than)
    get_task = _blocking(_registry.TaskRegistry.get_task)
    wait_task = _blocking(_registry.TaskRegistry.wait_task)

    def iterate_tasks(self, *args: Any, **filters: Any) -> Iterator[Task]:
        """As reeve.TaskRegistry.iterate_tasks."""
        return _iterate(self._asyncio.iterate_tasks(*args, **filters))


class Guardian:
    """As reeve.Guardian; callbacks are called in another thread."""

    def __init__(self, *, on_violation: Optional[SyncCallback] = None, on_warning: Optional[SyncCallback] = None,
                 on_stuck: Optional[SyncCallback] = None, on_anomaly: Optional[SyncCallback] = None,
                 **options: Any) -> None:
        self._asyncio = _guardian.Guardian(**options)
        for register, callback in ((self.on_violation, on_violation), (self.on_warning, on_warning),
                                   (self.on_stuck, on_stuck), (self.on_anomaly, on_anomaly)):
            if callback:
                register(callback)

    def on_violation(self, callback: SyncCallback) -> SyncCallback:
        """A task has missed its deadline."""
        self._asyncio.on_violation(_in_thread(callback))
        return callback

    def on_warning(self, callback: SyncCallback) -> SyncCallback:
        """A task comes near its deadline."""
        self._asyncio.on_warning(_in_thread(callback))
        return callback

    def on_stuck(self, callback: SyncCallback) -> SyncCallback:
        """A task does not get on."""
        self._asyncio.on_stuck(_in_thread(callback))
        return callback

    def on_anomaly(self, callback: SyncCallback) -> SyncCallback:
        """A task is unlike those of its type before."""
        self._asyncio.on_anomaly(_in_thread(callback))
        return callback

    overdue_tasks = _blocking(_guardian.Guardian.overdue_tasks)
    tasks_active_longer_than = _blocking(_guardian.Guardian.tasks_active_longer_than)
    stop = _blocking(_guardian.Guardian.stop)

    @property
    def position(self) -> Optional[int]:
        """The number of the last event that was looked at."""
        return self._asyncio.position

    def start(self) -> "Guardian":
        """Begins; returns when nothing that happens from now on will be missed."""
        _background.run(self._asyncio.start())
        return self

    def __enter__(self) -> "Guardian":
        return self.start()

    def __exit__(self, kind: Optional[Type[BaseException]], error: Optional[BaseException],
                 trace: Optional[types.TracebackType]) -> None:
        self.stop()


message_bus = MessageBus()
task_registry = TaskRegistry()
