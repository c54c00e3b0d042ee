"""`[bus] compress_above` of cluster.toml, on the wire."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import luabus
from tests.support.demo import Demo
from tests.support.waiting import until

BODY = "the same words again and again; " * 3000


async def bytes_of(bus: luabus.Bus, name: str) -> int:
    """What router.1 has received from `name`."""
    rows: list[dict[str, Any]] = await bus.router("router.1").request("luabus.connections")
    return int(next(row["bytes_in"] for row in rows if row["name"] == name))


async def test_a_launched_service_compresses_what_is_larger_than_the_file_says(tmp_path: Path) -> None:
    demo = Demo(tmp_path)
    file = tmp_path / "cluster.toml"
    file.write_text(
        file.read_text("utf-8").replace("count = 2", "count = 1") + '\n[bus]\ncompress_above = "4KB"\n',
        "utf-8",
    )
    done = await demo.verb("up", "-d")
    assert done.code == 0, done.out + done.err
    try:
        async with luabus.connect(demo.routers[:1], secret_file=tmp_path / ".luabus/secret") as bus:
            await bus.target("mail.1").request("send_mail", "test", "alice", "long", BODY)
            before = await bytes_of(bus, "mail.1")
            assert (await bus.target("mail.1").request("read_mail", "alice"))[0]["body"] == BODY
            answer = await bytes_of(bus, "mail.1") - before
            assert 0 < answer < len(BODY) // 10
    finally:
        done = await demo.verb("down")
        assert done.code == 0, done.out + done.err
        await until(lambda: not demo.processes(), 5.0, f"the end of {demo.processes()}")
