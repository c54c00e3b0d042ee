from __future__ import annotations

from dashboard.views import list_query
from luabus.cluster.state import ConnectionState, Process, of_map
from tests.dashboard.cluster import connection, process


def row(name: str, token: int = 1, router: str = "router.1", **more: object) -> ConnectionState:
    return of_map(ConnectionState, connection(router, name, "2.1", token, **more))


def test_filter_takes_rows_with_every_word_whatever_the_case() -> None:
    page = list_query.select(
        [row("mail.1"), row("mail.2", router="router.2"), row("gate.1")], "MAIL router.2"
    )
    assert [row.name for row in page.rows] == ["mail.2"]
    assert page.total == 1


def test_sort_both_ways_with_nulls_last() -> None:
    given = [row("a", rtt_ms=2.0), row("b", rtt_ms=None), row("c", rtt_ms=1.0)]
    assert [row.name for row in list_query.select(given, sort="rtt_ms").rows] == ["c", "a", "b"]
    assert [row.name for row in list_query.select(given, sort="-rtt_ms").rows] == ["a", "c", "b"]


def test_pages() -> None:
    given = [row(f"m.{n}", n) for n in range(25)]
    page = list_query.select(given, offset=20, limit=10)
    assert (len(page.rows), page.total, page.number, page.pages) == (5, 25, 3, 3)
    assert list_query.select([], limit=10).pages == 1


def test_every_column_can_be_sorted_by() -> None:
    for column in list_query.CONNECTION_COLUMNS:
        assert len(list_query.select([row("a"), row("b")], sort=column).rows) == 2


def test_the_preferred_router_is_the_one_sent_through() -> None:
    given = [row("a"), row("a", router="router.2", preferred=True), row("new")]
    assert list_query.preferred(given) == {"a": "router.2"}


def test_processes_by_service_keep_their_order() -> None:
    given = [Process.read(process(name, None)) for name in ("mail.1", "gate.1", "mail.2")]
    assert [(name, [p.name for p in members]) for name, members in list_query.by_service(given)] == [
        ("mail", ["mail.1", "mail.2"]),
        ("gate", ["gate.1"]),
    ]
