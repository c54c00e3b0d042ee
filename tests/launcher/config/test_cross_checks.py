"""Rules over several keys; the messages are tested with the file's places in test_load.py."""

from __future__ import annotations

import pytest

from launcher.config.cross_checks import faults, find_cycle
from launcher.config.schema import ClusterConfig


@pytest.mark.parametrize(
    ("graph", "cycle"),
    [
        ({}, None),
        ({"a": ["b"], "b": ["c"], "c": []}, None),
        ({"a": ["b", "c"], "b": ["c"], "c": []}, None),
        ({"a": ["a"]}, ["a", "a"]),
        ({"a": ["b"], "b": ["c"], "c": ["b"]}, ["b", "c", "b"]),
        ({str(n): [str(n + 1)] for n in range(5000)} | {"5000": []}, None),
    ],
)
def test_cycles(graph: dict[str, list[str]], cycle: list[str] | None) -> None:
    assert find_cycle(graph) == cycle


def test_beyond_loopback_only_if_the_file_says_so() -> None:
    for section in ("routers", "dashboard"):
        open_to_all = {section: {"host": "0.0.0.0"}}
        assert [path for path, _ in faults(ClusterConfig.model_validate(open_to_all))] == [(section, "host")]
        open_to_all[section]["allow_plaintext"] = True  # type: ignore[assignment]
        assert list(faults(ClusterConfig.model_validate(open_to_all))) == []


def test_the_dashboard_may_listen_beyond_loopback_with_a_certificate_and_its_key() -> None:
    section = {"host": "0.0.0.0", "tls_cert": "cert.pem", "tls_key": "key.pem"}
    assert list(faults(ClusterConfig.model_validate({"dashboard": section}))) == []
    half = ClusterConfig.model_validate({"dashboard": {"tls_key": "key.pem"}})
    assert list(faults(half)) == [
        (("dashboard", "tls_key"), "found without tls_cert; allowed: both or neither")
    ]


def waiting_for(need: str, **keys: object) -> list[tuple[object, str]]:
    other = {"command": ["x"], **keys} if "run" not in keys else keys
    services = {"a": {"command": ["a"], "depends_on": {"b": need}}, "b": other}
    return list(faults(ClusterConfig.model_validate({"services": services})))


def test_only_for_the_end_of_what_ends_somebody_can_wait() -> None:
    assert waiting_for("completed") == []
    assert waiting_for("completed", ready={"log": "x"}, liveness={"tcp": 1}) == []
    always = {"restart": {"policy": "always"}}
    endless: list[dict[str, object]] = [{"run": "m:s", "group": 1}, {"group": 1}, always]
    for keys in endless:
        ((path, text),) = waiting_for("completed", **keys)
        assert path == ("services", "a", "depends_on", "b")
        assert text.startswith('found "completed" for "b", which is ')
        assert waiting_for("ready", **keys) == []


def test_names_and_cycles_are_checked_in_tables_too() -> None:
    services: dict[str, object] = {"a": {"command": ["a"], "depends_on": {"nobody": "completed"}}}
    ((path, text),) = faults(ClusterConfig.model_validate({"services": services}))
    assert (path, text[:28]) == (("services", "a", "depends_on", "nobody"), 'there is no service "nobody"')
    services = {
        name: {"command": ["a"], "depends_on": {"ba"["ab".index(name)]: "completed"}} for name in "ab"
    }
    ((_, text),) = faults(ClusterConfig.model_validate({"services": services}))
    assert text == "these wait for one another: a -> b -> a"
