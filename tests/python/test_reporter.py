# SPDX-License-Identifier: LGPL-2.1-or-later
"""Reported tasks, with real daemons: their life, their reporter's death, and the registry's."""

import asyncio
import contextlib
import os
import signal
import sqlite3
import threading

import pytest

import reeve
import reeve.sync

METRICS = {"dataset_size_mb": 500.0, "vectors_processed": 100000, "tokens_processed": 5000000, "model_size_mb": 150.0,
           "epochs_completed": 10}
USAGE = {"cpu_seconds": 12.5, "memory_peak_mb": 250.0, "disk_read_mb": 100.0, "disk_write_mb": 50.0, "storage_delta_mb": 25.0}


def run(work):
    return asyncio.run(asyncio.wait_for(work, 120))


def get(task_id):
    return reeve.sync.task_registry.get_task(task_id)


def topics(instance, task_id):
    """What happened to a task, in order, as it is stored."""
    with contextlib.closing(sqlite3.connect(f"file:{instance.path('registry.db')}?mode=ro", uri=True, timeout=30)) as db:
        return [row[0] for row in db.execute("SELECT topic FROM task_events WHERE task_id = ? ORDER BY number", (task_id,))]


# ---- life


def test_a_life(instance):
    async def work():
        reporter = reeve.TaskReporter(subsystem="learning", task_type="mission")
        t = await reporter.start_task("Mission: read", "tests", description="all of it", priority=7, sla_hours=1.0,
                                      metadata={"nested": {"list": [1, "ä", None]}})
        assert t.startswith("learning_mission_")
        now = await reeve.task_registry.get_task(t)
        assert (now.status, now.kind, now.title, now.created_by, now.priority) == ("active", "reported", "Mission: read", "tests", 7)
        assert now.description == "all of it" and now.metadata == {"nested": {"list": [1, "ä", None]}}
        assert abs((now.sla_deadline - now.created_at).total_seconds() - 3600) < 1

        await reporter.update_task(t, 0.25, "reading")
        now = await reeve.task_registry.get_task(t)
        assert (now.progress, now.progress_message) == (0.25, "reading")

        ended = await reporter.complete_task(t, True, True, USAGE, METRICS, {"read": 12})
        assert ended.status == "completed" and ended.sla_met is True
        assert ended.resource_usage == USAGE and set(ended.usage_sources.values()) == {"reported"}
        assert ended.ml_metrics == METRICS and ended.result_metadata == {"read": 12}
        assert topics(instance, t) == ["task.created", "task.started", "task.updated", "task.completed"]

        assert (await reporter.complete_task(t, True, True, USAGE, METRICS, {"read": 12})).status == "completed"
        with pytest.raises(reeve.AlreadyFinished):
            await reporter.fail_task(t, "too late")
        with pytest.raises(reeve.AlreadyFinished):
            await reporter.update_task(t, 0.5)
        assert topics(instance, t)[3:] == ["task.completed"]

    run(work())


def test_what_is_refused(instance):
    async def work():
        reporter = reeve.TaskReporter("test", "reporter")
        for arguments, field in (({"priority": 99}, "priority"), ({"sla_hours": -1.0}, "sla_hours"), ({"sla": "soon"}, "sla"),
                                 ({"task_id": "../x"}, "task_id")):
            with pytest.raises(reeve.InvalidArgument) as caught:
                await reporter.start_task("x", **arguments)
            assert caught.value.field == field, caught.value
        with pytest.raises(reeve.NoSuchTask):
            await reporter.complete_task("nobody_knows_it")

        t = await reporter.start_task("x", task_id="own_id")
        assert await reporter.start_task("x", task_id="own_id") == t, "the same again"
        with pytest.raises(reeve.AlreadyExists):
            await reporter.start_task("y", task_id="own_id")
        with pytest.raises(reeve.InvalidArgument):
            await reporter.update_task(t, 1.5)
        await reporter.complete_task(t)

    run(work())


def test_success_false_is_a_failure(instance):
    async def work():
        reporter = reeve.TaskReporter("test", "reporter")
        ended = await reporter.complete_task(await reporter.start_task("x"), success=False)
        assert (ended.status, ended.outcome) == ("failed", "reported")

    run(work())


def test_the_block(instance):
    async def work():
        reporter = reeve.TaskReporter("test", "reporter")
        async with reporter.task("train") as t:
            for epoch in range(3):
                t.metric("loss", 1 / (epoch + 1), step=epoch)
                t.progress((epoch + 1) / 3, f"epoch {epoch}")
            t.metric("epochs_completed", 3)
            t.result(file="model.bin")
        assert t.ended.status == "completed" and t.ended.progress == 1.0
        assert t.ended.ml_metrics["epochs_completed"] == 3 and t.ended.result_metadata == {"file": "model.bin"}
        with contextlib.closing(sqlite3.connect(f"file:{instance.path('registry.db')}?mode=ro", uri=True, timeout=30)) as db:
            series = db.execute("SELECT step, value FROM task_metric_series WHERE task_id = ? ORDER BY step", (t.id,)).fetchall()
        assert series == [(0, 1.0), (1, 0.5), (2, pytest.approx(1 / 3))]

        with pytest.raises(ZeroDivisionError):
            async with reporter.task("divide") as t:
                1 / 0
        assert (t.ended.status, t.ended.outcome, t.ended.message) == ("failed", "reported", "ZeroDivisionError: division by zero")

    run(work())


def test_what_was_used_is_measured(instance, tmp_path):
    async def work():
        reporter = reeve.TaskReporter("test", "reporter", storage_paths=[tmp_path])
        async with reporter.task("work") as t:
            sum(range(5_000_000))
            (tmp_path / "file").write_bytes(b"x" * 1_000_000)
        assert t.ended.usage["cpu_usec"] > 10_000, t.ended.usage
        assert t.ended.usage["cpu_usec"] == t.ended.usage["cpu_user_usec"] + t.ended.usage["cpu_system_usec"]
        assert t.ended.usage["memory_peak_bytes"] > 5_000_000
        assert 1_000_000 <= t.ended.usage["storage_delta_bytes"] < 1_100_000, t.ended.usage
        assert set(t.ended.usage_sources.values()) == {"reported"}

    run(work())


def test_fifty_at_once(instance):
    async def work():
        reporter = reeve.TaskReporter("test", "reporter")

        async def one(i):
            async with reporter.task(f"task {i}") as t:
                t.metric("vectors_processed", i)
                await reporter.update_task(t.id, 0.5)
            return t.ended

        tasks = await asyncio.gather(*(one(i) for i in range(50)))
        assert [t.ml_metrics["vectors_processed"] for t in tasks] == list(range(50))
        assert {t.status for t in tasks} == {"completed"}
        stored = await reeve.task_registry.query_tasks("completed")
        assert {t.task_id for t in stored} == {t.task_id for t in tasks} and len(stored) == 50

    run(work())


# ---- deaths

DYING = """
import asyncio, reeve, sys
async def main():
    reporter = reeve.TaskReporter("test", "reporter", watch=sys.argv[1] == "watch", heartbeat=sys.argv[2] or None)
    ids = await asyncio.gather(*(reporter.start_task(str(i)) for i in range(3)))
    print(*ids, flush=True)
    await asyncio.Event().wait()
asyncio.run(main())
"""


def test_a_killed_reporter_loses_its_tasks_at_once(instance, program):
    process = program("-c", DYING, "watch", "")
    ids = process.stdout.readline().split()
    assert len(ids) == 3 and {get(t).status for t in ids} == {"active"}
    process.kill()
    for t in ids:
        ended = reeve.sync.task_registry.wait_task(t)
        assert (ended.status, ended.outcome) == ("lost", "reporter-died"), ended


def test_a_reporter_that_is_killed_while_the_registry_is_away(instance, program):
    process = program("-c", DYING, "watch", "")
    ids = process.stdout.readline().split()
    instance.kill(instance.reeved)
    process.kill()
    process.wait()
    instance.start_reeved()
    for t in ids:
        ended = reeve.sync.task_registry.wait_task(t)
        assert (ended.status, ended.outcome) == ("lost", "reporter-died"), ended


def test_who_is_not_watched_may_go(instance, program):
    process = program("-c", DYING, "alone", "")
    ids = process.stdout.readline().split()
    process.kill()
    process.wait()
    reporter = reeve.sync.TaskReporter("test", "reporter")
    assert {reporter.complete_task(t).status for t in ids} == {"completed"}


def test_without_a_sign_of_life_it_is_lost(instance, program):
    process = program("-c", DYING, "alone", "200ms")
    for t in process.stdout.readline().split():
        ended = reeve.sync.task_registry.wait_task(t)
        assert (ended.status, ended.outcome) == ("lost", "reporter-died"), ended
    assert process.poll() is None


def test_the_registry_is_killed_between_start_and_end(instance):
    async def work():
        reporter = reeve.TaskReporter("test", "reporter")
        ids = [await reporter.start_task(str(i)) for i in range(10)]
        instance.kill(instance.reeved)
        ends = [asyncio.ensure_future(reporter.complete_task(t, result_metadata={"n": i})) for i, t in enumerate(ids)]
        await reporter.update_task(ids[0], 0.5)
        await asyncio.get_running_loop().run_in_executor(None, instance.start_reeved)
        tasks = await asyncio.gather(*ends)
        assert [t.result_metadata for t in tasks] == [{"n": i} for i in range(10)]
        for t in tasks:
            assert t.status == "completed"
            assert topics(instance, t.task_id).count("task.completed") == 1
        assert topics(instance, ids[0])[-2:] == ["task.updated", "task.completed"]

    run(work())


def test_the_registry_is_killed_again_and_again(instance):
    """Whatever the moment, each task is there once and ends once."""
    over = threading.Event()

    def killer():
        for _ in range(6):
            instance.kill(instance.reeved, number=signal.SIGKILL)
            instance.start_reeved()
        over.set()

    async def work():
        reporter = reeve.TaskReporter("test", "reporter")
        ended = []

        async def one():
            while not over.is_set():
                async with reporter.task("x") as t:
                    t.progress(0.5)
                ended.append(t.ended)

        thread = threading.Thread(target=killer)
        thread.start()
        await asyncio.gather(*(one() for _ in range(10)))
        thread.join()
        tasks = await reeve.task_registry.query_tasks()
        assert {t.task_id for t in tasks} == {t.task_id for t in ended} and len(tasks) == len(ended) >= 10
        assert {t.status for t in tasks} == {"completed"}
        for t in tasks:
            seen = topics(instance, t.task_id)
            assert seen[0] == "task.created" and seen[-1] == "task.completed" and seen.count("task.completed") == 1, seen

    run(work())


# ---- without asyncio


def test_the_twin(instance):
    reporter = reeve.sync.TaskReporter("test", "twin")
    t = reporter.start_task("one", sla_hours=1)
    reporter.update_task(t, 0.5)
    assert reporter.complete_task(t, ml_metrics=METRICS).ml_metrics == METRICS
    with reporter.task("two") as block:
        block.progress(0.5)
        block.metric("epochs_completed", 1)
    assert block.ended.status == "completed"
    with pytest.raises(ValueError):
        with reporter.task("three") as block:
            raise ValueError("no")
    assert (block.ended.status, block.ended.message) == ("failed", "ValueError: no")

    ends = []

    def one():
        with reporter.task("thread") as block:
            pass
        ends.append(block.ended.status)

    threads = [threading.Thread(target=one) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert ends == ["completed"] * 8


def test_the_twin_after_a_fork(instance):
    reporter = reeve.sync.TaskReporter("test", "twin")
    reporter.complete_task(reporter.start_task("parent"))
    pid = os.fork()
    if pid == 0:
        status = 1
        try:
            status = 0 if reporter.complete_task(reporter.start_task("child")).status == "completed" else 2
        finally:
            os._exit(status)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
    reporter.complete_task(reporter.start_task("parent again"))
    assert len(reeve.sync.task_registry.query_tasks("completed", task_type="twin")) == 3


# ---- programs of old


def test_a_program_of_old_runs_unchanged(instance, program):
    here = os.path.dirname(os.path.abspath(__file__))
    process = program(os.path.join(here, "program_of_old.py"))
    out, _ = process.communicate(timeout=60)
    assert process.returncode == 0, out
    healing, mission, campaign = out.split()
    t = get(healing)
    assert (t.status, t.subsystem, t.task_type, t.created_by) == ("completed", "healing", "playbook", "healing_orchestrator")
    assert t.resource_usage == USAGE and t.ml_metrics == METRICS and t.result_metadata == {"services_restarted": 2}
    t = get(mission)
    assert (t.status, t.outcome, t.message) == ("failed", "reported", "RuntimeError: no such mission")
    t = get(campaign)
    assert (t.status, t.subsystem, t.title, t.metadata) == ("completed", "chaos", "Campaign 7", {"targets": 3}), t
    assert t.verification_status == "passed" and t.resource_usage == {"cpu_seconds": 2.0}
