"""Tables as large as the configuration allows: asked for, watched, merged."""

from __future__ import annotations

from typing import Any

import pytest

from luabus import admin
from luabus.protocol import codec
from luabus.routing.views import GROUP_ROWS, join_pages
from tests.support.bus import Star
from tests.support.waiting import until

ALL = 65_535


async def test_a_group_of_65535_is_asked_for_page_by_page_and_watched() -> None:
    async with Star(groups={"mail": (2, ALL), "director": (3,)}) as star:
        router = star.routers[0]
        await star.service("mail", 40_000)
        bus = await star.client()
        page = await bus.router("router.1").request("luabus.routes")
        assert len(page["groups"][0]["slots"]) == GROUP_ROWS - 1
        (table,) = (await admin.routes(bus))["routers"]
        assert "next" not in table
        groups = {group["group"]: group for group in table["groups"]}
        assert set(groups) == {2, 3}
        assert [slot["service_id"] for slot in groups[2]["slots"]] == [f"2.{n}" for n in range(1, ALL + 1)]
        assert [slot["service_id"] for slot in groups[2]["slots"] if slot["token"]] == ["2.40000"]
        seen: dict[int, dict[str, Any]] = {}
        bus.on_group(lambda _, group: seen.__setitem__(group["group"], group))
        await bus.watch()
        assert len(seen[2]["slots"]) == ALL
        assert all(link.ready for link in bus.routers)
        router.register("mail.7", 0)
        router.register("mail.40000", 0)
        await until(lambda: not seen[2]["slots"][39_999]["token"])


@pytest.mark.parametrize("frame_limit", [4096, 65_536])
async def test_255_groups_with_the_longest_names_fit_whatever_the_limit(frame_limit: int) -> None:
    names = {f"{number:03}" + "\U0001f600" * 97: (number, 2) for number in range(1, 256)}
    async with Star(groups=names, frame_limit=frame_limit) as star:
        bus = await star.client(groups={}, frame_limit=frame_limit)
        await until(lambda: len(bus.groups) == 255)
        (table,) = (await admin.routes(bus))["routers"]
        assert [group["group"] for group in table["groups"]] == list(range(1, 256))
        assert all(len(group["slots"]) == 2 for group in table["groups"])
        seen: dict[int, dict[str, Any]] = {}
        bus.on_group(lambda _, group: seen.__setitem__(group["group"], group))
        await bus.watch()
        assert len(seen) == 255
        assert (await admin.stats(bus))[0]["connections"] == 1
        assert len(await admin.connections(bus)) == 1


@pytest.mark.parametrize("limit", [1, 2, 3, 7, 1000])
async def test_pages_of_any_size_make_the_same_table(limit: int) -> None:
    async with Star(groups={"mail": (2, 3), "gateway": (1,), "director": (3,), "robot": (4, 5)}) as star:
        await star.mail(1, 2)
        router = star.routers[0]
        whole = router.routes()
        assert whole.pop("next") is None
        pages = [router.routes(0, limit)]
        while pages[-1]["next"] is not None:
            pages.append(router.routes(pages[-1]["next"], limit))
        assert join_pages(pages) == whole
        assert all(codec.pack_value(page) for page in pages)
        if limit == 1:
            assert len(pages) >= 8
