"""A connection as the per-frame loop sees it."""

from __future__ import annotations

from luabus.ids import ServiceId
from luabus.protocol.port import Port


def test_a_port_has_a_clients_id_until_it_is_registered() -> None:
    assert str(ServiceId(Port(17, 1000).id)) == "client.17"


def test_what_reached_nobody_is_counted_by_reason() -> None:
    port = Port(1, 1000)
    port.count_lost("no_route", 0)
    port.count_lost("no_route", 0, 3)
    port.count_lost("late_reply", 0)
    assert port.undeliverable == {"no_route": 4, "late_reply": 1}
    assert port.last_error == ("late_reply", 0)
