"""Who is at the other end, in one word."""

from __future__ import annotations

from luabus.protocol.principal import ADMIN, CLIENT, Principal


def test_a_principal_is_told_by_its_role_and_its_name() -> None:
    assert [str(ADMIN), str(CLIENT), str(Principal("service", "mail"))] == ["admin", "client", "service:mail"]
