"""The frame loop of a process that routes nothing."""

from __future__ import annotations

import pytest

from luabus.errors import FrameTooLarge, ProtocolError
from luabus.protocol.delivery import Delivery
from luabus.protocol.frames import FLAG_META, HEADER, Frame, Kind, encode, make_route
from luabus.protocol.port import Port


class Delivered(Port):
    def __init__(self) -> None:
        super().__init__(1, 1000, frame_limit=100)
        self.bodies: list[bytes] = []

    def deliver(
        self, route: int, key: int, source: int, sequence: int, data: bytes, start: int, end: int
    ) -> None:
        self.bodies.append(data[start:end])


DATA = b"".join(encode(Frame(kind, body=kind.name.encode())) for kind in (Kind.CALL, Kind.TARGET, Kind.REPLY))


def test_every_complete_frame_is_delivered_and_the_rest_left() -> None:
    whole = [b"CALL", b"TARGET", b"REPLY"]
    for cut in range(len(DATA) + 1):
        port = Delivered()
        taken = Delivery().receive(port, DATA[:cut])
        assert port.bodies == whole[: len(port.bodies)]
        assert port.frames_in == len(port.bodies)
        assert Delivery().receive(port, DATA[taken:]) == len(DATA) - taken
        assert port.bodies == whole


@pytest.mark.parametrize(
    ("header", "error"),
    [
        (HEADER.pack(101, make_route(Kind.CALL), 0, 0, 0), FrameTooLarge),
        (HEADER.pack(0, 0xEE, 0, 0, 0), ProtocolError),
        (HEADER.pack(0, make_route(Kind.CALL, 0x80), 0, 0, 0), ProtocolError),
        (HEADER.pack(15, make_route(Kind.CALL, FLAG_META), 0, 0, 0), ProtocolError),
    ],
)
def test_a_frame_that_cannot_be_right_comes_after_those_before_it(
    header: bytes, error: type[Exception]
) -> None:
    port = Delivered()
    with pytest.raises(error):
        Delivery().receive(port, DATA + header)
    assert len(port.bodies) == port.frames_in == 3


def test_it_stops_when_the_process_becomes_a_router() -> None:
    delivery = Delivery()

    class Registers(Delivered):
        def deliver(self, *frame: object) -> None:
            super().deliver(*frame)  # type: ignore[arg-type]
            delivery.routing = True

    port = Registers()
    assert delivery.receive(port, DATA) == len(encode(Frame(Kind.CALL, body=b"CALL")))
    assert port.bodies == [b"CALL"]
