# SPDX-License-Identifier: LGPL-2.1-or-later
"""Questions about tasks, of all reporters and of `reeve run`."""

import datetime
from typing import Any, AsyncGenerator, Dict, Iterable, List, Optional, Union

from . import client as clients
from . import wire
from .client import Backoff
from .convert import Span, to_span, to_usec
from .errors import ConnectionLost
from .task import Task

PAGE = 500  # tasks; about half a megabyte


class TaskRegistry:
    """The registry of the host, or of $REEVE_SOCKET: `task_registry`. While it is restarted its answers come later."""

    def __init__(self, socket_path: Optional[str] = None) -> None:
        self._path = socket_path

    async def iterate_tasks(self, status: Union[str, Iterable[str], None] = None, subsystem: Optional[str] = None,
                            task_type: Optional[str] = None, *, created_by: Optional[str] = None,
                            owner_uid: Optional[int] = None, since: Optional[datetime.datetime] = None,
                            until: Optional[datetime.datetime] = None) -> AsyncGenerator[Task, None]:
        """Tasks, newest first, page by page: of one status or of several; created not before `since` and before `until`."""
        question: Dict[str, Any] = {
            "status": status if status is None or isinstance(status, str) else ",".join(status),
            "subsystem": subsystem, "task_type": task_type, "created_by": created_by, "owner_uid": owner_uid,
            "since": since and to_usec(since), "until": until and to_usec(until), "limit": PAGE,
        }
        while True:
            reply = await clients.client(self._path).call("List", question)
            for values in reply["tasks"]:
                yield Task.from_json(values)
            if not reply.get("cursor"):
                return
            question["cursor"] = reply["cursor"]

    async def query_tasks(self, /, status: Union[str, Iterable[str], None] = None, subsystem: Optional[str] = None,
                          task_type: Optional[str] = None, *, limit: Optional[int] = None, **filters: Any) -> List[Task]:
        """What iterate_tasks says, as a list: all, or the newest `limit`."""
        tasks: List[Task] = []
        if limit is not None and limit <= 0:
            return tasks
        async for task in self.iterate_tasks(status, subsystem, task_type, **filters):
            tasks.append(task)
            if len(tasks) == limit:
                break
        return tasks

    async def find_tasks_active_longer_than(self, span: Span, subsystem: Optional[str] = None) -> List[Task]:
        """Tasks that run for longer than "1h", "1h 30min", a number of seconds or a timedelta; the longest first."""
        begun = datetime.datetime.now(datetime.timezone.utc) - to_span(span)
        tasks = await self.query_tasks("active", subsystem, until=begun)
        late = [t for t in tasks if t.started_at and t.started_at < begun]
        return sorted(late, key=lambda t: t.started_at or begun)

    async def get_task(self, task_id: str) -> Task:
        """One task, running or ended. Raises NoSuchTask."""
        return Task.from_json((await clients.client(self._path).call("Get", {"task_id": task_id}))["task"])

    async def wait_task(self, task_id: str) -> Task:
        """The task when it has ended, however long that takes and however often the registry is restarted meanwhile."""
        path = self._path or wire.socket_path()
        backoff = Backoff()
        while True:
            try:
                connection = await wire.Wire.open(path)
                try:
                    await connection.send(wire.encode("Wait", {"task_id": task_id}))
                    return Task.from_json(wire.parameters_of(await connection.receive())["task"])
                finally:
                    connection.close()
            except ConnectionLost:
                await backoff.pause()


task_registry = TaskRegistry()
