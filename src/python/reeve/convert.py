# SPDX-License-Identifier: LGPL-2.1-or-later
"""Between the registry's units (microseconds, bytes) and those that people use."""

import datetime
import re
from typing import Optional, Union

from .errors import InvalidArgument

Span = Union[str, int, float, datetime.timedelta]

EPOCH = datetime.datetime(1970, 1, 1, tzinfo=datetime.timezone.utc)
PART = re.compile(r"\s*(\d+(?:\.\d+)?)\s*([a-z]*)\s*")
UNITS = {
    "us": 1e-6, "usec": 1e-6, "ms": 1e-3, "msec": 1e-3,
    "": 1, "s": 1, "sec": 1, "second": 1, "seconds": 1,
    "m": 60, "min": 60, "minute": 60, "minutes": 60,
    "h": 3600, "hr": 3600, "hour": 3600, "hours": 3600,
    "d": 86400, "day": 86400, "days": 86400, "w": 604800, "week": 604800, "weeks": 604800,
}


def to_datetime(usec: Optional[int]) -> Optional[datetime.datetime]:
    """An aware time, in UTC, of microseconds since 1970."""
    return None if usec is None else EPOCH + datetime.timedelta(microseconds=usec)


def to_usec(moment: datetime.datetime) -> int:
    """Microseconds since 1970; a naive time is local, as everywhere in Python."""
    return (moment.astimezone(datetime.timezone.utc) - EPOCH) // datetime.timedelta(microseconds=1)


def to_span(value: Span, field: str = "span") -> datetime.timedelta:
    """A span of time: "1h", "1h 30min", "90 s", a number of seconds, or a timedelta. Raises InvalidArgument."""
    if isinstance(value, datetime.timedelta):
        return value
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        return datetime.timedelta(seconds=value)
    text = value if isinstance(value, str) else ""
    seconds, at = 0.0, 0
    while match := PART.match(text, at):
        number, unit = match.groups()
        if unit not in UNITS:
            break
        seconds, at = seconds + float(number) * UNITS[unit], match.end()
    if not text or at < len(text):
        raise InvalidArgument(f'{field} must be a span of time as "1h 30min", not {value!r}', field)
    return datetime.timedelta(seconds=seconds)
