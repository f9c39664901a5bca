# SPDX-License-Identifier: LGPL-2.1-or-later
"""Makes the package of this tree importable, the harness of tests/lib, and the shim of old module paths."""

import os
import sys

import pytest

sys.dont_write_bytecode = True
HERE = os.path.dirname(os.path.abspath(__file__))
SOURCE = os.path.dirname(os.path.dirname(HERE))
PACKAGE = os.path.join(SOURCE, "src", "python")
SHIM = os.path.join(HERE, "shim")
sys.path[:0] = [PACKAGE, os.path.join(SOURCE, "tests", "lib"), HERE]

import instance as instances  # noqa: E402


@pytest.fixture
def instance(monkeypatch):
    """A registry of the test's own, which the package finds."""
    reason = instances.unmet()
    if reason:
        pytest.skip(reason)
    with instances.Instance() as i:
        monkeypatch.setenv("REEVE_SOCKET", i.path("io.reeve.Registry"))
        yield i
        if not i.reeved or not i.reeved.alive():
            print(i.logs())


@pytest.fixture
def program(instance):
    """Starts Python programs that find the package, the shim and the registry."""
    import subprocess

    started = []

    def start(*arguments, **kwargs):
        env = {**os.environ, "PYTHONPATH": f"{PACKAGE}:{SHIM}", "PYTHONDONTWRITEBYTECODE": "1",
               "REEVE_SOCKET": instance.path("io.reeve.Registry")}
        process = subprocess.Popen([sys.executable, *arguments], env=env, stdout=subprocess.PIPE, text=True, **kwargs)
        started.append(process)
        return process

    yield start
    for process in started:
        if process.poll() is None:
            process.kill()
        process.wait()
        process.stdout.close()
