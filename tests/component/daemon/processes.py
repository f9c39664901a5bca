# SPDX-License-Identifier: LGPL-2.1-or-later
"""Processes that are there before reeve hears of them."""

import pwd
import subprocess

OBEDIENT = "echo ready; while read -r word n; do [ $word = end ] && exit $n; echo $word; done"


class Process:
    """A shell that does what it is told, as `user`. Its parent, this test, reaps it when it is asked to."""

    def __init__(self, user=None, script=OBEDIENT):
        as_user = {"user": user, "group": pwd.getpwnam(user).pw_gid, "extra_groups": []} if user else {}
        self.popen = subprocess.Popen(["/bin/sh", "-c", script, "a shell"], stdin=subprocess.PIPE,
                                      stdout=subprocess.PIPE, text=True, bufsize=1, cwd="/tmp", **as_user)
        assert self.popen.stdout.readline() == "ready\n"
        self.pid = self.popen.pid

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        self.popen.kill()
        self.popen.wait()
        self.popen.stdout.close()
        self.popen.stdin.close()

    def end(self, status):
        self.popen.stdin.write(f"end {status}\n")
        self.popen.stdin.flush()

    def cgroup(self):
        with open(f"/proc/{self.pid}/cgroup", encoding="ascii") as f:
            return next(line for line in f if line.startswith("0::")).rstrip("\n")[4:]

    def says(self, word):
        """Tells it to say so, and waits until it has."""
        self.popen.stdin.write(word + "\n")
        self.popen.stdin.flush()
        assert self.popen.stdout.readline() == word + "\n"
