# SPDX-License-Identifier: LGPL-2.1-or-later
"""A keeper that has ended its task takes the next one, if that comes at once. The task must not notice whose successor it
is, and nobody may stay: seen from outside, through the instance's cgroups and /proc.

Whether a keeper is still there when the next task comes is a matter of 50 ms, so each test tries until it saw one.
"""

import os
import pwd
import signal

import pytest

import checks
from instance import Instance, cgroup2_mount

pytestmark = pytest.mark.skipif(cgroup2_mount() is None, reason="keepers in scopes and of families of processes have one task")
NOBODY = pwd.getpwnam("nobody")
TRIES = 100

# What a task is born as: its signals, descriptors, protection from the OOM killer, name, session and environment.
BIRTH = ("grep -E '^(Sig(Blk|Ign|Cgt|Pnd)|ShdPnd|Uid|Gid|Groups|NoNewPrivs)' /proc/self/status; cat /proc/self/oom_score_adj; "
         "for fd in /proc/$$/fd/*; do echo ${fd##*/}; done; cut -d' ' -f6 /proc/$$/stat | grep -qx $$ && echo leader; env; umask")


def start_of(pid):
    try:
        with open(f"/proc/{pid}/stat", encoding="ascii", errors="replace") as f:
            return f.read().rpartition(")")[2].split()[19]
    except (FileNotFoundError, ProcessLookupError):
        return None


def keepers(i):
    """(pid, start) of each: pids are used again."""
    return {(k, s) for k in i.keepers() if (s := start_of(k))}


class Gate:
    """A FIFO: a task that opens it waits until open() or end()."""

    def __init__(self, i, name):
        self.path = i.path(name)
        os.mkfifo(self.path, 0o666)
        os.chmod(self.path, 0o666)

    def task(self):
        return ["/bin/sh", "-c", f"read line < {self.path}; exit 7"]

    def open(self):
        with open(self.path, "w", encoding="ascii") as f:
            f.write("go\n")


def birth(i, **kwargs):
    with i.connect() as c:
        t = i.wait(i.run(["/bin/sh", "-c", BIRTH], connection=c, **kwargs)["task_id"], c)
    assert t["exit_status"] == 0, t
    return [line for line in i.output(t["task_id"]).decode().splitlines() if not line.startswith("REEVE_TASK_ID=")]


def test_a_second_task_is_born_like_a_first():
    with Instance() as i:
        fresh = birth(i)
        i.wait_for_keepers()
        secret = {"env": {"PATH": "/usr/bin:/bin", "SECRET": "of-another"}, "umask": "0077"}
        with i.connect() as c:
            for n in range(TRIES):
                gate = Gate(i, f"gate-{n}")
                a = i.run(gate.task(), connection=c, **secret)
                mine = keepers(i)
                gate.open()
                i.wait(a["task_id"], c)
                again = birth(i)
                assert again == fresh, "what the second task was born as"
                if mine & keepers(i):  # it is idle now, after the second
                    break
            else:
                pytest.fail(f"no keeper took a second task in {TRIES} tries")
        i.wait_for_keepers()


def test_another_user_follows_root():
    with Instance() as i, i.connect() as c:
        for n in range(TRIES):
            gate = Gate(i, f"gate-{n}")
            i.wait(i.run(["/bin/true"], connection=c)["task_id"], c)
            mine = keepers(i)
            t = i.run(gate.task(), connection=c, uid=NOBODY.pw_uid, gid=NOBODY.pw_gid)
            same = mine & keepers(i)
            with open(f"/proc/{t['pid']}/status", encoding="ascii") as f:
                uids = next(line for line in f if line.startswith("Uid:")).split()[1:]
            gate.open()
            ended = i.wait(t["task_id"], c)
            assert uids == [str(NOBODY.pw_uid)] * 4 and ended["exit_status"] == 7, (uids, ended)
            assert ended["usage_sources"]["cpu_usec"] == "kernel-final", ended
            if same:
                return
        pytest.fail(f"no keeper took a second task in {TRIES} tries")


def test_nobody_stays():
    with Instance() as i, i.connect() as c:
        for task in [i.run(["/bin/true"], connection=c) for _ in range(20)]:
            i.wait(task["task_id"], c)
        i.wait_for_keepers()
        checks.check_nothing_left(i)


def test_an_idle_keeper_that_is_killed_costs_no_task():
    with Instance() as i, i.connect() as c:
        for number in (signal.SIGKILL, signal.SIGTERM, signal.SIGSEGV):
            for _ in range(20):
                i.wait(i.run(["/bin/true"], connection=c)["task_id"], c)
                for pid in i.keepers():
                    try:
                        os.kill(pid, number)
                    except ProcessLookupError:
                        pass
                t = i.run(["/bin/sh", "-c", "exit 3"], connection=c)
                t = i.wait(t["task_id"], c)
                assert (t["status"], t.get("exit_status")) == ("failed", 3), (number, t)
        i.wait_for_keepers()


def test_a_keeper_told_to_stop_takes_no_other_task():
    with Instance() as i, i.connect() as c:
        t = i.run(["/bin/sleep", "600"], connection=c)
        mine = keepers(i)
        os.kill(next(iter(mine))[0], signal.SIGTERM)
        i.wait(t["task_id"], c)
        after = i.run(["/bin/sleep", "600"], connection=c)
        assert not mine & keepers(i)
        c.call("Cancel", {"task_id": after["task_id"]})
        i.wait(after["task_id"], c)


def test_more_tasks_than_desks():
    """Each of 40 has its keeper, though only 8 may come back; and those that do, do."""
    with Instance() as i, i.connect() as c:
        gates = [Gate(i, f"gate-{n}") for n in range(40)]
        tasks = [i.run(g.task(), connection=c) for g in gates]
        assert len(i.keepers()) == 40
        for g in gates:
            g.open()
        for t in tasks:
            assert i.wait(t["task_id"], c)["exit_status"] == 7
        i.wait_for_keepers()


def test_a_launcher_that_dies_leaves_no_idle_keeper():
    with Instance() as i:
        with i.connect() as c:
            i.wait(i.run(["/bin/true"], connection=c)["task_id"], c)
            sleeper = i.run(["/bin/sleep", "600"], connection=c)
        with open(f"/proc/{sleeper['pid']}/stat", encoding="ascii") as f:
            parent = int(f.read().rpartition(")")[2].split()[1])
        i.kill(i.launcher)
        i.wait_for_keepers(but=[parent])
        i.start_launcher()
        with i.connect() as c:
            c.call("Cancel", {"task_id": sleeper["task_id"]})
            i.wait(sleeper["task_id"], c)
        i.wait_for_keepers()


def test_a_task_too_large_for_a_desk():
    with Instance() as i, i.connect() as c:
        for _ in range(10):
            i.wait(i.run(["/bin/true"], connection=c)["task_id"], c)
            t = i.run(["/bin/sh", "-c", "exit ${#1}", "sh", "x" * 100000, "y"], connection=c)
            assert i.wait(t["task_id"], c)["exit_status"] == 100000 % 256
