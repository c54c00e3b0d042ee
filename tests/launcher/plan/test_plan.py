"""A configuration as processes: order, environments, arguments."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from launcher.config.schema import ClusterConfig, Dashboard
from launcher.plan.plan import Plan, dashboard_url, lease_url, make_plan, start_order
from launcher.plan.spec import ReadyBy

BASE: dict[str, Any] = {
    "services": {
        "mail": {"run": "m:s", "group": 2, "instances": 2, "depends_on": ["db"]},
        "db": {"command": ["./db"]},
    }
}


def plan(tmp_path: Path, config: dict[str, Any] = BASE, scaled: dict[str, int] | None = None) -> Plan:
    return make_plan(ClusterConfig.model_validate(config), tmp_path / "cluster.toml", scaled)


def changed(config: dict[str, Any], *path: str, value: Any) -> dict[str, Any]:
    head, *rest = path
    return {**config, head: changed(config.get(head, {}), *rest, value=value) if rest else value}


def test_routers_then_the_dashboard_then_services_after_what_they_depend_on(tmp_path: Path) -> None:
    names = [spec.name for spec in plan(tmp_path).specs]
    assert names == ["router.1", "router.2", "dashboard", "db.1", "mail.1", "mail.2"]
    assert start_order(ClusterConfig.model_validate(BASE)) == ["db", "mail"]


def test_environments_follow_the_contract(tmp_path: Path) -> None:
    config = changed(
        changed(BASE, "bus", value={"compress_above": 4096}),
        "cluster",
        "env",
        value={"A": "cluster", "B": "b"},
    )
    config = changed(config, "services", "mail", "env", value={"A": "service"})
    specs = plan(tmp_path, config).by_name()
    env = specs["mail.2"].env
    expected = {
        "LUABUS_CLUSTER": "cluster",
        "LUABUS_RUN_DIR": str(tmp_path / ".luabus"),
        "LUABUS_ROUTERS": "127.0.0.1:7070,127.0.0.1:7071",
        "LUABUS_KEY_FILE": str(tmp_path / ".luabus/keys/mail.key"),
        "LUABUS_SERVICE": "mail",
        "LUABUS_GROUP": "2",
        "LUABUS_INSTANCE": "2",
        "LUABUS_ROUTE": "random",
        "LUABUS_GROUPS": '{"mail": 2}',
        "LUABUS_LOG_LEVEL": "INFO",
        "LUABUS_LEASE": f"sqlite:///{tmp_path / '.luabus/lease.db'}",
        "LUABUS_LEASE_TTL": "10.0",
        "LUABUS_LEASE_RENEW": "1.0",
        "LUABUS_CONTROL": str(tmp_path / ".luabus/control.json"),
        "LUABUS_FRAME_LIMIT": "1048576",
        "LUABUS_COMPRESS_ABOVE": "4096",
        "A": "service",
        "B": "b",
    }
    assert {key: env[key] for key in expected} == expected
    assert "LUABUS_GROUP" not in specs["db.1"].env
    assert "LUABUS_COMPRESS_ABOVE" not in plan(tmp_path).by_name()["mail.1"].env


def test_no_secret_is_in_any_argument_or_setting(tmp_path: Path) -> None:
    (tmp_path / "x.env").write_text("PASSWORD=hunter2\n")
    config = changed(BASE, "services", "mail", "env_file", value="x.env")
    for spec in plan(tmp_path, config).specs:
        assert "hunter2" not in " ".join(spec.argv)
    assert plan(tmp_path, config).by_name()["mail.1"].env["PASSWORD"] == "hunter2"


def test_routers_get_the_secret_and_everybody_else_a_key(tmp_path: Path) -> None:
    secret, keys = str(tmp_path / ".luabus/secret"), tmp_path / ".luabus/keys"
    for spec in plan(tmp_path).specs:
        given = {name: spec.env.get(name) for name in ("LUABUS_SECRET_FILE", "LUABUS_KEY_FILE")}
        of_service = {"LUABUS_SECRET_FILE": None, "LUABUS_KEY_FILE": str(keys / f"{spec.service}.key")}
        of_router = {"LUABUS_SECRET_FILE": secret, "LUABUS_KEY_FILE": None}
        assert given == (of_router if spec.service == "router" else of_service)


def test_routers_listen_beyond_loopback_only_when_the_file_says_so(tmp_path: Path) -> None:
    assert "--allow-plaintext" not in plan(tmp_path).specs[0].argv
    config = {"routers": {"host": "0.0.0.0", "allow_plaintext": True}}
    assert "--allow-plaintext" in plan(tmp_path, config).specs[0].argv


def test_routers_are_told_how_much_may_wait(tmp_path: Path) -> None:
    assert "--waiting-limit" not in plan(tmp_path).specs[0].argv
    argv = plan(tmp_path, {"routers": {"waiting_limit": "64MB"}}).specs[0].argv
    assert argv[argv.index("--waiting-limit") + 1] == str(64 << 20)


def test_what_shows_that_each_is_ready(tmp_path: Path) -> None:
    config = changed(BASE, "services", "web", value={"command": ["x"], "ready": {"tcp": 80}})
    by = {spec.name: spec.ready_by for spec in plan(tmp_path, config).specs}
    assert by["router.1"] is ReadyBy.ROUTER
    assert (by["dashboard"], by["mail.1"], by["db.1"]) == (ReadyBy.PROBE, ReadyBy.BUS, ReadyBy.SPAWN)
    assert by["web.1"] is ReadyBy.PROBE


def test_addresses_and_stores() -> None:
    run_dir, base = Path("/r"), Path("/b")
    assert lease_url("sqlite", run_dir, base) == "sqlite:////r/lease.db"
    assert lease_url("sqlite:///x.db", run_dir, base) == "sqlite:////b/x.db"
    assert lease_url("sqlite:////abs/x.db", run_dir, base) == "sqlite:////abs/x.db"
    assert lease_url("redis://h", run_dir, base) == "redis://h"


def test_the_dashboard_gets_what_it_needs_behind_a_proxy(tmp_path: Path) -> None:
    section = {
        "host": "0.0.0.0", "prefix": "/luabus", "allow_host": ["luabus.example.org", "box"],
        "trusted_proxies": ["127.0.0.1", "10.0.0.0/8"],
        "tls_cert": "tls/cert.pem", "tls_key": "/etc/key.pem",
    }  # fmt: skip
    (spec,) = [one for one in plan(tmp_path, {"dashboard": section}).specs if one.name == "dashboard"]
    assert spec.argv[spec.argv.index("--prefix") :] == (
        "--prefix", "/luabus", "--allow-host", "luabus.example.org", "--allow-host", "box",
        "--trusted-proxy", "127.0.0.1", "--trusted-proxy", "10.0.0.0/8",
        "--tls-cert", str(tmp_path / "tls" / "cert.pem"), "--tls-key", "/etc/key.pem",
    )  # fmt: skip
    assert spec.ready is not None
    assert (spec.ready.kind, spec.ready.target) == ("tcp", "127.0.0.1:8070")
    plain = plan(tmp_path, {"dashboard": {"host": "0.0.0.0", "allow_plaintext": True}})
    (spec,) = [one for one in plain.specs if one.name == "dashboard"]
    assert spec.argv[-1] == "--allow-plaintext"


@pytest.mark.parametrize(
    ("section", "url"),
    [
        ({}, "http://127.0.0.1:8070"), ({"host": "0.0.0.0"}, "http://127.0.0.1:8070"),
        ({"host": "::", "prefix": "/bus"}, "http://[::1]:8070/bus"),
        ({"host": "box", "tls_cert": "c", "tls_key": "k"}, "https://box:8070"),
    ],
)  # fmt: skip
def test_where_the_dashboard_is_found(section: dict[str, Any], url: str) -> None:
    assert dashboard_url(Dashboard.model_validate(section)) == url


def test_what_is_a_job(tmp_path: Path) -> None:
    probe = {"log": "done"}
    services: dict[str, Any] = {
        "app": {"command": ["x"], "depends_on": {"migrate": "completed", "db": "ready"}, "ready": probe},
        "migrate": {"command": ["x"], "ready": probe},
        "db": {"command": ["x"], "liveness": {"tcp": 1}},
        "once": {"command": ["x"]},
        "started": {"command": ["x"], "startup": {"exec": ["true"]}},
        "never": {"command": ["x"], "restart": {"policy": "never"}},
        "always": {"command": ["x"], "restart": {"policy": "always", "success_exit_codes": [0]}},
        "joined": {"command": ["x"], "group": 3},
        "mail": {"run": "m:s", "group": 1},
        "may_end": {"run": "m:s", "group": 2, "restart": {"success_exit_codes": [0, 143]}},
    }
    specs = {spec.service: spec for spec in plan(tmp_path, {"services": services}).specs}
    jobs = [name for name in services if specs[name].rules.job]
    assert sorted(jobs) == ["may_end", "migrate", "never", "once", "started"]
    assert not any(specs[name].daemon for name in jobs)
    app = specs["app"]
    assert (app.depends_on, app.awaits_completion) == (("migrate", "db"), ("migrate",))
    assert [name for name, spec in specs.items() if spec.awaited] == ["migrate"]
    assert specs["may_end"].rules.success_codes == {0, 143}


def test_only_where_nothing_else_shows_it_is_ready_it_must_have_lived_for_a_while(tmp_path: Path) -> None:
    probe = {"exec": ["true"]}
    services: dict[str, Any] = {
        "bare": {"command": ["x"]},
        "slow": {"command": ["x"], "restart": {"min_uptime": 3.0}},
        "probed": {"command": ["x"], "ready": probe},
        "started": {"command": ["x"], "startup": probe},
        "mail": {"run": "m:s", "group": 1},
    }
    specs = {spec.service: spec for spec in plan(tmp_path, {"services": services}).specs}
    assert [specs[name].min_uptime for name in services] == [1.0, 3.0, 0.0, 0.0, 0.0]
    router = specs["router"]
    assert (router.min_uptime, router.daemon, specs["dashboard"].daemon) == (0.0, True, True)


def test_routers_are_told_how_many_instances_are_meant_to_be_there(tmp_path: Path) -> None:
    mail = {"run": "a:b", "group": 2, "instances": 3, "slots": 9, "route": "hash"}
    made = make_plan(ClusterConfig.model_validate({"services": {"mail": mail}}), tmp_path / "cluster.toml")
    for scaled, expected in (({}, 3), ({"mail": 5}, 5), ({"mail": 0}, 0)):
        assert made.scaled(scaled).document["groups"] == {"mail": [2, expected, "hash"]}
