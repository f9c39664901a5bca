#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Writes the hand-made seeds of the fuzz targets into corpus/.

Seeds are small and differ in what they reach: a complete valid input, the least valid one, and for each rule that
stands deep in a parser an input that breaks just that rule. What a fuzzer finds is added as a file beside them and
is not touched by this script."""

import pathlib
import struct

CORPUS = pathlib.Path(__file__).parent / "corpus"


def spec(*fields):
    return b"".join(field + b"\0" for field in fields)


LEAST = [b"reeve-spec=1", b"task=t", b"attempts=1", b"uid=0", b"gid=0", b"cwd=/", b"umask=0", b"nice=0",
         b"stdio=0:null", b"stdio=1:null", b"stdio=2:null", b"arg=true"]
FULL = [b"reeve-spec=1", b"task=healing_playbook_0123456789ab", b"attempts=3", b"uid=1000", b"gid=1001",
        b"groups=4,27,1000", b"cwd=/srv/work", b"umask=0027", b"nice=-5", b"oom-score-adjust=200",
        b"rlimit=CORE:0:infinity", b"rlimit=NOFILE:1024:4096", b"stdio=0:fd:25:4:34816", b"stdio=1:output",
        b"stdio=2:null", b"tty=1", b"limit=MemoryMax:536870912", b"limit=CPUQuota:20000",
        b"property=IPAddressDeny:10.0.0.0/8", b"property=IPAddressDeny:::/0", b"slice=system.slice", b"grace=5000000",
        b"env=PATH=/usr/bin", b"env=EMPTY=", b"arg=/bin/echo", b"arg=", b"arg=x=y",
        b"verify=/bin/test\x1f-f\x1f/srv/jobs/done"]

# One of each form of value that src/common/unit-property knows.
FORMS = [b"CPUQuotaPeriodSec:10000", b"StartupCPUWeight:100", b"IPAccounting:yes", b"ManagedOOMMemoryPressureLimit:5000",
         b"IODeviceWeight:8:16 50", b"IODeviceLatencyTargetSec:8:0 1000", b"StartupAllowedCPUs:0-3,5,8191",
         b"IPAddressDeny:fe80::/64", b"SocketBindDeny:2:6:1024:1024", b"RestrictNetworkInterfaces:~eth0",
         b"DevicePolicy:closed", b"DeviceAllow:/dev/null rw", b"StartupMemoryOfTheFutureMax:infinity"]


def changed(old, new):
    return spec(*(new if field == old else field for field in FULL))


SPECS = {
    "least": spec(*LEAST),
    "full": spec(*FULL),
    "empty": b"",
    "not-terminated": spec(*FULL)[:-1],
    "only-version": spec(b"reeve-spec=1"),
    "unknown-key": spec(*FULL, b"unknown=1"),
    "order": spec(*LEAST[:3], LEAST[4], LEAST[3], *LEAST[5:]),
    "repeated": spec(LEAST[0], *LEAST),
    "empty-groups": changed(b"groups=4,27,1000", b"groups="),
    "group-comma": changed(b"groups=4,27,1000", b"groups=4,,27"),
    "rlimit-twice": changed(b"rlimit=CORE:0:infinity", b"rlimit=NOFILE:0:1"),
    "rlimit-soft-above-hard": changed(b"rlimit=CORE:0:infinity", b"rlimit=CORE:infinity:0"),
    "stdio-short": changed(b"stdio=0:fd:25:4:34816", b"stdio=0:fd:25:4"),
    "stdio-journal": changed(b"stdio=2:null", b"stdio=2:journal"),
    "attach": spec(*LEAST[:-1], b"attach=4711:1630547:0123456789abcdef0123456789abcdef:children", LEAST[-1]),
    "attach-short": spec(*LEAST[:-1], b"attach=4711:1630547", LEAST[-1]),
    "limit-twice": changed(b"limit=CPUQuota:20000", b"limit=MemoryMax:1"),
    "limit-without-value": changed(b"limit=CPUQuota:20000", b"limit=CPUQuota:"),
    "limit-devices": changed(b"limit=CPUQuota:20000", b"limit=IOReadBandwidthMax:8:0 1"),
    "property-without-value": changed(b"property=IPAddressDeny:::/0", b"property=IPAddressDeny:"),
    "property-forms": spec(*LEAST[:-1], *(b"property=" + form for form in FORMS), LEAST[-1]),
    "slice-empty": changed(b"slice=system.slice", b"slice="),
    "env-without-name": changed(b"env=EMPTY=", b"env==x"),
    "grace-infinity": changed(b"grace=5000000", b"grace=18446744073709551615"),
    "empty-command": changed(b"arg=/bin/echo", b"arg="),
}

# Offsets of the fields in Record, as tests/unit/common/test-record.c pins them.
FILES = 2048


def record(phase, files=(), files_length=None, **fields):
    page = bytearray(FILES)
    struct.pack_into("8sII", page, 0, b"reevrec", fields.get("version", 1), 16384)
    struct.pack_into("II", page, 16, phase, fields.get("flags", 0))
    struct.pack_into("136s", page, 24, fields.get("task_id", b"t"))
    struct.pack_into("II", page, 160, fields.get("attempt", 1), fields.get("backend", 0))
    struct.pack_into("512s", page, 216, fields.get("cgroup", b"reeve.pool/tasks/0/t.1"))
    struct.pack_into("ii", page, 784, 100, fields.get("task_pid", 101))
    struct.pack_into("Ii256s", page, 824, fields.get("exit_kind", 1), 0, fields.get("exec_path", b""))
    stored = b"".join(struct.pack("HH", len(name), len(text)) + name + text for name, text in files)
    struct.pack_into("I", page, 1248, len(stored) if files_length is None else files_length)
    return bytes(page) + stored


TEXTS = [(b"cpu.stat", b"usage_usec 12\nuser_usec 7\nsystem_usec 5\n"), (b"memory.peak", b"4096\n"), (b"io.stat", b"")]
RECORDS = {
    "empty": b"",
    "new": record(0),
    "claimed": record(1),
    "started": record(2),
    "ended": record(3, TEXTS),
    "exec-failed": record(3, exit_kind=4, exec_path=b"/no/such/command"),
    "version": record(3, TEXTS, version=2),
    "phase": record(4),
    "task-not-terminated": record(1, task_id=b"t" * 136),
    "other-task": record(1, task_id=b"u"),
    "cgroup-not-terminated": record(1, cgroup=b"c" * 512),
    "cgroup-escapes": record(1, cgroup=b"a/../../b"),
    "pid": record(2, task_pid=-1),
    "exec-path-not-terminated": record(3, exec_path=b"/" * 256),
    "files-cut": record(3, TEXTS, files_length=20),
    "files-length": record(3, TEXTS, files_length=0xffffffff),
    "file-too-long": record(3, files_length=4) + struct.pack("HH", 0xffff, 0xffff),
    "file-with-nul": record(3, [(b"cpu.stat", b"usage\0usec")]),
}


def main():
    for target, seeds in {"spec": SPECS, "record": RECORDS}.items():
        directory = CORPUS / target
        directory.mkdir(parents=True, exist_ok=True)
        for name, data in seeds.items():
            (directory / name).write_bytes(data)


main()
