"""What a reload compares of a service."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from launcher.config.schema import Service
from launcher.plan.service_settings import BASE, service_settings


@pytest.mark.parametrize(
    ("keys", "differing"),
    [
        ({"run": "a:b"}, {BASE}),
        ({"command": ["x"]}, {BASE}),
        ({"run": "a:b", "cwd": "work"}, {BASE, "services.x.cwd"}),
        ({"command": ["x"], "cwd": "work"}, {"services.x.cwd"}),
        ({"command": ["x"], "cwd": "/"}, set()),
    ],
)
def test_a_link_that_leads_elsewhere_is_a_change(
    tmp_path: Path, keys: dict[str, Any], differing: set[str]
) -> None:
    current = tmp_path / "current"
    found = []
    for release in ("1", "2"):
        (tmp_path / release / "work").mkdir(parents=True)
        current.unlink(missing_ok=True)
        current.symlink_to(release)
        found.append(service_settings("x", Service.model_validate(keys), {}, current))
    assert {key for key in found[0] if found[0][key] != found[1][key]} == differing
