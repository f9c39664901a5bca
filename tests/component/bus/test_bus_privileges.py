# SPDX-License-Identifier: LGPL-2.1-or-later
"""Who may what over D-Bus where there is no polkit: owners their own, root and group reeve-admin everything, and what a
message says about its sender counts for nothing. With polkit: tests/system/suite-dbus."""

import contextlib
import os

import pytest

import registry
from dbus import ALLOW_INTERACTION, DBusError
from people import Person, admin_group, alice, bob, carol
from registry import SLEEP, call, get, run

PRIVATE = {"argv", "cwd", "metadata", "description", "message"}


needs_admins = pytest.mark.skipif(admin_group() is None, reason="there is no group reeve-admin on this host")


@pytest.fixture(name="on")
def on_the_bus(bus, reeve):
    """on(person, function, *arguments): the function with a connection of that person's own, as that person."""
    def act(function, arguments, kwargs):
        with bus.connect() as c:
            return function(c, *arguments, **kwargs)

    def on(person, function, *arguments, **kwargs):
        return person.does(act, function, arguments, kwargs)
    return on


@pytest.fixture(name="task")
def a_task_of_alice(on, c):
    task, _ = on(alice, run, SLEEP)
    yield task
    with contextlib.suppress(DBusError):
        call(c, "CancelTask", task, "")


ACTS = [("SignalTask", 15), ("FreezeTask",), ("ThawTask",), ("ExtendTask", 1000000), ("CancelTask", "")]


@pytest.mark.parametrize("method, rest", [(a[0], a[1:]) for a in ACTS])
@pytest.mark.parametrize("flags", [0, ALLOW_INTERACTION])
def test_others_may_not(on, task, method, rest, flags):
    with pytest.raises(DBusError) as e:
        on(bob, call, method, task, *rest, flags=flags)
    assert e.value.name == "io.reeve.Error.PermissionDenied", e.value
    assert on(alice, get, task)["status"] == "active"


def test_owners_may(on, task):
    on(alice, call, "FreezeTask", task)
    on(alice, call, "ThawTask", task)
    on(alice, call, "CancelTask", task, "mine")


def test_root_may(c, task):
    call(c, "FreezeTask", task)
    call(c, "ThawTask", task)


@needs_admins
def test_the_group_may(on, task):
    on(carol, call, "FreezeTask", task)
    on(carol, call, "ThawTask", task)
    assert "argv" in on(carol, get, task)


def test_who_sees_what(on, c, task):
    assert {"argv", "cwd"} <= set(on(alice, get, task))
    assert {"argv", "cwd"} <= set(get(c, task))
    assert not PRIVATE & set(on(bob, get, task))
    for filters in ({}, {"owner_uid": ("u", alice.uid)}):
        tasks = {t["task_id"]: t for t in on(bob, call, "ListTasks", filters)[0]}
        assert task in tasks and not PRIVATE & set(tasks[task]), tasks[task]
    assert "argv" in on(alice, call, "ListTasks", {"owner_uid": ("u", alice.uid)})[0][0]


def test_a_specification_must_be_the_callers_own(on):
    with pytest.raises(DBusError) as e:
        on(alice, run, SLEEP, uid=0, gid=0)
    assert e.value.name == "io.reeve.Error.PermissionDenied", e.value


def test_nobody_else_has_the_name(on, bus):
    def take(c):
        return c.bus("RequestName", "su", registry.NAME, 2)
    with pytest.raises(DBusError) as e:
        on(alice, take)
    assert e.value.name.endswith("AccessDenied"), e.value


def test_only_administrators_reload_the_policy(on, c):
    with pytest.raises(DBusError) as e:
        on(bob, call, "ReloadPolicy")
    assert e.value.name == "io.reeve.Error.PermissionDenied", e.value
    assert call(c, "ReloadPolicy") == (), "root may"


@needs_admins
def test_the_group_reloads_the_policy(on):
    assert on(carol, call, "ReloadPolicy") == ()


def test_allow_looks_at_groups_that_the_bus_tells(on, c, reeve):
    gid = Person("mail").gid
    file = reeve.path("policy.d", "10-allow.yaml")
    with open(file, "w", encoding="utf-8") as f:
        f.write(f"version: 1\nsubsystems: {{closed: {{allow: {{groups: [{gid}]}}}}}}\n")
    try:
        call(c, "ReloadPolicy")
        options = {"subsystem": ("s", "closed")}
        on(Person("nobody", groups=[gid]), run, ["/bin/true"], options=options)
        with pytest.raises(DBusError) as e:
            on(bob, run, ["/bin/true"], options=options)
        assert e.value.name == "io.reeve.Error.PermissionDenied" and "10-allow.yaml line 2" in str(e.value), e.value
    finally:
        os.unlink(file)
        call(c, "ReloadPolicy")
