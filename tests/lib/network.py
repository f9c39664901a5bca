# SPDX-License-Identifier: LGPL-2.1-or-later
"""Two network namespaces joined by a veth pair on which nobody else says anything: one for this process and what it starts,
one for a peer that answers.

Nothing of IPv6 and no ARP, so that the interface counts what the tests send and not a packet more. Both namespaces end
with their processes.
"""

import contextlib
import ctypes
import os
import select
import signal
import socket
import struct
import subprocess
import traceback

CLONE_NEWNET = 0x40000000
PR_SET_PDEATHSIG = 1
HERE, PEER = "10.99.0.1", "10.99.0.2"
TCP_PORT, UDP_PORT = 7000, 7001
SINK_PORT = 7002  # takes UDP and never reads it
ETHERNET_HEADER = 14
# No message is larger: one packet, whatever the interface could cut into segments.
DATAGRAM = 1400


def unshare():
    """A network namespace for this process; the reason if it cannot be had."""
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.unshare(CLONE_NEWNET) != 0:
        return f"no network namespace: {os.strerror(ctypes.get_errno())}"
    ip("link", "set", "lo", "up")
    return None


def ip(*arguments):
    subprocess.run(["ip", *arguments], check=True)


def configure(device, address, mac, other, other_mac):
    for line in ("all", "default", device):
        with contextlib.suppress(OSError), open(f"/proc/sys/net/ipv6/conf/{line}/disable_ipv6", "w", encoding="ascii") as f:
            f.write("1")
    ip("link", "set", "lo", "up")
    ip("link", "set", device, "address", mac, "up")
    ip("address", "add", f"{address}/24", "dev", device)
    ip("neigh", "replace", other, "lladdr", other_mac, "dev", device, "nud", "permanent")


MACS = "02:00:00:00:00:01", "02:00:00:00:00:02"


class Pair:
    """This process must be in a namespace of its own already. `close()` ends the peer."""

    def __init__(self, segments=False):
        """With `segments` the interfaces get each segment as a packet of its own, as a wire would."""
        self.ours, theirs = socket.socketpair()
        self.peer = os.fork()
        if self.peer == 0:
            self.ours.close()
            be_peer(theirs, segments)
        theirs.close()
        if self.ours.recv(1) != b"u":
            raise RuntimeError("the peer has no namespace")
        ip("link", "add", "veth0", "type", "veth", "peer", "name", "veth1", "netns", str(self.peer))
        if segments:
            no_offload("veth0")
        configure("veth0", HERE, MACS[0], PEER, MACS[1])
        self.ours.send(b"c")
        if self.ours.recv(1) != b"r":
            raise RuntimeError("the peer is not ready")

    def close(self):
        self.ours.close()
        os.kill(self.peer, signal.SIGKILL)
        os.waitpid(self.peer, 0)
        subprocess.run(["ip", "link", "delete", "veth0"], check=False, stderr=subprocess.DEVNULL)

    @staticmethod
    def counters():
        """(rx_bytes, rx_packets, tx_bytes, tx_packets) of our end, bytes without Ethernet's headers."""
        with open("/proc/self/net/dev", encoding="ascii") as f:
            for line in f:
                name, _, numbers = line.partition(":")
                if name.strip() == "veth0":
                    n = [int(x) for x in numbers.split()]
                    return n[0] - ETHERNET_HEADER * n[1], n[1], n[8] - ETHERNET_HEADER * n[9], n[9]
        raise RuntimeError("veth0 is gone")


def no_offload(device):
    subprocess.run(["ethtool", "-K", device, "tso", "off", "gso", "off", "gro", "off"], check=True,
                   stdout=subprocess.DEVNULL)


def receive(s, n):
    while n > 0:
        data = s.recv(min(n, 1 << 20))
        if not data:
            raise RuntimeError(f"{n} bytes are missing")
        n -= len(data)


def serve_tcp(listener):
    """Takes so many bytes, sends so many, ends when the other has ended."""
    s, _ = listener.accept()
    with s:
        take, give = struct.unpack("!QQ", s.recv(16, socket.MSG_WAITALL))
        receive(s, take)
        s.sendall(b"g" * give)
        s.shutdown(socket.SHUT_WR)
        s.recv(1)


def end_with_parent():
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


def be_peer(control, segments):
    end_with_parent()
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        control.send(b"u" if unshare() is None else b"n")
        control.recv(1)
        if segments:
            no_offload("veth1")
        configure("veth1", PEER, MACS[1], HERE, MACS[0])
        tcp = socket.create_server((PEER, TCP_PORT))
        udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        udp.bind((PEER, UDP_PORT))
        sink = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        sink.bind((PEER, SINK_PORT))
        control.send(b"r")
        poll = select.poll()
        for fd in (tcp, udp, control):
            poll.register(fd, select.POLLIN)
        while True:
            ready = {fd for fd, _ in poll.poll()}
            if control.fileno() in ready:
                break
            if udp.fileno() in ready:
                data, address = udp.recvfrom(65536)
                udp.sendto(data, address)
            if tcp.fileno() in ready and os.fork() == 0:
                end_with_parent()
                serve_tcp(tcp)
                os._exit(0)
    except Exception:  # pylint: disable=broad-except
        traceback.print_exc()
    finally:
        os._exit(1)


# --- what tasks run: python3 -c f"{CLIENT}\n..." -----------------------------------------------------------------

CLIENT = f"""
import socket, struct, sys

def tcp(give, take, s=None):
    s = s or socket.create_connection(({PEER!r}, {TCP_PORT}))
    s.sendall(struct.pack("!QQ", give, take))
    block = b"x" * 65536
    for at in range(0, give, len(block)):
        s.sendall(block[:give - at])
    while take > 0:
        data = s.recv(1 << 20)
        assert data, "the peer has gone"
        take -= len(data)
    assert s.recv(1) == b"", "more than was asked for"
    s.shutdown(socket.SHUT_WR)
    s.close()

def udp(datagrams, size={DATAGRAM}, window=16, to=({PEER!r}, {UDP_PORT})):
    s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    s.settimeout(10)
    for at in range(0, datagrams, window):
        n = min(window, datagrams - at)
        for _ in range(n):
            s.sendto(b"y" * size, to)
        for _ in range(n):
            s.recv(65536)
"""


def program(text):
    return ["/usr/bin/python3", "-c", f"{CLIENT}\n{text}"]
