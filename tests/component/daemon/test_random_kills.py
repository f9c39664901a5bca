# SPDX-License-Identifier: LGPL-2.1-or-later
"""Random kills of reeved, the launcher, both, or a keeper, while eight clients run tasks of several kinds.

A client repeats what was not answered, as libreeve would. At the end every task ran once, ended as its kind must, has
its whole account, and nothing is left. The seed is printed; REEVE_SEED repeats one, REEVE_RANDOM_KILLS says how many
kills (30; 300 when REEVE_SOAK is set).
"""

import os
import random
import signal
import threading

import checks
from instance import Instance, wait_exit
from varlink import ConnectionLost, VarlinkError

KILLS = int(os.environ.get("REEVE_RANDOM_KILLS") or (300 if os.environ.get("REEVE_SOAK") else 30))
CLIENTS = 8
VICTIMS = ("reeved", "launcher", "reeved+launcher", "keeper", "keeper")

NAME = 'echo "$REEVE_TASK_ID.$REEVE_ATTEMPT" >>{root}/runs; '
WRITTEN = b"".join(b"line %d\n" % n for n in range(500))

# kind: (what it does, its exit status, its output)
KINDS = {
    "true": ("true", 0, b""),
    "exit": ("exit 3", 3, b""),
    "burn": ("i=0; while [ $i -lt 80000 ]; do i=$((i+1)); done", 0, b""),
    "fork": ("( (read -r _ <{root}/never) & ); echo left", 0, b"left\n"),
    "write": ("i=0; while [ $i -lt 500 ]; do echo line $i; i=$((i+1)); done", 0, WRITTEN),
}

PHASE_OFFSET, PHASE_ENDED = 16, 3  # in a record


class Load:
    def __init__(self, i, seed):
        self.i, self.seed = i, seed
        self.lock = threading.Condition()
        self.serving = threading.Event()  # both daemons have been started
        self.serving.set()
        self.stopping = False
        self.ended = {}  # task id: (kind, task)
        self.failure = None
        self.threads = [threading.Thread(target=self.client, args=[n]) for n in range(CLIENTS)]

    def start(self):
        for t in self.threads:
            t.start()

    def stop(self):
        self.stopping = True
        for t in self.threads:
            t.join()

    def client(self, number):
        rng = random.Random(f"{self.seed} client {number}")
        count = 0
        try:
            while not self.stopping and not self.failure:
                count += 1
                self.run_one(f"test_random_{number}-{count}", rng.choice(sorted(KINDS)))
        except Exception as e:
            with self.lock:
                self.failure = self.failure or e
                self.lock.notify_all()

    def run_one(self, task, kind):
        argv = ["/bin/sh", "-c", (NAME + KINDS[kind][0]).format(root=self.i.root)]
        self.insist(lambda c: self.i.run(argv, connection=c, task=task))
        t = self.insist(lambda c: self.i.wait(task, c))
        with self.lock:
            self.ended[task] = kind, t
            self.lock.notify_all()

    def insist(self, request):
        while True:
            assert self.serving.wait(60), "the daemons are away"
            try:
                with self.i.connect() as c:
                    return request(c)
            except (ConnectionLost, ConnectionError, FileNotFoundError):
                pass
            except VarlinkError as e:
                if e.name != "Unavailable":
                    raise

    def wait_for_more(self, n):
        """Until n more tasks have ended."""
        with self.lock:
            wanted = len(self.ended) + n
            assert self.lock.wait_for(lambda: len(self.ended) >= wanted or self.failure, 60), "no task ends any more"
        if self.failure:
            raise self.failure


def record_of(keeper):
    """The name of the record that a keeper has open; None if it is gone or has none yet."""
    folder = f"/proc/{keeper}/fd"
    try:
        links = [os.readlink(os.path.join(folder, n)) for n in os.listdir(folder)]
    except OSError:
        return None
    names = [os.path.basename(p) for p in links if os.path.basename(os.path.dirname(p)) == "tasks"]
    return names[0] if len(names) == 1 else None


def has_ended(i, record):
    try:
        with open(i.path("tasks", record), "rb") as f:
            f.seek(PHASE_OFFSET)
            return int.from_bytes(f.read(4), "little") == PHASE_ENDED
    except FileNotFoundError:
        return True


def kill_keeper(i, rng):
    """Kills one and waits until somebody cares for its task again; the name of its record."""
    for keeper in rng.sample(keepers := i.keepers(), len(keepers)):
        record = record_of(keeper)
        try:
            fd = os.pidfd_open(keeper)
        except ProcessLookupError:
            continue
        signal.pidfd_send_signal(fd, signal.SIGKILL)
        assert wait_exit(fd, 10)
        os.close(fd)
        if record:
            checks.until(i, f"{record} is not adopted",
                         lambda: has_ended(i, record) or record in map(record_of, i.keepers()))
            return record.rpartition(".")[0]
    return None


def strike(load, victims, rng):
    """One kill, and the restart. Returns the task that lost its keeper, if any."""
    i = load.i
    if victims == "keeper":
        return kill_keeper(i, rng)
    load.serving.clear()
    daemons = [d for name, d in (("reeved", i.reeved), ("launcher", i.launcher)) if name in victims]
    rng.shuffle(daemons)
    i.kill(*daemons)
    starts = [s for d, s in ((i.launcher, i.start_launcher), (i.reeved, i.start_reeved)) if not d]
    rng.shuffle(starts)
    for start in starts:
        start()
    load.serving.set()
    return None


def check_task(i, t, kind, lost_keeper):
    _, status, output = KINDS[kind]
    if lost_keeper and t["status"] == "lost" and not checks.kernel_keeps_status():
        return
    end = t["status"], t.get("outcome"), t.get("exit_status")
    wanted = ("failed", "exit-code", status) if status else ("completed", None, 0)
    assert end == wanted, f"{t['task_id']} ({kind}) ended {end}, message {t.get('message')}; expected {wanted}"
    checks.check_account(t, orphaned=lost_keeper, cpu=False)
    checks.check_row(i, t)
    assert i.output(t["task_id"]) == output


def random_kills(i, rng, seed):
    load = Load(i, seed)
    robbed = set()
    load.start()
    try:
        for n in range(KILLS):
            load.wait_for_more(rng.randrange(5))
            victims = rng.choice(VICTIMS)
            print(f"{n}: {victims}")
            robbed.add(strike(load, victims, rng))
        load.wait_for_more(CLIENTS)
    finally:
        load.serving.set()
        load.stop()
    if load.failure:
        raise load.failure
    print(f"{len(load.ended)} tasks, {len(robbed - {None})} lost a keeper")

    for task, (kind, t) in sorted(load.ended.items()):
        check_task(i, t, kind, task in robbed)
    assert sorted(checks.runs(i)) == sorted(f"{task}.1" for task in load.ended), "each should have run once"
    checks.check_nothing_left(i)
    checks.check_events(i)
    assert i.spent() == len(load.ended)


def test_random_kills():
    seed = os.environ.get("REEVE_SEED") or str(random.SystemRandom().randrange(10**9))
    print(f"REEVE_SEED={seed}")
    checks.reference()
    with Instance() as i:
        os.mkfifo(i.path("never"))
        try:
            random_kills(i, random.Random(seed), seed)
        except BaseException:
            print(i.logs(30000))
            raise
