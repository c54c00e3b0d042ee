"""One connection without input and output: two sessions joined by hand, in made-up time."""

from __future__ import annotations

from collections.abc import Callable
from math import inf
from typing import Any

import pytest

from luabus.errors import (
    AuthError,
    FrameTooLarge,
    LuabusError,
    NotConnected,
    Overloaded,
    ProtocolError,
    Refused,
)
from luabus.limits import HANDSHAKE_TIMEOUT_S, MAX_OUTSTANDING
from luabus.protocol import codec
from luabus.protocol.delivery import Delivery
from luabus.protocol.events import Receiver
from luabus.protocol.frames import (
    FLAG_REQUEST,
    HEADER_SIZE,
    META_SIZE,
    Frame,
    Kind,
    encode,
    hello,
    make_route,
    split,
)
from luabus.protocol.handshake import (
    NOBODY,
    AcceptorHandshake,
    Address,
    ConnectorHandshake,
    Handshake,
    decode_bye,
)
from luabus.protocol.keys import Credential, derive
from luabus.protocol.principal import ADMIN, Principal
from luabus.protocol.session import CALL_ROUTE, REQUEST_ROUTE, Session
from luabus.protocol.stream_options import StreamOptions

SECRET = b"a secret of sixteen bytes"


class Tape:
    """The shell: what was written, and when something is to be written or done."""

    def __init__(self) -> None:
        self.data = b""
        self.waiting = 0
        self.shut_how: str | None = None
        self.soon = self.changes = 0

    def write(self, data: bytes) -> int:
        self.data += data
        return self.waiting

    def write_soon(self) -> None:
        self.soon += 1

    def due_changed(self) -> None:
        self.changes += 1

    def shut(self, *, abort: bool) -> None:
        self.shut_how = "abort" if abort else "close"

    def take(self) -> bytes:
        data, self.data = self.data, b""
        return data


PLACE = ("127.0.0.1", 7070)
"""Where both ends believe the connection to lead."""
ROUTER = Principal("router", "router.1")


def handshake(connector: bool, secret: bytes | None = None) -> Handshake:
    """Of an administrator, and of a router."""
    if connector:
        return ConnectorHandshake(b"c" * 32, Credential(ADMIN, derive(secret, ADMIN)) if secret else NOBODY)
    keys_of = None if secret is None else lambda claim: (derive(secret, claim),)
    return AcceptorHandshake(b"a" * 32, keys_of, principal=ROUTER)


class Recorder(Session):
    """A session whose events are written down."""

    __slots__ = ("log", "tape")

    def __init__(
        self, *, connector: bool, secret: bytes | None = None, now: float = 100.0, **options: Any
    ) -> None:
        self.log: list[tuple[Any, ...]] = []
        self.tape = Tape()
        super().__init__(
            7, self.tape, Delivery(), handshake(connector, secret), first_sequence=41, now=now,
            options=StreamOptions(**options), name="the other",
        )  # fmt: skip

    def start(self, now: float, peer: Address = PLACE, local: Address = PLACE) -> None:
        super().start(now, peer, local)

    def opened(self) -> None:
        self.log.append(("opened",))

    def ended(self, error: LuabusError | None, text: str, *, was_open: bool) -> None:
        self.log.append(("ended", type(error).__name__ if error else None, text, was_open))

    def called(self, route: int, source: int, sequence: int, data: bytes, start: int, end: int) -> None:
        at = start + META_SIZE if route >> 8 & FLAG_REQUEST else start
        self.log.append(("called", *codec.unpack_call(data[at:end])))

    def answered(self, waiter: Any, source: int, value: Any) -> bool:
        self.log.append(("answered", waiter, value if not isinstance(value, LuabusError) else type(value)))
        return bool(waiter != "many")

    def reached(self, waiter: Any, count: int, body: bytes) -> None:
        self.log.append(("reached", waiter, count))

    def expired(self, waiter: Any) -> None:
        self.log.append(("expired", waiter))

    def lost(self, waiter: Any, why: str) -> None:
        self.log.append(("lost", waiter, why))

    def ping_received(self, body: bytes) -> None:
        self.log.append(("ping", body))

    def pong_received(self, body: bytes) -> None:
        self.log.append(("pong", body))

    def ping_body(self) -> bytes:
        return b"how it goes"


def frames(data: bytes) -> list[Frame]:
    taken = list(split(data, 1 << 20))
    assert not data or taken[-1][1] == len(data)
    return [frame for frame, _ in taken]


def exchange(left: Recorder, right: Recorder, now: float = 100.0) -> None:
    """Carry what both write to the other until nothing is written any more."""
    while True:
        for session in (left, right):
            session.flush()
        here, there = left.tape.take(), right.tape.take()
        if not here and not there:
            return
        if there:
            left.receive(there, now)
        if here:
            right.receive(here, now)


def pair(secret: bytes | None = None, **options: Any) -> tuple[Recorder, Recorder]:
    """A connector and an acceptor, both open, their logs empty."""
    left = Recorder(connector=True, secret=secret, **options)
    right = Recorder(connector=False, secret=secret, **options)
    for session in (left, right):
        session.start(100.0)
    exchange(left, right)
    assert left.is_open
    assert right.is_open
    for session in (left, right):
        assert session.log.pop() == ("opened",)
    return left, right


# --- handshake ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("secret", [None, SECRET])
def test_both_ends_open_and_the_connector_learns_its_id(secret: bytes | None) -> None:
    left, right = pair(secret)
    assert left.source == right.id
    assert right.source == 0
    assert (left.principal, right.principal) == (ROUTER, ADMIN)
    for session in (left, right):
        session.tick(100.0 + HANDSHAKE_TIMEOUT_S)
        assert session.is_open
        assert session.due_at == inf


@pytest.mark.parametrize(
    ("here", "there"), [(SECRET, b"quite another secret"), (SECRET, None), (None, SECRET)]
)
def test_ends_without_a_common_secret_both_end_with_auth_error(
    here: bytes | None, there: bytes | None
) -> None:
    left, right = Recorder(connector=True, secret=here), Recorder(connector=False, secret=there)
    for session in (left, right):
        session.start(100.0)
    left.post(CALL_ROUTE, 0, codec.pack_call("password", ("hidden",)))
    written = b""
    while True:
        here_data, there_data = left.tape.take(), right.tape.take()
        written += here_data
        if not here_data and not there_data:
            break
        if there_data:
            left.receive(there_data, 100.0)
        if here_data:
            right.receive(here_data, 100.0)
    assert left.log == [("ended", "AuthError", "", False)]
    assert right.log == [("ended", "AuthError", "", False)]
    assert b"password" not in written
    assert left.tape.shut_how == right.tape.shut_how == "close"


def test_a_handshake_must_be_done_in_time() -> None:
    session = Recorder(connector=False)
    session.start(100.0)
    assert not session.is_open
    assert session.due_at == 100.0 + HANDSHAKE_TIMEOUT_S
    session.tick(104.9)
    assert not session.is_closed
    session.tick(105.0)
    assert session.log == [("ended", "ProtocolError", "", False)]
    assert session.tape.shut_how == "abort"
    assert session.due_at == inf


def test_what_is_sent_before_it_is_open_waits_in_order() -> None:
    left, right = Recorder(connector=True), Recorder(connector=False)
    for session in (left, right):
        session.start(100.0)
    for number in range(3):
        left.post(CALL_ROUTE, 0, codec.pack_call("early", (number,)))
    assert [frame.kind for frame in frames(left.tape.data)] == [Kind.HELLO]
    exchange(left, right)
    assert right.log == [("opened",), *(("called", "early", number) for number in range(3))]


@pytest.mark.parametrize(
    "garbage", [b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", bytes(64), hello(b"c" * 31, secured=False)]
)
def test_a_peer_that_speaks_something_else_is_told_and_closed(garbage: bytes) -> None:
    session = Recorder(connector=False)
    session.start(100.0)
    session.receive(garbage, 100.0)
    (bye,) = frames(session.tape.take())
    assert isinstance(decode_bye(bye.body), ProtocolError)
    assert session.log == [("ended", "ProtocolError", "", False)]
    session.receive(hello(b"x" * 32, secured=False), 100.0)  # nothing more is taken
    assert session.tape.take() == b""


# --- reassembly -----------------------------------------------------------------------------------------------


def stream_of_bytes(secret: bytes | None = None) -> bytes:
    """All that a connector writes: handshake, one call, one request, and a large call."""
    left, right = Recorder(connector=True, secret=secret), Recorder(connector=False, secret=secret)
    written = b""
    for session in (left, right):
        session.start(100.0)
    left.post(CALL_ROUTE, 0, codec.pack_call("one", (1,)))
    left.start_call("waiter", REQUEST_ROUTE, 0, codec.pack_call("two", ("x",)), None)
    left.post(CALL_ROUTE, 0, codec.pack_call("three", (bytes(50),)))
    while True:
        left.flush()
        here, there = left.tape.take(), right.tape.take()
        written += here
        if not here and not there:
            return written
        if there:
            left.receive(there, 100.0)
        if here:
            right.receive(here, 100.0)


EVENTS = [("opened",), ("called", "one", 1), ("called", "two", "x"), ("called", "three", bytes(50))]


@pytest.mark.parametrize("secret", [None, SECRET])
def test_bytes_may_be_split_anywhere(secret: bytes | None) -> None:
    data = stream_of_bytes(secret)
    for cut in range(len(data) + 1):
        session = Recorder(connector=False, secret=secret)
        session.start(100.0)
        for part in (data[:cut], data[cut:]):
            if part:
                session.receive(part, 100.0)
        assert session.log == EVENTS, cut
        assert session.bytes_in == len(data)
        assert session.frames_in == 3


def test_bytes_may_come_one_by_one() -> None:
    session = Recorder(connector=False)
    session.start(100.0)
    for byte in stream_of_bytes():
        session.receive(bytes((byte,)), 100.0)
    assert session.log == EVENTS


def test_the_end_between_frames_is_no_error_and_within_one_it_is() -> None:
    data = stream_of_bytes()
    ends = {0, *(end for _, end in split(data, 1 << 20))}
    for cut in range(len(data) + 1):
        session = Recorder(connector=False)
        session.start(100.0)
        if cut:
            session.receive(data[:cut], 100.0)
        session.eof()
        assert session.is_closed == (cut not in ends), cut


def test_trailing_bytes_are_kept_for_what_follows_and_garbage_ends_it() -> None:
    _, right = pair()
    call = encode(Frame(Kind.CALL, body=codec.pack_call("one", ())))
    right.receive(call + call[:10], 101.0)
    assert right.log == [("called", "one")]
    right.receive(call[10:], 101.0)
    assert right.log == [("called", "one")] * 2
    right.receive(call + b"\xee" * HEADER_SIZE, 101.0)
    assert right.log[2:] == [("called", "one"), ("ended", "ProtocolError", "", True)]
    assert isinstance(decode_bye(frames(right.tape.take())[-1].body), ProtocolError)


def test_a_frame_that_is_too_long_is_refused_at_its_header() -> None:
    _, right = pair(frame_limit=1000)
    right.receive(encode(Frame(Kind.CALL, body=bytes(1001)))[:HEADER_SIZE], 101.0)
    assert right.log == [("ended", "FrameTooLarge", "", True)]


def test_a_large_frame_in_pieces_and_what_follows_it() -> None:
    left, right = pair(frame_limit=1 << 20, send_buffer=1 << 20)
    left.post(CALL_ROUTE, 0, codec.pack_call("large", (bytes(200_000),)))
    left.post(CALL_ROUTE, 0, codec.pack_call("small", ()))
    left.flush()
    data = left.tape.take()
    for at in range(0, len(data), 65_536):
        right.receive(data[at : at + 65_536], 101.0)
    assert [entry[1] for entry in right.log] == ["large", "small"]


# --- requests -------------------------------------------------------------------------------------------------


def answer(right: Recorder, request: Frame, value: Any) -> None:
    right.reply(make_route(Kind.REPLY, destination=request.source), request.sequence, codec.pack_value(value))


def test_a_request_is_answered_once_and_late_answers_are_ignored() -> None:
    left, right = pair()
    first = left.start_call("first", REQUEST_ROUTE, 0, codec.pack_call("m", ()), None)
    second = left.start_call("second", REQUEST_ROUTE, 0, codec.pack_call("m", ()), None)
    assert (first, second) == (42, 43)
    left.flush()
    one, two = frames(left.tape.take())
    answer(right, two, "two")
    answer(right, one, "one")
    answer(right, one, "again")
    right.reply_error(0, 99, Refused("to nobody"))
    exchange(left, right)
    assert left.log == [("answered", "second", "two"), ("answered", "first", "one")]
    assert left.answers == 2


def test_an_error_arrives_as_the_error_and_what_cannot_be_read_as_a_protocol_error() -> None:
    left, right = pair()
    sequence = left.start_call("refused", REQUEST_ROUTE, 0, codec.pack_call("m", ()), None)
    right.reply_error(0, sequence, Refused("not today"))
    other = left.start_call("broken", REQUEST_ROUTE, 0, codec.pack_call("m", ()), None)
    right.reply(make_route(Kind.REPLY), other, b"\xc1")
    exchange(left, right)
    assert left.log == [("answered", "refused", Refused), ("answered", "broken", ProtocolError)]
    assert left.is_open


def test_a_waiter_of_many_answers_waits_on() -> None:
    left, right = pair()
    sequence = left.start_call("many", REQUEST_ROUTE, 0, codec.pack_call("m", ()), None)
    right.send_reserved(make_route(Kind.REACHED), 2, sequence)
    for number in range(2):
        right.reply(make_route(Kind.REPLY), sequence, codec.pack_value(number))
    exchange(left, right)
    assert left.log == [("reached", "many", 2), ("answered", "many", 0), ("answered", "many", 1)]
    assert left.settle_call(sequence) == "many"


def test_a_deadline_is_when_it_is_due_and_the_other_end_is_told() -> None:
    left, _ = pair()
    left.start_call("late", REQUEST_ROUTE, 0, codec.pack_call("m", ()), 102.0)
    left.start_call("later", REQUEST_ROUTE, 0, codec.pack_call("m", ()), 103.0)
    assert left.due_at == 102.0
    left.tick(102.0)
    assert left.log == [("expired", "late")]
    assert left.due_at == pytest.approx(103.0)
    left.flush()
    assert [frame.sequence for frame in frames(left.tape.take()) if frame.kind is Kind.CANCEL] == [42]
    left.give_up(43)
    left.give_up(43)
    left.flush()
    assert [frame.sequence for frame in frames(left.tape.take())] == [43]


def test_requests_in_flight_are_lost_with_the_session() -> None:
    left, right = pair()
    left.start_call("waiter", REQUEST_ROUTE, 0, codec.pack_call("m", ()), None)
    right.dismiss(Refused("closed by an administrator"))
    exchange(left, right)
    assert left.log == [
        ("lost", "waiter", "closed by an administrator"),
        ("ended", "Refused", "", True),
    ]
    assert right.log == [("ended", None, "", True)]
    with pytest.raises(NotConnected):
        left.start_call("another", REQUEST_ROUTE, 0, b"", None)


def test_there_are_only_so_many_requests_in_flight() -> None:
    left, _ = pair()
    for _ in range(MAX_OUTSTANDING):
        left._calls.add("waiter", None)
    with pytest.raises(Overloaded):
        left.start_call("one too many", REQUEST_ROUTE, 0, b"", None)


# --- receivers ------------------------------------------------------------------------------------------------


class Taker(Receiver):
    def __init__(self, log: list[Any]) -> None:
        self.log = log

    def take(
        self, stream: Any, route: int, source: int, sequence: int, data: bytes, start: int, end: int
    ) -> None:
        self.log.append((Kind(route & 0xFF).name, data[start:end]))

    def cancel(self, stream: Any, source: int, sequence: int) -> None:
        self.log.append(("cancel", sequence))

    def stream_closed(self, stream: Any) -> None:
        self.log.append("closed")


def test_the_other_ends_own_calls_go_to_the_control_receiver() -> None:
    routed: list[Any] = []
    own: list[Any] = []
    session = Session(
        1, Tape(), Delivery(), handshake(False), first_sequence=0, now=0.0, options=StreamOptions(),
        receiver=Taker(routed), control_receiver=Taker(own),
    )  # fmt: skip
    session.start(0.0)
    session.receive(handshake(True).start(), 0.0)
    session.receive(encode(Frame(Kind.CALL, body=b"own")) + encode(Frame(Kind.TARGET, body=b"routed")), 0.0)
    session.receive(encode(Frame(Kind.CANCEL, sequence=3)), 0.0)
    session.end(None)
    assert own == [("CALL", b"own")]
    assert routed == [("TARGET", b"routed"), ("cancel", 3), "closed"]


# --- heart-beats and silence ----------------------------------------------------------------------------------


def test_heart_beats_measure_the_way_and_tell_the_clock() -> None:
    left, right = pair()
    left.beat(200.0, 1.0, 3)
    assert left.due_at == 201.0
    left.flush()
    right.receive(left.tape.take(), 500.0)  # its clock
    right.flush()
    left.receive(right.tape.take(), 200.25)
    assert left.log == [("pong", b"")]
    assert right.log == [("ping", b"how it goes")]
    assert left.clock.rtt_s == pytest.approx(0.25, abs=0.001)
    assert left.clock.offset_ms == pytest.approx((500.0 - 200.125) * 1000, abs=2)
    assert left.frames_in == right.frames_in == 0  # they are no messages
    left.tick(201.0)
    left.flush()
    (ping,) = frames(left.tape.take())
    assert ping.sequence == pytest.approx(250_000, abs=1000)  # the round trip in us, for the other end
    assert left.due_at == 202.0


def test_what_has_been_heard_since_a_ping() -> None:
    left, right = pair()
    first = left.send_ping(200.0)
    second = left.send_ping(200.1)
    assert not left.has_heard(first)
    left.flush()
    ping = frames(left.tape.take())[0]
    right.receive(encode(ping), 100.0)
    exchange(left, right)
    assert left.has_heard(first)
    assert not left.has_heard(second)


def test_silence_ends_it_and_every_byte_puts_that_off() -> None:
    _, right = pair()
    right.limit_silence(700, 100.0)
    assert right.has_timeout
    assert right.due_at == pytest.approx(100.7)
    right.receive(encode(Frame(Kind.CALL, body=codec.pack_call("m", ())))[:3], 100.5)
    right.tick(100.7)
    assert not right.is_closed
    assert right.due_at == pytest.approx(101.2)
    right.tick(101.3)
    assert right.log == [("ended", "RequestTimeout", "timeout", True)]
    assert right.tape.shut_how == "abort"


def test_three_heart_beats_without_an_answer_are_silence() -> None:
    left, _ = pair()
    left.beat(200.0, 1.0, 3)
    ticks = []
    while not left.is_closed:
        ticks.append(left.due_at)
        left.tick(left.due_at)
    assert ticks == [201.0, 202.0, 203.0, 203.5]
    assert left.log == [("ended", "RequestTimeout", "timeout", True)]


def test_the_peers_silence_is_not_its_own_while_we_do_not_read() -> None:
    left, _ = pair(timeout_ms=1000)
    left.pause_reading(True, 100.0)
    left.tick(101.5)
    assert not left.is_closed
    left.pause_reading(False, 110.0)
    left.tick(110.9)
    assert not left.is_closed
    left.tick(111.0)
    assert left.is_closed


def test_a_timer_that_fires_late_gives_the_peer_another_interval() -> None:
    left, right = pair()
    left.beat(200.0, 1.0, 3)
    right.limit_silence(3500, 200.0)
    for session in (left, right):  # both ends stood still for six seconds
        session.tick(206.0)
        assert session.is_open
    left.flush()
    right.receive(left.tape.take(), 206.1)
    right.tick(209.5)
    assert right.is_open
    left.tick(209.4)
    assert left.is_open
    left.tick(209.5)
    assert left.is_closed


def test_a_handshake_during_which_we_stood_still_gets_its_time_again() -> None:
    session = Recorder(connector=False)
    session.start(100.0)
    session.tick(100.0 + HANDSHAKE_TIMEOUT_S + 60)
    assert not session.is_closed
    session.tick(session.due_at)
    assert session.is_closed


def test_a_peer_that_takes_what_is_written_lives() -> None:
    left, _ = pair()
    left.beat(200.0, 1.0, 3)
    left.progressed(203.0)
    left.tick(203.5)
    left.tick(206.4)
    assert left.is_open
    left.tick(206.5)
    assert left.is_closed


def test_who_takes_a_frame_that_comes_slowly_speaks_meanwhile() -> None:
    left, right = pair()
    large = encode(Frame(Kind.CALL, body=codec.pack_call("m", (bytes(1000),))))
    for tenth in range(30):
        right.receive(large[tenth * 10 : tenth * 10 + 10], 200.0 + tenth / 10)
        if right.due_at <= 200.0 + tenth / 10:
            right.tick(200.0 + tenth / 10)
    right.flush()
    assert [frame.kind for frame in frames(right.tape.take())] == [Kind.PING, Kind.PING]
    right.receive(large[300:], 203.0)
    right.tick(203.05)
    right.flush()
    assert right.tape.take() == b""
    assert right.due_at == inf
    left.receive(large[:500], 200.0)  # from the connector heartbeats speak, if anything is to
    left.tick(202.0)
    left.flush()
    assert left.tape.take() == b""


def test_a_limit_of_zero_is_none_and_below_it_refused() -> None:
    left, _ = pair(timeout_ms=1000)
    left.limit_silence(0, 100.0)
    assert not left.has_timeout
    left.tick(1e9)
    assert left.is_open
    with pytest.raises(Refused):
        left.limit_silence(-1, 100.0)


# --- ending ---------------------------------------------------------------------------------------------------


def test_what_was_sent_before_goes_out_before_it_closes() -> None:
    left, right = pair()
    left.post(CALL_ROUTE, 0, codec.pack_call("last", ()))
    left.end(None)
    left.end(ProtocolError("once only"))
    assert left.log == [("ended", None, "", True)]
    right.receive(left.tape.take(), 100.0)
    assert right.log == [("called", "last")]
    with pytest.raises(NotConnected):
        left.post(CALL_ROUTE, 0, b"")


@pytest.mark.parametrize(
    ("misbehave", "error"),
    [
        (lambda: encode(Frame(Kind.WELCOME)), ProtocolError),
        (lambda: encode(Frame(Kind.BYE, body=codec.pack_value(AuthError("go away").to_wire()))), AuthError),
        (lambda: encode(Frame(Kind.BYE, body=b"\xc1")), ProtocolError),
    ],
)
def test_a_peer_that_breaks_the_rules_or_leaves(
    misbehave: Callable[[], bytes], error: type[LuabusError]
) -> None:
    left, _ = pair()
    left.receive(misbehave(), 101.0)
    assert left.log == [("ended", error.__name__, "", True)]


def test_errors_that_the_sender_is_told() -> None:
    left, _ = pair()
    with pytest.raises(FrameTooLarge, match="at most 65536 can be sent to the other"):
        left.post(CALL_ROUTE, 0, bytes(70_000))
    left.peer_takes(1000)
    with pytest.raises(FrameTooLarge, match="at most 984 can be sent to the other"):
        left.post(CALL_ROUTE, 0, bytes(985))
