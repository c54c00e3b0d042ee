"""The page and the schema say what the models say, and lie in docs/ as they are made."""

from __future__ import annotations

import json
import re
import tomllib
from pathlib import Path
from typing import Any

import pytest

from launcher.config.old_keys import WITHOUT_EFFECT
from launcher.config.reference import SHIPPED, main, markdown, schema, tables
from launcher.config.schema import ClusterConfig

ROOT = Path(__file__).parents[3]


@pytest.mark.parametrize(("file", "make"), [("cluster-toml.md", markdown), ("cluster.schema.json", schema)])
def test_docs_are_current(file: str, make: Any) -> None:
    written = (ROOT / "docs" / file).read_text("utf-8")
    assert written == make(), (
        f"docs/{file} is not what the models say: run `python -m launcher.config.reference`"
    )


def test_the_schema_in_the_package_is_current() -> None:
    assert SHIPPED.read_text("utf-8") == schema(), "run `python -m launcher.config.reference`"


def test_main_writes_both(tmp_path: Path) -> None:
    main(tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == {"cluster-toml.md", "cluster.schema.json"}


def test_every_key_has_a_type_a_default_and_a_meaning() -> None:
    page = markdown()
    for name, model in tables():
        assert f"## [{name}]" in page
        for key in set(model.model_fields) - set(WITHOUT_EFFECT):
            row = re.search(rf"^\| `{key}` \| (.+) \| (.+) \| (.+) \|$", page, re.MULTILINE)
            assert row, f"{name}.{key}"
            assert all(cell.strip() for cell in row.groups()), f"{name}.{key}"


def test_keys_without_effect_are_deprecated_and_not_on_the_page() -> None:
    assert not re.search(r"^\| `slots`", markdown(), re.MULTILINE)
    assert json.loads(schema())["$defs"]["Service"]["properties"]["slots"]["deprecated"] is True


@pytest.mark.parametrize(
    "row",
    [
        "| `count` | whole number, 1 to 64 | `2` |",
        "| `max_size` | size, at least 1 | `10485760` |",
        '| `policy` | `"always"`, `"on-failure"`, `"never"` | `"on-failure"` |',
        "| `nice` | whole number, -20 to 19 | none |",
        "| `tcp` | text or whole number, 1 to 65535 | none |",
        "| `ttl` | number, more than 0 | `10.0` |",
        "| `env` | table (name = text) | `{}` |",
        "| `restart` | table | see its table |",
    ],
)
def test_types_are_told_in_words(row: str) -> None:
    assert row in markdown()


def test_every_key_of_the_demo_is_in_the_schema() -> None:
    whole = json.loads(schema())

    def check(value: dict[str, Any], node: dict[str, Any], where: str) -> None:
        node = whole["$defs"][node["$ref"].rpartition("/")[2]] if "$ref" in node else node
        for key, inner in value.items():
            child = node.get("properties", {}).get(key) or node.get("additionalProperties")
            assert child, f"{where}.{key}"
            if (
                isinstance(inner, dict)
                and "$ref" in child | {"$ref": child.get("$ref", "")}
                and child.get("$ref")
            ):
                check(inner, child, f"{where}.{key}")

    demo = tomllib.loads((ROOT / "cluster.toml").read_text("utf-8"))
    check({key: value for key, value in demo.items() if key != "services"}, whole, "")
    for name, service in demo["services"].items():
        check(service, whole["properties"]["services"]["additionalProperties"], f"services.{name}")


def test_sizes_may_be_words_in_the_schema() -> None:
    kinds = {
        one["type"]: one for one in json.loads(schema())["$defs"]["Logs"]["properties"]["max_size"]["anyOf"]
    }
    assert kinds["integer"]["minimum"] == 1
    assert re.match(kinds["string"]["pattern"], "10 MiB")
    assert not re.match(kinds["string"]["pattern"], "lots")


def test_unknown_keys_are_errors_in_the_schema_too() -> None:
    whole = json.loads(schema())
    models = [whole, *whole["$defs"].values()]
    assert all(model["additionalProperties"] is False for model in models)
    assert set(ClusterConfig.model_fields) == set(whole["properties"])
