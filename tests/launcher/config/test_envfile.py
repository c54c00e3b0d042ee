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


@pytest.mark.parametrize(
    ("line", "value"),
    [
        ('K="two words" # note', "two words"),
        ("K= # note", ""),
        ("K=a\t# tab", "a"),
        ("K=a#b", "a#b"),
        ("K=#b", "#b"),
        ("K= 'x'   ", "x"),
        ('K="x"#note', "x"),
        (r"K='it\'s \n $HOME ${HOME}'", r"it's \n $HOME ${HOME}"),
        (r'K="a\nb\t\"c\" \\ \$HOME \d"', 'a\nb\t"c" \\ $HOME \\d'),
        ("K=a\\nb", "a\\nb"),
        ('K="one\ntwo # no comment\n"', "one\ntwo # no comment\n"),
        ("K='one\n\n three'", "one\n\n three"),
        ("\texport  K=v", "v"),
        ("K: v", "v"),
        ("K=v\r\n", "v"),
        ('K="v"\r\n', "v"),
        ("\ufeffK=v", "v"),
        ("K=${HOME}/$OTHER", "/h/o"),
        ('K="${NONE:-$HOME}"', "/h"),
        ("K=5$$", "5$"),
        ("K=it's", "it's"),
    ],
)
def test_composes_rules(tmp_path: Path, line: str, value: str) -> None:
    file = tmp_path / "env"
    file.write_bytes(line.encode() + b"\nNEXT=1\n# end")
    environ = {"HOME": "/h", "OTHER": "o"}
    found = read_env_file(tmp_path / "cluster.toml", "env_file", file, environ)
    assert found == {"K": value, "NEXT": "1"}


def test_values_are_made_of_those_above(tmp_path: Path) -> None:
    assert read(tmp_path, b"A=1\nB=${A}2\nC=$B")["C"] == "12"


@pytest.mark.parametrize(
    ("text", "line", "why"),
    [
        ('A=1\nK="a" b', 2, 'something follows the closing "; allowed: a comment'),
        ("K='a'b", 1, "something follows the closing '"),
        ('A="x\ny"\nK="not closed\nB=secret', 3, 'the quotation mark " is not closed'),
        ("K=secret${NONE}", 1, "NONE is not set; ${NONE:-default} gives a default"),
        ("A=1\n\nB=${A%x}", 3, "${A%x} is no form"),
    ],
)
def test_faults_have_their_line(tmp_path: Path, text: str, line: int, why: str) -> None:
    with pytest.raises(ConfigError) as caught:
        read(tmp_path, text.encode())
    assert str(caught.value).startswith(f"{tmp_path / 'x.env'}:{line}: services.a.env_file: ")
    assert why in str(caught.value)
    assert "secret" not in str(caught.value)


def test_a_name_without_a_value_is_the_launchers(tmp_path: Path) -> None:
    file = tmp_path / "x.env"
    file.write_text("A=1\nHELD\n  export KEPT # a comment\nNOWHERE\nB=${HELD}")
    environ = {"HELD": "h", "KEPT": "k", "OTHER": "o"}
    found = read_env_file(tmp_path / "cluster.toml", "services.a.env_file", file, environ)
    assert found == {"A": "1", "HELD": "h", "KEPT": "k", "B": "h"}
