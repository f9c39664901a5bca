# SPDX-License-Identifier: LGPL-2.1-or-later
"""The examples of docs/python.md are programs that run."""

import os
import re

import pytest
from conftest import SOURCE

with open(os.path.join(SOURCE, "docs", "python.md"), encoding="utf-8") as f:
    EXAMPLES = re.findall(r"^## (\w+)|^```python\n(.*?)^```", f.read(), re.M | re.S)


def named():
    """(name, program) of each example; the name is its section's."""
    section = ""
    for heading, text in EXAMPLES:
        section = heading or section
        if text:
            yield pytest.param(text, id=section.lower())


@pytest.mark.parametrize("text", named())
def test_example(program, text):
    process = program("-W", "error", "-c", text)
    out, _ = process.communicate(timeout=60)
    assert process.returncode == 0, out


def test_there_are_examples():
    assert len(list(named())) == 5
