# SPDX-License-Identifier: LGPL-2.1-or-later
"""Tasks of backend scope, as reeve and as systemd see them: names, ends from every side, accounts, nothing left."""

import contextlib
import os
import pathlib
import signal
import time

from breakpoint import Breakpoint
from check import Skip, equal
from checks import Gate, kernel_keeps_status, run_again
from installed import journal, proc_status, sh, unit
from instance import procs
from varlink import VarlinkError

SCOPE = {"backend": "scope"}
PATIENCE = 10
SLEEP = ["sleep", "infinity"]
NATIVE = os.environ.get("REEVE_TIER") == "nspawn"
CAP_SYS_RESOURCE = 1 << 24
CGROUP = pathlib.Path("/sys/fs/cgroup")


def scope_of(i, task, attempt=1):
    """The unit of an attempt."""
    escaped = task.replace("-", r"\x2d")
    return f"{i.prefix}-{escaped}-{attempt}.scope"


def start(i, argv=SLEEP, **kwargs):
    return i.run(argv, more={**SCOPE, **kwargs.pop("more", {})}, **kwargs)


def place(task):
    """The cgroup of the task's scope."""
    return (CGROUP / task["cgroup"]).parent


def oom_score_adj(pid):
    return int(pathlib.Path(f"/proc/{pid}/oom_score_adj").read_text(encoding="ascii"))


def keeper_of(task):
    (pid,) = procs(place(task) / "keeper")
    return pid


def until(what, condition, instead=lambda: "that"):
    """Asks systemd something, again and again: each answer is later than the one before."""
    deadline = time.monotonic() + PATIENCE
    while not (got := condition()):
        assert time.monotonic() < deadline, f"{what}: not within {PATIENCE} s, but {instead()}"
        sh("systemctl", "show", "-p", "Version")
    return got


def known_scopes(i):
    """The instance's scopes of tasks that systemd knows, in whatever state."""
    out = sh("systemctl", "list-units", "--all", "--full", "--plain", "--no-legend", "--type=scope", f"{i.prefix}-*")
    return [line.split()[0] for line in out.splitlines() if not line.startswith(f"{i.prefix}-pool.scope")]


def check_nothing_left(i):
    until("no record is left", lambda: not i.records(), i.records)
    until("no scope or process is left", lambda: [i.scopes(), i.processes(), known_scopes(i)] == [[], [], []],
          lambda: (i.scopes(), i.processes(), known_scopes(i)))
    until("no slice is left", lambda: not list(CGROUP.glob(f"reeve.slice/{i.prefix}.slice/*.slice")))


def check_end(i, task, outcome, number, source="kernel-final"):
    """Ends in a truthful way, with an account, and with nothing left. `number` is the signal or the exit status."""
    done = i.wait(task["task_id"])
    key = "exit_signal" if outcome == "signal" else "exit_status"
    got = done["status"], done.get("outcome"), done.get(key)
    equal(f"end of {task['task_id']}", got, ("failed" if outcome else "completed", outcome, number))
    sources = done["usage_sources"]
    assert sources.get("cpu_usec") in (source, "kernel-final"), f"cpu_usec: expected {source}, got {sources}"
    assert not NATIVE or done["usage"]["cpu_usec"] > 0, "no CPU time"  # user-mode Linux counts it in ticks of 10 ms
    check_nothing_left(i)
    return done


# --- what it is ---------------------------------------------------------------------------------------------------

def test_the_pool_is_a_scope(i):
    name = f"{i.prefix}-pool.scope"
    equal("state", unit(name, "ActiveState"), "active")
    equal("slice", unit(name, "Slice"), f"{i.prefix}.slice")
    equal("Delegate", unit(name, "Delegate"), "yes")
    equal("its own processes", procs(i.pool()), [])
    equal("holders", len(procs(os.path.join(i.pool(), "holder"))), 1)
    done = i.run_wait(["true"])
    equal("a task in it", (done["status"], done["backend"]), ("completed", "cgroup"))


def test_a_task_is_a_unit(i):
    task = start(i, ["sh", "-c", "exec sleep infinity", "\n\x1b[31m"], subsystem="a-b")
    name = scope_of(i, task["task_id"])
    equal("backend", task["backend"], "scope")
    for prop, value in {"ActiveState": "active", "Slice": f"{i.prefix}-a\\x2db.slice", "Delegate": "yes",
                        "SendSIGKILL": "no", "CollectMode": "inactive-or-failed",
                        "Description": "sh -c exec sleep infinity ??[31m"}.items():
        equal(prop, unit(name, prop), value)
    equal("the slice's parent", unit(f"{i.prefix}-a\\x2db.slice", "Slice"), f"{i.prefix}.slice")
    assert "sleep infinity" in sh("systemctl", "status", "--no-pager", name), "systemctl status hides the command"
    equal("processes of the scope itself", procs(place(task)), [])
    equal("processes of the task", procs(place(task) / "task"), [task["pid"]])
    if int(proc_status(keeper_of(task))["CapEff"], 16) & CAP_SYS_RESOURCE:
        until("the keeper is protected from the OOM killer", lambda: oom_score_adj(keeper_of(task)) == -999)
    equal("oom_score_adj of the task", oom_score_adj(task["pid"]), 0)
    with i.connect() as c:
        c.call("Cancel", {"task_id": task["task_id"]})
    equal("status", i.wait(task["task_id"])["status"], "cancelled")
    check_nothing_left(i)


def test_exit_status(i):
    check_end(i, start(i, ["sh", "-c", "exit 7"]), "exit-code", 7)
    check_end(i, start(i, ["true"]), None, 0)


def test_exec_failure(i):
    try:
        start(i, ["/nonexistent"])
        raise AssertionError("a command that does not exist was started")
    except VarlinkError as e:
        equal("error", e.name, "ExecFailed")
    check_nothing_left(i)


def test_leftovers_are_ended_and_counted(i):
    task = start(i, ["sh", "-c", "(setsid sh -c 'n=0; while [ $n -lt 20000 ]; do n=$((n+1)); done; sleep 100') & sleep .1"])
    done = check_end(i, task, None, 0)
    assert done["usage"]["cpu_usec"] > 10000, f"the daemon's time is missing: {done['usage']}"


def test_throttling_is_counted(i):
    """The quota is the scope's, the task's leaf knows nothing of it."""
    if "cpu" not in (CGROUP / "cgroup.controllers").read_text(encoding="ascii").split():
        raise Skip("this host has no cpu controller in cgroup v2")
    work = "end=$(($(date +%s)+2)); while [ $(date +%s) -lt $end ]; do :; done"
    done = check_end(i, start(i, ["sh", "-c", work], limits=[("CPUQuota", "2000")]), None, 0)
    assert done["usage"]["cpu_nr_throttled"] > 0 and done["usage"]["cpu_throttled_usec"] > 0, done["usage"]
    return f"{done['usage']['cpu_nr_throttled']} periods"


def test_names_that_are_too_long(i):
    for more in ({"task": "a" + "-" * 100}, {"subsystem": "a" + "-" * 63}):
        try:
            start(i, **more)
            raise AssertionError(f"{more} has a unit")
        except VarlinkError as e:
            equal("error", e.name, "InvalidArgument")
            assert "too long" in str(e.parameters), e.parameters
    check_nothing_left(i)


# --- ends that come from systemd ----------------------------------------------------------------------------------

TRAP = "trap 'echo term' TERM; n=0; while [ $n -lt 2000 ]; do n=$((n+1)); done; echo ready; while :; do sleep 1; done"


def wait_for_output(i, task, text):
    until(f"output {text!r}", lambda: text in i.output(task["task_id"]))


def test_systemctl_stop(i):
    task = start(i)
    sh("systemctl", "stop", scope_of(i, task["task_id"]))
    check_end(i, task, "signal", signal.SIGTERM)


def test_slice_stopped(i):
    """So ends what runs when the host goes down: its slice conflicts with shutdown.target."""
    tasks = [start(i) for _ in range(3)]
    sh("systemctl", "stop", f"{i.prefix}-test.slice")
    for task in tasks:
        equal("end", i.wait(task["task_id"])["exit_signal"], signal.SIGTERM)
    check_nothing_left(i)


def test_systemctl_stop_of_the_stubborn(i):
    """It is told once, has its grace, is killed by its keeper, and not by systemd; then the stop is done."""
    task = start(i, ["sh", "-c", TRAP], grace_usec=10**6)
    wait_for_output(i, task, b"ready")
    sh("systemctl", "stop", scope_of(i, task["task_id"]))
    check_end(i, task, "signal", signal.SIGKILL)
    equal("SIGTERMs that it saw", i.output(task["task_id"]).count(b"term"), 1)


def test_systemctl_kill(i):
    """SIGKILL for everything in the scope, the keeper too: the status is true; of the account what can be known."""
    task = start(i, ["sh", "-c", TRAP])
    wait_for_output(i, task, b"ready")
    try:
        sh("systemctl", "kill", "--signal=KILL", scope_of(i, task["task_id"]))
    except AssertionError as e:  # systemd looks again for whom it missed, and everything may be gone by then
        if "No such device" not in str(e):
            raise
    done = check_end(i, task, "signal", signal.SIGKILL, "rusage")
    return f"source of cpu_usec: {done['usage_sources']['cpu_usec']}"


def test_cgroup_kill(i):
    """What systemd-oomd does."""
    sources = []
    for _ in range(10):
        task = start(i, ["sh", "-c", TRAP])
        wait_for_output(i, task, b"ready")
        (place(task) / "cgroup.kill").write_text("1", encoding="ascii")
        sources.append(check_end(i, task, "signal", signal.SIGKILL, "rusage")["usage_sources"]["cpu_usec"])
    return f"sources of cpu_usec: {({s: sources.count(s) for s in sources})}"


def gated(i, status=9):
    """A command that waits at the instance's gate."""
    return ["sh", "-c", f"read -r _ <{i.path('gate')}; exit {status}"]


@contextlib.contextmanager
def gate(i):
    g = Gate(i)
    try:
        yield g
    finally:
        g.close()
        os.unlink(i.path("gate"))


def test_keeper_killed(i):
    """Another one adopts the task, within the scope."""
    with gate(i) as g:
        task = start(i, gated(i))
        first = keeper_of(task)
        os.kill(first, signal.SIGKILL)
        until("another keeper", lambda: [p for p in procs(place(task) / "keeper") if p != first])
        g.open()
        check_end(i, task, "exit-code", 9)


def test_keeper_and_launcher_killed(i):
    with gate(i) as g:
        task = start(i, gated(i))
        keeper = keeper_of(task)
        i.kill(i.launcher)
        os.kill(keeper, signal.SIGKILL)
        i.start_launcher()
        until("another keeper", lambda: [p for p in procs(place(task) / "keeper") if p != keeper])
        g.open()
        done = i.wait(task["task_id"])
        end = done["status"], done.get("outcome"), done.get("exit_status")
        if kernel_keeps_status() or end[0] != "lost":  # else who looks before init reaps it may know, or not
            equal("end", end, ("failed", "exit-code", 9))
        equal("source of cpu_usec", done["usage_sources"]["cpu_usec"], "kernel-final")
        check_nothing_left(i)


# --- what is restarted meanwhile ----------------------------------------------------------------------------------

def many(i, n, during):
    """Starts n tasks, pipelined, does `during`, and wants all to have ended well, with kernel's accounts."""
    with i.connect(timeout=60) as c:
        ids = [i.submit(c, ["true"], more=SCOPE) for _ in range(n)]
        during()
        for _ in ids:
            c.reply()
        ended = [c.call("Wait", {"task_id": t})["task"] for t in ids]
    equal("ends", {(t["status"], t["backend"], t["usage_sources"].get("cpu_usec")) for t in ended},
          {("completed", "scope", "kernel-final")})
    check_nothing_left(i)
    return ended


def test_daemon_reexec(i):
    """Of PID 1, while scopes are being made, and while one runs."""
    with gate(i) as g:
        task = start(i, gated(i))
        for verb in ("daemon-reexec", "daemon-reload", "daemon-reexec"):
            with i.connect(timeout=60) as c:
                ids = [i.submit(c, ["true"], more=SCOPE) for _ in range(12)]
                sh("systemctl", verb)
                for _ in ids:
                    c.reply()
                for t in ids:
                    done = c.call("Wait", {"task_id": t})["task"]
                    equal(f"{t} at {verb}", (done["status"], done["attempt"], done["usage_sources"].get("cpu_usec")),
                          ("completed", 1, "kernel-final"))
        equal("the task that runs", unit(scope_of(i, task["task_id"]), "ActiveState"), "active")
        g.open()
        check_end(i, task, "exit-code", 9)


def test_restart_of_the_bus(i):
    many(i, 12, lambda: sh("systemctl", "restart", "dbus.service"))


def holder(i):
    (pid,) = procs(os.path.join(i.pool(), "holder"))
    return pid


def test_restart_of_the_launcher(i):
    first = holder(i)
    with gate(i) as g:
        tasks = [start(i, gated(i)), i.run(gated(i))]
        for number in (signal.SIGTERM, signal.SIGKILL):
            i.kill(i.launcher, number=number)
            i.start_launcher()
        equal("holder", holder(i), first)
        for _ in tasks:
            g.open()
        for task in tasks:
            done = i.wait(task["task_id"])
            equal("end", (done["exit_status"], done["usage_sources"]["cpu_usec"]), (9, "kernel-final"))
    check_nothing_left(i)


# --- the pool -----------------------------------------------------------------------------------------------------

def test_holder_killed(i):
    with gate(i) as g:
        task = i.run(gated(i))
        first = holder(i)
        os.kill(first, signal.SIGKILL)
        until("another holder", lambda: [p for p in procs(os.path.join(i.pool(), "holder")) if p != first])
        equal("a task meanwhile", i.run_wait(["true"])["status"], "completed")
        g.open()
        equal("the task", i.wait(task["task_id"])["exit_status"], 9)


def test_pool_stopped(i):
    """Tasks end as systemd asks, with their accounts; the pool is there again at once, for who runs something then."""
    tasks = [i.run(SLEEP) for _ in range(5)]
    first = holder(i)
    sh("systemctl", "stop", f"{i.prefix}-pool.scope")
    for task in tasks:
        done = i.wait(task["task_id"])
        equal("end", (done["status"], done["exit_signal"], done["usage_sources"]["cpu_usec"]),
              ("failed", signal.SIGTERM, "kernel-final"))
    done = i.run_wait(["true"])
    equal("a task afterwards", (done["status"], done["usage_sources"]["cpu_usec"]), ("completed", "kernel-final"))
    assert holder(i) != first
    equal("state of the pool", unit(f"{i.prefix}-pool.scope", "ActiveState"), "active")


def test_pool_stopped_without_a_launcher(i):
    task = i.run(SLEEP)
    i.kill(i.launcher)
    sh("systemctl", "stop", f"{i.prefix}-pool.scope")
    i.start_launcher()
    done = i.wait(task["task_id"])
    equal("end", (done["exit_signal"], done["usage_sources"]["cpu_usec"]), (signal.SIGTERM, "kernel-final"))
    after = run_again(i, ["true"], "after_the_stop")
    equal("a task afterwards", i.wait(after["task_id"])["status"], "completed")


def test_pool_lost_a_part(i):
    """As when systemd gives a scope up that it could not stop, and removes what is empty in it."""
    first = holder(i)
    until("no keeper waits for another task", lambda: not i.keepers(), i.keepers)
    for part in ("keepers", os.path.join("tasks", "0"), "tasks"):
        with contextlib.suppress(FileNotFoundError):
            os.rmdir(os.path.join(i.pool(), part))
    after = run_again(i, ["true"], "after_the_loss")
    equal("a task afterwards", i.wait(after["task_id"])["status"], "completed")
    assert holder(i) != first


def test_launcher_killed_while_the_pool_is_made(i):
    """Nothing of the first try is left, and the next launcher makes it."""
    with Breakpoint("launcher:pool-scope") as point:
        i.kill(i.launcher)
        sh("systemctl", "stop", f"{i.prefix}-pool.scope")
        i.start_launcher(point.environment("launcher"), ready=False)
        point.wait()
        i.kill(i.launcher)
    i.start_launcher()
    after = run_again(i, ["true"], "after_the_kill")
    equal("a task afterwards", i.wait(after["task_id"])["status"], "completed")
    equal("holders", len(procs(os.path.join(i.pool(), "holder"))), 1)
    check_nothing_left(i)


# --- how exact ----------------------------------------------------------------------------------------------------

def peer_services(n):
    """How many transient services of systemd end without a figure for their CPU time."""
    return sum("CPU time consumed" not in sh("systemd-run", "--wait", "true") for _ in range(n))


def peer_scopes(n):
    """The same for scopes, which only the journal tells about, and that only when PID 1 is talkative."""
    level = sh("systemctl", "log-level").strip()
    sh("systemctl", "log-level", "debug")
    names = [f"peer-{os.getpid()}-{k}.scope" for k in range(n)]
    for name in names:
        sh("systemd-run", "--scope", f"--unit={name}", "true")
    until("the peers' scopes are gone", lambda: not list(CGROUP.glob(f"system.slice/peer-{os.getpid()}-*")))
    sh("systemctl", "log-level", level)
    known = {e["UNIT"] for e in journal("_PID=1", "MESSAGE_ID=ae8f7b866b0347b9af31fe1c80b127c0")
             if e.get("UNIT") in names and "CPU_USAGE_NSEC" in e}
    return n - len(known)


def test_a_thousand_accounts(i):
    """Not one field is missing of what this kernel counts."""
    n, batch, peers = (1000, 50, 100) if NATIVE else (100, 10, 20)
    wanted = i.run_wait(["true"], more=SCOPE)["usage_sources"]
    wanted = {k: v for k, v in wanted.items() if v != "kernel"}  # a sample met it by chance
    began, missing = time.monotonic(), []
    for _ in range(n // batch):
        with i.connect(timeout=120) as c:
            ids = [i.submit(c, ["true"], more=SCOPE) for _ in range(batch)]
            for _ in ids:
                c.reply()
            for t in ids:
                done = c.call("Wait", {"task_id": t})["task"]
                lacks = wanted.items() - done["usage_sources"].items()
                if lacks or (NATIVE and not done["usage"]["cpu_usec"]):
                    missing.append((t, lacks, done["usage"]))
    rate = n / (time.monotonic() - began)
    assert not missing, f"{len(missing)} of {n} accounts lack something, the first is {missing[0]}"
    equal("source of cpu_usec", wanted["cpu_usec"], "kernel-final")
    check_nothing_left(i)
    return (f"0 of {n} accounts in scopes lack a field ({rate:.0f}/s); systemd's own: {peer_scopes(peers)} of {peers} "
            f"scopes and {peer_services(peers)} of {peers} services end without CPUUsageNSec")
