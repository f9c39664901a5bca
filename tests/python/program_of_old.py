# SPDX-License-Identifier: LGPL-2.1-or-later
"""A program as there are many: it knows nothing but the old module paths."""

import asyncio

from backend.core.guardian import Guardian
from backend.core.message_bus import message_bus
from backend.services.task_registry import task_registry
from backend.utilities.task_reporter import TaskReporter


async def heal():
    completed = asyncio.Event()
    await message_bus.subscribe("task.completed", lambda event: completed.set())

    reporter = TaskReporter(subsystem="healing", task_type="playbook")
    task_id = await reporter.start_task(
        title="Playbook: restart what hangs",
        created_by="healing_orchestrator",
        description="Restarts services",
        priority=5,
        sla_hours=1.0,
        metadata={"playbook": "restart"},
    )
    await message_bus.publish("task.updated", {"task_id": task_id, "progress": 0.5})
    active = await task_registry.query_tasks(status="active")
    assert [t.task_id for t in active] == [task_id] and active[0].sla_deadline > active[0].created_at
    assert await task_registry.find_tasks_active_longer_than("1h") == []

    await reporter.complete_task(
        task_id,
        success=True,
        verification_passed=True,
        resource_usage={"cpu_seconds": 12.5, "memory_peak_mb": 250.0, "disk_read_mb": 100.0, "disk_write_mb": 50.0,
                        "storage_delta_mb": 25.0},
        ml_metrics={"dataset_size_mb": 500.0, "vectors_processed": 100000, "tokens_processed": 5000000,
                    "model_size_mb": 150.0, "epochs_completed": 10},
        result_metadata={"services_restarted": 2},
    )
    await completed.wait()
    return task_id


async def learn():
    reporter = TaskReporter(subsystem="learning", task_type="mission")
    task_id = await reporter.start_task(title="Mission", created_by="learning_loop")
    try:
        raise RuntimeError("no such mission")
    except RuntimeError as e:
        await reporter.fail_task(task_id, f"{type(e).__name__}: {e}")
    return task_id


async def publish():
    """No reporter: the events are all that is told, and the payloads are as they always were."""
    await message_bus.publish("task.created", {"task_id": "chaos_7", "task_type": "campaign", "subsystem": "chaos",
                                               "title": "Campaign 7", "created_by": "chaos", "metadata": {"targets": 3}})
    await message_bus.publish("task.started", {"task_id": "chaos_7"})
    await message_bus.publish("task.completed", {"task_id": "chaos_7", "success": True, "verification_passed": True,
                                                 "resource_usage": {"cpu_seconds": 2.0}})
    return "chaos_7"


async def main():
    guardian = Guardian(on_violation=print, on_stuck=print, on_anomaly=print)
    await guardian.start()
    print(await heal(), await learn(), await publish())
    await guardian.stop()


asyncio.run(main())
