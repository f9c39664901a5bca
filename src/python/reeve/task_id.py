# SPDX-License-Identifier: LGPL-2.1-or-later
"""Ids of tasks, made as reeve's own tools make them.

The client chooses the id, so that a request that has to be repeated is known for the same one.
"""

import re
import secrets
import time
from typing import Optional

from .errors import InvalidArgument

ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"
ID_CHARS = 128
NAME_CHARS = 64
UNIQUE_CHARS = 12
RANDOM_BITS = 18


def check_name(field: str, name: str) -> str:
    """Returns a valid subsystem or task type; raises InvalidArgument for any other."""
    if not isinstance(name, str) or not re.fullmatch(rf"[A-Za-z0-9][A-Za-z0-9_-]{{0,{NAME_CHARS - 1}}}", name):
        raise InvalidArgument(f"{field} must be 1 to {NAME_CHARS} of A-Z a-z 0-9 _ -, and begin with a letter or digit", field)
    return name


def make(subsystem: str, task_type: str, milliseconds: Optional[int] = None) -> str:
    """Makes "<subsystem>_<task_type>_<12 characters>", which sorts by time: 42 bits of wall clock in milliseconds and 18 random
    ones, in Crockford's base32. Names that would make it too long are cut.
    """
    check_name("subsystem", subsystem)
    check_name("task_type", task_type)
    now = time.time_ns() // 1_000_000 if milliseconds is None else milliseconds
    value = now << RANDOM_BITS | secrets.randbits(RANDOM_BITS)
    unique = "".join(ALPHABET[value >> shift & 31] for shift in range(5 * (UNIQUE_CHARS - 1), -1, -5))

    room = ID_CHARS - UNIQUE_CHARS - 2
    subsystem = subsystem[:room // 2]
    return f"{subsystem}_{task_type[:room - len(subsystem)]}_{unique}"
