# SPDX-License-Identifier: LGPL-2.1-or-later
"""An instance of reeve on a bus of its own, under the policy file that is installed (with another name)."""

import os
import re
import sys

import pytest

sys.dont_write_bytecode = True
HERE = os.path.dirname(os.path.abspath(__file__))
SOURCE = os.path.join(HERE, "..", "..", "..")
sys.path.insert(0, os.path.join(HERE, "..", "..", "lib"))

import dbus  # noqa: E402
import instance  # noqa: E402

NAME = "io.reeve.Test1"


def pytest_configure(config):
    reason = instance.unmet() or dbus.unmet()
    if reason:
        pytest.exit(reason, returncode=77)


def installed_policy():
    with open(os.path.join(SOURCE, "config", "dbus", "io.reeve.Registry1.conf"), encoding="utf-8") as f:
        text = f.read()
    text = re.sub(r'(own|send_destination)="io.reeve.Registry1"', rf'\1="{NAME}"', text)
    return "\n".join(re.findall(r"<policy.*?</policy>", text, re.S))


@pytest.fixture(scope="session", name="bus")
def a_bus():
    with dbus.Bus(installed_policy()) as b:
        yield b


@pytest.fixture(scope="session", name="reeve")
def an_instance(bus):
    with instance.Instance(reeved_arguments=[f"--bus={bus.address}", f"--bus-name={NAME}"]) as i:
        with bus.connect() as c:
            c.wait_for_name(NAME)
        yield i


@pytest.fixture(name="c")
def a_connection(bus, reeve):
    with bus.connect() as connection:
        yield connection
