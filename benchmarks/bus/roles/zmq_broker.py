"""A broker on pyzmq: a ROUTER socket that hands on what DEALER sockets address to each other.

Everything is blocking pyzmq, which is faster than its asyncio side; there is no authentication (what ZeroMQ offers for
it without encryption is no match). Both favour pyzmq.
"""

from __future__ import annotations

import threading
import time
from typing import Any

import zmq

from benchmarks.bus.roles.timing import round_trips
from benchmarks.child import Control
from benchmarks.progress import Progress

_BATCH = 256


def _socket(context: zmq.Context[zmq.Socket[bytes]], kind: int) -> zmq.Socket[bytes]:
    sock = context.socket(kind)
    sock.sndhwm = sock.rcvhwm = 0  # the window bounds what is under way; at its limit a ROUTER drops
    sock.linger = 0
    return sock


def broker(control: Control, *, port: int) -> None:
    """Hands `[to, ...]` from `sender` on as `[sender, ...]`."""
    context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
    sock = _socket(context, zmq.ROUTER)
    sock.bind(f"tcp://127.0.0.1:{port}")

    def run() -> None:
        receive, send = sock.recv_multipart, sock.send_multipart
        while True:
            frames = receive(copy=True)
            frames[0], frames[1] = frames[1], frames[0]
            send(frames, copy=True)

    threading.Thread(target=run, daemon=True).start()
    control.serve({})


def receiver(control: Control, *, port: int, secret: str, progress: str, first: int, count: int) -> None:
    """One DEALER socket."""
    assert count == 1
    context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
    sock = _socket(context, zmq.DEALER)
    sock.identity = f"sink.{first + 1}".encode()
    sock.connect(f"tcp://127.0.0.1:{port}")
    got = Progress(progress)
    counts = got.counts

    def run() -> None:
        while True:
            sender, kind, body = sock.recv_multipart()
            if kind == b"note":
                counts[first] += 1
            else:
                sock.send_multipart([sender, kind, body])

    threading.Thread(target=run, daemon=True).start()
    control.serve({})


def sender(control: Control, *, port: int, secret: str, progress: str) -> None:
    """One DEALER socket that sends."""
    context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
    sock = _socket(context, zmq.DEALER)
    sock.identity = b"source"
    sock.connect(f"tcp://127.0.0.1:{port}")
    got = Progress(progress)

    def oneway(count: int, size: int, window: int, way: str = "target") -> dict[str, Any]:
        body = bytes(size)
        names = [b"sink.1"] if way == "target" else [b"sink.%d" % (key % 4 + 1) for key in range(64)]
        before = got.total()
        batch = min(_BATCH, max(1, window // 4))
        started = time.perf_counter()
        sent = 0
        while sent < count:
            for number in range(batch):
                sock.send_multipart([names[(sent + number) % len(names)], b"note", body])
            sent += batch
            if before + sent - got.total() > window:
                got.wait(before + sent - window)
        got.wait(before + sent)
        return {"count": sent, "seconds": time.perf_counter() - started}

    def requests(count: int, size: int, inflight: int) -> dict[str, Any]:
        message = [b"sink.1", b"echo", bytes(size)]
        latencies: list[float] = []
        clock = time.perf_counter
        started = clock()
        under_way = []
        for _ in range(inflight):
            under_way.append(clock())
            sock.send_multipart(message)
        # One way there and one back, each in order: answers come in the order of the requests.
        for number in range(max(count, inflight)):
            sock.recv_multipart()
            latencies.append(clock() - under_way[number % inflight])
            if number + inflight < count:
                under_way[number % inflight] = clock()
                sock.send_multipart(message)
        return round_trips(clock() - started, latencies)

    control.serve({"oneway": oneway, "requests": requests})
