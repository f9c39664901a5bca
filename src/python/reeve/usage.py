# SPDX-License-Identifier: LGPL-2.1-or-later
"""What this process uses between two moments, for tasks whose reporter passes no numbers of its own.

These are figures of the whole process, its threads and the children that it has waited for: of tasks that go on beside each
other in one process, each has all of it. Who needs the kernel's exact account of one task alone runs it by `reeve run`, or
attaches a process of its own.
"""

import os
import resource
from typing import Dict, Iterable, Optional

PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")
BLOCK_BYTES = 512  # of st_blocks, whatever the file system


def _io_bytes() -> Dict[str, int]:
    """Bytes that this process had devices read and write; empty where the kernel does not say."""
    names = {"read_bytes": "io_read_bytes", "write_bytes": "io_write_bytes"}
    try:
        with open("/proc/self/io", encoding="ascii") as f:
            pairs = (line.split(": ") for line in f)
            return {names[key]: int(value) for key, value in pairs if key in names}
    except (OSError, ValueError):
        return {}


def _resident_bytes() -> int:
    """Memory that the process has now; 0 where /proc is missing."""
    try:
        with open("/proc/self/statm", encoding="ascii") as f:
            return int(f.read().split()[1]) * PAGE_BYTES
    except (OSError, ValueError, IndexError):
        return 0


def _peak_bytes() -> int:
    """The most that the process, or one child that was waited for, ever had."""
    return max(resource.getrusage(who).ru_maxrss for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)) * 1024


def _cpu_usec() -> Dict[str, int]:
    usages = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    user = round(sum(u.ru_utime for u in usages) * 1e6)
    system = round(sum(u.ru_stime for u in usages) * 1e6)
    return {"cpu_usec": user + system, "cpu_user_usec": user, "cpu_system_usec": system}


def storage_bytes(paths: Iterable[str]) -> int:
    """Bytes that files and folders take on their disks: blocks, each inode once, links not followed. What is missing has none."""
    seen = set()
    total = 0
    for path in paths:
        folders = [path]
        while folders:
            name = folders.pop()
            try:
                status = os.lstat(name)
                is_new = (status.st_dev, status.st_ino) not in seen
                seen.add((status.st_dev, status.st_ino))
                if is_new:
                    total += status.st_blocks * BLOCK_BYTES
                    if os.path.isdir(name) and not os.path.islink(name):
                        folders += [os.path.join(name, entry) for entry in os.listdir(name)]
            except OSError:
                continue
    return total


class Measurement:
    """Begins when it is made. `finish` says what was used since, in the registry's names and base units, the same each time."""

    def __init__(self, storage_paths: Iterable[str] = ()) -> None:
        self._storage_paths = [os.fspath(path) for path in storage_paths]
        self._storage = storage_bytes(self._storage_paths)
        self._peak = _peak_bytes()
        self._resident = _resident_bytes()
        self._counters = {**_cpu_usec(), **_io_bytes()}
        self._result: Optional[Dict[str, int]] = None

    def look(self) -> None:
        """Looks at what the process has now, so that a peak between start and end is not missed."""
        self._resident = max(self._resident, _resident_bytes())

    def finish(self) -> Dict[str, int]:
        """What was used. The kernel keeps one peak of memory for all of a process's life: if it rose meanwhile, it was in this
        time and is exact; else it is the greatest that was seen at the looks.
        """
        if self._result is None:
            self.look()
            now = {**_cpu_usec(), **_io_bytes()}
            result = {name: max(now[name] - begun, 0) for name, begun in self._counters.items() if name in now}
            peak = _peak_bytes()
            memory = peak if peak > self._peak else self._resident
            if memory:
                result["memory_peak_bytes"] = memory
            if self._storage_paths:
                result["storage_delta_bytes"] = storage_bytes(self._storage_paths) - self._storage
            self._result = result
        return self._result
