# SPDX-License-Identifier: LGPL-2.1-or-later
"""The installed instance of a guest, for the suites that test units and packages: what systemd, the journal and the
command line say about it. Nothing here sleeps: ends come by pidfd, FIFOs and `reeve wait`."""

import json
import os
import re
import select
import subprocess
import tempfile
import time

UNITS = ("reeve-launcher.socket", "reeved.socket", "reeve-launcher.service", "reeved.service")
SERVICES = UNITS[2:]
POOL = "/sys/fs/cgroup/reeve.slice/reeve-pool.scope"
TIER = os.environ.get("REEVE_TIER", "native")
# Not the programs of the build tree, which the runner puts first.
ENVIRONMENT = {"PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "HOME": "/root", "LANG": "C.UTF-8",
               "NO_COLOR": "1", "SYSTEMD_PAGER": ""}


def sh(*argv, check=True, user=None, timeout=120):
    """A command's output, stdout and stderr together; as `user` by setpriv."""
    if user:
        argv = ("setpriv", f"--reuid={user}", f"--regid={user}", "--init-groups", *argv)
    r = subprocess.run(argv, env=ENVIRONMENT, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                       stderr=subprocess.STDOUT, text=True, timeout=timeout, cwd="/")
    if check and r.returncode != 0:
        raise AssertionError(f"{' '.join(argv)}: status {r.returncode}: {r.stdout}")
    return r.stdout if check else (r.returncode, r.stdout)


def reeve(*args, **options):
    return sh("reeve", *args, **options)


def run_when_back():
    """Status 75 means: try again, which is what one does while the launcher is being replaced."""
    for _ in range(1000):
        status, text = reeve("run", "--quiet", "--", "true", check=False)
        if status != 75:
            assert status == 0, f"reeve run: status {status}: {text}"
            return
    raise AssertionError(f"the launcher does not come back: {text}")


def show(task, **options):
    return json.loads(reeve("show", "--json=short", task, **options))


def unit(name, prop):
    return sh("systemctl", "show", "--value", "-p", prop, name).strip()


def main_pid(service):
    return int(unit(service, "MainPID"))


def proc_status(pid):
    with open(f"/proc/{pid}/status", encoding="ascii", errors="replace") as f:
        return dict(line.rstrip("\n").split(":\t", 1) for line in f if ":\t" in line)


def lives_for(pid, seconds):
    """Is the process still there after that time? Its end would be noticed at once."""
    fd = os.pidfd_open(pid)
    try:
        poll = select.poll()
        poll.register(fd, select.POLLIN)
        return not poll.poll(seconds * 1000)
    finally:
        os.close(fd)


def journal(*matches):
    """Entries of the journal, as dictionaries; what was sent before is in."""
    sh("journalctl", "--sync")
    out = sh("journalctl", "--no-pager", "--quiet", "--output=json", *matches)
    return [json.loads(line) for line in out.splitlines()]


def pool_is_gone():
    """After the moment that systemd takes to remove a scope without processes."""
    for _ in range(50):
        if not os.path.exists(POOL):
            return True
        sh("true")
    return False


class Tasks:
    """Tasks that run until they are told to end, with exit statuses 0 to 199, over and over."""

    def __init__(self, n):
        self.directory = tempfile.mkdtemp(dir="/run")
        self.ids = []
        for i in range(n):
            gate = f"{self.directory}/{i}"
            os.mkfifo(gate)
            # Opening for reading and writing never blocks, so the gate may be opened before or after the task came to it.
            self.ids.append(reeve("run", "--no-block", "--subsystem=units", "--type=gate", "--", "sh", "-c",
                                  f"read -r line <>{gate}; exit {i % 200}").strip())
        self.gates = [os.open(f"{self.directory}/{i}", os.O_RDWR) for i in range(n)]

    def end(self, numbers):
        for i in numbers:
            os.write(self.gates[i], b"go\n")

    def check(self):
        """Waits for all ends: each with its own status, and the kernel's account."""
        for i, task in enumerate(self.ids):
            status, text = reeve("wait", "--quiet", task, check=False)
            row = show(task)
            got = (row["status"], row.get("outcome") or None, row.get("exit_status"), row["attempt"], status)
            n = i % 200
            expected = ("failed" if n else "completed", "exit-code" if n else None, n, 1, n)
            assert got == expected, f"{task}: expected {expected}, got {got}: {text}"
            source = row["usage_sources"].get("cpu_usec")
            assert source == "kernel-final", f"{task}: source of cpu_usec: expected kernel-final, got {source}"
        for fd in self.gates:
            os.close(fd)


def processes(pattern):
    found = []
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open(f"/proc/{pid}/cmdline", "rb") as f:
                line = f.read().replace(b"\0", b" ").decode(errors="replace")
        except OSError:
            continue
        if re.search(pattern, line):
            found.append(f"{pid}: {line}")
    return found


def leftovers():
    """Cgroups of tasks that have ended, after the moment until somebody removes them: at most a second or so (recover.c)."""
    deadline = time.monotonic() + 10
    while True:
        leaves = []
        for path, directories, _ in os.walk(f"{POOL}/tasks"):
            leaves += [os.path.join(path, d) for d in directories if re.search(r"\.\d+$", d)]
        if not leaves or time.monotonic() > deadline:
            return leaves
        sh("true")
