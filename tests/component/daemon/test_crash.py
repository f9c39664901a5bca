# SPDX-License-Identifier: LGPL-2.1-or-later
"""The crash matrix of crash.py, where no systemd is needed; tests/system/suite-scope runs its steps of backend scope."""

import itertools

import pytest
from crash import ADOPTED_STEPS, SCOPE_STEPS, STEPS, STRANGERS_STEPS, pairs, run


def cases(process, steps):
    return [pytest.param(step, victims, id=f"{step}-kills-{'+'.join(victims)}") for step, victims in pairs(process, steps)]


@pytest.mark.parametrize("step, victims", cases("reeved", STEPS))
def test_at_step_of_reeved(step, victims):
    run(step, victims, STEPS)


@pytest.mark.parametrize("step, victims", cases("launcher", STEPS))
def test_at_step_of_launcher(step, victims):
    run(step, victims, STEPS)


@pytest.mark.parametrize("step, victims", cases("keeper", STEPS))
def test_at_step_of_keeper(step, victims):
    run(step, victims, STEPS)


@pytest.mark.parametrize("step, victims", cases(None, ADOPTED_STEPS))
def test_at_step_of_adoption(step, victims):
    run(step, victims, ADOPTED_STEPS)


@pytest.mark.parametrize("step, victims", cases(None, STRANGERS_STEPS))
def test_at_step_of_stranger(step, victims):
    run(step, victims, STRANGERS_STEPS)


# Tried by tests of their own.
ELSEWHERE = {
    # test_verification.py, test_hooks.py
    "reeved:verifying", "reeved:check-started", "reeved:checked", "reeved:check-committed", "reeved:verified",
    "reeved:hook-inserted", "reeved:hook-attempt",
    # test_queue.py
    "reeved:queued", "reeved:fetched", "reeved:changed", "reeved:retry",
    # test_sla.py, launcher/test-step.c
    "reeved:step-due", "reeved:step-claimed", "reeved:step-acted", "reeved:step-stored",
    "launcher:step-claimed", "launcher:step-acted",
    # test_attach_to.py
    "reeved:attached",
    # launcher/test-attach.c, test_attach_to.py
    "keeper:attach-move", "keeper:attach-moved", "keeper:attach-started",
    # system/test_scopes.py
    "launcher:pool-scope",
}


def test_matrix_is_complete():
    """Each point that exists in the sources is a step here, and each step exists."""
    import pathlib
    import re

    sources = pathlib.Path(__file__).parents[3] / "src"
    text = "".join(p.read_text(encoding="utf-8") for p in sources.rglob("*.c"))
    points = {":".join(m) for m in re.findall(r'CRASH_(?:POINT|PARENT)\("([a-z]+)", "([a-z-]+)"\)', text)}
    steps = {s.split("#")[0] for s in itertools.chain(STEPS, ADOPTED_STEPS, SCOPE_STEPS)}
    assert points - ELSEWHERE == steps
