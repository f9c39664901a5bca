# SPDX-License-Identifier: LGPL-2.1-or-later
"""The least of a test runner, for guests that have no pytest: a line `ok NAME`, `not ok NAME` or `skip NAME REASON` each."""

import traceback


class Skip(Exception):
    """This test cannot run here; the text says why."""


def equal(what, got, expected):
    assert got == expected, f"{what}: expected {expected!r}, got {got!r}"


def between(what, got, low, high):
    assert isinstance(got, int) and low <= got <= high, f"{what}: expected {low} to {high}, got {got!r}"


def run(tests, *args):
    """Calls each function with `args`; what it returns is printed beside its name. Returns the exit status."""
    status = 0
    for test in tests:
        name = test.__name__.removeprefix("test_").replace("_", "-")
        try:
            said = test(*args)
            if said:
                print(f"# {name}: {said}", flush=True)
            print(f"ok {name}", flush=True)
        except Skip as reason:
            print(f"skip {name} {reason}", flush=True)
        except Exception:  # pylint: disable=broad-except
            traceback.print_exc()
            print(f"not ok {name}", flush=True)
            status = 1
    return status


def functions(module):
    """A module's tests, in the order of their definition."""
    return [f for name, f in vars(module).items() if name.startswith("test_") and callable(f)]
