"""Configuration files with faults: each names its place, what was found and what is allowed."""

from __future__ import annotations

from pathlib import Path

import pytest

from launcher.config.load import load
from launcher.errors import ConfigError

ROOT = Path(__file__).parents[3]


def faults(tmp_path: Path, text: str) -> list[str]:
    path = tmp_path / "cluster.toml"
    path.write_text(text)
    with pytest.raises(ConfigError) as caught:
        load(path)
    assert caught.value.exit_code == 2
    return [problem.render("cluster.toml") for problem in caught.value.problems]


def test_a_byte_order_mark_is_no_fault(tmp_path: Path) -> None:
    path = tmp_path / "cluster.toml"
    path.write_text('[cluster]\nname = "x"', "utf-8-sig")
    assert load(path).cluster.name == "x"


def test_the_demo_is_right() -> None:
    config = load(ROOT / "cluster.toml")
    assert config.cluster.name == "demo"
    assert {name: service.group for name, service in config.services.items()} == {
        "gateway": 1, "mail": 2, "director": 3, "robot": 4,
    }  # fmt: skip


def test_an_empty_file_is_a_cluster_of_routers_and_dashboard(tmp_path: Path) -> None:
    path = tmp_path / "cluster.toml"
    path.write_text("")
    config = load(path)
    assert (config.routers.count, config.routers.port, config.dashboard.port) == (2, 7070, 8070)


CASES = [
    ('[cluster]\nnme = "x"', '2: cluster.nme: unknown key; did you mean "name"?'),
    ("[routrs]", '1: routrs: unknown key; did you mean "routers"?'),
    ('[routers]\ncount = "2"', '2: routers.count: found "2"; allowed: a whole number'),
    ("[routers]\nport = 99999", "2: routers.port: found 99999; allowed: at most 65535"),
    ("[routers]\ncount = true", "2: routers.count: found true; allowed: a whole number"),
    ('routers = "x"', '1: routers: found "x"; allowed: a table'),
    ('[services.a]\nrun = "m"\ngroup = 1', '2: services.a.run: found "m"; allowed: "package.module:attribute"'),
    ('[services.a]\nrun = "m:s"\ngroup = 1\ninstnces = 3', '4: services.a.instnces: unknown key; did you mean "instances"?'),
    ('[services.a]\nrun = "m:s"', "1: services.a: group is missing; allowed: a number from 1 to 255 that no other service has"),
    ('[services.a]\nrun = "m:s"\ngroup = 256', "3: services.a.group: found 256; allowed: at most 255"),
    ('[services.a]\nrun = "m:s"\ngroup = 0', "3: services.a.group: found 0; allowed: at least 1"),
    ("[services.a]", '1: services.a: found neither of run and command; allowed: exactly one'),
    ('[services.a]\nrun = "m:s"\ncommand = ["x"]\ngroup = 1', "1: services.a: found both of run and command"),
    ('[services.a]\ncommand = "x y"', '2: services.a.command: found "x y"; allowed: a list'),
    ("[services.a]\ncommand = []", "2: services.a.command: found []; allowed: at least 1 of them"),
    ('[services.router]\ncommand = ["x"]', '1: services.router: "router" is a name of the launcher\'s own'),
    ('[services."a.b"]\ncommand = ["x"]', '1: services.a.b: found the name "a.b"; allowed: a letter, then letters'),
    ('[services.a]\ncommand = ["x"]\n[services.a.restart]\nstop_signal = "SIGFOO"', "there is no signal 'SIGFOO'; usual are"),
    ('[services.a]\ncommand = ["x"]\nrestart.polcy = 1', '3: services.a.restart.polcy: unknown key; did you mean "policy"?'),
    ('[services.a]\ncommand = ["x"]\ndepends_on = {a = "done"}',
     "3: services.a.depends_on.a: found \"done\"; allowed: 'ready' or 'completed'"),
    ('[services.a]\ncommand = ["x"]\ndepends_on = "b"',
     '3: services.a.depends_on: found "b"; allowed: a list, such as [ ... ]; or a table'),
    ('[services.a]\ncommand = ["x"]\nrestart.success_exit_codes = [256]',
     "3: services.a.restart.success_exit_codes[0]: found 256; allowed: at most 255"),
    ('[services.a]\ncommand = ["x"]\nmax_rss = "lots"', "3: services.a.max_rss: 'lots' is not a size"),
    ('[services.a]\ncommand = ["x"]\n[services.a.ready]\n', "3: services.a.ready: found none of tcp, http, exec, log"),
    ('[services.a]\ncommand = ["x"]\nready = {tcp = 1, log = "x"}', "3: services.a.ready: found tcp and log of tcp, http"),
    ('[services.a]\ncommand = ["x"]\nready = {log = "("}', "3: services.a.ready.log: found '(', which is no regular expression"),
    ('[services.a]\ncommand = ["x"]\nready = {http = "https://x"}', 'allowed: a URL that begins with http://'),
    ('[services.a]\ncommand = ["x"]\nready = {tcp = "x"}', 'found "x"; allowed: a port, or "HOST:PORT"'),
    ('[services.a]\ncommand = ["x"]\nliveness = {log = "x"}', "a line in the log cannot show that a process still lives"),
    ('[dashboard]\nprefix = "luabus/"', '2: dashboard.prefix: found "luabus/"; allowed: a path such as "/luabus"'),
    ('[dashboard]\ntrusted_proxies = ["10.0.0.1/8"]', 'found "10.0.0.1/8"; allowed: an address or a network'),
    ('[dashboard]\nallow_host = ["https://x"]', 'found "https://x"; allowed: a name such as "luabus.example.org"'),
    ("[dashboard]\nport = 7071", "2: dashboard.port: found 7071, where router.2 listens"),
    ("[routers]\nport = 65535", "2: routers.port: 2 routers from 65535 need ports up to 65536"),
    ('[routers]\nhost = "0.0.0.0"', '2: routers.host: found "0.0.0.0", which others can reach, unencrypted'),
    ('[lease]\nstore = "mysql://x"', '2: lease.store: found "mysql://x"; allowed: sqlite, sqlite:///PATH'),
    ("[lease]\nrenew = 6.0", "2: lease.renew: found 6 with ttl = 10; allowed: at most half of ttl"),
    ('[services.launcher]\ncommand = ["x"]', '1: services.launcher: "launcher" is a name of the launcher\'s own'),
    ("[lease]\nttl = inf", "2: lease.ttl: found inf; allowed: a finite number"),
    ("[lease]\nttl = 2026-01-31", "2: lease.ttl: found 2026-01-31; allowed: a number"),
    ('[services.a]\ncommand = ["x"]\nrlimits = {nofile = [1, 2, 3]}', "or 'unlimited'; or a list of at most 2"),
    ('[cluster]\nname = "\\u001b[31m"', '2: cluster.name: found "\\x1b[31m"; allowed: a letter, then'),
    ('[cluster]\nlog_level = "LOUD"', "2: cluster.log_level: found"),
]  # fmt: skip


@pytest.mark.parametrize(("text", "message"), CASES, ids=[message[:50] for _, message in CASES])
def test_every_fault_is_told_with_its_place(tmp_path: Path, text: str, message: str) -> None:
    found = faults(tmp_path, text)
    assert len(found) == 1, found
    assert message in found[0]
    assert found[0].startswith("cluster.toml:")


def test_all_faults_are_told_at_once(tmp_path: Path) -> None:
    found = faults(
        tmp_path, '[cluster]\nnme = 1\n[routers]\ncount = 0\n[services.a]\ncommand = ["x"]\ninstances = -1'
    )
    assert [line.split(":")[1] for line in found] == ["2", "4", "7"]


def test_two_services_with_one_group(tmp_path: Path) -> None:
    text = '[services.a]\nrun = "m:s"\ngroup = 1\n[services.b]\nrun = "m:s"\ngroup = 1\n'
    assert faults(tmp_path, text) == [
        "cluster.toml:6: services.b.group: found 1, which services.a has already; allowed: a number of its own; 2 is free"
    ]


def test_an_unknown_dependency(tmp_path: Path) -> None:
    text = '[services.mail]\ncommand = ["x"]\n[services.b]\ncommand = ["x"]\ndepends_on = ["mial"]\n'
    assert faults(tmp_path, text) == [
        'cluster.toml:5: services.b.depends_on[0]: there is no service "mial"; did you mean "mail"?'
    ]


def test_a_cycle_is_named(tmp_path: Path) -> None:
    text = "".join(f'[services.{a}]\ncommand = ["x"]\ndepends_on = ["{b}"]\n' for a, b in ("ab", "bc", "ca"))
    assert faults(tmp_path, text) == [
        "cluster.toml:3: services.a.depends_on: these wait for one another: a -> b -> c -> a"
    ]


def test_a_service_that_depends_on_itself(tmp_path: Path) -> None:
    found = faults(tmp_path, '[services.a]\ncommand = ["x"]\ndepends_on = ["a"]\n')
    assert "a -> a" in found[0]


def test_no_file(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="there is no such file; `luabus-cluster init"):
        load(tmp_path / "none.toml")


def test_broken_toml_has_its_line(tmp_path: Path) -> None:
    assert faults(tmp_path, "[cluster]\nname = x")[0].startswith("cluster.toml:2: is not valid TOML")


def test_bytes_that_are_no_text(tmp_path: Path) -> None:
    path = tmp_path / "cluster.toml"
    path.write_bytes(b"name = '\xff'")
    with pytest.raises(ConfigError, match="is not UTF-8"):
        load(path)


def test_a_folder_is_no_file(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="is no regular file"):
        load(tmp_path)
