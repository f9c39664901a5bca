# SPDX-License-Identifier: LGPL-2.1-or-later
"""A task, as the registry shows it to this caller at one moment."""

import datetime
from dataclasses import dataclass, field, fields
from typing import Any, Dict, Mapping, Optional

from .convert import to_datetime

MEGABYTE = 1 << 20
TIMES = ("created_at", "started_at", "completed_at", "sla_deadline")


@dataclass(frozen=True)
class Task:
    """Times are aware, in UTC. What is unknown, or not for the caller's eyes, is None. `raw` is all that the registry said."""

    task_id: str
    subsystem: str = ""
    task_type: str = ""
    title: str = ""
    kind: str = ""
    """"launched" or "reported"."""
    status: str = ""
    """pending, active, verifying, completed, failed, cancelled or lost."""
    outcome: Optional[str] = None
    """Why it failed or was lost: reported, verification, sla, reporter-died, ..."""
    message: Optional[str] = None
    description: Optional[str] = None
    created_by: Optional[str] = None
    owner_uid: Optional[int] = None
    priority: Optional[int] = None
    attempt: int = 0
    created_at: Optional[datetime.datetime] = None
    started_at: Optional[datetime.datetime] = None
    completed_at: Optional[datetime.datetime] = None
    duration_seconds: Optional[float] = None
    progress: Optional[float] = None
    """0 to 1."""
    progress_message: Optional[str] = None
    sla_deadline: Optional[datetime.datetime] = None
    sla_met: Optional[bool] = None
    sla_margin_seconds: Optional[float] = None
    """Negative when it was late."""
    stuck: Optional[Dict[str, Any]] = None
    """What was found when it last stood still: rule, since and found_at (microseconds since 1970), evidence, ..."""
    verification_status: Optional[str] = None
    metadata: Optional[Dict[str, Any]] = None
    result_metadata: Optional[Dict[str, Any]] = None
    ml_metrics: Dict[str, float] = field(default_factory=dict)
    usage: Dict[str, int] = field(default_factory=dict)
    """Counters in base units: microseconds, bytes, counts."""
    usage_sources: Dict[str, str] = field(default_factory=dict)
    """Who says so, of each counter: kernel-final, kernel, rusage, procfs or reported."""
    raw: Dict[str, Any] = field(default_factory=dict, repr=False, compare=False)

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> "Task":
        """From the registry's object; members that this version does not know are in `raw` alone."""
        known = {f.name for f in fields(cls)} - {"raw"}
        given = {name: value for name, value in values.items() if name in known and value is not None}
        for name in TIMES:
            if name in given:
                given[name] = to_datetime(given[name])
        return cls(**given, raw=dict(values))

    @property
    def has_ended(self) -> bool:
        """Is this the last state that it will ever be in?"""
        return self.status in ("completed", "failed", "cancelled", "lost")

    @property
    def active_for(self) -> Optional[datetime.timedelta]:
        """How long it has run, or ran; None before it was started."""
        if self.started_at is None:
            return None
        return (self.completed_at or datetime.datetime.now(datetime.timezone.utc)) - self.started_at

    @property
    def resource_usage(self) -> Dict[str, float]:
        """The counters in the units of people: seconds, and megabytes of 1,048,576 bytes."""
        names = {
            "cpu_usec": ("cpu_seconds", 1_000_000), "memory_peak_bytes": ("memory_peak_mb", MEGABYTE),
            "io_read_bytes": ("disk_read_mb", MEGABYTE), "io_write_bytes": ("disk_write_mb", MEGABYTE),
            "storage_delta_bytes": ("storage_delta_mb", MEGABYTE),
        }
        return {name: self.usage[counter] / unit for counter, (name, unit) in names.items() if counter in self.usage}
