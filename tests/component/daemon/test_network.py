# SPDX-License-Identifier: LGPL-2.1-or-later
"""The network account of tasks beside the counters of an interface that nobody else uses."""

import json
import shutil
import socket
import subprocess
import time

import pytest

import network
from checks import database, until
from instance import REEVE, Instance, cgroup2_mount

FIELDS = ("net_rx_bytes", "net_rx_packets", "net_tx_bytes", "net_tx_packets")
LOOPBACK = ("net_loopback_rx_bytes", "net_loopback_tx_bytes")
ALL = FIELDS + LOOPBACK
HEADERS = 60  # of one packet, the largest that TCP makes
AMOUNT = 100 * 1000 * 1000
LOOPBACK_LOAD = 'socket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendto(b"x" * 1000, ("127.0.0.1", 9))'
WAIT = "import signal; signal.pause()"


@pytest.fixture(scope="module", autouse=True)
def namespace():
    if not shutil.which("ip"):
        pytest.skip("needs ip of iproute2")
    if cgroup2_mount() is None:
        pytest.skip("there is no cgroup2 here")
    if reason := network.unshare():
        pytest.skip(reason)
    with Instance() as i:
        check = doctor(i)
        if not check["ok"]:
            pytest.skip(check["hint"])


def doctor(i):
    """The check; one that is neither while the launcher is away."""
    with i.connect() as c:
        return {r["name"]: r for r in c.call("Doctor")["checks"]}.get("counters: network", {"ok": None})


@pytest.fixture(params=["offload", "segments"])
def pair(request):
    if request.param == "segments" and not shutil.which("ethtool"):
        pytest.skip("needs ethtool")
    p = network.Pair(segments=request.param == "segments")
    p.is_wire = request.param == "segments"
    yield p
    p.close()


@pytest.fixture
def reeve():
    with Instance() as i:
        yield i


def numbers(task, fields=FIELDS):
    return tuple(task["usage"].get(f) for f in fields)


def completed(i, text, **kwargs):
    t = i.run_wait(network.program(text), **kwargs)
    assert t["status"] == "completed", (t, i.output(t["task_id"]).decode(), i.logs())
    return t


def assert_same(task, interface, packets=True, tx_bytes=True):
    """What the task's account says is what the interface says, to one packet: of bytes, and of `packets` unless the
    interface sees packets of many segments. See docs/accounting.md for tx_bytes."""
    for field, counted, seen in zip(FIELDS, numbers(task), interface):
        room = 1 if field.endswith("packets") else HEADERS
        if field.endswith("packets") and not packets:
            assert counted >= seen, f"{field}: {counted} segments, the interface saw {seen} packets that hold them"
        elif tx_bytes or field != "net_tx_bytes":
            assert counted is not None and abs(counted - seen) <= room, f"{field}: {counted}, the interface says {seen}"
    assert {task["usage_sources"][f] for f in ALL} == {"kernel-final"}


def measured(pair, i, text, **kwargs):
    before = pair.counters()
    task = completed(i, text, **kwargs)
    interface = tuple(b - a for a, b in zip(before, pair.counters()))
    print(f"# {text.strip()[:40]!r}, {'segments' if pair.is_wire else 'offload'}: {FIELDS} {numbers(task)}, veth {interface}")
    return task, interface


def test_tcp_100_mb_each_way(reeve, pair):
    task, interface = measured(pair, reeve, f"tcp({AMOUNT}, {AMOUNT})")
    assert_same(task, interface, packets=pair.is_wire, tx_bytes=not pair.is_wire)
    if pair.is_wire:  # the kernel cuts its packets into segments, each with a header, after it has counted them
        missing = interface[2] - numbers(task)[2]
        assert 0 <= missing <= interface[3] * HEADERS, f"{missing} bytes more on the interface, {interface[3]} packets"
    assert min(numbers(task)[0], numbers(task)[2]) > AMOUNT
    assert min(numbers(task)[1], numbers(task)[3]) > AMOUNT / 1460, "packets are segments"
    assert numbers(task, LOOPBACK) == (0, 0)


def test_udp_100_mb_each_way(reeve, pair):
    datagrams = AMOUNT // network.DATAGRAM + 1
    task, interface = measured(pair, reeve, f"udp({datagrams})")
    assert_same(task, interface)
    each = datagrams * (network.DATAGRAM + 28)  # headers of IP and UDP
    assert numbers(task) == (each, datagrams, each, datagrams)


def test_loopback_is_apart(reeve, pair):
    task, interface = measured(pair, reeve, """
server = socket.create_server(("127.0.0.1", 0))
client = socket.create_connection(server.getsockname())
other, _ = server.accept()
for _ in range(100):
    client.sendall(b"z" * 10000)
    left = 10000
    while left > 0:
        left -= len(other.recv(left))
""")
    assert interface == (0, 0, 0, 0), "the interface was not to be used"
    assert numbers(task) == (0, 0, 0, 0)
    rx, tx = numbers(task, LOOPBACK)
    assert rx == tx and 1000000 < rx < 1100000, "both ends are the task's, a million bytes and their headers"


def test_a_task_without_traffic_has_zero(reeve):
    task = reeve.run_wait(["/bin/true"])
    assert numbers(task, ALL) == (0, 0, 0, 0, 0, 0)
    assert {task["usage_sources"][f] for f in ALL} == {"kernel-final"}


def wait_for_traffic(connection, task, more_than):
    """Until a reading of now says so; each round trip gives the task time."""
    deadline = time.monotonic() + 30
    while True:
        t = connection.call("Get", {"task_id": task})["task"]
        assert t["status"] == "active", t
        rx = t["usage"].get("net_rx_bytes")
        if rx is not None and rx > more_than:
            return t
        assert time.monotonic() < deadline, f"net_rx_bytes is {rx}, and was to be more than {more_than}"


def test_values_of_now_and_snapshots(reeve, pair):
    with reeve.connect() as c:
        task = reeve.run(network.program(f"udp(1000)\n{WAIT}"), connection=c)["task_id"]
        t = wait_for_traffic(c, task, 1000 * (network.DATAGRAM + 28) - 1)
        assert t["usage_sources"]["net_rx_bytes"] == "kernel"
        until(reeve, "a snapshot with the traffic", lambda: [
            s for s in c.call("Snapshots", {"task_id": task})["snapshots"]
            if s["usage"].get("net_rx_bytes", 0) > 1000 * network.DATAGRAM and s["usage_sources"]["net_rx_bytes"] == "kernel"])
        c.call("Cancel", {"task_id": task})
        end = reeve.wait(task, c)
    assert numbers(end) == numbers(t), "nothing came after the reading"
    with database(reeve) as db:
        row = db.execute("SELECT network_mb, net_rx_bytes, net_tx_bytes FROM task_registry").fetchone()
    assert row["network_mb"] == pytest.approx((row["net_rx_bytes"] + row["net_tx_bytes"]) / 2**20)
    assert row["net_rx_bytes"] == numbers(end)[0]


@pytest.mark.parametrize("load", ["tcp(300_000_000, 300_000_000)", "udp(150_000)"])
def test_kills_lose_no_byte(reeve, pair, load):
    before = pair.counters()
    with reeve.connect() as c:
        task = reeve.run(network.program(load), connection=c)["task_id"]
        seen = numbers(wait_for_traffic(c, task, 100_000))[0]
    for victims in (("launcher",), ("reeved",), ("launcher", "reeved")) * 2:
        reeve.kill(*(getattr(reeve, v) for v in victims))
        for v in victims:
            getattr(reeve, f"start_{v}")()
        until(reeve, "reeved knows the launcher's map", lambda: doctor(reeve)["ok"] is True)
        with reeve.connect() as c:
            now = c.call("Get", {"task_id": task})["task"]
            if now["status"] == "active" and "net_rx_bytes" in now["usage"]:
                assert now["usage"]["net_rx_bytes"] >= seen, "a count went back"
                seen = now["usage"]["net_rx_bytes"]
    end = reeve.wait(task)
    assert end["status"] == "completed", (end, reeve.output(task).decode())
    interface = tuple(b - a for a, b in zip(before, pair.counters()))
    assert_same(end, interface, packets=pair.is_wire or "udp" in load, tx_bytes=not pair.is_wire or "udp" in load)


# --- whose socket it is -------------------------------------------------------------------------------------------

def test_an_inherited_socket_is_its_makers(reeve, pair):
    """The kernel charges who created a socket: what a task is passed is not in its account."""
    with socket.create_connection((network.PEER, network.TCP_PORT)) as s:
        before = pair.counters()
        task = completed(reeve, "tcp(100_000, 100_000, socket.socket(fileno=0))", fds=[s.fileno()],
                         stdio=(s.fileno(), "output", "output"))
        interface = tuple(b - a for a, b in zip(before, pair.counters()))
    assert min(interface[0], interface[2]) > 100_000
    assert numbers(task) == (0, 0, 0, 0)


def test_a_passed_socket_stays_its_makers(reeve, pair):
    """A task makes a socket and passes it to somebody else, whose traffic over it is in the task's account."""
    path = reeve.path("pass")
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as listener:
        listener.bind(path)
        listener.listen()
        with reeve.connect() as c:
            task = reeve.run(network.program(f"""
import os
s = socket.create_connection(({network.PEER!r}, {network.TCP_PORT}))
u = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
u.connect({path!r})
socket.send_fds(u, [b"s"], [s.fileno()])
u.recv(1)
"""), connection=c)["task_id"]
            other, _ = listener.accept()
            _, fds, _, _ = socket.recv_fds(other, 1, 1)
            space = {}
            exec(network.CLIENT, space)  # pylint: disable=exec-used
            space["tcp"](100_000, 100_000, socket.socket(fileno=fds[0]))
            other.send(b"d")
            other.close()
            end = reeve.wait(task, c)
    assert end["status"] == "completed", reeve.output(task).decode()
    assert min(numbers(end)[0], numbers(end)[2]) > 100_000


def test_an_attached_process_brings_its_sockets_along(reeve, pair):
    """A socket that it had before is charged to where it was made; one that it makes afterwards to the task."""
    script = f"""{network.CLIENT}
before = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
print("ready", flush=True)
input()
for _ in range(10):
    before.sendto(b"b" * 1000, ({network.PEER!r}, {network.SINK_PORT}))
udp(100)
print("sent", flush=True)
sys.stdin.read()
"""
    with subprocess.Popen(["/usr/bin/python3", "-c", script], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as p:
        assert p.stdout.readline() == b"ready\n"
        task = subprocess.run([reeve.program(REEVE), "attach", "--subsystem=test", str(p.pid)], check=True, text=True,
                              capture_output=True, timeout=60,
                              env={"PATH": "/usr/bin:/bin", "REEVE_SOCKET": reeve.path("io.reeve.Registry")}).stdout.strip()
        p.stdin.write(b"\n")
        p.stdin.flush()
        assert p.stdout.readline() == b"sent\n"
        with reeve.connect() as c:
            now = c.call("Get", {"task_id": task})["task"]
        p.stdin.close()
        p.wait()
        end = reeve.wait(task)
    each = 100 * (network.DATAGRAM + 28)
    assert numbers(now) == numbers(end) == (each, 100, each, 100)


def test_cgroups_of_its_own_count_to_the_task(reeve, pair):
    task, interface = measured(pair, reeve, f"""
import os
mine = {cgroup2_mount()!r} + open("/proc/self/cgroup").read().split("0::")[1].strip()
below = mine + "/a/b"
os.makedirs(below)
open(below + "/cgroup.procs", "w").write("0")
udp(100)
open(mine + "/cgroup.procs", "w").write("0")
os.rmdir(below)
os.rmdir(mine + "/a")
""")
    assert_same(task, interface)
    assert numbers(task)[1] == 100


# --- where it is not counted --------------------------------------------------------------------------------------

def assert_unknown(task):
    assert not [f for f in ALL if f in task["usage"] or f in task["usage_sources"]], task["usage"]


def test_switched_off():
    with Instance(launcher_arguments=["--network-counters=off"]) as i:
        assert_unknown(i.run_wait(network.program(LOOPBACK_LOAD)))
        check = doctor(i)
    assert not check["ok"] and check["value"] == "not known" and "--network-counters=off" in check["hint"], check


def test_without_the_capabilities():
    """As in a container: the reason is the kernel's."""
    if not shutil.which("setpriv"):
        pytest.skip("needs setpriv")
    with Instance(launcher_wrapper=["setpriv", "--bounding-set=-sys_admin,-bpf,-net_admin",
                                    "--inh-caps=-sys_admin,-bpf,-net_admin"]) as i:
        assert_unknown(i.run_wait(["/bin/true"]))
        check = doctor(i)
    assert not check["ok"] and "Operation not permitted" in check["hint"], check


def test_counts_in_part_are_not_shown():
    """Who begins uncounted stays so; who was counted from the start is, whatever the launcher of now can do."""
    with Instance(launcher_arguments=["--network-counters=off"]) as i, i.connect() as c:
        old = i.run(network.program(WAIT), connection=c)["task_id"]
        i.launcher_arguments = []
        i.kill(i.launcher)
        i.start_launcher()
        until(i, "the new launcher is known", lambda: doctor(i)["ok"] is True)
        new = i.run(network.program(f"{LOOPBACK_LOAD}\nprint('sent', flush=True)\n{WAIT}"), connection=c)["task_id"]
        until(i, "the task has sent", lambda: i.output(new) == b"sent\n")
        i.launcher_arguments = ["--network-counters=off"]
        i.kill(i.launcher)
        i.start_launcher()
        until(i, "the newest launcher is known", lambda: doctor(i)["ok"] is False)
        assert_unknown(c.call("Get", {"task_id": old})["task"])
        for task in (old, new):
            c.call("Cancel", {"task_id": task})
        assert_unknown(i.wait(old, c))
        assert numbers(i.wait(new, c), LOOPBACK)[1] >= 1000


def programs_on(i):
    """{attach type: program id} of the pool."""
    said = subprocess.run(["bpftool", "-j", "cgroup", "show", i.pool()], check=True, capture_output=True).stdout
    return {p["attach_type"]: p["id"] for p in json.loads(said or "[]")}


@pytest.mark.skipif(not shutil.which("bpftool"), reason="needs bpftool")
def test_programs_that_were_taken_away(reeve):
    """Somebody detaches what counts. Who ran then does not know his traffic; who comes later does."""
    with reeve.connect() as c:
        task = reeve.run(network.program(f"{LOOPBACK_LOAD}\n{WAIT}"), connection=c)["task_id"]
        before = programs_on(reeve)
        assert len(before) == 2, before
        until(reeve, "a sample that has counts", lambda: any(
            "net_tx_bytes" in s["usage"] for s in c.call("Snapshots", {"task_id": task})["snapshots"]))
        for kind, number in before.items():
            subprocess.run(["bpftool", "cgroup", "detach", reeve.pool(), kind, "id", str(number)], check=True)
        reeve.kill(reeve.launcher)
        reeve.start_launcher()
        assert len(programs_on(reeve)) == 2
        until(reeve, "the new launcher is known", lambda: doctor(reeve)["ok"] is True)
        assert_unknown(c.call("Get", {"task_id": task})["task"])
        c.call("Cancel", {"task_id": task})
        assert_unknown(reeve.wait(task, c))
        assert numbers(reeve.run_wait(network.program(LOOPBACK_LOAD)), LOOPBACK)[1] >= 1000


@pytest.mark.skipif(not shutil.which("bpftool"), reason="needs bpftool")
def test_a_new_launcher_replaces_the_programs_and_keeps_the_map(reeve):
    before, map_before = programs_on(reeve), map_of(reeve)
    subprocess.run(["bpftool", "map", "update", "id", str(map_before), "key", *"1 2 3 4 5 6 7 0".split(),
                    "value", *["0"] * 64], check=True)  # a socket that outlived its task may have left this
    assert len(entries(map_before)) == 2
    reeve.kill(reeve.launcher)
    reeve.start_launcher()
    assert set(programs_on(reeve)) == set(before) and not set(programs_on(reeve).values()) & set(before.values())
    assert map_of(reeve) == map_before
    for _ in range(20):
        reeve.run_wait(network.program(LOOPBACK_LOAD))
    assert len(entries(map_before)) == 1, "each task's entry goes with it, one is the map's own"


def entries(number):
    return json.loads(subprocess.run(["bpftool", "-j", "map", "dump", "id", str(number)], check=True,
                                     capture_output=True).stdout)


def map_of(i):
    program = next(iter(programs_on(i).values()))
    said = subprocess.run(["bpftool", "-j", "prog", "show", "id", str(program)], check=True, capture_output=True).stdout
    maps = [json.loads(subprocess.run(["bpftool", "-j", "map", "show", "id", str(m)], check=True,
                                      capture_output=True).stdout) for m in json.loads(said)["map_ids"]]
    return next(m["id"] for m in maps if m["name"] == "reeve_net")
