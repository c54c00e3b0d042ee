"""docs/protocol.md against the code: every frame in it is parsed and made again, every table compared."""

from __future__ import annotations

import ast
import hmac
import re
from hashlib import sha256
from typing import NamedTuple

import pytest

from luabus.errors import from_wire
from luabus.ids import ServiceId
from luabus.protocol import codec, frames
from luabus.protocol.frames import HEADER_SIZE, META_SIZE, Frame, Kind, encode, split
from luabus.protocol.handshake import NONCE_SIZE, NOWHERE, AcceptorHandshake, ConnectorHandshake
from luabus.protocol.hashing import hash_key
from luabus.protocol.keys import Credential, parse_key
from luabus.protocol.principal import Principal
from luabus.router.server import Router
from luabus.routing.buckets import Buckets, bucket_of, in_line, scores
from tests.support.imports import ROOT

PAGE = (ROOT / "docs/protocol.md").read_text("utf-8")
FLAGS = {
    name.removeprefix("FLAG_"): value for name, value in vars(frames).items() if name.startswith("FLAG_")
}


class Example(NamedTuple):
    title: str
    data: bytes
    fields: dict[str, str]
    body: bytes
    value: str


def examples() -> list[Example]:
    found = []
    for title, block in re.findall(r"^([^\n]+)\n\n```frame\n(.*?)```", PAGE, re.MULTILINE | re.DOTALL):
        data, body, fields, value = b"", b"", {}, ""
        for line in block.splitlines():
            if line.startswith("# "):
                value = line[2:]
                continue
            left, name, *shown = re.split(r"\s{2,}", line.strip())
            data += bytes.fromhex(left)
            if name == "body":
                body += bytes.fromhex(left)
            else:
                fields[name] = shown[0]
        found.append(Example(title, data, fields, body, value))
    return found


EXAMPLES = examples()
KEYS = re.findall(r"^\| `([a-z:.0-9]+)` \| `([0-9a-f]{64})` \|$", PAGE, re.MULTILINE)
by_title = pytest.mark.parametrize("example", EXAMPLES, ids=lambda example: example.title[:40])


def described(example: Example) -> Frame:
    """The frame that the right-hand side of an example describes."""
    numbers = {name: int(value, 0) for name, value in example.fields.items() if name not in ("kind", "flags")}
    flags = sum(FLAGS[name] for name in re.findall("[A-Z]+", example.fields["flags"]))
    del numbers["length"]
    return Frame(Kind[example.fields["kind"]], flags, body=example.body, **numbers)


def test_there_is_a_frame_of_each_kind() -> None:
    assert {example.fields["kind"] for example in EXAMPLES} == {kind.name for kind in Kind}


@by_title
def test_the_bytes_are_parsed_into_what_stands_beside_them(example: Example) -> None:
    assert list(split(example.data, 1 << 20)) == [(described(example), len(example.data))]


@by_title
def test_what_stands_beside_them_makes_the_bytes(example: Example) -> None:
    assert encode(described(example)) == example.data


@by_title
def test_each_line_has_the_bytes_of_its_field(example: Example) -> None:
    sizes = {"length": 4, "kind": 1, "flags": 1, "group": 2, "trace": 8}
    names = list(example.fields)
    wanted = ["length", "kind", "flags", "group", "destination", "key", "source", "sequence"]
    meta = described(example).flags & frames.FLAG_META
    assert names == wanted + (["deadline", "epoch", "trace"] if meta else [])
    assert sum(sizes.get(name, 4) for name in names) == HEADER_SIZE + (META_SIZE if meta else 0)
    assert int(example.fields["length"]) == len(example.data) - HEADER_SIZE


@by_title
def test_the_body_holds_the_value_behind_the_hash(example: Example) -> None:
    if not example.value:
        assert example.body == b"" or example.fields["kind"] in ("HELLO", "AUTH", "WELCOME")
        return
    value = ast.literal_eval(example.value)
    assert codec.unpack_value(example.body) == value
    assert codec.pack_value(value) == example.body
    if example.fields["kind"] in ("ERROR", "BYE"):
        assert from_wire(value).to_wire() == value


def test_the_four_frames_of_the_handshake_are_one_handshake() -> None:
    hello_c, hello_a, auth, welcome = EXAMPLES[:4]
    keys = {parse_key(f"{claim} {key}").principal: bytes.fromhex(key) for claim, key in KEYS}
    role, name, (dialed, place) = codec.unpack_value(hello_c.body[NONCE_SIZE:])
    mail = Principal(role, name)
    router = Principal(*codec.unpack_value(hello_a.body[NONCE_SIZE:])[:2])
    host, _, port = place.rpartition(":")
    connector = ConnectorHandshake(hello_c.body[:NONCE_SIZE], Credential(mail, keys[mail]), dialed=dialed)
    acceptor = AcceptorHandshake(hello_a.body[:NONCE_SIZE], lambda claim: (keys[claim],), principal=router)
    acceptor.given_id = 0xFF00_0011
    acceptor.start(NOWHERE, (host, int(port)))
    assert connector.start((host, int(port))) == hello_c.data
    assert acceptor.receive(hello_c.data)[0] == hello_a.data
    assert connector.receive(hello_a.data)[0] == auth.data
    assert acceptor.receive(auth.data)[0] == welcome.data
    connector.receive(welcome.data)
    assert connector.done
    assert acceptor.done
    assert connector.given_id == 0xFF00_0011
    # And without our code: what another language would compute.
    transcript = sha256(hello_c.data + hello_a.data).digest()
    assert auth.body == hmac.new(keys[mail], b"luabus 2 connector" + transcript, sha256).digest()
    assert welcome.body == hmac.new(keys[mail], b"luabus 2 acceptor" + transcript, sha256).digest()


def test_the_keys_are_those_of_the_secret() -> None:
    secret = re.search(r"Of the secret\n`([^`]+)`", PAGE)
    assert secret is not None
    assert len(KEYS) >= 5
    for claim, key in KEYS:
        assert hmac.new(secret[1].encode(), claim.encode(), sha256).hexdigest() == key


def test_the_hash_vectors() -> None:
    live = [
        [ServiceId.parse(member) for member in cell.split(", ")]
        for cell in ("2.1, 2.2, 2.3", "2.1, 2.3", "2.1, 2.2, 2.3, 2.4, 2.5")
    ]
    found = re.findall(
        r"^\| `(.+)` \| (str|bytes|int) \| `(0x\w{8})` \| (\d+) \| (.+) \|$", PAGE, re.MULTILINE
    )
    assert len(found) >= 12
    for key, kind, hashed, bucket, owners in found:
        value = ast.literal_eval(key)
        assert type(value).__name__ == kind
        assert hash_key(value) == int(hashed, 16)
        assert bucket_of(hash_key(value)) == int(bucket)
        for members, owner in zip(live, owners.split(" | "), strict=True):
            assert owner == str(ServiceId(in_line(int(bucket), members)[0]))
            assert owner == str(ServiceId(Buckets(members).owners(members)[int(bucket)]))


def test_the_score_vectors() -> None:
    found = re.findall(r"^\| ([\d.]+) \| `(\w{8})` \| (`0x\w{8}`.*) \|$", PAGE, re.MULTILINE)
    assert len(found) >= 5
    for name, hashed, cells in found:
        member = ServiceId.parse(name)
        assert member.to_bytes(4, "little").hex() == hashed
        scores_of = [scores(member)[bucket] for bucket in (0, 1, 2048, 4095)]
        assert [int(cell.strip("`"), 16) for cell in cells.split(" | ")] == scores_of


def test_the_table_of_kinds() -> None:
    rows = re.findall(r"^\| ([A-Z]+) \| (\d+) \|", PAGE, re.MULTILINE)
    assert {name: int(number) for name, number in rows} == {kind.name: kind.value for kind in Kind}


def test_the_table_of_flags() -> None:
    rows = re.findall(r"^\| ([A-Z]+) \| (0x\d\d) \|", PAGE, re.MULTILINE)
    assert {name: int(number, 16) for name, number in rows} == FLAGS


def test_the_layouts_of_header_and_meta() -> None:
    rows = re.findall(r"^    (\d+) +(\d) +([a-z]+) +\S", PAGE, re.MULTILINE)
    header, meta = rows[:8], rows[8:11]
    assert [name for _, _, name in header] == [
        "length", "kind", "flags", "group", "destination", "key", "source", "sequence",
    ]  # fmt: skip
    assert [name for _, _, name in meta] == ["deadline", "epoch", "trace"]
    for fields, size in ((header, HEADER_SIZE), (meta, META_SIZE)):
        offset = 0
        for at, length, _ in fields:
            assert int(at) == offset
            offset += int(length)
        assert offset == size


def test_every_link_in_the_page_leads_somewhere() -> None:
    headings = {
        re.sub(r"[^\w -]", "", title.lower()).replace(" ", "-")
        for title in re.findall(r"^#+ (.+)$", PAGE, re.MULTILINE)
    }
    assert set(re.findall(r"\]\(#([^)]+)\)", PAGE)) <= headings


def test_the_methods_of_a_router_are_those_it_has() -> None:
    section = PAGE[PAGE.index("## What routers and services say") : PAGE.index("## Limits")]
    named = set(re.findall(r"`(luabus\.\w+)\(", section[: section.index("Calls of a router to")]))
    assert named == set(Router("router.9").api.methods)
