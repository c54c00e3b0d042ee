"""A stream as the switch sees it."""

from __future__ import annotations

from luabus.ids import ServiceId
from luabus.routing.port import LATE, NO_MASTER_NOW, NO_ROUTE, NOBODY, Port


def test_a_port_has_a_clients_id_until_it_is_registered() -> None:
    assert str(ServiceId(Port(17, 1000).id)) == "client.17"


def test_what_reached_nobody_is_counted_by_reason() -> None:
    port = Port(1, 1000)
    port.count_lost(NO_ROUTE, 0)
    port.count_lost(NO_ROUTE, 0, 3)
    port.count_lost(LATE, 0)
    assert port.undeliverable == {NO_ROUTE: 4, LATE: 1}
    assert port.last_error == (LATE, 0)


def test_nowhere_has_no_room_for_the_smallest_frame() -> None:
    assert NOBODY.room < 0
    assert NO_MASTER_NOW.room < 0
    assert NOBODY.reason != NO_MASTER_NOW.reason
