"""What went wrong last on a connection: noted by the switch, put into words for whoever looks."""

from __future__ import annotations

import zstandard

import luabus
from luabus.errors import RemoteError
from luabus.ids import CLIENT_BASE, ServiceId
from luabus.protocol import codec
from luabus.protocol.frames import FLAG_COMPRESSED, Frame, Kind, encode, make_route
from luabus.protocol.port import LastError, Port
from luabus.routing import last_error
from luabus.routing.sinks import CROWDED, LATE, NO_MASTER, NO_ROUTE, OVERLOADED
from luabus.routing.table import Table

ASKER = CLIENT_BASE | 7
MASTER_OF_MAIL = make_route(Kind.MASTER, 0, 2)
TO_MAIL_1 = make_route(Kind.TARGET, destination=ServiceId.of(2, 1))


def in_words(error: LastError | None, **names: int) -> str | None:
    table: Table[Port] = Table()
    for name, number in names.items():
        table.describe(number, name=name)
    return last_error.in_words(error, table)


def error_frame(error: luabus.LuabusError, flags: int = 0) -> bytes:
    body = codec.pack_value(error.to_wire())
    if flags & FLAG_COMPRESSED:
        body = zstandard.ZstdCompressor().compress(body)
    return encode(Frame(Kind.ERROR, flags, 0, ASKER, sequence=5, body=body))


def test_nothing_went_wrong() -> None:
    assert in_words(None) is None


def test_what_was_lost_is_said_with_its_route() -> None:
    assert in_words((NO_ROUTE, TO_MAIL_1)) == "what it sent to target 2.1 reached nobody: nobody is there"
    assert (
        in_words((NO_MASTER, MASTER_OF_MAIL))
        == "what it sent to master of group 2 reached nobody: the group has no master"
    )
    assert (
        in_words((OVERLOADED, TO_MAIL_1)) == "what it sent to target 2.1 was lost: the receiver does not read"
    )
    assert (in_words((NO_ROUTE, TO_MAIL_1), mail=2) or "").startswith("what it sent to target mail.1 reached")
    assert "to master of group mail reached" in (in_words((NO_MASTER, MASTER_OF_MAIL), mail=2) or "")
    assert in_words((LATE, make_route(Kind.REPLY, destination=ASKER))) == (
        "it answered a request whose asker no longer waits"
    )


def test_a_receiver_that_does_not_read_is_told_of_with_the_bytes() -> None:
    words = in_words((CROWDED, 4096))
    assert words == "4096 bytes for it were lost or refused: it does not read, and its buffer is full"


def test_an_error_that_it_answered_with_is_said_with_whom_it_told() -> None:
    refused = luabus.Refused("not on Sundays")
    assert in_words(error_frame(refused)) == "answered client.7: Refused: not on Sundays"
    assert in_words(error_frame(refused, FLAG_COMPRESSED)) == "answered client.7: Refused: not on Sundays"
    raised = RemoteError.of(ValueError("no such\n  account"), "pay", "mail.1")
    assert (
        in_words(error_frame(raised)) == "answered client.7: pay at mail.1 raised ValueError: no such account"
    )


def test_a_service_that_was_answered_has_its_name() -> None:
    body = codec.pack_value(luabus.Refused("no").to_wire())
    frame = encode(Frame(Kind.ERROR, 0, 0, ServiceId.of(2, 1), sequence=5, body=body))
    assert in_words(frame, mail=2) == "answered mail.1: Refused: no"


def test_an_error_that_cannot_be_read_is_still_one() -> None:
    broken = encode(Frame(Kind.ERROR, 0, 0, ASKER, sequence=5, body=b"\xc1"))
    assert (in_words(broken) or "").startswith("answered client.7: ProtocolError: ")
    bomb = zstandard.ZstdCompressor().compress(bytes(1 << 20))
    folded = encode(Frame(Kind.ERROR, FLAG_COMPRESSED, 0, ASKER, sequence=5, body=bomb))
    assert (in_words(folded) or "").startswith("answered client.7: FrameTooLarge: ")


def test_words_are_one_line_of_200_characters_at_most_that_can_be_sent() -> None:
    words = in_words("ValueError: a\nb\udcff" + "x" * 1000)
    assert words is not None
    assert len(words) == 200
    assert words.startswith("ValueError: a b?xxx")
    assert words.endswith("...")
