"""The API's lists are asked for alike, and each row can be had by itself."""

from __future__ import annotations

from typing import Any

import pytest

from dashboard.api.openapi import document
from dashboard.http.endpoints import TABLE
from tests.dashboard.cluster import ScriptedCluster
from tests.dashboard.conftest import Dash, Make

LISTS = [one.path for one in TABLE if one.listed]


def closed(router: str, token: int, at: float) -> dict[str, Any]:
    return {"router": router, "token": token, "name": f"mail.{token}", "reason": "closed by peer", "at": at}


@pytest.fixture
async def dash(make_dash: Make) -> Dash:
    cluster = ScriptedCluster()
    cluster.closed = [closed("router.1", n, 1_800_000_000.0 + n) for n in (1, 2, 3)]
    return await make_dash(cluster)


def test_these_are_the_lists() -> None:
    assert sorted(LISTS) == [
        "/api/v1/connections",
        "/api/v1/connections/closed",
        "/api/v1/processes",
        "/api/v1/routers",
    ]


@pytest.mark.parametrize("path", LISTS)
async def test_every_list_is_filtered_sorted_and_paged_alike(dash: Dash, path: str) -> None:
    name = "router" if path.endswith("routers") else "name"
    answer = await dash.get(f"{path}?sort=-{name}")
    values = [row[name] for row in await answer.json()]
    assert len(values) >= 2
    assert values == sorted(values, reverse=True)
    assert answer.headers["X-Total-Count"] == str(len(values))
    answer = await dash.get(f"{path}?sort={name}&offset=1&limit=1")
    assert [row[name] for row in await answer.json()] == sorted(values)[1:2]
    assert answer.headers["X-Total-Count"] == str(len(values))
    answer = await dash.get(f"{path}?q={values[0].upper()}")
    assert {row[name] for row in await answer.json()} == {values[0]}
    problem = await (await dash.get(f"{path}?sort=colour")).json()
    assert problem["status"] == 422
    assert "'colour' is not a column; the columns are" in problem["detail"]
    (header,) = document()["paths"][path]["get"]["responses"]["200"]["headers"]
    assert header == "X-Total-Count"


async def test_lists_are_narrowed_to_a_router_or_a_service(dash: Dash) -> None:
    assert len(await dash.json("/api/v1/connections/closed?router=router.1")) == 3
    assert await dash.json("/api/v1/connections/closed?router=router.2") == []
    every = await dash.json("/api/v1/processes")
    of_mail = await dash.json("/api/v1/processes?service=mail")
    assert 0 < len(of_mail) < len(every)
    assert {row["service"] for row in of_mail} == {"mail"}


async def test_one_process_and_one_router_are_had_by_their_names(dash: Dash) -> None:
    (one,) = await dash.json("/api/v1/processes?q=mail.1")
    assert await dash.json("/api/v1/processes/mail.1") == one
    (router, _) = await dash.json("/api/v1/routers")
    assert await dash.json("/api/v1/routers/router.1") == router
    assert (router["connected"], router["undeliverable"]) == (True, {"no route": 3})
    for path, meant in (("processes/mial.1", "mail.1"), ("routers/ruoter.1", "router.1")):
        problem = await (await dash.get(f"/api/v1/{path}")).json()
        assert (problem["status"], f"did you mean {meant!r}?" in problem["detail"]) == (404, True)


async def test_a_router_that_is_away_is_listed_with_what_it_said_last(dash: Dash) -> None:
    await dash.look()
    dash.cluster.up["router.1"] = False
    dash.clock.at += 5
    await dash.look()
    router = await dash.json("/api/v1/routers/router.1")
    assert (router["connected"], router["messages_in"], router["age_s"]) == (False, 10, 5.0)


@pytest.mark.parametrize(
    ("path", "hint"),
    [
        ("processes?service=mial", "did you mean 'mail'?"),
        ("connections?router=router.3", "did you mean 'router.2'?"),
        ("connections/closed?router=nobody", "there are: router.1, router.2"),
    ],
)
async def test_a_filter_that_names_nobody_is_not_found(dash: Dash, path: str, hint: str) -> None:
    answer = await dash.get(f"/api/v1/{path}")
    assert (answer.status, hint in (await answer.json())["detail"]) == (404, True), await answer.text()
