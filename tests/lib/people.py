# SPDX-License-Identifier: LGPL-2.1-or-later
"""Does things as somebody else: in a forked child that becomes that user for good, so that nothing has to be undone."""

import contextlib
import grp
import os
import pickle
import pwd
import sys
import traceback


class Person:
    """A user of this host, with the groups that a test gives him."""

    def __init__(self, name, groups=()):
        entry = pwd.getpwnam(name)
        self.name, self.uid, self.gid = name, entry.pw_uid, entry.pw_gid
        self.groups = list(groups)

    def __repr__(self):
        return self.name

    def does(self, function, *args, **kwargs):
        """The function's result, or the exception that it raised there. Both must survive pickling."""
        reader, writer = os.pipe()
        pid = os.fork()
        if pid == 0:
            os.close(reader)
            self._act(writer, function, args, kwargs)
        os.close(writer)
        with open(reader, "rb") as f:
            data = f.read()
        _, status = os.waitpid(pid, 0)
        if not data:
            raise RuntimeError(f"the child of {self.name} ended with wait status {status} and said nothing")
        good, value = pickle.loads(data)
        if good:
            return value
        raise value

    def _act(self, writer, function, args, kwargs):
        try:
            os.setgroups(self.groups)
            os.setresgid(self.gid, self.gid, self.gid)
            os.setresuid(self.uid, self.uid, self.uid)
            answer = (True, function(*args, **kwargs))
        except BaseException as e:  # pylint: disable=broad-except
            traceback.print_exc()
            answer = (False, e)
        try:
            with open(writer, "wb") as f:
                pickle.dump(answer, f)
            sys.stderr.flush()
        finally:
            os._exit(0)


def admin_group():
    """The number of group reeve-admin; None where there is none."""
    with contextlib.suppress(KeyError):
        return grp.getgrnam("reeve-admin").gr_gid
    return None


# Three who have nothing to do with each other; carol may do everything, where there is a group of those who may.
alice = Person("nobody")
bob = Person("daemon")
carol = Person("games", groups=[admin_group()] if admin_group() is not None else [])
