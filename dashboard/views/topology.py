"""Topology drawing: routers in the middle (or at the left, when narrow), groups at the sides, a line per connection.

Only geometry and levels are computed here; the template makes SVG of them, the style sheet colours.
"""

from __future__ import annotations

import math
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass

from dashboard.views.formatting import rate
from dashboard.views.list_query import preferred
from luabus.cluster.health import Health, assess, process_level
from luabus.cluster.snapshot import Snapshot
from luabus.cluster.state import LEVELS, ConnectionState, GroupState, Level, Process, worst

ROW = 30.0
HEADER = 30.0
GAP = 18.0
ROUTER_HEIGHT = 58.0
CHARACTER = 8.0
"""Width of a character of a name at most, as a rule: names are cut to fit their boxes, and their titles say them whole."""
NOTE = 84.0
"""Room at the right of a box for its note, such as `12,345/s` or `backoff`."""
MOST_ROWS = 8
"""Instances drawn one by one in a group; beyond, the sick ones come first and the rest is one line."""


@dataclass(frozen=True, slots=True)
class Shape:
    """Dimensions of one width of drawing."""

    width: float
    card: float
    router: float
    two_sided: bool


WIDE = Shape(width=1000, card=300, router=150, two_sided=True)
NARROW = Shape(width=380, card=218, router=84, two_sided=False)


@dataclass(frozen=True, slots=True)
class RouterNode:
    name: str
    label: str
    address: str
    x: float
    y: float
    width: float
    level: Level
    note: str


@dataclass(frozen=True, slots=True)
class InstanceNode:
    """`state` is the process state where the launcher knows it, else live or vacant."""

    name: str
    label: str
    x: float
    y: float
    width: float
    level: Level
    state: str
    master: bool
    note: str


@dataclass(frozen=True, slots=True)
class GroupCard:
    """`name` is empty for what is in no group."""

    name: str
    label: str
    note: str
    x: float
    y: float
    width: float
    height: float
    level: Level
    instances: tuple[InstanceNode, ...]
    hidden: int


@dataclass(frozen=True, slots=True)
class Line:
    """From an instance to a router. `weight` is a stroke width; `preferred` when the instance sends through it."""

    key: str
    path: str
    weight: float
    preferred: bool
    level: Level
    title: str


@dataclass(frozen=True, slots=True)
class Drawing:
    name: str
    width: float
    height: float
    routers: tuple[RouterNode, ...]
    groups: tuple[GroupCard, ...]
    lines: tuple[Line, ...]


@dataclass(frozen=True, slots=True)
class _Instance:
    name: str
    level: Level
    state: str
    master: bool
    note: str


_Content = tuple[GroupState | None, list[_Instance]]


def shortened(name: str, width: float) -> str:
    """Name cut to `width`, in its middle, so that `.12` at its end stays."""
    most = max(int(width / CHARACTER), 4)
    # A Chinese character is as wide as two others.
    widths = [2 if unicodedata.east_asian_width(character) in "WF" else 1 for character in name]
    if sum(widths) <= most:
        return name
    stem, dot, number = name.rpartition(".")
    end = dot + number if stem and len(number) <= 4 else ""
    room = most - len(end) - 1
    kept = 0
    while kept < len(name) and sum(widths[: kept + 1]) <= room:
        kept += 1
    return f"{name[:kept]}…{end}"


def draw(snapshot: Snapshot, shape: Shape = WIDE) -> Drawing:
    """Lay out the drawing for one shape."""
    health = assess(snapshot)
    contents = _contents(snapshot, health)
    columns = _columns(contents, shape)
    height = max((_column_height(column) for column in columns), default=0.0)
    routers_height = len(snapshot.routers) * (ROUTER_HEIGHT + GAP) - GAP
    height = max(height, routers_height, 60.0)
    routers = _place_routers(snapshot, shape, height, health)
    cards: list[GroupCard] = []
    for number, column in enumerate(columns):
        x = 0.0 if shape.two_sided and number == 0 else shape.width - shape.card
        y = 1.0 + (height - _column_height(column)) / 2
        for group, instances in column:
            card = _place_card(group, instances, x, y, shape.card, health)
            cards.append(card)
            y += card.height + GAP
    lines = _lines(snapshot, cards, routers)
    name = "wide" if shape.two_sided else "narrow"
    return Drawing(name, shape.width, height + 2, routers, tuple(cards), lines)


def _contents(snapshot: Snapshot, health: Health) -> list[_Content]:
    """Each group with its instances: what the routers hold, and what the launcher runs besides; then what is in no group."""
    rates: dict[str, float] = {}
    for row in snapshot.connections if snapshot.routed else ():
        rates[row.name] = rates.get(row.name, 0.0) + row.rate_in + row.rate_out
    known = {process.name: process for process in snapshot.processes}
    result: list[_Content] = []
    for group in snapshot.groups():
        names = {slot.name: slot.token != 0 for slot in group.slots}
        master = next((slot.name for slot in group.slots if slot.service_id == group.master), None)
        for process in snapshot.processes:
            if process.service_id and process.service_id.partition(".")[0] == str(group.group):
                names.setdefault(process.name, False)
        ordered = sorted(names, key=_natural)
        instances = [
            _instance(
                name,
                names[name],
                known.get(name),
                name == master,
                rates.get(name),
                health.level_of(name, group.name),
            )
            for name in ordered
        ]
        result.append((group, instances))
    # The dashboard itself is not drawn: it draws.
    alone = [
        process
        for process in snapshot.processes
        if not process.service_id and process.service not in ("router", "dashboard")
    ]
    if alone:
        ordered = sorted((process.name for process in alone), key=_natural)
        result.append((None, [_alone(known[name]) for name in ordered]))
    return result


def _alone(process: Process) -> _Instance:
    state = process.shown_state
    return _Instance(process.name, process_level(process), state, master=False, note=state)


def _natural(name: str) -> tuple[str, int]:
    stem, _, number = name.rpartition(".")
    return (stem, int(number)) if number.isdigit() else (name, 0)


def _instance(
    name: str,
    live: bool,
    process: Process | None,
    master: bool,
    per_second: float | None,
    group_level: Level,
) -> _Instance:
    # Nobody misses one that is away while its group is well: it was scaled away.
    level: Level = "ok" if live or group_level == "ok" else "warn"
    state = "live" if live else "vacant"
    if process is not None:
        state = process.state if live or process.state != "running" else "vacant"
        level = worst([level, process_level(process)])
    note = rate(per_second) if live and per_second is not None else state
    return _Instance(name, level, state, master, note)


def _columns(contents: Sequence[_Content], shape: Shape) -> list[list[_Content]]:
    """One column, or two of about the same height, kept in order of group number."""
    if not shape.two_sided:
        return [list(contents)]
    left: list[_Content] = []
    right: list[_Content] = []
    for item in contents:
        (left if _column_height(left) <= _column_height(right) else right).append(item)
    return [left, right]


def _card_height(instances: Sequence[_Instance]) -> float:
    shown = min(len(instances), MOST_ROWS) + (len(instances) > MOST_ROWS)
    return HEADER + ROW * max(shown, 1) + 8


def _column_height(column: Sequence[_Content]) -> float:
    return sum(_card_height(instances) + GAP for _, instances in column) - (GAP if column else 0)


def _place_routers(snapshot: Snapshot, shape: Shape, height: float, health: Health) -> tuple[RouterNode, ...]:
    count = len(snapshot.routers)
    x = (shape.width - shape.router) / 2 if shape.two_sided else 1.0
    pitch = min(ROUTER_HEIGHT + 90.0, height / max(count, 1))
    top = (height - pitch * count) / 2 + (pitch - ROUTER_HEIGHT) / 2 + 1
    nodes = []
    for number, router in enumerate(snapshot.routers):
        rates = [row.rate_in for row in snapshot.connections if row.router == router.name]
        note = rate(sum(rates)) if router.connected else "no answer"
        level = health.level_of(router.name) if snapshot.routed else "bad"
        nodes.append(
            RouterNode(
                name=router.name,
                label=shortened(router.name, shape.router - 12),
                address=router.address,
                x=x,
                y=top + number * pitch,
                width=shape.router,
                level=level,
                note=note,
            )
        )
    return tuple(nodes)


def _place_card(
    group: GroupState | None, instances: list[_Instance], x: float, y: float, width: float, health: Health
) -> GroupCard:
    hidden = 0
    if len(instances) > MOST_ROWS:
        sick_first = sorted(instances, key=lambda instance: -LEVELS.index(instance.level))
        kept = {instance.name for instance in sick_first[:MOST_ROWS]}
        hidden = len(instances) - MOST_ROWS
        instances_shown = [instance for instance in instances if instance.name in kept]
    else:
        instances_shown = instances
    nodes = tuple(
        InstanceNode(
            instance.name,
            shortened(instance.name, width - 12 - 26 - NOTE - (16 if instance.master else 0)),
            x + 6,
            y + HEADER + ROW * row,
            width - 12,
            instance.level,
            instance.state,
            instance.master,
            instance.note,
        )
        for row, instance in enumerate(instances_shown)
    )
    slots = group.slots if group else ()
    vacant = sum(slot.token == 0 for slot in slots)
    note = f"{len(slots) - vacant}/{len(slots)}" if slots else str(len(instances))
    name = group.name if group else ""
    level = worst([health.level_of(name) if group else "ok", *(instance.level for instance in instances)])
    label = shortened(name, width - 28 - NOTE / 2)
    return GroupCard(name, label, note, x, y, width, _card_height(instances), level, nodes, hidden)


def _lines(snapshot: Snapshot, cards: Sequence[GroupCard], routers: Sequence[RouterNode]) -> tuple[Line, ...]:
    rows = {(row.name, row.router): row for row in snapshot.connections}
    chosen = preferred(snapshot.connections)
    connected = {router.name for router in snapshot.routers if router.connected}
    lines = []
    for card in cards:
        for instance in card.instances:
            for router in routers:
                row = rows.get((instance.name, router.name))
                if row is None or router.name not in connected:
                    continue
                lines.append(_line(row, instance, router, chosen.get(instance.name) == router.name))
    # The faint ones first, so that the preferred ones lie above them.
    return tuple(sorted(lines, key=lambda line: line.preferred))


def _line(row: ConnectionState, instance: InstanceNode, router: RouterNode, is_preferred: bool) -> Line:
    from_left = instance.x < router.x
    x1 = instance.x + instance.width if from_left else instance.x
    y1 = instance.y + ROW / 2 - 2
    x2 = router.x if from_left else router.x + router.width
    y2 = router.y + ROUTER_HEIGHT / 2
    bend = (x1 + x2) / 2
    traffic = row.rate_in + row.rate_out
    weight = round(1.0 + min(math.log10(1 + traffic), 5.0) * 0.9, 2) if traffic else 1.0
    title = f"{instance.name} – {router.name}: {rate(traffic)}"
    path = f"M{x1:.1f} {y1:.1f}C{bend:.1f} {y1:.1f} {bend:.1f} {y2:.1f} {x2:.1f} {y2:.1f}"
    return Line(f"{instance.name}-{router.name}", path, weight, is_preferred, instance.level, title)
