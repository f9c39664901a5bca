#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Is the account of a task what it used? The judge is a program that knows its load and never opens a cgroup file.

Natively, and in guests with every controller; what a host cannot measure is skipped there and says why. Margins: CPU time
is booked by the nanosecond on an ordinary kernel (1 %: the work of fork, exec and exit is in the account and not in the
judge's figures), and by ticks of 10 ms in user-mode Linux (two ticks).
"""

import collections
import contextlib
import functools
import json
import mmap
import os
import struct
import sys
import threading

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))

import check  # noqa: E402
import instance  # noqa: E402
from check import Skip, between, equal  # noqa: E402
from instance import Instance  # noqa: E402

JUDGE = os.path.join(instance.BUILD, "tests", "system", "judge")
TIER = os.environ.get("REEVE_TIER", "native")
UML = TIER == "uml"
MIB = 1 << 20
TICK_USEC = 10000

FIELDS_OF_FILE = {
    "cpu.stat": {"cpu_usec", "cpu_user_usec", "cpu_system_usec"},
    "cpu.max": {"cpu_throttled_usec", "cpu_nr_throttled"},  # lines of cpu.stat that come with the controller
    "memory.current": {"memory_current_bytes"},
    "memory.peak": {"memory_peak_bytes"},
    "memory.swap.peak": {"memory_swap_peak_bytes"},
    "memory.events": {"oom_kills"},
    "io.stat": {"io_read_bytes", "io_write_bytes", "io_read_ops", "io_write_ops"},
    "pids.current": {"pids_current"},
    "pids.peak": {"pids_peak"},
    "cpu.pressure": {"psi_cpu_some_usec", "psi_cpu_full_usec"},
    "memory.pressure": {"psi_memory_some_usec", "psi_memory_full_usec"},
    "io.pressure": {"psi_io_some_usec", "psi_io_full_usec"},
}
# What is known of any task without a cgroup file, and where it comes from then.
FALL_BACK = {
    "cpu_usec": "rusage", "cpu_user_usec": "rusage", "cpu_system_usec": "rusage", "memory_peak_bytes": "rusage",
    "io_read_bytes": "procfs", "io_write_bytes": "procfs",
}
# Counted by programs in the kernel, where it lets them be loaded: `reeve doctor` knows.
OF_NETWORK = {
    "net_rx_bytes", "net_tx_bytes", "net_rx_packets", "net_tx_packets", "net_loopback_rx_bytes", "net_loopback_tx_bytes",
}
# Known if there was a sample in time.
SAMPLED = {"memory_anon_peak_bytes"}


class Host:
    """An instance, and what its leaves can tell, seen without reeve's help: the files that are in one."""

    def __init__(self, reeve, data, runs=1000):
        self.reeve = reeve
        self.data = data
        self.runs = runs
        held = reeve.run([JUDGE, "hold"])
        self.files = os.listdir(os.path.join(instance.cgroup2_mount(), held["cgroup"])) if held.get("cgroup") else []
        with reeve.connect() as c:
            c.call("Cancel", {"task_id": held["task_id"]})
            reeve.wait(held["task_id"], c)
            checks = {check["name"]: check["ok"] for check in c.call("Doctor")["checks"]}
        self.kernel_fields = set().union(*(fields for f, fields in FIELDS_OF_FILE.items() if f in self.files))
        if checks["counters: network"]:
            self.kernel_fields |= OF_NETWORK

    def need(self, *files):
        for f in files:
            if f not in self.files:
                raise Skip(f"cgroups have no {f} on this host")

    def source(self, name):
        """Where the final value of a field comes from here; None: it is not known."""
        return "kernel-final" if name in self.kernel_fields else FALL_BACK.get(name)

    def judge(self, *args, **kwargs):
        """Runs the judge; returns the ended task and what the judge says."""
        task = self.reeve.run_wait([JUDGE, *map(str, args)], **kwargs)
        text = self.reeve.output(task["task_id"]).decode()
        return task, {name: int(value) for name, value in (line.split() for line in text.splitlines())}

    def cpu_is(self, task, said, processes):
        """CPU time is never less than judged, but for the rounding of both, and within 1 % of it or two ticks."""
        low = said["cpu_usec"]
        high = said.get("cpu_waited_usec", low)
        got = task["usage"]["cpu_usec"]
        if UML:  # the exit of what nobody waited for may be on a tick each
            between("cpu_usec", got, low - TICK_USEC, high + TICK_USEC * (2 if "cpu_waited_usec" in said else max(2, processes)))
        else:
            between("cpu_usec", got, low - 100, high + low // 100 + 500 * processes)
        equal("source of cpu_usec", task["usage_sources"]["cpu_usec"], self.source("cpu_usec"))
        parts = task["usage"]["cpu_user_usec"] + task["usage"]["cpu_system_usec"]
        between("user + system", parts, got - 2, got + 2)
        return f"{got} us, judged {low}"


def timed(test):
    """In user-mode Linux, a pause of the whole guest is CPU time of whoever ran. Between the judge's last look at its
    clock and its end, that is in the account alone: what is wrong three times is wrong."""
    @functools.wraps(test)
    def tried(host):
        for _ in range(2 if UML else 0):
            with contextlib.suppress(AssertionError):
                return test(host)
        return test(host)
    return tried


def completed(task):
    equal("status", (task["status"], task.get("exit_status")), ("completed", 0))


# --- CPU ----------------------------------------------------------------------------------------------------------

@timed
def test_cpu_of_four_children(host):
    task, said = host.judge("burn", 2000000, 4)
    completed(task)
    between("what the judge burnt", said["cpu_usec"], 2000000, 2100000)
    return host.cpu_is(task, said, 5)


@timed
def test_cpu_of_a_daemon(host):
    """A grandchild in a session of its own, whose parent has ended."""
    task, said = host.judge("daemonise", 300000)
    completed(task)
    equal("reparented", said["reparented"], 1)
    return host.cpu_is(task, said, 3)


@timed
def test_cpu_of_what_outlives_the_main_process(host):
    """The daemon begins to burn when the main process has ended, and ignores TERM; the grace period lets it finish."""
    task, said = host.judge("abandon", 300000, grace_usec=20000000)
    completed(task)
    equal("reparented", said["reparented"], 1)
    return host.cpu_is(task, said, 3)


@timed
def test_cpu_throttled(host):
    host.need("cpu.max")
    task, said = host.judge("burn", 400000, 2, limits=[("CPUQuota", 2000)])
    completed(task)
    # A fifth of a CPU: 0.4 s of work take at least 2 s less a period of 100 ms, most of it throttled.
    between("wall time", said["wall_usec"], 1800000, 60000000)
    between("cpu_nr_throttled", task["usage"]["cpu_nr_throttled"], 10, 100000)
    between("cpu_throttled_usec", task["usage"]["cpu_throttled_usec"], 1000000, 2 * said["wall_usec"])
    return f"{task['usage']['cpu_nr_throttled']} periods, {task['usage']['cpu_throttled_usec']} us of " \
           f"{said['wall_usec']} us; {host.cpu_is(task, said, 3)}"


# --- memory -------------------------------------------------------------------------------------------------------

def test_memory_touched(host):
    """Where the memory controller is absent, rusage knows the peak of one process, which this is."""
    task, said = host.judge("touch", 64 * MIB)
    completed(task)
    equal("touched", said["touched_bytes"], 64 * MIB)
    between("memory_peak_bytes", task["usage"]["memory_peak_bytes"], 64 * MIB, 66 * MIB)
    source = host.source("memory_peak_bytes")
    equal("source", task["usage_sources"]["memory_peak_bytes"], source)
    return f"{task['usage']['memory_peak_bytes']} bytes ({source}), judged {64 * MIB}"


def test_memory_kept(host):
    """What only a sample can know: the second one, a second later, finds all of it.

    The kernel books memory.stat in batches: on 6.1 some 200 pages may be missing from it for two seconds."""
    host.need("memory.stat")
    task = host.reeve.run([JUDGE, "keep", str(16 * MIB)])["task_id"]
    with host.reeve.connect() as c, host.reeve.connect() as watcher:
        for event in watcher.stream("Monitor", {"task_id": task, "usage": True}):
            if event["task"]["usage"].get("memory_anon_peak_bytes", 0) >= 15 * MIB:
                break
        c.call("Cancel", {"task_id": task})
        ended = host.reeve.wait(task, c)
    between("memory_anon_peak_bytes", ended["usage"].get("memory_anon_peak_bytes"), 15 * MIB, 17 * MIB)
    equal("source", ended["usage_sources"]["memory_anon_peak_bytes"], "kernel")
    between("duration in ms: the sample came in time", int(ended["duration_seconds"] * 1000), 0, 4000)
    return f"{ended['usage']['memory_anon_peak_bytes']} bytes anonymous after {ended['duration_seconds']:.1f} s, " \
           f"judged {16 * MIB}"


def test_memory_of_two_processes(host):
    """The peak is that of the task, not of its largest process: without the memory controller a sample knows the sum."""
    task = host.reeve.run(["/bin/sh", "-c", f"'{JUDGE}' keep {16 * MIB} & '{JUDGE}' keep {16 * MIB} & wait"])["task_id"]
    with host.reeve.connect() as c, host.reeve.connect() as watcher:
        for event in watcher.stream("Monitor", {"task_id": task, "usage": True}):
            if event["task"]["usage"].get("memory_current_bytes", 0) >= 32 * MIB:
                break
        c.call("Cancel", {"task_id": task})
        ended = host.reeve.wait(task, c)
    between("memory_peak_bytes", ended["usage"]["memory_peak_bytes"], 32 * MIB, 40 * MIB)
    source = ended["usage_sources"]["memory_peak_bytes"]
    equal("source", source, "kernel-final" if "memory.peak" in host.files else "procfs")
    return f"{ended['usage']['memory_peak_bytes']} bytes ({source}), judged {32 * MIB}"


def test_memory_limit_kills(host):
    host.need("memory.max")
    task = host.reeve.run_wait([JUDGE, "oom"], limits=[("MemoryMax", 32 * MIB), ("MemorySwapMax", 0)])
    equal("end", (task["status"], task["outcome"], task["exit_signal"]), ("failed", "oom", 9))
    between("oom_kills", task["usage"]["oom_kills"], 1, 1)
    between("memory_peak_bytes", task["usage"]["memory_peak_bytes"], 31 * MIB, 32 * MIB)
    return f"peak {task['usage']['memory_peak_bytes']} bytes of {32 * MIB}, oom_kills {task['usage']['oom_kills']}"


# --- devices ------------------------------------------------------------------------------------------------------

def test_io_direct(host):
    if TIER == "nspawn":
        raise Skip("no disk of our own here")
    path = os.path.join(host.data, f"direct-{os.getpid()}")
    try:
        task, said = host.judge("write-direct", path, 32 * MIB)
        completed(task)
        source = host.source("io_write_bytes")
        # procfs also counts a page when it is dirtied: the judge's own words, and what the file system notes down.
        more = 16 * mmap.PAGESIZE if source == "procfs" else 0
        between("io_write_bytes", task["usage"]["io_write_bytes"], said["written_bytes"], said["written_bytes"] + more)
        equal("source", task["usage_sources"]["io_write_bytes"], source)
        second, read = host.judge("read-direct", path, 32 * MIB)
        completed(second)
        equal("io_read_bytes", second["usage"]["io_read_bytes"], read["read_bytes"])
        between("io_write_bytes of a reader", second["usage"]["io_write_bytes"], 0, more)
        ops = ""
        if source == "kernel-final":
            # One call may become several requests, and no two calls become one.
            between("io_write_ops", task["usage"]["io_write_ops"], said["writes"], 64 * said["writes"])
            between("io_read_ops", second["usage"]["io_read_ops"], read["reads"], 64 * read["reads"])
            ops = f", {task['usage']['io_write_ops']} and {second['usage']['io_read_ops']} requests"
        return f"{task['usage']['io_write_bytes']} written, {second['usage']['io_read_bytes']} read ({source}){ops}"
    finally:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(path)


# --- processes ----------------------------------------------------------------------------------------------------

def test_processes_at_once(host):
    host.need("pids.peak")
    task, said = host.judge("forks", 40)
    completed(task)
    equal("judged", said["processes"], 41)
    equal("pids_peak", task["usage"]["pids_peak"], 41)
    return f"{task['usage']['pids_peak']}, judged {said['processes']}"


def test_processes_limited(host):
    host.need("pids.max")
    task, said = host.judge("forks", 100, limits=[("TasksMax", 16)])
    completed(task)
    equal("judged", said, {"processes": 16, "errno_is_eagain": 1})
    if "pids.peak" in host.files:
        between("pids_peak", task["usage"]["pids_peak"], 16, 17)  # the refused one may be charged for a moment
    return f"{said['processes']} of 101 processes"


def spinning(host, clock, task, c):
    """The clock of a task that spins, in usec: after a while, after another that it was frozen, and after a third."""
    seen = []
    for method in (None, "Freeze", "Thaw"):
        if method:
            c.call(method, {"task_id": task})
        completed(host.judge("burn", 100000, 1)[0])
        seen.append(struct.unpack("q", clock)[0] // 1000)
        if method == "Freeze":
            equal("frozen", c.call("Get", {"task_id": task})["task"].get("frozen"), True)
            completed(host.judge("burn", 200000, 1)[0])
            equal("its clock while it was frozen", struct.unpack("q", clock)[0] // 1000, seen[-1])
    return seen


@timed
def test_priority_is_a_weight(host):
    """Each step is half as much again; a weight that the author set stays."""
    host.need("cpu.weight")
    with host.reeve.connect() as c:
        for priority, limits, weight in ((None, [], 100), (8, [], 338), (1, [], 20), (8, [("CPUWeight", 50)], 50)):
            more = {"priority": priority} if priority else {}
            task = host.reeve.run([JUDGE, "hold"], connection=c, more=more, limits=limits)
            with open(os.path.join(instance.cgroup2_mount(), task["cgroup"], "cpu.weight"), encoding="ascii") as f:
                equal(f"cpu.weight of priority {priority} with {limits}", int(f.read()), weight)
            c.call("Cancel", {"task_id": task["task_id"]})
            host.reeve.wait(task["task_id"], c)


def test_frozen_means_no_cpu(host):
    """A task keeps its CPU time in a file; meanwhile others burn. Frozen, it stands still."""
    host.need("cgroup.freeze")
    path = os.path.join(host.data, f"clock-{os.getpid()}")
    with open(path, "w+b") as f, host.reeve.connect() as c:
        f.truncate(8)
        clock = mmap.mmap(f.fileno(), 8)
        task = host.reeve.run([JUDGE, "spin", path])["task_id"]
        first, frozen, thawed = spinning(host, clock, task, c)
        c.call("Cancel", {"task_id": task})
        ended = host.reeve.wait(task, c)
        last = struct.unpack("q", clock)[0] // 1000
    os.unlink(path)
    between("its clock before it was frozen", first, 10000, frozen)
    between("its clock after it was thawed", thawed, frozen + 10000, last)
    between("cpu_usec", ended["usage"]["cpu_usec"], last - 2 * TICK_USEC, last + last // 100 + 2 * TICK_USEC)
    return f"{first} us, frozen at {frozen} us, thawed {thawed} us, at its end {last} us; " \
           f"account {ended['usage']['cpu_usec']} us"


# --- many, and over time ------------------------------------------------------------------------------------------

def run_true(host, n, tasks, errors):
    try:
        with host.reeve.connect() as c:
            for _ in range(n):
                tasks.append(host.reeve.wait(host.reeve.run(["true"], connection=c)["task_id"], c))
    except Exception as e:  # pylint: disable=broad-except
        errors.append(e)


def test_no_field_missing(host):
    """Of a thousand short tasks, 8 at a time. Where the kernel has no file, the source is another and is named."""
    n, tasks, errors = host.runs, [], []
    threads = [threading.Thread(target=run_true, args=(host, n // 8, tasks, errors)) for _ in range(8)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    equal("errors", errors, [])
    equal("tasks", len({t["task_id"] for t in tasks}), n)
    wrong = collections.Counter()
    expected = {name: host.source(name) for name in FALL_BACK.keys() | host.kernel_fields}
    for task in tasks:
        completed(task)
        equal("fields with a value and fields with a source", set(task["usage"]), set(task["usage_sources"]))
        for name in (expected.keys() | task["usage"].keys()) - SAMPLED:
            if task["usage_sources"].get(name) != expected.get(name):
                wrong[name, task["usage_sources"].get(name), expected.get(name)] += 1
        if task["usage"]["cpu_usec"] <= 0 and not UML:
            wrong["cpu_usec is 0"] += 1
    equal("fields whose source is (field, got, expected)", dict(wrong), {})
    return f"{n} tasks, {len(expected)} fields each, {len(host.kernel_fields)} of them kernel-final"


def test_no_field_missing_of_another_user(host):
    """Whose tasks are in a sub-tree of their own."""
    task = host.reeve.run_wait(["true"], uid=65534, gid=65534)
    completed(task)
    equal("run_uid", task["run_uid"], 65534)
    expected = {name: host.source(name) for name in FALL_BACK.keys() | host.kernel_fields}
    got = {name: source for name, source in task["usage_sources"].items() if name not in SAMPLED}
    equal("sources", got, expected)


def test_snapshots_of_three_seconds(host):
    """One within the first second, one a second after it, and one at the end."""
    task = host.reeve.run_wait(["sleep", "3.4"])
    completed(task)
    with host.reeve.connect() as c:
        rows = c.call("Snapshots", {"task_id": task["task_id"]})["snapshots"]
    rows.sort(key=lambda r: r["taken_at"])
    said = "at " + ", ".join(f"{r['elapsed_usec'] / 1e6:.2f}" for r in rows) + " s"
    between("rows, " + said, len(rows), 4, 5)
    between("the first, " + said, rows[0]["elapsed_usec"], 0, 1200000)
    equal("the last row", rows[-1]["usage"].get("cpu_usec"), task["usage"]["cpu_usec"])
    for older, newer in zip(rows, rows[1:]):
        between("growth of cpu_usec", newer["usage"]["cpu_usec"], older["usage"]["cpu_usec"], 1 << 62)
        between("gap, " + said, newer["elapsed_usec"] - older["elapsed_usec"], 0, 1400000)
    return said


def main():
    reason = instance.unmet()
    if reason:
        print(f"skip exactness {reason}")
        return 77
    data = "/data" if TIER != "native" else None
    with Instance(base=data) as reeve:
        status = check.run(check.functions(sys.modules[__name__]), Host(reeve, data or reeve.root, 104 if UML else 1000))
    print(json.dumps({"tier": TIER, "kernel": os.uname().release}))
    return status


if __name__ == "__main__":
    sys.exit(main())
