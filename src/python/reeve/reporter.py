# SPDX-License-Identifier: LGPL-2.1-or-later
"""For programs that report work of their own: start, progress, end."""

import asyncio
import logging
import types
from typing import Any, Dict, Iterable, Mapping, Optional, Type, Union

from . import client as clients
from . import task_id as ids
from .convert import Span, to_span
from .errors import ReeveError
from .task import Task
from .usage import Measurement

log = logging.getLogger("reeve")

MESSAGE_CHARS = 1000  # of an exception's text

Numbers = Mapping[str, Union[int, float]]


def text_of(error: BaseException) -> str:
    """What is told of an exception: its class and its text, as much as fits, nothing that cannot be sent."""
    text = f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
    return text.replace("\0", "").encode("utf-8", "replace").decode()[:MESSAGE_CHARS]


class TaskReporter:
    """Reports tasks of one subsystem and type. One may have many tasks open, and may be used from many coroutines.

    `watch`: the registry watches this process, and a task whose reporter dies is lost at once (outcome reporter-died). Turn it off
    where another process reports the end. `heartbeat`: without any update for so long ("90s") the task is lost, too; nothing is
    sent by itself. `storage_paths`: files and folders whose growth is measured. `patience_seconds`: how long the registry may be
    away before a call that needs its answer raises Unavailable.

    What a task used is measured between its start and its end where the caller says nothing: CPU, memory and I/O of this process
    and the children it has waited for, all its concurrent tasks together.
    """

    def __init__(self, subsystem: str, task_type: str, *, watch: bool = True, heartbeat: Optional[Span] = None,
                 storage_paths: Iterable[str] = (), patience_seconds: float = clients.PATIENCE_SECONDS,
                 socket_path: Optional[str] = None) -> None:
        self.subsystem = ids.check_name("subsystem", subsystem)
        self.task_type = ids.check_name("task_type", task_type)
        self.patience_seconds = patience_seconds
        self._watch = watch and clients.can_watch()
        self._heartbeat_usec = None if heartbeat is None else round(to_span(heartbeat, "heartbeat").total_seconds() * 1e6)
        self._storage_paths = list(storage_paths)
        self._path = socket_path
        self._open: Dict[str, Measurement] = {}

    async def start_task(self, title: str, created_by: Optional[str] = None, description: Optional[str] = None,
                         priority: Optional[int] = None, sla_hours: Optional[float] = None,
                         metadata: Optional[Mapping[str, Any]] = None, *, sla: Optional[str] = None,
                         task_id: Optional[str] = None) -> str:
        """Announces a task that begins now, and returns its id.

        `priority` is 0 to 10. The deadline is `sla_hours` from now, or `sla` as policy files have it ("30min", "forecast_p95 * 2").
        A `task_id` of the caller's own makes it possible to repeat the call from another process: the same id with the same content
        is the same task. Raises what the registry refuses it for; Unavailable if it was away for too long, then there is no task.
        """
        task_id = task_id or ids.make(self.subsystem, self.task_type)
        measurement = await self._measure()
        client = clients.client(self._path)
        delivery = client.post(task_id, "Start", {
            "task_id": task_id, "subsystem": self.subsystem, "task_type": self.task_type, "title": title,
            "description": description, "created_by": created_by, "priority": priority, "sla": sla, "sla_hours": sla_hours,
            "metadata": metadata, "heartbeat_usec": self._heartbeat_usec, "watch": 0 if self._watch else None,
        }, watch=self._watch)
        await client.deliver_or_withdraw(task_id, delivery, self.patience_seconds)
        self._open[task_id] = measurement
        return task_id

    async def update_task(self, task_id: str, progress: Optional[float] = None, message: Optional[str] = None, *,
                          ml_metrics: Optional[Numbers] = None, step: Optional[int] = None,
                          resource_usage: Optional[Numbers] = None, metadata: Optional[Mapping[str, Any]] = None) -> None:
        """Says how far the task is: `progress` 0 to 1, a message for people, metrics, with `step` as a point of their series. Without
        anything it is a sign of life.

        While the registry is away it returns at once; the update is told later, before anything else about this task. Updates that
        wait become one, but for the points of series.
        """
        client = clients.client(self._path)
        await client.deliver_if_near(task_id, self._post_update(
            task_id, progress=progress, message=message, ml_metrics=ml_metrics, step=step, resource_usage=resource_usage,
            metadata=metadata))

    def _post_update(self, task_id: str, **parameters: Any) -> clients.Delivery:
        if task_id in self._open:
            self._open[task_id].look()
        return clients.client(self._path).post(task_id, "Update", {"task_id": task_id, **parameters})

    async def complete_task(self, task_id: str, success: bool = True, verification_passed: Optional[bool] = None,
                            resource_usage: Optional[Numbers] = None, ml_metrics: Optional[Numbers] = None,
                            result_metadata: Optional[Mapping[str, Any]] = None, *, message: Optional[str] = None) -> Task:
        """Reports the end, and returns the task as it then is: `success` alone does not make it completed where policy demands that
        the result be verified.

        `resource_usage` is in the units of people: cpu_seconds, memory_peak_mb, disk_read_mb, disk_write_mb, storage_delta_mb
        (megabytes of 1,048,576 bytes). Without it, what was measured is reported. `ml_metrics`: dataset_size_mb, vectors_processed,
        tokens_processed, model_size_mb, epochs_completed, and any other number by name.

        Calling it again with the same arguments changes nothing. Unavailable means that the registry was away for too long: the
        end waits in this process and is told when it is back; see `flush`.
        """
        return await self._end(task_id, "Complete", {
            "success": success, "verification_passed": verification_passed, "message": message,
            "resource_usage": resource_usage, "ml_metrics": ml_metrics, "result_metadata": result_metadata})

    async def fail_task(self, task_id: str, error_message: Union[str, BaseException], *,
                        resource_usage: Optional[Numbers] = None, ml_metrics: Optional[Numbers] = None,
                        result_metadata: Optional[Mapping[str, Any]] = None) -> Task:
        """Reports that the task has failed, and why: a text or an exception. Otherwise as complete_task."""
        message = text_of(error_message) if isinstance(error_message, BaseException) else error_message
        return await self._end(task_id, "Fail", {
            "message": message, "resource_usage": resource_usage, "ml_metrics": ml_metrics,
            "result_metadata": result_metadata})

    async def flush(self, patience_seconds: Optional[float] = None) -> None:
        """Waits until all that was reported by this event loop has been told; None: however long it takes. Raises Unavailable."""
        await clients.client(self._path).flush(patience_seconds)

    def task(self, title: str, created_by: Optional[str] = None, **arguments: Any) -> "ReportedTask":
        """A task for `async with`, with the arguments of start_task. Leaving the block completes it; an exception fails it."""
        return ReportedTask(self, title, {"created_by": created_by, **arguments})

    async def _measure(self) -> Measurement:
        if not self._storage_paths:
            return Measurement()
        return await asyncio.get_running_loop().run_in_executor(None, Measurement, self._storage_paths)

    async def _end(self, task_id: str, method: str, parameters: Dict[str, Any]) -> Task:
        measurement = self._open.get(task_id)
        usage = None
        if measurement and parameters["resource_usage"] is None:
            usage = await asyncio.get_running_loop().run_in_executor(None, measurement.finish) \
                if self._storage_paths else measurement.finish()
        client = clients.client(self._path)
        delivery = client.post(task_id, method, {"task_id": task_id, **parameters, "usage": usage})
        reply = await client.deliver(task_id, delivery, self.patience_seconds)
        self._open.pop(task_id, None)
        return Task.from_json(reply["task"])


class ReportedTask:
    """What `TaskReporter.task` makes. Inside the block it has an `id`; its methods wait for nothing and may be called often."""

    def __init__(self, reporter: TaskReporter, title: str, arguments: Dict[str, Any]) -> None:
        self._reporter = reporter
        self._title = title
        self._arguments = arguments
        self._metrics: Dict[str, Union[int, float]] = {}
        self._result: Dict[str, Any] = {}
        self._resource_usage: Optional[Numbers] = None
        self._verification_passed: Optional[bool] = None
        self.id = ""
        self.ended: Optional[Task] = None
        """The task as it was at its end, after the block."""

    def metric(self, name: str, value: Union[int, float], step: Optional[int] = None) -> None:
        """A number that is reported with the end; with `step`, also now, as a point of a series."""
        self._metrics[name] = value
        if step is not None:
            self._post(ml_metrics={name: value}, step=step)

    def progress(self, fraction: float, message: Optional[str] = None) -> None:
        """How far it is, 0 to 1, and what it does now."""
        self._post(progress=fraction, message=message)

    def result(self, /, **members: Any) -> None:
        """Members of the result, which only the owner may see later."""
        self._result.update(members)

    def usage(self, /, **resource_usage: Union[int, float]) -> None:
        """What it used, in the units of complete_task, instead of what is measured."""
        self._resource_usage = resource_usage

    def verified(self, passed: bool = True) -> None:
        """The result was checked."""
        self._verification_passed = passed

    def _post(self, **parameters: Any) -> None:
        def complain(answer: "asyncio.Future[Any]") -> None:
            if not answer.cancelled() and isinstance(answer.exception(), ReeveError):
                log.warning("%s: an update was refused: %s", self.id, answer.exception())

        self._reporter._post_update(self.id, **parameters).answer.add_done_callback(complain)

    async def __aenter__(self) -> "ReportedTask":
        self.id = await self._reporter.start_task(self._title, **self._arguments)
        return self

    async def __aexit__(self, kind: Optional[Type[BaseException]], error: Optional[BaseException],
                        trace: Optional[types.TracebackType]) -> None:
        if error is None:
            self.ended = await self._reporter.complete_task(
                self.id, True, self._verification_passed, self._resource_usage, self._metrics or None, self._result or None)
            return
        try:
            self.ended = await self._reporter.fail_task(
                self.id, error, resource_usage=self._resource_usage, ml_metrics=self._metrics or None,
                result_metadata=self._result or None)
        except ReeveError as e:
            # The exception of the block is what its caller must see.
            log.warning("%s: its failure could not be reported: %s", self.id, e)
