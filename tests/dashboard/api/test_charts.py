from __future__ import annotations

from dashboard.api.charts import path, sparkline
from dashboard.collector.time_series import History
from tests.dashboard.conftest import Dash

NOW = 1_800_000_000.0


async def test_a_series_has_as_many_values_as_times(dash: Dash) -> None:
    chart = await dash.json("/api/v1/series?kind=memory&of=mail.1")
    assert (chart["unit"], chart["step_s"], len(chart["at"])) == ("B", 5, 180)
    (line,) = chart["series"]
    assert line["name"] == "mail.1"
    assert len(line["values"]) == 180
    assert line["values"][-1] == 1 << 20
    day = await dash.json("/api/v1/series?kind=memory&window=1d")
    assert (day["step_s"], len(day["at"]), len(day["series"])) == (120, 720, 7)


async def test_what_is_not_measured_is_said(dash: Dash) -> None:
    answer = await dash.get("/api/v1/series?kind=weather")
    assert answer.status == 422
    assert "there are messages, bytes" in (await answer.json())["detail"]


def test_a_line_is_broken_where_nothing_is_known() -> None:
    assert path([0, 10, None, 5, 10], 40, 22) == "M0.0 21.0L10.0 1.0M30.0 11.0L40.0 1.0"
    assert path([None, 1, None], 40, 22) == ""
    assert path([0, 0], 40, 22) == "M0.0 21.0L40.0 21.0"


def test_a_sparkline_is_small_whatever_it_shows() -> None:
    history = History()
    for at in range(0, 900, 5):
        history.sample(("cpu", "mail.1"), NOW + at, at % 60)
    assert sparkline(history, "cpu", "mail.1", NOW + 899).count("L") == 59
    assert sparkline(history, "cpu", "mail.9", NOW + 899) == ""
