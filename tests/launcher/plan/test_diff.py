"""What differs between two plans, and for whom."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from launcher.plan.diff import compare, takes_away
from tests.launcher.plan.test_plan import BASE, changed, plan


@pytest.mark.parametrize(
    ("path", "value", "names"),
    [
        (("services", "mail", "env"), {"X": "1"}, {"mail.1", "mail.2"}),
        (("services", "db", "command"), ["./other"], {"db.1"}),
        (("services", "mail", "depends_on"), [], set()),
        (("services", "mail", "slots"), 5, set()),
        (("dashboard", "port"), 9000, {"dashboard"}),
        (("logs", "keep"), 1, set()),
        (("bus", "frame_limit"), 2048, {"router.1", "router.2", "dashboard", "mail.1", "mail.2"}),
        (("routers", "waiting_limit"), 2 << 20, {"router.1", "router.2"}),
        (("lease", "ttl"), 5.0, {"dashboard", "mail.1", "mail.2"}),
        (("cluster", "log_level"), "DEBUG", {"router.1", "router.2", "dashboard", "mail.1", "mail.2"}),
        (("cluster", "env"), {"X": "1"}, {"dashboard", "db.1", "mail.1", "mail.2"}),
        (("services", "db", "slots"), 5, set()),
    ],
)
def test_only_what_concerns_a_process_changes_it(
    tmp_path: Path, path: tuple[str, ...], value: Any, names: set[str]
) -> None:
    changes = compare(plan(tmp_path).by_name(), plan(tmp_path, changed(BASE, *path, value=value)).by_name())
    assert set(changes.changed) == names
    assert all(keys == (".".join(path),) for keys in changes.changed.values())
    assert bool(changes) is bool(names)


def test_what_a_reload_takes_away_only_for_who_means_it(tmp_path: Path) -> None:
    before = plan(tmp_path).config
    without = {"mail": {**BASE["services"]["mail"], "depends_on": []}}

    def taken(*path: str, value: Any) -> tuple[str, ...]:
        return takes_away(before, plan(tmp_path, changed(BASE, *path, value=value)).config)

    assert takes_away(before, before) == ()
    assert taken("services", value=without) == ("services.db",)
    assert taken("routers", "port", value=9999) == ("routers.port",)
    assert taken("services", "mail", "instances", value=0) == ()


def test_added_and_removed(tmp_path: Path) -> None:
    changes = compare(plan(tmp_path).by_name(), plan(tmp_path, scaled={"mail": 3, "db": 0}).by_name())
    assert (changes.added, changes.removed) == (("mail.3",), ("db.1",))


@pytest.mark.parametrize("keys", [{}, {"route": "hash"}, {"route": "hash", "slots": 2}])
def test_another_number_of_instances_touches_none_that_runs(tmp_path: Path, keys: dict[str, Any]) -> None:
    mail = {**BASE["services"]["mail"], **keys}
    before = plan(tmp_path, changed(BASE, "services", "mail", value=mail)).by_name()
    for number, added, removed in ((3, ("mail.3",), ()), (1, (), ("mail.2",))):
        after = plan(
            tmp_path, changed(BASE, "services", "mail", value={**mail, "instances": number, "slots": number})
        )
        changes = compare(before, after.by_name())
        assert (changes.added, changes.removed, changes.changed) == (added, removed, {})


def test_more_routers_are_no_matter_of_programs_that_are_not_on_the_bus(tmp_path: Path) -> None:
    after = plan(tmp_path, changed(BASE, "routers", "count", value=3)).by_name()
    changes = compare(plan(tmp_path).by_name(), after)
    assert (changes.added, set(changes.changed)) == (("router.3",), {"dashboard", "mail.1", "mail.2"})


def test_a_changed_env_file_is_a_change(tmp_path: Path) -> None:
    config = changed(BASE, "services", "db", "env_file", value="x.env")
    (tmp_path / "x.env").write_text("A=1")
    before = plan(tmp_path, config).by_name()
    (tmp_path / "x.env").write_text("A=2")
    assert compare(before, plan(tmp_path, config).by_name()).changed == {"db.1": ("services.db.env_file",)}
