from __future__ import annotations

import contextlib
import math
import time
import tracemalloc
from datetime import UTC, datetime, timedelta, timezone, tzinfo
from typing import Any

import msgpack
import pytest
from hypothesis import given
from hypothesis import strategies as st

from luabus import ServiceId
from luabus.errors import BadArguments, ProtocolError
from luabus.limits import MAX_DEPTH, SMALL_ITEMS
from luabus.protocol import codec
from tests.support.hostile import RESULTS

scalars = (
    st.none()
    | st.booleans()
    | st.integers(-(1 << 63), (1 << 64) - 1)
    | st.floats(allow_nan=False)
    | st.text()
    | st.binary()
    | st.datetimes(min_value=datetime(1, 1, 2), max_value=datetime(9999, 12, 30), timezones=st.just(UTC))
)
keys = st.text() | st.integers(-(1 << 63), (1 << 64) - 1) | st.binary()
values = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(keys, inner, max_size=3),
    max_leaves=8,
)


@given(values)
def test_every_value_that_can_be_sent_arrives_as_it_was(value: Any) -> None:
    arrived = codec.unpack_value(codec.pack_value(value))
    assert arrived == value
    assert type(arrived) is type(value)


@given(st.text(), st.lists(values, max_size=3))
def test_a_call_is_its_method_and_arguments(method: str, args: list[Any]) -> None:
    body = codec.pack_call(method, tuple(args))
    assert codec.unpack_call(body) == [method, *args]
    assert codec.unpack_call(memoryview(body)) == [method, *args]


@pytest.mark.parametrize("value", [math.inf, -math.inf, -0.0, 1e308, 5e-324])
def test_floats_at_the_edges(value: float) -> None:
    arrived = codec.unpack_value(codec.pack_value(value))
    assert (arrived, math.copysign(1, arrived)) == (value, math.copysign(1, value))


@pytest.mark.parametrize("buffer", [bytearray(b"x"), memoryview(b"x")])
def test_a_buffer_arrives_as_bytes(buffer: bytearray | memoryview) -> None:
    assert codec.unpack_value(codec.pack_value(buffer)) == b"x"


def test_nan_stays_nan() -> None:
    assert math.isnan(codec.unpack_value(codec.pack_value(math.nan)))


def test_a_datetime_arrives_in_utc_exact_to_the_microsecond() -> None:
    zone = timezone(timedelta(hours=5, minutes=30))
    for sent in (
        datetime(2026, 3, 1, 1, 2, 3, 456_789, tzinfo=zone),
        datetime(1900, 1, 1, 0, 0, 0, 1, tzinfo=UTC),
        datetime(9999, 12, 31, 23, 59, 59, 999_999, tzinfo=UTC),
        datetime(1, 1, 1, tzinfo=UTC),
    ):
        arrived = codec.unpack_value(codec.pack_value(sent))
        assert arrived == sent
        assert arrived.tzinfo is UTC


# --- what cannot be sent --------------------------------------------------------------------------------------


class Text(str):
    __slots__ = ()


def nested(levels: int) -> list[Any]:
    value: list[Any] = []
    for _ in range(levels - 1):
        value = [value]
    return value


def around_itself() -> list[Any]:
    value: list[Any] = []
    value.append(value)
    return value


@pytest.mark.parametrize(
    ("args", "path", "text"),
    [
        ((1, object()), "args[1]", "is a object; None, bool, int, float, str, bytes, list, dict and datetime can be sent"),
        (({"when": [1, {2}]},), "args[0]['when'][1]", "is a set; .* send list\\(...\\) instead"),
        (((1, 2),), "args[0]", "is a tuple"),
        ((ServiceId.of(2, 1),), "args[0]", "is a ServiceId"),
        ((Text("x"),), "args[0]", "is a Text"),
        ((1j,), "args[0]", "is a complex"),
        (([[1 << 64]],), "args[0][0][0]", "is an int of 65 bits; 64 can be sent"),
        ((-(1 << 63) - 1,), "args[0]", "is an int of 64 bits; 64 can be sent"),
        (({"a": {(1, 2): 3}},), "args[0]['a'] key (1, 2)", "is a tuple"),
        (("ok", "half a pair: \ud800"), "args[1]", "is not valid Unicode"),
        (({"\udfff": 1},), "args[0] key '\\udfff'", "is not valid Unicode"),
        ((datetime(2026, 1, 1),), "args[0]", "is a datetime without a time zone; add tzinfo"),
        ((datetime(2026, 1, 1, tzinfo=UTC).date(),), "args[0]", "is a date"),
        ((nested(2000),), f"args[0]{'[0]' * MAX_DEPTH}", "is nested more than 511 levels deep"),
        ((around_itself(),), f"args[0]{'[0]' * MAX_DEPTH}", "is nested more than 511 levels deep"),
    ],
)  # fmt: skip
def test_a_value_that_cannot_be_sent_is_named_with_its_path(
    args: tuple[Any, ...], path: str, text: str
) -> None:
    with pytest.raises(BadArguments, match=text) as caught:
        codec.pack_call("method", args)
    assert caught.value.path == path
    assert str(caught.value).startswith(path)


def test_a_result_that_cannot_be_sent_is_named_too() -> None:
    with pytest.raises(BadArguments, match=r"result\['x'\]\[0\] is a object") as caught:
        codec.pack_value({"x": [object()]})
    assert caught.value.path == "result['x'][0]"


def test_an_int_of_thousands_of_digits_is_named_too() -> None:
    with pytest.raises(BadArguments, match=r"args\[0\] is an int of 20001 bits; 64 can be sent"):
        codec.pack_call("m", (1 << 20_000,))


@pytest.mark.parametrize("method", [5, None, b"m", ["m"]])
def test_a_method_that_could_travel_but_is_no_text_is_named_too(method: Any) -> None:
    with pytest.raises(BadArguments, match=f"the method is a str, not {type(method).__name__}") as caught:
        codec.pack_call(method, (1,))
    assert caught.value.path == "method"


def test_a_method_that_is_no_text_is_named() -> None:
    with pytest.raises(BadArguments, match="the method is a str, not ServiceId") as caught:
        codec.pack_call(ServiceId(1), ())  # type: ignore[arg-type]
    assert caught.value.path == "method"
    with pytest.raises(BadArguments, match="the method") as caught:
        codec.pack_call(Text("m"), ())
    assert caught.value.path == "method"
    with pytest.raises(BadArguments, match="method is not valid Unicode") as caught:
        codec.pack_call("\ud800", ())
    assert caught.value.path == "method"


def test_the_deepest_value_that_can_be_sent_arrives() -> None:
    value = nested(MAX_DEPTH)
    assert codec.unpack_call(codec.pack_call("m", (value,)))[1] == value


def test_a_refused_value_leaves_nothing_in_the_next_body() -> None:
    clean = codec.pack_call("m", (1,))
    with pytest.raises(BadArguments):
        codec.pack_call("m", ("much text " * 100, object()))
    assert codec.pack_call("m", (1,)) == clean


# --- what comes from outside ----------------------------------------------------------------------------------


@given(st.binary(max_size=100))
def test_any_bytes_are_a_value_or_a_protocol_error(body: bytes) -> None:
    with contextlib.suppress(ProtocolError):
        codec.unpack_value(body)


@given(values, st.data())
def test_a_body_cut_short_or_with_more_behind_it_is_refused(value: Any, data: st.DataObject) -> None:
    body = codec.pack_value(value)
    cut = data.draw(st.integers(0, len(body) - 1))
    for wrong in (body[:cut], body + b"\xc0"):
        with pytest.raises(ProtocolError):
            codec.unpack_value(wrong)


@pytest.mark.parametrize(
    "body", [b"\xc0", b"\x90", b"\x91\x01", b"\x81\xa1m\x01", b"\xa1m", b"\x91\xc4\x01m"]
)
def test_a_body_that_is_no_call_is_refused(body: bytes) -> None:
    with pytest.raises(ProtocolError, match=r"the body of a call is \[method, ...args\], not "):
        codec.unpack_call(body)


@pytest.mark.parametrize(
    ("what", "body"),
    [
        ("text that is no UTF-8", b"\xa2\xff\xff"),
        ("a map whose key is a list", b"\x81\x90\x01"),
        ("an extension nobody knows", b"\xd4\x05\x01"),
        ("a timestamp of a wrong size", b"\xc7\x03\xff\x00\x00\x00"),
        ("a timestamp beyond the calendar", b"\xc7\x0c\xff" + b"\x00" * 4 + b"\x7f" * 8),
        ("the byte that is not used", b"\xc1"),
    ],
)
def test_msgpack_that_is_not_ours_is_refused(what: str, body: bytes) -> None:
    with pytest.raises(ProtocolError):
        codec.unpack_value(body)


def test_lists_and_maps_longer_than_a_small_one_arrive() -> None:
    for value in (list(range(SMALL_ITEMS + 1)), {n: [n] for n in range(50_000)}, [[0] * 5000] * 10):
        assert codec.unpack_value(codec.pack_value(value)) == value


HOSTILE = {
    "lists in lists, each announcing 1000": b"\xdc\x03\xe8" * 21_000,
    "lists in lists, each announcing 65535": b"\xdc\xff\xff" * 21_000,
    "lists in lists, each announcing 4 billion": b"\xdd\xff\xff\xff\xff" * 13_000,
    "one list announcing 4 billion": b"\xdd\xff\xff\xff\xff" + b"\x01" * 60_000,
    "maps in maps, each announcing 4 billion": b"\xdf\xff\xff\xff\xff\x01" * 10_000,
    "a thousand lists that announce 1000 and lack them": b"\xdc\x03\xe8" + b"\xdc\x03\xe8" * 20_000,
    "depth only": b"\x91" * 65_000,
    "text announcing 4 billion": b"\xdb\xff\xff\xff\xff" + b"x" * 60_000,
    "bytes announcing 4 billion": b"\xc6\xff\xff\xff\xff" + b"x" * 60_000,
    "an extension announcing 4 billion": b"\xc9\xff\xff\xff\xff\x05" + b"x" * 60_000,
    "a complete big list, then lists that lack theirs": msgpack.packb([[0] * 5000] * 8)
    + b"\xdc\xff\xff" * 9000,
}


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_body_of_64_kib_costs_little_memory_and_time(name: str) -> None:
    body = HOSTILE[name]
    tracemalloc.start()
    started = time.process_time()
    try:
        with pytest.raises(ProtocolError):
            codec.unpack_value(body)
        elapsed = time.process_time() - started
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 12 << 20
    assert elapsed < 0.25  # tracemalloc makes it several times as long as it is


def test_what_small_items_unfold_to_is_in_proportion_to_the_body() -> None:
    body = b"\xdd\x00\x00\xff\xff" + b"\x80" * 65_535  # 64 KiB of empty maps
    tracemalloc.start()
    try:
        assert len(codec.unpack_value(body)) == 65_535
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 80 * len(body)


@pytest.mark.parametrize("offset_h", [0, -5, 5])
def test_datetimes_at_the_ends_of_time_are_exact_or_refused(offset_h: int) -> None:
    zone = timezone(timedelta(hours=offset_h))
    for when in (
        datetime.min,
        datetime.min + timedelta(hours=5),
        datetime.max - timedelta(hours=5),
        datetime.max,
    ):
        value = when.replace(tzinfo=zone)
        try:
            value.astimezone(UTC)
        except OverflowError:
            with pytest.raises(BadArguments, match="outside of the years 1 to 9999 in UTC") as refused:
                codec.pack_call("m", (1, [value]))
            assert refused.value.path == "args[1][0]"
        else:
            assert codec.unpack_value(codec.pack_value(value)) == value


@pytest.mark.parametrize("what", RESULTS)
def test_what_cannot_be_sent_is_bad_arguments_with_its_place(what: str) -> None:
    with pytest.raises(BadArguments) as refused:
        codec.pack_value({"it": RESULTS[what]})
    assert refused.value.path.startswith("result['it']")


def test_a_time_zone_may_pack_something_itself() -> None:
    class Nosy(tzinfo):
        def utcoffset(self, when: datetime | None) -> timedelta:
            codec.pack_value([1] * 1000)
            return timedelta(hours=1)

    value = [1, datetime(2020, 1, 1, tzinfo=Nosy()), "end"]
    assert codec.unpack_value(codec.pack_value(value)) == [1, datetime(2019, 12, 31, 23, tzinfo=UTC), "end"]


@pytest.mark.parametrize(
    ("body", "is_call"),
    [
        (b"\x92\xa1m\xd7\xff" + b"\xff" * 8, True),  # a time with more than a second of nanoseconds
        (b"\x92\xa1m\xc7\x0c\xff" + bytes(4) + b"\x7f" + b"\xff" * 7, True),  # far beyond the year 9999
        (b"\x92\xa1m\x81\x90\x01", True),  # a list for a key
        (b"\x92\xa1m\xa1\xff", True),  # a text that is no UTF-8
        (b"\x92\xa1m\xd4\x05\x00", True),  # an extension type that is not used here
        (b"\xdc\xff\xff" * 1000, False),
        (b"\x92\xa1m", False),
        (b"\x91\xa1m\x01", False),
        (b"\x01", False),
        (b"\x90", False),
        (b"\x92\x01\xa1m", False),
        (b"", False),
    ],
)
def test_a_call_in_which_one_value_cannot_be_had_is_told_from_what_is_none(
    body: bytes, is_call: bool
) -> None:
    with pytest.raises(ProtocolError):
        codec.unpack_call(body)
    assert codec.is_call(body) is is_call
