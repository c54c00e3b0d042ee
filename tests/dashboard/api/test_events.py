from __future__ import annotations

import re

from dashboard.api.events import EventsQuery, neighbours, page_of
from dashboard.collector.journal import KEPT, Journal
from tests.dashboard.cluster import Clock
from tests.dashboard.conftest import PAGE, Dash


def filled(count: int, kept: int = 5000) -> Journal:
    journal = Journal(None, Clock(), kept=kept)
    for number in range(1, count + 1):
        journal.add("kill" if number % 2 == 0 else "start", "mail.1", f"change {number}")
    return journal


def test_pages_lead_to_the_oldest_and_back_to_the_newest() -> None:
    journal = filled(25)
    seen, query = [], EventsQuery(limit=10)
    newest = page_of(journal, query)
    assert newest.newer is None
    page = newest
    while page.older is not None:
        seen += [event.seq for event in page.events]
        page = page_of(journal, EventsQuery(limit=10, **page.older))
    seen += [event.seq for event in page.events]
    assert seen == list(range(25, 0, -1))
    assert page.newer == {"q": "", "kind": "", "after": 5}
    page = page_of(journal, EventsQuery(limit=10, **page.newer))
    assert [event.seq for event in page.events] == list(range(15, 5, -1))
    assert page.newer == {"q": "", "kind": ""}  # the newest page, which goes on with what happens


def test_pages_keep_what_is_asked_for() -> None:
    journal = filled(25)
    page = page_of(journal, EventsQuery(limit=5, q="change", kind="kill"))
    assert [event.seq for event in page.events] == [24, 22, 20, 18, 16]
    assert page.older == {"q": "change", "kind": "kill", "before": 16}
    last = page_of(journal, EventsQuery(limit=5, q="change", kind="kill", before=6))
    assert ([event.seq for event in last.events], last.older) == ([4, 2], None)


def test_a_page_that_has_nothing_leads_to_the_newest() -> None:
    journal = filled(30, kept=10)
    for query in (EventsQuery(before=5), EventsQuery(after=99)):
        page = page_of(journal, query)
        assert (page.events, page.newer) == ((), {"q": "", "kind": ""})
    assert page_of(Journal(None, Clock()), EventsQuery()).newer is None


def test_an_event_knows_those_beside_it() -> None:
    journal = filled(3)
    first, second, third = journal.find()
    assert neighbours(journal, second) == (first, third)
    assert neighbours(journal, first) == (None, second)
    assert neighbours(journal, third) == (second, None)


async def test_an_address_shows_its_event_for_ever(dash: Dash) -> None:
    for number in range(1, 162):
        dash.context.journal.add(
            "kill", "mail.1", f"<b>change {number}</b>", by="admin", origin="203.0.113.7"
        )
    html = await (await dash.get("/events?limit=200", **PAGE)).text()
    assert 'href="/events/1"' in html
    html = await (await dash.get("/events/1", **PAGE)).text()
    assert "&lt;b&gt;change 1&lt;/b&gt;" in html
    assert "change 2" not in html
    assert "203.0.113.7" in html
    assert 'href="/events/2"' in html
    event = await dash.json("/api/v1/history/161")
    assert (event["seq"], event["text"], event["by"]) == (161, "<b>change 161</b>", "admin")
    assert (await dash.json("/api/v1/history?before=3&limit=1"))["events"][0]["seq"] == 2
    assert (await dash.json("/api/v1/history"))["oldest"] == 1


async def test_an_event_that_is_not_there_is_no_other_one(dash: Dash) -> None:
    for number in range(1, KEPT + 7):
        dash.context.journal.add("kill", "mail.1", f"change {number}")
    for query, text in {
        "1": "no longer kept (the oldest is 7)",
        str(KEPT + 7): f"has not happened yet; the newest is {KEPT + 6}",
        "0": "from 1 on",
        "x": "from 1 on",
        "9" * 5000: "from 1 on",
        "%D9%A3": "from 1 on",
    }.items():
        answer = await dash.get(f"/api/v1/history/{query}")
        assert (answer.status, answer.content_type) == (404, "application/problem+json")
        assert text in (await answer.json())["detail"]
        page = await dash.get(f"/events/{query}", **PAGE)
        assert (page.status, page.content_type) == (404, "text/html")
        assert text in await page.text()


async def test_the_page_has_a_way_to_older_and_newer_events(dash: Dash) -> None:
    for number in range(1, 251):
        dash.context.journal.add("kill", "mail.1", f"change {number}")
    html = await (await dash.get("/events?q=change&kind=kill", **PAGE)).text()
    (older,) = re.findall(r'href="(/events\?[^"]+)" rel="next"', html)
    assert older == "/events?q=change&amp;kind=kill&amp;before=151"
    html = await (await dash.get(older.replace("&amp;", "&"), **PAGE)).text()
    assert "change 150" in html
    assert "change 151<" not in html
    assert 'href="/events?q=change&amp;kind=kill" rel="prev"' in html
    assert "No event fits." in await (await dash.get("/events?q=nothing+like+it", **PAGE)).text()
