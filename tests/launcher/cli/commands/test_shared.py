"""What the verbs share: how reports are printed, which names are completed."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click
import pytest

from launcher.cli.commands import shared


@pytest.mark.parametrize(("ok", "code"), [(True, 0), (False, 1)])
def test_a_report(capsys: pytest.CaptureFixture[str], ok: bool, code: int) -> None:
    one: dict[str, Any] = {
        "ok": ok,
        "text": "said \x1b[2J",
        "processes": {"web.1": "running", "web.2": "removed"},
        "sentences": {"web.2": "web.2 is gone"},
    }
    assert shared.report([one], as_json=False) == code
    assert capsys.readouterr().out == "said \\x1b[2J\nweb.1 is running\nweb.2 is gone\n"
    assert shared.report([one, one], as_json=True) == code
    del one["sentences"]
    assert json.loads(capsys.readouterr().out) == [one, one]


@pytest.mark.parametrize("text", ["[[[", "services = 5", "[services.a]\ninstances = 'x'", None])
def test_a_file_that_cannot_be_read_completes_nothing(tmp_path: Path, text: str | None) -> None:
    file = tmp_path / "cluster.toml"
    if text is not None:
        file.write_text(text)
    context = click.Context(click.Command("x"), obj=file)
    assert shared.complete_names(context, click.Argument(["name"]), "") == []
