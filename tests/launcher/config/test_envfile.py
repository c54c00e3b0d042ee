"""`KEY=value` files."""

from __future__ import annotations

from pathlib import Path

import pytest

from launcher.config.envfile import read_env_file
from launcher.errors import ConfigError

TEXT = """
# a comment
PLAIN=value
export EXPORTED=yes
SPACES = around it
QUOTED="with # and  spaces "
SINGLE='it is "so"'
TRAILING=value # a comment
EMPTY=
URL=postgresql://u:p@h/db?x=1#y
"""


def read(tmp_path: Path, data: bytes) -> dict[str, str]:
    (tmp_path / "x.env").write_bytes(data)
    return read_env_file(tmp_path / "cluster.toml", "services.a.env_file", tmp_path / "x.env")


def test_every_form(tmp_path: Path) -> None:
    assert read(tmp_path, TEXT.encode()) == {
        "PLAIN": "value", "EXPORTED": "yes", "SPACES": "around it", "QUOTED": "with # and  spaces ", "SINGLE": 'it is "so"',
        "TRAILING": "value", "EMPTY": "", "URL": "postgresql://u:p@h/db?x=1#y",
    }  # fmt: skip


@pytest.mark.parametrize("line", [b"no equals sign", b"1X=y", b"=secret", b"A-B=c"])
def test_what_is_no_assignment_is_told_with_its_line_and_no_value(tmp_path: Path, line: bytes) -> None:
    with pytest.raises(ConfigError) as caught:
        read(tmp_path, b"A=1\n" + line)
    assert f"{tmp_path / 'x.env'}:2:" in str(caught.value)
    assert "secret" not in str(caught.value)


def test_what_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="is not UTF-8 text"):
        read(tmp_path, b"\xff\xfe")
    with pytest.raises(ConfigError, match="No such file"):
        read_env_file(tmp_path / "cluster.toml", "key", tmp_path / "none.env")


def test_the_launchers_own_variables_are_not_for_it(tmp_path: Path) -> None:
    with pytest.raises(
        ConfigError, match=r"x\.env:3: services\.a\.env_file: LUABUS_ROUTERS: is set by the launcher"
    ):
        read(tmp_path, b"A=1\nLUABUS_LEASE_PASSWORD=x\nLUABUS_ROUTERS=y\n")


def test_what_breaks_a_line_elsewhere_is_part_of_a_value(tmp_path: Path) -> None:
    file = tmp_path / "env"
    file.write_text("A=x\u2028y\u0085z\nB=2\r\n", "utf-8", newline="")
    assert read_env_file(tmp_path / "cluster.toml", "env_file", file) == {"A": "x\u2028y\u0085z", "B": "2"}
