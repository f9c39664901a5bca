# SPDX-License-Identifier: LGPL-2.1-or-later
"""Events out: numbered, each once and in order, however often whoever hears them goes away, and however slowly he reads."""

import contextlib
import os
import re
import select
import sqlite3
import time

import pytest

from instance import Instance
from varlink import ConnectionLost, VarlinkError

# Of reeved's growth: what waits for eight readers at the most, and its own. A sanitizer keeps what was freed: no measure.
MEMORY_MAX = 24 << 20 if "ASAN_OPTIONS" not in os.environ else 4 << 30
WHAT = {"subsystem": "events", "task_type": "check"}


@pytest.fixture(scope="module", name="reeve")
def the_instance():
    with Instance() as i:
        yield i


def report(c, *tasks):
    for t in tasks:
        c.send("Start", {**WHAT, "task_id": t})
        c.send("Complete", {"task_id": t})
    for _ in tasks:
        c.reply()
        c.reply()


def stored(instance, since=0):
    db = sqlite3.connect(instance.path("registry.db"))
    try:
        return db.execute("SELECT number, topic, task_id FROM task_events WHERE task_id IS NOT NULL AND number > ? ORDER BY number",
                          (since,)).fetchall()
    finally:
        db.close()


def key(event):
    return event["number"], event["topic"], event["task"]["task_id"]


def listen(instance, since, last):
    """All events after `since` up to `last`, by one connection."""
    with instance.connect() as c:
        found = []
        for e in c.stream("Monitor", {"since": since}):
            found.append(key(e))
            if e["number"] >= last:
                return found
    return found


def last_event(instance):
    with instance.connect() as c:
        return c.call("Stats")["last_event"]


def test_from_any_number(reeve):
    """Whoever goes on from a number that he has hears the next one first."""
    with reeve.connect() as c:
        report(c, *(f"any_{n}" for n in range(150)))  # more than a page
    events = stored(reeve)
    last = events[-1][0]
    assert listen(reeve, 0, last) == events
    for k in range(0, len(events) - 1, 37):
        assert listen(reeve, events[k][0], last) == events[k + 1:]


def test_a_number_that_has_not_been(reeve):
    last = last_event(reeve)
    with reeve.connect() as c, pytest.raises(VarlinkError) as e:
        next(c.stream("Monitor", {"since": last + 1}))
    assert (e.value.name, e.value.field) == ("InvalidArgument", "since") and str(last) in e.value.parameters["message"], e.value
    with reeve.connect() as c, reeve.connect() as other:
        stream = c.stream("Monitor", {"since": last})
        report(other, "next_1")
        assert next(stream)["number"] == last + 1


def test_while_everybody_comes_and_goes():
    """The listener's connection and reeved go away in turn while events happen: no gap and no repeat."""
    with Instance() as i:
        heard, since = [], 0
        for k in range(6):
            with i.connect() as c, i.connect() as listener:
                listener.send("Monitor", {"since": since}, more=True)
                report(c, *(f"come_{k}_{n}" for n in range(30)))
                for n in range(50):
                    c.send("Start", {**WHAT, "task_id": f"gone_{k}_{n}"})
                for _ in range(40):  # then somebody goes, in the middle
                    heard.append(key(listener.reply()))
                if k % 2:
                    i.kill(i.reeved)
                    try:
                        while True:
                            heard.append(key(listener.reply()))
                    except ConnectionLost:
                        pass
            since = heard[-1][0]
            if k % 2:
                i.start_reeved()
        last = last_event(i)
        if since < last:
            heard += listen(i, since, last)
        assert heard == stored(i)


def memory(pid):
    with open(f"/proc/{pid}/status", encoding="ascii") as f:
        return int(re.search(r"VmRSS:\s+(\d+) kB", f.read())[1]) << 10


def test_slow_readers_miss_nothing_and_cost_nothing(reeve):
    with reeve.connect() as c, contextlib.ExitStack() as stack:
        readers = [stack.enter_context(reeve.connect()) for _ in range(8)]
        since = c.call("Stats")["last_event"]
        for r in readers:
            r.send("Monitor", {"since": since}, more=True)
        report(c, "slow_first")
        pid = reeve.reeved.process.pid
        before = memory(pid)
        for k in range(40):  # 12,000 events of 600 bytes and more, for each of them
            report(c, *(f"slow_{k}_{n}" for n in range(100)))
        grown = memory(pid) - before
        assert grown < MEMORY_MAX, f"it grew by {grown} bytes that nobody read"
        expected = stored(reeve, since)
        assert len(expected) > 12000
        for r in readers[:2]:
            assert [key(r.reply()) for _ in expected] == expected


@pytest.mark.skipif(not os.environ.get("REEVE_SOAK"), reason="takes half a minute: part of ./dev soak")
def test_who_reads_nothing_is_told_why(reeve):
    with reeve.connect() as c, reeve.connect(timeout=120) as slow:
        since = c.call("Stats")["last_event"]
        slow.send("Monitor", {"since": since}, more=True)
        for k in range(40):
            report(c, *(f"mute_{k}_{n}" for n in range(100)))
        expected = stored(reeve, since)
        begin = time.monotonic()
        # He looks whether the connection is there, but does not read. Its end is not to be seen before what is there has been read.
        poll = select.poll()
        poll.register(slow.socket, select.POLLHUP)
        assert not poll.poll(40 * 1000), f"closed after {time.monotonic() - begin} s"
        heard = []
        with pytest.raises(VarlinkError) as e:
            while True:
                heard.append(key(slow.reply()))
        assert e.value.name == "Unavailable" and "cut off" in e.value.parameters["message"], e.value
        with pytest.raises(ConnectionLost):
            slow.reply()
        assert 0 < len(heard) < len(expected) and heard == expected[:len(heard)]
        assert heard + listen(reeve, heard[-1][0], expected[-1][0]) == expected
