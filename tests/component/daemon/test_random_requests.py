# SPDX-License-Identifier: LGPL-2.1-or-later
"""Tasks of every shape under policies of every shape, and whatever may be asked about them in any order, while daemons are killed:
reeved never ends by itself, each request is answered, each task ends, and nothing is left. What is asked depends on a seed
alone, which a failure tells."""

import contextlib
import random

import pytest
from instance import Instance
from varlink import ConnectionLost, VarlinkError

POLICY = """
version: 1
max_parallel: 12
subsystems:
  r:
    max_parallel: 8
    overrides: allow
    stuck:
      active_for: 1s
      idle_for: 1s
      spinning_for: 1s
      ladder: [{do: notify}, {do: freeze}, {after: 100ms, do: signal, signal: SIGTERM}, {after: 200ms, do: kill}]
    task_types:
      checked:
        verification:
          required: true
          rules:
            - {name: a, file: /etc/passwd, min_bytes: 1}
            - {name: b, output: y}
            - {name: c, exit_status: [0, 3]}
            - {name: d, metric: cpu_seconds, min: 0}
            - {name: e, metric: ml.x, min: 0}
        retry: {attempts: 3, backoff: 50ms, max_backoff: 100ms, on: [verification, exit-code, signal, exec]}
      frozen:
        max_parallel: 3
        sla: {deadline: 300ms, ladder: [{at: 10%, do: freeze}, {at: 50%, do: signal, signal: SIGUSR1}, {at: 100%, do: kill}]}
        verification: {rules: [{name: a, file: x}]}
      called:
        sla:
          deadline: 500ms
          from: started
          ladder: [{at: 50%, do: escalate, hook: ROOT/hooks/no}, {at: 100%, do: kill, hook: ROOT/hooks/no}]
        retry: {attempts: 2, backoff: 0}
        verification: {accepts_reported: no}
      said:
        max_parallel: 1
        verification: {required: true}
"""
TYPES = ("checked", "frozen", "called", "said")
COMMANDS = (["/bin/true"], ["/bin/false"], ["/bin/sh", "-c", "echo y; exit 3"], ["/bin/sleep", "0.3"], ["/bin/sleep", "1000"],
            ["/nonexistent"], ["/bin/sh", "-c", "while :; do :; done"], ["/bin/sh", "-c", "kill -9 $$"])
REQUESTS = {
    "Update": ({"progress": 0.5}, {"ml_metrics": {"x": 1}}, {"message": "hm"}, {"usage": {"cpu_usec": 5}}),
    "Complete": ({}, {"verification_passed": True}, {"verification_passed": False}, {"success": False}),
    "Fail": ({"message": "no"},),
    "Signal": ({"signal": 10}, {"signal": 15}, {"signal": 9}),
    "Extend": ({"by_usec": 100000},),
    "Output": ({}, {"attempt": 1}, {"attempt": 2}, {"attempt": 1000}),
    **dict.fromkeys(("Cancel", "Hold", "Release", "Freeze", "Thaw", "Get", "Verifications", "Snapshots"), ({},)),
}


def run(i, c, rng, tasks):
    more = rng.choice(({}, {}, {"hold": True}, {"unique": f"k{rng.randrange(3)}", "unique_mode": rng.choice(("refuse", "join"))},
                       {"after": rng.sample(tasks[-10:], min(2, len(tasks)))}, {"attempts": rng.choice((1, 2, 5))},
                       {"sla": rng.choice(("200ms", "forecast_p95 * 2", "infinity"))}, {"priority": rng.randrange(1, 11)}))
    verify = {"verify": ["true"]} if rng.random() < 0.2 else {}
    return i.run(rng.choice(COMMANDS), connection=c, subsystem="r", task_type=rng.choice(TYPES),
                 attempts=rng.choice((1, 3, 10)), more=more, **verify)["task_id"]


def report(c, rng):
    more = rng.choice(({}, {}, {"pending": True}, {"heartbeat_usec": 200000}, {"sla": "400ms"}))
    return c.call("Start", {"subsystem": "r", "task_type": rng.choice(TYPES), **more})["task"]["task_id"]


def ask(i, c, rng, tasks):
    kind = rng.random()
    if kind < 0.15 or not tasks:
        tasks.append(run(i, c, rng, tasks))
    elif kind < 0.3:
        tasks.append(report(c, rng))
    else:
        method = rng.choice(sorted(REQUESTS))
        c.call(method, {"task_id": rng.choice(tasks[-25:]), **rng.choice(REQUESTS[method])})


def kill_some(i, rng):
    i.kill(i.reeved, *((i.launcher,) if rng.random() < 0.5 else ()))
    if not i.launcher:
        i.start_launcher()
    i.start_reeved()


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_whatever_is_asked(seed):
    rng, tasks = random.Random(seed), []
    i = Instance()
    with open(i.path("policy.d", "random.yaml"), "w", encoding="ascii") as f:
        f.write(POLICY.replace("ROOT", i.root))
    with i:
        try:
            for step in range(1000):
                if step % 250 == 249:
                    kill_some(i, rng)
                with i.connect(timeout=60) as c, contextlib.suppress(VarlinkError):
                    ask(i, c, rng, tasks)
                assert i.reeved.alive() and i.launcher.alive(), f"a daemon has ended at step {step}"
            with i.connect(timeout=60) as c:
                for task in tasks:
                    with contextlib.suppress(VarlinkError):
                        c.call("Cancel", {"task_id": task})
                ends = {c.call("Wait", {"task_id": task})["task"]["status"] for task in tasks}
            assert ends <= {"completed", "failed", "cancelled", "lost"} and len(ends) > 2, ends
            assert i.leaves() == [], "cgroups are left"
        except (AssertionError, ConnectionLost, TimeoutError):
            print(i.logs()[-5000:])
            raise
