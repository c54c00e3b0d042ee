"""Which part of a group's keys another owner has when members go or come. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection
from typing import Final

from luabus.cluster.state import GroupState
from luabus.messages import Message
from luabus.routing.buckets import BUCKETS

_COUNTED: Final = 500
"""Members up to which it is counted who gets how much; of more it is told how many there are."""
_NAMED: Final = 4


def moving(group: GroupState, away: Collection[str] = (), back: Collection[str] = ()) -> Message | None:
    """How many per cent of the keys move, and to whom, when the service ids of `away` are live no more and those of `back` are;
    None where keys do not matter, or nobody has them before or after."""
    live = {slot.service_id for slot in group.live}
    after = live.difference(away).union(back)
    if not group.by_hash or not live or not after or after == live:
        return None
    if len(live | after) > _COUNTED:
        part = len(live ^ after) / len(live | after)
        heirs = [name_in(group, service_id) for service_id in sorted(after - live or after)]
        return Message("effect.keys-move", group=group.name, percent=percent(part), heirs=_listed(heirs))
    pairs = zip(group.owners(), group.owners(away, back), strict=True)
    gained = Counter(new for old, new in pairs if new is not None and new != old)
    heirs = [f"{name_in(group, new)} ({percent(count / BUCKETS)} %)" for new, count in gained.most_common()]
    part = gained.total() / BUCKETS
    return Message("effect.keys-move", group=group.name, percent=percent(part), heirs=_listed(heirs))


def percent(part: float) -> str:
    """`33`, below ten `0.7`."""
    return f"{100 * part:.0f}" if part >= 0.0995 else f"{100 * part:.1f}"


def name_in(group: GroupState, service_id: str) -> str:
    """`mail.2` for `2.2`, whether the group has it or not."""
    slot = next((slot for slot in group.slots if slot.service_id == service_id), None)
    return slot.name if slot else f"{group.name}.{service_id.partition('.')[2]}"


def _listed(heirs: list[str]) -> str:
    more = len(heirs) - _NAMED
    return ", ".join(heirs[:_NAMED]) + (f", … (+{more})" if more > 0 else "")
