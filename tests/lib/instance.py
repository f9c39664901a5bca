# SPDX-License-Identifier: LGPL-2.1-or-later
"""A private instance of reeve for a test: real launcher, real reeved, real cgroups, in a directory of its own.

Nothing here waits by sleeping: daemons say READY=1 on a notification socket, ends of processes come by pidfd, ends of tasks
by Wait.
"""

import contextlib
import grp
import itertools
import os
import pwd
import select
import shutil
import signal
import socket
import subprocess
import tempfile
import time

import spec
from varlink import Varlink

BUILD = os.environ.get("REEVE_BUILD", os.path.join(os.path.dirname(__file__), "..", "..", "build"))
LAUNCHER = os.path.join(BUILD, "src", "launcher", "reeve-launcher")
REEVED = os.path.join(BUILD, "src", "daemon", "reeved")
REEVE = os.path.join(BUILD, "src", "cli", "reeve")
CHECK = os.path.join(BUILD, "src", "check", "reeve-check")
USER = "reeve"

counter = itertools.count(1)


def unmet():
    """Why instances cannot be made here; None if they can."""
    if os.getuid() != 0:
        return "needs root"
    try:
        pwd.getpwnam(USER)
        grp.getgrnam(USER)
    except KeyError:
        return f"needs a user and a group {USER}"
    return None


def cgroup2_mount():
    """Where cgroup2 is mounted; None if it is not."""
    with open("/proc/self/mountinfo", encoding="utf-8") as f:
        for line in f:
            left, _, right = line.partition(" - ")
            if right.split()[0] == "cgroup2" and left.split()[3] == "/":
                return left.split()[4]
    return None


def booted():
    """Is systemd PID 1? Then the pool is a scope, and there are scopes of tasks."""
    return os.path.isdir("/run/systemd/system")


def prefix_of(root):
    h = 2166136261
    for byte in os.path.realpath(root).encode():
        h = (h ^ byte) * 16777619 & 0xFFFFFFFF
    return f"reeve-{h:08x}"


def procs(cgroup):
    """Pids in a cgroup; none if it is gone."""
    with contextlib.suppress(OSError), open(os.path.join(cgroup, "cgroup.procs"), encoding="ascii") as f:
        return [int(line) for line in f]
    return []


def wait_exit(pid_fd, timeout):
    poll = select.poll()
    poll.register(pid_fd, select.POLLIN)
    return bool(poll.poll(timeout * 1000))


class Daemon:
    """A started daemon: its process, and the socket on which it notifies."""

    def __init__(self, argv, log, env=None, user=None, ready=True, timeout=30.0):
        self.directory = tempfile.mkdtemp(prefix="reeve-notify-")
        os.chmod(self.directory, 0o755)
        self.notify = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        path = os.path.join(self.directory, "notify")
        self.notify.bind(path)
        os.chmod(path, 0o666)
        full = {"PATH": spec.PATH, "NOTIFY_SOCKET": path, "REEVE_LOG_LEVEL": "debug", **(env or {})}
        if "ASAN_OPTIONS" in os.environ:
            # What a daemon has out when it is stopped (writes, calls) it leaves to the kernel to free.
            full["ASAN_OPTIONS"] = os.environ["ASAN_OPTIONS"] + ":detect_leaks=0"
        with open(log, "ab") as out:
            self.process = subprocess.Popen(
                argv, stdin=subprocess.DEVNULL, stdout=out, stderr=out, env=full, start_new_session=True,
                **({"user": user, "group": user, "extra_groups": []} if user else {}),
            )
        self.pid_fd = os.pidfd_open(self.process.pid)
        self.log = log
        if ready and not self.wait_ready(timeout):
            with open(log, errors="replace") as f:
                raise RuntimeError(f"{argv[0]} did not start:\n{f.read()[-4000:]}")

    def wait_ready(self, timeout=30.0):
        poll = select.poll()
        poll.register(self.notify, select.POLLIN)
        poll.register(self.pid_fd, select.POLLIN)
        deadline = time.monotonic() + timeout
        while (left := deadline - time.monotonic()) > 0:
            events = dict(poll.poll(left * 1000))
            if self.notify.fileno() in events:
                if b"READY=1" in self.notify.recv(4096):
                    return True
            elif self.pid_fd in events:
                return False
        return False

    def alive(self):
        return self.process.poll() is None

    def end(self, number=signal.SIGTERM, timeout=30.0):
        """Ends it (if it lives) and returns its status as subprocess has it."""
        if self.process.poll() is None:
            self.process.send_signal(number)
        if not wait_exit(self.pid_fd, timeout):
            raise TimeoutError(f"{self.process.args[0]} did not end")
        return self.process.wait()

    def close(self):
        if self.process.poll() is None:
            self.end(signal.SIGKILL)
        os.close(self.pid_fd)
        self.notify.close()
        shutil.rmtree(self.directory, ignore_errors=True)


class Instance:
    """Use as a context manager; everything of it is gone afterwards."""

    def __init__(self, base=None, backend="auto", reeved_arguments=(), launcher_arguments=(), launcher_wrapper=()):
        self.root = tempfile.mkdtemp(prefix="reeve-test-", dir=base)
        self.prefix = prefix_of(self.root)
        self.backend = backend
        self.reeved_arguments = list(reeved_arguments)
        self.launcher_arguments = list(launcher_arguments)
        self.launcher_wrapper = list(launcher_wrapper)  # a command that becomes the launcher
        self.launcher = self.reeved = None
        os.chown(self.root, 0, grp.getgrnam(USER).gr_gid)
        os.chmod(self.root, 0o1775)
        for name in ("checks", "hooks", "policy.d"):
            os.mkdir(self.path(name), 0o755)
        if os.path.exists(CHECK):
            shutil.copy2(CHECK, self.path("checks"))
            os.chown(self.path("checks", os.path.basename(CHECK)), 0, 0)

    def __enter__(self):
        try:
            self.start()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(self, *exc):
        self.close()

    # daemons

    def start(self):
        self.start_launcher()
        self.start_reeved()

    def start_launcher(self, env=None, ready=True):
        self.launcher = Daemon(
            [*self.launcher_wrapper, LAUNCHER, f"--root={self.root}", f"--backend={self.backend}",
             *self.launcher_arguments], self.path("reeve-launcher.log"), env,
            ready=ready,
        )

    def start_reeved(self, env=None, ready=True):
        argv = [self.program(REEVED), f"--root={self.root}", *self.reeved_arguments]
        self.reeved = Daemon(argv, self.path("reeved.log"), env, user=USER, ready=ready)

    def program(self, path):
        """Where user reeve finds a program: where it is, or (a checkout in root's home) in a copy of our own."""
        test = ["setpriv", f"--reuid={USER}", f"--regid={USER}", "--init-groups", "test", "-x", path]
        if subprocess.run(test, check=False).returncode == 0:
            return path
        copy = self.path("bin", os.path.basename(path))
        os.makedirs(os.path.dirname(copy), exist_ok=True)
        return copy if os.path.exists(copy) else shutil.copy2(path, copy)

    def kill(self, *daemons, number=signal.SIGKILL):
        for d in daemons:
            if d:
                d.end(number)
                d.close()
                if d is self.launcher:
                    self.launcher = None
                if d is self.reeved:
                    self.reeved = None

    def path(self, *names):
        return os.path.join(self.root, *names)

    # tasks

    def connect(self, **kwargs):
        return Varlink(self.path("io.reeve.Registry"), **kwargs)

    def submit(self, connection, argv, task=None, fds=(), subsystem="test", task_type="check", more=None, **kwargs):
        """Sends Run; the reply is still to come. Returns the id."""
        task = task or f"test_check_{os.getpid()}-{next(counter)}"
        fd = spec.memfd(spec.text(task, argv, **kwargs))
        try:
            parameters = {"spec": 0, "subsystem": subsystem, "task_type": task_type, **(more or {})}
            if fds:
                parameters["stdio"] = list(range(1, len(fds) + 1))
            connection.send("Run", parameters, [fd, *fds])
        finally:
            os.close(fd)
        return task

    def run(self, argv, connection=None, **kwargs):
        """Runs a command; returns the task as it was after exec."""
        with contextlib.ExitStack() as stack:
            c = connection or stack.enter_context(self.connect())
            self.submit(c, argv, **kwargs)
            return c.reply()["task"]

    def wait(self, task, connection=None):
        with contextlib.ExitStack() as stack:
            c = connection or stack.enter_context(self.connect())
            return c.call("Wait", {"task_id": task})["task"]

    def run_wait(self, argv, **kwargs):
        with self.connect() as c:
            return self.wait(self.run(argv, connection=c, **kwargs)["task_id"], c)

    def output(self, task):
        import base64

        with self.connect() as c:
            return b"".join(base64.b64decode(r["data"]) for r in c.stream("Output", {"task_id": task}))

    # what is left

    def pool(self):
        mount = cgroup2_mount()
        if mount and booted():
            return os.path.join(mount, "reeve.slice", f"{self.prefix}.slice", f"{self.prefix}-pool.scope")
        return os.path.join(mount, f"{self.prefix}.pool") if mount else None

    def leaves(self):
        """Cgroups of attempts that exist, relative to the pool's tasks."""
        tasks = os.path.join(self.pool() or "/nonexistent", "tasks")
        return [
            os.path.join(d, n)[len(tasks) + 1:] for d, names, _ in os.walk(tasks) for n in names if "." in n
        ] + self.scopes()

    def scopes(self):
        """Scopes of attempts that have a cgroup."""
        home = os.path.dirname(self.pool() or "/nonexistent/pool") if booted() else "/nonexistent"
        return [n for _, names, _ in os.walk(home) for n in names if n.endswith(".scope") and not n.endswith("-pool.scope")]

    def records(self):
        return sorted(os.listdir(self.path("tasks")))

    def processes(self):
        """Pids in the instance's cgroups, but for what only holds the pool."""
        pids = []
        pool = self.pool() or "/nonexistent"
        for d, _, _ in os.walk(os.path.dirname(pool) if booted() else pool):
            if not d.endswith("-pool.scope/holder"):
                pids += procs(d)
        return pids

    def keepers(self):
        """Pids of the keepers that live; those of backend process are not found."""
        pool = self.pool() or "/nonexistent/pool"
        pids = procs(os.path.join(pool, "keepers"))
        for d, _, _ in os.walk(os.path.dirname(pool) if booted() else "/nonexistent"):
            if d.endswith(".scope") and not d.endswith("-pool.scope"):
                pids += procs(d) + procs(os.path.join(d, "keeper"))  # on its way, and there
        return pids

    def wait_for_keepers(self, but=()):
        """Until there are no others than `but`."""
        for pid in set(self.keepers()) - set(but):
            with contextlib.suppress(ProcessLookupError):
                fd = os.pidfd_open(pid)
                assert wait_exit(fd, 30), f"keeper {pid} stays"
                os.close(fd)
        assert set(self.keepers()) <= set(but)

    def spent(self):
        """How many attempts the launcher's list of spent tickets has."""
        return sum(len(names) for _, _, names in os.walk(self.path("launcher-state", "spent")))

    def logs(self, size=8000):
        """The ends of the daemons' logs, for who must say why a test failed."""
        text = ""
        for name in ("reeve-launcher.log", "reeved.log"):
            with contextlib.suppress(OSError), open(self.path(name), errors="replace", encoding="utf-8") as f:
                text += f"--- {name}\n{f.read()[-size:]}\n"
        return text

    def close(self):
        self.kill(self.reeved, self.launcher)
        self.end_cgroups()
        shutil.rmtree(self.root, ignore_errors=True)

    def end_cgroups(self):
        pool = self.pool()
        if pool and booted():
            pool = os.path.dirname(pool)  # the slice, with scopes of tasks in it
        if not pool or not os.path.isdir(pool):
            return
        with contextlib.suppress(OSError), open(os.path.join(pool, "cgroup.kill"), "w", encoding="ascii") as f:
            f.write("1")
        # systemd may remove it while we look.
        with contextlib.suppress(OSError), open(os.path.join(pool, "cgroup.events"), encoding="ascii") as events:
            poll = select.poll()
            poll.register(events, select.POLLPRI)
            deadline = time.monotonic() + 20
            while "populated 1" in events.read() and time.monotonic() < deadline:
                poll.poll(1000)
                events.seek(0)
        if booted():
            subprocess.run(["systemctl", "stop", f"{self.prefix}.slice"], check=False, timeout=60)
        for d, _, _ in os.walk(pool, topdown=False):
            with contextlib.suppress(OSError):
                os.rmdir(d)
