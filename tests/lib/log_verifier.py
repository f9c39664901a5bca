# SPDX-License-Identifier: LGPL-2.1-or-later
"""A second verifier of the immutable log, written from docs/log-format.md alone: it shares no code with the first one.

Slow and plain on purpose. `root()` is RFC 6962's definition, with the roots of complete subtrees kept.
"""

import base64
import hashlib
import sqlite3

LINES = 7


def sha256(data):
    return hashlib.sha256(data).digest()


def entry_bytes(number, timestamp, action, task_id, subsystem, detail):
    lines = ["reeve-log-entry 1", number, timestamp, action, task_id, subsystem, detail]
    return "".join(f"{'-' if line is None else line}\n" for line in lines).encode()


def root(entries):
    """The root of a list of entries' bytes, or of any iterable of them."""
    stack = []  # (entries below, hash), sizes falling
    for entry in entries:
        stack.append((1, sha256(b"\0" + entry)))
        while len(stack) > 1 and stack[-1][0] == stack[-2][0]:
            (n, right), (m, left) = stack.pop(), stack.pop()
            stack.append((n + m, sha256(b"\1" + left + right)))
    if not stack:
        return sha256(b"")
    _, result = stack.pop()
    while stack:
        result = sha256(b"\1" + stack.pop()[1] + result)
    return result


def parse_key(text):
    """(name, public key) of the text of a public key."""
    name, key_id, encoded = text.strip().split("+", 2)
    raw = base64.b64decode(encoded, validate=True)
    assert raw[0] == 1 and len(raw) == 33, "not an Ed25519 key"
    assert sha256(name.encode() + b"\n" + raw)[:4].hex() == key_id, "the id is not that of the key"
    return name, raw[1:]


def open_checkpoint(note, key, check_signature):
    """(size, root) of a checkpoint that the key has signed. check_signature(public key, message, signature) -> bool."""
    name, public = parse_key(key)
    head, _, tail = note.partition("\n\n")
    origin, size, encoded = (head + "\n").split("\n")[:3]
    assert origin == name, f"a checkpoint of {origin}, not of {name}"
    for line in tail.splitlines():
        dash, signer, encoded_signature = line.split(" ")
        raw = base64.b64decode(encoded_signature, validate=True)
        if dash != "\u2014" or signer != name:
            continue
        if raw[:4] != sha256(name.encode() + b"\n\1" + public)[:4]:
            continue
        if check_signature(public, (head + "\n").encode(), raw[4:]):
            return int(size), base64.b64decode(encoded, validate=True)
    raise AssertionError("no valid signature of this key")


def read_export(path):
    """(entries' bytes, checkpoint) of an export."""
    with open(path, "rb") as f:
        data = f.read()
    entries = []
    while data.startswith(b"reeve-log-entry 1\n"):
        end = 0
        for _ in range(LINES):
            end = data.index(b"\n", end) + 1
        entries.append(data[:end])
        data = data[end:]
    assert data.startswith(b"\n"), "neither an entry nor the end"
    return entries, data[1:].decode()


def read_database(path):
    """(entries' bytes, [(size, checkpoint)]) of a copy of the database."""
    with sqlite3.connect(f"file:{path}?mode=ro", uri=True) as db:
        rows = db.execute(
            "SELECT entry, number, timestamp, action, task_id, subsystem, detail FROM immutable_log ORDER BY entry"
        ).fetchall()
        assert [row[0] for row in rows] == list(range(len(rows))), "entries are missing"
        return [entry_bytes(*row[1:]) for row in rows], db.execute(
            "SELECT entries, note FROM log_checkpoints ORDER BY entries"
        ).fetchall()
