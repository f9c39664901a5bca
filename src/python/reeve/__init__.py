# SPDX-License-Identifier: LGPL-2.1-or-later
"""Client of reeve, the supervisor and registry of tasks of a Linux host.

    import asyncio
    import reeve

    async def main():
        reporter = reeve.TaskReporter("healing", "playbook")
        async with reporter.task("Playbook: tidy", sla_hours=1) as t:
            t.progress(0.5, "half of it")
            t.metric("epochs_completed", 3)

    asyncio.run(main())

`reeve.sync` has the same names for programs without asyncio. The registry is the host's, or the one whose socket is
$REEVE_SOCKET. See docs/python.md.
"""

from .bus import Event, MessageBus, Subscription, message_bus
from .errors import (
    AlreadyExists,
    AlreadyFinished,
    ConnectionLost,
    ExecFailed,
    Internal,
    InvalidArgument,
    LimitExceeded,
    NoSuchTask,
    PermissionDenied,
    PolicyViolation,
    ProtocolError,
    ReeveError,
    Unavailable,
)
from .guardian import Guardian
from .registry import TaskRegistry, task_registry
from .reporter import ReportedTask, TaskReporter
from .task import Task

__version__ = "0.1.0"

__all__ = [
    "AlreadyExists", "AlreadyFinished", "ConnectionLost", "Event", "ExecFailed", "Guardian", "Internal", "InvalidArgument",
    "LimitExceeded", "MessageBus", "NoSuchTask", "PermissionDenied", "PolicyViolation", "ProtocolError", "ReeveError",
    "ReportedTask", "Subscription", "Task", "TaskRegistry", "TaskReporter", "Unavailable", "message_bus", "task_registry",
]
