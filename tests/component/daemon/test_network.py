# SPDX-License-Identifier: LGPL-2.1-or-later
"""The network account of tasks beside the counters of an interface that nobody else uses."""

import shutil

import pytest

import network
from instance import Instance, cgroup2_mount

FIELDS = ("net_rx_bytes", "net_rx_packets", "net_tx_bytes", "net_tx_packets")
LOOPBACK = ("net_loopback_rx_bytes", "net_loopback_tx_bytes")
ALL = FIELDS + LOOPBACK
HEADERS = 60  # of one packet, the largest that TCP makes
AMOUNT = 100 * 1000 * 1000


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
    with i.connect() as c:
        return {r["name"]: r for r in c.call("Doctor")["checks"]}["counters: network"]


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
    return task, tuple(b - a for a, b in zip(before, pair.counters()))


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
