from __future__ import annotations

import pytest

from dashboard.views import topology
from dashboard.views.topology import MOST_ROWS, NARROW, WIDE, Shape
from tests.dashboard.cluster import GROUPS, ScriptedCluster, looked, process, slot, snapshot_of, table


@pytest.mark.parametrize("shape", [WIDE, NARROW])
async def test_everything_is_drawn_inside_and_nothing_over_another(shape: Shape) -> None:
    drawing = topology.draw(await snapshot_of(ScriptedCluster()), shape)
    assert [router.name for router in drawing.routers] == ["router.1", "router.2"]
    assert [(card.name, len(card.instances)) for card in drawing.groups] == [("director", 2), ("mail", 3)]
    boxes = [(c.x, c.y, c.width, c.height) for c in drawing.groups]
    boxes += [(r.x, r.y, r.width, topology.ROUTER_HEIGHT) for r in drawing.routers]
    for n, (x, y, width, height) in enumerate(boxes):
        assert x >= 0
        assert y >= 0
        assert x + width <= drawing.width
        assert y + height <= drawing.height
        for x2, y2, width2, height2 in boxes[n + 1 :]:
            assert x + width <= x2 or x2 + width2 <= x or y + height <= y2 or y2 + height2 <= y


async def test_lines_tell_traffic_and_the_preferred_router() -> None:
    cluster = ScriptedCluster()
    poller = await looked(cluster)
    for row in cluster.rows:
        row["connected_s"] += 1
        if row["name"] == "mail.1" and row["router"] == "router.2":
            row |= {"messages_in": 1000, "preferred": True}
    lines = {line.key: line for line in topology.draw(await poller.poll()).lines}
    assert len(lines) == 10
    assert lines["mail.1-router.2"].preferred
    assert lines["mail.1-router.2"].weight > lines["mail.1-router.1"].weight == 1.0
    assert "1.0 k/s" in lines["mail.1-router.2"].title
    assert [line.preferred for line in topology.draw(poller.snapshot).lines][-1]


async def test_the_sick_are_marked_and_the_master_is() -> None:
    cluster = ScriptedCluster(tables={n: table(n, mail=(11, 0, 13)) for n in ("router.1", "router.2")})
    cluster.processes[5] = process("mail.2", "2.2", state="failed")
    director, mail = topology.draw(await snapshot_of(cluster)).groups
    assert [(i.name, i.level, i.state) for i in mail.instances][1] == ("mail.2", "warn", "failed")
    assert (mail.level, mail.note) == ("warn", "2/3")
    assert [i.master for i in director.instances] == [True, False]


async def test_a_process_that_never_registered_is_drawn_too() -> None:
    cluster = ScriptedCluster()
    cluster.processes.append(process("mail.4", "2.4", state="starting"))
    mail = topology.draw(await snapshot_of(cluster)).groups[1]
    assert (mail.instances[3].name, mail.instances[3].state) == ("mail.4", "starting")


async def test_in_a_big_group_the_sick_stay_visible() -> None:
    big = {
        "group": 2,
        "name": "mail",
        "slots": [slot("mail", n, n if n != 40 else 0) for n in range(1, 51)],
    }
    cluster = ScriptedCluster(
        up={"router.1": True}, tables={"router.1": {"router": "router.1", "groups": [big]}}
    )
    assert GROUPS["mail"] == 2
    (card,) = topology.draw(await snapshot_of(cluster)).groups
    assert (len(card.instances), card.hidden) == (MOST_ROWS, 42)
    assert "mail.40" in [node.name for node in card.instances]


async def test_without_routers_there_are_no_lines_and_no_rates() -> None:
    cluster = ScriptedCluster()
    poller = await looked(cluster)
    cluster.up = dict.fromkeys(cluster.up, False)
    drawing = topology.draw(await poller.poll())
    assert drawing.lines == ()
    assert [r.note for r in drawing.routers] == ["no answer", "no answer"]
    assert [c.name for c in drawing.groups] == ["director", "mail"]


LONG = "a-service-whose-name-was-given-by-someone-with-much-to-say"


@pytest.mark.parametrize("shape", [WIDE, NARROW])
async def test_long_names_stay_inside_their_boxes_and_keep_their_numbers(shape: Shape) -> None:
    cluster = ScriptedCluster()
    for tables in cluster.tables.values():
        group = tables["groups"][1]
        group["name"] = LONG
        for number, held in enumerate(group["slots"], 1):
            held["name"] = f"{LONG}.{number}"
    card = topology.draw(await snapshot_of(cluster), shape).groups[1]
    assert card.name == LONG
    assert len(card.label) * topology.CHARACTER <= card.width
    named = [instance for instance in card.instances if instance.name.startswith(LONG)]
    assert [instance.name for instance in named] == [f"{LONG}.{n}" for n in (1, 2, 3)]
    for number, instance in enumerate(named, 1):
        assert instance.label.endswith(f"….{number}")
        assert len(instance.label) * topology.CHARACTER <= instance.width - topology.NOTE


@pytest.mark.parametrize(
    ("name", "width", "label"),
    [
        ("mail.1", 80, "mail.1"), ("mailboxes.12", 80, "mailbo….12"), ("a.longer-end", 80, "a.longer-…"),
        ("邮件服务器.1", 80, "邮件服….1"), ("abcdefghijkl", 80, "abcdefghi…"),
    ],
)  # fmt: skip
def test_a_name_is_cut_to_the_width(name: str, width: float, label: str) -> None:
    assert topology.shortened(name, width) == label


async def test_a_failed_program_without_a_group_is_drawn() -> None:
    cluster = ScriptedCluster()
    cluster.processes.append(process("import.1", None, state="failed"))
    cluster.processes.append(process("dashboard", None))
    cards = topology.draw(await snapshot_of(cluster)).groups
    (alone,) = [card for card in cards if not card.name]
    assert alone.level == "warn"
    assert [(node.name, node.state, node.level) for node in alone.instances] == [
        ("import.1", "failed", "warn")
    ]
