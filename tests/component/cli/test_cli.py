#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""test_cli.py REEVE FAKE-REEVED DEFINITION: the command line against a registry that answers as it is told.

Each test starts fake-reeved with its answers, runs the real `reeve`, and compares exit status, text, JSON, and the calls
that arrived. Terminals are real ones (pty). Nothing sleeps: what must happen first is waited for by reading."""

import base64
import fcntl
import json
import os
import pathlib
import pty
import select
import signal
import struct
import subprocess
import sys
import tempfile
import termios
import unittest

REEVE, FAKE, DEFINITION = "", "", ""

ACTIVE = {
    "task_id": "ml_train_01", "subsystem": "ml", "task_type": "train", "title": "compress a corpus", "kind": "launched",
    "owner_uid": 0, "priority": 5, "status": "active", "attempt": 1, "attempts": 1, "created_at": 1800000000000000,
    "started_at": 1800000000000000, "usage": {"cpu_usec": 1000000, "memory_current_bytes": 1048576},
    "usage_sources": {"cpu_usec": "kernel", "memory_current_bytes": "kernel"},
}
ENDED = {
    **ACTIVE, "task_id": "ml_train_00", "status": "failed", "outcome": "exit-code", "exit_status": 3,
    "completed_at": 1800000012500000, "duration_seconds": 12.5, "argv": ["/usr/bin/xz", "a\nb"], "cwd": "/tmp",
    "metadata": {"k": 1}, "usage": {"cpu_usec": 11900000, "memory_peak_bytes": 67108864, "io_write_bytes": 4096},
    "usage_sources": {"cpu_usec": "kernel-final", "memory_peak_bytes": "rusage", "io_write_bytes": "kernel-final"},
}
NO_SUCH_TASK = {"error": "io.reeve.Registry.NoSuchTask",
                "parameters": {"message": "there is no task 'x'", "field": "task_id"}}
NO_OUTPUT = {"replies": [{"data": "", "offset": 0, "dropped": 0, "end": True}]}


def output(data, offset=0, end=False, dropped=0):
    return {"data": base64.b64encode(data).decode(), "offset": offset, "dropped": dropped, "end": end}


class Case(unittest.TestCase):
    def setUp(self):
        self.directory = tempfile.TemporaryDirectory(prefix="reeve-cli-")
        self.path = pathlib.Path(self.directory.name)
        self.socket = self.path / "socket"
        self.log = self.path / "log"
        self.server = None
        self.environment = {**os.environ, "REEVE_SOCKET": str(self.socket), "TZ": "UTC", "LC_ALL": "C.UTF-8",
                            "PAGER": "", "TERM": "xterm", "SECRET": "s3cret"}
        self.environment.pop("NO_COLOR", None)

    def tearDown(self):
        if self.server:
            self.server.terminate()
            self.assertEqual(self.server.wait(), 0, "the fake registry ended badly")
            self.server.stdout.close()
        self.directory.cleanup()

    def serve(self, **answers):
        file = self.path / "answers"
        file.write_text(json.dumps(answers))
        self.server = subprocess.Popen([FAKE, self.socket, DEFINITION, file, self.log], stdout=subprocess.PIPE)
        self.assertEqual(self.server.stdout.readline(), b"READY\n")

    def reeve(self, *args, status=0, stdin=b"", cwd=None):
        """Standard output and error, as text, of a run that must end with the status."""
        done = subprocess.run([REEVE, *args], input=stdin, capture_output=True, env=self.environment, cwd=cwd, timeout=60)
        out, err = done.stdout.decode(), done.stderr.decode()
        self.assertEqual(done.returncode, status, f"reeve {args}: {out}{err}")
        return out, err

    def calls(self, method):
        """Parameters of the calls of a method that arrived."""
        lines = [json.loads(line) for line in self.log.read_text().splitlines()]
        return [line["parameters"] for line in lines if line["method"] == method]

    def spec(self, method="Run"):
        lines = [json.loads(line) for line in self.log.read_text().splitlines()]
        return [line["spec"] for line in lines if line["method"] == method][-1]


class Look(Case):
    def test_list(self):
        self.serve(List=[{"replies": [{"tasks": [ACTIVE, ENDED]}]}])
        out, _ = self.reeve("list")
        lines = out.splitlines()
        self.assertEqual(lines[0].split(), ["ID", "SUBSYSTEM", "TYPE", "STATUS", "TIME", "MARGIN", "CPU", "MEMORY", "TITLE"])
        self.assertEqual(lines[2].split(None, 8),
                         ["ml_train_00", "ml", "train", "failed", "12.5s", "-", "11.9s", "64.0M", "compress a corpus"])
        self.assertEqual(lines[-2:], ["", "2 tasks."])
        self.assertEqual(self.reeve("list", "--no-legend")[0], "\n".join(lines[:-2]) + "\n")
        self.assertEqual(self.calls("List")[0], {"limit": 30})
        self.assertNotIn("\033", out)

    def test_list_json(self):
        self.serve(List=[{"replies": [{"tasks": [ACTIVE]}]}])
        out, _ = self.reeve("list", "--json=short")
        self.assertEqual(json.loads(out), [ACTIVE])
        self.assertEqual(out.count("\n"), 1)
        pretty, _ = self.reeve("list", "--json=pretty")
        self.assertEqual(json.loads(pretty), [ACTIVE])
        self.assertGreater(pretty.count("\n"), 10)
        self.assertEqual(self.reeve("list", "-j")[0], out)

    def test_list_filters(self):
        self.serve(List=[{"replies": [{"tasks": []}]}])
        out, _ = self.reeve("list", "--status=active,failed", "-S", "ml", "--type=train", "--uid=root", "--limit=5",
                            "--created-by=me", "--since=2026-11-23", "--no-legend")
        self.assertEqual(out, "")
        self.assertEqual(self.calls("List"), [{
            "status": "active,failed", "subsystem": "ml", "task_type": "train", "created_by": "me", "owner_uid": 0,
            "since": 1795392000000000, "limit": 5}])

    def test_list_pages(self):
        self.serve(List=[{"when": {"cursor": "c"}, "replies": [{"tasks": [ENDED]}]},
                         {"replies": [{"tasks": [ACTIVE], "cursor": "c"}]}])
        out, _ = self.reeve("list", "--all", "--json=short")
        self.assertEqual([t["task_id"] for t in json.loads(out)], ["ml_train_01", "ml_train_00"])
        out, _ = self.reeve("list", "--limit=1")
        self.assertIn("there are older ones", out)

    def test_show(self):
        self.serve(Get=[{"when": {"task_id": "ml_train_00"}, "replies": [{"task": ENDED}]}, NO_SUCH_TASK])
        out, _ = self.reeve("show", "ml_train_00", "--sources")
        self.assertIn("ml_train_00 failed (exit status 3)\n", out)
        self.assertIn("       Command: /usr/bin/xz 'a?b'\n", out)
        self.assertIn("         Ended: 2027-01-15 08:00:12\n", out)
        self.assertIn("      Duration: 12.5s\n", out)
        self.assertRegex(out, r"cpu_usec +11\.9s +CPU time, kernel-final\n")
        self.assertRegex(out, r"memory_peak_bytes +64\.0M +most memory at any moment, rusage\n")
        self.assertNotIn("io_read_bytes", out)
        out, _ = self.reeve("show", "--json=short", "ml_train_00")
        self.assertEqual(json.loads(out), ENDED)

    def test_show_goes_on_after_an_error(self):
        self.serve(Get=[{"when": {"task_id": "ml_train_00"}, "replies": [{"task": ENDED}]}, NO_SUCH_TASK])
        out, err = self.reeve("show", "x", "ml_train_00", status=66)
        self.assertEqual(err, "reeve: there is no task 'x'\n")
        self.assertIn("ml_train_00", out)

    def test_show_snapshots(self):
        snapshot = {"attempt": 1, "taken_at": 1, "elapsed_usec": 2000000, "usage": {"cpu_usec": 1500000},
                    "usage_sources": {"cpu_usec": "kernel"}}
        self.serve(Get=[{"replies": [{"task": ENDED}]}], Snapshots=[{"replies": [{"snapshots": [snapshot]}]}])
        out, _ = self.reeve("show", "--snapshots", "ml_train_00")
        self.assertRegex(out, r"\n  1 +2\.0s +1\.5s +- +- +- +- +-\n")
        out, _ = self.reeve("show", "--snapshots", "-j", "ml_train_00")
        self.assertEqual(json.loads(out)["snapshots"], [snapshot])

    def test_wait(self):
        done = {**ENDED, "status": "completed", "exit_status": 0}
        done.pop("outcome")
        killed = {**ENDED, "outcome": "signal", "exit_signal": 15}
        killed.pop("exit_status")
        self.serve(Wait=[{"when": {"task_id": "a"}, "replies": [{"task": done}]},
                         {"when": {"task_id": "b"}, "replies": [{"task": ENDED}]},
                         {"when": {"task_id": "c"}, "replies": [{"task": killed}]}, NO_SUCH_TASK])
        out, err = self.reeve("wait", "a")
        self.assertEqual(out, "")
        self.assertEqual(err, "reeve: ml_train_00: completed after 12.5s, cpu 11.9s, memory peak 64.0M (rusage), "
                              "written 4.0K\n")
        self.reeve("wait", "a", "b", "c", status=3)
        self.reeve("wait", "c", status=143)
        self.assertEqual(self.reeve("wait", "-q", "b", status=3), ("", ""))
        self.assertEqual(json.loads(self.reeve("wait", "-j", "b", status=3)[0]), ENDED)
        self.reeve("wait", "x", status=66)

    def test_logs(self):
        self.serve(Output=[{"when": {"follow": True, "offset": 9}, "replies": [output(b"four\n", 9), output(b"", 14, True)]},
                           {"when": {"offset": 0}, "replies": [output(b"one\ntwo\n")]},
                           {"when": {"offset": 8}, "replies": [output(b"\xff", 8)]},
                           {"when": {"offset": 9}, "replies": [output(b"", 9, True)]}])
        done = subprocess.run([REEVE, "logs", "a"], capture_output=True, env=self.environment)
        self.assertEqual(done.stdout, b"one\ntwo\n\xff")
        done = subprocess.run([REEVE, "logs", "-n2", "a"], capture_output=True, env=self.environment)
        self.assertEqual(done.stdout, b"two\n\xff")
        done = subprocess.run([REEVE, "logs", "-f", "-n", "0", "a"], capture_output=True, env=self.environment)
        self.assertEqual(done.stdout, b"four\n")

    def test_logs_says_what_is_missing(self):
        self.serve(Output=[{"when": {"offset": 0, "attempt": 2}, "replies": [output(b"end\n", 100, dropped=100)]},
                           {"when": {"offset": 104}, "replies": [output(b"", 104, True)]}])
        out, err = self.reeve("logs", "--attempt=2", "a")
        self.assertEqual((out, err), ("end\n", "reeve: 100 bytes of output were given up here\n"))

    def test_events(self):
        events = [{"number": n, "topic": t, "timestamp": 1800000000000000, "task": ACTIVE}
                  for n, t in ((7, "task.created"), (8, "task.started"))]
        stats = {"version": "0", "uptime_usec": 1, "counts": {}, "subsystems": {}, "commits": 0, "rows_written": 0,
                 "database_bytes": 0, "wal_bytes": 0, "connections": 1, "last_event": 8}
        self.serve(Stats=[{"replies": [stats]}],
                   Monitor=[{"when": {"since": 6}, "replies": events, "hang": True},
                            {"when": {"since": 0}, "replies": events, "hang": True},
                            {"replies": events[1:]}])
        out, _ = self.reeve("events", "--since=6")
        self.assertEqual(out, "2027-01-15 08:00:00        7 task.created     ml_train_01 compress a corpus\n"
                              "2027-01-15 08:00:00        8 task.started     ml_train_01 compress a corpus\n")
        out, _ = self.reeve("events", "--json=short")
        self.assertEqual([json.loads(line) for line in out.splitlines()], events)
        self.assertEqual(self.reeve("events", "--since=8"), ("", ""))
        self.assertEqual(self.reeve("events", "--subsystem=other"), ("", ""))
        out, _ = self.reeve("events", "-f")
        self.assertEqual(out.count("\n"), 1)
        self.assertEqual(self.calls("Monitor")[-1], {})

    def test_top(self):
        other = {**ACTIVE, "task_id": "ml_train_02"}
        later = {**ACTIVE, "usage": {"cpu_usec": 1500000}}
        usage = [{"topic": "task.usage", "timestamp": t, "task": task}
                 for t, task in ((1000000, ACTIVE), (1000000, other), (2000000, later), (2000000, other))]
        self.serve(List=[{"when": {"status": "active"}, "replies": [{"tasks": [ACTIVE, other]}]}],
                   Monitor=[{"when": {"usage": True}, "replies": usage, "hang": True}])
        lines = self.reeve("top", "--once")[0].splitlines()
        self.assertEqual(lines[0], "2 tasks")
        self.assertEqual(lines[3].split()[0], "ml_train_01")
        self.assertEqual(lines[3].split()[5], "50.0%")
        self.assertEqual(lines[4].split()[5], "0.0%")
        tasks = json.loads(self.reeve("top", "--json=short")[0])
        self.assertEqual([t["cpu_percent"] for t in tasks], [50.0, 0.0])

    def test_stats(self):
        stats = {"version": "0.1.0", "uptime_usec": 3600000000, "counts": {"active": 2, "failed": 1},
                 "subsystems": {"ml": {"active": 2}}, "commits": 5, "rows_written": 9, "database_bytes": 2048,
                 "wal_bytes": 0, "connections": 3, "last_event": 8}
        self.serve(Stats=[{"replies": [stats]}])
        out, _ = self.reeve("stats")
        self.assertIn("Version: 0.1.0\n", out)
        self.assertIn("Up for: 1h 0min\n", out)
        self.assertIn("Database: 2.0K (and 0B of log)\n", out)
        self.assertRegex(out, r"\nml +0 +2 +0 ")
        self.assertEqual(json.loads(self.reeve("stats", "-j")[0]), stats)

    def test_doctor(self):
        good = {"name": "launcher", "ok": True, "value": "connected"}
        psi = {"name": "psi", "ok": False, "value": "absent", "hint": "CONFIG_PSI"}
        self.serve(Doctor=[{"replies": [{"checks": [good, psi]}]}])
        out, _ = self.reeve("doctor")
        self.assertRegex(out, r"ok +registry +.*/socket\nok +launcher +connected\nmissing psi +absent\n +CONFIG_PSI\n")
        self.assertEqual(json.loads(self.reeve("doctor", "-j")[0])[1:], [good, psi])

    def test_doctor_fails_when_reeve_does(self):
        self.serve(Doctor=[{"replies": [{"checks": [{"name": "launcher", "ok": False, "value": "away"}]}]}])
        self.reeve("doctor", status=1)

    def test_backup(self):
        self.serve(Backup=[{"when": {"pass": True}, "replies": [{"bytes": 4096}]},
                           {"replies": [{"path": "/y", "bytes": 1}]}])
        self.assertEqual(self.reeve("backup")[0], "/y (1B)\n")
        _, err = self.reeve("backup", "copy.db", cwd=self.path, status=70)
        self.assertIn("passed no copy", err)
        self.assertFalse((self.path / "copy.db").exists(), "half a backup stays")

    def test_backup_overwrites_nothing(self):
        self.serve(Backup=[{"replies": []}])
        there = self.path / "there.db"
        there.write_text("precious")
        self.reeve("backup", str(there), status=73)
        self.assertEqual(there.read_text(), "precious")
        self.reeve("backup", "/no/such/folder/x.db", status=73)


class Act(Case):
    def test_calls(self):
        yes = [{"replies": []}]
        self.serve(Signal=yes, Cancel=yes, Freeze=yes, Thaw=yes)
        for args in (("signal", "a", "TERM"), ("signal", "-w", "a", "9"), ("cancel", "--reason=why", "a", "b"),
                     ("freeze", "a"), ("thaw", "a")):
            self.assertEqual(self.reeve(*args), ("", ""))
        self.assertEqual(self.calls("Signal"), [{"task_id": "a", "signal": 15, "whole": False},
                                                {"task_id": "a", "signal": 9, "whole": True}])
        self.assertEqual(self.calls("Cancel"), [{"task_id": i, "reason": "why"} for i in "ab"])
        self.assertEqual(self.calls("Freeze"), [{"task_id": "a"}])
        self.assertEqual(self.calls("Thaw"), [{"task_id": "a"}])

    def test_errors_have_the_status_of_the_table(self):
        names = {"NoSuchTask": 66, "AlreadyFinished": 65, "InvalidArgument": 64, "PermissionDenied": 77,
                 "LimitExceeded": 76, "PolicyViolation": 78, "Unavailable": 75, "Internal": 70}
        self.serve(Freeze=[{"when": {"task_id": n}, "error": f"io.reeve.Registry.{n}", "parameters": {"message": "m"}}
                           for n in names])
        for name, status in names.items():
            self.assertEqual(self.reeve("freeze", name, status=status)[1], "reeve: m\n")

    def test_bad_usage(self):
        for args, text in ((("freeze",), "freeze: an argument is missing, usage: reeve freeze ID..."),
                           (("stats", "x"), "stats: too many arguments, usage: reeve stats "),
                           (("signal", "a", "TREM"), "signal: 'TREM' is no signal"),
                           (("lits",), "lits: there is no such verb, did you mean list?"),
                           (("list", "--stauts=x"), "--stauts: there is no such option, did you mean --status?"),
                           (("list", "--json=xml"), "--json: 'xml' is not short, pretty or off"),
                           (("run",), "run: an argument is missing")):
            out, err = self.reeve(*args, status=64)
            self.assertEqual(out, "")
            self.assertTrue(err.startswith(f"reeve: {text}"), err)

    def test_without_a_registry(self):
        _, err = self.reeve("list", status=75)
        self.assertEqual(err, f"reeve: cannot connect to {self.socket}: No such file or directory "
                              "(is reeved running? see reeve doctor)\n")
        out, _ = self.reeve("doctor", status=1)
        self.assertIn("cannot connect to", out)
        self.assertIn("REEVE_SOCKET", out)

    def test_output_that_cannot_be_written(self):
        self.serve(List=[{"replies": [{"tasks": [ACTIVE]}]}], Output=[{"replies": [output(b"x")]}])
        for args in (("list",), ("list", "-j"), ("logs", "a"), ("--help",), ("help",)):
            with open("/dev/full", "wb") as full:
                done = subprocess.run([REEVE, *args], stdout=full, stderr=subprocess.PIPE, env=self.environment)
            self.assertEqual(done.returncode, 74, args)
            self.assertTrue(done.stderr.startswith(b"reeve: cannot write to standard output"), done.stderr)

    def test_help_and_version(self):
        self.assertIn("Verbs:", self.reeve("--help")[0])
        self.assertIn("--no-block", self.reeve("help", "run")[0])
        self.assertEqual(self.reeve("run", "--help")[0], self.reeve("help", "run")[0])
        self.assertRegex(self.reeve("--version")[0], r"^reeve \d+\.\d+\.\d+\n$")


class Run(Case):
    def test_status_output_and_summary(self):
        self.serve(Output=[{"replies": [output(b"hello\n"), output(b"", 6, True)]}])
        out, err = self.reeve("run", "--id=t1", "--", "sh", "-c", "exit 3", status=3)
        self.assertEqual(out, "hello\n")
        self.assertEqual(err, "reeve: t1: failed (exit status 3) after 1.5s, cpu 1.2s, memory peak 2.0M (rusage)\n")
        self.assertEqual(self.reeve("run", "-q", "sh", "-c", "kill -TERM $$", status=143), ("hello\n", ""))
        self.assertEqual(self.calls("Output")[0], {"task_id": "t1", "attempt": 1, "offset": 0, "follow": True})

    def test_what_is_asked_for(self):
        self.serve(Output=[NO_OUTPUT])
        self.reeve("run", "-q", "-S", "ml", "-T", "train", "--title=T", "--description=D", "--created-by=C",
                   "--priority=7", "--backend=process", '--metadata={"a": [1]}', "-p", "MemoryMax=64M",
                   "--property=CPUQuota=50%", "-p", "LimitNOFILE=64:128", "--nice=3", "-E", "A=1", "-E", "SECRET",
                   "-E", "NOT_SET_ANYWHERE", "-d", "/usr", "env", "x=1", "true")
        self.assertEqual(self.calls("Run"), [{
            "spec": 0, "subsystem": "ml", "task_type": "train", "title": "T", "description": "D",
            "created_by": "C", "priority": 7, "backend": "process", "metadata": {"a": [1]}}])
        spec = self.spec()
        self.assertRegex(spec["task"], r"^ml_train_[0-9a-z]{12}$")
        self.assertEqual(spec["argv"], ["/usr/bin/env", "x=1", "true"])
        self.assertEqual(spec["limits"], {"MemoryMax": "67108864", "CPUQuota": "5000"})
        self.assertEqual(spec["rlimits"], {"NOFILE": [64, 128]})
        self.assertEqual((spec["nice"], spec["umask"], spec["cwd"], spec["attempts"]), (3, 0o22, "/usr", 10))
        self.assertEqual((spec["author"], spec["uid"], spec["gid"]), (os.geteuid(), os.geteuid(), os.getegid()))
        self.assertEqual(spec["stdio"], [0, 1, 1])
        names = {e.split("=")[0] for e in spec["env"]}
        self.assertIn("SECRET=s3cret", spec["env"])
        self.assertIn("A=1", spec["env"])
        self.assertTrue(names <= {"PATH", "HOME", "USER", "LOGNAME", "SHELL", "LANG", "A", "SECRET"}, names)

    def test_what_chooses_a_scope(self):
        self.serve(Output=[NO_OUTPUT])
        for options in (["--scope"], ["--backend=scope"], ["-pIPAddressDeny=any"], ["-p", "IPAccounting=yes", "--scope"]):
            self.reeve("run", "-q", *options, "true")
            self.assertEqual(self.calls("Run")[-1].get("backend"), "scope", options)
        self.reeve("run", "-q", "-pMemoryMax=1G", "true")
        self.assertNotIn("backend", self.calls("Run")[-1])
        if os.geteuid() == 0:
            for slice_name in ("batch", "batch.slice", "a-b.slice"):
                self.reeve("run", "-q", f"--slice={slice_name}", "true")
                self.assertEqual(self.spec()["slice"], slice_name.removesuffix(".slice") + ".slice")
                self.assertEqual(self.calls("Run")[-1].get("backend"), "scope")
        n = len(self.calls("Run"))
        for options, named in ((["-pIPAddressDeny=any", "--backend=cgroup"], "IPAddressDeny"),
                               (["--scope", "--backend=process"], "--scope"), (["--slice=no/thing"], "slice"),
                               (["-pFailureAction=reboot"], "FailureAction")):
            status = 77 if named == "slice" and os.geteuid() != 0 else 64
            self.assertIn(named, self.reeve("run", *options, "true", status=status)[1])
        self.assertEqual(len(self.calls("Run")), n)

    def test_defaults(self):
        self.serve(Output=[NO_OUTPUT])
        self.reeve("run", "-q", "/bin/true", cwd=self.path)
        self.assertEqual(self.calls("Run"), [{"spec": 0, "subsystem": "user", "task_type": "true",
                                              "title": "true"}])
        self.assertEqual(self.spec()["cwd"], str(self.path))

    def test_no_block(self):
        self.serve()
        self.assertEqual(self.reeve("run", "--no-block", "--id=t2", "true"), ("t2\n", ""))
        task = json.loads(self.reeve("run", "--no-block", "-j", "--id=t3", "true")[0])
        self.assertEqual((task["task_id"], task["status"]), ("t3", "active"))

    def test_json(self):
        self.serve()
        out, err = self.reeve("run", "--json=short", "sh", "-c", "exit 4", status=4)
        self.assertEqual(json.loads(out)["exit_status"], 4)
        self.assertEqual(err, "")
        self.assertEqual(self.calls("Output"), [])

    def test_pipe(self):
        self.serve()
        self.assertEqual(self.reeve("run", "-qP", "tr", "a-z", "A-Z", stdin=b"some input"), ("SOME INPUT", ""))
        self.assertEqual(self.calls("Run")[0]["stdio"], [1, 2, 3])

    def test_refusals_before_anything_starts(self):
        self.serve()
        for args, status, text in (
                (("no-such-command-here",), 72, "no-such-command-here: command not found in PATH"),
                (("/etc/passwd",), 72, "/etc/passwd: Permission denied"),
                (("-p", "MemryMax=1", "true"), 64, "MemryMax: there is no such property, did you mean MemoryMax?"),
                (("-p", "MemoryMax=much", "true"), 64, "MemoryMax: 'much' is not a number of bytes"),
                (("--metadata=[1]", "true"), 64, "--metadata: this is JSON, but no object"),
                (("--metadata={", "true"), 64, "--metadata: "),
                (("--priority=11", "true"), 64, "--priority: '11' is not a number from 1 to 10"),
                (("--id=../x", "true"), 64, "task_id: '../x' is not 1 to 128 letters"),
                (("-S", "a b", "true"), 64, "subsystem: 'a b' is not"),
                (("--uid=nobody-of-that-name", "true"), 64, "uid: there is no user 'nobody-of-that-name'"),
                (("-E", "=x", "true"), 64, "environment: '' is not the name of a variable"),
                (("--title", b"\xff", "true"), 64, "title: the text is not valid UTF-8"),
                (("-P", "-t", "true"), 64, "--pipe and --pty exclude each other"),
                (("--journal", "-P", "true"), 64, "--journal and --pipe exclude each other"),
                (("--journal", "-t", "true"), 64, "--journal and --pty exclude each other")):
            out, err = self.reeve("run", *args, status=status)
            self.assertEqual(out, "")
            self.assertTrue(err.startswith(f"reeve: {text}"), err)
        self.assertEqual(self.calls("Run"), [])

    def test_exec_failed(self):
        self.serve(Run=[{"error": "io.reeve.Registry.ExecFailed",
                         "parameters": {"message": "No such file or directory", "field": "/gone", "errno": 2}}])
        self.assertEqual(self.reeve("run", "true", status=72)[1], "reeve: /gone: No such file or directory\n")

    def test_interrupt_cancels(self):
        self.serve(Output=[{"replies": [output(b"ready\n")], "hang": True}])
        child = subprocess.Popen([REEVE, "run", "--id=t4", "sleep", "1000"], env=self.environment,
                                 stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        self.assertEqual(child.stdout.readline(), b"ready\n")
        child.send_signal(signal.SIGINT)
        self.assertEqual(child.stderr.readline(), b"reeve: cancelling t4, once more to stop waiting\n")
        # The output never ends here, so the second one ends the wait.
        while not self.calls("Cancel"):
            select.select([], [], [], 0)
        child.send_signal(signal.SIGINT)
        child.communicate()
        self.assertEqual(child.returncode, 130)
        self.assertEqual(self.calls("Cancel")[0]["task_id"], "t4")


class Attach(Case):
    """What is found out about a process, and asked for in its name."""

    def process(self):
        child = subprocess.Popen(["sh", "-c", "echo up; read line", "a name"], stdin=subprocess.PIPE,
                                 stdout=subprocess.PIPE, cwd="/usr")
        self.addCleanup(child.wait)
        self.addCleanup(child.stdin.close)
        self.addCleanup(child.stdout.close)
        self.assertEqual(child.stdout.readline(), b"up\n")
        return child.pid

    def test_what_is_asked_for(self):
        self.serve()
        pid = self.process()
        out, err = self.reeve("attach", "-c", "-S", "ml", "-T", "train", "--title=T", "--description=D", "--created-by=C",
                              "--priority=7", '--metadata={"a": [1]}', "--sla=1h", "-p", "MemoryMax=64M",
                              "-p", "TimeoutStopSec=3", str(pid))
        self.assertRegex(out, r"^ml_train_[0-9a-z]{12}\n$")
        self.assertEqual(err, "")
        self.assertEqual(self.calls("Attach"), [{
            "spec": 0, "subsystem": "ml", "task_type": "train", "title": "T", "description": "D", "created_by": "C",
            "priority": 7, "metadata": {"a": [1]}, "sla": "1h"}])
        spec = self.spec("Attach")
        with open(f"/proc/{pid}/stat", encoding="ascii") as f:
            start = int(f.read().rpartition(")")[2].split()[19])
        self.assertEqual(spec["attach"], {"pid": pid, "start": start, "children": True})
        self.assertEqual((spec["argv"], spec["cwd"]), (["sh", "-c", "echo up; read line", "a name"], "/usr"))
        self.assertEqual((spec["author"], spec["uid"], spec["gid"]), (os.geteuid(), os.geteuid(), os.getegid()))
        self.assertEqual((spec["limits"], spec["env"], spec["stdio"]), ({"MemoryMax": "67108864"}, [], [0, 0, 0]))

    def test_defaults(self):
        self.serve()
        one, two = self.process(), self.process()
        out, _ = self.reeve("attach", str(one), str(two))
        self.assertEqual(len(out.splitlines()), 2)
        self.assertEqual(self.calls("Attach"), 2 * [{"spec": 0, "subsystem": "user", "task_type": "sh", "title": "sh"}])
        self.assertFalse(self.spec("Attach")["attach"]["children"])
        task = json.loads(self.reeve("attach", "-j", "--id=t1", str(one))[0])
        self.assertEqual(task["task_id"], "t1")

    def test_refusals(self):
        refusal = {"error": "io.reeve.Registry.PermissionDenied", "parameters": {"message": "not yours", "field": "pid"}}
        self.serve(Attach=[refusal])
        pid = str(self.process())
        self.assertEqual(self.reeve("attach", pid, status=77), ("", "reeve: pid: not yours\n"))
        for args, status, text in (
                (("1",), 64, "'1' is not the id of a process"), (("x",), 64, "'x' is not"), ((), 64, "argument is missing"),
                (("--id=x", pid, pid), 64, "--id is for one process"), (("4194305",), 65, "there is no process 4194305"),
                (("--metadata=[]", pid), 64, "no object"), (("--priority=11", pid), 64, "from 1 to 10"),
                (("-p", "LimitNOFILE=5", pid), 64, "how a command is started"), (("-p", "Nice=5", pid), 64, "Nice"),
                (("-p", "IPAddressDeny=any", pid), 64, "IPAddressDeny"), (("-p", "Environment=A=1", pid), 64, "started")):
            self.assertIn(text, self.reeve("attach", *args, status=status)[1], args)
        self.assertEqual(len(self.calls("Attach")), 1)


class Report(Case):
    """What a script says of its own work."""

    TASK = {"task_id": "t1", "subsystem": "ml", "task_type": "train", "title": "", "kind": "reported", "owner_uid": 0,
            "priority": 5, "status": "active", "attempt": 0, "attempts": 1, "created_at": 1, "usage": {}, "usage_sources": {}}

    def test_start(self):
        self.serve(Start=[{"replies": [{"task": self.TASK}]}])
        made, _ = self.reeve("start")
        self.assertRegex(made, r"\Auser_task_[0-9a-z]{12}\n\Z")
        self.assertEqual(self.reeve(
            "start", "-S", "ml", "-T", "train", "--title=T", "--description=D", "--created-by=C", "--id=t1", "--priority=7",
            '--metadata={"a": [1]}', "--sla=1h", "--heartbeat=5min", "--pending"), ("t1\n", ""))
        self.assertEqual(self.calls("Start"), [{"task_id": made.strip(), "subsystem": "user", "task_type": "task"}, {
            "task_id": "t1", "subsystem": "ml", "task_type": "train", "title": "T", "description": "D", "created_by": "C",
            "priority": 7, "metadata": {"a": [1]}, "sla": "1h", "heartbeat_usec": 300000000, "pending": True}])
        self.assertEqual(json.loads(self.reeve("start", "--json=short")[0]), self.TASK)

    def test_update(self):
        self.serve(Update=[{"replies": [{}]}])
        self.assertEqual(self.reeve(
            "update", "--progress=50%", "-m", "half", "--metric=loss=0.25", "--metric=epochs_completed=3", "--step=3",
            "--used=cpu_seconds=1e1", '--metadata={"a": 1}', "t1"), ("", ""))
        self.reeve("update", "--progress=.25", "t1")
        self.assertEqual(self.calls("Update"), [
            {"task_id": "t1", "progress": 0.5, "message": "half", "ml_metrics": {"loss": 0.25, "epochs_completed": 3},
             "step": 3, "resource_usage": {"cpu_seconds": 10}, "metadata": {"a": 1}},
            {"task_id": "t1", "progress": 0.25}])

    def test_complete(self):
        done = {"when": {"verification_passed": True}, "replies": [{"task": {**self.TASK, "status": "completed"}}]}
        failed = {"replies": [{"task": {**self.TASK, "status": "failed", "message": "not verified"}}]}
        self.serve(Complete=[done, failed])
        self.assertEqual(self.reeve("complete", "--verified", "-m", "x", '--result={"b": 2}', "t1"), ("", ""))
        self.assertEqual(self.reeve("complete", "--not-verified", "t1", status=1), ("", "reeve: t1: failed: not verified\n"))
        self.assertEqual(self.calls("Complete"), [
            {"task_id": "t1", "verification_passed": True, "message": "x", "result_metadata": {"b": 2}},
            {"task_id": "t1", "verification_passed": False}])

    def test_fail(self):
        late = {"error": "io.reeve.Registry.AlreadyFinished", "parameters": {"message": "too late", "field": "task_id"}}
        self.serve(Fail=[{"when": {"message": "it broke"}, "replies": [{"task": {**self.TASK, "status": "failed"}}]}, late])
        self.assertEqual(self.reeve("fail", "-m", "it broke", "--used=cpu_seconds=1", "t1"), ("", ""))
        self.assertIn("too late", self.reeve("fail", "t1", status=65)[1])
        self.assertEqual(self.calls("Fail"), [
            {"task_id": "t1", "message": "it broke", "resource_usage": {"cpu_seconds": 1}}, {"task_id": "t1", "message": ""}])

    def test_refusals(self):
        self.serve()
        for args, text in (
                (("update",), "argument is missing"), (("start", "x"), "too many"), (("update", "--progress=much", "t"), "percentage"),
                (("update", "--progress=nan", "t"), "percentage"), (("update", "--metric=a", "t"), "NAME=NUMBER"),
                (("update", "--metric==1", "t"), "NAME=NUMBER"), (("fail", "--used=a=b", "t"), "NAME=NUMBER"),
                (("update", "--used=a=1x", "t"), "NAME=NUMBER"), (("complete", "--result=[]", "t"), "--result: "),
                (("complete", "--verified", "--not-verified", "t"), "contrary"), (("start", "--heartbeat=0"), "no time span"),
                (("start", "--heartbeat=never"), "no time span"), (("start", "--priority=0"), "from 1 to 10")):
            self.assertIn(text, self.reeve(*args, status=64)[1], args)


class Publish(Case):
    """Events of others."""

    ANSWER = {"task_id": "t1", "status": "active", "event": 7}
    LATE = {"error": "io.reeve.Registry.AlreadyFinished", "parameters": {"message": "too late", "field": "task_id"}}

    @staticmethod
    def lines(*events):
        return "".join(json.dumps({"topic": t, "payload": p}) + "\n" for t, p in events).encode()

    def test_one(self):
        self.serve(Publish=[{"when": {"topic": "task.failed"}, **self.LATE}, {"replies": [self.ANSWER]}])
        self.assertEqual(self.reeve("publish", "task.started", '{"task_id": "t1"}'), ("t1 active\n", ""))
        self.assertEqual(self.reeve("publish", "-q", "task.started", '{"task_id": "t1"}'), ("", ""))
        self.assertEqual(json.loads(self.reeve("publish", "--json=short", "task.started", "{}")[0]), self.ANSWER)
        self.assertEqual(self.reeve("publish", "task.failed", "{}", status=65), ("", "reeve: too late\n"))
        self.assertEqual(self.calls("Publish")[0], {"topic": "task.started", "payload": {"task_id": "t1"}})

    def test_lines(self):
        self.serve(Publish=[{"when": {"topic": "task.failed"}, **self.LATE}, {"replies": [self.ANSWER]}])
        given = self.lines(("task.created", {"task_id": "t1"}), ("task.failed", {"task_id": "t1"})) + b"\n  \nnonsense\n" \
            + self.lines(("task.completed", {"task_id": "t1", "title": "\u00e4\n"}))[:-1]
        out, err = self.reeve("publish", stdin=given, status=65)
        self.assertEqual(out, "t1 active\n" * 2)
        self.assertEqual([line.split(": ")[1] for line in err.splitlines()], ["line 5", "line 2"], err)
        self.assertEqual([c["topic"] for c in self.calls("Publish")], ["task.created", "task.failed", "task.completed"])
        self.assertEqual(self.calls("Publish")[2]["payload"]["title"], "\u00e4\n")
        out, _ = self.reeve("publish", "-q", "--json=short", stdin=given, status=65)
        self.assertEqual([json.loads(line)["line"] for line in out.splitlines()], [5, 2])
        out, _ = self.reeve("publish", "--json=short", stdin=given, status=65)
        answers = {a["line"]: a for a in map(json.loads, out.splitlines())}
        self.assertEqual(sorted(answers), [1, 2, 5, 6])
        self.assertEqual(answers[6], {**self.ANSWER, "line": 6})
        self.assertEqual(answers[2]["error"], {"name": "AlreadyFinished", "message": "too late", "field": "task_id"})
        self.assertEqual(self.reeve("publish", stdin=b""), ("", ""))

    def test_an_id_is_made_once(self):
        self.serve(Publish=[{"replies": [self.ANSWER]}])
        self.reeve("publish", "task.created", '{"subsystem": "ml", "task_type": "train"}')
        self.reeve("publish", "task.created", '{"subsystem": "m/l", "task_type": "train"}')
        made, left = self.calls("Publish")
        self.assertRegex(made["payload"]["task_id"], "^ml_train_[0-9a-z]{12}$")
        self.assertNotIn("task_id", left["payload"])

    def test_many(self):
        self.serve(Publish=[{"replies": [self.ANSWER]}])
        out, _ = self.reeve("publish", stdin=self.lines(*(("task.updated", {"task_id": f"t{n}"}) for n in range(5000))))
        self.assertEqual(out, "t1 active\n" * 5000)
        self.assertEqual([c["payload"]["task_id"] for c in self.calls("Publish")], [f"t{n}" for n in range(5000)])

    def test_lines_that_are_no_events(self):
        self.serve(Publish=[{"replies": [self.ANSWER]}])
        for line, text in ((b"{", "line 1"), (b"[]", "object"), (b"{}", "topic"), (b'{"topic": "x"}', "payload"),
                           (b'{"topic": 1, "payload": {}}', "topic"), (b'{"topic": "x", "payload": []}', "payload"),
                           (b'{"topic": "x", "payload": {}, "more": 1}', "more"), (b'{"topic": "x", "payload": {"a": "\xff"}}', "line 1"),
                           (b'{"topic": "x", "payload": ' + b'{"a": ' * 100 + b"1" + b"}" * 101, "line 1"), (b"\0", "line 1"),
                           (b'{"topic": "x", "topic": "y", "payload": {}}', "line 1")):
            err = self.reeve("publish", stdin=line + b"\n" + self.lines(("task.updated", {"task_id": "t"})), status=64)[1]
            self.assertIn("reeve: line 1: ", err)
            self.assertIn(text, err, line)
        for size in (1 << 20) - 5, (1 << 20) + 70000, 1 << 24:
            err = self.reeve("publish", stdin=b"x" * size + b"\n" + self.lines(("task.updated", {})), status=76 if size > 1 << 20 else 64)[1]
            self.assertEqual(err.count("line 1: "), 1, err)
        for args in (("x",), ("x", "{}", "y"), ("x", "[]"), ("x", "{")):
            self.reeve("publish", *args, status=64)
        self.assertEqual({c["topic"] for c in self.calls("Publish")}, {"task.updated"})

    def test_answers_are_shown_when_they_come(self):
        self.serve(Publish=[{"replies": [self.ANSWER]}])
        with subprocess.Popen([REEVE, "publish"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=self.environment) as child:
            for _ in range(3):
                child.stdin.write(self.lines(("task.updated", {"task_id": "t1"})))
                child.stdin.flush()
                self.assertEqual(child.stdout.readline(), b"t1 active\n")
            child.stdin.close()
            self.assertEqual(child.wait(), 0)


class Replaced(Case):
    """The registry is killed and started again while somebody waits."""

    def replace(self, **answers):
        self.server.kill()
        self.server.wait()
        self.server.stdout.close()
        self.serve(**answers)

    def start(self, *args):
        return subprocess.Popen([REEVE, *args], env=self.environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE)

    def wait_for_call(self, method):
        while not self.calls(method):
            select.select([], [], [], 0)

    def finish(self, child, status):
        out, err = child.communicate(timeout=60)
        self.assertEqual(child.returncode, status, err)
        return out, err

    def test_wait(self):
        self.serve(Wait=[{"replies": [], "hang": True}])
        child = self.start("wait", "-q", "a")
        self.wait_for_call("Wait")
        self.replace(Wait=[{"when": {"task_id": "a"}, "replies": [{"task": ENDED}]}])
        self.assertEqual(self.finish(child, 3), (b"", b""))

    def test_run_is_asked_for_again_with_its_id(self):
        self.serve(Run=[{"replies": [], "hang": True}])
        child = self.start("run", "-q", "sh", "-c", "exit 8")
        self.wait_for_call("Run")
        self.replace(Output=[NO_OUTPUT])
        self.assertEqual(self.finish(child, 8), (b"", b""))
        self.assertEqual(self.calls("Output")[0]["task_id"], self.spec()["task"])

    def test_output_goes_on_where_it_was(self):
        self.serve(Output=[{"replies": [output(b"one\n")], "hang": True}])
        fifo = self.path / "fifo"  # keeps the task from ending before the registry is replaced
        os.mkfifo(fifo)
        child = self.start("run", "-q", "--id=t6", "cat", fifo)
        self.assertEqual(child.stdout.readline(), b"one\n")
        self.replace(Output=[{"when": {"offset": 4}, "replies": [output(b"two\n", 4), output(b"", 8, True)]}],
                     Wait=[{"when": {"task_id": "t6"}, "replies": [{"task": ENDED}]}])
        self.assertEqual(self.finish(child, 3), (b"two\n", b""))
        fifo.write_bytes(b"")

    def test_logs_and_events_go_on_where_they_were(self):
        event = {"number": 7, "topic": "task.created", "timestamp": 1800000000000000, "task": ACTIVE}
        self.serve(Output=[{"replies": [output(b"one\n")], "hang": True}], Monitor=[{"replies": [event], "hang": True}])
        logs, events = self.start("logs", "-f", "a"), self.start("events", "-fj")
        self.assertEqual(logs.stdout.readline(), b"one\n")
        self.assertEqual(json.loads(events.stdout.readline()), event)
        self.replace(Output=[{"when": {"offset": 4}, "replies": [output(b"two\n", 4), output(b"", 8, True)]}],
                     Monitor=[{"when": {"since": 7}, "replies": [{**event, "number": 8}]}])
        self.assertEqual(self.finish(logs, 0), (b"two\n", b""))
        self.assertEqual(json.loads(self.finish(events, 0)[0])["number"], 8)


    def test_events_go_on_after_they_were_cut_off(self):
        event = {"number": 7, "topic": "task.created", "timestamp": 1800000000000000, "task": ACTIVE}
        cut = {"error": "io.reeve.Registry.Unavailable", "parameters": {"message": "cut off: nothing was read for too long"}}
        self.serve(Monitor=[{"when": {"since": 6}, "replies": [event], **cut}, {"when": {"since": 7}, **cut}])
        out, err = self.reeve("events", "-fj", "--since=6", status=75)
        self.assertEqual([json.loads(line)["number"] for line in out.splitlines()], [7])
        self.assertIn("cut off", err)
        self.assertEqual([c["since"] for c in self.calls("Monitor")], [6, 7])

    def test_events_are_said_again(self):
        self.serve(Publish=[{"replies": [], "hang": True}])
        child = subprocess.Popen([REEVE, "publish"], env=self.environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                 stderr=subprocess.PIPE)
        said = (("task.created", {"subsystem": "ml", "task_type": "train"}), ("task.started", {"task_id": "t1"}),
                ("task.completed", {"task_id": "t1"}))
        child.stdin.write(Publish.lines(*said))
        child.stdin.flush()
        while not self.log.exists() or len(self.calls("Publish")) < 3:
            select.select([], [], [], 0)
        before = self.calls("Publish")
        self.replace(Publish=[{"when": {"topic": "task.started"}, **Publish.LATE}, {"replies": [Publish.ANSWER]}])
        out, err = self.finish(child, 0)
        self.assertEqual(out, b"t1 active\n" * 2)
        self.assertIn(b"task.started was sent to a registry that did not live to answer", err)
        self.assertEqual(self.calls("Publish")[-3:], before)


class Completion(Case):
    def complete(self, *words):
        """What bash offers for the last word."""
        script = ('source "$1"; shift; COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); compopt() { :; }; _reeve; '
                  'printf "%s\\n" "${COMPREPLY[@]}"')
        file = pathlib.Path(DEFINITION).parents[2] / "config/completion/reeve.bash"
        environment = {**self.environment, "PATH": f"{pathlib.Path(REEVE).parent}:{os.environ['PATH']}"}
        out = subprocess.run(["bash", "-c", script, "bash", file, "reeve", *words], capture_output=True, text=True,
                             env=environment, check=True)
        self.assertEqual(out.stderr, "")
        return out.stdout.split()

    def test_verbs_and_options(self):
        verbs = self.complete("")
        self.assertTrue({"run", "list", "doctor", "help", "--version"} <= set(verbs), verbs)
        for verb in (v for v in verbs if v[0] != "-"):
            offered = set(self.complete(verb, "-"))
            shown = {word.split("=")[0] for line in self.reeve("help", verb)[0].splitlines() if line.startswith("  ")
                     for word in line[2:34].split()}
            self.assertEqual({word.rstrip("=") for word in offered}, shown)
        self.assertEqual(self.complete("run", "--no-b"), ["--no-block"])
        self.assertEqual(self.complete("run", "-p", "MemoryM"), ["MemoryMax=", "MemoryMin="])
        self.assertEqual(self.complete("list", "--json", "=", "p"), ["pretty"])

    def test_ids(self):
        self.serve(List=[{"when": {"status": "pending,active,verifying"}, "replies": [{"tasks": [ACTIVE]}]},
                         {"replies": [{"tasks": [ACTIVE, ENDED]}]}])
        self.assertEqual(self.complete("show", ""), ["ml_train_01", "ml_train_00"])
        self.assertEqual(self.complete("cancel", "ml"), ["ml_train_01"])
        self.assertEqual(self.complete("signal", "ml_train_01", "TER"), ["TERM"])

    def test_commands(self):
        self.assertIn("env", self.complete("run", "--", "en"))
        self.assertIn("env", self.complete("run", "-q", "en"))
        self.assertEqual(self.complete("run", "env", "/etc/passw"), [f for f in self.complete("run", "env", "/etc/passw")
                                                                    if f.startswith("/etc/passw")])


class Terminal(Case):
    """reeve on a terminal of our own."""

    def start(self, *args, rows=24, columns=80):
        self.pid, self.master = pty.fork()
        if self.pid == 0:
            os.execve(REEVE, [REEVE, *args], self.environment)
        self.resize(rows, columns)
        self.addCleanup(os.close, self.master)
        self.before = termios.tcgetattr(self.master)
        self.seen = b""

    def resize(self, rows, columns):
        fcntl.ioctl(self.master, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))

    def expect(self, text):
        """Reads until the text came."""
        while text not in self.seen:
            try:
                data = os.read(self.master, 4096)
            except OSError:
                data = b""
            if not data:
                self.fail(f"expected {text!r}, got {self.seen!r}")
            self.seen += data
        self.seen = self.seen[self.seen.index(text) + len(text):]

    def end(self):
        """Exit status, when all output was read."""
        try:
            while data := os.read(self.master, 4096):
                self.seen += data
        except OSError:
            pass
        return os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])

    def type(self, data):
        os.write(self.master, data)

    def test_pty(self):
        self.serve()
        # A pause in the child lets the test set the window before it is asked for.
        self.start("run", "-qt", "sh", "-c", "tty; read x; stty size; exit 5")
        self.expect(b"/dev/pts/")
        self.resize(33, 99)
        os.kill(self.pid, signal.SIGWINCH)
        self.type(b"go\n")
        self.expect(b"33 99")
        self.assertEqual(self.end(), 5)
        self.assertTrue(self.spec()["tty"])

    def test_interrupt_reaches_the_task(self):
        self.serve()
        self.start("run", "-qt", "sh", "-c", "trap 'echo caught; exit 6' INT; echo ready; read x")
        self.expect(b"ready")
        self.type(b"\x03")
        self.expect(b"caught")
        self.assertEqual(self.end(), 6)
        self.assertEqual(self.calls("Cancel"), [])

    def check_restored(self, number, status):
        self.serve()
        self.start("run", "-qt", "sh", "-c", "echo ready; exec cat")
        self.expect(b"ready")
        self.type(b"typed\n")
        self.expect(b"typed")
        raw = termios.tcgetattr(self.master)
        self.assertFalse(raw[3] & termios.ICANON, "the terminal is not in raw mode")
        os.kill(self.pid, number)
        self.assertEqual(os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1]), status)
        after = termios.tcgetattr(self.master)
        self.assertEqual(after, self.before)

    def test_terminal_is_restored_after_term(self):
        self.check_restored(signal.SIGTERM, 128 + signal.SIGTERM)

    def test_terminal_is_restored_after_a_crash(self):
        self.check_restored(signal.SIGABRT, -signal.SIGABRT)

    def test_progress_and_colours(self):
        event = {"topic": "task.usage", "timestamp": 1, "task": ACTIVE}
        self.serve(Monitor=[{"replies": [event], "hang": True}], Output=[NO_OUTPUT],
                   List=[{"replies": [{"tasks": [ENDED]}]}])
        fifo = self.path / "fifo"  # the task ends when the test says so
        os.mkfifo(fifo)
        self.start("run", "--id=t5", "cat", fifo)
        self.expect(b"\ractive ")
        self.expect(b"cpu 1.0s, memory 1.0M")
        fifo.write_bytes(b"")
        self.expect(b"\r\033[K")
        self.expect(b"reeve: t5: completed after 1.5s")
        self.assertEqual(self.end(), 0)

        self.start("list", columns=200)
        self.expect(b"\033[31mfailed")
        self.assertEqual(self.end(), 0)
        self.environment["NO_COLOR"] = "1"
        self.start("list", columns=200)
        self.assertEqual(self.end(), 0)
        self.assertNotIn(b"\033[31m", self.seen)

    def test_pager(self):
        self.environment["PAGER"] = "sed s/^/paged:/"
        self.serve(List=[{"replies": [{"tasks": [ENDED]}]}])
        self.start("list")
        self.expect(b"paged:ID")
        self.assertEqual(self.end(), 0)

    def test_top_quits(self):
        self.serve(List=[{"replies": [{"tasks": [ACTIVE]}]}], Monitor=[{"replies": [], "hang": True}])
        self.start("top")
        self.expect(b"1 task, q quits")
        self.type(b"q")
        self.assertEqual(self.end(), 0)


if __name__ == "__main__":
    REEVE, FAKE, DEFINITION = map(os.path.abspath, sys.argv[1:4])
    unittest.main(argv=sys.argv[:1] + sys.argv[4:], verbosity=2)
