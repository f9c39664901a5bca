# SPDX-License-Identifier: LGPL-2.1-or-later
"""What tasks have sent and received, as reeve, systemd and the interface say it."""

import os

import network
from check import equal
from installed import sh, unit
from test_scopes import scope_of

FIELDS = ("net_rx_bytes", "net_rx_packets", "net_tx_bytes", "net_tx_packets")
DATAGRAMS = 2000
LOAD = f"udp({DATAGRAMS})"
EACH = DATAGRAMS * (network.DATAGRAM + 28)
SCOPE = {"backend": "scope"}


def numbers(task):
    return tuple(task["usage"].get(f) for f in FIELDS)


def measured(i, pair, text, **kwargs):
    before = pair.counters()
    task = i.run_wait(network.program(text), **kwargs)
    equal("status", (task["status"], i.output(task["task_id"])), ("completed", b""))
    return task, tuple(b - a for a, b in zip(before, pair.counters()))


def both(i, pair, backend, **kwargs):
    task, interface = measured(i, pair, LOAD, **kwargs)
    equal("backend", task["backend"], backend)
    equal("the task's account", numbers(task), interface)
    equal("what was sent", interface, (EACH, DATAGRAMS, EACH, DATAGRAMS))
    equal("sources", {task["usage_sources"][f] for f in FIELDS}, {"kernel-final"})
    return f"{numbers(task)}"


def test_in_the_pool(i, pair):
    return both(i, pair, "cgroup")


def test_in_a_scope(i, pair):
    return both(i, pair, "scope", more=SCOPE)


def waiting(i, connection, name, **kwargs):
    """A task that has made its traffic and waits for a line in a FIFO; and what opens it."""
    path = i.path(name)
    os.mkfifo(path)
    task = i.run(network.program(f"{LOAD}\nprint('sent', flush=True)\nopen({path!r}).read()"), connection=connection, **kwargs)
    while i.output(task["task_id"]) != b"sent\n":
        connection.call("Stats")
    return task, lambda: open(path, "w", encoding="ascii").close()


def test_beside_ipaccounting(i, pair):
    """systemd's own programs are on the scope, ours on the slice: both see every byte."""
    with i.connect() as c:
        task, let_go = waiting(i, c, "beside", more=SCOPE, properties=[("IPAccounting", "yes")])
        name = scope_of(i, task["task_id"])
        said = tuple(int(unit(name, p)) for p in ("IPIngressBytes", "IPIngressPackets", "IPEgressBytes", "IPEgressPackets"))
        now = c.call("Get", {"task_id": task["task_id"]})["task"]
        let_go()
        end = i.wait(task["task_id"], c)
    equal("systemd's numbers", said, (EACH, DATAGRAMS, EACH, DATAGRAMS))
    equal("reeve's while it runs", numbers(now), said)
    equal("source", now["usage_sources"]["net_rx_bytes"], "kernel")
    equal("reeve's at the end", numbers(end), said)
    return f"both {said}"


def test_another_slice_is_not_counted(i, pair):
    """Outside of the instance's slice: unknown, not 0."""
    task, _ = measured(i, pair, LOAD, more=SCOPE, slice="system.slice")
    equal("fields", [f for f in FIELDS if f in task["usage"]], [])


def test_the_pool_is_made_again(i, pair):
    """Somebody stops the pool's scope: what counts is put in place again, for the pool that is made then."""
    sh("systemctl", "stop", f"{i.prefix}-pool.scope")
    with i.connect() as c:
        while unit(f"{i.prefix}-pool.scope", "ActiveState") != "active":
            c.call("Stats")
    both(i, pair, "cgroup")
    both(i, pair, "scope", more=SCOPE)


def test_kills_lose_no_byte(i, pair):
    with i.connect() as c:
        before = pair.counters()
        tasks = [waiting(i, c, f"kills{n}", more=more) for n, more in enumerate(({}, SCOPE))]
    for victim in ("launcher", "reeved"):
        i.kill(getattr(i, victim))
        getattr(i, f"start_{victim}")()
    for task, let_go in tasks:
        let_go()
        end = i.wait(task["task_id"])
        equal("the account", numbers(end), (EACH, DATAGRAMS, EACH, DATAGRAMS))
    equal("the interface", tuple(b - a for a, b in zip(before, pair.counters())),
          tuple(2 * x for x in (EACH, DATAGRAMS, EACH, DATAGRAMS)))
