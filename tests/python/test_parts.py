# SPDX-License-Identifier: LGPL-2.1-or-later
"""The parts of the package that need no registry."""

import dataclasses
import datetime
import importlib.util
import json
import os
import re
import shutil
import subprocess
import sys
import zipfile

import pytest
from conftest import PACKAGE, SOURCE

import reeve
from reeve import convert, errors, task_id, usage, wire


def source(*names):
    with open(os.path.join(SOURCE, *names), encoding="utf-8") as f:
        return f.read()


# ---- names


def test_the_error_classes_are_those_of_the_interface():
    declared = set(re.findall(r"^error (\w+)", source("src", "api", "io.reeve.Registry.varlink"), re.M))
    assert set(errors.CLASSES) == declared
    for name in declared:
        e = errors.from_reply(f"io.reeve.Registry.{name}", {"message": "why", "field": "sla", "errno": 5})
        assert type(e).__name__ == name and (str(e), e.field, e.errno) == ("why", "sla", 5)
        assert getattr(reeve, name) is type(e)


def test_the_fields_of_a_task_are_those_of_the_interface():
    declared = re.search(r"^type Task \((.*?)^\)", source("src", "api", "io.reeve.Registry.varlink"), re.M | re.S).group(1)
    missing = {f.name for f in dataclasses.fields(reeve.Task)} - {"raw"} - set(re.findall(r"^  (\w+):", declared, re.M))
    assert not missing, f"the registry never says {missing}"


def test_errors_of_other_versions():
    e = errors.from_reply("org.varlink.service.InvalidParameter", {"parameter": "sla_hours"})
    assert isinstance(e, reeve.ProtocolError) and e.field == "sla_hours"
    assert isinstance(errors.from_reply("io.reeve.Registry.Newer", None), reeve.Internal)


def test_the_version_is_everywhere_the_same():
    version = re.search(r"version: '([\d.]+)'", source("meson.build")).group(1)
    assert reeve.__version__ == version
    assert f'version = "{version}"' in source("src", "python", "pyproject.toml")


def test_a_wheel(tmp_path):
    """What `pip install ./src/python` would put there."""
    for module in ("setuptools", "wheel"):
        if importlib.util.find_spec(module) is None:
            pytest.skip(f"no {module} here")
    shutil.copytree(PACKAGE, tmp_path / "source", ignore=shutil.ignore_patterns("__pycache__"))
    name = subprocess.run(
        [sys.executable, "-c", "import setuptools.build_meta as b; print('wheel:', b.build_wheel('..'))"],
        cwd=tmp_path / "source", check=True, capture_output=True, text=True).stdout.rpartition("wheel: ")[2].strip()
    assert name == f"reeve-{reeve.__version__}-py3-none-any.whl"
    with zipfile.ZipFile(tmp_path / name) as wheel:
        names = {n for n in wheel.namelist() if ".dist-info/" not in n}
        assert names == {f"reeve/{n}" for n in os.listdir(os.path.join(PACKAGE, "reeve")) if n != "__pycache__"}
        about = wheel.read(f"reeve-{reeve.__version__}.dist-info/METADATA").decode()
    assert "Requires-Python: >=3.9" in about and "Requires-Dist" not in about, about


def test_every_file_is_installed():
    listed = set(re.findall(r"'(\w+)'", source("src", "python", "meson.build").partition("foreach")[2].partition("]")[0]))
    assert {f"{name}.py" for name in listed} == {n for n in os.listdir(os.path.join(PACKAGE, "reeve")) if n.endswith(".py")}


def test_ids():
    now = 1_700_000_000_000
    made = task_id.make("healing", "playbook", now)
    assert re.fullmatch(r"healing_playbook_[0-9a-hjkmnp-tv-z]{12}", made), made
    assert task_id.make("healing", "playbook", now + 1) > made, "ids sort by time"
    assert made != task_id.make("healing", "playbook", now)
    unique = 0
    for c in made[-12:]:
        unique = unique * 32 + task_id.ALPHABET.index(c)
    assert unique >> 18 == now

    longest = task_id.make("s" * 64, "t" * 64)
    assert len(longest) == 128 and longest.startswith("s" * 57 + "_" + "t" * 57 + "_")


@pytest.mark.parametrize("name", ["", "a b", "../x", "_a", "a" * 65, "ä", "a\n", None, 7])
def test_names_that_are_none(name):
    for arguments, field in ((dict(subsystem=name, task_type="x"), "subsystem"), (dict(subsystem="x", task_type=name), "task_type")):
        with pytest.raises(reeve.InvalidArgument) as caught:
            reeve.TaskReporter(**arguments)
        assert caught.value.field == field


# ---- messages


def test_a_call():
    data = wire.encode("Get", {"task_id": "ä", "absent": None})
    assert data.endswith(b"\0") and data.count(b"\0") == 1
    assert json.loads(data[:-1]) == {"method": "io.reeve.Registry.Get", "parameters": {"task_id": "ä"}}
    assert json.loads(wire.encode("org.varlink.service.GetInfo", {}, more=True)[:-1])["more"] is True


def deep(levels):
    value = {}
    for _ in range(levels):
        value = {"a": value}
    return value


@pytest.mark.parametrize("value", [
    "a\0b", "\ud800", 1 << 63, -(1 << 63) - 1, float("nan"), float("inf"), {1: 2}, {"a": b"bytes"}, {"a": {"b\0": 1}}, [object()],
    deep(100),
])
def test_what_would_end_the_connection_is_not_sent(value):
    with pytest.raises(reeve.InvalidArgument) as caught:
        wire.encode("Start", {"metadata": value})
    assert caught.value.field == "metadata"


def test_a_message_may_be_too_long():
    with pytest.raises(reeve.LimitExceeded):
        wire.encode("Start", {"metadata": {"a": "x" * (4 << 20)}})


# ---- units


def test_spans():
    for text, seconds in (("1h", 3600), ("1h 30min", 5400), ("90", 90), ("1.5s", 1.5), ("2d", 172800), ("250ms", 0.25), ("1w", 604800),
                          (90, 90), (0.5, 0.5), (datetime.timedelta(minutes=1), 60)):
        assert convert.to_span(text).total_seconds() == seconds, text


@pytest.mark.parametrize("text", ["", " ", "soon", "1 parsec", "h", "1h x", "-1h", None, True, "1" * 50 + "!"])
def test_spans_that_are_none(text):
    with pytest.raises(reeve.InvalidArgument) as caught:
        convert.to_span(text, "heartbeat")
    assert caught.value.field == "heartbeat"


def test_times():
    moment = convert.to_datetime(1_700_000_000_123_456)
    assert moment.isoformat() == "2023-11-14T22:13:20.123456+00:00"
    assert convert.to_usec(moment) == 1_700_000_000_123_456


def test_a_task_has_attributes():
    t = reeve.Task.from_json({
        "task_id": "a", "status": "completed", "created_at": 1_000_000, "started_at": 2_000_000, "completed_at": 5_000_000,
        "sla_deadline": 9_000_000, "usage": {"cpu_usec": 1_500_000, "memory_peak_bytes": 2 << 20}, "newer": 1})
    assert t.sla_deadline == datetime.datetime(1970, 1, 1, 0, 0, 9, tzinfo=datetime.timezone.utc)
    assert t.active_for == datetime.timedelta(seconds=3) and t.has_ended
    assert t.resource_usage == {"cpu_seconds": 1.5, "memory_peak_mb": 2.0}
    assert t.message is None and t.raw["newer"] == 1


# ---- measuring


def test_storage_is_what_files_take(tmp_path):
    (tmp_path / "folder").mkdir()
    before = usage.storage_bytes([tmp_path])
    (tmp_path / "folder" / "file").write_bytes(b"x" * 100_000)
    os.link(tmp_path / "folder" / "file", tmp_path / "again")
    os.symlink("/usr", tmp_path / "link")
    grown = usage.storage_bytes([str(tmp_path), str(tmp_path / "folder")]) - before
    assert 100_000 <= grown < 200_000, f"one file of 100,000 bytes with two names: {grown}"
    assert usage.storage_bytes([tmp_path / "missing"]) == 0


MEASURE = """
import sys
import zipfile
from reeve.usage import Measurement
big = bytearray(200 << 20); del big     # before: none of the task's
m = Measurement()
n = sum(i for i in range(3_000_000))
small = b"x" * (30 << 20)
m.look(); del small
r = m.finish()
assert m.finish() is r
print(r["cpu_usec"], r["memory_peak_bytes"])
"""


COPY = """
import os, sys
from reeve.usage import Measurement

def written():
    with open("/proc/self/io") as f:
        return int(next(line for line in f if line.startswith("write_bytes")).split()[1])

def write(path):
    with open(path, "wb") as f:
        f.write(b"x" * (4 << 20))
        os.fsync(f.fileno())

write(sys.argv[1])                      # before
least_from = written()
m = Measurement()
write(sys.argv[1])
r = m.finish()
write(sys.argv[1])                      # afterwards
assert m.finish() is r
print(r["io_write_bytes"], r["io_read_bytes"], written() - least_from)
"""


def test_what_a_process_writes(tmp_path):
    if not os.path.exists("/proc/self/io"):
        pytest.skip("the kernel counts no I/O of processes")
    out = subprocess.run([sys.executable, "-c", COPY, tmp_path / "file"], env={**os.environ, "PYTHONPATH": PACKAGE}, check=True,
                         capture_output=True, text=True).stdout
    written, read, both = map(int, out.split())
    assert read >= 0
    if both == 0:
        pytest.skip(f"{tmp_path} is on no device")
    assert 4 << 20 <= written < 8 << 20 and written < both, (written, both)


def test_what_a_process_uses():
    out = subprocess.run([sys.executable, "-c", MEASURE], env={**os.environ, "PYTHONPATH": PACKAGE}, check=True,
                         capture_output=True, text=True).stdout
    cpu_usec, memory = map(int, out.split())
    assert 10_000 < cpu_usec < 60_000_000, cpu_usec
    assert 30 << 20 < memory < 150 << 20, f"expected the 30 MiB of its time and not the 200 from before, got {memory}"
