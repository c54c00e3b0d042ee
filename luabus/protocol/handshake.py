"""The first frames of a stream: who speaks what, who is who, and the proof of it. Pure; the nonce is an argument.

    connector                                                  acceptor
        HELLO version, nonce, role, name, to  ->
                                              <-  HELLO version, nonce, role, name, your id
    (without a secret at either end both are done here)
        AUTH  HMAC(key, "luabus 2 connector" T)  ->
                                              <-  WELCOME HMAC(key, "luabus 2 acceptor" T)

`key` is that of the role and name which the connector claims (`keys`), T the SHA-256 of both HELLO frames: a proof holds for
these two ends and this hand-shake only. `to` is where the connector connected to. The acceptor takes its proof only where that
is itself, so what a relay at another port passes on is worth nothing; and the connector says what it expects at the other end.

The connector proves itself first, so a stranger gets no proof to work on. Each end refuses at once, with BYE and the reason, a
peer with another version, or one that has a secret where it has none or the other way round.
"""

from __future__ import annotations

import hmac
from collections.abc import Callable, Sequence
from hashlib import sha256
from typing import Final

from luabus.errors import AuthError, LuabusError, ProtocolError, from_wire, wire_form
from luabus.host_addresses import format_address
from luabus.ids import CLIENT_BASE
from luabus.limits import HANDSHAKE_FRAME_LIMIT, PROTOCOL_VERSION
from luabus.protocol import codec
from luabus.protocol.frames import HEADER_SIZE, MAGIC, Frame, Kind, encode, hello, split
from luabus.protocol.keys import Credential, principal_of
from luabus.protocol.principal import ADMIN, CLIENT, Principal

NONCE_SIZE: Final = 32
PROOF_OF_CONNECTOR: Final = b"luabus 2 connector"
PROOF_OF_ACCEPTOR: Final = b"luabus 2 acceptor"

_MOST_ENDPOINTS = 4
_LONGEST_ENDPOINT = 300

Address = tuple[str, int]
"""Of a socket: host in numbers, port."""
NOWHERE: Final[Address] = ("", 0)
KeysOf = Callable[[Principal], Sequence[bytes]]
"""The keys that prove a claim: several while the cluster's secret is changed, none for whom there is no key."""
NOBODY: Final = Credential(ADMIN)
"""Of one who has no secret: where none is asked for it may do everything."""


class Handshake:
    """One end of a hand-shake. `start` it, feed it bytes, send what it returns; look at `done`.

    `given_id` is, at the acceptor, the id it gives to the connector; at the connector, once done, the id it got. `peer` is who
    the other end is, once done.
    """

    connector: bool
    secured: bool
    """This end asks for a proof, and gives one."""

    def __init__(self, principal: Principal, nonce: bytes) -> None:
        self.given_id = 0
        self.done = False
        self.peer = CLIENT
        self._principal = principal
        self._nonce = nonce
        self._hellos = b""
        self._state = Kind.HELLO

    def start(self, peer: Address = NOWHERE, local: Address = NOWHERE) -> bytes:
        """The connection stands, between these two ends of it: what to send before anything was received."""
        raise NotImplementedError

    def receive(self, data: bytes) -> tuple[bytes, int]:
        """Take the frames at the start of `data`: (bytes to send, offset behind the last frame taken).

        Raises `AuthError` or `ProtocolError` when the peer is not to be spoken with; send `encode_bye(error)` and close.
        """
        send = b""
        taken = 0
        if self._state is Kind.HELLO and len(data) >= HEADER_SIZE:
            self._check_magic(data)
        for frame, end in split(data, HANDSHAKE_FRAME_LIMIT):
            send += self._frame(frame, data[taken:end])
            taken = end
            if self.done:
                break
        return send, taken

    @staticmethod
    def _check_magic(data: bytes) -> None:
        if data[4] == Kind.BYE:
            return
        if data[4] != Kind.HELLO or data[12:16] != MAGIC.to_bytes(4, "little"):
            raise ProtocolError(f"the first bytes are not luabus: {data[:HEADER_SIZE].hex(' ')}")

    def _frame(self, frame: Frame, data: bytes) -> bytes:
        if frame.kind is Kind.BYE:
            raise decode_bye(frame.body)
        if frame.kind is not self._state:
            raise ProtocolError(f"{frame.kind.name} came where {self._state.name} was due")
        if frame.kind is Kind.HELLO:
            self._check_hello(frame)
            return self._hello(frame, data)
        return self._proof(data)

    def _check_hello(self, frame: Frame) -> None:
        if frame.sequence != PROTOCOL_VERSION:  # first: of another version nothing else is known
            raise ProtocolError(
                f"the peer speaks version {frame.sequence} of the protocol, this end version {PROTOCOL_VERSION}"
            )
        if len(frame.body) < NONCE_SIZE:
            raise ProtocolError(f"HELLO carries a nonce of {len(frame.body)} bytes instead of {NONCE_SIZE}")
        if frame.body[:NONCE_SIZE] == self._nonce:
            raise ProtocolError("the peer repeats our own nonce: this stream is connected to itself")
        secured = bool(frame.destination)
        if secured and not self.secured:
            raise AuthError("the peer asks for a secret and none was given here")
        if not secured and self.secured:
            raise AuthError("the peer has no secret, and one is required here")

    def _hello(self, frame: Frame, data: bytes) -> bytes:
        """Answer the other end's HELLO; `data`: the whole frame."""
        raise NotImplementedError

    def _proof(self, data: bytes) -> bytes:
        """Answer the other end's proof; `data`: the whole frame, no byte of which may be another."""
        raise NotImplementedError

    def _own_hello(self, to: Sequence[str] = ()) -> bytes:
        said = codec.pack_value([self._principal.role, self._principal.name, list(to)])
        return hello(self._nonce + said, secured=self.secured, given_id=self.given_id)

    def _auth(self, key: bytes) -> bytes:
        return self._proven(Kind.AUTH, key, PROOF_OF_CONNECTOR)

    def _welcome(self, key: bytes) -> bytes:
        return self._proven(Kind.WELCOME, key, PROOF_OF_ACCEPTOR)

    def _proven(self, kind: Kind, key: bytes, label: bytes) -> bytes:
        return encode(Frame(kind, body=hmac.new(key, label + sha256(self._hellos).digest(), sha256).digest()))


class ConnectorHandshake(Handshake):
    """The end that connects: proves that it is `credential.principal`.

    `dialed`: the address as it was written, `HOST:PORT`. `wanted`: who must be at the other end (a name of "" means any of that
    role); None: anybody.
    """

    connector = True

    def __init__(
        self,
        nonce: bytes,
        credential: Credential = NOBODY,
        *,
        dialed: str = "",
        wanted: Principal | None = None,
    ) -> None:
        super().__init__(credential.principal, nonce)
        self.secured = credential.key is not None
        self._key = credential.key or b""
        self._dialed = dialed
        self._wanted = wanted

    def start(self, peer: Address = NOWHERE, local: Address = NOWHERE) -> bytes:
        to = [text for text in (self._dialed, endpoint(*peer)) if text]
        self._hellos = self._own_hello(to)
        return self._hellos

    def _hello(self, frame: Frame, data: bytes) -> bytes:
        self._hellos += data
        self.peer, _ = _introduction(frame.body)
        wanted = self._wanted
        if wanted is not None and (self.peer.role != wanted.role or wanted.name not in ("", self.peer.name)):
            raise AuthError(
                f"{wanted} is wanted at {self._dialed or 'the other end'}, and there is {self.peer}"
            )
        if frame.source and frame.source < CLIENT_BASE:
            raise ProtocolError(f"the acceptor gave the id 0x{frame.source:08x}, which is not a client's")
        self.given_id = frame.source
        if not self.secured:
            self.done = True
            return b""
        self._state = Kind.WELCOME
        return self._auth(self._key)

    def _proof(self, data: bytes) -> bytes:
        if not hmac.compare_digest(data, self._welcome(self._key)):
            raise _not_proven(self._principal)
        self.done = True
        return b""


class AcceptorHandshake(Handshake):
    """The end that was connected to, and says that it is `principal`.

    `keys_of`: the keys that prove a claim; None: whoever comes is believed. `advertised`: addresses, `HOST:PORT`, by which
    others reach this end beside its own.
    """

    connector = False

    def __init__(
        self,
        nonce: bytes,
        keys_of: KeysOf | None = None,
        *,
        principal: Principal = CLIENT,
        advertised: Sequence[str] = (),
    ) -> None:
        super().__init__(principal, nonce)
        self.secured = keys_of is not None
        self._keys_of = keys_of
        self._advertised = frozenset(text.lower() for text in advertised)
        self._local = ""

    def start(self, peer: Address = NOWHERE, local: Address = NOWHERE) -> bytes:
        self._local = endpoint(*local)
        return b""

    def _hello(self, frame: Frame, data: bytes) -> bytes:
        self.peer, to = _introduction(frame.body)
        if self.secured:
            self._check_endpoint(to)
            self._state = Kind.AUTH
        else:
            self.done = True
        answer = self._own_hello()
        self._hellos = data + answer
        return answer

    def _check_endpoint(self, to: Sequence[str]) -> None:
        """The last of `to` is the other end of the connector's socket: ours, unless somebody passes on what it says."""
        if (to and to[-1] == self._local) or not self._advertised.isdisjoint(text.lower() for text in to):
            return
        raise AuthError(
            f"this connection was made to {' = '.join(dict.fromkeys(to)) or 'no address'} and has come to {self._local}:"
            " somebody passes it on. If that is meant (NAT, a proxy), the address must be advertised here"
        )

    def _proof(self, data: bytes) -> bytes:
        assert self._keys_of is not None
        fitting = b""
        for key in self._keys_of(self.peer):
            if hmac.compare_digest(data, self._auth(key)):
                fitting = key
        if not fitting:
            raise _not_proven(self.peer)
        self.done = True
        return self._welcome(fitting)


def _not_proven(claim: Principal) -> AuthError:
    why = f": this is no proof for {claim}" if claim.name else ""
    return AuthError(f"the peer's secret is not ours{why}")


def endpoint(host: str, port: int) -> str:
    """A socket's address as text, the same at both ends of a connection: an IPv4 address within IPv6 as what it is, and without
    the scope, which is each machine's own. "" for none."""
    host = host.partition("%")[0]
    if host.startswith("::ffff:") and "." in host:
        host = host.removeprefix("::ffff:")
    if not host:
        return ""
    return format_address(host, port)


def _introduction(body: bytes) -> tuple[Principal, list[str]]:
    """Who the other end says it is, and where it connected to."""
    said = codec.unpack_value(body[NONCE_SIZE:])
    if not isinstance(said, list) or len(said) != 3 or not isinstance(said[2], list):
        raise ProtocolError("HELLO does not say [role, name, addresses] behind the nonce")
    role, name, to = said
    if len(to) > _MOST_ENDPOINTS or not all(
        isinstance(text, str) and len(text) <= _LONGEST_ENDPOINT and text.isprintable() for text in to
    ):
        raise ProtocolError(
            f"HELLO names at most {_MOST_ENDPOINTS} addresses of {_LONGEST_ENDPOINT} characters"
        )
    return principal_of(role, name), to


def encode_bye(error: LuabusError) -> bytes:
    """BYE: the last frame of a stream that is closed for `error`."""
    return encode(Frame(Kind.BYE, body=codec.pack_value(wire_form(error))))


def decode_bye(body: bytes) -> LuabusError:
    """The error that a BYE frame carries."""
    try:
        return from_wire(codec.unpack_value(body))
    except ProtocolError as error:
        return error
