# SPDX-License-Identifier: LGPL-2.1-or-later
"""The examples of docs/examples run as they are, with real daemons, and the registry knows afterwards what they did."""

import contextlib
import json
import os
import re
import sqlite3
import subprocess
import sys

import pytest
from conftest import PACKAGE, SOURCE

import instance as instances
from reeve.sync import TaskReporter, task_registry

EXAMPLES = os.path.join(SOURCE, "docs", "examples")
TEXTS = [os.path.join(SOURCE, "docs", name) for name in ("sla.md", "queue.md", "reporting.md")]
# As is built in, but nobody waits for seconds before another attempt.
POLICY = "version: 1\ndefaults:\n  retry: {backoff: 100ms}\n" \
         "subsystems:\n  search:\n    stuck: {active_for: 1s}\n"
SHIPPED = os.path.join(SOURCE, "config", "policy.d")
# The policies that are shipped, with pauses that nobody has to sit out.
QUICK = "version: 1\nsubsystems: {healing: {task_types: {playbook: {retry: {backoff: 100ms}}}}, web: {retry: {backoff: 100ms}}}\n"
needs_cgroup = pytest.mark.skipif(instances.cgroup2_mount() is None, reason="there is no cgroup2 here")


def enforces_limits():
    with contextlib.suppress(OSError, TypeError), \
            open(os.path.join(instances.cgroup2_mount(), "cgroup.controllers"), encoding="ascii") as f:
        return {"cpu", "memory", "io", "pids"} <= set(f.read().split())
    return False


def policies(shipped):
    """(name, text) of the files of policy.d; of those that are shipped without limits where the host cannot enforce them."""
    if not shipped:
        return [("50-test.yaml", POLICY)]
    files = [("99-test.yaml", QUICK)]
    for name in os.listdir(SHIPPED):
        with open(os.path.join(SHIPPED, name), encoding="utf-8") as f:
            text = f.read()
        files.append((name, text if enforces_limits() else re.sub(r"limits: \{[^}]*\}", "limits: {}", text)))
    assert len(files) == 8, files
    return files


@pytest.fixture(params=["own", "shipped"])
def world(request, tmp_path, monkeypatch):
    """A registry with or without the policies that are shipped, and what examples find in the environment."""
    reason = instances.unmet()
    if reason:
        pytest.skip(reason)
    i = instances.Instance()
    for name, text in policies(request.param == "shipped"):
        with open(i.path("policy.d", name), "w", encoding="utf-8") as f:
            f.write(text.replace("/etc/reeve/hooks", i.path("hooks")))
    with i:
        os.makedirs(tmp_path / "bin")
        os.symlink(instances.REEVE, tmp_path / "bin" / "reeve")
        monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:{os.environ['PATH']}")
        monkeypatch.setenv("PYTHONPATH", PACKAGE)
        monkeypatch.setenv("PYTHONDONTWRITEBYTECODE", "1")
        monkeypatch.setenv("REEVE_SOCKET", i.path("io.reeve.Registry"))
        yield i
        if not i.reeved or not i.reeved.alive():
            print(i.logs())


def command(name, *arguments):
    """An example as it is started; programs in Python by the one that runs this."""
    path = os.path.join(EXAMPLES, name)
    with open(path, encoding="utf-8") as f:
        is_python = "python" in f.readline()
    return [*([sys.executable, "-W", "error"] if is_python else []), path, *map(str, arguments)]


def run(name, *arguments, status=0, **environment):
    p = subprocess.run(command(name, *arguments), env={**os.environ, **environment}, stdin=subprocess.DEVNULL,
                       capture_output=True, text=True, timeout=120, check=False)
    assert p.returncode == status, (name, p.returncode, p.stdout, p.stderr)
    return p


def only(subsystem, task_type):
    """The only task of its kind, with all that is known of it."""
    tasks = [t for t in task_registry.iterate_tasks(subsystem=subsystem) if t.task_type == task_type]
    assert len(tasks) == 1, tasks
    return task_registry.get_task(tasks[0].task_id)


def database(world):
    return sqlite3.connect(f"file:{world.path('registry.db')}?mode=ro", uri=True, timeout=30)


def series(world, task_id, name):
    with contextlib.closing(database(world)) as db:
        return [row[0] for row in db.execute(
            "SELECT step FROM task_metric_series WHERE task_id = ? AND name = ? ORDER BY step", (task_id, name))]


def spool(tmp_path, **kilobytes):
    """A folder with files of these sizes, their last '_' for a dot."""
    folder = tmp_path / "spool"
    folder.mkdir()
    (folder / "queue").write_text("")
    for name, size in kilobytes.items():
        (folder / name.replace("_", ".")).write_bytes(b"x" * 1024 * size)
    return folder


# ---- the subsystems


def test_healing_playbook(world, tmp_path):
    folder = spool(tmp_path, a_tmp=200, b_old=200, c_mail=4)
    run("healing-playbook", folder)
    t = only("healing", "playbook")
    assert world.output(t.task_id).splitlines()[-1] == b"done"
    assert (t.status, t.raw["attempt"], t.priority, t.created_by) == ("completed", 2, 7, "healer"), t
    assert t.sla_met is True and 0 < t.sla_margin_seconds <= 15 * 60
    assert (t.verification_status, t.raw["verification_failures"]) == ("passed", 0) and t.raw["verification_passes"] >= 2
    assert sorted(os.listdir(folder)) == ["c.mail", "queue"]


def test_a_playbook_that_heals_nothing_has_failed(world, tmp_path):
    folder = spool(tmp_path, c_mail=200)
    run("healing-playbook", folder, status=1)
    t = only("healing", "playbook")
    assert (t.status, t.outcome, t.raw["attempt"]) == ("failed", "exit-code", 2), t
    assert (folder / "c.mail").exists()


def test_a_playbook_that_breaks_something_has_failed(world, tmp_path):
    folder = spool(tmp_path, a_tmp=200)
    os.remove(folder / "queue")
    run("healing-playbook", folder, status=78)
    t = only("healing", "playbook")
    assert (t.status, t.outcome, t.verification_status) == ("failed", "verification", "failed"), t


def test_coding_work_order(world, tmp_path):
    run("coding-work-order", tmp_path)
    t = only("coding_agent", "work_order")
    assert (t.status, t.kind, t.verification_status) == ("completed", "reported", "passed"), t
    assert t.result_metadata == {"files": ["spans.py", "test_spans.py"], "drafts": 2}
    assert t.metadata == {"order": "WO-1"} and t.sla_met is True
    assert series(world, t.task_id, "tests_passed") == [1, 2] and t.ml_metrics["tests_passed"] == 1
    assert t.usage["storage_delta_bytes"] > 0 and t.usage["cpu_usec"] > 0
    assert set(t.usage_sources.values()) == {"reported"}


def test_a_work_order_that_cannot_be_done_has_failed(world, tmp_path):
    (tmp_path / "unittest.py").write_text("raise SystemExit('no tests here')\n")
    run("coding-work-order", tmp_path, status=1)
    t = only("coding_agent", "work_order")
    assert (t.status, t.outcome) == ("failed", "reported"), t
    assert t.message == "RuntimeError: no draft passes the tests: no tests here"


@needs_cgroup
def test_learning_mission(world):
    run("learning-mission", *TEXTS)
    t = only("learning", "mission")
    assert (t.status, t.priority, t.progress) == ("completed", 3, 1), t
    assert t.progress_message == f"has read {TEXTS[-1]}" and t.sla_met is True
    assert t.ml_metrics["tokens_processed"] > t.ml_metrics["new_facts"] > 500, t.ml_metrics
    assert series(world, t.task_id, "new_facts") == [1, 2, 3]
    assert t.usage_sources["cpu_usec"].startswith("kernel") and t.usage["cpu_usec"] > 0


def test_ml_training(world, tmp_path):
    run("ml-training", tmp_path / "model.json", 12)
    t = only("ml_pipeline", "classifier")
    assert (t.status, t.kind, t.verification_status, t.progress) == ("completed", "launched", "passed", 1), t
    assert t.ml_metrics["epochs_completed"] == 12 and t.ml_metrics["validation_accuracy"] >= 0.95, t.ml_metrics
    size = os.path.getsize(tmp_path / "model.json")
    assert t.ml_metrics["model_size_mb"] == size / (1 << 20) and t.ml_metrics["dataset_size_mb"] > 0
    assert series(world, t.task_id, "loss") == list(range(1, 13))
    with contextlib.closing(database(world)) as db:
        losses = [row[0] for row in db.execute(
            "SELECT value FROM task_metric_series WHERE task_id = ? AND name = 'loss' ORDER BY step", (t.task_id,))]
        assert losses[-1] < losses[0] / 2, losses
        assert db.execute("SELECT epochs_completed FROM task_registry WHERE task_id = ?", (t.task_id,)).fetchone() == (12,)


def test_a_model_that_has_learned_nothing_has_failed(world, tmp_path):
    run("ml-training", tmp_path / "model.json", 1, status=78)
    t = only("ml_pipeline", "classifier")
    assert (t.status, t.outcome, t.verification_status) == ("failed", "verification", "failed"), t
    assert t.ml_metrics["epochs_completed"] == 1 and t.ml_metrics["validation_accuracy"] < 0.95


def test_rag_index(world, tmp_path):
    index = tmp_path / "index"
    run("rag-index", index, *TEXTS)
    t = only("rag", "index")
    vectors = os.path.getsize(index / "vectors.f32") // (256 * 4)
    with open(index / "passages.json", encoding="utf-8") as f:
        assert len(json.load(f)["passages"]) == vectors > 20
    assert (t.status, t.verification_status, t.ml_metrics["vectors_processed"]) == ("completed", "passed", vectors), t
    assert t.ml_metrics["tokens_processed"] > 1000 and t.ml_metrics["dataset_size_mb"] > 0
    written = sum(os.stat(index / name).st_blocks * 512 for name in os.listdir(index))
    assert written <= t.usage["storage_delta_bytes"] <= written + 65536, (written, t.usage)
    assert t.result_metadata["found"] == t.result_metadata["asked"] >= 10


def test_an_index_of_nothing_has_failed(world, tmp_path):
    run("rag-index", tmp_path / "index", tmp_path / "nothing", status=1)
    t = only("rag", "index")
    assert (t.status, t.outcome) == ("failed", "reported") and t.message.startswith("FileNotFoundError: "), t


def test_remote_command(world):
    p = run("remote-command", SSH_ORIGINAL_COMMAND="echo to the caller; exit 3", SSH_CONNECTION="192.0.2.7 50000 192.0.2.1 22",
            status=3)
    assert p.stdout == "to the caller\n"
    t = only("remote_access", "command")
    assert (t.status, t.outcome, t.raw["exit_status"], t.raw["attempt"]) == ("failed", "exit-code", 3, 1), t
    assert t.created_by == "ssh:192.0.2.7" and t.raw["argv"][-1] == "echo to the caller; exit 3"
    assert world.output(t.task_id) == b"to the caller\n", "the registry keeps it"


def test_a_remote_session_is_refused(world):
    p = run("remote-command", SSH_CONNECTION="192.0.2.7 50000 192.0.2.1 22", status=2)
    assert "only commands, no sessions" in p.stderr
    assert list(task_registry.iterate_tasks(subsystem="remote_access")) == []


def test_chaos_campaign(world):
    run("chaos-campaign", 2)
    t = only("chaos", "campaign")
    assert (t.status, t.verification_status, t.ml_metrics["kills"]) == ("completed", "passed", 2), t
    assert series(world, t.task_id, "recovery_seconds") == [1, 2] and 0 < t.ml_metrics["recovery_seconds"] < 60
    worker = only("web", "worker")
    assert t.result_metadata == {"worker": worker.task_id, "attempts": 3}
    assert (worker.status, worker.raw["attempt"]) == ("completed", 3), worker
    with contextlib.closing(database(world)) as db:
        ends = db.execute("SELECT exit_kind, exit_value FROM task_attempts WHERE task_id = ? AND attempt < 3",
                          (worker.task_id,)).fetchall()
        assert ends == [("killed", 9)] * 2, ends


def test_orchestrator(world):
    run("orchestrator", "echo one", "echo two")
    plan = only("orchestrator", "plan")
    assert (plan.status, plan.progress, plan.sla_met) == ("completed", 1, True), plan
    assert plan.result_metadata == {"done": [f"{plan.task_id}-1", f"{plan.task_id}-2"]}
    for step in plan.result_metadata["done"]:
        t = task_registry.get_task(step)
        assert (t.status, t.metadata, t.created_by) == ("completed", {"plan": plan.task_id}, plan.task_id), t


def test_an_orchestrator_reports_failure(world, tmp_path):
    p = run("orchestrator", "echo one", "exit 9", f"touch {tmp_path / 'never'}", status=1)
    plan = only("orchestrator", "plan")
    assert (plan.status, plan.outcome, plan.progress) == ("failed", "reported", pytest.approx(1 / 3)), plan
    step = f"{plan.task_id}-2"
    assert plan.message == f"StepFailed: step 2 ({step}) ended with exit status 9"
    assert plan.message.removeprefix("StepFailed: ") in p.stderr, "its caller sees it, too"
    assert plan.result_metadata == {"done": [f"{plan.task_id}-1"], "not_begun": [f"touch {tmp_path / 'never'}"]}
    assert not (tmp_path / "never").exists()


# ---- the guardian

own_policy = pytest.mark.parametrize("world", ["own"], indirect=True)


def guard(*arguments):
    process = subprocess.Popen(command("guardian", *arguments), stdout=subprocess.PIPE, text=True)
    assert process.stdout.readline() == "watching\n"
    return process


def finish(process):
    try:
        out, _ = process.communicate(timeout=60)
    finally:
        process.kill()
        process.wait()
    assert process.returncode == 0, out
    return out


@own_policy
def test_a_guardian_escalates_what_becomes_overdue(world):
    process = guard("--until=1")
    reporter = TaskReporter("learning", "mission")
    with reporter.task("Mission: late", sla="200ms") as late, reporter.task("Mission: in time", sla="1h"):
        late.progress(0.25)
        assert finish(process) == f"escalation: {late.id} (Mission: late) of uid 0\n"
        t = only("guardian", "escalation")
        assert (t.status, t.title, t.metadata) == ("completed", "Escalation: Mission: late", {"about": late.id}), t
        assert t.result_metadata["progress"] == 0.25
    assert late.ended.sla_met is False and late.ended.sla_margin_seconds < 0


@own_policy
def test_a_guardian_finds_what_was_there_before(world):
    with world.connect() as c:
        stuck = world.run(["/bin/sh", "-c", "read -r _ <&-; kill -STOP $$"], connection=c)["task_id"]
        with TaskReporter("learning", "mission").task("Mission: late", sla="100ms") as late:
            with guard("--until=1") as first:  # the deadline has come when it has told
                assert finish(first).startswith(f"escalation: {late.id} ")
            process = guard("--until=3", "--longer-than=50ms")
            out = finish(process)
        assert re.findall(r"^(\w+): (\S+) ", out, re.M)[0] == ("escalation", late.id), out
        assert set(re.findall(r"^investigation: (\S+) ", out, re.M)) == {late.id, stuck}, out
        about = {t.metadata["about"]: task_registry.get_task(t.task_id)
                 for t in task_registry.iterate_tasks(subsystem="guardian") if t.task_type == "investigation"}
        facts = about[stuck].result_metadata
        assert facts["active_for_seconds"] >= 0.05 and facts["state"] == "T (stopped)", facts
        c.call("Cancel", {"task_id": stuck, "reason": "enough"})
        world.wait(stuck, c)


@own_policy
def test_a_guardian_investigates_what_is_stuck(world):
    process = guard("--until=1")
    with world.connect() as c:
        stuck = world.run(["/bin/sh", "-c", "echo begun; kill -STOP $$"], connection=c, subsystem="search")["task_id"]
        assert finish(process).startswith(f"investigation: {stuck} ")
        t = only("guardian", "investigation")
        facts = t.result_metadata
        assert (t.status, t.metadata, facts["rule"]) == ("completed", {"about": stuck}, "active"), t
        assert (facts["processes"][0]["comm"], facts["processes"][0]["state"][0]) == ("sh", "T"), facts
        assert "begun" in facts["output"], facts
        assert task_registry.get_task(stuck).status == "active", "a guardian looks, and does not touch"
        c.call("Cancel", {"task_id": stuck, "reason": "enough"})
        world.wait(stuck, c)


def test_each_example_is_listed():
    with open(os.path.join(EXAMPLES, "README.md"), encoding="utf-8") as f:
        listed = set(re.findall(r"^\| \[([\w-]+)\]\(\1\)", f.read(), re.M))
    names = set(os.listdir(EXAMPLES)) - {"README.md"}
    assert listed == names and len(names) == 9
    for name in names:
        path = os.path.join(EXAMPLES, name)
        with open(path, encoding="utf-8") as f:
            lines = f.read().splitlines()
        assert os.access(path, os.X_OK) and len(lines) <= 80, (name, len(lines))
