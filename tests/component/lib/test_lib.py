# SPDX-License-Identifier: LGPL-2.1-or-later
"""libreeve as its users have it: what it exports, that its headers stand alone, what its functions do, and the page about it."""

import os
import platform
import re
import shutil
import subprocess

import pytest

from conftest import HERE, SOURCE

HEADERS = ("error", "query", "reeve", "report")
TESTS = ("reported-task-completes", "reported-task-fails", "bad-input", "run-wait-and-signals",
         "hold-release-extend-and-cancel", "list-by-pages", "poll-loop", "sd-event-loop", "reporter-dies")
# A struct that changes is another ABI: see docs/libreeve.md.
SIZES_OF_64_BITS = """\
ReeveAttach 88
ReeveEnd 40
ReeveError 776
ReeveEvent 40
ReeveFilter 72
ReeveMonitor 32
ReeveNumber 16
ReeveRun 192
ReeveStart 88
ReeveUpdate 48
"""


def read(*names):
    with open(os.path.join(SOURCE, *names), encoding="utf-8") as f:
        return f.read()


EXAMPLES = re.findall(r"^## ([^\n]+)\n(?:(?!^## ).)*?^```c\n(.*?)^```", read("docs", "libreeve.md"), re.M | re.S)


@pytest.fixture(scope="module", name="program")
def the_program(stage):
    with open(os.path.join(HERE, "public-api.c"), encoding="utf-8") as f:
        return stage.build("public-api", f.read(), packages=["libsystemd"])


def test_exports_are_those_that_are_listed(stage):
    listed = re.findall(r"^ (\S+) \S+$", read("debian", "libreeve0.symbols"), re.M)
    nm = subprocess.run(["nm", "-D", "--defined-only", "--with-symbol-versions", stage.library], capture_output=True,
                        text=True, check=True).stdout
    exported = [line.split()[-1].replace("@@", "@") for line in nm.splitlines()]
    exported = [name + "@" + name if "@" not in name else name for name in exported]
    assert sorted(exported) == sorted(listed)


def test_what_is_declared_is_exported():
    declared = re.findall(r"^REEVE_PUBLIC[^;(]*?(reeve_\w+)\(", "".join(read("include", "reeve", h + ".h") for h in HEADERS),
                          re.M)
    assert sorted(declared) == re.findall(r"^ (reeve_\w+)@", read("debian", "libreeve0.symbols"), re.M)


def test_soname(stage):
    dynamic = subprocess.run(["readelf", "-d", stage.library], capture_output=True, text=True, check=True).stdout
    assert "[libreeve.so.0]" in dynamic, dynamic


@pytest.mark.skipif(platform.machine() not in ("x86_64", "aarch64"), reason="sizes are known for 64 bits")
def test_structs_have_the_sizes_that_are_known(stage, program):
    assert stage.run(program, "sizes", socket="").stdout == SIZES_OF_64_BITS


@pytest.mark.parametrize("header", HEADERS)
@pytest.mark.parametrize("compiler, standard", [("cc", "-std=c11"), ("c++", "-std=c++17")])
def test_header_stands_alone(stage, header, compiler, standard):
    if not shutil.which(compiler):
        pytest.skip(f"no {compiler} here")
    text = f"#include <reeve/{header}.h>\nint main(void) {{ ReeveError e; e.code = REEVE_ERROR_NONE; return (int)e.code; }}\n"
    stage.build(header, text, compiler, (standard, "-Wall", "-Wextra", "-Wpedantic", "-Werror"))


@pytest.mark.parametrize("name", TESTS)
def test_function(stage, reeve, program, name):
    done = stage.run(program, name, socket=reeve.path("io.reeve.Registry"))
    assert done.returncode == 0, f"status {done.returncode}: {done.stderr}{reeve.logs()}"


def test_reported_task_outlives_the_registry(stage, reeve, program):
    environment = {**os.environ, "LD_LIBRARY_PATH": stage.lib, "REEVE_SOCKET": reeve.path("io.reeve.Registry")}
    with subprocess.Popen([program, "outlives-the-registry"], env=environment, stdin=subprocess.PIPE,
                          stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as p:
        for said in ("started\n", "updated\n"):
            assert p.stdout.readline() == said, p.communicate(timeout=60)
            reeve.kill(reeve.reeved)
            reeve.start_reeved()
            p.stdin.write("\n")
            p.stdin.flush()
        _, errors = p.communicate(timeout=60)
    assert p.returncode == 0, errors


def test_every_test_of_the_program_is_run():
    with open(os.path.join(HERE, "public-api.c"), encoding="utf-8") as f:
        there = re.findall(r'^        \{ "([\w-]+)", test_\w+ \}', f.read(), re.M)
    assert sorted(there) == sorted((*TESTS, "outlives-the-registry"))


@pytest.mark.parametrize("title, text", EXAMPLES, ids=[title.split(",")[0].lower() for title, _ in EXAMPLES])
def test_example(stage, reeve, title, text):
    reeve.run_wait(["/bin/true"])  # something to list, and to hear of
    done = stage.run(stage.build("example-" + title.split(",")[0].lower(), text), socket=reeve.path("io.reeve.Registry"))
    assert done.returncode == 0 and done.stdout, f"status {done.returncode}, said '{done.stdout}': {done.stderr}"


def test_there_are_examples():
    assert [title for title, _ in EXAMPLES] == ["Running", "Reporting", "Asking", "Events, in a poll loop"]
