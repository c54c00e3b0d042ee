from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from luabus.errors import AuthError, FrameTooLarge, LuabusError, ProtocolError, Refused
from luabus.ids import CLIENT_BASE
from luabus.limits import HANDSHAKE_FRAME_LIMIT, PROTOCOL_VERSION
from luabus.protocol.frames import HEADER_SIZE, MAGIC, Frame, Kind, encode, hello, split
from luabus.protocol.handshake import NONCE_SIZE, Handshake, decode_bye, encode_bye

SECRET = b"a secret of at least 16 bytes"
GIVEN = CLIENT_BASE | 7


def connector(secret: bytes | None = SECRET, nonce: bytes = b"c" * NONCE_SIZE) -> Handshake:
    return Handshake(connector=True, secret=secret, nonce=nonce)


def acceptor(secret: bytes | None = SECRET, nonce: bytes = b"a" * NONCE_SIZE) -> Handshake:
    return Handshake(connector=False, secret=secret, nonce=nonce, given_id=GIVEN)


def shake(one: Handshake, other: Handshake) -> list[Kind]:
    """Carry bytes between the two until nothing is sent; returns the kinds that travelled."""
    kinds = []
    sender, receiver, data = one, other, one.start()
    while data:
        kinds += [frame.kind for frame, _ in split(data, HANDSHAKE_FRAME_LIMIT)]
        answer, taken = receiver.receive(data)
        assert taken == len(data)
        sender, receiver, data = receiver, sender, answer
    return kinds


def test_both_hold_the_secret() -> None:
    one, other = connector(), acceptor()
    assert shake(one, other) == [Kind.HELLO, Kind.HELLO, Kind.AUTH, Kind.WELCOME]
    assert one.done
    assert other.done
    assert one.given_id == GIVEN


def test_neither_has_a_secret() -> None:
    one, other = connector(None), acceptor(None)
    assert shake(one, other) == [Kind.HELLO, Kind.HELLO]
    assert one.done
    assert other.done
    assert one.given_id == GIVEN


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
    assert one.receive(answer + call) == (b"", len(answer))


# --- refused --------------------------------------------------------------------------------------------------


def test_another_secret_is_refused_by_the_acceptor_before_it_proves_anything() -> None:
    one, other = connector(b"not the secret..."), acceptor()
    answer, _ = other.receive(one.start())
    auth, _ = one.receive(answer)
    with pytest.raises(AuthError, match="the peer's secret is not ours"):
        other.receive(auth)
    assert not other.done


def test_another_secret_is_refused_by_the_connector_too() -> None:
    one = connector()
    answer, _ = acceptor(b"not the secret...").receive(one.start())
    one.receive(answer)
    with pytest.raises(AuthError, match="the peer's secret is not ours"):
        one.receive(encode(Frame(Kind.WELCOME, body=b"x" * 32)))
    assert not one.done


def test_a_secret_at_the_connector_alone_is_said_by_the_acceptor() -> None:
    with pytest.raises(AuthError, match="the peer asks for a secret and none was given here"):
        acceptor(None).receive(connector().start())


def test_a_secret_at_the_acceptor_alone_is_said_by_the_acceptor() -> None:
    with pytest.raises(AuthError, match="the peer has no secret, and one is required here"):
        acceptor().receive(connector(None).start())


@pytest.mark.parametrize(("mine", "theirs"), [(SECRET, False), (None, True)])
def test_a_secret_at_one_end_alone_is_refused_by_the_connector_too(mine: bytes | None, theirs: bool) -> None:
    one = connector(mine)
    with pytest.raises(AuthError):
        one.receive(hello(b"a" * NONCE_SIZE, secured=theirs, given_id=GIVEN))


@pytest.mark.parametrize("end", [connector, acceptor])
def test_another_version_is_refused_with_both_numbers(end: object) -> None:
    version = PROTOCOL_VERSION + 1
    other = encode(Frame(Kind.HELLO, destination=1, key=MAGIC, sequence=version, body=b"n" * NONCE_SIZE))
    text = f"the peer speaks version {version} of the protocol, this end version {PROTOCOL_VERSION}"
    with pytest.raises(ProtocolError, match=text):
        end().receive(other)  # type: ignore[operator]


def test_a_reflected_hello_is_refused() -> None:
    one = connector()
    with pytest.raises(ProtocolError, match="repeats our own nonce"):
        one.receive(one.start())


def test_a_proof_reflected_by_one_who_runs_two_handshakes_at_once_is_refused() -> None:
    """The impostor accepts our connection, connects to us with the nonces swapped, and hands our own proof back."""
    victim_out, victim_in = connector(nonce=b"1" * 32), acceptor(nonce=b"2" * 32)
    auth, _ = victim_out.receive(hello(b"2" * 32, secured=True, given_id=GIVEN))
    victim_in.receive(hello(b"1" * 32, secured=True))
    ((frame, _),) = split(auth, HANDSHAKE_FRAME_LIMIT)
    # As connector's proof it holds: that is a plain relay between two who share the secret. Reflected it is worth nothing.
    with pytest.raises(AuthError):
        victim_out.receive(encode(Frame(Kind.WELCOME, body=frame.body)))


def test_an_old_proof_is_worth_nothing_in_a_new_handshake() -> None:
    first = acceptor(nonce=b"1" * 32)
    one = connector()
    answer, _ = first.receive(one.start())
    auth, _ = one.receive(answer)
    second = acceptor(nonce=b"2" * 32)
    second.receive(connector().start())
    with pytest.raises(AuthError):
        second.receive(auth)


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


@pytest.mark.parametrize("size", [0, 31, 33])
def test_a_nonce_of_another_size_is_refused(size: int) -> None:
    with pytest.raises(ProtocolError, match=f"a nonce of {size} bytes instead of 32"):
        acceptor().receive(hello(b"n" * size, secured=True))


def test_a_stranger_cannot_announce_more_than_a_little() -> None:
    header = encode(Frame(Kind.HELLO, key=MAGIC, sequence=1, body=bytes(HANDSHAKE_FRAME_LIMIT + 1)))[
        :HEADER_SIZE
    ]
    with pytest.raises(FrameTooLarge):
        acceptor().receive(header)


@pytest.mark.parametrize("kind", [kind for kind in Kind if kind not in (Kind.AUTH, Kind.BYE)])
def test_a_frame_out_of_turn_is_refused(kind: Kind) -> None:
    other = acceptor()
    other.receive(connector().start())
    with pytest.raises(ProtocolError, match=f"{kind.name} came where AUTH was due"):
        other.receive(encode(Frame(kind, body=bytes(32))))


def test_an_id_that_is_no_clients_is_refused() -> None:
    with pytest.raises(ProtocolError, match="gave the id 0x00020001, which is not a client's"):
        connector(None).receive(hello(b"a" * 32, secured=False, given_id=0x0002_0001))


@pytest.mark.parametrize("end", [connector, acceptor])
def test_a_farewell_instead_of_a_greeting_says_why(end: object) -> None:
    with pytest.raises(Refused, match="full"):
        end().receive(encode_bye(Refused("full")))  # type: ignore[operator]


@given(st.binary(max_size=200))
def test_any_bytes_are_waited_for_or_refused_with_a_typed_error(data: bytes) -> None:
    other = acceptor()
    with contextlib.suppress(LuabusError):
        other.receive(data)
    assert not other.done


def test_farewell_reads_what_goodbye_wrote() -> None:
    ((frame, _),) = split(encode_bye(Refused("closed by an administrator")), HANDSHAKE_FRAME_LIMIT)
    assert frame.kind is Kind.BYE
    error = decode_bye(frame.body)
    assert type(error) is Refused
    assert str(error) == "closed by an administrator"
    assert type(decode_bye(b"\xc1")) is ProtocolError
    assert type(decode_bye(b"\x01")) is ProtocolError
