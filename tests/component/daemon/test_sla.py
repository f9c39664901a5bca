# SPDX-License-Identifier: LGPL-2.1-or-later
"""Deadlines: the steps of a ladder happen when they are due and at most once, whoever is killed when, and say so.

The task counts what reaches it: it appends a line to its output for each USR1, and ignores TERM. Times are of hundreds of
milliseconds, and nothing is asserted of how late a step is beyond what a busy machine needs; the lateness is printed (and
measured by `./dev bench sla`).
"""

import contextlib
import json
import os
import signal
import sqlite3
import struct
import time

import pytest

from breakpoint import Breakpoint
from checks import PATIENCE, database, until
from instance import Instance, wait_exit
from people import Person
from varlink import ConnectionLost, VarlinkError

# A shell that waits for a builtin hears every signal; dash forgets one that comes while it starts a command.
REST = "(trap '' USR1 TERM; exec sleep 1000) & "
FOREVER = "while :; do wait; done"
TASK = ["/bin/sh", "-c", f"exec 2>/dev/null; trap '' TERM; {REST} trap 'echo hit' USR1; echo ran; {FOREVER}"]
SLEEP = ["/bin/sleep", "1000"]

FULL = """
version: 1
subsystems:
  test:
    task_types:
      check:
        sla:
          deadline: 600ms
          from: started
          ladder:
            - {at: 50%, do: notify}
            - {at: 80%, do: signal, signal: SIGUSR1}
            - {at: 100%, do: escalate, hook: /usr/lib/reeve/hooks/page}
            - {at: 100%, after: 200ms, do: signal, signal: SIGTERM}
            - {at: 100%, after: 400ms, do: kill}
"""


def ladder(*steps, deadline="600ms", start="started", overrides=None):
    text = "".join(f"            - {{{s}}}\n" for s in steps)
    return f"""
version: 1
subsystems:
  test:
    task_types:
      check:
        {f'overrides: {overrides}' if overrides else ''}
        sla:
          deadline: {deadline}
          from: {start}
          ladder:
{text}"""


@contextlib.contextmanager
def instance(policy, start=True):
    i = Instance()
    with open(i.path("policy.d", "00-test.yaml"), "w", encoding="utf-8") as f:
        f.write(policy)
    try:
        if start:
            i.start()
        yield i
    except BaseException:
        print(i.logs())
        raise
    finally:
        i.close()


def steps(task):
    """What became of each, by number; the deadline's own is None."""
    return {s.get("step"): s for s in task["ladder"]}


def states(task):
    return {n: s["state"] for n, s in steps(task).items()}


def events(i, task):
    """(topic, number of the step) of what happened to the task's ladder, in order."""
    with database(i) as db:
        rows = db.execute("SELECT topic, detail FROM task_events WHERE task_id = ? AND topic LIKE 'task.sla%' "
                          "ORDER BY number", (task["task_id"],))
        return [(topic, json.loads(detail).get("ladder_step", {}).get("step")) for topic, detail in rows]


def say_lateness(task):
    for s in task["ladder"]:
        if "lateness_usec" in s:
            print(f"{task['task_id']}: {s['do']:9} {s['state']:9} late by {s['lateness_usec'] / 1000:.3f} ms")


def hits(i, task):
    return i.output(task["task_id"]).count(b"hit")


# ---- what happens when nobody disturbs it


def test_ladder_of_a_task_that_ignores_term():
    with instance(FULL) as i:
        t = i.run_wait(TASK)
        say_lateness(t)
        assert (t["status"], t["outcome"], t["exit_signal"]) == ("failed", "sla", 9), t
        assert t["message"] == "ended by step 5 (kill) of its ladder"
        assert states(t) == {1: "done", 2: "done", 3: "failed", 4: "done", 5: "done", None: "done"}
        assert "hook" in steps(t)[3]["message"], "there is no such program"
        assert hits(i, t) == 1
        assert events(i, t) == [("task.sla_warning", 1), ("task.sla_step", 2), ("task.sla_violated", None),
                                ("task.sla_step", 3), ("task.sla_step", 4), ("task.sla_step", 5)]
        assert t["sla_deadline"] == t["started_at"] + 600000
        assert t["sla_met"] is False and -30 < t["sla_margin_seconds"] <= -0.4
        for s in t["ladder"]:
            assert s["fired_at"] >= s["due_at"], s
        with database(i) as db:
            rows = db.execute("SELECT step, action, state FROM task_ladder_steps WHERE task_id = ?", (t["task_id"],))
            assert [tuple(r) for r in rows][0] == (1, "notify", "done")


def test_task_that_is_in_time():
    with instance(FULL) as i:
        t = i.run_wait(["/bin/true"])
        assert (t["status"], t["sla_met"]) == ("completed", True), t
        assert 0 < t["sla_margin_seconds"] < 0.6
        assert set(states(t).values()) == {"waiting"} and events(i, t) == []
        t = i.run_wait(["/bin/false"])
        assert (t["outcome"], t["sla_met"]) == ("exit-code", False), t


def test_exit_status_after_term_is_the_ladders():
    with instance(ladder("at: 100%, do: signal, signal: SIGTERM", deadline="200ms")) as i:
        t = i.run_wait(["/bin/sh", "-c", f"trap 'exit 0' TERM; {REST} {FOREVER}"])
        assert (t["status"], t["outcome"], t["exit_status"]) == ("failed", "sla", 0), t
        # A signal that does not ask to end has not ended who goes on and ends by himself.
    with instance(ladder("at: 50%, do: signal, signal: SIGUSR1", deadline="200ms")) as i:
        t = i.run_wait(["/bin/sh", "-c", f"trap 'exit 3' USR1; {REST} {FOREVER}"])
        assert (t["status"], t["outcome"]) == ("failed", "exit-code"), t
        t = i.run_wait(SLEEP)
        assert (t["outcome"], t["exit_signal"]) == ("sla", 10), t


def test_frozen_task_is_thawed_for_a_signal():
    policy = ladder("at: 50%, do: freeze", "at: 100%, do: signal, signal: SIGUSR1", "at: 200%, do: kill", deadline="400ms")
    with instance(policy) as i:
        t = i.run(TASK)
        with i.connect() as c:
            until(i, "frozen", lambda: c.call("Get", {"task_id": t["task_id"]})["task"].get("frozen"))
        t = i.wait(t["task_id"])
        assert states(t) == {1: "done", None: "done", 2: "done", 3: "done"}, t
        assert hits(i, t) == 1
    i = Instance(backend="process")
    with open(i.path("policy.d", "00-test.yaml"), "w", encoding="utf-8") as f:
        f.write(policy)
    with i:
        t = i.run_wait(TASK)
        assert states(t) == {1: "failed", None: "done", 2: "done", 3: "done"}, t
        assert "cgroup" in steps(t)[1]["message"]


def test_deadlines_that_callers_ask_for():
    with instance(ladder("at: 100%, do: kill", deadline="infinity")) as i:
        t = i.run_wait(SLEEP, more={"sla": "300ms"})
        assert (t["outcome"], t["sla_deadline"]) == ("sla", t["started_at"] + 300000), t
        past = time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime(time.time() - 3600))
        with pytest.raises(VarlinkError) as e:
            i.run(SLEEP, task="late", more={"sla": past})
        assert e.value.name == "AlreadyFinished" and "deadline" in e.value.parameters["message"]
        assert i.wait("late")["outcome"] == "sla"
        assert "sla_deadline" not in i.run_wait(["/bin/true"])


def test_deadline_by_forecast():
    policy = ladder("at: 100%, do: kill", deadline="infinity")
    with instance(policy) as i:
        t = i.run_wait(["/bin/true"], more={"sla": "forecast_p95 * 2"})
        assert "sla_deadline" not in t, "there was no history, and no fallback"
        # Twenty of them, the slowest two of one and two seconds: nearest rank is the nineteenth.
        for _ in range(19):
            i.run_wait(["/bin/true"])
        with database(i) as db:
            ids = [r[0] for r in db.execute("SELECT task_id FROM task_registry ORDER BY seq")]
        i.kill(i.reeved)
        with contextlib.closing(sqlite3.connect(i.path("registry.db"))) as db:
            for n, task in enumerate(ids):
                seconds = {18: 1.0, 19: 2.0}.get(n, 0.01)
                db.execute("UPDATE task_registry SET duration_seconds = ? WHERE task_id = ?", (seconds, task))
            db.commit()
        i.start_reeved()
        t = i.run(SLEEP, more={"sla": "forecast_p95 * 3"})
        assert t["sla_deadline"] in (t["created_at"] + 3000000, t["started_at"] + 3000000), t


def test_deadline_without_a_forecast():
    """The fallback, as long as there is no history, and then the history."""
    policy = "version: 1\ndefaults: {sla: {deadline: forecast_p95 * 1000, fallback: 1h, ladder: [{at: 100%, do: kill}]}}\n"
    with instance(policy) as i:
        t = i.run_wait(["/bin/true"])
        assert t["sla_deadline"] == t["created_at"] + 3600 * 10**6, t
        for _ in range(4):
            i.run_wait(["/bin/true"])
        t = i.run_wait(["/bin/true"])
        assert 0 < t["sla_deadline"] - t["created_at"] != 3600 * 10**6, t


def test_extend():
    with instance(ladder("at: 100%, do: kill", deadline="30s", overrides="{sla: allow}")) as i, i.connect() as c:
        t = i.run(SLEEP)
        c.call("Extend", {"task_id": t["task_id"], "by_usec": 3600 * 10**6})
        now = c.call("Get", {"task_id": t["task_id"]})["task"]
        assert now["sla_deadline"] == t["sla_deadline"] + 3600 * 10**6
        assert steps(now)[1]["due_at"] == now["sla_deadline"] and 3600 < now["sla_margin_seconds"] < 3631
        assert backstop(i, t) > time.clock_gettime_ns(time.CLOCK_BOOTTIME) / 1000 + 3600 * 10**6
        assert events(i, t) == [("task.sla_extended", None)]
        for bad in (0, -1, 1 << 62):
            with pytest.raises(VarlinkError) as e:
                c.call("Extend", {"task_id": t["task_id"], "by_usec": bad})
            assert (e.value.name, e.value.field) == ("InvalidArgument", "by_usec")
        c.call("Cancel", {"task_id": t["task_id"]})
        t = i.wait(t["task_id"])
        assert t["status"] == "cancelled" and "sla_met" not in t and t["sla_margin_seconds"] > 3600, t


def backstop(i, task):
    """The keeper's deadline in the task's record, CLOCK_BOOTTIME."""
    with open(i.path("tasks", f"{task['task_id']}.1"), "rb") as f:
        data = f.read(1024)
    # magic 8, version and size, phase and flags, id, six numbers, boot id and serial, cgroup, its id, four times
    offset = 8 + 4 * 4 + 136 + 6 * 4 + 32 + 512 + 8 + 4 * 8
    return struct.unpack_from("Q", data, offset)[0]


def test_backstop_is_the_kill_and_ten_seconds():
    with instance(ladder("at: 100%, after: 5s, do: kill", deadline="30s")) as i:
        now = time.clock_gettime_ns(time.CLOCK_BOOTTIME) / 1000
        t = i.run(SLEEP)
        assert now + 45e6 <= backstop(i, t) < now + 55e6
    with instance(ladder("at: 100%, do: notify", deadline="30s")) as i:
        assert backstop(i, i.run(SLEEP)) == 2**64 - 1


def test_who_may_extend():
    person = Person("nobody")
    cases = (("{sla: allow}", "30s", None, True), (None, "30s", None, False), ("{sla: stricter}", "30s", "10s", False),
             (None, "infinity", "10s", True), ("{sla: deny}", "30s", None, False))
    for overrides, deadline, asked, may in cases:
        with instance(ladder("at: 100%, do: kill", deadline=deadline, overrides=overrides)) as i:
            def extend():
                t = i.run(SLEEP, more={"sla": asked} if asked else {})
                with i.connect() as c:
                    try:
                        c.call("Extend", {"task_id": t["task_id"], "by_usec": 10**6})
                        return None, t["task_id"]
                    except VarlinkError as e:
                        return (e.name, e.field), t["task_id"]
            error, task = person.does(extend)
            assert error == (None if may else ("PermissionDenied", "task_id")), (overrides, deadline, asked)
            with i.connect() as c:
                c.call("Extend", {"task_id": task, "by_usec": 10**6})  # root always


def test_extend_of_what_has_none():
    with instance(FULL) as i, i.connect() as c:
        t = i.run(SLEEP, subsystem="other")
        for task, name in ((t["task_id"], "InvalidArgument"), ("nobody", "NoSuchTask"), ("..", "InvalidArgument")):
            with pytest.raises(VarlinkError) as e:
                c.call("Extend", {"task_id": task, "by_usec": 10**6})
            assert (e.value.name, e.value.field) == (name, "task_id")


# ---- restarts

CRASH = ladder("at: 100%, do: signal, signal: SIGUSR1", "at: 300%, do: kill", deadline="500ms")

# Who is killed at which step; then what is recorded, and how often the task heard of it.
MATRIX = [
    ("reeved:step-due", "reeved", "done", 1),
    ("reeved:step-acted", "reeved", "uncertain", 1),
    ("reeved:step-acted", "reeved+launcher", "uncertain", 1),
    ("reeved:step-stored#2", "reeved", "done", 1),
    ("launcher:step-claimed", "launcher", "uncertain", 0),
    ("launcher:step-claimed", "reeved", "uncertain", 1),
    ("launcher:step-claimed", "reeved+launcher", "uncertain", 0),
    ("launcher:step-acted", "launcher", "uncertain", 1),
    ("launcher:step-acted", "reeved", "uncertain", 1),
    ("launcher:step-acted", "reeved+launcher", "uncertain", 1),
]


def crash(i, point, victims):
    """Kills these daemons ("reeved+launcher") at the point, and starts them again."""
    point.wait()
    i.kill(*[d for name, d in (("launcher", i.launcher), ("reeved", i.reeved)) if name in victims.split("+")])
    point.let_go()
    if not i.launcher:
        i.start_launcher()
    if not i.reeved:
        i.start_reeved()


@pytest.mark.parametrize("step, victims, state, heard", MATRIX, ids=[f"{m[0]}-kills-{m[1]}" for m in MATRIX])
def test_no_step_twice(step, victims, state, heard):
    with Breakpoint(step) as point, instance(CRASH, start=False) as i:
        i.start_launcher(point.environment("launcher"))
        i.start_reeved(point.environment("reeved"))
        t = i.run(TASK)
        crash(i, point, victims)
        t = i.wait(t["task_id"])
        say_lateness(t)
        assert (steps(t)[1]["state"], hits(i, t)) == (state, heard), steps(t)[1]
        assert steps(t)[1]["lateness_usec"] >= 0 and (state == "done") == ("message" not in steps(t)[1])
        assert (t["outcome"], steps(t)[2]["state"]) == ("sla", "done"), t
        assert events(i, t).count(("task.sla_step", 1)) == 1, events(i, t)
        assert events(i, t).count(("task.sla_violated", None)) == 1, events(i, t)


@pytest.mark.parametrize("step, victims", [("launcher:step-claimed", "launcher"), ("launcher:step-claimed", "reeved"),
                                           ("launcher:step-acted", "reeved+launcher"), ("reeved:step-acted", "reeved")])
def test_kill_whose_result_was_hidden_is_repeated(step, victims):
    with Breakpoint(step) as point, instance(ladder("at: 100%, do: kill", deadline="300ms"), start=False) as i:
        i.start_launcher(point.environment("launcher"))
        i.start_reeved(point.environment("reeved"))
        t = i.run(TASK)
        crash(i, point, victims)
        t = i.wait(t["task_id"])
        assert (t["outcome"], t["exit_signal"], steps(t)[1]["state"]) == ("sla", 9, "uncertain"), t


def test_escalation_that_a_crash_hid():
    policy = ladder("at: 100%, do: escalate, hook: /usr/lib/reeve/hooks/page", "at: 500%, do: kill", deadline="300ms")
    with Breakpoint("reeved:step-claimed") as point, instance(policy, start=False) as i:
        i.start_launcher()
        i.start_reeved(point.environment("reeved"))
        t = i.run(TASK)
        point.wait()
        i.kill(i.reeved)
        point.let_go()
        i.start_reeved()
        t = i.wait(t["task_id"])
        assert states(t) == {None: "done", 1: "uncertain", 2: "done"}, t


def test_what_came_due_while_nobody_was_there():
    with instance(ladder("at: 50%, do: notify", "at: 100%, do: signal, signal: SIGUSR1", "at: 400%, do: kill",
                         deadline="500ms")) as i:
        t = i.run(TASK)
        i.kill(i.reeved)
        time_of_absence = 0.8
        due = t["started_at"] / 1e6 + 0.5
        while time.time() < due + time_of_absence - 0.5:
            os.sched_yield()
        i.start_reeved()
        t = i.wait(t["task_id"])
        say_lateness(t)
        assert states(t) == {1: "done", None: "done", 2: "done", 3: "done"} and hits(i, t) == 1, t
        assert steps(t)[1]["lateness_usec"] > steps(t)[2]["lateness_usec"] > 100000


def test_the_keeper_enforces_it_alone():
    """Ten seconds after the kill that nobody was there for."""
    with instance(ladder("at: 100%, do: kill", deadline="100ms"), start=False) as i:
        i.start()
        t = i.run(TASK)
        keeper = os.pidfd_open(i.keepers()[0])
        i.kill(i.reeved, i.launcher)
        assert wait_exit(keeper, PATIENCE), "the task runs on"
        os.close(keeper)
        i.start()
        t = i.wait(t["task_id"])
        assert (t["outcome"], t["exit_signal"]) == ("sla", 9), t


def steps_process(i):
    """The launcher's process for steps of ladders."""
    launcher = i.launcher.process.pid
    with open(f"/proc/{launcher}/task/{launcher}/children", encoding="ascii") as f:
        for pid in map(int, f.read().split()):
            with contextlib.suppress(OSError), open(f"/proc/{pid}/comm", encoding="ascii") as comm:
                if comm.read() == "reeve-steps\n":
                    return pid
    return None


def test_without_the_process_for_steps():
    """Then the launcher does them itself; and it takes that process along when it goes."""
    with instance(ladder("at: 50%, do: signal, signal: SIGUSR1", "at: 100%, do: kill", deadline="600ms")) as i:
        fd = os.pidfd_open(steps_process(i))
        signal.pidfd_send_signal(fd, signal.SIGKILL)
        assert wait_exit(fd, PATIENCE)
        os.close(fd)
        t = i.run_wait(TASK)
        assert (states(t)[1], states(t)[2], hits(i, t)) == ("done", "done", 1), t
        i.kill(i.launcher)
        i.start_launcher()
        fd = os.pidfd_open(steps_process(i))
        i.kill(i.launcher)
        assert wait_exit(fd, PATIENCE), "it outlives its launcher"
        os.close(fd)


# ---- pending tasks


def pending(i, more=None):
    """A task that is committed and cannot be launched, since there is no launcher. reeved runs."""
    with Breakpoint("reeved:inserted") as point:
        i.start_launcher()
        i.start_reeved(point.environment("reeved"))
        with i.connect(timeout=PATIENCE) as c:
            task = i.submit(c, TASK, more=more or {})
            point.wait()
            i.kill(i.launcher, i.reeved)
            point.let_go()
            with pytest.raises(ConnectionLost):
                c.reply()
    i.start_reeved()
    return task


def test_pending_task():
    policy = ladder("at: 20%, do: notify", "at: 50%, do: freeze", "at: 60%, do: escalate, hook: /usr/lib/reeve/hooks/page",
                    "at: 70%, do: signal, signal: SIGUSR1", "at: 100%, after: 100ms, do: kill",
                    deadline="1s", start="created")
    with instance(policy, start=False) as i:
        t = i.wait(pending(i))
        say_lateness(t)
        assert (t["status"], t["outcome"], t["attempt"]) == ("failed", "sla", 0), t
        # The hook is a task, too, and waits for the launcher: what became of it comes after the end of this one.
        assert states(t) == {1: "done", 2: "failed", 3: "acting", 4: "failed", None: "done", 5: "done"}, t
        i.start_launcher()
        with i.connect() as c:
            until(i, "the hook has failed", lambda: states(c.call("Get", {"task_id": t["task_id"]})["task"])[3] == "failed")
        assert events(i, t)[-1] == ("task.sla_step", 3), events(i, t)
        assert steps(t)[2]["message"] == "the task does not run" and t["sla_met"] is False


def test_clock_that_starts_with_the_task():
    with instance(ladder("at: 100%, do: kill", deadline="300ms"), start=False) as i:
        task = pending(i)
        with i.connect() as c:
            t = c.call("Get", {"task_id": task})["task"]
            assert t["status"] == "pending" and "sla_deadline" not in t and "due_at" not in steps(t)[1], t
        i.start_launcher()
        t = i.wait(task)
        assert (t["outcome"], t["sla_deadline"]) == ("sla", t["started_at"] + 300000), t


def multiply(i, task, n, name):
    """Makes n more rows like that of a task that does not run; reeved does not run."""
    with contextlib.closing(sqlite3.connect(i.path("registry.db"))) as db:
        for table in ("task_registry", "task_specs"):
            names = [r[1] for r in db.execute(f"PRAGMA table_info({table})") if r[1] not in ("seq", "task_id")]
            columns = ", ".join(names)
            db.execute(f"WITH RECURSIVE n(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM n WHERE n < {n}) "
                       f"INSERT INTO {table} (task_id, {columns}) SELECT '{name}-' || n.n, {columns} "
                       f"FROM {table}, n WHERE task_id = ?", (task,))
        db.commit()


def done_steps(i):
    with database(i) as db:
        return db.execute("SELECT count(*) FROM task_events WHERE topic LIKE 'task.sla%'").fetchone()[0]


def open_tasks(i):
    with database(i) as db:
        return db.execute("SELECT count(*) FROM task_registry WHERE status IN ('pending', 'active')").fetchone()[0]


def test_ten_thousand_tasks():
    """Half of them pending, half of them reported. reeved is killed again and again while their steps come due: each is done once."""
    n, deaths = 10000, 0
    policy = ladder("at: 50%, do: notify", "at: 90%, do: notify", "at: 100%, do: kill", deadline="20s", start="created")
    with instance(policy, start=False) as i:
        task = pending(i)
        with i.connect() as c:
            reported = c.call("Start", {"subsystem": "test", "task_type": "check"})["task"]["task_id"]
        i.kill(i.reeved)
        multiply(i, task, n // 2 - 1, "pending")
        multiply(i, reported, n // 2 - 1, "reported")
        with contextlib.closing(sqlite3.connect(i.path("registry.db"))) as db:
            # Their steps are spread over three seconds that begin soon.
            now, wall = time.clock_gettime_ns(time.CLOCK_BOOTTIME) // 1000, time.time_ns() // 1000
            db.execute("UPDATE task_registry SET sla_span = 2000000, sla_deadline_boottime = ? + (seq * 7919) % 3000000, "
                       "sla_deadline = ? + (seq * 7919) % 3000000", (now + 3000000, wall + 3000000))
            db.commit()
        while 4 * n - done_steps(i) > 6000 and deaths < 20:
            i.start_reeved({"REEVE_CRASH_AT": "reeved:step-stored#3000"}, ready=False)
            assert wait_exit(i.reeved.pid_fd, PATIENCE), "reeved has not come to its three thousandth step"
            i.kill(i.reeved)
            deaths += 1
        i.start_reeved()
        for task in ("pending-1", f"pending-{n // 2 - 1}", "reported-1", f"reported-{n // 2 - 1}"):
            i.wait(task)
        until(i, "all have ended", lambda: not open_tasks(i))
        with database(i) as db:
            assert db.execute("SELECT count(*) FROM task_registry WHERE outcome = 'sla'").fetchone()[0] == n
            twice = db.execute(
                "SELECT task_id, topic, json_extract(detail, '$.ladder_step.step') AS step, count(*) FROM task_events "
                "WHERE topic LIKE 'task.sla%' GROUP BY 1, 2, 3 HAVING count(*) <> 1").fetchall()
            assert not twice, f"{len(twice)} steps were done more than once, such as {tuple(twice[0])}"
            found = dict(db.execute("SELECT state, count(*) FROM task_ladder_steps GROUP BY 1").fetchall())
            late = [r[0] for r in db.execute("SELECT lateness_usec FROM task_ladder_steps ORDER BY 1")]
            assert found == {"done": 4 * n}, found
        print(f"{n} tasks, {deaths} deaths: lateness p50 {late[len(late) // 2] / 1000:.1f} ms, p99 {late[len(late) * 99 // 100] / 1000:.1f} ms")
        assert deaths >= 3


def test_fifty_launched_tasks():
    """The same with processes, which count their signals."""
    n = 50
    policy = ladder("at: 20%, do: notify", "at: 50%, do: signal, signal: SIGUSR1", "at: 100%, do: signal, signal: SIGTERM",
                    "at: 100%, after: 200ms, do: kill", deadline="4s")
    with instance(policy) as i:
        tasks = []
        with i.connect() as c:
            for _ in range(n):
                i.submit(c, TASK)
            tasks = [c.reply()["task"]["task_id"] for _ in range(n)]
        for _ in range(5):
            with database(i) as db:
                before = db.execute("SELECT count(*) FROM task_events WHERE topic LIKE 'task.sla%'").fetchone()[0]
                until(i, "steps are done", lambda: db.execute(
                    "SELECT count(*) FROM task_events WHERE topic LIKE 'task.sla%'").fetchone()[0] >= min(
                        before + 37, 5 * n))
            i.kill(i.reeved)
            i.start_reeved()
        uncertain = 0
        for task in tasks:
            t = i.wait(task)
            assert (t["outcome"], t["exit_signal"]) == ("sla", 9), t
            happened = events(i, t)
            assert len(happened) == len(set(happened)) == 5, happened
            state, heard = steps(t)[2]["state"], hits(i, t)
            uncertain += state == "uncertain"
            assert heard == 1 if state == "done" else heard <= 1, (state, heard)
        print(f"{uncertain} of {n} signals are uncertain")
