# SPDX-License-Identifier: LGPL-2.1-or-later
"""What can go wrong, one class for each row of reeve's error table.

The names are those of the interface `io.reeve.Registry`, so an error that is told to a shell, on D-Bus or over HTTP is
recognised here. What is refused before anything is sent raises the same classes.
"""

from typing import Any, Dict, Mapping, Optional, Type

INTERFACE = "io.reeve.Registry."


class ReeveError(Exception):
    """Base of all. `field` names the argument that is to blame; `errno` is the system's error number. Either may be None."""

    def __init__(self, message: str, field: Optional[str] = None, errno: Optional[int] = None) -> None:
        super().__init__(message)
        self.message = message
        self.field = field
        self.errno = errno


class NoSuchTask(ReeveError):
    """There is no such task, or it is not for the caller's eyes."""


class AlreadyExists(ReeveError):
    """The id belongs to another task."""


class AlreadyFinished(ReeveError):
    """The task has ended, and not in the way that was reported now. Nothing was changed."""


class InvalidArgument(ReeveError):
    """An argument is not valid; `field` says which."""


class PermissionDenied(ReeveError):
    """The caller may not do this."""


class LimitExceeded(ReeveError):
    """Too long, too many, or too much waits to be delivered."""


class PolicyViolation(ReeveError):
    """The policy of the host does not allow this."""


class ExecFailed(ReeveError):
    """A command could not be executed."""


class Unavailable(ReeveError):
    """The registry is away, or cannot do this now. Trying again later is sensible."""


class Internal(ReeveError):
    """A fault of the registry."""


class ProtocolError(ReeveError):
    """The registry does not understand the call: it is older or newer than this package."""


class ConnectionLost(Unavailable):
    """The connection broke, or could not be made."""


CLASSES: Dict[str, Type[ReeveError]] = {
    c.__name__: c
    for c in (NoSuchTask, AlreadyExists, AlreadyFinished, InvalidArgument, PermissionDenied, LimitExceeded,
              PolicyViolation, ExecFailed, Unavailable, Internal)
}


def from_reply(name: str, parameters: Optional[Mapping[str, Any]]) -> ReeveError:
    """The exception for an error reply, of an interface of any version."""
    values = parameters or {}
    if not name.startswith(INTERFACE):
        return ProtocolError(f"{name}: {dict(values)}", values.get("parameter"))
    cls = CLASSES.get(name[len(INTERFACE):], Internal)
    return cls(str(values.get("message") or name), values.get("field"), values.get("errno"))
