from __future__ import annotations

import contextlib
import hmac
from collections.abc import Callable, Iterator
from hashlib import sha256

import pytest
from hypothesis import given
from hypothesis import strategies as st

from luabus.errors import AuthError, FrameTooLarge, LuabusError, ProtocolError, Refused
from luabus.ids import CLIENT_BASE
from luabus.limits import HANDSHAKE_FRAME_LIMIT, PROTOCOL_VERSION
from luabus.protocol import codec
from luabus.protocol.frames import HEADER_SIZE, MAGIC, Frame, Kind, encode, hello, split
from luabus.protocol.handshake import (
    NOBODY,
    NONCE_SIZE,
    AcceptorHandshake,
    ConnectorHandshake,
    Handshake,
    decode_bye,
    encode_bye,
    endpoint,
)
from luabus.protocol.keys import Credential, derive
from luabus.protocol.principal import ADMIN, CLIENT, Principal

SECRET = b"a secret of at least 16 bytes"
NEXT = b"the secret that comes after it"
GIVEN = CLIENT_BASE | 7
MAIL = Principal("service", "mail")
ROUTER = Principal("router", "router.1")
PLACE = ("127.0.0.1", 7070)
DIALER = ("127.0.0.1", 40_000)


def connector(
    secret: bytes | None = SECRET,
    principal: Principal = ADMIN,
    *,
    key: bytes | None = None,
    to: tuple[str, int] = PLACE,
    dialed: str = "localhost:7070",
    wanted: Principal | None = None,
    nonce: bytes = b"c" * NONCE_SIZE,
) -> Connected:
    if secret is not None:
        key = key or derive(secret, principal)
    return Connected(ConnectorHandshake(nonce, Credential(principal, key), dialed=dialed, wanted=wanted), to)


def acceptor(
    *secrets: bytes | None,
    at: tuple[str, int] = PLACE,
    principal: Principal = ROUTER,
    advertised: tuple[str, ...] = (),
    nonce: bytes = b"a" * NONCE_SIZE,
) -> Handshake:
    accepted = [secret for secret in secrets or (SECRET,) if secret is not None]
    made = AcceptorHandshake(
        nonce,
        (lambda claim: [derive(secret, claim) for secret in accepted]) if accepted else None,
        principal=principal,
        advertised=advertised,
    )
    made.given_id = GIVEN
    made.start(DIALER, at)
    return made


class Connected:
    """A connector's hand-shake, and where its socket leads."""

    def __init__(self, handshake: ConnectorHandshake, to: tuple[str, int]) -> None:
        self.end = handshake
        self._to = to

    def start(self) -> bytes:
        return self.end.start(self._to, DIALER)


def shake(one: Connected, other: Handshake) -> list[Kind]:
    """Carry bytes between the two until nothing is sent; returns the kinds that travelled."""
    kinds = []
    sender: Handshake = one.end
    receiver, data = other, one.start()
    while data:
        kinds += [frame.kind for frame, _ in split(data, HANDSHAKE_FRAME_LIMIT)]
        answer, taken = receiver.receive(data)
        assert taken == len(data)
        sender, receiver, data = receiver, sender, answer
    return kinds


def body_of(data: bytes) -> bytes:
    ((frame, _),) = split(data, HANDSHAKE_FRAME_LIMIT)
    return frame.body


def said(*values: object, nonce: bytes = b"n" * NONCE_SIZE) -> bytes:
    """A HELLO with these values behind its nonce."""
    return hello(nonce + codec.pack_value(list(values)), secured=True)


# --- done -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "principal",
    [ADMIN, CLIENT, MAIL, Principal("router", "router.2"), Principal("launcher", "demo")],
    ids=str,
)
def test_each_role_proves_itself_and_each_end_knows_the_other(principal: Principal) -> None:
    one, other = connector(principal=principal), acceptor()
    assert shake(one, other) == [Kind.HELLO, Kind.HELLO, Kind.AUTH, Kind.WELCOME]
    assert one.end.done
    assert other.done
    assert one.end.given_id == GIVEN
    assert (one.end.peer, other.peer) == (ROUTER, principal)


def test_neither_has_a_secret_and_every_claim_is_believed() -> None:
    one, other = connector(None, MAIL), acceptor(None)
    assert shake(one, other) == [Kind.HELLO, Kind.HELLO]
    assert one.end.done
    assert other.done
    assert one.end.given_id == GIVEN
    assert (one.end.peer, other.peer) == (ROUTER, MAIL)


def test_who_has_no_secret_may_do_everything_where_none_is_asked_for() -> None:
    assert Credential(ADMIN, None) == NOBODY


@pytest.mark.parametrize("step", range(1, HEADER_SIZE + NONCE_SIZE))
def test_frames_may_come_in_pieces(step: int) -> None:
    one, other = connector(), acceptor()
    data = one.start()
    assert other.receive(data[:step]) == (b"", 0)
    answer, taken = other.receive(data)
    assert taken == len(data)
    assert answer


def test_what_follows_the_handshake_is_left_for_the_stream() -> None:
    one, other = connector(None), acceptor(None)
    call = encode(Frame(Kind.CALL, body=b"x"))
    data = one.start() + call
    answer, taken = other.receive(data)
    assert other.done
    assert data[taken:] == call
    assert one.end.receive(answer + call) == (b"", len(answer))


def test_the_proofs_are_those_of_the_documentation() -> None:
    one, other = connector(principal=MAIL), acceptor()
    hello_c = one.start()
    hello_a, _ = other.receive(hello_c)
    auth, _ = one.end.receive(hello_a)
    welcome, _ = other.receive(auth)
    key = hmac.new(SECRET, b"service:mail", sha256).digest()
    transcript = sha256(hello_c + hello_a).digest()
    assert body_of(auth) == hmac.new(key, b"luabus 2 connector" + transcript, sha256).digest()
    assert body_of(welcome) == hmac.new(key, b"luabus 2 acceptor" + transcript, sha256).digest()


# --- who is who -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("claim", "held"),
    [
        (Principal("service", "gateway"), MAIL),
        (ADMIN, MAIL),
        (ADMIN, CLIENT),
        (MAIL, CLIENT),
        (CLIENT, MAIL),
        (Principal("router", "mail"), MAIL),
        (Principal("launcher", "mail"), MAIL),
        (Principal("service", "mail "), MAIL),
    ],
    ids=str,
)
def test_a_key_proves_nobody_but_whose_it_is(claim: Principal, held: Principal) -> None:
    one = connector(None, claim, key=derive(SECRET, held))
    with pytest.raises(AuthError, match="the peer's secret is not ours"):
        shake(one, acceptor())


def test_the_secret_itself_is_nobodys_key() -> None:
    for claim in (ADMIN, CLIENT, MAIL):
        with pytest.raises(AuthError):
            shake(connector(None, claim, key=SECRET), acceptor())


@pytest.mark.parametrize("secret", [SECRET, NEXT])
def test_while_the_secret_changes_both_hold(secret: bytes) -> None:
    one, other = connector(secret, MAIL), acceptor(SECRET, NEXT)
    shake(one, other)
    assert one.end.done
    assert other.done


@pytest.mark.parametrize("wanted", [Principal("router"), ROUTER])
@pytest.mark.parametrize("secret", [SECRET, None])
def test_who_is_wanted_is_there(wanted: Principal, secret: bytes | None) -> None:
    one = connector(secret, wanted=wanted)
    shake(one, acceptor(secret))
    assert one.end.done


@pytest.mark.parametrize(
    ("wanted", "there"),
    [
        (Principal("router"), Principal("launcher", "demo")),
        (Principal("router"), CLIENT),
        (Principal("launcher"), ROUTER),
        (Principal("router", "router.2"), ROUTER),
    ],
    ids=str,
)
@pytest.mark.parametrize("secret", [SECRET, None])
def test_another_than_who_is_wanted_gets_no_proof(
    wanted: Principal, there: Principal, secret: bytes | None
) -> None:
    one, other = connector(secret, wanted=wanted), acceptor(secret, principal=there)
    answer, _ = other.receive(one.start())
    with pytest.raises(AuthError, match=f"{wanted} is wanted at localhost:7070, and there is {there}"):
        one.end.receive(answer)
    assert not one.end.done


@pytest.mark.parametrize(
    "values",
    [
        ("king", "", []),
        ("", "", []),
        (None, "", []),
        (["admin"], "", []),
        ("admin", "root", []),
        ("client", "c", []),
        ("service", "", []),
        ("service", "m\nail", []),
        ("service", "m" * 101, []),
        ("service", "\x1b[2J", []),
        ("service", "\u202e", []),
        ("service", 7, []),
        ("service", b"mail", []),
        ("service", "mail", "127.0.0.1:7070"),
        ("service", "mail", [7070]),
        ("service", "mail", ["a"] * 5),
        ("service", "mail", ["a" * 301]),
        ("service", "mail", ["a\n"]),
        ("service", "mail"),
        ("service", "mail", [], 1),
        (),
    ],
    ids=repr,
)
@pytest.mark.parametrize("secret", [SECRET, None])
def test_what_a_hello_says_is_checked(values: tuple[object, ...], secret: bytes | None) -> None:
    data = hello(b"n" * NONCE_SIZE + codec.pack_value(list(values)), secured=secret is not None)
    for end in (acceptor(secret), connector(secret).end):
        with pytest.raises(ProtocolError):
            end.receive(data)
        assert not end.done


@pytest.mark.parametrize("behind", [b"", b"\xc1", b"\x80", b"\x93\xa5admin\xa0\x90\x00", b"\x01"])
def test_a_hello_that_says_nothing_of_itself_is_refused(behind: bytes) -> None:
    with pytest.raises(ProtocolError):
        acceptor().receive(hello(b"n" * NONCE_SIZE + behind, secured=True))


# --- relays ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("principal", [ADMIN, CLIENT, MAIL, Principal("router", "router.2")], ids=str)
@pytest.mark.parametrize(
    "there", [ROUTER, Principal("router", "router.2"), Principal("launcher", "demo")], ids=str
)
def test_a_hand_shake_for_another_port_is_refused_with_both_addresses(
    principal: Principal, there: Principal
) -> None:
    one = connector(principal=principal, to=("127.0.0.1", 7071), dialed="localhost:7071")
    with pytest.raises(
        AuthError, match=r"made to localhost:7071 = 127.0.0.1:7071 and has come to 127.0.0.1:7070"
    ):
        acceptor(principal=there).receive(one.start())


def test_a_name_that_was_dialed_proves_nothing_unless_it_is_advertised() -> None:
    far = {"to": ("10.0.0.5", 7070), "dialed": "bus.example:7070"}
    with pytest.raises(AuthError):
        acceptor(at=("172.17.0.2", 7070)).receive(connector(**far).start())  # type: ignore[arg-type]
    for advertised in ("Bus.example:7070", "10.0.0.5:7070"):
        one, other = connector(**far), acceptor(at=("172.17.0.2", 7070), advertised=(advertised,))  # type: ignore[arg-type]
        shake(one, other)
        assert other.done


def test_an_address_that_was_dialed_is_no_sign_of_where_the_connection_came_to() -> None:
    """The victim's resolver lies, or another process has the port: what it dialed is not ours, where it came is."""
    with pytest.raises(AuthError):
        acceptor().receive(connector(to=("127.0.0.2", 7070), dialed="127.0.0.1:7070").start())


def test_a_hello_without_addresses_is_refused() -> None:
    with pytest.raises(AuthError, match="made to no address and has come to"):
        acceptor().receive(said("admin", "", []))


@pytest.mark.parametrize(
    ("there", "here"),
    [
        (("::ffff:127.0.0.1", 7070), ("127.0.0.1", 7070)),
        (("127.0.0.1", 7070), ("::ffff:127.0.0.1", 7070)),
        (("fe80::1%eth0", 7070), ("fe80::1%3", 7070)),
        (("::1", 7070), ("::1", 7070)),
    ],
)
def test_one_address_is_the_same_however_a_socket_writes_it(
    there: tuple[str, int], here: tuple[str, int]
) -> None:
    other = acceptor(at=here)
    shake(connector(to=there), other)
    assert other.done


def test_endpoints_as_text() -> None:
    assert endpoint("127.0.0.1", 1) == "127.0.0.1:1"
    assert endpoint("::1", 1) == "[::1]:1"
    assert endpoint("::ffff:1.2.3.4", 1) == "1.2.3.4:1"
    assert endpoint("fe80::1%eth0", 1) == "[fe80::1]:1"
    assert endpoint("", 0) == ""


def test_who_relays_cannot_change_where_the_connection_was_made_to() -> None:
    one, other = connector(to=("127.0.0.1", 7071)), acceptor()
    relayed = one.start().replace(b"127.0.0.1:7071", b"127.0.0.1:7070")
    answer, _ = other.receive(relayed)
    auth, _ = one.end.receive(answer)
    with pytest.raises(AuthError, match="the peer's secret is not ours"):
        other.receive(auth)


def mutations(data: bytes) -> Iterator[bytes]:
    for at in range(len(data)):
        for bit in (0x01, 0x80):
            yield data[:at] + bytes([data[at] ^ bit]) + data[at + 1 :]


def carry(change: Callable[[int, bytes], bytes]) -> tuple[Connected, Handshake]:
    """Both ends, after all was carried between them through somebody who changes the n-th of it."""
    one, other = connector(principal=MAIL), acceptor()
    data, receiver, sender = one.start(), other, one.end
    for step in range(4):
        if not data:
            break
        try:
            answer, _ = receiver.receive(change(step, data))
        except LuabusError:
            break
        receiver, sender, data = sender, receiver, answer  # type: ignore[assignment]
    return one, other


@pytest.mark.parametrize("step", range(4))
def test_no_byte_of_the_hand_shake_can_be_changed_on_the_way(step: int) -> None:
    originals: list[bytes] = []
    carry(lambda _, data: originals.append(data) or data)  # type: ignore[func-returns-value]
    assert len(originals) == 4
    for changed in mutations(originals[step]):
        one, other = carry(lambda n, data: changed if n == step else data)  # noqa: B023
        assert not (one.end.done and other.done), changed.hex(" ")
        if step < 3:  # the last is the acceptor's: it has seen all there is
            assert not other.done, changed.hex(" ")
        assert not one.end.done, changed.hex(" ")


# --- refused --------------------------------------------------------------------------------------------------


def test_another_secret_is_refused_by_the_acceptor_before_it_proves_anything() -> None:
    one, other = connector(b"not the secret..."), acceptor()
    answer, _ = other.receive(one.start())
    auth, _ = one.end.receive(answer)
    with pytest.raises(AuthError, match="the peer's secret is not ours"):
        other.receive(auth)
    assert not other.done


def test_another_secret_is_refused_by_the_connector_too() -> None:
    one = connector()
    answer, _ = acceptor(b"not the secret...").receive(one.start())
    one.end.receive(answer)
    with pytest.raises(AuthError, match="the peer's secret is not ours"):
        one.end.receive(encode(Frame(Kind.WELCOME, body=b"x" * 32)))
    assert not one.end.done


def test_a_secret_at_the_connector_alone_is_said_by_the_acceptor() -> None:
    with pytest.raises(AuthError, match="the peer asks for a secret and none was given here"):
        acceptor(None).receive(connector().start())


def test_a_secret_at_the_acceptor_alone_is_said_by_the_acceptor() -> None:
    with pytest.raises(AuthError, match="the peer has no secret, and one is required here"):
        acceptor().receive(connector(None).start())


@pytest.mark.parametrize(("mine", "theirs"), [(SECRET, False), (None, True)])
def test_a_secret_at_one_end_alone_is_refused_by_the_connector_too(mine: bytes | None, theirs: bool) -> None:
    one = connector(mine).end
    with pytest.raises(AuthError):
        one.receive(hello(b"a" * NONCE_SIZE, secured=theirs, given_id=GIVEN))


@pytest.mark.parametrize("end", [lambda: connector().end, acceptor])
@pytest.mark.parametrize("version", [0, 1, PROTOCOL_VERSION + 1])
def test_another_version_is_refused_with_both_numbers(end: Callable[[], Handshake], version: int) -> None:
    other = encode(Frame(Kind.HELLO, destination=1, key=MAGIC, sequence=version, body=b"n" * NONCE_SIZE))
    text = f"the peer speaks version {version} of the protocol, this end version {PROTOCOL_VERSION}"
    with pytest.raises(ProtocolError, match=text):
        end().receive(other)


V1_CONNECTOR = bytes.fromhex("20000000 01000000 01000000 4c756142 00000000 01000000") + bytes(range(32))
"""The first frame of a connector of version 1 with a secret, as luabus 0.x sent it."""
V1_ACCEPTOR = bytes.fromhex("20000000 01000000 01000000 4c756142 110000ff 01000000") + bytes(range(32, 64))


def test_peers_of_version_1_are_told_the_versions() -> None:
    text = "the peer speaks version 1 of the protocol, this end version 2"
    for end, data in ((acceptor(), V1_CONNECTOR), (connector().end, V1_ACCEPTOR)):
        with pytest.raises(ProtocolError, match=text):
            end.receive(data)


def v1_receives(data: bytes) -> str:
    """What version 1 did with its first frame: in its words, why it refuses."""
    assert data[12:16] == b"LuaB"
    ((frame, _),) = split(data, 4096)
    assert frame.kind in (Kind.HELLO, Kind.BYE)
    if frame.kind is Kind.BYE:
        return str(decode_bye(frame.body))
    return f"the peer speaks version {frame.sequence} of the protocol, this end version 1"


def test_what_they_are_told_has_the_form_that_version_1_reads() -> None:
    try:
        acceptor().receive(V1_CONNECTOR)
    except ProtocolError as error:
        data = encode_bye(error)
    text = "the peer speaks version 1 of the protocol, this end version 2"
    assert data[:12] == (len(data) - HEADER_SIZE).to_bytes(4, "little") + bytes((6, 0, 0, 0, 0, 0, 0, 0))
    assert codec.unpack_value(data[HEADER_SIZE:]) == ["ProtocolError", text, {}]


def test_peers_of_version_1_read_ours() -> None:
    hello_c = connector().start()
    assert v1_receives(hello_c) == "the peer speaks version 2 of the protocol, this end version 1"
    hello_a, _ = acceptor().receive(hello_c)
    assert v1_receives(hello_a) == "the peer speaks version 2 of the protocol, this end version 1"


def test_a_reflected_hello_is_refused() -> None:
    one = connector()
    with pytest.raises(ProtocolError, match="repeats our own nonce"):
        one.end.receive(one.start())


def test_a_proof_reflected_by_one_who_runs_two_handshakes_at_once_is_refused() -> None:
    """The impostor accepts our connection, connects to us with our own words, and hands our own proof back."""
    victim_out, victim_in = connector(principal=ROUTER, nonce=b"1" * 32), acceptor(nonce=b"2" * 32)
    answer, _ = victim_in.receive(victim_out.start())
    auth, _ = victim_out.end.receive(answer)
    with pytest.raises(AuthError):
        victim_out.end.receive(encode(Frame(Kind.WELCOME, body=body_of(auth))))


def test_a_proof_of_the_acceptor_is_none_of_a_connector() -> None:
    one, other = connector(), acceptor()
    answer, _ = other.receive(one.start())
    auth, _ = one.end.receive(answer)
    welcome, _ = other.receive(auth)
    again = acceptor()
    again.receive(one.start())
    with pytest.raises(AuthError):
        again.receive(encode(Frame(Kind.AUTH, body=body_of(welcome))))


def test_an_old_proof_is_worth_nothing_in_a_new_handshake() -> None:
    first = acceptor(nonce=b"1" * 32)
    one = connector()
    answer, _ = first.receive(one.start())
    auth, _ = one.end.receive(answer)
    second = acceptor(nonce=b"2" * 32)
    second.receive(one.start())
    with pytest.raises(AuthError):
        second.receive(auth)


def test_a_proof_for_one_router_is_worth_nothing_at_another_with_the_same_nonce_and_address() -> None:
    one = connector()
    answer, _ = acceptor(principal=Principal("router", "router.2")).receive(one.start())
    auth, _ = one.end.receive(answer)
    other = acceptor()
    other.receive(one.start())
    with pytest.raises(AuthError):
        other.receive(auth)


@pytest.mark.parametrize(
    "data",
    [
        b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(40),
        bytes(HEADER_SIZE),
        encode(Frame(Kind.CALL, body=b"\x91\xa1m")),
        encode(Frame(Kind.HELLO, key=MAGIC ^ 1, sequence=1, body=bytes(32))),
    ],
)
def test_what_is_not_luabus_is_said_with_its_first_bytes(data: bytes) -> None:
    with pytest.raises(ProtocolError, match=f"the first bytes are not luabus: {data[:4].hex(' ')}"):
        acceptor().receive(data)


@pytest.mark.parametrize("size", [0, 31])
def test_a_nonce_that_is_too_short_is_refused(size: int) -> None:
    with pytest.raises(ProtocolError, match=f"a nonce of {size} bytes instead of 32"):
        acceptor().receive(hello(b"n" * size, secured=True))


def test_a_stranger_cannot_announce_more_than_a_little() -> None:
    header = encode(Frame(Kind.HELLO, key=MAGIC, sequence=1, body=bytes(HANDSHAKE_FRAME_LIMIT + 1)))[
        :HEADER_SIZE
    ]
    with pytest.raises(FrameTooLarge):
        acceptor().receive(header)


def test_the_longest_hello_is_short_enough_for_a_stranger() -> None:
    name = "\U0001f600" * 100
    one = connector(principal=Principal("service", name), dialed="\U0001f600" * 300)
    other = acceptor()
    shake(one, other)
    assert other.peer.name == name


@pytest.mark.parametrize("kind", [kind for kind in Kind if kind not in (Kind.AUTH, Kind.BYE)])
def test_a_frame_out_of_turn_is_refused(kind: Kind) -> None:
    other = acceptor()
    other.receive(connector().start())
    with pytest.raises(ProtocolError, match=f"{kind.name} came where AUTH was due"):
        other.receive(encode(Frame(kind, body=bytes(32))))


def test_an_id_that_is_no_clients_is_refused() -> None:
    body = b"a" * 32 + codec.pack_value(["router", "router.1", []])
    with pytest.raises(ProtocolError, match="gave the id 0x00020001, which is not a client's"):
        connector(None).end.receive(hello(body, secured=False, given_id=0x0002_0001))


@pytest.mark.parametrize("end", [lambda: connector().end, acceptor])
def test_a_farewell_instead_of_a_greeting_says_why(end: Callable[[], Handshake]) -> None:
    with pytest.raises(Refused, match="full"):
        end().receive(encode_bye(Refused("full")))


@given(st.binary(max_size=200))
def test_any_bytes_are_waited_for_or_refused_with_a_typed_error(data: bytes) -> None:
    other = acceptor()
    with contextlib.suppress(LuabusError):
        other.receive(data)
    assert not other.done


@given(st.binary(max_size=200))
def test_any_bytes_behind_a_nonce_are_refused_with_a_typed_error(data: bytes) -> None:
    other = acceptor()
    with contextlib.suppress(LuabusError):
        other.receive(hello(b"n" * NONCE_SIZE + data, secured=True))
    assert not other.done


def test_farewell_reads_what_goodbye_wrote() -> None:
    ((frame, _),) = split(encode_bye(Refused("closed by an administrator")), HANDSHAKE_FRAME_LIMIT)
    assert frame.kind is Kind.BYE
    error = decode_bye(frame.body)
    assert type(error) is Refused
    assert str(error) == "closed by an administrator"
    assert type(decode_bye(b"\xc1")) is ProtocolError
    assert type(decode_bye(b"\x01")) is ProtocolError
