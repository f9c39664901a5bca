# SPDX-License-Identifier: LGPL-2.1-or-later
"""io.reeve.Registry1 on a real bus: the interface, every method, signals, objects, and the loss of the bus."""

import collections
import contextlib
import os
import pathlib
import re
import signal
import subprocess
import xml.etree.ElementTree as xml

import pytest

import registry
from conftest import NAME, SOURCE
from dbus import DBusError
from instance import REEVED, Daemon, cgroup2_mount
from registry import OBJECT, SLEEP, TASK, call, ended, get, properties, run, watch

STANDARD = "org.freedesktop.DBus"
MISSING = "test_bus_nobody-knows-me"


@contextlib.contextmanager
def refused(name, words=""):
    """The call inside fails with that error, whose message has these words."""
    try:
        yield
    except DBusError as e:
        got = e
    else:
        pytest.fail(f"expected {name}, but the call succeeded")
    name = name if "." in name else "io.reeve.Error." + name
    assert got.name == name and words in got.text, f"expected {name} with '{words}', got {got}"


@pytest.fixture(name="task")
def a_task(c):
    task, _ = run(c, SLEEP)
    yield task
    with contextlib.suppress(DBusError):
        call(c, "CancelTask", task, "")


# --- the interface -----------------------------------------------------------------------------------------------


def members(interface):
    """What an interface says, as comparable text."""
    lines = []
    for m in interface:
        if not isinstance(m.tag, str):
            continue
        inner = [(a.tag, tuple(sorted(a.attrib.items()))) for a in m if isinstance(a.tag, str)]
        if m.tag == "method":
            inner = [(tag, tuple(x for x in a if x != ("direction", "in"))) for tag, a in inner]
        if m.tag == "annotation":
            continue
        lines.append((m.tag, m.get("name"), m.get("type"), m.get("access"), tuple(inner)))
    return sorted(lines, key=str)


def interfaces(text):
    return {i.get("name"): members(i) for i in xml.fromstring(text).findall("interface")
            if not i.get("name").startswith(STANDARD)}


def introspect(c, path):
    return c.call(NAME, path, STANDARD + ".Introspectable", "Introspect")[0]


def test_what_is_served_is_what_is_written(c, task):
    with open(os.path.join(SOURCE, "src", "api", "io.reeve.Registry1.xml"), encoding="utf-8") as f:
        written = interfaces(f.read())
    path = OBJECT + "/task/" + encode(task)
    live = {**interfaces(introspect(c, OBJECT)), **interfaces(introspect(c, path))}
    assert sorted(live) == sorted(written)
    for name, expected in written.items():
        assert live[name] == expected, f"{name}: written {set(expected) - set(live[name])}, " \
                                       f"served {set(live[name]) - set(expected)}"


def test_what_the_tests_call_is_what_is_written():
    tree = xml.parse(os.path.join(SOURCE, "src", "api", "io.reeve.Registry1.xml"))
    written = {m.get("name"): "".join(a.get("type") for a in m.findall("arg") if a.get("direction") == "in")
               for m in tree.find("interface").findall("method")}
    assert registry.IN == written


# --- methods -----------------------------------------------------------------------------------------------------


def encode(task):
    return "".join(x if x.isalnum() else f"_{ord(x):02x}" for x in task)


def test_run_answers_with_id_and_object(c):
    task, path = run(c, SLEEP, task="test_bus_run-1")
    assert (task, path) == ("test_bus_run-1", OBJECT + "/task/test_5fbus_5frun_2d1")
    assert get(c, task)["status"] == "active"
    assert properties(c, path)["TaskId"] == task
    assert run(c, SLEEP, task=task) == (task, path), "the same request is the same task"
    with refused("AlreadyExists"):
        run(c, ["/bin/sleep", "1001"], task=task)
    call(c, "CancelTask", task, "enough")


def test_run_passes_descriptors(c):
    watch(c)
    reader, writer = os.pipe()
    try:
        task, _ = run(c, ["/bin/sh", "-c", "echo out; echo err >&2"], fds=[writer, writer],
                      stdio=("null", writer, writer))
        assert ended(c, task).member == "TaskCompleted"
        os.close(writer)
        with open(reader, encoding="ascii", closefd=False) as f:
            assert sorted(f.read().split()) == ["err", "out"]
    finally:
        os.close(reader)


def test_verifying_is_told(c):
    """Between the end of the work and the end of the task, as a signal and as a property."""
    watch(c)
    task, path = run(c, ["/bin/true"], verify=["true", "false"])
    m = c.signal(lambda m: m.member == "TaskUpdated" and m.body[0] == task)
    assert (m.body[1]["status"], m.body[1]["verification_status"]) == ("verifying", "pending")
    m = ended(c, task)
    assert (m.member, m.body[1]) == ("TaskFailed", "verification")
    row = get(c, task)
    assert (row["verification_status"], row["verification_passes"], row["verification_failures"]) == ("failed", 1, 1)


def test_run_takes_all_options(c):
    watch(c)
    options = {
        "title": ("s", "A title"), "description": ("s", "more"), "created_by": ("s", "a test"), "priority": ("y", 7),
        "metadata": ("s", '{"a": [1, {"b": null}]}'), "backend": ("s", ""),
    }
    task, _ = run(c, ["/bin/true"], options=options)
    ended(c, task)
    row = get(c, task)
    assert (row["title"], row["description"], row["created_by"], row["priority"]) == ("A title", "more", "a test", 7)
    assert row["metadata"].replace(" ", "") == '{"a":[1,{"b":null}]}' and row["argv"] == ["/bin/true"]
    assert row["status"] == "completed" and row["exit_status"] == 0 and isinstance(row["duration_seconds"], float)
    assert set(row["usage"]) == set(row["usage_sources"]) and row["usage"], row


def test_run_queues(c):
    watch(c)
    first, _ = run(c, SLEEP)
    task, _ = run(c, ["/bin/true"], options={
        "after": ("as", [first]), "unique": ("s", "one"), "attempts": ("u", 2), "hold": ("b", True)})
    row = get(c, task)
    assert (row["status"], row["held"], row["pending_reason"], row["after"]) == ("pending", True, "held", [first])
    assert row["unique"] == "one"
    with refused("AlreadyExists", task):
        run(c, ["/bin/true"], options={"unique": ("s", "one")})
    joined, _ = run(c, ["/bin/true"], options={"unique": ("s", "one"), "unique_mode": ("s", "join")})
    assert joined == task
    call(c, "CancelTask", first, "")
    assert ended(c, task).member == "TaskCancelled"


@pytest.mark.parametrize("options, error, words", [
    ({"subsystem": ("s", "no way")}, "InvalidArgument", "subsystem: "),
    ({"subsystem": ("i", 1)}, "InvalidArgument", "subsystem"),
    ({"colour": ("s", "red")}, "InvalidArgument", "colour"),
    ({"spec": ("i", 0)}, "InvalidArgument", "spec"),
    ({"title": ("as", ["x"])}, "InvalidArgument", "title"),
    ({"title": ("a(s)", [("x",)])}, "InvalidArgument", "title: a value of type 'a(s)'"),
    ({"after": ("s", "x")}, "InvalidArgument", "after"),
    ({"after": ("as", ["test_bus_nobody-knows-me"])}, "NoSuchTask", "after: there is no task"),
    ({"unique": ("s", "")}, "InvalidArgument", "unique"),
    ({"unique_mode": ("s", "perhaps")}, "InvalidArgument", "unique_mode"),
    ({"attempts": ("u", 0)}, "InvalidArgument", "attempts"),
    ({"attempts": ("u", 1001)}, "InvalidArgument", "attempts"),
    ({"title": ("v", ("s", "x"))}, "InvalidArgument", "title"),
    ({"title": ("s", "x" * 1025)}, "LimitExceeded", "title"),
    ({"priority": ("i", 11)}, "InvalidArgument", "priority"),
    ({"priority": ("t", 1 << 63)}, "InvalidArgument", "priority"),
    ({"metadata": ("s", "{")}, "InvalidArgument", "metadata"),
    ({"metadata": ("s", "[]")}, "InvalidArgument", "metadata"),
    ({"backend": ("s", "lorry")}, "InvalidArgument", "backend"),
    ({"stdio": ("ah", [0])}, "InvalidArgument", ""),
    ({"stdio": ("ah", [0, 0, 0, 0])}, "InvalidArgument", "stdio: at most 3"),
    ({"stdio": ("ai", [1])}, "InvalidArgument", "stdio"),
])
def test_run_refuses(c, options, error, words):
    with refused(error, words):
        run(c, ["/bin/true"], options=options)


@pytest.mark.parametrize("wish, options, error, words", [
    ({"properties": [("FailureAction", "reboot")]}, {}, "InvalidArgument", "FailureAction: "),
    ({"properties": [("PIDs", "1")]}, {"backend": ("s", "scope")}, "InvalidArgument", "PIDs: "),
    ({"properties": [("IPAddressDeny", "::/0")]}, {"backend": ("s", "cgroup")}, "InvalidArgument", "backend: "),
    ({"slice": "nothing"}, {}, "InvalidArgument", "slice: "),
])
def test_run_refuses_for_a_scope(c, wish, options, error, words):
    with refused(error, words):
        run(c, ["/bin/true"], options=options, **wish)


@pytest.mark.skipif(os.path.isdir("/run/systemd/system"), reason="systemd runs here")
def test_scopes_need_systemd(c):
    with refused("InvalidArgument", "backend: backend scope needs systemd"):
        run(c, ["/bin/true"], options={"backend": ("s", "scope")})
    with refused("InvalidArgument", "backend: backend scope needs systemd"):
        run(c, ["/bin/true"], properties=[("IPAddressDeny", "::/0")])


def test_run_refuses_options_given_twice(c):
    fd = registry.spec.memfd(registry.spec.text("test_bus_twice", ["/bin/true"]))
    class Twice(list):
        def items(self):
            return self
    with refused("InvalidArgument", "title: is given twice"):
        call(c, "RunTask", fd, Twice([("title", ("s", "a")), ("title", ("s", "b"))]))
    os.close(fd)


def test_run_refuses_what_is_no_specification(c):
    with open("/dev/null", "rb") as f, refused("InvalidArgument", "spec"):
        call(c, "RunTask", f.fileno(), {"subsystem": ("s", "test"), "task_type": ("s", "bus")})


def test_run_says_what_could_not_be_executed(c):
    with refused("ExecFailed", "/nonexistent"):
        run(c, ["/nonexistent"])


@contextlib.contextmanager
def sleeper():
    with subprocess.Popen(SLEEP) as p:
        try:
            yield p
        finally:
            p.kill()


def attach(c, task, pid, options=None):
    fd = registry.spec.memfd(registry.spec.attached(task, pid))
    try:
        return call(c, "AttachTask", fd, options or {})
    finally:
        os.close(fd)


@pytest.mark.skipif(cgroup2_mount() is None, reason="there is no cgroup2 here")
def test_attach(c):
    """A process becomes a task, or, without options, joins one that is reported."""
    what = {"subsystem": ("s", "test"), "task_type": ("s", "attach")}
    with sleeper() as p, sleeper() as q:
        task, path = attach(c, "test_bus_attached", p.pid, {**what, "title": ("s", "A process")})
        t = get(c, task)
        assert (task, t["title"], t["pid"]) == ("test_bus_attached", "A process", p.pid), t
        assert attach(c, task, p.pid, {**what, "title": ("s", "A process")})[1] == path, "the same again"
        with refused("NoSuchTask", "task_id"):
            attach(c, "test_bus_joined", q.pid)
        call(c, "StartTask", {**what, "task_id": ("s", "test_bus_joined")})
        with refused("InvalidArgument", "task_type"):
            attach(c, "test_bus_joined", q.pid, {"subsystem": ("s", "test")})
        assert attach(c, "test_bus_joined", q.pid)[0] == "test_bus_joined"
        t = get(c, "test_bus_joined")
        assert (t["status"], t["attempt"], t["kind"]) == ("active", 1, "reported"), t
        call(c, "SignalTask", "test_bus_joined", 9)
        assert q.wait() == -9
        call(c, "CompleteTask", "test_bus_joined", True, {})


def test_every_method_about_a_task_refuses_a_wrong_id(c):
    for method in registry.IN:
        if registry.IN[method].startswith("s") and method != "Publish":
            rest = {"CancelTask": [""], "SignalTask": [15], "ExtendTask": [1000000], "UpdateTask": [{}],
                    "CompleteTask": [True, {}], "FailTask": ["x"]}.get(method, [])
            with refused("NoSuchTask"):
                call(c, method, MISSING, *rest)
            with refused("InvalidArgument"):
                call(c, method, "../x", *rest)


def test_wrong_types_do_not_reach_the_registry(c):
    for method, signature, values in (("GetTask", "i", [1]), ("CancelTask", "s", ["x"]), ("ListTasks", "", []),
                                      ("RunTask", "a{sv}", [{}])):
        with refused(STANDARD + ".Error.InvalidArgs"):
            c.call(NAME, OBJECT, registry.INTERFACE, method, signature, values)
    with refused(STANDARD + ".Error.UnknownMethod"):
        c.call(NAME, OBJECT, registry.INTERFACE, "StopTask", "a{sv}", [{}])


def test_signal_and_its_refusals(c, task):
    watch(c)
    for bad in (0, -1, 65):
        with refused("InvalidArgument", "signal"):
            call(c, "SignalTask", task, bad)
    call(c, "SignalTask", task, signal.SIGUSR1)
    m = ended(c, task)
    assert m.member == "TaskFailed" and m.body[1] == "signal", m
    with refused("AlreadyFinished"):
        call(c, "SignalTask", task, signal.SIGUSR1)
    assert get(c, task)["exit_signal"] == signal.SIGUSR1


def test_freeze_and_thaw(c, task):
    watch(c)
    call(c, "FreezeTask", task)
    assert get(c, task)["frozen"] is True
    call(c, "FreezeTask", task)
    call(c, "ThawTask", task)
    assert "frozen" not in get(c, task)
    told = [c.signal(lambda m: m.member == "TaskUpdated" and m.body[0] == task).body[1] for _ in range(2)]
    assert ["frozen" in t for t in told] == [True, False] and told[0]["event"] < told[1]["event"], told


def test_cancel_keeps_the_reason(c, task):
    watch(c)
    call(c, "CancelTask", task, "not needed")
    assert ended(c, task).member == "TaskCancelled"
    assert "not needed" in get(c, task)["message"]


def test_list_filters_and_pages(c):
    watch(c)
    mine = [run(c, ["/bin/true"], options={"subsystem": ("s", "pages")})[0] for _ in range(3)]
    open_ones = set(mine)  # they end in any order
    while open_ones:
        open_ones.discard(ended(c, *open_ones).body[0])
    tasks, cursor = call(c, "ListTasks", {"subsystem": ("s", "pages")})
    assert [t["task_id"] for t in tasks] == mine[::-1] and cursor == ""
    seen, filters = [], {"subsystem": ("s", "pages"), "limit": ("u", 2)}
    while True:
        tasks, cursor = call(c, "ListTasks", filters)
        seen += [t["task_id"] for t in tasks]
        if not cursor:
            break
        filters["cursor"] = ("s", cursor)
    assert seen == mine[::-1]
    assert call(c, "ListTasks", {"subsystem": ("s", "pages"), "status": ("s", "active,pending")})[0] == []


@pytest.mark.parametrize("filters, error, words", [
    ({"status": ("s", "asleep")}, "InvalidArgument", "status"), ({"limit": ("i", 0)}, "LimitExceeded", "limit"),
    ({"limit": ("s", "1")}, "InvalidArgument", "limit"), ({"cursor": ("s", "x")}, "InvalidArgument", "cursor"),
    ({"since": ("x", -1)}, "InvalidArgument", "since"), ({"what": ("b", 1)}, "InvalidArgument", "what"),
    ({"stdio": ("ah", [0])}, "InvalidArgument", "stdio"),
])
def test_list_refuses(c, filters, error, words):
    with refused(error, words):
        call(c, "ListTasks", filters)


def test_stats(c):
    watch(c)
    task, _ = run(c, SLEEP)
    c.signal(lambda m: m.member == "TaskStarted" and m.body[0] == task)
    stats = call(c, "GetStats")[0]
    assert stats["counts"]["active"] >= 1 and stats["subsystems"]["test"]["active"] >= 1 and stats["version"]
    call(c, "CancelTask", task, "")


# --- signals and objects -------------------------------------------------------------------------------------------


def test_signals_come_in_order_and_after_the_fact(c):
    watch(c)
    task, _ = run(c, ["/bin/sh", "-c", "exit 3"])
    got = []
    while not got or got[-1].member != "TaskFailed":
        got.append(c.signal(lambda m: m.path == OBJECT and m.body[0] == task))
    assert [m.member for m in got] == ["TaskCreated", "TaskStarted", "TaskFailed"]
    assert [m.body[-1]["status"] for m in got] == ["pending", "active", "failed"]
    assert got[-1].body[1] == "exit-code" and not {"argv", "message", "cwd"} & set(got[-1].body[-1])
    assert get(c, task)["status"] == "failed"


def test_every_topic_has_a_signal():
    """What the service tells of is in the table of signals, and in the document."""
    source = pathlib.Path(SOURCE, "src", "daemon")
    told = set()
    for file in source.joinpath("service").glob("*.c"):
        if file.name != "publish-topic.c":
            told |= set(re.findall(r'"(task\.[a-z_]+)"', file.read_text(encoding="utf-8")))
    told.remove("task.usage")  # of the moment, without a number
    table = set(re.findall(r'\{ "(task\.[a-z_]+)", "', source.joinpath("bus", "bus-signal.c").read_text(encoding="utf-8")))
    document = pathlib.Path(SOURCE, "docs", "events.md").read_text(encoding="utf-8")
    out = set(re.findall(r"`(task\.[a-z_]+)`", document[document.index("## Events out"):document.index("## The line log")]))
    assert told == table == out - {"task.usage"}, (told ^ table, told ^ out)


def test_deadlines_and_stuck_tasks_are_told(c, reeve):
    file = reeve.path("policy.d", "10-sla.yaml")
    with open(file, "w", encoding="utf-8") as f:
        f.write("version: 1\nsubsystems:\n  late:\n    stuck: {active_for: 1s}\n    sla:\n      deadline: 3s\n      ladder:\n"
                "        - {at: 50%, do: notify}\n        - {at: 100%, do: notify}\n        - {at: 100%, after: 200ms, do: kill}\n")
    watch(c)
    try:
        call(c, "ReloadPolicy")
        task, _ = run(c, SLEEP, options={"subsystem": ("s", "late")})
        got = []
        while not got or got[-1].member != "TaskFailed":
            got.append(c.signal(lambda m: m.path == OBJECT and m.body[0] == task))
    finally:
        os.unlink(file)
        call(c, "ReloadPolicy")
    names = [m.member for m in got]
    for name in ("SlaWarning", "SlaViolated", "SlaStep", "TaskStuck"):
        assert name in names, (name, names)
    assert names.index("SlaWarning") < names.index("SlaViolated") < names.index("SlaStep") < names.index("TaskFailed"), names
    numbers = [m.body[-1]["event"] for m in got]
    assert numbers == sorted(set(numbers)), numbers


def test_another_attempt_is_told(c, reeve):
    file = reeve.path("policy.d", "10-retry.yaml")
    with open(file, "w", encoding="utf-8") as f:
        f.write("version: 1\nsubsystems: {again: {retry: {attempts: 2, backoff: 1s}}}\n")
    call(c, "ReloadPolicy")
    watch(c)
    try:
        task, _ = run(c, ["/bin/sh", "-c", "exit 3"], attempts=2, options={"subsystem": ("s", "again")})
        got = []
        while not got or got[-1].member != "TaskFailed":
            got.append(c.signal(lambda m: m.path == OBJECT and m.body[0] == task))
    finally:
        os.unlink(file)
        call(c, "ReloadPolicy")
    assert [(m.member, m.body[-1]["status"]) for m in got] == [
        ("TaskCreated", "pending"), ("TaskStarted", "active"), ("TaskUpdated", "pending"), ("TaskStarted", "active"),
        ("TaskFailed", "failed")]


def test_status_of_an_object_changes(c):
    watch(c)
    task, path = run(c, SLEEP)
    changes = lambda m: m.path == path and m.member == "PropertiesChanged"  # noqa: E731
    seen = [c.signal(changes).body]
    call(c, "CancelTask", task, "")
    while seen[-1][1]["Status"] != "cancelled":
        seen.append(c.signal(changes).body)
    states = [body[1]["Status"] for body in seen]
    assert all(body[0] == TASK and set(body[1]) == {"Status"} and body[2] == [] for body in seen), seen
    assert states == sorted(set(states), key=["pending", "active", "cancelled"].index), "each state at most once"


def test_objects_come_and_go_with_tasks(c):
    watch(c)
    task, path = run(c, SLEEP, options={"title": ("s", "look at me")})
    assert f'<node name="{path.rsplit("/", 1)[1]}"/>' in introspect(c, OBJECT + "/task")
    p = properties(c, path)
    row = get(c, task)
    assert (p["Title"], p["Status"], p["Pid"], p["OwnerUid"]) == ("look at me", "active", row["pid"], os.getuid())
    assert p["CreatedAt"] == row["created_at"] and p["Cgroup"] == row.get("cgroup", "")
    assert set(p["Usage"]) == set(row["usage"])
    call(c, "CancelTask", task, "")
    ended(c, task)
    assert path.rsplit("/", 1)[1] not in introspect(c, OBJECT + "/task")
    with refused(STANDARD + ".Error.UnknownObject"):
        properties(c, path)


def test_an_object_of_no_task_is_none(c):
    for name in ("nobody", "_zz", "_2e_2e", "a" * 300):
        with refused(STANDARD + ".Error.UnknownObject"):
            properties(c, f"{OBJECT}/task/{name}")


# --- many calls ----------------------------------------------------------------------------------------------------


def test_a_sender_may_not_have_us_hold_any_number_of_calls(bus, c):
    """A bus need not count calls, and does not count those that want no answer. All are answered or refused, and we
    live on."""
    with bus.connect() as other:
        for _ in range(600):
            registry.send(other, "GetStats")
        answers = collections.Counter()
        while answers.total() < 600:  # refusals overtake answers
            m = other.receive()
            if m.reply_to:
                answers[m.error or "done"] += 1
    assert set(answers) <= {"done", "io.reeve.Error.LimitExceeded"} and answers["done"] >= 256, answers
    assert call(c, "GetStats")


def test_who_leaves_is_forgotten(bus, c):
    for _ in range(30):
        with bus.connect() as other:
            registry.send(other, "ListTasks", {})
            registry.send(other, "CancelTask", MISSING, "")
    assert call(c, "GetStats")


# --- the bus goes ---------------------------------------------------------------------------------------------------


def test_the_bus_may_go_and_come(bus, reeve):
    with bus.connect() as c:
        task, _ = run(c, SLEEP)
    bus.stop()
    assert reeve.run_wait(["/bin/true"])["status"] == "completed", "reeved must work without a bus"
    bus.start()
    with bus.connect() as c:
        c.wait_for_name(NAME)
        watch(c)
        assert get(c, task)["status"] == "active"
        call(c, "CancelTask", task, "")
        assert ended(c, task).member == "TaskCancelled"


def test_reeved_may_go_and_come(bus, reeve):
    with bus.connect() as c:
        task, path = run(c, SLEEP)
        reeve.kill(reeve.reeved)
        reeve.start_reeved()
        c.wait_for_name(NAME)
        assert properties(c, path)["Status"] == "active"
        call(c, "CancelTask", task, "")
        reeve.kill(reeve.reeved, number=signal.SIGTERM)
        assert not c.bus("NameHasOwner", "s", NAME)[0], "the name must go with reeved"
        reeve.start_reeved()
        c.wait_for_name(NAME)


# --- reported tasks ----------------------------------------------------------------------------------------------------

WHAT = {"subsystem": ("s", "learning"), "task_type": ("s", "mission")}


def test_a_reported_task(c):
    watch(c)
    task, = call(c, "StartTask", {**WHAT, "task_id": ("s", "test_bus_reported-1"), "metadata": ("s", '{"a": [1]}'),
                                  "sla_hours": ("d", 1.5), "heartbeat_usec": ("t", 60000000)})
    assert task == "test_bus_reported-1"
    assert properties(c, OBJECT + "/task/" + encode(task))["Status"] == "active"
    call(c, "UpdateTask", task, {"progress": ("d", 0.5), "message": ("s", "half way"), "step": ("u", 3),
                                 "ml_metrics": ("a{sd}", {"epochs_completed": 3.0}), "usage": ("a{st}", {"io_read_bytes": 7})})
    update = c.signal(lambda m: m.member == "TaskUpdated" and m.body[0] == task)
    assert update.body[1]["progress_message"] == "half way"
    for _ in range(2):
        call(c, "CompleteTask", task, True, {"resource_usage": ("a{sd}", {"cpu_seconds": 1.5}),
                                             "result_metadata": ("s", '{"b": 2}'), "verification_passed": ("b", True)})
    assert ended(c, task).member == "TaskCompleted"
    t = get(c, task)
    assert (t["status"], t["kind"], t["progress"], t["ml_metrics"]) == ("completed", "reported", 0.5, {"epochs_completed": 3.0}), t
    assert t["usage"] == {"cpu_usec": 1500000, "io_read_bytes": 7} and t["usage_sources"]["cpu_usec"] == "reported", t
    assert (t["metadata"], t["result_metadata"]) == ('{"a":[1]}', '{"b":2}'), t
    for method, values in (("CompleteTask", (False, {})), ("UpdateTask", ({},)), ("FailTask", ("no",))):
        with refused("AlreadyFinished"):
            call(c, method, task, *values)
    bad, = call(c, "StartTask", WHAT)
    call(c, "FailTask", bad, "it broke")
    t = get(c, bad)
    assert (t["status"], t["outcome"], t["message"]) == ("failed", "reported", "it broke"), t


@pytest.mark.parametrize("method, values, words", [
    ("StartTask", [{}], "subsystem"),
    ("StartTask", [{**WHAT, "watch": ("i", 0)}], "watch"),
    ("StartTask", [{**WHAT, "metadata": ("s", "[1]")}], "metadata"),
    ("StartTask", [{**WHAT, "priority": ("s", "7")}], "priority"),
    ("UpdateTask", [MISSING, {"task_id": ("s", "x")}], "task_id: is an argument"),
    ("UpdateTask", [MISSING, {"usage": ("a{sx}", {"nothing": 1})}], "usage"),
    ("UpdateTask", [MISSING, {"ml_metrics": ("a{ss}", {"a": "b"})}], "ml_metrics"),
    ("UpdateTask", [MISSING, {"ml_metrics": ("a{sd}", {"a": float("nan")})}], "ml_metrics"),
    ("UpdateTask", [MISSING, {"success": ("b", True)}], "success"),
    ("CompleteTask", [MISSING, True, {"success": ("b", True)}], "success: is an argument"),
    ("CompleteTask", [MISSING, True, {"progress": ("d", 1.0)}], "progress"),
    ("CompleteTask", [MISSING, True, {"result_metadata": ("s", "{")}], "result_metadata"),
])
def test_bad_reports(c, method, values, words):
    with refused("InvalidArgument", words):
        call(c, method, *values)


def test_reports_about_nothing(c):
    for method, values in (("UpdateTask", ({},)), ("CompleteTask", (True, {})), ("FailTask", ("x",))):
        with refused("NoSuchTask"):
            call(c, method, MISSING, *values)


def test_events_of_others(c):
    watch(c)
    task, status, created = call(c, "Publish", "task.created", '{"task_id": "test_bus_published-1", "subsystem": "learning", "task_type": "mission"}')
    assert (task, status) == ("test_bus_published-1", "pending")
    task, status, last = call(c, "Publish", "mission.completed", '{"mission_id": "test_bus_published-1", "success": true}')
    assert (task, status) == ("test_bus_published-1", "completed") and last > created
    assert ended(c, task).member == "TaskCompleted"
    with refused("AlreadyFinished"):
        call(c, "Publish", "task.failed", '{"task_id": "test_bus_published-1"}')
    with refused("NoSuchTask"):
        call(c, "Publish", "task.failed", '{"task_id": "test_bus_published-2"}')


@pytest.mark.parametrize("topic, payload, words", [
    ("task.complete", "{}", "topic: there is no topic 'task.complete', is it 'task.completed'?"),
    ("task.failed", "{}", "task_id"), ("task.failed", "", "payload"), ("task.failed", "[]", "payload"), ("task.failed", "{", "payload"),
    ("task.failed", '{"task_id": "x", "ml_metrics": {"a": "b"}}', "ml_metrics"),
])
def test_bad_events(c, topic, payload, words):
    with refused("InvalidArgument", words):
        call(c, "Publish", topic, payload)


# --- options ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("arguments, words", [
    (["--bus=system"], "--bus-name="),
    (["--bus=unix:path=/nowhere", "--bus-name=io.reeve.Registry1"], "--bus-name="),
    (["--bus=session", "--bus-name=.x"], "not a name"),
])
def test_a_private_instance_does_not_take_the_name(tmp_path, arguments, words):
    done = subprocess.run([REEVED, f"--root={tmp_path}", *arguments], capture_output=True, text=True, timeout=30)
    assert done.returncode == 64 and words in done.stderr, done


def test_a_bus_that_is_away_does_not_keep_reeved(bus, reeve):
    reeve.kill(reeve.reeved, number=signal.SIGTERM)
    away = Daemon([REEVED, f"--root={reeve.root}", "--bus=unix:path=/nowhere/at/all", f"--bus-name={NAME}"],
                  reeve.path("away.log"), user="reeve")
    assert reeve.run_wait(["/bin/true"])["status"] == "completed"
    assert away.end() == 0
    away.close()
    reeve.start_reeved()
    with bus.connect() as c:
        c.wait_for_name(NAME)
