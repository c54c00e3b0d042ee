"""docs/benchmarks.svg: for each measure one bar per system, luabus as the unit. Pure: text from results.

Longer is better in every bar: of round-trip times the inverse is drawn.
"""

from __future__ import annotations

from html import escape

from benchmarks.bus.measures import MEASURES, Measure
from benchmarks.bus.systems import ALL
from benchmarks.report import number
from benchmarks.results import Results

_WIDTH = 860
_LEFT = 300
_RIGHT = 120
_BAR = 14
_GAP = 3
_GROUP_GAP = 16
_TOP = 34

_STYLE = """
  text { font: 12px system-ui, sans-serif; fill: #24292f; }
  .title { font-size: 14px; font-weight: 600; }
  .measure { font-weight: 600; }
  .note { fill: #57606a; }
  .luabus { fill: #0a7d5a; }
  .peer { fill: #a8b3bd; }
  .floor { fill: #d9c48f; }
  @media (prefers-color-scheme: dark) {
    text { fill: #e6edf3; }
    .note { fill: #9aa5b1; }
    .luabus { fill: #34c38f; }
    .peer { fill: #57626d; }
    .floor { fill: #7d6b37; }
  }
"""


def svg(results: Results) -> str:
    """The chart."""
    parts: list[str] = []
    y = _TOP
    for measure in MEASURES:
        if measure.name not in results.measures:
            continue
        lines, y = _group(results, measure, y)
        parts += lines
    title = '<text class="title" x="8" y="20">luabus beside its peers (longer is better)</text>'
    head = (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {y}" width="{_WIDTH}" height="{y}">'
    )
    return "\n".join([head, f"<style>{_STYLE}</style>", title, *parts, "</svg>", ""])


def _group(results: Results, measure: Measure, y: int) -> tuple[list[str], int]:
    """One measure's bars from `y` on, and where the next one begins."""
    low = measure.main == "p50_us"
    values = {
        system: results.middle(measure.name, system, measure.main)
        for system in results.measures[measure.name]
    }
    worth = {system: 1 / value if low else value for system, value in values.items()}
    most = max(worth.values())
    room = _WIDTH - _LEFT - _RIGHT
    lines = [f'<text class="measure" x="8" y="{y + _BAR - 3}">{escape(measure.title)}</text>']
    y += _BAR + _GAP
    for system, value in values.items():
        kind = "luabus" if system == "luabus" else "floor" if system.startswith("floor") else "peer"
        width = max(2, round(room * worth[system] / most))
        base = y + _BAR - 3
        lines += [
            f'<text class="note" x="{_LEFT - 8}" y="{base}" text-anchor="end">{escape(ALL[system].title)}</text>',
            f'<rect class="{kind}" x="{_LEFT}" y="{y}" width="{width}" height="{_BAR}" rx="2"/>',
            f'<text x="{_LEFT + width + 6}" y="{base}">{number(value)} {escape(measure.unit)}</text>',
        ]
        y += _BAR + _GAP
    return lines, y + _GROUP_GAP
