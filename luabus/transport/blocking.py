"""One request after another over a stream of its own, without an event loop: for programs that ask once and end.

Nothing but the session is loaded for it: `import asyncio` alone takes longer than most questions.
"""

from __future__ import annotations

import contextlib
import os
import socket
import time
from types import TracebackType
from typing import Any

from luabus import forks, option_checks
from luabus.errors import ConfigError, LuabusError, NotConnected, Refused, RequestTimeout
from luabus.host_addresses import format_address
from luabus.limits import DEFAULT_FRAME_LIMIT, LONGEST_TIMEOUT_S, MAX_FRAME_LIMIT
from luabus.protocol.codec import pack_call
from luabus.protocol.delivery import Delivery
from luabus.protocol.handshake import Handshake
from luabus.protocol.session import REQUEST_ROUTE, Session
from luabus.protocol.stream_options import StreamOptions
from luabus.transport.blocking_dialing import dial_blocking
from luabus.transport.security import Security

_CHUNK = 1 << 18


class _Outbox:
    """The shell of a session that is written by hand. `data`: what is to be written."""

    def __init__(self) -> None:
        self.data = b""

    def write(self, data: bytes) -> int:
        self.data += data
        return 0

    def take(self) -> bytes:
        """What is to be written, once."""
        data, self.data = self.data, b""
        return data

    def write_soon(self) -> None:
        """The session is flushed before each wait."""

    def due_changed(self) -> None:
        """Each request has its own time-out."""

    def shut(self, *, abort: bool) -> None:
        """The socket is closed with the conversation."""


class _Caller(Session):
    """The session of one who waits for each answer. `error`: why it ended."""

    __slots__ = ("error",)

    def __init__(self, outbox: _Outbox, handshake: Handshake, limit: int, name: str) -> None:
        super().__init__(
            1, outbox, Delivery(), handshake, first_sequence=0, now=time.monotonic(),
            options=StreamOptions(frame_limit=limit, send_buffer=MAX_FRAME_LIMIT), name=name,
        )  # fmt: skip
        self.error: LuabusError | None = None

    def answered(self, waiter: list[Any], source: int, value: Any) -> bool:
        waiter.append(value)
        return True

    def ended(self, error: LuabusError | None, text: str, *, was_open: bool) -> None:
        self.error = error


class Conversation:
    """`with Conversation(host, port, secret) as peer: peer.request("status")`.

    With the cluster's `secret` it comes as an admin; `security` says more than a secret does. `timeout` in seconds for
    connecting and the handshake; `limit` in bytes for one answer. Raises `ConfigError`, `NotConnected`, `RequestTimeout`,
    `AuthError` or `ProtocolError`.
    """

    def __init__(
        self,
        host: str,
        port: int,
        secret: bytes | str | None = None,
        *,
        security: Security | None = None,
        timeout: float = 5.0,
        limit: int = DEFAULT_FRAME_LIMIT,
    ) -> None:
        option_checks.check(port=port, limit=limit)
        option_checks.check_host("host", host)
        if option_checks.time_limit(timeout) is None:
            raise ConfigError(
                f"timeout is {timeout}; seconds are needed, fewer than {LONGEST_TIMEOUT_S:g}", key="timeout"
            )
        self._pid = os.getpid()
        self._state = ""
        self._peer = format_address(host, port)
        handshake = (security or Security.of(secret)).connector(self._peer)
        deadline = time.monotonic() + timeout
        try:
            self._socket = dial_blocking(host, port, timeout)
        except TimeoutError:
            raise RequestTimeout(
                f"{self._peer} did not accept within {timeout:g} s", timeout_s=timeout
            ) from None
        except (OSError, UnicodeError) as error:
            raise NotConnected(f"{self._peer}: {error}", routers=[self._peer]) from None
        self._outbox = _Outbox()
        self._session = _Caller(self._outbox, handshake, limit, self._peer)
        try:
            peer, local = (end()[:2] for end in (self._socket.getpeername, self._socket.getsockname))
            self._session.start(time.monotonic(), peer, local)
            while not self._session.is_open:
                self._exchange(deadline)
        except BaseException:
            self._socket.close()
            raise
        forks.watch(self)

    def __enter__(self) -> Conversation:
        if self._state:
            raise Refused(f"this conversation is {self._state} already: make one for each")
        self._state = "entered"
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._state = "closed"
        with contextlib.suppress(OSError):  # the peer sees the end also while a child has a copy
            self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()

    def forked(self) -> None:
        """This process is a child: keep no copy of the parent's connection."""
        self._state = f"process {self._pid}'s, of which this one is a fork"
        forks.let_go(self._socket.fileno())

    def request(self, msg: str, *args: Any, timeout: float | None = 5.0) -> Any:
        """Ask, and wait for the answer; None waits for ever. Raises what the handler raised, `RequestTimeout`, `NotConnected`,
        and `Refused` in a forked child, which needs a conversation of its own."""
        if self._pid != os.getpid():
            raise Refused(f"this conversation is {self._state}: make a new one here")
        if self._state == "closed":
            raise NotConnected(f"this conversation with {self._peer} is closed", routers=[self._peer])
        timeout = option_checks.time_limit(timeout)
        deadline = None if timeout is None else time.monotonic() + timeout
        answers: list[Any] = []
        sequence = self._session.start_call(answers, REQUEST_ROUTE, 0, pack_call(msg, args), None)
        try:
            while not answers:
                self._exchange(deadline)
        except RequestTimeout:
            self._session.give_up(sequence)
            raise
        if isinstance(answers[0], LuabusError):
            raise answers[0]
        return answers[0]

    def _exchange(self, deadline: float | None) -> None:
        """Write what there is to be written, wait for bytes, and let the session have them. Raises why the session ended."""
        session = self._session
        session.flush()
        self._send(self._outbox.take(), deadline)
        data = self._receive(deadline)
        if data:
            session.receive(data, time.monotonic())
        else:
            session.eof()
            session.end(NotConnected(f"{self._peer} closed the connection", routers=[self._peer]))
        if session.error is not None:
            with contextlib.suppress(LuabusError):
                self._send(self._outbox.take(), deadline)
            raise session.error

    def _left(self, deadline: float | None) -> float | None:
        if deadline is None:
            return None
        left = deadline - time.monotonic()
        if left <= 0:
            raise RequestTimeout(f"no answer from {self._peer} in time")
        return left

    def _send(self, data: bytes, deadline: float | None) -> None:
        try:
            self._socket.settimeout(self._left(deadline))
            self._socket.sendall(data)
        except TimeoutError:
            raise RequestTimeout(f"{self._peer} does not read") from None
        except OSError as error:
            raise self._broken(error) from None

    def _receive(self, deadline: float | None) -> bytes:
        try:
            self._socket.settimeout(self._left(deadline))
            return self._socket.recv(_CHUNK)
        except TimeoutError:
            raise RequestTimeout(f"no answer from {self._peer} in time") from None
        except OSError as error:
            raise self._broken(error) from None

    def _broken(self, error: OSError) -> NotConnected:
        return NotConnected(f"the connection to {self._peer} broke: {error}", routers=[self._peer])
