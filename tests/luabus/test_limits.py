from __future__ import annotations

import ast
import re

from luabus import limits
from tests.support.bus import Star
from tests.support.imports import ROOT
from tests.support.streams import Pair

SOURCE = (ROOT / "luabus/limits.py").read_text("utf-8")


def test_limits_fit_into_each_other() -> None:
    assert limits.HANDSHAKE_FRAME_LIMIT < limits.DEFAULT_STREAM_BUFFER <= limits.DEFAULT_BUS_BUFFER
    assert 1 << 20 <= limits.DEFAULT_FRAME_LIMIT < limits.DEFAULT_BUS_BUFFER
    assert limits.DEFAULT_FRAME_LIMIT <= limits.MAX_FRAME_LIMIT < 1 << 32
    assert limits.HEARTBEAT_S * limits.HEARTBEATS_MISSED < limits.REQUEST_TIMEOUT_S < limits.STUCK_TIMEOUT_S
    assert limits.CALL_TICK_S < limits.HEARTBEAT_S


async def test_every_buffer_and_queue_has_its_limit_by_default() -> None:
    async with Pair() as pair:
        assert pair.client.send_limit == pair.server.send_limit == 64 << 10
        assert pair.client.frame_limit == pair.server.frame_limit == 64 << 10
    async with Star() as star:
        (mail,) = await star.mail(1)
        (ours,) = (link.stream for link in mail.bus.routers)
        assert ours is not None
        for stream in (ours, *star.routers[0].mgr.streams.values()):
            assert stream.send_limit == stream.kept_limit == 8 << 20
            assert stream.frame_limit == 1 << 20
        assert mail.service.handlers.max_concurrency == 4096
        assert star.routers[0].mgr.switch.waiting.limit == 256 << 20


def test_every_limit_is_used() -> None:
    names = [node.target.id for node in ast.parse(SOURCE).body if isinstance(node, ast.AnnAssign)]  # type: ignore[union-attr]
    assert len(names) > 15
    rest = "\n".join(
        path.read_text("utf-8") for path in (ROOT / "luabus").rglob("*.py") if path.name != "limits.py"
    )
    assert [name for name in names if not re.search(rf"\b{name}\b", rest)] == []


def test_the_limits_in_the_protocol_page_are_these() -> None:
    page = (ROOT / "docs/protocol.md").read_text("utf-8")
    table = dict(re.findall(r"^\| `([A-Z_]+)` \| ([0-9_,.]+) ", page, re.MULTILINE))
    assert len(table) > 10
    assert {name: float(value.replace(",", "")) for name, value in table.items()} == {
        name: float(getattr(limits, name)) for name in table
    }
