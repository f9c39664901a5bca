# SPDX-License-Identifier: LGPL-2.1-or-later
"""Tasks of backend scope, as reeve and as systemd see them."""

from check import equal
from installed import sh, unit

SCOPE = {"backend": "scope"}


def scope_of(i, task, attempt=1):
    """The unit of an attempt."""
    return f"{i.prefix}-{task.replace('-', chr(92) + 'x2d')}-{attempt}.scope"


def scopes(i):
    """The instance's scopes of tasks that systemd knows, in whatever state."""
    out = sh("systemctl", "list-units", "--all", "--full", "--plain", "--no-legend", "--type=scope", f"{i.prefix}-*")
    return [line.split()[0] for line in out.splitlines() if not line.startswith(f"{i.prefix}-pool.scope")]


def test_a_task_is_a_unit(i):
    task = i.run(["sleep", "infinity"], more=SCOPE)
    name = scope_of(i, task["task_id"])
    equal("backend", task["backend"], "scope")
    equal("state of the unit", unit(name, "ActiveState"), "active")
    equal("slice of the unit", unit(name, "Slice"), f"{i.prefix}-test.slice")
    equal("its description", unit(name, "Description"), "sleep infinity")
    status = sh("systemctl", "status", "--no-pager", name)
    assert "sleep infinity" in status, status
    with open(f"/proc/{task['pid']}/cgroup", encoding="utf-8") as f:
        leaf = f.read().split("0::/")[1].strip()
    equal("leaf of the task", leaf, task["cgroup"])
    equal("its place", leaf.split("/")[-2:], [name, "task"])
    with i.connect() as c:
        c.call("Signal", {"task_id": task["task_id"], "signal": 9})
        done = i.wait(task["task_id"], c)
    equal("outcome", (done["status"], done.get("outcome"), done.get("exit_signal")), ("failed", "signal", 9))
    equal("source of cpu_usec", done["usage_sources"]["cpu_usec"], "kernel-final")


def test_the_pool_is_a_scope(i):
    name = f"{i.prefix}-pool.scope"
    equal("state of the pool's scope", unit(name, "ActiveState"), "active")
    equal("its slice", unit(name, "Slice"), f"{i.prefix}.slice")
    print(sh("systemctl", "status", "--no-pager", name))
    print(i.run_wait(["true"]))
