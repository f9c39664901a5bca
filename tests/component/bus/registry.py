# SPDX-License-Identifier: LGPL-2.1-or-later
"""The methods of io.reeve.Registry1, as a test writes them."""

import itertools
import os

import spec
from conftest import NAME

OBJECT = "/io/reeve/Registry1"
INTERFACE = "io.reeve.Registry1"
TASK = "io.reeve.Task1"
SLEEP = ["/bin/sleep", "1000"]
IN = {
    "RunTask": "ha{sv}", "AttachTask": "ha{sv}", "CancelTask": "ss", "SignalTask": "si", "FreezeTask": "s", "ThawTask": "s", "GetTask": "s",
    "ExtendTask": "st", "ListTasks": "a{sv}", "GetStats": "", "ReloadPolicy": "", "StartTask": "a{sv}", "UpdateTask": "sa{sv}",
    "CompleteTask": "sba{sv}", "FailTask": "ss", "Publish": "ss",
}
counter = itertools.count(1)


def send(c, method, *values, flags=0):
    return c.send(NAME, OBJECT, INTERFACE, method, IN[method], values, flags=flags)


def call(c, method, *values, flags=0):
    return c.reply(send(c, method, *values, flags=flags))


def run(c, argv, task=None, fds=(), options=None, **kwargs):
    """The id and the path."""
    task = task or f"test_bus_{os.getpid()}-{next(counter)}"
    fd = spec.memfd(spec.text(task, argv, **kwargs))
    given = {"subsystem": ("s", "test"), "task_type": ("s", "bus"), **(options or {})}
    if fds:
        given["stdio"] = ("ah", list(fds))
    try:
        return call(c, "RunTask", fd, given)
    finally:
        os.close(fd)


def get(c, task):
    return call(c, "GetTask", task)[0]


def properties(c, path):
    return c.call(NAME, path, "org.freedesktop.DBus.Properties", "GetAll", "s", [TASK])[0]


def watch(c):
    c.match(f"type='signal',sender='{NAME}'")


def ended(c, *tasks):
    """Waits for the signal that tells of the end of one of the tasks; needs watch()."""
    ends = ("TaskCompleted", "TaskFailed", "TaskCancelled", "TaskLost")
    return c.signal(lambda m: m.member in ends and m.body[0] in tasks)
