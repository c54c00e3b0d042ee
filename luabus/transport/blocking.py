"""One request after another over a stream of its own, without an event loop: for programs that ask once and end.

Nothing but the frames and the handshake is loaded for it: `import asyncio` alone takes longer than most questions.
"""

from __future__ import annotations

import os
import socket
import time
from types import TracebackType
from typing import Any

from luabus.errors import NotConnected, RequestTimeout, from_wire
from luabus.limits import DEFAULT_FRAME_LIMIT
from luabus.protocol.codec import pack_call, unpack_value
from luabus.protocol.frames import FLAG_REQUEST, Frame, Kind, encode, split
from luabus.protocol.handshake import Handshake, decode_bye

_CHUNK = 1 << 18


class Conversation:
    """`with Conversation(host, port, secret) as peer: peer.request("status")`.

    `timeout` in seconds for connecting and the handshake; `limit` in bytes for one answer. Raises `NotConnected`,
    `RequestTimeout`, `AuthError` or `ProtocolError`.
    """

    def __init__(
        self,
        host: str,
        port: int,
        secret: bytes | None = None,
        *,
        timeout: float = 5.0,
        limit: int = DEFAULT_FRAME_LIMIT,
    ) -> None:
        self._peer = f"{host}:{port}"
        self._limit = limit
        self._rest = b""
        self._sequence = 0
        self._deadline: float | None = time.monotonic() + timeout
        try:
            self._socket = socket.create_connection((host, port), timeout)
        except TimeoutError:
            raise RequestTimeout(
                f"{self._peer} did not accept within {timeout:g} s", timeout_s=timeout
            ) from None
        except OSError as error:
            raise NotConnected(f"{self._peer}: {error}", routers=[self._peer]) from None
        try:
            self._shake(Handshake(connector=True, secret=secret, nonce=os.urandom(32)))
        except BaseException:
            self._socket.close()
            raise

    def __enter__(self) -> Conversation:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._socket.close()

    def request(self, msg: str, *args: Any, timeout: float | None = 5.0) -> Any:
        """Ask, and wait for the answer; None waits for ever. Raises what the handler raised, `RequestTimeout`, `NotConnected`."""
        self._deadline = None if timeout is None else time.monotonic() + timeout
        self._sequence += 1
        frame = Frame(Kind.CALL, flags=FLAG_REQUEST, sequence=self._sequence, body=pack_call(msg, args))
        self._send(encode(frame))
        while True:
            for answer, end in split(self._rest, self._limit):
                self._rest = self._rest[end:]
                if answer.kind is Kind.BYE:
                    raise decode_bye(answer.body)
                if answer.sequence == self._sequence and answer.kind is Kind.REPLY:
                    return unpack_value(answer.body)
                if answer.sequence == self._sequence and answer.kind is Kind.ERROR:
                    raise from_wire(unpack_value(answer.body))
                break  # the offsets of the others hold no longer
            else:
                self._rest += self._receive()

    def _shake(self, handshake: Handshake) -> None:
        self._send(handshake.start())
        while not handshake.done:
            self._rest += self._receive()
            send, taken = handshake.receive(self._rest)
            self._rest = self._rest[taken:]
            self._send(send)

    def _left(self) -> float | None:
        if self._deadline is None:
            return None
        left = self._deadline - time.monotonic()
        if left <= 0:
            raise RequestTimeout(f"no answer from {self._peer} in time")
        return left

    def _send(self, data: bytes) -> None:
        try:
            self._socket.settimeout(self._left())
            self._socket.sendall(data)
        except TimeoutError:
            raise RequestTimeout(f"{self._peer} does not read") from None
        except OSError as error:
            raise NotConnected(
                f"the connection to {self._peer} broke: {error}", routers=[self._peer]
            ) from None

    def _receive(self) -> bytes:
        try:
            self._socket.settimeout(self._left())
            data = self._socket.recv(_CHUNK)
        except TimeoutError:
            raise RequestTimeout(f"no answer from {self._peer} in time") from None
        except OSError as error:
            raise NotConnected(
                f"the connection to {self._peer} broke: {error}", routers=[self._peer]
            ) from None
        if not data:
            raise NotConnected(f"{self._peer} closed the connection", routers=[self._peer])
        return data
