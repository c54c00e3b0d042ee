"""Keys that older files have."""

from __future__ import annotations

from pathlib import Path

import pytest

from launcher.config.old_keys import warning

BOTH = "[services.mail]\nslots = 3\n[services.chat]\nslots = 2\n[services.web]\ninstances = 2\n"


def test_one_line_names_all_of_a_file(tmp_path: Path) -> None:
    file = tmp_path / "cluster.toml"
    file.write_text(BOTH)
    line = warning(file)
    assert line is not None
    assert line.startswith(f"{file}: mail.slots, chat.slots can go: without effect")
    assert "\n" not in line


@pytest.mark.parametrize(
    "text", ["", "[services.web]\n", "services = 3\n", "[services]\nweb = 3\n", "not TOML"]
)
def test_other_files_are_not_warned_of(tmp_path: Path, text: str) -> None:
    file = tmp_path / "cluster.toml"
    assert warning(file) is None
    file.write_text(text)
    assert warning(file) is None
