#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""The places where reeve works: with controllers or without, beside systemd, and in a container that may write no cgroup.

Natively and in guests. The container is a mount namespace of the daemons' own, in which the cgroup2 tree is read-only or
is not there.
"""

import json
import os
import signal
import subprocess
import sys

sys.dont_write_bytecode = True
HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [HERE, os.path.join(HERE, "../component/daemon")]

import test_exactness as exactness  # noqa: E402
import check  # noqa: E402
import checks  # noqa: E402
import instance  # noqa: E402
from check import Skip, equal  # noqa: E402
from instance import Daemon, Instance  # noqa: E402
from test_exactness import JUDGE, TIER, completed  # noqa: E402
from varlink import VarlinkError  # noqa: E402

DATA = None if TIER == "native" else "/data"
CONTROLLERS = ("cpu", "io", "memory", "pids")


class Container(Instance):
    """An instance whose daemons see a changed cgroup2 mount: `change` is a shell command on $1, where it is mounted."""

    def __init__(self, change):
        super().__init__(base=DATA)
        self.inside = ["unshare", "--mount", "--propagation", "private", "sh", "-ec",
                       f'{change}; shift; exec "$@"', "sh", instance.cgroup2_mount()]

    def start_launcher(self, env=None, ready=True):
        argv = [*self.inside, instance.LAUNCHER, f"--root={self.root}"]
        self.launcher = Daemon(argv, self.path("reeve-launcher.log"), env, ready=ready)

    def start_reeved(self, env=None, ready=True):
        argv = [*self.inside, "setpriv", f"--reuid={instance.USER}", f"--regid={instance.USER}", "--init-groups",
                self.program(instance.REEVED), f"--root={self.root}"]
        self.reeved = Daemon(argv, self.path("reeved.log"), env, ready=ready)


def reeve(i, *args):
    """The command line tool: its status and what it printed."""
    r = subprocess.run([instance.REEVE, *args], capture_output=True, text=True, timeout=60,
                       env={**os.environ, "REEVE_SOCKET": i.path("io.reeve.Registry"), "NO_COLOR": "1"})
    return r.returncode, r.stdout + r.stderr


def doctor(i):
    with i.connect() as c:
        return {f["name"]: f for f in c.call("Doctor")["checks"]}


def available():
    with open(os.path.join(instance.cgroup2_mount(), "cgroup.controllers"), encoding="ascii") as f:
        return set(f.read().split())


# --- backend cgroup -----------------------------------------------------------------------------------------------

def test_doctor_tells_the_controllers():
    """Each one that the mount's root offers is on, and no other is claimed."""
    with Instance(base=DATA) as i:
        facts = doctor(i)
        equal("backend", (facts["backend"]["ok"], facts["backend"]["value"]), (True, "cgroup"))
        told = {c for c in CONTROLLERS if facts[f"{c} controller"]["ok"]}
        equal("controllers", told, available() & set(CONTROLLERS))
        if TIER == "uml":
            equal("controllers in this guest", told, set(CONTROLLERS))
        for c in set(CONTROLLERS) - told:
            assert facts[f"{c} controller"]["hint"], f"no hint why there is no {c} controller"
        systemd = os.path.isdir("/run/systemd/system")
        equal("scopes", (facts["scopes"]["ok"], "hint" in facts["scopes"]), (systemd, not systemd))
        assert facts["limits"]["ok"] or "LimitAS" in facts["limits"]["hint"], facts["limits"]
        # Nothing is wrong with such a host, it is only less exact.
        status, text = reeve(i, "doctor")
        equal(f"status of reeve doctor, which says: {text}", status, 0)
        return ", ".join(sorted(told)) or "none"


def test_systemd_takes_no_controller_away():
    if not os.path.isdir("/run/systemd/system"):
        raise Skip("no systemd here")
    with Instance(base=DATA) as i:
        subtree = os.path.join(instance.cgroup2_mount(), "cgroup.subtree_control")
        with open(subtree, encoding="ascii") as f:
            before = set(f.read().split())
        host = exactness.Host(i, DATA)
        for command in (["daemon-reload"], ["daemon-reexec"], ["start", "reeve-probe.slice"],
                        ["set-property", "--runtime", "system.slice", "CPUWeight=", "IOWeight="],
                        ["stop", "reeve-probe.slice"]):
            subprocess.run(["systemctl", *command], check=True, timeout=60)
        subprocess.run(["systemd-run", "--quiet", "--scope", "true"], check=True, timeout=60)
        with open(subtree, encoding="ascii") as f:
            equal("controllers of the root's children", set(f.read().split()) & before, before)
        task = i.run_wait(["true"])
        completed(task)
        for field in host.kernel_fields:
            equal(f"source of {field}", task["usage_sources"].get(field), "kernel-final")
        return f"{' '.join(sorted(before)) or 'none'} before and after"


def test_command_line():
    with Instance(base=DATA) as i:
        status, text = reeve(i, "run", "--quiet", "--subsystem=places", "--", "sh", "-c", "exit 5")
        equal(f"status of reeve run ({text})", status, 5)
        status, task = reeve(i, "run", "--no-block", "--subsystem=places", "--", JUDGE, "hold")
        equal("status of reeve run --no-block", status, 0)
        task = task.strip()
        status, text = reeve(i, "list", "--status=active", "--json=short")
        assert status == 0 and task in text, f"reeve list: {text}"
        equal("cancel", reeve(i, "cancel", task), (0, ""))
        status, text = reeve(i, "wait", "--quiet", task)
        assert status not in (0, 1), f"reeve wait: {status} {text}"
        status, text = reeve(i, "show", "--json=short", task)
        equal("status of what was cancelled", (status, json.loads(text)["status"]), (0, "cancelled"))
        status, text = reeve(i, "wait", "nobody_knows_0")
        assert status != 0 and "nobody_knows_0" in text, f"reeve wait for what is not: {status} {text}"


def survive(i, *which):
    """Five tasks live through the death of `which`; each ends as it should, with the account that this host has."""
    host = exactness.Host(i, DATA)
    gate = i.path("gate")
    os.mkfifo(gate)
    os.chmod(gate, 0o644)
    tasks = [i.run(["sh", "-c", f"read -r line <{gate}; exit {n}"]) for n in range(5)]
    daemons = [name for name in which if name != "keepers"]
    i.kill(*(getattr(i, name) for name in daemons))
    if "keepers" in which:
        for t in tasks:
            kill_parent(t["pid"])
    with open(gate, "w", encoding="ascii") as f:
        f.write("go\n" * len(tasks))
        f.flush()
        for name in daemons:
            getattr(i, "start_" + name)()
        ended = [i.wait(t["task_id"]) for t in tasks]
    equal("exit statuses", [t.get("exit_status") for t in ended], list(range(5)))
    for t in ended:
        for field in exactness.FALL_BACK.keys() | host.kernel_fields:
            equal(f"source of {field}", t["usage_sources"].get(field), host.source(field))
    checks.until(i, "cgroups are left", lambda: not i.leaves())


def kill_parent(pid):
    with open(f"/proc/{pid}/status", encoding="ascii", errors="replace") as f:
        parent = int(dict(line.split(":\t", 1) for line in f)["PPid"])
    with open(f"/proc/{parent}/comm", encoding="ascii") as f:
        name = f.read()
    assert name.startswith("reeve-"), f"the parent of {pid} is {parent}, {name}: no keeper"
    os.kill(parent, signal.SIGKILL)


def test_death_of_the_launcher():
    with Instance(base=DATA) as i:
        survive(i, "launcher")


def test_death_of_reeved():
    with Instance(base=DATA) as i:
        survive(i, "reeved")


def test_death_of_both():
    with Instance(base=DATA) as i:
        survive(i, "launcher", "reeved")


def test_death_of_keepers():
    with Instance(base=DATA) as i:
        survive(i, "keepers")


def test_cancel_of_what_is_frozen():
    """It ends by TERM, long before the grace period has passed."""
    with Instance(base=DATA) as i, i.connect(timeout=20) as c:
        task = i.run([JUDGE, "hold"], grace_usec=3600 * 10**6)["task_id"]
        c.call("Freeze", {"task_id": task})
        c.call("Cancel", {"task_id": task})
        ended = i.wait(task, c)
        equal("end", (ended["status"], ended.get("exit_signal")), ("cancelled", signal.SIGTERM))


# --- backend process ----------------------------------------------------------------------------------------------

def refused(i, field, method, parameters=None, **run):
    """A request fails, and the error names the field."""
    with i.connect() as c:
        try:
            if run:
                i.submit(c, ["true"], **run)
                c.reply()
            else:
                c.call(method, parameters)
        except VarlinkError as e:
            assert field in f"{e.field} {e.parameters}", f"{method}: the error does not name {field}: {e}"
            return e.name
    raise AssertionError(f"{method}: expected an error about {field}, got none")


def without_cgroups(i):
    """What is promised where no cgroup may be written: the choice is its own, is said, and every account says it."""
    facts = doctor(i)
    equal("backend", (facts["backend"]["ok"], facts["backend"]["value"]), (False, "process"))
    assert facts["backend"].get("hint"), "reeve doctor does not say what is missing"
    host = exactness.Host(i, DATA or i.root, runs=40)
    equal("files of cgroups", host.files, [])
    said = []
    for test in (exactness.test_cpu_of_four_children, exactness.test_cpu_of_a_daemon,
                 exactness.test_cpu_of_what_outlives_the_main_process, exactness.test_memory_touched,
                 exactness.test_no_field_missing, exactness.test_snapshots_of_three_seconds):
        said.append(test(host))
    task = i.run_wait(["true"])
    equal("backend of a task", task["backend"], "process")
    assert not task.get("cgroup"), f"expected no cgroup, got {task['cgroup']}"
    equal("sources", set(task["usage_sources"].values()), {"rusage", "procfs"})
    refused(i, "MemoryMax", "Run", limits=[("MemoryMax", 1 << 26)])
    held = i.run([JUDGE, "hold"])["task_id"]
    refused(i, "process", "Freeze", {"task_id": held})
    with i.connect() as c:
        c.call("Cancel", {"task_id": held})
        equal("status", i.wait(held, c)["status"], "cancelled")
    return "; ".join(said)


def test_container_with_cgroups_read_only():
    with Container('mount -o remount,bind,ro "$1"') as i:
        return without_cgroups(i)


def test_container_without_cgroups():
    with Container('umount -l "$1"') as i:
        return without_cgroups(i)


def test_death_of_both_without_cgroups():
    with Instance(base=DATA, backend="process") as i:
        survive(i, "launcher", "reeved")


def test_death_of_keepers_without_cgroups():
    with Instance(base=DATA, backend="process") as i:
        survive(i, "keepers")


def main():
    reason = instance.unmet()
    if reason:
        print(f"skip places {reason}")
        return 77
    return check.run(check.functions(sys.modules[__name__]))


if __name__ == "__main__":
    sys.exit(main())
