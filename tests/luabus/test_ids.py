from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from luabus.errors import Refused
from luabus.ids import CLIENT_BASE, ServiceId, parse_group

GROUPS = {"mail": 2, "gateway": 1}


@given(st.integers(0, 255), st.integers(1, 65_535))
def test_service_id_is_32_bits_high_16_the_group_low_16_the_instance(group: int, instance: int) -> None:
    one = ServiceId.of(group, instance)
    assert one == group << 16 | instance
    assert (one.group, one.instance, one.is_client) == (group, instance, False)
    assert str(one) == f"{group}.{instance}"
    assert ServiceId.parse(str(one)) == ServiceId.parse(int(one)) == one


def test_written_by_number_and_by_name() -> None:
    assert ServiceId.parse("2.1") == ServiceId.parse("mail.1", GROUPS) == ServiceId.parse(0x0002_0001)
    assert ServiceId.of(2, 1).named({2: "mail"}) == "mail.1"
    assert ServiceId.of(3, 1).named({2: "mail"}) == "3.1"
    assert repr(ServiceId.of(2, 1)) == "ServiceId(2.1)"


def test_a_client_is_named_after_its_token() -> None:
    client = ServiceId(CLIENT_BASE | 17)
    assert client.is_client
    assert str(client) == client.named({0xFF00: "x"}) == "client.17"


@pytest.mark.parametrize(
    ("group", "instance", "text"),
    [
        (256, 1, "group 256 is out of range: 0..255"),
        (-1, 1, "group -1 is out of range: 0..255"),
        (2, 0, "instance 0 is out of range: 1..65535"),
        (2, 65_536, "instance 65536 is out of range: 1..65535"),
    ],
)
def test_out_of_range(group: int, instance: int, text: str) -> None:
    with pytest.raises(Refused, match=text):
        ServiceId.of(group, instance)


@pytest.mark.parametrize("number", [-1, 0, 0x0001_0000, 0x0100_0001, 1 << 32, 1 << 40])
def test_a_number_that_is_no_id_is_refused(number: int) -> None:
    with pytest.raises(Refused, match="out of range"):
        ServiceId.parse(number)


@pytest.mark.parametrize("text", ["", "mail", "2", "2.", ".1", "2.x", "2.-1", "2.1.", "2.\u0661"])
def test_text_that_is_no_id_is_refused_with_the_way_to_write_one(text: str) -> None:
    with pytest.raises(Refused):
        ServiceId.parse(text, GROUPS)


def test_a_number_too_long_to_be_read_is_refused() -> None:
    with pytest.raises(Refused):
        ServiceId.parse("2." + "9" * 10_000)
    with pytest.raises(Refused):
        parse_group("9" * 10_000)


def test_an_unknown_name_is_answered_with_the_closest_one() -> None:
    with pytest.raises(Refused, match="there is no group named 'mial'; did you mean 'mail'"):
        ServiceId.parse("mial.1", GROUPS)
    with pytest.raises(Refused, match="known: gateway, mail"):
        parse_group("xyz", GROUPS)


def test_groups_by_number_digits_and_name() -> None:
    assert parse_group(7) == parse_group("7") == 7
    assert parse_group("mail", GROUPS) == 2
