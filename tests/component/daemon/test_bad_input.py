# SPDX-License-Identifier: LGPL-2.1-or-later
"""What clients may send and should not. Each case gets an error of the right class that names the field or the limit,
leaves nothing behind, and others are served meanwhile.

One instance serves all tests of this file, so whatever a case breaks shows in those after it.
"""

import array
import contextlib
import json
import os
import resource
import select
import socket
import subprocess
import tempfile
import time

import pytest

import spec
from instance import REEVE, Instance
from people import Person
from varlink import ConnectionLost, Varlink, VarlinkError

SOON = 10.0  # seconds; an answer takes milliseconds, on a machine that has nothing else to do
MEMORY_MAX = 160 << 20  # of reeved: 64 MiB of buffers for each of two uids, and itself
if "ASAN_OPTIONS" in os.environ:
    MEMORY_MAX = 4 << 30  # a sanitizer keeps what was freed for a while, and a shadow of everything: no measure
TRUE = ["/bin/true"]


@pytest.fixture(scope="module", name="reeve")
def the_instance():
    with Instance() as i:
        yield i


@pytest.fixture(autouse=True)
def nothing_breaks(reeve):
    """After each case reeved is the same process, answers, is not fat, and no cgroup, record or process is left."""
    pid = reeve.reeved.process.pid
    yield
    assert reeve.reeved.alive(), f"reeved has ended: {reeve.reeved.process.returncode}\n" + log_tail(reeve)
    assert reeve.launcher.alive(), "the launcher has ended"
    assert_served(reeve)
    assert rss(pid) < MEMORY_MAX, f"reeved has {rss(pid)} bytes in memory"


def log_tail(reeve):
    with open(reeve.path("reeved.log"), errors="replace") as f:
        return f.read()[-2000:]


def rss(pid):
    with open(f"/proc/{pid}/status", encoding="ascii", errors="replace") as f:
        for line in f:
            if line.startswith("VmRSS:"):
                return int(line.split()[1]) * 1024
    raise AssertionError("no VmRSS")


def assert_served(reeve, as_root=True):
    """Somebody else gets an answer, within a bounded time."""
    def ask():
        begin = time.monotonic()
        with reeve.connect(timeout=SOON) as c:
            assert c.call("Stats")["uptime_usec"] > 0
        return time.monotonic() - begin
    took = ask() if as_root else Person("nobody").does(ask)
    assert took < SOON, f"another client waited {took:.1f} s"


def assert_refused(call, name, field=None, text=""):
    """`call` ends in the error `name` about `field`."""
    with pytest.raises(VarlinkError) as caught:
        result = call()
        pytest.fail(f"expected {name} about {field}, got {result}")
    e = caught.value
    where = e.parameters.get("parameter") if e.name == "InvalidParameter" else e.field
    assert (e.name, where) == (name, field), str(e)
    assert text in e.parameters.get("message", ""), str(e)
    return e


def run_with(reeve, more=None, data=None, fd=None, fds=(), argv=TRUE, subsystem="test", task_type="check", **kwargs):
    """Run with any parameters over any specification; the parameters of the answer."""
    own = fd is None
    if own:
        fd = spec.memfd(spec.text(kwargs.pop("task", new_id()), argv, **kwargs) if data is None else data)
    try:
        with reeve.connect(timeout=SOON) as c:
            p = {"spec": 0, "subsystem": subsystem, "task_type": task_type, **(more or {})}
            return c.call("Run", {k: v for k, v in p.items() if v is not ...}, [fd, *fds])
    finally:
        if own:
            os.close(fd)


def new_id(counter=[0]):  # pylint: disable=dangerous-default-value
    counter[0] += 1
    return f"bad-input-{os.getpid()}-{counter[0]}"


def assert_no_row(reeve, task):
    with reeve.connect(timeout=SOON) as c:
        assert_refused(lambda: c.call("Get", {"task_id": task}), "NoSuchTask", "task_id")


def deep(n):
    o = {}
    for _ in range(n - 1):
        o = {"a": o}
    return o


# --- parameters of Run ---------------------------------------------------------------------------------------------

PARAMETERS = {
    "unknown": ({"bogus": 1}, "InvalidParameter", "bogus"),
    "no-subsystem": ({"subsystem": ...}, "InvalidParameter", "subsystem"),
    "null-subsystem": ({"subsystem": None}, "InvalidParameter", "subsystem"),
    "subsystem-is-a-number": ({"subsystem": 7}, "InvalidParameter", "subsystem"),
    "subsystem-empty": ({"subsystem": ""}, "InvalidArgument", "subsystem"),
    "subsystem-slash": ({"subsystem": "a/b"}, "InvalidArgument", "subsystem"),
    "subsystem-long": ({"subsystem": "a" * 65}, "InvalidArgument", "subsystem"),
    "type-dots": ({"task_type": ".."}, "InvalidArgument", "task_type"),
    "type-newline": ({"task_type": "a\n"}, "InvalidArgument", "task_type"),
    "type-is-huge": ({"task_type": "a" * 1000000}, "InvalidArgument", "task_type"),
    "title": ({"title": "t" * 1025}, "LimitExceeded", "title"),
    "title-in-bytes": ({"title": "ä" * 513}, "LimitExceeded", "title"),
    "description": ({"description": "d" * 8193}, "LimitExceeded", "description"),
    "created-by": ({"created_by": "c" * 257}, "LimitExceeded", "created_by"),
    "metadata": ({"metadata": {"m": "m" * (64 * 1024 - 7)}}, "LimitExceeded", "metadata"),
    "metadata-deep": ({"metadata": deep(33)}, "LimitExceeded", "metadata"),
    "metadata-is-a-list": ({"metadata": []}, "InvalidParameter", "metadata"),
    "metadata-is-text": ({"metadata": "{}"}, "InvalidParameter", "metadata"),
    "priority-0": ({"priority": 0}, "InvalidArgument", "priority"),
    "priority-11": ({"priority": 11}, "InvalidArgument", "priority"),
    "priority-negative": ({"priority": -1}, "InvalidArgument", "priority"),
    "priority-huge": ({"priority": (1 << 32) + 5}, "InvalidArgument", "priority"),
    "priority-real": ({"priority": 1.5}, "InvalidParameter", "priority"),
    "backend": ({"backend": "cloud"}, "InvalidArgument", "backend"),
    "spec-none": ({"spec": ...}, "InvalidParameter", "spec"),
    "spec-negative": ({"spec": -1}, "InvalidArgument", "spec"),
    "spec-beyond": ({"spec": 1}, "InvalidArgument", "spec"),
    "spec-huge": ({"spec": 1 << 62}, "InvalidArgument", "spec"),
    "stdio-beyond": ({"stdio": [1]}, "InvalidArgument", "stdio"),
    "stdio-negative": ({"stdio": [-1]}, "InvalidArgument", "stdio"),
    "stdio-is-the-spec": ({"stdio": [0]}, "InvalidArgument", "stdio"),
    "stdio-text": ({"stdio": ["0"]}, "InvalidParameter", "stdio[0]"),
    "stdio-four": ({"stdio": [1, 2, 3, 4]}, "InvalidArgument", "stdio"),
}


@pytest.mark.parametrize("case", PARAMETERS)
def test_parameters(reeve, case):
    more, name, field = PARAMETERS[case]
    task = new_id()
    assert_refused(lambda: run_with(reeve, more, task=task), name, field)
    assert_no_row(reeve, task)


@pytest.mark.parametrize("more", [
    {"title": "t" * 1024}, {"description": "d" * 8192}, {"created_by": "c" * 256},
    {"metadata": {"m": "m" * (64 * 1024 - 8)}}, {"metadata": deep(32)}, {"priority": 1}, {"priority": 10},
    {"title": None, "priority": None, "metadata": None}, {"subsystem": "a" * 64, "task_type": "b" * 64},
], ids=lambda m: next(iter(m)))
def test_the_most_that_is_allowed(reeve, more):
    task = run_with(reeve, more)["task"]
    for key, value in more.items():
        if value is not None:
            assert task[key] == value
    assert reeve.wait(task["task_id"])["status"] == "completed"


def test_metadata_that_is_too_deep(reeve):
    """More nesting than a message may have: no call that could be answered."""
    with pytest.raises(ConnectionLost):
        run_with(reeve, {"metadata": deep(100)})


def test_unicode_titles_come_back(reeve):
    title = "Grüße \U0001f600 \u202e \"quoted\" \\ \t"
    assert run_with(reeve, {"title": title})["task"]["title"] == title


def test_stdio_does_not_match(reeve):
    with open("/dev/null", "rb") as null, open("/dev/zero", "rb") as zero:
        named = (null.fileno(), "output", "output")
        assert_refused(lambda: run_with(reeve, {"stdio": [1]}, stdio=named, fds=[zero.fileno()]), "InvalidArgument", "stdio")
        assert_refused(lambda: run_with(reeve, stdio=named), "InvalidArgument", "stdio")
        assert_refused(lambda: run_with(reeve, {"stdio": [1]}, fds=[null.fileno()]), "InvalidArgument", "stdio")
        assert_refused(lambda: run_with(reeve, {"stdio": [1, 1]}, stdio=(null.fileno(), null.fileno(), "null"),
                                        fds=[null.fileno()]), "InvalidArgument", "stdio")
        assert run_with(reeve, {"stdio": [1]}, stdio=named, fds=[null.fileno()])["task"]["status"] == "active"


def open_descriptors(pid):
    return len(os.listdir(f"/proc/{pid}/fd"))


def test_too_many_descriptors(reeve):
    """More beside one message than 16: the peer is cut off, and none of them stays with us."""
    pid = reeve.reeved.process.pid
    assert_served(reeve)
    before = open_descriptors(pid)
    with open("/dev/null", "rb") as null:
        for n in (17, 200):
            with pytest.raises((ConnectionLost, VarlinkError)):
                run_with(reeve, fds=[null.fileno()] * (n - 1))
    assert_served(reeve)
    assert open_descriptors(pid) <= before + 1


def test_descriptors_are_closed(reeve):
    """Refused calls, of whatever kind, keep nothing open."""
    pid = reeve.reeved.process.pid
    assert_served(reeve)
    before = open_descriptors(pid)
    with open("/dev/null", "rb") as null, reeve.connect() as c:
        for i in range(300):
            with contextlib.suppress(VarlinkError):
                c.call(("Run", "Get", "Nothing")[i % 3], {"task_id": "a"}, [null.fileno()] * 16)
    assert_served(reeve)
    assert open_descriptors(pid) <= before + 2


# --- specifications ------------------------------------------------------------------------------------------------

IDS = {
    "up": "../x", "slash": "a/b", "129": "a" * 129, "empty": "", "dot": "a.b", "dash": "-a", "underscore": "_a",
    "space": "a b", "newline": "a\n", "umlaut": "ä", "dots": "..", "percent": "%s%n", "not-utf8": "\udcff",
}


@pytest.mark.parametrize("case", IDS)
def test_ids_in_specifications(reeve, case):
    assert_refused(lambda: run_with(reeve, task=IDS[case]), "InvalidArgument", "task")


def test_an_id_of_128(reeve):
    task = ("x" + new_id()).ljust(128, "-")
    assert reeve.run_wait(TRUE, task=task)["status"] == "completed"


METHODS = {
    "Get": {}, "Wait": {}, "Signal": {"signal": 15}, "Freeze": {}, "Thaw": {}, "Cancel": {}, "Snapshots": {}, "Output": {},
    "Verifications": {},
}


@pytest.mark.parametrize("method", METHODS)
def test_ids_in_calls(reeve, method):
    with reeve.connect(timeout=SOON) as c:
        for case, task in IDS.items():
            if case == "not-utf8":
                continue
            assert_refused(lambda t=task: c.call(method, {"task_id": t, **METHODS[method]}), "InvalidArgument", "task_id")
        if method != "Snapshots":
            assert_refused(lambda: c.call(method, {"task_id": "nobody-knows", **METHODS[method]}), "NoSuchTask", "task_id")
        assert_refused(lambda: c.call(method, METHODS[method]), "InvalidParameter", "task_id")
        assert_refused(lambda: c.call(method, {"task_id": 7, **METHODS[method]}), "InvalidParameter", "task_id")


FIELDS = {
    "uid": "uid=abc", "gid": "gid=-1", "cwd": "cwd=relative", "umask": "umask=9999", "nice": "nice=99",
    "attempts": "attempts=0", "stdio": "stdio=0:something",
}
ADDITIONS = {
    "rlimit": ("rlimit=NOTHING:1:1", "rlimit=NOFILE:2:1", "rlimit=NOFILE:x:y"), "limit": ("limit=MemoryMax",),
    "env": ("env=NOVALUE", "env==x"),
}


def rewrite(fields, key, line):
    out, done = [], False
    for f in fields:
        if f.startswith(key + "=") and not done:
            out.append(line)
            done = True
        else:
            out.append(f)
    assert done
    return join(out)


def join(fields):
    return b"".join(f.encode("utf-8", "surrogateescape") + b"\0" for f in fields)


@pytest.mark.parametrize("key", FIELDS)
def test_fields_of_specifications(reeve, key):
    task = new_id()
    data = rewrite(spec.fields(task, TRUE), key, FIELDS[key])
    assert_refused(lambda: run_with(reeve, data=data), "InvalidArgument", key)
    assert_no_row(reeve, task)


@pytest.mark.parametrize("key", ADDITIONS)
def test_lists_of_specifications(reeve, key):
    order = ["rlimit", "stdio", "limit", "grace", "env", "arg"]
    for line in ADDITIONS[key]:
        fields = spec.fields(new_id(), TRUE, env={})
        later = order[order.index(key) + 1:] if key != "rlimit" else order[1:]
        at = next(i for i, f in enumerate(fields) if f.split("=")[0] in later)
        e = assert_refused_about(lambda f=fields[:at] + [line] + fields[at:]: run_with(reeve, data=join(f)))
        assert e.field in (key, "NOTHING", "NOFILE", "MemoryMax"), str(e)


def assert_refused_about(call):
    with pytest.raises(VarlinkError) as caught:
        call()
    assert caught.value.name == "InvalidArgument", str(caught.value)
    return caught.value


def malformed():
    good = spec.text("malformed", TRUE)
    yield "nothing", b""
    yield "one-byte", b"x"
    yield "no-last-nul", good[:-1]
    yield "cut", good[:len(good) // 2]
    yield "zeros", bytes(4096)
    yield "other-version", good.replace(b"reeve-spec=1", b"reeve-spec=2")
    yield "unknown-key", good.replace(b"umask=", b"umusk=")
    yield "twice", good.replace(b"umask=0022\0", b"umask=0022\0umask=0022\0")
    yield "empty-argv", good.replace(b"arg=/bin/true\0", b"")
    yield "text", b"#!/bin/sh\nid\n\0"


@pytest.mark.parametrize("case", [name for name, _ in malformed()])
def test_malformed_specifications(reeve, case):
    e = assert_refused_about(lambda: run_with(reeve, data=dict(malformed())[case]))
    assert e.field in ("spec", "umask", "umusk", "arg", "reeve-spec"), str(e)
    assert_no_row(reeve, "malformed")


def test_empty_command(reeve):
    e = assert_refused_about(lambda: run_with(reeve, argv=[""]))
    assert e.field == "arg", str(e)


@pytest.mark.parametrize("missing", ["write", "grow", "shrink", "seal", "all", "name"])
def test_memfds_that_are_not_sealed(reeve, missing):
    bits = {"write": 8, "grow": 4, "shrink": 2, "seal": 1, "all": 15, "name": 0}[missing]
    data = spec.text(new_id(), TRUE)
    fd = spec.memfd(data, seals=spec.SEALS & ~bits, name="other" if missing == "name" else spec.NAME)
    try:
        assert_refused(lambda: run_with(reeve, fd=fd), "InvalidArgument", "spec")
    finally:
        os.close(fd)


def test_other_descriptors_as_specifications(reeve):
    with contextlib.ExitStack() as stack:
        left, right = socket.socketpair()
        stack.callback(left.close)
        stack.callback(right.close)
        reader, writer = os.pipe()
        stack.callback(os.close, reader)
        stack.callback(os.close, writer)
        directory = os.open("/", os.O_RDONLY)
        stack.callback(os.close, directory)
        zero = os.open("/dev/zero", os.O_RDONLY)
        stack.callback(os.close, zero)
        f = stack.enter_context(tempfile.TemporaryFile())
        f.write(spec.text(new_id(), TRUE))
        f.flush()
        for fd in (left.fileno(), reader, writer, directory, zero, f.fileno()):
            assert_refused(lambda d=fd: run_with(reeve, fd=d), "InvalidArgument", "spec")


def test_three_mebibytes_of_arguments(reeve):
    """The specification has at most two."""
    task = new_id()
    argv = ["/bin/true", *["x" * 100000] * 31]
    assert_refused(lambda: run_with(reeve, argv=argv, task=task), "LimitExceeded", "spec", "2097152")
    assert_no_row(reeve, task)


def test_more_arguments_than_the_kernel_takes(reeve):
    """A specification that fits, and an execve() that refuses: E2BIG, with the path, and a task that says so."""
    task = new_id()
    e = assert_refused(lambda: run_with(reeve, argv=["/bin/true", "x" * 200000], task=task), "ExecFailed", "/bin/true")
    assert e.parameters["errno"] == 7
    ended = reeve.wait(task)
    assert (ended["status"], ended["outcome"]) == ("failed", "exec")


def test_as_many_arguments_as_fit(reeve):
    argv = ["/bin/sh", "-c", "echo $#", "sh", *["a"] * 60000]
    task = reeve.run_wait(argv)
    assert reeve.output(task["task_id"]) == b"60000\n"
    assert task["argv"][:5] == argv[:5] and task["argv"][-1] == "...", "what is shown of it is bounded"
    assert_refused(lambda: run_with(reeve, argv=["/bin/true"] + ["a"] * 65537), "LimitExceeded", "arg")


# --- exec ----------------------------------------------------------------------------------------------------------

@pytest.fixture(name="files", scope="module")
def the_files():
    with tempfile.TemporaryDirectory(prefix="reeve-files-") as d:
        os.chmod(d, 0o755)
        private = os.path.join(d, "private")
        os.mkdir(private, 0o700)
        with open(os.path.join(d, "plain"), "w", encoding="ascii") as f:
            f.write("not a program\n")
        for name, text in {"binary": b"\x7fELFnonsense", "script": b"#!/no/interpreter\n"}.items():
            with open(os.path.join(d, name), "wb") as f:
                f.write(text)
            os.chmod(os.path.join(d, name), 0o755)
        yield d


@pytest.mark.parametrize("name, number", [("nothing", 2), ("plain", 13), ("private", 13), ("binary", 8), ("script", 2),
                                          ("plain/x", 20)])
def test_commands_that_cannot_be_executed(reeve, files, name, number):
    task, path = new_id(), os.path.join(files, name)
    e = assert_refused(lambda: run_with(reeve, argv=[path], task=task), "ExecFailed", path)
    assert e.parameters["errno"] == number, str(e)
    ended = reeve.wait(task)
    assert (ended["status"], ended["outcome"]) == ("failed", "exec")
    assert path in ended["message"]


def test_a_command_that_cannot_be_shown(reeve):
    """A missing binary whose name is no UTF-8: the error says so all the same."""
    task = new_id()
    e = assert_refused(lambda: run_with(reeve, argv=["/no\udcff/such"], task=task), "ExecFailed", "/no?/such")
    assert e.parameters["errno"] == 2
    ended = reeve.wait(task)
    assert (ended["status"], ended["outcome"]) == ("failed", "exec")
    assert ended["argv"] == ["/no\ufffd/such"]
    assert "/no?/such" in ended["message"]


def test_a_command_with_a_very_long_name(reeve):
    task, path = new_id(), "/" + "ä" * 3000
    with pytest.raises(VarlinkError) as caught:
        run_with(reeve, argv=[path], task=task)
    assert caught.value.name == "ExecFailed", str(caught.value)
    assert caught.value.parameters["errno"] == 36
    assert reeve.wait(task)["outcome"] == "exec"


def test_directories_that_cannot_be_entered(reeve, files):
    private, missing = os.path.join(files, "private"), os.path.join(files, "missing")
    e = assert_refused(lambda: run_with(reeve, cwd=missing), "ExecFailed", missing)
    assert e.parameters["errno"] == 2
    nobody = Person("nobody")
    e = nobody.does(lambda: assert_refused(lambda: run_with(reeve, cwd=private), "ExecFailed", private).parameters)
    assert e["errno"] == 13


def test_unknown_user(reeve):
    """Root may name a uid that the database does not know; nobody else may be unknown."""
    task = reeve.run_wait(["/bin/sh", "-c", "id -u; id -G"], uid=54321, gid=54321)
    assert task["status"] == "completed"
    assert reeve.output(task["task_id"]) == b"54321\n54321\n"
    stranger = Person("nobody")
    stranger.uid = stranger.gid = 54321
    stranger.does(lambda: assert_refused(lambda: run_with(reeve, uid=54321, gid=54321), "PermissionDenied", "uid").name)


# --- limits --------------------------------------------------------------------------------------------------------

def controllers(reeve):
    with reeve.connect() as c:
        return {r["name"]: r for r in c.call("Doctor")["checks"]}


@pytest.mark.parametrize("name, value", [("MemoryMax", "lots"), ("MemoryMax", "-1"), ("TasksMax", "1k"),
                                         ("CPUWeight", "0"), ("CPUWeight", "10001"), ("CPUQuota", "1"),
                                         ("NoSuchLimit", "1"), ("IOReadBandwidthMax", "nowhere"),
                                         ("AllowedCPUs", "all")])
def test_limits_that_do_not_parse(reeve, name, value):
    task = new_id()
    e = assert_refused_about(lambda: run_with(reeve, limits=[(name, value)], task=task))
    assert e.field == name, str(e)
    assert_nothing_is_left(reeve, task)


def assert_nothing_is_left(reeve, task):
    with reeve.connect(timeout=SOON) as c, pytest.raises(VarlinkError) as e:
        c.call("Get", {"task_id": task})
    assert e.value.name == "NoSuchTask", f"a request that was refused left a task: {e.value}"


@pytest.mark.parametrize("name", ["MemoryMax", "MemoryHigh", "MemorySwapMax", "TasksMax", "CPUWeight", "IOWeight"])
def test_limits_that_the_host_lacks_are_not_dropped(reeve, name):
    """Either the limit is in force, or the task is refused with its name."""
    task = new_id()
    value = "100" if "Weight" in name else "104857600" if "Memory" in name else "50"
    try:
        run_with(reeve, limits=[(name, value)], task=task, argv=["/bin/sh", "-c", "cat /proc/self/cgroup; sleep 100"])
    except VarlinkError as e:
        assert (e.name, e.field) == ("InvalidArgument", name), str(e)
        assert "controller" in e.parameters["message"]
        assert_nothing_is_left(reeve, task)
        return
    leaf = os.path.join(reeve.pool(), "tasks", reeve.leaves()[0])
    assert os.path.isdir(leaf)


def test_pages_fit_into_messages(reeve):
    """A page of tasks with much metadata ends before it is too long for a message; none is left out or comes twice."""
    mine = {reeve.run_wait(TRUE, more={"metadata": {"m": "\\" * 32000}, "created_by": "pages"})["task_id"] for _ in range(80)}
    listed, cursor = [], None
    with reeve.connect(timeout=SOON) as c:
        while True:
            page = c.call("List", {"created_by": "pages", "limit": 1000, "cursor": cursor})
            listed += [t["task_id"] for t in page["tasks"]]
            cursor = page.get("cursor")
            if not cursor:
                break
        pages = list(c.stream("List", {"created_by": "pages", "limit": 1000}))
    assert len(listed) == 80 and set(listed) == mine
    assert [t["task_id"] for p in pages for t in p["tasks"]] == listed
    assert len(pages) > 1


def test_a_limit_twice(reeve):
    assert_refused_about(lambda: run_with(reeve, limits=[("TasksMax", "5"), ("TasksMax", "6")]))


# --- bytes that are no UTF-8 ---------------------------------------------------------------------------------------

WEIRD = "\udcff\udcfe\udc80x\u00e4"


def test_arguments_reach_the_program_unchanged(reeve):
    task = reeve.run_wait(["/usr/bin/printf", "%s", WEIRD])
    assert reeve.output(task["task_id"]) == WEIRD.encode("utf-8", "surrogateescape")
    assert task["argv"] == ["/usr/bin/printf", "%s", "\ufffd\ufffd\ufffdxä"]


def test_environment_reaches_the_program_unchanged(reeve):
    task = reeve.run_wait(["/usr/bin/env"], env={"WEIRD": WEIRD, "EMPTY": "", "LINES_OF": "a\nb=c"})
    lines = reeve.output(task["task_id"])
    assert b"WEIRD=" + WEIRD.encode("utf-8", "surrogateescape") + b"\n" in lines
    assert b"EMPTY=\n" in lines and b"LINES_OF=a\nb=c\n" in lines


def test_directory_reaches_the_program_unchanged(reeve):
    with tempfile.TemporaryDirectory(prefix="reeve-cwd-") as d:
        path = os.path.join(d, WEIRD)
        os.mkdir(path)
        task = reeve.run_wait(["/bin/pwd"], cwd=path)
        assert reeve.output(task["task_id"]) == path.encode("utf-8", "surrogateescape") + b"\n"
        assert task["cwd"] == os.path.join(d, "\ufffd\ufffd\ufffdxä")


def test_messages_that_are_no_utf8(reeve):
    """No JSON, so no varlink: the peer is cut off."""
    message = b'{"method":"io.reeve.Registry.List","parameters":{"subsystem":"\xff\xfe"}}\0'
    with reeve.connect(timeout=SOON) as c:
        c.send_bytes(message)
        with pytest.raises(ConnectionLost):
            c.receive()


# --- other methods -------------------------------------------------------------------------------------------------

CALLS = {
    "list-status": ("List", {"status": "runing"}, "InvalidArgument", "status"),
    "list-limit": ("List", {"limit": 0}, "LimitExceeded", "limit"),
    "list-limit-many": ("List", {"limit": 1001}, "LimitExceeded", "limit"),
    "list-cursor": ("List", {"cursor": "x"}, "InvalidArgument", "cursor"),
    "list-cursor-negative": ("List", {"cursor": "-5"}, "InvalidArgument", "cursor"),
    "list-owner": ("List", {"owner_uid": -5}, "InvalidArgument", "owner_uid"),
    "list-owner-huge": ("List", {"owner_uid": 1 << 40}, "InvalidArgument", "owner_uid"),
    "list-since": ("List", {"since": -1}, "InvalidArgument", "since"),
    "list-unknown": ("List", {"order": "name"}, "InvalidParameter", "order"),
    "signal-0": ("Signal", {"task_id": "a", "signal": 0}, "InvalidArgument", "signal"),
    "signal-65": ("Signal", {"task_id": "a", "signal": 65}, "InvalidArgument", "signal"),
    "signal-huge": ("Signal", {"task_id": "a", "signal": (1 << 32) + 9}, "InvalidArgument", "signal"),
    "signal-text": ("Signal", {"task_id": "a", "signal": "TERM"}, "InvalidParameter", "signal"),
    "snapshots-limit": ("Snapshots", {"task_id": "a", "limit": -1}, "LimitExceeded", "limit"),
    "output-offset": ("Output", {"task_id": "a", "offset": -1}, "InvalidArgument", "offset"),
    "output-attempt": ("Output", {"task_id": "a", "attempt": 100000}, "InvalidArgument", "attempt"),
    "output-follow": ("Output", {"task_id": "a", "follow": True}, "InvalidArgument", "follow"),
    "monitor-since": ("Monitor", {"since": -7}, "InvalidArgument", "since"),
    "cancel-reason": ("Cancel", {"task_id": "a", "reason": "r" * 1025}, "LimitExceeded", "reason"),
    "backup-relative": ("Backup", {"path": "x.db"}, "InvalidArgument", "path"),
    "backup-umlauts": ("Backup", {"path": "ä" * 5000}, "LimitExceeded", "path"),
    "method": ("Nothing", {}, "MethodNotFound", None),
    "interface": ("io.nobody.Knows.Get", {}, "InterfaceNotFound", None),
    "no-interface": ("io", {}, "MethodNotFound", None),
}


@pytest.mark.parametrize("case", CALLS)
def test_calls(reeve, case):
    method, parameters, name, field = CALLS[case]
    with reeve.connect(timeout=SOON) as c:
        flags = {"more": True} if method == "Monitor" else {}
        c.send(method, parameters, **flags)
        if field is None:
            with pytest.raises(VarlinkError) as caught:
                c.reply()
            assert caught.value.name == name
        else:
            assert_refused(c.reply, name, field)


def test_backup_to_bad_places(reeve):
    with reeve.connect(timeout=SOON) as c:
        for path in ("/no/such/folder/x.db", "/", "/proc/x", "/" + "a" * 5000, reeve.path("registry.db")):
            with pytest.raises(VarlinkError) as caught:
                c.call("Backup", {"path": path})
            assert caught.value.name in ("InvalidArgument", "Unavailable", "AlreadyExists", "PermissionDenied", "Internal",
                                         "LimitExceeded")
            assert caught.value.parameters["message"]


# --- frames --------------------------------------------------------------------------------------------------------

FRAMES = {
    "nul": b"\0", "text": b"hello\0", "list": b"[]\0", "number": b"1\0", "empty-object": b"{}\0",
    "unknown-key": b'{"method":"io.reeve.Registry.Stats","x":1}\0',
    "method-is-a-number": b'{"method":1}\0',
    "twice": b'{"method":"io.reeve.Registry.Stats","method":"io.reeve.Registry.Stats"}\0',
    "more-and-oneway": b'{"method":"io.reeve.Registry.Stats","more":true,"oneway":true}\0',
    "parameters-is-a-list": b'{"method":"io.reeve.Registry.Stats","parameters":[]}\0',
    "nul-in-text": b'{"method":"io.reeve.Registry.\\u0000Stats"}\0', "deep": b'{"a":' * 100 + b"1" + b"}" * 100 + b"\0",
    "trailing": b'{"method":"io.reeve.Registry.Stats"} x\0', "surrogate": b'{"method":"\\ud800"}\0',
    "random": bytes(range(1, 256)) * 16 + b"\0", "http": b"GET / HTTP/1.1\r\nHost: x\r\n\r\n\0",
}


@pytest.mark.parametrize("case", FRAMES)
def test_frames_that_are_no_calls(reeve, case):
    """What is no call is not answered: the peer is cut off."""
    with reeve.connect(timeout=SOON) as c:
        c.send_bytes(FRAMES[case])
        with pytest.raises(ConnectionLost):
            c.receive()


def test_a_truncated_frame(reeve):
    with reeve.connect(timeout=SOON) as c:
        c.send_bytes(b'{"method":"io.reeve.Registry.Stats","param')
        c.socket.shutdown(socket.SHUT_WR)
        with pytest.raises(ConnectionLost):
            c.receive()


def send_until_cut(c, data, times):
    """Sends; returns how many bytes went until the peer closed, or None if it took them all."""
    sent = 0
    c.socket.settimeout(SOON)
    try:
        for _ in range(times):
            c.socket.sendall(data)
            sent += len(data)
    except (BrokenPipeError, ConnectionResetError):
        return sent
    return None


def test_a_frame_of_100_mebibytes(reeve):
    pid = reeve.reeved.process.pid
    with reeve.connect() as c:
        c.send_bytes(b'{"method":"io.reeve.Registry.Stats","parameters":{"x":"')
        sent = send_until_cut(c, b"x" * (1 << 20), 100)
        assert sent is not None, "reeved took a frame of 100 MiB"
        assert sent < 8 << 20, f"it took {sent} bytes of it"
    assert rss(pid) < MEMORY_MAX


def test_a_frame_of_almost_four_mebibytes(reeve):
    with reeve.connect(timeout=SOON) as c:
        assert c.call("List", {"subsystem": "a" * ((4 << 20) - 200)}) == {"tasks": []}


# --- peers that misbehave ------------------------------------------------------------------------------------------

def fill(c, message, limit):
    """Sends without reading until the socket takes no more or reeved closes; the number of messages."""
    c.socket.setblocking(False)
    n, rest = 0, b""
    while n < limit:
        try:
            rest = rest or message
            rest = rest[c.socket.send(rest):]
            n += not rest
        except BlockingIOError:
            if not select.select([], [c.socket], [], 0.2)[1]:
                return n
        except (BrokenPipeError, ConnectionResetError):
            return n
    return n


@pytest.mark.parametrize("method, more", [("List", False), ("List", True), ("Monitor", True), ("Stats", False),
                                          ("Output", False)])
def test_peers_that_send_and_never_read(reeve, method, more):
    for _ in range(20):
        reeve.run_wait(TRUE, more={"metadata": {"m": "m" * 60000}})
    big = reeve.run_wait(["/usr/bin/head", "-c", "1000000", "/dev/zero"])["task_id"]
    pid = reeve.reeved.process.pid
    parameters = {"Monitor": {"since": 0}, "List": {"limit": 1000}, "Stats": {}, "Output": {"task_id": big}}[method]
    message = json.dumps({"method": "io.reeve.Registry." + method, "parameters": parameters, "more": more}).encode() + b"\0"
    with contextlib.ExitStack() as stack:
        for _ in range(8):
            c = stack.enter_context(reeve.connect())
            fill(c, message, 5000)
            assert_served(reeve)
            assert rss(pid) < MEMORY_MAX, f"{rss(pid)} bytes"


def test_two_thousand_connections(reeve):
    """One user takes what one user may have, and is told at once that there is no more; another one is served."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, 4096), hard))
    try:
        with contextlib.ExitStack() as stack:
            sockets = []
            for _ in range(2000):
                s = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
                stack.callback(s.close)
                s.settimeout(SOON)
                s.connect(reeve.path("io.reeve.Registry"))
                sockets.append(s)
            assert_served(reeve, as_root=False)
            turned_away = 0
            for s in sockets[512:]:
                s.setblocking(False)
                with contextlib.suppress(BlockingIOError):
                    turned_away += s.recv(1) == b""
            assert turned_away > 1000, f"only {turned_away} were turned away"
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_slow_loris(reeve):
    """Many peers that send a byte now and then hold nobody up and cost little."""
    pid = reeve.reeved.process.pid
    message = b'{"method":"io.reeve.Registry.Stats"}\0'
    with contextlib.ExitStack() as stack:
        peers = [stack.enter_context(reeve.connect(timeout=SOON)) for _ in range(200)]
        before = rss(pid)
        for i in range(len(message)):
            for p in peers:
                p.send_bytes(message[i:i + 1])
            if i % 12 == 0:
                assert_served(reeve)
        for p in peers:
            assert p.reply()["uptime_usec"] > 0
        assert rss(pid) < before + MEMORY_MAX // 2


def test_big_unfinished_messages_are_bounded(reeve):
    """200 peers with 3 MiB each, unfinished: more than one user may have us hold."""
    with contextlib.ExitStack() as stack:
        for _ in range(60):
            c = stack.enter_context(reeve.connect())
            send_until_cut(c, b"x" * (1 << 20), 3)
        assert_served(reeve, as_root=False)
        assert rss(reeve.reeved.process.pid) < MEMORY_MAX


def test_peers_that_go_at_once(reeve):
    for message in (b"", b"{", b'{"method":"io.reeve.Registry.List"}\0' * 50,
                    b'{"method":"io.reeve.Registry.Wait","parameters":{"task_id":"x"}}\0'):
        for _ in range(50):
            with reeve.connect() as c:
                c.send_bytes(message)


def test_run_and_go(reeve):
    """Who leaves before the answer has his task all the same."""
    tasks = []
    for _ in range(10):
        c = reeve.connect()
        tasks.append(reeve.submit(c, ["/bin/sh", "-c", "exit 4"]))
        c.close()
    for task in tasks:
        with reeve.connect(timeout=SOON) as c:
            deadline = time.monotonic() + SOON
            while True:
                with contextlib.suppress(VarlinkError):
                    if c.call("Wait", {"task_id": task})["task"]["exit_status"] == 4:
                        break
                assert time.monotonic() < deadline, f"{task} never came to be"


# --- the command line ----------------------------------------------------------------------------------------------

def reeve_command(reeve, *argv, **kwargs):
    env = {"PATH": spec.PATH, "REEVE_SOCKET": reeve.path("io.reeve.Registry"), "LANG": "C.UTF-8"}
    return subprocess.run([REEVE, *argv], env=env, stdin=subprocess.DEVNULL, capture_output=True, timeout=60, check=False,
                          **kwargs)


COMMANDS = {
    "no-verb": ([], None, b""),
    "verb": (["rnu"], 64, b"rnu"),
    "option": (["run", "--nonsense", "--", "true"], 64, b"nonsense"),
    "no-command": (["run"], 64, b"COMMAND"),
    "no-command-after-dashes": (["run", "--"], 64, b"COMMAND"),
    "empty-command": (["run", "--", ""], 64, b""),
    "missing-binary": (["run", "--", "/no/such/binary"], 72, b"/no/such/binary"),
    "missing-directory": (["run", "-d", "/no/such/folder", "--", "true"], None, b"/no/such/folder"),
    "user": (["run", "--uid=no-such-user", "--", "true"], 64, b"no-such-user"),
    "group": (["run", "--gid=no-such-group", "--", "true"], 64, b"no-such-group"),
    "limit-name": (["run", "-p", "MemoryMx=5M", "--", "true"], 64, b"MemoryMx"),
    "limit-value": (["run", "-p", "MemoryMax=lots", "--", "true"], 64, b"MemoryMax"),
    "limit-no-value": (["run", "-p", "MemoryMax", "--", "true"], 64, b"MemoryMax"),
    "priority-0": (["run", "--priority=0", "--", "true"], 64, b"priority"),
    "priority-11": (["run", "--priority=11", "--", "true"], 64, b"priority"),
    "priority-text": (["run", "--priority=high", "--", "true"], 64, b"priority"),
    "subsystem": (["run", "--subsystem=a/b", "--", "true"], 64, b"subsystem"),
    "title": (["run", "--title=" + "t" * 1025, "--", "true"], 76, b"title"),
    "title-not-utf8": (["run", b"--title=\xff\xfe", "--", "true"], 64, b"title"),
    "metadata": (["run", "--metadata=[1]", "--", "true"], 64, b"metadata"),
    "metadata-text": (["run", "--metadata={", "--", "true"], 64, b"metadata"),
    "metadata-big": (["run", '--metadata={"m":"' + "m" * 65536 + '"}', "--", "true"], 76, b"metadata"),
    "id": (["run", "--id=../x", "--", "true"], 64, b"id"),
    "environment": (["run", "-E", "=x", "--", "true"], 64, b""),
    "show": (["show", "nobody-knows"], 66, b"nobody-knows"),
    "show-up": (["show", "../x"], 64, b""),
    "show-empty": (["show", ""], 64, b""),
    "signal": (["signal", "nobody-knows", "NONSENSE"], 64, b"NONSENSE"),
    "list-status": (["list", "--status=runing"], 64, b"runing"),
    "json": (["list", "--json=xml"], 64, b"xml"),
}


@pytest.mark.parametrize("case", COMMANDS)
def test_commands(reeve, case):
    argv, status, named = COMMANDS[case]
    done = reeve_command(reeve, *argv)
    if case == "no-verb":
        assert done.returncode in (0, 64)
        return
    assert done.returncode not in (0, 70) and done.returncode > 0, (done.returncode, done.stderr)
    if status is not None:
        assert done.returncode == status, (done.returncode, done.stderr)
    assert done.stderr.strip() and named in done.stderr, done.stderr
    assert done.stderr.count(b"\n") <= 4, done.stderr


def test_a_command_of_three_mebibytes(reeve):
    def much_stack():
        resource.setrlimit(resource.RLIMIT_STACK, (64 << 20, resource.getrlimit(resource.RLIMIT_STACK)[1]))
    done = reeve_command(reeve, "run", "--", "/bin/true", *["x" * 100000] * 31, preexec_fn=much_stack)
    assert done.returncode == 76, (done.returncode, done.stderr)
    assert b"2097152" in done.stderr, done.stderr


def test_a_command_that_is_no_utf8(reeve):
    done = reeve_command(reeve, "run", "-q", "-E", b"WEIRD=\xff", "--", "/bin/sh", "-c", 'printf %s "$1$WEIRD"', "sh", b"\xfe\x80")
    assert done.returncode == 0, done.stderr
    done = reeve_command(reeve, "list", "--json=short")
    assert done.returncode == 0
    tasks = json.loads(done.stdout)
    tasks = tasks.get("tasks", tasks) if isinstance(tasks, dict) else tasks
    assert tasks[0]["argv"][-1] == "\ufffd\ufffd", tasks[0]


def test_commands_without_a_registry(reeve):
    env = {"PATH": spec.PATH, "REEVE_SOCKET": reeve.path("nobody-is-here")}
    done = subprocess.run([REEVE, "list"], env=env, capture_output=True, timeout=60, check=False)
    assert done.returncode == 75, (done.returncode, done.stderr)
    assert b"nobody-is-here" in done.stderr
