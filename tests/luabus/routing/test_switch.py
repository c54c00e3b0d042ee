"""The per-frame loop with ports that only write down what they get."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from luabus.errors import (
    Forbidden,
    FrameTooLarge,
    NoMaster,
    NoRoute,
    Overloaded,
    PeerLost,
    ProtocolError,
    from_wire,
)
from luabus.ids import CLIENT_BASE, ServiceId
from luabus.limits import MAX_OUTSTANDING, MAX_PLANS
from luabus.protocol import codec
from luabus.protocol.frames import (
    FLAG_COUNT,
    FLAG_EPOCH,
    FLAG_META,
    FLAG_REQUEST,
    HEADER_SIZE,
    META_SIZE,
    Frame,
    Kind,
    encode,
    make_route,
    split,
)
from luabus.protocol.port import Port
from luabus.protocol.principal import Principal
from luabus.routing import switch
from luabus.routing.access import Access
from luabus.routing.buckets import bucket_of, in_line
from luabus.routing.next_hop import receivers
from luabus.routing.sinks import CROWDED, FORBIDDEN, LATE, NO_MASTER, NO_ROUTE, NOBODY, OVERLOADED
from luabus.routing.switch import Switch

MAIL = 2
ROOM = 10_000


@pytest.fixture(autouse=True, scope="module", params=["one loop", "a loop for alternating receivers"])
def _whichever_loop(request: pytest.FixtureRequest) -> Iterator[None]:
    """Long data is treated in another loop where receivers alternate: what holds for one must hold for the other."""
    with pytest.MonkeyPatch.context() as patch:
        if request.param != "one loop":
            patch.setattr(switch, "_SCATTER_BYTES", 0)
            patch.setattr(switch, "_SCATTER_FRAMES", 0)
        yield


class FakePort(Port):
    """Keeps what is delivered; `take()` gives the frames it was sent and makes it empty again."""

    __slots__ = ("delivered", "on_deliver")

    def __init__(self, token: int, room: int = ROOM) -> None:
        super().__init__(token, room, 1 << 20)
        self.delivered: list[Frame] = []
        self.on_deliver: Any = None

    def deliver(
        self, route: int, key: int, source: int, sequence: int, data: bytes, start: int, end: int
    ) -> None:
        ((frame, _),) = split(data[start - HEADER_SIZE : end], 1 << 20)
        self.delivered.append(frame._replace(source=source))
        if self.on_deliver is not None:
            self.on_deliver(frame)

    def flush(self) -> None:
        """Its socket takes nothing: what waits goes on waiting, and makes no room."""

    def take(self) -> list[Frame]:
        data = b"".join(self.out)
        self.out.clear()
        return [frame for frame, _ in split(data, 1 << 20)]


class World:
    """A routing switch; `client` sends, `mail` are three services in group 2."""

    def __init__(self, count: int = 3, room: int = ROOM) -> None:
        self.chances: list[float] = []
        self.switch = Switch(lambda: self.chances.pop(0))
        self.switch.routing = True
        self.client = self.port(100)
        self.mail = [self.port(instance, room) for instance in range(1, count + 1)]
        for instance, port in enumerate(self.mail, 1):
            self.join(port, ServiceId.of(MAIL, instance))

    def port(self, token: int, room: int = ROOM) -> FakePort:
        port = FakePort(token, room)
        self.switch.attach(port)
        return port

    def join(self, port: FakePort, service_id: ServiceId) -> None:
        self.switch.table.put(service_id, port)
        self.switch.attach(port, service_id)

    def send(self, port: FakePort, *frames: Frame) -> None:
        """All in one chunk."""
        data = b"".join(map(encode, frames))
        assert self.switch.receive(port, data) == len(data)
        self.switch.dirty.clear()


def target(instance: int, sequence: int = 0, body: bytes = b"x", **fields: Any) -> Frame:
    flags = FLAG_REQUEST if sequence else 0
    return Frame(Kind.TARGET, flags, 0, ServiceId.of(MAIL, instance), sequence=sequence, body=body, **fields)


def to_group(kind: Kind, sequence: int = 0, key: int = 0, flags: int = 0, body: bytes = b"x") -> Frame:
    flags |= FLAG_REQUEST if sequence and not flags & FLAG_COUNT else 0
    return Frame(kind, flags, MAIL, key=key, sequence=sequence, body=body)


def reply(to: Port, sequence: int, body: bytes = b"answer", kind: Kind = Kind.REPLY, **fields: Any) -> Frame:
    return Frame(kind, 0, 0, to.id, sequence=sequence, body=body, **fields)


def errors(port: FakePort) -> dict[int, Exception]:
    """The ERROR frames it was sent, by sequence."""
    return {f.sequence: from_wire(codec.unpack_value(f.body)) for f in port.take() if f.kind is Kind.ERROR}


# --- the five routes ------------------------------------------------------------------------------------------


def test_target_reaches_the_one_instance() -> None:
    world = World()
    world.send(world.client, target(2))
    assert [len(port.take()) for port in world.mail] == [0, 1, 0]


def owners(keys: Iterable[int], instances: Iterable[int] = (1, 2, 3)) -> list[int]:
    """The instance that owns each of these keys."""
    members = [ServiceId.of(MAIL, instance) for instance in instances]
    return [in_line(bucket_of(key), members)[0] & 0xFFFF for key in keys]


def test_hash_reaches_the_owner_of_the_key() -> None:
    world = World()
    keys = [*range(9), 4096, 0xFFFF_FFFF]
    world.send(world.client, *(to_group(Kind.HASH, key=key) for key in keys))
    assert [[frame.key for frame in port.take()] for port in world.mail] == [
        [key for key, owner in zip(keys, owners(keys), strict=True) if owner == instance]
        for instance in (1, 2, 3)
    ]


def test_random_reaches_whom_chance_names() -> None:
    world = World()
    world.chances = [0.0, 0.34, 0.99, 0.67]
    world.send(world.client, *[to_group(Kind.RANDOM)] * 4)
    assert [len(port.take()) for port in world.mail] == [1, 1, 2]


def test_random_is_uniform_over_the_live_and_a_vacancys_neighbour_gets_no_double_share() -> None:
    world = World(4, room=1 << 20)
    world.switch.table.vacate(ServiceId.of(MAIL, 2))
    world.chances = [step / 3000 for step in range(3000)]
    world.send(world.client, *[to_group(Kind.RANDOM)] * 3000)
    assert [len(port.take()) for port in world.mail] == [1000, 0, 1000, 1000]


def test_broadcast_reaches_everybody_in_the_group() -> None:
    world = World()
    world.send(world.client, to_group(Kind.BROADCAST))
    assert [len(port.take()) for port in world.mail] == [1, 1, 1]


def test_broadcast_leaves_the_sender_itself_out() -> None:
    world = World()
    world.send(world.mail[1], to_group(Kind.BROADCAST))
    assert [len(port.take()) for port in world.mail] == [1, 0, 1]


def test_master_reaches_the_groups_master() -> None:
    world = World()
    world.switch.table.claim(ServiceId.of(MAIL, 3), 1)
    world.send(world.client, to_group(Kind.MASTER))
    assert [len(port.take()) for port in world.mail] == [0, 0, 1]


def test_frames_are_forwarded_byte_for_byte_but_for_the_source() -> None:
    world = World()
    sent = target(1, 7, b"\x92\xa1m\x01", key=5)
    world.send(world.client, sent)
    assert world.mail[0].take() == [sent._replace(source=world.client.id)]


def test_a_change_of_the_table_changes_the_way_at_once() -> None:
    world = World()
    world.send(world.client, to_group(Kind.HASH, key=0))
    (first,), (second,) = owners([0]), owners([0], (1, 2))
    assert first == 3
    world.switch.table.vacate(ServiceId.of(MAIL, first))
    world.send(world.client, to_group(Kind.HASH, key=0))
    assert [len(world.mail[instance - 1].take()) for instance in (first, second, 3 - second)] == [1, 1, 0]


def test_a_registration_in_the_middle_of_a_chunk_counts_for_what_follows() -> None:
    world = World()
    (first,), (second,) = owners([0]), owners([0], (1, 2))
    world.client.on_deliver = lambda _: world.switch.table.vacate(ServiceId.of(MAIL, first))
    world.send(world.client, to_group(Kind.HASH), Frame(Kind.CALL), to_group(Kind.HASH))
    assert [len(world.mail[instance - 1].take()) for instance in (first, second, 3 - second)] == [1, 1, 0]


# --- order, runs, pieces --------------------------------------------------------------------------------------


def test_a_run_of_neighbours_is_one_slice() -> None:
    world = World()
    world.send(world.client, *(target(1, key=n) for n in range(5)), target(2), target(1, key=5))
    assert len(world.mail[0].out) == 2
    assert [frame.key for frame in world.mail[0].take()] == [0, 1, 2, 3, 4, 5]


def test_each_destination_is_to_be_flushed_once_per_chunk() -> None:
    world = World()
    data = b"".join(map(encode, [target(1), target(2)] * 10))
    world.switch.receive(world.client, data)
    assert sorted(port.token for port in world.switch.dirty) == [1, 2]


kinds = st.sampled_from([Kind.TARGET, Kind.HASH, Kind.RANDOM, Kind.BROADCAST, Kind.CALL])


@settings(max_examples=60)
@given(
    st.lists(st.tuples(kinds, st.integers(1, 3), st.booleans(), st.integers(0, 30)), max_size=25),
    st.data(),
)
def test_order_per_sender_and_receiver_is_kept_however_the_bytes_come(
    frames: list[Any], data: st.DataObject
) -> None:
    """Any mix of kinds, one-way and requests, in any pieces: every receiver gets its frames complete and in order."""
    world = World()
    world.chances = [0.5] * 100
    sent = [
        Frame(
            kind, FLAG_REQUEST if wanted else 0, MAIL if kind is not Kind.TARGET else 0,
            ServiceId.of(MAIL, instance) if kind is Kind.TARGET else 0, key=number, source=world.client.id,
            sequence=number if wanted else 0, body=bytes(size),
        )
        for number, (kind, instance, wanted, size) in enumerate(frames, 1)
    ]  # fmt: skip
    stream = b"".join(map(encode, sent))
    cuts = sorted(data.draw(st.lists(st.integers(0, len(stream)), max_size=5)))
    rest = b""
    for start, end in zip([0, *cuts], [*cuts, len(stream)], strict=True):
        rest += stream[start:end]
        rest = rest[world.switch.receive(world.client, rest) :]
    assert rest == b""
    assert world.client.frames_in == len(sent)
    wanted_at: dict[int, list[Frame]] = {1: [], 2: [], 3: []}
    for frame in sent:
        if frame.kind is Kind.TARGET:
            wanted_at[frame.destination & 0xFFFF].append(frame)
        elif frame.kind is Kind.HASH:
            wanted_at[owners([frame.key])[0]].append(frame)
        elif frame.kind is Kind.RANDOM:
            wanted_at[2].append(frame)
        elif frame.kind is Kind.BROADCAST:
            for each in wanted_at.values():
                each.append(frame)
    assert {instance: world.mail[instance - 1].take() for instance in (1, 2, 3)} == wanted_at
    assert world.client.delivered == [frame for frame in sent if frame.kind is Kind.CALL]


def test_an_incomplete_frame_is_left_and_what_came_before_it_is_forwarded() -> None:
    world = World()
    data = encode(target(1)) + encode(target(2))
    for cut in range(len(data)):
        fresh = World()
        taken = fresh.switch.receive(fresh.client, data[:cut])
        assert taken in (0, len(encode(target(1))))
        assert len(fresh.mail[0].take()) == (taken > 0)
        assert fresh.mail[1].take() == []
    assert world.switch.receive(world.client, data) == len(data)


# --- who sends ------------------------------------------------------------------------------------------------


def test_a_source_of_0_is_stamped_with_the_connections_id() -> None:
    world = World()
    world.send(world.client, target(1), target(1), to_group(Kind.BROADCAST))
    assert {frame.source for frame in world.mail[0].take()} == {world.client.id} == {CLIENT_BASE | 100}


def test_a_service_speaks_under_its_own_id() -> None:
    world = World()
    world.send(world.mail[1], target(1, source=ServiceId.of(MAIL, 2)), target(1))
    assert {frame.source for frame in world.mail[0].take()} == {ServiceId.of(MAIL, 2)}


def test_a_stream_registered_by_hand_may_go_on_with_the_id_of_its_handshake() -> None:
    world = World()
    world.send(world.mail[1], target(1, source=CLIENT_BASE | 2))
    assert world.mail[0].take()[0].source == ServiceId.of(MAIL, 2)


@pytest.mark.parametrize(
    "kind", [Kind.TARGET, Kind.HASH, Kind.RANDOM, Kind.BROADCAST, Kind.MASTER, Kind.REPLY, Kind.ERROR]
)
def test_nobody_can_speak_for_another(kind: Kind) -> None:
    world = World()
    spoofed = Frame(kind, 0, MAIL, ServiceId.of(MAIL, 1), source=ServiceId.of(MAIL, 3), body=b"x")
    with pytest.raises(
        ProtocolError, match=r"a frame claims to come from 2\.3, but this connection is client\.100"
    ):
        world.switch.receive(world.client, encode(target(1)) + encode(spoofed))
    assert len(world.mail[0].take()) == 1  # what came before it


def test_nobody_can_speak_for_another_behind_a_stamped_frame_either() -> None:
    world = World()
    with pytest.raises(ProtocolError):
        world.switch.receive(
            world.client, encode(target(1)) + encode(target(1, source=ServiceId.of(MAIL, 3)))
        )


def test_who_calls_the_router_itself_is_who_the_connection_is() -> None:
    world = World()
    world.send(world.client, Frame(Kind.CALL, source=ServiceId.of(MAIL, 3)))
    assert world.client.delivered[0].source == world.client.id


def test_in_a_process_that_does_not_route_the_router_vouches_for_the_source() -> None:
    world = World()
    world.switch.routing = False
    sent = [target(1, source=ServiceId.of(9, 9)), to_group(Kind.HASH), Frame(Kind.CALL)]
    world.send(world.client, *sent)
    assert world.client.delivered == sent


# --- requests and their answers -------------------------------------------------------------------------------


def test_a_reply_goes_back_to_the_one_who_asked_once() -> None:
    world = World()
    world.send(world.client, target(1, 7))
    world.send(world.mail[0], reply(world.client, 7), reply(world.client, 7))
    (answer,) = world.client.take()
    assert (answer.kind, answer.sequence, answer.body) == (Kind.REPLY, 7, b"answer")
    assert answer.source == ServiceId.of(MAIL, 1)
    assert world.mail[0].undeliverable == {LATE: 1}
    assert world.client.outstanding == {}


def test_an_error_is_an_answer_too() -> None:
    world = World()
    world.send(world.client, target(1, 7))
    world.send(world.mail[0], reply(world.client, 7, kind=Kind.ERROR))
    assert [frame.kind for frame in world.client.take()] == [Kind.ERROR]


def test_a_reply_from_one_who_was_not_asked_is_dropped() -> None:
    world = World()
    world.send(world.client, target(1, 7))
    world.send(world.mail[1], reply(world.client, 7))
    assert world.client.take() == []
    assert world.mail[1].undeliverable == {LATE: 1}
    world.send(world.mail[0], reply(world.client, 7))
    assert len(world.client.take()) == 1


def test_a_reply_to_nobody_and_one_to_a_request_that_never_was_are_dropped() -> None:
    world = World()
    world.send(world.mail[0], reply(world.client, 9), Frame(Kind.REPLY, 0, 0, CLIENT_BASE | 999, sequence=1))
    assert world.client.take() == []
    assert world.mail[0].undeliverable == {LATE: 2}


def test_a_sequence_that_is_still_in_flight_is_refused() -> None:
    world = World()
    world.send(world.client, target(1, 7), target(2, 7))
    assert len(world.mail[0].take()) == 1
    assert world.mail[1].take() == []
    assert isinstance(errors(world.client)[7], ProtocolError)


def test_a_request_that_is_in_flight_while_its_sender_registers_is_answered() -> None:
    world = World()
    world.send(world.client, target(1, 7))
    asked_by = world.mail[0].take()[0].source
    world.join(world.client, ServiceId.of(5, 1))
    world.send(world.mail[0], Frame(Kind.REPLY, 0, 0, asked_by, sequence=7, body=b"answer"))
    assert [frame.sequence for frame in world.client.take()] == [7]
    world.switch.detach(world.client)
    assert world.switch._by_id.keys() == {port.id for port in world.mail} | {
        CLIENT_BASE | p.token for p in world.mail
    }


# --- refused at once ------------------------------------------------------------------------------------------


def test_whom_a_message_would_reach() -> None:
    world = World()
    world.switch.table.set_master(ServiceId.of(MAIL, 2))

    def reached(frame: Frame, key: int = 0) -> tuple[Port, ...]:
        return receivers(int.from_bytes(encode(frame)[4:12], "little"), key, world.switch.table)

    assert reached(target(3)) == (world.mail[2],)
    assert [reached(to_group(Kind.HASH), key) for key in range(9)] == [
        (world.mail[instance - 1],) for instance in owners(range(9))
    ]
    assert reached(to_group(Kind.RANDOM)) == reached(to_group(Kind.BROADCAST)) == tuple(world.mail)
    assert reached(to_group(Kind.MASTER)) == (world.mail[1],)
    assert reached(target(9)) == (NOBODY,)
    assert reached(Frame(Kind.CALL)) == ()


@pytest.mark.parametrize(
    ("frame", "words"),
    [
        (target(9, 7), "target 2.9"),
        (Frame(Kind.HASH, FLAG_REQUEST, 9, sequence=7), "hash over group 9"),
        (Frame(Kind.RANDOM, FLAG_REQUEST, 9, sequence=7), "random in group 9"),
    ],
)
def test_a_request_to_nobody_is_no_route_at_once(frame: Frame, words: str) -> None:
    world = World()
    world.send(world.client, frame)
    error = errors(world.client)[7]
    assert isinstance(error, NoRoute)
    assert (str(error), error.route) == (f"nobody is there for {words}", words)
    assert world.client.outstanding == {}


def test_a_request_to_vacancies_alone_is_no_route() -> None:
    world = World(count=0)
    world.switch.table.expect(MAIL, 3)
    world.send(world.client, to_group(Kind.HASH, 7), target(1, 8))
    assert {type(error) for error in errors(world.client).values()} == {NoRoute}


@pytest.mark.parametrize("claimed", [False, True])
def test_a_request_to_a_group_without_a_master_is_no_master_at_once(claimed: bool) -> None:
    world = World()
    if claimed:
        world.switch.table.claim(ServiceId.of(MAIL, 1), 1)
        world.switch.table.lost(world.mail[0])
    world.send(world.client, to_group(Kind.MASTER, 7))
    error = errors(world.client)[7]
    assert isinstance(error, NoMaster)
    assert (str(error), error.group) == ("group 2 has no master now", MAIL)


def test_one_way_messages_that_reach_nobody_are_counted_by_reason() -> None:
    world = World()
    world.send(world.client, target(9), target(9), to_group(Kind.MASTER), Frame(Kind.BROADCAST, 0, 9))
    assert world.client.undeliverable == {NO_ROUTE: 3, NO_MASTER: 1}
    assert world.client.take() == []


def test_order_of_refusals_and_deliveries_is_that_of_the_requests() -> None:
    world = World()
    world.send(world.client, target(1, 1), target(9, 2), target(1, 3), target(9, 4))
    assert [frame.sequence for frame in world.mail[0].take()] == [1, 3]
    assert list(errors(world.client)) == [2, 4]


# --- back-pressure --------------------------------------------------------------------------------------------


def test_a_request_to_one_that_does_not_read_is_overloaded() -> None:
    world = World(room=100)
    world.send(world.client, target(1, 1, bytes(50)), target(1, 2, bytes(50)))
    assert [frame.sequence for frame in world.mail[0].take()] == [1]
    error = errors(world.client)[2]
    assert isinstance(error, Overloaded)
    assert (error.limit, error.current) == (26, 74)
    assert "2.1 does not read: 26 bytes are left of its buffer, the request has 74" in str(error)
    assert world.mail[0].last_error == (CROWDED, 74)
    assert list(world.client.outstanding) == [1]


def test_one_way_messages_to_one_that_does_not_read_are_dropped_and_counted() -> None:
    world = World(room=100)
    world.send(world.client, *(target(1, key=n, body=bytes(16)) for n in range(5)))
    assert [frame.key for frame in world.mail[0].take()] == [0, 1]  # those that fit, in order
    assert world.client.undeliverable == {OVERLOADED: 3}
    assert world.mail[0].credit == 20
    assert world.client.last_error == (OVERLOADED, make_route(Kind.TARGET, destination=world.mail[0].id))
    assert world.mail[0].last_error == (CROWDED, 40)  # whoever looks at the slow one sees it as well


def test_a_request_crowded_out_by_one_way_messages_of_the_same_run_is_overloaded() -> None:
    world = World(room=60)
    world.send(world.client, target(1, body=bytes(6)), target(1, 7, bytes(6)), target(1, body=bytes(6)))
    assert [frame.sequence for frame in world.mail[0].take()] == [0, 7]
    assert world.client.undeliverable == {OVERLOADED: 1}
    world = World(room=80)
    world.send(world.client, target(1, 7, bytes(6)), target(1, body=bytes(60)), target(1, 8, bytes(6)))
    assert [frame.sequence for frame in world.mail[0].take()] == [7]
    assert isinstance(errors(world.client)[8], Overloaded)
    assert list(world.client.outstanding) == [7]


def test_long_data_for_alternating_receivers_is_one_piece_for_each() -> None:
    world = World(room=1 << 20)
    sent = [target(number % 3 + 1, body=b"%64d" % number, source=world.client.id) for number in range(1000)]
    sent[700] = target(3, 7, b"a request among them", source=world.client.id)
    data = b"".join(map(encode, sent))
    assert world.switch.receive(world.client, data) == len(data)
    assert max(len(port.out) for port in world.mail) < 20
    for instance, port in enumerate(world.mail, 1):
        mine = [frame for frame in sent if frame.destination & 0xFFFF == instance]
        assert port.frames_out == len(mine)
        assert port.credit == (1 << 20) - sum(len(encode(frame)) for frame in mine)
        assert port.take() == mine
    assert world.client.frames_in == 1000
    assert world.client.outstanding == {7: world.mail[2]}


@given(st.lists(st.tuples(st.booleans(), st.integers(0, 60)), min_size=1, max_size=20), st.integers(0, 400))
def test_every_request_of_a_run_arrives_or_is_refused_whatever_the_room(frames: list[Any], room: int) -> None:
    world = World(room=room)
    sent = [
        target(1, number if wanted else 0, bytes(size)) for number, (wanted, size) in enumerate(frames, 1)
    ]
    world.send(world.client, *sent)
    arrived = world.mail[0].take()
    assert sum(len(encode(frame)) for frame in arrived) <= room
    requests = {frame.sequence for frame in sent if frame.sequence}
    reached = {frame.sequence for frame in arrived if frame.sequence}
    assert set(world.client.outstanding) == reached
    assert set(errors(world.client)) == requests - reached
    one_way = sum(1 for frame in sent if not frame.sequence)
    lost = world.client.undeliverable.get(OVERLOADED, 0)
    assert sum(1 for frame in arrived if not frame.sequence) + lost == one_way
    assert world.mail[0].credit == room - sum(len(encode(frame)) for frame in arrived)


def test_one_slow_receiver_does_not_take_the_others_room() -> None:
    world = World(room=100)
    world.send(
        world.client, target(1, body=bytes(70)), *([target(1, body=bytes(70)), target(2, body=b"")] * 3)
    )
    assert [len(port.take()) for port in world.mail] == [1, 3, 0]


def test_a_reply_passes_when_the_callers_buffer_is_full() -> None:
    world = World()
    world.send(world.client, target(1, 7))
    world.client.credit = 0
    world.send(world.mail[0], reply(world.client, 7))
    assert len(world.client.take()) == 1
    assert world.client.credit < 0


def test_answers_to_one_that_does_not_read_are_limited_too() -> None:
    world = World()
    world.send(world.client, *(target(1, sequence) for sequence in range(1, 6)))
    world.client.credit = 0
    body = bytes(ROOM // 4)
    world.send(world.mail[0], *(reply(world.client, sequence, body) for sequence in range(1, 6)))
    *passed, refused, last = world.client.take()
    assert [(frame.kind, frame.sequence) for frame in passed] == [(Kind.REPLY, n) for n in (1, 2, 3)]
    for frame, sequence in ((refused, 4), (last, 5)):
        error = from_wire(codec.unpack_value(frame.body))
        assert isinstance(error, Overloaded)
        assert (frame.sequence, error.what, error.limit) == (sequence, "bytes of answers", ROOM)
    assert world.client.outstanding == {}


def test_requests_in_flight_of_one_connection_are_limited() -> None:
    world = World(room=1 << 30)
    chunk = [target(1, sequence, b"") for sequence in range(1, MAX_OUTSTANDING + 1)]
    world.send(
        world.client, *chunk, target(1, MAX_OUTSTANDING + 1), to_group(Kind.BROADCAST, MAX_OUTSTANDING + 2)
    )
    refused = errors(world.client)
    assert list(refused) == [MAX_OUTSTANDING + 1, MAX_OUTSTANDING + 2]
    for error in refused.values():
        assert isinstance(error, Overloaded)
        assert (error.what, error.limit) == ("requests in flight", MAX_OUTSTANDING)
    assert len(world.client.outstanding) == MAX_OUTSTANDING


def test_routes_that_are_remembered_are_limited() -> None:
    world = World(count=1)
    for start in range(0, MAX_PLANS + 10_000, 5000):
        world.send(world.client, *(Frame(Kind.TARGET, 0, 0, n) for n in range(start, start + 5000)))
    assert len(world.switch._plans) <= MAX_PLANS


# --- broadcasts that want to know -----------------------------------------------------------------------------


def test_a_broadcast_that_counts_is_told_how_many_it_reached_and_who() -> None:
    world = World()
    world.send(world.mail[0], to_group(Kind.BROADCAST, 5, flags=FLAG_COUNT))
    (told,) = world.mail[0].take()
    assert (told.kind, told.key, told.sequence) == (Kind.REACHED, 2, 5)
    assert codec.unpack_value(told.body) == [ServiceId.of(MAIL, 2), ServiceId.of(MAIL, 3)]
    assert world.mail[0].outstanding == {}


def test_a_broadcast_that_finds_one_full_does_not_count_it() -> None:
    world = World()
    world.mail[1].credit = 10
    world.send(world.client, to_group(Kind.BROADCAST, 5, flags=FLAG_COUNT))
    assert world.client.take()[0].key == 2
    assert world.client.undeliverable == {OVERLOADED: 1}


def test_a_one_way_broadcast_that_nobody_has_room_for_is_counted_once_for_each() -> None:
    world = World(room=20)
    world.send(world.client, to_group(Kind.BROADCAST))
    assert world.client.undeliverable == {OVERLOADED: 3}


def test_a_broadcast_to_nobody_is_told_0() -> None:
    world = World()
    world.send(world.client, Frame(Kind.BROADCAST, FLAG_REQUEST, 9, sequence=5))
    (told,) = world.client.take()
    assert (told.kind, told.key, codec.unpack_value(told.body)) == (Kind.REACHED, 0, [])
    assert world.client.outstanding == {}


def test_everyone_who_got_a_broadcast_request_may_answer_once() -> None:
    world = World()
    world.send(world.client, to_group(Kind.BROADCAST, 5))
    world.client.take()
    for port in (*world.mail, world.mail[0]):
        world.send(port, reply(world.client, 5))
    assert [frame.source for frame in world.client.take()] == [port.id for port in world.mail]
    assert world.mail[0].undeliverable == {LATE: 1}
    assert world.client.outstanding == {}


# --- cancelling and losing ------------------------------------------------------------------------------------


def test_a_cancelled_request_is_told_to_the_one_who_has_it() -> None:
    world = World()
    world.send(world.client, target(2, 7))
    world.mail[1].take()
    world.switch.cancel(world.client, 7)
    world.switch.cancel(world.client, 7)
    (told,) = world.mail[1].take()
    assert (told.kind, told.source, told.sequence) == (Kind.CANCEL, world.client.id, 7)
    world.send(world.mail[1], reply(world.client, 7))
    assert world.client.take() == []


def test_a_cancelled_broadcast_is_told_to_all_who_have_not_answered() -> None:
    world = World()
    world.send(world.client, to_group(Kind.BROADCAST, 5))
    world.send(world.mail[0], reply(world.client, 5))
    for port in world.mail:
        port.take()
    world.switch.cancel(world.client, 5)
    assert [[frame.kind for frame in port.take()] for port in world.mail] == [
        [],
        [Kind.CANCEL],
        [Kind.CANCEL],
    ]


def test_a_callee_that_dies_is_peer_lost_for_its_callers_at_once() -> None:
    world = World()
    other = world.port(101)
    world.send(world.client, target(1, 7), target(2, 8))
    world.send(other, target(1, 7))
    world.switch.detach(world.mail[0])
    for port in (world.client, other):
        (lost,) = port.take()
        error = from_wire(codec.unpack_value(lost.body))
        assert (lost.kind, lost.sequence, lost.source) == (Kind.ERROR, 7, ServiceId.of(MAIL, 1))
        assert isinstance(error, PeerLost)
        assert error.peer == "2.1"
    assert list(world.client.outstanding) == [8]


class Untouched(dict[Any, Any]):
    """What others have in flight, which nobody may walk over."""

    def items(self) -> Any:
        raise AssertionError("a walk over the requests of somebody else")


@pytest.mark.parametrize(
    "kind", ["a stranger", "a client", "a caller", "a callee", "a service without calls"]
)
def test_a_connection_that_ends_costs_what_it_had(kind: str) -> None:
    world = World()
    world.send(world.client, target(1, 7), to_group(Kind.BROADCAST, 8))
    ending = FakePort(200) if kind == "a stranger" else world.port(200)
    if kind in ("a callee", "a service without calls"):
        world.join(ending, ServiceId.of(9, 1))
    if kind == "a caller":
        world.send(ending, target(2, 5))
    if kind == "a callee":
        other = world.port(201)
        world.send(other, Frame(Kind.TARGET, FLAG_REQUEST, 0, ServiceId.of(9, 1), sequence=3))
    world.client.outstanding = Untouched(world.client.outstanding)
    plans = dict(world.switch._plans)
    world.switch.detach(ending)
    assert plans.items() <= world.switch._plans.items() or kind == "a callee"
    assert not ending.callees
    assert not ending.callers
    assert all(ending not in port.callers | port.callees for port in (*world.mail, world.client))


def test_an_answer_to_an_id_that_comes_back_finds_its_new_connection() -> None:
    world = World()
    late = reply(world.client, 5)
    world.send(world.mail[0], late)  # its way is known from now on
    world.switch.detach(world.client)
    world.send(world.mail[0], late)
    world.client = world.port(100)
    world.send(world.client, target(1, 5))
    world.send(world.mail[0], late)
    assert [frame.sequence for frame in world.client.take()] == [5]


def test_a_member_that_dies_during_a_gather_is_named_and_the_others_still_answer() -> None:
    world = World()
    world.send(world.client, to_group(Kind.BROADCAST, 5))
    world.client.take()
    world.switch.detach(world.mail[0])
    assert isinstance(errors(world.client)[5], PeerLost)
    world.send(world.mail[1], reply(world.client, 5))
    assert len(world.client.take()) == 1


def test_a_caller_that_dies_cancels_what_is_done_for_it() -> None:
    world = World()
    world.send(world.client, target(1, 7), to_group(Kind.BROADCAST, 8))
    for port in world.mail:
        port.take()
    world.client.take()
    world.switch.detach(world.client)
    cancelled = {port.token: sorted(frame.sequence for frame in port.take()) for port in world.mail}
    assert cancelled == {1: [7, 8], 2: [8], 3: [8]}
    world.send(world.mail[0], reply(world.client, 7))
    assert world.client.take() == []
    assert world.mail[0].undeliverable == {LATE: 1}


def test_a_successor_that_took_the_id_is_not_detached_with_the_old_connection() -> None:
    world = World()
    successor = world.port(50)
    world.join(successor, ServiceId.of(MAIL, 1))
    world.switch.detach(world.mail[0])
    world.send(successor, target(2, 3))
    world.send(world.mail[1], reply(successor, 3))
    assert [frame.sequence for frame in successor.take()] == [3]


# --- what is not the protocol ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("data", "error"),
    [
        (bytes(HEADER_SIZE), ProtocolError),
        (encode(Frame(Kind.TARGET, 0x80)), ProtocolError),
        (b"\xff" * HEADER_SIZE, ProtocolError),
        (encode(target(1, body=bytes((1 << 20) + 1)))[:HEADER_SIZE], FrameTooLarge),
    ],
)
def test_a_frame_that_cannot_be_right_ends_the_stream_after_what_came_before_it(
    data: bytes, error: type[Exception]
) -> None:
    world = World()
    good = [target(instance, source=world.client.id) for instance in (1, 2, 1, 3)]
    with pytest.raises(error):
        world.switch.receive(world.client, b"".join(map(encode, good)) + data + encode(target(1)))
    assert [len(port.take()) for port in world.mail] == [2, 1, 1]
    assert world.client.frames_in == 4


@pytest.mark.parametrize(
    "kind", [Kind.CALL, Kind.TARGET, Kind.HASH, Kind.BROADCAST, Kind.MASTER, Kind.REPLY, Kind.PING]
)
@pytest.mark.parametrize("length", [0, META_SIZE - 1])
@pytest.mark.parametrize("routing", [True, False])
def test_meta_that_does_not_fit_into_its_frame_is_forwarded_to_nobody(
    kind: Kind, length: int, routing: bool
) -> None:
    world = World()
    world.switch.routing = routing
    data = bytearray(encode(Frame(kind, FLAG_REQUEST | FLAG_META, MAIL, ServiceId.of(MAIL, 1), sequence=1)))
    data[:4] = length.to_bytes(4, "little")
    with pytest.raises(ProtocolError, match="meta alone takes 16"):
        world.switch.receive(world.client, bytes(data[: HEADER_SIZE + length]) + bytes(40))
    assert [port.take() for port in world.mail] == [[], [], []]
    assert world.client.delivered == []


@given(st.binary(max_size=400), st.booleans())
def test_any_bytes_are_frames_or_a_typed_error(data: bytes, routing: bool) -> None:
    world = World()
    world.switch.routing = routing
    world.chances = [0.5] * 20
    with contextlib.suppress(ProtocolError, FrameTooLarge):
        assert 0 <= world.switch.receive(world.client, data) <= len(data)


# --- counting -------------------------------------------------------------------------------------------------


def test_frames_are_counted_at_both_ends() -> None:
    world = World()
    world.send(world.client, target(1), target(1), target(2, 7), to_group(Kind.BROADCAST), target(9))
    assert world.client.frames_in == 5
    assert [port.frames_out for port in world.mail] == [3, 2, 1]
    world.send(world.mail[1], reply(world.client, 7))
    assert world.client.frames_out == 1


# --- who may call whom ----------------------------------------------------------------------------------------


def guarded(**callers: list[str]) -> tuple[World, list[tuple[str, str, int]]]:
    """Group 2 is mail; what the switch tells of frames that went nowhere."""
    world, told = World(), list[tuple[str, str, int]]()
    world.switch.table.rename(MAIL, "mail", "")
    world.switch.guard(Access.of({"callers": callers}))
    world.switch.refused = lambda error, frames: told.append((error.caller, error.callee, frames))
    return world, told


def every_route(sequence: int = 0) -> list[Frame]:
    groups = (Kind.HASH, Kind.RANDOM, Kind.MASTER, Kind.BROADCAST)
    made = [target(1, sequence), *(to_group(kind, sequence) for kind in groups)]
    return [frame._replace(sequence=sequence + n if sequence else 0) for n, frame in enumerate(made)]


def test_a_group_is_not_reached_by_any_route_from_whom_it_does_not_let_in() -> None:
    world, told = guarded(mail=["gateway"])
    world.send(world.client, *every_route())
    assert [port.take() for port in world.mail] == [[], [], []]
    assert world.client.undeliverable == {FORBIDDEN: 5}
    assert sum(frames for _, _, frames in told) == 5
    assert {(caller, callee) for caller, callee, _ in told} == {("client", "mail")}
    world.send(world.client, *every_route(10))
    errors = [from_wire(codec.unpack_value(frame.body)) for frame in world.client.take()]
    assert [type(error) for error in errors] == [Forbidden] * 5
    assert [error.allowed for error in errors if isinstance(error, Forbidden)] == [["gateway"]] * 5
    assert not world.client.outstanding
    assert world.client.undeliverable == {FORBIDDEN: 10}


def test_who_asks_how_many_a_broadcast_reached_is_told_why_none() -> None:
    world, _ = guarded(mail=[])
    world.send(world.client, to_group(Kind.BROADCAST, 7, flags=FLAG_COUNT))
    (answer,) = world.client.take()
    assert (answer.kind, answer.sequence) == (Kind.ERROR, 7)


def test_classes_of_callers_have_plans_of_their_own() -> None:
    world, _ = guarded(mail=["gateway"])
    gateway, ops = world.port(200), world.port(201)
    gateway.principal = Principal("service", "gateway")
    ops.principal = Principal("service", "ops")
    joined = world.port(202)
    world.join(joined, ServiceId.of(1, 1))
    world.switch.table.rename(1, "gateway", "")
    for sender, reaches in (
        (world.client, 0),
        (gateway, 1),
        (ops, 0),
        (joined, 1),
        (world.mail[1], 1),
        (gateway, 1),
    ):
        world.send(sender, target(1), target(1))
        assert len(world.mail[0].take()) == 2 * reaches, sender.token


def test_rules_may_change_while_it_runs() -> None:
    world, _ = guarded(mail=["gateway"])
    world.send(world.client, target(1))
    world.switch.guard(Access.of({"callers": {"mail": ["client"]}}))
    world.send(world.client, target(1))
    assert len(world.mail[0].take()) == 1
    world.switch.guard(Access.of({"default": "deny"}))
    world.send(world.client, target(1))
    world.switch.guard(Access())
    world.send(world.client, target(1))
    assert len(world.mail[0].take()) == 1
    assert world.client.undeliverable == {FORBIDDEN: 2}


def test_one_who_joins_in_the_middle_of_a_chunk_is_another_caller_from_then_on() -> None:
    world, _ = guarded(mail=["mail"])
    other = world.port(300)
    other.on_deliver = lambda _: world.join(other, ServiceId.of(MAIL, 9))
    call = Frame(Kind.CALL, body=b"join")
    world.send(other, target(1, body=b"before"), call, target(1, body=b"after"))
    assert [frame.body for frame in world.mail[0].take()] == [b"after"]


VOUCHED = [
    Frame(Kind.TARGET, FLAG_META, 0, ServiceId.of(MAIL, 2), body=b"x", epoch=7, trace=1),
    Frame(Kind.HASH, FLAG_META, MAIL, key=1, body=b"x", epoch=7),
    Frame(Kind.RANDOM, FLAG_META, MAIL, body=b"x", epoch=7),
    Frame(Kind.BROADCAST, FLAG_META, MAIL, body=b"x", epoch=7),
    Frame(Kind.MASTER, FLAG_META, MAIL, body=b"x", epoch=7),
]


def spoken_by(port: Port, frame: Frame, sequence: int = 0) -> Frame:
    return frame._replace(
        source=port.id, sequence=sequence, flags=frame.flags | (FLAG_REQUEST if sequence else 0)
    )


def the_master(world: World, epoch: int) -> FakePort:
    chief = world.mail[0]
    world.switch.table.claim(ServiceId.of(MAIL, 1), epoch)
    chief.claimed = max(chief.claimed, epoch)
    return chief


@pytest.mark.parametrize("sequence", [0, 5])
@pytest.mark.parametrize("frame", VOUCHED, ids=lambda frame: frame.kind.name)
def test_the_masters_epoch_goes_where_the_frame_goes(frame: Frame, sequence: int) -> None:
    world = World()
    chief = the_master(world, 7)
    world.chances = [0.5]
    sent = spoken_by(chief, frame, sequence)
    world.send(chief, target(3, source=chief.id), sent, target(3, source=chief.id))
    got = [one for port in world.mail for one in port.take() if one.kind is frame.kind and one.epoch]
    assert {one.epoch for one in got} == {7}
    assert len(got) == (2 if frame.kind is Kind.BROADCAST else 1)
    assert bool(chief.outstanding) == bool(sequence)


@pytest.mark.parametrize("frame", VOUCHED, ids=lambda frame: frame.kind.name)
def test_an_epoch_that_was_never_claimed_ends_the_connection(frame: Frame) -> None:
    world = World()
    the_master(world, 7)
    for port in (world.client, world.mail[1]):
        with pytest.raises(ProtocolError):
            world.switch.receive(port, encode(spoken_by(port, frame)))
    assert [one for port in world.mail for one in port.take()] == []


@pytest.mark.parametrize("frame", VOUCHED, ids=lambda frame: frame.kind.name)
def test_a_master_that_has_been_superseded_is_told_and_counted(frame: Frame) -> None:
    world = World()
    chief = the_master(world, 7)
    world.switch.table.claim(ServiceId.of(MAIL, 2), 8)
    world.send(chief, spoken_by(chief, frame), spoken_by(chief, frame, 5))
    (answer,) = chief.take()
    assert (answer.kind, codec.unpack_value(answer.body)[0]) == (Kind.ERROR, "StaleEpoch")
    assert chief.undeliverable == {"stale_epoch": 1}
    assert [one for port in world.mail for one in port.take()] == []


def test_a_request_with_an_epoch_is_refused_as_any_other() -> None:
    world = World(room=10)
    chief = the_master(world, 7)
    nobody = Frame(Kind.TARGET, FLAG_META, 0, ServiceId.of(MAIL, 9), body=b"x", epoch=7)
    world.send(chief, spoken_by(chief, nobody, 5), spoken_by(chief, VOUCHED[0], 6))
    assert [codec.unpack_value(answer.body)[0] for answer in chief.take()] == ["NoRoute", "Overloaded"]
    assert not chief.outstanding


def test_without_the_flag_an_epoch_means_nothing() -> None:
    world = World()
    data = bytearray(encode(VOUCHED[0]))
    data[5] &= ~FLAG_EPOCH
    assert world.switch.receive(world.client, bytes(data)) == len(data)
    ((got,),) = [port.take() for port in world.mail if port.out]
    assert got.epoch == 0
