"""The leases as they lie in a store, and what routers know of them."""

from __future__ import annotations

from pathlib import Path

from luabus.cluster.leases import known_epochs, repair_leases
from luabus.lease import LeaseRow, open_store
from luabus.limits import MAX_EPOCH


def test_what_routers_know_is_the_highest_that_can_be() -> None:
    tables = [
        {"groups": [{"group": 2, "epoch": 4}, {"group": 3, "epoch": MAX_EPOCH}]},
        {"groups": [{"group": 2, "epoch": 7}, {"group": 9, "epoch": 1}]},
    ]
    assert known_epochs([2, 3, 4], tables) == {2: 7, 3: 0, 4: 0}


async def test_a_row_is_shown_and_set_right_above_what_the_routers_know(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/lease.db"
    store = open_store(url, namespace="demo")
    await store.compare_and_set(3, None, LeaseRow(3, 0, 0, MAX_EPOCH, 2))
    tables = [{"groups": [{"group": 3, "epoch": 7}]}]
    report = await repair_leases(url, "demo", {"director": 3, "mail": 2}, 1.0, tables)
    assert report == {
        "store": url,
        "groups": [
            {
                "group": 3, "name": "director", "holder": None, "epoch": MAX_EPOCH, "seq": 2, "known": 7, "state": "repaired",
                "repaired_to": 7,
            }
        ],
    }  # fmt: skip
    assert await store.read(3) == LeaseRow(3, 0, 0, 7, 3)
    await store.close()
