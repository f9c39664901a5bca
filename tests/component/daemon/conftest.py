# SPDX-License-Identifier: LGPL-2.1-or-later
"""Makes tests/lib importable and says why nothing can be run where no instance can be made."""

import os
import sys

import pytest

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "..", "lib"))

import instance  # noqa: E402


def pytest_configure(config):
    reason = instance.unmet()
    if reason:
        pytest.exit(reason, returncode=77)

