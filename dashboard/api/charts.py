"""The figures of the last quarter of an hour and of the last day: as the API gives them and as small drawings in pages."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Literal

from pydantic import Field, field_validator

from dashboard.collector.time_series import UNITS, WINDOWS, History, starts
from dashboard.http.endpoints import Call, endpoint
from dashboard.http.tokens import Role
from dashboard.i18n import Invalid
from dashboard.model.answers import Chart, Series
from dashboard.model.requests import RequestModel
from luabus.messages import Message


class ChartQuery(RequestModel):
    """`kind` is what is measured, `of` whose series is wanted (a router, a process; all without it)."""

    kind: Annotated[str, Field(max_length=40, json_schema_extra={"enum": list(UNITS)})]
    of: Annotated[str, Field(max_length=120)] = ""
    window: Literal["15m", "1d"] = "15m"

    @field_validator("kind")
    @classmethod
    def _known(cls, value: str) -> str:
        if value not in UNITS:
            raise Invalid(Message("ui.is-not-measured", value=repr(value), known=", ".join(UNITS)))
        return value


@endpoint(
    "GET",
    "/api/v1/series",
    role=Role.viewer,
    tag="cluster",
    query=ChartQuery,
    answer=Chart,
    summary="api.how-a-figure-went-the-last",
)
async def series(call: Call) -> Chart:
    query: ChartQuery = call.query
    now = call.snapshot.at
    by_name = call.context.history.read(query.kind, query.window, now, query.of)
    return Chart(
        kind=query.kind,
        unit=UNITS[query.kind],
        step_s=WINDOWS[query.window].step_s,
        at=tuple(starts(query.window, now)),
        series=tuple(
            Series(name=name, values=tuple(None if v is None else round(v, 4) for v in values))
            for name, values in by_name.items()
        ),
    )


def sparkline(history: History, kind: str, of: str, now: float, width: float = 90, height: float = 22) -> str:
    """The last quarter of an hour as the `d` of an SVG path, from zero to the highest value; empty without two values."""
    values = history.read(kind, "15m", now, of).get(of, ())
    return path(_thinned(values), width, height)


def _thinned(values: Sequence[float | None], points: int = 60) -> list[float | None]:
    """Means of neighbours, so that a small drawing has no more points than it can show."""
    size = max(1, len(values) // points)
    groups = ([v for v in values[n : n + size] if v is not None] for n in range(0, len(values), size))
    return [sum(group) / len(group) if group else None for group in groups]


def path(values: Sequence[float | None], width: float, height: float) -> str:
    """A line through the values, broken where one is missing."""
    known = [value for value in values if value is not None]
    if len(known) < 2:
        return ""
    top = max(known) or 1.0
    step = width / (len(values) - 1)
    parts: list[str] = []
    pen = "M"
    for index, value in enumerate(values):
        if value is None:
            pen = "M"
            continue
        parts.append(f"{pen}{index * step:.1f} {height - 1 - value / top * (height - 2):.1f}")
        pen = "L"
    return "".join(parts)
