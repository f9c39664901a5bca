# SPDX-License-Identifier: LGPL-2.1-or-later
"""Who may what: callers without privileges, members of reeve-admin, root; and what nobody may see."""

import contextlib
import grp
import os
import socket
import sqlite3
import subprocess

import pytest

import spec
from instance import REEVE, Instance, unmet
from people import Person, admin_group, alice, bob, carol
from varlink import VarlinkError

SOON = 20.0
SLEEP = ["/bin/sleep", "1000"]
PRIVATE = ("argv", "cwd", "metadata", "description", "message")


needs_admins = pytest.mark.skipif(admin_group() is None, reason="there is no group reeve-admin on this host")


@pytest.fixture(scope="module", name="reeve")
def the_instance():
    with Instance() as i:
        yield i


def call(reeve, method, parameters=None, fds=()):
    with reeve.connect(timeout=SOON) as c:
        return c.call(method, parameters, fds)


def run(reeve, argv, **kwargs):
    """Run as whoever calls this; by default with his own primary group."""
    return reeve.run(argv, **kwargs)


def assert_denied(person, function, field=None, name="PermissionDenied"):
    def attempt():
        try:
            return ("done", function())
        except VarlinkError as e:
            return (e.name, e.field)
    got = person.does(attempt)
    assert got[0] == name and (field is None or got[1] == field), f"{person} got {got}, expected {name} about {field}"


@pytest.fixture(name="task")
def a_task_of_alice(reeve):
    t = alice.does(run, reeve, SLEEP, more={"metadata": {"secret": "m"}, "title": "public", "description": "private"})
    yield t["task_id"]
    with contextlib.suppress(VarlinkError):
        call(reeve, "Cancel", {"task_id": t["task_id"]})
    reeve.wait(t["task_id"])


# --- who runs ------------------------------------------------------------------------------------------------------

def status_of(text):
    return dict(line.split(":\t", 1) for line in text.decode().splitlines() if ":\t" in line)


def test_tasks_run_as_their_callers(reeve):
    for person in (alice, bob, carol):
        t = person.does(reeve.run_wait, ["/bin/cat", "/proc/self/status"])
        assert t["status"] == "completed", t
        assert (t["owner_uid"], t["run_uid"], t["run_gid"]) == (person.uid, person.uid, person.gid)
        s = status_of(reeve.output(t["task_id"]))
        assert s["Uid"].split() == [str(person.uid)] * 4
        assert s["Gid"].split() == [str(person.gid)] * 4
        expected = {person.gid, *(g.gr_gid for g in grp.getgrall() if person.name in g.gr_mem)}
        assert set(map(int, s["Groups"].split())) == expected, "groups come from the user database, not from the caller"
        for caps in ("CapInh", "CapPrm", "CapEff", "CapAmb"):
            assert int(s[caps], 16) == 0, f"{caps} {s[caps]}"
        assert (s["SigBlk"], s["SigIgn"], s["NoNewPrivs"].strip()) == ("0" * 16, "0" * 16, "0")


def test_tasks_inherit_nothing(reeve):
    """Three descriptors, a session of its own, no environment but what was asked for."""
    t = alice.does(reeve.run_wait, ["/bin/sh", "-c", "ls /proc/$$/fd; ps -o pid=,sid= -p $$; env"])
    text = reeve.output(t["task_id"]).decode()
    descriptors = [line for line in text.splitlines() if line.isdigit()]
    assert set(descriptors) <= {"0", "1", "2", "10"}, text  # sh keeps one more while it reads a script
    pid, sid = next(line.split() for line in text.splitlines() if len(line.split()) == 2 and line.split()[0].isdigit())
    assert pid == sid
    names = {line.split("=")[0] for line in text.splitlines() if "=" in line}
    assert names <= {"PATH", "REEVE_TASK_ID", "REEVE_ATTEMPT", "PWD", "OLDPWD", "SHLVL", "_"}, names


@pytest.mark.parametrize("field, wish", [
    ("uid", {"uid": 0}), ("uid", {"uid": bob.uid, "gid": bob.gid}), ("gid", {"gid": 0}), ("gid", {"gid": bob.gid}),
    ("groups", {"groups": [0]}), ("groups", {"groups": [bob.gid]}), ("Nice", {"nice": -1}), ("Nice", {"nice": -20}),
    ("OOMScoreAdjust", {"oom_score_adjust": -1}), ("LimitNOFILE", {"rlimits": ["NOFILE:1000:2000000000"]}),
    ("LimitNPROC", {"rlimits": ["NPROC:infinity:infinity"]}), ("LimitRTPRIO", {"rlimits": ["RTPRIO:99:99"]}),
    ("LimitMEMLOCK", {"rlimits": ["MEMLOCK:infinity:infinity"]}),
], ids=lambda v: v if isinstance(v, str) else None)
def test_wishes_that_only_root_has(reeve, field, wish):
    if field in ("NPROC", "MEMLOCK", "RTPRIO"):
        import resource
        if resource.getrlimit(getattr(resource, "RLIMIT_" + field))[1] == resource.RLIM_INFINITY:
            pytest.skip(f"the hard limit of {field} is infinity here already")
    task = f"denied-{os.getpid()}-{field}-{abs(hash(str(wish)))}"
    assert_denied(alice, lambda: run(reeve, SLEEP, task=task, **wish), field)
    assert_denied(alice, lambda: call(reeve, "Get", {"task_id": task}), name="NoSuchTask")


def test_wishes_that_everybody_has(reeve):
    script = 'ulimit -n; ulimit -Hn; nice; cat /proc/self/oom_score_adj; umask; id -G'
    t = alice.does(reeve.run_wait, ["/bin/sh", "-c", script], rlimits=["NOFILE:99:100"], nice=7, oom_score_adjust=500,
                   umask="0077", groups=[alice.gid])
    assert reeve.output(t["task_id"]).decode().split() == ["99", "100", "7", "500", "0077", str(alice.gid)]


def test_root_runs_as_others_but_not_as_the_registry(reeve):
    import pwd
    registry = pwd.getpwnam("reeve")
    t = reeve.run_wait(["/usr/bin/id", "-u"], uid=alice.uid, gid=alice.gid)
    assert (t["owner_uid"], t["run_uid"]) == (0, alice.uid)
    assert reeve.output(t["task_id"]) == f"{alice.uid}\n".encode()
    for field, wish in (("uid", {"uid": registry.pw_uid}), ("gid", {"gid": registry.pw_gid}),
                        ("groups", {"groups": [registry.pw_gid]})):
        with pytest.raises(VarlinkError) as caught:
            reeve.run(SLEEP, **wish)
        assert (caught.value.name, caught.value.field) == ("PermissionDenied", field)


def test_specifications_of_others(reeve):
    """Who passes what somebody else wrote gets nowhere, be he root."""
    fd = spec.memfd(spec.text(f"foreign-{os.getpid()}", SLEEP))
    os.chmod(f"/proc/self/fd/{fd}", 0o644)
    parameters = {"spec": 0, "subsystem": "test", "task_type": "check"}
    assert_denied(alice, lambda: call(reeve, "Run", parameters, [fd]), "spec")
    os.close(fd)

    # Alice makes one and keeps it open; root opens it by /proc and passes it on.
    ready, go = os.pipe(), os.pipe()
    pid = os.fork()
    if pid == 0:
        os.setresgid(alice.gid, alice.gid, alice.gid)
        os.setresuid(alice.uid, alice.uid, alice.uid)
        mine = spec.memfd(spec.text(f"foreign2-{os.getpid()}", SLEEP))
        os.write(ready[1], b"%d\n" % mine)
        os.close(go[1])
        os.read(go[0], 1)
        os._exit(0)
    os.close(go[0])
    number = int(os.read(ready[0], 16))
    fd = os.open(f"/proc/{pid}/fd/{number}", os.O_RDONLY)
    try:
        with pytest.raises(VarlinkError) as caught:
            call(reeve, "Run", parameters, [fd])
        assert (caught.value.name, caught.value.field) == ("PermissionDenied", "spec")
    finally:
        os.close(fd)
        os.close(go[1])
        os.waitpid(pid, 0)


def test_taken_ids_reveal_nothing(reeve, task):
    assert_denied(bob, lambda: run(reeve, SLEEP, task=task), "task_id", name="AlreadyExists")
    again = alice.does(run, reeve, SLEEP, task=task,
                       more={"metadata": {"secret": "m"}, "title": "public", "description": "private"})
    assert again["task_id"] == task, "the same request again is the same task"
    assert_denied(alice, lambda: run(reeve, ["/bin/sleep", "1001"], task=task), "task_id", name="AlreadyExists")


# --- who sees what -------------------------------------------------------------------------------------------------

def test_own_tasks_are_seen(reeve, task):
    t = alice.does(call, reeve, "Get", {"task_id": task})["task"]
    assert t["argv"] == SLEEP and t["cwd"] == "/" and t["metadata"] == {"secret": "m"} and t["description"] == "private"


def assert_public(t, task):
    assert t["task_id"] == task and t["title"] == "public" and t["owner_uid"] == alice.uid
    assert not [f for f in PRIVATE if f in t], t


def test_only_public_fields_of_others(reeve, task):
    assert_public(bob.does(call, reeve, "Get", {"task_id": task})["task"], task)
    listed = bob.does(call, reeve, "List", {"owner_uid": alice.uid, "status": "active"})["tasks"]
    assert_public(next(t for t in listed if t["task_id"] == task), task)

    def watch():
        with reeve.connect(timeout=SOON) as c:
            for e in c.stream("Monitor", {"since": 0, "task_id": task}):
                if e["topic"] == "task.started":
                    return e["task"]
    assert_public(bob.does(watch), task)
    call(reeve, "Cancel", {"task_id": task, "reason": "a reason that is private"})
    assert_public(bob.does(reeve.wait, task), task)
    assert "snapshots" in bob.does(call, reeve, "Snapshots", {"task_id": task}), "counters are public"
    assert_denied(bob, lambda: call(reeve, "Verifications", {"task_id": task}))
    assert alice.does(call, reeve, "Verifications", {"task_id": task}) == {"verifications": []}
    assert alice.does(call, reeve, "Get", {"task_id": task})["task"]["message"].endswith("private")


def test_failures_of_others_tell_no_paths(reeve):
    """Why an exec failed quotes the command: that is its owner's."""
    path = "/no/such/secret/path"
    task = f"exec-{os.getpid()}"
    assert_denied(alice, lambda: run(reeve, [path], task=task), name="ExecFailed")
    assert path in alice.does(reeve.wait, task)["message"]
    assert path not in str(bob.does(reeve.wait, task))

    def watch():
        with reeve.connect(timeout=SOON) as c:
            for e in c.stream("Monitor", {"since": 0, "task_id": task}):
                assert path not in str(e)
                if e["topic"] == "task.failed":
                    return True
    assert bob.does(watch)


def test_output_is_private(reeve):
    t = alice.does(reeve.run_wait, ["/bin/echo", "secret"])["task_id"]
    assert alice.does(reeve.output, t) == b"secret\n"
    assert reeve.output(t) == b"secret\n"
    assert_denied(bob, lambda: reeve.output(t), "task_id")


@pytest.mark.parametrize("method, more", [("Signal", {"signal": 9}), ("Signal", {"signal": 9, "whole": True}),
                                          ("Freeze", {}), ("Thaw", {}), ("Cancel", {"reason": "x"})])
def test_nobody_manages_others(reeve, task, method, more):
    assert_denied(bob, lambda: call(reeve, method, {"task_id": task, **more}), "task_id")
    t = call(reeve, "Get", {"task_id": task})["task"]
    assert t["status"] == "active" and not t.get("frozen")


def test_own_tasks_are_managed(reeve, task):
    def manage():
        if reeve.pool():
            call(reeve, "Freeze", {"task_id": task})
            assert call(reeve, "Get", {"task_id": task})["task"]["frozen"]
            call(reeve, "Thaw", {"task_id": task})
            assert not call(reeve, "Get", {"task_id": task})["task"].get("frozen")
        call(reeve, "Signal", {"task_id": task, "signal": 10})
        return reeve.wait(task)
    t = alice.does(manage)
    assert (t["status"], t["outcome"], t["exit_signal"]) == ("failed", "signal", 10)


def test_own_tasks_are_cancelled(reeve, task):
    alice.does(call, reeve, "Cancel", {"task_id": task})
    assert alice.does(reeve.wait, task)["status"] == "cancelled"


# --- administrators ------------------------------------------------------------------------------------------------

@needs_admins
def test_admins_see_and_manage_others(reeve, task):
    assert carol.does(call, reeve, "Get", {"task_id": task})["task"]["argv"] == SLEEP
    carol.does(reeve.output, task)
    carol.does(call, reeve, "Cancel", {"task_id": task})
    assert reeve.wait(task)["status"] == "cancelled"


@needs_admins
def test_admins_are_not_root(reeve):
    assert_denied(carol, lambda: run(reeve, SLEEP, uid=0, gid=0), "uid")
    assert_denied(carol, lambda: run(reeve, SLEEP, uid=alice.uid, gid=alice.gid), "uid")


def test_backups(reeve, tmp_path):
    assert_denied(alice, lambda: call(reeve, "Backup"))
    assert_denied(alice, lambda: call(reeve, "Backup", {"path": "/tmp/x.db"}))
    done = call(reeve, "Backup")
    st = os.stat(done["path"])
    assert st.st_mode & 0o077 == 0 and st.st_size == done["bytes"], "a backup is everybody's tasks"


def test_backups_go_where_only_root_may_write(reeve, tmp_path):
    private = tmp_path / "private"
    private.mkdir(mode=0o700)
    path = private / "copy.db"
    environment = {**os.environ, "REEVE_SOCKET": reeve.path("io.reeve.Registry")}
    subprocess.run([REEVE, "backup", str(path)], env=environment, check=True, stdout=subprocess.DEVNULL)
    assert (path.stat().st_uid, path.stat().st_mode & 0o777) == (0, 0o600)
    with contextlib.closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as db:
        assert db.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        assert db.execute("SELECT count(*) FROM task_registry").fetchone()[0] > 0
    assert not [name for name in os.listdir(reeve.path("backup")) if "unnamed" in name], "reeved kept a copy"


@needs_admins
def test_backups_of_admins(reeve):
    path = reeve.path("by-carol.db")
    assert carol.does(call, reeve, "Backup", {"path": path})["path"] == path


# --- files ---------------------------------------------------------------------------------------------------------

def test_files_are_private(reeve, task):
    def look():
        found = []
        for name in ("tasks", "output", "backup", "launcher-state"):
            with contextlib.suppress(PermissionError):
                found.append((name, os.listdir(reeve.path(name))))
        for name in ("registry.db", "registry.db-wal", "registry.db-shm", f"output/{task}.1", f"tasks/{task}.1",
                     "launcher-state/key"):
            with contextlib.suppress(PermissionError), open(reeve.path(name), "rb") as f:
                found.append((name, f.read(10)))
        for name in ("launcher", "tasks/x", "output/x", "x"):
            with contextlib.suppress(PermissionError), open(reeve.path(name), "wb"):
                found.append((name, "opened for writing"))
        with contextlib.suppress(PermissionError), socket.socket(socket.AF_UNIX) as s:
            s.connect(reeve.path("launcher"))
            found.append(("launcher", "connected"))
        return found
    assert bob.does(look) == []
    assert alice.does(look) == [], "nor may the owner touch what is about him"


# --- limits --------------------------------------------------------------------------------------------------------

def test_tasks_per_uid():
    i = Instance()
    os.mkdir(i.path("reeved.conf.d"))
    with open(i.path("reeved.conf.d", "10-test.yaml"), "w", encoding="ascii") as f:
        f.write("limits:\n  tasks_per_uid: 3\n")
    with i:
        tasks = [alice.does(run, i, SLEEP)["task_id"] for _ in range(3)]
        assert_denied(alice, lambda: run(i, SLEEP, task="one-too-many"), "limits.tasks_per_uid", name="LimitExceeded")
        assert_denied(bob, lambda: call(i, "Get", {"task_id": "one-too-many"}), name="NoSuchTask")
        assert bob.does(run, i, SLEEP)["status"] == "active", "it is a limit of each"
        assert [i.run(SLEEP)["status"] for _ in range(5)] == ["active"] * 5, "and none of root"
        call(i, "Cancel", {"task_id": tasks[0]})
        i.wait(tasks[0])
        assert alice.does(run, i, SLEEP)["status"] == "active"


# --- the environment -----------------------------------------------------------------------------------------------

def bytes_of(i, *names):
    data = b""
    for name in names:
        with contextlib.suppress(FileNotFoundError), open(i.path(name), "rb") as f:
            data += f.read()
    return data


def test_the_environment_is_erased():
    secret = "very-" + os.urandom(12).hex()
    database = ("registry.db", "registry.db-wal")
    with Instance() as i:
        env = {"PATH": spec.PATH, "TOKEN": secret}
        t = i.run(["/bin/sh", "-c", 'read x < /proc/$$/environ; exec sleep 1000'], env=env)["task_id"]
        with i.connect() as c:
            assert secret not in str(c.call("Get", {"task_id": t})), "it is shown to nobody"
        assert secret.encode() in bytes_of(i, *database), "a restart would need it"
        call(i, "Cancel", {"task_id": t})
        i.wait(t)
        done = call(i, "Backup")
        with open(done["path"], "rb") as f:
            assert secret.encode() not in f.read(), "it is in a backup that was made after the end"
        i.kill(i.reeved, number=15)
        assert secret.encode() not in bytes_of(i, *database), "it is in the database after the end and a checkpoint"
        i.start_reeved()
        assert secret not in i.logs(1 << 20)


def test_a_secret_in_a_failed_run_is_erased():
    secret = "very-" + os.urandom(12).hex()
    with Instance() as i:
        with contextlib.suppress(VarlinkError):
            i.run(["/no/such/program"], env={"TOKEN": secret}, task="failed-run")
        i.wait("failed-run")
        i.kill(i.reeved, number=15)
        assert secret.encode() not in bytes_of(i, "registry.db", "registry.db-wal")
        assert secret not in i.logs(1 << 20)


# --- user reeve, by whom DIR may be written ------------------------------------------------------------------------

registry = Person("reeve", groups=[grp.getgrnam("reeve").gr_gid]) if unmet() is None else None
ROOTS = ("tasks", "output", "launcher-state", "reeve-launcher.pid")


def test_the_registry_cannot_replace_what_is_roots(reeve, task):
    """The directory is sticky: user reeve makes files beside those of root, and no file in their place."""
    def attack():
        done = []
        for name in ROOTS:
            path = reeve.path(name)
            for what, act in {
                "renamed": lambda p=path: os.rename(p, p + ".old"), "unlinked": lambda p=path: os.unlink(p),
                "removed": lambda p=path: os.rmdir(p), "mode": lambda p=path: os.chmod(p, 0o777),
                "owner": lambda p=path: os.chown(p, registry.uid, -1),
                "replaced": lambda p=path: (os.symlink("/etc", p + ".link"), os.rename(p + ".link", p)),
            }.items():
                with contextlib.suppress(PermissionError, IsADirectoryError, NotADirectoryError):
                    act()
                    done.append((name, what))
            with contextlib.suppress(FileNotFoundError):
                os.unlink(path + ".link")
        for name in (f"tasks/{task}.1", f"output/{task}.1", "tasks/new.1", "output/new.1", "reeve-launcher.pid"):
            with contextlib.suppress(PermissionError), open(reeve.path(name), "r+b" if "new" not in name else "wb"):
                done.append((name, "opened for writing"))
            with contextlib.suppress(PermissionError, FileNotFoundError):
                os.unlink(reeve.path(name))
                done.append((name, "unlinked"))
        for name in ("launcher-state", "launcher-state/key", "launcher-state/spent"):
            with contextlib.suppress(PermissionError):
                os.open(reeve.path(name), os.O_RDONLY)
                done.append((name, "read"))
        with contextlib.suppress(PermissionError):
            os.chmod(reeve.root, 0o777)
            done.append(("DIR", "mode"))
        return done
    assert registry.does(attack) == []
    assert reeve.run_wait(["/bin/true"])["status"] == "completed"


@pytest.mark.parametrize("name, make", [
    ("tasks", lambda p: os.mkdir(p)), ("output", lambda p: os.symlink("/etc", p)),
    ("launcher-state", lambda p: os.mkdir(p)), ("launcher-state", lambda p: os.symlink("/root", p)),
    ("tasks", lambda p: open(p, "wb").close()), ("reeve-launcher.pid", lambda p: os.symlink("/etc/hostname", p)),
    ("reeve-launcher.pid", lambda p: open(p, "wb").close()),
], ids=["records", "output-link", "state", "state-link", "records-file", "pid-link", "pid-file"])
def test_what_was_there_before_the_launcher_is_not_taken(name, make):
    """Whoever is first in a new DIR gains nothing: the launcher refuses to start over what is not root's."""
    i = Instance()
    try:
        before = os.stat("/etc/hostname")
        registry.does(make, i.path(name))
        i.start_launcher(ready=False)
        assert not i.launcher.wait_ready(SOON), "it started"
        assert i.launcher.end(0) != 0
        assert name in i.logs(), i.logs()
        assert os.stat("/etc/hostname") == before and os.stat("/etc").st_uid == 0
    finally:
        i.close()


def test_a_pid_file_that_is_a_link_of_another_file(tmp_path):
    """A hard link would have the launcher write into somebody else's file."""
    i = Instance(base=tmp_path)
    try:
        victim = tmp_path / "victim"
        victim.write_text("precious")
        os.link(victim, i.path("reeve-launcher.pid"))
        i.start_launcher(ready=False)
        assert not i.launcher.wait_ready(SOON)
        assert victim.read_text() == "precious"
    finally:
        i.close()


def test_a_directory_that_everybody_may_write():
    """DIR itself must be root's."""
    i = Instance()
    try:
        os.chown(i.root, alice.uid, -1)
        i.start_launcher(ready=False)
        assert not i.launcher.wait_ready(SOON)
        assert i.root in i.logs()
    finally:
        i.close()
