"""Raw sockets for both routers: a sender with its bytes ready, receivers that only count bytes.

What remains is the router. A message that all receivers wait for ("mark") goes before the load: from there on every byte counts.
"""

from __future__ import annotations

import random
import socket
import struct
import threading
import time
from collections.abc import Callable
from typing import Any

from benchmarks.child import Control
from benchmarks.progress import Progress
from luabus.protocol import codec
from luabus.protocol.frames import FLAG_REQUEST, Frame, Kind, encode, split
from luabus.transport.security import Security

GROUP = 2
SENDER_GROUP = 3
_MARK = b"mark"
_CHUNK = 1 << 20
_PIECE = 128 * 1024
_BLOCK_FRAMES = 16_384
_KEEP_ALIVE_S = 1.0


class _Connection:
    def __init__(self, port: int) -> None:
        self.sock = socket.create_connection(("127.0.0.1", port))
        self._rest = b""
        self._lock = threading.Lock()

    def send(self, data: bytes | memoryview) -> None:
        """All of `data`, in one piece also when two threads send."""
        with self._lock:
            self.sock.sendall(data)

    def _receive(self) -> bytes:
        data = self.sock.recv(_CHUNK)
        if not data:
            raise ConnectionError(f"the router closed the connection; its last bytes: {self._rest[-200:]!r}")
        return data


class Luabus(_Connection):
    """A connection to a luabus router, made by hand: handshake, join, and a word each second."""

    def __init__(self, port: int, secret: str, *, group: int = 0, instance: int = 0) -> None:
        super().__init__(port)
        self.source = 0
        shake = Security.of(secret).connector(f"127.0.0.1:{port}")
        self.send(shake.start(("127.0.0.1", port)))
        while not shake.done:
            self._rest += self._receive()
            send, taken = shake.receive(self._rest)
            self._rest = self._rest[taken:]
            self.send(send)
        if group:
            self.source = group << 16 | instance
            self._join()
        self._still_there = encode(
            Frame(Kind.CALL, source=self.source, body=codec.pack_call("luabus.prefer", (False,)))
        )

    def _join(self) -> None:
        args = (self.source, f"raw{self.source >> 16}", time.time_ns(), "")
        body = codec.pack_call("luabus.join", args)
        self.send(encode(Frame(Kind.CALL, flags=FLAG_REQUEST, sequence=1, body=body)))
        self.wait_for(lambda frame: frame.kind is Kind.REPLY and frame.sequence == 1)

    def wait_for(self, wanted: Callable[[Frame], bool]) -> None:
        """Read frames up to the one that is wanted."""
        while True:
            for frame, end in split(self._rest, 1 << 20):
                if wanted(frame):
                    self._rest = self._rest[end:]
                    return
                if frame.kind is Kind.ERROR:
                    raise ConnectionError(f"the router refused: {frame.body!r}")
            self._rest += self._receive()

    def wait_for_mark(self) -> bytes:
        """Read up to the mark; returns what has come behind it."""
        self.wait_for(lambda frame: frame.body == _MARK)
        return self._rest

    def say_still_there(self) -> None:
        """A word that the router does not answer: without one it would take us for dead."""
        self.send(self._still_there)

    def message(self, target: int, body: bytes) -> bytes:
        """A frame to the instance `target`."""
        return encode(Frame(Kind.TARGET, destination=GROUP << 16 | target, source=self.source, body=body))

    def hashed(self, key: int, body: bytes) -> bytes:
        """A frame to the slot that `key` names."""
        return encode(Frame(Kind.HASH, group=GROUP, key=key, source=self.source, body=body))

    @staticmethod
    def received_size(size: int) -> int:
        """Bytes of one message at its receiver."""
        return len(encode(Frame(Kind.TARGET, body=bytes(size))))


class Nats(_Connection):
    """A connection to nats-server, made by hand."""

    def __init__(self, port: int, secret: str, *, group: int = 0, instance: int = 0) -> None:
        super().__init__(port)
        self._wait_for(b"\r\n")
        connect = f'CONNECT {{"verbose":false,"pedantic":false,"auth_token":"{secret}"}}\r\n'.encode()
        if group == GROUP:
            connect += b"SUB m.%d 1\r\n" % instance
        self.send(connect + b"PING\r\n")
        self._wait_for(b"PONG\r\n")

    def _wait_for(self, text: bytes) -> None:
        while text not in self._rest:
            self._rest += self._receive()
        self._rest = self._rest.partition(text)[2]

    def wait_for_mark(self) -> bytes:
        """Read up to the mark; returns what has come behind it."""
        self._wait_for(_MARK + b"\r\n")
        return self._rest

    def say_still_there(self) -> None:
        """nats-server asks by itself, every two minutes."""

    def message(self, target: int, body: bytes) -> bytes:
        """A message for the subscriber `target`."""
        return b"PUB m.%d %d\r\n%s\r\n" % (target, len(body), body)

    def hashed(self, key: int, body: bytes) -> bytes:
        """nats-server has no hash: the client would choose the subject."""
        return self.message(key % 4 + 1, body)

    @staticmethod
    def received_size(size: int) -> int:
        """Bytes of one message at its receiver."""
        return len(b"MSG m.1 1 %d\r\n%s\r\n" % (size, bytes(size)))


_PEERS: dict[str, type[Luabus] | type[Nats]] = {"luabus": Luabus, "nats": Nats}


def _keep_alive(peers: list[Luabus | Nats]) -> None:
    def run() -> None:
        while True:
            time.sleep(_KEEP_ALIVE_S)
            for peer in peers:
                try:
                    peer.say_still_there()
                except OSError:
                    return

    threading.Thread(target=run, daemon=True).start()


def receiver(control: Control, *, system: str, port: int, secret: str, progress: str, first: int) -> None:
    """Counts the bytes that come after the mark."""
    peer = _PEERS[system](port, secret, group=GROUP, instance=first + 1)
    got = Progress(progress)
    counts = got.counts
    _keep_alive([peer])

    def run() -> None:
        counts[first] = len(peer.wait_for_mark())
        buffer = bytearray(_CHUNK)
        receive = peer.sock.recv_into
        while (size := receive(buffer)) > 0:
            counts[first] += size

    threading.Thread(target=run, daemon=True).start()
    control.serve({})


def sender(control: Control, *, system: str, port: int, secret: str, progress: str, receivers: int) -> None:
    """Sends prepared bytes as fast as the router and the window allow."""
    peer = _PEERS[system](port, secret, group=SENDER_GROUP, instance=1)
    got = Progress(progress)
    _keep_alive([peer])
    peer.send(b"".join(peer.message(target, _MARK) for target in range(1, receivers + 1)))
    chance = random.Random(7)

    def load(way: str, size: int) -> bytes:
        body = bytes(size)
        if way == "hash":
            return b"".join(peer.hashed(chance.getrandbits(32), body) for _ in range(_BLOCK_FRAMES))
        targets = [number % receivers + 1 for number in range(_BLOCK_FRAMES)]
        chance.shuffle(targets)
        return b"".join(peer.message(target, body) for target in targets)

    blocks: dict[tuple[str, int], bytes] = {}

    def oneway(count: int, size: int, window: int, way: str = "target") -> dict[str, Any]:
        """`window` in bytes."""
        block = blocks.get((way, size)) or blocks.setdefault((way, size), load(way, size))
        view = memoryview(block)
        each = peer.received_size(size)
        repeats = max(1, count // _BLOCK_FRAMES)
        before = got.total()
        # In received bytes, which per message are a little more or less than those sent.
        scale = each * _BLOCK_FRAMES / len(block)
        # Whole messages: the other thread may have its word in between.
        piece_size = _PIECE // (len(block) // _BLOCK_FRAMES) * (len(block) // _BLOCK_FRAMES)
        started = time.perf_counter()
        sent = 0
        for _ in range(repeats):
            for at in range(0, len(block), piece_size):
                piece = view[at : at + piece_size]
                peer.send(piece)
                sent += len(piece)
                ahead = before + int(sent * scale) - window
                if got.total() < ahead:
                    got.wait(ahead)
        count = repeats * _BLOCK_FRAMES
        got.wait(before + count * each)
        return {"count": count, "seconds": time.perf_counter() - started}

    control.serve({"oneway": oneway})


def idle(control: Control, *, system: str, port: int, secret: str) -> None:
    """Holds connections that say nothing but that they are still there."""
    peers: list[Luabus | Nats] = []
    _keep_alive(peers)

    def grow(count: int) -> dict[str, Any]:
        peers.extend(_PEERS[system](port, secret) for _ in range(count - len(peers)))
        return {"count": len(peers)}

    control.serve({"grow": grow})


def stop_reading(control: Control, *, system: str, port: int, secret: str, first: int) -> None:
    """Joins as a receiver and never reads again. Its receive buffer is small, so that the router notices soon."""
    peer = _PEERS[system](port, secret, group=GROUP, instance=first + 1)
    peer.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65_536)
    peer.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    _keep_alive([peer])
    control.serve({})


def flood(control: Control, *, system: str, port: int, secret: str, progress: str) -> None:
    """Sends to receivers of which one does not read: the window is kept with the first one, who does."""
    peer = _PEERS[system](port, secret, group=SENDER_GROUP, instance=1)
    got = Progress(progress)
    _keep_alive([peer])
    peer.send(peer.message(1, _MARK))

    def run(count: int, size: int, window: int) -> dict[str, Any]:
        block = b"".join(peer.message(target, bytes(size)) for _ in range(64) for target in (1, 2))
        each = peer.received_size(size)
        before = got.total()
        sent = 0
        while sent < count:
            peer.send(block)
            sent += 64
            got.wait(max(0, before + sent * each - window))
        got.wait(before + sent * each)
        return {"count": sent}

    control.serve({"run": run})
