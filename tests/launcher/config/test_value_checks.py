"""Values that the system gets as they are: what cannot work is found by `check`, with its place and what is allowed."""

from __future__ import annotations

from pathlib import Path

import pytest

from launcher.config.load import load
from launcher.errors import ConfigError

SERVICE = '[services.a]\ncommand = ["x"]\n'


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (SERVICE + "rlimits = {nofle = 4}", '3: services.a.rlimits.nofle: there is no such limit on this system; did you mean'),
        (SERVICE + "rlimits = {nofile = [5, 4]}", "3: services.a.rlimits.nofile: found [5, 4]; allowed: [soft, hard], the soft"),
        (SERVICE + "rlimits = {nofile = -1}", "3: services.a.rlimits.nofile: found -1; allowed: 0 to 922"),
        (SERVICE + "rlimits = {nofile = [-1, 4]}", "3: services.a.rlimits.nofile: found -1; allowed: 0 to 922"),
        (SERVICE + "rlimits = {core = 9223372036854775808}", "found 9223372036854775808; allowed: 0 to 9223372036854775807"),
        ('[cluster]\nrun_dir = "~nosuchuser/x"', '2: cluster.run_dir: found "~nosuchuser/x": there is no such home'),
        ('[services.a]\ncommand = [""]', '2: services.a.command[0]: found ""; allowed: a program\'s name or path'),
        ('[services.a]\ncommand = ["x", "a\\u0000b"]', "2: services.a.command[1]: found a NUL character; allowed"),
        (SERVICE + 'ready = {exec = [" "]}', '3: services.a.ready.exec[0]: found " "; allowed: a program'),
        (SERVICE + 'env = {"" = "1"}', '3: services.a.env: found the name ""; allowed: a name, such as LANG'),
        (SERVICE + 'env = {"A=B" = "1"}', '3: services.a.env.A=B: found the name "A=B"; allowed: a name without "="'),
        (SERVICE + 'env = {"A\\u0000" = "1"}', "3: services.a.env: found the name 'A\\x00', with a NUL character"),
        (SERVICE + 'env = {A = "\\u0000"}', "3: services.a.env.A: found a NUL character"),
        (SERVICE + 'env = {LUABUS_ROUTERS = "x"}', "3: services.a.env.LUABUS_ROUTERS: is set by the launcher; allowed: names"),
        ('[cluster]\nenv = {LUABUS_GROUP = "1"}', "2: cluster.env.LUABUS_GROUP: is set by the launcher"),
        ('[cluster]\nrun_dir = "a\\u0000"', "2: cluster.run_dir: found a NUL character"),
        ('[lease]\nstore = "sqlite:///"', '2: lease.store: found "sqlite:///" without a path; allowed: sqlite, or sqlite:///PATH'),
        ('[lease]\nstore = "sqlite://x"', '2: lease.store: found "sqlite://x"; allowed: sqlite:///PATH, with three slashes'),
        ('[lease]\nstore = "etcd://nohost"', '2: lease.store: found "etcd://nohost" without a port; allowed: etcd://HOST:PORT'),
        (SERVICE + "liveness = {tcp = 1, success_threshold = 2}", "3: services.a.liveness.success_threshold: found 2; allow"),
    ],
)  # fmt: skip
def test_what_cannot_work(tmp_path: Path, text: str, message: str) -> None:
    file = tmp_path / "cluster.toml"
    file.write_text(text)
    with pytest.raises(ConfigError) as caught:
        load(file)
    assert [message in problem.render("cluster.toml") for problem in caught.value.problems] == [True], str(
        caught.value
    )


@pytest.mark.parametrize(
    "text",
    [
        SERVICE + "rlimits = {nofile = [4, 5], core = 0}\nready = {tcp = 1, success_threshold = 2}",
        SERVICE + 'env = {LUABUS_LEASE_PASSWORD = "x", A = ""}',
        '[lease]\nstore = "sqlite:///a"',
        '[lease]\nstore = "etcd://u:p@[::1]:2379,h:2380/?timeout=1"',
        '[lease]\nstore = "redis://"',
    ],
)
def test_what_can(tmp_path: Path, text: str) -> None:
    file = tmp_path / "cluster.toml"
    file.write_text(text)
    load(file)
