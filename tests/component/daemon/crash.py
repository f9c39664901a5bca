# SPDX-License-Identifier: LGPL-2.1-or-later
"""The crash matrix: somebody is killed while a process of reeve stands at a named step of a task's way.

Each case: the process at the step waits, the victims (it may be one itself) are killed by SIGKILL, it is let go, the
killed daemons are started again, a request without an answer is repeated. Then the task must have run once, its state,
account, rows and events must be those of an undisturbed one, and nothing may be left of it. A keeper that does not yet,
or no longer, live at a step is no victim there.

Only when keeper and launcher die together while the task runs may its exit status be lost, and not even then on a
kernel that keeps it for who holds a pidfd.
"""

import os
import signal

import checks
from breakpoint import Breakpoint
from instance import Instance, wait_exit
from varlink import ConnectionLost

# Steps in the order of a task's way. For each: does a keeper live then, and has the task passed its gate?
STEPS = {
    "reeved:authorized": (False, False),
    "reeved:commit#1": (False, False),
    "reeved:committed#1": (False, False),
    "reeved:inserted": (False, False),
    "launcher:claim": (False, False),
    "launcher:mkdir": (False, False),
    "launcher:keeper-forked": (True, False),
    "keeper:keeper-forked": (True, False),
    "keeper:started": (True, False),
    "keeper:exec": (True, False),
    "launcher:exec": (True, False),
    "reeved:launched": (True, False),
    "reeved:commit#2": (True, False),
    "reeved:committed#2": (True, False),
    "reeved:started": (True, False),
    "keeper:reap": (True, True),
    "keeper:read": (True, True),
    "keeper:ended": (True, True),
    "reeved:ended": (False, True),
    "reeved:commit#3": (False, True),
    "reeved:committed#3": (False, True),
    "reeved:finished": (False, True),
    "reeved:forget": (False, True),
    "launcher:forget": (False, True),
}

# Steps of recovery, reached because the first keeper was killed.
ADOPTED_STEPS = {
    "launcher:adopt": (True, False),
    "launcher:bury": (True, True),
    "keeper:read": (True, True),
    "keeper:ended": (True, True),
}

# Steps of a keeper whose launcher was replaced: what it leaves becomes init's.
STRANGERS_STEPS = {
    "keeper:reap": (True, True),
    "keeper:read": (True, True),
    "keeper:ended": (True, True),
}

# Of backend scope: what is different there. With the launcher dies what it asked systemd for.
SCOPE_STEPS = {
    "launcher:claim": (False, False),
    "launcher:keeper-forked": (True, False),
    "keeper:keeper-forked": (True, False),
    "launcher:scope": (True, False),
    "keeper:scope-entered": (True, False),
    "keeper:started": (True, False),
    "keeper:exec": (True, False),
    "keeper:reap": (True, True),
    "keeper:read": (True, True),
    "keeper:ended": (True, True),
    "launcher:forget": (False, True),
}

VICTIMS = ("reeved", "launcher", "keeper", "reeved+launcher", "keeper+launcher", "reeved+keeper+launcher")

# For steps that are tried where an instance takes its time.
SCOPE_VICTIMS = ("launcher", "keeper", "keeper+launcher")

# Where the main process has not been reaped, so that its status can be lost.
STATUS_AT_RISK = ("launcher:keeper-forked", "keeper:started", "keeper:exec", "launcher:exec", "reeved:launched",
                  "reeved:commit#2", "reeved:committed#2", "reeved:started", "keeper:reap", "launcher:adopt",
                  "launcher:bury")


def pairs(process, steps, victims=VICTIMS):
    """(step, its victims), for the steps of one process or (None) of all."""
    for step, (has_keeper, _) in steps.items():
        if process is None or step.startswith(process + ":"):
            for names in victims:
                if has_keeper or "keeper" not in names:
                    yield step, names.split("+")


class Case:
    def __init__(self, step, victims, table):
        self.step, self.victims = step, victims
        self.more = {"backend": "scope"} if table is SCOPE_STEPS else {}
        _, self.late = table[step]
        self.adopted = table is ADOPTED_STEPS
        self.stranger = table is STRANGERS_STEPS
        self.i = Instance()
        self.task = f"test_crash_{os.getpid()}"

    def __enter__(self):
        self.point = Breakpoint(self.step)
        self.gate = checks.Gate(self.i)
        self.i.start_launcher(self.point.environment("launcher"))
        self.i.start_reeved(self.point.environment("reeved"))
        self.argv = ["/bin/sh", "-c", checks.TASK.format(root=self.i.root)]
        return self

    def __exit__(self, *exc):
        self.point.__exit__()
        self.gate.close()
        self.i.close()

    # the way to the step

    def submit(self):
        self.connection = self.i.connect(timeout=checks.PATIENCE)
        self.i.submit(self.connection, self.argv, task=self.task, more=self.more)
        self.answer = None
        if self.adopted or self.late:
            self.answer = self.connection.reply()["task"]
            checks.wait_for_event(self.i, "task.started")
        if self.adopted:
            self.kill_keeper()
        if self.stranger:
            self.i.kill(self.i.launcher)
            self.i.start_launcher()
        if self.late:
            self.gate.open()

    # the kill

    def kill_keeper(self):
        keepers = sorted(set(self.i.keepers()))  # one that moves while they are listed is there twice
        if not keepers and "launcher" in self.victims and (self.more or self.step == "launcher:bury"):
            return  # it waited for the launcher: for its scope, and went with it; for the task's status, and is done
        assert len(keepers) == 1, f"keepers at {self.step}: {keepers}"
        fd = os.pidfd_open(keepers[0])
        signal.pidfd_send_signal(fd, signal.SIGKILL)
        assert wait_exit(fd, 10), "the keeper does not die"
        os.close(fd)

    def strike(self):
        """Launcher before keeper: it may not see what it would mend."""
        i = self.i
        i.kill(*[d for name, d in (("launcher", i.launcher), ("reeved", i.reeved)) if name in self.victims])
        if "keeper" in self.victims:
            self.kill_keeper()
        self.point.let_go()
        if not i.launcher:
            i.start_launcher()
        if not i.reeved:
            i.start_reeved()

    # and afterwards

    def get_answer(self):
        try:
            self.answer = self.answer or self.connection.reply()["task"]
        except ConnectionLost:
            assert "reeved" in self.victims, "reeved ended by itself"
            self.answer = checks.run_again(self.i, self.argv, self.task, more=self.more)
        self.connection.close()
        assert self.answer["task_id"] == self.task

    def orphaned(self):
        """Did the task's main process become init's before its end was taken down?"""
        keeper_died = self.adopted or "keeper" in self.victims
        launcher_died = self.stranger or "launcher" in self.victims
        return keeper_died and launcher_died and self.step in STATUS_AT_RISK

    def finish(self):
        if not self.late:
            if self.orphaned() or (self.more and "keeper" in self.victims):
                checks.until(self.i, "no keeper adopts the task", self.i.keepers)
            self.gate.open()
        return self.i.wait(self.task)


def check(case):
    i = case.i
    case.submit()
    case.point.wait()
    case.strike()
    case.get_answer()
    t = case.finish()

    orphaned = case.orphaned()
    nobody_had_a_pidfd = case.late and {"keeper", "launcher"} <= set(case.victims)
    checks.check_end(t, orphaned and (nobody_had_a_pidfd or not checks.kernel_keeps_status()))
    # systemd removes a scope without processes at once: a keeper that is killed when its task has ended leaves none.
    removed = case.more and "keeper" in case.victims and case.step in ("keeper:reap", "keeper:read")
    ticks = os.environ.get("REEVE_TIER") == "uml"  # of 10 ms: too few of them to compare two runs
    checks.check_account(t, orphaned, cpu=not ticks, removed=removed)
    checks.check_nothing_left(i)
    assert checks.runs(i) == [f"{case.task}.1"], "it should have run once"
    assert i.output(case.task) == checks.OUTPUT
    checks.check_row(i, t)
    checks.check_events(i)
    assert i.spent() == 1, "one attempt was started, so one is spent"

    again = checks.run_again(i, case.argv, case.task, more=case.more)
    assert (again["task_id"], again["status"]) == (case.task, t["status"]), "the same request is the same task"
    assert len(checks.runs(i)) == 1, "the repeated request ran it again"
    assert i.processes() == [] and i.records() == []


def run(step, victims, table):
    checks.reference()
    with Case(step, victims, table) as case:
        try:
            check(case)
        except BaseException:
            print(case.i.logs())
            raise
