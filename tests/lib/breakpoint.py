# SPDX-License-Identifier: LGPL-2.1-or-later
"""A named crash point at which a process of reeve waits until the test lets it go (src/basic/crash.h)."""

import os
import select
import shutil
import tempfile


class Breakpoint:
    """`at` is "<process>:<step>" or "<process>:<step>#<n>"; the first process that comes there waits, no other.

    Both FIFOs are held open for reading and writing, so neither side ever waits for the other to open them, and who
    is killed at the point blocks nobody."""

    def __init__(self, at):
        self.at = at
        self.directory = tempfile.mkdtemp(prefix="reeve-break-")
        os.chmod(self.directory, 0o777)
        for name in ("reached", "go"):
            os.mkfifo(self.path(name))
            os.chmod(self.path(name), 0o666)
        self.reached = os.open(self.path("reached"), os.O_RDWR | os.O_CLOEXEC)
        self.go = os.open(self.path("go"), os.O_RDWR | os.O_CLOEXEC)
        with open(self.path("once"), "w", encoding="ascii"):
            pass
        self.pid = None

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        self.let_go()
        os.close(self.reached)
        os.close(self.go)
        shutil.rmtree(self.directory, ignore_errors=True)

    def path(self, name):
        return os.path.join(self.directory, name)

    def environment(self, process):
        """For the daemon that is, or forks, the process of the point; nothing for any other."""
        daemon = "reeved" if self.at.startswith("reeved:") else "launcher"
        if process != daemon:
            return {}
        return {
            "REEVE_CRASH_AT": self.at, "REEVE_CRASH_ONCE": self.path("once"), "REEVE_BREAK_DIR": self.directory,
        }

    def wait(self, timeout=30.0):
        """Waits until a process is there; its pid, or for a step between clone and exec that of its keeper."""
        if not select.select([self.reached], [], [], timeout)[0]:
            raise TimeoutError(f"nobody came to {self.at} within {timeout} s")
        self.pid = int(os.read(self.reached, 64).split()[0])
        return self.pid

    def let_go(self):
        os.write(self.go, b"\n")
