# SPDX-License-Identifier: LGPL-2.1-or-later
"""Events and questions, with real daemons and tasks that they run."""

import asyncio
import datetime
import itertools
import threading

import pytest

import reeve
import reeve.sync

TRUE = ["/bin/true"]
SLEEP = ["/bin/sleep", "1000"]
LIFE = ["task.created", "task.started", "task.completed"]


def run(work):
    return asyncio.run(asyncio.wait_for(work, 120))


async def take(events, n):
    """The next n events."""
    taken = []
    async for event in events:
        taken.append(event)
        if len(taken) == n:
            return taken


def test_events_of_a_task(instance):
    async def work():
        async with reeve.message_bus.events() as events:
            t = instance.run_wait(TRUE)
            seen = await take(events, 3)
            assert [e.topic for e in seen] == LIFE and {e.task_id for e in seen} == {t["task_id"]}
            assert [e.number for e in seen] == sorted({e.number for e in seen})
            assert seen[-1].task.status == "completed" and seen[-1].timestamp.tzinfo

        async with reeve.message_bus.events("task.c*", since=seen[0].number) as events:
            assert [e.number for e in await take(events, 1)] == [seen[-1].number]

    run(work())


def test_nothing_is_missed_or_seen_twice_when_the_registry_is_killed(instance):
    async def work():
        seen = []
        complete = asyncio.Event()

        async def callback(event):
            seen.append(event)
            if len(seen) == 9:
                complete.set()

        subscription = await reeve.message_bus.subscribe("task.*", callback)
        ids = []
        instance.kill(instance.reeved)  # before the first event
        instance.start_reeved()
        for _ in range(3):
            ids.append(instance.run_wait(TRUE)["task_id"])
            instance.kill(instance.reeved)
            instance.start_reeved()
        await complete.wait()
        assert [(e.task_id, e.topic) for e in seen] == list(itertools.product(ids, LIFE))
        assert subscription.last == seen[-1].number
        await subscription.close()

    run(work())


def test_what_is_published_is_a_task(instance):
    """Events of others, out of order too, while the registry is killed between each two of them."""
    usage = {"cpu_seconds": 12.5, "memory_peak_mb": 250.0}

    def replace():
        instance.kill(instance.reeved)
        instance.start_reeved()

    async def work():
        bus = reeve.message_bus
        t = await bus.publish("task.created", {"subsystem": "healing", "task_type": "playbook", "title": "Playbook: tidy",
                                               "created_by": "healer", "metadata": {"n": 1}})
        assert t.startswith("healing_playbook_")
        late = await bus.publish("mission.completed", {"mission_id": "m1", "mission_type": "read", "success": True})
        for topic, payload in (("task.started", {"task_id": t}), ("task.updated", {"task_id": t, "progress": 0.5}),
                               ("task.completed", {"task_id": t, "success": True, "verification_passed": True,
                                                   "resource_usage": usage})):
            replaced = asyncio.get_running_loop().run_in_executor(None, replace)
            assert await bus.publish(topic, payload) == t
            await replaced
        ended = await reeve.task_registry.wait_task(t)
        assert (ended.status, ended.progress, ended.metadata, ended.created_by) == ("completed", 0.5, {"n": 1}, "healer")
        assert ended.resource_usage == usage and ended.verification_status == "passed"
        mission = await reeve.task_registry.get_task(late)
        assert (mission.task_id, mission.subsystem, mission.task_type, mission.status) == ("m1", "learning", "read", "completed")
        topics = []
        async with bus.events(since=0, task_id=t) as events:
            async for event in events:
                topics.append(event.topic)
                if event.topic == "task.completed":
                    break
        if topics.count("task.updated") == 2:
            topics.remove("task.updated")  # its answer was lost, and it was said again: there it changes nothing
        assert topics == ["task.created", "task.started", "task.updated", "task.completed"]
        assert await bus.publish("task.completed", {"task_id": t, "success": True, "verification_passed": True,
                                                    "resource_usage": usage}) == t, "the same again"

    run(work())
    created = reeve.sync.message_bus.publish("mission.created", {"title": "By the twin"})
    assert created.startswith("learning_mission_")
    assert reeve.sync.message_bus.publish("mission.failed", {"mission_id": created, "error": "no"}) == created
    t = reeve.sync.task_registry.get_task(created)
    assert (t.status, t.outcome, t.message) == ("failed", "reported", "no"), t


def test_events_that_are_refused(instance):
    async def work():
        bus = reeve.message_bus
        for topic, payload, error, field in (
                ("task.created", {"title": "of nothing"}, reeve.InvalidArgument, "subsystem"),
                ("task.begun", {"task_id": "x"}, reeve.InvalidArgument, "topic"),
                ("task.started", {}, reeve.InvalidArgument, "task_id"),
                ("task.updated", {"task_id": "nobody", "progress": 0.5}, reeve.NoSuchTask, None)):
            with pytest.raises(error) as caught:
                await bus.publish(topic, payload)
            assert field is None or caught.value.field == field, (topic, caught.value, caught.value.field)

    run(work())


def test_a_callback_may_fail_and_may_end_its_subscription(instance, caplog):
    async def work():
        seen = []
        over = asyncio.Event()

        async def callback(event):
            seen.append(event.topic)
            if event.topic == "task.created":
                raise RuntimeError("no")
            await subscription.close()
            over.set()

        subscription = await reeve.message_bus.subscribe("task.*", callback)
        instance.run_wait(TRUE)
        await over.wait()
        assert seen == LIFE[:2] and "a callback failed on task.created" in caplog.text

    run(work())


def test_a_subscription_may_be_closed_while_another_reads(instance):
    async def work():
        events = reeve.message_bus.events()
        reading = asyncio.ensure_future(take(events, 4))
        await events.begin()
        first = instance.run_wait(TRUE)
        while events.last < 3:
            await reeve.task_registry.get_task(first["task_id"])
        await events.close()
        assert await reading is None, "the fourth never came"

    run(work())


def test_questions(instance):
    async def work():
        running = instance.run(SLEEP, subsystem="healing", task_type="playbook", more={"sla": "1h"})["task_id"]
        ended = [instance.run_wait(TRUE)["task_id"] for _ in range(3)]
        registry = reeve.task_registry

        assert [t.task_id for t in await registry.query_tasks()] == [*reversed(ended), running]
        assert [t.task_id for t in await registry.query_tasks(limit=2)] == ended[:0:-1]
        assert await registry.query_tasks(limit=0) == []
        (t,) = await registry.query_tasks(status="active")
        assert t.task_id == running and t.subsystem == "healing" and t.kind == "launched"
        assert t.sla_deadline - t.created_at == datetime.timedelta(hours=1), t
        assert len(await registry.query_tasks(status=["active", "completed"])) == 4
        assert len(await registry.query_tasks(subsystem="test", since=t.created_at)) == 3

        assert await registry.find_tasks_active_longer_than("1h") == []
        assert [t.task_id for t in await registry.find_tasks_active_longer_than(0)] == [running]
        assert await registry.find_tasks_active_longer_than(0, "test") == []

        with pytest.raises(reeve.NoSuchTask):
            await registry.get_task("nobody")
        with pytest.raises(reeve.InvalidArgument) as caught:
            await registry.query_tasks(status="asleep")
        assert caught.value.field == "status"

        waiting = asyncio.ensure_future(registry.wait_task(running))
        with instance.connect() as c:
            c.call("Cancel", {"task_id": running})
        assert (await waiting).status == "cancelled"

    run(work())


def test_pages(instance, monkeypatch):
    monkeypatch.setattr(reeve.registry, "PAGE", 2)
    ids = [instance.run_wait(TRUE)["task_id"] for _ in range(5)]
    assert [t.task_id for t in reversed(reeve.sync.task_registry.query_tasks())] == ids
    newest = next(iter(reeve.sync.task_registry.iterate_tasks()))
    assert newest.task_id == ids[-1]


def test_waiting_outlives_the_registry(instance):
    async def work():
        t = instance.run(SLEEP)
        waiting = asyncio.ensure_future(reeve.task_registry.wait_task(t["task_id"]))
        instance.kill(instance.reeved)
        instance.start_reeved()
        with instance.connect() as c:
            c.call("Cancel", {"task_id": t["task_id"]})
        assert (await waiting).status == "cancelled"

    run(work())


def test_a_guardian_sees_a_missed_deadline(instance):
    async def work():
        late = asyncio.get_running_loop().create_future()
        async with reeve.Guardian(on_violation=late.set_result) as guardian:
            assert await guardian.overdue_tasks() == []
            t = instance.run(SLEEP, more={"sla": "1s"})
            event = await late
            assert (event.task_id, event.topic) == (t["task_id"], "task.sla_violated")
            assert [o.task_id for o in await guardian.overdue_tasks()] == [t["task_id"]]
            assert len(await guardian.tasks_active_longer_than("10ms")) == 1
        assert guardian.position >= event.number

        # What happened while nobody watched.
        again = asyncio.get_running_loop().create_future()
        async with reeve.Guardian(on_violation=again.set_result, since=0):
            assert (await again).number == event.number

    run(work())


STUCK = "version: 1\nsubsystems: {test: {task_types: {check: {stuck: {active_for: 1s}}}}}\n"


def test_a_guardian_sees_a_stuck_task(instance):
    with open(instance.path("policy.d", "stuck.yaml"), "w", encoding="ascii") as f:
        f.write(STUCK)
    with instance.connect() as c:
        c.call("PolicyReload")

    async def work():
        stuck = asyncio.get_running_loop().create_future()
        guardian = reeve.Guardian()
        guardian.on_stuck(stuck.set_result)
        async with guardian:
            t = instance.run(SLEEP)
            event = await stuck
            assert (event.task_id, event.topic) == (t["task_id"], "task.stuck")
            assert event.task.stuck["rule"] == "active", event.task.stuck

    run(work())


def test_the_twin_sees_the_same(instance):
    seen, called = [], threading.Event()

    def callback(event):
        seen.append(event.topic)
        assert reeve.sync.task_registry.get_task(event.task_id), "a callback may ask"
        if len(seen) == 3:
            called.set()

    with reeve.sync.message_bus.subscribe("*", callback), reeve.sync.message_bus.events() as events:
        t = instance.run_wait(TRUE)
        assert [e.topic for e in itertools.islice(events, 3)] == LIFE
        assert called.wait(60) and seen == LIFE
    assert reeve.sync.task_registry.wait_task(t["task_id"]).status == "completed"

    late = threading.Event()
    guardian = reeve.sync.Guardian()

    @guardian.on_violation
    def notice(event):
        late.set()

    with guardian:
        instance.run(SLEEP, more={"sla": "1s"})
        assert late.wait(60)
        assert len(guardian.overdue_tasks()) == 1
