# SPDX-License-Identifier: LGPL-2.1-or-later
"""The immutable log of a real registry: read, proved, exported, verified by two verifiers that share no code; and every way to
cheat that docs/log-format.md names, done to a copy of the database by somebody who has it."""

import base64
import contextlib
import ctypes
import json
import os
import shutil
import signal
import sqlite3
import subprocess

import pytest

import log_verifier
from instance import REEVE, Instance

TASKS = 100  # of three entries: a full tile of the tree and a tail

sodium = ctypes.CDLL("libsodium.so.23")


def check_signature(public, message, signature):
    return sodium.crypto_sign_verify_detached(signature, message, ctypes.c_ulonglong(len(message)), public) == 0


def reeve(i, *args):
    """(exit status, standard output, standard error)"""
    p = subprocess.run([REEVE, *args], env={**os.environ, "REEVE_SOCKET": i.path("io.reeve.Registry")}, capture_output=True, text=True,
                       check=False)
    return p.returncode, p.stdout, p.stderr


def ok(i, *args):
    status, out, err = reeve(i, *args)
    assert status == 0, f"reeve {' '.join(args)}: {status}, {err}"
    return out


def finished(i):
    return i.run_wait(["/bin/true"])["task_id"]


class Registry:
    """One that ran TASKS tasks, was signed in the middle and at the end, and is gone; with what was kept of it."""

    def __init__(self, tmp):
        with Instance() as i:
            self.tasks = [finished(i) for _ in range(TASKS // 2)]
            self.middle = tmp / "middle"
            self.middle.write_text(ok(i, "log", "checkpoint"))
            self.tasks += [finished(i) for _ in range(TASKS // 2)]
            self.last = tmp / "last"
            self.last.write_text(ok(i, "log", "checkpoint"))
            self.key = ok(i, "log", "key").strip()
            self.export = tmp / "export"
            ok(i, "log", "export", str(self.export))
            i.kill(i.reeved, number=signal.SIGTERM)
            self.database = tmp / "registry.db"
            shutil.copy(i.path("registry.db"), self.database)
            self.private = open(i.path("log.key"), encoding="ascii").read()


@pytest.fixture(scope="module")
def registry(tmp_path_factory):
    return Registry(tmp_path_factory.mktemp("log"))


def verify(path, *options):
    p = subprocess.run([REEVE, "log", "verify", str(path), *options], capture_output=True, text=True, check=False)
    return p.returncode, p.stdout + p.stderr


# ---- what honest people see ----


def test_is_whole(registry):
    for path in registry.database, registry.export:
        status, text = verify(path, f"--key={registry.key}", f"--checkpoint={registry.middle}")
        assert status == 0, text
        assert f"{3 * TASKS} entries are whole" in text
        assert "the older one is contained" in text


def test_second_verifier_agrees(registry):
    entries, note = log_verifier.read_export(registry.export)
    size, root = log_verifier.open_checkpoint(note, registry.key, check_signature)
    assert (size, root) == (len(entries), log_verifier.root(entries))

    rows, checkpoints = log_verifier.read_database(registry.database)
    assert rows == entries
    assert len(checkpoints) >= 2
    for covered, text in checkpoints:
        size, root = log_verifier.open_checkpoint(text, registry.key, check_signature)
        assert (size, root) == (covered, log_verifier.root(rows[:covered]))

    out = json.loads(subprocess.run([REEVE, "log", "verify", "--json=short", str(registry.export)], check=True,
                                    capture_output=True, text=True).stdout)
    assert base64.b64decode(out["root"]) == root


def test_as_users_ask(registry):
    with sqlite3.connect(f"file:{registry.database}?mode=ro", uri=True) as db:
        rows = db.execute("SELECT * FROM immutable_log WHERE action LIKE 'task_%' ORDER BY timestamp DESC").fetchall()
    assert len(rows) == 3 * TASKS
    assert {row[3] for row in rows} == {"task_created", "task_started", "task_completed"}


def test_running_registry():
    with Instance() as i:
        tasks = [finished(i) for _ in range(3)]
        assert "9 entries are whole" in ok(i, "log", "verify")
        shown = ok(i, "log", "show", tasks[1])
        assert [line.split()[3] for line in shown.splitlines()] == ["task_completed", "task_started", "task_created"]
        created = json.loads(ok(i, "log", "show", "--action=*_created", "--json=short"))["entries"]
        assert [e["task_id"] for e in created] == tasks[::-1]
        assert ok(i, "log", "prove", tasks[0]).count("is in the log of 9 entries") == 3

        # across a restart, and after kill -9
        first = i.path("first")
        with open(first, "w", encoding="utf-8") as f:
            f.write(ok(i, "log", "checkpoint"))
        i.kill(i.reeved)
        i.start_reeved()
        finished(i)
        assert "the older one is contained" in ok(i, "log", "verify", f"--checkpoint={first}")


def test_anybody_may_verify():
    with Instance() as i:
        finished(i)
        p = subprocess.run([REEVE, "log", "verify"], env={**os.environ, "REEVE_SOCKET": i.path("io.reeve.Registry")}, user="nobody",
                           capture_output=True, text=True, check=False)
        assert p.returncode == 0, p.stderr


@pytest.mark.parametrize("args, status, says", [
    (["nonsense"], 64, "none of show, verify"),
    (["prove"], 64, "which task"),
    (["prove", "no_such_task_0"], 66, "no entry of this task"),
    (["show", "--limit=0"], 64, "limit"),
    (["verify", "/nonexistent"], None, "/nonexistent"),
    (["verify", "/etc/passwd"], 64, "after entry 0"),
    (["verify", "--key=a+b+c"], 64, "key"),
    (["verify", "--checkpoint=/etc/passwd"], 64, "checkpoint"),
])
def test_bad_requests(args, status, says):
    with Instance() as i:
        got, _, err = reeve(i, "log", *args)
        assert got != 0 and (status is None or got == status), err
        assert says in err


# ---- cheating ----


@contextlib.contextmanager
def tampered(registry, tmp_path):
    """A copy of the database without its triggers."""
    path = tmp_path / "registry.db"
    shutil.copy(registry.database, path)
    db = sqlite3.connect(path, isolation_level=None)
    for (name,) in db.execute("SELECT name FROM sqlite_schema WHERE type = 'trigger'").fetchall():
        db.execute(f"DROP TRIGGER {name}")
    db.execute("PRAGMA journal_mode = DELETE")
    yield path, db
    db.close()


def move(db, first, last, by):
    """Moves entries first..last, the far end first, so that no two meet."""
    order = "DESC" if by > 0 else "ASC"
    for (entry,) in db.execute(
            f"SELECT entry FROM immutable_log WHERE entry BETWEEN ? AND ? ORDER BY entry {order}", (first, last)).fetchall():
        db.execute("UPDATE immutable_log SET entry = ? WHERE entry = ?", (entry + by, entry))


def build_tiles_anew(db):
    """As somebody who knows the format would, after he changed an entry."""
    entries = [log_verifier.entry_bytes(*row) for row in db.execute(
        "SELECT number, timestamp, action, task_id, subsystem, detail FROM immutable_log ORDER BY entry")]
    db.execute("DELETE FROM log_tiles")
    leaves = [log_verifier.sha256(b"\0" + e) for e in entries]
    full = len(leaves) // 256
    for tile in range(full):
        db.execute("INSERT INTO log_tiles VALUES (0, ?, ?)", (tile, b"".join(leaves[256 * tile:256 * tile + 256])))
    roots = [log_verifier.root(entries[256 * tile:256 * tile + 256]) for tile in range(full)]
    db.execute("INSERT INTO log_tiles VALUES (1, 0, ?)", (b"".join(roots),))
    return entries


def change(db):
    db.execute("UPDATE immutable_log SET detail = replace(detail, 'completed', 'failed') WHERE entry = 20")


def swap(db):
    move(db, 30, 30, 1000)
    move(db, 31, 31, -1)
    move(db, 1030, 1030, -999)


def reorder(db):
    move(db, 10, 10, 1000)
    move(db, 90, 90, -80)
    move(db, 1010, 1010, -920)


def remove_a_row(db):
    db.execute("DELETE FROM immutable_log WHERE entry = 40")


def remove_and_close_up(db):
    remove_a_row(db)
    move(db, 41, 10000, -1)


def insert(db):
    move(db, 50, 10000, 1)
    db.execute("INSERT INTO immutable_log SELECT 50, number, timestamp, action, 'invented_task_1', subsystem, detail "
               "FROM immutable_log WHERE entry = 51")


def change_in_the_tail(db):
    db.execute("UPDATE immutable_log SET timestamp = timestamp - 1 WHERE entry = ?", (3 * TASKS - 1,))


def change_and_build_tiles(db):
    change(db)
    build_tiles_anew(db)


def change_late_and_build_tiles(db):
    db.execute("UPDATE immutable_log SET task_id = 'somebody_else_1' WHERE entry = 200")
    build_tiles_anew(db)


def cut_off(db):
    db.execute("DELETE FROM immutable_log WHERE entry >= 200")


def forge_a_checkpoint(db):
    db.execute("UPDATE log_checkpoints SET note = replace(note, char(10) || entries, char(10) || (entries - 1))")


def damage_upper_tile(db):
    db.execute("UPDATE log_tiles SET hashes = zeroblob(length(hashes)) WHERE level = 1")


CHEATS = [
    (change, "entry 20 was changed"),
    (swap, "entry 30 and the next one have changed places"),
    (reorder, "entry 10 stood elsewhere"),
    (remove_a_row, "entry 40 is missing"),
    (remove_and_close_up, "the log was cut off"),
    (insert, "entry 50 was inserted later"),
    (change_in_the_tail, "were changed, removed, inserted or reordered after they were signed"),
    (change_and_build_tiles, "(the first 0 are as they were)"),
    (change_late_and_build_tiles, f"(the first {3 * TASKS // 2} are as they were)"),
    (cut_off, "the log was cut off: a checkpoint covers"),
    (forge_a_checkpoint, "no valid signature"),
    (damage_upper_tile, "of level 1 of the tree"),
]


@pytest.mark.parametrize("cheat, says", CHEATS, ids=[cheat.__name__ for cheat, _ in CHEATS])
def test_cheating(registry, tmp_path, cheat, says):
    with tampered(registry, tmp_path) as (path, db):
        cheat(db)
    status, text = verify(path, f"--key={registry.key}")
    assert status == 1 and says in text, text


def test_removed_after_the_checkpoints_went(registry, tmp_path):
    with tampered(registry, tmp_path) as (path, db):
        remove_and_close_up(db)
        db.execute("DELETE FROM log_checkpoints")
    status, text = verify(path, f"--key={registry.key}")
    assert status == 1 and "entry 40 was removed" in text, text


def cut_off_cleanly(db):
    """Entries, tiles and checkpoints of the second half are gone: what is left is a sound, older log."""
    middle = 3 * TASKS // 2
    db.execute("DELETE FROM immutable_log WHERE entry >= ?", (middle,))
    db.execute("DELETE FROM log_tiles")
    db.execute("DELETE FROM log_checkpoints WHERE entries > ?", (middle,))


def test_older_copy(registry, tmp_path):
    with tampered(registry, tmp_path) as (path, db):
        cut_off_cleanly(db)
    status, text = verify(path, f"--key={registry.key}")
    assert status == 0, text  # nothing in it can show it
    status, text = verify(path, f"--key={registry.key}", f"--checkpoint={registry.last}")
    assert status == 1 and "or is an older copy" in text, text


def sign(private, origin, size, root):
    """A checkpoint by somebody who has the private key."""
    seed = base64.b64decode(private.strip().split("+", 4)[4])[1:]
    public, secret = ctypes.create_string_buffer(32), ctypes.create_string_buffer(64)
    sodium.crypto_sign_seed_keypair(public, secret, seed)
    body = f"{origin}\n{size}\n{base64.b64encode(root).decode()}\n"
    signature = ctypes.create_string_buffer(64)
    sodium.crypto_sign_detached(signature, None, body.encode(), ctypes.c_ulonglong(len(body.encode())), secret)
    key_id = log_verifier.sha256(origin.encode() + b"\n\1" + public.raw)[:4]
    return f"{body}\n\u2014 {origin} {base64.b64encode(key_id + signature.raw).decode()}\n"


def test_rewritten_with_the_private_key(registry, tmp_path):
    with tampered(registry, tmp_path) as (path, db):
        change(db)
        entries = build_tiles_anew(db)
        db.execute("DELETE FROM log_checkpoints")
        note = sign(registry.private, log_verifier.parse_key(registry.key)[0], len(entries), log_verifier.root(entries))
        db.execute("INSERT INTO log_checkpoints VALUES (?, 0, ?)", (len(entries), note))
    status, text = verify(path, f"--key={registry.key}")
    assert status == 0, text
    for older in registry.middle, registry.last:
        status, text = verify(path, f"--key={registry.key}", f"--checkpoint={older}")
        assert status == 1 and "history was rewritten" in text, text


def test_another_key(registry):
    with Instance() as i:
        finished(i)
        other = ok(i, "log", "key").strip()
    status, text = verify(registry.database, f"--key={other}")
    assert status == 1 and "another log than the key" in text, text


@pytest.mark.parametrize("offset", [30, 5000, -300, -20])
def test_damaged_export(registry, tmp_path, offset):
    data = bytearray(registry.export.read_bytes())
    data[offset] ^= 1
    damaged = tmp_path / "export"
    damaged.write_bytes(data)
    status, text = verify(damaged, f"--key={registry.key}")
    assert status != 0, text


def test_cut_export(registry, tmp_path):
    data = registry.export.read_bytes()
    cut = tmp_path / "export"
    for length in (0, 10, len(data) // 2, data.rindex(b"reeve-log-entry"), data.rindex(b"\n\n") + 1, len(data) - 1):
        cut.write_bytes(data[:length])
        status, text = verify(cut, f"--key={registry.key}")
        assert status != 0, f"{length} of {len(data)} bytes: {text}"
