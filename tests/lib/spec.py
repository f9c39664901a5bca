# SPDX-License-Identifier: LGPL-2.1-or-later
"""Writes sealed specifications, well-formed or not, as src/common/spec/spec.h describes them."""

import fcntl
import os

F_ADD_SEALS = 1033
SEALS = 0x1 | 0x2 | 0x4 | 0x8  # seal, shrink, grow, write
NAME = "reeve-spec"
PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


def fields(
    task, argv, uid=None, gid=None, attempts=1, cwd="/", env=None, stdio=("null", "output", "output"), limits=(),
    rlimits=(), umask="0022", nice=0, grace_usec=None, groups=None, oom_score_adjust=None, tty=False, verify=(),
    properties=(), slice=None,
):
    """The fields in their order. `stdio` entries are "null", "output", "journal" or an open descriptor."""
    f = ["reeve-spec=1", f"task={task}", f"attempts={attempts}"]
    f += [f"uid={os.getuid() if uid is None else uid}", f"gid={os.getgid() if gid is None else gid}"]
    if groups is not None:
        f.append("groups=" + ",".join(map(str, groups)))
    f += [f"cwd={cwd}", f"umask={umask}", f"nice={nice}"]
    if oom_score_adjust is not None:
        f.append(f"oom-score-adjust={oom_score_adjust}")
    f += [f"rlimit={r}" for r in rlimits]
    for i, kind in enumerate(stdio):
        if isinstance(kind, int):
            st = os.fstat(kind)
            kind = f"fd:{st.st_dev}:{st.st_ino}:{st.st_rdev}"
        f.append(f"stdio={i}:{kind}")
    if tty:
        f.append("tty=1")
    f += [f"limit={name}:{value}" for name, value in limits]
    f += [f"property={name}:{value}" for name, value in properties]
    if slice is not None:
        f.append(f"slice={slice}")
    if grace_usec is not None:
        f.append(f"grace={grace_usec}")
    f += [f"env={k}={v}" for k, v in (env if env is not None else {"PATH": PATH}).items()]
    f += [f"arg={a}" for a in argv]
    f += [f"verify={v}" for v in verify]
    return f


def text(*args, **kwargs):
    return b"".join(f.encode("utf-8", "surrogateescape") + b"\0" for f in fields(*args, **kwargs))


def attached(task, pid, **changed):
    """For a process that runs, with its own ids, as libreeve writes it."""
    with open(f"/proc/{pid}/stat", encoding="ascii") as f:
        start = f.read().rpartition(")")[2].split()[19]
    with open("/proc/sys/kernel/random/boot_id", encoding="ascii") as f:
        boot = f.read().strip().replace("-", "")
    st = os.stat(f"/proc/{pid}")
    f = fields(task, ["attached"], uid=changed.pop("uid", st.st_uid), gid=st.st_gid, stdio=("null", "null", "null"), env={},
               **changed)
    f.insert(next(n for n, field in enumerate(f) if field.startswith("arg=")), f"attach={pid}:{start}:{boot}")
    return b"".join(field.encode() + b"\0" for field in f)


def memfd(data, seals=SEALS, name=NAME):
    fd = os.memfd_create(name, os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    view = memoryview(data)
    while view:
        view = view[os.write(fd, view):]
    if seals:
        fcntl.fcntl(fd, F_ADD_SEALS, seals)
    return fd
