"""Where the values of `${VAR}` come from, and what is said where there is none."""

from __future__ import annotations

from pathlib import Path

import pytest

from launcher.config.expansion import expanded
from launcher.config.load import load
from launcher.config.schema import ClusterConfig
from launcher.errors import ConfigError

FILE = """
[cluster.env]
SHARED = "${SHARED:-shared}"

[services.web]
command = ["server", "--port", "${PORT}", "--data", "${DATA:-/data}", "sh $HOME $${SHARED}"]
cwd = "${FOLDER:-.}"
env_file = "web.env"

[services.web.env]
PATH = "$HOME/bin:$PATH"
FROM_FILE = "${COLOUR}"
FROM_CLUSTER = "${SHARED}"
PORT = "${PORT:-80}"
"""


def filled(tmp_path: Path, **environ: str) -> ClusterConfig:
    (tmp_path / "web.env").write_text("COLOUR=red\nPORT=81\n")
    (tmp_path / "cluster.toml").write_text(FILE)
    config, faults = expanded(load(tmp_path / "cluster.toml"), tmp_path / "cluster.toml", tmp_path, environ)
    assert faults == []
    return config


def test_values_come_from_the_launcher_then_from_the_file(tmp_path: Path) -> None:
    web = filled(tmp_path, HOME="/h", PATH="/bin").services["web"]
    assert web.env == {"PATH": "/h/bin:/bin", "FROM_FILE": "red", "FROM_CLUSTER": "shared", "PORT": "81"}
    assert web.command == ["server", "--port", "81", "--data", "/data", "sh $HOME ${SHARED}"]
    assert web.cwd == "."
    config = filled(tmp_path, HOME="/h", PATH="/bin", PORT="9", COLOUR="blue", SHARED="s", FOLDER="there")
    web = config.services["web"]
    assert (web.env["PORT"], web.env["FROM_FILE"], web.env["FROM_CLUSTER"]) == ("9", "blue", "s")
    assert (web.command or [])[2] == "9"
    assert web.cwd == "there"
    assert config.cluster.env == {"SHARED": "s"}


def test_what_is_of_another_services_identity_is_not_filled_in(tmp_path: Path) -> None:
    (tmp_path / "cluster.toml").write_text('[services.a]\ncommand = ["x", "${LUABUS_INSTANCE:-none}"]\n')
    config, _ = expanded(
        load(tmp_path / "cluster.toml"), tmp_path / "cluster.toml", tmp_path, {"LUABUS_INSTANCE": "3"}
    )
    assert config.services["a"].command == ["x", "none"]


def test_each_unset_variable_is_told_with_its_line_and_key(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("NOWHERE", raising=False)
    file = tmp_path / "cluster.toml"
    file.write_text(
        '[cluster.env]\nA = "$NOWHERE"\n[services.web]\ncommand = ["x",\n  "${NOWHERE}"]\ncwd = "${NOWHERE:?where?}"\n'
        'env = { B = "${A%b}" }\n'
    )
    load(file)  # what does not run here needs no values
    with pytest.raises(ConfigError) as caught:
        load(file, here=True)
    lines = str(caught.value).split("\n")
    assert [line.removeprefix(str(file)).split(": ")[:3] for line in lines] == [
        [
            ":2",
            "cluster.env.A",
            "NOWHERE is not set; ${NOWHERE:-default} gives a default, $$ is a dollar sign",
        ],
        [
            ":4",
            "services.web.command[1]",
            "NOWHERE is not set; ${NOWHERE:-default} gives a default, $${NOWHERE} leaves it to a shell",
        ],
        [":6", "services.web.cwd", "NOWHERE is not set"],
        [":7", "services.web.env.B", lines[3].split(": ")[2]],
    ]


def test_a_folder_is_looked_for_where_the_value_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "cluster.toml"
    file.write_text('[services.web]\ncommand = ["true"]\ncwd = "${RELEASE}"\n')
    monkeypatch.setenv("RELEASE", str(tmp_path))
    assert load(file, here=True).services["web"].cwd == str(tmp_path)
    monkeypatch.setenv("RELEASE", "/nowhere")
    with pytest.raises(ConfigError, match='found "/nowhere", which does not exist'):
        load(file, here=True)
