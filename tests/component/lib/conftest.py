# SPDX-License-Identifier: LGPL-2.1-or-later
"""What an installation would have of the library, staged, and programs built against nothing else."""

import json
import os
import shutil
import subprocess
import sys

import pytest

sys.dont_write_bytecode = True
HERE = os.path.dirname(os.path.abspath(__file__))
SOURCE = os.path.join(HERE, "..", "..", "..")
sys.path.insert(0, os.path.join(HERE, "..", "..", "lib"))

import instance  # noqa: E402

CC = os.environ.get("REEVE_CC", "cc").split()  # what the library was compiled by, so that they agree about sanitizers
WARNINGS = ("-std=gnu17", "-Wall", "-Wextra", "-Wno-unused-parameter", "-Werror")


def pytest_configure(config):
    missing = [tool for tool in (CC[0], "pkg-config", "nm", "readelf") if not shutil.which(tool)]
    reason = f"no {missing[0]} here" if missing else instance.unmet()
    if reason:
        pytest.exit(reason, returncode=77)


class Stage:
    """The headers that meson would install, the library, and the pkg-config file, in a directory of their own."""

    def __init__(self, directory):
        self.directory = str(directory)
        self.lib = os.path.join(self.directory, "lib")
        self.library = os.path.join(self.lib, "libreeve.so.0")
        os.mkdir(self.lib)
        with open(os.path.join(instance.BUILD, "meson-info", "intro-install_plan.json"), encoding="utf-8") as f:
            headers = json.load(f)["headers"]
        for source, plan in headers.items():
            target = plan["destination"].replace("{includedir}", os.path.join(self.directory, "include"))
            os.makedirs(os.path.dirname(target), exist_ok=True)
            shutil.copy(source, target)
        shutil.copy(os.path.join(instance.BUILD, "src", "libreeve", "libreeve.so.0"), self.library)
        os.symlink("libreeve.so.0", os.path.join(self.lib, "libreeve.so"))

    def flags(self):
        environment = {**os.environ, "PKG_CONFIG_PATH": os.path.join(instance.BUILD, "meson-private")}
        return subprocess.run(
            ["pkg-config", f"--define-variable=prefix={self.directory}", f"--define-variable=libdir={self.lib}",
             "--cflags", "--libs", "reeve"],
            env=environment, capture_output=True, text=True, check=True).stdout.split()

    def build(self, name, text, compiler="cc", options=WARNINGS, packages=()):
        """Compiles and links a program against the library, and other packages; its path."""
        others = subprocess.run(["pkg-config", "--cflags", "--libs", *packages], capture_output=True, text=True,
                                check=True).stdout.split() if packages else []
        command, suffix = {"cc": (CC, ".c"), "c++": (["c++"], ".cc")}[compiler]
        source, program = (os.path.join(self.directory, name + s) for s in (suffix, ""))
        with open(source, "w", encoding="utf-8") as f:
            f.write(text)
        done = subprocess.run([*command, *options, "-o", program, source, *self.flags(), *others], capture_output=True,
                              text=True)
        assert done.returncode == 0, done.stderr
        return program

    def run(self, program, *args, socket):
        return subprocess.run([program, *args], capture_output=True, text=True, timeout=60,
                              env={**os.environ, "LD_LIBRARY_PATH": self.lib, "REEVE_SOCKET": socket})


@pytest.fixture(scope="session", name="stage")
def the_stage(tmp_path_factory):
    return Stage(tmp_path_factory.mktemp("stage"))


@pytest.fixture(scope="session", name="reeve")
def the_instance():
    with instance.Instance() as i:
        yield i
