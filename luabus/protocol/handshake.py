"""The first frames of a stream: who speaks what, and whether both hold the secret. Pure; the nonce is an argument.

    connector                                  acceptor
        HELLO version, nonce_c, secured  ->
                                         <-    HELLO version, nonce_a, secured, your id
    (without a secret at either end both are done here)
        AUTH  HMAC(secret, "connector" nonce_c nonce_a)  ->
                                         <-    WELCOME HMAC(secret, "acceptor" nonce_a nonce_c)

The connector proves itself first, so a stranger gets no proof to work on. Each end refuses at once, with BYE and the reason, a
peer with another version, or one that has a secret where it has none or the other way round.
"""

from __future__ import annotations

import hmac
from hashlib import sha256

from luabus.errors import AuthError, LuabusError, ProtocolError, from_wire, wire_form
from luabus.ids import CLIENT_BASE
from luabus.limits import HANDSHAKE_FRAME_LIMIT, PROTOCOL_VERSION
from luabus.protocol import codec
from luabus.protocol.frames import HEADER_SIZE, MAGIC, Frame, Kind, encode, hello, split

NONCE_SIZE = 32


class Handshake:
    """One end of a handshake. Feed it bytes; send what it returns; look at `done`.

    `given_id` is, at the acceptor, the id it gives to the connector; at the connector, once done, the id it got.
    """

    def __init__(self, *, connector: bool, secret: bytes | None, nonce: bytes, given_id: int = 0) -> None:
        self.connector = connector
        self.given_id = given_id
        self.done = False
        self._secret = secret
        self._nonce = nonce
        self._peer_nonce = b""
        self._state = Kind.HELLO

    def start(self) -> bytes:
        """What to send before anything was received."""
        return hello(self._nonce, secured=self._secret is not None) if self.connector else b""

    def receive(self, data: bytes) -> tuple[bytes, int]:
        """Take the frames at the start of `data`: (bytes to send, offset behind the last frame taken).

        Raises `AuthError` or `ProtocolError` when the peer is not to be spoken with; send `encode_bye(error)` and close.
        """
        send = b""
        taken = 0
        if self._state is Kind.HELLO and len(data) >= HEADER_SIZE:
            self._check_magic(data)
        for frame, end in split(data, HANDSHAKE_FRAME_LIMIT):
            taken = end
            send += self._frame(frame)
            if self.done:
                break
        return send, taken

    @staticmethod
    def _check_magic(data: bytes) -> None:
        if data[4] == Kind.BYE:
            return
        if data[4] != Kind.HELLO or data[12:16] != MAGIC.to_bytes(4, "little"):
            raise ProtocolError(f"the first bytes are not luabus: {data[:HEADER_SIZE].hex(' ')}")

    def _frame(self, frame: Frame) -> bytes:
        if frame.kind is Kind.BYE:
            raise decode_bye(frame.body)
        if frame.kind is not self._state:
            raise ProtocolError(f"{frame.kind.name} came where {self._state.name} was due")
        if frame.kind is Kind.HELLO:
            return self._hello(frame)
        if frame.kind is Kind.AUTH:
            self._check(frame.body, "connector", self._peer_nonce, self._nonce)
            self.done = True
            return encode(Frame(Kind.WELCOME, body=self._proof("acceptor", self._nonce, self._peer_nonce)))
        self._check(frame.body, "acceptor", self._peer_nonce, self._nonce)
        self.done = True
        return b""

    def _hello(self, frame: Frame) -> bytes:
        if frame.sequence != PROTOCOL_VERSION:
            raise ProtocolError(
                f"the peer speaks version {frame.sequence} of the protocol, this end version {PROTOCOL_VERSION}"
            )
        if len(frame.body) != NONCE_SIZE:
            raise ProtocolError(f"HELLO carries a nonce of {len(frame.body)} bytes instead of {NONCE_SIZE}")
        if frame.body == self._nonce:
            raise ProtocolError("the peer repeats our own nonce: this stream is connected to itself")
        secured = bool(frame.destination)
        if secured and self._secret is None:
            raise AuthError("the peer asks for a secret and none was given here")
        if not secured and self._secret is not None:
            raise AuthError("the peer has no secret, and one is required here")
        self._peer_nonce = frame.body
        if not self.connector:
            self._state = Kind.AUTH
            self.done = self._secret is None
            return hello(self._nonce, secured=secured, given_id=self.given_id)
        if frame.source and frame.source < CLIENT_BASE:
            raise ProtocolError(f"the acceptor gave the id 0x{frame.source:08x}, which is not a client's")
        self.given_id = frame.source
        if self._secret is None:
            self.done = True
            return b""
        self._state = Kind.WELCOME
        return encode(Frame(Kind.AUTH, body=self._proof("connector", self._nonce, self._peer_nonce)))

    def _proof(self, role: str, own: bytes, other: bytes) -> bytes:
        return hmac.new(self._secret or b"", role.encode() + own + other, sha256).digest()

    def _check(self, proof: bytes, role: str, own: bytes, other: bytes) -> None:
        if not hmac.compare_digest(proof, self._proof(role, own, other)):
            raise AuthError("the peer's secret is not ours")


def encode_bye(error: LuabusError) -> bytes:
    """BYE: the last frame of a stream that is closed for `error`."""
    return encode(Frame(Kind.BYE, body=codec.pack_value(wire_form(error))))


def decode_bye(body: bytes) -> LuabusError:
    """The error that a BYE frame carries."""
    try:
        return from_wire(codec.unpack_value(body))
    except ProtocolError as error:
        return error
